//! What is around the messages of a packet: label, encryption, checksum, compression, and several
//! messages in one.
//!
//! Receivers take off the label, decrypt, check, and then unpack and decompress in any nesting.

use weezl::BitOrder;
use weezl::decode::Decoder;
use weezl::encode::Encoder;

use crate::keyring::Keyring;
use crate::message::{COMPOUND, COMPRESS, CRC, LABEL, Message};
use crate::pack::{Malformed, Reader, Structure as _, Writer};

/// Largest packet that is sent.
pub const PACKET_MAX: usize = 1400;
/// Largest packet that is read.
pub const RECEIVE_MAX: usize = 65_536;
/// Bytes that a compound adds, and those for each of its parts.
pub const COMPOUND_OVERHEAD: usize = 2;
/// See [`COMPOUND_OVERHEAD`].
pub const PART_OVERHEAD: usize = 2;
/// Most parts that are sent in one: old nodes compute with 8 bits where these start.
pub const PARTS_MAX: usize = 120;
/// Deepest nesting of compounds and compression.
const DEPTH_MAX: usize = 6;
/// Most that a packet may unfold to.
const UNPACKED_MAX: usize = 1 << 20;
/// Literal codes are of 8 bits.
const LZW_SIZE: u8 = 8;

/// Whether packets have to be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Others are dropped.
    Encrypted,
    /// While encryption is being turned on: what cannot be decrypted is taken as it is.
    Either,
}

/// Calls `each` for every message of a packet, as far as they can be read.
///
/// # Errors
/// When the packet as a whole cannot be read; single messages are passed on as errors to `each`.
pub fn unwrap(
    packet: &[u8],
    keyring: &Keyring,
    incoming: Incoming,
    each: &mut impl FnMut(Result<Message, Malformed>),
) -> Result<(), Malformed> {
    if packet.first() == Some(&LABEL) {
        return Err(Malformed::Label);
    }
    let opened;
    let mut packet = packet;
    if !keyring.is_empty() {
        match keyring.open(packet, b"") {
            Ok(plain) => {
                opened = plain;
                packet = &opened;
            }
            Err(error) if incoming == Incoming::Encrypted => return Err(error),
            Err(_) => {}
        }
    }
    if packet.first() == Some(&CRC) {
        let mut reader = Reader::new(packet);
        reader.byte()?;
        let sum = reader.take(4)?;
        packet = reader.rest();
        if crc32fast::hash(packet).to_be_bytes() != sum {
            return Err(Malformed::Checksum);
        }
    }
    let mut budget = UNPACKED_MAX;
    unpack(packet, DEPTH_MAX, &mut budget, each)
}

fn unpack(
    packet: &[u8],
    depth: usize,
    budget: &mut usize,
    each: &mut impl FnMut(Result<Message, Malformed>),
) -> Result<(), Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed::TooLarge)?;
    match packet.first() {
        Some(&COMPOUND) => {
            let mut reader = Reader::new(&packet[1..]);
            let count = usize::from(reader.byte()?);
            let lengths = reader.take(2 * count)?;
            for length in lengths.as_chunks::<2>().0 {
                // A packet that was cut has its complete messages.
                let Ok(part) = reader.take(u16::from_be_bytes(*length).into()) else { break };
                unpack(part, depth, budget, each)?;
            }
            Ok(())
        }
        Some(&COMPRESS) => {
            let plain = decompress(&packet[1..], *budget)?;
            *budget -= plain.len();
            unpack(&plain, depth, budget, each)
        }
        Some(_) => {
            each(Message::decode(packet));
            Ok(())
        }
        None => Err(Malformed::Incomplete),
    }
}

/// The messages of one packet in one: encoded messages, at most [`PARTS_MAX`].
#[must_use]
pub fn compound(parts: &[Vec<u8>]) -> Vec<u8> {
    let size: usize = parts.iter().map(|part| part.len() + PART_OVERHEAD).sum();
    let mut out = Vec::with_capacity(COMPOUND_OVERHEAD + size);
    out.push(COMPOUND);
    out.push(u8::try_from(parts.len()).unwrap_or(u8::MAX));
    for part in parts {
        out.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// A packet of `message`, compressed where that pays, with a checksum for those who know it.
#[must_use]
pub fn wrap(
    message: Vec<u8>,
    checksum: bool,
    keyring: &Keyring,
    nonce: impl FnOnce() -> [u8; 12],
) -> Vec<u8> {
    let mut packet = message;
    let compressed = compress(&packet);
    if compressed.len() < packet.len() {
        packet = compressed;
    }
    seal(packet, checksum, keyring, nonce)
}

/// A packet of `message` as it is, with a checksum for those who know it.
#[must_use]
pub fn seal(
    message: Vec<u8>,
    checksum: bool,
    keyring: &Keyring,
    nonce: impl FnOnce() -> [u8; 12],
) -> Vec<u8> {
    let mut packet = message;
    if checksum {
        let mut sealed = Vec::with_capacity(packet.len() + 5);
        sealed.push(CRC);
        sealed.extend_from_slice(&crc32fast::hash(&packet).to_be_bytes());
        sealed.extend_from_slice(&packet);
        packet = sealed;
    }
    if keyring.is_empty() {
        return packet;
    }
    let mut out = Vec::with_capacity(packet.len() + crate::keyring::OVERHEAD);
    keyring.seal(&packet, b"", nonce(), &mut out);
    out
}

/// A message in compressed form, its type first.
#[must_use]
pub fn compress(message: &[u8]) -> Vec<u8> {
    // Writing to memory does not fail.
    let codes = Encoder::new(BitOrder::Lsb, LZW_SIZE).encode(message).unwrap_or_default();
    let mut out = Writer::message(COMPRESS);
    out.map(2).raw("Algo").uint(0).raw("Buf").raw(codes);
    out.into_bytes()
}

/// The message of a compressed one, its type byte taken off.
///
/// # Errors
/// When it cannot be read, or would be longer than `limit`.
pub fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Malformed> {
    let (mut algorithm, mut codes): (u64, &[u8]) = (0, &[]);
    Reader::new(bytes).structure(|key, r| {
        match key {
            b"Algo" => algorithm = r.uint()?,
            b"Buf" => codes = r.raw()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if algorithm != 0 {
        return Err(Malformed::Kind(COMPRESS));
    }
    inflate(codes, limit)
}

fn inflate(mut codes: &[u8], limit: usize) -> Result<Vec<u8>, Malformed> {
    let mut decoder = Decoder::new(BitOrder::Lsb, LZW_SIZE);
    let mut out = Vec::new();
    let mut chunk = vec![0; 4096];
    loop {
        let step = decoder.decode_bytes(codes, &mut chunk);
        codes = &codes[step.consumed_in..];
        out.extend_from_slice(&chunk[..step.consumed_out]);
        if out.len() > limit {
            return Err(Malformed::TooLarge);
        }
        match step.status {
            Ok(weezl::LzwStatus::Done) => return Ok(out),
            Ok(weezl::LzwStatus::Ok) => {}
            // No end code: what there is must be all of it.
            Ok(weezl::LzwStatus::NoProgress) => return Err(Malformed::Incomplete),
            Err(_) => return Err(Malformed::Type),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn messages(packet: &[u8], keyring: &Keyring) -> Vec<Message> {
        let mut found = Vec::new();
        unwrap(packet, keyring, Incoming::Encrypted, &mut |m| found.push(m.unwrap())).unwrap();
        found
    }

    proptest! {
        #[test]
        fn what_is_wrapped_is_unwrapped(
            texts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..40),
            checksum: bool, encrypted: bool,
        ) {
            let keyring = if encrypted {
                Keyring::new([&[5_u8; 16][..]]).unwrap()
            } else {
                Keyring::default()
            };
            let sent: Vec<Message> = texts.into_iter().map(Message::User).collect();
            let parts: Vec<Vec<u8>> = sent.iter().map(Message::encode).collect();
            let packet = wrap(compound(&parts), checksum, &keyring, || [1; 12]);
            prop_assert_eq!(messages(&packet, &keyring), sent);
        }

        #[test]
        fn no_packet_does_harm(packet in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = unwrap(&packet, &Keyring::default(), Incoming::Encrypted, &mut |_| ());
        }
    }

    #[test]
    fn a_cut_compound_has_its_complete_messages() {
        let parts = [Message::Nack { seq: 1 }.encode(), Message::Nack { seq: 2 }.encode()];
        let whole = compound(&parts);
        let cut = &whole[..whole.len() - 1];
        assert_eq!(messages(cut, &Keyring::default()), [Message::Nack { seq: 1 }]);
    }

    #[test]
    fn a_packet_cannot_unfold_without_end() {
        let bomb = compress(&vec![b'x'; UNPACKED_MAX + 1]);
        let result = unwrap(&bomb, &Keyring::default(), Incoming::Encrypted, &mut |_| ());
        assert_eq!(result, Err(Malformed::TooLarge));
        let mut nested = Message::Nack { seq: 1 }.encode();
        for _ in 0..10 {
            nested = compound(&[nested]);
        }
        let result = unwrap(&nested, &Keyring::default(), Incoming::Encrypted, &mut |_| ());
        assert_eq!(result, Err(Malformed::TooLarge));
    }

    #[test]
    fn what_is_not_for_us_is_dropped() {
        let ring = Keyring::new([&[5_u8; 16][..]]).unwrap();
        let plain = Message::Nack { seq: 1 }.encode();
        let dropped = unwrap(&plain, &ring, Incoming::Encrypted, &mut |_| ());
        assert_eq!(dropped, Err(Malformed::Key));
        let mut found = 0;
        unwrap(&plain, &ring, Incoming::Either, &mut |_| found += 1).unwrap();
        assert_eq!(found, 1);
        let labelled = [LABEL, 1, b'x', 11];
        let dropped = unwrap(&labelled, &Keyring::default(), Incoming::Either, &mut |_| ());
        assert_eq!(dropped, Err(Malformed::Label));
        let mut bad = wrap(plain, true, &Keyring::default(), || [0; 12]);
        bad[1] ^= 1;
        let dropped = unwrap(&bad, &Keyring::default(), Incoming::Either, &mut |_| ());
        assert_eq!(dropped, Err(Malformed::Checksum));
    }
}
