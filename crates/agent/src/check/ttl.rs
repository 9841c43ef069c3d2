//! Checks that the application reports itself: a timer that runs out when it is silent.
//!
//! Keeping the last report over a restart is [`crate::persist`]'s.

use std::time::Duration;

use lictor_types::check::Status;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::local::LocalState;

/// The timer of one check.
#[derive(Debug)]
pub(crate) struct Ttl {
    ttl: Duration,
    /// When it runs out.
    deadline: watch::Sender<Instant>,
}

impl Ttl {
    /// A timer that starts now.
    pub(super) fn new(ttl: Duration) -> Self {
        Self { ttl, deadline: watch::Sender::new(Instant::now() + ttl) }
    }

    /// The time that a report is good for.
    pub(crate) const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Starts the timer again.
    pub(crate) fn restart(&self) {
        self.deadline.send_replace(Instant::now() + self.ttl);
    }

    /// Starts the timer with what is left of an earlier report.
    pub(crate) fn resume(&self, left: Duration) {
        self.deadline.send_replace(Instant::now() + left.min(self.ttl));
    }

    /// Turns the check critical, once, each time the timer runs out.
    pub(super) async fn watch(&self, local: &LocalState, id: &str) {
        let mut deadline = self.deadline.subscribe();
        loop {
            let at = *deadline.borrow_and_update();
            tokio::select! {
                changed = deadline.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    continue;
                }
                () = tokio::time::sleep_until(at) => {}
            }
            expire(local, id);
            if deadline.changed().await.is_err() {
                return;
            }
        }
    }
}

fn expire(local: &LocalState, id: &str) {
    let Some(entry) = local.check(id) else { return };
    tracing::warn!(check = %id, "check missed its TTL, is now critical");
    let last = &entry.check.output;
    let output = if last.is_empty() || last.starts_with("TTL expired") {
        "TTL expired".to_owned()
    } else {
        format!("TTL expired (last output before timeout follows): {last}")
    };
    local.update_check(id, Status::Critical, output);
}
