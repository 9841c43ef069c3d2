//! Where the agent is and how it is reached: flags over environment over defaults.
//!
//! Pure: the environment is handed in as a lookup, nothing is connected. Names and meanings follow
//! the original's client (`CONSUL_HTTP_ADDR` and its kin).

use std::path::PathBuf;

use crate::decode::parse_bool;

/// Default address of an agent.
const DEFAULT_ADDRESS: &str = "127.0.0.1:8500";

/// Where an agent listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port`.
    Tcp(String),
    /// A unix socket.
    Unix(PathBuf),
}

/// How TLS is spoken, where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM file of trusted authorities; without it and `ca_path` the system's are trusted.
    pub ca_file: Option<PathBuf>,
    /// Folder of PEM files of trusted authorities.
    pub ca_path: Option<PathBuf>,
    /// PEM file of the client's certificate.
    pub client_cert: Option<PathBuf>,
    /// PEM file of its key.
    pub client_key: Option<PathBuf>,
    /// Name to expect in the agent's certificate in place of the host.
    pub server_name: Option<String>,
    /// Trust any certificate.
    pub skip_verify: bool,
}

/// Everything that a client needs to know.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// Where the agent is.
    pub address: Address,
    /// TLS settings when the scheme is https.
    pub tls: Option<TlsConfig>,
    /// Token sent with every request; empty for none.
    pub token: String,
    /// `user:password` of a reverse proxy in front of the agent.
    pub basic_auth: Option<String>,
    /// Datacenter that is asked; `None` for the agent's own.
    pub datacenter: Option<String>,
}

impl std::fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConfig")
            .field("address", &self.address)
            .field("tls", &self.tls)
            .field("datacenter", &self.datacenter)
            .finish_non_exhaustive()
    }
}

/// What the command line says; each wins over the environment.
#[derive(Clone, Default, PartialEq, Eq)]
#[allow(missing_debug_implementations, reason = "it holds a token")]
pub struct Overrides {
    /// `-http-addr`
    pub address: Option<String>,
    /// `-token`
    pub token: Option<String>,
    /// `-token-file`
    pub token_file: Option<String>,
    /// `-ca-file`
    pub ca_file: Option<String>,
    /// `-ca-path`
    pub ca_path: Option<String>,
    /// `-client-cert`
    pub client_cert: Option<String>,
    /// `-client-key`
    pub client_key: Option<String>,
    /// `-tls-server-name`
    pub tls_server_name: Option<String>,
    /// `-datacenter`
    pub datacenter: Option<String>,
}

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Something other than http, https or unix before `://`.
    #[error("Unknown protocol scheme: {0}")]
    Scheme(String),
    /// A variable that must be a boolean is none.
    #[error("could not parse {name}: \"{value}\" is not a boolean")]
    Boolean {
        /// Name of the variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// A file cannot be read.
    #[error("Error loading {what}: open {path}: {source}")]
    File {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("Error loading {what}: {path} holds no usable certificate or key: {reason}")]
    Certificate {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Certificate and key go together.
    #[error("both client cert and client key must be provided")]
    HalfPair,
    /// The host is no name that a certificate can have.
    #[error("invalid TLS server name: {0}")]
    ServerName(String),
    /// The token cannot be sent in a header.
    #[error("the token holds characters that cannot be sent")]
    Token,
    /// The basic authentication cannot be sent in a header.
    #[error("the basic authentication holds characters that cannot be sent")]
    BasicAuth,
}

impl ClientConfig {
    /// A configuration for an agent at `address` (`host:port`, `http://…`, `https://…`,
    /// `unix://…`) and nothing else.
    ///
    /// # Errors
    /// When the scheme is unknown.
    pub fn for_address(address: &str) -> Result<Self, ConfigError> {
        let overrides = Overrides { address: Some(address.to_owned()), ..Overrides::default() };
        Self::resolve(&overrides, |_| None)
    }

    /// Merges what the command line says over what the environment says. A token file is read.
    ///
    /// # Errors
    /// When a value cannot be understood, or the token file not be read.
    pub fn resolve(
        overrides: &Overrides,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let env = |name: &str| environment(name).filter(|value| !value.is_empty());
        let pick = |flag: &Option<String>, name: &str| {
            flag.clone().filter(|value| !value.is_empty()).or_else(|| env(name))
        };
        let flag = |name: &'static str| match env(name) {
            None => Ok(None),
            Some(value) => match parse_bool(&value) {
                Some(on) => Ok(Some(on)),
                None => Err(ConfigError::Boolean { name, value }),
            },
        };
        let given = pick(&overrides.address, "CONSUL_HTTP_ADDR")
            .unwrap_or_else(|| DEFAULT_ADDRESS.to_owned());
        let (address, https) = parse_address(&given, flag("CONSUL_HTTP_SSL")?.unwrap_or(false))?;
        let tls = TlsConfig {
            ca_file: pick(&overrides.ca_file, "CONSUL_CACERT").map(PathBuf::from),
            ca_path: pick(&overrides.ca_path, "CONSUL_CAPATH").map(PathBuf::from),
            client_cert: pick(&overrides.client_cert, "CONSUL_CLIENT_CERT").map(PathBuf::from),
            client_key: pick(&overrides.client_key, "CONSUL_CLIENT_KEY").map(PathBuf::from),
            server_name: pick(&overrides.tls_server_name, "CONSUL_TLS_SERVER_NAME"),
            skip_verify: !flag("CONSUL_HTTP_SSL_VERIFY")?.unwrap_or(true),
        };
        Ok(Self {
            address,
            tls: https.then_some(tls),
            token: token(overrides, env)?,
            basic_auth: env("CONSUL_HTTP_AUTH"),
            datacenter: overrides.datacenter.clone().filter(|dc| !dc.is_empty()),
        })
    }
}

/// `-token`, then `-token-file`, then the variables in the same order.
fn token(
    overrides: &Overrides,
    env: impl Fn(&str) -> Option<String>,
) -> Result<String, ConfigError> {
    if let Some(token) = &overrides.token
        && !token.is_empty()
    {
        return Ok(token.clone());
    }
    let file = match &overrides.token_file {
        Some(file) if !file.is_empty() => file.clone(),
        _ => match (env("CONSUL_HTTP_TOKEN"), env("CONSUL_HTTP_TOKEN_FILE")) {
            (Some(token), _) => return Ok(token),
            (None, Some(file)) => file,
            (None, None) => return Ok(String::new()),
        },
    };
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(source) => Err(ConfigError::File { what: "token file", path: file, source }),
    }
}

fn parse_address(given: &str, ssl: bool) -> Result<(Address, bool), ConfigError> {
    let (scheme, rest) = match given.split_once("://") {
        None => (if ssl { "https" } else { "http" }, given),
        Some(("http", rest)) if ssl => ("https", rest),
        Some(parts) => parts,
    };
    match scheme {
        "unix" => Ok((Address::Unix(PathBuf::from(rest)), false)),
        "http" | "https" => {
            let host = rest.trim_end_matches('/');
            let https = scheme == "https";
            let port = if https { 443 } else { 80 };
            let has_port = match host.rsplit_once(':') {
                Some((before, port)) => {
                    !port.contains(']') && (!before.contains(':') || before.ends_with(']'))
                }
                None => false,
            };
            let address = if has_port { host.to_owned() } else { format!("{host}:{port}") };
            Ok((Address::Tcp(address), https))
        }
        other => Err(ConfigError::Scheme(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(flags: &Overrides, vars: &[(&str, &str)]) -> Result<ClientConfig, String> {
        let lookup = |name: &str| {
            vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        };
        ClientConfig::resolve(flags, lookup).map_err(|e| e.to_string())
    }

    fn tcp(address: &str) -> Address {
        Address::Tcp(address.to_owned())
    }

    #[test]
    fn addresses_in_all_forms() {
        for (given, address, https) in [
            ("10.0.0.1:8500", tcp("10.0.0.1:8500"), false),
            ("http://h:1/", tcp("h:1"), false),
            ("https://h", tcp("h:443"), true),
            ("localhost", tcp("localhost:80"), false),
            ("[::1]:8500", tcp("[::1]:8500"), false),
            ("http://[::1]", tcp("[::1]:80"), false),
            ("unix:///run/x.sock", Address::Unix("/run/x.sock".into()), false),
        ] {
            let config = resolve(&Overrides::default(), &[("CONSUL_HTTP_ADDR", given)]).unwrap();
            assert_eq!((config.address, config.tls.is_some()), (address, https), "{given}");
        }
        assert_eq!(
            resolve(&Overrides::default(), &[("CONSUL_HTTP_ADDR", "ftp://x")]),
            Err("Unknown protocol scheme: ftp".to_owned())
        );
    }

    #[test]
    fn flags_win_over_the_environment() {
        let flags = Overrides {
            address: Some("f:1".into()),
            token: Some("flag".into()),
            ca_file: Some("ca".into()),
            datacenter: Some("dc2".into()),
            ..Overrides::default()
        };
        let vars = [
            ("CONSUL_HTTP_ADDR", "e:1"),
            ("CONSUL_HTTP_TOKEN", "env"),
            ("CONSUL_CACERT", "other"),
            ("CONSUL_HTTP_SSL", "1"),
            ("CONSUL_HTTP_SSL_VERIFY", "false"),
            ("CONSUL_TLS_SERVER_NAME", "name"),
            ("CONSUL_HTTP_AUTH", "u:p"),
        ];
        let config = resolve(&flags, &vars).unwrap();
        assert_eq!(config.address, tcp("f:1"));
        assert_eq!(config.token, "flag");
        assert_eq!(config.basic_auth.as_deref(), Some("u:p"));
        assert_eq!(config.datacenter.as_deref(), Some("dc2"));
        let tls = config.tls.unwrap();
        assert_eq!(tls.ca_file, Some("ca".into()));
        assert_eq!(tls.server_name.as_deref(), Some("name"));
        assert!(tls.skip_verify);
    }

    #[test]
    fn defaults_and_mistakes() {
        let config = resolve(&Overrides::default(), &[("CONSUL_HTTP_ADDR", "")]).unwrap();
        assert_eq!(config.address, tcp("127.0.0.1:8500"));
        assert!(config.tls.is_none() && config.token.is_empty());
        assert!(resolve(&Overrides::default(), &[("CONSUL_HTTP_SSL", "ja")]).is_err());
        assert!(resolve(&Overrides::default(), &[("CONSUL_HTTP_TOKEN_FILE", "/nope")]).is_err());
    }

    #[test]
    fn the_token_file_is_read_and_trimmed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "secret\n").unwrap();
        let path = file.to_str().unwrap();
        let config = resolve(&Overrides::default(), &[("CONSUL_HTTP_TOKEN_FILE", path)]).unwrap();
        assert_eq!(config.token, "secret");
        let both = [("CONSUL_HTTP_TOKEN_FILE", path), ("CONSUL_HTTP_TOKEN", "plain")];
        assert_eq!(resolve(&Overrides::default(), &both).unwrap().token, "plain");
    }
}
