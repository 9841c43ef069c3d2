//! The services and checks of this host, and every operation on them.
//!
//! One operation at a time changes things: state, files, running checks and managed proxies move
//! together, and the catalog hears of it when all of it is done. What the catalog knows is
//! [`crate::sync`]'s matter. One file below for each group of operations.

mod check;
mod digest;
mod maintenance;
mod reap;
mod reload;
mod restore;
mod service;
mod sidecar;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lictor_task::TaskSet;
use lictor_types::catalog::Service;
use lictor_types::check::HealthCheck;
use lictor_types::error::{EndpointError, ErrorKind};
use parking_lot::Mutex;

pub use self::restore::RestoreError;
pub(crate) use self::sidecar::inherited;
use crate::check::{CheckTls, Checks, RemoteChecks};
use crate::config::AgentConfig;
use crate::error::AgentError;
use crate::local::{LocalState, NodeFacts};
use crate::managed::{ManagedView, Policy, Proxies};
use crate::persist::Persistence;
use crate::sync::Pauses;
use crate::tokens::Tokens;

/// A local service as the API shows it.
#[derive(Clone, Debug)]
pub struct AgentService {
    /// The service.
    pub service: Arc<Service>,
    /// Its managed proxy, if it has one.
    pub managed: Option<ManagedView>,
}

/// Everything local.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) local: Arc<LocalState>,
    pub(crate) checks: Checks,
    pub(crate) proxies: Proxies,
    pub(crate) pauses: Arc<Pauses>,
    files: Persistence,
    enable_script_checks: bool,
    /// For checks of configuration files.
    enable_file_scripts: bool,
    allow_managed_api: bool,
    /// Ports for sidecars that name none; `None` gives out none.
    sidecar_range: Option<RangeInclusive<u16>>,
    /// IDs of sidecars that came with their service, and go with it.
    sidecars: Mutex<BTreeSet<Arc<str>>>,
    /// Held by an operation that changes something.
    change: tokio::sync::Mutex<()>,
    /// Held while the last report of a TTL check is written.
    state_writes: Arc<Mutex<()>>,
    tasks: TaskSet,
}

impl Host {
    /// Nothing is defined yet. Reads files: call it where blocking is allowed.
    pub(crate) fn new(
        config: &AgentConfig,
        remote: Option<Arc<dyn RemoteChecks>>,
        tls: CheckTls,
        policy: Policy,
        tokens: Arc<Tokens>,
    ) -> Self {
        let node = NodeFacts {
            id: config.node_id.clone(),
            name: Arc::clone(&config.node_name),
            address: config.advertise_address.clone(),
            datacenter: config.datacenter.clone(),
            tagged_addresses: config.tagged_addresses.clone(),
            meta: config.node_meta.clone(),
        };
        let local = Arc::new(LocalState::new(
            node,
            tokens,
            config.check_update_interval,
            config.discard_check_output,
        ));
        Self {
            checks: Checks::new(Arc::clone(&local), Arc::clone(&config.node_name), remote, tls),
            local,
            proxies: Proxies::new(config, policy),
            pauses: Arc::default(),
            files: Persistence::new(config.data_dir.clone()),
            enable_script_checks: config.enable_script_checks,
            enable_file_scripts: config.enable_script_checks || config.enable_local_script_checks,
            allow_managed_api: config.proxy.allow_managed_api_registration,
            sidecar_range: config.sidecar_ports.clone(),
            sidecars: Mutex::default(),
            change: tokio::sync::Mutex::new(()),
            state_writes: Arc::default(),
            tasks: TaskSet::new("agent"),
        }
    }

    /// Every service, by ID.
    pub(crate) fn services(&self) -> Vec<AgentService> {
        let shown = |service: Arc<Service>| AgentService {
            managed: self.proxies.view(&service.id),
            service,
        };
        self.local.services().into_iter().map(shown).collect()
    }

    /// One service.
    pub(crate) fn service(&self, id: &str) -> Option<AgentService> {
        let service = self.local.service(id)?.service;
        Some(AgentService { managed: self.proxies.view(&service.id), service })
    }

    /// Every check, by ID.
    pub(crate) fn checks(&self) -> Vec<Arc<HealthCheck>> {
        self.local.checks()
    }

    /// Ends checks and proxies (the latter only in development mode).
    pub(crate) async fn shutdown(&self) {
        let _change = self.change.lock().await;
        tokio::join!(self.checks.shutdown(), self.proxies.shutdown());
        self.tasks.shutdown(Duration::from_secs(5)).await;
    }

    /// Does file work where it may block; its failure is an error for whoever asked.
    async fn write<F>(&self, what: &'static str, work: F) -> Result<(), AgentError>
    where
        F: FnOnce(&Persistence) -> std::io::Result<()> + Send + 'static,
    {
        if !self.files.is_on() {
            return Ok(());
        }
        let files = self.files.clone();
        let done = self.tasks.blocking(what, move || work(&files)).await;
        let result = done.unwrap_or_else(|| Err(std::io::Error::other("writing was given up")));
        result.map_err(|error| {
            tracing::error!(%error, "failed {what}");
            let text = format!("failed {what}: {error}");
            AgentError::Endpoint(EndpointError::new(ErrorKind::Internal, text))
        })
    }

    /// Like [`Host::write`], for what is only good to have.
    async fn try_write<F>(&self, what: &'static str, work: F)
    where
        F: FnOnce(&Persistence) -> std::io::Result<()> + Send + 'static,
    {
        // It has been logged.
        let _ = self.write(what, work).await;
    }
}

/// Seconds since 1970.
fn unix_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// Things by their ID.
fn by_id<T>(items: Vec<T>, id: impl Fn(&T) -> String) -> BTreeMap<String, T> {
    items.into_iter().map(|item| (id(&item), item)).collect()
}

#[cfg(test)]
mod tests;
