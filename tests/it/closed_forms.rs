//! The simulator against exact answers: every mean and every tabulated quantile lies inside its own 99.9 % interval across
//! runs, and at load 0.8 that interval is narrower than 2 % either way.
//!
//! Scenarios go through YAML like a user's. One mean service time is one second. A check that redraws what is left of a
//! service, serves in another order or loses a message fails here; M/M/1 alone would not notice the first.

use edasim::engine::RunOptions;
use edasim::experiment::{Request, seed_of};
use edasim::outcome::Outcome;
use edasim::plan::Plan;
use edasim::stats::confidence::MeanInterval;

use crate::exact::{self, QUANTILES, Wait};
use crate::support::{experiment, plan, quantile, run, traced};

/// Confidence of the intervals.
const LEVEL: f64 = 0.999;

/// Seconds before measurement begins: several times what the slowest system here takes to forget that it was empty.
const WARM_UP: u64 = 4_000;

/// How the servers are laid out.
#[derive(Clone, Copy)]
enum Layout {
    /// One partition with one owner.
    Partition,
    /// One queue, so many members with one worker each.
    Members(u32),
    /// One queue, one member with so many workers.
    Workers(u32),
}

impl Layout {
    /// One queue for so many servers; which kind of server does not matter, so both kinds are used.
    fn shared(servers: u32) -> Self {
        if servers.is_multiple_of(3) || servers < 4 { Self::Members(servers) } else { Self::Workers(servers) }
    }

    fn servers(self) -> u32 {
        match self {
            Self::Partition => 1,
            Self::Members(servers) | Self::Workers(servers) => servers,
        }
    }
}

/// A single station: arrivals of a kind at a load, so many messages per run.
fn station(kind: &str, rho: f64, layout: Layout, service: &str, messages: f64) -> Plan {
    let rate = rho * f64::from(layout.servers());
    // Many servers forget sooner.
    let warm_up = (WARM_UP / u64::from(layout.servers())).max(200);
    let seconds = warm_up + (messages / rate) as u64;
    let (section, servers) = match layout {
        Layout::Partition => ("topics", String::new()),
        Layout::Members(servers) => ("queues", format!("members: {servers}, ")),
        Layout::Workers(servers) => ("queues", format!("workers: {servers}, ")),
    };
    plan(&format!(
        "name: station\n\
         duration: {seconds}s\n\
         warm_up: {warm_up}s\n\
         buses: {{ main: {{ profile: ideal, {section}: {{ work: }} }} }}\n\
         producers: {{ source: {{ publishes: work, arrivals: {{ {kind}: {rate}/s }} }} }}\n\
         consumers: {{ station: {{ subscribes: work, {servers}service_time: {service} }} }}\n"
    ))
}

/// One number of each run, and what it should be.
struct Check {
    what: String,
    exact: f64,
    values: Vec<f64>,
}

/// Checks of one system.
struct Checks {
    system: String,
    /// Whether the intervals have to be narrow.
    narrow: bool,
    list: Vec<Check>,
}

impl Checks {
    fn new(system: String, narrow: bool) -> Self {
        Self { system, narrow, list: Vec::new() }
    }

    fn add(&mut self, what: impl Into<String>, exact: f64, values: impl IntoIterator<Item = f64>) {
        self.list.push(Check { what: what.into(), exact, values: values.into_iter().collect() });
    }

    /// All that is outside its interval, or not known well enough.
    fn failures(&self) -> Vec<String> {
        self.list.iter().filter_map(|check| self.failure(check)).collect()
    }

    fn failure(&self, check: &Check) -> Option<String> {
        let interval = MeanInterval::of(&check.values, LEVEL).expect("several runs");
        let inside = (check.exact - interval.mean).abs() <= interval.half;
        // A wait far shorter than a service is measured against the service.
        let width = interval.half / check.exact.max(1.0);
        let line = format!(
            "{} {}: exact {:.6}, found {:.6} +- {:.6} ({:.2} %)",
            self.system,
            check.what,
            check.exact,
            interval.mean,
            interval.half,
            100.0 * width
        );
        println!("{line}");
        (!inside || self.narrow && width > 0.02).then_some(line)
    }
}

fn hold(checks: &[Checks]) {
    let failures: Vec<String> = checks.iter().flat_map(Checks::failures).collect();
    assert!(failures.is_empty(), "outside their intervals, or too wide:\n{}", failures.join("\n"));
}

/// What one run of a station says.
struct Seen {
    sojourn: f64,
    /// Seconds.
    waits: Vec<f64>,
}

impl Seen {
    fn new(plan: &Plan, replication: u32) -> Self {
        let options = RunOptions { seed: seed_of(plan, replication), trace: true, ..RunOptions::default() };
        let outcome = run(plan, &options);
        let measured = outcome.trace.iter().filter(|record| record.created.0 >= plan.warm_up.0);
        let waits = measured.map(|record| (record.start - record.visible).seconds()).collect();
        let station = &outcome.consumers[0];
        Self { sojourn: station.stages.total as f64 / station.latency.count() as f64 / 1e9, waits }
    }

    fn mean_wait(&self) -> f64 {
        self.waits.iter().sum::<f64>() / self.waits.len() as f64
    }

    fn share_waiting(&self) -> f64 {
        self.waits.iter().filter(|wait| **wait > 0.0).count() as f64 / self.waits.len() as f64
    }

    fn wait_quantiles(&mut self) -> [f64; 3] {
        let count = self.waits.len() as f64;
        QUANTILES.map(|q| {
            let rank = (q * count).ceil() as usize - 1;
            *self.waits.select_nth_unstable_by(rank, f64::total_cmp).1
        })
    }
}

/// Runs a station and holds its waits against the exact law.
fn check_waits(name: String, plan: &Plan, runs: u32, rho: f64, exact: &Wait) -> Checks {
    let mut seen: Vec<(f64, f64, f64, [f64; 3])> = Vec::new();
    for replication in 0..runs {
        let mut run = Seen::new(plan, replication);
        seen.push((run.sojourn, run.mean_wait(), run.share_waiting(), run.wait_quantiles()));
    }
    let mut checks = Checks::new(name, rho == 0.8);
    checks.add("mean sojourn", exact.mean + 1.0, seen.iter().map(|s| s.0));
    checks.add("mean wait", exact.mean, seen.iter().map(|s| s.1));
    checks.add("share waiting", exact.share, seen.iter().map(|s| s.2));
    for (at, q) in QUANTILES.into_iter().enumerate() {
        let (value, values) = (exact.quantile(q), seen.iter().map(|s| s.3[at]));
        if value == 0.0 {
            // At the edge of those who do not wait at all a run may have a tiny wait: the share says enough.
            let clear = q < 1.0 - exact.share - 0.01;
            assert!(!clear || values.clone().all(|v| v == 0.0), "{}: some of the {q} wait", checks.system);
        } else {
            checks.add(format!("p{} of the wait", 100.0 * q), value, values);
        }
    }
    checks
}

fn mmc(servers: u32, loads: &[(f64, f64)]) {
    let checks = loads.iter().map(|&(rho, messages)| {
        let plan = station("poisson", rho, Layout::shared(servers), "{ exponential: 1s }", messages);
        check_waits(format!("M/M/{servers} {rho}"), &plan, 40, rho, &exact::mmc(servers, rho))
    });
    hold(&checks.collect::<Vec<_>>());
}

#[test]
fn mm1_queue() {
    mmc(1, &[(0.5, 1e5), (0.8, 3e5), (0.9, 2e5)]);
}

#[test]
fn mm2_queue() {
    mmc(2, &[(0.5, 1e5), (0.8, 3e5), (0.9, 2e5)]);
}

#[test]
fn mm4_queue() {
    mmc(4, &[(0.5, 1e5), (0.8, 3e5), (0.9, 2e5)]);
}

#[test]
fn mm8_queue() {
    mmc(8, &[(0.5, 5e4), (0.8, 3e5), (0.9, 1e5)]);
}

#[test]
fn mm16_queue() {
    mmc(16, &[(0.5, 1e5), (0.8, 5e5), (0.9, 2e5)]);
}

#[test]
fn mm32_queue() {
    mmc(32, &[(0.5, 5e4), (0.8, 3e5), (0.9, 1e5)]);
}

/// One owner of one partition: the law of the sojourn is exponential, which the latency histogram shows.
#[test]
fn mm1_partition() {
    let mut all = Vec::new();
    for (rho, messages) in [(0.5, 2e5), (0.8, 4e5), (0.9, 4e5)] {
        let plan = station("poisson", rho, Layout::Partition, "{ exponential: 1s }", messages);
        let mean = 1.0 / (1.0 - rho);
        let outcomes: Vec<Outcome> = (0..40).map(|replication| untraced(&plan, replication)).collect();
        let mut checks = Checks::new(format!("M/M/1 partition {rho}"), rho == 0.8);
        checks.add("mean sojourn", mean, outcomes.iter().map(mean_latency));
        for q in QUANTILES {
            let exact = -mean * edasim::math::ln(1.0 - q);
            let found = outcomes.iter().map(|o| quantile(&o.consumers[0].latency, q) / 1e9);
            checks.add(format!("p{} of the sojourn", 100.0 * q), exact, found);
        }
        all.push(checks);
    }
    hold(&all);
}

/// Constant service: a simulator that redraws or shares what is left of a service is wrong here, though right in M/M/c.
#[test]
fn mdc_queues() {
    let mut all = Vec::new();
    for servers in [1, 2, 4, 8] {
        let layout = if servers == 1 { Layout::Partition } else { Layout::shared(servers) };
        for (rho, messages) in [(0.5, 1e5), (0.8, 2.6e5), (0.9, 1e5)] {
            let plan = station("poisson", rho, layout, "1s", messages);
            all.push(check_waits(format!("M/D/{servers} {rho}"), &plan, 40, rho, &exact::mdc(servers, rho)));
        }
    }
    hold(&all);
}

/// A paced producer and several consumers.
#[test]
fn dmc_queues() {
    let mut all = Vec::new();
    for servers in [2, 4] {
        for (rho, messages) in [(0.5, 1e5), (0.8, 2.6e5), (0.9, 1e5)] {
            let plan = station("constant", rho, Layout::shared(servers), "{ exponential: 1s }", messages);
            all.push(check_waits(format!("D/M/{servers} {rho}"), &plan, 40, rho, &exact::dmc(servers, rho)));
        }
    }
    hold(&all);
}

/// Mean wait for service times of several shapes, all with mean 1 s.
fn mg1(services: &[(&str, f64, f64)]) {
    let mut all = Vec::new();
    for &(service, scv, length) in services {
        for (rho, messages) in [(0.5, 1e5), (0.8, 3e5), (0.9, 3e5)] {
            let plan = station("poisson", rho, Layout::Partition, service, length * messages);
            let runs = 40;
            let mut checks = Checks::new(format!("M/G/1 {service} {rho}"), rho == 0.8);
            let waits = (0..runs).map(|replication| {
                let outcome = untraced(&plan, replication);
                outcome.consumers[0].stages.wait as f64 / outcome.consumers[0].latency.count() as f64 / 1e9
            });
            checks.add("mean wait", exact::mg1(rho, scv), waits);
            all.push(checks);
        }
    }
    hold(&all);
}

#[test]
fn mg1_of_little_variance() {
    mg1(&[
        ("{ erlang: { shape: 4, mean: 1s } }", 0.25, 1.0),
        ("{ erlang: { shape: 2, mean: 1s } }", 0.5, 1.0),
        ("{ uniform: [0s, 2s] }", 1.0 / 3.0, 1.0),
    ]);
}

#[test]
fn mg1_of_large_variance() {
    mg1(&[
        ("{ hyperexponential: { mean: 1s, cv: 1.4142135623730951 } }", 2.0, 1.5),
        ("{ hyperexponential: { mean: 1s, cv: 2 } }", 4.0, 2.0),
        ("{ hyperexponential: { mean: 1s, cv: 3.1622776601683795 } }", 10.0, 5.0),
    ]);
}

#[test]
fn mg1_lognormal() {
    // cv of a lognormal with sigma 1: the square root of e - 1.
    mg1(&[("{ lognormal: { mean: 1s, cv: 1.3108324944320862 } }", std::f64::consts::E - 1.0, 3.0)]);
}

/// A consumer publishes to the topic of the next: the time along the whole path is the sum of two exponential times.
#[test]
fn tandem() {
    let (lambda, exact) = (0.5, exact::Tandem::new(0.5, [1.0, 0.8]));
    let seconds = WARM_UP + (1.8e5 / lambda) as u64;
    let plan = plan(&format!(
        "name: tandem\n\
         duration: {seconds}s\n\
         warm_up: {WARM_UP}s\n\
         buses: {{ main: {{ profile: ideal, topics: {{ first: , second: }} }} }}\n\
         producers: {{ source: {{ publishes: first, arrivals: {{ poisson: {lambda}/s }} }} }}\n\
         consumers:\n\
        \x20 a: {{ subscribes: first, service_time: {{ exponential: 1s }}, publishes: second }}\n\
        \x20 b: {{ subscribes: second, service_time: {{ exponential: 1.25s }} }}\n"
    ));
    let paths: Vec<_> = (0..40)
        .map(|replication| untraced(&plan, replication).consumers[1].path.clone().expect("b is fed by a"))
        .collect();
    let mut checks = Checks::new("tandem".into(), true);
    checks.add("mean path", exact.mean(), paths.iter().map(|p| p.sum as f64 / p.latency.count() as f64 / 1e9));
    for q in QUANTILES {
        let found = paths.iter().map(|path| quantile(&path.latency, q) / 1e9);
        checks.add(format!("p{} of the path", 100.0 * q), exact.quantile(q), found);
    }
    hold(&[checks]);
}

/// Keys of unequal weight: each partition is an M/M/1 of its own, one of them nearly full.
#[test]
fn skewed_partitions() {
    let mut all = Vec::new();
    for shares in [[0.5, 0.25, 0.125, 0.125], [0.4, 0.3, 0.2, 0.1], [0.25; 4]] {
        let seconds = WARM_UP + (4e5 / 1.6) as u64;
        let weights: Vec<String> = shares.iter().enumerate().map(|(n, s)| format!("k{n}: {}%", 100.0 * s)).collect();
        let plan = plan(&format!(
            "name: skew\n\
             duration: {seconds}s\n\
             warm_up: {WARM_UP}s\n\
             buses: {{ main: {{ profile: ideal, topics: {{ work: {{ partitions: 4 }} }} }} }}\n\
             producers:\n\
            \x20 source: {{ publishes: work, arrivals: {{ poisson: 1.6/s }}, key: {{ weighted: {{ {} }} }} }}\n\
             consumers: {{ group: {{ subscribes: work, members: 4, service_time: {{ exponential: 1s }} }} }}\n",
            weights.join(", ")
        ));
        let mut checks = Checks::new(format!("skew {shares:?}"), true);
        let outcomes: Vec<Outcome> = (0..40).map(|replication| untraced(&plan, replication)).collect();
        checks.add("mean sojourn", exact::skewed(1.6, &shares), outcomes.iter().map(mean_latency));
        let hottest = |o: &Outcome| {
            let records = &o.topics[0].records;
            records.iter().copied().max().unwrap_or(0) as f64 / records.iter().sum::<u64>() as f64
        };
        if shares[0] > shares[3] {
            checks.add("share of the hottest", shares[0], outcomes.iter().map(hottest));
        }
        all.push(checks);
    }
    hold(&all);
}

fn untraced(plan: &Plan, replication: u32) -> Outcome {
    run(plan, &RunOptions { seed: seed_of(plan, replication), ..RunOptions::default() })
}

fn mean_latency(outcome: &Outcome) -> f64 {
    outcome.consumers[0].stages.total as f64 / outcome.consumers[0].latency.count() as f64 / 1e9
}

/// Nothing is random: arrivals every 10 ms, services of 4 ms, nobody there from 100 s on for T. Within one message, or one
/// sample of the lag, everything is known.
#[test]
fn outage_and_recovery() {
    for (gap_ms, service_ms, outage_s) in [(10u64, 4u64, 60u64), (10, 8, 30), (5, 1, 90), (20, 19, 10)] {
        let plan = plan(&format!(
            "name: outage\n\
             duration: 720s\n\
             buses: {{ main: {{ profile: ideal, topics: {{ work: }} }} }}\n\
             producers: {{ source: {{ publishes: work, arrivals: {{ constant: {}/s }} }} }}\n\
             consumers: {{ station: {{ subscribes: work, service_time: {service_ms}ms }} }}\n\
             faults: [ {{ at: 100s, for: {outage_s}s, target: consumers.station, effect: crash }} ]\n",
            1000 / gap_ms
        ));
        let outcome = traced(&plan);
        let (a, k, t) = (1000.0 / gap_ms as f64, 1000.0 / service_ms as f64, outage_s as f64);
        let gap = gap_ms as f64 / 1000.0;
        let sample = 0.1;
        let station = &outcome.consumers[0];
        let touched = outcome.faults[0].touched[&0];
        let near = |what: &str, found: f64, exact: f64, within: f64| {
            assert!(
                (found - exact).abs() <= within,
                "{a}/s, {k}/s, {t} s: {what} is {found}, should be {exact} +- {within}"
            );
        };
        near("peak lag", touched.lag_peak as f64, a * t, 1.0 + a * sample);
        near("largest lag", station.lag.max as f64, a * t, 1.0 + a * sample);
        near("drain time", touched.drain_time.seconds(), a * t / (k - a), sample + k * gap / (k - a));
        let measured =
            |record: &&edasim::outcome::TraceRecord| record.result == edasim::outcome::DeliveryResult::Effect;
        let effects: Vec<_> = outcome.trace.iter().filter(measured).collect();
        let waits: Vec<f64> = effects.iter().map(|r| (r.start - r.visible).seconds()).collect();
        near("largest wait", waits.iter().copied().fold(0.0, f64::max), t, gap);
        let delayed = waits.iter().filter(|wait| **wait > 0.0).count() as f64;
        near("messages delayed", delayed, a * t * k / (k - a), 1.0 + k / (k - a));
        near("summed wait", waits.iter().sum(), a * t * t * k / (2.0 * (k - a)), t * (1.0 + k / (k - a)));
        assert_eq!(station.ledger.effected + station.ledger.waiting + station.ledger.in_flight, station.ledger.created);
        assert_eq!((touched.not_drained, station.lost.len()), (0, 0));
    }
}

/// What a user reads is what the checks above measure.
#[test]
fn reported_figures_are_those_of_the_outcomes() {
    let plan = station("poisson", 0.8, Layout::Partition, "{ exponential: 1s }", 2e4);
    let result = experiment(&plan, &Request { replications: 8, ..Request::default() });
    let outcomes: Vec<Outcome> = (0..8).map(|replication| untraced(&plan, replication)).collect();
    let count: u64 = outcomes.iter().map(|o| o.consumers[0].latency.count()).sum();
    let total: u128 = outcomes.iter().map(|o| o.consumers[0].stages.total).sum();
    let path = ["consumers", "station", "latency"];
    let number = |key: &str| result.summary.number(&[path[0], path[1], path[2], key]).expect("a latency");
    assert!((number("count") - count as f64).abs() < 0.5);
    assert!((number("mean") - total as f64 / count as f64 / 1e9).abs() < 1e-9, "{}", number("mean"));
    // The jackknife of a quotient: what the pooled mean would be without each run, in turn.
    let (count, total) = (count as f64, total as f64 / 1e9);
    let parts = outcomes.iter().map(|outcome| &outcome.consumers[0]);
    let rests = parts.map(|c| (total - c.stages.total as f64 / 1e9) / (count - c.latency.count() as f64));
    let values: Vec<f64> = rests.map(|rest| 8.0 * (total / count) - 7.0 * rest).collect();
    let half = MeanInterval::of(&values, 0.95).expect("eight runs").half;
    let (low, high) = result.summary.interval(&[path[0], path[1], path[2], "mean"]).expect("an interval");
    let pooled = total / count;
    assert!(
        (low - (pooled - half)).abs() < 1e-7 && (high - (pooled + half)).abs() < 1e-7,
        "{low} {high} {pooled} {half}"
    );
}
