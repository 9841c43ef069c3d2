//! Log lines in the form that operators know: `2006/01/02 15:04:05 [LEVEL] subsystem: text`.
//!
//! The level can be changed while the program runs. Structured fields follow the text as
//! `key=value`. Besides standard output they go to those who follow the log.

mod streams;

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use lictor_agent::AgentError;
use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use self::streams::{Reading, Streams};

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
    pub(crate) fn follow(&self, word: &str) -> Result<Reading, AgentError> {
        self.streams.open(word)
    }
}

struct Lines {
    level: Arc<AtomicU8>,
    streams: Arc<Streams>,
}

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
}

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        // What was wanted once may be asked about no more.
        if !self.wants(metadata) {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let now = OffsetDateTime::now_local().unwrap_or_else(|_| OffsetDateTime::now_utc());
        let text = format!(
            "{:04}/{:02}/{:02} {:02}:{:02}:{:02} [{}] {}: {}{}\n",
            now.year(),
            u8::from(now.month()),
            now.day(),
            now.hour(),
            now.minute(),
            now.second(),
            LogLevel::of(*metadata.level()).label(),
            subsystem(metadata.target()),
            line.message,
            line.fields,
        );
        let level = LogLevel::of(*metadata.level());
        if level as u8 <= self.level.load(Ordering::Relaxed) {
            // Nobody is left to tell when standard output is gone.
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
        }
        self.streams.write(level, &text);
    }
}

/// `lictor_agent::managed` is the subsystem `agent`.
fn subsystem(target: &str) -> &str {
    let name = target.split("::").next().unwrap_or(target);
    name.strip_prefix("lictor_").unwrap_or(name)
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(&one_line(value));
        } else {
            let _ = write!(self.fields, " {}={}", field.name(), one_line(value));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// A line stays a line, whatever a peer put into it.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect()
}

/// Starts logging to standard output.
pub(crate) fn start(level: LogLevel) -> LevelHandle {
    let level = Arc::new(AtomicU8::new(level as u8));
    let streams = Arc::<Streams>::default();
    let lines = Lines { level: Arc::clone(&level), streams: Arc::clone(&streams) };
    // A second start in one process (tests) keeps the first.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
    LevelHandle { level, streams }
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

    #[test]
    fn lines_stay_lines() {
        assert_eq!(one_line("a\nb\x1b[31m"), "a b [31m");
        assert_eq!(subsystem("lictor_agent::managed"), "agent");
        assert_eq!(subsystem("hyper::proto"), "hyper");
    }
}
