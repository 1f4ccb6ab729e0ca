//! A hand-made summary for tests of text and pictures: three consumers, one fault, one change, one warning.

use serde_json::json;

use crate::stats::Histogram;
use crate::summary::{ConsumerCurves, Judged, Summary, Verdict, Warning, Window};
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
        "duplicates": { "log": 0, "deliveries": 211, "effects": 0, "suppressed": 211 },
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
    }
}

/// The summary.
pub(super) fn summary() -> Summary {
    let (email, fraud, analytics) =
        (latency(0.24, 2.6, 40_000), latency(0.016, 6.0, 40_000), latency(0.104, 14.0, 40_000));
    let mut metrics = json!({
        "producers": { "order-service": { "created": 3_570_214, "publish": {
            "latency": { "mean": 0.0062, "p50": 0.0061, "p90": 0.0088, "p99": 0.0113, "max": 0.0371 },
            "rate": 495.9, "rejected": 0, "indeterminate": 0, "publishing": 3, "retries": 0 } } },
        "topics": { "orders.OrderPlaced": { "partitions": 12, "created": 3_570_214, "stored": 3_570_211,
            "records": 3_600_455, "bytes": 1.9e9, "hot_partition": { "share": 0.109, "partition": 4 },
            "converged": { "p50": 0.26, "p99": 287.0 }, "not_converged": 14 } },
        "consumers": { "email": consumer(&email, 0.62, 142_011.0), "fraud": consumer(&fraud, 0.05, 61.0),
            "analytics": consumer(&analytics, 0.3, 180.0) },
        "faults": [ { "name": "slow consumers.email", "occurrences": [[1_800.0, 2_400.0]], "count": 10,
            "touched": { "email": { "lag_before": 24, "lag_peak": 142_011, "drain_time": 742.5, "not_drained": 0,
                "redeliveries": 211, "lost": 0, "order_violations": 0 } },
            "noticed": ["email"], "unnoticed": ["analytics", "fraud"], "out_of_reach": ["fraud"] } ],
        "events": { "converged": { "p99": 287.0 } }
    });
    metrics["consumers"]["email"]["lost"] = json!({ "total": 3, "by_cause": { "attempts_exhausted": 3 } });
    metrics["consumers"]["analytics"]["order_violations"] = json!(17);
    metrics["consumers"]["analytics"]["anomalies"] = json!({ "nonmonotonic_poll": { "count": 17, "allowed": true,
        "reason": "three workers of a member share a partition" } });
    let window = |name: &str, fault, touches: &str, from, to| Window {
        name: name.into(),
        fault,
        touches: vec![touches.into()],
        from: SimTime::ZERO + SimSpan::from_seconds(from),
        to: SimTime::ZERO + SimSpan::from_seconds(to),
    };
    Summary {
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
        metrics,
        ci95: json!({ "consumers": { "email": { "latency": { "p99": [1.36, 1.46] } },
            "fraud": { "latency": { "p99": [0.0339, 0.0341] } }, "analytics": { "latency": { "p99": [0.143, 0.146] } } } }),
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
        windows: vec![
            window("slow consumers.email", true, "email", 1_800, 2_400),
            window("scale consumers.email to 12", false, "email", 2_700, 7_200),
        ],
        command: "edasim run order-placement.yaml --seed 42 --replications 10".into(),
    }
}
