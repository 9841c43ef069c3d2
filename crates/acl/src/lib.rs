//! Rules about who may do what: what a token's policies permit, and who may connect to whom.
//!
//! It decides from what it is given and keeps nothing: tokens, policies and intentions are stored
//! by `state`, callers are found out by the doors.
//!
//! | file | subject |
//! | --- | --- |
//! | `rules` | what a policy says: levels, resources, rules |
//! | `parse`, `translate` | the text of a policy, of today and of old |
//! | `segments` | which rule speaks about a name |
//! | `authorizer` | the decisions that follow from several policies and a default |
//! | `old` | the rules of several policies, for agents of version 1.2 |
//! | `intention` | which intention decides about a connection |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod authorizer;
mod intention;
mod old;
mod parse;
mod rules;
mod segments;
mod translate;

pub use authorizer::{Authorizer, DefaultPolicy};
pub use intention::Decisions;
pub use parse::RulesError;
pub use rules::{Level, Resource, Rule, Rules, Segmented};
pub use translate::translate;
