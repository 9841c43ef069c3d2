//! Asking other servers, as openraft does it: entries, votes, snapshots, transfers.
//!
//! What is longer than a message may be goes in parts. Bytes are [`crate::message`]'s; the
//! answering side is [`crate::service`].

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use lictor_task::TaskSet;
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{BasicNode, RaftNetworkFactory};
use parking_lot::RwLock;
use uuid::Uuid;

use crate::batch::{Types, Vote};
use crate::lease::Lease;
use crate::message::{Answer, CHUNK, Envelope, MESSAGE_MAX, Message, Part, Whole};
use crate::meters::{Meters, PeerMeters};
use crate::snapshot::{Content, Frozen};
use crate::transport::{Transport, TransportError};

/// Patience with a part of an archive, and with the last, which has it read and taken over.
const PART_PATIENCE: Duration = Duration::from_secs(10);
const LAST_PART_PATIENCE: Duration = Duration::from_secs(600);
/// Answers without progress after which a long message is given up.
const STALLS: u32 = 3;

/// The way to all other servers. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    own: Uuid,
    transport: Option<Arc<dyn Transport>>,
    /// Where servers are as of the newest configuration: they may move while being talked to.
    addresses: Arc<RwLock<HashMap<Uuid, String>>>,
    lease: Arc<Lease>,
    /// How long entries may take to be on the other's disk.
    patience: Duration,
    meters: Arc<Meters>,
    tasks: TaskSet,
}

impl Network {
    pub(crate) fn new(
        own: Uuid,
        transport: Option<Arc<dyn Transport>>,
        lease: Arc<Lease>,
        patience: Duration,
        meters: Arc<Meters>,
        tasks: TaskSet,
    ) -> Self {
        Self { own, transport, addresses: Arc::default(), lease, patience, meters, tasks }
    }

    /// Replaces the addresses of all servers.
    pub(crate) fn locate(&self, addresses: HashMap<Uuid, String>) {
        *self.addresses.write() = addresses;
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: Uuid, node: &BasicNode) -> Link {
        let meters = self.meters.of_peer(target);
        Link { network: self.clone(), target, address: node.addr.clone(), meters }
    }
}

/// The way to one server.
#[derive(Debug)]
pub(crate) struct Link {
    network: Network,
    target: Uuid,
    /// Where it was when this was made.
    address: String,
    meters: PeerMeters,
}

/// Why there is no usable answer.
enum Failure {
    Transport(TransportError),
    /// The other refuses, or what it says makes no sense.
    Refused(String),
}

impl Failure {
    fn nonsense(answer: &Answer) -> Self {
        Self::Refused(format!("unexpected answer {answer:?}"))
    }
}

impl Link {
    fn envelope(&self) -> Envelope {
        Envelope { from: self.network.own, to: self.target }
    }

    async fn call(&self, message: &Message, patience: Duration) -> Result<Answer, Failure> {
        let unencoded = |e: rmp_serde::encode::Error| Failure::Refused(e.to_string());
        let message = message.encode(self.envelope()).map_err(unencoded)?;
        self.send(message, patience).await
    }

    async fn send(&self, message: Bytes, patience: Duration) -> Result<Answer, Failure> {
        if message.len() > MESSAGE_MAX {
            let content = Content::Bytes(message);
            return Box::pin(self.send_whole(Whole::Message, &content, patience)).await;
        }
        let alone = || TransportError::Unreachable("there is no way to other servers".into());
        let transport = self.network.transport.as_ref();
        let transport = transport.ok_or_else(alone).map_err(Failure::Transport)?;
        let address = self.network.addresses.read().get(&self.target).cloned();
        let address = address.as_ref().unwrap_or(&self.address);
        let answer = transport.call(address, message, patience).await;
        let answer = answer.map_err(Failure::Transport)?;
        match Answer::decode(&answer) {
            Ok(Answer::Refused(reason)) => Err(Failure::Refused(reason)),
            Ok(answer) => Ok(answer),
            Err(error) => Err(Failure::Refused(error.to_string())),
        }
    }

    /// Sends something long, from where the other already has it; the answer is the one to the
    /// last part.
    async fn send_whole(
        &self,
        whole: Whole,
        content: &Content,
        patience: Duration,
    ) -> Result<Answer, Failure> {
        let (total, stream) = (content.length(), content.identity());
        let (mut offset, mut stalls) = (0, 0);
        // An archive is offered first: a part of it may be there already.
        let mut bytes = Bytes::new();
        if whole == Whole::Message {
            bytes = self.chunk(content, 0).await?;
        }
        loop {
            let last = offset + bytes.len() as u64 == total;
            let patience = if last { LAST_PART_PATIENCE.max(patience) } else { PART_PATIENCE };
            let part = Message::Part(Part { whole, stream, total, offset, bytes });
            match self.call(&part, patience).await? {
                Answer::Next(next) if next < total => {
                    stalls = if next > offset { 0 } else { stalls + 1 };
                    if stalls > STALLS {
                        return Err(Failure::Refused("it does not take what is sent".into()));
                    }
                    offset = next;
                    bytes = self.chunk(content, offset).await?;
                }
                answer @ Answer::Next(_) => return Err(Failure::nonsense(&answer)),
                answer => return Ok(answer),
            }
        }
    }

    async fn chunk(&self, content: &Content, offset: u64) -> Result<Bytes, Failure> {
        let read = content.read(offset, CHUNK, &self.network.tasks).await;
        read.map_err(|error| Failure::Refused(format!("reading what is to be sent: {error}")))
    }

    fn rpc(&self, action: RPCTypes, timeout: Duration, failure: Failure) -> RPCError<Types> {
        match failure {
            Failure::Transport(TransportError::Timeout) => {
                let (id, target) = (self.network.own, self.target);
                RPCError::Timeout(Timeout { action, id, target, timeout })
            }
            Failure::Transport(TransportError::Unreachable(why)) | Failure::Refused(why) => {
                RPCError::Unreachable(Unreachable::from_string(why))
            }
        }
    }
}

impl RaftNetworkV2<Types> for Link {
    type SnapshotData = Frozen;

    async fn append_entries(
        &mut self,
        append: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let patience = self.network.patience;
        let fail = |failure| self.rpc(RPCTypes::AppendEntries, patience, failure);
        let encoded = Message::encode_append(self.envelope(), &append);
        let (message, sent) = encoded.map_err(|e| fail(Failure::Refused(e.to_string())))?;
        let entries = append.entries.len();
        let timed = if entries == 0 { &self.meters.heartbeat } else { &self.meters.append };
        let timed = timed.start();
        let answer = self.send(message, patience).await.map_err(fail)?;
        drop(timed);
        if entries > 0 {
            self.meters.entries.add(entries as f64);
        }
        match answer {
            // There is nothing before the first entry that could differ.
            Answer::Append(AppendEntriesResponse::Conflict) if append.prev_log_id.is_none() => {
                Err(RPCError::Network(NetworkError::from_string("conflict before the first entry")))
            }
            Answer::Append(AppendEntriesResponse::Success) if sent < append.entries.len() => {
                let last = append.entries.get(sent.saturating_sub(1)).map(|entry| entry.log_id);
                Ok(AppendEntriesResponse::PartialSuccess(last))
            }
            Answer::Append(answer) => Ok(answer),
            other => Err(fail(Failure::nonsense(&other))),
        }
    }

    async fn vote(
        &mut self,
        vote: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let patience = option.hard_ttl();
        let fail = |failure| self.rpc(RPCTypes::Vote, patience, failure);
        match self.call(&Message::Vote(vote), patience).await.map_err(fail)? {
            Answer::Vote(answer) => Ok(answer),
            other => Err(fail(Failure::nonsense(&other))),
        }
    }

    async fn pre_vote(
        &mut self,
        vote: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let patience = option.hard_ttl();
        let fail = |failure| self.rpc(RPCTypes::Vote, patience, failure);
        match self.call(&Message::PreVote(vote), patience).await.map_err(fail)? {
            Answer::Vote(answer) => Ok(answer),
            other => Err(fail(Failure::nonsense(&other))),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: openraft::type_config::alias::SnapshotOf<Types, Frozen>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let fail = |failure| {
            StreamingError::from(self.rpc(RPCTypes::InstallSnapshot, PART_PATIENCE, failure))
        };
        let send = async {
            let unread = |e: std::io::Error| Failure::Refused(e.to_string());
            let content = snapshot.snapshot.content(&snapshot.meta, &self.network.tasks).await;
            let content = content.map_err(unread)?;
            let _timed = self.meters.install.start();
            self.send_whole(Whole::Snapshot(vote), &content, PART_PATIENCE).await
        };
        let answer = match select(std::pin::pin!(send), std::pin::pin!(cancel)).await {
            Either::Left((answer, _)) => answer.map_err(fail)?,
            Either::Right((closed, _)) => return Err(closed.into()),
        };
        match answer {
            Answer::Installed(vote) => Ok(SnapshotResponse::new(vote)),
            other => Err(fail(Failure::nonsense(&other))),
        }
    }

    async fn transfer_leader(
        &mut self,
        transfer: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        // From here on another may lead at any time.
        self.network.lease.give_up(transfer.from_leader().leader_id.term);
        let patience = option.hard_ttl();
        let fail = |failure| self.rpc(RPCTypes::TransferLeader, patience, failure);
        match self.call(&Message::Transfer(transfer), patience).await.map_err(fail)? {
            // Whether it has worked is seen by who leads then.
            Answer::Transfer(_) => Ok(Ok(())),
            other => Err(fail(Failure::nonsense(&other))),
        }
    }
}
