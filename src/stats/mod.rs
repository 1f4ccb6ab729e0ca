//! Measures of samples: histograms, time series, confidence intervals.

pub mod confidence;
mod histogram;

pub use histogram::Histogram;
