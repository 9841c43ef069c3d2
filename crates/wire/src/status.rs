//! The servers themselves: their leader, their peers, how far their log is.

use crate::record::record;
use crate::{ReadRequest, methods};

methods! {
    /// Address of the leader; empty if there is none. Version 1.2 asks with nothing.
    Leader = "Status.Leader": ReadRequest => String;
    /// Addresses of the voters. Version 1.2 asks with nothing.
    Peers = "Status.Peers": ReadRequest => Vec<String>;
    /// Whether somebody is there.
    Ping = "Status.Ping": () => ();
    /// How far a server's log is; the leader asks every two seconds.
    RaftStats = "Status.RaftStats": () => LogStats;
}

/// How far a server's log is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// How long ago it heard of the leader, as a duration text; `0` for the leader, `never`.
    pub last_contact: String,
    /// Index of its last entry.
    pub last_index: u64,
    /// Term of its last entry.
    pub last_term: u64,
}

record! { LogStats {
    "LastContact": last_contact,
    "LastIndex": last_index,
    "LastTerm": last_term,
} }
