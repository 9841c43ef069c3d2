//! What a policy says, as a value: levels, resources, and the rules about them.
//!
//! The text of a policy is read in [`crate::parse`], decisions are made in [`crate::authorizer`].

use std::fmt;

/// How much a rule grants; each level grants what the ones before it do, and denial nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing.
    Deny,
    /// Reading.
    Read,
    /// Reading, and listing what is below a key.
    List,
    /// Everything.
    Write,
}

impl Level {
    /// The level of this name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Deny, Self::Read, Self::List, Self::Write]
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(name))
    }

    /// Its name in the text of a policy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Read => "read",
            Self::List => "list",
            Self::Write => "write",
        }
    }

    /// Whether a rule of this level permits what needs `wanted`. Nothing needs denial.
    #[must_use]
    pub fn grants(self, wanted: Self) -> bool {
        self != Self::Deny && self >= wanted
    }

    /// Of two rules about the same, the one that counts: denial, or else the one that grants more.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        if self == Self::Deny || other == Self::Deny { Self::Deny } else { self.max(other) }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Resources whose rules are about one name, or about all that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Segmented {
    /// What an agent does for its node; the name is the node's.
    Agent,
    /// User events, by name.
    Event,
    /// Keys of the key/value store.
    Key,
    /// Nodes of the catalog, by name.
    Node,
    /// Prepared queries, by name.
    Query,
    /// Services of the catalog, by name.
    Service,
    /// Sessions; the name is their node's.
    Session,
}

impl Segmented {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Agent,
        Self::Event,
        Self::Key,
        Self::Node,
        Self::Query,
        Self::Service,
        Self::Session,
    ];

    /// The block of a policy's text that has rules for one name; with `_prefix` behind it, those
    /// for all names that begin alike.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Event => "event",
            Self::Key => "key",
            Self::Node => "node",
            Self::Query => "query",
            Self::Service => "service",
            Self::Session => "session",
        }
    }
}

/// Everything that can be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// One with names.
    Segmented(Segmented),
    /// Intentions; the name is that of the service they lead to.
    Intention,
    /// Tokens and policies themselves.
    Acl,
    /// Keys of the gossip encryption.
    Keyring,
    /// The operation of the cluster.
    Operator,
}

impl Resource {
    /// The resource of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "intention" => Some(Self::Intention),
            "acl" => Some(Self::Acl),
            "keyring" => Some(Self::Keyring),
            "operator" => Some(Self::Operator),
            other => Segmented::ALL
                .into_iter()
                .find(|resource| resource.as_str() == other)
                .map(Self::Segmented),
        }
    }
}

/// A rule about one name or about all that begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The resource.
    pub resource: Segmented,
    /// The name, or what the names begin with.
    pub segment: String,
    /// Whether it is about all names that begin with `segment`, and not about that one alone.
    pub prefix: bool,
    /// What it grants.
    pub level: Level,
    /// What it grants about intentions that lead to the service; `None` lets it follow from
    /// `level`. Rules about other resources have none.
    pub intentions: Option<Level>,
}

impl Rule {
    /// A rule about one name.
    #[must_use]
    pub fn exact(resource: Segmented, segment: impl Into<String>, level: Level) -> Self {
        Self { resource, segment: segment.into(), prefix: false, level, intentions: None }
    }

    /// A rule about all names that begin alike.
    #[must_use]
    pub fn prefix(resource: Segmented, segment: impl Into<String>, level: Level) -> Self {
        Self { prefix: true, ..Self::exact(resource, segment, level) }
    }
}

/// What one policy says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Rules with names, in the order of the text.
    pub rules: Vec<Rule>,
    /// About tokens and policies; `None` says nothing.
    pub acl: Option<Level>,
    /// About the keyring.
    pub keyring: Option<Level>,
    /// About the operation of the cluster.
    pub operator: Option<Level>,
}

impl Rules {
    /// What the identity of a service grants: to register it and its sidecar, and to find others.
    #[must_use]
    pub fn service_identity(service: &str) -> Self {
        let rules = vec![
            Rule::exact(Segmented::Service, service, Level::Write),
            Rule::exact(Segmented::Service, format!("{service}-sidecar-proxy"), Level::Write),
            Rule::prefix(Segmented::Service, "", Level::Read),
            Rule::prefix(Segmented::Node, "", Level::Read),
        ];
        Self { rules, ..Self::default() }
    }

    /// What the identity of a node grants: to register it, and to see the services.
    #[must_use]
    pub fn node_identity(node: &str) -> Self {
        let rules = vec![
            Rule::exact(Segmented::Node, node, Level::Write),
            Rule::prefix(Segmented::Service, "", Level::Read),
        ];
        Self { rules, ..Self::default() }
    }

    /// What everybody may do where rules about nodes, sessions and agents are not looked at, as
    /// 1.2 offers to clusters of its predecessors.
    #[must_use]
    pub fn before_version_8() -> Self {
        let mut rules: Vec<_> = [Segmented::Node, Segmented::Session, Segmented::Agent]
            .map(|resource| Rule::prefix(resource, "", Level::Write))
            .into();
        rules.push(Rule::exact(Segmented::Service, "consul", Level::Read));
        Self { rules, ..Self::default() }
    }

    /// What the secret grants that an agent keeps for the case that no server can be asked: to
    /// operate that agent, and to see all nodes.
    #[must_use]
    pub fn agent_recovery(node: &str) -> Self {
        let rules = vec![
            Rule::exact(Segmented::Agent, node, Level::Write),
            Rule::prefix(Segmented::Node, "", Level::Read),
        ];
        Self { rules, ..Self::default() }
    }
}
