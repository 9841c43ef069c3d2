//! Follows the intentions whose destination covers our service.
//!
//! What happens to a source that none covers is told by a header of our agents, or else by the one
//! that newer agents of the original send where access control is on. Without either it is let in,
//! as it is by the original when access control is off.

use std::sync::Arc;
use std::time::Duration;

use lictor_api::client::{Client, Response};
use lictor_api::intentions::{
    DEFAULT_INTENTION_HEADER, Intention, IntentionMatches, MatchBy, match_path,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{SourceError, follow};
use crate::policy::{Action, PolicySnapshot, Rule, Rules};

/// Tells, where access control is on, what holds where no rule speaks.
const DEFAULT_POLICY_HEADER: &str = "X-Consul-Default-ACL-Policy";

/// Keeps `into` filled with the rules for `service`; each answer is good for `lease`.
pub async fn intentions(
    client: Client,
    service: String,
    lease: Duration,
    into: watch::Sender<Option<PolicySnapshot>>,
) {
    let path = match_path(MatchBy::Destination, &[&service]);
    // Often enough that a lost answer or two do not end the lease.
    let wait = lease / 4;
    follow(&client, &path, wait, None, |response| {
        // The lease counts from when the agent was asked, at the latest now.
        let valid_until = Instant::now() + lease;
        let rules = rules(response, &service)?;
        let index = response.index();
        into.send_modify(|held| {
            let before = held.take();
            *held = Some(next(before, rules, index, valid_until));
        });
        Ok(())
    })
    .await;
}

/// The snapshot after `before`: the same version as long as nothing but the lease changed.
pub(super) fn next(
    before: Option<PolicySnapshot>,
    rules: Rules,
    index: u64,
    valid_until: Instant,
) -> PolicySnapshot {
    match before {
        Some(before) if *before.rules == rules => PolicySnapshot {
            version: if index == 0 { before.version } else { index },
            valid_until,
            ..before
        },
        before => {
            let counted = before.map_or(1, |before| before.version + 1);
            let version = if index == 0 { counted } else { index };
            PolicySnapshot { version, rules: Arc::new(rules), valid_until }
        }
    }
}

pub(super) fn rules(response: &Response, service: &str) -> Result<Rules, SourceError> {
    let mut matches: IntentionMatches = response.json()?;
    let Some(list) = matches.remove(service) else {
        return Err(SourceError::Content(format!("no intentions for {service:?} in the answer")));
    };
    let told = [DEFAULT_INTENTION_HEADER, DEFAULT_POLICY_HEADER];
    let default = match told.iter().find_map(|name| response.header(name)) {
        // An agent that sends neither is taken for one whose access control is off.
        None | Some("allow") => Action::Allow,
        Some(_) => Action::Deny,
    };
    Ok(Rules::new(list.unwrap_or_default().into_iter().map(rule).collect(), default))
}

fn rule(intention: Intention) -> Rule {
    Rule {
        source_namespace: intention.source_ns,
        source_name: intention.source_name,
        destination_namespace: intention.destination_ns,
        destination_name: intention.destination_name,
        // Whatever this is, it is not a clear permission.
        action: if intention.action == "allow" { Action::Allow } else { Action::Deny },
        id: intention.id,
        precedence: intention.precedence,
    }
}
