//! The log to the system's own: datagrams to its local socket, in the form of RFC 3164.
//!
//! Nothing waits for it: lines that it does not take at once are lost, and it is looked for again
//! with the next one.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use super::LogLevel;
use super::entry::Entry;

/// Where systems have the socket.
const PLACES: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];
/// The longest line that is sent, in bytes.
const LINE_MAX: usize = 8 * 1024;
/// Facilities by their numbers.
const FACILITIES: [&str; 24] = [
    "KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV",
    "FTP", "", "", "", "", "LOCAL0", "LOCAL1", "LOCAL2", "LOCAL3", "LOCAL4", "LOCAL5", "LOCAL6",
    "LOCAL7",
];

/// What part of the system we claim to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facility(u8);

impl Facility {
    /// The facility of that name, in any case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        let at = FACILITIES.iter().position(|known| !known.is_empty() && *known == name)?;
        u8::try_from(at).ok().map(Self)
    }
}

/// The connection.
#[derive(Debug)]
pub(super) struct Syslog {
    facility: Facility,
    places: Vec<PathBuf>,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    /// Finds the system's log.
    pub(super) fn connect(facility: Facility) -> io::Result<Self> {
        Self::at(facility, PLACES.map(PathBuf::from).into())
    }

    fn at(facility: Facility, places: Vec<PathBuf>) -> io::Result<Self> {
        let socket = Some(connect(&places)?);
        Ok(Self { facility, places, socket })
    }

    /// Sends a line, if it can be done at once.
    pub(super) fn write(&mut self, entry: &Entry) {
        let line = self.line(entry);
        let sent = |socket: &UnixDatagram| match socket.send(&line) {
            // It is there, but has no room.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            sent => sent.is_ok(),
        };
        if !self.socket.as_ref().is_some_and(sent) {
            self.socket = connect(&self.places).ok().filter(sent);
        }
    }

    fn line(&self, entry: &Entry) -> Vec<u8> {
        let severity = match entry.level {
            LogLevel::Err => 3,
            LogLevel::Warn => 4,
            LogLevel::Info => 5,
            LogLevel::Debug => 6,
            LogLevel::Trace => 7,
        };
        let priority = u16::from(self.facility.0) * 8 + severity;
        let (time, process) = (entry.stamp(), std::process::id());
        let mut line = format!("<{priority}>{time} lictor[{process}]: {}", entry.said());
        let end = (0..=LINE_MAX.min(line.len())).rev().find(|end| line.is_char_boundary(*end));
        line.truncate(end.unwrap_or(0));
        line.into_bytes()
    }
}

fn connect(places: &[PathBuf]) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for place in places {
        match socket.connect(place) {
            Ok(()) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::entry::sample;
    use super::*;

    #[test]
    fn lines_have_their_priority_and_a_restarted_log_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("log");
        let facility = Facility::named("local3").unwrap();
        let places = vec![folder.path().join("none"), place.clone()];
        assert!(Syslog::at(facility, places.clone()).is_err());
        let system = UnixDatagram::bind(&place).unwrap();
        let mut syslog = Syslog::at(facility, places).unwrap();
        syslog.write(&sample(LogLevel::Warn, "hot\nstuff"));
        let mut line = [0; 200];
        let read = |system: &UnixDatagram, line: &mut [u8]| {
            let length = system.recv(line).unwrap();
            String::from_utf8_lossy(&line[..length]).into_owned()
        };
        let expected =
            format!("<156>Nov 26 19:30:05 lictor[{}]: agent: hot stuff id=a b", std::process::id());
        assert_eq!(read(&system, &mut line), expected);
        drop(system);
        std::fs::remove_file(&place).unwrap();
        syslog.write(&sample(LogLevel::Err, "lost"));
        let system = UnixDatagram::bind(&place).unwrap();
        syslog.write(&sample(LogLevel::Err, "found"));
        assert!(read(&system, &mut line).starts_with("<155>"));
        assert!(syslog.line(&sample(LogLevel::Err, &"ä".repeat(9000))).len() <= LINE_MAX);
    }

    #[test]
    fn facilities_have_names() {
        assert_eq!(Facility::named("LOCAL0"), Some(Facility(16)));
        assert_eq!(Facility::named("daemon"), Some(Facility(3)));
        assert_eq!((Facility::named(""), Facility::named("LOCAL9")), (None, None));
    }
}
