//! What the program counts and times: a registry of named counters and samples.
//!
//! Values are summed up for intervals of ten seconds, of which the last whole one is shown, and
//! from the start on. Whoever counts holds a handle: counting one is an atomic addition, adding a
//! value a lock that nobody else wants. Names are the original's without their common prefix; how figures are shown is
//! decided elsewhere. Besides, each value can be handed to somebody who sends it on. The number of
//! names is bounded.

#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// Seconds that are summed up.
pub const INTERVAL: u64 = 10;
/// Names without labels, and names with them, that are kept; what comes later is not shown.
const NAMES_MAX: usize = 4096;

/// What a figure is about, besides its name: pairs such as `service` and `web`.
pub type Labels = Vec<(&'static str, String)>;

/// A value on its way to somebody else.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// Name without the common prefix.
    pub name: &'a str,
    /// What it is about.
    pub labels: &'a Labels,
    /// What it means.
    pub kind: Kind,
    /// The value; milliseconds where it is a time.
    pub value: f64,
}

/// Is given every value. It must neither wait nor count anything itself.
type Sink = Box<dyn Fn(&Update<'_>) + Send + Sync>;

/// The registry. Clones share it.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Shared>);

struct Shared {
    /// The interval in which it began.
    first: u64,
    names: Mutex<Names>,
    sink: Arc<OnceLock<Sink>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("names", &self.names.lock().plain.len())
            .finish_non_exhaustive()
    }
}

/// Those with labels are apart, so that strangers who make them up cannot use up the room.
#[derive(Default)]
struct Names {
    plain: BTreeMap<Key, Handle>,
    labelled: BTreeMap<Key, Handle>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kind: Kind,
    name: String,
    labels: Labels,
}

/// What a figure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Something that happened.
    Counter,
    /// How much, or how many milliseconds.
    Sample,
    /// How much there is at the moment: the last value that was told.
    Gauge,
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

    fn join(&mut self, other: &Self) {
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = if self.count == 0 { other.max } else { self.max.max(other.max) };
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
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
        self.begin(now);
        self.current.add(value);
        self.total.add(value);
    }

    fn join(&mut self, values: &Summary, now: u64) {
        self.begin(now);
        self.current.join(values);
        self.total.join(values);
    }

    fn begin(&mut self, now: u64) {
        if self.at != now {
            self.last = if self.at + 1 == now { self.current } else { Summary::default() };
            (self.at, self.current) = (now, Summary::default());
        }
    }

    /// Adds as many ones, of an interval that may be over.
    fn add_ones(&mut self, ones: u64, at: u64) {
        let mut sum = Summary::default();
        (sum.count, sum.sum, sum.squares) = (ones, ones as f64, ones as f64);
        (sum.min, sum.max) = (1.0, 1.0);
        if self.at < at {
            self.last = if self.at + 1 == at { self.current } else { Summary::default() };
            (self.at, self.current) = (at, Summary::default());
        }
        match self.at - at {
            0 => self.current.join(&sum),
            1 => self.last.join(&sum),
            _ => {}
        }
        self.total.join(&sum);
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
#[derive(Clone)]
pub struct Handle(Arc<Slot>);

struct Slot {
    key: Key,
    values: Mutex<Values>,
    /// Ones that are not among the values yet, and the interval in which they were counted.
    ones: AtomicU64,
    ones_at: AtomicU64,
    sink: Arc<OnceLock<Sink>>,
}

impl Slot {
    /// Puts the ones among the values. Nothing else happens in between: the lock is held.
    fn settle(&self, values: &mut Values) {
        let ones = self.ones.swap(0, Ordering::Relaxed);
        if ones > 0 {
            values.add_ones(ones, self.ones_at.load(Ordering::Relaxed));
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.0.key).finish()
    }
}

impl Handle {
    fn new(key: Key, sink: &Arc<OnceLock<Sink>>) -> Self {
        let (ones, ones_at) = (AtomicU64::new(0), AtomicU64::new(0));
        let sink = Arc::clone(sink);
        Self(Arc::new(Slot { key, values: Mutex::default(), ones, ones_at, sink }))
    }

    /// Counts one.
    pub fn count(&self) {
        self.count_at(now());
        self.send(1.0);
    }

    fn count_at(&self, now: u64) {
        let slot = &*self.0;
        if slot.ones_at.load(Ordering::Relaxed) != now {
            let mut values = slot.values.lock();
            // Whoever counts at this moment may get into the interval beside its own.
            slot.settle(&mut values);
            slot.ones_at.store(now, Ordering::Relaxed);
        }
        slot.ones.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts several.
    pub fn count_many(&self, ones: u32) {
        (0..ones).for_each(|_| self.count());
    }

    /// How much there is, for a gauge.
    pub fn set(&self, value: f64) {
        self.0.values.lock().total =
            Summary { count: 1, sum: value, squares: value * value, min: value, max: value };
        self.send(value);
    }

    /// Adds a value.
    pub fn add(&self, value: f64) {
        self.0.values.lock().add(value, now());
        self.send(value);
    }

    fn send(&self, value: f64) {
        if let Some(sink) = self.0.sink.get() {
            let Key { kind, name, labels } = &self.0.key;
            sink(&Update { name, labels, kind: *kind, value });
        }
    }

    /// Times from now until what is returned is dropped.
    #[must_use]
    pub fn start(&self) -> Timing {
        Timing { handle: self.clone(), started: Instant::now() }
    }

    /// Adds several times of the same length, in milliseconds.
    pub fn time_each(&self, time: Duration, several: u32) {
        let (value, several_of_it) = (time.as_secs_f64() * 1000.0, f64::from(several));
        if several > 0 {
            let mut sum =
                Summary { count: several.into(), min: value, max: value, ..Summary::default() };
            (sum.sum, sum.squares) = (value * several_of_it, value * value * several_of_it);
            self.0.values.lock().join(&sum, now());
        }
        if self.0.sink.get().is_some() {
            (0..several).for_each(|_| self.send(value));
        }
    }

    /// Adds a time in milliseconds.
    pub fn time(&self, time: Duration) {
        self.add(time.as_secs_f64() * 1000.0);
    }
}

/// Something that is being timed.
#[derive(Debug)]
pub struct Timing {
    handle: Handle,
    started: Instant,
}

impl Drop for Timing {
    fn drop(&mut self) {
        self.handle.time(self.started.elapsed());
    }
}

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its name without the common prefix.
    pub name: String,
    /// What it is about.
    pub labels: Labels,
    /// What it means.
    pub kind: Kind,
    /// Its values.
    pub values: Summary,
}

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Shared { first: now(), names: Mutex::default(), sink: Arc::default() }))
    }
}

impl Metrics {
    /// A counter.
    #[must_use]
    pub fn counter(&self, name: &str) -> Handle {
        self.handle(Kind::Counter, name, Labels::new())
    }

    /// A counter of what happened to something.
    #[must_use]
    pub fn counter_of(&self, name: &str, labels: Labels) -> Handle {
        self.handle(Kind::Counter, name, labels)
    }

    /// A sample.
    #[must_use]
    pub fn sample(&self, name: &str) -> Handle {
        self.handle(Kind::Sample, name, Labels::new())
    }

    /// A sample of something.
    #[must_use]
    pub fn sample_of(&self, name: &str, labels: Labels) -> Handle {
        self.handle(Kind::Sample, name, labels)
    }

    /// A gauge: [`Handle::set`] tells how much there is.
    #[must_use]
    pub fn gauge(&self, name: &str) -> Handle {
        self.handle(Kind::Gauge, name, Labels::new())
    }

    /// Hands every value to `sink` from now on; only the first one counts.
    pub fn send_to(&self, sink: impl Fn(&Update<'_>) + Send + Sync + 'static) {
        let _ = self.0.sink.set(Box::new(sink));
    }

    fn handle(&self, kind: Kind, name: &str, labels: Labels) -> Handle {
        let mut names = self.0.names.lock();
        let map = if labels.is_empty() { &mut names.plain } else { &mut names.labelled };
        let key = Key { kind, name: name.to_owned(), labels };
        if let Some(handle) = map.get(&key) {
            return handle.clone();
        }
        let handle = Handle::new(key.clone(), &self.0.sink);
        if map.len() < NAMES_MAX {
            map.insert(key, handle.clone());
        }
        handle
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
        let figures = names.plain.iter().chain(&names.labelled).map(|(key, handle)| {
            let mut values = handle.0.values.lock();
            handle.0.settle(&mut values);
            Figure {
                name: key.name.clone(),
                labels: key.labels.clone(),
                kind: key.kind,
                values: if key.kind == Kind::Gauge { values.total } else { which(&values) },
            }
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
    fn ones_count_in_their_interval() {
        let handle = Metrics::default().counter("c");
        let values = |interval| {
            let mut values = handle.0.values.lock();
            handle.0.settle(&mut values);
            (values.of(interval).count, values.total.count)
        };
        for now in [7, 7, 8, 8, 8] {
            handle.count_at(now);
        }
        assert_eq!((values(7), values(8)), ((2, 5), (3, 5)));
        // What is told of an interval that is over is still counted there, or as a whole.
        handle.0.values.lock().add(2.0, 9);
        handle.0.values.lock().add_ones(1, 8);
        handle.0.values.lock().add_ones(1, 3);
        assert_eq!((values(8), values(9)), ((4, 8), (1, 8)));
        let total = handle.0.values.lock().total;
        assert_eq!((total.sum, total.min, total.max), (9.0, 1.0, 2.0));
    }

    #[test]
    fn many_count_at_once_and_nothing_is_lost() {
        let metrics = Metrics::default();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    let handle = metrics.counter("c");
                    (0..10_000).for_each(|_| handle.count());
                });
            }
        });
        assert_eq!(metrics.totals(Duration::from_secs(60))[0].values.count, 40_000);
    }

    #[test]
    fn figures_are_by_name_and_bounded() {
        let metrics = Metrics::default();
        metrics.sample("b").time_each(Duration::from_millis(3), 0);
        metrics.sample("b").time_each(Duration::from_millis(3), 1);
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

    #[test]
    fn a_gauge_shows_what_was_told_last() {
        let metrics = Metrics::default();
        let gauge = metrics.gauge("g");
        let _never = metrics.gauge("never");
        [7.0, 2.0].iter().for_each(|value| gauge.set(*value));
        metrics.counter("c").count_many(3);
        for figures in [metrics.last_interval().1, metrics.totals(Duration::ZERO)] {
            let shown = |name: &str| figures.iter().find(|figure| figure.name == name);
            assert_eq!(shown("g").unwrap().values.sum, 2.0);
            assert_eq!(shown("never"), None);
        }
        let counted = &metrics.totals(Duration::from_secs(60))[0];
        assert_eq!((&*counted.name, counted.values.count), ("c", 3));
    }

    #[test]
    fn labels_are_apart_and_every_value_is_handed_on() {
        let metrics = Metrics::default();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let early = metrics.counter("early");
        let sink = Arc::clone(&seen);
        metrics.send_to(move |update| {
            sink.lock().push(format!("{} {:?} {}", update.name, update.labels, update.value));
        });
        early.count();
        for service in ["web", "db", "web"] {
            metrics.counter_of("query", vec![("service", service.to_owned())]).count();
        }
        let shown: Vec<_> = metrics
            .totals(Duration::from_secs(60))
            .into_iter()
            .map(|figure| (figure.name, figure.labels, figure.values.count))
            .collect();
        let of = |service: &str| vec![("service", service.to_owned())];
        let expected = [
            ("early".to_owned(), Vec::new(), 1),
            ("query".to_owned(), of("db"), 1),
            ("query".to_owned(), of("web"), 2),
        ];
        assert_eq!(shown, expected);
        assert_eq!(seen.lock().len(), 4);
        assert_eq!(seen.lock()[1], "query [(\"service\", \"web\")] 1");
    }
}
