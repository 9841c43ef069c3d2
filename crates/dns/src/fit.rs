//! How much of an answer goes into a message.
//!
//! The rules for answers about services are the original's: without EDNS a few records only and
//! 512 bytes, counted with names in full once records were left out; with EDNS the size that the
//! client says; over TCP what a message can hold. Answers go from the end, and what the additional
//! section says about them goes with them. All other answers lose additional records first.

use crate::message::{Style, Writer, edns_length};
use crate::query::{HEADER, Query, UDP_SIZE, flag, kind};
use crate::record::{Extra, Owner, Record, Reply};

/// Most records over UDP without EDNS, whatever is configured.
const UDP_ANSWERS_MAX: usize = 8;
/// Most records over TCP.
const TCP_ANSWERS_MAX: usize = 4096;
/// Most SRV records over TCP.
const TCP_SRV_MAX: usize = 1024;
/// Largest message over TCP.
const TCP_SIZE: usize = 65_523;

/// How the answer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In one datagram.
    Udp,
    /// In a stream.
    Tcp,
}

/// What is configured about lengths.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Records over UDP without EDNS.
    pub udp_answers: usize,
    /// Whether a shortened answer says so.
    pub mark: bool,
}

/// How many answers there may be, and how many bytes.
#[must_use]
pub fn room(query: &Query, transport: Transport, limits: Limits) -> (usize, usize) {
    match transport {
        Transport::Udp if query.udp_size() == usize::from(UDP_SIZE) => {
            (limits.udp_answers.clamp(1, UDP_ANSWERS_MAX), query.udp_size())
        }
        Transport::Udp => (usize::MAX, query.udp_size()),
        Transport::Tcp if query.kind == kind::SRV => (TCP_SRV_MAX, TCP_SIZE),
        Transport::Tcp => (TCP_ANSWERS_MAX, TCP_SIZE),
    }
}

/// Which additional records go along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extras {
    All,
    /// The first of each answer.
    First,
}

/// Writes as much of `reply` as may be.
pub fn write(
    out: &mut Vec<u8>,
    query: &Query,
    reply: &Reply,
    transport: Transport,
    style: Style,
    limits: Limits,
) {
    let base = out.len();
    let (most, size) = room(query, transport, limits);
    let mut put = |kept: usize, extras: usize, which: Extras, cut: bool| {
        out.truncate(base);
        let mut writer = Writer::begin(out, query, style);
        for record in &reply.answers[..kept] {
            writer.record(record, query);
        }
        for record in &reply.authority {
            writer.record(record, query);
        }
        let mut written = 0;
        for extra in chosen(&reply.extras[..extras], kept, which) {
            writer.extra(extra, query);
            written += 1;
        }
        let mut bits = if cut { flag::TC } else { 0 };
        if style.recursion || reply.recursion {
            bits |= flag::RA;
        }
        writer.end(query, reply, [kept, reply.authority.len(), written], bits);
        out.len() - base
    };
    let all = reply.answers.len();
    if !reply.limited {
        let mut extras = reply.extras.len();
        while put(all, extras, Extras::All, false) > size && extras > 0 {
            extras -= 1;
        }
        // Nothing else to leave out: say so, whatever is configured, rather than break the rules.
        let mut kept = all;
        while kept > 0 && put(kept, extras, Extras::All, kept < all) > size {
            kept -= 1;
        }
        return;
    }
    let counted = all.min(most);
    // The original marks what was cut at TCP's count of records only when bytes ran out as well.
    let cut = |kept: usize| {
        let lost = if transport == Transport::Tcp { kept < counted } else { kept < all };
        lost && limits.mark
    };
    let all_extras = reply.extras.len();
    let in_full = transport == Transport::Udp && counted < all;
    let which = if in_full { Extras::First } else { Extras::All };
    let fits = |length: usize, kept: usize| {
        let length = if in_full { full_length(query, reply, kept) } else { length };
        length <= size
    };
    if fits(put(counted, all_extras, which, cut(counted)), counted) {
        return;
    }
    // The most that fits; one is always kept.
    let (mut good, mut bad) = (counted.min(1), counted.max(1));
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if fits(put(middle, all_extras, Extras::First, cut(middle)), middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    let mut extras = all_extras;
    while put(good, extras, Extras::First, cut(good)) > size && extras > 0 {
        extras -= 1;
    }
}

/// Length of the message with all names in full.
fn full_length(query: &Query, reply: &Reply, kept: usize) -> usize {
    let record = |record: &Record| {
        let owner = match &record.owner {
            Owner::Question => query.spelled().len(),
            Owner::Name(name) => name.len(),
        };
        owner + 10 + record.data.full_length()
    };
    let answers: usize = reply.answers[..kept].iter().chain(&reply.authority).map(record).sum();
    let extras: usize =
        chosen(&reply.extras, kept, Extras::First).map(|extra| record(&extra.record)).sum();
    HEADER + query.question.len() + answers + extras + edns_length(query)
}

fn chosen(extras: &[Extra], kept: usize, which: Extras) -> impl Iterator<Item = &Extra> {
    let mut last = None;
    extras.iter().filter(move |extra| {
        let Some(of) = extra.of else { return true };
        let first = last != Some(of);
        last = Some(of);
        of < kept && (which == Extras::All || first)
    })
}
