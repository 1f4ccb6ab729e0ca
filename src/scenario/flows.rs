//! Journeys: flows, which end when each party has done its part or with an event, and reads of what they leave behind.

use std::collections::BTreeSet;

use super::buses::{Buses, check_name, named_entries};
use super::diagnostics::{Diagnostic, listed, nearest};
use super::distributions::{self, Of};
use super::keys;
use super::reader::{Fields, Reader, items};
use super::tree::{Entry, Node};
use crate::dist::Dist;
use crate::plan::Node as Reached;
use crate::plan::{ConsumerId, FlowPlan, Goal, MAX_PARTS, OutcomePlan, Party, Plan, ProducerId, ReadPlan, ServiceId};
use crate::time::SimSpan;

/// What flows and reads may name.
#[derive(Clone, Copy)]
pub(super) struct Parties<'a> {
    /// Producers, consumers and services.
    pub(super) plan: &'a Plan,
    /// Topics and queues.
    pub(super) buses: &'a Buses,
    /// The whole scenario, as written.
    pub(super) tree: &'a Node,
}

/// Reads the section `flows`, sorted by name.
pub(super) fn read(reader: &mut Reader, section: &Node, known: Parties<'_>) -> Vec<FlowPlan> {
    let entries = sorted(reader, section, "flows");
    entries.into_iter().filter_map(|entry| flow(reader, entry, known)).collect()
}

/// Reads the section `reads`, sorted by name.
pub(super) fn reads(reader: &mut Reader, section: &Node, known: Parties<'_>) -> Vec<ReadPlan> {
    let entries = sorted(reader, section, "reads");
    entries.into_iter().filter_map(|entry| look(reader, entry, known)).collect()
}

fn sorted<'a>(reader: &mut Reader, section: &'a Node, name: &str) -> Vec<&'a Entry> {
    let mut entries = named_entries(reader, section, name);
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    entries.retain(|entry| !entry.value.is_null());
    entries.iter().for_each(|entry| check_name(reader, entry));
    entries
}

fn flow(reader: &mut Reader, entry: &Entry, known: Parties<'_>) -> Option<FlowPlan> {
    let path = format!("flows.{}", entry.key);
    reader.explained.things.push(path.clone());
    let mut fields = Fields::open(reader, &entry.value, entry.place, path, format!("the flow `{}`", entry.key))?;
    let from = fields.required(reader, "from", "from: checkout").and_then(|node| origin(reader, node, known));
    let reached = from.map(|from| (from, known.plan.reached_from(from)));
    let goal = match (fields.entry("until"), fields.entry("outcomes")) {
        (Some(until), Some(outcomes)) => {
            let error = Diagnostic::at(outcomes.place, "a flow ends with its parts or with an event, not both");
            reader.error(error.context(until.place, "its parts").help("make it two flows"));
            None
        }
        (None, Some(outcomes)) => ends(reader, outcomes, known, reached.as_ref()),
        (Some(_), None) => fields.get("until").and_then(|node| parts(reader, node, known, reached.as_ref())),
        (None, None) => {
            fields.required(reader, "until", "until: [email, fraud]");
            None
        }
    };
    fields.explain(reader, &["from", "until"]);
    let deadline = fields.span(reader, "deadline");
    if let (Some(SimSpan::ZERO), Some(node)) = (deadline, fields.get("deadline")) {
        reader.error(Diagnostic::at(node.place, "with a deadline of 0s everything is late"));
    }
    fields.finish(reader);
    Some(FlowPlan { name: entry.key.clone(), from: from?, goal: goal?, deadline })
}

/// Where a flow begins, and all that it may come to.
type Route = (Party, BTreeSet<Reached>);

/// Where a flow begins: a producer, or a service with users.
fn origin(reader: &mut Reader, node: &Node, known: Parties<'_>) -> Option<Party> {
    let plan = known.plan;
    let (message, help) = match party(reader, node, known)? {
        Party::Consumer(id) => {
            let name = &plan.consumers[id.0 as usize].name;
            let help = "begin where that begins which it reads: at a producer, or at a service with `arrivals`";
            (format!("no journey begins at `{name}`, which is a consumer"), help)
        }
        Party::Service(id) if plan.services[id.0 as usize].arrivals.is_none() => {
            let name = &plan.services[id.0 as usize].name;
            (format!("no users come in at `{name}`, where this flow begins"), "begin where there are `arrivals`")
        }
        origin => return Some(origin),
    };
    reader.error(Diagnostic::at(node.place, message).help(help));
    None
}

/// The producer, consumer or service that a reference names.
fn party(reader: &mut Reader, node: &Node, known: Parties<'_>) -> Option<Party> {
    let plan = known.plan;
    let Some(text) = node.text() else {
        reader.wrong_kind(node, "the name of a producer, consumer or service");
        return None;
    };
    let producers = (0..).zip(&plan.producers).map(|(id, it)| (Party::Producer(ProducerId(id)), &it.name));
    let consumers = (0..).zip(&plan.consumers).map(|(id, it)| (Party::Consumer(ConsumerId(id)), &it.name));
    let services = (0..).zip(&plan.services).map(|(id, it)| (Party::Service(ServiceId(id)), &it.name));
    let mut all = producers.chain(consumers).chain(services);
    if let Some((party, _)) = all.find(|(_, name)| *name == text) {
        return Some(party);
    }
    let parties = reader.declared.iter().filter(|(section, _)| *section != "resources");
    let names: Vec<&str> = parties.map(|(_, name)| name.as_str()).collect();
    let sections = ["producers", "consumers", "services"].iter().filter_map(|section| known.tree.get(section));
    let taken_away = sections.filter_map(|section| section.get(text)).any(Node::is_null);
    if names.contains(&text) && !taken_away {
        // It could not be read, which has been said.
        return None;
    }
    let help = match nearest(text, names.iter().copied()) {
        _ if taken_away => format!("nothing stands behind `{text}:`, which takes it away"),
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("declared are {}", listed(names.into_iter())),
    };
    let message = format!("there is no producer, consumer or service `{text}`");
    reader.error(Diagnostic::at(node.place, message).label("not declared").help(help));
    None
}

/// Whose parts belong to a flow, sorted, each once.
fn parts(reader: &mut Reader, node: &Node, known: Parties<'_>, route: Option<&Route>) -> Option<Goal> {
    let plan = known.plan;
    let mut parts = Vec::new();
    for item in items(node) {
        let Some(part) = party(reader, item, known) else { continue };
        if let Party::Producer(_) = part {
            let message = format!("`{}` is a producer: it takes no part in what others began", plan.party_name(part));
            reader.error(Diagnostic::at(item.place, message).help("name services and consumers"));
        } else if let Some((from, reached)) = route
            && !reached.contains(&Reached::Party(part))
        {
            let message = match (from, part) {
                (Party::Service(_), Party::Service(_)) => {
                    format!("no request of `{}` ever reaches `{}`", plan.party_name(*from), plan.party_name(part))
                }
                _ => format!(
                    "nothing that begins at `{}` ever reaches `{}`",
                    plan.party_name(*from),
                    plan.party_name(part)
                ),
            };
            reader.error(Diagnostic::at(item.place, message).label("the flow would never be done"));
        }
        parts.push(part);
    }
    parts.sort_unstable();
    parts.dedup();
    if items(node).is_empty() || parts.len() > MAX_PARTS {
        let message = format!("a flow has between 1 and {MAX_PARTS} parts, and this one {}", parts.len());
        reader.error(Diagnostic::at(node.place, message));
        return None;
    }
    Some(Goal::Parts(parts))
}

/// The events that end a flow, sorted by name.
fn ends(reader: &mut Reader, entry: &Entry, known: Parties<'_>, route: Option<&Route>) -> Option<Goal> {
    let entries = sorted(reader, &entry.value, "outcomes");
    if entries.is_empty() {
        let error = Diagnostic::at(entry.place, "a flow without outcomes never ends");
        reader.error(error.help("write for example `outcomes: { booked: { event: bookings, type: confirmed } }`"));
    }
    let mut ends: Vec<(OutcomePlan, &Entry)> = Vec::new();
    for entry in entries {
        let Some(end) = end(reader, entry, known, route) else { continue };
        let same = |other: &&(OutcomePlan, &Entry)| {
            let types = (other.0.event_type, end.event_type);
            other.0.event == end.event && (types.0 == types.1 || types.0.is_none() || types.1.is_none())
        };
        if let Some((other, first)) = ends.iter().find(same) {
            let message = format!("an event may be both `{}` and `{}`", other.name, end.name);
            reader.error(
                Diagnostic::at(entry.place, message)
                    .context(first.place, "the other")
                    .help("tell them apart by `type`"),
            );
        }
        ends.push((end, entry));
    }
    (!ends.is_empty()).then(|| Goal::Outcomes(ends.into_iter().map(|(end, _)| end).collect()))
}

fn end(reader: &mut Reader, entry: &Entry, known: Parties<'_>, route: Option<&Route>) -> Option<OutcomePlan> {
    let (event, event_type) = if entry.value.text().is_some() {
        (Some(&entry.value), None)
    } else {
        let what = format!("the outcome `{}`", entry.key);
        let mut fields = Fields::open(reader, &entry.value, entry.place, "", what)?;
        let event = fields.required(reader, "event", "event: bookings");
        let event_type = fields.get("type").map(|node| keys::event_type(reader, node));
        fields.finish(reader);
        (event, event_type)
    };
    let topic = known.buses.topic(reader, event?)?;
    if let (Some((from, reached)), Some(node)) = (route, event)
        && !reached.contains(&Reached::Topic(topic))
    {
        let (from, topic) = (known.plan.party_name(*from), &known.plan.topics[topic.0 as usize].name);
        let message = format!("nothing that begins at `{from}` ever leads to an event of {topic}");
        reader.error(Diagnostic::at(node.place, message).label("the flow would never end so"));
    }
    // A type that is unknown has been said.
    let event_type = match event_type {
        None => None,
        Some(found) => Some(found?),
    };
    Some(OutcomePlan { name: entry.key.clone(), event: topic, event_type })
}

fn look(reader: &mut Reader, entry: &Entry, known: Parties<'_>) -> Option<ReadPlan> {
    let path = format!("reads.{}", entry.key);
    reader.explained.things.push(path.clone());
    let mut fields = Fields::open(reader, &entry.value, entry.place, path, format!("the read `{}`", entry.key))?;
    let node = fields.required(reader, "of", "of: email");
    let of = node.and_then(|node| party(reader, node, known));
    fields.explain(reader, &["of", "after", "poll"]);
    let after = fields.get("after").map(|node| distributions::read(reader, node, Of::Time));
    if after.is_none() {
        reader.explain_default(&fields.path_of("after"), "0s", "they look at once");
    }
    let poll = fields.get("poll").map(|node| distributions::read(reader, node, Of::Time));
    if let (Some(node), Some(Some(poll))) = (fields.get("poll"), &poll)
        && poll.constant().is_some_and(|time| time <= 0.0)
    {
        let error = Diagnostic::at(node.place, "who looks again after 0s looks for ever at one instant");
        reader.error(error.help("write for example `poll: 1s`"));
    }
    fields.finish(reader);
    if let (Some(of), Some(node)) = (of, node)
        && !known.plan.origins().into_iter().any(|from| known.plan.reached_from(from).contains(&Reached::Party(of)))
    {
        let message = format!("nothing that users or producers do ever comes to `{}`", known.plan.party_name(of));
        reader.error(Diagnostic::at(node.place, message).label("nobody would have anything to look for"));
    }
    let after = after.map_or(Some(Dist::Constant(0.0)), |after| after)?;
    let poll = match poll {
        None => None,
        Some(poll) => Some(poll?),
    };
    Some(ReadPlan { name: entry.key.clone(), of: of?, after, poll })
}
