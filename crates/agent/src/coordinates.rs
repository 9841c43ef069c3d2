//! This agent's network coordinate: what it is, and telling it to the servers now and then.
//!
//! Coordinates come from the round-trip times of gossip. Alone, an agent is where everybody begins.

use std::sync::Arc;
use std::time::Duration;

use lictor_types::coordinate::NodeCoordinate;

use crate::gossip::Gossip;
use crate::jitter;
use crate::tokens::Tokens;
use crate::upstream::Upstream;

/// Least pause between two reports.
const PAUSE_LEAST: Duration = Duration::from_secs(15);
/// How many reports all members together may make in a second.
const RATE: u32 = 64;

/// The pause between reports in a pool of so many members, the random part not added.
fn pause(members: u32) -> Duration {
    PAUSE_LEAST.max(Duration::from_secs(members.into()) / RATE)
}

/// Tells the servers, again and again.
pub(crate) async fn report<U: Upstream>(
    upstream: U,
    gossip: Arc<Gossip>,
    node: Arc<str>,
    tokens: Arc<Tokens>,
) {
    loop {
        let members = gossip.lan().figures().members;
        let pause = pause(u32::try_from(members).unwrap_or(u32::MAX));
        tokio::time::sleep(pause + jitter::below(pause)).await;
        let Some(coord) = gossip.coordinate().await else { return };
        let node = Arc::clone(&node);
        let report = NodeCoordinate { node, segment: "".into(), coord };
        if let Err(error) = upstream.update_coordinate(&tokens.agent_token(), report).await {
            tracing::warn!(%error, "the coordinate could not be told to the servers");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_members_report_seldom() {
        assert_eq!(pause(1), Duration::from_secs(15));
        assert_eq!(pause(960), Duration::from_secs(15));
        assert_eq!(pause(6400), Duration::from_secs(100));
    }
}
