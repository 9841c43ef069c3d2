//! A server for tests: alone, in memory, leading.

use std::time::Duration;

use lictor_raft::{Storage, Timing};
use lictor_types::catalog::StringMap;

use crate::config::{CaSettings, ServerConfig};
use crate::server::Server;

pub(crate) mod cluster;

/// Settings of a server in memory.
pub(crate) fn config() -> ServerConfig {
    ServerConfig {
        node_name: "n1".into(),
        node_id: "11111111-2222-3333-4444-555555555555".into(),
        datacenter: "dc1".into(),
        advertise_address: "127.0.0.1".into(),
        server_port: 8300,
        tagged_addresses: StringMap::new(),
        node_meta: StringMap::new(),
        storage: Storage::Memory,
        bootstrap: true,
        expect: 0,
        timing: Timing::default(),
        transport: None,
        hold_timeout: Duration::from_secs(5),
        session_ttl_min: Duration::from_secs(10),
        waits: crate::config::Waits::default(),
        acl: crate::authorize::AclSettings::default(),
        primary: None,
        version: "1.2.0".into(),
        config_entries: Vec::new(),
        autopilot: Default::default(),
        metrics: lictor_metrics::Metrics::default(),
        ca: Some(CaSettings::default()),
    }
}

/// A server whose leader has taken up its duties.
pub(crate) async fn start() -> Server {
    start_with(config()).await
}

/// The same with other settings.
pub(crate) async fn start_with(config: ServerConfig) -> Server {
    let server = Server::start(config).await.unwrap();
    let ready = tokio::time::timeout(Duration::from_secs(10), server.authority().ready());
    ready.await.unwrap();
    server
}
