//! The document of a sweep, and single points as they are kept between two sweeps.

use serde_json::{Map, Value, json};

use super::with_digest;
use crate::summary::{Point, Reading, Sweep, Verdict, interval_of};

/// The document of a sweep: `points` in the order of the grid, the last axis varying fastest.
#[must_use]
pub fn sweep(sweep: &Sweep) -> String {
    with_digest(|digest| build(sweep, digest))
}

fn build(sweep: &Sweep, digest: Option<&str>) -> Value {
    let mut document = json!({
        "schema": "edasim.sweep/1",
        "version": env!("CARGO_PKG_VERSION"),
        "scenario": sweep.scenario,
        "seed": sweep.seed,
        "replications": sweep.replications,
        "duration": sweep.duration.seconds(),
    });
    // What points differ in is in their values.
    for path in ["seed", "replications", "duration"].into_iter().filter(|path| sweep.varied(path).is_some()) {
        document[path] = Value::Null;
    }
    if let Some(digest) = digest {
        document["digest"] = digest.into();
    }
    let axes = sweep.axes.iter().map(|axis| json!({ "path": axis.path, "values": axis.values }));
    document["axes"] = axes.collect();
    document["metrics"] = sweep.metrics.iter().map(|metric| metric.path.join(".")).collect();
    let knees =
        sweep.metrics.iter().zip(&sweep.knees).filter_map(|(metric, knee)| Some((metric.path.join("."), (*knee)?)));
    document["knees"] =
        knees.map(|(metric, knee)| (metric, Value::from(sweep.values(knee)))).collect::<Map<_, _>>().into();
    let points = sweep.points.iter().enumerate().map(|(index, found)| {
        let mut entry = json!({ "at": sweep.values(index) });
        let found = point(found);
        for (key, value) in found.as_object().into_iter().flatten() {
            entry[key] = value.clone();
        }
        entry
    });
    document["points"] = points.collect();
    document
}

/// A point by itself.
#[must_use]
pub fn point(point: &Point) -> Value {
    let reading = |reading: &Option<Reading>| match reading {
        None => Value::Null,
        Some(Reading { value, interval: None }) => json!([value]),
        Some(Reading { value, interval: Some((low, high)) }) => json!([value, low, high]),
    };
    json!({
        "readings": point.readings.iter().map(reading).collect::<Vec<_>>(),
        "expect": point.verdict.map(Verdict::word),
        "warnings": point.warnings,
    })
}

/// The point that [`point`] wrote.
#[must_use]
pub fn read_point(node: &Value) -> Option<Point> {
    let reading = |node: &Value| match node.as_array().map(Vec::as_slice) {
        None if node.is_null() => Some(None),
        Some([value]) => Some(Some(Reading { value: value.as_f64()?, interval: None })),
        Some([value, low, high]) => {
            Some(Some(Reading { value: value.as_f64()?, interval: Some(interval_of(low, high)?) }))
        }
        _ => None,
    };
    let verdict = match node.get("expect")? {
        Value::Null => None,
        verdict => Some(Verdict::called(verdict.as_str()?)?),
    };
    let warnings = node.get("warnings")?.as_array()?.iter().map(|code| Some(code.as_str()?.to_owned()));
    Some(Point {
        readings: node.get("readings")?.as_array()?.iter().map(reading).collect::<Option<_>>()?,
        verdict,
        warnings: warnings.collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_come_back_as_they_were() {
        let readings = vec![
            None,
            Some(Reading { value: 0.1 + 0.2, interval: Some((1.0 / 3.0, 123_456.789_012_345_6)) }),
            Some(Reading { value: 5e-324, interval: None }),
        ];
        for verdict in [None, Some(Verdict::Holds), Some(Verdict::Fails), Some(Verdict::Undecided)] {
            let kept = Point { readings: readings.clone(), verdict, warnings: vec!["W001".into()] };
            let text = point(&kept).to_string();
            assert_eq!(read_point(&serde_json::from_str(&text).expect("JSON")), Some(kept));
        }
        assert_eq!(read_point(&json!({ "readings": [[1, 2]], "expect": null, "warnings": [] })), None);
    }
}
