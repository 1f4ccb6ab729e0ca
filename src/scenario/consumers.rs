//! Consumers: who reads what, how, and what follows a failure.

use super::autoscale;
use super::buses::{Buses, check_name, named_entries};
use super::clients;
use super::diagnostics::Diagnostic;
use super::distributions::{self, Of};
use super::groups;
use super::handlers::{self, Known};
use super::keys;
use super::producers::MAX_PROCESSES;
use super::reader::{Fields, Reader, items};
use super::retries;
use super::settings::{self, Overrides, Table, Values};
use super::transactions;
use super::tree::{Entry, Node, Place};
use crate::dist::Dist;
use crate::plan::{
    BatchPlan, ClientPlan, ConsumerPlan, Dispatch, FailurePlan, Handler, IdempotencePlan, LogDispatch, QueueDispatch,
    Reset, RetryMode, RetryTopics, SchedulePlan, Settle, TopicId, WorkerOrder,
};
use crate::profile::{BusProfile, Discipline, Scope};
use crate::time::SimSpan;
use crate::units;

/// A consumer with what is needed to finish it once all are known.
pub(super) struct Read {
    /// The plan; `keys` and `max_fetch_records` are still open.
    pub(super) plan: ConsumerPlan,
    /// Where it is named.
    pub(super) place: Place,
    /// Index of the bus it reads from.
    pub(super) bus: usize,
    /// Share of the keys that is asked for.
    pub(super) keys: Option<(f64, Place)>,
    /// Most bytes of one partition in one fetch.
    pub(super) max_fetch_bytes: u64,
    /// The group's name.
    pub(super) group: String,
}

/// Reads the section `consumers`, sorted by name.
pub(super) fn read(reader: &mut Reader, section: &Node, known: &Known<'_>) -> Vec<Read> {
    let mut consumers = Vec::new();
    let mut entries = named_entries(reader, section, "consumers");
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    for entry in entries.into_iter().filter(|entry| !entry.value.is_null()) {
        check_name(reader, entry);
        consumers.extend(consumer(reader, entry, known));
    }
    consumers
}

/// What a consumer says before its profile matters.
struct Own {
    types: Option<Vec<u16>>,
    keys: Option<(f64, Place)>,
    group: String,
    autoscale: Option<autoscale::Written>,
    members: u32,
    workers: u32,
    handler: Handler,
    failure: FailurePlan,
    batch: Option<BatchPlan>,
    schedule: Option<SchedulePlan>,
    dead_letter: Option<TopicId>,
    idempotent: Option<IdempotencePlan>,
}

fn own(reader: &mut Reader, fields: &mut Fields<'_>, name: &str, known: &Known<'_>) -> Own {
    fields.explain(reader, &["types", "keys", "group"]);
    let share = |reader: &mut Reader, node: &Node| reader.quantity(node, units::parse_share, "a share");
    let autoscale = fields.entry("autoscale").and_then(|entry| autoscale::read(reader, fields, entry));
    Own {
        types: fields.get("types").map(|node| wanted_types(reader, node)),
        keys: fields.get("keys").and_then(|node| share(reader, node).map(|share| (share, node.place))),
        group: fields.get("group").and_then(Node::text).unwrap_or(name).to_owned(),
        members: members(reader, fields, autoscale.as_ref()),
        autoscale,
        workers: counted(reader, fields, "workers"),
        handler: handlers::read(reader, fields, known).unwrap_or_default(),
        failure: handlers::failure(reader, fields),
        batch: fields.entry("batch").and_then(|entry| batch(reader, fields, entry)),
        schedule: fields.entry("schedule").and_then(|entry| schedule(reader, fields, entry)),
        dead_letter: dead_letter(reader, fields, known.buses),
        idempotent: fields.entry("idempotent").and_then(|entry| idempotent(reader, fields, entry)),
    }
}

/// Keys that the profile has a say in.
const WITH_PROFILE: [&str; 7] = ["client", "order", "retry", "settle", "startup", "settings", "settings_file"];

fn consumer(reader: &mut Reader, entry: &Entry, known: &Known<'_>) -> Option<Read> {
    let buses = known.buses;
    let path = format!("consumers.{}", entry.key);
    reader.explained.things.push(path.clone());
    let mut fields = Fields::open(reader, &entry.value, entry.place, path, format!("the consumer `{}`", entry.key))?;
    fields.not_yet(reader, &["window", "join", "state", "schema", "zones"]);
    let subscribes = fields.required(reader, "subscribes", "subscribes: orders");
    let subscribes = subscribes.and_then(|node| subscriptions(reader, &fields, node, buses));
    let own = own(reader, &mut fields, &entry.key, known);
    let readable = subscribes.is_some();
    let Some((topics, bus, discipline)) = subscribes.or_else(|| buses.the_only_kind()) else {
        fields.allow(&WITH_PROFILE);
        fields.finish(reader);
        return None;
    };
    let mut published = handlers::published(&own.handler);
    published.extend(own.dead_letter);
    published.sort_unstable();
    published.dedup();
    let connected = published.iter().map(|topic| buses.at(*topic).bus).chain([bus]);
    let profiles = clients::profiles(reader, &mut fields, buses, connected);
    let profile: &BusProfile = &profiles[&bus];
    let table = Table { profile, scope: Scope::Consumer, switched: buses.list[bus].switched };
    let retried = topics.first().copied().filter(|_| discipline == Discipline::Log);
    let (clients, retry_topics, over) =
        publishing(reader, &mut fields, (buses, &profiles), (&published, retried), table);
    let over = groups::with_bus(over, &buses.list[bus]);
    let values = Values { profile, over: &over };
    groups::check(reader, &values);
    let kind = Kind { profile, values, discipline, network: buses.list[bus].network.clone(), workers: own.workers };
    let order = order(reader, &mut fields, &kind);
    if discipline == Discipline::Queue {
        refuse_on_a_queue(reader, &mut fields);
    }
    let retry = retries::retry(reader, &mut fields, &kind);
    let settle = settle(reader, &mut fields, &kind, &over);
    let startup = startup(reader, &mut fields, profile);
    refuse_unseen_hangs(reader, &mut fields, own.failure, &values, entry.place);
    let membership = groups::membership(&values);
    let autoscale = autoscale::whole(reader, own.autoscale, (&fields.path, own.members), (&topics, buses), &membership);
    let transaction = transactions::check(reader, &mut fields, &own.handler, &clients, (buses, own.members));
    fields.finish(reader);
    let plan = ConsumerPlan {
        name: entry.key.clone(),
        subscribes: topics,
        types: own.types,
        keys: (0.0, 1.0),
        members: own.members,
        autoscale,
        workers: own.workers,
        order,
        handler: own.handler,
        batch: own.batch,
        schedule: own.schedule,
        failure: own.failure,
        retry_topics: retry_topics.filter(|_| retry.mode == RetryMode::RetryTopic && retry.attempts > 1),
        retry,
        dead_letter: own.dead_letter,
        idempotent: own.idempotent,
        settle,
        committed_only: values.word("isolation") == "committed",
        dispatch: dispatch(&kind),
        membership,
        startup,
        clients,
        key_order: Ok(()),
    };
    groups::note_slow_polls(reader, &plan, &values);
    transactions::check_consumer(reader, &plan, transaction, (bus, buses));
    let max_fetch_bytes = values.count("max_fetch_bytes");
    readable.then_some(Read { plan, place: entry.place, bus, keys: own.keys, max_fetch_bytes, group: own.group })
}

/// Notes a timer for settling that is set and not used.
fn note_idle_timer(reader: &mut Reader, fields: &Fields<'_>, values: &Values<'_>, settle: Settle) {
    if values.place("auto_settle_every").is_some() && !matches!(settle, Settle::Timer(_)) {
        let name = values.profile.official(Scope::Consumer, "auto_settle_every");
        let why = "positions are committed after the effect; `settle: auto` uses the timer";
        reader.without_effect(&fields.path_of("settings"), name, why);
    }
}

/// A handler that hangs where nothing notices it would stop its group.
fn refuse_unseen_hangs(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    failure: FailurePlan,
    values: &Values<'_>,
    at: Place,
) {
    if failure.hang > 0.0 && !values.has("progress_timeout") {
        let place = fields.get("failure").map_or(at, |node| node.place);
        let message = format!("not yet supported: `hang` on profile {}, where nothing notices it", values.profile.name);
        reader.error(Diagnostic::at(place, message).label("it has no time-out for progress"));
    }
}

/// The clients of a consumer: for each topic that it publishes to, for retry topics, and its settings as a reader. A retry
/// topic is published to as the topic that it belongs to, `retried`, would be.
fn publishing(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    (buses, profiles): (&Buses, &clients::Profiles<'_>),
    (published, retried): (&[TopicId], Option<TopicId>),
    table: Table<'_>,
) -> (Vec<(TopicId, ClientPlan)>, Option<RetryTopics>, Overrides) {
    let retried = retried.filter(|_| retries::asks_for_topics(fields));
    let all: Vec<TopicId> = published.iter().copied().chain(retried).collect();
    let (mut clients, over) = clients::publishing(reader, fields, (buses, profiles), &all, Some(table));
    let retry_topics = retried.and_then(|_| clients.pop()).map(|(_, client)| RetryTopics::new(client));
    (clients, retry_topics, over)
}

/// What the profile decides.
pub(super) struct Kind<'a> {
    pub(super) profile: &'a BusProfile,
    pub(super) values: Values<'a>,
    pub(super) discipline: Discipline,
    network: Dist,
    workers: u32,
}

/// Topics, their bus and how they are read.
fn subscriptions(
    reader: &mut Reader,
    fields: &Fields<'_>,
    node: &Node,
    buses: &Buses,
) -> Option<(Vec<TopicId>, usize, Discipline)> {
    reader.explain(&fields.path_of("subscribes"), node.to_text(), node.place);
    let listed = items(node);
    let mut topics: Vec<TopicId> = listed.iter().filter_map(|item| buses.topic(reader, item)).collect();
    if topics.len() < listed.len() {
        return None;
    }
    topics.sort_unstable();
    topics.dedup();
    let Some(first) = topics.first() else {
        reader.error(Diagnostic::at(node.place, "a consumer subscribes to at least one topic"));
        return None;
    };
    let (bus, discipline) = (buses.at(*first).bus, buses.at(*first).discipline);
    if topics.iter().any(|topic| buses.at(*topic).bus != bus) {
        reader.not_yet(node.place, "one consumer for topics of two buses");
        return None;
    }
    if topics.iter().any(|topic| buses.at(*topic).discipline != discipline) {
        reader.not_yet(node.place, "one consumer for topics and queues together");
        return None;
    }
    Some((topics, bus, discipline))
}

/// Indices of the event types wanted; `ride.*` stands for all that begin so.
fn wanted_types(reader: &mut Reader, node: &Node) -> Vec<u16> {
    let mut wanted = Vec::new();
    for item in items(node) {
        let Some(text) = item.text() else {
            reader.wrong_kind(item, "the name of an event type");
            continue;
        };
        let fits = |name: &str| match text.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == text,
        };
        let before = wanted.len();
        for (index, name) in (0_u16..).zip(&reader.event_types).skip(1) {
            if fits(name) {
                wanted.push(index);
            }
        }
        if wanted.len() == before {
            reader.error(keys::unknown_type(reader, item, text));
        }
    }
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

/// Processes at the start.
fn members(reader: &mut Reader, fields: &mut Fields<'_>, autoscale: Option<&autoscale::Written>) -> u32 {
    match autoscale {
        Some(autoscale) if fields.get("members").is_none() => {
            let start = autoscale.start();
            reader.explain_default(&fields.path_of("members"), start.to_string(), "the fewest of `autoscale`");
            start
        }
        _ => counted(reader, fields, "members"),
    }
}

/// Members or workers.
fn counted(reader: &mut Reader, fields: &mut Fields<'_>, key: &'static str) -> u32 {
    let count = fields.count32(reader, key, 1, MAX_PROCESSES);
    if fields.get(key).is_none() {
        reader.explain_default(&fields.path_of(key), "1", "");
    }
    count.unwrap_or(1)
}

fn batch(reader: &mut Reader, outer: &Fields<'_>, entry: &Entry) -> Option<BatchPlan> {
    let mut fields = Fields::open(reader, &entry.value, entry.place, outer.path_of("batch"), "`batch`")?;
    fields.required(reader, "max", "max: 500");
    let max = fields.count32(reader, "max", 1, 1_000_000);
    let max_wait = fields.span(reader, "max_wait").unwrap_or(SimSpan::ZERO);
    fields.finish(reader);
    Some(BatchPlan { max: max?, max_wait })
}

fn schedule(reader: &mut Reader, outer: &Fields<'_>, entry: &Entry) -> Option<SchedulePlan> {
    if entry.value.text() == Some("always") {
        return None;
    }
    let mut fields = Fields::open(reader, &entry.value, entry.place, outer.path_of("schedule"), "`schedule`")?;
    fields.required(reader, "every", "every: 5m");
    let every = fields.span(reader, "every");
    let place = fields.get("every").map_or(entry.place, |node| node.place);
    let offset = fields.span(reader, "offset");
    if let (Some(every), None) = (every, offset) {
        reader.explain_default(&fields.path_of("offset"), units::write_duration(every), "one interval after the start");
    }
    fields.finish(reader);
    let every = every?;
    if every == SimSpan::ZERO {
        reader.error(Diagnostic::at(place, "a consumer that wakes every 0s never sleeps").help("leave `schedule` out"));
        return None;
    }
    Some(SchedulePlan { every, offset: offset.unwrap_or(every) })
}

fn idempotent(reader: &mut Reader, outer: &Fields<'_>, entry: &Entry) -> Option<IdempotencePlan> {
    let mut fields = Fields::open(reader, &entry.value, entry.place, outer.path_of("idempotent"), "`idempotent`")?;
    fields.required(reader, "window", "window: 1h");
    let window = fields.span(reader, "window");
    let store = fields.word(reader, "store", &[("same_transaction", true), ("separate", false)]);
    if fields.get("store").is_none() {
        reader.explain_default(&fields.path_of("store"), "same_transaction", "");
    }
    fields.finish(reader);
    Some(IdempotencePlan { window: window?, same_transaction: store.unwrap_or(true) })
}

fn dead_letter(reader: &mut Reader, fields: &mut Fields<'_>, buses: &Buses) -> Option<TopicId> {
    let path = fields.path_of("dead_letter");
    let Some(node) = fields.get("dead_letter") else {
        reader.explain_default(&path, "none", "what is given up is discarded");
        return None;
    };
    reader.explain(&path, node.to_text(), node.place);
    if node.text() == Some("none") { None } else { buses.topic(reader, node) }
}

/// What only partitions with one owner have.
fn refuse_on_a_queue(reader: &mut Reader, fields: &mut Fields<'_>) {
    let refused = [
        ("batch", "leave it out: a handler takes one message, and `prefetch` is what a member may hold"),
        ("schedule", "leave it out: a queue pushes what arrives to whoever has credit"),
    ];
    for (key, help) in refused {
        if let Some(entry) = fields.entry(key).filter(|entry| entry.value.text() != Some("always")) {
            let error = Diagnostic::at(entry.place, format!("not yet supported: `{key}` on a queue"));
            reader.error(error.help(help));
        }
    }
}

/// What a member's workers keep: as written, or the profile's; nothing on a queue.
fn order(reader: &mut Reader, fields: &mut Fields<'_>, kind: &Kind<'_>) -> WorkerOrder {
    let words = [("partition", WorkerOrder::Partition), ("key", WorkerOrder::Key), ("none", WorkerOrder::None)];
    let word = fields.word(reader, "order", &words);
    let asked = fields.get("order").filter(|_| word.is_some_and(|word| word != WorkerOrder::None));
    if let (Discipline::Queue, Some(node)) = (kind.discipline, asked) {
        let message = format!("`order: {}` on a queue, which hands messages to any free worker", node.to_text());
        let help = "leave it out; only one member with one worker takes messages one after the other";
        reader.error(Diagnostic::at(node.place, message).help(help));
    }
    if fields.get("order").is_none() {
        settings::explain_profile(reader, &fields.path_of("order"), kind.profile, "order");
    }
    let default = Values { profile: kind.profile, over: &Overrides::new() }.word("order");
    let default = words.iter().find(|(name, _)| *name == default).map(|(_, order)| *order);
    match kind.discipline {
        Discipline::Log => word.or(default).unwrap_or(WorkerOrder::None),
        Discipline::Queue => WorkerOrder::None,
    }
}

fn settle(reader: &mut Reader, fields: &mut Fields<'_>, kind: &Kind<'_>, over: &Overrides) -> Settle {
    let settle = settled(reader, fields, kind, over);
    note_idle_timer(reader, fields, &kind.values, settle);
    settle
}

fn settled(reader: &mut Reader, fields: &mut Fields<'_>, kind: &Kind<'_>, over: &Overrides) -> Settle {
    #[derive(Clone, Copy, PartialEq)]
    enum Word {
        After,
        Before,
        Auto,
    }
    let path = fields.path_of("settle");
    let word = fields.word(reader, "settle", &[("after", Word::After), ("before", Word::Before), ("auto", Word::Auto)]);
    let place = fields.get("settle").map(|node| node.place);
    let timer = Settle::Timer(kind.values.span("auto_settle_every"));
    let asked = over.get("auto_settle").map(|given| given.place);
    let name = kind.profile.official(Scope::Consumer, "auto_settle");
    match (word, asked) {
        (Some(word), Some(at)) if (word == Word::Auto) != kind.values.flag("auto_settle") => {
            let message = format!("`{name}` and `settle` contradict each other");
            reader.error(
                Diagnostic::at(at, message)
                    .context(place.unwrap_or(at), "`settle` is here")
                    .help("keep one of the two"),
            );
            Settle::After
        }
        (Some(Word::Auto), _) if !kind.values.has("auto_settle_every") => {
            let message =
                format!("not yet supported: `settle: auto` on profile {}, which has no timer", kind.profile.name);
            reader.error(Diagnostic::at(place.unwrap_or(fields.at), message));
            Settle::After
        }
        (Some(Word::Auto), _) => timer,
        (Some(Word::Before), _) => Settle::Before,
        (None, Some(_)) if kind.values.flag("auto_settle") => timer,
        (None, _) => {
            reader.explain_default(&path, "after", "");
            Settle::After
        }
        (Some(Word::After), _) => Settle::After,
    }
}

fn startup(reader: &mut Reader, fields: &mut Fields<'_>, profile: &BusProfile) -> Dist {
    let path = fields.path_of("startup");
    let default = Values { profile, over: &Overrides::new() }.dist("startup");
    let Some(node) = fields.get("startup") else {
        settings::explain_profile(reader, &path, profile, "startup");
        return default;
    };
    reader.explain(&path, node.to_text(), node.place);
    distributions::read(reader, node, Of::Time).unwrap_or(default)
}

fn dispatch(kind: &Kind<'_>) -> Dispatch {
    match kind.discipline {
        Discipline::Log => Dispatch::Log(LogDispatch {
            network: kind.network.clone(),
            max_poll_records: kind.values.count32("max_poll_records"),
            fetch_max_wait: kind.values.span("fetch_max_wait"),
            max_fetch_records: u32::MAX,
            commit_each: kind.values.flag("commit_each"),
            request_timeout: kind.values.span("request_timeout"),
            refresh: clients::refresh(&kind.values),
            reset: if kind.values.word("offset_reset") == "earliest" { Reset::Earliest } else { Reset::Latest },
        }),
        Discipline::Queue => Dispatch::Queue(QueueDispatch {
            network: kind.network.clone(),
            prefetch: match kind.values.count32("prefetch") {
                0 => kind.workers,
                given => given,
            },
            silence: kind.values.span("connection_timeout"),
            reconnect: kind.values.span("reconnect"),
        }),
    }
}
