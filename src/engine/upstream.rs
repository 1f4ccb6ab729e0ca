//! On whom a consumer or service depends, and so which faults it may feel.

use super::setup::{Publisher, Setup};
use crate::plan::{BusId, FaultTarget, Party, Plan, Step, TopicId, called};

/// A consumer or service itself, all that publish what it reads or awaits, all that it calls and that call it, those who call
/// or hold the same as it, and so on.
pub(super) fn upstream(plan: &Plan, setup: &Setup, of: Publisher) -> Vec<Publisher> {
    let producers = (0..plan.producers.len()).map(Publisher::Producer);
    let consumers = (0..plan.consumers.len()).map(Publisher::Consumer);
    let services = (0..plan.services.len()).map(Publisher::Service);
    let all: Vec<Publisher> = producers.chain(consumers).chain(services).collect();
    let mut found = vec![of];
    let mut at = 0;
    while let Some(who) = found.get(at).copied() {
        at += 1;
        let handler = plan.handler_of_party(who.party());
        let calls = called(&handler.steps).into_iter().map(|service| Publisher::Service(service.0 as usize));
        let calls_it = |other: &Publisher| match who.party() {
            Party::Service(service) => called(&plan.handler_of_party(other.party()).steps).contains(&service),
            _ => false,
        };
        let peers = all.iter().copied().filter(|other| calls_it(other) || plan.meet(who.party(), other.party()));
        let reads = |readers: &[usize]| readers.iter().any(|reader| who == Publisher::Consumer(*reader));
        let awaited = handler.awaited();
        let awaits = |topic: usize| awaited.iter().any(|of| of.0 as usize == topic);
        let topics = setup.topics.iter().enumerate().filter(|(index, topic)| reads(&topic.readers) || awaits(*index));
        let publishers = topics.flat_map(|(_, topic)| topic.who.iter().copied());
        let more: Vec<Publisher> = calls.chain(peers).chain(publishers).collect();
        for who in more {
            if !found.contains(&who) {
                found.push(who);
            }
        }
    }
    found
}

/// The faults that a consumer or service may feel, by number.
pub(super) fn faults_upstream(plan: &Plan, setup: &Setup, of: Publisher) -> Vec<usize> {
    if plan.faults.is_empty() {
        return Vec::new();
    }
    let upstream = upstream(plan, setup, of);
    (0..plan.faults.len()).filter(|fault| reaches(plan, &upstream, plan.faults[*fault].target)).collect()
}

/// Whether a fault of this target strikes any of these, or what they read from, publish to, call or hold.
fn reaches(plan: &Plan, upstream: &[Publisher], target: FaultTarget) -> bool {
    let is_there = |who: Publisher| upstream.contains(&who);
    match target {
        FaultTarget::Consumer(id, _) | FaultTarget::ConsumerLink(id) => is_there(Publisher::Consumer(id.0 as usize)),
        FaultTarget::Producer(id) | FaultTarget::ProducerLink(id) => is_there(Publisher::Producer(id.0 as usize)),
        FaultTarget::Service(id, _) | FaultTarget::ServiceLink(id) => is_there(Publisher::Service(id.0 as usize)),
        // Its own users are answered whether or not a relay is there.
        FaultTarget::Relay(party) => upstream.iter().any(|who| hears(plan, *who, party)),
        FaultTarget::Resource(id) => upstream.iter().any(|who| plan.holds(who.party(), id)),
        FaultTarget::CallLink(..) => upstream.iter().any(|who| {
            let services = called(&plan.handler_of_party(who.party()).steps);
            services.into_iter().any(|to| target.carries(who.party(), to))
        }),
        FaultTarget::Broker(bus, _) => upstream.iter().any(|who| uses(plan, *who, bus)),
        FaultTarget::Leader(topic, _) => {
            upstream.iter().any(|who| uses(plan, *who, plan.topics[topic.0 as usize].bus_id))
        }
    }
}

/// Whether someone reads from a bus or publishes to it.
fn uses(plan: &Plan, who: Publisher, bus: BusId) -> bool {
    let on_it = |topic: TopicId| plan.topics[topic.0 as usize].bus_id == bus;
    read(plan, who).into_iter().any(on_it) || published(plan, who.party()).into_iter().any(on_it)
}

/// Whether someone reads or awaits what a party publishes.
fn hears(plan: &Plan, who: Publisher, party: Party) -> bool {
    let published = published(plan, party);
    read(plan, who).into_iter().any(|topic| published.contains(&topic))
}

/// Topics that someone reads or awaits events of.
fn read(plan: &Plan, who: Publisher) -> Vec<TopicId> {
    let mut read = plan.handler_of_party(who.party()).awaited();
    if let Publisher::Consumer(reader) | Publisher::Retry(reader) = who {
        read.extend(&plan.consumers[reader].subscribes);
    }
    read
}

/// Topics that a party's handler publishes to.
fn published(plan: &Plan, party: Party) -> Vec<TopicId> {
    let mut published = Vec::new();
    plan.handler_of_party(party).visit(&mut |step| {
        if let Step::Publish(publish) = step {
            published.push(publish.to);
        }
    });
    published
}
