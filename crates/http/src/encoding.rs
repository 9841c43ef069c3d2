//! Compression of answers, for clients that ask for it.
//!
//! Bodies that many clients share are compressed once: the last few are kept, recognised by the
//! memory that they share. Small bodies are sent as they are: compressing them saves no packet.

use std::collections::VecDeque;
use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;

use crate::config::GZIP_MIN;

/// Compressed bodies that are kept.
const KEPT: usize = 16;
/// Largest sum of what is kept, originals included, in bytes.
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// Compresses, and remembers what is shared.
#[derive(Debug, Default)]
pub(crate) struct Compressor {
    kept: Mutex<VecDeque<(Bytes, Bytes)>>,
}

impl Compressor {
    /// `body` compressed; `None` when it is not worth it.
    pub(crate) fn compress(&self, body: &Bytes, shared: bool) -> Option<Bytes> {
        if body.len() < GZIP_MIN {
            return None;
        }
        if !shared {
            return gzip(body);
        }
        if let Some(known) = self.find(body) {
            return Some(known);
        }
        // Two that come at once both compress; neither waits for the other.
        let compressed = gzip(body)?;
        self.keep(body.clone(), compressed.clone());
        Some(compressed)
    }

    fn find(&self, body: &Bytes) -> Option<Bytes> {
        let kept = self.kept.lock();
        // What is kept holds on to its memory, so equal places mean equal bodies.
        let same = |(original, _): &&(Bytes, Bytes)| {
            original.as_ptr() == body.as_ptr() && original.len() == body.len()
        };
        kept.iter().find(same).map(|(_, compressed)| compressed.clone())
    }

    fn keep(&self, body: Bytes, compressed: Bytes) {
        let size = |(body, compressed): &(Bytes, Bytes)| body.len() + compressed.len();
        let mut kept = self.kept.lock();
        kept.push_front((body, compressed));
        while kept.len() > KEPT || kept.iter().map(size).sum::<usize>() > KEPT_BYTES {
            kept.pop_back();
        }
    }
}

fn gzip(body: &[u8]) -> Option<Bytes> {
    let room = Vec::with_capacity(body.len() / 4);
    let mut encoder = GzEncoder::new(room, Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn unzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn shared_bodies_are_compressed_once() {
        let compressor = Compressor::default();
        let body = Bytes::from("abc ".repeat(1000));
        let first = compressor.compress(&body, true).unwrap();
        let second = compressor.compress(&body.clone(), true).unwrap();
        assert_eq!(first.as_ptr(), second.as_ptr());
        assert_eq!(unzip(&first), body);
        let alone = compressor.compress(&body, false).unwrap();
        assert_eq!(unzip(&alone), body);
    }

    #[test]
    fn what_is_kept_is_bounded_and_small_bodies_stay() {
        let compressor = Compressor::default();
        for n in 0..3 * KEPT {
            compressor.compress(&Bytes::from(vec![n as u8; GZIP_MIN]), true).unwrap();
        }
        assert_eq!(compressor.kept.lock().len(), KEPT);
        let huge = Bytes::from(vec![7; KEPT_BYTES]);
        assert_eq!(unzip(&compressor.compress(&huge, true).unwrap()).len(), KEPT_BYTES);
        assert_eq!(compressor.kept.lock().len(), 0);
        assert!(compressor.compress(&Bytes::from(vec![0; GZIP_MIN - 1]), true).is_none());
    }
}
