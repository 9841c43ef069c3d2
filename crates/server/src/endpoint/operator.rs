//! The consensus group, for operators.
//!
//! So far a group has one member, which cannot be removed: that would be the end of it.

use lictor_types::error::EndpointError;
use lictor_types::operator::{RaftGroup, RaftServer};
use lictor_types::query::QueryOptions;

use crate::rights::need;
use crate::server::Server;

/// What a member is called whose name is not known.
const UNKNOWN: &str = "(unknown)";

/// How a member is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaftPeer<'a> {
    /// By its ID.
    Id(&'a str),
    /// By its address.
    Address(&'a str),
}

impl Server {
    /// The consensus group.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn raft_configuration(
        &self,
        options: &QueryOptions,
    ) -> Result<RaftGroup, EndpointError> {
        self.may_answer(options).await?;
        need(self.authorizer(&options.token)?.operator_read())?;
        let status = self.raft().status();
        let leader = self.leadership().borrow().leader.as_ref().map(|leader| leader.id);
        let config = self.config();
        let servers = status.voters.into_iter().map(|(id, address)| {
            let (leader, id) = (leader == Some(id), id.to_string());
            let own = id.eq_ignore_ascii_case(&config.node_id);
            let node = if own { config.node_name.to_string() } else { UNKNOWN.to_owned() };
            RaftServer { id, node, address, leader, voter: true }
        });
        // Our log begins at 0, the original's at 1.
        Ok(RaftGroup { servers: servers.collect(), index: status.group_index + 1 })
    }

    /// Removes a member from the consensus group.
    ///
    /// # Errors
    /// When there is no such member, or it is the last.
    pub async fn raft_remove_peer(
        &self,
        datacenter: &str,
        token: &str,
        peer: RaftPeer<'_>,
    ) -> Result<(), EndpointError> {
        self.check_datacenter(datacenter)?;
        need(self.authorizer(token)?.operator_write())?;
        self.wait_for_leadership().await?;
        let voters = self.raft().status().voters;
        let (what, name, known) = match peer {
            RaftPeer::Id(id) => ("id", id, voters.iter().any(|(one, _)| one.to_string() == id)),
            RaftPeer::Address(address) => {
                ("address", address, voters.iter().any(|(_, one)| one == address))
            }
        };
        Err(EndpointError::refused(if known {
            "need at least one voter in configuration".to_owned()
        } else {
            format!("{what} {name:?} was not found in the Raft configuration")
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn a_group_of_one_stays() {
        let server = testing::start().await;
        let group = server.raft_configuration(&QueryOptions::default()).await.unwrap();
        let [own] = group.servers.as_slice() else { panic!("{group:?}") };
        assert_eq!((own.node.as_str(), own.leader, own.voter), ("n1", true, true));
        for (peer, text) in [
            (RaftPeer::Id(&own.id), "need at least one voter in configuration"),
            (RaftPeer::Address(&own.address), "need at least one voter in configuration"),
            (RaftPeer::Id("zz"), "id \"zz\" was not found in the Raft configuration"),
            (RaftPeer::Address("a:1"), "address \"a:1\" was not found in the Raft configuration"),
        ] {
            let error = server.raft_remove_peer("", "", peer).await.unwrap_err();
            assert_eq!(error.text, text);
        }
        server.shutdown().await;
    }
}
