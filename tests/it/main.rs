//! Tests that show the simulator right: exact answers, independent recomputation, relations between runs, behaviour of
//! the buses, and the rules of the source itself. One binary, so that the library is linked once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod closed_forms;
mod exact;
mod floating_point;
mod kafka;
mod layers;
mod metamorphic;
mod recompute;
mod support;
