//! The log in a file, and older files beside it.
//!
//! The file has the name that was given; when it is too long or too old it gets the time into its
//! name, `consul-<nanoseconds since 1970>.log`, and a new one begins. As in later versions.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Name of the file when only a folder was given.
const USUAL_NAME: &str = "consul.log";

/// Where the log goes, and when a new file begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFileSettings {
    /// The file, or a folder with a slash at its end.
    pub(crate) path: PathBuf,
    /// Age at which a new one begins.
    pub(crate) rotate_after: Duration,
    /// Size at which a new one begins; 0 for any size.
    pub(crate) rotate_bytes: u64,
    /// Older files that are kept; 0 for all, less for none.
    pub(crate) keep: i64,
}

/// The file that is written.
#[derive(Debug)]
pub(super) struct LogFile {
    settings: LogFileSettings,
    path: PathBuf,
    file: File,
    began: SystemTime,
    length: u64,
    /// Whether the last line could not be written: it is said once.
    failing: bool,
}

impl LogFile {
    /// Opens the file, and goes on where it ends.
    pub(super) fn open(settings: LogFileSettings, now: SystemTime) -> io::Result<Self> {
        let folder = settings.path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let path = if folder { settings.path.join(USUAL_NAME) } else { settings.path.clone() };
        let (file, length) = open(&path)?;
        let opened = Self { settings, path, file, began: now, length, failing: false };
        opened.prune()?;
        Ok(opened)
    }

    /// Appends a line. A failure is told on standard error, once.
    pub(super) fn write(&mut self, line: &[u8], now: SystemTime) {
        match self.try_write(line, now) {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                let path = self.path.display();
                crate::cli::err(&format!("==> the log cannot be written to {path}: {error}"));
            }
            Err(_) => {}
        }
    }

    fn try_write(&mut self, line: &[u8], now: SystemTime) -> io::Result<()> {
        let age = now.duration_since(self.began).unwrap_or_default();
        let most = self.settings.rotate_bytes;
        let full = most > 0 && self.length >= most;
        if full || age >= self.settings.rotate_after {
            // Whether it fails or not, the next try is not with the next line.
            self.began = now;
            fs::rename(&self.path, self.aside(now))?;
            (self.file, self.length) = open(&self.path)?;
            self.prune()?;
        }
        self.file.write_all(line)?;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Beginning and end of the names of older files.
    fn pattern(&self) -> (String, String) {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        match name.rsplit_once('.') {
            Some((stem, ending)) if !stem.is_empty() => (format!("{stem}-"), format!(".{ending}")),
            _ => (format!("{name}-"), ".log".to_owned()),
        }
    }

    fn aside(&self, now: SystemTime) -> PathBuf {
        let (start, end) = self.pattern();
        let nanos = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        self.path.with_file_name(format!("{start}{nanos}{end}"))
    }

    /// Removes older files but the newest that are to be kept.
    fn prune(&self) -> io::Result<()> {
        if self.settings.keep == 0 {
            return Ok(());
        }
        let (start, end) = self.pattern();
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let mut older = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let digits = name.strip_prefix(&start).and_then(|rest| rest.strip_suffix(&end));
            if let Some(time) = digits.and_then(|digits| digits.parse::<u128>().ok()) {
                older.push((time, name));
            }
        }
        older.sort();
        let keep = usize::try_from(self.settings.keep).unwrap_or(0);
        for (_, name) in older.iter().take(older.len().saturating_sub(keep)) {
            fs::remove_file(folder.join(name))?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn size_and_age_begin_new_files_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let settings = LogFileSettings {
            path: path.clone(),
            rotate_after: Duration::from_secs(100),
            rotate_bytes: 10,
            keep: 2,
        };
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
        fs::write(folder.path().join("a-notes.txt"), "somebody's").unwrap();
        fs::write(&path, "old\n").unwrap();
        let mut log = LogFile::open(settings.clone(), at(1)).unwrap();
        log.write(b"123456\n", at(2));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old\n123456\n");
        log.write(b"next\n", at(3));
        assert_eq!(fs::read_to_string(&path).unwrap(), "next\n");
        log.write(b"n\n", at(102));
        log.write(b"aged\n", at(103));
        assert_eq!(fs::read_to_string(&path).unwrap(), "aged\n");
        let (first, second) = ("a-3000000000.txt", "a-103000000000.txt");
        assert_eq!(names(folder.path()), [second, first, "a-notes.txt", "a.txt"]);
        log.write(b"more aged\n", at(104));
        log.write(b"third\n", at(105));
        assert!(!folder.path().join(first).exists() && folder.path().join(second).exists());
        let none = LogFileSettings { keep: -1, ..settings };
        drop(LogFile::open(none, at(106)).unwrap());
        assert_eq!(names(folder.path()), ["a-notes.txt", "a.txt"]);
    }

    #[test]
    fn a_folder_gets_a_file_and_a_missing_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let settings = |path: String| LogFileSettings {
            path: path.into(),
            rotate_after: Duration::from_secs(1),
            rotate_bytes: 0,
            keep: 0,
        };
        let here = settings(format!("{}/", folder.path().display()));
        let mut log = LogFile::open(here, UNIX_EPOCH).unwrap();
        log.write(b"x", UNIX_EPOCH);
        assert_eq!(names(folder.path()), ["consul.log"]);
        let missing = settings(format!("{}/no/where.log", folder.path().display()));
        assert!(LogFile::open(missing, UNIX_EPOCH).is_err());
    }
}
