//! Snapshots over HTTP and on the command line: saved, restored, and there after a crash.

use std::time::Duration;

use lictor_testkit::{Agent, Signal};
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
