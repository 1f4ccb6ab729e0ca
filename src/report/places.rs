//! What the formats for other tools have in common: claims in words, and what has become worse.

use super::contrast;
use super::show;
use crate::summary::{Judged, Summary, Verdict, Worse};

/// One design with its name; that of the scenario where there is only one.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// Name of the design.
    pub name: &'a str,
    /// Its result.
    pub summary: &'a Summary,
}

/// The claims of one design with its name.
#[derive(Clone, Copy, Debug)]
pub struct Claims<'a> {
    /// Name of the design.
    pub name: &'a str,
    /// Its claims.
    pub judged: &'a [Judged],
}

impl<'a> Named<'a> {
    /// Its claims.
    #[must_use]
    pub fn claims(&self) -> Claims<'a> {
        Claims { name: self.name, judged: &self.summary.expectations }
    }
}

/// `fails`, `is undecided` or `holds`.
pub(super) fn verb(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::Fails => "fails",
        Verdict::Undecided => "is undecided",
    }
}

/// The claim, what became of it, and its value: `email.latency.p99 < 2s fails: 2.31s [2.20s, 2.42s]`.
pub(super) fn in_words(judged: &Judged) -> String {
    format!("{} {}: {}", judged.text, verb(judged.verdict), super::text::value_in_words(judged))
}

/// What has become worse: `email.latency.p99 is 2.31s [2.20s, 2.42s], was 1.80s [1.75s, 1.85s]`.
pub(super) fn worse_in_words(worse: &Worse) -> String {
    let design = if worse.design.is_empty() { String::new() } else { format!("{}: ", worse.design) };
    format!("{design}{} is {}, was {}", worse.name, now(worse), before(worse))
}

/// The value now, with its interval.
pub(super) fn now(worse: &Worse) -> String {
    figure(worse, worse.is, worse.is_interval)
}

/// The earlier value, with its interval.
pub(super) fn before(worse: &Worse) -> String {
    figure(worse, worse.was, worse.was_interval)
}

fn figure(worse: &Worse, value: f64, interval: Option<(f64, f64)>) -> String {
    let written = |value: f64| match worse.unit {
        _ if value.is_infinite() => "not drained".to_owned(),
        Some(unit) => contrast::value(unit, value),
        None => super::text::unit_of(&worse.name)(value),
    };
    match interval {
        Some(interval) => written(value) + &show::ends(interval, written),
        None => format!("{} (worst run)", written(value)),
    }
}

/// `10 runs of 2h virtual time, seed 42`.
pub(super) fn runs(summary: &Summary) -> String {
    let runs = if summary.replications == 1 { "1 run".into() } else { format!("{} runs", summary.replications) };
    format!("{runs} of {} virtual time, seed {}", show::span(summary.duration), summary.seed)
}
