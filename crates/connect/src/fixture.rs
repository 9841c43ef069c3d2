//! A mesh for tests: one authority, identities of services, pairs of sockets, rules.
//!
//! Absent on purpose: assertions, and an agent.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lictor_pki::{Identity, PrivateKey, Root, ServiceId, TrustBundle, TrustDomain, csr};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::accept::Acceptor;
use crate::dial::Dialer;
use crate::endpoint::{Endpoint, ExpectedService};
use crate::identity::LocalIdentity;
use crate::live::LiveConnections;
use crate::policy::{Action, Policy, PolicySnapshot, Rule, Rules};

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

/// One cluster's authority.
pub(crate) struct Mesh {
    pub(crate) domain: TrustDomain,
    pub(crate) root: Root,
}

impl Mesh {
    pub(crate) fn new() -> Self {
        Self::of("11111111-2222-3333-4444-555555555555.consul")
    }

    pub(crate) fn of(domain: &str) -> Self {
        let domain = TrustDomain::new(domain).unwrap();
        let root = Root::generate(&domain, 1, now()).unwrap();
        Self { domain, root }
    }

    pub(crate) fn bundle(&self) -> TrustBundle {
        TrustBundle::new(self.domain.clone(), [self.root.cert_pem()]).unwrap()
    }

    pub(crate) fn service(&self, name: &str) -> ServiceId {
        ServiceId::new(self.domain.clone(), "dc1", name)
    }

    /// Certificate and key as PEM.
    pub(crate) fn leaf(&self, name: &str) -> (String, String) {
        let id = self.service(name);
        let key = PrivateKey::generate().unwrap();
        let request = csr::Csr::from_pem(&csr::make(&id, &key).unwrap()).unwrap();
        let leaf = self.root.sign_leaf(&request, &id, 3600, now()).unwrap();
        (leaf.cert_pem, key.to_pem().to_string())
    }

    pub(crate) fn identity(&self, name: &str) -> Arc<LocalIdentity> {
        let (cert, key) = self.leaf(name);
        let identity = Identity::from_pem(&cert, &key).unwrap();
        Arc::new(LocalIdentity::new(identity, self.bundle()).unwrap())
    }

    pub(crate) fn dialer(&self, name: &str) -> Dialer {
        Dialer::new(watch::channel(Some(self.identity(name))).1)
    }

    /// An acceptor, and the sender of its rules, which allow everybody.
    pub(crate) fn acceptor(&self, name: &str) -> (Acceptor, PolicySender) {
        let (rules, policy) = watch::channel(Some(snapshot(1, Vec::new(), Action::Allow)));
        let live = LiveConnections::new(Policy::new(policy));
        (Acceptor::new(watch::channel(Some(self.identity(name))).1, live), rules)
    }
}

pub(crate) type PolicySender = watch::Sender<Option<PolicySnapshot>>;

/// Rules that hold for an hour.
pub(crate) fn snapshot(version: u64, rules: Vec<Rule>, default: Action) -> PolicySnapshot {
    let valid_until = Instant::now() + Duration::from_secs(3600);
    PolicySnapshot { version, rules: Arc::new(Rules::new(rules, default)), valid_until }
}

/// A rule from `source` to `db`, both in the default namespace but for `*/*`.
pub(crate) fn rule(source: &str, action: Action) -> Rule {
    let (namespace, name) = source.split_once('/').unwrap_or(("default", source));
    Rule {
        source_namespace: namespace.to_owned(),
        source_name: name.to_owned(),
        destination_namespace: "default".to_owned(),
        destination_name: "db".to_owned(),
        action,
        id: format!("id-{name}"),
        precedence: 9,
    }
}

/// A listener and what leads to it, if it is `service`.
pub(crate) async fn listener(service: &str) -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let expected = ExpectedService::new("dc1", service);
    (listener, Endpoint { host: address.ip().to_string(), port: address.port(), expected })
}

/// Two ends of one connection.
pub(crate) async fn pair() -> (TcpStream, TcpStream) {
    let (listener, endpoint) = listener("").await;
    let address = (endpoint.host.as_str(), endpoint.port);
    let (one, other) = tokio::join!(TcpStream::connect(address), listener.accept());
    (one.unwrap(), other.unwrap().0)
}

/// Waits for `future`, which must not take long.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
}
