//! Calls whose answer will not come: whoever waits is told before the connection is given up.
//!
//! A server that was cut off or has died answers nothing, and a connection notices only when a sign of
//! life is missed, 40 s later. Gossip and consensus know within seconds: the server is a member no
//! more that could be asked, or another one leads. A read is then made again elsewhere at once. A write
//! gets a moment for an answer that is on its way; then it has failed, and nobody knows whether it
//! was carried out.

use std::time::Duration;

use lictor_server::Server;
use tokio::time::timeout;

use crate::attempts::Kind;
use crate::caller::CallFailure;
use crate::routes::Target;
use crate::servers::Servers;

/// How long the answer to a write may still take.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

const GONE: &str = "the server was lost before it answered";

impl Servers {
    /// Calls a server, and waits no longer than it can be expected to answer.
    pub(crate) async fn call(
        &self,
        to: &Target,
        kind: &Kind<'_>,
        method: &'static str,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, CallFailure> {
        let mut call = self.caller().call(to, method, body, kind.patience);
        tokio::select! {
            biased;
            answer = &mut call => return answer,
            () = self.lost(to, kind) => {}
        }
        let wait = if kind.reads { Duration::ZERO } else { ON_ITS_WAY };
        let gone = |_| Err(CallFailure::Lost(format!("{}: {GONE}", to.address)));
        timeout(wait, call).await.unwrap_or_else(gone)
    }

    /// Resolves when a server can be asked no more that could be, or leads no more that was asked as
    /// the leader.
    async fn lost(&self, to: &Target, kind: &Kind<'_>) {
        let asks_leader = !kind.stale && to.datacenter == *self.routes().datacenter();
        match self.here().filter(|_| asks_leader) {
            Some(server) => tokio::select! {
                () = self.unreachable(to) => {}
                () = led_by_another_than(server, to) => {}
            },
            None => self.unreachable(to).await,
        }
    }

    async fn unreachable(&self, to: &Target) {
        let mut changes = self.routes().changes();
        let mut known = self.routes().has(to);
        while changes.changed().await.is_ok() {
            let now = self.routes().has(to);
            if known && !now {
                return;
            }
            known = now;
        }
        std::future::pending().await
    }
}

async fn led_by_another_than(server: &Server, to: &Target) {
    let mut leadership = server.leadership();
    let another = leadership.wait_for(|now| {
        let other = |address: &str| address.parse() != Ok(to.address);
        now.is_self || now.leader.as_ref().is_some_and(|leader| other(&leader.address))
    });
    if another.await.is_err() {
        std::future::pending().await
    }
}
