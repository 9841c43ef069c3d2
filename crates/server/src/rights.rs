//! What of a read's result the caller may see.
//!
//! Lists are filtered silently: what may not be seen is left out. A single thing that may not be
//! seen is refused. A result is shared by all who ask the same, so a filter makes a new one only
//! when it leaves something out. The rules for each kind of rows follow the original's.

use std::collections::BTreeMap;
use std::sync::Arc;

use lictor_acl::{Authorizer, Level, Segmented};
use lictor_types::catalog::{CheckServiceNode, Node, NodeInfo, Service, ServiceNode};
use lictor_types::check::HealthCheck;
use lictor_types::coordinate::NodeCoordinate;
use lictor_types::error::EndpointError;
use lictor_types::intention::Intention;
use lictor_types::kv::KvEntry;
use lictor_types::session::Session;

/// Refuses when a right that is needed is not there.
pub(crate) fn need(right: bool) -> Result<(), EndpointError> {
    if right { Ok(()) } else { Err(EndpointError::permission_denied()) }
}

/// The rights that a read needs. Every read names its own.
pub(crate) trait Rights<T> {
    /// Refuses what may not be asked, or a single thing that may not be seen.
    ///
    /// # Errors
    /// `Permission denied`.
    fn allowed(&self, who: &Authorizer, value: &T) -> Result<(), EndpointError>;

    /// What may be seen, if that is not all.
    fn seen(&self, who: &Authorizer, value: &T) -> Option<T>;

    /// Whether the token is looked at.
    fn asks(&self) -> bool {
        true
    }
}

/// Everybody may see it.
pub(crate) struct Anybody;

impl<T> Rights<T> for Anybody {
    fn asks(&self) -> bool {
        false
    }

    fn allowed(&self, _: &Authorizer, _: &T) -> Result<(), EndpointError> {
        Ok(())
    }

    fn seen(&self, _: &Authorizer, _: &T) -> Option<T> {
        None
    }
}

/// Whoever may read the rows sees them.
pub(crate) struct Rows;

impl<T: Visible> Rights<T> for Rows {
    fn allowed(&self, _: &Authorizer, _: &T) -> Result<(), EndpointError> {
        Ok(())
    }

    fn seen(&self, who: &Authorizer, value: &T) -> Option<T> {
        value.visible(who)
    }
}

/// As [`Rows`], and nobody sees any who may not find the service that they speak for.
pub(crate) struct RowsOf<'a>(pub(crate) &'a str);

impl<T: Visible + Default> Rights<T> for RowsOf<'_> {
    fn allowed(&self, _: &Authorizer, _: &T) -> Result<(), EndpointError> {
        Ok(())
    }

    fn seen(&self, who: &Authorizer, value: &T) -> Option<T> {
        if who.service_read(self.0) { value.visible(who) } else { Some(T::default()) }
    }
}

/// One right decides about all of it.
pub(crate) struct Only<F>(pub(crate) F);

impl<T, F: Fn(&Authorizer) -> bool> Rights<T> for Only<F> {
    fn allowed(&self, who: &Authorizer, _: &T) -> Result<(), EndpointError> {
        need((self.0)(who))
    }

    fn seen(&self, _: &Authorizer, _: &T) -> Option<T> {
        None
    }
}

/// The first decides whether it may be asked, the second what is seen.
pub(crate) struct Both<F, R>(pub(crate) F, pub(crate) R);

impl<T, F: Fn(&Authorizer, &T) -> bool, R: Rights<T>> Rights<T> for Both<F, R> {
    fn allowed(&self, who: &Authorizer, value: &T) -> Result<(), EndpointError> {
        need((self.0)(who, value))?;
        self.1.allowed(who, value)
    }

    fn seen(&self, who: &Authorizer, value: &T) -> Option<T> {
        self.1.seen(who, value)
    }
}

/// Rows of which some may be seen and others not.
pub(crate) trait Visible: Sized {
    /// Those that may be seen, unless that is all of them.
    fn visible(&self, who: &Authorizer) -> Option<Self>;
}

/// Keeps the rows that may be seen; `None` when those are all.
fn kept<R: Clone>(rows: &[R], visible: impl Fn(&R) -> bool) -> Option<Vec<R>> {
    let first = rows.iter().position(|row| !visible(row))?;
    let (before, after) = rows.split_at(first);
    let rest = after.iter().skip(1).filter(|row| visible(row));
    Some(before.iter().chain(rest).cloned().collect())
}

/// Checks of a service need its name, those of the node alone do not.
fn service(who: &Authorizer, name: &str) -> bool {
    name.is_empty() || who.service_read(name)
}

fn check(who: &Authorizer, check: &HealthCheck) -> bool {
    who.node_read(&check.node) && service(who, &check.service_name)
}

/// Whether nothing of the catalog is hidden, so that rows need not be looked at.
fn whole_catalog(who: &Authorizer) -> bool {
    who.node_read_all() && who.service_read_all()
}

fn every_key(who: &Authorizer) -> bool {
    who.permits_all(Segmented::Key, Level::Read)
}

impl Visible for Vec<Arc<Node>> {
    fn visible(&self, who: &Authorizer) -> Option<Self> {
        if who.node_read_all() {
            return None;
        }
        kept(self, |node| who.node_read(&node.name))
    }
}

impl Visible for BTreeMap<Arc<str>, Vec<String>> {
    fn visible(&self, who: &Authorizer) -> Option<Self> {
        if who.service_read_all() || self.keys().all(|name| service(who, name)) {
            return None;
        }
        let seen = self.iter().filter(|(name, _)| service(who, name));
        Some(seen.map(|(name, tags)| (Arc::clone(name), tags.clone())).collect())
    }
}

impl Visible for Vec<ServiceNode> {
    fn visible(&self, who: &Authorizer) -> Option<Self> {
        if whole_catalog(who) {
            return None;
        }
        kept(self, |row| who.node_read(&row.node.name) && service(who, &row.service.name))
    }
}

impl Visible for Option<(Arc<Node>, Vec<Arc<Service>>)> {
    fn visible(&self, who: &Authorizer) -> Option<Self> {
        let (node, services) = self.as_ref()?;
        if !who.node_read(&node.name) {
            return Some(None);
        }
        let seen = kept(services, |one| service(who, &one.name))?;
        Some(Some((Arc::clone(node), seen)))
    }
}

impl Visible for Vec<NodeInfo> {
    fn visible(&self, who: &Authorizer) -> Option<Self> {
        if whole_catalog(who) {
            return None;
        }
        let hidden = |row: &NodeInfo| {
            !who.node_read(&row.node.name)
                || row.services.iter().any(|one| !service(who, &one.name))
                || row.checks.iter().any(|one| !service(who, &one.service_name))
        };
        if !self.iter().any(hidden) {
            return None;
        }
        let seen = self.iter().filter(|row| who.node_read(&row.node.name)).map(|row| {
            let mut row = row.clone();
            row.services.retain(|one| service(who, &one.name));
            row.checks.retain(|one| service(who, &one.service_name));
            row
        });
        Some(seen.collect())
    }
}

impl Visible for Vec<Arc<HealthCheck>> {
    fn visible(&self, who: &Authorizer) -> Option<Self> {
        if whole_catalog(who) {
            return None;
        }
        kept(self, |one| check(who, one))
    }
}

impl Visible for Vec<CheckServiceNode> {
    fn visible(&self, who: &Authorizer) -> Option<Self> {
        if whole_catalog(who) {
            return None;
        }
        kept(self, |row| who.node_read(&row.node.name) && service(who, &row.service.name))
    }
}

impl Visible for Vec<Arc<KvEntry>> {
    fn visible(&self, who: &Authorizer) -> Option<Self> {
        if every_key(who) {
            return None;
        }
        kept(self, |entry| who.key_read(&entry.key))
    }
}

/// Names of keys, some of them cut off.
impl Visible for Vec<Arc<str>> {
    fn visible(&self, who: &Authorizer) -> Option<Self> {
        if every_key(who) {
            return None;
        }
        kept(self, |key| who.key_read(key))
    }
}

impl Visible for Vec<Arc<Session>> {
    fn visible(&self, who: &Authorizer) -> Option<Self> {
        kept(self, |session| who.session_read(&session.node))
    }
}

impl Visible for Vec<Arc<NodeCoordinate>> {
    fn visible(&self, who: &Authorizer) -> Option<Self> {
        kept(self, |row| who.node_read(&row.node))
    }
}

impl Visible for Option<Arc<Session>> {
    fn visible(&self, who: &Authorizer) -> Option<Self> {
        let session = self.as_ref()?;
        if who.session_read(&session.node) { None } else { Some(None) }
    }
}

impl Visible for Vec<Arc<Intention>> {
    fn visible(&self, who: &Authorizer) -> Option<Self> {
        kept(self, |intention| who.intention_read(&intention.destination_name))
    }
}

#[cfg(test)]
mod tests {
    use lictor_acl::{DefaultPolicy, Rules};

    use super::*;

    fn token(rules: &str) -> Authorizer {
        Authorizer::new([&Rules::parse(rules).unwrap()], DefaultPolicy::Deny)
    }

    fn node(name: &str) -> Arc<Node> {
        Arc::new(Node { name: name.into(), ..Node::default() })
    }

    fn service(name: &str) -> Arc<Service> {
        Arc::new(Service { id: name.into(), name: name.into(), ..Service::default() })
    }

    fn check(node: &str, service: &str) -> Arc<HealthCheck> {
        Arc::new(HealthCheck {
            node: node.into(),
            service_name: service.into(),
            ..HealthCheck::default()
        })
    }

    const WEB: &str = r#"node "a" { policy = "read" } service "web" { policy = "read" }"#;

    #[test]
    fn what_may_all_be_seen_is_not_copied() {
        let all = token(
            r#"node_prefix "" { policy = "read" } service_prefix "" { policy = "write" }
               key_prefix "" { policy = "read" }"#,
        );
        for who in [&all, &Authorizer::manage_all()] {
            assert_eq!(vec![node("a"), node("b")].visible(who), None);
            assert_eq!(vec![check("a", "x"), check("b", "")].visible(who), None);
            let info = NodeInfo {
                node: node("a"),
                services: vec![service("x")],
                checks: vec![check("a", "x")],
            };
            assert_eq!(vec![info].visible(who), None);
            assert_eq!(vec![Arc::<str>::from("k")].visible(who), None);
        }
        assert_eq!(vec![node("a")].visible(&token(WEB)), None);
    }

    #[test]
    fn rows_need_their_node_and_their_service() {
        let who = token(WEB);
        let nodes = vec![node("b"), node("a"), node("c")].visible(&who).unwrap();
        assert_eq!(nodes, [node("a")]);
        let checks = vec![check("a", ""), check("a", "db"), check("b", "web"), check("a", "web")];
        assert_eq!(checks.visible(&who).unwrap(), [check("a", ""), check("a", "web")]);
        let names = BTreeMap::from([("db".into(), vec![]), ("web".into(), vec![])]);
        let seen = names.visible(&who).unwrap();
        assert_eq!(seen.keys().map(|name| &**name).collect::<Vec<_>>(), ["web"]);
        let row = |node_name: &str, name: &str| CheckServiceNode {
            node: node(node_name),
            service: service(name),
            checks: vec![check(node_name, "")],
        };
        let rows = vec![row("a", "web"), row("b", "web"), row("a", "db")];
        assert_eq!(rows.visible(&who).unwrap(), [row("a", "web")]);
        let none: Vec<CheckServiceNode> = RowsOf("db").seen(&who, &vec![row("a", "web")]).unwrap();
        assert!(none.is_empty());
    }

    #[test]
    fn a_node_shows_only_its_visible_parts() {
        let who = token(WEB);
        let on = |name: &str| Some((node(name), vec![service("db"), service("web")]));
        assert_eq!(on("a").visible(&who), Some(Some((node("a"), vec![service("web")]))));
        assert_eq!(on("b").visible(&who), Some(None));
        assert_eq!(None::<(Arc<Node>, Vec<Arc<Service>>)>.visible(&who), None);
        let info = |name: &str| NodeInfo {
            node: node(name),
            services: vec![service("db"), service("web")],
            checks: vec![check(name, ""), check(name, "db")],
        };
        let seen = vec![info("b"), info("a")].visible(&who).unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].services, [service("web")]);
        assert_eq!(seen[0].checks, [check("a", "")]);
    }
}
