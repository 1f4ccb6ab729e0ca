//! edasim simulates event-driven architectures: producers, partitioned buses, consumer groups, and their faults.
//!
//! A scenario file becomes a [`plan::Plan`], a plan with a seed becomes an [`outcome::Outcome`], many outcomes become
//! a [`summary::Summary`], and a summary becomes text, JSON and pictures:
//!
//! ```text
//! YAML --scenario--> Plan --engine--> Outcome --experiment--> Summary --report--> text, JSON, SVG
//! ```
//!
//! Nobody imports backwards: `engine` never sees a file or the wall clock, `report` never sees the engine.

pub mod cli;
pub mod dist;
pub mod engine;
pub mod estimate;
pub mod experiment;
pub mod math;
pub mod metrics;
pub mod outcome;
pub mod partition;
pub mod plan;
pub mod profile;
pub mod random;
pub mod report;
pub mod scenario;
pub mod stats;
pub mod summary;
pub mod time;
pub mod units;
