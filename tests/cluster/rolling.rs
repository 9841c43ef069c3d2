//! Five servers are restarted one after the other under load: nothing that was acknowledged is lost, and
//! there is one history.
//!
//! `CLUSTER_OLD_BINARY` names a program that they run before; so this is an upgrade.

use std::path::PathBuf;
use std::time::Duration;

use lictor_testkit::binary;
use serde_json::json;

use crate::alone;
use crate::cluster::{Cluster, Shape};
use crate::runs::{require, run};

#[test]
fn a_rolling_restart_of_five_servers_loses_nothing() {
    let _alone = alone();
    let old = std::env::var_os("CLUSTER_OLD_BINARY").map(PathBuf::from);
    let shape = Shape {
        servers: 5,
        clients: 1,
        seed: 11,
        clocks: false,
        config: json!({}),
        binary: old.clone(),
    };
    let mut cluster = Cluster::start(&shape);
    let (found, done) = run(&mut cluster, 11, |nemesis, cluster| {
        for at in 0..cluster.nodes.len() {
            nemesis.note(&format!("restart of {}", cluster.nodes[at].name));
            cluster.nodes[at].stop();
            cluster.nodes[at].binary = binary();
            cluster.start_node(at);
            cluster.wait_until_ready();
            nemesis.note("all are ready");
            // Some time of load with all of them.
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let kind = if old.is_some() { "upgrade" } else { "restart" };
    println!("rolling {kind} of five servers: {}", found.summary());
    require(&found, &done, 11);
}
