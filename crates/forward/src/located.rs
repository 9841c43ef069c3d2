//! Addresses as readers of another datacenter reach them (`translate_wan_addrs`): those that nodes and
//! services have for the WAN, where they have one. Whether they are wanted is the doors' matter.

use std::sync::Arc;

use lictor_types::catalog::{CheckServiceNode, Node, Service, ServiceNode};
use lictor_types::prepared_query::QueryResult;
use lictor_types::query::Reply;

use crate::away::mapped;

/// The kind of address that counts between datacenters.
const WAN: &str = "wan";

/// What has addresses.
pub trait Located {
    /// Shows those that count between datacenters.
    fn to_wan(&mut self);
}

impl Located for Arc<Node> {
    fn to_wan(&mut self) {
        if let Some(address) = self.tagged_addresses.get(WAN).cloned() {
            Self::make_mut(self).address = address;
        }
    }
}

impl Located for Arc<Service> {
    fn to_wan(&mut self) {
        if let Some(wan) = self.tagged_addresses.get(WAN).cloned() {
            let service = Self::make_mut(self);
            service.address = wan.address;
            if wan.port != 0 {
                service.port = wan.port;
            }
        }
    }
}

impl Located for ServiceNode {
    fn to_wan(&mut self) {
        self.node.to_wan();
        self.service.to_wan();
    }
}

impl Located for CheckServiceNode {
    fn to_wan(&mut self) {
        self.node.to_wan();
        self.service.to_wan();
    }
}

impl Located for QueryResult {
    fn to_wan(&mut self) {
        self.nodes.to_wan();
    }
}

impl<A: Located, B: Located> Located for (A, B) {
    fn to_wan(&mut self) {
        self.0.to_wan();
        self.1.to_wan();
    }
}

impl<T: Located> Located for Option<T> {
    fn to_wan(&mut self) {
        self.iter_mut().for_each(T::to_wan);
    }
}

impl<T: Located> Located for Vec<T> {
    fn to_wan(&mut self) {
        self.iter_mut().for_each(T::to_wan);
    }
}

/// A reply with the addresses that count between datacenters.
#[must_use]
pub fn to_wan<T: Located + Clone>(reply: Reply<T>) -> Reply<T> {
    mapped(reply, |mut rows| {
        rows.to_wan();
        rows
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_types::catalog::ServiceAddress;

    #[test]
    fn only_what_has_an_address_for_the_wan_shows_another_one() {
        let wan = |address: &str| [(WAN.to_owned(), address.to_owned())].into();
        let plain = Arc::new(Node { address: "10.0.0.1".into(), ..Node::default() });
        let node = Arc::new(Node { tagged_addresses: wan("1.2.3.4"), ..Node::clone(&plain) });
        let service = |port, wan: Option<u16>| {
            let address = |port| ServiceAddress { address: "1.2.3.5".into(), port };
            let tagged_addresses = wan.map(|port| (WAN.to_owned(), address(port)));
            let tagged_addresses = tagged_addresses.into_iter().collect();
            Arc::new(Service { port, tagged_addresses, ..Service::default() })
        };
        let services = vec![service(80, None), service(80, Some(0)), service(80, Some(8080))];
        let mut rows = Some((node, services));
        rows.to_wan();
        let (node, services) = rows.unwrap();
        assert_eq!(node.address, "1.2.3.4");
        let seen: Vec<_> = services.iter().map(|one| (&*one.address, one.port)).collect();
        assert_eq!(seen, [("", 80), ("1.2.3.5", 80), ("1.2.3.5", 8080)]);
        let mut same = vec![Arc::clone(&plain)];
        same.to_wan();
        assert!(Arc::ptr_eq(&same[0], &plain), "nothing is copied");
    }
}
