//! The DNS interface as clients meet it: over UDP and TCP, with recursors, and through a reload.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

pub(crate) use lictor_testkit::dns_question as question;
use lictor_testkit::{Agent, Signal, wait_for};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);
pub(crate) const A: u16 = 1;
pub(crate) const PTR: u16 = 12;
pub(crate) const SERVFAIL: u8 = 2;
pub(crate) const NXDOMAIN: u8 = 3;

/// Where an agent answers, from its configuration.
pub(crate) fn place(agent: &Agent) -> SocketAddr {
    let text = std::fs::read_to_string(agent.folder.path().join("agent.json")).expect("a file");
    let config: Value = serde_json::from_str(&text).expect("JSON");
    format!("127.0.0.1:{}", config["ports"]["dns"]).parse().expect("an address")
}

pub(crate) fn udp(place: SocketAddr, message: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(SOON)).expect("a timeout");
    socket.send_to(message, place).expect("a question can be sent");
    let mut answer = vec![0; 4096];
    let (length, from) = socket.recv_from(&mut answer).expect("an answer");
    assert_eq!(from, place);
    answer.truncate(length);
    answer
}

pub(crate) fn code(answer: &[u8]) -> u8 {
    answer[3] & 15
}

fn answers(answer: &[u8]) -> u16 {
    u16::from_be_bytes([answer[6], answer[7]])
}

fn register(agent: &Agent, node: &str, address: &str) {
    let body = json!({
        "Node": node, "Address": address, "Service": {"Service": "web", "Port": 80},
        "Check": {"Name": "c", "Status": "warning"},
    });
    assert_eq!(agent.json("PUT", "/v1/catalog/register", &body), json!(true));
}

#[test]
fn names_are_answered_over_both_transports() {
    let mut agent = Agent::dev(&json!({}));
    let place = place(&agent);
    register(&agent, "n1", "10.9.8.7");
    let message = question("web.service.consul", A);
    let answer = udp(place, &message);
    assert_eq!((code(&answer), answers(&answer)), (0, 1));
    assert!(answer.ends_with(&[10, 9, 8, 7]) && answer[2] & 4 != 0, "{answer:?}");
    // Several questions in one connection, one of them in pieces.
    let mut stream = TcpStream::connect(place).expect("a connection");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    let length = u16::try_from(message.len()).expect("short").to_be_bytes();
    let framed = [&length[..], &message].concat();
    stream.write_all(&[&framed[..], &framed[..9]].concat()).expect("sent");
    stream.flush().expect("sent");
    stream.write_all(&framed[9..]).expect("sent");
    for _ in 0..2 {
        let mut head = [0; 2];
        stream.read_exact(&mut head).expect("an answer");
        let mut over_tcp = vec![0; usize::from(u16::from_be_bytes(head))];
        stream.read_exact(&mut over_tcp).expect("an answer");
        assert_eq!(over_tcp, answer);
    }
    assert_eq!(code(&udp(place, &question("nosuch.service.consul", A))), NXDOMAIN);
    assert_eq!(code(&udp(place, &question("q.query.consul", A))), NXDOMAIN);
    let reverse = udp(place, &question("7.8.9.10.in-addr.arpa", PTR));
    assert_eq!(answers(&reverse), 1);
    assert_eq!(code(&udp(place, &question("example.com", A))), SERVFAIL);
    // What is no question does no harm.
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for length in [0, 1, 11, 12, 40, 1500] {
        socket.send_to(&vec![0xA5; length], place).expect("sent");
    }
    assert_eq!(udp(place, &message), answer);
    // An open connection does not keep the agent alive.
    agent.program.signal(Signal::TERM);
    agent.program.wait(SOON);
}

/// A server that answers everything with `code`, and with an address if that is none.
fn recursor(code: u8) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let place = socket.local_addr().expect("an address");
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let mut answer = buffer[..length].to_vec();
            answer[2] |= 0x80;
            answer[3] = 0x80 | code;
            if code == 0 {
                answer[7] = 1;
                answer.extend_from_slice(&[0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
            }
            let _ = socket.send_to(&answer, peer);
        }
    });
    place
}

#[test]
fn other_names_are_asked_of_the_recursors_in_turn() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let silent = [silent.local_addr().expect("an address"), recursor(SERVFAIL), recursor(0)];
    let agent = Agent::dev(&json!({
        "recursors": silent.map(|place| place.to_string()),
        "dns_config": {"recursor_timeout": "200ms"},
    }));
    let place = place(&agent);
    let answer = udp(place, &question("www.example.com", A));
    assert_eq!((code(&answer), answers(&answer)), (0, 1));
    assert!(answer.starts_with(&[7, 7]) && answer.ends_with(&[192, 0, 2, 1]), "{answer:?}");
    // A host name as an address of the catalog is followed there.
    register(&agent, "outside", "www.example.com");
    let answer = udp(place, &question("web.service.consul", A));
    assert_eq!((code(&answer), answers(&answer)), (0, 2));
    assert!(answer.windows(4).any(|bytes| bytes == [192, 0, 2, 1]), "{answer:?}");
}

#[test]
fn without_an_answer_of_any_recursor_it_failed() {
    let agent = Agent::dev(&json!({"recursors": [recursor(SERVFAIL).to_string()]}));
    let answer = udp(place(&agent), &question("www.example.com", A));
    assert_eq!((code(&answer), answers(&answer), answer[3] & 0x80), (SERVFAIL, 0, 0x80));
}

#[test]
fn a_reload_changes_the_rules_and_a_taken_port_stops_the_start() {
    let agent = Agent::dev(&json!({"dns_config": {"only_passing": false}}));
    let place = place(&agent);
    register(&agent, "n1", "10.9.8.7");
    let message = question("web.service.consul", A);
    assert_eq!(code(&udp(place, &message)), 0);
    let file = agent.folder.path().join("agent.json");
    let text = std::fs::read_to_string(&file).expect("a file");
    std::fs::write(&file, text.replace("\"only_passing\":false", "\"only_passing\":true"))
        .expect("a file");
    agent.program.signal(Signal::HUP);
    wait_for("the new rule", SOON, || (code(&udp(place, &message)) == NXDOMAIN).then_some(()));

    // Only one agent can have a port.
    let mut second = std::process::Command::new(lictor_testkit::binary());
    let folder = tempfile::TempDir::new().expect("a folder");
    let [http, server, lan, wan] = lictor_testkit::free_ports::<4>();
    let config = json!({"ports": {
        "dns": place.port(), "http": http, "server": server, "serf_lan": lan, "serf_wan": wan,
    }});
    std::fs::write(folder.path().join("c.json"), config.to_string()).expect("a file");
    second.args(["agent", "-dev", "-config-file", "c.json"]).current_dir(folder.path());
    let done = second.output().expect("the binary can be started");
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("DNS") && said.contains(&place.to_string()), "{said}");
}
