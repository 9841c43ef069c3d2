//! Messages of streams: one request and, mostly, one answer on a connection.
//!
//! A stream has no frame of its own unless it is encrypted, so a reader asks [`decode`] again until
//! the message is whole. Layers from outside: encryption, compression.

use std::net::SocketAddr;

use crate::keyring::Keyring;
use crate::message::{
    ACK, COMPRESS, ENCRYPT, ERROR, Message, PING, PUSH_PULL, Ping, USER, Versions, address,
    write_address,
};
use crate::pack::{Malformed, Reader, Structure as _, Writer};
use crate::packet::{Incoming, compress, decompress};

/// Longest stream that is read: 20 MiB, the limit of newer agents.
pub const STREAM_MAX: usize = 20 << 20;
/// Most nodes of one exchange.
const NODES_MAX: usize = 1 << 20;
/// Longest that an error's text may be.
const ERROR_MAX: usize = 4096;

/// How a node is, as others say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeState {
    /// It answers.
    #[default]
    Alive,
    /// It does not, but may be.
    Suspect,
    /// It does not, and is given up.
    Dead,
    /// It said that it leaves. Old agents do not tell this from dead.
    Left,
}

/// A node in an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEntry {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Its tags, encoded.
    pub meta: Vec<u8>,
    /// Its incarnation.
    pub incarnation: u32,
    /// How it is.
    pub state: NodeState,
    /// What it speaks.
    pub versions: Versions,
}

/// All that a node knows, for another one that does the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushPull {
    /// Whether this is how a node joins.
    pub join: bool,
    /// All nodes, the sender too.
    pub nodes: Vec<NodeEntry>,
    /// What the layer above knows.
    pub user_state: Vec<u8>,
}

/// What comes on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamMessage {
    /// An exchange of all that is known, or its answer.
    PushPull(PushPull),
    /// Are you there, where packets get lost?
    Ping(Ping),
    /// I am.
    Ack {
        /// Of the ping.
        seq: u32,
    },
    /// A message of the layer above.
    User(Vec<u8>),
    /// The other side could not read what it was sent.
    Error(String),
}

impl StreamMessage {
    /// All bytes of the stream, compressed as others do, and encrypted if there is a key.
    #[must_use]
    pub fn encode(&self, keyring: &Keyring, nonce: impl FnOnce() -> [u8; 12]) -> Vec<u8> {
        seal(compress(&self.plain()), keyring, nonce)
    }

    /// The message without the layers around it, its type first.
    #[must_use]
    pub fn plain(&self) -> Vec<u8> {
        match self {
            Self::Ping(ping) => Message::Ping(ping.clone()).encode(),
            Self::Ack { seq } => Message::Ack { seq: *seq, payload: Vec::new() }.encode(),
            Self::User(message) => {
                let mut out = Writer::message(USER);
                out.map(1).raw("UserMsgLen").uint(message.len() as u64).append(message);
                out.into_bytes()
            }
            Self::Error(text) => {
                let mut out = Writer::message(ERROR);
                out.map(1).raw("Error").raw(text);
                out.into_bytes()
            }
            Self::PushPull(state) => {
                let mut out = Writer::message(PUSH_PULL);
                out.map(3).raw("Join").bool(state.join);
                out.raw("Nodes").uint(state.nodes.len() as u64);
                out.raw("UserStateLen").uint(state.user_state.len() as u64);
                for node in &state.nodes {
                    node.write(&mut out);
                }
                out.append(&state.user_state);
                out.into_bytes()
            }
        }
    }
}

/// A message, compressed or as it is, encrypted if there is a key.
#[must_use]
pub fn seal(message: Vec<u8>, keyring: &Keyring, nonce: impl FnOnce() -> [u8; 12]) -> Vec<u8> {
    if keyring.is_empty() {
        return message;
    }
    let length = message.len() + crate::keyring::OVERHEAD;
    let mut head = vec![ENCRYPT];
    head.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    let mut out = Vec::with_capacity(head.len() + length);
    out.extend_from_slice(&head);
    keyring.seal(&message, &head, nonce(), &mut out);
    out
}

impl NodeEntry {
    fn write(&self, out: &mut Writer) {
        out.map(7).raw("Addr");
        write_address(out, self.address.ip());
        out.raw("Incarnation").uint(self.incarnation.into());
        out.raw("Meta").raw_or_nil(&self.meta).raw("Name").raw(&self.name);
        out.raw("Port").uint(self.address.port().into()).raw("State").uint(self.state as u64);
        out.raw("Vsn").raw(self.versions.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (mut name, mut port, mut incarnation, mut state) = (String::new(), 0, 0, 0);
        let (mut ip, mut meta, mut versions): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
        reader.structure(|key, r| {
            match key {
                b"Name" => r.text()?.clone_into(&mut name),
                b"Addr" => ip = r.raw()?,
                b"Port" => port = r.fit()?,
                b"Meta" => meta = r.raw()?,
                b"Incarnation" => incarnation = r.fit()?,
                b"State" => state = r.fit::<u8>()?,
                b"Vsn" => versions = r.raw()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        if meta.len() > crate::message::META_MAX {
            return Err(Malformed::TooLarge);
        }
        Ok(Self {
            name,
            address: SocketAddr::new(address(ip)?, port),
            meta: meta.to_vec(),
            incarnation,
            state: match state {
                0 => NodeState::Alive,
                1 => NodeState::Suspect,
                2 => NodeState::Dead,
                3 => NodeState::Left,
                _ => return Err(Malformed::Range),
            },
            versions: Versions(versions.try_into().unwrap_or_default()),
        })
    }
}

/// The message of a stream, once `bytes` hold all of it.
///
/// # Errors
/// [`Malformed::Incomplete`] asks for more of the stream; anything else ends it.
pub fn decode(
    bytes: &[u8],
    keyring: &Keyring,
    incoming: Incoming,
) -> Result<StreamMessage, Malformed> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? == ENCRYPT {
        if keyring.is_empty() {
            return Err(Malformed::Encrypted);
        }
        let length = reader.take(4)?.iter().fold(0, |all, byte| all << 8 | usize::from(*byte));
        if length > STREAM_MAX {
            return Err(Malformed::TooLarge);
        }
        let plain = keyring.open(reader.take(length)?, &bytes[..5])?;
        return inner(&plain).map_err(closed);
    }
    if !keyring.is_empty() && incoming == Incoming::Encrypted {
        return Err(Malformed::NotEncrypted);
    }
    inner(bytes)
}

/// What is framed is all there.
const fn closed(error: Malformed) -> Malformed {
    match error {
        Malformed::Incomplete => Malformed::Type,
        error => error,
    }
}

fn inner(bytes: &[u8]) -> Result<StreamMessage, Malformed> {
    if bytes.first() == Some(&COMPRESS) {
        // Whether it is whole is seen before it is decompressed.
        Reader::new(&bytes[1..]).skip()?;
        return plain(&decompress(&bytes[1..], STREAM_MAX).map_err(closed)?).map_err(closed);
    }
    plain(bytes)
}

fn plain(bytes: &[u8]) -> Result<StreamMessage, Malformed> {
    let mut reader = Reader::new(bytes);
    Ok(match reader.byte()? {
        PUSH_PULL => {
            let (mut join, mut count, mut length) = (false, 0, 0);
            reader.structure(|key, r| {
                match key {
                    b"Join" => join = r.bool()?,
                    b"Nodes" => count = r.fit::<usize>()?,
                    b"UserStateLen" => length = r.fit::<usize>()?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
            if count > NODES_MAX || length > STREAM_MAX {
                return Err(Malformed::TooLarge);
            }
            // The count is the sender's word: room is made as they come.
            let mut nodes = Vec::new();
            for _ in 0..count {
                nodes.push(NodeEntry::read(&mut reader)?);
            }
            let user_state = reader.take(length)?.to_vec();
            StreamMessage::PushPull(PushPull { join, nodes, user_state })
        }
        PING => StreamMessage::Ping(Ping::read(&mut reader)?),
        ACK => match Message::decode(bytes)? {
            Message::Ack { seq, .. } => StreamMessage::Ack { seq },
            _ => return Err(Malformed::Type),
        },
        USER => {
            let mut length = 0;
            reader.structure(|key, r| {
                let known = key == b"UserMsgLen";
                if known {
                    length = r.fit::<usize>()?;
                }
                Ok(known)
            })?;
            if length > STREAM_MAX {
                return Err(Malformed::TooLarge);
            }
            StreamMessage::User(reader.take(length)?.to_vec())
        }
        ERROR => {
            let mut text = String::new();
            reader.structure(|key, r| {
                let known = key == b"Error";
                if known {
                    let raw = r.raw()?;
                    text = String::from_utf8_lossy(&raw[..raw.len().min(ERROR_MAX)]).into_owned();
                }
                Ok(known)
            })?;
            StreamMessage::Error(text)
        }
        kind => return Err(Malformed::Kind(kind)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state() -> PushPull {
        let node = |name: &str, port| NodeEntry {
            name: name.to_owned(),
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            meta: vec![0xff, 0x80],
            incarnation: 3,
            state: NodeState::Suspect,
            versions: Versions::OURS,
        };
        PushPull { join: true, nodes: vec![node("a", 1), node("b", 2)], user_state: vec![7; 40] }
    }

    #[test]
    fn a_stream_is_read_once_it_is_whole() {
        let key = Keyring::new([&[1_u8; 32][..]]).unwrap();
        let sent = [
            StreamMessage::PushPull(state()),
            StreamMessage::Ping(Ping { seq: 4, node: "a".into(), source: None }),
            StreamMessage::Ack { seq: 4 },
            StreamMessage::User(b"hello".to_vec()),
            StreamMessage::Error("no".into()),
        ];
        for message in sent {
            let plain = (message.plain(), Keyring::default());
            let packed = (message.encode(&Keyring::default(), || [0; 12]), Keyring::default());
            let sealed = (message.encode(&key, || [0; 12]), key.clone());
            for (bytes, keyring) in [plain, packed, sealed] {
                for end in 0..bytes.len() {
                    let part = decode(&bytes[..end], &keyring, Incoming::Encrypted);
                    assert_eq!(part, Err(Malformed::Incomplete), "{message:?} at {end}");
                }
                assert_eq!(decode(&bytes, &keyring, Incoming::Encrypted), Ok(message.clone()));
            }
        }
    }

    #[test]
    fn both_sides_must_agree_on_encryption() {
        let key = Keyring::new([&[1_u8; 16][..]]).unwrap();
        let message = StreamMessage::Ack { seq: 1 };
        let plain = message.encode(&Keyring::default(), || [0; 12]);
        let sealed = message.encode(&key, || [0; 12]);
        assert_eq!(decode(&plain, &key, Incoming::Encrypted), Err(Malformed::NotEncrypted));
        assert_eq!(decode(&plain, &key, Incoming::Either), Ok(message));
        let open = decode(&sealed, &Keyring::default(), Incoming::Encrypted);
        assert_eq!(open, Err(Malformed::Encrypted));
        let other = Keyring::new([&[2_u8; 16][..]]).unwrap();
        assert_eq!(decode(&sealed, &other, Incoming::Encrypted), Err(Malformed::Key));
    }

    proptest! {
        #[test]
        fn no_stream_does_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes, &Keyring::default(), Incoming::Encrypted);
        }
    }
}
