//! Agents that TLS keeps out: without a certificate, with one of another authority, with the wrong name. Each
//! of them, and whoever refuses it, says why; those that belong to the cluster do not notice.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lictor_testkit::{attempt, wait_for};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::alone;
use crate::cluster::{READY, leader_of, tail};
use crate::datacenters::{Datacenter, Datacenters, ask};
use crate::node::{Door, Node};

/// How long one request may take.
const ANSWER: Duration = Duration::from_secs(10);

/// An authority, whose certificate is in `<name>-ca.pem` of a folder.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Authorities of the same name would be told apart by their signatures alone.
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let made = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        fs::write(folder.join(format!("{name}-ca.pem")), made.pem()).expect("a file");
        Self(made)
    }

    /// Settings of an agent with a certificate for a name, in files of a folder.
    pub(crate) fn issue(&self, folder: &Path, file: &str, name: &str) -> Value {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let made = params.signed_by(&key, &self.0).expect("a certificate");
        let write = |suffix: &str, text: String| {
            let path = folder.join(format!("{file}{suffix}.pem"));
            fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        json!({"cert_file": write("", made.pem()), "key_file": write("-key", key.serialize_pem())})
    }
}

/// What is wrong with an agent: it says so itself, and so does whoever refuses it.
struct Stranger {
    node: usize,
    /// What its own log says, if the fault shows there.
    says: &'static str,
    /// What the log of a server says of it, if it comes so far.
    told: &'static str,
}

pub(crate) fn has_line(node: &Node, words: &[&str]) -> bool {
    node.log().lines().any(|line| words.iter().all(|word| line.contains(word)))
}

/// Whether an agent answers a question that only servers can answer.
fn reads(door: &Door) -> bool {
    ask(door, "GET", "/v1/kv/known?raw", "").is_some_and(|reply| reply.text() == "1")
}

#[test]
fn agents_that_tls_keeps_out() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let (own, other) = (Authority::new(at, "own"), Authority::new(at, "other"));
    let ca = |name: &str| at.join(format!("{name}-ca.pem")).display().to_string();
    let config = json!({
        "ca_file": ca("own"), "verify_incoming": true, "verify_outgoing": true,
        "verify_server_hostname": true, "performance": {"rpc_hold_timeout": "2s"},
    });
    let mut all = Datacenters::prepare(51, &[Datacenter::new("dc1", 4, 5, config)]);
    let servers: Vec<_> = (0..3).collect();
    for at in &servers {
        let name = format!("server{at}");
        all.nodes[*at].configure(&own.issue(folder.path(), &name, "server.dc1.consul"));
        all.nodes[*at].configure(&json!({"bootstrap_expect": 3}));
    }
    // A client of the cluster, and four that are not.
    all.nodes[4].configure(&own.issue(at, "client", "client.dc1.consul"));
    all.nodes[5].configure(&json!({"verify_incoming": false}));
    all.nodes[6].configure(&other.issue(at, "foreign", "client.dc1.consul"));
    all.nodes[7].configure(&own.issue(at, "astray", "client.dc1.consul"));
    all.nodes[7].configure(&json!({"ca_file": ca("other")}));
    all.nodes[8].configure(&own.issue(at, "plain", "client.dc1.consul"));
    all.nodes[8].configure(&json!({"verify_outgoing": false, "verify_server_hostname": false}));
    // A server of the same authority whose name is that of a client.
    all.nodes[3].configure(&own.issue(at, "named", "client.dc1.consul"));
    all.nodes[3].configure(&json!({"bootstrap_expect": 3}));

    servers.iter().for_each(|at| all.start_node(*at));
    let first = all.nodes[0].door.clone();
    wait_for("the servers to write", READY, || ask(&first, "PUT", "/v1/kv/known", "1").map(drop));
    (3..9).for_each(|at| all.start_node(at));
    for at in 3..9 {
        let node = &mut all.nodes[at];
        wait_for(&format!("{} to be a member", node.name), READY, || {
            assert!(!node.ended_by_itself(), "{} ended:\n{}", node.name, tail(&node.log()));
            let members = ask(&node.door, "GET", "/v1/agent/members", "")?.json();
            (members.as_array()?.len() == 9).then_some(())
        });
    }
    wait_for("the good client to read", READY, || reads(&all.nodes[4].door).then_some(()));

    let strangers = [
        Stranger { node: 5, says: "CertificateRequired", told: "peer sent no certificates" },
        Stranger { node: 6, says: "UnknownCA", told: "UnknownIssuer" },
        Stranger { node: 7, says: "UnknownIssuer", told: "" },
        Stranger { node: 8, says: "a call to a server failed", told: "without TLS" },
    ];
    for stranger in &strangers {
        let node = &all.nodes[stranger.node];
        let name = &node.name;
        let reply =
            attempt(&node.door.http, "GET", "/v1/kv/known", b"", ANSWER).expect("an answer");
        assert_eq!(reply.status, 500, "{name}: {}", reply.text());
        assert!(has_line(node, &["WARN", stranger.says]), "{name} says:\n{}", tail(&node.log()));
        let told = servers.iter().any(|at| {
            has_line(&all.nodes[*at], &["WARN", &format!("{}:", node.address), stranger.told])
        });
        let logs: String = servers.iter().map(|at| tail(&all.nodes[*at].log())).collect();
        assert!(told || stranger.told.is_empty(), "servers say of {name}:\n{logs}");
    }
    // The server has no part in consensus, and answers nothing.
    let leader = wait_for("a leader", READY, || {
        let address = leader_of(&first)?;
        all.nodes.iter().find(|node| address == format!("{}:8300", node.address))
    });
    let name = all.nodes[3].name.clone();
    wait_for("the leader to refuse the server", READY, || {
        has_line(leader, &["[ERR]", &name, "not valid for name"]).then_some(())
    });
    let peers = ask(&first, "GET", "/v1/status/peers", "").expect("the peers").json();
    assert_eq!(peers.as_array().map(Vec::len), Some(3));

    // Whoever belongs to the cluster gets an answer each time, whichever server is asked first.
    for round in 0..20 {
        for at in [0, 1, 2, 4] {
            let node = &all.nodes[at];
            assert!(reads(&node.door), "{} in round {round}:\n{}", node.name, tail(&node.log()));
        }
        let put = ask(&all.nodes[4].door, "PUT", "/v1/kv/known", "1");
        assert!(put.is_some(), "round {round}:\n{}", tail(&all.nodes[4].log()));
    }
}
