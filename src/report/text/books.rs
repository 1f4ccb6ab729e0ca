//! Where every event ended, and the three delivery defects: duplicates, losses, disorder.

use serde_json::Value;

use super::paint::{Tone, labelled};
use super::table::{Cell, Table, always, if_any};
use super::{Style, Thing, section, things};
use crate::report::show;
use crate::summary::Summary;

/// The ledger's entries: name in the tree, title. `stored` is left out: it is the sum of those from `effected` on.
const ENTRIES: [(&str, &str); 14] = [
    ("rejected", "rejected"),
    ("indeterminate", "no answer"),
    ("unpublished", "unpublished"),
    ("publishing", "under way"),
    ("effected", "effected"),
    ("filtered", "filtered"),
    ("aborted", "aborted"),
    ("acked_lost", "lost by bus"),
    ("expired", "expired"),
    ("skipped", "skipped"),
    ("discarded", "discarded"),
    ("dead_lettered", "dead letter"),
    ("waiting", "waiting"),
    ("in_flight", "in flight"),
];

/// Where the events ended: the books close.
pub(super) fn ledger(summary: &Summary, style: Style) -> String {
    let mut table = Table::new([always("created")].into_iter().chain(ENTRIES.map(|(name, title)| match name {
        "stored" | "effected" => always(title),
        _ => if_any(title),
    })));
    for consumer in things(summary, "consumers").iter().filter(|consumer| consumer.map(&["ledger"]).is_some()) {
        let entry = |name: &str| consumer.number(&["ledger", name]);
        let cells = ENTRIES.map(|(name, _)| match entry(name) {
            Some(count)
                if count > 0.0
                    && matches!(name, "unpublished" | "acked_lost" | "expired" | "skipped" | "discarded") =>
            {
                Cell::toned(show::count_of(count), Tone::Bad)
            }
            count => show::count(count).into(),
        });
        table.row(consumer.name, [show::count(entry("created")).into()].into_iter().chain(cells));
    }
    let content = if table.speaks() { table.render(style) } else { String::new() };
    let about = match of_all_runs(summary) {
        counts if counts.is_empty() => "the columns add up to created".into(),
        counts => format!("{counts}; they add up to created"),
    };
    section("Where the events ended", &about, &content, style)
}

/// Says that counts are sums, where there is something to add up: what is expected of a count is expected of each run.
fn of_all_runs(summary: &Summary) -> String {
    match summary.replications {
        0 | 1 => String::new(),
        runs => format!("counts of all {runs} runs"),
    }
}

/// Duplicates, losses and disorder; one calm line where there are none.
pub(super) fn defects(summary: &Summary, style: Style) -> String {
    let consumers = things(summary, "consumers");
    if consumers.is_empty() {
        return String::new();
    }
    let mut table = Table::new([
        if_any("copies in log"),
        if_any("redelivered"),
        if_any("suppressed"),
        if_any("effects twice"),
        if_any("dead twice"),
        if_any("lost"),
        if_any("out of order"),
        if_any("share"),
        if_any("extent"),
        if_any("latest"),
    ]);
    consumers.iter().for_each(|consumer| table.row(consumer.name, row(consumer)));
    let notes = |note: fn(&Thing<'_>, Style) -> String| consumers.iter().map(|it| note(it, style)).collect::<String>();
    let missing = notes(not_stored);
    let calm = || match missing.is_empty() {
        true => "  none: nothing delivered twice, lost, or out of order\n".to_owned(),
        false => "  of what was stored nothing was delivered twice, lost, or out of order\n".to_owned(),
    };
    let notes = missing.clone() + &notes(causes) + &notes(anomalies) + &how_to_explain(summary, &consumers, style);
    let content = if table.speaks() { table.render(style) } else { calm() } + &notes;
    section("Duplicates, losses, disorder", &of_all_runs(summary), &content, style)
}

fn row(consumer: &Thing<'_>) -> [Cell; 10] {
    let defect = |path: &[&str]| match consumer.number(path) {
        Some(count) if count > 0.0 => Cell::toned(show::count_of(count), Tone::Bad),
        count => show::count(count).into(),
    };
    [
        show::count(consumer.number(&["duplicates", "log"])).into(),
        show::count(consumer.number(&["duplicates", "deliveries"])).into(),
        show::count(consumer.number(&["duplicates", "suppressed"])).into(),
        defect(&["duplicates", "effects"]),
        defect(&["duplicates", "dead_letters"]),
        defect(&["lost", "total"]),
        show::count(consumer.number(&["order_violations"])).into(),
        show::share(consumer.number(&["reordered", "ratio"])).into(),
        show::count(consumer.number(&["reordered", "extent", "max"])).into(),
        show::seconds(consumer.number(&["reordered", "late_time", "max"])).into(),
    ]
}

/// `email: 12 of 100 never reached its topics: 8 rejected, 4 without an answer`.
fn not_stored(consumer: &Thing<'_>, style: Style) -> String {
    let count = |name: &str| consumer.number(&["ledger", name]).unwrap_or(0.0);
    let (rejected, silent, unpublished) = (count("rejected"), count("indeterminate"), count("unpublished"));
    let never = rejected + silent + unpublished;
    if never <= 0.0 {
        return String::new();
    }
    let [never, all, rejected, silent] = [never, count("created"), rejected, silent].map(show::count_of);
    let unpublished = if unpublished > 0.0 {
        format!(", {} committed and never published", show::count_of(unpublished))
    } else {
        String::new()
    };
    let text = format!(
        "{}: {never} of {all} never reached what it reads: {rejected} rejected, {silent} without an answer{unpublished}",
        consumer.name
    );
    labelled("  not stored", Tone::Bad, &text, style)
}

/// `email: 8 attempts exhausted, first shop#17 at 20.1 s`: by what events were lost, done twice or late.
fn causes(consumer: &Thing<'_>, style: Style) -> String {
    let all = consumer.metrics.get("causes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut out = String::new();
    for (defect, label, tone) in [
        ("lost", "  lost", Tone::Bad),
        ("twice", "  done twice", Tone::Bad),
        ("late", "  out of order", Tone::Quiet),
        ("aborted_read", "  aborted", Tone::Bad),
    ] {
        let of = all.iter().filter(|cause| cause.get("defect").and_then(Value::as_str) == Some(defect));
        let said: Vec<String> = of.filter_map(cause).collect();
        if !said.is_empty() {
            out += &labelled(label, tone, &format!("{}: {}", consumer.name, said.join(", ")), style);
        }
    }
    out
}

/// `8 attempts exhausted (first shop#17 at 20.1 s)`.
fn cause(cause: &Value) -> Option<String> {
    let count = cause.get("count").and_then(Value::as_f64)?;
    let what = in_words(cause.get("cause").and_then(Value::as_str)?);
    let first = cause.get("first").and_then(|first| {
        let at = show::seconds(first.get("at").and_then(Value::as_f64));
        Some(format!(" (first {} at {at})", first.get("event").and_then(Value::as_str)?))
    });
    Some(format!("{} {what}{}", show::count_of(count), first.unwrap_or_default()))
}

/// The command that tells the story of the first event of any that something went wrong with.
fn how_to_explain(summary: &Summary, consumers: &[Thing<'_>], style: Style) -> String {
    let causes = consumers.iter().filter_map(|it| it.metrics.get("causes").and_then(Value::as_array)).flatten();
    let first = causes.filter_map(|cause| cause.get("first").filter(|first| !first.is_null())).next();
    let Some(first) = first else { return String::new() };
    let (Some(event), Some(run)) =
        (first.get("event").and_then(Value::as_str), first.get("run").and_then(Value::as_u64))
    else {
        return String::new();
    };
    let Some(options) = summary.command.strip_prefix("edasim run ") else { return String::new() };
    // To be copied as it is: not broken into lines.
    format!("{}  edasim explain {options} --run {run} --event {event}\n", Tone::Quiet.paint("  explain", style))
}

/// Anomalies of order, and whether this configuration allows them.
fn anomalies(consumer: &Thing<'_>, style: Style) -> String {
    let mut out = String::new();
    for (name, anomaly) in consumer.map(&["anomalies"]).into_iter().flatten() {
        let count = anomaly.get("count").and_then(Value::as_f64).unwrap_or(0.0);
        let allowed = anomaly.get("allowed").and_then(Value::as_bool).unwrap_or(false);
        // Events that merely wait are in the ledger.
        if count <= 0.0 || allowed && name == "unseen" {
            continue;
        }
        let reason = anomaly.get("reason").and_then(Value::as_str).map_or_else(String::new, |why| format!(": {why}"));
        let (label, tone) = if allowed { ("  allowed", Tone::Quiet) } else { ("  NOT ALLOWED", Tone::Bad) };
        let text = format!("{}: {} {}{reason}", consumer.name, show::count_of(count), in_words(name));
        out.push_str(&labelled(label, tone, &text, style));
    }
    out
}

/// A name of the tree for people: `attempts_exhausted` becomes `attempts exhausted`.
fn in_words(name: &str) -> String {
    name.replace('_', " ")
}
