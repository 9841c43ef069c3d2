//! Intentions.

use std::sync::Arc;

use lictor_pack::{Malformed, Reader, Writer};
use lictor_types::command::IntentionPair;
use lictor_types::intention::{Action, DEFAULT_NAMESPACE, Intention};
use lictor_types::query::Reply;
use lictor_types::timestamp::Timestamp;

use crate::record::{fields, record};
use crate::reply::{AtMostOne, data};
use crate::value::{Value, words};
use crate::{ReadRequest, WriteRequest, methods};

methods! {
    /// Writes an intention; the reply is its id, or empty.
    Apply = "Intention.Apply": WriteRequest<IntentionChange> => String;
    /// An intention by its id, or by its source and destination.
    Get = "Intention.Get": ReadRequest<Wanted> => Reply<Option<Arc<Intention>>>;
    /// All intentions.
    List = "Intention.List": ReadRequest => Reply<Vec<Arc<Intention>>>;
    /// The intentions that may concern services, in the order of the question. What holds where
    /// none of them speaks is known to whoever asks.
    Match = "Intention.Match": ReadRequest<Wanted> => Reply<Vec<Vec<Arc<Intention>>>>;
    /// Whether one service may connect to another.
    Check = "Intention.Check": ReadRequest<Wanted> => Decision;
}

/// What is done with an intention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IntentionOp {
    /// It is created.
    #[default]
    Create,
    /// The one with its id is replaced.
    Update,
    /// The one with its id is deleted; without an id, the one with its source and destination.
    Delete,
    /// The one with its source and destination is created or replaced.
    Upsert,
}

words! { IntentionOp {
    "create": Create,
    "update": Update,
    "delete": Delete,
    "upsert": Upsert,
} }

/// A write to intentions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentionChange {
    /// What is done.
    pub op: IntentionOp,
    /// With which one.
    pub intention: Intention,
    /// Whether it says what it does; one that does not cannot be created, and its action means
    /// nothing.
    pub has_action: bool,
}

fields! { IntentionChange = Self {
    op: IntentionOp::Create,
    intention: Intention::zero(),
    has_action: false,
} => {
    "Intention" fn put_intention => take_intention,
    "Mutation" = None::<String>,
    "Op": op,
} }

fn put_intention(change: &IntentionChange, to: &mut Writer) {
    Draft { intention: change.intention.clone(), has_action: change.has_action }.write(to);
}

fn take_intention(change: &mut IntentionChange, from: &mut Reader<'_>) -> Result<(), Malformed> {
    let draft = Draft::read(from)?;
    change.intention = draft.intention;
    change.has_action = draft.has_action;
    Ok(())
}

/// An intention that need not say what it does.
struct Draft {
    intention: Intention,
    has_action: bool,
}

record! { Draft = Self { intention: Intention::zero(), has_action: false } => {
    "Action" fn put_action => take_action,
    "CreateIndex": intention.create_index,
    "CreatedAt": intention.created_at,
    "DefaultAddr": intention.default_addr,
    "DefaultPort": intention.default_port,
    "Description": intention.description,
    "DestinationNS": intention.destination_ns,
    "DestinationName": intention.destination_name,
    "ID": intention.id,
    "Meta": intention.meta,
    "ModifyIndex": intention.modify_index,
    "Permissions" = None::<String>,
    "Precedence": intention.precedence,
    "SourceNS": intention.source_ns,
    "SourceName": intention.source_name,
    "SourceType": intention.source_type,
    "UpdatedAt": intention.updated_at,
} }

fn put_action(draft: &Draft, to: &mut Writer) {
    if draft.has_action {
        draft.intention.action.write(to);
    } else {
        to.raw("");
    }
}

fn take_action(draft: &mut Draft, from: &mut Reader<'_>) -> Result<(), Malformed> {
    draft.has_action = from.peek()? != EMPTY && from.peek()? != NIL;
    draft.intention.action = Value::read(from)?;
    Ok(())
}

/// The first byte of an empty text, and of none.
const EMPTY: u8 = 0xa0;
const NIL: u8 = 0xc0;

record! { Intention = Self {
    id: String::new(),
    description: String::new(),
    source_ns: String::new(),
    source_name: String::new(),
    destination_ns: String::new(),
    destination_name: String::new(),
    source_type: String::new(),
    action: Action::Deny,
    default_addr: String::new(),
    default_port: 0,
    meta: Default::default(),
    precedence: 0,
    created_at: Timestamp(0),
    updated_at: Timestamp(0),
    create_index: 0,
    modify_index: 0,
} => {
    "Action": action,
    "CreateIndex": create_index,
    "CreatedAt": created_at,
    "DefaultAddr": default_addr,
    "DefaultPort": default_port,
    "Description": description,
    "DestinationNS": destination_ns,
    "DestinationName": destination_name,
    "ID": id,
    "Meta": meta,
    "ModifyIndex": modify_index,
    "Permissions" = None::<String>,
    "Precedence": precedence,
    "SourceNS": source_ns,
    "SourceName": source_name,
    "SourceType": source_type,
    "UpdatedAt": updated_at,
} }

impl Value for Action {
    fn write(&self, to: &mut Writer) {
        to.raw(self.as_str());
    }

    /// What is neither is one that decides by what is in a request, as version 1.10 has them: we
    /// see no requests, so nothing is allowed by it.
    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match from.raw()? {
            b"allow" => Self::Allow,
            b"deny" | b"" => Self::Deny,
            _ => return Err(Malformed::Word),
        })
    }
}

/// Which intentions are asked for; one of them is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The one with this id.
    pub id: String,
    /// The one with exactly this source and destination.
    pub pair: Option<IntentionPair>,
    /// Those that may concern services.
    pub matching: Option<Matching>,
    /// Those that decide about this source and this destination.
    pub check: Option<IntentionPair>,
}

fields! { Wanted {
    "Check" fn put_check => take_check,
    "Exact" fn put_exact => take_exact,
    "IntentionID": id,
    "Match": matching,
} }

/// Services, as sources or as destinations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// Whether they are the sources.
    pub by_source: bool,
    /// Namespaces and names.
    pub names: Vec<(String, String)>,
}

record! { Matching {
    "Entries" fn put_names => take_names,
    "Type" fn put_side => take_side,
} }

#[derive(Default)]
struct Named {
    namespace: String,
    name: String,
}

record! { Named {
    "Name": name,
    "Namespace": namespace,
} }

/// Version 1.10 leaves out the only namespace.
fn in_namespace(namespace: String, name: String) -> (String, String) {
    if namespace.is_empty() { (DEFAULT_NAMESPACE.to_owned(), name) } else { (namespace, name) }
}

fn put_names(matching: &Matching, to: &mut Writer) {
    let named = |(namespace, name): &(String, String)| Named {
        namespace: namespace.clone(),
        name: name.clone(),
    };
    matching.names.iter().map(named).collect::<Vec<_>>().write(to);
}

fn take_names(matching: &mut Matching, from: &mut Reader<'_>) -> Result<(), Malformed> {
    let names = Vec::<Named>::read(from)?.into_iter();
    matching.names = names.map(|one| in_namespace(one.namespace, one.name)).collect();
    Ok(())
}

fn put_side(matching: &Matching, to: &mut Writer) {
    to.raw(if matching.by_source { "source" } else { "destination" });
}

fn take_side(matching: &mut Matching, from: &mut Reader<'_>) -> Result<(), Malformed> {
    matching.by_source = match from.raw()? {
        b"source" => true,
        b"destination" => false,
        _ => return Err(Malformed::Word),
    };
    Ok(())
}

/// Both sides of a connection; `kind` is there where it is asked about.
#[derive(Default)]
struct Pair {
    pair: IntentionPair,
}

record! { Pair {
    "DestinationNS": pair.destination.0,
    "DestinationName": pair.destination.1,
    "SourceNS": pair.source.0,
    "SourceName": pair.source.1,
    // The only one there is.
    "SourceType" = "consul",
} }

fn put_pair(pair: &Option<IntentionPair>, to: &mut Writer) {
    pair.clone().map(|pair| Pair { pair }).write(to);
}

fn take_pair(from: &mut Reader<'_>) -> Result<Option<IntentionPair>, Malformed> {
    Ok(Option::<Pair>::read(from)?.map(|Pair { pair }| IntentionPair {
        source: in_namespace(pair.source.0, pair.source.1),
        destination: in_namespace(pair.destination.0, pair.destination.1),
    }))
}

fn put_check(wanted: &Wanted, to: &mut Writer) {
    put_pair(&wanted.check, to);
}

fn take_check(wanted: &mut Wanted, from: &mut Reader<'_>) -> Result<(), Malformed> {
    wanted.check = take_pair(from)?;
    Ok(())
}

fn put_exact(wanted: &Wanted, to: &mut Writer) {
    put_pair(&wanted.pair, to);
}

fn take_exact(wanted: &mut Wanted, from: &mut Reader<'_>) -> Result<(), Malformed> {
    wanted.pair = take_pair(from)?;
    Ok(())
}

/// Whether a connection may be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// It may.
    pub allowed: bool,
}

record! { Decision { "Allowed": allowed, } }

data! {
    "Intentions": Option<Arc<Intention>> as AtMostOne;
    "Intentions": Vec<Arc<Intention>>;
    "Matches": Vec<Vec<Arc<Intention>>>;
}
