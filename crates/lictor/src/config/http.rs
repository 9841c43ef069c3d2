//! The HTTP interface: where it listens, whom it lets in, its TLS and its limits.
//!
//! Addresses are decided in [`super::address`]; files of certificates are read when the agent
//! starts or reloads. Keys and texts follow the original, with those of later versions.

use std::path::PathBuf;
use std::time::Duration;

use lictor_agent::CheckTlsFiles;
use lictor_http::{
    HEAD_BYTES, Held, HttpConfig, HttpLimits, Network as Cidr, TlsConfig, TlsVersion, Ui,
    VALUE_BYTES, known_suite,
};

use super::address::Addresses;
use super::decide::time;
use super::error::ConfigError;
use super::raw::Raw;

/// Largest head of a request, and largest values, that can be allowed: the log's records end at
/// 16 MiB.
const HEAD_MOST: usize = 16 << 20;
const VALUE_MOST: usize = 8 << 20;

/// The interface's name among the settings of TLS.
const HTTPS: &str = "https";

/// Decides everything about HTTP.
pub(super) fn http(
    raw: &Raw,
    addresses: &Addresses,
    dev: bool,
    warnings: &mut Vec<String>,
) -> Result<HttpConfig, ConfigError> {
    let on = |key: &str| raw.bool(key).unwrap_or(false);
    let folder = [raw.string("ui_dir"), raw.string("ui_config.dir")];
    let folder = folder.into_iter().find(|path| !path.is_empty());
    let ui = match (on("ui") || on("ui_config.enabled"), folder) {
        (_, Some(folder)) => Ui::Folder(folder.into()),
        (true, None) => Ui::Builtin,
        (false, None) => Ui::Off,
    };
    let tls = match addresses.https.is_empty() {
        true => None,
        false => tls(raw, warnings)?,
    };
    Ok(HttpConfig {
        listeners: addresses.http.clone(),
        tls_listeners: addresses.https.clone(),
        tls,
        response_headers: raw.map("http_config.response_headers").into_iter().collect(),
        block_endpoints: raw.list("http_config.block_endpoints"),
        write_from: networks(raw)?,
        discovery_max_stale: time(raw, "discovery_max_stale", Duration::ZERO)?,
        any_characters: on("disable_http_unprintable_char_filter"),
        pretty: dev,
        translate_addresses: on("translate_wan_addrs"),
        ui,
        limits: limits(raw)?,
    })
}

fn networks(raw: &Raw) -> Result<Vec<Cidr>, ConfigError> {
    let key = "http_config.allow_write_http_from";
    let read = |text: &String| {
        text.parse().map_err(|error| {
            ConfigError::at(raw.origin(key), format!("{key}: {text:?} is {error}"))
        })
    };
    raw.list(key).iter().map(read).collect()
}

fn limits(raw: &Raw) -> Result<HttpLimits, ConfigError> {
    let usual = HttpLimits::default();
    let key = "limits.http_max_conns_per_client";
    let connections_per_client = usize::try_from(raw.int(key).unwrap_or(0)).map_err(|_| {
        let text = format!("{key} must be 0, for any number, or greater");
        ConfigError::at(raw.origin(key), text)
    })?;
    Ok(HttpLimits {
        connections_per_client,
        handshake: time(raw, "limits.https_handshake_timeout", usual.handshake)?,
        head_bytes: size(raw, "http_config.max_header_bytes", HEAD_BYTES, HEAD_MOST)?,
        value_bytes: size(raw, "limits.kv_max_value_size", VALUE_BYTES, VALUE_MOST)?,
        transaction_bytes: size(raw, "limits.txn_max_req_len", VALUE_BYTES, VALUE_MOST)?,
        ..usual
    })
}

/// A number of bytes; the usual one for 0 or less, as in the original.
fn size(raw: &Raw, key: &str, usual: usize, most: usize) -> Result<usize, ConfigError> {
    match raw.int(key) {
        None | Some(..=0) => Ok(usual),
        Some(given) => usize::try_from(given).ok().filter(|size| *size <= most).ok_or_else(|| {
            let text = format!("{key} cannot be {given}: {most} is the most");
            ConfigError::at(raw.origin(key), text)
        }),
    }
}

/// A text for an interface and its key: set for it alone, for all interfaces, or in the old place.
pub(super) fn text(raw: &Raw, interface: &str, name: &str) -> (String, String) {
    let own = format!("tls.{interface}.{name}");
    let places = [own, format!("tls.defaults.{name}"), name.to_owned()];
    let found = places.into_iter().find(|key| !raw.string(key).is_empty());
    found.map(|key| (raw.string(&key), key)).unwrap_or_default()
}

/// `None` without certificate and key: test tools set the port alone and never ask there.
fn tls(raw: &Raw, warnings: &mut Vec<String>) -> Result<Option<TlsConfig>, ConfigError> {
    let path =
        |name: &str| Some(text(raw, HTTPS, name).0).filter(|p| !p.is_empty()).map(PathBuf::from);
    let (cert_file, key_file) = match (path("cert_file"), path("key_file")) {
        (Some(cert_file), Some(key_file)) => (cert_file, key_file),
        // Servers make one.
        (None, None) if raw.bool("auto_encrypt.tls") == Some(true) => Default::default(),
        (None, None) => {
            let text = "nobody can connect to ports.https: set cert_file and key_file";
            warnings.push(text.to_owned());
            return Ok(None);
        }
        _ => {
            let text = "ports.https needs both cert_file and key_file";
            return Err(ConfigError::at(raw.origin("ports.https"), text));
        }
    };
    let verify_clients = match ["tls.https.verify_incoming", "tls.defaults.verify_incoming"]
        .into_iter()
        .find_map(|key| raw.bool(key))
    {
        Some(given) => given,
        None => ["verify_incoming", "verify_incoming_https"]
            .into_iter()
            .any(|key| raw.bool(key) == Some(true)),
    };
    let config = TlsConfig {
        cert_file,
        key_file,
        ca_file: path("ca_file"),
        ca_path: path("ca_path"),
        verify_clients,
        min_version: min_version(raw, HTTPS)?,
        suites: suites(raw, HTTPS, warnings)?,
        prefer_own_suites: raw.bool("tls_prefer_server_cipher_suites").unwrap_or(false),
        held: Held::default(),
    };
    if verify_clients && config.ca_file.is_none() && config.ca_path.is_none() {
        let key = ["verify_incoming", "verify_incoming_https", "tls.https.verify_incoming"]
            .into_iter()
            .find(|key| raw.bool(key) == Some(true));
        let origin = raw.origin(key.unwrap_or("tls.defaults.verify_incoming"));
        let text = "VerifyIncoming set, and no CA certificate provided: set ca_file or ca_path";
        return Err(ConfigError::at(origin, text));
    }
    Ok(Some(config))
}

/// What checks present and trust when they are to use what HTTPS uses.
pub(super) fn check_tls(raw: &Raw) -> CheckTlsFiles {
    let path =
        |name: &str| Some(text(raw, HTTPS, name).0).filter(|p| !p.is_empty()).map(PathBuf::from);
    CheckTlsFiles {
        cert_file: path("cert_file"),
        key_file: path("key_file"),
        ca_file: path("ca_file"),
        ca_path: path("ca_path"),
    }
}

pub(super) fn min_version(raw: &Raw, interface: &str) -> Result<TlsVersion, ConfigError> {
    let (given, key) = text(raw, interface, "tls_min_version");
    match given.to_ascii_lowercase().as_str() {
        // What is older is never spoken.
        "" | "tls10" | "tls11" | "tls12" | "tlsv1_0" | "tlsv1_1" | "tlsv1_2" | "tls_auto" => {
            Ok(TlsVersion::V12)
        }
        "tls13" | "tlsv1_3" => Ok(TlsVersion::V13),
        _ => {
            let text = format!(
                "{key}: value {given:?} not supported, please specify one of \
                 tls10, tls11, tls12, tls13"
            );
            Err(ConfigError::at(raw.origin(&key), text))
        }
    }
}

pub(super) fn suites(
    raw: &Raw,
    interface: &str,
    warnings: &mut Vec<String>,
) -> Result<Vec<String>, ConfigError> {
    let (given, key) = text(raw, interface, "tls_cipher_suites");
    let mut suites = Vec::new();
    for name in given.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match known_suite(name) {
            Some(true) => suites.push(name.to_owned()),
            Some(false) => warnings.push(format!("{key}: {name} is too weak and never spoken")),
            None => {
                let text = format!("{key}: unsupported cipher suite {name:?}");
                return Err(ConfigError::at(raw.origin(&key), text));
            }
        }
    }
    if suites.is_empty() && !given.trim().is_empty() {
        let text = format!("{key} names no suite that is spoken");
        return Err(ConfigError::at(raw.origin(&key), text));
    }
    Ok(suites)
}
