//! From entries to a chain.

use std::collections::{BTreeMap, BTreeSet};

use lictor_types::chain::entry::{ServiceResolver, ServiceRouter, ServiceSplit};
use lictor_types::chain::route::{Destination, HttpMatch, RouteMatch};
use lictor_types::chain::{
    CONNECT_TIMEOUT, CompiledChain, LoadBalancer, NAMESPACE, Node, Resolver, Route, ServiceRoute,
    Split, Step, Target, is_http_like,
};

use super::customization::Customization;
use super::entries::{Named, find};
use super::{ChainError, CompileOptions, DEPTH_MAX, Entries, graph};

/// The chain of `service`.
///
/// # Errors
/// When the entries that it depends on make none, which [`super::check`] is there to prevent.
pub fn compile(
    entries: &Entries,
    service: &str,
    options: &CompileOptions<'_>,
) -> Result<CompiledChain, ChainError> {
    if service.is_empty() {
        return Err(ChainError::NoName);
    }
    let compiler = Compiler {
        entries,
        service,
        options,
        plain: !options.protocol.is_empty() && !is_http_like(options.protocol),
        protocol: String::new(),
        advanced: false,
        customized: Customization::default(),
        nodes: BTreeMap::new(),
        targets: BTreeMap::new(),
        retained: BTreeSet::new(),
    };
    compiler.compile()
}

/// A chain in the making.
struct Compiler<'a> {
    entries: &'a Entries,
    service: &'a str,
    options: &'a CompileOptions<'a>,
    /// Whether routers and splitters are left out, because a protocol is wished that has no
    /// requests.
    plain: bool,
    /// What everything so far speaks; empty before the first.
    protocol: String,
    /// Whether there are routers and splitters.
    advanced: bool,
    /// The wishes that made a difference.
    customized: Customization<'a>,
    nodes: BTreeMap<String, Node>,
    /// All that were looked at on the way.
    targets: BTreeMap<String, Target>,
    /// Those at which a way ends.
    retained: BTreeSet<String>,
}

impl<'a> Compiler<'a> {
    fn compile(mut self) -> Result<CompiledChain, ChainError> {
        let start = self.assemble()?;
        graph::refuse_circles(&self.nodes, &start)?;
        graph::flatten(&mut self.nodes, self.service)?;
        graph::prune(&mut self.nodes, &start);
        let retained = self.retained;
        self.targets.retain(|id, _| retained.contains(id));
        if self.advanced && !is_http_like(&self.protocol) {
            return Err(ChainError::NotPermitted {
                chain: self.service.to_owned(),
                protocol: self.protocol,
            });
        }
        let wished = self.options.protocol;
        if !wished.is_empty() && wished != self.protocol {
            wished.clone_into(&mut self.protocol);
            self.customized.protocol = wished;
        }
        let usual = self.customized == Customization::default();
        Ok(CompiledChain {
            service: self.service.to_owned(),
            namespace: NAMESPACE.to_owned(),
            datacenter: self.options.evaluate_in.to_owned(),
            customization: if usual { String::new() } else { self.customized.digits() },
            protocol: self.protocol,
            start,
            nodes: self.nodes,
            targets: self.targets,
        })
    }

    /// Makes all nodes, and says with which one begins.
    fn assemble(&mut self) -> Result<String, ChainError> {
        // Routers of other services do not count.
        let mut router = find(&self.entries.routers, self.service);
        if router.is_some() && self.plain {
            router = None;
            self.customized.protocol = self.options.protocol;
        }
        let Some(Named { name, entry }) = router else {
            return self.splitter_or_resolver(self.service, NAMESPACE);
        };
        self.advanced = true;
        self.speaks(name)?;
        let routes = self.routes(name, entry)?;
        let name = format!("{name}.{NAMESPACE}");
        Ok(self.record(Node { name, step: Step::Router(routes) }))
    }

    fn routes(&mut self, name: &str, router: &ServiceRouter) -> Result<Vec<Route>, ChainError> {
        let mut routes = Vec::with_capacity(router.routes.len() + 1);
        let itself = Destination::default();
        for route in &router.routes {
            let to = route.destination.as_ref().unwrap_or(&itself);
            let service = or(&to.service, self.service);
            let namespace = or(&to.namespace, NAMESPACE);
            let next = if to.service_subset.is_empty() {
                self.splitter_or_resolver(service, namespace)?
            } else {
                // A subset is not split again.
                let target = self.target(service, &to.service_subset, namespace, "");
                self.resolver_node(target)?
            };
            routes.push(Route { definition: Some(route.clone()), next });
        }
        // What matches none of them goes on as if there were no router.
        let next = self.splitter_or_resolver(name, NAMESPACE)?;
        routes.push(Route { definition: Some(everything_to(name)), next });
        Ok(routes)
    }

    /// Puts a node among the others; its key.
    fn record(&mut self, node: Node) -> String {
        let key = node.key();
        self.nodes.insert(key.clone(), node);
        key
    }

    /// Everything in a chain must speak the same.
    fn speaks(&mut self, service: &str) -> Result<(), ChainError> {
        let protocol = self.entries.protocol(service);
        if self.protocol.is_empty() {
            self.protocol = protocol;
        } else if self.protocol != protocol {
            return Err(ChainError::InconsistentProtocols {
                chain: self.service.to_owned(),
                service: service.to_owned(),
                protocol,
                expected: self.protocol.clone(),
            });
        }
        Ok(())
    }

    /// The target of this name, as far as it is known.
    fn target(&mut self, service: &str, subset: &str, namespace: &str, datacenter: &str) -> Target {
        let target = Target::new(
            service,
            subset,
            or(namespace, NAMESPACE),
            or(datacenter, self.options.evaluate_in),
            self.options.trust_domain,
        );
        self.targets.entry(target.id.clone()).or_insert(target).clone()
    }

    /// The target, but for what is not empty.
    fn rewritten(
        &mut self,
        target: &Target,
        service: &str,
        subset: &str,
        namespace: &str,
        datacenter: &str,
    ) -> Target {
        // The subset of another service has nothing to do with this one's.
        let other = !service.is_empty() && service != target.service;
        let kept = if other { "" } else { &*target.service_subset };
        self.target(
            or(service, &target.service),
            or(subset, kept),
            or(namespace, &target.namespace),
            or(datacenter, &target.datacenter),
        )
    }

    fn splitter_or_resolver(
        &mut self,
        service: &str,
        namespace: &str,
    ) -> Result<String, ChainError> {
        let target = self.target(service, "", namespace, "");
        match self.splitter(service, 0)? {
            Some(key) => Ok(key),
            None => self.resolver_node(target),
        }
    }

    /// Key of the service's splitter, if it has one. `depth` is how many lead to it.
    fn splitter(&mut self, service: &str, depth: usize) -> Result<Option<String>, ChainError> {
        let name = format!("{service}.{NAMESPACE}");
        let key = format!("splitter:{name}");
        if self.nodes.contains_key(&key) {
            return Ok(Some(key));
        }
        let Some(Named { entry, .. }) = find(&self.entries.splitters, service) else {
            return Ok(None);
        };
        if self.plain {
            self.customized.protocol = self.options.protocol;
            return Ok(None);
        }
        if depth == DEPTH_MAX {
            return Err(ChainError::TooLong { chain: self.service.to_owned() });
        }
        // There already when the way comes back to it, which is refused later.
        let step = Step::Splitter { splits: Vec::new(), load_balancer: None };
        self.record(Node { name: name.clone(), step });
        let mut splits = Vec::with_capacity(entry.splits.len());
        // One policy can be applied to all ways out: the first that needs to be.
        let mut load_balancer = None;
        for split in &entry.splits {
            let next = self.split(service, split, depth, &mut load_balancer)?;
            splits.push(Split { weight: split.weight, next });
        }
        self.record(Node { name, step: Step::Splitter { splits, load_balancer } });
        self.advanced = true;
        Ok(Some(key))
    }

    /// Where a split of `service` leads to.
    fn split(
        &mut self,
        service: &str,
        split: &ServiceSplit,
        depth: usize,
        load_balancer: &mut Option<LoadBalancer>,
    ) -> Result<String, ChainError> {
        let to = or(&split.service, service);
        if to != service
            && split.service_subset.is_empty()
            && let Some(key) = self.splitter(to, depth + 1)?
        {
            return Ok(key);
        }
        let target = self.target(to, &split.service_subset, NAMESPACE, "");
        let key = self.resolver_node(target)?;
        if load_balancer.is_none()
            && let Some(Node { step: Step::Resolver { load_balancer: Some(own), .. }, .. }) =
                self.nodes.get(&key)
            && own.is_hash_based()
        {
            *load_balancer = Some(own.clone());
        }
        Ok(key)
    }

    /// Key of the resolver's node at which the way to `target` ends.
    fn resolver_node(&mut self, target: Target) -> Result<String, ChainError> {
        let (target, resolver) = match self.resolve(target)? {
            Resolved::Known(id) => return Ok(format!("resolver:{id}")),
            Resolved::New(target, resolver) => (target, resolver),
        };
        let mut node = Node {
            name: target.id.clone(),
            step: Step::Resolver {
                resolver: Resolver {
                    default: resolver.is_none_or(ServiceResolver::is_default),
                    connect_timeout: target.connect_timeout,
                    target: target.id.clone(),
                    failover: Vec::new(),
                },
                load_balancer: resolver.and_then(|resolver| resolver.load_balancer.clone()),
            },
        };
        let key = self.record(node.clone());
        let ids = self.failover(&target, resolver)?;
        if let Step::Resolver { resolver, .. } = &mut node.step
            && !ids.is_empty()
        {
            resolver.failover = ids;
            self.record(node);
        }
        Ok(key)
    }

    /// Ids of the targets that take the place of `target`.
    fn failover(
        &mut self,
        target: &Target,
        resolver: Option<&ServiceResolver>,
    ) -> Result<Vec<String>, ChainError> {
        let Some(failover) = resolver.and_then(|resolver| {
            let all = &resolver.failover;
            all.get(&target.service_subset).or_else(|| all.get("*"))
        }) else {
            return Ok(Vec::new());
        };
        let same = [String::new()];
        let datacenters =
            if failover.datacenters.is_empty() { &same[..] } else { &failover.datacenters };
        let mut instead = Vec::with_capacity(datacenters.len());
        for datacenter in datacenters {
            let other = self.rewritten(
                target,
                &failover.service,
                &failover.service_subset,
                &failover.namespace,
                datacenter,
            );
            // Nothing takes its own place.
            if other.id != target.id {
                instead.push(other);
            }
        }
        let mut ids = Vec::with_capacity(instead.len());
        for other in instead {
            // Its redirects and its subset count, but not its failover.
            ids.push(match self.resolve(other)? {
                Resolved::Known(id) => id,
                Resolved::New(target, _) => target.id.clone(),
            });
        }
        Ok(ids)
    }

    /// Follows redirects and default subsets from `target` to where they end, and settles what is
    /// known of that.
    fn resolve(&mut self, mut target: Target) -> Result<Resolved<'a>, ChainError> {
        let mut way: Vec<String> = Vec::new();
        let mut seen = BTreeSet::new();
        let resolver = loop {
            if self.nodes.contains_key(&format!("resolver:{}", target.id)) {
                return Ok(Resolved::Known(target.id));
            }
            self.speaks(&target.service)?;
            way.push(target.id.clone());
            if !seen.insert(target.id.clone()) {
                return Err(ChainError::CircularRedirect(way));
            }
            let Some(Named { entry: resolver, .. }) =
                find(&self.entries.resolvers, &target.service)
            else {
                break None;
            };
            if let Some(to) = &resolver.redirect {
                let there = self.rewritten(
                    &target,
                    &to.service,
                    &to.service_subset,
                    &to.namespace,
                    &to.datacenter,
                );
                if there.id != target.id {
                    target = there;
                    continue;
                }
            }
            if target.service_subset.is_empty() && !resolver.default_subset.is_empty() {
                target = self.rewritten(&target, "", &resolver.default_subset, "", "");
                continue;
            }
            break Some(resolver);
        };
        self.settle(&mut target, resolver)?;
        self.retained.insert(target.id.clone());
        self.targets.insert(target.id.clone(), target.clone());
        Ok(Resolved::New(Box::new(target), resolver))
    }

    /// What the entries say about a target at which a way ends.
    fn settle(
        &mut self,
        target: &mut Target,
        resolver: Option<&ServiceResolver>,
    ) -> Result<(), ChainError> {
        if !target.service_subset.is_empty() {
            let subset = resolver.and_then(|own| own.subsets.get(&target.service_subset));
            let Some(subset) = subset else {
                return Err(ChainError::NoSubset {
                    service: target.service.clone(),
                    subset: target.service_subset.clone(),
                });
            };
            target.subset = subset.clone();
        }
        let configured = resolver.map(|own| own.connect_timeout).filter(|own| !own.is_zero());
        target.connect_timeout = configured.unwrap_or(CONNECT_TIMEOUT);
        let wished = self.options.connect_timeout;
        if !wished.is_zero() && wished != target.connect_timeout {
            target.connect_timeout = wished;
            self.customized.connect_timeout = wished;
        }
        let defaults = find(&self.entries.defaults, &target.service).map(|own| &own.entry);
        if let Some(defaults) = defaults.filter(|own| !own.external_sni.is_empty()) {
            target.sni.clone_from(&defaults.external_sni);
            target.external = true;
            refuse_external(&target.service, resolver)?;
        }
        if target.datacenter == self.options.used_in || target.external {
            target.mesh_gateway.clear();
            return Ok(());
        }
        let own = defaults.map_or("", |own| &own.mesh_gateway.mode);
        let all = self.entries.global.as_ref().map_or("", |all| &all.mesh_gateway.mode);
        or(own, all).clone_into(&mut target.mesh_gateway);
        let wished = self.options.mesh_gateway;
        if !wished.is_empty() && wished != target.mesh_gateway {
            wished.clone_into(&mut target.mesh_gateway);
            self.customized.mesh_gateway = wished;
        }
        Ok(())
    }
}

/// Where the way to a target ends.
enum Resolved<'a> {
    /// At one that has a node already.
    Known(String),
    /// At this one, with its resolver.
    New(Box<Target>, Option<&'a ServiceResolver>),
}

/// What only the mesh can do cannot be done for a service outside of it.
fn refuse_external(service: &str, resolver: Option<&ServiceResolver>) -> Result<(), ChainError> {
    let Some(resolver) = resolver else { return Ok(()) };
    let what = if resolver.redirect.is_some() {
        "redirects"
    } else if !resolver.subsets.is_empty() {
        "subsets"
    } else if !resolver.failover.is_empty() {
        "failover"
    } else {
        return Ok(());
    };
    Err(ChainError::External { service: service.to_owned(), what })
}

/// The route behind all others.
fn everything_to(service: &str) -> ServiceRoute {
    let http = HttpMatch { path_prefix: "/".to_owned(), ..HttpMatch::default() };
    ServiceRoute {
        matches: Some(RouteMatch { http: Some(http) }),
        destination: Some(Destination {
            service: service.to_owned(),
            namespace: NAMESPACE.to_owned(),
            ..Destination::default()
        }),
    }
}

fn or<'s>(value: &'s str, otherwise: &'s str) -> &'s str {
    if value.is_empty() { otherwise } else { value }
}
