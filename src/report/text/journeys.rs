//! Journeys from end to end, what they end with, and what users see who look for what has become of theirs.

use super::paint::Tone;
use super::services::counted;
use super::table::{Cell, Table, always, if_any, if_room};
use super::{Style, Thing, section, things};
use crate::report::show;
use crate::summary::Summary;

/// Journeys from the arrival until the last part is done, or until the event that ends them.
pub(super) fn flows(summary: &Summary, style: Style) -> String {
    let mut table = Table::new([
        if_room("mean"),
        always("p50"),
        always("p99"),
        if_any("95 %"),
        always("max"),
        always("done"),
        if_any("late"),
        if_any("stuck"),
        if_any("open"),
    ]);
    for flow in things(summary, "flows") {
        let time = |name: &str| Cell::from(show::seconds(flow.number(&["latency", name])));
        table.row(
            flow.name,
            [
                time("mean"),
                time("p50"),
                Cell::toned(show::seconds(flow.number(&["latency", "p99"])), Tone::Strong),
                flow.spread(summary, &["latency", "p99"], show::seconds_of),
                time("max"),
                counted(&flow, &["done"], false),
                counted(&flow, &["late", "count"], false),
                counted(&flow, &["stuck", "count"], true),
                counted(&flow, &["open"], false),
            ],
        );
    }
    section("Flows", "from the intended arrival until all parts are done", &table.content(style), style)
}

/// With which events journeys end.
pub(super) fn outcomes(summary: &Summary, style: Style) -> String {
    let mut table = Table::new([always("ended so"), always("share"), if_any("95 %")]);
    for flow in things(summary, "flows") {
        for (name, _) in flow.map(&["outcomes"]).into_iter().flatten() {
            let share = ["outcomes", name, "share"];
            table.row(
                &format!("{} > {name}", flow.name),
                [
                    counted(&flow, &["outcomes", name, "count"], false),
                    show::share(flow.number(&share)).into(),
                    flow.spread(summary, &share, show::share_of),
                ],
            );
        }
    }
    section("What flows end with", "the first such event that is stored", &table.content(style), style)
}

/// What users see at their first look, and when all is there.
pub(super) fn reads(summary: &Summary, style: Style) -> String {
    let mut table = Table::new([
        always("users"),
        always("stale"),
        if_any("95 %"),
        always("visible p50"),
        always("p99"),
        if_room("max"),
        if_any("seen p50"),
        if_any("seen p99"),
        if_any("looks"),
        if_any("never"),
        if_any("open"),
    ]);
    for read in things(summary, "reads") {
        let time =
            |of: &str, name: &str| Cell::from(read.number(&[of, name]).map(show::seconds_of).unwrap_or_default());
        table.row(
            read.name,
            [
                counted(&read, &["looked"], false),
                Cell::toned(show::share(read.number(&["stale", "probability"])), Tone::Strong),
                read.spread(summary, &["stale", "probability"], show::share_of),
                time("visible", "p50"),
                time("visible", "p99"),
                time("visible", "max"),
                time("seen", "p50"),
                time("seen", "p99"),
                read.number(&["looks", "mean"]).map(show::number_of).unwrap_or_default().into(),
                counted(&read, &["never"], true),
                counted(&read, &["open"], false),
            ],
        );
    }
    let about = "stale: does not see it at the first look; visible: from being told until it is there";
    section("Reads", about, &table.content(style), style)
}

/// The times for which the chance not to see it is shown, and their titles.
const AFTER: [(f64, &str); 8] = [
    (0.0, "at once"),
    (0.001, "1ms"),
    (0.01, "10ms"),
    (0.1, "100ms"),
    (1.0, "1s"),
    (10.0, "10s"),
    (100.0, "100s"),
    (1000.0, "1000s"),
];

/// The chance not to see it, by how long after being told a user looks.
pub(super) fn stale(summary: &Summary, style: Style) -> String {
    let mut table = Table::new(AFTER.map(|(_, title)| if_any(title)));
    for read in things(summary, "reads").iter().filter(|read| read.number(&["visible", "max"]) > Some(0.0)) {
        let points = curve(read);
        table.row(read.name, AFTER.map(|(after, _)| Cell::from(chance(&points, after))));
    }
    section("Chance not to see it yet", "by the time from being told to looking", &table.content(style), style)
}

fn curve(read: &Thing<'_>) -> Vec<(f64, f64)> {
    let curve = read.metrics.pointer("/stale/curve").cloned().unwrap_or_default();
    serde_json::from_value(curve).unwrap_or_default()
}

/// The chance at a time; nothing where it is the same as before.
fn chance(points: &[(f64, f64)], after: f64) -> String {
    let at = |time: f64| points.iter().rev().find(|(at, _)| *at <= time).map(|(_, chance)| *chance);
    let earlier = AFTER.iter().map(|(at, _)| *at).rfind(|at| *at < after).and_then(at);
    at(after).filter(|chance| earlier != Some(*chance)).map(show::share_of).unwrap_or_default()
}
