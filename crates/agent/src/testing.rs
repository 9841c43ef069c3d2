//! Shared pieces of this crate's unit tests: definitions that need only what a test is about.
//!
//! Nothing here starts anything.

use std::time::Duration;

use lictor_types::definition::{CheckDefinition, CheckKind};

/// A check with an ID, a kind, and nothing else.
pub(crate) fn check_definition(id: &str, kind: CheckKind) -> CheckDefinition {
    CheckDefinition {
        id: id.to_owned(),
        name: id.to_owned(),
        notes: String::new(),
        service_id: String::new(),
        token: String::new(),
        status: None,
        kind,
        interval: 0,
        timeout: 0,
        deregister_critical_service_after: 0,
        success_before_passing: 0,
        failures_before_critical: 0,
    }
}

/// A TTL of so many nanoseconds.
pub(crate) fn ttl(nanoseconds: i64) -> CheckKind {
    CheckKind::Ttl { ttl: nanoseconds }
}

/// Polls `condition` until it holds.
///
/// # Panics
/// When it does not within ten seconds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "not within ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
