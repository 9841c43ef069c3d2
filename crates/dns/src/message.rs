//! Writes messages: header, question, records, with compressed names.
//!
//! Targets of SRV records are written in full (RFC 2782), but other names may point into them.
//! What fits is decided in [`crate::fit`].

use smallvec::SmallVec;

use crate::name::labels;
use crate::query::{Edns, HEADER, Query, flag, kind};
use crate::record::{Data, Extra, Owner, Record, Reply};

/// A pointer to the name in the question, which follows the header.
const TO_QUESTION: [u8; 2] = [0xC0, 12];
/// Pointers lead no farther.
const POINTER_MAX: usize = 0x3FFF;
/// Names that are remembered for compression; those of SRV targets are kept apart.
const REMEMBERED: usize = 24;
/// Class of the Internet.
const IN: [u8; 2] = [0, 1];

/// Bits that the listener decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Names may be compressed.
    pub compress: bool,
    /// We ask others for what we do not know.
    pub recursion: bool,
}

/// A message in the making, at the end of a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    base: usize,
    compress: bool,
    /// Where labels begin that later names may end with.
    known: SmallVec<[u16; REMEMBERED]>,
    /// Where the targets of SRV records are, by answer.
    targets: SmallVec<[u16; 16]>,
}

impl<'a> Writer<'a> {
    /// Begins a message with its header and the question.
    pub fn begin(out: &'a mut Vec<u8>, query: &Query, style: Style) -> Self {
        let base = out.len();
        out.extend_from_slice(&query.id.to_be_bytes());
        out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&query.question);
        let mut writer = Self {
            out,
            base,
            compress: style.compress,
            known: SmallVec::new(),
            targets: SmallVec::new(),
        };
        if style.compress {
            let mut at = HEADER;
            for label in labels(query.spelled()) {
                writer.remember(at);
                at += 1 + label.len();
            }
        }
        writer
    }

    fn remember(&mut self, at: usize) {
        if self.known.len() < REMEMBERED
            && at <= POINTER_MAX
            && let Ok(at) = u16::try_from(at)
        {
            self.known.push(at);
        }
    }

    /// Whether the name at `at` of the message is `name`.
    fn is_at(&self, mut at: usize, mut name: &[u8]) -> bool {
        let message = &self.out[self.base..];
        loop {
            match message.get(at) {
                Some(high @ 0xC0..) => {
                    let low = message.get(at + 1).copied().unwrap_or(0);
                    at = usize::from(u16::from_be_bytes([high & 0x3F, low]));
                }
                Some(0) => return name == [0],
                Some(length) => {
                    let length = 1 + usize::from(*length);
                    if message.get(at..at + length) != name.get(..length) {
                        return false;
                    }
                    at += length;
                    name = &name[length..];
                }
                None => return false,
            }
        }
    }

    /// Writes a name that may be compressed.
    fn name(&mut self, name: &[u8]) {
        if !self.compress {
            self.out.extend_from_slice(name);
            return;
        }
        let mut rest = name;
        while let Some(length) = rest.first().copied().filter(|length| *length != 0) {
            let found = self.known.iter().find(|at| self.is_at(usize::from(**at), rest));
            if let Some(at) = found {
                self.out.extend_from_slice(&(0xC000 | *at).to_be_bytes());
                return;
            }
            self.remember(self.out.len() - self.base);
            let (label, after) = rest.split_at(1 + usize::from(length));
            self.out.extend_from_slice(label);
            rest = after;
        }
        self.out.push(0);
    }

    fn owner(&mut self, owner: &Owner, query: &Query) {
        match owner {
            Owner::Question if self.compress => self.out.extend_from_slice(&TO_QUESTION),
            Owner::Question => self.out.extend_from_slice(query.spelled()),
            Owner::Name(name) => self.name(name),
        }
    }

    /// Writes a record behind its owner.
    fn rest(&mut self, record: &Record) {
        self.out.extend_from_slice(&record.data.kind().to_be_bytes());
        self.out.extend_from_slice(&IN);
        self.out.extend_from_slice(&record.ttl.to_be_bytes());
        let length_at = self.out.len();
        self.out.extend_from_slice(&[0, 0]);
        match &record.data {
            Data::A(address) => self.out.extend_from_slice(&address.octets()),
            Data::Aaaa(address) => self.out.extend_from_slice(&address.octets()),
            Data::Cname(name) | Data::Ns(name) | Data::Ptr(name) => self.name(name),
            Data::Srv { weight, port, target } => {
                // All have the same priority.
                self.out.extend_from_slice(&[0, 1]);
                self.out.extend_from_slice(&weight.to_be_bytes());
                self.out.extend_from_slice(&port.to_be_bytes());
                let at = u16::try_from(self.out.len() - self.base).unwrap_or(u16::MAX);
                self.targets.push(at);
                self.out.extend_from_slice(target);
            }
            Data::Txt(text) => self.out.extend_from_slice(text),
            Data::Soa(soa) => {
                self.name(&soa.server);
                self.name(&soa.mailbox);
                for number in soa.numbers {
                    self.out.extend_from_slice(&number.to_be_bytes());
                }
            }
        }
        let length = u16::try_from(self.out.len() - length_at - 2).unwrap_or(u16::MAX);
        self.out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
    }

    /// Writes a record of the answer or authority section.
    pub fn record(&mut self, record: &Record, query: &Query) {
        self.owner(&record.owner, query);
        self.rest(record);
    }

    /// Writes a record of the additional section.
    pub fn extra(&mut self, extra: &Extra, query: &Query) {
        let target = extra.of.and_then(|answer| self.targets.get(answer)).copied();
        match (target, &extra.record.owner) {
            (Some(at), Owner::Name(name))
                if self.compress
                    && usize::from(at) <= POINTER_MAX
                    && self.is_at(usize::from(at), name) =>
            {
                self.out.extend_from_slice(&(0xC000 | at).to_be_bytes());
            }
            (_, owner) => self.owner(owner, query),
        }
        self.rest(&extra.record);
    }

    /// An address of the name in the question, the shortest way.
    pub fn address(&mut self, head: &[u8; 10], octets: &[u8], query: &Query) {
        self.owner(&Owner::Question, query);
        self.out.extend_from_slice(head);
        self.out.extend_from_slice(octets);
    }

    /// Length so far.
    #[must_use]
    pub fn length(&self) -> usize {
        self.out.len() - self.base
    }

    /// Ends the message: EDNS, flags and counts.
    pub fn end(self, query: &Query, reply: &Reply, counts: [usize; 3], bits: u16) {
        let mut additional = counts[2];
        if let Some(edns) = &query.edns {
            write_edns(self.out, edns);
            additional += 1;
        }
        let mut flags = flag::QR | (query.flags & (flag::RD | flag::CD)) | bits;
        if reply.authoritative {
            flags |= flag::AA;
        }
        flags |= u16::from(reply.rcode);
        let header = &mut self.out[self.base..self.base + HEADER];
        header[2..4].copy_from_slice(&flags.to_be_bytes());
        for (at, count) in [(6, counts[0]), (8, counts[1]), (10, additional)] {
            let count = u16::try_from(count).unwrap_or(u16::MAX);
            header[at..at + 2].copy_from_slice(&count.to_be_bytes());
        }
    }
}

/// Length of what [`Writer::end`] adds.
#[must_use]
pub fn edns_length(query: &Query) -> usize {
    query.edns.map_or(0, |edns| {
        11 + edns.subnet.map_or(0, |subnet| 8 + usize::from(subnet.prefix.div_ceil(8)))
    })
}

fn write_edns(out: &mut Vec<u8>, edns: &Edns) {
    // Our only version is 0; the upper bits of «bad version» are 1.
    let upper = u8::from(edns.version != 0);
    out.push(0);
    out.extend_from_slice(&kind::OPT.to_be_bytes());
    out.extend_from_slice(&edns.size.to_be_bytes());
    out.extend_from_slice(&[upper, 0, 0, 0]);
    let Some(subnet) = edns.subnet else {
        out.extend_from_slice(&[0, 0]);
        return;
    };
    let bytes = subnet.prefix.div_ceil(8);
    out.extend_from_slice(&[0, 8 + bytes, 0, 8, 0, 4 + bytes]);
    let family = if subnet.address.is_ipv4() { 1 } else { 2 };
    // Scope 0: the answer is the same for every network.
    out.extend_from_slice(&[0, family, subnet.prefix, 0]);
    let whole = match subnet.address {
        std::net::IpAddr::V4(address) => address.to_ipv6_compatible().octets()[12..].to_vec(),
        std::net::IpAddr::V6(address) => address.octets().to_vec(),
    };
    out.extend_from_slice(&whole[..usize::from(bytes)]);
}

/// The answer to a message that holds no question.
pub fn refusal(out: &mut Vec<u8>, id: u16, flags: u16, rcode: u8) {
    let kept = flags & (flag::OPCODE | flag::RD | flag::CD);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&(flag::QR | kept | u16::from(rcode)).to_be_bytes());
    out.extend_from_slice(&[0; 8]);
}
