//! What a failed request is answered with: the only place where errors get a status.
//!
//! The texts come from whoever refused; clients match on them.

use std::borrow::Cow;

use lictor_agent::AgentError;
use lictor_types::error::{EndpointError, ErrorKind};

/// An answer that says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpError {
    status: u16,
    text: Cow<'static, str>,
    /// Reads send their index headers even when they fail.
    empty_meta: bool,
}

impl HttpError {
    pub(crate) const fn new(status: u16, text: Cow<'static, str>) -> Self {
        Self { status, text, empty_meta: false }
    }

    /// 400: the request is malformed.
    pub(crate) fn bad_request(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, text.into())
    }

    /// 404 with a reason.
    pub(crate) fn not_found(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(404, text.into())
    }

    /// 413: the body is larger than allowed.
    pub(crate) fn too_large(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(413, text.into())
    }

    /// 500 with a reason: the original's answer to most of what it refuses.
    pub(crate) fn refused(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(500, text.into())
    }

    /// The same with the headers of a read that has nothing to tell.
    pub(crate) const fn with_empty_meta(mut self) -> Self {
        self.empty_meta = true;
        self
    }

    pub(crate) const fn status(&self) -> u16 {
        self.status
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn into_text(self) -> Cow<'static, str> {
        self.text
    }

    pub(crate) const fn has_empty_meta(&self) -> bool {
        self.empty_meta
    }
}

impl From<EndpointError> for HttpError {
    fn from(error: EndpointError) -> Self {
        match error.kind {
            ErrorKind::BadRequest => Self::bad_request(format!("Bad request: {}", error.text)),
            ErrorKind::PermissionDenied => Self::new(403, error.text.into()),
            ErrorKind::RateLimited => Self::new(429, Cow::Borrowed("")),
            ErrorKind::NotFound => Self::not_found(error.text),
            ErrorKind::NoLeader
            | ErrorKind::NoPathToDatacenter
            | ErrorKind::Refused
            | ErrorKind::Internal => Self::refused(error.text),
        }
    }
}

impl From<AgentError> for HttpError {
    fn from(error: AgentError) -> Self {
        match error {
            AgentError::Invalid(text) => Self::bad_request(text),
            AgentError::NotFound(text) => Self::not_found(text),
            AgentError::Endpoint(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_status() {
        for (kind, status, text) in [
            (ErrorKind::BadRequest, 400, "Bad request: why"),
            (ErrorKind::PermissionDenied, 403, "why"),
            (ErrorKind::RateLimited, 429, ""),
            (ErrorKind::NotFound, 404, "why"),
            (ErrorKind::NoLeader, 500, "why"),
            (ErrorKind::NoPathToDatacenter, 500, "why"),
            (ErrorKind::Refused, 500, "why"),
            (ErrorKind::Internal, 500, "why"),
        ] {
            let error = HttpError::from(EndpointError::new(kind, "why"));
            assert_eq!((error.status(), error.text()), (status, text), "{kind:?}");
        }
        assert_eq!(HttpError::from(AgentError::Invalid("x".into())).status(), 400);
        assert_eq!(HttpError::from(AgentError::NotFound("x".into())).status(), 404);
    }
}
