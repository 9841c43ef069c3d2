//! `/v1/internal/ui`: what the web interface shows.
//!
//! The overview of services is counted here, from the same rows as the nodes'.

use std::collections::BTreeMap;

use lictor_api::internal_ui as body;
use lictor_types::catalog::NodeInfo;
use lictor_types::check::Status;
use lictor_types::error::EndpointError;

use crate::answer::{Answer, read};
use crate::catalog;
use crate::door::{Call, Door};
use crate::error::HttpError;
use crate::health;

pub(crate) async fn nodes(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let reply = door.servers().node_infos(&options, None).await;
    Ok(read(reply, |result| {
        Answer::shared(result, call.pretty, |rows| rows.iter().map(node_body).collect::<Vec<_>>())
    }))
}

pub(crate) async fn node(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let name = call.argument("Missing node name")?;
    let reply = door.servers().node_infos(&options, Some(name)).await.map_err(without_rows)?;
    Ok(match reply.result.value.first() {
        Some(row) => Answer::json(&node_body(row), call.pretty).with_meta(&reply.meta),
        None => Answer::empty(404),
    })
}

pub(crate) async fn services(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let reply = door.servers().node_infos(&options, None).await.map_err(without_rows)?;
    // The rows of the nodes are what is shared with others; this view of them is made anew.
    let shown = overview(&reply.result.value);
    Ok(Answer::json(&shown, call.pretty).with_meta(&reply.meta))
}

/// A failed read tells an index nevertheless; only a node that does not exist has none.
fn without_rows(error: EndpointError) -> HttpError {
    HttpError::from(error).with_empty_meta()
}

fn node_body(row: &NodeInfo) -> body::UiNode {
    body::UiNode {
        id: row.node.id.clone(),
        node: row.node.name.to_string(),
        address: row.node.address.clone(),
        tagged_addresses: row.node.tagged_addresses.clone(),
        meta: row.node.meta.clone(),
        services: row.services.iter().map(|one| catalog::service(one)).collect(),
        checks: row.checks.iter().map(|one| health::check(one)).collect(),
    }
}

#[derive(Default)]
struct Counted {
    kind: String,
    tags: Vec<String>,
    nodes: Vec<String>,
    checks: [usize; 3],
}

/// Services by name. A node's own checks count once for each instance on it.
fn overview(rows: &[NodeInfo]) -> Vec<body::UiService> {
    let mut services: BTreeMap<String, Counted> = BTreeMap::new();
    for row in rows {
        for service in &row.services {
            let counted = services.entry(service.name.to_string()).or_default();
            service.kind.as_str().clone_into(&mut counted.kind);
            counted.tags.clone_from(&service.tags);
            counted.nodes.push(row.node.name.to_string());
            for check in row
                .checks
                .iter()
                .filter(|check| check.service_id.is_empty() || check.service_id == service.id)
            {
                counted.checks[place(check.status)] += 1;
            }
        }
    }
    let shown = |(name, counted): (String, Counted)| body::UiService {
        kind: counted.kind,
        name,
        tags: counted.tags,
        nodes: counted.nodes,
        checks_passing: counted.checks[0],
        checks_warning: counted.checks[1],
        checks_critical: counted.checks[2],
    };
    services.into_iter().map(shown).collect()
}

const fn place(status: Status) -> usize {
    match status {
        Status::Passing => 0,
        Status::Warning => 1,
        _ => 2,
    }
}
