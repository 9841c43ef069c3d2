//! Locks and semaphores of several processes, some of which are killed.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use lictor_testkit::{Agent, Program, Signal, binary, wait_for};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

fn start(agent: &Agent, name: &str, arguments: &[&str]) -> Program {
    let mut command = Command::new(binary());
    command.arg("lock").args(arguments).env("CONSUL_HTTP_ADDR", &agent.http);
    command.current_dir(agent.folder.path());
    Program::start(&mut command, &agent.folder.path().join(name)).expect("it starts")
}

fn wait_for_file(path: &Path) {
    wait_for(&format!("{}", path.display()), SOON, || path.exists().then_some(()));
}

#[test]
fn a_lock_has_one_holder_and_outlives_its_death() {
    let agent = Agent::dev(&json!({}));
    let folder = agent.folder.path();
    // The program of the first goes on when the first is killed; it must not outlive the test.
    let program = "echo $$ > first.pid; exec sleep 100";
    let mut first = start(&agent, "first.log", &["p", program]);
    wait_for_file(&folder.join("first.pid"));
    let entry = agent.json("GET", "/v1/kv/p/.lock", &Value::Null);
    assert_eq!(entry[0]["Flags"], json!(0x2ddc_cbc0_58a5_0c18_u64));
    assert!(entry[0]["Session"].as_str().is_some_and(|session| session.len() == 36));

    let begun = Instant::now();
    let (code, _, err) = agent.cli(&["lock", "-timeout=1s", "p", "touch never"]);
    assert_eq!((code, err.trim()), (1, "Shutdown triggered or timeout during lock acquisition"));
    assert!(begun.elapsed() >= Duration::from_secs(1) && !folder.join("never").exists());

    let mut second = start(&agent, "second.log", &["p", "echo $CONSUL_LOCK_HELD > second"]);
    first.signal(Signal::KILL);
    first.wait(SOON);
    let pid = std::fs::read_to_string(folder.join("first.pid")).expect("a file");
    let _ = Command::new("kill").arg(pid.trim()).status();
    // Nobody renews the session: it ends after twice its time, and then the lock-delay runs.
    let ended = second.wait(Duration::from_secs(100));
    assert!(ended.success(), "{}", second.output());
    let held = std::fs::read_to_string(folder.join("second")).expect("it ran");
    assert_eq!(held.trim(), "true");
    assert_eq!(agent.http("GET", "/v1/kv/?keys", "").text().trim(), "[]");
    assert_eq!(agent.json("GET", "/v1/session/list", &Value::Null), json!([]));
}

#[test]
fn a_lost_lock_and_a_signal_end_the_program() {
    let agent = Agent::dev(&json!({}));
    let folder = agent.folder.path();
    let program = |name: &str| {
        format!(
            "trap 'echo told > {name}.end; exit 0' TERM; touch {name}; while :; do sleep 0.05; done"
        )
    };
    let mut lost = start(&agent, "lost.log", &["-verbose", "a", &program("lost")]);
    wait_for_file(&folder.join("lost"));
    let entry = agent.json("GET", "/v1/kv/a/.lock", &Value::Null);
    let session = entry[0]["Session"].as_str().expect("a session").to_owned();
    let _ = agent.json("PUT", &format!("/v1/session/destroy/{session}"), &Value::Null);
    lost.wait(SOON);
    assert!(lost.output().contains("Lock lost, killing child"), "{}", lost.output());
    assert!(folder.join("lost.end").exists());

    let mut told = start(&agent, "told.log", &["b", &program("told")]);
    wait_for_file(&folder.join("told"));
    told.signal(Signal::TERM);
    assert!(told.wait(SOON).success(), "{}", told.output());
    assert!(folder.join("told.end").exists());
    assert_eq!(agent.http("GET", "/v1/kv/b/.lock", "").status, 404);

    let (code, _, _) = agent.cli(&["lock", "-child-exit-code", "c", "exit 7"]);
    assert_eq!(code, 2);
    let (code, _, _) = agent.cli(&["lock", "c", "exit 7"]);
    assert_eq!(code, 0);
    let (code, out, _) = agent.cli(&["lock", "-shell=false", "c", "echo", "$HOME", "x"]);
    assert_eq!((code, out.as_str()), (0, "$HOME x\n"));
    assert_eq!(agent.http("PUT", "/v1/kv/d/.lock", "mine").status, 200);
    let (code, _, err) = agent.cli(&["lock", "d", "true"]);
    assert_eq!(
        (code, err.trim()),
        (1, "Lock acquisition failed: Existing key does not match lock use")
    );
}

#[test]
fn a_semaphore_has_as_many_holders_as_places() {
    let agent = Agent::dev(&json!({}));
    let folder = agent.folder.path();
    let mut holders: Vec<Program> = (0..2)
        .map(|n| {
            let program = format!("touch in{n}; while ! [ -e go{n} ]; do sleep 0.05; done");
            start(&agent, &format!("{n}.log"), &["-n=2", "s", &program])
        })
        .collect();
    (0..2).for_each(|n| wait_for_file(&folder.join(format!("in{n}"))));
    let (code, _, err) = agent.cli(&["lock", "-n=2", "-timeout=500ms", "s", "touch never"]);
    assert_eq!((code, err.trim()), (1, "Shutdown triggered or timeout during lock acquisition"));
    let (code, _, err) = agent.cli(&["lock", "-n=3", "s", "touch never"]);
    assert!(code == 1 && err.contains("semaphore limit conflict (lock: 2, local: 3)"), "{err}");
    let (code, _, err) = agent.cli(&["lock", "s", "touch never"]);
    assert!(code == 1 && err.contains("Existing key does not match lock use"), "{err}");
    assert!(!folder.join("never").exists());

    let mut third = start(&agent, "third.log", &["-n=2", "s", "touch third"]);
    std::fs::write(folder.join("go0"), "").expect("a file");
    assert!(holders.remove(0).wait(SOON).success());
    assert!(third.wait(SOON).success(), "{}", third.output());
    assert!(folder.join("third").exists());
    std::fs::write(folder.join("go1"), "").expect("a file");
    assert!(holders.remove(0).wait(SOON).success());
    assert_eq!(agent.http("GET", "/v1/kv/?keys", "").text().trim(), "[]");
}
