//! Call steps: whom, how long, how often, and when no more.

use super::diagnostics::Diagnostic;
use super::distributions::{self, Of};
use super::handlers::{Known, otherwise};
use super::reader::{Fields, Reader, items};
use super::retries::{backoff, jitter};
use super::tree::{Node, Place};
use crate::dist::Dist;
use crate::plan::{Backoff, BreakerPlan, CallRetry, CallStep, RetryWhen};
use crate::time::SimSpan;
use crate::units;

/// Why defaults of retries and breakers are what they are.
const AS_RESILIENCE4J: &str = "as Resilience4j has it";

/// A call step: a service, or the long form.
pub(super) fn read(
    reader: &mut Reader,
    node: &Node,
    place: Place,
    known: &Known<'_>,
    path: &str,
    depth: u32,
) -> Option<CallStep> {
    let (mut fields, to) = Fields::short_or_long(reader, (node, place), path, "a call", ("to", "to: payments"))?;
    let to = to.and_then(|node| known.names.service(reader, node));
    fields.explain(reader, &["to"]);
    let timeout = fields.timeout(reader, "a call that gives up after 0s never succeeds");
    let retry = retry(reader, &mut fields);
    let breaker = breaker(reader, &mut fields);
    fields.explain(reader, &["hedge", "else"]);
    let hedge = fields.get("hedge").and_then(|node| distributions::read(reader, node, Of::Time));
    let pool = fields.count32(reader, "pool", 1, 1_000_000);
    let otherwise = otherwise(reader, &mut fields, known, depth);
    fields.finish(reader);
    Some(CallStep { to: to?, timeout, retry, breaker, hedge, pool, otherwise })
}

fn retry(reader: &mut Reader, outer: &mut Fields<'_>) -> CallRetry {
    let mut plan = CallRetry {
        attempts: 1,
        backoff: Backoff::Drawn(Dist::Constant(5e8)),
        jitter: 0.0,
        when: RetryWhen { timeout: true, refused: true, failed: true },
        budget: None,
    };
    let path = outer.path_of("retry");
    let Some(entry) = outer.entry("retry") else {
        reader.explain_default(&format!("{path}.attempts"), "1", "");
        return plan;
    };
    let Some(mut fields) = Fields::open(reader, &entry.value, entry.place, path.clone(), "`retry` of a call") else {
        return plan;
    };
    plan.attempts = fields.count32(reader, "attempts", 1, 1_000).unwrap_or(1);
    if fields.get("attempts").is_none() {
        reader.explain_default(&fields.path_of("attempts"), "1", "");
        reader.notes.push(format!("{path} has no effect: without `attempts` nothing is tried again"));
    }
    match fields.get("backoff") {
        Some(node) => {
            reader.explain(&format!("{path}.backoff"), node.to_text(), node.place);
            plan.backoff = backoff(reader, node).unwrap_or(plan.backoff);
        }
        None => reader.explain_default(&format!("{path}.backoff"), "500ms", AS_RESILIENCE4J),
    }
    plan.jitter = jitter(reader, &mut fields);
    plan.when = when(reader, &mut fields);
    plan.budget = fields.share(reader, "budget");
    if fields.get("budget").is_none() {
        reader.explain_default(&format!("{path}.budget"), "none", "");
    }
    fields.finish(reader);
    plan
}

/// Which failures are tried again: all, unless some are listed.
fn when(reader: &mut Reader, fields: &mut Fields<'_>) -> RetryWhen {
    let all = RetryWhen { timeout: true, refused: true, failed: true };
    let path = fields.path_of("when");
    let Some(node) = fields.get("when") else {
        reader.explain_default(&path, "[timeout, refused, failed]", "");
        return all;
    };
    reader.explain(&path, node.to_text(), node.place);
    let words: Vec<&str> = items(node)
        .iter()
        .filter_map(|item| {
            let words = [("timeout", "timeout"), ("refused", "refused"), ("failed", "failed")];
            reader.word(item, &words)
        })
        .collect();
    if items(node).is_empty() {
        let error = Diagnostic::at(node.place, "nothing is ever tried again");
        reader.error(error.help("leave `retry` out, or list some of `timeout`, `refused` and `failed`"));
    }
    let has = |word| words.contains(&word);
    RetryWhen { timeout: has("timeout"), refused: has("refused"), failed: has("failed") }
}

fn breaker(reader: &mut Reader, outer: &mut Fields<'_>) -> Option<BreakerPlan> {
    let entry = outer.entry("breaker")?;
    let path = outer.path_of("breaker");
    let mut fields = Fields::open(reader, &entry.value, entry.place, path, "`breaker`")?;
    let window = count(reader, &mut fields, "window", 100);
    let written = fields.get("min_calls").is_some();
    let min_calls = count(reader, &mut fields, "min_calls", 100);
    if written && min_calls > window {
        let place = fields.get("min_calls").map_or(entry.place, |node| node.place);
        let message = format!("the breaker looks at {window} calls, and would wait for {min_calls}");
        reader.error(Diagnostic::at(place, message).label("it never opens").help("raise `window`"));
    }
    let plan = BreakerPlan {
        failure_rate: threshold(reader, &mut fields, "failure_rate", 0.5),
        slow_rate: threshold(reader, &mut fields, "slow_rate", 1.0),
        slow: span(reader, &mut fields, "slow"),
        window,
        min_calls: min_calls.min(window),
        open_for: span(reader, &mut fields, "open_for"),
        half_open: count(reader, &mut fields, "half_open", 10),
    };
    fields.finish(reader);
    Some(plan)
}

fn count(reader: &mut Reader, fields: &mut Fields<'_>, key: &'static str, default: u32) -> u32 {
    if fields.get(key).is_none() {
        reader.explain_default(&fields.path_of(key), default.to_string(), AS_RESILIENCE4J);
    }
    fields.count32(reader, key, 1, 1_000_000).unwrap_or(default)
}

/// A share of calls from which a breaker opens.
fn threshold(reader: &mut Reader, fields: &mut Fields<'_>, key: &'static str, default: f64) -> f64 {
    let Some(node) = fields.get(key) else {
        reader.explain_default(&fields.path_of(key), units::show_share(default), AS_RESILIENCE4J);
        return default;
    };
    let share = fields.share(reader, key).unwrap_or(default);
    if share <= 0.0 {
        let error = Diagnostic::at(node.place, format!("`{key}: 0%` opens the breaker although nothing is wrong"));
        reader.error(error.help("it opens at this share or more: write one above zero"));
    }
    share
}

fn span(reader: &mut Reader, fields: &mut Fields<'_>, key: &'static str) -> SimSpan {
    if fields.get(key).is_none() {
        reader.explain_default(&fields.path_of(key), "60s", AS_RESILIENCE4J);
    }
    fields.span(reader, key).unwrap_or(SimSpan::from_seconds(60))
}
