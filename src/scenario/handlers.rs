//! Handlers: the short keys `service_time` and `publishes`, or the steps of `handler`.

use super::buses::Buses;
use super::diagnostics::{Diagnostic, listed, nearest};
use super::distributions::{self, Of};
use super::keys;
use super::reader::{Choice, Fields, Reader, items};
use super::tree::{Node, Place};
use crate::dist::Dist;
use crate::plan::{FailurePlan, Handler, PublishStep, Step, TopicId};
use crate::units;

/// Steps of the format that this version does not have.
const NOT_YET: [&str; 8] = ["call", "parallel", "hold", "local_commit", "transaction", "await", "saga", "else"];

/// Reads the handler of a producer or consumer; `None` if it has none.
pub(super) fn read(reader: &mut Reader, fields: &mut Fields<'_>, buses: &Buses) -> Option<Handler> {
    let service_time = fields.entry("service_time");
    let publishes = fields.entry("publishes");
    let handler = fields.entry("handler");
    if let (Some(handler), Some(short)) = (handler, service_time.or(publishes)) {
        let message = format!("`{}` is short for a `handler`, and there is one", short.key);
        reader.error(
            Diagnostic::at(short.place, message)
                .context(handler.place, "the handler")
                .help("make it a step of the handler"),
        );
        return None;
    }
    if let Some(handler) = handler {
        reader.explain(&fields.path_of("handler"), handler.value.to_text(), handler.value.place);
        return Some(Handler { steps: steps(reader, &handler.value, buses, 0) });
    }
    if service_time.is_none() && publishes.is_none() {
        return None;
    }
    let mut steps = Vec::new();
    if let Some(entry) = service_time {
        reader.explain(&fields.path_of("service_time"), entry.value.to_text(), entry.value.place);
        steps.extend(distributions::read(reader, &entry.value, Of::Time).map(Step::Work));
    }
    if let Some(entry) = publishes {
        reader.explain(&fields.path_of("publishes"), entry.value.to_text(), entry.value.place);
        for item in items(&entry.value) {
            steps.extend(publish(reader, item, entry.place, buses).map(Step::Publish));
        }
    }
    Some(Handler { steps })
}

fn steps(reader: &mut Reader, node: &Node, buses: &Buses, depth: u32) -> Vec<Step> {
    if depth > 20 {
        reader.error(Diagnostic::at(node.place, "steps are nested too deeply"));
        return Vec::new();
    }
    items(node).iter().filter_map(|item| step(reader, item, buses, depth)).collect()
}

fn step(reader: &mut Reader, node: &Node, buses: &Buses, depth: u32) -> Option<Step> {
    let choice = Choice::of(reader, node, "a step", "work: 5ms")?;
    let (name, place) = choice.name(node);
    if NOT_YET.contains(&name) {
        reader.not_yet(place, &format!("the step `{name}`"));
        return None;
    }
    match choice {
        Choice::Map(entry) if name == "work" => distributions::read(reader, &entry.value, Of::Time).map(Step::Work),
        Choice::Map(entry) if name == "wait" => distributions::read(reader, &entry.value, Of::Time).map(Step::Wait),
        Choice::Map(entry) if name == "publish" => publish(reader, &entry.value, place, buses).map(Step::Publish),
        Choice::Map(entry) if name == "choose" => choose(reader, &entry.value, place, buses, depth),
        _ => {
            let known = ["work", "wait", "publish", "choose"];
            let near = nearest(name, known.into_iter().chain(NOT_YET));
            let help =
                near.map_or_else(|| format!("steps are {}", listed(known)), |near| format!("did you mean `{near}`?"));
            reader.error(Diagnostic::at(place, format!("there is no step `{name}`")).label("unknown step").help(help));
            None
        }
    }
}

fn choose(reader: &mut Reader, node: &Node, place: Place, buses: &Buses, depth: u32) -> Option<Step> {
    let mut branches = Vec::new();
    for item in items(node) {
        let mut fields = Fields::open(reader, item, item.place, "", "a branch")?;
        let weight = fields.required(reader, "weight", "weight: 30%");
        let body = fields.required(reader, "do", "do: [ { work: 5ms } ]");
        fields.finish(reader);
        let weight = reader.quantity(weight?, units::parse_share, "a share")?;
        branches.push((weight, steps(reader, body?, buses, depth + 1)));
    }
    let total: f64 = branches.iter().map(|(weight, _)| weight).sum();
    if branches.is_empty() || (total - 1.0).abs() > 1e-6 {
        let message = format!("the weights of a choice add up to {}, and should to 100%", units::show_share(total));
        reader.error(Diagnostic::at(place, message));
        return None;
    }
    Some(Step::Choose(branches))
}

/// A publish step: a topic, or the long form.
fn publish(reader: &mut Reader, node: &Node, place: Place, buses: &Buses) -> Option<PublishStep> {
    let plain = |to| PublishStep {
        to,
        event_type: None,
        key: None,
        size: None,
        count: Dist::Constant(1.0),
        probability: 1.0,
        wait_for_ack: true,
        otherwise: None,
    };
    if node.text().is_some() {
        return buses.topic(reader, node).map(plain);
    }
    let mut fields = Fields::open(reader, node, place, "publishes", "a publish step")?;
    fields.not_yet(reader, &["else"]);
    let to = fields.required(reader, "to", "to: orders").and_then(|node| buses.topic(reader, node));
    let event_type = fields.get("type").and_then(|node| keys::event_type(reader, node));
    let key = fields.get("key").and_then(|node| keys::read(reader, node));
    let size = fields.get("size").and_then(|node| distributions::read(reader, node, Of::Size));
    let count = fields.get("count").and_then(|node| distributions::read(reader, node, Of::Count));
    let probability = fields.get("probability").and_then(|node| reader.quantity(node, units::parse_share, "a share"));
    let ack = fields.get("ack").and_then(|node| reader.word(node, &[("wait", true), ("ignore", false)]));
    fields.finish(reader);
    Some(PublishStep {
        event_type,
        key,
        size,
        count: count.unwrap_or(Dist::Constant(1.0)),
        probability: probability.unwrap_or(1.0),
        wait_for_ack: ack.unwrap_or(true),
        ..plain(to?)
    })
}

/// The topics that steps publish to, sorted, each once.
pub(super) fn published(steps: &[Step]) -> Vec<TopicId> {
    let mut topics = Vec::new();
    for step in steps {
        match step {
            Step::Publish(publish) => topics.push(publish.to),
            other => topics.extend(other.nested().into_iter().flat_map(published)),
        }
    }
    topics.sort_unstable();
    topics.dedup();
    topics
}

/// `failure`: a share, or shares by kind.
pub(super) fn failure(reader: &mut Reader, fields: &mut Fields<'_>) -> FailurePlan {
    let path = fields.path_of("failure");
    let Some(entry) = fields.entry("failure") else {
        reader.explain_default(&path, "0%", "");
        return FailurePlan::default();
    };
    reader.explain(&path, entry.value.to_text(), entry.value.place);
    if entry.value.text().is_some() {
        let transient = reader.quantity(&entry.value, units::parse_share, "a share").unwrap_or(0.0);
        return FailurePlan { transient, ..FailurePlan::default() };
    }
    let Some(mut kinds) = Fields::open(reader, &entry.value, entry.place, path, "`failure`") else {
        return FailurePlan::default();
    };
    let mut share = |kind| kinds.share(reader, kind).unwrap_or(0.0);
    let failure = FailurePlan {
        transient: share("transient"),
        permanent: share("permanent"),
        hang: share("hang"),
        crash: share("crash"),
    };
    kinds.finish(reader);
    if failure.transient + failure.permanent + failure.hang + failure.crash > 1.0 {
        reader.error(Diagnostic::at(entry.place, "these shares add up to more than 100%"));
    }
    failure
}
