//! What a server must be told.

use std::sync::Arc;
use std::time::Duration;

use lictor_metrics::Metrics;
use lictor_raft::{Storage, Timing, Transport};
use lictor_types::autopilot::AutopilotConfig;
use lictor_types::catalog::StringMap;
use lictor_types::config_entry::ConfigEntry;

use crate::authorize::AclSettings;

/// Settings of a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Name of the node.
    pub node_name: Arc<str>,
    /// UUID of the node.
    pub node_id: String,
    /// Datacenter of the node.
    pub datacenter: String,
    /// Address that others use for the node.
    pub advertise_address: String,
    /// Port of RPC and consensus, as others are told.
    pub server_port: u16,
    /// Addresses of the node by kind.
    pub tagged_addresses: StringMap,
    /// Metadata of the node.
    pub node_meta: StringMap,
    /// Where the log is.
    pub storage: Storage,
    /// Whether it makes itself the first server.
    pub bootstrap: bool,
    /// How many servers are waited for before they begin a cluster together; 0 for none.
    pub expect: u32,
    /// Patience of consensus.
    pub timing: Timing,
    /// The way to other servers; `None` for a server that stays alone.
    pub transport: Option<Arc<dyn Transport>>,
    /// How long a request waits for a leader before it fails.
    pub hold_timeout: Duration,
    /// Shortest time that a session may ask for.
    pub session_ttl_min: Duration,
    /// How long blocking reads wait.
    pub waits: Waits,
    /// Access control.
    pub acl: AclSettings,
    /// Another datacenter that rules this one; `None` where this one rules itself.
    pub primary: Option<Primary>,
    /// Version of the program, as others are told.
    pub version: String,
    /// Configuration entries for a cluster that does not have them yet.
    pub config_entries: Vec<ConfigEntry>,
    /// Settings of autopilot for a cluster that has none yet.
    pub autopilot: AutopilotConfig,
    /// Where everything is counted.
    pub metrics: Metrics,
    /// The mesh; `None` turns it off.
    pub ca: Option<CaSettings>,
}

/// Another datacenter that rules this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    /// Its name.
    pub datacenter: String,
    /// Whether its tokens are copied here, and local ones can be made. Policies and roles always are
    /// copied where access control is on.
    pub tokens: bool,
    /// Whether it rules the mesh too: the authority here is one below its root, and its intentions hold
    /// here.
    pub mesh: bool,
}

/// Settings of the certificate authority for a cluster that has none yet.
#[derive(Clone, Default)]
pub struct CaSettings {
    /// Name of the provider.
    pub provider: String,
    /// UUID of the trust domain; empty makes one up.
    pub cluster_id: String,
    /// The provider's settings, in the API's names.
    pub config: serde_json::Map<String, serde_json::Value>,
}

impl CaSettings {
    /// Whether the provider can be made with these; whether it can be reached is another matter.
    ///
    /// # Errors
    /// What is wrong, in the API's words.
    pub fn check(&self) -> Result<(), String> {
        let read = crate::ca::ProviderSettings::read(&self.provider, &self.config);
        read.map(drop).map_err(|error| error.text)
    }
}

impl std::fmt::Debug for CaSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The settings hold keys and tokens.
        f.debug_struct("CaSettings").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// How long a blocking read waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// When it does not say so.
    pub usual: Duration,
    /// At most.
    pub most: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { usual: Duration::from_secs(300), most: Duration::from_secs(600) }
    }
}
