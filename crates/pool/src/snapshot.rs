//! The file that a pool remembers its members and clocks in, so that it finds them after a restart.
//!
//! It is the original's (`serf/local.snapshot`, `serf/remote.snapshot`): lines that are appended,
//! and written anew from time to time. A line that cannot be read is skipped: the file is a help,
//! and whoever is alive says so.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::meters::Wire;

/// Longest file that is read, and lines beyond the living ones at which it is written anew.
const READ_MAX: u64 = 64 << 20;
const STALE_LINES: usize = 1024;

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// Members that were alive.
    pub(crate) alive: BTreeMap<String, SocketAddr>,
    /// The clocks of members, events and queries.
    pub(crate) clocks: [u64; 3],
    /// Whether this node left on purpose.
    pub(crate) left: bool,
}

const CLOCKS: [&str; 3] = ["clock: ", "event-clock: ", "query-clock: "];

impl Remembered {
    /// Takes over a line.
    fn line(&mut self, line: &str, rejoin: bool) {
        if let Some(rest) = line.strip_prefix("alive: ") {
            if let Some((name, address)) = rest.rsplit_once(' ')
                && let Ok(address) = address.parse()
            {
                self.alive.insert(name.to_owned(), address);
            }
            return;
        }
        if let Some(name) = line.strip_prefix("not-alive: ") {
            self.alive.remove(name);
            return;
        }
        for (clock, prefix) in self.clocks.iter_mut().zip(CLOCKS) {
            if let Some(time) = line.strip_prefix(prefix).and_then(|rest| rest.parse().ok()) {
                *clock = time;
                return;
            }
        }
        if line == "leave" {
            self.left = true;
            // Whoever left is not to be drawn in again, unless that is wanted.
            if !rejoin {
                self.alive.clear();
                self.clocks = [0; 3];
            }
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, address) in &self.alive {
            text.push_str(&format!("alive: {name} {address}\n"));
        }
        for (clock, prefix) in self.clocks.iter().zip(CLOCKS) {
            text.push_str(&format!("{prefix}{clock}\n"));
        }
        text
    }
}

/// The open file.
#[derive(Debug)]
pub(crate) struct SnapshotFile {
    path: PathBuf,
    /// None after a failure: what the file ends with is not known then, and the next line writes it anew.
    file: Option<File>,
    now: Remembered,
    lines: usize,
    wire: Arc<Wire>,
}

impl SnapshotFile {
    /// Opens the file at `path`, and gives what was remembered; `rejoin` keeps the members of a pool
    /// that was left. A full disk stops no start: the file is written once there is space.
    ///
    /// # Errors
    /// When the file cannot be read or written for another reason.
    pub(crate) fn open(
        path: &Path,
        rejoin: bool,
        wire: &Arc<Wire>,
    ) -> io::Result<(Self, Remembered)> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut found = Remembered::default();
        match File::open(path) {
            Ok(file) => {
                let mut reader = BufReader::new(io::Read::take(file, READ_MAX));
                let mut line = Vec::new();
                while reader.read_until(b'\n', &mut line)? > 0 {
                    // Without its end, a line was not written to its end.
                    if line.last() == Some(&b'\n')
                        && let Ok(text) = std::str::from_utf8(&line)
                    {
                        found.line(text.trim_end(), rejoin);
                    }
                    line.clear();
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let now = Remembered { left: false, ..found.clone() };
        let file = match write_anew(path, &now) {
            Ok(file) => Some(file),
            Err(error) if is_full(&error) => {
                tracing::error!(path = %path.display(), %error,
                    "the members cannot be remembered until there is space");
                None
            }
            Err(error) => return Err(error),
        };
        let (path, wire) = (path.to_owned(), Arc::clone(wire));
        Ok((Self { path, file, now, lines: 0, wire }, found))
    }

    /// A member is alive.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn alive(&mut self, name: &str, address: SocketAddr) -> io::Result<()> {
        if self.now.alive.get(name) == Some(&address) {
            return Ok(());
        }
        self.append(&format!("alive: {name} {address}"))
    }

    /// A member is not.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn not_alive(&mut self, name: &str) -> io::Result<()> {
        if !self.now.alive.contains_key(name) {
            return Ok(());
        }
        self.append(&format!("not-alive: {name}"))
    }

    /// The clocks moved.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn clocks(&mut self, clocks: [u64; 3]) -> io::Result<()> {
        for (at, prefix) in CLOCKS.iter().enumerate() {
            if clocks[at] != self.now.clocks[at] {
                self.append(&format!("{prefix}{}", clocks[at]))?;
            }
        }
        Ok(())
    }

    /// This node leaves on purpose.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn leave(&mut self) -> io::Result<()> {
        self.append("leave")?;
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        self.now.line(line, true);
        self.lines += 1;
        let long = self.lines > STALE_LINES + 2 * self.now.alive.len();
        let mut file = match self.file.take().filter(|_| !long) {
            Some(mut file) => {
                let _timed = self.wire.line.start();
                file.write_all(format!("{line}\n").as_bytes())?;
                file
            }
            None => {
                let _timed = self.wire.compact.start();
                let file = write_anew(&self.path, &self.now)?;
                self.lines = 0;
                file
            }
        };
        if self.lines == 0 && self.now.left {
            file.write_all(b"leave\n")?;
        }
        self.file = Some(file);
        Ok(())
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Replaces the file as a whole: there is always a complete one.
fn write_anew(path: &Path, what: &Remembered) -> io::Result<File> {
    let next = path.with_extension("snapshot.tmp");
    let mut file = File::create(&next)?;
    file.write_all(what.text().as_bytes())?;
    file.sync_data()?;
    std::fs::rename(&next, path)?;
    OpenOptions::new().append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, rejoin: bool) -> io::Result<(SnapshotFile, Remembered)> {
        let meters = crate::meters::Meters::new(&lictor_metrics::Metrics::default());
        SnapshotFile::open(path, rejoin, &meters.wire)
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn what_was_written_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serf/local.snapshot");
        let (mut file, empty) = open(&path, false).unwrap();
        assert_eq!(empty, Remembered::default());
        file.alive("a b", address(1)).unwrap();
        file.alive("c", address(2)).unwrap();
        file.not_alive("c").unwrap();
        file.clocks([3, 4, 5]).unwrap();
        drop(file);
        let (mut file, found) = open(&path, false).unwrap();
        assert_eq!(found.alive, BTreeMap::from([("a b".to_owned(), address(1))]));
        assert_eq!((found.clocks, found.left), ([3, 4, 5], false));
        file.leave().unwrap();
        drop(file);
        let (_, rejoining) = open(&path, true).unwrap();
        assert!(rejoining.left && rejoining.alive.len() == 1);
    }

    #[test]
    fn whoever_left_starts_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.snapshot");
        let (mut file, _) = open(&path, false).unwrap();
        file.alive("a", address(1)).unwrap();
        file.leave().unwrap();
        let (_, found) = open(&path, false).unwrap();
        assert_eq!(found, Remembered { left: true, ..Remembered::default() });
    }

    #[test]
    fn lines_of_others_and_torn_ones_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.snapshot");
        let text =
            b"# comment\nalive: a 127.0.0.1:1\ncoordinate: {}\nalive: b nonsense\n\xff\xfe\n\
                     clock: x\nclock: 7\nalive: c 127.0.0.1:3";
        std::fs::write(&path, text).unwrap();
        let (_, found) = open(&path, false).unwrap();
        assert_eq!(found.alive, BTreeMap::from([("a".to_owned(), address(1))]));
        assert_eq!(found.clocks, [7, 0, 0]);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.snapshot");
        let (mut file, _) = open(&path, false).unwrap();
        for time in 0..10_000 {
            file.clocks([time, 0, 0]).unwrap();
        }
        file.alive("a", address(1)).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() < 40_000);
        drop(file);
        let (_, found) = open(&path, false).unwrap();
        assert_eq!((found.clocks[0], found.alive.len()), (9_999, 1));
    }

    #[test]
    fn what_did_not_fit_is_written_once_there_is_space() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.snapshot");
        let (mut file, _) = open(&path, false).unwrap();
        file.alive("a", address(1)).unwrap();
        // Every write to it fails as on a full disk.
        file.file = Some(OpenOptions::new().append(true).open("/dev/full").unwrap());
        assert!(is_full(&file.alive("b", address(2)).unwrap_err()));
        file.clocks([7, 0, 0]).unwrap();
        drop(file);
        let (_, found) = open(&path, false).unwrap();
        assert_eq!((found.alive.len(), found.clocks[0]), (2, 7));
    }
}
