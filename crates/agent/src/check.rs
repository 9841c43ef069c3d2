//! Running checks: each kind is one file below, [`Checks`] owns what runs.
//!
//! What a result does is decided by [`crate::local`]; whether a check may exist by
//! [`crate::validate`]. Timing and outputs follow the observed behaviour of health checks.

mod alias;
mod dial;
mod docker;
mod duration;
mod exchange;
mod grpc;
mod h2ping;
mod http;
mod http2;
mod output;
mod runner;
mod script;
mod tcp;
mod tls;
mod ttl;
mod udp;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lictor_task::{CancellationToken, TaskSet};
use lictor_types::definition::{CheckDefinition, CheckKind};
use parking_lot::Mutex;

pub(crate) use self::alias::{AliasSource, RemoteAnswer, RemoteChecks};
pub(crate) use self::output::cut_end;
pub(crate) use self::runner::Eager;
use self::runner::{Plan, Probe, Reporter};
pub(crate) use self::tls::CheckTls;
pub(crate) use self::ttl::Ttl;
use crate::local::LocalState;

/// Shortest interval; shorter ones are raised.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Everything that runs for the checks of this agent.
#[derive(Debug)]
pub(crate) struct Checks {
    tasks: TaskSet,
    local: Arc<LocalState>,
    remote: Option<Arc<dyn RemoteChecks>>,
    node: Arc<str>,
    tls: Arc<CheckTls>,
    running: Mutex<HashMap<Arc<str>, Running>>,
}

#[derive(Debug)]
struct Running {
    cancel: CancellationToken,
    ttl: Option<Arc<Ttl>>,
}

impl Checks {
    /// Nothing runs yet. `remote` answers alias checks of other nodes.
    pub(crate) fn new(
        local: Arc<LocalState>,
        node: Arc<str>,
        remote: Option<Arc<dyn RemoteChecks>>,
        tls: CheckTls,
    ) -> Self {
        Self {
            tasks: TaskSet::new("checks"),
            local,
            remote,
            node,
            tls: Arc::new(tls),
            running: Mutex::new(HashMap::new()),
        }
    }

    /// Runs a check from now on, in place of what ran under its ID before.
    pub(crate) fn start(&self, id: &Arc<str>, definition: &CheckDefinition, eager: Option<Eager>) {
        let cancel = self.tasks.token().child_token();
        let reporter = Reporter::new(Arc::clone(&self.local), Arc::clone(id), definition);
        let mut ttl = None;
        let probe = match &definition.kind {
            CheckKind::Ttl { ttl: nanoseconds } => {
                let watched = Arc::new(Ttl::new(nanos(*nanoseconds)));
                ttl = Some(Arc::clone(&watched));
                let local = Arc::clone(&self.local);
                let id = Arc::clone(id);
                self.spawn("ttl", &cancel, async move { watched.watch(&local, &id).await });
                None
            }
            CheckKind::Alias { node, service } => {
                let remote = (!node.is_empty() && **node != *self.node).then(|| node.clone());
                let source = AliasSource {
                    local: Arc::clone(&self.local),
                    remote: remote.zip(self.remote.clone()),
                    service: service.as_str().into(),
                    own: Arc::clone(id),
                    token: definition.token.clone(),
                };
                self.spawn("alias", &cancel, source.follow(reporter));
                None
            }
            other => Some((Probe::new(other, definition, &self.tls), reporter)),
        };
        if let Some((probe, reporter)) = probe {
            let mut interval = nanos(definition.interval);
            if interval < MIN_INTERVAL && eager.is_none() {
                tracing::warn!(
                    check = %id, ?interval, "check has an interval below the minimum of 1s, using 1s"
                );
                interval = MIN_INTERVAL;
            }
            let plan = Plan { interval, eager };
            self.spawn("probe", &cancel, runner::run(probe, plan, reporter));
        }
        let old = self.running.lock().insert(Arc::clone(id), Running { cancel, ttl });
        if let Some(old) = old {
            old.cancel.cancel();
        }
    }

    /// Stops running a check.
    pub(crate) fn stop(&self, id: &str) {
        if let Some(running) = self.running.lock().remove(id) {
            running.cancel.cancel();
        }
    }

    /// The timer of a check that is reported by its application.
    pub(crate) fn ttl(&self, id: &str) -> Option<Arc<Ttl>> {
        self.running.lock().get(id)?.ttl.clone()
    }

    /// Whether a check runs.
    pub(crate) fn is_running(&self, id: &str) -> bool {
        self.running.lock().contains_key(id)
    }

    /// Numbers of checks that the agent runs itself, and of those that are reported to it.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let running = self.running.lock();
        let ttls = running.values().filter(|check| check.ttl.is_some()).count();
        (running.len() - ttls, ttls)
    }

    /// Ends everything, commands included.
    pub(crate) async fn shutdown(&self) {
        self.running.lock().clear();
        self.tasks.shutdown(Duration::from_secs(5)).await;
    }

    fn spawn<F>(&self, name: &'static str, cancel: &CancellationToken, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let cancel = cancel.clone();
        self.tasks.spawn(name, async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {}
                () = work => {}
            }
        });
    }
}

/// A duration of the definitions; negative ones are zero.
fn nanos(nanoseconds: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests;
