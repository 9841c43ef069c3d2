//! `connect ca get-config` and `connect ca set-config`.

use lictor_api::client::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::flags::{Kind, flag};
use super::output::reason;
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, out};

const PATH: &str = "/v1/connect/ca/configuration";

/// `lictor connect ca get-config`.
pub(super) const GET: Command = Command {
    path: "connect ca get-config",
    synopsis: "Shows the CA's configuration",
    operands: "[options]",
    about: "Shows the current configuration of the mesh's certificate authority.",
    flags: &[],
    client: true,
    server: true,
    run: |call| Box::pin(get(call)),
};

/// `lictor connect ca set-config`.
pub(super) const SET: Command = Command {
    path: "connect ca set-config",
    synopsis: "Changes the CA's configuration",
    operands: "[options]",
    about: "Changes the configuration of the mesh's certificate authority. A configuration that \
        gives another root starts a rotation, in which no connection is lost.",
    flags: &[flag("config-file", Kind::Text, "JSON file with Provider and Config.")],
    client: true,
    server: true,
    run: |call| Box::pin(set(call)),
};

/// The configuration in the order in which it is printed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    provider: String,
    config: Option<Map<String, Value>>,
    create_index: u64,
    modify_index: u64,
}

async fn get(call: Call) -> Exit {
    let client = client_or_fail!(call);
    match client.call_json::<Shown>(call.read(&client, PATH)).await {
        Ok(config) => {
            out(&super::kv_export::tabbed(&config));
            0
        }
        Err(error) => fail(format!("Error querying CA configuration: {error}")),
    }
}

async fn set(call: Call) -> Exit {
    let Some(path) = call.parsed.text("config-file") else {
        return fail("The -config-file flag is required");
    };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) => {
            return fail(format!("Error reading config file: open {path}: {}", reason(&error)));
        }
    };
    // Only its shape is looked at here; `null` says nothing and is left to the agent as well.
    let config: Option<Map<String, Value>> = match serde_json::from_slice(&text) {
        Ok(config) => config,
        Err(error) => return fail(format!("Error parsing config file: {error}")),
    };
    let client = client_or_fail!(call);
    let request = match client.request(Method::PUT, PATH).json(&config.unwrap_or_default()) {
        Ok(request) => request,
        Err(error) => return fail(format!("Error setting CA configuration: {error}")),
    };
    match client.call(request).await {
        Ok(_) => {
            out("Configuration updated!");
            0
        }
        Err(error) => fail(format!("Error setting CA configuration: {error}")),
    }
}
