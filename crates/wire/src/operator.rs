//! Consensus and autopilot, for operators.

use std::collections::BTreeMap;

use lictor_pack::{Malformed, Reader, Writer};
use lictor_types::autopilot::{
    AutopilotConfig, AutopilotHealth, AutopilotWrite, LogStatus, ServerHealth,
};
use lictor_types::operator::{RaftGroup, RaftServer, Usage as Held};
use lictor_types::query::Reply;

use crate::record::{fields, record};
use crate::value::Value;
use crate::{ReadRequest, WriteRequest, methods};

methods! {
    /// The consensus group.
    RaftGetConfiguration = "Operator.RaftGetConfiguration": ReadRequest => RaftGroup;
    /// Removes a member by its address.
    RaftRemovePeerByAddress = "Operator.RaftRemovePeerByAddress": WriteRequest<PeerArgs> => ();
    /// Removes a member by its id.
    RaftRemovePeerByID = "Operator.RaftRemovePeerByID": WriteRequest<PeerArgs> => ();
    /// Makes another voter leader, by its id, or any other. The original has another way for this.
    RaftTransferLeader = "Operator.RaftTransferLeader": WriteRequest<PeerArgs> => bool;
    /// How much the catalog holds.
    Usage = "Operator.Usage": ReadRequest => Reply<Held>;
    /// The settings of autopilot.
    AutopilotGetConfiguration = "Operator.AutopilotGetConfiguration":
        ReadRequest => AutopilotConfig;
    /// Changes the settings of autopilot; false if they were others than expected.
    AutopilotSetConfiguration = "Operator.AutopilotSetConfiguration":
        WriteRequest<AutopilotWrite> => bool;
    /// The servers' health.
    Health = "Operator.ServerHealth": ReadRequest => AutopilotHealth;
    /// The same in another form, which version 1.2 does not know.
    AutopilotState = "Operator.AutopilotState": ReadRequest => State;
}

/// A member of the consensus group, by one or the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerArgs {
    /// Its address.
    pub address: String,
    /// Its id.
    pub id: String,
}

fields! { PeerArgs {
    "Address": address,
    "ID": id,
} }

fields! { Held {
    "Datacenter": datacenter,
    "BillableServiceInstances": billable,
    "ConnectServiceInstances": connect,
    "Nodes": nodes,
    "ServiceInstances": instances,
    "Services": services,
} }

record! { RaftGroup {
    "Index": index,
    "Servers": servers,
} }

record! { RaftServer {
    "Address": address,
    "ID": id,
    "Leader": leader,
    "Node": node,
    // What all that are asked by id have.
    "ProtocolVersion" = "3",
    "Voter": voter,
} }

record! { AutopilotConfig {
    "CleanupDeadServers": cleanup_dead_servers,
    "CreateIndex": create_index,
    "DisableUpgradeMigration": disable_upgrade_migration,
    "LastContactThreshold": last_contact_threshold,
    "MaxTrailingLogs": max_trailing_logs,
    "MinQuorum": min_quorum,
    "ModifyIndex": modify_index,
    "RedundancyZoneTag": redundancy_zone_tag,
    "ServerStabilizationTime": server_stabilization_time,
    "UpgradeVersionTag": upgrade_version_tag,
} }

// The index that is expected is a part of the settings.
fields! { AutopilotWrite = Self {
    config: AutopilotConfig::default(),
    cas: None,
} => settle expected {
    "CAS" fn put_cas => take_cas,
    "Config" fn put_config => take_config,
} }

fn put_cas(write: &AutopilotWrite, to: &mut Writer) {
    to.bool(write.cas.is_some());
}

fn take_cas(write: &mut AutopilotWrite, from: &mut Reader<'_>) -> Result<(), Malformed> {
    write.cas = from.bool()?.then_some(0);
    Ok(())
}

fn put_config(write: &AutopilotWrite, to: &mut Writer) {
    let modify_index = write.cas.unwrap_or(write.config.modify_index);
    AutopilotConfig { modify_index, ..write.config.clone() }.write(to);
}

fn take_config(write: &mut AutopilotWrite, from: &mut Reader<'_>) -> Result<(), Malformed> {
    write.config = Value::read(from)?;
    Ok(())
}

fn expected(write: &mut AutopilotWrite) {
    write.cas = write.cas.map(|_| write.config.modify_index);
}

/// What gossip says of a member, as the number that it has on the wire.
struct Member;

const MEMBERS: [&str; 5] = ["none", "alive", "leaving", "left", "failed"];

impl Member {
    fn write(status: &str, to: &mut Writer) {
        to.uint(MEMBERS.iter().position(|word| *word == status).unwrap_or(0) as u64);
    }

    fn read(from: &mut Reader<'_>) -> Result<String, Malformed> {
        let number = usize::try_from(from.uint()?).map_err(|_| Malformed::Range)?;
        MEMBERS.get(number).map(|word| (*word).to_owned()).ok_or(Malformed::Range)
    }
}

record! { ServerHealth {
    "Address": address,
    "Healthy": healthy,
    "ID": id,
    "LastContact": log.last_contact,
    "LastIndex": log.last_index,
    "LastTerm": log.last_term,
    "Leader": leader,
    "Name": name,
    "SerfStatus": serf_status as Member,
    "StableSince": stable_since,
    "Version": version,
    "Voter": voter,
} }

record! { AutopilotHealth {
    "FailureTolerance": failure_tolerance,
    "Healthy": healthy,
    "Servers": servers,
} }

/// All servers as autopilot sees them, by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State(pub AutopilotHealth);

record! { State {
    "Ext" = None::<String>,
    "FailureTolerance": 0.failure_tolerance,
    "Healthy": 0.healthy,
    "Leader" fn put_leader => take_nothing,
    "Servers" fn put_servers => take_servers,
    "Voters" fn put_voters => take_nothing,
} }

fn put_leader(state: &State, to: &mut Writer) {
    let leader = state.0.servers.iter().find(|server| server.leader);
    to.raw(leader.map(|server| &*server.id).unwrap_or_default());
}

fn put_voters(state: &State, to: &mut Writer) {
    let voters = state.0.servers.iter().filter(|server| server.voter);
    voters.map(|server| server.id.clone()).collect::<Vec<_>>().write(to);
}

/// The servers say it themselves.
fn take_nothing(_: &mut State, from: &mut Reader<'_>) -> Result<(), Malformed> {
    from.skip()
}

fn put_servers(state: &State, to: &mut Writer) {
    to.map(state.0.servers.len());
    for server in &state.0.servers {
        to.raw(&server.id);
        ServerState(server.clone()).write(to);
    }
}

fn take_servers(state: &mut State, from: &mut Reader<'_>) -> Result<(), Malformed> {
    let servers = BTreeMap::<String, ServerState>::read(from)?;
    state.0.servers = servers.into_values().map(|server| server.0).collect();
    Ok(())
}

#[derive(Default)]
struct ServerState(ServerHealth);

record! { ServerState {
    "Health" fn put_health => take_health,
    "Server" fn put_server => take_server,
    "State" fn put_state => take_state,
    "Stats" fn put_stats => take_stats,
} }

#[derive(Default)]
struct Wellness(ServerHealth);

record! { Wellness {
    "Healthy": 0.healthy,
    "StableSince": 0.stable_since,
} }

#[derive(Default)]
struct Server(ServerHealth);

record! { Server {
    "Address": 0.address,
    "Ext" = None::<String>,
    "ID": 0.id,
    "IsLeader": 0.leader,
    "Meta" = None::<String>,
    "Name": 0.name,
    "NodeStatus": 0.serf_status,
    "NodeType" = "voter",
    "RaftVersion" = 3_u64,
    "Version": 0.version,
} }

record! { LogStatus {
    "LastContact": last_contact,
    "LastIndex": last_index,
    "LastTerm": last_term,
} }

fn put_health(server: &ServerState, to: &mut Writer) {
    Wellness(server.0.clone()).write(to);
}

fn take_health(server: &mut ServerState, from: &mut Reader<'_>) -> Result<(), Malformed> {
    let read = Wellness::read(from)?.0;
    (server.0.healthy, server.0.stable_since) = (read.healthy, read.stable_since);
    Ok(())
}

fn put_server(server: &ServerState, to: &mut Writer) {
    Server(server.0.clone()).write(to);
}

fn take_server(server: &mut ServerState, from: &mut Reader<'_>) -> Result<(), Malformed> {
    let read = Server::read(from)?.0;
    let old = std::mem::take(&mut server.0);
    server.0 = ServerHealth {
        log: old.log,
        healthy: old.healthy,
        leader: old.leader || read.leader,
        voter: old.voter,
        stable_since: old.stable_since,
        ..read
    };
    Ok(())
}

fn put_state(server: &ServerState, to: &mut Writer) {
    to.raw(match (server.0.leader, server.0.voter) {
        (true, _) => "leader",
        (false, true) => "voter",
        (false, false) => "non-voter",
    });
}

fn take_state(server: &mut ServerState, from: &mut Reader<'_>) -> Result<(), Malformed> {
    let state = from.raw()?;
    server.0.voter = matches!(state, b"leader" | b"voter");
    // Version 1.10 says it nowhere else.
    server.0.leader |= state == b"leader";
    Ok(())
}

fn put_stats(server: &ServerState, to: &mut Writer) {
    server.0.log.write(to);
}

fn take_stats(server: &mut ServerState, from: &mut Reader<'_>) -> Result<(), Malformed> {
    server.0.log = Value::read(from)?;
    Ok(())
}
