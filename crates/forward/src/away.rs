//! Asking others, and answering them: what all endpoints have in common.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::query::{Consistency, Evaluated, QueryOptions, Reply};
use lictor_wire::{Message as _, Method, ReadRequest, Request, Source, WireError, WriteRequest};

use crate::attempts::{Attempts, Kind, PATIENCE, Way};
use crate::failure;
use crate::servers::Servers;

/// More calls than `limits.rpc_rate` allows.
const RATE_EXCEEDED: &str = "RPC rate limit exceeded";

/// Who writes, and where.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Datacenter to write in; empty for the own one.
    pub datacenter: String,
    /// The caller's secret; empty for anonymous.
    pub token: String,
}

impl std::fmt::Debug for WriteOptions {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteOptions").field("datacenter", &self.datacenter).finish_non_exhaustive()
    }
}

impl WriteOptions {
    /// A write of the own datacenter.
    #[must_use]
    pub fn here(token: &str) -> Self {
        Self { datacenter: String::new(), token: token.to_owned() }
    }
}

/// Why a call of somebody else has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServeError {
    /// There is no such service.
    NoService,
    /// The service has no such method.
    NoMethod,
    /// The call failed; the text is what the caller gets.
    Failed(String),
}

impl From<EndpointError> for ServeError {
    fn from(error: EndpointError) -> Self {
        Self::Failed(failure::to_text(error))
    }
}

impl From<WireError> for ServeError {
    fn from(error: WireError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// An answer to a call of somebody else in the making.
pub type Serving<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, ServeError>> + Send + 'a>>;

impl<'a> Attempts<'a> {
    pub(crate) fn read(servers: &'a Servers, options: &'a QueryOptions) -> Self {
        let waits = servers.config().waits;
        let wait = match options.min_index {
            0 => Duration::ZERO,
            _ if options.max_wait.is_zero() => waits.usual,
            _ => options.max_wait.min(waits.most),
        };
        // Whoever answers adds up to a sixteenth, and may wait for a leader before.
        let patience = wait + wait / 16 + PATIENCE;
        let too_old = servers.here().is_some_and(|server| server.too_old(options));
        let stale = options.consistency == Consistency::Stale && !too_old;
        let QueryOptions { datacenter, max_stale, .. } = options;
        let max_stale = *max_stale;
        Self::new(servers, Kind { datacenter, reads: true, stale, patience, max_stale })
    }

    pub(crate) fn write(servers: &'a Servers, to: &'a WriteOptions) -> Self {
        let datacenter = &to.datacenter;
        let (stale, max_stale) = (false, Duration::ZERO);
        Self::new(servers, Kind { datacenter, reads: false, stale, patience: PATIENCE, max_stale })
    }
}

impl Servers {
    /// Has a read answered by others; `None` when this server is to answer it after all.
    pub(crate) async fn read_away<M, A>(
        &self,
        attempts: &mut Attempts<'_>,
        options: &QueryOptions,
        args: impl Fn() -> A,
    ) -> Result<Option<M::Reply>, EndpointError>
    where
        M: Method<Request = ReadRequest<A>>,
        ReadRequest<A>: Request,
    {
        let mut options = options.clone();
        if options.datacenter.is_empty() {
            options.datacenter.push_str(self.routes().datacenter());
        }
        let wait = options.max_wait;
        let wanted = options.consistency;
        self.away::<M>(attempts, |elapsed, stale| {
            options.consistency = match wanted {
                Consistency::Stale if !stale => Consistency::Leader,
                wanted => wanted,
            };
            if !wait.is_zero() {
                // What it waited before its connection was lost counts.
                options.max_wait = wait.saturating_sub(elapsed).max(Duration::from_millis(1));
            }
            ReadRequest::new(&options, args())
        })
        .await
    }

    /// The same for a write.
    pub(crate) async fn write_away<M, A>(
        &self,
        attempts: &mut Attempts<'_>,
        to: &WriteOptions,
        args: impl Fn() -> A,
    ) -> Result<Option<M::Reply>, EndpointError>
    where
        M: Method<Request = WriteRequest<A>>,
        WriteRequest<A>: Request,
    {
        let own = self.routes().datacenter();
        let datacenter = if to.datacenter.is_empty() { &**own } else { &*to.datacenter };
        let request = |_, _| WriteRequest::new(datacenter, &to.token, args());
        self.away::<M>(attempts, request).await
    }

    /// Asks one server after the other, as far as that is right.
    pub(crate) async fn away<M: Method>(
        &self,
        attempts: &mut Attempts<'_>,
        mut request: impl FnMut(Duration, bool) -> M::Request,
    ) -> Result<Option<M::Reply>, EndpointError> {
        loop {
            let to = match attempts.way().await? {
                Way::Here => return Ok(None),
                Way::There(to) => to,
            };
            let body = request(attempts.elapsed(), attempts.kind().stale)
                .encode()
                .map_err(|e| unreadable(&e))?;
            if !self.rate().allows() {
                self.meters().exceeded();
                return Err(EndpointError::new(ErrorKind::RateLimited, RATE_EXCEEDED));
            }
            self.meters().called(&to, self.routes().datacenter(), self.here().is_some());
            match self.call(&to, attempts.kind(), M::NAME, body).await {
                Ok(answer) => {
                    if self.troubles().end(to.address) {
                        tracing::info!(server = %to.address, "a server answers again");
                    }
                    let reply = M::Reply::decode(&answer).map_err(|error| {
                        tracing::error!(server = %to.address, method = M::NAME, %error,
                            "an answer cannot be read");
                        unreadable(&error)
                    });
                    let reply = reply?;
                    // From a server that has lost its leader, the way to it may take another one.
                    if attempts.is_too_old(reply.age()) {
                        self.routes().failed(&to);
                        continue;
                    }
                    return Ok(Some(reply));
                }
                Err(failed) => attempts.failed(&to, &failed).await?,
            }
        }
    }

    /// From where distances are measured: from a node of the datacenter that is asked.
    pub(crate) fn source(&self, near: &str, asked: &str) -> Source {
        let mut source = Source::default();
        if !near.is_empty() {
            source.datacenter.push_str(self.named(asked));
            source.node.push_str(near);
        }
        source
    }

    /// The datacenter that is meant: the own one where none is named.
    pub(crate) fn named<'a>(&'a self, datacenter: &'a str) -> &'a str {
        if datacenter.is_empty() { self.routes().datacenter() } else { datacenter }
    }

    /// The node that others want distances from, if `asked` is answered where it is; else none.
    pub(crate) fn near<'a>(&self, source: &'a Source, asked: &QueryOptions) -> &'a str {
        let there = self.named(&source.datacenter) == self.named(&asked.datacenter);
        if there { &source.node } else { "" }
    }
}

fn unreadable(error: &WireError) -> EndpointError {
    EndpointError::new(ErrorKind::Internal, format!("rpc error making call: {error}"))
}

/// A reply with another value that is made of its own.
pub(crate) fn mapped<T: Clone, U>(reply: Reply<T>, to: impl FnOnce(T) -> U) -> Reply<U> {
    let Reply { result, meta } = reply;
    let index = result.index;
    let value = Arc::try_unwrap(result).map_or_else(|shared| shared.value.clone(), |r| r.value);
    Reply { result: Evaluated::new(index, to(value)), meta }
}

/// Returns what was done here; goes on if it can only be done elsewhere.
macro_rules! unless_elsewhere {
    ($servers:expr, $here:expr) => {
        match $here.await {
            Err(error) if $servers.is_elsewhere(&error) => {}
            done => return done,
        }
    };
}

/// Answers a read: here if this server can, else elsewhere.
macro_rules! read {
    ($servers:expr, $options:expr, |$server:ident| $here:expr, $method:ty, $args:expr $(,)?) => {
        $crate::away::read!($servers, $options, |$server| $here, $method, $args, |reply| reply)
    };
    (
        $servers:expr, $options:expr, |$server:ident| $here:expr, $method:ty, $args:expr,
        |$reply:ident| $shown:expr $(,)?
    ) => {{
        if let Some($server) = $servers.here() {
            if $servers.borrows() {
                Box::pin($servers.borrow_token(&$options.token)).await;
            }
            $crate::away::unless_elsewhere!($servers, $here);
        }
        // What is seldom needed must not make every read larger.
        Box::pin(async {
            let mut attempts = $crate::attempts::Attempts::read($servers, $options);
            loop {
                let away = $servers.read_away::<$method, _>(&mut attempts, $options, || $args);
                if let Some($reply) = away.await? {
                    return Ok($shown);
                }
                if let Some($server) = $servers.here() {
                    $crate::away::unless_elsewhere!($servers, $here);
                }
            }
        })
        .await
    }};
}

/// Writes: here if this server leads, else elsewhere.
macro_rules! write {
    ($servers:expr, $to:expr, |$server:ident| $here:expr, $method:ty, $args:expr $(,)?) => {
        $crate::away::write!($servers, $to, |$server| $here, $method, $args, |reply| reply)
    };
    (
        $servers:expr, $to:expr, |$server:ident| $here:expr, $method:ty, $args:expr,
        |$reply:ident| $shown:expr $(,)?
    ) => {{
        if let Some($server) = $servers.writes_here(&$to.datacenter) {
            if $servers.borrows() {
                Box::pin($servers.borrow_token(&$to.token)).await;
            }
            $crate::away::unless_elsewhere!($servers, $here);
        }
        Box::pin(async {
            let mut attempts = $crate::attempts::Attempts::write($servers, $to);
            loop {
                let away = $servers.write_away::<$method, _>(&mut attempts, $to, || $args);
                if let Some($reply) = away.await? {
                    return Ok($shown);
                }
                if let Some($server) = $servers.here() {
                    $crate::away::unless_elsewhere!($servers, $here);
                }
            }
        })
        .await
    }};
}

/// Answers calls of others: `Method, request => answer`, where the answer is a result.
macro_rules! answers {
    ($name:expr, $body:expr; $($method:ty, $request:pat => $answer:expr;)+) => {
        match $name {
            $(<$method as lictor_wire::Method>::NAME => Some(Box::pin(async move {
                let $request =
                    <<$method as lictor_wire::Method>::Request as lictor_wire::Message>::decode(
                        &$body,
                    )?;
                let reply: <$method as lictor_wire::Method>::Reply = $answer.await?;
                Ok(lictor_wire::Message::encode(&reply)?)
            })),)+
            _ => None,
        }
    };
}

pub(crate) use {answers, read, unless_elsewhere, write};
