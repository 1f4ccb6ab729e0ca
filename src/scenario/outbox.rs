//! `outbox`: publishes that are part of the local transaction, and the relay that takes them to the bus.

use super::diagnostics::Diagnostic;
use super::distributions::{self, Of};
use super::handlers;
use super::profiles;
use super::reader::{Fields, Reader};
use super::settings::{self, Table, Values};
use super::tree::Place;
use crate::dist::Dist;
use crate::plan::{Acks, ClientPlan, Handler, OutboxPlan, Relay, Step, TopicId};
use crate::profile::{Scope, USUAL_RELAY};
use crate::time::SimSpan;

/// Most rows that one look takes.
const MOST_ROWS: u32 = 1_000_000;

/// Reads `outbox` of a producer or service; the publish steps of its handler become part of the local transaction.
pub(super) fn read(reader: &mut Reader, fields: &mut Fields<'_>, handler: &mut Handler) -> Option<OutboxPlan> {
    let path = fields.path_of("outbox");
    let entry = fields.entry("outbox").filter(|entry| !entry.value.is_null())?;
    reader.explain(&path, entry.value.to_text(), entry.value.place);
    let mut own = Fields::open(reader, &entry.value, entry.place, path, "`outbox`")?;
    let (poll, cdc) = (own.entry("poll").map(|it| it.place), own.entry("cdc").map(|it| it.place));
    let outbox = match (poll, cdc) {
        (Some(place), None) => polling(reader, &mut own, place),
        (None, Some(_)) => tailing(reader, &mut own),
        (both, _) => {
            let message = if both.is_some() { "an outbox has one relay" } else { "an outbox without a relay" };
            let help = "write `outbox: { poll: 1s, batch: 100 }` (a process looks for rows), or `outbox: { cdc: 50ms }` (a \
                        connector reads the log of the database)";
            reader.error(Diagnostic::at(entry.place, message).help(help));
            own.allow(&["batch", "profile", "settings", "settings_file"]);
            None
        }
    };
    own.finish(reader);
    let nothing = fields.get("handler").is_none() && fields.get("publishes").is_none();
    if handlers::published(handler).is_empty() && (nothing || !handler.steps.is_empty()) {
        let error = Diagnostic::at(entry.place, "nothing is published through this outbox");
        reader.error(error.help("add a publish step, or take the outbox away"));
    }
    join_transaction(reader, handler, entry.place);
    outbox
}

fn polling(reader: &mut Reader, fields: &mut Fields<'_>, place: Place) -> Option<OutboxPlan> {
    let every = fields.span(reader, "poll");
    if every == Some(SimSpan::ZERO) {
        reader.error(Diagnostic::at(place, "a relay that polls every 0s does nothing else").help("write `poll: 1s`"));
    }
    fields.required(reader, "batch", "batch: 100");
    let batch = fields.count32(reader, "batch", 1, MOST_ROWS);
    // It is part of a process that is there already.
    Some(OutboxPlan { relay: Relay::Poll { every: every?, batch: batch? }, startup: Dist::Constant(0.0) })
}

fn tailing(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<OutboxPlan> {
    let delay = fields.get("cdc").and_then(|node| distributions::read(reader, node, Of::Time));
    let node = fields.get("profile");
    let name = node.map_or(Some(USUAL_RELAY), |node| {
        let name = node.text();
        if name.is_none() {
            reader.wrong_kind(node, "the name of a profile");
        }
        name
    })?;
    match node {
        Some(node) => reader.explain(&fields.path_of("profile"), node.to_text(), node.place),
        None => reader.explain_default(&fields.path_of("profile"), USUAL_RELAY, ""),
    }
    let profile = profiles::load_relay(reader, name, node.map_or(fields.at, |node| node.place))?;
    let table = Table { profile: &profile, scope: Scope::Producer, switched: None };
    let over = settings::read(reader, fields, &[table]).remove(0);
    let values = Values { profile: &profile, over: &over };
    let store_every = values.span("store_every");
    if store_every == SimSpan::ZERO {
        let name = profile.official(Scope::Producer, "store_every");
        let place = values.place("store_every").unwrap_or(fields.at);
        reader.error(Diagnostic::at(place, format!("`{name}` must be above 0")));
    }
    Some(OutboxPlan { relay: Relay::Tail { delay: delay?, store_every }, startup: values.dist("startup") })
}

/// Refuses relays that note as sent what they have not heard of.
pub(super) fn check_clients(reader: &mut Reader, place: Place, clients: &[(TopicId, ClientPlan)]) {
    if clients.iter().any(|(_, client)| client.acks == Acks::None) {
        reader.not_yet(place, "an `outbox` whose relay waits for no acknowledgement");
    }
}

/// Makes the publish steps of a handler part of its local transaction: those that come after it stand before it.
fn join_transaction(reader: &mut Reader, handler: &mut Handler, place: Place) {
    let mut alternatives = false;
    handler.visit(&mut |step| alternatives |= matches!(step, Step::Publish(publish) if publish.otherwise.is_some()));
    if alternatives {
        let error =
            Diagnostic::at(place, "with an outbox no publish step fails: it writes a row, which a relay publishes");
        reader.error(error.help("take its `else` away"));
    }
    gather(&mut handler.steps);
    if stray(&handler.steps, false, false) {
        let error = Diagnostic::at(place, "a publish step comes after `local_commit`, in another list of steps");
        let help =
            "with an outbox it is part of the local transaction: put it before `local_commit`, or into the same list";
        reader.error(error.label("this outbox could not tell what it belongs to").help(help));
    }
}

/// Moves the publish steps of a list that come after its last transaction (which may be inside of what is held) before it.
fn gather(steps: &mut Vec<Step>) {
    let commits = |step: &Step| match step {
        Step::Commit(_) => true,
        Step::Hold { steps, .. } => holds_commit(steps),
        _ => false,
    };
    if let Some(at) = steps.iter().rposition(commits) {
        let (published, others): (Vec<Step>, Vec<Step>) =
            steps.drain(at + 1..).partition(|step| matches!(step, Step::Publish(_)));
        steps.extend(others);
        put_before(steps, at, published);
    }
    for inner in steps.iter_mut().flat_map(Step::nested_mut) {
        gather(inner);
    }
}

fn holds_commit(steps: &[Step]) -> bool {
    steps.iter().any(|step| match step {
        Step::Commit(_) => true,
        Step::Hold { steps, .. } => holds_commit(steps),
        _ => false,
    })
}

/// Puts steps before the transaction that is, or is inside of, step number `at`.
fn put_before(steps: &mut Vec<Step>, at: usize, published: Vec<Step>) {
    if let Step::Hold { steps: inner, .. } = &mut steps[at] {
        // At its end: it is gathered next.
        inner.extend(published);
    } else {
        steps.splice(at..at, published);
    }
}

/// Whether a publish step comes after a transaction and before no other.
fn stray(steps: &[Step], committed: bool, commits_later: bool) -> bool {
    let any = |steps: &[Step]| Handler { steps: steps.to_vec() }.commits();
    let mut before = committed;
    for (index, step) in steps.iter().enumerate() {
        let later = commits_later || any(&steps[index + 1..]);
        let itself = matches!(step, Step::Publish(_)) && before && !later;
        if itself || step.nested().into_iter().any(|inner| stray(inner, before, later)) {
            return true;
        }
        before |= any(std::slice::from_ref(step));
    }
    false
}
