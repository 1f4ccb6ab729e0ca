//! The only door to transcendental functions: the same bits on every machine.

/// Power.
#[must_use]
pub fn pow(a: f64, b: f64) -> f64 { libm::pow(a, b) }
