//! Which fields entries have: their names, the names that files may use, what they hold, and
//! whether they are shown when they are empty. Source: the original's API of version 1.10, and for
//! fields marked so of later ones, which are kept for those who ask and have no effect here.

use super::Kind;

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Text.
    Text,
    /// Yes or no.
    Switch,
    /// A whole number.
    Whole,
    /// A whole number or none at all: zero is one.
    Limit,
    /// A number.
    Number,
    /// A length of time; shown as text, kept as nanoseconds.
    Duration,
    /// The same, shown as nanoseconds.
    Nanos,
    /// Several texts.
    Texts,
    /// Several whole numbers.
    Wholes,
    /// Texts by name.
    TextMap,
    /// Whatever was written.
    Free,
    /// Fields of its own, which are there in any case.
    Part(&'static [Field]),
    /// Fields of its own, if it is there.
    Option(&'static [Field]),
    /// Several of such.
    List(&'static [Field]),
    /// Such by name.
    Map(&'static [Field]),
}

/// A field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// The name that files may use as well.
    pub alias: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// Whether it is shown when it is empty.
    pub always: bool,
}

const fn field(name: &'static str, alias: &'static str, shape: Shape) -> Field {
    Field { name, alias, shape, always: matches!(shape, Shape::Part(_)) }
}

const fn always(name: &'static str, alias: &'static str, shape: Shape) -> Field {
    Field { name, alias, shape, always: true }
}

const META: Field = field("Meta", "meta", Shape::TextMap);

const MESH_GATEWAY: &[Field] = &[field("Mode", "mode", Shape::Text)];
const TRANSPARENT_PROXY: &[Field] = &[
    field("OutboundListenerPort", "outbound_listener_port", Shape::Whole),
    field("DialedDirectly", "dialed_directly", Shape::Switch),
];
const EXPOSE: &[Field] = &[
    field("Checks", "checks", Shape::Switch),
    field(
        "Paths",
        "paths",
        Shape::List(&[
            field("ListenerPort", "listener_port", Shape::Whole),
            field("Path", "path", Shape::Text),
            field("LocalPathPort", "local_path_port", Shape::Whole),
            field("Protocol", "protocol", Shape::Text),
            field("ParsedFromCheck", "parsed_from_check", Shape::Switch),
        ]),
    ),
];
const UPSTREAM: &[Field] = &[
    field("Name", "name", Shape::Text),
    field("EnvoyListenerJSON", "envoy_listener_json", Shape::Text),
    field("EnvoyClusterJSON", "envoy_cluster_json", Shape::Text),
    field("Protocol", "protocol", Shape::Text),
    field("ConnectTimeoutMs", "connect_timeout_ms", Shape::Whole),
    field(
        "Limits",
        "limits",
        Shape::Option(&[
            field("MaxConnections", "max_connections", Shape::Limit),
            field("MaxPendingRequests", "max_pending_requests", Shape::Limit),
            field("MaxConcurrentRequests", "max_concurrent_requests", Shape::Limit),
        ]),
    ),
    field(
        "PassiveHealthCheck",
        "passive_health_check",
        Shape::Option(&[
            field("Interval", "interval", Shape::Nanos),
            field("MaxFailures", "max_failures", Shape::Whole),
            // Of later versions.
            field("EnforcingConsecutive5xx", "enforcing_consecutive_5xx", Shape::Limit),
            field(
                "EnforcingConsecutiveGatewayFailure",
                "enforcing_consecutive_gateway_failure",
                Shape::Limit,
            ),
            field("Consecutive5xx", "consecutive_5xx", Shape::Limit),
            field("ConsecutiveGatewayFailure", "consecutive_gateway_failure", Shape::Limit),
            field("MaxEjectionPercent", "max_ejection_percent", Shape::Limit),
            field("BaseEjectionTime", "base_ejection_time", Shape::Nanos),
        ]),
    ),
    // Of later versions.
    field("BalanceOutboundConnections", "balance_outbound_connections", Shape::Text),
    field("MeshGateway", "mesh_gateway", Shape::Part(MESH_GATEWAY)),
];

const SERVICE_DEFAULTS: &[Field] = &[
    always("Protocol", "protocol", Shape::Text),
    field("Mode", "mode", Shape::Text),
    field("TransparentProxy", "transparent_proxy", Shape::Part(TRANSPARENT_PROXY)),
    field("MeshGateway", "mesh_gateway", Shape::Part(MESH_GATEWAY)),
    field("Expose", "expose", Shape::Part(EXPOSE)),
    field("ExternalSNI", "external_sni", Shape::Text),
    field(
        "UpstreamConfig",
        "upstream_config",
        Shape::Option(&[
            field("Overrides", "overrides", Shape::List(UPSTREAM)),
            field("Defaults", "defaults", Shape::Option(UPSTREAM)),
        ]),
    ),
    // Of later versions.
    field("MutualTLSMode", "mutual_tls_mode", Shape::Text),
    field("MaxInboundConnections", "max_inbound_connections", Shape::Whole),
    field("LocalConnectTimeoutMs", "local_connect_timeout_ms", Shape::Whole),
    field("LocalRequestTimeoutMs", "local_request_timeout_ms", Shape::Whole),
    field("BalanceInboundConnections", "balance_inbound_connections", Shape::Text),
    field(
        "Destination",
        "destination",
        Shape::Option(&[
            field("Addresses", "addresses", Shape::Texts),
            field("Port", "port", Shape::Whole),
        ]),
    ),
    field("RateLimits", "rate_limits", Shape::Free),
    field("EnvoyExtensions", "envoy_extensions", Shape::Free),
    field("MaxRequestHeadersKB", "max_request_headers_kb", Shape::Whole),
    META,
];

const PROXY_DEFAULTS: &[Field] = &[
    always("Config", "config", Shape::Free),
    field("Mode", "mode", Shape::Text),
    field("TransparentProxy", "transparent_proxy", Shape::Part(TRANSPARENT_PROXY)),
    field("MeshGateway", "mesh_gateway", Shape::Part(MESH_GATEWAY)),
    field("Expose", "expose", Shape::Part(EXPOSE)),
    // Of later versions.
    field("MutualTLSMode", "mutual_tls_mode", Shape::Text),
    field("AccessLogs", "access_logs", Shape::Free),
    field("EnvoyExtensions", "envoy_extensions", Shape::Free),
    field("FailoverPolicy", "failover_policy", Shape::Free),
    field("PrioritizeByLocality", "prioritize_by_locality", Shape::Free),
    META,
];

/// Changes to the headers of requests and answers, as later versions make them.
const HEADERS: [Field; 2] = {
    const OF: Shape = Shape::Option(&[
        field("Add", "add", Shape::TextMap),
        field("Set", "set", Shape::TextMap),
        field("Remove", "remove", Shape::Texts),
    ]);
    [
        field("RequestHeaders", "request_headers", OF),
        field("ResponseHeaders", "response_headers", OF),
    ]
};

const HEADER_MATCH: &[Field] = &[
    always("Name", "name", Shape::Text),
    field("Present", "present", Shape::Switch),
    field("Exact", "exact", Shape::Text),
    field("Prefix", "prefix", Shape::Text),
    field("Suffix", "suffix", Shape::Text),
    field("Regex", "regex", Shape::Text),
    field("Invert", "invert", Shape::Switch),
];

const SERVICE_ROUTER: &[Field] = &[
    always(
        "Routes",
        "routes",
        Shape::List(&[
            field(
                "Match",
                "match",
                Shape::Option(&[field(
                    "HTTP",
                    "http",
                    Shape::Option(&[
                        field("PathExact", "path_exact", Shape::Text),
                        field("PathPrefix", "path_prefix", Shape::Text),
                        field("PathRegex", "path_regex", Shape::Text),
                        // Of later versions.
                        field("CaseInsensitive", "case_insensitive", Shape::Switch),
                        field("Header", "header", Shape::List(HEADER_MATCH)),
                        field(
                            "QueryParam",
                            "query_param",
                            Shape::List(&[
                                always("Name", "name", Shape::Text),
                                field("Present", "present", Shape::Switch),
                                field("Exact", "exact", Shape::Text),
                                field("Regex", "regex", Shape::Text),
                            ]),
                        ),
                        field("Methods", "methods", Shape::Texts),
                    ]),
                )]),
            ),
            field(
                "Destination",
                "destination",
                Shape::Option(&[
                    field("Service", "service", Shape::Text),
                    field("ServiceSubset", "service_subset", Shape::Text),
                    field("Namespace", "namespace", Shape::Text),
                    field("PrefixRewrite", "prefix_rewrite", Shape::Text),
                    field("RequestTimeout", "request_timeout", Shape::Duration),
                    field("NumRetries", "num_retries", Shape::Whole),
                    field("RetryOnConnectFailure", "retry_on_connect_failure", Shape::Switch),
                    field("RetryOnStatusCodes", "retry_on_status_codes", Shape::Wholes),
                    // Of later versions.
                    field("IdleTimeout", "idle_timeout", Shape::Duration),
                    field("RetryOn", "retry_on", Shape::Texts),
                    HEADERS[0],
                    HEADERS[1],
                ]),
            ),
        ]),
    ),
    META,
];

const SERVICE_SPLITTER: &[Field] = &[
    always(
        "Splits",
        "splits",
        Shape::List(&[
            always("Weight", "weight", Shape::Number),
            field("Service", "service", Shape::Text),
            field("ServiceSubset", "service_subset", Shape::Text),
            field("Namespace", "namespace", Shape::Text),
            // Of later versions.
            HEADERS[0],
            HEADERS[1],
        ]),
    ),
    META,
];

const SERVICE_RESOLVER: &[Field] = &[
    field("DefaultSubset", "default_subset", Shape::Text),
    field(
        "Subsets",
        "subsets",
        Shape::Map(&[
            field("Filter", "filter", Shape::Text),
            field("OnlyPassing", "only_passing", Shape::Switch),
        ]),
    ),
    field(
        "Redirect",
        "redirect",
        Shape::Option(&[
            field("Service", "service", Shape::Text),
            field("ServiceSubset", "service_subset", Shape::Text),
            field("Namespace", "namespace", Shape::Text),
            field("Datacenter", "datacenter", Shape::Text),
        ]),
    ),
    field(
        "Failover",
        "failover",
        Shape::Map(&[
            field("Service", "service", Shape::Text),
            field("ServiceSubset", "service_subset", Shape::Text),
            field("Namespace", "namespace", Shape::Text),
            field("Datacenters", "datacenters", Shape::Texts),
            // Of later versions.
            field(
                "Targets",
                "targets",
                Shape::List(&[
                    field("Service", "service", Shape::Text),
                    field("ServiceSubset", "service_subset", Shape::Text),
                    field("Namespace", "namespace", Shape::Text),
                    field("Datacenter", "datacenter", Shape::Text),
                    field("Peer", "peer", Shape::Text),
                ]),
            ),
            field("Policy", "policy", Shape::Free),
        ]),
    ),
    field("ConnectTimeout", "connect_timeout", Shape::Duration),
    // Of later versions.
    field("RequestTimeout", "request_timeout", Shape::Duration),
    field("PrioritizeByLocality", "prioritize_by_locality", Shape::Free),
    field(
        "LoadBalancer",
        "load_balancer",
        Shape::Option(&[
            field("Policy", "policy", Shape::Text),
            field(
                "RingHashConfig",
                "ring_hash_config",
                Shape::Option(&[
                    field("MinimumRingSize", "minimum_ring_size", Shape::Whole),
                    field("MaximumRingSize", "maximum_ring_size", Shape::Whole),
                ]),
            ),
            field(
                "LeastRequestConfig",
                "least_request_config",
                Shape::Option(&[field("ChoiceCount", "choice_count", Shape::Whole)]),
            ),
            field(
                "HashPolicies",
                "hash_policies",
                Shape::List(&[
                    field("Field", "field", Shape::Text),
                    field("FieldValue", "field_value", Shape::Text),
                    field(
                        "CookieConfig",
                        "cookie_config",
                        Shape::Option(&[
                            field("Session", "session", Shape::Switch),
                            field("TTL", "ttl", Shape::Nanos),
                            field("Path", "path", Shape::Text),
                        ]),
                    ),
                    field("SourceIP", "source_ip", Shape::Switch),
                    field("Terminal", "terminal", Shape::Switch),
                ]),
            ),
        ]),
    ),
    META,
];

const GATEWAY_TLS: &[Field] = &[
    always("Enabled", "enabled", Shape::Switch),
    // Of later versions.
    field("SDS", "sds", Shape::Free),
    field("TLSMinVersion", "tls_min_version", Shape::Text),
    field("TLSMaxVersion", "tls_max_version", Shape::Text),
    field("CipherSuites", "cipher_suites", Shape::Texts),
];

const INGRESS_GATEWAY: &[Field] = &[
    field("TLS", "tls", Shape::Part(GATEWAY_TLS)),
    always(
        "Listeners",
        "listeners",
        Shape::List(&[
            always("Port", "port", Shape::Whole),
            always("Protocol", "protocol", Shape::Text),
            // Of later versions.
            field("TLS", "tls", Shape::Option(GATEWAY_TLS)),
            always(
                "Services",
                "services",
                Shape::List(&[
                    always("Name", "name", Shape::Text),
                    always("Hosts", "hosts", Shape::Texts),
                    META,
                    // Of later versions.
                    field("TLS", "tls", Shape::Free),
                    field("MaxConnections", "max_connections", Shape::Limit),
                    field("MaxPendingRequests", "max_pending_requests", Shape::Limit),
                    field("MaxConcurrentRequests", "max_concurrent_requests", Shape::Limit),
                    field("PassiveHealthCheck", "passive_health_check", Shape::Free),
                    HEADERS[0],
                    HEADERS[1],
                ]),
            ),
        ]),
    ),
    // Of later versions.
    field(
        "Defaults",
        "defaults",
        Shape::Option(&[
            always("MaxConnections", "max_connections", Shape::Whole),
            always("MaxPendingRequests", "max_pending_requests", Shape::Whole),
            always("MaxConcurrentRequests", "max_concurrent_requests", Shape::Whole),
            field("PassiveHealthCheck", "passive_health_check", Shape::Free),
        ]),
    ),
    META,
];

const TERMINATING_GATEWAY: &[Field] = &[
    always(
        "Services",
        "services",
        Shape::List(&[
            field("Name", "name", Shape::Text),
            field("CAFile", "ca_file", Shape::Text),
            field("CertFile", "cert_file", Shape::Text),
            field("KeyFile", "key_file", Shape::Text),
            field("SNI", "sni", Shape::Text),
            // Of later versions.
            field("DisableAutoHostRewrite", "disable_auto_host_rewrite", Shape::Switch),
        ]),
    ),
    META,
];

const SERVICE_INTENTIONS: &[Field] = &[
    always(
        "Sources",
        "sources",
        Shape::List(&[
            always("Name", "name", Shape::Text),
            field("Action", "action", Shape::Text),
            field(
                "Permissions",
                "permissions",
                Shape::List(&[
                    always("Action", "action", Shape::Text),
                    field(
                        "HTTP",
                        "http",
                        Shape::Option(&[
                            field("PathExact", "path_exact", Shape::Text),
                            field("PathPrefix", "path_prefix", Shape::Text),
                            field("PathRegex", "path_regex", Shape::Text),
                            field("Header", "header", Shape::List(HEADER_MATCH)),
                            field("Methods", "methods", Shape::Texts),
                        ]),
                    ),
                ]),
            ),
            always("Precedence", "precedence", Shape::Whole),
            field("LegacyID", "legacy_id", Shape::Text),
            always("Type", "type", Shape::Text),
            field("Description", "description", Shape::Text),
            field("LegacyMeta", "legacy_meta", Shape::TextMap),
            field("LegacyCreateTime", "legacy_create_time", Shape::Text),
            field("LegacyUpdateTime", "legacy_update_time", Shape::Text),
        ]),
    ),
    META,
];

const MESH_TLS: &[Field] = &[
    field("TLSMinVersion", "tls_min_version", Shape::Text),
    field("TLSMaxVersion", "tls_max_version", Shape::Text),
    field("CipherSuites", "cipher_suites", Shape::Texts),
];

const MESH: &[Field] = &[
    field(
        "TransparentProxy",
        "transparent_proxy",
        Shape::Part(&[always("MeshDestinationsOnly", "mesh_destinations_only", Shape::Switch)]),
    ),
    // Of later versions.
    field(
        "AllowEnablingPermissiveMutualTLS",
        "allow_enabling_permissive_mutual_tls",
        Shape::Switch,
    ),
    field("ValidateClusters", "validate_clusters", Shape::Switch),
    field(
        "TLS",
        "tls",
        Shape::Option(&[
            field("Incoming", "incoming", Shape::Option(MESH_TLS)),
            field("Outgoing", "outgoing", Shape::Option(MESH_TLS)),
        ]),
    ),
    field(
        "HTTP",
        "http",
        Shape::Option(&[
            always(
                "SanitizeXForwardedClientCert",
                "sanitize_x_forwarded_client_cert",
                Shape::Switch,
            ),
            field("Incoming", "incoming", Shape::Free),
        ]),
    ),
    field(
        "Peering",
        "peering",
        Shape::Option(&[field(
            "PeerThroughMeshGateways",
            "peer_through_mesh_gateways",
            Shape::Switch,
        )]),
    ),
    META,
];

impl Kind {
    /// The fields of its entries, in the order in which they are shown, without kind, name and indexes.
    #[must_use]
    pub const fn fields(self) -> &'static [Field] {
        match self {
            Self::IngressGateway => INGRESS_GATEWAY,
            Self::Mesh => MESH,
            Self::ProxyDefaults => PROXY_DEFAULTS,
            Self::ServiceDefaults => SERVICE_DEFAULTS,
            Self::ServiceIntentions => SERVICE_INTENTIONS,
            Self::ServiceResolver => SERVICE_RESOLVER,
            Self::ServiceRouter => SERVICE_ROUTER,
            Self::ServiceSplitter => SERVICE_SPLITTER,
            Self::TerminatingGateway => TERMINATING_GATEWAY,
        }
    }
}
