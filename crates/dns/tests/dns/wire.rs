//! Messages as bytes: whatever arrives is survived, and what is written can be read.

use std::net::IpAddr;

use lictor_dns::Settings;
use lictor_dns::name;
use lictor_dns::query::kind::{A, ANY, NS, SOA, SRV, TXT};
use lictor_dns::query::{Query, Subnet, Unanswerable};
use proptest::prelude::*;
use simple_dns::Packet;

use crate::fixture::{TCP, UDP, World, question, text};

#[test]
fn odd_messages_are_refused_or_ignored() {
    let good = question("db.service.consul", A, None);
    let changed = |at: usize, byte: u8| {
        let mut message = good.clone();
        message[at] = byte;
        message
    };
    let code = |message: &[u8]| match Query::parse(message) {
        Ok(_) => None,
        Err(Unanswerable::Ignore) => Some(255),
        Err(Unanswerable::Refuse { rcode, .. }) => Some(rcode),
    };
    assert_eq!(code(&good), None);
    assert_eq!(code(&good[..11]), Some(255));
    assert_eq!(code(&changed(2, 0x81)), Some(255), "an answer");
    assert_eq!(code(&changed(2, 0x21)), Some(4), "a notification");
    assert_eq!(code(&changed(5, 0)), Some(1), "no question");
    assert_eq!(code(&changed(5, 2)), Some(1), "two questions");
    assert_eq!(code(&changed(12, 0xC0)), Some(1), "a pointer");
    assert_eq!(code(&good[..20]), Some(1), "cut");
    let mut world = World::usual(Settings::default());
    let refused = world.bytes(&changed(5, 2), UDP).expect("an answer");
    assert_eq!((refused.len(), refused[3] & 15, refused[..2].to_vec()), (12, 1, vec![0x12, 0x34]));
    // EDNS of a version to come: the upper bits of the code are in the OPT record.
    let mut later = question("db.service.consul", A, Some(4096));
    let version = later.len() - 5;
    later[version] = 1;
    let answer = world.bytes(&later, UDP).expect("an answer");
    assert_eq!((answer[3] & 15, answer[answer.len() - 6]), (0, 1));
}

#[test]
fn the_subnet_of_a_client_is_read_and_sent_back() {
    let mut message = question("db.service.consul", A, Some(4096));
    let length = message.len() - 1;
    message[length] = 11;
    message.extend_from_slice(&[0, 8, 0, 7, 0, 1, 20, 0, 10, 1, 0x5F]);
    let query = Query::parse(&message).expect("a good question");
    let subnet = query.edns.and_then(|edns| edns.subnet);
    let address: IpAddr = [10, 1, 0x50, 0].into();
    assert_eq!(subnet, Some(Subnet { address, prefix: 20 }));
    let mut world = World::usual(Settings::default());
    for _ in 0..2 {
        let answer = world.bytes(&message, UDP).expect("an answer");
        assert!(answer.ends_with(&[0, 11, 0, 8, 0, 7, 0, 1, 20, 0, 10, 1, 0x50]), "{answer:?}");
        text(&answer);
    }
}

fn labels() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "service", "node", "connect", "addr", "query", "consul", "db", "foo", "_db", "_tcp", "dc1",
        "in-addr", "arpa", "10", "0a000001", "six", "out", "in", "loop", "self",
    ]);
    prop::collection::vec(
        prop_oneof![4 => known.prop_map(str::to_owned), 1 => "[a-zA-Z0-9-]{1,20}"],
        1..7,
    )
    .prop_map(|labels| labels.join("."))
}

proptest! {
    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut world = World::usual(Settings::default());
        let _ = world.respond(&bytes, UDP);
        // With a header that gets farther.
        let mut message = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        message.extend_from_slice(&bytes);
        let _ = world.respond(&message, TCP);
    }

    #[test]
    fn a_question_with_flipped_bytes_does_no_harm(
        flips in prop::collection::vec((0_usize..60, any::<u8>()), 1..6),
    ) {
        let mut message = question("db.service.dc1.consul", SRV, Some(1232));
        for (at, byte) in flips {
            let length = message.len();
            message[at % length] = byte;
        }
        let _ = World::usual(Settings::default()).respond(&message, UDP);
    }

    #[test]
    fn every_answer_can_be_read(
        name in labels(),
        kind in prop::sample::select(vec![A, 28, SRV, ANY, TXT, NS, SOA, 12, 5, 15]),
        edns in prop::option::of(0_u16..5000),
        compress in any::<bool>(),
    ) {
        let mut world = World::usual(Settings { compress, ..Settings::default() });
        let message = question(&name, kind, edns);
        for transport in [UDP, TCP, UDP] {
            if let Some(answer) = world.bytes(&message, transport) {
                text(&answer);
                let packet = Packet::parse(&answer).expect("a good message");
                prop_assert_eq!(packet.questions[0].qname.to_string(), name.clone());
                prop_assert_eq!(packet.opt().is_some(), edns.is_some());
                if transport == UDP {
                    let most = usize::from(edns.unwrap_or(512).max(512));
                    prop_assert!(answer.len() <= most, "{} of {most}", answer.len());
                }
            }
        }
    }

    #[test]
    fn questions_are_read_as_they_were_written(
        text in "[a-zA-Z0-9_-]{1,63}(\\.[a-zA-Z0-9_-]{1,40}){0,3}",
        kind in any::<u16>(),
        edns in prop::option::of(any::<u16>()),
    ) {
        let query = Query::parse(&question(&text, kind, edns)).expect("a good question");
        prop_assert_eq!(name::to_text(query.spelled()), format!("{text}."));
        prop_assert_eq!(name::to_text(&query.name), format!("{}.", text.to_lowercase()));
        prop_assert_eq!((query.kind, query.edns.map(|edns| edns.size)), (kind, edns));
    }
}
