//! The door as the handlers see it, and the rules that hold for every request.
//!
//! Which path is answered by whom is in [`crate::router`]; how requests arrive, in
//! [`crate::connection`]. The order of the rules follows the original's.

use std::borrow::Cow;
use std::time::Duration;

use lictor_agent::Agent;
use lictor_api::decode::{self, Body};
use lictor_forward::{Located, Servers, to_wan};
use lictor_metrics::Handle;
use lictor_server::archive::ARCHIVE_MAX;
use lictor_types::error::EndpointError;
use lictor_types::query::Reply;

use crate::answer::{Answer, HTML, TEXT, write_header};
use crate::config::{HttpConfig, HttpLimits, Ui};
use crate::connection::{Answering, Service};
use crate::error::HttpError;
use crate::live::LiveSettings;
use crate::network::Network;
use crate::path;
use crate::request::{Method, Request};
use crate::router::{Counters, Endpoint, Found, Router};
use crate::server::{HttpServer, StartError};

/// Largest body of a request that is not a value.
const BODY_MAX: usize = 4 * 1024 * 1024;
const KV: &str = "/v1/kv/";
const TXN: &str = "/v1/txn";
const SNAPSHOT: &str = "/v1/snapshot";

/// What handlers work with.
#[derive(Debug)]
pub(crate) struct Door {
    agent: Agent,
    router: Router,
    pretty: bool,
    ui: Ui,
    blocked: Vec<String>,
    write_from: Vec<Network>,
    any_characters: bool,
    discovery_max_stale: Duration,
    pub(crate) limits: HttpLimits,
    translates: bool,
    /// Encoded headers of every endpoint's answer.
    common: Vec<u8>,
}

/// A request on its way to a handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// The request.
    pub(crate) request: &'a Request,
    /// What follows the endpoint's path.
    pub(crate) rest: &'a str,
    /// Whether JSON is to be indented.
    pub(crate) pretty: bool,
    /// Where the answering is timed.
    pub(crate) timer: &'a Handle,
    /// Where it is counted, if it is.
    pub(crate) counters: Option<&'a Counters>,
}

impl<'a> Call<'a> {
    /// The request's JSON body.
    ///
    /// # Errors
    /// 400 when there is none, or it cannot be understood.
    pub(crate) fn decode<T: Body>(&self) -> Result<T, HttpError> {
        decode::decode(&self.request.body)
            .map_err(|e| HttpError::bad_request(format!("Request decode failed: {e}")))
    }

    /// What follows the endpoint's path, which must not be empty.
    ///
    /// # Errors
    /// 400 with `missing` when it is.
    pub(crate) fn argument(&self, missing: &'static str) -> Result<&'a str, HttpError> {
        if self.rest.is_empty() { Err(HttpError::bad_request(missing)) } else { Ok(self.rest) }
    }
}

impl HttpServer {
    /// Opens the HTTP door of `agent`.
    ///
    /// # Errors
    /// When an address cannot be listened at, or HTTPS is wanted and `live` has no certificate.
    pub async fn start(
        config: &HttpConfig,
        live: LiveSettings,
        agent: Agent,
    ) -> Result<Self, StartError> {
        Self::open(config, live, Door::new(config, agent)).await
    }
}

impl Door {
    fn new(config: &HttpConfig, agent: Agent) -> Self {
        let mut common = Vec::new();
        write_header(&mut common, "Vary", "Accept-Encoding");
        for (name, value) in &config.response_headers {
            write_header(&mut common, name, value);
        }
        let policy = agent.servers().acl_settings().default_policy.as_str();
        write_header(&mut common, "X-Consul-Default-ACL-Policy", policy);
        if config.translate_addresses {
            write_header(&mut common, "X-Consul-Translate-Addresses", "true");
        }
        Self {
            router: Router::new(&agent.config().telemetry.metrics, &agent.config().node_name),
            agent,
            pretty: config.pretty,
            ui: config.ui.clone(),
            blocked: config.block_endpoints.clone(),
            write_from: config.write_from.clone(),
            any_characters: config.any_characters,
            discovery_max_stale: config.discovery_max_stale,
            limits: config.limits,
            translates: config.translate_addresses,
            common,
        }
    }

    pub(crate) const fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Whoever answers: this server, or others for it.
    pub(crate) fn servers(&self) -> &Servers {
        self.agent.servers()
    }

    pub(crate) fn node_name(&self) -> &str {
        &self.agent.config().node_name
    }

    pub(crate) fn datacenter(&self) -> &str {
        &self.agent.config().datacenter
    }

    /// The node that `?near=` names; empty for none.
    pub(crate) fn near<'a>(&'a self, request: &'a Request) -> Cow<'a, str> {
        match request.query.text("near") {
            near if near == "_agent" => Cow::Borrowed(self.node_name()),
            near => near,
        }
    }

    /// A reply of `datacenter` with the addresses that readers of this one are to use.
    pub(crate) fn located<T: Located + Clone, E>(
        &self,
        datacenter: &str,
        reply: Result<Reply<T>, E>,
    ) -> Result<Reply<T>, E> {
        let away = self.translates && !datacenter.is_empty() && datacenter != self.datacenter();
        if away { reply.map(to_wan) } else { reply }
    }

    /// Refuses any datacenter but our own.
    ///
    /// # Errors
    /// 500, as there is no way to another one.
    pub(crate) fn check_datacenter(&self, name: &str) -> Result<(), HttpError> {
        if name.is_empty() || name == self.datacenter() {
            return Ok(());
        }
        Err(EndpointError::no_path_to_datacenter().into())
    }

    /// An endpoint's answer, by the rules that hold for all of them.
    fn endpoint<'a>(
        &'a self,
        request: &'a Request,
        route: &'a Endpoint,
        rest: &'a str,
    ) -> Answering<'a> {
        if !request.query.is_well_formed() {
            return ready(Answer::empty(500));
        }
        if self.blocked.iter().any(|prefix| request.path.starts_with(prefix.as_str())) {
            let text = "Endpoint is blocked by agent configuration";
            return ready(HttpError::new(403, Cow::Borrowed(text)).into());
        }
        if !self.may_write(request) {
            return ready(HttpError::new(403, Cow::Borrowed("Access is restricted")).into());
        }
        // There is one namespace and one partition, which may be named.
        for (name, feature) in [("ns", "Namespaces"), ("partition", "Partitions")] {
            if !matches!(&*request.query.text(name), "" | "default") {
                let text = format!(
                    "Bad request: Invalid query parameter: {name:?} - {feature} are a Consul \
                     Enterprise feature"
                );
                return ready(HttpError::bad_request(text).into());
            }
        }
        let pretty = self.pretty || request.query.has("pretty");
        let counters = route.counters();
        if let Some((handler, timer)) = route.whole(&request.method) {
            return handler(self, Call { request, rest, pretty, timer, counters });
        }
        if request.method == Method::Options {
            return ready(Answer::ok().with_header("Allow", route.allow()));
        }
        let Some((handler, timer)) = route.handler(&request.method) else {
            return ready(not_allowed(&request.method, route.allow()));
        };
        handler(self, Call { request, rest, pretty, timer, counters })
    }

    /// Whether the request reads, or comes from where writing is allowed. Whoever may open a local
    /// socket is on this host, and allowed by the rights of its file.
    fn may_write(&self, request: &Request) -> bool {
        matches!(request.method, Method::Get | Method::Head | Method::Options)
            || self.write_from.is_empty()
            || request.peer.is_none_or(|ip| self.write_from.iter().any(|n| n.contains(ip)))
    }

    /// What is answered where there is no endpoint.
    fn elsewhere(&self, path: &str, request: &Request) -> Answer {
        if path == "/" {
            return match self.ui {
                Ui::Off => Answer::text(200, "Consul Agent"),
                _ => redirect("/ui/", request),
            };
        }
        if self.ui != Ui::Off && path == "/ui" {
            return redirect("/ui/", request);
        }
        if self.ui != Ui::Off && (path == "/ui/" || path.starts_with("/ui/")) {
            return Answer::text(404, "404 page not found\n").without_common_headers();
        }
        Answer::empty(404).without_common_headers()
    }
}

impl Service for Door {
    fn body_limit(&self, request: &Request) -> (usize, Answer) {
        if request.method == Method::Put && request.path.starts_with(KV) {
            let most = self.limits.value_bytes;
            let text = format!("Value exceeds {most} byte limit");
            return (most, HttpError::too_large(text).into());
        }
        let limit = match request.method {
            Method::Put if request.path == SNAPSHOT => {
                // An archive is large: it is not even read from those who may not restore it.
                // Who has to ask others cannot say at once who that is.
                let here = self.servers().here().filter(|_| !self.servers().asks_for_tokens());
                let who = here.map(|server| server.authorizer(&request.token()));
                let refused = match who {
                    Some(Ok(who)) => (!who.snapshot()).then(EndpointError::permission_denied),
                    Some(Err(error)) => Some(error),
                    None => None,
                };
                if let Some(error) = refused {
                    return (0, HttpError::from(error).into());
                }
                ARCHIVE_MAX
            }
            // Values are longer in base64, and there is something around them.
            Method::Put if request.path == TXN => BODY_MAX.max(self.limits.transaction_bytes * 2),
            _ => BODY_MAX,
        };
        let text = format!("Request body exceeds {limit} byte limit");
        (limit, HttpError::too_large(text).into())
    }

    fn prepare(&self, request: &mut Request) {
        request.discovery_max_stale = self.discovery_max_stale;
        // Without access control nobody looks at tokens.
        if !self.servers().acl_enabled() {
            return;
        }
        request.own_token = self.agent.tokens().default_token().to_string();
        let bearer = request.bearer();
        let meant = self.agent.actual_token(&bearer);
        request.stands_for = (meant != bearer).then_some(meant);
    }

    fn call<'a>(&'a self, request: &'a Request) -> Answering<'a> {
        if !self.any_characters && !path::is_printable(&request.path) {
            return ready(Answer::empty(400).without_common_headers());
        }
        if let Some(mut clean) = path::clean(&request.path) {
            if matches!(self.router.find(&clean), Found::NeedsSlash) {
                clean.push('/');
            }
            return ready(redirect(&clean, request));
        }
        match self.router.find(&request.path) {
            Found::Endpoint(route, rest) => self.endpoint(request, route, rest),
            Found::NeedsSlash => ready(redirect(&format!("{}/", request.path), request)),
            Found::Nothing => ready(self.elsewhere(&request.path, request)),
        }
    }

    fn common_headers(&self) -> &[u8] {
        &self.common
    }
}

/// Says which methods there are.
pub(crate) fn not_allowed(method: &Method, allow: &'static str) -> Answer {
    let text = match method {
        Method::Head => Cow::Borrowed(""),
        method => Cow::Owned(format!("method {} not allowed", method.as_str())),
    };
    let mut answer = Answer::from(HttpError::new(405, text));
    answer.content_type = Some(TEXT);
    answer.with_header("Allow", allow)
}

fn ready<'a>(answer: Answer) -> Answering<'a> {
    Box::pin(std::future::ready(answer))
}

/// Sends the client to `path` with the same query.
fn redirect(path: &str, request: &Request) -> Answer {
    let mut location = String::with_capacity(path.len());
    lictor_api::url::escape_path(&mut location, path);
    if !request.query.raw().is_empty() {
        location.push('?');
        location.push_str(request.query.raw());
    }
    let mut answer = Answer::empty(301).without_common_headers();
    if request.method == Method::Get {
        let escaped = location.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let escaped = escaped.replace('"', "&#34;").replace('\'', "&#39;");
        answer.body = format!("<a href=\"{escaped}\">Moved Permanently</a>.\n\n").into();
        answer.content_type = Some(HTML);
    }
    answer.with_header("Location", location)
}
