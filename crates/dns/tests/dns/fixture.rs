//! A catalog to ask, and answers as text.

use std::fmt::Write as _;
use std::sync::Arc;

use lictor_dns::Settings;
use lictor_dns::answer::{Context, Hosts, Outcome};
use lictor_dns::engine::{Engine, Step};
use lictor_dns::fit::Transport;
use lictor_dns::name;
use lictor_dns::query::Query;
use lictor_dns::reverse::Reverse;
use lictor_dns::service::Instances;
use lictor_server::CatalogView;
use lictor_state::Store;
use lictor_types::catalog::{Service, ServiceKind};
use lictor_types::check::{HealthCheck, Status};
use lictor_types::command::{Command, RegisterRequest};
use simple_dns::rdata::RData;
use simple_dns::{Packet, PacketFlag, ResourceRecord};

pub(crate) const UDP: Transport = Transport::Udp;
pub(crate) const TCP: Transport = Transport::Tcp;

/// A catalog, settings, and who answers.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) settings: Arc<Settings>,
    engine: Engine,
    reverse: Reverse,
}

/// A service to register.
pub(crate) fn service(name: &str, address: &str, port: u16, tags: &[&str]) -> Service {
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
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            store: Store::new(),
            settings: Arc::new(settings),
            engine: Engine::with_seed(7),
            reverse: Reverse::default(),
        }
    }

    /// The catalog that most tests ask.
    pub(crate) fn usual(settings: Settings) -> Self {
        let world = Self::new(settings);
        let meta = [("key", "value"), ("rfc1035-x", "raw")];
        world.node("Foo", "10.0.0.1", &meta, Some(service("db", "", 5432, &["master", "V1.x"])));
        world.node("bar", "10.0.0.2", &[], Some(service("db", "10.0.0.102", 5433, &["slave"])));
        world.node("v6", "2001:db8::1", &[], Some(service("six", "", 66, &[])));
        world.node("ext", "www.example.com", &[], Some(service("out", "a.example.com", 443, &[])));
        world.node("loop", "10.0.0.3", &[], Some(service("self", "self.service.consul", 80, &[])));
        world.node("in", "Foo.node.consul", &[], None);
        world.node("odd name", "10.0.0.4", &[], Some(service("odd", "", 1, &[])));
        world.node("srv", "10.0.0.9", &[], Some(service("consul", "", 8300, &[])));
        let proxy = Service {
            kind: ServiceKind::ConnectProxy,
            proxy_destination: "db".to_owned(),
            ..service("db-proxy", "", 9999, &[])
        };
        world.node("px", "10.0.0.5", &[], Some(proxy));
        world
    }

    pub(crate) fn node(
        &self,
        name: &str,
        address: &str,
        meta: &[(&str, &str)],
        service: Option<Service>,
    ) {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        self.register(RegisterRequest {
            node: name.into(),
            address: address.to_owned(),
            node_meta: meta.iter().map(pair).collect(),
            service,
            ..RegisterRequest::default()
        });
    }

    fn register(&self, request: RegisterRequest) {
        self.store.apply_batch([Command::Register(Box::new(request))]);
    }

    /// A check of a node, or of a service on it.
    pub(crate) fn check(&self, node: &str, address: &str, service: &str, status: Status) {
        let check = HealthCheck {
            node: node.into(),
            check_id: Arc::from(format!("check {service}")),
            service_id: service.into(),
            status,
            ..HealthCheck::default()
        };
        self.register(RegisterRequest {
            node: node.into(),
            address: address.to_owned(),
            checks: vec![check],
            skip_node_update: true,
            ..RegisterRequest::default()
        });
    }

    /// What becomes of a message, and what was written.
    pub(crate) fn respond(&mut self, message: &[u8], transport: Transport) -> (Step, Vec<u8>) {
        let view = CatalogView::new(self.store.view());
        self.engine.use_settings(&self.settings);
        let context = Context {
            settings: &self.settings,
            datacenter: "dc1",
            view: &view,
            reverse: &self.reverse,
            now: 1_700_000_000,
        };
        let mut out = Vec::new();
        let step = self.engine.respond(context, message, transport, &mut out);
        (step, out)
    }

    /// The answer to a prepared query that found the healthy instances of `service`.
    pub(crate) fn found(&mut self, name: &str, kind: u16, service: Option<&str>) -> String {
        let view = CatalogView::new(self.store.view());
        let context = Context {
            settings: &self.settings,
            datacenter: "dc1",
            view: &view,
            reverse: &self.reverse,
            now: 1_700_000_000,
        };
        let domain = &self.settings.domains[0];
        let instances = service.map(|service| {
            Instances::new(&view.healthy(service, false, None, false), "dc2", domain, 44)
        });
        let query = Query::parse(&question(name, kind, None)).expect("a good question");
        let nobody = Hosts::new();
        let answerer = self.engine.answerer(context, &query, &nobody);
        let Outcome::Reply(reply) = answerer.answer_query(Arc::clone(domain), instances.as_ref())
        else {
            panic!("{name} needs something else")
        };
        let mut out = Vec::new();
        self.engine.write(context, &query, &reply, UDP, &mut out);
        text(&out)
    }

    /// The bytes of the answer; none when it has to wait.
    pub(crate) fn bytes(&mut self, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
        match self.respond(message, transport) {
            (Step::Written, out) => Some(out),
            _ => None,
        }
    }

    /// The answer to a plain question over UDP, as text.
    pub(crate) fn ask(&mut self, name: &str, kind: u16) -> String {
        let message = question(name, kind, None);
        match self.respond(&message, UDP) {
            (Step::Written, out) => text(&out),
            (Step::Ignored, _) => "ignored".to_owned(),
            (Step::Wait(_, outcome), _) => format!("{outcome:?}"),
        }
    }
}

/// A question with the recursion bit, and EDNS if there is a size.
pub(crate) fn question(text: &str, kind: u16, edns: Option<u16>) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    message.extend_from_slice(&name::parse(text).expect("a name"));
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    if let Some(size) = edns {
        message.extend_from_slice(&[0, 0, 41]);
        message.extend_from_slice(&size.to_be_bytes());
        message.extend_from_slice(&[0; 6]);
    }
    message
}

/// An answer in a line: code and flags, then the sections, each sorted.
pub(crate) fn text(message: &[u8]) -> String {
    let packet = Packet::parse(message).expect("a good message");
    assert_eq!(packet.id(), 0x1234);
    let mut out = format!("{:?}", packet.rcode());
    for (flag, name) in [
        (PacketFlag::AUTHORITATIVE_ANSWER, "aa"),
        (PacketFlag::TRUNCATION, "tc"),
        (PacketFlag::RECURSION_AVAILABLE, "ra"),
    ] {
        if packet.has_flags(flag) {
            let _ = write!(out, " {name}");
        }
    }
    for (section, records) in
        [(":", &packet.answers), (" /", &packet.name_servers), (" +", &packet.additional_records)]
    {
        let mut lines: Vec<_> = records.iter().map(record).collect();
        lines.sort();
        if !lines.is_empty() {
            let _ = write!(out, "{section} {}", lines.join(", "));
        }
    }
    out
}

fn record(record: &ResourceRecord<'_>) -> String {
    let data = match &record.rdata {
        RData::A(a) => format!("A {}", std::net::Ipv4Addr::from(a.address)),
        RData::AAAA(a) => format!("AAAA {}", std::net::Ipv6Addr::from(a.address)),
        RData::CNAME(name) => format!("CNAME {}", name.0),
        RData::NS(name) => format!("NS {}", name.0),
        RData::PTR(name) => format!("PTR {}", name.0),
        RData::SRV(srv) => {
            format!("SRV {} {} {} {}", srv.priority, srv.weight, srv.port, srv.target)
        }
        RData::TXT(text) => {
            format!("TXT {}", String::try_from(text.clone()).expect("plain text"))
        }
        RData::SOA(soa) => format!("SOA {} {} {}", soa.mname, soa.rname, soa.serial),
        other => format!("{other:?}"),
    };
    format!("{} {} {data}", record.name, record.ttl)
}
