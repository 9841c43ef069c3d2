//! Follows the healthy instances of a destination.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lictor_api::client::{Client, Response};
use lictor_api::health::ServiceEntry;
use lictor_api::url;
use serde::Deserialize;
use tokio::sync::watch;

use super::{QUERY_POLL, SourceError, follow};
use crate::endpoint::{Endpoint, ExpectedService};

/// Kind of a service that stands for another one.
const KIND_PROXY: &str = "connect-proxy";
/// Instances of one destination that are kept.
const ENDPOINTS_MAX: usize = 10_000;

/// What to find instances of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A service by name.
    Service {
        /// Its name.
        name: String,
        /// Where to look; empty for the agent's datacenter.
        datacenter: String,
    },
    /// A prepared query by name or ID.
    Query {
        /// Its name or ID.
        name: String,
        /// Where to execute it; empty for the agent's datacenter.
        datacenter: String,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { name, .. } => write!(f, "service {name}"),
            Self::Query { name, .. } => write!(f, "prepared query {name}"),
        }
    }
}

/// Body of the execution of a prepared query, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueryResult {
    nodes: Option<Vec<ServiceEntry>>,
}

/// Keeps `into` filled with the instances of `target`.
pub async fn endpoints(
    client: Client,
    target: Target,
    into: watch::Sender<Option<Arc<[Endpoint]>>>,
) {
    let (path, every) = path(&target);
    let is_query = every.is_some();
    follow(&client, &path, Duration::MAX, every, |response| {
        let found = read(response, is_query)?;
        into.send_if_modified(|held| {
            let changed = held.as_deref() != Some(found.as_slice());
            if changed {
                *held = Some(found.into());
            }
            changed
        });
        Ok(())
    })
    .await;
}

pub(super) fn path(target: &Target) -> (String, Option<Duration>) {
    let (mut path, datacenter, every) = match target {
        Target::Service { name, datacenter } => {
            (url::path("/v1/health/connect/", name) + "?passing=1&stale=", datacenter, None)
        }
        Target::Query { name, datacenter } => {
            let path = url::path("/v1/query/", name) + "/execute?connect=true";
            (path, datacenter, Some(QUERY_POLL))
        }
    };
    if !datacenter.is_empty() {
        path.push_str("&dc=");
        url::escape_query(&mut path, datacenter);
    }
    (path, every)
}

pub(super) fn read(response: &Response, is_query: bool) -> Result<Vec<Endpoint>, SourceError> {
    let entries = if is_query {
        response.json::<QueryResult>()?.nodes.unwrap_or_default()
    } else {
        response.json::<Option<Vec<ServiceEntry>>>()?.unwrap_or_default()
    };
    Ok(entries.into_iter().filter_map(endpoint).take(ENDPOINTS_MAX).collect())
}

/// The instance, if it speaks the mesh's language.
fn endpoint(entry: ServiceEntry) -> Option<Endpoint> {
    let ServiceEntry { node, service, .. } = entry;
    let name = if service.kind == KIND_PROXY {
        let later_form = service.proxy.map(|proxy| proxy.destination_service_name);
        Some(service.proxy_destination).filter(|name| !name.is_empty()).or(later_form)
    } else if service.connect.native {
        Some(service.service)
    } else {
        None
    };
    let host = if service.address.is_empty() { node.address } else { service.address };
    Some(Endpoint {
        host,
        port: u16::try_from(service.port).ok().filter(|port| *port > 0)?,
        expected: ExpectedService::new(node.datacenter, name.filter(|name| !name.is_empty())?),
    })
}
