//! The event layer: members with tags, joining and leaving, user events and queries.
//!
//! | file | subject |
//! | --- | --- |
//! | `message` | what is on the wire |

mod clock;
pub mod message;
