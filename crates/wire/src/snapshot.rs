//! Saving and restoring everything: a request and a reply on a connection of its own, whose first
//! byte says so. After the request to restore, or the reply to save, comes the archive, to the end
//! of what that side sends.

use lictor_pack::{Malformed, Reader, Writer};
use lictor_types::query::QueryMeta;

use crate::record::{Fields, as_value, record};
use crate::value::Value;

/// What is done with a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SnapshotOp {
    /// It is made.
    #[default]
    Save,
    /// It takes the place of everything.
    Restore,
}

impl Value for SnapshotOp {
    fn write(&self, to: &mut Writer) {
        to.uint(match self {
            Self::Save => 0,
            Self::Restore => 1,
        });
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match from.uint()? {
            0 => Ok(Self::Save),
            1 => Ok(Self::Restore),
            _ => Err(Malformed::Range),
        }
    }
}

/// A request to save or restore.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// Which.
    pub op: SnapshotOp,
    /// The datacenter that is asked.
    pub datacenter: String,
    /// The caller's secret.
    pub token: String,
    /// Whether any server may make it, not the leader alone.
    pub allow_stale: bool,
}

impl std::fmt::Debug for SnapshotRequest {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("SnapshotRequest");
        shown.field("op", &self.op).field("datacenter", &self.datacenter).finish_non_exhaustive()
    }
}

record! { SnapshotRequest {
    "AllowStale": allow_stale,
    "Datacenter": datacenter,
    "Op": op,
    "Token": token,
} }

/// The reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotReply {
    /// Why it was not done; empty if it was.
    pub error: String,
    /// Facts about the answer.
    pub meta: QueryMeta,
}

impl Fields for SnapshotReply {
    const COUNT: usize = 1 + QueryMeta::COUNT;

    fn zero() -> Self {
        Self::default()
    }

    fn write_fields(&self, to: &mut Writer) {
        to.raw("Error").raw(&self.error);
        self.meta.write_fields(to);
    }

    fn read_field(&mut self, key: &[u8], from: &mut Reader<'_>) -> Result<bool, Malformed> {
        if key == b"Error" {
            self.error = Value::read(from)?;
            return Ok(true);
        }
        self.meta.read_field(key, from)
    }
}

as_value!(SnapshotReply);
