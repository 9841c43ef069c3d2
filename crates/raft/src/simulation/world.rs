//! A run: servers, clients that write and read, and what goes wrong.

mod faults;

use std::cell::{Cell, RefCell};
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
    /// Nobody writes, so that all come to have the same.
    quiet: Cell<bool>,
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
            quiet: Cell::new(false),
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
            if self.dice(3) == 0 || self.quiet.get() {
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

    /// Writes through whoever leads, once somebody does.
    async fn write(&self, key: &str) {
        let written = async {
            loop {
                let all: Vec<Life> = self.lives.borrow().values().cloned().collect();
                for life in all.into_iter().filter(|life| life.raft.lease_valid()) {
                    if let Ok(applied) = life.raft.propose(set(key)).await {
                        self.acknowledged.lock().insert(key.to_owned(), applied.index);
                        return;
                    }
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(RECOVERY, written).await.expect("nobody leads");
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
    world.write("again").await;
    let gap = died.elapsed();
    world.end().await;
    gap
}

/// A server is away for so long that the others' logs begin after what it has; then all are restarted,
/// so that each has its state from a snapshot. Gives how many snapshots were sent.
pub(super) async fn absence(seed: u64) -> u64 {
    let plan = Plan { servers: 3, faults: Duration::ZERO, changes: false };
    let world = World::begin(seed, plan).await;
    world.recover().await;
    let restart = async |which: &[u128]| {
        which.iter().for_each(|server| world.crash(*server, false));
        for server in which {
            world.start(*server).await;
        }
    };
    let away = world.some_server();
    world.crash(away, true);
    for count in 0..40 {
        world.write(&format!("k{count}")).await;
    }
    // Whoever leads waits with its log for those who lack it, but whoever led does not.
    let others: Vec<u128> = (1..=3).filter(|server| *server != away).collect();
    restart(&others).await;
    world.write("others").await;
    world.start(away).await;
    world.recover().await;
    restart(&[1, 2, 3]).await;
    world.recover().await;
    let sent = world.history.installed();
    world.end().await;
    sent
}
