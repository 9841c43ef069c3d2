//! What the program counts and times: a registry of named counters and samples.
//!
//! Values are summed up for intervals of ten seconds, of which the last whole one is shown, and
//! from the start on. Whoever counts holds a handle: counting is a lock that nobody else wants and
//! a few additions. Names are the original's without their common prefix; how figures are shown is
//! decided elsewhere. The number of names is bounded.

#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// Seconds that are summed up.
pub const INTERVAL: u64 = 10;
/// Names that are kept; what comes later counts for nothing.
const NAMES_MAX: usize = 4096;

/// The registry. Clones share it.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The interval in which it began.
    first: u64,
    names: Mutex<BTreeMap<(Kind, String), Handle>>,
}

/// What a figure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Something that happened.
    Counter,
    /// How much, or how many milliseconds.
    Sample,
}

/// The values of some time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The sum of their squares.
    pub squares: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Summary {
    fn add(&mut self, value: f64) {
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = if self.count == 0 { value } else { self.max.max(value) };
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    /// The mean; 0 of nothing.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }

    /// The standard deviation; 0 of less than two.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        if self.count < 2 {
            return 0.0;
        }
        let count = self.count as f64;
        let above = count * self.squares - self.sum * self.sum;
        (above.max(0.0) / (count * (count - 1.0))).sqrt()
    }

    /// Sum for each second of the interval.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.sum / INTERVAL as f64
    }
}

#[derive(Debug, Default)]
struct Values {
    /// The interval of `current`.
    at: u64,
    current: Summary,
    /// The interval before that.
    last: Summary,
    /// From the start on.
    total: Summary,
}

impl Values {
    fn add(&mut self, value: f64, now: u64) {
        if self.at != now {
            self.last = if self.at + 1 == now { self.current } else { Summary::default() };
            (self.at, self.current) = (now, Summary::default());
        }
        self.current.add(value);
        self.total.add(value);
    }

    fn of(&self, interval: u64) -> Summary {
        if self.at == interval {
            self.current
        } else if self.at == interval + 1 {
            self.last
        } else {
            Summary::default()
        }
    }
}

/// Where one thing is counted or timed.
#[derive(Clone, Debug, Default)]
pub struct Handle(Arc<Mutex<Values>>);

impl Handle {
    /// Counts one.
    pub fn count(&self) {
        self.add(1.0);
    }

    /// Adds a value.
    pub fn add(&self, value: f64) {
        self.0.lock().add(value, now());
    }

    /// Adds a time in milliseconds.
    pub fn time(&self, time: Duration) {
        self.add(time.as_secs_f64() * 1000.0);
    }
}

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its name without the common prefix.
    pub name: String,
    /// What it means.
    pub kind: Kind,
    /// Its values.
    pub values: Summary,
}

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Shared { first: now(), names: Mutex::default() }))
    }
}

impl Metrics {
    /// A counter.
    #[must_use]
    pub fn counter(&self, name: &str) -> Handle {
        self.handle(Kind::Counter, name)
    }

    /// A sample.
    #[must_use]
    pub fn sample(&self, name: &str) -> Handle {
        self.handle(Kind::Sample, name)
    }

    fn handle(&self, kind: Kind, name: &str) -> Handle {
        let mut names = self.0.names.lock();
        let key = (kind, name.to_owned());
        if names.len() >= NAMES_MAX && !names.contains_key(&key) {
            return Handle::default();
        }
        names.entry(key).or_default().clone()
    }

    /// Figures of the last whole interval, and the second in which it began. Before there is one,
    /// those of the present.
    #[must_use]
    pub fn last_interval(&self) -> (u64, Vec<Figure>) {
        let interval = (now() - 1).max(self.0.first);
        (interval * INTERVAL, self.figures(|values| values.of(interval)))
    }

    /// Figures from the start on, of what happened within `retention`.
    #[must_use]
    pub fn totals(&self, retention: Duration) -> Vec<Figure> {
        let since = now().saturating_sub(retention.as_secs().div_ceil(INTERVAL));
        self.figures(|values| if values.at < since { Summary::default() } else { values.total })
    }

    fn figures(&self, which: impl Fn(&Values) -> Summary) -> Vec<Figure> {
        let names = self.0.names.lock();
        let figures = names.iter().map(|((kind, name), values)| Figure {
            name: name.clone(),
            kind: *kind,
            values: which(&values.0.lock()),
        });
        figures.filter(|figure| figure.values.count > 0).collect()
    }
}

/// The present interval.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / INTERVAL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_shown_when_it_is_over() {
        let mut values = Values::default();
        for value in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            values.add(value, 7);
        }
        assert_eq!((values.of(6).count, values.of(7).count), (0, 8));
        values.add(1.0, 8);
        let shown = values.of(7);
        assert_eq!((shown.count, shown.sum, shown.min, shown.max), (8, 40.0, 2.0, 9.0));
        assert_eq!((shown.mean(), shown.rate()), (5.0, 4.0));
        assert!((shown.deviation() - (32.0_f64 / 7.0).sqrt()).abs() < 1e-9);
        values.add(1.0, 20);
        assert_eq!((values.of(19).count, values.total.count), (0, 10));
    }

    #[test]
    fn figures_are_by_name_and_bounded() {
        let metrics = Metrics::default();
        metrics.sample("b").time(Duration::from_millis(3));
        metrics.counter("a").count();
        metrics.counter("a").count();
        let _unused = metrics.counter("never");
        let total = metrics.totals(Duration::from_secs(60));
        let names: Vec<_> = total.iter().map(|f| (f.name.as_str(), f.values.count)).collect();
        assert_eq!(names, [("a", 2), ("b", 1)]);
        for n in 0..NAMES_MAX + 5 {
            metrics.counter(&n.to_string()).count();
        }
        assert_eq!(metrics.totals(Duration::from_secs(60)).len(), NAMES_MAX - 1);
    }
}
