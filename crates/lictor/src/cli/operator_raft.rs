//! `operator raft list-peers`, `remove-peer` and `transfer-leader`: the consensus group.

use lictor_api::client::{Method, ReadOptions};
use lictor_api::operator::LeaderTransfer;

use super::flags::{Kind, flag};
use super::output::{columns, row};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, out};

/// `lictor operator raft list-peers`.
pub(super) const LIST: Command = Command {
    path: "operator raft list-peers",
    synopsis: "Lists the members of the consensus group",
    operands: "[options]",
    about: "Lists the members of the consensus group, and which of them leads.",
    flags: &[],
    client: true,
    server: true,
    run: |call| Box::pin(list(call)),
};

/// `lictor operator raft remove-peer`.
pub(super) const REMOVE: Command = Command {
    path: "operator raft remove-peer",
    synopsis: "Removes a member from the consensus group",
    operands: "[options]",
    about: "Removes a server that will not come back from the consensus group.",
    flags: &[
        flag("address", Kind::Text, "Address of the server, IP:port."),
        flag("id", Kind::Text, "ID of the server."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(remove(call)),
};

/// `lictor operator raft transfer-leader`.
pub(super) const TRANSFER: Command = Command {
    path: "operator raft transfer-leader",
    synopsis: "Makes another server leader",
    operands: "[options]",
    about: "Makes another server leader: the one that is named, or the one that has most of the log.",
    flags: &[flag("id", Kind::Text, "ID of the server that is to lead.")],
    client: true,
    server: true,
    run: |call| Box::pin(transfer(call)),
};

async fn transfer(call: Call) -> Exit {
    let client = client_or_fail!(call);
    let mut request = client.request(Method::POST, "/v1/operator/raft/transfer-leader");
    if let Some(id) = call.parsed.text("id").filter(|id| !id.is_empty()) {
        request = request.pair("id", id);
    }
    match client.call_json::<LeaderTransfer>(request).await {
        Ok(LeaderTransfer { success: true }) => {
            out("Success");
            0
        }
        Ok(_) => fail("Error transferring leadership: no other server took over"),
        Err(error) => fail(format!("Error transferring leadership: {error}")),
    }
}

async fn list(call: Call) -> Exit {
    let client = client_or_fail!(call);
    let options = ReadOptions { stale: call.parsed.is_set("stale"), consistent: false };
    let group = match client.raft_configuration(options).await {
        Ok(group) => group,
        Err(error) => {
            return fail(format!(
                "Error getting peers: Failed to retrieve raft configuration: {error}"
            ));
        }
    };
    let mut rows = vec![row(["Node", "ID", "Address", "State", "Voter", "RaftProtocol"])];
    for server in group.servers {
        let state = if server.leader { "leader" } else { "follower" };
        let voter = server.voter.to_string();
        let (id, protocol) = (&server.id, &server.protocol_version);
        rows.push(row([&server.node, id, &server.address, state, &voter, protocol]));
    }
    out(&columns(&rows));
    0
}

async fn remove(call: Call) -> Exit {
    let text = |name: &str| call.parsed.text(name).unwrap_or("");
    let (what, name) = match (text("address"), text("id")) {
        ("", "") => {
            return fail(
                "Error removing peer: an address or id is required for the peer to remove",
            );
        }
        (address, "") => ("address", address),
        ("", id) => ("id", id),
        _ => return fail("Error removing peer: cannot give both an address and id"),
    };
    let client = client_or_fail!(call);
    let request = client.request(Method::DELETE, "/v1/operator/raft/peer").pair(what, name);
    match client.call(request).await {
        Ok(_) => {
            out(&format!("Removed peer with {what} {name:?}"));
            0
        }
        Err(error) => fail(format!("Error removing peer: {error}")),
    }
}
