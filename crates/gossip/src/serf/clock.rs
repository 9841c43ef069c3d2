//! Logical time: grows with everything that is said and heard.
//!
//! "Time, Clocks, and the Ordering of Events in a Distributed System" (Lamport).

use crate::serf::message::LamportTime;

/// A clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock(LamportTime);

impl Clock {
    /// A clock that nothing happened at yet.
    pub(crate) const fn new() -> Self {
        Self(1)
    }

    pub(crate) const fn time(self) -> LamportTime {
        self.0
    }

    /// Moves on; gives the time before.
    pub(crate) const fn tick(&mut self) -> LamportTime {
        let now = self.0;
        self.0 = self.0.saturating_add(1);
        now
    }

    /// Notes a time that somebody else was at.
    pub(crate) const fn witness(&mut self, other: LamportTime) {
        if other >= self.0 {
            self.0 = other.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heard_is_in_the_past() {
        let mut clock = Clock::new();
        clock.witness(41);
        assert_eq!(clock.time(), 42);
        clock.witness(3);
        assert_eq!((clock.tick(), clock.time()), (42, 43));
        clock.witness(u64::MAX);
        clock.witness(u64::MAX);
        assert_eq!(clock.tick(), u64::MAX);
    }
}
