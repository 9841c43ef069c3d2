//! The state machine as openraft sees it: entries in, batches to the store, answers out.
//!
//! What commands mean is the store's; this file only keeps count of what was applied.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{Stream, StreamExt as _};
use lictor_state::Store;
use lictor_types::command::Command;
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, RaftSnapshotBuilder};
use parking_lot::Mutex;

use crate::batch::{Answers, LogId, Membership, SnapshotMeta, Types};
use crate::meters::{Meters, operations};
use crate::snapshot::{Frozen, Snapshots};

type Snapshot = openraft::type_config::alias::SnapshotOf<Types, Frozen>;

/// Most commands that are applied as one version of the store, so that readers see progress.
const VERSION_MAX: usize = 4096;

/// Applies to a store. Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    store: Store,
    snapshots: Snapshots,
    progress: Arc<Mutex<Progress>>,
    meters: Arc<Meters>,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    applied: Option<LogId>,
    membership: Membership,
}

/// Entries whose commands wait to be applied together.
#[derive(Default)]
struct Collected {
    commands: Vec<Command>,
    /// How many of the commands belong to whom, in order.
    parts: Vec<(usize, Option<ApplyResponder<Types>>)>,
    applied: Option<LogId>,
    membership: Option<Membership>,
}

impl Machine {
    /// A machine that continues where the newest snapshot ends; the store must hold it already.
    pub(crate) fn new(
        store: Store,
        snapshots: Snapshots,
        from: Option<SnapshotMeta>,
        meters: Arc<Meters>,
    ) -> Self {
        let progress = from.map_or_else(Progress::default, |meta| Progress {
            applied: meta.last_log_id,
            membership: meta.last_membership,
        });
        Self { store, snapshots, progress: Arc::new(Mutex::new(progress)), meters }
    }

    /// Applies what was collected; whether somebody was waiting for it.
    fn publish(&self, collected: &mut Collected) -> bool {
        let Collected { commands, parts, applied, membership } = std::mem::take(collected);
        let operations = operations(&commands);
        let replaces = commands.iter().any(|command| matches!(command, Command::Restore(_)));
        // Held over the change of the store, so that a snapshot never falls between the two.
        let mut progress = self.progress.lock();
        let began = Instant::now();
        let mut outcomes = self.store.apply_batch(commands).into_iter();
        let took = began.elapsed();
        progress.applied = applied.or(progress.applied);
        if let Some(membership) = membership {
            progress.membership = membership;
        }
        drop(progress);
        if !operations.is_empty() {
            self.meters.applied(&operations, took);
            if replaces {
                self.meters.restore.time(took);
            }
        }
        let mut answered = false;
        for (count, responder) in parts {
            let answers = Answers { applied: outcomes.by_ref().take(count).collect() };
            if let Some(responder) = responder {
                responder.send(answers);
                answered = true;
            }
        }
        answered
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = Frozen;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), io::Error> {
        let progress = self.progress.lock();
        Ok((progress.applied, progress.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + Send,
    {
        let mut collected = Collected::default();
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            #[cfg(test)]
            self.snapshots.applies(&entry);
            collected.applied = Some(entry.log_id);
            let count = match entry.payload {
                EntryPayload::Blank => 0,
                EntryPayload::Normal(batch) => {
                    collected.commands.extend_from_slice(&batch.0);
                    batch.0.len()
                }
                EntryPayload::Membership(membership) => {
                    collected.membership = Some(Membership::new(Some(entry.log_id), membership));
                    0
                }
            };
            collected.parts.push((count, responder));
            if collected.commands.len() >= VERSION_MAX {
                self.publish(&mut collected);
            }
        }
        if self.publish(&mut collected) {
            // Whoever was answered goes on before the engine is told: they wait, and it does not.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Frozen,
    ) -> Result<(), io::Error> {
        let store = self.store.clone();
        let _timed = self.meters.restore.start();
        self.snapshots.install(meta, snapshot, store).await?;
        *self.progress.lock() =
            Progress { applied: meta.last_log_id, membership: meta.last_membership.clone() };
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(self.snapshots.current())
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    type SnapshotData = Frozen;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let _timed = self.meters.take.start();
        let (meta, state) = {
            let _timed = self.meters.freeze.start();
            let progress = self.progress.lock();
            let meta = SnapshotMeta {
                last_log_id: progress.applied,
                last_membership: progress.membership.clone(),
            };
            (meta, self.store.snapshot())
        };
        let began = Instant::now();
        let saved = self.snapshots.save(meta, state).await;
        for meter in [&self.meters.persist, &self.meters.state_persist] {
            meter.time(began.elapsed());
        }
        saved
    }
}
