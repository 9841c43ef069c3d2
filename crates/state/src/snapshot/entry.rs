//! Configuration entries, in the form of archives from 1.5 on. From 1.9 on intentions are in there,
//! one entry for each destination; they are taken out. Kinds that are not known here are left out and
//! counted.
//!
//! What such an intention allows must not become more by moving: one with rules for requests, which
//! are not known here, denies.

use lictor_types::Index;
use lictor_types::catalog::StringMap;
use lictor_types::codec::{self, CodecError, nullable};
use lictor_types::config_entry::{ConfigEntry, Kind};
use lictor_types::intention::{Action, DEFAULT_NAMESPACE, Intention};
use lictor_types::timestamp::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_json::{Map, Value};

use super::RecordReader;

/// The only type of source.
const CONSUL: &str = "consul";

/// What was found.
#[derive(Debug)]
pub(super) enum Found {
    /// The intentions of a destination.
    Intentions {
        intentions: Vec<Intention>,
        /// Those among them that deny because their rules for requests are not known here.
        narrowed: Vec<String>,
    },
    /// An entry.
    Entry(ConfigEntry),
    /// One of a kind that this program does not have.
    Unknown,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    entry: Entry,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    name: String,
    create_index: Index,
    modify_index: Index,
    #[serde(deserialize_with = "nullable")]
    sources: Vec<Source>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Source {
    name: String,
    /// A cluster that is a peer, as from 1.13 on.
    #[serde(deserialize_with = "nullable")]
    peer: String,
    #[serde(deserialize_with = "nullable")]
    sameness_group: String,
    action: String,
    #[serde(deserialize_with = "nullable")]
    permissions: Vec<IgnoredAny>,
    description: String,
    #[serde(rename = "LegacyID")]
    id: String,
    #[serde(deserialize_with = "nullable")]
    legacy_meta: StringMap,
    legacy_create_time: Option<Timestamp>,
    legacy_update_time: Option<Timestamp>,
}

/// An entry with what the original's log has around it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Written<T> {
    #[serde(default)]
    datacenter: String,
    entry: T,
    #[serde(default)]
    op: String,
    #[serde(default)]
    token: String,
}

/// The bytes of an entry.
pub(super) fn write(entry: &ConfigEntry) -> Result<Vec<u8>, CodecError> {
    let mut fields = entry.fields.clone();
    fields.insert("Kind".to_owned(), entry.kind.as_str().into());
    if entry.kind != Kind::Mesh {
        fields.insert("Name".to_owned(), entry.name.as_str().into());
    }
    fields.insert("CreateIndex".to_owned(), entry.create_index.into());
    fields.insert("ModifyIndex".to_owned(), entry.modify_index.into());
    let mut bytes = Vec::new();
    codec::encode_into(entry.kind.as_str(), &mut bytes)?;
    let (datacenter, op, token) = (String::new(), "upsert".to_owned(), String::new());
    if is_wrapped(entry.kind) {
        let mut inner = Vec::new();
        codec::encode_into(&fields, &mut inner)?;
        let entry = ByteBuf::from(inner);
        codec::encode_into(&Written { datacenter, entry, op, token }, &mut bytes)?;
    } else {
        codec::encode_into(&Written { datacenter, entry: fields, op, token }, &mut bytes)?;
    }
    Ok(bytes)
}

/// Whether the original writes entries of a kind as bytes.
fn is_wrapped(kind: Kind) -> bool {
    kind == Kind::ProxyDefaults
}

fn read_entry(kind: Kind, reader: &mut RecordReader<'_>) -> Result<ConfigEntry, CodecError> {
    let fields: Map<String, Value> = if is_wrapped(kind) {
        let Written { entry, .. } = reader.value::<Written<ByteBuf>>()?;
        codec::decode(&entry)?
    } else {
        reader.value::<Written<Map<String, Value>>>()?.entry
    };
    let name = fields.get("Name").and_then(Value::as_str).unwrap_or_default();
    let index = |name: &str| fields.get(name).and_then(Value::as_u64).unwrap_or_default();
    let mut entry = ConfigEntry::of_peer(kind, name, &fields);
    entry.create_index = index("CreateIndex");
    entry.modify_index = index("ModifyIndex");
    Ok(entry)
}

/// Reads an entry.
pub(super) fn read(reader: &mut RecordReader<'_>) -> Result<Found, CodecError> {
    // One string of bytes, which holds the kind and then the entry itself.
    let wrapped: ByteBuf = reader.value()?;
    let mut reader = RecordReader { bytes: &wrapped, at: 0 };
    match Kind::parse(&reader.value::<String>()?) {
        Ok(Kind::ServiceIntentions) => {}
        Ok(kind) => return read_entry(kind, &mut reader).map(Found::Entry),
        Err(_) => return Ok(Found::Unknown),
    }
    let Request { entry } = reader.value()?;
    let (mut intentions, mut narrowed) = (Vec::new(), Vec::new());
    for source in &entry.sources {
        // Services of other clusters have identities that are not trusted here at all.
        if source.peer.is_empty() && source.sameness_group.is_empty() {
            let intention = intention(&entry, source);
            if !source.permissions.is_empty() {
                narrowed.push(intention.describe());
            }
            intentions.push(intention);
        }
    }
    Ok(Found::Intentions { intentions, narrowed })
}

fn intention(entry: &Entry, source: &Source) -> Intention {
    let allows = source.action == Action::Allow.as_str() && source.permissions.is_empty();
    let mut intention = Intention {
        id: if source.id.is_empty() { id_of(&source.name, &entry.name) } else { source.id.clone() },
        description: source.description.clone(),
        source_ns: DEFAULT_NAMESPACE.to_owned(),
        source_name: source.name.clone(),
        destination_ns: DEFAULT_NAMESPACE.to_owned(),
        destination_name: entry.name.clone(),
        source_type: CONSUL.to_owned(),
        action: if allows { Action::Allow } else { Action::Deny },
        default_addr: String::new(),
        default_port: 0,
        meta: source.legacy_meta.clone(),
        precedence: 0,
        created_at: source.legacy_create_time.unwrap_or_default(),
        updated_at: source.legacy_update_time.unwrap_or_default(),
        create_index: entry.create_index,
        modify_index: entry.modify_index,
    };
    intention.precedence = intention.computed_precedence();
    intention
}

/// An ID for one that has none: the same on every server that reads the archive. UUID version 8
/// of RFC 9562 over FNV-1a of the two names.
fn id_of(source: &str, destination: &str) -> String {
    let bytes = source.bytes().chain([0]).chain(destination.bytes());
    let hash = bytes.fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    let versioned = hash & !(0xf_u128 << 76) & !(0b11_u128 << 62) | 8 << 76 | 0b10 << 62;
    let hex = format!("{versioned:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use lictor_types::codec;
    use serde::Serialize;

    use super::*;
    use crate::Store;
    use crate::snapshot::{CONFIG_ENTRY, Header};

    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Given<'a> {
        name: &'a str,
        modify_index: Index,
        sources: Option<Vec<From<'a>>>,
    }

    #[derive(Default, Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct From<'a> {
        name: &'a str,
        peer: Option<&'a str>,
        action: &'a str,
        permissions: Option<Vec<&'a str>>,
        #[serde(rename = "LegacyID")]
        id: &'a str,
    }

    /// An archive with these entries.
    fn archive(entries: &[(&str, Given<'_>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        codec::encode_into(&Header { last_index: 50, hidden: Vec::new() }, &mut bytes).unwrap();
        for (kind, entry) in entries {
            let mut wrapped = Vec::new();
            codec::encode_into(*kind, &mut wrapped).unwrap();
            wrapped.push(0x81);
            codec::encode_into("Entry", &mut wrapped).unwrap();
            codec::encode_into(entry, &mut wrapped).unwrap();
            // Old MessagePack has one kind of string, for texts and for bytes.
            bytes.extend([CONFIG_ENTRY, 0xda]);
            bytes.extend(u16::try_from(wrapped.len()).unwrap().to_be_bytes());
            bytes.extend(wrapped);
        }
        bytes
    }

    #[test]
    fn intentions_are_taken_out_and_never_allow_more_than_they_did() {
        let sources = vec![
            From { name: "web", action: "allow", id: "known", ..From::default() },
            From { name: "*", action: "deny", ..From::default() },
            From { name: "api", permissions: Some(vec!["GET"]), ..From::default() },
            From { name: "far", action: "allow", peer: Some("east"), ..From::default() },
        ];
        let bytes = archive(&[
            ("exported-services", Given { name: "db", modify_index: 41, sources: None }),
            ("service-intentions", Given { name: "db", modify_index: 48, sources: Some(sources) }),
            ("service-intentions", Given { name: "none", modify_index: 49, sources: None }),
        ]);
        let store = Store::new();
        let report = store.install(&mut bytes.as_slice()).unwrap();
        assert_eq!((report.records, report.skipped[&CONFIG_ENTRY]), (2, 1));
        assert_eq!(report.narrowed.len(), 1, "{:?}", report.narrowed);
        assert!(report.narrowed[0].contains("api"), "{:?}", report.narrowed);
        let view = store.view();
        let (index, rows) = view.intentions();
        assert_eq!(index, 48);
        let shown: Vec<_> = rows
            .iter()
            .map(|row| (row.source_name.as_str(), row.action, row.precedence, row.id.as_str()))
            .collect();
        assert!(shown.contains(&("web", Action::Allow, 9, "known")), "{shown:?}");
        assert!(shown.contains(&("*", Action::Deny, 8, &id_of("*", "db"))), "{shown:?}");
        assert!(shown.contains(&("api", Action::Deny, 9, &id_of("api", "db"))), "{shown:?}");
        assert_eq!(shown.len(), 3);
    }

    #[test]
    fn a_made_up_id_is_a_uuid_and_depends_on_both_names() {
        let id = id_of("a", "b");
        let dashes: Vec<_> = id.match_indices('-').map(|(at, _)| at).collect();
        assert_eq!((id.len(), dashes), (36, vec![8, 13, 18, 23]));
        assert!(id[14..].starts_with('8') && "89ab".contains(&id[19..20]), "{id}");
        assert_ne!(id, id_of("ab", ""));
        assert_ne!(id, id_of("b", "a"));
    }
}
