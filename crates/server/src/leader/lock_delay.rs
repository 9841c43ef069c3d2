//! Keys that cannot be locked for a while, since their holder lost them by force.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Longest delay; longer ones end then.
const LONGEST: Duration = Duration::from_secs(60);

/// The keys with the end of their delay. Ended ones go when others come.
#[derive(Debug, Default)]
pub(crate) struct LockDelays(Mutex<HashMap<Arc<str>, Instant>>);

impl LockDelays {
    /// Starts the delay of keys; lengths are in nanoseconds.
    pub(crate) fn add(&self, released: &[(Arc<str>, i64)]) {
        let now = Instant::now();
        let mut delays = self.0.lock();
        delays.retain(|_, end| *end > now);
        for (key, nanos) in released {
            let length = Duration::from_nanos(u64::try_from(*nanos).unwrap_or(0));
            delays.insert(Arc::clone(key), now + length.min(LONGEST));
        }
    }

    /// Whether a key is inside its delay.
    pub(crate) fn is_delayed(&self, key: &str) -> bool {
        self.0.lock().get(key).is_some_and(|end| *end > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_delay_ends() {
        let delays = LockDelays::default();
        delays.add(&[("a".into(), 15_000_000_000)]);
        assert!(delays.is_delayed("a") && !delays.is_delayed("b"));
        tokio::time::advance(Duration::from_secs(15)).await;
        assert!(!delays.is_delayed("a"));
        delays.add(&[("b".into(), 1)]);
        assert_eq!(delays.0.lock().len(), 1);
        delays.add(&[("c".into(), 999_000_000_000)]);
        tokio::time::advance(LONGEST).await;
        assert!(!delays.is_delayed("c"));
    }
}
