//! Flows: journeys that are done when each service has done its part.

use super::buses::{check_name, named_entries};
use super::diagnostics::Diagnostic;
use super::names::Names;
use super::reader::{Fields, Reader, items};
use super::tree::{Entry, Node};
use crate::plan::{FlowPlan, Initiator, Plan, ServiceId};
use crate::time::SimSpan;

/// Reads the section `flows`, sorted by name.
pub(super) fn read(reader: &mut Reader, section: &Node, names: &Names, plan: &Plan) -> Vec<FlowPlan> {
    let initiators = plan.initiators();
    let mut entries = named_entries(reader, section, "flows");
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    let mut flows = Vec::new();
    for entry in entries.into_iter().filter(|entry| !entry.value.is_null()) {
        check_name(reader, entry);
        flows.extend(flow(reader, entry, names, plan, &initiators));
    }
    flows
}

fn flow(
    reader: &mut Reader,
    entry: &Entry,
    names: &Names,
    plan: &Plan,
    initiators: &[Vec<Initiator>],
) -> Option<FlowPlan> {
    let path = format!("flows.{}", entry.key);
    reader.explained.things.push(path.clone());
    let mut fields = Fields::open(reader, &entry.value, entry.place, path, format!("the flow `{}`", entry.key))?;
    fields.not_yet(reader, &["outcomes"]);
    let refused = fields.get("outcomes").is_some();
    let from = fields.required(reader, "from", "from: checkout");
    let until = if refused { fields.get("until") } else { fields.required(reader, "until", "until: [email, fraud]") };
    fields.explain(reader, &["from", "until"]);
    let deadline = fields.span(reader, "deadline");
    if let (Some(SimSpan::ZERO), Some(node)) = (deadline, fields.get("deadline")) {
        reader.error(Diagnostic::at(node.place, "with a deadline of 0s everything is late"));
    }
    fields.finish(reader);
    let mut start = from.and_then(|node| service(reader, node, names, plan));
    if let (Some(id), Some(node)) = (start, from)
        && plan.services[id.0 as usize].arrivals.is_none()
    {
        let message = format!("no users come in at `{}`, where this flow begins", plan.services[id.0 as usize].name);
        reader.error(Diagnostic::at(node.place, message).help("begin where there are `arrivals`"));
        start = None;
    }
    let mut parts = Vec::new();
    for node in until.map_or(&[][..], items) {
        let part = service(reader, node, names, plan);
        if let (Some(start), Some(part)) = (start, part)
            && !initiators[part.0 as usize].contains(&Initiator::User(start))
        {
            let name = |id: ServiceId| &plan.services[id.0 as usize].name;
            let message = format!("no request of `{}` ever reaches `{}`", name(start), name(part));
            reader.error(Diagnostic::at(node.place, message).label("the flow would never be done"));
        }
        parts.extend(part);
    }
    parts.sort_unstable();
    parts.dedup();
    Some(FlowPlan { name: entry.key.clone(), from: start?, until: parts, deadline })
}

/// A service that a flow goes through.
fn service(reader: &mut Reader, node: &Node, names: &Names, plan: &Plan) -> Option<ServiceId> {
    let is = |name: &str| node.text() == Some(name);
    if plan.consumers.iter().any(|consumer| is(&consumer.name)) {
        reader.not_yet(node.place, "a flow through a consumer");
        return None;
    }
    if plan.producers.iter().any(|producer| is(&producer.name)) {
        reader.not_yet(node.place, "a flow that begins at a producer");
        return None;
    }
    names.service(reader, node)
}
