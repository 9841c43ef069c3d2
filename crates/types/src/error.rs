//! The error that an endpoint gives to whoever asked, in process or over the wire.
//!
//! The kind decides the HTTP status (in `http/src/error.rs` only); the text is what clients see.

use crate::command::Refusal;

/// Texts that clients match on.
pub mod text {
    /// No leader is known.
    pub const NO_LEADER: &str = "No cluster leader";
    /// A server that is asked what only the leader answers, and is not it.
    pub const NOT_LEADER: &str = "node is not the leader";
    /// A `?dc=` that nobody knows.
    pub const NO_PATH_TO_DATACENTER: &str = "No path to datacenter";
    /// The token does not suffice.
    pub const PERMISSION_DENIED: &str = "Permission denied";
    /// The token does not exist.
    pub const ACL_NOT_FOUND: &str = "ACL not found";
    /// Access control is off.
    pub const ACL_DISABLED: &str = "ACL support disabled";
    /// The mesh is off.
    pub const CONNECT_DISABLED: &str = "Connect must be enabled in order to use this endpoint";
}

/// Who is at fault and what may be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is malformed; the same request will fail again (400, `Bad request: …`).
    BadRequest,
    /// The token does not suffice or does not exist (403).
    PermissionDenied,
    /// A limit was reached; try later (429).
    RateLimited,
    /// There is no leader now; try again.
    NoLeader,
    /// The datacenter is unknown.
    NoPathToDatacenter,
    /// The request was understood and refused by a rule (500 with the reason, as the original).
    Refused,
    /// The thing asked for does not exist (404 where the endpoint says so).
    NotFound,
    /// A failure on our side.
    Internal,
}

/// An endpoint's error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct EndpointError {
    /// Who is at fault.
    pub kind: ErrorKind,
    /// What the client is told.
    pub text: String,
}

impl EndpointError {
    /// An error of `kind` with its text.
    #[must_use]
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// A request refused by a rule.
    #[must_use]
    pub fn refused(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, text)
    }

    /// A malformed request.
    #[must_use]
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadRequest, text)
    }

    /// No leader.
    #[must_use]
    pub fn no_leader() -> Self {
        Self::new(ErrorKind::NoLeader, text::NO_LEADER)
    }

    /// Another server leads: that one is to be asked, and nothing was done here.
    #[must_use]
    pub fn not_leader() -> Self {
        Self::new(ErrorKind::NoLeader, text::NOT_LEADER)
    }

    /// Whether it is [`EndpointError::not_leader`].
    #[must_use]
    pub fn is_not_leader(&self) -> bool {
        self.kind == ErrorKind::NoLeader && self.text == text::NOT_LEADER
    }

    /// A datacenter that is not ours and that nobody can be asked about.
    #[must_use]
    pub fn no_path_to_datacenter() -> Self {
        Self::new(ErrorKind::NoPathToDatacenter, text::NO_PATH_TO_DATACENTER)
    }

    /// The token does not suffice.
    #[must_use]
    pub fn permission_denied() -> Self {
        Self::new(ErrorKind::PermissionDenied, text::PERMISSION_DENIED)
    }

    /// A token that there is not.
    #[must_use]
    pub fn acl_not_found() -> Self {
        Self::new(ErrorKind::PermissionDenied, text::ACL_NOT_FOUND)
    }

    /// Whether the same request may succeed a moment later.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        matches!(self.kind, ErrorKind::NoLeader | ErrorKind::RateLimited)
    }
}

impl From<Refusal> for EndpointError {
    fn from(refusal: Refusal) -> Self {
        Self::refused(refusal.to_string())
    }
}
