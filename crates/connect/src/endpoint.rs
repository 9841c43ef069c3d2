//! Where instances of a destination are, and who must answer there.
//!
//! Choosing among instances is the caller's; dialling is in `dial`.

use std::fmt;

use lictor_pki::{ServiceId, TrustDomain};

/// One healthy instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Address or host name, without port.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Who must answer.
    pub expected: ExpectedService,
}

/// An identity but for the trust domain, which is that of the certificates of the moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExpectedService {
    /// The service's namespace.
    pub namespace: String,
    /// The datacenter of the instance.
    pub datacenter: String,
    /// The service's name.
    pub service: String,
}

impl ExpectedService {
    /// A service of the default namespace.
    pub fn new(datacenter: impl Into<String>, service: impl Into<String>) -> Self {
        Self {
            namespace: lictor_pki::spiffe::DEFAULT_NAMESPACE.to_owned(),
            datacenter: datacenter.into(),
            service: service.into(),
        }
    }

    /// The whole identity.
    #[must_use]
    pub fn within(&self, trust_domain: &TrustDomain) -> ServiceId {
        ServiceId {
            trust_domain: trust_domain.clone(),
            namespace: self.namespace.clone(),
            datacenter: self.datacenter.clone(),
            service: self.service.clone(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
