//! Tests of transactions of a bus: exact cases by hand, and exactly once under crashes and stand-stills.

use super::RunOptions;
use super::tests::{MS, consumer, direct_client, outcome, plan, producer, topic};
use crate::dist::{Arrivals, Dist};
use crate::outcome::{Defect, DeliveryResult, Outcome, TransactionLedger};
use crate::plan::*;
use crate::time::{SimSpan, SimTime};

/// A way to the bus, an append, and a copy take 1, 2 and 4 ms: a request to the coordinator, and a publish, 8.
const REQUEST: u64 = 8;

fn client() -> ClientPlan {
    let transactions = TransactionPlan {
        timeout: SimSpan::from_seconds(2),
        scan: SimSpan::from_seconds(1),
        same_id: true,
        backoff: SimSpan::from_millis(20),
    };
    ClientPlan { idempotent: true, transactions: Some(transactions), ..direct_client() }
}

fn publish(to: u32) -> Step {
    producer("any", 1.0, KeyPlan::None, to).handler.steps.remove(0)
}

/// `shop` publishes `rate` events a second to `in`; `enrich` publishes one to `out` for each, in this handler; two groups read
/// these: `strict` only what is committed, `loose` all.
fn system(seconds: u64, rate: f64, steps: Vec<Step>) -> Plan {
    let mut p = plan(seconds);
    p.topics = vec![topic("in", 1, Dist::Constant(0.0)), topic("out", 1, Dist::Constant(2.0 * MS))];
    let store = &mut p.topics[1].store;
    (store.network, store.replicate) = (Dist::Constant(MS), Dist::Constant(4.0 * MS));
    store.visible_when_replicated = true;
    let mut shop = producer("shop", rate, KeyPlan::None, 0);
    shop.arrivals = Arrivals::Constant(rate);
    p.producers.push(shop);
    let mut enrich = consumer("enrich", 0, 1, Dist::Constant(0.0));
    enrich.handler = Handler { steps };
    enrich.clients = vec![(TopicId(1), client())];
    let mut strict = consumer("strict", 1, 1, Dist::Constant(0.0));
    strict.committed_only = true;
    p.resources.push(ResourcePlan {
        name: "door".into(),
        capacity: Some(1),
        per_key: false,
        rate: None,
        queue: u32::MAX,
        timeout: None,
        retry_after: false,
    });
    p.consumers = vec![enrich, consumer("loose", 1, 1, Dist::Constant(0.0)), strict];
    p
}

fn transaction(steps: Vec<Step>) -> Vec<Step> {
    vec![Step::Transaction(steps)]
}

fn strikes(effect: Effect, at: f64, lasts: f64) -> FaultPlan {
    FaultPlan {
        name: "strike".into(),
        stream: "faults/strike".into(),
        at: Dist::Constant(at * MS),
        every: None,
        lasts: Some(Dist::Constant(lasts * MS)),
        target: FaultTarget::Consumer(ConsumerId(0), Members::One(0)),
        effect,
    }
}

fn ran(plan: &Plan) -> Outcome {
    outcome(plan, &RunOptions { trace: true, ..RunOptions::default() })
}

/// When `enrich` begins with its first event, ns.
fn first_start(seen: &Outcome) -> u64 {
    let starts = seen.trace.iter().filter(|it| it.consumer == 0).map(|it| it.start.0);
    starts.min().expect("one is delivered")
}

/// Start and end of the deliveries of a consumer, ms after the first event.
fn deliveries(seen: &Outcome, consumer: u32) -> Vec<(u64, u64)> {
    let first = first_start(seen);
    let mut found: Vec<_> = seen.trace.iter().filter(|it| it.consumer == consumer).collect();
    found.sort_by_key(|it| it.start);
    let since = |at: u64| (at - first + 500_000) / 1_000_000;
    found.iter().map(|it| (since(it.start.0), since(it.done.0))).collect()
}

fn books(seen: &Outcome) -> TransactionLedger {
    seen.consumers[0].handler.as_ref().expect("it runs in the mesh").transactions
}

/// Adding the partition, publishing, the positions (two requests) and the end: five requests, one after the other. It has its effect
/// when the end is sent. The marker is written when the end is decided, which takes a request without its way back, a way and an append, and it is seen when it is
/// copied; whoever does not wait for it sees the event when that is copied.
#[test]
fn a_transaction_takes_five_requests() {
    let seen = ran(&system(2, 1.0, transaction(vec![publish(1)])));
    assert_eq!(deliveries(&seen, 0)[0], (0, 4 * REQUEST));
    let visible = REQUEST + 7;
    let marked = 4 * REQUEST + 7 + 3 + 4;
    assert_eq!((deliveries(&seen, 1)[0].0, deliveries(&seen, 2)[0].0), (visible, marked));
    let plain =
        ran(&system(2, 1.0, vec![publish(1), Step::Hold { of: ResourceId(0), steps: vec![], otherwise: None }]));
    assert_eq!((deliveries(&plain, 0)[0], deliveries(&plain, 2)[0].0), ((0, REQUEST), 7), "without a transaction");
}

/// The coordinator is done 50 ms after the first handler has begun: the marker is acknowledged at 47, and that is noted at 49.
/// The second handler asks at 41, hears at 42 that it is to wait, and asks again 20 ms later: it is 22 ms late.
#[test]
fn who_begins_too_soon_waits() {
    let mut p = system(3, 1.0, transaction(vec![publish(1)]));
    p.producers[0].events_per_arrival = Dist::Constant(2.0);
    let seen = ran(&p);
    assert_eq!(deliveries(&seen, 0)[..2], [(0, 32), (40, 40 + 32 + 22)]);
}

/// A process ends in its transaction at 50 ms. The next with its id starts 300 ms later and ends what was left open; with another
/// id the coordinator does, at the first look, one each second, that comes more than 2 s after it had heard of it. Until then nothing is seen of what
/// others have published behind it; then all of it at once.
#[test]
fn what_is_left_open_hides_what_comes_after_it() {
    for (same_id, ended) in [(true, 350 + 7 + 3 + 4), (false, 6 + 3 + 4)] {
        let work = Step::Work(Dist::Constant(100.0 * MS));
        let mut p = system(12, 1.0, transaction(vec![publish(1), work]));
        p.producers[0].arrivals = Arrivals::Constant(0.25);
        let mut other = producer("other", 10.0, KeyPlan::None, 1);
        other.arrivals = Arrivals::Constant(10.0);
        p.producers.insert(0, other);
        p.consumers[0].clients[0].1.transactions.as_mut().expect("it has").same_id = same_id;
        let first = first_start(&ran(&p));
        p.faults.push(strikes(Effect::Crash, first as f64 / MS + 50.0, 300.0));
        let seen = ran(&p);
        let of_other = |it: &&crate::outcome::TraceRecord| it.consumer == 2 && it.publisher == 0;
        let late = |it: &&crate::outcome::TraceRecord| it.start.0 > it.created.0 + 20_000_000;
        let hidden: Vec<_> = seen.trace.iter().filter(of_other).filter(late).collect();
        // What the process that came after it has published hides what comes in its own transaction, too.
        let early = hidden.iter().filter(|record| record.created.0 < first + 300_000_000);
        let seen_at: Vec<u64> = early.map(|record| record.start.0 - first).collect();
        let (from, to) = if same_id { (ended, ended) } else { (ended + 1 + 2_000, ended + 1 + 3_000) };
        let within = from * 1_000_000..to * 1_000_000 + 1_000;
        assert!(seen_at.len() >= 2 && seen_at.iter().all(|at| within.contains(at)), "{seen_at:?} {within:?}");
        assert!(seen_at.iter().all(|at| at.abs_diff(seen_at[0]) < 1_000), "all at once: {seen_at:?}");
        let books = books(&seen);
        assert_eq!((books.fenced, books.timed_out), (u64::from(same_id), u64::from(!same_id)), "{books:?}");
        assert!(seen.consumers[2].ledger.aborted == 1 && seen.consumers[1].aborted_reads == 1);
        assert_eq!(seen.consumers[1].defects[&Defect::AbortedRead].count, 1);
    }
}

/// A process that ends after it has published and before it has committed does it all again. Without a transaction both events
/// are there; with one only the second counts, and who does not wait for that sees both.
#[test]
fn a_crash_before_the_commit_is_seen_twice_or_not_at_all() {
    let steps = || vec![publish(1), Step::Work(Dist::Constant(60.0 * MS))];
    let mut effects = Vec::new();
    for inside in [false, true] {
        let mut handler = steps();
        if inside {
            handler = transaction(handler);
        } else {
            handler.push(Step::Hold { of: ResourceId(0), steps: vec![], otherwise: None });
        }
        let mut p = system(6, 4.0, handler);
        let first = first_start(&ran(&p));
        p.faults.push(strikes(Effect::Crash, first as f64 / MS + 1_050.0, 100.0));
        let seen = ran(&p);
        let inputs = seen.consumers[0].ledger.effected;
        assert_eq!(seen.consumers[0].cut_off, 1);
        effects.push([1, 2].map(|reader: usize| seen.consumers[reader].ledger.effected - inputs));
        assert_eq!(seen.consumers[1].aborted_reads, u64::from(inside));
    }
    assert_eq!(effects, [[1, 1], [1, 0]]);
}

/// A handler that fails gives its transaction up, and is tried again: each failed attempt leaves one event that does not count.
#[test]
fn a_handler_that_fails_gives_its_transaction_up() {
    let work = Step::Work(Dist::Constant(MS));
    let mut p = system(60, 5.0, transaction(vec![publish(1), work]));
    p.consumers[0].failure.transient = 0.3;
    p.consumers[0].retry.attempts = u32::MAX;
    let seen = ran(&p);
    let (enrich, books) = (&seen.consumers[0], books(&seen));
    assert!(enrich.failures > 50 && books.aborted == enrich.failures, "{} {books:?}", enrich.failures);
    assert!(books.committed - enrich.ledger.effected <= enrich.ledger.in_flight, "{books:?} {:?}", enrich.ledger);
    assert_eq!(seen.consumers[2].ledger.effected, enrich.ledger.effected);
    assert!(seen.consumers[2].ledger.aborted.abs_diff(books.aborted) <= 1);
    assert!(seen.consumers[1].aborted_reads.abs_diff(books.aborted) <= 1);
    let again = seen.trace.iter().filter(|it| it.result == DeliveryResult::DuplicateEffect).count();
    assert_eq!(again, 0);
}

/// Producers publish several events at once, or none: the two topics never tell different stories to who waits.
#[test]
fn a_producer_publishes_all_or_nothing() {
    let mut p = system(30, 10.0, vec![]);
    p.consumers.remove(0);
    p.consumers.truncate(2);
    p.consumers[0].subscribes = vec![TopicId(0)];
    p.consumers[0].committed_only = true;
    let shop = &mut p.producers[0];
    shop.failure.transient = 0.2;
    let work = Step::Work(Dist::Constant(MS));
    shop.handler = Handler { steps: transaction(vec![publish(0), work, publish(1)]) };
    shop.clients = vec![(TopicId(0), client()), (TopicId(1), client())];
    let seen = ran(&p);
    let books = seen.producers[0].handler.as_ref().expect("it runs in the mesh").transactions;
    let [first, second] = [0, 1].map(|reader: usize| seen.consumers[reader].ledger);
    assert!(books.aborted > 30 && books.aborted.abs_diff(first.aborted) <= 1 && second.aborted == 0, "{books:?}");
    assert!(first.effected.abs_diff(second.effected) <= 1 && second.effected.abs_diff(books.committed) <= 1);
}

/// A handler ends as it was to before its transaction does, if it has no work before: nothing is done after what is committed.
#[test]
fn what_is_committed_is_done() {
    for (number, name) in ["transient", "crash", "hang"].into_iter().enumerate() {
        let mut p = system(60, 5.0, transaction(vec![publish(1)]));
        p.producers[0].arrivals = until(5.0, 50);
        p.consumers[0].membership = group(Protocol::Eager);
        p.consumers[0].retry.attempts = u32::MAX;
        let failure = &mut p.consumers[0].failure;
        [failure.transient, failure.crash, failure.hang] = [0, 1, 2].map(|it| if it == number { 0.02 } else { 0.0 });
        let seen = ran(&p);
        let (enrich, strict, books) = (&seen.consumers[0], &seen.consumers[2], books(&seen));
        assert!(books.begun > books.committed, "{name}: {books:?}");
        let all = enrich.ledger.created;
        assert_eq!([books.committed, enrich.ledger.effected, strict.ledger.effected], [all; 3], "{name}: {books:?}");
        assert_eq!((enrich.duplicates_effects, enrich.lost.values().sum::<u64>()), (0, 0), "{name}");
    }
}

/// What a process had given up without settling that comes again, and is done then: it is neither lost nor done twice.
#[test]
fn what_was_given_up_and_is_committed_after_all_is_done_once() {
    let work = Step::Work(Dist::Constant(40.0 * MS));
    let mut p = system(60, 20.0, transaction(vec![work, publish(1)]));
    p.consumers[0].membership = group(Protocol::Eager);
    p.consumers[0].failure.transient = 0.5;
    p.consumers[0].retry.attempts = 1;
    p.producers[0].arrivals = until(10.0, 50);
    let mut fault = strikes(Effect::Crash, 5_000.0, 100.0);
    fault.every = Some(Dist::Constant(3_010.0 * MS));
    p.faults.push(fault);
    let seen = ran(&p);
    let (enrich, strict, books) = (&seen.consumers[0], &seen.consumers[2], books(&seen));
    let again = enrich.duplicates_deliveries;
    assert!(again > 5 && enrich.ledger.discarded > 50, "{again} {:?}", enrich.ledger);
    assert_eq!([enrich.ledger.effected, strict.ledger.effected], [books.committed; 2], "{:?}", enrich.ledger);
    assert_eq!(enrich.duplicates_effects, 0);
}

/// A client has one transaction at a time. One that has not to wait takes 8 ms to add its partition, 8 to publish, 50 to work and 8
/// to end; the next asks 1 ms later, which is 9 ms too soon, and again after 22 ms: 96 ms each, where one comes each 50 ms.
#[test]
fn a_producer_has_one_transaction_at_a_time() {
    let work = Step::Work(Dist::Constant(50.0 * MS));
    let mut p = system(60, 20.0, vec![]);
    p.consumers.remove(0);
    p.consumers[1].subscribes = vec![TopicId(0)];
    p.topics[0].store = p.topics[1].store.clone();
    let shop = &mut p.producers[0];
    shop.instances = 1;
    shop.handler = Handler { steps: transaction(vec![publish(0), work]) };
    shop.clients = vec![(TopicId(0), client())];
    let seen = ran(&p);
    let books = seen.producers[0].handler.as_ref().expect("it runs in the mesh").transactions;
    let expected = 60_000 / 96;
    assert!(books.open <= 1 && books.committed.abs_diff(expected) <= 1, "{books:?}, by hand {expected}");
    let mut times: Vec<u64> = seen.trace.iter().filter(|it| it.consumer == 1).map(|it| it.start.0).collect();
    times.sort_unstable();
    let gaps: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0] + 500_000) / 1_000_000).collect();
    assert!(gaps.len() > 600 && gaps.iter().all(|gap| *gap == 96), "{gaps:?}");
}

/// What has taken effect at who does not wait is known to count, or not, when its transaction ends, however much is open by then:
/// the time to find that out grows with the events, not with their square.
#[test]
fn a_large_transaction_is_read_in_good_time() {
    let mut many = publish(1);
    if let Step::Publish(step) = &mut many {
        (step.count, step.wait_for_ack) = (Dist::Constant(30_000.0), false);
    }
    let work = Step::Work(Dist::Constant(1_000.0 * MS));
    let mut p = system(10, 0.2, transaction(vec![many, work]));
    p.consumers[0].failure.transient = 0.5;
    p.consumers[0].retry.attempts = 3;
    let seen = ran(&p);
    let [loose, strict] = [&seen.consumers[1], &seen.consumers[2]];
    assert!(loose.ledger.effected >= 30_000 && loose.aborted_reads + strict.ledger.effected == loose.ledger.effected);
}

/// Events at a constant rate until so many seconds.
fn until(rate: f64, seconds: u64) -> Arrivals {
    let at = |millis: u64| SimTime(millis * 1_000_000);
    let end = seconds * 1000;
    Arrivals::Curve { points: vec![(at(0), rate), (at(end), rate), (at(end + 1), 0.0)], repeat: None }
}

fn group(protocol: Protocol) -> Membership {
    Membership::Group(GroupPlan {
        protocol,
        assignor: Assignor::Sticky,
        fixed: false,
        session_timeout: SimSpan::from_millis(150),
        heartbeat: SimSpan::from_millis(30),
        rebalance_timeout: SimSpan::from_millis(500),
        join: Dist::Constant(3.0 * MS),
        initial_delay: SimSpan::ZERO,
        initial_delay_grows: false,
        assignment_interval: SimSpan::ZERO,
    })
}

/// Members that crash, stand still until others have their records, hang or fail, wherever their handlers work: whatever
/// happens, each event of `in` has one event of `out` that counts, and nothing takes effect twice.
#[test]
fn exactly_once_whatever_happens() {
    let (mut redelivered, mut refused, mut aborted, mut expelled) = (0, 0, 0, 0);
    for seed in 1..=60_u64 {
        let work = || Step::Work(Dist::Exponential(15.0 * MS));
        let steps = match seed % 4 {
            0 => transaction(vec![publish(1), work()]),
            1 => transaction(vec![work(), publish(1)]),
            2 => vec![work(), Step::Transaction(vec![publish(1)])],
            _ => transaction(vec![publish(1)]),
        };
        let mut p = system(30, 20.0, steps);
        p.producers[0].arrivals = until(20.0, 16);
        p.topics[0].partitions = 4;
        let enrich = &mut p.consumers[0];
        enrich.members = 3;
        enrich.membership = group(match seed % 3 {
            0 => Protocol::Eager,
            1 => Protocol::Cooperative,
            _ => Protocol::Incremental,
        });
        let failure = &mut enrich.failure;
        (failure.transient, failure.crash, failure.hang) = (0.05, 0.01, 0.01);
        enrich.retry.attempts = u32::MAX;
        for (effect, name) in [(Effect::Crash, "crash"), (Effect::Pause, "pause")] {
            let mut fault = strikes(effect, 500.0, 0.0);
            (fault.name, fault.stream) = (name.into(), format!("faults/{name}"));
            fault.every = Some(Dist::Exponential(900.0 * MS));
            fault.lasts = Some(Dist::Exponential(250.0 * MS));
            fault.target = FaultTarget::Consumer(ConsumerId(0), Members::Any);
            p.faults.push(fault);
        }
        let seen = outcome(&p, &RunOptions { seed, ..RunOptions::default() });
        let (enrich, strict, books) = (&seen.consumers[0], &seen.consumers[2], books(&seen));
        let all = enrich.ledger.created;
        let done = [books.committed, enrich.ledger.effected, strict.ledger.effected];
        assert_eq!(done, [all; 3], "seed {seed}: {books:?} {:?} {:?}", enrich.ledger, strict.ledger);
        assert_eq!((enrich.duplicates_effects, strict.aborted_reads), (0, 0), "seed {seed}");
        assert_eq!(seen.consumers[1].ledger.effected - seen.consumers[1].aborted_reads, all, "seed {seed}");
        redelivered += enrich.duplicates_deliveries;
        refused += books.refused;
        aborted += seen.consumers[1].aborted_reads;
        expelled += enrich.expelled.values().sum::<u64>();
    }
    assert!(
        redelivered > 100 && refused > 5 && aborted > 50 && expelled > 100,
        "{redelivered} {refused} {aborted} {expelled}"
    );
}
