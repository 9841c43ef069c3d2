//! Defaults of the modes and rules between settings.

use std::fs;
use std::time::Duration;

use lictor_http::{Listen, TlsVersion, Ui};
use lictor_server::{Storage, Timing};
use tempfile::TempDir;

use super::*;
use crate::log::{Facility, LogSettings};

#[test]
fn development_mode_is_a_server_in_memory() {
    let config = dev("").unwrap();
    let server = config.server.unwrap();
    assert_eq!(server.storage, Storage::Memory);
    assert!(server.bootstrap && !server.acl.enabled);
    let timing =
        Timing { heartbeat: Duration::from_millis(35), election: Duration::from_millis(52) };
    assert_eq!(server.timing, timing);
    let ca = server.ca.unwrap();
    assert_eq!((ca.provider.as_str(), &ca.config["LeafCertTTL"]), ("consul", &"72h".into()));
    assert_eq!(config.agent.advertise_address, "127.0.0.1");
    assert_eq!(config.agent.http_address, "127.0.0.1:8500");
    assert!(config.agent.dev && config.agent.server && config.agent.data_dir.is_none());
    assert!(!config.agent.bootstrap && !config.agent.enable_script_checks);
    assert_eq!(config.log_level, "DEBUG");
    assert!(config.http.pretty && config.http.ui == Ui::Builtin);
    assert!(config.skip_leave_on_interrupt && !config.leave_on_terminate);
    assert_eq!(config.warnings, [""; 0]);
    assert_ne!(config.agent.node_id, dev("").unwrap().agent.node_id);
    assert!(dev("connect { enabled = false }").unwrap().server.unwrap().ca.is_none());
}

#[test]
fn a_server_keeps_its_state() {
    let config = plain("server = true bootstrap = true").unwrap();
    let server = config.server.unwrap();
    assert_eq!(server.storage, Storage::Disk("/nonexistent/lictor/raft".into()));
    assert!(server.bootstrap && server.ca.is_none());
    assert_eq!(server.timing, Timing::multiplied(5));
    assert_eq!(
        (server.session_ttl_min, server.hold_timeout),
        (Duration::from_secs(10), Duration::from_secs(7),)
    );
    assert_eq!(config.agent.advertise_address, "10.1.2.3");
    assert_eq!(config.agent.bind_address, "0.0.0.0");
    assert_eq!(config.agent.check_update_interval, Duration::from_secs(300));
    assert_eq!(config.log_level, "INFO");
    assert!(!config.http.pretty && config.http.ui == Ui::Off);
    assert!(config.skip_leave_on_interrupt && !config.leave_on_terminate);
}

#[test]
fn a_client_has_no_server() {
    let config = plain("").unwrap();
    assert!(config.server.is_none() && !config.agent.server);
    assert!(!config.skip_leave_on_interrupt && config.leave_on_terminate);
    assert_eq!(config.agent.node_meta["consul-network-segment"], "");
    assert_eq!(config.agent.tagged_addresses["wan"], "10.1.2.3");
}

#[test]
fn one_server_can_be_expected() {
    let config = plain("server = true bootstrap_expect = 1").unwrap();
    assert!(config.server.unwrap().bootstrap && config.agent.bootstrap);
    let three = plain("server = true bootstrap_expect = 3").unwrap();
    assert!(!three.agent.bootstrap && three.agent.gossip.expect == 3);
    let server = three.server.unwrap();
    assert!(!server.bootstrap && server.expect == 3);
    let warnings = plain("server = true bootstrap_expect = 4").unwrap().warnings;
    assert!(warnings.iter().any(|w| w.contains("a cluster with 3 servers")), "{warnings:?}");
    refused(plain("bootstrap_expect = 1"), "needs server = true");
    refused(plain("bootstrap = true"), "needs server = true");
    refused(plain("server = true bootstrap = true bootstrap_expect = 1"), "exclude each other");
    refused(plain("server = true bootstrap_expect = -1"), "cannot be -1");
    refused(dev("bootstrap_expect = 1"), "not allowed in dev mode");
    let warnings = plain("server = true").unwrap().warnings;
    assert_eq!(warnings, [""; 0], "it may join others");
}

#[test]
fn pools_are_told_all_that_they_need() {
    let dev = |text: &str| dev(text).map(|config| config.agent.gossip);
    let usual = dev("").unwrap();
    assert_eq!(usual.lan.bind.to_string(), "127.0.0.1:8301");
    assert_eq!(usual.wan.unwrap().advertise.to_string(), "127.0.0.1:8302");
    assert_eq!(
        (usual.lan.retry.interval.as_secs(), usual.lan.reconnect_timeout.as_secs()),
        (30, 259_200)
    );
    assert!(usual.verify_incoming && usual.verify_outgoing && !usual.use_tls);
    assert!(dev("ports { serf_wan = -1 }").unwrap().wan.is_none());
    let text = "start_join = [\"10.0.0.1\"] retry_join = [\"a:1\"] retry_max = 3 retry_interval = \"2s\" \
                retry_join_wan = [\"b\"] gossip_lan { gossip_nodes = 5 probe_interval = \"2s\" } \
                advertise_addr = \"10.9.9.9\" ca_file = \"/x\" encrypt_verify_incoming = false";
    let told = dev(text).unwrap();
    assert_eq!(
        (told.lan.join, told.lan.retry.addresses),
        (vec!["10.0.0.1".to_owned()], vec!["a:1".to_owned()])
    );
    assert_eq!((told.lan.retry.most, told.lan.retry.interval.as_secs()), (3, 2));
    assert_eq!(told.lan.tuning.gossip_nodes, Some(5));
    assert_eq!(told.lan.tuning.probe_interval.unwrap().as_secs(), 2);
    assert_eq!(told.lan.advertise.to_string(), "10.9.9.9:8301");
    assert_eq!(told.wan.unwrap().retry.addresses, ["b"]);
    assert!(told.use_tls && !told.verify_incoming);
    refused(
        dev("ports { serf_wan = -1 } start_join_wan = [\"a\"]"),
        "only a server with a WAN port",
    );
    refused(dev("reconnect_timeout = \"1h\""), "reconnect_timeout must be >= 8h");
    refused(dev("retry_join = [\"provider=aws tag_key=x\"]"), "cannot be asked of a provider");
    refused(dev("retry_max = -1"), "retry_max cannot be negative");
    refused(dev("gossip_wan { probe_interval = \"0s\" }"), "must be at least 1ms");
}

#[test]
fn who_rules_a_datacenter() {
    let primary = |text: &str| {
        let primary = dev(text).unwrap().server.unwrap().primary;
        primary.map(|one| (one.datacenter, one.tokens, one.mesh))
    };
    let dc9 = |tokens, mesh| Some(("dc9".to_owned(), tokens, mesh));
    assert_eq!(primary(""), None);
    assert_eq!(primary("acl_datacenter = \"DC1\" primary_datacenter = \"dc1\""), None);
    assert_eq!(primary("acl_datacenter = \"DC9\""), dc9(false, false));
    assert_eq!(primary("acl_datacenter = \"dc9\" acl_replication_token = \"t\""), dc9(true, false));
    assert_eq!(primary("acl_datacenter = \"dc9\" enable_acl_replication = true"), dc9(true, false));
    assert_eq!(primary("primary_datacenter = \"dc9\" acl_datacenter = \"dc8\""), dc9(false, true));
    let tokens =
        "primary_datacenter = \"dc9\" acl { enabled = true enable_token_replication = true }";
    assert_eq!(primary(tokens), dc9(true, true));
}

#[test]
fn what_would_run_open_is_refused() {
    let acl = |text: &str| dev(text).unwrap().server.unwrap().acl;
    assert!(acl("acl_datacenter = \"DC1\" acl_default_policy = \"deny\"").enabled);
    assert!(!acl("acl_datacenter = \"dc1\" acl { enabled = false }").enabled);
    let both =
        acl("acl_datacenter = \"dc1\" acl_master_token = \"old\" acl_default_policy = \"allow\"
         acl { enabled = true default_policy = \"deny\" enable_key_list_policy = true
               tokens { master = \"new\" } }");
    assert_eq!((both.master_token.as_str(), both.key_list_policy), ("new", true));
    assert!(acl("acl_datacenter = \"dc1\" acl_enforce_version_8 = false").nodes_open);
    assert!(!acl("acl { enabled = true } acl_enforce_version_8 = false").nodes_open);
    assert_eq!(both.default_policy, lictor_server::DefaultPolicy::Deny);
    let config = dev("acl_default_policy = \"deny\" acl_token = \"t\"").unwrap();
    assert!(config.warnings.iter().any(|w| w.contains("denies nothing")));
    assert_eq!(config.agent.tokens.default, "t");
    refused(dev("acl_default_policy = \"maybe\""), "must be allow or deny");
    assert_eq!(dev("acl_agent_token = \"a\" acl_token = \"t\"").unwrap().agent.tokens.agent, "a");
    let files = dev("acl { tokens { config_file_service_registration = \"f\" } }
        services { name = \"a\" } services { name = \"b\" token = \"own\" }
        checks { name = \"c\" ttl = \"9s\" }");
    let files = files.unwrap().agent;
    let own: Vec<_> = files.definitions.services.iter().map(|one| &*one.token).collect();
    assert_eq!((own, &*files.tokens.files), (vec!["", "own"], "f"));
    assert_eq!(dev("acl { tokens { dns = \"n\" } }").unwrap().agent.tokens.dns, "n");
    let block = dev("acl { tokens { agent_master = \"r\" default = \"d\" } } acl_token = \"t\"");
    let tokens = block.unwrap().agent.tokens;
    assert_eq!((tokens.recovery.as_str(), tokens.default.as_str()), ("r", "d"));
}

#[test]
fn ports_and_addresses_follow_their_rules() {
    let http = |text: &str| dev(text).unwrap().http.listeners;
    let tcp = |address: &str| Listen::Tcp(address.parse().unwrap());
    assert_eq!(http("ports { http = 1 }"), [tcp("127.0.0.1:1")]);
    assert_eq!(http("ports { http = -1 }"), []);
    assert_eq!(http("client_addr = \"127.0.0.1 ::1\""), [tcp("127.0.0.1:8500"), tcp("[::1]:8500")]);
    assert_eq!(http("client_addr = \"{{ GetPrivateIP }}\""), [tcp("10.1.2.3:8500")]);
    let unix =
        Listen::Unix { path: "/a/s".into(), mode: Some(0o640), user: Some(0), group: Some(7) };
    let text = "unix_sockets { mode = \"640\" user = \"root\" group = \"7\" } addresses { http = \"unix:///a/s 10.0.0.1\" }";
    assert_eq!(http(text), [unix, tcp("10.0.0.1:8500")]);
    assert_eq!(dev(text).unwrap().agent.http_address, "unix:///a/s");
    assert_eq!(dev("client_addr = \"0.0.0.0\"").unwrap().agent.http_address, "127.0.0.1:8500");
    assert_eq!(dev("ports { http = -1 }").unwrap().agent.http_address, "");
    let ports = dev("ports { serf_wan = -1 server = 1 serf_lan = 2 }").unwrap().agent.ports;
    assert_eq!((ports.server, ports.serf_lan, ports.serf_wan), (1, 2, 0));
    let proxy = dev("ports { proxy_min_port = 0 proxy_max_port = 0 }").unwrap().agent.proxy;
    assert_eq!((proxy.min_port, proxy.max_port), (0, 0));
    for (text, expected) in [
        ("ports { http = 65536 }", "ports.http: invalid port 65536"),
        ("ports { serf_lan = -1 }", "ports.serf_lan cannot be switched off"),
        ("ports { proxy_min_port = 9 proxy_max_port = 8 }", "To disable, set both to zero."),
        ("ports { http = 8600 }", "HTTP address 127.0.0.1:8600 already configured for DNS"),
        ("ports { server = 8301 }", "Serf Advertise LAN address 127.0.0.1:8301 already"),
        ("bind_addr = \"host\"", "bind_addr must be an ip address"),
        ("bind_addr = \"1.1.1.1 1.1.1.2\"", "bind_addr cannot contain multiple addresses"),
        ("bind_addr = \"unix:///x\"", "bind_addr cannot be a unix socket"),
        ("bind_addr = \"{{ GetPublicIP }}\"", "bind_addr cannot be empty"),
        ("bind_addr = \"{{ GetFoo }}\"", "bind_addr: template function \"GetFoo\""),
        ("advertise_addr = \"[::]\"", "advertise_addr cannot be 0.0.0.0, :: or [::]"),
        ("client_addr = \"unix:///x\"", "client_addr cannot be a unix socket"),
        ("addresses { dns = \"unix:///x\" }", "DNS address cannot be a unix socket"),
        ("addresses { http = \"unix://\" }", "path of the unix socket is missing"),
        ("unix_sockets { mode = \"9\" }", "no octal mode"),
        ("connect { enabled = true ca_provider = \"vault\" }", "must provide a Vault token"),
    ] {
        refused(dev(text), expected);
    }
}

#[test]
fn several_private_addresses_need_a_choice() {
    let raw =
        super::super::sources::read_text("data_dir = \"/nonexistent\"", Format::Hcl, "x").unwrap();
    let mut all = network().interfaces().unwrap().to_vec();
    let mut second = all[1].clone();
    second.address = [10, 9, 9, 9].into();
    all.push(second);
    let several = Network::of(all);
    let error = decide(&raw, false, Purpose::Run, &several).unwrap_err().to_string();
    assert!(error.starts_with("Multiple private IPv4 addresses found."), "{error}");
    let none = Network::of(vec![]);
    let error = decide(&raw, false, Purpose::Run, &none).unwrap_err().to_string();
    assert_eq!(error, "No private IPv4 address found");
    let six = super::super::sources::read_text(
        "data_dir = \"/nonexistent\" bind_addr = \"::\"",
        Format::Hcl,
        "x",
    );
    let error = decide(&six.unwrap(), false, Purpose::Run, &none).unwrap_err().to_string();
    assert_eq!(error, "No public IPv6 address found");
    for network in [several, none] {
        assert!(decide(&raw, false, Purpose::Check, &network).is_ok(), "it is not for here");
    }
}

#[test]
fn networks_for_documentation_and_loopback_alone_will_do() {
    let raw = super::super::sources::read_text(
        "server = true data_dir = \"/nonexistent\"",
        Format::Hcl,
        "x",
    )
    .unwrap();
    let mut all = network().interfaces().unwrap().to_vec();
    all[1].address = [192, 0, 2, 2].into();
    let advertised = |all: Vec<Interface>| {
        decide(&raw, false, Purpose::Check, &Network::of(all))
            .unwrap()
            .server
            .unwrap()
            .advertise_address
    };
    assert_eq!(advertised(all.clone()), "192.0.2.2");
    assert_eq!(advertised(all[..1].to_vec()), "127.0.0.1");
}

#[test]
fn the_node_id_is_kept_and_checked() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let text = |more: &str| format!("bind_addr = \"127.0.0.1\"\ndata_dir = {data:?}\n{more}");
    let load = |more: &str| {
        let sources = Sources { fragments: vec![text(more)], ..Sources::default() };
        sources.load().map_err(|error| error.to_string())
    };
    let first = load("").unwrap().agent.node_id;
    assert_eq!(fs::read_to_string(data.join("node-id")).unwrap(), first);
    assert_eq!(load("").unwrap().agent.node_id, first);
    let given = "ABCDEF00-1111-2222-3333-444455556666";
    let node = load(&format!("node_id = {given:?}")).unwrap().agent.node_id;
    assert_eq!(node, given.to_lowercase());
    assert_eq!(load("").unwrap().agent.node_id, first);
    refused(load("node_id = \"x\""), "is not a UUID");
    fs::write(data.join("node-id"), "broken").unwrap();
    refused(load(""), "is not a UUID");
    fs::remove_file(data.join("node-id")).unwrap();
    assert_ne!(load("").unwrap().agent.node_id, first);
}

#[test]
fn the_node_is_described_properly() {
    assert_eq!(dev("datacenter = \"DC-2\"").unwrap().agent.datacenter, "dc-2");
    assert_eq!(&*dev("node_name = \" n \"").unwrap().agent.node_name, "n");
    assert!(!dev("").unwrap().agent.node_name.is_empty());
    let warnings = dev("node_name = \"a_b\"").unwrap().warnings;
    assert!(warnings[0].contains("not be discoverable via DNS"), "{warnings:?}");
    refused(dev("datacenter = \"a b\""), "datacenter cannot be \"a b\". Please use only");
    refused(dev("node_name = \" \""), "node_name cannot be empty");
    refused(dev("node_meta { consul-x = \"\" }"), "node_meta invalid: ");
    refused(dev("node_meta { \"a b\" = \"\" }"), "node_meta invalid: ");
    let none = decided(&Sources::default());
    refused(none, "data_dir cannot be empty");
    let file = tempfile::NamedTempFile::new().unwrap();
    refused(dev(&format!("data_dir = {:?}", file.path())), "is not a directory");
}

#[test]
fn the_mesh_is_told_its_settings() {
    let id = "11111111-2222-3333-4444-555555555555";
    let text = format!(
        "connect {{ ca_config {{ cluster_id = \"{id}\" private_key = \"k\" other = 1 }} \
         proxy {{ allow_managed_root = true }} \
         proxy_defaults {{ exec_mode = \"script\" daemon_command = [\"x\"] config {{ a = 1 }} }} }}"
    );
    let config = dev(&text).unwrap();
    let ca = config.server.unwrap().ca.unwrap();
    assert_eq!(ca.cluster_id, id);
    assert_eq!((&ca.config["PrivateKey"], &ca.config["other"]), (&"k".into(), &1.into()));
    assert_eq!(config.agent.debug_config["ConnectCAConfig"]["PrivateKey"], "hidden");
    let proxy = config.agent.proxy;
    assert!(proxy.allow_managed_root && !proxy.allow_managed_api_registration);
    assert_eq!(proxy.default_exec_mode, "script");
    assert_eq!((proxy.min_port, proxy.max_port), (20_000, 20_255));
    assert_eq!(proxy.default_config["a"], 1);
    refused(dev("connect { ca_provider = \"x\" }"), "x is not a valid CA provider");
    refused(dev("connect { ca_config { cluster_id = \"x\" } }"), "was not a valid UUID");
}

#[test]
fn single_rules_have_their_texts() {
    for (text, expected) in [
        ("performance { raft_multiplier = 11 }", "cannot be 11. Must be between 1 and 10"),
        ("segment = \"x\"", "Network segments are not supported"),
        ("protocol = 9", "protocol must be 2 or 3"),
        ("encrypt = \"x\"", "encrypt has invalid key: "),
        ("ui_dir = \"/x\"", "ui and ui_dir"),
        ("session_ttl_min = \"-1s\"", "session_ttl_min cannot be negative"),
        ("watches = [{ type = \"connect_roots\" }]", "Unsupported watch type: connect_roots"),
        ("watches = [{}]", "Watch type must be specified"),
        ("watches = [{ type = \"nodes\" }]", "Must define a watch handler"),
    ] {
        refused(dev(text), expected);
    }
}

#[test]
fn settings_without_effect_are_named() {
    let warnings = dev("limits { request_limits { mode = \"enforcing\" } }\nports { dns = -1 }")
        .unwrap()
        .warnings;
    let [one] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert_eq!(
        one,
        "limits.request_limits.mode has no effect: servers do not limit requests yet (-hcl:1)"
    );
}

#[test]
fn secrets_are_hidden_and_the_banner_says_who() {
    let config = dev(
        "acl_token = \"s3cret\" encrypt = \"MDEyMzQ1Njc4OWFiY2RlZg==\" \
         service { name = \"a\" token = \"s3cret\" check { http = \"u\" header { X = [\"s3cret\"] } } }",
    )
    .unwrap();
    let shown = config.agent.debug_config.to_string();
    assert!(!shown.contains("s3cret") && !shown.contains("MDEyMzQ1"), "{shown}");
    assert_eq!(config.agent.debug_config["ACLToken"], "hidden");
    assert_eq!(config.agent.debug_config["DataDir"], "");
    let banner = config.banner.to_string();
    assert!(banner.contains("Server: true (Bootstrap: false)"), "{banner}");
    assert!(banner.contains("Client Addr: [127.0.0.1] (HTTP: 8500, HTTPS: -1, DNS: 8600)"));
    assert!(banner.contains(&format!("Node ID: '{}'", config.agent.node_id)));
}

#[test]
fn https_is_told_all_that_it_needs() {
    let tls = |text: &str| {
        let both = "ports { https = 8501 } cert_file = \"/c\" key_file = \"/k\" ca_file = \"/a\"";
        dev(&format!("{both} {text}")).map(|config| config.http.tls.unwrap())
    };
    let config = dev("ports { https = 8501 } cert_file = \"/c\" key_file = \"/k\"").unwrap();
    assert_eq!(config.http.tls_listeners, [Listen::Tcp("127.0.0.1:8501".parse().unwrap())]);
    assert_eq!(config.banner.https_port, 8501);
    assert!(config.warnings.iter().all(|w| !w.contains("https")), "{:?}", config.warnings);
    assert!(!tls("").unwrap().verify_clients);
    for on in ["verify_incoming", "verify_incoming_https"] {
        assert!(tls(&format!("{on} = true")).unwrap().verify_clients, "{on}");
    }
    assert!(!tls("verify_incoming_rpc = true").unwrap().verify_clients);
    let later = "verify_incoming = true tls { https { verify_incoming = false key_file = \"/x\" } \
                 defaults { key_file = \"/y\" cert_file = \"/z\" } }";
    let later = tls(later).unwrap();
    assert!(!later.verify_clients);
    assert_eq!((later.cert_file, later.key_file), ("/z".into(), "/x".into()));
    assert_eq!(tls("tls_min_version = \"tls10\"").unwrap().min_version, TlsVersion::V12);
    assert_eq!(tls("tls_min_version = \"tls13\"").unwrap().min_version, TlsVersion::V13);
    let suite = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
    let two = format!("tls_cipher_suites = \"{suite}, TLS_RSA_WITH_AES_128_CBC_SHA\"");
    assert_eq!(tls(&two).unwrap().suites, [suite]);
    assert!(tls("tls_prefer_server_cipher_suites = true").unwrap().prefer_own_suites);
    let bare = dev("ports { https = 8501 }").unwrap();
    assert!(bare.http.tls.is_none() && bare.http.tls_listeners.len() == 1);
    assert!(bare.warnings.iter().any(|w| w.contains("nobody can connect to ports.https")));
    refused(dev("ports { https = 8501 } cert_file = \"/c\""), "needs both cert_file and key_file");
    refused(tls("tls_min_version = \"ssl3\""), "please specify one of");
    refused(tls("tls_cipher_suites = \"TLS_FAST\""), "unsupported cipher suite");
    refused(tls("tls_cipher_suites = \"TLS_RSA_WITH_AES_128_CBC_SHA\""), "no suite that is spoken");
    let none = "ports { https = 1 } cert_file = \"/c\" key_file = \"/k\" verify_incoming = true";
    refused(dev(none), "no CA certificate provided");
}

#[test]
fn limits_and_networks_of_http() {
    let limits = |text: &str| dev(text).unwrap().http.limits;
    assert_eq!(limits("").connections_per_client, 0);
    assert_eq!(limits("limits { http_max_conns_per_client = 5 }").connections_per_client, 5);
    let second = std::time::Duration::from_secs(1);
    assert_eq!(limits("limits { https_handshake_timeout = \"1s\" }").handshake, second);
    assert_eq!(limits("limits { kv_max_value_size = 9 }").value_bytes, 9);
    assert_eq!(limits("limits { txn_max_req_len = 9 }").transaction_bytes, 9);
    assert_eq!(limits("http_config { max_header_bytes = 9 }").head_bytes, 9);
    assert_eq!(limits("http_config { max_header_bytes = -1 }").head_bytes, 65_536);
    refused(dev("limits { kv_max_value_size = 99999999 }"), "8388608 is the most");
    refused(dev("limits { http_max_conns_per_client = -1 }"), "0, for any number");
    let from = |text: &str| dev(&format!("http_config {{ allow_write_http_from = [{text}] }}"));
    assert_eq!(from("\"127.0.0.0/8\", \"::1/128\"").unwrap().http.write_from.len(), 2);
    refused(from("\"127.0.0.1\""), "not a network such as 10.0.0.0/8");
    refused(dev("unix_sockets { user = \"no-such-user\" }"), "neither a number nor in /etc/passwd");
}

#[test]
fn the_log_is_told_its_form_and_places() {
    let log = |text: &str| dev(text).map(|config| config.log);
    assert_eq!(log("").unwrap(), LogSettings::default());
    let all = "log_json = true log_file = \"/l/\" log_rotate_bytes = 5 log_rotate_max_files = -1 \
               log_rotate_duration = \"1m\" enable_syslog = true syslog_facility = \"daemon\"";
    let all = log(all).unwrap();
    let file = all.file.unwrap();
    assert!(all.json && all.syslog == Facility::named("DAEMON"));
    assert_eq!((file.rotate_bytes, file.keep, file.rotate_after.as_secs()), (5, -1, 60));
    let usual = log("log_file = \"/l\"").unwrap().file.unwrap();
    assert_eq!((usual.rotate_bytes, usual.keep, usual.rotate_after.as_secs()), (0, 0, 86_400));
    refused(log("log_file = \"/l\" log_rotate_bytes = -1"), "or greater");
    refused(log("syslog_facility = \"LOUD\""), "no facility such as LOCAL0");
}

#[test]
fn scripts_waits_and_certificates_of_checks() {
    let agent = |text: &str| dev(text).unwrap().agent;
    let local = agent("enable_local_script_checks = true");
    assert!(local.enable_local_script_checks && !local.enable_script_checks);
    assert_eq!(agent("ca_file = \"/a\"").check_tls, None);
    let files = agent("enable_agent_tls_for_checks = true ca_file = \"/a\" cert_file = \"/c\"");
    let files = files.check_tls.unwrap();
    assert_eq!((files.ca_file, files.cert_file), (Some("/a".into()), Some("/c".into())));
    let waits = |text: &str| dev(text).map(|config| config.server.unwrap().waits);
    assert_eq!(waits("").unwrap(), lictor_server::Waits::default());
    let given = waits("default_query_time = \"1s\" max_query_time = \"2s\"").unwrap();
    assert_eq!((given.usual.as_secs(), given.most.as_secs()), (1, 2));
    refused(waits("max_query_time = \"0s\""), "max_query_time cannot be 0");
    let telemetry = "telemetry { statsd_address = \"h\" }";
    refused(dev(telemetry), "must be host:port");
    let wrong = dev("telemetry { prefix_filter = [\"x\"] }").unwrap().warnings;
    assert!(wrong[0].contains("must begin with either"), "{wrong:?}");
}
