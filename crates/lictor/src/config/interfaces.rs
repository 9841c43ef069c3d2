//! The network interfaces of this machine with their addresses, as templates need them.
//!
//! What is chosen among them is [`super::template`]'s. Asked of the kernel by route netlink, and
//! the default route read from `/proc`; elsewhere than on Linux there is nothing to be found.

use std::cell::OnceCell;
use std::io;
use std::net::IpAddr;

/// An address on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    /// Name of the interface.
    pub(super) name: String,
    /// The address.
    pub(super) address: IpAddr,
    /// Bits of its network.
    pub(super) prefix: u8,
    /// Switched on.
    pub(super) up: bool,
    /// Loops back to this machine.
    pub(super) loopback: bool,
    /// Carries the default route.
    pub(super) default: bool,
    /// Has a broadcast address.
    pub(super) broadcast: bool,
    /// Speaks multicast.
    pub(super) multicast: bool,
    /// Leads to one other machine.
    pub(super) point_to_point: bool,
}

/// Interfaces, asked for when they are first needed.
#[derive(Debug, Default)]
pub(super) struct Network {
    found: OnceCell<Vec<Interface>>,
}

impl Network {
    /// All interfaces that have addresses.
    pub(super) fn interfaces(&self) -> io::Result<&[Interface]> {
        if let Some(found) = self.found.get() {
            return Ok(found);
        }
        let found = kernel::interfaces()?;
        Ok(self.found.get_or_init(|| found))
    }

    /// Interfaces that are not this machine's.
    #[cfg(test)]
    pub(super) fn of(interfaces: Vec<Interface>) -> Self {
        Self { found: OnceCell::from(interfaces) }
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    pub(super) fn interfaces() -> std::io::Result<Vec<super::Interface>> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::collections::BTreeMap;
    use std::io;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, sendto,
        socket_with,
    };

    use super::Interface;

    const GET_LINK: u16 = 18;
    const NEW_LINK: u16 = 16;
    const GET_ADDR: u16 = 22;
    const NEW_ADDR: u16 = 20;
    const ERROR: u16 = 2;
    const DONE: u16 = 3;
    /// `NLM_F_REQUEST | NLM_F_DUMP`.
    const DUMP: u16 = 0x301;
    const HEADER: usize = 16;
    const LINK_HEADER: usize = 16;
    const ADDR_HEADER: usize = 8;
    const LINK_NAME: u16 = 3;
    const ADDR_ADDRESS: u16 = 1;
    const ADDR_LOCAL: u16 = 2;
    /// More than that are not looked at; the kernel sends what it likes.
    const MESSAGES_MAX: usize = 65_536;

    /// The kernel answers at once, or not at all.
    const PATIENCE: Duration = Duration::from_secs(5);

    const UP: u32 = 0x1;
    const BROADCAST: u32 = 0x2;
    const LOOPBACK: u32 = 0x8;
    const POINT_TO_POINT: u32 = 0x10;
    const MULTICAST: u32 = 0x1000;

    pub(super) fn interfaces() -> io::Result<Vec<Interface>> {
        let default = default_interface();
        let mut links = BTreeMap::new();
        for body in dump(GET_LINK, NEW_LINK)? {
            let (Some(index), Some(flags)) = (word(&body, 4), word(&body, 8)) else { continue };
            let name = attributes(&body, LINK_HEADER)
                .find(|(kind, _)| *kind == LINK_NAME)
                .map(|(_, value)| String::from_utf8_lossy(value).trim_end_matches('\0').to_owned());
            if let Some(name) = name {
                links.insert(index, (name, flags));
            }
        }
        let mut found = Vec::new();
        for body in dump(GET_ADDR, NEW_ADDR)? {
            let (Some(prefix), Some(index)) = (body.get(1).copied(), word(&body, 4)) else {
                continue;
            };
            let Some((name, flags)) = links.get(&index) else { continue };
            // On a link to one machine the plain address is the other end's.
            let of = |wanted: u16| attributes(&body, ADDR_HEADER).find(|(kind, _)| *kind == wanted);
            let value = of(ADDR_LOCAL).or_else(|| of(ADDR_ADDRESS));
            let Some(address) = value.and_then(|(_, bytes)| ip(bytes)) else { continue };
            found.push(Interface {
                name: name.clone(),
                address,
                prefix,
                up: flags & UP != 0,
                loopback: flags & LOOPBACK != 0,
                default: default.as_deref() == Some(name),
                broadcast: flags & BROADCAST != 0,
                multicast: flags & MULTICAST != 0,
                point_to_point: flags & POINT_TO_POINT != 0,
            });
        }
        Ok(found)
    }

    fn ip(bytes: &[u8]) -> Option<IpAddr> {
        if let Ok(four) = <[u8; 4]>::try_from(bytes) {
            return Some(Ipv4Addr::from(four).into());
        }
        <[u8; 16]>::try_from(bytes).ok().map(|sixteen| Ipv6Addr::from(sixteen).into())
    }

    /// The interface of the default route, if there is one.
    fn default_interface() -> Option<String> {
        let table = std::fs::read_to_string("/proc/net/route").ok()?;
        table.lines().skip(1).find_map(|line| {
            let mut words = line.split_whitespace();
            let (name, destination) = (words.next()?, words.next()?);
            (destination == "00000000").then(|| name.to_owned())
        })
    }

    /// The bodies of all answers of kind `answer`.
    fn dump(request: u16, answer: u16) -> io::Result<Vec<Vec<u8>>> {
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        let body = [0_u8; LINK_HEADER];
        let mut message = Vec::with_capacity(HEADER + body.len());
        let length = u32::try_from(HEADER + body.len()).unwrap_or(0);
        message.extend_from_slice(&length.to_ne_bytes());
        message.extend_from_slice(&request.to_ne_bytes());
        message.extend_from_slice(&DUMP.to_ne_bytes());
        message.extend_from_slice(&1_u32.to_ne_bytes());
        message.extend_from_slice(&0_u32.to_ne_bytes());
        message.extend_from_slice(&body);
        let kernel = netlink::SocketAddrNetlink::new(0, 0);
        sendto(&socket, &message, SendFlags::empty(), &kernel)?;
        let mut found = Vec::new();
        let mut buffer = vec![0_u8; 64 * 1024];
        loop {
            let (read, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
            let mut rest = buffer.get(..read).unwrap_or_default();
            if rest.is_empty() {
                return Ok(found);
            }
            while let (Some(length), Some(kind)) = (word(rest, 0), half(rest, 4)) {
                let length = length as usize;
                let Some(body) = rest.get(HEADER..length) else { return Ok(found) };
                match kind {
                    DONE => return Ok(found),
                    ERROR => return Err(io::Error::other("the kernel refused to list interfaces")),
                    kind if kind == answer => found.push(body.to_vec()),
                    _ => {}
                }
                if found.len() > MESSAGES_MAX {
                    return Ok(found);
                }
                rest = rest.get(aligned(length)..).unwrap_or_default();
            }
        }
    }

    const fn aligned(length: usize) -> usize {
        (length + 3) & !3
    }

    fn word(bytes: &[u8], at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    }

    fn half(bytes: &[u8], at: usize) -> Option<u16> {
        Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
    }

    /// The attributes of a message after its header of `skip` bytes.
    fn attributes(body: &[u8], skip: usize) -> impl Iterator<Item = (u16, &[u8])> {
        let mut rest = body.get(skip..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (length, kind) = (half(rest, 0)? as usize, half(rest, 2)?);
            let value = rest.get(4..length)?;
            rest = rest.get(aligned(length)..).unwrap_or_default();
            Some((kind, value))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_a_loopback_address() {
        let network = Network::default();
        let found = network.interfaces().unwrap();
        let lo = found.iter().find(|i| i.address == IpAddr::from([127, 0, 0, 1])).unwrap();
        assert!(lo.loopback && lo.up && lo.prefix == 8, "{lo:?}");
    }
}
