//! Settings of definitions, the mesh, DNS, logs, telemetry, and constants that are accepted.
//!
//! Only what they are called and what they are for; see [`super`].

use super::super::schema::{Key, Shape, bool, duration, float, int, list, opaque, text};
use super::super::service::{CHECK, SERVICE};

const CIRCONUS: &str = "metrics are not sent to Circonus";
const CONSTANT: &str = "it is a constant, as in the original";

pub(super) const DEFINITIONS: &[Key] = &[
    Key::new("service", Shape::Object(SERVICE), "A service of this node.").reload(),
    Key::new("services", Shape::Objects(SERVICE), "Services of this node.").reload(),
    Key::new("check", Shape::Object(CHECK), "A health check.").reload(),
    Key::new("checks", Shape::Objects(CHECK), "Health checks.").reload(),
    Key::new("watches", Shape::OpaqueList, "Handlers to run when data changes.").reload(),
    bool("enable_script_checks", "Allow checks that run commands.").flag("enable-script-checks"),
    bool("enable_local_script_checks", "Allow them in files only.")
        .flag("enable-local-script-checks"),
    duration("check_update_interval", "Longest delay of changed output alone. Default: 5m."),
    bool("discard_check_output", "Do not keep the output of checks.").reload(),
    bool("enable_central_service_config", "Apply central service defaults.")
        .nothing("it is always on"),
];

pub(super) const CONNECT: &[Key] = &[
    bool("connect.enabled", "Run the service mesh's certificate authority. Default: -dev only."),
    text("connect.ca_provider", "consul (built in) or vault. Default: consul."),
    opaque("connect.ca_config", "Settings of the provider; only used at the first start."),
    bool("connect.proxy.allow_managed_root", "Start managed proxies when running as root."),
    bool("connect.proxy.allow_managed_api_registration", "Accept managed proxies from the API."),
    text("connect.proxy_defaults.exec_mode", "daemon or script. Default: daemon."),
    list("connect.proxy_defaults.daemon_command", "Command of proxies. Default: the built-in one."),
    list("connect.proxy_defaults.script_command", "Command of proxies in script mode."),
    opaque("connect.proxy_defaults.config", "Settings under those of each proxy."),
    bool("connect.enable_mesh_gateway_wan_federation", "Federate through gateways.")
        .not_yet("there is one datacenter only"),
];

/// Why the age of an answer needs no rule.
const NO_AGE: &str = "answers come from the servers' catalog as it is now";

pub(super) const DNS: &[Key] = &[
    bool("dns_config.allow_stale", "Let any server answer. Default: true.").reload(),
    duration("dns_config.max_stale", "Age up to which it may. Default: 87600h.").reload(),
    duration("dns_config.node_ttl", "TTL of nodes. Default: 0s.").reload(),
    Key::new("dns_config.service_ttl", Shape::DurationMap, "TTL by service; * for all others.")
        .reload(),
    bool("dns_config.enable_truncate", "Mark shortened answers.").reload(),
    bool("dns_config.only_passing", "Leave out services with warnings.").reload(),
    duration("dns_config.recursor_timeout", "Time for a recursor. Default: 2s.").reload(),
    bool("dns_config.disable_compression", "Write names in full.").reload(),
    int("dns_config.udp_answer_limit", "Records in a UDP answer. Default: 3.").reload(),
    int("dns_config.a_record_limit", "Addresses in an answer; 0: any.").reload(),
    bool("dns_config.enable_additional_node_meta_txt", "Metadata as TXT. Default: true.").reload(),
    int("dns_config.soa.refresh", "Seconds. Default: 3600.").reload(),
    int("dns_config.soa.retry", "Seconds. Default: 600.").reload(),
    int("dns_config.soa.expire", "Seconds. Default: 86400.").reload(),
    int("dns_config.soa.min_ttl", "Seconds. Default: 0.").reload(),
    bool("dns_config.use_cache", "Answer from the agent's cache.").nothing(NO_AGE),
    duration("dns_config.cache_max_age", "Age up to which it may.").nothing(NO_AGE),
    text("dns_config.recursor_strategy", "sequential or random.").reload(),
];

pub(super) const LOGS: &[Key] = &[
    text("log_level", "TRACE, DEBUG, INFO, WARN or ERR. Default: INFO; -dev: DEBUG.")
        .flag("log-level")
        .reload(),
    bool("log_json", "Write log lines as JSON.").flag("log-json"),
    text("log_file", "Write the log to this file as well.").flag("log-file"),
    duration("log_rotate_duration", "Begin a new log file after this time. Default: 24h.")
        .flag("log-rotate-duration"),
    int("log_rotate_bytes", "Begin a new log file after this size; 0: never.")
        .flag("log-rotate-bytes"),
    int("log_rotate_max_files", "Old log files to keep; 0: all, -1: none.")
        .flag("log-rotate-max-files"),
    bool("enable_syslog", "Write the log to syslog.").flag("syslog"),
    text("syslog_facility", "Facility of syslog. Default: LOCAL0."),
    bool("enable_debug", "Offer profiles of the program.")
        .nothing("there are no profiles to offer"),
    text("pid_file", "File to write the process number to.").flag("pid-file"),
    bool("auto_reload_config", "Reload when a file changes.").flag("auto-reload-config"),
];

pub(super) const TELEMETRY: &[Key] = &[
    text("telemetry.metrics_prefix", "First part of all names. Default: consul."),
    bool("telemetry.disable_hostname", "Leave the host's name out."),
    bool("telemetry.filter_default", "Keep what no rule names. Default: true.").reload(),
    list("telemetry.prefix_filter", "Rules: + or - and the beginning of a name.").reload(),
    text("telemetry.statsd_address", "host:port of a statsd server."),
    text("telemetry.statsite_address", "host:port of a statsite server."),
    text("telemetry.dogstatsd_addr", "host:port of a DogStatsD server, or unix:// and a path."),
    list("telemetry.dogstatsd_tags", "Tags for it."),
    duration("telemetry.prometheus_retention_time", "Time values are kept; 0s: off."),
    text("telemetry.circonus_api_app", "Circonus.").nothing(CIRCONUS),
    text("telemetry.circonus_api_token", "Circonus.").nothing(CIRCONUS),
    text("telemetry.circonus_api_url", "Circonus.").nothing(CIRCONUS),
    text("telemetry.circonus_broker_id", "Circonus.").nothing(CIRCONUS),
    text("telemetry.circonus_broker_select_tag", "Circonus.").nothing(CIRCONUS),
    text("telemetry.circonus_check_display_name", "Circonus.").nothing(CIRCONUS),
    text("telemetry.circonus_check_force_metric_activation", "Circonus.").nothing(CIRCONUS),
    text("telemetry.circonus_check_id", "Circonus.").nothing(CIRCONUS),
    text("telemetry.circonus_check_instance_id", "Circonus.").nothing(CIRCONUS),
    text("telemetry.circonus_check_search_tag", "Circonus.").nothing(CIRCONUS),
    text("telemetry.circonus_check_tags", "Circonus.").nothing(CIRCONUS),
    text("telemetry.circonus_submission_interval", "Circonus.").nothing(CIRCONUS),
    text("telemetry.circonus_submission_url", "Circonus.").nothing(CIRCONUS),
];

pub(super) const CONSTANTS: &[Key] = &[
    duration("acl_disabled_ttl", "120s.").nothing(CONSTANT),
    duration("ae_interval", "1m.").nothing(CONSTANT),
    duration("check_reap_interval", "30s.").nothing(CONSTANT),
    duration("check_deregister_interval_min", "1m.").nothing(CONSTANT),
    float("sync_coordinate_rate_target", "64 per second.").nothing(CONSTANT),
    duration("sync_coordinate_interval_min", "15s.").nothing(CONSTANT),
    int("segment_limit", "64.").nothing(CONSTANT),
    int("segment_name_limit", "64.").nothing(CONSTANT),
    text("revision", "Set by the program.").nothing(CONSTANT),
    text("version", "Set by the program.").nothing(CONSTANT),
    text("version_prerelease", "Set by the program.").nothing(CONSTANT),
    opaque("consul", "Intervals of the original's inner parts.").nothing(CONSTANT),
];
