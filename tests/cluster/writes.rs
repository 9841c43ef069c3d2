//! How many writes a second three servers agree on, with their logs on disk and 64 clients at once.
//!
//! `CLUSTER_LOOPBACK=1 LICTOR_BINARY=target/release/lictor cargo test -p lictor-tests --test cluster writes -- --ignored --nocapture`
//! measures a program, of the original too, on one disk and without any network between. `CLUSTER_CLIENTS` and
//! `CLUSTER_SECONDS` say otherwise how many and how long; `CLUSTER_VIA=follower` has them ask one that must pass them on.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lictor_testkit::wait_for;
use serde_json::json;

use crate::cluster::{Cluster, READY, Shape};
use crate::{alone, setting};

const ROUNDS: usize = 3;
/// How long a write may take, at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// One write on a connection that is kept; an error ends the measurement.
fn put(stream: &mut BufReader<TcpStream>, request: &[u8]) {
    stream.get_mut().write_all(request).expect("the agent reads");
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        stream.read_line(&mut line).expect("an answer");
        let lower = line.trim().to_ascii_lowercase();
        if let Some(status) = lower.strip_prefix("http/1.1 ") {
            assert!(status.starts_with("200"), "{line}");
        } else if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        } else if lower.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
    assert!(body.starts_with(b"true"), "{}", String::from_utf8_lossy(&body));
}

/// Writes until told to end; how long each took.
fn writer(address: &str, client: u64, stop: &AtomicBool) -> Vec<Duration> {
    let stream = TcpStream::connect(address).expect("the agent listens");
    stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(PATIENCE))).expect("set");
    let mut stream = BufReader::new(stream);
    let head =
        format!("PUT /v1/kv/writes/{client} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n");
    let request = [head.as_bytes(), &[b'x'; 100]].concat();
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        put(&mut stream, &request);
        times.push(began.elapsed());
    }
    times
}

#[test]
#[ignore = "it measures, which needs a machine with nothing else to do"]
fn writes_of_many_clients_to_three_servers() {
    let _alone = alone();
    let (clients, seconds) = (setting("CLUSTER_CLIENTS", 64), setting("CLUSTER_SECONDS", 5));
    let config = json!({"performance": {"raft_multiplier": 5}});
    let shape = Shape { servers: 3, clients: 0, seed: 1, clocks: false, config, binary: None };
    let cluster = Cluster::start(&shape);
    let leader = wait_for("a leader", READY, || cluster.leader());
    let follower = std::env::var("CLUSTER_VIA").is_ok_and(|via| via == "follower");
    let asked = if follower { (leader + 1) % 3 } else { leader };
    let address = cluster.doors()[asked].http.clone();
    for _ in 0..ROUNDS {
        let stop = AtomicBool::new(false);
        let start = Instant::now();
        let mut times: Vec<Duration> = std::thread::scope(|scope| {
            let (address, stop) = (&address, &stop);
            let writers: Vec<_> = (0..clients)
                .map(|client| scope.spawn(move || writer(address, client, stop)))
                .collect();
            std::thread::sleep(Duration::from_secs(seconds));
            stop.store(true, Ordering::Relaxed);
            writers
                .into_iter()
                .flat_map(|writer| writer.join().expect("all are answered"))
                .collect()
        });
        let rate = times.len() as f64 / start.elapsed().as_secs_f64();
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        println!("{clients} clients: {rate:.0} writes/s, p50 {:.2?}, p99 {:.2?}", at(50), at(99));
    }
}
