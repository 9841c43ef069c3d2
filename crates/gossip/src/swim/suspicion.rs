//! How long a node may be suspected: the more others suspect it too, the shorter.
//!
//! From "Lifeguard: Local Health Awareness for More Accurate Failure Detection" (Dadgar, Phillips,
//! Currey): a lone accuser waits long, since it may be the one that is slow.

use std::sync::Arc;
use std::time::Duration;

/// A suspicion about a node.
#[derive(Clone, Debug)]
pub(crate) struct Suspicion {
    start: Duration,
    min: Duration,
    max: Duration,
    /// Confirmations that shorten the time.
    wanted: usize,
    /// Who has accused, the first one too.
    accusers: Vec<Arc<str>>,
}

impl Suspicion {
    /// A suspicion that starts `now`; `wanted` others may shorten `max` to `min`.
    pub(crate) fn new(
        now: Duration,
        accuser: Arc<str>,
        wanted: usize,
        min: Duration,
        max: Duration,
    ) -> Self {
        Self { start: now, min, max, wanted, accusers: vec![accuser] }
    }

    /// Notes an accuser; says whether it is a new one that counts.
    pub(crate) fn confirm(&mut self, accuser: &str) -> bool {
        let new = self.accusers.len() <= self.wanted
            && !self.accusers.iter().any(|known| &**known == accuser);
        if new {
            self.accusers.push(accuser.into());
        }
        new
    }

    /// When the node is given up.
    pub(crate) fn deadline(&self) -> Duration {
        if self.wanted == 0 {
            return self.start + self.min;
        }
        let confirmed = self.accusers.len().saturating_sub(1) as f64;
        let fraction = confirmed.ln_1p() / (self.wanted as f64).ln_1p();
        let shorter = (self.max.saturating_sub(self.min)).mul_f64(fraction.clamp(0.0, 1.0));
        self.start + self.max.saturating_sub(shorter).max(self.min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_new_accuser_shortens_it_until_there_are_enough() {
        let second = Duration::from_secs;
        let mut one = Suspicion::new(second(10), "a".into(), 2, second(4), second(24));
        assert_eq!(one.deadline(), second(34));
        assert!(!one.confirm("a"));
        assert!(one.confirm("b"));
        // 24 - 20 · ln 2 / ln 3
        assert_eq!(one.deadline().as_millis(), 21_381);
        assert!(one.confirm("c"));
        assert_eq!(one.deadline(), second(14));
        assert!(!one.confirm("d"));
        let alone = Suspicion::new(second(10), "a".into(), 0, second(4), second(24));
        assert_eq!(alone.deadline(), second(14));
    }
}
