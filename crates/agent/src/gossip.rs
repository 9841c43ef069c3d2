//! The pools that this agent is in: the agents of its datacenter, and for a server the servers of
//! all datacenters.
//!
//! What is said and heard is decided by the crates `gossip` and `pool`; here they are started with
//! the agent's settings, joined, left, and followed: members go to the servers, user events to
//! whoever wants them, changed keys to their files.
//!
//! | file | subject |
//! | --- | --- |
//! | `settings` | what the pools must be told |
//! | `accept` | who may be in a pool |
//! | `join` | joining by name or address, once or until it succeeds |
//! | `follow` | what happens in the pools |
//! | `flood` | the servers of the datacenter in the pool of all |

mod accept;
pub(crate) mod flood;
pub(crate) mod follow;
mod join;
mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;

use lictor_gossip::keyring::Keyring as Ring;
use lictor_gossip::{serf, swim};
use lictor_pool::{Pool, PoolConfig, PoolError};
use lictor_task::TaskSet;
use lictor_types::coordinate::Coordinate;
use lictor_types::member::Members;
use tokio::sync::watch;

pub(crate) use self::follow::{Follower, USER_EVENT};
pub use self::settings::{GossipSettings, PoolSettings, Retry, Tuning};

use self::accept::{Own, accepts_wan};
use crate::config::AgentConfig;
use crate::error::AgentError;
use crate::members::{self, Member};

/// Folder and files below the data folder.
const FOLDER: &str = "serf";
const LAN_FILE: &str = "local.snapshot";
const WAN_FILE: &str = "remote.snapshot";

/// The pools of an agent.
#[derive(Debug)]
pub(crate) struct Gossip {
    lan: Pool,
    wan: Option<Pool>,
    datacenter: String,
    /// All members of the datacenter on a server; on others its servers.
    members: watch::Sender<Members>,
    /// All servers of all datacenters.
    servers: watch::Sender<Members>,
}

impl Gossip {
    /// Opens the pools with their keys; `keys` gives those of the one or the other.
    pub(crate) async fn start(
        config: &AgentConfig,
        keys: impl Fn(bool) -> Ring,
        tasks: &TaskSet,
    ) -> Result<Self, PoolError> {
        let settings = &config.gossip;
        let folder = config.data_dir.as_ref().filter(|_| !config.dev).map(|dir| dir.join(FOLDER));
        let file = |name: &str| folder.as_ref().map(|folder| folder.join(name));
        let mut wan = None;
        if let Some(pool) = settings.wan.as_ref().filter(|_| config.server) {
            let name = members::wan_name(&config.node_name, &config.datacenter);
            let mut swim = swim::Config::wan(name, pool.advertise);
            pool.tuning.apply(&mut swim);
            let mut serf = serf::Config::new(members::tags(config, None));
            serf.accept = Box::new(|member| accepts_wan(&members::known(member)));
            let opened = open("wan", config, pool, (swim, serf), keys(true), file(WAN_FILE));
            wan = Some(Pool::start(opened, tasks).await?);
        }
        let pool = &settings.lan;
        let mut swim = swim::Config::lan(config.node_name.to_string(), pool.advertise);
        pool.tuning.apply(&mut swim);
        let wan_port = wan.as_ref().map(|wan| wan.address().port());
        let mut serf = serf::Config::new(members::tags(config, wan_port));
        let own = Own {
            name: config.node_name.to_string(),
            id: config.node_id.clone(),
            datacenter: config.datacenter.clone(),
        };
        serf.accept = Box::new(move |member| own.accepts(&members::known(member)));
        let opened = open("lan", config, pool, (swim, serf), keys(false), file(LAN_FILE));
        let lan = Pool::start(opened, tasks).await?;
        Ok(Self {
            lan,
            wan,
            datacenter: config.datacenter.clone(),
            members: watch::Sender::default(),
            servers: watch::Sender::default(),
        })
    }

    /// The pool of the datacenter, or that of all.
    pub(crate) const fn pool(&self, wan: bool) -> Option<&Pool> {
        if wan { self.wan.as_ref() } else { Some(&self.lan) }
    }

    /// The pool of the datacenter.
    pub(crate) const fn lan(&self) -> &Pool {
        &self.lan
    }

    /// Everybody in a pool, also those that left or failed.
    pub(crate) async fn members(&self, wan: bool) -> Vec<Member> {
        match self.pool(wan) {
            Some(pool) => pool.members().await.iter().map(members::known).collect(),
            None => Vec::new(),
        }
    }

    /// Members of a pool as they are, and how they change: see the fields.
    pub(crate) fn watch(&self, wan: bool) -> watch::Receiver<Members> {
        if wan { self.servers.subscribe() } else { self.members.subscribe() }
    }

    /// Where this agent is among the others of its datacenter.
    pub(crate) async fn coordinate(&self) -> Option<Coordinate> {
        self.lan.with(|serf, _| coordinate(serf.coordinate())).await
    }

    /// Leaves all pools, and returns when others know.
    pub(crate) async fn leave(&self) {
        if let Some(wan) = &self.wan {
            wan.leave().await;
        }
        self.lan.leave().await;
    }

    /// Takes a failed member for one that left; `prune` forgets it. One that nobody knows has left
    /// already, as with 1.2; it cannot be forgotten, as with the versions that can forget.
    pub(crate) async fn force_leave(&self, node: &str, prune: bool) -> Result<(), AgentError> {
        let name = node.to_owned();
        let done = self.lan.with(move |serf, _| serf.force_leave(&name, prune)).await;
        if !matches!(done, Some(Ok(()))) {
            if prune {
                let unknown = format!("agent: No node found with name '{node}'");
                return Err(AgentError::refused(unknown));
            }
            tracing::warn!(node, "no such member in this datacenter to be made to leave");
        }
        if let Some(wan) = &self.wan {
            let name = match node.ends_with(&format!(".{}", self.datacenter)) {
                true => node.to_owned(),
                false => members::wan_name(node, &self.datacenter),
            };
            // Only servers are there.
            wan.with(move |serf, _| serf.force_leave(&name, prune)).await;
        }
        Ok(())
    }
}

/// Where gossip says that somebody is.
pub(crate) fn coordinate(found: &lictor_gossip::coordinate::Coordinate) -> Coordinate {
    Coordinate {
        vec: found.vec.to_vec(),
        error: found.error,
        adjustment: found.adjustment,
        height: found.height,
    }
}

fn open(
    name: &'static str,
    config: &AgentConfig,
    pool: &PoolSettings,
    (mut swim, mut serf): (swim::Config, serf::Config),
    keyring: Ring,
    snapshot: Option<PathBuf>,
) -> PoolConfig {
    config.gossip.encryption(&mut swim);
    serf.reconnect_timeout = pool.reconnect_timeout;
    serf.coordinates = !config.disable_coordinates;
    // Who loses a dispute about its name would end its gossip, which surprises more than it helps.
    serf.resolve_conflicts = false;
    PoolConfig {
        name,
        bind: pool.bind,
        swim,
        serf,
        keyring,
        snapshot,
        rejoin_after_leave: config.gossip.rejoin_after_leave,
        metrics: config.telemetry.metrics.clone(),
    }
}

/// An address with the port that counts when none is given.
fn with_port(text: &str, usual: u16) -> String {
    if text.parse::<SocketAddr>().is_ok() {
        return text.to_owned();
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<std::net::IpAddr>() {
        return SocketAddr::new(ip, usual).to_string();
    }
    match text.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => text.to_owned(),
        _ => format!("{text}:{usual}"),
    }
}
