//! Tests of the kinds of checks with real sockets and processes.

use std::collections::BTreeMap;
use std::time::Instant;

use lictor_types::check::Status;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::http::HttpProbe;
use super::runner::Outcome;
use super::script::ScriptProbe;
use super::tcp::TcpProbe;
use super::udp::UdpProbe;
use super::*;
use crate::local::{CheckEntry, NodeFacts, Origin};
use crate::testing::{check_definition, eventually, ttl};

const LONG: Duration = Duration::from_secs(20);

/// Answers every connection with the text that `reply` gives for the request's head.
async fn server<F>(reply: F) -> String
where
    F: Fn(String) -> Vec<u8> + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    TaskSet::new("test").spawn("server", async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            let mut buffer = [0; 1024];
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut buffer).await {
                    Ok(n @ 1..) => head.extend_from_slice(&buffer[..n]),
                    _ => break,
                }
            }
            let _ = stream.write_all(&reply(String::from_utf8_lossy(&head).into_owned())).await;
        }
    });
    address
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len()).into()
}

async fn get(url: &str, limit: Duration) -> Outcome {
    HttpProbe::new(url, "", &BTreeMap::new(), "", no_tls(), limit).run().await
}

#[tokio::test]
async fn http_statuses() {
    let address = server(|head| {
        let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        answer(&path.replace('-', " "), "", "body")
    })
    .await;
    for (path, status, line) in [
        ("200-OK", Status::Passing, "200 OK"),
        ("204-x", Status::Passing, "204 No Content"),
        ("429-x", Status::Warning, "429 Too Many Requests"),
        ("500-x", Status::Critical, "500 Internal Server Error"),
        ("404-x", Status::Critical, "404 Not Found"),
    ] {
        let url = format!("http://{address}/{path}");
        let outcome = get(&url, LONG).await;
        assert_eq!(outcome.status, status, "{path}");
        let body = if path.starts_with("204") { "" } else { "body" };
        assert_eq!(outcome.output, format!("HTTP GET {url}: {line} Output: {body}"));
    }
}

#[tokio::test]
async fn http_requests_carry_what_is_defined() {
    let address = server(|head| answer("200 OK", "", &head.to_ascii_lowercase())).await;
    let url = format!("http://{address}/x?y=1");
    let sent = get(&url, LONG).await.output;
    assert!(sent.contains("get /x?y=1 http/1.1"), "{sent}");
    assert!(sent.contains(&format!("host: {address}")), "{sent}");
    assert!(sent.contains("user-agent: consul health check"), "{sent}");
    assert!(sent.contains("accept: text/plain, text/*, */*"), "{sent}");
    let headers = BTreeMap::from([
        ("Host".to_owned(), vec!["other".to_owned()]),
        ("X-One".to_owned(), vec!["a".to_owned(), "b".to_owned()]),
        ("User-Agent".to_owned(), vec!["me".to_owned()]),
    ]);
    let probe = HttpProbe::new(&url, "PUT", &headers, "hello", no_tls(), LONG);
    let sent = probe.run().await.output;
    assert!(sent.starts_with("HTTP PUT "), "{sent}");
    for line in ["put /x", "host: other", "x-one: a", "x-one: b", "agent: me", "length: 5"] {
        assert!(sent.contains(line), "{line} in {sent}");
    }
}

#[tokio::test]
async fn http_redirects_are_followed_but_not_for_ever() {
    let address = server(|head| {
        if head.starts_with("GET /loop") {
            answer("302 Found", "Location: /loop\r\n", "")
        } else if head.starts_with("GET /go") {
            answer("307 x", "Location: there\r\n", "")
        } else if head.starts_with("GET /there") {
            answer("200 OK", "", "arrived")
        } else {
            answer("500 x", "", "")
        }
    })
    .await;
    let outcome = get(&format!("http://{address}/go"), LONG).await;
    assert_eq!(outcome.status, Status::Passing);
    assert!(outcome.output.ends_with("200 OK Output: arrived"));
    let outcome = get(&format!("http://{address}/loop"), LONG).await;
    assert_eq!(outcome.status, Status::Critical);
    assert!(outcome.output.ends_with("stopped after 10 redirects"), "{}", outcome.output);
}

#[tokio::test]
async fn http_silence_refusal_and_garbage_are_critical() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let outcome = get(&url, Duration::from_millis(100)).await;
    assert_eq!(outcome.status, Status::Critical);
    assert!(outcome.output.contains("Client.Timeout"), "{}", outcome.output);
    drop(silent);
    let outcome = get(&url, LONG).await;
    assert!(outcome.output.ends_with("connect: connection refused"), "{}", outcome.output);
    let garbage = server(|_| b"what?\r\n\r\n".to_vec()).await;
    assert_eq!(get(&format!("http://{garbage}/"), LONG).await.status, Status::Critical);
    let empty = server(|_| Vec::new()).await;
    assert_eq!(get(&format!("http://{empty}/"), LONG).await.status, Status::Critical);
    assert_eq!(get("ftp://x/", LONG).await.status, Status::Critical);
}

#[tokio::test]
async fn of_a_huge_http_body_little_is_kept() {
    let address = server(|_| {
        let mut reply = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec();
        reply.extend(std::iter::repeat_n(b'x', 3 * 1024 * 1024));
        reply
    })
    .await;
    let outcome = get(&format!("http://{address}/"), LONG).await;
    assert_eq!(outcome.status, Status::Passing);
    assert!(outcome.output.len() < 4096 + 200, "{}", outcome.output.len());
}

#[tokio::test]
async fn tcp_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for text in [address.to_string(), format!("localhost:{}", address.port())] {
        let outcome = TcpProbe::new(&text, LONG).run().await;
        assert_eq!(outcome.status, Status::Passing, "{}", outcome.output);
        assert_eq!(outcome.output, format!("TCP connect {text}: Success"));
    }
    drop(listener);
    let outcome = TcpProbe::new(&address.to_string(), LONG).run().await;
    assert_eq!(
        outcome,
        Outcome::critical(format!("dial tcp {address}: connect: connection refused"))
    );
    assert_eq!(TcpProbe::new("nonsense", LONG).run().await.status, Status::Critical);
}

#[tokio::test]
async fn datagrams_that_are_answered() {
    let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let answering = async {
        let (_, from) = server.recv_from(&mut [0; 16]).await.unwrap();
        server.send_to(b"more than a byte", from).await.unwrap();
    };
    let probe = UdpProbe::new(&address.to_string(), LONG);
    let (outcome, ()) = tokio::join!(probe.run(), answering);
    let passing = format!("UDP connect {address}: Success");
    assert_eq!(outcome, Outcome::new(Status::Passing, passing));
    // It is there, and says nothing.
    let outcome = UdpProbe::new(&address.to_string(), Duration::from_millis(50)).run().await;
    assert_eq!(outcome, Outcome::critical(format!("read udp {address}: i/o timeout")));
    drop(server);
    let outcome = probe.run().await;
    let refused = format!("read udp {address}: connect: connection refused");
    assert_eq!(outcome, Outcome::critical(refused));
    let outcome = UdpProbe::new("nonsense", LONG).run().await;
    assert_eq!(outcome, Outcome::critical("dial udp: address nonsense: missing port in address"));
}

fn shell(line: &str, limit: Duration) -> ScriptProbe {
    ScriptProbe::new(&["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()], limit)
}

#[tokio::test]
async fn scripts_by_their_exit_code() {
    for (line, status, output) in [
        ("echo fine", Status::Passing, "fine\n"),
        ("echo hmm >&2; exit 1", Status::Warning, "hmm\n"),
        ("echo bad; echo worse >&2; exit 2", Status::Critical, "bad\nworse\n"),
        ("kill -9 $$", Status::Critical, ""),
        ("cat", Status::Passing, ""),
    ] {
        let outcome = shell(line, LONG).run().await;
        assert_eq!(outcome, Outcome::new(status, output), "{line}");
    }
    let missing = ScriptProbe::new(&["/no/such/program".to_owned()], LONG).run().await;
    assert_eq!(missing.status, Status::Critical);
    assert!(missing.output.contains("No such file"), "{}", missing.output);
    assert_eq!(ScriptProbe::new(&[], LONG).run().await.status, Status::Critical);
}

#[tokio::test]
async fn of_long_script_output_the_end_is_kept() {
    let line = "i=0; while [ $i -lt 2000 ]; do echo 0123456789; i=$((i+1)); done; echo END";
    let outcome = shell(line, LONG).run().await;
    let (notice, kept) = outcome.output.split_once("\n...\n").unwrap();
    assert_eq!(notice, "Captured 4096 of 22004 bytes");
    assert!(kept.ends_with("END\n"));
}

#[tokio::test]
async fn a_script_that_takes_too_long_is_killed_with_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let line = format!("echo started; sleep 1000 & echo $! > {}; wait", file.display());
    let outcome = shell(&line, Duration::from_secs(1)).run().await;
    assert_eq!(outcome, Outcome::critical("Timed out (1s) running check\n\nstarted\n"));
    let pid = std::fs::read_to_string(file).unwrap().trim().to_owned();
    eventually("the child of the script is gone", || !alive(&pid)).await;
}

#[tokio::test]
async fn a_script_may_leave_a_process_behind() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let start = Instant::now();
    let line = format!("echo out; sleep 1000 & echo $! > {}", file.display());
    let outcome = shell(&line, LONG).run().await;
    assert_eq!(outcome, Outcome::new(Status::Passing, "out\n"));
    assert!(start.elapsed() < LONG / 2);
    let pid = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Whether a process runs; one that nobody has collected yet does not.
fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

fn checks() -> (Arc<LocalState>, Checks) {
    let node = NodeFacts { name: "n".into(), ..NodeFacts::default() };
    let local = Arc::new(LocalState::new(node, Arc::default(), Duration::ZERO, false));
    let checks = Checks::new(Arc::clone(&local), "n".into(), None, CheckTls::default());
    (local, checks)
}

fn add(local: &LocalState, checks: &Checks, definition: &CheckDefinition, eager: Option<Eager>) {
    let entry = CheckEntry::defined(definition, Origin::Api);
    let id = Arc::clone(&entry.check.check_id);
    assert!(local.set_check(entry));
    checks.start(&id, definition, eager);
}

fn state(local: &LocalState, id: &str) -> (Status, String) {
    let check = local.check(id).unwrap().check;
    (check.status, check.output.clone())
}

#[tokio::test(start_paused = true)]
async fn a_silent_application_turns_critical_once() {
    let (local, checks) = checks();
    add(&local, &checks, &check_definition("c", ttl(10_000_000_000)), None);
    let timer = checks.ttl("c").unwrap();
    for _ in 0..5 {
        timer.restart();
        local.update_check("c", Status::Passing, "fine".to_owned());
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert_eq!(state(&local, "c"), (Status::Passing, "fine".to_owned()));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let expired = "TTL expired (last output before timeout follows): fine";
    assert_eq!(state(&local, "c"), (Status::Critical, expired.to_owned()));
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(state(&local, "c"), (Status::Critical, expired.to_owned()));
    timer.restart();
    local.update_check("c", Status::Passing, String::new());
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(state(&local, "c"), (Status::Critical, "TTL expired".to_owned()));
    checks.stop("c");
    assert!(checks.ttl("c").is_none());
    checks.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn statuses_need_their_number_of_results() {
    let (local, _checks) = checks();
    let mut definition = check_definition("c", ttl(1));
    definition.success_before_passing = 3;
    definition.failures_before_critical = 2;
    assert!(local.set_check(CheckEntry::defined(&definition, Origin::Api)));
    let mut reporter = Reporter::new(Arc::clone(&local), "c".into(), &definition);
    let mut report = |status, expected| {
        reporter.report(Outcome::new(status, ""));
        assert_eq!(state(&local, "c").0, expected);
    };
    report(Status::Passing, Status::Critical);
    report(Status::Passing, Status::Critical);
    report(Status::Passing, Status::Passing);
    report(Status::Critical, Status::Passing);
    report(Status::Passing, Status::Passing);
    report(Status::Critical, Status::Passing);
    report(Status::Critical, Status::Critical);
}

#[tokio::test]
async fn an_eager_check_finds_a_late_listener() {
    let (local, checks) = checks();
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut definition = check_definition("c", CheckKind::Tcp { address: port.to_string() });
    definition.interval = 3_600_000_000_000;
    let millis = Duration::from_millis;
    let eager = Eager { first: millis(1), pause: millis(20), until: LONG };
    add(&local, &checks, &definition, Some(eager));
    eventually("the first run failed", || state(&local, "c").1.contains("refused")).await;
    let _listener = TcpListener::bind(port).await.unwrap();
    eventually("it passes", || state(&local, "c").0 == Status::Passing).await;
    checks.shutdown().await;
}

#[tokio::test]
async fn a_check_that_is_replaced_runs_once() {
    let (local, checks) = checks();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("runs");
    let line = |mark: &str| CheckKind::Script {
        args: ["/bin/sh", "-c", &format!("echo {mark} >> {}; sleep 1000", file.display())]
            .map(str::to_owned)
            .to_vec(),
    };
    let eager = Eager { first: Duration::ZERO, pause: LONG, until: Duration::ZERO };
    for mark in ["first", "second"] {
        let mut definition = check_definition("c", line(mark));
        definition.interval = 1_000_000_000;
        add(&local, &checks, &definition, Some(eager));
        let text = || std::fs::read_to_string(&file).unwrap_or_default();
        eventually("it runs", || text().contains(mark)).await;
    }
    assert_eq!(checks.counts(), (1, 0));
    checks.shutdown().await;
    assert_eq!(checks.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_alias_follows_a_service_of_this_agent() {
    let (local, checks) = checks();
    let alias = CheckKind::Alias { node: String::new(), service: "web".to_owned() };
    add(&local, &checks, &check_definition("alias", alias), None);
    eventually("missing", || state(&local, "alias").1.contains("could not be found")).await;
    let service = lictor_types::catalog::Service {
        id: "web".into(),
        name: "web".into(),
        ..Default::default()
    };
    local.set_service(service, String::new(), Origin::Api);
    eventually("no checks", || state(&local, "alias").0 == Status::Passing).await;
    let mut of_service = check_definition("c", ttl(1));
    of_service.service_id = "web".to_owned();
    assert!(local.set_check(CheckEntry::defined(&of_service, Origin::Api)));
    eventually("critical", || state(&local, "alias").0 == Status::Critical).await;
    assert!(state(&local, "alias").1.starts_with("Aliased check \"c\" failing:"));
    local.update_check("c", Status::Passing, String::new());
    eventually("passing", || state(&local, "alias").1 == "All checks passing.").await;
    checks.shutdown().await;
}

fn no_tls() -> super::tls::ProbeTls {
    super::tls::ProbeTls { shared: Arc::default(), skip_verify: false }
}
