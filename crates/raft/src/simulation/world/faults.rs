//! What goes wrong, and when.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{World, address, peer};
use crate::error::ProposeError;
use crate::raft::Raft;

/// A leader goes, and somebody still asks it for another change: it refuses, or makes it as the leader
/// that it is until it steps down.
async fn removes_itself(raft: &Raft, other: u128) -> Result<(), ProposeError> {
    let own = raft.config.node_id;
    raft.remove_peer(own).await?;
    let _ = raft.add_nonvoter(peer(other)).await;
    raft.add_voter(peer(own.as_u128())).await
}

impl World {
    pub(super) async fn faults(&self, end: Instant) {
        while Instant::now() < end {
            self.pause(50, 1500).await;
            let server = self.some_server();
            match self.dice(15) {
                0..=2 => {
                    self.crash(server, self.dice(4) > 0);
                    self.pause(0, 1500).await;
                }
                3 => {
                    let all: Vec<u128> = self.lives.borrow().keys().copied().collect();
                    all.into_iter().for_each(|server| self.crash(server, true));
                    self.pause(0, 300).await;
                }
                4 => self.cut(|from, to| from == server || to == server),
                5 => self.cut(|from, _| from == server),
                6 => {
                    let side = self.dice(1 << self.plan.servers);
                    self.cut(|from, to| (side >> from & 1) != (side >> to & 1));
                }
                7 => {
                    let (lost, delay) = (self.dice(30) as u32, 500 + self.dice(30_000));
                    let mut state = self.network.state.lock();
                    (state.lost, state.delay) = (lost, delay);
                }
                8 => self.with_leader(|raft| async move { raft.take_snapshot().await }).await,
                9 => {
                    self.with_leader(|raft| async move { raft.transfer_leadership(None).await })
                        .await
                }
                10 => {
                    let life = self.network.state.lock().servers.get(&address(server)).map(|s| s.0);
                    life.into_iter().for_each(|life| self.network.hang_up(&address(server), life));
                }
                11 => self.forgetting(server).await,
                12 => self.deaf_transfer().await,
                13 if self.plan.changes => {
                    let change = self.dice(4);
                    self.with_leader(|raft| async move {
                        match change {
                            0 => raft.remove_peer(Uuid::from_u128(server)).await,
                            1 => raft.add_nonvoter(peer(server)).await,
                            2 => raft.add_voter(peer(server)).await,
                            _ => removes_itself(&raft, server).await,
                        }
                    })
                    .await;
                }
                _ => {
                    let mut state = self.network.state.lock();
                    state.cut.clear();
                    (state.lost, state.delay) = (0, 2_000);
                }
            }
            // The dead come back, but not always at once.
            for server in 1..=self.plan.servers {
                if self.alive(server).is_none() && self.dice(2) == 0 {
                    self.start(server).await;
                }
            }
        }
    }

    fn leading(&self) -> Option<u128> {
        self.lives
            .borrow()
            .iter()
            .find(|(_, life)| life.raft.lease_valid())
            .map(|(server, _)| *server)
    }

    /// One hears no leader any more. Others, which do, are restarted at once, mostly when the leader is
    /// cut off: they must not forget what they owe the leader, whose lease goes on. Nobody writes
    /// meanwhile, since who lacks something gets no vote anyway.
    async fn forgetting(&self, deaf: u128) {
        let Some(leader) = self.leading().filter(|leader| *leader != deaf) else { return };
        self.quiet.set(true);
        self.pause(0, 100).await;
        self.cut(|from, to| from == leader && to == deaf);
        self.pause(250, 700).await;
        let cut_off = self.dice(4) > 0;
        if cut_off {
            self.cut(|from, to| from == leader || to == leader);
        }
        for server in (1..=self.plan.servers).filter(|server| ![leader, deaf].contains(server)) {
            self.crash(server, false);
            self.start(server).await;
        }
        self.pause(0, 300).await;
        self.quiet.set(false);
    }

    /// A leader gives its place away and does not hear who takes it.
    async fn deaf_transfer(&self) {
        let Some(leader) = self.leading() else { return };
        let deafness = async {
            // Before others have heard of it, or just after.
            self.pause(0, 6).await;
            self.cut(|_, to| to == leader);
        };
        let transfer = self.with_leader(|raft| async move { raft.transfer_leadership(None).await });
        futures_util::join!(deafness, transfer);
        self.pause(0, 300).await;
    }

    fn cut(&self, is_cut: impl Fn(u128, u128) -> bool) {
        let mut state = self.network.state.lock();
        state.cut.clear();
        for from in 1..=self.plan.servers {
            for to in (1..=self.plan.servers).filter(|to| *to != from && is_cut(from, *to)) {
                state.cut.insert((address(from), address(to)));
            }
        }
    }

    /// Has whoever leads do something, for a while.
    async fn with_leader<F: Future<Output = Result<(), ProposeError>>>(
        &self,
        what: impl FnOnce(Raft) -> F,
    ) {
        let leader = self.lives.borrow().values().find(|l| l.raft.lease_valid()).cloned();
        if let Some(leader) = leader {
            let _ = timeout(Duration::from_secs(3), what(leader.raft)).await;
        }
    }
}
