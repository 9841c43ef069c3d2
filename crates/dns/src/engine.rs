//! A message in, a message out.
//!
//! Most questions ask for addresses of a service whose instances are at hand: these are answered
//! without making records of them first. All others go the whole way through [`crate::answer`].

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::answer::{Answerer, Context, Hosts, Outcome};
use crate::config::Settings;
use crate::fit::{self, Transport, room};
use crate::message::{Style, Writer, edns_length, refusal};
use crate::meters::Served;
use crate::query::{HEADER, Query, Unanswerable, flag, kind, rcode};
use crate::record::Reply;
use crate::service::Cache;

/// What becomes of a message.
#[derive(Debug)]
pub enum Step {
    /// The answer was written.
    Written,
    /// None is due.
    Ignored,
    /// Something must be waited for first.
    Wait(Box<Query>, Outcome),
}

/// Answers messages one after the other.
#[derive(Debug, Default)]
pub struct Engine {
    cache: Cache,
    rng: fastrand::Rng,
    scratch: Vec<Ipv4Addr>,
    /// What the cache was filled under.
    settings: Option<Arc<Settings>>,
    nobody: Hosts,
    served: Served,
}

/// How messages are written.
#[must_use]
pub fn style(settings: &Settings) -> Style {
    Style { compress: settings.compress, recursion: !settings.recursors.is_empty() }
}

/// How long answers may be.
#[must_use]
pub fn limits(settings: &Settings) -> fit::Limits {
    fit::Limits { udp_answers: settings.udp_answer_limit, mark: settings.enable_truncate }
}

impl Engine {
    /// With random numbers that are known beforehand.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), ..Self::default() }
    }

    /// Takes over settings; what was prepared under others is forgotten.
    pub fn use_settings(&mut self, settings: &Arc<Settings>) {
        if self.settings.as_ref().is_none_or(|used| !Arc::ptr_eq(used, settings)) {
            self.cache.clear();
            self.settings = Some(Arc::clone(settings));
        }
    }

    /// Answers `message` at the end of `out`.
    pub fn respond(
        &mut self,
        context: Context<'_>,
        message: &[u8],
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> Step {
        let query = match Query::parse(message) {
            Ok(query) => query,
            Err(Unanswerable::Ignore) => return Step::Ignored,
            Err(Unanswerable::Refuse { id, flags, rcode }) => {
                refusal(out, id, flags, rcode);
                return Step::Written;
            }
        };
        if query.edns.is_some_and(|edns| edns.version != 0) {
            self.write(context, &query, &Reply::default(), transport, out);
            return Step::Written;
        }
        if matches!(query.kind, kind::A | kind::ANY)
            && self.addresses(context, &query, transport, out)
        {
            self.served.domain += 1;
            return Step::Written;
        }
        match self.answer(context, &query, &Hosts::new()) {
            Outcome::Reply(reply) => {
                self.served.add(context.settings, &query);
                self.write(context, &query, &reply, transport, out);
                Step::Written
            }
            outcome => Step::Wait(Box::new(query), outcome),
        }
    }

    /// What was answered at once since this was called last.
    pub(crate) fn take_served(&mut self) -> Served {
        std::mem::take(&mut self.served)
    }

    /// The answer, or what it needs.
    pub fn answer(&mut self, context: Context<'_>, query: &Query, hosts: &Hosts) -> Outcome {
        self.answerer(context, query, hosts).answer()
    }

    /// Who makes the answer.
    pub fn answerer<'a>(
        &'a mut self,
        context: Context<'a>,
        query: &'a Query,
        hosts: &'a Hosts,
    ) -> Answerer<'a> {
        let hosts = if hosts.is_empty() { &self.nobody } else { hosts };
        Answerer::new(context, query, hosts, &mut self.cache, &mut self.rng)
    }

    /// Writes an answer.
    pub fn write(
        &self,
        context: Context<'_>,
        query: &Query,
        reply: &Reply,
        transport: Transport,
        out: &mut Vec<u8>,
    ) {
        let settings = context.settings;
        fit::write(out, query, reply, transport, style(settings), limits(settings));
    }

    /// The short way: IPv4 addresses of instances that were prepared before. False when that is
    /// not what is asked for.
    fn addresses(
        &mut self,
        context: Context<'_>,
        query: &Query,
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(found) = self.cache.get(&query.name, context.view) else { return false };
        let simple = !found.v4.is_empty() && found.is_plain();
        let any = query.kind == kind::ANY;
        if !simple || (any && !(found.v6.is_empty() && found.texts.is_empty())) {
            return false;
        }
        let settings = context.settings;
        let all = match settings.a_record_limit {
            0 => found.v4.len(),
            limit => limit.min(found.v4.len()),
        };
        let (most, size) = room(query, transport, limits(settings));
        let style = style(settings);
        let counted = all.min(most);
        let in_full = transport == Transport::Udp && counted < all;
        let spelled = query.spelled().len();
        let each = if in_full || !style.compress { spelled + 14 } else { 16 };
        let fixed = HEADER + query.question.len() + edns_length(query);
        let fitting = size.saturating_sub(fixed) / each;
        let kept = counted.min(fitting).max(1);
        let lost = if transport == Transport::Tcp { kept < counted } else { kept < all };

        self.scratch.clear();
        self.scratch.extend_from_slice(&found.v4);
        let mut head = [0, 1, 0, 1, 0, 0, 0, 0, 0, 4];
        head[4..8].copy_from_slice(&found.ttl.to_be_bytes());
        let mut writer = Writer::begin(out, query, style);
        for at in 0..kept {
            // Each place gets one of those that are left.
            let chosen = self.rng.usize(at..self.scratch.len());
            self.scratch.swap(at, chosen);
            writer.address(&head, &self.scratch[at].octets(), query);
        }
        let mut bits = if lost && settings.enable_truncate { flag::TC } else { 0 };
        if style.recursion {
            bits |= flag::RA;
        }
        let reply = Reply { rcode: rcode::NOERROR, ..Reply::authoritative() };
        writer.end(query, &reply, [kept, 0, 0], bits);
        true
    }
}
