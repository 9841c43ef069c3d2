//! Empty maps and lists that are written as `null`, and `null` that is read as empty.
//!
//! For serde's `with` attribute; which fields do so is said where they are declared.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// String pairs in name order.
pub type StringMap = BTreeMap<String, String>;

/// What can be empty.
pub(crate) trait Emptiness {
    fn is_nothing(&self) -> bool;
}

impl<K, V> Emptiness for BTreeMap<K, V> {
    fn is_nothing(&self) -> bool {
        self.is_empty()
    }
}

impl<T> Emptiness for Vec<T> {
    fn is_nothing(&self) -> bool {
        self.is_empty()
    }
}

pub(crate) fn serialize<T, S>(value: &T, serializer: S) -> Result<S::Ok, S::Error>
where
    T: Emptiness + Serialize,
    S: Serializer,
{
    if value.is_nothing() { serializer.serialize_none() } else { value.serialize(serializer) }
}

/// Also for fields that are never written as `null`, but may come as such.
pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
