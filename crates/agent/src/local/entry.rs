//! One service or check of the local state.
//!
//! How entries change and reach the catalog is in the parent and sibling modules.

use std::sync::Arc;

use lictor_types::catalog::Service;
use lictor_types::check::HealthCheck;
use lictor_types::definition::{CheckDefinition, CheckKind};
use lictor_types::duration;
use tokio::time::Instant;

/// Who defined an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A configuration file: gone when a reload does not find it any more.
    File,
    /// A request: kept over restarts.
    Api,
    /// A managed proxy: lives and ends with its service.
    Managed,
}

/// A service.
#[derive(Clone, Debug)]
pub(crate) struct ServiceEntry {
    pub(crate) service: Arc<Service>,
    /// Empty for the agent's default.
    pub(crate) token: String,
    pub(crate) origin: Origin,
    pub(super) revision: u64,
}

/// A check.
#[derive(Clone, Debug)]
pub(crate) struct CheckEntry {
    pub(crate) check: Arc<HealthCheck>,
    /// How it is run; `None` for the marks of maintenance mode.
    pub(crate) definition: Option<Arc<CheckDefinition>>,
    /// Empty for the agent's default.
    pub(crate) token: String,
    pub(crate) origin: Origin,
    /// Since when it has been critical without a break.
    pub(crate) critical_since: Option<Instant>,
    pub(super) revision: u64,
}

impl CheckEntry {
    /// An entry for a check that has not run yet.
    pub(crate) fn defined(definition: &CheckDefinition, origin: Origin) -> Self {
        let id = if definition.id.is_empty() { &definition.name } else { &definition.id };
        let check = HealthCheck {
            check_id: id.as_str().into(),
            name: definition.name.clone(),
            notes: definition.notes.clone(),
            status: definition.status.unwrap_or_default(),
            service_id: definition.service_id.as_str().into(),
            kind: kind_name(&definition.kind).to_owned(),
            ..HealthCheck::default()
        };
        let token = definition.token.clone();
        Self { definition: Some(Arc::new(definition.clone())), ..Self::bare(check, token, origin) }
    }

    /// An entry for a check that was registered by itself: only of those is told how often they
    /// run.
    pub(crate) fn alone(definition: &CheckDefinition, origin: Origin) -> Self {
        let mut entry = Self::defined(definition, origin);
        let check = Arc::make_mut(&mut entry.check);
        check.interval = duration::format(definition.interval);
        check.timeout = duration::format(definition.timeout);
        entry
    }

    /// An entry that nothing runs.
    pub(crate) fn bare(check: HealthCheck, token: String, origin: Origin) -> Self {
        Self {
            check: Arc::new(check),
            definition: None,
            token,
            origin,
            critical_since: None,
            revision: 0,
        }
    }
}

/// The kind as later versions name it.
fn kind_name(kind: &CheckKind) -> &'static str {
    match kind {
        CheckKind::Ttl { .. } => "ttl",
        CheckKind::Http { .. } => "http",
        CheckKind::Tcp { .. } => "tcp",
        CheckKind::Udp { .. } => "udp",
        CheckKind::Grpc { .. } => "grpc",
        CheckKind::H2Ping { .. } => "h2ping",
        CheckKind::Docker { .. } => "docker",
        CheckKind::Script { .. } => "script",
        CheckKind::Alias { .. } => "alias",
    }
}
