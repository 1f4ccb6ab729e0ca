//! The document of a search: the answer, what it rests on, and every design that was simulated; and a finding by itself.

use serde_json::{Value, json};

use super::{judged, warning, with_digest};
use crate::summary::{Finding, Judged, Knob, Order, Probe, Sizing, Verdict, Warning, interval_in};

/// The document of a search.
#[must_use]
pub fn sizing(sizing: &Sizing) -> String {
    with_digest(|digest| build(sizing, digest))
}

fn build(sizing: &Sizing, digest: Option<&str>) -> Value {
    let mut document = json!({
        "schema": "edasim.size/1",
        "version": env!("CARGO_PKG_VERSION"),
        "scenario": sizing.scenario,
        "seed": sizing.seed,
        "replications": sizing.replications,
        "max_replications": sizing.max_replications,
        "duration": sizing.duration.seconds(),
        "confidence": 0.95,
        "confidence_of_a_look": (sizing.level * 1e9).round() / 1e9,
    });
    if let Some(digest) = digest {
        document["digest"] = digest.into();
    }
    let at = |index: &usize| Value::from(sizing.values(&sizing.probes[*index]));
    let objectives = sizing.probes.first().map_or(&[][..], |probe| &probe.found.judged);
    document["knobs"] = sizing.knobs.iter().map(knob).collect();
    document["objectives"] = objectives.iter().map(|judged| judged.text.as_str()).collect();
    document["result"] = match sizing.verdict() {
        Verdict::Holds => "found",
        Verdict::Fails => "none",
        Verdict::Undecided => "undecided",
    }
    .into();
    document["design"] = sizing.answer.as_ref().map_or(Value::Null, |index| of_probe(sizing, &sizing.probes[*index]));
    document["closest"] = sizing.closest.as_ref().map_or(Value::Null, at);
    document["smaller"] = sizing.smaller.iter().map(|step| at(&step.probe)).collect();
    document["rests_on"] = sizing.rests_on.iter().map(at).collect();
    let reversal = sizing
        .reversals
        .iter()
        .map(|it| json!({ "less": at(&it.less), "more": at(&it.more), "objective": objectives[it.objective].text }));
    document["reversals"] = reversal.collect();
    document["warnings"] = sizing.shown().map_or(&[][..], |probe| &probe.found.warnings).iter().map(warning).collect();
    document["designs"] = sizing.probes.iter().map(|probe| of_probe(sizing, probe)).collect();
    document
}

fn knob(knob: &Knob) -> Value {
    let order = match knob.order {
        Order::Assumed => "assumed",
        Order::Unknown => "unknown",
        Order::Refuted => "refuted",
    };
    // Not the values themselves: there may be thousands.
    json!({
        "path": knob.path,
        "least": knob.values.first(),
        "most": knob.values.last(),
        "values": knob.values.len(),
        "cost": knob.cost,
        "order": order,
        "present": knob.present,
    })
}

fn of_probe(sizing: &Sizing, probe: &Probe) -> Value {
    let mut codes: Vec<&str> = probe.found.warnings.iter().map(|warning| warning.code).collect();
    codes.sort_unstable();
    codes.dedup();
    json!({
        "at": sizing.values(probe),
        "cost": probe.cost,
        "replications": probe.found.replications,
        "verdict": probe.found.verdict().word(),
        "expect": probe.found.judged.iter().map(judged).collect::<Vec<_>>(),
        "warnings": codes,
    })
}

/// A finding by itself.
#[must_use]
pub fn finding(finding: &Finding) -> Value {
    let claim = |claim: &Judged| {
        let mut entry = judged(claim);
        entry["unfinished"] = claim.unfinished.into();
        entry
    };
    debug_assert!(finding.warnings.iter().all(|it| Warning::known(it.code).is_some()), "a code is not in the list");
    json!({
        "replications": finding.replications,
        "expect": finding.judged.iter().map(claim).collect::<Vec<_>>(),
        "warnings": finding.warnings.iter().map(warning).collect::<Vec<_>>(),
    })
}

/// The finding that [`finding`] wrote, about what is `expected`.
#[must_use]
pub fn read_finding(node: &Value, expected: &[Judged]) -> Option<Finding> {
    let claims = node.get("expect")?.as_array()?;
    let judged = expected.iter().zip(claims).map(|(expected, claim)| read_claim(claim, expected));
    let warnings = node.get("warnings")?.as_array()?.iter().map(read_warning);
    Some(Finding {
        replications: u32::try_from(node.get("replications")?.as_u64()?).ok()?,
        judged: judged.collect::<Option<Vec<_>>>().filter(|judged| judged.len() == claims.len())?,
        warnings: warnings.collect::<Option<_>>()?,
    })
}

fn read_claim(node: &Value, expected: &Judged) -> Option<Judged> {
    let interval = match node.get("interval") {
        None => None,
        Some(pair) => Some(interval_in(pair)?),
    };
    Some(Judged {
        verdict: Verdict::called(node.get("verdict")?.as_str()?)?,
        value: node.get("value")?.as_f64(),
        interval,
        needed: node.get("replications_needed").and_then(Value::as_u64),
        reason: node.get("reason").and_then(Value::as_str).map(str::to_owned),
        unfinished: node.get("unfinished")?.as_bool()?,
        ..expected.clone()
    })
    .filter(|judged| node.get("text").and_then(Value::as_str) == Some(&judged.text))
}

fn read_warning(node: &Value) -> Option<Warning> {
    let text = |key: &str| node.get(key)?.as_str();
    Some(Warning { code: Warning::known(text("code")?)?, about: text("about")?.into(), text: text("text")?.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_document_of_a_search_is_as_it_was() {
        let text = sizing(&sample::sizing(2));
        let digest = |line: &&str| !line.contains("\"digest\"");
        insta::assert_snapshot!(text.lines().filter(digest).map(|line| format!("{line}\n")).collect::<String>());
    }

    #[test]
    fn findings_come_back_as_they_were() {
        for probe in &sample::sizing(2).probes {
            let blank = |judged: &Judged| Judged {
                verdict: Verdict::Undecided,
                value: None,
                interval: None,
                needed: None,
                reason: None,
                unfinished: false,
                ..judged.clone()
            };
            let expected: Vec<Judged> = probe.found.judged.iter().map(blank).collect();
            let text = finding(&probe.found).to_string();
            let node = serde_json::from_str(&text).expect("JSON");
            assert_eq!(read_finding(&node, &expected).as_ref(), Some(&probe.found));
            assert_eq!(read_finding(&node, &expected[1..]), None, "other objectives");
        }
        let mut open = sample::sizing(2).probes[0].found.clone();
        open.judged[0].interval = Some((1.5, f64::INFINITY));
        let node = serde_json::from_str(&finding(&open).to_string()).expect("JSON");
        assert_eq!(read_finding(&node, &open.judged).as_ref(), Some(&open), "without an upper end");
    }
}
