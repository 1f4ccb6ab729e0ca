//! Sweeps through the program: the grid, its files, interruption and going on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folder;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use folder::{Folder, SMALL, code, stderr, stdout};
use serde_json::Value;

const GRID: [&str; 5] = [
    "sweep",
    "busy.yaml",
    "--vary",
    "consumers.email.members=1,2",
    "--vary=consumers.email.service_time=5ms..20ms..5ms",
];

fn folder() -> Folder {
    let folder = Folder::new();
    let yaml = SMALL.replace("replications: 1", "replications: 3").replace("poisson: 10/s", "poisson: 40/s");
    folder.write("busy.yaml", &yaml);
    folder
}

fn document(folder: &Folder, args: &[&str]) -> Value {
    let output = folder.run(&[args, &["--json", "--quiet"]].concat());
    assert_eq!((code(&output), stderr(&output)), (0, ""), "{args:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// All files of a folder but the kept points, with their content.
fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let all = fs::read_dir(path).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
    let mut all: Vec<_> = all.map(|path| (path.file_name().unwrap().into(), fs::read(&path).unwrap())).collect();
    all.sort();
    all
}

fn points(path: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(path.join("points")).unwrap().map(|file| file.unwrap().path()).collect();
    all.sort();
    all
}

#[test]
fn a_point_is_what_a_run_gives() {
    let folder = folder();
    let sweep = document(&folder, &GRID);
    let all = sweep["points"].as_array().unwrap();
    assert_eq!(all.len(), 8);
    assert_eq!(sweep["metrics"], serde_json::json!(["consumers.email.latency.p99", "consumers.email.lag.max"]));
    // The last axis varies fastest.
    assert_eq!(all[5]["at"], serde_json::json!(["2", "10ms"]));
    let set = ["--set", "consumers.email.members=2", "--set", "consumers.email.service_time=10ms"];
    let run = document(&folder, &[&["run", "busy.yaml"], &set[..]].concat());
    let expected = &run["consumers"]["email"]["latency"]["p99"];
    let ends = &run["ci95"]["consumers"]["email"]["latency"]["p99"];
    assert_eq!(all[5]["readings"][0], serde_json::json!([expected, ends[0], ends[1]]));
}

#[test]
fn the_report_fits_and_the_table_is_complete() {
    let folder = folder();
    for width in [80, 100] {
        let output = folder.command(&GRID).env("COLUMNS", width.to_string()).output().unwrap();
        assert_eq!((code(&output), stderr(&output)), (0, ""));
        let text = stdout(&output);
        assert!(text.starts_with("small  8 points of 3 runs each, 10s virtual time, seed 7\n"), "{text}");
        let lines = text.lines().filter(|line| !line.starts_with("digest") && !line.starts_with("repeat"));
        assert!(lines.clone().all(|line| line.chars().count() <= width && line.trim_end() == line), "{text}");
    }
    let output = folder.run(&[&GRID[..], &["--csv"]].concat());
    let lines: Vec<&str> = stdout(&output).lines().collect();
    assert!(lines[0].starts_with("consumers.email.members,consumers.email.service_time,consumers.email.latency.p99,"));
    assert_eq!((lines.len(), lines[8].starts_with("2,20ms,0.")), (9, true), "{}", lines[8]);
}

#[test]
fn threads_change_nothing() {
    let folder = folder();
    let with = |jobs: &str| folder.run(&[&GRID[..], &["--json", "--jobs", jobs]].concat()).stdout;
    let one = with("1");
    assert!(one.len() > 1_000);
    assert_eq!(one, with("3"));
}

#[test]
fn the_order_of_points_changes_nothing() {
    let folder = folder();
    let of = |values: &str| {
        let vary = format!("consumers.email.members={values}");
        let sweep = document(&folder, &["sweep", "busy.yaml", "--vary", &vary]);
        let mut all: Vec<String> = sweep["points"].as_array().unwrap().iter().map(Value::to_string).collect();
        all.sort();
        all
    };
    assert_eq!(of("1,2,3"), of("3,1,2"));
}

#[test]
fn finished_points_are_taken_up_again() {
    let folder = folder();
    let args = [&GRID[..], &["--out", "results"]].concat();
    let results = folder.path().join("results");
    let first = folder.run(&args);
    assert_eq!((code(&first), stderr(&first)), (0, ""));
    let (whole, kept) = (files(&results), points(&results));
    let names: Vec<&str> = whole.iter().map(|(name, _)| name.to_str().unwrap()).collect();
    assert_eq!(
        names,
        ["report.txt", "sweep-email.lag.max.svg", "sweep-email.latency.p99.svg", "sweep.csv", "sweep.json"]
    );
    assert_eq!(kept.len(), 8);
    // Some are missing, one is broken, one is that of something else.
    kept[..3].iter().for_each(|path| fs::remove_file(path).unwrap());
    fs::write(&kept[3], "{ \"digest\":").unwrap();
    fs::copy(&kept[5], &kept[4]).unwrap();
    let again = folder.run(&args);
    assert!(
        stderr(&again).contains("3 of 8 points were finished before; the others are simulated now"),
        "{}",
        stderr(&again)
    );
    assert!(files(&results) == whole && again.stdout == first.stdout, "other bytes");
    assert_eq!(points(&results).len(), 8);
    // Nothing fits another scenario.
    let other = folder.run(&[&args[..], &["--seed", "8"]].concat());
    assert_eq!(stderr(&other), "");
}

#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_is_130_and_the_same_command_goes_on() {
    let folder = folder();
    let long = |out: &'static str| {
        let vary = "--vary=consumers.email.service_time=1ms..300ms";
        ["sweep", "busy.yaml", vary, "--duration", "30s", "--jobs", "1", "--out", out]
    };
    let child = folder.command(&long("a")).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let points = folder.path().join("a/points");
    while fs::read_dir(&points).map_or(0, Iterator::count) < 3 {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stdout(&output)), (130, ""), "{}", stderr(&output));
    assert!(stderr(&output).contains("the same command goes on from there"), "{}", stderr(&output));
    assert!(!folder.path().join("a/sweep.json").exists());
    let again = folder.run(&long("a"));
    assert!(stderr(&again).contains("of 300 points were finished before"), "{}", stderr(&again));
    let fresh = folder.run(&long("b"));
    assert_eq!((code(&again), code(&fresh)), (0, 0));
    let [again, fresh] = ["a", "b"].map(|out| files(&folder.path().join(out)));
    assert!(again == fresh, "going on gives other bytes");
}

#[test]
fn a_knee_is_marked() {
    let folder = folder();
    let vary = "--vary=producers.shop.arrivals.poisson=20/s..240/s..20/s";
    let args =
        ["sweep", "busy.yaml", vary, "--set", "consumers.email.service_time=12ms", "--metric", "email.latency.p99"];
    let sweep = document(&folder, &args);
    let knee = &sweep["knees"]["consumers.email.latency.p99"][0];
    // Two partitions with one member: full at 83/s.
    assert!(["60/s", "80/s", "100/s"].iter().any(|rate| knee == rate), "{knee}");
    let output = folder.run(&[&args[..], &["--out", "results"]].concat());
    let bends = format!("email.latency.p99 bends at producers.shop.arrivals.poisson = {}", knee.as_str().unwrap());
    assert!(stdout(&output).contains(&bends), "{}", stdout(&output));
    let svg = fs::read_to_string(folder.path().join("results/sweep-email.latency.p99.svg")).unwrap();
    assert!(svg.contains("<polygon") && svg.contains(&format!("knee at {}", knee.as_str().unwrap())));
}

#[test]
fn what_is_varied_is_not_told_of_all_points() {
    let folder = folder();
    let args = ["sweep", "busy.yaml", "--vary", "replications=2,3"];
    let output = folder.run(&args);
    assert!(stdout(&output).contains("  2 points of 2 to 3 runs each, "), "{}", stdout(&output));
    let document = document(&folder, &args);
    assert!(document["replications"].is_null() && document["seed"].is_u64(), "{document}");
}

#[test]
fn metrics_are_those_of_the_expectations() {
    let folder = folder();
    let yaml = fs::read_to_string(folder.path().join("busy.yaml")).unwrap();
    folder.write(
        "claims.yaml",
        &(yaml + "expect: [ email.utilisation < 30%, consumers.*.lost == 0, email.utilisation > 1% ]\n"),
    );
    let sweep = document(&folder, &["sweep", "claims.yaml", "--vary", "consumers.email.service_time=5ms,20ms"]);
    assert_eq!(sweep["metrics"], serde_json::json!(["consumers.email.utilisation", "consumers.email.lost.total"]));
    let verdicts: Vec<&Value> = sweep["points"].as_array().unwrap().iter().map(|point| &point["expect"]).collect();
    assert_eq!(verdicts, ["holds", "fails"]);
}

#[test]
fn many_points_ask_first() {
    let folder = folder();
    let output =
        folder.run(&["sweep", "busy.yaml", "--vary", "consumers.email.service_time=1us..10001us", "--jobs", "1"]);
    assert_eq!((code(&output), stdout(&output)), (2, ""));
    assert!(stderr(&output).contains("10001 points would take about "), "{}", stderr(&output));
    assert!(stderr(&output).contains("add `--yes`"), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_swept_is_2() {
    let folder = folder();
    let members = "consumers.email.members=1..4";
    for (args, says) in [
        (&["--vary", "consumers.nobody.members=1..4"][..], "there is no `consumers.nobody`"),
        (&["--vary", "consumers.email.members=1,many"], "--vary:1:25"),
        (&["--vary", "consumers.email.members"], "has no `=`"),
        (&["--vary", members, "--vary", "consumers.email.members=7"], "is given twice"),
        (&["--vary", members, "--metric", "email.latency.p98"], "consumers have no metric `latency.p98`"),
        (&["--vary", members, "--metric", "emial.latency.p99"], "did you mean `email`?"),
        (&[], "--vary <PATH=VALUES>"),
    ] {
        let output = folder.run(&[&["sweep", "busy.yaml"], args].concat());
        assert_eq!((code(&output), stdout(&output)), (2, ""), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
    }
}
