//! The key/value store.

use std::sync::Arc;

use lictor_types::error::EndpointError;
use lictor_types::kv::{KvEntry, KvOp, KvWrite};
use lictor_types::query::{QueryOptions, Reply};
use lictor_wire::kv;

use crate::away::{Serving, WriteOptions, answers, read, write};
use crate::servers::Servers;

impl Servers {
    /// One key.
    ///
    /// # Errors
    /// Those of whoever answers, or that nobody does; the same for all reads.
    pub async fn kv_get(
        &self,
        options: &QueryOptions,
        key: &str,
    ) -> Result<Reply<Option<Arc<KvEntry>>>, EndpointError> {
        let args = || kv::Key { key: key.to_owned() };
        read!(self, options, |server| server.kv_get(options, key), kv::Get, args())
    }

    /// All keys that start with `prefix`, with their values.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn kv_list(
        &self,
        options: &QueryOptions,
        prefix: &str,
    ) -> Result<Reply<Vec<Arc<KvEntry>>>, EndpointError> {
        let args = || kv::Key { key: prefix.to_owned() };
        read!(self, options, |server| server.kv_list(options, prefix), kv::List, args())
    }

    /// All keys that start with `prefix`, cut after `separator`.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn kv_keys(
        &self,
        options: &QueryOptions,
        prefix: &str,
        separator: &str,
    ) -> Result<Reply<Vec<Arc<str>>>, EndpointError> {
        let args = || kv::Keys { prefix: prefix.to_owned(), separator: separator.to_owned() };
        read!(
            self,
            options,
            |server| server.kv_keys(options, prefix, separator),
            kv::ListKeys,
            args()
        )
    }

    /// A write; gives whether it took place.
    ///
    /// # Errors
    /// Those of whoever answers, or that nobody does; the same for all writes. A connection that
    /// was lost on the way leaves open whether it took place.
    pub async fn kv_apply(&self, to: &WriteOptions, write: KvWrite) -> Result<bool, EndpointError> {
        write!(
            self,
            to,
            |server| server.kv_apply(&to.token, write.clone()),
            kv::Apply,
            write.clone(),
            |reply| kv::verdict(write.op, reply),
        )
    }
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    answers! { method, body;
        kv::Get, request => servers.kv_get(&request.options, &request.args.key);
        kv::List, request => servers.kv_list(&request.options, &request.args.key);
        kv::ListKeys, request =>
            servers.kv_keys(&request.options, &request.args.prefix, &request.args.separator);
        kv::Apply, request => async {
            let to = WriteOptions { datacenter: request.datacenter, token: request.token };
            let op = request.args.op;
            let done = servers.kv_apply(&to, request.args).await?;
            // Only what depends on the present state has a verdict.
            Ok::<_, EndpointError>(done && !matches!(op, KvOp::Set | KvOp::Delete | KvOp::DeleteTree))
        };
    }
}
