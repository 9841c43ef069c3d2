//! Rules of several policies as version 1.2 could have said them: one set, whose names all are
//! beginnings of names.
//!
//! Agents of that version decide by it what they do themselves. A rule about one name alone becomes
//! one about all that begin so; where both are said of a name, denial counts, or else the one that
//! grants more. So such an agent may let pass what servers refuse, which decide by the rules as they
//! are; rights to write hold for the name in both.

use std::collections::BTreeMap;

use crate::authorizer::merge;
use crate::rules::{Rule, Rules};

impl Rules {
    /// All rules of several policies, for agents of version 1.2; in an order that does not depend on
    /// that of the policies.
    #[must_use]
    pub fn for_old_agents<'a>(policies: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        let mut merged: BTreeMap<(usize, &str), Rule> = BTreeMap::new();
        for policy in policies {
            all.acl = merge(all.acl, policy.acl);
            all.keyring = merge(all.keyring, policy.keyring);
            all.operator = merge(all.operator, policy.operator);
            for rule in &policy.rules {
                merged
                    .entry((rule.resource as usize, &rule.segment))
                    .and_modify(|held| {
                        held.level = held.level.merged(rule.level);
                        held.intentions = merge(held.intentions, rule.intentions);
                    })
                    .or_insert_with(|| Rule { prefix: true, ..rule.clone() });
            }
        }
        all.rules = merged.into_values().collect();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Level, Segmented};

    #[test]
    fn rules_of_several_policies_become_one_set() {
        let one = Rules::parse(
            "service \"web\" { policy = \"write\" } service_prefix \"\" { policy = \"read\" } \
             operator = \"read\" key \"a\" { policy = \"deny\" }",
        );
        let other = Rules::parse(
            "service_prefix \"web\" { policy = \"read\" intentions = \"write\" } \
             operator = \"write\" key_prefix \"a\" { policy = \"write\" }",
        );
        let (one, other) = (one.unwrap(), other.unwrap());
        let all = Rules::for_old_agents([&one, &other]);
        assert_eq!(all, Rules::for_old_agents([&other, &one]));
        assert_eq!(all.operator, Some(Level::Write));
        let rules: Vec<_> =
            all.rules.iter().map(|rule| (rule.segment.as_str(), rule.level)).collect();
        assert_eq!(rules, [("a", Level::Deny), ("", Level::Read), ("web", Level::Write)]);
        assert!(all.rules.iter().all(|rule| rule.prefix));
        assert_eq!(all.rules[0].resource, Segmented::Key);
        assert_eq!(all.rules[2].intentions, Some(Level::Write));
    }
}
