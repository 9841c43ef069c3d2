//! The key/value store.

use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_state::{Topic, View};
use lictor_types::command::{Command, Outcome};
use lictor_types::error::{EndpointError, ErrorKind};
use lictor_types::kv::{KvEntry, KvOp, KvWrite};
use lictor_types::query::{Evaluated, QueryOptions, Reply};

use crate::cache::Identity;
use crate::read::Read;
use crate::rights::{Both, Only, Rows, need};
use crate::server::Server;

impl Server {
    /// One key.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn kv_get(
        &self,
        options: &QueryOptions,
        key: &str,
    ) -> Result<Reply<Option<Arc<KvEntry>>>, EndpointError> {
        let evaluate = |view: &View| {
            let (index, entry) = view.kv_get(key);
            if options.min_index == 0 {
                // Cheaper to look up than to remember.
                return Ok(Evaluated::new(index, entry));
            }
            let identity = Identity::with("key", &[key]);
            Ok(self.cache().get(identity, view.epoch(), index, || entry))
        };
        let topics = || vec![Topic::KvKey(key.into())];
        self.read(Read {
            evaluate,
            topics,
            rights: Only(|who: &Authorizer| who.key_read(key)),
            options,
        })
        .await
    }

    /// All keys that start with `prefix`, with their values.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn kv_list(
        &self,
        options: &QueryOptions,
        prefix: &str,
    ) -> Result<Reply<Vec<Arc<KvEntry>>>, EndpointError> {
        let evaluate = |view: &View| {
            let (index, entries) = view.kv_list(prefix);
            Ok(Evaluated::new(index, entries))
        };
        let topics = || vec![Topic::KvPrefix(prefix.into())];
        let rights = Both(|who: &Authorizer, _: &_| self.may_list(who, prefix), Rows);
        self.read(Read { evaluate, topics, rights, options }).await
    }

    /// All keys that start with `prefix`, cut after `separator`.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn kv_keys(
        &self,
        options: &QueryOptions,
        prefix: &str,
        separator: &str,
    ) -> Result<Reply<Vec<Arc<str>>>, EndpointError> {
        let evaluate = |view: &View| {
            let (index, keys) = view.kv_keys(prefix, separator);
            Ok(Evaluated::new(index, keys))
        };
        let topics = || vec![Topic::KvPrefix(prefix.into())];
        let rights = Both(|who: &Authorizer, _: &_| self.may_list(who, prefix), Rows);
        self.read(Read { evaluate, topics, rights, options }).await
    }

    /// Whether keys below a prefix may be listed; the settings say if that needs a right.
    fn may_list(&self, who: &Authorizer, prefix: &str) -> bool {
        !self.config().acl.key_list_policy || who.key_list(prefix)
    }

    /// A write; gives whether it took place.
    ///
    /// # Errors
    /// When it is refused, for instance for a session that does not exist.
    pub async fn kv_apply(&self, token: &str, mut write: KvWrite) -> Result<bool, EndpointError> {
        if write.entry.key.is_empty() && write.op != KvOp::DeleteTree {
            return Err(EndpointError::refused("Must provide key"));
        }
        let who = self.authorizer(token)?;
        need(match write.op {
            KvOp::DeleteTree => who.key_write_prefix(&write.entry.key),
            _ => who.key_write(&write.entry.key),
        })?;
        write.lock_delayed =
            write.op == KvOp::Lock && self.lock_delays().is_delayed(&write.entry.key);
        match self.propose(Command::Kv(write)).await?.outcome {
            Outcome::Applied(applied) => Ok(applied),
            other => {
                let text = format!("unexpected outcome of a key/value write: {other:?}");
                Err(EndpointError::new(ErrorKind::Internal, text))
            }
        }
    }
}
