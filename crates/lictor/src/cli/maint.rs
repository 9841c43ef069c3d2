//! `maint`: takes a node or a service out of rotation and back.

use std::collections::BTreeMap;

use lictor_api::client::{ClientError, Method};
use lictor_api::url;
use serde::Deserialize;

use super::flags::{Kind, flag};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, out};

/// `lictor maint`.
pub(super) const COMMAND: Command = Command {
    path: "maint",
    synopsis: "Controls maintenance mode of the node or a service",
    operands: "[options]",
    about: "Marks the node or one of its services as under maintenance, so that it is not \
        offered to anybody, and takes the mark away. Without flags it lists what is under \
        maintenance.",
    flags: &[
        flag("disable", Kind::Bool, "Take the mark away."),
        flag("enable", Kind::Bool, "Set the mark."),
        flag("reason", Kind::Text, "Why; shown in the check's notes."),
        flag("service", Kind::Text, "ID of the service; the whole node without it."),
    ],
    client: true,
    server: false,
    run: |call| Box::pin(run(call)),
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    node: String,
    notes: String,
    #[serde(rename = "CheckID")]
    id: String,
    #[serde(rename = "ServiceID", default)]
    service: String,
}

async fn run(call: Call) -> Exit {
    let (enable, disable) = (call.parsed.is_set("enable"), call.parsed.is_set("disable"));
    let reason = call.parsed.text_or_empty("reason");
    let service = call.parsed.text_or_empty("service");
    if enable && disable {
        return fail("Only one of -enable or -disable may be provided");
    }
    if !enable && !reason.is_empty() {
        return fail("Reason may only be provided with -enable");
    }
    if !enable && !disable && !service.is_empty() {
        return fail("Service requires either -enable or -disable");
    }
    if !enable && !disable {
        return list(&call).await;
    }
    let client = client_or_fail!(call);
    let path = if service.is_empty() {
        "/v1/agent/maintenance".to_owned()
    } else {
        url::path("/v1/agent/service/maintenance/", service)
    };
    let request = client
        .request(Method::PUT, &path)
        .pair("enable", if enable { "true" } else { "false" })
        .pair_if("reason", reason);
    let done: Result<_, ClientError> = client.call(request).await;
    let (doing, state) = if enable { ("enabling", "enabled") } else { ("disabling", "disabled") };
    match (done, service) {
        (Ok(_), "") => out(&format!("Node maintenance is now {state}")),
        (Ok(_), id) => out(&format!("Service maintenance is now {state} for \"{id}\"")),
        (Err(error), "") => return fail(format!("Error {doing} node maintenance: {error}")),
        (Err(error), _) => return fail(format!("Error {doing} service maintenance: {error}")),
    }
    0
}

async fn list(call: &Call) -> Exit {
    let client = client_or_fail!(call);
    let checks: BTreeMap<String, Check> =
        match client.call_json(client.get("/v1/agent/checks")).await {
            Ok(checks) => checks,
            Err(error) => return fail(format!("Error querying Consul agent: {error}")),
        };
    for check in checks.values() {
        if check.id == "_node_maintenance" {
            out(&format!("Node:\n  Name:   {}\n  Reason: {}\n", check.node, check.notes));
        } else if check.id.starts_with("_service_maintenance:") {
            out(&format!("Service:\n  ID:     {}\n  Reason: {}\n", check.service, check.notes));
        }
    }
    0
}
