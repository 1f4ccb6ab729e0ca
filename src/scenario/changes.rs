//! Changes: what operators do, to whom and when.

use super::diagnostics::{Diagnostic, nearest};
use super::faults::{Things, beyond_the_end, target_of};
use super::producers::MAX_PROCESSES;
use super::reader::{Choice, Fields, Reader, items};
use super::tree::{Entry, Node, Place};
use crate::plan::{Action, ChangePlan, FaultTarget, Members};
use crate::time::SimTime;
use crate::units;

/// Actions, and those of the format that this version does not have.
const ACTIONS: [&str; 1] = ["scale"];
const NOT_YET: [&str; 6] = ["workers", "partitions", "deploy", "replay", "pause", "redrive"];

/// Reads `changes`.
pub(super) fn changes(reader: &mut Reader, node: &Node, things: &Things<'_>) -> Vec<ChangePlan> {
    items(node).iter().enumerate().filter_map(|(index, item)| change(reader, item, index, things)).collect()
}

fn change(reader: &mut Reader, node: &Node, index: usize, things: &Things<'_>) -> Option<ChangePlan> {
    if node.is_null() {
        return None;
    }
    let mut fields = Fields::open(reader, node, node.place, format!("changes.{index}"), "a change")?;
    reader.explained.things.push(fields.path.clone());
    fields.explain(reader, &["name", "target", "action"]);
    let name = fields.get("name").and_then(Node::text).map(str::to_owned);
    fields.required(reader, "at", "at: 45m");
    let at = fields.span(reader, "at");
    let at_place = fields.get("at").map_or(node.place, |node| node.place);
    let lasts = fields.span(reader, "for");
    let target = fields.required(reader, "target", "target: consumers.email");
    let action = fields.required(reader, "action", "action: { scale: 12 }");
    fields.finish(reader);
    let target = target.and_then(|node| target_of(reader, node, things).map(|target| (target, node)));
    let action = action.and_then(|node| action_of(reader, node));
    let ((target, node), action, at) = (target?, action?, at?);
    let whom = node.text().unwrap_or_default();
    let FaultTarget::Consumer(consumer, Members::All) = target else {
        let message = format!("not yet supported: `{}` of `{whom}`", word(&action));
        reader.error(Diagnostic::at(node.place, message).help("consumers can be scaled: `consumers.NAME`"));
        return None;
    };
    let shown = name.unwrap_or_else(|| match action {
        Action::Scale(members) => format!("scale {whom} to {members}"),
    });
    if beyond_the_end(reader, at, at_place, &shown) {
        return None;
    }
    Some(ChangePlan { name: shown, at: SimTime(at.0), lasts, consumer, action })
}

/// How an action is written.
fn word(action: &Action) -> &'static str {
    match action {
        Action::Scale(_) => "scale",
    }
}

fn action_of(reader: &mut Reader, node: &Node) -> Option<Action> {
    let choice = Choice::of(reader, node, "an action", "{ scale: 12 }")?;
    let (name, place) = choice.name(node);
    match choice {
        Choice::Map(entry) if name == "scale" => scale(reader, entry),
        _ if NOT_YET.contains(&name) => {
            reader.not_yet(place, &format!("the action `{name}`"));
            None
        }
        _ => {
            unknown(reader, name, place);
            None
        }
    }
}

fn unknown(reader: &mut Reader, name: &str, place: Place) {
    let near = nearest(name, NOT_YET.into_iter().chain(ACTIONS));
    let help = near.map_or_else(|| "write `{ scale: 12 }`".into(), |near| format!("did you mean `{near}`?"));
    reader.error(Diagnostic::at(place, format!("there is no action `{name}`")).label("unknown action").help(help));
}

fn scale(reader: &mut Reader, entry: &Entry) -> Option<Action> {
    let members = reader.quantity(&entry.value, units::parse_count, "a count of members")?;
    let fits = u32::try_from(members).ok().filter(|members| (1..=MAX_PROCESSES).contains(members));
    if fits.is_none() {
        let message = format!("`scale` is {members}, and should be between 1 and {MAX_PROCESSES}");
        reader.error(Diagnostic::at(entry.value.place, message));
    }
    fits.map(Action::Scale)
}
