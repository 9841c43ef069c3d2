//! `acl auth-method` and `acl binding-rule`: ways to log in, and what they give.

use lictor_api::acl_auth::{AuthMethod, BindingRule};
use lictor_api::client::Client;
use lictor_api::duration::GoDuration;
use serde_json::{Map, Value};

use super::acl::{FORMAT, META, data_source, duration, options, rule_id};
use super::acl_format::print;
use super::flags::{Flag, Kind, flag};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, misused, out};

const METHOD_NAME: Flag = flag("name", Kind::Text, "Name of the method.");
const RULE_ID: Flag = flag("id", Kind::Text, "ID of the binding rule, or its beginning.");
const NO_MERGE: Flag = flag("no-merge", Kind::Bool, "What is not given is emptied.");
const DISPLAY_NAME: Flag = flag("display-name", Kind::Text, "Name of the method for people.");
const METHOD_DESCRIPTION: Flag = flag("description", Kind::Text, "Description of the method.");
const TTL: Flag = flag("max-token-ttl", Kind::Text, "How long its tokens are valid, such as 8h.");
const LOCALITY: Flag = flag(
    "token-locality",
    Kind::Text,
    "Where its tokens are valid: local (the default) or global.",
);
const CONFIG: Flag = flag(
    "config",
    Kind::Text,
    "Its settings in JSON: as they are, @ and a file, or - for standard input.",
);
const RULE_DESCRIPTION: Flag = flag("description", Kind::Text, "Description of the binding rule.");
const SELECTOR: Flag = flag("selector", Kind::Text, "Whom it concerns; everybody by default.");
const BIND_TYPE: Flag =
    flag("bind-type", Kind::Text, "What they get: service (the default), node or role.");
const BIND_NAME: Flag =
    flag("bind-name", Kind::Text, "Its name; ${value.x} stands for a value of theirs.");

macro_rules! command {
    ($path:literal, $synopsis:literal, $about:literal, $flags:expr, $run:path) => {
        Command {
            path: $path,
            synopsis: $synopsis,
            operands: "[options]",
            about: $about,
            flags: $flags,
            client: true,
            server: true,
            run: |call| Box::pin($run(call)),
        }
    };
}

/// `lictor acl auth-method create`.
pub(super) const METHOD_CREATE: Command = command!(
    "acl auth-method create",
    "Creates a way to log in",
    "Creates a way to log in. The type that there is is jwt.",
    &[
        META,
        flag("type", Kind::Text, "Type of the method."),
        METHOD_NAME,
        DISPLAY_NAME,
        METHOD_DESCRIPTION,
        TTL,
        LOCALITY,
        CONFIG,
        FORMAT,
    ],
    method_create
);

/// `lictor acl auth-method read`.
pub(super) const METHOD_READ: Command = command!(
    "acl auth-method read",
    "Shows a way to log in",
    "Shows one way to log in, with its settings.",
    &[META, METHOD_NAME, FORMAT],
    method_read
);

/// `lictor acl auth-method list`.
pub(super) const METHOD_LIST: Command = command!(
    "acl auth-method list",
    "Lists ways to log in",
    "Lists all ways to log in, without their settings.",
    &[META, FORMAT],
    method_list
);

/// `lictor acl auth-method update`.
pub(super) const METHOD_UPDATE: Command = command!(
    "acl auth-method update",
    "Changes a way to log in",
    "Changes what is given of a way to log in; with -no-merge all of it but its type.",
    &[META, METHOD_NAME, DISPLAY_NAME, METHOD_DESCRIPTION, TTL, LOCALITY, CONFIG, NO_MERGE, FORMAT,],
    method_update
);

/// `lictor acl auth-method delete`.
pub(super) const METHOD_DELETE: Command = command!(
    "acl auth-method delete",
    "Deletes a way to log in",
    "Deletes a way to log in, with its binding rules and the tokens that it made.",
    &[METHOD_NAME],
    method_delete
);

/// `lictor acl binding-rule create`.
pub(super) const RULE_CREATE: Command = command!(
    "acl binding-rule create",
    "Creates a binding rule",
    "Creates a rule that says what those get who log in by a method.",
    &[
        META,
        flag("method", Kind::Text, "Name of the method."),
        RULE_DESCRIPTION,
        SELECTOR,
        BIND_TYPE,
        BIND_NAME,
        FORMAT,
    ],
    rule_create
);

/// `lictor acl binding-rule read`.
pub(super) const RULE_READ: Command = command!(
    "acl binding-rule read",
    "Shows a binding rule",
    "Shows one binding rule.",
    &[META, RULE_ID, FORMAT],
    rule_read
);

/// `lictor acl binding-rule list`.
pub(super) const RULE_LIST: Command = command!(
    "acl binding-rule list",
    "Lists binding rules",
    "Lists the binding rules of a method, or all of them.",
    &[META, flag("method", Kind::Text, "Name of the method."), FORMAT],
    rule_list
);

/// `lictor acl binding-rule update`.
pub(super) const RULE_UPDATE: Command = command!(
    "acl binding-rule update",
    "Changes a binding rule",
    "Changes what is given of a binding rule; with -no-merge all of it but its method.",
    &[META, RULE_ID, RULE_DESCRIPTION, SELECTOR, BIND_TYPE, BIND_NAME, NO_MERGE, FORMAT],
    rule_update
);

/// `lictor acl binding-rule delete`.
pub(super) const RULE_DELETE: Command = command!(
    "acl binding-rule delete",
    "Deletes a binding rule",
    "Deletes a binding rule; tokens that were made by it stay.",
    &[RULE_ID],
    rule_delete
);

fn set(call: &Call, name: &str, place: &mut String) {
    let text = call.parsed.text_or_empty(name);
    if !text.is_empty() {
        text.clone_into(place);
    }
}

/// The settings that the flag `-config` gives.
fn config(call: &Call) -> Result<Option<Map<String, Value>>, String> {
    let given = call.parsed.text_or_empty("config");
    if given.is_empty() {
        return Ok(None);
    }
    let text =
        data_source(given).map_err(|error| format!("Error loading configuration file: {error}"))?;
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| format!("Error parsing JSON configuration file: {error}"))
}

fn describe(call: &Call, method: &mut AuthMethod) -> Result<(), Exit> {
    set(call, "display-name", &mut method.display_name);
    set(call, "description", &mut method.description);
    set(call, "token-locality", &mut method.token_locality);
    let ttl = duration(call, "max-token-ttl")?;
    if ttl > 0 {
        method.max_token_ttl = GoDuration(ttl);
    }
    match config(call) {
        Ok(None) => Ok(()),
        Ok(config) => {
            method.config = config;
            Ok(())
        }
        Err(error) => Err(fail(error)),
    }
}

async fn method_create(call: Call) -> Exit {
    let mut method = AuthMethod::default();
    set(&call, "type", &mut method.kind);
    set(&call, "name", &mut method.name);
    if method.kind.is_empty() {
        return misused(call.command, "Missing required '-type' flag");
    }
    if method.name.is_empty() {
        return misused(call.command, "Missing required '-name' flag");
    }
    if let Err(exit) = describe(&call, &mut method) {
        return exit;
    }
    let client = client_or_fail!(call);
    match client.acl_auth_method_create(&method).await {
        Ok(method) => print(&call, &method),
        Err(error) => fail(format!("Failed to create new auth method: {error}")),
    }
}

async fn method(
    call: &Call,
    client: &Client,
    name: &str,
    failed: &str,
) -> Result<AuthMethod, Exit> {
    match client.acl_auth_method(name, options(call)).await {
        Ok(Some(method)) => Ok(method),
        Ok(None) => Err(fail(format!("Auth method not found with name {name:?}"))),
        Err(error) => Err(fail(format!("{failed}: {error}"))),
    }
}

async fn method_read(call: Call) -> Exit {
    let name = call.parsed.text_or_empty("name");
    if name.is_empty() {
        return fail("Must specify the -name parameter");
    }
    let client = client_or_fail!(call);
    match method(&call, &client, name, &format!("Error reading auth method {name:?}")).await {
        Ok(method) => print(&call, &method),
        Err(exit) => exit,
    }
}

async fn method_list(call: Call) -> Exit {
    let client = client_or_fail!(call);
    match client.acl_auth_methods(options(&call)).await {
        Ok(methods) => print(&call, &methods),
        Err(error) => fail(format!("Failed to retrieve the auth method list: {error}")),
    }
}

async fn method_update(call: Call) -> Exit {
    let name = call.parsed.text_or_empty("name");
    if name.is_empty() {
        return fail("Cannot update an auth method without specifying the -name parameter");
    }
    let client = client_or_fail!(call);
    let old = match method(&call, &client, name, "Error when retrieving current auth method").await
    {
        Ok(method) => method,
        Err(exit) => return exit,
    };
    let mut method = if call.parsed.is_set("no-merge") {
        AuthMethod { name: old.name, kind: old.kind, ..AuthMethod::default() }
    } else {
        old
    };
    if let Err(exit) = describe(&call, &mut method) {
        return exit;
    }
    match client.acl_auth_method_update(&method).await {
        Ok(method) => print(&call, &method),
        Err(error) => fail(format!("Error updating auth method {name:?}: {error}")),
    }
}

async fn method_delete(call: Call) -> Exit {
    let name = call.parsed.text_or_empty("name");
    if name.is_empty() {
        return fail("Must specify the -name parameter");
    }
    let client = client_or_fail!(call);
    match client.acl_auth_method_delete(name).await {
        Ok(()) => {
            out(&format!("Auth method {name:?} deleted successfully"));
            0
        }
        Err(error) => fail(format!("Error deleting auth method {name:?}: {error}")),
    }
}

async fn rule_create(call: Call) -> Exit {
    let mut rule = BindingRule { bind_type: "service".to_owned(), ..BindingRule::default() };
    set(&call, "method", &mut rule.auth_method);
    set(&call, "description", &mut rule.description);
    set(&call, "selector", &mut rule.selector);
    set(&call, "bind-type", &mut rule.bind_type);
    set(&call, "bind-name", &mut rule.bind_name);
    if rule.auth_method.is_empty() {
        return misused(call.command, "Missing required '-method' flag");
    }
    if rule.bind_name.is_empty() {
        return misused(call.command, "Missing required '-bind-name' flag");
    }
    let client = client_or_fail!(call);
    match client.acl_binding_rule_set(&rule).await {
        Ok(rule) => print(&call, &rule),
        Err(error) => fail(format!("Failed to create new binding rule: {error}")),
    }
}

/// The rule that the flag names.
async fn rule(call: &Call, client: &Client, failed: &str) -> Result<BindingRule, Exit> {
    let id = rule_id(client, call.parsed.text_or_empty("id")).await;
    let id = id.map_err(|error| fail(format!("Error determining binding rule ID: {error}")))?;
    match client.acl_binding_rule(&id, options(call)).await {
        Ok(Some(rule)) => Ok(rule),
        Ok(None) => Err(fail(format!("Binding rule not found with ID {id:?}"))),
        Err(error) => Err(fail(format!("{failed}: {error}"))),
    }
}

async fn rule_read(call: Call) -> Exit {
    let given = call.parsed.text_or_empty("id");
    if given.is_empty() {
        return fail("Must specify the -id parameter.");
    }
    let client = client_or_fail!(call);
    match rule(&call, &client, &format!("Error reading binding rule {given:?}")).await {
        Ok(rule) => print(&call, &rule),
        Err(exit) => exit,
    }
}

async fn rule_list(call: Call) -> Exit {
    let client = client_or_fail!(call);
    match client.acl_binding_rules(call.parsed.text_or_empty("method"), options(&call)).await {
        Ok(rules) => print(&call, &rules),
        Err(error) => fail(format!("Failed to retrieve the binding rule list: {error}")),
    }
}

async fn rule_update(call: Call) -> Exit {
    if call.parsed.text_or_empty("id").is_empty() {
        return fail("Cannot update a binding rule without specifying the -id parameter");
    }
    let client = client_or_fail!(call);
    let old = match rule(&call, &client, "Error when retrieving current binding rule").await {
        Ok(rule) => rule,
        Err(exit) => return exit,
    };
    let id = old.id.clone();
    let mut rule = if call.parsed.is_set("no-merge") {
        BindingRule {
            id: old.id,
            auth_method: old.auth_method,
            bind_type: "service".to_owned(),
            ..BindingRule::default()
        }
    } else {
        old
    };
    set(&call, "description", &mut rule.description);
    set(&call, "bind-type", &mut rule.bind_type);
    set(&call, "bind-name", &mut rule.bind_name);
    if let Some(selector) = call.parsed.text("selector") {
        selector.clone_into(&mut rule.selector);
    }
    if rule.bind_name.is_empty() {
        return misused(call.command, "Missing required '-bind-name' flag");
    }
    match client.acl_binding_rule_set(&rule).await {
        Ok(rule) => print(&call, &rule),
        Err(error) => fail(format!("Error updating binding rule {id:?}: {error}")),
    }
}

async fn rule_delete(call: Call) -> Exit {
    let given = call.parsed.text_or_empty("id");
    if given.is_empty() {
        return fail("Must specify the -id parameter");
    }
    let client = client_or_fail!(call);
    let id = match rule_id(&client, given).await {
        Ok(id) => id,
        Err(error) => return fail(format!("Error determining binding rule ID: {error}")),
    };
    match client.acl_binding_rule_delete(&id).await {
        Ok(()) => {
            out(&format!("Binding rule {id:?} deleted successfully"));
            0
        }
        Err(error) => fail(format!("Error deleting binding rule {id:?}: {error}")),
    }
}
