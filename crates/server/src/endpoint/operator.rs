//! The consensus group, for operators.
//!
//! Its last voter cannot be removed: that would be the end of it.

use lictor_types::error::EndpointError;
use lictor_types::member::Members;
use lictor_types::operator::{RaftGroup, RaftServer};
use lictor_types::query::QueryOptions;

use crate::rights::need;
use crate::server::{Server, propose_error};

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
        let members = Members::clone(&self.watch_members(false).borrow());
        let name_of = |id: &str| {
            let named = members.iter().filter(|member| member.id().eq_ignore_ascii_case(id));
            let name = named.filter_map(|member| member.server()).next().map(|server| server.name);
            match name {
                Some(name) => name.to_string(),
                None if id.eq_ignore_ascii_case(&config.node_id) => config.node_name.to_string(),
                None => UNKNOWN.to_owned(),
            }
        };
        let voters = status.voters.into_iter().map(|peer| (peer, true));
        let all = voters.chain(status.nonvoters.into_iter().map(|peer| (peer, false)));
        let servers = all.map(|((id, address), voter)| {
            let (leader, id) = (leader == Some(id), id.to_string());
            RaftServer { node: name_of(&id), id, address, leader, voter }
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
        let status = self.raft().status();
        let mut all = status.voters.iter().chain(&status.nonvoters);
        let (what, name, found) = match peer {
            RaftPeer::Id(id) => ("id", id, all.find(|(one, _)| one.to_string() == id)),
            RaftPeer::Address(address) => ("address", address, all.find(|(_, at)| at == address)),
        };
        let Some((id, _)) = found else {
            let text = format!("{what} {name:?} was not found in the Raft configuration");
            return Err(EndpointError::refused(text));
        };
        if status.voters.len() == 1 && status.voters[0].0 == *id {
            return Err(EndpointError::refused("need at least one voter in configuration"));
        }
        tracing::warn!(%id, "an operator removes a server from consensus");
        self.raft().remove_peer(*id).await.map_err(propose_error)
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
