//! What another server's refusal means here.
//!
//! An error crosses the wire as a text; each server that passes it on writes `rpc error making
//! call: ` before it. Clients see the text as it came, as they do with the original, and the kind,
//! which decides the HTTP status, is found in it again by the words that have a meaning.

use lictor_types::error::{EndpointError, ErrorKind, text};

use crate::caller::CallFailure;

/// A client agent knows no server.
pub(crate) const NO_SERVERS: &str = "No known Consul servers";
/// A datacenter is known and nobody there can be asked.
pub(crate) const UNREACHABLE: &str = "Remote DC has no server currently reachable";

/// Words with a meaning, and the kind of error that has them.
const MEANINGS: &[(&str, ErrorKind)] = &[
    (text::NO_LEADER, ErrorKind::NoLeader),
    ("Not ready to serve consistent reads", ErrorKind::NoLeader),
    (text::NO_PATH_TO_DATACENTER, ErrorKind::NoPathToDatacenter),
    (UNREACHABLE, ErrorKind::NoPathToDatacenter),
    (text::PERMISSION_DENIED, ErrorKind::PermissionDenied),
    (text::ACL_NOT_FOUND, ErrorKind::PermissionDenied),
    ("rate limit", ErrorKind::RateLimited),
    ("Rate limit", ErrorKind::RateLimited),
    ("Query not found", ErrorKind::NotFound),
];

/// The mark of a malformed request, which the original has no word for: an agent of ours finds it
/// again, and others show it as the part of the text that it is.
const BAD_REQUEST: &str = "Bad request: ";

/// The text that an error crosses the wire as.
pub(crate) fn to_text(error: EndpointError) -> String {
    match error.kind {
        ErrorKind::BadRequest => format!("{BAD_REQUEST}{}", error.text),
        _ => error.text,
    }
}

/// The error that a failed call is here.
pub(crate) fn to_error(failure: &CallFailure) -> EndpointError {
    let shown = failure.to_string();
    let CallFailure::Remote(remote) = failure else {
        return EndpointError::new(ErrorKind::Internal, shown);
    };
    if let Some((_, text)) = remote.split_once(BAD_REQUEST) {
        return EndpointError::bad_request(text);
    }
    let meant = MEANINGS.iter().find(|(words, _)| remote.contains(words));
    EndpointError::new(meant.map_or(ErrorKind::Refused, |(_, kind)| *kind), shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_again_however_often_an_error_was_passed_on() {
        for error in [
            EndpointError::no_leader(),
            EndpointError::no_path_to_datacenter(),
            EndpointError::permission_denied(),
            EndpointError::acl_not_found(),
            EndpointError::new(ErrorKind::NotFound, "Query not found"),
            EndpointError::refused("invalid session \"x\""),
        ] {
            let once = to_error(&CallFailure::Remote(to_text(error.clone())));
            assert_eq!(once.kind, error.kind);
            assert_eq!(once.text, format!("rpc error making call: {}", error.text));
            let twice = to_error(&CallFailure::Remote(to_text(once.clone())));
            assert_eq!(twice.kind, error.kind);
            assert_eq!(twice.text, format!("rpc error making call: {}", once.text));
        }
        let bad = EndpointError::bad_request("no such resource");
        assert_eq!(to_error(&CallFailure::Remote(to_text(bad.clone()))), bad);
        let lost = to_error(&CallFailure::Lost("EOF".to_owned()));
        assert_eq!((lost.kind, &*lost.text), (ErrorKind::Internal, "rpc error making call: EOF"));
    }
}
