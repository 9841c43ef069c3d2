//! Settings of the node: identity, addresses, ports.
//!
//! Only what they are called and what they are for; see [`super`].

use super::super::schema::{Key, bool, int, list, map, text};
use super::NO_GRPC;

pub(super) const NODE: &[Key] = &[
    text("datacenter", "Name of the datacenter: letters, digits, - and _. Default: dc1.")
        .flag("datacenter"),
    text("primary_datacenter", "Datacenter that rules tokens, roots and intentions of all others."),
    text("node_name", "Name of the node, unique in the cluster. Default: the host's name.")
        .flag("node"),
    text("node_id", "UUID of the node. Default: a random one, kept in the data folder.")
        .flag("node-id"),
    bool("disable_host_node_id", "Never derive the node's UUID from the host. Default: true.")
        .flag("disable-host-node-id"),
    map("node_meta", "Metadata of the node: up to 64 pairs. On the command line: key:value.")
        .flag("node-meta")
        .reload(),
    text("data_dir", "Folder for state that outlives the agent. Required unless -dev is given.")
        .flag("data-dir"),
    text("bind_addr", "Address for traffic inside the cluster; a template may choose it.")
        .flag("bind"),
    text("advertise_addr", "Address that others reach the node by. Default: the bind address.")
        .flag("advertise"),
    text("advertise_addr_wan", "The same for other datacenters. Default: advertise_addr.")
        .flag("advertise-wan"),
    text("serf_lan", "Address for gossip inside the datacenter. Default: bind_addr.")
        .flag("serf-lan-bind"),
    text("serf_wan", "Address for gossip between datacenters. Default: bind_addr.")
        .flag("serf-wan-bind"),
    text("client_addr", "Addresses, separated by blanks, of the interfaces for clients.")
        .flag("client"),
    text("addresses.http", "Addresses of the HTTP interface; unix:// and a path for a socket."),
    text("addresses.https", "Addresses of the HTTPS interface."),
    text("addresses.dns", "Addresses of the DNS interface."),
    text("addresses.grpc", "Addresses of the gRPC interface.").not_yet(NO_GRPC),
    text("addresses.grpc_tls", "Addresses of the gRPC interface with TLS.").not_yet(NO_GRPC),
    map("tagged_addresses", "Further addresses of the node by kind, beside lan and wan."),
    bool("translate_wan_addrs", "Answer with WAN addresses to readers of other datacenters."),
    text("unix_sockets.user", "User that owns socket files: a number or a name."),
    text("unix_sockets.group", "Group that owns socket files: a number or a name."),
    text("unix_sockets.mode", "Mode of socket files, octal: \"0700\"."),
    text("domain", "DNS domain of the cluster. Default: consul.").flag("domain"),
    text("alt_domain", "A second DNS domain that is answered as well.").flag("alt-domain"),
    list("recursors", "DNS servers that answer for all other domains.").flag("recursor"),
];

pub(super) const PORTS: &[Key] = &[
    int("ports.http", "Port of the HTTP interface; -1 switches it off. Default: 8500.")
        .flag("http-port"),
    int("ports.https", "Port of the HTTPS interface; -1 switches it off. Default: -1.")
        .flag("https-port"),
    int("ports.dns", "Port of the DNS interface; -1 switches it off. Default: 8600.")
        .flag("dns-port"),
    int("ports.grpc", "Port of the gRPC interface; -1 switches it off. Default: -1, -dev: 8502.")
        .flag("grpc-port")
        .not_yet(NO_GRPC),
    int("ports.grpc_tls", "Port of the gRPC interface with TLS. Default: -1.")
        .flag("grpc-tls-port")
        .not_yet(NO_GRPC),
    int("ports.server", "Port of RPC between agents. Default: 8300.").flag("server-port"),
    int("ports.serf_lan", "Port of gossip inside the datacenter. Default: 8301.")
        .flag("serf-lan-port"),
    int("ports.serf_wan", "Port of gossip between datacenters; -1: off. Default: 8302.")
        .flag("serf-wan-port"),
    int("ports.proxy_min_port", "Lowest port handed to managed proxies. Default: 20000."),
    int("ports.proxy_max_port", "Highest port handed to managed proxies. Default: 20255."),
    int("ports.sidecar_min_port", "Lowest port handed to sidecar services. Default: 21000."),
    int("ports.sidecar_max_port", "Highest port handed to sidecar services. Default: 21255."),
    int("ports.expose_min_port", "Lowest port for exposed checks. Default: 21500.")
        .nothing("checks are not exposed through proxies"),
    int("ports.expose_max_port", "Highest port for exposed checks. Default: 21755.")
        .nothing("checks are not exposed through proxies"),
];
