//! Which metrics are wanted: rules by the beginning of their names.
//!
//! The longest rule that fits decides, and of two that are alike the one that forbids; as in the
//! original's `prefix_filter`.

use std::sync::Arc;

use parking_lot::RwLock;

/// Rules and what holds without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Beginnings of names, and whether those are wanted.
    rules: Vec<(String, bool)>,
    usual: bool,
}

impl Default for Filter {
    fn default() -> Self {
        Self { rules: Vec::new(), usual: true }
    }
}

impl Filter {
    /// A filter of rules `+beginning` and `-beginning`; gives also the texts that are no rules.
    #[must_use]
    pub fn new(texts: &[String], usual: bool) -> (Self, Vec<String>) {
        let (mut rules, mut wrong) = (Vec::new(), Vec::new());
        for text in texts {
            if let Some(rest) = text.strip_prefix('+') {
                rules.push((rest.to_owned(), true));
            } else if let Some(rest) = text.strip_prefix('-') {
                rules.push((rest.to_owned(), false));
            } else {
                wrong.push(text.clone());
            }
        }
        // The nearest first.
        rules.sort_by(|(a, wanted_a), (b, wanted_b)| {
            b.len().cmp(&a.len()).then_with(|| wanted_a.cmp(wanted_b))
        });
        (Self { rules, usual }, wrong)
    }

    /// Whether the metric with this whole name is wanted.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        let rule = self.rules.iter().find(|(beginning, _)| name.starts_with(beginning.as_str()));
        rule.map_or(self.usual, |(_, wanted)| *wanted)
    }
}

/// A filter that a reload replaces. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct LiveFilter(Arc<RwLock<Arc<Filter>>>);

impl LiveFilter {
    /// Starts with this one.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        let live = Self::default();
        live.set(Arc::new(filter));
        live
    }

    /// The one that holds now.
    #[must_use]
    pub fn get(&self) -> Arc<Filter> {
        Arc::clone(&self.0.read())
    }

    /// Replaces it.
    pub fn set(&self, filter: Arc<Filter>) {
        *self.0.write() = filter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_rule_decides() {
        let texts = ["+c.http.GET", "-c.http", "+c.raft", "-c.raft", "c.kvs"].map(str::to_owned);
        let (filter, wrong) = Filter::new(&texts, true);
        assert_eq!(wrong, ["c.kvs"]);
        for (name, wanted) in [
            ("c.http.PUT.v1.kv", false),
            ("c.http.GET.v1.kv", true),
            ("c.raft.apply", false),
            ("c.kvs.apply", true),
            ("c.htt", true),
        ] {
            assert_eq!(filter.wants(name), wanted, "{name}");
        }
        let (none, _) = Filter::new(&["+c.raft".to_owned()], false);
        assert!(none.wants("c.raft.apply") && !none.wants("c.kvs.apply"));
    }
}
