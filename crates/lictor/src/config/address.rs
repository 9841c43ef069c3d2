//! Addresses and ports: where the agent binds and listens, and what it tells others.
//!
//! Opens nothing. Rules and texts follow the original; templates are resolved here.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use lictor_http::Listen;

use super::Purpose;
use super::error::ConfigError;

use super::interfaces::{Interface, Network};
use super::raw::Raw;
use super::template::{TemplateError, expand};

/// All addresses and ports, decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) bind: IpAddr,
    pub(super) advertise: IpAddr,
    pub(super) advertise_wan: IpAddr,
    pub(super) serf_lan: IpAddr,
    pub(super) serf_wan: IpAddr,
    pub(super) client: Vec<IpAddr>,
    pub(super) http: Vec<Listen>,
    pub(super) https: Vec<Listen>,
    pub(super) dns: Vec<SocketAddr>,
    pub(super) ports: Ports,
}

/// The ports; 0 where one is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) http: u16,
    pub(super) https: u16,
    pub(super) dns: u16,
    pub(super) server: u16,
    pub(super) serf_lan: u16,
    pub(super) serf_wan: u16,
    pub(super) proxy_min: u16,
    pub(super) proxy_max: u16,
    pub(super) sidecar_min: u16,
    pub(super) sidecar_max: u16,
}

/// An address of an interface for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Ip(IpAddr),
    Unix(PathBuf),
}

/// Decides all addresses and ports.
pub(super) fn addresses(
    raw: &Raw,
    purpose: Purpose,
    network: &Network,
) -> Result<Addresses, ConfigError> {
    let ports = ports(raw)?;
    let bind = single(raw, "bind_addr", network)?.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let advertise = match single(raw, "advertise_addr", network)? {
        Some(given) => given,
        None => match reachable(bind, network) {
            // Files are often checked on another machine than the one that they are for.
            Err(_) if purpose == Purpose::Check => Ipv4Addr::LOCALHOST.into(),
            found => found?,
        },
    };
    let advertise_wan = single(raw, "advertise_addr_wan", network)?.unwrap_or(advertise);
    for (key, address) in [("advertise_addr", advertise), ("advertise_addr_wan", advertise_wan)] {
        if address.is_unspecified() {
            let text = format!("{key} cannot be 0.0.0.0, :: or [::]");
            return Err(ConfigError::at(raw.origin(key), text));
        }
    }
    let client = clients(raw, network)?;
    let http_places = places(raw, "addresses.http", &client, network)?;
    let https_places = places(raw, "addresses.https", &client, network)?;
    let files = SocketFiles::read(raw)?;
    let all = Addresses {
        bind,
        advertise,
        advertise_wan,
        serf_lan: single(raw, "serf_lan", network)?.unwrap_or(bind),
        serf_wan: single(raw, "serf_wan", network)?.unwrap_or(bind),
        http: listeners(http_places, ports.http, files),
        https: listeners(https_places, ports.https, files),
        dns: dns(raw, &client, ports.dns, network)?,
        ports,
        client,
    };
    distinct(&all)?;
    Ok(all)
}

fn dns(
    raw: &Raw,
    clients: &[IpAddr],
    port: u16,
    network: &Network,
) -> Result<Vec<SocketAddr>, ConfigError> {
    let key = "addresses.dns";
    let addresses = places(raw, key, clients, network)?.into_iter().map(|place| match place {
        Place::Ip(ip) => Ok(SocketAddr::new(ip, port)),
        Place::Unix(_) => {
            Err(ConfigError::at(raw.origin(key), "DNS address cannot be a unix socket"))
        }
    });
    let addresses: Vec<_> = addresses.collect::<Result<_, _>>()?;
    Ok(if port == 0 { Vec::new() } else { addresses })
}

/// Addresses of a list, templates resolved.
pub(super) fn words(
    raw: &Raw,
    key: &str,
    texts: &[String],
    network: &Network,
) -> Result<Vec<String>, ConfigError> {
    let mut words = Vec::new();
    for text in texts {
        let resolved = expand(text, network).map_err(|error: TemplateError| {
            ConfigError::at(raw.origin(key), format!("{key}: {error}"))
        })?;
        words.extend(resolved.split_whitespace().map(str::to_owned));
    }
    Ok(words)
}

/// An address, brackets allowed.
pub(super) fn parse_ip(text: &str) -> Option<IpAddr> {
    text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text).parse().ok()
}

fn resolve(raw: &Raw, key: &str, network: &Network) -> Result<Option<Vec<String>>, ConfigError> {
    let Some(text) = raw.text(key).filter(|text| !text.is_empty()) else { return Ok(None) };
    let resolved = expand(text, network).map_err(|error: TemplateError| {
        ConfigError::at(raw.origin(key), format!("{key}: {error}"))
    })?;
    Ok(Some(resolved.split_whitespace().map(str::to_owned).collect()))
}

fn single(raw: &Raw, key: &str, network: &Network) -> Result<Option<IpAddr>, ConfigError> {
    let Some(words) = resolve(raw, key, network)? else { return Ok(None) };
    let wrong = |text: String| Err(ConfigError::at(raw.origin(key), text));
    match words.as_slice() {
        [] => wrong(format!("{key} cannot be empty")),
        [unix] if unix.starts_with("unix://") => wrong(format!("{key} cannot be a unix socket")),
        [word] => match parse_ip(word) {
            Some(ip) => Ok(Some(ip)),
            None => wrong(format!("{key} must be an ip address")),
        },
        many => wrong(format!("{key} cannot contain multiple addresses: [{}]", many.join(" "))),
    }
}

/// What others reach this node by when it binds to `bind` and nothing else was said.
fn reachable(bind: IpAddr, network: &Network) -> Result<IpAddr, ConfigError> {
    if !bind.is_unspecified() {
        return Ok(bind);
    }
    let all = network
        .interfaces()
        .map_err(|error| ConfigError::Invalid(format!("advertise_addr: {error}")))?;
    let (found, kind): (Vec<IpAddr>, _) = match bind {
        IpAddr::V4(_) => {
            // Without a network, loopback is what there is.
            let alone = !all.iter().any(|i| i.up && !i.loopback);
            let usable = |i: &&Interface| i.up && (alone || !i.loopback);
            (
                all.iter().filter(usable).map(|i| i.address).filter(is_private).collect(),
                "private IPv4",
            )
        }
        IpAddr::V6(_) => (all.iter().map(|i| i.address).filter(is_public).collect(), "public IPv6"),
    };
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(ConfigError::Invalid(format!("No {kind} address found"))),
        _ => Err(ConfigError::Invalid(format!(
            "Multiple {kind} addresses found. Please configure one with 'bind' and/or 'advertise'."
        ))),
    }
}

/// What the original takes for an address to be reached by without being told: the networks for
/// private use, and with them those for documentation, which isolated test networks like to use.
fn is_private(address: &IpAddr) -> bool {
    let IpAddr::V4(four) = address else { return false };
    let shared = matches!(four.octets(), [100, 64..=127, ..]);
    let special = matches!(four.octets(), [192, 0, 0 | 2, _]);
    four.is_private() || four.is_loopback() || four.is_link_local() || shared || special
}

fn is_public(address: &IpAddr) -> bool {
    let IpAddr::V6(six) = address else { return false };
    let [first, second, ..] = six.segments();
    let site_local = first & 0xffc0 == 0xfec0;
    let documentation = (first, second) == (0x2001, 0xdb8);
    !(six.is_loopback()
        || six.is_unicast_link_local()
        || six.is_unique_local()
        || site_local
        || documentation)
}

fn clients(raw: &Raw, network: &Network) -> Result<Vec<IpAddr>, ConfigError> {
    let key = "client_addr";
    let Some(words) = resolve(raw, key, network)? else {
        return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
    };
    words
        .iter()
        .map(|word| {
            if word.starts_with("unix://") {
                let text = "client_addr cannot be a unix socket";
                return Err(ConfigError::at(raw.origin(key), text));
            }
            parse_ip(word).ok_or_else(|| {
                ConfigError::at(raw.origin(key), format!("{key}: invalid ip address: {word}"))
            })
        })
        .collect()
}

fn places(
    raw: &Raw,
    key: &str,
    clients: &[IpAddr],
    network: &Network,
) -> Result<Vec<Place>, ConfigError> {
    let Some(words) = resolve(raw, key, network)? else {
        return Ok(clients.iter().copied().map(Place::Ip).collect());
    };
    words
        .iter()
        .map(|word| match word.strip_prefix("unix://") {
            Some("") => {
                let text = format!("{key}: the path of the unix socket is missing");
                Err(ConfigError::at(raw.origin(key), text))
            }
            Some(path) => Ok(Place::Unix(path.into())),
            None => parse_ip(word).map(Place::Ip).ok_or_else(|| {
                ConfigError::at(raw.origin(key), format!("{key}: invalid ip address: {word}"))
            }),
        })
        .collect()
}

fn listeners(places: Vec<Place>, port: u16, files: SocketFiles) -> Vec<Listen> {
    if port == 0 {
        return Vec::new();
    }
    let SocketFiles { mode, user, group } = files;
    let listen = |place| match place {
        Place::Ip(ip) => Listen::Tcp(SocketAddr::new(ip, port)),
        Place::Unix(path) => Listen::Unix { path, mode, user, group },
    };
    places.into_iter().map(listen).collect()
}

/// Who owns the files of unix sockets, and their modes.
#[derive(Clone, Copy, Debug, Default)]
struct SocketFiles {
    mode: Option<u32>,
    user: Option<u32>,
    group: Option<u32>,
}

impl SocketFiles {
    fn read(raw: &Raw) -> Result<Self, ConfigError> {
        let key = "unix_sockets.mode";
        let mode = match raw.text(key).filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => match u32::from_str_radix(text, 8) {
                Ok(mode) if mode <= 0o7777 => Some(mode),
                _ => {
                    let text = format!("{key}: {text:?} is no octal mode such as \"0700\"");
                    return Err(ConfigError::at(raw.origin(key), text));
                }
            },
        };
        let user = owner(raw, "unix_sockets.user", "/etc/passwd")?;
        Ok(Self { mode, user, group: owner(raw, "unix_sockets.group", "/etc/group")? })
    }
}

/// The number of a user or group that is given by number, or by its name in `table`.
fn owner(raw: &Raw, key: &str, table: &str) -> Result<Option<u32>, ConfigError> {
    let Some(given) = raw.text(key).filter(|text| !text.is_empty()) else { return Ok(None) };
    if let Ok(number) = given.parse() {
        return Ok(Some(number));
    }
    let lines = std::fs::read_to_string(table).unwrap_or_default();
    let number = lines.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(given)).then(|| fields.nth(1)?.parse().ok())?
    });
    match number {
        Some(number) => Ok(Some(number)),
        None => {
            let text = format!("{key}: {given:?} is neither a number nor in {table}");
            Err(ConfigError::at(raw.origin(key), text))
        }
    }
}

fn ports(raw: &Raw) -> Result<Ports, ConfigError> {
    let port = |key: &str, usual: u16| -> Result<u16, ConfigError> {
        let Some(given) = raw.int(key) else { return Ok(usual) };
        u16::try_from(given.max(0)).map_err(|_| {
            let text = format!("{key}: invalid port {given}: ports end at 65535");
            ConfigError::at(raw.origin(key), text)
        })
    };
    let ports = Ports {
        http: port("ports.http", 8500)?,
        https: port("ports.https", 0)?,
        dns: port("ports.dns", 8600)?,
        server: port("ports.server", 8300)?,
        serf_lan: port("ports.serf_lan", 8301)?,
        serf_wan: port("ports.serf_wan", 8302)?,
        proxy_min: port("ports.proxy_min_port", 20_000)?,
        proxy_max: port("ports.proxy_max_port", 20_255)?,
        sidecar_min: port("ports.sidecar_min_port", 21_000)?,
        sidecar_max: port("ports.sidecar_max_port", 21_255)?,
    };
    for (key, port) in [("ports.server", ports.server), ("ports.serf_lan", ports.serf_lan)] {
        if port == 0 {
            let text = format!("{key} cannot be switched off");
            return Err(ConfigError::at(raw.origin(key), text));
        }
    }
    if ports.proxy_max < ports.proxy_min {
        let key = "ports.proxy_max_port";
        let origin = raw.origin(key).or_else(|| raw.origin("ports.proxy_min_port"));
        let text = "proxy_min_port must be less than proxy_max_port. \
                    To disable, set both to zero.";
        return Err(ConfigError::at(origin, text));
    }
    if ports.sidecar_max < ports.sidecar_min {
        let key = "ports.sidecar_max_port";
        let origin = raw.origin(key).or_else(|| raw.origin("ports.sidecar_min_port"));
        let text = "sidecar_min_port must be less than sidecar_max_port. \
                    To disable, set both to zero.";
        return Err(ConfigError::at(origin, text));
    }
    Ok(ports)
}

/// Refuses two parts at the same address.
fn distinct(all: &Addresses) -> Result<(), ConfigError> {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    let mut take = |owner: &'static str, place: String| match taken.get(&place) {
        Some(other) => Err(ConfigError::Invalid(format!(
            "{owner} address {place} already configured for {other}"
        ))),
        None => {
            taken.insert(place, owner);
            Ok(())
        }
    };
    for address in &all.dns {
        take("DNS", address.to_string())?;
    }
    for (owner, listeners) in [("HTTP", &all.http), ("HTTPS", &all.https)] {
        for listener in listeners {
            take(owner, name(listener))?;
        }
    }
    let ports = all.ports;
    let others = [
        ("RPC Advertise", all.advertise, ports.server),
        ("Serf Advertise LAN", all.advertise, ports.serf_lan),
        ("Serf Advertise WAN", all.advertise_wan, ports.serf_wan),
    ];
    for (owner, ip, port) in others.into_iter().filter(|(_, _, port)| *port != 0) {
        take(owner, SocketAddr::new(ip, port).to_string())?;
    }
    Ok(())
}

/// A listener as people write it.
pub(super) fn name(listener: &Listen) -> String {
    match listener {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix { path, .. } => format!("unix://{}", path.display()),
    }
}

/// The first HTTP listener as a client on this machine reaches it; empty when there is none.
pub(super) fn local_http(listeners: &[Listen]) -> String {
    match listeners.first() {
        Some(Listen::Tcp(address)) if address.ip().is_unspecified() => {
            let ip: IpAddr = match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            };
            SocketAddr::new(ip, address.port()).to_string()
        }
        Some(listener) => name(listener),
        None => String::new(),
    }
}
