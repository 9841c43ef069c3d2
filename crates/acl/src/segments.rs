//! Which rule speaks about a name: the one about exactly that name, or else the one with the
//! longest beginning of it.
//!
//! Segments are kept sorted, each with the longest other one that it begins with. What begins a
//! name is then found by one binary search and a few steps up: as many as rules are nested.

use std::collections::BTreeMap;

use crate::rules::Level;

#[derive(Debug)]
struct Entry {
    segment: Box<str>,
    exact: Option<Level>,
    prefix: Option<Level>,
    /// The longest other segment that begins this one.
    parent: Option<usize>,
}

/// The rules about one resource.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    /// Sorted by segment.
    entries: Vec<Entry>,
}

/// The levels of the rule about exactly a name, and of the one about all that begin with it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Levels {
    pub(crate) exact: Option<Level>,
    pub(crate) prefix: Option<Level>,
}

impl Segments {
    pub(crate) fn new(rules: BTreeMap<&str, Levels>) -> Self {
        let mut entries: Vec<Entry> = Vec::with_capacity(rules.len());
        // The segments that begin the current one, shortest first.
        let mut open: Vec<usize> = Vec::new();
        for (at, (segment, Levels { exact, prefix })) in rules.into_iter().enumerate() {
            let begins = |&above: &usize| {
                entries.get(above).is_some_and(|entry| segment.starts_with(&*entry.segment))
            };
            while open.last().is_some_and(|above| !begins(above)) {
                open.pop();
            }
            entries.push(Entry {
                segment: segment.into(),
                exact,
                prefix,
                parent: open.last().copied(),
            });
            open.push(at);
        }
        Self { entries }
    }

    /// The rule that speaks about a name.
    pub(crate) fn find(&self, name: &str) -> Option<Level> {
        let mut found = None;
        self.begin(name, |entry| {
            if entry.exact.is_some() && &*entry.segment == name {
                found = entry.exact;
            } else {
                found = entry.prefix;
            }
            found.is_some()
        });
        found
    }

    /// Gives the segments that begin `name`, longest first, until `seen` is content.
    fn begin(&self, name: &str, mut seen: impl FnMut(&Entry) -> bool) {
        // Whatever begins a name begins everything that is sorted between it and the name.
        let below = self.entries.partition_point(|entry| &*entry.segment <= name);
        let mut at = below.checked_sub(1);
        while let Some(entry) = at.and_then(|at| self.entries.get(at)) {
            if name.starts_with(&*entry.segment) && seen(entry) {
                return;
            }
            at = entry.parent;
        }
    }

    /// Whether everything below a beginning may be written: the rule about it and all rules below
    /// it must say so. `None` when no rule speaks about the beginning and none below denies.
    pub(crate) fn all_below(&self, beginning: &str, wanted: Level) -> Option<bool> {
        let mut base = None;
        self.begin(beginning, |entry| {
            base = entry.prefix;
            base.is_some()
        });
        if base.is_some_and(|level| !level.grants(wanted)) {
            return Some(false);
        }
        let first = self.entries.partition_point(|entry| &*entry.segment < beginning);
        let below = self.entries.iter().skip(first);
        let mut below = below.take_while(|entry| entry.segment.starts_with(beginning));
        let short = below.any(|entry| {
            [entry.exact, entry.prefix].into_iter().flatten().any(|level| !level.grants(wanted))
        });
        if short { Some(false) } else { base.map(|_| true) }
    }

    /// Whether any rule grants it. `None` when no rule does and none says that all are denied.
    pub(crate) fn any(&self, wanted: Level) -> Option<bool> {
        let mut levels =
            self.entries.iter().flat_map(|entry| [entry.exact, entry.prefix]).flatten();
        if levels.any(|level| level.grants(wanted)) {
            return Some(true);
        }
        self.catch_all().map(|_| false)
    }

    /// The rule about every name that no other speaks about.
    fn catch_all(&self) -> Option<Level> {
        let first = self.entries.first()?;
        if first.segment.is_empty() { first.prefix } else { None }
    }
}
