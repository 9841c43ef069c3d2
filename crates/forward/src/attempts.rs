//! Where a request is answered, and what is done when that fails.
//!
//! A server asks itself first: only it knows whether it leads. What it cannot answer goes
//!
//! - to the servers of another datacenter, when that is asked for;
//! - to the leader, when this server is not it;
//! - from a client agent to any server of the own datacenter, which does the same in turn.
//!
//! **Again.** A request is made again, to the next server or the next leader, when
//!
//! - the answer is that there is no leader: then nothing was done;
//! - no byte of it has left ([`CallFailure::Unsent`]): likewise;
//! - it reads, and the connection was lost ([`CallFailure::Lost`]).
//!
//! A write whose connection was lost after a part of it had left is *not* made again, since it may
//! have been carried out: whoever asked is told, and decides. Nor is a write that was under way when
//! its leader stopped leading. This goes on for as long as a request waits for a leader
//! (`performance.rpc_hold_timeout`), with pauses that grow; a client agent counts from the start, since its servers wait
//! as well, and from the loss where a blocking read had waited for long.

use std::sync::Arc;
use std::time::Duration;

use lictor_types::error::{EndpointError, ErrorKind};
use tokio::time::{Instant, timeout};

use crate::caller::CallFailure;
use crate::failure::{self, NO_SERVERS, UNREACHABLE};
use crate::routes::Target;
use crate::servers::Servers;

/// Part of the hold time that the first pause before another attempt takes at most.
const PAUSES: u32 = 16;
/// How often pauses are doubled.
const LONGER_MOST: u32 = 2;
/// Time that an answer may take beside what it waits by intention.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a request is, as far as the way matters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind<'a> {
    /// Where it is to be answered; empty for here.
    pub(crate) datacenter: &'a str,
    /// Whether it may be made again though it may have been carried out.
    pub(crate) reads: bool,
    /// Whether any server may answer, this one too.
    pub(crate) stale: bool,
    /// How long its answer may take.
    pub(crate) patience: Duration,
    /// How old the answer of any server may be; zero takes any.
    pub(crate) max_stale: Duration,
}

/// Who is asked.
#[derive(Debug)]
pub(crate) enum Way {
    /// This server, by now.
    Here,
    /// Another one.
    There(Target),
}

/// A request that cannot be answered here, and what was tried so far.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    servers: &'a Servers,
    kind: Kind<'a>,
    started: Instant,
    /// Until when it may be made again.
    until: Instant,
    /// Failures since the last pause.
    failed: usize,
    /// Pauses so far: each may be longer than the one before.
    pauses: u32,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(servers: &'a Servers, kind: Kind<'a>) -> Self {
        let started = Instant::now();
        let until = started + servers.config().hold_timeout;
        Self { servers, kind, started, until, failed: 0, pauses: 0 }
    }

    pub(crate) const fn kind(&self) -> &Kind<'a> {
        &self.kind
    }

    /// Whether an answer is too old; from then on the leader is asked.
    pub(crate) fn is_too_old(&mut self, age: Option<Duration>) -> bool {
        let Kind { stale, max_stale, .. } = self.kind;
        let too_old = stale && !max_stale.is_zero() && age.is_some_and(|age| age > max_stale);
        self.kind.stale &= !too_old;
        too_old
    }

    /// How long it has been under way.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Who is to be asked now; waits for a leader.
    pub(crate) async fn way(&mut self) -> Result<Way, EndpointError> {
        let routes = self.servers.routes();
        let own = routes.datacenter();
        let wanted = self.kind.datacenter;
        let Some(server) = self.servers.here() else {
            // Of other datacenters only servers know any: they pass it on.
            let next = routes.next(own);
            let none = || EndpointError::new(ErrorKind::NoLeader, NO_SERVERS);
            return next.map(Way::There).ok_or_else(none);
        };
        if !wanted.is_empty() && *wanted != **own {
            let next = routes.next(wanted);
            return next.map(Way::There).ok_or_else(|| match routes.knows(wanted) {
                true => EndpointError::new(ErrorKind::NoPathToDatacenter, UNREACHABLE),
                false => EndpointError::no_path_to_datacenter(),
            });
        }
        if self.kind.stale {
            return Ok(Way::Here);
        }
        loop {
            let mut leadership = server.leadership();
            {
                let now = leadership.borrow_and_update();
                if now.is_self {
                    return Ok(Way::Here);
                }
                let other = now.leader.as_ref().filter(|_| server.is_led_by_another(&now));
                if let Some(address) = other.and_then(|leader| leader.address.parse().ok()) {
                    return Ok(Way::There(Target { datacenter: Arc::clone(own), address }));
                }
            }
            let left = self.until.saturating_duration_since(Instant::now());
            tokio::select! {
                changed = timeout(left, leadership.changed()) => match changed {
                    Ok(Ok(())) => {}
                    _ => return Err(EndpointError::no_leader()),
                },
                () = self.servers.ending() => return Err(EndpointError::no_leader()),
            }
        }
    }

    /// What a failure means: an error for whoever asked, or, after a pause, another attempt.
    pub(crate) async fn failed(
        &mut self,
        to: &Target,
        failure: &CallFailure,
    ) -> Result<(), EndpointError> {
        let error = failure::to_error(failure);
        let lost = !matches!(failure, CallFailure::Remote(_));
        if self.servers.here().is_none() {
            self.servers.meters().failed(to, failure, &error);
        }
        if lost {
            if self.servers.troubles().begin(to.address) {
                tracing::warn!(server = %to.address, %error, "a call to a server failed");
            } else {
                tracing::debug!(server = %to.address, %error, "a call to a server failed again");
            }
            self.servers.routes().failed(to);
        }
        let again = match failure {
            CallFailure::Unsent(_) => true,
            CallFailure::Lost(_) => self.kind.reads,
            CallFailure::TimedOut => false,
            CallFailure::Remote(_) => error.kind == ErrorKind::NoLeader,
        };
        let hold = self.servers.config().hold_timeout;
        if lost && self.kind.reads && self.elapsed() > PATIENCE {
            // It was asked long ago and waited: the loss is the first trouble that it had.
            self.until = self.until.max(Instant::now() + hold);
            self.started = Instant::now();
        }
        if !again || Instant::now() >= self.until {
            return Err(error);
        }
        self.failed += 1;
        // Another server is asked at once; when all were, they get a moment.
        if lost && self.failed < self.servers.others(to) {
            return Ok(());
        }
        self.failed = 0;
        let longer = 1 << self.pauses.min(LONGER_MOST);
        self.pauses += 1;
        let pause = (hold / PAUSES * longer).mul_f64(fastrand::f64());
        tokio::select! {
            () = self.servers.changed() => {}
            () = tokio::time::sleep(pause) => {}
            () = self.servers.ending() => return Err(error),
        }
        Ok(())
    }
}
