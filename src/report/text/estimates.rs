//! What formulas say, and below it what was simulated, where something was; then why they part.

use super::paint::{Tone, wrap};
use super::table::{Cell, Table, always, if_any, text};
use super::{Style, section};
use crate::report::show;
use crate::summary::{Beside, Figure};

/// A load that is so much above another one is told beside it.
const TOLD: f64 = 1.02;

/// The estimates of all consumers and services, what faults leave behind, and the remarks.
#[must_use]
pub fn render(all: &[Beside], style: Style) -> String {
    let (faults, things): (Vec<_>, Vec<_>) = all.iter().partition(|it| it.section == "faults");
    let mut content = queues(&things, style);
    content.push_str(&outages(&faults, style));
    content.push_str(&remarks(all, style));
    let about = if all.iter().any(Beside::is_simulated) {
        "by formula (~ rough); in the line below, as simulated"
    } else {
        "by formula (~ rough), without simulating"
    };
    section("Estimates", about, &content, style)
}

/// What will not keep up, by formula: a sentence for each.
#[must_use]
pub fn overloads(all: &[Beside]) -> Vec<String> {
    let told = |it: &Beside| {
        let estimate = |key: &str| it.figure(key).and_then(|figure| figure.estimate).unwrap_or(0.0);
        let (load, busiest, peak) = (estimate("offered_load"), estimate("busiest"), estimate("peak_load"));
        let asked = |load: f64| format!("is asked for {} of what it can do", show::share_of(load));
        let what = match () {
            () if load >= 1.0 => format!("{}: it never keeps up", asked(load)),
            () if busiest >= 1.0 => {
                let whole = show::share_of(load);
                format!("is {whole} busy, but its busiest part {}: that never keeps up", asked(busiest))
            }
            () if peak >= 1.0 => format!("{} at the peak: it falls behind then", asked(peak)),
            () => return None,
        };
        Some(format!("by formula, {}.{} {what}", it.section, it.name))
    };
    all.iter().filter_map(told).collect()
}

fn queues(things: &[&Beside], style: Style) -> String {
    let mut table = Table::new([
        text("formula"),
        always("load"),
        if_any("busiest"),
        always("wait"),
        if_any("mean"),
        if_any("p99"),
        if_any("peak"),
        if_any("refused"),
        if_any("lag max"),
    ]);
    for it in things {
        table.row(&it.name, [formula(it)].into_iter().chain(cells(it, |figure| figure.estimate, false)));
        if it.is_simulated() {
            let label = Cell::toned("  simulated".into(), Tone::Quiet);
            table.row("", [label].into_iter().chain(cells(it, |figure| figure.simulated, true)));
        }
    }
    if things.is_empty() { String::new() } else { table.render(style) }
}

fn formula(it: &Beside) -> Cell {
    if it.accuracy == "rough" { format!("{} ~", it.formula) } else { it.formula.clone() }.into()
}

/// The figures of a row, from the load on.
fn cells(it: &Beside, read: impl Fn(&Figure) -> Option<f64>, simulated: bool) -> [Cell; 8] {
    let value = |keys: &[&str]| keys.iter().find_map(|key| it.figure(key)).and_then(&read);
    let load = value(&["offered_load"]);
    // Only where it says more than the one before.
    let beyond = |key: &str, than: &str| {
        let other = value(&[key]).filter(|other| value(&[than]).is_none_or(|than| *other > TOLD * than));
        match other {
            _ if simulated => Cell::default(),
            Some(other) if other >= 1.0 => Cell::toned(show::number_of(other), Tone::Bad),
            other => other.map_or_else(Cell::default, |other| show::number_of(other).into()),
        }
    };
    let time = |keys: &[&str]| Cell::from(show::seconds(value(keys)));
    let known = |keys: &[&str]| keys.iter().any(|key| it.figure(key).is_some());
    let or_nothing = |keys: &[&str], cell: Cell| if known(keys) { cell } else { Cell::default() };
    let load_cell = match load {
        Some(load) if load >= 1.0 => Cell::toned(show::number_of(load), Tone::Bad),
        load => show::number(load).into(),
    };
    let (mean, p99) = (&["latency.mean", "response.mean"], &["latency.p99", "response.p99"]);
    [
        load_cell,
        beyond("busiest", "offered_load"),
        time(&["wait"]),
        or_nothing(mean, time(mean)),
        or_nothing(p99, time(p99)),
        beyond("peak_load", "busiest"),
        or_nothing(&["refused"], show::share(value(&["refused"])).into()),
        or_nothing(&["lag.max"], show::count(value(&["lag.max"]).map(f64::round)).into()),
    ]
}

/// What faults leave behind, and how long it takes to work it off.
fn outages(faults: &[&Beside], style: Style) -> String {
    let mut table = Table::new([text(""), always("backlog"), always("drained in"), if_any("refused")]);
    for it in faults {
        let cells = |read: fn(&Figure) -> Option<f64>| {
            let value = |key: &str| it.figure(key).and_then(read);
            let drained = value("drain_time").map_or_else(|| "not".into(), show::seconds_of);
            [Cell::from(show::count(value("backlog"))), drained.into(), show::share(value("refused")).into()]
        };
        let whom = it.at.clone().unwrap_or_default();
        table.row(&it.name, [Cell::from(format!("at {whom}, as a fluid"))].into_iter().chain(cells(|f| f.estimate)));
        if it.is_simulated() {
            let label = Cell::toned("  simulated".into(), Tone::Quiet);
            table.row("", [label].into_iter().chain(cells(|f| f.simulated)));
        }
    }
    if faults.is_empty() { String::new() } else { format!("\n{}", table.render(style)) }
}

/// Why estimates and results part.
fn remarks(all: &[Beside], style: Style) -> String {
    let mut text = String::new();
    for (it, remark) in all.iter().filter_map(|it| Some((it, it.remark.as_ref()?))) {
        let name = it.at.as_ref().map_or_else(|| it.name.clone(), |at| format!("{} at {at}", it.name));
        let lines = wrap(&format!("{name}: {remark}"), style.width.saturating_sub(4));
        for (n, line) in lines.iter().enumerate() {
            let indent = if n == 0 { "  " } else { "    " };
            text.push_str(&format!("{indent}{line}\n"));
        }
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}
