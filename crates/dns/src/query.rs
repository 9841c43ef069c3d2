//! Questions as they arrive: header, question, and the options of EDNS.
//!
//! Strict where it matters for an answer, indifferent to the rest: unknown records and options
//! are skipped. Follows RFC 1035, 6891 and 7871.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::name::{NAME_MAX, NameBuf};

/// Length of a header.
pub const HEADER: usize = 12;
/// Largest answer over UDP to who says nothing about it.
pub const UDP_SIZE: u16 = 512;
/// Records that are looked through for EDNS.
const RECORDS_MAX: u16 = 16;

/// Types of records.
pub mod kind {
    #![allow(missing_docs)]
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const OPT: u16 = 41;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const ANY: u16 = 255;
}

/// Response codes.
pub mod rcode {
    #![allow(missing_docs)]
    pub const NOERROR: u8 = 0;
    pub const FORMERR: u8 = 1;
    pub const SERVFAIL: u8 = 2;
    pub const NXDOMAIN: u8 = 3;
    pub const NOTIMP: u8 = 4;
    pub const REFUSED: u8 = 5;
}

/// Bits of the header's flags.
pub mod flag {
    #![allow(missing_docs)]
    pub const QR: u16 = 0x8000;
    pub const OPCODE: u16 = 0x7800;
    pub const AA: u16 = 0x0400;
    pub const TC: u16 = 0x0200;
    pub const RD: u16 = 0x0100;
    pub const RA: u16 = 0x0080;
    pub const CD: u16 = 0x0010;
}

/// A client's network, as a resolver in between tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The network; bits beyond the prefix are zero.
    pub address: IpAddr,
    /// Bits of it that are known.
    pub prefix: u8,
}

/// EDNS of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// Largest answer that the client takes, as it says.
    pub size: u16,
    /// Version; only 0 exists.
    pub version: u8,
    /// Client subnet.
    pub subnet: Option<Subnet>,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// To tell answers apart.
    pub id: u16,
    /// Flags as they came.
    pub flags: u16,
    /// Name, type and class as they came, for the answer.
    pub question: NameBuf,
    /// The name in lower case.
    pub name: NameBuf,
    /// Type of the records asked for.
    pub kind: u16,
    /// EDNS, if the client speaks it.
    pub edns: Option<Edns>,
}

/// Why there is no question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswerable {
    /// No answer is due: too short, or itself an answer.
    Ignore,
    /// The header was understood, nothing else.
    Refuse {
        /// Of the message.
        id: u16,
        /// Of the message.
        flags: u16,
        /// What to answer.
        rcode: u8,
    },
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Where the name at `at` ends; pointers are not followed.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = *message.get(at)?;
        match length {
            0 => return Some(at + 1),
            1..=63 => at += 1 + usize::from(length),
            0xC0..=0xFF => return message.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
    }
}

impl Query {
    /// Reads a message.
    ///
    /// # Errors
    /// When it is no question, or none that can be understood.
    pub fn parse(message: &[u8]) -> Result<Self, Unanswerable> {
        let (Some(id), Some(flags)) = (short(message, 0), short(message, 2)) else {
            return Err(Unanswerable::Ignore);
        };
        if message.len() < HEADER || flags & flag::QR != 0 {
            return Err(Unanswerable::Ignore);
        }
        let refuse = |rcode| Unanswerable::Refuse { id, flags, rcode };
        if flags & flag::OPCODE != 0 {
            return Err(refuse(rcode::NOTIMP));
        }
        if short(message, 4) != Some(1) {
            return Err(refuse(rcode::FORMERR));
        }
        Self::body(message, id, flags).ok_or(refuse(rcode::FORMERR))
    }

    fn body(message: &[u8], id: u16, flags: u16) -> Option<Self> {
        let mut end = HEADER;
        loop {
            match *message.get(end)? {
                0 => break,
                // A pointer in the only name could lead only backwards, into the header.
                length @ 1..=63 => end += 1 + usize::from(length),
                _ => return None,
            }
        }
        end += 1;
        if end - HEADER > NAME_MAX {
            return None;
        }
        let question = message.get(HEADER..end + 4)?;
        let mut name = NameBuf::from_slice(&message[HEADER..end]);
        // Lengths are below any letter.
        name.make_ascii_lowercase();
        let kind = short(message, end)?;
        let edns = Self::edns(message, end + 4)?;
        Some(Self { id, flags, question: NameBuf::from_slice(question), name, kind, edns })
    }

    /// Looks for EDNS behind the question; `None` when the message is broken.
    fn edns(message: &[u8], mut at: usize) -> Option<Option<Edns>> {
        let counts = [short(message, 6)?, short(message, 8)?, short(message, 10)?];
        let records = counts.iter().fold(0_u16, |sum, count| sum.saturating_add(*count));
        if records > RECORDS_MAX {
            return None;
        }
        let mut found = None;
        for _ in 0..records {
            let start = at;
            at = skip_name(message, at)?;
            let (kind, size) = (short(message, at)?, short(message, at + 2)?);
            let version = *message.get(at + 5)?;
            let length = usize::from(short(message, at + 8)?);
            let data = message.get(at + 10..at + 10 + length)?;
            at += 10 + length;
            if kind == kind::OPT {
                // One, at the root.
                if found.is_some() || message[start] != 0 {
                    return None;
                }
                found = Some(Edns { size, version, subnet: subnet(data)? });
            }
        }
        Some(found)
    }

    /// Largest answer over UDP.
    #[must_use]
    pub fn udp_size(&self) -> usize {
        // No datagram is larger than this, whatever the client wishes.
        let size = self.edns.map_or(UDP_SIZE, |edns| edns.size.clamp(UDP_SIZE, 65_507));
        usize::from(size)
    }

    /// The name as it came.
    #[must_use]
    pub fn spelled(&self) -> &[u8] {
        &self.question[..self.question.len() - 4]
    }
}

/// The client subnet among the options; `None` when they are broken.
fn subnet(mut options: &[u8]) -> Option<Option<Subnet>> {
    const CLIENT_SUBNET: u16 = 8;
    let mut found = None;
    while !options.is_empty() {
        let (code, length) = (short(options, 0)?, usize::from(short(options, 2)?));
        let data = options.get(4..4 + length)?;
        options = &options[4 + length..];
        if code == CLIENT_SUBNET && found.is_none() {
            let (family, prefix) = (short(data, 0)?, *data.get(2)?);
            let bytes = data.get(4..)?;
            let (most, wanted) = match family {
                1 => (32, 4),
                2 => (128, 16),
                _ => continue,
            };
            if prefix > most || bytes.len() > wanted {
                return None;
            }
            let mut whole = [0_u8; 16];
            for (at, byte) in bytes.iter().enumerate() {
                let known = usize::from(prefix).saturating_sub(at * 8).min(8);
                // The cast keeps the low byte, which is what the shift is for.
                let mask = u8::try_from((0xFF00_u16 >> known) & 0xFF).unwrap_or(0);
                whole[at] = byte & mask;
            }
            let address = if family == 1 {
                Ipv4Addr::new(whole[0], whole[1], whole[2], whole[3]).into()
            } else {
                Ipv6Addr::from(whole).into()
            };
            found = Some(Subnet { address, prefix });
        }
    }
    Some(found)
}
