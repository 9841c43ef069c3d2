//! Discovery chains, also for agents of later versions.

use lictor_types::chain::{ChainQuery, CompiledChain};
use lictor_types::error::EndpointError;
use lictor_types::query::{QueryOptions, Reply};
use lictor_wire::discovery_chain;

use crate::away::{Serving, answers, read};
use crate::servers::Servers;

impl Servers {
    /// The chain of an upstream, which needs the right to read its service. A server that was asked
    /// answers always with one.
    ///
    /// # Errors
    /// When the mesh is off or not ready, no service is named, the configuration entries make no
    /// chain, or no server can be asked.
    pub async fn discovery_chain(
        &self,
        options: &QueryOptions,
        asked: &ChainQuery,
    ) -> Result<Reply<Option<CompiledChain>>, EndpointError> {
        read!(
            self,
            options,
            |server| server.discovery_chain(options, asked),
            discovery_chain::Get,
            asked.clone(),
        )
    }
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    answers! { method, body;
        discovery_chain::Get, request => servers.discovery_chain(&request.options, &request.args);
    }
}
