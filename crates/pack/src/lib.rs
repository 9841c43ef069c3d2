//! MessagePack in the flavour that agents speak: the old specification is written, both are read.
//!
//! Strings and bytes are one family, `raw`; structures are maps with the fields' names as keys.
//! Nothing here knows a message. Source: observed between agents. What is read never costs more
//! memory than a fixed multiple of its length, whatever lengths it claims: lists are charged
//! ([`Reader::charge`]) for what they make, and nesting is limited.

/// Deepest nesting of a value that is skipped.
pub const DEPTH_MAX: usize = 32;
/// Bytes of memory that a byte of a message may cost in lists and maps.
const COST_MAX: usize = 16;
/// What every message may cost besides.
const COST_FREE: usize = 64 << 10;

/// Why bytes are no value.
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
    /// A word that its field does not have.
    #[error("a word that the field does not have")]
    Word,
    /// More, deeper or longer than is ever sent.
    #[error("larger than allowed")]
    TooLarge,
    /// Something follows the message.
    #[error("bytes after the message")]
    Trailing,
}

/// Appends values to a message.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// A message that starts with its type.
    #[must_use]
    pub fn message(kind: u8) -> Self {
        Self { out: vec![kind] }
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Starts a map of `n` pairs.
    pub fn map(&mut self, n: usize) -> &mut Self {
        self.length(n, 0x80, 16, 0xde)
    }

    /// Starts a list of `n` values.
    pub fn array(&mut self, n: usize) -> &mut Self {
        self.length(n, 0x90, 16, 0xdc)
    }

    /// A string or bytes.
    pub fn raw(&mut self, value: impl AsRef<[u8]>) -> &mut Self {
        let value = value.as_ref();
        self.length(value.len(), 0xa0, 32, 0xda);
        self.out.extend_from_slice(value);
        self
    }

    /// Bytes, where none at all is `nil`.
    pub fn raw_or_nil(&mut self, value: &[u8]) -> &mut Self {
        if value.is_empty() { self.nil() } else { self.raw(value) }
    }

    /// A number.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        let bytes = value.to_be_bytes();
        match value {
            0..=0x7f => self.out.push(bytes[7]),
            0x80..=0xff => self.out.extend_from_slice(&[0xcc, bytes[7]]),
            0x100..=0xffff => self.tagged(0xcd, &bytes[6..]),
            0x1_0000..=0xffff_ffff => self.tagged(0xce, &bytes[4..]),
            _ => self.tagged(0xcf, &bytes),
        }
        self
    }

    /// A number that may be negative.
    pub fn int(&mut self, value: i64) -> &mut Self {
        if let Ok(value) = u64::try_from(value) {
            return self.uint(value);
        }
        let bytes = value.to_be_bytes();
        match value {
            -32..=-1 => self.out.push(bytes[7]),
            -128..=-33 => self.tagged(0xd0, &bytes[7..]),
            -0x8000..=-129 => self.tagged(0xd1, &bytes[6..]),
            -0x8000_0000..=-0x8001 => self.tagged(0xd2, &bytes[4..]),
            _ => self.tagged(0xd3, &bytes),
        }
        self
    }

    /// A truth value.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.out.push(if value { 0xc3 } else { 0xc2 });
        self
    }

    /// A number with a fraction.
    pub fn float(&mut self, value: f64) -> &mut Self {
        self.tagged(0xcb, &value.to_be_bytes());
        self
    }

    /// Nothing.
    pub fn nil(&mut self) -> &mut Self {
        self.out.push(0xc0);
        self
    }

    /// Bytes as they are, encoded before.
    pub fn append(&mut self, encoded: &[u8]) -> &mut Self {
        self.out.extend_from_slice(encoded);
        self
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.out.push(tag);
        self.out.extend_from_slice(bytes);
    }

    /// A length: in the tag when small, else in 16 or 32 bits.
    fn length(&mut self, n: usize, small: u8, below: usize, tag: u8) -> &mut Self {
        match (u8::try_from(n), u16::try_from(n)) {
            (Ok(one), _) if n < below => self.out.push(small | one),
            (_, Ok(two)) => self.tagged(tag, &two.to_be_bytes()),
            _ => {
                // No message gets there: everything that carries them has smaller limits.
                let four = u32::try_from(n).unwrap_or(u32::MAX);
                self.tagged(tag + 1, &four.to_be_bytes());
            }
        }
        self
    }
}

/// Reads values of a message one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Memory that lists and maps may still take.
    budget: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        let budget = bytes.len().saturating_mul(COST_MAX).saturating_add(COST_FREE);
        Self { rest: bytes, budget }
    }

    /// Takes `size` bytes of memory for an element of a list or map into account.
    ///
    /// # Errors
    /// When the message has cost far more than its length by now: nobody sends such.
    pub fn charge(&mut self, size: usize) -> Result<(), Malformed> {
        self.budget = self.budget.checked_sub(size).ok_or(Malformed::TooLarge)?;
        Ok(())
    }

    /// Ends a message.
    ///
    /// # Errors
    /// When there is more of it.
    pub const fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
    }

    /// What has not been read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(Malformed::Incomplete)?;
        self.rest = rest;
        Ok(head)
    }

    /// The next byte.
    ///
    /// # Errors
    /// When there is none.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn number<const N: usize>(&mut self) -> Result<u64, Malformed> {
        let mut bytes = [0; 8];
        bytes[8 - N..].copy_from_slice(self.take(N)?);
        Ok(u64::from_be_bytes(bytes))
    }

    fn sized<const N: usize>(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.number::<N>()?).map_err(|_| Malformed::TooLarge)
    }

    /// The first byte of the next value.
    ///
    /// # Errors
    /// When there is none.
    pub fn peek(&self) -> Result<u8, Malformed> {
        self.rest.first().copied().ok_or(Malformed::Incomplete)
    }

    /// Whether the next value is `nil`, which then is read.
    pub fn nil(&mut self) -> bool {
        let nil = self.peek() == Ok(0xc0);
        if nil {
            self.rest = &self.rest[1..];
        }
        nil
    }

    /// The number of pairs of a map; `nil` is an empty one.
    ///
    /// # Errors
    /// When the next value is something else.
    pub fn map(&mut self) -> Result<usize, Malformed> {
        match self.byte()? {
            0xc0 => Ok(0),
            tag @ 0x80..=0x8f => Ok(usize::from(tag & 0x0f)),
            0xde => self.sized::<2>(),
            0xdf => self.sized::<4>(),
            _ => Err(Malformed::Type),
        }
    }

    /// The number of values of a list; `nil` is an empty one.
    ///
    /// # Errors
    /// When the next value is something else.
    pub fn array(&mut self) -> Result<usize, Malformed> {
        match self.byte()? {
            0xc0 => Ok(0),
            tag @ 0x90..=0x9f => Ok(usize::from(tag & 0x0f)),
            0xdc => self.sized::<2>(),
            0xdd => self.sized::<4>(),
            _ => Err(Malformed::Type),
        }
    }

    /// A string or bytes; `nil` is empty.
    ///
    /// # Errors
    /// When the next value is something else.
    pub fn raw(&mut self) -> Result<&'a [u8], Malformed> {
        let length = match self.byte()? {
            0xc0 => 0,
            tag @ 0xa0..=0xbf => usize::from(tag & 0x1f),
            0xd9 | 0xc4 => self.sized::<1>()?,
            0xda | 0xc5 => self.sized::<2>()?,
            0xdb | 0xc6 => self.sized::<4>()?,
            _ => return Err(Malformed::Type),
        };
        self.take(length)
    }

    /// A string.
    ///
    /// # Errors
    /// When the next value is no string, or not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.raw()?).map_err(|_| Malformed::Text)
    }

    /// A number, whatever its width.
    ///
    /// # Errors
    /// When the next value is something else, or negative.
    pub fn uint(&mut self) -> Result<u64, Malformed> {
        u64::try_from(self.wide()?).map_err(|_| Malformed::Range)
    }

    /// A number that may be negative.
    ///
    /// # Errors
    /// When the next value is something else.
    pub fn int(&mut self) -> Result<i64, Malformed> {
        i64::try_from(self.wide()?).map_err(|_| Malformed::Range)
    }

    fn wide(&mut self) -> Result<i128, Malformed> {
        let signed =
            |value: u64, bits: u32| i128::from((value << (64 - bits)).cast_signed() >> (64 - bits));
        Ok(match self.byte()? {
            0xc0 => 0,
            tag @ 0..=0x7f => i128::from(tag),
            tag @ 0xe0..=0xff => i128::from(tag.cast_signed()),
            0xcc => i128::from(self.number::<1>()?),
            0xcd => i128::from(self.number::<2>()?),
            0xce => i128::from(self.number::<4>()?),
            0xcf => i128::from(self.number::<8>()?),
            0xd0 => signed(self.number::<1>()?, 8),
            0xd1 => signed(self.number::<2>()?, 16),
            0xd2 => signed(self.number::<4>()?, 32),
            0xd3 => signed(self.number::<8>()?, 64),
            _ => return Err(Malformed::Type),
        })
    }

    /// A number that fits into `T`.
    ///
    /// # Errors
    /// When the next value is something else, or does not fit.
    pub fn fit<T: TryFrom<u64>>(&mut self) -> Result<T, Malformed> {
        T::try_from(self.uint()?).map_err(|_| Malformed::Range)
    }

    /// A truth value.
    ///
    /// # Errors
    /// When the next value is something else.
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0xc0 | 0xc2 => Ok(false),
            0xc3 => Ok(true),
            _ => Err(Malformed::Type),
        }
    }

    /// A number with a fraction.
    ///
    /// # Errors
    /// When the next value is no number.
    pub fn float(&mut self) -> Result<f64, Malformed> {
        match self.peek()? {
            0xcb => {
                self.byte()?;
                Ok(f64::from_bits(self.number::<8>()?))
            }
            0xca => {
                self.byte()?;
                let bits = u32::try_from(self.number::<4>()?).map_err(|_| Malformed::Range)?;
                Ok(f64::from(f32::from_bits(bits)))
            }
            _ => Ok(self.wide()? as f64),
        }
    }

    /// Passes over a value of any type.
    ///
    /// # Errors
    /// When it is cut off or nested too deeply.
    pub fn skip(&mut self) -> Result<(), Malformed> {
        self.skip_within(DEPTH_MAX)
    }

    fn skip_within(&mut self, depth: usize) -> Result<(), Malformed> {
        let depth = depth.checked_sub(1).ok_or(Malformed::TooLarge)?;
        match self.peek()? {
            0x80..=0x8f | 0xde | 0xdf => {
                for _ in 0..self.map()? {
                    self.skip_within(depth)?;
                    self.skip_within(depth)?;
                }
            }
            0x90..=0x9f | 0xdc | 0xdd => {
                for _ in 0..self.array()? {
                    self.skip_within(depth)?;
                }
            }
            0xa0..=0xbf | 0xc4..=0xc6 | 0xd9..=0xdb => {
                self.raw()?;
            }
            0xca | 0xcb => {
                self.float()?;
            }
            0xc2 | 0xc3 => {
                self.bool()?;
            }
            // Extensions: a type byte and their length.
            tag @ 0xd4..=0xd8 => {
                self.take(2 + (1 << (tag - 0xd4)))?;
            }
            tag @ 0xc7..=0xc9 => {
                self.byte()?;
                let length = match tag {
                    0xc7 => self.sized::<1>()?,
                    0xc8 => self.sized::<2>()?,
                    _ => self.sized::<4>()?,
                };
                self.byte()?;
                self.take(length)?;
            }
            _ => {
                self.wide()?;
            }
        }
        Ok(())
    }

    /// Reads a structure: `field` gets each key, and says whether it has read the value.
    ///
    /// # Errors
    /// What `field` says; and when this is no map with strings for keys.
    pub fn fields<E: From<Malformed>>(
        &mut self,
        mut field: impl FnMut(&[u8], &mut Self) -> Result<bool, E>,
    ) -> Result<(), E> {
        for _ in 0..self.map()? {
            let key = self.raw()?;
            if !field(key, self)? {
                self.skip()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            unsigned: u64, signed: i64, fraction: f64, truth: bool,
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut writer = Writer::default();
            writer.map(1).raw("k").array(5).uint(unsigned).int(signed).float(fraction).bool(truth);
            writer.raw(&bytes);
            let written = writer.into_bytes();
            let mut reader = Reader::new(&written);
            prop_assert_eq!(reader.map(), Ok(1));
            prop_assert_eq!(reader.text(), Ok("k"));
            prop_assert_eq!(reader.array(), Ok(5));
            prop_assert_eq!(reader.uint(), Ok(unsigned));
            prop_assert_eq!(reader.int(), Ok(signed));
            prop_assert_eq!(reader.float().map(f64::to_bits), Ok(fraction.to_bits()));
            prop_assert_eq!(reader.bool(), Ok(truth));
            prop_assert_eq!(reader.raw(), Ok(&*bytes));
            prop_assert!(reader.rest().is_empty());
            let mut whole = Reader::new(&written);
            prop_assert_eq!(whole.skip(), Ok(()));
            prop_assert!(whole.rest().is_empty());
            // Every beginning of it is known to be one.
            for end in 0..written.len() {
                prop_assert_eq!(Reader::new(&written[..end]).skip(), Err(Malformed::Incomplete));
            }
        }

        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Reader::new(&bytes).skip();
        }
    }

    #[test]
    fn new_forms_are_read_and_never_written() {
        for form in [&[0xd9, 1, b'x'][..], &[0xc4, 1, b'x'], &[0xc5, 0, 1, b'x'], &[0xa1, b'x']] {
            assert_eq!(Reader::new(form).raw(), Ok(&b"x"[..]));
        }
        let mut writer = Writer::default();
        writer.raw([7; 40]);
        assert_eq!(writer.into_bytes()[..3], [0xda, 0, 40]);
    }

    #[test]
    fn depth_is_limited() {
        assert_eq!(Reader::new(&[0x91; 100]).skip(), Err(Malformed::TooLarge));
    }
}
