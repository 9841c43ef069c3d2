//! Tests of the parent module against a catalog in memory.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use lictor_task::TaskSet;
use lictor_types::catalog::{Node, Service};
use lictor_types::check::{HealthCheck, Status};
use parking_lot::Mutex;

use super::*;
use crate::local::{CheckEntry, NodeFacts, Origin};
use crate::testing::{check_definition, eventually, ttl};

/// A catalog with one node.
#[derive(Debug, Default)]
struct Memory {
    rows: Mutex<Rows>,
    down: AtomicBool,
    denied: Mutex<Vec<String>>,
}

#[derive(Debug, Default)]
struct Rows {
    node: Option<Node>,
    services: BTreeMap<Arc<str>, Service>,
    checks: BTreeMap<Arc<str>, HealthCheck>,
    registers: usize,
    tokens: Vec<String>,
}

impl Memory {
    fn allowed(&self, token: &str) -> Result<(), EndpointError> {
        if self.down.load(Ordering::Relaxed) {
            return Err(EndpointError::no_leader());
        }
        if self.denied.lock().iter().any(|denied| denied == token) {
            return Err(EndpointError::permission_denied());
        }
        Ok(())
    }
}

impl Catalog for Arc<Memory> {
    async fn node(&self, token: &str, _: &str) -> Result<Remote, EndpointError> {
        self.allowed(token)?;
        let rows = self.rows.lock();
        Ok(Remote {
            node: rows.node.clone().map(Arc::new),
            services: rows.services.values().cloned().map(Arc::new).collect(),
            checks: rows.checks.values().cloned().map(Arc::new).collect(),
        })
    }

    async fn register(&self, token: &str, request: RegisterRequest) -> Result<(), EndpointError> {
        self.allowed(token)?;
        let mut rows = self.rows.lock();
        rows.registers += 1;
        rows.tokens.push(token.to_owned());
        if !request.skip_node_update || rows.node.is_none() {
            rows.node = Some(Node {
                id: request.id,
                name: request.node,
                address: request.address,
                meta: request.node_meta,
                ..Node::default()
            });
        }
        if let Some(service) = request.service {
            rows.services.insert(Arc::clone(&service.id), service);
        }
        for check in request.checks {
            rows.checks.insert(Arc::clone(&check.check_id), check);
        }
        Ok(())
    }

    async fn deregister(
        &self,
        token: &str,
        request: DeregisterRequest,
    ) -> Result<(), EndpointError> {
        self.allowed(token)?;
        let mut rows = self.rows.lock();
        if request.service_id.is_empty() {
            rows.checks.remove(&request.check_id);
        } else {
            rows.services.remove(&request.service_id);
            rows.checks.retain(|_, check| check.service_id != request.service_id);
        }
        Ok(())
    }
}

struct Running {
    local: Arc<LocalState>,
    catalog: Arc<Memory>,
    pauses: Arc<Pauses>,
    tasks: TaskSet,
}

fn start(update_interval: Duration, timing: SyncTiming) -> Running {
    let own = crate::testing::tokens();
    let node = NodeFacts { id: "id".to_owned(), name: "n".into(), ..NodeFacts::default() };
    let local = Arc::new(LocalState::new(node, Arc::clone(&own), update_interval, false));
    let catalog = Arc::new(Memory::default());
    let pauses = Arc::new(Pauses::default());
    let syncer = Syncer::new(
        Arc::clone(&local),
        Arc::clone(&catalog),
        Arc::clone(&own),
        timing,
        Arc::clone(&pauses),
        Arc::default(),
    );
    let tasks = TaskSet::new("sync");
    let token = tasks.token().clone();
    tasks.spawn("sync", async move { syncer.run(token).await });
    Running { local, catalog, pauses, tasks }
}

impl Running {
    fn service(&self, id: &str, token: &str) {
        let service = Service { id: id.into(), name: id.into(), ..Service::default() };
        self.local.set_service(service, token.to_owned(), Origin::Api);
    }

    fn check(&self, id: &str, service: &str) {
        let mut definition = check_definition(id, ttl(1));
        service.clone_into(&mut definition.service_id);
        assert!(self.local.set_check(CheckEntry::defined(&definition, Origin::Api)));
    }

    async fn check_in_catalog(&self, id: &str, status: Status, output: &str) {
        eventually("the catalog has the check", || {
            let rows = self.catalog.rows.lock();
            rows.checks.get(id).is_some_and(|c| c.status == status && c.output == output)
        })
        .await;
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn services_and_checks_appear_and_vanish() {
    let run = start(MINUTE, SyncTiming::default());
    run.service("web", "own");
    run.check("c1", "web");
    run.check("lone", "");
    run.check_in_catalog("lone", Status::Critical, "").await;
    {
        let rows = run.catalog.rows.lock();
        assert_eq!(rows.node.as_ref().unwrap().id, "id");
        assert_eq!(&*rows.checks["c1"].service_name, "web");
        assert!(rows.tokens.contains(&"own".to_owned()));
        assert!(rows.tokens.contains(&"default".to_owned()));
    }
    assert_eq!(run.local.remove_service("web"), Some(vec!["c1".into()]));
    assert!(run.local.remove_check("lone"));
    eventually("everything is gone", || {
        let rows = run.catalog.rows.lock();
        rows.services.is_empty() && rows.checks.is_empty()
    })
    .await;
    assert_eq!(run.tasks.shutdown(MINUTE).await.aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn what_others_change_is_repaired_by_the_next_comparison() {
    let run = start(MINUTE, SyncTiming::default());
    run.service("web", "");
    run.check("c1", "web");
    run.check_in_catalog("c1", Status::Critical, "").await;
    {
        let mut rows = run.catalog.rows.lock();
        rows.services.get_mut("web").unwrap().port = 9;
        rows.checks.get_mut("c1").unwrap().status = Status::Passing;
        for id in ["stray", "consul"] {
            let service = Service { id: id.into(), name: id.into(), ..Service::default() };
            rows.services.insert(id.into(), service);
        }
        for (id, service) in [("serfHealth", ""), ("stray-check", "stray"), ("other", "")] {
            let check = HealthCheck {
                check_id: id.into(),
                service_id: service.into(),
                ..HealthCheck::default()
            };
            rows.checks.insert(id.into(), check);
        }
    }
    tokio::time::sleep(2 * MINUTE + Duration::from_secs(1)).await;
    let rows = run.catalog.rows.lock();
    let services: Vec<_> = rows.services.keys().map(|id| &**id).collect();
    assert_eq!(services, ["consul", "web"]);
    let checks: Vec<_> = rows.checks.keys().map(|id| &**id).collect();
    assert_eq!(checks, ["c1", "serfHealth"]);
    assert_eq!(rows.services["web"].port, 0);
    assert_eq!(rows.checks["c1"].status, Status::Critical);
}

#[tokio::test(start_paused = true)]
async fn tags_of_others_are_taken_over_where_allowed() {
    let run = start(MINUTE, SyncTiming::default());
    let service = Service {
        id: "web".into(),
        name: "web".into(),
        enable_tag_override: true,
        tags: vec!["ours".to_owned()],
        ..Service::default()
    };
    run.local.set_service(service, String::new(), Origin::Api);
    run.check("c1", "web");
    run.check_in_catalog("c1", Status::Critical, "").await;
    run.catalog.rows.lock().services.get_mut("web").unwrap().tags = vec!["theirs".to_owned()];
    tokio::time::sleep(2 * MINUTE + Duration::from_secs(1)).await;
    assert_eq!(run.local.services()[0].tags, ["theirs"]);
    assert_eq!(run.local.checks()[0].service_tags, ["theirs"]);
    assert_eq!(run.catalog.rows.lock().services["web"].tags, ["theirs"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_status_is_pushed_at_once_and_a_new_output_later() {
    let run = start(5 * MINUTE, SyncTiming { full: 60 * MINUTE, ..SyncTiming::default() });
    run.check("c", "");
    run.check_in_catalog("c", Status::Critical, "").await;
    let start = Instant::now();
    run.local.update_check("c", Status::Passing, "one".to_owned());
    run.check_in_catalog("c", Status::Passing, "one").await;
    assert!(start.elapsed() < Duration::from_secs(1));
    run.local.update_check("c", Status::Passing, "two".to_owned());
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(run.catalog.rows.lock().checks["c"].output, "one");
    tokio::time::sleep(6 * MINUTE).await;
    assert_eq!(run.catalog.rows.lock().checks["c"].output, "two");
    // A status takes a waiting output with it, and the same result again is no write.
    run.local.update_check("c", Status::Passing, "three".to_owned());
    run.local.update_check("c", Status::Warning, "four".to_owned());
    run.check_in_catalog("c", Status::Warning, "four").await;
    let writes = run.catalog.rows.lock().registers;
    run.local.update_check("c", Status::Warning, "four".to_owned());
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(run.catalog.rows.lock().registers, writes);
}

#[tokio::test(start_paused = true)]
async fn outputs_need_no_wait_with_a_zero_interval() {
    let run = start(Duration::ZERO, SyncTiming::default());
    run.check("c", "");
    run.local.update_check("c", Status::Critical, "new".to_owned());
    let start = Instant::now();
    run.check_in_catalog("c", Status::Critical, "new").await;
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_ridden_out() {
    let run = start(MINUTE, SyncTiming::default());
    run.service("a", "");
    eventually("a is there", || run.catalog.rows.lock().services.contains_key("a")).await;
    run.catalog.down.store(true, Ordering::Relaxed);
    run.service("b", "");
    tokio::time::sleep(MINUTE).await;
    assert!(!run.catalog.rows.lock().services.contains_key("b"));
    run.catalog.down.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(run.catalog.rows.lock().services.contains_key("b"));
}

#[tokio::test(start_paused = true)]
async fn before_the_catalog_was_ever_reached_it_is_asked_often() {
    let run = start(MINUTE, SyncTiming::default());
    run.catalog.down.store(true, Ordering::Relaxed);
    run.service("a", "");
    tokio::time::sleep(Duration::from_millis(300)).await;
    run.catalog.down.store(false, Ordering::Relaxed);
    let start = Instant::now();
    eventually("a is there", || run.catalog.rows.lock().services.contains_key("a")).await;
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_denied_service_does_not_hold_up_the_others() {
    let run = start(MINUTE, SyncTiming::default());
    run.catalog.denied.lock().push("bad".to_owned());
    run.service("a", "bad");
    run.service("b", "good");
    eventually("b is there", || run.catalog.rows.lock().services.contains_key("b")).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(run.local.pending("agent").is_empty(), "not tried again and again");
    run.catalog.denied.lock().clear();
    tokio::time::sleep(2 * MINUTE + Duration::from_secs(1)).await;
    assert!(run.catalog.rows.lock().services.contains_key("a"));
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_pushes_back() {
    let run = start(MINUTE, SyncTiming::default());
    eventually("the node is there", || run.catalog.rows.lock().node.is_some()).await;
    let pause = run.pauses.pause();
    let second = run.pauses.pause();
    run.service("a", "");
    tokio::time::sleep(3 * MINUTE).await;
    drop(second);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(run.catalog.rows.lock().services.is_empty());
    drop(pause);
    eventually("a is there", || run.catalog.rows.lock().services.contains_key("a")).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_nodes_metadata_is_pushed() {
    let run = start(MINUTE, SyncTiming::default());
    eventually("the node is there", || run.catalog.rows.lock().node.is_some()).await;
    run.local.set_node_meta(BTreeMap::from([("k".to_owned(), "v".to_owned())]));
    eventually("the metadata is there", || {
        run.catalog.rows.lock().node.as_ref().is_some_and(|node| node.meta.contains_key("k"))
    })
    .await;
}
