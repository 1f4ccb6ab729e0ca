//! Measures of samples: histograms, time series, confidence intervals.

pub mod confidence;
mod course;
mod histogram;
pub mod transient;

pub use course::{Course, PARTS, STEPS, Span, Sum};
pub use histogram::Histogram;
