//! Producers: where events begin.

use super::arrivals;
use super::buses::{check_name, named_entries};
use super::clients;
use super::diagnostics::Diagnostic;
use super::distributions::{self, Of};
use super::handlers::{self, Known};
use super::keys;
use super::outbox;
use super::reader::{Fields, Reader};
use super::transactions;
use super::tree::{Entry, Node};
use crate::dist::{Arrivals, Dist};
use crate::plan::{Handler, KeyPlan, ProducerPlan};

/// Most processes of one thing.
pub(super) const MAX_PROCESSES: u32 = 10_000;

/// Reads the section `producers`, sorted by name.
pub(super) fn read(reader: &mut Reader, section: &Node, known: &Known<'_>) -> Vec<ProducerPlan> {
    let mut producers = Vec::new();
    let mut entries = named_entries(reader, section, "producers");
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    for entry in entries.into_iter().filter(|entry| !entry.value.is_null()) {
        check_name(reader, entry);
        producers.extend(producer(reader, entry, known));
    }
    producers
}

fn producer(reader: &mut Reader, entry: &Entry, known: &Known<'_>) -> Option<ProducerPlan> {
    let path = format!("producers.{}", entry.key);
    reader.explained.things.push(path.clone());
    let what = format!("the producer `{}`", entry.key);
    let mut fields = Fields::open(reader, &entry.value, entry.place, path.clone(), what.clone())?;
    fields.not_yet(reader, &["schema", "zones", "startup"]);
    fields.required(reader, "arrivals", "arrivals: { poisson: 500/s }");
    let arrivals = arrivals(reader, &mut fields);
    let events_per_arrival = dist(reader, &mut fields, "events_per_arrival", Of::Count, "1", 1.0);
    let key = key(reader, &mut fields);
    let size = dist(reader, &mut fields, "size", Of::Size, "1KiB", 1024.0);
    fields.explain(reader, &["type"]);
    let types = fields.get("type").map_or_else(Vec::new, |node| types(reader, node));
    let instances = fields.count32(reader, "instances", 1, MAX_PROCESSES);
    if instances.is_none() {
        reader.explain_default(&fields.path_of("instances"), "1", "");
    }
    let handler = handlers::read(reader, &mut fields, known);
    if handler.is_none() && !["handler", "publishes", "service_time"].into_iter().any(|key| fields.get(key).is_some()) {
        let error = Diagnostic::at(entry.place, format!("{what} lacks `publishes`"));
        reader.error(error.label("it does nothing").help("add `publishes: TOPIC`, or a `handler` with a publish step"));
    }
    let failure = handlers::failure(reader, &mut fields);
    if failure.hang > 0.0 || failure.crash > 0.0 {
        let place = fields.get("failure").map_or(entry.place, |node| node.place);
        reader.not_yet(place, "`hang` and `crash` of a producer");
    }
    let mut handler = handler.unwrap_or_default();
    let outbox = outbox::read(reader, &mut fields, &mut handler);
    let topics = handlers::published(&handler);
    if !handler.steps.is_empty() && topics.is_empty() && handler.is_simple() && reader.errors.is_empty() {
        reader.notes.push(format!("{path} publishes nothing"));
    }
    let clients = clients::of(reader, &mut fields, known.buses, &topics);
    if let Some(entry) = fields.entry("outbox").filter(|_| outbox.is_some()) {
        outbox::check_clients(reader, entry.place, &clients);
    }
    transactions::check(reader, &mut fields, &handler, &clients, (known.buses, instances.unwrap_or(1)));
    fields.finish(reader);
    Some(ProducerPlan {
        name: entry.key.clone(),
        arrivals: arrivals?,
        events_per_arrival: events_per_arrival?,
        key: key?,
        size: size?,
        types,
        instances: instances.unwrap_or(1),
        handler,
        failure,
        outbox,
        clients,
    })
}

/// `arrivals`, where there are some.
pub(super) fn arrivals(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<Arrivals> {
    let node = fields.get("arrivals")?;
    reader.explain(&fields.path_of("arrivals"), node.to_text(), node.place);
    arrivals::read(reader, node)
}

/// `key`: of what begins here.
pub(super) fn key(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<KeyPlan> {
    let path = fields.path_of("key");
    let Some(node) = fields.get("key") else {
        reader.explain_default(&path, "none", "");
        return Some(KeyPlan::None);
    };
    reader.explain(&path, node.to_text(), node.place);
    keys::read(reader, node)
}

/// A distribution with a default.
pub(super) fn dist(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    key: &'static str,
    of: Of,
    shown: &str,
    default: f64,
) -> Option<Dist> {
    let path = fields.path_of(key);
    let Some(node) = fields.get(key) else {
        reader.explain_default(&path, shown, "");
        return Some(Dist::Constant(default));
    };
    reader.explain(&path, node.to_text(), node.place);
    distributions::read(reader, node, of)
}

/// Shares of event types.
pub(super) fn types(reader: &mut Reader, node: &Node) -> Vec<(u16, f64)> {
    if node.text().is_some() {
        return keys::event_type(reader, node).map(|index| (index, 1.0)).into_iter().collect();
    }
    let shares = keys::shares(reader, node).unwrap_or_default();
    let index = |name: &str| {
        reader.event_types.iter().position(|known| known == name).and_then(|index| u16::try_from(index).ok())
    };
    shares.iter().filter_map(|(name, share)| Some((index(name)?, *share))).collect()
}

/// Whether a handler takes the same time, always, until its last publish.
pub(super) fn steady(handler: &Handler) -> bool {
    use crate::plan::Step;
    handler.steps.iter().all(|step| match step {
        Step::Work(dist) | Step::Wait(dist) => dist.constant().is_some(),
        Step::Publish(_) => true,
        Step::Choose(branches) => branches
            .iter()
            .all(|(_, steps)| steps.iter().all(|step| matches!(step, Step::Publish(publish) if !publish.wait_for_ack))),
        _ => false,
    })
}
