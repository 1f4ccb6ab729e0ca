//! Designs side by side, through the program: what it says, its exit codes, its files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folder;

use std::fs;

use folder::{Folder, SMALL, code, stderr, stdout};
use serde_json::Value;

/// The scenario with a queue that matters, and three runs.
fn busy(service_time: &str) -> String {
    let yaml = SMALL.replace("replications: 1", "replications: 3").replace("poisson: 10/s", "poisson: 40/s");
    yaml.replace("service_time: 5ms", &format!("service_time: {{ exponential: {service_time} }}, members: 2"))
}

const VARY: &str =
    "vary: { as-is: {}, slower: { consumers.email.service_time: 30ms }, more: { consumers.email.members: 4 } }\n";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("a.yaml", &busy("20ms"));
    folder.write("b.yaml", &busy("22ms"));
    folder.write("vary.yaml", &(busy("20ms") + VARY));
    folder
}

fn document(folder: &Folder, args: &[&str]) -> Value {
    let output = folder.run(&[&["compare"], args, &["--json", "--quiet"]].concat());
    assert_eq!((code(&output), stderr(&output)), (0, ""), "{args:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// All leaves of the differences that have a verdict, with their paths.
fn leaves(node: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    for (key, child) in node.as_object().into_iter().flatten() {
        let path = format!("{path}/{key}");
        if child.get("verdict").is_some() { found.push((path, child.clone())) } else { leaves(child, &path, found) }
    }
}

#[test]
fn a_scenario_compared_with_itself_differs_in_exactly_nothing() {
    let folder = folder();
    folder.write("same.yaml", &busy("20ms"));
    let dies = "faults: [ { at: 4s, target: consumers.email, effect: crash } ]\n";
    folder.write("dies.yaml", &(busy("20ms") + dies));
    for pair in [["a.yaml", "a.yaml"], ["a.yaml", "same.yaml"], ["dies.yaml", "dies.yaml"]] {
        let mut found = Vec::new();
        leaves(&document(&folder, &pair)["differences"], "", &mut found);
        assert!(found.len() > 50, "{}", found.len());
        for (path, leaf) in found {
            assert_eq!(leaf["verdict"], "identical", "{path}: {leaf}");
            assert_eq!(leaf["base"], leaf["value"], "{path}: {leaf}");
            // A lag that drains in neither has no number.
            let nothing = path.ends_with("drain_time") && leaf["base"].is_null();
            assert_eq!(leaf["difference"], if nothing { Value::Null } else { 0.into() }, "{path}: {leaf}");
            assert!(
                leaf.get("interval").is_none_or(|interval| *interval == serde_json::json!([0, 0])),
                "{path}: {leaf}"
            );
        }
    }
    let output = folder.run(&["compare", "a.yaml", "same.yaml"]);
    assert!(stdout(&output).contains("  identical in all "), "{}", stdout(&output));
}

#[test]
fn a_difference_is_told_in_plain_words_and_fits() {
    let folder = folder();
    for width in [80, 100] {
        let output =
            folder.command(&["compare", "a.yaml", "b.yaml"]).env("COLUMNS", width.to_string()).output().unwrap();
        assert_eq!((code(&output), stderr(&output)), (0, ""));
        let text = stdout(&output);
        assert!(text.starts_with("b against a\n3 runs of each, 10s virtual time, seed 7"), "{text}");
        assert!(text.contains("  email.latency.p99 is ") && text.contains(" higher\n"), "{text}");
        assert!(text.contains("all of shop"), "what the producer does is not touched: {text}");
        let lines = text.lines().filter(|line| !line.starts_with("digest") && !line.starts_with("repeat"));
        assert!(lines.clone().all(|line| line.chars().count() <= width && line.trim_end() == line), "{text}");
    }
}

#[test]
fn variants_are_compared_with_the_baseline() {
    let folder = folder();
    let all = document(&folder, &["vary.yaml"]);
    assert_eq!((&all["base"], &all["confidence"]), (&"as-is".into(), &0.975.into()));
    assert_eq!(all["differences"].as_object().unwrap().keys().collect::<Vec<_>>(), ["slower", "more"]);
    let one = document(&folder, &["vary.yaml", "--variant", "slower"]);
    assert_eq!(one["differences"].as_object().unwrap().keys().collect::<Vec<_>>(), ["slower"]);
    let width = |document: &Value| {
        let interval = &document["differences"]["slower"]["consumers"]["email"]["latency"]["mean"]["interval"];
        interval[1].as_f64().unwrap() - interval[0].as_f64().unwrap()
    };
    // Student's t with 2 degrees of freedom: 6.205 at 97.5 %, 4.303 at 95 %.
    assert!((width(&all) / width(&one) - 6.205 / 4.303).abs() < 0.001, "{} {}", width(&all), width(&one));

    folder.write("unnamed.yaml", &(busy("20ms") + "vary: { more: { consumers.email.members: 4 } }\n"));
    assert_eq!(document(&folder, &["unnamed.yaml"])["base"], "base");
}

#[test]
fn threads_change_nothing() {
    let folder = folder();
    let with = |jobs: &str| folder.run(&["compare", "vary.yaml", "--json", "--jobs", jobs]).stdout;
    assert_eq!(with("1"), with("3"));
}

#[test]
fn all_designs_have_the_seed_and_runs_of_the_first() {
    let folder = folder();
    folder
        .write("other.yaml", &busy("20ms").replace("seed: 7", "seed: 8").replace("replications: 3", "replications: 4"));
    let output = folder.run(&["compare", "a.yaml", "other.yaml", "--json"]);
    assert!(stderr(&output).contains("other runs with seed 7 of a, not with its own (8)"), "{}", stderr(&output));
    assert!(stderr(&output).contains("other has 3 replications as a has"), "{}", stderr(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found = Vec::new();
    leaves(&document["differences"], "", &mut found);
    assert!(found.iter().all(|(_, leaf)| leaf["verdict"] == "identical"));
}

#[test]
fn runs_of_different_length_are_told() {
    let folder = folder();
    folder.write("long.yaml", &busy("20ms").replace("duration: 10s", "duration: 20s"));
    let output = folder.run(&["compare", "a.yaml", "long.yaml"]);
    assert!(
        stdout(&output).contains("W010       long and a are not measured over the same time"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn expectations_of_each_design_are_judged() {
    let folder = folder();
    folder.write("fails.yaml", &(busy("22ms") + "expect: [ email.latency.p50 < 1ms, email.lost == 0 ]\n"));
    let output = folder.run(&["compare", "a.yaml", "fails.yaml"]);
    assert_eq!(code(&output), 3);
    assert!(stdout(&output).contains("fails  FAILS      1 of 2 expectations fails\n"), "{}", stdout(&output));
    assert!(stdout(&output).contains("\nExpectations of fails"), "{}", stdout(&output));
    let output = folder.run(&["compare", "a.yaml", "fails.yaml", "--quiet"]);
    assert_eq!((code(&output), stdout(&output)), (3, ""));
    assert_eq!(stderr(&output), "fails: email.latency.p50 < 1ms fails\n");
}

#[test]
fn results_go_to_files() {
    let folder = folder();
    let output = folder.run(&["compare", "a.yaml", "b.yaml", "--json", "--out", "results"]);
    let results = folder.path().join("results");
    let mut names: Vec<String> =
        fs::read_dir(&results).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["compare.json", "latency-percentiles-email.svg", "report.txt"]);
    assert_eq!(fs::read(results.join("compare.json")).unwrap(), output.stdout);
    let svg = fs::read_to_string(results.join("latency-percentiles-email.svg")).unwrap();
    assert!(svg.contains(">a<") && svg.contains(">b<"), "both designs are named");
}

#[test]
fn the_repeat_line_repeats_the_comparison() {
    let folder = folder();
    let args = ["compare", "vary.yaml", "--variant", "more", "--set", "consumers.email.workers=2", "--duration", "5s"];
    let first = folder.run(&args);
    let line = stdout(&first).lines().last().unwrap().strip_prefix("repeat  edasim ").unwrap().to_owned();
    assert_eq!(folder.run(&line.split(' ').collect::<Vec<_>>()).stdout, first.stdout);
}

#[test]
fn what_cannot_be_compared_is_2() {
    let folder = folder();
    folder.write(
        "strange.yaml",
        &busy("20ms").replace("email", "mail").replace("shop", "till").replace("orders", "sales"),
    );
    for (args, says) in [
        (&["a.yaml", "strange.yaml"][..], "a and strange have nothing of the same name"),
        (&["a.yaml"], "there is nothing to compare a.yaml with: it has no variants"),
        (&["vary.yaml", "--variant", "fewer"], "there is no variant `fewer`: the file has as-is, slower, more"),
        (&["vary.yaml", "--variant", "as-is"], "`as-is` is the baseline"),
        (&["a.yaml", "b.yaml", "--variant", "more"], "there are several files"),
        (&["a.yaml", "b.yaml", "--set", "consumers.nobody.members=3"], "there is no `consumers.nobody`"),
    ] {
        let output = folder.run(&[&["compare"], args].concat());
        assert_eq!((code(&output), stdout(&output)), (2, ""), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
    }
    assert_eq!(code(&folder.run(&["compare", "a.yaml", "nowhere.yaml"])), 1);
}

#[test]
fn one_run_has_no_intervals_and_says_so() {
    let folder = folder();
    let document = document(&folder, &["a.yaml", "b.yaml", "--replications", "1"]);
    let leaf = &document["differences"]["b"]["consumers"]["email"]["latency"]["mean"];
    assert_eq!((&leaf["verdict"], leaf.get("interval")), (&"one-run".into(), None));
    assert_eq!(document["warnings"][0]["code"], "W004");
}
