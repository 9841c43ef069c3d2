//! Removing services whose checks have been critical for too long.
//!
//! How long is each check's own setting; which services are overdue is found by
//! [`crate::local`].

use std::time::Duration;

use tokio::time::Instant;

use super::Host;

/// Pause between two looks.
const INTERVAL: Duration = Duration::from_secs(30);

impl Host {
    /// Looks for overdue services until it is dropped.
    pub(crate) async fn reap(&self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            for id in self.local.overdue_services(Instant::now()) {
                tracing::warn!(
                    service = %id, "a check was critical for too long, deregistering the service"
                );
                if let Err(error) = self.deregister_service(&id).await {
                    tracing::error!(service = %id, %error, "cannot deregister the service");
                }
            }
        }
    }
}
