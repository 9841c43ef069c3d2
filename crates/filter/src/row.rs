//! The fields of rows of the catalog, and of members, under the names that the HTTP API gives them.

mod catalog;
mod check;
mod intention;
mod member;
