//! `peers.json`: who the servers are from now on, told by hand after most of them were lost.
//!
//! Everything that is in the log is taken for agreed on and goes into a snapshot, which has the
//! new configuration; then the file is removed. A crash in between is made good by the next
//! start, which finds the file again. All servers that are left must get the same file while none
//! of them runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lictor_state::Store;
use openraft::EntryPayload;
use openraft::storage::RaftLogStorage as _;
use openraft::{BasicNode, Membership};
use serde::Deserialize;
use uuid::Uuid;

use crate::batch::{Membership as StoredMembership, SnapshotMeta};
use crate::error::{LogError, RecoveryError};
use crate::log::{Log, sync_dir};
use crate::snapshot::Snapshots;

const FILE: &str = "peers.json";

/// What the file holds.
#[derive(Debug)]
struct Recovery {
    path: PathBuf,
    peers: Peers,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Peers {
    Named(Vec<Named>),
    /// As clusters of old had it; the ids are those that the configuration so far has.
    Addresses(Vec<String>),
}

#[derive(Debug, Deserialize)]
struct Named {
    id: Uuid,
    address: String,
    #[serde(default)]
    non_voter: bool,
}

/// Recovers the cluster if there is a file that says how; what the store holds then.
pub(crate) async fn read_and_apply(
    dir: &Path,
    log: &mut Log,
    snapshots: &Snapshots,
    store: &Store,
    from: Option<SnapshotMeta>,
) -> Result<Option<SnapshotMeta>, RecoveryError> {
    match read(dir)? {
        None => Ok(None),
        Some(recovery) => recovery.apply(log, snapshots, store, from).await.map(Some),
    }
}

/// Reads the file, if there is one.
fn read(dir: &Path) -> Result<Option<Recovery>, RecoveryError> {
    let path = dir.join(FILE);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(LogError::io(&path))?,
    };
    let peers =
        parse(&text).map_err(|reason| RecoveryError::File { path: path.clone(), reason })?;
    Ok(Some(Recovery { path, peers }))
}

fn parse(text: &[u8]) -> Result<Peers, String> {
    let peers: Peers = serde_json::from_slice(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            "it must be a list of {\"id\": UUID, \"address\": \"host:port\", \"non_voter\": bool} \
             or of addresses"
                .to_owned()
        }
        _ => error.to_string(),
    })?;
    let (addresses, voters) = match &peers {
        Peers::Named(named) => {
            let ids: BTreeSet<Uuid> = named.iter().map(|peer| peer.id).collect();
            if ids.len() < named.len() {
                return Err("an id is in it twice".into());
            }
            let addresses = named.iter().map(|peer| &peer.address).collect::<Vec<_>>();
            (addresses, named.iter().filter(|peer| !peer.non_voter).count())
        }
        Peers::Addresses(addresses) => (addresses.iter().collect(), addresses.len()),
    };
    if addresses.iter().any(|address| address.is_empty()) {
        return Err("an address is empty".into());
    }
    if addresses.iter().collect::<BTreeSet<_>>().len() < addresses.len() {
        return Err("an address is in it twice".into());
    }
    if voters == 0 {
        return Err("there must be a server that votes".into());
    }
    Ok(peers)
}

impl Recovery {
    /// Makes the file's servers the cluster. `from` is what the store holds so far.
    async fn apply(
        self,
        log: &mut Log,
        snapshots: &Snapshots,
        store: &Store,
        from: Option<SnapshotMeta>,
    ) -> Result<SnapshotMeta, RecoveryError> {
        let Self { path, peers } = self;
        let refused = |reason: String| RecoveryError::File { path: path.clone(), reason };
        let (mut last, mut before) =
            from.map_or_else(Default::default, |meta| (meta.last_log_id, meta.last_membership));
        for entry in log.all() {
            if last.is_some_and(|last| entry.log_id.index <= last.index) {
                continue;
            }
            last = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(batch) => drop(store.apply_batch(batch.0.iter().cloned())),
                EntryPayload::Membership(membership) => {
                    before = StoredMembership::new(Some(entry.log_id), membership);
                }
            }
        }
        let Some(end) = last else {
            return Err(refused(
                "this server has no log that could be recovered; remove it".into(),
            ));
        };
        let known: BTreeMap<&str, Uuid> =
            before.membership().nodes().map(|(id, node)| (node.addr.as_str(), *id)).collect();
        let (mut voters, mut nodes) = (BTreeSet::new(), BTreeMap::new());
        match peers {
            Peers::Named(named) => {
                for peer in named {
                    nodes.insert(peer.id, BasicNode { addr: peer.address });
                    if !peer.non_voter {
                        voters.insert(peer.id);
                    }
                }
            }
            Peers::Addresses(addresses) => {
                for address in addresses {
                    let unknown = || {
                        refused(format!(
                            "no server is known at {address}; give {{\"id\": …, \"address\": …}}"
                        ))
                    };
                    let id = *known.get(address.as_str()).ok_or_else(unknown)?;
                    voters.insert(id);
                    nodes.insert(id, BasicNode { addr: address });
                }
            }
        }
        let listed: Vec<String> =
            nodes.iter().map(|(id, node)| format!("{id} at {}", node.addr)).collect();
        let membership =
            Membership::new(vec![voters], nodes).map_err(|error| refused(error.to_string()))?;
        let meta = SnapshotMeta {
            last_log_id: last,
            last_membership: StoredMembership::new(last, membership),
        };
        let kept = |error: io::Error| LogError::Io { path: path.clone(), source: error };
        snapshots.save(meta.clone(), store.snapshot()).await.map_err(kept)?;
        log.purge(end).await.map_err(kept)?;
        remove(&path).map_err(kept)?;
        tracing::warn!(
            index = end.index,
            servers = listed.join(", "),
            "the cluster was recovered from peers.json, which is removed"
        );
        Ok(meta)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_others_refused() {
        let named = r#"[{"id": "00000000-0000-0000-0000-000000000001", "address": "10.0.0.1:8300"},
            {"id": "00000000-0000-0000-0000-000000000002", "address": "b:1", "non_voter": true}]"#;
        let Ok(Peers::Named(peers)) = parse(named.as_bytes()) else { panic!("{named}") };
        assert!(!peers[0].non_voter && peers[1].non_voter);
        let old = br#"["10.0.0.1:8300", "10.0.0.2:8300"]"#;
        assert!(matches!(parse(old), Ok(Peers::Addresses(list)) if list.len() == 2));
        for wrong in [
            "",
            "{",
            "[1]",
            "[]",
            r#"{"id": 1}"#,
            r#"["a:1", "a:1"]"#,
            r#"[""]"#,
            r#"[{"id": "node-1", "address": "a:1"}]"#,
            r#"[{"id": "00000000-0000-0000-0000-000000000001", "address": "a:1", "non_voter": true}]"#,
            r#"[{"id": "00000000-0000-0000-0000-000000000001", "address": "a:1"},
                {"id": "00000000-0000-0000-0000-000000000001", "address": "a:2"}]"#,
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
