//! Questions and answers without sockets: a catalog, a message in, a message out.
//!
//! Answers are read by somebody else's reader, so that both sides of a mistake cannot agree.

mod answers;
mod fixture;
mod lengths;
mod wire;
