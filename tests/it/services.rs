//! Services in whole scenarios: what must not matter to them, and that what they are asked to measure is measured.

use edasim::engine::Schedule;
use edasim::experiment::Request;
use edasim::plan::Plan;
use serde_json::{Value, json};

use crate::metamorphic::RICH;
use crate::support::{experiment, plan, result_document};

/// The rich scenario with services that use every step, beside what it has.
pub(crate) fn with_services() -> Value {
    let mut scenario: Value = serde_json::from_str(RICH).unwrap();
    let retry = json!({ "attempts": 3, "backoff": { "base": "10ms", "factor": 2, "max": "1s" }, "jitter": "full", "budget": "20%" });
    scenario["services"] = json!({
        "web": {
            "arrivals": { "poisson": "30/s" },
            "key": { "uniform": 200 },
            "instances": 2,
            "workers": 30,
            "startup": "2s",
            "handler": [
                { "work": { "gamma": { "mean": "4ms", "cv": 0.5 } } },
                { "parallel": [
                    { "call": { "to": "stock", "timeout": "60ms", "retry": retry, "breaker": { "open_for": "2s" } } },
                    { "call": { "to": "advice", "timeout": "80ms", "hedge": "30ms", "else": [] } }
                ] },
                { "hold": { "of": "rows", "do": [ { "local_commit": { "exponential": "3ms" } } ] } },
                { "saga": [
                    { "do": [ { "call": "stock" } ], "undo": [ { "work": "1ms" } ] },
                    { "do": [ { "call": { "to": "pay", "timeout": "100ms", "pool": 1 } } ] }
                ] },
                { "publish": "later" },
                { "await": { "event": "later", "timeout": "20ms", "else": [] } }
            ]
        },
        "stock": { "instances": 2, "workers": 2, "queue": 5, "balance": "two_choices", "service_time": { "exponential": "20ms" }, "failure": "2%" },
        "advice": { "profile": "grpc", "workers": 3, "service_time": { "lognormal": { "median": "20ms", "p99": "200ms" } } },
        "pay": {
            "workers": 8,
            "handler": [ { "hold": { "of": "pool", "do": [ { "hold": { "of": "quota", "do": [ { "work": { "exponential": "30ms" } } ] } } ] } } ]
        }
    });
    add_callers(&mut scenario);
    scenario["resources"] = json!({
        "rows": { "capacity": 1, "per_key": true, "timeout": "1s" },
        "pool": { "capacity": 8 },
        "quota": { "rate": "200/s", "burst": 5, "queue": 10, "timeout": "200ms" }
    });
    scenario["flows"] = json!({
        "sold": { "from": "web", "until": ["stock", "pay"], "deadline": "150ms" },
        "filed": { "from": "web", "until": ["archive", "pay"] },
        "told": { "from": "shop", "until": ["fraud", "archive"], "deadline": "1s" },
        "ended": { "from": "shop", "outcomes": { "later": "later", "dead": { "event": "dead" } } }
    });
    scenario["reads"] = json!({
        "page": { "of": "archive", "after": { "exponential": "100ms" }, "poll": "1s" },
        "stock": { "of": "stock" },
        "owner": { "of": "web", "after": "1s" },
        "risk": { "of": "fraud" }
    });
    let faults = scenario["faults"].as_array_mut().unwrap();
    faults.push(json!({ "at": "30s", "for": "10s", "target": "services.stock.instances.0", "effect": "crash" }));
    faults.push(json!({ "at": "60s", "every": { "exponential": "10s" }, "for": "1s", "target": "services.web.instances.any", "effect": "pause" }));
    faults.push(json!({ "at": "20s", "every": { "exponential": "15s" }, "for": "1s", "target": "consumers.reminder.members.any", "effect": "crash" }));
    faults.push(json!({ "at": "25s", "every": { "exponential": "15s" }, "for": "2s", "target": "consumers.hooks", "effect": "pause" }));
    faults.push(json!({ "at": "90s", "for": "10s", "target": "services.pay", "effect": { "slow": "5x" } }));
    scenario
}

/// Consumers and a producer that call, hold, and run steps at once.
fn add_callers(scenario: &mut Value) {
    scenario["consumers"]["reminder"] = json!({
        "subscribes": "orders",
        "members": 2,
        "workers": 20,
        "order": "key",
        "startup": "2s",
        "handler": [
            { "hold": { "of": "rows", "do": [ { "work": { "exponential": "4ms" } } ] } },
            { "parallel": { "do": [ { "call": { "to": "advice", "timeout": "80ms" } }, { "wait": "2ms" } ], "quorum": 1 } },
            { "saga": { "steps": [ { "do": [ { "call": { "to": "pay", "timeout": "50ms" } } ], "undo": [ { "work": "1ms" } ] } ], "else": [] } },
            { "publish": { "to": "later", "probability": "20%", "else": [] } },
            { "await": { "event": "later", "timeout": "20ms", "else": [] } }
        ],
        "failure": { "transient": "2%", "hang": "0.1%" },
        "retry": { "attempts": 3, "backoff": "20ms" },
        "settings": { "session.timeout.ms": 6000, "heartbeat.interval.ms": 1000, "max.poll.interval.ms": 8000 }
    });
    scenario["consumers"]["hooks"] = json!({
        "subscribes": "calls",
        "workers": 5,
        "handler": [ { "call": { "to": "stock", "timeout": "50ms" } } ],
        "retry": { "attempts": 4, "mode": "requeue", "backoff": ["100ms", "1s"] }
    });
    scenario["buses"]["queue"]["queues"]["calls"] = Value::Null;
    scenario["producers"]["desk"] = json!({
        "arrivals": { "poisson": "10/s" },
        "key": { "uniform": 40 },
        "handler": [
            { "work": "2ms" },
            { "call": { "to": "advice", "timeout": "60ms" } },
            { "saga": [ { "do": [ { "hold": "quota" } ], "undo": [] } ] },
            { "publish": "calls" }
        ]
    });
}

fn read(scenario: &Value) -> Plan {
    plan(&serde_json::to_string_pretty(scenario).unwrap())
}

/// The same with the keys of every map in reverse.
fn reversed(tree: &Value) -> Value {
    match tree {
        Value::Object(map) => map.iter().rev().map(|(key, value)| (key.clone(), reversed(value))).collect(),
        Value::Array(items) => items.iter().map(reversed).collect(),
        other => other.clone(),
    }
}

#[test]
fn neither_schedule_nor_order_of_keys_nor_strangers_matter() {
    let scenario = with_services();
    let plain = result_document(&read(&scenario), &Request::default());
    for schedule in [Schedule::Stepwise, Schedule::Parallel] {
        let request = Request { schedule, replications: 3, jobs: 1, threads: 2, ..Request::default() };
        assert!(result_document(&read(&scenario), &request) == plain, "{schedule:?} changes the result");
    }
    assert!(result_document(&read(&reversed(&scenario)), &Request::default()) == plain, "the order of keys changes it");
    let mut visited = scenario.clone();
    visited["services"]["another"] = json!({ "arrivals": { "poisson": "5/s" }, "handler": [ { "call": "callee" } ] });
    visited["services"]["callee"] = json!({ "service_time": "1ms" });
    visited["consumers"]["listener"] =
        json!({ "subscribes": "later", "workers": 9, "handler": [ { "call": "callee" } ] });
    let visited: Value = serde_json::from_str(&result_document(&read(&visited), &Request::default())).unwrap();
    let plain: Value = serde_json::from_str(&plain).unwrap();
    let mut same = vec![
        ("services", "web"),
        ("services", "pay"),
        ("flows", "sold"),
        ("flows", "filed"),
        ("reads", "page"),
        ("producers", "desk"),
    ];
    same.extend(["archive", "reminder", "hooks", "plain", "email"].map(|name| ("consumers", name)));
    for (section, name) in same {
        assert_eq!(visited[section][name], plain[section][name], "{section}.{name}");
    }
}

/// Ties are the rule when all times are rounded up to a millisecond.
#[test]
fn the_schedule_does_not_matter_where_much_happens_at_once() {
    let scenario = with_services();
    let of = |schedule| {
        let request =
            Request { schedule, coarse: 1_000_000, replications: 2, jobs: 1, threads: 2, ..Request::default() };
        result_document(&read(&scenario), &request)
    };
    let windowed = of(Schedule::Windowed);
    assert!(of(Schedule::Stepwise) == windowed, "stepwise");
    assert!(of(Schedule::Parallel) == windowed, "parallel");
}

#[test]
fn a_service_that_was_slow_for_a_while_is_told() {
    let yaml = "name: stood-still\nseed: 3\nduration: 21m\nwarm_up: 1m\nservices:\n  \
        web: { profile: ideal, arrivals: { poisson: 50/s }, workers: 1, queue: 100k, service_time: { exponential: 10ms } }\n";
    let of = |faults: &str| {
        let found = experiment(&plan(&format!("{yaml}{faults}")), &Request::default());
        found.summary.warnings.into_iter().filter(|it| it.code == "W009").collect::<Vec<_>>()
    };
    assert_eq!(of(""), []);
    // Who comes first waits for the whole minute; then 3,000 are worked off by 50/s, and at 6m 50s the wait is 5 s again.
    let told = of("faults: [ { at: 5m, for: 1m, target: services.web, effect: pause } ]\n");
    let [warning] = &told[..] else { panic!("{told:?}") };
    assert_eq!(warning.about, "services.web");
    assert!(warning.text.contains("users who came from 5m 00s to 6m "), "{}", warning.text);
}
