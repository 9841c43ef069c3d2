//! Who may connect to our service: the intentions that concern it, held here so that a decision
//! takes microseconds and no call.
//!
//! A policy that is not known yet, or whose lease has ended without a word from its source, allows
//! nobody. Where the rules come from is in `agent_source`; ending connections that a new rule
//! forbids is in `live`. Order and texts follow connect.md sections 9 and 10.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lictor_pki::ServiceId;
use tokio::sync::watch;
use tokio::time::Instant;

/// The wildcard, for names and namespaces.
const WILDCARD: &str = "*";

/// How long rules stay in force after their source was last heard, unless configured otherwise.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(72 * 3600);

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The source may connect.
    Allow,
    /// It may not.
    Deny,
}

impl Action {
    const fn upper(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
        }
    }
}

/// One intention whose destination covers our service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Namespace of the source, or `*`.
    pub source_namespace: String,
    /// Name of the source, or `*`.
    pub source_name: String,
    /// Namespace of the destination as the intention has it.
    pub destination_namespace: String,
    /// Name of the destination as the intention has it.
    pub destination_name: String,
    /// Allow or deny.
    pub action: Action,
    /// ID of the intention, for messages.
    pub id: String,
    /// Its rank, for messages.
    pub precedence: i64,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}/{} => {}/{} (ID: {}, Precedence: {})",
            self.action.upper(),
            self.source_namespace,
            self.source_name,
            self.destination_namespace,
            self.destination_name,
            self.id,
            self.precedence
        )
    }
}

/// Rules in the order in which they are tried, indexed by source.
#[derive(Debug, PartialEq, Eq)]
pub struct Rules {
    list: Vec<Rule>,
    default: Action,
    /// The first rule for an exact source, by namespace and name.
    exact: HashMap<(String, String), usize>,
    /// The first rule for every name of a namespace.
    namespaces: HashMap<String, usize>,
    /// The first rule for every source.
    everybody: Option<usize>,
}

impl Rules {
    /// Rules as the match of a destination gives them, first to try first, and what happens when
    /// none covers a source.
    #[must_use]
    pub fn new(list: Vec<Rule>, default: Action) -> Self {
        let (mut exact, mut namespaces, mut everybody) = (HashMap::new(), HashMap::new(), None);
        for (at, rule) in list.iter().enumerate() {
            let namespace = rule.source_namespace.clone();
            match (rule.source_namespace.as_str(), rule.source_name.as_str()) {
                (WILDCARD, _) => {
                    everybody.get_or_insert(at);
                }
                (_, WILDCARD) => {
                    namespaces.entry(namespace).or_insert(at);
                }
                (_, name) => {
                    exact.entry((namespace, name.to_owned())).or_insert(at);
                }
            }
        }
        Self { list, default, exact, namespaces, everybody }
    }

    /// The rule that decides about `namespace/name`, if there is one.
    #[must_use]
    pub fn matching(&self, namespace: &str, name: &str) -> Option<&Rule> {
        let exact = self.exact.get(&(namespace.to_owned(), name.to_owned()));
        let at = [exact, self.namespaces.get(namespace), self.everybody.as_ref()];
        self.list.get(*at.into_iter().flatten().min()?)
    }
}

/// The rules of one moment and how long they may be used.
#[derive(Clone, Debug)]
pub struct PolicySnapshot {
    /// Grows with every change of the rules.
    pub version: u64,
    /// The rules.
    pub rules: Arc<Rules>,
    /// After this instant nobody is allowed, unless a newer snapshot came.
    pub valid_until: Instant,
}

/// A decision and the words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the connection may be.
    pub action: Action,
    /// Version of the rules that decided; 0 if there were none.
    pub version: u64,
    /// Why, for people.
    pub reason: Reason,
}

/// Why a decision is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An intention matched.
    Intention(String),
    /// None matched.
    Default,
    /// The source's certificate is of another cluster.
    ForeignTrustDomain(String),
    /// No rules have come yet.
    NoPolicy,
    /// The source of rules has been silent for too long.
    LeaseEnded,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intention(rule) => write!(f, "Matched intention: {rule}"),
            Self::Default => f.write_str("Default behavior configured by ACLs"),
            Self::ForeignTrustDomain(host) => {
                write!(f, "Identity from an external trust domain: {host}")
            }
            Self::NoPolicy => f.write_str("no intentions are known yet"),
            Self::LeaseEnded => f.write_str("the known intentions are older than their lease"),
        }
    }
}

/// The live rules of one service.
#[derive(Clone, Debug)]
pub struct Policy {
    snapshots: watch::Receiver<Option<PolicySnapshot>>,
}

impl Policy {
    /// A policy that follows `snapshots`.
    #[must_use]
    pub const fn new(snapshots: watch::Receiver<Option<PolicySnapshot>>) -> Self {
        Self { snapshots }
    }

    /// Whether `source` may connect, by the rules of this moment.
    #[must_use]
    pub fn decide(&self, source: &ServiceId) -> Decision {
        let snapshot = self.snapshots.borrow();
        let refuse = |version, reason| Decision { action: Action::Deny, version, reason };
        let Some(snapshot) = snapshot.as_ref() else { return refuse(0, Reason::NoPolicy) };
        if Instant::now() >= snapshot.valid_until {
            return refuse(snapshot.version, Reason::LeaseEnded);
        }
        let (action, reason) = match snapshot.rules.matching(&source.namespace, &source.service) {
            Some(rule) => (rule.action, Reason::Intention(rule.to_string())),
            None => (snapshot.rules.default, Reason::Default),
        };
        Decision { action, version: snapshot.version, reason }
    }

    /// Version of the rules of this moment; 0 if there are none.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.snapshots.borrow().as_ref().map_or(0, |snapshot| snapshot.version)
    }

    /// The receiver behind this policy, for waiting for changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<PolicySnapshot>> {
        self.snapshots.clone()
    }
}

#[cfg(test)]
mod tests;
