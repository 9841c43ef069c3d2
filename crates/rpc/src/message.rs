//! Calls on a stream: a head and a body each way, both MessagePack values one after the other.
//!
//! Source: observed between agents. With an error the body of an answer is an empty map, which is
//! read and thrown away.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Largest value that is read: the largest request is a transaction or a restored intention list,
/// the largest answer a list of everything.
pub const VALUE_MAX: usize = 64 << 20;

/// The head of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RequestHead {
    /// Comes back in the answer.
    pub seq: u64,
    /// `Service.Method`.
    pub service_method: String,
}

/// The head of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ResponseHead {
    /// Why there is no answer; empty when there is one.
    pub error: String,
    /// Of the call.
    pub seq: u64,
    /// Of the call.
    pub service_method: String,
}

/// An empty map.
pub const NOTHING: &[u8] = &[0x80];

/// Why bytes are no call.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// A byte that starts no value.
    #[error("byte {0:#04x} starts no value")]
    Marker(u8),
    /// A value beyond [`VALUE_MAX`].
    #[error("a message of more than {VALUE_MAX} bytes")]
    TooLarge,
    /// A head that is none.
    #[error("codec.decoder: {0}")]
    Head(#[from] rmp_serde::decode::Error),
    /// A head that cannot be written.
    #[error("codec.encoder: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
}

/// Encodes a head with its body after it.
///
/// # Errors
/// When the head cannot be expressed, which no head of ours can.
pub fn encode<H: Serialize>(head: &H, body: &[u8]) -> Result<Vec<u8>, MessageError> {
    let mut out = Vec::with_capacity(64 + body.len());
    head.serialize(&mut rmp_serde::Serializer::new(&mut out).with_struct_map())?;
    out.extend_from_slice(body);
    Ok(out)
}

/// Reads a head.
///
/// # Errors
/// When it is none.
pub fn decode<'a, H: Deserialize<'a>>(bytes: &'a [u8]) -> Result<H, MessageError> {
    Ok(rmp_serde::from_slice(bytes)?)
}

/// Bytes as a value: one of the kind that holds any.
#[must_use]
pub fn wrap(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 5);
    out.push(0xc6);
    // What is longer than any value that is read is refused by the other side.
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
    out
}

/// The bytes of such a value.
///
/// # Errors
/// When it is none.
pub fn unwrap(value: Vec<u8>) -> Result<Bytes, MessageError> {
    let value = Bytes::from(value);
    match value.first() {
        Some(0xc6) if value.len() >= 5 => Ok(value.slice(5..)),
        other => Err(MessageError::Marker(other.copied().unwrap_or_default())),
    }
}

/// Finds the values in what arrives, however it is cut. Each byte is looked at once.
#[derive(Debug)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// Up to where the value has been looked at.
    at: usize,
    /// Values that are to come until this one is whole: those in lists and maps count singly.
    pending: u64,
}

impl Default for Splitter {
    fn default() -> Self {
        Self { buffer: Vec::new(), at: 0, pending: 1 }
    }
}

impl Splitter {
    /// Where what arrives is appended.
    pub const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Whether nothing of a value has come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next value, once all of it is there.
    ///
    /// # Errors
    /// When it is no value, or too large.
    pub fn next_value(&mut self) -> Result<Option<Vec<u8>>, MessageError> {
        while self.pending > 0 {
            let Some((length, inner)) = step(&self.buffer[self.at.min(self.buffer.len())..])?
            else {
                break;
            };
            self.at = self.at.saturating_add(length);
            if self.at > VALUE_MAX {
                return Err(MessageError::TooLarge);
            }
            if self.at > self.buffer.len() {
                // The rest of a long string: not even looked at until it is there.
                if self.buffer.len() > VALUE_MAX {
                    return Err(MessageError::TooLarge);
                }
                self.pending = self.pending - 1 + inner;
                break;
            }
            self.pending = self.pending - 1 + inner;
        }
        if self.pending > 0 || self.at > self.buffer.len() {
            return Ok(None);
        }
        let rest = self.buffer.split_off(self.at);
        let value = std::mem::replace(&mut self.buffer, rest);
        (self.at, self.pending) = (0, 1);
        Ok(Some(value))
    }
}

/// The length of the next value without those in it, and how many those are; `None` when its head
/// is not there yet.
fn step(bytes: &[u8]) -> Result<Option<(usize, u64)>, MessageError> {
    let Some(&marker) = bytes.first() else { return Ok(None) };
    let number = |size: usize| {
        let digits = bytes.get(1..=size)?;
        Some(digits.iter().fold(0_u64, |all, byte| all << 8 | u64::from(*byte)))
    };
    let sized = |size: usize, extra: usize| {
        number(size).map(|length| {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            ((1 + size + extra).saturating_add(length), 0)
        })
    };
    let counted = |size: usize, times: u64| number(size).map(|count| (1 + size, count * times));
    Ok(match marker {
        0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => Some((1, 0)),
        0x80..=0x8f => Some((1, 2 * u64::from(marker & 0x0f))),
        0x90..=0x9f => Some((1, u64::from(marker & 0x0f))),
        0xa0..=0xbf => Some((1 + usize::from(marker & 0x1f), 0)),
        0xc1 => return Err(MessageError::Marker(marker)),
        0xc4 | 0xd9 => sized(1, 0),
        0xc5 | 0xda => sized(2, 0),
        0xc6 | 0xdb => sized(4, 0),
        0xc7 => sized(1, 1),
        0xc8 => sized(2, 1),
        0xc9 => sized(4, 1),
        0xcc | 0xd0 => Some((2, 0)),
        0xcd | 0xd1 => Some((3, 0)),
        0xca | 0xce | 0xd2 => Some((5, 0)),
        0xcb | 0xcf | 0xd3 => Some((9, 0)),
        0xd4..=0xd8 => Some((2 + (1 << (marker - 0xd4)), 0)),
        0xdc => counted(2, 1),
        0xdd => counted(4, 1),
        0xde => counted(2, 2),
        0xdf => counted(4, 2),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn heads_are_those_of_agents() {
        let head =
            ResponseHead { seq: 1, service_method: "Status.Ping".into(), ..Default::default() };
        let recorded = b"\x83\xa5Error\xa0\xa3Seq\x01\xadServiceMethod\xabStatus.Ping\x80";
        assert_eq!(encode(&head, NOTHING).unwrap(), recorded);
        let request = RequestHead { seq: 1, service_method: "Status.Ping".into() };
        let bytes = encode(&request, b"").unwrap();
        assert_eq!(decode::<RequestHead>(&bytes).unwrap(), request);
    }

    #[test]
    fn a_promise_of_much_is_refused_before_it_comes() {
        let mut splitter = Splitter::default();
        splitter.buffer().extend_from_slice(&[0xdb, 0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(splitter.next_value(), Err(MessageError::TooLarge)));
        let mut splitter = Splitter::default();
        splitter.buffer().push(0xc1);
        assert!(matches!(splitter.next_value(), Err(MessageError::Marker(0xc1))));
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Tree {
        name: String,
        data: Vec<u8>,
        numbers: Vec<i64>,
        leaves: Vec<Self>,
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let leaf = (
            ".{0,40}",
            proptest::collection::vec(any::<u8>(), 0..300),
            proptest::collection::vec(any::<i64>(), 0..20),
        )
            .prop_map(|(name, data, numbers)| Tree {
                name,
                data,
                numbers,
                leaves: Vec::new(),
            });
        leaf.prop_recursive(3, 20, 5, |inner| {
            proptest::collection::vec(inner, 0..5).prop_map(|leaves| Tree {
                name: "n".into(),
                data: Vec::new(),
                numbers: Vec::new(),
                leaves,
            })
        })
    }

    proptest! {
        #[test]
        fn values_are_found_however_they_are_cut(
            trees in proptest::collection::vec(tree(), 1..6), cut in 1..64_usize,
        ) {
            let mut bytes = Vec::new();
            for tree in &trees {
                bytes.extend(encode(tree, b"").unwrap());
            }
            let mut splitter = Splitter::default();
            let mut found = Vec::new();
            for part in bytes.chunks(cut) {
                splitter.buffer().extend_from_slice(part);
                while let Some(value) = splitter.next_value().unwrap() {
                    found.push(decode::<Tree>(&value).unwrap());
                }
            }
            prop_assert_eq!(found, trees);
            prop_assert!(splitter.is_empty());
        }

        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut splitter = Splitter::default();
            splitter.buffer().extend_from_slice(&bytes);
            while let Ok(Some(value)) = splitter.next_value() {
                let _ = decode::<RequestHead>(&value);
            }
        }
    }
}
