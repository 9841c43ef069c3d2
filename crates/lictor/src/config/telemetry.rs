//! What becomes of metrics: names, rules, receivers.
//!
//! Keys and defaults follow the original. Receivers are looked for when there is something to send.

use std::time::Duration;

use lictor_agent::{Filter, LiveFilter, Receiver, Telemetry};

use super::decide::time;
use super::error::ConfigError;
use super::raw::Raw;

/// Decides everything about metrics.
pub(super) fn telemetry(raw: &Raw, warnings: &mut Vec<String>) -> Result<Telemetry, ConfigError> {
    let usual = Telemetry::default();
    let on = raw.bool("telemetry.filter_default").unwrap_or(true);
    let (filter, wrong) = Filter::new(&raw.list("telemetry.prefix_filter"), on);
    for rule in wrong {
        warnings.push(format!("Filter rule must begin with either '+' or '-': {rule:?}"));
    }
    Ok(Telemetry {
        prefix: match raw.string("telemetry.metrics_prefix") {
            prefix if prefix.is_empty() => usual.prefix,
            prefix => prefix,
        },
        disable_hostname: raw.bool("telemetry.disable_hostname").unwrap_or(false),
        prometheus_retention: time(raw, "telemetry.prometheus_retention_time", Duration::ZERO)?,
        metrics: usual.metrics,
        filter: LiveFilter::new(filter),
        receivers: receivers(raw)?,
    })
}

fn receivers(raw: &Raw) -> Result<Vec<Receiver>, ConfigError> {
    let tags = raw.list("telemetry.dogstatsd_tags");
    let mut receivers = Vec::new();
    for key in
        ["telemetry.statsd_address", "telemetry.statsite_address", "telemetry.dogstatsd_addr"]
    {
        let Some(address) = raw.text(key).filter(|address| !address.is_empty()) else { continue };
        let unix = key.ends_with("dogstatsd_addr") && address.starts_with("unix://");
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if !unix && port.is_none_or(|port| port == 0) {
            let text = format!("{key}: {address:?} must be host:port");
            return Err(ConfigError::at(raw.origin(key), text));
        }
        let address = address.to_owned();
        receivers.push(match key {
            "telemetry.statsd_address" => Receiver::Statsd(address),
            "telemetry.statsite_address" => Receiver::Statsite(address),
            _ => Receiver::DogStatsd { address, tags: tags.clone() },
        });
    }
    Ok(receivers)
}
