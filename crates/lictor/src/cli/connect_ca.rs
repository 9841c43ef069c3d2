//! `connect ca get-config` and `connect ca set-config`.

use lictor_api::client::Method;
use serde_json::Value;

use super::flags::{Kind, flag};
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

async fn get(call: Call) -> Exit {
    let client = client_or_fail!(call);
    match client.call_json::<Value>(call.read(&client, PATH)).await {
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
        Err(error) => return fail(format!("Error reading config file: open {path}: {error}")),
    };
    let config: Value = match serde_json::from_slice(&text) {
        Ok(config) => config,
        Err(error) => return fail(format!("Error parsing config file: {error}")),
    };
    let client = client_or_fail!(call);
    let request = match client.request(Method::PUT, PATH).json(&config) {
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
