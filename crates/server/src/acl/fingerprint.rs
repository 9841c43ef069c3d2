//! Fingerprints of what people wrote in a policy, role or token, by the original's recipe.
//!
//! Datacenters compare them to find out what to copy; clients show them.

use lictor_acl::{Level, Rule, Rules};
use lictor_types::acl::{AclLink, AclPolicy, AclRole, AclToken, NodeIdentity, ServiceIdentity};

use super::blake2b::Blake2b;

pub(crate) fn policy(policy: &AclPolicy) -> Vec<u8> {
    let mut sum = Blake2b::new();
    sum.update(&policy.name);
    sum.update(&policy.description);
    sum.update(&policy.rules);
    policy.datacenters.iter().for_each(|datacenter| sum.update(datacenter));
    sum.finish().to_vec()
}

pub(crate) fn role(role: &AclRole) -> Vec<u8> {
    let mut sum = Blake2b::new();
    sum.update(&role.name);
    sum.update(&role.description);
    links(&mut sum, &role.policies);
    identities(&mut sum, &role.service_identities, &role.node_identities);
    sum.finish().to_vec()
}

pub(crate) fn token(token: &AclToken) -> Vec<u8> {
    let mut sum = Blake2b::new();
    sum.update(&token.description);
    sum.update(&token.kind);
    sum.update(&token.rules);
    sum.update(if token.local { "local" } else { "global" });
    links(&mut sum, &token.policies);
    links(&mut sum, &token.roles);
    identities(&mut sum, &token.service_identities, &token.node_identities);
    sum.finish().to_vec()
}

/// A digest of rules as agents of version 1.2 get them, in hexadecimal. The original takes one of the
/// policies' text; agents only look whether it is another one.
pub(crate) fn rules(rules: &Rules) -> String {
    let mut sum = Blake2b::new();
    for level in [rules.acl, rules.keyring, rules.operator] {
        sum.update(level.map_or("", Level::as_str));
        sum.update([0]);
    }
    for Rule { resource, segment, prefix, level, intentions } in &rules.rules {
        sum.update(resource.as_str());
        sum.update([u8::from(*prefix)]);
        sum.update(level.as_str());
        sum.update([0]);
        sum.update(intentions.map_or("", Level::as_str));
        sum.update([0]);
        sum.update((segment.len() as u64).to_le_bytes());
        sum.update(segment);
    }
    sum.finish().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn links(sum: &mut Blake2b, links: &[AclLink]) {
    links.iter().for_each(|link| sum.update(&link.id));
}

fn identities(sum: &mut Blake2b, services: &[ServiceIdentity], nodes: &[NodeIdentity]) {
    for service in services {
        sum.update(&service.service_name);
        service.datacenters.iter().for_each(|datacenter| sum.update(datacenter));
    }
    for node in nodes {
        sum.update(&node.node_name);
        sum.update(&node.datacenter);
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn a_policy_has_the_fingerprint_that_the_original_gave_it() {
        let given = AclPolicy {
            name: "p2".into(),
            rules: "bogus \"x\" { policy = \"read\" }".into(),
            ..AclPolicy::default()
        };
        let seen = "N7HXoJoSeyltrWUHsGiDiCk9n7C7glPU+A8LIdTvees=";
        assert_eq!(STANDARD.encode(policy(&given)), seen);
    }
}
