//! Tokens over restarts, archives and lost secrets.

use std::time::Duration;

use lictor_testkit::{Agent, Signal};
use serde_json::{Value, json};

const SERVER: &[&str] = &["-server", "-bootstrap-expect=1"];

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("lictor-acl-").tempdir().expect("a folder")
}

fn bootstrap(agent: &Agent) -> (u16, String, Value) {
    let reply = agent.http("PUT", "/v1/acl/bootstrap", "");
    (reply.status, reply.text(), reply.json())
}

fn restarted(mut agent: Agent, settings: &Value) -> Agent {
    agent.program.signal(Signal::KILL);
    agent.program.wait(Duration::from_secs(10));
    Agent::start_in(agent.folder, SERVER, settings)
}

#[test]
fn the_first_token_is_made_once_and_again_with_the_reset_file() {
    let folder = folder();
    let settings = json!({
        "data_dir": folder.path().join("data"),
        "acl": {"enabled": true, "default_policy": "deny"},
    });
    let agent = Agent::start_in(folder, SERVER, &settings);
    let (status, text, first) = bootstrap(&agent);
    assert_eq!(status, 200, "{text}");
    assert_eq!(first["ID"], first["SecretID"]);
    let list = |agent: &Agent, token: &Value| {
        let secret = token["SecretID"].as_str().expect("a secret");
        agent.http("GET", &format!("/v1/acl/tokens?token={secret}"), "").status
    };
    assert_eq!(list(&agent, &first), 200);

    let agent = restarted(agent, &settings);
    assert_eq!(list(&agent, &first), 200, "it is there after a restart");
    let (status, text, _) = bootstrap(&agent);
    assert_eq!(status, 403, "{text}");
    let index = text.rsplit("reset index: ").next().and_then(|rest| rest.strip_suffix(')'));
    let index: u64 = index.and_then(|index| index.parse().ok()).expect("an index");
    let file = agent.folder.path().join("data/acl-bootstrap-reset");
    std::fs::write(&file, (index + 7).to_string()).expect("the file");
    let (status, text, _) = bootstrap(&agent);
    let wrong =
        format!("Invalid bootstrap reset index (specified {}, reset index: {index})", index + 7);
    assert_eq!((status, text), (500, wrong));
    std::fs::write(&file, format!("{index}\n")).expect("the file");
    let (status, text, second) = bootstrap(&agent);
    assert_eq!(status, 200, "{text}");
    assert!(!file.exists(), "it has served its purpose");
    assert_eq!((list(&agent, &first), list(&agent, &second)), (200, 200));
    assert_eq!(bootstrap(&agent).0, 403);
}

#[test]
fn tokens_set_while_the_agent_runs_are_kept_if_wished() {
    for keeps in [true, false] {
        let folder = folder();
        let data = folder.path().join("data");
        let settings = json!({
            "data_dir": data,
            "acl": {"enabled": true, "default_policy": "deny", "enable_token_persistence": keeps,
                "tokens": {"master": "root", "agent_master": "local"}},
        });
        let agent = Agent::start_in(folder, SERVER, &settings);
        // The agent's own secret is good for the agent and nothing else.
        let own = |agent: &Agent, token: &str| {
            let it = agent.http("GET", &format!("/v1/agent/self?token={token}"), "").status;
            (it, agent.http("GET", &format!("/v1/kv/x?token={token}"), "").status)
        };
        assert_eq!(own(&agent, "local").0, 200);
        assert_ne!(own(&agent, "local").1, 404);
        assert_eq!(agent.http("GET", "/v1/kv/x", "").status, 403);
        let set = |agent: &Agent, name: &str, secret: &str, token: &str| {
            let path = format!("/v1/agent/token/{name}?token={token}");
            agent.http("PUT", &path, &json!({"Token": secret}).to_string()).status
        };
        assert_eq!(set(&agent, "default", "root", "unknown"), 403);
        assert_eq!(set(&agent, "nosuch", "root", "root"), 404);
        assert_eq!(set(&agent, "default", "root", "local"), 200);
        assert_eq!(set(&agent, "agent_recovery", "other", "root"), 200);
        assert_eq!(agent.http("GET", "/v1/kv/x", "").status, 404, "the default token counts");
        assert_eq!((own(&agent, "local").0, own(&agent, "other").0), (403, 200));
        let agent = restarted(agent, &settings);
        let (after, secret) = if keeps { (404, "other") } else { (403, "local") };
        assert_eq!(agent.http("GET", "/v1/kv/x", "").status, after);
        assert_eq!(own(&agent, secret).0, 200);
        assert_eq!(agent.folder.path().join("data/acl-tokens.json").exists(), keeps);
    }
}

#[test]
fn an_archive_brings_the_tokens_with_it() {
    let acl = json!({"acl": {
        "enabled": true, "default_policy": "deny", "tokens": {"initial_management": "root"},
    }});
    let old = Agent::dev(&acl);
    let policy = json!({"Name": "p", "Rules": "key \"a\" { policy = \"write\" }"});
    let made =
        |kind: &str, body: &Value| old.json("PUT", &format!("/v1/acl/{kind}?token=root"), body);
    assert_eq!(made("policy", &policy)["Name"], "p");
    let role = json!({"Name": "r", "Policies": [{"Name": "p"}]});
    assert_eq!(made("role", &role)["Name"], "r");
    let token = json!({"Roles": [{"Name": "r"}]});
    let token = made("token", &token);
    let token = token["SecretID"].as_str().expect("a secret").to_owned();
    let archive = |agent: &Agent, query: &str| {
        let reply = agent.http("GET", &format!("/v1/snapshot{query}"), "");
        (reply.status, reply.body)
    };
    assert_eq!(archive(&old, "").0, 403);
    let (status, bytes) = archive(&old, "?token=root");
    assert_eq!(status, 200);
    assert_eq!(old.http("DELETE", "/v1/kv/a?token=root", "").status, 200);

    let other = json!({"acl": {
        "enabled": true, "default_policy": "deny", "tokens": {"initial_management": "other"},
    }});
    let new = Agent::dev(&other);
    let write = |token: &str| new.http("PUT", &format!("/v1/kv/a?token={token}"), "x").status;
    assert_eq!((write(&token), write("other")), (403, 200));
    let put = lictor_testkit::request(&new.http, "PUT", "/v1/snapshot?token=other", &bytes);
    assert_eq!(put.expect("an answer").status, 200);
    assert_eq!(write(&token), 200, "tokens, roles and policies came along");
    assert_eq!(write("root"), 200);
    // The leader makes the configured one again.
    lictor_testkit::wait_for("the configured token", Duration::from_secs(20), || {
        (write("other") == 200).then_some(())
    });
}

#[test]
fn an_archive_of_version_1_2_brings_its_tokens_with_it() {
    let agent = Agent::dev(&json!({
        "acl_datacenter": "dc1", "acl_default_policy": "deny", "acl_master_token": "mine",
    }));
    let bytes = include_bytes!("../../fuzz/seeds/snapshot_archive/version-1.2-acl");
    let put = lictor_testkit::request(&agent.http, "PUT", "/v1/snapshot?token=mine", bytes);
    let put = put.expect("an answer");
    assert_eq!(put.status, 200, "{}", put.text());
    let get = |key: &str, token: &str| {
        agent.http("GET", &format!("/v1/kv/{key}?token={token}"), "").status
    };
    assert_eq!((get("a/1", "reader"), get("secret", "reader")), (200, 403));
    assert_eq!((get("pub", ""), get("a/1", "")), (200, 403));
    assert_eq!((get("secret", "boss"), get("secret", "root")), (200, 200));
    // They get accessors, so that they can be handled by today's means.
    let tokens = lictor_testkit::wait_for("accessors", Duration::from_secs(20), || {
        let tokens = agent.json("GET", "/v1/acl/tokens?token=boss", &Value::Null);
        let all = tokens.as_array()?;
        let named = |token: &Value| token["AccessorID"].as_str().is_some_and(|id| id.len() == 36);
        (all.iter().all(named) && all.len() >= 5).then_some(tokens)
    });
    let reader = tokens.as_array().into_iter().flatten().find(|one| one["SecretID"] == "reader");
    let reader = reader.expect("the token")["AccessorID"].as_str().expect("an accessor");
    let path = format!("/v1/acl/rules/translate/{reader}?token=boss");
    assert_eq!(agent.http("GET", &path, "").text(), "key_prefix \"a/\" { policy = \"read\" }");
    // What 1.2 has a word for can be given back to it.
    let saved = agent.http("GET", "/v1/snapshot?token=boss", "");
    assert_eq!(saved.status, 200);
    assert_eq!(agent.http("PUT", "/v1/acl/bootstrap", "").status, 403);
}
