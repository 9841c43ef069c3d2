//! The consensus group and autopilot.

use lictor_server::{AutopilotHealth, RaftGroup, RaftPeer};
use lictor_types::autopilot::{AutopilotConfig, AutopilotWrite};
use lictor_types::error::EndpointError;
use lictor_types::operator::Usage;
use lictor_types::query::{QueryOptions, Reply};
use lictor_wire::operator::{self, PeerArgs, State};

use crate::away::{Serving, WriteOptions, answers, read, write};
use crate::servers::Servers;

impl Servers {
    /// How much the catalog of a datacenter holds.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn operator_usage(
        &self,
        options: &QueryOptions,
    ) -> Result<Reply<Usage>, EndpointError> {
        read!(self, options, |server| server.operator_usage(options), operator::Usage, ())
    }

    /// The consensus group.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn raft_configuration(
        &self,
        options: &QueryOptions,
    ) -> Result<RaftGroup, EndpointError> {
        read!(
            self,
            options,
            |server| server.raft_configuration(options),
            operator::RaftGetConfiguration,
            (),
        )
    }

    /// Removes a member from the consensus group.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn raft_remove_peer(
        &self,
        to: &WriteOptions,
        peer: RaftPeer<'_>,
    ) -> Result<(), EndpointError> {
        let (dc, token) = (&to.datacenter, &to.token);
        match peer {
            RaftPeer::Id(id) => {
                let args = || PeerArgs { id: id.to_owned(), ..PeerArgs::default() };
                write!(
                    self,
                    to,
                    |server| server.raft_remove_peer(dc, token, peer),
                    operator::RaftRemovePeerByID,
                    args(),
                )
            }
            RaftPeer::Address(address) => {
                let args = || PeerArgs { address: address.to_owned(), ..PeerArgs::default() };
                write!(
                    self,
                    to,
                    |server| server.raft_remove_peer(dc, token, peer),
                    operator::RaftRemovePeerByAddress,
                    args(),
                )
            }
        }
    }

    /// Makes another voter leader: the one with this ID, or if that is empty, any other.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn raft_transfer_leader(
        &self,
        to: &WriteOptions,
        id: &str,
    ) -> Result<bool, EndpointError> {
        write!(
            self,
            to,
            |server| server.raft_transfer_leader(&to.datacenter, &to.token, id),
            operator::RaftTransferLeader,
            PeerArgs { id: id.to_owned(), ..PeerArgs::default() },
        )
    }

    /// The settings of autopilot.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn autopilot_config(
        &self,
        options: &QueryOptions,
    ) -> Result<AutopilotConfig, EndpointError> {
        read!(
            self,
            options,
            |server| server.autopilot_config(options),
            operator::AutopilotGetConfiguration,
            (),
        )
    }

    /// Changes the settings of autopilot; gives whether it took place.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn autopilot_set_config(
        &self,
        to: &WriteOptions,
        change: AutopilotWrite,
    ) -> Result<bool, EndpointError> {
        write!(
            self,
            to,
            |server| server.autopilot_set_config(&to.datacenter, &to.token, change.clone()),
            operator::AutopilotSetConfiguration,
            change.clone(),
        )
    }

    /// The servers' health, as the leader sees it.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn autopilot_health(
        &self,
        options: &QueryOptions,
    ) -> Result<AutopilotHealth, EndpointError> {
        // Only the leader knows it.
        let options = &QueryOptions { consistency: Default::default(), ..options.clone() };
        read!(self, options, |server| server.autopilot_health(options), operator::Health, ())
    }
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    answers! { method, body;
        operator::RaftGetConfiguration, request => servers.raft_configuration(&request.options);
        operator::Usage, request => servers.operator_usage(&request.options);
        operator::RaftRemovePeerByID, request => async {
            let to = WriteOptions { datacenter: request.datacenter, token: request.token };
            servers.raft_remove_peer(&to, RaftPeer::Id(&request.args.id)).await
        };
        operator::RaftRemovePeerByAddress, request => async {
            let to = WriteOptions { datacenter: request.datacenter, token: request.token };
            servers.raft_remove_peer(&to, RaftPeer::Address(&request.args.address)).await
        };
        operator::RaftTransferLeader, request => async {
            let to = WriteOptions { datacenter: request.datacenter, token: request.token };
            servers.raft_transfer_leader(&to, &request.args.id).await
        };
        operator::AutopilotGetConfiguration, request =>
            servers.autopilot_config(&request.options);
        operator::AutopilotSetConfiguration, request => async {
            let to = WriteOptions { datacenter: request.datacenter, token: request.token };
            servers.autopilot_set_config(&to, request.args).await
        };
        operator::Health, request => servers.autopilot_health(&request.options);
        operator::AutopilotState, request => async {
            Ok::<_, EndpointError>(State(servers.autopilot_health(&request.options).await?))
        };
    }
}
