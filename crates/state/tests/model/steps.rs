//! Random steps over small alphabets, so that they often meet.
//!
//! An expected index cannot be known beforehand: it is drawn as a code (see [`Expected`]) and
//! filled in by [`resolve`] when its turn comes.

use lictor_types::autopilot::{AutopilotConfig, AutopilotWrite};
use lictor_types::catalog::{Node, ProxyConfig, Service, ServiceConnect, ServiceKind, StringMap};
use lictor_types::check::{HealthCheck, Status};
use lictor_types::command::{
    Command, DeregisterRequest, IntentionPair, IntentionReplica, IntentionWrite,
    PreparedQueryWrite, RegisterRequest, SessionWrite,
};
use lictor_types::config_entry::{ConfigEntry, ConfigEntryWrite, Kind};
use lictor_types::coordinate::{Coordinate, NodeCoordinate};
use lictor_types::intention::{Action, Intention};
use lictor_types::kv::{KvEntry, KvOp, KvWrite};
use lictor_types::prepared_query::{NAME_PREFIX_MATCH, PreparedQuery};
use lictor_types::session::{Session, SessionBehavior};
use lictor_types::timestamp::Timestamp;
use lictor_types::txn::{CatalogVerb, TxnOp, TxnStep, TxnVerb};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use crate::naive::{Naive, pair};
use crate::steps_acl;

pub(crate) const KEYS: [&str; 8] = ["a", "a/1", "a/2", "a/b/1", "a/b/2", "b", "é", "é/x"];
pub(crate) const PREFIXES: [&str; 8] = ["", "a", "a/", "a/b/", "a/b/1", "b", "é", "zz"];
pub(crate) const NODES: [&str; 3] = ["n1", "n2", "n3"];
pub(crate) const NODE_IDS: [&str; 3] =
    ["", "aa000000-0000-0000-0000-000000000000", "aa100000-0000-0000-0000-000000000000"];
/// Names that are asked for; instances also have one in capitals.
pub(crate) const SERVICES: [&str; 4] = ["web", "db", "web-proxy", "never"];
pub(crate) const CHECKS: [&str; 3] = ["c1", "c2", "c3"];
pub(crate) const SESSIONS: [&str; 3] = [
    "11111111-0000-0000-0000-000000000000",
    "22222222-0000-0000-0000-000000000000",
    "33333333-0000-0000-0000-000000000000",
];
pub(crate) const PREPARED: [&str; 3] = [
    "aaaaaaaa-0000-0000-0000-00000000000a",
    "bbbbbbbb-0000-0000-0000-00000000000b",
    "cccccccc-0000-0000-0000-00000000000c",
];
/// Names that prepared queries are asked for by.
pub(crate) const ASKED: [&str; 6] = ["q", "Q-a", "q-ab", "other", "", PREPARED[0]];
pub(crate) const INTENTIONS: [&str; 4] = ["i1", "i2", "i3", "i4"];
/// Sides of an intention: namespace and name.
pub(crate) const SIDES: [(&str, &str); 4] =
    [("*", "*"), ("default", "*"), ("default", "web"), ("default", "db")];

/// Codes that stand for an expected index until it is known.
pub(crate) struct Expected;

impl Expected {
    pub(crate) const NONE: u64 = 0;
    pub(crate) const PRESENT: u64 = 1;
    pub(crate) const STALE: u64 = 2;
}

/// What happens to a store.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A command.
    Apply(Command),
    /// The state is written out, and another store takes it over.
    Restart,
    /// An archive is made and kept.
    Save,
    /// The archive that was kept last is restored.
    Restore,
}

/// Fills in expected indexes, and the index up to which traces are forgotten.
pub(crate) fn resolve(mut command: Command, model: &Naive) -> Command {
    let present = |entry: &mut KvEntry| {
        let now = model.kv.get(&*entry.key).map_or(0, |e| e.modify_index);
        entry.modify_index = match entry.modify_index {
            Expected::PRESENT => now,
            Expected::STALE => now.saturating_sub(1).max(1),
            _ => 0,
        };
    };
    match &mut command {
        Command::Kv(write) => present(&mut write.entry),
        Command::Txn(operations) => operations.iter_mut().for_each(|op| present(&mut op.entry)),
        Command::Acl(write) => steps_acl::resolve(write, model),
        Command::Autopilot(write) => {
            let now = model.autopilot.as_ref().map_or(0, |config| config.modify_index);
            write.cas = write.cas.map(|code| match code {
                Expected::PRESENT => now,
                Expected::STALE => now.saturating_sub(1).max(1),
                _ => 0,
            });
        }
        Command::ConfigEntry(write) => {
            let (kind, name, cas) = match &mut **write {
                ConfigEntryWrite::Upsert { entry, cas } => (entry.kind, &entry.name, cas),
                ConfigEntryWrite::Delete { kind, name, cas } => (*kind, &*name, cas),
                _ => return command,
            };
            let held = model.entries.get(&(kind.as_str(), name.clone()));
            let now = held.map_or(0, |held| held.modify_index);
            *cas = cas.map(|code| match code {
                Expected::PRESENT => now,
                Expected::STALE => now.saturating_sub(1).max(1),
                _ => 0,
            });
        }
        Command::CatalogTxn(steps) => {
            for step in steps {
                let now = model.index_of(step);
                let index = match step {
                    TxnStep::Kv(op) => {
                        present(&mut op.entry);
                        continue;
                    }
                    TxnStep::Node { node, .. } => &mut node.modify_index,
                    TxnStep::Service { service, .. } => &mut service.modify_index,
                    TxnStep::Check { check, .. } => &mut check.modify_index,
                };
                *index = match *index {
                    Expected::PRESENT => now,
                    Expected::STALE => now.saturating_sub(1).max(1),
                    _ => 0,
                };
            }
        }
        Command::ReapTombstones(age) => *age = model.index.saturating_sub(*age),
        _ => {}
    }
    command
}

fn entry() -> impl Strategy<Value = KvEntry> {
    let lockers = [
        SESSIONS[0],
        SESSIONS[1],
        SESSIONS[2],
        "",
        "short",
        "44444444-0000-0000-0000-000000000000",
    ];
    let expected = select(vec![Expected::NONE, Expected::PRESENT, Expected::STALE]);
    (select(&KEYS[..]), select(vec!["", "x", "y"]), 0..2_u64, select(lockers.to_vec()), expected)
        .prop_map(|(key, value, flags, session, modify_index)| KvEntry {
            key: key.into(),
            value: value.into(),
            flags,
            session: session.into(),
            modify_index,
            ..KvEntry::default()
        })
}

fn kv() -> impl Strategy<Value = KvWrite> {
    use KvOp::{Cas, Delete, DeleteCas, DeleteTree, Lock, Set, Unlock};
    let ops = vec![Set, Set, Cas, Lock, Lock, Unlock, Delete, DeleteCas, DeleteTree];
    (select(ops), entry(), select(&PREFIXES[..]), any::<u8>()).prop_map(
        |(op, mut entry, prefix, luck)| {
            if op == DeleteTree {
                entry.key = prefix.into();
            }
            KvWrite { op, entry, lock_delayed: luck < 16 }
        },
    )
}

fn operation() -> impl Strategy<Value = TxnOp> {
    use TxnVerb as V;
    let verbs = vec![
        V::Set,
        V::Set,
        V::Set,
        V::Cas,
        V::Lock,
        V::Unlock,
        V::Get,
        V::GetOrEmpty,
        V::GetTree,
        V::CheckIndex,
        V::CheckSession,
        V::CheckNotExists,
        V::Delete,
        V::DeleteTree,
        V::DeleteCas,
    ];
    (select(verbs), entry(), select(&PREFIXES[..]), any::<u8>()).prop_map(
        |(verb, mut entry, prefix, luck)| {
            if matches!(verb, V::DeleteTree | V::GetTree) {
                entry.key = prefix.into();
            }
            TxnOp { verb, entry, lock_delayed: luck < 16 }
        },
    )
}

pub(crate) fn meta(env: &str) -> StringMap {
    if env.is_empty() {
        StringMap::new()
    } else {
        StringMap::from([("env".to_owned(), env.to_owned())])
    }
}

fn service() -> impl Strategy<Value = Service> {
    let names = select(vec!["web", "Web", "db", "web-proxy"]);
    let tags = select(vec![vec![], vec!["v1"], vec!["v2", "v1"]]);
    (select(vec!["s1", "s2", "s3"]), names, tags, 0..2_u16, 0..5_u8, select(vec!["web", "DB"]))
        .prop_map(|(id, name, tags, port, mesh, destination)| {
            let mut service = Service {
                id: id.into(),
                name: name.into(),
                tags: tags.into_iter().map(str::to_owned).collect(),
                port,
                ..Service::default()
            };
            match mesh {
                0 => service.connect = ServiceConnect { native: true, proxy: None },
                1 => {
                    service.kind = ServiceKind::ConnectProxy;
                    destination.clone_into(&mut service.proxy_destination);
                }
                2 => {
                    service.kind = ServiceKind::ConnectProxy;
                    service.proxy = Some(ProxyConfig {
                        destination_service_name: destination.to_owned(),
                        ..ProxyConfig::default()
                    });
                }
                _ => {}
            }
            service
        })
}

fn check() -> impl Strategy<Value = HealthCheck> {
    let states = vec![Status::Passing, Status::Passing, Status::Warning, Status::Critical];
    let owners = select(vec!["", "", "s1", "s2", "s3"]);
    (select(&CHECKS[..]), owners, select(states), select(vec!["", "out"])).prop_map(
        |(id, service_id, status, output)| HealthCheck {
            check_id: id.into(),
            service_id: service_id.into(),
            status,
            output: output.to_owned(),
            ..HealthCheck::default()
        },
    )
}

fn register() -> impl Strategy<Value = RegisterRequest> {
    let row = (select(&NODES[..]), select(&NODE_IDS[..]), 0..2_u8, select(vec!["", "a", "b"]));
    (row, prop::option::of(service()), vec(check(), 0..3), any::<bool>()).prop_map(
        |((node, id, address, env), service, mut checks, skip_node_update)| {
            // One check twice may go to a service and away again in one command.
            checks.sort_by(|a, b| a.check_id.cmp(&b.check_id));
            checks.dedup_by(|a, b| a.check_id == b.check_id);
            RegisterRequest {
                id: id.to_owned(),
                node: node.into(),
                address: format!("10.0.0.{address}"),
                node_meta: meta(env),
                service,
                checks,
                skip_node_update,
                ..RegisterRequest::default()
            }
        },
    )
}

fn deregister() -> impl Strategy<Value = DeregisterRequest> {
    let services = select(vec!["", "", "s1", "s2", "s3"]);
    let checks = select(vec!["", "c1", "c2", "c3"]);
    (select(&NODES[..]), services, checks).prop_map(|(node, service, check)| DeregisterRequest {
        node: node.into(),
        service_id: service.into(),
        check_id: check.into(),
    })
}

fn session() -> impl Strategy<Value = SessionWrite> {
    let checks = vec(select(&CHECKS[..]), 0..2);
    let create = (select(&SESSIONS[..]), select(&NODES[..]), checks, any::<bool>(), 0..2_i64)
        .prop_map(|(id, node, checks, delete, lock_delay)| {
            SessionWrite::Create(Session {
                id: id.into(),
                node: node.into(),
                checks: checks.into_iter().map(str::to_owned).collect(),
                behavior: if delete { SessionBehavior::Delete } else { SessionBehavior::Release },
                lock_delay,
                ..Session::default()
            })
        });
    let destroy = select(&SESSIONS[..]).prop_map(|id| SessionWrite::Destroy(id.into()));
    prop_oneof![3 => create, 1 => destroy]
}

fn intention() -> impl Strategy<Value = Intention> {
    let sides = (select(&SIDES[..]), select(&SIDES[..]));
    (select(&INTENTIONS[..]), sides, 0..2_i64).prop_map(|(id, (source, destination), time)| {
        Intention {
            id: id.to_owned(),
            description: String::new(),
            source_ns: source.0.to_owned(),
            source_name: source.1.to_owned(),
            destination_ns: destination.0.to_owned(),
            destination_name: destination.1.to_owned(),
            source_type: "consul".to_owned(),
            action: if time == 0 { Action::Allow } else { Action::Deny },
            default_addr: String::new(),
            default_port: 0,
            meta: StringMap::new(),
            precedence: 0,
            created_at: Timestamp(time),
            updated_at: Timestamp(time),
            create_index: 0,
            modify_index: 0,
        }
    })
}

/// What another datacenter decides; it has one intention of an id, and one of a pair.
fn replica() -> impl Strategy<Value = IntentionReplica> {
    (vec(select(&INTENTIONS[..]), 0..2), vec(intention(), 0..4)).prop_map(|(gone, all)| {
        let mut set: Vec<Intention> = Vec::new();
        for one in all {
            if !set.iter().any(|other| other.id == one.id || pair(other) == pair(&one)) {
                set.push(one);
            }
        }
        IntentionReplica { delete: gone.into_iter().map(str::to_owned).collect(), set }
    })
}

fn write_of_intentions() -> impl Strategy<Value = IntentionWrite> {
    let upsert = (intention(), any::<bool>()).prop_map(|(intention, pair)| {
        let intention = Box::new(intention);
        if pair { IntentionWrite::UpsertPair(intention) } else { IntentionWrite::Upsert(intention) }
    });
    let delete = select(&INTENTIONS[..]).prop_map(|id| IntentionWrite::Delete(id.to_owned()));
    let delete_pair = (select(&SIDES[..]), select(&SIDES[..])).prop_map(|(source, destination)| {
        let side = |(ns, name): (&str, &str)| (ns.to_owned(), name.to_owned());
        let pair = IntentionPair { source: side(source), destination: side(destination) };
        IntentionWrite::DeletePair(pair)
    });
    let replicate = replica().prop_map(|replica| IntentionWrite::Replicate(Box::new(replica)));
    prop_oneof![5 => upsert, 1 => delete, 1 => delete_pair, 3 => replicate]
}

fn step_of_txn() -> impl Strategy<Value = TxnStep> {
    use CatalogVerb::{Cas, Delete, DeleteCas, Get, Set};
    let verb = || select(vec![Get, Set, Set, Set, Cas, Cas, Delete, DeleteCas]);
    let expected = || select(vec![Expected::NONE, Expected::PRESENT, Expected::STALE]);
    let on = || (verb(), select(&NODES[..]), expected());
    let node = (on(), select(&NODE_IDS[..]), 0..2_u8).prop_map(
        |((verb, name, modify_index), id, address)| TxnStep::Node {
            verb,
            node: Node {
                id: id.to_owned(),
                name: name.into(),
                address: format!("10.0.0.{address}"),
                modify_index,
                ..Node::default()
            },
        },
    );
    let service = (on(), service()).prop_map(|((verb, node, modify_index), service)| {
        let service = Box::new(Service { modify_index, ..service });
        TxnStep::Service { verb, node: node.into(), service }
    });
    let check = (on(), check()).prop_map(|((verb, node, modify_index), check)| {
        let check = Box::new(HealthCheck { node: node.into(), modify_index, ..check });
        TxnStep::Check { verb, check }
    });
    prop_oneof![operation().prop_map(TxnStep::Kv), node, service, check]
}

fn prepared() -> impl Strategy<Value = PreparedQueryWrite> {
    let names = select(vec!["", "", "q", "q-", "Q-A", "other", PREPARED[0]]);
    let kinds = select(vec!["", NAME_PREFIX_MATCH, NAME_PREFIX_MATCH, "bogus"]);
    let sessions = select(vec!["", "", SESSIONS[0], SESSIONS[1], "short"]);
    let texts = select(vec!["web", "${name.suffix}"]);
    let set = (select(&PREPARED[..]), names, kinds, sessions, texts).prop_map(
        |(id, name, kind, session, text)| {
            let mut query = PreparedQuery { id: id.into(), ..PreparedQuery::default() };
            name.clone_into(&mut query.name);
            kind.clone_into(&mut query.template.kind);
            query.session = session.into();
            text.clone_into(&mut query.service.service);
            PreparedQueryWrite::Set(Box::new(query))
        },
    );
    let delete = select(&PREPARED[..]).prop_map(|id| PreparedQueryWrite::Delete(id.into()));
    prop_oneof![4 => set, 1 => delete]
}

fn coordinate() -> impl Strategy<Value = NodeCoordinate> {
    (select(&NODES[..]), select(vec!["", "a"]), 0..3_u8).prop_map(|(node, segment, adjustment)| {
        let adjustment = f64::from(adjustment);
        let coord = Coordinate { adjustment, ..Coordinate::default() };
        NodeCoordinate { node: node.into(), segment: segment.into(), coord }
    })
}

fn autopilot() -> impl Strategy<Value = AutopilotWrite> {
    let expected = vec![None, Some(Expected::NONE), Some(Expected::PRESENT), Some(Expected::STALE)];
    (select(expected), 0..2_u64).prop_map(|(cas, max_trailing_logs)| AutopilotWrite {
        config: AutopilotConfig { max_trailing_logs, ..AutopilotConfig::default() },
        cas,
    })
}

fn config_entry() -> impl Strategy<Value = ConfigEntry> {
    let defaults = (select(&SERVICES[..]), select(vec!["", "tcp", "http"]));
    let defaults = defaults.prop_map(|(name, protocol)| {
        // What is empty is left out.
        let fields = if protocol.is_empty() { json!({}) } else { json!({ "Protocol": protocol }) };
        let fields = fields.as_object().cloned().unwrap_or_default();
        (Kind::ServiceDefaults, name.to_owned(), fields)
    });
    let global = select(vec!["tcp", "http"]).prop_map(|protocol| {
        let config = json!({ "Config": { "protocol": protocol } });
        (Kind::ProxyDefaults, "global".to_owned(), config.as_object().cloned().unwrap_or_default())
    });
    prop_oneof![3 => defaults, 1 => global].prop_map(|(kind, name, fields)| ConfigEntry {
        kind,
        name,
        fields,
        create_index: 0,
        modify_index: 0,
    })
}

fn write_of_entries() -> impl Strategy<Value = ConfigEntryWrite> {
    let expected = vec![None, Some(Expected::NONE), Some(Expected::PRESENT), Some(Expected::STALE)];
    let write = (config_entry(), select(expected), 0..4_u8).prop_map(|(entry, cas, what)| {
        let (kind, name) = (entry.kind, entry.name.clone());
        match what {
            0 => ConfigEntryWrite::Delete { kind, name, cas },
            _ => ConfigEntryWrite::Upsert { entry: Box::new(entry), cas },
        }
    });
    let replicate =
        (vec(config_entry(), 0..3), vec(config_entry(), 0..3)).prop_map(|(set, gone)| {
            let delete = gone.into_iter().map(|entry| (entry.kind, entry.name)).collect();
            ConfigEntryWrite::Replicate { delete, set }
        });
    let intentions = vec(intention(), 0..3).prop_map(|mut sources: Vec<Intention>| {
        let (ns, name) = ("default", "db");
        for one in &mut sources {
            ns.clone_into(&mut one.source_ns);
            ns.clone_into(&mut one.destination_ns);
            name.clone_into(&mut one.destination_name);
        }
        sources.sort_by(|a, b| a.source_name.cmp(&b.source_name));
        sources.dedup_by(|a, b| a.source_name == b.source_name);
        // New ones have IDs of their own.
        sources.sort_by(|a, b| a.id.cmp(&b.id));
        sources.dedup_by(|a, b| a.id == b.id);
        ConfigEntryWrite::Intentions { name: name.to_owned(), sources, cas: None }
    });
    prop_oneof![5 => write, 1 => replicate, 2 => intentions]
}

/// A command; its expected indexes are still codes.
pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        12 => kv().prop_map(Command::Kv),
        8 => register().prop_map(|r| Command::Register(Box::new(r))),
        3 => deregister().prop_map(Command::Deregister),
        6 => session().prop_map(Command::Session),
        4 => vec(operation(), 1..4).prop_map(Command::Txn),
        4 => vec(step_of_txn(), 1..4).prop_map(Command::CatalogTxn),
        7 => write_of_intentions().prop_map(|w| Command::Intention(Box::new(w))),
        5 => prepared().prop_map(Command::PreparedQuery),
        10 => steps_acl::acl().prop_map(|w| Command::Acl(Box::new(w))),
        3 => vec(coordinate(), 1..3).prop_map(Command::Coordinates),
        6 => write_of_entries().prop_map(|write| Command::ConfigEntry(Box::new(write))),
        2 => autopilot().prop_map(|write| Command::Autopilot(Box::new(write))),
        2 => (0..6_u64).prop_map(Command::ReapTombstones),
        1 => Just(Command::Noop),
    ]
}

/// A life of a store.
pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        40 => command().prop_map(Step::Apply),
        1 => Just(Step::Restart),
        1 => Just(Step::Save),
        1 => Just(Step::Restore),
    ];
    vec(step, 1..most)
}
