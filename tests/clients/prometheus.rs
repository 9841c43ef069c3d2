//! Prometheus' service discovery, as vmagent does it: targets with labels, which follow changes.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use lictor_testkit::{Agent, Program, free_ports, request, wait_for};
use serde_json::{Value, json};

use crate::install::needed;
use crate::web::serve;

const SOON: Duration = Duration::from_secs(30);

fn configuration(agent: &str) -> String {
    format!(
        "scrape_configs:\n- job_name: found\n  scrape_interval: 1s\n  consul_sd_configs:\n  \
         - server: {agent}\n    services: [app]\n    tags: [scraped]\n  relabel_configs:\n\
         {}",
        [
            ("service", "__meta_consul_service"),
            ("id", "__meta_consul_service_id"),
            ("node", "__meta_consul_node"),
            ("team", "__meta_consul_service_metadata_team"),
            ("tags", "__meta_consul_tags"),
            ("health", "__meta_consul_health"),
            ("datacenter", "__meta_consul_dc"),
        ]
        .map(|(to, from)| format!("  - source_labels: [{from}]\n    target_label: {to}\n"))
        .concat()
    )
}

/// Targets that vmagent reaches: ID of the instance, labels.
fn targets(vmagent: &str) -> BTreeMap<String, Value> {
    let found = request(vmagent, "GET", "/api/v1/targets", b"").map(|reply| reply.json());
    let found = found.unwrap_or_default();
    let active = found["data"]["activeTargets"].as_array().cloned().unwrap_or_default();
    let up = active.iter().filter(|target| target["health"] == "up");
    up.map(|target| {
        let labels = target["labels"].clone();
        (labels["id"].as_str().unwrap_or_default().to_owned(), labels)
    })
    .collect()
}

fn wait_until(vmagent: &str, wanted: &[&str]) -> BTreeMap<String, Value> {
    wait_for(&format!("targets {wanted:?}"), SOON, || {
        let found = targets(vmagent);
        found.keys().eq(wanted).then_some(found)
    })
}

fn register(agent: &Agent, id: &str, tags: &Value) {
    let _: Value = agent.json(
        "PUT",
        "/v1/agent/service/register",
        &json!({
            "ID": id, "Name": "app", "Port": serve("127.0.0.1", "visits 1\n"), "Address": "127.0.0.1",
            "Tags": tags, "Meta": {"team": "blue"},
        }),
    );
}

#[test]
fn vmagent_discovers_targets_and_follows_them() {
    let Some(vmagent) = needed("prometheus", "vmagent") else { return };
    let agent = Agent::dev(&json!({}));
    register(&agent, "app-1", &json!(["scraped", "x"]));
    register(&agent, "app-2", &json!(["scraped"]));
    register(&agent, "app-3", &json!(["other"]));
    let [own] = free_ports::<1>();
    let own = format!("127.0.0.1:{own}");
    let file = agent.folder.path().join("vmagent.yml");
    std::fs::write(&file, configuration(&agent.http)).expect("written");
    let mut command = Command::new(vmagent);
    command.arg(format!("-promscrape.config={}", file.display()));
    command.arg(format!("-httpListenAddr={own}"));
    command.args(["-promscrape.consulSDCheckInterval=1s", "-enableTCP6=false"]);
    command.arg(format!("-remoteWrite.url=http://127.0.0.1:{}/write", serve("127.0.0.1", "")));
    command.arg(format!("-remoteWrite.tmpDataPath={}", agent.folder.path().display()));
    let _program = Program::start(&mut command, &agent.folder.path().join("vmagent.log"))
        .expect("vmagent starts");
    let found = wait_until(&own, &["app-1", "app-2"]);
    let labels = &found["app-1"];
    for (label, wanted) in [
        ("service", "app"),
        ("node", "node1"),
        ("team", "blue"),
        ("tags", ",scraped,x,"),
        ("health", "passing"),
        ("datacenter", "dc1"),
    ] {
        assert_eq!(labels[label], wanted, "{label} of {labels}");
    }
    register(&agent, "app-4", &json!(["scraped"]));
    let _ = agent.http("PUT", "/v1/agent/service/deregister/app-1", "");
    wait_until(&own, &["app-2", "app-4"]);
}
