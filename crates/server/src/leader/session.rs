//! The time of sessions: twice what they asked for, from the last sign of life on.
//!
//! Times are the leader's own: another leader starts them all afresh.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use lictor_state::View;
use lictor_types::duration;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Running times.
#[derive(Debug, Default)]
pub(crate) struct SessionTimers {
    timers: Mutex<Timers>,
    /// The next end may have come nearer.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Timers {
    ends: HashMap<Arc<str>, Instant>,
    queue: BTreeSet<(Instant, Arc<str>)>,
}

impl Timers {
    fn set(&mut self, id: Arc<str>, end: Instant) {
        self.remove(&id);
        self.ends.insert(Arc::clone(&id), end);
        self.queue.insert((end, id));
    }

    fn remove(&mut self, id: &str) {
        if let Some((id, end)) = self.ends.remove_entry(id) {
            self.queue.remove(&(end, id));
        }
    }
}

impl SessionTimers {
    /// Starts or restarts a session's time.
    pub(crate) fn start(&self, id: Arc<str>, ttl: Duration) {
        self.timers.lock().set(id, Instant::now() + ttl * 2);
        self.changed.notify_one();
    }

    /// Comes back to a session after a pause.
    pub(crate) fn retry(&self, id: Arc<str>, pause: Duration) {
        self.timers.lock().set(id, Instant::now() + pause);
        self.changed.notify_one();
    }

    /// Forgets a session.
    pub(crate) fn stop(&self, id: &str) {
        self.timers.lock().remove(id);
    }

    /// How many run.
    pub(crate) fn running(&self) -> usize {
        self.timers.lock().ends.len()
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        *self.timers.lock() = Timers::default();
    }

    /// Starts the times of all sessions that there are.
    pub(crate) fn restart(&self, view: &View) {
        let now = Instant::now();
        let mut timers = Timers::default();
        for session in view.sessions().1 {
            let nanos = duration::parse(&session.ttl).unwrap_or(0);
            let ttl = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
            if !ttl.is_zero() {
                timers.set(Arc::clone(&session.id), now + ttl * 2);
            }
        }
        *self.timers.lock() = timers;
        self.changed.notify_one();
    }

    /// Waits for the next session whose time is over, and forgets its time.
    pub(crate) async fn next_expired(&self) -> Arc<str> {
        loop {
            let first = {
                let mut timers = self.timers.lock();
                let first = timers.queue.first().cloned();
                if let Some((end, id)) = &first
                    && *end <= Instant::now()
                {
                    timers.remove(id);
                    return Arc::clone(id);
                }
                first
            };
            match first {
                Some((end, _)) => tokio::select! {
                    () = sleep_until(end) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sessions_end_in_order_and_renewed_ones_later() {
        let timers = SessionTimers::default();
        let start = Instant::now();
        timers.start("a".into(), Duration::from_secs(10));
        timers.start("b".into(), Duration::from_secs(11));
        timers.start("gone".into(), Duration::from_secs(1));
        timers.stop("gone");
        tokio::time::advance(Duration::from_secs(15)).await;
        timers.start("a".into(), Duration::from_secs(10));
        assert_eq!(&*timers.next_expired().await, "b");
        assert_eq!(start.elapsed().as_secs(), 22);
        assert_eq!(&*timers.next_expired().await, "a");
        assert_eq!(start.elapsed().as_secs(), 35);
    }
}
