//! What membership means for calls: which servers can be asked, and when a cluster begins.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use lictor_types::member::{MemberStatus, Members, ServerMember};
use lictor_types::query::QueryOptions;
use lictor_wire::{Message as _, Method, ReadRequest, status};

use crate::routes::{Routes, ServerInfo, Target};
use crate::servers::Servers;

/// How long another server may take to say who its peers are.
const PEERS_WITHIN: Duration = Duration::from_secs(5);

impl Servers {
    /// The members of the datacenter's pool, or of that of all datacenters' servers, are these now:
    /// all of them on a server, only servers on a client agent, of `count` that there are.
    pub fn set_members(&self, wan: bool, members: &Members, count: usize) {
        if let Some(server) = self.here() {
            server.set_members(wan, members);
        }
        if !wan {
            self.routes().set_members(count);
        }
        follow(self.routes(), wan, members);
    }

    /// The next failed member that the agent is to make leave; a client agent is never told any.
    pub async fn next_expelled(&self) -> Option<Arc<str>> {
        match self.here() {
            Some(server) => server.next_expelled().await,
            None => pending().await,
        }
    }

    /// The agent is about to leave the pools.
    pub async fn leave(&self) {
        if let Some(server) = self.here() {
            server.leave().await;
        }
    }

    /// The agent has left the pools.
    pub async fn left(&self) {
        if let Some(server) = self.here() {
            server.left().await;
        }
    }

    /// Begins a cluster with others, if this server is told to wait for them.
    pub(crate) async fn bootstrap(&self) {
        if let Some(server) = self.here() {
            server.bootstrap_when_complete(|other| self.peers_of(other)).await;
        }
    }

    /// The addresses of the voters that another server knows.
    async fn peers_of(&self, server: ServerMember) -> Result<Vec<String>, String> {
        let datacenter = server.datacenter.as_str().into();
        let to = Target { datacenter, address: server.address };
        let request = ReadRequest::new(&QueryOptions::default(), ());
        let body = request.encode().map_err(|error| error.to_string())?;
        let answer = self.caller().call(&to, status::Peers::NAME, body, PEERS_WITHIN).await;
        let answer = answer.map_err(|failure| failure.to_string())?;
        <status::Peers as Method>::Reply::decode(&answer).map_err(|error| error.to_string())
    }
}

/// Makes the routes of the own datacenter, or of all others, those of the members that are there.
fn follow(routes: &Routes, wan: bool, members: &Members) {
    let own = Arc::clone(routes.datacenter());
    // Those of the own datacenter are known by their LAN addresses.
    let is_of = |datacenter: &str| (*datacenter == *own) != wan;
    let there: Vec<ServerInfo> = members
        .iter()
        .filter(|member| matches!(member.status, MemberStatus::Alive | MemberStatus::Leaving))
        .filter_map(|member| member.server())
        .filter(|server| is_of(&server.datacenter))
        .map(|server| ServerInfo {
            name: server.name,
            id: server.id,
            datacenter: server.datacenter.into(),
            address: server.address,
        })
        .collect();
    for datacenter in routes.datacenters().iter().filter(|datacenter| is_of(datacenter)) {
        for known in routes.servers(datacenter) {
            let stays = |one: &ServerInfo| one.datacenter == *datacenter && one.name == known.name;
            if !there.iter().any(stays) {
                routes.remove(datacenter, &known.name);
            }
        }
    }
    for server in there {
        routes.add(server);
    }
    // Who failed may come back: calls are told so, instead of that there is no such datacenter.
    let mut known: BTreeSet<Arc<str>> = members
        .iter()
        .filter(|member| member.status != MemberStatus::Left)
        .filter_map(|member| Some(member.server()?.datacenter.into()))
        .filter(|datacenter: &Arc<str>| is_of(datacenter))
        .collect();
    known.insert(Arc::clone(&own));
    for datacenter in routes.datacenters().iter().filter(|one| is_of(one)) {
        if !known.contains(datacenter) {
            routes.forget(datacenter);
        }
    }
    for datacenter in known.iter().filter(|one| is_of(one)) {
        routes.know(datacenter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_types::member::Member;
    use std::net::IpAddr;

    fn member(name: &str, datacenter: &str, status: MemberStatus) -> Arc<Member> {
        let tags = [
            ("role", "consul"),
            ("dc", datacenter),
            ("port", "8300"),
            ("build", "1.2.0:"),
            ("vsn", "2"),
        ];
        Arc::new(Member {
            name: name.into(),
            address: IpAddr::from([10, 0, 0, 1]),
            port: 8301,
            tags: tags.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
            status,
            protocol: [1, 5, 2],
            delegate: [2, 5, 4],
        })
    }

    #[test]
    fn routes_are_the_servers_that_are_there() {
        use MemberStatus::{Alive, Failed};
        let routes = Routes::new("dc1");
        let names = |datacenter: &str| {
            let mut names: Vec<_> =
                routes.servers(datacenter).iter().map(|one| one.name.to_string()).collect();
            names.sort();
            names
        };
        let (a, b) = (member("a", "dc1", Alive), member("b", "dc1", Alive));
        follow(&routes, false, &Arc::new(vec![Arc::clone(&a), b]));
        let far = [member("a.dc1", "dc1", Alive), member("c.dc2", "dc2", Alive)];
        follow(&routes, true, &Arc::new(far.to_vec()));
        assert_eq!((names("dc1"), names("dc2")), (vec!["a".into(), "b".into()], vec!["c".into()]));
        follow(&routes, false, &Arc::new(vec![a, member("b", "dc1", Failed)]));
        assert_eq!((names("dc1"), names("dc2")), (vec!["a".into()], vec!["c".into()]));
        let failed = member("c.dc2", "dc2", Failed);
        follow(&routes, true, &Arc::new(vec![failed]));
        assert_eq!((names("dc2"), routes.knows("dc2")), (vec![], true));
        follow(&routes, true, &Arc::new(vec![member("c.dc2", "dc2", MemberStatus::Left)]));
        assert!(!routes.knows("dc2"));
        follow(&routes, true, &Arc::new(far.to_vec()));
        follow(&routes, true, &Members::default());
        assert_eq!(routes.datacenters(), ["dc1".into()]);
    }
}
