//! Messages of the event layer: joining and leaving, user events, queries, and the keys' rotation.
//!
//! They travel as the content of the membership layer's user messages; their first byte is their
//! type.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::message::{address, write_address};
use crate::pack::{Malformed, Reader, Structure as _, Writer};

const LEAVE: u8 = 0;
const JOIN: u8 = 1;
const PUSH_PULL: u8 = 2;
const USER_EVENT: u8 = 3;
const QUERY: u8 = 4;
const QUERY_RESPONSE: u8 = 5;
const CONFLICT_RESPONSE: u8 = 6;
const KEY_REQUEST: u8 = 7;
const KEY_RESPONSE: u8 = 8;
const RELAY: u8 = 9;

/// Most slots of remembered events that are read, and how many are sent.
pub const EVENT_SLOTS: usize = 512;
const SLOTS_MAX: usize = 4096;
const LIST_MAX: usize = 1 << 20;

/// A response is asked for from everybody that gets the query.
pub const FLAG_ACK: u32 = 1;
/// The query is not passed on.
pub const FLAG_NO_BROADCAST: u32 = 2;

/// A time of one of the layer's logical clocks.
pub type LamportTime = u64;

/// A node joins or leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intent {
    /// When.
    pub ltime: LamportTime,
    /// Who.
    pub node: String,
    /// Whether it is to be forgotten at once. Only of leaving; old nodes do not say.
    pub prune: Option<bool>,
}

/// A user event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UserEvent {
    /// When.
    pub ltime: LamportTime,
    /// What.
    pub name: String,
    /// With it.
    pub payload: Vec<u8>,
    /// Whether events of the same name may be delivered as one.
    pub coalesce: bool,
}

/// An event that is remembered: name and payload.
pub type Remembered = (String, Vec<u8>);

/// What a node knows of the event layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The clock of members.
    pub ltime: LamportTime,
    /// When each node's status was last decided.
    pub status_ltimes: Vec<(Arc<str>, LamportTime)>,
    /// Nodes that have left.
    pub left: Vec<Arc<str>>,
    /// The clock of events.
    pub event_ltime: LamportTime,
    /// Slots of events by their times.
    pub events: Vec<Option<(LamportTime, Vec<Remembered>)>>,
    /// The clock of queries.
    pub query_ltime: LamportTime,
}

/// A question to all nodes, or some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// When.
    pub ltime: LamportTime,
    /// Random, to tell queries of one time apart.
    pub id: u32,
    /// Where answers go.
    pub address: SocketAddr,
    /// Encoded filters; all must match.
    pub filters: Vec<Vec<u8>>,
    /// [`FLAG_ACK`], [`FLAG_NO_BROADCAST`].
    pub flags: u32,
    /// How many others pass each answer on.
    pub relay_factor: u8,
    /// How long answers are waited for, in nanoseconds.
    pub timeout: u64,
    /// What is asked.
    pub name: String,
    /// With it.
    pub payload: Vec<u8>,
    /// Who asks; empty from old nodes, which do not send it.
    pub source: String,
}

/// An answer to a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryResponse {
    /// Of the query.
    pub ltime: LamportTime,
    /// Of the query.
    pub id: u32,
    /// Who answers.
    pub from: String,
    /// [`FLAG_ACK`]: only that the query has come.
    pub flags: u32,
    /// The answer.
    pub payload: Vec<u8>,
}

/// A node's view of who has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictResponse {
    /// The name.
    pub name: String,
    /// Where the node with it is.
    pub address: SocketAddr,
    /// Its tags.
    pub tags: crate::tags::Tags,
    /// Its status by number.
    pub status: u8,
    /// Its protocol versions.
    pub versions: crate::message::Versions,
}

/// An answer about keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyResponse {
    /// Whether it was done.
    pub result: bool,
    /// Why not.
    pub message: String,
    /// The node's keys in base64.
    pub keys: Vec<String>,
    /// The key in use; empty from old nodes.
    pub primary: String,
}

/// A message of the event layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventMessage {
    /// A node leaves, or is made to.
    Leave(Intent),
    /// A node joins.
    Join(Intent),
    /// All that is known; only within an exchange of states.
    State(State),
    /// A user event.
    UserEvent(UserEvent),
    /// A query.
    Query(Query),
    /// An answer to a query.
    QueryResponse(QueryResponse),
    /// Content of an answer.
    ConflictResponse(ConflictResponse),
    /// Content of a query: a key.
    KeyRequest(Vec<u8>),
    /// Content of an answer.
    KeyResponse(KeyResponse),
    /// A message to be passed on.
    Relay {
        /// To whom.
        to: SocketAddr,
        /// The receiver's name; empty from old nodes.
        name: String,
        /// The message, its type first.
        message: Vec<u8>,
    },
}

impl EventMessage {
    /// The message, its type first.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Leave(intent) => {
                let mut out = Writer::message(LEAVE);
                out.map(if intent.prune.is_some() { 3 } else { 2 });
                out.raw("LTime").uint(intent.ltime).raw("Node").raw(&intent.node);
                if let Some(prune) = intent.prune {
                    out.raw("Prune").bool(prune);
                }
                out.into_bytes()
            }
            Self::Join(intent) => {
                let mut out = Writer::message(JOIN);
                out.map(2).raw("LTime").uint(intent.ltime).raw("Node").raw(&intent.node);
                out.into_bytes()
            }
            Self::State(state) => state.encode(),
            Self::UserEvent(event) => {
                let mut out = Writer::message(USER_EVENT);
                out.map(4).raw("CC").bool(event.coalesce).raw("LTime").uint(event.ltime);
                out.raw("Name").raw(&event.name).raw("Payload").raw_or_nil(&event.payload);
                out.into_bytes()
            }
            Self::Query(query) => query.encode(),
            Self::QueryResponse(answer) => {
                let mut out = Writer::message(QUERY_RESPONSE);
                out.map(5).raw("Flags").uint(answer.flags.into()).raw("From").raw(&answer.from);
                out.raw("ID").uint(answer.id.into()).raw("LTime").uint(answer.ltime);
                out.raw("Payload").raw_or_nil(&answer.payload);
                out.into_bytes()
            }
            Self::ConflictResponse(member) => member.encode(),
            Self::KeyRequest(key) => {
                let mut out = Writer::message(KEY_REQUEST);
                out.map(1).raw("Key").raw_or_nil(key);
                out.into_bytes()
            }
            Self::KeyResponse(answer) => {
                let mut out = Writer::message(KEY_RESPONSE);
                let newer = !answer.primary.is_empty();
                out.map(if newer { 4 } else { 3 }).raw("Keys");
                if answer.keys.is_empty() {
                    out.nil();
                } else {
                    out.array(answer.keys.len());
                    for key in &answer.keys {
                        out.raw(key);
                    }
                }
                out.raw("Message").raw(&answer.message);
                if newer {
                    out.raw("PrimaryKey").raw(&answer.primary);
                }
                out.raw("Result").bool(answer.result);
                out.into_bytes()
            }
            Self::Relay { to, name, message } => {
                let mut out = Writer::message(RELAY);
                out.map(if name.is_empty() { 1 } else { 2 });
                out.raw("DestAddr").map(3).raw("IP");
                write_address(&mut out, to.ip());
                out.raw("Port").uint(to.port().into()).raw("Zone").raw("");
                if !name.is_empty() {
                    out.raw("DestName").raw(name);
                }
                out.append(message);
                out.into_bytes()
            }
        }
    }

    /// Reads a message, its type first.
    ///
    /// # Errors
    /// When it is none of this layer's, or cut off.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        Ok(match reader.byte()? {
            LEAVE => Self::Leave(Intent::read(&mut reader)?),
            JOIN => Self::Join(Intent::read(&mut reader)?),
            PUSH_PULL => Self::State(State::read(&mut reader)?),
            USER_EVENT => Self::UserEvent(UserEvent::read(&mut reader)?),
            QUERY => Self::Query(Query::read(&mut reader)?),
            QUERY_RESPONSE => Self::QueryResponse(QueryResponse::read(&mut reader)?),
            CONFLICT_RESPONSE => Self::ConflictResponse(ConflictResponse::read(&mut reader)?),
            KEY_REQUEST => {
                let mut found: &[u8] = &[];
                reader.structure(|key, r| {
                    let known = key == b"Key";
                    if known {
                        found = r.raw()?;
                    }
                    Ok(known)
                })?;
                Self::KeyRequest(found.to_vec())
            }
            KEY_RESPONSE => Self::KeyResponse(KeyResponse::read(&mut reader)?),
            RELAY => {
                let (mut to, mut name) = (None, String::new());
                reader.structure(|key, r| {
                    match key {
                        b"DestAddr" => to = Some(read_udp_address(r)?),
                        b"DestName" => r.text()?.clone_into(&mut name),
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?;
                let to = to.ok_or(Malformed::Type)?;
                Self::Relay { to, name, message: reader.rest().to_vec() }
            }
            kind => return Err(Malformed::Kind(kind)),
        })
    }
}

fn read_udp_address(reader: &mut Reader<'_>) -> Result<SocketAddr, Malformed> {
    let (mut ip, mut port): (&[u8], u16) = (&[], 0);
    reader.structure(|key, r| {
        match key {
            b"IP" => ip = r.raw()?,
            b"Port" => port = r.fit()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(SocketAddr::new(address(ip)?, port))
}

impl Intent {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut this = Self::default();
        reader.structure(|key, r| {
            match key {
                b"LTime" => this.ltime = r.uint()?,
                b"Node" => r.text()?.clone_into(&mut this.node),
                b"Prune" => this.prune = Some(r.bool()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(this)
    }
}

impl UserEvent {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut this = Self::default();
        reader.structure(|key, r| {
            match key {
                b"LTime" => this.ltime = r.uint()?,
                b"Name" => r.text()?.clone_into(&mut this.name),
                b"Payload" => this.payload = r.raw()?.to_vec(),
                b"CC" => this.coalesce = r.bool()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(this)
    }
}

impl State {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::message(PUSH_PULL);
        out.map(6).raw("EventLTime").uint(self.event_ltime).raw("Events");
        out.array(self.events.len());
        for slot in &self.events {
            match slot {
                None => {
                    out.nil();
                }
                Some((ltime, events)) => {
                    out.map(2).raw("Events").array(events.len());
                    for (name, payload) in events {
                        out.map(2).raw("Name").raw(name).raw("Payload").raw_or_nil(payload);
                    }
                    out.raw("LTime").uint(*ltime);
                }
            }
        }
        out.raw("LTime").uint(self.ltime).raw("LeftMembers").array(self.left.len());
        for node in &self.left {
            out.raw(&**node);
        }
        out.raw("QueryLTime").uint(self.query_ltime);
        out.raw("StatusLTimes").map(self.status_ltimes.len());
        for (node, ltime) in &self.status_ltimes {
            out.raw(&**node).uint(*ltime);
        }
        out.into_bytes()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut this = Self::default();
        reader.structure(|key, r| {
            match key {
                b"LTime" => this.ltime = r.uint()?,
                b"EventLTime" => this.event_ltime = r.uint()?,
                b"QueryLTime" => this.query_ltime = r.uint()?,
                b"StatusLTimes" => {
                    for _ in 0..within(r.map()?, LIST_MAX)? {
                        let node = Arc::from(r.text()?);
                        this.status_ltimes.push((node, r.uint()?));
                    }
                }
                b"LeftMembers" => {
                    for _ in 0..within(r.array()?, LIST_MAX)? {
                        this.left.push(Arc::from(r.text()?));
                    }
                }
                b"Events" => {
                    for _ in 0..within(r.array()?, SLOTS_MAX)? {
                        let slot = if r.nil() { None } else { Some(read_slot(r)?) };
                        this.events.push(slot);
                    }
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(this)
    }
}

fn read_slot(reader: &mut Reader<'_>) -> Result<(LamportTime, Vec<Remembered>), Malformed> {
    let (mut ltime, mut events) = (0, Vec::new());
    reader.structure(|key, r| {
        match key {
            b"LTime" => ltime = r.uint()?,
            b"Events" => {
                for _ in 0..within(r.array()?, SLOTS_MAX)? {
                    let (mut name, mut payload) = (String::new(), Vec::new());
                    r.structure(|key, r| {
                        match key {
                            b"Name" => r.text()?.clone_into(&mut name),
                            b"Payload" => payload = r.raw()?.to_vec(),
                            _ => return Ok(false),
                        }
                        Ok(true)
                    })?;
                    events.push((name, payload));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((ltime, events))
}

const fn within(count: usize, limit: usize) -> Result<usize, Malformed> {
    if count > limit { Err(Malformed::TooLarge) } else { Ok(count) }
}

impl Query {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::message(QUERY);
        out.map(if self.source.is_empty() { 10 } else { 11 }).raw("Addr");
        write_address(&mut out, self.address.ip());
        out.raw("Filters");
        if self.filters.is_empty() {
            out.nil();
        } else {
            out.array(self.filters.len());
            for filter in &self.filters {
                out.raw(filter);
            }
        }
        out.raw("Flags").uint(self.flags.into()).raw("ID").uint(self.id.into());
        out.raw("LTime").uint(self.ltime).raw("Name").raw(&self.name);
        out.raw("Payload").raw_or_nil(&self.payload);
        out.raw("Port").uint(self.address.port().into());
        out.raw("RelayFactor").uint(self.relay_factor.into());
        if !self.source.is_empty() {
            out.raw("SourceNode").raw(&self.source);
        }
        out.raw("Timeout").uint(self.timeout);
        out.into_bytes()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut this = Self {
            ltime: 0,
            id: 0,
            address: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            filters: Vec::new(),
            flags: 0,
            relay_factor: 0,
            timeout: 0,
            name: String::new(),
            payload: Vec::new(),
            source: String::new(),
        };
        let (mut ip, mut port): (&[u8], u16) = (&[], 0);
        reader.structure(|key, r| {
            match key {
                b"LTime" => this.ltime = r.uint()?,
                b"ID" => this.id = r.fit()?,
                b"Addr" => ip = r.raw()?,
                b"Port" => port = r.fit()?,
                b"Filters" => {
                    for _ in 0..within(r.array()?, SLOTS_MAX)? {
                        this.filters.push(r.raw()?.to_vec());
                    }
                }
                b"Flags" => this.flags = r.fit()?,
                b"RelayFactor" => this.relay_factor = r.fit()?,
                b"Timeout" => this.timeout = r.uint()?,
                b"Name" => r.text()?.clone_into(&mut this.name),
                b"Payload" => this.payload = r.raw()?.to_vec(),
                b"SourceNode" => r.text()?.clone_into(&mut this.source),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        this.address = SocketAddr::new(address(ip)?, port);
        Ok(this)
    }
}

impl QueryResponse {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut this = Self::default();
        reader.structure(|key, r| {
            match key {
                b"LTime" => this.ltime = r.uint()?,
                b"ID" => this.id = r.fit()?,
                b"From" => r.text()?.clone_into(&mut this.from),
                b"Flags" => this.flags = r.fit()?,
                b"Payload" => this.payload = r.raw()?.to_vec(),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(this)
    }
}

impl ConflictResponse {
    fn encode(&self) -> Vec<u8> {
        let [min, max, current, event_min, event_max, event_current] = self.versions.0;
        let mut out = Writer::message(CONFLICT_RESPONSE);
        out.map(11).raw("Addr");
        write_address(&mut out, self.address.ip());
        out.raw("DelegateCur").uint(event_current.into());
        out.raw("DelegateMax").uint(event_max.into());
        out.raw("DelegateMin").uint(event_min.into());
        out.raw("Name").raw(&self.name).raw("Port").uint(self.address.port().into());
        out.raw("ProtocolCur").uint(current.into()).raw("ProtocolMax").uint(max.into());
        out.raw("ProtocolMin").uint(min.into()).raw("Status").uint(self.status.into());
        out.raw("Tags").map(self.tags.len());
        for (name, value) in &self.tags {
            out.raw(name).raw(value);
        }
        out.into_bytes()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (mut name, mut port, mut status) = (String::new(), 0, 0);
        let mut ip: &[u8] = &[];
        let mut tags = crate::tags::Tags::new();
        let mut versions = [0; 6];
        reader.structure(|key, r| {
            match key {
                b"Name" => r.text()?.clone_into(&mut name),
                b"Addr" => ip = r.raw()?,
                b"Port" => port = r.fit()?,
                b"Status" => status = r.fit()?,
                b"Tags" => {
                    for _ in 0..within(r.map()?, SLOTS_MAX)? {
                        let tag = r.text()?.to_owned();
                        tags.insert(tag, r.text()?.to_owned());
                    }
                }
                b"ProtocolMin" => versions[0] = r.fit()?,
                b"ProtocolMax" => versions[1] = r.fit()?,
                b"ProtocolCur" => versions[2] = r.fit()?,
                b"DelegateMin" => versions[3] = r.fit()?,
                b"DelegateMax" => versions[4] = r.fit()?,
                b"DelegateCur" => versions[5] = r.fit()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let address = SocketAddr::new(address(ip)?, port);
        Ok(Self { name, address, tags, status, versions: crate::message::Versions(versions) })
    }
}

impl KeyResponse {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut this = Self::default();
        reader.structure(|key, r| {
            match key {
                b"Result" => this.result = r.bool()?,
                b"Message" => r.text()?.clone_into(&mut this.message),
                b"PrimaryKey" => r.text()?.clone_into(&mut this.primary),
                b"Keys" => {
                    for _ in 0..within(r.array()?, SLOTS_MAX)? {
                        this.keys.push(r.text()?.to_owned());
                    }
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(this)
    }
}
