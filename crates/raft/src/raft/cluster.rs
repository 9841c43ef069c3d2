//! Several servers over a network in memory: elections, followers that come and go, changes of
//! the cluster.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use lictor_types::kv::{KvEntry, KvOp, KvWrite};
use parking_lot::Mutex;

use super::*;
use crate::membership::Peer;
use crate::transport::{Answering, Transport, TransportError};

/// Connects servers by address.
#[derive(Debug, Default)]
struct Wire {
    servers: Mutex<HashMap<String, Raft>>,
    /// Who hears nothing and is not heard.
    cut: Mutex<HashSet<String>>,
    longest: Mutex<usize>,
}

/// One server's plug.
#[derive(Debug)]
struct Plug {
    own: String,
    wire: Arc<Wire>,
}

impl Transport for Plug {
    fn call<'a>(&'a self, address: &'a str, message: Bytes, patience: Duration) -> Answering<'a> {
        Box::pin(async move {
            let cut = |address: &str| self.wire.cut.lock().contains(address);
            if cut(&self.own) || cut(address) {
                tokio::time::sleep(patience).await;
                return Err(TransportError::Timeout);
            }
            let found = self.wire.servers.lock().get(address).cloned();
            let nobody = || TransportError::Unreachable("nobody is there".into());
            let server = found.ok_or_else(nobody)?;
            let mut longest = self.wire.longest.lock().max(message.len());
            let answer = tokio::time::timeout(patience, server.handle(None, message)).await;
            let answer = answer.map_err(|_| TransportError::Timeout)?;
            longest = longest.max(answer.len());
            let mut held = self.wire.longest.lock();
            *held = longest.max(*held);
            Ok(answer)
        })
    }
}

/// A server of a test.
struct Member {
    peer: Peer,
    raft: Raft,
    store: Store,
}

struct Cluster {
    wire: Arc<Wire>,
    members: Vec<Member>,
    dir: tempfile::TempDir,
}

fn peer(n: u128) -> Peer {
    Peer { id: Uuid::from_u128(n), address: format!("server-{n}") }
}

fn set(key: &str, value: &[u8]) -> Command {
    let entry = KvEntry { key: key.into(), value: value.to_vec().into(), ..KvEntry::default() };
    Command::Kv(KvWrite { op: KvOp::Set, entry, lock_delayed: false })
}

const PATIENCE: Duration = Duration::from_secs(30);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(PATIENCE, future).await;
    ended.unwrap_or_else(|_| panic!("{what} takes too long"))
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, met).await;
}

impl Cluster {
    /// Servers 1 to `count`, on disk, that were told of each other.
    async fn of(count: u128) -> Self {
        let mut this =
            Self { wire: Arc::default(), members: Vec::new(), dir: tempfile::tempdir().unwrap() };
        for n in 1..=count {
            this.start(n, true).await;
        }
        let voters: Vec<Peer> = (1..=count).map(peer).collect();
        for member in &this.members {
            member.raft.bootstrap(&voters).await.unwrap();
        }
        this
    }

    async fn start(&mut self, n: u128, on_disk: bool) {
        let peer = peer(n);
        let dir = self.dir.path().join(n.to_string());
        let (raft, store) = start(&self.wire, &peer, on_disk.then_some(dir.as_path())).await;
        self.members.push(Member { peer, raft, store });
    }

    /// Ends a server as a crash would look like to others.
    async fn stop(&mut self, n: u128) -> Peer {
        let position = self.members.iter().position(|m| m.peer.id == Uuid::from_u128(n)).unwrap();
        let member = self.members.remove(position);
        self.wire.servers.lock().remove(&member.peer.address);
        member.raft.shutdown().await;
        member.peer
    }

    fn leading(&self) -> Option<&Member> {
        self.members.iter().find(|m| m.raft.lease_valid())
    }

    async fn leader(&self) -> &Member {
        until("an election", || self.leading().is_some()).await;
        self.leading().unwrap()
    }

    /// Waits until all servers have a key with a value.
    async fn agree(&self, key: &str, value: &[u8]) {
        until("replication", || {
            let has = |m: &Member| m.store.view().kv_get(key).1.is_some_and(|e| e.value == *value);
            self.members.iter().all(has)
        })
        .await;
    }

    /// Writes through whoever leads.
    async fn write(&self, key: &str, value: &[u8]) {
        let written = async {
            loop {
                if self.leader().await.raft.propose(set(key, value)).await.is_ok() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("a write", written).await;
    }

    async fn end(self) {
        for member in &self.members {
            member.raft.shutdown().await;
        }
        let longest = *self.wire.longest.lock();
        assert!(longest <= crate::MESSAGE_MAX, "a message of {longest} bytes");
    }
}

async fn start(wire: &Arc<Wire>, peer: &Peer, dir: Option<&Path>) -> (Raft, Store) {
    let store = Store::new();
    let plug = Plug { own: peer.address.clone(), wire: Arc::clone(wire) };
    let config = RaftConfig {
        metrics: lictor_metrics::Metrics::default(),
        node_id: peer.id,
        address: peer.address.clone(),
        storage: dir.map_or(Storage::Memory, |dir| Storage::Disk(dir.to_owned())),
        bootstrap: false,
        timing: Timing::multiplied(10),
        transport: Some(Arc::new(plug)),
    };
    let raft = Raft::start(config, store.clone()).await.unwrap();
    wire.servers.lock().insert(peer.address.clone(), raft.clone());
    (raft, store)
}

fn number(peer: &Peer) -> u128 {
    peer.id.as_u128()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_elect_one_and_all_apply_what_it_takes() {
    for count in [3, 5] {
        let cluster = Cluster::of(count).await;
        cluster.write("a", b"1").await;
        cluster.agree("a", b"1").await;
        let leader = cluster.leader().await;
        leader.raft.barrier().await.unwrap();
        let status = leader.raft.status();
        assert_eq!(status.voters.len(), count as usize);
        assert_eq!(
            (status.peers.len(), status.last_contact),
            (count as usize - 1, Some(Duration::ZERO))
        );
        let of = |m: &Member| m.store.view().kv_get("a").1.unwrap().modify_index;
        let indexes: HashSet<u64> = cluster.members.iter().map(of).collect();
        assert_eq!(indexes.len(), 1, "all count alike");
        for member in cluster.members.iter().filter(|m| m.peer != leader.peer) {
            assert_eq!(member.raft.propose(Command::Noop).await, Err(ProposeError::NoLeader));
            assert_eq!(member.raft.barrier().await, Err(ProposeError::NoLeader));
            until("contact", || member.raft.status().last_contact.is_some()).await;
            let known = member.raft.leadership().borrow().leader.clone().unwrap();
            assert_eq!(known.address, leader.peer.address);
            // It has a log: nothing may begin anew.
            assert_eq!(member.raft.bootstrap(std::slice::from_ref(&member.peer)).await, Ok(false));
        }
        cluster.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_and_the_leader_may_crash_and_come_back() {
    let mut cluster = Cluster::of(3).await;
    cluster.write("a", b"1").await;
    let first = number(&cluster.leader().await.peer);
    cluster.stop(first).await;
    cluster.write("a", b"2").await;
    cluster.agree("a", b"2").await;
    let second = number(&cluster.leader().await.peer);
    assert_ne!(first, second);
    cluster.start(first, true).await;
    cluster.agree("a", b"2").await;
    // With the other gone, too, the one that came back is needed.
    let third = 6 - first - second;
    cluster.stop(third).await;
    cluster.write("a", b"3").await;
    cluster.agree("a", b"3").await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_answers_no_more() {
    let cluster = Cluster::of(3).await;
    cluster.write("a", b"1").await;
    let old = cluster.leader().await;
    cluster.wire.cut.lock().insert(old.peer.address.clone());
    let pending = old.raft.propose(set("a", b"lost"));
    let refused = within("the end of what nobody confirms", pending).await;
    assert!(matches!(refused, Err(ProposeError::NoLeader | ProposeError::LeadershipLost)));
    assert!(!old.raft.lease_valid());
    assert_eq!(old.raft.barrier().await, Err(ProposeError::NoLeader));
    let mut leadership = old.raft.leadership();
    within("knowing it", leadership.wait_for(|l| !l.is_self)).await.unwrap();
    cluster.write("a", b"2").await;
    let new = cluster.leader().await;
    assert_ne!(new.peer, old.peer);
    let term = new.raft.status().term;
    cluster.wire.cut.lock().clear();
    cluster.agree("a", b"2").await;
    assert_eq!(new.raft.status().term, term, "it came back without an election");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_was_cut_off_disturbs_nobody() {
    let cluster = Cluster::of(3).await;
    cluster.write("a", b"1").await;
    let leader = cluster.leader().await;
    let term = leader.raft.status().term;
    let cut = cluster.members.iter().find(|m| m.peer != leader.peer).unwrap();
    cluster.wire.cut.lock().insert(cut.peer.address.clone());
    let mut leadership = cut.raft.leadership();
    within("missing the leader", leadership.wait_for(|l| l.leader.is_none())).await.unwrap();
    tokio::time::sleep(Timing::multiplied(10).lease() * 3).await;
    cluster.wire.cut.lock().clear();
    cluster.write("a", b"2").await;
    cluster.agree("a", b"2").await;
    assert_eq!(leader.raft.status().term, term);
    assert!(leader.raft.lease_valid());
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_server_gets_a_snapshot_and_then_a_vote() {
    let mut cluster = Cluster::of(3).await;
    // More than goes in one message.
    let value: Vec<u8> =
        (0..400_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    for n in 0..8 {
        cluster.write(&format!("k{n}"), &value).await;
    }
    for n in 0..600 {
        cluster.write(&format!("s{n}"), b"v").await;
    }
    let leader = cluster.leader().await.raft.clone();
    leader.take_snapshot().await.unwrap();
    let mut metrics = leader.engine.metrics();
    let purged = async {
        while metrics.borrow_and_update().purged.is_none() {
            metrics.changed().await.unwrap();
        }
    };
    within("a snapshot and a shorter log", purged).await;
    for on_disk in [true, false] {
        let n = 4 + u128::from(!on_disk);
        cluster.start(n, on_disk).await;
        within("a vote", leader.add_voter(peer(n))).await.unwrap();
    }
    cluster.agree("k7", &value).await;
    cluster.write("after", b"v").await;
    cluster.agree("after", b"v").await;
    assert_eq!(leader.status().voters.len(), 5);
    // What arrived is there after a restart, and what came after it.
    cluster.stop(4).await;
    cluster.write("meanwhile", b"v").await;
    cluster.start(4, true).await;
    cluster.agree("meanwhile", b"v").await;
    cluster.agree("k0", &value).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_longer_than_a_message_arrives() {
    let cluster = Cluster::of(3).await;
    let mut archive = Vec::new();
    let full = Store::new();
    let value = vec![7; 500_000];
    full.apply_batch((0..6).map(|n| set(&format!("r{n}"), &value)));
    full.snapshot().write(&mut archive).unwrap();
    assert!(archive.len() > 2 * crate::MESSAGE_MAX);
    let leader = cluster.leader().await;
    leader.raft.propose(Command::Restore(archive.into())).await.unwrap();
    cluster.agree("r5", &value).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_goes_where_it_is_sent() {
    let cluster = Cluster::of(3).await;
    cluster.write("a", b"1").await;
    let old = cluster.leader().await;
    let to = cluster.members.iter().find(|m| m.peer != old.peer).unwrap();
    within("a transfer", old.raft.transfer_leadership(Some(to.peer.id))).await.unwrap();
    assert!(!old.raft.lease_valid());
    let mut leadership = to.raft.leadership();
    within("taking over", leadership.wait_for(|l| l.is_self)).await.unwrap();
    cluster.write("a", b"2").await;
    cluster.agree("a", b"2").await;
    let nobody = old.raft.transfer_leadership(None).await;
    assert_eq!(nobody, Err(ProposeError::NoLeader));
    let stranger = to.raft.transfer_leadership(Some(Uuid::from_u128(99))).await;
    assert!(matches!(stranger, Err(ProposeError::Membership(_))));
    assert!(to.raft.lease_valid(), "nothing came of it");
    // To whoever can: one of them cannot.
    cluster.wire.cut.lock().insert(old.peer.address.clone());
    within("a transfer", to.raft.transfer_leadership(None)).await.unwrap();
    cluster.write("a", b"3").await;
    cluster.wire.cut.lock().clear();
    cluster.agree("a", b"3").await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_removed_and_move() {
    let mut cluster = Cluster::of(3).await;
    cluster.write("a", b"1").await;
    let leader = cluster.leader().await;
    let (leader_number, raft) = (number(&leader.peer), leader.raft.clone());
    let gone = if leader_number == 1 { 2 } else { 1 };
    cluster.stop(gone).await;
    within("removal", raft.remove_peer(Uuid::from_u128(gone))).await.unwrap();
    assert_eq!(raft.status().voters.len(), 2);
    raft.remove_peer(Uuid::from_u128(gone)).await.unwrap();

    // A server that follows without a vote, and then moves.
    cluster.start(4, true).await;
    within("a follower", raft.add_nonvoter(peer(4))).await.unwrap();
    cluster.agree("a", b"1").await;
    assert_eq!(raft.status().nonvoters, [(Uuid::from_u128(4), "server-4".to_owned())]);
    let mut moved = cluster.stop(4).await;
    moved.address = "elsewhere".into();
    let dir = cluster.dir.path().join("4");
    let (again, store) = start(&cluster.wire, &moved, Some(&dir)).await;
    within("a move", raft.add_voter(moved.clone())).await.unwrap();
    cluster.members.push(Member { peer: moved.clone(), raft: again, store });
    assert!(raft.status().voters.contains(&(moved.id, "elsewhere".to_owned())));
    cluster.write("a", b"2").await;
    cluster.agree("a", b"2").await;

    // A leader that removes itself makes room for another.
    within("removal of oneself", raft.remove_peer(Uuid::from_u128(leader_number))).await.unwrap();
    // It leads still, but what else is to be changed is the next leader's.
    let own = peer(leader_number);
    assert_eq!(raft.add_nonvoter(peer(9)).await, Err(ProposeError::NoLeader));
    assert_eq!(raft.add_voter(own).await, Err(ProposeError::NoLeader));
    assert_eq!(raft.remove_peer(moved.id).await, Err(ProposeError::NoLeader));
    until("its end", || !raft.lease_valid()).await;
    cluster.stop(leader_number).await;
    cluster.write("a", b"3").await;
    cluster.agree("a", b"3").await;
    assert_eq!(cluster.leader().await.raft.status().voters.len(), 2);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_somebody_else_is_refused() {
    let cluster = Cluster::of(1).await;
    let member = cluster.leader().await;
    let vote = openraft::raft::VoteRequest::new(openraft::Vote::new(9, Uuid::from_u128(2)), None);
    let envelope = crate::message::Envelope { from: Uuid::from_u128(2), to: Uuid::from_u128(3) };
    let message = crate::message::Message::Vote(vote).encode(envelope).unwrap();
    let answer = crate::message::Answer::decode(&member.raft.handle(None, message).await).unwrap();
    assert!(matches!(answer, crate::message::Answer::Refused(_)), "{answer:?}");
    let answer = member.raft.handle(None, Bytes::from_static(b"\xff")).await;
    let answer = crate::message::Answer::decode(&answer).unwrap();
    assert!(matches!(answer, crate::message::Answer::Refused(_)), "{answer:?}");
    assert!(member.raft.lease_valid());
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_that_is_left_goes_on_with_peers_json() {
    let mut cluster = Cluster::of(3).await;
    for n in 0..50 {
        cluster.write(&format!("k{n}"), b"v").await;
    }
    cluster.agree("k49", b"v").await;
    for n in 1..=3 {
        cluster.stop(n).await;
    }
    let dir = cluster.dir.path().join("1");
    let file = dir.join("peers.json");
    let begin = async |wire: &Arc<Wire>| {
        let plug = Plug { own: "server-1".into(), wire: Arc::clone(wire) };
        let config = RaftConfig {
            metrics: lictor_metrics::Metrics::default(),
            node_id: Uuid::from_u128(1),
            address: "server-1".into(),
            storage: Storage::Disk(dir.clone()),
            bootstrap: false,
            timing: Timing::multiplied(10),
            transport: Some(Arc::new(plug)),
        };
        Raft::start(config, Store::new()).await
    };
    for wrong in ["nonsense", r#"["server-9"]"#, "[]"] {
        std::fs::write(&file, wrong).unwrap();
        let refused = begin(&cluster.wire).await;
        assert!(matches!(refused, Err(StartError::Recovery(_))), "{wrong}");
        assert!(file.exists(), "it is still there to be put right");
    }
    // By address, as of old, and then with ids.
    let named = r#"[{"id": "00000000-0000-0000-0000-000000000001", "address": "server-1"},
        {"id": "00000000-0000-0000-0000-000000000004", "address": "server-4", "non_voter": true}]"#;
    for (text, nonvoters) in [(r#"["server-1"]"#, 0), (named, 1)] {
        std::fs::write(&file, text).unwrap();
        cluster.start(1, true).await;
        assert!(!file.exists());
        let leader = cluster.leader().await;
        let status = leader.raft.status();
        assert_eq!((status.voters.len(), status.nonvoters.len()), (1, nonvoters));
        assert!(status.snapshot_index > 0);
        cluster.agree("k49", b"v").await;
        cluster.write("after", text.as_bytes()).await;
        if nonvoters == 0 {
            cluster.stop(1).await;
        }
    }
    // The others come back empty, and get everything.
    cluster.start(4, true).await;
    let leader = cluster.leader().await.raft.clone();
    within("a vote", leader.add_voter(peer(4))).await.unwrap();
    cluster.agree("k0", b"v").await;
    cluster.agree("after", named.as_bytes()).await;
    cluster.end().await;
}
