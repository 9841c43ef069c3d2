//! Several datacenters whose servers know each other over the WAN, as processes of one test.
//!
//! All nodes have places of one network, so that a cut between datacenters is a cut between their nodes.

use std::time::Duration;

use lictor_testkit::{Reply, attempt, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::alone;
use crate::cluster::{READY, leader_of, tail};
use crate::network::Network;
use crate::node::{Door, Node};

/// How long one request may take.
const ANSWER: Duration = Duration::from_secs(10);

/// One datacenter: its agents are named `<name>-s1`, …, `<name>-c1`, ….
#[derive(Debug, Clone)]
pub(crate) struct Datacenter {
    pub(crate) name: &'static str,
    pub(crate) servers: usize,
    pub(crate) clients: usize,
    /// Merged into the configuration of each of its agents.
    pub(crate) config: Value,
}

impl Datacenter {
    /// One with so many servers and clients, and settings of its own.
    pub(crate) fn new(name: &'static str, servers: usize, clients: usize, config: Value) -> Self {
        Self { name, servers, clients, config }
    }

    fn size(&self) -> usize {
        self.servers + self.clients
    }
}

/// Running datacenters.
#[derive(Debug)]
pub(crate) struct Datacenters {
    // Processes end before their networks do.
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    shapes: Vec<Datacenter>,
    folder: Option<TempDir>,
}

impl Datacenters {
    /// Starts all agents and waits until everybody has a leader and all servers know all datacenters.
    ///
    /// # Panics
    /// When they do not become ready.
    pub(crate) fn start(seed: u64, shapes: &[Datacenter]) -> Self {
        let mut all = Self::prepare(seed, shapes);
        for at in 0..all.nodes.len() {
            all.start_node(at);
        }
        all.wait_until_ready();
        all
    }

    /// Makes everything that agents need, and starts none.
    pub(crate) fn prepare(seed: u64, shapes: &[Datacenter]) -> Self {
        let network = Network::make(shapes.iter().map(Datacenter::size).sum(), seed);
        let folder =
            tempfile::Builder::new().prefix("lictor-datacenters-").tempdir().expect("a folder");
        let mut nodes = Vec::new();
        let mut begin = 0;
        for shape in shapes {
            let places = &network.places()[begin..begin + shape.size()];
            let join: Vec<_> = places[..shape.servers].iter().map(|p| &p.address).collect();
            let first = &network.places()[0].address;
            for (at, place) in places.iter().enumerate() {
                let is_server = at < shape.servers;
                let mut config = json!({
                    "datacenter": shape.name, "server": is_server,
                    "retry_join": join, "retry_interval": "1s",
                    "performance": {"raft_multiplier": 1}, "disable_update_check": true,
                    "leave_on_terminate": false,
                });
                if is_server {
                    config["bootstrap_expect"] = shape.servers.into();
                    config["retry_join_wan"] = json!([first]);
                    config["retry_interval_wan"] = "1s".into();
                }
                if let (Some(config), Some(extra)) =
                    (config.as_object_mut(), shape.config.as_object())
                {
                    config.extend(extra.clone());
                }
                let name = match is_server {
                    true => format!("{}-s{}", shape.name, at + 1),
                    false => format!("{}-c{}", shape.name, at + 1 - shape.servers),
                };
                nodes.push(Node::prepare(place, folder.path(), &name, &config, None));
            }
            begin += shape.size();
        }
        Self { nodes, network, shapes: shapes.to_vec(), folder: Some(folder) }
    }

    /// The number of a node.
    ///
    /// # Panics
    /// When there is none of that name.
    pub(crate) fn at(&self, name: &str) -> usize {
        self.nodes.iter().position(|node| node.name == name).expect("a node of that name")
    }

    /// Where clients ask a node.
    pub(crate) fn door(&self, name: &str) -> &Door {
        &self.nodes[self.at(name)].door
    }

    pub(crate) fn start_node(&mut self, at: usize) {
        self.nodes[at].start(&self.network.places()[at]);
    }

    /// The numbers of the nodes of a datacenter.
    fn range(&self, name: &str) -> std::ops::Range<usize> {
        let mut begin = 0;
        for shape in &self.shapes {
            if shape.name == name {
                return begin..begin + shape.size();
            }
            begin += shape.size();
        }
        panic!("no datacenter {name}");
    }

    /// Cuts two datacenters off from each other, or joins them again; false where networks cannot be cut.
    pub(crate) fn cut(&self, one: &str, other: &str, cut: bool) -> bool {
        let Some(links) = self.network.links() else { return false };
        for a in self.range(one) {
            for b in self.range(other) {
                links.set(a, b, |link| link.cut = cut);
                links.set(b, a, |link| link.cut = cut);
            }
        }
        true
    }

    /// Waits until every agent has a leader, and all servers know all datacenters.
    ///
    /// # Panics
    /// When that takes too long.
    pub(crate) fn wait_until_ready(&mut self) {
        let mut names: Vec<_> = self.shapes.iter().map(|shape| shape.name).collect();
        names.sort_unstable();
        let folder = self.folder.as_ref().map(|at| at.path().display().to_string());
        for node in &mut self.nodes {
            let what = format!("{} to be ready; logs in {folder:?}", node.name);
            wait_for(&what, READY, || {
                assert!(!node.ended_by_itself(), "{} ended:\n{}", node.name, tail(&node.log()));
                leader_of(&node.door)?;
                let known = ask(&node.door, "GET", "/v1/catalog/datacenters", "")?.json();
                let mut known: Vec<_> =
                    known.as_array()?.iter().filter_map(Value::as_str).collect();
                known.sort_unstable();
                (known == names).then_some(())
            });
        }
    }
}

impl Drop for Datacenters {
    fn drop(&mut self) {
        let wanted = std::env::var_os("CLUSTER_KEEP").is_some();
        if (std::thread::panicking() || wanted)
            && let Some(kept) = self.folder.take().map(TempDir::keep)
        {
            eprintln!("the logs of the agents are kept in {}", kept.display());
        }
        self.nodes.iter_mut().for_each(Node::kill);
    }
}

/// The answer to a request that succeeds.
pub(crate) fn ask(door: &Door, method: &str, path: &str, body: &str) -> Option<Reply> {
    let reply = attempt(&door.http, method, path, body.as_bytes(), ANSWER).ok()?;
    (reply.status == 200).then_some(reply)
}

#[test]
fn each_datacenter_is_asked_from_the_other() {
    let _alone = alone();
    let shapes = [Datacenter::new("dc1", 3, 0, json!({})), Datacenter::new("dc2", 1, 1, json!({}))];
    let mut all = Datacenters::start(21, &shapes);
    for (from, to) in [("dc1-s2", "dc2"), ("dc2-s1", "dc1"), ("dc2-c1", "dc1")] {
        let door = all.door(from);
        let path = format!("/v1/kv/from-{from}?dc={to}");
        assert!(ask(door, "PUT", &path, from).is_some(), "{from} writes in {to}");
        let there = all.door(if to == "dc1" { "dc1-s3" } else { "dc2-c1" });
        let read = ask(there, "GET", &format!("/v1/kv/from-{from}?raw"), "").expect("the key");
        assert_eq!(read.text(), from);
        assert!(
            ask(door, "GET", &format!("/v1/kv/from-{from}?raw"), "").is_none(),
            "it is not here"
        );
        let leader = ask(door, "GET", &format!("/v1/status/leader?dc={to}"), "");
        let own = leader_of(there).expect("a leader");
        assert_eq!(leader.expect("an answer").json(), json!(own));
    }
    let unknown = attempt(&all.door("dc1-s1").http, "GET", "/v1/kv/a?dc=dc9", b"", ANSWER);
    let unknown = unknown.expect("an answer");
    assert_eq!((unknown.status, unknown.text().trim()), (500, "No path to datacenter"));
    if all.cut("dc1", "dc2", true) {
        // What is asked of the own datacenter does not suffer.
        assert!(ask(all.door("dc2-c1"), "PUT", "/v1/kv/alone", "yes").is_some());
        all.cut("dc1", "dc2", false);
        wait_for("dc1 to be asked from dc2 again", READY, || {
            ask(all.door("dc2-c1"), "GET", "/v1/kv/from-dc2-c1?dc=dc1&raw", "")
        });
    }
    all.wait_until_ready();
}
