//! Changes that let a consumer read again: what its positions are set back to.

use super::diagnostics::Diagnostic;
use super::faults::{self, Things};
use super::reader::{Choice, Fields, Reader, items};
use super::tree::{Node, Place};
use crate::dist::Dist;
use crate::plan::{ConsumerPlan, Dispatch, Effect, FaultPlan, FaultTarget, Members};
use crate::time::{SimSpan, SimTime};
use crate::units;

/// Whether a change is one of these.
pub(super) fn is_one(change: &Node) -> bool {
    change.get("action").is_some_and(|action| action.get("replay").is_some() || action.text() == Some("replay"))
}

/// Reads those of `changes`. They are followed as faults are: what they do to whom is counted.
pub(super) fn read(reader: &mut Reader, node: &Node, things: &Things<'_>) -> Vec<FaultPlan> {
    let ours = items(node).iter().enumerate().filter(|(_, item)| is_one(item));
    ours.filter_map(|(index, item)| change(reader, item, index, things)).collect()
}

fn change(reader: &mut Reader, node: &Node, index: usize, things: &Things<'_>) -> Option<FaultPlan> {
    let mut fields = Fields::open(reader, node, node.place, format!("changes.{index}"), "a change")?;
    reader.explained.things.push(fields.path.clone());
    fields.explain(reader, &["name", "target", "action"]);
    let name = fields.get("name").and_then(Node::text).map(str::to_owned);
    fields.required(reader, "at", "at: 45m");
    let at = fields.span(reader, "at");
    let at_place = fields.get("at").map_or(node.place, |node| node.place);
    if let Some(lasts) = fields.get("for") {
        let error = Diagnostic::at(lasts.place, "positions are set back once: `for` does not fit a replay");
        reader.error(error.help("leave `for` out; a replay is over when all is read"));
    }
    let target = fields.required(reader, "target", "target: consumers.email");
    let action = fields.required(reader, "action", "action: { replay: { from: 20m } }");
    fields.finish(reader);
    let whom = target.and_then(Node::text).unwrap_or_default().to_owned();
    let from = action.and_then(|node| from(reader, node));
    let found = target.and_then(|node| faults::target_of(reader, node, things));
    let (place, (from, from_place), at) = (target?.place, from?, at?);
    let FaultTarget::Consumer(consumer, Members::All) = found? else {
        let message = format!("`{whom}` has no positions that could be set back");
        reader.error(Diagnostic::at(place, message).help("those of a group can: `target: consumers.NAME`"));
        return None;
    };
    let shown = name.clone().unwrap_or_else(|| match from {
        SimTime(0) => format!("replay {whom}"),
        SimTime(from) => format!("replay {whom} from {}", units::write_duration(SimSpan(from))),
    });
    if faults::beyond_the_end(reader, at, at_place, &shown) {
        return None;
    }
    check(reader, (place, from_place), &things.plan.consumers[consumer.0 as usize], (at, from));
    Some(FaultPlan {
        name: shown,
        stream: format!("changes/{}", name.unwrap_or_else(|| index.to_string())),
        at: Dist::Constant(at.0 as f64),
        every: None,
        lasts: Some(Dist::Constant(0.0)),
        target: FaultTarget::Consumer(consumer, Members::All),
        effect: Effect::Replay(from),
    })
}

/// What a replay does not go with: at the target, and at `from`.
fn check(
    reader: &mut Reader,
    (target, place): (Place, Place),
    consumer: &ConsumerPlan,
    (at, from): (SimSpan, SimTime),
) {
    if matches!(consumer.dispatch, Dispatch::Queue(_)) {
        let message = format!("`{}` reads from a queue, which keeps nothing that is acknowledged", consumer.name);
        reader.error(Diagnostic::at(target, message).help("what a log keeps can be read again"));
    } else if consumer.retry_topics.is_some() {
        reader.not_yet(target, "`replay` of a consumer with retry topics");
    }
    if from.0 >= at.0 {
        let [from, at] = [from.0, at.0].map(|time| units::write_duration(SimSpan(time)));
        let message = format!("a replay at {at} cannot begin at {from}: nothing is there yet");
        let help = format!("`from` is a time of the run before {at}, or `earliest`");
        reader.error(Diagnostic::at(place, message).help(help));
    }
}

/// From when on a consumer reads again, and where that stands.
fn from(reader: &mut Reader, node: &Node) -> Option<(SimTime, Place)> {
    const EXAMPLE: &str = "{ replay: { from: 20m } }";
    let choice = Choice::of(reader, node, "an action", EXAMPLE)?;
    let (_, place) = choice.name(node);
    let Choice::Map(entry) = choice else {
        let error = Diagnostic::at(place, "`replay` needs to know from when on");
        reader.error(error.help(format!("write `{EXAMPLE}`, or `from: earliest`")));
        return None;
    };
    let mut fields = Fields::open(reader, &entry.value, place, "replay", "`replay`")?;
    let from = fields.required(reader, "from", "from: 20m");
    let time = match from.and_then(Node::text) {
        Some("earliest") => Some(SimTime::ZERO),
        _ => fields.span(reader, "from").map(|from| SimTime(from.0)),
    };
    fields.finish(reader);
    Some((time?, from?.place))
}
