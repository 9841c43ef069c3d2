//! What can be asked of a server; one file for each resource.

pub(crate) mod acl;
pub(crate) mod acl_auth_method;
pub(crate) mod acl_batch;
mod acl_binding_rule;
pub(crate) mod acl_legacy;
pub(crate) mod acl_login;
pub(crate) mod acl_policy;
pub(crate) mod acl_resolve;
pub(crate) mod acl_role;
pub(crate) mod acl_token;
pub(crate) mod autopilot;
pub(crate) mod catalog;
mod catalog_rights;
mod config_entry;
pub(crate) mod connect_ca;
pub(crate) mod coordinate;
mod discovery_chain;
pub(crate) mod dns;
pub(crate) mod health;
pub(crate) mod intention;
pub(crate) mod kv;
pub(crate) mod operator;
pub(crate) mod prepared_query;
pub(crate) mod session;
pub(crate) mod snapshot;
pub(crate) mod status;
pub(crate) mod txn;

use lictor_filter::{Filter, Table};
use lictor_types::catalog::StringMap;
use lictor_types::error::EndpointError;
use lictor_types::query::QueryOptions;

use crate::cache::push_argument;

/// The filter of a read, checked against the rows that it gives.
fn filter_of<T: Table>(options: &QueryOptions) -> Result<Filter<T>, EndpointError> {
    Filter::new(&options.filter).map_err(|error| EndpointError::refused(error.to_string()))
}

/// Lists, such as tags, as one argument of a query's identity.
fn listed(texts: &[String]) -> String {
    let mut text = String::new();
    texts.iter().for_each(|one| push_argument(&mut text, one));
    text
}

/// Pairs of metadata as one argument of a query's identity.
fn joined(meta: &StringMap) -> String {
    let mut text = String::new();
    for (key, value) in meta {
        push_argument(&mut text, key);
        push_argument(&mut text, value);
    }
    text
}
