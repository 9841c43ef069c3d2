//! What both sides make of each other.

use proptest::prelude::*;

use super::*;

const START: Duration = Duration::ZERO;

fn pair() -> (Session, Session) {
    let config = Config::default();
    (Session::new(true, config, START), Session::new(false, config, START))
}

/// Carries bytes both ways until nothing is left.
fn carry(a: &mut Session, b: &mut Session) {
    while a.has_output() || b.has_output() {
        let bytes = a.output();
        b.receive(&bytes, START).unwrap();
        a.sent();
        let bytes = b.output();
        a.receive(&bytes, START).unwrap();
        b.sent();
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

#[test]
fn the_first_frames_are_those_of_agents() {
    let (mut client, mut server) = pair();
    let id = client.open().unwrap();
    // A window update with SYN, as recorded; data without flags follows.
    assert_eq!(client.output(), hex("000100010000000100000000"));
    assert_eq!(client.write(id, b"hi"), 2);
    assert_eq!(client.output(), hex("0000000000000001000000026869"));
    // The answer of a server: a ping's, the window update with ACK, data.
    server.receive(&hex("000100010000000100000000000200010000000000000000"), START).unwrap();
    let answer = hex("000100020000000100000000000200020000000000000000");
    assert_eq!(server.output(), answer);
    assert_eq!(server.event(), Some(Event::Opened(1)));
}

#[test]
fn a_stream_may_be_opened_by_its_first_data() {
    let (_, mut server) = pair();
    server.receive(&hex("0000000100000001000000026869"), START).unwrap();
    assert_eq!(server.event(), Some(Event::Opened(1)));
    assert_eq!(server.event(), Some(Event::Readable(1)));
    let mut got = Vec::new();
    assert_eq!(server.read(1, &mut got), Some(2));
    assert_eq!(got, b"hi");
}

#[test]
fn a_writer_waits_for_the_reader() {
    let (mut client, mut server) = pair();
    let id = client.open().unwrap();
    let message = vec![7; WINDOW as usize + 10];
    let first = client.write(id, &message);
    assert_eq!(first, WINDOW as usize);
    carry(&mut client, &mut server);
    assert_eq!(client.write(id, &message[first..]), 0);
    assert_eq!(client.event(), None);
    let mut got = Vec::new();
    assert_eq!(server.read(id, &mut got), Some(WINDOW as usize));
    carry(&mut client, &mut server);
    assert_eq!(client.event(), Some(Event::Writable(id)));
    assert_eq!(client.write(id, &message[first..]), 10);
}

#[test]
fn both_ends_of_a_stream_end_it() {
    let (mut client, mut server) = pair();
    let id = client.open().unwrap();
    client.write(id, b"question");
    client.end(id);
    assert_eq!(client.write(id, b"more"), 0);
    carry(&mut client, &mut server);
    let mut got = Vec::new();
    assert_eq!(server.read(id, &mut got), Some(8));
    assert_eq!(server.read(id, &mut got), None);
    server.write(id, b"answer");
    server.end(id);
    carry(&mut client, &mut server);
    assert_eq!(server.streams(), 0);
    let mut got = Vec::new();
    assert_eq!(client.read(id, &mut got), Some(6));
    assert_eq!(client.read(id, &mut got), None);
    assert_eq!(client.streams(), 0);
}

#[test]
fn a_reset_is_heard_and_late_data_ignored() {
    let (mut client, mut server) = pair();
    let id = client.open().unwrap();
    carry(&mut client, &mut server);
    server.reset(id);
    client.write(id, b"late");
    carry(&mut client, &mut server);
    assert_eq!(client.event(), Some(Event::Reset(id)));
    assert_eq!((client.streams(), server.streams()), (0, 0));
}

#[test]
fn what_was_written_before_the_end_is_read_after_it_was_let_go() {
    let (mut client, mut server) = pair();
    let id = client.open().unwrap();
    carry(&mut client, &mut server);
    server.write(id, b"answer");
    server.end(id);
    server.abandon(id);
    carry(&mut client, &mut server);
    let mut got = Vec::new();
    assert_eq!(client.read(id, &mut got), Some(6));
    client.write(id, b"nobody reads this");
    client.end(id);
    carry(&mut client, &mut server);
    assert_eq!(server.streams(), 0);
}

#[test]
fn limits_hold() {
    let config = Config { streams_max: 2, ..Config::default() };
    let mut client = Session::new(true, config, START);
    assert!(client.open().is_some() && client.open().is_some());
    assert_eq!(client.open(), None);
    let mut server = Session::new(false, Config { streams_max: 1, ..config }, START);
    let bytes = client.output();
    server.receive(&bytes, START).unwrap();
    assert_eq!(server.streams(), 1);
    carry(&mut client, &mut server);
    assert_eq!(client.event(), Some(Event::Reset(3)));
}

#[test]
fn breaches_end_the_session() {
    for (bytes, error) in [
        ("010000000000000000000000", SessionError::Version(1)),
        ("000900000000000000000000", SessionError::Type(9)),
        ("000100010000000200000000", SessionError::Number(2)),
        ("000100010000000000000000", SessionError::Number(0)),
        ("000000010000000100040001", SessionError::Window(1)),
        ("000300000000000000000001", SessionError::GoneAway(1)),
    ] {
        let (_, mut server) = pair();
        assert_eq!(server.receive(&hex(bytes), START), Err(error), "{bytes}");
    }
    let (_, mut server) = pair();
    server.receive(&hex("000100010000000300000000"), START).unwrap();
    let twice = server.receive(&hex("000100010000000300000000"), START);
    assert_eq!(twice, Err(SessionError::Number(3)));
}

#[test]
fn silence_is_noticed() {
    let (mut client, mut server) = pair();
    let later = client.deadline();
    assert_eq!(later, Duration::from_secs(30));
    client.tick(later).unwrap();
    carry(&mut client, &mut server);
    assert!(client.deadline() >= Duration::from_secs(30), "it was answered");
    let later = client.deadline().max(later);
    client.tick(later).unwrap();
    client.output();
    assert_eq!(client.tick(client.deadline()), Err(SessionError::Silent));
}

proptest! {
    /// However the bytes are cut, and however often is read, what arrives is what was sent.
    #[test]
    fn streams_carry_what_is_written(
        messages in proptest::collection::vec(
            (0..3_usize, proptest::collection::vec(any::<u8>(), 0..2000)), 1..40),
        cut in 1..700_usize,
    ) {
        let (mut client, mut server) = pair();
        let ids: Vec<_> = (0..3).map(|_| client.open().unwrap()).collect();
        let mut sent = vec![Vec::new(); 3];
        let mut got = vec![Vec::new(); 3];
        for (stream, message) in &messages {
            let written = client.write(ids[*stream], message);
            prop_assert_eq!(written, message.len());
            sent[*stream].extend_from_slice(message);
            let bytes = client.output();
            for part in bytes.chunks(cut) {
                server.receive(part, START).unwrap();
            }
            client.sent();
            let read = stream % 3;
            server.read(ids[read], &mut got[read]);
            let bytes = server.output();
            client.receive(&bytes, START).unwrap();
        }
        for (at, id) in ids.iter().enumerate() {
            server.read(*id, &mut got[at]);
        }
        prop_assert_eq!(got, sent);
    }

    #[test]
    fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (_, mut server) = pair();
        let _ = server.receive(&bytes, START);
    }
}
