//! The agent's figures: what is counted in the registry, and what is measured when asked for.
//!
//! Which of them are wanted is in [`filter`]; how they are sent elsewhere, in [`send`].

mod filter;
mod send;

use std::fs;
use std::time::Duration;

use lictor_metrics::{Figure, INTERVAL, Kind, Labels, Metrics};
use lictor_server::Stats;
use lictor_task::TaskSet;

pub use filter::{Filter, LiveFilter};
pub use send::Receiver;

use send::Mark;

/// How figures are named and kept.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// Where everything is counted.
    pub metrics: Metrics,
    /// First part of all names.
    pub prefix: String,
    /// Leave the host's name out of the names of what is measured.
    pub disable_hostname: bool,
    /// How long a value is shown in the text format; zero turns that off.
    pub prometheus_retention: Duration,
    /// Which of them are wanted.
    pub filter: LiveFilter,
    /// Who is sent them.
    pub receivers: Vec<Receiver>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            metrics: Metrics::default(),
            prefix: "consul".to_owned(),
            disable_hostname: false,
            prometheus_retention: Duration::ZERO,
            filter: LiveFilter::default(),
            receivers: Vec::new(),
        }
    }
}

/// Figures with their whole names.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// When they begin, in seconds since 1970.
    pub since: u64,
    /// What is at the moment.
    pub gauges: Vec<(String, f64)>,
    /// What was counted.
    pub counted: Vec<Figure>,
}

impl Telemetry {
    /// Figures of the last whole interval.
    pub(crate) fn last_interval(&self, stats: &Stats) -> Figures {
        let (since, counted) = self.metrics.last_interval();
        self.figures(since, counted, stats)
    }

    /// Figures from the start on; `None` when they are not kept.
    pub(crate) fn totals(&self, stats: &Stats) -> Option<Figures> {
        let retention = self.prometheus_retention;
        (!retention.is_zero()).then(|| self.figures(0, self.metrics.totals(retention), stats))
    }

    fn figures(&self, since: u64, mut counted: Vec<Figure>, stats: &Stats) -> Figures {
        let (filter, host) = (self.filter.get(), self.host(true));
        let mut gauges = self.gauges(stats, true);
        counted.retain(|figure| {
            let level = figure.kind == Kind::Gauge;
            if level {
                gauges.push((self.named(&figure.name, &host), figure.values.sum));
            }
            !level
        });
        for figure in &mut counted {
            figure.name = self.named(&figure.name, "");
        }
        counted.retain(|figure| filter.wants(&figure.name));
        gauges.retain(|(name, _)| filter.wants(name));
        Figures { since, gauges, counted }
    }

    /// What stands before the names of gauges.
    fn host(&self, wanted: bool) -> String {
        if self.disable_hostname || !wanted { String::new() } else { host_name() }
    }

    fn gauges(&self, stats: &Stats, with_host: bool) -> Vec<(String, f64)> {
        let host = self.host(with_host);
        let gauges = gauges(stats).into_iter();
        gauges.map(|(name, value)| (self.named(name, &host), value)).collect()
    }

    /// Sends what is counted from now on, and what is measured every few seconds, to everybody who
    /// is to have it. `stats` gives the servers' figures.
    pub(crate) fn start_sending(
        &self,
        tasks: &TaskSet,
        stats: impl Fn() -> Stats + Send + 'static,
    ) {
        if self.receivers.is_empty() {
            return;
        }
        let mut outlets = Vec::new();
        for receiver in &self.receivers {
            let (outlet, sending) = send::outlet(receiver);
            tasks.spawn_cut("sending metrics", sending.run());
            outlets.push(outlet);
        }
        // Not all of it: it holds what will hold this.
        let (prefix, filter, to) = (self.prefix.clone(), self.filter.clone(), outlets.clone());
        let host = self.host(true);
        self.metrics.send_to(move |update| {
            let name = joined(&[&prefix, update.name]);
            let at_host = match update.kind {
                Kind::Gauge => Some(joined(&[&prefix, &host, update.name])),
                Kind::Counter | Kind::Sample => None,
            };
            for outlet in &to {
                let name = at_host.as_ref().filter(|_| !outlet.adds_host()).unwrap_or(&name);
                if filter.get().wants(name) {
                    outlet.push(name, update.labels, update.kind.into(), update.value);
                }
            }
        });
        let own = self.clone();
        tasks.spawn_cut("measuring", async move {
            let mut tick = tokio::time::interval(Duration::from_secs(INTERVAL));
            loop {
                tick.tick().await;
                let (stats, filter) = (stats(), own.filter.get());
                for outlet in &outlets {
                    for (name, value) in own.gauges(&stats, !outlet.adds_host()) {
                        if filter.wants(&name) {
                            outlet.push(&name, &Labels::new(), Mark::Gauge, value);
                        }
                    }
                }
            }
        });
    }

    fn named(&self, name: &str, host: &str) -> String {
        joined(&[&self.prefix, host, name])
    }
}

/// The parts of a name that are not empty.
fn joined(parts: &[&str]) -> String {
    let parts: Vec<_> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    parts.join(".")
}

fn gauges(stats: &Stats) -> Vec<(&'static str, f64)> {
    let of = |section: &str, name: &str| {
        stats.get(section).and_then(|section| section.get(name)?.parse::<f64>().ok())
    };
    let mut gauges = Vec::new();
    if let Some((whole, resident)) = memory() {
        gauges.push(("runtime.alloc_bytes", resident));
        gauges.push(("runtime.sys_bytes", whole));
    }
    if let Some(tasks) = of("runtime", "goroutines") {
        gauges.push(("runtime.num_goroutines", tasks));
    }
    gauges
}

/// Bytes that are mapped, and those that are in memory.
fn memory() -> Option<(f64, f64)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    Some((kibibytes("VmSize:")? * 1024.0, kibibytes("VmRSS:")? * 1024.0))
}

/// Dots would make several parts of it.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_parts() {
        let telemetry = Telemetry { disable_hostname: true, ..Telemetry::default() };
        telemetry.metrics.counter("raft.apply").count();
        telemetry.metrics.gauge("autopilot.healthy").set(1.0);
        let figures = telemetry.last_interval(&Stats::new());
        assert!(figures.gauges.contains(&("consul.autopilot.healthy".to_owned(), 1.0)));
        assert_eq!(figures.counted.len(), 1);
        assert_eq!(figures.counted[0].name, "consul.raft.apply");
        assert!(figures.gauges.iter().any(|(name, _)| name == "consul.runtime.alloc_bytes"));
        assert_eq!(telemetry.named("a", "h"), "consul.h.a");
        assert_eq!(telemetry.totals(&Stats::new()), None);
        let prometheus_retention = Duration::from_secs(60);
        let telemetry = Telemetry { prometheus_retention, ..telemetry };
        assert_eq!(telemetry.totals(&Stats::new()).unwrap().counted.len(), 1);
    }
}
