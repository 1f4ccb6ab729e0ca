//! Brokers as targets of faults: the nodes of a bus, and who leads a partition.

use super::diagnostics::{Diagnostic, listed, nearest};
use super::faults::{Parts, Things, longest, part};
use super::reader::Reader;
use super::tree::Node;
use crate::plan::{BusId, FaultTarget, TopicId};

/// What a path below `buses.` names.
pub(super) fn target(reader: &mut Reader, node: &Node, path: &str, things: &Things<'_>) -> Option<FaultTarget> {
    let buses = &things.buses.list;
    let names = || buses.iter().map(|bus| bus.name.as_str());
    let Some((index, tail)) = longest(path, names()) else {
        let near = nearest(path.split('.').next().unwrap_or_default(), names());
        let help = near.map_or_else(
            || format!("declared are {}", listed(names())),
            |near| format!("did you mean `buses.{near}`?"),
        );
        let message = format!("there is no `buses.{path}`");
        // One that could not be read has been complained of.
        if !things.buses.is_incomplete() {
            reader.error(Diagnostic::at(node.place, message).label("not declared").help(help));
        }
        return None;
    };
    let bus = &buses[index];
    if bus.failover().is_none() {
        let message = format!("nodes of a bus of profile {} do not fail", bus.profile.name);
        let help = "its profile says nothing of what follows (`replication: pull`, and the values that belong to it)";
        reader.error(Diagnostic::at(node.place, message).label("not yet supported").help(help));
        return None;
    }
    let id = BusId(u32::try_from(index).expect("bounded by the size of the file"));
    match tail.strip_prefix("topics.") {
        Some(tail) => leader(reader, node, tail, index, things),
        None => {
            let parts = Parts { of: &bus.name, word: "brokers", count: bus.brokers };
            part(reader, node, tail, &parts).map(|nodes| FaultTarget::Broker(id, nodes))
        }
    }
}

/// `orders.partitions.0.leader`, below `buses.NAME.topics.`.
fn leader(reader: &mut Reader, node: &Node, path: &str, bus: usize, things: &Things<'_>) -> Option<FaultTarget> {
    let topics = &things.buses.topics;
    let own = |index: &usize| topics[*index].bus == bus;
    let names: Vec<usize> = (0..topics.len()).filter(own).collect();
    let name = |index: &usize| topics[*index].name.as_str();
    let Some((at, tail)) = longest(path, names.iter().map(name)) else {
        let first = path.split('.').next().unwrap_or_default();
        let near = nearest(path, names.iter().map(name)).or_else(|| nearest(first, names.iter().map(name)));
        let help = near.map_or_else(
            || format!("its topics are {}", listed(names.iter().map(name))),
            |near| format!("did you mean `{near}`?"),
        );
        let message = format!("`{}` has no topic `{path}`", things.buses.list[bus].name);
        if !things.buses.is_incomplete() {
            reader.error(Diagnostic::at(node.place, message).label("not declared").help(help));
        }
        return None;
    };
    let topic = &topics[names[at]];
    let number = tail.strip_prefix("partitions.").and_then(|tail| tail.strip_suffix(".leader"));
    let number = number.filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(number) = number else {
        let message = match tail {
            "" => "a topic is no target".to_owned(),
            tail => format!("`{tail}` of a topic is no target"),
        };
        let help = format!("write `buses.{}.topics.{}.partitions.0.leader`", things.buses.list[bus].name, topic.name);
        reader.error(Diagnostic::at(node.place, message).help(help));
        return None;
    };
    match number.parse::<u32>() {
        Ok(number) if number < topic.plan.partitions => {
            let id = TopicId(u32::try_from(names[at]).expect("bounded by the size of the file"));
            Some(FaultTarget::Leader(id, number))
        }
        _ => {
            let last = topic.plan.partitions - 1;
            let message = format!("`{}` has partitions 0 to {last}, and no partition {number}", topic.name);
            reader.error(Diagnostic::at(node.place, message).label("index out of range"));
            None
        }
    }
}
