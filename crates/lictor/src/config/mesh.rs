//! Settings of the service mesh: certificate authority and managed proxies.
//!
//! The provider checks its own settings when it starts; here only names are put into the API's
//! form.

use lictor_agent::ProxySettings;
use lictor_server::CaSettings;
use serde_json::Value;
use uuid::Uuid;

use super::address::Ports;
use super::error::ConfigError;
use super::raw::{Json, Raw};

/// Names of a provider's settings in files and in the API.
const CA_NAMES: &[(&str, &str)] = &[
    ("private_key", "PrivateKey"),
    ("root_cert", "RootCert"),
    ("rotation_period", "RotationPeriod"),
    ("leaf_cert_ttl", "LeafCertTTL"),
    ("intermediate_cert_ttl", "IntermediateCertTTL"),
    ("root_cert_ttl", "RootCertTTL"),
    ("private_key_type", "PrivateKeyType"),
    ("private_key_bits", "PrivateKeyBits"),
    ("csr_max_per_second", "CSRMaxPerSecond"),
    ("csr_max_concurrent", "CSRMaxConcurrent"),
    ("address", "Address"),
    ("token", "Token"),
    ("root_pki_path", "RootPKIPath"),
    ("intermediate_pki_path", "IntermediatePKIPath"),
    ("namespace", "Namespace"),
    ("ca_file", "CAFile"),
    ("ca_path", "CAPath"),
    ("cert_file", "CertFile"),
    ("key_file", "KeyFile"),
    ("tls_server_name", "TLSServerName"),
    ("tls_skip_verify", "TLSSkipVerify"),
];
/// What the first configuration of a cluster says anyway, as in later versions.
const LIVES: [(&str, &str); 3] =
    [("LeafCertTTL", "72h"), ("IntermediateCertTTL", "8760h"), ("RootCertTTL", "87600h")];

/// Whether the mesh is on: certificates of agents need its authority.
pub(super) fn enabled(raw: &Raw) -> bool {
    let keys = ["connect.enabled", "auto_encrypt.tls", "auto_encrypt.allow_tls"];
    keys.iter().any(|key| raw.bool(key) == Some(true))
}

/// The certificate authority; `None` when the mesh is off.
pub(super) fn authority(raw: &Raw) -> Result<Option<CaSettings>, ConfigError> {
    let provider = raw.text("connect.ca_provider").filter(|name| !name.is_empty());
    let provider = provider.unwrap_or("consul").to_owned();
    if !matches!(provider.as_str(), "consul" | "vault") {
        let text = format!("{provider} is not a valid CA provider");
        return Err(ConfigError::at(raw.origin("connect.ca_provider"), text));
    }
    let enabled = enabled(raw);
    let origin = raw.origin("connect.ca_config");
    let mut config = Json::new();
    config.extend(LIVES.map(|(name, life)| (name.to_owned(), Value::from(life))));
    let mut cluster_id = String::new();
    for (key, value) in raw.opaque("connect.ca_config").into_iter().flatten() {
        if same(key, "cluster_id") {
            let id = value.as_str().and_then(|id| Uuid::try_parse(id).ok());
            let text = "cluster_id was supplied but was not a valid UUID";
            cluster_id = id.ok_or_else(|| ConfigError::at(origin, text))?.to_string();
            continue;
        }
        let known = CA_NAMES.iter().find(|(name, _)| same(key, name));
        let name = known.map_or(key.as_str(), |(_, name)| *name);
        config.insert(name.to_owned(), value.clone());
    }
    if !enabled {
        return Ok(None);
    }
    let settings = CaSettings { provider, cluster_id, config };
    if settings.provider == "vault" {
        // A cluster's first configuration is stored once: what Vault lacks is told before.
        settings.check().map_err(|text| ConfigError::at(origin, text))?;
    }
    Ok(Some(settings))
}

/// Whether two names are the same but for underscores and case.
fn same(given: &str, name: &str) -> bool {
    let letters = |c: &char| *c != '_';
    let lower = |c: char| c.to_ascii_lowercase();
    given.chars().filter(letters).map(lower).eq(name.chars().filter(letters).map(lower))
}

/// Settings of managed proxies.
pub(super) fn proxies(raw: &Raw, ports: Ports) -> Result<ProxySettings, ConfigError> {
    let key = "connect.proxy_defaults.exec_mode";
    let default_exec_mode = raw.string(key);
    if !matches!(default_exec_mode.as_str(), "" | "daemon" | "script") {
        let text = format!("{key}: invalid exec mode: {default_exec_mode}");
        return Err(ConfigError::at(raw.origin(key), text));
    }
    let on = |key: &str| raw.bool(key).unwrap_or(false);
    Ok(ProxySettings {
        allow_managed_root: on("connect.proxy.allow_managed_root"),
        allow_managed_api_registration: on("connect.proxy.allow_managed_api_registration"),
        min_port: ports.proxy_min,
        max_port: ports.proxy_max,
        default_exec_mode,
        default_daemon_command: raw.list("connect.proxy_defaults.daemon_command"),
        default_script_command: raw.list("connect.proxy_defaults.script_command"),
        default_config: raw.opaque("connect.proxy_defaults.config").cloned().unwrap_or_default(),
        telemetry: None,
    })
}
