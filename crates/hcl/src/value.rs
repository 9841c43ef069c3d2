//! The tree that both languages are read into.
//!
//! Nothing here converts between types: a number is no text, and callers say what they expect.

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Line of its first character, from 1.
    pub line: u32,
    /// The value itself.
    pub data: Data,
}

/// The kinds of values.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// JSON's `null`; HCL has none.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction or an exponent, or (JSON only) one that needs more than 64 bits.
    Float(f64),
    /// A text.
    Text(String),
    /// A list with something else than objects in it, or an empty list.
    List(Vec<Value>),
    /// One or more objects: blocks of one name, a `{}` after `=`, or a list of objects.
    Objects {
        /// The objects in the order of the text.
        objects: Vec<Object>,
        /// Whether any of them was written inside a list.
        listed: bool,
    },
}

/// Named values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// Line of its start, from 1.
    pub line: u32,
    /// The fields by the order of their first occurrence; each key occurs once.
    pub fields: Vec<Field>,
}

/// A named value.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The name, without quotes.
    pub key: String,
    /// Line of the name, from 1.
    pub line: u32,
    /// The value.
    pub value: Value,
}

impl Object {
    /// The value of `key`, compared exactly.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.fields.iter().find(|field| field.key == key).map(|field| &field.value)
    }
}

impl Value {
    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The objects; empty if it is something else.
    #[must_use]
    pub fn objects(&self) -> &[Object] {
        match &self.data {
            Data::Objects { objects, .. } => objects,
            _ => &[],
        }
    }

    /// A word for error texts: `string`, `int`, `list`, …
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.data {
            Data::Null => "null",
            Data::Bool(_) => "bool",
            Data::Int(_) => "int",
            Data::Float(_) => "float",
            Data::Text(_) => "string",
            Data::List(_) | Data::Objects { listed: true, .. } => "list",
            Data::Objects { listed: false, .. } => "object",
        }
    }

    /// Adds what another occurrence of the same key holds: lists and objects grow, of single
    /// values the last one counts. Gives the later value back when the two cannot be joined.
    pub(crate) fn join(&mut self, later: Self) -> Result<(), Self> {
        match (&mut self.data, later.data) {
            (
                Data::Objects { objects, listed },
                Data::Objects { objects: more, listed: in_list },
            ) => {
                objects.extend(more);
                *listed |= in_list;
            }
            (Data::List(items), Data::List(more)) => items.extend(more),
            (Data::List(items), data @ Data::Objects { .. }) if items.is_empty() => {
                *self = Self { line: later.line, data };
            }
            (Data::Objects { .. }, Data::List(more)) if more.is_empty() => {}
            (Data::Objects { .. } | Data::List(_), data)
            | (_, data @ (Data::Objects { .. } | Data::List(_))) => {
                return Err(Self { line: later.line, data });
            }
            (_, data) => *self = Self { line: later.line, data },
        }
        Ok(())
    }
}

/// Makes a list's value: one of objects only is the same as repeated blocks.
pub(crate) fn list(line: u32, items: Vec<Value>) -> Value {
    let plain = |item: &Value| matches!(&item.data, Data::Objects { listed: false, .. });
    if items.is_empty() || !items.iter().all(plain) {
        return Value { line, data: Data::List(items) };
    }
    let objects = items
        .into_iter()
        .flat_map(|item| match item.data {
            Data::Objects { objects, .. } => objects,
            _ => Vec::new(),
        })
        .collect();
    Value { line, data: Data::Objects { objects, listed: true } }
}

/// Makes the value of a single object.
pub(crate) fn single(object: Object) -> Value {
    Value { line: object.line, data: Data::Objects { objects: vec![object], listed: false } }
}
