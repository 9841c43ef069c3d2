//! Something long on its way to another server, and where it arrives.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use lictor_task::TaskSet;

use super::Frozen;

/// Something long that is sent in parts.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// It is in memory.
    Bytes(Bytes),
    /// It is a file, which may lose its name meanwhile.
    File {
        /// Open.
        file: Arc<File>,
        /// Its size.
        length: u64,
        /// The checksum at its end.
        sum: u32,
    },
}

impl Content {
    /// The content of a file that ends with its checksum.
    pub(super) fn file(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let mut sum = [0; 4];
        file.read_exact_at(&mut sum, length.saturating_sub(4))?;
        Ok(Self::File { file: Arc::new(file), length, sum: u32::from_be_bytes(sum) })
    }

    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// Tells it from what has another content.
    pub(crate) fn identity(&self) -> u64 {
        let sum = match self {
            Self::Bytes(bytes) => crc32fast::hash(bytes),
            Self::File { sum, .. } => *sum,
        };
        u64::from(sum) << 32 | (self.length() & u64::from(u32::MAX))
    }

    /// Up to `most` bytes from `offset` on.
    pub(crate) async fn read(
        &self,
        offset: u64,
        most: usize,
        tasks: &TaskSet,
    ) -> io::Result<Bytes> {
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(start..bytes.len().min(start.saturating_add(most))))
            }
            Self::File { file, length, .. } => {
                let rest = usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX);
                let (file, count) = (Arc::clone(file), rest.min(most));
                let read = crate::blocking(tasks, "reading a snapshot", move || {
                    let mut bytes = vec![0; count];
                    file.read_exact_at(&mut bytes, offset).map(|()| bytes.into())
                });
                read.await.unwrap_or_else(|| Err(super::interrupted()))
            }
        }
    }
}

/// Where a snapshot arrives. Dropped before it is whole, nothing stays of it.
#[derive(Debug)]
pub(crate) struct Arrival {
    place: Place,
    length: u64,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<u8>),
    Disk(Partial),
}

impl Arrival {
    pub(super) const fn in_memory() -> Self {
        Self { place: Place::Memory(Vec::new()), length: 0 }
    }

    pub(super) fn on_disk(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        let partial = Partial { path: path.to_owned(), file: Some(file) };
        Ok(Self { place: Place::Disk(partial), length: 0 })
    }

    /// Bytes that have arrived.
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    /// Adds what comes next. It may wait for the disk.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.place {
            Place::Memory(held) => held.extend_from_slice(bytes),
            Place::Disk(partial) => match &mut partial.file {
                Some(file) => file.write_all(bytes)?,
                None => return Err(io::Error::other("the file is closed")),
            },
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// All of it, on disk. The file must be removed if it is not taken over.
    pub(crate) fn finish(self) -> io::Result<Frozen> {
        match self.place {
            Place::Memory(held) => Ok(Frozen::Bytes(held.into())),
            Place::Disk(mut partial) => {
                if let Some(file) = &partial.file {
                    file.sync_all()?;
                }
                partial.file = None;
                Ok(Frozen::File(std::mem::take(&mut partial.path)))
            }
        }
    }
}

#[derive(Debug)]
struct Partial {
    path: PathBuf,
    file: Option<File>,
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.file.is_some() {
            // It would be removed at the next start, too.
            let _ = fs::remove_file(&self.path);
        }
    }
}
