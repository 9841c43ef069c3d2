//! Who the node is: name, UUID, datacenter, metadata, and the folder for its state.
//!
//! A UUID that was made up is kept in the data folder, unless only checking was asked for. Rules
//! and texts follow the original.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::error::ConfigError;
use super::raw::Raw;

const META_PAIRS_MAX: usize = 64;
const META_KEY_MAX: usize = 128;
const META_VALUE_MAX: usize = 512;
const NAME_MAX: usize = 63;
/// Metadata that the agent adds itself.
const SEGMENT_META: &str = "consul-network-segment";
/// Beginning of metadata that nobody else may set.
const RESERVED: &str = "consul-";

/// The name of the datacenter.
pub(super) fn datacenter(raw: &Raw) -> Result<String, ConfigError> {
    let name = raw.text("datacenter").unwrap_or("dc1").to_lowercase();
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if name.is_empty() {
        return Err(ConfigError::at(raw.origin("datacenter"), "datacenter cannot be empty"));
    }
    if !name.chars().all(fine) {
        let text = format!("datacenter cannot be {name:?}. Please use only [a-z0-9-_].");
        return Err(ConfigError::at(raw.origin("datacenter"), text));
    }
    Ok(name)
}

/// The name of the node; adds a warning when DNS cannot carry it.
pub(super) fn node_name(raw: &Raw, warnings: &mut Vec<String>) -> Result<String, ConfigError> {
    let given = raw.text("node_name").filter(|name| !name.is_empty()).map(str::to_owned);
    let name = given.or_else(host_name).unwrap_or_default().trim().to_owned();
    if name.is_empty() {
        return Err(ConfigError::at(raw.origin("node_name"), "node_name cannot be empty"));
    }
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !name.chars().all(fine) || name.len() > NAME_MAX {
        warnings.push(format!(
            "Node name {name:?} will not be discoverable via DNS: it should have letters, \
             digits and dashes only, and at most {NAME_MAX} of them"
        ));
    }
    Ok(name)
}

fn host_name() -> Option<String> {
    let read = |path| fs::read_to_string(path).ok();
    let name = read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname"))?;
    Some(name.trim().to_owned())
}

/// The folder for state; `None` when nothing is to be kept.
pub(super) fn data_dir(raw: &Raw, dev: bool) -> Result<Option<PathBuf>, ConfigError> {
    let path = raw.text("data_dir").filter(|path| !path.is_empty());
    match path {
        Some(path) if fs::metadata(path).is_ok_and(|found| !found.is_dir()) => {
            let text = format!("data_dir {path:?} is not a directory");
            Err(ConfigError::at(raw.origin("data_dir"), text))
        }
        _ if dev => Ok(None),
        Some(path) => Ok(Some(path.into())),
        None => Err(ConfigError::at(raw.origin("data_dir"), "data_dir cannot be empty")),
    }
}

/// The UUID of the node. With `keep`, one that is made up is stored in the data folder.
pub(super) fn node_id(
    raw: &Raw,
    data_dir: Option<&Path>,
    keep: bool,
) -> Result<String, ConfigError> {
    if let Some(given) = raw.text("node_id").filter(|id| !id.is_empty()) {
        return read_id(given).ok_or_else(|| {
            let text = format!("node_id {given:?} is not a UUID");
            ConfigError::at(raw.origin("node_id"), text)
        });
    }
    let from_host = raw.bool("disable_host_node_id") == Some(false);
    let Some(data_dir) = data_dir else { return Ok(fresh_id(from_host)) };
    let path = data_dir.join("node-id");
    match fs::read_to_string(&path) {
        Ok(text) => read_id(text.trim()).ok_or_else(|| {
            ConfigError::Invalid(format!("the node's ID in {} is not a UUID", path.display()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = fresh_id(from_host);
            if keep {
                store(data_dir, &path, &id).map_err(|source| {
                    let path = path.display();
                    ConfigError::Invalid(format!("cannot store the node's ID in {path}: {source}"))
                })?;
            }
            Ok(id)
        }
        Err(source) => Err(ConfigError::Read { path: path.display().to_string(), source }),
    }
}

fn read_id(text: &str) -> Option<String> {
    let hyphenated = text.len() == 36;
    Uuid::try_parse(text).ok().filter(|_| hyphenated).map(|id| id.to_string())
}

fn fresh_id(from_host: bool) -> String {
    let host = from_host.then(host_id).flatten();
    host.unwrap_or_else(Uuid::new_v4).to_string()
}

/// A UUID that is the same at each start of this machine.
fn host_id() -> Option<Uuid> {
    let read = |path| fs::read_to_string(path).ok();
    let machine = read("/etc/machine-id").or_else(|| read("/var/lib/dbus/machine-id"))?;
    let machine = machine.trim();
    (!machine.is_empty()).then(|| {
        // FNV-1a, 128 bits: stable for ever, and nobody's decision depends on it.
        let hash = machine.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b)
        });
        uuid::Builder::from_random_bytes(u128::to_be_bytes(hash)).into_uuid()
    })
}

/// Puts the ID into its file so that a crash leaves all of it or nothing.
fn store(data_dir: &Path, path: &Path, id: &str) -> io::Result<()> {
    fs::create_dir_all(data_dir)?;
    let temporary = data_dir.join("node-id.tmp");
    let mut file = fs::File::create(&temporary)?;
    file.write_all(id.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// The node's metadata, the agent's own pairs included.
pub(super) fn node_meta(raw: &Raw) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut meta = raw.map("node_meta");
    if let Some(text) = meta_mistake(&meta) {
        let text = format!("node_meta invalid: {text}");
        return Err(ConfigError::at(raw.origin("node_meta"), text));
    }
    meta.insert(SEGMENT_META.to_owned(), String::new());
    Ok(meta)
}

fn meta_mistake(meta: &BTreeMap<String, String>) -> Option<String> {
    if meta.len() > META_PAIRS_MAX {
        return Some(format!("{} pairs are more than {META_PAIRS_MAX}", meta.len()));
    }
    meta.iter().find_map(|(key, value)| {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if key.is_empty() {
            Some("a key cannot be empty".to_owned())
        } else if !key.chars().all(fine) {
            Some(format!("key {key:?} has other characters than letters, digits, - and _"))
        } else if key.len() > META_KEY_MAX {
            Some(format!("key {key:?} is longer than {META_KEY_MAX} characters"))
        } else if key.starts_with(RESERVED) {
            Some(format!("key {key:?}: the prefix {RESERVED:?} is reserved"))
        } else if value.len() > META_VALUE_MAX {
            Some(format!("the value of {key:?} is longer than {META_VALUE_MAX} characters"))
        } else {
            None
        }
    })
}
