//! What all requests have: who asks, whom, and how.

use std::fmt;

use lictor_pack::{Malformed, Reader, Writer};
use lictor_types::query::{Consistency, QueryOptions};

use crate::Message;
use crate::record::{Fields, record};
use crate::value::Value;

/// A request, to whoever sends it on.
pub trait Request: Message {
    /// The datacenter that is asked; empty for the one of whoever receives it.
    fn datacenter(&self) -> &str;
    /// The caller's secret.
    fn token(&self) -> &str;
    /// How it is read; `None` for a write, which only the leader does.
    fn options(&self) -> Option<&QueryOptions>;
    /// The same with another datacenter and secret: a server fills in its own where they are empty.
    fn address(&mut self, datacenter: &str, token: &str);
}

/// A request that reads.
#[derive(Clone, Debug, Default)]
pub struct ReadRequest<A = ()> {
    /// How it is read.
    pub options: QueryOptions,
    /// What.
    pub args: A,
}

impl<A> ReadRequest<A> {
    /// A request for `args`.
    pub fn new(options: &QueryOptions, args: A) -> Self {
        Self { options: options.clone(), args }
    }
}

/// A request that writes.
#[derive(Clone, Default)]
pub struct WriteRequest<A = ()> {
    /// The datacenter that is asked.
    pub datacenter: String,
    /// The caller's secret.
    pub token: String,
    /// What.
    pub args: A,
}

impl<A: fmt::Debug> fmt::Debug for WriteRequest<A> {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("WriteRequest");
        shown
            .field("datacenter", &self.datacenter)
            .field("args", &self.args)
            .finish_non_exhaustive()
    }
}

impl<A> WriteRequest<A> {
    /// A request for `args`.
    pub fn new(datacenter: &str, token: &str, args: A) -> Self {
        Self { datacenter: datacenter.to_owned(), token: token.to_owned(), args }
    }
}

impl<A: Fields> Request for ReadRequest<A> {
    fn datacenter(&self) -> &str {
        &self.options.datacenter
    }

    fn token(&self) -> &str {
        &self.options.token
    }

    fn options(&self) -> Option<&QueryOptions> {
        Some(&self.options)
    }

    fn address(&mut self, datacenter: &str, token: &str) {
        datacenter.clone_into(&mut self.options.datacenter);
        token.clone_into(&mut self.options.token);
    }
}

impl<A: Fields> Request for WriteRequest<A> {
    fn datacenter(&self) -> &str {
        &self.datacenter
    }

    fn token(&self) -> &str {
        &self.token
    }

    fn options(&self) -> Option<&QueryOptions> {
        None
    }

    fn address(&mut self, datacenter: &str, token: &str) {
        datacenter.clone_into(&mut self.datacenter);
        token.clone_into(&mut self.token);
    }
}

/// No arguments.
impl Fields for () {
    const COUNT: usize = 0;

    fn zero() -> Self {}

    fn write_fields(&self, _: &mut Writer) {}

    fn read_field(&mut self, _: &[u8], _: &mut Reader<'_>) -> Result<bool, Malformed> {
        Ok(false)
    }
}

impl Fields for QueryOptions {
    const COUNT: usize = 13;

    fn zero() -> Self {
        Self::default()
    }

    fn write_fields(&self, to: &mut Writer) {
        to.raw("AllowNotModifiedResponse").bool(false);
        to.raw("AllowStale").bool(self.consistency == Consistency::Stale);
        to.raw("Datacenter").raw(&self.datacenter);
        to.raw("Filter").raw(&self.filter);
        to.raw("MaxAge").uint(0);
        to.raw("MaxQueryTime");
        self.max_wait.write(to);
        // Whoever asks compares the age of the reply itself.
        to.raw("MaxStaleDuration").uint(0);
        to.raw("MinQueryIndex").uint(self.min_index);
        to.raw("MustRevalidate").bool(false);
        to.raw("RequireConsistent").bool(self.consistency == Consistency::Consistent);
        to.raw("StaleIfError").uint(0);
        to.raw("Token").raw(&self.token);
        to.raw("UseCache").bool(false);
    }

    fn read_field(&mut self, key: &[u8], from: &mut Reader<'_>) -> Result<bool, Malformed> {
        match key {
            // Who wants both gets the surer one, as at the door.
            b"AllowStale" => {
                if from.bool()? && self.consistency == Consistency::Leader {
                    self.consistency = Consistency::Stale;
                }
            }
            b"RequireConsistent" => {
                if from.bool()? {
                    self.consistency = Consistency::Consistent;
                }
            }
            b"Datacenter" => self.datacenter = Value::read(from)?,
            b"Filter" => self.filter = Value::read(from)?,
            b"MaxQueryTime" => self.max_wait = Value::read(from)?,
            b"MinQueryIndex" => self.min_index = Value::read(from)?,
            b"Token" => self.token = Value::read(from)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<A: Fields> Value for ReadRequest<A> {
    fn write(&self, to: &mut Writer) {
        to.map(QueryOptions::COUNT + A::COUNT);
        self.options.write_fields(to);
        self.args.write_fields(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut request = Self { options: QueryOptions::default(), args: A::zero() };
        from.fields(|key, from| {
            Ok::<_, Malformed>(
                request.options.read_field(key, from)? || request.args.read_field(key, from)?,
            )
        })?;
        request.args.settle();
        Ok(request)
    }
}

impl<A: Fields> Value for WriteRequest<A> {
    fn write(&self, to: &mut Writer) {
        to.map(2 + A::COUNT);
        to.raw("Datacenter").raw(&self.datacenter);
        to.raw("Token").raw(&self.token);
        self.args.write_fields(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut request = Self { datacenter: String::new(), token: String::new(), args: A::zero() };
        from.fields(|key, from| {
            match key {
                b"Datacenter" => request.datacenter = Value::read(from)?,
                b"Token" => request.token = Value::read(from)?,
                _ => return request.args.read_field(key, from),
            }
            Ok::<_, Malformed>(true)
        })?;
        request.args.settle();
        Ok(request)
    }
}

/// From where distances are measured; all empty: nothing is sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Datacenter of the node.
    pub datacenter: String,
    /// Network segment of the node.
    pub segment: String,
    /// Name of the node.
    pub node: String,
    /// Address of whoever asked the agent.
    pub ip: String,
}

record! { Source {
    "Datacenter": datacenter,
    "Ip": ip,
    "Node": node,
    "Segment": segment,
} }

/// What is asked without saying who asks, and answered by whoever is asked.
impl Request for () {
    fn datacenter(&self) -> &str {
        ""
    }

    fn token(&self) -> &str {
        ""
    }

    fn options(&self) -> Option<&QueryOptions> {
        None
    }

    fn address(&mut self, _: &str, _: &str) {}
}
