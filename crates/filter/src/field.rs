//! What a type of rows has to offer to expressions: names and kinds of fields, and their values.

use std::collections::BTreeMap;

use lictor_types::catalog::StringMap;

/// What a field is; this decides which comparisons there are.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A text: equality, `in` for a part of it, `matches`.
    Text,
    /// A number: equality.
    Number,
    /// True or false: equality.
    Bool,
    /// A list of texts: `in` for one of them, emptiness.
    Texts,
    /// Texts by name: `in` for a name, emptiness; what is selected below it is a text.
    TextMap,
    /// Lists of texts by name: as with texts, but what is selected below it is a list.
    TextsMap,
    /// Fields of its own.
    Record(&'static Schema),
    /// A list of records: emptiness; what is selected below it is looked for in any of them.
    Records(&'static Schema),
    /// Records by name.
    RecordMap(&'static Schema),
}

/// A field of a type of rows.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name in expressions.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
}

/// The fields of a type of rows; their positions are those of [`Row::value`].
#[derive(Debug)]
pub struct Schema(pub &'static [Field]);

/// The value of a field.
#[allow(missing_debug_implementations, reason = "it holds iterators and rows of any kind")]
pub enum Value<'a> {
    /// Of [`Kind::Text`].
    Text(&'a str),
    /// Of [`Kind::Text`], where the row does not hold it as a text.
    Made(String),
    /// Of [`Kind::Number`].
    Number(i64),
    /// Of [`Kind::Bool`].
    Bool(bool),
    /// Of [`Kind::Texts`].
    Texts(&'a [String]),
    /// Of [`Kind::TextMap`].
    TextMap(&'a StringMap),
    /// Of [`Kind::TextsMap`].
    TextsMap(&'a BTreeMap<String, Vec<String>>),
    /// Of [`Kind::Record`].
    Record(&'a dyn Row),
    /// Of [`Kind::Records`].
    Records(Box<dyn Iterator<Item = &'a dyn Row> + 'a>),
    /// Of [`Kind::RecordMap`].
    RecordMap(&'a dyn RecordMap),
}

/// A row, or a record inside one.
pub trait Row {
    /// The value of the field at `at` of the schema, of the kind that is said there.
    fn value(&self, at: usize) -> Value<'_>;
}

/// A type of rows.
pub trait Table: Row {
    /// Its fields.
    const SCHEMA: &'static Schema;
}

/// Records by name.
pub trait RecordMap {
    /// The record of a name.
    fn record(&self, name: &str) -> Option<&dyn Row>;
    /// Whether there is none at all.
    fn has_none(&self) -> bool;
}

impl<T: Row> RecordMap for BTreeMap<String, T> {
    fn record(&self, name: &str) -> Option<&dyn Row> {
        self.get(name).map(|record| record as &dyn Row)
    }

    fn has_none(&self) -> bool {
        self.is_empty()
    }
}

/// Makes a type filterable: its fields by name, each with its kind and how it is got.
macro_rules! table {
    ($type:ty { $($name:literal $kind:expr => |$row:ident| $value:expr),+ $(,)? }) => {
        impl $crate::Table for $type {
            const SCHEMA: &'static $crate::Schema =
                &$crate::Schema(&[$($crate::Field { name: $name, kind: $kind }),+]);
        }

        impl $crate::Row for $type {
            fn value(&self, at: usize) -> $crate::Value<'_> {
                const VALUES: &[for<'a> fn(&'a $type) -> $crate::Value<'a>] =
                    &[$(|$row| $value),+];
                match VALUES.get(at) {
                    Some(value) => value(self),
                    None => $crate::Value::Text(""),
                }
            }
        }
    };
}
pub(crate) use table;
