//! Tests of managed proxies with real processes: small shell scripts in place of proxies.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use super::process::Process;
use super::*;
use crate::testing::{config, eventually};

/// Patience of the tests, not of a real agent.
fn policy() -> Policy {
    Policy {
        immediate: 3,
        pause: Duration::from_millis(50),
        longest: Duration::from_millis(200),
        healthy: Duration::from_secs(5),
        grace: Duration::from_secs(2),
    }
}

fn agent_config(dir: &Path) -> AgentConfig {
    let mut config = config();
    config.data_dir = Some(dir.to_owned());
    config.http_address = "127.0.0.1:7500".to_owned();
    config
}

/// A service whose proxy runs a line of shell.
fn service(id: &str, line: &str) -> Service {
    let mut service = Service { id: id.into(), name: "web".into(), port: 80, ..Service::default() };
    service.connect.proxy = Some(ManagedProxy {
        command: ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
        ..ManagedProxy::default()
    });
    service
}

/// Writes a line with its process number and the named variables at each start, then waits.
fn diary(path: &Path, variables: &str) -> String {
    format!("echo $$ {variables} >> {}; exec sleep 1000", path.display())
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn pid_of(line: &str) -> i32 {
    line.split(' ').next().unwrap().parse().unwrap()
}

fn alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn start(proxies: &Proxies, service: &Service) -> Derived {
    let derived = proxies.define(service, "service-token", None).unwrap();
    proxies.start(&service.id);
    derived
}

#[tokio::test]
async fn a_proxy_gets_a_service_a_check_and_a_configuration() {
    let mut config = config();
    config.proxy.default_config = json!({"a": 1, "b": 1}).as_object().unwrap().clone();
    config.log_level = "err".to_owned();
    let proxies = Proxies::new(&config, policy());
    let mut service =
        Service { id: "db-1".into(), name: "db".into(), port: 5432, ..Service::default() };
    service.connect.proxy = Some(ManagedProxy {
        config: json!({"b": 2, "upstreams": [{"local_bind_port": 1}]}),
        ..ManagedProxy::default()
    });
    let derived = proxies.define(&service, "secret", None).unwrap();
    assert_eq!((&*derived.service.id, &*derived.service.name), ("db-1-proxy", "db-1-proxy"));
    assert_eq!(derived.service.proxy_destination, "db");
    let port = derived.service.port;
    assert!((21000..=21255).contains(&port), "{port}");
    assert_eq!(derived.check.name, "Connect Proxy Listening");
    let address = format!("127.0.0.1:{port}");
    assert_eq!(derived.check.kind, CheckKind::Tcp { address });
    let reply = proxies.reply("db-1-proxy", false).unwrap();
    assert_eq!(
        Value::Object(reply.config.clone()),
        json!({
            "a": 1, "b": 2, "upstreams": [{"local_bind_port": 1}], "bind_port": port,
            "bind_address": "127.0.0.1", "local_service_address": "127.0.0.1:5432",
        })
    );
    let command = ["/usr/bin/lictor", "connect", "proxy", "-log-level", "err"];
    assert_eq!(reply.command, command);
    assert_eq!(reply.exec_mode, "daemon");
    assert_eq!(reply.content_hash.len(), 16);
    let view = proxies.view("db-1").unwrap();
    assert_eq!(view.config, json!({"b": 2, "upstreams": [{"local_bind_port": 1}]}));
    // The same definition again is the same proxy; another one changes the hash only.
    let token = derived.stored.proxy_token;
    let again = proxies.define(&service, "secret", None).unwrap();
    assert_eq!((again.service.port, &again.stored.proxy_token), (port, &token));
    assert_eq!(proxies.reply("db-1-proxy", false).unwrap(), reply);
    service.port = 1;
    proxies.define(&service, "secret", None).unwrap();
    assert_ne!(proxies.reply("db-1-proxy", false).unwrap().content_hash, reply.content_hash);
    let identity = proxies.identity(&token).unwrap();
    assert_eq!((&*identity.service, &*identity.service_token), ("db", "secret"));
    assert_eq!(proxies.identity("other"), None);
    assert_eq!(proxies.identity(""), None);
    assert_eq!(proxies.remove("db-1").as_deref(), Some("db-1-proxy"));
    assert_eq!(proxies.reply("db-1-proxy", false), None);
    assert_eq!(proxies.identity(&token), None);
}

#[tokio::test]
async fn ports_can_be_given_and_can_run_out() {
    let mut config = config();
    config.proxy.max_port = config.proxy.min_port;
    let proxies = Proxies::new(&config, policy());
    let with = |id: &str, settings: Value| {
        let mut service = service(id, "true");
        service.connect.proxy.as_mut().unwrap().config = settings;
        proxies.define(&service, "", None).map(|derived| derived.service.port)
    };
    assert_eq!(with("a", json!({"bind_port": 23456})), Ok(23456));
    assert_eq!(with("b", json!({"bind_port": "23457"})), Ok(23457));
    assert_eq!(with("c", json!({"bind_port": 23458.0})), Ok(23458));
    assert!(matches!(with("d", json!({"bind_port": 70000})), Err(AgentError::Invalid(_))));
    assert!(matches!(with("d", json!({"bind_port": []})), Err(AgentError::Invalid(_))));
    let only = config.proxy.min_port;
    assert_eq!(with("e", Value::Null), Ok(only));
    assert_eq!(with("e", Value::Null), Ok(only));
    let error = with("f", Value::Null).unwrap_err().to_string();
    assert!(error.starts_with("no port provided for proxy bind_port"), "{error}");
}

#[tokio::test]
async fn a_proxy_on_every_address_is_checked_on_loopback() {
    for (address, expected) in [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("[::]", "[::1]")] {
        let mut config = config();
        config.bind_address = address.to_owned();
        let proxies = Proxies::new(&config, policy());
        let derived = proxies.define(&service("w", "true"), "", None).unwrap();
        let address = format!("{expected}:{}", derived.service.port);
        assert_eq!(derived.check.kind, CheckKind::Tcp { address });
    }
}

#[tokio::test]
async fn telemetry_is_for_the_proxy_itself() {
    let mut config = config();
    config.proxy.telemetry = Some(json!({"x": 1, "y": 1}).as_object().unwrap().clone());
    let proxies = Proxies::new(&config, policy());
    let mut service = service("w", "true");
    service.connect.proxy.as_mut().unwrap().config = json!({"telemetry": {"y": 2}});
    proxies.define(&service, "", None).unwrap();
    let own = proxies.reply("w-proxy", true).unwrap().config;
    assert_eq!(own["telemetry"], json!({"x": 1, "y": 2, "metrics_prefix": "consul.proxy.w"}));
    let other = proxies.reply("w-proxy", false).unwrap().config;
    assert_eq!(other["telemetry"], json!({"y": 2}));
}

#[tokio::test]
async fn a_killed_proxy_is_back_with_its_environment_and_session() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("diary");
    let variables = "$CONNECT_PROXY_ID $CONSUL_PROXY_ID $CONSUL_HTTP_ADDR $CONNECT_PROXY_TOKEN \
                     $CONSUL_PROXY_TOKEN";
    let proxies = Proxies::new(&agent_config(dir.path()), policy());
    let derived = start(&proxies, &service("w", &diary(&file, variables)));
    eventually("it runs", || lines(&file).len() == 1).await;
    let first = lines(&file)[0].clone();
    let token = derived.stored.proxy_token;
    let expected = format!("w-proxy w-proxy 127.0.0.1:7500 {token} {token}");
    assert_eq!(first.split_once(' ').unwrap().1, expected);
    let pid = pid_of(&first);
    let own = rustix::process::Pid::from_raw(pid).unwrap();
    assert_eq!(rustix::process::getsid(Some(own)), Ok(own), "it has a session of its own");
    let log = dir.path().join("proxy/logs/w-proxy-stderr.log");
    assert_eq!(std::fs::metadata(log).unwrap().permissions().mode() & 0o777, 0o600);
    let pid_file = dir.path().join("proxy/pids/w-proxy.pid");
    let recorded = || std::fs::read_to_string(&pid_file).unwrap_or_default();
    eventually("the pid is recorded", || recorded() == pid.to_string()).await;
    for starts in 2..7 {
        kill(pid_of(lines(&file).last().unwrap()));
        eventually("it is back", || lines(&file).len() == starts).await;
    }
    proxies.remove("w");
    let last = pid_of(lines(&file).last().unwrap());
    eventually("it ends with its service", || !alive(last)).await;
    eventually("nothing is recorded", || !pid_file.exists()).await;
    assert_eq!(lines(&file).len(), 6);
    proxies.shutdown().await;
}

#[tokio::test]
async fn a_proxy_outlives_the_agent_and_is_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("diary");
    let service = service("w", &diary(&file, "run"));
    let config = agent_config(dir.path());
    let proxies = Proxies::new(&config, policy());
    let stored = start(&proxies, &service).stored;
    eventually("it runs", || lines(&file).len() == 1).await;
    let pid = pid_of(&lines(&file)[0]);
    proxies.shutdown().await;
    assert!(alive(pid));

    let proxies = Proxies::new(&config, policy());
    let derived = proxies.define(&service, "service-token", Some(&stored)).unwrap();
    assert_eq!(derived.stored, stored);
    proxies.start("w");
    proxies.end_leftovers();
    proxies.shutdown().await;
    assert!(alive(pid));

    // What was adopted is supervised like a child.
    let proxies = Proxies::new(&config, policy());
    proxies.define(&service, "service-token", Some(&stored)).unwrap();
    proxies.start("w");
    assert_eq!(lines(&file).len(), 1, "adopted, not started");
    kill(pid);
    eventually("started again", || lines(&file).len() == 2).await;
    let pid = pid_of(&lines(&file)[1]);
    proxies.remove("w");
    eventually("it ends", || !alive(pid)).await;
    proxies.shutdown().await;
}

#[tokio::test]
async fn a_left_proxy_that_is_defined_differently_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("diary");
    let config = agent_config(dir.path());
    let proxies = Proxies::new(&config, policy());
    let stored = start(&proxies, &service("w", &diary(&file, "old"))).stored;
    start(&proxies, &service("gone", &diary(&file, "gone")));
    eventually("both run", || lines(&file).len() == 2).await;
    let old: Vec<_> = lines(&file).iter().map(|line| pid_of(line)).collect();
    proxies.shutdown().await;

    let proxies = Proxies::new(&config, policy());
    proxies.define(&service("w", &diary(&file, "new")), "", Some(&stored)).unwrap();
    proxies.start("w");
    proxies.end_leftovers();
    eventually("the new one runs", || {
        lines(&file).iter().filter(|line| line.ends_with("new")).count() == 1
    })
    .await;
    eventually("those of before ended", || old.iter().all(|pid| !alive(*pid))).await;
    let new = pid_of(lines(&file).last().unwrap());
    proxies.remove("w");
    eventually("it ends", || !alive(new)).await;
    proxies.shutdown().await;
    assert!(Book::open(Some(dir.path().join("proxy"))).take_leftovers().is_empty());
}

#[tokio::test]
async fn another_process_with_the_same_number_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let mut other = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = i32::try_from(other.id()).unwrap();
    let launch = Launch { program: "sleep".to_owned(), args: vec!["1000".to_owned()], env: vec![] };
    assert!(Process::find(pid, "at another time").is_none());
    assert!(Process::find(pid, "").is_none());
    assert!(Process::find(i32::MAX, "x").is_none());
    let book = Book::open(Some(dir.path().join("proxy")));
    book.add(snapshot::Record::new("w-proxy", pid, "at another time", &launch)).unwrap();
    let proxies = Proxies::new(&agent_config(dir.path()), policy());
    proxies.end_leftovers();
    proxies.shutdown().await;
    assert!(alive(pid));
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn in_development_mode_proxies_end_with_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("diary");
    let mut config = config();
    config.dev = true;
    let proxies = Proxies::new(&config, policy());
    start(&proxies, &service("w", &diary(&file, "")));
    // This one does not listen to the polite request.
    let deaf = format!("trap '' INT; {}", diary(&file, ""));
    start(&proxies, &service("deaf", &deaf));
    eventually("both run", || lines(&file).len() == 2).await;
    let pids: Vec<_> = lines(&file).iter().map(|line| pid_of(line)).collect();
    proxies.shutdown().await;
    assert!(pids.iter().all(|pid| !alive(*pid)));
}

#[tokio::test]
async fn what_cannot_be_started_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("proxy.sh");
    let file = dir.path().join("diary");
    let mut service = service("w", "");
    service.connect.proxy.as_mut().unwrap().command = vec![program.display().to_string()];
    let proxies = Proxies::new(&agent_config(dir.path()), policy());
    start(&proxies, &service);
    let staged = dir.path().join("staged");
    std::fs::write(&staged, format!("#!/bin/sh\n{}\n", diary(&file, ""))).unwrap();
    std::fs::set_permissions(&staged, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(staged, program).unwrap();
    eventually("it runs", || lines(&file).len() == 1).await;
    proxies.remove("w");
    proxies.shutdown().await;
    assert!(!alive(pid_of(&lines(&file)[0])));
}

#[tokio::test]
async fn a_full_disk_stops_no_proxy() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("diary");
    // Every folder that is needed exists already, as a file.
    for name in ["logs", "pids", "snapshot.json"] {
        std::fs::create_dir_all(dir.path().join("proxy")).unwrap();
        let path = dir.path().join("proxy").join(name);
        if name == "snapshot.json" {
            std::fs::create_dir(path).unwrap();
        } else {
            std::fs::write(path, b"").unwrap();
        }
    }
    let proxies = Proxies::new(&agent_config(dir.path()), policy());
    start(&proxies, &service("w", &diary(&file, "")));
    eventually("it runs", || lines(&file).len() == 1).await;
    proxies.remove("w");
    proxies.shutdown().await;
    assert!(!alive(pid_of(&lines(&file)[0])));
}

#[tokio::test]
async fn scripts_and_roots_proxies_are_not_started() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("diary");
    let proxies = Proxies::new(&agent_config(dir.path()), policy());
    let mut script = service("s", &diary(&file, "script"));
    script.connect.proxy.as_mut().unwrap().exec_mode = "script".to_owned();
    start(&proxies, &script);
    proxies.shutdown().await;
    let mut config = agent_config(dir.path());
    config.proxy.allow_managed_root = false;
    let proxies = Proxies::new(&config, policy());
    start(&proxies, &service("w", &diary(&file, "root")));
    if rustix::process::geteuid().is_root() {
        proxies.shutdown().await;
        assert_eq!(lines(&file), [""; 0]);
    } else {
        eventually("it runs", || lines(&file).len() == 1).await;
        proxies.remove("w");
        proxies.shutdown().await;
    }
}
