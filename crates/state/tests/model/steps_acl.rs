//! Random writes to access control over small alphabets.

use lictor_types::acl::{
    AclAuthMethod, AclBindingRule, AclLink, AclPolicy, AclRole, AclToken, ServiceIdentity,
};
use lictor_types::command::{AclReplica, AclWrite};
use lictor_types::timestamp::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::naive::Naive;
use crate::steps::Expected;

pub(crate) const SECRETS: [&str; 4] = ["s1", "s2", "s3", "s4"];
pub(crate) const ACCESSORS: [&str; 4] = ["a1", "A2", "a3", "a4"];
pub(crate) const IDENTITIES: [&str; 2] = ["web", "db"];
pub(crate) const POLICIES: [&str; 3] = ["p1", "p2", "p3"];
pub(crate) const ROLES: [&str; 3] = ["r1", "r2", "r3"];
pub(crate) const METHODS: [&str; 2] = ["jwt", "JWT-2"];
pub(crate) const NAMES: [&str; 3] = ["one", "One", "two"];
const RULES: [&str; 2] = ["b1", "b2"];

fn expected() -> impl Strategy<Value = u64> {
    select(vec![Expected::NONE, Expected::NONE, Expected::PRESENT, Expected::STALE])
}

fn links(ids: &'static [&'static str]) -> impl Strategy<Value = Vec<AclLink>> {
    vec(select(ids), 0..2).prop_map(|ids| {
        ids.into_iter().map(|id| AclLink { id: id.to_owned(), name: String::new() }).collect()
    })
}

fn token() -> impl Strategy<Value = AclToken> {
    let who = (select(&SECRETS[..]), any::<u8>());
    let end = select(vec![None, None, Some(5), Some(10)]);
    let method = select(vec!["", "", "jwt", "jwt-2"]);
    let identities = vec(select(&IDENTITIES[..]), 0..2);
    (who, links(&POLICIES), links(&ROLES), end, method, expected(), identities).prop_map(
        |((secret, luck), policies, roles, end, method, create_index, identities)| {
            let identity = |name: &str| ServiceIdentity {
                service_name: name.to_owned(),
                datacenters: Vec::new(),
            };
            // Mostly the accessor that goes with the secret.
            let accessor = if luck < 40 {
                ACCESSORS[usize::from(luck) % 4].to_owned()
            } else {
                secret.replace('s', "a")
            };
            AclToken {
                accessor_id: accessor,
                secret_id: secret.to_owned(),
                policies,
                roles,
                expiration_time: end.map(Timestamp),
                auth_method: method.to_owned(),
                create_index,
                local: luck >= 210,
                service_identities: identities.into_iter().map(identity).collect(),
                ..AclToken::default()
            }
        },
    )
}

fn policy() -> impl Strategy<Value = AclPolicy> {
    (select(&POLICIES[..]), select(&NAMES[..]), expected()).prop_map(|(id, name, create_index)| {
        AclPolicy { id: id.to_owned(), name: name.to_owned(), create_index, ..AclPolicy::default() }
    })
}

fn role() -> impl Strategy<Value = AclRole> {
    (select(&ROLES[..]), select(&NAMES[..]), links(&POLICIES), expected()).prop_map(
        |(id, name, policies, create_index)| AclRole {
            id: id.to_owned(),
            name: name.to_owned(),
            policies,
            create_index,
            ..AclRole::default()
        },
    )
}

/// What another datacenter decides: with links to what may not be there, tokens that nobody has
/// given an accessor yet, and also what no datacenter would say, like two of one name.
fn replica() -> impl Strategy<Value = AclReplica> {
    let gone = |ids: &'static [&'static str]| {
        let owned = |ids: Vec<&str>| ids.into_iter().map(str::to_owned).collect();
        vec(select(ids), 0..2).prop_map(owned)
    };
    let token = (token(), 0..5_u8).prop_map(|(mut token, luck)| {
        if luck == 0 {
            token.accessor_id.clear();
        }
        token
    });
    let policies = (gone(&POLICIES), vec(policy(), 0..3));
    let roles = (gone(&ROLES), vec(role(), 0..3));
    (policies, roles, (gone(&SECRETS), vec(token, 0..3))).prop_map(
        |((policies_gone, policies), (roles_gone, roles), (tokens_gone, tokens))| AclReplica {
            policies_gone,
            policies,
            roles_gone,
            roles,
            tokens_gone,
            tokens,
        },
    )
}

/// A write; its expected indexes are still codes.
pub(crate) fn acl() -> impl Strategy<Value = AclWrite> {
    let method = (select(&METHODS[..]), expected()).prop_map(|(name, create_index)| {
        AclWrite::AuthMethodSet(AclAuthMethod {
            name: name.to_owned(),
            create_index,
            ..AclAuthMethod::default()
        })
    });
    let rule = (select(&RULES[..]), select(&METHODS[..]), expected()).prop_map(
        |(id, method, create_index)| {
            AclWrite::BindingRuleSet(AclBindingRule {
                id: id.to_owned(),
                auth_method: method.to_lowercase(),
                create_index,
                ..AclBindingRule::default()
            })
        },
    );
    let owned = |text: &str| text.to_owned();
    prop_oneof![
        6 => token().prop_map(AclWrite::TokenSet),
        2 => token().prop_map(|token| AclWrite::Login(Box::new(token))),
        1 => (token(), 0..30_u64).prop_map(|(token, reset_index)| AclWrite::Bootstrap {
            token: Box::new(token), reset_index,
        }),
        1 => select(&ACCESSORS[..]).prop_map(move |id| AclWrite::TokenDelete(owned(id))),
        1 => vec(select(&ACCESSORS[..]), 0..3).prop_map(move |ids| {
            AclWrite::TokensDelete(ids.into_iter().map(owned).collect())
        }),
        5 => policy().prop_map(AclWrite::PolicySet),
        1 => select(&POLICIES[..]).prop_map(move |id| AclWrite::PolicyDelete(owned(id))),
        4 => role().prop_map(AclWrite::RoleSet),
        1 => select(&ROLES[..]).prop_map(move |id| AclWrite::RoleDelete(owned(id))),
        2 => method,
        1 => select(&METHODS[..]).prop_map(move |name| AclWrite::AuthMethodDelete(owned(name))),
        2 => rule,
        1 => select(&RULES[..]).prop_map(move |id| AclWrite::BindingRuleDelete(owned(id))),
        5 => replica().prop_map(|replica| AclWrite::Replicate(Box::new(replica))),
        3 => vec(token(), 1..3).prop_map(AclWrite::TokensUpgrade),
    ]
}

/// Fills in the indexes that the writer saw.
pub(crate) fn resolve(write: &mut AclWrite, model: &Naive) {
    let acl = &model.acl;
    let seen = |code: &mut u64, now: Option<u64>| {
        *code = match *code {
            Expected::PRESENT => now.unwrap_or(0),
            Expected::STALE => now.map_or(7, |index| index + 1),
            _ => 0,
        };
    };
    let token = |token: &mut AclToken| {
        seen(&mut token.create_index, acl.tokens.get(&token.secret_id).map(|t| t.create_index));
    };
    match write {
        AclWrite::TokenSet(one) => token(one),
        AclWrite::Login(one) | AclWrite::Bootstrap { token: one, .. } => token(one),
        AclWrite::TokensUpgrade(tokens) => {
            for one in tokens {
                // They are as they were seen, but for the accessor.
                let old = acl.tokens.get(&one.secret_id);
                one.modify_index = one.create_index;
                seen(&mut one.modify_index, old.map(|t| t.modify_index));
                one.create_index = old.map_or(0, |t| t.create_index);
            }
        }
        AclWrite::PolicySet(one) => {
            seen(&mut one.create_index, acl.policies.get(&one.id).map(|p| p.create_index));
        }
        AclWrite::RoleSet(one) => {
            seen(&mut one.create_index, acl.roles.get(&one.id).map(|r| r.create_index));
        }
        AclWrite::AuthMethodSet(one) => {
            let old = acl.methods.get(&one.name.to_lowercase());
            seen(&mut one.create_index, old.map(|m| m.create_index));
        }
        AclWrite::BindingRuleSet(one) => {
            seen(&mut one.create_index, acl.rules.get(&one.id).map(|r| r.create_index));
        }
        _ => {}
    }
}
