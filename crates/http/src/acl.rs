//! `/v1/acl`: access control, which is off.
//!
//! An agent that is told to turn it on does not start, so this is all there is to say.

use std::borrow::Cow;

use lictor_types::error::text::ACL_DISABLED;

use crate::answer::Answer;
use crate::door::{Call, Door};
use crate::error::HttpError;

/// What everything about tokens answers while access control is off.
pub(crate) async fn disabled(_: &Door, _: Call<'_>) -> Result<Answer, HttpError> {
    Err(HttpError::new(401, Cow::Borrowed(ACL_DISABLED)))
}
