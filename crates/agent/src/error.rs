//! What the agent's own operations answer when they refuse or fail.
//!
//! The HTTP status is chosen by the door from the variant; the texts are those that clients of
//! the original match on.

use lictor_types::error::EndpointError;

/// An error of a local operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    /// The request is malformed: 400 with exactly this text.
    #[error("{0}")]
    Invalid(String),
    /// What was named does not exist here: 404 with exactly this text.
    #[error("{0}")]
    NotFound(String),
    /// Decided by an endpoint, or in its manner.
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
}

impl AgentError {
    /// A malformed request.
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    /// A request that a rule refuses (500 with the text).
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Endpoint(EndpointError::refused(text))
    }
}
