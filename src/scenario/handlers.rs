//! Handlers: the short keys `service_time` and `publishes`, or the steps of `handler`.

use super::buses::Buses;
use super::diagnostics::{Diagnostic, listed, nearest};
use super::distributions::{self, Of};
use super::keys;
use super::names::Names;
use super::reader::{Choice, Fields, Reader, items};
use super::tree::{Node, Place, Value};
use super::{awaits, calls, steps as nesting};
use crate::dist::Dist;
use crate::plan::{FailurePlan, Handler, Otherwise, PublishStep, Step, TopicId};
use crate::units;

/// Steps of every handler.
const STEPS: [&str; 11] =
    ["work", "wait", "publish", "choose", "call", "parallel", "hold", "local_commit", "saga", "await", "transaction"];

/// What the steps of a handler may name.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// Topics and queues.
    pub(super) buses: &'a Buses,
    /// Services and resources.
    pub(super) names: &'a Names,
}

/// Reads the handler of a producer, consumer or service; `None` if it has none.
pub(super) fn read(reader: &mut Reader, fields: &mut Fields<'_>, known: &Known<'_>) -> Option<Handler> {
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
        return Some(Handler { steps: steps(reader, &handler.value, known, &fields.path_of("handler"), 0) });
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
            let path = fields.path_of("publishes");
            steps.extend(publish(reader, item, entry.place, known, &path, 0).map(Step::Publish));
        }
    }
    Some(Handler { steps })
}

/// A list of steps, or one alone. `path` is that of the list.
pub(super) fn steps(reader: &mut Reader, node: &Node, known: &Known<'_>, path: &str, depth: u32) -> Vec<Step> {
    if depth > 20 {
        reader.error(Diagnostic::at(node.place, "steps are nested too deeply"));
        return Vec::new();
    }
    let listed = matches!(node.value, Value::List(_));
    let path_of = |index| if listed { format!("{path}.{index}") } else { path.to_owned() };
    let items = items(node).iter().enumerate();
    items.filter_map(|(index, item)| step(reader, item, known, &path_of(index), depth)).collect()
}

/// One step. `path` is that of the map that holds its name.
pub(super) fn step(reader: &mut Reader, node: &Node, known: &Known<'_>, path: &str, depth: u32) -> Option<Step> {
    let choice = Choice::of(reader, node, "a step", "work: 5ms")?;
    let (name, place) = choice.name(node);
    let Choice::Map(entry) = choice else {
        unknown_step(reader, name, place);
        return None;
    };
    let (node, path) = (&entry.value, &format!("{path}.{name}"));
    match name {
        "work" => distributions::read(reader, node, Of::Time).map(Step::Work),
        "wait" => distributions::read(reader, node, Of::Time).map(Step::Wait),
        "publish" => publish(reader, node, place, known, path, depth).map(Step::Publish),
        "choose" => choose(reader, node, place, known, path, depth),
        "call" => calls::read(reader, node, place, known, path, depth).map(Step::Call),
        "parallel" => nesting::parallel(reader, node, place, known, path, depth),
        "hold" => nesting::hold(reader, node, place, known, path, depth),
        "local_commit" => distributions::read(reader, node, Of::Time).map(Step::Commit),
        "saga" => nesting::saga(reader, node, place, known, path, depth),
        "await" => awaits::read(reader, node, place, known, path, depth).map(Step::Await),
        "transaction" => Some(Step::Transaction(steps(reader, node, known, path, depth + 1))),
        _ => {
            unknown_step(reader, name, place);
            None
        }
    }
}

fn unknown_step(reader: &mut Reader, name: &str, place: Place) {
    let near = nearest(name, STEPS);
    let help = match near {
        Some(near) if near != name => format!("did you mean `{near}`?"),
        _ if name == "else" => "`else` is a key of the step before it: `call: { to: fraud, else: [] }`".into(),
        _ => format!("steps are {}", listed(STEPS)),
    };
    reader.error(Diagnostic::at(place, format!("there is no step `{name}`")).label("unknown step").help(help));
}

/// `else`: what is done in place of a step that has failed.
pub(super) fn otherwise(reader: &mut Reader, fields: &mut Fields<'_>, known: &Known<'_>, depth: u32) -> Otherwise {
    let path = fields.path_of("else");
    fields.get("else").map(|node| steps(reader, node, known, &path, depth + 1))
}

fn choose(reader: &mut Reader, node: &Node, place: Place, known: &Known<'_>, path: &str, depth: u32) -> Option<Step> {
    let mut branches = Vec::new();
    for (index, item) in items(node).iter().enumerate() {
        let mut fields = Fields::open(reader, item, item.place, format!("{path}.{index}"), "a branch")?;
        let weight = fields.required(reader, "weight", "weight: 30%");
        let body = fields.required(reader, "do", "do: [ { work: 5ms } ]");
        let inner = fields.path_of("do");
        fields.finish(reader);
        let weight = reader.quantity(weight?, units::parse_share, "a share")?;
        branches.push((weight, steps(reader, body?, known, &inner, depth + 1)));
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
fn publish(
    reader: &mut Reader,
    node: &Node,
    place: Place,
    known: &Known<'_>,
    path: &str,
    depth: u32,
) -> Option<PublishStep> {
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
        return known.buses.topic(reader, node).map(plain);
    }
    let mut fields = Fields::open(reader, node, place, path, "a publish step")?;
    let to = fields.required(reader, "to", "to: orders").and_then(|node| known.buses.topic(reader, node));
    let event_type = fields.get("type").and_then(|node| keys::event_type(reader, node));
    let key = fields.get("key").and_then(|node| keys::read(reader, node));
    let size = fields.get("size").and_then(|node| distributions::read(reader, node, Of::Size));
    let count = fields.get("count").and_then(|node| distributions::read(reader, node, Of::Count));
    let probability = fields.get("probability").and_then(|node| reader.quantity(node, units::parse_share, "a share"));
    let ack = fields.get("ack").and_then(|node| reader.word(node, &[("wait", true), ("ignore", false)]));
    let place_of_else = fields.entry("else").map(|entry| entry.place);
    if let (Some(false), Some(place)) = (ack, place_of_else) {
        let error = Diagnostic::at(place, "with `ack: ignore` nobody hears that it failed");
        reader.error(error.label("this is never done").help("take one of the two away"));
    }
    let otherwise = otherwise(reader, &mut fields, known, depth);
    fields.finish(reader);
    Some(PublishStep {
        otherwise,
        event_type,
        key,
        size,
        count: count.unwrap_or(Dist::Constant(1.0)),
        probability: probability.unwrap_or(1.0),
        wait_for_ack: ack.unwrap_or(true),
        ..plain(to?)
    })
}

/// The topics that a handler publishes to, sorted, each once.
pub(super) fn published(handler: &Handler) -> Vec<TopicId> {
    let mut topics = Vec::new();
    handler.visit(&mut |step| {
        if let Step::Publish(publish) = step {
            topics.push(publish.to);
        }
    });
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
