//! `rtt`: the estimated round-trip time between two nodes, from their network coordinates.

use std::sync::Arc;

use lictor_api::client::{Client, ReadOptions};
use lictor_api::coordinate::NodeCoordinate as Shown;
use lictor_types::coordinate::{Coordinate, NodeCoordinate, distance};

use super::flags::{Kind, flag};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, out, usage};

/// `lictor rtt`.
pub(super) const COMMAND: Command = Command {
    path: "rtt",
    synopsis: "Estimates the round-trip time between two nodes",
    operands: "[options] node1 [node2]",
    about: "Estimates the round-trip time between two nodes, or between a node and the agent, from \
        their network coordinates. With -wan the names are those of servers, node.datacenter.",
    flags: &[flag("wan", Kind::Bool, "Use the coordinates of servers between datacenters.")],
    client: true,
    server: false,
    run: |call| Box::pin(run(call)),
};

/// The coordinates of one node.
type Set = Vec<Arc<NodeCoordinate>>;

fn read(shown: &Shown) -> Arc<NodeCoordinate> {
    let coord = &shown.coord;
    Arc::new(NodeCoordinate {
        node: shown.node.as_str().into(),
        segment: shown.segment.as_str().into(),
        coord: Coordinate {
            vec: coord.vec.clone(),
            error: coord.error,
            adjustment: coord.adjustment,
            height: coord.height,
        },
    })
}

async fn run(call: Call) -> Exit {
    let names: Vec<&str> = call.parsed.operands.iter().map(String::as_str).collect();
    let (first, second) = match names.as_slice() {
        [first] => (*first, None),
        [first, second] => (*first, Some(*second)),
        _ => {
            let text = usage(call.command);
            return fail(format!("One or two node names must be specified\n\n{}", text.trim_end()));
        }
    };
    let client = client_or_fail!(call);
    let wan = call.parsed.is_set("wan");
    let own = match second {
        Some(_) => None,
        None => match own_name(&client, wan).await {
            Ok(name) => Some(name),
            Err(error) => return fail(error),
        },
    };
    let second = second.or(own.as_deref()).unwrap_or_default();
    let found = if wan {
        wan_sets(&client, first, second).await
    } else {
        lan_sets(&client, first, second).await
    };
    let (a, b) = match found {
        Ok(found) => found,
        Err(error) => return fail(error),
    };
    for (name, set) in [(first, &a), (second, &b)] {
        if set.is_empty() {
            return fail(format!("Could not find a coordinate for node {name:?}"));
        }
    }
    let seconds = distance(&a, &b);
    if seconds.is_infinite() {
        let text = "the two nodes have no network segment in common";
        return fail(format!("Could not estimate a round-trip time: {text}"));
    }
    let (millis, source) = (seconds * 1000.0, if wan { "WAN" } else { "LAN" });
    out(&format!(
        "Estimated {first} <-> {second} rtt: {millis:.3} ms (using {source} coordinates)"
    ));
    0
}

async fn own_name(client: &Client, wan: bool) -> Result<String, String> {
    let info = client.agent_self().await;
    let info = info.map_err(|error| format!("Unable to look up agent info: {error}"))?;
    let config = info.config;
    Ok(if wan { format!("{}.{}", config.node_name, config.datacenter) } else { config.node_name })
}

async fn lan_sets(client: &Client, first: &str, second: &str) -> Result<(Set, Set), String> {
    let all = client.coordinate_nodes(ReadOptions::default()).await;
    let all = all.map_err(|error| format!("Error getting coordinates: {error}"))?;
    let of = |name: &str| all.iter().filter(|row| row.node == name).map(read).collect();
    Ok((of(first), of(second)))
}

async fn wan_sets(client: &Client, first: &str, second: &str) -> Result<(Set, Set), String> {
    for name in [first, second] {
        if !name.contains('.') {
            let text = format!("Node names must be specified as <node name>.<datacenter>: {name}");
            return Err(text);
        }
    }
    let all = client.coordinate_datacenters().await;
    let all = all.map_err(|error| format!("Error getting coordinates: {error}"))?;
    let of = |name: &str| {
        let (node, datacenter) = name.rsplit_once('.').unwrap_or((name, ""));
        let here = all.iter().filter(|one| one.datacenter == datacenter);
        let rows = here.flat_map(|one| &one.coordinates);
        rows.filter(|row| row.node == node).map(read).collect()
    };
    Ok((of(first), of(second)))
}
