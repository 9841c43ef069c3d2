//! Who may connect to one destination: its intentions, arranged so that a decision costs a few
//! look-ups however many there are.
//!
//! Which intentions match a destination is the store's to find, whom a certificate names the
//! caller's; so is what happens when no intention speaks.

use std::collections::HashMap;
use std::sync::Arc;

use lictor_types::intention::{Intention, WILDCARD};

/// The intentions of a destination by their sources. Each position is a rank: lower decides.
#[derive(Debug, Default)]
pub struct Decisions {
    rules: Vec<Arc<Intention>>,
    /// Namespace, then name.
    exact: HashMap<String, HashMap<String, usize>>,
    /// Every service of a namespace.
    namespaces: HashMap<String, usize>,
    /// Every service of every namespace.
    all: Option<usize>,
}

impl Decisions {
    /// Arranges the intentions that match a destination, given in order of precedence.
    #[must_use]
    pub fn new(rules: Vec<Arc<Intention>>) -> Self {
        let mut this = Self::default();
        for (rank, rule) in rules.iter().enumerate() {
            match (rule.source_ns.as_str(), rule.source_name.as_str()) {
                (WILDCARD, _) => {
                    this.all.get_or_insert(rank);
                }
                (namespace, WILDCARD) => {
                    this.namespaces.entry(namespace.to_owned()).or_insert(rank);
                }
                (namespace, name) => {
                    let names = this.exact.entry(namespace.to_owned()).or_default();
                    names.entry(name.to_owned()).or_insert(rank);
                }
            }
        }
        this.rules = rules;
        this
    }

    /// The intention that decides about a source; `None` when none speaks.
    #[must_use]
    pub fn decide(&self, namespace: &str, name: &str) -> Option<&Arc<Intention>> {
        let exact = self.exact.get(namespace).and_then(|names| names.get(name));
        let candidates = [exact, self.namespaces.get(namespace), self.all.as_ref()];
        self.rules.get(*candidates.into_iter().flatten().min()?)
    }
}

#[cfg(test)]
mod tests {
    use lictor_types::intention::Action;
    use lictor_types::timestamp::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn rule(source: (&str, &str), destination: &str, action: Action) -> Arc<Intention> {
        let mut rule = Intention {
            id: format!("{}-{}", source.1, destination),
            description: String::new(),
            source_ns: source.0.to_owned(),
            source_name: source.1.to_owned(),
            destination_ns: "default".to_owned(),
            destination_name: destination.to_owned(),
            source_type: "consul".to_owned(),
            action,
            default_addr: String::new(),
            default_port: 0,
            meta: lictor_types::catalog::StringMap::new(),
            precedence: 0,
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
            create_index: 0,
            modify_index: 0,
        };
        rule.precedence = rule.computed_precedence();
        Arc::new(rule)
    }

    #[test]
    fn the_first_that_covers_the_source_decides() {
        let decisions = Decisions::new(vec![
            rule(("default", "web"), "db", Action::Allow),
            rule(("default", "*"), "*", Action::Deny),
        ]);
        assert_eq!(decisions.decide("default", "web").unwrap().action, Action::Allow);
        assert_eq!(decisions.decide("default", "other").unwrap().action, Action::Deny);
        assert!(decisions.decide("elsewhere", "web").is_none());
    }

    proptest! {
        /// The first that covers the source, tried one after the other, is what is found.
        #[test]
        fn as_if_tried_in_order(
            rules in proptest::collection::vec(
                (prop_oneof!["\\*", "[ab]"], prop_oneof!["\\*", "[a-d]"], prop_oneof!["\\*", "db"],
                    any::<bool>()),
                0..12,
            ),
            namespace in "[abc]", name in "[a-e]",
        ) {
            let mut rules: Vec<_> = rules
                .iter()
                .map(|(namespace, name, destination, allow)| {
                    let action = if *allow { Action::Allow } else { Action::Deny };
                    rule((namespace, name), destination, action)
                })
                .collect();
            rules.sort_by(|a, b| a.order(b));
            let first = rules.iter().find(|rule| rule.covers_source(&namespace, &name)).cloned();
            let decisions = Decisions::new(rules);
            let found = decisions.decide(&namespace, &name);
            prop_assert_eq!(found.map(Arc::as_ptr), first.as_ref().map(Arc::as_ptr));
        }
    }
}
