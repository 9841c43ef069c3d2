//! What servers ask of the pools that this agent is in, on behalf of others: where the servers of all
//! datacenters are, user events, and the keys of gossip.

use std::sync::Arc;

use lictor_forward::{Asking, KeyringArgs, KeyringReply, Map, Place, Pools};
use lictor_task::TaskSet;
use lictor_types::member::MemberStatus;

use crate::gossip::{Gossip, USER_EVENT, coordinate};
use crate::keyring::{self, Keyring};
use crate::members;

/// The pools of an agent.
#[derive(Debug)]
pub(crate) struct AgentPools {
    pub(crate) datacenter: String,
    pub(crate) gossip: Arc<Gossip>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) tasks: TaskSet,
}

impl AgentPools {
    /// Sends a user event, encoded already, to all agents of this datacenter.
    pub(crate) async fn send(&self, name: &str, payload: Vec<u8>) -> Result<(), String> {
        let name = format!("{USER_EVENT}{name}");
        let send = move |serf: &mut lictor_gossip::serf::Serf, _| {
            serf.user_event(&name, &payload, false).map(drop)
        };
        self.gossip.lan().with(send).await.unwrap_or_else(|| Err("gossip has ended".to_owned()))
    }

    /// Keeps the keys that a pool has now.
    pub(crate) async fn keep_keys(&self, wan: bool) {
        let Some(pool) = self.gossip.pool(wan) else { return };
        let Some(ring) = pool.with(|serf, _| serf.swim().keyring().clone()).await else { return };
        let keyring = Arc::clone(&self.keyring);
        let keep = move || keyring.keep(wan, ring);
        if let Some(Err(error)) = self.tasks.blocking("keeping keys", keep).await {
            tracing::error!(%error, "the keys of gossip cannot be kept");
        }
    }
}

impl Pools for AgentPools {
    fn map(&self) -> Asking<'_, Option<Map>> {
        Box::pin(async {
            let found = self.gossip.pool(true)?.with(|serf, _| {
                let own = coordinate(serf.coordinate());
                let all = serf.members();
                let place = |member: &lictor_gossip::serf::Member| {
                    let found = serf.coordinate_of(&member.info.name).map(coordinate);
                    (member.clone(), found)
                };
                (own, all.iter().map(place).collect::<Vec<_>>())
            });
            let (own, all) = found.await?;
            let servers = all.into_iter().filter_map(|(member, coordinate)| {
                let server = members::known(&member).server()?;
                let there = server.status != MemberStatus::Left;
                let datacenter = server.datacenter.into();
                there.then_some(Place { name: server.name, datacenter, coordinate })
            });
            Some(Map { own, servers: servers.collect() })
        })
    }

    fn fire<'a>(&'a self, name: &'a str, payload: Vec<u8>) -> Asking<'a, Result<(), String>> {
        Box::pin(self.send(name, payload))
    }

    fn keys<'a>(&'a self, wan: bool, asked: &'a KeyringArgs) -> Asking<'a, Option<KeyringReply>> {
        Box::pin(async move {
            let pool = self.gossip.pool(wan)?;
            let done = keyring::operate(pool, asked).await;
            // Whoever is told that it is done can rely on the files of this agent.
            self.keep_keys(wan).await;
            Some(KeyringReply { wan, datacenter: self.datacenter.clone(), ..done })
        })
    }
}
