//! Settings of encryption, certificates, access control and the HTTP interface.
//!
//! Only what they are called and what they are for; see [`super`].

use super::super::schema::{Key, Shape, bool, duration, int, list, map, text};
use super::NO_TLS;

const NO_COPY: &str = "there is no way to another datacenter yet";
const CACHED: &str = "policies and roles are remembered with the tokens that have them";

pub(super) const TLS: &[Key] = &[
    text("encrypt", "First key of gossip: base64 of 16, 24 or 32 bytes.").flag("encrypt"),
    bool("encrypt_verify_incoming", "Refuse gossip in plain text. Default: true."),
    bool("encrypt_verify_outgoing", "Never send gossip in plain text. Default: true."),
    bool("disable_keyring_file", "Do not store gossip keys in the data folder.")
        .flag("disable-keyring-file"),
    text("ca_file", "File of the CA that is trusted.").reload(),
    text("ca_path", "Folder of CA files.").reload(),
    text("cert_file", "The agent's certificate.").reload(),
    text("key_file", "The certificate's key.").reload(),
    bool("verify_incoming", "Demand client certificates for RPC and HTTPS.").reload(),
    bool("verify_incoming_rpc", "The same for RPC alone."),
    bool("verify_incoming_https", "The same for HTTPS alone.").reload(),
    bool("verify_outgoing", "Check the certificates of others."),
    bool("verify_server_hostname", "Demand server.<datacenter>.<domain>."),
    text("server_name", "Name in the agent's own certificate. Default: the node's.")
        .not_yet(NO_TLS),
    text("tls_min_version", "tls10, tls11, tls12 or tls13; below 1.2 means 1.2.").reload(),
    text("tls_cipher_suites", "Allowed cipher suites, separated by commas.").reload(),
    bool("tls_prefer_server_cipher_suites", "The server chooses the cipher suite.").reload(),
    bool("enable_agent_tls_for_checks", "Use the agent's certificates in checks."),
    bool("auto_encrypt.tls", "Have servers make the agent's certificate.").not_yet(NO_TLS),
    bool("auto_encrypt.allow_tls", "Make certificates for client agents.").not_yet(NO_TLS),
    list("auto_encrypt.dns_san", "DNS names to ask for.").not_yet(NO_TLS),
    list("auto_encrypt.ip_san", "Addresses to ask for.").not_yet(NO_TLS),
    text("tls.defaults.ca_file", "As ca_file, for all interfaces.").reload(),
    text("tls.defaults.ca_path", "As ca_path, for all interfaces.").reload(),
    text("tls.defaults.cert_file", "As cert_file, for all interfaces.").reload(),
    text("tls.defaults.key_file", "As key_file, for all interfaces.").reload(),
    text("tls.defaults.tls_min_version", "TLSv1_2 or TLSv1_3.").reload(),
    text("tls.defaults.tls_cipher_suites", "As tls_cipher_suites.").reload(),
    bool("tls.defaults.verify_incoming", "As verify_incoming.").reload(),
    bool("tls.defaults.verify_outgoing", "As verify_outgoing."),
    text("tls.internal_rpc.ca_file", "For RPC alone.").reload(),
    text("tls.internal_rpc.ca_path", "For RPC alone.").reload(),
    text("tls.internal_rpc.cert_file", "For RPC alone.").reload(),
    text("tls.internal_rpc.key_file", "For RPC alone.").reload(),
    text("tls.internal_rpc.tls_min_version", "For RPC alone.").reload(),
    text("tls.internal_rpc.tls_cipher_suites", "For RPC alone.").reload(),
    bool("tls.internal_rpc.verify_incoming", "For RPC alone."),
    bool("tls.internal_rpc.verify_outgoing", "For RPC alone."),
    bool("tls.internal_rpc.verify_server_hostname", "For RPC alone."),
    text("tls.https.ca_file", "For HTTPS alone.").reload(),
    text("tls.https.ca_path", "For HTTPS alone.").reload(),
    text("tls.https.cert_file", "For HTTPS alone.").reload(),
    text("tls.https.key_file", "For HTTPS alone.").reload(),
    text("tls.https.tls_min_version", "For HTTPS alone.").reload(),
    text("tls.https.tls_cipher_suites", "For HTTPS alone.").reload(),
    bool("tls.https.verify_incoming", "For HTTPS alone.").reload(),
    bool("tls.https.verify_outgoing", "For HTTPS alone.").not_yet(NO_TLS),
    text("tls.grpc.ca_file", "For gRPC alone.").not_yet(NO_TLS),
    text("tls.grpc.ca_path", "For gRPC alone.").not_yet(NO_TLS),
    text("tls.grpc.cert_file", "For gRPC alone.").not_yet(NO_TLS),
    text("tls.grpc.key_file", "For gRPC alone.").not_yet(NO_TLS),
    text("tls.grpc.tls_min_version", "For gRPC alone.").not_yet(NO_TLS),
    text("tls.grpc.tls_cipher_suites", "For gRPC alone.").not_yet(NO_TLS),
    bool("tls.grpc.verify_incoming", "For gRPC alone.").not_yet(NO_TLS),
    bool("tls.grpc.use_auto_cert", "Use the certificate of auto_encrypt.").not_yet(NO_TLS),
];

pub(super) const ACL: &[Key] = &[
    text("acl_datacenter", "Datacenter that rules ACLs; switches them on."),
    text("acl_default_policy", "What no rule speaks of: allow or deny. Default: allow."),
    text("acl_down_policy", "Without servers: allow, deny or extend-cache (the default)."),
    duration("acl_ttl", "Time tokens are cached. Default: 30s."),
    text("acl_token", "Token of requests that bring none."),
    text("acl_agent_token", "Token of the agent's own writes. Default: acl_token."),
    text("acl_agent_master_token", "Token for this agent that works without servers."),
    text("acl_master_token", "Management token made by the first leader."),
    text("acl_replication_token", "Token for copying ACLs from acl_datacenter.").not_yet(NO_COPY),
    bool("enable_acl_replication", "Copy ACLs from acl_datacenter.").not_yet(NO_COPY),
    bool("acl_enforce_version_8", "Enforce rules for nodes, sessions and agents. Default: true."),
    bool("acl_enable_key_list_policy", "Let rules forbid listing keys."),
    bool("acl.enabled", "Switches ACLs on."),
    text("acl.default_policy", "As acl_default_policy."),
    text("acl.down_policy", "As acl_down_policy; also async-cache."),
    duration("acl.token_ttl", "Time tokens are cached. Default: 30s."),
    duration("acl.policy_ttl", "Time policies are cached. Default: 30s.").nothing(CACHED),
    duration("acl.role_ttl", "Time roles are cached. Default: 30s.").nothing(CACHED),
    bool("acl.enable_key_list_policy", "As acl_enable_key_list_policy."),
    bool("acl.enable_token_persistence", "Store tokens set through the API."),
    bool("acl.enable_token_replication", "Copy tokens from the primary.").not_yet(NO_COPY),
    text("acl.tokens.initial_management", "As acl_master_token.").alias(&["master"]),
    text("acl.tokens.agent_recovery", "As acl_agent_master_token.").alias(&["agent_master"]),
    text("acl.tokens.default", "As acl_token.").reload(),
    text("acl.tokens.agent", "As acl_agent_token.").reload(),
    text("acl.tokens.replication", "As acl_replication_token.").not_yet(NO_COPY),
    text("acl.tokens.config_file_service_registration", "Token of services in files.").reload(),
    text("acl.tokens.dns", "Token of questions over DNS.").reload(),
];

pub(super) const HTTP: &[Key] = &[
    list("http_config.block_endpoints", "Path prefixes that are refused."),
    map("http_config.response_headers", "Headers added to every answer."),
    list("http_config.allow_write_http_from", "Networks (CIDR) that may write. Default: all."),
    bool("http_config.use_cache", "Answer ?cached from the agent's cache. Default: true.")
        .nothing("?cached is always answered from memory"),
    int("http_config.max_header_bytes", "Longest head of a request, bytes."),
    bool("disable_http_unprintable_char_filter", "Accept unprintable characters in paths."),
    bool("ui", "Serve the web UI.").flag("ui").not_yet(super::NO_UI),
    text("ui_dir", "Serve the web UI from this folder.").flag("ui-dir").not_yet(super::NO_UI),
    bool("ui_config.enabled", "Serve the web UI.").not_yet(super::NO_UI),
    text("ui_config.dir", "Serve the web UI from this folder.").not_yet(super::NO_UI),
    text("ui_config.content_path", "Path of the web UI. Default: /ui/.")
        .flag("ui-content-path")
        .not_yet(super::NO_UI),
    text("ui_config.metrics_provider", "Where the UI finds metrics.").not_yet(super::NO_UI),
    Key::new("ui_config.metrics_proxy", Shape::Opaque, "How it reaches them.")
        .not_yet(super::NO_UI),
    map("ui_config.dashboard_url_templates", "Links to dashboards.").not_yet(super::NO_UI),
];
