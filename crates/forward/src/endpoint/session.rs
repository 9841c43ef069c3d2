//! Sessions.

use std::sync::Arc;

use lictor_types::command::SessionWrite;
use lictor_types::error::EndpointError;
use lictor_types::query::{QueryOptions, Reply};
use lictor_types::session::Session;
use lictor_wire::catalog::NodeArgs;
use lictor_wire::session::{self, SessionArgs};

use crate::away::{Serving, WriteOptions, answers, read, write};
use crate::servers::Servers;

impl Servers {
    /// Creates a session; its id is made up.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn session_create(
        &self,
        to: &WriteOptions,
        session: Session,
    ) -> Result<Arc<str>, EndpointError> {
        write!(
            self,
            to,
            |server| server.session_create(&to.token, session.clone()),
            session::Apply,
            SessionWrite::Create(session.clone()),
        )
    }

    /// Ends a session and gives its locks back.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn session_destroy(&self, to: &WriteOptions, id: &str) -> Result<(), EndpointError> {
        write!(
            self,
            to,
            |server| server.session_destroy(&to.token, id),
            session::Apply,
            SessionWrite::Destroy(id.into()),
            |_reply| (),
        )
    }

    /// Starts a session's time anew. That it happens twice is no harm, so it counts as a read.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn session_renew(
        &self,
        to: &WriteOptions,
        id: &str,
    ) -> Result<Option<Arc<Session>>, EndpointError> {
        let options = QueryOptions {
            datacenter: to.datacenter.clone(),
            token: to.token.clone(),
            ..QueryOptions::default()
        };
        if let Some(server) = self.writes_here(&to.datacenter) {
            if self.borrows() {
                Box::pin(self.borrow_token(&to.token)).await;
            }
            match server.session_renew(&to.token, id).await {
                Err(error) if self.is_elsewhere(&error) => {}
                done => return done,
            }
        }
        let options = &options;
        let here = async |server: &lictor_server::Server| {
            if self.writes_here(&to.datacenter).is_none() {
                return Err(EndpointError::not_leader());
            }
            server.session_renew(&to.token, id).await
        };
        let args = || SessionArgs { id: id.to_owned() };
        read!(self, options, |server| here(server), session::Renew, args(), |reply| reply
            .result
            .value
            .clone())
    }

    /// One session.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn session_info(
        &self,
        options: &QueryOptions,
        id: &str,
    ) -> Result<Reply<Option<Arc<Session>>>, EndpointError> {
        let args = || SessionArgs { id: id.to_owned() };
        read!(self, options, |server| server.session_info(options, id), session::Get, args())
    }

    /// The sessions of a node.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn session_node(
        &self,
        options: &QueryOptions,
        node: &str,
    ) -> Result<Reply<Vec<Arc<Session>>>, EndpointError> {
        let args = || NodeArgs { node: node.to_owned() };
        read!(
            self,
            options,
            |server| server.session_node(options, node),
            session::NodeSessions,
            args()
        )
    }

    /// All sessions.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn session_list(
        &self,
        options: &QueryOptions,
    ) -> Result<Reply<Vec<Arc<Session>>>, EndpointError> {
        read!(self, options, |server| server.session_list(options), session::List, ())
    }
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    answers! { method, body;
        session::Apply, request => async {
            let to = WriteOptions { datacenter: request.datacenter, token: request.token };
            match request.args {
                SessionWrite::Create(session) => servers.session_create(&to, session).await,
                SessionWrite::Destroy(id) => {
                    servers.session_destroy(&to, &id).await.map(|()| Arc::default())
                }
            }
        };
        session::Get, request => servers.session_info(&request.options, &request.args.id);
        session::List, request => servers.session_list(&request.options);
        session::NodeSessions, request =>
            servers.session_node(&request.options, &request.args.node);
        session::Renew, request => async {
            let options = request.options;
            let to = WriteOptions { datacenter: options.datacenter, token: options.token };
            let found = servers.session_renew(&to, &request.args.id).await?;
            let result = lictor_types::query::Evaluated::new(0, found);
            Ok::<_, EndpointError>(Reply { result, meta: Default::default() })
        };
    }
}
