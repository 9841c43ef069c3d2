//! A new root of the certificate authority costs no connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::scene::{self, openssl};

fn active_root(pair: &scene::Pair) -> String {
    let roots = pair.agent.json("GET", "/v1/connect/ca/roots", &Value::Null);
    roots["ActiveRootID"].as_str().expect("an active root").to_owned()
}

fn serial(pair: &scene::Pair, service: &str) -> String {
    let path = format!("/v1/agent/connect/ca/leaf/{service}");
    pair.agent.json("GET", &path, &Value::Null)["SerialNumber"].to_string()
}

#[test]
fn a_rotation_loses_no_connection() {
    let pair = scene::pair(scene::echo(), scene::reaches);
    let folder = pair.agent.folder.path();
    let local = pair.local;
    let stop = Arc::new(AtomicBool::new(false));
    let made = Arc::new(AtomicU64::new(0));
    let mut loops = Vec::new();
    for _ in 0..4 {
        let (stop, made) = (Arc::clone(&stop), Arc::clone(&made));
        loops.push(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let mut stream = scene::connect(local)?;
                scene::round_trip(&mut stream, b"new")?;
                made.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, std::io::Error>(())
        }));
    }
    let mut long: Vec<_> =
        (0..10).map(|_| scene::connect(local).expect("the upstream listens")).collect();
    let mut check = |when: &str| {
        for stream in &mut long {
            scene::round_trip(stream, b"long-lived").unwrap_or_else(|e| panic!("{when}: {e}"));
        }
    };
    check("before");
    for round in 0..2 {
        let (root, web) = (active_root(&pair), serial(&pair, "web"));
        openssl(folder, &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "n.key"]);
        let key = std::fs::read_to_string(folder.join("n.key")).expect("just written");
        let config = json!({"Provider": "consul", "Config": {"PrivateKey": key}});
        std::fs::write(folder.join("ca.json"), config.to_string()).expect("a file");
        let set = pair.agent.cli(&["connect", "ca", "set-config", "-config-file", "ca.json"]);
        assert_eq!(set, (0, "Configuration updated!\n".to_owned(), String::new()));
        assert_ne!(active_root(&pair), root, "round {round}: a new root is active");
        check("right after the rotation");
        lictor_testkit::wait_for("a leaf of the new root", Duration::from_secs(60), || {
            (serial(&pair, "web") != web).then_some(())
        });
        let so_far = made.load(Ordering::Relaxed);
        lictor_testkit::wait_for("connections after the rotation", scene::PATIENCE, || {
            (made.load(Ordering::Relaxed) > so_far + 200).then_some(())
        });
        check("with new leaves");
    }
    stop.store(true, Ordering::Relaxed);
    for one in loops {
        one.join().expect("no panic").expect("no connection was lost");
    }
    println!("connections made over two rotations: {}", made.load(Ordering::Relaxed));
}
