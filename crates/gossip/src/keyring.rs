//! Keys that packets and streams are encrypted with: AES-GCM, the first key encrypts, each decrypts.
//!
//! Random numbers come from the caller. Where the keys are kept is not decided here.

use std::fmt;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};

use crate::pack::Malformed;

/// What comes before the ciphertext: the version and the nonce.
const HEAD: usize = 1 + NONCE_LEN;
const TAG: usize = 16;
/// How much longer an encrypted message is.
pub const OVERHEAD: usize = HEAD + TAG;
const NO_PADDING: u8 = 1;
const PADDED: u8 = 0;
const BLOCK: usize = 16;

/// Why a key cannot be added, used or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It has another length.
    #[error("key size must be 16, 24 or 32 bytes")]
    Size,
    /// Only installed keys can be used.
    #[error("requested key is not in the keyring")]
    Unknown,
    /// Something has to encrypt.
    #[error("removing the primary key is not allowed")]
    Primary,
}

/// A key.
#[derive(Clone)]
struct Key {
    bytes: Vec<u8>,
    sealing: std::sync::Arc<LessSafeKey>,
}

impl Key {
    fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        let algorithm = match bytes.len() {
            16 => &AES_128_GCM,
            24 => &AES_192_GCM,
            32 => &AES_256_GCM,
            _ => return Err(KeyError::Size),
        };
        let key = UnboundKey::new(algorithm, bytes).map_err(|_| KeyError::Size)?;
        Ok(Self { bytes: bytes.to_vec(), sealing: LessSafeKey::new(key).into() })
    }
}

/// Installed keys, the one in use first. Without any, nothing is encrypted.
#[derive(Clone, Default)]
pub struct Keyring {
    keys: Vec<Key>,
}

impl PartialEq for Keyring {
    fn eq(&self, other: &Self) -> bool {
        self.keys().eq(other.keys())
    }
}

impl Eq for Keyring {}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("keys", &self.keys.len()).finish()
    }
}

impl Keyring {
    /// A ring of these keys, the one in use first.
    ///
    /// # Errors
    /// When a key has none of the three sizes.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, KeyError> {
        let mut this = Self::default();
        for key in keys {
            this.install(key)?;
        }
        Ok(this)
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether a key is installed.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.keys.iter().any(|one| one.bytes == key)
    }

    /// All keys, the one in use first.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().map(|key| &*key.bytes)
    }

    /// Adds a key; the first one is used at once.
    ///
    /// # Errors
    /// When it has none of the three sizes.
    pub fn install(&mut self, key: &[u8]) -> Result<(), KeyError> {
        let new = Key::new(key)?;
        if !self.contains(key) {
            self.keys.push(new);
        }
        Ok(())
    }

    /// Encrypts with this key from now on.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn use_key(&mut self, key: &[u8]) -> Result<(), KeyError> {
        let at = self.keys.iter().position(|one| one.bytes == key).ok_or(KeyError::Unknown)?;
        self.keys[..=at].rotate_right(1);
        Ok(())
    }

    /// Forgets a key; one that is not installed is no error.
    ///
    /// # Errors
    /// When it is the one in use.
    pub fn remove(&mut self, key: &[u8]) -> Result<(), KeyError> {
        if self.keys.first().is_some_and(|first| first.bytes == key) {
            return Err(KeyError::Primary);
        }
        self.keys.retain(|one| one.bytes != key);
        Ok(())
    }

    /// Appends `plain`, encrypted with the key in use, to `out`; without a key, as it is.
    pub fn seal(&self, plain: &[u8], aad: &[u8], nonce: [u8; NONCE_LEN], out: &mut Vec<u8>) {
        let Some(key) = self.keys.first() else {
            out.extend_from_slice(plain);
            return;
        };
        out.push(NO_PADDING);
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed =
            key.sealing.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut out[start..]);
        match sealed {
            Ok(tag) => out.extend_from_slice(tag.as_ref()),
            // Only for messages beyond 64 GiB; nothing readable is left of this one.
            Err(_) => out.truncate(start),
        }
    }

    /// Decrypts with whichever key fits.
    ///
    /// # Errors
    /// When none does.
    pub fn open(&self, sealed: &[u8], aad: &[u8]) -> Result<Vec<u8>, Malformed> {
        let version = *sealed.first().ok_or(Malformed::Key)?;
        if sealed.len() < OVERHEAD || version > NO_PADDING {
            return Err(Malformed::Key);
        }
        let nonce: [u8; NONCE_LEN] = sealed[1..HEAD].try_into().map_err(|_| Malformed::Key)?;
        for key in &self.keys {
            let mut bytes = sealed[HEAD..].to_vec();
            let nonce = Nonce::assume_unique_for_key(nonce);
            let Ok(plain) = key.sealing.open_in_place(nonce, Aad::from(aad), &mut bytes) else {
                continue;
            };
            let mut length = plain.len();
            if version == PADDED {
                let padding = usize::from(*plain.last().ok_or(Malformed::Key)?);
                if padding == 0 || padding > BLOCK || padding > length {
                    return Err(Malformed::Key);
                }
                length -= padding;
            }
            bytes.truncate(length);
            return Ok(bytes);
        }
        Err(Malformed::Key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; NONCE_LEN] = [9; NONCE_LEN];

    #[test]
    fn keys_are_rotated_without_losing_a_message() {
        let (old, new) = ([1; 16], [2; 32]);
        let mut ring = Keyring::new([&old[..]]).unwrap();
        let mut sealed = Vec::new();
        ring.seal(b"hello", b"aad", NONCE, &mut sealed);
        assert_eq!(sealed.len(), 5 + OVERHEAD);
        ring.install(&new).unwrap();
        assert_eq!(ring.use_key(&[3; 16]), Err(KeyError::Unknown));
        ring.use_key(&new).unwrap();
        assert_eq!(ring.keys().collect::<Vec<_>>(), [&new[..], &old[..]]);
        assert_eq!(ring.open(&sealed, b"aad").unwrap(), b"hello");
        assert_eq!(ring.open(&sealed, b"other"), Err(Malformed::Key));
        assert_eq!(ring.remove(&new), Err(KeyError::Primary));
        ring.remove(&old).unwrap();
        assert_eq!(ring.open(&sealed, b"aad"), Err(Malformed::Key));
        assert_eq!(ring.install(&[0; 17]), Err(KeyError::Size));
        assert_eq!(format!("{ring:?}"), "Keyring { keys: 1 }");
    }

    #[test]
    fn without_a_key_nothing_is_encrypted() {
        let mut out = Vec::new();
        Keyring::default().seal(b"plain", b"", NONCE, &mut out);
        assert_eq!(out, b"plain");
    }
}
