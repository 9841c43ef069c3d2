//! What is taken over from the datacenter that rules this one: policies, roles, tokens, intentions,
//! configuration entries.
//!
//! Whoever can ask there brings lists of what there is; here it is found out what is not so here yet,
//! and written. Of rows with a hash only those are wanted whose hash is another one. Tokens that are
//! local here are nobody else's. Source: observed behaviour of 1.10; for tokens of the form of 1.2, of
//! that version.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use lictor_state::TokenFilter;
use lictor_types::Index;
use lictor_types::acl::{
    ANONYMOUS_SECRET, AclPolicy, AclReplication, AclRole, AclToken, LegacyAcl,
};
use lictor_types::command::{
    AclReplica, AclWrite, Command, IntentionPair, IntentionReplica, IntentionWrite,
};
use lictor_types::config_entry::{ConfigEntry, ConfigEntryWrite, Kind};
use lictor_types::error::EndpointError;
use lictor_types::intention::Intention;

use crate::acl::duties::unused_id;
use crate::acl::fingerprint;
use crate::clock;
use crate::config::Primary;
use crate::server::Server;

/// What one command takes over at most, in rows and in bytes of what is long in them.
const ROWS_MOST: usize = 256;
const BYTES_MOST: usize = 256 * 1024;
/// Kinds of entries that are taken over as such.
pub const REPLICATED_KINDS: [Kind; 8] = [
    Kind::IngressGateway,
    Kind::Mesh,
    Kind::ProxyDefaults,
    Kind::ServiceDefaults,
    Kind::ServiceResolver,
    Kind::ServiceRouter,
    Kind::ServiceSplitter,
    Kind::TerminatingGateway,
];
/// The pause between two of them, so that they do not displace what clients write.
const PAUSE: Duration = Duration::from_millis(100);

/// A row as far as it is compared.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// Its ID, or accessor.
    pub id: &'a str,
    /// Of its content; empty for those that have none.
    pub hash: &'a [u8],
    /// When it changed last where it comes from.
    pub modified: Index,
}

/// What is not here as it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// What is gone there, by ID.
    pub gone: Vec<String>,
    /// What is another there, or new, by ID.
    pub wanted: Vec<String>,
}

impl Differences {
    /// Compares what is here with what is there; what changed there up to `since` is here already
    /// where no hash says it.
    pub fn between<'a>(
        here: impl IntoIterator<Item = Held<'a>>,
        there: impl IntoIterator<Item = Held<'a>>,
        since: Index,
    ) -> Self {
        let mut here: HashMap<&str, Held<'_>> =
            here.into_iter().map(|held| (held.id, held)).collect();
        let mut wanted = Vec::new();
        for row in there {
            let same = here.remove(row.id).is_some_and(|held| match row.hash {
                [] => row.modified <= since,
                hash => held.hash == hash,
            });
            if !same {
                wanted.push(row.id.to_owned());
            }
        }
        let mut gone: Vec<_> = here.into_keys().map(str::to_owned).collect();
        gone.sort_unstable();
        Self { gone, wanted }
    }
}

impl<'a> From<&'a Arc<AclPolicy>> for Held<'a> {
    fn from(policy: &'a Arc<AclPolicy>) -> Self {
        Self { id: &policy.id, hash: &policy.hash, modified: policy.modify_index }
    }
}

impl<'a> From<&'a Arc<AclRole>> for Held<'a> {
    fn from(role: &'a Arc<AclRole>) -> Self {
        Self { id: &role.id, hash: &role.hash, modified: role.modify_index }
    }
}

impl<'a> From<&'a Arc<AclToken>> for Held<'a> {
    fn from(token: &'a Arc<AclToken>) -> Self {
        Self { id: &token.accessor_id, hash: &token.hash, modified: token.modify_index }
    }
}

impl Server {
    /// What of another datacenter's policies is not so here.
    #[must_use]
    pub fn policies_unlike(&self, there: &[Arc<AclPolicy>], since: Index) -> Differences {
        let here = self.view().policies().1;
        Differences::between(here.iter().map(Held::from), there.iter().map(Held::from), since)
    }

    /// What of another datacenter's roles is not so here.
    #[must_use]
    pub fn roles_unlike(&self, there: &[Arc<AclRole>], since: Index) -> Differences {
        let here = self.view().roles("").1;
        Differences::between(here.iter().map(Held::from), there.iter().map(Held::from), since)
    }

    /// What of another datacenter's tokens is not so here; those that are local, here or there, do not
    /// count.
    #[must_use]
    pub fn tokens_unlike(&self, there: &[Arc<AclToken>], since: Index) -> Differences {
        let here = self.view().tokens(TokenFilter::default()).1;
        let global = |token: &&Arc<AclToken>| !token.local;
        let here = here.iter().filter(global).map(Held::from);
        Differences::between(here, there.iter().filter(global).map(Held::from), since)
    }

    /// What is to be done for having the tokens of a datacenter that has those of 1.2 only.
    #[must_use]
    pub fn legacy_tokens_unlike(&self, there: Vec<LegacyAcl>) -> AclReplica {
        let view = self.view();
        let secrets: HashSet<String> = there.iter().map(|acl| acl.id.clone()).collect();
        let mut replica = AclReplica::default();
        for held in view.tokens(TokenFilter::default()).1 {
            if !held.local && !secrets.contains(&held.secret_id) {
                replica.tokens_gone.push(held.secret_id.clone());
            }
        }
        for acl in there {
            let held = view.token_by_secret(&acl.id).1;
            let is_same = held.as_ref().is_some_and(|held| {
                held.local
                    || (&held.description, &held.kind, &held.rules)
                        == (&acl.name, &acl.kind, &acl.rules)
            });
            if is_same {
                continue;
            }
            let mut token = AclToken::from(acl);
            if let Some(held) = held {
                token.accessor_id.clone_from(&held.accessor_id);
                token.create_time = held.create_time;
            } else {
                token.create_time = clock::now();
            }
            if token.accessor_id.is_empty() {
                token.accessor_id = unused_id(&view);
            }
            token.hash = fingerprint::token(&token);
            replica.tokens.push(token);
        }
        replica
    }

    /// Whether a secret is that of a token here.
    #[must_use]
    pub fn holds_token(&self, secret: &str) -> bool {
        self.view().token_by_secret(secret).1.is_some()
    }

    /// Whether tokens of the datacenter that rules this one have come: it always has one for those who
    /// bring none.
    #[must_use]
    pub fn has_copied_tokens(&self) -> bool {
        self.holds_token(ANONYMOUS_SECRET)
    }

    /// Whether a token here, by accessor, is valid here only.
    #[must_use]
    pub fn is_local_token(&self, accessor: &str) -> bool {
        self.view().token_by_accessor(accessor).1.is_some_and(|token| token.local)
    }

    /// Whether a token here, by secret, is valid here only.
    #[must_use]
    pub fn is_local_secret(&self, secret: &str) -> bool {
        self.view().token_by_secret(secret).1.is_some_and(|token| token.local)
    }

    /// Secrets of tokens, by accessor.
    #[must_use]
    pub fn secrets_of(&self, accessors: &[String]) -> Vec<String> {
        let view = self.view();
        let found = accessors.iter().filter_map(|accessor| view.token_by_accessor(accessor).1);
        found.map(|token| token.secret_id.clone()).collect()
    }

    /// Takes over what another datacenter decides about access, in pieces. What is gone goes first:
    /// nobody keeps a right for longer than it takes.
    ///
    /// # Errors
    /// When this server does not lead, or the log cannot be written.
    pub async fn acl_replicate(&self, replica: AclReplica) -> Result<(), EndpointError> {
        let mut pieces = pieces(replica).into_iter().peekable();
        while let Some(piece) = pieces.next() {
            self.acl_write(AclWrite::Replicate(Box::new(piece))).await?;
            if pieces.peek().is_some() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Takes over the intentions of the datacenter that rules the mesh; gives how many were not so
    /// here. One that has no ID there keeps the one that its pair has here.
    ///
    /// # Errors
    /// When this server does not lead, or the log cannot be written.
    pub async fn intentions_replicate(
        &self,
        there: &[Arc<Intention>],
    ) -> Result<usize, EndpointError> {
        let replica = intentions_unlike(&self.view(), there);
        let count = replica.delete.len() + replica.set.len();
        if count > 0 {
            let write = IntentionWrite::Replicate(Box::new(replica));
            self.propose(Command::Intention(Box::new(write))).await?;
        }
        Ok(count)
    }

    /// Takes over the configuration entries of the datacenter that rules the mesh; gives how many were not
    /// so here. Intentions, which are entries as well, are taken over as such.
    ///
    /// # Errors
    /// When this server does not lead, or the log cannot be written.
    pub async fn config_entries_replicate(
        &self,
        there: &[Arc<ConfigEntry>],
    ) -> Result<usize, EndpointError> {
        let (_, here) = self.view().config_entries(&REPLICATED_KINDS);
        let key = |entry: &ConfigEntry| (entry.kind, entry.name.clone());
        let held: HashMap<_, _> = here.iter().map(|entry| (key(entry), entry)).collect();
        let known: HashSet<_> = there.iter().map(|entry| key(entry)).collect();
        let delete: Vec<_> = held.keys().filter(|key| !known.contains(*key)).cloned().collect();
        let is_other = |entry: &&Arc<ConfigEntry>| {
            REPLICATED_KINDS.contains(&entry.kind)
                && held.get(&key(entry)).is_none_or(|held| held.fields != entry.fields)
        };
        let set: Vec<_> =
            there.iter().filter(is_other).map(|one| ConfigEntry::clone(one)).collect();
        let count = delete.len() + set.len();
        if count > 0 {
            let write = ConfigEntryWrite::Replicate { delete, set };
            self.propose(Command::ConfigEntry(Box::new(write))).await?;
        }
        Ok(count)
    }

    /// The copying of tokens and policies begins.
    pub fn replication_begun(&self, primary: &Primary) {
        *self.replication().lock() = AclReplication {
            enabled: true,
            running: true,
            source_datacenter: primary.datacenter.clone(),
            kind: if primary.tokens { "tokens" } else { "policies" }.to_owned(),
            ..AclReplication::default()
        };
    }

    /// Something was copied; `note` says what.
    pub fn replication_done(&self, note: impl FnOnce(&mut AclReplication)) {
        let mut status = self.replication().lock();
        note(&mut status);
        status.last_success = clock::from_seconds(clock::now_seconds());
    }

    /// Something could not be copied.
    pub fn replication_failed(&self) {
        self.replication().lock().last_error = clock::from_seconds(clock::now_seconds());
    }

    /// This server does not copy any longer.
    pub fn replication_stopped(&self) {
        self.replication().lock().running = false;
    }

    /// Changes when the state was replaced as a whole.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.view().epoch()
    }

    /// Returns once this server leads and has all that was written before.
    pub async fn until_leading(&self) {
        self.raft().until_leading().await;
    }

    /// Whether the mesh is on.
    #[must_use]
    pub fn has_mesh(&self) -> bool {
        self.config().ca.is_some()
    }
}

/// What of another datacenter's intentions is not so here.
fn intentions_unlike(view: &lictor_state::View, there: &[Arc<Intention>]) -> IntentionReplica {
    let mut replica = IntentionReplica::default();
    let mut here: HashMap<String, Arc<Intention>> =
        view.intentions().1.into_iter().map(|held| (held.id.clone(), held)).collect();
    for intention in there {
        let pair = IntentionPair {
            source: (intention.source_ns.clone(), intention.source_name.clone()),
            destination: (intention.destination_ns.clone(), intention.destination_name.clone()),
        };
        let mut wanted = (**intention).clone();
        let held = view.intention_of_pair(&pair).1;
        if wanted.id.is_empty() {
            let kept = held.as_ref().map(|held| held.id.clone());
            wanted.id = kept.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        }
        here.remove(&wanted.id);
        if held.is_some_and(|held| says_the_same(&held, &wanted)) {
            continue;
        }
        replica.set.push(wanted);
    }
    replica.delete.extend(here.into_keys());
    replica.delete.sort_unstable();
    replica
}

fn says_the_same(a: &Intention, b: &Intention) -> bool {
    let plain = |one: &Intention| Intention {
        precedence: 0,
        create_index: 0,
        modify_index: 0,
        // What it is does not depend on when it was written, and not all versions tell it.
        created_at: clock::from_seconds(0),
        updated_at: clock::from_seconds(0),
        ..one.clone()
    };
    plain(a) == plain(b)
}

/// Small commands that do together what a large one would.
fn pieces(replica: AclReplica) -> Vec<AclReplica> {
    let mut all = Vec::new();
    let mut take = |gone: Vec<String>, place: fn(&mut AclReplica) -> &mut Vec<String>| {
        for chunk in gone.chunks(ROWS_MOST) {
            let mut piece = AclReplica::default();
            *place(&mut piece) = chunk.to_vec();
            all.push(piece);
        }
    };
    take(replica.tokens_gone, |piece| &mut piece.tokens_gone);
    take(replica.roles_gone, |piece| &mut piece.roles_gone);
    take(replica.policies_gone, |piece| &mut piece.policies_gone);
    let policies = chunked(replica.policies, |one| one.rules.len() + one.description.len());
    all.extend(policies.map(|policies| AclReplica { policies, ..AclReplica::default() }));
    let roles = chunked(replica.roles, |one| 64 * one.policies.len() + one.description.len());
    all.extend(roles.map(|roles| AclReplica { roles, ..AclReplica::default() }));
    let tokens = chunked(replica.tokens, |one| one.rules.len() + one.description.len());
    all.extend(tokens.map(|tokens| AclReplica { tokens, ..AclReplica::default() }));
    all
}

/// Rows in portions of a bounded number and size.
fn chunked<T>(rows: Vec<T>, size: impl Fn(&T) -> usize) -> impl Iterator<Item = Vec<T>> {
    let mut rows = rows.into_iter().peekable();
    std::iter::from_fn(move || {
        let mut chunk = Vec::new();
        let mut bytes = 0;
        while let Some(row) = rows.peek() {
            bytes += size(row);
            if !chunk.is_empty() && (bytes > BYTES_MOST || chunk.len() == ROWS_MOST) {
                break;
            }
            chunk.extend(rows.next());
        }
        (!chunk.is_empty()).then_some(chunk)
    })
}

#[cfg(test)]
mod tests;
