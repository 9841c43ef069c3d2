//! The leader and its peers.

use lictor_types::autopilot::LogStatus;
use lictor_types::duration;
use lictor_types::error::EndpointError;
use lictor_types::query::{Consistency, QueryOptions};
use lictor_wire::status::{self, LogStats};

use crate::away::{Serving, answers, read};
use crate::servers::Servers;

/// Whoever is asked answers: it is what it knows itself.
fn anybody(datacenter: &str) -> QueryOptions {
    QueryOptions {
        datacenter: datacenter.to_owned(),
        consistency: Consistency::Stale,
        ..QueryOptions::default()
    }
}

impl Servers {
    /// Address of the leader; empty if none is known.
    ///
    /// # Errors
    /// When nobody can be asked.
    pub async fn status_leader(&self, datacenter: &str) -> Result<String, EndpointError> {
        let options = &anybody(datacenter);
        let here = async |server: &lictor_server::Server| {
            self.check_own(datacenter).map(|()| server.status_leader())
        };
        read!(self, options, |server| here(server), status::Leader, ())
    }

    /// Addresses of all voters.
    ///
    /// # Errors
    /// When nobody can be asked.
    pub async fn status_peers(&self, datacenter: &str) -> Result<Vec<String>, EndpointError> {
        let options = &anybody(datacenter);
        let here = async |server: &lictor_server::Server| {
            self.check_own(datacenter).map(|()| server.status_peers())
        };
        read!(self, options, |server| here(server), status::Peers, ())
    }

    /// How far the log of this very server is.
    ///
    /// # Errors
    /// On a client agent.
    fn log_stats(&self) -> Result<LogStats, EndpointError> {
        let server = self.only_here()?;
        let LogStatus { last_contact, last_term, last_index } = server.log_status();
        let last_contact = match last_contact {
            _ if server.leads() => "0".to_owned(),
            i64::MAX => "never".to_owned(),
            nanos => duration::format(nanos),
        };
        Ok(LogStats { last_contact, last_index, last_term })
    }

    /// Sends what is for another datacenter away.
    pub(crate) fn check_own(&self, datacenter: &str) -> Result<(), EndpointError> {
        if datacenter.is_empty() || *datacenter == *self.config().datacenter {
            Ok(())
        } else {
            Err(EndpointError::no_path_to_datacenter())
        }
    }
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    answers! { method, body;
        status::RaftStats, () => async { servers.log_stats() };
        status::Ping, () => async { Ok::<_, EndpointError>(()) };
        status::Leader, request => servers.status_leader(&request.options.datacenter);
        status::Peers, request => servers.status_peers(&request.options.datacenter);
    }
}
