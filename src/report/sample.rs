//! A hand-made summary for tests of text and pictures: three consumers, one fault, one change, one warning.

use serde_json::{Value, json};

use crate::metrics::{Unit, find};
use crate::stats::Histogram;
use crate::summary::{
    Axis, Beside, Comparison, ConsumerCurves, Contrast, Design, Figure, Finding, Judged, Knob, Order, Point, Probe,
    Reading, Relation, Response, Reversal, Sizing, Step, Summary, Sweep, Swept, Verdict, Warning, Window, Worse,
};
use crate::time::{SimSpan, SimTime};

/// A log-logistic latency with this median (seconds) and shape: heavy tails without a random number.
fn latency(median: f64, shape: f64, count: u32) -> Histogram {
    let mut histogram = Histogram::default();
    for i in 0..count {
        let u = (f64::from(i) + 0.5) / f64::from(count);
        histogram.record(SimSpan::from_nanos_f64(median * 1e9 * libm::pow(u / (1.0 - u), 1.0 / shape)).0);
    }
    histogram
}

/// Lag that rises while the fault lasts (minutes 30 to 40) and drains until minute 52.
fn curves(name: &str, latency: Histogram, peak: f64) -> ConsumerCurves {
    let points = 240;
    let at = |i: i32| f64::from(i + 1) * 0.5;
    let shape = |minute: f64| match minute {
        m if m < 30.0 => 0.0,
        m if m < 40.0 => (m - 30.0) / 10.0,
        m if m < 52.0 => (52.0 - m) / 12.0,
        _ => 0.0,
    };
    let ripple = |i: i32| 12.0 + f64::from(i * 7 % 5);
    ConsumerCurves {
        name: name.into(),
        latency,
        interval: SimSpan::from_seconds(30),
        lag: (0..points).map(|i| peak * shape(at(i)) + ripple(i)).collect(),
        lag_max: (0..points).map(|i| 1.1 * peak * shape(at(i)) + 2.0 * ripple(i)).collect(),
        lag_time: (0..points).map(|i| peak / 500.0 * shape(at(i)) + 0.02 * ripple(i)).collect(),
        members: Vec::new(),
    }
}

/// The metrics of one consumer whose latency is this histogram.
fn consumer(latency: &Histogram, waits: f64, lag: f64) -> serde_json::Value {
    let q = |q: f64| latency.quantile(q) as f64 / 1e9;
    let mean =
        latency.iter().map(|(low, _, count)| low as f64 * count as f64).sum::<f64>() / latency.count() as f64 / 1e9;
    let part = |share: f64| json!({ "mean": mean * share });
    json!({
        "latency": {
            "mean": mean, "p50": q(0.5), "p90": q(0.9), "p95": q(0.95), "p99": q(0.99), "p99.9": q(0.999),
            "p99.99": q(0.9999), "max": latency.max() as f64 / 1e9, "count": latency.count(),
            "stages": { "buffer": part(0.008), "publish": part(0.03), "dispatch": part(0.002), "wait": part(waits),
                        "service": part(0.95 - waits), "retry": part(0.01) }
        },
        "lag": { "max": lag, "max_at": 2_401.5, "end": 14, "time": { "max": lag / 500.0, "max_at": 2_395.0 } },
        "drain_time": if lag > 1_000.0 { json!(742.5) } else { json!(null) },
        "utilisation": 0.712 + waits / 2.0, "offered_load": 0.7 + waits / 2.0, "throughput": 499.8,
        "attempts": 3_570_000, "failures": 7_131, "cut_off": 0, "rebalances": 1, "rewinds": 0, "overlap": 0,
        "ledger": { "created": 3_570_214, "rejected": 0, "indeterminate": 0, "publishing": 3, "stored": 3_570_211,
                    "effected": 3_570_190, "filtered": 0, "skipped": 0, "discarded": 0, "dead_lettered": 7,
                    "waiting": 2, "in_flight": 12 },
        "duplicates": { "log": 0, "deliveries": 211, "effects": 0, "suppressed": 211, "dead_letters": 0 },
        "lost": { "total": 0, "by_cause": {} }, "order_violations": 0, "anomalies": {},
        "reordered": { "ratio": 0.0, "extent": { "max": 0 }, "late_time": { "max": 0.0 } }
    })
}

/// A judged claim: its value with the interval, and why.
fn judged(text: &str, verdict: Verdict, figure: (f64, Option<(f64, f64)>), reason: Option<&str>) -> Judged {
    Judged {
        text: text.into(),
        limit: f64::NAN,
        verdict,
        value: Some(figure.0),
        interval: figure.1,
        needed: None,
        reason: reason.map(Into::into),
        unfinished: false,
        place: (60, 3),
        file: "scenarios/order-placement.yaml".into(),
        path: Vec::new(),
        op: crate::plan::Comparison::Less,
        during: text.contains(" during "),
    }
}

/// A summary of services alone, for their pictures.
pub(super) fn services() -> Summary {
    let response = |name: &str, median: f64| Response { name: name.into(), time: latency(median, 3.0, 20_000) };
    let mut metrics = summary().metrics;
    metrics["reads"] = json!({
        "feed": { "stale": { "curve": [[0.0, 0.62], [0.01, 0.62], [0.02, 0.58], [0.05, 0.31], [0.1, 0.12], [0.2, 0.002]] } },
        "search": { "stale": { "curve": [[0.0, 0.4], [0.2, 0.4], [0.5, 0.35], [1.0, 0.2], [2.0, 0.05], [5.0, 0.0]] } },
        "profile": { "stale": { "curve": [[0.0, 0.0]] } },
    });
    Summary {
        metrics,
        batches: None,
        found_warm_up: None,
        curves: Vec::new(),
        responses: vec![response("checkout", 0.21), response("search", 0.03)],
        warnings: Vec::new(),
        windows: Vec::new(),
        ..summary()
    }
}

/// The summary.
pub(super) fn summary() -> Summary {
    let (email, fraud, analytics) =
        (latency(0.24, 2.6, 40_000), latency(0.016, 6.0, 40_000), latency(0.104, 14.0, 40_000));
    let window = |name: &str, fault, touches: &str, from, to| Window {
        name: name.into(),
        fault,
        touches: vec![touches.into()],
        from: SimTime::ZERO + SimSpan::from_seconds(from),
        to: SimTime::ZERO + SimSpan::from_seconds(to),
    };
    Summary {
        batches: None,
        found_warm_up: None,
        scenario: "order-placement".into(),
        seed: 42,
        replications: 10,
        replications_asked: 10,
        duration: SimSpan::from_seconds(7_200),
        warm_up: SimSpan::from_seconds(60),
        warnings: vec![Warning {
            code: "W001",
            about: "consumers.email".into(),
            text: "Overloaded from 30m 00s to 40m 00s: the offered load is 1,032 workers, there are 144. Latency \
                   percentiles depend on how long that lasts."
                .into(),
        }],
        metrics: metrics([&email, &fraud, &analytics]),
        ci95: json!({ "consumers": { "email": { "latency": { "p99": [1.36, 1.46] } },
            "fraud": { "latency": { "p99": [0.0339, 0.0341] } }, "analytics": { "latency": { "p99": [0.143, 0.146] } } } }),
        estimates: estimates(),
        expectations: vec![
            judged("email.drain_time < 15m", Verdict::Holds, (742.5, None), None),
            judged("fraud.latency.p99 < 50ms", Verdict::Holds, (0.034, Some((0.0339, 0.0341))), None),
            judged("email.lag.max < 142k", Verdict::Undecided, (142_011.0, None), Some("holds in 8 of 10 runs")),
            judged("email.latency.p99 < 1s during 30m..40m", Verdict::Fails, (241.0, Some((238.0, 244.0))), None),
        ],
        curves: vec![
            curves("analytics", analytics, 150.0),
            curves("email", email, 142_000.0),
            curves("fraud", fraud, 40.0),
        ],
        responses: Vec::new(),
        windows: vec![
            window("slow consumers.email", true, "email", 1_800, 2_400),
            window("scale consumers.email to 12", false, "email", 2_700, 7_200),
        ],
        command: "edasim run order-placement.yaml --seed 42 --replications 10".into(),
    }
}

/// Its metrics.
fn metrics([email, fraud, analytics]: [&Histogram; 3]) -> Value {
    let mut metrics = json!({
        "producers": { "order-service": { "created": 3_570_214, "publish": {
            "latency": { "mean": 0.0062, "p50": 0.0061, "p90": 0.0088, "p99": 0.0113, "max": 0.0371 },
            "rate": 495.9, "rejected": 0, "indeterminate": 0, "publishing": 3, "retries": 0 } } },
        "topics": { "orders.OrderPlaced": { "partitions": 12, "created": 3_570_214, "stored": 3_570_211,
            "records": 3_600_455, "bytes": 1.9e9, "hot_partition": { "share": 0.109, "partition": 4 },
            "converged": { "p50": 0.26, "p99": 287.0 }, "not_converged": 14 } },
        "consumers": { "email": consumer(email, 0.62, 142_011.0), "fraud": consumer(fraud, 0.05, 61.0),
            "analytics": consumer(analytics, 0.3, 180.0) },
        "faults": [ { "name": "slow consumers.email", "occurrences": [[1_800.0, 2_400.0]], "count": 10,
            "touched": { "email": { "lag_before": 24, "lag_peak": 142_011, "drain_time": 742.5, "not_drained": 0,
                "redeliveries": 211, "lost": 0, "order_violations": 0 } },
            "noticed": ["email"], "unnoticed": ["analytics", "fraud"], "out_of_reach": ["fraud"] } ],
        "events": { "converged": { "p99": 287.0 } }
    });
    metrics["consumers"]["email"]["lost"] = json!({ "total": 3, "by_cause": { "attempts_exhausted": 3 } });
    let first = |event: &str, at: f64| json!({ "event": event, "run": 3, "key": "41", "created": at - 1.0, "at": at });
    metrics["consumers"]["email"]["causes"] = json!([ { "defect": "lost", "cause": "attempts_exhausted", "count": 3,
        "first": first("order-service#9031", 1_812.5) } ]);
    metrics["consumers"]["analytics"]["causes"] = json!([ { "defect": "late", "cause": "overtaken", "count": 17,
        "first": first("order-service#17", 12.25) } ]);
    metrics["consumers"]["analytics"]["order_violations"] = json!(17);
    metrics["consumers"]["analytics"]["anomalies"] = json!({ "nonmonotonic_poll": { "count": 17, "allowed": true,
        "reason": "three workers of a member share a partition" } });
    metrics
}

/// What formulas say of it: one consumer that agrees, one that does not, one without a steady state, and an outage.
fn estimates() -> Vec<Beside> {
    let figure = |key, unit, estimate: f64, simulated| Figure {
        key,
        unit,
        estimate: (estimate >= 0.0).then_some(estimate),
        simulated,
        interval: None,
    };
    let consumer = |name: &str, formula: &str, accuracy, [load, busiest, wait, mean, p99]: [(f64, f64); 5]| Beside {
        section: "consumers",
        name: name.into(),
        at: None,
        formula: formula.into(),
        accuracy,
        figures: vec![
            figure("offered_load", Unit::Number, load.0, Some(load.1)),
            figure("busiest", Unit::Number, busiest.0, None),
            figure("peak_load", Unit::Number, busiest.0, None),
            figure("wait", Unit::Seconds, wait.0, Some(wait.1)),
            figure("latency.mean", Unit::Seconds, mean.0, Some(mean.1)),
            figure("latency.p99", Unit::Seconds, p99.0, Some(p99.1)),
        ],
        remark: None,
    };
    let nothing = -1.0;
    let mut all = vec![
        consumer(
            "analytics",
            "3 x batch 34.3",
            "good",
            [(0.0194, 0.0193), (0.0194, 0.0), (0.104, 0.103), (0.114, 0.113), (nothing, 0.211)],
        ),
        consumer(
            "email",
            "6 x G/G/24",
            "rough",
            [(0.856, 0.871), (0.912, 0.0), (0.012, 57.3), (0.266, 57.6), (0.91, 525.0)],
        ),
        consumer(
            "fraud",
            "12 x M/M/1",
            "exact",
            [(0.45, 0.449), (1.36, 0.0), (nothing, 15.5), (nothing, 15.7), (nothing, 150.0)],
        ),
    ];
    all[1].remark = Some(
        "Wait 57.3s, by formula 12.0ms. In the run, not in the formula: the fault `slow consumers.email`, which by the \
         fluid adds 56.8s to the mean wait."
            .into(),
    );
    all[2].figures.push(figure("lag.max", Unit::Count, 23_900.0, Some(24_012.0)));
    all.push(Beside {
        section: "faults",
        name: "slow consumers.email".into(),
        at: Some("email".into()),
        formula: "fluid".into(),
        accuracy: "rough",
        figures: vec![
            figure("backlog", Unit::Count, 139_872.0, Some(142_011.0)),
            figure("drain_time", Unit::Seconds, 731.0, Some(742.5)),
        ],
        remark: None,
    });
    all
}

/// The sample as the base, and a design with more members in which e-mail is quicker.
pub(super) fn comparison() -> Comparison {
    let mut more = summary();
    more.warnings.clear();
    more.expectations.truncate(2);
    more.curves[1] = curves("email", latency(0.2, 2.8, 40_000), 40_000.0);
    let contrasts = vec![
        contrast("consumers/email/latency/mean", (0.42, 0.31), Some(0.012), Relation::Lower),
        contrast("consumers/email/latency/p99", (1.41, 1.02), Some(0.031), Relation::Lower),
        contrast("consumers/email/latency/max", (244.0, 71.0), Some(9.0), Relation::Lower),
        contrast("consumers/email/lag/max", (142_011.0, 40_020.0), Some(812.5), Relation::Lower),
        contrast("consumers/email/utilisation", (0.71, 0.36), Some(0.004), Relation::Lower),
        contrast("consumers/email/lost/total", (3.0, 3.0), Some(0.0), Relation::Identical),
        contrast("consumers/fraud/latency/p99", (0.034, 0.034_02), Some(0.000_05), Relation::Unclear),
        contrast("consumers/fraud/order_violations", (0.0, 0.0), Some(0.0), Relation::Identical),
        contrast("consumers/analytics/latency/p99", (0.144, 0.144), Some(0.0), Relation::Identical),
        contrast("producers/order-service/publish/latency/p99", (0.0113, 0.0113), Some(0.0), Relation::Identical),
        contrast("events//converged/p99", (287.0, 90.0), None, Relation::OneRun),
    ];
    Comparison {
        designs: vec![
            Design { name: "as-is".into(), summary: summary() },
            Design { name: "more-members".into(), summary: more },
        ],
        contrasts: vec![contrasts],
        level: 0.95,
        warnings: Vec::new(),
        command: "edasim compare order-placement.yaml --seed 42 --replications 10".into(),
    }
}

/// Something that has become worse.
pub(super) fn worse() -> Worse {
    Worse {
        design: String::new(),
        name: "email.latency.p99".into(),
        unit: Some(Unit::Seconds),
        was: 1.2,
        was_interval: Some((1.15, 1.25)),
        is: 1.41,
        is_interval: Some((1.36, 1.46)),
        place: None,
    }
}

/// A metric of two designs, with half the width of the interval of its difference.
fn contrast(path: &str, (base, value): (f64, f64), half: Option<f64>, relation: Relation) -> Contrast {
    let keys: Vec<&str> = path.split('/').collect();
    let unit = find(keys[0], &keys[2..].join(".")).map_or(Unit::Number, |metric| metric.unit);
    let difference = value - base;
    Contrast {
        path: keys.iter().filter(|key| !key.is_empty()).map(|key| (*key).to_owned()).collect(),
        unit,
        by_run: path.ends_with("max"),
        count: path.ends_with("total"),
        base: Some(base),
        value: Some(value),
        difference: Some(difference),
        interval: half.map(|half| (difference - half, difference + half)),
        relation,
        needed: (relation == Relation::Unclear).then_some(77),
        reason: None,
    }
}

/// A sweep of members, or of members and service time, in which more members help up to four.
pub(super) fn sweep(axes: usize) -> Sweep {
    let axis = |path: &str, values: &[&str]| Axis {
        path: path.into(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        positions: None,
    };
    let mut members = axis("consumers.email.members", &["2", "4", "8", "16"]);
    members.positions = Some(vec![2.0, 4.0, 8.0, 16.0]);
    let others = [axis("consumers.email.service_time", &["20ms", "{ exponential: 20ms }"])];
    let columns = if axes == 1 { 1 } else { 2 };
    let swept = |path: [&str; 4], unit| Swept { path: path.map(String::from).into(), unit };
    let reading = |value: f64| Some(Reading { value, interval: Some((0.9 * value, 1.1 * value)) });
    let point = |at: usize| {
        let slow = if columns == 2 && at % 2 == 1 { 1.4 } else { 1.0 };
        let latency = slow * [61.5, 0.412, 0.388, 0.381][at / columns];
        let verdict = if latency > 1.0 { Verdict::Fails } else { Verdict::Holds };
        let warnings = if latency > 1.0 { vec!["W001".into(), "W003".into()] } else { vec!["W003".into()] };
        let lag = if at == 0 { None } else { reading(100.0 - at as f64) };
        Point { readings: vec![reading(latency), lag], verdict: Some(verdict), warnings }
    };
    Sweep {
        scenario: "order-placement".into(),
        seed: 42,
        replications: 10,
        duration: SimSpan::from_seconds(7_200),
        axes: [members].into_iter().chain(others.into_iter().take(axes - 1)).collect(),
        metrics: vec![
            swept(["consumers", "email", "latency", "p99"], Unit::Seconds),
            swept(["consumers", "email", "lag", "max"], Unit::Count),
        ],
        points: (0..4 * columns).map(point).collect(),
        knees: vec![(axes == 1).then_some(1), None],
        command: "edasim sweep order-placement.yaml --vary consumers.email.members=2,4,8,16".into(),
    }
}

/// A claim that something is below a limit, judged by its interval.
fn below(text: &str, limit: f64, (low, high): (f64, f64)) -> Judged {
    let verdict = match (low < limit, high < limit) {
        (true, true) => Verdict::Holds,
        (false, false) => Verdict::Fails,
        _ => Verdict::Undecided,
    };
    Judged { limit, ..judged(text, verdict, ((low + high) / 2.0, Some((low, high))), None) }
}

/// A design with its latency and how long it drains.
fn probe(at: &[usize], cost: f64, latency: (f64, f64), drain: f64) -> Probe {
    let latency = below("email.latency.p99 < 2s", 2.0, latency);
    let drained = if drain < 120.0 { Verdict::Holds } else { Verdict::Fails };
    let drain = Judged { limit: 120.0, ..judged("email.drain_time < 2m", drained, (drain, None), None) };
    let replications = if latency.verdict == Verdict::Undecided { 40 } else { 5 };
    Probe { at: at.to_vec(), cost, found: Finding { replications, judged: vec![latency, drain], warnings: Vec::new() } }
}

fn knob(path: &str, values: std::ops::RangeInclusive<u32>, cost: f64, order: Order) -> Knob {
    Knob {
        path: path.into(),
        values: values.clone().map(|value| value.to_string()).collect(),
        numbers: values.map(f64::from).collect(),
        cost,
        order,
        present: Some("4".into()),
    }
}

/// A search with one knob, or two. With one, the answer has an undecided neighbour; with two, a range has an end.
pub(super) fn sizing(knobs: usize) -> Sizing {
    let members = |order| knob("consumers.email.members", 1..=32, if knobs == 1 { 1.0 } else { 2.5 }, order);
    let (fails, close, fine) = ((4.1, 5.5), (1.9, 2.05), (1.31, 1.55));
    let one = || {
        vec![
            probe(&[3], 4.0, (40.0, 48.0), 610.0),
            probe(&[4], 5.0, close, 70.0),
            probe(&[5], 6.0, fine, 61.0),
            probe(&[16], 17.0, (0.4, 0.41), 12.0),
        ]
    };
    let two = || {
        vec![
            probe(&[2, 0], 9.5, fails, 300.0),
            probe(&[1, 3], 10.0, fails, 130.0),
            probe(&[2, 1], 10.5, fine, 90.0),
            probe(&[3, 3], 15.0, (0.4, 0.41), 12.0),
        ]
    };
    let step = |knob, probe| Step { knob, probe };
    let mut sizing = Sizing {
        scenario: "order-placement".into(),
        seed: 42,
        replications: 5,
        max_replications: 40,
        level: 0.9875,
        duration: SimSpan::from_seconds(7_200),
        knobs: vec![members(Order::Assumed)],
        probes: one(),
        answer: Some(2),
        closest: None,
        smaller: vec![step(0, 1), step(0, 0)],
        rests_on: vec![1],
        reversals: Vec::new(),
        command: "edasim size order-placement.yaml --minimise consumers.email.members=1..32".into(),
        run: "edasim run order-placement.yaml --set consumers.email.members=6".into(),
    };
    if knobs == 2 {
        sizing.knobs.push(knob("consumers.email.settings.prefetch", 2..=5, 1.0, Order::Unknown));
        sizing.probes = two();
        sizing.smaller = vec![step(1, 0)];
        sizing.rests_on = vec![0, 1];
    }
    sizing
}

/// A search that found nothing, with an order that did not hold.
pub(super) fn no_design() -> Sizing {
    let warning = Warning { code: "W001", about: "consumers.email".into(), text: "Overloaded to the end.".into() };
    let mut probes = vec![
        probe(&[0], 1.0, (9.0, 9.5), 610.0),
        probe(&[1], 2.0, (2.1, 2.2), 70.0),
        probe(&[7], 8.0, (3.0, 3.1), 61.0),
    ];
    probes[1].found.warnings.push(warning);
    Sizing {
        knobs: vec![knob("consumers.email.workers", 1..=8, 1.0, Order::Refuted)],
        probes,
        answer: None,
        closest: Some(1),
        smaller: Vec::new(),
        rests_on: vec![0, 1, 2],
        reversals: vec![Reversal { less: 1, more: 2, objective: 0 }],
        ..sizing(1)
    }
}
