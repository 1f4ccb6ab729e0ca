//! Changes that let a consumer read again: what its positions are set back to.

use super::changes::Written;
use super::diagnostics::Diagnostic;
use super::faults::{self, Things};
use super::reader::{Choice, Fields, Reader};
use super::tree::{Node, Place};
use crate::dist::Dist;
use crate::plan::{ConsumerPlan, Dispatch, Effect, FaultPlan, FaultTarget, Members};
use crate::time::{SimSpan, SimTime};
use crate::units;

/// Whether an action is one of these.
pub(super) fn is_one(action: &Node) -> bool {
    action.get("replay").is_some() || action.text() == Some("replay")
}

/// Reads a change that is one. It is followed as a fault is: what it does to whom is counted.
pub(super) fn read(reader: &mut Reader, written: &Written<'_>, things: &Things<'_>) -> Option<FaultPlan> {
    let message = "positions are set back once: `for` does not fit a replay";
    written.has_no_length(reader, message, "leave `for` out; a replay is over when all is read");
    let from = written.action.and_then(|node| from(reader, node));
    let found = written.target.and_then(|node| faults::target_of(reader, node, things));
    let (place, (from, from_place), at, whom) = (written.target?.place, from?, written.at.0?, written.whom());
    let FaultTarget::Consumer(consumer, Members::All) = found? else {
        let message = format!("`{whom}` has no positions that could be set back");
        reader.error(Diagnostic::at(place, message).help("those of a group can: `target: consumers.NAME`"));
        return None;
    };
    let name = written.name.clone().unwrap_or_else(|| match from {
        SimTime(0) => format!("replay {whom}"),
        SimTime(from) => format!("replay {whom} from {}", units::write_duration(SimSpan(from))),
    });
    if faults::beyond_the_end(reader, at, written.at.1, &name) {
        return None;
    }
    check(reader, (place, from_place), &things.plan.consumers[consumer.0 as usize], (at, from));
    Some(FaultPlan {
        name,
        stream: written.stream(),
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
