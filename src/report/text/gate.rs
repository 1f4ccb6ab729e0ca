//! What has become worse than an earlier result, as a table.

use super::paint::{Tone, labelled};
use super::table::{Cell, Table, always};
use super::{Style, section};
use crate::report::places::{before, now};
use crate::summary::Gate;

/// The section about a baseline.
#[must_use]
pub fn render(gate: &Gate, style: Style) -> String {
    let better = match gate.better {
        0 => String::new(),
        1 => ", 1 is better".into(),
        better => format!(", {better} are better"),
    };
    let title = format!("Against {}", gate.baseline);
    let missing = match gate.missing.as_slice() {
        [] => String::new(),
        names => labelled("  not in it", Tone::Care, &format!("{}: held against nothing", names.join(", ")), style),
    };
    if gate.worse.is_empty() {
        let text = format!("  none of {} metrics is worse{better}\n{missing}", gate.compared);
        return section(&title, "worse: by more than both 95 % intervals", &text, style);
    }
    let verb = if gate.worse.len() == 1 { "is" } else { "are" };
    let mut out = format!("  {} of {} metrics {verb} worse{better}\n", gate.worse.len(), gate.compared);
    let mut table = Table::new([always("was"), always("is")]);
    for worse in &gate.worse {
        let name =
            if worse.design.is_empty() { worse.name.clone() } else { format!("{}: {}", worse.design, worse.name) };
        table.row(&name, [before(worse).into(), Cell::toned(now(worse), Tone::Bad)]);
    }
    out.push_str(&table.render(style));
    out.push_str(&missing);
    section(&title, "worse: by more than both 95 % intervals", &out, style)
}
