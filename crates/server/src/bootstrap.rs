//! The birth of a cluster of several servers that know how many they are to be.
//!
//! Each of them waits until it sees that many that expect the same number. It asks all of them
//! whether they belong to a cluster already; if none does, it begins one of all of them. All do the
//! same with the same list, so it does not matter that none of them is told to be the first.
//! Source: observed behaviour; `internals.md`.

use std::future::Future;
use std::time::Duration;

use lictor_raft::Peer;
use lictor_types::member::{MemberStatus, Members, ServerMember};
use uuid::Uuid;

use crate::server::Server;

/// The first pause before a server is asked again, which doubles, and how often it is asked.
const RETRY: Duration = Duration::from_millis(250);
const ATTEMPTS: u32 = 6;

/// What the members make of it.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// There are not enough yet.
    Wait,
    /// These are all that are expected.
    Ask(Vec<ServerMember>),
    /// Something is wrong, which somebody has to put right.
    Wrong(String),
}

fn plan(members: &Members, datacenter: &str, expect: u32) -> Plan {
    let mut servers = Vec::new();
    for member in members.iter() {
        // Whoever is gone cannot be the first.
        if member.status != MemberStatus::Alive {
            continue;
        }
        let Some(server) = member.server().filter(|server| server.datacenter == datacenter) else {
            continue;
        };
        let name = &server.name;
        if server.expect != 0 && server.expect != expect {
            return Plan::Wrong(format!(
                "Member {name} has a conflicting expect value. All nodes should expect the same \
                 number."
            ));
        }
        if server.bootstrap {
            return Plan::Wrong(format!("Member {name} has bootstrap mode. Expect disabled."));
        }
        if Uuid::try_parse(&server.id).is_err() {
            return Plan::Wrong(format!("Member {name} has no ID."));
        }
        servers.push(server);
    }
    match u32::try_from(servers.len()).unwrap_or(u32::MAX) >= expect {
        true => Plan::Ask(servers),
        false => Plan::Wait,
    }
}

impl Server {
    /// Begins a cluster once as many servers are there as are expected. `ask` gives the addresses
    /// of the voters that a server knows. Ends when this server belongs to a cluster, its own or
    /// another, and at once if it expects nobody.
    pub async fn bootstrap_when_complete<F>(&self, ask: impl Fn(ServerMember) -> F)
    where
        F: Future<Output = Result<Vec<String>, String>>,
    {
        let expect = self.config().expect;
        if expect < 2 {
            if !self.raft().status().has_log {
                // Nothing is wrong with a server that joins others; alone it waits for ever.
                tracing::warn!(
                    "this server has no log, and is told by neither bootstrap nor \
                     bootstrap_expect to begin a cluster: it waits until it joins others"
                );
            }
            return;
        }
        let mut members = self.watch_members(false);
        let mut complaint = String::new();
        loop {
            if self.raft().status().has_log {
                tracing::info!("this server has a log already: it does not begin a cluster");
                return;
            }
            let now = Members::clone(&members.borrow_and_update());
            match plan(&now, &self.config().datacenter, expect) {
                Plan::Wait => {}
                Plan::Wrong(text) if text == complaint => {}
                Plan::Wrong(text) => {
                    tracing::error!("{text}");
                    complaint = text;
                }
                Plan::Ask(servers) => {
                    if self.begin(&servers, &ask).await {
                        return;
                    }
                }
            }
            tokio::select! {
                () = self.ending() => return,
                changed = members.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// Gives true when there is nothing left to do.
    async fn begin<F>(&self, servers: &[ServerMember], ask: &impl Fn(ServerMember) -> F) -> bool
    where
        F: Future<Output = Result<Vec<String>, String>>,
    {
        for server in servers.iter().filter(|one| *one.name != *self.config().node_name) {
            let mut pause = RETRY;
            for attempt in 1..=ATTEMPTS {
                match ask(server.clone()).await {
                    Ok(peers) if peers.is_empty() => break,
                    Ok(_) => {
                        // Its leader takes this server in; who began anew would be alone.
                        let server = &server.name;
                        tracing::info!(%server, "another server belongs to a cluster already");
                        return true;
                    }
                    Err(error) if attempt == ATTEMPTS => {
                        let server = &server.name;
                        tracing::warn!(%server, error, "a server does not say if it has peers");
                        break;
                    }
                    Err(error) => {
                        tracing::debug!(server = %server.name, error, again_in = ?pause, "no peers");
                        tokio::time::sleep(pause).await;
                        pause *= 2;
                    }
                }
            }
        }
        let peer = |server: &ServerMember| {
            let id = Uuid::try_parse(&server.id).ok()?;
            Some(Peer { id, address: server.address.to_string() })
        };
        let mut voters: Vec<_> = servers.iter().filter_map(peer).collect();
        voters.sort_by_key(|peer| peer.id);
        tracing::info!(?voters, "found expected number of servers, beginning a cluster");
        match self.raft().bootstrap(&voters).await {
            Ok(_) => true,
            Err(error) => {
                tracing::error!(%error, "cannot begin a cluster");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_types::member::Member;
    use std::net::IpAddr;
    use std::sync::Arc;

    fn server(n: u8, more: &[(&str, &str)]) -> Arc<Member> {
        let id = Uuid::from_u128(n.into()).to_string();
        let tags = [
            ("role", "consul"),
            ("dc", "dc1"),
            ("port", "8300"),
            ("build", "1.2.0:"),
            ("vsn", "2"),
            ("id", &id),
            ("expect", "3"),
        ];
        let all = tags.iter().chain(more);
        Arc::new(Member {
            name: format!("s{n}").into(),
            address: IpAddr::from([10, 0, 0, n]),
            port: 8301,
            tags: all.map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            status: MemberStatus::Alive,
            protocol: [1, 5, 2],
            delegate: [2, 5, 4],
        })
    }

    #[test]
    fn it_takes_as_many_as_are_expected() {
        let of = |members: Vec<Arc<Member>>| plan(&Arc::new(members), "dc1", 3);
        let (a, b, c) = (server(1, &[]), server(2, &[]), server(3, &[]));
        assert_eq!(of(vec![Arc::clone(&a), Arc::clone(&b)]), Plan::Wait);
        let others = [server(4, &[("dc", "dc2")]), server(5, &[("role", "node")])];
        let two = [vec![Arc::clone(&a), Arc::clone(&b)], others.to_vec()].concat();
        assert_eq!(of(two), Plan::Wait);
        let Plan::Ask(all) = of(vec![Arc::clone(&a), Arc::clone(&b), Arc::clone(&c)]) else {
            panic!("they are all there")
        };
        assert_eq!(all.len(), 3);
        let gone = Arc::new(Member { status: MemberStatus::Failed, ..Member::clone(&c) });
        assert_eq!(of(vec![Arc::clone(&a), Arc::clone(&b), gone]), Plan::Wait);
        for (wrong, text) in [
            (("expect", "5"), "has a conflicting expect value"),
            (("bootstrap", "1"), "has bootstrap mode"),
            (("id", ""), "has no ID"),
        ] {
            let found = of(vec![Arc::clone(&a), Arc::clone(&b), server(3, &[wrong])]);
            assert!(matches!(&found, Plan::Wrong(why) if why.contains(text)), "{found:?}");
        }
    }
}
