//! The leader and its peers.

use crate::server::Server;

impl Server {
    /// Address of the leader; empty if none is known.
    #[must_use]
    pub fn status_leader(&self) -> String {
        let leadership = self.leadership();
        let leadership = leadership.borrow();
        leadership.leader.as_ref().map(|leader| leader.address.clone()).unwrap_or_default()
    }

    /// Addresses of all voters.
    #[must_use]
    pub fn status_peers(&self) -> Vec<String> {
        self.raft().status().voters.into_iter().map(|(_, address)| address).collect()
    }
}
