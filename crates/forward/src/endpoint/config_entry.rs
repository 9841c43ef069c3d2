//! Configuration entries: settings that servers keep for services, proxies and gateways.

use std::sync::Arc;

use lictor_server::{ProxyDefaults, ProxyQuery};
use lictor_types::Index;
use lictor_types::config_entry::{ConfigEntry, Kind};
use lictor_types::error::EndpointError;
use lictor_types::query::{Evaluated, QueryMeta, QueryOptions, Reply};
use lictor_wire::Method;
use lictor_wire::config_entry::{
    self, AllReply, Entry, EntryChange, EntryName, EntryReply, KindReply, Kinds, ServiceConfig,
    ServiceName, UpstreamConfig, UpstreamName, Wrapped,
};
use serde_json::Value;

use crate::attempts::Attempts;
use crate::away::{Serving, WriteOptions, answers, mapped, read, unless_elsewhere};
use crate::servers::Servers;

/// What is done with an entry, in the words of the wire.
const UPSERT: &str = "upsert";
const UPSERT_CAS: &str = "upsert-cas";
const DELETE: &str = "delete";
const DELETE_CAS: &str = "delete-cas";

/// An entry as it is sent.
fn sent(entry: &ConfigEntry) -> Entry {
    let mut fields = entry.fields.clone();
    let mut set = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    if entry.kind != Kind::Mesh {
        set("Kind", entry.kind.as_str().into());
        set("Name", entry.name.as_str().into());
    }
    set("CreateIndex", entry.create_index.into());
    set("ModifyIndex", entry.modify_index.into());
    Entry { kind: entry.kind.as_str().to_owned(), fields }
}

/// An entry as it was received.
fn received(entry: &Entry) -> Result<ConfigEntry, EndpointError> {
    let refused = |error: &dyn std::fmt::Display| EndpointError::refused(error.to_string());
    let kind = Kind::parse(&entry.kind).map_err(|error| refused(&error))?;
    let text = |name: &str| entry.fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let index = |name: &str| entry.fields.get(name).and_then(Value::as_u64).unwrap_or_default();
    let mut read = ConfigEntry::of_peer(kind, text("Name"), &entry.fields);
    read.create_index = index("CreateIndex");
    read.modify_index = index("ModifyIndex");
    Ok(read)
}

/// Those of a list that are known here.
pub(crate) fn all_received(entries: &[Entry]) -> Vec<Arc<ConfigEntry>> {
    entries.iter().filter_map(|entry| received(entry).ok().map(Arc::new)).collect()
}

fn reply<T>(meta: QueryMeta, value: T) -> Reply<T> {
    Reply { result: Evaluated::new(meta.index, value), meta }
}

/// One kind, or every one where none is named.
fn kinds(name: &str) -> Result<Vec<Kind>, EndpointError> {
    if name.is_empty() {
        return Ok(Kind::ALL.to_vec());
    }
    let kind = Kind::parse(name).map_err(|error| EndpointError::refused(error.to_string()))?;
    Ok(vec![kind])
}

/// What is told about a proxy; in the form of older versions upstreams are told by name.
fn told(found: ProxyDefaults, legacy: bool) -> ServiceConfig {
    let object = |fields: serde_json::Map<String, Value>| match fields.is_empty() {
        true => Value::Null,
        false => Value::Object(fields),
    };
    let mut told = ServiceConfig {
        expose: object(found.expose),
        mesh_gateway: object(found.mesh_gateway),
        mode: found.mode,
        proxy_config: found.config,
        transparent_proxy: object(found.transparent_proxy),
        ..ServiceConfig::default()
    };
    for (name, config) in found.upstreams {
        if legacy {
            told.by_name.insert(name, Value::Object(config));
        } else {
            told.upstreams.push(UpstreamConfig { config, upstream: UpstreamName { id: name } });
        }
    }
    told
}

/// Writes: here if this server leads, else elsewhere.
macro_rules! change {
    ($servers:ident, $to:ident, |$server:ident| $here:expr, $method:ty, $change:expr,
        |$reply:pat_param| $shown:expr) => {{
        if let Some($server) = $servers.writes_here(&$to.datacenter) {
            if $servers.borrows() {
                Box::pin($servers.borrow_token(&$to.token)).await;
            }
            unless_elsewhere!($servers, $here);
        }
        Box::pin(async {
            let mut attempts = Attempts::write($servers, $to);
            loop {
                let change = || $change;
                let away = $servers.change_away::<$method>(&mut attempts, $to, change);
                if let Some($reply) = away.await? {
                    return Ok($shown);
                }
                if let Some($server) = $servers.here() {
                    unless_elsewhere!($servers, $here);
                }
            }
        })
        .await
    }};
}

impl Servers {
    /// Entries are those of the datacenter that rules the mesh, whichever is named.
    fn where_entries_are_written(&self, to: &WriteOptions) -> WriteOptions {
        let own = WriteOptions { datacenter: String::new(), token: to.token.clone() };
        self.of_mesh(&own).into_owned()
    }

    async fn change_away<M: Method<Request = EntryChange>>(
        &self,
        attempts: &mut Attempts<'_>,
        to: &WriteOptions,
        change: impl Fn() -> EntryChange,
    ) -> Result<Option<M::Reply>, EndpointError> {
        let own = self.routes().datacenter();
        let datacenter = if to.datacenter.is_empty() { &**own } else { &*to.datacenter };
        let request = |_, _| {
            let (datacenter, token) = (datacenter.to_owned(), to.token.clone());
            EntryChange { datacenter, token, ..change() }
        };
        self.away::<M>(attempts, request).await
    }

    /// Creates or replaces an entry; gives whether the condition held, which is the index of the
    /// last change.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn config_entry_apply(
        &self,
        to: &WriteOptions,
        entry: ConfigEntry,
        cas: Option<Index>,
    ) -> Result<bool, EndpointError> {
        let to = &self.where_entries_are_written(to);
        let change = || {
            let entry = ConfigEntry { modify_index: cas.unwrap_or_default(), ..entry.clone() };
            let op = if cas.is_some() { UPSERT_CAS } else { UPSERT };
            EntryChange { op: op.to_owned(), entry: sent(&entry), ..EntryChange::default() }
        };
        change!(
            self,
            to,
            |server| server.config_entry_apply(&to.datacenter, &to.token, entry.clone(), cas),
            config_entry::Apply,
            change(),
            |applied| applied
        )
    }

    /// Deletes an entry; gives whether the condition held.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn config_entry_delete(
        &self,
        to: &WriteOptions,
        kind: Kind,
        name: &str,
        cas: Option<Index>,
    ) -> Result<bool, EndpointError> {
        let to = &self.where_entries_are_written(to);
        let change = |op: &str| {
            let entry = ConfigEntry {
                kind,
                name: name.to_owned(),
                fields: serde_json::Map::new(),
                create_index: 0,
                modify_index: cas.unwrap_or_default(),
            };
            EntryChange { op: op.to_owned(), entry: sent(&entry), ..EntryChange::default() }
        };
        if cas.is_some() {
            // What deletes does not say in all versions whether it did.
            return change!(
                self,
                to,
                |server| server.config_entry_delete(&to.datacenter, &to.token, kind, name, cas),
                config_entry::Apply,
                change(DELETE_CAS),
                |applied| applied
            );
        }
        change!(
            self,
            to,
            |server| server.config_entry_delete(&to.datacenter, &to.token, kind, name, cas),
            config_entry::Delete,
            change(DELETE),
            |()| true
        )
    }

    /// One entry.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn config_entry(
        &self,
        options: &QueryOptions,
        kind: Kind,
        name: &str,
    ) -> Result<Reply<Option<Arc<ConfigEntry>>>, EndpointError> {
        let asked = || EntryName { kind: kind.as_str().to_owned(), name: name.to_owned() };
        read!(
            self,
            options,
            |server| server.config_entry(options, kind, name),
            config_entry::Get,
            asked(),
            |answer| {
                let Wrapped(EntryReply { entry, meta }) = answer;
                let entry = entry.as_ref().map(received).transpose()?;
                reply(meta, entry.map(Arc::new))
            }
        )
    }

    /// The entries of a kind, by name; without a name of a kind all of them.
    ///
    /// # Errors
    /// See [`Servers::kv_get`]; also when there is no such kind.
    pub async fn config_entries(
        &self,
        options: &QueryOptions,
        kind: &str,
    ) -> Result<Reply<Vec<Arc<ConfigEntry>>>, EndpointError> {
        let wanted = kinds(kind)?;
        if kind.is_empty() {
            let kinds = || Kinds { kinds: wanted.iter().map(|k| k.as_str().to_owned()).collect() };
            return read!(
                self,
                options,
                |server| server.config_entries(options, &wanted),
                config_entry::ListAll,
                kinds(),
                |answer| {
                    let Wrapped(AllReply { entries, meta }) = answer;
                    reply(meta, all_received(&entries))
                }
            );
        }
        let asked = || EntryName { kind: kind.to_owned(), name: String::new() };
        read!(
            self,
            options,
            |server| server.config_entries(options, &wanted),
            config_entry::List,
            asked(),
            |answer| {
                let Wrapped(KindReply { entries, meta, .. }) = answer;
                reply(meta, all_received(&entries))
            }
        )
    }

    /// What holds for the proxies of a service, for agents of other versions.
    async fn service_config(
        &self,
        options: &QueryOptions,
        asked: &ServiceName,
    ) -> Result<Wrapped<Reply<ServiceConfig>>, EndpointError> {
        read!(
            self,
            options,
            |server| async {
                let legacy = asked.upstreams.is_empty();
                let names = asked.upstreams.iter().map(|one| one.id.clone());
                let query = ProxyQuery {
                    service: asked.name.clone(),
                    mode: asked.mode.clone(),
                    mesh_gateway: asked.mesh_gateway.as_object().cloned().unwrap_or_default(),
                    upstreams: names.chain(asked.upstream_names.iter().cloned()).collect(),
                };
                let reply = server.proxy_defaults(options, &query).await?;
                Ok(Wrapped(mapped(reply, |found| told(found, legacy))))
            },
            config_entry::ResolveServiceConfig,
            asked.clone(),
        )
    }

    /// An entry, for others.
    async fn serve_entry(
        &self,
        options: &QueryOptions,
        asked: &EntryName,
    ) -> Result<Wrapped<EntryReply>, EndpointError> {
        let kind = Kind::parse(&asked.kind);
        let kind = kind.map_err(|error| EndpointError::refused(error.to_string()))?;
        let found = self.config_entry(options, kind, &asked.name).await?;
        let entry = found.result.value.as_deref().map(sent);
        Ok(Wrapped(EntryReply { entry, meta: found.meta }))
    }

    async fn serve_kind(
        &self,
        options: &QueryOptions,
        asked: &EntryName,
    ) -> Result<Wrapped<KindReply>, EndpointError> {
        let found = self.config_entries(options, &asked.kind).await?;
        let entries = found.result.value.iter().map(|entry| sent(entry)).collect();
        Ok(Wrapped(KindReply { kind: asked.kind.clone(), entries, meta: found.meta }))
    }

    async fn serve_all(
        &self,
        options: &QueryOptions,
        asked: &Kinds,
    ) -> Result<Wrapped<AllReply>, EndpointError> {
        let found = self.config_entries(options, "").await?;
        let wanted = |entry: &&Arc<ConfigEntry>| {
            asked.kinds.is_empty() || asked.kinds.iter().any(|kind| kind == entry.kind.as_str())
        };
        let entries = found.result.value.iter().filter(wanted).map(|entry| sent(entry)).collect();
        Ok(Wrapped(AllReply { entries, meta: found.meta }))
    }

    async fn serve_change(&self, change: EntryChange) -> Result<bool, EndpointError> {
        let EntryChange { datacenter, token, op, entry } = change;
        let entry = received(&entry)?;
        let to = WriteOptions { datacenter, token };
        let cas = Some(entry.modify_index);
        match op.as_str() {
            UPSERT => self.config_entry_apply(&to, entry, None).await,
            UPSERT_CAS => self.config_entry_apply(&to, entry, cas).await,
            DELETE => self.config_entry_delete(&to, entry.kind, &entry.name, None).await,
            DELETE_CAS => self.config_entry_delete(&to, entry.kind, &entry.name, cas).await,
            other => {
                let text = format!("invalid config entry operation type: {other}");
                Err(EndpointError::refused(text))
            }
        }
    }
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    answers! { method, body;
        config_entry::Get, request => servers.serve_entry(&request.options, &request.args);
        config_entry::List, request => servers.serve_kind(&request.options, &request.args);
        config_entry::ListAll, request => servers.serve_all(&request.options, &request.args);
        config_entry::ResolveServiceConfig, request =>
            servers.service_config(&request.options, &request.args);
        config_entry::Apply, request => servers.serve_change(request);
        config_entry::Delete, request => async {
            let op = DELETE.to_owned();
            servers.serve_change(EntryChange { op, ..request }).await.map(drop)
        };
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_are_received_as_they_were_sent() {
        for given in [
            json!({"Kind": "service-resolver", "Name": "web", "ConnectTimeout": "5s",
                "Subsets": {"v1": {}}}),
            json!({"Kind": "mesh", "Meta": {"a": "b"}}),
            json!({"Kind": "proxy-defaults", "Config": {"n": 1.5, "protocol": "http"}}),
            json!({"Kind": "service-splitter", "Name": "web", "Splits": [{"Weight": 33.33}]}),
        ] {
            let Value::Object(given) = given else { panic!("no object") };
            let mut entry = ConfigEntry::from_json(&given).expect("an entry");
            (entry.create_index, entry.modify_index) = (3, 7);
            assert_eq!(received(&sent(&entry)), Ok(entry));
        }
        let unknown = Entry { kind: "exported-services".to_owned(), ..Entry::default() };
        assert!(received(&unknown).is_err() && all_received(&[unknown]).is_empty());
    }
}
