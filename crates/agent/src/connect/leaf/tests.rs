//! Tests of the parent module with an issuer in memory and a clock that is moved by hand.

use std::sync::atomic::AtomicU64;

use lictor_task::TaskSet;

use super::*;
use crate::testing::eventually;

const HOUR: Duration = Duration::from_secs(3600);
const LIFE: Duration = Duration::from_secs(72 * 3600);
const FIVE_MINUTES: Duration = Duration::from_secs(300);

#[derive(Debug, Default)]
struct Memory {
    issued: AtomicU64,
    down: AtomicBool,
    /// Issuing waits for a permit when there is a semaphore.
    gate: Option<tokio::sync::Semaphore>,
}

impl Issuer for Arc<Memory> {
    async fn issue(&self, service: &str, token: &str) -> Result<LeafCertificate, EndpointError> {
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        if self.down.load(Ordering::Relaxed) || token == "bad" {
            return Err(EndpointError::permission_denied());
        }
        let serial = self.issued.fetch_add(1, Ordering::Relaxed);
        let start = 4_000_000_000_000_000_000;
        Ok(LeafCertificate {
            serial_number: serial.to_string(),
            cert_pem: format!("{service} {token} {serial}"),
            private_key_pem: "secret".to_owned(),
            service: service.to_owned(),
            service_uri: String::new(),
            valid_after: Timestamp(start),
            valid_before: Timestamp(start + i64::try_from(LIFE.as_nanos()).unwrap()),
            create_index: 7,
            modify_index: 7,
        })
    }
}

struct Running {
    leaves: Arc<Leaves<Arc<Memory>>>,
    issuer: Arc<Memory>,
    _tasks: TaskSet,
}

fn start_with(limits: LeafLimits, issuer: Memory) -> Running {
    let issuer = Arc::new(issuer);
    let leaves = Arc::new(Leaves::new(Arc::clone(&issuer), limits));
    let tasks = TaskSet::new("leaves");
    let (renewed, token) = (Arc::clone(&leaves), tasks.token().clone());
    tasks.spawn("renew", async move { renewed.renew(token).await });
    Running { leaves, issuer, _tasks: tasks }
}

fn start() -> Running {
    start_with(LeafLimits::default(), Memory::default())
}

impl Running {
    async fn get(&self, service: &str, index: Index) -> Cached<Arc<LeafCertificate>> {
        self.leaves.get(service, "t", index, FIVE_MINUTES).await.unwrap()
    }

    fn issued(&self) -> u64 {
        self.issuer.issued.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_reader_gets_the_same_certificate() {
    let run = start();
    let first = run.get("web", 0).await;
    let second = run.get("web", 0).await;
    assert!(!first.hit && second.hit);
    assert_eq!(first.value, second.value);
    let token = run.leaves.get("web", "other", 0, FIVE_MINUTES).await.unwrap();
    assert!(!token.hit, "another token has a certificate of its own");
    assert!(!format!("{:?}", first.value).contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn readers_that_come_together_share_one_issue() {
    let gate = Some(tokio::sync::Semaphore::new(0));
    let run = start_with(LeafLimits::default(), Memory { gate, ..Memory::default() });
    let open = async { run.issuer.gate.as_ref().unwrap().add_permits(1) };
    let (a, b, c, ()) = tokio::join!(run.get("web", 0), run.get("web", 0), run.get("web", 5), open);
    assert_eq!(run.issued(), 1);
    assert!(a.value == b.value && b.value == c.value);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_and_leaves_nothing_behind() {
    let run = start();
    let error = run.leaves.get("web", "bad", 0, FIVE_MINUTES).await.unwrap_err();
    assert_eq!(error, EndpointError::permission_denied());
    assert_eq!(run.leaves.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn renewal_comes_well_before_the_end_and_wakes_waiters() {
    let run = start();
    let first = run.get("web", 0).await.value;
    let begin = Instant::now();
    let renewed = loop {
        let next = run.get("web", first.modify_index).await.value;
        if next != first {
            break next;
        }
        assert!(begin.elapsed() < LIFE, "never renewed");
    };
    let part = begin.elapsed().as_secs_f64() / LIFE.as_secs_f64();
    assert!((0.6..0.91).contains(&part), "renewed after {part} of its life");
    assert!(renewed.modify_index > first.modify_index);
    assert_eq!((run.issued(), renewed.create_index), (2, 7));
}

#[tokio::test(start_paused = true)]
async fn a_blocked_reader_returns_after_its_time_with_what_there_is() {
    let run = start();
    let first = run.get("web", 0).await.value;
    let begin = Instant::now();
    let same = run.get("web", first.modify_index).await;
    assert_eq!(begin.elapsed(), FIVE_MINUTES);
    assert!(same.hit);
    assert_eq!(same.value, first);
    // An index of an earlier life of the agent does not block on a certificate that is new.
    assert!(!run.get("db", 999).await.hit);
}

#[tokio::test(start_paused = true)]
async fn renewals_do_not_come_in_step() {
    let run = start();
    for n in 0..200 {
        run.get(&format!("s{n}"), 0).await;
    }
    tokio::time::sleep(LIFE.mul_f64(0.59)).await;
    assert_eq!(run.issued(), 200);
    tokio::time::sleep(LIFE.mul_f64(0.16)).await;
    let half = run.issued() - 200;
    assert!((60..140).contains(&half), "{half} of 200 after half of the window");
    tokio::time::sleep(LIFE.mul_f64(0.16)).await;
    assert_eq!(run.issued(), 400);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_roots_renews_a_few_at_once_and_many_spread() {
    let run = start();
    let first = run.get("web", 0).await.value;
    let begin = Instant::now();
    let waiting = run.get("web", first.modify_index);
    let change = async { run.leaves.roots_changed() };
    let (renewed, ()) = tokio::join!(waiting, change);
    assert_ne!(renewed.value, first);
    assert!(begin.elapsed() < Duration::from_millis(100));
    assert_eq!(run.issued(), 2);

    for n in 0..1000 {
        run.get(&format!("s{n}"), 0).await;
    }
    run.leaves.roots_changed();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let half = run.issued() - 1002;
    assert!((350..650).contains(&half), "{half} of 1001 after half of the time");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(run.issued(), 1002 + 1001, "each once");
    tokio::time::sleep(HOUR).await;
    assert_eq!(run.issued(), 1002 + 1001);
}

#[tokio::test(start_paused = true)]
async fn roots_that_change_during_an_issue_cause_another() {
    let gate = Some(tokio::sync::Semaphore::new(0));
    let run = start_with(LeafLimits::default(), Memory { gate, ..Memory::default() });
    let change = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        run.leaves.roots_changed();
        run.issuer.gate.as_ref().unwrap().add_permits(10);
    };
    tokio::join!(run.get("web", 0), change);
    eventually("issued again", || run.issued() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_is_tried_again_while_the_old_one_serves() {
    let run = start();
    let first = run.get("web", 0).await.value;
    run.issuer.down.store(true, Ordering::Relaxed);
    tokio::time::sleep(LIFE.mul_f64(0.95)).await;
    assert_eq!(run.get("web", 0).await.value, first);
    run.issuer.down.store(false, Ordering::Relaxed);
    tokio::time::sleep(2 * RETRY_MOST).await;
    assert_ne!(run.get("web", 0).await.value, first);
}

#[tokio::test(start_paused = true)]
async fn an_expired_certificate_is_never_given() {
    let run = start();
    let first = run.get("web", 0).await.value;
    run.issuer.down.store(true, Ordering::Relaxed);
    tokio::time::sleep(LIFE).await;
    assert!(run.leaves.get("web", "t", 0, FIVE_MINUTES).await.is_err());
    run.issuer.down.store(false, Ordering::Relaxed);
    let next = run.get("web", 0).await;
    assert_ne!(next.value, first);
    assert!(next.value.modify_index > first.modify_index);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_is_dropped() {
    let run = start();
    run.get("web", 0).await;
    tokio::time::sleep(HOUR * 24 * 8).await;
    assert_eq!(run.leaves.len(), 0);
    assert!(run.issued() <= 3);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_certificates_is_bounded_and_used_ones_stay() {
    let limits = LeafLimits { entries: 100, ..LeafLimits::default() };
    let run = start_with(limits, Memory::default());
    let waited = run.get("waited", 0).await.value;
    let blocked = run.get("waited", waited.modify_index);
    let flood = async {
        for n in 0..5000 {
            run.get(&format!("s{n}"), 0).await;
            assert!(run.get("busy", 0).await.value.service == "busy");
        }
        let count = run.leaves.len();
        let cache = run.leaves.cache.lock();
        (count, cache.due.len(), cache.order.len())
    };
    let (same, (count, due, order)) = tokio::join!(blocked, flood);
    assert!(count <= 164, "{count}");
    assert!(due <= 64 + 4 * 164 + 1 && order <= 64 + 2 * 164 + 1, "{due} {order}");
    assert_eq!(same.value, waited);
    assert!(run.get("busy", 0).await.hit);
}
