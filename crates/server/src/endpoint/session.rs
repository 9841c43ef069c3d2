//! Sessions: created, renewed, ended; their time runs in `leader::session`.

use std::sync::Arc;
use std::time::Duration;

use lictor_state::{Table, Topic, View};
use lictor_types::command::{Command, Refusal, SessionWrite};
use lictor_types::duration;
use lictor_types::error::EndpointError;
use lictor_types::query::{Evaluated, QueryOptions, Reply};
use lictor_types::session::Session;

use crate::read::Read;
use crate::rights::{Rows, need};
use crate::server::Server;

/// Longest time that a session may ask for.
const TTL_MAX: i64 = 24 * 3600 * 1_000_000_000;

impl Server {
    /// Creates a session; its id is made up.
    ///
    /// # Errors
    /// When its time is out of bounds, or its node or a check is missing or critical.
    pub async fn session_create(
        &self,
        token: &str,
        mut session: Session,
    ) -> Result<Arc<str>, EndpointError> {
        if session.node.is_empty() {
            return Err(EndpointError::refused("Must provide Node"));
        }
        need(self.authorizer(token)?.session_write(&session.node))?;
        let ttl = self.time_to_live(&session.ttl)?;
        session.id = uuid::Uuid::new_v4().to_string().into();
        let id = Arc::clone(&session.id);
        self.propose(Command::Session(SessionWrite::Create(session))).await?;
        if let Some(ttl) = ttl {
            self.sessions().start(Arc::clone(&id), ttl);
        }
        Ok(id)
    }

    fn time_to_live(&self, text: &str) -> Result<Option<Duration>, EndpointError> {
        if text.is_empty() {
            return Ok(None);
        }
        let nanos = duration::parse(text)
            .map_err(|e| EndpointError::refused(format!("Session TTL '{text}' invalid: {e}")))?;
        let least = self.config().session_ttl_min;
        let lowest = i64::try_from(least.as_nanos()).unwrap_or(i64::MAX);
        if nanos != 0 && !(lowest..=TTL_MAX).contains(&nanos) {
            return Err(EndpointError::refused(format!(
                "Invalid Session TTL '{nanos}', must be between [{}={}]",
                duration::format(lowest),
                duration::format(TTL_MAX)
            )));
        }
        let ttl = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
        Ok((!ttl.is_zero()).then_some(ttl))
    }

    /// Ends a session and gives its locks back; an unknown one is no error, unless rights would
    /// have to be looked up for it.
    ///
    /// # Errors
    /// When the id is no UUID.
    pub async fn session_destroy(&self, token: &str, id: &str) -> Result<(), EndpointError> {
        check_id(id)?;
        if self.acl_enabled() {
            let who = self.authorizer(token)?;
            self.wait_for_leadership().await?;
            match self.view().session(id).1 {
                Some(session) => need(who.session_write(&session.node))?,
                None => return Err(EndpointError::refused(format!("Unknown session {id:?}"))),
            }
        }
        self.propose(Command::Session(SessionWrite::Destroy(id.into()))).await?;
        self.sessions().stop(id);
        Ok(())
    }

    /// Starts a session's time anew.
    ///
    /// # Errors
    /// When the id is no UUID.
    pub async fn session_renew(
        &self,
        token: &str,
        id: &str,
    ) -> Result<Option<Arc<Session>>, EndpointError> {
        check_id(id)?;
        let _timed = self.meters().renew.start();
        let who = self.authorizer(token)?;
        self.wait_for_leadership().await?;
        let found = self.view().session(id).1;
        if let Some(session) = &found {
            need(who.session_write(&session.node))?;
        }
        if let Some(session) = &found
            && let Some(ttl) = self.time_to_live(&session.ttl)?
        {
            self.sessions().start(Arc::clone(&session.id), ttl);
        }
        Ok(found)
    }

    /// One session.
    ///
    /// # Errors
    /// When the id is no UUID.
    pub async fn session_info(
        &self,
        options: &QueryOptions,
        id: &str,
    ) -> Result<Reply<Option<Arc<Session>>>, EndpointError> {
        check_id(id)?;
        let evaluate = |view: &View| {
            let (index, found) = view.session(id);
            Ok(Evaluated::new(index, found))
        };
        let topics = || vec![Topic::Session(id.into())];
        self.read(Read { evaluate, topics, rights: Rows, options }).await
    }

    /// The sessions of a node.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn session_node(
        &self,
        options: &QueryOptions,
        node: &str,
    ) -> Result<Reply<Vec<Arc<Session>>>, EndpointError> {
        let evaluate = |view: &View| {
            let (index, found) = view.node_sessions(node);
            Ok(Evaluated::new(index, found))
        };
        let topics = || vec![Topic::Table(Table::Sessions)];
        self.read(Read { evaluate, topics, rights: Rows, options }).await
    }

    /// All sessions.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn session_list(
        &self,
        options: &QueryOptions,
    ) -> Result<Reply<Vec<Arc<Session>>>, EndpointError> {
        let evaluate = |view: &View| {
            let (index, found) = view.sessions();
            Ok(Evaluated::new(index, found))
        };
        let topics = || vec![Topic::Table(Table::Sessions)];
        self.read(Read { evaluate, topics, rights: Rows, options }).await
    }
}

/// What could be in the index of sessions, by the original's rules: clients ask for IDs that are none
/// in order to learn that there is no such session.
fn check_id(id: &str) -> Result<(), EndpointError> {
    let hyphens = id.bytes().filter(|byte| *byte == b'-').count();
    let digits = id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    let problem = if id.len() != 36 {
        return Err(Refusal::SessionNotUuid.into());
    } else if hyphens > 4 {
        format!("UUID should have maximum of 4 \"-\"; got {hyphens}")
    } else if hyphens % 2 != 0 {
        "Input (without hyphens) must be even length".to_owned()
    } else if digits {
        return Ok(());
    } else {
        "Invalid UUID".to_owned()
    };
    Err(EndpointError::refused(format!("failed session lookup: index error: {problem}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_asked_for() {
        let ones = "1".repeat(36);
        for id in [&*ones, "1-1-1-1-1111111111111111111111111111"] {
            check_id(id).unwrap();
        }
        for (id, said) in [
            (&ones[1..], "UUID must be 36 characters"),
            ("------111111111111111111111111111111", "UUID should have maximum of 4 \"-\"; got 6"),
            ("11111111111111111111111111111111111-", "Input (without hyphens) must be even length"),
            ("z11111111111111111111111111111111111", "Invalid UUID"),
        ] {
            let text = check_id(id).unwrap_err().text;
            assert_eq!(text, format!("failed session lookup: index error: {said}"));
        }
    }
}
