//! Discovery chains, for agents of later versions: without configuration entries each is one step,
//! to the healthy instances of the service.

use std::collections::BTreeMap;
use std::time::Duration;

use lictor_types::error::EndpointError;
use lictor_types::query::{QueryOptions, Reply};
use lictor_wire::discovery_chain::{
    self, Chain, ChainArgs, ChainNode, ChainTarget, Gateway, Resolver,
};

use crate::away::{Serving, answers, mapped, read};
use crate::servers::Servers;

/// How long a connection may take to be made unless somebody says so.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What is spoken unless somebody says so.
const PROTOCOL: &str = "tcp";
/// The only namespace.
const NAMESPACE: &str = "default";

impl Servers {
    /// The chain of an upstream, which needs the right to read its service.
    async fn discovery_chain(
        &self,
        options: &QueryOptions,
        asked: &ChainArgs,
    ) -> Result<Reply<Option<Chain>>, EndpointError> {
        read!(
            self,
            options,
            |server| async {
                // Names in it end with the trust domain, which hangs on the roots.
                let roots = server.ca_roots(options).await?;
                if !server.authorizer(&options.token)?.service_read(&asked.name) {
                    return Err(EndpointError::permission_denied());
                }
                if asked.name.is_empty() {
                    return Err(EndpointError::refused("Must provide service name"));
                }
                let own = self.named(&options.datacenter);
                Ok(mapped(roots, |roots| Some(chain(asked, own, &roots.trust_domain))))
            },
            discovery_chain::Get,
            asked.clone(),
        )
    }
}

/// The chain of a service that nobody has configured, as seen from the datacenter `own`.
fn chain(asked: &ChainArgs, own: &str, trust_domain: &str) -> Chain {
    let service = &asked.name;
    let datacenter = if asked.evaluate_in.is_empty() { own } else { &asked.evaluate_in };
    let id = format!("{service}.{NAMESPACE}.{datacenter}");
    let sni = format!("{id}.internal.{trust_domain}");
    let connect_timeout =
        if asked.connect_timeout.is_zero() { CONNECT_TIMEOUT } else { asked.connect_timeout };
    let protocol = if asked.protocol.is_empty() { PROTOCOL } else { &asked.protocol };
    // There is no gateway to an instance of the same datacenter.
    let mesh_gateway =
        if datacenter == own { Gateway::default() } else { asked.mesh_gateway.clone() };
    let usual =
        connect_timeout == CONNECT_TIMEOUT && protocol == PROTOCOL && mesh_gateway.mode.is_empty();
    let customization = if usual {
        String::new()
    } else {
        told_apart(connect_timeout, protocol, &mesh_gateway.mode)
    };
    let start = format!("resolver:{id}");
    let node = ChainNode {
        kind: "resolver".to_owned(),
        name: id.clone(),
        resolver: Some(Resolver { default: true, connect_timeout, target: id.clone() }),
    };
    let target = ChainTarget {
        id: id.clone(),
        service: service.clone(),
        namespace: NAMESPACE.to_owned(),
        datacenter: datacenter.to_owned(),
        mesh_gateway,
        connect_timeout,
        name: sni.clone(),
        sni,
    };
    Chain {
        service: service.clone(),
        namespace: NAMESPACE.to_owned(),
        datacenter: datacenter.to_owned(),
        customization,
        protocol: protocol.to_owned(),
        nodes: BTreeMap::from([(start.clone(), node)]),
        targets: BTreeMap::from([(id, target)]),
        start,
    }
}

/// Eight digits that are others for other wishes, and the same from every server; nothing else is
/// read from them. FNV-1a, 32 bits.
fn told_apart(connect_timeout: Duration, protocol: &str, mode: &str) -> String {
    let wishes = format!("{}/{protocol}/{mode}", connect_timeout.as_nanos());
    let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    format!("{:08x}", wishes.bytes().fold(0x811c_9dc5, mix))
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    answers! { method, body;
        discovery_chain::Get, request => servers.discovery_chain(&request.options, &request.args);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_ends_where_the_recorded_one_does() {
        let asked = ChainArgs { name: "web".to_owned(), ..ChainArgs::default() };
        let chain = chain(&asked, "dc1", "04fb61b7.consul");
        assert_eq!((&*chain.protocol, &*chain.customization), ("tcp", ""));
        assert_eq!(chain.start, "resolver:web.default.dc1");
        let node = &chain.nodes[&chain.start];
        let resolver = node.resolver.as_ref().expect("it is one");
        assert!(resolver.default && resolver.connect_timeout == CONNECT_TIMEOUT);
        let target = &chain.targets[&resolver.target];
        assert_eq!(target.sni, "web.default.dc1.internal.04fb61b7.consul");
        assert_eq!((&*target.datacenter, &*target.name), ("dc1", &*target.sni));
    }

    #[test]
    fn wishes_are_kept_and_tell_chains_apart() {
        let there = |mode: &str, seconds, protocol: &str| {
            let asked = ChainArgs {
                name: "web".to_owned(),
                evaluate_in: "dc2".to_owned(),
                connect_timeout: Duration::from_secs(seconds),
                mesh_gateway: Gateway { mode: mode.to_owned() },
                protocol: protocol.to_owned(),
            };
            chain(&asked, "dc1", "x.consul")
        };
        let usual = there("", 5, "tcp");
        assert_eq!((&*usual.datacenter, &*usual.customization), ("dc2", ""));
        let all = [there("local", 0, ""), there("", 7, ""), there("", 0, "http")];
        let target = |chain: &Chain| chain.targets["web.default.dc2"].clone();
        assert_eq!(target(&all[0]).mesh_gateway.mode, "local");
        assert_eq!(target(&all[1]).connect_timeout, Duration::from_secs(7));
        assert_eq!(all[2].protocol, "http");
        let digits: std::collections::BTreeSet<_> = all.iter().map(|c| &c.customization).collect();
        assert!(digits.len() == 3 && digits.iter().all(|digits| digits.len() == 8), "{digits:?}");
    }
}
