//! What a reload changes of an open door: its certificates, and how many connections one client
//! may have.
//!
//! Everything else that it was told holds until the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;

use crate::config::HttpConfig;
use crate::tls::{self, TlsError};

/// Settings that can be replaced while the door is open. Clones share them.
#[derive(Clone, Debug)]
pub struct LiveSettings(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    tls: ArcSwapOption<ServerConfig>,
    per_client: AtomicUsize,
}

impl LiveSettings {
    /// Takes them from a configuration: certificates and keys are read now.
    ///
    /// # Errors
    /// When a file cannot be read or its contents cannot be used.
    pub fn load(config: &HttpConfig) -> Result<Self, TlsError> {
        let shared = Shared {
            tls: ArcSwapOption::new(tls(config)?),
            per_client: AtomicUsize::new(config.limits.connections_per_client),
        };
        Ok(Self(Arc::new(shared)))
    }

    /// Replaces them, or leaves all as it is. Open connections stay.
    ///
    /// # Errors
    /// When a file cannot be read or its contents cannot be used.
    pub fn reload(&self, config: &HttpConfig) -> Result<(), TlsError> {
        let fresh = tls(config)?;
        // Listeners stay, and what they speak with them.
        if fresh.is_some() {
            self.0.tls.store(fresh);
        }
        self.0.per_client.store(config.limits.connections_per_client, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.0.tls.load_full()
    }

    pub(crate) fn per_client(&self) -> usize {
        self.0.per_client.load(Ordering::Relaxed)
    }
}

fn tls(config: &HttpConfig) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    if config.tls_listeners.is_empty() {
        return Ok(None);
    }
    config.tls.as_ref().filter(|tls| tls.has_certificate()).map(tls::load).transpose()
}
