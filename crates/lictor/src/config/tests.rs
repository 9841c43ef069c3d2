//! Whole configurations: sources, order, defaults, rules, definitions.
#![allow(clippy::unwrap_used)]

mod definitions;
mod dns;
mod rules;
mod sources;

use super::interfaces::Interface;
use super::*;

/// A machine with one private address.
fn network() -> Network {
    let interface = |name: &str, address: [u8; 4]| Interface {
        name: name.to_owned(),
        address: address.into(),
        prefix: 24,
        up: true,
        loopback: name == "lo",
        default: name == "eth0",
        broadcast: true,
        multicast: true,
        point_to_point: false,
    };
    Network::of(vec![interface("lo", [127, 0, 0, 1]), interface("eth0", [10, 1, 2, 3])])
}

fn decided(sources: &Sources) -> Result<Config, String> {
    sources.decided(Purpose::Check, &network()).map_err(|error| error.to_string())
}

/// What a fragment of HCL gives in development mode.
fn dev(text: &str) -> Result<Config, String> {
    decided(&Sources { fragments: vec![text.to_owned()], dev: true, ..Sources::default() })
}

/// What a fragment of HCL gives without any mode; a data folder is named.
fn plain(text: &str) -> Result<Config, String> {
    let folder = "data_dir = \"/nonexistent/lictor\"".to_owned();
    let fragments = vec![folder, text.to_owned()];
    decided(&Sources { fragments, ..Sources::default() })
}

#[track_caller]
fn refused<T>(result: Result<T, String>, expected: &str) {
    let error = result.map(|_| ()).unwrap_err();
    assert!(error.contains(expected), "{error:?} has no {expected:?}");
}
