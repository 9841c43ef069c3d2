//! What a follower does when its leader's connection ends, since mostly the leader's process has.
//!
//! What it owes the leader it owes as before: nobody is asked before the leader's lease has ended,
//! and whoever has heard of the leader since refuses. Only the patience after the lease, which is
//! for leaders that are slow, is left out. Followers ask one after the other, in the order of
//! their ids, so that they do not take each other's votes.

use std::sync::Arc;
use std::time::Duration;

use openraft::ServerState;
use openraft::rt::WatchReceiver as _;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use crate::config::Timing;
use crate::lease::Lease;
use crate::raft::Engine;

/// By how much later another may have heard of the leader than this server.
const MARGIN: Duration = Duration::from_millis(15);
/// Time in which one that asks has mostly won, before the next asks.
const TURN: Duration = Duration::from_millis(30);

/// Waits for leaders' connections to end.
pub(crate) struct Succession {
    pub(crate) engine: Engine,
    pub(crate) own: Uuid,
    pub(crate) timing: Timing,
    pub(crate) lease: Arc<Lease>,
    /// The connection on which the leader was heard of has ended.
    pub(crate) ended: Arc<Notify>,
}

impl Succession {
    pub(crate) async fn run(self) {
        loop {
            self.ended.notified().await;
            let Some((leader, turn)) = self.turn() else { continue };
            let Some(silence) = self.lease.silence() else { continue };
            let patience = self.timing.lease() + MARGIN + TURN * turn;
            let noticed = Instant::now();
            tokio::time::sleep(patience.saturating_sub(silence)).await;
            // It lives, on another connection, or somebody has followed it.
            let heard =
                self.lease.silence().is_none_or(|now| now < silence + noticed.elapsed() / 2);
            if heard || self.turn().is_none_or(|(now, _)| now != leader) {
                continue;
            }
            tracing::info!(%leader, "the connection of the leader has ended, and so has its lease");
            if self.engine.trigger().elect(true).await.is_err() {
                return;
            }
        }
    }

    /// The leader that is followed, and how many voters may ask before this one does; nothing if
    /// this server may not lead.
    fn turn(&self) -> Option<(Uuid, u32)> {
        let metrics = self.engine.server_metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader.filter(|leader| *leader != self.own)?;
        let voters = metrics.membership_config.membership();
        let mut heirs = voters.voter_ids().filter(|voter| *voter != leader).collect::<Vec<_>>();
        heirs.sort_unstable();
        let turn = heirs.iter().position(|heir| *heir == self.own)?;
        (metrics.state == ServerState::Follower).then_some((leader, u32::try_from(turn).ok()?))
    }
}
