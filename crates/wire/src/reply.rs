//! Replies to reads: facts about the answer beside the data.

use std::sync::Arc;
use std::time::Duration;

use lictor_pack::{Malformed, Reader, Writer};
use lictor_types::query::{Consistency, Evaluated, QueryMeta, Reply};

use crate::record::Fields;
use crate::value::Value;

impl Fields for QueryMeta {
    const COUNT: usize = 7;

    fn zero() -> Self {
        Self::default()
    }

    fn write_fields(&self, to: &mut Writer) {
        to.raw("Backend").uint(0);
        // The original leaves it empty, mostly.
        let consistency = match self.consistency {
            Consistency::Leader => "",
            other => other.as_str(),
        };
        to.raw("ConsistencyLevel").raw(consistency);
        to.raw("Index").uint(self.index);
        to.raw("KnownLeader").bool(self.known_leader);
        to.raw("LastContact");
        self.last_contact.write(to);
        to.raw("NotModified").bool(false);
        to.raw("ResultsFilteredByACLs").bool(self.filtered);
    }

    fn read_field(&mut self, key: &[u8], from: &mut Reader<'_>) -> Result<bool, Malformed> {
        match key {
            b"ConsistencyLevel" => {
                self.consistency = match from.raw()? {
                    b"stale" => Consistency::Stale,
                    b"consistent" => Consistency::Consistent,
                    _ => Consistency::Leader,
                }
            }
            b"Index" => self.index = Value::read(from)?,
            b"KnownLeader" => self.known_leader = Value::read(from)?,
            b"LastContact" => self.last_contact = Value::read(from)?,
            b"ResultsFilteredByACLs" => self.filtered = Value::read(from)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<T: Fields> Value for Reply<T> {
    fn write(&self, to: &mut Writer) {
        to.map(QueryMeta::COUNT + T::COUNT);
        self.meta.write_fields(to);
        self.result.value.write_fields(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (mut meta, mut value) = (QueryMeta::default(), T::zero());
        from.fields(|key, from| {
            Ok::<_, Malformed>(meta.read_field(key, from)? || value.read_field(key, from)?)
        })?;
        value.settle();
        Ok(Self { result: Evaluated::new(meta.index, value), meta })
    }

    fn age(&self) -> Option<Duration> {
        Some(self.meta.last_contact)
    }
}

/// One row or none, where the original has a list.
pub(crate) struct AtMostOne;

impl AtMostOne {
    pub(crate) fn write<T: Value>(row: &Option<Arc<T>>, to: &mut Writer) {
        match row {
            Some(row) => {
                to.array(1);
                row.write(to);
            }
            None => {
                to.nil();
            }
        }
    }

    pub(crate) fn read<T: Value>(from: &mut Reader<'_>) -> Result<Option<Arc<T>>, Malformed> {
        Vec::<Arc<T>>::read(from).map(|rows| rows.into_iter().next())
    }
}

/// Says under which key a type stands in replies.
macro_rules! data {
    ($($key:literal: $type:ty $(as $with:ident)?;)+) => { $(
        impl $crate::record::Fields for $type {
            const COUNT: usize = 1;

            fn zero() -> Self {
                Default::default()
            }

            fn write_fields(&self, to: &mut lictor_pack::Writer) {
                to.raw($key);
                $crate::reply::data!(@write self to $($with)?);
            }

            fn read_field(
                &mut self, key: &[u8], from: &mut lictor_pack::Reader<'_>,
            ) -> Result<bool, lictor_pack::Malformed> {
                let own = key == $key.as_bytes();
                if own {
                    *self = $crate::reply::data!(@read from $($with)?);
                }
                Ok(own)
            }
        }
    )+ };
    (@write $self:ident $to:ident) => { $crate::value::Value::write($self, $to) };
    (@write $self:ident $to:ident $with:ident) => { $with::write($self, $to) };
    (@read $from:ident) => { $crate::value::Value::read($from)? };
    (@read $from:ident $with:ident) => { $with::read($from)? };
}

pub(crate) use data;
