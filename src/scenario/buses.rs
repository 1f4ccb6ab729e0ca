//! Buses with their topics and queues.

use std::collections::BTreeMap;

use super::diagnostics::{Diagnostic, listed, nearest};
use super::distributions::{self, Of};
use super::profiles;
use super::reader::{Fields, Reader};
use super::retention;
use super::settings::{self, Overrides, Table, Values};
use super::tree::{Entry, Layer, Node, Place};
use crate::dist::Dist;
use crate::plan::{BusId, BusPlan, FailoverPlan, StorePolicy, TopicId, TopicPlan};
use crate::profile::{BusProfile, Discipline, Scope};

/// Most partitions of one topic.
const MAX_PARTITIONS: u32 = 100_000;

/// All buses of a scenario.
#[derive(Default)]
pub(super) struct Buses {
    /// In order of name.
    pub(super) list: Vec<Bus>,
    /// Topics and queues of all buses, in order of full name: the order of the plan.
    pub(super) topics: Vec<Topic>,
    /// Whether something could not be read, so that what seems undeclared may be declared there.
    incomplete: bool,
}

/// One bus.
pub(super) struct Bus {
    /// Its name.
    pub(super) name: String,
    /// What it promises.
    pub(super) profile: BusProfile,
    /// Layer that chose the profile: vendor settings of layers below stay behind.
    pub(super) switched: Option<Layer>,
    /// One way between a client and the bus.
    pub(super) network: Dist,
    /// Nodes.
    pub(super) brokers: u32,
    over: Overrides,
    latency: BTreeMap<&'static str, Dist>,
}

/// One topic or queue.
pub(super) struct Topic {
    /// Index of its bus.
    pub(super) bus: usize,
    /// Name without the bus.
    pub(super) name: String,
    /// Whether each event goes to one consumer only.
    pub(super) queue: bool,
    /// How it is read.
    pub(super) discipline: Discipline,
    /// Copies of each partition.
    copies: u32,
    /// As the plan has it.
    pub(super) plan: TopicPlan,
}

impl Buses {
    /// The topic or queue that a reference names.
    pub(super) fn topic(&self, reader: &mut Reader, node: &Node) -> Option<TopicId> {
        let Some(text) = node.text() else {
            reader.wrong_kind(node, "the name of a topic or queue");
            return None;
        };
        let matches: Vec<usize> = (0..self.topics.len())
            .filter(|index| {
                let topic = &self.topics[*index];
                topic.plan.name == text || topic.name == text || format!("{}/{}", topic.plan.bus, topic.name) == text
            })
            .collect();
        match matches.as_slice() {
            [one] => Some(TopicId(u32::try_from(*one).expect("bounded by the size of the file"))),
            [] if self.incomplete => None,
            [] => {
                let names = || self.topics.iter().flat_map(|topic| [topic.name.as_str(), topic.plan.name.as_str()]);
                let help = match nearest(text, names()) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => format!(
                        "declare it under `buses.NAME.topics`; declared are {}",
                        listed(self.topics.iter().map(|topic| topic.plan.name.as_str()))
                    ),
                };
                reader.error(
                    Diagnostic::at(node.place, format!("no bus has a topic or queue `{text}`"))
                        .label("not declared")
                        .help(help),
                );
                None
            }
            _ => {
                let help = listed(matches.iter().map(|index| self.topics[*index].plan.name.as_str()));
                let message = format!("`{text}` is on more than one bus");
                reader.error(
                    Diagnostic::at(node.place, message).label("which one?").help(format!("write one of {help}")),
                );
                None
            }
        }
    }

    /// Of one bus whose topics are all read alike, what a consumer must read whatever it subscribes to: an example topic,
    /// the bus and how.
    pub(super) fn the_only_kind(&self) -> Option<(Vec<TopicId>, usize, Discipline)> {
        let ([_], [first, rest @ ..], false) = (&self.list[..], &self.topics[..], self.incomplete) else { return None };
        let alike = rest.iter().all(|topic| topic.discipline == first.discipline);
        alike.then(|| (vec![TopicId(0)], 0, first.discipline))
    }

    /// Whether something could not be read, which has been said.
    pub(super) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// The buses as the plan has them.
    pub(super) fn plans(&self) -> Vec<BusPlan> {
        let plan = |bus: &Bus| BusPlan { name: bus.name.clone(), brokers: bus.brokers, failover: bus.failover() };
        self.list.iter().map(plan).collect()
    }

    /// The topic of an id.
    pub(super) fn at(&self, id: TopicId) -> &Topic {
        &self.topics[id.0 as usize]
    }
}

impl Bus {
    /// A value that its settings give.
    pub(super) fn given(&self, name: &str) -> Option<&settings::Given> {
        self.over.get(name)
    }

    /// How it survives the loss of a node; none where its profile does not say.
    pub(super) fn failover(&self) -> Option<FailoverPlan> {
        let values = Values { profile: &self.profile, over: &self.over };
        (values.word("replication") == "pull").then(|| FailoverPlan {
            heartbeat: values.span("broker_heartbeat"),
            session_timeout: values.span("broker_session_timeout"),
            election: values.dist("election"),
            lag_limit: values.span("lag_limit"),
            catch_up: values.dist("catch_up"),
            startup: values.dist("broker_startup"),
            unsynced: values.dist("unsynced"),
            rebalance: values.flag("leader_rebalance").then(|| values.span("leader_check")),
        })
    }
}

/// Reads the section `buses`.
pub(super) fn read(reader: &mut Reader, section: &Node) -> Buses {
    let mut buses = Buses::default();
    let mut declared: Vec<(Topic, Place)> = Vec::new();
    let mut entries: Vec<&Entry> = named_entries(reader, section, "buses");
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    for entry in entries {
        check_name(reader, entry);
        match read_bus(reader, entry, buses.list.len(), &mut declared) {
            Some(bus) => buses.list.push(bus),
            None => buses.incomplete = true,
        }
    }
    buses.incomplete |= section.is_null() || containers_refused(section, &buses);
    let count = |name: &str| declared.iter().filter(|(topic, _)| topic.name == name).count();
    let shared: Vec<bool> = declared.iter().map(|(topic, _)| count(&topic.name) > 1).collect();
    for ((topic, _), shared) in declared.iter_mut().zip(shared) {
        if shared {
            topic.plan.name = format!("{}/{}", topic.plan.bus, topic.name);
        }
    }
    declared.sort_by(|a, b| a.0.plan.name.cmp(&b.0.plan.name));
    for pair in declared.windows(2).filter(|pair| pair[0].0.plan.name == pair[1].0.plan.name) {
        let message = format!("`{}` is both a topic and a queue", pair[0].0.name);
        reader.error(Diagnostic::at(pair[1].1, message).context(pair[0].1, "declared here too"));
    }
    buses.topics = declared.into_iter().map(|(topic, _)| topic).collect();
    buses
}

/// The entries of a section of named things that are not taken away by `null`-ing; an empty thing stays.
pub(super) fn named_entries<'a>(reader: &mut Reader, section: &'a Node, name: &str) -> Vec<&'a Entry> {
    if !matches!(section.value, super::tree::Value::Map(_)) && !section.is_null() {
        reader.wrong_kind(section, &format!("a map of the names of {name}"));
    }
    section.entries().iter().collect()
}

/// Names start with a letter and hold letters, digits, `_`, `-` and `.`.
pub(super) fn check_name(reader: &mut Reader, entry: &Entry) {
    let first = entry.key.chars().next().is_some_and(char::is_alphabetic);
    let rest = entry.key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if !(first && rest) {
        let message = format!("`{}` is not a name", entry.key);
        let help = "names start with a letter and hold letters, digits, `_`, `-` and `.`";
        reader.error(Diagnostic::at(entry.place, message).help(help));
    }
}

/// Whether a bus holds what its profile does not have.
fn containers_refused(section: &Node, buses: &Buses) -> bool {
    buses.list.iter().any(|bus| {
        let has = |key: &str| section.get(&bus.name).and_then(|node| node.get(key)).is_some_and(|node| !node.is_null());
        ["topics", "queues"].into_iter().any(|key| has(key) && !bus.profile.holds.contains_key(key))
    })
}

fn read_bus(reader: &mut Reader, entry: &Entry, index: usize, declared: &mut Vec<(Topic, Place)>) -> Option<Bus> {
    let path = format!("buses.{}", entry.key);
    reader.explained.things.push(path.clone());
    let mut fields = Fields::open(reader, &entry.value, entry.place, path.clone(), format!("the bus `{}`", entry.key))?;
    fields.not_yet(reader, &["zones", "resource"]);
    let node = fields.required(reader, "profile", "profile: kafka");
    let profile = node.and_then(|node| {
        reader.explain(&format!("{path}.profile"), node.to_text(), node.place);
        profiles::load(reader, node)
    });
    let containers = [fields.entry("topics"), fields.entry("queues")];
    let latency = fields.entry("latency");
    let brokers = fields.count32(reader, "brokers", 1, 10_000);
    let (Some(profile), Some(node)) = (profile, node) else {
        fields.allow(&["settings", "settings_file"]);
        fields.finish(reader);
        return None;
    };
    let switched = Some(node.place.layer);
    let table = Table { profile: &profile, scope: Scope::Bus, switched };
    let over = settings::read(reader, &mut fields, &[table]).remove(0);
    fields.finish(reader);
    let brokers = brokers.unwrap_or_else(|| {
        settings::explain_profile(reader, &format!("{path}.brokers"), &profile, "brokers");
        Values { profile: &profile, over: &over }.count32("brokers")
    });
    let latency = latency.map_or_else(BTreeMap::new, |entry| read_latency(reader, entry, &path));
    let mut bus =
        Bus { name: entry.key.clone(), profile, switched, network: Dist::Constant(0.0), brokers, over, latency };
    bus.network = stage(reader, &bus, "network");
    for container in containers.into_iter().flatten() {
        read_container(reader, &bus, index, container, declared);
    }
    let copied = declared.iter().any(|(topic, _)| topic.bus == index && topic.copies > 1);
    if bus.latency.contains_key("replicate") && !copied {
        reader.notes.push(format!("{path}.latency.replicate has no effect: no topic has more than one copy"));
    }
    Some(bus)
}

fn read_latency(reader: &mut Reader, entry: &Entry, path: &str) -> BTreeMap<&'static str, Dist> {
    let mut latency = BTreeMap::new();
    let path = format!("{path}.latency");
    let Some(mut fields) = Fields::open(reader, &entry.value, entry.place, path.clone(), "`latency`") else {
        return latency;
    };
    for stage in ["network", "append", "replicate", "fsync"] {
        if let Some(node) = fields.get(stage) {
            reader.explain(&format!("{path}.{stage}"), node.to_text(), node.place);
            latency.extend(distributions::read(reader, node, Of::Time).map(|dist| (stage, dist)));
        }
    }
    fields.finish(reader);
    latency
}

/// The latency of one stage: as overridden, or the profile's.
fn stage(reader: &mut Reader, bus: &Bus, name: &'static str) -> Dist {
    if let Some(dist) = bus.latency.get(name) {
        return dist.clone();
    }
    settings::explain_profile(reader, &format!("buses.{}.latency.{name}", bus.name), &bus.profile, name);
    Values { profile: &bus.profile, over: &bus.over }.dist(name)
}

fn read_container(reader: &mut Reader, bus: &Bus, index: usize, container: &Entry, declared: &mut Vec<(Topic, Place)>) {
    let Some(discipline) = bus.profile.holds.get(&container.key).copied() else {
        let message = format!("not yet supported: `{}` on a bus of profile {}", container.key, bus.profile.name);
        let holds = bus.profile.holds.keys().map(String::as_str);
        reader.error(Diagnostic::at(container.place, message).help(format!("it has {}", listed(holds))));
        return;
    };
    for entry in named_entries(reader, &container.value, &container.key) {
        check_name(reader, entry);
        let kind = TopicKind { index, queue: container.key == "queues", discipline, container: &container.key };
        if let Some(topic) = read_topic(reader, bus, entry, &kind) {
            declared.push((topic, entry.place));
        }
    }
}

struct TopicKind<'a> {
    index: usize,
    queue: bool,
    discipline: Discipline,
    container: &'a str,
}

fn read_topic(reader: &mut Reader, bus: &Bus, entry: &Entry, kind: &TopicKind<'_>) -> Option<Topic> {
    let path = format!("buses.{}.{}.{}", bus.name, kind.container, entry.key);
    reader.explained.things.push(path.clone());
    let mut fields = Fields::open(reader, &entry.value, entry.place, path.clone(), format!("`{}`", entry.key))?;
    fields.not_yet(reader, &["compatibility"]);
    let table = Table { profile: &bus.profile, scope: Scope::Topic, switched: bus.switched };
    let mut over = bus.over.clone();
    over.append(&mut settings::read(reader, &mut fields, &[table]).remove(0));
    let values = Values { profile: &bus.profile, over: &over };
    let partitions = lanes(reader, bus, &mut fields, &values, "partitions", kind, MAX_PARTITIONS);
    let copies = lanes(reader, bus, &mut fields, &values, "replication_factor", kind, 100);
    let copies_place = fields.get("replication_factor").map_or(entry.place, |node| node.place);
    fields.finish(reader);
    if copies > bus.brokers {
        let message = format!("{copies} copies need as many brokers, and `{}` has {}", bus.name, bus.brokers);
        reader.error(Diagnostic::at(copies_place, message));
    }
    check_topic_settings(reader, &values, copies);
    let retention = retention::read(reader, &values, kind.discipline, &format!("{path}.settings"));
    let replicate = stage(reader, bus, "replicate");
    let store = StorePolicy {
        network: bus.network.clone(),
        append: stage(reader, bus, "append"),
        replicate: if copies > 1 { replicate } else { Dist::Constant(0.0) },
        fsync: stage(reader, bus, "fsync"),
        visible_when_replicated: values.word("visible") == "replicated",
    };
    let plan = TopicPlan {
        name: entry.key.clone(),
        bus: bus.name.clone(),
        fan_out: !kind.queue,
        partitions,
        brokers: bus.brokers,
        bus_id: BusId(u32::try_from(kind.index).expect("bounded by the size of the file")),
        copies,
        min_in_sync: values.count32("min_in_sync"),
        unclean_election: values.flag("unclean_election"),
        store,
        retention,
    };
    let name = entry.key.clone();
    Some(Topic { bus: kind.index, name, queue: kind.queue, discipline: kind.discipline, copies, plan })
}

/// Partitions or copies: as written, or from settings, or the profile's.
fn lanes(
    reader: &mut Reader,
    bus: &Bus,
    fields: &mut Fields<'_>,
    values: &Values<'_>,
    key: &'static str,
    kind: &TopicKind<'_>,
    most: u32,
) -> u32 {
    let written = fields.count32(reader, key, 1, most);
    let Some(count) = written else {
        let count = values.count32(key);
        match values.place(key) {
            Some(place) => reader.explain(&fields.path_of(key), count.to_string(), place),
            None => settings::explain_profile(reader, &fields.path_of(key), &bus.profile, key),
        }
        if !(1..=most).contains(&count) {
            let place = values.place(key).unwrap_or(fields.at);
            reader.error(Diagnostic::at(place, format!("`{key}` is {count}, and should be between 1 and {most}")));
            return 1;
        }
        return count;
    };
    if count > 1 && kind.discipline == Discipline::Queue {
        let place = fields.get(key).map_or(fields.at, |node| node.place);
        if bus.switched.is_some_and(|layer| place.layer < layer) {
            let path = fields.path_of(key);
            reader.notes.push(format!("{path}: {count} left behind, for the profile is now {}", bus.profile.name));
        } else {
            reader.not_yet(place, &format!("`{key}` above 1 on a queue of profile {}", bus.profile.name));
        }
        return 1;
    }
    count
}

/// Settings of a topic that are errors.
fn check_topic_settings(reader: &mut Reader, values: &Values<'_>, copies: u32) {
    let least = values.count("min_in_sync");
    if let Some(place) = values.place("min_in_sync").filter(|_| least > u64::from(copies)) {
        let message = format!(
            "{least} in-sync copies are asked for, and there are {copies}: every publish with acks of all would be refused"
        );
        reader.error(Diagnostic::at(place, message).help("raise `replication_factor`"));
    }
}
