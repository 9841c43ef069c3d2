//! Every query that an endpoint makes, what it gives, and what its endpoint watches.
//!
//! The topics are those of the endpoints in the `server` crate; a change there is one here.

use std::collections::BTreeMap;
use std::sync::Arc;

use lictor_state::{
    MatchBy, TOKEN_TABLES, Table, TokenFilter, Topic, View, checks_of, config_entry_topics,
};
use lictor_types::Index;
use lictor_types::acl::{AclAuthMethod, AclBindingRule, AclPolicy, AclRole, AclToken};
use lictor_types::autopilot::AutopilotConfig;
use lictor_types::catalog::{CheckServiceNode, Node, NodeInfo, Service, ServiceNode};
use lictor_types::check::{HealthCheck, Status};
use lictor_types::config_entry::{ConfigEntry, Kind};
use lictor_types::coordinate::NodeCoordinate;
use lictor_types::intention::Intention;
use lictor_types::kv::KvEntry;
use lictor_types::prepared_query::PreparedQuery;
use lictor_types::session::Session;
use lictor_types::timestamp::Timestamp;

use crate::naive_prepared::Resolved;
use crate::steps::{
    ASKED, INTENTIONS, KEYS, NODES, PREFIXES, PREPARED, SERVICES, SESSIONS, SIDES, meta,
};
use crate::steps_acl::{ACCESSORS, IDENTITIES, METHODS, NAMES, POLICIES, ROLES, SECRETS};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Query {
    KvGet(&'static str),
    KvList(&'static str),
    KvKeys(&'static str, &'static str),
    Nodes(&'static str),
    Services(&'static str),
    /// By name, or by the beginning of an ID.
    NodeServices(&'static str),
    NodeInfos(Option<&'static str>),
    ServiceNodes(&'static str),
    ConnectNodes(&'static str),
    /// With `true` by mesh name.
    Health(&'static str, bool),
    NodeChecks(&'static str),
    ServiceChecks(&'static str, &'static str),
    InState(Option<Status>),
    Session(&'static str),
    Sessions,
    NodeSessions(&'static str),
    Prepared(&'static str),
    PreparedAll,
    Resolve(&'static str),
    Intention(&'static str),
    Intentions,
    Match(MatchBy, &'static str, &'static str),
    Coordinates,
    NodeCoordinates(&'static str),
    Autopilot,
    ConfigEntries,
    Acl(AclQuery),
}

/// What is asked of access control.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum AclQuery {
    BySecret(&'static str),
    ByAccessor(&'static str),
    Tokens,
    WithPolicy(&'static str),
    WithRole(&'static str),
    OfService(&'static str),
    OfMethod(&'static str),
    /// At most two that ended before then, and the next end.
    Expired(i64),
    Policies,
    PolicyNamed(&'static str),
    Roles,
    RolesWith(&'static str),
    RoleNamed(&'static str),
    Methods,
    Rules(&'static str),
    Bootstrapped,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Entries(Vec<Arc<KvEntry>>),
    Keys(Vec<Arc<str>>),
    Nodes(Vec<Arc<Node>>),
    Names(BTreeMap<Arc<str>, Vec<String>>),
    NodeServices(Option<(Arc<Node>, Vec<Arc<Service>>)>),
    Infos(Vec<NodeInfo>),
    Instances(Vec<ServiceNode>),
    Health(Vec<CheckServiceNode>),
    Checks(Vec<Arc<HealthCheck>>),
    Sessions(Vec<Arc<Session>>),
    Prepared(Vec<Arc<PreparedQuery>>),
    Resolved(Resolved),
    Intentions(Vec<Arc<Intention>>),
    Tokens(Vec<Arc<AclToken>>),
    Expired(Vec<String>, Option<Timestamp>),
    Policies(Vec<Arc<AclPolicy>>),
    Roles(Vec<Arc<AclRole>>),
    Methods(Vec<Arc<AclAuthMethod>>),
    Rules(Vec<Arc<AclBindingRule>>),
    Bootstrapped(Option<Index>),
    Coordinates(Vec<Arc<NodeCoordinate>>),
    Autopilot(Option<Arc<AutopilotConfig>>),
    ConfigEntries(Vec<Arc<ConfigEntry>>),
}

/// Kinds that are asked for: intentions are asked for as such.
const KINDS: [Kind; 2] = [Kind::ProxyDefaults, Kind::ServiceDefaults];

/// Every query over the alphabets of the steps.
pub(crate) fn all() -> Vec<Query> {
    let mut all = vec![Query::Sessions, Query::Intentions, Query::NodeInfos(None)];
    all.extend([Query::Coordinates, Query::Autopilot, Query::ConfigEntries]);
    all.extend(NODES.map(Query::NodeCoordinates));
    all.extend(KEYS.map(Query::KvGet));
    all.extend(PREFIXES.map(Query::KvList));
    all.extend(PREFIXES.map(|prefix| Query::KvKeys(prefix, "/")));
    all.push(Query::KvKeys("a", ""));
    all.extend(["", "a"].map(Query::Nodes));
    all.extend(["", "a"].map(Query::Services));
    all.extend(["n1", "n2", "n3", "aa", "aa1", "a"].map(Query::NodeServices));
    for node in NODES {
        all.extend([Query::NodeInfos(Some(node)), Query::NodeChecks(node)]);
        all.push(Query::NodeSessions(node));
    }
    for name in SERVICES {
        all.extend([Query::ServiceNodes(name), Query::ConnectNodes(name)]);
        all.extend([Query::Health(name, false), Query::Health(name, true)]);
        all.extend(["", "a"].map(|env| Query::ServiceChecks(name, env)));
    }
    all.push(Query::Health("WEB", false));
    let states = [Status::Passing, Status::Warning, Status::Critical].map(Some);
    all.extend(states.into_iter().chain([None]).map(Query::InState));
    all.extend(SESSIONS.map(Query::Session));
    all.push(Query::PreparedAll);
    all.extend(PREPARED.map(Query::Prepared));
    all.extend(ASKED.map(Query::Resolve));
    all.extend(INTENTIONS.map(Query::Intention));
    all.extend(acl().map(Query::Acl));
    for (ns, name) in SIDES {
        all.push(Query::Match(MatchBy::Source, ns, name));
        all.push(Query::Match(MatchBy::Destination, ns, name));
    }
    all
}

fn acl() -> impl Iterator<Item = AclQuery> {
    use AclQuery as Q;
    let all = [Q::Tokens, Q::Policies, Q::Roles, Q::Methods, Q::Rules(""), Q::Bootstrapped];
    all.into_iter()
        .chain([Q::Expired(0), Q::Expired(7), Q::Expired(99)])
        .chain(SECRETS.map(Q::BySecret))
        .chain(ACCESSORS.map(Q::ByAccessor))
        .chain(POLICIES.into_iter().flat_map(|id| [Q::WithPolicy(id), Q::RolesWith(id)]))
        .chain(ROLES.map(Q::WithRole))
        .chain(IDENTITIES.map(Q::OfService))
        .chain(METHODS.into_iter().flat_map(|name| [Q::OfMethod(name), Q::Rules(name)]))
        .chain(NAMES.into_iter().flat_map(|name| [Q::PolicyNamed(name), Q::RoleNamed(name)]))
}

impl AclQuery {
    fn ask(self, view: &View) -> (Index, Answer) {
        let tokens = |filter| with(view.tokens(filter), Answer::Tokens);
        let none = TokenFilter::default();
        match self {
            Self::BySecret(secret) => {
                with(view.token_by_secret(secret), |t| Answer::Tokens(Vec::from_iter(t)))
            }
            Self::ByAccessor(accessor) => {
                with(view.token_by_accessor(accessor), |t| Answer::Tokens(Vec::from_iter(t)))
            }
            Self::Tokens => tokens(none),
            Self::WithPolicy(policy) => tokens(TokenFilter { policy, ..none }),
            Self::WithRole(role) => tokens(TokenFilter { role, ..none }),
            Self::OfService(service) => tokens(TokenFilter { service, ..none }),
            Self::OfMethod(auth_method) => tokens(TokenFilter { auth_method, ..none }),
            Self::Expired(now) => {
                let (over, next) = view.expired_tokens(Timestamp(now), 2);
                (view.table_index(&[Table::AclTokens]), Answer::Expired(over, next))
            }
            Self::Policies => with(view.policies(), Answer::Policies),
            Self::PolicyNamed(name) => {
                with(view.policy_by_name(name), |p| Answer::Policies(Vec::from_iter(p)))
            }
            Self::Roles => with(view.roles(""), Answer::Roles),
            Self::RolesWith(policy) => with(view.roles(policy), Answer::Roles),
            Self::RoleNamed(name) => {
                with(view.role_by_name(name), |r| Answer::Roles(Vec::from_iter(r)))
            }
            Self::Methods => with(view.auth_methods(), Answer::Methods),
            Self::Rules(method) => with(view.binding_rules(method), Answer::Rules),
            // It changes only together with a token.
            Self::Bootstrapped => {
                let index = view.table_index(&[Table::AclTokens]);
                (index, Answer::Bootstrapped(view.acl_bootstrap_index()))
            }
        }
    }

    fn tables(self) -> &'static [Table] {
        match self {
            Self::Policies | Self::PolicyNamed(_) => &[Table::AclPolicies],
            Self::Roles | Self::RolesWith(_) | Self::RoleNamed(_) => {
                &[Table::AclRoles, Table::AclPolicies]
            }
            Self::Methods => &[Table::AclAuthMethods],
            Self::Rules(_) => &[Table::AclBindingRules],
            Self::Expired(_) | Self::Bootstrapped => &[Table::AclTokens],
            _ => &TOKEN_TABLES,
        }
    }
}

/// The queries with their answers and the indexes that the endpoints report.
pub(crate) fn ask_all(view: &View) -> Vec<(Query, Index, Answer)> {
    all().into_iter().map(|query| query.ask(view)).collect()
}

impl Query {
    pub(crate) fn ask(self, view: &View) -> (Self, Index, Answer) {
        let (index, answer) = match self {
            Self::KvGet(key) => {
                with(view.kv_get(key), |e| Answer::Entries(e.into_iter().collect()))
            }
            Self::KvList(prefix) => with(view.kv_list(prefix), Answer::Entries),
            Self::KvKeys(prefix, cut) => with(view.kv_keys(prefix, cut), Answer::Keys),
            Self::Nodes(env) => with(view.nodes(&meta(env)), Answer::Nodes),
            Self::Services(env) => with(view.services(&meta(env)), Answer::Names),
            Self::NodeServices(text) => {
                let (index, by_name) = view.node_services(text);
                let by_id =
                    || view.node_by_id_prefix(text).and_then(|n| view.node_services(&n.name).1);
                (index, Answer::NodeServices(by_name.or_else(by_id)))
            }
            Self::NodeInfos(node) => with(view.node_infos(node), Answer::Infos),
            Self::ServiceNodes(name) => with(view.service_nodes(name), Answer::Instances),
            Self::ConnectNodes(name) => with(view.connect_nodes(name), Answer::Instances),
            Self::Health(name, mesh) => with(view.check_service_nodes(name, mesh), Answer::Health),
            Self::NodeChecks(node) => with(view.node_checks(node), Answer::Checks),
            Self::ServiceChecks(name, env) => {
                with(view.service_checks(name, &meta(env)), Answer::Checks)
            }
            Self::InState(state) => with(view.checks_in_state(state, &meta("")), Answer::Checks),
            Self::Session(id) => with(view.session(id), |s| Answer::Sessions(Vec::from_iter(s))),
            Self::Sessions => with(view.sessions(), Answer::Sessions),
            Self::NodeSessions(node) => with(view.node_sessions(node), Answer::Sessions),
            Self::Prepared(id) => {
                with(view.prepared_query(id), |q| Answer::Prepared(Vec::from_iter(q)))
            }
            Self::PreparedAll => with(view.prepared_queries(), Answer::Prepared),
            Self::Resolve(name) => {
                let found = view.prepared_query_resolve(name, "").map_err(|e| e.to_string());
                (view.table_index(&[Table::PreparedQueries]), Answer::Resolved(found))
            }
            Self::Intention(id) => {
                with(view.intention(id), |i| Answer::Intentions(Vec::from_iter(i)))
            }
            Self::Intentions => with(view.intentions(), Answer::Intentions),
            Self::Acl(query) => query.ask(view),
            Self::Coordinates => with(view.coordinates(), Answer::Coordinates),
            Self::NodeCoordinates(node) => with(view.node_coordinates(node), Answer::Coordinates),
            Self::Autopilot => with(view.autopilot_config(), Answer::Autopilot),
            Self::ConfigEntries => with(view.config_entries(&KINDS), Answer::ConfigEntries),
            Self::Match(by, ns, name) => {
                with(view.intention_match(by, ns, name), Answer::Intentions)
            }
        };
        (self, index, answer)
    }

    /// What the endpoint of this query watches, when it starts to block at `view`.
    pub(crate) fn topics(self, view: &View) -> Vec<Topic> {
        let tables = |tables: &[Table]| tables.iter().map(|t| Topic::Table(*t)).collect::<Vec<_>>();
        let named = |name: &str, mesh: bool, otherwise: &[Table]| {
            let (topic, seen) = if mesh {
                (Topic::Connect(name.to_lowercase().into()), view.connect_index(name))
            } else {
                (Topic::Service(name.to_lowercase().into()), view.service_index(name))
            };
            let mut topics = vec![topic];
            topics.extend(if seen.is_none() { tables(otherwise) } else { Vec::new() });
            topics
        };
        match self {
            Self::KvGet(key) => vec![Topic::KvKey(key.into())],
            Self::KvList(prefix) | Self::KvKeys(prefix, _) => vec![Topic::KvPrefix(prefix.into())],
            Self::Nodes(_) => tables(&[Table::Nodes]),
            Self::Services("") => tables(&[Table::Services]),
            Self::Services(_) => tables(&[Table::Services, Table::Nodes]),
            Self::NodeServices(text) => {
                let mut topics = vec![Topic::Node(text.into())];
                if view.node(text).1.is_none() {
                    topics.extend(tables(&[Table::Nodes, Table::Services]));
                }
                topics
            }
            Self::NodeInfos(None) => tables(&[Table::Nodes, Table::Services, Table::Checks]),
            Self::NodeInfos(Some(node)) | Self::NodeChecks(node) => vec![Topic::Node(node.into())],
            Self::ServiceNodes(name) => named(name, false, &[Table::Nodes, Table::Services]),
            Self::ConnectNodes(name) => named(name, true, &[Table::Nodes, Table::Services]),
            Self::Health(name, mesh) => {
                named(name, mesh, &[Table::Nodes, Table::Services, Table::Checks])
            }
            Self::ServiceChecks(name, env) => named(name, false, checks_of(&meta(env))),
            Self::InState(_) => tables(checks_of(&meta(""))),
            Self::Session(id) => vec![Topic::Session(id.into())],
            Self::Sessions | Self::NodeSessions(_) => tables(&[Table::Sessions]),
            Self::Prepared(id) => vec![Topic::prepared_query(id)],
            Self::PreparedAll | Self::Resolve(_) => tables(&[Table::PreparedQueries]),
            Self::Intention(_) | Self::Intentions => tables(&[Table::ConnectIntentions]),
            Self::Acl(query) => tables(query.tables()),
            Self::Coordinates => tables(&[Table::Coordinates]),
            Self::NodeCoordinates(node) => vec![Topic::Coordinate(node.into())],
            Self::Autopilot => tables(&[Table::AutopilotConfig]),
            Self::ConfigEntries => config_entry_topics(&KINDS),
            Self::Match(by, ns, name) => Topic::intention_match(by, ns, name),
        }
    }
}

fn with<T>((index, found): (Index, T), answer: impl Fn(T) -> Answer) -> (Index, Answer) {
    (index, answer(found))
}
