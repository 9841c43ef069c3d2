//! `acl role`: roles.

use lictor_api::acl::AclRole;
use lictor_api::client::Client;

use super::acl::{
    FORMAT, META, NODE_IDENTITY, POLICY_ID, POLICY_NAME, SERVICE_IDENTITY, UNNAMED, add_nodes,
    add_policies, add_services, is_named, options, role_id,
};
use super::acl_format::print;
use super::flags::{Flag, Kind, flag};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, misused, out};

const ID: Flag = flag("id", Kind::Text, "ID of the role, or its beginning.");
const NAME: Flag = flag("name", Kind::Text, "Name of the role.");
const DESCRIPTION: Flag = flag("description", Kind::Text, "Description of the role.");

/// `lictor acl role create`.
pub(super) const CREATE: Command = Command {
    path: "acl role create",
    synopsis: "Creates a role",
    operands: "[options]",
    about: "Creates a role with policies, services or nodes.",
    flags: &[
        META,
        NAME,
        DESCRIPTION,
        POLICY_ID,
        POLICY_NAME,
        SERVICE_IDENTITY,
        NODE_IDENTITY,
        FORMAT,
    ],
    client: true,
    server: true,
    run: |call| Box::pin(create(call)),
};

/// `lictor acl role read`.
pub(super) const READ: Command = Command {
    path: "acl role read",
    synopsis: "Shows a role",
    operands: "[options]",
    about: "Shows one role.",
    flags: &[META, ID, NAME, FORMAT],
    client: true,
    server: true,
    run: |call| Box::pin(read(call)),
};

/// `lictor acl role list`.
pub(super) const LIST: Command = Command {
    path: "acl role list",
    synopsis: "Lists roles",
    operands: "[options]",
    about: "Lists all roles.",
    flags: &[META, FORMAT],
    client: true,
    server: true,
    run: |call| Box::pin(list(call)),
};

/// `lictor acl role update`.
pub(super) const UPDATE: Command = Command {
    path: "acl role update",
    synopsis: "Changes a role",
    operands: "[options]",
    about: "Changes a role: what is given is added to it; with -no-merge it replaces what it has.",
    flags: &[
        META,
        ID,
        NAME,
        DESCRIPTION,
        POLICY_ID,
        POLICY_NAME,
        SERVICE_IDENTITY,
        NODE_IDENTITY,
        flag("no-merge", Kind::Bool, "What is not given is emptied."),
        FORMAT,
    ],
    client: true,
    server: true,
    run: |call| Box::pin(update(call)),
};

/// `lictor acl role delete`.
pub(super) const DELETE: Command = Command {
    path: "acl role delete",
    synopsis: "Deletes a role",
    operands: "[options]",
    about: "Deletes a role; tokens that have it lose it.",
    flags: &[ID, NAME],
    client: true,
    server: true,
    run: |call| Box::pin(delete(call)),
};

async fn complete(call: &Call, client: &Client, role: &mut AclRole) -> Result<(), String> {
    add_services(call, &mut role.service_identities)?;
    add_nodes(call, &mut role.node_identities)?;
    add_policies(call, client, &mut role.policies).await
}

async fn create(call: Call) -> Exit {
    let text = |name: &str| call.parsed.text_or_empty(name).to_owned();
    let mut role =
        AclRole { name: text("name"), description: text("description"), ..AclRole::default() };
    if role.name.is_empty() {
        return misused(call.command, "Missing require '-name' flag");
    }
    let granted = ["policy-name", "policy-id", "service-identity", "node-identity"];
    if granted.iter().all(|name| call.parsed.list(name).is_empty()) {
        return fail(
            "Cannot create a role without specifying -policy-name, -policy-id, -service-identity, \
             or -node-identity at least once",
        );
    }
    let client = client_or_fail!(call);
    if let Err(error) = complete(&call, &client, &mut role).await {
        return fail(error);
    }
    match client.acl_role_set(&role).await {
        Ok(role) => print(&call, &role),
        Err(error) => fail(format!("Failed to create new role: {error}")),
    }
}

/// The role that the flags name.
async fn named(call: &Call, client: &Client) -> Result<AclRole, String> {
    let (id, name) = (call.parsed.text_or_empty("id"), call.parsed.text_or_empty("name"));
    if id.is_empty() {
        let found = client.acl_role_by_name(name, options(call)).await;
        let found = found.map_err(|error| format!("Error reading role {name:?}: {error}"))?;
        return found.ok_or_else(|| format!("Role not found with name {name:?}"));
    }
    let id = role_id(client, id).await;
    let id = id.map_err(|error| format!("Error determining role ID: {error}"))?;
    let found = client.acl_role(&id, options(call)).await;
    let found = found.map_err(|error| format!("Error reading role {id:?}: {error}"))?;
    found.ok_or_else(|| format!("Role not found with ID {id:?}"))
}

async fn read(call: Call) -> Exit {
    if !is_named(&call) {
        return fail(UNNAMED);
    }
    let client = client_or_fail!(call);
    match named(&call, &client).await {
        Ok(role) => print(&call, &role),
        Err(error) => fail(error),
    }
}

async fn list(call: Call) -> Exit {
    let client = client_or_fail!(call);
    match client.acl_roles(options(&call)).await {
        Ok(roles) => print(&call, &roles),
        Err(error) => fail(format!("Failed to retrieve the role list: {error}")),
    }
}

async fn update(call: Call) -> Exit {
    if call.parsed.text_or_empty("id").is_empty() {
        return fail("Cannot update a role without specifying the -id parameter");
    }
    let client = client_or_fail!(call);
    let old = match named(&call, &client).await {
        Ok(role) => role,
        Err(error) => return fail(error),
    };
    let id = old.id.clone();
    let replaces = call.parsed.is_set("no-merge");
    let mut role = if replaces { AclRole { id: id.clone(), ..AclRole::default() } } else { old };
    for (name, place) in [("name", &mut role.name), ("description", &mut role.description)] {
        let text = call.parsed.text_or_empty(name);
        if !text.is_empty() {
            text.clone_into(place);
        }
    }
    if let Err(error) = complete(&call, &client, &mut role).await {
        return fail(error);
    }
    match client.acl_role_set(&role).await {
        Ok(role) => print(&call, &role),
        Err(error) => fail(format!("Error updating role {id:?}: {error}")),
    }
}

async fn delete(call: Call) -> Exit {
    if !is_named(&call) {
        return fail("Must specify the -id or -name parameters");
    }
    let client = client_or_fail!(call);
    let given = call.parsed.text_or_empty("id");
    // An ID that is whole need not be there, as elsewhere.
    let id = if given.is_empty() {
        let name = call.parsed.text_or_empty("name");
        let found = client.acl_role_by_name(name, options(&call)).await;
        found.map_err(|error| error.to_string()).and_then(|found| {
            found.map(|role| role.id).ok_or_else(|| format!("No such role with name {name}"))
        })
    } else {
        role_id(&client, given).await
    };
    let id = match id {
        Ok(id) => id,
        Err(error) => return fail(format!("Error determining role ID: {error}")),
    };
    match client.acl_role_delete(&id).await {
        Ok(()) => {
            out(&format!("Role {id:?} deleted successfully"));
            0
        }
        Err(error) => fail(format!("Error deleting role {id:?}: {error}")),
    }
}
