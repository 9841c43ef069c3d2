//! Handing the whole state out as an archive, and taking one back.
//!
//! An archive is checked as a whole before anything is proposed; then it is one command like any
//! other, so that the log says the same everywhere. What the leader does by itself begins anew.

use std::io;

use bytes::Bytes;
use lictor_state::Snapshot;
use lictor_types::command::Command;
use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::query::{QueryMeta, QueryOptions};
use tokio::sync::mpsc;

use crate::archive::{self, Description, Group, Member};
use crate::clock;
use crate::rights::need;
use crate::server::Server;

/// Pieces of an archive that wait for a slow reader.
const PIECES: usize = 8;
/// Size of a piece.
const PIECE: usize = 64 * 1024;

/// An archive on its way.
#[derive(Debug)]
pub struct SavedSnapshot {
    /// Its pieces in order; an error is the last.
    pub pieces: mpsc::Receiver<io::Result<Bytes>>,
    /// Facts for the headers.
    pub meta: QueryMeta,
}

impl Server {
    /// The state of this moment as an archive.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn snapshot_save(
        &self,
        options: &QueryOptions,
    ) -> Result<SavedSnapshot, EndpointError> {
        self.may_answer(options).await?;
        // Whoever has the archive has all tokens.
        need(self.authorizer(&options.token)?.snapshot())?;
        let snapshot = self.store().snapshot();
        let meta = self.meta(options, snapshot.index());
        let description = self.describe(&snapshot);
        let measured = self.tasks().blocking("measuring a snapshot", move || {
            archive::measure(&snapshot).map(|measure| (snapshot, measure))
        });
        let (snapshot, measure) =
            measured.await.ok_or_else(interrupted)?.map_err(|e| failed(&e))?;
        let (sender, pieces) = mpsc::channel(PIECES);
        let tasks = self.tasks().clone();
        self.tasks().spawn("snapshot", async move {
            let write = move || {
                let mut out = Pieces { sender, piece: Vec::with_capacity(PIECE) };
                let written = archive::write(&mut out, description, &measure, &snapshot);
                if let Err(error) = written.and_then(|()| out.send()) {
                    // Nobody is there any more, or hears of it.
                    let _ = out.sender.blocking_send(Err(error));
                }
            };
            // A panic is logged; the reader finds the archive cut off.
            let _ = tasks.blocking("writing an archive", write).await;
        });
        Ok(SavedSnapshot { pieces, meta })
    }

    /// Replaces the state by what an archive holds, all or nothing.
    ///
    /// # Errors
    /// When the archive is damaged or there is no leader; then nothing has changed.
    pub async fn snapshot_restore(
        &self,
        datacenter: &str,
        token: &str,
        archive: Bytes,
    ) -> Result<(), EndpointError> {
        self.check_datacenter(datacenter)?;
        need(self.authorizer(token)?.snapshot())?;
        self.wait_for_leadership().await?;
        let _restoring = self.restoring().lock().await;
        let read = self.tasks().blocking("reading an archive", move || {
            let (_, state) = archive::read(&archive)?;
            drop(archive);
            let report = Snapshot::check(&state).map_err(archive::ArchiveError::State)?;
            Ok::<_, archive::ArchiveError>((state, report))
        });
        let (state, report) = read
            .await
            .ok_or_else(interrupted)?
            .map_err(|error| EndpointError::refused(error.to_string()))?;
        if !report.skipped.is_empty() {
            tracing::warn!(records = ?report.skipped, "records of unknown types were left out");
        }
        for intention in &report.narrowed {
            tracing::warn!("{intention}: has rules for requests, which are not known: it denies");
        }
        // Whoever is changing the authority looked at the state that is replaced now.
        let changing = self.authority().changing().await;
        self.meters().restores.count();
        let timed = self.meters().restore.start();
        self.propose(Command::Restore(state.into())).await?;
        drop(timed);
        self.authority().dismiss();
        drop(changing);
        tracing::info!(index = report.index, records = report.records, "restored a snapshot");
        // Without one of its own the log would hold the archive for a long time.
        if let Err(error) = self.raft().take_snapshot().await {
            tracing::warn!(%error, "the log cannot be shortened");
        }
        self.restored().notify_one();
        if self.config().ca.is_some() {
            // That it takes longer does not make the restore a failure.
            let ready = self.authority().ready();
            let _ = tokio::time::timeout(self.config().hold_timeout, ready).await;
        }
        Ok(())
    }

    fn describe(&self, snapshot: &Snapshot) -> Description {
        let status = self.raft().status();
        let servers = status.voters.into_iter().map(|(id, address)| Member {
            suffrage: 0,
            id: id.to_string(),
            address,
        });
        let millis = clock::now().0 / 1_000_000;
        Description {
            version: archive::VERSION,
            id: format!("{}-{}-{millis}", status.term, snapshot.index()),
            index: snapshot.index(),
            term: status.term,
            peers: String::new(),
            configuration: Group { servers: servers.collect() },
            configuration_index: status.group_index,
            size: 0,
        }
    }
}

fn failed(error: &io::Error) -> EndpointError {
    EndpointError::new(ErrorKind::Internal, format!("failed to write snapshot: {error}"))
}

fn interrupted() -> EndpointError {
    EndpointError::new(ErrorKind::Internal, "the work on the snapshot was interrupted")
}

/// Sends what is written in pieces.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.sender.blocking_send(Ok(piece.into())).map_err(gone)
    }
}

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use lictor_types::kv::{KvEntry, KvOp, KvWrite};

    use super::*;
    use crate::testing;

    async fn put(server: &Server, key: &str, value: &str) {
        let entry =
            KvEntry { key: key.into(), value: value.to_owned().into(), ..KvEntry::default() };
        server.kv_apply("", KvWrite { op: KvOp::Set, entry, lock_delayed: false }).await.unwrap();
    }

    async fn save(server: &Server) -> Bytes {
        let mut saved = server.snapshot_save(&QueryOptions::default()).await.unwrap();
        let mut archive = Vec::new();
        while let Some(piece) = saved.pieces.recv().await {
            archive.extend_from_slice(&piece.unwrap());
        }
        archive.into()
    }

    async fn value(server: &Server, key: &str) -> Option<Arc<KvEntry>> {
        server.kv_get(&QueryOptions::default(), key).await.unwrap().result.value.clone()
    }

    #[tokio::test]
    async fn an_archive_is_taken_back_here_and_elsewhere() {
        let server = testing::start().await;
        put(&server, "a", &"before ".repeat(20_000)).await;
        let archive = save(&server).await;
        put(&server, "a", "after").await;
        put(&server, "b", "new").await;
        let roots = server.ca_roots(&QueryOptions::default()).await.unwrap().result;
        let before = server.view().index();
        let blocked = QueryOptions {
            min_index: before,
            max_wait: Duration::from_secs(60),
            ..QueryOptions::default()
        };
        let (restored, woken) = tokio::join!(
            server.snapshot_restore("", "", archive.clone()),
            server.kv_get(&blocked, "b"),
        );
        restored.unwrap();
        assert!(woken.unwrap().meta.index > before);
        assert!(value(&server, "a").await.unwrap().value.starts_with(b"before"));
        assert_eq!(value(&server, "b").await, None);
        let again = server.ca_roots(&QueryOptions::default()).await.unwrap().result;
        assert_eq!(again.value.active_root_id, roots.value.active_root_id);
        let other = testing::start().await;
        other.snapshot_restore("dc1", "", archive).await.unwrap();
        assert!(value(&other, "a").await.is_some());
        let there = other.ca_roots(&QueryOptions::default()).await.unwrap().result;
        assert_eq!(there.value, again.value);
        other.shutdown().await;
        server.shutdown().await;
    }

    #[tokio::test]
    async fn an_archive_of_the_original_gets_another_root() {
        let original = include_bytes!("../../../../fuzz/seeds/snapshot_archive/version-1.2");
        let server = testing::start().await;
        server.snapshot_restore("", "", Bytes::from_static(original)).await.unwrap();
        assert_eq!(&value(&server, "k/ref").await.unwrap().value[..], b"v-ref");
        let roots = server.ca_roots(&QueryOptions::default()).await.unwrap().result;
        let active: Vec<_> = roots.value.roots.iter().map(|root| root.active).collect();
        assert_eq!(active, [false, true]);
        assert!(server.authority().active().is_some());
        server.shutdown().await;
    }

    #[tokio::test]
    async fn of_a_bad_archive_nothing_is_taken() {
        let server = testing::start().await;
        put(&server, "a", "kept").await;
        let archive = save(&server).await;
        put(&server, "a", "newer").await;
        let index = server.view().index();
        let cut = archive.slice(..archive.len() - 20);
        for bad in [Bytes::new(), Bytes::from("garbage"), cut] {
            let error = server.snapshot_restore("", "", bad).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Refused, "{error}");
        }
        let error = server.snapshot_restore("nope", "", archive).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NoPathToDatacenter);
        assert_eq!(server.view().index(), index);
        assert_eq!(&value(&server, "a").await.unwrap().value[..], b"newer");
        server.shutdown().await;
    }
}
