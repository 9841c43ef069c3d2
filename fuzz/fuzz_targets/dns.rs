//! A message to the DNS interface over both transports, answered from a small catalog, and the
//! same bytes as a recursor's answer: what is written is an answer that fits.
#![no_main]

use std::cell::RefCell;
use std::sync::Arc;

use lictor_dns::Settings;
use lictor_dns::answer::Context;
use lictor_dns::engine::{Engine, Step};
use lictor_dns::fit::Transport;
use lictor_dns::query::Query;
use lictor_dns::reverse::Reverse;
use lictor_server::CatalogView;
use lictor_state::Store;
use lictor_types::catalog::{Service, ServiceKind};
use lictor_types::command::{Command, RegisterRequest};

/// A catalog, settings, and who answers.
struct World {
    view: CatalogView,
    reverse: Reverse,
    settings: Arc<Settings>,
    engine: Engine,
    out: Vec<u8>,
}

fn service(name: &str, address: &str, port: u16, tags: &[&str]) -> Service {
    Service {
        id: Arc::from(format!("{name}-{port}")),
        name: name.into(),
        address: address.to_owned(),
        port,
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..Service::default()
    }
}

impl World {
    fn new() -> Self {
        let store = Store::new();
        let proxy = Service {
            kind: ServiceKind::ConnectProxy,
            proxy_destination: "db".to_owned(),
            ..service("p", "", 9, &[])
        };
        let nodes = [
            ("foo", "10.0.0.1", service("db", "", 5432, &["a", "V1.x"])),
            ("bar", "10.0.0.2", service("db", "10.0.0.102", 5433, &["b"])),
            ("six", "2001:db8::1", service("six", "", 66, &[])),
            ("ext", "www.example.com", service("out", "a.example.com", 443, &[])),
            ("loop", "10.0.0.3", service("self", "self.service.consul", 80, &[])),
            ("px", "10.0.0.5", proxy),
        ];
        let one = |(node, address, service): (&str, &str, Service)| {
            Command::Register(Box::new(RegisterRequest {
                node: node.into(),
                address: address.to_owned(),
                node_meta: [("key".to_owned(), "value".to_owned())].into(),
                service: Some(service),
                ..RegisterRequest::default()
            }))
        };
        let many = (0..200_u16).map(|at| {
            let name = format!("m{at}");
            one((&name, &format!("10.1.0.{}", at % 250), service("many", "", at + 1, &[])))
        });
        store.apply_batch(many.collect::<Vec<_>>());
        store.apply_batch(nodes.map(one));
        let settings = Arc::new(Settings::default());
        let mut engine = Engine::with_seed(7);
        engine.use_settings(&settings);
        let view = CatalogView::new(store.view());
        Self { view, reverse: Reverse::default(), settings, engine, out: Vec::new() }
    }

    fn ask(&mut self, message: &[u8], transport: Transport, most: usize) {
        let context = Context {
            settings: &self.settings,
            datacenter: "dc1",
            view: &self.view,
            reverse: &self.reverse,
            now: 1,
        };
        self.out.clear();
        match self.engine.respond(context, message, transport, &mut self.out) {
            Step::Written => {
                assert!((12..=most).contains(&self.out.len()), "{} bytes", self.out.len());
                assert_eq!(self.out[..2], message[..2], "the number of the question");
                assert_eq!(self.out[2] & 0x80, 0x80, "an answer");
            }
            Step::Ignored | Step::Wait(..) => assert!(self.out.is_empty()),
        }
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

libfuzzer_sys::fuzz_target!(|message: &[u8]| {
    let size = Query::parse(message).map_or(512, |query| query.udp_size());
    WORLD.with_borrow_mut(|world| {
        world.ask(message, Transport::Udp, size);
        world.ask(message, Transport::Tcp, usize::from(u16::MAX));
    });
    let _ = lictor_dns::fuzzing::recursor_answer(message);
});
