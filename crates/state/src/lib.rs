//! The `state` crate; see ARCHITECTURE.md.
