//! The record layer of an established connection: opens records in place, seals them in place.
//!
//! Handshakes are rustls' alone; so are all keys, their updates, and decryption. Only sealing
//! calls the cipher directly, since rustls' encrypter allocates and copies every record. There are
//! no sockets here: bytes in, bytes out. Follows RFC 8446 sections 4.6, 5, 6 and for older peers
//! RFC 5246.

use std::fmt;
use std::ops::Range;

use aws_lc_rs::aead;
use rustls::client::ClientConnectionData;
use rustls::crypto::cipher::{AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter};
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, ExtractedSecrets, HandshakeType,
    ProtocolVersion, SupportedCipherSuite,
};

use crate::buffer::{PLAINTEXT_MAX, WIRE_RECORD_MAX};

/// Bytes before a record's payload.
pub(crate) const HEADER: usize = 5;
/// Longest payload of a TLS 1.3 record.
const PAYLOAD_MAX_13: usize = PLAINTEXT_MAX + 256;
/// Longest payload of a TLS 1.2 record.
const PAYLOAD_MAX_12: usize = PLAINTEXT_MAX + 2048;
/// Bytes of the nonce that AES-GCM sends under TLS 1.2.
const EXPLICIT_NONCE: usize = 8;
/// Records without data that a peer may send in a row.
const DATALESS_MAX: u32 = 32;
/// Longest handshake message that is accepted after the handshake (session tickets).
const MESSAGE_MAX: usize = 32 * 1024;
/// Keys are renewed this many records before the suite's limit, so that what is being sealed fits.
const LIMIT_MARGIN: u64 = 64;

const MESSAGE_NEW_TICKET: u8 = 4;
const MESSAGE_KEY_UPDATE: u8 = 24;

/// Why a connection cannot go on. All of it is the peer's doing but for the last two.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// What came is no TLS record.
    #[error("tls: not a TLS record")]
    NotTls,
    /// A record is longer than the protocol allows.
    #[error("tls: oversized record received with length {0}")]
    Oversized(usize),
    /// A record does not verify, or its padding is wrong.
    #[error("tls: bad record MAC")]
    Undecryptable,
    /// A record of a kind that may not come now.
    #[error("tls: received unexpected {0}")]
    Unexpected(&'static str),
    /// Too many records without data.
    #[error("tls: too many non-advancing records")]
    Flood,
    /// The peer gave up.
    #[error("remote error: tls: {}", alert_text(*.0))]
    Alert(AlertDescription),
    /// Keys are used up and this protocol version has no way to renew them.
    #[error("tls: traffic keys exhausted")]
    KeysExhausted,
    /// The cryptographic library refused.
    #[error("tls: internal error")]
    Internal,
}

impl RecordError {
    /// The alert that tells the peer; `None` when it told us.
    pub(crate) const fn alert(&self) -> Option<AlertDescription> {
        Some(match self {
            Self::NotTls | Self::Unexpected(_) | Self::Flood => AlertDescription::UnexpectedMessage,
            Self::Oversized(_) => AlertDescription::RecordOverflow,
            Self::Undecryptable => AlertDescription::BadRecordMac,
            Self::KeysExhausted | Self::Internal => AlertDescription::InternalError,
            Self::Alert(_) => return None,
        })
    }
}

/// Alert names as peers print them.
fn alert_text(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::BadCertificate => "bad certificate".to_owned(),
        AlertDescription::AccessDenied => "access denied".to_owned(),
        AlertDescription::UnknownCA => "unknown certificate authority".to_owned(),
        AlertDescription::CertificateExpired => "expired certificate".to_owned(),
        AlertDescription::CertificateRequired => "certificate required".to_owned(),
        AlertDescription::HandshakeFailure => "handshake failure".to_owned(),
        AlertDescription::InternalError => "internal error".to_owned(),
        other => format!("{other:?}"),
    }
}

/// What was at the front of the bytes given to [`Session::open`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// Not a whole record yet.
    Incomplete,
    /// A record of `consumed` bytes; its plaintext is in `plain`, empty for what is not data.
    Record {
        /// Wire size.
        consumed: usize,
        /// Where the plaintext is now.
        plain: Range<usize>,
    },
    /// The peer will send nothing more.
    Closed,
}

/// Keys and counters of both directions.
pub(crate) struct Session {
    keys: Keys,
    suite: SupportedCipherSuite,
    opener: Box<dyn MessageDecrypter>,
    read_count: u64,
    sealer: Sealer,
    write_count: u64,
    write_limit: u64,
    dataless: u32,
    /// Start of a handshake message whose rest is in the next record.
    message: Vec<u8>,
    /// Sealed records that are to be sent after what was sealed before.
    control: Vec<u8>,
    key_update_queued: bool,
}

enum Keys {
    Client(Box<KernelConnection<ClientConnectionData>>),
    Server(Box<KernelConnection<ServerConnectionData>>),
}

/// The cipher itself: rustls' encrypters allocate, copy, and cannot start in mid-stream.
struct Sealer {
    key: Box<aead::LessSafeKey>,
    iv: [u8; aead::NONCE_LEN],
    form: Form,
}

/// How a record looks on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The type is sealed with the data.
    Tls13,
    /// The nonce is the counter's.
    Tls12,
    /// A part of the nonce is sent.
    Tls12Explicit,
}

/// The protocol state of a connection whose handshake is done.
pub(crate) enum Established {
    /// We dialled.
    Client(ExtractedSecrets, KernelConnection<ClientConnectionData>),
    /// We were dialled.
    Server(ExtractedSecrets, KernelConnection<ServerConnectionData>),
}

impl Session {
    /// Takes over from the handshake.
    pub(crate) fn new(established: Established) -> Result<Self, RecordError> {
        let (secrets, suite, keys) = match established {
            Established::Client(secrets, keys) => {
                (secrets, keys.negotiated_cipher_suite(), Keys::Client(Box::new(keys)))
            }
            Established::Server(secrets, keys) => {
                (secrets, keys.negotiated_cipher_suite(), Keys::Server(Box::new(keys)))
            }
        };
        let (read_count, read) = secrets.rx;
        let (write_count, write) = secrets.tx;
        let limit = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
            SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
        };
        Ok(Self {
            keys,
            suite,
            opener: opener(suite, read)?,
            read_count,
            sealer: Sealer::new(suite, write)?,
            write_count,
            write_limit: limit.saturating_sub(LIMIT_MARGIN),
            dataless: 0,
            message: Vec::new(),
            control: Vec::new(),
            key_update_queued: false,
        })
    }

    /// Whether the protocol is TLS 1.3.
    pub(crate) const fn is_tls13(&self) -> bool {
        matches!(self.suite, SupportedCipherSuite::Tls13(_))
    }

    /// Opens the record at the front of `wire`, in place.
    pub(crate) fn open(&mut self, wire: &mut [u8]) -> Result<Opened, RecordError> {
        let Some((outer, length)) = self.header(wire)? else { return Ok(Opened::Incomplete) };
        let consumed = HEADER + length;
        let Some(payload) = wire.get_mut(HEADER..consumed) else { return Ok(Opened::Incomplete) };
        let front = payload.as_ptr() as usize;
        let message = InboundOpaqueMessage::new(outer, ProtocolVersion::TLSv1_2, payload);
        let message = self
            .opener
            .decrypt(message, self.read_count)
            .map_err(|_| RecordError::Undecryptable)?;
        self.read_count += 1;
        let start = HEADER + (message.payload.as_ptr() as usize).saturating_sub(front);
        let plain = start..start + message.payload.len();
        if message.typ == ContentType::ApplicationData && !plain.is_empty() {
            if !self.message.is_empty() {
                return Err(RecordError::Unexpected("data inside a handshake message"));
            }
            self.dataless = 0;
            return Ok(Opened::Record { consumed, plain });
        }
        self.dataless += 1;
        if self.dataless > DATALESS_MAX {
            return Err(RecordError::Flood);
        }
        let closed = match message.typ {
            ContentType::ApplicationData => false,
            ContentType::Alert => self.alert(message.payload)?,
            ContentType::Handshake => {
                let payload = message.payload;
                self.handshake(payload)?;
                false
            }
            _ => return Err(RecordError::Unexpected("record type")),
        };
        Ok(if closed { Opened::Closed } else { Opened::Record { consumed, plain: 0..0 } })
    }

    /// Wire bytes of a full record; records sealed one after another are this far apart.
    pub(crate) fn stride(&self) -> usize {
        HEADER + self.sealer.payload_len(PLAINTEXT_MAX)
    }

    /// Seals `length` bytes of data that lie at `slot[HEADER..]`; gives the record's wire size.
    pub(crate) fn seal(&mut self, slot: &mut [u8], length: usize) -> Result<usize, RecordError> {
        self.seal_as(ContentType::ApplicationData, slot, length)
    }

    /// Makes sure that some records can be sealed under the current keys, renewing them if not.
    pub(crate) fn renew_keys_if_due(&mut self) -> Result<(), RecordError> {
        if self.write_count < self.write_limit {
            return Ok(());
        }
        if !self.is_tls13() {
            return Err(RecordError::KeysExhausted);
        }
        self.queue_key_update()
    }

    /// Queues the regular end of what we send.
    pub(crate) fn queue_close(&mut self) -> Result<(), RecordError> {
        self.queue(ContentType::Alert, &[1, u8::from(AlertDescription::CloseNotify)])
    }

    /// Queues a fatal alert.
    pub(crate) fn queue_fatal(&mut self, alert: AlertDescription) -> Result<(), RecordError> {
        self.queue(ContentType::Alert, &[2, u8::from(alert)])
    }

    /// Sealed control records; they go out after what was sealed before them.
    pub(crate) fn control(&self) -> &[u8] {
        &self.control
    }

    /// Says that the first `count` bytes of [`Session::control`] were sent.
    pub(crate) fn control_sent(&mut self, count: usize) {
        if count >= self.control.len() {
            self.control = Vec::new();
            self.key_update_queued = false;
        } else {
            self.control.drain(..count);
        }
    }

    /// Renews the keys after this many records instead of at the suite's limit.
    #[cfg(test)]
    pub(crate) fn renew_keys_after(&mut self, records: u64) {
        self.write_limit = records;
    }

    /// Type and length of the record at the front; `None` if its header is not complete.
    fn header(&self, wire: &[u8]) -> Result<Option<(ContentType, usize)>, RecordError> {
        let [kind, major, _minor, high, low, ..] = *wire else { return Ok(None) };
        if major != 3 {
            return Err(RecordError::NotTls);
        }
        let kind = match (ContentType::from(kind), self.is_tls13()) {
            (ContentType::ApplicationData, _) => ContentType::ApplicationData,
            (kind @ (ContentType::Alert | ContentType::Handshake), false) => kind,
            (ContentType::Unknown(_), _) => return Err(RecordError::NotTls),
            _ => return Err(RecordError::Unexpected("record type")),
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let most = if self.is_tls13() { PAYLOAD_MAX_13 } else { PAYLOAD_MAX_12 };
        if length > most {
            return Err(RecordError::Oversized(length));
        }
        Ok(Some((kind, length)))
    }

    /// Whether the peer ended its side.
    fn alert(&self, payload: &[u8]) -> Result<bool, RecordError> {
        let &[level, description] = payload else {
            return Err(RecordError::Unexpected("alert length"));
        };
        match AlertDescription::from(description) {
            AlertDescription::CloseNotify => Ok(true),
            AlertDescription::UserCanceled => Ok(false),
            _ if level == 1 && !self.is_tls13() => Ok(false),
            other => Err(RecordError::Alert(other)),
        }
    }

    /// Messages after the handshake: tickets, which are not used, and new keys.
    fn handshake(&mut self, payload: &[u8]) -> Result<(), RecordError> {
        if !self.is_tls13() {
            return Err(RecordError::Unexpected("renegotiation"));
        }
        self.message.extend_from_slice(payload);
        let messages = std::mem::take(&mut self.message);
        let mut rest = messages.as_slice();
        while let [kind, high, middle, low, ref body @ ..] = *rest {
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            if length > MESSAGE_MAX {
                return Err(RecordError::Unexpected("handshake message length"));
            }
            let Some((body, after)) = body.split_at_checked(length) else { break };
            match (kind, &self.keys) {
                (MESSAGE_NEW_TICKET, Keys::Client(_)) => {}
                (MESSAGE_KEY_UPDATE, _) => self.key_update(body, after)?,
                _ => return Err(RecordError::Unexpected("handshake message")),
            }
            rest = after;
        }
        self.message.extend_from_slice(rest);
        Ok(())
    }

    fn key_update(&mut self, body: &[u8], after: &[u8]) -> Result<(), RecordError> {
        // What follows in the same record would be under the old keys.
        let (&[requested @ (0 | 1)], []) = (body, after) else {
            return Err(RecordError::Unexpected("key update"));
        };
        let (count, secrets) = match &mut self.keys {
            Keys::Client(keys) => keys.update_rx_secret(),
            Keys::Server(keys) => keys.update_rx_secret(),
        }
        .map_err(|_| RecordError::Internal)?;
        self.opener = opener(self.suite, secrets)?;
        self.read_count = count;
        // Requests that come before the answer is sent are all met by it.
        if requested == 1 && !self.key_update_queued {
            self.queue_key_update()?;
        }
        Ok(())
    }

    fn queue_key_update(&mut self) -> Result<(), RecordError> {
        self.queue(ContentType::Handshake, &[u8::from(HandshakeType::KeyUpdate), 0, 0, 1, 0])?;
        let (count, secrets) = match &mut self.keys {
            Keys::Client(keys) => keys.update_tx_secret(),
            Keys::Server(keys) => keys.update_tx_secret(),
        }
        .map_err(|_| RecordError::Internal)?;
        self.sealer = Sealer::new(self.suite, secrets)?;
        self.write_count = count;
        self.key_update_queued = true;
        Ok(())
    }

    fn queue(&mut self, kind: ContentType, payload: &[u8]) -> Result<(), RecordError> {
        let mut slot = [0; HEADER + 64];
        let room = slot.get_mut(HEADER..HEADER + payload.len()).ok_or(RecordError::Internal)?;
        room.copy_from_slice(payload);
        let size = self.seal_as(kind, &mut slot, payload.len())?;
        self.control.extend_from_slice(slot.get(..size).ok_or(RecordError::Internal)?);
        Ok(())
    }

    /// Seals `length` bytes at `slot[HEADER..]` as a record of this type.
    pub(crate) fn seal_as(
        &mut self,
        kind: ContentType,
        slot: &mut [u8],
        length: usize,
    ) -> Result<usize, RecordError> {
        let size = self.sealer.seal(kind, slot, length, self.write_count)?;
        self.write_count += 1;
        Ok(size)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("suite", &self.suite)
            .field("read_count", &self.read_count)
            .field("write_count", &self.write_count)
            .finish_non_exhaustive()
    }
}

impl Sealer {
    fn new(
        suite: SupportedCipherSuite,
        secrets: ConnectionTrafficSecrets,
    ) -> Result<Self, RecordError> {
        let (algorithm, is_gcm) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { .. } => (&aead::AES_128_GCM, true),
            ConnectionTrafficSecrets::Aes256Gcm { .. } => (&aead::AES_256_GCM, true),
            ConnectionTrafficSecrets::Chacha20Poly1305 { .. } => (&aead::CHACHA20_POLY1305, false),
            _ => return Err(RecordError::Internal),
        };
        let form = match suite {
            SupportedCipherSuite::Tls13(_) => Form::Tls13,
            SupportedCipherSuite::Tls12(_) if is_gcm => Form::Tls12Explicit,
            SupportedCipherSuite::Tls12(_) => Form::Tls12,
        };
        let (key, iv) = parts(secrets)?;
        let key = aead::UnboundKey::new(algorithm, key.as_ref());
        let key = aead::LessSafeKey::new(key.map_err(|_| RecordError::Internal)?);
        let iv = iv.as_ref().try_into().map_err(|_| RecordError::Internal)?;
        Ok(Self { key: Box::new(key), iv, form })
    }

    fn payload_len(&self, plaintext: usize) -> usize {
        let extra = match self.form {
            Form::Tls13 => 1,
            Form::Tls12Explicit => EXPLICIT_NONCE,
            Form::Tls12 => 0,
        };
        plaintext + extra + self.key.algorithm().tag_len()
    }

    /// Seals the `length` bytes at `slot[HEADER..]`; gives the record's wire size.
    fn seal(
        &self,
        kind: ContentType,
        slot: &mut [u8],
        length: usize,
        count: u64,
    ) -> Result<usize, RecordError> {
        let payload_len = self.payload_len(length);
        let size = HEADER + payload_len;
        debug_assert!(size <= WIRE_RECORD_MAX);
        let record = slot.get_mut(..size).ok_or(RecordError::Internal)?;
        let (header, payload) = record.split_at_mut_checked(HEADER).ok_or(RecordError::Internal)?;
        let wire_len = u16::try_from(payload_len).map_err(|_| RecordError::Internal)?;
        let outer = if self.form == Form::Tls13 { ContentType::ApplicationData } else { kind };
        let head = head(outer, wire_len);
        header.copy_from_slice(&head);
        let nonce = self.nonce(count);
        match self.form {
            Form::Tls13 => {
                *payload.get_mut(length).ok_or(RecordError::Internal)? = kind.into();
                self.seal_part(payload, length + 1, nonce, &head)?;
            }
            Form::Tls12 => self.seal_part(payload, length, nonce, &aad_12(count, kind, length)?)?,
            Form::Tls12Explicit => {
                payload.copy_within(..length, EXPLICIT_NONCE);
                let (explicit, payload) =
                    payload.split_at_mut_checked(EXPLICIT_NONCE).ok_or(RecordError::Internal)?;
                let implicit = nonce.len() - EXPLICIT_NONCE;
                explicit.copy_from_slice(nonce.get(implicit..).ok_or(RecordError::Internal)?);
                self.seal_part(payload, length, nonce, &aad_12(count, kind, length)?)?;
            }
        }
        Ok(size)
    }

    /// RFC 8446 section 5.3, and for older peers in the same way: the counter, padded to the
    /// left, exclusive-or the static vector.
    fn nonce(&self, count: u64) -> [u8; aead::NONCE_LEN] {
        let mut nonce = self.iv;
        for (byte, count) in nonce.iter_mut().rev().zip(count.to_be_bytes().iter().rev()) {
            *byte ^= count;
        }
        nonce
    }

    /// Seals the first `length` bytes of `payload`; the tag fills the rest.
    fn seal_part(
        &self,
        payload: &mut [u8],
        length: usize,
        nonce: [u8; aead::NONCE_LEN],
        aad: &[u8],
    ) -> Result<(), RecordError> {
        let (inner, room) = payload.split_at_mut_checked(length).ok_or(RecordError::Internal)?;
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, aead::Aad::from(aad), inner)
            .map_err(|_| RecordError::Internal)?;
        if room.len() != tag.as_ref().len() {
            return Err(RecordError::Internal);
        }
        room.copy_from_slice(tag.as_ref());
        Ok(())
    }
}

fn head(kind: ContentType, length: u16) -> [u8; HEADER] {
    let [high, low] = length.to_be_bytes();
    [kind.into(), 3, 3, high, low]
}

/// What TLS 1.2 authenticates besides the data: RFC 5246 section 6.2.3.3.
fn aad_12(count: u64, kind: ContentType, length: usize) -> Result<[u8; 8 + HEADER], RecordError> {
    let length = u16::try_from(length).map_err(|_| RecordError::Internal)?;
    let mut aad = [0; 8 + HEADER];
    let (sequence, rest) = aad.split_at_mut(8);
    sequence.copy_from_slice(&count.to_be_bytes());
    rest.copy_from_slice(&head(kind, length));
    Ok(aad)
}

fn opener(
    suite: SupportedCipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Result<Box<dyn MessageDecrypter>, RecordError> {
    let (key, iv) = parts(secrets)?;
    match suite {
        SupportedCipherSuite::Tls13(suite) => Ok(suite.aead_alg.decrypter(key, iv)),
        SupportedCipherSuite::Tls12(suite) => {
            let fixed = suite.aead_alg.key_block_shape().fixed_iv_len;
            let fixed = iv.as_ref().get(..fixed).ok_or(RecordError::Internal)?;
            Ok(suite.aead_alg.decrypter(key, fixed))
        }
    }
}

fn parts(secrets: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv), RecordError> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((key, iv)),
        _ => Err(RecordError::Internal),
    }
}

#[cfg(test)]
mod tests;
