//! What agents ask of servers: the request and the reply of each method of the servers' calls.
//!
//! The bytes are the original's (1.2.0 and 1.10.11, see the reference of its fields): maps with all
//! fields that either has, where readers pass over those that they do not know and take missing
//! ones, and `nil`, for zero. The values are the domain's, as the endpoints of a server take and
//! give them; so both a handler and who sends calls away are a few lines. Fields of later versions
//! that the domain has no place for are written as zero and not kept.
//!
//! One file for each resource; `value`, `record`, `request` and `reply` are how messages are built.
//! How calls travel is the crate `rpc`'s; who may ask what is the server's.

pub mod acl;
pub mod acl_legacy;
pub mod acl_token;
mod any;
pub mod catalog;
pub mod config_entry;
pub mod connect_ca;
pub mod coordinate;
pub mod discovery_chain;
pub mod health;
pub mod intention;
pub mod internal;
pub mod kv;
pub mod operator;
pub mod prepared_query;
mod record;
mod reply;
mod request;
pub mod session;
pub mod snapshot;
pub mod status;
pub mod table;
pub mod txn;
mod value;

use std::time::Duration;

use lictor_pack::{Malformed, Reader, Writer};

pub use request::{ReadRequest, Request, Source, WriteRequest};
use value::Value;

/// Why a message cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes are not such a message.
    #[error("codec.decoder: {0}")]
    Decode(#[from] Malformed),
    /// The message is larger than a call carries.
    #[error("codec.encoder: a message of {0} bytes; at most {MESSAGE_MAX} can be sent")]
    TooLarge(usize),
}

/// Longest message that is written: a list of everything of a large datacenter has a tenth of it.
pub const MESSAGE_MAX: usize = 64 << 20;

/// A method of the servers' calls.
pub trait Method {
    /// `Service.Method`.
    const NAME: &'static str;
    /// What it is asked.
    type Request: Request;
    /// What it answers.
    type Reply: Message;
}

/// The body of a call or of its answer.
pub trait Message: Sized {
    /// Its bytes.
    ///
    /// # Errors
    /// When it is too large to be sent.
    fn encode(&self) -> Result<Vec<u8>, WireError>;

    /// Reads it from its bytes.
    ///
    /// # Errors
    /// When they are not such a message.
    fn decode(bytes: &[u8]) -> Result<Self, WireError>;

    /// Of an answer to a read, how long ago whoever gave it had heard of the leader.
    fn age(&self) -> Option<Duration>;
}

impl<T: Value> Message for T {
    fn encode(&self) -> Result<Vec<u8>, WireError> {
        let mut to = Writer::default();
        self.write(&mut to);
        let bytes = to.into_bytes();
        if bytes.len() > MESSAGE_MAX { Err(WireError::TooLarge(bytes.len())) } else { Ok(bytes) }
    }

    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        let message = Self::read(&mut from)?;
        from.end()?;
        Ok(message)
    }

    fn age(&self) -> Option<Duration> {
        Value::age(self)
    }
}

/// Declares methods: `Type = "Service.Method": Request => Reply`.
macro_rules! methods {
    ($($(#[$doc:meta])* $method:ident = $name:literal: $request:ty => $reply:ty;)+) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $method;

        impl $crate::Method for $method {
            const NAME: &'static str = $name;
            type Request = $request;
            type Reply = $reply;
        }
    )+ };
}
use methods;
