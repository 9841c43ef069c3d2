//! Questions whose answer needs somebody else: a leader, a prepared query, a recursor.
//!
//! Each is a task of its own, or part of a TCP connection's; their number is limited.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lictor_agent::Agent;
use lictor_forward::{Located as _, Wanted};
use lictor_server::{CatalogView, Missing, Told};
use lictor_types::catalog::{CheckServiceNode, Node, StringMap};
use lictor_types::error::EndpointError;
use lictor_types::query::{Consistency, QueryOptions};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::answer::{Context, Hosts, Outcome};
use crate::config::{Limits, LiveSettings, Settings};
use crate::engine::Engine;
use crate::fit::Transport;
use crate::meters::{Meters, STALE, Served};
use crate::prepared::{PreparedQueries, QueryRequest};
use crate::query::{Query, rcode};
use crate::record::Reply;
use crate::recursor;
use crate::reverse::Reverse;
use crate::service::Instances;

/// How often an answer may need something else.
const ROUNDS_MAX: usize = 8;
/// Names outside our domain that are looked up for one answer.
const HOSTS_MAX: usize = 16;

/// Something that outsiders can make happen often: counted, and logged less and less.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Counts; says so at the first time and whenever the number has doubled.
    pub(crate) fn add(&self, what: &str) {
        let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(count, "dns: {what}");
        }
    }
}

/// What has been counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) connections: Count,
    pub(crate) waiting: Count,
    pub(crate) unsent: Count,
}

/// What all sockets share.
pub(crate) struct Shared {
    pub(crate) agent: Agent,
    pub(crate) settings: LiveSettings,
    pub(crate) queries: Arc<dyn PreparedQueries>,
    pub(crate) limits: Limits,
    pub(crate) reverse: Reverse,
    pub(crate) counts: Counts,
    pub(crate) meters: Meters,
    pub(crate) waiting: Arc<Semaphore>,
    pub(crate) connections: Arc<Semaphore>,
    /// Of whoever has none of their own.
    pub(crate) engine: Mutex<Engine>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) transport: Transport,
    pub(crate) peer: IpAddr,
}

/// Seconds of the clock.
pub(crate) fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // The serial number wraps by its nature.
    u32::try_from(since.as_secs() & u64::from(u32::MAX)).unwrap_or(0)
}

impl Shared {
    /// Whether the catalog of this server may be answered from right now.
    pub(crate) fn may_answer(&self, settings: &Settings) -> bool {
        let servers = self.agent.servers();
        servers.here().is_some_and(|server| settings.allow_stale || server.leads())
            && !servers.asks_for_tokens()
    }

    /// Counts questions that were answered from the catalog of this server, which may not have
    /// heard of its leader for a while.
    pub(crate) fn count_stale(&self, served: Served) {
        let server = self.agent.servers().here().filter(|server| !server.leads());
        let contact = server.and_then(|server| server.consensus().last_contact());
        if contact.is_some_and(|ago| ago > STALE) {
            self.meters.stale.count_many(served.domain);
        }
    }

    /// The catalog as it is now, as far as the agent's token may see it.
    pub(crate) fn view(&self) -> CatalogView {
        let token = self.agent.tokens().dns_token();
        let here = self.agent.servers().here();
        here.map_or_else(CatalogView::empty, |server| server.catalog_view(&token))
    }

    pub(crate) fn context<'a>(
        &'a self,
        settings: &'a Settings,
        view: &'a CatalogView,
        now: u32,
    ) -> Context<'a> {
        let datacenter = &self.agent.config().datacenter;
        Context { settings, datacenter, view, reverse: &self.reverse, now }
    }

    /// The answer to `message`, whatever has to be waited for.
    pub(crate) async fn finish(&self, message: &[u8], query: &Query, asker: Asker) -> Vec<u8> {
        let (settings, began) = (self.settings.get(), Instant::now());
        let mut served = Served::default();
        served.add(&settings, query);
        let reply = match self.work(&settings, message, query, asker).await {
            Done::Message(answer) => return answer,
            Done::Reply(reply) => reply,
        };
        let view = self.view();
        let mut out = Vec::new();
        let context = self.context(&settings, &view, now());
        self.engine.lock().write(context, query, &reply, asker.transport, &mut out);
        self.meters.served(served, began);
        out
    }

    async fn work(
        &self,
        settings: &Arc<Settings>,
        message: &[u8],
        query: &Query,
        asker: Asker,
    ) -> Done {
        let failed = || Done::Reply(Reply::error(rcode::SERVFAIL));
        let mut place: Option<Elsewhere> = match self.agent.servers().here() {
            Some(server) if settings.allow_stale || server.leads() => None,
            // Another server leads, and this one may not answer for it: it is asked.
            Some(server) if server.follows() => Some(Elsewhere::default()),
            Some(server) => match server.lead().await {
                Ok(()) => None,
                Err(_) => return failed(),
            },
            None => Some(Elsewhere::default()),
        };
        let mut hosts = Hosts::new();
        let mut found = None;
        for _ in 0..ROUNDS_MAX {
            let outcome = {
                let view = match &place {
                    Some(place) => CatalogView::told(Arc::clone(&place.told)),
                    None => self.view(),
                };
                let mut context = self.context(settings, &view, now());
                if let Some(place) = place.as_ref().filter(|place| !place.datacenter.is_empty()) {
                    context.datacenter = &place.datacenter;
                }
                let mut engine = self.engine.lock();
                engine.use_settings(settings);
                let answerer = engine.answerer(context, query, &hosts);
                match &found {
                    None => answerer.answer(),
                    Some((domain, instances)) => {
                        answerer.answer_query(Arc::clone(domain), Option::as_ref(instances))
                    }
                }
            };
            if let Some(place) = &mut place {
                let missing = place.told.take_missing();
                if !missing.is_empty() {
                    // What was answered lacks what is asked for now.
                    if let Err(error) = self.ask(settings, place, missing).await {
                        tracing::debug!(%error, "dns: no server answers");
                        return failed();
                    }
                    continue;
                }
            }
            match outcome {
                Outcome::Elsewhere(datacenter) => {
                    place = Some(Elsewhere { datacenter, ..Elsewhere::default() });
                }
                Outcome::Reply(reply) => return Done::Reply(reply),
                Outcome::Recurse => {
                    let answer = recursor::forward(settings, message, query, asker.transport);
                    return match answer.await {
                        Some(answer) => Done::Message(answer),
                        None => Done::Reply(Reply {
                            rcode: rcode::SERVFAIL,
                            recursion: true,
                            ..Reply::default()
                        }),
                    };
                }
                Outcome::Resolve(names) => {
                    for name in names.into_iter().take(HOSTS_MAX) {
                        let records = recursor::resolve(settings, &name).await;
                        hosts.insert(name[..].into(), records);
                    }
                }
                Outcome::Query { name, domain, datacenter } => {
                    let asked = Where { name, datacenter };
                    match self.prepared(settings, asked, query, asker, &domain).await {
                        Ok(instances) => found = Some((domain, instances)),
                        Err(Refused) => return failed(),
                    }
                }
            }
        }
        tracing::warn!(name = crate::name::to_text(&query.name), "dns: no end of names in sight");
        failed()
    }

    /// Asks servers for what is missing.
    async fn ask(
        &self,
        settings: &Settings,
        place: &mut Elsewhere,
        missing: Vec<Missing>,
    ) -> Result<(), EndpointError> {
        let servers = self.agent.servers();
        let mut options = QueryOptions {
            datacenter: place.datacenter.clone(),
            token: self.agent.tokens().default_token().to_string(),
            consistency: match settings.allow_stale {
                true => Consistency::Stale,
                false => Consistency::Leader,
            },
            ..QueryOptions::default()
        };
        let away = !place.datacenter.is_empty();
        let translates = away && settings.translate_wan;
        let mut rows = Vec::new();
        for what in missing {
            let meta = StringMap::new();
            loop {
                let (found, age) = match &what {
                    Missing::Service { name, connect } => {
                        let connect = *connect;
                        let wanted =
                            Wanted { connect, tags: &[], passing: false, meta: &meta, near: "" };
                        let reply = servers.health_service_nodes(&options, name, &wanted).await?;
                        let mut found = reply.result.value.clone();
                        if translates {
                            found.to_wan();
                        }
                        (Found::Service(name.clone(), connect, found), reply.meta.last_contact)
                    }
                    Missing::Node(name) => {
                        let reply = servers.catalog_node_services(&options, name).await?;
                        let mut found =
                            reply.result.value.as_ref().map(|(node, _)| Arc::clone(node));
                        if translates {
                            found.to_wan();
                        }
                        (Found::Node(name.clone(), found), reply.meta.last_contact)
                    }
                    Missing::Everybody => {
                        let reply = servers.catalog_nodes(&options, "", &meta).await?;
                        let found = reply.result.value.clone();
                        (Found::Everybody(found), reply.meta.last_contact)
                    }
                };
                if options.consistency == Consistency::Stale && age > settings.max_stale {
                    // Too old: the leader knows better.
                    options.consistency = Consistency::Leader;
                    continue;
                }
                if options.consistency == Consistency::Stale && age > STALE {
                    self.meters.stale.count();
                }
                rows.push(found);
                break;
            }
        }
        // Nobody else has it any more, once the view of this round is gone.
        let mut told = Told::default();
        if let Some(held) = Arc::get_mut(&mut place.told) {
            std::mem::swap(held, &mut told);
        }
        for found in rows {
            match found {
                Found::Service(name, connect, rows) => {
                    told.services.insert((name, connect), rows);
                }
                Found::Node(name, node) => {
                    told.nodes.insert(name, node);
                }
                Found::Everybody(nodes) => told.everybody = Some(nodes),
            }
        }
        place.told = Arc::new(told);
        Ok(())
    }

    async fn prepared(
        &self,
        settings: &Settings,
        asked: Where,
        query: &Query,
        asker: Asker,
        domain: &[u8],
    ) -> Result<Option<Instances>, Refused> {
        let subnet = query.edns.and_then(|edns| edns.subnet);
        let request = QueryRequest {
            name: asked.name,
            datacenter: asked.datacenter,
            source: Some(subnet.map_or(asker.peer, |subnet| subnet.address)),
            allow_stale: settings.allow_stale,
        };
        let found = self.queries.execute(&request).await.map_err(|error| {
            tracing::warn!(query = request.name, %error, "dns: a prepared query failed");
            Refused
        })?;
        Ok(found.map(|found| {
            let ttl = match found.ttl {
                Some(ttl) => u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX),
                None => settings.service_ttl(&found.service.to_lowercase()),
            };
            let mut nodes = found.nodes;
            if settings.translate_wan && found.datacenter != self.agent.config().datacenter {
                nodes.to_wan();
            }
            Instances::new(&nodes, &found.datacenter, domain, ttl)
        }))
    }
}

/// A prepared query, and the datacenter that has it.
struct Where {
    name: String,
    datacenter: String,
}

/// Somewhere else, and what was told from there; an empty name is the own datacenter.
#[derive(Debug, Default)]
struct Elsewhere {
    datacenter: String,
    told: Arc<Told>,
}

/// Rows that servers gave.
enum Found {
    Service(String, bool, Vec<CheckServiceNode>),
    Node(String, Option<Arc<Node>>),
    Everybody(Vec<Arc<Node>>),
}

struct Refused;

enum Done {
    Message(Vec<u8>),
    Reply(Reply),
}
