//! Services and checks of files.

use lictor_types::check::Status;
use lictor_types::definition::CheckKind;
use serde_json::json;

use super::*;

const SECOND: i64 = 1_000_000_000;

#[test]
fn a_whole_service_is_read() {
    let config = dev(
        r#"
        service {
          id = "web1" name = "web" tags = ["a", "b"] address = "10.0.0.9" port = 80
          token = "t" enable_tag_override = true
          meta { k = "v" }
          weights { passing = 5 }
          socket_path = "/s" locality { region = "r" zone = "z" }
          tagged_addresses { wan { address = "1.2.3.4" port = 81 } }
          check { name = "one" ttl = "30s" status = "passing" }
          checks = [{ http = "http://x/" interval = "10s" header { Host = ["h"] } },
                    { args = ["a", "b"] interval = "1m" deregister_critical_service_after = "90m" }]
          connect { proxy { exec_mode = "daemon" config { upstreams { destination_name = "db" } } } }
        }"#,
    )
    .unwrap();
    let [service] = config.agent.definitions.services.as_slice() else { panic!("one") };
    assert_eq!((service.id.as_str(), service.name.as_str(), service.port), ("web1", "web", 80));
    assert_eq!(service.tags, ["a", "b"]);
    assert_eq!(service.meta["k"], "v");
    assert_eq!(service.weights.map(|w| (w.passing, w.warning)), Some((5, 1)));
    assert_eq!(service.tagged_addresses["wan"].port, 81);
    let place = service.locality.as_ref().map(|place| (&*place.region, &*place.zone));
    assert_eq!((&*service.socket_path, place), ("/s", Some(("r", "z"))));
    assert!(service.enable_tag_override);
    assert_eq!(service.checks.len(), 3);
    assert_eq!(service.checks[0].kind, CheckKind::Ttl { ttl: 30 * SECOND });
    assert_eq!(service.checks[0].status, Some(Status::Passing));
    assert!(matches!(&service.checks[1].kind, CheckKind::Http { header, .. }
        if header["Host"] == ["h"]));
    assert_eq!(service.checks[2].deregister_critical_service_after, 5400 * SECOND);
    let proxy = service.managed_proxy.as_ref().unwrap();
    assert_eq!(proxy.config, json!({ "upstreams": [{ "destination_name": "db" }] }));
    assert!(service.sidecar.is_none() && !service.native);
}

#[test]
fn an_empty_proxy_block_is_a_proxy() {
    let config = dev("service { name = \"a\" port = 1 connect { proxy {} } }").unwrap();
    assert!(config.agent.definitions.services[0].managed_proxy.is_some());
    let config = dev("service { name = \"a\" connect { native = true } }").unwrap();
    let service = &config.agent.definitions.services[0];
    assert!(service.managed_proxy.is_none() && service.native);
    let config = dev("service { name = \"a\" connect { sidecar_service { port = 7 } } }").unwrap();
    assert_eq!(config.agent.definitions.services[0].sidecar.as_ref().unwrap().port, 7);
}

#[test]
fn all_spellings_give_the_same_check() {
    let check = |text: &str| dev(text).unwrap().agent.definitions.checks.remove(0);
    let snake = check(
        "check { name = \"a\" service_id = \"s\" docker_container_id = \"d\" args = [\"x\"] \
         interval = \"1s\" tls_skip_verify = true deregister_critical_service_after = \"1h\" }",
    );
    let camel = check(
        "check { Name = \"a\" ServiceID = \"s\" DockerContainerID = \"d\" ScriptArgs = [\"x\"] \
         Interval = \"1s\" TLSSkipVerify = true DeregisterCriticalServiceAfter = \"1h\" }",
    );
    assert_eq!(snake, camel);
    assert!(matches!(snake.kind, CheckKind::Docker { .. }));
}

#[test]
fn the_first_kind_counts() {
    let kind = |keys: &str| {
        let text = format!("check {{ name = \"a\" {keys} }}");
        dev(&text).unwrap().agent.definitions.checks.remove(0).kind
    };
    assert!(matches!(kind("tcp = \"a:1\" http = \"u\""), CheckKind::Http { .. }));
    assert!(matches!(kind("grpc = \"a:1\" tcp = \"a:1\""), CheckKind::Tcp { .. }));
    assert!(matches!(kind("grpc = \"a:1\" udp = \"a:1\""), CheckKind::Udp { .. }));
    assert!(matches!(kind("grpc = \"a:1\" args = [\"x\"]"), CheckKind::Grpc { .. }));
    assert!(matches!(kind("args = [\"x\"]"), CheckKind::Script { .. }));
    assert!(matches!(kind("alias_service = \"x\""), CheckKind::Alias { .. }));
    assert!(matches!(kind("ttl = \"1s\" http = \"u\""), CheckKind::Ttl { .. }));
}

#[test]
fn bad_definitions_name_their_place() {
    refused(dev("\nservice { name = \"a\"\n port = 70000 }"), "ports go from 0 to 65535 (-hcl:3)");
    refused(dev("check { name = \"a\" }"), "check \"a\" says nothing to do");
    refused(dev("check { ttl = \"1s\"\n status = \"fine\" }"), "(-hcl:2)");
    refused(dev("check { script = \"x\" }"), "invalid config key check.script");
    refused(dev("service { name = 1 }"), "'service.name' must be a string, not a number");
    refused(dev("service {} service {}"), "'service' must be given once only");
    refused(dev("services { checks { foo = 1 } }"), "invalid config key services[0].checks[0].foo");
    let portless = "service { name = \"a\"\n connect { proxy {} } }";
    refused(dev(portless), "service \"a\": Services with a Connect managed proxy must have a port");
    refused(dev("service { meta { \"a b\" = \"c\" } }"), "Key contains invalid characters");
    refused(dev("service { tagged_addresses { x = 1 } }"), "tagged_addresses.x must be an object");
}
