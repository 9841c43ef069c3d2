//! Tests of the operations on local services and checks, on real files where it matters.

use std::path::Path;

use lictor_types::catalog::ManagedProxy;
use lictor_types::check::Status;
use lictor_types::definition::{CheckDefinition, CheckKind, ServiceDefinition};

use super::*;
use crate::check::CheckTls;
use crate::config::{Definitions, Reload};
use crate::local::Origin;
use crate::testing::{check_definition, config, eventually, ttl};

const MINUTE: i64 = 60_000_000_000;

fn host(config: &AgentConfig) -> Host {
    Host::new(config, None, CheckTls::default(), Policy::default(), Arc::default())
}

async fn started(config: &AgentConfig) -> Host {
    let host = host(config);
    host.restore(&config.definitions).await.unwrap();
    host
}

fn on_disk(dir: &Path) -> AgentConfig {
    AgentConfig { data_dir: Some(dir.to_owned()), ..config() }
}

fn service(name: &str) -> ServiceDefinition {
    ServiceDefinition { name: name.to_owned(), port: 80, ..ServiceDefinition::default() }
}

fn with_check(name: &str, kind: CheckKind) -> ServiceDefinition {
    let check = CheckDefinition { id: String::new(), ..check_definition("", kind) };
    ServiceDefinition { checks: vec![check], ..service(name) }
}

fn proxied(name: &str) -> ServiceDefinition {
    // A proxy that is accepted but not started.
    let proxy = ManagedProxy { exec_mode: "script".to_owned(), ..ManagedProxy::default() };
    ServiceDefinition { managed_proxy: Some(proxy), ..service(name) }
}

fn names(host: &Host) -> Vec<String> {
    host.services().iter().map(|shown| shown.service.id.to_string()).collect()
}

fn check_ids(host: &Host) -> Vec<String> {
    host.checks().iter().map(|check| check.check_id.to_string()).collect()
}

fn status(host: &Host, id: &str) -> Status {
    host.local.check(id).unwrap().check.status
}

fn text(result: Result<(), AgentError>) -> String {
    result.unwrap_err().to_string()
}

#[tokio::test]
async fn services_come_and_go_with_their_checks() {
    let host = started(&config()).await;
    let mut definition = with_check("web", ttl(MINUTE));
    definition.id = "web1".to_owned();
    host.register_service(&definition, false).await.unwrap();
    let check = &host.checks()[0];
    assert_eq!(&*check.check_id, "service:web1");
    assert_eq!(check.name, "Service 'web' check");
    assert_eq!((&*check.service_name, check.kind.as_str()), ("web", "ttl"));
    // Registered again with another check, the first one stays.
    definition.checks[0].id = "other".to_owned();
    definition.port = 81;
    host.register_service(&definition, false).await.unwrap();
    assert_eq!(check_ids(&host), ["other", "service:web1"]);
    assert_eq!(host.services()[0].service.port, 81);
    assert_eq!(text(host.deregister_service("").await), "ServiceID missing");
    host.deregister_service("nosuch").await.unwrap();
    host.deregister_service("web1").await.unwrap();
    assert!(host.services().is_empty() && host.checks().is_empty());
    assert_eq!(host.checks.counts(), (0, 0));
    host.shutdown().await;
}

#[tokio::test]
async fn checks_come_and_go() {
    let host = started(&config()).await;
    let mut check = check_definition("", ttl(MINUTE));
    check.name = String::new();
    assert_eq!(text(host.register_check(&check).await), "Missing check name");
    check.name = "c".to_owned();
    check.service_id = "nosuch".to_owned();
    assert_eq!(text(host.register_check(&check).await), "ServiceID \"nosuch\" does not exist");
    check.service_id = String::new();
    host.register_check(&check).await.unwrap();
    assert_eq!(check_ids(&host), ["c"]);
    assert_eq!(text(host.deregister_check("").await), "CheckID missing");
    host.deregister_check("nosuch").await.unwrap();
    host.deregister_check("c").await.unwrap();
    assert!(host.checks().is_empty());
    let script = check_definition("s", CheckKind::Script { args: vec!["true".to_owned()] });
    let script = CheckDefinition { interval: MINUTE, ..script };
    assert_eq!(text(host.register_check(&script).await), crate::validate::SCRIPTS_DISABLED);
    host.shutdown().await;
}

#[tokio::test]
async fn applications_report() {
    let host = started(&config()).await;
    host.register_check(&check_definition("c", ttl(MINUTE))).await.unwrap();
    host.report_check("c", Status::Passing, "fine").await.unwrap();
    assert_eq!(status(&host, "c"), Status::Passing);
    host.update_check("c", "warning", &"x".repeat(5000)).await.unwrap();
    let check = host.local.check("c").unwrap().check;
    assert_eq!(check.status, Status::Warning);
    assert!(check.output.ends_with("... (captured 4096 of 5000 bytes)"));
    host.report_check("c", Status::Passing, &"x".repeat(5000)).await.unwrap();
    assert_eq!(host.local.check("c").unwrap().check.output.len(), 5000);
    assert_eq!(text(host.update_check("c", "bogus", "").await), "Invalid check status: 'bogus'");
    assert_eq!(
        text(host.report_check("nosuch", Status::Passing, "").await),
        "CheckID \"nosuch\" does not have associated TTL"
    );
    host.shutdown().await;
}

#[tokio::test]
async fn maintenance_is_a_check() {
    let host = started(&config()).await;
    host.node_maintenance(true, "because").await.unwrap();
    host.node_maintenance(true, "again").await.unwrap();
    assert_eq!(host.checks()[0].notes, "because");
    assert_eq!(host.checks()[0].status, Status::Critical);
    host.node_maintenance(false, "").await.unwrap();
    host.node_maintenance(false, "").await.unwrap();
    assert!(host.checks().is_empty());
    assert_eq!(
        host.service_maintenance("nosuch", true, "").await,
        Err(AgentError::NotFound("No service registered with ID \"nosuch\"".to_owned()))
    );
    assert_eq!(text(host.service_maintenance("", true, "").await), "Missing service ID");
    host.register_service(&service("m"), false).await.unwrap();
    host.service_maintenance("m", true, "").await.unwrap();
    let check = &host.checks()[0];
    assert_eq!(&*check.check_id, "_service_maintenance:m");
    assert_eq!(
        check.notes,
        "Maintenance mode is enabled for this service, but no reason was provided. This is a \
         default message."
    );
    assert_eq!(&*check.service_name, "m");
    host.shutdown().await;
}

#[tokio::test]
async fn a_managed_proxy_lives_and_ends_with_its_service() {
    let mut config = config();
    config.proxy.allow_managed_api_registration = false;
    let closed = started(&config).await;
    assert_eq!(
        closed.register_service(&proxied("web"), false).await,
        Err(AgentError::refused(
            "Bad request: Managed proxy registration via the API is disallowed."
        ))
    );
    config.proxy.allow_managed_api_registration = true;
    let host = started(&config).await;
    host.register_service(&proxied("web"), false).await.unwrap();
    assert_eq!(names(&host), ["web", "web-proxy"]);
    assert_eq!(check_ids(&host), ["service:web-proxy"]);
    assert_eq!(host.services()[0].managed.as_ref().unwrap().exec_mode, "script");
    assert_eq!(
        text(host.deregister_service("web-proxy").await),
        "Bad request: Managed proxy service cannot be deregistered directly. Deregister the \
         service that has a managed proxy to automatically deregister the managed proxy itself."
    );
    assert!(host.register_service(&service("web-proxy"), false).await.is_err());
    // Without the proxy in its definition the service has none any more.
    host.register_service(&service("web"), false).await.unwrap();
    assert_eq!(names(&host), ["web"]);
    assert!(host.checks().is_empty());
    host.register_service(&proxied("web"), false).await.unwrap();
    host.deregister_service("web").await.unwrap();
    assert!(host.services().is_empty() && host.checks().is_empty());
    host.shutdown().await;
}

#[tokio::test]
async fn what_requests_registered_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = on_disk(dir.path());
    let host = started(&config).await;
    let mut definition = with_check("web", ttl(MINUTE));
    definition.token = "secret".to_owned();
    host.register_service(&definition, false).await.unwrap();
    host.register_service(&proxied("db"), false).await.unwrap();
    host.register_check(&check_definition("lone", ttl(MINUTE))).await.unwrap();
    host.report_check("lone", Status::Passing, "fine").await.unwrap();
    host.report_check("service:web", Status::Warning, "hot").await.unwrap();
    host.service_maintenance("web", true, "why").await.unwrap();
    let before: Vec<_> = host.services().iter().map(|shown| shown.service.clone()).collect();
    let proxy_token = host.proxies.reply("db-proxy", true).unwrap();
    host.shutdown().await;

    let host = started(&config).await;
    let after: Vec<_> = host.services().iter().map(|shown| shown.service.clone()).collect();
    assert_eq!(after, before, "ports of proxies included");
    assert_eq!(host.proxies.reply("db-proxy", true).unwrap(), proxy_token);
    assert_eq!(host.local.service("web").unwrap().token, "secret");
    assert_eq!(host.local.check("service:web").unwrap().token, "secret");
    assert_eq!(
        check_ids(&host),
        ["_service_maintenance:web", "lone", "service:db-proxy", "service:web"]
    );
    let lone = host.local.check("lone").unwrap().check;
    assert_eq!((lone.status, lone.output.as_str()), (Status::Passing, "fine"));
    assert_eq!(status(&host, "service:web"), Status::Warning);
    assert_eq!(host.local.check("_service_maintenance:web").unwrap().check.notes, "why");
    host.deregister_service("web").await.unwrap();
    host.deregister_service("db").await.unwrap();
    host.deregister_check("lone").await.unwrap();
    host.shutdown().await;

    let host = started(&config).await;
    assert!(host.services().is_empty() && host.checks().is_empty());
    host.shutdown().await;
    for folder in ["services", "checks/state", "proxies"] {
        assert_eq!(std::fs::read_dir(dir.path().join(folder)).unwrap().count(), 0, "{folder}");
    }
}

#[tokio::test]
async fn an_old_report_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let config = on_disk(dir.path());
    let host = started(&config).await;
    // Less than a second: it has run out when the agent is back.
    host.register_check(&check_definition("c", ttl(900_000_000))).await.unwrap();
    host.report_check("c", Status::Passing, "fine").await.unwrap();
    host.shutdown().await;
    let host = started(&config).await;
    assert_eq!(status(&host, "c"), Status::Critical);
    host.shutdown().await;
}

#[tokio::test]
async fn damage_and_lost_services_do_not_stop_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let config = on_disk(dir.path());
    let host = started(&config).await;
    host.register_service(&with_check("good", ttl(MINUTE)), false).await.unwrap();
    host.register_service(&with_check("bad", ttl(MINUTE)), false).await.unwrap();
    host.shutdown().await;
    let file = dir.path().join("services").join(crate::md5::hex(b"bad"));
    std::fs::write(&file, b"garbage").unwrap();
    let host = started(&config).await;
    assert_eq!(names(&host), ["good"]);
    assert_eq!(check_ids(&host), ["service:good"]);
    assert_eq!(std::fs::read(file.with_extension("corrupt")).unwrap(), b"garbage");
    host.shutdown().await;
}

#[tokio::test]
async fn files_win_over_what_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = on_disk(dir.path());
    let host = started(&config).await;
    host.register_service(&with_check("web", ttl(MINUTE)), false).await.unwrap();
    host.report_check("service:web", Status::Passing, "").await.unwrap();
    host.shutdown().await;
    let mut definition = with_check("web", ttl(MINUTE));
    definition.port = 99;
    config.definitions.services.push(definition);
    let host = started(&config).await;
    assert_eq!(host.services()[0].service.port, 99);
    assert_eq!(host.local.service("web").unwrap().origin, Origin::File);
    assert_eq!(status(&host, "service:web"), Status::Passing, "its last report still counts");
    host.shutdown().await;
    config.definitions = Definitions::default();
    let host = started(&config).await;
    assert!(host.services().is_empty(), "the copy was purged");
    host.shutdown().await;
}

#[tokio::test]
async fn a_definition_that_is_not_in_order_stops_the_start() {
    let mut config = config();
    let mut check = check_definition("c", CheckKind::Script { args: vec!["true".to_owned()] });
    check.interval = MINUTE;
    config.definitions.checks.push(check);
    let error = host(&config).restore(&config.definitions).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("Failed to register check 'c': {}", crate::validate::SCRIPTS_DISABLED)
    );
    config.definitions.checks.clear();
    config.definitions.services.push(ServiceDefinition { port: 0, ..proxied("web") });
    let error = host(&config).restore(&config.definitions).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Failed to register service \"web\": Services with a Connect managed proxy must have a \
         port set"
    );
    config.definitions.services.clear();
    let mut stray = check_definition("c", ttl(MINUTE));
    stray.service_id = "nosuch".to_owned();
    config.definitions.checks.push(stray);
    let error = host(&config).restore(&config.definitions).await.unwrap_err();
    assert!(error.to_string().ends_with("ServiceID \"nosuch\" does not exist"), "{error}");
}

#[tokio::test]
async fn a_reload_keeps_states_and_what_requests_registered() {
    let mut config = config();
    config.definitions.services = vec![with_check("a", ttl(MINUTE)), with_check("b", ttl(MINUTE))];
    config.definitions.checks = vec![check_definition("of-file", ttl(MINUTE))];
    let host = started(&config).await;
    host.register_service(&with_check("api", ttl(MINUTE)), false).await.unwrap();
    for check in ["service:a", "service:b", "service:api", "of-file"] {
        host.report_check(check, Status::Passing, "fine").await.unwrap();
    }
    let mut again = Reload::default();
    again.definitions.services = vec![with_check("a", ttl(2 * MINUTE)), service("c")];
    again.node_meta.insert("k".to_owned(), "v".to_owned());
    host.reload(&again).await.unwrap();
    assert_eq!(names(&host), ["a", "api", "c"]);
    assert_eq!(check_ids(&host), ["service:a", "service:api"]);
    for check in host.checks() {
        assert_eq!((check.status, check.output.as_str()), (Status::Passing, "fine"));
    }
    assert_eq!(host.local.node().meta["k"], "v");

    let mut broken = Reload::default();
    broken.definitions.services = vec![service("d"), service("")];
    let error = text(host.reload(&broken).await);
    assert_eq!(error, "Failed to register service \"\": Missing service name");
    assert_eq!(names(&host), ["a", "api", "c"], "nothing changed");
    host.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_does_not_give_silent_applications_more_time() {
    let mut config = config();
    config.definitions.services = vec![with_check("a", ttl(MINUTE))];
    let host = started(&config).await;
    host.report_check("service:a", Status::Passing, "").await.unwrap();
    let reload = Reload { definitions: config.definitions.clone(), ..Reload::default() };
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(13)).await;
        host.reload(&reload).await.unwrap();
    }
    assert_eq!(status(&host, "service:a"), Status::Critical);
    host.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn services_that_were_critical_for_too_long_are_removed() {
    let host = Arc::new(started(&config()).await);
    let mut definition = with_check("web", ttl(MINUTE));
    definition.checks[0].deregister_critical_service_after = MINUTE;
    host.register_service(&definition, false).await.unwrap();
    let tasks = TaskSet::new("reap");
    let reaped = Arc::clone(&host);
    tasks.spawn_cut("reap", async move { reaped.reap().await });
    host.report_check("service:web", Status::Passing, "").await.unwrap();
    tokio::time::sleep(Duration::from_secs(119)).await;
    assert_eq!(names(&host), ["web"]);
    tokio::time::sleep(Duration::from_secs(32)).await;
    assert!(names(&host).is_empty() && host.checks().is_empty());
    tasks.shutdown(Duration::from_secs(1)).await;
    host.shutdown().await;
}

#[tokio::test]
async fn when_nothing_can_be_kept_the_request_fails_and_nothing_changes() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("services"), b"not a folder").unwrap();
    let host = started(&on_disk(dir.path())).await;
    let error = text(host.register_service(&service("web"), false).await);
    assert!(error.starts_with("failed persisting a service"), "{error}");
    assert!(host.services().is_empty());
    host.shutdown().await;
}

#[tokio::test]
async fn a_proxy_of_a_request_is_not_brought_back_once_that_is_forbidden() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = on_disk(dir.path());
    let host = started(&config).await;
    host.register_service(&proxied("web"), false).await.unwrap();
    host.shutdown().await;
    config.proxy.allow_managed_api_registration = false;
    let host = started(&config).await;
    assert_eq!(names(&host), ["web"]);
    host.shutdown().await;
}

#[tokio::test]
async fn script_checks_run_when_allowed() {
    let mut config = config();
    config.enable_script_checks = true;
    let host = started(&config).await;
    let args = ["/bin/sh", "-c", "echo fine"].map(str::to_owned).to_vec();
    let check = check_definition("c", CheckKind::Script { args });
    host.register_check(&CheckDefinition { interval: 1_000_000, ..check }).await.unwrap();
    eventually("it passes", || status(&host, "c") == Status::Passing).await;
    assert_eq!(host.local.check("c").unwrap().check.output, "fine\n");
    host.shutdown().await;
}

fn with_sidecar(name: &str) -> ServiceDefinition {
    ServiceDefinition { sidecar: Some(Box::default()), ..service(name) }
}

#[tokio::test]
async fn sidecars_come_and_go_with_their_service() {
    let dir = tempfile::tempdir().unwrap();
    let config = on_disk(dir.path());
    let host = started(&config).await;
    host.register_service(&with_sidecar("web"), false).await.unwrap();
    host.register_service(&with_sidecar("api"), false).await.unwrap();
    assert_eq!(names(&host), ["api", "api-sidecar-proxy", "web", "web-sidecar-proxy"]);
    let port = |host: &Host, id: &str| host.service(id).unwrap().service.port;
    let first = *config.sidecar_ports.as_ref().unwrap().start();
    assert_eq!(port(&host, "web-sidecar-proxy"), first);
    assert_eq!(port(&host, "api-sidecar-proxy"), first + 1);
    assert_eq!(host.checks().len(), 4);
    host.shutdown().await;
    // Neither the port nor whose sidecar it is is forgotten.
    let host = started(&config).await;
    assert_eq!(port(&host, "api-sidecar-proxy"), first + 1);
    host.deregister_service("api").await.unwrap();
    assert_eq!(names(&host), ["web", "web-sidecar-proxy"]);
    host.register_service(&with_sidecar("db"), false).await.unwrap();
    assert_eq!(port(&host, "db-sidecar-proxy"), first + 1);
    // What was registered by itself stays, whatever it is called.
    host.register_service(&service("web-sidecar-proxy"), false).await.unwrap();
    host.deregister_service("web").await.unwrap();
    assert!(names(&host).contains(&"web-sidecar-proxy".to_owned()));
    host.shutdown().await;
}

#[tokio::test]
async fn a_sidecar_that_is_not_in_order_is_refused_with_its_service() {
    let mut narrow = config();
    narrow.sidecar_ports = Some(21000..=21000);
    let host = started(&narrow).await;
    let mut definition = with_sidecar("web");
    definition.sidecar.as_mut().unwrap().id = "mine".to_owned();
    assert!(text(host.register_service(&definition, false).await).contains("cannot specify an ID"));
    let mut definition = with_sidecar("web");
    definition.sidecar.as_mut().unwrap().sidecar = Some(Box::default());
    assert!(text(host.register_service(&definition, false).await).contains("nested"));
    host.register_service(&with_sidecar("one"), false).await.unwrap();
    host.register_service(&with_sidecar("one"), false).await.unwrap();
    let error = text(host.register_service(&with_sidecar("two"), false).await);
    assert!(error.contains("none left in the configured range [21000, 21000]"), "{error}");
    assert_eq!(names(&host), ["one", "one-sidecar-proxy"]);
    host.shutdown().await;
}

#[tokio::test]
async fn checks_can_be_replaced_as_a_whole() {
    let host = started(&config()).await;
    let mut definition = with_check("web", ttl(MINUTE));
    host.register_service(&definition, false).await.unwrap();
    host.register_check(&check_definition("node", ttl(MINUTE))).await.unwrap();
    definition.checks[0].id = "other".to_owned();
    host.register_service(&definition, true).await.unwrap();
    assert_eq!(check_ids(&host), ["node", "other"]);
    host.shutdown().await;
}

#[tokio::test]
async fn sidecars_of_files_follow_a_reload() {
    let mut config = config();
    config.definitions.services.push(with_sidecar("web"));
    let host = started(&config).await;
    let port = host.service("web-sidecar-proxy").unwrap().service.port;
    let mut definitions = config.definitions.clone();
    definitions.services.insert(0, with_sidecar("api"));
    let reload = Reload { definitions: definitions.clone(), ..Reload::default() };
    host.reload(&reload).await.unwrap();
    assert_eq!(host.service("web-sidecar-proxy").unwrap().service.port, port);
    assert_eq!(host.service("api-sidecar-proxy").unwrap().service.port, port + 1);
    definitions.services[1].sidecar = None;
    host.reload(&Reload { definitions, ..Reload::default() }).await.unwrap();
    assert_eq!(names(&host), ["api", "api-sidecar-proxy", "web"]);
    host.shutdown().await;
}
