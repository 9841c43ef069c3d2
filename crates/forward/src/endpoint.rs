//! What can be asked of servers; one file for each resource, with the way there and the way back.

mod acl;
mod acl_resolve;
mod acl_token;
mod auto_encrypt;
mod catalog;
mod config_entry;
mod connect_ca;
mod coordinate;
mod discovery_chain;
mod gateway;
mod health;
mod intention;
mod internal;
mod kv;
mod operator;
mod prepared_query;
mod session;
mod snapshot;
mod status;
mod txn;

pub use auto_encrypt::JoinOffer;
pub use catalog::Wanted;
pub(crate) use config_entry::all_received;
pub use gateway::GatewayService;

use crate::away::{ServeError, Serving};
use crate::servers::Servers;

impl Servers {
    /// Answers a call of another agent: a MessagePack body for a body. What this server cannot
    /// answer itself is sent on.
    pub fn serve<'a>(&'a self, method: &str, body: Vec<u8>) -> Serving<'a> {
        let answering = match method.split_once('.') {
            Some(("ACL", "Apply" | "Get" | "List")) => acl_token::serve_legacy(self, method, body),
            Some((
                "ACL",
                "GetPolicy" | "PolicyResolve" | "RoleResolve" | "PolicyBatchRead" | "RoleBatchRead"
                | "TokenBatchRead" | "ReplicationStatus",
            )) => acl_resolve::serve(self, method, body),
            Some(("ACL", _)) => acl::serve(self, method, body),
            Some(("Catalog", _)) => catalog::serve(self, method, body),
            Some(("Internal", _)) => internal::serve(self, method, body),
            Some(("DiscoveryChain", _)) => discovery_chain::serve(self, method, body),
            Some(("Health", _)) => health::serve(self, method, body),
            Some(("KVS", _)) => kv::serve(self, method, body),
            Some(("Session", _)) => session::serve(self, method, body),
            Some(("ConfigEntry", _)) => config_entry::serve(self, method, body),
            Some(("ConnectCA", _)) => connect_ca::serve(self, method, body),
            Some(("Coordinate", _)) => coordinate::serve(self, method, body),
            Some(("Intention", _)) => intention::serve(self, method, body),
            Some(("Operator", _)) => operator::serve(self, method, body),
            Some(("PreparedQuery", _)) => prepared_query::serve(self, method, body),
            Some(("Txn", _)) => txn::serve(self, method, body),
            Some(("Status", _)) => status::serve(self, method, body),
            _ => return Box::pin(std::future::ready(Err(ServeError::NoService))),
        };
        answering.unwrap_or_else(|| Box::pin(std::future::ready(Err(ServeError::NoMethod))))
    }
}
