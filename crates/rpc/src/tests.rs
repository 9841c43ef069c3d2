//! Both sides over loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lictor_task::TaskSet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

use crate::client::{ClientError, ClientTls, Destination, Pool};
use crate::server::{
    self, Answering, AnsweringPeer, CallError, Connection, ServerConfig, Service, Serving,
};
use crate::yamux;

const SOON: Duration = Duration::from_secs(10);

/// Answers with what it is asked.
#[derive(Default)]
struct Echo {
    gate: Notify,
}

impl Service for Echo {
    fn call<'a>(&'a self, _: SocketAddr, method: &'a str, body: Vec<u8>) -> Answering<'a> {
        Box::pin(async move {
            match method {
                "Echo.Now" => Ok(body),
                "Echo.Later" => {
                    self.gate.notified().await;
                    Ok(body)
                }
                "Echo.Fail" => Err(CallError::Failed("Permission denied".into())),
                _ if method.starts_with("Echo.") => Err(CallError::NoMethod),
                _ => Err(CallError::NoService),
            }
        })
    }

    fn peer<'a>(&'a self, _: SocketAddr, message: Bytes) -> AnsweringPeer<'a> {
        Box::pin(async move { Ok([b"peer: ", &message[..]].concat().into()) })
    }

    fn consensus(&self, _: SocketAddr, mut io: Box<dyn Connection>) -> Serving<'_> {
        Box::pin(async move { io.write_all(b"consensus").await })
    }

    fn snapshot(&self, _: SocketAddr, mut io: Box<dyn Connection>) -> Serving<'_> {
        Box::pin(async move { io.write_all(b"snapshot").await })
    }
}

async fn start(config: ServerConfig, tasks: &TaskSet) -> (SocketAddr, Arc<Echo>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, echo) = (listener.local_addr().unwrap(), Arc::new(Echo::default()));
    let serving =
        server::accept(listener, Arc::new(|_| None), config, Arc::clone(&echo) as _, tasks.clone());
    tasks.spawn_cut("port", serving);
    (address, echo)
}

fn at(address: SocketAddr, secure: bool) -> Destination<'static> {
    Destination { address, secure, realm: "dc1" }
}

/// A string value of `length` bytes.
fn text(length: usize) -> Vec<u8> {
    let mut body = vec![0xdb];
    body.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
    body.resize(5 + length, b'x');
    body
}

#[tokio::test]
async fn calls_on_one_connection_do_not_wait_for_each_other() {
    let tasks = TaskSet::new("test");
    let (address, echo) = start(ServerConfig::default(), &tasks).await;
    let pool = Pool::new(None, yamux::Config::default(), tasks.clone());
    let waiting = pool.clone();
    let later = async move { waiting.call(at(address, false), "Echo.Later", &text(3)).await };
    let mut later = Box::pin(later);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut later).await.is_err());
    for length in [0, 10, 100_000, 3_000_000] {
        let answer = pool.call(at(address, false), "Echo.Now", &text(length)).await.unwrap();
        assert!(answer == text(length), "{length}");
    }
    let many =
        (0..40).map(|n| {
            let pool = pool.clone();
            async move {
                pool.call(at(address, false), "Echo.Now", &text(n * 10_000)).await.unwrap().len()
            }
        });
    let mut set = tokio::task::JoinSet::new();
    for one in many {
        set.spawn(one);
    }
    assert_eq!(set.join_all().await.len(), 40);
    echo.gate.notify_one();
    assert_eq!(later.await.unwrap(), text(3));
    assert_eq!(tasks.shutdown(SOON).await.panics, 0);
}

#[tokio::test]
async fn failures_are_told_in_the_words_that_callers_look_for() {
    let tasks = TaskSet::new("test");
    let (address, _) = start(ServerConfig::default(), &tasks).await;
    let pool = Pool::new(None, yamux::Config::default(), tasks.clone());
    for (method, expected) in [
        ("Echo.Fail", "rpc error making call: Permission denied"),
        ("Echo.Nothing", "rpc error making call: rpc: can't find method Echo.Nothing"),
        ("Other.Now", "rpc error making call: rpc: can't find service Other.Now"),
        ("bad", "rpc error making call: rpc: service/method request ill-formed: bad"),
    ] {
        let error = pool.call(at(address, false), method, &text(1)).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!error.was_lost());
    }
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    assert!(pool.call(at(nobody, false), "Echo.Now", &text(1)).await.unwrap_err().was_lost());
    assert!(matches!(
        pool.call(at(address, true), "Echo.Now", &text(1)).await,
        Err(ClientError::Unreached(..))
    ));
    tasks.shutdown(SOON).await;
}

#[tokio::test]
async fn peers_have_a_connection_of_their_own() {
    let tasks = TaskSet::new("test");
    let (address, _) = start(ServerConfig::default(), &tasks).await;
    let pool = Pool::new(None, yamux::Config::default(), tasks.clone());
    for length in [0, 3, 3_000_000] {
        let answer = pool.peer(at(address, false), &vec![7; length]).await.unwrap();
        assert_eq!(&answer[..6], b"peer: ");
        assert_eq!(answer.len(), 6 + length);
    }
    // It answers nothing else, and its method is no other connection's.
    let error = pool.call(at(address, false), server::PEER_METHOD, &text(1)).await.unwrap_err();
    assert!(error.to_string().contains("can't find service"), "{error}");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_u8(server::PEERS).await.unwrap();
    tasks.shutdown(SOON).await;
}

#[tokio::test]
async fn a_peer_that_is_silent_gets_another_connection_but_not_at_once() {
    let tasks = TaskSet::new("test");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = at(listener.local_addr().unwrap(), false);
    let pool = Pool::new(None, yamux::Config::default(), tasks.clone());
    let unanswered = async || {
        let call = pool.peer(to, b"vote");
        tokio::time::timeout(Duration::from_millis(20), call).await.unwrap_err();
        pool.doubt_peer(to);
    };
    let connects = async || {
        let accepted = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await;
        accepted.ok().map(|accepted| accepted.unwrap().0)
    };
    unanswered().await;
    let first = connects().await;
    assert!(first.is_some());
    unanswered().await;
    assert!(connects().await.is_none(), "it may only be slow");
    tokio::time::sleep(Duration::from_millis(350)).await;
    unanswered().await;
    unanswered().await;
    assert!(connects().await.is_some(), "nothing was heard for a while");
    tasks.shutdown(SOON).await;
}

#[tokio::test]
async fn a_lost_connection_fails_its_calls_and_the_next_one_connects_again() {
    let (first, tasks) = (TaskSet::new("first"), TaskSet::new("test"));
    let (address, _) = start(ServerConfig::default(), &first).await;
    let pool = Pool::new(None, yamux::Config::default(), tasks.clone());
    pool.call(at(address, false), "Echo.Now", &text(1)).await.unwrap();
    let waiting = pool.clone();
    let body = text(1);
    let mut later = Box::pin(waiting.call(at(address, false), "Echo.Later", &body));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut later).await.is_err());
    first.shutdown(SOON).await;
    assert!(tokio::time::timeout(SOON, later).await.unwrap().unwrap_err().was_lost());
    let listener = TcpListener::bind(address).await.unwrap();
    let echo = Arc::new(Echo::default());
    let serving = server::accept(
        listener,
        Arc::new(|_| None),
        ServerConfig::default(),
        echo as _,
        tasks.clone(),
    );
    tasks.spawn_cut("port", serving);
    pool.call(at(address, false), "Echo.Now", &text(1)).await.unwrap();
    tasks.shutdown(SOON).await;
}

#[tokio::test]
async fn the_first_byte_decides() {
    let tasks = TaskSet::new("test");
    let config =
        ServerConfig { handshake_timeout: Duration::from_millis(200), ..ServerConfig::default() };
    let (address, _) = start(config.clone(), &tasks).await;
    let ping = b"\x82\xa3Seq\x01\xadServiceMethod\xa8Echo.Now\xa3abc";
    for (first, sent, expected) in [
        (1, &b""[..], &b"consensus"[..]),
        (5, b"", b"snapshot"),
        (0, ping, b"\x83\xa5Error\xa0\xa3Seq\x01\xadServiceMethod\xa8Echo.Now\xa3abc"),
        (2, b"", b""),
        (3, b"", b""),
        (99, b"", b""),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_u8(first).await.unwrap();
        stream.write_all(sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(answer, expected, "first byte {first}");
    }
    // Whoever says nothing is not waited for.
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut nothing = Vec::new();
    let ended = tokio::time::timeout(SOON, silent.read_to_end(&mut nothing)).await;
    assert!(ended.is_ok() && nothing.is_empty());
    // Nor whoever begins a call and does not end it.
    let impatient =
        ServerConfig { idle_timeout: Duration::from_millis(200), ..ServerConfig::default() };
    let (address, _) = start(impatient, &tasks).await;
    let mut dawdling = TcpStream::connect(address).await.unwrap();
    dawdling.write_all(b"\x00\x82\xa3Seq").await.unwrap();
    let ended = tokio::time::timeout(SOON, dawdling.read_to_end(&mut nothing)).await;
    assert!(ended.is_ok() && nothing.is_empty());
    let few = ServerConfig { connections_per_client: 1, ..config.clone() };
    let (address, _) = start(few, &tasks).await;
    let held = TcpStream::connect(address).await.unwrap();
    let mut other = TcpStream::connect(address).await.unwrap();
    let refused = tokio::time::timeout(SOON, other.read_to_end(&mut nothing)).await;
    assert!(refused.is_ok() && nothing.is_empty());
    drop(held);
    let strict = ServerConfig { tls_required: true, ..config };
    let (address, _) = start(strict, &tasks).await;
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_u8(0).await.unwrap();
    plain.write_all(ping).await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "{answer:?}");
    tasks.shutdown(SOON).await;
}

#[tokio::test]
async fn who_refuses_a_handshake_is_left_alone_for_a_while() {
    let tasks = TaskSet::new("test");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (to, count) = (at(listener.local_addr().unwrap(), true), Arc::new(AtomicUsize::new(0)));
    let counting = Arc::clone(&count);
    tasks.spawn_cut("one that takes no certificate", async move {
        while let Ok((mut refused, _)) = listener.accept().await {
            counting.fetch_add(1, Ordering::Relaxed);
            // What comes has to be read, else its end is a reset, which may overtake the answer.
            let mut hello = [0; 4096];
            let _ = refused.read(&mut hello).await;
            // A fatal alert of TLS: access denied.
            let _ = refused.write_all(&[21, 3, 3, 0, 2, 2, 49]).await;
        }
    });
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let names = Arc::new(|_: &str| "server.dc1.consul".try_into().ok());
    let tls = ClientTls { connector, names };
    let pool = Pool::new(Some(tls.clone()), yamux::Config::default(), tasks.clone());
    let ask = async || pool.call(to, "Echo.Now", &text(1)).await.unwrap_err().to_string();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        let error = ask().await;
        assert!(error.contains("AccessDenied"), "{error}");
        tokio::task::yield_now().await;
    }
    // Pauses of 50 to 100, 100 to 200, 200 to 400, 400 to 800 ms.
    let within = count.load(Ordering::Relaxed);
    assert!((3..=5).contains(&within), "{within} handshakes in a second");
    assert!(ask().await.contains("tried again in"));
    pool.set_tls(Some(tls));
    assert!(!ask().await.contains("tried again in"), "a new certificate is shown at once");
    assert_eq!(count.load(Ordering::Relaxed), within + 1);
    tasks.shutdown(SOON).await;
}
