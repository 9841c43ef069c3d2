//! Follows our leaf certificate and the trusted roots.
//!
//! The two arrive in any order and change independently. Once there is an identity there is
//! always one: what the agent does not say, or says badly, changes nothing.

use std::sync::Arc;
use std::time::Duration;

use lictor_api::agent_connect::LeafCert;
use lictor_api::client::{Client, Response};
use lictor_api::connect_ca::CaRoots;
use lictor_api::url;
use lictor_pki::{Identity, TrustBundle, TrustDomain};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{SourceError, follow};
use crate::identity::LocalIdentity;

const ROOTS: &str = "/v1/agent/connect/ca/roots";
const LEAF: &str = "/v1/agent/connect/ca/leaf/";

/// What came last of each.
#[derive(Default)]
pub(super) struct Parts {
    /// The answer's text, to tell whether anything changed, and what it means.
    roots: Option<(CaRoots, TrustBundle)>,
    leaf: Option<(LeafCert, Identity)>,
}

/// Keeps `into` filled with the identity of `service`.
pub async fn identity(
    client: Client,
    service: String,
    into: watch::Sender<Option<Arc<LocalIdentity>>>,
) {
    let parts = Mutex::new(Parts::default());
    let leaf_path = url::path(LEAF, &service);
    let roots = follow(&client, ROOTS, Duration::MAX, None, |response| {
        take_roots(&mut parts.lock(), response, &into)
    });
    let leaf = follow(&client, &leaf_path, Duration::MAX, None, |response| {
        take_leaf(&mut parts.lock(), response, &into)
    });
    tokio::join!(roots, leaf);
}

pub(super) fn take_roots(
    parts: &mut Parts,
    response: &Response,
    into: &watch::Sender<Option<Arc<LocalIdentity>>>,
) -> Result<(), SourceError> {
    let answer: CaRoots = response.json()?;
    if parts.roots.as_ref().is_some_and(|(held, _)| *held == answer) {
        return Ok(());
    }
    let domain = TrustDomain::new(&answer.trust_domain).map_err(content)?;
    // Intermediates come with the peers' chains.
    let pems = answer.roots.iter().map(|root| root.root_cert.as_str());
    let bundle = TrustBundle::new(domain, pems).map_err(content)?;
    parts.roots = Some((answer, bundle));
    join(parts, into)
}

pub(super) fn take_leaf(
    parts: &mut Parts,
    response: &Response,
    into: &watch::Sender<Option<Arc<LocalIdentity>>>,
) -> Result<(), SourceError> {
    let answer: LeafCert = response.json()?;
    if parts.leaf.as_ref().is_some_and(|(held, _)| *held == answer) {
        return Ok(());
    }
    let identity =
        Identity::from_pem(&answer.cert_pem, &answer.private_key_pem).map_err(content)?;
    parts.leaf = Some((answer, identity));
    join(parts, into)
}

/// Publishes what leaf and roots make together, if both are there.
fn join(
    parts: &Parts,
    into: &watch::Sender<Option<Arc<LocalIdentity>>>,
) -> Result<(), SourceError> {
    let (Some((_, bundle)), Some((_, identity))) = (&parts.roots, &parts.leaf) else {
        return Ok(());
    };
    let joined = LocalIdentity::new(identity.clone(), bundle.clone()).map_err(content)?;
    tracing::debug!(id = %joined.id().to_uri(), until = joined.not_after(), "new identity");
    into.send_replace(Some(Arc::new(joined)));
    Ok(())
}

fn content(error: impl std::fmt::Display) -> SourceError {
    SourceError::Content(error.to_string())
}
