//! The authority of the mesh in Vault: signatures, rotations to it and back, and what happens when it
//! is away, wrong or lies.

mod server;
mod signing;

use std::time::Duration;

use lictor_testkit::{Agent, Reply, free_ports, wait_for};
use serde_json::{Value, json};

use self::server::{FakeVault, Mood, TOKEN};
use crate::scene;

/// An agent with its authority in this Vault from the beginning.
fn settings(vault: &FakeVault, token: &str) -> Value {
    json!({"connect": {"enabled": true, "ca_provider": "vault", "ca_config": {
        "address": vault.address, "token": token, "root_pki_path": "root",
        "intermediate_pki_path": "int/", "leaf_cert_ttl": "2h",
    }}})
}

fn config(vault: &FakeVault, root: &str, intermediate: &str) -> Value {
    json!({"Provider": "vault", "Config": {
        "Address": vault.address, "Token": TOKEN, "RootPKIPath": root,
        "IntermediatePKIPath": intermediate,
    }})
}

fn set(agent: &Agent, config: &Value) -> Reply {
    agent.http("PUT", "/v1/connect/ca/configuration", &config.to_string())
}

fn roots(agent: &Agent) -> Vec<Value> {
    let roots = agent.json("GET", "/v1/connect/ca/roots", &Value::Null);
    roots["Roots"].as_array().expect("a list").clone()
}

fn active(agent: &Agent) -> Value {
    let mut roots = roots(agent);
    roots.retain(|root| root["Active"] == true);
    assert_eq!(roots.len(), 1);
    roots.remove(0)
}

fn leaf(agent: &Agent, service: &str) -> Reply {
    let body = json!({"Name": service, "Port": 80}).to_string();
    let registered = agent.http("PUT", "/v1/agent/service/register", &body);
    assert_eq!(registered.status, 200, "{}", registered.text());
    agent.http("GET", &format!("/v1/agent/connect/ca/leaf/{service}"), "")
}

/// The chain of a service's leaf, which leads to the root that is active.
fn chain(agent: &Agent, service: &str) -> String {
    let reply = leaf(agent, service);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let pem = reply.json()["CertPEM"].as_str().expect("PEM").to_owned();
    let root = active(agent)["RootCert"].as_str().expect("PEM").to_owned();
    assert!(signing::leads_to(&pem, &root), "{pem}");
    pem
}

#[test]
fn leaves_are_signed_in_vault() {
    let vault = FakeVault::start();
    let agent = Agent::dev(&settings(&vault, TOKEN));
    let pem = chain(&agent, "web");
    assert_eq!(pem.matches("BEGIN").count(), 2, "leaf and what signed it");
    assert_eq!(vault.calls("PUT /v1/int/sign/leaf-cert"), 1);
    assert!(signing::leads_to(&pem, &vault.certificate("root/")));
    let reply = leaf(&agent, "web").json();
    let date = |name: &str| {
        let text = reply[name].as_str().expect("a time");
        time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
            .expect("a time")
    };
    let life = (date("ValidBefore") - date("ValidAfter")).whole_seconds();
    assert!((7200..7300).contains(&life), "{life}");
    let row = active(&agent);
    assert_eq!(row["Name"], "Vault CA Root Cert");
    assert_eq!(row["IntermediateCerts"].as_array().map(Vec::len), Some(1));
    // The token is shown nowhere, and what is shown can be given back.
    let shown = agent.json("GET", "/v1/connect/ca/configuration", &Value::Null);
    assert_eq!(
        (&shown["Provider"], &shown["Config"]["Token"]),
        (&"vault".into(), &"hidden".into())
    );
    let mut longer = shown;
    longer["Config"]["LeafCertTTL"] = "3h".into();
    let changed = set(&agent, &longer);
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(active(&agent)["ID"], row["ID"]);
    chain(&agent, "api");
    let own = agent.http("GET", "/v1/agent/self", "").text();
    assert!(!own.contains(TOKEN) && !agent.program.output().contains(TOKEN));
}

#[test]
fn a_rotation_between_providers_loses_no_connection() {
    let vault = FakeVault::start();
    let pair = scene::pair(scene::echo(), scene::reaches);
    let agent = &pair.agent;
    let mut long: Vec<_> =
        (0..5).map(|_| scene::connect(pair.local).expect("the upstream listens")).collect();
    let mut check = |when: &str| {
        for stream in &mut long {
            scene::round_trip(stream, b"long-lived").unwrap_or_else(|e| panic!("{when}: {e}"));
        }
        for _ in 0..20 {
            let mut new = scene::connect(pair.local).expect("the upstream listens");
            scene::round_trip(&mut new, b"new").unwrap_or_else(|e| panic!("{when}: {e}"));
        }
    };
    check("before");
    let mut rsa = config(&vault, "root2", "int2");
    rsa["Config"]["PrivateKeyType"] = "rsa".into();
    let steps = [
        ("to Vault", config(&vault, "root1", "int1")),
        ("to another root", config(&vault, "root3", "int1")),
        ("to RSA at other paths", rsa),
        ("back to consul", json!({"Provider": "consul", "Config": {}})),
        ("to Vault again", config(&vault, "root3", "int1")),
    ];
    for (step, config) in steps {
        let before = active(agent);
        let serial = |service: &str| leaf_serial(agent, service);
        let leaves = ["web", "db"].map(serial);
        let reply = set(agent, &config);
        assert_eq!(reply.status, 200, "{step}: {}", reply.text());
        check(step);
        let after = active(agent);
        assert_ne!(before["ID"], after["ID"], "{step}");
        let name = if config["Provider"] == "vault" { "Vault" } else { "Consul" };
        assert_eq!(after["Name"], format!("{name} CA Root Cert"));
        wait_for("leaves of the new root", Duration::from_secs(60), || {
            let now = ["web", "db"].map(serial);
            (now[0] != leaves[0] && now[1] != leaves[1]).then_some(())
        });
        check(&format!("{step}, with new leaves"));
        // Who knows the former root alone accepts the new leaf.
        let pem = chain(agent, "other");
        assert!(signing::leads_to(&pem, before["RootCert"].as_str().expect("PEM")), "{step}");
    }
    // What signed leaves is taken away with its provider, roots never are.
    assert_eq!(vault.mounts(), ["int1/", "root1/", "root2/", "root3/"]);
}

fn leaf_serial(agent: &Agent, service: &str) -> String {
    let path = format!("/v1/agent/connect/ca/leaf/{service}");
    agent.json("GET", &path, &Value::Null)["SerialNumber"].to_string()
}

#[test]
fn what_cannot_be_used_changes_nothing() {
    let vault = FakeVault::start();
    let agent = Agent::dev(&json!({}));
    let before = (active(&agent)["ID"].clone(), roots(&agent).len());
    let refused = |change: &dyn Fn(&mut Value), expected: &str| {
        let mut config = config(&vault, "root", "int");
        change(&mut config["Config"]);
        let reply = set(&agent, &config);
        let text = reply.text();
        assert_eq!(reply.status, 500, "{text}");
        assert!(text.contains(expected) && !text.contains(TOKEN), "{text}");
    };
    refused(&|config| config["Token"] = "s.wrong".into(), "the token is wrong or its life is over");
    refused(&|config| config["RootPKIPath"] = "secret".into(), "path is already in use at secret/");
    refused(&|config| config["IntermediatePKIPath"] = "secret".into(), "already in use");
    refused(
        &|config| config["IntermediatePKIPath"] = "".into(),
        "a valid path for the intermediate",
    );
    refused(&|config| config["Address"] = "http://127.0.0.1:1".into(), "Vault cannot be reached");
    refused(&|config| config["Address"] = "vault".into(), "not of the form https://host:port");
    for (mood, expected) in [(Mood::Sealed, "unseal it"), (Mood::Away, "Vault cannot be reached")] {
        vault.set_mood(mood);
        refused(&|_| {}, expected);
    }
    assert_eq!((active(&agent)["ID"].clone(), roots(&agent).len()), before);
    chain(&agent, "web");
    vault.set_mood(Mood::Well);
    let reply = set(&agent, &config(&vault, "root", "int"));
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn what_vault_signs_is_looked_at() {
    let vault = FakeVault::start();
    let agent = Agent::dev(&settings(&vault, TOKEN));
    chain(&agent, "web");
    for (mood, service, expected) in [
        (Mood::OtherKey, "a", "it has another key"),
        (Mood::MoreNames, "b", "it has names that were not asked for"),
        (Mood::LongLives, "c", "it lives longer than was asked for"),
    ] {
        vault.set_mood(mood);
        let reply = leaf(&agent, service);
        assert_eq!(reply.status, 500, "{mood:?}");
        assert!(reply.text().contains(expected), "{mood:?}: {}", reply.text());
    }
    vault.set_mood(Mood::Well);
    chain(&agent, "d");
}

#[test]
fn a_rotation_that_cannot_be_completed_leaves_the_engine_as_it_was() {
    let vault = FakeVault::start();
    let agent = Agent::dev(&settings(&vault, TOKEN));
    chain(&agent, "web");
    let before = active(&agent)["ID"].clone();
    vault.set_mood(Mood::NoCrossing);
    // The engine for leaves is the same, and has been given a key below the other root by then.
    let reply = set(&agent, &config(&vault, "root2", "int"));
    let text = reply.text();
    assert_eq!(reply.status, 500);
    assert!(text.starts_with("cannot cross-sign the root: Vault refused PUT /v1/root/"), "{text}");
    assert!(text.contains("the token's policies must allow this path"), "{text}");
    assert_eq!(active(&agent)["ID"], before);
    let pem = chain(&agent, "api");
    assert!(signing::leads_to(&pem, &vault.certificate("root/")));
    vault.set_mood(Mood::Well);
    let reply = set(&agent, &config(&vault, "root2", "int"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    chain(&agent, "cache");
}

#[test]
fn an_engine_that_somebody_takes_away_is_made_again() {
    let vault = FakeVault::start();
    let agent = Agent::dev(&settings(&vault, TOKEN));
    chain(&agent, "web");
    let before = active(&agent);
    vault.unmount("int/");
    let reply = leaf(&agent, "api");
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("nothing is mounted there"), "{}", reply.text());
    wait_for("a leaf", Duration::from_secs(60), || {
        (leaf(&agent, "api").status == 200).then_some(())
    });
    let after = active(&agent);
    assert_eq!(before["ID"], after["ID"]);
    assert_ne!(before["SigningKeyID"], after["SigningKeyID"]);
    chain(&agent, "api");
}

#[test]
fn a_server_starts_while_vault_is_away() {
    let vault = FakeVault::start();
    let folder = tempfile::Builder::new().prefix("lictor-vault-").tempdir().expect("a folder");
    let mut config = settings(&vault, TOKEN);
    config["data_dir"] = json!(folder.path().join("data"));
    let arguments = ["-server", "-bootstrap-expect=1"];
    let mut agent = Agent::start_in(folder, &arguments, &config);
    chain(&agent, "web");
    let before = active(&agent);
    agent.program.signal(rustix::process::Signal::TERM);
    agent.program.wait(scene::PATIENCE);
    let Agent { folder, program, .. } = agent;
    drop(program);

    vault.set_mood(Mood::Away);
    let agent = Agent::start_in(folder, &arguments, &config);
    let put = agent.http("PUT", "/v1/kv/a", "b");
    assert_eq!((put.status, put.text()), (200, "true".to_owned()), "the rest of the server works");
    assert_eq!(active(&agent), before, "roots are known");
    let reply = leaf(&agent, "web");
    assert_eq!(reply.status, 500);
    let text = reply.text();
    assert!(text.contains("not ready yet: ") && text.contains("Vault cannot be reached"), "{text}");
    // What it is made of can be changed meanwhile, but not its root: nobody could sign it across.
    let reply = set(&agent, &json!({"Provider": "consul", "Config": {}}));
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("first bring it back"), "{}", reply.text());

    vault.set_mood(Mood::Well);
    wait_for("a leaf", Duration::from_secs(60), || {
        (leaf(&agent, "web").status == 200).then_some(())
    });
    chain(&agent, "web");
    // The key that signs is the one from before: nothing was made anew.
    assert_eq!(active(&agent), before);
    assert_eq!(vault.calls("PUT /v1/int/intermediate/generate/internal"), 1);
}

#[test]
fn whoever_has_lost_vault_can_go_on_without() {
    let vault = FakeVault::start();
    let folder = tempfile::Builder::new().prefix("lictor-vault-").tempdir().expect("a folder");
    let mut config = settings(&vault, TOKEN);
    config["data_dir"] = json!(folder.path().join("data"));
    let arguments = ["-server", "-bootstrap-expect=1"];
    let mut agent = Agent::start_in(folder, &arguments, &config);
    let before = active(&agent);
    agent.program.signal(rustix::process::Signal::TERM);
    agent.program.wait(scene::PATIENCE);
    let Agent { folder, program, .. } = agent;
    drop(program);
    vault.set_mood(Mood::Away);
    let agent = Agent::start_in(folder, &arguments, &config);
    let mut change = json!({"Provider": "consul", "Config": {}});
    let reply = set(&agent, &change);
    assert!(reply.text().contains("set ForceWithoutCrossSigning"), "{}", reply.text());
    change["ForceWithoutCrossSigning"] = true.into();
    let reply = set(&agent, &change);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let pem = chain(&agent, "web");
    assert_eq!(pem.matches("BEGIN").count(), 1, "nothing leads here from the old root");
    assert!(roots(&agent).iter().any(|root| root["ID"] == before["ID"]), "which is still trusted");
}

#[test]
fn a_wrong_token_at_the_start_is_put_right_by_the_api() {
    let vault = FakeVault::start();
    let agent = Agent::dev(&settings(&vault, "s.wrong"));
    assert!(agent.http("PUT", "/v1/kv/a", "b").text().contains("true"));
    let reply = set(&agent, &config(&vault, "root", "int"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    chain(&agent, "web");
    assert!(agent.program.output().contains("the token is wrong or its life is over"));
}

#[test]
fn a_token_is_renewed_as_long_as_it_is_used() {
    let vault = FakeVault::start();
    let (ours, ttl) = ("s.short-lived", Duration::from_secs(3));
    vault.add_token(ours, Some(ttl));
    let agent = Agent::dev(&settings(&vault, ours));
    chain(&agent, "web");
    wait_for("three renewals", Duration::from_secs(30), || {
        (vault.renewals(ours) >= 3).then_some(())
    });
    chain(&agent, "api");
    let reply = set(&agent, &json!({"Provider": "consul", "Config": {}}));
    assert_eq!(reply.status, 200, "{}", reply.text());
    // Unless somebody renews it, its life ends.
    wait_for("the end of the token", 4 * ttl, || {
        let last = vault.renewals(ours);
        std::thread::sleep(ttl + Duration::from_millis(500));
        (vault.renewals(ours) == last).then_some(())
    });
}

#[test]
fn vault_is_verified_as_the_settings_say() {
    let (vault, pem) = FakeVault::start_tls();
    let agent = Agent::dev(&json!({}));
    let file = agent.folder.path().join("vault.pem");
    std::fs::write(&file, pem).expect("the folder can be written");
    let with = |name: &str, value: Value| {
        let mut config = config(&vault, "root", "int");
        config["Config"][name] = value;
        set(&agent, &config)
    };
    let unknown = set(&agent, &config(&vault, "root", "int"));
    assert_eq!(unknown.status, 500, "nobody knows its certificate");
    assert!(unknown.text().contains("Vault cannot be reached: "), "{}", unknown.text());
    let missing = with("CAFile", "/nonexistent/ca.pem".into());
    assert_eq!(missing.status, 500);
    assert!(missing.text().contains("/nonexistent/ca.pem"), "{}", missing.text());
    let mut other = config(&vault, "root", "int");
    other["Config"]["CAFile"] = file.display().to_string().into();
    other["Config"]["TLSServerName"] = "other.example".into();
    let other = set(&agent, &other);
    assert_eq!(other.status, 500);
    assert!(other.text().contains("Vault cannot be reached: "), "{}", other.text());
    let file = with("CAFile", file.display().to_string().into());
    assert_eq!(file.status, 200, "{}", file.text());
    chain(&agent, "web");
    let skipped = with("TLSSkipVerify", true.into());
    assert_eq!(skipped.status, 200, "{}", skipped.text());
    chain(&agent, "api");
}

#[test]
fn a_datacenter_below_another_ones_root_has_its_key_in_vault() {
    let vault = FakeVault::start();
    let [wan] = free_ports::<1>();
    let primary = Agent::start(
        &["-dev"],
        &json!({"node_name": "one", "datacenter": "dc1", "ports": {"serf_wan": wan}}),
    );
    let mut config = settings(&vault, TOKEN);
    for (name, value) in [
        ("node_name", json!("two")),
        ("datacenter", json!("dc2")),
        ("primary_datacenter", json!("dc1")),
        ("retry_join_wan", json!([format!("127.0.0.1:{wan}")])),
    ] {
        config[name] = value;
    }
    let secondary = Agent::dev(&config);
    wait_for("the primary's root", Duration::from_secs(30), || {
        let roots = secondary.http("GET", "/v1/connect/ca/roots", "");
        (roots.status == 200 && roots.json()["ActiveRootID"] == active(&primary)["ID"])
            .then_some(())
    });
    let pem = chain(&secondary, "web");
    assert_eq!(vault.mounts(), ["int/"], "the root is elsewhere");
    assert!(vault.calls("PUT /v1/int/sign/leaf-cert") == 1 && pem.contains("BEGIN"));
    // The primary gets another root, in Vault too; the key here is signed by that.
    let reply = set(&primary, &self::config(&vault, "root1", "int1"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    wait_for("the new root", Duration::from_secs(30), || {
        (active(&secondary)["ID"] == active(&primary)["ID"]).then_some(())
    });
    chain(&secondary, "api");
    // Its own provider changes, which the primary signs for at once.
    let reply = set(&secondary, &json!({"Provider": "consul", "Config": {}}));
    assert_eq!(reply.status, 200, "{}", reply.text());
    wait_for("a leaf of the other provider", Duration::from_secs(30), || {
        (vault.mounts() == ["int1/", "root1/"]).then_some(())
    });
    let calls = vault.calls("PUT /v1/int/sign/leaf-cert");
    chain(&secondary, "cache");
    assert_eq!(vault.calls("PUT /v1/int/sign/leaf-cert"), calls);
}
