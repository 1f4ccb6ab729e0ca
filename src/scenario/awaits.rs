//! Await steps: for which event a handler waits, and what can ever come of that.

use super::diagnostics::Diagnostic;
use super::handlers::{Known, otherwise};
use super::keys;
use super::reader::{Fields, Reader};
use super::tree::{Node, Place};
use crate::plan::Node as Reached;
use crate::plan::{AwaitStep, ConsumerId, FaultTarget, Handler, Party, Plan, ProducerId, ServiceId, Step, TopicId};

/// An await step as it stands in the file.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// Where the step stands: the path of its keys, and its place.
    path: String,
    place: Place,
    event: TopicId,
    /// The type that it waits for, and where that stands.
    of_type: Option<(u16, Place)>,
}

/// An await step: a topic, or the long form.
pub(super) fn read(
    reader: &mut Reader,
    node: &Node,
    place: Place,
    known: &Known<'_>,
    path: &str,
    depth: u32,
) -> Option<AwaitStep> {
    let form = ("event", "event: replies");
    let (mut fields, event) = Fields::short_or_long(reader, (node, place), path, "an await step", form)?;
    let at = event.map_or(place, |node| node.place);
    let event = event.and_then(|node| known.buses.topic(reader, node));
    fields.explain(reader, &["event", "type", "unless"]);
    if event.is_some_and(|topic| known.buses.at(topic).queue) {
        reader.not_yet(at, "waiting for events of a queue");
    }
    let type_node = fields.get("type");
    let event_type = type_node.map(|node| keys::event_type(reader, node));
    let unless = fields.get("unless").map(|node| (node.place, keys::event_type(reader, node)));
    if let (Some(Some(wanted)), Some((place, Some(unless)))) = (event_type, unless)
        && wanted == unless
    {
        let error = Diagnostic::at(place, "the event that is awaited would fail the step");
        reader.error(error.help("`unless` is another type than `type`"));
    }
    let timeout = fields.timeout(reader, "who waits for 0s waits for nothing");
    fields.explain(reader, &["else"]);
    let otherwise = otherwise(reader, &mut fields, known, depth);
    fields.finish(reader);
    let event = event?;
    // Types that are unknown have been said.
    let event_type = event_type.map_or(Some(None), |found| found.map(Some))?;
    let of_type = event_type.zip(type_node.map(|node| node.place));
    reader.awaited.push(Written { path: path.to_owned(), place: at, event, of_type });
    let unless = unless.map_or(Some(None), |(_, found)| found.map(Some))?;
    Some(AwaitStep { event, event_type, unless, timeout, otherwise })
}

/// All who run handlers, with the path of theirs.
fn parties(plan: &Plan) -> Vec<(Party, String, &Handler)> {
    let path = |section: &str, name: &str| format!("{section}.{name}.");
    let producers = (0..).zip(&plan.producers);
    let producers =
        producers.map(|(id, it)| (Party::Producer(ProducerId(id)), path("producers", &it.name), &it.handler));
    let consumers = (0..).zip(&plan.consumers);
    let consumers =
        consumers.map(|(id, it)| (Party::Consumer(ConsumerId(id)), path("consumers", &it.name), &it.handler));
    let services = (0..).zip(&plan.services);
    let services = services.map(|(id, it)| (Party::Service(ServiceId(id)), path("services", &it.name), &it.handler));
    producers.chain(consumers).chain(services).collect()
}

/// Whether an event of a topic may have a type: some step publishes it so, or with the type of what it is about.
fn may_be_of(plan: &Plan, topic: TopicId, wanted: u16) -> bool {
    let mut found = plan.consumers.iter().any(|consumer| consumer.dead_letter == Some(topic));
    for handler in plan.handlers() {
        handler.visit(&mut |step| {
            if let Step::Publish(publish) = step
                && publish.to == topic
            {
                found |= publish.event_type.is_none_or(|of| of == wanted);
            }
        });
    }
    found
}

/// Refuses waits for what never comes, or whose coming is not built.
pub(super) fn check(reader: &mut Reader, plan: &Plan) {
    let parties = parties(plan);
    for Written { path, place, event, of_type } in std::mem::take(&mut reader.awaited) {
        let whose = parties.iter().filter(|(_, prefix, _)| path.starts_with(prefix.as_str()));
        let Some((party, ..)) = whose.max_by_key(|(_, prefix, _)| prefix.len()) else { continue };
        let (name, topic) = (plan.party_name(*party), &plan.topics[event.0 as usize].name);
        if !plan.reached_from(*party).contains(&Reached::Topic(event)) {
            let message = format!("nothing that `{name}` does ever leads to an event of {topic}");
            let help = "publish what somebody answers there, and wait for the answer";
            reader.error(Diagnostic::at(place, message).label("it would never come").help(help));
        } else if let Some((wanted, place)) = of_type.filter(|(wanted, _)| !may_be_of(plan, event, *wanted)) {
            let message = format!("no event of {topic} is a `{}`", reader.event_types[wanted as usize]);
            let help = "give the step that publishes the answer this `type`";
            reader.error(Diagnostic::at(place, message).label("it would never come").help(help));
        }
        if let Party::Consumer(id) = party
            && plan.consumers[id.0 as usize].batch.is_some()
        {
            reader.not_yet(place, "waiting for events in the handler of a batch");
        }
    }
}

/// Refuses faults on the way of events that are awaited.
pub(super) fn check_fault(reader: &mut Reader, place: Place, plan: &Plan, target: FaultTarget) {
    let awaits = |party: Party| !plan.handler_of_party(party).awaited().is_empty();
    let on_bus = |bus| plan.awaited().iter().any(|topic| plan.topics[topic.0 as usize].bus_id == bus);
    let (way, broker) = match target {
        FaultTarget::ProducerLink(id) => (awaits(Party::Producer(id)), false),
        FaultTarget::ConsumerLink(id) => (awaits(Party::Consumer(id)), false),
        FaultTarget::ServiceLink(id) => (awaits(Party::Service(id)), false),
        FaultTarget::Broker(bus, _) => (false, on_bus(bus)),
        FaultTarget::Leader(topic, _) => (false, on_bus(plan.topics[topic.0 as usize].bus_id)),
        _ => (false, false),
    };
    if way {
        reader.not_yet(place, "a fault between a bus and who awaits its events");
    } else if broker {
        reader.not_yet(place, "a fault of a broker whose events are awaited");
    }
}
