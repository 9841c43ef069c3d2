//! What the bearer of a secret may do: the token's policies, those of its roles, its identities,
//! and the rules of a token of 1.2.
//!
//! A request asks for this once or more, so what was found out is kept: for each secret its rights,
//! valid as long as no token, policy or role changed; for each set of policies one authorizer; for
//! each policy its rules as read. After a change a secret is looked up again, which gives the same
//! authorizer unless its own policies changed. All of it is bounded and forgotten as a whole, since
//! it is quickly there again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use lictor_acl::{Authorizer, DefaultPolicy, Rules};
use lictor_metrics::{Handle, Metrics};
use lictor_state::{TOKEN_TABLES, View};
use lictor_types::Index;
use lictor_types::acl::{
    ANONYMOUS_SECRET, AclLink, AclToken, CLIENT, GLOBAL_MANAGEMENT_ID, MANAGEMENT, NodeIdentity,
    ServiceIdentity,
};
use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::timestamp::Timestamp;
use parking_lot::RwLock;

use super::duties::GLOBAL_MANAGEMENT_RULES;
use crate::authorize::AclSettings;

/// Secrets that are remembered, those that do not exist not among them.
const SECRETS_MOST: usize = 16 * 1024;
/// Sets of policies, and policies.
const SETS_MOST: usize = 4 * 1024;

/// Names that 1.2 has for what is no token.
const ROOTS: [&str; 3] = ["allow", "deny", "manage"];

/// Whether a secret is one of the words that 1.2 keeps for itself.
pub(crate) fn is_root(secret: &str) -> bool {
    ROOTS.contains(&secret)
}

/// A part of what a token may do, named so that equal names are equal rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// A policy, by ID and the index of its last change, and the state's epoch.
    Policy(Arc<str>, Index, u64),
    Service(Arc<str>),
    Node(Arc<str>),
    /// Rule text of 1.2.
    Legacy(Arc<str>),
    /// Everything.
    Management,
}

/// What is known of a secret.
#[derive(Clone, Debug)]
struct Known {
    epoch: u64,
    index: Index,
    end: Option<Timestamp>,
    authorizer: Arc<Authorizer>,
}

/// Everything that was found out.
#[derive(Debug)]
pub(crate) struct Resolver {
    datacenter: String,
    default: DefaultPolicy,
    /// What everybody may do besides.
    always: Option<Rules>,
    by_default: Arc<Authorizer>,
    manage_all: Arc<Authorizer>,
    secrets: RwLock<HashMap<Box<str>, Known>>,
    sets: RwLock<HashMap<Vec<Part>, Arc<Authorizer>>>,
    rules: RwLock<HashMap<Part, Arc<Rules>>>,
    /// Secrets that were known, those that were not, and how long it took to find out about them.
    hits: Handle,
    misses: Handle,
    resolving: Handle,
    faults: Handle,
    /// What the datacenter that rules this one says of secrets that are not kept here.
    lent: RwLock<HashMap<Box<str>, Arc<Authorizer>>>,
}

/// Whether it permits everything, so that nobody needs to look at rules.
fn is_management(view: &View, part: &Part) -> bool {
    match part {
        Part::Management => true,
        Part::Policy(id, ..) => {
            **id == *GLOBAL_MANAGEMENT_ID
                && view.policy(id).1.is_some_and(|policy| policy.rules == GLOBAL_MANAGEMENT_RULES)
        }
        _ => false,
    }
}

fn keep<K: Hash + Eq, V>(map: &RwLock<HashMap<K, V>>, most: usize, key: K, value: V) {
    let mut map = map.write();
    if map.len() >= most {
        map.clear();
    }
    map.insert(key, value);
}

impl Resolver {
    pub(crate) fn new(datacenter: &str, settings: &AclSettings, metrics: &Metrics) -> Self {
        let default = settings.default_policy;
        let always = settings.nodes_open.then(Rules::before_version_8);
        Self {
            datacenter: datacenter.to_owned(),
            default,
            by_default: Arc::new(Authorizer::new(&always, default)),
            always,
            manage_all: Arc::new(Authorizer::manage_all()),
            secrets: RwLock::default(),
            sets: RwLock::default(),
            rules: RwLock::default(),
            hits: metrics.counter("acl.cache_hit"),
            misses: metrics.counter("acl.cache_miss"),
            resolving: metrics.sample("acl.resolveToken"),
            faults: metrics.sample("acl.fault"),
            lent: RwLock::default(),
        }
    }

    /// Says what a secret permits that is not kept here; `None` that there is no such token.
    pub(crate) fn lend(&self, secret: &str, who: Option<&Arc<Authorizer>>) {
        let known = self.lent.read().get(secret).cloned();
        match (who, known) {
            (None, None) => return,
            (Some(who), Some(known)) if Arc::ptr_eq(who, &known) => return,
            (Some(who), _) => keep(&self.lent, SECRETS_MOST, secret.into(), Arc::clone(who)),
            (None, Some(_)) => drop(self.lent.write().remove(secret)),
        }
        self.secrets.write().remove(secret);
    }

    fn lent(&self, secret: &str) -> Option<Arc<Authorizer>> {
        self.lent.read().get(secret).cloned()
    }

    /// Rights of those who may do everything.
    pub(crate) fn manage_all(&self) -> Arc<Authorizer> {
        Arc::clone(&self.manage_all)
    }

    /// The rights of a secret as of a version of the state; an empty one is anybody's. `now` is
    /// asked for only where a token has an end.
    pub(crate) fn of(
        &self,
        view: &View,
        now: impl Fn() -> Timestamp,
        secret: &str,
    ) -> Result<Arc<Authorizer>, EndpointError> {
        let secret = if secret.is_empty() { ANONYMOUS_SECRET } else { secret };
        let (epoch, index) = (view.epoch(), view.table_index(&TOKEN_TABLES));
        if let Some(known) = self.secrets.read().get(secret)
            && (known.epoch, known.index) == (epoch, index)
        {
            self.hits.count();
            return match known.end {
                Some(end) if end < now() => Err(EndpointError::acl_not_found()),
                _ => Ok(Arc::clone(&known.authorizer)),
            };
        }
        self.misses.count();
        let _timed = (self.resolving.start(), self.faults.start());
        let found = view.token_by_secret(secret).1;
        if found.is_none()
            && let Some(lent) = self.lent(secret)
        {
            return Ok(lent);
        }
        let known = match found {
            Some(token) if token.is_expired(now()) => return Err(EndpointError::acl_not_found()),
            Some(token) => Known {
                epoch,
                index,
                end: token.expiration_time.filter(|end| end.0 != 0),
                authorizer: self.resolve(view, &token)?,
            },
            // The first leader makes it; before that nobody has more than the default.
            None if secret == ANONYMOUS_SECRET => {
                Known { epoch, index, end: None, authorizer: Arc::clone(&self.by_default) }
            }
            None if is_root(secret) => {
                let text = "Permission denied: Cannot resolve root ACL";
                return Err(EndpointError::new(ErrorKind::PermissionDenied, text));
            }
            None => return Err(EndpointError::acl_not_found()),
        };
        let authorizer = Arc::clone(&known.authorizer);
        keep(&self.secrets, SECRETS_MOST, secret.into(), known);
        Ok(authorizer)
    }

    fn resolve(&self, view: &View, token: &AclToken) -> Result<Arc<Authorizer>, EndpointError> {
        let parts = self.parts(view, token);
        if parts.is_empty() {
            return Ok(Arc::clone(&self.by_default));
        }
        if let [only] = &*parts
            && is_management(view, only)
        {
            return Ok(self.manage_all());
        }
        if let Some(found) = self.sets.read().get(&parts) {
            return Ok(Arc::clone(found));
        }
        let mut rules = Vec::with_capacity(parts.len());
        for part in &parts {
            rules.push(self.rules(view, part)?);
        }
        let rules = rules.iter().map(|rules| &**rules).chain(&self.always);
        let made = Arc::new(Authorizer::new(rules, self.default));
        keep(&self.sets, SETS_MOST, parts, Arc::clone(&made));
        Ok(made)
    }

    /// A token's rules, each part of them; `None` when it may do everything.
    pub(crate) fn rules_of(
        &self,
        view: &View,
        token: &AclToken,
    ) -> Result<Option<Vec<Arc<Rules>>>, EndpointError> {
        let parts = self.parts(view, token);
        if parts.iter().any(|part| is_management(view, part)) {
            return Ok(None);
        }
        parts.iter().map(|part| self.rules(view, part)).collect::<Result<_, _>>().map(Some)
    }

    /// What a token's rights are made of; each part once, in a fixed order.
    fn parts(&self, view: &View, token: &AclToken) -> Vec<Part> {
        let mut parts = Vec::new();
        let links = |links: &[AclLink], parts: &mut Vec<Part>| {
            for link in links {
                let Some(policy) = view.policy(&link.id).1 else { continue };
                if self.holds_here(&policy.datacenters) {
                    let id = policy.id.as_str().into();
                    parts.push(Part::Policy(id, policy.modify_index, view.epoch()));
                }
            }
        };
        links(&token.policies, &mut parts);
        self.identities(&token.service_identities, &token.node_identities, &mut parts);
        for link in &token.roles {
            let Some(role) = view.role(&link.id).1 else { continue };
            links(&role.policies, &mut parts);
            self.identities(&role.service_identities, &role.node_identities, &mut parts);
        }
        if token.kind == MANAGEMENT {
            parts.push(Part::Management);
        } else if token.kind == CLIENT && !token.rules.is_empty() {
            parts.push(Part::Legacy(token.rules.as_str().into()));
        }
        let mut seen = std::collections::HashSet::new();
        parts.retain(|part| seen.insert(part.clone()));
        parts
    }

    fn identities(
        &self,
        services: &[ServiceIdentity],
        nodes: &[NodeIdentity],
        parts: &mut Vec<Part>,
    ) {
        for service in services.iter().filter(|one| self.holds_here(&one.datacenters)) {
            parts.push(Part::Service(service.service_name.as_str().into()));
        }
        for node in nodes.iter().filter(|one| one.datacenter == self.datacenter) {
            parts.push(Part::Node(node.node_name.as_str().into()));
        }
    }

    fn holds_here(&self, datacenters: &[String]) -> bool {
        datacenters.is_empty() || datacenters.contains(&self.datacenter)
    }

    fn rules(&self, view: &View, part: &Part) -> Result<Arc<Rules>, EndpointError> {
        if let Some(rules) = self.rules.read().get(part) {
            return Ok(Arc::clone(rules));
        }
        let failed = |name: &str, error: &dyn std::fmt::Display| {
            EndpointError::refused(format!(
                "failed to parse the ACL policies: failed to parse {name:?}: {error}"
            ))
        };
        let rules = match part {
            Part::Policy(id, ..) => {
                let policy = view.policy(id).1.unwrap_or_default();
                Rules::parse(&policy.rules).map_err(|error| failed(&policy.name, &error))?
            }
            Part::Service(name) => Rules::service_identity(name),
            Part::Node(name) => Rules::node_identity(name),
            Part::Legacy(text) => {
                Rules::parse_legacy(text).map_err(|error| failed("legacy-policy", &error))?
            }
            Part::Management => Rules::parse(GLOBAL_MANAGEMENT_RULES)
                .map_err(|error| failed("legacy-management", &error))?,
        };
        let rules = Arc::new(rules);
        keep(&self.rules, SETS_MOST, part.clone(), Arc::clone(&rules));
        Ok(rules)
    }
}
