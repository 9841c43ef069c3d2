//! What servers tell each other, as bytes.
//!
//! A message is a version, a kind, who sent it, whom it is for, and the kind's content; an answer
//! is a version, the highest version that its sender reads, a kind and its content. Numbers are
//! LEB128, ids 16 bytes, what may be missing has a byte before it that says so. Entries are as
//! they are in the log, each with its length, to the end of the message. What is not read to its last byte is refused, so a
//! new field needs a new version; a server of version N reads N − 1 and answers in the version
//! that it was asked in.
//!
//! What servers do with it is in `network` (asking) and `service` (answering).

mod bytes;

use ::bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use uuid::Uuid;

use self::bytes::{Reader, Writer};
use crate::batch::{Entry, LogId, Types, Vote};

/// The version that is written, and the highest that is read.
pub(crate) const VERSION: u8 = 1;
/// The lowest version that is read.
const OLDEST: u8 = 1;
/// Most bytes of entries, of an archive or of a long message that go in one message.
pub(crate) const CHUNK: usize = 1 << 20;
/// Most bytes of a message or an answer: a chunk and what stands before it.
pub const MESSAGE_MAX: usize = CHUNK + 4096;
/// Most bytes that are taken for what comes in chunks.
pub(crate) const WHOLE_MAX: u64 = 4 << 30;

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("message of version {0}, but only {OLDEST} to {VERSION} are known")]
    Version(u8),
    #[error("message of unknown kind {0}")]
    Kind(u8),
    #[error("message is cut off")]
    CutOff,
    #[error("{0} bytes after the message")]
    TooLong(usize),
    #[error("invalid {0}")]
    Invalid(&'static str),
}

/// Whom a message is from and for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) from: Uuid,
    pub(crate) to: Uuid,
}

/// What a server tells another.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// Entries of the leader, or just a sign of its life.
    Append(AppendEntriesRequest<Types>),
    /// Asks for a vote.
    Vote(VoteRequest<Types>),
    /// Asks whether there would be one.
    PreVote(VoteRequest<Types>),
    /// The leader wants another to lead.
    Transfer(TransferLeaderRequest<Types>),
    /// A part of something long.
    Part(Part),
}

/// What comes in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    /// A message that is longer than one may be.
    Message,
    /// A snapshot, as the file that it is on disk, and the vote of the leader that sends it.
    Snapshot(Vote),
}

/// A part of something long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) whole: Whole,
    /// Tells it from others of this sender.
    pub(crate) stream: u64,
    /// Length of the whole.
    pub(crate) total: u64,
    /// Where the bytes belong.
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Append(AppendEntriesResponse<Types>),
    Vote(VoteResponse<Types>),
    /// Whether the transfer is being tried.
    Transfer(bool),
    /// The offset that is wanted next; the whole is not there yet.
    Next(u64),
    /// A snapshot was taken over, or refused because of a higher vote.
    Installed(Vote),
    /// Why there is no other answer.
    Refused(String),
}

const APPEND: u8 = 1;
const VOTE: u8 = 2;
const PRE_VOTE: u8 = 3;
const TRANSFER: u8 = 4;
const PART: u8 = 5;
const NEXT: u8 = 6;
const INSTALLED: u8 = 7;
const REFUSED: u8 = 8;

impl Message {
    pub(crate) fn encode(&self, envelope: Envelope) -> Result<Bytes, rmp_serde::encode::Error> {
        let kind = match self {
            Self::Append(append) => return Ok(Self::encode_append(envelope, append)?.0),
            Self::Vote(_) => VOTE,
            Self::PreVote(_) => PRE_VOTE,
            Self::Transfer(_) => TRANSFER,
            Self::Part(_) => PART,
        };
        let mut out = start(kind, envelope);
        match self {
            Self::Append(_) => {}
            Self::Vote(vote) | Self::PreVote(vote) => {
                out.vote(&vote.vote);
                out.log_id(vote.last_log_id.as_ref());
                out.flag(vote.leadership_transfer);
            }
            Self::Transfer(transfer) => {
                out.vote(transfer.from_leader());
                out.id(*transfer.to_node_id());
                out.log_id(transfer.last_log_id());
            }
            Self::Part(part) => {
                match &part.whole {
                    Whole::Message => out.byte(0),
                    Whole::Snapshot(vote) => {
                        out.byte(1);
                        out.vote(vote);
                    }
                }
                out.number(part.stream);
                out.number(part.total);
                out.number(part.offset);
                out.bytes(&part.bytes);
            }
        }
        Ok(out.finish())
    }

    /// Encodes as many entries as go in one message, but at least one; says how many.
    pub(crate) fn encode_append(
        envelope: Envelope,
        append: &AppendEntriesRequest<Types>,
    ) -> Result<(Bytes, usize), rmp_serde::encode::Error> {
        let mut out = start(APPEND, envelope);
        out.vote(&append.vote);
        out.log_id(append.prev_log_id.as_ref());
        out.log_id(append.leader_commit.as_ref());
        let mut sent = 0;
        for entry in &append.entries {
            let before = out.len();
            out.entry(entry)?;
            if sent > 0 && out.len() > CHUNK {
                out.truncate(before);
                break;
            }
            sent += 1;
        }
        Ok((out.finish(), sent))
    }

    pub(crate) fn decode(message: &Bytes) -> Result<(Envelope, Self), DecodeError> {
        let mut read = Reader::new(message);
        known(read.byte()?)?;
        let kind = read.byte()?;
        let envelope = Envelope { from: read.id()?, to: read.id()? };
        let message = match kind {
            APPEND => Self::Append(append(&mut read)?),
            VOTE => Self::Vote(vote(&mut read)?),
            PRE_VOTE => Self::PreVote(vote(&mut read)?),
            TRANSFER => {
                let (from, to) = (read.vote()?, read.id()?);
                Self::Transfer(TransferLeaderRequest::new(from, to, read.log_id()?))
            }
            PART => {
                let whole = match read.byte()? {
                    0 => Whole::Message,
                    1 => Whole::Snapshot(read.vote()?),
                    _ => return Err(DecodeError::Invalid("kind of part")),
                };
                let (stream, total, offset) = (read.number()?, read.number()?, read.number()?);
                let bytes = read.bytes()?;
                let end = offset.checked_add(bytes.len() as u64);
                if total > WHOLE_MAX || end.is_none_or(|end| end > total) {
                    return Err(DecodeError::Invalid("length of a part"));
                }
                Self::Part(Part { whole, stream, total, offset, bytes })
            }
            other => return Err(DecodeError::Kind(other)),
        };
        read.finish()?;
        Ok((envelope, message))
    }
}

/// The version of a message, to be answered in it; ours if it cannot be read.
pub(crate) fn version_of(message: &[u8]) -> u8 {
    message.first().copied().unwrap_or(VERSION).clamp(OLDEST, VERSION)
}

impl Answer {
    pub(crate) fn encode(&self, version: u8) -> Bytes {
        let mut out = Writer::new();
        out.byte(version);
        out.byte(VERSION);
        match self {
            Self::Append(append) => {
                out.byte(APPEND);
                match append {
                    AppendEntriesResponse::Success => out.byte(0),
                    AppendEntriesResponse::PartialSuccess(matching) => {
                        out.byte(1);
                        out.log_id(matching.as_ref());
                    }
                    AppendEntriesResponse::Conflict => out.byte(2),
                    AppendEntriesResponse::HigherVote(vote) => {
                        out.byte(3);
                        out.vote(vote);
                    }
                }
            }
            Self::Vote(vote) => {
                out.byte(VOTE);
                out.vote(&vote.vote);
                out.log_id(vote.last_log_id.as_ref());
                out.flag(vote.vote_granted);
            }
            Self::Transfer(tried) => {
                out.byte(TRANSFER);
                out.flag(*tried);
            }
            Self::Next(offset) => {
                out.byte(NEXT);
                out.number(*offset);
            }
            Self::Installed(vote) => {
                out.byte(INSTALLED);
                out.vote(vote);
            }
            Self::Refused(reason) => {
                out.byte(REFUSED);
                // No peer needs more of it.
                let reason: String = reason.chars().take(512).collect();
                out.bytes(reason.as_bytes());
            }
        }
        out.finish()
    }

    pub(crate) fn decode(answer: &Bytes) -> Result<Self, DecodeError> {
        let mut read = Reader::new(answer);
        known(read.byte()?)?;
        let _highest = read.byte()?;
        let answer = match read.byte()? {
            APPEND => Self::Append(match read.byte()? {
                0 => AppendEntriesResponse::Success,
                1 => AppendEntriesResponse::PartialSuccess(read.log_id()?),
                2 => AppendEntriesResponse::Conflict,
                3 => AppendEntriesResponse::HigherVote(read.vote()?),
                _ => return Err(DecodeError::Invalid("answer to entries")),
            }),
            VOTE => {
                let (vote, last) = (read.vote()?, read.log_id()?);
                Self::Vote(VoteResponse::new(vote, last, read.flag()?))
            }
            TRANSFER => Self::Transfer(read.flag()?),
            NEXT => Self::Next(read.number()?),
            INSTALLED => Self::Installed(read.vote()?),
            REFUSED => {
                let reason = read.bytes()?;
                Self::Refused(String::from_utf8_lossy(&reason).into_owned())
            }
            other => return Err(DecodeError::Kind(other)),
        };
        read.finish()?;
        Ok(answer)
    }
}

fn start(kind: u8, envelope: Envelope) -> Writer {
    let mut out = Writer::new();
    out.byte(VERSION);
    out.byte(kind);
    out.id(envelope.from);
    out.id(envelope.to);
    out
}

fn known(version: u8) -> Result<(), DecodeError> {
    if (OLDEST..=VERSION).contains(&version) { Ok(()) } else { Err(DecodeError::Version(version)) }
}

fn vote(read: &mut Reader<'_>) -> Result<VoteRequest<Types>, DecodeError> {
    let (vote, last_log_id) = (read.vote()?, read.log_id()?);
    Ok(VoteRequest { vote, last_log_id, leadership_transfer: read.flag()? })
}

fn append(read: &mut Reader<'_>) -> Result<AppendEntriesRequest<Types>, DecodeError> {
    let vote = read.vote()?;
    let (prev_log_id, leader_commit) = (read.log_id()?, read.log_id()?);
    let mut entries: Vec<Entry> = Vec::new();
    let mut before: Option<LogId> = prev_log_id;
    while !read.is_empty() {
        let entry = read.entry()?;
        // What the engine takes for granted is made sure of here.
        let follows = before.map_or(entry.log_id.index == 0, |before| {
            before.index.checked_add(1) == Some(entry.log_id.index)
                && before.leader_id <= entry.log_id.leader_id
        });
        if !follows {
            return Err(DecodeError::Invalid("order of entries"));
        }
        before = Some(entry.log_id);
        entries.push(entry);
    }
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

#[cfg(test)]
mod tests;
