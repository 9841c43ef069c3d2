//! What an agent keeps in its data directory: services and checks that were registered by
//! requests, the last reports of TTL checks, and the tokens and ports of managed proxies.
//!
//! One JSON file for each thing, named by the MD5 of its ID and replaced atomically, in the shape
//! that the original uses. A file that cannot be read is reported and set aside as
//! `<name>.corrupt`; it never stops the start. Everything here blocks: callers use
//! [`lictor_task::TaskSet::blocking`]. What is restored, and in which order, is [`crate::restore`]'s.

mod kind;

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use lictor_types::catalog::{ManagedProxy, Service};
use lictor_types::check::{HealthCheck, Status};
use lictor_types::definition::CheckDefinition;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use self::kind::CheckType;
use crate::md5;
use crate::tokens::TokenSet;

/// Largest file that is read.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// A service as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StoredService {
    /// Its own token; empty for the agent's.
    #[serde(default)]
    pub(crate) token: String,
    pub(crate) service: Service,
    /// It came with another service, and goes with it. The original forgets that.
    #[serde(default)]
    pub(crate) sidecar: bool,
}

/// A check as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StoredCheck {
    pub(crate) check: HealthCheck,
    /// How it is run; `None` for the marks of maintenance mode.
    #[serde(default)]
    chk_type: Option<CheckType>,
    /// Its own token; empty for the agent's.
    #[serde(default)]
    pub(crate) token: String,
}

/// The last report of a TTL check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StoredState {
    #[serde(rename = "CheckID")]
    pub(crate) check_id: String,
    #[serde(default)]
    pub(crate) output: String,
    pub(crate) status: Status,
    /// Seconds since 1970 until which the report is good.
    pub(crate) expires: i64,
}

/// What a managed proxy keeps over restarts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StoredProxy {
    /// The secret that the proxy was given.
    pub(crate) proxy_token: String,
    /// ID of its service.
    #[serde(rename = "TargetServiceID")]
    pub(crate) target_service_id: String,
    /// Port of its public listener.
    #[serde(default)]
    pub(crate) bind_port: u16,
    /// As it was defined.
    #[serde(default)]
    pub(crate) definition: ManagedProxy,
}

impl StoredCheck {
    pub(crate) fn new(
        check: HealthCheck,
        definition: Option<&CheckDefinition>,
        token: String,
    ) -> Self {
        Self { check, chk_type: definition.map(CheckType::from_definition), token }
    }

    /// How the check is run; `None` when nothing runs it.
    pub(crate) fn definition(&self) -> Option<CheckDefinition> {
        let kind = self.chk_type.as_ref()?;
        Some(kind.definition(&self.check, &self.token))
    }
}

/// What is kept by its ID, which the name of its file follows from.
trait Stored: DeserializeOwned {
    fn key(&self) -> &str;
}

impl Stored for StoredService {
    fn key(&self) -> &str {
        &self.service.id
    }
}

impl Stored for StoredCheck {
    fn key(&self) -> &str {
        &self.check.check_id
    }
}

impl Stored for StoredState {
    fn key(&self) -> &str {
        &self.check_id
    }
}

impl Stored for StoredProxy {
    fn key(&self) -> &str {
        &self.target_service_id
    }
}

/// The folders of the state files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Folder {
    Services,
    Checks,
    CheckStates,
    Proxies,
}

impl Folder {
    const fn path(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Checks => "checks",
            Self::CheckStates => "checks/state",
            Self::Proxies => "proxies",
        }
    }
}

/// The data directory; without one nothing is kept and nothing is found.
#[derive(Clone, Debug)]
pub(crate) struct Persistence {
    dir: Option<PathBuf>,
}

impl Persistence {
    pub(crate) const fn new(dir: Option<PathBuf>) -> Self {
        Self { dir }
    }

    /// Whether anything is kept.
    pub(crate) const fn is_on(&self) -> bool {
        self.dir.is_some()
    }

    pub(crate) fn save_service(&self, stored: &StoredService) -> io::Result<()> {
        self.save(Folder::Services, &stored.service.id, stored, true)
    }

    pub(crate) fn save_check(&self, stored: &StoredCheck) -> io::Result<()> {
        self.save(Folder::Checks, &stored.check.check_id, stored, true)
    }

    /// A report is renewed all the time: it may be lost with the machine, not with the process.
    pub(crate) fn save_state(&self, stored: &StoredState) -> io::Result<()> {
        self.save(Folder::CheckStates, &stored.check_id, stored, false)
    }

    pub(crate) fn save_proxy(&self, stored: &StoredProxy) -> io::Result<()> {
        self.save(Folder::Proxies, &stored.target_service_id, stored, true)
    }

    pub(crate) fn remove_service(&self, id: &str) -> io::Result<()> {
        self.remove(Folder::Services, id)
    }

    /// Removes a check with its last report.
    pub(crate) fn remove_check(&self, id: &str) -> io::Result<()> {
        self.remove(Folder::Checks, id).and(self.remove(Folder::CheckStates, id))
    }

    /// Removes a check, but not its last report: the check goes on by another definition.
    pub(crate) fn purge_check(&self, id: &str) -> io::Result<()> {
        self.remove(Folder::Checks, id)
    }

    pub(crate) fn remove_state(&self, id: &str) -> io::Result<()> {
        self.remove(Folder::CheckStates, id)
    }

    pub(crate) fn remove_proxy(&self, target: &str) -> io::Result<()> {
        self.remove(Folder::Proxies, target)
    }

    pub(crate) fn services(&self) -> Vec<StoredService> {
        self.load_all(Folder::Services)
    }

    pub(crate) fn checks(&self) -> Vec<StoredCheck> {
        self.load_all(Folder::Checks)
    }

    pub(crate) fn states(&self) -> Vec<StoredState> {
        self.load_all(Folder::CheckStates)
    }

    pub(crate) fn proxies(&self) -> Vec<StoredProxy> {
        self.load_all(Folder::Proxies)
    }

    fn save<T: Serialize>(
        &self,
        folder: Folder,
        id: &str,
        value: &T,
        durable: bool,
    ) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let bytes = serde_json::to_vec(value)?;
        write_atomic(&dir.join(folder.path()).join(md5::hex(id.as_bytes())), &bytes, durable)
    }

    fn remove(&self, folder: Folder, id: &str) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        match fs::remove_file(dir.join(folder.path()).join(md5::hex(id.as_bytes()))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn load_all<T: Stored>(&self, folder: Folder) -> Vec<T> {
        let Some(dir) = &self.dir else { return Vec::new() };
        let path = dir.join(folder.path());
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "cannot read local state");
                return Vec::new();
            }
        };
        let mut files: Vec<_> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .map(|entry| entry.path())
            .collect();
        files.sort();
        files.iter().filter_map(|file| load(file)).collect()
    }
}

/// Reads one file. Names with a dot are left-overs of an interrupted write or set aside earlier.
fn load<T: Stored>(path: &Path) -> Option<T> {
    match path.extension().and_then(|extension| extension.to_str()) {
        None => {}
        Some("tmp") => {
            let _ = fs::remove_file(path);
            return None;
        }
        Some(_) => return None,
    }
    let read = || -> Result<T, String> {
        let size = fs::metadata(path).map_err(|e| e.to_string())?.len();
        if size > FILE_MAX {
            return Err(format!("{size} bytes are too many"));
        }
        let bytes = fs::read(path).map_err(|e| e.to_string())?;
        let value: T = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
        // A byte that was turned over may leave it readable.
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if md5::hex(value.key().as_bytes()) != name {
            return Err("its name is not that of the ID in it".to_owned());
        }
        Ok(value)
    };
    match read() {
        Ok(value) => Some(value),
        Err(reason) => {
            let aside = path.with_extension("corrupt");
            tracing::error!(
                path = %path.display(), aside = %aside.display(), %reason,
                "local state file cannot be read, it is set aside"
            );
            if let Err(error) = fs::rename(path, &aside) {
                tracing::error!(path = %path.display(), %error, "cannot set the file aside");
            }
            None
        }
    }
}

/// Reads the file of the agent's tokens; nothing where there is none or it cannot be understood.
pub(crate) fn read_tokens(file: &Path) -> TokenSet {
    let read = || -> Result<TokenSet, String> {
        let bytes = match fs::metadata(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(TokenSet::default()),
            Err(error) => return Err(error.to_string()),
            Ok(facts) if facts.len() > FILE_MAX => {
                return Err(format!("{} bytes are too many", facts.len()));
            }
            Ok(_) => fs::read(file).map_err(|error| error.to_string())?,
        };
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())
    };
    read().unwrap_or_else(|reason| {
        tracing::warn!(file = %file.display(), %reason, "unable to load persisted tokens");
        TokenSet::default()
    })
}

/// Replaces the file of the agent's tokens.
pub(crate) fn write_tokens(file: &Path, tokens: &TokenSet) -> io::Result<()> {
    write_atomic(file, &serde_json::to_vec(tokens)?, true)
}

/// Replaces a file: readers see the old content or the new one, nothing between. Only the owner
/// may read it. With `durable` the content survives a crash of the machine.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let folder = path.parent().ok_or_else(|| io::Error::other("no folder"))?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("state");
    let temporary = folder.join(format!("{name}-{}-{unique}.tmp", std::process::id()));
    let written = (|| {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        if durable {
            file.sync_data()?;
        }
        fs::rename(&temporary, path)?;
        if durable {
            // Else the new name may be lost with the machine.
            fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests;
