//! Settings of the DNS interface.

use std::time::Duration;

use lictor_dns::{RecursorOrder, SoaSettings, name};

use super::{dev, refused};

#[test]
fn all_settings_arrive() {
    let config = dev(
        "domain = \"Example.Org\" alt_domain = \"alt.\" recursors = [\"192.0.2.1\", \"[2001:db8::1]:5353\"] \
         ports { dns = 53 } addresses { dns = \"127.0.0.1 127.0.0.2\" } \
         dns_config { node_ttl = \"1m\" service_ttl { WEB = \"10s\" \"*\" = \"1500ms\" } only_passing = true \
         enable_truncate = true recursor_timeout = \"1s\" disable_compression = true allow_stale = false \
         udp_answer_limit = 5 a_record_limit = 2 enable_additional_node_meta_txt = false \
         recursor_strategy = \"random\" soa { refresh = 1 retry = 2 expire = 3 min_ttl = 4 } }",
    )
    .unwrap();
    let places: Vec<_> = config.dns.listeners.iter().map(ToString::to_string).collect();
    assert_eq!(places, ["127.0.0.1:53", "127.0.0.2:53"]);
    let settings = config.dns.settings;
    let domains: Vec<_> = settings.domains.iter().map(|domain| name::to_text(domain)).collect();
    assert_eq!(domains, ["example.org.", "alt."]);
    let recursors: Vec<_> = settings.recursors.iter().map(ToString::to_string).collect();
    assert_eq!(recursors, ["192.0.2.1:53", "[2001:db8::1]:5353"]);
    assert_eq!(settings.recursor_timeout, Duration::from_secs(1));
    assert_eq!(settings.recursor_order, RecursorOrder::Random);
    assert_eq!(
        (settings.node_ttl, settings.service_ttl("web"), settings.service_ttl("x")),
        (60, 10, 1)
    );
    assert_eq!((settings.udp_answer_limit, settings.a_record_limit), (5, 2));
    assert!(settings.only_passing && settings.enable_truncate);
    assert!(!settings.compress && !settings.allow_stale && !settings.node_meta_txt);
    assert_eq!(settings.soa, SoaSettings { refresh: 1, retry: 2, expire: 3, min_ttl: 4 });
    assert!(
        config.warnings.iter().all(|warning| !warning.contains("dns")),
        "{:?}",
        config.warnings
    );
}

#[test]
fn without_settings_it_listens_where_clients_do() {
    let config = dev("client_addr = \"127.0.0.3\"").unwrap();
    assert_eq!(config.dns.listeners, [([127, 0, 0, 3], 8600).into()]);
    assert_eq!(config.dns.settings, lictor_dns::Settings::default());
    let off = dev("ports { dns = -1 }").unwrap();
    assert!(off.dns.listeners.is_empty() && off.banner.to_string().contains("DNS: -1"));
}

#[test]
fn what_cannot_be_is_refused() {
    for (text, expected) in [
        ("domain = \"a..b\"", "no domain name"),
        ("recursors = [\"example.com\"]", "is no IP address"),
        ("recursors = [\"0.0.0.0\"]", "DNS recursor address cannot be 0.0.0.0"),
        ("dns_config { recursor_strategy = \"best\" }", "sequential or random"),
        ("dns_config { soa { retry = -1 } }", "dns_config.soa.retry cannot be -1"),
        ("dns_config { node_ttl = \"-1s\" }", "cannot be negative"),
    ] {
        refused(dev(text), expected);
    }
}
