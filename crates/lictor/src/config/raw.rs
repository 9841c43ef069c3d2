//! Values as files and flags give them: everything optional, types checked, nothing decided.
//!
//! How two sources are merged is here; what follows from the values is [`super::decide`]'s.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fmt;
use std::sync::Arc;

/// An object of JSON.
pub(crate) type Json = serde_json::Map<String, serde_json::Value>;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Name of a file, or of a flag with its dash.
    pub(crate) source: Arc<str>,
    /// Line, from 1; 0 for flags.
    pub(crate) line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.source),
            line => write!(f, "{}:{line}", self.source),
        }
    }
}

/// A value of one of the shapes of [`super::schema::Shape`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// Nanoseconds.
    Duration(i64),
    List(Vec<String>),
    Map(BTreeMap<String, String>),
    Lists(BTreeMap<String, Vec<String>>),
    /// Nanoseconds.
    Durations(BTreeMap<String, i64>),
    Opaque(Json),
    OpaqueList(Vec<Json>),
    Object(Raw),
    Objects(Vec<Raw>),
}

/// Values by the names of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Raw {
    items: BTreeMap<&'static str, (Item, Origin)>,
}

impl Raw {
    /// Sets a value; gives false, and changes nothing, if there is one already.
    pub(crate) fn insert(&mut self, name: &'static str, item: Item, origin: Origin) -> bool {
        match self.items.entry(name) {
            btree_map::Entry::Occupied(_) => false,
            btree_map::Entry::Vacant(entry) => {
                entry.insert((item, origin));
                true
            }
        }
    }

    /// Takes a value out.
    pub(crate) fn take(&mut self, name: &str) -> Option<(Item, Origin)> {
        self.items.remove(name)
    }

    /// Adds what a later source says: of single values the later one counts, lists are appended,
    /// maps and objects are merged by their keys.
    pub(crate) fn merge(&mut self, later: Self) {
        for (name, (item, origin)) in later.items {
            match self.items.entry(name) {
                btree_map::Entry::Vacant(entry) => {
                    entry.insert((item, origin));
                }
                btree_map::Entry::Occupied(mut entry) => {
                    let earlier = entry.get_mut();
                    join(&mut earlier.0, item);
                    earlier.1 = origin;
                }
            }
        }
    }

    /// The names that have values, with the values and where they come from.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &Item, &Origin)> {
        self.items.iter().map(|(name, (item, origin))| (*name, item, origin))
    }

    /// Where the value of `name` comes from.
    pub(crate) fn origin(&self, name: &str) -> Option<&Origin> {
        self.items.get(name).map(|(_, origin)| origin)
    }

    fn item(&self, name: &str) -> Option<&Item> {
        self.items.get(name).map(|(item, _)| item)
    }
}

fn join(earlier: &mut Item, later: Item) {
    match (earlier, later) {
        (Item::List(a), Item::List(b)) => a.extend(b),
        (Item::Map(a), Item::Map(b)) => a.extend(b),
        (Item::Lists(a), Item::Lists(b)) => a.extend(b),
        (Item::Durations(a), Item::Durations(b)) => a.extend(b),
        (Item::Opaque(a), Item::Opaque(b)) => a.extend(b),
        (Item::OpaqueList(a), Item::OpaqueList(b)) => a.extend(b),
        (Item::Objects(a), Item::Objects(b)) => a.extend(b),
        (Item::Object(a), Item::Object(b)) => a.merge(b),
        (earlier, later) => *earlier = later,
    }
}

/// Access by name and shape. The name must be one of the table that the values were read by.
impl Raw {
    pub(crate) fn bool(&self, name: &str) -> Option<bool> {
        match self.item(name)? {
            Item::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        match self.item(name)? {
            Item::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn float(&self, name: &str) -> Option<f64> {
        match self.item(name)? {
            Item::Float(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.item(name)? {
            Item::Text(value) => Some(value),
            _ => None,
        }
    }

    /// The text, empty when there is none.
    pub(crate) fn string(&self, name: &str) -> String {
        self.text(name).unwrap_or_default().to_owned()
    }

    /// Nanoseconds.
    pub(crate) fn nanos(&self, name: &str) -> Option<i64> {
        match self.item(name)? {
            Item::Duration(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        match self.item(name) {
            Some(Item::List(value)) => value.clone(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn map(&self, name: &str) -> BTreeMap<String, String> {
        match self.item(name) {
            Some(Item::Map(value)) => value.clone(),
            _ => BTreeMap::new(),
        }
    }

    pub(crate) fn lists(&self, name: &str) -> BTreeMap<String, Vec<String>> {
        match self.item(name) {
            Some(Item::Lists(value)) => value.clone(),
            _ => BTreeMap::new(),
        }
    }

    /// Nanoseconds by name.
    pub(crate) fn durations(&self, name: &str) -> BTreeMap<String, i64> {
        match self.item(name) {
            Some(Item::Durations(value)) => value.clone(),
            _ => BTreeMap::new(),
        }
    }

    pub(crate) fn opaque(&self, name: &str) -> Option<&Json> {
        match self.item(name)? {
            Item::Opaque(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn opaque_list(&self, name: &str) -> &[Json] {
        match self.item(name) {
            Some(Item::OpaqueList(value)) => value,
            _ => &[],
        }
    }

    pub(crate) fn object(&self, name: &str) -> Option<&Self> {
        match self.item(name)? {
            Item::Object(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn objects(&self, name: &str) -> &[Self] {
        match self.item(name) {
            Some(Item::Objects(value)) => value,
            _ => &[],
        }
    }
}
