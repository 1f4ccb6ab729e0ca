//! Backlog, load, and the publish side.

use serde_json::Value;

use super::paint::Tone;
use super::table::{Cell, Table, always, if_any, if_room};
use super::{Style, section, things};
use crate::report::show;
use crate::summary::Summary;

/// How far each consumer fell behind, and whether it caught up.
pub(super) fn lag(summary: &Summary, style: Style) -> String {
    let mut table = Table::new([
        always("most"),
        always("at"),
        always("oldest"),
        if_room("at"),
        always("at the end"),
        if_any("to retry"),
        always("drained in"),
    ]);
    for consumer in things(summary, "consumers") {
        let time = |path: &[&str]| show::seconds(consumer.number(path));
        let end = consumer.number(&["lag", "end"]);
        let most = consumer.number(&["lag", "max"]);
        if most.is_none() && end.is_none() {
            continue;
        }
        table.row(
            consumer.name,
            [
                Cell::toned(show::count(most), Tone::Strong),
                time(&["lag", "max_at"]).into(),
                time(&["lag", "time", "max"]).into(),
                time(&["lag", "time", "max_at"]).into(),
                show::count(end).into(),
                show::count(consumer.number(&["lag", "retrying", "max"])).into(),
                drained_in(consumer.metrics, summary).into(),
            ],
        );
    }
    let content = if table.speaks() { table.render(style) } else { String::new() };
    section("Lag", "records not settled, and the age of the oldest", &content, style)
}

/// How many members those should have that are autoscaled, and what that costs.
pub(super) fn members(summary: &Summary, style: Style) -> String {
    let mut table = Table::new([
        always("mean"),
        always("most"),
        always("member time"),
        always("steps up"),
        always("down"),
        if_room("rebalances"),
    ]);
    let rounds = |total: f64| total / f64::from(summary.replications.max(1));
    for consumer in things(summary, "consumers") {
        let (Some(up), Some(down)) = (consumer.number(&["scaled", "up"]), consumer.number(&["scaled", "down"])) else {
            continue;
        };
        table.row(
            consumer.name,
            [
                Cell::toned(show::number(consumer.number(&["members", "mean"])), Tone::Strong),
                show::count(consumer.number(&["members", "max"])).into(),
                show::seconds(consumer.number(&["members", "time"])).into(),
                show::number(Some(up)).into(),
                show::number(Some(down)).into(),
                show::number(consumer.number(&["rebalances"]).map(rounds)).into(),
            ],
        );
    }
    let content = if table.speaks() { table.render(style) } else { String::new() };
    section(
        "Autoscaling",
        "members that there should be, and what that costs; all but the most: of a run",
        &content,
        style,
    )
}

/// How long after a fault lag was back; in words where it was not. A time shorter than a step of the sampling says nothing.
pub(super) fn drained_in(metrics: &Value, summary: &Summary) -> String {
    const SAMPLES: f64 = 7_200.0;
    let step = summary.duration.seconds() / SAMPLES;
    let number = |name: &str| metrics.get(name).and_then(Value::as_f64);
    match number("not_drained") {
        Some(occurrences) if occurrences > 0.0 => "not drained".into(),
        _ => show::seconds(number("drain_time").map(|time| if time < step { 0.0 } else { time })),
    }
}

/// How hard each consumer worked.
pub(super) fn load(summary: &Summary, style: Style) -> String {
    let mut table = Table::new([
        always("utilisation"),
        if_any("held"),
        always("offered load"),
        always("throughput"),
        if_room("attempts"),
        if_any("failed"),
        if_any("cut off"),
        if_any("rebalances"),
        if_any("rewinds"),
        if_any("overlaps"),
    ]);
    for consumer in things(summary, "consumers") {
        let number = |name: &str| consumer.number(&[name]);
        let utilisation = number("utilisation");
        // Workers that wait for others are held, too.
        let busy = match number("held").or(utilisation) {
            Some(share) if share >= 0.95 => Tone::Care,
            _ => Tone::Plain,
        };
        let row = [
            Cell::toned(show::share(utilisation), busy),
            show::share(number("held")).into(),
            show::number(number("offered_load")).into(),
            show::rate(number("throughput")).into(),
        ];
        let counts = ["attempts", "failures", "cut_off", "rebalances", "rewinds", "overlap"];
        table.row(consumer.name, row.into_iter().chain(counts.map(|name| show::count(number(name)).into())));
    }
    let content = if table.speaks() { table.render(style) } else { String::new() };
    section("Load", "offered load: work that arrives over what can be done; from 1 on too much", &content, style)
}

/// What the producers saw.
pub(super) fn publishing(summary: &Summary, style: Style) -> String {
    let mut table = Table::new([
        always("created"),
        if_any("handlers failed"),
        if_any("rate"),
        always("mean"),
        if_room("p50"),
        always("p99"),
        always("max"),
        if_any("rejected"),
        if_any("no answer"),
        if_any("under way"),
        if_any("retries"),
        if_any("unpublished"),
        if_any("phantoms"),
        if_any("rows at most"),
        if_any("again"),
    ]);
    let services = things(summary, "services").into_iter().filter(|service| service.map(&["publish"]).is_some());
    for producer in things(summary, "producers").into_iter().chain(services) {
        let time = |name: &str| Cell::from(show::seconds(producer.number(&["publish", "latency", name])));
        let counts = ["rejected", "indeterminate", "publishing", "retries"];
        let row = [
            show::count(producer.number(&["created"])).into(),
            show::count(producer.number(&["failed"])).into(),
            show::rate(producer.number(&["publish", "rate"])).into(),
            time("mean"),
            time("p50"),
            time("p99"),
            time("max"),
        ];
        let counts = counts.map(|name| show::count(producer.number(&["publish", name])).into());
        let bad = |path: &[&str]| match producer.number(path) {
            Some(count) if count > 0.0 => Cell::toned(show::count_of(count), Tone::Bad),
            count => show::count(count).into(),
        };
        let facts = [
            bad(&["unpublished", "total"]),
            bad(&["phantoms"]),
            show::count(producer.number(&["outbox", "rows", "max"])).into(),
            show::count(producer.number(&["outbox", "published_again"])).into(),
        ];
        table.row(producer.name, row.into_iter().chain(counts).chain(facts));
    }
    let content = if table.speaks() { table.render(style) } else { String::new() };
    section("Publishing", "from the intended creation to the acknowledgement", &content, style)
}

/// What the topics stored, and how long their subscribers disagreed.
pub(super) fn topics(summary: &Summary, style: Style) -> String {
    let mut table = Table::new([
        always("partitions"),
        always("stored"),
        if_any("lost"),
        if_room("size"),
        if_any("kept at most"),
        if_any("hottest"),
        if_any("converged p99"),
        if_any("open"),
    ]);
    for topic in things(summary, "topics") {
        let count = |name: &str| Cell::from(show::count(topic.number(&[name])));
        let deletes = topic.map(&["storage"]).is_some_and(|storage| storage.contains_key("bytes_max"));
        let kept = topic.number(&["storage", "max_bytes"]).filter(|_| deletes);
        let hot = topic.number(&["hot_partition", "share"]).filter(|_| topic.number(&["partitions"]) > Some(1.0));
        let hot = match (hot, topic.number(&["hot_partition", "partition"])) {
            (Some(share), Some(partition)) => format!("{} ({partition})", show::share_of(share)),
            (share, _) => show::share(share),
        };
        table.row(
            topic.name,
            [
                count("partitions"),
                count("stored"),
                match topic.number(&["lost"]) {
                    Some(lost) if lost > 0.0 => Cell::toned(show::count_of(lost), Tone::Bad),
                    lost => show::count(lost).into(),
                },
                show::bytes(topic.number(&["bytes"])).into(),
                show::bytes(kept).into(),
                hot.into(),
                show::seconds(topic.number(&["converged", "p99"])).into(),
                count("not_converged"),
            ],
        );
    }
    let content = if table.speaks() { table.render(style) } else { String::new() };
    section("Topics", "converged: every subscription has its effect; open: not all have", &content, style)
}
