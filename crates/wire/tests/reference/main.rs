//! The original takes our requests, and we take its replies: every method that a version has is
//! asked of a running server, `CONSUL_REFERENCE=/path/to/consul[:/path/to/another]`.
//!
//! It runs as a development server on free ports, once without access control and once with it.

mod mesh;
mod server;

use lictor_rpc::message::Splitter;
use lictor_testkit::wait_for;
use lictor_types::acl::{AclPolicy, AclQuestion, AclRole, AclToken, LegacyAcl, TokenRequest};
use lictor_types::catalog::{Service, ServiceKind, StringMap};
use lictor_types::check::{HealthCheck, Status};
use lictor_types::command::{DeregisterRequest, RegisterRequest, SessionWrite};
use lictor_types::coordinate::NodeCoordinate;
use lictor_types::kv::{KvEntry, KvOp, KvWrite};
use lictor_types::query::QueryOptions;
use lictor_types::session::Session;
use lictor_types::txn::{TxnOp, TxnRow, TxnStep, TxnVerb};
use lictor_wire::acl_token::TokenArgs;
use lictor_wire::catalog::{NodeArgs, NodesArgs, ServiceArgs};
use lictor_wire::health::StateArgs;
use lictor_wire::internal::{DumpArgs, EventArgs, KeyringArgs};
use lictor_wire::session::SessionArgs;
use lictor_wire::snapshot::{SnapshotOp, SnapshotReply, SnapshotRequest};
use lictor_wire::txn::Steps;
use lictor_wire::{
    Message as _, ReadRequest, WriteRequest, acl, acl_legacy, acl_token, catalog, coordinate,
    health, internal, kv, operator, session, status, txn,
};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use crate::server::{Reference, asked, each, read, written};

pub(crate) const SOON: Duration = Duration::from_secs(30);
pub(crate) const MASTER: &str = "5ca1ab1e-0000-4000-8000-000000000001";

fn node() -> NodeArgs {
    NodeArgs { node: "n1".into() }
}

fn service(name: &str) -> ServiceArgs {
    ServiceArgs { name: name.into(), ..ServiceArgs::default() }
}

fn web() -> Service {
    Service {
        id: "web1".into(),
        name: "web".into(),
        tags: vec!["a".into(), "b".into()],
        port: 8080,
        meta: StringMap::from([("k".into(), "v".into())]),
        ..Service::default()
    }
}

fn check(service_id: &str) -> HealthCheck {
    HealthCheck {
        node: "n1".into(),
        check_id: "c1".into(),
        name: "C".into(),
        status: Status::Passing,
        service_id: service_id.into(),
        output: "fine".into(),
        ..HealthCheck::default()
    }
}

#[test]
fn catalog_and_health() {
    each("catalog_and_health", |path| {
        let reference = Reference::start(path, false);
        let register = |service, checks| {
            reference.call::<catalog::Register>(&written(RegisterRequest {
                node: "n1".into(),
                address: "10.0.0.1".into(),
                id: "5ca1ab1e-0000-4000-8000-0000000000a1".into(),
                node_meta: StringMap::from([("rack".into(), "r1".into())]),
                service,
                checks,
                ..RegisterRequest::default()
            }));
        };
        register(Some(web()), vec![check("web1")]);
        let proxy = Service {
            kind: ServiceKind::ConnectProxy,
            id: "web1-proxy".into(),
            name: "web-proxy".into(),
            port: 8081,
            proxy_destination: "web".into(),
            ..Service::default()
        };
        register(Some(proxy), Vec::new());

        let some = NodesArgs {
            meta: StringMap::from([("rack".into(), "r1".into())]),
            ..NodesArgs::default()
        };
        let nodes = reference.call::<catalog::ListNodes>(&asked(some.clone()));
        assert_eq!(nodes.result.value.len(), 1);
        assert_eq!(nodes.result.value[0].address, "10.0.0.1");
        assert!(nodes.meta.index > 0 && nodes.meta.known_leader);
        let services = reference.call::<catalog::ListServices>(&asked(some)).result.value.clone();
        assert_eq!(services["web"].len(), 2);
        let names = reference.call::<catalog::ListDatacenters>(&asked(()));
        assert_eq!(names, ["dc1"]);
        let tagged =
            |tag: &str| ServiceArgs { tags: [tag.to_owned()][..].into(), ..service("web") };
        let rows = reference.call::<catalog::ServiceNodes>(&asked(tagged("b")));
        assert_eq!(rows.result.value[0].service.tags, ["a", "b"]);
        assert_eq!(rows.result.value[0].node.meta["rack"], "r1");
        let none = reference.call::<catalog::ServiceNodes>(&asked(tagged("c")));
        assert!(none.result.value.is_empty());
        // Whichever way a version has the destination of a proxy, it was understood.
        let connect = || ServiceArgs { connect: true, ..service("web") };
        let rows = reference.call::<catalog::ServiceNodes>(&asked(connect()));
        let of = |service: &Service| service.connect_name().map(str::to_owned);
        assert_eq!(of(&rows.result.value[0].service).as_deref(), Some("web"));
        let found = reference.call::<catalog::NodeServicesById>(&asked(node()));
        let (of_node, services) = found.result.value.clone().expect("the node");
        assert_eq!((&*of_node.name, services.len()), ("n1", 2));
        let missing = NodeArgs { node: "nobody".into() };
        let found = reference.call::<catalog::NodeServicesById>(&asked(missing));
        assert_eq!(found.result.value, None);
        if reference.later {
            let list = reference.call::<catalog::NodeServiceList>(&asked(node()));
            assert_eq!(list.result.value.0.as_ref().expect("the node").1.len(), 2);
        } else {
            let missing = "rpc: can't find method";
            reference.refused::<catalog::NodeServiceList>(&asked(node()), missing);
        }

        let checks = reference.call::<health::NodeChecks>(&asked(node()));
        assert_eq!(checks.result.value[0].output, "fine");
        let checks = reference.call::<health::ServiceChecks>(&asked(service("web")));
        assert_eq!(&*checks.result.value[0].service_name, "web");
        let state = StateArgs { state: "passing".into(), ..StateArgs::default() };
        let checks = reference.call::<health::ChecksInState>(&asked(state));
        assert!(checks.result.value.iter().any(|check| &*check.check_id == "c1"));
        let rows = reference.call::<health::ServiceNodes>(&asked(tagged("a")));
        assert_eq!(rows.result.value[0].checks.len(), 1);
        let rows = reference.call::<health::ServiceNodes>(&asked(connect()));
        assert_eq!(rows.result.value.len(), 1);

        let info = reference.call::<internal::NodeInformation>(&asked(node()));
        assert_eq!(info.result.value[0].services.len(), 2);
        let dump = reference.call::<internal::NodeDump>(&asked(NodesArgs::default()));
        assert_eq!(dump.result.value.len(), 2);
        if reference.later {
            let dump = reference.call::<internal::ServiceDump>(&asked(DumpArgs::default()));
            assert!(dump.result.value.len() >= 2);
        }
        let update = NodeCoordinate { node: "n1".into(), ..NodeCoordinate::default() };
        reference.call::<coordinate::Update>(&written(update));
        reference.call::<coordinate::ListNodes>(&asked(()));
        reference.call::<coordinate::Node>(&asked(node()));
        let maps = reference.call::<coordinate::ListDatacenters>(&());
        assert_eq!(maps[0].datacenter, "dc1");

        let gone = DeregisterRequest { node: "n1".into(), ..DeregisterRequest::default() };
        reference.call::<catalog::Deregister>(&written(gone));
        let checks = reference.call::<health::NodeChecks>(&asked(node()));
        assert!(checks.result.value.is_empty());
    });
}

fn entry(key: &str, value: &str) -> KvEntry {
    KvEntry { key: key.into(), value: value.to_owned().into(), ..KvEntry::default() }
}

#[test]
fn keys_sessions_and_transactions() {
    each("keys_sessions_and_transactions", |path| {
        let reference = Reference::start(path, false);
        let write = |op, entry| {
            let change = KvWrite { op, entry, lock_delayed: false };
            kv::verdict(op, reference.call::<kv::Apply>(&written(change)))
        };
        assert!(write(KvOp::Set, entry("a/b", "1")));
        assert!(write(KvOp::Set, entry("a/c/d", "")));
        assert!(!write(KvOp::Cas, KvEntry { modify_index: 1, ..entry("a/b", "2") }));
        let key = |key: &str| kv::Key { key: key.into() };
        let got = reference.call::<kv::Get>(&asked(key("a/b")));
        assert_eq!(&got.result.value.as_ref().expect("the key").value[..], b"1");
        let got = reference.call::<kv::Get>(&asked(key("nothing")));
        assert_eq!(got.result.value, None);
        let list = reference.call::<kv::List>(&asked(key("a/")));
        assert_eq!(list.result.value.len(), 2);
        let keys = kv::Keys { prefix: "a/".into(), separator: "/".into() };
        let keys = reference.call::<kv::ListKeys>(&asked(keys));
        assert_eq!(keys.result.value.iter().map(|key| &**key).collect::<Vec<_>>(), ["a/b", "a/c/"]);

        let session = Session { node: "ref".into(), ttl: "60s".into(), ..Session::default() };
        let create = SessionWrite::Create(session);
        let id = reference.call::<session::Apply>(&written(create));
        assert_eq!(id.len(), 36);
        let held = KvEntry { session: id.clone(), ..entry("lock", "x") };
        assert!(write(KvOp::Lock, held.clone()));
        let args = || SessionArgs { id: id.to_string() };
        let got = reference.call::<session::Get>(&asked(args()));
        assert_eq!(got.result.value.as_ref().expect("the session").ttl, "60s");
        let renewed = reference.call::<session::Renew>(&asked(args()));
        assert!(renewed.result.value.is_some());
        assert_eq!(reference.call::<session::List>(&asked(())).result.value.len(), 1);
        let of_node = NodeArgs { node: "ref".into() };
        let sessions = reference.call::<session::NodeSessions>(&asked(of_node));
        assert_eq!(sessions.result.value.len(), 1);
        assert!(write(KvOp::Unlock, held));
        reference.call::<session::Apply>(&written(SessionWrite::Destroy(id.clone())));
        assert_eq!(reference.call::<session::Get>(&asked(args())).result.value, None);

        let step = |verb, entry| TxnStep::Kv(TxnOp { verb, entry, lock_delayed: false });
        let steps = Steps {
            steps: vec![step(TxnVerb::Set, entry("t", "1")), step(TxnVerb::Get, entry("t", ""))],
        };
        let done = reference.call::<txn::Apply>(&written(steps));
        let [_, TxnRow::Kv(read)] = &done.results[..] else { panic!("{done:?}") };
        assert_eq!(&read.value[..], b"1");
        let steps = Steps { steps: vec![step(TxnVerb::Get, entry("t", ""))] };
        let done = reference.call::<txn::Read>(&asked(steps));
        assert!(done.meta.is_some() && done.results.len() == 1);
        let steps = Steps { steps: vec![step(TxnVerb::Get, entry("no", ""))] };
        let failed = reference.call::<txn::Apply>(&written(steps));
        assert_eq!(failed.errors[0].op_index, 0);

        let snapshot =
            |op| SnapshotRequest { op, datacenter: "dc1".into(), ..SnapshotRequest::default() };
        let mut stream = reference.connect();
        let request = snapshot(SnapshotOp::Save).encode().expect("it can be written");
        stream.write_all(&[&[5], &request[..]].concat()).expect("it is taken");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the archive");
        let mut splitter = Splitter::default();
        splitter.buffer().extend_from_slice(&answer);
        let head = splitter.next_value().expect("a value").expect("a head");
        let reply = SnapshotReply::decode(&head).expect("a reply");
        assert!(reply.error.is_empty() && reply.meta.index > 0, "{reply:?}");
        let archive = &answer[head.len()..];
        assert!(archive.starts_with(&[0x1f, 0x8b]));
        let mut stream = reference.connect();
        let request = snapshot(SnapshotOp::Restore).encode().expect("it can be written");
        stream.write_all(&[&[5], &request[..], archive].concat()).expect("it is taken");
        stream.shutdown(std::net::Shutdown::Write).expect("the end is told");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the reply");
        assert_eq!(SnapshotReply::decode(&answer).expect("a reply").error, "");
    });
}

#[test]
fn servers_and_operators() {
    each("servers_and_operators", |path| {
        let reference = Reference::start(path, false);
        reference.call::<status::Ping>(&());
        let leader = reference.call::<status::Leader>(&asked(()));
        assert_eq!(leader, format!("127.0.0.1:{}", reference.port));
        assert_eq!(reference.call::<status::Peers>(&asked(())), std::slice::from_ref(&leader));
        let log = reference.call::<status::RaftStats>(&());
        assert!(log.last_index > 0 && log.last_contact == "0");
        let group = reference.call::<operator::RaftGetConfiguration>(&asked(()));
        assert!(group.servers[0].leader && group.servers[0].address == leader);
        let nobody = || operator::PeerArgs { address: "10.0.0.9:1".into(), id: String::new() };
        let reason = "was not found in the Raft configuration";
        reference.refused::<operator::RaftRemovePeerByAddress>(&written(nobody()), reason);
        let nobody = operator::PeerArgs { address: String::new(), id: "nobody".into() };
        reference.refused::<operator::RaftRemovePeerByID>(&written(nobody), reason);
        let config = reference.call::<operator::AutopilotGetConfiguration>(&asked(()));
        assert_eq!(config.max_trailing_logs, 250);
        let set = |cas| lictor_types::autopilot::AutopilotWrite { config: config.clone(), cas };
        let reply = reference.call::<operator::AutopilotSetConfiguration>(&written(set(Some(1))));
        assert!(!reply);
        let seen = Some(config.modify_index);
        let reply = reference.call::<operator::AutopilotSetConfiguration>(&written(set(seen)));
        assert!(reply);
        let health = wait_for("autopilot has looked", SOON, || {
            let health = reference.call::<operator::Health>(&asked(()));
            (!health.servers.is_empty()).then_some(health)
        });
        assert!(health.servers[0].serf_status == "alive" && health.servers[0].leader);
        if reference.later {
            let state = reference.call::<operator::AutopilotState>(&asked(())).0;
            assert!(state.servers[0].leader && state.servers[0].log.last_index > 0, "{state:?}");
        }
        let event = EventArgs { name: "deploy".into(), payload: vec![0x80].into() };
        reference.call::<internal::EventFire>(&asked(event));
        let keys = KeyringArgs { forwarded: true, ..KeyringArgs::default() };
        let replies = reference.call::<internal::Keyring>(&asked(keys));
        assert!(replies.result.value.iter().any(|reply| reply.datacenter == "dc1"));
    });
}

#[test]
fn access_control() {
    each("access_control", |path| {
        let reference = Reference::start(path, true);
        fn own<A>(args: A) -> ReadRequest<A> {
            read(MASTER, args)
        }
        fn set<A>(args: A) -> WriteRequest<A> {
            WriteRequest::new("dc1", MASTER, args)
        }
        reference.refused::<kv::Get>(
            &ReadRequest {
                options: QueryOptions { token: "no".into(), ..own(()).options },
                args: kv::Key::default(),
            },
            "ACL not found",
        );
        // Of both.
        let policy = |id: &str, etag: &str| {
            own(acl_legacy::PolicyQuestion { id: id.into(), etag: etag.into() })
        };
        let resolved = reference.call::<acl_legacy::GetPolicy>(&policy(MASTER, ""));
        let resolved = resolved.result.value.clone();
        assert_eq!(resolved.parent, "manage");
        assert_eq!(resolved.ttl, Duration::from_secs(30));
        let again = reference.call::<acl_legacy::GetPolicy>(&policy(MASTER, &resolved.etag));
        assert_eq!(again.result.value.policy, None);
        let acl = LegacyAcl {
            name: "old".into(),
            kind: "client".into(),
            rules: "key \"a\" { policy = \"read\" }".into(),
            ..LegacyAcl::default()
        };
        let change = |op, acl| set(acl_legacy::AclChange { op, acl });
        let old = reference.call::<acl_legacy::Apply>(&change(acl_legacy::AclOp::Set, acl.clone()));
        let args = acl_legacy::AclArgs { id: old.clone() };
        let got = reference.call::<acl_legacy::Get>(&own(args));
        assert_eq!(got.result.value.as_ref().expect("the token").name, "old");
        assert!(reference.call::<acl_legacy::List>(&own(())).result.value.len() >= 2);
        let rules = reference.call::<acl_legacy::GetPolicy>(&policy(&old, ""));
        let rules = rules.result.value.policy.clone().expect("rules");
        assert_eq!((&*rules.keys[0].prefix, &*rules.keys[0].policy), ("a", "read"));
        let gone = LegacyAcl { id: old, ..LegacyAcl::default() };
        reference.call::<acl_legacy::Apply>(&change(acl_legacy::AclOp::Delete, gone));
        assert!(!reference.call::<acl::ReplicationStatus>(&own(())).running);
        assert!(reference.try_call::<acl_legacy::Bootstrap>(&own(())).is_err());
        if !reference.later {
            let missing = "rpc: can't find method";
            let args = TokenArgs { id: MASTER.into(), by_secret: true };
            reference.refused::<acl_token::TokenRead>(&own(args), missing);
            return;
        }

        let policy = AclPolicy {
            name: "p".into(),
            rules: "key_prefix \"a\" { policy = \"read\" }".into(),
            ..AclPolicy::default()
        };
        let policy = reference.call::<acl::PolicySet>(&set(acl::PolicyChange { policy }));
        assert_eq!(policy.hash.len(), 32);
        let ids = || acl::PolicyIds { ids: vec![policy.id.clone()] };
        let args = acl::PolicyArgs { id: policy.id.clone(), name: String::new() };
        let got = reference.call::<acl::PolicyRead>(&own(args));
        assert_eq!(got.result.value.as_ref(), Some(&policy));
        let got = reference.call::<acl::PolicyBatchRead>(&own(ids()));
        assert_eq!(got.result.value.0[0].rules, policy.rules);
        let list = reference.call::<acl::PolicyList>(&own(()));
        assert!(list.result.value.iter().any(|one| one.name == "p" && one.rules.is_empty()));

        let link = lictor_types::acl::AclLink { id: policy.id.clone(), name: String::new() };
        let role = AclRole { name: "r".into(), policies: vec![link.clone()], ..AclRole::default() };
        let role = reference.call::<acl::RoleSet>(&set(acl::RoleChange { role }));
        let args = acl::RoleArgs { id: String::new(), name: "r".into() };
        let got = reference.call::<acl::RoleRead>(&own(args));
        assert_eq!(got.result.value.as_ref(), Some(&role));
        let ids_of_role = || acl::RoleIds { ids: vec![role.id.clone()] };
        assert_eq!(reference.call::<acl::RoleBatchRead>(&own(ids_of_role())).result.value.len(), 1);
        let with = acl::WithPolicy { policy: policy.id.clone() };
        assert_eq!(reference.call::<acl::RoleList>(&own(with)).result.value.len(), 1);

        let token = AclToken {
            description: "t".into(),
            policies: vec![link],
            roles: vec![lictor_types::acl::AclLink { id: role.id.clone(), name: String::new() }],
            ..AclToken::default()
        };
        let hour = 3_600_000_000_000;
        let request = TokenRequest { token, expiration_ttl: hour, create: true };
        let token = reference.call::<acl_token::TokenSet>(&set(request));
        assert!(token.expiration_time.is_some() && token.policies[0].name == "p");
        let args = TokenArgs { id: token.accessor_id.clone(), by_secret: false };
        let got = reference.call::<acl_token::TokenRead>(&own(args));
        assert_eq!(got.result.value.token.as_ref(), Some(&token));
        let by_secret = TokenArgs { id: token.secret_id.clone(), by_secret: true };
        let got = reference.call::<acl_token::TokenRead>(&read(&token.secret_id, by_secret));
        assert!(got.result.value.token.is_some());
        let got = reference.call::<acl::PolicyResolve>(&read(&token.secret_id, ids()));
        assert_eq!(got.result.value.0.len(), 1);
        let got = reference.call::<acl::RoleResolve>(&read(&token.secret_id, ids_of_role()));
        assert_eq!(got.result.value.len(), 1);
        let accessors = vec![token.accessor_id.clone()];
        let args = acl_token::Accessors { accessors };
        let got = reference.call::<acl_token::TokenBatchRead>(&own(args));
        assert_eq!(got.result.value.tokens[0].secret_id, token.secret_id);
        let args = acl_token::TokenListArgs { local: true, global: true, ..Default::default() };
        let list = reference.call::<acl_token::TokenList>(&own(args));
        assert!(list.result.value.iter().any(|one| one.accessor_id == token.accessor_id));
        let question = |segment: &str, access: &str| AclQuestion {
            resource: "key".into(),
            access: access.into(),
            segment: segment.into(),
        };
        let questions = vec![question("abc", "read"), question("abc", "write")];
        let decided =
            reference.call::<acl::Authorize>(&read(&token.secret_id, acl::Questions { questions }));
        assert_eq!(decided.iter().map(|one| one.allow).collect::<Vec<_>>(), [true, false]);
        let copy = AclToken { accessor_id: token.accessor_id.clone(), ..AclToken::default() };
        let request = TokenRequest { token: copy, ..TokenRequest::default() };
        let refused = reference.try_call::<acl_token::TokenClone>(&set(request));
        assert!(
            refused.as_ref().is_ok_and(|copy| copy.accessor_id != token.accessor_id),
            "{refused:?}"
        );
        let accessor = acl_token::Accessor { accessor: token.accessor_id.clone() };
        reference.call::<acl_token::TokenDelete>(&set(accessor));
        assert!(reference.try_call::<acl_token::BootstrapTokens>(&own(())).is_err());

        // Ways to log in need somebody who vouches; so they are only asked about.
        assert!(reference.call::<acl::AuthMethodList>(&own(())).result.value.is_empty());
        let name = || acl::MethodName { name: "none".into() };
        let got = reference.call::<acl::AuthMethodRead>(&own(name()));
        assert!(got.result.value.is_none());
        let method = acl::MethodChange::default();
        assert!(reference.try_call::<acl::AuthMethodSet>(&set(method)).is_err());
        reference.call::<acl::AuthMethodDelete>(&set(name()));
        let rules = reference.call::<acl::BindingRuleList>(&own(acl::OfMethod::default()));
        assert!(rules.result.value.is_empty());
        let id = || acl::RuleId { id: uuid::Uuid::new_v4().to_string() };
        assert!(reference.call::<acl::BindingRuleRead>(&own(id())).result.value.is_none());
        assert!(
            reference.try_call::<acl::BindingRuleSet>(&set(acl::RuleChange::default())).is_err()
        );
        reference.call::<acl::BindingRuleDelete>(&set(id()));
        let login =
            acl::LoginArgs { method: "none".into(), bearer: "x".into(), meta: BTreeMap::new() };
        reference.refused::<acl::Login>(&WriteRequest::new("dc1", "", login), "not found");
        assert!(reference.try_call::<acl::Logout>(&set(())).is_err());
        reference.call::<acl::RoleDelete>(&set(acl::RoleId { id: role.id.clone() }));
        reference.call::<acl::PolicyDelete>(&set(acl::PolicyId { id: policy.id.clone() }));
    });
}
