//! The consensus group, as operators see it.

/// The consensus group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RaftGroup {
    /// Its members.
    pub servers: Vec<RaftServer>,
    /// Index of its last change.
    pub index: u64,
}

/// A member of the consensus group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RaftServer {
    /// ID.
    pub id: String,
    /// Name of the node.
    pub node: String,
    /// `host:port`.
    pub address: String,
    /// Whether it leads.
    pub leader: bool,
    /// Whether it votes.
    pub voter: bool,
}
