//! The servers, as an agent needs them: the one seam between this crate and `lictor_forward`,
//! which knows where they are.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use lictor_acl::Authorizer;
use lictor_forward::{Pools, Servers, WriteOptions};
use lictor_server::{CaRoots, SignedLeaf, Stats};
use lictor_types::Index;
use lictor_types::catalog::NodeInfo;
use lictor_types::check::HealthCheck;
use lictor_types::command::{DeregisterRequest, RegisterRequest};
use lictor_types::coordinate::NodeCoordinate;
use lictor_types::error::EndpointError;
use lictor_types::intention::Intention;
use lictor_types::kv::{KvEntry, KvWrite};
use lictor_types::member::Members;
use lictor_types::query::{Consistency, Evaluated, QueryOptions, Reply};

/// What an agent asks of the servers.
pub trait Upstream: Clone + fmt::Debug + Send + Sync + 'static {
    /// Everything about a node; `None` when it is unknown.
    fn node(
        &self,
        token: &str,
        node: &str,
    ) -> impl Future<Output = Result<Option<NodeInfo>, EndpointError>> + Send;
    /// The checks of a node with their index; may block.
    fn node_checks(
        &self,
        options: &QueryOptions,
        node: &str,
    ) -> impl Future<Output = Result<(Index, Vec<Arc<HealthCheck>>), EndpointError>> + Send;
    /// Adds to the catalog.
    fn register(
        &self,
        token: &str,
        request: RegisterRequest,
    ) -> impl Future<Output = Result<(), EndpointError>> + Send;
    /// Removes from the catalog.
    fn deregister(
        &self,
        token: &str,
        request: DeregisterRequest,
    ) -> impl Future<Output = Result<(), EndpointError>> + Send;
    /// The trusted roots; may block.
    fn ca_roots(
        &self,
        options: &QueryOptions,
    ) -> impl Future<Output = Result<Reply<CaRoots>, EndpointError>> + Send;
    /// Has a certificate request signed.
    fn sign(
        &self,
        token: &str,
        request_pem: &str,
    ) -> impl Future<Output = Result<SignedLeaf, EndpointError>> + Send;
    /// The intentions that match a destination, highest precedence first. The same result is the
    /// same allocation as long as nothing changed.
    fn intentions_for(
        &self,
        token: &str,
        destination: &str,
    ) -> impl Future<Output = Result<Arc<Evaluated<Vec<Arc<Intention>>>>, EndpointError>> + Send;
    /// What the bearer of a token may do; nobody in particular bears an empty one.
    fn authorizer(
        &self,
        token: &str,
    ) -> impl Future<Output = Result<Arc<Authorizer>, EndpointError>> + Send;
    /// Other datacenters are asked with this token from now on, for what is copied from there.
    fn set_replication_token(&self, _secret: &str) {}
    /// Whether access control is on.
    fn acl_enabled(&self) -> bool;
    /// Whether what an agent is asked needs no right, as before `acl_enforce_version_8`.
    fn agents_open(&self) -> bool {
        false
    }
    /// Whether a connection may be made that no intention speaks about.
    fn intention_default_allow(&self) -> bool;
    /// Tells where a node is in the network.
    fn update_coordinate(
        &self,
        token: &str,
        update: NodeCoordinate,
    ) -> impl Future<Output = Result<(), EndpointError>> + Send;
    /// One key; with `stale` from whichever server answers.
    fn kv_get(
        &self,
        token: &str,
        key: &str,
        stale: bool,
    ) -> impl Future<Output = Result<Option<Arc<KvEntry>>, EndpointError>> + Send;
    /// A write to a key; gives whether it took place.
    fn kv_apply(
        &self,
        token: &str,
        write: KvWrite,
    ) -> impl Future<Output = Result<bool, EndpointError>> + Send;
    /// The members of the datacenter's pool, or of that of all datacenters' servers, are these now:
    /// all of them on a server, only servers on another agent, of `count` that there are.
    fn set_members(&self, wan: bool, members: &Members, count: usize);
    /// The next failed member that is to be made leave, since others have taken its place.
    fn next_expelled(&self) -> impl Future<Output = Option<Arc<str>>> + Send;
    /// Sends a user event, encoded already, to all agents of another datacenter.
    fn fire_event(
        &self,
        datacenter: &str,
        token: &str,
        name: &str,
        payload: Vec<u8>,
    ) -> impl Future<Output = Result<(), EndpointError>> + Send;
    /// Says which pools the agent is in, once.
    fn set_pools(&self, pools: Arc<dyn Pools>) {
        drop(pools);
    }
    /// The agent is about to leave the pools.
    fn leave(&self) -> impl Future<Output = ()> + Send;
    /// The agent has left the pools.
    fn left(&self) -> impl Future<Output = ()> + Send;
    /// Figures about the servers as far as this agent knows them: sections `consul` and `raft`.
    fn stats(&self) -> Stats;
}

impl Upstream for Servers {
    async fn node(&self, token: &str, node: &str) -> Result<Option<NodeInfo>, EndpointError> {
        let options = QueryOptions {
            token: token.to_owned(),
            consistency: Consistency::Stale,
            ..QueryOptions::default()
        };
        let reply = self.node_infos(&options, Some(node)).await?;
        Ok(reply.result.value.first().cloned())
    }

    async fn node_checks(
        &self,
        options: &QueryOptions,
        node: &str,
    ) -> Result<(Index, Vec<Arc<HealthCheck>>), EndpointError> {
        let reply = self.health_node_checks(options, node).await?;
        Ok((reply.result.index, reply.result.value.clone()))
    }

    async fn register(&self, token: &str, request: RegisterRequest) -> Result<(), EndpointError> {
        self.catalog_register(&WriteOptions::here(token), request).await
    }

    async fn deregister(
        &self,
        token: &str,
        request: DeregisterRequest,
    ) -> Result<(), EndpointError> {
        self.catalog_deregister(&WriteOptions::here(token), request).await
    }

    async fn ca_roots(&self, options: &QueryOptions) -> Result<Reply<CaRoots>, EndpointError> {
        Self::ca_roots(self, options).await
    }

    async fn sign(&self, token: &str, request_pem: &str) -> Result<SignedLeaf, EndpointError> {
        self.ca_sign(&WriteOptions::here(token), request_pem).await
    }

    async fn intentions_for(
        &self,
        token: &str,
        destination: &str,
    ) -> Result<Arc<Evaluated<Vec<Arc<Intention>>>>, EndpointError> {
        Self::intentions_for(self, token, destination).await
    }

    async fn authorizer(&self, token: &str) -> Result<Arc<Authorizer>, EndpointError> {
        Self::authorizer(self, token).await
    }

    fn set_replication_token(&self, secret: &str) {
        Self::set_replication_token(self, secret);
    }

    fn acl_enabled(&self) -> bool {
        Self::acl_enabled(self)
    }

    fn agents_open(&self) -> bool {
        self.acl_settings().nodes_open
    }

    fn intention_default_allow(&self) -> bool {
        Self::intention_default_allow(self)
    }

    async fn update_coordinate(
        &self,
        token: &str,
        update: NodeCoordinate,
    ) -> Result<(), EndpointError> {
        self.coordinate_update(&WriteOptions::here(token), update).await
    }

    async fn kv_get(
        &self,
        token: &str,
        key: &str,
        stale: bool,
    ) -> Result<Option<Arc<KvEntry>>, EndpointError> {
        let consistency = if stale { Consistency::Stale } else { Consistency::Consistent };
        let token = token.to_owned();
        let options = QueryOptions { token, consistency, ..QueryOptions::default() };
        Ok(Self::kv_get(self, &options, key).await?.result.value.clone())
    }

    async fn kv_apply(&self, token: &str, write: KvWrite) -> Result<bool, EndpointError> {
        Self::kv_apply(self, &WriteOptions::here(token), write).await
    }

    fn set_members(&self, wan: bool, members: &Members, count: usize) {
        Self::set_members(self, wan, members, count);
    }

    async fn next_expelled(&self) -> Option<Arc<str>> {
        Self::next_expelled(self).await
    }

    async fn fire_event(
        &self,
        datacenter: &str,
        token: &str,
        name: &str,
        payload: Vec<u8>,
    ) -> Result<(), EndpointError> {
        let to = WriteOptions { datacenter: datacenter.to_owned(), token: token.to_owned() };
        self.event_fire(&to, name, payload).await
    }

    fn set_pools(&self, pools: Arc<dyn Pools>) {
        Self::set_pools(self, pools);
    }

    async fn leave(&self) {
        Self::leave(self).await;
    }

    async fn left(&self) {
        Self::left(self).await;
    }

    fn stats(&self) -> Stats {
        Self::stats(self)
    }
}
