//! HAProxy finds its servers by SRV records: they come, fail and go while it runs.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use lictor_testkit::{Agent, Program, free_ports, request, wait_for};
use serde_json::{Value, json};

use crate::install::needed;
use crate::web::serve;

/// HAProxy asks every few hundred milliseconds here.
const SOON: Duration = Duration::from_secs(20);

/// It asks often, and believes at once what it is told.
fn configuration(front: u16, dns: u16) -> String {
    format!(
        "global\n  maxconn 100\n\
         defaults\n  mode http\n  timeout connect 2s\n  timeout client 5s\n  timeout server 5s\n\
         resolvers agent\n  nameserver local 127.0.0.1:{dns}\n  accepted_payload_size 8192\n  \
         resolve_retries 3\n  timeout resolve 200ms\n  timeout retry 200ms\n  hold valid 200ms\n  \
         hold obsolete 200ms\n  hold nx 200ms\n\
         frontend front\n  bind 127.0.0.1:{front}\n  default_backend web\n\
         backend web\n  balance roundrobin\n  retries 0\n  \
         server-template web 5 _web._tcp.service.consul resolvers agent resolve-prefer ipv4 \
         init-addr none\n"
    )
}

/// Who answers at the front now; nobody when there are no servers.
fn answering(front: u16) -> BTreeSet<String> {
    let at = format!("127.0.0.1:{front}");
    let asked = (0..12).filter_map(|_| request(&at, "GET", "/", b"").ok());
    asked.filter(|reply| reply.status == 200).map(|reply| reply.text()).collect()
}

fn wait_until(front: u16, wanted: &[&str]) {
    let wanted: BTreeSet<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    wait_for(&format!("answers from {wanted:?}"), SOON, || {
        (answering(front) == wanted).then_some(())
    });
}

/// Registers an instance as `id`, which is its answer, at an address of its own: HAProxy takes
/// several records with the same target for fewer servers, whoever sends them.
fn register(agent: &Agent, id: &'static str, address: &str) {
    let _: Value = agent.json(
        "PUT",
        "/v1/agent/service/register",
        &json!({
            "ID": id, "Name": "web", "Port": serve(address, id), "Address": address,
            "Check": {"CheckID": id, "TTL": "5m", "Status": "passing"},
        }),
    );
}

#[test]
fn haproxy_follows_srv_records() {
    let Some(haproxy) = needed("haproxy", "haproxy") else { return };
    let agent = Agent::dev(&json!({}));
    let text = std::fs::read_to_string(agent.folder.path().join("agent.json")).expect("a file");
    let config: Value = serde_json::from_str(&text).expect("JSON");
    let dns = u16::try_from(config["ports"]["dns"].as_u64().expect("a port")).expect("a port");
    let [front] = free_ports::<1>();
    let file = agent.folder.path().join("haproxy.cfg");
    std::fs::write(&file, configuration(front, dns)).expect("written");
    let mut command = Command::new(haproxy);
    command.args(["-db", "-f"]).arg(&file);
    let proxy = Program::start(&mut command, &agent.folder.path().join("haproxy.log"))
        .expect("HAProxy starts");
    wait_for(&format!("HAProxy\n{}", proxy.output()), SOON, || {
        request(&format!("127.0.0.1:{front}"), "GET", "/", b"").ok()
    });
    wait_until(front, &[]);
    register(&agent, "a", "127.0.0.2");
    wait_until(front, &["a"]);
    register(&agent, "b", "127.0.0.3");
    wait_until(front, &["a", "b"]);
    let _ = agent.http("PUT", "/v1/agent/check/fail/a", "");
    wait_until(front, &["b"]);
    let _ = agent.http("PUT", "/v1/agent/check/pass/a", "");
    register(&agent, "c", "127.0.0.4");
    wait_until(front, &["a", "b", "c"]);
    let _ = agent.http("PUT", "/v1/agent/service/deregister/b", "");
    wait_until(front, &["a", "c"]);
    for id in ["a", "c"] {
        let _ = agent.http("PUT", &format!("/v1/agent/service/deregister/{id}"), "");
    }
    wait_until(front, &[]);
}
