//! Faults: when, whom, what.

use super::awaits;
use super::brokers;
use super::buses::Buses;
use super::diagnostics::{Diagnostic, listed, nearest};
use super::distributions::{self, Of};
use super::handlers;
use super::reader::{Choice, Fields, Reader, items};
use super::tree::{Node, Place};
use crate::dist::Dist;
use crate::plan::{
    ConsumerId, ConsumerPlan, Effect, FaultPlan, FaultTarget, Members, Party, Plan, ProducerId, ResourceId, ServiceId,
    ServicePlan, called,
};
use crate::time::SimSpan;
use crate::units;

/// Effects by kind of target; each fits what is listed.
const CONSUMER_EFFECTS: [&str; 5] = ["crash", "pause", "slow", "fail", "poison"];
const PRODUCER_EFFECTS: [&str; 1] = ["burst"];
const SERVICE_EFFECTS: [&str; 7] = ["crash", "pause", "slow", "fail", "burst", "black_hole", "cold_start"];
const LINK_EFFECTS: [&str; 5] = ["drop", "delay", "duplicate", "lost_response", "partition"];
const RESOURCE_EFFECTS: [&str; 3] = ["pause", "slow", "quota"];
const RELAY_EFFECTS: [&str; 2] = ["crash", "pause"];
const BROKER_EFFECTS: [&str; 3] = ["crash", "pause", "power_loss"];
/// Effects of the format that this version does not have, on any target.
const NOT_YET: [&str; 5] = ["clock_skew", "hot_key", "bad_schema", "rebalance", "disk_stall"];

/// What targets are resolved against.
pub(super) struct Things<'a> {
    pub(super) plan: &'a Plan,
    pub(super) buses: &'a Buses,
}

/// Whether something begins after the end; an error, unless the command line made the run shorter.
pub(super) fn beyond_the_end(reader: &mut Reader, at: SimSpan, place: Place, name: &str) -> bool {
    if at < reader.duration {
        return false;
    }
    if reader.duration_set {
        reader.notes.push(format!("left out, for it is beyond the end of the shorter run: {name}"));
    } else {
        let message =
            format!("this is after the end of the run, which is {} long", units::write_duration(reader.duration));
        reader.error(Diagnostic::at(place, message).label(format!("`{name}` never happens")));
    }
    true
}

/// Reads `faults`.
pub(super) fn faults(reader: &mut Reader, node: &Node, things: &Things<'_>) -> Vec<FaultPlan> {
    items(node).iter().enumerate().filter_map(|(index, item)| fault(reader, item, index, things)).collect()
}

fn fault(reader: &mut Reader, node: &Node, index: usize, things: &Things<'_>) -> Option<FaultPlan> {
    if node.is_null() {
        return None;
    }
    let mut fields = Fields::open(reader, node, node.place, format!("faults.{index}"), "a fault")?;
    reader.explained.things.push(fields.path.clone());
    fields.explain(reader, &["name", "target", "effect"]);
    let name = fields.get("name").and_then(Node::text).map(str::to_owned);
    let at = time(reader, &mut fields, "at");
    let every = time(reader, &mut fields, "every");
    let lasts = time(reader, &mut fields, "for");
    let target = fields.required(reader, "target", "target: consumers.email");
    let effect = fields.required(reader, "effect", "effect: { slow: 10x }");
    fields.finish(reader);
    let target_text = target.and_then(Node::text).unwrap_or_default().to_owned();
    let effect_place = effect.map_or(node.place, |node| node.place);
    let target = target.and_then(|node| target_of(reader, node, things));
    let effect = effect.and_then(|node| effect_of(reader, node, target, &target_text));
    let effect_name = effect.as_ref().map_or("a fault of", |(_, name)| name.as_str());
    let shown = name.clone().unwrap_or_else(|| format!("{effect_name} {target_text}"));
    if let Some((Dist::Constant(nanos), place)) = &at
        && beyond_the_end(reader, SimSpan::from_nanos_f64(*nanos), *place, &shown)
    {
        return None;
    }
    let (effect, target) = (effect?.0, target?);
    awaits::check_fault(reader, effect_place, things.plan, target);
    if let (Effect::ColdStart(_), None) = (&effect, &lasts) {
        let error = Diagnostic::at(effect_place, "a cold start ends some time, and there is no `for`");
        reader.error(error.help("add how long it takes to be warm: `for: 2m`"));
    }
    if let (Some((_, place)), Effect::Poison(_)) = (&lasts, &effect) {
        reader.error(
            Diagnostic::at(*place, "poison is a number of events, not a time: `for` does not fit")
                .help("leave `for` out"),
        );
    }
    if let (FaultTarget::ConsumerLink(consumer), Effect::Duplicate(_)) = (target, &effect)
        && things.plan.consumers[consumer.0 as usize].clients.is_empty()
    {
        let message = format!("`duplicate` does nothing on `{target_text}`, on which nothing is published");
        let help = "what a consumer is sent cannot arrive twice; `lost_response` makes it be delivered again";
        reader.error(Diagnostic::at(effect_place, message).help(help));
    }
    if let (FaultTarget::Service(service, members), Effect::Burst(_)) = (target, &effect) {
        check_burst(reader, &target_text, effect_place, &things.plan.services[service.0 as usize], members);
    }
    if let Some((Dist::Constant(every), place)) = &every
        && *every < 1.0
    {
        reader.error(Diagnostic::at(*place, "a fault that recurs every 0s never ends"));
    }
    if let (Some((Dist::Constant(every), _)), Some((Dist::Constant(lasts), _))) = (&every, &lasts)
        && lasts > every
    {
        let [every, lasts] = [*every, *lasts].map(|nanos| units::write_duration(SimSpan::from_nanos_f64(nanos)));
        reader.notes.push(format!("{shown} recurs every {every} and lasts {lasts}: its occurrences overlap"));
    }
    let at = at.map_or(Dist::Constant(0.0), |(at, _)| at);
    let stream = name.unwrap_or_else(|| index.to_string());
    let dist = |time: Option<(Dist, Place)>| time.map(|(dist, _)| dist);
    Some(FaultPlan { name: shown, stream, at, every: dist(every), lasts: dist(lasts), target, effect })
}

/// A burst is of the users of a whole service.
fn check_burst(reader: &mut Reader, target: &str, place: Place, service: &ServicePlan, members: Members) {
    if service.arrivals.is_none() {
        let message = format!("`burst` does nothing on `{target}`, where no users come in");
        reader.error(Diagnostic::at(place, message).help("it fits producers, and services with `arrivals`"));
    } else if members != Members::All {
        let message = format!("`burst` is of arrivals, which are those of the service and not of `{target}`");
        reader.error(Diagnostic::at(place, message).help(format!("write `target: services.{}`", service.name)));
    }
}

/// A time of a fault, which may be random.
fn time(reader: &mut Reader, fields: &mut Fields<'_>, key: &'static str) -> Option<(Dist, Place)> {
    let node = fields.get(key)?;
    reader.explain(&fields.path_of(key), node.to_text(), node.place);
    distributions::read(reader, node, Of::Time).map(|dist| (dist, node.place))
}

/// The name at the start of a path, the longest that is declared, and the rest after the dot.
pub(super) fn longest<'a, 'b>(path: &'a str, names: impl Iterator<Item = &'b str>) -> Option<(usize, &'a str)> {
    let fits = names.enumerate().filter_map(|(index, name)| {
        let tail = path.strip_prefix(name)?;
        let tail = if tail.is_empty() { tail } else { tail.strip_prefix('.')? };
        Some((name.len(), index, tail))
    });
    fits.max_by_key(|(length, ..)| *length).map(|(_, index, tail)| (index, tail))
}

fn id(index: usize) -> u32 {
    u32::try_from(index).expect("bounded by the size of the file")
}

/// Whom a path names.
pub(super) fn target_of(reader: &mut Reader, node: &Node, things: &Things<'_>) -> Option<FaultTarget> {
    let Some(path) = node.text() else {
        reader.wrong_kind(node, "a path like `consumers.email`");
        return None;
    };
    let consumers = || things.plan.consumers.iter().map(|consumer| consumer.name.as_str());
    let producers = || things.plan.producers.iter().map(|producer| producer.name.as_str());
    let services = || things.plan.services.iter().map(|service| service.name.as_str());
    let (section, tail) = path.split_once('.').unwrap_or((path, ""));
    match section {
        "services" => {
            let Some((index, tail)) = longest(tail, services()) else {
                let error = undeclared(reader, node, path, tail);
                reject(reader, error, tail);
                return None;
            };
            if tail == "outbox" {
                return relay(reader, node, things.plan, Party::Service(ServiceId(id(index))));
            }
            let ServicePlan { name, instances, .. } = &things.plan.services[index];
            let instances = part(reader, node, tail, &Parts { of: name, word: "instances", count: *instances })?;
            Some(FaultTarget::Service(ServiceId(id(index)), instances))
        }
        "consumers" => {
            let Some((index, tail)) = longest(tail, consumers()) else {
                let error = undeclared(reader, node, path, tail);
                reject(reader, error, tail);
                return None;
            };
            let members = members(reader, node, tail, things, index)?;
            Some(FaultTarget::Consumer(ConsumerId(id(index)), members))
        }
        "producers" => match longest(tail, producers()) {
            Some((index, "" | "instances")) => Some(FaultTarget::Producer(ProducerId(id(index)))),
            Some((index, "outbox")) => relay(reader, node, things.plan, Party::Producer(ProducerId(id(index)))),
            Some(_) => {
                reader.not_yet(node.place, "a part of a producer as a target");
                None
            }
            None => {
                let error = undeclared(reader, node, path, tail);
                reject(reader, error, tail);
                None
            }
        },
        "links" => link(reader, node, tail, things),
        "resources" => resource(reader, node, (path, tail), things),
        "buses" => brokers::target(reader, node, tail, things),
        "zones" => {
            reader.not_yet(node.place, &format!("{section} as a target (`{path}`)"));
            None
        }
        _ => {
            no_target(reader, node, path, things.plan);
            None
        }
    }
}

/// The relay of somebody's outbox.
fn relay(reader: &mut Reader, node: &Node, plan: &Plan, whose: Party) -> Option<FaultTarget> {
    if plan.outbox_of(whose).is_none() {
        let message = format!("`{}` has no outbox", plan.party_name(whose));
        reader.error(Diagnostic::at(node.place, message).help("give it one: `outbox: { poll: 1s, batch: 100 }`"));
        return None;
    }
    Some(FaultTarget::Relay(whose))
}

/// A resource, as a whole.
fn resource(reader: &mut Reader, node: &Node, (path, tail): (&str, &str), things: &Things<'_>) -> Option<FaultTarget> {
    match longest(tail, things.plan.resources.iter().map(|resource| resource.name.as_str())) {
        Some((index, "")) => return Some(FaultTarget::Resource(ResourceId(id(index)))),
        Some((_, part)) => {
            let error = Diagnostic::at(node.place, format!("`{path}` has no part `{part}`"));
            reader.error(error.help("a resource is struck as a whole"));
        }
        None => {
            let error = undeclared(reader, node, path, tail);
            reject(reader, error, tail);
        }
    }
    None
}

/// What is no path to anything; perhaps the bare name of something.
fn no_target(reader: &mut Reader, node: &Node, path: &str, plan: &Plan) {
    let consumers = plan.consumers.iter().map(|it| ("consumers", it.name.as_str()));
    let producers = plan.producers.iter().map(|it| ("producers", it.name.as_str()));
    let services = plan.services.iter().map(|it| ("services", it.name.as_str()));
    let resources = plan.resources.iter().map(|it| ("resources", it.name.as_str()));
    let named = consumers.chain(producers).chain(services).chain(resources).find(|(_, name)| *name == path);
    let help = named.map_or_else(
        || {
            "a target is a path: `consumers.NAME`, `consumers.NAME.members.0`, `producers.NAME`, `services.NAME`, \
             `buses.NAME.brokers.0`, `resources.NAME`, `links.A.B`"
                .into()
        },
        |(section, name)| format!("write the whole path: `{section}.{name}`"),
    );
    reader.error(Diagnostic::at(node.place, format!("`{path}` is no target")).label("unknown target").help(help));
}

/// Records an error, unless the name is declared and only could not be read, which has been said.
fn reject(reader: &mut Reader, error: Diagnostic, name: &str) {
    if longest(name, reader.declared.iter().map(|(_, name)| name.as_str())).is_none() {
        reader.error(error);
    }
}

fn undeclared(reader: &Reader, node: &Node, path: &str, tail: &str) -> Diagnostic {
    let section = path.split('.').next().unwrap_or_default();
    let names = reader.declared.iter().filter(|(of, _)| *of == section).map(|(_, name)| name.as_str());
    let first = tail.split('.').next().unwrap_or_default();
    let near = nearest(tail, names.clone()).or_else(|| nearest(first, names.clone()));
    let help = near.map_or_else(|| format!("declared are {}", listed(names)), |near| format!("did you mean `{near}`?"));
    Diagnostic::at(node.place, format!("there is no `{path}`")).label("not declared").help(help)
}

fn members(reader: &mut Reader, node: &Node, tail: &str, things: &Things<'_>, consumer: usize) -> Option<Members> {
    let most = things.plan.most_members(consumer);
    part(reader, node, tail, &Parts { of: &things.plan.consumers[consumer].name, word: "members", count: most })
}

/// The numbered parts of a thing: members of a consumer, instances of a service.
pub(super) struct Parts<'a> {
    /// Name of the thing.
    pub(super) of: &'a str,
    /// What its parts are called.
    pub(super) word: &'static str,
    /// How many there are.
    pub(super) count: u32,
}

/// What the end of a path names: nothing or `members`, then `0`, `any` or `each`.
pub(super) fn part(reader: &mut Reader, node: &Node, tail: &str, parts: &Parts<'_>) -> Option<Members> {
    let Parts { of, word, count } = parts;
    match tail.strip_prefix(word).map(|tail| tail.strip_prefix('.').unwrap_or(tail)) {
        Some("any") => Some(Members::Any),
        Some("each") => Some(Members::Each),
        Some("") => Some(Members::All),
        None if tail.is_empty() => Some(Members::All),
        Some(index) if index.bytes().all(|byte| byte.is_ascii_digit()) => match index.parse::<u32>() {
            Ok(index) if index < *count => Some(Members::One(index)),
            _ => {
                let noun = word.trim_end_matches('s');
                let message = format!("`{of}` has {word} 0 to {}, and no {noun} {index}", count - 1);
                reader.error(Diagnostic::at(node.place, message).label("index out of range"));
                None
            }
        },
        _ => {
            let message = format!("`{of}` has no part `{tail}`");
            let help = format!("a target may end in `{word}.0`, `{word}.any` or `{word}.each`");
            reader.error(Diagnostic::at(node.place, message).help(help));
            None
        }
    }
}

/// A link between a producer, consumer or service and its bus, or between two that call, in either order.
fn link(reader: &mut Reader, node: &Node, tail: &str, things: &Things<'_>) -> Option<FaultTarget> {
    let plan = things.plan;
    // Buses last: they may have the name of something else, and are meant then.
    let names: Vec<&str> = plan
        .services
        .iter()
        .map(|service| service.name.as_str())
        .chain(plan.consumers.iter().map(|consumer| consumer.name.as_str()))
        .chain(plan.producers.iter().map(|producer| producer.name.as_str()))
        .chain(things.buses.list.iter().map(|bus| bus.name.as_str()))
        .collect();
    let first = longest(tail, names.iter().copied());
    let second = first.and_then(|(_, rest)| longest(rest, names.iter().copied())).filter(|(_, rest)| rest.is_empty());
    let (Some((a, rest)), Some((b, _))) = (first, second) else {
        let unknown = first.map_or(tail, |(_, rest)| rest);
        let near = nearest(unknown, names.iter().copied());
        let help = near.map_or_else(
            || "a link is written `links.A.B`: a producer, consumer or service and its bus, or two that call".into(),
            |near| format!("did you mean `{near}`?"),
        );
        let error = Diagnostic::at(node.place, format!("there is no link `{tail}`"));
        reject(reader, error.label("unknown link").help(help), unknown);
        return None;
    };
    debug_assert!(!rest.is_empty());
    let clients = names.len() - things.buses.list.len();
    let (client, bus) = match (a < clients, b < clients) {
        (true, false) => (a, b - clients),
        (false, true) => (b, a - clients),
        (true, true) => {
            let called = call_link(plan, party(plan, a), party(plan, b));
            if called.is_none() {
                let message = format!("`{}` and `{}` have no link of their own", names[a], names[b]);
                let help = "a link is between who calls and the service that is called, or between a producer, consumer or \
                            service and its bus";
                reader.error(Diagnostic::at(node.place, message).help(help));
            }
            return called;
        }
        (false, false) => {
            let message = format!("`{}` and `{}` have no link of their own", names[a], names[b]);
            let help = "a link is between a producer, consumer or service and its bus";
            reader.error(Diagnostic::at(node.place, message).help(help));
            return None;
        }
    };
    let who = party(plan, client);
    let used = used_buses(things, who);
    if !used.contains(&bus) {
        let message = format!("`{}` does not use the bus `{}`", names[client], things.buses.list[bus].name);
        reader.error(Diagnostic::at(node.place, message));
        return None;
    }
    if used.len() > 1 {
        reader.not_yet(node.place, &format!("a fault on one of several links of `{}`", names[client]));
        return None;
    }
    Some(match who {
        Party::Producer(id) => FaultTarget::ProducerLink(id),
        Party::Consumer(id) => FaultTarget::ConsumerLink(id),
        Party::Service(id) => FaultTarget::ServiceLink(id),
    })
}

/// Services first, then consumers, then producers.
fn party(plan: &Plan, index: usize) -> Party {
    let (services, consumers) = (plan.services.len(), plan.consumers.len());
    if index < services {
        Party::Service(ServiceId(id(index)))
    } else if index < services + consumers {
        Party::Consumer(ConsumerId(id(index - services)))
    } else {
        Party::Producer(ProducerId(id(index - services - consumers)))
    }
}

/// The link between two of which one calls the other.
fn call_link(plan: &Plan, one: Party, other: Party) -> Option<FaultTarget> {
    let calls = |caller: Party, callee: Party| match callee {
        Party::Service(to) if called(&plan.handler_of_party(caller).steps).contains(&to) => {
            Some(FaultTarget::CallLink(caller, to))
        }
        _ => None,
    };
    calls(one, other).or_else(|| calls(other, one))
}

/// Buses that someone reads from or publishes to.
fn used_buses(things: &Things<'_>, who: Party) -> Vec<usize> {
    let plan = things.plan;
    let mut topics = handlers::published(plan.handler_of_party(who));
    if let Party::Consumer(id) = who {
        let ConsumerPlan { subscribes, dead_letter, .. } = &plan.consumers[id.0 as usize];
        topics.extend(subscribes.iter().copied().chain(*dead_letter));
    }
    let mut buses: Vec<usize> = topics.into_iter().map(|topic| things.buses.at(topic).bus).collect();
    buses.sort_unstable();
    buses.dedup();
    buses
}

/// What a fault does, and the effect's name.
fn effect_of(
    reader: &mut Reader,
    node: &Node,
    target: Option<FaultTarget>,
    target_text: &str,
) -> Option<(Effect, String)> {
    let choice = Choice::of(reader, node, "an effect", "{ slow: 10x }")?;
    let (name, place) = choice.name(node);
    let ours = || CONSUMER_EFFECTS.into_iter().chain(PRODUCER_EFFECTS).chain(LINK_EFFECTS);
    let all = || ours().chain(["black_hole", "cold_start", "quota", "power_loss"]).chain(NOT_YET);
    if NOT_YET.contains(&name) {
        reader.not_yet(place, &format!("the effect `{name}`"));
        return None;
    }
    if !all().any(|known| known == name) {
        let near = nearest(name, all());
        let help =
            near.map_or_else(|| format!("there are {}", listed(all())), |near| format!("did you mean `{near}`?"));
        reader.error(Diagnostic::at(place, format!("there is no effect `{name}`")).label("unknown effect").help(help));
        return None;
    }
    let effect = effect_with_value(reader, &choice, name, place)?;
    let fits: &[&str] = match target? {
        FaultTarget::Consumer(..) => &CONSUMER_EFFECTS,
        FaultTarget::Producer(_) => &PRODUCER_EFFECTS,
        FaultTarget::Service(..) => &SERVICE_EFFECTS,
        FaultTarget::Resource(_) => &RESOURCE_EFFECTS,
        FaultTarget::Relay(_) => &RELAY_EFFECTS,
        FaultTarget::ProducerLink(_)
        | FaultTarget::ConsumerLink(_)
        | FaultTarget::ServiceLink(_)
        | FaultTarget::CallLink(..) => &LINK_EFFECTS,
        FaultTarget::Broker(..) | FaultTarget::Leader(..) => &BROKER_EFFECTS,
    };
    if name == "partition" && matches!(target, Some(FaultTarget::ConsumerLink(_))) {
        reader.not_yet(place, "the effect `partition` on the link of a consumer");
        return None;
    }
    if !fits.contains(&name) {
        if matches!(target, Some(FaultTarget::Producer(_))) && ["crash", "pause", "slow", "fail"].contains(&name) {
            reader.not_yet(place, &format!("the effect `{name}` on a producer"));
        } else if matches!(target, Some(FaultTarget::Broker(..) | FaultTarget::Leader(..))) && name == "slow" {
            reader.not_yet(place, "the effect `slow` on a broker");
        } else {
            let message = format!("`{name}` does not fit `{target_text}`");
            reader.error(Diagnostic::at(place, message).help(format!("what fits is {}", listed(fits.iter().copied()))));
        }
        return None;
    }
    Some((effect, name.to_owned()))
}

/// The effect of a known name: a bare word or a word with a value.
fn effect_with_value(reader: &mut Reader, choice: &Choice<'_>, name: &str, place: Place) -> Option<Effect> {
    match choice {
        Choice::Word("crash") => Some(Effect::Crash),
        Choice::Word("pause") => Some(Effect::Pause),
        Choice::Word("partition") => Some(Effect::Partition),
        Choice::Word("black_hole") => Some(Effect::BlackHole),
        Choice::Word("power_loss") => Some(Effect::PowerLoss),
        Choice::Word(word) => {
            let error = Diagnostic::at(place, format!("`{word}` needs a value"));
            reader.error(error.help(format!("write `{{ {word}: {} }}`", example_of(word))));
            None
        }
        Choice::Map(entry) if matches!(name, "crash" | "pause" | "partition" | "black_hole" | "power_loss") => {
            let error = Diagnostic::at(entry.place, format!("`{name}` has no value"));
            reader.error(error.help(format!("write `effect: {name}`")));
            None
        }
        Choice::Map(entry) => effect_value(reader, name, &entry.value),
    }
}

fn example_of(effect: &str) -> &'static str {
    match effect {
        "slow" | "cold_start" => "10x",
        "quota" => "10/s",
        "burst" => "3x",
        "poison" => "1",
        "delay" => "50ms",
        _ => "1%",
    }
}

fn effect_value(reader: &mut Reader, name: &str, node: &Node) -> Option<Effect> {
    match name {
        "slow" | "burst" | "cold_start" => {
            let factor = reader.quantity(node, units::parse_factor, "a factor")?;
            if factor <= 0.0 && name != "burst" {
                let error = Diagnostic::at(node.place, "a factor of slowness is above zero");
                reader.error(error.help("use `pause` for standing still"));
                return None;
            }
            Some(match name {
                "slow" => Effect::Slow(factor),
                "burst" => Effect::Burst(factor),
                _ => Effect::ColdStart(factor),
            })
        }
        "quota" => {
            let rate = reader.quantity(node, units::parse_rate, "a rate")?;
            if rate <= 0.0 {
                let error = Diagnostic::at(node.place, "a quota is above zero");
                reader.error(error.help("use `pause` for a resource that is granted to nobody"));
                return None;
            }
            Some(Effect::Quota(rate))
        }
        "poison" => reader.quantity(node, units::parse_count, "a count of events").map(Effect::Poison),
        "delay" => distributions::read(reader, node, Of::Time).map(Effect::Delay),
        _ => {
            let share = reader.quantity(node, units::parse_share, "a share")?;
            Some(match name {
                "fail" => Effect::Fail(share),
                "drop" => Effect::Drop(share),
                "duplicate" => Effect::Duplicate(share),
                _ => Effect::LostResponse(share),
            })
        }
    }
}
