//! What a table of settings consists of: keys, the shapes of their values, flags, effects.
//!
//! The tables themselves are in [`super::settings`] and [`super::service`]; reading values by
//! them is [`super::decode`]'s.

/// The form that a value must have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// Any number.
    Float,
    /// A text.
    Text,
    /// A text such as `1m30s`.
    Duration,
    /// A list of texts; the lists of several sources are joined.
    TextList,
    /// An object with texts; later sources add and replace pairs.
    TextMap,
    /// An object with lists of texts.
    ListMap,
    /// An object with durations.
    DurationMap,
    /// An object whose contents somebody else knows; later sources add and replace fields.
    Opaque,
    /// A list of such objects.
    OpaqueList,
    /// An object by another table.
    Object(&'static [Key]),
    /// A list of objects by another table.
    Objects(&'static [Key]),
}

/// What a setting does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It does what its text says.
    Honoured,
    /// Accepted, so that files can be taken over; there is nothing for it to do.
    Nothing(&'static str),
    /// Refused, since going on without it would do harm; [`super::rules`] has the text.
    Refused(&'static str),
    /// Accepted and checked, but what it governs does not exist yet; setting it gives a warning.
    NotYet(&'static str),
}

/// A row of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Name in files; dots separate the objects around it (`ports.http`).
    pub(crate) name: &'static str,
    /// Further spellings, in lower case, compared without regard to case.
    pub(crate) aliases: &'static [&'static str],
    /// The form of its value.
    pub(crate) shape: Shape,
    /// Name of the command-line flag, without dashes; empty if there is none.
    pub(crate) flag: &'static str,
    /// Whether a reload applies it; said in `docs/coverage.md` alone.
    #[cfg_attr(not(test), allow(dead_code))]
    pub(crate) reloadable: bool,
    /// What it does here.
    pub(crate) effect: Effect,
    /// What it is for.
    pub(crate) doc: &'static str,
}

impl Key {
    /// A row with the usual values.
    pub(crate) const fn new(name: &'static str, shape: Shape, doc: &'static str) -> Self {
        let effect = Effect::Honoured;
        Self { name, aliases: &[], shape, flag: "", reloadable: false, effect, doc }
    }

    /// With a command-line flag.
    pub(crate) const fn flag(self, flag: &'static str) -> Self {
        Self { flag, ..self }
    }

    /// With further spellings.
    pub(crate) const fn alias(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// Applied by a reload.
    pub(crate) const fn reload(self) -> Self {
        Self { reloadable: true, ..self }
    }

    /// Accepted without anything to do, and why.
    pub(crate) const fn nothing(self, why: &'static str) -> Self {
        Self { effect: Effect::Nothing(why), ..self }
    }

    /// Refused when it is set.
    pub(crate) const fn refused(self, why: &'static str) -> Self {
        Self { effect: Effect::Refused(why), ..self }
    }

    /// Accepted for what does not exist yet.
    pub(crate) const fn not_yet(self, what: &'static str) -> Self {
        Self { effect: Effect::NotYet(what), ..self }
    }
}

pub(crate) const fn bool(name: &'static str, doc: &'static str) -> Key {
    Key::new(name, Shape::Bool, doc)
}

pub(crate) const fn int(name: &'static str, doc: &'static str) -> Key {
    Key::new(name, Shape::Int, doc)
}

pub(crate) const fn float(name: &'static str, doc: &'static str) -> Key {
    Key::new(name, Shape::Float, doc)
}

pub(crate) const fn text(name: &'static str, doc: &'static str) -> Key {
    Key::new(name, Shape::Text, doc)
}

pub(crate) const fn duration(name: &'static str, doc: &'static str) -> Key {
    Key::new(name, Shape::Duration, doc)
}

pub(crate) const fn list(name: &'static str, doc: &'static str) -> Key {
    Key::new(name, Shape::TextList, doc)
}

pub(crate) const fn map(name: &'static str, doc: &'static str) -> Key {
    Key::new(name, Shape::TextMap, doc)
}

pub(crate) const fn opaque(name: &'static str, doc: &'static str) -> Key {
    Key::new(name, Shape::Opaque, doc)
}

/// What a path leads to in a table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found {
    /// A setting.
    Key(&'static Key),
    /// An object of the table; with its exact name.
    Group(&'static str),
}

/// Finds `name` below `group` (empty for the root): exactly, or without regard to case.
pub(crate) fn find(table: &'static [Key], group: &str, name: &str) -> Option<Found> {
    let below = |key: &Key| -> Option<&'static str> {
        if group.is_empty() {
            return Some(key.name);
        }
        key.name.strip_prefix(group)?.strip_prefix('.')
    };
    let mut loose = None;
    for key in table {
        let Some(rest) = below(key) else { continue };
        let (first, leaf) = match rest.split_once('.') {
            Some((first, _)) => (first, false),
            None => (rest, true),
        };
        let end = key.name.len() - rest.len() + first.len();
        let found = if leaf { Found::Key(key) } else { Found::Group(&key.name[..end]) };
        if first == name {
            return Some(found);
        }
        let alias = leaf && key.aliases.iter().any(|a| a.eq_ignore_ascii_case(name));
        if loose.is_none() && (alias || first.eq_ignore_ascii_case(name)) {
            loose = Some(found);
        }
    }
    loose
}

/// The number of rows in all of `parts`.
pub(crate) const fn count(parts: &[&[Key]]) -> usize {
    let (mut count, mut at) = (0, 0);
    while at < parts.len() {
        count += parts[at].len();
        at += 1;
    }
    count
}

/// All rows of `parts` in one table; `N` must be their [`count`].
pub(crate) const fn join<const N: usize>(parts: &[&[Key]]) -> [Key; N] {
    let mut all = [parts[0][0]; N];
    let (mut filled, mut part) = (0, 0);
    while part < parts.len() {
        let mut at = 0;
        while at < parts[part].len() {
            all[filled] = parts[part][at];
            filled += 1;
            at += 1;
        }
        part += 1;
    }
    assert!(filled == N, "the count of rows is wrong");
    all
}
