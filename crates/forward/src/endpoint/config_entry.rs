//! Configuration entries of later versions: whoever asks is told that there are none.

use lictor_types::error::EndpointError;
use lictor_types::query::{QueryMeta, QueryOptions, Reply};
use lictor_wire::config_entry::{
    self, AllReply, EntryChange, EntryName, EntryReply, KindReply, Kinds, ServiceConfig,
    ServiceName, Wrapped,
};

use crate::away::{Serving, answers, mapped, read};
use crate::servers::Servers;

/// What whoever writes one is told.
const NOT_HERE: &str = "this server keeps no configuration entries";

impl Servers {
    /// An entry: none here, or what another datacenter's servers say.
    async fn config_entry(
        &self,
        options: &QueryOptions,
        asked: &EntryName,
    ) -> Result<Wrapped<EntryReply>, EndpointError> {
        read!(
            self,
            options,
            |server| async {
                let meta = server.config_entries(options).await?.meta;
                Ok(Wrapped(EntryReply { entry: None, meta }))
            },
            config_entry::Get,
            asked.clone(),
        )
    }

    /// Likewise all of a kind.
    async fn config_entries_of(
        &self,
        options: &QueryOptions,
        asked: &EntryName,
    ) -> Result<Wrapped<KindReply>, EndpointError> {
        let none =
            |meta: QueryMeta| KindReply { kind: asked.kind.clone(), meta, ..KindReply::default() };
        read!(
            self,
            options,
            |server| async { Ok(Wrapped(none(server.config_entries(options).await?.meta))) },
            config_entry::List,
            asked.clone(),
        )
    }

    /// Likewise all.
    async fn config_entries(
        &self,
        options: &QueryOptions,
        asked: &Kinds,
    ) -> Result<Wrapped<AllReply>, EndpointError> {
        read!(
            self,
            options,
            |server| async {
                let meta = server.config_entries(options).await?.meta;
                Ok(Wrapped(AllReply { entries: Vec::new(), meta }))
            },
            config_entry::ListAll,
            asked.clone(),
        )
    }

    /// Likewise what holds for a service.
    async fn service_config(
        &self,
        options: &QueryOptions,
        asked: &ServiceName,
    ) -> Result<Wrapped<Reply<ServiceConfig>>, EndpointError> {
        read!(
            self,
            options,
            |server| async {
                let reply = server.config_entries(options).await?;
                Ok(Wrapped(mapped(reply, |()| ServiceConfig)))
            },
            config_entry::ResolveServiceConfig,
            asked.clone(),
        )
    }
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    answers! { method, body;
        config_entry::Get, request => servers.config_entry(&request.options, &request.args);
        config_entry::List, request => servers.config_entries_of(&request.options, &request.args);
        config_entry::ListAll, request => servers.config_entries(&request.options, &request.args);
        config_entry::ResolveServiceConfig, request =>
            servers.service_config(&request.options, &request.args);
        config_entry::Apply, request => async {
            let EntryChange { op, entry, .. } = request;
            tracing::warn!(kind = entry.kind, op, "a configuration entry was refused");
            Err::<bool, _>(EndpointError::refused(NOT_HERE))
        };
        // It is not there afterwards.
        config_entry::Delete, _ => async { Ok::<(), EndpointError>(()) };
    }
}
