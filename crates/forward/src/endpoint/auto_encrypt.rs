//! The first certificate of an agent, which it asks for before it can prove to be one.
//!
//! Whether such questions are answered at all is the port's to decide, and how they come.

use lictor_types::query::QueryOptions;
use lictor_wire::connect_ca::{AutoEncryptReply, AutoEncryptSign};
use lictor_wire::{Message as _, Method};

use crate::away::{ServeError, WriteOptions};
use crate::servers::Servers;

/// What agents are told beside their certificate.
#[derive(Clone, Debug, Default)]
pub struct JoinOffer {
    /// The authorities that servers' certificates are of, PEM.
    pub authorities: Vec<String>,
    /// Whether a server's certificate must have a server's name.
    pub verify_server_hostname: bool,
}

impl Servers {
    /// Answers a call of an agent that wants to join: signs its certificate, if its token permits
    /// that. No other method is known.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn serve_stranger(
        &self,
        method: &str,
        body: &[u8],
        offer: &JoinOffer,
    ) -> Result<Vec<u8>, ServeError> {
        match method.split_once('.') {
            Some(_) if method == AutoEncryptSign::NAME => {}
            Some(("AutoEncrypt", _)) => return Err(ServeError::NoMethod),
            _ => return Err(ServeError::NoService),
        }
        let failed = |error: lictor_wire::WireError| ServeError::Failed(error.to_string());
        let request = <AutoEncryptSign as Method>::Request::decode(body).map_err(failed)?;
        self.check_own(&request.datacenter)?;
        let to = WriteOptions { datacenter: request.datacenter, token: request.token };
        let leaf = self.ca_sign(&to, &request.args.csr).await?;
        // Those of whoever signed, who may be ahead of this server.
        let roots = self.ca_roots(&QueryOptions::default()).await?;
        let reply = AutoEncryptReply {
            leaf,
            roots: Some(roots),
            manual_roots: offer.authorities.clone(),
            gossip_key: String::new(),
            verify_server_hostname: offer.verify_server_hostname,
        };
        reply.encode().map_err(failed)
    }
}
