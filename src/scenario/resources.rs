//! Resources: shared things that handlers hold.

use super::buses::{check_name, named_entries};
use super::diagnostics::Diagnostic;
use super::keys;
use super::reader::{Fields, Reader};
use super::tree::{Entry, Node, Place};
use crate::plan::{ConsumerId, Handler, Initiator, Plan, ProducerId, ResourcePlan, Step};
use crate::units;

/// Most holders, and most who wait.
const MOST: u32 = 100_000_000;

/// Reads the section `resources`, sorted by name, each with the place of its `per_key`.
pub(super) fn read(reader: &mut Reader, section: &Node) -> Vec<(ResourcePlan, Option<Place>)> {
    let mut entries = named_entries(reader, section, "resources");
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    let entries = entries.into_iter().filter(|entry| !entry.value.is_null());
    entries
        .map(|entry| {
            check_name(reader, entry);
            resource(reader, entry)
        })
        .collect()
}

fn resource(reader: &mut Reader, entry: &Entry) -> (ResourcePlan, Option<Place>) {
    let path = format!("resources.{}", entry.key);
    reader.explained.things.push(path.clone());
    let mut plan = ResourcePlan {
        name: entry.key.clone(),
        capacity: None,
        per_key: false,
        rate: None,
        queue: u32::MAX,
        timeout: None,
        retry_after: false,
    };
    let what = format!("the resource `{}`", entry.key);
    let Some(mut fields) = Fields::open(reader, &entry.value, entry.place, path, what.clone()) else {
        return (plan, None);
    };
    plan.capacity = fields.count32(reader, "capacity", 1, MOST);
    plan.per_key = fields.word(reader, "per_key", &[("true", true), ("false", false)]).unwrap_or(false);
    let per_key = fields.get("per_key").map(|node| node.place).filter(|_| plan.per_key);
    plan.rate = rate(reader, &mut fields);
    if fields.get("capacity").is_none() && fields.get("rate").is_none() {
        let error = Diagnostic::at(entry.place, format!("{what} limits nothing"));
        reader.error(error.label("no `capacity`, no `rate`").help("add `capacity: 10` or `rate: 100/s`"));
    }
    plan.queue = queue(reader, &mut fields);
    plan.timeout = fields.span(reader, "timeout");
    plan.retry_after = fields.word(reader, "retry_after", &[("true", true), ("false", false)]).unwrap_or(false);
    if let (Some(node), None) = (fields.get("retry_after").filter(|_| plan.retry_after), fields.get("rate")) {
        let error = Diagnostic::at(node.place, "`retry_after` tells when the rate allows more, and there is none");
        reader.error(error.help("add `rate: 100/s`, or take `retry_after` away"));
    }
    if fields.get("timeout").is_none() {
        reader.explain_default(&fields.path_of("timeout"), "none", "they wait for ever");
    }
    fields.finish(reader);
    (plan, per_key)
}

/// Grants per second, and how many at one instant.
fn rate(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<(f64, u32)> {
    let burst = fields.count32(reader, "burst", 1, MOST);
    let Some(node) = fields.get("rate") else {
        if let Some(entry) = fields.entry("burst") {
            let error = Diagnostic::at(entry.place, "`burst` is of a `rate`, and there is none");
            reader.error(error.help("add `rate: 100/s`, or take `burst` away"));
        }
        return None;
    };
    if fields.get("burst").is_none() {
        reader.explain_default(&fields.path_of("burst"), "1", "");
    }
    let rate = fields.quantity(reader, "rate", units::parse_rate, "a rate")?;
    if rate <= 0.0 {
        reader.error(Diagnostic::at(node.place, "a resource of this rate is never granted"));
        return None;
    }
    Some((rate, burst.unwrap_or(1)))
}

fn queue(reader: &mut Reader, fields: &mut Fields<'_>) -> u32 {
    let path = fields.path_of("queue");
    match fields.get("queue") {
        None => {
            reader.explain_default(&path, "unlimited", "");
            u32::MAX
        }
        Some(node) if node.text() == Some("unlimited") => {
            reader.explain(&path, "unlimited".into(), node.place);
            u32::MAX
        }
        Some(_) => fields.count32(reader, "queue", 0, MOST).unwrap_or(u32::MAX),
    }
}

/// A resource for each key says nothing about requests and events without a key.
pub(super) fn refuse_keys_of_no_keys(reader: &mut Reader, plan: &Plan, places: &[Option<Place>]) {
    if places.iter().all(Option::is_none) {
        return;
    }
    let (initiators, keyless) = (plan.initiators(), keys::keyless_topics(plan));
    for (place, resource) in places.iter().zip(0_u32..).filter_map(|(place, id)| Some(((*place)?, id))) {
        let holds = |handler: &Handler| {
            let mut held = false;
            handler.visit(&mut |step| held |= matches!(step, Step::Hold { of, .. } if of.0 == resource));
            held
        };
        let services = plan.services.iter().zip(&initiators).filter(|(service, _)| holds(&service.handler));
        let producers = plan.producers.iter().zip(0..).filter(|(producer, _)| holds(&producer.handler));
        let consumers = plan.consumers.iter().zip(0..).filter(|(consumer, _)| holds(&consumer.handler));
        let mut holders = services
            .flat_map(|(_, initiators)| initiators.iter().copied())
            .chain(producers.map(|(_, id)| Initiator::Producer(ProducerId(id))))
            .chain(consumers.map(|(_, id)| Initiator::Consumer(ConsumerId(id))));
        let Some(initiator) = holders.find(|initiator| keys::is_keyless(plan, *initiator, &keyless)) else { continue };
        let (what, help) = without_key(plan, initiator, &keyless);
        let message = format!("`per_key` gives each key its own, and {what} have none");
        reader.error(Diagnostic::at(place, message).help(help));
    }
}

/// What has no key, and how it gets one.
fn without_key(plan: &Plan, initiator: Initiator, keyless: &[bool]) -> (String, String) {
    match initiator {
        Initiator::User(id) => {
            let name = &plan.services[id.0 as usize].name;
            (format!("requests that come in at `{name}`"), format!("give `services.{name}` a `key`"))
        }
        Initiator::Producer(id) => {
            let name = &plan.producers[id.0 as usize].name;
            (format!("events of `{name}`"), format!("give `producers.{name}` a `key`"))
        }
        Initiator::Consumer(id) => {
            let consumer = &plan.consumers[id.0 as usize];
            let topic = consumer.subscribes.iter().find(|topic| keyless[topic.0 as usize]).expect("it reads some");
            let (name, topic) = (&consumer.name, &plan.topics[topic.0 as usize].name);
            (format!("events of {topic}, which `{name}` reads,"), "give the `key` of what is published there".into())
        }
    }
}
