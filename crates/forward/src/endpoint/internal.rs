//! What agents ask of servers on behalf of operators and of the web interface: user events and keys
//! of gossip in all datacenters, and everything that is in the catalog.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lictor_server::Server;
use lictor_types::catalog::CheckServiceNode;
use lictor_types::error::EndpointError;
use lictor_types::query::{Evaluated, QueryOptions, Reply};
use lictor_wire::ReadRequest;
use lictor_wire::internal::{self, DumpArgs, EventArgs, KeyringArgs, KeyringOp, KeyringReply};

use crate::attempts::{Attempts, Kind, PATIENCE};
use crate::away::{Serving, WriteOptions, answers, read, unless_elsewhere};
use crate::pools::Pools;
use crate::servers::Servers;

/// How long the members of all pools may take to answer.
const KEYS_WITHIN: Duration = Duration::from_secs(60);
/// An agent that is in no pool.
const NO_POOLS: &str = "this server is not in the gossip pools yet";

impl Servers {
    /// All instances with their checks; with `kind` only services of that one, where an ordinary
    /// service's is empty.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn service_dump(
        &self,
        options: &QueryOptions,
        kind: Option<&str>,
    ) -> Result<Reply<Vec<CheckServiceNode>>, EndpointError> {
        let args =
            || DumpArgs { kind: kind.unwrap_or_default().to_owned(), use_kind: kind.is_some() };
        read!(
            self,
            options,
            |server| server.service_dump(options, kind),
            internal::ServiceDump,
            args(),
        )
    }

    /// Sends a user event, encoded already, to all agents of a datacenter. It is not sent again
    /// when that may have happened.
    ///
    /// # Errors
    /// When the token does not suffice, it is too large, or nobody can be asked.
    pub async fn event_fire(
        &self,
        to: &WriteOptions,
        name: &str,
        payload: Vec<u8>,
    ) -> Result<(), EndpointError> {
        let here = async |server: &Server| {
            self.check_own(&to.datacenter)?;
            if !server.authorizer(&to.token)?.event_write(name) {
                return Err(EndpointError::permission_denied());
            }
            let fired = self.in_pools()?.fire(name, payload.clone()).await;
            fired.map_err(EndpointError::refused)
        };
        if let Some(server) = self.here() {
            unless_elsewhere!(self, here(server));
        }
        let options = QueryOptions {
            datacenter: self.named(&to.datacenter).to_owned(),
            token: to.token.clone(),
            ..QueryOptions::default()
        };
        let datacenter = &to.datacenter;
        let kind = Kind {
            datacenter,
            reads: false,
            stale: true,
            patience: PATIENCE,
            max_stale: Duration::ZERO,
        };
        let mut attempts = Attempts::new(self, kind);
        let args = || EventArgs { name: name.to_owned(), payload: payload.clone().into() };
        let request = |_, _| ReadRequest::new(&options, args());
        match self.away::<internal::EventFire>(&mut attempts, request).await? {
            Some(_) => Ok(()),
            // Another datacenter is never here.
            None => Err(EndpointError::no_path_to_datacenter()),
        }
    }

    /// Has all members of the pools of all datacenters, or with `args.local_only` of this one, show
    /// or change the keys of gossip. What a pool could not do is in its reply.
    ///
    /// # Errors
    /// When this agent is no server, the token does not suffice, or a datacenter cannot be asked: the
    /// others have done it nevertheless.
    pub async fn keyring(
        &self,
        token: &str,
        args: KeyringArgs,
    ) -> Result<Vec<KeyringReply>, EndpointError> {
        let Some(server) = self.here() else {
            let text = "keyring operations must run against a server node";
            return Err(EndpointError::refused(text));
        };
        let who = server.authorizer(token)?;
        let (allowed, text) = match args.op {
            KeyringOp::List => (who.keyring_read(), "Reading keyring denied by ACLs"),
            _ => (who.keyring_write(), "Modifying keyring denied due to ACLs"),
        };
        if !allowed {
            return Err(EndpointError::refused(text));
        }
        if args.local_only && args.op != KeyringOp::List {
            let text = "argument error: LocalOnly can only be used for List operations";
            return Err(EndpointError::refused(text));
        }
        let pools = self.in_pools()?;
        let whole = !args.forwarded && !args.local_only;
        let mut replies = Vec::new();
        if whole && let Some(reply) = pools.keys(true, &args).await {
            replies.push(reply);
        }
        let args = KeyringArgs { forwarded: true, ..args };
        if !whole {
            replies.extend(pools.keys(false, &args).await);
            return Ok(replies);
        }
        let datacenters = self.routes().datacenters();
        let asked = datacenters.iter().map(|name| self.keyring_of(name, token, &args, pools));
        let mut failed = None;
        for (name, done) in datacenters.iter().zip(join_all(asked).await) {
            match done {
                Ok(more) => replies.extend(more),
                Err(error) => {
                    tracing::warn!(datacenter = %name, %error, "keys of gossip");
                    failed = failed.or(Some(error));
                }
            }
        }
        failed.map_or(Ok(replies), Err)
    }

    async fn keyring_of(
        &self,
        datacenter: &Arc<str>,
        token: &str,
        args: &KeyringArgs,
        pools: &dyn Pools,
    ) -> Result<Vec<KeyringReply>, EndpointError> {
        if datacenter == self.routes().datacenter() {
            return Ok(pools.keys(false, args).await.into_iter().collect());
        }
        let options = QueryOptions {
            datacenter: datacenter.to_string(),
            token: token.to_owned(),
            ..QueryOptions::default()
        };
        // Whatever is done to a key can be done again.
        let kind = Kind {
            datacenter,
            reads: true,
            stale: true,
            patience: KEYS_WITHIN,
            max_stale: Duration::ZERO,
        };
        let mut attempts = Attempts::new(self, kind);
        let request = |_, _| ReadRequest::new(&options, args.clone());
        let done = self.away::<internal::Keyring>(&mut attempts, request).await;
        let named = |error: EndpointError| EndpointError {
            text: format!("{datacenter}: {}", error.text),
            ..error
        };
        let done = done.map_err(named)?;
        Ok(done.map(|reply| reply.result.value.clone()).unwrap_or_default())
    }

    fn in_pools(&self) -> Result<&dyn Pools, EndpointError> {
        self.pools().ok_or_else(|| EndpointError::refused(NO_POOLS))
    }

    /// A reply with what a server says of itself.
    fn replied<T>(&self, options: &QueryOptions, value: T) -> Reply<T> {
        let meta = self.here().map(|server| server.meta(options, 0)).unwrap_or_default();
        Reply { result: Evaluated::new(0, value), meta }
    }

    async fn answered<T>(
        &self,
        options: &QueryOptions,
        done: impl Future<Output = Result<T, EndpointError>>,
    ) -> Result<Reply<T>, EndpointError> {
        Ok(self.replied(options, done.await?))
    }
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    answers! { method, body;
        internal::NodeInformation, request =>
            servers.node_infos(&request.options, Some(&request.args.node));
        internal::NodeDump, request => servers.node_infos(&request.options, None);
        internal::ServiceDump, request => async {
            let DumpArgs { kind, use_kind } = &request.args;
            servers.service_dump(&request.options, use_kind.then_some(kind)).await
        };
        internal::EventFire, request => async {
            let QueryOptions { datacenter, token, .. } = request.options.clone();
            let to = WriteOptions { datacenter, token };
            let EventArgs { name, payload } = &request.args;
            let fired = servers.event_fire(&to, name, payload.to_vec());
            servers.answered(&request.options, fired).await
        };
        internal::Keyring, request => async {
            let keys = servers.keyring(&request.options.token, request.args);
            servers.answered(&request.options, keys).await
        };
    }
}
