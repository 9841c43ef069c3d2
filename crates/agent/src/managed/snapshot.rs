//! Which proxy processes run, in files: so that an agent that starts again finds them.
//!
//! `snapshot.json` has everything; `pids/<id>.pid` is for people and their scripts. What cannot be
//! written is kept and tried again by the caller: the proxies matter more than the record of them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::process::Launch;
use crate::persist::write_atomic;

const VERSION: u32 = 1;

/// A process as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Record {
    #[serde(rename = "ProxyID")]
    pub(super) proxy_id: String,
    pub(super) pid: i32,
    /// See [`super::process::Process::birth`].
    #[serde(default)]
    pub(super) birth: String,
    command_path: String,
    command_args: Vec<String>,
    command_dir: String,
    command_env: BTreeMap<String, String>,
}

impl Record {
    pub(super) fn new(proxy_id: &str, pid: i32, birth: &str, launch: &Launch) -> Self {
        let dir = std::env::current_dir().unwrap_or_default();
        Self {
            proxy_id: proxy_id.to_owned(),
            pid,
            birth: birth.to_owned(),
            command_path: launch.program.clone(),
            command_args: launch.args.clone(),
            command_dir: dir.display().to_string(),
            command_env: launch.env.iter().cloned().collect(),
        }
    }

    /// Whether it was started as `launch` would start it.
    pub(super) fn is(&self, launch: &Launch) -> bool {
        self.command_path == launch.program
            && self.command_args == launch.args
            && self.command_env == launch.env.iter().cloned().collect()
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct File {
    version: u32,
    proxies: BTreeMap<String, Record>,
}

/// The records of this run, and what an earlier run left.
#[derive(Debug)]
pub(super) struct Book {
    dir: Option<PathBuf>,
    records: Mutex<BTreeMap<String, Record>>,
    leftovers: Mutex<BTreeMap<String, Record>>,
}

impl Book {
    /// Reads what an earlier run left in `dir`. Without a directory nothing is remembered.
    pub(super) fn open(dir: Option<PathBuf>) -> Self {
        let leftovers = dir.as_deref().map(read).unwrap_or_default();
        Self { dir, records: Mutex::default(), leftovers: Mutex::new(leftovers) }
    }

    /// Makes the record that an earlier run left of a proxy one of ours.
    pub(super) fn claim(&self, proxy_id: &str) -> Option<Record> {
        let mut records = self.records.lock();
        let record = self.leftovers.lock().remove(proxy_id)?;
        records.insert(proxy_id.to_owned(), record.clone());
        Some(record)
    }

    /// Takes those that were not claimed.
    pub(super) fn take_leftovers(&self) -> Vec<Record> {
        std::mem::take(&mut *self.leftovers.lock()).into_values().collect()
    }

    /// Remembers a process. Blocks.
    ///
    /// # Errors
    /// When the files could not be written; [`Book::save`] tries again.
    pub(super) fn add(&self, record: Record) -> io::Result<()> {
        self.records.lock().insert(record.proxy_id.clone(), record);
        self.save()
    }

    /// Writes everything that is remembered. Blocks.
    ///
    /// # Errors
    /// When the files could not be written.
    pub(super) fn save(&self) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let records = self.records.lock();
        for record in records.values() {
            let (path, pid) = (pid_file(dir, &record.proxy_id), record.pid.to_string());
            if !std::fs::read(&path).is_ok_and(|found| found == pid.as_bytes()) {
                write_atomic(&path, pid.as_bytes(), false)?;
            }
        }
        write(dir, &records, &self.leftovers.lock())
    }

    /// Forgets a process. Blocks.
    ///
    /// # Errors
    /// As [`Book::add`].
    pub(super) fn remove(&self, proxy_id: &str) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        match std::fs::remove_file(pid_file(dir, proxy_id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(proxy = proxy_id, %error, "cannot remove the pid file");
            }
            _ => {}
        }
        self.records.lock().remove(proxy_id);
        self.save()
    }
}

/// Leftovers that nobody took yet stay on record: another start may come before they are ended.
fn write(
    dir: &Path,
    ours: &BTreeMap<String, Record>,
    leftovers: &BTreeMap<String, Record>,
) -> io::Result<()> {
    let mut proxies = leftovers.clone();
    proxies.extend(ours.clone());
    let bytes = serde_json::to_vec(&File { version: VERSION, proxies })?;
    write_atomic(&dir.join("snapshot.json"), &bytes, false)
}

fn read(dir: &Path) -> BTreeMap<String, Record> {
    let path = dir.join("snapshot.json");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return BTreeMap::new(),
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "cannot read the record of proxies");
            return BTreeMap::new();
        }
    };
    let reason = match parse(&bytes) {
        Ok(file) => return file.proxies,
        Err(reason) => reason,
    };
    let aside = path.with_extension("corrupt");
    tracing::error!(
        path = %path.display(), aside = %aside.display(), %reason,
        "the record of managed proxies cannot be read, it is set aside"
    );
    if let Err(error) = std::fs::rename(&path, &aside) {
        tracing::error!(path = %path.display(), %error, "cannot set the file aside");
    }
    BTreeMap::new()
}

fn parse(bytes: &[u8]) -> Result<File, String> {
    match serde_json::from_slice::<File>(bytes) {
        Ok(file) if file.version == VERSION => Ok(file),
        Ok(file) => Err(format!("version {} is not known", file.version)),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads the content of `snapshot.json` and writes it again.
pub(crate) fn rewrite(bytes: &[u8]) -> Option<Vec<u8>> {
    serde_json::to_vec(&parse(bytes).ok()?).ok()
}

fn pid_file(dir: &Path, proxy_id: &str) -> PathBuf {
    dir.join("pids").join(format!("{}.pid", file_name(proxy_id)))
}

/// An ID as a file name: whatever could lead out of the folder is written as `%XX`.
pub(super) fn file_name(id: &str) -> String {
    let mut name = String::with_capacity(id.len());
    for (at, byte) in id.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'@');
        if plain || byte == b'.' && at > 0 {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name.truncate(200);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch() -> Launch {
        Launch {
            program: "/bin/x".to_owned(),
            args: vec!["a".to_owned()],
            env: vec![("K".to_owned(), "V".to_owned())],
        }
    }

    #[test]
    fn records_are_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Book::open(Some(dir.path().join("proxy")));
        let book = open();
        book.add(Record::new("a-proxy", 7, "then", &launch())).unwrap();
        book.add(Record::new("b-proxy", 8, "", &launch())).unwrap();
        book.remove("b-proxy").unwrap();
        let pids = dir.path().join("proxy/pids");
        assert_eq!(std::fs::read(pids.join("a-proxy.pid")).unwrap(), b"7");
        assert!(!pids.join("b-proxy.pid").exists());
        let book = open();
        // Writing something else must not lose what was not taken yet.
        book.add(Record::new("c-proxy", 9, "", &launch())).unwrap();
        let again = open();
        assert_eq!(again.take_leftovers().len(), 2);
        let record = book.claim("a-proxy").unwrap();
        assert_eq!((record.pid, &*record.birth), (7, "then"));
        assert!(record.is(&launch()));
        assert!(!record.is(&Launch { args: Vec::new(), ..launch() }));
        assert!(book.claim("a-proxy").is_none());
        assert_eq!(book.take_leftovers(), []);
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("proxy");
        std::fs::write(&place, b"in the way").unwrap();
        let book = Book::open(Some(place.clone()));
        assert!(book.add(Record::new("a-proxy", 7, "then", &launch())).is_err());
        std::fs::remove_file(&place).unwrap();
        book.save().unwrap();
        assert_eq!(std::fs::read(place.join("pids/a-proxy.pid")).unwrap(), b"7");
        assert_eq!(Book::open(Some(place)).take_leftovers().len(), 1);
    }

    #[test]
    fn a_damaged_record_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("snapshot.json"), b"{").unwrap();
        assert!(Book::open(Some(dir.path().to_owned())).take_leftovers().is_empty());
        assert!(dir.path().join("snapshot.corrupt").is_file());
    }

    #[test]
    fn ids_cannot_lead_out_of_the_folder() {
        assert_eq!(file_name("web-1.proxy"), "web-1.proxy");
        assert_eq!(file_name("../../etc/x"), "%2E.%2F..%2Fetc%2Fx");
        assert_eq!(file_name(".hidden"), "%2Ehidden");
        assert!(file_name(&"é".repeat(500)).len() <= 200);
    }
}
