//! Designs of a search in words: `6 members of email and 24 workers of email`.

use super::places::in_words;
use super::show;
use super::text::unit_of;
use crate::plan::Comparison;
use crate::summary::{Finding, Judged, Knob, Sizing, Verdict};

/// What is counted: the last part of a path, and one of it.
const COUNTED: [(&str, &str); 5] = [
    ("brokers", "broker"),
    ("instances", "instance"),
    ("members", "member"),
    ("partitions", "partition"),
    ("workers", "worker"),
];

/// A design by its values.
pub(super) fn design(sizing: &Sizing, at: &[usize]) -> String {
    listed(&sizing.knobs.iter().zip(at).map(|(knob, at)| part(knob, *at)).collect::<Vec<_>>())
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// What the scenario has, as far as it says so.
pub(super) fn present(sizing: &Sizing) -> Option<String> {
    let parts: Option<Vec<String>> =
        sizing.knobs.iter().map(|knob| Some(valued(knob, knob.present.as_deref()?))).collect();
    parts.map(|parts| listed(&parts)).filter(|parts| !parts.is_empty())
}

/// One value of a knob.
pub(super) fn part(knob: &Knob, at: usize) -> String {
    valued(knob, &knob.values[at])
}

fn valued(knob: &Knob, value: &str) -> String {
    let counted = knob.path.rsplit_once('.').and_then(|(owner, last)| {
        let (many, one) = COUNTED.into_iter().find(|(many, _)| *many == last)?;
        Some(format!("{value} {} of {}", if value == "1" { one } else { many }, owner_of(owner)))
    });
    counted.unwrap_or_else(|| format!("{} = {value}", knob.path))
}

/// One of a knob: `a member of email`.
pub(super) fn one_of(knob: &Knob) -> String {
    let counted = knob.path.rsplit_once('.').and_then(|(owner, last)| {
        let (_, one) = COUNTED.into_iter().find(|(many, _)| *many == last)?;
        Some(format!("{} {one} of {}", if one.starts_with('i') { "an" } else { "a" }, owner_of(owner)))
    });
    counted.unwrap_or_else(|| format!("one of {}", knob.path))
}

/// More or less of a knob, without a number.
pub(super) fn of_knob(knob: &Knob) -> String {
    match knob.path.rsplit_once('.') {
        Some((owner, last)) if COUNTED.iter().any(|(many, _)| *many == last) => {
            format!("{last} of {}", owner_of(owner))
        }
        _ => knob.path.clone(),
    }
}

/// The name of what a path leads to, without the sections on the way.
fn owner_of(path: &str) -> &str {
    for section in [".topics.", ".queues."] {
        if let Some((_, name)) = path.split_once(section).filter(|_| path.starts_with("buses.")) {
            return name;
        }
    }
    path.split_once('.').map_or(path, |(_, name)| name)
}

/// `is enough` or `are enough`.
pub(super) fn enough(sizing: &Sizing, at: &[usize]) -> &'static str {
    match (sizing.knobs.as_slice(), at) {
        ([knob], [at]) if knob.values[*at] == "1" || part(knob, *at).contains(" = ") => "is enough",
        _ => "are enough",
    }
}

/// What a design does not meet, the furthest from its limit first.
pub(super) fn missed(found: &Finding) -> Vec<&Judged> {
    let mut missed: Vec<&Judged> = found.judged.iter().filter(|judged| judged.verdict != Verdict::Holds).collect();
    let rank = |judged: &Judged| (judged.verdict != Verdict::Fails, -judged.excess().unwrap_or(f64::INFINITY));
    missed.sort_by(|a, b| rank(a).0.cmp(&rank(b).0).then(rank(a).1.total_cmp(&rank(b).1)));
    missed
}

/// What a design meets, the closest to its limit first; claims of equality last.
pub(super) fn met(found: &Finding) -> Vec<&Judged> {
    let mut met: Vec<&Judged> = found.judged.iter().filter(|judged| judged.verdict == Verdict::Holds).collect();
    let room = |judged: &Judged| match judged.op {
        Comparison::Equal | Comparison::NotEqual => f64::INFINITY,
        _ => judged.excess().map_or(f64::INFINITY, |excess| -excess),
    };
    met.sort_by(|a, b| room(a).total_cmp(&room(b)));
    met
}

/// What became of a claim, and where it fails by how much:
/// `email.latency.p99 < 2s fails: 4.80s [4.10s, 5.50s], 2.4 times the limit`.
pub(super) fn claim(judged: &Judged) -> String {
    let by = by_how_much(judged).map_or_else(String::new, |by| format!(", {by}"));
    in_words(judged) + &by
}

/// What a design does not meet, in one line: the objective that it is furthest from, and how many others.
pub(super) fn failure(found: &Finding) -> String {
    let missed = missed(found);
    let others = match missed.len() {
        0 => return "every objective holds".into(),
        1 => String::new(),
        more => format!("; {} more {} not hold", more - 1, if more == 2 { "does" } else { "do" }),
    };
    let after = if found.verdict() == Verdict::Undecided { format!(" (after {})", runs(found)) } else { String::new() };
    claim(missed[0]) + &after + &others
}

/// `1 run`, `20 runs`.
pub(super) fn runs(found: &Finding) -> String {
    if found.replications == 1 { "1 run".into() } else { format!("{} runs", found.replications) }
}

/// How far the value of a claim that fails is from its limit.
fn by_how_much(judged: &Judged) -> Option<String> {
    // Of shares the value says it all: a percentage of a percentage misleads.
    let is_share = judged.text.split(" during ").next().is_some_and(|claim| claim.trim_end().ends_with('%'));
    let tells = judged.verdict == Verdict::Fails && judged.limit > 0.0 && !is_share;
    let excess = judged.excess().filter(|_| tells)?;
    let ratio = judged.value? / judged.limit;
    match judged.op {
        Comparison::Less | Comparison::AtMost if ratio >= 2.0 => {
            Some(format!("{} times the limit", show::count_of(ratio)))
        }
        Comparison::Less | Comparison::AtMost => Some(format!("{} above the limit", show::share_of(excess))),
        Comparison::Greater | Comparison::AtLeast => Some(format!("{} below the limit", show::share_of(excess))),
        Comparison::Equal | Comparison::NotEqual => None,
    }
}

/// The verdict of a claim with its value, short: `fails 4.80s \u{b1}700ms`; what holds has no word.
pub(super) fn short(judged: &Judged) -> String {
    match judged.verdict {
        Verdict::Holds => figure(judged),
        Verdict::Fails => format!("fails {}", figure(judged)),
        Verdict::Undecided => format!("open {}", figure(judged)),
    }
}

/// The value of a claim and half its interval: `4.80s \u{b1}700ms`.
pub(super) fn figure(judged: &Judged) -> String {
    let show = unit_of(&judged.text);
    let Some(value) = judged.value else {
        let drained = judged.reason.as_ref().is_none_or(|reason| !reason.starts_with("not drained"));
        return if drained { show::NOTHING.into() } else { "not drained".into() };
    };
    match judged.interval {
        Some((low, high)) if low < high => format!("{} \u{b1}{}", show(value), show((high - low) / 2.0)),
        _ => show(value),
    }
}

/// What a column of a knob's values is called: the last part of its path, and whose it is where that says too little.
pub(super) fn heading(knobs: &[Knob], knob: &Knob) -> String {
    let parts = |knob: &Knob| {
        let (owner, last) = knob.path.rsplit_once('.').unwrap_or(("", &knob.path));
        (owner_of(owner).to_owned(), last.to_owned())
    };
    let (owner, last) = parts(knob);
    let alone = knobs.iter().filter(|other| parts(other).1 == last).count() == 1;
    if alone || owner.is_empty() { last } else { format!("{owner}.{last}") }
}
