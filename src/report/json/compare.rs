//! The document of a comparison: each design's result, and beside it every difference to the base.

use serde_json::{Map, Value, json};

use super::{SECTIONS, digest_without_its_line, document, judged, warning, with_digest};
use crate::report::contrast::sentence;
use crate::summary::{Comparison, Contrast, Design, Relation};

/// The document of a comparison. In `designs` stands what a result document has, without its series; `differences` has
/// the same paths, with the values of both designs at the leaves. Counts in differences are per run.
#[must_use]
pub fn comparison(comparison: &Comparison) -> String {
    with_digest(|digest| build(comparison, digest))
}

fn build(comparison: &Comparison, digest: Option<&str>) -> Value {
    let first = comparison.designs.first();
    let mut document = json!({
        "schema": "edasim.compare/1",
        "version": env!("CARGO_PKG_VERSION"),
        "base": first.map(|design| design.name.as_str()),
        "seed": first.map(|design| design.summary.seed),
        "replications": first.map(|design| design.summary.replications),
        "confidence": comparison.level,
    });
    if let Some(digest) = digest {
        document["digest"] = digest.into();
    }
    document["warnings"] = comparison.warnings.iter().map(warning).collect();
    let named = |design: &Design| (design.name.clone(), of_design(design));
    document["designs"] = comparison.designs.iter().map(named).collect::<Map<_, _>>().into();
    let others = comparison.designs.iter().skip(1).zip(&comparison.contrasts);
    document["differences"] = others
        .map(|(design, contrasts)| (design.name.clone(), tree(&design.name, contrasts)))
        .collect::<Map<_, _>>()
        .into();
    document
}

/// What the result document of a design has, without series.
fn of_design(design: &Design) -> Value {
    let summary = &design.summary;
    let mut result = json!({
        "scenario": summary.scenario,
        "duration": summary.duration.seconds(),
        "result": digest_without_its_line(&document(summary)),
        "warnings": summary.warnings.iter().map(warning).collect::<Vec<_>>(),
    });
    for section in SECTIONS {
        result[section] = summary.metrics.get(section).cloned().map_or_else(|| json!({}), without_series);
    }
    result["ci95"] = summary.ci95.clone();
    result["expect"] = summary.expectations.iter().map(judged).collect();
    result
}

fn without_series(mut section: Value) -> Value {
    if let Value::Object(things) = &mut section {
        for lag in things.values_mut().filter_map(|thing| thing.get_mut("lag")).filter_map(Value::as_object_mut) {
            lag.shift_remove("series");
            lag.shift_remove("partitions");
        }
    }
    section
}

/// Contrasts as a tree by their paths.
fn tree(design: &str, contrasts: &[Contrast]) -> Value {
    let mut root = json!({});
    for contrast in contrasts {
        let node = contrast.path.iter().fold(&mut root, |node, key| &mut node[key.as_str()]);
        *node = leaf(design, contrast);
    }
    root
}

fn leaf(design: &str, contrast: &Contrast) -> Value {
    let verdict = match contrast.relation {
        Relation::Identical => "identical",
        Relation::Lower => "lower",
        Relation::Higher => "higher",
        Relation::Unclear => "unclear",
        Relation::OneRun => "one-run",
        Relation::NoValue => "no-value",
    };
    let mut leaf = json!({ "base": contrast.base, "value": contrast.value, "difference": contrast.difference });
    if let Some((low, high)) = contrast.interval {
        leaf["interval"] = json!([low, high]);
    }
    leaf["of"] = if contrast.by_run { "each run" } else { "all runs" }.into();
    leaf["verdict"] = verdict.into();
    if let Some(needed) = contrast.needed {
        leaf["replications_needed"] = needed.into();
    }
    leaf["text"] = format!("{design}: {}", sentence(contrast)).into();
    leaf
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn differences_stand_at_the_paths_of_the_result() {
        let document: Value = serde_json::from_str(&comparison(&sample::comparison())).expect("valid JSON");
        assert_eq!(document["schema"], "edasim.compare/1");
        let leaf = &document["differences"]["more-members"]["consumers"]["email"]["latency"]["p99"];
        assert_eq!((&leaf["base"], &leaf["value"], &leaf["verdict"]), (&json!(1.41), &json!(1.02), &json!("lower")));
        assert_eq!(leaf["text"], "more-members: email.latency.p99 is 390ms (\u{b1}31.0ms) lower");
        let design = &document["designs"]["as-is"];
        assert_eq!(
            design["consumers"]["email"]["latency"]["p99"],
            sample::summary().metrics["consumers"]["email"]["latency"]["p99"]
        );
        let result: Value = serde_json::from_str(&super::super::document(&sample::summary())).expect("valid JSON");
        assert_eq!(design["result"], result["digest"], "the digest that `run` prints");
    }
}
