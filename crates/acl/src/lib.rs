//! The `acl` crate; see ARCHITECTURE.md.
