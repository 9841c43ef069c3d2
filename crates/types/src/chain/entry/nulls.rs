//! Values where null is the zero of whatever is wanted, as in the original: in a field, in a list,
//! under a name that the user chose.

use serde::Deserializer;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

/// A value that is read so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nulls<'de>(pub(super) &'de Value);

/// The fields of a structure that is read so.
pub(super) fn fields(
    fields: &Map<String, Value>,
) -> MapDeserializer<'_, impl Iterator<Item = (&str, Nulls<'_>)>, Error> {
    MapDeserializer::new(fields.iter().map(|(key, value)| (&**key, Nulls(value))))
}

impl<'de> IntoDeserializer<'de, Error> for Nulls<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Numbers, texts and truths: as they are, or zero.
macro_rules! plain {
    ($($method:ident: $visit:ident($zero:expr);)+) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0 {
                Value::Null => visitor.$visit($zero),
                value => value.$method(visitor),
            }
        }
    )+ };
}

impl<'de> Deserializer<'de> for Nulls<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(map) => visitor.visit_map(fields(map)),
            Value::Array(list) => visitor.visit_seq(SeqDeserializer::new(list.iter().map(Nulls))),
            value => value.deserialize_any(visitor),
        }
    }

    plain! {
        deserialize_bool: visit_bool(false);
        deserialize_i64: visit_i64(0);
        deserialize_u32: visit_u64(0);
        deserialize_u64: visit_u64(0);
        deserialize_f32: visit_f64(0.0);
        deserialize_f64: visit_f64(0.0);
        deserialize_str: visit_str("");
        deserialize_string: visit_str("");
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() {
            visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<Nulls<'de>>()))
        } else {
            self.deserialize_any(visitor)
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() {
            visitor.visit_map(MapDeserializer::new(std::iter::empty::<(&str, Nulls<'de>)>()))
        } else {
            self.deserialize_any(visitor)
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u128 char bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct enum identifier ignored_any
    }
}
