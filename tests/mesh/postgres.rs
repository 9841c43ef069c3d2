//! The announcement's story with a real PostgreSQL: `psql` through the mesh, and intentions.
//!
//! The database is one of Debian's packages, started on loopback with a data folder of its own.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use lictor_testkit::{Agent, Program, free_ports, skipped, wait_for};
use serde_json::json;
use tempfile::TempDir;

use crate::scene;

/// A PostgreSQL server.
struct Postgres {
    port: u16,
    _program: Program,
    _folder: TempDir,
}

fn tool(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions.flatten().map(|v| v.path().join("bin").join(name)).find(|p| p.exists())
}

/// PostgreSQL refuses to run as root: there it becomes the user that the package made.
fn unprivileged(program: &PathBuf) -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

impl Postgres {
    fn start() -> Option<Self> {
        let (initdb, postgres) = (tool("initdb")?, tool("postgres")?);
        let folder = tempfile::Builder::new().prefix("lictor-pg-").tempdir().expect("a folder");
        if rustix::process::geteuid().is_root() {
            let owner = Command::new("chown").arg("postgres").arg(folder.path()).status();
            assert!(owner.expect("chown runs").success());
        }
        let data = folder.path().join("data");
        let made = unprivileged(&initdb)
            .args(["-A", "trust", "-U", "postgres", "-N", "-D"])
            .arg(&data)
            .current_dir(folder.path())
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let [port] = free_ports::<1>();
        let mut command = unprivileged(&postgres);
        command.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &port.to_string(), "-F"]);
        command.args(["-c", "unix_socket_directories="]).current_dir(folder.path());
        let log = folder.path().with_extension("log");
        let program = Program::start(&mut command, &log).expect("postgres starts");
        let _ = std::fs::remove_file(log);
        let server = Self { port, _program: program, _folder: folder };
        wait_for("PostgreSQL", Duration::from_secs(60), || {
            psql(port, "select 1").status.success().then_some(())
        });
        Some(server)
    }
}

fn psql(port: u16, statement: &str) -> Output {
    Command::new("psql")
        .args(["-h", "127.0.0.1", "-U", "postgres", "-X", "-A", "-t", "-p", &port.to_string()])
        .args(["-c", statement, "postgres"])
        .env("PGCONNECT_TIMEOUT", "5")
        .output()
        .expect("psql is installed")
}

fn answer(port: u16, statement: &str) -> Option<String> {
    let done = psql(port, statement);
    let text = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    done.status.success().then_some(text)
}

#[test]
fn psql_reaches_postgresql_through_the_mesh_until_an_intention_cuts_it() {
    let Some(database) = Postgres::start() else {
        skipped("postgres", "PostgreSQL's server programs are not installed");
        return;
    };
    // One line in the definition puts the service into the mesh.
    let agent = Agent::dev(&json!({
        "connect": {"enabled": true, "proxy": {"allow_managed_root": true}},
        "services": [
            {"name": "postgresql", "port": database.port, "connect": {"proxy": {}}},
            {"name": "db", "port": database.port, "connect": {"proxy": {}}},
        ],
    }));
    let [local, by_web] = free_ports::<2>();
    let _developer = scene::proxy(
        &agent,
        "developer",
        &["-service", "mitchellh", "-upstream", &format!("postgresql:{local}")],
    );
    let _web =
        scene::proxy(&agent, "web", &["-service", "web", "-upstream", &format!("db:{by_web}")]);
    for port in [local, by_web] {
        wait_for("psql through the mesh", scene::PATIENCE, || {
            (answer(port, "select 6*7")? == "42").then_some(())
        });
    }
    answer(local, "create table t (n int); insert into t select generate_series(1, 10000)")
        .expect("statements pass");
    let rows = answer(local, "select count(*) from t; select n from t order by n desc limit 1");
    assert_eq!(rows.as_deref(), Some("10000\n10000"));

    // A session that stays open: the database greets after a startup message.
    let mut session = scene::connect(by_web).expect("the upstream listens");
    session.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket option");
    let parameters = b"\0\x03\0\0user\0postgres\0\0";
    let length = u32::try_from(parameters.len() + 4).expect("short").to_be_bytes();
    session.write_all(&[&length, parameters.as_slice()].concat()).expect("sent");
    let mut kind = [0];
    session.read_exact(&mut kind).expect("the database answers");
    assert_eq!(&kind, b"R", "authentication request");
    session.set_nonblocking(false).expect("a socket option");

    // The words of the announcement.
    scene::intend(&agent, "-allow", "web", "db");
    assert_eq!(answer(by_web, "select 1").as_deref(), Some("1"));
    scene::forget(&agent, "web", "db");
    scene::intend(&agent, "-deny", "web", "db");
    let denied = Instant::now();
    let mut rest = Vec::new();
    let _ = session.read_to_end(&mut rest);
    let took = denied.elapsed();
    assert!(took <= Duration::from_millis(100), "the session was closed after {took:?}");
    assert_eq!(answer(by_web, "select 1"), None, "new connections are refused");
    assert_eq!(answer(local, "select 1").as_deref(), Some("1"), "others are not concerned");
    println!("deny to closed PostgreSQL session: {took:?}");
}
