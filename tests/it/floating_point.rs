//! The same bytes with and without the processor's newer instructions: the C library picks its mathematical functions by
//! them, and results must not depend on those.

use std::process::Command;

/// Every sampler at work, and every kind of dispatch.
const SCENARIO: &str = "
name: floating-point
duration: 60s
replications: 2
buses:
  log:   { profile: kafka, topics: { orders: { partitions: 6 }, later: { partitions: 3 } } }
  queue: { profile: rabbitmq-classic, queues: { jobs: } }
producers:
  shop:
    publishes: orders
    arrivals: { mmpp: { rates: [50/s, 300/s], stay: [5s, 2s] } }
    key: { zipf: { keys: 10k, exponent: 0.8 } }
    size: { lognormal: { median: 480B, p99: 2KiB } }
  office:
    publishes: jobs
    arrivals: { renewal: { weibull: { mean: 10ms, cv: 1.5 } } }
consumers:
  email:
    subscribes: orders
    members: 3
    workers: 4
    order: key
    service_time: { lognormal: { median: 20ms, p99: 90ms } }
    publishes: { to: later, probability: 60% }
    failure: 2%
    retry: { attempts: 3, backoff: { base: 5ms, factor: 1.7, max: 1s }, jitter: full }
  fraud:   { subscribes: orders, members: 2, service_time: { gamma: { mean: 3ms, cv: 0.6 } } }
  archive: { subscribes: later, service_time: { erlang: { shape: 3, mean: 4ms } } }
  clerks:  { subscribes: jobs, members: 4, service_time: { hyperexponential: { mean: 20ms, cv: 2 } } }
faults:
  - { at: { uniform: [10s, 20s] }, for: { triangular: [1s, 2s, 5s] }, target: consumers.email.members.any, effect: crash }
  - { at: 30s, for: 10s, target: consumers.fraud, effect: { slow: 3.3x } }
";

/// The document that the program prints, under some settings of the C library.
fn printed(tunables: Option<&str>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("floating-point.yaml");
    std::fs::write(&file, SCENARIO).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_edasim"));
    command.arg("run").arg("floating-point.yaml").arg("--json").current_dir(folder.path()).env_remove("GLIBC_TUNABLES");
    if let Some(tunables) = tunables {
        command.env("GLIBC_TUNABLES", tunables);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_processor_does_not_matter() {
    let with = printed(None);
    let without = printed(Some("glibc.cpu.hwcaps=-AVX2,-FMA"));
    assert!(with.contains("\"digest\"") && with.len() > 5000, "a whole document: {with}");
    assert!(with == without, "two documents of one scenario:\n{with}\n{without}");
}

/// The program prints what the library makes, whatever was compiled how.
#[test]
fn program_and_library_agree() {
    let plan = crate::support::plan(SCENARIO);
    let made = crate::support::result_document(&plan, &edasim::experiment::Request::default());
    let printed = printed(None);
    assert_eq!(made.trim(), printed.trim());
}
