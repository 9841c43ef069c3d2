//! `/v1/acl/create` and its kin: tokens as version 1.2 has them.

use lictor_api::acl as body;
use lictor_types::acl::{CLIENT, LegacyAcl};
use lictor_types::error::text::PERMISSION_DENIED;

use crate::acl::enabled;
use crate::answer::{Answer, read};
use crate::door::{Call, Door};
use crate::error::HttpError;

pub(crate) async fn create(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    write(door, &call, given(&call)?).await
}

pub(crate) async fn update(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let acl = given(&call)?;
    if acl.id.is_empty() {
        return Err(HttpError::bad_request("ACL ID must be set"));
    }
    write(door, &call, acl).await
}

pub(crate) async fn destroy(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let id = call.argument("Missing ACL")?;
    door.servers().acl_legacy_destroy(&call.request.write_options(), id).await?;
    Ok(Answer::boolean(true, call.pretty))
}

pub(crate) async fn copy(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let options = call.request.read_options()?;
    let id = call.argument("Missing ACL")?;
    let reply = match door.servers().acl_legacy_info(&options, id).await {
        Ok(reply) => reply,
        Err(error) => return Err(HttpError::from(error).with_empty_meta()),
    };
    let Some(found) = &reply.result.value else {
        let denied = HttpError::new(403, PERMISSION_DENIED.into());
        return Ok(Answer::from(denied).with_meta(&reply.meta));
    };
    let copy = LegacyAcl { id: String::new(), ..found.clone() };
    Ok(write(door, &call, copy).await?.with_meta(&reply.meta))
}

pub(crate) async fn info(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let options = call.request.read_options()?;
    let id = call.argument("Missing ACL")?;
    let reply = door.servers().acl_legacy_info(&options, id).await;
    Ok(read(reply, |result| {
        let shown: Vec<_> = result.value.iter().map(acl).collect();
        Answer::json(&shown, call.pretty)
    }))
}

pub(crate) async fn list(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    enabled(door)?;
    let options = call.request.read_options()?;
    let reply = door.servers().acl_legacy_list(&options).await;
    Ok(read(reply, |result| {
        let shown: Vec<_> = result.value.iter().map(acl).collect();
        Answer::json(&shown, call.pretty)
    }))
}

fn given(call: &Call<'_>) -> Result<LegacyAcl, HttpError> {
    let given: body::LegacyAcl =
        if call.request.body.is_empty() { body::LegacyAcl::default() } else { call.decode()? };
    Ok(LegacyAcl {
        id: given.id,
        name: given.name,
        kind: if given.kind.is_empty() { CLIENT.to_owned() } else { given.kind },
        rules: given.rules,
        ..LegacyAcl::default()
    })
}

async fn write(door: &Door, call: &Call<'_>, acl: LegacyAcl) -> Result<Answer, HttpError> {
    let id = door.servers().acl_legacy_set(&call.request.write_options(), acl).await?;
    Ok(Answer::json(&body::LegacyAclId { id }, call.pretty))
}

fn acl(acl: &LegacyAcl) -> body::LegacyAcl {
    body::LegacyAcl {
        id: acl.id.clone(),
        name: acl.name.clone(),
        kind: acl.kind.clone(),
        rules: acl.rules.clone(),
        create_index: acl.create_index,
        modify_index: acl.modify_index,
    }
}
