//! Tests that show the simulator right: exact answers, independent recomputation, relations between runs, behaviour of
//! the buses, and the rules of the source itself. One binary, so that the library is linked once.

mod closed_forms;
mod exact;
mod recompute;
mod support;
