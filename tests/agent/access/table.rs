//! Every endpoint with the right that it needs, asked by nobody, by a reader, by a writer and by
//! the manager of the cluster, where nothing is permitted by default.

use std::collections::BTreeSet;
use std::path::Path;

use lictor_testkit::{Agent, Reply, wait_for};
use serde_json::{Value, json};

use super::{PATIENCE, closed, token};

/// The right that an endpoint needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    /// None.
    Open,
    /// Reading; without it the answer is this one, as if there were nothing.
    Filter(u16, &'static str),
    /// Reading; without it the request is refused.
    Read,
    /// Writing.
    Write,
    /// Managing tokens.
    Manage,
    /// Writing something that does not exist here: nobody can be said to have the right to it.
    Unknown,
    /// It follows from the secret itself; the tests of tokens look at it.
    Secret,
    /// Writing, refused in the endpoint's own words.
    WriteSaying(u16, &'static str),
}

use Right::{Filter, Manage, Open, Read, Secret, Unknown, Write, WriteSaying};

/// Method and path of the route, the path that is asked, the body, the right.
type Row = (&'static str, &'static str, &'static str, &'static str, Right);

/// An ID that nothing has.
const NOBODY: &str = "99999999-9999-9999-9999-999999999999";
/// The accessor of the token of those who bring none.
const ANONYMOUS: &str = "00000000-0000-0000-0000-000000000002";
/// A key of gossip, of which there are none here.
const KEY: &str = r#"{"Key":"bm90IGEga2V5"}"#;
const NOTHING: Right = Filter(200, "[]");
const EMPTY: Right = Filter(200, "{}");

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("PUT", "/v1/acl/auth-method", "", r#"{"Name":"m","Type":"bad"}"#, Manage),
    ("GET", "/v1/acl/auth-method/", "nosuch", "", Manage),
    ("PUT", "/v1/acl/auth-method/", "nosuch", r#"{"Type":"bad"}"#, Manage),
    ("DELETE", "/v1/acl/auth-method/", "nosuch", "", Manage),
    ("GET", "/v1/acl/auth-methods", "", "", Manage),
    ("PUT", "/v1/acl/binding-rule", "", r#"{"AuthMethod":"nosuch"}"#, Manage),
    ("GET", "/v1/acl/binding-rule/", NOBODY, "", Manage),
    ("PUT", "/v1/acl/binding-rule/", NOBODY, r#"{"AuthMethod":"nosuch"}"#, Manage),
    ("DELETE", "/v1/acl/binding-rule/", NOBODY, "", Manage),
    ("GET", "/v1/acl/binding-rules", "", "", Manage),
    ("PUT", "/v1/acl/bootstrap", "", "", Secret),
    ("PUT", "/v1/acl/clone/", "{old}", "", Manage),
    ("PUT", "/v1/acl/create", "", r#"{"Name":"old","Rules":"bad"}"#, Manage),
    ("PUT", "/v1/acl/destroy/", "nosuch", "", Manage),
    ("GET", "/v1/acl/info/", "root", "", Secret),
    ("GET", "/v1/acl/list", "", "", Manage),
    ("POST", "/v1/acl/login", "", "{}", Secret),
    ("POST", "/v1/acl/logout", "", "", Secret),
    ("GET", "/v1/acl/policies", "", "", Manage),
    ("PUT", "/v1/acl/policy", "", r#"{"Name":"a b"}"#, Manage),
    ("GET", "/v1/acl/policy/", "{policy}", "", Manage),
    ("PUT", "/v1/acl/policy/", "{policy}", r#"{"Name":"a b"}"#, Manage),
    ("DELETE", "/v1/acl/policy/", NOBODY, "", Manage),
    ("GET", "/v1/acl/policy/name/", "global-management", "", Manage),
    ("GET", "/v1/acl/replication", "", "", Open),
    ("PUT", "/v1/acl/role", "", r#"{"Name":"a b"}"#, Manage),
    ("GET", "/v1/acl/role/", "{role}", "", Manage),
    ("PUT", "/v1/acl/role/", "{role}", r#"{"Name":"a b"}"#, Manage),
    ("DELETE", "/v1/acl/role/", NOBODY, "", Manage),
    ("GET", "/v1/acl/role/name/", "some", "", Manage),
    ("GET", "/v1/acl/roles", "", "", Manage),
    ("POST", "/v1/acl/rules/translate", "", r#"key "" { policy = "read" }"#, Manage),
    ("GET", "/v1/acl/rules/translate/", ANONYMOUS, "", Manage),
    ("PUT", "/v1/acl/token", "", r#"{"Policies":[{"Name":"nosuch"}]}"#, Manage),
    ("GET", "/v1/acl/token/", ANONYMOUS, "", Manage),
    ("PUT", "/v1/acl/token/", ANONYMOUS, "{}", Manage),
    ("DELETE", "/v1/acl/token/", ANONYMOUS, "", Manage),
    ("GET", "/v1/acl/token/self", "", "", Secret),
    ("GET", "/v1/acl/tokens", "", "", Manage),
    ("PUT", "/v1/acl/update", "", r#"{"ID":"nosuch","Rules":"bad"}"#, Manage),
    ("PUT", "/v1/agent/check/deregister/", "nosuch", "", Unknown),
    ("PUT", "/v1/agent/check/fail/", "ttl", "", Write),
    ("PUT", "/v1/agent/check/pass/", "ttl", "", Write),
    ("PUT", "/v1/agent/check/register", "", r#"{"Name":"c","TTL":"1m"}"#, Write),
    ("PUT", "/v1/agent/check/update/", "ttl", r#"{"Status":"passing"}"#, Write),
    ("PUT", "/v1/agent/check/warn/", "ttl", "", Write),
    ("GET", "/v1/agent/checks", "", "", EMPTY),
    ("POST", "/v1/agent/connect/authorize", "", r#"{"Target":"web","ClientCertURI":"spiffe://x.consul/ns/default/dc/dc1/svc/a"}"#, Write),
    ("GET", "/v1/agent/connect/ca/leaf/", "web", "", Write),
    ("GET", "/v1/agent/connect/ca/roots", "", "", Open),
    ("GET", "/v1/agent/connect/proxy/", "managed-proxy", "", Write),
    ("PUT", "/v1/agent/force-leave/", "nosuch", "", Write),
    ("GET", "/v1/agent/health/service/id/", "web", "", Read),
    ("GET", "/v1/agent/health/service/name/", "web", "", Read),
    ("GET", "/v1/agent/host", "", "", Read),
    ("PUT", "/v1/agent/join/", "127.0.0.1", "", Write),
    ("PUT", "/v1/agent/leave", "", "", Write),
    ("PUT", "/v1/agent/maintenance", "?enable=false", "", Write),
    ("GET", "/v1/agent/members", "", "", NOTHING),
    ("GET", "/v1/agent/metrics", "", "", Read),
    ("GET", "/v1/agent/monitor", "?loglevel=bad", "", Read),
    ("PUT", "/v1/agent/reload", "", "", Write),
    ("GET", "/v1/agent/self", "", "", Read),
    ("GET", "/v1/agent/service/", "web", "", Read),
    ("PUT", "/v1/agent/service/deregister/", "nosuch", "", Unknown),
    ("PUT", "/v1/agent/service/maintenance/", "web?enable=false", "", Write),
    ("PUT", "/v1/agent/service/register", "", r#"{"Name":"web","Port":80}"#, Write),
    ("GET", "/v1/agent/services", "", "", EMPTY),
    ("PUT", "/v1/agent/token/", "nosuch", r#"{"Token":""}"#, Write),
    ("GET", "/v1/catalog/connect/", "web", "", NOTHING),
    ("GET", "/v1/catalog/datacenters", "", "", Open),
    ("PUT", "/v1/catalog/deregister", "", r#"{"Node":"nosuch"}"#, Write),
    ("GET", "/v1/catalog/gateway-services/", "web", "", Read),
    ("GET", "/v1/catalog/node/", "node1", "", Filter(200, "null")),
    ("GET", "/v1/catalog/node-services/", "node1", "", Filter(200, "{\n    \"Node\": null,\n    \"Services\": null\n}")),
    ("GET", "/v1/catalog/nodes", "", "", NOTHING),
    ("PUT", "/v1/catalog/register", "", r#"{"Node":"elsewhere","Address":"10.0.0.9"}"#, Write),
    ("GET", "/v1/catalog/service/", "web", "", NOTHING),
    ("GET", "/v1/catalog/services", "", "", EMPTY),
    ("PUT", "/v1/config", "", r#"{"Kind":"service-defaults","Name":"web"}"#, Write),
    ("GET", "/v1/config/", "service-defaults/web", "", Read),
    ("DELETE", "/v1/config/", "service-defaults/web", "", Write),
    ("GET", "/v1/connect/ca/configuration", "", "", Read),
    ("PUT", "/v1/connect/ca/configuration", "", r#"{"Provider":"nosuch","Config":{}}"#, Write),
    ("GET", "/v1/connect/ca/roots", "", "", Open),
    ("GET", "/v1/connect/intentions", "", "", NOTHING),
    ("POST", "/v1/connect/intentions", "", r#"{"SourceName":"a","DestinationName":"b","Action":"allow"}"#, Write),
    ("GET", "/v1/connect/intentions/", "{intention}", "", Read),
    ("PUT", "/v1/connect/intentions/", "{intention}", r#"{"SourceName":"web","DestinationName":"db","Action":"allow"}"#, Write),
    ("DELETE", "/v1/connect/intentions/", "{intention}", "", Write),
    ("GET", "/v1/connect/intentions/check", "?source=web&destination=db", "", Read),
    ("GET", "/v1/connect/intentions/exact", "?source=web&destination=db", "", Read),
    ("PUT", "/v1/connect/intentions/exact", "?source=a&destination=db", r#"{"Action":"allow"}"#, Write),
    ("DELETE", "/v1/connect/intentions/exact", "?source=a&destination=db", "", Write),
    ("GET", "/v1/connect/intentions/match", "?by=destination&name=db", "", Read),
    ("GET", "/v1/coordinate/datacenters", "", "", Open),
    ("GET", "/v1/coordinate/node/", "node1", "", Read),
    ("GET", "/v1/coordinate/nodes", "", "", NOTHING),
    ("PUT", "/v1/coordinate/update", "", r#"{"Node":"node1","Coord":{"Vec":[0,0,0,0,0,0,0,0],"Error":1.5,"Adjustment":0,"Height":1e-5}}"#, Write),
    ("GET", "/v1/discovery-chain/", "web", "", Read),
    ("POST", "/v1/discovery-chain/", "web", "{}", Read),
    ("PUT", "/v1/event/fire/", "deploy", "", Write),
    ("GET", "/v1/event/list", "", "", NOTHING),
    ("GET", "/v1/health/checks/", "web", "", NOTHING),
    ("GET", "/v1/health/connect/", "web", "", NOTHING),
    ("GET", "/v1/health/ingress/", "web", "", Open),
    ("GET", "/v1/health/node/", "node1", "", NOTHING),
    ("GET", "/v1/health/service/", "web", "", NOTHING),
    ("GET", "/v1/health/state/", "any", "", NOTHING),
    ("POST", "/v1/internal/acl/authorize", "", r#"[{"Resource":"key","Access":"read"}]"#, Open),
    ("GET", "/v1/internal/ui/node/", "node1", "", Filter(404, "")),
    ("GET", "/v1/internal/ui/nodes", "", "", NOTHING),
    ("GET", "/v1/internal/ui/services", "", "", NOTHING),
    ("GET", "/v1/kv/", "key", "", Read),
    ("PUT", "/v1/kv/", "key", "value", Write),
    ("DELETE", "/v1/kv/", "key/below?recurse", "", Write),
    ("GET", "/v1/operator/autopilot/configuration", "", "", Read),
    ("PUT", "/v1/operator/autopilot/configuration", "", "{}", Write),
    ("GET", "/v1/operator/autopilot/health", "", "", Read),
    ("GET", "/v1/operator/autopilot/state", "", "", Read),
    ("DELETE", "/v1/operator/keyring", "", KEY, WriteSaying(500, "Modifying keyring denied")),
    ("GET", "/v1/operator/keyring", "", "", Filter(500, "Reading keyring denied by ACLs")),
    ("POST", "/v1/operator/keyring", "", KEY, WriteSaying(500, "Modifying keyring denied")),
    ("PUT", "/v1/operator/keyring", "", KEY, WriteSaying(500, "Modifying keyring denied")),
    ("GET", "/v1/operator/raft/configuration", "", "", Read),
    ("DELETE", "/v1/operator/raft/peer", "?id=nosuch", "", Write),
    ("POST", "/v1/operator/raft/transfer-leader", "?id=nosuch", "", Write),
    ("GET", "/v1/operator/usage", "", "", Read),
    ("GET", "/v1/query", "", "", NOTHING),
    ("POST", "/v1/query", "", r#"{"Name":"q2","Service":{"Service":"web"}}"#, Write),
    // What is below depends on the rest of the path; its rows follow in `MORE`.
    ("ANY", "/v1/query/", "q/execute", "", Open),
    ("PUT", "/v1/session/create", "", "", Write),
    ("PUT", "/v1/session/destroy/", "{session}", "", Write),
    ("GET", "/v1/session/info/", "{session}", "", NOTHING),
    ("GET", "/v1/session/list", "", "", NOTHING),
    ("GET", "/v1/session/node/", "node1", "", NOTHING),
    ("PUT", "/v1/session/renew/", "{session}", "", Write),
    ("GET", "/v1/snapshot", "", "", Manage),
    ("PUT", "/v1/snapshot", "", "no archive", Manage),
    ("GET", "/v1/status/leader", "", "", Open),
    ("GET", "/v1/status/peers", "", "", Open),
    ("PUT", "/v1/txn", "", r#"[{"KV":{"Verb":"set","Key":"key"}}]"#, WriteSaying(409, "Permission denied")),
];

/// Further requests to the same routes.
#[rustfmt::skip]
const MORE: &[Row] = &[
    ("PUT", "/v1/agent/check/deregister/", "spare", "", Write),
    ("PUT", "/v1/agent/service/deregister/", "spare", "", Write),
    ("PUT", "/v1/agent/service/register", "", r#"{"Name":"beside","Connect":{"SidecarService":{"Name":"other","Port":99}}}"#, Write),
    ("PUT", "/v1/txn", "", r#"[{"Node":{"Verb":"set","Node":{"Node":"n9","Address":"10.0.0.8"}}}]"#, WriteSaying(409, "Permission denied")),
    ("PUT", "/v1/txn", "", r#"[{"Service":{"Verb":"set","Node":"node1","Service":{"ID":"web9","Service":"web","Port":9}}}]"#, WriteSaying(409, "Permission denied")),
    ("PUT", "/v1/txn", "", r#"[{"Check":{"Verb":"set","Check":{"Node":"node1","CheckID":"c9","Name":"c9"}}}]"#, WriteSaying(409, "Permission denied")),
    ("PUT", "/v1/txn", "", r#"[{"Service":{"Verb":"delete","Node":"node1","Service":{"ID":"web9"}}}]"#, WriteSaying(409, "nknown service")),
    ("GET", "/v1/kv/", "?recurse", "", Filter(404, "")),
    ("GET", "/v1/kv/", "?keys", "", NOTHING),
    ("GET", "/v1/kv/", "key?raw", "", Read),
    ("DELETE", "/v1/kv/", "nosuch", "", Write),
    ("GET", "/v1/query/", "{query}", "", Read),
    ("GET", "/v1/query/", "q/explain", "", Read),
    ("PUT", "/v1/query/", "{query}", r#"{"Name":"q","Service":{"Service":"web"}}"#, Write),
    ("DELETE", "/v1/query/", "{query}", "", Write),
    ("PUT", "/v1/agent/service/register", "", r#"{"ID":"web","Name":"other"}"#, Write),
    ("PUT", "/v1/catalog/register", "", r#"{"Node":"node1","Address":"10.0.0.9"}"#, Write),
    ("PUT", "/v1/catalog/register", "", r#"{"Node":"node1","Address":"127.0.0.1","SkipNodeUpdate":true,"Service":{"Service":"x"}}"#, Write),
    ("PUT", "/v1/catalog/deregister", "", r#"{"Node":"node1","CheckID":"spare"}"#, Write),
];

/// Methods and paths of all routes, read from the source.
fn routes() -> BTreeSet<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the root");
    let source = std::fs::read_to_string(root.join("crates/http/src/router.rs")).expect("a file");
    let (_, table) = source.split_once("static ROUTES").expect("the table of routes");
    let (table, _) = table.split_once("\n];").expect("its end");
    let mut found = BTreeSet::new();
    for entry in table.split("route!(").skip(1) {
        let mut parts = entry.split('"');
        let (path, rest) = (parts.nth(1).expect("a path"), parts.next().expect("methods"));
        for word in rest.split(|c: char| !c.is_ascii_uppercase()) {
            if ["GET", "PUT", "POST", "DELETE", "ANY"].contains(&word) {
                found.insert((word.to_owned(), path.to_owned()));
            }
        }
    }
    assert!(found.len() > 70, "the routes were not found: {found:?}");
    found
}

#[test]
fn every_endpoint_has_a_decision() {
    let listed: BTreeSet<_> =
        TABLE.iter().map(|row| (row.0.to_owned(), row.1.to_owned())).collect();
    let routes = routes();
    let without: Vec<_> = routes.difference(&listed).collect();
    assert!(without.is_empty(), "say in TABLE which right these need: {without:?}");
    let gone: Vec<_> = listed.difference(&routes).collect();
    assert!(gone.is_empty(), "there are no such routes: {gone:?}");
}

/// A scene in which every endpoint has something to show or to change.
struct Scene {
    agent: Agent,
    /// What stands for `{intention}` and the like in paths.
    ids: Vec<(&'static str, String)>,
}

impl Scene {
    fn new() -> Self {
        let agent = closed(&json!({"connect": {"proxy": {
            "allow_managed_root": true, "allow_managed_api_registration": true,
        }}}));
        let mut scene = Self { agent, ids: Vec::new() };
        scene.root(
            "PUT",
            "/v1/agent/service/register",
            &json!({"Name": "web", "Port": 80, "Token": "root"}),
        );
        let managed =
            json!({"Name": "managed", "Port": 81, "Token": "root", "Connect": {"Proxy": {}}});
        scene.root("PUT", "/v1/agent/service/register", &managed);
        let proxy = json!({"Name": "web-proxy", "Kind": "connect-proxy", "Port": 82,
            "ProxyDestination": "web", "Token": "root"});
        scene.root("PUT", "/v1/agent/service/register", &proxy);
        scene.root("PUT", "/v1/event/fire/deploy", &Value::Null);
        scene.restore();
        wait_for("the spare service in the catalog", PATIENCE, || {
            let found = scene.ask("root", "GET", "/v1/health/checks/spare", "");
            found.text().contains("spare").then_some(())
        });
        // Coordinates are gathered before they are written.
        let coord = json!({"Node": "node1", "Coord": {
            "Vec": [0, 0, 0, 0, 0, 0, 0, 0], "Error": 1.5, "Adjustment": 0, "Height": 1e-5}});
        scene.root("PUT", "/v1/coordinate/update", &coord);
        wait_for("the coordinate", PATIENCE, || {
            let found = scene.ask("root", "GET", "/v1/coordinate/nodes", "");
            found.text().contains("node1").then_some(())
        });
        scene
    }

    /// Makes what earlier requests may have removed.
    fn restore(&mut self) {
        let spare =
            json!({"Name": "spare", "Token": "root", "Check": {"CheckID": "spare", "TTL": "1h"}});
        self.root("PUT", "/v1/agent/service/register", &spare);
        let web = json!({"ID": "web", "Name": "web", "Port": 80, "Token": "root"});
        self.root("PUT", "/v1/agent/service/register", &web);
        let ttl = json!({"ID": "ttl", "Name": "ttl", "TTL": "1h", "ServiceID": "web"});
        self.root("PUT", "/v1/agent/check/register", &ttl);
        wait_for("the services in the catalog", PATIENCE, || {
            let found = self.ask("root", "GET", "/v1/health/checks/web", "");
            found.text().contains("ttl").then_some(())
        });
        self.root("PUT", "/v1/kv/key", &json!("value"));
        let of = |list: Value, key: &str, value: &str| {
            let found =
                list.as_array().into_iter().flatten().find(|one| one[key] == value).cloned();
            found.map(|one| one["ID"].as_str().unwrap_or_default().to_owned())
        };
        let held = self.root("GET", "/v1/connect/intentions", &Value::Null);
        let intention = of(held, "DestinationName", "db").unwrap_or_else(|| {
            let made = json!({"SourceName": "web", "DestinationName": "db", "Action": "allow"});
            id(&self.root("POST", "/v1/connect/intentions", &made))
        });
        let held = self.root("GET", "/v1/query", &Value::Null);
        if let Some(other) = of(held.clone(), "Name", "q2") {
            self.root("DELETE", &format!("/v1/query/{other}"), &Value::Null);
        }
        let query = of(held, "Name", "q").unwrap_or_else(|| {
            let made = json!({"Name": "q", "Service": {"Service": "web"}});
            id(&self.root("POST", "/v1/query", &made))
        });
        let policy = of(self.root("GET", "/v1/acl/policies", &Value::Null), "Name", "some")
            .unwrap_or_else(|| id(&self.root("PUT", "/v1/acl/policy", &json!({"Name": "some"}))));
        let role = of(self.root("GET", "/v1/acl/roles", &Value::Null), "Name", "some")
            .unwrap_or_else(|| {
                let made = json!({"Name": "some", "Policies": [{"ID": policy}]});
                id(&self.root("PUT", "/v1/acl/role", &made))
            });
        let held = self.root("GET", "/v1/acl/list", &Value::Null);
        let old = of(held, "Name", "old").unwrap_or_else(|| {
            id(&self.root("PUT", "/v1/acl/create", &json!({"Name": "old", "Type": "client"})))
        });
        let held = self.root("GET", "/v1/session/list", &Value::Null);
        let session = of(held, "Node", "node1")
            .unwrap_or_else(|| id(&self.root("PUT", "/v1/session/create", &json!({}))));
        self.ids = vec![
            ("{intention}", intention),
            ("{query}", query),
            ("{session}", session),
            ("{policy}", policy),
            ("{role}", role),
            ("{old}", old),
        ];
    }

    /// A request of the manager, which must succeed.
    fn root(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = self.ask("root", method, path, &body);
        assert_eq!(reply.status, 200, "{method} {path}: {}", reply.text());
        reply.json()
    }

    fn ask(&self, token: &str, method: &str, path: &str, body: &str) -> Reply {
        let mut path = path.to_owned();
        for (name, id) in &self.ids {
            path = path.replace(name, id);
        }
        if !token.is_empty() {
            path += if path.contains('?') { "&token=" } else { "?token=" };
            path += token;
        }
        self.agent.http(method, &path, body)
    }

    fn row(&self, token: &str, row: &Row) -> Reply {
        let method = if row.0 == "ANY" { "GET" } else { row.0 };
        self.ask(token, method, &format!("{}{}", row.1, row.2), row.3)
    }
}

fn id(made: &Value) -> String {
    made["ID"].as_str().expect("an ID").to_owned()
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Nobody,
    Reader,
    Writer,
    Manager,
}

/// What is wrong with the answer that somebody got.
fn problem(right: Right, who: Who, reply: &Reply) -> Option<String> {
    let text = reply.text();
    let told = format!("{} {text:?}", reply.status);
    let refused = reply.status == 403 && text == "Permission denied";
    let needed = match right {
        Secret => return None,
        Open => Who::Nobody,
        Unknown => {
            let wanted = reply.status == 500 && text.starts_with("Unknown ");
            return (!wanted).then_some(told);
        }
        Filter(..) | Read => Who::Reader,
        Write | WriteSaying(..) => Who::Writer,
        Manage => Who::Manager,
    };
    let nothing = match right {
        Filter(status, nothing) => reply.status == status && text.trim_end() == nothing,
        WriteSaying(status, words) => reply.status == status && text.contains(words),
        _ => refused,
    };
    // Whoever is let in may still be told that the request makes no sense.
    let wanted = if who < needed { nothing } else { !nothing && reply.status != 403 };
    (!wanted).then_some(told)
}

#[test]
fn every_endpoint_keeps_to_its_right() {
    let mut scene = Scene::new();
    let all = |level: &str| {
        let names = ["agent", "event", "key", "node", "query", "session"];
        let blocks = names.map(|name| format!("{name}_prefix \"\" {{ policy = {level:?} }}\n"));
        let scalars = format!("operator = {level:?}\nkeyring = {level:?}\n");
        let service =
            format!("service_prefix \"\" {{ policy = {level:?} intentions = {level:?} }}\n");
        format!("{}{scalars}{service}", blocks.concat())
    };
    let reader = token(&scene.agent, &all("read"));
    let writer = token(&scene.agent, &all("write"));
    let mut problems = Vec::new();
    for (who, secret) in [
        (Who::Nobody, ""),
        (Who::Reader, reader.as_str()),
        (Who::Writer, writer.as_str()),
        (Who::Manager, "root"),
    ] {
        for row in TABLE.iter().chain(MORE) {
            if who >= Who::Writer {
                // The end of the agent would be the end of the test.
                if row.1 == "/v1/agent/leave" {
                    continue;
                }
                scene.restore();
            }
            let reply = scene.row(secret, row);
            if let Some(told) = problem(row.4, who, &reply) {
                problems.push(format!("{who:?} {} {}{}: {told}", row.0, row.1, row.2));
            }
        }
    }
    for row in TABLE.iter().chain(MORE) {
        let reply = scene.row("nosuch", row);
        let refused = reply.status == 403 && reply.text() == "ACL not found";
        // These need no right, but a token that exists.
        let looked_at = ["/v1/query/", "/v1/internal/acl/authorize", "/v1/health/ingress/"];
        let looked_at = looked_at.contains(&row.1);
        let open = row.4 == Open && !looked_at;
        if refused == open && row.4 != Secret {
            problems.push(format!("an unknown token: {} {}{}: {reply:?}", row.0, row.1, row.2));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
    assert_eq!(scene.ask(&writer, "PUT", "/v1/agent/leave", "").status, 200);
}
