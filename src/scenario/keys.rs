//! Keys and event types.

use std::collections::BTreeSet;

use super::diagnostics::{Diagnostic, nearest};
use super::reader::{Choice, Fields, Reader};
use super::traces::Column;
use super::tree::{Node, Value};
use crate::plan::{Handler, Initiator, KeyPlan, Plan, Step};
use crate::units;

/// Most keys that have numbers.
const MAX_KEYS: u32 = 100_000_000;
/// How far shares may be from adding up to 100 %.
const SHARES: f64 = 1e-6;

/// For each topic, whether events without a key are published to it: consumers pass on the keys that they read.
pub(super) fn keyless_topics(plan: &Plan) -> Vec<bool> {
    fn note(handler: &Handler, own: bool, keyless: &mut [bool]) {
        handler.visit(&mut |step| {
            if let Step::Publish(publish) = step {
                keyless[publish.to.0 as usize] |= publish.key.as_ref().map_or(own, |key| *key == KeyPlan::None);
            }
        });
    }
    let initiators = plan.initiators();
    let mut keyless = vec![false; plan.topics.len()];
    for producer in &plan.producers {
        note(&producer.handler, producer.key == KeyPlan::None, &mut keyless);
    }
    loop {
        let before = keyless.clone();
        for (service, initiators) in plan.services.iter().zip(&initiators) {
            let own = initiators.iter().any(|initiator| is_keyless(plan, *initiator, &before));
            note(&service.handler, own, &mut keyless);
        }
        for consumer in &plan.consumers {
            let read = consumer.subscribes.iter().any(|topic| keyless[topic.0 as usize]);
            note(&consumer.handler, read, &mut keyless);
            if let Some(dead) = consumer.dead_letter.filter(|_| read) {
                keyless[dead.0 as usize] = true;
            }
        }
        if keyless == before {
            return keyless;
        }
    }
}

/// Whether some of what a handler there has in hand has no key, given the topics in which that is so.
pub(super) fn is_keyless(plan: &Plan, initiator: Initiator, keyless: &[bool]) -> bool {
    match initiator {
        Initiator::User(id) => plan.services[id.0 as usize].key == KeyPlan::None,
        Initiator::Producer(id) => plan.producers[id.0 as usize].key == KeyPlan::None,
        Initiator::Consumer(id) => {
            plan.consumers[id.0 as usize].subscribes.iter().any(|topic| keyless[topic.0 as usize])
        }
    }
}

/// Where keys come from. Label ids are those of the order of reading; see [`number_labels`].
pub(super) fn read(reader: &mut Reader, node: &Node) -> Option<KeyPlan> {
    let example = "{ zipf: { keys: 10k, exponent: 0.6 } }";
    match Choice::of(reader, node, "a key", example)? {
        Choice::Word("none") => Some(KeyPlan::None),
        Choice::Word("unique") => Some(KeyPlan::Unique),
        Choice::Map(entry) if entry.key == "uniform" => {
            let keys = keys(reader, &entry.value)?;
            Some(KeyPlan::Uniform(keys))
        }
        Choice::Map(entry) if entry.key == "zipf" => {
            let mut fields = Fields::open(reader, &entry.value, entry.place, "", "`zipf`")?;
            let keys = fields.required(reader, "keys", "keys: 10k").and_then(|node| keys(reader, node));
            let exponent = fields.required(reader, "exponent", "exponent: 0.6");
            fields.finish(reader);
            let exponent = reader.quantity(exponent?, units::parse_number, "a number like 0.6")?;
            Some(KeyPlan::Zipf { keys: keys?, exponent })
        }
        Choice::Map(entry) if entry.key == "weighted" => {
            let shares = shares(reader, &entry.value)?;
            Some(KeyPlan::Weighted(shares.into_iter().map(|(name, share)| (label(reader, &name), share)).collect()))
        }
        Choice::Map(entry) if entry.key == "trace" => {
            let mut fields = Fields::open(reader, &entry.value, entry.place, "", "`trace`")?;
            let file = fields.required(reader, "file", "file: orders.csv");
            let column = fields.get("column");
            fields.finish(reader);
            let texts = Column::read(reader, file?, column)?.texts();
            Some(KeyPlan::Trace(texts.into_iter().map(|text| label(reader, &text)).collect()))
        }
        choice => {
            let (name, place) = choice.name(node);
            let known = ["none", "unique", "uniform", "zipf", "weighted", "trace"];
            let help = nearest(name, known)
                .map_or_else(|| format!("write for example `{example}`"), |near| format!("did you mean `{near}`?"));
            reader.error(
                Diagnostic::at(place, format!("there are no keys of kind `{name}`")).label("unknown").help(help),
            );
            None
        }
    }
}

fn keys(reader: &mut Reader, node: &Node) -> Option<u32> {
    let keys = reader.quantity(node, units::parse_count, "a count of keys")?;
    match u32::try_from(keys) {
        Ok(keys) if (1..=MAX_KEYS).contains(&keys) => {
            reader.numeric_keys = reader.numeric_keys.max(keys);
            Some(keys)
        }
        _ => {
            reader.error(Diagnostic::at(
                node.place,
                format!("the number of keys is {keys}, and should be between 1 and {MAX_KEYS}"),
            ));
            None
        }
    }
}

fn label(reader: &mut Reader, text: &str) -> u32 {
    if let Some(id) = reader.key_labels.get(text) {
        return *id;
    }
    let id = u32::try_from(reader.key_labels.len()).expect("bounded by the size of the files");
    reader.key_labels.insert(text.to_owned(), id);
    id
}

/// Names with shares that add up to 100 %, in order of name.
pub(super) fn shares(reader: &mut Reader, node: &Node) -> Option<Vec<(String, f64)>> {
    let Value::Map(entries) = &node.value else {
        reader.wrong_kind(node, "a map of names to shares, like `{ view: 80%, click: 20% }`");
        return None;
    };
    let mut shares = Vec::new();
    for entry in entries {
        shares.push((entry.key.clone(), reader.quantity(&entry.value, units::parse_share, "a share")?));
    }
    shares.sort_by(|a, b| a.0.cmp(&b.0));
    let total: f64 = shares.iter().map(|(_, share)| share).sum();
    if (total - 1.0).abs() > SHARES {
        let message = format!("these shares add up to {}, and should to 100%", units::show_share(total));
        reader.error(Diagnostic::at(node.place, message));
        return None;
    }
    Some(shares)
}

/// Final key ids: labels in order of text, after all numbers. Returns the labels.
pub(super) fn number_labels(reader: &Reader, plans: &mut [&mut KeyPlan]) -> Vec<String> {
    let mut ids = vec![0; reader.key_labels.len()];
    for (rank, first) in (0_u32..).zip(reader.key_labels.values()) {
        ids[*first as usize] = reader.numeric_keys + rank;
    }
    for plan in plans {
        match plan {
            KeyPlan::Weighted(keys) => {
                keys.iter_mut().for_each(|(id, _)| *id = ids[*id as usize]);
                keys.sort_by_key(|(id, _)| *id);
            }
            KeyPlan::Trace(keys) => keys.iter_mut().for_each(|id| *id = ids[*id as usize]),
            _ => {}
        }
    }
    reader.key_labels.keys().cloned().collect()
}

/// The keys that a handler's publish steps give.
pub(super) fn of_handler(handler: &mut Handler) -> Vec<&mut KeyPlan> {
    of_steps(&mut handler.steps)
}

fn of_steps(steps: &mut [Step]) -> Vec<&mut KeyPlan> {
    let mut found = Vec::new();
    for step in steps {
        match step {
            Step::Publish(publish) => {
                found.extend(&mut publish.key);
                found.extend(publish.otherwise.iter_mut().flat_map(|steps| of_steps(steps)));
            }
            other => found.extend(other.nested_mut().into_iter().flat_map(|steps| of_steps(steps))),
        }
    }
    found
}

/// All event types that producers, services and handlers of a scenario name, sorted, after "no type".
pub(super) fn event_types(tree: &Node) -> Vec<String> {
    let mut types = BTreeSet::new();
    for section in ["producers", "consumers", "services"] {
        for thing in tree.get(section).map_or(&[][..], Node::entries) {
            if section != "consumers" {
                collect_types(thing.value.get("type"), &mut types);
            }
            collect_published(&thing.value, &mut types);
        }
    }
    std::iter::once(String::new()).chain(types).collect()
}

fn collect_types(node: Option<&Node>, types: &mut BTreeSet<String>) {
    if let Some(node) = node {
        types.extend(node.text().map(str::to_owned));
        types.extend(node.entries().iter().map(|entry| entry.key.clone()));
    }
}

/// Types of publish steps, wherever they stand.
fn collect_published(node: &Node, types: &mut BTreeSet<String>) {
    for entry in node.entries() {
        if entry.key == "publish" || entry.key == "publishes" {
            for step in super::reader::items(&entry.value) {
                collect_types(step.get("type"), types);
            }
        }
        collect_published(&entry.value, types);
    }
    if let Value::List(items) = &node.value {
        items.iter().for_each(|item| collect_published(item, types));
    }
}

/// The index of an event type.
pub(super) fn event_type(reader: &mut Reader, node: &Node) -> Option<u16> {
    let Some(text) = node.text() else {
        reader.wrong_kind(node, "the name of an event type");
        return None;
    };
    let index = reader.event_types.iter().position(|name| name == text && !text.is_empty());
    if index.is_none() {
        reader.error(unknown_type(reader, node, text));
    }
    index.and_then(|index| u16::try_from(index).ok())
}

/// The error for a type that nobody publishes.
pub(super) fn unknown_type(reader: &Reader, node: &Node, text: &str) -> Diagnostic {
    let names = || reader.event_types.iter().skip(1).map(String::as_str);
    let help = match nearest(text, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if reader.event_types.len() == 1 => "no producer or publish step gives a `type`".into(),
        None => format!("there are {}", super::diagnostics::listed(names())),
    };
    Diagnostic::at(node.place, format!("nobody publishes events of type `{text}`")).label("unknown type").help(help)
}
