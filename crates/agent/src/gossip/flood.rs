//! Every server of the datacenter is to be in the pool of all datacenters: those that are not yet
//! are joined there, again and again.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lictor_types::member::{MemberStatus, Members};
use tokio::time::{Instant, timeout};

use super::Gossip;
use crate::members;

/// How often it is looked without a reason.
const INTERVAL: Duration = Duration::from_secs(60);
/// Least pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Joins servers of the datacenter to the pool of all, until it is dropped.
pub(crate) async fn run(gossip: Arc<Gossip>) {
    let Some(pool) = gossip.pool(true) else { return };
    let mut changes = gossip.watch(false);
    loop {
        let lan = Members::clone(&changes.borrow_and_update());
        let there = pool.members().await.iter().map(members::known).collect::<Vec<_>>();
        for address in missing(&lan, &there, &gossip.datacenter, pool.address().port()) {
            Gossip::join_one(pool, address).await;
        }
        let looked = Instant::now();
        if let Ok(Err(_)) = timeout(INTERVAL, changes.changed()).await {
            return;
        }
        tokio::time::sleep_until(looked + PAUSE).await;
    }
}

/// Where servers of the datacenter can be joined that are not in the pool of all.
fn missing(
    lan: &Members,
    wan: &[members::Member],
    datacenter: &str,
    usual: u16,
) -> Vec<SocketAddr> {
    let servers = wan.iter().filter_map(members::Member::server);
    let there: HashSet<Arc<str>> = servers
        .filter(|server| server.datacenter == datacenter)
        .map(|server| server.name)
        .collect();
    let alive = lan.iter().filter(|member| member.status == MemberStatus::Alive);
    alive
        .filter_map(|member| member.server())
        .filter(|server| !there.contains(&server.name))
        .map(|server| SocketAddr::new(server.address.ip(), server.wan_join_port.unwrap_or(usual)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MemberPorts;
    use crate::testing;

    #[test]
    fn only_servers_that_are_missing_are_joined() {
        let mut config = testing::config();
        config.build.version = "1.2.0".to_owned();
        config.ports = MemberPorts { server: 1, serf_lan: 2, serf_wan: 3 };
        let named = |name: &str, wan: bool| {
            let mut config = config.clone();
            config.node_name = name.into();
            members::own(&config, wan, 9)
        };
        let mut failed = named("c", false);
        failed.status = MemberStatus::Failed;
        let mut client = named("d", false);
        client.tags.insert("role".into(), "node".into());
        let lan = [named("a", false), named("b", false), failed, client];
        let lan: Members = Arc::new(lan.into_iter().map(Arc::new).collect());
        let found = missing(&lan, &[named("a", true)], "dc1", 8302);
        assert_eq!(found, ["127.0.0.1:3".parse().unwrap()]);
    }
}
