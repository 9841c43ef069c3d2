//! Filter expressions: read for every type of rows, and evaluated, without an end to wait for.
#![no_main]

use lictor_filter::{Filter, Table};
use lictor_types::catalog::{CheckServiceNode, Node, Service, ServiceNode};
use lictor_types::check::HealthCheck;

fn try_on<T: Table>(text: &str, row: &T) {
    if let Ok(filter) = Filter::<T>::new(text) {
        assert_eq!(filter.matches(row), filter.matches(row));
    }
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let node = Node { name: "n".into(), ..Node::default() };
    let service = Service { name: "web".into(), tags: vec!["a".to_owned()], ..Service::default() };
    let (node, service) = (std::sync::Arc::new(node), std::sync::Arc::new(service));
    try_on(text, &*node);
    try_on(text, &*service);
    try_on(text, &HealthCheck::default());
    let checks = vec![std::sync::Arc::default()];
    try_on(text, &ServiceNode { node: node.clone(), service: service.clone() });
    try_on(text, &CheckServiceNode { node, service, checks });
});
