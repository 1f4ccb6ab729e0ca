//! The program as its users meet it: exit codes, what goes where, and files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folder;

use std::fs;
use std::process::{Command, Stdio};

use folder::{Folder, SMALL, code, stderr, stdout};

#[test]
fn a_run_prints_its_report_and_nothing_else() {
    let output = Folder::new().run(&["run", "small.yaml"]);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    let text = stdout(&output);
    assert!(text.starts_with("Does it work?\n\nsmall  1 run of 10s"), "{text}");
    assert!(text.ends_with("repeat  edasim run small.yaml --seed 7 --replications 1\n"), "{text}");
    assert!(!text.contains("Not shown") && text.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn columns_are_respected() {
    let output = Folder::new().command(&["run", "small.yaml"]).env("COLUMNS", "60").output().unwrap();
    let lines = stdout(&output).lines().filter(|line| !line.starts_with("digest") && !line.starts_with("repeat"));
    assert!(lines.map(|line| line.chars().count()).max() <= Some(60), "{}", stdout(&output));
}

#[test]
fn the_repeat_line_repeats_the_result() {
    let folder = Folder::new();
    let args =
        ["run", "small.yaml", "--set", "producers.shop.arrivals={poisson: 20/s}", "--duration", "20s", "--seed", "9"];
    let first = folder.run(&args);
    let line = stdout(&first).lines().last().unwrap().strip_prefix("repeat  edasim ").unwrap().to_owned();
    assert!(line.contains("--set 'producers.shop.arrivals={poisson: 20/s}'"), "{line}");
    let mut words: Vec<&str> = line.split(' ').collect();
    let at = words.iter().position(|word| word.starts_with('\'')).unwrap();
    words.splice(at..at + 2, ["producers.shop.arrivals={poisson: 20/s}"]);
    assert_eq!(folder.run(&words).stdout, first.stdout);
}

#[test]
fn wrong_input_and_usage_is_2() {
    let folder = Folder::new();
    folder.write("bad.yaml", "nmae: x\n");
    for args in [
        &["run", "bad.yaml"][..],
        &["check", "bad.yaml"],
        &["run", "small.yaml", "--set", "consumers.nobody.members=3"],
        &["run", "small.yaml", "--replications", "0"],
        &["run", "small.yaml", "--jobs", "0"],
        &["run", "small.yaml", "--sead", "3"],
        &["run"],
        &[],
    ] {
        let output = folder.run(args);
        assert_eq!((code(&output), stdout(&output)), (2, ""), "{args:?}: {}", stderr(&output));
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn help_and_version_are_0() {
    for args in [&["--help"][..], &["run", "--help"], &["--version"]] {
        let output = Folder::new().run(args);
        assert_eq!((code(&output), stderr(&output)), (0, ""), "{args:?}");
    }
}

#[test]
fn files_that_cannot_be_read_or_written_are_1() {
    let folder = Folder::new();
    for args in [
        &["run", "nowhere.yaml"][..],
        &["run", "small.yaml", "--out", "small.yaml"],
        &["run", "small.yaml", "--out", "small.yaml/inside"],
        &["run", "small.yaml", "--trace-records", "."],
        &["init", "small.yaml/new.yaml"],
    ] {
        let output = folder.run(args);
        assert_eq!((code(&output), stdout(&output)), (1, ""), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).starts_with("error: cannot "), "{args:?}: {}", stderr(&output));
    }
    assert_eq!(fs::read_to_string(folder.path().join("small.yaml")).unwrap(), SMALL);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_1() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Folder::new().command(&["run", "small.yaml"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("cannot write to standard output"), "{}", stderr(&output));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = Folder::new();
    let mut child = folder.command(&["run", "small.yaml"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_expectation_that_fails_is_3() {
    let folder = Folder::new();
    folder.write("claims.yaml", &format!("{SMALL}expect: [ email.latency.p50 < 1ms, email.lost == 0 ]\n"));
    let output = folder.run(&["run", "claims.yaml"]);
    assert_eq!(code(&output), 3);
    assert!(stdout(&output).contains("FAILS      1 of 2 expectations fails\n"), "{}", stdout(&output));
    let output = folder.run(&["run", "claims.yaml", "--quiet"]);
    assert_eq!((code(&output), stdout(&output)), (3, ""));
    assert_eq!(stderr(&output), "email.latency.p50 < 1ms fails\n");
}

#[test]
fn results_go_to_files() {
    let folder = Folder::new();
    let args = ["run", "small.yaml", "--json", "--out", "new/results", "--trace-records", "deliveries.csv"];
    let output = folder.run(&args);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    let results = folder.path().join("new/results");
    let mut names: Vec<String> =
        fs::read_dir(&results).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected =
        ["lag-email.svg", "latency-percentiles.svg", "latency-spread-email.svg", "report.txt", "result.json"];
    assert_eq!(names, expected);
    assert_eq!(fs::read(results.join("result.json")).unwrap(), output.stdout);
    assert!(fs::read_to_string(results.join("report.txt")).unwrap().starts_with("Does it work?"));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let effected = document["consumers"]["email"]["ledger"]["effected"].as_u64().unwrap();
    let records = fs::read_to_string(folder.path().join("deliveries.csv")).unwrap();
    assert!(records.starts_with("consumer,member,topic,retry,partition,offset,"));
    assert_eq!(records.lines().filter(|line| line.ends_with(",effect")).count() as u64, effected);

    let before: Vec<Vec<u8>> = names.iter().map(|name| fs::read(results.join(name)).unwrap()).collect();
    folder.run(&args);
    let after: Vec<Vec<u8>> = names.iter().map(|name| fs::read(results.join(name)).unwrap()).collect();
    assert!(before == after, "a second run wrote other bytes");
}

#[test]
fn the_schedule_does_not_matter() {
    let folder = Folder::new();
    let document = |schedule: &str| {
        let args = ["run", "small.yaml", "--json", "--schedule", schedule, "--threads", "2"];
        String::from_utf8(folder.run(&args).stdout).unwrap()
    };
    let windowed = document("windowed");
    assert!(windowed.len() > 1_000);
    assert_eq!(windowed, document("stepwise"));
    assert_eq!(windowed, document("parallel"));
}

#[test]
fn init_writes_a_scenario_that_runs_and_overwrites_nothing() {
    let folder = Folder::new();
    assert_eq!(code(&folder.run(&["init"])), 0);
    let check = folder.run(&["check", "scenario.yaml"]);
    assert_eq!((code(&check), stderr(&check)), (0, ""));
    assert!(stdout(&check).starts_with("scenario.yaml: no mistakes; "), "{}", stdout(&check));
    let again = folder.run(&["init", "small.yaml"]);
    assert_eq!((code(&again), stdout(&again)), (2, ""));
    assert_eq!(fs::read_to_string(folder.path().join("small.yaml")).unwrap(), SMALL);
}

#[test]
fn check_checks_what_run_runs() {
    let folder = Folder::new();
    folder.write("vary.yaml", &(SMALL.to_owned() + "vary: { more: { consumers.email.members: 3 }, base: {} }\n"));
    let explained = folder.run(&["check", "vary.yaml", "--variant", "more", "--duration", "20s", "--explain"]);
    assert_eq!(code(&explained), 0, "{}", stderr(&explained));
    let line = |key: &str| stdout(&explained).lines().find(|line| line.contains(key)).unwrap_or_default().to_owned();
    assert!(line("  members").contains('3'), "{}", stdout(&explained));
    assert!(line("duration").contains("20s"), "{}", stdout(&explained));
    for wrong in [["--set", "consumers.email.members=none"], ["--variant", "fewer"]] {
        let [check, run] = ["check", "run"].map(|command| folder.run(&[&[command, "vary.yaml"], &wrong[..]].concat()));
        assert_eq!((code(&check), stderr(&check)), (2, stderr(&run)));
    }
}

#[test]
fn check_explains() {
    let output = Folder::new().run(&["check", "small.yaml", "--explain"]);
    assert_eq!(code(&output), 0);
    assert!(
        stdout(&output).contains("service_time") && stdout(&output).contains("small.yaml:10"),
        "{}",
        stdout(&output)
    );
}

const LEADER_DIES: &str = "\
name: leader-dies
seed: 3
duration: 60s
buses: { main: { profile: kafka, latency: { replicate: 40ms }, topics: { orders: { replication_factor: 3 } } } }
producers: { shop: { publishes: orders, arrivals: { poisson: 500/s }, key: { uniform: 9 }, settings: { acks: 1, enable.idempotence: false } } }
consumers: { email: { subscribes: orders, service_time: 1ms } }
faults: [ { at: 20s, target: buses.main.brokers.0, effect: crash } ]
";

/// The report names the first event that something went wrong with, and the command that tells its story.
#[test]
fn an_event_has_a_story() {
    let folder = Folder::new();
    folder.write("leader.yaml", LEADER_DIES);
    let report = folder.run(&["run", "leader.yaml", "--replications", "2"]);
    let text = stdout(&report);
    let lost = text.lines().find(|line| line.starts_with("  lost  email: ")).unwrap();
    assert!(lost.contains(" lost before replication (first shop#"), "{lost}");
    let line = text.lines().find_map(|line| line.strip_prefix("  explain  edasim ")).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    let story = folder.run(&words);
    assert_eq!((code(&story), stderr(&story)), (0, ""));
    let told = stdout(&story);
    assert!(!told.contains("readers may see it"), "it is gone before: {told}");
    let parts = [
        "shop#",
        " of orders, key ",
        "created\n",
        "sent to broker 0\n",
        "stored in partition 0 as offset ",
        "acknowledged: its publisher takes it for stored\n",
        "fault crash buses.main.brokers.0",
        "gone from the log: the next leader had no copy of it\n",
        "email: will never take it: the next leader had no copy of it\n",
    ];
    let mut rest = told;
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("no `{part}` where it should be in\n{told}"));
        rest = &rest[at + part.len()..];
    }
    // Whoever is asked for the first that was lost is told the same.
    let first = folder.run(&["explain", "leader.yaml", "--first", "lost", "--consumer", "email"]);
    assert_eq!(stdout(&first), told);
    // Of events of the warm-up nobody asks, found or stated: the first that a run names is the first that is told of.
    let auto = ["--set", "warm_up=auto", "--set", "duration=10m"];
    let report = folder.run(&[&["run", "leader.yaml", "--replications", "1"], &auto[..]].concat());
    let text = stdout(&report);
    let named = text.lines().find_map(|line| Some(line.split_once(" lost before replication (first ")?.1)).unwrap();
    let named = named.split(' ').next().unwrap();
    let first = folder.run(&[&["explain", "leader.yaml", "--first", "lost"], &auto[..]].concat());
    assert!(stdout(&first).starts_with(&format!("{named} of orders")), "{named}: {}", stdout(&first));
    let slowest = folder.run(&["explain", "leader.yaml", "--slowest"]);
    assert!(stdout(&slowest).contains("email: done, its effect is there\n"), "{}", stdout(&slowest));
    for (args, why) in [
        (&["--first", "duplicate"][..], "no run has such an event"),
        (&["--event", "shop"], "events are called shop#0"),
        (&["--event", "shopp#3"], "events are called shop#3"),
        (&["--event", "shop#3000000"], "does not come to that event"),
        (&["--event", "shop#4000000000"], "does not come to that event"),
        (&["--first", "lost", "--run", "1000"], "there is no run 1000; the scenario has "),
        (&["--first", "lost", "--consumer", "nobody"], "there is no consumer `nobody`; there are email"),
    ] {
        let output = folder.run(&[&["explain", "leader.yaml"], args].concat());
        assert!(code(&output) == 2 && stderr(&output).contains(why), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn check_tells_what_will_never_keep_up() {
    let folder = Folder::new();
    let slow = ["check", "small.yaml", "--set", "consumers.email.service_time=260ms"];
    let output = folder.run(&slow);
    assert_eq!(code(&output), 0);
    assert_eq!(
        stderr(&output),
        "note: by formula, consumers.email is asked for 260% of what it can do: it never keeps up\n"
    );
    assert!(stdout(&output).starts_with("small.yaml: no mistakes; "));
    let estimates = folder.run(&[&slow[..], &["--estimates"]].concat());
    let text = stdout(&estimates);
    assert!(text.starts_with("Estimates  by formula") && text.contains("M/D/1") && text.contains("2.60"), "{text}");
    assert!(!text.contains("simulated\n") && text.lines().all(|line| line.trim_end() == line), "{text}");
    assert_eq!(code(&folder.run(&["check", "small.yaml", "--explain", "--estimates"])), 2);
}

#[test]
fn estimates_stand_beside_results() {
    let folder = Folder::new();
    let text = stdout(&folder.run(&["run", "small.yaml"])).to_owned();
    let at = text.find("\nEstimates  ").unwrap();
    assert!(text[at..].contains("  email  M/D/1") && text[at..].contains("\n           simulated  "), "{text}");
    let document = folder.run(&["run", "small.yaml", "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&document.stdout).unwrap();
    let email = &document["estimates"]["consumers"]["email"];
    // Two partitions of one member: M/D/1 at load 0.05.
    assert_eq!((email["formula"].as_str(), email["accuracy"].as_str()), (Some("M/D/1"), Some("exact")));
    assert_eq!(email["offered_load"]["estimate"].as_f64(), Some(0.05));
    assert!(email["latency"]["mean"]["simulated"].as_f64().unwrap() > 0.005);
}

#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_is_130() {
    let folder = Folder::new();
    let long = ["run", "small.yaml", "--duration", "20d", "--set", "producers.shop.arrivals={poisson: 1k/s}"];
    let child = folder.command(&long).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(700));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stdout(&output)), (130, ""), "{}", stderr(&output));
    assert!(stderr(&output).contains("no result"), "{}", stderr(&output));
}
