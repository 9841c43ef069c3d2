//! Structures: maps with the fields' names as keys, from tables of fields.

use lictor_pack::{Malformed, Reader, Writer};

/// The fields of a structure, which may stand in a map of their own or beside others.
pub trait Fields: Sized {
    /// How many fields are written.
    const COUNT: usize;

    /// One whose fields all are zero.
    fn zero() -> Self;

    /// Appends keys and values.
    fn write_fields(&self, to: &mut Writer);

    /// Reads the value of the field `key`; false, and nothing is read, if there is no such field.
    ///
    /// # Errors
    /// When the value is not the field's.
    fn read_field(&mut self, key: &[u8], from: &mut Reader<'_>) -> Result<bool, Malformed>;

    /// Is called when all fields have been read, for what depends on several.
    fn settle(&mut self) {}
}

/// Appends a structure.
pub(crate) fn write<T: Fields>(record: &T, to: &mut Writer) {
    to.map(T::COUNT);
    record.write_fields(to);
}

/// Reads a structure.
pub(crate) fn read<T: Fields>(from: &mut Reader<'_>) -> Result<T, Malformed> {
    let mut record = T::zero();
    from.fields(|key, from| record.read_field(key, from))?;
    record.settle();
    Ok(record)
}

/// Makes [`Fields`] from a table. Each line is one of
///
/// - `"Key": field`, with `as` and a codec where the field's type is not written as usual;
/// - `"Key" = zero` for what the original has and we do not, with `=> take` if something is made
///   of it;
/// - `"Key" fn put => take` for what has no field of its own.
///
/// `Type = expression => { … }` is for types without a default. `settle` names a function that is
/// given the structure when all of it has been read.
macro_rules! fields {
    ($type:ty { $($table:tt)* }) => {
        $crate::record::fields!($type = Default::default() => { $($table)* });
    };
    ($type:ty = $start:expr => $(settle $settle:ident)? {
        $($key:literal
            $(: $($field:tt).+ $(as $with:ident)?)?
            $(fn $put:ident => $take:ident)?
            $(= $zero:expr $(=> $after:ident)?)?
        ,)*
    }) => {
        impl $crate::record::Fields for $type {
            const COUNT: usize = { let keys: &[&str] = &[$($key),*]; keys.len() };

            fn zero() -> Self {
                $start
            }

            fn write_fields(&self, to: &mut lictor_pack::Writer) {
                $(
                    to.raw($key);
                    $crate::record::put!(
                        self to $($($field).+ $(as $with)?)? $(= $zero)? $(fn $put)?
                    );
                )*
            }

            fn read_field(
                &mut self, key: &[u8], from: &mut lictor_pack::Reader<'_>,
            ) -> Result<bool, lictor_pack::Malformed> {
                // Where no field is kept.
                let _ = (key, &from);
                $(
                    $crate::record::take!(
                        self key from $key $($($field).+ $(as $with)?)? $($(=> $after)?)?
                        $(=> $take)?
                    );
                )*
                Ok(false)
            }

            $(fn settle(&mut self) { $settle(self) })?
        }
    };
}

macro_rules! put {
    ($self:ident $to:ident = $zero:expr) => {
        $crate::value::Value::write(&$zero, $to);
    };
    ($self:ident $to:ident fn $put:ident) => {
        $put($self, $to);
    };
    ($self:ident $to:ident $($field:tt).+ as $with:ident) => {
        $with::write(&$self.$($field).+, $to);
    };
    ($self:ident $to:ident $($field:tt).+) => {
        $crate::value::Value::write(&$self.$($field).+, $to);
    };
}

macro_rules! take {
    ($self:ident $key:ident $from:ident $name:literal) => {};
    ($self:ident $key:ident $from:ident $name:literal => $take:ident) => {
        if $key == $name.as_bytes() {
            $take($self, $from)?;
            return Ok(true);
        }
    };
    ($self:ident $key:ident $from:ident $name:literal $($field:tt).+ as $with:ident) => {
        if $key == $name.as_bytes() {
            $self.$($field).+ = $with::read($from)?;
            return Ok(true);
        }
    };
    ($self:ident $key:ident $from:ident $name:literal $($field:tt).+) => {
        if $key == $name.as_bytes() {
            $self.$($field).+ = $crate::value::Value::read($from)?;
            return Ok(true);
        }
    };
}

/// [`fields!`] of structures that stand in a map of their own.
macro_rules! record {
    ($type:ty $(= $start:expr => $(settle $settle:ident)?)? { $($table:tt)* }) => {
        $crate::record::fields!($type $(= $start => $(settle $settle)?)? { $($table)* });
        $crate::record::as_value!($type);
    };
}

/// Makes a value of what has [`Fields`].
macro_rules! as_value {
    ($type:ty $(, costs $parts:expr)?) => {
        impl $crate::value::Value for $type {
            $(const COST: usize = size_of::<Self>() + $parts;)?

            fn write(&self, to: &mut lictor_pack::Writer) {
                $crate::record::write(self, to);
            }

            fn read(
                from: &mut lictor_pack::Reader<'_>,
            ) -> Result<Self, lictor_pack::Malformed> {
                $crate::record::read(from)
            }
        }
    };
}

pub(crate) use {as_value, fields, put, record, take};
