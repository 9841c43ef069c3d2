//! Commands that tell the agent to do something: `leave`, `reload`, `join`, `force-leave`.

use lictor_api::client::{Client, ClientError, Response};
use lictor_api::url;

use super::flags::{Kind, flag};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, err, fail, out, usage};

/// `lictor leave`.
pub(super) const LEAVE: Command = Command {
    path: "leave",
    synopsis: "Makes the agent leave the cluster and end",
    operands: "[options]",
    about: "Makes the agent leave the cluster gracefully and end.",
    flags: &[],
    client: true,
    server: false,
    run: |call| Box::pin(leave(call)),
};

/// `lictor reload`.
pub(super) const RELOAD: Command = Command {
    path: "reload",
    synopsis: "Makes the agent read its configuration again",
    operands: "",
    about: "Makes the agent read its configuration files again.",
    flags: &[],
    client: true,
    server: false,
    run: |call| Box::pin(reload(call)),
};

/// `lictor join`.
pub(super) const JOIN: Command = Command {
    path: "join",
    synopsis: "Makes the agent join a cluster",
    operands: "[options] address ...",
    about: "Makes the agent join the cluster of which at least one of the addresses is a member.",
    flags: &[flag("wan", Kind::Bool, "Join the pool of servers of other datacenters.")],
    client: true,
    server: false,
    run: |call| Box::pin(join(call)),
};

/// `lictor force-leave`.
pub(super) const FORCE_LEAVE: Command = Command {
    path: "force-leave",
    synopsis: "Makes a failed member leave the cluster",
    operands: "[options] name",
    about: "Turns a failed member into one that has left, so that nobody tries to reach it.",
    flags: &[flag("prune", Kind::Bool, "Forget the member wholly.")],
    client: true,
    server: false,
    run: |call| Box::pin(force_leave(call)),
};

async fn put(client: &Client, path: &str) -> Result<Response, ClientError> {
    client.call(client.put(path)).await
}

async fn leave(call: Call) -> Exit {
    let extra = call.parsed.operands.len();
    if extra > 0 {
        out(usage(call.command).trim_end());
        return 1;
    }
    let client = client_or_fail!(call);
    match put(&client, "/v1/agent/leave").await {
        Ok(_) => {
            out("Graceful leave complete");
            0
        }
        Err(error) => fail(format!("Error leaving: {error}")),
    }
}

async fn reload(call: Call) -> Exit {
    let client = client_or_fail!(call);
    match put(&client, "/v1/agent/reload").await {
        Ok(_) => {
            out("Configuration reload triggered");
            0
        }
        Err(error) => fail(format!("Error reloading: {error}")),
    }
}

async fn join(call: Call) -> Exit {
    if call.parsed.operands.is_empty() {
        let text = usage(call.command);
        return fail(format!(
            "At least one address to join must be specified.\n\n{}",
            text.trim_end()
        ));
    }
    let client = client_or_fail!(call);
    let mut joined = 0;
    for address in &call.parsed.operands {
        let mut request = client.put(&url::path("/v1/agent/join/", address));
        if call.parsed.is_set("wan") {
            request = request.pair("wan", "1");
        }
        match client.call(request).await {
            Ok(_) => joined += 1,
            Err(error) => err(&format!("Error joining address '{address}': {error}")),
        }
    }
    if joined == 0 {
        return fail("Failed to join any nodes.");
    }
    out(&format!("Successfully joined cluster by contacting {joined} nodes."));
    0
}

async fn force_leave(call: Call) -> Exit {
    let [name] = call.parsed.operands.as_slice() else {
        let text = usage(call.command);
        return fail(format!(
            "A single node name must be specified to force leave.\n\n{}",
            text.trim_end()
        ));
    };
    let client = client_or_fail!(call);
    let mut path = url::path("/v1/agent/force-leave/", name);
    if call.parsed.is_set("prune") {
        path.push_str("?prune");
    }
    match put(&client, &path).await {
        Ok(_) => 0,
        Err(error) => fail(format!("Error force leaving: {error}")),
    }
}
