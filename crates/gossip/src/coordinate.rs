//! Network coordinates: from a few measured round trips, an estimate of any other.
//!
//! "Vivaldi: A Decentralized Network Coordinate System" (Dabek, Cox, Kaashoek, Morris), with heights,
//! and the refinements of "Network Coordinates in the Wild" (Ledlie, Gardner, Seltzer): a filter for
//! each peer, an adjustment, and gravity towards the origin. Constants are those that agents use.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::pack::{Malformed, Reader, Structure as _, Writer};

/// Dimensions of the space.
pub const DIMENSIONS: usize = 8;
const ERROR_MAX: f64 = 1.5;
const ERROR_WEIGHT: f64 = 0.25;
const FORCE_WEIGHT: f64 = 0.25;
const ADJUSTMENT_WINDOW: usize = 20;
const HEIGHT_MIN: f64 = 1e-5;
const FILTER_SIZE: usize = 3;
const GRAVITY: f64 = 150.0;
const ZERO: f64 = 1e-6;
const RTT_MAX: f64 = 10.0;
/// The version of coordinates in answers to probes.
const VERSION: u8 = 1;

/// A place in the network; all values are seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinate {
    /// In the space of distances between hosts' accesses.
    pub vec: [f64; DIMENSIONS],
    /// How far off estimates are, relative.
    pub error: f64,
    /// What estimates are corrected by.
    pub adjustment: f64,
    /// The way from the host to the network.
    pub height: f64,
}

impl Default for Coordinate {
    fn default() -> Self {
        Self { vec: [0.0; DIMENSIONS], error: ERROR_MAX, adjustment: 0.0, height: HEIGHT_MIN }
    }
}

impl Coordinate {
    /// The estimated round trip to another one.
    #[must_use]
    pub fn distance(&self, other: &Self) -> Duration {
        Duration::try_from_secs_f64(self.adjusted_distance(other)).unwrap_or_default()
    }

    fn adjusted_distance(&self, other: &Self) -> f64 {
        let raw = self.raw_distance(other);
        let adjusted = raw + self.adjustment + other.adjustment;
        if adjusted > 0.0 { adjusted } else { raw }
    }

    fn raw_distance(&self, other: &Self) -> f64 {
        magnitude(&difference(&self.vec, &other.vec)) + self.height + other.height
    }

    fn is_finite(&self) -> bool {
        let rest = [self.error, self.adjustment, self.height];
        self.vec.iter().chain(&rest).all(|value| value.is_finite())
    }

    /// Moved by `force` away from `other`; in any direction if they are at one place.
    fn pushed(&self, force: f64, other: &Self, rng: &mut fastrand::Rng) -> Self {
        let between = difference(&self.vec, &other.vec);
        let distance = magnitude(&between);
        let (unit, apart) = if distance > ZERO {
            (between.map(|value| value / distance), true)
        } else {
            let any: [f64; DIMENSIONS] = std::array::from_fn(|_| rng.f64() - 0.5);
            let length = magnitude(&any);
            if length > ZERO {
                (any.map(|value| value / length), false)
            } else {
                let mut first = [0.0; DIMENSIONS];
                first[0] = 1.0;
                (first, false)
            }
        };
        let mut moved = *self;
        for (value, direction) in moved.vec.iter_mut().zip(unit) {
            *value += direction * force;
        }
        if apart {
            let height = (self.height + other.height) * force / distance + self.height;
            moved.height = height.max(HEIGHT_MIN);
        }
        moved
    }

    /// As it goes along with an answer to a probe.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::message(VERSION);
        out.map(4).raw("Adjustment").float(self.adjustment).raw("Error").float(self.error);
        out.raw("Height").float(self.height).raw("Vec").array(DIMENSIONS);
        for value in self.vec {
            out.float(value);
        }
        out.into_bytes()
    }

    /// Reads what goes along with an answer.
    ///
    /// # Errors
    /// When it is no coordinate of this space.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let version = reader.byte()?;
        if version != VERSION {
            return Err(Malformed::Kind(version));
        }
        let mut this = Self::default();
        reader.structure(|key, r| {
            match key {
                b"Adjustment" => this.adjustment = r.float()?,
                b"Error" => this.error = r.float()?,
                b"Height" => this.height = r.float()?,
                b"Vec" => {
                    if r.array()? != DIMENSIONS {
                        return Err(Malformed::Range);
                    }
                    for value in &mut this.vec {
                        *value = r.float()?;
                    }
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        if this.is_finite() { Ok(this) } else { Err(Malformed::Range) }
    }
}

fn difference(a: &[f64; DIMENSIONS], b: &[f64; DIMENSIONS]) -> [f64; DIMENSIONS] {
    std::array::from_fn(|i| a[i] - b[i])
}

fn magnitude(vec: &[f64; DIMENSIONS]) -> f64 {
    vec.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// A node's own coordinate, and what it was found from.
#[derive(Clone, Debug)]
pub struct Vivaldi {
    coordinate: Coordinate,
    adjustments: [f64; ADJUSTMENT_WINDOW],
    next: usize,
    /// The last round trips to each peer.
    samples: HashMap<Arc<str>, Vec<f64>>,
}

impl Default for Vivaldi {
    fn default() -> Self {
        let (coordinate, adjustments) = (Coordinate::default(), [0.0; ADJUSTMENT_WINDOW]);
        Self { coordinate, adjustments, next: 0, samples: HashMap::new() }
    }
}

impl Vivaldi {
    /// Where the node is.
    #[must_use]
    pub const fn coordinate(&self) -> &Coordinate {
        &self.coordinate
    }

    /// Learns from a round trip to `peer`, which is at `other`. Times that cannot be are ignored.
    pub fn observe(
        &mut self,
        peer: &Arc<str>,
        other: &Coordinate,
        rtt: Duration,
        rng: &mut fastrand::Rng,
    ) {
        let rtt = rtt.as_secs_f64();
        if !other.is_finite() || rtt > RTT_MAX {
            return;
        }
        let rtt = self.filtered(peer, rtt).max(ZERO);
        let ours = self.coordinate;
        // The error: how wrong the estimate was, weighted by how sure both sides are.
        let wrongness = (ours.adjusted_distance(other) - rtt).abs() / rtt;
        let total = (ours.error + other.error).max(ZERO);
        let weight = ours.error / total;
        let error = ERROR_WEIGHT * weight * wrongness + ours.error * (1.0 - ERROR_WEIGHT * weight);
        let force = FORCE_WEIGHT * weight * (rtt - ours.adjusted_distance(other));
        let mut moved = ours.pushed(force, other, rng);
        moved.error = error.min(ERROR_MAX);
        // What is wrong on average is added to every estimate.
        self.adjustments[self.next] = rtt - moved.raw_distance(other);
        self.next = (self.next + 1) % ADJUSTMENT_WINDOW;
        let sum: f64 = self.adjustments.iter().sum();
        moved.adjustment = sum / (2.0 * ADJUSTMENT_WINDOW as f64);
        // Gravity, so that all of them do not drift away together.
        let origin = Coordinate::default();
        let out = origin.adjusted_distance(&moved);
        let moved = moved.pushed(-(out / GRAVITY).powi(2), &origin, rng);
        if moved.is_finite() {
            self.coordinate = moved;
        } else {
            *self = Self::default();
        }
    }

    /// The median of the last few round trips to a peer.
    fn filtered(&mut self, peer: &Arc<str>, rtt: f64) -> f64 {
        let samples = self.samples.entry(Arc::clone(peer)).or_default();
        samples.push(rtt);
        if samples.len() > FILTER_SIZE {
            samples.remove(0);
        }
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    /// Forgets a peer.
    pub fn forget(&mut self, peer: &str) {
        self.samples.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_come_close_to_what_is_measured() {
        let mut rng = fastrand::Rng::with_seed(3);
        // Hosts on a line, 10 ms from one to the next.
        let mut hosts: Vec<Vivaldi> = vec![Vivaldi::default(); 8];
        let names: Vec<Arc<str>> = (0..8).map(|n| n.to_string().into()).collect();
        let truth = |a: usize, b: usize| Duration::from_millis(10 * a.abs_diff(b) as u64);
        for _ in 0..2000 {
            let (a, b) = (rng.usize(..8), rng.usize(..8));
            if a != b {
                let other = *hosts[b].coordinate();
                hosts[a].observe(&names[b], &other, truth(a, b), &mut rng);
            }
        }
        for a in 0..8 {
            for b in 0..a {
                let estimate = hosts[a].coordinate().distance(hosts[b].coordinate());
                let off = estimate.as_secs_f64() / truth(a, b).as_secs_f64();
                assert!((0.7..1.4).contains(&off), "{a} to {b}: {estimate:?}");
            }
        }
    }

    #[test]
    fn nonsense_is_ignored() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut one = Vivaldi::default();
        let mut other = Coordinate::default();
        one.observe(&"a".into(), &other, Duration::from_secs(11), &mut rng);
        other.vec[3] = f64::NAN;
        one.observe(&"a".into(), &other, Duration::from_millis(1), &mut rng);
        assert_eq!(one.coordinate(), &Coordinate::default());
        other.vec[3] = 1e300;
        for _ in 0..100 {
            one.observe(&"a".into(), &other, Duration::from_millis(1), &mut rng);
        }
        assert!(one.coordinate().is_finite());
        assert!(Coordinate::decode(&other.encode()).is_ok());
        other.height = f64::INFINITY;
        assert_eq!(Coordinate::decode(&other.encode()), Err(Malformed::Range));
    }
}
