//! Distributions as written in a scenario.

use super::diagnostics::Diagnostic;
use super::reader::{Choice, Reader};
use super::tree::{Node, Value};
use crate::dist::Dist;
use crate::units;

/// What a distribution is of: decides the units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Durations, in ns.
    Time,
    /// Sizes, in bytes.
    Size,
    /// Counts.
    Count,
}

impl Of {
    fn noun(self) -> &'static str {
        match self {
            Self::Time => "a duration",
            Self::Size => "a size",
            Self::Count => "a count",
        }
    }
}

/// One bare quantity, in ns, bytes or things.
fn quantity(reader: &mut Reader, node: &Node, of: Of) -> Option<f64> {
    match of {
        Of::Time => reader.quantity(node, units::parse_duration, of.noun()).map(|span| span.0 as f64),
        Of::Size => reader.quantity(node, units::parse_size, of.noun()).map(|size| size as f64),
        Of::Count => reader.quantity(node, units::parse_count, of.noun()).map(|count| count as f64),
    }
}

/// A distribution, or a bare quantity, which is a constant.
pub(super) fn read(reader: &mut Reader, node: &Node, of: Of) -> Option<Dist> {
    if !matches!(node.value, Value::Map(_)) {
        return quantity(reader, node, of).map(Dist::Constant);
    }
    let choice = Choice::of(reader, node, "a distribution", "{ exponential: 3ms }")?;
    let Choice::Map(entry) = choice else { return None };
    match entry.key.as_str() {
        "exponential" => quantity(reader, &entry.value, of).map(Dist::Exponential),
        "lognormal" => {
            let median = entry.value.get("median").or_else(|| entry.value.get("mean"))?;
            quantity(reader, median, of).map(Dist::Exponential)
        }
        "gamma" => quantity(reader, entry.value.get("mean")?, of).map(Dist::Exponential),
        other => {
            reader.error(Diagnostic::at(entry.place, format!("there is no distribution `{other}`")));
            None
        }
    }
}
