//! Shared pieces of this crate's unit tests: definitions that need only what a test is about.
//!
//! Nothing here starts anything.

use std::net::SocketAddr;
use std::time::Duration;

use lictor_types::catalog::StringMap;
use lictor_types::definition::{CheckDefinition, CheckKind};

use crate::config::{AgentConfig, Build, Definitions, MemberPorts, ProxySettings};
use crate::gossip::{GossipSettings, PoolSettings, Retry, Tuning};

/// A check with an ID, a kind, and nothing else.
pub(crate) fn check_definition(id: &str, kind: CheckKind) -> CheckDefinition {
    CheckDefinition {
        id: id.to_owned(),
        name: id.to_owned(),
        notes: String::new(),
        service_id: String::new(),
        token: String::new(),
        status: None,
        kind,
        interval: 0,
        timeout: 0,
        deregister_critical_service_after: 0,
        success_before_passing: 0,
        failures_before_critical: 0,
    }
}

/// A TTL of so many nanoseconds.
pub(crate) fn ttl(nanoseconds: i64) -> CheckKind {
    CheckKind::Ttl { ttl: nanoseconds }
}

/// Polls `condition` until it holds.
///
/// # Panics
/// When it does not within ten seconds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "not within ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Pools on free ports.
pub(crate) fn gossip() -> GossipSettings {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let pool = PoolSettings {
        bind: free,
        advertise: free,
        reconnect_timeout: Duration::from_secs(72 * 3600),
        tuning: Tuning::default(),
        join: Vec::new(),
        retry: Retry::default(),
    };
    GossipSettings {
        lan: pool.clone(),
        wan: Some(pool),
        rejoin_after_leave: false,
        verify_incoming: true,
        verify_outgoing: true,
        use_tls: false,
        acl: false,
        expect: 0,
    }
}

/// Settings of an agent of which a test changes what it is about. No data directory.
pub(crate) fn config() -> AgentConfig {
    AgentConfig {
        node_name: "n".into(),
        node_id: "11111111-2222-3333-4444-555555555555".to_owned(),
        datacenter: "dc1".to_owned(),
        advertise_address: "127.0.0.1".to_owned(),
        bind_address: "127.0.0.1".to_owned(),
        tagged_addresses: StringMap::new(),
        node_meta: StringMap::new(),
        ports: MemberPorts::default(),
        gossip: gossip(),
        server: true,
        bootstrap: false,
        data_dir: None,
        leave_drain: Duration::ZERO,
        dev: false,
        enable_script_checks: false,
        disable_coordinates: false,
        disable_remote_exec: true,
        encrypt: String::new(),
        disable_keyring_file: false,
        enable_local_script_checks: false,
        check_tls: None,
        check_update_interval: Duration::from_secs(300),
        discard_check_output: false,
        tokens: crate::tokens::TokenSet::default(),
        keep_tokens: false,
        proxy: ProxySettings {
            allow_managed_root: true,
            allow_managed_api_registration: true,
            min_port: 21000,
            max_port: 21255,
            ..ProxySettings::default()
        },
        sidecar_ports: Some(21000..=21255),
        http_address: "127.0.0.1:8500".to_owned(),
        binary: "/usr/bin/lictor".into(),
        log_level: "INFO".to_owned(),
        telemetry: crate::metrics::Telemetry::default(),
        build: Build::default(),
        debug_config: serde_json::Value::Null,
        definitions: Definitions::default(),
    }
}

/// Tokens of an agent: `default` for what has none, `agent` for itself.
pub(crate) fn tokens() -> std::sync::Arc<crate::tokens::Tokens> {
    let configured = crate::tokens::TokenSet {
        default: "default".to_owned(),
        agent: "agent".to_owned(),
        ..crate::tokens::TokenSet::default()
    };
    std::sync::Arc::new(crate::tokens::Tokens::open(configured, None))
}
