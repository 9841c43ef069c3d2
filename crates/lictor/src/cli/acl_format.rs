//! How tokens, policies, roles, ways to log in and binding rules are printed: for people, or as the
//! JSON that the original's client makes, field by field in its order.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lictor_api::acl::{
    AclLink, AclPolicy, AclPolicyStub, AclRole, AclToken, NodeIdentity, ServiceIdentity,
};
use lictor_api::acl_auth::{AuthMethod, BindingRule};
use lictor_api::json;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Call, Exit, fail, out};

/// How output is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    json: bool,
    meta: bool,
}

impl Format {
    /// What the flags say.
    pub(super) fn of(call: &Call) -> Result<Self, String> {
        let meta = call.parsed.is_set("meta");
        match call.parsed.text("format").unwrap_or("pretty") {
            "pretty" => Ok(Self { json: false, meta }),
            "json" => Ok(Self { json: true, meta }),
            other => Err(format!("Unknown format: {other}")),
        }
    }
}

/// Prints what a command gives, or says why it cannot.
pub(super) fn print(call: &Call, item: &impl Printed) -> Exit {
    match Format::of(call) {
        Err(error) => fail(error),
        Ok(format) if format.json => {
            let text = json::to_vec(&item.json(), true).unwrap_or_default();
            out(String::from_utf8_lossy(&text).trim_end());
            0
        }
        Ok(format) => {
            let text = item.pretty(format.meta);
            if !text.is_empty() {
                out(&text);
            }
            0
        }
    }
}

/// What can be printed.
pub(super) trait Printed {
    /// For people.
    fn pretty(&self, meta: bool) -> String;
    /// For programs.
    fn json(&self) -> impl Serialize;
}

macro_rules! line {
    ($out:expr, $($arg:tt)*) => {{
        // Writing to a text cannot fail.
        let _ = writeln!($out, $($arg)*);
    }};
}

/// A time as the original prints it.
fn time(text: Option<&str>) -> String {
    let text = text.unwrap_or("0001-01-01T00:00:00Z");
    match text.strip_suffix('Z').and_then(|text| text.split_once('T')) {
        Some((date, time)) => format!("{date} {time} +0000 UTC"),
        None => text.to_owned(),
    }
}

/// A fingerprint in hexadecimal.
fn hex(hash: Option<&str>) -> String {
    let bytes = STANDARD.decode(hash.unwrap_or_default()).unwrap_or_default();
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn links(out: &mut String, indent: &str, title: &str, links: &[AclLink]) {
    if !links.is_empty() {
        line!(out, "{indent}{title}:");
    }
    for link in links {
        line!(out, "{indent}   {} - {}", link.id, link.name);
    }
}

fn identities(
    out: &mut String,
    indent: &str,
    services: &[ServiceIdentity],
    nodes: &[NodeIdentity],
) {
    if !services.is_empty() {
        line!(out, "{indent}Service Identities:");
    }
    for service in services {
        let datacenters = match service.datacenters.join(", ") {
            none if none.is_empty() => "all".to_owned(),
            some => some,
        };
        line!(out, "{indent}   {} (Datacenters: {datacenters})", service.service_name);
    }
    if !nodes.is_empty() {
        line!(out, "{indent}Node Identities:");
    }
    for node in nodes {
        line!(out, "{indent}   {} (Datacenter: {})", node.node_name, node.datacenter);
    }
}

fn token(out: &mut String, token: &AclToken, meta: bool, listed: bool) {
    line!(out, "AccessorID:       {}", token.accessor_id);
    line!(out, "SecretID:         {}", token.secret_id);
    line!(out, "Description:      {}", token.description);
    line!(out, "Local:            {}", token.local);
    if !token.auth_method.is_empty() {
        line!(out, "Auth Method:      {}", token.auth_method);
    }
    line!(out, "Create Time:      {}", time(token.create_time.as_deref()));
    if let Some(end) = &token.expiration_time {
        line!(out, "Expiration Time:  {}", time(Some(end)));
    }
    if listed {
        line!(out, "Legacy:           {}", token.legacy);
    }
    if meta {
        line!(out, "Hash:             {}", hex(token.hash.as_deref()));
        line!(out, "Create Index:     {}", token.create_index);
        line!(out, "Modify Index:     {}", token.modify_index);
    }
    links(out, "", "Policies", &token.policies);
    links(out, "", "Roles", &token.roles);
    identities(out, "", &token.service_identities, &token.node_identities);
    if !listed && !token.rules.is_empty() {
        line!(out, "Rules:");
        line!(out, "{}", token.rules);
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Link<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
}

fn json_links(links: &[AclLink]) -> Vec<Link<'_>> {
    links.iter().map(|link| Link { id: &link.id, name: &link.name }).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Token<'a> {
    create_index: u64,
    modify_index: u64,
    #[serde(rename = "AccessorID")]
    accessor_id: &'a str,
    #[serde(rename = "SecretID")]
    secret_id: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    policies: Vec<Link<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<Link<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    service_identities: &'a [ServiceIdentity],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    node_identities: &'a [NodeIdentity],
    local: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    auth_method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_time: &'a Option<String>,
    create_time: &'a Option<String>,
    hash: &'a Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    rules: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    legacy: Option<bool>,
}

fn json_token(token: &AclToken, listed: bool) -> Token<'_> {
    Token {
        create_index: token.create_index,
        modify_index: token.modify_index,
        accessor_id: &token.accessor_id,
        secret_id: &token.secret_id,
        description: &token.description,
        policies: json_links(&token.policies),
        roles: json_links(&token.roles),
        service_identities: &token.service_identities,
        node_identities: &token.node_identities,
        local: token.local,
        auth_method: &token.auth_method,
        expiration_time: &token.expiration_time,
        create_time: &token.create_time,
        hash: &token.hash,
        rules: if listed { "" } else { &token.rules },
        legacy: listed.then_some(token.legacy),
    }
}

impl Printed for AclToken {
    fn pretty(&self, meta: bool) -> String {
        let mut text = String::new();
        token(&mut text, self, meta, false);
        text
    }

    fn json(&self) -> impl Serialize {
        json_token(self, false)
    }
}

impl Printed for Vec<AclToken> {
    fn pretty(&self, meta: bool) -> String {
        let shown = self.iter().map(|one| {
            let mut text = String::new();
            token(&mut text, one, meta, true);
            text
        });
        shown.collect::<Vec<_>>().join("\n")
    }

    fn json(&self) -> impl Serialize {
        self.iter().map(|one| json_token(one, true)).collect::<Vec<_>>()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<&'a str>,
    datacenters: Option<&'a [String]>,
    hash: &'a Option<String>,
    create_index: u64,
    modify_index: u64,
}

fn some(list: &[String]) -> Option<&[String]> {
    (!list.is_empty()).then_some(list)
}

impl Printed for AclPolicy {
    fn pretty(&self, meta: bool) -> String {
        let mut text = String::new();
        line!(text, "ID:           {}", self.id);
        line!(text, "Name:         {}", self.name);
        line!(text, "Description:  {}", self.description);
        line!(text, "Datacenters:  {}", self.datacenters.join(", "));
        if meta {
            line!(text, "Hash:         {}", hex(self.hash.as_deref()));
            line!(text, "Create Index: {}", self.create_index);
            line!(text, "Modify Index: {}", self.modify_index);
        }
        line!(text, "Rules:");
        text + &self.rules
    }

    fn json(&self) -> impl Serialize {
        Policy {
            id: &self.id,
            name: &self.name,
            description: &self.description,
            rules: Some(&self.rules),
            datacenters: some(&self.datacenters),
            hash: &self.hash,
            create_index: self.create_index,
            modify_index: self.modify_index,
        }
    }
}

impl Printed for Vec<AclPolicyStub> {
    fn pretty(&self, meta: bool) -> String {
        let mut text = String::new();
        for policy in self {
            line!(text, "{}:", policy.name);
            line!(text, "   ID:           {}", policy.id);
            line!(text, "   Description:  {}", policy.description);
            line!(text, "   Datacenters:  {}", policy.datacenters.join(", "));
            if meta {
                line!(text, "   Hash:         {}", hex(policy.hash.as_deref()));
                line!(text, "   Create Index: {}", policy.create_index);
                line!(text, "   Modify Index: {}", policy.modify_index);
            }
        }
        text
    }

    fn json(&self) -> impl Serialize {
        let shown = self.iter().map(|policy| Policy {
            id: &policy.id,
            name: &policy.name,
            description: &policy.description,
            rules: None,
            datacenters: some(&policy.datacenters),
            hash: &policy.hash,
            create_index: policy.create_index,
            modify_index: policy.modify_index,
        });
        shown.collect::<Vec<_>>()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Role<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    policies: Vec<Link<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    service_identities: &'a [ServiceIdentity],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    node_identities: &'a [NodeIdentity],
    hash: &'a Option<String>,
    create_index: u64,
    modify_index: u64,
}

fn json_role(role: &AclRole) -> Role<'_> {
    Role {
        id: &role.id,
        name: &role.name,
        description: &role.description,
        policies: json_links(&role.policies),
        service_identities: &role.service_identities,
        node_identities: &role.node_identities,
        hash: &role.hash,
        create_index: role.create_index,
        modify_index: role.modify_index,
    }
}

fn role(out: &mut String, role: &AclRole, indent: &str, meta: bool) {
    line!(out, "{indent}Description:  {}", role.description);
    if meta {
        line!(out, "{indent}Hash:         {}", hex(role.hash.as_deref()));
        line!(out, "{indent}Create Index: {}", role.create_index);
        line!(out, "{indent}Modify Index: {}", role.modify_index);
    }
    links(out, indent, "Policies", &role.policies);
    identities(out, indent, &role.service_identities, &role.node_identities);
}

impl Printed for AclRole {
    fn pretty(&self, meta: bool) -> String {
        let mut text = String::new();
        line!(text, "ID:           {}", self.id);
        line!(text, "Name:         {}", self.name);
        role(&mut text, self, "", meta);
        text
    }

    fn json(&self) -> impl Serialize {
        json_role(self)
    }
}

impl Printed for Vec<AclRole> {
    fn pretty(&self, meta: bool) -> String {
        let mut text = String::new();
        for one in self {
            line!(text, "{}:", one.name);
            line!(text, "   ID:           {}", one.id);
            role(&mut text, one, "   ", meta);
        }
        text
    }

    fn json(&self) -> impl Serialize {
        self.iter().map(json_role).collect::<Vec<_>>()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Method<'a> {
    name: &'a str,
    #[serde(rename = "Type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    display_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(rename = "MaxTokenTTL", skip_serializing_if = "Option::is_none")]
    max_token_ttl: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    token_locality: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'a Map<String, Value>>,
    create_index: u64,
    modify_index: u64,
}

fn json_method(method: &AuthMethod) -> Method<'_> {
    let ttl = method.max_token_ttl;
    Method {
        name: &method.name,
        kind: &method.kind,
        display_name: &method.display_name,
        description: &method.description,
        max_token_ttl: (!ttl.is_zero()).then(|| ttl.to_string()),
        token_locality: &method.token_locality,
        config: method.config.as_ref(),
        create_index: method.create_index,
        modify_index: method.modify_index,
    }
}

impl Printed for AuthMethod {
    fn pretty(&self, meta: bool) -> String {
        let mut text = String::new();
        line!(text, "Name:          {}", self.name);
        line!(text, "Type:          {}", self.kind);
        if !self.display_name.is_empty() {
            line!(text, "DisplayName:   {}", self.display_name);
        }
        line!(text, "Description:   {}", self.description);
        if !self.max_token_ttl.is_zero() {
            line!(text, "MaxTokenTTL:   {}", self.max_token_ttl);
        }
        if !self.token_locality.is_empty() {
            line!(text, "TokenLocality: {}", self.token_locality);
        }
        if meta {
            line!(text, "Create Index:  {}", self.create_index);
            line!(text, "Modify Index:  {}", self.modify_index);
        }
        line!(text, "Config:");
        text + &serde_json::to_string_pretty(&self.config).unwrap_or_default()
    }

    fn json(&self) -> impl Serialize {
        json_method(self)
    }
}

impl Printed for Vec<AuthMethod> {
    fn pretty(&self, meta: bool) -> String {
        let mut text = String::new();
        for method in self {
            line!(text, "{}:", method.name);
            line!(text, "   Type:         {}", method.kind);
            if !method.display_name.is_empty() {
                line!(text, "   DisplayName:  {}", method.display_name);
            }
            line!(text, "   Description:  {}", method.description);
            if meta {
                line!(text, "   Create Index: {}", method.create_index);
                line!(text, "   Modify Index: {}", method.modify_index);
            }
        }
        text
    }

    fn json(&self) -> impl Serialize {
        self.iter().map(json_method).collect::<Vec<_>>()
    }
}

fn rule(out: &mut String, rule: &BindingRule, indent: &str, meta: bool) {
    line!(out, "{indent}AuthMethod:   {}", rule.auth_method);
    line!(out, "{indent}Description:  {}", rule.description);
    line!(out, "{indent}BindType:     {}", rule.bind_type);
    line!(out, "{indent}BindName:     {}", rule.bind_name);
    line!(out, "{indent}Selector:     {}", rule.selector);
    if meta {
        line!(out, "{indent}Create Index: {}", rule.create_index);
        line!(out, "{indent}Modify Index: {}", rule.modify_index);
    }
}

impl Printed for BindingRule {
    fn pretty(&self, meta: bool) -> String {
        let mut text = String::new();
        line!(text, "ID:           {}", self.id);
        rule(&mut text, self, "", meta);
        text
    }

    fn json(&self) -> impl Serialize {
        self
    }
}

impl Printed for Vec<BindingRule> {
    fn pretty(&self, meta: bool) -> String {
        let mut text = String::new();
        for one in self {
            line!(text, "{}:", one.id);
            rule(&mut text, one, "   ", meta);
        }
        text
    }

    fn json(&self) -> impl Serialize {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_fingerprints() {
        assert_eq!(time(Some("2026-01-02T03:04:05.5Z")), "2026-01-02 03:04:05.5 +0000 UTC");
        assert_eq!(time(None), "0001-01-01 00:00:00 +0000 UTC");
        assert_eq!(hex(Some("AP8=")), "00ff");
        assert_eq!(hex(None), "");
    }

    #[test]
    fn a_token_for_people() {
        let token = AclToken {
            accessor_id: "a".into(),
            secret_id: "s".into(),
            policies: vec![AclLink { id: "p".into(), name: "n".into() }],
            service_identities: vec![ServiceIdentity {
                service_name: "web".into(),
                datacenters: vec![],
            }],
            ..AclToken::default()
        };
        let lines = "AccessorID:       a\nSecretID:         s\nDescription:      \n\
                     Local:            false\nCreate Time:      0001-01-01 00:00:00 +0000 UTC\n\
                     Policies:\n   p - n\nService Identities:\n   web (Datacenters: all)\n";
        assert_eq!(token.pretty(false), lines);
        assert!(vec![token].pretty(true).contains("Legacy:           false\nHash:             \n"));
    }
}
