//! Writing a version out, and reading one back, in the record format of the original.
//!
//! A header, then records of one type byte and one MessagePack value each, without lengths. The
//! numbers and names are the original's, so that state can move both ways. Records of tables
//! that this program does not have are counted and left out. The archive around it (tar, gzip,
//! checksums) is not made here.
//!
//! A reader of 1.2 gives up at a record that it does not know, but passes over what it does not
//! know in the header: in a portable snapshot records of later versions are in there.

mod entry;
mod legacy;

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::sync::Arc;

use lictor_types::Index;
use lictor_types::acl::{AclAuthMethod, AclBindingRule, AclPolicy, AclRole, AclToken, LegacyAcl};
use lictor_types::autopilot::AutopilotConfig;
use lictor_types::ca::{CaConfig, CaProviderState, CaRoot};
use lictor_types::catalog::{Node, Service, StringMap};
use lictor_types::check::HealthCheck;
use lictor_types::codec::{self, CodecError, nullable};
use lictor_types::coordinate::NodeCoordinate;
use lictor_types::intention::Intention;
use lictor_types::kv::KvEntry;
use lictor_types::prepared_query::PreparedQuery;
use lictor_types::session::Session;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use self::entry::Found;
use crate::index::{IndexKey, Indexes, Table};
use crate::view::{Tables, View};

const REGISTER: u8 = 0;
const KVS: u8 = 2;
const SESSION: u8 = 3;
const LEGACY_ACL: u8 = 4;
const TOMBSTONE: u8 = 5;
const COORDINATES: u8 = 6;
const PREPARED_QUERY: u8 = 7;
const LEGACY_ACL_BOOTSTRAP: u8 = 11;
const AUTOPILOT: u8 = 9;
const INTENTION: u8 = 12;
const CA_ROOT: u8 = 13;
const CA_PROVIDER: u8 = 14;
const CA_CONFIG: u8 = 15;
const INDEX: u8 = 16;
const ACL_TOKEN: u8 = 17;
const ACL_POLICY: u8 = 19;
const CONFIG_ENTRY: u8 = 22;
const ACL_ROLE: u8 = 23;
const ACL_BINDING_RULE: u8 = 25;
const ACL_AUTH_METHOD: u8 = 27;

// Keys of index records that are ours; the original takes over those that it does not know.
const REAPED: &str = "tombstones.reaped";
const RESTORED: &str = "kvs.restored";
/// Key of the original's.
const ACL_BOOTSTRAP: &str = "acl-token-bootstrap";
/// An index that no cluster reaches: from here on it is damage.
const INDEX_END: Index = 1 << 62;

/// A version that is about to be written.
#[derive(Clone, Debug)]
pub struct Snapshot(Arc<View>);

/// What a restore found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Index at which the snapshot was made.
    pub index: Index,
    /// Records that were taken.
    pub records: usize,
    /// Records that were left out, by type number: this program has no such table.
    pub skipped: BTreeMap<u8, usize>,
    /// Intentions that deny now, since they had rules for requests that are not known here.
    pub narrowed: Vec<String>,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The bytes could not be read.
    #[error("failed to read snapshot: {0}")]
    Io(#[from] io::Error),
    /// A record is damaged.
    #[error("snapshot record at byte {at} is damaged: {source}")]
    Record {
        /// Offset of its type byte.
        at: usize,
        /// What is wrong with it.
        source: CodecError,
    },
    /// An index is damaged.
    #[error("snapshot has an index that no cluster reaches: {0}")]
    Index(Index),
}

#[derive(Serialize, Deserialize)]
struct Header {
    #[serde(rename = "LastIndex")]
    last_index: Index,
    /// Records that readers of 1.2 must not meet.
    #[serde(
        rename = "Lictor",
        default,
        with = "serde_bytes",
        skip_serializing_if = "Vec::is_empty"
    )]
    hidden: Vec<u8>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Register {
    #[serde(rename = "ID")]
    id: String,
    node: Arc<str>,
    address: String,
    datacenter: String,
    #[serde(deserialize_with = "nullable")]
    tagged_addresses: StringMap,
    #[serde(deserialize_with = "nullable")]
    node_meta: StringMap,
    service: Option<Arc<Service>>,
    check: Option<Arc<HealthCheck>>,
    create_index: Index,
    modify_index: Index,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IndexRecord {
    key: String,
    value: Index,
}

/// Whether 1.2 would still make a first token with all rights.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct LegacyBootstrap {
    allow_bootstrap: bool,
    create_index: Index,
    modify_index: Index,
}

impl IndexKey {
    fn text(&self) -> String {
        match self {
            Self::Table(table) => table.name().to_owned(),
            Self::Service(name) => format!("service.{name}"),
            Self::Connect(name) => format!("connect.{name}"),
            Self::Intentions(name) => format!("intentions.{name}"),
            Self::Reaped => REAPED.to_owned(),
            Self::Restored => RESTORED.to_owned(),
            Self::AclBootstrap => ACL_BOOTSTRAP.to_owned(),
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix("service.") {
            return Some(Self::Service(name.to_lowercase().into()));
        }
        if let Some(name) = text.strip_prefix("connect.") {
            return Some(Self::Connect(name.to_lowercase().into()));
        }
        if let Some(name) = text.strip_prefix("intentions.") {
            return Some(Self::Intentions(name.into()));
        }
        match text {
            REAPED => Some(Self::Reaped),
            RESTORED => Some(Self::Restored),
            ACL_BOOTSTRAP => Some(Self::AclBootstrap),
            _ => Table::ALL.into_iter().find(|table| table.name() == text).map(Self::Table),
        }
    }
}

impl Snapshot {
    /// Reads a snapshot without keeping anything of it.
    ///
    /// # Errors
    /// When it could not be restored.
    pub fn check(bytes: &[u8]) -> Result<RestoreReport, RestoreError> {
        read_bytes(bytes, 0).map(|(_, report)| report)
    }

    pub(crate) const fn new(view: Arc<View>) -> Self {
        Self(view)
    }

    /// Index of the last command that is part of it.
    #[must_use]
    pub fn index(&self) -> Index {
        self.0.index()
    }

    /// Writes it record by record.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write(&self, out: &mut impl io::Write) -> io::Result<()> {
        let mut w = RecordWriter { out, buffer: Vec::new() };
        w.header(&Header { last_index: self.0.index, hidden: Vec::new() })?;
        self.write_common(&mut w)?;
        self.write_later(&mut w)?;
        w.out.flush()
    }

    /// Writes it so that version 1.2 of the original can read it as well. Nothing is left out.
    ///
    /// Where there are tokens, policies or roles that 1.2 cannot have, it would lose rights without
    /// a word, or grant what they deny: then it is written for 1.4 and later, and 1.2 cannot take it.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write_portable(&self, out: &mut impl io::Write) -> io::Result<()> {
        if !legacy::suffices(&self.0.tables.acl) {
            return self.write(out);
        }
        let mut hidden = Vec::new();
        self.write_later(&mut RecordWriter { out: &mut hidden, buffer: Vec::new() })?;
        let mut w = RecordWriter { out, buffer: Vec::new() };
        w.header(&Header { last_index: self.0.index, hidden })?;
        self.write_common(&mut w)?;
        self.write_legacy_acls(&mut w)?;
        w.out.flush()
    }

    /// Records that every version knows.
    fn write_common(&self, w: &mut RecordWriter<'_, impl io::Write>) -> io::Result<()> {
        let tables = &self.0.tables;
        for node in tables.nodes.iter() {
            w.node(node, tables)?;
        }
        for session in tables.sessions.iter() {
            w.record(SESSION, &**session)?;
        }
        for entry in tables.kv.under("") {
            w.record(KVS, &**entry)?;
        }
        for (key, modify_index) in tables.kv.tombstones() {
            let trace = KvEntry { key: Arc::clone(key), modify_index, ..KvEntry::default() };
            w.record(TOMBSTONE, &trace)?;
        }
        for row in tables.coordinates.iter() {
            w.record(COORDINATES, std::slice::from_ref(&**row))?;
        }
        if let Some(config) = &tables.autopilot {
            w.record(AUTOPILOT, &**config)?;
        }
        for query in tables.prepared_queries.iter() {
            w.record(PREPARED_QUERY, &**query)?;
        }
        for intention in tables.intentions.iter() {
            w.record(INTENTION, &**intention)?;
        }
        for root in tables.ca.roots.iter() {
            w.record(CA_ROOT, root)?;
        }
        Ok(())
    }

    /// Tokens as 1.2 has them; our own readers find them again in the header.
    fn write_legacy_acls(&self, w: &mut RecordWriter<'_, impl io::Write>) -> io::Result<()> {
        let tables = &self.0.tables;
        for token in tables.acl.tokens() {
            w.record(LEGACY_ACL, &legacy::token(token))?;
        }
        if let Some(index) = tables.indexes.get(&IndexKey::AclBootstrap) {
            let record = LegacyBootstrap {
                allow_bootstrap: false,
                create_index: index,
                modify_index: index,
            };
            w.record(LEGACY_ACL_BOOTSTRAP, &record)?;
        }
        Ok(())
    }

    /// Records that came after 1.2.
    fn write_later(&self, w: &mut RecordWriter<'_, impl io::Write>) -> io::Result<()> {
        let tables = &self.0.tables;
        for token in tables.acl.tokens() {
            w.record(ACL_TOKEN, &**token)?;
        }
        for policy in tables.acl.policies() {
            w.record(ACL_POLICY, &**policy)?;
        }
        for role in tables.acl.roles() {
            w.record(ACL_ROLE, &**role)?;
        }
        for method in tables.acl.methods() {
            w.record(ACL_AUTH_METHOD, &**method)?;
        }
        for rule in tables.acl.rules() {
            w.record(ACL_BINDING_RULE, &**rule)?;
        }
        for state in tables.ca.providers.values() {
            w.record(CA_PROVIDER, &**state)?;
        }
        if let Some(config) = &tables.ca.config {
            w.record(CA_CONFIG, &**config)?;
        }
        for entry in tables.config_entries.iter() {
            w.bytes(CONFIG_ENTRY, &entry::write(entry).map_err(io::Error::other)?)?;
        }
        for (key, value) in &tables.indexes.0 {
            w.record(INDEX, &IndexRecord { key: key.text(), value: *value })?;
        }
        Ok(())
    }
}

struct RecordWriter<'a, W> {
    out: &'a mut W,
    buffer: Vec<u8>,
}

impl<W: io::Write> RecordWriter<'_, W> {
    fn header(&mut self, header: &Header) -> io::Result<()> {
        self.buffer.clear();
        codec::encode_into(header, &mut self.buffer).map_err(io::Error::other)?;
        self.out.write_all(&self.buffer)
    }

    fn record<T: Serialize + ?Sized>(&mut self, kind: u8, value: &T) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.push(kind);
        codec::encode_into(value, &mut self.buffer).map_err(io::Error::other)?;
        self.out.write_all(&self.buffer)
    }

    /// A value that is one string of bytes. Old `MessagePack` has one kind of them, for texts as well.
    fn bytes(&mut self, kind: u8, value: &[u8]) -> io::Result<()> {
        let length = u32::try_from(value.len()).map_err(io::Error::other)?;
        self.out.write_all(&[kind, 0xdb])?;
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(value)
    }

    fn node(&mut self, node: &Node, tables: &Tables) -> io::Result<()> {
        let row = || Register {
            id: node.id.clone(),
            node: Arc::clone(&node.name),
            address: node.address.clone(),
            datacenter: node.datacenter.clone(),
            tagged_addresses: node.tagged_addresses.clone(),
            node_meta: node.meta.clone(),
            create_index: node.create_index,
            modify_index: node.modify_index,
            ..Register::default()
        };
        self.record(REGISTER, &row())?;
        for service in tables.services.on_node(&node.name) {
            self.record(REGISTER, &Register { service: Some(Arc::clone(service)), ..row() })?;
        }
        for check in tables.checks.on_node(&node.name) {
            self.record(REGISTER, &Register { check: Some(Arc::clone(check)), ..row() })?;
        }
        Ok(())
    }
}

struct RecordReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl RecordReader<'_> {
    fn value<T: DeserializeOwned>(&mut self) -> Result<T, CodecError> {
        let rest = self.bytes.get(self.at..).ok_or(CodecError::Truncated)?;
        let mut decoder = rmp_serde::Deserializer::new(Cursor::new(rest));
        let value = T::deserialize(&mut decoder)?;
        self.at += usize::try_from(decoder.position()).map_err(|_| CodecError::Truncated)?;
        Ok(value)
    }
}

/// Reads a snapshot into a version just as it was.
pub(crate) fn read(
    from: &mut impl io::Read,
    epoch: u64,
) -> Result<(View, RestoreReport), RestoreError> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    read_bytes(&bytes, epoch)
}

/// The same from memory.
pub(crate) fn read_bytes(bytes: &[u8], epoch: u64) -> Result<(View, RestoreReport), RestoreError> {
    let mut reader = RecordReader { bytes, at: 0 };
    let header: Header = reader.value().map_err(|source| RestoreError::Record { at: 0, source })?;
    let mut report = RestoreReport { index: header.last_index, ..RestoreReport::default() };
    let mut tables = Tables::default();
    take_all(&mut reader, &mut tables, &mut report)?;
    take_all(&mut RecordReader { bytes: &header.hidden, at: 0 }, &mut tables, &mut report)?;
    complete_indexes(&mut tables, header.last_index);
    // A row that is newer than the header would make later changes of it go unseen.
    let index = tables.indexes.0.values().copied().fold(header.last_index, Index::max);
    if index >= INDEX_END {
        return Err(RestoreError::Index(index));
    }
    Ok((View { index, epoch, tables }, report))
}

fn take_all(
    reader: &mut RecordReader<'_>,
    tables: &mut Tables,
    report: &mut RestoreReport,
) -> Result<(), RestoreError> {
    while let Some(&kind) = reader.bytes.get(reader.at) {
        let at = reader.at;
        reader.at += 1;
        let taken = take(kind, reader, tables, report)
            .map_err(|source| RestoreError::Record { at, source })?;
        if taken {
            report.records += 1;
        } else {
            *report.skipped.entry(kind).or_insert(0) += 1;
        }
    }
    Ok(())
}

/// Makes a version that was read the next one after index `before`: whatever is asked of it, the
/// index is larger than any that was given so far. Rows keep theirs.
pub(crate) fn follow(mut view: View, before: Index) -> View {
    view.index = view.index.max(before) + 1;
    let mut fresh = Indexes::default();
    let tables = Table::ALL.into_iter().map(IndexKey::Table);
    for key in tables.chain([IndexKey::Reaped, IndexKey::Restored]) {
        fresh.raise(key, view.index);
    }
    for (_, service) in view.tables.services.iter() {
        fresh.raise(IndexKey::Service(service.name.to_lowercase().into()), view.index);
        if let Some(name) = service.connect_name() {
            fresh.raise(IndexKey::Connect(name.to_lowercase().into()), view.index);
        }
    }
    // This one is no version of anything; people are told it, to do it again.
    if let Some(done) = view.acl_bootstrap_index() {
        fresh.raise(IndexKey::AclBootstrap, done);
    }
    view.tables.indexes = fresh;
    view
}

fn take(
    kind: u8,
    reader: &mut RecordReader<'_>,
    tables: &mut Tables,
    report: &mut RestoreReport,
) -> Result<bool, CodecError> {
    match kind {
        REGISTER => register(reader.value()?, tables, report.index),
        KVS => tables.kv.put(reader.value::<KvEntry>()?),
        SESSION => tables.sessions.put(reader.value::<Session>()?),
        TOMBSTONE => {
            let trace: KvEntry = reader.value()?;
            tables.kv.bury(trace.key, trace.modify_index);
        }
        COORDINATES => {
            reader.value::<Vec<NodeCoordinate>>()?.into_iter().for_each(|row| {
                if row.coord.is_valid() {
                    tables.coordinates.put(row);
                }
            });
        }
        AUTOPILOT => tables.autopilot = Some(Arc::new(reader.value::<AutopilotConfig>()?)),
        PREPARED_QUERY => tables.prepared_queries.put(reader.value::<PreparedQuery>()?),
        INTENTION => {
            let mut intention: Intention = reader.value()?;
            intention.precedence = intention.computed_precedence();
            tables.intentions.put(intention);
        }
        CA_ROOT => {
            let root: CaRoot = reader.value()?;
            Arc::make_mut(&mut tables.ca.roots).push(root);
        }
        CA_PROVIDER => {
            let state: CaProviderState = reader.value()?;
            tables.ca.providers.insert(state.id.clone(), Arc::new(state));
        }
        CA_CONFIG => tables.ca.config = Some(Arc::new(reader.value::<CaConfig>()?)),
        INDEX => {
            let record: IndexRecord = reader.value()?;
            match IndexKey::from_text(&record.key) {
                Some(key) => tables.indexes.raise(key, record.value),
                None => return Ok(false),
            }
        }
        ACL_TOKEN => tables.acl.put_token(reader.value::<AclToken>()?),
        ACL_POLICY => tables.acl.put_policy(reader.value::<AclPolicy>()?),
        ACL_ROLE => tables.acl.put_role(reader.value::<AclRole>()?),
        ACL_AUTH_METHOD => tables.acl.put_method(reader.value::<AclAuthMethod>()?),
        ACL_BINDING_RULE => tables.acl.put_rule(reader.value::<AclBindingRule>()?),
        LEGACY_ACL => tables.acl.put_token(reader.value::<LegacyAcl>()?.into()),
        LEGACY_ACL_BOOTSTRAP => {
            let record: LegacyBootstrap = reader.value()?;
            if !record.allow_bootstrap {
                tables.indexes.raise(IndexKey::AclBootstrap, record.modify_index.max(1));
            }
        }
        CONFIG_ENTRY => match entry::read(reader)? {
            Found::Intentions { intentions, narrowed } => {
                intentions.into_iter().for_each(|one| tables.intentions.put(one));
                report.narrowed.extend(narrowed);
            }
            Found::Entry(entry) => tables.config_entries.put(entry),
            Found::Unknown => return Ok(false),
        },
        _ => {
            reader.value::<IgnoredAny>()?;
            return Ok(false);
        }
    }
    Ok(true)
}

fn register(record: Register, tables: &mut Tables, last_index: Index) {
    let name = Arc::clone(&record.node);
    if let Some(service) = record.service {
        tables.services.put(&name, Arc::unwrap_or_clone(service));
        return;
    }
    if let Some(check) = record.check {
        tables.checks.put(HealthCheck { node: name, ..Arc::unwrap_or_clone(check) });
        return;
    }
    // Archives of 1.2 carry no indexes for nodes.
    let or_last = |index| if index == 0 { last_index } else { index };
    tables.nodes.put(Node {
        id: record.id,
        name,
        address: record.address,
        datacenter: record.datacenter,
        tagged_addresses: record.tagged_addresses,
        meta: record.node_meta,
        create_index: or_last(record.create_index),
        modify_index: or_last(record.modify_index),
    });
}

/// Indexes that an archive does not carry follow from the rows.
fn complete_indexes(tables: &mut Tables, last_index: Index) {
    let mut found: Vec<(IndexKey, Index)> = Vec::new();
    let mut table = |table, index| found.push((IndexKey::Table(table), index));
    tables.nodes.iter().for_each(|n| table(Table::Nodes, n.modify_index));
    tables.checks.iter().for_each(|c| table(Table::Checks, c.modify_index));
    tables.kv.under("").for_each(|e| table(Table::Kvs, e.modify_index));
    tables.kv.tombstones().for_each(|(_, index)| table(Table::Tombstones, index));
    tables.sessions.iter().for_each(|s| table(Table::Sessions, s.modify_index));
    let queries = tables.prepared_queries.iter();
    queries.for_each(|q| table(Table::PreparedQueries, q.modify_index));
    tables.intentions.iter().for_each(|i| table(Table::ConnectIntentions, i.modify_index));
    tables.ca.roots.iter().for_each(|r| table(Table::ConnectCaRoots, r.modify_index));
    if let Some(config) = &tables.ca.config {
        table(Table::ConnectCaConfig, config.modify_index);
    }
    let providers = tables.ca.providers.values();
    providers.for_each(|p| table(Table::ConnectCaBuiltin, p.modify_index));
    tables.acl.tokens().for_each(|t| table(Table::AclTokens, t.modify_index));
    tables.acl.policies().for_each(|p| table(Table::AclPolicies, p.modify_index));
    tables.acl.roles().for_each(|r| table(Table::AclRoles, r.modify_index));
    tables.acl.methods().for_each(|m| table(Table::AclAuthMethods, m.modify_index));
    tables.acl.rules().for_each(|r| table(Table::AclBindingRules, r.modify_index));
    if let Some(config) = &tables.autopilot {
        table(Table::AutopilotConfig, config.modify_index);
    }
    tables.config_entries.iter().for_each(|e| table(Table::ConfigEntries, e.modify_index));
    if tables.coordinates.iter().next().is_some() && tables.indexes.table(Table::Coordinates) == 0 {
        table(Table::Coordinates, last_index);
    }
    let services: Vec<_> = tables.services.iter().map(|(_, s)| Arc::clone(s)).collect();
    for service in services {
        found.push((IndexKey::Table(Table::Services), service.modify_index));
        let name: Arc<str> = service.name.to_lowercase().into();
        // A check of the service may be newer than its own row: the archive's index is safe.
        if tables.indexes.get(&IndexKey::Service(Arc::clone(&name))).is_none() {
            found.push((IndexKey::Service(name), last_index));
        }
        if let Some(name) = service.connect_name() {
            let key = IndexKey::Connect(name.to_lowercase().into());
            if tables.indexes.get(&key).is_none() {
                found.push((key, last_index));
            }
        }
    }
    for (key, index) in found {
        tables.indexes.raise(key, index);
    }
}

#[cfg(test)]
mod tests;
