//! What the figures of a result document mean: each is measured, each interval is about its own figure, and each figure is
//! about the time and the work that it says.

use edasim::experiment::Request;
use edasim::metrics::{CALLS, OUTCOMES, catalogue};
use edasim::plan::Plan;
use edasim::summary::{Summary, Verdict, interval_in};
use serde_json::{Value, json};

use crate::services::with_services;
use crate::support::{experiment, once, plan};

/// One topic and one consumer `station` of a bus without delays, all else as given (one key a line).
fn scenario(producer: &str, consumer: &str, rest: &str) -> Plan {
    let indented = |lines: &str| lines.lines().map(|line| format!("    {}\n", line.trim())).collect::<String>();
    plan(&format!(
        "name: figures\n{rest}\
         buses: {{ main: {{ profile: ideal, topics: {{ work: {{ partitions: 4 }} }} }} }}\n\
         producers:\n  source:\n    publishes: work\n{}\
         consumers:\n  station:\n    subscribes: work\n{}",
        indented(producer),
        indented(consumer)
    ))
}

fn summary(plan: &Plan, replications: u32) -> Summary {
    experiment(plan, &Request { replications, ..Request::default() }).summary
}

fn station<'s>(summary: &'s Summary, path: &[&str]) -> &'s Value {
    path.iter().fold(&summary.metrics["consumers"]["station"], |node, key| &node[*key])
}

/// Calls `see` with path, figure and interval wherever there is one.
fn intervals(path: &str, metrics: &Value, ci95: &Value, see: &mut impl FnMut(&str, f64, (f64, f64))) {
    match ci95 {
        Value::Object(map) => {
            map.iter().for_each(|(key, inner)| intervals(&format!("{path}.{key}"), &metrics[key], inner, see));
        }
        pair => {
            let ends = interval_in(pair).unwrap_or_else(|| panic!("{path}: {pair}"));
            see(path, metrics.as_f64().unwrap_or_else(|| panic!("{path} has no figure")), ends);
        }
    }
}

#[test]
fn every_figure_lies_inside_its_interval_and_the_worst_run_has_none() {
    for replications in [2, 5, 40] {
        let summary = summary(&plan(&with_services().to_string()), replications);
        let mut seen = 0;
        intervals("", &summary.metrics, &summary.ci95, &mut |path, figure, (low, high)| {
            assert!(low <= figure && figure <= high, "{path}: {figure} is not in [{low}, {high}]");
            let worst = [".max", ".max_at", ".drain_time", ".partition", ".median"];
            assert!(!worst.iter().any(|end| path.ends_with(end)), "{path} is that of the worst run");
            seen += 1;
        });
        assert!(seen > 200, "{seen}");
    }
}

#[test]
fn every_metric_of_the_catalogue_is_measured() {
    let mut scenario = with_services();
    let saga = json!([ { "do": [ { "call": { "to": "stock", "timeout": "60ms" } } ], "undo": [ { "work": "1ms" } ] } ]);
    let handler = json!([ { "saga": saga }, { "local_commit": "1ms" }, { "publish": "later" }, { "await": "later" } ]);
    let outbox = json!({ "poll": "5ms", "batch": 100 });
    scenario["producers"]["feed"] = json!({ "arrivals": { "poisson": "5/s" }, "handler": handler, "outbox": outbox });
    scenario["services"]["web"]["outbox"] = json!({ "cdc": "1ms" });
    let name = scenario["consumers"].as_object().unwrap().keys().next().unwrap().clone();
    scenario["consumers"][&name]["startup"] = "10ms".into();
    scenario["changes"] = json!([ { "at": "1s", "target": format!("consumers.{name}"), "action": "deploy" } ]);
    let atomic = json!([ { "transaction": [ { "publish": "later" } ] } ]);
    scenario["producers"]["atomic"] = json!({ "arrivals": { "poisson": "2/s" }, "handler": atomic });
    scenario["consumers"]["exact"] = json!({ "subscribes": "dead", "handler": atomic });
    scenario["consumers"]["scaled"] = json!({ "subscribes": "dead", "autoscale": { "lag": 5, "max": 3 } });
    scenario["consumers"]["again"] = json!({ "subscribes": "dead", "retry": { "mode": "retry_topic" } });
    let summary = summary(&plan(&scenario.to_string()), 2);
    for metric in &catalogue() {
        let section = &summary.metrics[metric.section];
        let things: Vec<&Value> = match metric.section {
            "events" => vec![section],
            // By caller, and by whom it calls.
            CALLS => {
                let sections = ["services", "consumers", "producers"].map(|section| &summary.metrics[section]);
                let callers = sections.into_iter().flat_map(|section| section.as_object().unwrap().values());
                callers.filter_map(|service| service["calls"].as_object()).flat_map(|calls| calls.values()).collect()
            }
            OUTCOMES => {
                let flows = summary.metrics["flows"].as_object().unwrap().values();
                flows.filter_map(|flow| flow["outcomes"].as_object()).flat_map(|outcomes| outcomes.values()).collect()
            }
            _ => section.as_object().unwrap().values().collect(),
        };
        let measured = |thing: &&Value| metric.keys.iter().fold(*thing, |node, key| &node[key]).is_number();
        assert!(things.iter().any(measured), "{}.{} is measured nowhere", metric.section, metric.path());
    }
}

#[test]
fn a_fault_without_an_end_does_not_drain() {
    let slow = scenario(
        "arrivals: { poisson: 100/s }",
        "service_time: 8ms",
        "duration: 2m\n\
         faults: [ { at: 1m, target: consumers.station, effect: { slow: 10x } } ]\n\
         expect: [ station.drain_time < 1m ]\n",
    );
    let found = summary(&slow, 2);
    assert_eq!(station(&found, &["drain_time"]), &Value::Null);
    assert_eq!(station(&found, &["not_drained"]), 2);
    let judged = &found.expectations[0];
    assert_eq!((judged.verdict, judged.value), (Verdict::Undecided, None));
    assert_eq!(judged.reason.as_deref(), Some("not drained in 2 of 2 runs, followed for 0s"));
}

/// The next two events of 10 a second never succeed, and each takes five attempts of a second and a bit: nothing else is
/// done for ten seconds, and a worker that takes 50 ms for an event needs ten more for what came meanwhile.
#[test]
fn a_poisoned_event_is_followed_until_its_lag_is_gone() {
    let poisoned = scenario(
        "arrivals: { constant: 10/s }\nkey: { uniform: 1 }",
        "service_time: 50ms\nretry: { attempts: 5, backoff: { base: 1200ms, factor: 1 } }",
        "duration: 2m\nfaults: [ { at: 1m, target: consumers.station, effect: { poison: 2 } } ]\n",
    );
    let outcome = once(&poisoned);
    let touched = outcome.faults[0].touched[&0];
    assert_eq!((touched.not_drained, touched.lost), (0, 2), "{touched:?}");
    let blocked = 2.0 * (4.0 * 1.2 + 5.0 * 0.05);
    let (drained, peak) = (touched.drain_time.seconds(), touched.lag_peak as f64);
    assert!((peak - 10.0 * blocked).abs() < 3.0, "{touched:?}");
    assert!((drained - 2.0 * blocked).abs() < 1.0, "{touched:?}");
}

/// A member is gone for one second, but the group waits for its session: nobody serves its partition for 45 s.
#[test]
fn a_short_crash_is_followed_until_the_group_has_noticed() {
    let crash = plan(
        "name: short\n\
         duration: 10m\n\
         buses: { main: { profile: kafka, topics: { work: { partitions: 2 } } } }\n\
         producers: { source: { publishes: work, arrivals: { poisson: 20/s }, key: { uniform: 1k } } }\n\
         consumers: { station: { subscribes: work, members: 2, service_time: 5ms, startup: 1s,\n\
           settings: { session.timeout.ms: 45000 } } }\n\
         faults: [ { at: 5m, for: 1s, target: consumers.station.members.0, effect: crash } ]\n",
    );
    let outcome = once(&crash);
    let touched = outcome.faults[0].touched[&0];
    assert!(touched.lag_peak > 300 && touched.drain_time.seconds() > 35.0, "{touched:?}");
}

/// Twice as much arrives in the first minute as can be done, nothing later: the rest is done in the second.
#[test]
fn throughput_is_about_the_time_in_which_events_are_done() {
    let late = scenario(
        "arrivals: { curve: { points: [ { at: 0s, rate: 20/s }, { at: 60s, rate: 20/s }, { at: 60001ms, rate: 0/s } ] } }",
        "service_time: 100ms",
        "duration: 3m\nwarm_up: 1m\n\
         expect: [ station.throughput > 9.9/s during 1m10s..1m50s, station.throughput < 11/s during 10s..50s ]\n",
    );
    let found = summary(&late, 1);
    assert!(found.expectations.iter().all(|judged| judged.verdict == Verdict::Holds), "{:#?}", found.expectations);
    let throughput = station(&found, &["throughput"]).as_f64().unwrap();
    assert!((throughput - 5.0).abs() < 0.6, "one minute of two at 10/s: {throughput}");
}

/// A crowd in the first seconds decides nothing that is measured later; the series show it.
#[test]
fn the_warm_up_does_not_count() {
    let crowd = scenario(
        "arrivals: { curve: { points: [ { at: 0s, rate: 500/s }, { at: 10s, rate: 500/s }, { at: 10001ms, rate: 10/s },\n\
           { at: 5m, rate: 10/s } ] } }\n\
         key: { uniform: 100 }",
        "service_time: 5ms",
        "duration: 5m\nwarm_up: 1m\n",
    );
    let outcome = once(&crowd);
    let lag = &outcome.consumers[0].lag;
    assert!(lag.records.iter().max() > Some(&1000) && lag.max < 10, "{} {:?}", lag.max, lag.records);
    assert!(lag.max_at.seconds() >= 60.0 && lag.time_max_at.seconds() >= 60.0, "{lag:?}");
    assert!(lag.partitions.iter().all(|partition| partition.max < 10), "{:?}", lag.partitions);
}

/// Twelve members on four partitions, and every second attempt in vain: 4 handlers, 20 ms an event.
#[test]
fn offered_load_counts_who_can_work_and_what_is_done_again() {
    let load = |rate: u32, members: u32, failure: &str| {
        let plan = scenario(
            &format!("arrivals: {{ poisson: {rate}/s }}\nkey: {{ uniform: 10k }}"),
            &format!(
                "members: {members}\nservice_time: 10ms\nfailure: {failure}\nretry: {{ attempts: 50, backoff: 0s }}"
            ),
            "duration: 5m\nwarm_up: 10s\n",
        );
        let found = summary(&plan, 1);
        let load = station(&found, &["offered_load"]).as_f64().unwrap();
        (load, found.warnings.iter().any(|warning| warning.code == "W001"))
    };
    for (rate, members, failure, expected) in
        [(100, 1, "0%", 1.0), (200, 4, "0%", 0.5), (200, 12, "0%", 0.5), (100, 4, "50%", 0.5), (220, 12, "50%", 1.1)]
    {
        let (found, overload) = load(rate, members, failure);
        assert!((found / expected - 1.0).abs() < 0.03, "{rate}/s, {members} members, {failure}: {found}");
        assert!(rate == 100 && members == 1 || overload == (expected > 1.0), "{rate}/s, {members} members, {failure}");
    }
}

/// The load of calls for several messages does not hold what the warm-up did.
#[test]
fn offered_load_of_batches_is_that_of_the_measured_time() {
    let batches = scenario(
        "arrivals: { constant: 100/s }",
        "batch: { max: 1000, max_wait: 10s }\nservice_time: 6s",
        "duration: 10m\nwarm_up: 5m\n",
    );
    let load = station(&summary(&batches, 1), &["offered_load"]).as_f64().unwrap();
    assert!((load - 0.6).abs() < 0.03, "{load}");
}

#[test]
fn a_run_that_is_stopped_has_no_faults_after_its_end() {
    let mut stopped = scenario(
        "arrivals: { poisson: 1k/s }",
        "service_time: 1s",
        "duration: 10m\n\
         faults:\n\
         \x20 - { at: 1s, target: consumers.station, effect: { slow: 2x } }\n\
         \x20 - { at: 1s, every: 1m, for: 1s, target: consumers.station, effect: pause }\n",
    );
    stopped.backlog_bound = 100_000;
    let outcome = once(&stopped);
    let end = outcome.faults[0].occurrences[0].1.seconds();
    assert!((99.0..110.0).contains(&end), "{end}");
    assert_eq!((outcome.faults[1].count, outcome.faults[1].occurrences.len()), (2, 2));
}

#[test]
fn lag_is_listed_by_partition_and_bounded() {
    let lags = |partitions: u32| {
        let plan = plan(&format!(
            "name: lags\nduration: 1m\n\
             buses: {{ main: {{ profile: ideal, topics: {{ work: {{ partitions: {partitions} }} }} }} }}\n\
             producers: {{ source: {{ publishes: work, arrivals: {{ poisson: 500/s }}, key: {{ uniform: 10k }} }} }}\n\
             consumers: {{ station: {{ subscribes: work, service_time: 3ms }} }}\n"
        ));
        summary(&plan, 2).metrics["consumers"]["station"]["lag"]["partitions"].clone()
    };
    for (partitions, listed, points, which) in [
        (3, 3, 60, "all"),
        (40, 32, 60, "the 32 of 40 with the largest lag"),
        (300, 32, 0, "the 32 of 300 with the largest lag; no series, which are kept of up to 256 partitions"),
    ] {
        let found = lags(partitions);
        assert_eq!(found["which"], which);
        let list = found["lags"].as_array().unwrap();
        assert_eq!(list.len(), listed);
        for lag in list {
            let series = lag["series"]["records_max"].as_array().unwrap();
            assert_eq!(series.len(), points, "{lag}");
            assert_eq!(lag["series"]["time_max"].as_array().unwrap().len(), points);
            let most = series.iter().map(|v| v.as_f64().unwrap()).reduce(f64::max);
            assert!(most.is_none_or(|most| most == lag["max"].as_f64().unwrap()), "{lag}");
        }
    }
}

/// What is asked of a group is compared with the members that it has over time, and its overload for a while is told.
#[test]
fn offered_load_is_about_the_members_over_time() {
    let plan = plan(
        "name: scale\nduration: 30m\nreplications: 1\n\
         buses: { main: { profile: kafka, topics: { t: { partitions: 12 } } } }\n\
         producers: { p: { publishes: t, arrivals: { constant: 500/s }, key: unique } }\n\
         consumers:\n  up: { subscribes: t, members: 4, service_time: 10ms }\n  \
         down: { subscribes: t, members: 12, service_time: 10ms }\n\
         changes:\n  - { at: 10m, target: consumers.up, action: { scale: 12 } }\n  \
         - { at: 10m, target: consumers.down, action: { scale: 6 } }\n",
    );
    let found = experiment(&plan, &Request { replications: 1, ..Request::default() }).summary;
    let number = |name: &str, figure: &str| found.number(&["consumers", name, figure]).unwrap();
    for name in ["up", "down"] {
        let (load, utilisation) = (number(name, "offered_load"), number(name, "utilisation"));
        assert!((load / utilisation - 1.0).abs() < 0.01, "{name}: {load} against {utilisation}");
    }
    let about = |name: &str| found.warnings.iter().find(|w| w.about == format!("consumers.{name}")).map(|w| w.code);
    assert_eq!((about("up"), about("down")), (Some("W009"), None), "{:#?}", found.warnings);
}
