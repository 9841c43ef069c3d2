//! What a node's gossip has done, for whoever counts it.
//!
//! Gossip counts for itself and knows nobody who wants to know: the driver takes the tally after
//! each step. If nobody takes it, it does not grow.

use std::time::Duration;

/// Values that wait to be taken; more are forgotten.
const SAMPLES_MAX: usize = 256;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// A node was believed to be there, or there again.
    Alive,
    /// A node was suspected.
    Suspect,
    /// A node was believed to be gone.
    Dead,
    /// A node was probed with patience, since this one is not well itself.
    PatientProbe,
    /// A node was given up although not as many confirmed that as should.
    Unconfirmed,
    /// A round of gossip.
    Round,
    /// A member that had just failed is back.
    Flap,
    /// A coordinate was not taken.
    BadCoordinate,
    /// A query that was not known.
    Query,
}

/// How many kinds there are.
const COUNTS: usize = 9;
const ALL: [Count; COUNTS] = [
    Count::Alive,
    Count::Suspect,
    Count::Dead,
    Count::PatientProbe,
    Count::Unconfirmed,
    Count::Round,
    Count::Flap,
    Count::BadCoordinate,
    Count::Query,
];

/// A value of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Milliseconds from a probe to its answer, or to its end without one.
    Probe,
    /// Bytes of a message of the event layer that came.
    Received,
    /// Bytes of one that was sent.
    Sent,
    /// Milliseconds by which a probe moved this node's coordinate.
    Moved,
}

/// What was counted since it was last taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    counts: [u32; COUNTS],
    samples: Vec<(Sample, f64)>,
}

impl Tally {
    pub(crate) const fn count(&mut self, what: Count) {
        let count = &mut self.counts[what as usize];
        *count = count.saturating_add(1);
    }

    pub(crate) fn sample(&mut self, what: Sample, value: f64) {
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push((what, value));
        }
    }

    pub(crate) fn time(&mut self, what: Sample, time: Duration) {
        self.sample(what, time.as_secs_f64() * 1000.0);
    }

    /// Gives what there is and begins anew.
    pub(crate) fn take(
        &mut self,
        mut count: impl FnMut(Count, u32),
        mut sample: impl FnMut(Sample, f64),
    ) {
        for (what, counted) in ALL.into_iter().zip(&mut self.counts) {
            if *counted > 0 {
                count(what, std::mem::take(counted));
            }
        }
        self.samples.drain(..).for_each(|(what, value)| sample(what, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_taken_once_and_does_not_grow() {
        let mut tally = Tally::default();
        for what in ALL {
            tally.count(what);
        }
        tally.count(Count::Dead);
        for _ in 0..SAMPLES_MAX + 10 {
            tally.time(Sample::Probe, Duration::from_millis(2));
        }
        let (mut counts, mut samples) = (Vec::new(), Vec::new());
        tally.take(|what, n| counts.push((what, n)), |what, value| samples.push((what, value)));
        let expected = ALL.map(|what| (what, 1 + u32::from(what == Count::Dead)));
        assert_eq!(counts, expected);
        assert_eq!(samples, [(Sample::Probe, 2.0); SAMPLES_MAX]);
        tally.take(|what, _| panic!("{what:?}"), |what, _| panic!("{what:?}"));
    }
}
