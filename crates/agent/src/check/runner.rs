//! When a check runs, and from which result on its status changes.
//!
//! How one run is made is in the file of its kind.

use std::sync::Arc;
use std::time::Duration;

use lictor_types::check::Status;
use lictor_types::definition::{CheckDefinition, CheckKind};
use tokio::time::Instant;

use super::docker::DockerProbe;
use super::grpc::GrpcProbe;
use super::h2ping::H2PingProbe;
use super::http::HttpProbe;
use super::nanos;
use super::script::ScriptProbe;
use super::tcp::TcpProbe;
use super::tls::{CheckTls, ProbeTls};
use super::udp::UdpProbe;
use crate::jitter;
use crate::local::LocalState;

/// Time of a network check that is not told otherwise.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(10);

/// The result of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) status: Status,
    pub(super) output: String,
}

impl Outcome {
    pub(super) fn new(status: Status, output: impl Into<String>) -> Self {
        Self { status, output: output.into() }
    }

    pub(super) fn critical(output: impl Into<String>) -> Self {
        Self::new(Status::Critical, output)
    }
}

/// One way to find out a status.
#[derive(Debug)]
pub(super) enum Probe {
    Http(Box<HttpProbe>),
    Tcp(TcpProbe),
    Udp(UdpProbe),
    Grpc(GrpcProbe),
    H2Ping(H2PingProbe),
    Docker(DockerProbe),
    Script(ScriptProbe),
    /// A kind that is not probed; never made for one.
    None,
}

impl Probe {
    /// The probe for a definition.
    pub(super) fn new(kind: &CheckKind, definition: &CheckDefinition, tls: &Arc<CheckTls>) -> Self {
        let tls = |skip_verify: bool| ProbeTls { shared: Arc::clone(tls), skip_verify };
        let network = network_timeout(nanos(definition.interval), nanos(definition.timeout));
        match kind {
            CheckKind::Http { url, method, header, body, tls_skip_verify } => Self::Http(Box::new(
                HttpProbe::new(url, method, header, body, tls(*tls_skip_verify), network),
            )),
            CheckKind::Tcp { address } => Self::Tcp(TcpProbe::new(address, network)),
            CheckKind::Udp { address } => Self::Udp(UdpProbe::new(address, network)),
            CheckKind::Grpc { target, use_tls, tls_skip_verify } => {
                let timeout = Some(nanos(definition.timeout)).filter(|limit| !limit.is_zero());
                Self::Grpc(GrpcProbe::new(
                    target,
                    *use_tls,
                    tls(*tls_skip_verify),
                    timeout.unwrap_or(NETWORK_TIMEOUT),
                ))
            }
            CheckKind::H2Ping { target, use_tls, tls_skip_verify } => {
                Self::H2Ping(H2PingProbe::new(target, *use_tls, tls(*tls_skip_verify), network))
            }
            CheckKind::Docker { container, shell, args } => {
                Self::Docker(DockerProbe::new(container, shell, args, nanos(definition.timeout)))
            }
            CheckKind::Script { args } => {
                Self::Script(ScriptProbe::new(args, nanos(definition.timeout)))
            }
            CheckKind::Ttl { .. } | CheckKind::Alias { .. } => Self::None,
        }
    }

    async fn run(&self) -> Option<Outcome> {
        Some(match self {
            Self::Http(probe) => probe.run().await,
            Self::Tcp(probe) => probe.run().await,
            Self::Udp(probe) => probe.run().await,
            Self::Grpc(probe) => probe.run().await,
            Self::H2Ping(probe) => probe.run().await,
            Self::Docker(probe) => probe.run().await,
            Self::Script(probe) => probe.run().await,
            Self::None => return None,
        })
    }
}

/// A network check ends before its next run begins, and after ten seconds at the latest.
fn network_timeout(interval: Duration, timeout: Duration) -> Duration {
    if !timeout.is_zero() && timeout < interval { timeout } else { interval.min(NETWORK_TIMEOUT) }
}

/// For a check whose success is expected soon: when it begins, and how often it is tried until it
/// passes or the time is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Eager {
    /// Delay of the first run.
    pub(crate) first: Duration,
    /// Pause while it does not pass.
    pub(crate) pause: Duration,
    /// From then on the check has its ordinary interval.
    pub(crate) until: Duration,
}

/// When to run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) interval: Duration,
    pub(super) eager: Option<Eager>,
}

/// Runs `probe` for ever. The pause is counted from the end of a run.
pub(super) async fn run(probe: Probe, plan: Plan, mut reporter: Reporter) {
    let start = Instant::now();
    let first = plan.eager.map_or_else(|| jitter::below(plan.interval), |eager| eager.first);
    tokio::time::sleep(first).await;
    loop {
        let Some(outcome) = probe.run().await else { return };
        let passing = outcome.status == Status::Passing;
        reporter.report(outcome);
        let eager = plan.eager.filter(|eager| !passing && start.elapsed() < eager.until);
        tokio::time::sleep(eager.map_or(plan.interval, |eager| eager.pause)).await;
    }
}

/// Hands results on, once there are enough of them in a row.
#[derive(Debug)]
pub(super) struct Reporter {
    local: Arc<LocalState>,
    id: Arc<str>,
    successes_needed: u32,
    failures_needed: u32,
    successes: u32,
    failures: u32,
}

impl Reporter {
    pub(super) fn new(local: Arc<LocalState>, id: Arc<str>, definition: &CheckDefinition) -> Self {
        Self {
            local,
            id,
            successes_needed: definition.success_before_passing,
            failures_needed: definition.failures_before_critical,
            successes: 0,
            failures: 0,
        }
    }

    /// Takes the result of a run.
    pub(super) fn report(&mut self, outcome: Outcome) {
        let enough = if outcome.status == Status::Critical {
            self.successes = 0;
            self.failures = self.failures.saturating_add(1);
            self.failures >= self.failures_needed
        } else {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
            self.successes >= self.successes_needed
        };
        if !enough {
            tracing::debug!(check = %self.id, status = outcome.status.as_str(), "not yet enough");
            return;
        }
        if outcome.status == Status::Passing {
            tracing::debug!(check = %self.id, "check is passing");
        } else {
            tracing::warn!(check = %self.id, "check is now {}", outcome.status.as_str());
        }
        self.local.update_check(&self.id, outcome.status, outcome.output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_checks_end_before_their_next_run() {
        let secs = Duration::from_secs;
        assert_eq!(network_timeout(secs(30), Duration::ZERO), secs(10));
        assert_eq!(network_timeout(secs(5), Duration::ZERO), secs(5));
        assert_eq!(network_timeout(secs(5), secs(2)), secs(2));
        assert_eq!(network_timeout(secs(5), secs(20)), secs(5));
        assert_eq!(network_timeout(secs(60), secs(20)), secs(20));
    }
}
