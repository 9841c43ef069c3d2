//! Configuration entries, of which there are none.

use lictor_state::View;
use lictor_types::error::EndpointError;
use lictor_types::query::{Evaluated, QueryOptions, Reply};

use crate::read::Read;
use crate::rights::Anybody;
use crate::server::Server;

/// Position of what never changes: zero would keep nobody waiting.
const NEVER_CHANGED: u64 = 1;

impl Server {
    /// That there are no configuration entries; whoever waits for another answer waits as long as
    /// it wants to. Nothing is told that a token would have to allow.
    ///
    /// # Errors
    /// See [`Server::catalog_nodes`].
    pub async fn config_entries(&self, options: &QueryOptions) -> Result<Reply<()>, EndpointError> {
        self.check_datacenter(&options.datacenter)?;
        let evaluate = |_: &View| Ok(Evaluated::new(NEVER_CHANGED, ()));
        self.read(Read { evaluate, topics: Vec::new, rights: Anybody, options }).await
    }
}
