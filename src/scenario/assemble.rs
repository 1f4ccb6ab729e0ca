//! The top level of a scenario, and what is checked once all of it is known.

use std::collections::BTreeMap;
use std::path::Path;

use super::buses::{self, Buses};
use super::consumers::{self, Read};
use super::diagnostics::Diagnostic;
use super::faults::{self, Things};
use super::handlers::Known;
use super::names::Names;
use super::reader::{Fields, Reader};
use super::tree::{Node, Place, Value};
use super::{awaits, changes, expect, flows, handlers, keys, order, producers, resources, retries, services};
use crate::dist::{Arrivals, Dist};
use crate::plan::{
    ClientPlan, ConsumerPlan, Dispatch, Initiator, Plan, ProducerPlan, Step, TopicId, WarmUp, sequence_bits,
};
use crate::time::SimSpan;
use crate::units;

/// Most messages waiting at one subscription: about 1.5 GB of records, keys and times in the worst case.
const BACKLOG_BOUND: u64 = 20_000_000;
/// Most runs of an experiment.
const MAX_REPLICATIONS: u32 = 100_000;

/// Reads a whole scenario; errors are recorded, and the plan is of no use if there are any.
pub(super) fn plan(reader: &mut Reader, tree: &Node, file: &str) -> Option<Plan> {
    let tree = &without_own_keys(tree);
    let at = tree.place;
    let mut fields = Fields::open(reader, tree, at, "", "a scenario")?;
    fields.not_yet(reader, &["zones"]);
    fields.allow(&["vary"]);
    let mut plan = top_level(reader, &mut fields, file);
    reader.duration = plan.duration;
    reader.event_types = keys::event_types(tree);
    let named = |section: &'static str| {
        tree.get(section).into_iter().flat_map(Node::entries).map(move |entry| (section, entry.key.clone()))
    };
    reader.declared = NAME_SPACE.into_iter().flat_map(|(section, _)| named(section)).collect();
    let names = Names::of(tree);
    let nothing = Node { place: at, value: Value::Null };
    let services = fields.get("services").unwrap_or(&nothing);
    let buses = read_buses(reader, &mut fields, users_come_in(services));
    let section = read_producers(reader, &mut fields, services);
    let known = Known { buses: &buses, names: &names };
    plan.producers = producers::read(reader, section.unwrap_or(&nothing), &known);
    let read = consumers::read(reader, fields.get("consumers").unwrap_or(&nothing), &known);
    plan.services = services::read(reader, services, &known);
    let (resources, per_key): (Vec<_>, Vec<_>) =
        resources::read(reader, fields.get("resources").unwrap_or(&nothing)).into_iter().unzip();
    plan.resources = resources;
    one_name_space(reader, tree);
    one_consumer_per_queue(reader, &read, &buses);
    plan.buses = buses.plans();
    plan.topics = buses.topics.iter().map(|topic| topic.plan.clone()).collect();
    let fetch: Vec<u64> = read.iter().map(|consumer| consumer.max_fetch_bytes).collect();
    let shares: Vec<Option<Place>> = read.iter().map(|consumer| consumer.keys.map(|(_, place)| place)).collect();
    let places: Vec<Place> = read.iter().map(|consumer| consumer.place).collect();
    plan.consumers = divide_keys(reader, read);
    retries::make_topics(reader, &mut plan, &places);
    refuse_shares_of_no_keys(reader, &plan, &shares);
    resources::refuse_keys_of_no_keys(reader, &plan, &per_key);
    awaits::check(reader, &plan);
    let known = flows::Parties { plan: &plan, buses: &buses, tree };
    let flows = flows::read(reader, fields.get("flows").unwrap_or(&nothing), known);
    let reads = flows::reads(reader, fields.get("reads").unwrap_or(&nothing), known);
    (plan.flows, plan.reads) = (flows, reads);
    limit_fetches(&mut plan, &fetch);
    let (changes, replays) =
        changes::read(reader, fields.get("changes").unwrap_or(&nothing), &Things { plan: &plan, buses: &buses });
    plan.changes = changes;
    plan.faults =
        faults::faults(reader, fields.get("faults").unwrap_or(&nothing), &Things { plan: &plan, buses: &buses });
    plan.faults.extend(replays);
    refuse_to_find_a_warm_up(reader, &plan, &mut fields);
    let duration = fields.get("duration").map_or(at, |node| node.place);
    if reader.errors.is_empty() {
        refuse_too_many(reader, &plan, duration);
    }
    plan.expectations = expect::read(reader, fields.get("expect").unwrap_or(&nothing), &plan);
    fields.finish(reader);
    plan.event_types = reader.event_types.clone();
    number_keys(reader, &mut plan);
    let promises: Vec<_> = plan.consumers.iter().map(|consumer| order::promise(&plan, consumer)).collect();
    plan.consumers.iter_mut().zip(promises).for_each(|(consumer, promise)| consumer.key_order = promise);
    note_silent_topics(reader, &plan);
    services::note_idle_things(reader, &plan);
    note_short_traces(reader, &plan);
    Some(plan)
}

/// Sections whose names share one space, with what one of their things is called.
const NAME_SPACE: [(&str, &str); 4] =
    [("producers", "a producer"), ("consumers", "a consumer"), ("services", "a service"), ("resources", "a resource")];

/// Whether users come in at some service.
fn users_come_in(services: &Node) -> bool {
    services.entries().iter().any(|entry| entry.value.get("arrivals").is_some_and(|node| !node.is_null()))
}

/// The buses; a scenario whose events begin at services may do without.
fn read_buses(reader: &mut Reader, fields: &mut Fields<'_>, users: bool) -> Buses {
    let other = fields.get("producers").is_some() || fields.get("consumers").is_some();
    let none = Node { place: fields.at, value: Value::Map(Vec::new()) };
    let nothing = Node { place: fields.at, value: Value::Null };
    if users && !other {
        return buses::read(reader, fields.get("buses").unwrap_or(&none));
    }
    let node = fields.required(reader, "buses", "buses: { main: { profile: kafka, topics: { orders: } } }");
    buses::read(reader, node.unwrap_or(&nothing))
}

/// The section `producers`, which is there unless users come in at services.
fn read_producers<'a>(reader: &mut Reader, fields: &mut Fields<'a>, services: &Node) -> Option<&'a Node> {
    let section = fields.get("producers");
    if section.is_some() || users_come_in(services) {
        return section;
    }
    if services.entries().iter().any(|entry| !entry.value.is_null()) {
        let message = "nothing ever happens: no service has `arrivals`, and there are no producers";
        reader.error(
            Diagnostic::at(services.place, message).help("add `arrivals: { poisson: 100/s }` where users come in"),
        );
        return None;
    }
    fields.required(reader, "producers", "producers: { shop: { publishes: orders, arrivals: { poisson: 500/s } } }")
}

/// Without the keys that begin with `x-`, which are the user's own.
fn without_own_keys(tree: &Node) -> Node {
    let mut tree = tree.clone();
    if let Value::Map(entries) = &mut tree.value {
        entries.retain(|entry| !entry.key.starts_with("x-"));
    }
    tree
}

fn top_level(reader: &mut Reader, fields: &mut Fields<'_>, file: &str) -> Plan {
    let name = name(reader, fields, file);
    let seed = seed(reader, fields);
    let replications = fields.count32(reader, "replications", 1, MAX_REPLICATIONS);
    if fields.get("replications").is_none() {
        reader.explain_default("replications", "10", "");
    }
    fields.required(reader, "duration", "duration: 30m");
    let duration = fields.span(reader, "duration");
    let place = fields.get("duration").map_or(fields.at, |node| node.place);
    if duration == Some(SimSpan::ZERO) {
        reader.error(Diagnostic::at(place, "a run of no length shows nothing"));
    }
    let warm_up = warm_up(reader, fields);
    if let (Some(duration), Some((warm_up, place))) = (duration, warm_up)
        && warm_up >= duration
    {
        let message = format!("the warm-up is as long as the run, which is {}", units::write_duration(duration));
        reader.error(Diagnostic::at(place, message).label("nothing would be measured"));
    }
    if let Some(sample) = fields.share(reader, "sample")
        && sample < 1.0
    {
        let place = fields.get("sample").map_or(fields.at, |node| node.place);
        reader.not_yet(place, "a `sample` below 100%");
    }
    Plan {
        name,
        seed,
        replications: replications.unwrap_or(10),
        duration: duration.unwrap_or(SimSpan::FOREVER),
        warm_up: warm_up.map_or(SimSpan::ZERO, |(span, _)| span),
        warm_up_from: if is_auto(fields) { WarmUp::Wanted } else { WarmUp::Stated },
        buses: Vec::new(),
        topics: Vec::new(),
        producers: Vec::new(),
        consumers: Vec::new(),
        services: Vec::new(),
        resources: Vec::new(),
        flows: Vec::new(),
        reads: Vec::new(),
        faults: Vec::new(),
        changes: Vec::new(),
        expectations: Vec::new(),
        key_labels: Vec::new(),
        numeric_keys: 0,
        event_types: Vec::new(),
        backlog_bound: BACKLOG_BOUND,
    }
}

fn name(reader: &mut Reader, fields: &mut Fields<'_>, file: &str) -> String {
    let Some(node) = fields.get("name") else {
        let stem =
            Path::new(file).file_stem().map_or_else(|| "scenario".into(), |stem| stem.to_string_lossy().into_owned());
        reader.explain_default("name", stem.clone(), "the name of the file");
        return stem;
    };
    reader.explain("name", node.to_text(), node.place);
    let text = node.text().unwrap_or_default();
    if text.is_empty() || !text.chars().all(|c| c.is_alphanumeric() || c == '-') {
        let help = "names of scenarios hold letters, digits and `-`";
        reader.error(Diagnostic::at(node.place, format!("`{}` is not a name", node.to_text())).help(help));
    }
    text.to_owned()
}

fn seed(reader: &mut Reader, fields: &mut Fields<'_>) -> u64 {
    let Some(node) = fields.get("seed") else {
        reader.explain_default("seed", "1", "");
        return 1;
    };
    let whole =
        node.text().filter(|text| !text.starts_with(['0', '+']) || *text == "0").and_then(|text| text.parse().ok());
    reader.explain("seed", node.to_text(), node.place);
    whole.or_else(|| reader.quantity(node, units::parse_count, "a seed, a whole number")).unwrap_or(1)
}

fn warm_up(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<(SimSpan, Place)> {
    let Some(node) = fields.get("warm_up") else {
        reader.explain_default("warm_up", "0s", "");
        return None;
    };
    if is_auto(fields) {
        reader.explain("warm_up", "auto".into(), node.place);
        return None;
    }
    fields.span(reader, "warm_up").map(|span| (span, node.place))
}

/// Whether the warm-up is to be found.
fn is_auto(fields: &mut Fields<'_>) -> bool {
    fields.get("warm_up").and_then(Node::text) == Some("auto")
}

/// A warm-up can be told from what follows only where load has no course of its own.
fn refuse_to_find_a_warm_up(reader: &mut Reader, plan: &Plan, fields: &mut Fields<'_>) {
    let auto = is_auto(fields);
    let (Some(name), Some(node), true) = (plan.unsteady_arrivals(), fields.get("warm_up"), auto) else { return };
    let message = format!("no warm-up can be told from the course that the arrivals of `{name}` follow");
    let help = "state it, such as `warm_up: 1m`, or leave it out";
    reader.error(Diagnostic::at(node.place, message).label("auto needs steady arrivals").help(help));
}

/// Producers, consumers, services and resources share one name space, so that a name alone says who is meant.
fn one_name_space(reader: &mut Reader, tree: &Node) {
    let mut seen: BTreeMap<&str, (&str, Place)> = BTreeMap::new();
    for (section, what) in NAME_SPACE {
        let entries = tree.get(section).map_or(&[][..], Node::entries);
        for entry in entries.iter().filter(|entry| !entry.value.is_null()) {
            if let Some((first, place)) = seen.get(entry.key.as_str()) {
                let message = format!("`{}` is {first} and {what}", entry.key);
                let help = "they share one name space, so that a name alone says who is meant";
                let label = first.replacen("a ", "the ", 1);
                reader.error(Diagnostic::at(entry.place, message).context(*place, label).help(help));
            } else {
                seen.insert(&entry.key, (what, entry.place));
            }
        }
    }
}

/// Two consumers that would share work are not built yet.
fn one_consumer_per_queue(reader: &mut Reader, consumers: &[Read], buses: &Buses) {
    for (index, later) in consumers.iter().enumerate() {
        for earlier in &consumers[..index] {
            if earlier.group == later.group && earlier.bus == later.bus {
                let what = format!("one group (`{}`) for two consumers", later.group);
                reader.not_yet(later.place, &what);
            }
            let shared = later.plan.subscribes.iter().find(|topic| earlier.plan.subscribes.contains(topic));
            if let Some(queue) = shared.map(|topic| buses.at(*topic)).filter(|topic| topic.queue) {
                reader.not_yet(later.place, &format!("one queue (`{}`) for two consumers", queue.plan.name));
            }
        }
    }
}

/// Gives each consumer that states a share of the keys its interval, in order of name.
fn divide_keys(reader: &mut Reader, read: Vec<Read>) -> Vec<ConsumerPlan> {
    let mut plans: Vec<ConsumerPlan> = Vec::new();
    let mut taken: Vec<(Vec<TopicId>, f64)> = Vec::new();
    for consumer in read {
        let mut plan = consumer.plan;
        if let Some((share, place)) = consumer.keys {
            let overlap = |topics: &[TopicId]| topics.iter().any(|topic| plan.subscribes.contains(topic));
            if taken.iter().any(|(topics, _)| *topics != plan.subscribes && overlap(topics)) {
                reader.not_yet(place, "shares of keys among consumers of different topics");
            }
            let index = taken.iter().position(|(topics, _)| *topics == plan.subscribes).unwrap_or_else(|| {
                taken.push((plan.subscribes.clone(), 0.0));
                taken.len() - 1
            });
            let from = taken[index].1;
            let to = from + share;
            if to > 1.0 + 1e-9 {
                let message = format!("the consumers of one topic ask for {} of its keys", units::show_share(to));
                reader.error(Diagnostic::at(place, message).label("more than there are"));
            }
            taken[index].1 = to;
            plan.keys = (from, if to > 1.0 - 1e-9 { 1.0 } else { to });
        }
        plans.push(plan);
    }
    plans
}

/// Refuses producers whose events a run could not number. What consumers publish is not known before the run.
fn refuse_too_many(reader: &mut Reader, plan: &Plan, duration: Place) {
    for (topic, name) in plan.topics.iter().enumerate().map(|(topic, of)| (topic, &of.name)) {
        let publishes = |clients: &[(TopicId, ClientPlan)]| clients.iter().any(|(to, _)| to.0 as usize == topic);
        let producers = plan.producers.iter().filter(|producer| publishes(&producer.clients));
        let consumers = plan.consumers.iter().filter(|consumer| publishes(&consumer.clients));
        let services = plan.services.iter().filter(|service| publishes(&service.clients));
        let publishers = producers.clone().count() + consumers.count() + services.count();
        let most = 1_u64 << sequence_bits(publishers);
        for producer in producers {
            let arrivals = producer.arrivals.mean_rate(plan.duration) * plan.duration.seconds();
            let events = arrivals * producer.events_per_arrival.mean() * copies(&producer.handler.steps, topic);
            if events > 0.95 * most as f64 {
                let message = format!("{} publishes about {events:.0} events to {name} in this time", producer.name);
                let help = format!("one run numbers {most} events of each of its {publishers} publishers: shorten it");
                reader.error(Diagnostic::at(duration, message).label("too many").help(help));
            }
        }
    }
}

/// Mean number of messages that one pass through a handler publishes to a topic.
fn copies(steps: &[Step], topic: usize) -> f64 {
    let own = |step: &Step| match step {
        Step::Publish(publish) if publish.to.0 as usize == topic => publish.probability * publish.count.mean(),
        _ => 0.0,
    };
    let nested = |step: &Step| match step {
        Step::Choose(branches) => branches.iter().map(|(share, steps)| share * copies(steps, topic)).sum::<f64>(),
        // What is done in place of a failed step comes on top at worst.
        other => other.nested().into_iter().map(|steps| copies(steps, topic)).sum(),
    };
    steps.iter().map(|step| own(step) + nested(step)).sum()
}

/// A share of the keys says nothing about events without a key.
fn refuse_shares_of_no_keys(reader: &mut Reader, plan: &Plan, shares: &[Option<Place>]) {
    let keyless = keys::keyless_topics(plan);
    for (consumer, place) in plan.consumers.iter().zip(shares) {
        let topic = consumer.subscribes.iter().find(|topic| keyless[topic.0 as usize]);
        if let (Some(place), Some(topic)) = (place, topic) {
            let topic = &plan.topics[topic.0 as usize].name;
            let message = format!("`keys` divides events by key, and events of {topic} have none");
            let help = "give the `key` of what is published there, or leave `keys` out";
            reader.error(Diagnostic::at(*place, message).help(help));
        }
    }
}

/// Turns the most bytes of a fetch into records of the mean size of what is published.
fn limit_fetches(plan: &mut Plan, bytes: &[u64]) {
    let initiators = plan.initiators();
    let sizes: Vec<f64> = (0..plan.topics.len()).map(|topic| mean_size(plan, &initiators, topic)).collect();
    for (consumer, bytes) in plan.consumers.iter_mut().zip(bytes) {
        let Dispatch::Log(log) = &mut consumer.dispatch else { continue };
        let size = consumer.subscribes.iter().map(|topic| sizes[topic.0 as usize]).fold(1.0, f64::max);
        let records = SimSpan::from_nanos_f64((*bytes as f64 / size).floor()).0;
        log.max_fetch_records = u32::try_from(records.max(1)).unwrap_or(u32::MAX);
    }
}

/// Mean size of the events published to a topic, weighted by the rates of those who publish because of what arrives from
/// outside.
fn mean_size(plan: &Plan, initiators: &[Vec<Initiator>], topic: usize) -> f64 {
    fn add(steps: &[Step], topic: usize, own: f64, weight: f64, sums: &mut (f64, f64)) {
        for step in steps {
            if let Step::Publish(publish) = step
                && publish.to.0 as usize == topic
            {
                let size = publish.size.as_ref().map_or(own, crate::dist::Dist::mean);
                if size.is_finite() {
                    sums.0 += weight * size;
                    sums.1 += weight;
                }
            }
            match step {
                Step::Choose(branches) => {
                    branches.iter().for_each(|(share, steps)| add(steps, topic, own, weight * share, sums))
                }
                other => other.nested().into_iter().for_each(|steps| add(steps, topic, own, weight, sums)),
            }
        }
    }
    let mut sums = (0.0, 0.0);
    for ProducerPlan { arrivals, handler, size, .. } in &plan.producers {
        add(&handler.steps, topic, size.mean(), arrivals.mean_rate(plan.duration), &mut sums);
    }
    for (service, initiators) in plan.services.iter().zip(initiators) {
        for (arrivals, size) in initiators.iter().filter_map(|initiator| from_outside(plan, *initiator)) {
            add(&service.handler.steps, topic, size.mean(), arrivals.mean_rate(plan.duration), &mut sums);
        }
    }
    if sums.1 <= 0.0 {
        plan.consumers.iter().for_each(|consumer| add(&consumer.handler.steps, topic, 1024.0, 1.0, &mut sums));
    }
    if sums.1 > 0.0 { sums.0 / sums.1 } else { 1024.0 }
}

/// What arrives from outside at an initiator, and the size of what is published for it.
fn from_outside(plan: &Plan, initiator: Initiator) -> Option<(&Arrivals, &Dist)> {
    match initiator {
        Initiator::User(id) => {
            let service = &plan.services[id.0 as usize];
            Some((service.arrivals.as_ref()?, &service.size))
        }
        Initiator::Producer(id) => {
            let producer = &plan.producers[id.0 as usize];
            Some((&producer.arrivals, &producer.size))
        }
        // How often it publishes depends on what it reads.
        Initiator::Consumer(_) => None,
    }
}

/// Gives keys that are texts their final numbers.
fn number_keys(reader: &mut Reader, plan: &mut Plan) {
    plan.numeric_keys = reader.numeric_keys;
    let mut keys: Vec<_> = Vec::new();
    for producer in &mut plan.producers {
        keys.push(&mut producer.key);
        keys.extend(keys::of_handler(&mut producer.handler));
    }
    for service in &mut plan.services {
        keys.push(&mut service.key);
        keys.extend(keys::of_handler(&mut service.handler));
    }
    keys.extend(plan.consumers.iter_mut().flat_map(|consumer| keys::of_handler(&mut consumer.handler)));
    plan.key_labels = keys::number_labels(reader, &mut keys);
}

/// Says where a record of arrivals ends before the run.
fn note_short_traces(reader: &mut Reader, plan: &Plan) {
    for producer in &plan.producers {
        let Some(end) = producer.arrivals.ends().filter(|end| end.0 < plan.duration.0) else { continue };
        let [end, all] = [SimSpan(end.0), plan.duration].map(units::write_duration);
        let name = &producer.name;
        reader
            .notes
            .push(format!("the trace of producers.{name} ends at {end}, and nothing arrives from then until {all}"));
    }
}

/// Says where a consumer waits for events that nobody publishes.
fn note_silent_topics(reader: &mut Reader, plan: &Plan) {
    let mut fed: Vec<TopicId> =
        plan.producers.iter().flat_map(|producer| handlers::published(&producer.handler)).collect();
    fed.extend(plan.consumers.iter().flat_map(|consumer| handlers::published(&consumer.handler)));
    fed.extend(plan.services.iter().flat_map(|service| handlers::published(&service.handler)));
    fed.extend(plan.consumers.iter().filter_map(|consumer| consumer.dead_letter));
    for consumer in &plan.consumers {
        for topic in consumer.subscribes.iter().filter(|topic| !fed.contains(topic)) {
            let topic = &plan.topics[topic.0 as usize].name;
            reader.notes.push(format!("consumers.{} subscribes to {topic}, to which nobody publishes", consumer.name));
        }
        if let Some(own) = consumer.dead_letter.filter(|own| consumer.subscribes.contains(own)) {
            let (name, topic) = (&consumer.name, &plan.topics[own.0 as usize].name);
            reader.notes.push(format!(
                "the dead letters of consumers.{name} go to {topic}, which it reads itself: what never succeeds comes back for ever"
            ));
        }
    }
}
