//! How much of a long answer is sent.

use lictor_dns::Settings;
use lictor_dns::fit::Transport;
use lictor_dns::query::kind::{A, ANY, SRV, TXT};

use crate::fixture::{TCP, UDP, World, question, service, text};

fn crowd(count: usize, settings: Settings) -> World {
    let world = World::new(settings);
    for at in 0..count {
        let (node, address) = (format!("n{at}"), format!("10.1.{}.{}", at / 250, at % 250));
        world.node(&node, &address, &[], Some(service("many", "", 80, &[])));
    }
    world
}

fn counts(message: &[u8]) -> (usize, usize, bool) {
    let count = |at| usize::from(u16::from_be_bytes([message[at], message[at + 1]]));
    let edns = usize::from(message[message.len() - 11..].starts_with(&[0, 0, 41]));
    (count(6), count(10) - edns, message[2] & 2 != 0)
}

#[test]
fn answers_fit_the_transport() {
    let mark = || Settings { enable_truncate: true, ..Settings::default() };
    // Twice: prepared and from scratch.
    for _ in 0..2 {
        let mut world = crowd(100, mark());
        let mut ask = |kind, edns, transport: Transport| {
            let bytes = world
                .bytes(&question("many.service.consul", kind, edns), transport)
                .expect("an answer");
            text(&bytes);
            let (answers, extras, cut) = counts(&bytes);
            (answers, extras, cut, bytes.len())
        };
        for _ in 0..2 {
            assert_eq!(ask(A, None, UDP), (3, 0, true, 37 + 3 * 16));
            assert_eq!(ask(ANY, None, UDP).0, 3);
            assert_eq!(ask(A, Some(512), UDP).0, 3);
            assert_eq!(ask(A, Some(4096), UDP), (100, 0, false, 37 + 11 + 100 * 16));
            // As many as fit, and not one less.
            assert_eq!(ask(A, Some(1232), UDP), (74, 0, true, 37 + 11 + 74 * 16));
            assert_eq!(ask(A, None, TCP), (100, 0, false, 37 + 100 * 16));
            let (answers, extras, cut, _) = ask(SRV, None, UDP);
            assert_eq!((answers, extras, cut), (3, 3, true));
            let (answers, extras, cut, length) = ask(SRV, Some(1232), UDP);
            assert!(answers == extras && cut && length <= 1232 && length > 1232 - 60);
            let (answers, extras, cut, _) = ask(SRV, None, TCP);
            assert_eq!((answers, extras, cut), (100, 100, false));
        }
    }
    let mut silent = crowd(9, Settings { udp_answer_limit: 20, ..Settings::default() });
    let bytes = silent.bytes(&question("many.service.consul", A, None), UDP).expect("an answer");
    assert_eq!(counts(&bytes), (8, 0, false));
    let mut none = crowd(9, Settings { udp_answer_limit: 0, ..Settings::default() });
    let bytes = none.bytes(&question("many.service.consul", A, None), UDP).expect("an answer");
    assert_eq!(counts(&bytes), (1, 0, false));
}

#[test]
fn streams_have_their_limits_too() {
    let mut world = crowd(4200, Settings::default());
    let mut ask = |kind| {
        let question = question("many.service.consul", kind, None);
        let bytes = world.bytes(&question, TCP).expect("an answer");
        text(&bytes);
        (counts(&bytes).0, bytes.len())
    };
    for _ in 0..2 {
        let (answers, length) = ask(A);
        assert!(answers > 4080 && length <= 65_523, "{answers} {length}");
        let (answers, length) = ask(SRV);
        assert!(answers > 990 && length <= 65_523, "{answers} {length}");
    }
}

#[test]
fn without_compression_names_are_in_full() {
    let mut full = crowd(4, Settings { compress: false, ..Settings::default() });
    let mut short = crowd(4, Settings::default());
    for (kind, edns) in [(A, Some(4096)), (SRV, Some(4096)), (SRV, None)] {
        let question = question("many.service.consul", kind, edns);
        for _ in 0..2 {
            let long = full.bytes(&question, UDP).expect("an answer");
            let tight = short.bytes(&question, UDP).expect("an answer");
            assert!(!long.windows(2).any(|pair| pair == [0xC0, 12]), "{long:?}");
            assert_eq!(counts(&long), counts(&tight));
            assert!(long.len() > tight.len() && long.len() <= 4096);
            if kind == A {
                let mut both = [text(&long), text(&tight)];
                both.sort();
                assert_eq!(both[0], both[1]);
            }
        }
    }
}

#[test]
fn a_node_with_much_to_say_is_marked() {
    let meta: Vec<_> = (0..64).map(|at| (format!("key{at}"), "x".repeat(200))).collect();
    let pairs: Vec<_> = meta.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut world = World::new(Settings::default());
    world.node("n", "10.0.0.1", &pairs, None);
    let bytes = world.bytes(&question("n.node.consul", A, None), UDP).expect("an answer");
    let (answers, extras, cut) = counts(&bytes);
    assert!(answers == 1 && extras == 2 && !cut && bytes.len() <= 512);
    let bytes = world.bytes(&question("n.node.consul", TXT, None), UDP).expect("an answer");
    let (answers, _, cut) = counts(&bytes);
    assert!(answers == 2 && cut && bytes.len() <= 512);
    let bytes = world.bytes(&question("n.node.consul", TXT, None), TCP).expect("an answer");
    assert_eq!(counts(&bytes), (64, 0, false));
}
