//! Configurations of all three sources.

use serde_json::json;

use super::*;

fn flags(upstreams: &[&str]) -> Flags {
    Flags {
        service: "web".to_owned(),
        upstreams: upstreams.iter().map(|text| (*text).to_owned()).collect(),
        ..Flags::default()
    }
}

#[test]
fn upstream_options_have_four_forms() {
    let config =
        flags(&["db:9191", "cache:127.0.0.1:9192", "a.service:1", "near.db.query:[::1]:2"])
            .config()
            .unwrap();
    let seen: Vec<_> = config
        .upstreams
        .iter()
        .map(|u| {
            let d = &u.destination;
            (d.name.as_str(), d.kind.as_str(), u.local_bind_address.as_str(), u.local_bind_port)
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("db", "service", "", 9191),
            ("cache", "service", "127.0.0.1", 9192),
            ("a", "service", "", 1),
            ("near.db", "prepared_query", "::1", 2),
        ]
    );
    assert_eq!(config.upstreams[0].bind_host(), "127.0.0.1");
    assert_eq!(config.public, None);
}

#[test]
fn refused_options_are_told_in_the_known_words() {
    let text = |flags: &Flags| flags.config().unwrap_err().to_string();
    assert_eq!(text(&flags(&["db"])), "Upstream value should be name:addr in \"db\"");
    assert_eq!(
        text(&flags(&["db.x:1"])),
        "Upstream type must be blank, 'service', or 'query'. Got: \"x\""
    );
    assert_eq!(text(&flags(&["db:70000"])), "invalid port \"70000\"");
    assert_eq!(
        text(&Flags::default()),
        "-service or -proxy-id must be specified so that proxy can configure itself."
    );
    let listen = Flags { listen: ":8443".to_owned(), ..flags(&[]) };
    assert_eq!(
        text(&listen),
        "-service-addr must be specified with -listen so the proxy knows the backend service \
         address."
    );
    let register = Flags { register: true, ..flags(&[]) };
    assert_eq!(text(&register), "-register may only be specified with -service and -listen");
    let listen = Flags { listen: "here".to_owned(), ..flags(&[]) };
    assert_eq!(text(&listen), "address here: missing port in address");
}

#[test]
fn a_listener_by_options_needs_no_host() {
    let listen = Flags {
        listen: ":8443".to_owned(),
        service_address: "127.0.0.1:8080".to_owned(),
        ..flags(&[])
    };
    let public = listen.config().unwrap().public.unwrap();
    assert_eq!((public.bind_addr().as_str(), public.bind_port), (":8443", 8443));
    assert_eq!(public.handshake_timeout, HANDSHAKE_TIMEOUT);
}

#[test]
fn a_file_has_blocks_as_objects_or_lists() {
    let file = json!({
        "proxied_service_name": "web",
        "token": "secret",
        "public_listener": [{"bind_port": "8443", "local_service_address": "127.0.0.1:80",
            "handshake_timeout_ms": 500, "max_connections": 7}],
        "upstreams": [
            {"destination_name": "db", "local_bind_port": 9191.0},
            {"destination_name": "q", "destination_type": "prepared_query",
             "local_bind_address": "127.0.0.2", "local_bind_port": 9192,
             "connect_timeout_ms": 250, "destination_datacenter": "dc2"},
        ],
    });
    let config = ProxyConfig::from_file(&file).unwrap();
    let public = config.public.unwrap();
    assert_eq!(public.bind_addr(), "0.0.0.0:8443");
    assert_eq!(public.handshake_timeout, Duration::from_millis(500));
    assert_eq!(public.local_connect_timeout, LOCAL_CONNECT_TIMEOUT);
    assert_eq!(public.max_connections, 7);
    assert_eq!(config.token, "secret");
    assert_eq!(config.upstreams.len(), 2);
    assert_eq!(config.upstreams[0].destination.to_string(), "service:default/db");
    assert_eq!(config.upstreams[1].destination.kind, DestinationKind::PreparedQuery);
    assert_eq!(config.upstreams[1].connect_timeout, Duration::from_millis(250));

    let single = json!({"proxied_service_name": "web",
        "upstreams": {"destination_name": "db", "local_bind_port": 1}});
    assert_eq!(ProxyConfig::from_file(&single).unwrap().upstreams.len(), 1);
}

#[test]
fn the_agents_configuration_is_flat_and_other_keys_are_ignored() {
    let config = json!({
        "bind_address": "10.0.0.1", "bind_port": 20000, "local_service_address": "127.0.0.1:80",
        "telemetry": {"statsd_address": "x"}, "upstreams": null,
    });
    let config = ProxyConfig::from_agent("db", config.as_object().unwrap()).unwrap();
    assert_eq!(config.public.unwrap().bind_addr(), "10.0.0.1:20000");
    assert!(config.upstreams.is_empty());

    let none = ProxyConfig::from_agent("db", &Map::new()).unwrap();
    assert_eq!(none.public, None);
}

#[test]
fn wrong_kinds_name_their_key() {
    let fault = |value: Value| {
        ProxyConfig::from_agent("db", value.as_object().unwrap()).unwrap_err().to_string()
    };
    assert_eq!(fault(json!({"bind_port": "x"})), "bind_port: expected a number, got \"x\"");
    assert_eq!(fault(json!({"bind_port": 70000})), "bind_port: expected a port, got 70000");
    assert_eq!(fault(json!({"bind_port": 1})), "local_service_address must be set");
    assert_eq!(fault(json!({"upstreams": 3})), "upstreams: expected an object, got 3");
    assert_eq!(
        fault(json!({"upstreams": [{"local_bind_port": 1}]})),
        "upstreams.destination_name must be set"
    );
    assert_eq!(
        fault(json!({"upstreams": [{"destination_name": "a", "destination_type": "x"}]})),
        "upstreams.destination_type: expected service or prepared_query, got x"
    );
    let file = ProxyConfig::from_file(&json!({})).unwrap_err();
    assert_eq!(file.to_string(), "proxied_service_name must be set");
}
