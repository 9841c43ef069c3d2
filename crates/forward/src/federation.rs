//! What a server does that another datacenter rules, the *primary*.
//!
//! While it leads, it copies from there what holds everywhere (`access`: policies, roles and, where that
//! is switched on, tokens; `mesh`: roots and intentions), and writes of those go there instead of here.
//! What tokens permit that are not copied is asked for there, and remembered as a client agent does
//! ([`Servers::borrow_token`]). When the primary is away, what was copied holds on.
//!
//! Absent on purpose: what is done with what was copied, which is the server's (`server::replica`,
//! `server::ca`).

mod access;
mod mesh;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use lictor_server::{Primary, Server};
use lictor_types::Index;
use lictor_types::error::EndpointError;
use lictor_types::query::QueryOptions;
use lictor_wire::{Method, ReadRequest, Request};
use tokio::time::{Instant, sleep};

use crate::attempts::Attempts;
use crate::away::WriteOptions;
use crate::servers::Servers;

/// How long one question waits for a change.
const WAIT: Duration = Duration::from_secs(300);
/// The least time between two rounds about the same thing.
const BETWEEN: Duration = Duration::from_millis(250);
/// The time between two rounds where the primary does not say when something changed.
const POLL: Duration = Duration::from_secs(10);
/// Pauses after failed rounds: from the first to the longest.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(64);
/// How often it is looked whether the state was replaced: then all is compared again.
const LOOK: Duration = Duration::from_secs(5);
/// After this a primary is asked again for what it did not know.
const OLD_PRIMARY: Duration = Duration::from_secs(60);

/// Whether the primary is of a version that does not know a method.
fn is_unknown_method(error: &EndpointError) -> bool {
    error.text.contains("rpc: can't find")
}

impl Servers {
    /// The token that the primary is asked with from now on.
    pub fn set_replication_token(&self, secret: &str) {
        *self.replication_token().write() = secret.into();
    }

    fn token_of_copying(&self) -> Arc<str> {
        Arc::clone(&self.replication_token().read())
    }

    /// The datacenter that rules this server's, if it is another one.
    pub(crate) fn primary(&self) -> Option<&Primary> {
        self.here().and_then(Server::primary)
    }

    /// The same where it rules tokens.
    fn ruler_of_access(&self) -> Option<&Primary> {
        self.primary().filter(|_| self.acl_enabled())
    }

    /// Whether tokens can be kept here: this datacenter rules itself, or has those of the primary.
    pub(crate) fn keeps_tokens(&self) -> bool {
        self.ruler_of_access()
            .is_none_or(|primary| primary.tokens && !self.token_of_copying().is_empty())
    }

    /// Where something is written about access that holds everywhere.
    pub(crate) fn of_access<'a>(&self, to: &'a WriteOptions) -> Cow<'a, WriteOptions> {
        self.there(to, self.ruler_of_access())
    }

    /// Where something is written about the mesh that holds everywhere.
    pub(crate) fn of_mesh<'a>(&self, to: &'a WriteOptions) -> Cow<'a, WriteOptions> {
        self.there(to, self.primary().filter(|primary| primary.mesh))
    }

    fn there<'a>(&self, to: &'a WriteOptions, ruler: Option<&Primary>) -> Cow<'a, WriteOptions> {
        match ruler.filter(|_| self.check_own(&to.datacenter).is_ok()) {
            Some(ruler) => Cow::Owned(WriteOptions {
                datacenter: ruler.datacenter.clone(),
                token: to.token.clone(),
            }),
            None => Cow::Borrowed(to),
        }
    }

    /// Where tokens are read.
    pub(crate) fn of_tokens<'a>(&self, options: &'a QueryOptions) -> Cow<'a, QueryOptions> {
        let ruler = self.ruler_of_access().filter(|_| !self.keeps_tokens());
        match ruler.filter(|_| self.check_own(&options.datacenter).is_ok()) {
            Some(ruler) => {
                Cow::Owned(QueryOptions { datacenter: ruler.datacenter.clone(), ..options.clone() })
            }
            None => Cow::Borrowed(options),
        }
    }

    /// Whether what a token permits is not known before the primary has been asked: its tokens are not
    /// copied, or have not come yet.
    #[must_use]
    pub fn asks_for_tokens(&self) -> bool {
        let copied = |primary: &Primary| {
            primary.tokens && self.here().is_some_and(Server::has_copied_tokens)
        };
        self.borrows() && !self.primary().is_some_and(copied)
    }

    /// Finds out at the primary what a token permits that is not here.
    pub(crate) async fn borrow_token(&self, secret: &str) {
        let (Some(server), Some(primary)) = (self.here(), self.ruler_of_access()) else { return };
        let secret = if secret.is_empty() { lictor_server::ANONYMOUS } else { secret };
        if server.holds_token(secret) {
            return;
        }
        // Where its tokens are copied, one that is not there does not exist, whatever was told before.
        if primary.tokens && server.has_copied_tokens() {
            server.lend(secret, None);
            return;
        }
        let who = self.looked_up(secret).await;
        server.lend(secret, who.as_ref().ok());
    }

    /// Copies while this server leads, until it is told to stop.
    pub(crate) async fn follow_primary(&self) {
        let (Some(server), Some(primary)) = (self.here(), self.primary()) else { return };
        let mut leadership = server.leadership();
        loop {
            if leadership.wait_for(|now| now.is_self).await.is_err() {
                return;
            }
            tracing::info!(primary = primary.datacenter, "following the primary datacenter");
            let epoch = server.epoch();
            let replaced = async {
                while server.epoch() == epoch {
                    sleep(LOOK).await;
                }
            };
            let copying = async {
                server.until_leading().await;
                tokio::join!(
                    self.copy_access(server, primary),
                    self.follow_authority(server, primary),
                    self.copy_intentions(server, primary),
                    self.copy_config_entries(server, primary),
                )
            };
            tokio::select! {
                _ = copying => {}
                () = replaced => {}
                ended = leadership.wait_for(|now| !now.is_self) => if ended.is_err() {
                    return;
                },
            }
            server.replication_stopped();
        }
    }

    /// A question to the primary that waits for a change after an index.
    fn question(&self, primary: &Primary, after: Index) -> QueryOptions {
        QueryOptions {
            datacenter: primary.datacenter.clone(),
            token: self.token_of_copying().to_string(),
            min_index: after,
            max_wait: if after == 0 { Duration::ZERO } else { WAIT },
            ..QueryOptions::default()
        }
    }

    /// Asks the primary.
    async fn ask_primary<M, A>(
        &self,
        options: &QueryOptions,
        args: impl Fn() -> A,
    ) -> Result<M::Reply, EndpointError>
    where
        M: Method<Request = ReadRequest<A>>,
        ReadRequest<A>: Request,
    {
        let mut attempts = Attempts::read(self, options);
        let asked = Box::pin(self.read_away::<M, A>(&mut attempts, options, args)).await?;
        asked.ok_or_else(EndpointError::no_path_to_datacenter)
    }
}

/// The pace of rounds about one thing, each from the index that the last one gave.
struct Pace {
    what: &'static str,
    index: Index,
    started: Instant,
    pause: Duration,
}

impl Pace {
    fn new(what: &'static str) -> Self {
        Self { what, index: 0, started: Instant::now(), pause: RETRY_FIRST }
    }

    /// Up to where all is here.
    const fn after(&self) -> Index {
        self.index
    }

    /// Waits until the next round, after one that gave an index or failed.
    async fn next(&mut self, round: Result<Index, EndpointError>) {
        match round {
            Ok(now) => {
                self.pause = RETRY_FIRST;
                let waits = now > self.index || self.started.elapsed() > BETWEEN;
                sleep(if now > 0 && waits { BETWEEN } else { POLL }).await;
                // An index that went back is that of another state: all is compared again.
                self.index = if now < self.index { 0 } else { now };
            }
            Err(error) => {
                tracing::warn!(what = self.what, %error, retry_in = ?self.pause,
                    "cannot copy from the primary datacenter");
                self.index = 0;
                sleep(self.pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                self.pause = (self.pause * 2).min(RETRY_MOST);
            }
        }
        self.started = Instant::now();
    }
}
