//! `acl token`: tokens.

use lictor_api::acl::AclToken;
use lictor_api::client::{Client, TokenQuery};
use lictor_api::duration::GoDuration;

use super::acl::{
    FORMAT, META, NODE_IDENTITY, POLICY_ID, POLICY_NAME, ROLE_ID, ROLE_NAME, SERVICE_IDENTITY,
    add_nodes, add_policies, add_roles, add_services, duration, options, token_id,
};
use super::acl_format::print;
use super::flags::{Flag, Kind, flag};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, out};

const ID: Flag =
    flag("id", Kind::Text, "Accessor of the token, or its beginning, or \"anonymous\".");

/// `lictor acl token create`.
pub(super) const CREATE: Command = Command {
    path: "acl token create",
    synopsis: "Creates a token",
    operands: "[options]",
    about: "Creates a token with policies, roles, services or nodes.",
    flags: &[
        flag("accessor", Kind::Text, "Accessor of the token, a UUID; made up by default."),
        flag("secret", Kind::Text, "Secret of the token, a UUID; made up by default."),
        META,
        flag("local", Kind::Bool, "The token is valid in its own datacenter only."),
        flag("description", Kind::Text, "Description of the token."),
        POLICY_ID,
        POLICY_NAME,
        ROLE_ID,
        ROLE_NAME,
        SERVICE_IDENTITY,
        NODE_IDENTITY,
        flag("expires-ttl", Kind::Text, "How long the token is valid, such as 12h."),
        FORMAT,
    ],
    client: true,
    server: true,
    run: |call| Box::pin(create(call)),
};

/// `lictor acl token read`.
pub(super) const READ: Command = Command {
    path: "acl token read",
    synopsis: "Shows a token",
    operands: "[options]",
    about: "Shows one token: that with an accessor, or with -self the one of the request.",
    flags: &[META, flag("self", Kind::Bool, "Show the token of the request."), ID, FORMAT],
    client: true,
    server: true,
    run: |call| Box::pin(read(call)),
};

/// `lictor acl token list`.
pub(super) const LIST: Command = Command {
    path: "acl token list",
    synopsis: "Lists tokens",
    operands: "[options]",
    about: "Lists all tokens.",
    flags: &[META, FORMAT],
    client: true,
    server: true,
    run: |call| Box::pin(list(call)),
};

/// `lictor acl token update`.
pub(super) const UPDATE: Command = Command {
    path: "acl token update",
    synopsis: "Changes a token",
    operands: "[options]",
    about: "Changes a token. What is given replaces what it has, unless it is to be merged; policies, \
        roles and identities that are not given are taken from it.",
    flags: &[
        META,
        flag("merge-policies", Kind::Bool, "Keep the policies it has."),
        flag("merge-roles", Kind::Bool, "Keep the roles it has."),
        flag("merge-service-identities", Kind::Bool, "Keep the services it has."),
        flag("merge-node-identities", Kind::Bool, "Keep the nodes it has."),
        ID,
        flag("description", Kind::Text, "Description of the token."),
        POLICY_ID,
        POLICY_NAME,
        ROLE_ID,
        ROLE_NAME,
        SERVICE_IDENTITY,
        NODE_IDENTITY,
        flag(
            "upgrade-legacy",
            Kind::Bool,
            "Replace the own rules of a token of version 1.2 by policies; its secret stays.",
        ),
        FORMAT,
    ],
    client: true,
    server: true,
    run: |call| Box::pin(update(call)),
};

/// `lictor acl token clone`.
pub(super) const CLONE: Command = Command {
    path: "acl token clone",
    synopsis: "Copies a token",
    operands: "[options]",
    about: "Makes a token with the rights of another one.",
    flags: &[ID, flag("description", Kind::Text, "Description of the copy."), FORMAT],
    client: true,
    server: true,
    run: |call| Box::pin(copy(call)),
};

/// `lictor acl token delete`.
pub(super) const DELETE: Command = Command {
    path: "acl token delete",
    synopsis: "Deletes a token",
    operands: "[options]",
    about: "Deletes the token with an accessor.",
    flags: &[ID],
    client: true,
    server: true,
    run: |call| Box::pin(delete(call)),
};

const RIGHTS: [&str; 6] =
    ["policy-name", "policy-id", "role-name", "role-id", "service-identity", "node-identity"];

async fn create(call: Call) -> Exit {
    if RIGHTS.iter().all(|name| call.parsed.list(name).is_empty()) {
        return fail(
            "Cannot create a token without specifying -policy-name, -policy-id, -role-name, \
             -role-id, -service-identity, or -node-identity at least once",
        );
    }
    let life = match duration(&call, "expires-ttl") {
        Ok(life) => life,
        Err(exit) => return exit,
    };
    let client = client_or_fail!(call);
    let text = |name: &str| call.parsed.text_or_empty(name).to_owned();
    let mut token = AclToken {
        accessor_id: text("accessor"),
        secret_id: text("secret"),
        description: text("description"),
        local: call.parsed.is_set("local"),
        expiration_ttl: GoDuration(life.max(0)),
        ..AclToken::default()
    };
    if let Err(error) = complete(&call, &client, &mut token).await {
        return fail(error);
    }
    match client.acl_token_create(&token).await {
        Ok(token) => print(&call, &token),
        Err(error) => fail(format!("Failed to create new token: {error}")),
    }
}

/// Adds what the flags grant.
async fn complete(call: &Call, client: &Client, token: &mut AclToken) -> Result<(), String> {
    add_services(call, &mut token.service_identities)?;
    add_nodes(call, &mut token.node_identities)?;
    add_policies(call, client, &mut token.policies).await?;
    add_roles(call, client, &mut token.roles).await
}

async fn read(call: Call) -> Exit {
    let own = call.parsed.is_set("self");
    let given = call.parsed.text_or_empty("id");
    if given.is_empty() && !own {
        return fail("Must specify the -id parameter");
    }
    let client = client_or_fail!(call);
    if own {
        return match client.acl_token("self", options(&call)).await {
            Ok(token) => print(&call, &token),
            Err(error) => fail(format!("Error reading token: {error}")),
        };
    }
    let id = match token_id(&client, given).await {
        Ok(id) => id,
        Err(error) => return fail(error),
    };
    match client.acl_token(&id, options(&call)).await {
        Ok(token) => print(&call, &token),
        Err(error) => fail(format!("Error reading token {id:?}: {error}")),
    }
}

async fn list(call: Call) -> Exit {
    let client = client_or_fail!(call);
    match client.acl_tokens(TokenQuery::default(), options(&call)).await {
        Ok(tokens) => print(&call, &tokens),
        Err(error) => fail(format!("Failed to retrieve the token list: {error}")),
    }
}

async fn update(call: Call) -> Exit {
    let given = call.parsed.text_or_empty("id");
    if given.is_empty() {
        return fail("Cannot update a token without specifying the -id parameter");
    }
    let client = client_or_fail!(call);
    let id = match token_id(&client, given).await {
        Ok(id) => id,
        Err(error) => return fail(error),
    };
    let mut token = match client.acl_token(&id, options(&call)).await {
        Ok(token) => token,
        Err(error) => return fail(format!("Error when retrieving current token: {error}")),
    };
    if call.parsed.is_set("upgrade-legacy") {
        if token.rules.is_empty() {
            return fail("Can't use -upgrade-legacy on a non-legacy token");
        }
        token.rules.clear();
    }
    if let Some(description) = call.parsed.text("description").filter(|text| !text.is_empty()) {
        description.clone_into(&mut token.description);
    }
    let keeps = |name: &str| call.parsed.is_set(name);
    if !keeps("merge-policies") {
        token.policies.clear();
    }
    if !keeps("merge-roles") {
        token.roles.clear();
    }
    if !keeps("merge-service-identities") {
        token.service_identities.clear();
    }
    if !keeps("merge-node-identities") {
        token.node_identities.clear();
    }
    if let Err(error) = complete(&call, &client, &mut token).await {
        return fail(error);
    }
    match client.acl_token_update(&token).await {
        Ok(token) => print(&call, &token),
        Err(error) => fail(format!("Failed to update token {id}: {error}")),
    }
}

async fn copy(call: Call) -> Exit {
    let given = call.parsed.text_or_empty("id");
    if given.is_empty() {
        return fail("Cannot update a token without specifying the -id parameter");
    }
    let client = client_or_fail!(call);
    let id = match token_id(&client, given).await {
        Ok(id) => id,
        Err(error) => return fail(error),
    };
    match client.acl_token_clone(&id, call.parsed.text_or_empty("description")).await {
        Ok(token) => print(&call, &token),
        Err(error) => fail(format!("Error cloning token: {error}")),
    }
}

async fn delete(call: Call) -> Exit {
    let given = call.parsed.text_or_empty("id");
    if given.is_empty() {
        return fail("Must specify the -id parameter");
    }
    let client = client_or_fail!(call);
    let id = match token_id(&client, given).await {
        Ok(id) => id,
        Err(error) => return fail(error),
    };
    match client.acl_token_delete(&id).await {
        Ok(()) => {
            out(&format!("Token {id:?} deleted successfully"));
            0
        }
        Err(error) => fail(format!("Error deleting token {id:?}: {error}")),
    }
}
