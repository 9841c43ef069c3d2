//! `/v1/acl/polic…` and `/v1/acl/role…`: policies and roles.

use lictor_api::acl as body;
use lictor_types::acl::{AclPolicy, AclRole};

use crate::acl::{
    bad, decoded, enabled, found_or_denied, found_or_missing, hash, links, links_given, nodes,
    nodes_given, services, services_given,
};
use crate::answer::{Answer, read};
use crate::door::{Call, Door};
use crate::error::HttpError;

pub(crate) async fn list(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let options = call.request.read_options()?;
    let reply = door.servers().acl_policy_list(&options).await;
    Ok(read(reply, |result| {
        let stubs = result.value.iter().map(|one| body::AclPolicyStub {
            id: one.id.clone(),
            name: one.name.clone(),
            description: one.description.clone(),
            datacenters: one.datacenters.clone(),
            hash: hash(&one.hash),
            create_index: one.create_index,
            modify_index: one.modify_index,
        });
        Answer::json(&stubs.collect::<Vec<_>>(), call.pretty)
    }))
}

pub(crate) async fn get(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let id = call.argument("Bad request: Missing policy ID")?;
    let options = call.request.read_options()?;
    let reply = door.servers().acl_policy_read(&options, id).await;
    Ok(found_or_denied(reply, call.pretty, policy))
}

pub(crate) async fn get_by_name(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let name = call.argument("Bad request: Missing policy Name")?;
    let options = call.request.read_options()?;
    let reply = door.servers().acl_policy_read_by_name(&options, name).await;
    Ok(found_or_denied(reply, call.pretty, policy))
}

pub(crate) async fn create(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let given: body::AclPolicy = decoded(&call, "Policy")?;
    if !given.id.is_empty() {
        return Err(bad("Cannot specify the ID when creating a new policy"));
    }
    write(door, call, given).await
}

pub(crate) async fn put(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let mut given: body::AclPolicy = decoded(&call, "Policy")?;
    if !given.id.is_empty() && given.id != call.rest {
        return Err(bad("Policy ID in URL and payload do not match"));
    }
    call.rest.clone_into(&mut given.id);
    write(door, call, given).await
}

async fn write(door: &Door, call: Call<'_>, given: body::AclPolicy) -> Result<Answer, HttpError> {
    let wanted = AclPolicy {
        id: given.id,
        name: given.name,
        description: given.description,
        rules: given.rules,
        datacenters: given.datacenters,
        ..AclPolicy::default()
    };
    let made = door.servers().acl_policy_set(&call.request.write_options(), wanted).await?;
    Ok(Answer::json(&policy(&made), call.pretty))
}

pub(crate) async fn delete(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let id = call.argument("Bad request: Missing policy ID")?;
    door.servers().acl_policy_delete(&call.request.write_options(), id).await?;
    Ok(Answer::boolean(true, call.pretty))
}

fn policy(policy: &AclPolicy) -> body::AclPolicy {
    body::AclPolicy {
        id: policy.id.clone(),
        name: policy.name.clone(),
        description: policy.description.clone(),
        rules: policy.rules.clone(),
        datacenters: policy.datacenters.clone(),
        hash: hash(&policy.hash),
        create_index: policy.create_index,
        modify_index: policy.modify_index,
    }
}

pub(crate) async fn roles(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let options = call.request.read_options()?;
    let policy = call.request.query.text("policy");
    let reply = door.servers().acl_role_list(&options, &policy).await;
    Ok(read(reply, |result| {
        let shown: Vec<_> = result.value.iter().map(|one| role(one)).collect();
        Answer::json(&shown, call.pretty)
    }))
}

pub(crate) async fn role_get(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let id = call.argument("Bad request: Missing role ID")?;
    let options = call.request.read_options()?;
    let reply = door.servers().acl_role_read(&options, id).await;
    Ok(found_or_missing(reply, call.pretty, role))
}

pub(crate) async fn role_get_by_name(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let name = call.argument("Bad request: Missing role Name")?;
    let options = call.request.read_options()?;
    let reply = door.servers().acl_role_read_by_name(&options, name).await;
    Ok(found_or_missing(reply, call.pretty, role))
}

/// With or without an ID in the path.
pub(crate) async fn role_put(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let given: body::AclRole = decoded(&call, "Role")?;
    if !given.id.is_empty() && given.id != call.rest {
        return Err(bad("Role ID in URL and payload do not match"));
    }
    let wanted = AclRole {
        id: call.rest.to_owned(),
        name: given.name,
        description: given.description,
        policies: links_given(given.policies),
        service_identities: services_given(given.service_identities),
        node_identities: nodes_given(given.node_identities),
        ..AclRole::default()
    };
    let made = door.servers().acl_role_set(&call.request.write_options(), wanted).await?;
    Ok(Answer::json(&role(&made), call.pretty))
}

pub(crate) async fn role_delete(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let id = call.argument("Bad request: Missing role ID")?;
    door.servers().acl_role_delete(&call.request.write_options(), id).await?;
    Ok(Answer::boolean(true, call.pretty))
}

fn role(role: &AclRole) -> body::AclRole {
    body::AclRole {
        id: role.id.clone(),
        name: role.name.clone(),
        description: role.description.clone(),
        policies: links(&role.policies),
        service_identities: services(&role.service_identities),
        node_identities: nodes(&role.node_identities),
        hash: hash(&role.hash),
        create_index: role.create_index,
        modify_index: role.modify_index,
    }
}
