//! Tests that show the simulator right: exact answers, independent recomputation, relations between runs, behaviour of
//! the buses, and the rules of the source itself. One binary, so that the library is linked once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of messages are small and positive"
)]
#![expect(clippy::print_stdout, reason = "what a failing test prints is shown")]
#![expect(clippy::float_cmp, reason = "loads are named by the number written, waits are exactly zero or not")]

mod autoscale;
mod bounds;
mod brokers;
mod callers;
mod causes;
mod clients;
mod closed_forms;
mod compare;
mod deploys;
mod estimates;
mod exact;
mod faults;
mod floating_point;
mod groups;
mod journeys;
mod kafka;
mod layers;
mod liveness;
mod metamorphic;
mod metrics;
mod outbox;
mod publishing;
mod queue;
mod recompute;
mod retention;
mod services;
mod size;
mod struck;
mod support;
mod transactions;
mod warm_up;
