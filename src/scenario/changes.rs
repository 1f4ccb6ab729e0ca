//! Changes: what operators do, to whom and when (to set positions back is in `replays.rs`).

use super::diagnostics::{Diagnostic, nearest};
use super::faults::{Things, beyond_the_end, target_of};
use super::producers::MAX_PROCESSES;
use super::reader::{Choice, Fields, Reader, items};
use super::replays;
use super::tree::{Entry, Node, Place};
use crate::plan::{Action, ChangePlan, ConsumerPlan, DeployPlan, FaultPlan, FaultTarget, Members};
use crate::time::{SimSpan, SimTime};
use crate::units;

/// Actions, and those of the format that this version does not have.
const ACTIONS: [&str; 3] = ["scale", "deploy", "replay"];
const NOT_YET: [&str; 4] = ["workers", "partitions", "pause", "redrive"];

/// What every change says; what is missing has been told.
pub(super) struct Written<'a> {
    index: usize,
    /// Its name, if it has one.
    pub(super) name: Option<String>,
    /// When, and where that stands.
    pub(super) at: (Option<SimSpan>, Place),
    /// For how long, and where that stands.
    pub(super) lasts: (Option<SimSpan>, Option<Place>),
    /// To whom.
    pub(super) target: Option<&'a Node>,
    /// What.
    pub(super) action: Option<&'a Node>,
}

impl<'a> Written<'a> {
    fn read(reader: &mut Reader, node: &'a Node, index: usize) -> Option<Self> {
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
        let lasts = (fields.span(reader, "for"), fields.get("for").map(|node| node.place));
        let target = fields.required(reader, "target", "target: consumers.email");
        let action = fields.required(reader, "action", "action: { scale: 12 }");
        fields.finish(reader);
        Some(Self { index, name, at: (at, at_place), lasts, target, action })
    }

    /// How its target is written.
    pub(super) fn whom(&self) -> &'a str {
        self.target.and_then(Node::text).unwrap_or_default()
    }

    /// The stream of random numbers of what is followed as a fault is.
    pub(super) fn stream(&self) -> String {
        format!("changes/{}", self.name.clone().unwrap_or_else(|| self.index.to_string()))
    }

    /// A change that is made once has no length: whether that was written, which is told with `help`.
    pub(super) fn has_no_length(&self, reader: &mut Reader, message: &str, help: &str) -> bool {
        if let (_, Some(place)) = self.lasts {
            reader.error(Diagnostic::at(place, message).help(help));
        }
        self.lasts.1.is_none()
    }
}

/// Reads `changes`: those that are, and those that are followed as faults are.
pub(super) fn read(reader: &mut Reader, node: &Node, things: &Things<'_>) -> (Vec<ChangePlan>, Vec<FaultPlan>) {
    let (mut changes, mut replays) = (Vec::new(), Vec::new());
    for (index, item) in items(node).iter().enumerate() {
        match Written::read(reader, item, index) {
            Some(written) if written.action.is_some_and(replays::is_one) => {
                replays.extend(replays::read(reader, &written, things))
            }
            Some(written) => changes.extend(change(reader, &written, things)),
            None => {}
        }
    }
    (changes, replays)
}

fn change(reader: &mut Reader, written: &Written<'_>, things: &Things<'_>) -> Option<ChangePlan> {
    let target = written.target.and_then(|node| target_of(reader, node, things));
    let action = written.action.and_then(|node| action_of(reader, node));
    let (target, action, at, whom) = (target?, action?, written.at.0?, written.whom());
    let (target_place, action_place) = (written.target?.place, written.action?.place);
    let FaultTarget::Consumer(consumer, Members::All) = target else {
        let message = format!("not yet supported: `{}` of `{whom}`", word(&action));
        let help = format!("`{}` is for consumers: `consumers.NAME`", word(&action));
        reader.error(Diagnostic::at(target_place, message).help(help));
        return None;
    };
    if let Action::Scale(_) = action
        && things.plan.is_autoscaled(consumer.0 as usize)
    {
        let message = format!("`{whom}` is autoscaled, which undoes what operators do: `for` does not fit");
        written.has_no_length(reader, &message, "leave `for` out, or take `autoscale` away");
    }
    if let Action::Deploy(plan) = action {
        check_deploy(reader, (written, action_place), plan, &things.plan.consumers[consumer.0 as usize])?;
    }
    let name = written.name.clone().unwrap_or_else(|| match action {
        Action::Scale(members) => format!("scale {whom} to {members}"),
        Action::Deploy(_) => format!("deploy {whom}"),
    });
    if beyond_the_end(reader, at, written.at.1, &name) {
        return None;
    }
    Some(ChangePlan { name, at: SimTime(at.0), lasts: written.lasts.0, consumer, action })
}

/// How an action is written.
fn word(action: &Action) -> &'static str {
    match action {
        Action::Scale(_) => "scale",
        Action::Deploy(_) => "deploy",
    }
}

fn action_of(reader: &mut Reader, node: &Node) -> Option<Action> {
    let choice = Choice::of(reader, node, "an action", "{ scale: 12 }")?;
    let (name, place) = choice.name(node);
    match choice {
        Choice::Map(entry) if name == "scale" => scale(reader, entry),
        Choice::Map(entry) if name == "deploy" => deploy(reader, &entry.value, entry.place),
        Choice::Word("deploy") => Some(Action::Deploy(ROLLING)),
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

/// A roll-out as it is without a word: one process at a time. The time to finish is that of a pod of Kubernetes
/// (`terminationGracePeriodSeconds`).
const ROLLING: DeployPlan = DeployPlan { max_unavailable: 1, max_surge: 0, grace: SimSpan::from_seconds(30) };

fn deploy(reader: &mut Reader, node: &Node, place: Place) -> Option<Action> {
    let mut fields = Fields::open(reader, node, place, "deploy", "`deploy`")?;
    if let Some(schema) = fields.get("schema") {
        reader.not_yet(schema.place, "`schema` of a roll-out");
    }
    let max_unavailable = fields.count32(reader, "max_unavailable", 0, MAX_PROCESSES);
    let max_surge = fields.count32(reader, "max_surge", 0, MAX_PROCESSES);
    let grace = fields.span(reader, "grace");
    let surges = max_surge.is_some_and(|surge| surge > 0);
    fields.finish(reader);
    let plan = DeployPlan {
        // Whoever says that more are started first needs nobody to go before.
        max_unavailable: max_unavailable.unwrap_or(if surges { 0 } else { ROLLING.max_unavailable }),
        max_surge: max_surge.unwrap_or(ROLLING.max_surge),
        grace: grace.unwrap_or(ROLLING.grace),
    };
    if plan.max_unavailable == 0 && plan.max_surge == 0 {
        let error = Diagnostic::at(place, "nobody may stop and nobody may start: this roll-out never begins");
        reader.error(error.help("`max_unavailable` or `max_surge` is at least 1"));
        return None;
    }
    Some(Action::Deploy(plan))
}

/// What a roll-out does not go with.
fn check_deploy(
    reader: &mut Reader,
    (written, place): (&Written<'_>, Place),
    plan: DeployPlan,
    consumer: &ConsumerPlan,
) -> Option<()> {
    let message = "a roll-out ends when all processes are new: `for` does not fit";
    if !written.has_no_length(reader, message, "leave `for` out") {
        return None;
    }
    if plan.max_surge > 0 && consumer.membership.group().is_some_and(|group| group.fixed) {
        let message =
            format!("members of `{}` have identities of their own, of which none can be there twice", consumer.name);
        let help = "leave `max_surge` out: each process is stopped before the next takes its identity";
        reader.error(Diagnostic::at(place, message).help(help));
        return None;
    }
    Some(())
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
