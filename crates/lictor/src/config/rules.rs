//! Rules between settings, and refusals of what would otherwise silently do something else.
//!
//! Addresses, identity and definitions have their own modules. Rules follow the original.

use base64::Engine as _;

use super::error::ConfigError;
use super::raw::{Item, Raw};
use crate::watches::Watch;

/// Checks all rules; adds warnings.
pub(super) fn check(raw: &Raw, dev: bool, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
    bootstrap(raw, dev, warnings)?;
    cluster(raw)?;
    access(raw, warnings)?;
    numbers(raw)?;
    encryption(raw)?;
    if raw.bool("ui") == Some(true) && !raw.string("ui_dir").is_empty() {
        let text = "ui and ui_dir cannot both be given: use ui for the built-in files, or ui_dir";
        return refuse(raw, "ui_dir", text);
    }
    negative_times(raw)
}

fn refuse<T>(raw: &Raw, key: &str, text: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError::at(raw.origin(key), text))
}

fn bootstrap(raw: &Raw, dev: bool, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
    let server = raw.bool("server").unwrap_or(false);
    let bootstrap = raw.bool("bootstrap").unwrap_or(false);
    let key = "bootstrap_expect";
    let expect = raw.int(key).unwrap_or(0);
    if bootstrap && !server {
        return refuse(raw, "bootstrap", "bootstrap = true needs server = true");
    }
    if expect < 0 {
        return refuse(raw, key, format!("bootstrap_expect cannot be {expect}: 0 is the least"));
    }
    if expect > 0 && !server {
        return refuse(raw, key, "bootstrap_expect > 0 needs server = true");
    }
    if expect > 0 && dev {
        return refuse(raw, key, "bootstrap_expect > 0 is not allowed in dev mode");
    }
    if expect > 0 && bootstrap {
        return refuse(raw, key, "bootstrap_expect > 0 and bootstrap = true exclude each other");
    }
    if expect > 1 && expect % 2 == 0 {
        warnings.push(format!(
            "bootstrap_expect is set to {expect}: a cluster with {} servers survives as many \
             failures",
            expect - 1
        ));
    }
    if expect == 1 {
        warnings.push("bootstrap_expect = 1 is the same as bootstrap = true".to_owned());
    }
    Ok(())
}

fn cluster(raw: &Raw) -> Result<(), ConfigError> {
    if !raw.string("segment").is_empty() || !raw.objects("segments").is_empty() {
        let key = if raw.string("segment").is_empty() { "segments" } else { "segment" };
        return refuse(raw, key, "Network segments are not supported in this version of Consul");
    }
    for key in ["protocol", "raft_protocol"] {
        if raw.int(key).is_some_and(|version| !(2..=3).contains(&version)) {
            return refuse(raw, key, format!("{key} must be 2 or 3"));
        }
    }
    Ok(())
}

/// Rather no agent than one that is open against its owner's will.
fn access(raw: &Raw, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
    for key in ["acl_default_policy", "acl.default_policy"] {
        match raw.text(key) {
            None | Some("" | "allow") => {}
            Some("deny") if super::access::enabled(raw) => {}
            Some("deny") => warnings.push(format!(
                "{key} = \"deny\" denies nothing: ACLs are off without acl.enabled or acl_datacenter"
            )),
            Some(other) => {
                return refuse(raw, key, format!("{key} must be allow or deny, not {other:?}"));
            }
        }
    }
    for key in ["acl_down_policy", "acl.down_policy"] {
        let known = ["", "allow", "deny", "extend-cache", "async-cache"];
        if let Some(other) = raw.text(key).filter(|policy| !known.contains(policy)) {
            let text = format!("{key} must be allow, deny or extend-cache, not {other:?}");
            return refuse(raw, key, text);
        }
    }
    Ok(())
}

fn numbers(raw: &Raw) -> Result<(), ConfigError> {
    let key = "performance.raft_multiplier";
    if let Some(given) = raw.int(key).filter(|given| !(1..=10).contains(given)) {
        let text = format!("{key} cannot be {given}. Must be between 1 and 10");
        return refuse(raw, key, text);
    }
    for key in [
        "autopilot.max_trailing_logs",
        "autopilot.min_quorum",
        "dns_config.udp_answer_limit",
        "dns_config.a_record_limit",
    ] {
        if let Some(given) = raw.int(key).filter(|given| *given < 0) {
            let text = format!("{key} cannot be {given}. Must be greater than or equal to zero");
            return refuse(raw, key, text);
        }
    }
    Ok(())
}

fn encryption(raw: &Raw) -> Result<(), ConfigError> {
    let Some(key) = raw.text("encrypt").filter(|key| !key.is_empty()) else { return Ok(()) };
    let bytes = base64::engine::general_purpose::STANDARD.decode(key).map_err(|error| {
        let text = format!("encrypt has invalid key: {error}");
        ConfigError::at(raw.origin("encrypt"), text)
    })?;
    if !matches!(bytes.len(), 16 | 24 | 32) {
        let text = "encrypt has invalid key: it must be 16, 24 or 32 bytes long";
        return refuse(raw, "encrypt", text);
    }
    Ok(())
}

/// The watches of files.
pub(super) fn watches(raw: &Raw) -> Result<Vec<Watch>, ConfigError> {
    let read = |given| Watch::parse(given).or_else(|text| refuse(raw, "watches", text));
    raw.opaque_list("watches").iter().map(read).collect()
}

fn negative_times(raw: &Raw) -> Result<(), ConfigError> {
    let negative = |item: &Item| match item {
        Item::Duration(nanos) => *nanos < 0,
        Item::Durations(all) => all.values().any(|nanos| *nanos < 0),
        _ => false,
    };
    match raw.iter().find(|(_, item, _)| negative(item)) {
        Some((key, _, origin)) => {
            Err(ConfigError::at(Some(origin), format!("{key} cannot be negative")))
        }
        None => Ok(()),
    }
}
