//! Kinds of client: what is otherwise with another client library, or another version of it.

use edasim::outcome::Outcome;
use edasim::plan::{Acks, KeyHash, Keyless, Plan};
use edasim::time::SimSpan;

use crate::support::{EIGHT_MINUTES, once, plan};

/// Two producers of the same keys for one consumer, each with options of its own.
fn two_producers(profile: &str, java: &str, other: &str) -> Plan {
    plan(&format!(
        "name: clients\nduration: 10m\n\
         buses: {{ main: {{ profile: {profile}, topics: {{ orders: {{ partitions: 12 }} }} }} }}\n\
         producers:\n  \
           shop: {{ publishes: orders, arrivals: {EIGHT_MINUTES}, key: {{ uniform: 500 }}{java} }}\n  \
           till: {{ publishes: orders, arrivals: {EIGHT_MINUTES}, key: {{ uniform: 500 }}{other} }}\n\
         consumers: {{ billing: {{ subscribes: orders, members: 4, service_time: 1ms }} }}\n"
    ))
}

fn stored_by_partition(outcome: &Outcome) -> Vec<u64> {
    outcome.topics[0].records.clone()
}

/// Two client libraries that hash keys in different ways put the events of one key into two partitions: no order is promised.
#[test]
fn a_mixed_fleet_splits_keys() {
    let same = two_producers("kafka", "", "");
    assert_eq!(same.consumers[0].key_order, Ok(()));
    let mixed = two_producers("kafka", "", ", client: librdkafka, settings: { enable.idempotence: true }");
    let why = mixed.consumers[0].key_order.clone().unwrap_err();
    assert_eq!(why, "shop and till hash keys in different ways: one key has two partitions");
    let compatible = two_producers(
        "kafka",
        "",
        ", client: librdkafka, settings: { enable.idempotence: true, partitioner: murmur2_random }",
    );
    assert_eq!(compatible.consumers[0].key_order, Ok(()));
    let [apart, together] = [mixed, compatible].map(|plan| stored_by_partition(&once(&plan)));
    assert_ne!(apart, together, "the keys of till lie elsewhere");
    assert_eq!(stored_by_partition(&once(&same)), together, "the same hash is the same partition in every client");
}

/// What a client library does that its user has not asked for.
#[test]
fn defaults_are_those_of_the_client() {
    let client = |plan: &Plan| plan.producers[1].clients[0].1.clone();
    let librdkafka = client(&two_producers("kafka", "", ", client: librdkafka"));
    assert_eq!((librdkafka.idempotent, librdkafka.max_in_flight, librdkafka.acks), (false, Some(1_000_000), Acks::All));
    assert_eq!(librdkafka.partitioning.hash, Some(KeyHash::Crc32));
    assert_eq!(librdkafka.partitioning.keyless, Keyless::StickyFor(SimSpan::from_millis(10)));
    assert_eq!(librdkafka.retry.delivery_timeout, SimSpan::from_millis(300_000));
    let buffer = librdkafka.buffer.expect("a limit");
    assert_eq!((buffer.bytes, buffer.messages, buffer.whole_batches), (1 << 30, 100_000, false));
    let asked = client(&two_producers("kafka", "", ", client: librdkafka, settings: { enable.idempotence: true }"));
    assert_eq!((asked.idempotent, asked.max_in_flight), (true, Some(5)), "it lowers what nobody has set");

    let linger = |plan: &Plan| client(plan).batching.expect("batches").linger;
    let [newest, three, two] = ["kafka", "kafka-3", "kafka-2"].map(|profile| two_producers(profile, "", ""));
    assert_eq!([&newest, &three, &two].map(linger), [SimSpan::from_millis(5), SimSpan::ZERO, SimSpan::ZERO]);
    let safe = |plan: &Plan| (client(plan).acks, client(plan).idempotent);
    assert_eq!([&newest, &three, &two].map(safe), [(Acks::All, true), (Acks::All, true), (Acks::Leader, false)]);
}

/// Some answers are lost: a client that is not idempotent by default stores those batches twice.
#[test]
fn the_defaults_of_the_c_client_store_twice() {
    let copies = |client: &str| {
        let plan = plan(&format!(
            "name: clients\nduration: 10m\n\
             buses: {{ main: {{ profile: kafka, topics: {{ orders: {{ partitions: 3 }} }} }} }}\n\
             producers: {{ till: {{ publishes: orders, arrivals: {EIGHT_MINUTES}, key: {{ uniform: 500 }}, {client} }} }}\n\
             consumers: {{ billing: {{ subscribes: orders, members: 3, service_time: 1ms }} }}\n\
             faults: [ {{ target: links.till.main, effect: {{ lost_response: 1% }} }} ]\n"
        ));
        once(&plan).consumers[0].duplicates_log
    };
    let short = "settings: { socket.timeout.ms: 1000";
    assert!(copies(&format!("client: librdkafka, {short} }}")) > 0);
    assert_eq!(copies(&format!("client: librdkafka, {short}, enable.idempotence: true }}")), 0);
    assert_eq!(copies("settings: { request.timeout.ms: 1000 }"), 0);
}
