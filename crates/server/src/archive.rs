//! The file that a snapshot is handed out in: the original's, so that state can move both ways.
//!
//! A compressed tar with a description in JSON, the state, and the SHA-256 of both. What the
//! state means is the `state` crate's. Everything that is read has a limit; the files of an
//! archive may come in any order, but each once and no other.

use std::io::{self, Read, Write};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use lictor_state::{RestoreError, Snapshot};
use lictor_types::codec;
use serde::{Deserialize, Serialize};

/// Largest archive that is taken, compressed.
pub const ARCHIVE_MAX: usize = 128 << 20;
/// Largest state in one.
pub const STATE_MAX: u64 = 256 << 20;
/// Largest description, and largest list of sums.
const TEXT_MAX: u64 = 1 << 20;
/// What a tar adds to its files at the very most.
const FRAME_MAX: u64 = 1 << 20;
/// The version of the format.
pub const VERSION: u64 = 1;

const BLOCK: usize = 512;
const DESCRIPTION: &str = "meta.json";
const STATE: &str = "state.bin";
const SUMS: &str = "SHA256SUMS";

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is not compressed as it should be, or cut off.
    #[error("failed to decompress snapshot: {0}")]
    Compression(io::Error),
    /// The tar in it is damaged.
    #[error("failed reading snapshot: {0}")]
    Tar(io::Error),
    /// The description cannot be understood.
    #[error("failed to decode snapshot metadata: {0}")]
    Description(serde_json::Error),
    /// It is of a version that is not known.
    #[error("snapshot is of unknown version {0}")]
    Version(u64),
    /// A file that does not belong there, or does twice.
    #[error("unexpected file {0:?} in snapshot")]
    Unexpected(String),
    /// A file is larger than any that is taken.
    #[error("file {0:?} in snapshot is larger than {1} bytes")]
    TooLarge(String, u64),
    /// A sum is missing or wrong.
    #[error("failed checking integrity of snapshot: {0}")]
    Integrity(String),
    /// The state itself cannot be understood.
    #[error(transparent)]
    State(RestoreError),
}

/// What an archive says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Description {
    /// Version of the format.
    pub version: u64,
    /// Term, index and time in milliseconds.
    #[serde(rename = "ID")]
    pub id: String,
    /// Index of the state.
    pub index: u64,
    /// Term of consensus.
    pub term: u64,
    /// Addresses of the group, as very old readers want them.
    pub peers: String,
    /// The group.
    pub configuration: Group,
    /// When the group last changed.
    pub configuration_index: u64,
    /// Size of the state in bytes.
    pub size: u64,
}

/// The consensus group at that time; it is not restored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Group {
    /// Its members.
    pub servers: Vec<Member>,
}

/// A member of the group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Member {
    /// 0 for one that votes.
    pub suffrage: u64,
    /// ID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Address.
    pub address: String,
}

/// What must be known of a state before it is written: a tar tells a size first.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    size: u64,
    sum: String,
}

/// Measures a state.
pub(crate) fn measure(snapshot: &Snapshot) -> io::Result<Measure> {
    let mut summed = Summed::new(io::sink());
    snapshot.write_portable(&mut summed)?;
    Ok(Measure { size: summed.size, sum: summed.finish() })
}

/// Writes an archive.
pub(crate) fn write(
    out: &mut impl Write,
    mut description: Description,
    measure: &Measure,
    snapshot: &Snapshot,
) -> io::Result<()> {
    let addresses: Vec<_> = description.configuration.servers.iter().map(|s| &s.address).collect();
    let mut peers = Vec::new();
    codec::encode_into(&addresses, &mut peers).map_err(io::Error::other)?;
    description.peers = STANDARD.encode(peers);
    description.size = measure.size;
    let mut text = serde_json::to_vec(&description)?;
    text.push(b'\n');
    let mut out = GzEncoder::new(out, Compression::fast());
    file(&mut out, DESCRIPTION, text.len() as u64, |out| out.write_all(&text))?;
    file(&mut out, STATE, measure.size, |out| {
        let mut summed = Summed::new(out);
        snapshot.write_portable(&mut summed)?;
        if summed.size == measure.size { Ok(()) } else { Err(io::Error::other("size changed")) }
    })?;
    let sums = format!("{}  {DESCRIPTION}\n{}  {STATE}\n", sum(&text), measure.sum);
    file(&mut out, SUMS, sums.len() as u64, |out| out.write_all(sums.as_bytes()))?;
    out.write_all(&[0; 2 * BLOCK])?;
    out.finish()?.flush()
}

fn file<W: Write>(
    out: &mut W,
    name: &str,
    size: u64,
    body: impl FnOnce(&mut W) -> io::Result<()>,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_mode(0o600);
    header.set_size(size);
    header.set_mtime(u64::try_from(crate::clock::now_seconds()).unwrap_or(0));
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    body(out)?;
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    let padding = if over == 0 { 0 } else { BLOCK - over };
    out.write_all(&[0; BLOCK][..padding])
}

/// Reads an archive and checks that it is whole.
///
/// # Errors
/// When it is not.
pub fn read(archive: &[u8]) -> Result<(Description, Vec<u8>), ArchiveError> {
    let mut state = Vec::new();
    let description = read_into(archive, &mut state)?;
    Ok((description, state))
}

/// Checks that an archive is whole, and gives what it says about itself.
///
/// # Errors
/// When it is not.
pub fn verify(archive: impl Read) -> Result<Description, ArchiveError> {
    read_into(archive, &mut io::sink())
}

fn read_into(archive: impl Read, state: &mut impl Write) -> Result<Description, ArchiveError> {
    let mut decoder = GzDecoder::new(archive);
    let mut first = [0];
    let begun = decoder.read(&mut first).map_err(ArchiveError::Compression)?;
    if decoder.header().is_none() || begun == 0 {
        let error = io::Error::from(io::ErrorKind::UnexpectedEof);
        return Err(ArchiveError::Compression(error));
    }
    let whole = first.chain(decoder).take(STATE_MAX + 2 * TEXT_MAX + FRAME_MAX);
    let mut tar = tar::Archive::new(whole);
    let mut found = Found::default();
    for entry in tar.entries().map_err(ArchiveError::Tar)? {
        let mut entry = entry.map_err(ArchiveError::Tar)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let place = match name.as_str() {
            DESCRIPTION => &mut found.description,
            SUMS => &mut found.sums,
            STATE if found.state.is_none() => {
                if entry.size() > STATE_MAX {
                    return Err(ArchiveError::TooLarge(name, STATE_MAX));
                }
                let mut summed = Summed::new(&mut *state);
                io::copy(&mut entry, &mut summed).map_err(ArchiveError::Tar)?;
                found.state = Some(summed.finish());
                continue;
            }
            _ => return Err(ArchiveError::Unexpected(name)),
        };
        if place.is_some() {
            return Err(ArchiveError::Unexpected(name));
        }
        if entry.size() > TEXT_MAX {
            return Err(ArchiveError::TooLarge(name, TEXT_MAX));
        }
        let mut text = Vec::new();
        entry.read_to_end(&mut text).map_err(ArchiveError::Tar)?;
        *place = Some(text);
    }
    // The checksum of the compression comes last.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(ArchiveError::Compression)?;
    found.check()
}

/// The files of an archive; of the state only its sum.
#[derive(Default)]
struct Found {
    description: Option<Vec<u8>>,
    state: Option<String>,
    sums: Option<Vec<u8>>,
}

impl Found {
    fn check(self) -> Result<Description, ArchiveError> {
        let missing = |name: &str| ArchiveError::Integrity(format!("file missing for {name:?}"));
        let text = self.description.ok_or_else(|| missing(DESCRIPTION))?;
        let state = self.state.ok_or_else(|| missing(STATE))?;
        let sums = String::from_utf8_lossy(&self.sums.ok_or_else(|| missing(SUMS))?).into_owned();
        let mut expected = [(DESCRIPTION, sum(&text), false), (STATE, state, false)];
        for line in sums.lines() {
            let (given, name) = line.split_once("  ").unwrap_or((line, ""));
            let known = expected.iter_mut().find(|(known, ..)| *known == name);
            let (name, computed, seen) = known.ok_or_else(|| {
                ArchiveError::Integrity(format!("list missing hash for {name:?}"))
            })?;
            if !given.eq_ignore_ascii_case(computed) {
                let text = format!("hash check failed for {name:?}");
                return Err(ArchiveError::Integrity(text));
            }
            *seen = true;
        }
        if let Some((name, ..)) = expected.iter().find(|(.., seen)| !seen) {
            return Err(missing(name));
        }
        let description: Description =
            serde_json::from_slice(&text).map_err(ArchiveError::Description)?;
        match description.version {
            VERSION => Ok(description),
            version => Err(ArchiveError::Version(version)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sum(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Writes on, and keeps size and sum.
struct Summed<W> {
    inner: W,
    size: u64,
    context: digest::Context,
}

impl<W> Summed<W> {
    fn new(inner: W) -> Self {
        Self { inner, size: 0, context: digest::Context::new(&digest::SHA256) }
    }

    fn finish(self) -> String {
        hex(self.context.finish().as_ref())
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.context.update(bytes.get(..written).unwrap_or_default());
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use lictor_state::Store;
    use lictor_types::command::Command;
    use proptest::prelude::*;

    use super::*;

    fn small() -> Vec<u8> {
        let store = Store::new();
        store.apply_batch([Command::Noop]);
        let snapshot = store.snapshot();
        let described = Description { version: VERSION, index: 1, ..Description::default() };
        let mut out = Vec::new();
        write(&mut out, described, &measure(&snapshot).unwrap(), &snapshot).unwrap();
        out
    }

    fn with_files(files: &[(&str, &str)]) -> Result<Description, ArchiveError> {
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        for (name, text) in files {
            file(&mut out, name, text.len() as u64, |out| out.write_all(text.as_bytes())).unwrap();
        }
        out.write_all(&[0; 2 * BLOCK]).unwrap();
        verify(&*out.finish().unwrap())
    }

    #[test]
    fn what_is_written_is_read() {
        let (description, state) = read(&small()).unwrap();
        assert_eq!((description.index, description.size), (1, state.len() as u64));
        assert_eq!(Snapshot::check(&state).unwrap().index, 1);
        assert_eq!(verify(&*small()).unwrap(), description);
    }

    #[test]
    fn a_wrong_file_is_named() {
        let text = |files: &[(&str, &str)]| with_files(files).unwrap_err().to_string();
        let meta = "{\"Version\":1}";
        let sums = format!("{}  {DESCRIPTION}\n{}  {STATE}\n", sum(meta.as_bytes()), sum(b"x"));
        let good = [(SUMS, &*sums), (STATE, "x"), (DESCRIPTION, meta)];
        assert!(with_files(&good).is_ok());
        let begin = "failed checking integrity of snapshot";
        assert_eq!(text(&good[1..]), format!("{begin}: file missing for \"SHA256SUMS\""));
        let changed = [good[0], (STATE, "y"), good[2]];
        assert_eq!(text(&changed), format!("{begin}: hash check failed for \"state.bin\""));
        let short = [(SUMS, &sums[..sums.find('\n').unwrap()]), good[1], good[2]];
        assert_eq!(text(&short), format!("{begin}: file missing for \"state.bin\""));
        let more = [good[0], good[1], good[2], ("x.json", "")];
        assert_eq!(text(&more), "unexpected file \"x.json\" in snapshot");
        let twice = [good[0], good[1], good[1], good[2]];
        assert_eq!(text(&twice), "unexpected file \"state.bin\" in snapshot");
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_archive_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = read(&bytes);
            let mut out = GzEncoder::new(Vec::new(), Compression::fast());
            out.write_all(&bytes).unwrap();
            prop_assert!(read(&out.finish().unwrap()).is_err());
        }

        #[test]
        fn a_changed_archive_is_an_error_or_the_same(at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = small();
            let (_, state) = read(&bytes).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok((_, read)) = read(&bytes) {
                prop_assert_eq!(read, state);
            }
            prop_assert!(read(&bytes[..at]).is_err());
        }
    }
}
