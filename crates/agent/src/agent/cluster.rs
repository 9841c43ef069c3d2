//! The agent among others: members, joining and leaving, user events, keys of gossip.

use std::sync::Arc;

use lictor_types::Index;
use lictor_types::coordinate::Coordinate;
use lictor_types::error::EndpointError;
use lictor_types::member::Members;
use lictor_types::query::QueryOptions;
use tokio::sync::watch;

use super::{Agent, Ending};
use crate::error::AgentError;
use crate::event::{self, EventRequest, UserEvent};
use crate::gossip::{Follower, USER_EVENT, flood, follow};
use crate::keyring::{self, KeyringOperation, PoolKeys};
use crate::members::Member;
use crate::upstream::Upstream;

impl<U: Upstream> Agent<U> {
    /// Follows the pools, and joins what is to be joined until that succeeds.
    pub(super) fn spawn_gossip(&self) {
        let inner = &self.inner;
        for wan in [false, true] {
            let Some(pool) = inner.gossip.pool(wan) else { continue };
            // All servers need to know all members, since each of them may lead.
            let everybody = inner.config.server;
            let (gossip, events) = (Arc::clone(&inner.gossip), pool.subscribe());
            let run = follow::run(gossip, wan, everybody, events, self.clone());
            inner.tasks.spawn_cut("gossip events", run);
        }
        if inner.gossip.pool(true).is_some() {
            inner.tasks.spawn_cut("flood", flood::run(Arc::clone(&inner.gossip)));
        }
        let own = self.clone();
        inner.tasks.spawn_cut("expulsions", async move {
            while let Some(name) = own.inner.upstream.next_expelled().await {
                if let Err(error) = own.inner.gossip.force_leave(&name, false).await {
                    tracing::warn!(%error, "a failed server cannot be made to leave");
                }
            }
        });
        let settings = &inner.config.gossip;
        for (wan, pool) in [(false, Some(&settings.lan)), (true, settings.wan.as_ref())] {
            let Some(retry) = pool.map(|pool| pool.retry.clone()) else { continue };
            if retry.addresses.is_empty() {
                continue;
            }
            let agent = self.clone();
            inner.tasks.spawn_cut("joining", async move {
                if let Err(text) = agent.inner.gossip.join_until(&retry, wan).await {
                    tracing::error!("{text}");
                    agent.inner.ending.send_replace(Ending::Failed(text));
                }
            });
        }
    }

    /// Joins what has to be joined at the start.
    pub(super) async fn join_at_start(&self) -> Result<(), AgentError> {
        let settings = &self.inner.config.gossip;
        for (wan, pool) in [(false, Some(&settings.lan)), (true, settings.wan.as_ref())] {
            if let Some(pool) = pool.filter(|pool| !pool.join.is_empty()) {
                self.inner.gossip.join(&pool.join, wan).await?;
            }
        }
        Ok(())
    }

    /// The members of the LAN or WAN pool that this agent knows, by name.
    pub async fn members(&self, wan: bool) -> Vec<Member> {
        self.inner.gossip.members(wan).await
    }

    /// Members of the LAN pool (on an agent that is no server, only servers), or of the WAN pool,
    /// as they are and as they change.
    #[must_use]
    pub fn watch_members(&self, wan: bool) -> watch::Receiver<Members> {
        self.inner.gossip.watch(wan)
    }

    /// Where this agent is in the network of its datacenter; `None` when that is not estimated.
    pub async fn coordinate(&self) -> Option<Coordinate> {
        if self.inner.config.disable_coordinates {
            return None;
        }
        self.inner.gossip.coordinate().await
    }

    /// Joins the pool of the member at `address`, a name or an IP address with or without a port.
    ///
    /// # Errors
    /// When it does not answer, or does not let this agent in.
    pub async fn join(&self, address: &str, wan: bool) -> Result<(), AgentError> {
        self.inner.gossip.join(&[address.to_owned()], wan).await.map(drop)
    }

    /// Takes a failed member for one that left; with `prune` it is forgotten at once.
    ///
    /// # Errors
    /// When nobody knows such a member.
    pub async fn force_leave(&self, node: &str, prune: bool) -> Result<(), AgentError> {
        tracing::info!(node, prune, "force-leave");
        self.inner.gossip.force_leave(node, prune).await
    }

    /// Leaves the cluster, then asks for the end of this agent: whoever waits for [`Agent::ended`]
    /// is to shut it down.
    pub async fn leave(&self) {
        self.leave_pools().await;
        self.inner.ending.send_replace(Ending::Left);
    }

    /// Leaves the cluster, and returns when others know.
    pub async fn leave_pools(&self) {
        tracing::info!("leaving");
        self.inner.upstream.leave().await;
        self.inner.gossip.leave().await;
        self.inner.upstream.left().await;
    }

    /// Resolves once the agent is to end: it has left, or cannot go on.
    pub async fn ended(&self) -> Ending {
        let mut ending = self.inner.ending.subscribe();
        match ending.wait_for(|ending| *ending != Ending::No).await {
            Ok(ending) => ending.clone(),
            // The sender lives as long as `self`.
            Err(_) => Ending::Left,
        }
    }

    /// Fires a user event.
    ///
    /// # Errors
    /// When a filter is not in order, the event too large, or the datacenter unknown.
    pub async fn fire_event(
        &self,
        token: &str,
        request: EventRequest,
    ) -> Result<UserEvent, AgentError> {
        let config = &self.inner.config;
        if !request.datacenter.is_empty() && request.datacenter != config.datacenter {
            return Err(EndpointError::no_path_to_datacenter().into());
        }
        let who = self.rights(token).await?;
        if !who.event_write(&request.name) {
            return Err(EndpointError::permission_denied().into());
        }
        let (event, payload) = event::make(request)?;
        self.send_event(&event.request.name, payload).await?;
        Ok(event)
    }

    /// Sends a user event to all agents of this datacenter; `payload` is the whole event, encoded.
    ///
    /// # Errors
    /// When it is too large.
    pub async fn send_event(&self, name: &str, payload: Vec<u8>) -> Result<(), AgentError> {
        let name = format!("{USER_EVENT}{name}");
        let send = self
            .inner
            .gossip
            .lan()
            .with(move |serf, _| serf.user_event(&name, &payload, false).map(drop));
        match send.await {
            Some(sent) => sent.map_err(AgentError::refused),
            None => Err(AgentError::refused("gossip has ended")),
        }
    }

    /// The last user events that concerned this agent and may be seen, with their index, which
    /// has no order; may block.
    ///
    /// # Errors
    /// When there is no such token.
    pub async fn events(
        &self,
        options: &QueryOptions,
        name: &str,
    ) -> Result<(Index, Vec<Arc<UserEvent>>), AgentError> {
        self.rights(&options.token).await?;
        let (index, mut events) = self.inner.events.list(options, name).await;
        let who = self.rights(&options.token).await?;
        events.retain(|event| who.event_read(&event.request.name));
        Ok((index, events))
    }

    /// Runs what an event asks for, if that is allowed.
    fn run_for(&self, event: UserEvent) {
        if self.inner.config.disable_remote_exec {
            tracing::info!(id = %event.id, "remote execution is disabled: event ignored");
            return;
        }
        let (exec, stop) = (Arc::clone(&self.inner.remote_exec), self.inner.tasks.token().clone());
        self.inner.tasks.spawn("remote execution", async move { exec.answer(&event, &stop).await });
    }

    /// Has all members of every pool that this server is in show or change the keys of gossip.
    /// Answers also go by way of `relay_factor` other members.
    ///
    /// # Errors
    /// When gossip is not encrypted, the key is not in order, a rule forbids it, or a member
    /// failed.
    pub async fn keyring(
        &self,
        token: &str,
        operation: KeyringOperation<'_>,
        relay_factor: u8,
    ) -> Result<Vec<PoolKeys>, AgentError> {
        let who = self.rights(token).await?;
        match operation {
            KeyringOperation::List if !who.keyring_read() => {
                return Err(AgentError::refused("Reading keyring denied by ACLs"));
            }
            KeyringOperation::List => {}
            _ if !who.keyring_write() => {
                return Err(AgentError::refused("Modifying keyring denied due to ACLs"));
            }
            _ => {}
        }
        let inner = &self.inner;
        let done = keyring::operate(&inner.gossip, &inner.config, operation, relay_factor).await;
        // Whoever is told that it is done can rely on the files of this agent.
        for wan in [false, true] {
            self.keep_keys(wan).await;
        }
        done
    }

    async fn keep_keys(&self, wan: bool) {
        let Some(pool) = self.inner.gossip.pool(wan) else { return };
        let Some(ring) = pool.with(|serf, _| serf.swim().keyring().clone()).await else { return };
        let keyring = Arc::clone(&self.inner.keyring);
        let keep = move || keyring.keep(wan, ring);
        if let Some(Err(error)) = self.inner.tasks.blocking("keeping keys", keep).await {
            tracing::error!(%error, "the keys of gossip cannot be kept");
        }
    }
}

impl<U: Upstream> Follower for Agent<U> {
    fn members(&self, wan: bool, members: &Members, count: usize) {
        self.inner.upstream.set_members(wan, members, count);
    }

    fn user_event(&self, _name: &str, payload: &[u8], time: u64) {
        let inner = &self.inner;
        let services = || inner.host.local.services();
        let node = &inner.config.node_name;
        if let Some(asked) = inner.events.receive(payload, time, node, services) {
            self.run_for(asked);
        }
    }

    async fn keys_changed(&self, wan: bool) {
        self.keep_keys(wan).await;
    }
}
