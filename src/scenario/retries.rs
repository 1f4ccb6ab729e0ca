//! What follows a failed attempt: how often, how long later, and where an event waits for it.

use super::consumers::Kind;
use super::diagnostics::Diagnostic;
use super::distributions::{self, Of};
use super::reader::{Fields, Reader};
use super::settings;
use super::tree::{Node, Place, Value};
use crate::plan::{Backoff, ConsumerPlan, Plan, RetryMode, RetryPlan};
use crate::profile::Discipline;
use crate::time::SimSpan;
use crate::units;

const MODES: [(&str, RetryMode); 3] =
    [("blocking", RetryMode::Blocking), ("requeue", RetryMode::Requeue), ("retry_topic", RetryMode::RetryTopic)];

/// Most retry topics of one topic.
const MOST_TOPICS: usize = 30;

/// Whether a consumer asks for retry topics, before the rest of `retry` is read.
pub(super) fn asks_for_topics(fields: &mut Fields<'_>) -> bool {
    let retry = fields.entry("retry");
    retry.and_then(|entry| entry.value.get("mode")).and_then(Node::text) == Some("retry_topic")
}

/// What retry topics do not go with, and where there are too many.
fn check_topics(reader: &mut Reader, fields: &mut Fields<'_>, retry: &RetryPlan) {
    if retry.mode != RetryMode::RetryTopic {
        return;
    }
    for key in ["batch", "schedule"] {
        if let Some(entry) = fields.entry(key).filter(|entry| entry.value.text() != Some("always")) {
            reader.not_yet(entry.place, &format!("`{key}` with retry topics"));
        }
    }
    let count = retry.retry_topics().last().map_or(0, |last| last + 1);
    if count > MOST_TOPICS {
        let place = fields.entry("retry").map_or(fields.at, |entry| entry.place);
        let message = format!("these waits are of {count} lengths, and each has a retry topic of its own");
        let help = format!("give the back-off a `max`, or fewer attempts: at most {MOST_TOPICS} retry topics");
        reader.error(Diagnostic::at(place, message).help(help));
    }
}

/// Makes the retry topics of all consumers.
pub(super) fn make_topics(reader: &mut Reader, plan: &mut Plan, places: &[Place]) {
    let declared = plan.topics.len();
    plan.add_retry_topics();
    let (old, new) = plan.topics.split_at(declared);
    for topic in new.iter().filter(|topic| old.iter().any(|other| other.name == topic.name)) {
        let of = |consumer: &ConsumerPlan| topic.name.contains(&format!(".{}.retry-", consumer.name));
        let Some(at) = plan.consumers.iter().position(of).map(|at| places[at]) else { continue };
        let message = format!("a topic of this name is made for the retries of this consumer: `{}`", topic.name);
        reader.error(Diagnostic::at(at, message).help("give the declared topic another name"));
    }
}

/// `retry` of a consumer.
pub(super) fn retry(reader: &mut Reader, outer: &mut Fields<'_>, kind: &Kind<'_>) -> RetryPlan {
    let nothing = Node { place: outer.at, value: Value::Null };
    let entry = outer.entry("retry");
    let (node, at) = entry.map_or((&nothing, outer.at), |entry| (&entry.value, entry.place));
    let path = outer.path_of("retry");
    let mut plan = RetryPlan {
        attempts: kind.values.count32("attempts"),
        mode: RetryMode::Blocking,
        backoff: Backoff::Drawn(kind.values.dist("backoff")),
        jitter: 0.0,
    };
    let Some(mut fields) = Fields::open(reader, node, at, path.clone(), "`retry`") else { return plan };
    match fields.get("attempts") {
        Some(node) if node.text() == Some("unlimited") => plan.attempts = u32::MAX,
        Some(_) => plan.attempts = fields.count32(reader, "attempts", 1, 1_000_000).unwrap_or(1),
        None => settings::explain_profile(reader, &format!("{path}.attempts"), kind.profile, "attempts"),
    }
    plan.mode = retry_mode(reader, &mut fields, kind);
    match fields.get("backoff") {
        Some(node) => {
            reader.explain(&format!("{path}.backoff"), node.to_text(), node.place);
            plan.backoff = backoff(reader, node).unwrap_or(plan.backoff);
        }
        None => settings::explain_profile(reader, &format!("{path}.backoff"), kind.profile, "backoff"),
    }
    plan.jitter = jitter(reader, &mut fields);
    fields.finish(reader);
    check_topics(reader, outer, &plan);
    plan
}

/// Share of a wait that is random.
pub(super) fn jitter(reader: &mut Reader, fields: &mut Fields<'_>) -> f64 {
    match fields.get("jitter") {
        None => {
            reader.explain_default(&fields.path_of("jitter"), "none", "");
            0.0
        }
        Some(node) if matches!(node.text(), Some("none" | "full")) => {
            reader.explain(&fields.path_of("jitter"), node.to_text(), node.place);
            if node.text() == Some("full") { 1.0 } else { 0.0 }
        }
        Some(_) => fields.share(reader, "jitter").unwrap_or(0.0),
    }
}

fn retry_mode(reader: &mut Reader, fields: &mut Fields<'_>, kind: &Kind<'_>) -> RetryMode {
    let path = fields.path_of("mode");
    let Some(node) = fields.get("mode") else {
        settings::explain_profile(reader, &path, kind.profile, "retry_mode");
        return if kind.values.word("retry_mode") == "requeue" { RetryMode::Requeue } else { RetryMode::Blocking };
    };
    let (place, modes) = (node.place, &MODES);
    let mode = fields.word(reader, "mode", modes);
    if mode == Some(RetryMode::RetryTopic) && kind.discipline == Discipline::Queue {
        reader.not_yet(place, "retry topics of a queue");
        return RetryMode::Blocking;
    }
    if mode == Some(RetryMode::Requeue) && kind.discipline == Discipline::Log {
        let message =
            format!("a log keeps its order: nothing can go back into a topic of profile {}", kind.profile.name);
        let help = "write `mode: blocking`, or `mode: retry_topic`";
        reader.error(Diagnostic::at(place, message).help(help));
    }
    mode.unwrap_or(RetryMode::Blocking)
}

/// `backoff`: drawn, a list, or growing.
pub(super) fn backoff(reader: &mut Reader, node: &Node) -> Option<Backoff> {
    match &node.value {
        Value::List(steps) => {
            let spans: Vec<SimSpan> =
                steps.iter().filter_map(|step| reader.quantity(step, units::parse_duration, "a duration")).collect();
            if steps.is_empty() {
                reader.error(Diagnostic::at(node.place, "a list of waits has at least one"));
            }
            (!spans.is_empty()).then_some(Backoff::Steps(spans))
        }
        Value::Map(entries) if entries.iter().any(|entry| matches!(entry.key.as_str(), "base" | "factor" | "max")) => {
            let mut fields = Fields::open(reader, node, node.place, "backoff", "`backoff`")?;
            fields.required(reader, "base", "base: 500ms");
            let mut span = |reader: &mut Reader, key| {
                fields.get(key).and_then(|node| reader.quantity(node, units::parse_duration, "a duration"))
            };
            let (base, max) = (span(reader, "base"), span(reader, "max"));
            let factor = fields.get("factor");
            let factor = factor.and_then(|node| reader.quantity(node, units::parse_number, "a number like 2"));
            fields.finish(reader);
            let factor = factor.unwrap_or(2.0);
            if factor < 1.0 {
                reader.error(Diagnostic::at(node.place, "the factor of a back-off is at least 1"));
            }
            Some(Backoff::Exponential { base: base?, factor, max: max.unwrap_or(SimSpan::FOREVER) })
        }
        _ => distributions::read(reader, node, Of::Time).map(Backoff::Drawn),
    }
}
