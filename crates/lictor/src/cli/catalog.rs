//! `catalog datacenters`, `catalog nodes`, `catalog services`.
//!
//! Output is a list or a table of columns; nothing found is said on standard error, with exit 0.

use std::collections::BTreeMap;

use lictor_api::client::Request;
use lictor_api::url;
use serde::Deserialize;

use super::flags::{FlagError, Kind, flag};
use super::output::{columns, row};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, err, fail, misused, out};

const NODE_META: super::Flag =
    flag("node-meta", Kind::List, "Only nodes with this metadata, key=value; may be repeated.");

/// `lictor catalog datacenters`.
pub(super) const DATACENTERS: Command = Command {
    path: "catalog datacenters",
    synopsis: "Lists all known datacenters",
    operands: "[options]",
    about: "Lists the datacenters that the agent knows, nearest first.",
    flags: &[],
    client: true,
    server: true,
    run: |call| Box::pin(datacenters(call)),
};

/// `lictor catalog nodes`.
pub(super) const NODES: Command = Command {
    path: "catalog nodes",
    synopsis: "Lists nodes",
    operands: "[options]",
    about: "Lists the nodes of a datacenter, or those that carry a service.",
    flags: &[
        flag("detailed", Kind::Bool, "Show addresses, metadata and whole IDs."),
        flag("near", Kind::Text, "Sort by the round-trip time from this node, or _agent."),
        NODE_META,
        flag("service", Kind::Text, "Only nodes that carry this service."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(nodes(call)),
};

/// `lictor catalog services`.
pub(super) const SERVICES: Command = Command {
    path: "catalog services",
    synopsis: "Lists services",
    operands: "[options]",
    about: "Lists the services of a datacenter, or those on one node.",
    flags: &[
        flag("node", Kind::Text, "Only services on the node with this name or ID."),
        NODE_META,
        flag("tags", Kind::Bool, "Show each service's tags."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(services(call)),
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Node {
    #[serde(rename = "ID")]
    id: String,
    node: String,
    address: String,
    datacenter: String,
    tagged_addresses: Option<BTreeMap<String, String>>,
    meta: Option<BTreeMap<String, String>>,
    // A service's rows name the node's metadata differently.
    node_meta: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NodeServices {
    services: BTreeMap<String, NodeService>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NodeService {
    service: String,
    tags: Option<Vec<String>>,
}

fn no_operands(call: &Call) -> Result<(), Exit> {
    match call.parsed.operands.len() {
        0 => Ok(()),
        n => Err(fail(format!("Too many arguments (expected 0, got {n})"))),
    }
}

fn with_meta(mut request: Request, call: &Call) -> Result<Request, Exit> {
    for pair in call.parsed.list("node-meta") {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(misused(call.command, FlagError::not_a_pair("node-meta", pair)));
        };
        request = request.pair("node-meta", &format!("{key}:{value}"));
    }
    Ok(request)
}

async fn datacenters(call: Call) -> Exit {
    if let Err(exit) = no_operands(&call) {
        return exit;
    }
    let client = client_or_fail!(call);
    match client.call_json::<Vec<String>>(client.get("/v1/catalog/datacenters")).await {
        Ok(names) => {
            names.iter().for_each(|name| out(name));
            0
        }
        Err(error) => fail(format!("Error listing datacenters: {error}")),
    }
}

async fn nodes(call: Call) -> Exit {
    if let Err(exit) = no_operands(&call) {
        return exit;
    }
    let client = client_or_fail!(call);
    let path = match call.parsed.text_or_empty("service") {
        "" => "/v1/catalog/nodes".to_owned(),
        service => url::path("/v1/catalog/service/", service),
    };
    let request = call.read(&client, &path).pair_if("near", call.parsed.text_or_empty("near"));
    let request = match with_meta(request, &call) {
        Ok(request) => request,
        Err(exit) => return exit,
    };
    let mut found: Vec<Node> = match client.call_json(request).await {
        Ok(found) => found,
        Err(error) => return fail(format!("Error listing nodes: {error}")),
    };
    // A node with several instances of the service is still one node.
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|node| seen.insert(node.node.clone()));
    if found.is_empty() {
        err("No nodes match the given query - try expanding your search.");
        return 0;
    }
    out(&columns(&table(&found, call.parsed.is_set("detailed"))));
    0
}

fn table(nodes: &[Node], detailed: bool) -> Vec<Vec<String>> {
    if detailed {
        let mut rows = vec![row(["Node", "ID", "Address", "DC", "TaggedAddresses", "Meta"])];
        rows.extend(nodes.iter().map(|n| {
            let meta = n.meta.as_ref().or(n.node_meta.as_ref());
            row([
                &n.node,
                &n.id,
                &n.address,
                &n.datacenter,
                &pairs(n.tagged_addresses.as_ref()),
                &pairs(meta),
            ])
        }));
        rows
    } else {
        let mut rows = vec![row(["Node", "ID", "Address", "DC"])];
        rows.extend(nodes.iter().map(|n| {
            let short = n.id.split('-').next().unwrap_or("");
            row([&n.node, short, &n.address, &n.datacenter])
        }));
        rows
    }
}

fn pairs(map: Option<&BTreeMap<String, String>>) -> String {
    let Some(map) = map else { return String::new() };
    map.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(", ")
}

async fn services(call: Call) -> Exit {
    if let Err(exit) = no_operands(&call) {
        return exit;
    }
    let client = client_or_fail!(call);
    let node = call.parsed.text_or_empty("node");
    let path = if node.is_empty() {
        "/v1/catalog/services".to_owned()
    } else {
        url::path("/v1/catalog/node/", node)
    };
    let request = match with_meta(call.read(&client, &path), &call) {
        Ok(request) => request,
        Err(exit) => return exit,
    };
    let found: Result<BTreeMap<String, Vec<String>>, _> = if node.is_empty() {
        client.call_json(request).await
    } else {
        client.call_json::<Option<NodeServices>>(request).await.map(|on_node| {
            let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for service in on_node.into_iter().flat_map(|n| n.services.into_values()) {
                names.entry(service.service).or_default().extend(service.tags.unwrap_or_default());
            }
            names
        })
    };
    let found = match found {
        Ok(found) => found,
        Err(error) => return fail(format!("Error listing services: {error}")),
    };
    if found.is_empty() {
        err("No services match the given query - try expanding your search.");
        return 0;
    }
    if call.parsed.is_set("tags") {
        out(&tag_table(found));
    } else {
        found.keys().for_each(|name| out(name));
    }
    0
}

fn tag_table(found: BTreeMap<String, Vec<String>>) -> String {
    let width = found.keys().map(|name| name.chars().count()).max().unwrap_or(0) + 6;
    let lines: Vec<String> = found
        .into_iter()
        .map(|(name, mut tags)| {
            tags.sort();
            tags.dedup();
            format!("{name:width$}{}", tags.join(","))
        })
        .collect();
    lines.join("\n")
}
