//! What a name below our domain asks for.
//!
//! A function of the name alone, in lower case; whether there is such a thing is not its matter.
//! Forms follow the original: kinds are labels, and a datacenter may stand behind the kind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::name::labels;
use crate::query::kind;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Instances of a service, or with `connect` those that speak for it in the mesh.
    Service {
        /// Name of the service.
        name: &'a str,
        /// Only those with this tag.
        tag: Option<String>,
        /// By mesh name.
        connect: bool,
    },
    /// A node.
    Node(String),
    /// A prepared query, by name or ID.
    Query(String),
    /// An address that is spelled in the name.
    Address(IpAddr),
    /// Something that looks like such an address and is none: an empty answer.
    Empty,
    /// Nothing that could exist.
    Nothing,
}

/// A target, and the datacenter if one is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// What.
    pub target: Target<'a>,
    /// Where.
    pub datacenter: Option<&'a str>,
}

/// Most labels of a name: each has at least two bytes.
const LABELS_MAX: usize = 128;

/// Understands `name`, which is in wire form, in lower case and without our domain, in a question
/// for records of type `asked`.
#[must_use]
pub fn route(name: &[u8], asked: u16) -> Route<'_> {
    let nothing = Route { target: Target::Nothing, datacenter: None };
    let mut parts: Vec<&str> = Vec::with_capacity(8);
    for label in labels(name) {
        match std::str::from_utf8(label) {
            Ok(label) if parts.len() < LABELS_MAX => parts.push(label),
            _ => return nothing,
        }
    }
    let mut datacenter = None;
    loop {
        let Some((last, before)) = parts.split_last() else { return nothing };
        // «_name._tcp» is enough in a question for SRV.
        if asked == kind::SRV && last.starts_with('_') {
            return Route { target: service(&parts), datacenter };
        }
        let target = match (*last, before) {
            ("service", [_, ..]) => service(before),
            ("connect", [.., name]) => Target::Service { name, tag: None, connect: true },
            ("node", [_, ..]) => Target::Node(before.join(".")),
            ("query", [_, ..]) => Target::Query(before.join(".")),
            ("addr", [address]) => spelled(address),
            ("service" | "connect" | "node" | "query" | "addr", _) => return nothing,
            _ if datacenter.is_none() => {
                datacenter = Some(*last);
                parts.pop();
                continue;
            }
            _ => return nothing,
        };
        return Route { target, datacenter };
    }
}

fn service<'a>(parts: &[&'a str]) -> Target<'a> {
    let Some((name, before)) = parts.split_last() else { return Target::Nothing };
    if let ([name_label], Some(tag)) = (before, name.strip_prefix('_'))
        && let Some(name) = name_label.strip_prefix('_')
    {
        // The usual protocol stands for no tag at all.
        let tag = (tag != "tcp" && !tag.is_empty()).then(|| tag.to_owned());
        return Target::Service { name, tag, connect: false };
    }
    let tag = (!before.is_empty()).then(|| before.join("."));
    Target::Service { name, tag, connect: false }
}

/// An address in hexadecimal digits.
fn spelled(digits: &str) -> Target<'static> {
    let bytes = |out: &mut [u8]| -> Option<()> {
        if digits.len() != out.len() * 2 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (at, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(at * 2..at * 2 + 2)?, 16).ok()?;
        }
        Some(())
    };
    match digits.len() {
        8 | 9 => {
            let mut octets = [0; 4];
            bytes(&mut octets)
                .map_or(Target::Nothing, |()| Target::Address(Ipv4Addr::from(octets).into()))
        }
        32 | 33 => {
            let mut octets = [0; 16];
            bytes(&mut octets)
                .map_or(Target::Nothing, |()| Target::Address(Ipv6Addr::from(octets).into()))
        }
        _ => Target::Empty,
    }
}

/// The address that a name below `arpa` stands for; in lower case, in wire form.
#[must_use]
pub fn reverse(name: &[u8]) -> Option<IpAddr> {
    let parts: Vec<&[u8]> = labels(name).take(LABELS_MAX).collect();
    let text = |part: &[u8]| std::str::from_utf8(part).ok().map(str::to_owned);
    match parts.as_slice() {
        [digits @ .., b"in-addr", b"arpa"] if digits.len() == 4 => {
            let mut octets = [0; 4];
            for (octet, part) in octets.iter_mut().zip(digits.iter().rev()) {
                let part = text(part)?;
                // A plain number: no sign, no leading zero.
                let number: u8 = part.parse().ok()?;
                if number.to_string() != part {
                    return None;
                }
                *octet = number;
            }
            Some(Ipv4Addr::from(octets).into())
        }
        [digits @ .., b"ip6", b"arpa"] if digits.len() == 32 => {
            let mut octets = [0_u8; 16];
            for (at, part) in digits.iter().rev().enumerate() {
                let [digit] = part else { return None };
                let digit = u8::try_from(char::from(*digit).to_digit(16)?).ok()?;
                octets[at / 2] |= if at % 2 == 0 { digit << 4 } else { digit };
            }
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::parse;

    fn ask(text: &str, asked: u16) -> String {
        let name = parse(text).unwrap();
        let route = route(&name[..name.len() - 1], asked);
        let target = match route.target {
            Target::Service { name, tag, connect } => {
                format!("{name} {} {connect}", tag.as_deref().unwrap_or("-"))
            }
            other => format!("{other:?}"),
        };
        format!("{target} @{}", route.datacenter.unwrap_or("-"))
    }

    #[test]
    fn names_are_understood() {
        let cases = [
            ("web.service", kind::A, "web - false @-"),
            ("v1.web.service", kind::A, "web v1 false @-"),
            ("v1.2.web.service.dc2", kind::A, "web v1.2 false @dc2"),
            ("_web._tcp.service", kind::A, "web - false @-"),
            ("_web._v1.service.dc1", kind::A, "web v1 false @dc1"),
            ("_web._tcp", kind::SRV, "web - false @-"),
            ("_web._tcp.dc1", kind::SRV, "web - false @dc1"),
            ("_web._tcp", kind::A, "Nothing @-"),
            ("_web.service", kind::SRV, "_web - false @-"),
            ("web.connect", kind::A, "web - true @-"),
            ("x.web.connect.dc1", kind::A, "web - true @dc1"),
            ("a.b.node.dc1", kind::A, "Node(\"a.b\") @dc1"),
            ("q.x.query", kind::A, "Query(\"q.x\") @-"),
            ("0a010007.addr.dc1", kind::A, "Address(10.1.0.7) @dc1"),
            ("20010db8000000000000000000000001.addr", kind::A, "Address(2001:db8::1) @-"),
            ("0a01000x.addr", kind::A, "Nothing @-"),
            ("0a0100071.addr", kind::A, "Nothing @-"),
            ("0a01.addr", kind::A, "Empty @-"),
            ("x.0a010007.addr", kind::A, "Nothing @-"),
            ("service", kind::A, "Nothing @-"),
            ("node.dc1", kind::A, "Nothing @-"),
            ("a.node.dc1.more", kind::A, "Nothing @-"),
            ("dc1", kind::A, "Nothing @-"),
        ];
        for (text, asked, expected) in cases {
            assert_eq!(ask(text, asked), expected, "{text}");
        }
        assert_eq!(route(b"", kind::A).target, Target::Nothing);
        assert_eq!(route(b"\x02\xff\xfe\x04node", kind::A).target, Target::Nothing);
    }

    #[test]
    fn reverse_names_are_addresses() {
        let address = |text: &str| reverse(&parse(text).unwrap()).map(|ip| ip.to_string());
        assert_eq!(address("7.0.1.10.in-addr.arpa").as_deref(), Some("10.1.0.7"));
        let long = format!("1.{}8.b.d.0.1.0.0.2.ip6.arpa", "0.".repeat(23));
        assert_eq!(address(&long).as_deref(), Some("2001:db8::1"));
        for wrong in [
            "0.1.10.in-addr.arpa",
            "07.0.1.10.in-addr.arpa",
            "256.0.1.10.in-addr.arpa",
            "1.ip6.arpa",
        ] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }
}
