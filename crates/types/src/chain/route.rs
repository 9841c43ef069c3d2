//! Routes: which requests go where, as an entry defines it and a chain passes it on.

use std::time::Duration;

use serde::Deserialize;

use super::entry::nanoseconds;

/// A route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceRoute {
    /// Which requests; `None` for all.
    #[serde(rename = "Match")]
    pub matches: Option<RouteMatch>,
    /// Where they go; `None` for the service itself.
    pub destination: Option<Destination>,
}

/// What a request must be like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RouteMatch {
    /// Of HTTP.
    #[serde(rename = "HTTP")]
    pub http: Option<HttpMatch>,
}

/// What a request of HTTP must be like. At most one of the paths is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HttpMatch {
    /// The whole path.
    pub path_exact: String,
    /// What the path begins with.
    pub path_prefix: String,
    /// An expression for the path.
    pub path_regex: String,
    /// Conditions on headers, all of which must hold.
    pub header: Vec<HeaderMatch>,
    /// Conditions on parameters of the query, likewise.
    pub query_param: Vec<QueryMatch>,
    /// Methods; empty for any.
    pub methods: Vec<String>,
}

/// A condition on a header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HeaderMatch {
    /// The header.
    pub name: String,
    /// It is there.
    pub present: bool,
    /// Its value is this.
    pub exact: String,
    /// Its value begins so.
    pub prefix: String,
    /// Its value ends so.
    pub suffix: String,
    /// Its value matches this expression.
    pub regex: String,
    /// The contrary.
    pub invert: bool,
}

/// A condition on a parameter of the query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct QueryMatch {
    /// The parameter.
    pub name: String,
    /// It is there.
    pub present: bool,
    /// Its value is this.
    pub exact: String,
    /// Its value matches this expression.
    pub regex: String,
}

/// Where requests go, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Destination {
    /// The service; empty for the one of the router.
    pub service: String,
    /// Which of its subsets, past its splitter; empty for the usual.
    pub service_subset: String,
    /// Its namespace; empty for the router's.
    pub namespace: String,
    /// What takes the place of the prefix that matched.
    pub prefix_rewrite: String,
    /// How long the whole request may take, tries included; zero for no limit.
    #[serde(deserialize_with = "nanoseconds")]
    pub request_timeout: Duration,
    /// How often it is tried again.
    pub num_retries: u32,
    /// Whether it is if no connection could be made.
    pub retry_on_connect_failure: bool,
    /// Or if the answer has one of these codes.
    pub retry_on_status_codes: Vec<u32>,
}
