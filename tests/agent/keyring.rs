//! The keys of gossip: rotated by an operator, and there after a crash.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use lictor_testkit::{Agent, Signal, request};
use serde_json::json;

const SERVER: &[&str] = &["-server", "-bootstrap-expect=1"];
const FIRST: &str = "AAAAAAAAAAAAAAAAAAAAAA==";
const SECOND: &str = "AQEBAQEBAQEBAQEBAQEBAQ==";

#[test]
fn keys_are_rotated_and_survive_kill_9() {
    let folder = tempfile::Builder::new().prefix("lictor-keyring-").tempdir().expect("a folder");
    let data = json!({"data_dir": folder.path().join("data"), "encrypt": FIRST});
    let mut agent = Agent::start_in(folder, SERVER, &data);
    let listed = |agent: &Agent| {
        let (code, out, err) = agent.cli(&["keyring", "-list"]);
        assert_eq!(code, 0, "{out}{err}");
        assert!(out.contains("\nWAN:\n") && out.contains("\ndc1 (LAN):\n"), "{out}");
        (out.matches(FIRST).count(), out.matches(SECOND).count())
    };
    assert_eq!(listed(&agent), (2, 0));
    let run = |agent: &Agent, flag: &str, key: &str| {
        let (code, out, err) = agent.cli(&["keyring", flag, key]);
        (code, out + &err)
    };
    assert!(run(&agent, "-use", SECOND).1.contains("requested key is not in the keyring"));
    assert_eq!(run(&agent, "-install", SECOND).0, 0);
    assert_eq!(run(&agent, "-use", SECOND).0, 0);
    assert!(run(&agent, "-remove", SECOND).1.contains("removing the primary key is not allowed"));
    assert!(run(&agent, "-install", "AAAA").1.contains("key size must be 16, 24 or 32 bytes"));
    for file in ["local.keyring", "remote.keyring"] {
        let path = agent.folder.path().join("data/serf").join(file);
        let text = std::fs::read_to_string(&path).expect("the file is there");
        let keys: Vec<String> = serde_json::from_str(&text).expect("a list");
        assert_eq!(keys, [SECOND, FIRST]);
        let mode = std::fs::metadata(&path).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    agent.program.signal(Signal::KILL);
    agent.program.wait(Duration::from_secs(10));
    let agent = Agent::start_in(agent.folder, SERVER, &data);
    assert_eq!(listed(&agent), (2, 2));
    assert_eq!(run(&agent, "-remove", FIRST).0, 0);
    assert_eq!(listed(&agent), (0, 2));
}

#[test]
fn the_keys_of_one_datacenter_alone() {
    let folder = tempfile::Builder::new().prefix("lictor-keyring-").tempdir().expect("a folder");
    let data = json!({"data_dir": folder.path().join("data"), "encrypt": FIRST});
    let agent = Agent::start_in(folder, SERVER, &data);
    let run = |words: &[&str]| {
        let (code, out, err) = agent.cli(&[&["keyring"], words].concat());
        (code, out + &err)
    };
    assert_eq!(run(&["-install", SECOND]).0, 0);
    let (code, said) = run(&["-list", "-local-only"]);
    assert!(code == 0 && said.contains("dc1 (LAN):") && !said.contains("WAN"), "{said}");
    let (code, said) = run(&["-list-primary"]);
    let shown = (said.matches(FIRST).count(), said.matches(SECOND).count());
    assert!(code == 0 && said.contains("primary") && shown == (2, 0), "{said}");
    assert!(run(&["-list-primary", "-list"]).1.contains("Only a single action is allowed"));
    let refused = "local-only can only be set for list requests";
    let (code, said) = run(&["-use", SECOND, "-local-only"]);
    assert!(code == 1 && said.contains(refused), "{said}");

    let list = request(&agent.http, "GET", "/v1/operator/keyring?local-only=1", b"")
        .expect("an answer")
        .json();
    let pool = &list.as_array().filter(|list| list.len() == 1).expect("one pool")[0];
    assert_eq!((&pool["WAN"], &pool["PrimaryKeys"]), (&json!(false), &json!({ FIRST: 1 })));
    assert_eq!(
        request(&agent.http, "GET", "/v1/operator/keyring?local-only=false", b"")
            .expect("an answer")
            .json()[0]["WAN"],
        json!(true)
    );
    let body = json!({ "Key": SECOND }).to_string().into_bytes();
    let refused = format!("Invalid use of local-only: {refused}");
    for (method, query, text) in [
        ("PUT", "true", refused.as_str()),
        (
            "GET",
            "maybe",
            "Error parsing local-only: strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
    ] {
        let path = format!("/v1/operator/keyring?local-only={query}");
        let reply = request(&agent.http, method, &path, &body).expect("an answer");
        assert_eq!((reply.status, reply.text().trim()), (400, text));
    }
    assert_eq!(
        request(&agent.http, "PUT", "/v1/operator/keyring?local-only=false", &body)
            .expect("an answer")
            .status,
        200
    );
}

#[test]
fn without_a_key_there_is_no_encryption() {
    let agent = Agent::dev(&json!({}));
    let (code, _, err) = agent.cli(&["keyring", "-list"]);
    assert!(code == 1 && err.contains("Keyring is empty (encryption not enabled)"), "{err}");
    let (code, _, err) = agent.cli(&["keyring", "-list", "-use", FIRST]);
    assert_eq!((code, err.trim()), (1, "Only a single action is allowed"));
    // In development the key is in memory only, but works.
    let agent = Agent::dev(&json!({"encrypt": FIRST}));
    let (code, out, _) = agent.cli(&["keyring", "-list"]);
    assert!(code == 0 && out.contains(FIRST), "{out}");
}
