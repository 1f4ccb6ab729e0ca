//! The answer of an earlier search: worse is what costs more, while the earlier design is shown to fail.

use serde_json::Value;

use super::bench::Bench;
use crate::cli::exit::Exit;
use crate::cli::gate::{self, Baseline, Kind};
use crate::experiment::{self, Found, Judge as _};
use crate::metrics::Unit;
use crate::plan::Plan;
use crate::summary::{Against, Gate, Knob, Worse};

/// Documents of searches.
pub(super) const SEARCH: Kind = Kind {
    schemas: &["edasim.size/1"],
    name: "document of a search",
    made_by: "edasim size FILE --minimise PATH=VALUES --json > baseline.json",
};

/// # Errors
/// Why an earlier search cannot be held against this one.
pub(super) fn fits(baseline: &Baseline, plan: &Plan, knobs: &[Knob]) -> Result<(), String> {
    let document = &baseline.document;
    gate::is_of(document, plan)?;
    let list = |key: &str| document.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let objectives = experiment::expected(plan);
    let same = |(theirs, ours): (&Value, &str)| theirs.as_str() == Some(ours);
    let theirs = list("objectives");
    if theirs.len() != objectives.len()
        || !theirs.iter().zip(objectives.iter().map(|judged| judged.text.as_str())).all(same)
    {
        return Err("it has other objectives; make it again with these".into());
    }
    let theirs = list("knobs");
    let is_same = |(theirs, ours): (&Value, &Knob)| {
        theirs.get("path").and_then(Value::as_str) == Some(&ours.path)
            && theirs.get("cost").and_then(Value::as_f64).is_some_and(|cost| cost.total_cmp(&ours.cost).is_eq())
    };
    if theirs.len() != knobs.len() || !theirs.iter().zip(knobs).all(is_same) {
        return Err("it minimised something else, or at other costs; make it again".into());
    }
    match document.get("design") {
        None | Some(Value::Null) => Err("it found no design".into()),
        Some(_) if earlier(baseline, knobs).is_none() => {
            Err("its design is not among these: widen the ranges, or make it again".into())
        }
        Some(_) => Ok(()),
    }
}

/// The answer of an earlier search, and what it cost.
fn earlier(baseline: &Baseline, knobs: &[Knob]) -> Option<(Vec<usize>, f64)> {
    let design = baseline.document.get("design")?;
    let values = design.get("at")?.as_array()?;
    let index =
        |(knob, value): (&Knob, &Value)| knob.values.iter().position(|known| Some(known.as_str()) == value.as_str());
    let at = knobs.iter().zip(values).map(index).collect::<Option<Vec<_>>>()?;
    Some((at, design.get("cost")?.as_f64()?))
}

/// Holds the answer against an earlier one; where it is dearer, the earlier one is judged, too.
pub(super) fn against(bench: &mut Bench<'_>, found: &Found, baseline: &Baseline) -> Result<Option<Against>, Exit> {
    let answer = found.answer.map(|index| &found.probes[index]);
    let (Some(answer), Some((at, was))) = (answer, earlier(baseline, bench.knobs)) else { return Ok(None) };
    let known = found.probes.iter().find(|probe| probe.at == at).map(|probe| probe.found.clone());
    let earlier = match known {
        _ if answer.cost <= was => None,
        Some(known) => Some((at, known)),
        None => {
            let found = bench.judge(&at)?;
            Some((at, found))
        }
    };
    Ok(Some(Against { baseline: baseline.file.clone(), was, is: answer.cost, earlier }))
}

/// The same for other tools.
pub(super) fn as_gate(against: &Against) -> Gate {
    let figure = |cost: f64| (cost, Some((cost, cost)));
    let ((was, was_interval), (is, is_interval)) = (figure(against.was), figure(against.is));
    let (name, unit) = ("cost of the smallest design".to_owned(), Some(Unit::Number));
    let worse = Worse { design: String::new(), name, unit, was, was_interval, is, is_interval, place: None };
    Gate {
        baseline: against.baseline.clone(),
        missing: Vec::new(),
        compared: 1,
        better: usize::from(against.is < against.was),
        worse: if against.is_worse() { vec![worse] } else { Vec::new() },
    }
}
