//! What is answered to which question.

use std::collections::BTreeMap;

use lictor_dns::query::kind::{A, AAAA, ANY, AXFR, CNAME, NS, PTR, SOA, SRV, TXT};
use lictor_dns::{Settings, SoaSettings};
use lictor_types::check::Status;

use crate::fixture::{World, service};

const NEGATIVE: &str = " / consul 0 SOA ns.consul hostmaster.consul 1700000000";

#[test]
fn questions_have_their_answers() {
    let mut world = World::usual(Settings::default());
    let nothing = &*format!("NameError aa{NEGATIVE}");
    let empty = &*format!("NoError aa{NEGATIVE}");
    let both = "NoError aa: db.service.consul 0 A 10.0.0.1, db.service.consul 0 A 10.0.0.102";
    let servers = "srv.node.dc1.consul 0 A 10.0.0.9";
    let cases: &[(&str, u16, &str)] = &[
        // Nodes.
        (
            "foo.node.consul",
            A,
            "NoError aa: foo.node.consul 0 A 10.0.0.1 + foo.node.consul 0 TXT key=value, \
             foo.node.consul 0 TXT raw",
        ),
        ("FOO.Node.dc1.CONSUL", A, "NoError aa: FOO.Node.dc1.CONSUL 0 A 10.0.0.1 + "),
        ("foo.node.consul", AAAA, "NoError aa: foo.node.consul 0 TXT key=value, "),
        ("foo.node.consul", TXT, "NoError aa: foo.node.consul 0 TXT key=value, "),
        ("foo.node.consul", ANY, "NoError aa: foo.node.consul 0 A 10.0.0.1, foo.node.consul 0 TXT"),
        ("foo.node.consul", SRV, "NoError aa"),
        ("v6.node.consul", AAAA, "NoError aa: v6.node.consul 0 AAAA 2001:db8::1"),
        ("v6.node.consul", A, "NoError aa"),
        ("ext.node.consul", A, "NoError aa: ext.node.consul 0 CNAME www.example.com"),
        (
            "in.node.consul",
            A,
            "NoError aa: Foo.node.consul 0 A 10.0.0.1, in.node.consul 0 CNAME Foo.node.consul",
        ),
        ("nosuch.node.consul", A, nothing),
        ("foo.node.dc9.consul", A, "Elsewhere(\"dc9\")"),
        // Services.
        ("db.service.consul", A, both),
        ("db.service.consul", ANY, "NoError aa: db.service.consul 0 A 10.0.0.1, "),
        ("db.service.consul", AAAA, empty),
        ("db.service.consul", TXT, "NoError aa: db.service.consul 0 TXT key=value, "),
        ("master.db.service.consul", A, "NoError aa: master.db.service.consul 0 A 10.0.0.1"),
        ("v1.X.db.service.consul", A, "NoError aa: v1.X.db.service.consul 0 A 10.0.0.1"),
        (
            "_db._slave.service.dc1.consul",
            A,
            "NoError aa: _db._slave.service.dc1.consul 0 A 10.0.0.102",
        ),
        ("nosuch.db.service.consul", A, nothing),
        ("db.service.dc9.consul", A, "Elsewhere(\"dc9\")"),
        (
            "_db._tcp.consul",
            SRV,
            "NoError aa: _db._tcp.consul 0 SRV 1 1 5432 Foo.node.dc1.consul, \
             _db._tcp.consul 0 SRV 1 1 5433 0a000066.addr.dc1.consul \
             + 0a000066.addr.dc1.consul 0 A 10.0.0.102, Foo.node.dc1.consul 0 A 10.0.0.1, \
             Foo.node.dc1.consul 0 TXT key=value, Foo.node.dc1.consul 0 TXT raw",
        ),
        // The short form is for SRV alone, also when the instances are at hand.
        ("_db._tcp.consul", A, nothing),
        ("six.service.consul", AAAA, "NoError aa: six.service.consul 0 AAAA 2001:db8::1"),
        ("out.service.consul", CNAME, "NoError aa: out.service.consul 0 CNAME a.example.com"),
        (
            "out.service.consul",
            SRV,
            "NoError aa: out.service.consul 0 SRV 1 1 443 ext.node.dc1.consul \
             + ext.node.dc1.consul 0 CNAME a.example.com",
        ),
        ("self.service.consul", A, "NoError aa: self.service.consul 0 A 10.0.0.3"),
        (
            "db.connect.consul",
            SRV,
            "NoError aa: db.connect.consul 0 SRV 1 1 9999 px.node.dc1.consul + ",
        ),
        ("db-proxy.connect.consul", A, nothing),
        ("q.query.consul", A, "Query { name: \"q\""),
        // Addresses in names.
        ("0a010007.addr.dc1.consul", A, "NoError aa: 0a010007.addr.dc1.consul 0 A 10.1.0.7"),
        ("0a01.addr.consul", A, "NoError aa"),
        ("xx010007.addr.consul", A, nothing),
        // The domain.
        ("consul", A, nothing),
        ("consul", NS, "NoError aa: consul 0 NS srv.node.dc1.consul + srv.node.dc1.consul 0 A"),
        (
            "any.thing.consul",
            SOA,
            &format!(
                "NoError aa: consul 0 SOA ns.consul hostmaster.consul 1700000000 \
                 / consul 0 NS srv.node.dc1.consul + {servers}"
            ),
        ),
        ("consul", AXFR, "NotImplemented aa"),
        // Reverse names.
        (
            "1.0.0.10.in-addr.arpa",
            PTR,
            "NoError aa: 1.0.0.10.in-addr.arpa 0 PTR Foo.node.dc1.consul",
        ),
        (
            "102.0.0.10.in-addr.arpa",
            PTR,
            "NoError aa: 102.0.0.10.in-addr.arpa 0 PTR db.service.consul",
        ),
        ("9.9.9.9.in-addr.arpa", PTR, "ServerFailure ra"),
        // Elsewhere.
        ("example.com", A, "ServerFailure"),
        ("db.service.consulx", A, "ServerFailure"),
    ];
    for round in 0..2 {
        for (name, kind, expected) in cases {
            let answer = world.ask(name, *kind);
            // Some go on with what is not of interest.
            let open = expected.ends_with([' ', 'A', 'T', '"']) && !expected.ends_with("aa");
            let fits = if open { answer.starts_with(expected) } else { answer == *expected };
            assert!(fits, "round {round}, {name} {kind}:\n{answer}\n{expected}");
        }
    }
}

#[test]
fn answers_follow_the_catalog() {
    let mut world = World::usual(Settings::default());
    let addresses = |world: &mut World| world.ask("db.service.consul", A);
    assert!(addresses(&mut world).contains("10.0.0.1, "));
    world.check("Foo", "10.0.0.1", "db-5432", Status::Critical);
    assert_eq!(addresses(&mut world), "NoError aa: db.service.consul 0 A 10.0.0.102");
    world.check("Foo", "10.0.0.1", "db-5432", Status::Warning);
    assert!(addresses(&mut world).contains("10.0.0.1, "));
    world.check("bar", "10.0.0.2", "", Status::Critical);
    assert_eq!(addresses(&mut world), "NoError aa: db.service.consul 0 A 10.0.0.1");
    world.node("bar", "10.0.0.2", &[], Some(service("db", "10.0.0.103", 5433, &[])));
    world.check("bar", "10.0.0.2", "", Status::Passing);
    assert!(addresses(&mut world).ends_with("10.0.0.103"));
    let holder = world.ask("103.0.0.10.in-addr.arpa", PTR);
    assert!(holder.ends_with("PTR db.service.consul"), "{holder}");
}

#[test]
fn settings_count() {
    let ttl = BTreeMap::from([("db".to_owned(), 15), ("*".to_owned(), 3)]);
    let mut world = World::usual(Settings {
        node_ttl: 7,
        service_ttl: ttl,
        only_passing: true,
        a_record_limit: 1,
        node_meta_txt: false,
        soa: SoaSettings { refresh: 1, retry: 2, expire: 3, min_ttl: 4 },
        domains: ["consul", "alt.example"]
            .map(|text| lictor_dns::domain(text).expect("a domain"))
            .to_vec(),
        ..Settings::default()
    });
    world.check("Foo", "10.0.0.1", "db-5432", Status::Warning);
    let cases = [
        ("foo.node.consul", A, "NoError aa: foo.node.consul 7 A 10.0.0.1"),
        ("db.service.consul", A, "NoError aa: db.service.consul 15 A 10.0.0.102"),
        ("six.service.consul", AAAA, "NoError aa: six.service.consul 3 AAAA 2001:db8::1"),
        ("x.consul", A, "NameError aa / consul 4 SOA ns.consul hostmaster.consul 1700000000"),
        (
            "db.service.alt.example",
            SRV,
            "NoError aa: db.service.alt.example 15 SRV 1 1 5433 0a000066.addr.dc1.alt.example \
             + 0a000066.addr.dc1.alt.example 15 A 10.0.0.102",
        ),
    ];
    for (name, kind, expected) in cases {
        assert_eq!(world.ask(name, kind), expected);
    }
    world.check("Foo", "10.0.0.1", "db-5432", Status::Passing);
    let one = world.ask("db.service.consul", A);
    assert_eq!(one.matches(" A ").count(), 1, "{one}");
}

#[test]
fn with_recursors_others_are_asked() {
    let mut world = World::usual(Settings {
        recursors: vec![([127, 0, 0, 1], 53).into()],
        ..Settings::default()
    });
    assert_eq!(world.ask("example.com", A), "Recurse");
    assert_eq!(world.ask("9.9.9.9.in-addr.arpa", PTR), "Recurse");
    assert!(world.ask("ext.node.consul", A).starts_with("Resolve("));
    assert!(world.ask("foo.node.consul", A).starts_with("NoError aa ra: "));
}

#[test]
fn every_instance_gets_its_share() {
    let mut world = World::new(Settings::default());
    for at in 0..20 {
        let (node, address) = (format!("n{at}"), format!("10.1.0.{at}"));
        world.node(&node, &address, &[], Some(service("many", "", 80, &[])));
    }
    let mut seen = BTreeMap::new();
    for _ in 0..600 {
        let answer = world.ask("many.service.consul", A);
        for word in answer.split_whitespace().filter(|word| word.starts_with("10.1.")) {
            *seen.entry(word.trim_end_matches(',').to_owned()).or_insert(0) += 1;
        }
    }
    // 1800 addresses of 20 instances.
    assert_eq!(seen.len(), 20);
    assert!(seen.values().all(|count| (50..140).contains(count)), "{seen:?}");
}

#[test]
fn what_a_prepared_query_found_is_answered() {
    let mut world = World::usual(Settings::default());
    assert_eq!(
        world.found("q.query.consul", AAAA, Some("six")),
        "NoError aa: q.query.consul 44 AAAA 2001:db8::1"
    );
    assert_eq!(
        world.found("q.query.consul", SRV, Some("six")),
        "NoError aa: q.query.consul 44 SRV 1 1 66 v6.node.dc2.consul \
         + v6.node.dc2.consul 44 AAAA 2001:db8::1"
    );
    assert_eq!(world.found("q.query.consul", A, Some("six")), format!("NoError aa{NEGATIVE}"));
    for nothing in [None, Some("nosuch")] {
        assert_eq!(world.found("q.query.consul", A, nothing), format!("NameError aa{NEGATIVE}"));
    }
}
