//! `/v1/operator`: the consensus group, and how much there is.
//!
//! Who may leave it is the server's to say.

use lictor_api::operator as body;
use lictor_server::RaftPeer;
use lictor_types::query::{QueryMeta, QueryOptions};

use crate::answer::Answer;
use crate::door::{Call, Door};
use crate::error::HttpError;

/// The version of the protocol that every member speaks.
const PROTOCOL: &str = "3";

pub(crate) async fn raft_configuration(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let group = door.servers().raft_configuration(&options).await?;
    let servers = group.servers.into_iter().map(|server| body::RaftServer {
        id: server.id,
        node: server.node,
        address: server.address,
        leader: server.leader,
        protocol_version: PROTOCOL.to_owned(),
        voter: server.voter,
    });
    let shown = body::RaftConfiguration { servers: servers.collect(), index: group.index };
    Ok(Answer::json(&shown, call.pretty))
}

pub(crate) async fn usage(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let options = call.request.read_options()?;
    let datacenters = match call.request.query.has("global") {
        true => door.servers().datacenters().await?,
        false => vec![options.datacenter.clone()],
    };
    let mut shown = body::Usage::default();
    let mut meta = None;
    for datacenter in datacenters {
        let options = QueryOptions { datacenter, ..options.clone() };
        let reply = door.servers().operator_usage(&options).await?;
        let found = &reply.result.value;
        let usage = body::ServiceUsage {
            nodes: found.nodes,
            services: found.services,
            service_instances: found.instances,
            connect_service_instances: found.connect.clone(),
            billable_service_instances: found.billable,
        };
        shown.usage.insert(found.datacenter.clone(), usage);
        // Of several datacenters the worst is told; their indexes have nothing to do with each other.
        let told: &mut QueryMeta = meta.get_or_insert(reply.meta);
        told.known_leader &= reply.meta.known_leader;
        told.last_contact = told.last_contact.max(reply.meta.last_contact);
    }
    let meta = meta.unwrap_or_default();
    shown.index = meta.index;
    shown.last_contact = i64::try_from(meta.last_contact.as_nanos()).unwrap_or(i64::MAX);
    shown.known_leader = meta.known_leader;
    meta.consistency.as_str().clone_into(&mut shown.consistency_level);
    Ok(Answer::json(&shown, call.pretty).with_meta(&meta))
}

pub(crate) async fn raft_transfer_leader(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let id = call.request.query.text("id");
    let success = door.servers().raft_transfer_leader(&call.request.write_options(), &id).await?;
    Ok(Answer::json(&body::LeaderTransfer { success }, call.pretty))
}

pub(crate) async fn raft_remove_peer(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let query = &call.request.query;
    let peer = match (query.get("id"), query.get("address")) {
        (None, None) => {
            return Err(HttpError::bad_request(
                "Must specify either ?id with the server's ID or ?address with IP:port of peer to \
                 remove",
            ));
        }
        (Some(_), Some(_)) => {
            return Err(HttpError::bad_request("Must specify only one of ?id or ?address"));
        }
        pair => pair,
    };
    let peer = match &peer {
        (Some(id), _) => RaftPeer::Id(id),
        (None, address) => RaftPeer::Address(address.as_deref().unwrap_or("")),
    };
    door.servers().raft_remove_peer(&call.request.write_options(), peer).await?;
    Ok(Answer::ok())
}
