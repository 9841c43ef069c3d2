//! Filter expressions: the `?filter=` of list endpoints, from text to which rows stay.
//!
//! The language and its texts are those of Consul 1.10: matches of a selector with a value, joined
//! by `and`, `or`, `not` and parentheses. An expression is checked against the fields of a row's
//! type once and then evaluated on typed rows. Which endpoint filters what is not known here.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod compile;
mod cursor;
mod expression;
mod field;
mod matching;
mod row;
mod text;

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::marker::PhantomData;

pub use self::field::{Field, Kind, RecordMap, Row, Schema, Table, Value};

/// Longest expression, in bytes.
pub const LENGTH_MAX: usize = 8 * 1024;
/// Most parentheses and `not`s inside one another.
pub const DEPTH_MAX: usize = 64;
/// Most matches in an expression.
pub const MATCHES_MAX: usize = 256;

/// Why an expression cannot be used; the text says where it went wrong, as the original does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Failed to create boolean expression evaluator: {0}")]
pub struct FilterError(pub(crate) String);

impl FilterError {
    /// Where it went wrong, without the words about what for.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.0
    }
}

/// An expression that was checked against the fields of `T`; an empty one keeps every row.
#[derive(Debug)]
pub struct Filter<T: ?Sized> {
    root: Option<compile::Node>,
    rows: PhantomData<fn(&T)>,
}

impl<T: Table> Filter<T> {
    /// Reads an expression; an empty text is no filter.
    ///
    /// # Errors
    /// When the text is no expression, names a field that rows do not have, or compares one with
    /// what it cannot be.
    pub fn new(text: &str) -> Result<Self, FilterError> {
        let root = if text.is_empty() {
            None
        } else {
            Some(compile::compile(&expression::parse(text)?, T::SCHEMA)?)
        };
        Ok(Self { root, rows: PhantomData })
    }

    /// Whether every row is kept.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Whether a row stays.
    #[must_use]
    pub fn matches(&self, row: &T) -> bool {
        self.root.as_ref().is_none_or(|root| matching::holds(root, row))
    }

    /// Drops the rows that do not match; the others keep their order.
    pub fn keep<R: Borrow<T>>(&self, rows: &mut Vec<R>) {
        if !self.is_empty() {
            rows.retain(|row| self.matches(row.borrow()));
        }
    }
}
