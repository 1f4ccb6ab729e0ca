//! What a topic deletes, and when: from its settings, where that can happen within a run.

use super::diagnostics::Diagnostic;
use super::reader::Reader;
use super::settings::Values;
use crate::plan::RetentionPlan;
use crate::profile::{Discipline, Scope};
use crate::time::SimSpan;

/// How long a topic keeps its records; none where nothing goes in the time of a run.
pub(super) fn read(
    reader: &mut Reader,
    values: &Values<'_>,
    discipline: Discipline,
    path: &str,
) -> Option<RetentionPlan> {
    let official = |neutral| values.profile.official(Scope::Topic, neutral);
    let bytes = Some(values.limit("retention_bytes")).filter(|bytes| *bytes < u64::MAX);
    let time = values.span("retention");
    let acts = time < reader.duration && reader.duration < SimSpan::FOREVER;
    let built = discipline == Discipline::Log && values.has("segment_bytes");
    if let Some(place) = values.place("retention") {
        if acts && !built {
            reader.not_yet(place, "retention that is shorter than the run");
        } else if !acts {
            reader.without_effect(path, official("retention"), "it is longer than the run");
        }
    }
    if !built || !acts && bytes.is_none() {
        for name in ["segment_bytes", "segment_age"].into_iter().filter(|name| values.place(name).is_some()) {
            reader.without_effect(path, official(name), "nothing is deleted within the run");
        }
        return None;
    }
    for name in ["segment_bytes", "segment_age", "retention_check"] {
        let zero = values.count(name) == 0 && values.span(name) == SimSpan::ZERO;
        if let Some(place) = values.place(name).filter(|_| zero) {
            let scope = if name == "retention_check" { Scope::Bus } else { Scope::Topic };
            let name = values.profile.official(scope, name);
            reader.error(Diagnostic::at(place, format!("`{name}` must be above zero")));
        }
    }
    Some(RetentionPlan {
        time,
        bytes,
        segment_bytes: values.count("segment_bytes"),
        segment_age: values.span("segment_age"),
        check: values.span("retention_check"),
    })
}
