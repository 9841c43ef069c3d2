//! The proxy as a service of the agent: entered, kept alive, taken off.
//!
//! For proxies that were started by hand; managed ones are registered by their agent. Names,
//! check and intervals follow cli.md section 4.

use std::time::Duration;

use lictor_api::agent_check::{CheckRegistration, CheckUpdate};
use lictor_api::agent_service::ServiceRegistration;
use lictor_api::client::{Client, ClientError};
use lictor_api::duration::GoDuration;
use lictor_connect::agent_source::Backoff;
use lictor_task::CancellationToken;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// The agent's patience with us, in nanoseconds.
const TTL_NANOS: i64 = 30_000_000_000;
/// Time between signs of life.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Signs of life between looks whether the agent still knows us.
const BEATS_PER_LOOK: u32 = 3;
/// Tries to take the service off.
const FAREWELLS: u32 = 3;
/// Time for each of them.
const FAREWELL: Duration = Duration::from_secs(1);
const PASSING: &str = "passing";

/// A proxy's entry at its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// ID of the proxy's service.
    pub id: String,
    /// Name of the proxy's service.
    pub name: String,
    /// The service that it speaks for.
    pub destination: String,
    /// Address that other proxies call; empty for the node's.
    pub address: String,
    /// Port that other proxies call.
    pub port: u16,
}

impl Registration {
    /// The entry of a proxy for `destination`; `suffix` tells several of one agent apart.
    #[must_use]
    pub fn new(destination: &str, suffix: &str, address: &str, port: u16) -> Self {
        let name = format!("{destination}-proxy");
        let id = if suffix.is_empty() { name.clone() } else { format!("{name}-{suffix}") };
        let (destination, address) = (destination.to_owned(), address.to_owned());
        Self { id, name, destination, address, port }
    }

    fn check_id(&self) -> String {
        format!("{}-ttl", self.id)
    }

    fn service(&self) -> ServiceRegistration {
        ServiceRegistration {
            kind: "connect-proxy".to_owned(),
            id: self.id.clone(),
            name: self.name.clone(),
            address: self.address.clone(),
            port: self.port.into(),
            proxy_destination: self.destination.clone(),
            check: Some(CheckRegistration {
                check_id: self.check_id(),
                name: "Connect Proxy Listening".to_owned(),
                notes: "Built-in proxy".to_owned(),
                ttl: GoDuration(TTL_NANOS),
                status: PASSING.to_owned(),
                ..CheckRegistration::default()
            }),
            ..ServiceRegistration::default()
        }
    }
}

/// Keeps `registration` at the agent until `stop`, then takes it off.
pub(crate) async fn keep(client: &Client, registration: &Registration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = stay(client, registration) => {}
    }
    leave(client, registration).await;
}

/// For ever.
async fn stay(client: &Client, registration: &Registration) {
    let id = &registration.id;
    loop {
        enter(client, registration).await;
        let mut beats = interval(HEARTBEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut since_look = 0;
        loop {
            beats.tick().await;
            if let Err(error) = beat(client, registration).await {
                tracing::warn!(id, %error, "heartbeat failed");
                // It says no, so it does not know us; silence says nothing.
                if error.status().is_some() && !is_known(client, id).await {
                    break;
                }
            }
            since_look += 1;
            if since_look >= BEATS_PER_LOOK {
                since_look = 0;
                if !is_known(client, id).await {
                    break;
                }
            }
        }
        tracing::warn!(id, "the agent has lost the proxy's service");
    }
}

async fn enter(client: &Client, registration: &Registration) {
    let service = registration.service();
    let mut failures = Backoff::default();
    while let Err(error) = client.agent_service_register(&service).await {
        let retry = failures.pause();
        tracing::error!(id = registration.id, %error, ?retry, "registration failed");
        sleep(retry).await;
    }
    tracing::info!(id = registration.id, "proxy service registered");
}

async fn beat(client: &Client, registration: &Registration) -> Result<(), ClientError> {
    let update = CheckUpdate { status: PASSING.to_owned(), ..CheckUpdate::default() };
    client.agent_check_update(&registration.check_id(), &update).await
}

/// Whether the agent has the service, as far as it says so.
async fn is_known(client: &Client, id: &str) -> bool {
    match client.agent_services().await {
        Ok(services) => services.contains_key(id),
        Err(error) => {
            tracing::warn!(id, %error, "the agent does not list its services");
            true
        }
    }
}

async fn leave(client: &Client, registration: &Registration) {
    let id = &registration.id;
    for _ in 0..FAREWELLS {
        match timeout(FAREWELL, client.agent_service_deregister(id)).await {
            Ok(Ok(())) => {
                tracing::info!(id, "proxy service deregistered");
                return;
            }
            Ok(Err(error)) => {
                tracing::warn!(id, %error, "deregistration failed");
                sleep(Duration::from_millis(200)).await;
            }
            Err(_) => tracing::warn!(id, "deregistration timed out"),
        }
    }
}
