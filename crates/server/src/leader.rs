//! What only the leader does: the members' entries in the catalog, the certificate authority, the time of
//! sessions, lock-delays, and forgetting what is old.
//!
//! Everything here is started afresh when this server becomes leader and dropped when it no longer
//! is; nothing of it is replicated except by commands.

mod lock_delay;
mod members;
mod session;
mod voters;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lictor_state::Table;
use lictor_task::CancellationToken;
use lictor_types::catalog::Service;
use lictor_types::check::{HealthCheck, Status};
use lictor_types::command::{Command, RegisterRequest, SessionWrite};
use lictor_types::error::EndpointError;
use lictor_types::member::Members;
use lictor_types::{Index, SERF_HEALTH, SERVER_SERVICE};
use tokio::time::{Instant, interval, sleep_until};

pub(crate) use self::lock_delay::LockDelays;
pub(crate) use self::session::SessionTimers;
use crate::acl::duties::REAP_STEP;
use crate::server::Server;

/// Pause after duties that could not be taken up.
const RETRY: Duration = Duration::from_secs(1);
/// How old traces of deleted keys become, and how often they are looked at.
const TOMBSTONE_AGE: Duration = Duration::from_secs(15 * 60);
const TOMBSTONE_STEP: Duration = Duration::from_secs(30);
/// How often old roots are looked for.
const ROOTS_STEP: Duration = Duration::from_secs(3600);
/// How often dead servers are removed.
const CLEAN_UP_STEP: Duration = Duration::from_secs(10);
/// How often the health of the servers is looked at, and those that are well get votes.
const HEALTH_STEP: Duration = Duration::from_secs(2);
/// Pause before a session that could not be ended is ended.
const SESSION_RETRY: Duration = Duration::from_secs(10);

/// Takes the duties up whenever this server leads, until it is told to stop.
pub(crate) async fn run(server: Server, stop: CancellationToken) {
    let mut leadership = server.leadership();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            led = leadership.wait_for(|leadership| leadership.is_self) => if led.is_err() {
                return;
            },
        }
        let lost = async {
            // An error is the end of consensus: then nobody leads.
            let _ = leadership.wait_for(|leadership| !leadership.is_self).await;
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = lost => tracing::info!("leadership lost"),
            () = server.restored().notified() => tracing::info!("state restored"),
            () = duties(&server) => {}
        }
        server.authority().dismiss();
        server.sessions().clear();
        server.meters().sessions.set(0.0);
        server.health_view().clear();
    }
}

/// Never ends by itself.
async fn duties(server: &Server) {
    tracing::info!("leadership acquired");
    server.sessions().restart(&server.view());
    while let Err(error) = take_up(server).await {
        tracing::error!(%error, retry_in = ?RETRY, "cannot take up the duties of the leader");
        tokio::time::sleep(RETRY).await;
    }
    let mut reconciler = members::Reconciler::default();
    let mut members = server.watch_members(false);
    let mut reconcile_at = Instant::now();
    let mut tombstones = Tombstones::default();
    let mut tombstone_step = interval(TOMBSTONE_STEP);
    let mut roots_step = interval(ROOTS_STEP);
    let mut token_step = interval(REAP_STEP);
    let mut health_step = interval(HEALTH_STEP);
    let mut clean_up_step = interval(CLEAN_UP_STEP);
    let mut authority = std::pin::pin!(server.keep_authority());
    loop {
        tokio::select! {
            id = server.sessions().next_expired() => end_session(server, id).await,
            _ = tombstone_step.tick() => reap(server, &mut tombstones).await,
            _ = health_step.tick() => {
                server.look_at_servers();
                voters::promote(server).await;
                server.meters().sessions.set(server.sessions().running() as f64);
            }
            _ = clean_up_step.tick() => voters::clean_up(server).await,
            () = sleep_until(reconcile_at) => {
                let now = Members::clone(&members.borrow_and_update());
                // Before the agent has told any, nothing is known.
                let done = barrier(server).await
                    && (now.is_empty() || reconciler.all(server, &now).await);
                reconcile_at =
                    Instant::now() + if done { members::PERIOD } else { members::RETRY };
            }
            Ok(()) = members.changed() => {
                let now = Members::clone(&members.borrow_and_update());
                if !reconciler.changes(server, &now).await {
                    reconcile_at = reconcile_at.min(Instant::now() + members::RETRY);
                }
            }
            _ = roots_step.tick() => server.prune_roots().await,
            () = &mut authority => {}
            _ = token_step.tick() => server.reap_tokens().await,
        }
    }
}

async fn take_up(server: &Server) -> Result<(), EndpointError> {
    // First, as whoever waits for anything else may bring a token.
    server.establish_access_control().await?;
    server.seed_autopilot().await?;
    server.seed_config_entries().await?;
    register_self(server).await?;
    if server.authority_is_remote() {
        // Whether that can be reached is not for the other duties to wait for.
        return Ok(());
    }
    server.establish_authority().await
}

/// Waits until everything that was agreed on is applied here: the catalog is compared as it is.
async fn barrier(server: &Server) -> bool {
    let meters = server.meters();
    meters.barrier.count();
    let timed = meters.leader_barrier.start();
    let passed = server.raft().barrier().await;
    drop(timed);
    if let Err(error) = &passed {
        tracing::warn!(%error, "cannot be sure to lead: members are compared later");
    }
    passed.is_ok()
}

/// Enters this server in the catalog; what is there already does not change.
async fn register_self(server: &Server) -> Result<(), EndpointError> {
    let config = server.config();
    let request = RegisterRequest {
        id: config.node_id.clone(),
        node: Arc::clone(&config.node_name),
        address: config.advertise_address.clone(),
        datacenter: config.datacenter.clone(),
        tagged_addresses: config.tagged_addresses.clone(),
        node_meta: config.node_meta.clone(),
        service: Some(Service {
            id: SERVER_SERVICE.into(),
            name: SERVER_SERVICE.into(),
            port: config.server_port,
            ..Service::default()
        }),
        checks: vec![HealthCheck {
            node: Arc::clone(&config.node_name),
            check_id: SERF_HEALTH.into(),
            name: members::CHECK_NAME.into(),
            status: Status::Passing,
            output: members::ALIVE.into(),
            ..HealthCheck::default()
        }],
        skip_node_update: false,
    };
    server.propose(Command::Register(Box::new(request))).await.map(drop)
}

async fn end_session(server: &Server, id: Arc<str>) {
    let _timed = server.meters().invalidate.start();
    if server.view().session(&id).1.is_none() {
        return;
    }
    tracing::debug!(session = %id, "the session's time is over");
    let write = SessionWrite::Destroy(Arc::clone(&id));
    if let Err(error) = server.propose(Command::Session(write)).await {
        tracing::warn!(session = %id, %error, "cannot end a session");
        server.sessions().retry(id, SESSION_RETRY);
    }
}

/// Which index was the newest when: traces up to the one of long enough ago are forgotten.
#[derive(Debug, Default)]
struct Tombstones {
    seen: VecDeque<(Instant, Index)>,
}

impl Tombstones {
    /// Notes the newest index and gives the one that is old enough by now.
    fn note(&mut self, now: Instant, newest: Index) -> Option<Index> {
        if self.seen.back().is_none_or(|(_, index)| *index < newest) {
            self.seen.push_back((now, newest));
        }
        let mut old = None;
        while let Some((at, index)) = self.seen.front()
            && now.duration_since(*at) >= TOMBSTONE_AGE
        {
            old = Some(*index);
            self.seen.pop_front();
        }
        old
    }
}

async fn reap(server: &Server, tombstones: &mut Tombstones) {
    let view = server.view();
    let Some(old) = tombstones.note(Instant::now(), view.table_index(&[Table::Tombstones])) else {
        return;
    };
    if view.tombstones_up_to(old) == 0 {
        return;
    }
    let _timed = server.meters().reap_tombstones.start();
    if let Err(error) = server.propose(Command::ReapTombstones(old)).await {
        tracing::warn!(%error, "cannot forget old tombstones");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_forgotten_a_while_after_they_were_seen() {
        let mut tombstones = Tombstones::default();
        let start = Instant::now();
        let minutes = |n: u64| start + Duration::from_secs(n * 60);
        assert_eq!(tombstones.note(start, 5), None);
        assert_eq!(tombstones.note(minutes(10), 9), None);
        assert_eq!(tombstones.note(minutes(15), 9), Some(5));
        assert_eq!(tombstones.note(minutes(16), 9), None);
        assert_eq!(tombstones.note(minutes(25), 9), Some(9));
        assert_eq!(tombstones.note(minutes(60), 9), None);
    }
}
