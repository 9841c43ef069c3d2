//! The `raft` crate; see ARCHITECTURE.md.
