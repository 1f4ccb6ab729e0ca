//! Faults and planned changes: what, when, who was hit, and who did not notice.

use serde_json::Value;

use super::flow::drained_in;
use super::paint::{Tone, labelled};
use super::table::{Cell, Table, always, if_any};
use super::{Style, Thing, section, things};
use crate::outcome::Crowd;
use crate::report::show;
use crate::summary::{Summary, Window, number_at};
use crate::time::SimTime;

/// Every fault with what it did, then the planned changes.
pub(super) fn render(summary: &Summary, style: Style) -> String {
    let faults = summary.metrics.get("faults").and_then(Value::as_array);
    let mut out = String::new();
    for fault in faults.into_iter().flatten() {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&one(fault, summary, style));
    }
    let changes = changes(summary, style);
    if !out.is_empty() && !changes.is_empty() {
        out.push('\n');
    }
    let title = match (out.is_empty(), changes.is_empty()) {
        (_, true) => "Faults",
        (true, false) => "Changes",
        (false, false) => "Faults and changes",
    };
    section(title, "", &(out + &changes), style)
}

/// One fault: when, whom it hit and how, who did not notice.
fn one(fault: &Value, summary: &Summary, style: Style) -> String {
    let name = fault.get("name").and_then(Value::as_str).unwrap_or("fault");
    let mut out = labelled(&format!("  {name}"), Tone::Strong, &when(fault, summary.replications), style);
    let unnoticed = names(fault, "unnoticed");
    let touched = fault.get("touched").and_then(Value::as_object);
    let mut table = Table::new([
        always("lag before"),
        always("peak"),
        always("drained in"),
        if_any("not drained"),
        if_any("redelivered"),
        if_any("suppressed"),
        if_any("effects twice"),
        if_any("dead letters"),
        if_any("lost"),
        if_any("out of order"),
        if_any("copies in log"),
        if_any("not stored"),
    ]);
    for (consumer, hit) in touched.into_iter().flatten().filter(|(consumer, _)| !unnoticed.contains(&consumer.as_str()))
    {
        table.row(&format!("  {consumer}"), row(hit, summary));
    }
    out.push_str(&struck(fault, "members", style));
    out.push_str(&struck(fault, "brokers", style));
    out.push_str(&partitions(fault, ("downtime", "    led by nobody"), summary, style));
    out.push_str(&partitions(fault, ("too_few_in_sync", "    too few in sync"), summary, style));
    let (crowds, publishers) = (crowds(fault, summary, style), publishers(fault, style) + &users(fault, style));
    let out_of_reach = names(fault, "out_of_reach");
    // Where there are no consumers the figures of the services tell.
    let services_tell = !crowds.is_empty() || !publishers.is_empty();
    match (table.speaks(), unnoticed.is_empty() || services_tell) {
        (true, _) => out.push_str(&table.render(style)),
        (false, false) => out.push_str("    nobody noticed\n"),
        (false, true) => {}
    }
    out.push_str(&crowds);
    out.push_str(&publishers);
    out.push_str(&overlaps(fault, style));
    let in_reach: Vec<&str> = unnoticed.into_iter().filter(|name| !out_of_reach.contains(name)).collect();
    let who = match (in_reach.join(", "), out_of_reach.join(", ")) {
        (near, far) if far.is_empty() => near,
        (near, far) if near.is_empty() => format!("{far} (out of reach)"),
        (near, far) => format!("{near}; out of reach: {far}"),
    };
    if !who.is_empty() {
        out.push_str(&labelled("    did not notice", Tone::Quiet, &who, style));
    }
    out
}

/// Which members or brokers it struck, where each time it was one.
fn struck(fault: &Value, parts: &str, style: Style) -> String {
    const SHOWN: usize = 8;
    let whom: Vec<String> =
        fault.get(parts).and_then(Value::as_array).into_iter().flatten().map(Value::to_string).collect();
    let text = match whom.len() {
        0 => return String::new(),
        all if all <= SHOWN => whom.join(", "),
        _ => whom[..SHOWN].join(", ") + ", ...",
    };
    let what = if whom.len() == 1 { parts.trim_end_matches('s') } else { parts };
    labelled(&format!("    struck {what}"), Tone::Quiet, &text, style)
}

/// `orders: 2 partitions, 8.21s, at most 8.94s`: how many a run, how long on average, and the longest of all.
fn partitions(fault: &Value, (key, label): (&str, &str), summary: &Summary, style: Style) -> String {
    let topics = fault.get(key).and_then(Value::as_object);
    let in_words = |(topic, hit): (&String, &Value)| {
        let number = |key: &str| hit.get(key).and_then(Value::as_f64);
        let per_run = number("count").unwrap_or(0.0) / f64::from(summary.replications.max(1));
        let [mean, longest] = ["mean", "longest"].map(|key| show::seconds(number(key)));
        let noun = if per_run > 1.0 { "partitions" } else { "partition" };
        format!("{topic}: {} {noun}, {mean} each, at most {longest}", show::count_of(per_run))
    };
    let all: Vec<String> = topics.into_iter().flatten().map(in_words).collect();
    if all.is_empty() { String::new() } else { labelled(label, Tone::Care, &all.join("; "), style) }
}

/// What producers could not publish.
fn publishers(fault: &Value, style: Style) -> String {
    let producers = fault.get("producers").and_then(Value::as_object);
    let in_words = |(name, counts): (&String, &Value)| {
        let count = |key: &str| counts.get(key).and_then(Value::as_f64).filter(|count| *count > 0.0);
        let rejected = count("rejected").map(|count| format!("{} rejected", show::count_of(count)));
        let silent = count("indeterminate").map(|count| format!("{} without an answer", show::count_of(count)));
        format!("{name}: {}", rejected.into_iter().chain(silent).collect::<Vec<_>>().join(", "))
    };
    let all: Vec<String> = producers.into_iter().flatten().map(in_words).collect();
    if all.is_empty() { String::new() } else { labelled("    publishing", Tone::Bad, &all.join("; "), style) }
}

/// The services at which more waited for a worker than chance explains, or some were refused.
fn crowds(fault: &Value, summary: &Summary, style: Style) -> String {
    let services = fault.get("services").and_then(Value::as_object);
    let mut table = Table::new([
        always("waiting before"),
        always("peak"),
        always("drained in"),
        if_any("not drained"),
        if_any("refused by then"),
    ]);
    for (service, seen) in services.into_iter().flatten() {
        let number = |key: &str| number_at(seen, &["waiting", key]);
        let (before, peak) = (number("before").unwrap_or(0.0), number("peak").unwrap_or(0.0));
        let refused = number("refused").filter(|share| *share > Crowd::REFUSED);
        let usual = number("usual_peak").unwrap_or(0.0);
        if !Crowd::stands_out(usual.max(before), peak) && refused.is_none() {
            continue;
        }
        let not_drained = number("not_drained").filter(|count| *count > 0.0);
        let cells = [
            show::count_of(before).into(),
            Cell::toned(show::count_of(peak), Tone::Strong),
            drained_in(&seen["waiting"], summary).into(),
            not_drained.map_or_else(Cell::default, |count| Cell::toned(show::count_of(count), Tone::Bad)),
            show::share(refused).into(),
        ];
        table.row(&format!("  {service}"), cells);
    }
    if table.speaks() { table.render(style) } else { String::new() }
}

/// What users met who came while it lasted.
fn users(fault: &Value, style: Style) -> String {
    let services = fault.get("services").and_then(Value::as_object);
    let mut out = String::new();
    for (service, seen) in services.into_iter().flatten() {
        let number = |path: &[&str]| number_at(seen, path);
        let Some(arrived) = number(&["users", "arrived"]).filter(|arrived| *arrived > 0.0) else { continue };
        let open = number(&["users", "open"]).unwrap_or(0.0);
        let rest = if open > 0.0 { format!(", {} open", show::count_of(open)) } else { String::new() };
        let p99 =
            number(&["response", "p99"]).map_or_else(String::new, |p99| format!(", p99 {}", show::seconds_of(p99)));
        let answered = show::share(number(&["availability"]));
        let text = format!("{service}: {answered} of {} answered{rest}{p99}", show::count_of(arrived - open));
        out.push_str(&labelled("    users meanwhile", Tone::Quiet, &text, style));
    }
    out
}

/// Which other faults were felt at the same time.
fn overlaps(fault: &Value, style: Style) -> String {
    let consumers = fault.get("overlaps").and_then(Value::as_object);
    let mut out = String::new();
    for (consumer, with) in consumers.into_iter().flatten() {
        let with: Vec<&str> = with.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let text = format!("{consumer}: overlaps with {}; their effects cannot be told apart", with.join(", "));
        out.push_str(&labelled("    together", Tone::Care, &text, style));
    }
    out
}

fn row(hit: &Value, summary: &Summary) -> Vec<Cell> {
    let number = |name: &str| hit.get(name).and_then(Value::as_f64);
    let bad = |name: &str| match number(name) {
        Some(count) if count > 0.0 => Cell::toned(show::count_of(count), Tone::Bad),
        count => show::count(count).into(),
    };
    vec![
        show::count(number("lag_before")).into(),
        Cell::toned(show::count(number("lag_peak")), Tone::Strong),
        drained_in(hit, summary).into(),
        bad("not_drained"),
        show::count(number("redeliveries")).into(),
        show::count(number_at(hit, &["duplicates", "suppressed"])).into(),
        match number_at(hit, &["duplicates", "effects"]) {
            Some(count) if count > 0.0 => Cell::toned(show::count_of(count), Tone::Bad),
            count => show::count(count).into(),
        },
        show::count(number("dead_letters")).into(),
        bad("lost"),
        show::count(number("order_violations")).into(),
        show::count(number_at(hit, &["duplicates", "log"])).into(),
        bad("not_stored"),
    ]
}

/// `30m 00s to 40m 00s`, or how often and when first.
fn when(fault: &Value, runs: u32) -> String {
    let times = fault.get("occurrences").and_then(Value::as_array);
    let span = |pair: &Value| Some((pair.get(0)?.as_f64()?, pair.get(1)?.as_f64()?));
    let first = times.and_then(|times| times.first()).and_then(span);
    let count = fault.get("count").and_then(Value::as_f64).unwrap_or(0.0);
    match first {
        None => "never struck".into(),
        Some((from, to)) => {
            let window = if to > from {
                format!("{} to {}", show::axis_seconds(from), show::axis_seconds(to))
            } else {
                format!("at {}", show::axis_seconds(from))
            };
            let per_run = count / f64::from(runs.max(1));
            if per_run > 1.0 { format!("{} times a run, first {window}", show::count_of(per_run)) } else { window }
        }
    }
}

/// The strings of a list.
fn names<'a>(fault: &'a Value, key: &str) -> Vec<&'a str> {
    fault.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What operators did, and when.
fn changes(summary: &Summary, style: Style) -> String {
    let end = SimTime::ZERO + summary.duration;
    let text = |change: &Window| match (show::axis_seconds(change.from.seconds()), change.to >= end) {
        (from, true) => format!("at {from}"),
        (from, false) => format!("{from} to {}", show::axis_seconds(change.to.seconds())),
    };
    let planned = summary.windows.iter().filter(|window| !window.fault);
    let planned = planned.map(|change| labelled(&format!("  {}", change.name), Tone::Strong, &text(change), style));
    planned.chain(things(summary, "consumers").into_iter().filter_map(|consumer| rollout(&consumer, style))).collect()
}

/// How long the roll-outs of a consumer took, and whom they cut off.
fn rollout(consumer: &Thing<'_>, style: Style) -> Option<String> {
    let count = |name: &str| consumer.number(&["rollout", name]);
    let (done, open) = (count("done")?, count("open")?);
    let mut told = Vec::new();
    if done > 0.0 {
        told.push(format!("rolled out in {}", show::seconds(consumer.number(&["rollout", "time", "max"]))));
    }
    if open > 0.0 {
        told.push(format!("{} not done at the end", show::count(Some(open))));
    }
    if let Some(killed) = count("killed").filter(|killed| *killed > 0.0) {
        told.push(format!("{} killed that had not finished in time", show::count(Some(killed))));
    }
    Some(labelled(&format!("    {}", consumer.name), Tone::Plain, &told.join(", "), style))
}
