//! What a proxy is told: its public listener and its upstreams, from flags, a file, or the agent.
//!
//! Reading of files and of the command line's own words is the caller's; here come in decoded
//! values, as lenient about their types as the original is (a port may be a text). Keys and
//! defaults are those of connect.md section 13.

mod flags;
mod tree;

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

pub use flags::{FlagError, Flags};

use tree::Fields;

/// Time for connecting to the local service.
pub const LOCAL_CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);
/// Time for an inbound handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_millis(10_000);
/// Time for reaching an upstream, handshake included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(10_000);
/// Connections that each listener serves at the same time.
pub const MAX_CONNECTIONS: usize = 20_000;
/// Where upstreams listen.
const LOOPBACK: &str = "127.0.0.1";
/// Where the public listener listens.
const EVERYWHERE: &str = "0.0.0.0";
/// Upstreams that one proxy may have.
const UPSTREAMS_MAX: usize = 4096;

/// Why a configuration is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value is not of the kind that its key needs.
    #[error("{key}: expected {expected}, got {got}")]
    Kind {
        /// The key, with those around it.
        key: String,
        /// What it should be.
        expected: &'static str,
        /// What is there.
        got: String,
    },
    /// A key is missing.
    #[error("{0} must be set")]
    Missing(&'static str),
    /// There are more upstreams than a proxy may have.
    #[error("more than {UPSTREAMS_MAX} upstreams")]
    TooMany,
}

/// Everything a proxy is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyConfig {
    /// The service that the proxy speaks as.
    pub service: String,
    /// Token for the agent, if the configuration brings one.
    pub token: String,
    /// Listener for the mesh; none if there is no port.
    pub public: Option<PublicListener>,
    /// Local ports that lead to other services.
    pub upstreams: Vec<Upstream>,
}

/// The listener for other proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicListener {
    /// Address to listen on, without port.
    pub bind_address: String,
    /// Port to listen on.
    pub bind_port: u16,
    /// `host:port` of the local service.
    pub local_service_address: String,
    /// Time for connecting to the local service.
    pub local_connect_timeout: Duration,
    /// Time for a handshake.
    pub handshake_timeout: Duration,
    /// Connections at the same time.
    pub max_connections: usize,
}

/// How an upstream's instances are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DestinationKind {
    /// By the name of a service.
    #[default]
    Service,
    /// By a prepared query.
    PreparedQuery,
}

impl DestinationKind {
    /// The word in configurations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::PreparedQuery => "prepared_query",
        }
    }
}

/// What an upstream leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Destination {
    /// How it is found.
    pub kind: DestinationKind,
    /// Namespace of a service.
    pub namespace: String,
    /// Name of the service or query.
    pub name: String,
    /// Datacenter to look in; empty for the agent's.
    pub datacenter: String,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}

/// A local port that leads to another service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Where it leads.
    pub destination: Destination,
    /// Address to listen on as configured; empty for loopback.
    pub local_bind_address: String,
    /// Port to listen on; 0 is an error that is reported when the proxy runs.
    pub local_bind_port: u16,
    /// Time for reaching an instance, handshake included.
    pub connect_timeout: Duration,
}

impl Upstream {
    /// The address to listen on.
    #[must_use]
    pub fn bind_host(&self) -> &str {
        if self.local_bind_address.is_empty() { LOOPBACK } else { &self.local_bind_address }
    }
}

impl PublicListener {
    /// `host:port` to listen on, as operators write it.
    #[must_use]
    pub fn bind_addr(&self) -> String {
        join(&self.bind_address, self.bind_port)
    }
}

impl ProxyConfig {
    /// The configuration in a file: HCL or JSON, decoded. A block may be an object or a list of
    /// objects.
    ///
    /// # Errors
    /// When a value has the wrong kind, or no service is named.
    pub fn from_file(file: &Value) -> Result<Self, ConfigError> {
        let fields = Fields::of("", file)?;
        let service = fields.text("proxied_service_name")?.unwrap_or_default();
        if service.is_empty() {
            return Err(ConfigError::Missing("proxied_service_name"));
        }
        let public = match fields.object("public_listener")? {
            Some(listener) => public_listener(&listener)?,
            None => None,
        };
        Ok(Self {
            service,
            token: fields.text("token")?.unwrap_or_default(),
            public,
            upstreams: upstreams(&fields)?,
        })
    }

    /// The configuration that the agent holds for a managed proxy of `service`.
    ///
    /// # Errors
    /// When a value has the wrong kind.
    pub fn from_agent(service: &str, config: &Map<String, Value>) -> Result<Self, ConfigError> {
        let fields = Fields::of_map("", config);
        Ok(Self {
            service: service.to_owned(),
            token: String::new(),
            public: public_listener(&fields)?,
            upstreams: upstreams(&fields)?,
        })
    }
}

fn public_listener(fields: &Fields<'_>) -> Result<Option<PublicListener>, ConfigError> {
    let Some(bind_port) = fields.port("bind_port")?.filter(|port| *port > 0) else {
        return Ok(None);
    };
    let bind_address = fields.text("bind_address")?.filter(|address| !address.is_empty());
    let local_service_address = fields
        .text("local_service_address")?
        .filter(|address| !address.is_empty())
        .ok_or(ConfigError::Missing("local_service_address"))?;
    let limit = fields.number("max_connections")?.filter(|limit| *limit > 0);
    Ok(Some(PublicListener {
        bind_address: bind_address.unwrap_or_else(|| EVERYWHERE.to_owned()),
        bind_port,
        local_service_address,
        local_connect_timeout: fields
            .millis("local_connect_timeout_ms")?
            .unwrap_or(LOCAL_CONNECT_TIMEOUT),
        handshake_timeout: fields.millis("handshake_timeout_ms")?.unwrap_or(HANDSHAKE_TIMEOUT),
        max_connections: limit
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(MAX_CONNECTIONS),
    }))
}

fn upstreams(fields: &Fields<'_>) -> Result<Vec<Upstream>, ConfigError> {
    let list = fields.objects("upstreams")?;
    if list.len() > UPSTREAMS_MAX {
        return Err(ConfigError::TooMany);
    }
    list.iter().map(upstream).collect()
}

fn upstream(fields: &Fields<'_>) -> Result<Upstream, ConfigError> {
    let text = |key| fields.text(key).map(Option::unwrap_or_default);
    let kind = match text("destination_type")?.as_str() {
        "" | "service" => DestinationKind::Service,
        "prepared_query" => DestinationKind::PreparedQuery,
        other => {
            return Err(ConfigError::Kind {
                key: fields.path("destination_type"),
                expected: "service or prepared_query",
                got: other.to_owned(),
            });
        }
    };
    let name = text("destination_name")?;
    if name.is_empty() {
        return Err(ConfigError::Missing("upstreams.destination_name"));
    }
    let namespace = fields.text("destination_namespace")?.filter(|text| !text.is_empty());
    Ok(Upstream {
        destination: Destination {
            kind,
            namespace: namespace.unwrap_or_else(|| lictor_pki::spiffe::DEFAULT_NAMESPACE.into()),
            name,
            datacenter: text("destination_datacenter")?,
        },
        local_bind_address: text("local_bind_address")?,
        local_bind_port: fields.port("local_bind_port")?.unwrap_or(0),
        connect_timeout: fields.millis("connect_timeout_ms")?.unwrap_or(CONNECT_TIMEOUT),
    })
}

/// `host:port`, with brackets where the host needs them.
pub(crate) fn join(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests;
