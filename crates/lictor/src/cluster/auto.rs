//! Certificates that servers make for client agents (`auto_encrypt`).
//!
//! A client agent that has nothing but the servers' authority asks one of them for a certificate of the
//! mesh's authority before it joins, and again before that ends or when the authority changes. A server
//! that makes such certificates trusts that authority on its port. Forms and times follow later versions
//! of the original, except that a certificate is always asked for in this way, also when an older one is
//! still good: so there is one way, which works when it has ended as well.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lictor_forward::Servers;
use lictor_http::{Held, TlsError};
use lictor_pki::{AgentId, CsrError, KeyError, PrivateKey, TrustDomain, csr};
use lictor_rpc::client::{ClientError, ClientTls, open_call};
use lictor_types::ca::CaRoots;
use lictor_types::query::{Consistency, QueryOptions, Reply};
use lictor_wire::Message as _;
use lictor_wire::connect_ca::{AutoEncryptReply, AutoEncryptSign, SignArgs};
use lictor_wire::{Method, WriteRequest};
use tokio::time::{sleep, timeout};

/// The trust domain of those who do not know theirs yet.
const UNKNOWN: &str = "unknown";
/// Names that every agent asks for beside those of its configuration.
const LOCALHOST: &str = "localhost";
/// How long one server may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pauses after a round in which no server answered: doubled from the first to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MOST: Duration = Duration::from_secs(30);
/// How often the time of day is looked at: a machine may have slept.
const LOOK: Duration = Duration::from_secs(10);
/// How long a change of the authority waits at most, so that not all agents ask at once.
const SPREAD: Duration = Duration::from_secs(3);
/// A certificate is asked for again in this part of its life, in percent.
const RENEWAL: std::ops::Range<u32> = 60..90;

/// Settings of a client agent whose certificate servers make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AutoSettings {
    /// Name of its node.
    pub(crate) node: String,
    /// Its datacenter.
    pub(crate) datacenter: String,
    /// More DNS names than `localhost`.
    pub(crate) dns_names: Vec<String>,
    /// More addresses than those of the loopback.
    pub(crate) addresses: Vec<IpAddr>,
    /// What it joins, with or without a port.
    pub(crate) join: Vec<String>,
    /// The port where servers are asked.
    pub(crate) port: u16,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AutoError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Request(#[from] CsrError),
    #[error("the request cannot be written: {0}")]
    Wire(#[from] lictor_wire::WireError),
    #[error("{0} is no datacenter")]
    Datacenter(String),
    #[error("{0:?} cannot be found: {1}")]
    Host(String, #[source] io::Error),
    #[error(transparent)]
    Call(#[from] ClientError),
    #[error("{0} did not answer within {PATIENCE:?}")]
    TimedOut(SocketAddr),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("no server is known: set retry_join, or start_join")]
    Nobody,
}

/// What a server gave.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    /// The certificate with its key, and whom to trust.
    pub(crate) held: Held,
    /// Whether a server's certificate must have a server's name.
    pub(crate) verify_server_hostname: bool,
    /// The roots of the mesh at that time.
    roots: Known,
    /// When it is to be asked for again, in seconds since 1970.
    renew_at: u64,
}

/// What of the roots makes a difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    active: String,
    roots: Vec<String>,
}

impl Known {
    fn of(roots: &CaRoots) -> Self {
        let all = roots.roots.iter().map(|root| root.root_cert.clone());
        Self { active: roots.active_root_id.clone(), roots: all.collect() }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// When a certificate that ends then is to be asked for again.
fn renewal(now: u64, end: u64, percent: u32) -> u64 {
    now + end.saturating_sub(now) / 100 * u64::from(percent)
}

impl AutoSettings {
    /// Asks one server.
    async fn ask_one(
        &self,
        tls: &ClientTls,
        address: SocketAddr,
        token: &str,
    ) -> Result<Granted, AutoError> {
        let key = PrivateKey::generate()?;
        let domain = TrustDomain::new(UNKNOWN);
        let id = AgentId {
            trust_domain: domain.map_err(|_| AutoError::Datacenter(self.datacenter.clone()))?,
            datacenter: self.datacenter.clone(),
            node: self.node.clone(),
        };
        let mut names = vec![LOCALHOST.to_owned()];
        names.extend(self.dns_names.iter().cloned());
        let mut addresses: Vec<IpAddr> =
            vec![[127, 0, 0, 1].into(), std::net::Ipv6Addr::LOCALHOST.into()];
        addresses.extend(&self.addresses);
        let args = SignArgs { csr: csr::make_for_agent(&id, &names, &addresses, &key)? };
        let body = WriteRequest::new(&self.datacenter, token, args).encode()?;
        let asked = open_call(tls, address, &self.datacenter, AutoEncryptSign::NAME, &body);
        let answer = timeout(PATIENCE, asked).await.map_err(|_| AutoError::TimedOut(address))??;
        let reply = <AutoEncryptSign as Method>::Reply::decode(&answer)?;
        Ok(Self::granted(reply, &key))
    }

    fn granted(reply: AutoEncryptReply, key: &PrivateKey) -> Granted {
        let AutoEncryptReply { leaf, roots, manual_roots, verify_server_hostname, .. } = reply;
        let roots = roots.map(|roots| Known::of(&roots.result.value)).unwrap_or_default();
        let end = u64::try_from(leaf.valid_before.0 / 1_000_000_000).unwrap_or_default();
        let authorities = manual_roots.into_iter().chain(roots.roots.iter().cloned()).collect();
        Granted {
            held: Held { chain: leaf.cert_pem, key: key.to_pem(), authorities },
            verify_server_hostname,
            roots,
            renew_at: renewal(now(), end, fastrand::u32(RENEWAL)),
        }
    }

    /// Where servers may be.
    async fn places(&self, servers: Option<&Servers>) -> Result<Vec<SocketAddr>, AutoError> {
        let known = servers.and_then(|servers| {
            let routes = servers.routes();
            routes.next(routes.datacenter()).map(|target| target.address)
        });
        let mut places: Vec<_> = known.into_iter().collect();
        let mut failed = AutoError::Nobody;
        for text in &self.join {
            match tokio::net::lookup_host((host(text), self.port)).await {
                Ok(found) => places.extend(found),
                Err(error) => failed = AutoError::Host(text.clone(), error),
            }
        }
        if places.is_empty() { Err(failed) } else { Ok(places) }
    }

    /// Asks servers one after the other until one gives a certificate.
    ///
    /// # Errors
    /// The last failure when none does.
    async fn ask(
        &self,
        tls: &ClientTls,
        servers: Option<&Servers>,
        token: &str,
    ) -> Result<Granted, AutoError> {
        let mut failed = AutoError::Nobody;
        for address in self.places(servers).await? {
            match self.ask_one(tls, address, token).await {
                Ok(granted) => return Ok(granted),
                Err(error) => {
                    tracing::debug!(%address, %error, "a server gave no certificate");
                    failed = error;
                }
            }
        }
        Err(failed)
    }

    /// Asks until there is a certificate. `tls` is made anew for each round.
    pub(super) async fn ask_until_granted(
        &self,
        tls: impl Fn() -> Result<Option<ClientTls>, TlsError>,
        servers: Option<&Servers>,
        token: impl Fn() -> Arc<str>,
    ) -> Granted {
        let mut pause = PAUSE;
        loop {
            let asked = async {
                let tls = tls()?.ok_or(AutoError::Nobody)?;
                self.ask(&tls, servers, &token()).await
            };
            match asked.await {
                Ok(granted) => {
                    tracing::info!("servers made a certificate for this agent");
                    return granted;
                }
                Err(error) => tracing::error!(%error, "no server gave this agent a certificate"),
            }
            sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(PAUSE_MOST);
        }
    }
}

impl Granted {
    /// Resolves when another certificate is to be asked for.
    pub(super) async fn is_due(&self, servers: &Servers) {
        let ends = async {
            loop {
                let left = self.renew_at.saturating_sub(now());
                if left == 0 {
                    return;
                }
                sleep(LOOK.min(Duration::from_secs(left))).await;
            }
        };
        let changed = async {
            let mut roots = Roots::new(servers);
            while Known::of(&roots.next().await.result.value) == self.roots {}
            sleep(SPREAD.mul_f64(fastrand::f64())).await;
        };
        tokio::select! {
            () = ends => {}
            () = changed => {}
        }
    }
}

/// The roots of the mesh, followed.
pub(super) struct Roots<'a> {
    servers: &'a Servers,
    index: u64,
}

impl<'a> Roots<'a> {
    pub(super) fn new(servers: &'a Servers) -> Self {
        Self { servers, index: 0 }
    }

    /// They as they are, then again whenever they may have changed.
    pub(super) async fn next(&mut self) -> Reply<CaRoots> {
        let options = QueryOptions {
            min_index: self.index,
            max_wait: Duration::from_secs(600),
            consistency: Consistency::Stale,
            ..QueryOptions::default()
        };
        let mut pause = PAUSE;
        loop {
            match self.servers.ca_roots(&options).await {
                Ok(reply) => {
                    // Where there are none yet nothing blocks.
                    if reply.result.index <= self.index {
                        sleep(PAUSE).await;
                    }
                    self.index = reply.result.index;
                    return reply;
                }
                Err(error) => tracing::debug!(%error, "the roots of the mesh are not known"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MOST);
        }
    }
}

/// The host of an address with or without a port.
fn host(text: &str) -> &str {
    if text.parse::<IpAddr>().is_ok() {
        return text;
    }
    let text = match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => text,
    };
    text.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_gossip_are_not_those_of_servers() {
        for (text, found) in [
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1:8301", "10.0.0.1"),
            ("a.example.com:8301", "a.example.com"),
            ("a.example.com", "a.example.com"),
            ("fe80::1", "fe80::1"),
            ("[fe80::1]:8301", "fe80::1"),
            ("[fe80::1]", "fe80::1"),
        ] {
            assert_eq!(host(text), found);
        }
    }

    #[test]
    fn certificates_are_renewed_before_they_end() {
        assert_eq!(renewal(1000, 1000 + 3600, 60), 1000 + 2160);
        assert_eq!(renewal(1000, 500, 75), 1000);
        let early = (RENEWAL.start, RENEWAL.end);
        assert!(
            renewal(0, 100_000, early.0) >= 60_000 && renewal(0, 100_000, early.1 - 1) < 90_000
        );
    }
}
