//! What an agent tells about itself: configuration, membership, figures.
//!
//! Figures of the servers come from [`crate::upstream`], those of gossip from the pools.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use lictor_types::catalog::StringMap;
use serde_json::Value;

use crate::config::AgentConfig;
use crate::gossip::Gossip;
use crate::host::Host;
use crate::members::{self, Member};
use lictor_server::Stats;

/// What clients depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelfConfig {
    /// Datacenter.
    pub datacenter: String,
    /// Name of the node.
    pub node_name: String,
    /// UUID of the node.
    pub node_id: String,
    /// Revision that the program was built from.
    pub revision: String,
    /// Whether it is a server.
    pub server: bool,
    /// Version of the program.
    pub version: String,
}

/// An agent about itself.
#[derive(Clone, Debug)]
pub struct SelfInfo {
    /// What clients depend on.
    pub config: SelfConfig,
    /// The whole configuration with secrets blanked.
    pub debug_config: Value,
    /// Itself as a member.
    pub member: Member,
    /// Figures by section.
    pub stats: Stats,
    /// Metadata of the node.
    pub meta: StringMap,
}

/// Puts it all together.
pub(crate) fn about(
    config: &AgentConfig,
    gossip: &Gossip,
    host: &Host,
    upstream: Stats,
) -> SelfInfo {
    let build = &config.build;
    let mut stats = upstream;
    let (services, checks) = host.local.counts();
    let (monitors, ttls) = host.checks.counts();
    let mut section = |name: &str, values: &[(&str, String)]| {
        let section: &mut BTreeMap<_, _> = stats.entry(name.to_owned()).or_default();
        section.extend(values.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    };
    section(
        "agent",
        &[
            ("check_monitors", monitors.to_string()),
            ("check_ttls", ttls.to_string()),
            ("checks", checks.to_string()),
            ("services", services.to_string()),
        ],
    );
    section(
        "build",
        &[
            ("prerelease", build.prerelease.clone()),
            ("revision", build.revision.clone()),
            ("version", build.version.clone()),
        ],
    );
    section("runtime", &runtime());
    for (wan, name) in [(false, "serf_lan"), (true, "serf_wan")] {
        if let Some(pool) = gossip.pool(wan) {
            section(name, &pool_figures(&pool.figures()));
        }
    }
    if config.server {
        section(
            "consul",
            &[("bootstrap", config.bootstrap.to_string()), ("server", "true".to_owned())],
        );
    } else {
        section("consul", &[("server", "false".to_owned())]);
    }
    SelfInfo {
        config: SelfConfig {
            datacenter: config.datacenter.clone(),
            node_name: config.node_name.to_string(),
            node_id: config.node_id.clone(),
            revision: build.revision.clone(),
            server: config.server,
            version: build.version.clone(),
        },
        debug_config: config.debug_config.clone(),
        member: members::own(config, false, gossip.lan().address().port()),
        stats,
        meta: host.local.node().meta,
    }
}

fn runtime() -> [(&'static str, String); 6] {
    static CPUS: OnceLock<usize> = OnceLock::new();
    let cpus = CPUS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from));
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let tasks = tokio::runtime::Handle::try_current()
        .map_or(0, |runtime| runtime.metrics().num_alive_tasks());
    [
        ("arch", arch.to_owned()),
        ("cpu_count", cpus.to_string()),
        // The word of the original for what runs concurrently.
        ("goroutines", tasks.to_string()),
        ("max_procs", cpus.to_string()),
        ("os", os.to_owned()),
        ("version", "rust".to_owned()),
    ]
}

fn pool_figures(pool: &lictor_pool::Figures) -> [(&'static str, String); 12] {
    let [member_time, event_time, query_time] = pool.clocks;
    let [intents, queries, events] = pool.queued;
    [
        // A coordinate that was lost begins anew without a word.
        ("coordinate_resets", "0".to_owned()),
        ("encrypted", pool.encrypted.to_string()),
        ("event_queue", events.to_string()),
        ("event_time", event_time.to_string()),
        ("failed", pool.failed.to_string()),
        ("health_score", pool.health.to_string()),
        ("intent_queue", intents.to_string()),
        ("left", pool.left.to_string()),
        ("member_time", member_time.to_string()),
        ("members", pool.members.to_string()),
        ("query_queue", queries.to_string()),
        ("query_time", query_time.to_string()),
    ]
}
