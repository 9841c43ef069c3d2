//! The fields of the catalog's rows, under the names that the HTTP API gives them.

mod catalog;
mod check;
mod intention;
