//! Settings of the cluster: membership, servers, consensus, limits.
//!
//! Only what they are called and what they are for; see [`super`].

use super::super::schema::{Key, Shape, bool, duration, float, int, list, text};
use super::ENTERPRISE;

const FIXED_RAFT: &str = "the log decides by its own size when to make a snapshot";

/// One `segments` entry.
pub(crate) const SEGMENT: &[Key] = &[
    text("name", "Name of the segment."),
    text("bind", "Address for its gossip."),
    int("port", "Port for its gossip."),
    text("advertise", "Address that others use."),
    bool("rpc_listener", "Whether it has an RPC listener of its own."),
];

pub(super) const CLUSTER: &[Key] = &[
    list("start_join", "Addresses of agents to join at the start; a failure ends the start.")
        .flag("join"),
    list("start_join_wan", "The same for servers of other datacenters.").flag("join-wan"),
    list("retry_join", "Addresses of agents to join, tried until one answers.").flag("retry-join"),
    list("retry_join_wan", "The same for servers of other datacenters.").flag("retry-join-wan"),
    duration("retry_interval", "Pause between two rounds of joining. Default: 30s.")
        .flag("retry-interval"),
    duration("retry_interval_wan", "The same for retry_join_wan. Default: 30s.")
        .flag("retry-interval-wan"),
    int("retry_max", "Rounds of joining after which the agent gives up; 0: never.")
        .flag("retry-max"),
    int("retry_max_wan", "The same for retry_join_wan.").flag("retry-max-wan"),
    bool("rejoin_after_leave", "Join again after an earlier leave.").flag("rejoin"),
    duration("reconnect_timeout", "Time after which a failed member is forgotten. Default: 72h."),
    duration("reconnect_timeout_wan", "The same for servers elsewhere. Default: 72h."),
    duration("advertise_reconnect_timeout", "The same as asked for by this member itself.")
        .not_yet("members all have the same time"),
    bool(
        "leave_on_terminate",
        "Leave the cluster on SIGTERM. Default: clients true, servers false.",
    ),
    bool(
        "skip_leave_on_interrupt",
        "Do not leave on SIGINT. Default: clients false, servers true.",
    ),
    bool("disable_coordinates", "Do not estimate distances."),
    bool("disable_remote_exec", "Refuse remote execution. Default: true."),
    bool("disable_update_check", "Do not ask for new versions.").nothing("nothing is asked"),
    bool("disable_anonymous_signature", "Ask for new versions without a signature.")
        .nothing("nothing is asked"),
    int("gossip_lan.gossip_nodes", "Members told in each round."),
    duration("gossip_lan.gossip_interval", "Pause between rounds."),
    duration("gossip_lan.probe_interval", "Pause between probes."),
    duration("gossip_lan.probe_timeout", "Time for an answer to a probe."),
    int("gossip_lan.suspicion_mult", "Factor of the time of suspicion."),
    int("gossip_lan.retransmit_mult", "Factor of repetitions."),
    int("gossip_wan.gossip_nodes", "Members told in each round."),
    duration("gossip_wan.gossip_interval", "Pause between rounds."),
    duration("gossip_wan.probe_interval", "Pause between probes."),
    duration("gossip_wan.probe_timeout", "Time for an answer to a probe."),
    int("gossip_wan.suspicion_mult", "Factor of the time of suspicion."),
    int("gossip_wan.retransmit_mult", "Factor of repetitions."),
    bool("peering.enabled", "Let this cluster be peered with others.")
        .nothing("clusters are not peered"),
    text("segment", "Network segment to join.").flag("segment").refused(ENTERPRISE),
    Key::new("segments", Shape::Objects(SEGMENT), "Network segments.").refused(ENTERPRISE),
];

pub(super) const SERVERS: &[Key] = &[
    bool("server", "Run as a server, which holds the state.").flag("server"),
    bool("bootstrap", "Be the first server and elect oneself.").flag("bootstrap"),
    int("bootstrap_expect", "Number of servers to wait for before the first election.")
        .flag("bootstrap-expect"),
    bool("non_voting_server", "Follow the log without a vote.")
        .flag("non-voting-server")
        .nothing(ENTERPRISE),
    bool("read_replica", "Follow the log without a vote.").nothing(ENTERPRISE),
    int("protocol", "Version of the protocol between agents: 2 or 3. Default: 2.").flag("protocol"),
    int("raft_protocol", "Version of the consensus protocol: 2 or 3. Default: 3.")
        .flag("raft-protocol")
        .nothing("consensus has one version only"),
    int("raft_snapshot_threshold", "Log entries between snapshots. Default: 16384.")
        .nothing(FIXED_RAFT),
    duration("raft_snapshot_interval", "Pause between looks at that number. Default: 30s.")
        .nothing(FIXED_RAFT),
    int("raft_trailing_logs", "Log entries kept after a snapshot. Default: 10240.")
        .nothing(FIXED_RAFT),
    int("performance.raft_multiplier", "Factor 1..10 on the times of consensus. Default: 5."),
    duration("performance.leave_drain_time", "Time a leaving server goes on serving. Default: 5s."),
    duration("performance.rpc_hold_timeout", "Time a request waits for a leader. Default: 7s."),
    duration("session_ttl_min", "Shortest time to live of sessions. Default: 10s."),
    duration("discovery_max_stale", "Let any server answer catalog reads up to that age."),
    duration("default_query_time", "Wait of blocking reads that name none. Default: 5m."),
    duration("max_query_time", "Longest wait of blocking reads. Default: 10m."),
    bool("use_streaming_backend", "Have health reads pushed by servers.")
        .nothing("reads are pushed anyway"),
    bool("rpc.enable_streaming", "Push health reads to agents.").nothing("reads are pushed anyway"),
    bool("autopilot.cleanup_dead_servers", "Remove failed servers. Default: true."),
    duration("autopilot.last_contact_threshold", "Silence of a healthy server. Default: 200ms."),
    int("autopilot.max_trailing_logs", "Log entries a healthy server may lag. Default: 250."),
    int("autopilot.min_quorum", "Voters left when dead servers are removed. Default: 0."),
    duration("autopilot.server_stabilization_time", "Health before a vote. Default: 10s."),
    text("autopilot.redundancy_zone_tag", "Node metadata that names zones.").nothing(ENTERPRISE),
    bool("autopilot.disable_upgrade_migration", "No automatic upgrade.").nothing(ENTERPRISE),
    text("autopilot.upgrade_version_tag", "Node metadata with versions.").nothing(ENTERPRISE),
    Key::new("snapshot_agent", Shape::Opaque, "Regular snapshots.").nothing(ENTERPRISE),
    Key::new("config_entries.bootstrap", Shape::OpaqueList, "Configuration entries to begin with."),
];

pub(super) const LIMITS: &[Key] = &[
    float("limits.rpc_rate", "RPC calls a client agent makes per second; -1: any. Default: -1.")
        .reload(),
    int("limits.rpc_max_burst", "Calls it may make at once. Default: 1000.").reload(),
    int(
        "limits.http_max_conns_per_client",
        "HTTP connections of one address; 0, the default: any.",
    )
    .reload(),
    int("limits.rpc_max_conns_per_client", "RPC connections of one address. Default: 100."),
    duration("limits.https_handshake_timeout", "Time for a TLS handshake. Default: 5s."),
    duration("limits.rpc_handshake_timeout", "Time for an RPC handshake. Default: 5s."),
    int("limits.kv_max_value_size", "Longest KV value, bytes. Default: 524288."),
    int("limits.txn_max_req_len", "Longest transaction, bytes. Default: 524288."),
    text("limits.request_limits.mode", "disabled, permissive or enforcing.")
        .not_yet("servers do not limit requests yet"),
    float("limits.request_limits.read_rate", "Reads per second.")
        .not_yet("servers do not limit requests yet"),
    float("limits.request_limits.write_rate", "Writes per second.")
        .not_yet("servers do not limit requests yet"),
];
