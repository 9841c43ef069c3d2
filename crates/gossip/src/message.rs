//! Messages of the membership layer: what is in a packet, once it is unwrapped.
//!
//! Their first byte is their type. Streams have further types, see [`crate::stream`].

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::pack::{Malformed, Reader, Structure as _, Writer};

pub(crate) const PING: u8 = 0;
pub(crate) const INDIRECT_PING: u8 = 1;
pub(crate) const ACK: u8 = 2;
pub(crate) const SUSPECT: u8 = 3;
pub(crate) const ALIVE: u8 = 4;
pub(crate) const DEAD: u8 = 5;
pub(crate) const PUSH_PULL: u8 = 6;
pub(crate) const COMPOUND: u8 = 7;
pub(crate) const USER: u8 = 8;
pub(crate) const COMPRESS: u8 = 9;
pub(crate) const ENCRYPT: u8 = 10;
pub(crate) const NACK: u8 = 11;
pub(crate) const CRC: u8 = 12;
pub(crate) const ERROR: u8 = 13;
pub(crate) const LABEL: u8 = 244;

/// Largest metadata of a node, encoded.
pub const META_MAX: usize = 512;

/// Protocol versions: least, most and current of the membership and of the event layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Versions(pub [u8; 6]);

impl Versions {
    /// What this implementation sends.
    pub const OURS: Self = Self([1, 5, 2, 2, 5, 4]);

    /// The highest version of the membership layer that the node understands.
    #[must_use]
    pub const fn max(self) -> u8 {
        self.0[1]
    }

    /// Whether the ranges are proper.
    #[must_use]
    pub const fn is_proper(self) -> bool {
        let Self([min, max, _, event_min, event_max, _]) = self;
        min > 0 && max > 0 && min <= max && event_min > 0 && event_max > 0 && event_min <= event_max
    }
}

/// Asks a node whether it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ping {
    /// Comes back in the answer.
    pub seq: u32,
    /// Whom it is for; any other node ignores it. Empty: whoever gets it.
    pub node: String,
    /// Who asks, and where the answer goes; `None` from old nodes.
    pub source: Option<Source>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where the answer goes.
    pub address: SocketAddr,
    /// The node's name.
    pub node: String,
}

/// Asks a node to ask another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndirectPing {
    /// Comes back in the answer.
    pub seq: u32,
    /// Whom to ask.
    pub target: IpAddr,
    /// At which port; 0 is the asker's own.
    pub port: u16,
    /// Whom to ask.
    pub node: String,
    /// Whether a failure is to be reported.
    pub nack: bool,
    /// Who asks.
    pub source: Option<Source>,
}

/// An accusation: [`Message::Suspect`] or [`Message::Dead`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accusation {
    /// The incarnation that the accuser knows.
    pub incarnation: u32,
    /// Who is accused.
    pub node: String,
    /// Who accuses. For [`Message::Dead`], the node itself says that it leaves.
    pub from: String,
}

/// A node as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alive {
    /// Grows with everything that the node says about itself.
    pub incarnation: u32,
    /// The node's name.
    pub node: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Its tags, encoded.
    pub meta: Vec<u8>,
    /// What it speaks.
    pub versions: Versions,
}

/// A message of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Are you there?
    Ping(Ping),
    /// Is that one there?
    IndirectPing(IndirectPing),
    /// I am; with what the layer above wants to say along with it.
    Ack {
        /// Of the ping.
        seq: u32,
        /// Of the layer above.
        payload: Vec<u8>,
    },
    /// It does not answer me either.
    Nack {
        /// Of the indirect ping.
        seq: u32,
    },
    /// A node does not answer.
    Suspect(Accusation),
    /// A node is here.
    Alive(Alive),
    /// A node is gone.
    Dead(Accusation),
    /// A message of the layer above.
    User(Vec<u8>),
}

impl Message {
    /// The message, its type first.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ping(ping) => {
                let mut out = Writer::message(PING);
                out.map(2 + source_fields(ping.source.as_ref()));
                out.raw("Node").raw(&ping.node).raw("SeqNo").uint(ping.seq.into());
                write_source(&mut out, ping.source.as_ref());
                out.into_bytes()
            }
            Self::IndirectPing(ping) => {
                let mut out = Writer::message(INDIRECT_PING);
                out.map(5 + source_fields(ping.source.as_ref()));
                out.raw("Nack").bool(ping.nack).raw("Node").raw(&ping.node);
                out.raw("Port").uint(ping.port.into()).raw("SeqNo").uint(ping.seq.into());
                write_source(&mut out, ping.source.as_ref());
                out.raw("Target");
                write_address(&mut out, ping.target);
                out.into_bytes()
            }
            Self::Ack { seq, payload } => {
                let mut out = Writer::message(ACK);
                out.map(2).raw("Payload").raw_or_nil(payload).raw("SeqNo").uint((*seq).into());
                out.into_bytes()
            }
            Self::Nack { seq } => {
                let mut out = Writer::message(NACK);
                out.map(1).raw("SeqNo").uint((*seq).into());
                out.into_bytes()
            }
            Self::Suspect(accusation) => accusation.encode(SUSPECT),
            Self::Dead(accusation) => accusation.encode(DEAD),
            Self::Alive(alive) => {
                let mut out = Writer::message(ALIVE);
                out.map(6).raw("Addr");
                write_address(&mut out, alive.address.ip());
                out.raw("Incarnation").uint(alive.incarnation.into());
                out.raw("Meta").raw_or_nil(&alive.meta).raw("Node").raw(&alive.node);
                out.raw("Port").uint(alive.address.port().into()).raw("Vsn").raw(alive.versions.0);
                out.into_bytes()
            }
            Self::User(message) => {
                let mut out = Vec::with_capacity(1 + message.len());
                out.push(USER);
                out.extend_from_slice(message);
                out
            }
        }
    }

    /// Reads a message, its type first. What follows it is ignored, as it is by others.
    ///
    /// # Errors
    /// When it is none of a packet's messages, or cut off.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        Ok(match reader.byte()? {
            PING => Self::Ping(Ping::read(&mut reader)?),
            INDIRECT_PING => Self::IndirectPing(IndirectPing::read(&mut reader)?),
            ACK => {
                let (mut seq, mut payload) = (0, Vec::new());
                reader.structure(|key, r| {
                    match key {
                        b"SeqNo" => seq = r.fit()?,
                        b"Payload" => payload = r.raw()?.to_vec(),
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?;
                Self::Ack { seq, payload }
            }
            NACK => {
                let mut seq = 0;
                reader.structure(|key, r| {
                    let known = key == b"SeqNo";
                    if known {
                        seq = r.fit()?;
                    }
                    Ok(known)
                })?;
                Self::Nack { seq }
            }
            SUSPECT => Self::Suspect(Accusation::read(&mut reader)?),
            DEAD => Self::Dead(Accusation::read(&mut reader)?),
            ALIVE => Self::Alive(Alive::read(&mut reader)?),
            USER => Self::User(reader.rest().to_vec()),
            kind => return Err(Malformed::Kind(kind)),
        })
    }
}

impl Ping {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut this = Self::default();
        let mut source = PartialSource::default();
        reader.structure(|key, r| {
            match key {
                b"SeqNo" => this.seq = r.fit()?,
                b"Node" => r.text()?.clone_into(&mut this.node),
                _ => return source.field(key, r),
            }
            Ok(true)
        })?;
        this.source = source.whole()?;
        Ok(this)
    }
}

impl IndirectPing {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (mut seq, mut port, mut node, mut nack) = (0, 0, String::new(), false);
        let mut target: &[u8] = &[];
        let mut source = PartialSource::default();
        reader.structure(|key, r| {
            match key {
                b"SeqNo" => seq = r.fit()?,
                b"Port" => port = r.fit()?,
                b"Node" => r.text()?.clone_into(&mut node),
                b"Nack" => nack = r.bool()?,
                b"Target" => target = r.raw()?,
                _ => return source.field(key, r),
            }
            Ok(true)
        })?;
        let source = source.whole()?;
        Ok(Self { seq, target: address(target)?, port, node, nack, source })
    }
}

impl Accusation {
    fn encode(&self, kind: u8) -> Vec<u8> {
        let mut out = Writer::message(kind);
        out.map(3).raw("From").raw(&self.from);
        out.raw("Incarnation").uint(self.incarnation.into()).raw("Node").raw(&self.node);
        out.into_bytes()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut this = Self { incarnation: 0, node: String::new(), from: String::new() };
        reader.structure(|key, r| {
            match key {
                b"Incarnation" => this.incarnation = r.fit()?,
                b"Node" => r.text()?.clone_into(&mut this.node),
                b"From" => r.text()?.clone_into(&mut this.from),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(this)
    }
}

impl Alive {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (mut incarnation, mut port, mut node) = (0, 0, String::new());
        let (mut ip, mut meta, mut versions): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
        reader.structure(|key, r| {
            match key {
                b"Incarnation" => incarnation = r.fit()?,
                b"Node" => r.text()?.clone_into(&mut node),
                b"Addr" => ip = r.raw()?,
                b"Port" => port = r.fit()?,
                b"Meta" => meta = r.raw()?,
                b"Vsn" => versions = r.raw()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        if meta.len() > META_MAX {
            return Err(Malformed::TooLarge);
        }
        Ok(Self {
            incarnation,
            node,
            address: SocketAddr::new(address(ip)?, port),
            meta: meta.to_vec(),
            // Nodes that say nothing, or too little, are refused by the rules for joining.
            versions: Versions(versions.try_into().unwrap_or_default()),
        })
    }
}

/// An address of 4 or 16 bytes.
///
/// # Errors
/// When it has another length.
pub(crate) fn address(bytes: &[u8]) -> Result<IpAddr, Malformed> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Ok(four.into());
    }
    let sixteen = <[u8; 16]>::try_from(bytes).map_err(|_| Malformed::Type)?;
    // IPv4 in the form of IPv6 is what some networking libraries hand out for IPv4.
    Ok(Ipv6Addr::from(sixteen).to_canonical())
}

pub(crate) fn write_address(out: &mut Writer, address: IpAddr) {
    match address {
        IpAddr::V4(ip) => out.raw(ip.octets()),
        IpAddr::V6(ip) => out.raw(ip.octets()),
    };
}

const fn source_fields(source: Option<&Source>) -> usize {
    match source {
        Some(_) => 3,
        None => 0,
    }
}

fn write_source(out: &mut Writer, source: Option<&Source>) {
    if let Some(source) = source {
        out.raw("SourceAddr");
        write_address(out, source.address.ip());
        out.raw("SourceNode").raw(&source.node);
        out.raw("SourcePort").uint(source.address.port().into());
    }
}

#[derive(Default)]
struct PartialSource<'a> {
    address: &'a [u8],
    port: u16,
    node: &'a str,
}

impl<'a> PartialSource<'a> {
    fn field(&mut self, key: &[u8], reader: &mut Reader<'a>) -> Result<bool, Malformed> {
        match key {
            b"SourceAddr" => self.address = reader.raw()?,
            b"SourcePort" => self.port = reader.fit()?,
            b"SourceNode" => self.node = reader.text()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn whole(self) -> Result<Option<Source>, Malformed> {
        if self.address.is_empty() || self.port == 0 {
            return Ok(None);
        }
        let address = SocketAddr::new(address(self.address)?, self.port);
        Ok(Some(Source { address, node: self.node.to_owned() }))
    }
}
