//! Question and catalog in, answer out.
//!
//! A function without sockets or clocks: what it needs from elsewhere (records of other domains,
//! the result of a prepared query) it asks its caller for, who then calls again. Contents of the
//! answers follow the original; see `docs/compatibility.md` for what differs.

use std::collections::HashMap;
use std::sync::Arc;

use lictor_server::CatalogView;
use lictor_types::catalog::Node;

use crate::config::Settings;
use crate::name::{self, Name, NameBuf};
use crate::query::{Query, kind, rcode};
use crate::record::{Data, Extra, Owner, Record, Reply, Soa};
use crate::reverse::{Holder, Reverse};
use crate::route::{Route, Target, reverse, route};
use crate::service::{Address, Cache, Instances, Place, Wanted};
use crate::text::texts;

/// Records behind a CNAME without EDNS.
const CHAIN_MAX: usize = 5;
/// CNAMEs into our own domain that are followed.
const LEVELS_MAX: usize = 3;
/// Name servers that are told.
const SERVERS_MAX: usize = 3;
/// The service that all servers have.
const SERVERS: Wanted<'static> = Wanted { name: "consul", tag: None, connect: false };

/// Records of names outside our domain, by name in lower case.
pub type Hosts = HashMap<NameBuf, Vec<Record>>;

/// What a question leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer.
    Reply(Reply),
    /// Somebody else must answer it.
    Recurse,
    /// These names must be looked up elsewhere first.
    Resolve(Vec<Name>),
    /// A prepared query must be carried out first.
    Query {
        /// Name or ID.
        name: String,
        /// The domain of the question.
        domain: Name,
        /// Where, in lower case; empty for here.
        datacenter: String,
    },
    /// Another datacenter, given by its name in lower case, knows the answer.
    Elsewhere(String),
}

/// What stays the same for many questions.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Settings of now.
    pub settings: &'a Settings,
    /// Our datacenter.
    pub datacenter: &'a str,
    /// The catalog of now.
    pub view: &'a CatalogView,
    /// Names of addresses.
    pub reverse: &'a Reverse,
    /// Seconds of the clock.
    pub now: u32,
}

/// Answers one question.
#[derive(Debug)]
pub struct Answerer<'a> {
    context: Context<'a>,
    query: &'a Query,
    hosts: &'a Hosts,
    cache: &'a mut Cache,
    rng: &'a mut fastrand::Rng,
    domain: Name,
    missing: Vec<Name>,
}

impl<'a> Answerer<'a> {
    /// To answer `query`.
    pub fn new(
        context: Context<'a>,
        query: &'a Query,
        hosts: &'a Hosts,
        cache: &'a mut Cache,
        rng: &'a mut fastrand::Rng,
    ) -> Self {
        let domain = context.settings.domains.first().cloned().unwrap_or_else(|| Arc::from([0]));
        Self { context, query, hosts, cache, rng, domain, missing: Vec::new() }
    }

    /// The answer.
    #[must_use]
    pub fn answer(mut self) -> Outcome {
        let query = self.query;
        let domains = &self.context.settings.domains;
        let ours = domains.iter().find_map(|domain| {
            name::strip(&query.name, domain).map(|before| (Arc::clone(domain), before))
        });
        if let Some((domain, before)) = ours {
            self.domain = domain;
            return self.in_domain(before);
        }
        if name::strip(&query.name, name::ARPA).is_some() {
            return self.reverse();
        }
        if self.context.settings.recursors.is_empty() {
            return Outcome::Reply(Reply { rcode: rcode::SERVFAIL, ..Reply::default() });
        }
        Outcome::Recurse
    }

    /// The answer with what a prepared query found.
    #[must_use]
    pub fn answer_query(mut self, domain: Name, found: Option<&Instances>) -> Outcome {
        self.domain = domain;
        let reply = match found {
            Some(found) if !found.is_empty() => self.service(found, false),
            _ => self.negative(rcode::NXDOMAIN),
        };
        self.complete(reply)
    }

    fn complete(&mut self, reply: Reply) -> Outcome {
        if self.missing.is_empty() {
            return Outcome::Reply(reply);
        }
        Outcome::Resolve(std::mem::take(&mut self.missing))
    }

    fn in_domain(&mut self, before: &[u8]) -> Outcome {
        let reply = match self.query.kind {
            kind::SOA => {
                let mut reply = Reply::authoritative();
                reply.answers.push(self.soa());
                (reply.authority, reply.extras) = self.servers();
                reply
            }
            kind::NS => {
                let mut reply = Reply::authoritative();
                (reply.answers, reply.extras) = self.servers();
                reply
            }
            kind::AXFR | kind::IXFR => Reply::error(rcode::NOTIMP),
            asked => {
                let Route { target, datacenter } = route(before, asked);
                let elsewhere = datacenter
                    .is_some_and(|name| !name.eq_ignore_ascii_case(self.context.datacenter));
                match target {
                    Target::Nothing => self.negative(rcode::NXDOMAIN),
                    Target::Empty => Reply::authoritative(),
                    Target::Address(address) => {
                        let mut reply = Reply::authoritative();
                        let ttl = self.context.settings.node_ttl;
                        reply.answers.push(Record::of_question(ttl, address.into()));
                        reply
                    }
                    Target::Node(_) if !is_about_nodes(asked) => Reply::authoritative(),
                    Target::Service { .. } | Target::Node(_) if self.context.view.is_refused() => {
                        Reply::error(rcode::SERVFAIL)
                    }
                    Target::Service { .. } | Target::Node(_) if elsewhere => {
                        let datacenter = datacenter.unwrap_or_default().to_lowercase();
                        return Outcome::Elsewhere(datacenter);
                    }
                    Target::Query(name) => {
                        let datacenter = datacenter.unwrap_or_default().to_lowercase();
                        let domain = Arc::clone(&self.domain);
                        return Outcome::Query { name, domain, datacenter };
                    }
                    Target::Node(name) => match self.context.view.node(&name) {
                        Some(node) => self.node(&node),
                        None => self.negative(rcode::NXDOMAIN),
                    },
                    Target::Service { name, tag, connect } => {
                        let wanted = Wanted { name, tag: tag.as_deref(), connect };
                        let found = self.instances(&self.query.name, wanted);
                        if found.is_empty() {
                            self.negative(rcode::NXDOMAIN)
                        } else {
                            self.service(&found, true)
                        }
                    }
                }
            }
        };
        self.complete(reply)
    }

    /// Healthy instances of a service, kept under the name of the question.
    fn instances(&mut self, question: &[u8], wanted: Wanted<'_>) -> Arc<Instances> {
        if let Some(kept) = self.cache.get(question, self.context.view) {
            return Arc::clone(kept);
        }
        let Context { settings, view, datacenter, .. } = self.context;
        let Wanted { name, tag, connect } = wanted;
        let rows = view.healthy(name, connect, tag, settings.only_passing);
        let ttl = settings.service_ttl(name);
        let found = Arc::new(Instances::new(&rows, datacenter, &self.domain, ttl));
        if self.means_the_same_to_all(question) {
            self.cache.put(question, view, wanted, &found);
        }
        found
    }

    /// Whether a name asks for the same in questions of all types: «_name._tcp» does not.
    fn means_the_same_to_all(&self, question: &[u8]) -> bool {
        let before = name::strip(question, &self.domain);
        before.is_some_and(|before| route(before, kind::A).target != Target::Nothing)
    }

    fn soa(&self) -> Record {
        let below = |label: &str| -> Name {
            let name = name::join(&[label], &self.domain);
            name.map_or_else(|| Arc::clone(&self.domain), |name| Arc::from(&name[..]))
        };
        let soa = self.context.settings.soa;
        let numbers = [self.context.now, soa.refresh, soa.retry, soa.expire, soa.min_ttl];
        let data = Soa { server: below("ns"), mailbox: below("hostmaster"), numbers };
        // The TTL of the record bounds how long a negative answer is kept.
        let owner = Owner::Name(Arc::clone(&self.domain));
        Record { owner, ttl: soa.min_ttl, data: Data::Soa(data) }
    }

    fn negative(&self, rcode: u8) -> Reply {
        let mut reply = Reply::error(rcode);
        reply.authority.push(self.soa());
        reply
    }

    /// Some healthy servers, with their addresses.
    fn servers(&mut self) -> (Vec<Record>, Vec<Extra>) {
        let Context { settings, view, datacenter, .. } = self.context;
        let mut rows = view.healthy(SERVERS.name, false, None, settings.only_passing);
        rows.retain(|row| is_label(&row.node.name));
        self.rng.shuffle(&mut rows);
        rows.truncate(SERVERS_MAX);
        let (mut records, mut extras) = (Vec::new(), Vec::new());
        for row in rows {
            let parts = [&*row.node.name, "node", datacenter];
            let Some(mut server) = name::join(&parts, &self.domain) else { continue };
            server.make_ascii_lowercase();
            let server: Name = Arc::from(&server[..]);
            let owner = Owner::Name(Arc::clone(&self.domain));
            let ttl = settings.node_ttl;
            let data = Data::Ns(Arc::clone(&server));
            records.push(Record { owner, ttl, data });
            let place = Place::parse(&row.node.address);
            let glue = self.place(&Owner::Name(server), &place, kind::ANY, ttl, LEVELS_MAX);
            extras.extend(glue.into_iter().map(|record| Extra { of: None, record }));
        }
        (records, extras)
    }

    fn node(&mut self, node: &Node) -> Reply {
        let settings = self.context.settings;
        let (asked, ttl) = (self.query.kind, settings.node_ttl);
        let place = Place::parse(&node.address);
        let mut reply = Reply::authoritative();
        reply.answers = self.place(&Owner::Question, &place, asked, ttl, LEVELS_MAX);
        let texts = texts(&node.meta).into_iter();
        let mut texts = texts.map(|text| Record::of_question(ttl, Data::Txt(text)));
        // Without an address of the wanted kind the texts are the answer, as the original has it:
        // clients tell such a node from one that does not exist.
        if reply.answers.is_empty() || matches!(asked, kind::ANY | kind::TXT) {
            reply.answers.extend(&mut texts);
        } else if settings.node_meta_txt {
            reply.extras.extend(texts.map(|record| Extra { of: None, record }));
        }
        reply
    }

    fn service(&mut self, found: &Instances, shuffle: bool) -> Reply {
        let mut reply = Reply { limited: true, ..Reply::authoritative() };
        if self.query.kind == kind::SRV {
            self.service_instances(found, shuffle, &mut reply);
        } else {
            self.service_addresses(found, shuffle, &mut reply);
        }
        if reply.answers.is_empty() {
            reply.authority.push(self.soa());
        }
        reply
    }

    fn order(&mut self, count: usize, shuffle: bool) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        if shuffle {
            self.rng.shuffle(&mut order);
        }
        order
    }

    fn service_addresses(&mut self, found: &Instances, shuffle: bool, reply: &mut Reply) {
        let (asked, limit) = (self.query.kind, self.context.settings.a_record_limit);
        let mut count = 0;
        for at in self.order(found.addresses.len(), shuffle) {
            let place = self.usable(&found.addresses[at]);
            let records = self.place(&Owner::Question, place, asked, found.ttl, LEVELS_MAX);
            if !records.is_empty() {
                reply.answers.extend(records);
                count += 1;
                if count == limit {
                    break;
                }
            }
        }
        if matches!(asked, kind::ANY | kind::TXT) {
            let texts = found.texts.iter().map(|text| Data::Txt(Arc::clone(text)));
            reply.answers.extend(texts.map(|text| Record::of_question(found.ttl, text)));
        }
    }

    fn service_instances(&mut self, found: &Instances, shuffle: bool, reply: &mut Reply) {
        let with_texts = self.context.settings.node_meta_txt;
        for at in self.order(found.instances.len(), shuffle) {
            let instance = &found.instances[at];
            let of = Some(reply.answers.len());
            let target = Arc::clone(&instance.target);
            let (weight, port) = (instance.weight, instance.port);
            let data = Data::Srv { weight, port, target: Arc::clone(&target) };
            reply.answers.push(Record::of_question(found.ttl, data));
            let owner = Owner::Name(target);
            let place = self.usable(&instance.address);
            let mut records = self.place(&owner, place, kind::ANY, found.ttl, LEVELS_MAX);
            if with_texts {
                let texts = instance.texts.iter().map(|text| Data::Txt(Arc::clone(text)));
                records.extend(texts.map(|data| Record {
                    owner: owner.clone(),
                    ttl: found.ttl,
                    data,
                }));
            }
            reply.extras.extend(records.into_iter().map(|record| Extra { of, record }));
        }
    }

    /// The place of an instance; its node's if its own is the name that is asked for.
    fn usable<'b>(&self, address: &'b Address) -> &'b Place {
        match &address.place {
            Place::Host(host) if host.eq_ignore_ascii_case(&self.query.name) => &address.node,
            place => place,
        }
    }

    /// Records of a place. `levels` is how often a name of our own may still be followed.
    fn place(
        &mut self,
        owner: &Owner,
        place: &Place,
        asked: u16,
        ttl: u32,
        levels: usize,
    ) -> Vec<Record> {
        let host = match place {
            Place::Ip(ip) => {
                let data = Data::from(*ip);
                let wanted = asked == kind::ANY || asked == data.kind();
                let record = || Record { owner: owner.clone(), ttl, data };
                return wanted.then(record).into_iter().collect();
            }
            Place::Host(host) if is_about_hosts(asked) => host,
            Place::Host(_) | Place::Nowhere => return Vec::new(),
        };
        let data = Data::Cname(Arc::clone(host));
        let mut records = vec![Record { owner: owner.clone(), ttl, data }];
        let most = if self.query.edns.is_some() { usize::MAX } else { CHAIN_MAX };
        records.extend(self.behind(host, levels).into_iter().take(most));
        records
    }

    /// Records of a host name: our own if it is in our domain, else what others said.
    fn behind(&mut self, host: &Name, levels: usize) -> Vec<Record> {
        let mut lower = NameBuf::from_slice(host);
        lower.make_ascii_lowercase();
        let domain = Arc::clone(&self.domain);
        if let Some(before) = name::strip(&lower, &domain) {
            let Some(levels) = levels.checked_sub(1) else { return Vec::new() };
            return self.own(host, &lower, before, levels);
        }
        if self.context.settings.recursors.is_empty() {
            return Vec::new();
        }
        match self.hosts.get(&lower) {
            Some(records) => records.clone(),
            None => {
                if !self.missing.iter().any(|name| **name == lower[..]) {
                    self.missing.push(Arc::from(&lower[..]));
                }
                Vec::new()
            }
        }
    }

    /// All addresses of a name of our own.
    fn own(&mut self, host: &Name, lower: &[u8], before: &[u8], levels: usize) -> Vec<Record> {
        let Route { target, datacenter } = route(before, kind::ANY);
        let owner = Owner::Name(Arc::clone(host));
        if datacenter.is_some_and(|name| !name.eq_ignore_ascii_case(self.context.datacenter)) {
            return Vec::new();
        }
        let node_ttl = self.context.settings.node_ttl;
        match target {
            Target::Address(ip) => vec![Record { owner, ttl: node_ttl, data: ip.into() }],
            Target::Node(name) => match self.context.view.node(&name) {
                Some(node) => {
                    let place = Place::parse(&node.address);
                    self.place(&owner, &place, kind::ANY, node_ttl, levels)
                }
                None => Vec::new(),
            },
            Target::Service { name, tag, connect } => {
                let wanted = Wanted { name, tag: tag.as_deref(), connect };
                let found = self.instances(lower, wanted);
                let mut records = Vec::new();
                for at in self.order(found.addresses.len(), true) {
                    let place = &found.addresses[at].place;
                    records.extend(self.place(&owner, place, kind::ANY, found.ttl, levels));
                }
                records
            }
            Target::Query(_) | Target::Empty | Target::Nothing => Vec::new(),
        }
    }

    fn reverse(&mut self) -> Outcome {
        let Context { view, datacenter, settings, reverse: table, .. } = self.context;
        let holder = reverse(&self.query.name).and_then(|address| table.find(view, address));
        let name = holder.and_then(|holder| match holder {
            Holder::Node(name) => name::join(&[&name, "node", datacenter], &self.domain),
            Holder::Service(name) => name::join(&[&name, "service"], &self.domain),
        });
        let Some(name) = name else {
            if settings.recursors.is_empty() {
                let rcode = rcode::SERVFAIL;
                return Outcome::Reply(Reply { rcode, recursion: true, ..Reply::default() });
            }
            return Outcome::Recurse;
        };
        let mut reply = Reply::authoritative();
        reply.answers.push(Record::of_question(0, Data::Ptr(Arc::from(&name[..]))));
        if self.query.kind == kind::SOA {
            reply.authority.push(self.soa());
        }
        Outcome::Reply(reply)
    }
}

const fn is_about_nodes(asked: u16) -> bool {
    matches!(asked, kind::A | kind::AAAA | kind::ANY | kind::TXT)
}

const fn is_about_hosts(asked: u16) -> bool {
    matches!(asked, kind::A | kind::AAAA | kind::ANY | kind::TXT | kind::CNAME)
}

/// Whether a name can be a label that every program understands.
fn is_label(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(plain)
}
