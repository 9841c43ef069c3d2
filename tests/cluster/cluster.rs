//! Servers and client agents that form one cluster.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use lictor_testkit::{request_within, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::network::Network;
use crate::node::{Door, Node};

/// How long a cluster may take to become ready, and to be so again when all faults are over.
pub(crate) const READY: Duration = Duration::from_secs(60);
/// How long an agent may take to say who leads.
const ANSWER: Duration = Duration::from_secs(1);

/// How a cluster is made.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) servers: usize,
    pub(crate) clients: usize,
    pub(crate) seed: u64,
    /// Whether their time of day can be shifted, where that is installed.
    pub(crate) clocks: bool,
    /// Merged into the configuration of every agent.
    pub(crate) config: Value,
    /// What they run, if not the product's binary.
    pub(crate) binary: Option<PathBuf>,
}

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    // Processes end before their networks do.
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    servers: usize,
    folder: Option<TempDir>,
}

impl Cluster {
    /// Starts all agents and waits until everybody knows the leader.
    ///
    /// # Panics
    /// When they do not become ready.
    pub(crate) fn start(shape: &Shape) -> Self {
        let network = Network::make(shape.servers + shape.clients, shape.seed);
        let folder =
            tempfile::Builder::new().prefix("lictor-cluster-").tempdir().expect("a folder");
        let faketime = shape.clocks.then(faketime).flatten();
        let join: Vec<_> = network.places()[..shape.servers].iter().map(|p| &p.address).collect();
        let mut nodes = Vec::new();
        for (at, place) in network.places().iter().enumerate() {
            let is_server = at < shape.servers;
            let mut config = json!({
                "server": is_server, "retry_join": join, "retry_interval": "1s",
                "performance": {"raft_multiplier": 1}, "disable_update_check": true,
                "leave_on_terminate": false,
            });
            if is_server {
                config["bootstrap_expect"] = shape.servers.into();
            }
            if let (Some(config), Some(extra)) = (config.as_object_mut(), shape.config.as_object())
            {
                config.extend(extra.clone());
            }
            let name = if is_server { format!("s{}", at + 1) } else { format!("c{}", at + 1) };
            nodes.push(Node::prepare(place, folder.path(), &name, &config, faketime.as_deref()));
        }
        for (node, place) in nodes.iter_mut().zip(network.places()) {
            if let Some(binary) = &shape.binary {
                node.binary.clone_from(binary);
            }
            node.start(place);
        }
        let servers = shape.servers;
        let mut cluster = Self { nodes, network, servers, folder: Some(folder) };
        cluster.wait_until_ready();
        cluster
    }

    /// Where clients may ask.
    pub(crate) fn doors(&self) -> Vec<Door> {
        self.nodes.iter().map(|node| node.door.clone()).collect()
    }

    /// The numbers of the servers.
    pub(crate) fn servers(&self) -> std::ops::Range<usize> {
        0..self.servers
    }

    pub(crate) fn start_node(&mut self, at: usize) {
        self.nodes[at].start(&self.network.places()[at]);
    }

    /// The number of the server that most servers take for the leader.
    pub(crate) fn leader(&self) -> Option<usize> {
        let mut votes: HashMap<String, usize> = HashMap::new();
        for node in &self.nodes[self.servers()] {
            if let Some(leader) = leader_of(&node.door) {
                *votes.entry(leader).or_default() += 1;
            }
        }
        let (leader, _) = votes.into_iter().max_by_key(|(_, count)| *count)?;
        self.nodes.iter().position(|node| leader == format!("{}:8300", node.address))
    }

    /// Waits until every agent knows the same leader, all servers are voters, and a write passes at each.
    ///
    /// # Panics
    /// When that takes too long.
    pub(crate) fn wait_until_ready(&mut self) {
        let servers = self.servers;
        for at in 0..self.nodes.len() {
            let what = format!("{} to be ready; {}", self.nodes[at].name, self.whereabouts());
            let node = &mut self.nodes[at];
            wait_for(&what, READY, || {
                assert!(!node.ended_by_itself(), "{} ended:\n{}", node.name, tail(&node.log()));
                leader_of(&node.door)?;
                let get = |path| request_within(&node.door.http, "GET", path, b"", ANSWER).ok();
                let peers = get("/v1/status/peers")?.json();
                let put = request_within(&node.door.http, "PUT", "/v1/kv/ready", b"", READY);
                let ready = peers.as_array().is_some_and(|peers| peers.len() == servers);
                (ready && put.ok()?.status == 200).then_some(())
            });
        }
    }

    /// Where the logs are.
    fn whereabouts(&self) -> String {
        self.folder
            .as_ref()
            .map_or_else(String::new, |at| format!("logs in {}", at.path().display()))
    }

    /// Leaves the folder with logs and data, for people to look at.
    pub(crate) fn keep(&mut self) -> Option<PathBuf> {
        self.folder.take().map(TempDir::keep)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let wanted = std::env::var_os("CLUSTER_KEEP").is_some();
        if (std::thread::panicking() || wanted)
            && let Some(kept) = self.keep()
        {
            eprintln!("the logs of the agents are kept in {}", kept.display());
        }
        self.nodes.iter_mut().for_each(Node::kill);
    }
}

/// Whom an agent takes for the leader.
pub(crate) fn leader_of(door: &Door) -> Option<String> {
    let reply = request_within(&door.http, "GET", "/v1/status/leader", b"", ANSWER).ok()?;
    let leader = reply.json().as_str()?.to_owned();
    (reply.status == 200 && !leader.is_empty()).then_some(leader)
}

/// The end of a log.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// The library that shifts the time of day, where it is installed.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    let found = libraries.find(|file| file.is_file());
    if found.is_none() {
        lictor_testkit::skipped("jumps of the time of day", "faketime is not installed");
    }
    found
}
