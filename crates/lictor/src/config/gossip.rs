//! The pools that the agent is in: where they listen, how they behave, what is joined.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lictor_agent::{GossipSettings, PoolSettings, Retry, Tuning};

use super::access;
use super::address::{self, Addresses};
use super::decide::time;
use super::error::ConfigError;
use super::interfaces::Network;
use super::raw::Raw;

/// The least and the usual time that a failed member is remembered.
const RECONNECT_LEAST: Duration = Duration::from_secs(8 * 3600);
const RECONNECT_USUAL: Duration = Duration::from_secs(72 * 3600);
const RETRY_USUAL: Duration = Duration::from_secs(30);
/// How much faster development mode notices things.
const DEV_PACE: Duration = Duration::from_millis(100);

/// The names of a pool's settings.
struct Names {
    join: &'static str,
    retry: [&'static str; 3],
    reconnect: &'static str,
    tuning: &'static str,
}

const LAN: Names = Names {
    join: "start_join",
    retry: ["retry_join", "retry_interval", "retry_max"],
    reconnect: "reconnect_timeout",
    tuning: "gossip_lan",
};
const WAN: Names = Names {
    join: "start_join_wan",
    retry: ["retry_join_wan", "retry_interval_wan", "retry_max_wan"],
    reconnect: "reconnect_timeout_wan",
    tuning: "gossip_wan",
};

/// All of it.
pub(super) fn settings(
    raw: &Raw,
    addresses: &Addresses,
    network: &Network,
    dev: bool,
) -> Result<GossipSettings, ConfigError> {
    let (ports, server) = (addresses.ports, raw.bool("server").unwrap_or(false));
    let pool = |names, bind: IpAddr, advertise: IpAddr, port| {
        let bind = SocketAddr::new(bind, port);
        let advertise = SocketAddr::new(advertise, port);
        pool(raw, names, network, dev).map(|settings| PoolSettings { bind, advertise, ..settings })
    };
    let lan = pool(&LAN, addresses.serf_lan, addresses.advertise, ports.serf_lan)?;
    let wan = match server && ports.serf_wan != 0 {
        true => Some(pool(&WAN, addresses.serf_wan, addresses.advertise_wan, ports.serf_wan)?),
        false => None,
    };
    for key in [WAN.join, WAN.retry[0]] {
        if wan.is_none() && !raw.list(key).is_empty() {
            let text = format!("{key}: only a server with a WAN port can join other datacenters");
            return Err(ConfigError::at(raw.origin(key), text));
        }
    }
    let given = |key: &str| !raw.string(key).is_empty();
    Ok(GossipSettings {
        lan,
        wan,
        rejoin_after_leave: raw.bool("rejoin_after_leave").unwrap_or(false),
        verify_incoming: raw.bool("encrypt_verify_incoming").unwrap_or(true),
        verify_outgoing: raw.bool("encrypt_verify_outgoing").unwrap_or(true),
        use_tls: given("ca_file") || given("ca_path"),
        acl: access::enabled(raw),
        // A server that expects itself alone is the first one at once.
        expect: raw
            .int("bootstrap_expect")
            .filter(|n| *n > 1)
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(0),
    })
}

fn pool(
    raw: &Raw,
    names: &Names,
    network: &Network,
    dev: bool,
) -> Result<PoolSettings, ConfigError> {
    let [retry, interval, most] = names.retry;
    let addresses = |key: &str| {
        for given in raw.list(key) {
            if given.contains("provider=") {
                let text = format!(
                    "{key}: addresses cannot be asked of a provider ({given}): give names or \
                     addresses"
                );
                return Err(ConfigError::at(raw.origin(key), text));
            }
        }
        address::words(raw, key, &raw.list(key), network)
    };
    let number = |key: &str| -> Result<u32, ConfigError> {
        let wrong = |_| ConfigError::at(raw.origin(key), format!("{key} cannot be negative"));
        raw.int(key).map_or(Ok(0), |given| u32::try_from(given).map_err(wrong))
    };
    let reconnect_timeout = time(raw, names.reconnect, RECONNECT_USUAL)?;
    if reconnect_timeout < RECONNECT_LEAST {
        let text = format!("{} must be >= 8h", names.reconnect);
        return Err(ConfigError::at(raw.origin(names.reconnect), text));
    }
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    Ok(PoolSettings {
        bind: unspecified,
        advertise: unspecified,
        reconnect_timeout,
        tuning: tuning(raw, names.tuning, dev)?,
        join: addresses(names.join)?,
        retry: Retry {
            addresses: addresses(retry)?,
            interval: time(raw, interval, RETRY_USUAL)?,
            most: number(most)?,
        },
    })
}

fn tuning(raw: &Raw, group: &str, dev: bool) -> Result<Tuning, ConfigError> {
    let pause = |name: &str| -> Result<Option<Duration>, ConfigError> {
        let key = format!("{group}.{name}");
        match raw.nanos(&key) {
            None => Ok(dev.then_some(DEV_PACE)),
            Some(nanos) if nanos < 1_000_000 => {
                let text = format!("{key} must be at least 1ms");
                Err(ConfigError::at(raw.origin(&key), text))
            }
            Some(_) => time(raw, &key, DEV_PACE).map(Some),
        }
    };
    let number = |name: &str| -> Result<Option<u32>, ConfigError> {
        let key = format!("{group}.{name}");
        let wrong = |_| ConfigError::at(raw.origin(&key), format!("{key} cannot be negative"));
        raw.int(&key).map(|given| u32::try_from(given).map_err(wrong)).transpose()
    };
    Ok(Tuning {
        gossip_nodes: number("gossip_nodes")?.map(|nodes| nodes as usize),
        gossip_interval: pause("gossip_interval")?,
        probe_interval: pause("probe_interval")?,
        probe_timeout: pause("probe_timeout")?,
        suspicion_multiplier: number("suspicion_mult")?.or(dev.then_some(3)),
        retransmit_multiplier: number("retransmit_mult")?,
    })
}
