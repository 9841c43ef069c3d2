//! Values of fields: numbers, texts, lists, maps, times.
//!
//! `nil` is read as zero everywhere, as the original does. Empty lists and maps are written as
//! `nil`, which is what the original has for those that nobody made; the codecs named after `as` in
//! tables of fields write them otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lictor_pack::{Malformed, Reader, Writer};
use lictor_types::timestamp::Timestamp;

/// What an allocation takes besides what is in it.
const SHARED: usize = 32;

/// A value of a message.
pub trait Value: Sized {
    /// Memory that one takes that says nothing, in bytes.
    const COST: usize = size_of::<Self>();

    /// Appends it.
    fn write(&self, to: &mut Writer);

    /// Reads it.
    ///
    /// # Errors
    /// When the next value is of another type, or ends early.
    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// Of an answer to a read, how long ago whoever gave it had heard of the leader.
    fn age(&self) -> Option<Duration> {
        None
    }
}

/// Nothing: an empty map. Whatever is in it is passed over.
impl Value for () {
    fn write(&self, to: &mut Writer) {
        to.map(0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        from.skip()
    }
}

impl Value for bool {
    fn write(&self, to: &mut Writer) {
        to.bool(*self);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        from.bool()
    }
}

macro_rules! numbers {
    ($write:ident as $wide:ty: $($number:ty)+) => { $(
        impl Value for $number {
            fn write(&self, to: &mut Writer) {
                to.$write(<$wide>::try_from(*self).unwrap_or(<$wide>::MAX));
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
                from.$write()?.try_into().map_err(|_| Malformed::Range)
            }
        }
    )+ };
}

numbers!(uint as u64: u8 u16 u32 u64 usize);
numbers!(int as i64: i64);

impl Value for f64 {
    fn write(&self, to: &mut Writer) {
        to.float(*self);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        from.float()
    }
}

/// Written with twice the digits that it has: every reader takes those.
impl Value for f32 {
    fn write(&self, to: &mut Writer) {
        to.float(f64::from(*self));
    }

    #[expect(clippy::cast_possible_truncation, reason = "no more digits are kept")]
    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        from.float().map(|wide| wide as Self)
    }
}

impl Value for &str {
    fn write(&self, to: &mut Writer) {
        to.raw(self);
    }

    /// Only texts that are always empty are of this type.
    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        from.skip()?;
        Ok("")
    }
}

impl Value for String {
    fn write(&self, to: &mut Writer) {
        to.raw(self);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        from.text().map(str::to_owned)
    }
}

impl Value for Arc<str> {
    fn write(&self, to: &mut Writer) {
        to.raw(&**self);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        from.text().map(Self::from)
    }
}

impl Value for Bytes {
    fn write(&self, to: &mut Writer) {
        to.raw_or_nil(self);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        from.raw().map(Self::copy_from_slice)
    }
}

/// Nanoseconds. Less than none is none.
impl Value for Duration {
    fn write(&self, to: &mut Writer) {
        to.int(i64::try_from(self.as_nanos()).unwrap_or(i64::MAX));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        from.int().map(|nanos| Self::from_nanos(u64::try_from(nanos).unwrap_or(0)))
    }
}

impl Value for Timestamp {
    fn write(&self, to: &mut Writer) {
        to.raw(self.to_binary());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match from.raw()? {
            [] => Ok(Self(0)),
            bytes => Self::from_binary(bytes).ok_or(Malformed::Type),
        }
    }
}

impl<T: Value> Value for Option<T> {
    fn write(&self, to: &mut Writer) {
        match self {
            Some(value) => value.write(to),
            None => {
                to.nil();
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        if from.nil() { Ok(None) } else { T::read(from).map(Some) }
    }
}

impl<T: Value> Value for Arc<T> {
    const COST: usize = SHARED + T::COST;

    fn write(&self, to: &mut Writer) {
        T::write(self, to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        T::read(from).map(Self::new)
    }
}

impl<T: Value> Value for Box<T> {
    const COST: usize = SHARED + T::COST;

    fn write(&self, to: &mut Writer) {
        T::write(self, to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        T::read(from).map(Self::new)
    }
}

impl<T: Value> Value for Vec<T> {
    fn write(&self, to: &mut Writer) {
        if self.is_empty() {
            to.nil();
        } else {
            Listed::write(self, to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut list = Self::new();
        for _ in 0..from.array()? {
            from.charge(T::COST)?;
            list.push(T::read(from)?);
        }
        Ok(list)
    }
}

impl<K: Value + Ord, V: Value> Value for BTreeMap<K, V> {
    fn write(&self, to: &mut Writer) {
        if self.is_empty() {
            to.nil();
        } else {
            Mapped::write(self, to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut map = Self::new();
        for _ in 0..from.map()? {
            from.charge(K::COST + V::COST)?;
            let key = K::read(from)?;
            map.insert(key, V::read(from)?);
        }
        Ok(map)
    }
}

/// A list that is never `nil`.
pub(crate) struct Listed;

impl Listed {
    pub(crate) fn write<T: Value>(list: &[T], to: &mut Writer) {
        to.array(list.len());
        for value in list {
            value.write(to);
        }
    }
}

/// A map that is never `nil`.
pub(crate) struct Mapped;

impl Mapped {
    pub(crate) fn write<K: Value, V: Value>(map: &BTreeMap<K, V>, to: &mut Writer) {
        to.map(map.len());
        for (key, value) in map {
            key.write(to);
            value.write(to);
        }
    }

    pub(crate) fn read<K: Value + Ord, V: Value>(
        from: &mut Reader<'_>,
    ) -> Result<BTreeMap<K, V>, Malformed> {
        Value::read(from)
    }
}

/// Text for people, which need not be UTF-8: what a check's command printed.
pub(crate) struct Lossy;

impl Lossy {
    pub(crate) fn write(text: &str, to: &mut Writer) {
        to.raw(text);
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Result<String, Malformed> {
        from.raw().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

/// A number of things, where less than none is none.
pub(crate) struct Natural;

impl Natural {
    pub(crate) fn write(number: &usize, to: &mut Writer) {
        number.write(to);
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Result<usize, Malformed> {
        Ok(usize::try_from(from.int()?).unwrap_or(0))
    }
}

/// Bytes.
pub(crate) struct Raw;

impl Raw {
    pub(crate) fn write(bytes: &[u8], to: &mut Writer) {
        to.raw_or_nil(bytes);
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
        from.raw().map(<[u8]>::to_vec)
    }
}

/// A word for each variant.
macro_rules! words {
    ($type:ty { $($word:literal: $variant:ident,)+ }) => {
        impl $crate::value::Value for $type {
            fn write(&self, to: &mut lictor_pack::Writer) {
                to.raw(match self { $(Self::$variant => $word),+ });
            }

            fn read(
                from: &mut lictor_pack::Reader<'_>,
            ) -> Result<Self, lictor_pack::Malformed> {
                match from.raw()? {
                    $(word if word == $word.as_bytes() => Ok(Self::$variant),)+
                    _ => Err(lictor_pack::Malformed::Word),
                }
            }
        }
    };
}
pub(crate) use words;
