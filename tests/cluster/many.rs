//! Three servers and many client agents, with gossip encrypted and calls in TLS both ways.
//!
//! `CLUSTER_CLIENTS=20 cargo test -p lictor-tests --test cluster many -- --nocapture` has as many.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lictor_testkit::{Reply, attempt, wait_for};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Shape};
use crate::nemesis::{Fault, Nemesis};
use crate::node::Door;
use crate::{alone, setting};

const PATIENCE: Duration = Duration::from_secs(60);

/// An authority, and a certificate that servers and clients may use, in files of `folder`.
fn certificates(folder: &Path) {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("a certificate");
    fs::write(folder.join("ca.pem"), authority.pem()).expect("a file");
    let key = KeyPair::generate().expect("a key");
    let names = vec!["server.dc1.consul".to_owned(), "localhost".to_owned()];
    let params = CertificateParams::new(names).expect("parameters");
    let made = params.signed_by(&key, &authority).expect("a certificate");
    fs::write(folder.join("agent.pem"), made.pem()).expect("a file");
    fs::write(folder.join("agent-key.pem"), key.serialize_pem()).expect("a file");
}

fn ask(door: &Door, method: &str, path: &str, body: &str) -> Option<Reply> {
    let reply = attempt(&door.http, method, path, body.as_bytes(), Duration::from_secs(10)).ok()?;
    (reply.status == 200).then_some(reply)
}

/// How many members an agent takes to be alive.
fn alive(door: &Door) -> Option<usize> {
    let members = ask(door, "GET", "/v1/agent/members", "")?.json();
    Some(members.as_array()?.iter().filter(|member| member["Status"] == 1).count())
}

#[test]
fn many_clients_with_encryption_and_tls() {
    let _alone = alone();
    let clients = usize::try_from(setting("CLUSTER_CLIENTS", 3)).unwrap_or(3);
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let config = json!({
        "encrypt": STANDARD.encode([7; 16]),
        "ca_file": file("ca.pem"), "cert_file": file("agent.pem"), "key_file": file("agent-key.pem"),
        "verify_incoming_rpc": true, "verify_outgoing": true, "verify_server_hostname": true,
    });
    let start = Instant::now();
    let shape = Shape { servers: 3, clients, seed: 9, clocks: false, config, binary: None };
    let mut cluster = Cluster::start(&shape);
    let doors = cluster.doors();
    let all = doors.len();
    for door in &doors {
        let what = format!("{} to know everybody", door.http);
        wait_for(&what, PATIENCE, || (alive(door)? == all).then_some(()));
    }
    println!("{all} agents know each other after {:.1?}", start.elapsed());

    // What is registered with a client is in the catalog of all.
    for (at, door) in doors.iter().enumerate().skip(3) {
        let body = json!({"Name": "web", "ID": format!("web{at}"), "Port": 80,
            "Check": {"TTL": "10m", "Status": "passing"}});
        assert!(ask(door, "PUT", "/v1/agent/service/register", &body.to_string()).is_some());
    }
    for door in &doors {
        wait_for("all services to be healthy", PATIENCE, || {
            let found = ask(door, "GET", "/v1/health/service/web?passing", "")?.json();
            (found.as_array()?.len() == clients).then_some(())
        });
    }
    // A write at one client wakes a reader that waits at another.
    let (writer, reader) = (&doors[3], &doors[all - 1]);
    assert!(ask(writer, "PUT", "/v1/kv/watched", "1").is_some());
    let seen = ask(reader, "GET", "/v1/kv/watched", "").expect("an answer");
    let index = seen.header("x-consul-index").unwrap_or_default().to_owned();
    std::thread::scope(|scope| {
        let path = format!("/v1/kv/watched?index={index}&wait=8s");
        let waiting = scope.spawn(move || ask(reader, "GET", &path, ""));
        std::thread::sleep(Duration::from_millis(300));
        assert!(ask(writer, "PUT", "/v1/kv/watched", "2").is_some());
        let woken = waiting.join().expect("no panic").expect("an answer").json();
        assert_eq!(woken[0]["Value"], json!(STANDARD.encode("2")));
    });
    // A client that dies is found dead by all, and is back when it is.
    let fault = Fault::Kill(vec![all - 1]);
    let mut nemesis = Nemesis::new(9, Instant::now());
    nemesis.begin(&mut cluster, &fault);
    let killed = Instant::now();
    let name = cluster.nodes[all - 1].name.clone();
    let health = |door: &Door| {
        let checks = ask(door, "GET", &format!("/v1/health/node/{name}"), "")?.json();
        let checks: Vec<Value> = checks.as_array()?.clone();
        let serf = checks.into_iter().find(|check| check["CheckID"] == "serfHealth")?;
        serf["Status"].as_str().map(str::to_owned)
    };
    wait_for("the dead client to be critical", PATIENCE, || {
        (health(&doors[3])? == "critical").then_some(())
    });
    println!("a dead client is critical after {:.1?}", killed.elapsed());
    nemesis.end(&mut cluster, &fault);
    wait_for("it to be back", PATIENCE, || (health(&doors[0])? == "passing").then_some(()));
}
