//! What the bearer of a token may do, as far as this agent decides it itself.
//!
//! A server knows its tokens. A client agent asks servers, and remembers the answer for a while
//! (`acl.token_ttl`); when nobody answers, `acl.down_policy` says what holds. Servers of the original
//! up to 1.3 are asked for rules in their form.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lictor_acl::{Authorizer, DefaultPolicy, Rules};
use lictor_server::DownPolicy;
use lictor_types::acl::{ANONYMOUS_SECRET, AclRole, AclToken, CLIENT, MANAGEMENT};
use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::query::{Consistency, QueryOptions};
use lictor_wire::acl::{self, PolicyIds, RoleIds};
use lictor_wire::acl_legacy::{self, PolicyQuestion, Resolved};
use lictor_wire::acl_token::{self, TokenArgs};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout};

use crate::attempts::Attempts;
use crate::servers::Servers;

/// How long a token that is known waits for another word about it.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);
/// Tokens that are remembered at most; then all are forgotten.
const KNOWN_MAX: usize = 4096;

#[derive(Clone, Debug)]
struct Entry {
    who: Arc<Authorizer>,
    found: Instant,
}

/// What is known of rights.
#[derive(Debug)]
pub(crate) struct Known {
    manage_all: Arc<Authorizer>,
    tokens: Mutex<HashMap<Box<str>, Entry>>,
}

impl Default for Known {
    fn default() -> Self {
        let manage_all = Arc::new(Authorizer::manage_all());
        Self { manage_all, tokens: Mutex::default() }
    }
}

impl Known {
    fn get(&self, secret: &str) -> Option<Entry> {
        self.tokens.lock().get(secret).cloned()
    }

    fn learn(&self, secret: &str, who: &Arc<Authorizer>) {
        let mut tokens = self.tokens.lock();
        if tokens.len() >= KNOWN_MAX && !tokens.contains_key(secret) {
            tokens.clear();
        }
        tokens.insert(secret.into(), Entry { who: Arc::clone(who), found: Instant::now() });
    }

    fn forget(&self, secret: &str) {
        self.tokens.lock().remove(secret);
    }
}

impl Servers {
    /// What the bearer of a token may do; nobody in particular bears an empty one.
    ///
    /// # Errors
    /// When there is no such token (`ACL not found`), or it cannot be looked up.
    pub async fn authorizer(&self, token: &str) -> Result<Arc<Authorizer>, EndpointError> {
        match self.here() {
            Some(server) => {
                if self.borrows() {
                    Box::pin(self.borrow_token(token)).await;
                }
                server.authorizer(token)
            }
            None if !self.acl_enabled() => Ok(Arc::clone(&self.known().manage_all)),
            None => Box::pin(self.looked_up(token)).await,
        }
    }

    pub(crate) async fn looked_up(&self, token: &str) -> Result<Arc<Authorizer>, EndpointError> {
        let secret = if token.is_empty() { ANONYMOUS_SECRET } else { token };
        let known = self.known().get(secret);
        if let Some(entry) = &known
            && entry.found.elapsed() < self.config().token_ttl
        {
            self.meters().known.count();
            return Ok(Arc::clone(&entry.who));
        }
        self.meters().unknown.count();
        let timed = self.meters().resolve.start();
        let down = self.acl_settings().down_policy;
        let extends = matches!(down, DownPolicy::ExtendCache | DownPolicy::AsyncCache);
        // What holds on anyway does not wait long for another word.
        let asked = match known {
            Some(_) if extends => {
                timeout(KNOWN_WITHIN, self.resolved(secret)).await.unwrap_or_else(|_| {
                    Err(EndpointError::new(ErrorKind::Internal, "there was no answer in time"))
                })
            }
            _ => self.resolved(secret).await,
        };
        drop(timed);
        match asked {
            Ok(who) => {
                self.known().learn(secret, &who);
                Ok(who)
            }
            Err(error) if error.kind == ErrorKind::PermissionDenied => {
                self.known().forget(secret);
                Err(EndpointError::acl_not_found())
            }
            Err(error) => {
                tracing::warn!(%error, "a token cannot be looked up");
                Ok(match (down, known) {
                    (DownPolicy::Allow, _) => Arc::clone(&self.known().manage_all),
                    (DownPolicy::ExtendCache | DownPolicy::AsyncCache, Some(entry)) => {
                        // It is asked again after the same time.
                        self.known().learn(secret, &entry.who);
                        entry.who
                    }
                    _ => Arc::new(Authorizer::by_default(DefaultPolicy::Deny)),
                })
            }
        }
    }

    async fn resolved(&self, secret: &str) -> Result<Arc<Authorizer>, EndpointError> {
        let options = QueryOptions {
            datacenter: self.primary().map(|one| one.datacenter.clone()).unwrap_or_default(),
            token: secret.to_owned(),
            consistency: Consistency::Stale,
            ..QueryOptions::default()
        };
        let by_secret = || TokenArgs { id: secret.to_owned(), by_secret: true };
        let mut attempts = Attempts::read(self, &options);
        let asked =
            self.read_away::<acl_token::TokenRead, _>(&mut attempts, &options, by_secret).await;
        let reply = match asked {
            Err(error) if error.text.contains("rpc: can't find") => {
                return self.resolved_of_old(secret, &options).await;
            }
            asked => asked?,
        };
        let found = reply.and_then(|reply| reply.result.value.token.clone());
        // What is valid in the primary datacenter alone is not valid here.
        let found = found.filter(|token| self.here().is_none() || !token.local);
        let default = self.acl_settings().default_policy;
        let Some(token) = found else {
            // The first leader makes it; before that nobody has more than the default.
            return match secret {
                ANONYMOUS_SECRET => Ok(Arc::new(Authorizer::by_default(default))),
                _ => Err(EndpointError::acl_not_found()),
            };
        };
        if token.kind == MANAGEMENT {
            return Ok(Arc::clone(&self.known().manage_all));
        }
        let rules = self.rules_of(&token, &options).await?;
        Ok(Arc::new(match rules.is_empty() {
            true => Authorizer::by_default(default),
            false => Authorizer::new(rules.iter(), default),
        }))
    }

    async fn rules_of(
        &self,
        token: &AclToken,
        options: &QueryOptions,
    ) -> Result<Vec<Rules>, EndpointError> {
        let roles: Vec<Arc<AclRole>> = match &*token.roles {
            [] => Vec::new(),
            links => {
                let ids: Vec<_> = links.iter().map(|link| link.id.clone()).collect();
                let args = || RoleIds { ids: ids.clone() };
                let mut attempts = Attempts::read(self, options);
                let reply = self.read_away::<acl::RoleResolve, _>(&mut attempts, options, args);
                reply.await?.map(|reply| reply.result.value.clone()).unwrap_or_default()
            }
        };
        let links = token.policies.iter().chain(roles.iter().flat_map(|role| &role.policies));
        let mut ids: Vec<_> = links.map(|link| link.id.clone()).collect();
        ids.sort();
        ids.dedup();
        let mut rules = Vec::new();
        let here = |datacenters: &[String]| {
            let own = &self.config().datacenter;
            datacenters.is_empty() || datacenters.contains(own)
        };
        if !ids.is_empty() {
            let args = || PolicyIds { ids: ids.clone() };
            let mut attempts = Attempts::read(self, options);
            let reply = self.read_away::<acl::PolicyResolve, _>(&mut attempts, options, args);
            let reply = reply.await?;
            let policies = reply.iter().flat_map(|reply| &reply.result.value.0);
            for policy in policies.filter(|policy| here(&policy.datacenters)) {
                rules.push(Rules::parse(&policy.rules).map_err(|error| unusable(&error))?);
            }
        }
        let services = token.service_identities.iter();
        let services = services.chain(roles.iter().flat_map(|role| &role.service_identities));
        let services = services.filter(|service| here(&service.datacenters));
        rules.extend(services.map(|service| Rules::service_identity(&service.service_name)));
        let nodes = token.node_identities.iter();
        let nodes = nodes.chain(roles.iter().flat_map(|role| &role.node_identities));
        let nodes = nodes.filter(|node| node.datacenter == self.config().datacenter);
        rules.extend(nodes.map(|node| Rules::node_identity(&node.node_name)));
        if token.kind == CLIENT && !token.rules.is_empty() {
            rules.push(Rules::parse_legacy(&token.rules).map_err(|error| unusable(&error))?);
        }
        Ok(rules)
    }

    /// As servers up to version 1.3 say it.
    async fn resolved_of_old(
        &self,
        secret: &str,
        options: &QueryOptions,
    ) -> Result<Arc<Authorizer>, EndpointError> {
        let args = || PolicyQuestion { id: secret.to_owned(), etag: String::new() };
        let mut attempts = Attempts::read(self, options);
        let reply = self.read_away::<acl_legacy::GetPolicy, _>(&mut attempts, options, args);
        let reply = reply.await?;
        let none = Resolved::default();
        let resolved = reply.as_ref().map_or(&none, |reply| &reply.result.value);
        let default = match resolved.parent.as_str() {
            "manage" => return Ok(Arc::clone(&self.known().manage_all)),
            "allow" => DefaultPolicy::Allow,
            _ => DefaultPolicy::Deny,
        };
        let text = resolved.policy.as_ref().map(as_text).unwrap_or_default();
        let rules = Rules::parse_legacy(&text).map_err(|error| unusable(&error))?;
        Ok(Arc::new(Authorizer::new([&rules], default)))
    }
}

fn unusable(error: &dyn std::fmt::Display) -> EndpointError {
    EndpointError::refused(format!("failed to parse the ACL policies: {error}"))
}

/// The rules as a text that is read like others.
fn as_text(rules: &acl_legacy::Rules) -> String {
    let named = |rules: &[acl_legacy::Rule]| {
        let rules = rules.iter().map(|rule| {
            let mut what = Map::from_iter([("policy".to_owned(), json!(rule.policy))]);
            if !rule.intentions.is_empty() {
                what.insert("intentions".to_owned(), json!(rule.intentions));
            }
            (rule.prefix.clone(), Value::Object(what))
        });
        Value::Object(rules.collect())
    };
    let mut all = Map::new();
    for (resource, rules) in [
        ("agent", &rules.agents),
        ("event", &rules.events),
        ("key", &rules.keys),
        ("node", &rules.nodes),
        ("query", &rules.prepared_queries),
        ("service", &rules.services),
        ("session", &rules.sessions),
    ] {
        if !rules.is_empty() {
            all.insert(resource.to_owned(), named(rules));
        }
    }
    for (resource, level) in [("keyring", &rules.keyring), ("operator", &rules.operator)] {
        if !level.is_empty() {
            all.insert(resource.to_owned(), json!(level));
        }
    }
    Value::Object(all).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_old_servers_are_understood() {
        let rule = |prefix: &str, policy: &str| acl_legacy::Rule {
            prefix: prefix.to_owned(),
            policy: policy.to_owned(),
            intentions: String::new(),
        };
        let rules = acl_legacy::Rules {
            keys: vec![rule("a/\"${x}", "write"), rule("", "read")],
            services: vec![rule("web", "write")],
            operator: "read".to_owned(),
            ..acl_legacy::Rules::default()
        };
        let rules = Rules::parse_legacy(&as_text(&rules)).unwrap();
        let who = Authorizer::new([&rules], DefaultPolicy::Deny);
        assert!(who.key_write("a/\"${x}y") && who.key_read("b") && !who.key_write("b"));
        assert!(who.service_write("web-2") && !who.service_read("db"));
        assert!(who.operator_read() && !who.operator_write());
        assert!(Rules::parse_legacy(&as_text(&acl_legacy::Rules::default())).is_ok());
    }
}
