//! What agents ask on behalf of the UI and of operators.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use lictor_pack::{Malformed, Reader, Writer};
use lictor_types::catalog::{CheckServiceNode, Node, NodeInfo};
use lictor_types::query::Reply;

use crate::catalog::{NodeArgs, NodesArgs};
use crate::record::{Fields, as_value, fields, record};
use crate::reply::data;
use crate::value::{Value, words};
use crate::{ReadRequest, methods};

methods! {
    /// A node with everything on it.
    NodeInformation = "Internal.NodeInfo": ReadRequest<NodeArgs> => Reply<Vec<NodeInfo>>;
    /// All nodes with everything on them.
    NodeDump = "Internal.NodeDump": ReadRequest<NodesArgs> => Reply<Vec<NodeInfo>>;
    /// All instances of all services with their checks. Version 1.2 does not know it.
    ServiceDump = "Internal.ServiceDump": ReadRequest<DumpArgs> => Reply<Vec<CheckServiceNode>>;
    /// Fires an event in the datacenter.
    EventFire = "Internal.EventFire": ReadRequest<EventArgs> => Reply<()>;
    /// Works on the keys of gossip.
    Keyring = "Internal.KeyringOperation": ReadRequest<KeyringArgs> => Reply<Vec<KeyringReply>>;
}

/// Which services are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpArgs {
    /// Only those of this kind, if `use_kind`.
    pub kind: String,
    /// Whether the kind counts: an ordinary service's is empty.
    pub use_kind: bool,
}

fields! { DumpArgs {
    "ServiceKind": kind,
    "UseServiceKind": use_kind,
} }

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventArgs {
    /// Its name.
    pub name: String,
    /// The encoded event.
    pub payload: Bytes,
}

fields! { EventArgs {
    "Name": name,
    "Payload": payload,
} }

/// What is done to the keys of gossip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyringOp {
    /// They are shown.
    #[default]
    List,
    /// One is added.
    Install,
    /// One encrypts from now on.
    Use,
    /// One is forgotten.
    Remove,
}

words! { KeyringOp {
    "list": List,
    "install": Install,
    "use": Use,
    "remove": Remove,
} }

/// An operation on the keys of gossip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyringArgs {
    /// What is done.
    pub op: KeyringOp,
    /// With which key, in base64.
    pub key: String,
    /// Through how many others each answer goes as well.
    pub relay_factor: u8,
    /// Whether another server asks, which has asked the other datacenters itself.
    pub forwarded: bool,
    /// Whether other datacenters are not asked.
    pub local_only: bool,
}

fields! { KeyringArgs {
    "Forwarded": forwarded,
    "Key": key,
    "LocalOnly": local_only,
    "Operation": op,
    "RelayFactor": relay_factor,
} }

/// What the members of a pool say about their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyringReply {
    /// Whether it is the pool of the servers of all datacenters.
    pub wan: bool,
    /// Datacenter of the pool.
    pub datacenter: String,
    /// What members could not do, by their names.
    pub messages: BTreeMap<String, String>,
    /// Keys in base64, with the number of members that have them.
    pub keys: BTreeMap<String, usize>,
    /// Those that encrypt, likewise.
    pub primary_keys: BTreeMap<String, usize>,
    /// Members that were asked.
    pub members: usize,
    /// Why it failed as a whole; empty if it did not.
    pub error: String,
}

record! { KeyringReply {
    "Datacenter": datacenter,
    "Error": error,
    "Keys": keys,
    "Messages": messages,
    "NumNodes": members,
    "PrimaryKeys": primary_keys,
    "Segment" = "",
    "WAN": wan,
} }

impl Fields for NodeInfo {
    const COUNT: usize = 7;

    fn zero() -> Self {
        Self { node: Arc::default(), services: Vec::new(), checks: Vec::new() }
    }

    fn write_fields(&self, to: &mut Writer) {
        to.raw("Address").raw(&self.node.address);
        to.raw("Checks");
        self.checks.write(to);
        to.raw("ID").raw(&self.node.id);
        to.raw("Meta");
        self.node.meta.write(to);
        to.raw("Node").raw(&*self.node.name);
        to.raw("Services");
        self.services.write(to);
        to.raw("TaggedAddresses");
        self.node.tagged_addresses.write(to);
    }

    fn read_field(&mut self, key: &[u8], from: &mut Reader<'_>) -> Result<bool, Malformed> {
        match key {
            b"Checks" => self.checks = Value::read(from)?,
            b"Services" => self.services = Value::read(from)?,
            // Nobody shares the node yet, so nothing is copied.
            b"Address" | b"ID" | b"Meta" | b"Node" | b"TaggedAddresses" => {
                return Arc::make_mut(&mut self.node).read_field(key, from);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

as_value!(NodeInfo, costs Arc::<Node>::COST);

data! {
    "Dump": Vec<NodeInfo>;
    "Responses": Vec<KeyringReply>;
}
