//! The consensus group and how much there is, for operators.
//!
//! The last voter cannot be removed: that would be the end of the group.

use std::collections::BTreeMap;

use lictor_state::Table;
use lictor_types::SERVER_SERVICE;
use lictor_types::catalog::{Service, ServiceKind};
use lictor_types::error::EndpointError;
use lictor_types::member::Members;
use lictor_types::operator::{RaftGroup, RaftServer, Usage};
use lictor_types::query::{Evaluated, QueryOptions, Reply};

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

/// Kinds of instances that belong to the mesh.
const NATIVE: &str = "connect-native";
const MESH: [&str; 6] = [
    "api-gateway",
    NATIVE,
    "connect-proxy",
    "ingress-gateway",
    "mesh-gateway",
    "terminating-gateway",
];

fn usage<'a>(nodes: usize, services: impl Iterator<Item = &'a Service>) -> Usage {
    let connect: BTreeMap<_, _> = MESH.iter().map(|kind| ((*kind).to_owned(), 0)).collect();
    let mut usage = Usage { nodes: nodes as u64, connect, ..Usage::default() };
    let mut names = std::collections::BTreeSet::new();
    for service in services {
        names.insert(&service.name);
        usage.instances += 1;
        let typical = service.kind == ServiceKind::Typical;
        if typical && &*service.name != SERVER_SERVICE {
            usage.billable += 1;
        }
        let native = typical && service.connect.native;
        let kind = if native { NATIVE } else { service.kind.as_str() };
        if let Some(count) = usage.connect.get_mut(kind) {
            *count += 1;
        }
    }
    usage.services = names.len() as u64;
    usage
}

impl Server {
    /// How much the catalog holds.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn operator_usage(
        &self,
        options: &QueryOptions,
    ) -> Result<Reply<Usage>, EndpointError> {
        self.may_answer(options).await?;
        need(self.authorizer(&options.token)?.operator_read())?;
        let view = self.view();
        let (_, nodes) = view.nodes(&Default::default());
        let datacenter = self.config().datacenter.clone();
        let held = usage(nodes.len(), view.all_services().map(|service| &**service));
        let index = view.table_index(&[Table::Nodes, Table::Services]);
        let result = Evaluated::new(index, Usage { datacenter, ..held });
        Ok(Reply { meta: self.meta(options, index), result })
    }

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

    /// Makes another voter leader: the one with this ID, or if that is empty, the one that has
    /// most of the log.
    ///
    /// # Errors
    /// When there is no such voter, it leads already, or nobody took over.
    pub async fn raft_transfer_leader(
        &self,
        datacenter: &str,
        token: &str,
        id: &str,
    ) -> Result<bool, EndpointError> {
        self.check_datacenter(datacenter)?;
        need(self.authorizer(token)?.operator_write())?;
        self.wait_for_leadership().await?;
        let unknown = || {
            let text = format!("id {id:?} was not found in the Raft configuration");
            EndpointError::refused(text)
        };
        let to = match id {
            "" => None,
            id => Some(uuid::Uuid::try_parse(id).map_err(|_| unknown())?),
        };
        let status = self.raft().status();
        if to.is_some_and(|to| status.voters.iter().all(|(id, _)| *id != to)) {
            return Err(unknown());
        }
        tracing::warn!(id, "an operator transfers the leadership");
        self.raft().transfer_leadership(to).await.map_err(propose_error)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn what_is_there_is_counted_by_kind() {
        let service = |name: &str, kind: &str, native| Service {
            name: name.into(),
            kind: kind.into(),
            connect: lictor_types::catalog::ServiceConnect { native, ..Default::default() },
            ..Service::default()
        };
        let all = [
            service("consul", "", false),
            service("redis", "", false),
            service("redis", "", false),
            service("redis-proxy", "connect-proxy", false),
            service("web", "", true),
            service("edge", "mesh-gateway", false),
            service("odd", "unheard-of", false),
        ];
        let usage = usage(3, all.iter());
        assert_eq!((usage.nodes, usage.services, usage.instances), (3, 6, 7));
        assert_eq!(usage.billable, 3);
        let counts: Vec<_> = usage.connect.values().copied().collect();
        assert_eq!(counts, [0, 1, 1, 0, 1, 0], "{:?}", usage.connect);
    }

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
        let stranger = uuid::Uuid::from_u128(9).to_string();
        for (id, text) in [
            ("", "there is no other voter"),
            ("zz", "id \"zz\" was not found in the Raft configuration"),
            (&stranger, &format!("id {stranger:?} was not found in the Raft configuration")),
            (&own.id, &format!("server {} is no other voter", own.id)),
        ] {
            let error = server.raft_transfer_leader("", "", id).await.unwrap_err();
            assert!(error.text.contains(text), "{}", error.text);
        }
        server.shutdown().await;
    }
}
