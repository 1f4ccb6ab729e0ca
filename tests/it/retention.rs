//! What a topic deletes: how much it keeps, and what a reader loses that comes too late, as formulas of rate and settings.

use edasim::engine::RunOptions;
use edasim::outcome::{LossCause, Outcome};
use edasim::plan::Plan;

use crate::support::{lost, plan, run};

/// One partition, 100 events of 1000 bytes a second, a consumer that is away for some time.
fn scenario(topic: &str, consumer: &str, faults: &str) -> Plan {
    plan(&format!(
        "name: retention\nduration: 20m\n\
         buses: {{ main: {{ profile: kafka, settings: {{ log.retention.check.interval.ms: 10s }}, \
             topics: {{ orders: {{ settings: {topic} }} }} }} }}\n\
         producers: {{ shop: {{ publishes: orders, arrivals: {{ poisson: 100/s }}, size: 1000B, key: {{ uniform: 50 }} }} }}\n\
         consumers: {{ email: {{ subscribes: orders, service_time: 100us{consumer} }} }}\n\
         faults: [ {faults} ]\n"
    ))
}

fn outcome(plan: &Plan, seed: u64) -> Outcome {
    run(plan, &RunOptions { seed, ..RunOptions::default() })
}

/// An event is kept for at least the retention, and at most as long again as a segment is open and the next look is away.
#[test]
fn a_topic_keeps_between_its_retention_and_a_segment_and_a_look_more() {
    let (rate, retention, open, look) = (100.0 * 1000.0, 60.0_f64, 20.0, 10.0);
    let plan = scenario("{ retention.ms: 60000, segment.ms: 20000 }", "", "");
    for seed in 0..5 {
        let outcome = outcome(&plan, seed);
        let storage = outcome.topics[0].storage.as_ref().unwrap();
        let noise = 4.0 * (100.0 * (retention + open + look)).sqrt() * 1000.0;
        // From when on the first could have been deleted.
        let samples = storage.samples.iter().skip(30).map(|bytes| *bytes as f64);
        let (least, most) = samples.fold((f64::MAX, 0.0), |(least, most), bytes| (bytes.min(least), bytes.max(most)));
        assert!(least > rate * retention - noise, "{least}");
        assert!(most < rate * (retention + open + look) + noise, "{most}");
        assert!(most > rate * (retention + open) - noise, "{most}: nearly so much now and then");
        assert!(storage.max as f64 >= most && storage.end > 0);
        assert_eq!(lost(&outcome.consumers[0]), 0, "who keeps up loses nothing");
    }
}

/// By size: the oldest segment goes while the others hold so much.
#[test]
fn a_topic_keeps_so_many_bytes_and_a_segment_and_what_comes_until_the_next_look() {
    let plan = scenario("{ retention.bytes: 2MB, segment.bytes: 500kB }", "", "");
    let outcome = outcome(&plan, 1);
    let storage = outcome.topics[0].storage.as_ref().unwrap();
    let samples: Vec<u64> = storage.samples.iter().copied().skip(12).collect();
    let (least, most) = (*samples.iter().min().unwrap(), *samples.iter().max().unwrap());
    assert!(least >= 2_000_000, "{least}");
    assert!((2_500_000..=2_500_000 + 1_300_000).contains(&most), "{most}");
    assert_eq!(lost(&outcome.consumers[0]), 0);
}

/// A consumer that comes back after five minutes finds the last minute or so: the rest has expired. With `latest` it goes on
/// with what comes, and misses that minute, too.
#[test]
fn who_comes_too_late_finds_what_is_kept() {
    let away = "{ at: 5m, for: 5m, target: consumers.email, effect: crash }";
    let topic = "{ retention.ms: 60000, segment.ms: 20000 }";
    for seed in 0..4 {
        let of = |reset: &str| {
            let consumer =
                format!(", startup: 0s, settings: {{ session.timeout.ms: 6000, auto.offset.reset: {reset} }}");
            outcome(&scenario(topic, &consumer, away), seed)
        };
        let (earliest, latest) = (of("earliest"), of("latest"));
        let expired = earliest.consumers[0].lost[&LossCause::Expired];
        // Away for 300 s and a moment; of them 60 to 90 s are kept.
        assert!((100 * 205..100 * 245).contains(&expired), "{expired}");
        assert_eq!((expired, lost(&earliest.consumers[0])), (earliest.consumers[0].ledger.expired, expired));
        let passed = latest.consumers[0].lost[&LossCause::OffsetReset];
        let all = latest.consumers[0].lost[&LossCause::Expired] + passed;
        assert!((100 * 295..100 * 312).contains(&all) && passed > 100 * 55, "{all}, of which {passed} were there");
        assert_eq!(latest.consumers[0].ledger.skipped, passed);
        for outcome in [&earliest, &latest] {
            let email = &outcome.consumers[0];
            assert_eq!(
                email.ledger.effected + lost(email) + email.ledger.waiting + email.ledger.in_flight,
                email.ledger.stored
            );
            assert!(email.lag.max < 31_000, "what is deleted is no backlog: {}", email.lag.max);
        }
    }
}

/// Without a need to delete there is no trace of it.
#[test]
fn a_retention_longer_than_the_run_changes_nothing() {
    let usual = outcome(&scenario("{}", "", ""), 3);
    let long = outcome(&scenario("{ retention.ms: 1200000, segment.ms: 1000 }", "", ""), 3);
    assert!(usual == long && usual.topics[0].storage.is_none());
    // And one that would delete only what everybody has read changes nothing but what is stored.
    let mut short = outcome(&scenario("{ retention.ms: 60000, segment.ms: 5000 }", "", ""), 3);
    assert!(short.topics[0].storage.take().is_some_and(|storage| storage.max < 12_000_000));
    assert!(short == usual);
}
