//! A compiled chain is read as it was written, whatever its nodes are.

use std::time::Duration;

use lictor_types::chain::policy::{HashPolicy, LeastRequest, RingHash};
use lictor_types::chain::route::{Destination, HttpMatch, RouteMatch};
use lictor_types::chain::{
    CompiledChain, LoadBalancer, Node, Resolver, Route, ServiceRoute, Split, Step, Target,
};
use lictor_types::query::{Evaluated, QueryMeta, Reply};
use lictor_wire::Message as _;

#[test]
fn nodes_of_a_chain_are_kept_whatever_their_type() {
    let load_balancer = Some(LoadBalancer {
        policy: "ring_hash".to_owned(),
        ring_hash: Some(RingHash { minimum_ring_size: 1, maximum_ring_size: 9 }),
        least_request: Some(LeastRequest { choice_count: 2 }),
        hash_policies: vec![HashPolicy { terminal: true, ..HashPolicy::default() }],
    });
    let route = ServiceRoute {
        matches: Some(RouteMatch { http: Some(HttpMatch::default()) }),
        destination: Some(Destination { num_retries: 3, ..Destination::default() }),
    };
    let resolver = Resolver {
        connect_timeout: Duration::from_secs(5),
        target: "t".to_owned(),
        failover: vec!["u".to_owned(), "v".to_owned()],
        ..Resolver::default()
    };
    let steps = [
        Step::Router(vec![Route { definition: Some(route), next: "n".to_owned() }]),
        Step::Router(Vec::new()),
        Step::Splitter {
            splits: vec![Split { weight: 33.33, next: "n".to_owned() }],
            load_balancer: load_balancer.clone(),
        },
        Step::Resolver { resolver, load_balancer },
        Step::Resolver { resolver: Resolver::default(), load_balancer: None },
    ];
    let mut chain = CompiledChain::default();
    for (at, step) in steps.into_iter().enumerate() {
        let node = Node { name: at.to_string(), step };
        chain.nodes.insert(node.key(), node);
    }
    let target = Target { mesh_gateway: "local".to_owned(), external: true, ..Target::default() };
    chain.targets.insert("t".to_owned(), target);
    let reply =
        Reply { result: Evaluated::new(7, Some(chain.clone())), meta: QueryMeta::default() };
    let bytes = reply.encode().expect("it is written");
    let read = Reply::<Option<CompiledChain>>::decode(&bytes).expect("it is read");
    assert_eq!(read.result.value, Some(chain));
}
