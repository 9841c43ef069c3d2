//! What a pool counts and times, by the original's names.
//!
//! Both pools of a server count into the same names, as there.

use std::collections::HashMap;
use std::sync::Arc;

use lictor_gossip::serf::{Event, Serf};
use lictor_gossip::tally::{Count, Sample};
use lictor_metrics::{Handle, Metrics};
use tokio::time::{Duration, Instant};

/// Names of user events that are counted each by itself: they are made up by whoever sends them.
const EVENT_NAMES_MAX: usize = 64;
/// How often the length of the queues is looked at.
const QUEUES_EVERY: Duration = Duration::from_secs(30);

/// Handles of everything that is counted here.
#[derive(Debug)]
pub(crate) struct Meters {
    counts: [(Count, Handle); 8],
    samples: [(Sample, Handle); 4],
    joined: Handle,
    left: Handle,
    failed: Handle,
    updated: Handle,
    events: Handle,
    by_event: HashMap<String, Handle>,
    queues: [Handle; 3],
    queues_at: Option<Instant>,
    health: Handle,
    shown_health: u32,
    metrics: Metrics,
    /// Shared with connections.
    pub(crate) wire: Arc<Wire>,
}

/// What goes over sockets, to files, and how long that takes.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) udp_sent: Handle,
    pub(crate) udp_received: Handle,
    pub(crate) tcp_accepted: Handle,
    pub(crate) tcp_connected: Handle,
    pub(crate) tcp_sent: Handle,
    /// A round of gossip with its sending.
    pub(crate) gossip: Handle,
    /// An exchange of all that is known.
    pub(crate) exchange: Handle,
    /// A line of the file, and the file anew.
    pub(crate) line: Handle,
    pub(crate) compact: Handle,
}

impl Meters {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let counter = |name: &str| metrics.counter(name);
        let sample = |name: &str| metrics.sample(name);
        Self {
            counts: [
                (Count::Alive, counter("memberlist.msg.alive")),
                (Count::Suspect, counter("memberlist.msg.suspect")),
                (Count::Dead, counter("memberlist.msg.dead")),
                (Count::PatientProbe, counter("memberlist.degraded.probe")),
                (Count::Unconfirmed, counter("memberlist.degraded.timeout")),
                (Count::Flap, counter("serf.member.flap")),
                (Count::BadCoordinate, counter("serf.coordinate.rejected")),
                (Count::Query, counter("serf.queries")),
            ],
            samples: [
                (Sample::Probe, sample("memberlist.probeNode")),
                (Sample::Received, sample("serf.msgs.received")),
                (Sample::Sent, sample("serf.msgs.sent")),
                (Sample::Moved, sample("serf.coordinate.adjustment-ms")),
            ],
            joined: counter("serf.member.join"),
            left: counter("serf.member.left"),
            failed: counter("serf.member.failed"),
            updated: counter("serf.member.update"),
            events: counter("serf.events"),
            by_event: HashMap::new(),
            queues: ["Intent", "Query", "Event"]
                .map(|queue| sample(&format!("serf.queue.{queue}"))),
            queues_at: None,
            health: metrics.gauge("memberlist.health.score"),
            shown_health: 0,
            metrics: metrics.clone(),
            wire: Arc::new(Wire {
                udp_sent: counter("memberlist.udp.sent"),
                udp_received: counter("memberlist.udp.received"),
                tcp_accepted: counter("memberlist.tcp.accept"),
                tcp_connected: counter("memberlist.tcp.connect"),
                tcp_sent: counter("memberlist.tcp.sent"),
                gossip: sample("memberlist.gossip"),
                exchange: sample("memberlist.pushPullNode"),
                line: sample("serf.snapshot.appendLine"),
                compact: sample("serf.snapshot.compact"),
            }),
        }
    }

    /// Takes over what gossip counted in a step that has begun then.
    pub(crate) fn step(&mut self, serf: &mut Serf, began: Instant) {
        let Self { counts, samples, wire, .. } = self;
        let count = |what, n| {
            if what == Count::Round {
                wire.gossip.time(began.elapsed());
            } else if let Some((_, handle)) = counts.iter().find(|(one, _)| *one == what) {
                handle.count_many(n);
            }
        };
        let sample = |what, value| {
            if let Some((_, handle)) = samples.iter().find(|(one, _)| *one == what) {
                handle.add(value);
            }
        };
        serf.take_tally(count, sample);
        let health = serf.swim().awareness();
        if health != self.shown_health {
            self.shown_health = health;
            self.health.set(health.into());
        }
        if self.queues_at.is_none_or(|at| at.elapsed() >= QUEUES_EVERY) {
            self.queues_at = Some(Instant::now());
            for (queue, length) in self.queues.iter().zip(serf.queued()) {
                queue.add(length as f64);
            }
        }
    }

    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Joined(_) => self.joined.count(),
            Event::Left(_) => self.left.count(),
            Event::Failed(_) => self.failed.count(),
            Event::Updated(_) => self.updated.count(),
            Event::User { name, .. } => {
                self.events.count();
                if self.by_event.len() < EVENT_NAMES_MAX || self.by_event.contains_key(name) {
                    let metrics = &self.metrics;
                    let new = || metrics.counter(&format!("serf.events.{name}"));
                    self.by_event.entry(name.clone()).or_insert_with(new).count();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_strangers_do_not_fill_the_registry() {
        let metrics = Metrics::default();
        let mut meters = Meters::new(&metrics);
        for n in 0..200 {
            let event =
                |name: String| Event::User { ltime: n, name, payload: Vec::new(), coalesce: false };
            meters.event(&event(format!("consul:event:{n}")));
            meters.event(&event("consul:event:0".to_owned()));
        }
        let figures = metrics.totals(Duration::from_secs(60));
        let of = |name: &str| figures.iter().find(|f| f.name == name).map(|f| f.values.count);
        assert_eq!(of("serf.events"), Some(400));
        assert_eq!(of("serf.events.consul:event:0"), Some(201));
        assert_eq!(figures.len(), 1 + EVENT_NAMES_MAX);
    }
}
