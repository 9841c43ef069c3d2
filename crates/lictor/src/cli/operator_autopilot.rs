//! `operator autopilot`: what the leader may do about servers, and how they are.

use lictor_api::autopilot::AutopilotState;
use lictor_api::client::ReadOptions;
use lictor_api::duration::GoDuration;
use lictor_types::duration;
use serde::Serialize;

use super::acl::FORMAT;
use super::acl_format::{Printed, print};
use super::flags::{FlagError, Kind, flag};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, misused, out};

/// `lictor operator autopilot get-config`.
pub(super) const GET: Command = Command {
    path: "operator autopilot get-config",
    synopsis: "Shows the settings of autopilot",
    operands: "[options]",
    about: "Shows the settings of autopilot.",
    flags: &[],
    client: true,
    server: true,
    run: |call| Box::pin(get(call)),
};

/// `lictor operator autopilot set-config`.
pub(super) const SET: Command = Command {
    path: "operator autopilot set-config",
    synopsis: "Changes the settings of autopilot",
    operands: "[options]",
    about: "Changes the settings of autopilot that are given; all others stay.",
    flags: &[
        flag("cleanup-dead-servers", Kind::Text, "Remove failed servers: true or false."),
        flag("max-trailing-logs", Kind::Text, "Log entries that a healthy server may lag behind."),
        flag("min-quorum", Kind::Text, "Voters that are left when dead servers are removed."),
        flag("last-contact-threshold", Kind::Text, "Longest silence of a healthy server: 200ms."),
        flag("server-stabilization-time", Kind::Text, "Health before a server votes: 10s."),
        flag("redundancy-zone-tag", Kind::Text, "Node metadata that names zones; only kept."),
        flag("disable-upgrade-migration", Kind::Text, "true or false; only kept."),
        flag("upgrade-version-tag", Kind::Text, "Node metadata with versions; only kept."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(set(call)),
};

/// `lictor operator autopilot state`.
pub(super) const STATE: Command = Command {
    path: "operator autopilot state",
    synopsis: "Shows the servers as autopilot sees them",
    operands: "[options]",
    about: "Shows whether the servers are well, how many may fail, who leads and who votes.",
    flags: &[FORMAT],
    client: true,
    server: true,
    run: |call| Box::pin(state(call)),
};

async fn state(call: Call) -> Exit {
    let client = client_or_fail!(call);
    let options = ReadOptions { stale: call.parsed.is_set("stale"), consistent: false };
    match client.autopilot_state(options).await {
        Ok(state) => print(&call, &state),
        Err(error) => fail(format!("Error querying Autopilot state: {error}")),
    }
}

impl Printed for AutopilotState {
    fn pretty(&self, _: bool) -> String {
        let mut out = format!(
            "Healthy:                      {}\nFailure Tolerance:            {}\n\
             Optimistic Failure Tolerance: {}\nLeader:                       {}\nVoters:\n",
            self.healthy, self.failure_tolerance, self.optimistic_failure_tolerance, self.leader
        );
        let indented = |id: &String| format!("   {id}\n");
        out.extend(self.voters.iter().map(indented));
        out.push_str("Servers:\n");
        for (id, server) in &self.servers {
            out.push_str(&indented(id));
            let facts = [
                ("Name", server.name.clone()),
                ("Address", server.address.clone()),
                ("Version", server.version.clone()),
                ("Status", server.status.clone()),
                ("Node Type", server.node_type.clone()),
                ("Node Status", server.node_status.clone()),
                ("Healthy", server.healthy.to_string()),
                ("Last Contact", server.last_contact.to_string()),
                ("Last Term", server.last_term.to_string()),
                ("Last Index", server.last_index.to_string()),
            ];
            let fact = |(name, value): (&str, String)| {
                format!("      {:<16} {value}\n", format!("{name}:"))
            };
            out.extend(facts.into_iter().map(fact));
            let meta = server.meta.iter().flatten();
            let meta: String = meta.map(|(k, v)| format!("         {k:?}: {v:?}\n")).collect();
            if !meta.is_empty() {
                out.push_str("      Meta\n");
                out.push_str(&meta);
            }
        }
        out
    }

    fn json(&self) -> impl Serialize {
        self
    }
}

async fn get(call: Call) -> Exit {
    let client = client_or_fail!(call);
    let options = ReadOptions { stale: call.parsed.is_set("stale"), consistent: false };
    let config = match client.autopilot_config(options).await {
        Ok(config) => config,
        Err(error) => return fail(format!("Error querying Autopilot configuration: {error}")),
    };
    out(&format!("CleanupDeadServers = {}", config.cleanup_dead_servers));
    out(&format!("LastContactThreshold = {}", config.last_contact_threshold));
    out(&format!("MaxTrailingLogs = {}", config.max_trailing_logs));
    out(&format!("MinQuorum = {}", config.min_quorum));
    out(&format!("ServerStabilizationTime = {}", config.server_stabilization_time));
    out(&format!("RedundancyZoneTag = {:?}", config.redundancy_zone_tag));
    out(&format!("DisableUpgradeMigration = {}", config.disable_upgrade_migration));
    out(&format!("UpgradeVersionTag = {:?}", config.upgrade_version_tag));
    0
}

fn boolean(call: &Call, name: &'static str) -> Result<Option<bool>, FlagError> {
    let Some(text) = call.parsed.text(name) else { return Ok(None) };
    lictor_api::decode::parse_bool(text)
        .map(Some)
        .ok_or_else(|| FlagError::BadBool { name: name.to_owned(), value: text.to_owned() })
}

fn time(call: &Call, name: &'static str) -> Result<Option<GoDuration>, FlagError> {
    let Some(text) = call.parsed.text(name) else { return Ok(None) };
    let bad = || FlagError::BadNumber { name: name.to_owned(), value: text.to_owned() };
    let nanos = duration::parse(text).map_err(|_| bad())?;
    if nanos < 0 { Err(bad()) } else { Ok(Some(GoDuration(nanos))) }
}

async fn set(call: Call) -> Exit {
    let read = || {
        Ok::<_, FlagError>((
            boolean(&call, "cleanup-dead-servers")?,
            boolean(&call, "disable-upgrade-migration")?,
            call.parsed.number("max-trailing-logs")?,
            call.parsed.number("min-quorum")?,
            time(&call, "last-contact-threshold")?,
            time(&call, "server-stabilization-time")?,
        ))
    };
    let (cleanup, no_upgrade, trailing, quorum, contact, stable) = match read() {
        Ok(read) => read,
        Err(error) => return misused(call.command, error),
    };
    let client = client_or_fail!(call);
    let mut config = match client.autopilot_config(ReadOptions::default()).await {
        Ok(config) => config,
        Err(error) => return fail(format!("Error querying Autopilot configuration: {error}")),
    };
    config.cleanup_dead_servers = cleanup.unwrap_or(config.cleanup_dead_servers);
    config.disable_upgrade_migration = no_upgrade.unwrap_or(config.disable_upgrade_migration);
    config.max_trailing_logs = trailing.unwrap_or(config.max_trailing_logs);
    config.min_quorum = quorum.unwrap_or(config.min_quorum);
    config.last_contact_threshold = contact.unwrap_or(config.last_contact_threshold);
    config.server_stabilization_time = stable.unwrap_or(config.server_stabilization_time);
    let texts = [
        ("redundancy-zone-tag", &mut config.redundancy_zone_tag),
        ("upgrade-version-tag", &mut config.upgrade_version_tag),
    ];
    for (name, field) in texts {
        if let Some(text) = call.parsed.text(name) {
            text.clone_into(field);
        }
    }
    match client.autopilot_cas_config(&config).await {
        Ok(true) => {
            out("Configuration updated!");
            0
        }
        Ok(false) => fail("Configuration could not be atomically updated, please try again"),
        Err(error) => fail(format!("Error setting Autopilot configuration: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use lictor_api::autopilot::ServerState;

    use super::*;

    #[test]
    fn the_state_is_laid_out_as_the_original_does() {
        let server = ServerState {
            name: "node1".to_owned(),
            last_index: 13,
            meta: Some([("k".to_owned(), "v".to_owned())].into()),
            ..ServerState::default()
        };
        let state = AutopilotState {
            healthy: true,
            leader: "id".to_owned(),
            voters: vec!["id".to_owned()],
            servers: [("id".to_owned(), server)].into(),
            ..AutopilotState::default()
        };
        let text = state.pretty(false);
        assert!(text.starts_with("Healthy:                      true\nFailure"), "{text}");
        assert!(text.contains("\nVoters:\n   id\nServers:\n   id\n      Name:            node1\n"));
        assert!(text.ends_with("      Last Index:      13\n      Meta\n         \"k\": \"v\"\n"));
    }
}
