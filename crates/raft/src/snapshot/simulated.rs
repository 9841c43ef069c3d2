//! Snapshots on a disk of the simulation, written and read at once.

use super::*;
use crate::batch::Entry;
use crate::simulation::{Disk, end};

impl Snapshots {
    pub(super) fn open_simulated(
        mut self,
        disk: &Disk,
        store: &Store,
    ) -> Result<(Self, Option<SnapshotMeta>), LogError> {
        self.simulated = Some((disk.clone(), disk.writer(&self.tasks)));
        let Some(bytes) = disk.snapshot() else {
            disk.history.begins(disk.server, None);
            return Ok((self, None));
        };
        let meta = load(Path::new("simulated"), &mut Cursor::new(&bytes), store)?;
        disk.history.begins(disk.server, Some(end(&meta)));
        *self.current.lock() =
            Some(Snapshot { meta: meta.clone(), snapshot: Frozen::Bytes(bytes) });
        Ok((self, Some(meta)))
    }

    pub(super) async fn save_simulated(
        &self,
        meta: SnapshotMeta,
        state: lictor_state::Snapshot,
    ) -> io::Result<Snapshot> {
        let mut out = Summed::new(Vec::new());
        write_body(&mut out, &meta, |out| state.write(out))?;
        let bytes: Bytes = out.inner.into();
        let Some((_, writer)) = &self.simulated else { return Err(interrupted()) };
        writer.snapshot(bytes.clone()).await?;
        let snapshot = Snapshot { meta, snapshot: Frozen::Bytes(bytes) };
        *self.current.lock() = Some(snapshot.clone());
        Ok(snapshot)
    }

    pub(super) async fn install_simulated(
        &self,
        meta: &SnapshotMeta,
        snapshot: Frozen,
        store: Store,
    ) -> io::Result<()> {
        let Frozen::Bytes(bytes) = snapshot else { return Err(interrupted()) };
        let Some((disk, writer)) = &self.simulated else { return Err(interrupted()) };
        load(Path::new("simulated"), &mut Cursor::new(&bytes), &store).map_err(io::Error::other)?;
        disk.history.installs(disk.server, end(meta));
        writer.snapshot(bytes.clone()).await?;
        let snapshot = Snapshot { meta: meta.clone(), snapshot: Frozen::Bytes(bytes) };
        *self.current.lock() = Some(snapshot);
        Ok(())
    }

    /// Has it checked that an entry is the right one.
    pub(crate) fn applies(&self, entry: &Entry) {
        if let Some((disk, _)) = &self.simulated {
            disk.history.applies(disk.server, entry);
        }
    }
}
