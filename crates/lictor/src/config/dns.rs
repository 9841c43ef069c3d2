//! The DNS interface: its domains, recursors, and the rules of its answers.
//!
//! Where it listens is [`super::address`]'s. Keys and defaults follow the original, with some of
//! later versions.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lictor_dns::{DnsConfig, RecursorOrder, Settings, SoaSettings};

use super::address::{self, Addresses};
use super::decide::time;
use super::error::ConfigError;
use super::interfaces::Network;
use super::raw::Raw;

/// Port of a recursor that names none.
const PORT: u16 = 53;
const NANOS: i64 = 1_000_000_000;

/// Decides everything about DNS.
pub(super) fn dns(
    raw: &Raw,
    addresses: &Addresses,
    network: &Network,
) -> Result<DnsConfig, ConfigError> {
    let usual = Settings::default();
    let on = |key: &str, usual: bool| raw.bool(key).unwrap_or(usual);
    let count = |key: &str, usual: usize| match raw.int(key) {
        Some(given) => usize::try_from(given).unwrap_or(usual),
        None => usual,
    };
    let ttls = raw.durations("dns_config.service_ttl").into_iter();
    let settings = Settings {
        domains: domains(raw)?,
        recursors: recursors(raw, network)?,
        recursor_timeout: match time(raw, "dns_config.recursor_timeout", usual.recursor_timeout)? {
            Duration::ZERO => usual.recursor_timeout,
            given => given,
        },
        recursor_order: order(raw)?,
        allow_stale: on("dns_config.allow_stale", usual.allow_stale),
        max_stale: time(raw, "dns_config.max_stale", usual.max_stale)?,
        node_ttl: seconds(raw.nanos("dns_config.node_ttl").unwrap_or(0)),
        service_ttl: ttls.map(|(name, ttl)| (name.to_lowercase(), seconds(ttl))).collect(),
        only_passing: on("dns_config.only_passing", usual.only_passing),
        enable_truncate: on("dns_config.enable_truncate", usual.enable_truncate),
        compress: !on("dns_config.disable_compression", !usual.compress),
        udp_answer_limit: count("dns_config.udp_answer_limit", usual.udp_answer_limit),
        a_record_limit: count("dns_config.a_record_limit", usual.a_record_limit),
        node_meta_txt: on("dns_config.enable_additional_node_meta_txt", usual.node_meta_txt),
        translate_wan: on("translate_wan_addrs", usual.translate_wan),
        soa: soa(raw)?,
    };
    Ok(DnsConfig {
        listeners: addresses.dns.clone(),
        settings,
        limits: lictor_dns::Limits::default(),
    })
}

fn seconds(nanos: i64) -> u32 {
    u32::try_from(nanos / NANOS).unwrap_or(if nanos < 0 { 0 } else { u32::MAX })
}

fn domains(raw: &Raw) -> Result<Vec<lictor_dns::name::Name>, ConfigError> {
    let mut domains = Vec::new();
    for (key, usual) in [("domain", "consul."), ("alt_domain", "")] {
        let text = raw.text(key).filter(|text| !text.is_empty()).unwrap_or(usual);
        if text.is_empty() {
            continue;
        }
        let domain = lictor_dns::domain(text).ok_or_else(|| {
            ConfigError::at(raw.origin(key), format!("{key}: {text:?} is no domain name"))
        })?;
        if !domains.contains(&domain) {
            domains.push(domain);
        }
    }
    Ok(domains)
}

fn recursors(raw: &Raw, network: &Network) -> Result<Vec<SocketAddr>, ConfigError> {
    let key = "recursors";
    let mut found = Vec::new();
    for word in address::words(raw, key, &raw.list(key), network)? {
        let wrong =
            |why: &str| Err(ConfigError::at(raw.origin(key), format!("{key}: {word:?} {why}")));
        let recursor = match (word.parse::<SocketAddr>(), address::parse_ip(&word)) {
            (Ok(place), _) => place,
            (_, Some(ip)) => SocketAddr::new(ip, PORT),
            (Err(_), None) => return wrong("is no IP address"),
        };
        if recursor.ip().is_unspecified() {
            return wrong("cannot be asked: DNS recursor address cannot be 0.0.0.0, :: or [::]");
        }
        let recursor: (IpAddr, u16) = (recursor.ip(), recursor.port());
        if !found.contains(&recursor.into()) {
            found.push(recursor.into());
        }
    }
    Ok(found)
}

fn order(raw: &Raw) -> Result<RecursorOrder, ConfigError> {
    let key = "dns_config.recursor_strategy";
    match raw.text(key) {
        None | Some("" | "sequential") => Ok(RecursorOrder::Sequential),
        Some("random") => Ok(RecursorOrder::Random),
        Some(other) => {
            let text = format!("{key} must be sequential or random, not {other:?}");
            Err(ConfigError::at(raw.origin(key), text))
        }
    }
}

fn soa(raw: &Raw) -> Result<SoaSettings, ConfigError> {
    let number = |key: &str, usual: u32| match raw.int(key) {
        None => Ok(usual),
        Some(given) => u32::try_from(given).map_err(|_| {
            let text = format!("{key} cannot be {given}: it is a number of seconds");
            ConfigError::at(raw.origin(key), text)
        }),
    };
    let usual = SoaSettings::default();
    Ok(SoaSettings {
        refresh: number("dns_config.soa.refresh", usual.refresh)?,
        retry: number("dns_config.soa.retry", usual.retry)?,
        expire: number("dns_config.soa.expire", usual.expire)?,
        min_ttl: number("dns_config.soa.min_ttl", usual.min_ttl)?,
    })
}
