//! Which path is answered by whom: the table of all endpoints.
//!
//! A path that ends in `/` stands for everything below it; the longest one that fits counts, and
//! the exact one before it. What holds for every request is in [`crate::door`].

use std::collections::HashMap;
use std::time::Instant;

use lictor_metrics::{Handle, Metrics};

use crate::answer::Answer;
use crate::connection::Answering;
use crate::door::{Call, Door};
use crate::request::Method;
use crate::{
    acl, acl_auth, acl_legacy, acl_policy, acl_token, agent, agent_check, agent_connect,
    agent_health, agent_host, agent_service, autopilot, catalog, config_entry, connect_ca,
    coordinate, discovery_chain, event, health, intentions, internal_ui, keyring, kv, metrics,
    operator, prepared_query, session, snapshot, status, txn,
};

/// Answers a request.
pub(crate) type Handler = for<'a> fn(&'a Door, Call<'a>) -> Answering<'a>;

/// An endpoint.
#[derive(Debug)]
pub(crate) struct Route {
    path: &'static str,
    /// Methods in the order of the `Allow` header.
    methods: &'static [(Method, Handler)],
    allow: &'static str,
    /// Answers every method, where which ones are allowed depends on what follows the path.
    whole: Option<Handler>,
}

/// Methods that endpoints which answer every one of them are timed for; others count as the first.
const WHOLE_METHODS: [Method; 4] = [Method::Get, Method::Put, Method::Post, Method::Delete];

/// What there is at a path.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// An endpoint, and what follows its path.
    Endpoint(&'a Endpoint, &'a str),
    /// Nothing, but there are endpoints below it.
    NeedsSlash,
    /// Nothing.
    Nothing,
}

/// An endpoint, and where it is timed.
#[derive(Debug)]
pub(crate) struct Endpoint {
    route: &'static Route,
    /// One for each method.
    timers: Vec<Handle>,
    /// Where calls are counted that the original counts by their result as well.
    counters: Option<Counters>,
}

/// Counters of the calls of an endpoint, and of those that ended well and badly.
#[derive(Debug)]
pub(crate) struct Counters {
    all: Handle,
    success: Handle,
    error: Handle,
}

impl Counters {
    /// For the endpoints of the catalog alone, as in the original.
    fn new(path: &str, metrics: &Metrics, node: &str) -> Option<Self> {
        let name = match path {
            "/v1/catalog/register" => "catalog_register",
            "/v1/catalog/deregister" => "catalog_deregister",
            "/v1/catalog/datacenters" => "catalog_datacenters",
            "/v1/catalog/nodes" => "catalog_nodes",
            "/v1/catalog/services" => "catalog_services",
            "/v1/catalog/service/" => "catalog_service_nodes",
            "/v1/catalog/connect/" => "catalog_connect_service_nodes",
            "/v1/catalog/node/" => "catalog_node_services",
            _ => return None,
        };
        // How those of the mesh end is counted with the others, as there.
        let result = name.replace("_connect_service", "_service");
        let result = &*result;
        let counter = |kind: &str, name: &str| {
            metrics.counter_of(&format!("client.{kind}.{name}"), vec![("node", node.to_owned())])
        };
        Some(Self {
            all: counter("api", name),
            success: counter("api.success", result),
            error: counter("rpc.error", result),
        })
    }

    /// Counts a call that was answered with this status.
    pub(crate) fn count(&self, status: u16) {
        self.all.count();
        match status {
            200 => self.success.count(),
            500.. => self.error.count(),
            _ => {}
        }
    }
}

impl Endpoint {
    fn new(route: &'static Route, metrics: &Metrics, node: &str) -> Self {
        // What varies at the end of a path is not part of the name.
        let place = route.path.trim_start_matches('/').replace('/', ".");
        let place = if place.ends_with('.') { place + "_" } else { place };
        let timer = |method: &Method| metrics.sample(&format!("http.{}.{place}", method.as_str()));
        let timers = match route.whole {
            Some(_) => WHOLE_METHODS.iter().map(timer).collect(),
            None => route.methods.iter().map(|(method, _)| timer(method)).collect(),
        };
        Self { route, timers, counters: Counters::new(route.path, metrics, node) }
    }

    /// The value of the `Allow` header.
    pub(crate) const fn allow(&self) -> &'static str {
        self.route.allow
    }

    /// Where its calls are counted.
    pub(crate) const fn counters(&self) -> Option<&Counters> {
        self.counters.as_ref()
    }

    /// What answers every method, if something does, and where that is timed.
    pub(crate) fn whole(&self, method: &Method) -> Option<(Handler, &Handle)> {
        let at = WHOLE_METHODS.iter().position(|one| one == method).unwrap_or(0);
        self.route.whole.zip(self.timers.get(at))
    }

    /// What answers `method`, and where that is timed.
    pub(crate) fn handler(&self, method: &Method) -> Option<(Handler, &Handle)> {
        let methods = self.route.methods.iter().zip(&self.timers);
        let mut methods = methods.filter(|((one, _), _)| one == method);
        methods.next().map(|((_, handler), timer)| (*handler, timer))
    }
}

/// Finds endpoints by path.
#[derive(Debug)]
pub(crate) struct Router {
    by_path: HashMap<&'static str, Endpoint>,
    /// Most slashes in the path of an endpoint.
    depth: usize,
}

impl Router {
    pub(crate) fn new(metrics: &Metrics, node: &str) -> Self {
        let endpoint = |route: &'static Route| (route.path, Endpoint::new(route, metrics, node));
        let endpoints = ROUTES.iter().map(endpoint);
        let by_path: HashMap<_, _> = endpoints.collect();
        let slashes = |path: &str| path.bytes().filter(|byte| *byte == b'/').count();
        let depth = ROUTES.iter().map(|route| slashes(route.path)).max().unwrap_or(0);
        Self { by_path, depth }
    }

    /// What there is at `path`.
    pub(crate) fn find<'a>(&'a self, path: &'a str) -> Found<'a> {
        if let Some(route) = self.by_path.get(path) {
            return Found::Endpoint(route, "");
        }
        let slashes = path.bytes().enumerate().filter(|(_, byte)| *byte == b'/');
        let mut found = Found::Nothing;
        for (at, _) in slashes.take(self.depth) {
            let (above, rest) = path.split_at(at + 1);
            if let Some(route) = self.by_path.get(above) {
                found = Found::Endpoint(route, rest);
            }
        }
        if matches!(found, Found::Nothing) && self.by_path.contains_key(&*format!("{path}/")) {
            return Found::NeedsSlash;
        }
        found
    }
}

macro_rules! timed {
    ($handler:path) => {
        |door, call| {
            Box::pin(async move {
                let started = Instant::now();
                let answer = $handler(door, call).await.unwrap_or_else(Answer::from);
                call.timer.time(started.elapsed());
                if let Some(counters) = call.counters {
                    counters.count(answer.status);
                }
                answer
            })
        }
    };
}

macro_rules! route {
    ($path:literal, $($method:ident $name:literal => $handler:path),+) => {
        Route {
            path: $path,
            methods: &[$((Method::$method, timed!($handler))),+],
            allow: concat!("OPTIONS" $(, ",", $name)+),
            whole: None,
        }
    };
    ($path:literal, ANY $any:path) => {
        Route {
            path: $path,
            methods: &[],
            allow: "",
            whole: Some(timed!($any)),
        }
    };
    ($path:literal, GET $get:path) => { route!($path, Get "GET" => $get) };
    ($path:literal, PUT $put:path) => { route!($path, Put "PUT" => $put) };
    ($path:literal, POST $post:path) => { route!($path, Post "POST" => $post) };
    ($path:literal, DELETE $delete:path) => { route!($path, Delete "DELETE" => $delete) };
    ($path:literal, GET $get:path, PUT $put:path) => {
        route!($path, Get "GET" => $get, Put "PUT" => $put)
    };
    ($path:literal, GET $get:path, DELETE $delete:path) => {
        route!($path, Get "GET" => $get, Delete "DELETE" => $delete)
    };
    ($path:literal, GET $get:path, POST $post:path) => {
        route!($path, Get "GET" => $get, Post "POST" => $post)
    };
    ($path:literal, GET $get:path, POST $post:path, PUT $put:path, DELETE $delete:path) => {
        route!($path, Get "GET" => $get, Post "POST" => $post, Put "PUT" => $put,
            Delete "DELETE" => $delete)
    };
    ($path:literal, GET $get:path, PUT $put:path, DELETE $delete:path) => {
        route!($path, Get "GET" => $get, Put "PUT" => $put, Delete "DELETE" => $delete)
    };
}

static ROUTES: &[Route] = &[
    route!("/v1/acl/auth-method", PUT acl_auth::method_put),
    route!("/v1/acl/auth-method/",
        GET acl_auth::method_get, PUT acl_auth::method_put, DELETE acl_auth::method_delete),
    route!("/v1/acl/auth-methods", GET acl_auth::methods),
    route!("/v1/acl/binding-rule", PUT acl_auth::rule_put),
    route!("/v1/acl/binding-rule/",
        GET acl_auth::rule_get, PUT acl_auth::rule_put, DELETE acl_auth::rule_delete),
    route!("/v1/acl/binding-rules", GET acl_auth::rules),
    route!("/v1/acl/bootstrap", PUT acl::bootstrap),
    route!("/v1/acl/clone/", PUT acl_legacy::copy),
    route!("/v1/acl/create", PUT acl_legacy::create),
    route!("/v1/acl/destroy/", PUT acl_legacy::destroy),
    route!("/v1/acl/info/", GET acl_legacy::info),
    route!("/v1/acl/list", GET acl_legacy::list),
    route!("/v1/acl/login", POST acl_auth::login),
    route!("/v1/acl/logout", POST acl_auth::logout),
    route!("/v1/acl/policies", GET acl_policy::list),
    route!("/v1/acl/policy", PUT acl_policy::create),
    route!("/v1/acl/policy/",
        GET acl_policy::get, PUT acl_policy::put, DELETE acl_policy::delete),
    route!("/v1/acl/policy/name/", GET acl_policy::get_by_name),
    route!("/v1/acl/replication", GET acl::replication),
    route!("/v1/acl/role", PUT acl_policy::role_put),
    route!("/v1/acl/role/",
        GET acl_policy::role_get, PUT acl_policy::role_put, DELETE acl_policy::role_delete),
    route!("/v1/acl/role/name/", GET acl_policy::role_get_by_name),
    route!("/v1/acl/roles", GET acl_policy::roles),
    route!("/v1/acl/rules/translate", POST acl::translate),
    route!("/v1/acl/rules/translate/", GET acl::translate_token),
    route!("/v1/acl/token", PUT acl_token::create),
    route!("/v1/acl/token/",
        GET acl_token::get, PUT acl_token::put, DELETE acl_token::delete),
    route!("/v1/acl/token/self", GET acl_token::own),
    route!("/v1/acl/tokens", GET acl_token::list),
    route!("/v1/acl/update", PUT acl_legacy::update),
    route!("/v1/agent/check/deregister/", PUT agent_check::deregister),
    route!("/v1/agent/check/fail/", PUT agent_check::fail),
    route!("/v1/agent/check/pass/", PUT agent_check::pass),
    route!("/v1/agent/check/register", PUT agent_check::register),
    route!("/v1/agent/check/update/", PUT agent_check::update),
    route!("/v1/agent/check/warn/", PUT agent_check::warn),
    route!("/v1/agent/checks", GET agent_check::list),
    route!("/v1/agent/connect/authorize", POST agent_connect::authorize),
    route!("/v1/agent/connect/ca/leaf/", GET agent_connect::leaf),
    route!("/v1/agent/connect/ca/roots", GET agent_connect::roots),
    route!("/v1/agent/connect/proxy/", GET agent_connect::proxy),
    route!("/v1/agent/force-leave/", PUT agent::force_leave),
    route!("/v1/agent/health/service/id/", GET agent_health::by_id),
    route!("/v1/agent/health/service/name/", GET agent_health::by_name),
    route!("/v1/agent/host", GET agent_host::show),
    route!("/v1/agent/join/", PUT agent::join),
    route!("/v1/agent/leave", PUT agent::leave),
    route!("/v1/agent/maintenance", PUT agent::maintenance),
    route!("/v1/agent/members", GET agent::members),
    route!("/v1/agent/metrics", GET metrics::show),
    route!("/v1/agent/monitor", GET agent::monitor),
    route!("/v1/agent/reload", PUT agent::reload),
    route!("/v1/agent/self", GET agent::itself),
    route!("/v1/agent/service/", GET agent_service::one),
    route!("/v1/agent/service/deregister/", PUT agent_service::deregister),
    route!("/v1/agent/service/maintenance/", PUT agent_service::maintenance),
    route!("/v1/agent/service/register", PUT agent_service::register),
    route!("/v1/agent/services", GET agent_service::list),
    route!("/v1/agent/token/", PUT agent::set_token),
    route!("/v1/catalog/connect/", GET catalog::connect_nodes),
    route!("/v1/catalog/datacenters", GET catalog::datacenters),
    route!("/v1/catalog/deregister", PUT catalog::deregister),
    route!("/v1/catalog/gateway-services/", GET config_entry::gateway_services),
    route!("/v1/catalog/node/", GET catalog::node_services),
    route!("/v1/catalog/node-services/", GET catalog::node_service_list),
    route!("/v1/catalog/nodes", GET catalog::nodes),
    route!("/v1/catalog/register", PUT catalog::register),
    route!("/v1/catalog/service/", GET catalog::service_nodes),
    route!("/v1/catalog/services", GET catalog::services),
    route!("/v1/config", PUT config_entry::put),
    route!("/v1/config/", GET config_entry::get, DELETE config_entry::delete),
    route!("/v1/connect/ca/configuration",
        GET connect_ca::configuration, PUT connect_ca::set_configuration),
    route!("/v1/connect/ca/roots", GET connect_ca::roots),
    route!("/v1/connect/intentions", GET intentions::list, POST intentions::create),
    route!("/v1/connect/intentions/",
        GET intentions::get, PUT intentions::update, DELETE intentions::delete),
    route!("/v1/connect/intentions/check", GET intentions::check),
    route!("/v1/connect/intentions/exact", GET intentions::get_exact,
        PUT intentions::put_exact, DELETE intentions::delete_exact),
    route!("/v1/connect/intentions/match", GET intentions::matching),
    route!("/v1/coordinate/datacenters", GET coordinate::datacenters),
    route!("/v1/coordinate/node/", GET coordinate::node),
    route!("/v1/coordinate/nodes", GET coordinate::nodes),
    route!("/v1/coordinate/update", PUT coordinate::update),
    route!("/v1/discovery-chain/", GET discovery_chain::get, POST discovery_chain::post),
    route!("/v1/event/fire/", PUT event::fire),
    route!("/v1/event/list", GET event::list),
    route!("/v1/health/checks/", GET health::service_checks),
    route!("/v1/health/connect/", GET health::connect),
    route!("/v1/health/ingress/", GET health::ingress),
    route!("/v1/health/node/", GET health::node),
    route!("/v1/health/service/", GET health::service),
    route!("/v1/health/state/", GET health::state),
    route!("/v1/internal/acl/authorize", POST acl::authorize),
    route!("/v1/internal/ui/node/", GET internal_ui::node),
    route!("/v1/internal/ui/nodes", GET internal_ui::nodes),
    route!("/v1/internal/ui/services", GET internal_ui::services),
    route!("/v1/kv/", GET kv::get, PUT kv::put, DELETE kv::delete),
    route!("/v1/operator/autopilot/configuration",
        GET autopilot::configuration, PUT autopilot::set_configuration),
    route!("/v1/operator/autopilot/health", GET autopilot::health),
    route!("/v1/operator/autopilot/state", GET autopilot::state),
    route!("/v1/operator/keyring", GET keyring::list, POST keyring::install,
        PUT keyring::primary, DELETE keyring::remove),
    route!("/v1/operator/raft/configuration", GET operator::raft_configuration),
    route!("/v1/operator/raft/peer", DELETE operator::raft_remove_peer),
    route!("/v1/operator/raft/transfer-leader", POST operator::raft_transfer_leader),
    route!("/v1/operator/usage", GET operator::usage),
    route!("/v1/query", GET prepared_query::list, POST prepared_query::create),
    route!("/v1/query/", ANY prepared_query::one),
    route!("/v1/session/create", PUT session::create),
    route!("/v1/session/destroy/", PUT session::destroy),
    route!("/v1/session/info/", GET session::info),
    route!("/v1/session/list", GET session::list),
    route!("/v1/session/node/", GET session::node),
    route!("/v1/session/renew/", PUT session::renew),
    route!("/v1/snapshot", GET snapshot::save, PUT snapshot::restore),
    route!("/v1/status/leader", GET status::leader),
    route!("/v1/status/peers", GET status::peers),
    route!("/v1/txn", PUT txn::execute),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Option<(&'static str, String)> {
        match Router::new(&Metrics::default(), "n").find(path) {
            Found::Endpoint(found, rest) => Some((found.route.path, rest.to_owned())),
            Found::NeedsSlash => Some(("slash", String::new())),
            Found::Nothing => None,
        }
    }

    #[test]
    fn the_most_specific_endpoint_is_found() {
        for (path, route, rest) in [
            ("/v1/kv/", "/v1/kv/", ""),
            ("/v1/kv/a/b/c/d/e/f/g/h/i", "/v1/kv/", "a/b/c/d/e/f/g/h/i"),
            ("/v1/connect/intentions", "/v1/connect/intentions", ""),
            ("/v1/connect/intentions/match", "/v1/connect/intentions/match", ""),
            ("/v1/connect/intentions/matches", "/v1/connect/intentions/", "matches"),
            ("/v1/agent/connect/ca/leaf/web", "/v1/agent/connect/ca/leaf/", "web"),
            ("/v1/kv", "slash", ""),
        ] {
            assert_eq!(found(path), Some((route, rest.to_owned())), "{path}");
        }
        for path in ["/", "/v1/", "/v1", "/v2/kv/x", "/v1/agent/self/", "/v1/nosuch"] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn each_path_is_there_once_and_tells_its_methods() {
        let metrics = Metrics::default();
        let router = Router::new(&metrics, "n");
        assert_eq!(router.by_path.len(), ROUTES.len());
        let Found::Endpoint(route, _) = router.find("/v1/kv/x") else { panic!("no kv") };
        assert_eq!(route.allow(), "OPTIONS,GET,PUT,DELETE");
        assert!(route.handler(&Method::Get).is_some() && route.handler(&Method::Post).is_none());
        if let Some((_, timer)) = route.handler(&Method::Get) {
            timer.count();
        }
        assert_eq!(metrics.last_interval().1[0].name, "http.GET.v1.kv._");
    }

    /// Every endpoint is in `docs/coverage.md`, and no other one is said to be there.
    #[test]
    fn endpoints_are_documented() {
        lictor_testkit::check_coverage("Endpoints", |rows| {
            let path = |route: &Route| format!("`{}`", route.path);
            let here = |row: &Vec<String>| ROUTES.iter().any(|route| path(route) == row[0]);
            let missing = |row: &&Vec<String>| !here(row) && row.last().is_some_and(|s| s != "yes");
            let mut all: Vec<_> = rows.iter().filter(missing).cloned().collect();
            for route in ROUTES {
                let methods = match route.whole {
                    Some(_) => "by what follows".to_owned(),
                    None => route.allow.trim_start_matches("OPTIONS,").replace(',', " "),
                };
                all.push(vec![path(route), methods, "yes".to_owned()]);
            }
            all.sort();
            all
        });
    }
}
