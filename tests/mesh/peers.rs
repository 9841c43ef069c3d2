//! Peers that break off, dawdle, flood, or speak other dialects of TLS: each is dealt with alone.
//!
//! The proxies are managed ones, so that their limits can be set as users set them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lictor_testkit::{Agent, free_ports, wait_for};
use serde_json::{Value, json};

use crate::doors::{knock, leaf};
use crate::scene;

/// `db` on `application` behind a proxy with these settings, and `web` with a local port to it.
struct Mesh {
    agent: Agent,
    public: u16,
    local: u16,
}

fn mesh(application: u16, db: &Value) -> Mesh {
    let [local] = free_ports::<1>();
    let agent = Agent::dev(&json!({
        "connect": {"enabled": true, "proxy": {"allow_managed_root": true}},
        "services": [
            {"name": "db", "port": application, "connect": {"proxy": {"config": db}}},
            {"name": "web", "port": 1, "connect": {"proxy": {"config": {"upstreams": [
                {"destination_name": "db", "local_bind_port": local},
            ]}}}},
        ],
    }));
    scene::wait_until_reaches(local, true);
    let services = agent.json("GET", "/v1/agent/services", &Value::Null);
    let public = services["db-proxy"]["Port"].as_u64().and_then(|port| u16::try_from(port).ok());
    leaf(&agent, "web", "web");
    Mesh { agent, public: public.expect("a port"), local }
}

const OWN: [&str; 4] = ["-cert", "web.pem", "-key", "web.key"];

/// By how much the lengths of two ECDSA signatures with P-256 differ at most, and a bit more.
const SIGNATURE_SPREAD: usize = 8;

/// What an application got on a connection, and whether that ended in order.
type Heard = Arc<Mutex<Vec<(Vec<u8>, bool)>>>;

/// An application that sends back what it gets, and keeps how each connection ended.
fn listener() -> (u16, Heard) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let heard = Heard::default();
    let kept = Arc::clone(&heard);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || {
                let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
                let in_order = loop {
                    match stream.read(&mut buffer) {
                        Ok(0) => break true,
                        Ok(count) => {
                            all.extend_from_slice(&buffer[..count]);
                            let _ = stream.write_all(&buffer[..count]);
                        }
                        Err(_) => break false,
                    }
                };
                kept.lock().expect("no panic while held").push((all, in_order));
            });
        }
    });
    (port, heard)
}

/// A relay for one connection that passes on `limit` bytes of the client and then ends it. The
/// thread tells whether the server ended its side in time.
fn cut(target: u16, limit: usize) -> (u16, std::thread::JoinHandle<bool>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let relay = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let mut server = scene::connect(target).expect("the proxy accepts");
        let (mut to_client, mut from_server) =
            (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
        from_server.set_read_timeout(Some(Duration::from_secs(15))).expect("a socket option");
        let back = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            let in_time = loop {
                match from_server.read(&mut buffer) {
                    Ok(0) => break true,
                    Ok(count) => drop(to_client.write_all(&buffer[..count])),
                    Err(e) => {
                        break !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                    }
                }
            };
            let _ = to_client.shutdown(Shutdown::Both);
            in_time
        });
        let (mut passed, mut buffer) = (0, [0; 4096]);
        while passed < limit {
            let room = buffer.len().min(limit - passed);
            match client.read(&mut buffer[..room]) {
                Ok(count @ 1..) if server.write_all(&buffer[..count]).is_ok() => passed += count,
                _ => break,
            }
        }
        let _ = server.shutdown(Shutdown::Write);
        back.join().expect("no panic")
    });
    (port, relay)
}

#[test]
fn a_stream_that_breaks_off_anywhere_is_never_taken_for_a_whole_one() {
    let (application, heard) = listener();
    let mesh = mesh(application, &json!({}));
    let folder = mesh.agent.folder.path();
    let (tap, recorded) = scene::tap(mesh.public);
    assert_eq!(knock(folder, tap, &OWN), "hello\n");
    let whole = recorded.forth.lock().expect("no panic while held").len();
    wait_for("the first connection's end", scene::PATIENCE, || {
        let heard = heard.lock().expect("no panic while held");
        heard.iter().any(|(bytes, _)| bytes == b"hello\n").then_some(())
    });
    heard.lock().expect("no panic while held").clear();

    let steps = (1..16).map(|step| whole * step / 16);
    // Around the borders of records: the header of the first, and the last with its data.
    let borders = [0, 1, 4, 5, 6, whole - 29, whole - 28, whole - 27, whole - 1];
    let mut may_be_whole = 0;
    for limit in steps.chain(borders) {
        let (port, relay) = cut(mesh.public, limit);
        let answer = knock(folder, port, &OWN);
        // Signatures differ by a few bytes in length: near the end all of the data may get through.
        let may_pass = limit + SIGNATURE_SPREAD >= whole;
        may_be_whole += usize::from(may_pass);
        let fits = answer.is_empty() || (may_pass && answer == "hello\n");
        assert!(fits, "{answer:?} when cut off after {limit} of {whole} bytes");
        assert!(relay.join().expect("no panic"), "not ended after {limit} of {whole} bytes");
    }
    scene::wait_until_reaches(mesh.local, true);
    let heard = heard.lock().expect("no panic while held");
    for (bytes, in_order) in heard.iter().filter(|(bytes, _)| bytes != b"hello") {
        assert!(bytes.is_empty() || bytes == b"hello\n", "half a record is not passed on");
        // With a shorter signature than the first time, everything was passed on, the word too.
        if *in_order && bytes == b"hello\n" && may_be_whole > 0 {
            may_be_whole -= 1;
            continue;
        }
        assert!(!in_order, "an end without a word is no regular end");
    }
}

#[test]
fn silent_and_dawdling_callers_are_cut_and_others_served() {
    let deadline = Duration::from_millis(1500);
    let settings = json!({"handshake_timeout_ms": deadline.as_millis()});
    let mesh = mesh(scene::echo(), &settings);
    let mut open = scene::connect(mesh.local).expect("the upstream listens");
    scene::round_trip(&mut open, b"before").expect("allowed");
    let connect = || scene::connect(mesh.public).expect("the listener accepts");
    let start = Instant::now();
    let silent: Vec<_> = (0..100).map(|_| connect()).collect();
    // A handshake message of 512 bytes, a byte each second.
    let mut dawdling = connect();
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 501]].concat();
    dawdling.set_read_timeout(Some(Duration::from_secs(1))).expect("a socket option");
    let mut sent = 0;
    let cut_after = loop {
        if dawdling.write_all(&hello[sent..=sent]).is_err() {
            break start.elapsed();
        }
        sent += 1;
        match dawdling.read(&mut [0; 64]) {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            _ => break start.elapsed(),
        }
        assert!(scene::reaches(mesh.local), "others are served meanwhile");
        assert!(sent < 20, "still not cut after {:?}", start.elapsed());
    };
    assert!(cut_after >= deadline, "cut before its time, after {cut_after:?}");
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket option");
        let end = stream.read(&mut [0; 64]);
        let timed_out = matches!(&end, Err(e) if
            matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        assert!(!timed_out, "a silent caller is cut, too");
    }
    scene::round_trip(&mut open, b"after").expect("no open connection was touched");
}

#[test]
fn a_flood_over_the_limit_waits_and_passes() {
    let settings = json!({"handshake_timeout_ms": 1000, "max_connections": 4});
    let mesh = mesh(scene::echo(), &settings);
    let mut open = scene::connect(mesh.local).expect("the upstream listens");
    scene::round_trip(&mut open, b"before").expect("allowed");
    let flood: Vec<_> =
        (0..12).map(|_| scene::connect(mesh.public).expect("the system accepts")).collect();
    scene::round_trip(&mut open, b"during").expect("who is in stays in");
    // It waits behind the flood, of which a few are cut at a time.
    let mut late = scene::connect(mesh.local).expect("the upstream listens");
    scene::round_trip(&mut late, b"late").expect("its turn comes");
    drop(flood);
    let mut held = vec![open, late];
    held.extend((0..2).map(|_| scene::connect(mesh.local).expect("the upstream listens")));
    for stream in &mut held {
        scene::round_trip(stream, b"all four").expect("as many as allowed");
    }
    let mut fifth = scene::connect(mesh.local).expect("the upstream listens");
    fifth.write_all(b"hello").expect("a socket");
    fifth.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket option");
    assert!(fifth.read(&mut [0; 5]).is_err(), "one more has to wait");
    held.pop();
    fifth.set_read_timeout(Some(scene::PATIENCE)).expect("a socket option");
    fifth.read_exact(&mut [0; 5]).expect("a place became free");
}

#[test]
fn other_dialects_of_tls_are_spoken_or_refused_cleanly() {
    let mesh = mesh(scene::echo(), &json!({}));
    let folder = mesh.agent.folder.path();
    let with = |extra: &[&str]| knock(folder, mesh.public, &[&OWN[..], extra].concat());
    for spoken in [
        &["-tls1_2"][..],
        &["-tls1_3"],
        // No hybrid with a post-quantum part.
        &["-tls1_3", "-groups", "X25519"],
        &["-tls1_3", "-groups", "P-256"],
        &["-tls1_3", "-groups", "P-384:X25519"],
        &["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
        &["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
        // By default openssl says nothing about protocols; these are not known here.
        &["-alpn", "h2,http/1.1"],
        &["-servername", "db.service.consul"],
        &["-noservername"],
        &["-max_send_frag", "512"],
    ] {
        assert_eq!(with(spoken), "hello\n", "{spoken:?}");
    }
    for refused in [
        &["-tls1_3", "-groups", "X448"][..],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"],
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
    ] {
        assert_eq!(with(refused), "", "{refused:?}");
    }
    assert!(scene::reaches(mesh.local), "others are served");
}

/// The secret that the managed proxy `id` of this agent was given.
fn token(agent: &Agent, id: &str) -> String {
    let wanted = format!("CONNECT_PROXY_ID={id}");
    wait_for("the proxy's process", scene::PATIENCE, || {
        std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
            let environment = std::fs::read(entry.path().join("environ")).ok()?;
            let text = String::from_utf8_lossy(&environment);
            let words: Vec<_> = text.split('\0').collect();
            let ours = words.iter().any(|w| w.contains("HTTP_ADDR=") && w.contains(&agent.http));
            let secret = words.iter().find_map(|w| w.strip_prefix("CONNECT_PROXY_TOKEN="))?;
            (ours && words.contains(&wanted.as_str())).then(|| secret.to_owned())
        })
    })
}

#[test]
fn a_proxy_gets_the_identity_of_its_own_service_only() {
    let mesh = mesh(scene::echo(), &json!({}));
    let token = token(&mesh.agent, "db-proxy");
    let ask = |service: &str| {
        let path = format!("/v1/agent/connect/ca/leaf/{service}?token={token}");
        mesh.agent.http("GET", &path, "")
    };
    let own = ask("db");
    assert_eq!(own.status, 200, "{}", own.text());
    assert!(own.json()["ServiceURI"].as_str().is_some_and(|uri| uri.ends_with("/svc/db")));
    for other in ["web", "DB", "db/", "db%2f", "db%00", "*", "..%2fsvc%2fweb"] {
        let reply = ask(other);
        assert!(reply.status >= 300, "{other}: {} {}", reply.status, reply.text());
        assert!(!reply.text().contains("PRIVATE KEY"), "{other}");
    }
}
