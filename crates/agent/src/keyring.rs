//! The keys of gossip: which there are, which one encrypts, and where they are kept.
//!
//! There is one ring for the pool of the datacenter and one for the servers of all datacenters,
//! each in a file of the original's form: a JSON list of keys in base64, the primary one first.
//! Rotation is install, use, remove: every member of a pool is asked to do it, and each keeps its
//! own file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lictor_forward::{KeyringArgs, KeyringOp, KeyringReply};
use lictor_gossip::keyring::{self as gossip, KeyError};
use lictor_gossip::serf::KeyOperation;
use lictor_pool::Pool;
use parking_lot::Mutex;

use crate::config::AgentConfig;

/// Folder and files below the data folder.
const FOLDER: &str = "serf";
const LAN_FILE: &str = "local.keyring";
const WAN_FILE: &str = "remote.keyring";
/// Largest file that is read, in bytes.
const FILE_MAX: u64 = 64 * 1024;
/// Most keys of a ring.
const KEYS_MAX: usize = 64;

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
    let bytes = decode_key(text)?;
    match bytes.len() {
        16 | 24 | 32 => Ok(bytes),
        _ => Err(KeyError::Size.to_string()),
    }
}

fn decode_key(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _)
            | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            _ => text.len() / 4 * 4,
        };
        format!("illegal base64 data at input byte {at}")
    })
}

/// The keys of one pool, as they are kept. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ring(gossip::Keyring);

impl Ring {
    fn of(keys: &[Vec<u8>]) -> Result<Self, String> {
        let ring = gossip::Keyring::new(keys.iter().map(Vec::as_slice));
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

/// The keys of one pool, and where they are.
#[derive(Debug)]
struct Kept {
    wan: bool,
    file: Option<PathBuf>,
    ring: Ring,
}

/// The keys of this agent as they are kept.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    /// None when gossip is not encrypted.
    pools: Mutex<Vec<Kept>>,
}

impl Keyring {
    /// Reads the keys of the data folder; at the first start the configured one is put there.
    pub(crate) fn open(config: &AgentConfig) -> Result<Self, KeyringError> {
        let has_wan = config.server && config.gossip.wan.is_some();
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
            pools.push(Kept { wan, file, ring });
        }
        Ok(Self { pools: Mutex::new(pools) })
    }

    /// The keys of a pool; none when its gossip is not encrypted.
    pub(crate) fn of(&self, wan: bool) -> gossip::Keyring {
        let pools = self.pools.lock();
        let kept = pools.iter().find(|kept| kept.wan == wan);
        kept.map(|kept| kept.ring.0.clone()).unwrap_or_default()
    }

    /// Keeps the keys that a pool has now.
    pub(crate) fn keep(&self, wan: bool, ring: gossip::Keyring) -> io::Result<()> {
        let mut pools = self.pools.lock();
        let Some(kept) = pools.iter_mut().find(|kept| kept.wan == wan) else { return Ok(()) };
        let ring = Ring(ring);
        if kept.ring != ring {
            if let Some(file) = &kept.file {
                ring.store(file)?;
            }
            kept.ring = ring;
        }
        Ok(())
    }
}

/// Has an operation carried out by every member of a pool.
pub(crate) async fn operate(pool: &Pool, args: &KeyringArgs) -> KeyringReply {
    let asked = match asked(pool, args.op, &args.key).await {
        Ok(asked) => pool.keys(asked, args.relay_factor).await,
        Err(problem) => Err(problem),
    };
    match asked {
        Err(error) => KeyringReply { error, ..KeyringReply::default() },
        Ok(report) => KeyringReply {
            error: report.result().err().unwrap_or_default(),
            messages: report.messages,
            keys: report.keys,
            primary_keys: report.primary,
            members: report.members,
            ..KeyringReply::default()
        },
    }
}

/// What a pool is asked. What is no base64 is asked of nobody; a key of a wrong length is refused
/// by everybody.
async fn asked(pool: &Pool, operation: KeyringOp, text: &str) -> Result<KeyOperation, String> {
    Ok(match operation {
        KeyringOp::List => KeyOperation::List,
        KeyringOp::Install => {
            let key = decode_key(text)?;
            let held = pool.with(|serf, _| serf.swim().keyring().clone()).await;
            let full = |ring: gossip::Keyring| ring.len() >= KEYS_MAX && !ring.contains(&key);
            if held.is_some_and(full) {
                return Err(format!("there are {KEYS_MAX} keys already: remove some first"));
            }
            KeyOperation::Install(key)
        }
        KeyringOp::Use => KeyOperation::Use(decode_key(text)?),
        KeyringOp::Remove => KeyOperation::Remove(decode_key(text)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MemberPorts;
    use crate::gossip::Gossip;
    use crate::testing;
    use lictor_task::TaskSet;

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

    /// An agent's pools with their keys.
    struct Node {
        keyring: Keyring,
        gossip: Gossip,
        tasks: TaskSet,
    }

    impl Node {
        async fn start(config: AgentConfig) -> Self {
            let (keyring, tasks) = (Keyring::open(&config).unwrap(), TaskSet::new("test"));
            let gossip = Gossip::start(&config, |wan| keyring.of(wan), &tasks).await.unwrap();
            Self { keyring, gossip, tasks }
        }

        async fn operate(&self, op: KeyringOp, key: &str) -> Result<Vec<KeyringReply>, String> {
            let args = KeyringArgs { op, key: key.to_owned(), ..KeyringArgs::default() };
            let mut done = Vec::new();
            for wan in [true, false] {
                let pool = self.gossip.pool(wan).unwrap();
                done.push(KeyringReply { wan, ..operate(pool, &args).await });
                let ring = pool.with(|serf, _| serf.swim().keyring().clone()).await.unwrap();
                self.keyring.keep(wan, ring).unwrap();
            }
            let failed = done.iter().find(|reply| !reply.error.is_empty());
            let failed = failed.map(|reply| format!("{}: {:?}", reply.error, reply.messages));
            failed.map_or(Ok(done), Err)
        }

        async fn list(&self) -> Vec<Vec<String>> {
            let shown = self.operate(KeyringOp::List, "").await.unwrap();
            assert!(shown[0].wan && !shown[1].wan && shown[0].members == 1);
            shown.iter().map(|pool| pool.keys.keys().cloned().collect()).collect()
        }

        async fn end(self) {
            self.tasks.shutdown(std::time::Duration::from_secs(5)).await;
        }
    }

    #[tokio::test]
    async fn keys_are_rotated_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(Some(folder.path()), A);
        let node = Node::start(config.clone()).await;
        let error = node.operate(KeyringOp::Use, B).await.unwrap_err();
        assert!(error.contains("requested key is not in the keyring"), "{error}");
        node.operate(KeyringOp::Install, B).await.unwrap();
        node.operate(KeyringOp::Install, B).await.unwrap();
        node.operate(KeyringOp::Use, B).await.unwrap();
        let error = node.operate(KeyringOp::Remove, B).await.unwrap_err();
        let said = "removing the primary key is not allowed";
        let text = format!("1/1 nodes reported failure: {{\"n.dc1\": \"{said}\"}}");
        assert_eq!(error, text);
        let file = folder.path().join("serf/local.keyring");
        let kept = fs::read_to_string(&file).unwrap();
        assert_eq!(kept, format!("[\n  \"{B}\",\n  \"{A}\"\n]"));
        node.end().await;
        let node = Node::start(config.clone()).await;
        assert_eq!(node.list().await, [[A, B], [A, B]]);
        node.operate(KeyringOp::Remove, A).await.unwrap();
        node.end().await;
        // The folder counts, not the configuration.
        let node = Node::start(config.clone()).await;
        assert_eq!(node.list().await, [[B], [B]]);
        node.end().await;
        fs::write(&file, "[]").unwrap();
        assert!(Keyring::open(&config).is_err());
        fs::write(&file, "[\"abc\"]").unwrap();
        assert!(Keyring::open(&config).is_err());
    }

    #[tokio::test]
    async fn there_are_only_so_many_keys() {
        let node = Node::start(config(None, A)).await;
        for n in 1..KEYS_MAX {
            let key = STANDARD.encode([u8::try_from(n).unwrap(); 16]);
            node.operate(KeyringOp::Install, &key).await.unwrap();
        }
        let one_more = STANDARD.encode([0xff; 16]);
        let error = node.operate(KeyringOp::Install, &one_more).await.unwrap_err();
        assert!(error.contains("there are 64 keys already"), "{error}");
        node.end().await;
    }

    #[tokio::test]
    async fn without_encryption_there_is_nothing_to_do() {
        let node = Node::start(config(None, "")).await;
        let said = "Keyring is empty (encryption not enabled)";
        assert_eq!(
            node.operate(KeyringOp::List, "").await.unwrap_err(),
            format!("1/1 nodes reported failure: {{\"n.dc1\": \"{said}\"}}")
        );
        assert_eq!(
            node.operate(KeyringOp::Install, "abc").await.unwrap_err(),
            "illegal base64 data at input byte 0: {}"
        );
        node.end().await;
    }

    #[test]
    fn keys_are_not_shown_by_accident() {
        let keyring = Keyring::open(&config(None, A)).unwrap();
        assert!(!format!("{keyring:?}").contains('0'));
    }
}
