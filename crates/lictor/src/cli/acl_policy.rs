//! `acl policy`: policies.

use lictor_api::acl::AclPolicy;
use lictor_api::client::Client;

use super::acl::{FORMAT, META, UNNAMED, data_source, is_named, legacy_rules, options, policy_id};
use super::acl_format::print;
use super::flags::{Flag, Kind, flag};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, misused, out};

const ID: Flag = flag("id", Kind::Text, "ID of the policy, or its beginning.");
const NAME: Flag = flag("name", Kind::Text, "Name of the policy.");
const DESCRIPTION: Flag = flag("description", Kind::Text, "Description of the policy.");
const DATACENTER: Flag =
    flag("valid-datacenter", Kind::List, "A datacenter it holds in; may be repeated.");
const RULES: Flag =
    flag("rules", Kind::Text, "Its rules: as they are, @ and a file, or - for standard input.");

/// `lictor acl policy create`.
pub(super) const CREATE: Command = Command {
    path: "acl policy create",
    synopsis: "Creates a policy",
    operands: "[options]",
    about: "Creates a policy.",
    flags: &[
        META,
        NAME,
        DESCRIPTION,
        DATACENTER,
        RULES,
        flag("from-token", Kind::Text, "Take the rules of this token of version 1.2, translated."),
        flag("token-secret", Kind::Bool, "-from-token is a secret, not an accessor."),
        FORMAT,
    ],
    client: true,
    server: true,
    run: |call| Box::pin(create(call)),
};

/// `lictor acl policy read`.
pub(super) const READ: Command = Command {
    path: "acl policy read",
    synopsis: "Shows a policy",
    operands: "[options]",
    about: "Shows one policy.",
    flags: &[META, ID, NAME, FORMAT],
    client: true,
    server: true,
    run: |call| Box::pin(read(call)),
};

/// `lictor acl policy list`.
pub(super) const LIST: Command = Command {
    path: "acl policy list",
    synopsis: "Lists policies",
    operands: "[options]",
    about: "Lists all policies, without their rules.",
    flags: &[META, FORMAT],
    client: true,
    server: true,
    run: |call| Box::pin(list(call)),
};

/// `lictor acl policy update`.
pub(super) const UPDATE: Command = Command {
    path: "acl policy update",
    synopsis: "Changes a policy",
    operands: "[options]",
    about: "Changes what is given of a policy; with -no-merge all of it.",
    flags: &[
        META,
        ID,
        NAME,
        DESCRIPTION,
        DATACENTER,
        RULES,
        flag("no-merge", Kind::Bool, "What is not given is emptied."),
        FORMAT,
    ],
    client: true,
    server: true,
    run: |call| Box::pin(update(call)),
};

/// `lictor acl policy delete`.
pub(super) const DELETE: Command = Command {
    path: "acl policy delete",
    synopsis: "Deletes a policy",
    operands: "[options]",
    about: "Deletes a policy; tokens and roles that have it lose it.",
    flags: &[ID, NAME],
    client: true,
    server: true,
    run: |call| Box::pin(delete(call)),
};

async fn create(call: Call) -> Exit {
    if call.parsed.text_or_empty("name").is_empty() {
        return misused(call.command, "Missing require '-name' flag");
    }
    let client = client_or_fail!(call);
    let rules = match rules(&call, &client).await {
        Ok(rules) => rules,
        Err(error) => return fail(format!("Error loading rules: {error}")),
    };
    let policy = AclPolicy {
        name: call.parsed.text_or_empty("name").to_owned(),
        description: call.parsed.text_or_empty("description").to_owned(),
        datacenters: call.parsed.list("valid-datacenter").to_vec(),
        rules,
        ..AclPolicy::default()
    };
    match client.acl_policy_set(&policy).await {
        Ok(policy) => print(&call, &policy),
        Err(error) => fail(format!("Failed to create new policy: {error}")),
    }
}

async fn rules(call: &Call, client: &Client) -> Result<String, String> {
    let (given, from) =
        (call.parsed.text_or_empty("rules"), call.parsed.text_or_empty("from-token"));
    if from.is_empty() {
        return data_source(given);
    }
    if !given.is_empty() {
        return Err("Cannot specify both -rules and -from-token".to_owned());
    }
    let token = data_source(from).map_err(|error| format!("Invalid -from-token value: {error}"))?;
    let rules = legacy_rules(client, token.trim(), call.parsed.is_set("token-secret")).await?;
    lictor_acl::translate(&rules).map_err(|error| error.to_string())
}

/// The ID of the policy that the flags name.
async fn named(call: &Call, client: &Client) -> Result<String, String> {
    let (id, name) = (call.parsed.text_or_empty("id"), call.parsed.text_or_empty("name"));
    let found = if id.is_empty() {
        let policies = client.acl_policies(options(call)).await;
        policies.map_err(|error| error.to_string()).and_then(|policies| {
            let found = policies.into_iter().find(|policy| policy.name == name);
            found.map(|policy| policy.id).ok_or_else(|| format!("No such policy with name {name}"))
        })
    } else {
        policy_id(client, id).await
    };
    found.map_err(|error| format!("Error determining policy ID: {error}"))
}

async fn read(call: Call) -> Exit {
    if !is_named(&call) {
        return fail(UNNAMED);
    }
    let client = client_or_fail!(call);
    let id = match named(&call, &client).await {
        Ok(id) => id,
        Err(error) => return fail(error),
    };
    match client.acl_policy(&id, options(&call)).await {
        Ok(policy) => print(&call, &policy),
        Err(error) => fail(format!("Error reading policy {id:?}: {error}")),
    }
}

async fn list(call: Call) -> Exit {
    let client = client_or_fail!(call);
    match client.acl_policies(options(&call)).await {
        Ok(policies) => print(&call, &policies),
        Err(error) => fail(format!("Failed to retrieve the policy list: {error}")),
    }
}

async fn update(call: Call) -> Exit {
    if !is_named(&call) {
        return fail(UNNAMED);
    }
    let client = client_or_fail!(call);
    let id = match named(&call, &client).await {
        Ok(id) => id,
        Err(error) => return fail(error),
    };
    let rules = match data_source(call.parsed.text_or_empty("rules")) {
        Ok(rules) => rules,
        Err(error) => return fail(format!("Error loading data source: {error}")),
    };
    let mut policy = AclPolicy { id: id.clone(), ..AclPolicy::default() };
    let merges = !call.parsed.is_set("no-merge");
    if merges {
        policy = match client.acl_policy(&id, options(&call)).await {
            Ok(policy) => policy,
            Err(error) => return fail(format!("Error reading policy {id:?}: {error}")),
        };
    }
    if let Some(name) = call.parsed.text("name") {
        name.clone_into(&mut policy.name);
    }
    if let Some(description) = call.parsed.text("description") {
        description.clone_into(&mut policy.description);
    }
    if call.parsed.text("rules").is_some() {
        policy.rules = rules;
    }
    let datacenters = call.parsed.list("valid-datacenter");
    if !datacenters.is_empty() {
        policy.datacenters = datacenters.to_vec();
    }
    match client.acl_policy_set(&policy).await {
        Ok(policy) => print(&call, &policy),
        Err(error) => fail(format!("Error updating policy {id:?}: {error}")),
    }
}

async fn delete(call: Call) -> Exit {
    if !is_named(&call) {
        return fail(UNNAMED);
    }
    let client = client_or_fail!(call);
    let id = match named(&call, &client).await {
        Ok(id) => id,
        Err(error) => return fail(error),
    };
    match client.acl_policy_delete(&id).await {
        Ok(()) => {
            out(&format!("Policy {id:?} deleted successfully"));
            0
        }
        Err(error) => fail(format!("Error deleting policy {id:?}: {error}")),
    }
}
