//! How long a node may be suspected: the more others suspect it too, the shorter.
//!
//! From "Lifeguard: Local Health Awareness for More Accurate Failure Detection" (Dadgar, Phillips,
//! Currey): a lone accuser waits long, since it may be the one that is slow. A step further, those
//! who hear of a suspicion find out for themselves ([`super::probe`]): with [`ENOUGH`] of them the
//! time is that of a small cluster, however large this one is.

use std::sync::Arc;
use std::time::Duration;

/// Confirmations by which nothing but the node itself can be the cause: each is of a node that
/// asked it, had others ask it, and tried a stream.
pub(crate) const ENOUGH: usize = 4;

/// A suspicion about a node.
#[derive(Clone, Debug)]
pub(crate) struct Suspicion {
    start: Duration,
    /// With enough confirmations; with those that the original wants; with none.
    floor: Duration,
    min: Duration,
    max: Duration,
    /// Confirmations that shorten the time to `min`.
    wanted: usize,
    /// Who has accused, the first one too.
    accusers: Vec<Arc<str>>,
    /// Whether the node has answered this one meanwhile.
    answered: bool,
}

impl Suspicion {
    /// A suspicion that starts `now`; `wanted` others may shorten the longest of the times to the
    /// second, and [`ENOUGH`] to the first.
    pub(crate) fn new(
        now: Duration,
        accuser: Arc<str>,
        wanted: usize,
        [floor, min, max]: [Duration; 3],
    ) -> Self {
        Self { start: now, floor, min, max, wanted, accusers: vec![accuser], answered: false }
    }

    /// Notes an accuser; says whether it is a new one that counts.
    pub(crate) fn confirm(&mut self, accuser: &str) -> bool {
        let new = self.accusers.len() <= self.wanted.max(ENOUGH)
            && !self.accusers.iter().any(|known| &**known == accuser);
        if new {
            self.accusers.push(accuser.into());
        }
        new
    }

    /// Notes that the node answers: it will say so to all.
    pub(crate) const fn answers(&mut self) {
        self.answered = true;
    }

    /// Notes time that does not count.
    pub(crate) fn delay(&mut self, by: Duration) {
        self.start += by;
    }

    /// Whether fewer confirmed it than the original wants.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        self.accusers.len().saturating_sub(1) < self.wanted
    }

    /// When the node is given up; `quick` where enough confirmations may count as such.
    pub(crate) fn deadline(&self, quick: bool) -> Duration {
        if self.wanted == 0 {
            return self.start + self.min;
        }
        let confirmed = self.accusers.len().saturating_sub(1);
        if quick && !self.answered && confirmed >= ENOUGH {
            return self.start + self.floor.min(self.min);
        }
        let fraction = (confirmed as f64).ln_1p() / (self.wanted as f64).ln_1p();
        let shorter = (self.max.saturating_sub(self.min)).mul_f64(fraction.clamp(0.0, 1.0));
        self.start + self.max.saturating_sub(shorter).max(self.min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    const TIMES: [Duration; 3] = [second(4), second(16), second(96)];

    #[test]
    fn each_new_accuser_shortens_it_until_there_are_enough() {
        let times = [second(4), second(4), second(24)];
        let mut one = Suspicion::new(second(10), "a".into(), 2, times);
        assert_eq!(one.deadline(true), second(34));
        assert!(!one.confirm("a"));
        assert!(one.confirm("b"));
        // 24 - 20 · ln 2 / ln 3
        assert_eq!(one.deadline(true).as_millis(), 21_381);
        assert!(one.confirm("c"));
        assert_eq!(one.deadline(true), second(14));
        let alone = Suspicion::new(second(10), "a".into(), 0, times);
        assert_eq!(alone.deadline(true), second(14));
    }

    #[test]
    fn many_witnesses_make_it_as_short_as_in_a_small_cluster() {
        let mut one = Suspicion::new(second(10), "a".into(), 2, TIMES);
        for accuser in ["b", "c", "d"] {
            assert!(one.confirm(accuser));
            assert!(one.deadline(true) >= second(26));
        }
        assert!(one.confirm("e") && !one.confirm("f"));
        assert_eq!(one.deadline(true), second(14));
        assert_eq!(one.deadline(false), second(26), "not to one that may be wrong itself");
        one.delay(second(3));
        assert_eq!(one.deadline(true), second(17));
        one.answers();
        assert_eq!(one.deadline(true), second(29), "it is there, at least sometimes");
    }
}
