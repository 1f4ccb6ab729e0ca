//! Services: what is called, and where users come in.

use std::collections::BTreeMap;

use super::buses::{check_name, named_entries};
use super::clients;
use super::diagnostics::Diagnostic;
use super::distributions::{self, Of};
use super::handlers::{self, Known};
use super::names::MAX_SERVICES;
use super::outbox;
use super::producers::{self, MAX_PROCESSES};
use super::profiles;
use super::reader::{Fields, Reader};
use super::settings;
use super::transactions;
use super::tree::{Entry, Node, Place, Value};
use crate::dist::Dist;
use crate::plan::{Balance, KeyPlan, Plan, ServicePlan, Step, TransportPlan};
use crate::profile::{ServerProfile, USUAL_SERVER};

/// Most requests at work, or waiting, at one instance.
const MAX_REQUESTS: u32 = 10_000_000;

/// Kinds of server by name; none: it could not be read, which has been said.
type Servers = BTreeMap<String, Option<ServerProfile>>;

/// Reads the section `services`, sorted by name: one plan for each name, whatever is wrong with it.
pub(super) fn read(reader: &mut Reader, section: &Node, known: &Known<'_>) -> Vec<ServicePlan> {
    let mut entries = named_entries(reader, section, "services");
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    entries.retain(|entry| !entry.value.is_null());
    if let Some(entry) = entries.get(MAX_SERVICES) {
        let message = format!("there are {} services, and no more than {MAX_SERVICES} can be", entries.len());
        reader.error(Diagnostic::at(entry.place, message));
    }
    entries.truncate(MAX_SERVICES);
    let mut servers = Servers::new();
    entries
        .into_iter()
        .map(|entry| {
            check_name(reader, entry);
            service(reader, entry, known, &mut servers)
        })
        .collect()
}

fn service(reader: &mut Reader, entry: &Entry, known: &Known<'_>, servers: &mut Servers) -> ServicePlan {
    let path = format!("services.{}", entry.key);
    reader.explained.things.push(path.clone());
    let what = format!("the service `{}`", entry.key);
    let nothing = Node { place: entry.place, value: Value::Null };
    let fields = Fields::open(reader, &entry.value, entry.place, path.clone(), what.clone());
    let fields = fields.or_else(|| Fields::open(reader, &nothing, entry.place, path, what));
    let mut fields = fields.expect("nothing is an empty map");
    fields.not_yet(reader, &["schema", "zones", "settings_file", "autoscale"]);
    let arrivals = producers::arrivals(reader, &mut fields);
    let users = fields.get("arrivals").is_some();
    let (events_per_arrival, key, types) = requests(reader, &mut fields, users);
    let server = server(reader, &mut fields, servers);
    let mut handler = handlers::read(reader, &mut fields, known).unwrap_or_default();
    if !["handler", "publishes", "service_time"].into_iter().any(|key| fields.get(key).is_some()) {
        reader.explain_default(&fields.path_of("service_time"), "0s", "");
    }
    let topics = handlers::published(&handler);
    let size = size(reader, &mut fields, !topics.is_empty());
    let failure = handlers::failure(reader, &mut fields);
    if failure.hang > 0.0 || failure.crash > 0.0 {
        let place = fields.get("failure").map_or(entry.place, |node| node.place);
        reader.not_yet(place, "`hang` and `crash` of a service");
    }
    let instances = fields.count32(reader, "instances", 1, MAX_PROCESSES);
    if fields.get("instances").is_none() {
        reader.explain_default(&fields.path_of("instances"), "1", "");
    }
    refuse_idle_settings(reader, &mut fields, !topics.is_empty());
    let startup = startup(reader, &mut fields, &server);
    let outbox = outbox::read(reader, &mut fields, &mut handler);
    transactions::refuse(reader, &mut fields, &handler);
    let clients = clients::of(reader, &mut fields, known.buses, &topics);
    if let Some(entry) = fields.entry("outbox").filter(|_| outbox.is_some()) {
        outbox::check_clients(reader, entry.place, &clients);
    }
    let plan = ServicePlan {
        name: entry.key.clone(),
        arrivals,
        events_per_arrival,
        key,
        size,
        types,
        instances: instances.unwrap_or(1),
        workers: count(reader, &mut fields, &server, "workers", 1),
        queue: count(reader, &mut fields, &server, "queue", 0),
        balance: balance(reader, &mut fields, &server),
        transport: transport(reader, &fields, &server),
        handler,
        failure,
        startup,
        outbox,
        clients,
    };
    fields.finish(reader);
    plan
}

/// What a user's request is like; without users it says nothing.
fn requests(reader: &mut Reader, fields: &mut Fields<'_>, users: bool) -> (Dist, KeyPlan, Vec<(u16, f64)>) {
    if !users {
        note_idle(reader, fields, &["events_per_arrival", "key"], "no users come in here");
    }
    let events = match fields.get("events_per_arrival") {
        None if !users => None,
        _ => producers::dist(reader, fields, "events_per_arrival", Of::Count, "1", 1.0),
    };
    let key = if users || fields.get("key").is_some() { producers::key(reader, fields) } else { None };
    fields.explain(reader, &["type"]);
    let types = fields.get("type").map_or_else(Vec::new, |node| producers::types(reader, node));
    (events.unwrap_or(Dist::Constant(1.0)), key.unwrap_or(KeyPlan::None), types)
}

/// Notes what is written and changes nothing.
fn note_idle(reader: &mut Reader, fields: &mut Fields<'_>, keys: &[&'static str], why: &str) {
    for key in keys {
        if fields.get(key).is_some() {
            reader.notes.push(format!("{} has no effect: {why}", fields.path_of(key)));
        }
    }
}

/// The size of what is published.
fn size(reader: &mut Reader, fields: &mut Fields<'_>, publishes: bool) -> Dist {
    if !publishes {
        note_idle(reader, fields, &["size"], "it publishes nothing");
        if fields.get("size").is_none() {
            return Dist::Constant(1024.0);
        }
    }
    producers::dist(reader, fields, "size", Of::Size, "1KiB", 1024.0).unwrap_or(Dist::Constant(1024.0))
}

/// Settings are those of the publishing client: without one they would say nothing.
fn refuse_idle_settings(reader: &mut Reader, fields: &mut Fields<'_>, publishes: bool) {
    if let Some(entry) = fields.entry("settings").filter(|_| !publishes) {
        let error =
            Diagnostic::at(entry.place, "`settings` are those of a publishing client, and nothing is published");
        reader.error(error.help("take them away; a server is described by `profile`, `workers` and `queue`"));
    }
}

/// The kind of server.
fn server(reader: &mut Reader, fields: &mut Fields<'_>, servers: &mut Servers) -> ServerProfile {
    let path = fields.path_of("profile");
    let (name, place): (String, Place) = match fields.get("profile") {
        None => {
            reader.explain_default(&path, USUAL_SERVER, "");
            (USUAL_SERVER.into(), fields.at)
        }
        Some(node) => {
            reader.explain(&path, node.to_text(), node.place);
            let Some(name) = node.text() else {
                reader.wrong_kind(node, "the name of a profile");
                return ServerProfile::default();
            };
            (name.to_owned(), node.place)
        }
    };
    let loaded = servers.entry(name.clone()).or_insert_with(|| profiles::load_server(reader, &name, place));
    loaded.clone().unwrap_or_default()
}

fn explain(reader: &mut Reader, path: &str, server: &ServerProfile, name: &str) {
    if let Some(value) = server.values.get(name) {
        settings::explain_value(reader, path, &server.name, value);
    }
}

/// `workers` or `queue`: as written, or the profile's.
fn count(reader: &mut Reader, fields: &mut Fields<'_>, server: &ServerProfile, key: &'static str, least: u32) -> u32 {
    match fields.get(key) {
        None => {
            explain(reader, &fields.path_of(key), server, key);
            server.count(key)
        }
        Some(node) if key == "queue" && node.text() == Some("unlimited") => {
            reader.explain(&fields.path_of(key), "unlimited".into(), node.place);
            u32::MAX
        }
        Some(_) => fields.count32(reader, key, least, MAX_REQUESTS).unwrap_or(1),
    }
}

fn balance(reader: &mut Reader, fields: &mut Fields<'_>, server: &ServerProfile) -> Balance {
    let words = [
        ("round_robin", Balance::RoundRobin),
        ("least_outstanding", Balance::LeastOutstanding),
        ("two_choices", Balance::TwoChoices),
        ("pinned", Balance::Pinned),
    ];
    if fields.get("balance").is_none() {
        explain(reader, &fields.path_of("balance"), server, "balance");
    }
    let default = words.iter().find(|(word, _)| *word == server.word("balance")).map(|(_, balance)| *balance);
    fields.word(reader, "balance", &words).or(default).unwrap_or(Balance::RoundRobin)
}

fn transport(reader: &mut Reader, fields: &Fields<'_>, server: &ServerProfile) -> TransportPlan {
    for name in ["network", "handshakes", "keep_alive", "multiplexed", "cancels"] {
        explain(reader, &fields.path_of(name), server, name);
    }
    TransportPlan {
        network: server.dist("network"),
        handshakes: server.count("handshakes"),
        keep_alive: server.span("keep_alive"),
        multiplexed: server.word("multiplexed") == "true",
        cancels: server.word("cancels") == "true",
    }
}

fn startup(reader: &mut Reader, fields: &mut Fields<'_>, server: &ServerProfile) -> Dist {
    let path = fields.path_of("startup");
    let Some(node) = fields.get("startup") else {
        explain(reader, &path, server, "startup");
        return server.dist("startup");
    };
    reader.explain(&path, node.to_text(), node.place);
    distributions::read(reader, node, Of::Time).unwrap_or_else(|| server.dist("startup"))
}

/// Says which services no request reaches, and which resources nobody holds.
pub(super) fn note_idle_things(reader: &mut Reader, plan: &Plan) {
    for (service, _) in plan.services.iter().zip(plan.initiators()).filter(|(_, initiators)| initiators.is_empty()) {
        reader.notes.push(format!("services.{}: no users come in here, and nobody calls it", service.name));
    }
    let mut held = vec![false; plan.resources.len()];
    let mut see = |step: &Step| {
        if let Step::Hold { of, .. } = step {
            held[of.0 as usize] = true;
        }
    };
    plan.handlers().for_each(|handler| handler.visit(&mut see));
    for (resource, _) in plan.resources.iter().zip(&held).filter(|(_, held)| !**held) {
        reader.notes.push(format!("resources.{}: nobody holds it", resource.name));
    }
}
