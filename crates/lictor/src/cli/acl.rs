//! What the `acl` commands share, and those of them that are about no single thing.

use std::io::Read as _;

use lictor_api::acl::{AclLink, NodeIdentity, ServiceIdentity};
use lictor_api::client::{Client, ReadOptions, TokenQuery};

use super::acl_format::print;
use super::flags::{Flag, FlagError, Kind, flag};
use super::output::reason;
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, misused, out};

/// Length of an ID that is not cut short.
const WHOLE_ID: usize = 36;
const ANONYMOUS: &str = "00000000-0000-0000-0000-000000000002";
const GLOBAL_MANAGEMENT: &str = "00000000-0000-0000-0000-000000000001";

pub(super) const FORMAT: Flag = flag("format", Kind::Text, "Output: pretty, the default, or json.");
pub(super) const META: Flag = flag("meta", Kind::Bool, "Show fingerprints and indexes as well.");
pub(super) const POLICY_ID: Flag =
    flag("policy-id", Kind::List, "ID of a policy, or its beginning; may be repeated.");
pub(super) const POLICY_NAME: Flag =
    flag("policy-name", Kind::List, "Name of a policy; may be repeated.");
pub(super) const ROLE_ID: Flag =
    flag("role-id", Kind::List, "ID of a role, or its beginning; may be repeated.");
pub(super) const ROLE_NAME: Flag =
    flag("role-name", Kind::List, "Name of a role; may be repeated.");
pub(super) const SERVICE_IDENTITY: Flag = flag(
    "service-identity",
    Kind::List,
    "A service to be: NAME or NAME:DATACENTER1,DATACENTER2; may be repeated.",
);
pub(super) const NODE_IDENTITY: Flag =
    flag("node-identity", Kind::List, "A node to be: NAME:DATACENTER; may be repeated.");

/// `lictor acl bootstrap`.
pub(super) const BOOTSTRAP: Command = Command {
    path: "acl bootstrap",
    synopsis: "Makes the first token with all rights",
    operands: "[options]",
    about: "Makes a token with all rights, once for a cluster. When all such tokens are lost, the \
        refusal tells an index; written into the file acl-bootstrap-reset in the leader's data \
        folder it allows another one.",
    flags: &[FORMAT],
    client: true,
    server: true,
    run: |call| Box::pin(bootstrap(call)),
};

/// `lictor acl set-agent-token`.
pub(super) const SET_AGENT_TOKEN: Command = Command {
    path: "acl set-agent-token",
    synopsis: "Sets one of the agent's own tokens",
    operands: "[options] TYPE TOKEN",
    about: "Sets a token that the agent itself uses. TYPE is default, agent, recovery (or master), \
        replication, config_file_service_registration or dns; TOKEN is the secret, @ and a file, or - for standard input.",
    flags: &[],
    client: true,
    server: true,
    run: |call| Box::pin(set_agent_token(call)),
};

/// `lictor acl translate-rules`.
pub(super) const TRANSLATE: Command = Command {
    path: "acl translate-rules",
    synopsis: "Translates rules of version 1.2 into those of today",
    operands: "[options] TRANSLATE",
    about: "Translates rules: given as they are, as @ and a file, or - for standard input. With \
        -token-accessor or -token-secret it is a token whose rules are translated.",
    flags: &[
        flag("token-accessor", Kind::Bool, "TRANSLATE is the accessor of a token."),
        flag("token-secret", Kind::Bool, "TRANSLATE is the secret of a token."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(translate(call)),
};

async fn bootstrap(call: Call) -> Exit {
    let client = client_or_fail!(call);
    match client.acl_bootstrap().await {
        Ok(token) => print(&call, &token),
        Err(error) => fail(format!("Failed ACL bootstrapping: {error}")),
    }
}

async fn set_agent_token(call: Call) -> Exit {
    let kinds = [
        ("default", "default"),
        ("agent", "agent"),
        ("master", "agent_master"),
        ("recovery", "agent_recovery"),
        ("replication", "replication"),
        ("config_file_service_registration", "config_file_service_registration"),
        ("dns", "dns"),
    ];
    let named = |word: &str| kinds.iter().find(|(kind, _)| *kind == word).map(|(_, name)| *name);
    let (kind, secret) = match call.parsed.operands.as_slice() {
        [] => return fail("Error! Missing TYPE and TOKEN arguments"),
        [one] if named(one).is_some() => return fail("Error! Missing TOKEN argument"),
        [_] => return fail("Error! MISSING TYPE argument"),
        [kind, token] => match data_source(token) {
            Ok(secret) => (kind, secret),
            Err(error) => return fail(format!("Error! {error}")),
        },
        more => {
            let count = more.len();
            return fail(format!("Error! Too many arguments: expected 2 got {count}"));
        }
    };
    let client = client_or_fail!(call);
    let Some(name) = named(kind) else { return fail("Unknown token type") };
    match client.agent_token_set(name, &secret).await {
        Ok(()) => {
            out(&format!("ACL token {kind:?} set successfully"));
            0
        }
        Err(error) => fail(format!("Failed to set ACL token {kind:?}: {error}")),
    }
}

async fn translate(call: Call) -> Exit {
    let (secret, accessor) =
        (call.parsed.is_set("token-secret"), call.parsed.is_set("token-accessor"));
    if secret && accessor {
        return fail("Error - cannot specify both -token-secret and -token-accessor");
    }
    let given = match call.parsed.operands.as_slice() {
        [] => Err("Missing TRANSLATE argument".to_owned()),
        [one] => data_source(one),
        more => Err(format!("Too many arguments: expected 1 got {}", more.len())),
    };
    let mut rules = match given {
        Ok(rules) => rules,
        Err(error) => return fail(format!("Error! {error}")),
    };
    if secret || accessor {
        let client = client_or_fail!(call);
        rules = match legacy_rules(&client, rules.trim(), secret).await {
            Ok(rules) => rules,
            Err(error) => return fail(error),
        };
    }
    match lictor_acl::translate(&rules) {
        Ok(text) => {
            out(&text);
            0
        }
        Err(error) => fail(format!("Error translating rules: {error}")),
    }
}

/// The rules of a token of 1.2.
pub(super) async fn legacy_rules(
    client: &Client,
    token: &str,
    secret: bool,
) -> Result<String, String> {
    let found = if secret {
        let own = client.with_token(token).map_err(|error| error.to_string())?;
        own.acl_token("self", ReadOptions::default()).await
    } else {
        let id = accessor(client, token).await?;
        client.acl_token(&id, ReadOptions::default()).await
    };
    let found = found.map_err(|error| format!("Error reading token: {error}"))?;
    if found.rules.is_empty() {
        return Err("Token is not a legacy token with rules".to_owned());
    }
    Ok(found.rules)
}

/// A text that is given as it is, as `@` and a file, or as `-` for standard input.
pub(super) fn data_source(text: &str) -> Result<String, String> {
    if let Some(path) = text.strip_prefix('@') {
        return std::fs::read_to_string(path)
            .map_err(|error| format!("Failed to read file: open {path}: {}", reason(&error)));
    }
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut read = String::new();
    let done = std::io::stdin().lock().read_to_string(&mut read);
    done.map_err(|error| format!("Failed to read stdin: {error}"))?;
    Ok(read)
}

/// The options of reads that the flags ask for.
pub(super) fn options(call: &Call) -> ReadOptions {
    ReadOptions { stale: call.parsed.is_set("stale"), consistent: false }
}

/// A duration flag in nanoseconds, 0 when it was not given; or the exit code of misuse.
pub(super) fn duration(call: &Call, name: &'static str) -> Result<i64, Exit> {
    let Some(text) = call.parsed.text(name) else { return Ok(0) };
    lictor_types::duration::parse(text).map_err(|_| {
        let error = FlagError::BadNumber { name: name.to_owned(), value: text.to_owned() };
        misused(call.command, error)
    })
}

/// The one ID that begins with `partial`.
fn unique<'a>(
    what: &str,
    partial: &str,
    ids: impl Iterator<Item = &'a str>,
) -> Result<String, String> {
    let mut found = ids.filter(|id| id.starts_with(partial));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id.to_owned()),
        (Some(_), Some(_)) => Err(format!("Partial {what} ID is not unique")),
        (None, _) => Err(format!("No such {what} ID with prefix: {partial}")),
    }
}

/// Whether a command says which policy or role it is about.
pub(super) fn is_named(call: &Call) -> bool {
    ["id", "name"].iter().any(|name| !call.parsed.text_or_empty(name).is_empty())
}

pub(super) const UNNAMED: &str = "Must specify either the -id or -name parameters";

/// The accessor of the token that a command is about.
pub(super) async fn token_id(client: &Client, partial: &str) -> Result<String, String> {
    let found = accessor(client, partial).await;
    found.map_err(|error| format!("Error determining token ID: {error}"))
}

/// The accessor of a token that was given whole, in part, or as `anonymous`.
async fn accessor(client: &Client, partial: &str) -> Result<String, String> {
    if partial == "anonymous" {
        return Ok(ANONYMOUS.to_owned());
    }
    if partial.len() == WHOLE_ID {
        return Ok(partial.to_owned());
    }
    let tokens = client.acl_tokens(TokenQuery::default(), ReadOptions::default()).await;
    let tokens = tokens.map_err(|error| error.to_string())?;
    unique("token", partial, tokens.iter().map(|token| token.accessor_id.as_str()))
}

/// The ID of a policy that was given whole, in part, or as `global-management`.
pub(super) async fn policy_id(client: &Client, partial: &str) -> Result<String, String> {
    if partial == "global-management" {
        return Ok(GLOBAL_MANAGEMENT.to_owned());
    }
    if partial.len() == WHOLE_ID {
        return Ok(partial.to_owned());
    }
    let policies = client.acl_policies(ReadOptions::default()).await;
    let policies = policies.map_err(|error| error.to_string())?;
    unique("policy", partial, policies.iter().map(|policy| policy.id.as_str()))
}

/// The ID of a role that was given whole or in part.
pub(super) async fn role_id(client: &Client, partial: &str) -> Result<String, String> {
    if partial.len() == WHOLE_ID {
        return Ok(partial.to_owned());
    }
    let roles =
        client.acl_roles(ReadOptions::default()).await.map_err(|error| error.to_string())?;
    unique("role", partial, roles.iter().map(|role| role.id.as_str()))
}

/// The ID of a binding rule that was given whole or in part.
pub(super) async fn rule_id(client: &Client, partial: &str) -> Result<String, String> {
    if partial.len() == WHOLE_ID {
        return Ok(partial.to_owned());
    }
    let rules = client.acl_binding_rules("", ReadOptions::default()).await;
    let rules = rules.map_err(|error| error.to_string())?;
    unique("rule", partial, rules.iter().map(|rule| rule.id.as_str()))
}

/// Adds the policies that the flags name and that are not there yet.
pub(super) async fn add_policies(
    call: &Call,
    client: &Client,
    links: &mut Vec<AclLink>,
) -> Result<(), String> {
    for name in call.parsed.list("policy-name") {
        if links.iter().all(|link| link.name != *name) {
            links.push(AclLink { id: String::new(), name: name.clone() });
        }
    }
    for partial in call.parsed.list("policy-id") {
        let id = policy_id(client, partial).await;
        let id = id.map_err(|error| format!("Error resolving policy ID {partial}: {error}"))?;
        if links.iter().all(|link| link.id != id) {
            links.push(AclLink { id, name: String::new() });
        }
    }
    Ok(())
}

/// Adds the roles that the flags name and that are not there yet.
pub(super) async fn add_roles(
    call: &Call,
    client: &Client,
    links: &mut Vec<AclLink>,
) -> Result<(), String> {
    for name in call.parsed.list("role-name") {
        if links.iter().all(|link| link.name != *name) {
            links.push(AclLink { id: String::new(), name: name.clone() });
        }
    }
    for partial in call.parsed.list("role-id") {
        let id = role_id(client, partial).await;
        let id = id.map_err(|error| format!("Error resolving role ID {partial}: {error}"))?;
        if links.iter().all(|link| link.id != id) {
            links.push(AclLink { id, name: String::new() });
        }
    }
    Ok(())
}

/// Adds the services of the flags; one that is there gets the new datacenters.
pub(super) fn add_services(call: &Call, into: &mut Vec<ServiceIdentity>) -> Result<(), String> {
    for text in call.parsed.list("service-identity") {
        let parts: Vec<&str> = text.split(':').collect();
        let identity = match parts.as_slice() {
            [name] => ServiceIdentity { service_name: (*name).to_owned(), datacenters: Vec::new() },
            [name, datacenters] => ServiceIdentity {
                service_name: (*name).to_owned(),
                datacenters: datacenters.split(',').map(str::to_owned).collect(),
            },
            _ => return Err(format!("Malformed -service-identity argument: {text:?}")),
        };
        match into.iter_mut().find(|one| one.service_name == identity.service_name) {
            Some(one) => *one = identity,
            None => into.push(identity),
        }
    }
    Ok(())
}

/// Adds the nodes of the flags that are not there yet.
pub(super) fn add_nodes(call: &Call, into: &mut Vec<NodeIdentity>) -> Result<(), String> {
    for text in call.parsed.list("node-identity") {
        let parts: Vec<&str> = text.split(':').collect();
        let [name, datacenter] = parts.as_slice() else {
            return Err(format!("Malformed -node-identity argument: {text:?}"));
        };
        let identity =
            NodeIdentity { node_name: (*name).to_owned(), datacenter: (*datacenter).to_owned() };
        if !into.contains(&identity) {
            into.push(identity);
        }
    }
    Ok(())
}
