//! Blocks of addresses: networks, and those that RFC 6890 sets apart.
//!
//! Arithmetic only; what is chosen by them is the filters' matter.

use std::net::IpAddr;

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    base: IpAddr,
    prefix: u8,
}

impl Block {
    /// Reads `address/bits`; a bare address is a network of its own.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = address.parse().ok()?;
        let width = width(base);
        let prefix = bits.map_or(Some(width), |bits| bits.parse().ok())?;
        (prefix <= width).then_some(Self { base, prefix })
    }

    /// Whether `address` is in it.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.base.is_ipv4() == address.is_ipv4()
            && network(self.base, self.prefix) == network(address, self.prefix)
    }
}

/// Number of bits of an address.
pub(super) const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address as a number.
pub(super) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => u128::from(u32::from(four)),
        IpAddr::V6(six) => u128::from(six),
    }
}

/// The number as an address of the same family as `like`; none when it does not fit.
pub(super) fn address(number: u128, like: IpAddr) -> Option<IpAddr> {
    match like {
        IpAddr::V4(_) => u32::try_from(number).ok().map(|four| IpAddr::V4(four.into())),
        IpAddr::V6(_) => Some(IpAddr::V6(number.into())),
    }
}

/// The bits of the host part.
pub(super) fn host_mask(address: IpAddr, prefix: u8) -> u128 {
    let host = u32::from(width(address).saturating_sub(prefix));
    1_u128.checked_shl(host).map_or(u128::MAX, |bit| bit - 1)
}

/// The first address of the network, as a number.
pub(super) fn network(address: IpAddr, prefix: u8) -> u128 {
    number(address) & !host_mask(address, prefix)
}

const RFC_1918: &[&str] = &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
const RFC_6598: &[&str] = &["100.64.0.0/10"];
const RFC_4193: &[&str] = &["fc00::/7"];
/// Addresses for special purposes that are not passed on by routers.
const UNFORWARDABLE: &[&str] = &[
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "192.0.0.0/29",
    "192.0.2.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "::ffff:0:0/96",
    "2001::/23",
    "2001:db8::/32",
    "2001:10::/28",
    "fe80::/10",
];
/// Addresses for special purposes that are.
const FORWARDABLE: &[&str] = &[
    "192.0.0.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "64:ff9b::/96",
    "100::/64",
    "2001:2::/48",
    "2002::/16",
];

fn any(blocks: &[&str], address: IpAddr) -> bool {
    blocks.iter().filter_map(|block| Block::parse(block)).any(|block| block.contains(address))
}

/// Whether routers pass it on.
pub(super) fn forwardable(address: IpAddr) -> bool {
    !any(UNFORWARDABLE, address)
}

/// Whether the RFC of that number speaks of `address`; none for RFCs that are not known.
pub(super) fn in_rfc(rfc: &str, address: IpAddr) -> Option<bool> {
    Some(match rfc {
        "1918" => any(RFC_1918, address),
        "6598" => any(RFC_6598, address),
        "4193" => any(RFC_4193, address),
        "6890" => [RFC_1918, RFC_6598, RFC_4193, UNFORWARDABLE, FORWARDABLE]
            .iter()
            .any(|blocks| any(blocks, address)),
        _ => return None,
    })
}
