//! `intention create`: one from the arguments, or several from JSON files.

use std::collections::BTreeMap;

use lictor_api::client::{Client, Method};
use lictor_api::url;
use serde_json::{Map, Value};

use super::flags::{FlagError, Kind, flag};
use super::intention::{Intention, find, split_name};
use super::output::reason;
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, misused, out};

/// `lictor intention create`.
pub(super) const COMMAND: Command = Command {
    path: "intention create",
    synopsis: "Creates intentions",
    operands: "[options] SRC DST",
    about: "Creates an intention that allows or denies connections from SRC to DST; with -file \
        one for each of the JSON files given as arguments.",
    flags: &[
        flag("allow", Kind::Bool, "Allow connections; the default."),
        flag("deny", Kind::Bool, "Deny connections, and end those that are open."),
        flag("file", Kind::Bool, "The arguments are files with one intention each."),
        flag("meta", Kind::List, "Metadata of the intention, key=value; may be repeated."),
        flag("replace", Kind::Bool, "Change an intention with the same source and destination."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(run(call)),
};

async fn run(call: Call) -> Exit {
    if let Some(pair) = call.parsed.list("meta").iter().find(|pair| !pair.contains('=')) {
        return misused(call.command, FlagError::not_a_pair("meta", pair));
    }
    if call.parsed.is_set("allow") && call.parsed.is_set("deny") {
        return fail("Only one of -allow or -deny may be specified.");
    }
    let wanted = match wanted(&call) {
        Ok(wanted) => wanted,
        Err(error) => return fail(format!("Error: {error}")),
    };
    let client = client_or_fail!(call);
    for intention in wanted {
        if let Err(error) = create(&call, &client, &intention).await {
            return fail(error);
        }
    }
    0
}

fn wanted(call: &Call) -> Result<Vec<Intention>, String> {
    if call.parsed.is_set("file") {
        return call.parsed.operands.iter().map(|path| from_file(path)).collect();
    }
    let [source, destination] = call.parsed.operands.as_slice() else {
        return Err("Must specify two arguments: source and destination".to_owned());
    };
    let mut meta = BTreeMap::new();
    for (key, value) in call.parsed.list("meta").iter().filter_map(|pair| pair.split_once('=')) {
        meta.insert(key.to_owned(), value.to_owned());
    }
    let (source_ns, source_name) = split_name(source);
    let (destination_ns, destination_name) = split_name(destination);
    let action = if call.parsed.is_set("deny") { "deny" } else { "allow" };
    Ok(vec![Intention {
        source_ns,
        source_name,
        destination_ns,
        destination_name,
        source_type: "consul".to_owned(),
        action: action.to_owned(),
        meta: Some(meta),
        ..Intention::default()
    }])
}

fn from_file(path: &str) -> Result<Intention, String> {
    let text = std::fs::read(path).map_err(|error| format!("open {path}: {}", reason(&error)))?;
    let mut intention: Intention = match serde_json::from_slice::<Map<String, Value>>(&text) {
        Ok(object) => serde_json::from_value(Value::Object(object)),
        Err(error) => Err(error),
    }
    .map_err(|error| format!("{path}: {error}"))?;
    if intention.source_type.is_empty() {
        "consul".clone_into(&mut intention.source_type);
    }
    Ok(intention)
}

async fn create(call: &Call, client: &Client, intention: &Intention) -> Result<(), String> {
    let named = |ns: &str, name: &str| match ns {
        "" => name.to_owned(),
        ns => format!("{ns}/{name}"),
    };
    if call.parsed.is_set("replace") {
        let source = named(&intention.source_ns, &intention.source_name);
        let destination = named(&intention.destination_ns, &intention.destination_name);
        let old = find(call, client, &source, &destination).await;
        let old = old.map_err(|error| {
            format!(
                "Error looking up intention for replacement with source {:?} and destination \
                {:?}: {error}",
                intention.source_name, intention.destination_name
            )
        })?;
        if let Some(old) = old {
            let changed = Intention { id: old.id.clone(), ..intention.clone() };
            let path = url::path("/v1/connect/intentions/", &old.id);
            let request = client.request(Method::PUT, &path).json(&changed);
            let sent = match request {
                Ok(request) => client.call(request).await,
                Err(error) => Err(error),
            };
            return sent.map(drop).map_err(|error| {
                format!(
                    "Error replacing intention with source {:?} and destination {:?}: {error}",
                    intention.source_name, intention.destination_name
                )
            });
        }
    }
    let text = intention.text();
    let request = client.request(Method::POST, "/v1/connect/intentions").json(intention);
    let sent = match request {
        Ok(request) => client.call(request).await,
        Err(error) => Err(error),
    };
    sent.map_err(|error| format!("Error creating intention \"{text}\": {error}"))?;
    out(&format!("Created: {text}"));
    Ok(())
}
