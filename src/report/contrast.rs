//! A difference between two designs in words, the same in text, JSON and pull requests.

use super::show;
use crate::metrics::Unit;
use crate::summary::{Contrast, Relation};

/// Metrics that people read, by section, in this order; the document has all.
const READ: [(&str, &[&str]); 8] = [
    (
        "consumers",
        &[
            "latency.mean",
            "latency.p50",
            "latency.p90",
            "latency.p99",
            "latency.p99.9",
            "latency.max",
            "path_latency.p99",
            "lag.max",
            "lag.time.max",
            "lag.end",
            "drain_time",
            "utilisation",
            "throughput",
            "duplicates.log",
            "duplicates.deliveries",
            "duplicates.effects",
            "lost.total",
            "order_violations",
            "overlap",
            "ledger.dead_lettered",
            "ledger.waiting",
            "members.time",
            "scaled.up",
            "scaled.down",
        ],
    ),
    (
        "services",
        &[
            "response.mean",
            "response.p50",
            "response.p90",
            "response.p99",
            "response.p99.9",
            "response.max",
            "availability",
            "goodput",
            "utilisation",
            "held",
            "wait.p99",
            "queue.max",
            "users.failed",
            "users.refused",
            "visits.wasted",
            "saga.compensated.share",
            "saga.stuck.share",
        ],
    ),
    ("flows", &["latency.mean", "latency.p50", "latency.p99", "latency.max", "late.share", "stuck.share"]),
    (
        "reads",
        &[
            "stale.probability",
            "visible.p50",
            "visible.p99",
            "visible.max",
            "seen.p50",
            "seen.p99",
            "looks.mean",
            "never",
        ],
    ),
    ("resources", &["wait.mean", "wait.p99", "utilisation", "refused", "timeouts"]),
    (
        "producers",
        &[
            "publish.latency.mean",
            "publish.latency.p99",
            "publish.rejected",
            "publish.indeterminate",
            "publish.retries",
        ],
    ),
    ("topics", &["converged.p99", "hot_partition.share", "not_converged"]),
    ("events", &["converged.mean", "converged.p99", "not_converged"]),
];

/// The few of them that answer most questions.
const FIRST: [&str; 15] = [
    "response.p50",
    "response.p99",
    "availability",
    "stuck.share",
    "stale.probability",
    "latency.p50",
    "latency.p99",
    "lag.max",
    "drain_time",
    "lost.total",
    "duplicates.effects",
    "order_violations",
    "publish.latency.p99",
    "publish.rejected",
    "converged.p99",
];

/// Section, thing (none of `events`) and metric of a contrast.
pub(super) fn parts(contrast: &Contrast) -> (&str, &str, String) {
    match contrast.path.as_slice() {
        [section, keys @ ..] if section == "events" => (section, "events", keys.join(".")),
        [section, thing, keys @ ..] => (section, thing, keys.join(".")),
        _ => ("", "", String::new()),
    }
}

/// Whether people read this metric.
pub(super) fn is_read(contrast: &Contrast) -> bool {
    let (section, _, metric) = parts(contrast);
    let is_outcome = section == "flows" && metric.starts_with("outcomes.") && metric.ends_with(".share");
    is_outcome || READ.iter().any(|(of, metrics)| *of == section && metrics.contains(&metric.as_str()))
}

/// Whether it is one of the few that answer most questions. Of convergence that is the one over all topics.
pub(super) fn is_first(contrast: &Contrast) -> bool {
    let (section, _, metric) = parts(contrast);
    section != "topics" && FIRST.contains(&metric.as_str())
}

/// How much a difference is of the larger value, for the order in which differences are told: those of which one side has no
/// value come last, first of them those where it is known why.
pub(super) fn size(contrast: &Contrast) -> f64 {
    let largest = contrast.base.unwrap_or(0.0).abs().max(contrast.value.unwrap_or(0.0).abs());
    match contrast.difference {
        Some(difference) => difference.abs() / largest,
        None if contrast.reason.is_some() => -1.0,
        None => -2.0,
    }
}

/// A value in its unit.
pub(super) fn value(unit: Unit, value: f64) -> String {
    let show = match unit {
        Unit::Seconds => show::seconds_of,
        Unit::Count => show::count_of,
        Unit::Number => show::number_of,
        Unit::Share => show::share_of,
        Unit::Bytes => show::bytes_of,
        Unit::Rate => show::rate_of,
    };
    if value < 0.0 { format!("-{}", show(-value)) } else { show(value) }
}

/// A difference in its unit, with its sign.
pub(super) fn signed(unit: Unit, difference: f64) -> String {
    let sign = if difference > 0.0 { "+" } else { "" };
    // Shares differ by percentage points.
    sign.to_owned() + &points(unit, &value(unit, difference))
}

fn points(unit: Unit, text: &str) -> String {
    if unit == Unit::Share { text.replace('%', "pp") } else { text.to_owned() }
}

/// Half the interval in its unit: `±6.00ms`.
pub(super) fn half(contrast: &Contrast) -> Option<String> {
    let half = contrast.half()?;
    Some(format!("\u{b1}{}", points(contrast.unit, &value(contrast.unit, half))))
}

/// One word or a few: what can be said.
pub(super) fn word(relation: Relation) -> &'static str {
    match relation {
        Relation::Identical => "identical",
        Relation::Lower => "lower",
        Relation::Higher => "higher",
        Relation::Unclear => "unclear",
        Relation::OneRun => "one run",
        Relation::NoValue => "no value",
    }
}

/// The verdict in plain words: `email.latency.p99 is 212ms (±6.00ms) lower`.
pub(super) fn sentence(contrast: &Contrast) -> String {
    let (name, unit) = (contrast.name(), contrast.unit);
    let per_run = if contrast.count { " per run" } else { "" };
    let size = |difference: f64| points(unit, &value(unit, difference.abs()));
    let half = half(contrast).map_or_else(String::new, |half| format!(" ({half})"));
    let difference = contrast.difference.unwrap_or(0.0);
    let word = if difference < 0.0 { "lower" } else { "higher" };
    match contrast.relation {
        Relation::Identical => format!("{name} is identical"),
        Relation::Lower | Relation::Higher => format!("{name} is {}{half}{per_run} {word}", size(difference)),
        Relation::Unclear if contrast.reason.is_some() => {
            format!("{name}: no difference can be told, {}", contrast.reason.as_deref().unwrap_or_default())
        }
        Relation::Unclear => {
            let needed = contrast.needed.map_or_else(String::new, |needed| {
                format!("; about {needed} runs would show one of {}", size(difference))
            });
            format!("{name}: no difference can be seen{half}{needed}")
        }
        Relation::OneRun => format!("{name} is {}{per_run} {word} in the only run", size(difference)),
        Relation::NoValue => {
            let nothing = || if contrast.base.is_none() { "the base has no value" } else { "this design has no value" };
            format!("{name}: {}", contrast.reason.as_deref().unwrap_or_else(nothing))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contrast(relation: Relation, unit: Unit, difference: f64, half: f64) -> Contrast {
        Contrast {
            path: ["consumers", "email", "latency", "p99"].map(String::from).into(),
            unit,
            by_run: false,
            count: unit == Unit::Count,
            base: Some(1.0),
            value: Some(1.0 + difference),
            difference: Some(difference),
            interval: Some((difference - half, difference + half)),
            relation,
            needed: None,
            reason: None,
        }
    }

    #[test]
    fn verdicts_in_plain_words() {
        let mut open = contrast(Relation::Unclear, Unit::Seconds, 0.001, 0.003);
        open.needed = Some(90);
        let mut endless = contrast(Relation::NoValue, Unit::Seconds, 0.0, 0.0);
        endless.reason = Some("the base does not drain in 2 of 5 runs".into());
        for (contrast, text) in [
            (
                contrast(Relation::Lower, Unit::Seconds, -0.212, 0.006),
                "email.latency.p99 is 212ms (\u{b1}6.00ms) lower",
            ),
            (contrast(Relation::Higher, Unit::Count, 12.0, 2.5), "email.latency.p99 is 12 (\u{b1}2.50) per run higher"),
            (contrast(Relation::Higher, Unit::Share, 0.02, 0.0), "email.latency.p99 is 2pp (\u{b1}0pp) higher"),
            (
                open,
                "email.latency.p99: no difference can be seen (\u{b1}3.00ms); about 90 runs would show one of 1.00ms",
            ),
            (contrast(Relation::Identical, Unit::Seconds, 0.0, 0.0), "email.latency.p99 is identical"),
            (contrast(Relation::OneRun, Unit::Seconds, 0.5, 0.0), "email.latency.p99 is 500ms higher in the only run"),
            (endless, "email.latency.p99: the base does not drain in 2 of 5 runs"),
        ] {
            assert_eq!(sentence(&contrast), text);
        }
    }

    #[test]
    fn what_people_read_is_measured() {
        for (section, metrics) in READ {
            for metric in metrics {
                assert!(crate::metrics::find(section, metric).is_some(), "{section} {metric}");
            }
        }
        for first in FIRST {
            assert!(READ.iter().any(|(_, metrics)| metrics.contains(&first)), "{first}");
        }
    }
}
