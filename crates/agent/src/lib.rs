//! The `agent` crate; see ARCHITECTURE.md.
