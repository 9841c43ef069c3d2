//! Functions of templates that choose among interfaces and put them in order.
//!
//! How they are called is [`super`]'s matter.

use std::cmp::{Ordering, Reverse};
use std::net::IpAddr;

use regex::Regex;

use super::TemplateError;
use super::attribute;
use super::block::{self, Block};
use crate::config::interfaces::Interface;

/// Private or public interfaces fit for traffic, the best first.
pub(super) fn usable(mut all: Vec<Interface>, private: bool) -> Vec<Interface> {
    all.retain(|i| {
        let set_apart = block::in_rfc("6890", i.address) == Some(true);
        i.up && block::forwardable(i.address) && set_apart == private
    });
    all.sort_by_key(|i| (!i.default, i.address.is_ipv6(), Reverse(size(i))));
    all
}

fn size(interface: &Interface) -> u8 {
    block::width(interface.address) - interface.prefix.min(block::width(interface.address))
}

/// The addresses of all, with `between` between them.
pub(super) fn addresses(all: &[Interface], between: &str) -> String {
    all.iter().map(|i| i.address.to_string()).collect::<Vec<_>>().join(between)
}

/// The interfaces of that name (a regular expression), IPv4 first.
pub(super) fn of_interface(
    all: Vec<Interface>,
    name: &str,
) -> Result<Vec<Interface>, TemplateError> {
    let mut found = keep(all, "name", &format!("^(?:{name})$"), true)?;
    found.retain(|i| block::forwardable(i.address) || i.loopback);
    found.sort_by_key(|i| (i.address.is_ipv6(), Reverse(size(i))));
    Ok(found)
}

fn function(include: bool) -> &'static str {
    if include { "include" } else { "exclude" }
}

/// Those that a selector matches, or all others.
pub(super) fn keep(
    mut all: Vec<Interface>,
    selector: &str,
    word: &str,
    include: bool,
) -> Result<Vec<Interface>, TemplateError> {
    let unknown =
        |word: &str| TemplateError::Word { function: function(include), word: word.to_owned() };
    let matches: Box<dyn Fn(&Interface) -> bool> = match selector.to_ascii_lowercase().as_str() {
        "name" => {
            let wanted = Regex::new(word).map_err(|_| unknown(word))?;
            Box::new(move |i| wanted.is_match(&i.name))
        }
        "address" => {
            let wanted = Regex::new(word).map_err(|_| unknown(word))?;
            Box::new(move |i| wanted.is_match(&i.address.to_string()))
        }
        "flag" | "flags" => flags(word, &unknown)?,
        "network" => {
            let parts: Option<Vec<_>> =
                word.split(['|', ' ']).filter(|w| !w.is_empty()).map(Block::parse).collect();
            let blocks = parts.ok_or_else(|| unknown(word))?;
            Box::new(move |i| blocks.iter().any(|block| block.contains(i.address)))
        }
        "type" => match word.to_ascii_lowercase().as_str() {
            "ip" => Box::new(|_| true),
            "ipv4" => Box::new(|i| i.address.is_ipv4()),
            "ipv6" => Box::new(|i| i.address.is_ipv6()),
            _ => return Err(unknown(word)),
        },
        "rfc" => {
            let rfcs: Vec<String> = word.split('|').map(str::to_owned).collect();
            let nowhere = IpAddr::from([0, 0, 0, 0]);
            if let Some(other) = rfcs.iter().find(|rfc| block::in_rfc(rfc, nowhere).is_none()) {
                return Err(unknown(other));
            }
            Box::new(move |i| rfcs.iter().any(|rfc| block::in_rfc(rfc, i.address) == Some(true)))
        }
        "size" => {
            let bits: u8 = word.trim_start_matches('/').parse().map_err(|_| unknown(word))?;
            Box::new(move |i| i.prefix == bits)
        }
        other => return Err(unknown(other)),
    };
    all.retain(|i| matches(i) == include);
    Ok(all)
}

type Test = Box<dyn Fn(&Interface) -> bool>;

/// All of the flags, separated by bars or commas, are wanted.
fn flags(word: &str, unknown: &impl Fn(&str) -> TemplateError) -> Result<Test, TemplateError> {
    let wanted: Vec<String> = word
        .to_ascii_lowercase()
        .split(['|', ',', ' '])
        .filter(|flag| !flag.is_empty())
        .map(str::to_owned)
        .collect();
    const FLAGS: &[&str] =
        &["up", "down", "broadcast", "loopback", "pointtopoint", "multicast", "forwardable"];
    if let Some(other) = wanted.iter().find(|flag| !FLAGS.contains(&flag.as_str())) {
        return Err(unknown(other));
    }
    Ok(Box::new(move |i| {
        let has = attribute::flags(i);
        wanted.iter().all(|flag| match flag.as_str() {
            "down" => !i.up,
            "forwardable" => block::forwardable(i.address),
            flag => has.contains(&flag),
        })
    }))
}

/// In the order of one or several keys, separated by commas; `-` turns a key round.
pub(super) fn sort(mut all: Vec<Interface>, by: &str) -> Result<Vec<Interface>, TemplateError> {
    type Compare = fn(&Interface, &Interface) -> Ordering;
    let mut keys: Vec<(bool, Compare)> = Vec::new();
    for word in by.split(',').map(str::trim) {
        let (backwards, name) = match word.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, word.strip_prefix('+').unwrap_or(word)),
        };
        keys.push((
            backwards,
            match name {
                "address" => |a, b| a.address.cmp(&b.address),
                "default" => |a, b| b.default.cmp(&a.default),
                "name" => |a, b| a.name.cmp(&b.name),
                "size" => |a, b| size(b).cmp(&size(a)),
                "type" => |a, b| a.address.is_ipv6().cmp(&b.address.is_ipv6()),
                "private" => |a, b| {
                    let private = |i: &Interface| block::in_rfc("6890", i.address) == Some(true);
                    private(b).cmp(&private(a))
                },
                _ => return Err(TemplateError::Word { function: "sort", word: word.to_owned() }),
            },
        ));
    }
    all.sort_by(|a, b| {
        keys.iter().fold(Ordering::Equal, |order, (backwards, compare)| {
            let next = compare(a, b);
            order.then(if *backwards { next.reverse() } else { next })
        })
    });
    Ok(all)
}

/// One of each name, or of each address.
pub(super) fn unique(all: Vec<Interface>, by: &str) -> Result<Vec<Interface>, TemplateError> {
    if !matches!(by, "name" | "address") {
        return Err(TemplateError::Word { function: "unique", word: by.to_owned() });
    }
    let mut found: Vec<Interface> = Vec::new();
    for interface in all {
        let same = |other: &Interface| match by {
            "name" => other.name == interface.name,
            _ => other.address == interface.address,
        };
        if !found.iter().any(same) {
            found.push(interface);
        }
    }
    Ok(found)
}

/// Addresses moved by a number, from themselves or from the start or end of their network.
pub(super) fn math(
    all: Vec<Interface>,
    by: &str,
    change: &str,
) -> Result<Vec<Interface>, TemplateError> {
    let wrong = |word: &str| TemplateError::Word { function: "math", word: word.to_owned() };
    let change_by: i128 =
        change.strip_prefix('+').unwrap_or(change).parse().map_err(|_| wrong(change))?;
    let moved = |mut interface: Interface| {
        let (address, prefix) = (interface.address, interface.prefix);
        let first = block::network(address, prefix);
        let from = match by {
            "address" => block::number(address),
            // From the end of the network when it goes backwards.
            "network" if change_by < 0 => {
                (first | block::host_mask(address, prefix)).saturating_add(1)
            }
            "network" => first,
            _ => return Err(wrong(by)),
        };
        interface.address = from
            .checked_add_signed(change_by)
            .and_then(|number| block::address(number, address))
            .ok_or_else(|| wrong(change))?;
        Ok(interface)
    };
    all.into_iter().map(moved).collect()
}
