//! Estimates beside results, as a section of the result document.

use serde_json::{Map, Value, json};

use crate::summary::{Beside, Figure};

/// `consumers` and `services` by name, `faults` as a list.
pub(super) fn section(all: &[Beside]) -> Value {
    let of = |section: &'static str| all.iter().filter(move |beside| beside.section == section);
    let named = |section| of(section).map(|it| (it.name.clone(), thing(it, Map::new()))).collect::<Map<_, _>>();
    let faults = of("faults").map(|it| {
        let mut head = Map::new();
        head.insert("name".into(), it.name.as_str().into());
        head.insert("at".into(), it.at.as_deref().into());
        thing(it, head)
    });
    json!({ "consumers": named("consumers"), "services": named("services"), "faults": faults.collect::<Vec<_>>() })
}

fn thing(it: &Beside, mut entry: Map<String, Value>) -> Value {
    entry.insert("formula".into(), it.formula.as_str().into());
    entry.insert("accuracy".into(), it.accuracy.into());
    for figure in &it.figures {
        // `latency.p99` stands where it does in the metrics.
        match figure.key.split_once('.') {
            None => drop(entry.insert(figure.key.into(), pair(figure))),
            Some((group, key)) => {
                let group = entry.entry(group).or_insert_with(|| json!({}));
                group[key] = pair(figure);
            }
        }
    }
    if let Some(remark) = &it.remark {
        entry.insert("remark".into(), remark.as_str().into());
    }
    entry.into()
}

fn pair(figure: &Figure) -> Value {
    let mut pair = json!({ "estimate": figure.estimate });
    if let Some(simulated) = figure.simulated {
        pair["simulated"] = simulated.into();
    }
    if let Some((low, high)) = figure.interval {
        pair["interval"] = json!([low, high]);
    }
    pair
}
