//! Snapshots: what stands in for the entries that are no longer in the log.
//!
//! In memory a snapshot is a version of the store, which costs nothing to take. On disk it is a
//! file: a magic number, what it stands for, the store's own archive, a CRC-32 of all before it.
//! A file becomes visible under its name only when it is whole and on disk.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lictor_state::Store;
use lictor_task::TaskSet;
use parking_lot::Mutex;

use crate::batch::{SnapshotMeta, Types};
use crate::config::Storage;
use crate::error::LogError;
use crate::log::journal::{RETRY, is_full};
use crate::log::sync_dir;

const MAGIC: &[u8; 8] = b"LICTSNP1";
const SUFFIX: &str = ".snapshot";
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
}

/// Takes and keeps snapshots. Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Snapshots {
    dir: Option<PathBuf>,
    current: Arc<Mutex<Option<Snapshot>>>,
    tasks: TaskSet,
}

impl Snapshots {
    /// Opens the place of snapshots and fills `store` from the newest.
    pub(crate) fn open(
        storage: &Storage,
        store: &Store,
        tasks: TaskSet,
    ) -> Result<(Self, Option<SnapshotMeta>), LogError> {
        let mut this = Self { dir: None, current: Arc::default(), tasks };
        let Storage::Disk(dir) = storage else { return Ok((this, None)) };
        let mut damage = None;
        for path in files(dir)? {
            match load(&path, store) {
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
            let written = self
                .tasks
                .blocking("writing a snapshot", move || write(&dir, &meta, |out| state.write(out)));
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

    /// Takes over a snapshot of another server.
    pub(crate) async fn install(
        &self,
        meta: &SnapshotMeta,
        snapshot: Frozen,
        store: Store,
    ) -> io::Result<()> {
        let (target, kept) = (store.clone(), snapshot.clone());
        let restored = self.tasks.blocking("restoring a snapshot", move || match kept {
            Frozen::Live(state) => {
                let mut bytes = Vec::new();
                state.write(&mut bytes)?;
                target.install(&mut bytes.as_slice()).map(drop).map_err(io::Error::other)
            }
            Frozen::File(path) => load(&path, &target).map(drop).map_err(io::Error::other),
        });
        restored.await.unwrap_or_else(|| Err(interrupted()))?;
        self.save(meta.clone(), store.snapshot()).await.map(drop)
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

fn write(
    dir: &Path,
    meta: &SnapshotMeta,
    body: impl FnOnce(&mut Summed<BufWriter<File>>) -> io::Result<()>,
) -> io::Result<PathBuf> {
    let (index, term) =
        meta.last_log_id.as_ref().map_or((0, 0), |id| (id.index, id.leader_id.term));
    let path = dir.join(format!("{index:020}-{term:010}{SUFFIX}"));
    let partial = path.with_extension("partial");
    if let Err(error) = write_file(&partial, meta, body) {
        // Half a snapshot would take the space that is needed.
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    fs::rename(&partial, &path)?;
    sync_dir(dir)?;
    let old = files(dir).map_err(io::Error::other)?;
    for old in old.iter().skip(KEPT) {
        fs::remove_file(old)?;
    }
    Ok(path)
}

fn write_file(
    partial: &Path,
    meta: &SnapshotMeta,
    body: impl FnOnce(&mut Summed<BufWriter<File>>) -> io::Result<()>,
) -> io::Result<()> {
    let file = BufWriter::with_capacity(1 << 16, File::create(partial)?);
    let mut out = Summed { inner: file, sum: crc32fast::Hasher::new() };
    let description = rmp_serde::to_vec_named(meta).map_err(io::Error::other)?;
    out.write_all(MAGIC)?;
    out.write_all(&u32::try_from(description.len()).map_err(io::Error::other)?.to_be_bytes())?;
    out.write_all(&description)?;
    body(&mut out)?;
    let sum = out.sum.clone().finalize();
    out.inner.write_all(&sum.to_be_bytes())?;
    let file = out.inner.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

/// Fills `store` from a file, after making sure that it is whole.
fn load(path: &Path, store: &Store) -> Result<SnapshotMeta, LogError> {
    let io = |source| LogError::Io { path: path.to_owned(), source };
    let damaged = |at, reason: String| LogError::Damaged { path: path.to_owned(), at, reason };
    let mut file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let body = size.checked_sub(4).ok_or_else(|| damaged(0, "too short".into()))?;
    let mut sum = crc32fast::Hasher::new();
    let mut whole = BufReader::with_capacity(1 << 16, (&mut file).take(body));
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
    store.install(&mut read).map_err(|e| damaged(12 + u64::from(length), e.to_string()))?;
    Ok(meta)
}

/// Writes on and keeps the checksum.
struct Summed<W> {
    inner: W,
    sum: crc32fast::Hasher,
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
