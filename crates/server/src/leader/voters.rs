//! Who belongs to consensus: servers that join the datacenter follow without a vote, get one when
//! they have been well for a while, and are removed when they have left or others have taken their
//! place. Servers of the original gossip with ours, but speak another consensus: they are not added,
//! since a member that can never follow would count as one that has failed.

use std::time::Duration;

use bytes::Bytes;
use lictor_raft::{Peer, ProposeError, RaftStatus, Transport, TransportError};
use lictor_types::member::{MemberStatus, Members, ServerMember};
use uuid::Uuid;

use crate::server::Server;

/// How long a server that joins may take to say that it takes part.
const ANSWER: Duration = Duration::from_secs(2);

/// What is to be done for a server that is there.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Another server that is known by its address goes first.
    Remove(Uuid),
    /// It follows, without a vote yet.
    Follow,
    /// It is a voter, at another address by now.
    Move,
}

/// What is to be done for a server with this id and address, in order.
fn steps(status: &RaftStatus, id: Uuid, address: &str) -> Vec<Step> {
    let all = || status.voters.iter().chain(&status.nonvoters);
    if all().any(|(one, at)| *one == id && at == address) {
        return Vec::new();
    }
    let mut steps: Vec<_> = all()
        .filter(|(one, at)| *one != id && at == address)
        .map(|(one, _)| Step::Remove(*one))
        .collect();
    let voter = status.voters.iter().any(|(one, _)| *one == id);
    steps.push(if voter { Step::Move } else { Step::Follow });
    steps
}

/// A server is there: it belongs to consensus, if that is safe.
pub(super) async fn joined(
    server: &Server,
    member: &ServerMember,
    members: &Members,
) -> Result<(), ProposeError> {
    let config = server.config();
    // Whoever keeps nothing is alone.
    let Some(transport) = &config.transport else { return Ok(()) };
    let Ok(id) = Uuid::try_parse(&member.id) else {
        tracing::warn!(server = %member.name, "a server without an ID cannot take part");
        return Ok(());
    };
    if member.bootstrap {
        let twin = members
            .iter()
            .filter_map(|one| one.server())
            .find(|one| one.bootstrap && one.name != member.name);
        if let Some(twin) = twin {
            tracing::error!(
                one = %member.name, other = %twin.name,
                "both are in bootstrap mode: only one server should be, not adding it to consensus"
            );
            return Ok(());
        }
    }
    let status = server.raft().status();
    // Its own address could only be corrected by removing itself, which needs others.
    if *member.name == *config.node_name && status.voters.len() < 3 {
        return Ok(());
    }
    let address = member.address.to_string();
    for step in steps(&status, id, &address) {
        let peer = Peer { id, address: address.clone() };
        match step {
            Step::Remove(other) => {
                tracing::info!(id = %other, address, "removing a server whose address has another");
                server.raft().remove_peer(other).await?;
            }
            Step::Follow => {
                if let Err(error) = takes_part(&**transport, &address).await {
                    tracing::error!(
                        server = %member.name, version = member.version, address, %error,
                        "a server that joined does not take part in this consensus: it cannot be \
                         reached or trusted, or is one of Consul; it is not added, has no vote \
                         and answers nothing, and should leave"
                    );
                    return Ok(());
                }
                tracing::info!(server = %member.name, %id, address, "adding a server");
                server.raft().add_nonvoter(peer).await?;
            }
            Step::Move => {
                tracing::info!(server = %member.name, %id, address, "a server has moved");
                server.raft().add_voter(peer).await?;
            }
        }
    }
    Ok(())
}

/// Whether there is somebody who speaks of consensus as we do. What is said means nothing; whoever does
/// not know the language hangs up.
async fn takes_part(transport: &dyn Transport, address: &str) -> Result<(), TransportError> {
    let mut failed = TransportError::Timeout;
    // A connection may be lost once, by chance.
    for _ in 0..2 {
        match transport.call(address, Bytes::new(), ANSWER).await {
            Ok(_) => return Ok(()),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// A server left or is forgotten: it does not belong to consensus any more.
pub(super) async fn removed(server: &Server, member: &ServerMember) -> Result<(), ProposeError> {
    let Ok(id) = Uuid::try_parse(&member.id) else { return Ok(()) };
    let status = server.raft().status();
    let known = status.voters.iter().chain(&status.nonvoters).any(|(one, _)| *one == id);
    if !known || *member.name == *server.config().node_name {
        return Ok(());
    }
    tracing::info!(server = %member.name, %id, "removing a server");
    server.raft().remove_peer(id).await
}

/// What is to be cleaned up.
#[derive(Debug, Default, PartialEq, Eq)]
struct Dead {
    /// Failed members, by name.
    failed: Vec<String>,
    /// Servers that no member stands for.
    stale: Vec<Uuid>,
}

/// Dead servers, if they are less than half of what may be lost; so many voters are left at least.
fn dead(status: &RaftStatus, servers: &[ServerMember], min_quorum: u64) -> Dead {
    let all = status.nonvoters.iter().chain(&status.voters).enumerate();
    let mut found: Vec<_> = all
        .filter_map(|(at, (id, address))| {
            let votes = at >= status.nonvoters.len();
            let known = servers.iter().find(|server| {
                Uuid::try_parse(&server.id) == Ok(*id) || server.address.to_string() == *address
            });
            match known {
                None => Some((votes, None, *id)),
                Some(server) if server.status == MemberStatus::Failed => {
                    Some((votes, Some(server.name.to_string()), *id))
                }
                Some(_) => None,
            }
        })
        .collect();
    let (count, mut voters) = (found.len(), status.voters.len());
    if count > 0 && count >= voters / 2 {
        tracing::debug!(count, voters, "too many dead servers to remove any");
        return Dead::default();
    }
    // Those whom nobody knows go before those who may come back.
    found.sort_by_key(|(votes, name, _)| (*votes, name.is_some()));
    let mut dead = Dead::default();
    for (votes, name, id) in found {
        if votes && u64::try_from(voters).is_ok_and(|voters| voters <= min_quorum) {
            tracing::debug!(%id, min_quorum, "a dead server stays: too few voters would be left");
            continue;
        }
        voters -= usize::from(votes);
        match name {
            Some(name) => dead.failed.push(name),
            None => dead.stale.push(id),
        }
    }
    dead
}

/// Removes dead servers, if that is wanted and most are there.
pub(super) async fn clean_up(server: &Server) {
    let settings = server.autopilot_settings(&server.view());
    let members = Members::clone(&server.watch_members(false).borrow());
    // Without members nothing is known of anybody.
    if !settings.cleanup_dead_servers || members.is_empty() {
        return;
    }
    let servers: Vec<_> = members.iter().filter_map(|member| member.server()).collect();
    let dead = dead(&server.raft().status(), &servers, settings.min_quorum);
    for name in dead.failed {
        tracing::info!(server = name, "a failed server is made to leave");
        server.expel(&name);
    }
    for id in dead.stale {
        tracing::info!(%id, "removing a server that nobody knows");
        if let Err(error) = server.raft().remove_peer(id).await {
            tracing::warn!(%id, %error, "cannot remove a server");
        }
    }
}

/// Gives a vote to servers that have been well for long enough.
pub(super) async fn promote(server: &Server) {
    for (id, address) in server.stable_nonvoters() {
        tracing::info!(%id, address, "a server gets a vote");
        if let Err(error) = server.raft().add_voter(Peer { id, address }).await {
            tracing::warn!(%id, %error, "a server cannot get a vote");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_raft::Role;
    use std::net::SocketAddr;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn address(n: u128) -> String {
        format!("10.0.0.{n}:8300")
    }

    fn status(voters: &[u128], nonvoters: &[u128]) -> RaftStatus {
        let peers = |all: &[u128]| all.iter().map(|n| (id(*n), address(*n))).collect();
        RaftStatus {
            role: Role::Leader,
            term: 1,
            has_log: true,
            last_log_index: 1,
            commit_index: 1,
            applied_index: 1,
            snapshot_index: 0,
            snapshot_term: 0,
            group_index: 1,
            voters: peers(voters),
            nonvoters: peers(nonvoters),
            last_contact: None,
            peers: Vec::new(),
        }
    }

    fn member(n: u128, status: MemberStatus) -> ServerMember {
        ServerMember {
            name: format!("s{n}").into(),
            id: id(n).to_string(),
            datacenter: "dc1".to_owned(),
            address: address(n).parse::<SocketAddr>().unwrap(),
            bootstrap: false,
            expect: 0,
            version: "1.2.0".to_owned(),
            protocol: 2,
            raft_protocol: 3,
            wan_join_port: None,
            use_tls: false,
            non_voter: false,
            status,
        }
    }

    #[test]
    fn new_and_moved_servers_are_told_apart() {
        let group = status(&[1, 2], &[3]);
        assert_eq!(steps(&group, id(1), &address(1)), []);
        assert_eq!(steps(&group, id(3), &address(3)), []);
        assert_eq!(steps(&group, id(4), &address(4)), [Step::Follow]);
        assert_eq!(steps(&group, id(2), &address(5)), [Step::Move]);
        assert_eq!(steps(&group, id(3), &address(5)), [Step::Follow]);
        assert_eq!(steps(&group, id(5), &address(2)), [Step::Remove(id(2)), Step::Follow]);
        assert_eq!(steps(&group, id(1), &address(2)), [Step::Remove(id(2)), Step::Move]);
    }

    #[test]
    fn only_a_few_dead_servers_are_removed() {
        use MemberStatus::{Alive, Failed};
        let is = |n, status| member(n, status);
        let three = status(&[1, 2, 3], &[]);
        let servers = [is(1, Alive), is(2, Alive), is(3, Failed)];
        assert_eq!(dead(&three, &servers, 0), Dead::default(), "one of three is too many");
        let five = status(&[1, 2, 3, 4], &[5]);
        let servers = [is(1, Alive), is(2, Alive), is(3, Failed), is(4, Alive), is(5, Alive)];
        let found = dead(&five, &servers, 0);
        assert_eq!(found, Dead { failed: vec!["s3".into()], stale: Vec::new() });
        let gone = [servers[0].clone(), is(2, Alive), is(4, Alive), is(5, Alive)];
        let found = dead(&five, &gone, 0);
        assert_eq!(found, Dead { failed: Vec::new(), stale: vec![id(3)] });
        assert_eq!(dead(&five, &servers[..3], 0), Dead::default());
    }

    #[test]
    fn so_many_voters_are_left() {
        use MemberStatus::{Alive, Failed};
        let seven = status(&[1, 2, 3, 4, 5, 6], &[7]);
        let mut servers: Vec<_> = (1..=6).map(|n| member(n, Alive)).collect();
        servers[2].status = Failed;
        // The third has failed, nobody knows the seventh, which has no vote.
        let found = |min_quorum| dead(&seven, &servers, min_quorum);
        let all = Dead { failed: vec!["s3".into()], stale: vec![id(7)] };
        assert_eq!(found(0), all);
        assert_eq!(found(5), all);
        assert_eq!(found(6), Dead { failed: Vec::new(), stale: vec![id(7)] });
        // Of two voters that are dead, the one whom nobody knows goes first.
        let six = status(&[1, 2, 3, 4, 5, 6], &[]);
        servers.remove(5);
        assert_eq!(dead(&six, &servers, 5), Dead { failed: Vec::new(), stale: vec![id(6)] });
        assert_eq!(dead(&six, &servers, 6), Dead::default());
    }
}
