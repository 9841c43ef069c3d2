//! Decisions about incoming connections, from what this agent knows.
//!
//! The order of the tests and their texts follow section 10 of the observed behaviour. The
//! arrangement of a destination's intentions is kept as long as the intentions are the same.

use std::collections::HashMap;
use std::sync::Arc;

use lictor_acl::Decisions;
use lictor_pki::spiffe::SpiffeId;
use lictor_types::error::EndpointError;
use lictor_types::intention::{Action, Intention};
use lictor_types::query::Evaluated;
use parking_lot::Mutex;

use super::Cached;
use super::roots::Roots;
use crate::error::AgentError;
use crate::upstream::Upstream;

/// Destinations whose intentions are kept arranged.
const DESTINATIONS: usize = 4096;

/// A decision about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Whether it may be made.
    pub authorized: bool,
    /// Why, in the original's words.
    pub reason: String,
}

/// A question about a connection.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizeRequest<'a> {
    /// Name of the service that is connected to.
    pub target: &'a str,
    /// Identity in the caller's certificate.
    pub client_cert_uri: &'a str,
    /// Serial number of the caller's certificate; not used so far.
    pub client_cert_serial: &'a str,
}

/// The intentions of one destination.
#[derive(Debug)]
struct Arranged {
    from: Arc<Evaluated<Vec<Arc<Intention>>>>,
    decisions: Decisions,
}

/// Decides about connections.
#[derive(Debug)]
pub(crate) struct Authorizer<U> {
    upstream: U,
    roots: Arc<Roots<U>>,
    arranged: Mutex<HashMap<Box<str>, Arc<Arranged>>>,
}

impl<U: Upstream> Authorizer<U> {
    pub(crate) fn new(upstream: U, roots: Arc<Roots<U>>) -> Self {
        Self { upstream, roots, arranged: Mutex::default() }
    }

    /// Decides, for somebody who brings `token`. The mark is `None` where no intention had to be looked at.
    pub(crate) async fn authorize(
        &self,
        token: &str,
        request: &AuthorizeRequest<'_>,
    ) -> Result<(Authorization, Option<bool>), AgentError> {
        if request.target.is_empty() {
            return Err(AgentError::invalid("Target service must be specified"));
        }
        let refused = |reason: String| Ok((Authorization { authorized: false, reason }, None));
        let client = match SpiffeId::parse(request.client_cert_uri) {
            Ok(SpiffeId::Service(id)) => id,
            Ok(SpiffeId::Agent(_) | SpiffeId::Signing(_)) => {
                return refused("Client ID must be a valid SPIFFE service URI".to_owned());
            }
            Err(error) if error.is_uri_syntax() => {
                return refused(format!("Client ID must be a URI: {error}"));
            }
            Err(error) => return refused(format!("Invalid client ID: {error}")),
        };
        let roots = self.roots.current().await?;
        if roots.result.value.trust_domain.is_empty() {
            return Err(EndpointError::refused("connect CA not bootstrapped yet").into());
        }
        let domain = client.trust_domain.as_str();
        if !domain.eq_ignore_ascii_case(&roots.result.value.trust_domain) {
            return refused(format!("Identity from an external trust domain: {domain}"));
        }
        let Cached { value: arranged, hit } = self.intentions(token, request.target).await?;
        let decision = match arranged.decisions.decide(&client.namespace, &client.service) {
            Some(rule) => Authorization {
                authorized: rule.action == Action::Allow,
                reason: format!("Matched intention: {}", rule.describe()),
            },
            None if self.upstream.acl_enabled() => Authorization {
                authorized: self.upstream.intention_default_allow(),
                reason: "Default behavior configured by ACLs".to_owned(),
            },
            None => Authorization {
                authorized: true,
                reason: "ACLs disabled, access is allowed by default".to_owned(),
            },
        };
        Ok((decision, Some(hit)))
    }

    async fn intentions(
        &self,
        token: &str,
        target: &str,
    ) -> Result<Cached<Arc<Arranged>>, EndpointError> {
        let from = self.upstream.intentions_for(token, target).await?;
        let held = self.arranged.lock().get(target).cloned();
        let hit = held.is_some();
        if let Some(held) = held.filter(|held| Arc::ptr_eq(&held.from, &from)) {
            return Ok(Cached { value: held, hit });
        }
        let decisions = Decisions::new(from.value.clone());
        let fresh = Arc::new(Arranged { from, decisions });
        let mut arranged = self.arranged.lock();
        if !hit && arranged.len() >= DESTINATIONS {
            // They are arranged again when next asked for; which one goes does not matter.
            if let Some(other) = arranged.keys().next().cloned() {
                arranged.remove(&other);
            }
        }
        arranged.insert(target.into(), Arc::clone(&fresh));
        Ok(Cached { value: fresh, hit })
    }
}
