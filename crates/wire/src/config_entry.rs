//! Configuration entries: settings that servers keep for services, which later versions have.
//!
//! An agent of version 1.10 asks for those of a proxy when one is registered, which it does not do
//! without an answer, and the leader of a secondary datacenter for all of the primary. Source: `rpc.md`.

use lictor_pack::{Malformed, Reader, Writer};
use lictor_types::query::{QueryMeta, QueryOptions, Reply};
use serde_json::{Map, Value as Json};

use crate::any::Kept;
use crate::record::{self, fields, record};
use crate::request::Request;
use crate::value::Value;
use crate::{ReadRequest, methods};

methods! {
    /// Writes an entry; the reply is whether it was written. Version 1.2 knows none of these
    /// methods.
    Apply = "ConfigEntry.Apply": EntryChange => bool;
    /// Deletes an entry.
    Delete = "ConfigEntry.Delete": EntryChange => ();
    /// An entry.
    Get = "ConfigEntry.Get": ReadRequest<EntryName> => Wrapped<EntryReply>;
    /// The entries of a kind.
    List = "ConfigEntry.List": ReadRequest<EntryName> => Wrapped<KindReply>;
    /// The entries of several kinds.
    ListAll = "ConfigEntry.ListAll": ReadRequest<Kinds> => Wrapped<AllReply>;
    /// The settings of a service, which are waited for as in other reads.
    ResolveServiceConfig = "ConfigEntry.ResolveServiceConfig":
        ReadRequest<ServiceName> => Wrapped<Reply<ServiceConfig>>;
}

/// The kind whose entries are written as the bytes of a single value.
const WRAPPED_KIND: &str = "proxy-defaults";

/// An entry: its fields as they are written, its kind and name among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its kind.
    pub kind: String,
    /// Its fields by name.
    pub fields: Map<String, Json>,
}

impl Entry {
    fn write(&self, to: &mut Writer) {
        let fields = Json::Object(self.fields.clone());
        if self.kind == WRAPPED_KIND {
            let mut inner = Writer::default();
            Kept::write(&fields, &mut inner);
            to.raw(inner.into_bytes());
        } else {
            Kept::write(&fields, to);
        }
    }

    fn read(kind: String, from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let read = |from: &mut Reader<'_>| match Json::read(from)? {
            Json::Object(fields) => Ok(fields),
            Json::Null => Ok(Map::new()),
            _ => Err(Malformed::Type),
        };
        let fields = if kind == WRAPPED_KIND {
            let mut inner = Reader::new(from.raw()?);
            let fields = read(&mut inner)?;
            inner.end()?;
            fields
        } else {
            read(from)?
        };
        Ok(Self { kind, fields })
    }
}

/// A write of an entry.
#[derive(Clone, Debug, Default)]
pub struct EntryChange {
    /// The datacenter that is asked.
    pub datacenter: String,
    /// The caller's secret.
    pub token: String,
    /// What is done, such as `upsert`.
    pub op: String,
    /// With which entry.
    pub entry: Entry,
}

/// The bytes of a single value: the kind, then the request.
impl Value for EntryChange {
    fn write(&self, to: &mut Writer) {
        let mut inner = Writer::default();
        inner.raw(&self.entry.kind);
        inner.map(4);
        inner.raw("Datacenter").raw(&self.datacenter);
        inner.raw("Entry");
        self.entry.write(&mut inner);
        inner.raw("Op").raw(&self.op);
        inner.raw("Token").raw(&self.token);
        to.raw(inner.into_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut inner = Reader::new(from.raw()?);
        let kind = String::read(&mut inner)?;
        let mut this = Self::default();
        this.entry.kind.clone_from(&kind);
        inner.fields(|key, from| {
            match key {
                b"Datacenter" => this.datacenter = Value::read(from)?,
                b"Entry" => this.entry = Entry::read(kind.clone(), from)?,
                b"Op" => this.op = Value::read(from)?,
                b"Token" => this.token = Value::read(from)?,
                _ => return Ok(false),
            }
            Ok::<_, Malformed>(true)
        })?;
        inner.end()?;
        Ok(this)
    }
}

impl Request for EntryChange {
    fn datacenter(&self) -> &str {
        &self.datacenter
    }

    fn token(&self) -> &str {
        &self.token
    }

    fn options(&self) -> Option<&QueryOptions> {
        None
    }

    fn address(&mut self, datacenter: &str, token: &str) {
        datacenter.clone_into(&mut self.datacenter);
        token.clone_into(&mut self.token);
    }
}

/// An entry's name; without one, all of its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryName {
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

fields! { EntryName {
    "Kind": kind,
    "Name": name,
} }

/// Kinds of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Their names.
    pub kinds: Vec<String>,
}

fields! { Kinds {
    "Kinds": kinds,
} }

/// An entry, or none: its kind, it, and facts about the answer.
#[derive(Clone, Debug, Default)]
pub struct EntryReply {
    /// The entry.
    pub entry: Option<Entry>,
    /// Facts about the answer.
    pub meta: QueryMeta,
}

impl Value for EntryReply {
    fn write(&self, to: &mut Writer) {
        match &self.entry {
            Some(entry) => {
                to.raw(&entry.kind);
                entry.write(to);
            }
            None => {
                to.raw("");
            }
        }
        record::write(&self.meta, to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let kind = String::read(from)?;
        let entry = if kind.is_empty() { None } else { Some(Entry::read(kind, from)?) };
        Ok(Self { entry, meta: record::read(from)? })
    }
}

/// The entries of one kind: how many, the kind, and a structure with them.
#[derive(Clone, Debug, Default)]
pub struct KindReply {
    /// Kind.
    pub kind: String,
    /// The entries.
    pub entries: Vec<Entry>,
    /// Facts about the answer.
    pub meta: QueryMeta,
}

impl Value for KindReply {
    fn write(&self, to: &mut Writer) {
        self.entries.len().write(to);
        to.raw(&self.kind);
        to.map(<QueryMeta as record::Fields>::COUNT + 2);
        to.raw("Entries").array(self.entries.len());
        for entry in &self.entries {
            entry.write(to);
        }
        to.raw("Kind").raw(&self.kind);
        record::Fields::write_fields(&self.meta, to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        // How many there are is said again where they are.
        usize::read(from)?;
        let kind = String::read(from)?;
        let mut this = Self { kind, ..Self::default() };
        from.fields(|key, from| {
            if key != b"Entries" {
                return record::Fields::read_field(&mut this.meta, key, from);
            }
            for _ in 0..from.array()? {
                from.charge(size_of::<Entry>())?;
                this.entries.push(Entry::read(this.kind.clone(), from)?);
            }
            Ok::<_, Malformed>(true)
        })?;
        Ok(this)
    }
}

/// Entries of several kinds: how many, the kind and the fields of each, and facts.
#[derive(Clone, Debug, Default)]
pub struct AllReply {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Facts about the answer.
    pub meta: QueryMeta,
}

impl Value for AllReply {
    fn write(&self, to: &mut Writer) {
        self.entries.len().write(to);
        for entry in &self.entries {
            to.raw(&entry.kind);
            entry.write(to);
        }
        record::write(&self.meta, to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut this = Self::default();
        for _ in 0..usize::read(from)? {
            from.charge(size_of::<Entry>())?;
            let kind = String::read(from)?;
            this.entries.push(Entry::read(kind, from)?);
        }
        this.meta = record::read(from)?;
        Ok(this)
    }
}

/// A service whose proxy asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceName {
    /// Its name.
    pub name: String,
    /// How its proxy reaches other datacenters, by its own registration.
    pub mesh_gateway: Json,
    /// How its proxy's listeners are reached, by its own registration.
    pub mode: String,
    /// What its proxy leads to.
    pub upstreams: Vec<UpstreamName>,
    /// The same in the form of older versions.
    pub upstream_names: Vec<String>,
}

fields! { ServiceName {
    "MeshGateway": mesh_gateway as Kept,
    "Mode": mode,
    "Name": name,
    "UpstreamIDs": upstreams,
    "Upstreams": upstream_names,
} }

/// A service that a proxy leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamName {
    /// Its name.
    pub id: String,
}

record! { UpstreamName {
    "ID": id,
} }

/// What holds for an upstream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpstreamConfig {
    /// The settings.
    pub config: Map<String, Json>,
    /// The upstream; `*` for all that have none of their own.
    pub upstream: UpstreamName,
}

record! { UpstreamConfig {
    "Config": config,
    "Upstream": upstream,
} }

/// The settings of a service, for its proxy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceConfig {
    /// What can be reached without the mesh.
    pub expose: Json,
    /// How other datacenters are reached.
    pub mesh_gateway: Json,
    /// How the proxy's listeners are reached.
    pub mode: String,
    /// Settings handed to the proxy.
    pub proxy_config: Map<String, Json>,
    /// How traffic is captured.
    pub transparent_proxy: Json,
    /// What holds for upstreams, by name: for those who asked in the form of older versions.
    pub by_name: Map<String, Json>,
    /// The same for others.
    pub upstreams: Vec<UpstreamConfig>,
}

fields! { ServiceConfig {
    "Expose": expose as Kept,
    "MeshGateway": mesh_gateway as Kept,
    "Mode": mode,
    "ProxyConfig": proxy_config,
    "TransparentProxy": transparent_proxy as Kept,
    "UpstreamConfigs": by_name,
    "UpstreamIDConfigs": upstreams,
} }

/// A message as the bytes of a single value, which is how the original writes some.
#[derive(Clone, Debug)]
pub struct Wrapped<T>(pub T);

impl<T: Value> Value for Wrapped<T> {
    fn write(&self, to: &mut Writer) {
        let mut inner = Writer::default();
        self.0.write(&mut inner);
        to.raw(inner.into_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut inner = Reader::new(from.raw()?);
        let read = T::read(&mut inner)?;
        inner.end()?;
        Ok(Self(read))
    }
}
