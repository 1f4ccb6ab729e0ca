//! Profiles of buses and servers from YAML: the built-in presets, and files in the same format.

use std::collections::BTreeMap;

use super::diagnostics::{Diagnostic, listed, nearest};
use super::distributions::{self, Of};
use super::files;
use super::layers;
use super::reader::{Fields, Reader, items};
use super::tree::{self, Entry, Layer, Node, Place, Value};
use crate::profile::{
    BusProfile, CLIENTS, ClientProfile, Discipline, Kind, PRESETS, ProfileValue, Quantity, RELAYS, SERVER_VALUES,
    SERVERS, Scope, ServerProfile, Setting, VALUES,
};
use crate::units::{self, UnitError};

/// The text that a profile name or file name in a scenario stands for.
pub(super) fn load(reader: &mut Reader, node: &Node) -> Option<BusProfile> {
    let Some(name) = node.text() else {
        reader.wrong_kind(node, "the name of a profile");
        return None;
    };
    let tree = profile_tree(reader, &PRESETS, name, node.place, 0)?;
    read(reader, &tree, node.place)
}

/// The kind of server that a profile name or file name in a scenario stands for.
pub(super) fn load_server(reader: &mut Reader, name: &str, place: Place) -> Option<ServerProfile> {
    let tree = profile_tree(reader, &SERVERS, name, place, 0)?;
    let mut fields = Fields::open(reader, &tree, place, "profile", "a profile of a server")?;
    let text = |node: Option<&Node>| node.and_then(Node::text).unwrap_or_default().to_owned();
    let name = text(fields.required(reader, "name", "name: ours"));
    let about = text(fields.get("about"));
    let mut profile = ServerProfile { name, about, ..ServerProfile::default() };
    for entry in fields.required(reader, "values", "values: { network: { value: 1ms, source: measured } }")?.entries() {
        profile.values.extend(read_value(reader, entry, &SERVER_VALUES));
    }
    for (name, ..) in SERVER_VALUES.iter().filter(|(name, ..)| !profile.values.contains_key(*name)) {
        reader.error(Diagnostic::at(place, format!("the profile `{}` lacks the value `{name}`", profile.name)));
    }
    fields.finish(reader);
    Some(profile)
}

/// The kind of client that a name or file name in a scenario stands for.
pub(super) fn load_client(reader: &mut Reader, name: &str, place: Place) -> Option<ClientProfile> {
    let tree = profile_tree(reader, &CLIENTS, name, place, 0)?;
    read_client(reader, &tree, place, "a profile of a client")
}

/// The kind of relay that a name or file name in a scenario stands for, as the profile of a bus without topics.
pub(super) fn load_relay(reader: &mut Reader, name: &str, place: Place) -> Option<BusProfile> {
    let tree = profile_tree(reader, &RELAYS, name, place, 0)?;
    let relay = read_client(reader, &tree, place, "a profile of a relay")?;
    for name in ["startup", "store_every"].into_iter().filter(|name| !relay.values.contains_key(*name)) {
        reader.error(Diagnostic::at(place, format!("the profile `{}` lacks the value `{name}`", relay.name)));
    }
    let ClientProfile { name, about, values, settings, ignored } = relay;
    Some(BusProfile { name, about, values, settings, ignored, ..BusProfile::default() })
}

fn read_client(reader: &mut Reader, tree: &Node, place: Place, what: &str) -> Option<ClientProfile> {
    let mut fields = Fields::open(reader, tree, place, "profile", what)?;
    let text = |node: Option<&Node>| node.and_then(Node::text).unwrap_or_default().to_owned();
    let name = text(fields.required(reader, "name", "name: ours"));
    let about = text(fields.get("about"));
    let mut client = ClientProfile { name, about, ..ClientProfile::default() };
    for entry in fields.get("values").map_or(&[][..], Node::entries) {
        client.values.extend(read_value(reader, entry, &VALUES));
    }
    if let Some(settings) = fields.get("settings") {
        (client.settings, client.ignored) = read_settings(reader, settings);
    }
    fields.finish(reader);
    Some(client)
}

/// Whether a name of a profile is that of a file.
pub(super) fn is_file(name: &str) -> bool {
    name.starts_with("./") || name.starts_with("../") || name.ends_with(".yaml") || name.ends_with(".yml")
}

/// The built-in profiles of a kind of thing: name and text.
type Presets = [(&'static str, &'static str)];

/// The tree of a profile, on top of the one that it extends.
fn profile_tree(reader: &mut Reader, presets: &Presets, name: &str, place: Place, depth: u32) -> Option<Node> {
    let preset = presets.iter().find(|(preset, _)| *preset == name);
    let (shown, text) = if let Some((name, text)) = preset {
        (format!("profile {name}"), (*text).to_owned())
    } else if is_file(name) {
        (name.to_owned(), files::text(reader, name, place)?)
    } else {
        let names = || presets.iter().map(|(name, _)| *name);
        let help = nearest(name, names()).map_or_else(
            || format!("built in are {}; a file is written `./ours.yaml`", listed(names())),
            |near| format!("did you mean `{near}`?"),
        );
        reader
            .error(Diagnostic::at(place, format!("there is no profile `{name}`")).label("unknown profile").help(help));
        // What else is wrong on its bus is found by the one that was meant.
        let meant = nearest(name, names())?;
        return profile_tree(reader, presets, meant, place, depth);
    };
    let source = match preset {
        Some(_) => reader.add_source(&shown, text.clone()),
        None => reader.add_file(&shown, text.clone(), place),
    };
    let mut errors = Vec::new();
    let tree = tree::parse(&text, source, Layer::Profile, &mut errors);
    reader.errors.append(&mut errors);
    let mut tree = tree?;
    let Some(base) = tree.get("extends").and_then(Node::text).map(str::to_owned) else { return Some(tree) };
    if depth > 8 {
        reader.error(Diagnostic::at(place, format!("`{name}` extends itself, directly or in a circle")));
        return None;
    }
    let mut under = profile_tree(reader, presets, &base, place, depth + 1)?;
    if let Value::Map(entries) = &mut tree.value {
        entries.retain(|entry| entry.key != "extends");
    }
    layers::merge_profile(&mut under, tree);
    Some(under)
}

fn read(reader: &mut Reader, tree: &Node, at: Place) -> Option<BusProfile> {
    let mut fields = Fields::open(reader, tree, at, "profile", "a profile")?;
    let text = |node: Option<&Node>| node.and_then(Node::text).unwrap_or_default().to_owned();
    let name = text(fields.required(reader, "name", "name: ours"));
    let about = text(fields.get("about"));
    let mut profile = BusProfile { name, about, ..BusProfile::default() };
    let holds = fields.required(reader, "holds", "holds: { topics: log }")?;
    for entry in holds.entries() {
        match entry.key.as_str() {
            "topics" | "queues" => {
                let discipline = reader.word(&entry.value, &[("log", Discipline::Log), ("queue", Discipline::Queue)]);
                profile.holds.extend(discipline.map(|discipline| (entry.key.clone(), discipline)));
            }
            _ => reader.error(Diagnostic::at(entry.place, "a bus holds `topics` and `queues`").label("unknown")),
        }
    }
    for entry in fields.required(reader, "values", "values: { network: { value: 1ms, source: measured } }")?.entries() {
        profile.values.extend(read_value(reader, entry, &VALUES));
    }
    for (name, ..) in VALUES.iter().filter(|(name, ..)| is_required(name, &profile)) {
        if !profile.values.contains_key(*name) {
            reader.error(Diagnostic::at(at, format!("the profile `{}` lacks the value `{name}`", profile.name)));
        }
    }
    if let Some(settings) = fields.get("settings") {
        (profile.settings, profile.ignored) = read_settings(reader, settings);
    }
    let clients = fields.get("clients").map_or(&[][..], items);
    profile.clients = clients.iter().filter_map(Node::text).map(str::to_owned).collect();
    fields.finish(reader);
    Some(profile)
}

/// Whether a profile must give a value, its other values being known.
fn is_required(name: &str, profile: &BusProfile) -> bool {
    let has = |discipline| profile.holds.values().any(|held| *held == discipline);
    let says = |name, wanted| profile.values.get(name).is_some_and(|value| value.quantity == Quantity::Word(wanted));
    let (barrier, pulled) = (says("membership", "barrier"), says("replication", "pull"));
    let group = barrier || says("membership", "incremental");
    match name {
        "auto_settle" | "auto_settle_every" | "batch_bytes" | "buffer_bytes" | "idempotent_in_flight" => false,
        "replication" | "metadata_age" | "store_every" => false,
        "isolation" | "transaction_timeout" | "transactional_id" => false,
        "transaction_backoff" | "transaction_max_timeout" | "transaction_scan" => {
            profile.values.contains_key("transaction_timeout")
        }
        "offset_reset" | "retention_bytes" | "retention_check" | "segment_age" | "segment_bytes" => false,
        "broker_heartbeat" | "broker_session_timeout" | "broker_startup" | "catch_up" | "election" | "unsynced" => {
            pulled
        }
        "lag_limit" | "leader_check" | "leader_rebalance" | "unclean_election" => pulled,
        "batch_messages" | "buffer_grain" | "buffer_messages" | "ignore_keys" | "sticky_for" => false,
        "max_block" => profile.values.contains_key("buffer_bytes"),
        "linger" => profile.values.contains_key("batch_bytes"),
        "session_timeout" | "heartbeat" | "join" | "assignors" => barrier,
        "progress_timeout" => group,
        "bus_assignor" | "bus_heartbeat" | "bus_session_timeout" => says("membership", "incremental"),
        "assignment_interval" | "fixed_members" | "initial_delay" | "initial_delay_grows" => false,
        "max_poll_records" | "fetch_max_wait" | "max_fetch_bytes" | "commit_each" => has(Discipline::Log),
        "prefetch" | "connection_timeout" | "reconnect" => has(Discipline::Queue),
        _ => true,
    }
}

fn read_value(
    reader: &mut Reader,
    entry: &Entry,
    known: &[(&'static str, Kind, &'static str)],
) -> Option<(String, ProfileValue)> {
    let Some((name, kind, _)) = known.iter().find(|(name, ..)| *name == entry.key) else {
        let near = nearest(&entry.key, known.iter().map(|(name, ..)| *name));
        let error = Diagnostic::at(entry.place, format!("profiles have no value `{}`", entry.key));
        reader.error(error.label("unknown value").maybe_help(near.map(|name| format!("did you mean `{name}`?"))));
        return None;
    };
    let mut fields =
        Fields::open(reader, &entry.value, entry.place, format!("profile.{name}"), "a value of a profile")?;
    let node = fields.required(reader, "value", "{ value: 5ms, source: measured }");
    let source = fields.required(reader, "source", "source: measured on our cluster, 2026-11");
    fields.finish(reader);
    let (node, source) = (node?, source?);
    let quantity = quantity(reader, node, *kind)?;
    let source = source.text().unwrap_or_default().to_owned();
    Some(((*name).to_owned(), ProfileValue { quantity, text: node.to_text(), source }))
}

/// A quantity of a kind, in the words of the scenario format.
pub(super) fn quantity(reader: &mut Reader, node: &Node, kind: Kind) -> Option<Quantity> {
    match kind {
        Kind::Span => reader.quantity(node, units::parse_duration, "a duration").map(Quantity::Span),
        Kind::Size => reader.quantity(node, units::parse_size, "a size").map(Quantity::Size),
        Kind::Count => reader.quantity(node, units::parse_count, "a count").map(Quantity::Count),
        Kind::CountOrUnlimited | Kind::SizeOrUnlimited if node.text() == Some("unlimited") => Some(Quantity::Unlimited),
        Kind::SizeOrUnlimited => reader.quantity(node, units::parse_size, "a size").map(Quantity::Size),
        Kind::CountOrUnlimited => reader.quantity(node, units::parse_count, "a count").map(Quantity::Count),
        Kind::Dist => distributions::read(reader, node, Of::Time).map(Quantity::Dist),
        Kind::Word(words) => {
            let pairs: Vec<(&str, &'static str)> = words.iter().map(|word| (*word, *word)).collect();
            reader.word(node, &pairs).map(Quantity::Word)
        }
        Kind::Words(words) => {
            let pairs: Vec<(&str, &'static str)> = words.iter().map(|word| (*word, *word)).collect();
            let found: Vec<_> = items(node).iter().filter_map(|item| reader.word(item, &pairs)).collect();
            (!found.is_empty() && found.len() == items(node).len()).then_some(Quantity::Words(found))
        }
    }
}

/// The table of settings, and what is ignored.
fn read_settings(reader: &mut Reader, node: &Node) -> (BTreeMap<(Scope, String), Setting>, Vec<String>) {
    const SCOPES: [(&str, Scope); 4] =
        [("bus", Scope::Bus), ("topic", Scope::Topic), ("producer", Scope::Producer), ("consumer", Scope::Consumer)];
    let (mut settings, mut ignored) = (BTreeMap::new(), Vec::new());
    for entry in node.entries() {
        if entry.key == "ignored" {
            ignored = items(&entry.value).iter().filter_map(Node::text).map(str::to_owned).collect();
            continue;
        }
        let Some((_, scope)) = SCOPES.iter().find(|(name, _)| *name == entry.key) else {
            let help = "`bus`, `topic`, `producer`, `consumer`, and `ignored`";
            reader.error(Diagnostic::at(entry.place, format!("no settings belong to `{}`", entry.key)).help(help));
            continue;
        };
        for row in entry.value.entries() {
            if let Some(setting) = read_setting(reader, row) {
                settings.insert((*scope, row.key.clone()), setting);
            }
        }
    }
    (settings, ignored)
}

fn read_setting(reader: &mut Reader, row: &Entry) -> Option<Setting> {
    let mut fields = Fields::open(reader, &row.value, row.place, "profile.settings", "a row of `settings`")?;
    let setting = if let Some(node) = fields.get("ignored") {
        Some(Setting::Ignored(node.text().unwrap_or_default().to_owned()))
    } else if let Some(node) = fields.get("only") {
        let values = items(node).iter().filter_map(Node::text).map(str::to_owned).collect();
        let why = fields.required(reader, "why", "why: compression")?.text().unwrap_or_default().to_owned();
        Some(Setting::Only { values, why })
    } else {
        let node = fields.required(reader, "sets", "sets: linger")?;
        let names: Vec<(&str, &(&str, Kind, &str))> = VALUES.iter().map(|value| (value.0, value)).collect();
        let (value, kind, _) = *reader.word(node, &names)?;
        let unit = fields.get("unit").map(|node| (node, node.text().unwrap_or_default()));
        let unit = match unit {
            Some((node, unit)) => {
                reader.quantity(node, unit_length, "a unit of time").or(Some(0).filter(|_| unit.is_empty()))
            }
            None => Some(1),
        };
        let unlimited = fields.get("unlimited").and_then(Node::text).map(str::to_owned);
        let mut words = BTreeMap::new();
        if let Some(node) = fields.get("words") {
            for entry in node.entries() {
                match quantity(reader, &entry.value, kind) {
                    Some(Quantity::Word(word)) => drop(words.insert(entry.key.clone(), word)),
                    Some(Quantity::Words(list)) => words.extend(list.first().map(|word| (entry.key.clone(), *word))),
                    _ => {}
                }
            }
        }
        unit.map(|unit| Setting::Sets { value, unit, unlimited, words })
    };
    fields.finish(reader);
    setting
}

/// A bare unit, `ms` in ns or `KiB` in bytes.
fn unit_length(unit: &str) -> Result<u64, UnitError> {
    let one = format!("1{unit}");
    units::parse_duration(&one).map(|span| span.0).or_else(|error| units::parse_size(&one).map_err(|_| error))
}
