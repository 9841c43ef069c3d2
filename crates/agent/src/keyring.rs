//! The keys of gossip: which there are, which one encrypts, and where they are kept.
//!
//! There is one ring for the pool of the datacenter and one for the servers of all datacenters,
//! each in a file of the original's form: a JSON list of keys in base64, the primary one first.
//! Rotation is install, use, remove, by the rules of gossip's own ring. Gossip itself is not here.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lictor_gossip::keyring::KeyError;
use parking_lot::Mutex;

use crate::config::AgentConfig;
use crate::error::AgentError;

/// Folder and files below the data folder.
const FOLDER: &str = "serf";
const LAN_FILE: &str = "local.keyring";
const WAN_FILE: &str = "remote.keyring";
/// Largest file that is read, in bytes.
const FILE_MAX: u64 = 64 * 1024;
/// Most keys of a ring.
const KEYS_MAX: usize = 64;

/// What is done to the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyringOperation<'a> {
    /// Shows them.
    List,
    /// Adds a key, base64.
    Install(&'a str),
    /// Makes a key the one that encrypts.
    Use(&'a str),
    /// Forgets a key.
    Remove(&'a str),
}

/// A pool's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolKeys {
    /// Whether it is the pool of the servers of all datacenters.
    pub wan: bool,
    /// Keys in base64, with the number of members that have them.
    pub keys: BTreeMap<String, usize>,
    /// Members that were asked.
    pub members: usize,
}

/// Why the keys cannot be had at the start.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file cannot be read or written.
    #[error("gossip keys in {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The file is not in order.
    #[error("gossip keys in {path}: {reason}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The configured key is not in order.
    #[error("encrypt: {0}")]
    Key(String),
}

/// The bytes of a key in base64.
fn read_key(text: &str) -> Result<Vec<u8>, String> {
    let bytes = STANDARD.decode(text).map_err(|error| {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _)
            | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            _ => text.len() / 4 * 4,
        };
        format!("illegal base64 data at input byte {at}")
    })?;
    match bytes.len() {
        16 | 24 | 32 => Ok(bytes),
        _ => Err(KeyError::Size.to_string()),
    }
}

/// The keys of one pool, as they are kept. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ring(lictor_gossip::keyring::Keyring);

impl Ring {
    fn change(&mut self, operation: KeyringOperation<'_>) -> Result<(), String> {
        let done = match operation {
            KeyringOperation::List => Ok(()),
            KeyringOperation::Install(text) => {
                let key = read_key(text)?;
                if self.0.len() >= KEYS_MAX && !self.0.contains(&key) {
                    return Err(format!("there are {KEYS_MAX} keys already: remove some first"));
                }
                self.0.install(&key)
            }
            KeyringOperation::Use(text) => self.0.use_key(&read_key(text)?),
            KeyringOperation::Remove(text) => self.0.remove(&read_key(text)?),
        };
        done.map_err(|error| error.to_string())
    }

    fn of(keys: &[Vec<u8>]) -> Result<Self, String> {
        let ring = lictor_gossip::keyring::Keyring::new(keys.iter().map(Vec::as_slice));
        ring.map(Self).map_err(|error| error.to_string())
    }

    /// Its keys in base64, the primary one first.
    fn texts(&self) -> impl Iterator<Item = String> {
        self.0.keys().map(|key| STANDARD.encode(key))
    }

    /// Reads a file; `None` when there is none.
    fn load(path: &Path) -> Result<Option<Self>, KeyringError> {
        let shown = || path.display().to_string();
        let file = |source| KeyringError::File { path: shown(), source };
        let wrong = |reason: String| KeyringError::Content { path: shown(), reason };
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file(error)),
            Ok(found) if found.len() > FILE_MAX => return Err(wrong("it is too long".to_owned())),
            Ok(_) => {}
        }
        let text = fs::read(path).map_err(file)?;
        Self::parse(&text).map(Some).map_err(wrong)
    }

    /// The content of a file.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let texts: Vec<String> = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        let keys = texts.iter().map(|text| read_key(text)).collect::<Result<Vec<_>, _>>()?;
        match keys.len() {
            0 => Err("there is no key in it".to_owned()),
            1..=KEYS_MAX => Self::of(&keys),
            _ => Err("there are too many keys in it".to_owned()),
        }
    }

    fn text(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&self.texts().collect::<Vec<_>>())
    }

    /// Puts the keys into a file so that a crash leaves all of them or those from before.
    fn store(&self, path: &Path) -> io::Result<()> {
        let text = self.text().map_err(io::Error::other)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let temporary = path.with_extension("keyring.tmp");
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    }
}

/// The content of a file, read and written again; for fuzz targets.
pub(crate) fn rewrite(bytes: &[u8]) -> Option<Vec<u8>> {
    Ring::parse(bytes).ok()?.text().ok().map(String::into_bytes)
}

#[derive(Debug)]
struct Pool {
    wan: bool,
    ring: Ring,
    file: Option<PathBuf>,
}

/// The keys of this agent.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    /// None when gossip is not encrypted.
    pools: Mutex<Vec<Pool>>,
}

impl Keyring {
    /// Reads the keys of the data folder; at the first start the configured one is put there.
    pub(crate) fn open(config: &AgentConfig) -> Result<Self, KeyringError> {
        let has_wan = config.server && config.ports.serf_wan != 0;
        let names = [(false, LAN_FILE), (true, WAN_FILE)];
        let folder = match &config.data_dir {
            Some(folder) if !config.disable_keyring_file => Some(folder.join(FOLDER)),
            _ => None,
        };
        let configured = match config.encrypt.as_str() {
            "" => None,
            text => Some(read_key(text).map_err(KeyringError::Key)?),
        };
        let mut pools = Vec::new();
        for (wan, name) in names.into_iter().filter(|(wan, _)| !wan || has_wan) {
            let file = folder.as_ref().map(|folder| folder.join(name));
            let held = file.as_deref().map(Ring::load).transpose()?.flatten();
            let ring = match (held, &configured) {
                (Some(ring), Some(key)) => {
                    if !ring.0.contains(key) {
                        tracing::warn!(
                            pool = name,
                            "the configured key is not among those of the data folder, which count"
                        );
                    }
                    ring
                }
                (Some(ring), None) => ring,
                (None, Some(key)) => {
                    let ring = Ring::of(std::slice::from_ref(key)).map_err(KeyringError::Key)?;
                    if let Some(path) = &file {
                        ring.store(path).map_err(|source| KeyringError::File {
                            path: path.display().to_string(),
                            source,
                        })?;
                    }
                    ring
                }
                (None, None) => continue,
            };
            pools.push(Pool { wan, ring, file });
        }
        Ok(Self { pools: Mutex::new(pools) })
    }

    /// Carries an operation out in every pool; what fails in one is still done in the others.
    pub(crate) fn operate(
        &self,
        config: &AgentConfig,
        operation: KeyringOperation<'_>,
    ) -> Result<Vec<PoolKeys>, AgentError> {
        if !config.server {
            let text = "keyring operations must run against a server node";
            return Err(AgentError::refused(text));
        }
        let (mut shown, mut problems) = (Vec::new(), Vec::new());
        let mut pools = self.pools.lock();
        let has_wan = config.ports.serf_wan != 0;
        for wan in [true, false].into_iter().filter(|wan| !wan || has_wan) {
            let (place, node) = if wan {
                ("WAN".to_owned(), format!("{}.{}", config.node_name, config.datacenter))
            } else {
                (format!("{} (LAN)", config.datacenter), config.node_name.to_string())
            };
            // What cannot be a key is not sent to anybody.
            if let KeyringOperation::Install(text)
            | KeyringOperation::Use(text)
            | KeyringOperation::Remove(text) = operation
                && let Err(problem) = read_key(text)
                && problem.starts_with("illegal")
            {
                problems.push(format!("{place} error: {problem}"));
                continue;
            }
            let done = match pools.iter_mut().find(|pool| pool.wan == wan) {
                None => Err("Keyring is empty (encryption not enabled)".to_owned()),
                Some(pool) => changed(pool, operation),
            };
            match done {
                Ok(keys) => shown.push(PoolKeys { wan, keys, members: 1 }),
                Err(problem) => {
                    problems.push(format!("{place} error: 1/1 nodes reported failure"));
                    problems.push(format!("{node}: {problem}"));
                }
            }
        }
        drop(pools);
        if problems.is_empty() {
            return Ok(shown);
        }
        let list = problems.join("\n* ");
        Err(AgentError::refused(format!("{} error(s) occurred:\n\n* {list}", problems.len())))
    }
}

/// Changes a pool's keys, on disk first.
fn changed(
    pool: &mut Pool,
    operation: KeyringOperation<'_>,
) -> Result<BTreeMap<String, usize>, String> {
    let mut ring = pool.ring.clone();
    ring.change(operation)?;
    if ring != pool.ring {
        if let Some(file) = &pool.file {
            ring.store(file).map_err(|error| format!("cannot store the keys: {error}"))?;
        }
        pool.ring = ring;
    }
    if operation != KeyringOperation::List {
        return Ok(BTreeMap::new());
    }
    Ok(pool.ring.texts().map(|key| (key, 1)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MemberPorts;
    use crate::testing;

    const A: &str = "AAAAAAAAAAAAAAAAAAAAAA==";
    const B: &str = "AQEBAQEBAQEBAQEBAQEBAQ==";

    fn config(folder: Option<&Path>, encrypt: &str) -> AgentConfig {
        AgentConfig {
            data_dir: folder.map(Path::to_owned),
            encrypt: encrypt.to_owned(),
            ports: MemberPorts { server: 1, serf_lan: 2, serf_wan: 3 },
            ..testing::config()
        }
    }

    fn list(keyring: &Keyring, config: &AgentConfig) -> Vec<Vec<String>> {
        let shown = keyring.operate(config, KeyringOperation::List).unwrap();
        assert!(shown[0].wan && !shown[1].wan && shown[0].members == 1);
        shown.iter().map(|pool| pool.keys.keys().cloned().collect()).collect()
    }

    #[test]
    fn keys_are_rotated_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(Some(folder.path()), A);
        let keyring = Keyring::open(&config).unwrap();
        let operate = |operation| keyring.operate(&config, operation).map_err(|e| e.to_string());
        assert!(operate(KeyringOperation::Use(B)).unwrap_err().contains("* n: requested key"));
        operate(KeyringOperation::Install(B)).unwrap();
        operate(KeyringOperation::Install(B)).unwrap();
        operate(KeyringOperation::Use(B)).unwrap();
        let error = operate(KeyringOperation::Remove(B)).unwrap_err();
        assert_eq!(
            error,
            "4 error(s) occurred:\n\n* WAN error: 1/1 nodes reported failure\n* n.dc1: removing \
             the primary key is not allowed\n* dc1 (LAN) error: 1/1 nodes reported failure\n* n: \
             removing the primary key is not allowed"
        );
        let file = folder.path().join("serf/local.keyring");
        let kept = fs::read_to_string(&file).unwrap();
        assert_eq!(kept, format!("[\n  \"{B}\",\n  \"{A}\"\n]"));
        let again = Keyring::open(&config).unwrap();
        assert_eq!(list(&again, &config), [[A, B], [A, B]]);
        operate(KeyringOperation::Remove(A)).unwrap();
        // The folder counts, not the configuration.
        assert_eq!(list(&Keyring::open(&config).unwrap(), &config), [[B], [B]]);
        fs::write(&file, "[]").unwrap();
        assert!(Keyring::open(&config).is_err());
        fs::write(&file, "[\"abc\"]").unwrap();
        assert!(Keyring::open(&config).is_err());
    }

    #[test]
    fn without_encryption_there_is_nothing_to_do() {
        let config = config(None, "");
        let keyring = Keyring::open(&config).unwrap();
        let error = |operation| keyring.operate(&config, operation).unwrap_err().to_string();
        assert_eq!(
            error(KeyringOperation::List),
            "4 error(s) occurred:\n\n* WAN error: 1/1 nodes reported failure\n* n.dc1: Keyring is \
             empty (encryption not enabled)\n* dc1 (LAN) error: 1/1 nodes reported failure\n* n: \
             Keyring is empty (encryption not enabled)"
        );
        assert_eq!(
            error(KeyringOperation::Install("abc")),
            "2 error(s) occurred:\n\n* WAN error: illegal base64 data at input byte 0\n* dc1 \
             (LAN) error: illegal base64 data at input byte 0"
        );
        let client = AgentConfig { server: false, ..config.clone() };
        let error = keyring.operate(&client, KeyringOperation::List).unwrap_err();
        assert_eq!(error.to_string(), "keyring operations must run against a server node");
    }

    #[test]
    fn keys_are_not_shown_by_accident() {
        let keyring = Keyring::open(&config(None, A)).unwrap();
        assert!(!format!("{keyring:?}").contains('0'));
    }
}
