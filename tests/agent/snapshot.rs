//! Snapshots over HTTP and on the command line: saved, restored, and there after a crash.

use std::time::Duration;

use lictor_testkit::{Agent, Reply, Signal};
use serde_json::json;

const SERVER: &[&str] = &["-server", "-bootstrap-expect=1"];

#[test]
fn a_restored_state_survives_kill_9() {
    let folder = tempfile::Builder::new().prefix("lictor-snapshot-").tempdir().expect("a folder");
    let data = json!({"data_dir": folder.path().join("data")});
    let mut agent = Agent::start_in(folder, SERVER, &data);
    for n in 0..80 {
        let value = format!("{n:04}").repeat(100_000);
        assert_eq!(agent.http("PUT", &format!("/v1/kv/big/{n}"), &value).status, 200);
    }
    let file = agent.folder.path().join("saved.snap");
    let path = file.to_string_lossy().into_owned();
    let (code, out, err) = agent.cli(&["snapshot", "save", &path]);
    assert!(code == 0 && out.starts_with("Saved and verified snapshot to index "), "{out}{err}");
    let (code, out, _) = agent.cli(&["snapshot", "inspect", &path]);
    assert!(code == 0 && out.starts_with("ID       ") && out.contains("\nVersion  1"), "{out}");

    assert_eq!(agent.http("DELETE", "/v1/kv/big/?recurse", "").status, 200);
    assert_eq!(agent.http("PUT", "/v1/kv/later", "x").status, 200);
    let index = |agent: &Agent| {
        let reply = agent.http("GET", "/v1/kv/?keys", "");
        reply.header("x-consul-index").and_then(|v| v.parse::<u64>().ok()).expect("an index")
    };
    let before = index(&agent);
    let (code, out, err) = agent.cli(&["snapshot", "restore", &path]);
    assert!(code == 0 && out.trim() == "Restored snapshot", "{out}{err}");
    assert!(index(&agent) > before);
    let whole = |agent: &Agent| {
        assert_eq!(agent.http("GET", "/v1/kv/big/79?raw", "").text(), "0079".repeat(100_000));
        assert_eq!(agent.http("GET", "/v1/kv/later", "").status, 404);
        assert_eq!(agent.http("PUT", "/v1/kv/after", "y").status, 200);
    };
    whole(&agent);
    agent.program.signal(Signal::KILL);
    agent.program.wait(Duration::from_secs(10));
    let agent = Agent::start_in(agent.folder, SERVER, &data);
    assert_eq!(agent.http("GET", "/v1/kv/after?raw", "").text(), "y");
    whole(&agent);

    let bad = agent.folder.path().join("bad.snap");
    std::fs::write(&bad, &std::fs::read(&file).expect("the archive")[..1000]).expect("a file");
    for command in ["inspect", "restore"] {
        let (code, _, err) = agent.cli(&["snapshot", command, &bad.to_string_lossy()]);
        assert!(code == 1 && err.starts_with("Error "), "{err}");
    }
    whole(&agent);
}

/// The secret of the tokens with all rights in the archives. It is of no use elsewhere.
const ROOT: &str = "11111111-2222-3333-4444-555555555555";

fn get(agent: &Agent, path: &str) -> Reply {
    let sign = if path.contains('?') { '&' } else { '?' };
    agent.http("GET", &format!("{path}{sign}token={ROOT}"), "")
}

/// Restores an archive that was recorded from a server with access control, and looks at what is
/// in both: a node with a service, keys with a lock, a session, prepared queries, intentions.
fn restored(archive: &[u8]) -> Agent {
    let settings = json!({
        "acl": {"enabled": true, "tokens": {"master": ROOT}}, "connect": {"enabled": true},
    });
    let agent = Agent::start(&["-dev"], &settings);
    let file = agent.folder.path().join("original.snap");
    std::fs::write(&file, archive).expect("a file");
    let token = format!("-token={ROOT}");
    let (code, out, err) = agent.cli(&["snapshot", "restore", &token, &file.to_string_lossy()]);
    assert!(code == 0 && out.trim() == "Restored snapshot", "{out}{err}");
    assert_eq!(get(&agent, "/v1/kv/foo/bar?raw").text(), "hello");
    assert_eq!(get(&agent, "/v1/kv/foo/bin?raw").body, [0, 0xff, 0x80, 1]);
    let lock = get(&agent, "/v1/kv/lock").json();
    let session = lock[0]["Session"].as_str().expect("the lock is held").to_owned();
    let session = get(&agent, &format!("/v1/session/info/{session}")).json();
    assert_eq!((&session[0]["Node"], &session[0]["Behavior"]), (&json!("ext"), &json!("delete")));
    assert_eq!(get(&agent, "/v1/catalog/node/ext").json()["Node"]["Address"], "192.0.2.1");
    assert_eq!(get(&agent, "/v1/health/service/es").json()[0]["Service"]["Tags"], json!(["x"]));
    let queries = get(&agent, "/v1/query").json();
    let mut names: Vec<_> =
        queries.as_array().into_iter().flatten().filter_map(|q| q["Name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["geo-", "pq1"]);
    assert_eq!((allowed(&agent, "web", "es"), allowed(&agent, "other", "es")), (true, false));
    agent
}

fn allowed(agent: &Agent, source: &str, destination: &str) -> bool {
    let path = format!("/v1/connect/intentions/check?source={source}&destination={destination}");
    get(agent, &path).json()["Allowed"] == true
}

#[test]
fn an_archive_of_1_2_is_taken() {
    let agent = restored(include_bytes!("archives/1.2.0.snap"));
    // A key is not in there: leaves are signed by another root, and the old one stays known.
    let roots = get(&agent, "/v1/connect/ca/roots").json();
    assert_eq!(roots["Roots"].as_array().map(Vec::len), Some(2), "{roots}");
    let client = "6532cf5f-a367-ab9e-c8b5-5c798e6080c7";
    let read = agent.http("GET", &format!("/v1/kv/foo/bar?raw&token={client}"), "");
    assert_eq!(read.text(), "hello");
}

#[test]
fn an_archive_of_1_10_is_taken() {
    let agent = restored(include_bytes!("archives/1.10.11.snap"));
    // Rules for requests are not known: what had them denies.
    assert!(!allowed(&agent, "web", "api") && allowed(&agent, "web", "unnamed"));
    // Who trusts the old cluster's root trusts the leaves that are signed now.
    let roots = get(&agent, "/v1/connect/ca/roots").json();
    let root = "d4:d6:33:45:fd:97:6e:22:86:e4:77:a4:d4:ef:d1:6f:8d:c1:46:8f";
    assert_eq!((&roots["ActiveRootID"], &roots["Roots"][1]), (&json!(root), &json!(null)));
    let leaf = get(&agent, "/v1/agent/connect/ca/leaf/es");
    assert_eq!(leaf.status, 200, "{}", leaf.text());
    let domain = "spiffe://1800e4a3-ed28-6c9a-2fe1-87d4a3f1608c.consul/";
    assert!(leaf.json()["ServiceURI"].as_str().is_some_and(|uri| uri.starts_with(domain)));
}
