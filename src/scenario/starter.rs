//! The scenario that `init` writes.

/// A commented scenario to start from: it loads, runs in seconds and has something to see.
pub const STARTER: &str = include_str!("starter.yaml");
