//! Brings the catalog up to date with the members of the datacenter's pool.
//!
//! Each member is a node with the check `serfHealth`: passing while it is there, critical once it
//! does not answer; whoever left, or is forgotten, is removed with all that is on it. Changes are
//! taken over as they come. From time to time, and when this server begins to lead, everything is
//! compared, so that what happened while nobody led is made up for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use lictor_raft::ProposeError;
use lictor_state::View;
use lictor_types::catalog::{Service, StringMap};
use lictor_types::check::{HealthCheck, Status};
use lictor_types::command::{Command, DeregisterRequest, RegisterRequest};
use lictor_types::member::{Member, MemberStatus, Members};
use lictor_types::{SERF_HEALTH, SERVER_SERVICE};

use super::voters;
use crate::server::Server;

/// How often everything is compared.
pub(super) const PERIOD: Duration = Duration::from_secs(60);
/// Pause before what failed is done again.
pub(super) const RETRY: Duration = Duration::from_secs(5);
/// Commands under way at a time; consensus takes many at once.
const AT_ONCE: usize = 64;

/// The name of the check, and what it says.
pub(super) const CHECK_NAME: &str = "Serf Health Status";
pub(super) const ALIVE: &str = "Agent alive and reachable";
const FAILED: &str = "Agent not live or unreachable";

/// What the catalog has been told of members.
#[derive(Debug, Default)]
pub(super) struct Reconciler {
    told: HashMap<Arc<str>, Arc<Member>>,
}

impl Reconciler {
    /// Takes over what changed; gives false when something failed.
    pub(super) async fn changes(&mut self, server: &Server, members: &Members) -> bool {
        if self.told.is_empty() {
            return self.all(server, members).await;
        }
        let mut gone = std::mem::take(&mut self.told);
        let mut changed = Vec::new();
        for member in members.iter() {
            let before = gone.remove(&member.name);
            if before.is_none_or(|before| !Arc::ptr_eq(&before, member) && before != *member) {
                changed.push(Arc::clone(member));
            }
            self.told.insert(Arc::clone(&member.name), Arc::clone(member));
        }
        let voters = consensus(server, &changed, members).await;
        let forgotten = gone.values().filter_map(|member| member.server());
        for member in forgotten.collect::<Vec<_>>() {
            note(voters::removed(server, &member).await);
        }
        let view = server.view();
        let mut commands: Vec<_> =
            changed.iter().filter_map(|member| of_member(server, &view, member)).collect();
        commands.extend(gone.keys().filter_map(|name| removal(server, &view, name, "reaped")));
        apply(server, commands).await && voters
    }

    /// Compares everything; gives false when something failed.
    pub(super) async fn all(&mut self, server: &Server, members: &Members) -> bool {
        let _timed = server.meters().reconcile.start();
        let voters = consensus(server, members, members).await;
        let view = server.view();
        let mut commands: Vec<_> =
            members.iter().filter_map(|member| of_member(server, &view, member)).collect();
        let told = |member: &Arc<Member>| (Arc::clone(&member.name), Arc::clone(member));
        self.told = members.iter().map(told).collect();
        // Nodes that were members once, and are none any more.
        let (_, checks) = view.checks_in_state(None, &StringMap::new());
        let unknown = checks.iter().filter(|check| {
            &*check.check_id == SERF_HEALTH && !self.told.contains_key(&check.node)
        });
        commands.extend(unknown.filter_map(|check| removal(server, &view, &check.node, "reaped")));
        apply(server, commands).await && voters
    }
}

/// Sees to it that servers belong to consensus or not; gives false when that failed.
async fn consensus(server: &Server, changed: &[Arc<Member>], members: &Members) -> bool {
    let mut done = true;
    for member in changed.iter().filter_map(|member| member.server()) {
        if member.datacenter != server.config().datacenter {
            continue;
        }
        match member.status {
            MemberStatus::Alive => done &= note(voters::joined(server, &member, members).await),
            MemberStatus::Left => done &= note(voters::removed(server, &member).await),
            MemberStatus::Leaving | MemberStatus::Failed | MemberStatus::None => {}
        }
    }
    done
}

fn note(result: Result<(), ProposeError>) -> bool {
    if let Err(error) = &result {
        tracing::error!(%error, "consensus could not be changed");
    }
    result.is_ok()
}

async fn apply(server: &Server, commands: Vec<Command>) -> bool {
    let results = futures_util::stream::iter(commands)
        .map(|command| async move {
            let _timed = server.meters().reconcile_member.start();
            server.propose(command).await
        })
        .buffer_unordered(AT_ONCE);
    let failed = results.filter_map(|result| std::future::ready(result.err()));
    let failed = failed.collect::<Vec<_>>().await;
    if let Some(error) = failed.first() {
        tracing::error!(%error, failed = failed.len(), "failed to reconcile members");
    }
    failed.is_empty()
}

/// What is to be done for a member; `None` when the catalog is as it should be.
fn of_member(server: &Server, view: &View, member: &Member) -> Option<Command> {
    let known = member.is_client() || member.server().is_some();
    if !known || member.datacenter() != server.config().datacenter {
        tracing::warn!(member = %member.name, "skipping reconcile of a member of another kind");
        return None;
    }
    match member.status {
        MemberStatus::Alive => alive(view, member),
        MemberStatus::Failed => failed(view, member),
        MemberStatus::Left => removal(server, view, &member.name, "left"),
        MemberStatus::Leaving | MemberStatus::None => None,
    }
}

/// Whether a node is there, at the member's address, with its check in this state.
fn has_check(view: &View, member: &Member, status: Status) -> bool {
    let (_, node) = view.node(&member.name);
    node.is_some_and(|node| *node.address == *member.address.to_string())
        && view
            .node_checks(&member.name)
            .1
            .iter()
            .any(|check| &*check.check_id == SERF_HEALTH && check.status == status)
}

fn alive(view: &View, member: &Member) -> Option<Command> {
    let service = member.server().map(|server| Service {
        id: SERVER_SERVICE.into(),
        name: SERVER_SERVICE.into(),
        port: server.address.port(),
        ..Service::default()
    });
    let served = || {
        view.node_services(&member.name)
            .1
            .is_some_and(|(_, services)| services.iter().any(|one| &*one.id == SERVER_SERVICE))
    };
    if has_check(view, member, Status::Passing) && (service.is_none() || served()) {
        return None;
    }
    tracing::info!(member = %member.name, "member joined, marking health alive");
    Some(register(member, service, Status::Passing, ALIVE))
}

fn failed(view: &View, member: &Member) -> Option<Command> {
    if has_check(view, member, Status::Critical) {
        return None;
    }
    tracing::info!(member = %member.name, "member failed, marking health critical");
    Some(register(member, None, Status::Critical, FAILED))
}

fn register(member: &Member, service: Option<Service>, status: Status, output: &str) -> Command {
    let check = HealthCheck {
        node: Arc::clone(&member.name),
        check_id: SERF_HEALTH.into(),
        name: CHECK_NAME.into(),
        status,
        output: output.into(),
        ..HealthCheck::default()
    };
    Command::Register(Box::new(RegisterRequest {
        id: member.id().to_owned(),
        node: Arc::clone(&member.name),
        address: member.address.to_string(),
        datacenter: member.datacenter().to_owned(),
        service,
        checks: vec![check],
        // What the agent itself said of the node stays.
        skip_node_update: true,
        ..RegisterRequest::default()
    }))
}

fn removal(server: &Server, view: &View, name: &str, why: &str) -> Option<Command> {
    // A leader that leaves is removed by the next one.
    if name == &*server.config().node_name {
        tracing::warn!("deregistering this server is left to the next leader");
        return None;
    }
    view.node(name).1?;
    tracing::info!(member = name, "member {why}, deregistering");
    Some(Command::Deregister(DeregisterRequest { node: name.into(), ..Default::default() }))
}
