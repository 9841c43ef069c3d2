//! Whether entries still make sense after a change of one.

use std::collections::{BTreeMap, BTreeSet};

use lictor_types::chain::entry::ServiceSplitter;
use lictor_types::chain::entry::{
    GLOBAL, IngressGateway, ServiceResolver, ServiceRouter, WILDCARD, kind,
};
use lictor_types::chain::{PROTOCOL, Step, is_http_like};

use super::entries::{Named, find};
use super::{ChainError, CompileOptions, Entries, Top, compile};

/// What chains are compiled with that nobody gets to see.
const ANY_TRUST_DOMAIN: &str = "00000000-0000-0000-0000-000000000000.consul";

/// Says whether an entry may be written or deleted; `entries` are those that there would be then,
/// `datacenter` is the own one.
///
/// All chains that lead through the entry's service at once are compiled, and those of services
/// that a gateway or an intention depends on; what they speak must be what listeners and
/// permissions need. An entry of a kind that no chain depends on is always in order.
///
/// # Errors
/// What would not make sense; of several things, the first by the order of names, but what is wrong
/// with the entry's own service before that.
pub fn check(
    entries: &Entries,
    changed_kind: &str,
    changed_name: &str,
    datacenter: &str,
) -> Result<(), ChainError> {
    let affected = match changed_kind {
        kind::PROXY_DEFAULTS if changed_name.eq_ignore_ascii_case(GLOBAL) => everything(entries),
        kind::SERVICE_INTENTIONS => {
            // An entry that goes leaves nothing behind that could be wrong.
            let own = find(&entries.intentions, changed_name);
            Affected { intentions: own.into_iter().map(|own| &*own.name).collect(), ..none() }
        }
        kind::INGRESS_GATEWAY => {
            refuse_clash(entries, kind::INGRESS_GATEWAY, changed_name)?;
            let own = find(&entries.ingress, changed_name);
            // Of a gateway that is written itself all services must speak what it does.
            Affected { ingress: own.into_iter().collect(), strictly: true, ..none() }
        }
        kind::TERMINATING_GATEWAY => {
            refuse_clash(entries, kind::TERMINATING_GATEWAY, changed_name)?;
            around(entries, changed_name)
        }
        kind::SERVICE_DEFAULTS
        | kind::SERVICE_ROUTER
        | kind::SERVICE_SPLITTER
        | kind::SERVICE_RESOLVER => around(entries, changed_name),
        _ => return Ok(()),
    };
    affected.check(entries, datacenter)
}

/// What a change can make wrong.
struct Affected<'a> {
    /// Services whose chains it changes.
    chains: BTreeSet<&'a str>,
    /// The one among them that was changed.
    first: Option<&'a str>,
    ingress: Vec<&'a Named<IngressGateway>>,
    /// Names of entries of intentions.
    intentions: Vec<&'a str>,
    /// Whether gateways need exactly their own protocol.
    strictly: bool,
}

fn none<'a>() -> Affected<'a> {
    Affected {
        chains: BTreeSet::new(),
        first: None,
        ingress: Vec::new(),
        intentions: Vec::new(),
        strictly: false,
    }
}

/// A change of what all services speak.
fn everything(entries: &Entries) -> Affected<'_> {
    let mut affected = none();
    affected.chains.extend(entries.routers.values().map(|own| &*own.name));
    affected.chains.extend(entries.splitters.values().map(|own| &*own.name));
    affected.chains.extend(entries.resolvers.values().map(|own| &*own.name));
    affected.ingress.extend(entries.ingress.values().map(|own| &**own));
    affected.intentions.extend(entries.intentions.values().map(|own| &*own.name));
    affected
}

/// A change of the service `name`.
fn around<'a>(entries: &'a Entries, name: &'a str) -> Affected<'a> {
    let mut affected = Affected { first: Some(name), ..none() };
    let routers = entries.routers.values().filter(|own| router_leads(own, name));
    affected.chains.extend(routers.map(|own| &*own.name));
    let splitters = entries.splitters.values().filter(|own| splitter_leads(own, name));
    affected.chains.extend(splitters.map(|own| &*own.name));
    let resolvers = entries.resolvers.values().filter(|own| resolver_leads(own, name));
    affected.chains.extend(resolvers.map(|own| &*own.name));
    let ingress = entries.ingress.values().filter(|own| services(own).any(|one| one == name));
    affected.ingress.extend(ingress.map(|own| &**own));
    affected.intentions.extend(entries.intentions.values().map(|own| &*own.name));
    affected
}

fn router_leads(router: &Named<ServiceRouter>, name: &str) -> bool {
    let mut ways = router.entry.routes.iter().filter_map(|route| route.destination.as_ref());
    ways.any(|to| to.service == name)
}

fn splitter_leads(splitter: &Named<ServiceSplitter>, name: &str) -> bool {
    splitter.entry.splits.iter().any(|split| split.service == name)
}

fn resolver_leads(resolver: &Named<ServiceResolver>, name: &str) -> bool {
    let ServiceResolver { redirect, failover, .. } = &resolver.entry;
    redirect.as_ref().is_some_and(|to| to.service == name)
        || failover.values().any(|to| to.service == name)
}

/// The services that a gateway leads to by name.
fn services(ingress: &Named<IngressGateway>) -> impl Iterator<Item = &str> {
    let all = ingress.entry.listeners.iter().flat_map(|listener| &listener.services);
    all.map(|service| &*service.name).filter(|name| *name != WILDCARD)
}

impl<'a> Affected<'a> {
    fn check(mut self, entries: &'a Entries, datacenter: &str) -> Result<(), ChainError> {
        self.chains.extend(self.ingress.iter().flat_map(|ingress| services(ingress)));
        self.chains.extend(self.intentions.iter().copied());
        let mut found = BTreeMap::new();
        // What is wrong with the changed service itself is told first.
        for name in self.first.iter().chain(&self.chains) {
            if !found.contains_key(name) {
                found.insert(*name, outline(entries, name, datacenter)?);
            }
        }
        for ingress in &self.ingress {
            refuse_listeners(ingress, &found, self.strictly)?;
        }
        for name in self.intentions {
            let has =
                find(&entries.intentions, name).is_some_and(|own| own.entry.has_permissions());
            if name == WILDCARD || !has {
                continue;
            }
            let (protocol, _) = known(&found, name);
            if !is_http_like(protocol) {
                return Err(ChainError::IntentionProtocol {
                    service: name.to_owned(),
                    protocol: protocol.to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// What a chain speaks, and how it begins.
type Outline = (String, Top);

/// The outline of the chain of `service`, if it makes one.
fn outline(entries: &Entries, service: &str, datacenter: &str) -> Result<Outline, ChainError> {
    let single = find(&entries.routers, service).is_none()
        && find(&entries.splitters, service).is_none()
        && find(&entries.resolvers, service).is_none();
    if single {
        // The usual case among intentions: nothing can be wrong with it.
        return Ok((entries.protocol(service), Top::Resolver));
    }
    let options = CompileOptions {
        evaluate_in: datacenter,
        used_in: datacenter,
        trust_domain: ANY_TRUST_DOMAIN,
        ..CompileOptions::default()
    };
    let chain = compile(entries, service, &options)?;
    let top = match chain.nodes.get(&chain.start).map(|node| &node.step) {
        Some(Step::Router(_) | Step::Splitter { .. }) => Top::Advanced,
        Some(Step::Resolver { .. }) | None => Top::Resolver,
    };
    Ok((chain.protocol, top))
}

fn known<'s>(found: &'s BTreeMap<&str, Outline>, name: &str) -> (&'s str, Top) {
    found.get(name).map_or((PROTOCOL, Top::Resolver), |(protocol, top)| (protocol, *top))
}

fn refuse_listeners(
    ingress: &Named<IngressGateway>,
    found: &BTreeMap<&str, Outline>,
    strictly: bool,
) -> Result<(), ChainError> {
    for listener in &ingress.entry.listeners {
        let wanted = if listener.protocol.is_empty() { PROTOCOL } else { &*listener.protocol };
        for service in listener.services.iter().filter(|service| service.name != WILDCARD) {
            let (protocol, top) = known(found, &service.name);
            // A listener of TCP may lead to anything that does not look into requests, once it is
            // there.
            let tunnels = !strictly && wanted == PROTOCOL && top == Top::Resolver;
            if protocol != wanted && !tunnels {
                return Err(ChainError::ListenerProtocol {
                    service: service.name.clone(),
                    protocol: protocol.to_owned(),
                    listener: wanted.to_owned(),
                });
            }
        }
    }
    Ok(())
}

/// A gateway is of one kind.
fn refuse_clash(entries: &Entries, kind: &'static str, name: &str) -> Result<(), ChainError> {
    let ingress = find(&entries.ingress, name).is_some();
    let terminating = find(&entries.terminating, name).is_some();
    if !(ingress && terminating) {
        return Ok(());
    }
    let other = if kind == kind::INGRESS_GATEWAY {
        kind::TERMINATING_GATEWAY
    } else {
        kind::INGRESS_GATEWAY
    };
    Err(ChainError::GatewayClash { kind, name: name.to_owned(), other })
}
