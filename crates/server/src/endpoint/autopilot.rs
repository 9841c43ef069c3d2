//! Autopilot: its settings, and the leader's view of the servers' health.
//!
//! What healthy means is a function of the settings and of what a server says about its log; when
//! it is looked at is the leader's matter, as are votes and removals (`leader/voters`).

use lictor_raft::RaftStatus;
use lictor_state::View;
use lictor_types::autopilot::{
    AutopilotConfig, AutopilotHealth, AutopilotWrite, LogStatus, ServerHealth,
};
use lictor_types::command::{Command, Outcome};
use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::member::{MemberStatus, Members};
use lictor_types::query::QueryOptions;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::clock;
use crate::rights::need;
use crate::server::Server;

/// The view of the servers' health, kept by the leader.
#[derive(Debug, Default)]
pub(crate) struct HealthView(Mutex<Option<AutopilotHealth>>);

impl HealthView {
    /// Forgets it: another server leads.
    pub(crate) fn clear(&self) {
        *self.0.lock() = None;
    }
}

/// Whether a server's log is good enough, compared with the leader's.
fn keeps_up(config: &AutopilotConfig, log: LogStatus, leader: LogStatus) -> bool {
    log.last_contact <= config.last_contact_threshold
        && log.last_term == leader.last_term
        && log.last_index.saturating_add(config.max_trailing_logs) >= leader.last_index
}

/// Sums up, carrying over since when each server has been as it is.
fn summed_up(servers: Vec<ServerHealth>, before: Option<&AutopilotHealth>) -> AutopilotHealth {
    let servers: Vec<ServerHealth> = servers
        .into_iter()
        .map(|server| {
            let earlier = before.into_iter().flat_map(|health| &health.servers);
            let mut same = earlier.filter(|old| old.id == server.id);
            match same.next().filter(|old| old.healthy == server.healthy) {
                Some(old) => ServerHealth { stable_since: old.stable_since, ..server },
                None => server,
            }
        })
        .collect();
    let voters = servers.iter().filter(|server| server.voter).count();
    let well = servers.iter().filter(|server| server.voter && server.healthy).count();
    AutopilotHealth {
        // Before the group is known nobody can be said to be well.
        healthy: !servers.is_empty() && servers.iter().all(|server| server.healthy),
        failure_tolerance: well.saturating_sub(voters / 2 + 1),
        servers,
    }
}

impl Server {
    /// The settings of autopilot.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn autopilot_config(
        &self,
        options: &QueryOptions,
    ) -> Result<AutopilotConfig, EndpointError> {
        self.may_answer(options).await?;
        need(self.authorizer(&options.token)?.operator_read())?;
        Ok(self.autopilot_settings(&self.view()))
    }

    /// Changes the settings of autopilot; gives whether the condition held.
    ///
    /// # Errors
    /// When they are not in order.
    pub async fn autopilot_set_config(
        &self,
        datacenter: &str,
        token: &str,
        write: AutopilotWrite,
    ) -> Result<bool, EndpointError> {
        self.check_datacenter(datacenter)?;
        need(self.authorizer(token)?.operator_write())?;
        match self.propose(Command::Autopilot(Box::new(write))).await?.outcome {
            Outcome::Applied(applied) => Ok(applied),
            other => {
                let text = format!("unexpected outcome of a write of settings: {other:?}");
                Err(EndpointError::new(ErrorKind::Internal, text))
            }
        }
    }

    /// The servers' health as the leader saw it last.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn autopilot_health(
        &self,
        options: &QueryOptions,
    ) -> Result<AutopilotHealth, EndpointError> {
        self.check_datacenter(&options.datacenter)?;
        self.wait_for_leadership().await?;
        need(self.authorizer(&options.token)?.operator_read())?;
        let held = || self.health_view().0.lock().clone();
        if let Some(health) = held() {
            return Ok(health);
        }
        // Who asks a leader that is new should not have to wait until it looks by itself.
        self.look_at_servers();
        Ok(held().unwrap_or_default())
    }

    /// How far the log of this very server is, and when it heard of the leader.
    #[must_use]
    pub fn log_status(&self) -> LogStatus {
        let status = self.raft().status();
        let contact = status.last_contact.and_then(|ago| i64::try_from(ago.as_nanos()).ok());
        LogStatus {
            last_contact: contact.unwrap_or(i64::MAX),
            last_term: status.term,
            last_index: status.last_log_index,
        }
    }

    pub(crate) fn autopilot_settings(&self, view: &View) -> AutopilotConfig {
        match view.autopilot_config().1 {
            Some(config) => AutopilotConfig::clone(&config),
            None => self.config().autopilot.clone(),
        }
    }

    /// Writes the settings of the configuration if there are none yet. For the leader.
    pub(crate) async fn seed_autopilot(&self) -> Result<(), EndpointError> {
        if self.view().autopilot_config().1.is_some() {
            return Ok(());
        }
        let config = self.config().autopilot.clone();
        let write = AutopilotWrite { config, cas: Some(0) };
        self.propose(Command::Autopilot(Box::new(write))).await.map(drop)
    }

    /// Looks at the servers. For the leader.
    pub(crate) fn look_at_servers(&self) {
        let settings = self.autopilot_settings(&self.view());
        let status = self.raft().status();
        let members = Members::clone(&self.watch_members(false).borrow());
        let (config, now) = (self.config(), clock::now());
        // A healthy server may be silent between two signs of life.
        let silence = i64::try_from(config.timing.heartbeat.as_nanos() * 2).unwrap_or(i64::MAX);
        let threshold = settings.last_contact_threshold.max(silence);
        let settings = AutopilotConfig { last_contact_threshold: threshold, ..settings };
        // The leader's own log is never behind itself.
        let own = LogStatus {
            last_contact: 0,
            last_term: status.term,
            last_index: status.last_log_index,
        };
        let all = status.voters.iter().map(|peer| (peer, true));
        let all = all.chain(status.nonvoters.iter().map(|peer| (peer, false)));
        let servers = all.map(|((id, address), voter)| {
            let id = id.to_string();
            let is_self = id.eq_ignore_ascii_case(&config.node_id);
            let member = members
                .iter()
                .filter_map(|member| member.server())
                .find(|server| server.id.eq_ignore_ascii_case(&id));
            let log = if is_self { own } else { log_of(&status, &id) };
            let alive = match &member {
                Some(member) => member.status == MemberStatus::Alive,
                None => is_self,
            };
            ServerHealth {
                name: match &member {
                    Some(member) => member.name.to_string(),
                    None if is_self => config.node_name.to_string(),
                    None => String::new(),
                },
                serf_status: match &member {
                    Some(member) => member.status.as_str(),
                    None if is_self => MemberStatus::Alive.as_str(),
                    None => MemberStatus::None.as_str(),
                }
                .to_owned(),
                version: match member {
                    Some(member) => member.version,
                    None if is_self => config.version.clone(),
                    None => String::new(),
                },
                address: address.clone(),
                leader: is_self,
                log,
                healthy: alive && keeps_up(&settings, log, own),
                voter,
                stable_since: now,
                id,
            }
        });
        let servers: Vec<_> = servers.collect();
        let mut held = self.health_view().0.lock();
        let health = summed_up(servers, held.as_ref());
        let meters = self.meters();
        meters.failure_tolerance.set(health.failure_tolerance as f64);
        meters.healthy.set(f64::from(u8::from(health.healthy)));
        *held = Some(health);
    }

    /// Servers without a vote that have been well for as long as a voter has to be. For the leader.
    pub(crate) fn stable_nonvoters(&self) -> Vec<(Uuid, String)> {
        let least = self.autopilot_settings(&self.view()).server_stabilization_time;
        let members = Members::clone(&self.watch_members(false).borrow());
        let never: Vec<String> = members
            .iter()
            .filter_map(|member| member.server())
            .filter(|server| server.non_voter)
            .map(|server| server.id)
            .collect();
        let now = clock::now();
        let held = self.health_view().0.lock();
        let servers = held.iter().flat_map(|health| &health.servers);
        let stable = servers.filter(|server| {
            !server.voter
                && server.healthy
                && now.0.saturating_sub(server.stable_since.0) >= least
                && !never.contains(&server.id)
        });
        stable
            .filter_map(|server| Some((Uuid::try_parse(&server.id).ok()?, server.address.clone())))
            .collect()
    }
}

/// What the leader knows of another server's log.
fn log_of(status: &RaftStatus, id: &str) -> LogStatus {
    let peer = status.peers.iter().find(|peer| peer.id.to_string() == id);
    let contact = peer.and_then(|peer| peer.contact);
    LogStatus {
        last_contact: contact
            .and_then(|silence| i64::try_from(silence.as_nanos()).ok())
            .unwrap_or(i64::MAX),
        last_term: peer.map_or(0, |peer| peer.last_term),
        last_index: peer.map_or(0, |peer| peer.last_index),
    }
}

#[cfg(test)]
mod tests {
    use lictor_types::timestamp::Timestamp;

    use super::*;
    use crate::testing;

    fn server(id: &str, healthy: bool, since: i64) -> ServerHealth {
        ServerHealth {
            id: id.to_owned(),
            name: id.to_owned(),
            address: String::new(),
            serf_status: "alive".to_owned(),
            version: String::new(),
            leader: false,
            log: LogStatus { last_contact: 0, last_term: 1, last_index: 1 },
            healthy,
            voter: true,
            stable_since: Timestamp(since),
        }
    }

    #[test]
    fn a_server_keeps_up_within_the_settings() {
        let config = AutopilotConfig::default();
        let leader = LogStatus { last_contact: 0, last_term: 3, last_index: 1000 };
        let log = |last_contact, last_term, last_index| {
            keeps_up(&config, LogStatus { last_contact, last_term, last_index }, leader)
        };
        assert!(log(200_000_000, 3, 750) && log(0, 3, u64::MAX));
        assert!(!log(200_000_001, 3, 1000) && !log(0, 2, 1000) && !log(0, 3, 749));
    }

    #[test]
    fn health_is_summed_up() {
        let first = vec![server("a", true, 1), server("b", true, 1), server("c", true, 1)];
        let first = summed_up(first, None);
        assert_eq!((first.healthy, first.failure_tolerance), (true, 1));
        assert!(!summed_up(Vec::new(), None).healthy);
        let second = vec![server("a", true, 2), server("b", false, 2), server("c", true, 2)];
        let second = summed_up(second, Some(&first));
        assert_eq!((second.healthy, second.failure_tolerance), (false, 0));
        let since: Vec<_> = second.servers.iter().map(|s| s.stable_since).collect();
        let at = Timestamp;
        assert_eq!(since, [at(1), at(2), at(1)]);
    }

    #[tokio::test]
    async fn the_leader_seeds_settings_and_looks() {
        let node = testing::start().await;
        let options = QueryOptions::default();
        let config = node.autopilot_config(&options).await.unwrap();
        assert!(config.create_index > 0 && config.cleanup_dead_servers);
        let health = node.autopilot_health(&options).await.unwrap();
        assert_eq!((health.healthy, health.failure_tolerance, health.servers.len()), (true, 0, 1));
        let change = AutopilotConfig { max_trailing_logs: 7, ..AutopilotConfig::default() };
        let write = |cas| AutopilotWrite { config: change.clone(), cas };
        assert_eq!(node.autopilot_set_config("", "", write(Some(0))).await, Ok(false));
        assert_eq!(
            node.autopilot_set_config("", "", write(Some(config.modify_index))).await,
            Ok(true)
        );
        assert_eq!(node.autopilot_config(&options).await.unwrap().max_trailing_logs, 7);
        node.shutdown().await;
    }
}
