//! The whole state as an archive, and back.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use lictor_server::SavedSnapshot;
use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::query::{Consistency, QueryMeta, QueryOptions};
use lictor_wire::Message as _;
use lictor_wire::snapshot::{SnapshotOp, SnapshotReply, SnapshotRequest};
use tokio::sync::mpsc;

use crate::attempts::{Attempts, Way};
use crate::away::WriteOptions;
use crate::caller::{CallFailure, SnapshotAnswer};
use crate::failure;
use crate::servers::Servers;

/// How long an archive may take to be taken in, and how long the first piece of one may take.
const PATIENCE: Duration = Duration::from_secs(300);

impl Servers {
    /// The state of this moment as an archive.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn snapshot_save(
        &self,
        options: &QueryOptions,
    ) -> Result<SavedSnapshot, EndpointError> {
        let mut attempts = Attempts::read(self, options);
        if self.borrows() {
            self.borrow_token(&options.token).await;
        }
        loop {
            if let Some(server) = self.here() {
                match server.snapshot_save(options).await {
                    Err(error) if self.is_elsewhere(&error) => {}
                    done => return done,
                }
            }
            let request = SnapshotRequest {
                op: SnapshotOp::Save,
                datacenter: self.named(&options.datacenter).to_owned(),
                token: options.token.clone(),
                allow_stale: options.consistency == Consistency::Stale,
            };
            if let Some((reply, answer)) = self.archive_away(&mut attempts, request, None).await? {
                return Ok(SavedSnapshot { pieces: answer.pieces, meta: reply.meta });
            }
        }
    }

    /// Replaces the state by what an archive holds, all or nothing.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn snapshot_restore(
        &self,
        to: &WriteOptions,
        archive: Bytes,
    ) -> Result<(), EndpointError> {
        let mut attempts = Attempts::write(self, to);
        if self.borrows() {
            self.borrow_token(&to.token).await;
        }
        loop {
            if let Some(server) = self.writes_here(&to.datacenter) {
                let restored =
                    server.snapshot_restore(&to.datacenter, &to.token, archive.clone()).await;
                match restored {
                    Err(error) if self.is_elsewhere(&error) => {}
                    done => return done,
                }
            }
            let request = SnapshotRequest {
                op: SnapshotOp::Restore,
                datacenter: self.named(&to.datacenter).to_owned(),
                token: to.token.clone(),
                allow_stale: false,
            };
            let archive = Some(archive.clone());
            if self.archive_away(&mut attempts, request, archive).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// Has others save or restore; `None` when this server is to do it after all.
    async fn archive_away(
        &self,
        attempts: &mut Attempts<'_>,
        request: SnapshotRequest,
        archive: Option<Bytes>,
    ) -> Result<Option<(SnapshotReply, SnapshotAnswer)>, EndpointError> {
        let broken = |text: String| EndpointError::new(ErrorKind::Internal, text);
        let head = request.encode().map_err(|error| broken(error.to_string()))?;
        loop {
            let to = match attempts.way().await? {
                Way::Here => return Ok(None),
                Way::There(to) => to,
            };
            let asked = self.caller().snapshot(&to, head.clone(), archive.clone(), PATIENCE).await;
            let failure = match asked {
                Ok(answer) => {
                    let reply = SnapshotReply::decode(&answer.head);
                    let reply = reply.map_err(|error| broken(error.to_string()))?;
                    if reply.error.is_empty() {
                        return Ok(Some((reply, answer)));
                    }
                    CallFailure::Remote(reply.error)
                }
                Err(failure) => failure,
            };
            attempts.failed(&to, &failure).await?;
        }
    }

    /// Answers another agent that wants a snapshot: gives the head of the answer, and the pieces that
    /// follow it. `archive` reads what is to be restored, once it is known that it is wanted.
    ///
    /// # Errors
    /// When the request cannot be read, or the archive not.
    pub async fn serve_snapshot(
        &self,
        head: &[u8],
        archive: impl Future<Output = io::Result<Bytes>>,
    ) -> io::Result<(Vec<u8>, Option<mpsc::Receiver<io::Result<Bytes>>>)> {
        let request = SnapshotRequest::decode(head).map_err(io::Error::other)?;
        let SnapshotRequest { op, datacenter, token, allow_stale } = request;
        let done = match op {
            SnapshotOp::Save => {
                let consistency =
                    if allow_stale { Consistency::Stale } else { Consistency::Leader };
                let options =
                    QueryOptions { datacenter, token, consistency, ..QueryOptions::default() };
                let saved = self.snapshot_save(&options).await;
                saved.map(|saved| (saved.meta, Some(saved.pieces)))
            }
            SnapshotOp::Restore => {
                let archive = archive.await?;
                let to = WriteOptions { datacenter, token };
                let restored = self.snapshot_restore(&to, archive).await;
                restored.map(|()| (QueryMeta::default(), None))
            }
        };
        let (reply, pieces) = match done {
            Ok((meta, pieces)) => (SnapshotReply { error: String::new(), meta }, pieces),
            Err(error) => {
                let error = failure::to_text(error);
                (SnapshotReply { error, meta: QueryMeta::default() }, None)
            }
        };
        Ok((reply.encode().map_err(io::Error::other)?, pieces))
    }
}
