//! A histogram with the interface that openraft keeps its statistics behind.
//!
//! The crate of this name computes 26 MiB of tables at its first use, for resolutions that nobody
//! asks for: more than everything else in an idle agent. Here a bucket is found by shifting. Only
//! what openraft calls is here; charts are not drawn.
#![forbid(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;

/// Bits of a value that tell buckets apart: bounds are exact to a quarter.
const BITS: u32 = 3;
/// Buckets of one power of two.
const GROUP: usize = 1 << (BITS - 1);
/// Buckets for all values.
const BUCKETS: usize = GROUP * (64 - BITS as usize + 2);

/// Counts of values in buckets of growing width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    counts: Vec<u64>,
    of: PhantomData<T>,
}

/// Distribution of what was recorded; each value is the lower bound of its bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PercentileStats {
    /// Number of values.
    pub samples: u64,
    /// 0.1 % are below.
    pub p0_1: u64,
    /// 1 % are below.
    pub p1: u64,
    /// 5 % are below.
    pub p5: u64,
    /// 10 % are below.
    pub p10: u64,
    /// The median.
    pub p50: u64,
    /// 90 % are below.
    pub p90: u64,
    /// 99 % are below.
    pub p99: u64,
    /// 99.9 % are below.
    pub p99_9: u64,
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Histogram<T> {
    /// One without values.
    #[must_use]
    pub const fn new() -> Self {
        Self { counts: Vec::new(), of: PhantomData }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a value several times.
    pub fn record_n(&mut self, value: u64, times: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        if let Some(count) = self.counts.get_mut(bucket(value)) {
            *count += times;
        }
    }

    /// Number of values.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The lower bound of the bucket below which a share of `p` (0 to 1) of all values lies.
    #[must_use]
    pub fn percentile(&self, p: f64) -> u64 {
        let wanted = (self.total() as f64 * p).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return bound(at);
            }
        }
        0
    }

    /// The usual percentiles.
    #[must_use]
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.total(),
            p0_1: self.percentile(0.001),
            p1: self.percentile(0.01),
            p5: self.percentile(0.05),
            p10: self.percentile(0.1),
            p50: self.percentile(0.5),
            p90: self.percentile(0.9),
            p99: self.percentile(0.99),
            p99_9: self.percentile(0.999),
        }
    }
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, p10, p50, p90, p99, .. } = self;
        write!(f, "[samples: {samples}, P10: {p10}, P50: {p50}, P90: {p90}, P99: {p99}]")
    }
}

/// Histograms by name; shown as one line each.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart<T = ()> {
    series: Vec<(String, Histogram<T>)>,
}

impl<T> AsciiChart<T> {
    /// One without histograms.
    #[must_use]
    pub const fn new() -> Self {
        Self { series: Vec::new() }
    }

    /// Adds a histogram.
    #[must_use]
    pub fn add(mut self, name: &str, histogram: Histogram<T>) -> Self {
        self.series.push((name.to_owned(), histogram));
        self
    }
}

impl<T> fmt::Display for AsciiChart<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.series.iter();
        lines.try_for_each(|(name, one)| writeln!(f, "{name}: {}", one.percentile_stats()))
    }
}

/// Which bucket a value is in.
fn bucket(value: u64) -> usize {
    let group = (u64::BITS - value.leading_zeros()).saturating_sub(BITS);
    // What is left is the leading bits, at most twice a group.
    group as usize * GROUP + (value >> group) as usize
}

/// The least value of a bucket.
fn bound(bucket: usize) -> u64 {
    let group = (bucket / GROUP).saturating_sub(1);
    ((bucket - group * GROUP) as u64) << group
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_the_bucket_that_begins_at_most_a_quarter_below() {
        let mut last = 0;
        for shift in 0..64 {
            for value in [1_u64 << shift, (1 << shift) | (1 << (shift / 2)), u64::MAX >> shift] {
                let low = bound(bucket(value));
                assert!(low <= value && value - low <= value / 4, "{value} {low}");
                assert_eq!(bucket(low), bucket(value));
                assert!(bucket(value) < BUCKETS);
            }
        }
        for value in 0..10_000 {
            assert!(bucket(value) == last || bucket(value) == last + 1);
            last = bucket(value);
        }
    }

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut histogram: Histogram = Histogram::new();
        assert_eq!(histogram.percentile_stats(), PercentileStats::default());
        (0..1000).for_each(|value| histogram.record(value));
        let stats = histogram.percentile_stats();
        assert_eq!((stats.samples, stats.p0_1, stats.p50), (1000, 0, 448));
        assert!(stats.p99 > 700 && stats.p99 <= 990);
    }
}
