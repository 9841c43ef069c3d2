//! Bytes recorded between agents: each is read, and written again it is the same.
//!
//! Keys of the encrypted ones are known; compressed ones are compared after decompression, since
//! encoders may choose other codes.

use lictor_gossip::keyring::Keyring;
use lictor_gossip::message::Message;
use lictor_gossip::packet::{self, Incoming};
use lictor_gossip::serf::message::EventMessage;
use lictor_gossip::stream::{self, StreamMessage};
use lictor_gossip::tags;

const PRIMARY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

fn recorded() -> Vec<(&'static str, Vec<u8>)> {
    let text = include_str!("../testdata/recorded.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, hex) = line.split_once(' ').expect("a name and bytes");
            let bytes = hex.as_bytes().chunks(2).map(|pair| {
                u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex")
            });
            (name, bytes.collect())
        })
        .collect()
}

fn keyring() -> Keyring {
    let second: Vec<u8> = (0x10..0x20).collect();
    let third: Vec<u8> = (0x10..0x30).collect();
    Keyring::new([&PRIMARY[..], &second, &third]).expect("proper keys")
}

/// What is in a user message, written again.
fn again(message: &Message) -> Vec<u8> {
    let Message::User(inner) = message else { return message.encode() };
    let event = EventMessage::decode(inner).expect("a message of the event layer");
    if let EventMessage::Relay { message, .. } = &event {
        let inner = EventMessage::decode(message).expect("what is passed on");
        assert_eq!(inner.encode(), *message);
    }
    if let EventMessage::QueryResponse(answer) = &event {
        let content = EventMessage::decode(&answer.payload).expect("what is answered");
        let written = content.encode();
        // The order of tags is anybody's.
        assert_eq!(written.len(), answer.payload.len(), "{content:?}");
        assert_eq!(EventMessage::decode(&written), Ok(content));
    }
    Message::User(event.encode()).encode()
}

#[test]
fn messages() {
    let mut read = 0;
    for (name, bytes) in recorded() {
        if name.contains("-packet-") || name.contains("stream") {
            continue;
        }
        let message = Message::decode(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(again(&message), bytes, "{name}: {message:?}");
        if let Message::Alive(alive) = &message {
            let read = tags::decode(&alive.meta).expect("tags");
            assert_eq!(read["dc"], "dc1");
        }
        read += 1;
    }
    assert_eq!(read, 43);
}

#[test]
fn packets() {
    let mut read = 0;
    for (name, bytes) in recorded() {
        if !name.contains("-packet-") {
            continue;
        }
        let keyring = if name.contains("encrypted") { keyring() } else { Keyring::default() };
        let mut messages = Vec::new();
        packet::unwrap(&bytes, &keyring, Incoming::Encrypted, &mut |message| {
            messages.push(message.unwrap_or_else(|e| panic!("{name}: {e}")));
        })
        .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(!messages.is_empty(), "{name}");
        let parts: Vec<Vec<u8>> = messages.iter().map(again).collect();
        let single = parts.len() == 1;
        let inner = if single { parts[0].clone() } else { packet::compound(&parts) };
        if name.ends_with("-packet-single") || name.ends_with("-packet-compound") {
            assert_eq!(inner, bytes, "{name}");
        }
        if name.ends_with("-crc+single") || name.ends_with("-crc+compound") {
            assert_eq!(
                packet::wrap(inner, true, &Keyring::default(), || [0; 12]).len(),
                bytes.len()
            );
        }
        read += 1;
    }
    assert_eq!(read, 18);
}

#[test]
fn streams() {
    let mut read = 0;
    for (name, bytes) in recorded() {
        if !name.contains("stream") {
            continue;
        }
        let keyring = if name.contains("encrypt") { keyring() } else { Keyring::default() };
        let message = stream::decode(&bytes, &keyring, Incoming::Encrypted)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let plain = message.plain();
        // Written by agents, not by hand, and not inside layers.
        if name.contains("-plain-") {
            assert_eq!(plain, bytes, "{name}");
        }
        if let StreamMessage::PushPull(state) = &message {
            assert!(!state.nodes.is_empty());
            let events = EventMessage::decode(&state.user_state).expect("the event layer's state");
            if !name.contains("minimal") {
                assert_eq!(events.encode(), state.user_state, "{name}");
            }
        }
        if name.contains("err-response") {
            assert!(matches!(&message, StreamMessage::Error(_)), "{name}: {message:?}");
        }
        let packed = message.encode(&keyring, || [3; 12]);
        assert_eq!(stream::decode(&packed, &keyring, Incoming::Encrypted), Ok(message), "{name}");
        read += 1;
    }
    assert_eq!(read, 31);
}
