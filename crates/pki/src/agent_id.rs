//! The identity of an agent of the cluster, which it proves to servers and they to it.
//!
//! Absent on purpose: whether an agent may have it. The forms follow those of later versions of the
//! original.

use std::fmt;

use crate::spiffe::{SpiffeError, TrustDomain, decode_segment, push_encoded};

/// Longest name of a node in a common name, which may have 64 characters.
const NODE_IN_NAME: usize = 64 - 21;
/// Characters of the trust domain in a common name.
const DOMAIN_IN_NAME: usize = 8;

/// `spiffe://<trust-domain>/agent/client/dc/<datacenter>/id/<node>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AgentId {
    /// The domain whose authority signed. Who asks for a first certificate does not know it.
    pub trust_domain: TrustDomain,
    /// The agent's datacenter.
    pub datacenter: String,
    /// Name of its node.
    pub node: String,
}

impl AgentId {
    /// Reads what follows `/agent/`.
    pub(crate) fn from_segments<'a>(
        trust_domain: TrustDomain,
        mut segments: impl Iterator<Item = &'a str>,
    ) -> Result<Self, SpiffeError> {
        if (segments.next(), segments.next()) != (Some("client"), Some("dc")) {
            return Err(SpiffeError::Format);
        }
        let datacenter = decode_segment(segments.next())?;
        if segments.next() != Some("id") {
            return Err(SpiffeError::Format);
        }
        let node = decode_segment(segments.next())?;
        match segments.next() {
            None => Ok(Self { trust_domain, datacenter, node }),
            Some(_) => Err(SpiffeError::Format),
        }
    }

    /// The id as a URI.
    #[must_use]
    pub fn to_uri(&self) -> String {
        let mut uri = self.trust_domain.signing_uri();
        for (name, value) in [("/agent/client/dc/", &self.datacenter), ("/id/", &self.node)] {
            uri.push_str(name);
            push_encoded(&mut uri, value);
        }
        uri
    }

    /// The common name of its certificate.
    #[must_use]
    pub fn common_name(&self) -> String {
        let node = self.node.chars().map(|c| c.to_ascii_lowercase());
        let node = node.filter(char::is_ascii_alphanumeric).take(NODE_IN_NAME);
        let domain = self.trust_domain.as_str().chars().take(DOMAIN_IN_NAME);
        format!("{}.agnt.{}.consul", node.collect::<String>(), domain.collect::<String>())
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_uri())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spiffe::SpiffeId;

    #[test]
    fn agents_are_named() {
        let uri = "spiffe://unknown/agent/client/dc/dc1/id/Node-1%2F";
        let Ok(SpiffeId::Agent(id)) = SpiffeId::parse(uri) else { panic!("an agent's id") };
        assert_eq!((id.datacenter.as_str(), id.node.as_str()), ("dc1", "Node-1/"));
        assert_eq!(
            (id.to_uri().as_str(), id.common_name().as_str()),
            (uri, "node1.agnt.unknown.consul")
        );
        assert_eq!(SpiffeId::parse(uri).unwrap().into_service(), None);
        for wrong in [
            "",
            "/client/dc/dc1/id/",
            "/client/dc/dc1/id/a/b",
            "/server/dc/dc1/id/a",
            "/client/dc//id/a",
        ] {
            let uri = format!("spiffe://a.consul/agent{wrong}");
            assert_eq!(SpiffeId::parse(&uri), Err(SpiffeError::Format), "{wrong}");
        }
        let long = AgentId { node: "x".repeat(99), ..id };
        assert!(long.common_name().len() <= 64);
    }
}
