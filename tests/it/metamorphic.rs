//! What must not matter, and what must scale: relations between runs that hold exactly, whatever the right answer is.

use edasim::dist::Dist;
use edasim::engine::Schedule;
use edasim::experiment::Request;
use edasim::outcome::Outcome;
use edasim::plan::{Membership, Plan};
use serde_json::Value;

use crate::support::{consumer, plan, result_document, traced};

/// Logs and a queue, publishing consumers, failures, crashes, a change: as much as fits.
pub(crate) const RICH: &str = r#"{
  "name": "rich",
  "seed": 11,
  "duration": "120s",
  "warm_up": "5s",
  "replications": 3,
  "buses": {
    "log": { "profile": "kafka", "topics": { "orders": { "partitions": 6 }, "later": { "partitions": 2 }, "dead": null } },
    "queue": { "profile": "rabbitmq-classic", "queues": { "jobs": null } },
    "bare": { "profile": "ideal", "topics": { "ticks": { "partitions": 4 } } }
  },
  "producers": {
    "shop": {
      "publishes": "orders",
      "instances": 2,
      "arrivals": { "poisson": "100/s" },
      "key": { "zipf": { "keys": 500, "exponent": 0.7 } },
      "size": { "lognormal": { "median": "480B", "p99": "2KiB" } }
    },
    "office": { "publishes": "jobs", "arrivals": { "poisson": "60/s" }, "key": { "uniform": 40 } },
    "clock": { "publishes": "ticks", "arrivals": { "constant": "200/s" }, "key": { "uniform": 100 } }
  },
  "consumers": {
    "email": {
      "subscribes": "orders",
      "members": 3,
      "workers": 4,
      "order": "key",
      "service_time": { "lognormal": { "median": "40ms", "p99": "200ms" } },
      "publishes": { "to": "later", "probability": "70%" },
      "failure": { "transient": "2%", "permanent": "0.5%" },
      "retry": { "attempts": 3, "backoff": { "base": "5ms", "factor": 2, "max": "1s" }, "jitter": "full" },
      "dead_letter": "dead",
      "startup": "2s",
      "settings": { "session.timeout.ms": 6000, "heartbeat.interval.ms": 1000 }
    },
    "fraud": { "subscribes": "orders", "members": 2, "service_time": { "exponential": "8ms" } },
    "archive": { "subscribes": "later", "service_time": { "exponential": "5ms" }, "settle": "auto" },
    "clerks": { "subscribes": "jobs", "members": 4, "service_time": { "exponential": "50ms" }, "failure": "3%", "settings": { "prefetch": 5 } },
    "plain": { "subscribes": "ticks", "members": 4, "service_time": { "exponential": "12ms" } }
  },
  "faults": [
    { "at": "30s", "for": "20s", "target": "consumers.email.members.1", "effect": "crash" },
    { "at": "40s", "every": { "exponential": "20s" }, "for": "2s", "target": "consumers.clerks.members.any", "effect": "crash" },
    { "at": "50s", "for": "5s", "target": "consumers.plain.members.0", "effect": { "slow": "4x" } }
  ],
  "changes": [ { "at": "80s", "target": "consumers.email", "action": { "scale": 5 } } ],
  "expect": [ "fraud.latency.p99 < 2s", "consumers.*.lost == 0" ]
}"#;

/// RICH, changed.
fn rich(change: impl FnOnce(&mut Value)) -> Plan {
    let mut scenario: Value = serde_json::from_str(RICH).unwrap();
    change(&mut scenario);
    plan(&serde_json::to_string_pretty(&scenario).unwrap())
}

fn documented(plan: &Plan) -> String {
    result_document(plan, &Request::default())
}

/// Asserts that two documents are the same, or shows where they begin to differ.
fn same(what: &str, a: &str, b: &str) {
    if a != b {
        let mut lines = a.lines().zip(b.lines()).filter(|(a, _)| !a.contains("digest"));
        let differ = lines.find(|(a, b)| a != b);
        panic!("{what} changes the result: {differ:?}");
    }
}

/// The whole document without what it says about faults.
fn without_faults(document: &str) -> Value {
    let mut tree: Value = serde_json::from_str(document).unwrap();
    strip(&mut tree, &["faults", "digest", "drain_time", "not_drained", "warnings"]);
    tree
}

fn strip(tree: &mut Value, keys: &[&str]) {
    if let Value::Object(map) = tree {
        keys.iter().for_each(|key| drop(map.shift_remove(*key)));
        map.values_mut().for_each(|value| strip(value, keys));
    }
}

#[test]
fn the_rich_scenario_is_rich() {
    let plan = rich(|_| {});
    let outcome = traced(&plan);
    let seen = |name| consumer(&plan, &outcome, name);
    assert!(
        seen("email").duplicates_deliveries > 0 && seen("email").ledger.dead_lettered > 0,
        "{:?}",
        seen("email").ledger
    );
    assert!(seen("clerks").duplicates_deliveries > 0 && seen("clerks").order.violations > 0);
    assert!(seen("plain").latency.count() > 20_000 && seen("archive").path.is_some());
}

#[test]
fn faults_of_probability_zero_change_nothing() {
    let base = without_faults(&documented(&rich(|_| {})));
    for (target, effect) in [
        ("links.shop.log", r#"{ "drop": "0%" }"#),
        ("links.shop.log", r#"{ "duplicate": "0%" }"#),
        ("links.office.queue", r#"{ "lost_response": "0%" }"#),
        ("links.clock.bare", r#"{ "drop": "0%" }"#),
        ("links.email.log", r#"{ "drop": "0%" }"#),
        ("links.clerks.queue", r#"{ "drop": "0%" }"#),
        ("links.plain.bare", r#"{ "delay": "0s" }"#),
        ("consumers.plain", r#"{ "fail": "0%" }"#),
        ("consumers.fraud", r#"{ "fail": "0%" }"#),
        ("consumers.plain", r#"{ "slow": "1x" }"#),
        ("consumers.clerks", r#"{ "poison": 0 }"#),
        ("producers.shop", r#"{ "burst": "1x" }"#),
        ("producers.clock", r#"{ "burst": "1x" }"#),
    ] {
        let with = rich(|scenario| {
            let fault = format!(r#"{{ "name": "nothing", "at": "20s", "target": "{target}", "effect": {effect} }}"#);
            scenario["faults"].as_array_mut().unwrap().push(serde_json::from_str(&fault).unwrap());
        });
        let with = without_faults(&documented(&with));
        if with != base {
            let (a, b) = (format!("{base:#}"), format!("{with:#}"));
            same(&format!("{effect} on {target}"), &a, &b);
        }
    }
}

#[test]
fn an_unconnected_consumer_changes_nothing_elsewhere() {
    let base: Value = serde_json::from_str(&documented(&rich(|_| {}))).unwrap();
    for extra in [
        // A reader more of a topic that others read, first or last by name.
        r#"{ "subscribes": "orders", "members": 2, "service_time": { "exponential": "3ms" }, "failure": "5%" }"#,
        r#"{ "subscribes": "later", "service_time": "1ms", "settle": "before" }"#,
        r#"{ "subscribes": "ticks", "members": 2, "schedule": { "every": "10s" }, "service_time": "1ms" }"#,
    ] {
        for name in ["aardvark", "zebra"] {
            let with = rich(|scenario| scenario["consumers"][name] = serde_json::from_str(extra).unwrap());
            let with: Value = serde_json::from_str(&documented(&with)).unwrap();
            for (section, things) in [("consumers", true), ("producers", true)] {
                assert!(things);
                for (thing, metrics) in base[section].as_object().unwrap() {
                    let (a, b) = (format!("{metrics:#}"), format!("{:#}", with[section][thing]));
                    same(&format!("{name} {extra}: {thing}"), &a, &b);
                    let (a, b) = (&base["ci95"][section][thing], &with["ci95"][section][thing]);
                    same(&format!("{name} {extra}: interval of {thing}"), &format!("{a:#}"), &format!("{b:#}"));
                }
            }
        }
    }
}

/// The same with all maps in reverse order, at every depth.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().rev().map(|(key, value)| (key.clone(), reversed(value))).collect(),
        Value::Array(items) => items.iter().map(reversed).collect(),
        other => other.clone(),
    }
}

#[test]
fn the_order_of_keys_does_not_matter() {
    let backwards = rich(|scenario| *scenario = reversed(scenario));
    same("the order of keys", &documented(&rich(|_| {})), &documented(&backwards));
}

#[test]
fn threads_and_schedules_do_not_matter() {
    let plan = rich(|_| {});
    let base = documented(&plan);
    let one = Request::default;
    for (what, request) in [
        ("one job", Request { jobs: 1, ..one() }),
        ("two jobs", Request { jobs: 2, ..one() }),
        ("three jobs", Request { jobs: 3, ..one() }),
        ("steps", Request { schedule: Schedule::Stepwise, ..one() }),
        ("threads", Request { schedule: Schedule::Parallel, jobs: 1, threads: 2, ..one() }),
        ("tiny windows", Request { window: 3, ..one() }),
        ("one window", Request { window: 10_000_000, ..one() }),
        ("the general machine", Request { general: true, ..one() }),
    ] {
        same(what, &base, &result_document(&plan, &request));
    }
    let alone = Request { replications: 1, ..one() };
    let threaded = Request { schedule: Schedule::Parallel, threads: 2, ..alone.clone() };
    same("threads in one run", &result_document(&plan, &alone), &result_document(&plan, &threaded));
}

/// A station whose times are all multiplied by `k`.
fn scaled_ideal(k: u64) -> Plan {
    plan(&format!(
        "name: scaled\n\
         duration: {}s\n\
         warm_up: {}s\n\
         buses: {{ main: {{ profile: ideal, topics: {{ work: {{ partitions: 6 }}, next: {{ partitions: 2 }} }}, queues: {{ jobs: }} }} }}\n\
         producers:\n\
        \x20 a: {{ publishes: work, arrivals: {{ renewal: {{ exponential: {}ms }} }}, key: {{ uniform: 50 }} }}\n\
        \x20 b: {{ publishes: jobs, arrivals: {{ renewal: {{ gamma: {{ mean: {}ms, cv: 1.5 }} }} }}, key: {{ uniform: 9 }} }}\n\
         consumers:\n\
        \x20 c: {{ subscribes: work, members: 3, service_time: {{ lognormal: {{ median: {}ms, p99: {}ms }} }}, publishes: next }}\n\
        \x20 d: {{ subscribes: next, service_time: {{ exponential: {}ms }} }}\n\
        \x20 e:\n\
        \x20   subscribes: jobs\n\
        \x20   members: 3\n\
        \x20   workers: 2\n\
        \x20   service_time: {{ exponential: {}ms }}\n\
        \x20   failure: 10%\n\
        \x20   retry: {{ attempts: 4, mode: requeue, backoff: {{ base: {}ms, factor: 2, max: {}s }}, jitter: 30% }}\n\
         faults:\n\
        \x20 - {{ at: {}s, for: {}s, target: consumers.c.members.0, effect: crash }}\n\
        \x20 - {{ at: {}s, for: {}s, target: consumers.e, effect: {{ slow: 3x }} }}\n",
        200 * k,
        10 * k,
        10 * k,
        12 * k,
        15 * k,
        80 * k,
        7 * k,
        50 * k,
        20 * k,
        k,
        50 * k,
        10 * k,
        100 * k,
        20 * k
    ))
}

/// Times differ by what rounding to whole nanoseconds makes of every draw that they are sums of.
fn scales(base: (&Plan, &Outcome), large: (&Plan, &Outcome), k: u64, draws: u64) {
    for (consumer, (a, b)) in base.0.consumers.iter().zip(base.1.consumers.iter().zip(&large.1.consumers)) {
        let name = &consumer.name;
        assert_eq!(a.ledger, b.ledger, "{name}");
        assert_eq!(
            (a.deliveries, a.attempts, a.failures, a.cut_off),
            (b.deliveries, b.attempts, b.failures, b.cut_off),
            "{name}"
        );
        let duplicates =
            |c: &edasim::outcome::ConsumerOutcome| (c.duplicates_log, c.duplicates_deliveries, c.duplicates_effects);
        assert_eq!(duplicates(a), duplicates(b), "{name}");
        assert_eq!((a.order.violations, a.order.extent_sum), (b.order.violations, b.order.extent_sum), "{name}");
        assert_eq!((a.overlap, a.rewinds, a.rebalances), (b.overlap, b.rewinds, b.rebalances), "{name}");
        assert_eq!(a.lag.records, b.lag.records, "{name}: the lag at the same parts of the run");
        assert!(a.latency.count() > 1000, "{name}");
    }
    assert_eq!(base.1.trace.len(), large.1.trace.len());
    let near = |a: u64, b: u64| (a * k).abs_diff(b) <= draws * (k + 1) / 2;
    for (a, b) in base.1.trace.iter().zip(&large.1.trace) {
        assert_eq!(
            (a.consumer, a.topic, a.partition, a.offset, a.result),
            (b.consumer, b.topic, b.partition, b.offset, b.result)
        );
        let latency = |r: &edasim::outcome::TraceRecord| (r.done - r.created).0;
        assert!(near(latency(a), latency(b)), "{a:?} {b:?}: {} and {}", latency(a), latency(b));
    }
}

#[test]
fn all_times_scale_together() {
    let (base, large) = (scaled_ideal(1), scaled_ideal(10));
    scales((&base, &traced(&base)), (&large, &traced(&large)), 10, 2000);
}

/// The same with a whole client and group protocol; what the profile fixes is scaled in the plan.
fn scaled_polled(k: u64) -> Plan {
    let mut plan = plan(&format!(
        "name: scaled\n\
         duration: {d}s\n\
         buses:\n\
        \x20 main:\n\
        \x20   profile: kafka\n\
        \x20   latency: {{ network: {n}us, append: {{ exponential: {n}us }}, replicate: {{ exponential: {r}us }} }}\n\
        \x20   topics: {{ work: {{ partitions: 6 }} }}\n\
         producers:\n\
        \x20 a:\n\
        \x20   publishes: work\n\
        \x20   arrivals: {{ renewal: {{ exponential: {g}ms }} }}\n\
        \x20   key: {{ uniform: 50 }}\n\
        \x20   settings: {{ linger.ms: {l}, request.timeout.ms: {t}, delivery.timeout.ms: {y}, retry.backoff.ms: {b}, retry.backoff.max.ms: {t} }}\n\
         consumers:\n\
        \x20 c:\n\
        \x20   subscribes: work\n\
        \x20   members: 3\n\
        \x20   service_time: {{ exponential: {s}ms }}\n\
        \x20   startup: {k}s\n\
        \x20   settings: {{ session.timeout.ms: {e}, heartbeat.interval.ms: {h}, max.poll.interval.ms: {p} }}\n\
         faults:\n\
        \x20 - {{ at: {f}s, for: {u}s, target: consumers.c.members.1, effect: crash }}\n\
        \x20 - {{ at: {v}s, for: {u}s, target: links.a.main, effect: {{ drop: 5% }} }}\n",
        d = 200 * k,
        n = 100 * k,
        r = 700 * k,
        g = 10 * k,
        l = 5 * k,
        t = 1000 * k,
        y = 100_000 * k,
        b = 100 * k,
        s = 20 * k,
        e = 6000 * k,
        h = 1000 * k,
        p = 60_000 * k,
        f = 50 * k,
        u = 20 * k,
        v = 120 * k
    ));
    let Membership::Group(group) = &mut plan.consumers[0].membership else { panic!("a group") };
    group.join = Dist::Constant(5e6 * k as f64);
    plan
}

#[test]
fn all_times_scale_together_in_a_polled_group() {
    let (base, large) = (scaled_polled(1), scaled_polled(10));
    scales((&base, &traced(&base)), (&large, &traced(&large)), 10, 2000);
}
