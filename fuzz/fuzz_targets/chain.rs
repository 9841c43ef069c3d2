//! Configuration entries, as they are kept, and the chains that they make.
#![no_main]

use std::time::Duration;

use lictor_state::chain::{CompileOptions, Entries, check, compile};
use serde_json::{Map, Value};

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    let Ok(given) = serde_json::from_slice::<Vec<(String, String, Map<String, Value>)>>(text)
    else {
        return;
    };
    let mut entries = Entries::default();
    for (kind, name, fields) in &given {
        let _ = entries.insert(kind, name, fields);
    }
    let plain = CompileOptions {
        evaluate_in: "dc1",
        used_in: "dc1",
        trust_domain: "x.consul",
        ..CompileOptions::default()
    };
    let wishes = CompileOptions {
        evaluate_in: "dc2",
        mesh_gateway: "local",
        protocol: "grpc",
        connect_timeout: Duration::from_secs(1),
        ..plain
    };
    for (kind, name, _) in &given {
        let _ = check(&entries, kind, name, "dc1");
        for options in [&plain, &wishes] {
            let Ok(chain) = compile(&entries, name, options) else { continue };
            assert!(chain.nodes.contains_key(&chain.start));
        }
    }
});
