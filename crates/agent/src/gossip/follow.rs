//! What happens in a pool: its members are published, user events and new keys are handed on.
//!
//! Members are published as a whole, however many changes came at once, so nobody who reads them
//! can miss one; a list of ten thousand is made of what it was made of before.

use std::collections::HashMap;
use std::sync::Arc;

use lictor_gossip::serf::{self, Event};
use lictor_gossip::swim::NodeInfo;
use lictor_types::member::{Member, Members};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::Gossip;
use crate::members;

/// A user event of the original's agents has a name that begins so.
pub(crate) const USER_EVENT: &str = "consul:event:";
/// The name of the event by which a new leader makes itself known.
const NEW_LEADER: &str = "consul:new-leader";

/// Who is told.
pub(crate) trait Follower: Send + Sync {
    /// The members are others now, or say something else; `count` is how many there are, also of
    /// those that are not in the list.
    fn members(&self, wan: bool, members: &Members, count: usize);
    /// A user event came, at a logical time.
    fn user_event(&self, name: &str, payload: &[u8], time: u64);
    /// The keys changed.
    fn keys_changed(&self, wan: bool) -> impl Future<Output = ()> + Send;
}

/// Members as they were published last.
#[derive(Debug, Default)]
struct Published(HashMap<Arc<str>, (Arc<NodeInfo>, Arc<Member>)>);

impl Published {
    /// The list of now; what did not change is the same allocation.
    fn update(&mut self, now: &[serf::Member], wanted: impl Fn(&Member) -> bool) -> Members {
        let mut before = std::mem::take(&mut self.0);
        let mut list = Vec::new();
        for member in now {
            let name = &member.info.name;
            let same = before.remove(name).filter(|(info, known)| {
                Arc::ptr_eq(info, &member.info) && known.status.as_str() == member.status.as_str()
            });
            let known = match same {
                Some((_, known)) => known,
                None => Arc::new(members::known(member)),
            };
            self.0.insert(Arc::clone(name), (Arc::clone(&member.info), Arc::clone(&known)));
            if wanted(&known) {
                list.push(known);
            }
        }
        Arc::new(list)
    }
}

/// Follows a pool until it ends.
pub(crate) async fn run(
    gossip: Arc<Gossip>,
    wan: bool,
    everybody: bool,
    mut events: Receiver<Arc<Event>>,
    follower: impl Follower,
) {
    let Some(pool) = gossip.pool(wan) else { return };
    let place = if wan { &gossip.servers } else { &gossip.members };
    let mut published = Published::default();
    loop {
        let now = pool.members().await;
        let list = published.update(&now, |member| everybody || member.server().is_some());
        place.send_replace(Arc::clone(&list));
        follower.members(wan, &list, now.len());
        let mut changed = false;
        while !changed {
            match events.recv().await {
                Ok(event) => changed |= heard(&event, wan, &follower).await,
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "what happened in gossip came too fast");
                    changed = true;
                }
                Err(RecvError::Closed) => return,
            }
        }
        // What came meanwhile is published with it.
        loop {
            match events.try_recv() {
                Ok(event) => drop(heard(&event, wan, &follower).await),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
    }
}

/// Hands an event on; says whether it changes the members.
async fn heard(event: &Event, wan: bool, follower: &impl Follower) -> bool {
    let (name, what) = match event {
        Event::Joined(member) => (&member.info.name, "joined"),
        Event::Left(member) => (&member.info.name, "left"),
        Event::Failed(member) => (&member.info.name, "failed"),
        Event::Updated(member) => (&member.info.name, "updated"),
        Event::Reaped(member) => (&member.info.name, "reaped"),
        Event::User { ltime, name, payload, .. } => {
            if let Some(name) = name.strip_prefix(USER_EVENT) {
                follower.user_event(name, payload, *ltime);
            } else if name == NEW_LEADER {
                let leader = String::from_utf8_lossy(payload);
                tracing::info!(%leader, "New leader elected");
            } else {
                tracing::warn!(name, "an event of an unknown kind");
            }
            return false;
        }
        Event::KeysChanged => {
            follower.keys_changed(wan).await;
            return false;
        }
        Event::NameLost => {
            tracing::error!("another agent has this one's name");
            return false;
        }
        Event::Query(_)
        | Event::Acknowledged { .. }
        | Event::Answered { .. }
        | Event::QueryOver { .. }
        | Event::JoinTried { .. }
        | Event::LeaveDone
        | Event::Trouble(_) => return false,
    };
    tracing::info!(member = %name, pool = if wan { "WAN" } else { "LAN" }, "member {what}");
    true
}
