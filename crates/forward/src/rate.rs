//! How many calls an agent makes, so that one that went wild does not drown the servers.
//!
//! A bucket of tokens: a call takes one, and they come back at a rate. The limit is for client agents
//! (`limits.rpc_rate`, `limits.rpc_max_burst`); what a server sends on was limited where it came from.

use parking_lot::Mutex;
use tokio::time::Instant;

/// A bucket of tokens; any number of calls is allowed until a rate is set.
#[derive(Debug, Default)]
pub(crate) struct Rate(Mutex<Option<Bucket>>);

#[derive(Debug)]
struct Bucket {
    /// Tokens that come back in a second.
    rate: f64,
    /// Most tokens.
    burst: f64,
    tokens: f64,
    /// When `tokens` was right.
    at: Instant,
}

impl Rate {
    /// From now on so many calls in a second, and `burst` at once; a rate that is negative or no
    /// number allows any.
    pub(crate) fn set(&self, rate: f64, burst: u32) {
        let burst = f64::from(burst);
        let limited = rate >= 0.0 && rate.is_finite();
        *self.0.lock() = limited.then(|| Bucket { rate, burst, tokens: burst, at: Instant::now() });
    }

    /// Whether another call may be made now.
    pub(crate) fn allows(&self) -> bool {
        let mut bucket = self.0.lock();
        let Some(bucket) = &mut *bucket else { return true };
        let now = Instant::now();
        let back = (now - bucket.at).as_secs_f64() * bucket.rate;
        (bucket.tokens, bucket.at) = ((bucket.tokens + back).min(bucket.burst), now);
        let allowed = bucket.tokens >= 1.0;
        if allowed {
            bucket.tokens -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tokens_come_back_at_the_rate_up_to_the_burst() {
        let rate = Rate::default();
        assert!((0..10_000).all(|_| rate.allows()), "nothing is set");
        rate.set(2.0, 3);
        let taken = || (0..100).filter(|_| rate.allows()).count();
        assert_eq!(taken(), 3);
        tokio::time::advance(Duration::from_millis(1001)).await;
        assert_eq!(taken(), 2);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(taken(), 3);
        rate.set(0.0, 0);
        assert_eq!(taken(), 0);
        rate.set(-1.0, 0);
        assert_eq!(taken(), 100);
    }
}
