//! The agent among others: members, joining and leaving, user events.

use std::sync::Arc;

use lictor_types::Index;
use lictor_types::coordinate::Coordinate;
use lictor_types::error::EndpointError;
use lictor_types::member::{MemberStatus, Members};
use lictor_types::query::QueryOptions;
use tokio::sync::watch;

use super::{Agent, Ending};
use crate::error::AgentError;
use crate::event::{self, EventRequest, UserEvent};
use crate::gossip::{Follower, flood, follow};
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
                // Without pruning it never fails.
                let _ = own.inner.gossip.force_leave(&name, false).await;
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
    /// When one is to be forgotten that nobody knows.
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

    /// Leaves the cluster, and returns when others know. A server goes on answering meanwhile, for as
    /// long as it is told to: whoever has not heard yet still asks it.
    pub async fn leave_pools(&self) {
        let inner = &self.inner;
        let alive = |member: &&Arc<Member>| member.status == MemberStatus::Alive;
        let others = self.watch_members(false).borrow().iter().filter(alive).count() > 1;
        tracing::info!("leaving");
        inner.upstream.leave().await;
        inner.gossip.leave().await;
        let time = inner.config.leave_drain;
        let drained = async {
            if inner.config.server && others && !time.is_zero() {
                tracing::info!(?time, "waiting to drain RPC traffic");
                tokio::time::sleep(time).await;
            }
        };
        tokio::join!(drained, inner.upstream.left());
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
    /// When a filter is not in order, the event too large, or nobody can be asked in the datacenter.
    pub async fn fire_event(
        &self,
        token: &str,
        request: EventRequest,
    ) -> Result<UserEvent, AgentError> {
        let inner = &self.inner;
        if !request.datacenter.is_empty() && request.datacenter != inner.config.datacenter {
            let datacenter = request.datacenter.clone();
            let (event, payload) = event::make(request)?;
            let name = &event.request.name;
            inner.upstream.fire_event(&datacenter, token, name, payload).await?;
            return Ok(event);
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
        self.inner.pools.send(name, payload).await.map_err(AgentError::refused)
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
        self.inner.pools.keep_keys(wan).await;
    }
}
