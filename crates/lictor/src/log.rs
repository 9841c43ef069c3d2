//! The log: lines to standard output and, where wanted, to a file, to the system's own log, and to
//! those who follow it.
//!
//! The level can be changed while the program runs. Forms are in [`entry`].

mod entry;
mod file;
mod streams;
mod syslog;

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant, SystemTime};

use lictor_agent::AgentError;
use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

pub(crate) use self::file::LogFileSettings;
pub(crate) use self::syslog::Facility;

use self::entry::Entry;
use self::file::LogFile;
use self::streams::{Reading, Streams};
use self::syslog::Syslog;

/// Where the log goes besides standard output, and in which form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogSettings {
    /// JSON in place of text, wherever it goes but to the system's log.
    pub(crate) json: bool,
    /// A file.
    pub(crate) file: Option<LogFileSettings>,
    /// The system's log.
    pub(crate) syslog: Option<Facility>,
}

/// Why the log cannot be written where it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("cannot write the log to {path}: {source}")]
    File { path: String, source: io::Error },
    #[error("cannot reach the system's log (enable_syslog): {0}")]
    Syslog(#[source] io::Error),
}

/// Verbosity, from little to much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum LogLevel {
    /// Failures only.
    Err,
    /// What deserves attention.
    Warn,
    /// What happens; the default.
    Info,
    /// What developers ask for.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level named by `word`, in any case.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_uppercase().as_str() {
            "TRACE" => Self::Trace,
            "DEBUG" => Self::Debug,
            "INFO" => Self::Info,
            "WARN" => Self::Warn,
            "ERR" | "ERROR" => Self::Err,
            _ => return None,
        })
    }

    const fn of(level: Level) -> Self {
        match level {
            Level::ERROR => Self::Err,
            Level::WARN => Self::Warn,
            Level::INFO => Self::Info,
            Level::DEBUG => Self::Debug,
            Level::TRACE => Self::Trace,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Err => "ERR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        }
    }
}

/// Changes the level of a running program.
#[derive(Clone, Debug)]
pub(crate) struct LevelHandle {
    level: Arc<AtomicU8>,
    streams: Arc<Streams>,
}

impl LevelHandle {
    /// From now on lines up to `level` are written.
    pub(crate) fn set(&self, level: LogLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }

    /// Follows the log from now on, up to the level called `word`; empty for the usual one.
    ///
    /// # Errors
    /// When there is no such level, or too many follow it already.
    pub(crate) fn follow(&self, word: &str, json: bool) -> Result<Reading, AgentError> {
        self.streams.open(word, json)
    }
}

struct Lines {
    level: Arc<AtomicU8>,
    streams: Arc<Streams>,
    json: bool,
    file: Option<Mutex<LogFile>>,
    syslog: Option<Mutex<Syslog>>,
    /// When each warning of a library was written last, by its place in the source.
    warned: Mutex<HashMap<Identifier, Instant>>,
}

/// How long a library's warning is not repeated: consensus says several times a second that a peer is
/// dead.
const REPEATED: Duration = Duration::from_secs(60);

/// Libraries below this are interesting only to those who debug them.
const QUIET: &[&str] = &["hyper", "openraft", "rustls", "tokio", "mio", "h2", "want"];

impl Lines {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let limit = self.level.load(Ordering::Relaxed).max(self.streams.level());
        let level = LogLevel::of(*metadata.level()) as u8;
        let library = metadata.target().split("::").next().unwrap_or("");
        // A library's debug is below our trace.
        level <= limit && (!QUIET.contains(&library) || level <= LogLevel::Warn as u8)
    }

    /// Whether it is a library's warning that was written a moment ago.
    fn repeats(&self, metadata: &Metadata<'_>) -> bool {
        let library = metadata.target().split("::").next().unwrap_or("");
        if *metadata.level() != Level::WARN || !QUIET.contains(&library) {
            return false;
        }
        let (now, place) = (Instant::now(), metadata.callsite());
        let mut warned = self.warned.lock();
        let known = warned.get(&place).is_some_and(|at| now - *at < REPEATED);
        if !known {
            warned.insert(place, now);
        }
        known
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        // What was wanted once may be asked about no more.
        if !self.wants(metadata) || self.repeats(metadata) {
            return;
        }
        let entry = Entry::of(event);
        if entry.level as u8 <= self.level.load(Ordering::Relaxed) {
            let line = if self.json { entry.json() } else { entry.text() };
            // Nobody is left to tell when standard output is gone.
            let _ = io::stdout().lock().write_all(line.as_bytes());
            if let Some(file) = &self.file {
                file.lock().write(line.as_bytes(), SystemTime::now());
            }
            if let Some(syslog) = &self.syslog {
                syslog.lock().write(&entry);
            }
        }
        self.streams.write(&entry);
    }
}

/// Starts logging.
///
/// # Errors
/// When the file cannot be opened, or the system has no log.
pub(crate) fn start(level: LogLevel, settings: &LogSettings) -> Result<LevelHandle, LogError> {
    let level = Arc::new(AtomicU8::new(level as u8));
    let streams = Arc::<Streams>::default();
    let file = match &settings.file {
        Some(file) => {
            let path = file.path.display().to_string();
            let opened = LogFile::open(file.clone(), SystemTime::now());
            Some(Mutex::new(opened.map_err(|source| LogError::File { path, source })?))
        }
        None => None,
    };
    let syslog = match settings.syslog {
        Some(facility) => Some(Mutex::new(Syslog::connect(facility).map_err(LogError::Syslog)?)),
        None => None,
    };
    let lines = Lines {
        level: Arc::clone(&level),
        streams: Arc::clone(&streams),
        json: settings.json,
        file,
        syslog,
        warned: Mutex::default(),
    };
    // A second start in one process (tests) keeps the first.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
    Ok(LevelHandle { level, streams })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_names_in_any_case() {
        assert_eq!(LogLevel::parse("err"), Some(LogLevel::Err));
        assert_eq!(LogLevel::parse("Trace"), Some(LogLevel::Trace));
        assert_eq!(LogLevel::parse("loud"), None);
        assert!(LogLevel::Err < LogLevel::Debug);
    }
}
