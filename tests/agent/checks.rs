//! Health checks against what they check: a gRPC server by Google's library, a container engine's
//! API over its socket, HTTPS with certificates, and the others through the whole agent.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lictor_testkit::{Agent, Program, skipped, wait_for};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(30);

fn register(agent: &Agent, check: &Value) {
    let reply = agent.http("PUT", "/v1/agent/check/register", &check.to_string());
    assert_eq!(reply.status, 200, "{check}: {}", reply.text());
}

/// Waits until a check has this status and an output that contains `text`.
fn until(agent: &Agent, id: &str, status: &str, text: &str) -> String {
    let seen = std::cell::RefCell::new(Value::Null);
    let what = format!("{id} to be {status} with «{text}»");
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for(&what, LONG, || {
            let check = agent.json("GET", "/v1/agent/checks", &Value::Null)[id].clone();
            let output = check["Output"].as_str().unwrap_or_default().to_owned();
            let found = check["Status"] == status && output.contains(text);
            *seen.borrow_mut() = check;
            found.then_some(output)
        })
    }));
    found.unwrap_or_else(|_| panic!("not in time: {what}; it is {}", seen.borrow()))
}

/// `grpc.health.v1.Health` as Google's library serves it; its state follows the file `state`.
const GRPC_SERVER: &str = r#"
import concurrent.futures, grpc, sys
def check(request, context):
    if request == b"\n\x04none":
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return b"\x08\x01" if open("state").read() == "up" else b"\x08\x02"
server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
handler = grpc.unary_unary_rpc_method_handler(check)
server.add_generic_rpc_handlers(
    (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),))
if len(sys.argv) > 1:
    files = [open(name, "rb").read() for name in ("key.pem", "cert.pem")]
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([tuple(files)]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print("port", port, flush=True)
server.wait_for_termination()
"#;

/// An interpreter that has the library, if there is one.
fn python() -> Option<String> {
    let named = std::env::var("LICTOR_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut probe = Command::new(&named);
    probe.args(["-c", "import grpc"]).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success()).then_some(named)
}

fn grpc_server(python: &str, folder: &Path, arguments: &[&str]) -> (Program, u16) {
    let mut command = Command::new(python);
    command.arg("-c").arg(GRPC_SERVER).args(arguments).current_dir(folder);
    let log = folder.join(format!("grpc{}", arguments.len()));
    let server = Program::start(&mut command, &log).expect("python runs");
    let port = wait_for("the server's port", LONG, || {
        server.output().lines().find_map(|line| line.strip_prefix("port ")?.parse().ok())
    });
    (server, port)
}

#[test]
fn grpc_checks_follow_a_server_of_googles_library() {
    let Some(python) = python() else {
        return skipped("grpc_checks", "python3 has no grpc: apt install python3-grpcio");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().to_owned();
    certificates(&at);
    fs::write(at.join("state"), "up").expect("a file");
    let (mut server, port) = grpc_server(&python, &at, &[]);
    let (_secure, secure_port) = grpc_server(&python, &at, &["tls"]);
    let extra = json!({"enable_agent_tls_for_checks": true, "ca_file": "ca.pem"});
    let agent = Agent::start_in(folder, &["-dev"], &extra);
    let target = format!("localhost:{port}");
    let secure = format!("localhost:{secure_port}");
    register(&agent, &json!({"ID": "all", "Name": "all", "GRPC": target, "Interval": "1s"}));
    let none = format!("{target}/none");
    register(&agent, &json!({"ID": "none", "Name": "none", "GRPC": none, "Interval": "1s"}));
    let tls = json!({"ID": "tls", "Name": "tls", "GRPC": secure, "GRPCUseTLS": true,
        "Interval": "1s"});
    register(&agent, &tls);
    let plain = json!({"ID": "plain", "Name": "plain", "GRPC": secure, "Interval": "1s",
        "Timeout": "2s"});
    register(&agent, &plain);
    until(&agent, "all", "passing", &format!("gRPC check {target}: success"));
    until(&agent, "tls", "passing", "success");
    until(&agent, "none", "critical", "rpc error: the server does not offer");
    until(&agent, "plain", "critical", "");
    fs::write(at.join("state"), "down").expect("a file");
    until(&agent, "all", "critical", "gRPC application didn't report service healthy");
    fs::write(at.join("state"), "up").expect("a file");
    until(&agent, "all", "passing", "success");
    server.kill();
    until(&agent, "all", "critical", "connection refused");
}

/// A container engine with one container, whose commands end with the code that they name.
struct Engine {
    paused: AtomicBool,
}

impl Engine {
    /// One request and its answer.
    fn serve(&self, stream: UnixStream, last: &mut (i64, String)) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        reader.read_line(&mut line)?;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            if header.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let path = path.strip_prefix("/v1.24").unwrap_or("");
        let (status, answer) = match (method, path) {
            ("POST", "/containers/box/exec") if self.paused.load(Ordering::SeqCst) => {
                ("409 Conflict", json!({"message": "paused"}).to_string())
            }
            ("POST", "/containers/box/exec") => {
                let command: Vec<_> = body["Cmd"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                let code = command.last().and_then(|w| w.rsplit(' ').next()?.parse().ok());
                *last = (code.unwrap_or(0), command.join(" "));
                ("201 Created", json!({"Id": "e1"}).to_string())
            }
            ("POST", "/exec/e1/start") => ("200 OK", format!("{}ran {}", "x".repeat(5000), last.1)),
            ("GET", "/exec/e1/json") => {
                ("200 OK", json!({"ExitCode": last.0, "Running": false}).to_string())
            }
            _ => ("404 Not Found", json!({"message": "No such container"}).to_string()),
        };
        let mut stream = reader.into_inner();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
            answer.len()
        )
    }
}

#[test]
fn docker_checks_run_commands_by_the_engines_api() {
    let folder = tempfile::tempdir().expect("a folder");
    // Not the agent's, which is gone when the engine is told to stop.
    let own = tempfile::tempdir().expect("a folder");
    let path = own.path().join("docker.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let engine = Engine { paused: AtomicBool::new(false) };
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (engine, stop) = (&engine, &stop);
        scope.spawn(move || {
            let mut last = (0, String::new());
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let _ = engine.serve(stream, &mut last);
            }
        });
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let extra = json!({"enable_script_checks": true});
            let place = format!("unix://{}", path.display());
            let variables = [("DOCKER_HOST", place.as_str())];
            let agent = Agent::start_with(folder, &["-dev"], &extra, &variables);
            // One at a time, as the engine remembers one command.
            let check = |container: &str, args: Value| {
                register(
                    &agent,
                    &json!({"ID": "d", "Name": "d", "DockerContainerID": container,
                        "Shell": "/bin/sh", "Args": args, "Interval": "1s"}),
                );
            };
            check("box", json!(["exit 0"]));
            let output = until(&agent, "d", "passing", "ran /bin/sh -c exit 0");
            assert!(output.starts_with("Captured 4096 of 50"), "{}", &output[..40]);
            check("box", json!(["/bin/check", "1"]));
            until(&agent, "d", "warning", "ran /bin/check 1");
            check("box", json!(["exit 7"]));
            until(&agent, "d", "critical", "exit 7");
            engine.paused.store(true, Ordering::SeqCst);
            until(&agent, "d", "critical", "since container box is paused or stopped");
            check("other", json!(["exit 0"]));
            until(&agent, "d", "critical", "create exec failed for unknown container other");
        }));
        stop.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(&path);
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    });
}

/// `ca.pem`, and a certificate of it for `localhost`.
fn certificates(folder: &Path) {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let cert = params.signed_by(&key, &authority).expect("a certificate");
    for (name, text) in
        [("ca.pem", authority.pem()), ("cert.pem", cert.pem()), ("key.pem", key.serialize_pem())]
    {
        fs::write(folder.join(name), text).expect("a file");
    }
}

#[test]
fn https_checks_use_the_agents_certificates_where_that_is_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    let [https] = lictor_testkit::free_ports::<1>();
    // The agent checks itself, over a door that demands certificates.
    let mut extra = json!({"ports": {"https": https}, "cert_file": "cert.pem",
        "key_file": "key.pem", "ca_file": "ca.pem", "verify_incoming": true,
        "enable_agent_tls_for_checks": true});
    let url = format!("https://localhost:{https}/v1/status/leader");
    let check = json!({"ID": "h", "Name": "h", "HTTP": url, "Interval": "1s"});
    let agent = Agent::start_in(folder, &["-dev"], &extra);
    register(&agent, &check);
    until(&agent, "h", "passing", "200 OK Output:");
    let mut agent = agent;
    agent.program.kill();
    extra["enable_agent_tls_for_checks"] = json!(false);
    let agent = Agent::start_in(agent.folder, &["-dev"], &extra);
    register(&agent, &check);
    until(&agent, "h", "critical", "UnknownIssuer");
}

#[test]
fn scripts_of_files_alone_aliases_and_ports() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let extra = json!({
        "enable_local_script_checks": true,
        "service": {"name": "web", "port": port, "checks": [
            {"id": "web-tcp", "tcp": format!("localhost:{port}"), "interval": "1s"},
            {"id": "web-script", "args": ["/bin/sh", "-c", "head -c 9000 /dev/zero | tr '\\0' y; exit 1"],
                "interval": "1s"},
        ]},
        "check": {"id": "alias", "name": "alias", "alias_service": "web"},
    });
    let agent = Agent::start(&["-dev"], &extra);
    until(&agent, "web-tcp", "passing", &format!("TCP connect localhost:{port}: Success"));
    let output = until(&agent, "web-script", "warning", "Captured 4096 of 9000 bytes\n...\n");
    assert_eq!(output.rsplit('\n').next().map(str::len), Some(4096));
    until(&agent, "alias", "warning", "");
    drop(listener);
    until(&agent, "web-tcp", "critical", "connection refused");
    until(&agent, "alias", "critical", "");
    let script = json!({"Name": "x", "Args": ["true"], "Interval": "1s"});
    let refused = agent.http("PUT", "/v1/agent/check/register", &script.to_string());
    assert_eq!(refused.status, 500);
    assert!(refused.text().contains("Scripts are disabled on this agent"), "{}", refused.text());
}

#[test]
fn a_server_of_datagrams_passes_while_it_answers() {
    let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("its address").to_string();
    server.set_read_timeout(Some(Duration::from_millis(100))).expect("a time");
    let agent = Agent::dev(&json!({}));
    let check = json!({"Name": "u", "UDP": address, "Interval": "1s", "Timeout": "500ms"});
    register(&agent, &check);
    assert_eq!(agent.json("GET", "/v1/agent/checks", &Value::Null)["u"]["Type"], "udp");
    until(&agent, "u", "critical", &format!("read udp {address}: i/o timeout"));
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                if let Ok((_, from)) = server.recv_from(&mut [0; 1]) {
                    server.send_to(b"here", from).expect("an answer");
                }
            }
        });
        let passes = std::panic::catch_unwind(|| {
            until(&agent, "u", "passing", &format!("UDP connect {address}: Success"))
        });
        ends.store(true, Ordering::Relaxed);
        passes.expect("it passes");
    });
    drop(server);
    until(&agent, "u", "critical", "connection refused");
}
