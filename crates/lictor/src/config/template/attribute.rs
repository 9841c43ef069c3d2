//! Attributes of interfaces as text.
//!
//! Those of sockets (`port`) and `binary` are not offered.

use super::TemplateError;
use super::block;
use crate::config::interfaces::Interface;

/// The attribute of that name.
pub(super) fn of(interface: &Interface, name: &str) -> Result<String, TemplateError> {
    let (address, prefix) = (interface.address, interface.prefix);
    let mask = block::host_mask(address, prefix);
    let first = block::network(address, prefix);
    let text = |number: u128| {
        block::address(number, address).map(|found| found.to_string()).unwrap_or_default()
    };
    // The first and last address of an IPv4 network are no hosts, unless there are two only.
    let edge = u128::from(address.is_ipv4() && prefix < 31);
    Ok(match name {
        "address" => address.to_string(),
        "name" => interface.name.clone(),
        "flags" => flags(interface).join("|"),
        "type" => (if address.is_ipv4() { "IPv4" } else { "IPv6" }).to_owned(),
        "network" => text(first),
        "host" => address.to_string(),
        "first_usable" => text(first + edge),
        "last_usable" => text((first | mask) - edge),
        "netmask" => text(block::host_mask(address, 0) & !mask),
        "mask_bits" => prefix.to_string(),
        "size" => mask.checked_add(1).map(|n| n.to_string()).unwrap_or_default(),
        "hex" if address.is_ipv4() => format!("{:08x}", block::number(address)),
        "hex" => format!("{:032x}", block::number(address)),
        "octets" => octets(interface),
        "string" => format!("{address}/{prefix}"),
        other => {
            return Err(TemplateError::Word { function: "attr", word: other.to_owned() });
        }
    })
}

fn octets(interface: &Interface) -> String {
    let bytes = block::number(interface.address).to_be_bytes();
    let used = usize::from(block::width(interface.address) / 8);
    let shown: Vec<_> = bytes.iter().skip(bytes.len() - used).map(u8::to_string).collect();
    shown.join(" ")
}

/// The words of an interface's flags.
pub(super) fn flags(interface: &Interface) -> Vec<&'static str> {
    let all = [
        (interface.up, "up"),
        (interface.broadcast, "broadcast"),
        (interface.loopback, "loopback"),
        (interface.point_to_point, "pointtopoint"),
        (interface.multicast, "multicast"),
    ];
    all.into_iter().filter_map(|(on, word)| on.then_some(word)).collect()
}
