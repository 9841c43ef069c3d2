//! What is counted and timed of questions, by the original's names.
//!
//! Many questions are answered with one look at the clock: each has its part of the time.

use std::time::{Duration, Instant};

use lictor_metrics::{Handle, Metrics};

use crate::config::Settings;
use crate::name;
use crate::query::Query;

/// Age of what another server said, or of what this one knows, from which on it is counted.
pub(crate) const STALE: Duration = Duration::from_secs(5);

/// Handles of everything that is counted here.
#[derive(Debug)]
pub(crate) struct Meters {
    domain: Handle,
    reverse: Handle,
    pub(crate) stale: Handle,
}

/// How many questions were answered, by what they are about; those for recursors do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Served {
    /// Names in our domain.
    pub(crate) domain: u32,
    /// Names of addresses.
    pub(crate) reverse: u32,
}

impl Served {
    /// Counts a question.
    pub(crate) fn add(&mut self, settings: &Settings, query: &Query) {
        let ours = |domain: &name::Name| name::strip(&query.name, domain).is_some();
        if settings.domains.iter().any(ours) {
            self.domain += 1;
        } else if name::strip(&query.name, name::ARPA).is_some() {
            self.reverse += 1;
        }
    }
}

impl Meters {
    pub(crate) fn new(metrics: &Metrics, node: &str) -> Self {
        let sample = |name: &str| metrics.sample_of(name, vec![("node", node.to_owned())]);
        Self {
            domain: sample("dns.domain_query"),
            reverse: sample("dns.ptr_query"),
            stale: metrics.counter("dns.stale_queries"),
        }
    }

    /// Times what was answered since then.
    pub(crate) fn served(&self, served: Served, began: Instant) {
        let all = served.domain + served.reverse;
        if all == 0 {
            return;
        }
        let each = began.elapsed() / all;
        self.domain.time_each(each, served.domain);
        self.reverse.time_each(each, served.reverse);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_question_has_its_part_of_the_time() {
        let metrics = Metrics::default();
        let meters = Meters::new(&metrics, "n");
        let began = Instant::now();
        meters.served(Served::default(), began);
        assert_eq!(metrics.totals(Duration::from_secs(60)), []);
        meters.served(Served { domain: 3, reverse: 1 }, began);
        let figures = metrics.totals(Duration::from_secs(60));
        let shown: Vec<_> = figures.iter().map(|f| (&*f.name, f.values.count)).collect();
        assert_eq!(shown, [("dns.domain_query", 3), ("dns.ptr_query", 1)]);
        assert_eq!(figures[0].labels, [("node", "n".to_owned())]);
    }
}
