//! Records of answers, and the answer as sections of records.
//!
//! How they are written is in [`crate::message`]; which there are, in the files of their kinds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::name::Name;
use crate::query::kind;

/// Whose record it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The name of the question, as it was spelled.
    Question,
    /// A name.
    Name(Name),
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// IPv4 address.
    A(Ipv4Addr),
    /// IPv6 address.
    Aaaa(Ipv6Addr),
    /// Another name of the same.
    Cname(Name),
    /// A name server.
    Ns(Name),
    /// A name for an address.
    Ptr(Name),
    /// An instance of a service.
    Srv {
        /// Share of the load, compared with other instances.
        weight: u16,
        /// Port.
        port: u16,
        /// Where.
        target: Name,
    },
    /// Texts, in wire form.
    Txt(Arc<[u8]>),
    /// The start of authority.
    Soa(Soa),
}

/// The start of authority of our domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Soa {
    /// Name server.
    pub server: Name,
    /// Mailbox.
    pub mailbox: Name,
    /// Serial number, refresh, retry, expire, TTL of negative answers.
    pub numbers: [u32; 5],
}

impl From<IpAddr> for Data {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::A(address),
            IpAddr::V6(address) => Self::Aaaa(address),
        }
    }
}

impl Data {
    /// The type of the record.
    #[must_use]
    pub const fn kind(&self) -> u16 {
        match self {
            Self::A(_) => kind::A,
            Self::Aaaa(_) => kind::AAAA,
            Self::Cname(_) => kind::CNAME,
            Self::Ns(_) => kind::NS,
            Self::Ptr(_) => kind::PTR,
            Self::Srv { .. } => kind::SRV,
            Self::Txt(_) => kind::TXT,
            Self::Soa(_) => kind::SOA,
        }
    }

    /// Length in the message with all names in full.
    #[must_use]
    pub fn full_length(&self) -> usize {
        match self {
            Self::A(_) => 4,
            Self::Aaaa(_) => 16,
            Self::Cname(name) | Self::Ns(name) | Self::Ptr(name) => name.len(),
            Self::Srv { target, .. } => 6 + target.len(),
            Self::Txt(text) => text.len(),
            Self::Soa(soa) => soa.server.len() + soa.mailbox.len() + 20,
        }
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose.
    pub owner: Owner,
    /// Seconds that it may be kept.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

impl Record {
    /// A record of the name in the question.
    #[must_use]
    pub const fn of_question(ttl: u32, data: Data) -> Self {
        Self { owner: Owner::Question, ttl, data }
    }
}

/// A record of the additional section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// The answer that it belongs to, which it goes with; none for all.
    pub of: Option<usize>,
    /// The record.
    pub record: Record,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Response code.
    pub rcode: u8,
    /// Whether we are an authority for it.
    pub authoritative: bool,
    /// Whether it says that we ask others, although there are none.
    pub recursion: bool,
    /// Whether the rules for the length of service answers apply.
    pub limited: bool,
    /// The answer.
    pub answers: Vec<Record>,
    /// The authority section.
    pub authority: Vec<Record>,
    /// The additional section.
    pub extras: Vec<Extra>,
}

impl Reply {
    /// An answer by an authority, still empty.
    #[must_use]
    pub fn authoritative() -> Self {
        Self { authoritative: true, ..Self::default() }
    }

    /// An error and nothing else.
    #[must_use]
    pub fn error(rcode: u8) -> Self {
        Self { rcode, authoritative: true, ..Self::default() }
    }
}
