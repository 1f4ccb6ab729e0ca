//! The step `transaction`: where it may stand, and what its handler's clients must be like.

use super::buses::Buses;
use super::diagnostics::Diagnostic;
use super::handlers;
use super::reader::{Fields, Reader};
use super::tree::{Node, Place, Value};
use crate::plan::{ClientPlan, ConsumerPlan, Handler, Settle, Step, TopicId};

/// The step as it is written.
const STEP: &str = "transaction";
/// The setting that gives a client its id.
const ID: &str = "transactional.id";

/// Steps that may neither hold a transaction nor be in one.
fn apart(step: &Step) -> Option<&'static str> {
    match step {
        Step::Parallel { .. } => Some("parallel"),
        Step::Saga(_) => Some("saga"),
        Step::Await(_) => Some("await"),
        Step::Transaction(_) => Some(STEP),
        _ => None,
    }
}

/// Where the transactions of a handler are written.
fn places(node: &Node, found: &mut Vec<Place>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| places(item, found)),
        Value::Map(entries) => {
            for entry in entries {
                if entry.key == STEP {
                    found.push(entry.place);
                }
                places(&entry.value, found);
            }
        }
        _ => {}
    }
}

/// Where the transaction of a handler is written, if it has one.
fn place_of(fields: &mut Fields<'_>, handler: &Handler) -> Option<Place> {
    handler.transaction()?;
    let mut found = Vec::new();
    places(fields.get("handler")?, &mut found);
    found.first().copied()
}

/// Whether a handler that is still to be read has transactions.
pub(super) fn is_written(fields: &mut Fields<'_>) -> bool {
    let mut found = Vec::new();
    fields.get("handler").into_iter().for_each(|node| places(node, &mut found));
    !found.is_empty()
}

/// A service has none.
pub(super) fn refuse(reader: &mut Reader, fields: &mut Fields<'_>, handler: &Handler) {
    if let Some(place) = place_of(fields, handler) {
        let error = Diagnostic::at(place, "not yet supported: the step `transaction` of a service");
        reader.error(error.help("publish beside `local_commit` with an `outbox`, or in a producer or consumer"));
    }
}

/// The transaction of a producer or consumer: its place; none: it has none, or one that is refused.
pub(super) fn check(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    handler: &Handler,
    clients: &[(TopicId, ClientPlan)],
    (buses, processes): (&Buses, u32),
) -> Option<Place> {
    let id = fields.get("settings").and_then(|node| setting(node, ID));
    let Some(place) = place_of(fields, handler) else {
        if let Some((place, _)) = id {
            let error = Diagnostic::at(place, format!("`{ID}`, and a handler without a step `transaction`"));
            let help = "put its publish steps into one: `transaction: [ { publish: orders } ]`, or leave it out";
            reader.error(error.label("the client refuses to send outside of a transaction").help(help));
        }
        return None;
    };
    let errors = reader.errors.len();
    if let Some((at, text)) = id
        && !matches!(text, "kept" | "random")
        && (processes > 1 || text.is_empty())
    {
        let message = match text {
            "" => format!("`{ID}` is empty"),
            text => format!("one `{ID}` for {processes} processes: `{text}`"),
        };
        let help = "leave it out: each process has one of its own, which the one after it has too; or `random`, for another \
                    at each start";
        reader.error(Diagnostic::at(at, message).label("each that starts puts an end to the one before").help(help));
    }
    shape(reader, handler, place);
    note_what_is_outside(reader, &fields.path, handler);
    if let Some(entry) = fields.entry("outbox") {
        let error = Diagnostic::at(place, "a `transaction` of the bus, and an `outbox`");
        let help = "with an outbox a relay publishes: keep one of the two";
        reader.error(error.context(entry.place, "the outbox").label("its handler does not publish itself").help(help));
    }
    let published = handlers::published(handler);
    let named = |topic: TopicId| buses.list[buses.at(topic).bus].name.clone();
    for (topic, client) in clients.iter().filter(|(topic, _)| published.contains(topic)) {
        if client.transactions.is_none() {
            let profile = &buses.list[buses.at(*topic).bus].profile.name;
            let error = Diagnostic::at(place, format!("profile {profile} has no transactions"));
            let help = "publish without `transaction`, or in a local transaction with an `outbox`";
            reader.error(error.help(help));
            break;
        }
        if !client.idempotent {
            let at = id.map_or(place, |(at, _)| at);
            let message =
                format!("`{ID}` needs `enable.idempotence: true` (and so `acks: all`, and `retries` above 0)");
            reader.error(Diagnostic::at(at, message).label("the client refuses this"));
            break;
        }
    }
    let first = published.first().copied();
    if let Some(other) = published.iter().find(|topic| first.is_some_and(|first| named(first) != named(**topic))) {
        let message = format!("a transaction is one of one bus, and this handler publishes to {}, too", named(*other));
        reader.error(Diagnostic::at(place, message));
    }
    (reader.errors.len() == errors).then_some(place)
}

/// Where a setting is written, and its text.
fn setting<'n>(node: &'n Node, name: &str) -> Option<(Place, &'n str)> {
    let Value::Map(entries) = &node.value else { return None };
    let entry = entries.iter().find(|entry| entry.key == name && !entry.value.is_null())?;
    Some((entry.place, entry.value.text().unwrap_or_default()))
}

/// Notes what a transaction of the bus does not take back.
fn note_what_is_outside(reader: &mut Reader, path: &str, handler: &Handler) {
    let mut outside = None;
    handler.visit(&mut |step| {
        outside = outside.or(match step {
            Step::Call(_) => Some("call"),
            Step::Commit(_) => Some("local_commit"),
            _ => None,
        });
    });
    if let Some(step) = outside {
        reader.notes.push(format!(
            "{path}: what its `{step}` does is no part of the transaction: an attempt that is given up has done it all the same, \
             and the next one does it again"
        ));
    }
}

/// One transaction, with nothing in or around it that runs beside it.
fn shape(reader: &mut Reader, handler: &Handler, place: Place) {
    let (mut count, mut beside, mut publishes, mut inside) = (0, None, 0, 0);
    handler.visit(&mut |step| {
        publishes += u32::from(matches!(step, Step::Publish(_)));
        let inner = || step.nested().into_iter().flatten();
        if matches!(step, Step::Transaction(_)) {
            count += 1;
            inner().for_each(|step| {
                step.visit(&mut |step| {
                    beside = beside.or(apart(step));
                    inside += u32::from(matches!(step, Step::Publish(_)));
                });
            });
        } else if let Some(name) = apart(step) {
            let holds = |step: &Step| matches!(step, Step::Transaction(_));
            inner().for_each(|step| step.visit(&mut |step| beside = beside.or(holds(step).then_some(name))));
        }
    });
    if beside == Some(STEP) {
        let error = Diagnostic::at(place, "a transaction in a transaction");
        reader.error(error.help("a client has one at a time: put the steps into the outer one"));
    } else if let Some(name) = beside {
        reader.not_yet(place, &format!("`transaction` and `{name}` inside of each other"));
    } else if count > 1 {
        reader.not_yet(place, "more than one `transaction` of a handler");
    } else if inside == 0 {
        let error = Diagnostic::at(place, "nothing is published in this transaction");
        reader.error(error.help("put the publish steps into it: `transaction: [ { publish: orders } ]`"));
    } else if inside < publishes {
        let error = Diagnostic::at(place, "a handler with a `transaction` that publishes outside of it, too");
        let help = "a client with transactions sends nothing outside of one: put all publish steps into it";
        reader.error(error.label("the client refuses the other").help(help));
    }
}

/// What else holds for a consumer, whose positions are part of its transaction.
pub(super) fn check_consumer(
    reader: &mut Reader,
    plan: &ConsumerPlan,
    place: Option<Place>,
    (bus, buses): (usize, &Buses),
) {
    let Some(place) = place else { return };
    let mut refuse = |message: String, help: &str| reader.error(Diagnostic::at(place, message).help(help.to_owned()));
    if !matches!(plan.handler.steps.last(), Some(Step::Transaction(_))) {
        let message = "the transaction of a consumer is the last step of its handler".to_owned();
        refuse(
            message,
            "it commits the position: what came after it would be lost with a crash. Put it before, or inside",
        );
    }
    if plan.workers > 1 {
        let message = format!("a transaction with `workers: {}`", plan.workers);
        refuse(message, "it commits the position of all before: use `members`, with one worker each");
    }
    if plan.settle != Settle::After {
        let message = "a transaction commits the positions, and `settle` has the client commit them, too".to_owned();
        refuse(message, "leave `settle` out");
    }
    if plan.retry_topics.is_some() {
        let message = "not yet supported: a transaction with retry topics".to_owned();
        refuse(message, "try again in place: `retry: { mode: blocking }`");
    }
    let other = handlers::published(&plan.handler).into_iter().find(|topic| buses.at(*topic).bus != bus);
    if let Some(other) = other {
        let (from, to) = (&buses.list[bus].name, &buses.list[buses.at(other).bus].name);
        let message = format!("it reads from {from} and publishes to {to}: no transaction spans two buses");
        refuse(message, "publish without `transaction`");
    }
}
