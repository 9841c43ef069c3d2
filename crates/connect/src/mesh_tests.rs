//! Whole connections on loopback: dialling, accepting, relaying, refusing, cutting.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lictor_task::TaskSet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::accept::{AcceptError, Acceptor};
use crate::dial::{DialError, Dialer};
use crate::endpoint::Endpoint;
use crate::fixture::{Mesh, listener, pair, rule, snapshot, soon};
use crate::policy::Action;
use crate::relay::{Traffic, relay};
use crate::{MeshStream, StreamError};

async fn meet(
    dialer: &Dialer,
    acceptor: &Acceptor,
    listener: &TcpListener,
    endpoint: &Endpoint,
) -> (Result<MeshStream, DialError>, Result<MeshStream, AcceptError>) {
    let accepted = async { acceptor.accept(listener.accept().await.unwrap().0).await };
    soon(async { tokio::join!(dialer.dial(endpoint), accepted) }).await
}

/// Two ends of a connection from `web` to `db`.
async fn connection(mesh: &Mesh) -> (MeshStream, MeshStream) {
    let (acceptor, rules) = mesh.acceptor("db");
    let (listener, endpoint) = listener("db").await;
    let (out, inn) = meet(&mesh.dialer("web"), &acceptor, &listener, &endpoint).await;
    drop(rules);
    (out.unwrap(), inn.unwrap())
}

#[tokio::test]
async fn both_ends_know_each_other_and_talk() {
    let mesh = Mesh::new();
    let (mut out, mut inn) = connection(&mesh).await;
    assert_eq!(out.peer().id, mesh.service("db"));
    assert_eq!(inn.peer().id, mesh.service("web"));
    out.write_all(b"question").await.unwrap();
    out.shutdown().await.unwrap();
    let mut heard = Vec::new();
    soon(inn.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, b"question");
    // The other direction is still open.
    inn.write_all(b"answer").await.unwrap();
    inn.shutdown().await.unwrap();
    heard.clear();
    soon(out.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, b"answer");
}

#[tokio::test]
async fn an_end_without_a_word_is_an_error() {
    let (out, mut inn) = connection(&Mesh::new()).await;
    drop(out);
    let error = soon(inn.read(&mut [0; 8])).await.unwrap_err();
    assert!(
        matches!(
            error.kind(),
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset
        ),
        "{error}"
    );
}

#[tokio::test]
async fn somebody_else_at_the_address_is_found_out() {
    let mesh = Mesh::new();
    let (acceptor, _rules) = mesh.acceptor("db");
    let (listener, endpoint) = listener("cache").await;
    let (out, inn) = meet(&mesh.dialer("web"), &acceptor, &listener, &endpoint).await;
    let domain = mesh.domain.as_str();
    assert_eq!(
        out.unwrap_err().to_string(),
        format!(
            "peer certificate mismatch got spiffe://{domain}/ns/default/dc/dc1/svc/db, \
             want spiffe://{domain}/ns/default/dc/dc1/svc/cache"
        )
    );
    assert!(matches!(inn.unwrap_err(), AcceptError::Handshake(_)));
}

#[tokio::test]
async fn a_caller_of_another_cluster_does_not_get_in() {
    let mesh = Mesh::new();
    let other = Mesh::of("99999999-2222-3333-4444-555555555555.consul");
    let (acceptor, _rules) = mesh.acceptor("db");
    let (listener, endpoint) = listener("db").await;
    let (out, inn) = meet(&other.dialer("web"), &acceptor, &listener, &endpoint).await;
    assert!(out.is_err() && inn.is_err());
    assert!(acceptor.live().is_empty());
}

#[tokio::test]
async fn the_refused_are_told_so() {
    let mesh = Mesh::new();
    let (acceptor, rules) = mesh.acceptor("db");
    rules.send_replace(Some(snapshot(2, vec![rule("web", Action::Deny)], Action::Allow)));
    let (listener, endpoint) = listener("db").await;
    let dialer = mesh.dialer("web");
    let accepted = async { acceptor.accept(listener.accept().await.unwrap().0).await };
    let dialled = async {
        let mut out = dialer.dial(&endpoint).await.unwrap();
        out.write_all(b"early words").await.unwrap();
        out.read(&mut [0; 8]).await.unwrap_err()
    };
    let (heard, refused) = soon(async { tokio::join!(dialled, accepted) }).await;
    assert_eq!(heard.to_string(), "remote error: tls: access denied");
    let text = refused.unwrap_err().to_string();
    assert!(text.starts_with("authz denied: Matched intention: DENY default/web"), "{text}");
    assert!(acceptor.live().is_empty());
}

#[tokio::test]
async fn without_identity_or_rules_nobody_gets_in_or_out() {
    let mesh = Mesh::new();
    let (acceptor, rules) = mesh.acceptor("db");
    let nobody = Acceptor::new(watch::channel(None).1, acceptor.live().clone());
    let (one, _other) = pair().await;
    let text = nobody.accept(one).await.unwrap_err().to_string();
    assert_eq!(text, "tls: no certificates configured");
    let (listener, endpoint) = listener("db").await;
    let dialled = Dialer::new(watch::channel(None).1).dial(&endpoint).await;
    assert!(matches!(dialled, Err(DialError::NoIdentity)));

    rules.send_replace(None);
    let (_, inn) = meet(&mesh.dialer("web"), &acceptor, &listener, &endpoint).await;
    assert_eq!(inn.unwrap_err().to_string(), "authz denied: no intentions are known yet");
}

#[tokio::test]
async fn silence_and_nonsense_end_a_handshake() {
    let mesh = Mesh::new();
    let (acceptor, _rules) = mesh.acceptor("db");
    let hasty = acceptor.clone().with_handshake_timeout(Duration::from_millis(50));
    let (one, _other) = pair().await;
    assert!(matches!(soon(hasty.accept(one)).await, Err(AcceptError::Timeout)));

    for nonsense in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), &[22, 3, 1, 0, 4, 9, 9, 9, 9]] {
        let (one, mut other) = pair().await;
        other.write_all(nonsense).await.unwrap();
        let error = soon(acceptor.accept(one)).await.unwrap_err();
        assert!(matches!(error, AcceptError::Handshake(_)), "{error}");
    }
    // A flood of a handshake message that never ends.
    let (one, mut other) = pair().await;
    let flood = async {
        let mut record = vec![22, 3, 1, 0x40, 0];
        record.resize(5 + 0x4000, 0xff);
        record[5] = 1;
        while other.write_all(&record).await.is_ok() {
            record[5] = 0xff;
        }
    };
    let (error, ()) = soon(async { tokio::join!(acceptor.accept(one), flood) }).await;
    assert!(matches!(error, Err(AcceptError::Handshake(_))));
}

#[tokio::test]
async fn an_instance_that_is_not_there_is_named() {
    let (listener, endpoint) = listener("db").await;
    drop(listener);
    let error = Mesh::new().dialer("web").dial(&endpoint).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("dial tcp 127.0.0.1:{}: ", endpoint.port)), "{error}");

    let (one, silent) =
        tokio::join!(TcpStream::connect((Ipv4Addr::LOCALHOST, 1)), crate::fixture::listener("db"));
    assert!(one.is_err());
    let limit = Duration::from_millis(50);
    let error = Mesh::new().dialer("web").dial_within(&silent.1, limit).await.unwrap_err();
    assert_eq!(error.to_string(), format!("dial tcp {}: i/o timeout", silent.1));
}

/// An application's connection to `db` through two relays; gives both applications' ends.
async fn relayed(tasks: &TaskSet, mesh: &Mesh) -> (TcpStream, TcpStream) {
    let (out, inn) = connection(mesh).await;
    let (caller, caller_side) = pair().await;
    let (callee, callee_side) = pair().await;
    for (mesh, local) in [(out, caller_side), (inn, callee_side)] {
        tasks.spawn("relay", async move {
            let _ = relay(mesh, local, &Traffic::default()).await;
        });
    }
    (caller, callee)
}

/// FNV-1a, enough to find anything lost, doubled or moved.
fn sum(mut sum: u64, bytes: &[u8]) -> u64 {
    for byte in bytes {
        sum = (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    }
    sum
}

#[tokio::test]
async fn much_data_arrives_as_it_was_and_half_close_passes() {
    const TOTAL: usize = 64 << 20;
    let tasks = TaskSet::new("test");
    let (caller, callee) = relayed(&tasks, &Mesh::new()).await;
    let (mut from, mut to) = caller.into_split();
    let (mut callee_from, mut callee_to) = callee.into_split();
    // Sizes that never fit records or buffers.
    let block: Vec<u8> = (0..99_991_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    let send = async {
        let (mut left, mut sent) = (TOTAL, 0);
        while left > 0 {
            let part = &block[..left.min(block.len())];
            to.write_all(part).await.unwrap();
            sent = sum(sent, part);
            left -= part.len();
        }
        to.shutdown().await.unwrap();
        sent
    };
    let echo = async {
        let mut room = vec![0; 70_001];
        loop {
            let count = callee_from.read(&mut room).await.unwrap();
            if count == 0 {
                break;
            }
            callee_to.write_all(&room[..count]).await.unwrap();
        }
        // Only after the caller's end was seen.
        callee_to.write_all(b"end").await.unwrap();
        callee_to.shutdown().await.unwrap();
    };
    let receive = async {
        let (mut room, mut got, mut total, mut tail) = (vec![0; 65_537], 0, 0, Vec::new());
        loop {
            let count = from.read(&mut room).await.unwrap();
            if count == 0 {
                return (got, total, tail);
            }
            let data = count.min(TOTAL - total);
            got = sum(got, &room[..data]);
            total += data;
            tail.extend_from_slice(&room[data..count]);
        }
    };
    let all = async { tokio::join!(send, echo, receive) };
    let (sent, (), (got, total, tail)) =
        tokio::time::timeout(Duration::from_secs(120), all).await.expect("in time");
    assert_eq!((total, got, tail.as_slice()), (TOTAL, sent, b"end".as_slice()));
    assert_eq!(tasks.shutdown(Duration::from_secs(5)).await.aborted, 0);
}

#[tokio::test]
async fn an_application_that_breaks_off_breaks_the_other_side() {
    let tasks = TaskSet::new("test");
    let (caller, mut callee) = relayed(&tasks, &Mesh::new()).await;
    crate::socket::abort_on_close(&caller);
    drop(caller);
    let outcome = soon(callee.read(&mut [0; 8])).await;
    assert!(outcome.is_err(), "{outcome:?}: an abort must not look like an end");
    assert_eq!(tasks.shutdown(Duration::from_secs(5)).await.aborted, 0);
}

#[tokio::test]
async fn a_reader_that_does_not_read_stops_the_writer() {
    let tasks = TaskSet::new("test");
    let (mut caller, callee) = relayed(&tasks, &Mesh::new()).await;
    let block = vec![1; 1 << 20];
    let mut written = 0;
    let endless = async {
        loop {
            written += caller.write(&block).await.unwrap();
        }
    };
    let outcome = tokio::time::timeout(Duration::from_secs(1), endless).await;
    assert!(outcome.is_err());
    // Socket buffers of the system, six of them, and nothing else.
    assert!(written < 64 << 20, "{written} bytes went somewhere");
    drop((caller, callee));
    let _ = tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_deny_cuts_what_is_open() {
    let mesh = Mesh::new();
    let (acceptor, rules) = mesh.acceptor("db");
    let live = acceptor.live().clone();
    let tasks = TaskSet::new("test");
    let followed = live.clone();
    tasks.spawn_cut("follow", async move { followed.follow_policy().await });
    let (listener, endpoint) = listener("db").await;
    let (out, inn) = meet(&mesh.dialer("web"), &acceptor, &listener, &endpoint).await;
    let (mut out, inn) = (out.unwrap(), inn.unwrap());
    let (mut callee, callee_side) = pair().await;
    let traffic = std::sync::Arc::new(Traffic::default());
    let counted = std::sync::Arc::clone(&traffic);
    let (tell, told) = tokio::sync::oneshot::channel();
    tasks.spawn("relay", async move {
        let _ = tell.send(relay(inn, callee_side, &counted).await);
    });
    out.write_all(b"still allowed").await.unwrap();
    let mut heard = [0; 13];
    soon(callee.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"still allowed");
    assert_eq!(traffic.received.load(Ordering::Relaxed), 13);

    let start = Instant::now();
    rules.send_replace(Some(snapshot(2, vec![rule("web", Action::Deny)], Action::Allow)));
    let error = soon(out.read(&mut [0; 8])).await.unwrap_err();
    assert_eq!(error.to_string(), "remote error: tls: access denied");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(matches!(soon(told).await.unwrap(), Err(StreamError::Denied(_))));
    assert!(soon(callee.read(&mut [0; 8])).await.is_err(), "not a regular end");
    assert!(live.is_empty() && live.cut_count() == 1);
    let _ = tasks.shutdown(Duration::from_secs(5)).await;
}
