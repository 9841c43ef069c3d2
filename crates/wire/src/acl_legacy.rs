//! Access control as version 1.2 has it, which later ones answer as well.

use std::time::Duration;

use lictor_pack::{Malformed, Reader, Writer};
use lictor_types::acl::LegacyAcl;
use lictor_types::query::Reply;

use crate::record::{fields, record};
use crate::reply::data;
use crate::value::words;
use crate::{ReadRequest, WriteRequest, methods};

methods! {
    /// Writes a token; the reply is its secret.
    Apply = "ACL.Apply": WriteRequest<AclChange> => String;
    /// Creates the first token.
    Bootstrap = "ACL.Bootstrap": ReadRequest => LegacyAcl;
    /// A token by its secret.
    Get = "ACL.Get": ReadRequest<AclArgs> => Reply<Option<LegacyAcl>>;
    /// All tokens.
    List = "ACL.List": ReadRequest => Reply<Vec<LegacyAcl>>;
    /// What the bearer of a secret may do, for an agent that decides itself.
    GetPolicy = "ACL.GetPolicy": ReadRequest<PolicyQuestion> => Reply<Resolved>;
}

/// What is done with a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AclOp {
    /// It is created or replaced.
    #[default]
    Set,
    /// It is deleted.
    Delete,
}

words! { AclOp {
    "set": Set,
    "delete": Delete,
} }

/// A write to tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclChange {
    /// What is done.
    pub op: AclOp,
    /// With which one.
    pub acl: LegacyAcl,
}

fields! { AclChange {
    "ACL": acl,
    "Op": op,
} }

record! { LegacyAcl {
    "CreateIndex": create_index,
    "ID": id,
    "ModifyIndex": modify_index,
    "Name": name,
    "Rules": rules,
    "Type": kind,
} }

/// A token.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AclArgs {
    /// Its secret.
    pub id: String,
}

impl std::fmt::Debug for AclArgs {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AclArgs").finish_non_exhaustive()
    }
}

fields! { AclArgs { "ACL": id, } }

/// A question what somebody may do.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PolicyQuestion {
    /// The bearer's secret.
    pub id: String,
    /// The tag of the answer that is known; with the same one, rules are not repeated.
    pub etag: String,
}

impl std::fmt::Debug for PolicyQuestion {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyQuestion").field("etag", &self.etag).finish_non_exhaustive()
    }
}

fields! { PolicyQuestion {
    "ACL": id,
    "ETag": etag,
} }

/// What somebody may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Changes with the answer: the parent, a colon and the policy's id.
    pub etag: String,
    /// What holds where the rules say nothing: `deny`, `allow` or `manage`.
    pub parent: String,
    /// The rules; `None` if they are known already.
    pub policy: Option<Rules>,
    /// How long the answer holds.
    pub ttl: Duration,
}

fields! { Resolved {
    "ETag": etag,
    "Parent": parent,
    "Policy": policy,
    "TTL": ttl,
} }

/// Rules in the form of version 1.2: names are beginnings of names. What version 1.10 has besides,
/// rules for whole names, it does not tell here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// A digest of them.
    pub id: String,
    /// About access control itself; version 1.2 does not have it.
    pub acl: String,
    /// About the keys of gossip.
    pub keyring: String,
    /// About consensus and autopilot.
    pub operator: String,
    /// About agents.
    pub agents: Vec<Rule>,
    /// About events.
    pub events: Vec<Rule>,
    /// About keys.
    pub keys: Vec<Rule>,
    /// About nodes.
    pub nodes: Vec<Rule>,
    /// About prepared queries.
    pub prepared_queries: Vec<Rule>,
    /// About services.
    pub services: Vec<Rule>,
    /// About sessions.
    pub sessions: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// How the names begin that it is about.
    pub prefix: String,
    /// `read`, `write`, `deny`, …
    pub policy: String,
    /// About intentions with the service; empty where none is meant.
    pub intentions: String,
}

record! { Rules {
    "ACL": acl,
    "Agents": agents as ByNode,
    "Events": events as ByEvent,
    "ID": id,
    "Keyring": keyring,
    "Keys": keys as ByPrefix,
    "Nodes": nodes as ByName,
    "Operator": operator,
    "PreparedQueries": prepared_queries as ByPrefix,
    "Revision" = 0_u64,
    "Services": services as ByName,
    "Sessions": sessions as ByNode,
} }

/// Codecs of rules whose names stand under a key.
macro_rules! rules {
    ($($codec:ident $key:literal,)+) => { $(
        struct $codec;

        impl $codec {
            fn write(rules: &[Rule], to: &mut Writer) {
                if rules.is_empty() {
                    to.nil();
                    return;
                }
                to.array(rules.len());
                for rule in rules {
                    to.map(3).raw($key).raw(&rule.prefix);
                    to.raw("Intentions").raw(&rule.intentions);
                    to.raw("Policy").raw(&rule.policy);
                }
            }

            fn read(from: &mut Reader<'_>) -> Result<Vec<Rule>, Malformed> {
                let mut rules = Vec::new();
                for _ in 0..from.array()? {
                    from.charge(size_of::<Rule>())?;
                    let mut rule = Rule::default();
                    from.fields(|key, from| {
                        let field = match key {
                            b"Intentions" => &mut rule.intentions,
                            b"Policy" => &mut rule.policy,
                            key if key == $key.as_bytes() => &mut rule.prefix,
                            _ => return Ok(false),
                        };
                        from.text()?.clone_into(field);
                        Ok::<_, Malformed>(true)
                    })?;
                    rules.push(rule);
                }
                Ok(rules)
            }
        }
    )+ };
}

rules! {
    ByEvent "Event",
    ByName "Name",
    ByNode "Node",
    ByPrefix "Prefix",
}

/// One token or none, where the original has a list.
struct One;

impl One {
    fn write(row: &Option<LegacyAcl>, to: &mut Writer) {
        crate::value::Value::write(&row.iter().cloned().collect::<Vec<_>>(), to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Option<LegacyAcl>, Malformed> {
        <Vec<LegacyAcl> as crate::value::Value>::read(from).map(|rows| rows.into_iter().next())
    }
}

data! {
    "ACLs": Option<LegacyAcl> as One;
    "ACLs": Vec<LegacyAcl>;
}
