//! Numbers, ids and entries of messages as bytes.

use bytes::{BufMut as _, Bytes, BytesMut};
use uuid::Uuid;

use super::DecodeError;
use crate::batch::{Entry, LeaderId, LogId, Vote};

/// Writes the parts of a message.
pub(super) struct Writer(BytesMut);

impl Writer {
    pub(super) fn new() -> Self {
        Self(BytesMut::with_capacity(256))
    }

    pub(super) fn finish(self) -> Bytes {
        self.0.freeze()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.put_u8(byte);
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.byte(u8::from(flag));
    }

    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            #[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        #[expect(clippy::cast_possible_truncation, reason = "less than 128")]
        self.byte(number as u8);
    }

    pub(super) fn id(&mut self, id: Uuid) {
        self.0.put_slice(id.as_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.put_slice(bytes);
    }

    pub(super) fn vote(&mut self, vote: &Vote) {
        self.number(vote.leader_id.term);
        self.id(vote.leader_id.node_id);
        self.flag(vote.committed);
    }

    pub(super) fn log_id(&mut self, id: Option<&LogId>) {
        self.flag(id.is_some());
        if let Some(id) = id {
            self.number(id.leader_id.term);
            self.id(id.leader_id.node_id);
            self.number(id.index);
        }
    }

    pub(super) fn entry(&mut self, entry: &Entry) -> Result<(), rmp_serde::encode::Error> {
        let record = rmp_serde::to_vec(entry)?;
        self.bytes(&record);
        Ok(())
    }
}

/// Reads the parts of a message.
pub(super) struct Reader<'a> {
    whole: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(whole: &'a Bytes) -> Self {
        Self { whole, rest: whole }
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::TooLong(self.rest.len())) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::CutOff)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (byte, rest) = self.rest.split_first().ok_or(DecodeError::CutOff)?;
        self.rest = rest;
        Ok(*byte)
    }

    pub(super) fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid("flag")),
        }
    }

    pub(super) fn number(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(DecodeError::Invalid("number"));
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(DecodeError::Invalid("number"))
    }

    pub(super) fn id(&mut self) -> Result<Uuid, DecodeError> {
        let bytes = self.take(16)?;
        Uuid::from_slice(bytes).map_err(|_| DecodeError::CutOff)
    }

    /// Shares the message's memory.
    pub(super) fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let count = usize::try_from(self.number()?).map_err(|_| DecodeError::CutOff)?;
        Ok(self.whole.slice_ref(self.take(count)?))
    }

    pub(super) fn vote(&mut self) -> Result<Vote, DecodeError> {
        let leader_id = LeaderId { term: self.number()?, node_id: self.id()? };
        Ok(Vote { leader_id, committed: self.flag()? })
    }

    pub(super) fn log_id(&mut self) -> Result<Option<LogId>, DecodeError> {
        if !self.flag()? {
            return Ok(None);
        }
        let leader_id = LeaderId { term: self.number()?, node_id: self.id()? };
        Ok(Some(LogId { leader_id, index: self.number()? }))
    }

    pub(super) fn entry(&mut self) -> Result<Entry, DecodeError> {
        let count = usize::try_from(self.number()?).map_err(|_| DecodeError::CutOff)?;
        let record = self.take(count)?;
        rmp_serde::from_slice(record).map_err(|_| DecodeError::Invalid("entry"))
    }
}
