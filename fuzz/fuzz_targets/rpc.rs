//! What comes on the server port: frames of streams, and calls on them.
#![no_main]

use std::time::Duration;

use lictor_rpc::message::{RequestHead, ResponseHead, Splitter, decode};
use lictor_rpc::yamux::{Config, Session};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for client in [true, false] {
        let mut session = Session::new(client, Config::default(), Duration::ZERO);
        let own = session.open();
        if session.receive(bytes, Duration::ZERO).is_ok() {
            let mut read = Vec::new();
            while let Some(event) = session.event() {
                if let lictor_rpc::yamux::Event::Readable(id) = event {
                    let _ = session.read(id, &mut read);
                    session.end(id);
                }
            }
            if let Some(id) = own {
                session.write(id, bytes);
                session.abandon(id);
            }
        }
        assert!(session.output().len() < 16 * bytes.len() + (2 << 20));
    }
    let mut splitter = Splitter::default();
    splitter.buffer().extend_from_slice(bytes);
    while let Ok(Some(value)) = splitter.next_value() {
        let _ = decode::<RequestHead>(&value);
        let _ = decode::<ResponseHead>(&value);
    }
});
