//! Clients that people use, against the real binary: what they do for their users must work.
//!
//! Each client comes from its own registry, in the version that its folder pins; what cannot be
//! had here is skipped loudly. The programs beside these files are written as users of the
//! clients write them, and check what they get.

mod haproxy;
mod install;
mod languages;
mod patroni;
mod prometheus;
mod web;
