//! `--minimise PATH=VALUES` and `--cost PATH=NUMBER`: what is to be small, and what one of it costs.

use super::vary;
use crate::experiment::{MOST_DESIGNS, numbers, order_of};
use crate::summary::{Axis, Knob};
use crate::units;

/// What an engineer writes who forgets something.
const EXAMPLE: &str = "write for example `--minimise consumers.email.members=1..32`";

/// Paths that are no part of a design.
const NO_DESIGN: [&str; 5] = ["name", "seed", "replications", "duration", "warm_up"];

/// The knobs that the arguments describe.
///
/// # Errors
/// What is wrong, and what to write.
pub(super) fn knobs(minimise: &[String], costs: &[String]) -> Result<Vec<Knob>, String> {
    let mut knobs = minimise.iter().map(|argument| knob(argument)).collect::<Result<Vec<Knob>, _>>()?;
    for (at, knob) in knobs.iter().enumerate() {
        if knobs[..at].iter().any(|other| other.path == knob.path) {
            return Err(format!("`--minimise {}` is given twice", knob.path));
        }
    }
    let mut priced: Vec<&str> = Vec::new();
    for argument in costs {
        let (path, cost) = cost(argument, &knobs)?;
        if priced.contains(&path) {
            return Err(format!("`--cost {path}` is given twice"));
        }
        priced.push(path);
        knobs.iter_mut().filter(|knob| knob.path == path).for_each(|knob| knob.cost = cost);
    }
    let count = knobs.iter().try_fold(1_usize, |count, knob| count.checked_mul(knob.values.len()));
    match count {
        Some(..=MOST_DESIGNS) => Ok(knobs),
        _ => Err(format!(
            "these are more than {} designs, which do not fit into memory\n\
             narrow the ranges, or take larger steps: `PATH=4..64..4`",
            units::show_count(MOST_DESIGNS as f64)
        )),
    }
}

/// One knob, its values in order.
fn knob(argument: &str) -> Result<Knob, String> {
    let written = format!("`--minimise {argument}`");
    if !argument.contains('=') {
        return Err(format!("{written} has no bounds: say what it may be at least and at most\n{EXAMPLE}"));
    }
    let Axis { path, values, .. } = vary::axis("--minimise", argument)?;
    if NO_DESIGN.contains(&path.as_str()) {
        return Err(format!("{written}: `{path}` is no part of the design\n{EXAMPLE}"));
    }
    let Some(numbers) = numbers(&values) else {
        return Err(format!(
            "{written}: these are no numbers of one kind, so that none of them is the smallest\n\
             to try other values, see `edasim sweep --vary`"
        ));
    };
    if let [only] = values.as_slice() {
        return Err(format!(
            "{written} has one value only: say what it may be at least and at most, `{path}=1..{only}`"
        ));
    }
    let mut sorted: Vec<(f64, String)> = numbers.into_iter().zip(values).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0.total_cmp(&pair[1].0).is_eq()) {
        return Err(format!("{written}: `{}` and `{}` are the same value", pair[0].1, pair[1].1));
    }
    let (numbers, values) = sorted.into_iter().unzip();
    Ok(Knob { order: order_of(&path), path, values, numbers, cost: 1.0, present: None })
}

/// The cost of one of a knob.
fn cost<'a>(argument: &'a str, knobs: &[Knob]) -> Result<(&'a str, f64), String> {
    let written = format!("`--cost {argument}`");
    let example = "write for example `--cost consumers.email.members=2.5`";
    let (path, number) = argument.split_once('=').ok_or_else(|| format!("{written} has no `=`\n{example}"))?;
    let path = path.trim();
    if !knobs.iter().any(|knob| knob.path == path) {
        let known: Vec<String> = knobs.iter().map(|knob| format!("`{}`", knob.path)).collect();
        return Err(format!("{written}: `{path}` is not minimised; {} is", known.join(", ")));
    }
    match units::parse_number(number.trim()) {
        Ok(cost) if cost.is_finite() && cost >= 0.0 => Ok((path, cost)),
        _ => Err(format!("{written}: a cost is a number from 0, for one of it (of a time: for a second)\n{example}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(minimise: &[&str], costs: &[&str]) -> Result<Vec<Knob>, String> {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        knobs(&owned(minimise), &owned(costs))
    }

    #[test]
    fn values_are_sorted_and_have_a_cost() {
        let knobs = of(&["a.members=8,2,4", "b.settings.linger.ms=5..15..5"], &["a.members=2.5"]).unwrap();
        assert_eq!(knobs[0].values, ["2", "4", "8"]);
        assert_eq!((knobs[0].numbers.as_slice(), knobs[0].cost), (&[2.0, 4.0, 8.0][..], 2.5));
        assert_eq!((knobs[1].path.as_str(), knobs[1].cost), ("b.settings.linger.ms", 1.0));
        let times = of(&["a.schedule.every=1m,30s"], &[]).unwrap();
        assert_eq!((times[0].values[0].as_str(), times[0].numbers[0]), ("30s", 30.0));
    }

    #[test]
    fn what_is_no_knob_says_why() {
        let members = "a.members=1..4";
        for (minimise, costs, says) in [
            (&["a.members"][..], &[][..], "has no bounds"),
            (&["a.members=1.."], &[], "needs both ends"),
            (&["a.members=4"], &[], "has one value only"),
            (&["a.order=key,none"], &[], "no numbers of one kind"),
            (&["a.members=1,1.0"], &[], "are the same value"),
            (&["seed=1..4"], &[], "no part of the design"),
            (&[members, "a.members=1..8"], &[], "is given twice"),
            (&[members], &["a.workers=2"], "is not minimised; `a.members` is"),
            (&[members], &["a.members=-1"], "a cost is a number"),
            (&[members], &["a.members=1", "a.members=2"], "is given twice"),
            (&[members], &["a.members"], "has no `=`"),
            (&["a.members=1..10000", "b.members=1..10000"], &[], "more than 10.0M designs"),
        ] {
            let error = of(minimise, costs).unwrap_err();
            assert!(error.contains(says), "{minimise:?} {costs:?}: {error}");
        }
    }
}
