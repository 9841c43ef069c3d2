//! The writes that bring the catalog up to date, and what their outcome means here.
//!
//! Making the writes is [`crate::sync`]'s; which entries differ is found in the `compare` module.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lictor_types::command::{DeregisterRequest, RegisterRequest};

use super::{Inner, LocalState, Origin};

/// One write to the catalog.
#[derive(Clone, Debug)]
pub(crate) enum Push {
    /// Add or change.
    Register {
        /// What to write.
        request: Box<RegisterRequest>,
        /// Token to write with.
        token: String,
        /// The service in it, with the revision that was taken.
        service: Option<(Arc<str>, u64)>,
        /// The checks in it, likewise.
        checks: Vec<(Arc<str>, u64)>,
    },
    /// Remove.
    Deregister {
        /// What to remove.
        request: DeregisterRequest,
        /// Token to write with.
        token: String,
    },
}

/// How a write ended, as far as the local state cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It is in the catalog.
    Done,
    /// The token does not suffice: not tried again before the next full comparison.
    Denied,
}

impl LocalState {
    /// The writes that are due now: removals first, then services with their checks, then other
    /// checks, then the node if none of those carried it. `node_token` writes the node itself.
    pub(crate) fn pending(&self, node_token: &str) -> Vec<Push> {
        let inner = self.inner.lock();
        let token_of = |own: &str, origin: Origin| self.token(own, origin);
        let mut pushes: Vec<Push> = inner.removals(|own| self.token(own, Origin::Api));
        let mut covered = BTreeSet::new();
        for id in &inner.dirty_services {
            let Some(entry) = inner.services.get(id) else { continue };
            let checks: Vec<_> = inner
                .dirty_checks
                .iter()
                .filter_map(|id| inner.checks.get(id))
                .filter(|check| check.check.service_id == *id && check.token == entry.token)
                .collect();
            let taken: Vec<_> = checks
                .iter()
                .map(|check| (Arc::clone(&check.check.check_id), check.revision))
                .collect();
            covered.extend(taken.iter().map(|(id, _)| Arc::clone(id)));
            let mut request = inner.node_request();
            request.service = Some((*entry.service).clone());
            request.checks = checks.iter().map(|check| (*check.check).clone()).collect();
            pushes.push(Push::Register {
                request: Box::new(request),
                token: token_of(&entry.token, entry.origin),
                service: Some((Arc::clone(id), entry.revision)),
                checks: taken,
            });
        }
        pushes.extend(inner.lone_checks(&covered, &token_of));
        let registers = pushes.iter().any(|push| matches!(push, Push::Register { .. }));
        if inner.node_dirty && !registers {
            pushes.push(Push::Register {
                request: Box::new(inner.node_request()),
                token: node_token.to_owned(),
                service: None,
                checks: Vec::new(),
            });
        }
        pushes
    }

    /// Takes note of how a push ended. What changed since it was made stays due.
    pub(crate) fn settle(&self, push: &Push, how: Settled) {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        match push {
            Push::Register { service, checks, request, .. } => {
                if let Some((id, revision)) = service
                    && inner.services.get(id).is_none_or(|entry| entry.revision == *revision)
                {
                    inner.dirty_services.remove(id);
                }
                for (id, revision) in checks {
                    if inner.checks.get(id).is_none_or(|entry| entry.revision == *revision) {
                        inner.dirty_checks.remove(id);
                    }
                }
                let carried = request.node_meta == inner.node.meta && !request.skip_node_update;
                if carried && (how == Settled::Done || service.is_none() && checks.is_empty()) {
                    inner.node_dirty = false;
                }
            }
            Push::Deregister { request, .. } => {
                if request.service_id.is_empty() {
                    inner.gone_checks.remove(&request.check_id);
                } else {
                    inner.gone_services.remove(&request.service_id);
                }
            }
        }
    }

    /// The token that was meant for an entry of this origin; empty for the agent's default.
    pub(crate) fn given_token(&self, own: &str, origin: Origin) -> String {
        let token = self.token(own, origin);
        if token == *self.tokens.default_token() { own.to_owned() } else { token }
    }

    /// The token that an entry of this origin is written with.
    pub(super) fn token(&self, own: &str, origin: Origin) -> String {
        match origin {
            _ if !own.is_empty() => own.to_owned(),
            Origin::File => self.tokens.files_token().to_string(),
            Origin::Api | Origin::Managed => self.tokens.default_token().to_string(),
        }
    }
}

impl Inner {
    fn removals(&self, token_of: impl Fn(&str) -> String) -> Vec<Push> {
        let request = |service: &Arc<str>, check: &Arc<str>| DeregisterRequest {
            node: Arc::clone(&self.node.name),
            service_id: Arc::clone(service),
            check_id: Arc::clone(check),
        };
        let none: Arc<str> = "".into();
        let services = self.gone_services.iter().map(|(id, token)| Push::Deregister {
            request: request(id, &none),
            token: token_of(token),
        });
        let checks = self.gone_checks.iter().map(|(id, token)| Push::Deregister {
            request: request(&none, id),
            token: token_of(token),
        });
        services.chain(checks).collect()
    }

    /// Registrations of due checks outside `covered`, one for each token.
    fn lone_checks(
        &self,
        covered: &BTreeSet<Arc<str>>,
        token_of: &impl Fn(&str, Origin) -> String,
    ) -> Vec<Push> {
        let mut by_token: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for id in self.dirty_checks.difference(covered) {
            if let Some(entry) = self.checks.get(id) {
                by_token.entry(token_of(&entry.token, entry.origin)).or_default().push(entry);
            }
        }
        let push = |(token, entries): (String, Vec<&super::CheckEntry>)| Push::Register {
            request: Box::new(RegisterRequest {
                checks: entries.iter().map(|entry| (*entry.check).clone()).collect(),
                ..self.node_request()
            }),
            token,
            service: None,
            checks: entries
                .iter()
                .map(|entry| (Arc::clone(&entry.check.check_id), entry.revision))
                .collect(),
        };
        by_token.into_iter().map(push).collect()
    }
}
