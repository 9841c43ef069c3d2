//! Checks that copy the state of another service or node.
//!
//! Targets on this agent are followed without a question to anybody; those of other nodes by
//! blocking queries.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lictor_types::Index;
use lictor_types::check::{HealthCheck, Status};

use super::runner::{Outcome, Reporter};
use crate::jitter;
use crate::local::LocalState;

/// Pause after a failed query, and its random part.
const RETRY: Duration = Duration::from_secs(10);

/// What [`RemoteChecks::node_checks`] gives: the index and the checks, or a text.
pub(crate) type RemoteAnswer =
    Pin<Box<dyn Future<Output = Result<(Index, Vec<Arc<HealthCheck>>), String>> + Send>>;

/// Asks the catalog for the checks of a node.
pub(crate) trait RemoteChecks: Send + Sync + std::fmt::Debug {
    /// The checks of `node`; blocks while their index is `index`.
    fn node_checks(&self, token: &str, node: &str, index: Index) -> RemoteAnswer;
}

/// What an alias check looks at.
#[derive(Debug)]
pub(crate) struct AliasSource {
    pub(super) local: Arc<LocalState>,
    /// Another node, and who knows about it; `None` for this one.
    pub(super) remote: Option<(String, Arc<dyn RemoteChecks>)>,
    /// ID of the service; empty for the node's checks.
    pub(super) service: Arc<str>,
    /// The alias check itself, which does not count.
    pub(super) own: Arc<str>,
    pub(super) token: String,
}

impl AliasSource {
    /// Reports the state of the target whenever it may have changed.
    pub(super) async fn follow(self, mut reporter: Reporter) {
        match &self.remote {
            None => {
                let mut changes = self.local.changes();
                loop {
                    changes.mark_unchanged();
                    let outcome = if !self.service.is_empty()
                        && self.local.service(&self.service).is_none()
                    {
                        Outcome::critical(format!(
                            "Service {} could not be found on this node",
                            self.service
                        ))
                    } else {
                        self.judge(&self.local.checks())
                    };
                    reporter.report(outcome);
                    if changes.changed().await.is_err() {
                        return;
                    }
                }
            }
            Some((node, remote)) => {
                let mut index = 0;
                loop {
                    match remote.node_checks(&self.token, node, index).await {
                        Ok((now, checks)) => {
                            index = if now < index { 0 } else { now };
                            reporter.report(self.judge(&checks));
                        }
                        Err(text) => {
                            index = 0;
                            reporter.report(Outcome::critical(format!(
                                "Failure checking aliased node or service: {text}"
                            )));
                            tokio::time::sleep(RETRY + jitter::below(RETRY)).await;
                        }
                    }
                }
            }
        }
    }

    fn judge(&self, checks: &[Arc<HealthCheck>]) -> Outcome {
        let mut outcome = Outcome::new(Status::Passing, "No checks found.");
        let counts = |check: &&Arc<HealthCheck>| {
            check.check_id != self.own
                && (check.service_id.is_empty() || check.service_id == self.service)
        };
        for check in checks.iter().filter(counts) {
            match check.status {
                Status::Passing if outcome.status == Status::Passing => {
                    outcome = Outcome::new(Status::Passing, "All checks passing.");
                }
                Status::Passing => {}
                bad => {
                    let text =
                        format!("Aliased check \"{}\" failing: {}", check.name, check.output);
                    outcome = Outcome::new(bad, text);
                    if bad == Status::Critical {
                        break;
                    }
                }
            }
        }
        outcome
    }
}
