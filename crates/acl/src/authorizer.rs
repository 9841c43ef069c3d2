//! The decisions that follow from the policies of a token and the default for what they leave open.
//!
//! Of rules about the same the stricter kind counts: denial, or else the one that grants most. A
//! rule about exactly a name beats those about its beginnings, a longer beginning beats a shorter
//! one (section B3 of the observed behaviour). Whose policies these are is the caller's matter.

use std::collections::BTreeMap;

use crate::rules::{Level, Resource, Rule, Rules, Segmented};
use crate::segments::{Levels, Segments};

/// What holds where no rule speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DefaultPolicy {
    /// All but what concerns tokens and policies, and the whole state, is permitted.
    #[default]
    Allow,
    /// Nothing is.
    Deny,
}

impl DefaultPolicy {
    /// Its name in settings and headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// What is permitted where no rule speaks; tokens and policies apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Everything,
    AllButAcl,
    Nothing,
}

/// Decides what a token may do. Cheap to ask: a binary search among the token's own rules.
#[derive(Debug)]
pub struct Authorizer {
    rest: Rest,
    /// By [`Segmented`]; empty when there are no rules at all.
    segmented: Box<[Segments]>,
    intentions: Segments,
    acl: Option<Level>,
    keyring: Option<Level>,
    operator: Option<Level>,
}

impl Authorizer {
    /// Permits everything: access control is off, or the token manages the cluster.
    #[must_use]
    pub fn manage_all() -> Self {
        Self::bare(Rest::Everything)
    }

    /// Permits all that the default policy does, and nothing else.
    #[must_use]
    pub fn by_default(default: DefaultPolicy) -> Self {
        Self::bare(match default {
            DefaultPolicy::Allow => Rest::AllButAcl,
            DefaultPolicy::Deny => Rest::Nothing,
        })
    }

    /// Permits what the policies of a token say, and where they are silent the default.
    #[must_use]
    pub fn new<'a>(policies: impl IntoIterator<Item = &'a Rules>, default: DefaultPolicy) -> Self {
        let mut this = Self::by_default(default);
        let mut merged: BTreeMap<(&str, bool, usize), (Level, Option<Level>)> = BTreeMap::new();
        for policy in policies {
            for (own, more) in [
                (&mut this.acl, policy.acl),
                (&mut this.keyring, policy.keyring),
                (&mut this.operator, policy.operator),
            ] {
                *own = merge(*own, more);
            }
            for Rule { resource, segment, prefix, level, intentions } in &policy.rules {
                let rule = (segment.as_str(), *prefix, *resource as usize);
                merged
                    .entry(rule)
                    .and_modify(|(held, about)| {
                        *held = held.merged(*level);
                        *about = merge(*about, *intentions);
                    })
                    .or_insert((*level, *intentions));
            }
        }
        if merged.is_empty() {
            return this;
        }
        let mut tables: Vec<BTreeMap<&str, Levels>> = vec![BTreeMap::new(); Segmented::ALL.len()];
        let mut intentions: BTreeMap<&str, Levels> = BTreeMap::new();
        for ((segment, prefix, resource), (level, about)) in merged {
            let put = |table: &mut BTreeMap<_, Levels>, level| {
                let levels = table.entry(segment).or_default();
                let place = if prefix { &mut levels.prefix } else { &mut levels.exact };
                *place = Some(level);
            };
            if let Some(table) = tables.get_mut(resource) {
                put(table, level);
            }
            if resource == Segmented::Service as usize {
                // Who may find a service may see who may connect to it.
                let follows = if level.grants(Level::Read) { Level::Read } else { Level::Deny };
                put(&mut intentions, about.unwrap_or(follows));
            }
        }
        this.segmented = tables.into_iter().map(Segments::new).collect();
        this.intentions = Segments::new(intentions);
        this
    }

    fn bare(rest: Rest) -> Self {
        Self {
            rest,
            segmented: Box::default(),
            intentions: Segments::default(),
            acl: None,
            keyring: None,
            operator: None,
        }
    }

    /// Whether it permits everything whatever is asked, so that there is no need to ask.
    #[must_use]
    pub fn allows_everything(&self) -> bool {
        self.rest == Rest::Everything && self.segmented.is_empty()
    }

    /// The decision about any resource; the name means nothing to those without names.
    #[must_use]
    pub fn permits(&self, resource: Resource, name: &str, wanted: Level) -> bool {
        match resource {
            Resource::Segmented(resource) => self.named(resource, name, wanted),
            Resource::Intention => self.intention(name, wanted),
            Resource::Acl => self.scalar(self.acl, wanted, Rest::Everything),
            Resource::Keyring => self.scalar(self.keyring, wanted, Rest::AllButAcl),
            Resource::Operator => self.scalar(self.operator, wanted, Rest::AllButAcl),
        }
    }

    /// Whether whatever name is asked about, the answer is yes: then lists need no filter.
    #[must_use]
    pub fn permits_all(&self, resource: Segmented, wanted: Level) -> bool {
        match self.table(resource) {
            Some(table) => table.all_below("", wanted).unwrap_or_else(|| self.by_rest()),
            None => self.by_rest(),
        }
    }

    /// Whether there may be a name about which the answer is yes.
    #[must_use]
    pub fn permits_any(&self, resource: Segmented, wanted: Level) -> bool {
        match self.table(resource) {
            Some(table) => table.any(wanted).unwrap_or_else(|| self.by_rest()),
            None => self.by_rest(),
        }
    }

    fn table(&self, resource: Segmented) -> Option<&Segments> {
        self.segmented.get(resource as usize)
    }

    fn by_rest(&self) -> bool {
        self.rest != Rest::Nothing
    }

    fn named(&self, resource: Segmented, name: &str, wanted: Level) -> bool {
        let rule = self.table(resource).and_then(|table| table.find(name));
        rule.map_or_else(|| self.by_rest(), |level| level.grants(wanted))
    }

    fn intention(&self, name: &str, wanted: Level) -> bool {
        // Intentions that lead to every service show something of each, and change each.
        let decision = match name {
            "*" if wanted == Level::Write => self.intentions.all_below("", wanted),
            "*" => self.intentions.any(wanted),
            name => self.intentions.find(name).map(|level| level.grants(wanted)),
        };
        decision.unwrap_or_else(|| self.by_rest())
    }

    fn scalar(&self, rule: Option<Level>, wanted: Level, least: Rest) -> bool {
        let rest = match least {
            Rest::Everything => self.rest == Rest::Everything,
            _ => self.by_rest(),
        };
        rule.map_or(rest, |level| level.grants(wanted))
    }
}

pub(crate) fn merge(held: Option<Level>, more: Option<Level>) -> Option<Level> {
    match (held, more) {
        (Some(held), Some(more)) => Some(held.merged(more)),
        (held, more) => held.or(more),
    }
}

/// The questions that endpoints ask, by name.
macro_rules! questions {
    ($($(#[$meta:meta])* $name:ident($($segment:ident)?) = $resource:expr, $level:expr;)*) => {
        impl Authorizer {
            $(
                $(#[$meta])*
                #[must_use]
                pub fn $name(&self $(, $segment: &str)?) -> bool {
                    self.permits($resource, questions!(@ $($segment)?), $level)
                }
            )*
        }
    };
    (@) => { "" };
    (@ $segment:ident) => { $segment };
}

questions! {
    /// Whether tokens and policies may be read; secrets stay hidden without [`Self::acl_write`].
    acl_read() = Resource::Acl, Level::Read;
    /// Whether tokens and policies may be changed.
    acl_write() = Resource::Acl, Level::Write;
    /// Whether the whole state may be taken away or replaced.
    snapshot() = Resource::Acl, Level::Write;
    /// Whether the keyring may be listed.
    keyring_read() = Resource::Keyring, Level::Read;
    /// Whether the keyring may be changed.
    keyring_write() = Resource::Keyring, Level::Write;
    /// Whether the operation of the cluster may be looked at.
    operator_read() = Resource::Operator, Level::Read;
    /// Whether the cluster may be operated.
    operator_write() = Resource::Operator, Level::Write;
    /// Whether the agent of a node may be looked into.
    agent_read(node) = Resource::Segmented(Segmented::Agent), Level::Read;
    /// Whether the agent of a node may be operated.
    agent_write(node) = Resource::Segmented(Segmented::Agent), Level::Write;
    /// Whether events of a name may be seen.
    event_read(name) = Resource::Segmented(Segmented::Event), Level::Read;
    /// Whether events of a name may be fired.
    event_write(name) = Resource::Segmented(Segmented::Event), Level::Write;
    /// Whether a key may be read.
    key_read(key) = Resource::Segmented(Segmented::Key), Level::Read;
    /// Whether keys below one may be listed, where the settings ask for that right.
    key_list(key) = Resource::Segmented(Segmented::Key), Level::List;
    /// Whether a key may be written.
    key_write(key) = Resource::Segmented(Segmented::Key), Level::Write;
    /// Whether a node may be seen.
    node_read(name) = Resource::Segmented(Segmented::Node), Level::Read;
    /// Whether a node may be registered.
    node_write(name) = Resource::Segmented(Segmented::Node), Level::Write;
    /// Whether a prepared query may be looked at; executing it needs nothing.
    query_read(name) = Resource::Segmented(Segmented::Query), Level::Read;
    /// Whether a prepared query may be changed.
    query_write(name) = Resource::Segmented(Segmented::Query), Level::Write;
    /// Whether a service may be found.
    service_read(name) = Resource::Segmented(Segmented::Service), Level::Read;
    /// Whether a service may be registered.
    service_write(name) = Resource::Segmented(Segmented::Service), Level::Write;
    /// Whether sessions of a node may be seen.
    session_read(node) = Resource::Segmented(Segmented::Session), Level::Read;
    /// Whether sessions of a node may be created and ended.
    session_write(node) = Resource::Segmented(Segmented::Session), Level::Write;
    /// Whether intentions that lead to a service may be seen.
    intention_read(service) = Resource::Intention, Level::Read;
    /// Whether intentions that lead to a service may be changed.
    intention_write(service) = Resource::Intention, Level::Write;
}

impl Authorizer {
    /// Whether all keys that begin with `prefix` may be written.
    #[must_use]
    pub fn key_write_prefix(&self, prefix: &str) -> bool {
        let table = self.table(Segmented::Key);
        let decision = table.and_then(|table| table.all_below(prefix, Level::Write));
        decision.unwrap_or_else(|| self.by_rest())
    }

    /// Whether all nodes may be seen.
    #[must_use]
    pub fn node_read_all(&self) -> bool {
        self.permits_all(Segmented::Node, Level::Read)
    }

    /// Whether all services may be found.
    #[must_use]
    pub fn service_read_all(&self) -> bool {
        self.permits_all(Segmented::Service, Level::Read)
    }

    /// Whether there may be a service that may be registered.
    #[must_use]
    pub fn service_write_any(&self) -> bool {
        self.permits_any(Segmented::Service, Level::Write)
    }
}

#[cfg(test)]
mod tests;
