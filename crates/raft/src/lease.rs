//! Until when this server may answer as leader, and when it last heard of one.
//!
//! A leader that a quorum has confirmed at some time has a lease from then on: nobody of that
//! quorum helps another to become leader before it has ended. Reading it takes one atomic load,
//! and a look at the clock where there are other voters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// No lease; never heard.
const NONE: u64 = 0;
/// There is nobody else who could lead.
const ALWAYS: u64 = u64::MAX;

/// Times in nanoseconds after `base`.
#[derive(Debug)]
pub(crate) struct Lease {
    base: Instant,
    until: AtomicU64,
    contact: AtomicU64,
    /// The term whose lease was given up, plus one.
    given_up: AtomicU64,
}

impl Lease {
    pub(crate) fn new() -> Self {
        Self {
            base: Instant::now(),
            until: AtomicU64::new(NONE),
            contact: AtomicU64::new(NONE),
            given_up: AtomicU64::new(0),
        }
    }

    /// Whether this server leads, has caught up, and nobody else can lead yet.
    #[inline]
    pub(crate) fn valid(&self) -> bool {
        match self.until.load(Ordering::Acquire) {
            NONE => false,
            ALWAYS => true,
            until => self.at(Instant::now()) < until,
        }
    }

    /// Extends the lease; [`None`] is for ever. It does not come back once given up in this term.
    pub(crate) fn extend(&self, term: u64, until: Option<Instant>) {
        let until = until.map_or(ALWAYS, |until| self.at(until));
        self.until.store(until, Ordering::Release);
        // Given up in between: then it was for this.
        if self.is_given_up(term) {
            self.until.store(NONE, Ordering::Release);
        }
    }

    /// Ends the lease, as long as it is not extended.
    pub(crate) fn end(&self) {
        self.until.store(NONE, Ordering::Release);
    }

    /// Ends the lease for the rest of a term, since somebody else is being made leader.
    pub(crate) fn give_up(&self, term: u64) {
        self.given_up.fetch_max(term.saturating_add(1), Ordering::AcqRel);
        self.end();
    }

    pub(crate) fn is_given_up(&self, term: u64) -> bool {
        self.given_up.load(Ordering::Acquire) > term
    }

    /// Notes that the leader was heard of now.
    pub(crate) fn heard(&self) {
        self.contact.fetch_max(self.at(Instant::now()).max(1), Ordering::Relaxed);
    }

    /// Time since the leader was heard of.
    pub(crate) fn silence(&self) -> Option<Duration> {
        let contact = self.contact.load(Ordering::Relaxed);
        let now = self.at(Instant::now());
        (contact != NONE).then(|| Duration::from_nanos(now.saturating_sub(contact)))
    }

    fn at(&self, time: Instant) -> u64 {
        let passed = time.saturating_duration_since(self.base).as_nanos();
        u64::try_from(passed).unwrap_or(ALWAYS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_by_itself_and_stays_given_up() {
        let lease = Lease::new();
        assert!(!lease.valid());
        let second = Duration::from_secs(1);
        tokio::time::advance(second).await;
        lease.extend(3, Some(Instant::now() + second));
        assert!(lease.valid());
        tokio::time::advance(second).await;
        assert!(!lease.valid(), "it has ended");
        lease.extend(3, None);
        assert!(lease.valid());
        lease.give_up(3);
        assert!(!lease.valid());
        lease.extend(3, Some(Instant::now() + second));
        assert!(!lease.valid(), "it was given up in this term");
        lease.extend(4, Some(Instant::now() + second));
        assert!(lease.valid());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_since_the_last_contact() {
        let lease = Lease::new();
        assert_eq!(lease.silence(), None);
        lease.heard();
        tokio::time::advance(Duration::from_secs(2)).await;
        let silence = lease.silence().unwrap();
        assert!(silence >= Duration::from_millis(1999) && silence <= Duration::from_secs(2));
    }
}
