//! A proxy's configuration from command-line options: `-service`, `-upstream`, `-listen`, ….
//!
//! Only the values are read here; which options exist is the command's. Rules and texts follow
//! cli.md section 4.

use super::{
    CONNECT_TIMEOUT, Destination, DestinationKind, HANDSHAKE_TIMEOUT, LOCAL_CONNECT_TIMEOUT,
    MAX_CONNECTIONS, ProxyConfig, PublicListener, Upstream,
};

/// Why options make no configuration; the texts are printed as they are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// No service was named.
    #[error("-service or -proxy-id must be specified so that proxy can configure itself.")]
    NoService,
    /// There is a listener and nowhere to forward to.
    #[error(
        "-service-addr must be specified with -listen so the proxy knows the backend service \
         address."
    )]
    NoServiceAddress,
    /// Registration needs a name and an address.
    #[error("-register may only be specified with -service and -listen")]
    CannotRegister,
    /// An upstream has no colon.
    #[error("Upstream value should be name:addr in {0:?}")]
    Upstream(String),
    /// An upstream's kind is unknown.
    #[error("Upstream type must be blank, 'service', or 'query'. Got: {0:?}")]
    UpstreamKind(String),
    /// An address is not `host:port`.
    #[error("{0}")]
    Address(String),
}

/// Values of the options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `-service`
    pub service: String,
    /// `-upstream`, each one
    pub upstreams: Vec<String>,
    /// `-listen`; empty if not given
    pub listen: String,
    /// `-service-addr`; empty if not given
    pub service_address: String,
    /// `-register`
    pub register: bool,
    /// `-register-id`
    pub register_id: String,
}

impl Flags {
    /// The first upstream that cannot be read, and why. They are looked at before anything else.
    #[must_use]
    pub fn bad_upstream(&self) -> Option<(&str, FlagError)> {
        self.upstreams.iter().find_map(|text| Some((text.as_str(), upstream(text).err()?)))
    }

    /// The configuration.
    ///
    /// # Errors
    /// When an option is missing or cannot be read.
    pub fn config(&self) -> Result<ProxyConfig, FlagError> {
        if self.service.is_empty() {
            return Err(FlagError::NoService);
        }
        let public = match self.listen.as_str() {
            "" => None,
            listen => {
                let (bind_address, bind_port) = split(listen)?;
                if self.service_address.is_empty() {
                    return Err(FlagError::NoServiceAddress);
                }
                Some(PublicListener {
                    bind_address: bind_address.to_owned(),
                    bind_port,
                    local_service_address: self.service_address.clone(),
                    local_connect_timeout: LOCAL_CONNECT_TIMEOUT,
                    handshake_timeout: HANDSHAKE_TIMEOUT,
                    max_connections: MAX_CONNECTIONS,
                })
            }
        };
        let upstreams = self.upstreams.iter().map(|text| upstream(text));
        if self.register && self.listen.is_empty() {
            return Err(FlagError::CannotRegister);
        }
        Ok(ProxyConfig {
            service: self.service.clone(),
            token: String::new(),
            public,
            upstreams: upstreams.collect::<Result<_, _>>()?,
        })
    }
}

/// Reads `name[.kind]:[host:]port`.
fn upstream(text: &str) -> Result<Upstream, FlagError> {
    let (name, address) =
        text.split_once(':').ok_or_else(|| FlagError::Upstream(text.to_owned()))?;
    let (name, kind) = match name.rsplit_once('.') {
        None | Some((_, "" | "service")) => (name, DestinationKind::Service),
        Some((_, "query")) => (name, DestinationKind::PreparedQuery),
        Some((_, other)) => return Err(FlagError::UpstreamKind(other.to_owned())),
    };
    let name = name.rsplit_once('.').map_or(name, |(name, _)| name);
    let (host, port) = if address.contains(':') { split(address)? } else { ("", port(address)?) };
    Ok(Upstream {
        destination: Destination {
            kind,
            namespace: lictor_pki::spiffe::DEFAULT_NAMESPACE.to_owned(),
            name: name.to_owned(),
            datacenter: String::new(),
        },
        local_bind_address: host.to_owned(),
        local_bind_port: port,
        connect_timeout: CONNECT_TIMEOUT,
    })
}

/// Splits `host:port`; the host may be empty or in brackets.
fn split(address: &str) -> Result<(&str, u16), FlagError> {
    let fault = |what: &str| FlagError::Address(format!("address {address}: {what}"));
    let (host, text) = address.rsplit_once(':').ok_or_else(|| fault("missing port in address"))?;
    let host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']').ok_or_else(|| fault("missing ']' in address"))?,
        None if host.contains(':') => return Err(fault("too many colons in address")),
        None => host,
    };
    Ok((host, port(text)?))
}

fn port(text: &str) -> Result<u16, FlagError> {
    text.parse().map_err(|_| FlagError::Address(format!("invalid port {text:?}")))
}
