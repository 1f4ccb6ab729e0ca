//! The result document: JSON with keys in the order of the format, the same bytes for the same result.

mod compare;
mod estimates;
mod sizing;
mod sweep;

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use compare::comparison;
pub use sizing::{finding, read_finding, sizing};
pub use sweep::{point, read_point, sweep};

use crate::summary::{Judged, Summary, Warning};

/// Widest line that holds a whole list or map.
const WIDTH: usize = 110;

/// The sections of the document that come from the metrics, in order.
pub(super) const SECTIONS: [&str; 9] =
    ["producers", "topics", "consumers", "services", "resources", "reads", "flows", "faults", "events"];

/// The section that is left out where it is empty.
const OPTIONAL: &str = "resources";

/// The result document of a summary.
///
/// Its `digest` is the SHA-256 of the document without the line of the digest. Times are seconds, sizes bytes, shares 0 to 1.
#[must_use]
pub fn document(summary: &Summary) -> String {
    with_digest(|digest| result(summary, digest))
}

/// The text of a document, which is built first without and then with its digest.
pub(super) fn with_digest(build: impl Fn(Option<&str>) -> Value) -> String {
    let digest = digest_of(&lines(&build(None)));
    lines(&build(Some(&digest)))
}

/// The digest of a text as documents name it.
#[must_use]
pub fn digest_of(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::from("sha256:"), |mut digest, byte| {
        write!(digest, "{byte:02x}").expect("a string takes everything");
        digest
    })
}

/// The digest that a document should have: that of its text without the line that holds it.
#[must_use]
pub fn digest_without_its_line(text: &str) -> String {
    let is_digest = |line: &&str| line.starts_with("  \"digest\": \"sha256:");
    digest_of(&text.lines().filter(|line| !is_digest(line)).map(|line| format!("{line}\n")).collect::<String>())
}

/// A document as text, ending in a line break.
pub(super) fn lines(document: &Value) -> String {
    let mut text = String::new();
    write_lines(&mut text, document, 0);
    text.push('\n');
    text
}

fn result(summary: &Summary, digest: Option<&str>) -> Value {
    let mut document = json!({
        "schema": "edasim.result/1",
        "version": env!("CARGO_PKG_VERSION"),
        "scenario": summary.scenario,
        "seed": summary.seed,
        "replications": summary.replications,
        "duration": summary.duration.seconds(),
    });
    if let Some(found) = &summary.found_warm_up {
        document["warm_up"] = json!({
            "found": summary.warm_up.seconds(),
            "pilots": found.pilots,
            "longest": found.longest,
            "restless": found.restless,
        });
    }
    if let Some(digest) = digest {
        document["digest"] = digest.into();
    }
    // An interrupted experiment is one of fewer runs, to the byte.
    document["warnings"] = summary.warnings.iter().filter(|it| it.code != "W007").map(warning).collect();
    for section in SECTIONS {
        let metrics = summary.metrics.get(section).cloned().unwrap_or_else(|| json!({}));
        if section != OPTIONAL || metrics.as_object().is_some_and(|things| !things.is_empty()) {
            document[section] = metrics;
        }
    }
    document["estimates"] = estimates::section(&summary.estimates);
    document["ci95"] = summary.ci95.clone();
    // Several runs have their intervals from runs.
    if let Some(batches) = &summary.batches {
        document["batches"] = match &batches.none {
            Some(why) => json!({ "none": why }),
            None => batches.counts.clone(),
        };
    }
    document["expect"] = summary.expectations.iter().map(judged).collect();
    document
}

pub(super) fn warning(warning: &Warning) -> Value {
    json!({ "code": warning.code, "about": warning.about, "text": warning.text })
}

pub(super) fn judged(judged: &Judged) -> Value {
    let mut entry = json!({ "text": judged.text, "verdict": judged.verdict.word(), "value": judged.value });
    if let Some((low, high)) = judged.interval {
        entry["interval"] = json!([low, high]);
    }
    if let Some(needed) = judged.needed {
        entry["replications_needed"] = needed.into();
    }
    if let Some(reason) = &judged.reason {
        entry["reason"] = reason.as_str().into();
    }
    entry
}

/// Writes a value over several lines: what fits on one line stands on one, long lists of numbers fill lines. The
/// document itself always has a line for each key, so that the digest is a line of its own.
fn write_lines(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if depth == 0 || !fits(value, out, depth) => {
            let entries = map.iter().map(|(key, value)| (Some(key.as_str()), value));
            write_entries(out, ('{', '}'), entries, depth);
        }
        Value::Array(list) if !fits(value, out, depth) => {
            if list.iter().all(|item| item.is_number() || item.is_null()) {
                write_filled(out, list, depth);
            } else {
                write_entries(out, ('[', ']'), list.iter().map(|value| (None, value)), depth);
            }
        }
        _ => write_compact(out, value),
    }
}

/// Whether a value fits on the line that `out` ends with.
fn fits(value: &Value, out: &str, depth: usize) -> bool {
    let column = if depth == 0 { 0 } else { out.len() - out.rfind('\n').map_or(0, |at| at + 1) };
    let mut compact = String::new();
    write_compact(&mut compact, value);
    column + compact.len() <= WIDTH
}

fn write_entries<'v>(
    out: &mut String,
    (open, close): (char, char),
    entries: impl Iterator<Item = (Option<&'v str>, &'v Value)>,
    depth: usize,
) {
    out.push(open);
    for (i, (key, value)) in entries.enumerate() {
        out.push_str(if i == 0 { "\n" } else { ",\n" });
        indent(out, depth + 1);
        if let Some(key) = key {
            write_text(out, key);
            out.push_str(": ");
        }
        write_lines(out, value, depth + 1);
    }
    out.push('\n');
    indent(out, depth);
    out.push(close);
}

/// A long list of numbers: as many on a line as there is room for.
fn write_filled(out: &mut String, list: &[Value], depth: usize) {
    out.push('[');
    let mut column = usize::MAX;
    for (i, item) in list.iter().enumerate() {
        let mut text = String::new();
        write_compact(&mut text, item);
        if column.saturating_add(text.len() + 2) > WIDTH {
            out.push_str(if i == 0 { "\n" } else { ",\n" });
            indent(out, depth + 1);
            column = 2 * (depth + 1);
        } else {
            out.push_str(", ");
            column += 2;
        }
        column += text.len();
        out.push_str(&text);
    }
    out.push('\n');
    indent(out, depth);
    out.push(']');
}

fn write_compact(out: &mut String, value: &Value) {
    match value {
        Value::Object(map) if map.is_empty() => out.push_str("{}"),
        Value::Object(map) => {
            for (i, (key, value)) in map.iter().enumerate() {
                out.push_str(if i == 0 { "{ " } else { ", " });
                write_text(out, key);
                out.push_str(": ");
                write_compact(out, value);
            }
            out.push_str(" }");
        }
        Value::Array(list) => {
            out.push('[');
            for (i, value) in list.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_compact(out, value);
            }
            out.push(']');
        }
        Value::String(text) => write_text(out, text),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            // The shortest decimal text that reads back as the same number; never with an exponent.
            Some(float) => write!(out, "{float}").expect("a string takes everything"),
            None => write!(out, "{number}").expect("a string takes everything"),
        },
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push_str(&Value::from(text).to_string());
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::Verdict;
    use crate::time::SimSpan;

    fn summary() -> Summary {
        let metrics = json!({
            "consumers": { "b": { "latency": { "p50": 0.000_000_001, "p99": 312.4 }, "series": (0..100).collect::<Vec<_>>() } },
            "topics": {},
            "faults": [{ "name": "lunch", "occurrences": [[1.5, 2.0]] }],
        });
        Summary {
            batches: None,
            found_warm_up: None,
            scenario: "tiny".into(),
            seed: u64::MAX,
            replications: 2,
            replications_asked: 2,
            duration: SimSpan::from_seconds(1800),
            warm_up: SimSpan::ZERO,
            warnings: vec![Warning { code: "W004", about: "experiment".into(), text: "few \"runs\"".into() }],
            metrics,
            ci95: json!({}),
            estimates: Vec::new(),
            expectations: vec![Judged {
                text: "b.latency.p99 < 1s".into(),
                limit: 1.0,
                verdict: Verdict::Fails,
                value: Some(312.4),
                interval: Some((300.0, 320.25)),
                needed: None,
                reason: None,
                unfinished: false,
                place: (1, 1),
                file: "tiny.yaml".into(),
                path: Vec::new(),
                op: crate::plan::Comparison::Less,
                during: false,
            }],
            curves: Vec::new(),
            responses: Vec::new(),
            windows: Vec::new(),
            command: String::new(),
        }
    }

    #[test]
    fn the_document_is_as_it_was() {
        insta::assert_snapshot!(document(&summary()));
    }

    #[test]
    fn the_document_is_json_with_canonical_keys() {
        let value: Value = serde_json::from_str(&document(&summary())).expect("valid JSON");
        let keys = value.as_object().expect("a map").keys().map(String::as_str).collect::<Vec<_>>();
        let head = ["schema", "version", "scenario", "seed", "replications", "duration", "digest", "warnings"];
        let sections = SECTIONS.into_iter().filter(|section| *section != OPTIONAL).collect::<Vec<_>>();
        assert_eq!(keys, [&head[..], &sections[..], &["estimates", "ci95", "expect"][..]].concat());
        assert_eq!(value["seed"], json!(u64::MAX));
        assert_eq!(value["consumers"]["b"]["latency"]["p50"], json!(1e-9));
    }

    #[test]
    fn the_digest_is_that_of_the_document_without_its_line() {
        let document = document(&summary());
        let is_digest = |line: &&str| line.trim_start().starts_with("\"digest\": \"sha256:");
        assert_eq!(
            serde_json::from_str::<Value>(&document).expect("JSON")["digest"],
            digest_without_its_line(&document)
        );
        let digest = document.lines().find(is_digest).expect("a line");
        let rest = document.lines().filter(|line| !is_digest(line)).map(|line| format!("{line}\n")).collect::<String>();
        let expected = Sha256::digest(rest.as_bytes()).iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert!(digest.contains(&expected), "{digest}");
    }

    #[test]
    fn lines_stay_readable() {
        for line in document(&summary()).lines() {
            assert!(line.len() <= 130, "{line}");
        }
    }
}
