//! The mesh without servers: connections that are there stay, and new ones are made.
//!
//! `CLUSTER_OUTAGE=60` is how long they are gone, in seconds.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use lictor_testkit::{Program, attempt, binary, wait_for};
use serde_json::json;

use crate::cluster::{Cluster, Shape};
use crate::nemesis::{Fault, Nemesis};
use crate::{alone, setting};

const PATIENCE: Duration = Duration::from_secs(30);

/// An application that sends back what it gets; its address.
pub(crate) fn echo(address: &str) -> String {
    let listener = TcpListener::bind((address, 0)).expect("a port");
    let own = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(n) = stream.read(&mut buffer) {
                    if n == 0 || stream.write_all(&buffer[..n]).is_err() {
                        break;
                    }
                }
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    own
}

pub(crate) fn connect(address: &str) -> Option<TcpStream> {
    let address = address.to_socket_addrs().ok()?.next()?;
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    Some(stream)
}

/// Sends something and gets it back.
pub(crate) fn answers(stream: &mut TcpStream) -> bool {
    let mut back = [0; 5];
    stream.write_all(b"hello").is_ok() && stream.read_exact(&mut back).is_ok() && &back == b"hello"
}

/// `connect proxy` beside the agent of a node.
fn proxy(cluster: &Cluster, at: usize, log: &Path, words: &[&str]) -> Program {
    let mut command = cluster.network.places()[at].command(&binary());
    command.args(["connect", "proxy", "-http-addr", &cluster.nodes[at].door.http]).args(words);
    start(&mut command, log)
}

pub(crate) fn start(command: &mut Command, log: &Path) -> Program {
    Program::start(command, log).expect("the proxy can be started")
}

#[test]
fn connections_live_and_are_made_while_there_is_no_server() {
    let _alone = alone();
    let config = json!({"connect": {"enabled": true}});
    let shape = Shape { servers: 3, clients: 2, seed: 5, clocks: false, config, binary: None };
    let mut cluster = Cluster::start(&shape);
    let logs = tempfile::tempdir().expect("a folder");
    let (back, front) = (3, 4);
    let application = echo(&cluster.network.own);
    let listen = format!("{}:20000", cluster.nodes[back].address);
    let upstream = format!("{}:20001", cluster.nodes[front].address);
    let service = json!({"Name": "db", "Port": 20000}).to_string();
    let http = &cluster.nodes[back].door.http;
    let done = attempt(http, "PUT", "/v1/agent/service/register", service.as_bytes(), PATIENCE);
    let done = done.map(|reply| (reply.status, reply.text()));
    assert!(done.as_ref().is_ok_and(|(status, _)| *status == 200), "{done:?}");
    let server = ["-service", "db", "-service-addr", &application, "-listen", &listen, "-register"];
    let _server = proxy(&cluster, back, &logs.path().join("db"), &server);
    let named = format!("db:{upstream}");
    let client = ["-service", "web", "-upstream", &named];
    let _client = proxy(&cluster, front, &logs.path().join("web"), &client);
    let mut first = wait_for("a connection", PATIENCE, || {
        let mut stream = connect(&upstream)?;
        answers(&mut stream).then_some(stream)
    });

    let outage = Duration::from_secs(setting("CLUSTER_OUTAGE", 5));
    let mut nemesis = Nemesis::new(5, Instant::now());
    // First a majority, so that nobody leads, then all.
    for gone in [vec![0, 1], vec![0, 1, 2]] {
        let fault = Fault::Kill(gone);
        nemesis.begin(&mut cluster, &fault);
        let start = Instant::now();
        while start.elapsed() < outage {
            assert!(answers(&mut first), "the connection is lost without servers: {fault:?}");
            let made = connect(&upstream).is_some_and(|mut stream| answers(&mut stream));
            assert!(made, "no new connection after {:?} of {fault:?}", start.elapsed());
            std::thread::sleep(Duration::from_millis(100));
        }
        nemesis.end(&mut cluster, &fault);
        cluster.wait_until_ready();
        assert!(answers(&mut first), "the connection is lost when servers come back");
    }
}
