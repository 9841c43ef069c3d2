//! Why bytes are no message, and how they are read and written: as MessagePack, by the crate `pack`.

pub use lictor_pack::{Reader, Writer};

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They end in the middle: more of a stream could complete them.
    #[error("the message ends early")]
    Incomplete,
    /// A value has another type than its field.
    #[error("a value of another type than expected")]
    Type,
    /// A number is larger than its field.
    #[error("a number out of range")]
    Range,
    /// A string is not UTF-8.
    #[error("a string that is not UTF-8")]
    Text,
    /// More, deeper or longer than is ever sent.
    #[error("larger than allowed")]
    TooLarge,
    /// A message type that is not known.
    #[error("message type {0} is not known")]
    Kind(u8),
    /// A checksum does not fit.
    #[error("the checksum does not fit")]
    Checksum,
    /// No key decrypts it.
    #[error("No installed keys could decrypt the message")]
    Key,
    /// It is not encrypted, but has to be.
    #[error("Encryption is configured but remote state is not encrypted")]
    NotEncrypted,
    /// It is encrypted, and there is no key.
    #[error("Remote state is encrypted and encryption is not configured")]
    Encrypted,
    /// It belongs to another cluster that shares the network.
    #[error("the packet is labelled for another cluster")]
    Label,
}

impl From<lictor_pack::Malformed> for Malformed {
    fn from(value: lictor_pack::Malformed) -> Self {
        use lictor_pack::Malformed as Value;
        match value {
            Value::Incomplete => Self::Incomplete,
            Value::Type | Value::Word | Value::Trailing => Self::Type,
            Value::Range => Self::Range,
            Value::Text => Self::Text,
            Value::TooLarge => Self::TooLarge,
        }
    }
}

/// Structures of this crate's messages.
pub(crate) trait Structure<'a> {
    /// Reads one: `field` gets each key, and says whether it has read the value.
    fn structure(
        &mut self,
        field: impl FnMut(&[u8], &mut Reader<'a>) -> Result<bool, Malformed>,
    ) -> Result<(), Malformed>;
}

impl<'a> Structure<'a> for Reader<'a> {
    fn structure(
        &mut self,
        field: impl FnMut(&[u8], &mut Self) -> Result<bool, Malformed>,
    ) -> Result<(), Malformed> {
        self.fields(field)
    }
}
