//! Speed as a user sees it: whole processes, from the YAML file to the result document, in interleaved rounds.
//!
//! `cargo bench` runs five rounds; `cargo bench -- 9` nine. Compare the figures of one table only: machines are noisy.

#![expect(clippy::print_stdout, reason = "the table is the result")]
#![expect(clippy::disallowed_methods, reason = "measures the machine, not the model")]
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One line of the table.
struct Case {
    name: &'static str,
    scenario: &'static str,
    arguments: &'static [&'static str],
}

const CASES: [Case; 8] = [
    Case { name: "w1", scenario: "w1", arguments: &["--duration", "12500s"] },
    Case { name: "w2", scenario: "w2", arguments: &["--duration", "200s"] },
    Case {
        name: "w2, parallel on two cores",
        scenario: "w2",
        arguments: &["--duration", "200s", "--schedule", "parallel", "--threads", "2"],
    },
    Case { name: "w2, stepwise", scenario: "w2", arguments: &["--duration", "50s", "--schedule", "stepwise"] },
    Case { name: "w2, 1 M events", scenario: "w2", arguments: &["--duration", "100s"] },
    Case { name: "w2, 10 M events", scenario: "w2", arguments: &["--duration", "1000s"] },
    Case { name: "order-placement, 10 minutes", scenario: "order-placement", arguments: &["--duration", "10m"] },
    Case { name: "w1, about one event", scenario: "w1", arguments: &["--duration", "2ms"] },
];

/// What one process took.
struct Sample {
    wall: Duration,
    peak_kib: u64,
    events: u64,
}

fn measure(case: &Case) -> Sample {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut command = Command::new(env!("CARGO_BIN_EXE_edasim"));
    command.arg("run").arg(folder.join(format!("{}.yaml", case.scenario))).args(case.arguments);
    command.args(["--json", "--replications", "1", "--jobs", "1", "--set", "warm_up=0s"]);
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::read_to_string(out).unwrap());
    let mut peak_kib = 0;
    // The high-water mark is that of the whole life so far: the last look before the end is good enough.
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak_kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak_kib);
        std::thread::sleep(Duration::from_millis(2));
    }
    let wall = start.elapsed();
    let document: serde_json::Value = serde_json::from_str(&reader.join().unwrap()).unwrap();
    let consumers = document["consumers"].as_object().unwrap().values();
    let events = consumers.map(|consumer| consumer["latency"]["count"].as_u64().unwrap_or(0)).max().unwrap();
    Sample { wall, peak_kib, events }
}

fn main() {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(5);
    let mut samples: Vec<Vec<Sample>> = CASES.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (case, samples) in CASES.iter().zip(&mut samples) {
            samples.push(measure(case));
        }
    }
    println!("{:28} {:>11} {:>9} {:>9} {:>12} {:>9}", "case", "events", "best s", "median s", "M events/s", "peak MiB");
    let mut rates = Vec::new();
    for (case, samples) in CASES.iter().zip(&mut samples) {
        samples.sort_by_key(|sample| sample.wall);
        let (best, median) = (&samples[0], &samples[samples.len() / 2]);
        let rate = best.events as f64 / best.wall.as_secs_f64() / 1e6;
        let peak = samples.iter().map(|sample| sample.peak_kib).max().unwrap_or(0) as f64 / 1024.0;
        rates.push(rate);
        println!(
            "{:28} {:>11} {:>9.3} {:>9.3} {:>12.3} {:>9.1}",
            case.name,
            best.events,
            best.wall.as_secs_f64(),
            median.wall.as_secs_f64(),
            rate,
            peak
        );
    }
    println!(
        "\nw2 in parallel on two cores: {:.2} times one core; stepwise: {:.2} times",
        rates[2] / rates[1],
        rates[3] / rates[1]
    );
}
