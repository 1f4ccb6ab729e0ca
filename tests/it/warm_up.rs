//! Warm-ups that are found or too short, against the exact transient of a queue that starts empty; intervals of one run.

use edasim::engine::Schedule;
use edasim::experiment::{Request, compare};
use edasim::plan::{Plan, WarmUp};
use edasim::time::SimSpan;
use serde_json::Value;

use super::support::{experiment, plan, result_document};

/// Mean service time, seconds.
const SERVICE: f64 = 0.01;

/// M/M/1 at a load, for so many seconds; `more` at the top level.
fn queue(load: f64, seconds: u32, more: &str) -> Plan {
    queues(1, load, seconds, more)
}

/// So many of them side by side: partitions with a member each. One queue's start is lost in its noise.
fn queues(count: u32, load: f64, seconds: u32, more: &str) -> Plan {
    plan(&format!(
        "name: queue\nduration: {seconds}s\n{more}\n\
         buses: {{ main: {{ profile: ideal, topics: {{ work: {{ partitions: {count} }} }} }} }}\n\
         producers: {{ source: {{ publishes: work, key: unique, arrivals: {{ poisson: {:.3}/s }} }} }}\n\
         consumers: {{ server: {{ subscribes: work, members: {count}, service_time: {{ exponential: 10ms }} }} }}\n",
        f64::from(count) * load / SERVICE
    ))
}

/// By which share the mean time of those who come between two times (seconds) is off because the queue began empty: exact
/// but for the number that may wait, by the equations of the birth and death process (fourth-order Runge-Kutta).
fn exact_bias(load: f64, from: f64, to: f64) -> f64 {
    let (most, step) = (300, 0.2);
    // One unit of time is a service time.
    let change = |p: &[f64]| -> Vec<f64> {
        let flow = |n: usize| load * p[n] - p[n + 1];
        (0..=most).map(|n| if n > 0 { flow(n - 1) } else { 0.0 } - if n < most { flow(n) } else { 0.0 }).collect()
    };
    let plus = |p: &[f64], k: &[f64], by: f64| p.iter().zip(k).map(|(p, k)| p + by * k).collect::<Vec<f64>>();
    let (mut p, mut at, mut sum, mut count) = (vec![0.0; most + 1], 0.0, 0.0, 0.0);
    p[0] = 1.0;
    while at < to / SERVICE {
        if at >= from / SERVICE {
            // Who comes waits for all that are there, and for himself.
            sum += p.iter().enumerate().map(|(n, p)| p * (n + 1) as f64).sum::<f64>();
            count += 1.0;
        }
        let a = change(&p);
        let b = change(&plus(&p, &a, step / 2.0));
        let c = change(&plus(&p, &b, step / 2.0));
        let d = change(&plus(&p, &c, step));
        for n in 0..=most {
            p[n] += step / 6.0 * (a[n] + 2.0 * b[n] + 2.0 * c[n] + d[n]);
        }
        at += step;
    }
    sum / count * (1.0 - load) - 1.0
}

fn codes(plan: &Plan, replications: u32) -> Vec<&'static str> {
    let found = experiment(plan, &Request { replications, ..Request::default() });
    found.summary.warnings.iter().map(|warning| warning.code).collect()
}

#[test]
fn the_exact_transient_is_that_of_the_theory() {
    // Started empty, and long after (the bias of a mean over T is about a constant over T).
    assert!(exact_bias(0.5, 50.0, 60.0).abs() < 1e-6);
    let (short, long) = (exact_bias(0.8, 0.0, 40.0), exact_bias(0.8, 0.0, 80.0));
    assert!(short < -0.001 && (short / long - 2.0).abs() < 0.05, "{short} {long}");
}

#[test]
fn a_warm_up_that_is_found_takes_the_start_away() {
    let (load, seconds) = (0.9, 30);
    let bias = |warm_up: f64| exact_bias(load, warm_up, f64::from(seconds));
    let without = bias(0.0);
    let mut found: Vec<f64> = (1..=11)
        .map(|seed| {
            let plan = Plan { seed, ..queues(200, load, seconds, "warm_up: auto") };
            let summary = experiment(&plan, &Request { replications: 1, ..Request::default() }).summary;
            let how = summary.found_warm_up.expect("it is found");
            assert!(how.pilots == 5 && how.restless.is_empty(), "{how:?}");
            assert_eq!(how.longest.as_deref(), Some("consumers.server.latency"));
            summary.warm_up.seconds()
        })
        .collect();
    found.sort_by(f64::total_cmp);
    let left: Vec<f64> = found.iter().map(|warm_up| bias(*warm_up)).collect();
    println!("bias {without:.4} without; warm-ups {found:?} leave {left:.4?}");
    // Relaxation takes S / (1 - sqrt(rho))^2 = 3.8 s.
    assert!(without < -0.02, "{without}");
    assert!((2.0..12.0).contains(&found[5]) && found[10] <= 15.0, "{found:?}");
    assert!(left[5].abs() < 0.35 * without.abs() && left[0].abs() < 0.5 * without.abs(), "{left:?} of {without}");
}

#[test]
fn a_warm_up_that_is_too_short_is_told_and_a_good_one_is_not() {
    // 20 s after the warm-up: 4 % are missing from the mean if there is none, and chance takes or adds about 1 %.
    let told = |warm_up: u32| {
        let plan = |seed| Plan { seed, ..queues(200, 0.9, warm_up + 20, &format!("warm_up: {warm_up}s")) };
        (0..6).filter(|seed| codes(&plan(*seed), 10).contains(&"W011")).count()
    };
    let (bias, rest) = (exact_bias(0.9, 0.0, 20.0), exact_bias(0.9, 15.0, 35.0));
    let (short, long) = (told(0), told(15));
    println!("bias {bias:.4} and {rest:.4}: told of {short} of 6 that are too short, of {long} of 6 that are not");
    assert!(bias < -0.04 && rest.abs() < 0.01, "{bias} {rest}");
    assert!(short >= 5 && long == 0, "{short} {long}");
}

#[test]
fn faults_are_no_warm_up() {
    let fault = "faults: [ { at: 20s, for: 4s, target: consumers.server, effect: pause } ]";
    let (with, without) = (queue(0.7, 60, fault), queue(0.7, 60, ""));
    assert!(!codes(&with, 5).contains(&"W011"), "{:?}", codes(&with, 5));
    let auto = |plan: Plan| {
        let plan = Plan { warm_up_from: WarmUp::Wanted, ..plan };
        experiment(&plan, &Request { replications: 1, ..Request::default() }).summary.warm_up
    };
    assert_eq!(auto(with), auto(without));
}

#[test]
fn overload_does_not_come_to_rest() {
    let plan = queue(1.3, 60, "warm_up: auto");
    let summary = experiment(&plan, &Request { replications: 2, ..Request::default() }).summary;
    assert_eq!(summary.found_warm_up.expect("looked for").restless, ["consumers.server.latency"]);
    assert_eq!(summary.warm_up, SimSpan::ZERO);
    // Said once: as overload.
    let codes: Vec<_> = summary.warnings.iter().map(|warning| warning.code).collect();
    assert!(codes.contains(&"W001") && !codes.contains(&"W011"), "{codes:?}");
}

#[test]
fn designs_that_are_compared_have_the_longest_warm_up() {
    let design = |load: f64| Plan { replications: 3, ..queue(load, 60, "warm_up: auto") };
    let alone = |plan: &Plan| experiment(plan, &Request { replications: 1, ..Request::default() }).summary.warm_up;
    let designs = [("slow".to_owned(), design(0.9)), ("fast".to_owned(), design(0.4))];
    let longest = designs.iter().map(|(_, plan)| alone(plan)).max().unwrap();
    let (comparison, ..) = compare(&designs, &Request::default(), None, &()).unwrap();
    for design in &comparison.designs {
        assert_eq!(design.summary.warm_up, longest);
    }
    assert!(comparison.warnings.iter().all(|warning| warning.code != "W010"), "{:?}", comparison.warnings);
}

#[test]
fn what_is_found_is_the_same_whatever_the_schedule_and_the_threads() {
    let plan = queue(0.8, 40, "warm_up: auto");
    for replications in [1, 3] {
        let with =
            |jobs, schedule| result_document(&plan, &Request { replications, jobs, schedule, ..Request::default() });
        let reference = with(1, Schedule::Windowed);
        assert!(reference.contains("\"warm_up\": {"), "{reference}");
        assert_eq!(reference.contains("\"batches\""), replications == 1);
        assert!(with(2, Schedule::Stepwise) == reference && with(2, Schedule::Parallel) == reference);
    }
}

/// The interval that a document of one run gives.
fn interval(document: &Value, path: [&str; 4]) -> Option<(f64, f64)> {
    let pair = path.iter().try_fold(&document["ci95"], |node, key| node.get(key))?;
    Some((pair.get(0)?.as_f64()?, pair.get(1)?.as_f64()?))
}

#[test]
fn one_long_run_has_intervals_and_one_that_changes_or_is_too_short_says_why_not() {
    let one = |plan: &Plan| -> Value {
        serde_json::from_str(&result_document(plan, &Request { replications: 1, ..Request::default() })).unwrap()
    };
    let p99 = ["consumers", "server", "latency", "p99"];
    let long = one(&queue(0.5, 2_000, "warm_up: 10s"));
    let (low, high) = interval(&long, p99).expect("long enough");
    let value = long["consumers"]["server"]["latency"]["p99"].as_f64().unwrap();
    assert!(low < value && value < high && high - low < 0.1 * value, "{low} {value} {high}");
    assert!(long["batches"]["consumers"]["server"]["latency"]["p99"].as_u64().unwrap() >= 10);
    // Against the spread of independent runs of that length: as wide as theirs, within a factor of two.
    let spread = experiment(&queue(0.5, 2_000, "warm_up: 10s"), &Request { replications: 20, ..Request::default() });
    let of_runs = spread.summary.interval(&p99).unwrap();
    let expected = (of_runs.1 - of_runs.0) * 20f64.sqrt();
    assert!((0.5..2.0).contains(&((high - low) / expected)), "{} {expected}", high - low);

    let why = |document: &Value| document["batches"]["none"].as_str().map(str::to_owned);
    let fault =
        queue(0.5, 2_000, "faults: [ { name: lunch, at: 20s, for: 1s, target: consumers.server, effect: pause } ]");
    assert_eq!(why(&one(&fault)).as_deref(), Some("the fault lunch strikes"));
    assert_eq!(why(&one(&queue(0.5, 1, ""))).as_deref(), Some("too few events"));
    assert_eq!(interval(&one(&fault), p99), None);
    // At 0.97 a queue forgets in 44 s: parts of 1.5 s do not.
    let bound = one(&queue(0.97, 65, "warm_up: 50s"));
    let warned = bound["warnings"].as_array().unwrap().iter().any(|it| it["code"] == "W004");
    assert!(warned && interval(&bound, ["consumers", "server", "latency", "mean"]).is_none(), "{}", bound["batches"]);
}

#[test]
fn claims_about_one_run_are_judged_by_its_interval() {
    let judged = |limit: &str| {
        let plan = queue(0.5, 1_000, &format!("warm_up: 10s\nexpect: [ server.latency.mean < {limit} ]"));
        let summary = experiment(&plan, &Request { replications: 1, ..Request::default() }).summary;
        summary.expectations[0].clone()
    };
    let near = judged("20ms");
    assert_eq!(near.verdict.word(), "undecided", "{near:?}");
    assert!(near.interval.is_some_and(|(low, high)| low < 0.02 && 0.02 < high), "{near:?}");
    assert_eq!((judged("25ms").verdict.word(), judged("15ms").verdict.word()), ("holds", "fails"));
}
