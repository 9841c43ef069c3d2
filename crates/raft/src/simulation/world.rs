//! A run: servers, clients that write and read, and what goes wrong.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lictor_state::Store;
use lictor_types::command::Command;
use lictor_types::kv::{KvEntry, KvOp, KvWrite};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::check::History;
use super::disk::Disk;
use super::network::{Network, Plug};
use crate::config::{RaftConfig, Storage, Timing};
use crate::error::ProposeError;
use crate::membership::Peer;
use crate::raft::Raft;

/// What a run is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) servers: u128,
    /// How long things go wrong.
    pub(super) faults: Duration,
    /// Whether servers lose and get their votes, too.
    pub(super) changes: bool,
}

/// How long a cluster may take to be well again.
const RECOVERY: Duration = Duration::from_secs(60);
/// Writers; each waits for its answer before it writes again.
const CLIENTS: u64 = 4;

/// One life of a server.
#[derive(Clone)]
struct Life {
    raft: Raft,
    store: Store,
}

pub(super) struct World {
    plan: Plan,
    network: Arc<Network>,
    history: Arc<History>,
    disks: RefCell<BTreeMap<u128, Disk>>,
    lives: RefCell<BTreeMap<u128, Life>>,
    life: RefCell<u64>,
    chance: RefCell<fastrand::Rng>,
    /// Writes that were acknowledged, with their indexes.
    acknowledged: Mutex<BTreeMap<String, u64>>,
    /// Writes of which nobody knows.
    written: Mutex<u64>,
}

fn address(server: u128) -> String {
    format!("s{server}")
}

fn peer(server: u128) -> Peer {
    Peer { id: Uuid::from_u128(server), address: address(server) }
}

fn set(key: &str) -> Command {
    let entry = KvEntry { key: key.into(), value: vec![7; 300].into(), ..KvEntry::default() };
    Command::Kv(KvWrite { op: KvOp::Set, entry, lock_delayed: false })
}

impl World {
    fn new(seed: u64, plan: Plan) -> Self {
        let history = Arc::new(History::default());
        let disk = |server: u128| {
            let seed = seed.wrapping_mul(31).wrapping_add(server as u64);
            (server, Disk::new(seed, server, Arc::clone(&history)))
        };
        let disks = (1..=plan.servers).map(disk).collect();
        Self {
            plan,
            network: Arc::new(Network::new(seed ^ 0x5eed)),
            disks: RefCell::new(disks),
            history,
            lives: RefCell::default(),
            life: RefCell::new(0),
            chance: RefCell::new(fastrand::Rng::with_seed(seed)),
            acknowledged: Mutex::default(),
            written: Mutex::default(),
        }
    }

    /// A cluster that begins.
    async fn begin(seed: u64, plan: Plan) -> Self {
        let this = Self::new(seed, plan);
        for server in 1..=plan.servers {
            this.start(server).await;
        }
        let all: Vec<Peer> = (1..=plan.servers).map(peer).collect();
        for server in 1..=plan.servers {
            // Not all at once, and not all of them.
            if server == 1 || this.dice(3) > 0 {
                this.pause(0, 50).await;
                let began = this.alive(server).map(|life| life.raft);
                let began = began.unwrap().bootstrap(&all).await;
                assert!(began.is_ok(), "{began:?}");
            }
        }
        this
    }

    /// The whole of a run; what it returns differs between different runs.
    pub(super) async fn run(seed: u64, plan: Plan) -> u32 {
        let this = Self::begin(seed, plan).await;
        let end = Instant::now() + plan.faults;
        let clients = (0..CLIENTS).map(|client| this.client(client, end));
        let (clients, faults) = (futures_util::future::join_all(clients), this.faults(end));
        futures_util::join!(clients, faults, this.watch(end));
        this.heal().await;
        this.recover().await;
        let digest = this.history.digest();
        this.end().await;
        digest
    }

    fn dice(&self, sides: u64) -> u64 {
        self.chance.borrow_mut().u64(..sides)
    }

    async fn pause(&self, least: u64, most: u64) {
        let millis = self.chance.borrow_mut().u64(least..=most);
        sleep(Duration::from_millis(millis)).await;
    }

    fn alive(&self, server: u128) -> Option<Life> {
        self.lives.borrow().get(&server).cloned()
    }

    fn some_server(&self) -> u128 {
        u128::from(self.dice(self.plan.servers as u64)) + 1
    }

    async fn start(&self, server: u128) {
        *self.life.borrow_mut() += 1;
        let life = *self.life.borrow();
        let plug = Plug { own: address(server), life, network: Arc::clone(&self.network) };
        let store = Store::new();
        let disk = self.disks.borrow().get(&server).cloned().unwrap();
        let config = RaftConfig {
            metrics: lictor_metrics::Metrics::default(),
            node_id: Uuid::from_u128(server),
            address: address(server),
            storage: Storage::Simulated(disk),
            bootstrap: false,
            timing: Timing::default(),
            transport: Some(Arc::new(plug)),
        };
        let raft = Raft::start(config, store.clone()).await.unwrap();
        self.network.state.lock().servers.insert(address(server), (life, raft.clone()));
        self.lives.borrow_mut().insert(server, Life { raft, store });
    }

    /// From now on nothing of this life reaches anybody or a disk. Others are told that its
    /// connections have ended, or not, as of a machine that loses its power.
    fn crash(&self, server: u128, told: bool) {
        let Some(life) = self.lives.borrow_mut().remove(&server) else { return };
        let held = self.network.state.lock().servers.remove(&address(server));
        if let Some((life, _)) = held.filter(|_| told) {
            self.network.hang_up(&address(server), life);
        }
        let mut disks = self.disks.borrow_mut();
        let next = disks.get(&server).unwrap().crash();
        disks.insert(server, next);
        self.network.tasks.spawn("burial", async move { life.raft.shutdown().await });
    }

    /// Writes and reads through any server, and knows only what it is told.
    async fn client(&self, client: u64, end: Instant) {
        let mut count = 0;
        while Instant::now() < end {
            self.pause(1, 60).await;
            let server = self.some_server();
            let Some(life) = self.alive(server) else { continue };
            if self.dice(3) == 0 {
                self.read(server, &life).await;
                continue;
            }
            count += 1;
            let key = format!("c{client}-{count}");
            let known = self.history.known();
            let answer = timeout(Duration::from_secs(2), life.raft.propose(set(&key))).await;
            // What a dead server has said nobody has heard.
            if let Ok(Ok(applied)) = answer
                && self.is_same(server, &life)
            {
                assert!(applied.index > known, "{key} has index {}", applied.index);
                self.history.sees(applied.index);
                self.acknowledged.lock().insert(key, applied.index);
            }
        }
        *self.written.lock() += count;
    }

    fn is_same(&self, server: u128, life: &Life) -> bool {
        self.alive(server).is_some_and(|now| now.raft.is_same(&life.raft))
    }

    /// A read by lease or confirmed by a quorum sees everything that anybody knows of.
    async fn read(&self, server: u128, life: &Life) {
        let known = self.history.known();
        let may = if self.dice(2) == 0 {
            life.raft.lease_valid()
        } else {
            matches!(timeout(Duration::from_secs(2), life.raft.barrier()).await, Ok(Ok(())))
        };
        if may && self.is_same(server, life) {
            let index = life.store.view().index();
            assert!(index >= known, "{server} reads {index}, but {known} is known");
            self.history.sees(index);
        }
    }

    /// At no time may two servers believe that they lead.
    async fn watch(&self, end: Instant) {
        while Instant::now() < end {
            sleep(Duration::from_millis(3)).await;
            let lives = self.lives.borrow();
            let leading: Vec<_> = lives.iter().filter(|(_, l)| l.raft.lease_valid()).collect();
            let names: Vec<_> = leading.iter().map(|(server, _)| **server).collect();
            assert!(names.len() < 2, "{names:?} lead at a time");
        }
    }

    async fn faults(&self, end: Instant) {
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
                    let change = self.dice(3);
                    self.with_leader(|raft| async move {
                        match change {
                            0 => raft.remove_peer(Uuid::from_u128(server)).await,
                            1 => raft.add_nonvoter(peer(server)).await,
                            _ => raft.add_voter(peer(server)).await,
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

    /// One hears no leader any more, and another, which does, is restarted at once: it must not
    /// forget what it owes the leader.
    async fn forgetting(&self, deaf: u128) {
        let Some(leader) = self.leading().filter(|leader| *leader != deaf) else { return };
        self.cut(|from, to| from == leader && to == deaf);
        self.pause(200, 500).await;
        for server in (1..=self.plan.servers).filter(|server| ![leader, deaf].contains(server)) {
            self.crash(server, false);
            self.start(server).await;
        }
        self.pause(0, 300).await;
    }

    /// A leader gives its place away and does not hear who takes it.
    async fn deaf_transfer(&self) {
        let Some(leader) = self.leading() else { return };
        let deafness = async {
            self.pause(0, 20).await;
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

    async fn heal(&self) {
        {
            let mut state = self.network.state.lock();
            state.cut.clear();
            (state.lost, state.delay) = (0, 2_000);
        }
        for server in 1..=self.plan.servers {
            if self.alive(server).is_none() {
                self.start(server).await;
            }
        }
    }

    /// The cluster takes writes again, and every server has all that was acknowledged.
    async fn recover(&self) {
        let well = async {
            loop {
                let leader = self.lives.borrow().values().find(|l| l.raft.lease_valid()).cloned();
                if let Some(leader) = leader {
                    // Whoever was removed is taken back, to have the same as the others.
                    let mut all = true;
                    for server in (1..=self.plan.servers).filter(|_| self.plan.changes) {
                        all &= leader.raft.add_voter(peer(server)).await.is_ok();
                    }
                    if all && let Ok(last) = leader.raft.propose(set("last")).await {
                        return last.index;
                    }
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let last = timeout(RECOVERY, well).await;
        let last = last.unwrap_or_else(|_| panic!("no writes are taken again: {}", self.state()));
        let same = async {
            let has = |life: &Life| life.store.view().index() >= last;
            while !self.lives.borrow().values().all(has) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let all_same = timeout(RECOVERY, same).await.is_ok();
        assert!(all_same, "a server stays behind {last}: {}", self.state());
        for (server, life) in &*self.lives.borrow() {
            let view = life.store.view();
            for (key, index) in &*self.acknowledged.lock() {
                let found = view.kv_get(key).1.map(|entry| entry.modify_index);
                assert_eq!(found, Some(*index), "{server} has lost {key}");
            }
        }
    }

    /// What every server says of itself.
    fn state(&self) -> String {
        let lives = self.lives.borrow();
        let state = lives.iter().map(|(server, life)| {
            let (status, leads) = (life.raft.status(), life.raft.lease_valid());
            format!("\n{server}: leads {leads} {:?} {status:?}", life.raft.leadership().borrow())
        });
        state.collect()
    }

    async fn end(self) {
        for server in 1..=self.plan.servers {
            self.crash(server, false);
        }
        self.network.tasks.shutdown(Duration::from_secs(30)).await;
    }
}

/// How long no write is taken after the leader has died, at the default timings; with `told` its
/// connections end at once.
pub(super) async fn failover(seed: u64, told: bool) -> Duration {
    let plan = Plan { servers: 3, faults: Duration::ZERO, changes: false };
    let world = World::begin(seed, plan).await;
    world.recover().await;
    world.pause(0, 1000).await;
    let leads = |(server, life): (&u128, &Life)| life.raft.lease_valid().then_some(*server);
    let leader = world.lives.borrow().iter().find_map(leads).unwrap();
    world.crash(leader, told);
    let died = Instant::now();
    let written = async {
        loop {
            let others: Vec<Life> = world.lives.borrow().values().cloned().collect();
            for life in others {
                if life.raft.lease_valid() && life.raft.propose(set("again")).await.is_ok() {
                    return;
                }
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(RECOVERY, written).await.expect("nobody leads");
    let gap = died.elapsed();
    world.end().await;
    gap
}
