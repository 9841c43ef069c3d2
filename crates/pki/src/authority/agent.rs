//! Certificates of agents: they prove that an agent belongs to the cluster, and where its own
//! interface is.

use super::{IssueError, Leaf, Root};
use crate::agent_id::AgentId;
use crate::csr::Csr;
use crate::der;
use crate::spiffe::SpiffeId;

/// Most names, and most addresses, of one certificate.
const NAMES_MAX: usize = 64;
/// What servers are called, which no agent may be: whoever checks names relies on it.
const SERVER: &str = "server";

/// Whether an agent's certificate may have this DNS name.
fn may_have(name: &str) -> bool {
    let label = |label: &str| {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.bytes().all(valid) && !label.eq_ignore_ascii_case(SERVER)
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// Whether a request asks for what the agent `id` may have: see [`Root::sign_agent`].
///
/// # Errors
/// [`IssueError`] if it asks for another id, or for a name that is no host or a server's.
pub fn check_agent_request(csr: &Csr, id: &AgentId) -> Result<(), IssueError> {
    match csr.spiffe_id()? {
        SpiffeId::Agent(asked) if asked.datacenter == id.datacenter && asked.node == id.node => {}
        other => {
            let (requested, granted) = (other.to_uri(), id.to_uri());
            return Err(IssueError::OtherId { requested, granted });
        }
    }
    if let Some(name) = csr.dns_names().iter().find(|name| !may_have(name)) {
        return Err(IssueError::Name(name.clone()));
    }
    if csr.dns_names().len().max(csr.addresses().len()) > NAMES_MAX {
        return Err(IssueError::Name(format!("one of more than {NAMES_MAX}")));
    }
    Ok(())
}

impl Root {
    /// Signs a leaf for the agent `id`, whose datacenter and node must be those that the request asks
    /// for; the trust domain is not, since whoever asks first does not know it. The leaf has the DNS
    /// names and addresses that are asked for, and lives as [`Root::sign_leaf`] says.
    ///
    /// # Errors
    /// [`IssueError`] if the request asks for another id, or for a name that is no host or a server's;
    /// else as [`Root::sign_leaf`].
    pub fn sign_agent(
        &self,
        csr: &Csr,
        id: &AgentId,
        ttl_secs: i64,
        now: i64,
    ) -> Result<Leaf, IssueError> {
        check_agent_request(csr, id)?;
        let (dns_names, addresses) = (csr.dns_names(), csr.addresses());
        let names = |out: &mut Vec<u8>| der::names(out, &id.to_uri(), dns_names, addresses);
        self.issue(csr, &id.common_name(), names, ttl_secs, now)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::certificate::Certificate;
    use crate::csr::make_for_agent;
    use crate::key::PrivateKey;
    use crate::spiffe::TrustDomain;

    const NOW: i64 = 1_800_000_000;

    fn asked(names: &[&str]) -> (AgentId, Csr, Root) {
        let domain = |name: &str| TrustDomain::new(name).unwrap();
        let unknown = AgentId {
            trust_domain: domain("unknown"),
            datacenter: "dc1".to_owned(),
            node: "c1".to_owned(),
        };
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let addresses = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        let key = PrivateKey::generate().unwrap();
        let request = make_for_agent(&unknown, &names, &addresses, &key).unwrap();
        let root = Root::generate(&domain("a.consul"), 1, NOW).unwrap();
        let id = AgentId { trust_domain: domain("a.consul"), ..unknown };
        (id, Csr::from_pem(&request).unwrap(), root)
    }

    #[test]
    fn an_agent_has_the_names_that_it_asks_for() {
        let (id, csr, root) = asked(&["localhost", "c1.example.com"]);
        assert_eq!(
            csr.addresses(),
            ["127.0.0.1", "::1"].map(|text| text.parse::<IpAddr>().unwrap())
        );
        let leaf = root.sign_agent(&csr, &id, 3600, NOW).unwrap();
        let cert = Certificate::from_pem(&leaf.cert_pem).unwrap();
        assert_eq!(cert.uris(), ["spiffe://a.consul/agent/client/dc/dc1/id/c1"]);
        let der = cert.der().to_vec().into();
        let end = webpki::EndEntityCert::try_from(&der).unwrap();
        for name in ["localhost", "c1.example.com", "127.0.0.1", "::1"] {
            let name = rustls_pki_types::ServerName::try_from(name).unwrap();
            end.verify_is_valid_for_subject_name(&name).unwrap();
        }
        let other = AgentId { node: "c2".to_owned(), ..id };
        assert!(matches!(
            root.sign_agent(&csr, &other, 3600, NOW),
            Err(IssueError::OtherId { .. })
        ));
    }

    #[test]
    fn no_agent_is_called_like_a_server() {
        for name in
            ["server.dc1.consul", "x.Server.dc1.consul", "*", "*.dc1.consul", "", "a..b", "a b"]
        {
            let (id, csr, root) = asked(&[name]);
            let refused = root.sign_agent(&csr, &id, 3600, NOW);
            assert_eq!(refused.unwrap_err(), IssueError::Name(name.to_owned()));
        }
    }
}
