//! Clients that ask a cluster for everything at once and keep what they were answered.
//!
//! An answer that does not come, or is an error of the server's, leaves a write open: it may have
//! happened, or may still. Only a request that was never sent has certainly not. Sessions belong to a node of the
//! catalog that no agent runs, without checks, so that nothing ends them but requests and time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lictor_testkit::{Failure, Reply, attempt, wait_for};
use serde_json::{Value, json};

use crate::node::Door;
use crate::objects::{Consistency, Objects, held};

/// What all keys begin with.
pub(crate) const ROOT: &str = "h/";
/// The node that sessions belong to.
const OWNER: &str = "nobody";
/// Least time between two requests of a client.
const PACE: Duration = Duration::from_millis(4);
/// A client's rest after a failure.
const REST: Duration = Duration::from_millis(60);
/// Objects of each kind in use at once.
const IN_USE: usize = 4;
/// The limit of sessions that have one: the least that is allowed.
pub(crate) const SESSION_TTL: Duration = Duration::from_secs(10);

/// An index that a reader was told.
#[derive(Debug, Clone)]
pub(crate) struct Sighting {
    pub(crate) door: usize,
    pub(crate) life: u64,
    pub(crate) key: String,
    pub(crate) consistency: Consistency,
    pub(crate) called: u64,
    pub(crate) returned: u64,
    pub(crate) index: u64,
}

/// Keys that are written once: the log of what a cluster has acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Appended {
    pub(crate) acknowledged: BTreeMap<String, u64>,
    pub(crate) attempted: BTreeMap<String, u64>,
}

/// What was asked and answered, by all clients.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) doors: Vec<Door>,
    pub(crate) objects: Objects,
    pub(crate) appended: Mutex<Appended>,
    pub(crate) sightings: Mutex<Vec<Sighting>>,
    /// Values and the indexes they were seen with.
    pub(crate) versions: Mutex<BTreeMap<u64, Vec<u64>>>,
    /// Answered, refused or open, and never sent.
    pub(crate) counts: [AtomicU64; 3],
    start: Instant,
    values: AtomicU64,
    stop: AtomicBool,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Reply(Reply),
    /// It has certainly done nothing.
    NotSent,
    /// Nobody knows.
    Open,
}

impl Workload {
    /// Prepares the cluster behind `doors`.
    ///
    /// # Panics
    /// When it does not take the node of the sessions.
    pub(crate) fn new(doors: Vec<Door>, start: Instant) -> Self {
        let node = json!({"Node": OWNER, "Address": "192.0.2.1"}).to_string();
        wait_for("a node for the sessions", Duration::from_secs(30), || {
            let limit = Duration::from_secs(5);
            let path = "/v1/catalog/register";
            let reply = attempt(&doors[0].http, "PUT", path, node.as_bytes(), limit).ok()?;
            (reply.status == 200).then_some(())
        });
        Self {
            doors,
            objects: Objects::new(IN_USE),
            appended: Mutex::default(),
            sightings: Mutex::default(),
            versions: Mutex::default(),
            counts: [const { AtomicU64::new(0) }; 3],
            start,
            values: AtomicU64::new(1),
            stop: AtomicBool::new(false),
        }
    }

    /// Microseconds since the start of the run.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// A value that nobody else writes.
    pub(crate) fn value(&self) -> u64 {
        self.values.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells all clients to end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// One client, until it is told to end.
    pub(crate) fn client(&self, number: usize, seed: u64) {
        let mut client =
            Client { work: self, number, chance: fastrand::Rng::with_seed(seed), appended: 0 };
        while !self.stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let well = client.step();
            let pace = if well { PACE } else { REST };
            std::thread::sleep(pace.saturating_sub(begun.elapsed()));
        }
    }

    /// Keeps the index that a read was told.
    pub(crate) fn sighted(
        &self,
        read: &Asked,
        key: String,
        consistency: Consistency,
        reply: &Reply,
    ) {
        let index = reply.header("x-consul-index").and_then(|text| text.parse().ok());
        // A client agent asks now one server, now another, and each is as stale as it is.
        let one_server = self.doors[read.door].is_server || consistency != Consistency::Stale;
        // Who has died in between may have been asked in either life.
        if let Some(index) = index
            && one_server
            && self.doors[read.door].life() == read.life
        {
            let (door, life, called, returned) = (read.door, read.life, read.called, read.returned);
            held(&self.sightings).push(Sighting {
                door,
                life,
                key,
                consistency,
                called,
                returned,
                index,
            });
        }
    }

    /// Keeps the index that a value was seen with.
    pub(crate) fn version(&self, value: u64, index: u64) {
        let mut versions = held(&self.versions);
        let indexes = versions.entry(value).or_default();
        if !indexes.contains(&index) {
            indexes.push(index);
        }
    }
}

/// A request that is over.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) door: usize,
    pub(crate) life: u64,
    pub(crate) called: u64,
    pub(crate) returned: u64,
    pub(crate) outcome: Outcome,
}

impl Asked {
    /// The answer of a request that was done, by its status.
    pub(crate) fn reply(&self) -> Option<&Reply> {
        match &self.outcome {
            Outcome::Reply(reply) => Some(reply),
            Outcome::NotSent | Outcome::Open => None,
        }
    }
}

/// One thread that asks.
pub(crate) struct Client<'a> {
    pub(crate) work: &'a Workload,
    pub(crate) number: usize,
    pub(crate) chance: fastrand::Rng,
    appended: u64,
}

impl Client<'_> {
    /// One request; whether it was answered.
    fn step(&mut self) -> bool {
        match self.chance.u8(0..100) {
            0..=9 => self.append(),
            10..=34 => self.lock_step(),
            _ => self.pair_step(),
        }
    }

    /// For the reader of a counterexample.
    pub(crate) fn who(&self, asked: &Asked, what: &str) -> String {
        format!("client {} at {} {what}", self.number, asked.door + 1)
    }

    /// Asks somebody.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Asked {
        // Most of the time the same one, so that not everybody waits for a server that is cut off.
        let doors = self.work.doors.len();
        let own = self.number % doors;
        let door = if self.chance.u8(0..4) > 0 { own } else { self.chance.usize(0..doors) };
        let limit = Duration::from_millis(self.chance.u64(400..2500));
        let life = self.work.doors[door].life();
        let called = self.work.now();
        let outcome = match attempt(&self.work.doors[door].http, method, path, body, limit) {
            Ok(reply) if reply.status < 500 || is_definite(&reply) => Outcome::Reply(reply),
            Ok(_) | Err(Failure::Unanswered(_)) => Outcome::Open,
            Err(Failure::NotSent(_)) => Outcome::NotSent,
        };
        let returned = self.work.now();
        let kind = match &outcome {
            Outcome::Reply(_) => 0,
            Outcome::Open => 1,
            Outcome::NotSent => 2,
        };
        self.work.counts[kind].fetch_add(1, Ordering::Relaxed);
        Asked { door, life, called, returned, outcome }
    }

    /// Writes a key that nobody else writes.
    fn append(&mut self) -> bool {
        let key = format!("log/{}/{:06}", self.number, self.appended);
        self.appended += 1;
        let value = self.work.value();
        held(&self.work.appended).attempted.insert(key.clone(), value);
        let asked = self.ask("PUT", &format!("/v1/kv/{ROOT}{key}"), value.to_string().as_bytes());
        match asked.reply() {
            Some(reply) if reply.status == 200 && reply.json() == Value::Bool(true) => {
                held(&self.work.appended).acknowledged.insert(key, value);
                true
            }
            _ => false,
        }
    }

    /// Makes a session; its identifier.
    pub(crate) fn make_session(&mut self, has_limit: bool) -> (Asked, Option<String>) {
        let mut body = json!({"Node": OWNER, "Checks": [], "LockDelay": "0s"});
        if has_limit {
            body["TTL"] = format!("{}s", SESSION_TTL.as_secs()).into();
        }
        let asked = self.ask("PUT", "/v1/session/create", body.to_string().as_bytes());
        let id = asked.reply().and_then(|reply| Some(reply.json()["ID"].as_str()?.to_owned()));
        (asked, id)
    }
}

/// Whether an error says what has happened: nothing, for there is no such session.
pub(crate) fn is_definite(reply: &Reply) -> bool {
    reply.status == 500 && reply.text().to_ascii_lowercase().contains("invalid session")
}
