//! What the stories share: an echo application, a tap on the wire, and the two sides of a mesh.
//!
//! The tap stands between two proxies and keeps every byte, so that a test can prove what the
//! wire carries.

use std::io::{Error, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lictor_testkit::{Agent, Program, binary, free_ports, wait_for};
use serde_json::json;

/// How long anything may take that does not say otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An application that sends back what it gets; it ends with the process.
pub(crate) fn echo() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
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
    port
}

/// Sends `text` and reads the same back.
pub(crate) fn round_trip(stream: &mut TcpStream, text: &[u8]) -> Result<(), Error> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(text)?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back)?;
    if back == text { Ok(()) } else { Err(Error::other("something else came back")) }
}

/// Whether a new connection to a local port reaches the echo application.
pub(crate) fn reaches(port: u16) -> bool {
    connect(port).is_ok_and(|mut stream| round_trip(&mut stream, b"hello").is_ok())
}

/// A connection to a local port.
pub(crate) fn connect(port: u16) -> Result<TcpStream, Error> {
    TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(5))
}

/// Everything that went over a wire, by direction.
#[derive(Clone, Default)]
pub(crate) struct Recorded {
    pub(crate) forth: Arc<Mutex<Vec<u8>>>,
    pub(crate) back: Arc<Mutex<Vec<u8>>>,
}

/// A relay to `target` that keeps what passes.
pub(crate) fn tap(target: u16) -> (u16, Recorded) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let recorded = Recorded::default();
    let kept = recorded.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = connect(target) else { continue };
            let pairs = [
                (client.try_clone(), server.try_clone(), Arc::clone(&kept.forth)),
                (server.try_clone(), client.try_clone(), Arc::clone(&kept.back)),
            ];
            for (from, to, keep) in pairs {
                let (Ok(mut from), Ok(mut to)) = (from, to) else { continue };
                std::thread::spawn(move || {
                    let mut buffer = [0; 16384];
                    while let Ok(n) = from.read(&mut buffer) {
                        if n == 0 {
                            break;
                        }
                        keep.lock().expect("no panic while held").extend_from_slice(&buffer[..n]);
                        if to.write_all(&buffer[..n]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    (port, recorded)
}

/// `lictor connect proxy` with these arguments, its output in the agent's folder.
pub(crate) fn proxy(agent: &Agent, name: &str, arguments: &[&str]) -> Program {
    let mut command = Command::new(binary());
    command.args(["connect", "proxy", "-http-addr", &agent.http]).args(arguments);
    Program::start(&mut command, &agent.folder.path().join(format!("{name}.log")))
        .expect("the proxy can be started")
}

/// A mesh of two: `web` has a local port to `db`, whose proxy is at `public`.
pub(crate) struct Pair {
    pub(crate) agent: Agent,
    /// Where `db`'s proxy listens.
    pub(crate) public: u16,
    /// The local port of `web`'s upstream.
    pub(crate) local: u16,
    pub(crate) server: Program,
    pub(crate) client: Program,
}

/// Starts an agent, an application `db` on `application`, and both proxies; waits until a
/// connection passes.
pub(crate) fn pair(application: u16, ready: impl Fn(u16) -> bool) -> Pair {
    let agent = Agent::dev(&json!({}));
    let [public, local] = free_ports::<2>();
    let listen = format!("127.0.0.1:{public}");
    let target = format!("127.0.0.1:{application}");
    let server = proxy(
        &agent,
        "server",
        &["-service", "db", "-service-addr", &target, "-listen", &listen, "-register"],
    );
    let upstream = format!("db:127.0.0.1:{local}");
    let client = proxy(&agent, "client", &["-service", "web", "-upstream", &upstream]);
    let pair = Pair { agent, public, local, server, client };
    let said = || format!("{}\n{}", pair.server.output(), pair.client.output());
    let start = std::time::Instant::now();
    while !ready(local) {
        assert!(start.elapsed() < PATIENCE, "the mesh does not come up:\n{}", said());
        std::thread::sleep(Duration::from_millis(20));
    }
    pair
}

/// Writes an intention by the command line.
pub(crate) fn intend(agent: &Agent, action: &str, source: &str, destination: &str) {
    let (code, out, err) = agent.cli(&["intention", "create", action, source, destination]);
    let word = action.trim_start_matches('-');
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, format!("Created: {source} => {destination} ({word})\n"));
}

/// Deletes an intention by the command line.
pub(crate) fn forget(agent: &Agent, source: &str, destination: &str) {
    let (code, out, err) = agent.cli(&["intention", "delete", source, destination]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "Intention deleted.\n", ""));
}

/// Waits until new connections do (or do not) pass.
pub(crate) fn wait_until_reaches(port: u16, wanted: bool) {
    let what = if wanted { "connections to pass" } else { "connections to be refused" };
    wait_for(what, PATIENCE, || (reaches(port) == wanted).then_some(()));
}

/// Runs openssl and gives its output.
pub(crate) fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let done = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("openssl is installed: `make test` does that");
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}
