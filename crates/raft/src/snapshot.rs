//! Snapshots: what stands in for the entries that are no longer in the log.
//!
//! In memory a snapshot is a version of the store, which costs nothing to take. On disk it is a
//! file: a magic number, what it stands for, the store's own archive, a CRC-32 of all before it.
//! A file becomes visible under its name only when it is whole and on disk. To other servers it
//! goes as it is.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use lictor_state::Store;
use lictor_task::TaskSet;
use parking_lot::Mutex;

use crate::batch::{SnapshotMeta, Types};
use crate::config::Storage;
use crate::error::LogError;
use crate::log::journal::{RETRY, is_full};
use crate::log::sync_dir;

mod content;

pub(crate) use self::content::{Arrival, Content};

const MAGIC: &[u8; 8] = b"LICTSNP1";
const SUFFIX: &str = ".snapshot";
/// What is not whole yet.
const PARTIAL: &str = "partial";
/// Files that are kept: the newest, and one more should it be damaged.
const KEPT: usize = 2;
/// Largest description that is believed.
const META_MAX: u32 = 1 << 20;

type Snapshot = openraft::type_config::alias::SnapshotOf<Types, Frozen>;

/// The state of some moment.
#[derive(Clone, Debug)]
pub(crate) enum Frozen {
    /// A version of the store.
    Live(lictor_state::Snapshot),
    /// A file.
    File(PathBuf),
    /// What would be in a file, where there are none.
    Bytes(Bytes),
}

/// Takes and keeps snapshots. Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Snapshots {
    dir: Option<PathBuf>,
    current: Arc<Mutex<Option<Snapshot>>>,
    tasks: TaskSet,
    #[cfg(test)]
    simulated: Option<(crate::simulation::Disk, crate::simulation::Writer)>,
}

impl Snapshots {
    /// Opens the place of snapshots and fills `store` from the newest.
    pub(crate) fn open(
        storage: &Storage,
        store: &Store,
        tasks: TaskSet,
    ) -> Result<(Self, Option<SnapshotMeta>), LogError> {
        let mut this = Self {
            dir: None,
            current: Arc::default(),
            tasks,
            #[cfg(test)]
            simulated: None,
        };
        #[cfg(test)]
        if let Storage::Simulated(disk) = storage {
            return this.open_simulated(disk, store);
        }
        let Storage::Disk(dir) = storage else { return Ok((this, None)) };
        remove_partial(dir)?;
        let mut damage = None;
        for path in files(dir)? {
            let loaded = open(&path).map_err(LogError::io(&path));
            match loaded.and_then(|mut file| load(&path, &mut file, store)) {
                Ok(meta) => {
                    let snapshot = Snapshot { meta: meta.clone(), snapshot: Frozen::File(path) };
                    *this.current.lock() = Some(snapshot);
                    this.dir = Some(dir.clone());
                    return Ok((this, Some(meta)));
                }
                Err(error) => {
                    tracing::error!(%error, "a snapshot cannot be used");
                    damage.get_or_insert(error);
                }
            }
        }
        this.dir = Some(dir.clone());
        damage.map_or(Ok((this, None)), Err)
    }

    /// The newest.
    pub(crate) fn current(&self) -> Option<Snapshot> {
        self.current.lock().clone()
    }

    /// Keeps a version of the store.
    pub(crate) async fn save(
        &self,
        meta: SnapshotMeta,
        state: lictor_state::Snapshot,
    ) -> io::Result<Snapshot> {
        #[cfg(test)]
        if self.simulated.is_some() {
            return self.save_simulated(meta, state).await;
        }
        let frozen = match &self.dir {
            None => Frozen::Live(state),
            Some(dir) => Frozen::File(self.write(dir, &meta, state).await?),
        };
        let snapshot = Snapshot { meta, snapshot: frozen };
        *self.current.lock() = Some(snapshot.clone());
        Ok(snapshot)
    }

    /// Writes a file, as soon as there is space for it: an engine that is told of a failure ends,
    /// and without a snapshot the log cannot be shortened either.
    async fn write(
        &self,
        dir: &Path,
        meta: &SnapshotMeta,
        state: lictor_state::Snapshot,
    ) -> io::Result<PathBuf> {
        let mut reported = false;
        loop {
            let (dir, meta, state) = (dir.to_owned(), meta.clone(), state.clone());
            let written = crate::blocking(&self.tasks, "writing a snapshot", move || {
                write(&dir, &meta, |out| state.write(out))
            });
            match written.await.unwrap_or_else(|| Err(interrupted())) {
                Err(error) if is_full(&error) && !self.tasks.token().is_cancelled() => {
                    if !std::mem::replace(&mut reported, true) {
                        tracing::error!(%error, "a snapshot cannot be written until there is space");
                    }
                }
                other => return other,
            }
            tokio::select! {
                () = self.tasks.token().cancelled() => {}
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// A place for a snapshot that comes from another server.
    pub(crate) fn arrival(&self) -> io::Result<Arrival> {
        match &self.dir {
            None => Ok(Arrival::in_memory()),
            Some(dir) => Arrival::on_disk(&dir.join("arriving").with_extension(PARTIAL)),
        }
    }

    /// What an arrived snapshot stands for, if it is whole.
    pub(crate) async fn arrived(&self, frozen: Frozen) -> io::Result<Snapshot> {
        let examined = crate::blocking(&self.tasks, "examining a snapshot", move || {
            let meta = match &frozen {
                Frozen::Live(_) => Err(io::Error::other("a snapshot of this server")),
                Frozen::File(path) => examine(path, &mut open(path)?),
                Frozen::Bytes(bytes) => examine(Path::new("arrived"), &mut Cursor::new(bytes)),
            }?;
            Ok(Snapshot { meta, snapshot: frozen })
        });
        examined.await.unwrap_or_else(|| Err(interrupted()))
    }

    /// Takes over a snapshot of another server.
    pub(crate) async fn install(
        &self,
        meta: &SnapshotMeta,
        snapshot: Frozen,
        store: Store,
    ) -> io::Result<()> {
        #[cfg(test)]
        if self.simulated.is_some() {
            return self.install_simulated(meta, snapshot, store).await;
        }
        let (dir, meta) = (self.dir.clone(), meta.clone());
        let take_over = move || match (snapshot, dir) {
            (Frozen::File(path), Some(dir)) => {
                load(&path, &mut open(&path)?, &store).map_err(io::Error::other)?;
                let place = named(&dir, &meta);
                if place != path {
                    publish(&dir, &path, &place)?;
                }
                Ok(Snapshot { meta, snapshot: Frozen::File(place) })
            }
            (Frozen::Bytes(bytes), None) => {
                let mut read = Cursor::new(&bytes);
                load(Path::new("arrived"), &mut read, &store).map_err(io::Error::other)?;
                Ok(Snapshot { meta, snapshot: Frozen::Live(store.snapshot()) })
            }
            _ => Err(io::Error::other("a snapshot that does not belong here")),
        };
        let installed = crate::blocking(&self.tasks, "taking over a snapshot", take_over).await;
        let snapshot = installed.unwrap_or_else(|| Err(interrupted()))?;
        *self.current.lock() = Some(snapshot);
        Ok(())
    }
}

impl Frozen {
    /// What goes to another server.
    pub(crate) async fn content(
        &self,
        meta: &SnapshotMeta,
        tasks: &TaskSet,
    ) -> io::Result<Content> {
        let (frozen, meta) = (self.clone(), meta.clone());
        let opened = crate::blocking(tasks, "opening a snapshot", move || match frozen {
            Self::File(path) => Content::file(File::open(&path)?),
            Self::Bytes(bytes) => Ok(Content::Bytes(bytes)),
            Self::Live(state) => {
                let mut out = Summed::new(Vec::new());
                write_body(&mut out, &meta, |out| state.write(out))?;
                Ok(Content::Bytes(out.inner.into()))
            }
        });
        opened.await.unwrap_or_else(|| Err(interrupted()))
    }
}

fn interrupted() -> io::Error {
    io::Error::other("the task was interrupted")
}

/// Snapshot files, the newest first. Names sort by what they stand for.
fn files(dir: &Path) -> Result<Vec<PathBuf>, LogError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(LogError::io(dir))? {
        let path = entry.map_err(LogError::io(dir))?.path();
        if path.to_str().is_some_and(|name| name.ends_with(SUFFIX)) {
            found.push(path);
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Whatever was not whole when the process ended.
fn remove_partial(dir: &Path) -> Result<(), LogError> {
    for entry in fs::read_dir(dir).map_err(LogError::io(dir))? {
        let path = entry.map_err(LogError::io(dir))?.path();
        if path.extension().is_some_and(|extension| extension == PARTIAL) {
            fs::remove_file(&path).map_err(LogError::io(path))?;
        }
    }
    Ok(())
}

/// Where a snapshot belongs.
fn named(dir: &Path, meta: &SnapshotMeta) -> PathBuf {
    let (index, term) =
        meta.last_log_id.as_ref().map_or((0, 0), |id| (id.index, id.leader_id.term));
    dir.join(format!("{index:020}-{term:010}{SUFFIX}"))
}

fn write(
    dir: &Path,
    meta: &SnapshotMeta,
    body: impl FnOnce(&mut Summed<BufWriter<File>>) -> io::Result<()>,
) -> io::Result<PathBuf> {
    let path = named(dir, meta);
    let partial = path.with_extension(PARTIAL);
    if let Err(error) = write_file(&partial, meta, body) {
        // Half a snapshot would take the space that is needed.
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    publish(dir, &partial, &path)?;
    Ok(path)
}

/// Gives a whole file its name, and removes the oldest.
fn publish(dir: &Path, partial: &Path, path: &Path) -> io::Result<()> {
    fs::rename(partial, path)?;
    sync_dir(dir)?;
    let old = files(dir).map_err(io::Error::other)?;
    for old in old.iter().skip(KEPT) {
        fs::remove_file(old)?;
    }
    Ok(())
}

fn write_file(
    partial: &Path,
    meta: &SnapshotMeta,
    body: impl FnOnce(&mut Summed<BufWriter<File>>) -> io::Result<()>,
) -> io::Result<()> {
    let file = BufWriter::with_capacity(1 << 16, File::create(partial)?);
    let mut out = Summed::new(file);
    write_body(&mut out, meta, body)?;
    let file = out.inner.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

fn write_body<W: Write>(
    out: &mut Summed<W>,
    meta: &SnapshotMeta,
    body: impl FnOnce(&mut Summed<W>) -> io::Result<()>,
) -> io::Result<()> {
    let description = rmp_serde::to_vec_named(meta).map_err(io::Error::other)?;
    out.write_all(MAGIC)?;
    out.write_all(&u32::try_from(description.len()).map_err(io::Error::other)?.to_be_bytes())?;
    out.write_all(&description)?;
    body(out)?;
    let sum = out.sum.clone().finalize();
    out.inner.write_all(&sum.to_be_bytes())
}

fn open(path: &Path) -> io::Result<File> {
    File::open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Reads what a file stands for, after making sure that it is whole; what comes next is the
/// store's.
fn examine<R: Read + Seek>(path: &Path, file: &mut R) -> io::Result<SnapshotMeta> {
    described(path, file).map(|(meta, ..)| meta).map_err(io::Error::other)
}

/// Fills `store` from a file, after making sure that it is whole.
fn load<R: Read + Seek>(
    path: &Path,
    file: &mut R,
    store: &Store,
) -> Result<SnapshotMeta, LogError> {
    let (meta, mut read, at) = described(path, file)?;
    let damaged = |reason| LogError::Damaged { path: path.to_owned(), at, reason };
    store.install(&mut read).map_err(|e| damaged(e.to_string()))?;
    Ok(meta)
}

type Body<'a, R> = BufReader<io::Take<&'a mut R>>;

fn described<'a, R: Read + Seek>(
    path: &Path,
    file: &'a mut R,
) -> Result<(SnapshotMeta, Body<'a, R>, u64), LogError> {
    let io = |source| LogError::Io { path: path.to_owned(), source };
    let damaged = |at, reason: String| LogError::Damaged { path: path.to_owned(), at, reason };
    let size = file.seek(SeekFrom::End(0)).map_err(io)?;
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let body = size.checked_sub(4).ok_or_else(|| damaged(0, "too short".into()))?;
    let mut sum = crc32fast::Hasher::new();
    let mut whole = BufReader::with_capacity(1 << 16, (&mut *file).take(body));
    io::copy(&mut whole, &mut HashOnly(&mut sum)).map_err(io)?;
    let mut expected = [0; 4];
    file.read_exact(&mut expected).map_err(io)?;
    if sum.finalize().to_be_bytes() != expected {
        return Err(damaged(0, "checksum does not match".into()));
    }
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let mut read = BufReader::with_capacity(1 << 16, file.take(body));
    let mut start = [0; 12];
    read.read_exact(&mut start).map_err(io)?;
    let [magic @ .., a, b, c, d] = start;
    let length = u32::from_be_bytes([a, b, c, d]);
    if &magic != MAGIC || length > META_MAX {
        return Err(damaged(0, "not a snapshot of a known version".into()));
    }
    let mut description = vec![0; length as usize];
    read.read_exact(&mut description).map_err(io)?;
    let meta = rmp_serde::from_slice(&description).map_err(|e| damaged(12, e.to_string()))?;
    Ok((meta, read, 12 + u64::from(length)))
}

/// Writes on and keeps the checksum.
struct Summed<W> {
    inner: W,
    sum: crc32fast::Hasher,
}

impl<W> Summed<W> {
    fn new(inner: W) -> Self {
        Self { inner, sum: crc32fast::Hasher::new() }
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.sum.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

struct HashOnly<'a>(&'a mut crc32fast::Hasher);

impl Write for HashOnly<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod simulated;
