//! The store: one writer, versions published atomically, watchers woken after.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use lictor_types::Index;
use lictor_types::command::{Command, Outcome};
use parking_lot::Mutex;

use crate::apply::Writer;
use crate::snapshot::{self, RestoreError, RestoreReport, Snapshot};
use crate::view::View;
use crate::watch::{Registry, Topic, Watch};

/// The replicated state. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Store(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    view: ArcSwap<View>,
    /// Held by whoever makes the next version.
    writer: Mutex<()>,
    registry: Arc<Registry>,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The command's index.
    pub index: Index,
    /// What it gave.
    pub outcome: Outcome,
    /// Keys whose lock was taken away by force, with the lock-delay of the session in
    /// nanoseconds: the leader refuses to lock them for that time.
    pub released: Vec<(Arc<str>, i64)>,
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store whose first command has the index after `index`.
    #[must_use]
    pub fn after(index: Index) -> Self {
        let view = ArcSwap::from_pointee(View { index, ..View::default() });
        Self(Arc::new(Shared { view, ..Shared::default() }))
    }

    /// The newest version. It stays as it is, whatever is written later.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.0.view.load_full()
    }

    /// Applies commands in order, each at an index of its own, and publishes the result as one
    /// version. A command that is refused changes nothing.
    pub fn apply_batch(&self, commands: impl IntoIterator<Item = Command>) -> Vec<Applied> {
        let guard = self.0.writer.lock();
        let mut writer = Writer::new(&self.0.view.load());
        let applied = commands.into_iter().map(|command| writer.apply(command)).collect();
        let restored = writer.restored;
        let (view, touched) = writer.finish();
        self.0.view.store(Arc::new(view));
        drop(guard);
        if restored {
            self.0.registry.wake_all();
        } else {
            self.0.registry.wake(&touched);
        }
        applied
    }

    /// Registers interest in `topics`. Register first, then read: a change in between is heard.
    #[must_use]
    pub fn watch(&self, topics: &[Topic]) -> Watch {
        self.0.registry.watch(topics)
    }

    /// The newest version, ready to be written out. Costs nothing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.view())
    }

    /// Becomes what another store of the same cluster was when it wrote this snapshot, all or
    /// nothing: indexes are the same, so that both go on alike. Every watcher is woken.
    ///
    /// # Errors
    /// When the bytes are no whole snapshot; then nothing has changed.
    pub fn install(&self, read: &mut impl io::Read) -> Result<RestoreReport, RestoreError> {
        self.replace(read, |view, _| view)
    }

    /// Replaces everything by what an archive holds, all or nothing. The archive may be older or
    /// another cluster's: the index, and that of every query, becomes larger than both the
    /// archive's and the present one. Every watcher is woken.
    ///
    /// # Errors
    /// When the bytes are no whole snapshot; then nothing has changed.
    pub fn restore(&self, read: &mut impl io::Read) -> Result<RestoreReport, RestoreError> {
        self.replace(read, |view, before| snapshot::follow(view, before.index))
    }

    fn replace(
        &self,
        read: &mut impl io::Read,
        next: impl Fn(View, &View) -> View,
    ) -> Result<RestoreReport, RestoreError> {
        let guard = self.0.writer.lock();
        let before = self.0.view.load();
        let (view, report) = snapshot::read(read, before.epoch + 1)?;
        self.0.view.store(Arc::new(next(view, &before)));
        drop(guard);
        self.0.registry.wake_all();
        Ok(report)
    }
}
