//! Packets and streams of gossip, the messages in them, and a node that takes them.
#![no_main]

use std::net::SocketAddr;
use std::time::Duration;

use lictor_gossip::keyring::Keyring;
use lictor_gossip::message::Message;
use lictor_gossip::packet::{Incoming, unwrap};
use lictor_gossip::serf::message::EventMessage;
use lictor_gossip::serf::{Config, Serf};
use lictor_gossip::stream::decode;
use lictor_gossip::swim;
use lictor_gossip::tags::Tags;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let keyring = Keyring::default();
    let _ = unwrap(bytes, &keyring, Incoming::Encrypted, &mut |message| {
        if let Ok(message) = message {
            // What was read is written so that it is read as the same.
            assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    });
    if let Ok(message) = EventMessage::decode(bytes) {
        assert_eq!(EventMessage::decode(&message.encode()), Ok(message));
    }
    let from = SocketAddr::from(([127, 0, 0, 1], 1));
    let swim = swim::Config::lan("a", SocketAddr::from(([127, 0, 0, 1], 2)));
    let nonces = Box::new(|| [0; 12]);
    let config = Config::new(Tags::new());
    let mut serf = Serf::new(swim, config, keyring.clone(), 1, nonces, Duration::ZERO);
    serf.packet(from, bytes, Duration::from_secs(1));
    if let Ok(message) = decode(bytes, &keyring, Incoming::Encrypted) {
        serf.stream(message, Duration::from_secs(2));
    }
    serf.tick(Duration::from_secs(100));
    while serf.output().is_some() || serf.event().is_some() {}
});
