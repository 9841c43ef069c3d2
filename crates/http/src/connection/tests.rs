//! Connections over real sockets: framing, limits, slow and vanishing clients, the end.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::*;
use crate::config::{HEAD_BYTES, HttpConfig, Listen};
use crate::live::LiveSettings;
use crate::server::{HttpServer, StartError};

const LIMIT: usize = 100;

/// Answers with what was asked; `/block` waits until it is let go.
#[derive(Clone, Default)]
struct Echo {
    go: Arc<Notify>,
    waiting: Arc<AtomicUsize>,
    served: Arc<AtomicUsize>,
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service for Echo {
    fn body_limit(&self, _: &Request) -> (usize, Answer) {
        (LIMIT, Answer::text(413, "too large"))
    }

    fn prepare(&self, _: &mut Request) {}

    fn call<'a>(&'a self, request: &'a Request) -> Answering<'a> {
        Box::pin(async move {
            self.served.fetch_add(1, Ordering::SeqCst);
            match request.path.as_str() {
                "/block" => {
                    self.waiting.fetch_add(1, Ordering::SeqCst);
                    let _waiting = Waiting(&self.waiting);
                    self.go.notified().await;
                    Answer::text(200, "gone on")
                }
                "/pieces" => {
                    let (sender, pieces) = tokio::sync::mpsc::channel(4);
                    for piece in ["one ", "", "two"] {
                        sender.send(Ok(Bytes::from(piece))).await.unwrap();
                    }
                    sender.send(Ok(Bytes::from("3".repeat(5000)))).await.unwrap();
                    Answer::pieces(Some("text/plain"), pieces)
                }
                "/cut" => {
                    let (sender, pieces) = tokio::sync::mpsc::channel(4);
                    sender.send(Ok(Bytes::from("half"))).await.unwrap();
                    sender.send(Err(io::Error::other("broken"))).await.unwrap();
                    Answer::pieces(None, pieces)
                }
                "/big" => Answer::text(200, "0123456789".repeat(100_000)),
                _ => {
                    let body = String::from_utf8_lossy(&request.body);
                    Answer::text(
                        200,
                        format!("{} {} {body}", request.method.as_str(), request.path),
                    )
                }
            }
        })
    }

    fn common_headers(&self) -> &[u8] {
        b"Vary: Accept-Encoding\r\n"
    }
}

struct Door {
    server: HttpServer,
    echo: Echo,
}

async fn open(config: &HttpConfig, echo: Echo) -> Result<HttpServer, StartError> {
    HttpServer::open(config, LiveSettings::load(config).unwrap(), echo).await
}

async fn door_with(limits: HttpLimits) -> Door {
    let echo = Echo::default();
    let config = HttpConfig {
        listeners: vec![Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))],
        limits,
        ..HttpConfig::default()
    };
    Door { server: open(&config, echo.clone()).await.unwrap(), echo }
}

async fn door() -> Door {
    door_with(HttpLimits::default()).await
}

impl Door {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.addresses()[0]).await.unwrap()
    }

    /// Sends `text` on a new connection and reads until the server closes it.
    async fn ask(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }

    async fn until_waiting(&self, n: usize) {
        let there = async {
            while self.echo.waiting.load(Ordering::SeqCst) != n {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), there).await.expect("the number of waiting requests");
    }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut out = Vec::new();
    let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut out));
    read.await.expect("the server must close").unwrap();
    String::from_utf8(out).unwrap()
}

/// Reads one answer that has a body of known length.
async fn read_answer(stream: &mut TcpStream) -> String {
    let mut out = Vec::new();
    let read = async {
        loop {
            let mut byte = [0];
            if stream.read(&mut byte).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            out.push(byte[0]);
            if out.ends_with(b"\r\n\r\n") {
                break;
            }
        }
        let head = String::from_utf8_lossy(&out).into_owned();
        let length = head.split("Content-Length: ").nth(1).and_then(|t| t.split('\r').next());
        let length: usize = length.and_then(|n| n.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        out.extend_from_slice(&body);
        Ok(())
    };
    timeout(Duration::from_secs(10), read).await.expect("an answer in time").unwrap();
    String::from_utf8(out).unwrap()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

#[tokio::test]
async fn answers_follow_each_other_on_one_connection() {
    let door = door().await;
    let mut stream = door.connect().await;
    for n in 0..3 {
        stream.write_all(get(&format!("/{n}")).as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain"), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\nGET /{n} ")), "{answer}");
        assert!(answer.contains("\r\nDate: ") && !answer.contains("Connection:"), "{answer}");
    }
}

#[tokio::test]
async fn pipelined_requests_and_bodies_in_any_pieces() {
    let door = door().await;
    let text = "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello\
                PUT /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\n\
                \r\nGET /c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    for piece in [1, 7, text.len()] {
        let mut stream = door.connect().await;
        stream.set_nodelay(true).unwrap();
        for part in text.as_bytes().chunks(piece) {
            stream.write_all(part).await.unwrap();
            tokio::task::yield_now().await;
        }
        let all = read_all(&mut stream).await;
        for expected in ["\r\n\r\nPUT /a hello", "\r\n\r\nPUT /b abcde", "\r\n\r\nGET /c "] {
            assert!(all.contains(expected), "{piece}: {all}");
        }
        assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 3);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let door = door().await;
    for framing in [
        format!("Content-Length: {}\r\n\r\n{}", LIMIT + 1, "x".repeat(LIMIT + 1)),
        format!("Content-Length: 99999999999\r\n\r\n{}", "x".repeat(500_000)),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{}", LIMIT + 1, "x".repeat(100_000)),
    ] {
        let answer = door.ask(&format!("PUT /a HTTP/1.1\r\nHost: h\r\n{framing}")).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("Connection: close") && answer.ends_with("too large"), "{answer}");
    }
    assert_eq!(door.echo.served.load(Ordering::SeqCst), 0);
    let fits = format!("PUT /a HTTP/1.0\r\nContent-Length: {LIMIT}\r\n\r\n{}", "x".repeat(LIMIT));
    assert!(door.ask(&fits).await.ends_with(&"x".repeat(LIMIT)));
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let door = door().await;
    let mut stream = door.connect().await;
    let head = "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream).await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ok").await.unwrap();
    assert!(read_answer(&mut stream).await.ends_with("PUT /a ok"));
    let too_large = head.replace("Length: 2", "Length: 200");
    stream.write_all(too_large.as_bytes()).await.unwrap();
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn what_is_no_request_is_said_so() {
    let door = door().await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(HEAD_BYTES));
    for (text, status) in [
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505),
        ("GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", 400),
        (long.as_str(), 431),
    ] {
        let answer = door.ask(text).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{text:.40}: {answer}");
    }
}

#[tokio::test]
async fn old_clients_are_served() {
    let door = door().await;
    assert!(door.ask("GET /x HTTP/1.0\r\n\r\n").await.contains("\r\nConnection: close\r\n"));
    let mut stream = door.connect().await;
    stream.write_all(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut stream).await.contains("\r\nConnection: keep-alive\r\n"));
}

#[tokio::test]
async fn a_head_request_gets_no_body() {
    let door = door().await;
    let answer = door.ask("HEAD /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert!(answer.contains("Content-Length: 8\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn large_answers_arrive_whole_and_compressed_if_wanted() {
    let door = door().await;
    let plain = door.ask("GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert_eq!(plain.split("\r\n\r\n").nth(1).unwrap().len(), 1_000_000);
    let mut stream = door.connect().await;
    let request =
        "GET /big HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut out = Vec::new();
    stream.read_to_end(&mut out).await.unwrap();
    let end = head::end(&out, 0).unwrap();
    assert!(String::from_utf8_lossy(&out[..end]).contains("Content-Encoding: gzip\r\n"));
    let mut body = String::new();
    io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&out[end..]), &mut body).unwrap();
    assert_eq!(body.len(), 1_000_000);
}

#[tokio::test]
async fn a_vanished_watcher_is_given_up() {
    let door = door().await;
    let mut stream = door.connect().await;
    stream.write_all(get("/block").as_bytes()).await.unwrap();
    door.until_waiting(1).await;
    drop(stream);
    door.until_waiting(0).await;
}

#[tokio::test]
async fn a_watcher_that_asks_on_early_is_answered_in_order() {
    let door = door().await;
    let mut stream = door.connect().await;
    stream.write_all(get("/block").as_bytes()).await.unwrap();
    door.until_waiting(1).await;
    stream.write_all(get("/next").as_bytes()).await.unwrap();
    door.echo.go.notify_one();
    assert!(read_answer(&mut stream).await.ends_with("gone on"));
    assert!(read_answer(&mut stream).await.ends_with("GET /next "));
}

#[tokio::test]
async fn slow_heads_and_bodies_are_cut_idle_connections_later() {
    let limits = HttpLimits {
        head: Duration::from_millis(100),
        transfer: Duration::from_millis(100),
        idle: Duration::from_millis(600),
        ..HttpLimits::default()
    };
    let door = door_with(limits).await;
    let start = std::time::Instant::now();
    let mut idle = door.connect().await;
    idle.write_all(get("/x").as_bytes()).await.unwrap();
    read_answer(&mut idle).await;
    assert_eq!(door.ask("GET / HTT").await, "");
    assert_eq!(door.ask("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab").await, "");
    let chunked = "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab";
    assert_eq!(door.ask(chunked).await, "");
    assert!(start.elapsed() < limits.idle, "{:?}", start.elapsed());
    assert_eq!(read_all(&mut idle).await, "");
    assert!(start.elapsed() >= limits.idle, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let limits = HttpLimits { transfer: Duration::from_millis(100), ..HttpLimits::default() };
    let door = door_with(limits).await;
    let mut stream = door.connect().await;
    // More answers than any socket buffer takes.
    let many = get("/big").repeat(64);
    stream.write_all(many.as_bytes()).await.unwrap();
    let ended = async {
        while door.server.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // A second for every 16 KiB of the answer comes on top: the time is virtual from here on.
    tokio::time::pause();
    timeout(Duration::from_secs(600), ended).await.expect("the connection must end");
}

#[tokio::test]
async fn one_connection_too_many_is_told() {
    let door = door_with(HttpLimits { connections: 2, ..HttpLimits::default() }).await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = door.connect().await;
        stream.write_all(get("/x").as_bytes()).await.unwrap();
        assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
        kept.push(stream);
    }
    let refused = door.ask(&get("/x")).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    drop(kept);
    let room =
        async { while !door.ask("GET /x HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.1 200 ") {} };
    timeout(Duration::from_secs(10), room).await.expect("room after others left");
}

#[tokio::test]
async fn one_client_cannot_have_all_connections() {
    let door = door_with(HttpLimits { connections_per_client: 1, ..HttpLimits::default() }).await;
    let mut kept = door.connect().await;
    kept.write_all(get("/x").as_bytes()).await.unwrap();
    assert!(read_answer(&mut kept).await.starts_with("HTTP/1.1 200 "));
    let refused = door.ask(&get("/x")).await;
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    assert!(refused.contains("too many concurrent connections"), "{refused}");
    drop(kept);
    let room =
        async { while !door.ask("GET /x HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.1 200 ") {} };
    timeout(Duration::from_secs(10), room).await.expect("room after the first one left");
}

#[tokio::test]
async fn the_size_of_heads_is_a_setting() {
    let door = door_with(HttpLimits { head_bytes: 1000, ..HttpLimits::default() }).await;
    let path = "x".repeat(900);
    assert!(door.ask(&format!("GET /{path} HTTP/1.0\r\n\r\n")).await.contains(" 200 "));
    assert!(door.ask(&get(&format!("/{path}{path}"))).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn the_end_cuts_readers_and_waits_for_writers() {
    let door = door().await;
    let mut idle = door.connect().await;
    let mut reader = door.connect().await;
    reader.write_all(get("/block").as_bytes()).await.unwrap();
    let mut writer = door.connect().await;
    writer.write_all(b"PUT /block HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    door.until_waiting(2).await;
    let finish = async {
        door.until_waiting(1).await;
        door.echo.go.notify_one();
        assert!(read_answer(&mut writer).await.ends_with("gone on"));
    };
    tokio::join!(door.server.shutdown(Duration::from_secs(5)), finish);
    assert_eq!(read_all(&mut reader).await, "");
    assert_eq!(read_all(&mut idle).await, "");
    assert_eq!(read_all(&mut writer).await, "");
    assert!(TcpStream::connect(door.server.addresses()[0]).await.is_err());
}

#[tokio::test]
async fn unix_sockets_replace_what_was_left_and_go_with_the_server() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let config = HttpConfig {
        listeners: vec![Listen::Unix {
            path: path.clone(),
            mode: Some(0o600),
            user: None,
            group: None,
        }],
        ..HttpConfig::default()
    };
    let server = open(&config, Echo::default()).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET /x HTTP/1.0\r\n\r\n").await.unwrap();
    let mut out = String::new();
    stream.read_to_string(&mut out).await.unwrap();
    assert!(out.ends_with("GET /x "), "{out}");
    server.shutdown(Duration::from_secs(1)).await;
    assert!(!path.exists());

    std::fs::write(&path, "no socket").unwrap();
    assert!(open(&config, Echo::default()).await.is_err());
}

/// What a client that sends `bytes` and then nothing more is answered.
fn answered(bytes: &[u8]) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let serving = async {
        let serving = crate::fuzzing::connection(bytes);
        timeout(Duration::from_secs(10), serving).await.expect("an end with its client's").unwrap()
    };
    runtime.block_on(serving)
}

/// A body in chunks of these sizes.
fn chunked(body: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut wire = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let mut rest = body;
    for size in sizes.iter().copied().chain([usize::MAX]) {
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        if !chunk.is_empty() {
            wire.extend(format!("{:x}\r\n", chunk.len()).bytes());
            wire.extend(chunk);
            wire.extend(b"\r\n");
        }
        rest = after;
    }
    wire.extend(b"0\r\n\r\n");
    wire
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_body_in_any_chunks_arrives(
        body in prop::collection::vec(any::<u8>(), 0..300),
        sizes in prop::collection::vec(1_usize..100, 0..8),
    ) {
        let answer = answered(&chunked(&body, &sizes));
        prop_assert!(answer.starts_with(b"HTTP/1.1 200 "));
        prop_assert!(answer.ends_with(&body));
    }

    #[test]
    fn a_changed_byte_is_answered_or_the_end(
        body in prop::collection::vec(any::<u8>(), 0..100),
        at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let mut wire = chunked(&body, &[7, 50]);
        let at = at.index(wire.len());
        wire[at] = byte;
        let answer = answered(&wire);
        prop_assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "));
    }

    #[test]
    fn no_bytes_keep_a_connection(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let answer = answered(&bytes);
        prop_assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "));
    }

    #[test]
    fn nothing_like_chunks_keeps_a_connection(
        tail in "([0-9a-fx;= +-]{0,4}\r\n|[ -~]{0,6}|\r\n|\n){0,8}",
    ) {
        let head = "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = answered(format!("{head}{tail}").as_bytes());
        prop_assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "));
    }
}

#[tokio::test]
async fn a_body_comes_in_pieces() {
    let door = door().await;
    let whole = format!("4\r\none \r\n3\r\ntwo\r\n1388\r\n{}\r\n0\r\n\r\n", "3".repeat(5000));
    let both = "GET /pieces HTTP/1.1\r\nHost: h\r\n\r\n\
                GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = door.ask(both).await;
    let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Transfer-Encoding: chunked") && !head.contains("Content-Length"));
    assert!(rest.starts_with(&whole) && rest.ends_with("GET /x "), "{rest}");
    let old = door.ask("GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    assert!(old.contains("Connection: close") && !old.contains("chunked"), "{old}");
    assert!(old.ends_with(&format!("\r\n\r\none two{}", "3".repeat(5000))));
    let cut = door.ask("GET /cut HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(cut.ends_with("4\r\nhalf\r\n"), "{cut}");
    door.server.shutdown(Duration::from_secs(1)).await;
}
