//! The effective configuration as `/v1/agent/self` shows it, in the original's names.
//!
//! Secrets are replaced by `hidden`. Only what this program knows is shown; the names are those
//! that tools written for the original look up.

use lictor_agent::AgentConfig;
use lictor_http::{HttpConfig, Listen, Ui};
use lictor_server::ServerConfig;
use lictor_types::definition::{CheckDefinition, CheckKind, ServiceDefinition};
use lictor_types::duration;
use serde_json::{Map, Value, json};

use super::address::{self, Addresses};
use super::mesh::enabled;
use super::raw::Raw;

const HIDDEN: &str = "hidden";
/// Parts of names whose values are not shown.
const SECRET: &[&str] = &["token", "secret", "password", "key"];

/// Everything, with secrets hidden.
pub(super) fn json(
    raw: &Raw,
    agent: &AgentConfig,
    server: Option<&ServerConfig>,
    http: &HttpConfig,
    addresses: &Addresses,
) -> Value {
    let mut all = Map::new();
    for part in [
        node(raw, agent, addresses),
        network(http, addresses),
        access(raw),
        consensus(raw, agent, server),
        mesh(raw, agent, server),
        operation(raw, agent),
    ] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    let mut all = Value::Object(all);
    hide(&mut all);
    all
}

/// Replaces the values of all names that sound like secrets, at any depth.
fn hide(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let key = key.to_ascii_lowercase();
                match value {
                    Value::String(text) if SECRET.iter().any(|word| key.contains(word)) => {
                        HIDDEN.clone_into(text);
                    }
                    value => hide(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        _ => {}
    }
}

fn port(port: u16) -> i32 {
    if port == 0 { -1 } else { i32::from(port) }
}

fn node(raw: &Raw, agent: &AgentConfig, addresses: &Addresses) -> Value {
    json!({
        "Datacenter": agent.datacenter,
        "PrimaryDatacenter": raw.string("primary_datacenter"),
        "NodeName": &*agent.node_name,
        "NodeID": agent.node_id,
        "NodeMeta": raw.map("node_meta"),
        // Text in any case: clients that read it know no null.
        "DataDir": agent.data_dir.clone().unwrap_or_default(),
        "DevMode": agent.dev,
        "ServerMode": agent.server,
        "Bootstrap": agent.bootstrap,
        "BootstrapExpect": 0,
        "BindAddr": addresses.bind,
        "AdvertiseAddrLAN": addresses.advertise,
        "AdvertiseAddrWAN": addresses.advertise_wan,
        "TaggedAddresses": agent.tagged_addresses,
        "TranslateWANAddrs": raw.bool("translate_wan_addrs").unwrap_or(false),
        "Version": agent.build.version,
        "VersionPrerelease": agent.build.prerelease,
        "Revision": agent.build.revision,
        "SegmentName": "",
        "Segments": [],
    })
}

fn network(http: &HttpConfig, addresses: &Addresses) -> Value {
    let ports = addresses.ports;
    let rpc = |ip: std::net::IpAddr, port: u16| {
        Value::from(format!("tcp://{}", std::net::SocketAddr::new(ip, port)))
    };
    let named = |listeners: &[Listen]| -> Vec<String> {
        let name = |listener: &Listen| match listener {
            Listen::Tcp(_) => format!("tcp://{}", address::name(listener)),
            Listen::Unix { .. } => address::name(listener),
        };
        listeners.iter().map(name).collect()
    };
    let both =
        |address: &std::net::SocketAddr| [format!("tcp://{address}"), format!("udp://{address}")];
    let dns: Vec<_> = addresses.dns.iter().flat_map(both).collect();
    json!({
        "ClientAddrs": addresses.client,
        "HTTPAddrs": named(&http.listeners),
        "HTTPPort": port(ports.http),
        "HTTPSAddrs": named(&http.tls_listeners),
        "HTTPSPort": port(ports.https),
        "DNSAddrs": dns,
        "DNSPort": port(ports.dns),
        "ServerPort": ports.server,
        "SerfPortLAN": ports.serf_lan,
        "SerfPortWAN": port(ports.serf_wan),
        "RPCAdvertiseAddr": rpc(addresses.advertise, ports.server),
        "RPCBindAddr": rpc(addresses.bind, ports.server),
        "SerfAdvertiseAddrLAN": rpc(addresses.advertise, ports.serf_lan),
        "SerfAdvertiseAddrWAN": rpc(addresses.advertise_wan, ports.serf_wan),
        "SerfBindAddrLAN": rpc(addresses.serf_lan, ports.serf_lan),
        "SerfBindAddrWAN": rpc(addresses.serf_wan, ports.serf_wan),
        "HTTPBlockEndpoints": http.block_endpoints,
        "HTTPResponseHeaders": http.response_headers.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "EnableUI": http.ui != Ui::Off,
        "UIDir": match &http.ui {
            Ui::Folder(folder) => folder.display().to_string(),
            _ => String::new(),
        },
        "UnixSocketMode": http.listeners.iter().chain(&http.tls_listeners).find_map(|listener| match listener {
            Listen::Unix { mode: Some(mode), .. } => Some(format!("{mode:04o}")),
            _ => None,
        }).unwrap_or_default(),
    })
}

fn access(raw: &Raw) -> Value {
    let text = |key: &str, usual: &str| {
        raw.text(key).filter(|text| !text.is_empty()).unwrap_or(usual).to_owned()
    };
    json!({
        "ACLDatacenter": "",
        "ACLDefaultPolicy": text("acl_default_policy", "allow"),
        "ACLDownPolicy": text("acl_down_policy", "extend-cache"),
        "ACLToken": raw.string("acl_token"),
        "ACLAgentToken": raw.string("acl_agent_token"),
        "ACLAgentMasterToken": raw.string("acl_agent_master_token"),
        "ACLMasterToken": raw.string("acl_master_token"),
        "ACLReplicationToken": raw.string("acl_replication_token"),
        "ACLEnforceVersion8": raw.bool("acl_enforce_version_8").unwrap_or(true),
        "EncryptKey": raw.string("encrypt"),
        "CAFile": raw.string("ca_file"),
        "CAPath": raw.string("ca_path"),
        "CertFile": raw.string("cert_file"),
        "KeyFile": raw.string("key_file"),
        "ServerName": raw.string("server_name"),
        "VerifyIncoming": raw.bool("verify_incoming").unwrap_or(false),
        "VerifyIncomingHTTPS": raw.bool("verify_incoming_https").unwrap_or(false),
        "VerifyIncomingRPC": raw.bool("verify_incoming_rpc").unwrap_or(false),
        "VerifyOutgoing": raw.bool("verify_outgoing").unwrap_or(false),
        "VerifyServerHostname": raw.bool("verify_server_hostname").unwrap_or(false),
    })
}

fn consensus(raw: &Raw, agent: &AgentConfig, server: Option<&ServerConfig>) -> Value {
    let time = |time: std::time::Duration| {
        duration::format(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
    };
    let leaves = raw.bool("leave_on_terminate").unwrap_or(!agent.server);
    let mut all = json!({
        "LeaveOnTerm": leaves,
        "SkipLeaveOnInt": raw.bool("skip_leave_on_interrupt").unwrap_or(agent.server),
        "RPCProtocol": raw.int("protocol").unwrap_or(2),
        "RaftProtocol": raw.int("raft_protocol").unwrap_or(3),
        "RetryJoinLAN": raw.list("retry_join"),
        "RetryJoinWAN": raw.list("retry_join_wan"),
        "DisableCoordinates": agent.disable_coordinates,
        "DisableKeyringFile": agent.disable_keyring_file,
        "DisableRemoteExec": agent.disable_remote_exec,
        "EncryptKey": agent.encrypt,
        "StartJoinAddrsLAN": [],
        "StartJoinAddrsWAN": [],
    });
    if let (Some(server), Value::Object(all)) = (server, &mut all) {
        for (name, value) in [
            ("ConsulRaftElectionTimeout", server.timing.election),
            ("ConsulRaftHeartbeatTimeout", server.timing.heartbeat),
            ("RPCHoldTimeout", server.hold_timeout),
            ("SessionTTLMin", server.session_ttl_min),
            ("LeaveDrainTime", agent.leave_drain),
        ] {
            all.insert(name.to_owned(), time(value).into());
        }
        let autopilot = &server.autopilot;
        let settings = json!({
            "AutopilotCleanupDeadServers": autopilot.cleanup_dead_servers,
            "AutopilotLastContactThreshold": duration::format(autopilot.last_contact_threshold),
            "AutopilotMaxTrailingLogs": autopilot.max_trailing_logs,
            "AutopilotMinQuorum": autopilot.min_quorum,
            "AutopilotServerStabilizationTime":
                duration::format(autopilot.server_stabilization_time),
        });
        if let Value::Object(settings) = settings {
            all.extend(settings);
        }
    }
    all
}

fn mesh(raw: &Raw, agent: &AgentConfig, server: Option<&ServerConfig>) -> Value {
    let authority = server.and_then(|server| server.ca.as_ref());
    let proxy = &agent.proxy;
    json!({
        "ConnectEnabled": enabled(raw),
        "ConnectCAProvider": authority.map_or("", |ca| ca.provider.as_str()),
        "ConnectCAConfig": authority.map(|ca| &ca.config).cloned().unwrap_or_default(),
        "ConnectProxyAllowManagedRoot": proxy.allow_managed_root,
        "ConnectProxyAllowManagedAPIRegistration": proxy.allow_managed_api_registration,
        "ConnectProxyBindMinPort": proxy.min_port,
        "ConnectProxyBindMaxPort": proxy.max_port,
        "ConnectSidecarMinPort": agent.sidecar_ports.as_ref().map_or(0, |ports| *ports.start()),
        "ConnectSidecarMaxPort": agent.sidecar_ports.as_ref().map_or(0, |ports| *ports.end()),
        "ConnectProxyDefaultExecMode": proxy.default_exec_mode,
        "ConnectProxyDefaultDaemonCommand": proxy.default_daemon_command,
        "ConnectProxyDefaultScriptCommand": proxy.default_script_command,
        "ConnectProxyDefaultConfig": proxy.default_config,
    })
}

fn operation(raw: &Raw, agent: &AgentConfig) -> Value {
    let nanos = agent.check_update_interval.as_nanos();
    json!({
        "CheckUpdateInterval": duration::format(i64::try_from(nanos).unwrap_or(i64::MAX)),
        "DiscardCheckOutput": agent.discard_check_output,
        "EnableScriptChecks": agent.enable_script_checks,
        "EnableDebug": raw.bool("enable_debug").unwrap_or(false),
        "EnableSyslog": raw.bool("enable_syslog").unwrap_or(false),
        "LogLevel": agent.log_level,
        "PidFile": raw.string("pid_file"),
        "DNSDomain": raw.text("domain").unwrap_or("consul."),
        "DNSRecursors": raw.list("recursors"),
        "Services": agent.definitions.services.iter().map(service).collect::<Vec<_>>(),
        "Checks": agent.definitions.checks.iter().map(check).collect::<Vec<_>>(),
    })
}

fn service(service: &ServiceDefinition) -> Value {
    json!({
        "Kind": service.kind.as_str(),
        "ID": service.id,
        "Name": service.name,
        "Tags": service.tags,
        "Address": service.address,
        "Port": service.port,
        "Meta": service.meta,
        "Token": service.token,
        "EnableTagOverride": service.enable_tag_override,
        "ProxyDestination": service.proxy_destination,
        "Checks": service.checks.iter().map(check).collect::<Vec<_>>(),
        "Connect": {
            "Native": service.native,
            "Proxy": service.managed_proxy,
        },
    })
}

fn check(check: &CheckDefinition) -> Value {
    let time = duration::format;
    let mut all = json!({
        "ID": check.id,
        "Name": check.name,
        "Notes": check.notes,
        "ServiceID": check.service_id,
        "Token": check.token,
        "Status": check.status.map_or("", lictor_types::check::Status::as_str),
        "Interval": time(check.interval),
        "Timeout": time(check.timeout),
        "TTL": "0s",
        "DeregisterCriticalServiceAfter": time(check.deregister_critical_service_after),
    });
    let own = match &check.kind {
        CheckKind::Ttl { ttl } => json!({ "TTL": time(*ttl) }),
        // Headers may carry credentials.
        CheckKind::Http { url, method, header, tls_skip_verify, .. } => json!({
            "HTTP": url,
            "Method": method,
            "Header": header.keys().map(|name| (name.clone(), HIDDEN.into())).collect::<Map<_, _>>(),
            "TLSSkipVerify": tls_skip_verify,
        }),
        CheckKind::Tcp { address } => json!({ "TCP": address }),
        CheckKind::Udp { address } => json!({ "UDP": address }),
        CheckKind::Grpc { target, use_tls, .. } => {
            json!({ "GRPC": target, "GRPCUseTLS": use_tls })
        }
        CheckKind::H2Ping { target, use_tls, .. } => {
            json!({ "H2PING": target, "H2PingUseTLS": use_tls })
        }
        CheckKind::Docker { container, shell, args } => {
            json!({ "DockerContainerID": container, "Shell": shell, "ScriptArgs": args })
        }
        CheckKind::Script { args } => json!({ "ScriptArgs": args }),
        CheckKind::Alias { node, service } => {
            json!({ "AliasNode": node, "AliasService": service })
        }
    };
    if let (Value::Object(all), Value::Object(own)) = (&mut all, own) {
        all.extend(own);
    }
    all
}
