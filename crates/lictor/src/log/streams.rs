//! Those who read the log while it is written.
//!
//! Each has a bounded number of lines that wait for it; a slow one loses lines and is told how
//! many. One that is gone is forgotten at the next line.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use lictor_agent::AgentError;
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::LogLevel;
use super::entry::Entry;

/// Readers at a time.
const READERS_MAX: usize = 64;
/// Lines that wait for a reader.
const LINES: usize = 512;

/// Lines on their way to a reader.
pub(crate) type Reading = mpsc::Receiver<io::Result<Bytes>>;

/// All readers.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    readers: Mutex<Vec<Reader>>,
    /// The highest level that anybody reads; 0 is read anyway.
    level: AtomicU8,
}

#[derive(Debug)]
struct Reader {
    level: LogLevel,
    json: bool,
    lines: mpsc::Sender<io::Result<Bytes>>,
    lost: u64,
}

impl Streams {
    /// A new reader of lines up to the level called `word`.
    pub(super) fn open(&self, word: &str, json: bool) -> Result<Reading, AgentError> {
        let word = if word.is_empty() { "INFO".to_owned() } else { word.to_ascii_uppercase() };
        let level = LogLevel::parse(&word)
            .ok_or_else(|| AgentError::Invalid(format!("Unknown log level: {word}")))?;
        let mut readers = self.readers.lock();
        readers.retain(|reader| !reader.lines.is_closed());
        if readers.len() >= READERS_MAX {
            let text = format!("the log has {READERS_MAX} readers already");
            return Err(AgentError::Invalid(text));
        }
        let (lines, reading) = mpsc::channel(LINES);
        readers.push(Reader { level, json, lines, lost: 0 });
        self.note(&readers);
        drop(readers);
        tracing::callsite::rebuild_interest_cache();
        Ok(reading)
    }

    /// The highest level that anybody reads.
    pub(super) fn level(&self) -> u8 {
        self.level.load(Ordering::Relaxed)
    }

    /// Hands a line to whoever reads its level.
    pub(super) fn write(&self, entry: &Entry) {
        let mut readers = self.readers.lock();
        if readers.is_empty() {
            return;
        }
        let before = readers.len();
        let (mut text, mut json) = (None, None);
        readers.retain_mut(|reader| {
            if reader.level < entry.level {
                return true;
            }
            let line: &Bytes = if reader.json {
                json.get_or_insert_with(|| entry.json().into())
            } else {
                text.get_or_insert_with(|| entry.text().into())
            };
            reader.send(line.clone())
        });
        if readers.len() < before {
            self.note(&readers);
        }
    }

    fn note(&self, readers: &[Reader]) {
        let level = readers.iter().map(|reader| reader.level as u8).max().unwrap_or(0);
        self.level.store(level, Ordering::Relaxed);
    }
}

impl Reader {
    /// `false` when nobody is there any more.
    fn send(&mut self, line: Bytes) -> bool {
        if self.lost > 0 {
            let told = format!("{} lines were lost: read faster", self.lost);
            let told = match self.json {
                true => format!("{{\"@level\":\"warn\",\"@message\":\"{told}\"}}\n"),
                false => format!("[WARN] agent: {told}\n"),
            };
            match self.lines.try_send(Ok(told.into())) {
                Ok(()) => self.lost = 0,
                Err(TrySendError::Full(_)) => {}
                Err(TrySendError::Closed(_)) => return false,
            }
        }
        match self.lines.try_send(Ok(line)) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.lost += 1;
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::entry::sample;
    use super::*;

    #[test]
    fn slow_readers_lose_lines_and_are_told() {
        let streams = Streams::default();
        let mut slow = streams.open("warn", false).unwrap();
        let debug = streams.open("debug", false).unwrap();
        assert_eq!(streams.level(), LogLevel::Debug as u8);
        streams.write(&sample(LogLevel::Info, "unheard"));
        for n in 0..LINES + 3 {
            streams.write(&sample(LogLevel::Err, &n.to_string()));
        }
        for n in 0..LINES {
            let line = sample(LogLevel::Err, &n.to_string()).text();
            assert_eq!(slow.try_recv().unwrap().unwrap(), line);
        }
        streams.write(&sample(LogLevel::Warn, "on"));
        let told = slow.try_recv().unwrap().unwrap();
        assert_eq!(told, "[WARN] agent: 3 lines were lost: read faster\n");
        assert_eq!(slow.try_recv().unwrap().unwrap(), sample(LogLevel::Warn, "on").text());
        drop(debug);
        streams.write(&sample(LogLevel::Err, "x"));
        assert_eq!(streams.level(), LogLevel::Warn as u8);
    }

    #[test]
    fn each_reader_has_its_form() {
        let streams = Streams::default();
        let mut json = streams.open("", true).unwrap();
        let mut text = streams.open("", false).unwrap();
        let entry = sample(LogLevel::Info, "x");
        streams.write(&entry);
        assert_eq!(json.try_recv().unwrap().unwrap(), entry.json());
        assert_eq!(text.try_recv().unwrap().unwrap(), entry.text());
    }

    #[test]
    fn readers_are_bounded_and_levels_known() {
        let streams = Streams::default();
        let error = streams.open("nope", false).unwrap_err();
        assert_eq!(error.to_string(), "Unknown log level: NOPE");
        let all: Vec<_> = (0..READERS_MAX).map(|_| streams.open("", false).unwrap()).collect();
        assert!(streams.open("", false).is_err());
        drop(all);
        assert!(streams.open("", false).is_ok());
    }
}
