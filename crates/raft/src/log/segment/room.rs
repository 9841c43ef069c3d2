//! Files that are filled with zeros before they are used, so that a sync of what is written has
//! nothing to do but that: no blocks to find, no length to change.
//!
//! The next one is made while the one before it is being used.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lictor_task::TaskSet;
use parking_lot::Mutex;
use uuid::Uuid;

use super::record::{HEAD, head};

/// Room of the first file, and of every one if there is not much.
pub(super) const ROOM_MIN: u64 = 1 << 20;
/// Room of the largest; each has twice that of the one before.
pub(super) const ROOM_MAX: u64 = 16 << 20;
/// Bytes of zeros that are synced at a time, so that nobody waits long for the disk.
const STEP: u64 = 1 << 20;
const NEXT: &str = "next";
const PARTIAL: &str = "partial";

/// A file of zeros but for its head.
#[derive(Debug)]
pub(super) struct Empty {
    pub(super) file: File,
    pub(super) id: Uuid,
    /// Its length.
    pub(super) room: u64,
    path: PathBuf,
}

impl Empty {
    fn make(path: PathBuf, room: u64) -> io::Result<Self> {
        let id = Uuid::new_v4();
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        if let Err(error) = fill(&file, &head(id), room) {
            // Half of it would take the space that is needed.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Self { file, id, room, path })
    }

    /// Gives it its name, which is durable only when the folder is synced.
    pub(super) fn name(&self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)
    }
}

fn fill(file: &File, head: &[u8; HEAD], room: u64) -> io::Result<()> {
    file.write_all_at(head, 0)?;
    let zeros = vec![0; 1 << 16];
    let mut at = HEAD as u64;
    while at < room {
        let end = room.min(at - at % STEP + STEP);
        while at < end {
            let size = usize::try_from(end - at).unwrap_or(usize::MAX).min(zeros.len());
            file.write_all_at(zeros.get(..size).unwrap_or_default(), at)?;
            at += size as u64;
        }
        file.sync_all()?;
    }
    Ok(())
}

/// The file that comes next.
#[derive(Debug)]
pub(super) struct Spare {
    dir: PathBuf,
    /// Who makes it ahead; without, each is made when it is needed.
    tasks: Option<TaskSet>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
enum State {
    None,
    BeingMade,
    Ready(Empty),
    /// There is not enough space: the next try is when it is needed.
    Failed,
}

impl Spare {
    /// Nothing is left of what an earlier process had made.
    pub(super) fn new(dir: &Path, tasks: Option<&TaskSet>) -> io::Result<Self> {
        match fs::remove_file(dir.join(NEXT)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let state = Arc::new(Mutex::new(State::None));
        Ok(Self { dir: dir.to_owned(), tasks: tasks.cloned(), state })
    }

    /// Has one made, if there is none.
    pub(super) fn prepare(&self, room: u64) {
        let Some(tasks) = &self.tasks else { return };
        let mut state = self.state.lock();
        if !matches!(*state, State::None) {
            return;
        }
        *state = State::BeingMade;
        let (path, state, own) = (self.dir.join(NEXT), Arc::clone(&self.state), tasks.clone());
        tasks.spawn("room for the log", async move {
            let made = own.blocking("making room for the log", move || Empty::make(path, room));
            *state.lock() = match made.await {
                Some(Ok(empty)) => State::Ready(empty),
                Some(Err(error)) => {
                    tracing::debug!(%error, "no room can be made for the log ahead");
                    State::Failed
                }
                None => State::Failed,
            };
        });
    }

    /// The one that was made, or else one that is made now.
    pub(super) fn take(&self, room: u64) -> io::Result<Empty> {
        {
            let mut state = self.state.lock();
            match std::mem::replace(&mut *state, State::None) {
                State::Ready(empty) => return Ok(empty),
                State::BeingMade => *state = State::BeingMade,
                State::None | State::Failed => {}
            }
        }
        let path = self.dir.join(NEXT).with_extension(PARTIAL);
        match Empty::make(path.clone(), room) {
            Err(error) if room > ROOM_MIN && crate::log::journal::is_full(&error) => {
                Empty::make(path, ROOM_MIN)
            }
            made => made,
        }
    }
}
