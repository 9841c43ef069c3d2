//! Queries of the simple model: scans in the order of the maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use lictor_state::MatchBy;
use lictor_types::catalog::{CheckServiceNode, Node, NodeInfo, Service, ServiceKind, ServiceNode};
use lictor_types::check::HealthCheck;
use lictor_types::intention::Intention;
use lictor_types::kv::KvEntry;

use crate::naive::Naive;
use crate::queries::{Answer, Query};

fn shared<'a, T: Clone + 'a>(rows: impl Iterator<Item = &'a T>) -> Vec<Arc<T>> {
    rows.cloned().map(Arc::new).collect()
}

/// The name under which an instance is found in the mesh.
fn mesh_name(service: &Service) -> Option<String> {
    let name = if service.kind == ServiceKind::ConnectProxy {
        let later = service.proxy.as_ref().map(|p| p.destination_service_name.clone());
        later.unwrap_or_else(|| service.proxy_destination.clone())
    } else if service.connect.native {
        service.name.to_string()
    } else {
        return None;
    };
    Some(name.to_lowercase())
}

impl Naive {
    pub(crate) fn answer(&self, query: Query) -> Answer {
        let sessions = self.sessions.values();
        match query {
            Query::Acl(query) => self.acl_answer(query),
            Query::Coordinates => Answer::Coordinates(shared(self.coordinates.values())),
            Query::NodeCoordinates(node) => {
                let rows = self.coordinates.iter().filter(|((on, _), _)| on == node);
                Answer::Coordinates(shared(rows.map(|(_, row)| row)))
            }
            Query::Autopilot => Answer::Autopilot(self.autopilot.clone().map(Arc::new)),
            Query::ConfigEntries => Answer::ConfigEntries(shared(self.entries.values())),
            Query::KvGet(key) => Answer::Entries(shared(self.kv.get(key).into_iter())),
            Query::KvList(prefix) => Answer::Entries(shared(self.under(prefix))),
            Query::KvKeys(prefix, separator) => {
                let mut keys: Vec<Arc<str>> = Vec::new();
                for entry in self.under(prefix) {
                    let rest = &entry.key[prefix.len()..];
                    let shown = match rest.split_once(separator) {
                        Some((head, _)) if !separator.is_empty() => {
                            format!("{prefix}{head}{separator}").into()
                        }
                        _ => Arc::clone(&entry.key),
                    };
                    if !keys.contains(&shown) {
                        keys.push(shown);
                    }
                }
                Answer::Keys(keys)
            }
            Query::Nodes(env) => {
                Answer::Nodes(shared(self.nodes.values().filter(|n| in_env(n, env))))
            }
            Query::Services(env) => {
                let mut names: BTreeMap<Arc<str>, Vec<String>> = BTreeMap::new();
                for ((node, _), service) in &self.services {
                    if in_env(&self.nodes[node], env) {
                        let tags = names.entry(Arc::clone(&service.name)).or_default();
                        for tag in &service.tags {
                            if !tags.contains(tag) {
                                tags.push(tag.clone());
                            }
                        }
                    }
                }
                Answer::Names(names)
            }
            Query::NodeServices(text) => {
                let starts: Vec<_> =
                    self.nodes.values().filter(|n| n.id.starts_with(text)).collect();
                let by_id =
                    if text.len() >= 2 && starts.len() == 1 { Some(starts[0]) } else { None };
                let node = self.nodes.get(text).or(by_id);
                Answer::NodeServices(node.map(|n| (Arc::new(n.clone()), self.services_on(&n.name))))
            }
            Query::NodeInfos(name) => {
                let nodes =
                    self.nodes.values().filter(|n| name.is_none_or(|name| &*n.name == name));
                Answer::Infos(
                    nodes
                        .map(|n| NodeInfo {
                            node: Arc::new(n.clone()),
                            services: self.services_on(&n.name),
                            checks: self.checks_where(|c| c.node == n.name),
                        })
                        .collect(),
                )
            }
            Query::ServiceNodes(name) => Answer::Instances(self.instances(name, false)),
            Query::ConnectNodes(name) => Answer::Instances(self.instances(name, true)),
            Query::Health(name, mesh) => Answer::Health(self.health(name, mesh)),
            Query::NodeChecks(node) => Answer::Checks(self.checks_where(|c| &*c.node == node)),
            Query::ServiceChecks(name, env) => Answer::Checks(self.checks_where(|c| {
                let of_it = c.service_name.to_lowercase() == name.to_lowercase();
                of_it && in_env(&self.nodes[&*c.node], env)
            })),
            Query::InState(state) => {
                let mut rows = self.checks_where(|c| state.is_none_or(|s| c.status == s));
                rows.sort_by_key(|check| check.status.as_str());
                Answer::Checks(rows)
            }
            Query::Session(id) => Answer::Sessions(shared(sessions.filter(|s| &*s.id == id))),
            Query::Sessions => Answer::Sessions(shared(sessions)),
            Query::NodeSessions(node) => {
                Answer::Sessions(shared(sessions.filter(|s| &*s.node == node)))
            }
            Query::Prepared(id) => Answer::Prepared(shared(self.prepared.get(id).into_iter())),
            Query::PreparedAll => Answer::Prepared(shared(self.prepared.values())),
            Query::Resolve(name) => Answer::Resolved(self.resolve(name)),
            Query::Intention(id) => Answer::Intentions(shared(self.intentions.get(id).into_iter())),
            Query::Intentions => Answer::Intentions(self.intentions_where(|_| true)),
            Query::Match(by, ns, name) => Answer::Intentions(self.intentions_where(|i| {
                let (rule_ns, rule_name) = match by {
                    MatchBy::Source => (&*i.source_ns, &*i.source_name),
                    MatchBy::Destination => (&*i.destination_ns, &*i.destination_name),
                };
                let namespace = rule_ns == "*" || rule_ns == ns;
                namespace && (rule_name == "*" || rule_name == name)
            })),
        }
    }

    /// What `health/service` and `health/checks` show of a name.
    pub(crate) fn shown(&self, name: &str, mesh: bool) -> (Vec<CheckServiceNode>, Answer) {
        let checks = self.answer(Query::ServiceChecks("never", ""));
        if mesh {
            return (self.health(name, true), checks);
        }
        let of_it = self.checks_where(|c| c.service_name.to_lowercase() == name);
        (self.health(name, false), Answer::Checks(of_it))
    }

    fn under(&self, prefix: &'static str) -> impl Iterator<Item = &KvEntry> {
        self.kv.values().filter(move |e| e.key.starts_with(prefix))
    }

    fn services_on(&self, node: &str) -> Vec<Arc<Service>> {
        shared(self.services.iter().filter(|((on, _), _)| on == node).map(|(_, row)| row))
    }

    fn checks_where(&self, wanted: impl Fn(&HealthCheck) -> bool) -> Vec<Arc<HealthCheck>> {
        shared(self.checks.values().filter(|c| wanted(c)))
    }

    fn instances(&self, name: &str, mesh: bool) -> Vec<ServiceNode> {
        let name = name.to_lowercase();
        let fits = |s: &Service| {
            if mesh { mesh_name(s).as_ref() == Some(&name) } else { s.name.to_lowercase() == name }
        };
        let rows = self.services.iter().filter(|(_, s)| fits(s));
        rows.map(|((node, _), service)| ServiceNode {
            node: Arc::new(self.nodes[node].clone()),
            service: Arc::new(service.clone()),
        })
        .collect()
    }

    fn health(&self, name: &str, mesh: bool) -> Vec<CheckServiceNode> {
        let with_checks = |ServiceNode { node, service }: ServiceNode| {
            let of = |id: &str| self.checks_where(|c| c.node == node.name && &*c.service_id == id);
            let mut checks = of("");
            checks.extend(of(&service.id));
            CheckServiceNode { node, service, checks }
        };
        self.instances(name, mesh).into_iter().map(with_checks).collect()
    }

    fn intentions_where(&self, wanted: impl Fn(&Intention) -> bool) -> Vec<Arc<Intention>> {
        let mut rows = shared(self.intentions.values().filter(|i| wanted(i)));
        rows.sort_by_key(|i| {
            let source = (i.source_ns.clone(), i.source_name.clone());
            (-i.precedence, source, i.destination_ns.clone(), i.destination_name.clone())
        });
        rows
    }
}

fn in_env(node: &Node, env: &str) -> bool {
    env.is_empty() || node.meta.get("env").is_some_and(|found| found == env)
}
