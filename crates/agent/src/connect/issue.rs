//! How a leaf certificate comes about: a new key made here, a request for it, the servers'
//! signature.
//!
//! Keeping and renewing certificates is [`super::leaf`]'s.

use std::sync::Arc;

use lictor_pki::{PrivateKey, ServiceId, TrustDomain, csr};
use lictor_types::error::EndpointError;

use super::leaf::{Issuer, LeafCertificate};
use super::roots::Roots;
use crate::upstream::Upstream;

/// Issues certificates through the servers.
#[derive(Debug)]
pub(crate) struct LeafIssuer<U> {
    pub(crate) upstream: U,
    pub(crate) roots: Arc<Roots<U>>,
    pub(crate) datacenter: String,
}

impl<U: Upstream> Issuer for LeafIssuer<U> {
    async fn issue(&self, service: &str, token: &str) -> Result<LeafCertificate, EndpointError> {
        let roots = self.roots.current().await?;
        let internal = |error: String| {
            EndpointError::refused(format!("cannot make a certificate request: {error}"))
        };
        if roots.result.value.active_root_id.is_empty() {
            return Err(EndpointError::refused("cluster has no CA bootstrapped"));
        }
        let domain = TrustDomain::new(&roots.result.value.trust_domain)
            .map_err(|error| internal(error.to_string()))?;
        let id = ServiceId::new(domain, &*self.datacenter, service);
        let (key, request) = make_request(&id).map_err(internal)?;
        let signed = self.upstream.sign(token, &request).await?;
        Ok(LeafCertificate {
            serial_number: signed.serial_number,
            cert_pem: signed.cert_pem,
            private_key_pem: key,
            service: service.to_owned(),
            service_uri: id.to_uri(),
            valid_after: signed.valid_after,
            valid_before: signed.valid_before,
            create_index: signed.index,
            modify_index: signed.index,
        })
    }
}

fn make_request(id: &ServiceId) -> Result<(String, String), String> {
    let key = PrivateKey::generate().map_err(|e| e.to_string())?;
    let request = csr::make(id, &key).map_err(|e| e.to_string())?;
    Ok((key.to_pem().to_string(), request))
}
