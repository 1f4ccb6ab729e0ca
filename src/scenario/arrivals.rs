//! Arrival processes as written in a scenario.

use super::diagnostics::{Diagnostic, nearest};
use super::reader::{Choice, Reader};
use super::tree::{Node, Place};
use crate::dist::Arrivals;
use crate::units;

/// An arrival process.
pub(super) fn read(reader: &mut Reader, node: &Node) -> Option<Arrivals> {
    let example = "{ poisson: 500/s }";
    let choice = Choice::of(reader, node, "an arrival process", example)?;
    let Choice::Map(entry) = choice else {
        let (name, place) = choice.name(node);
        reader.error(
            Diagnostic::at(place, format!("`{name}` is not an arrival process"))
                .help(format!("write for example `{example}`")),
        );
        return None;
    };
    match entry.key.as_str() {
        "poisson" => rate(reader, &entry.value).map(Arrivals::Poisson),
        other => {
            unknown(reader, other, entry.place);
            None
        }
    }
}

fn unknown(reader: &mut Reader, name: &str, place: Place) {
    let known = ["poisson", "constant", "renewal", "mmpp", "bursts", "curve", "trace", "closed"];
    let near = nearest(name, known)
        .map_or_else(|| "write for example `{ poisson: 500/s }`".into(), |near| format!("did you mean `{near}`?"));
    reader.error(Diagnostic::at(place, format!("there are no arrivals of kind `{name}`")).label("unknown").help(near));
}

/// A rate above zero, per second.
fn rate(reader: &mut Reader, node: &Node) -> Option<f64> {
    let rate = reader.quantity(node, units::parse_rate, "a rate")?;
    if rate > 0.0 {
        return Some(rate);
    }
    reader.error(Diagnostic::at(node.place, "a rate must be above zero").help("leave the producer out instead"));
    None
}
