//! Gates for build servers: a baseline that must not be worse, and files for other tools.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folder;

use std::fs;

use folder::{Folder, SMALL, code, stderr, stdout};
use quick_junit::{Report, TestCaseStatus};
use serde_json::Value;

const EXPECT: &str = "expect:\n  - email.lost == 0\n  - email.latency.p99 < 1ms\n  - email.utilisation < 60% # <&\"\n";

fn busy(service_time: &str) -> String {
    let yaml = SMALL.replace("replications: 1", "replications: 5").replace("poisson: 10/s", "poisson: 40/s");
    yaml.replace("service_time: 5ms", &format!("service_time: {{ exponential: {service_time} }}, members: 2"))
}

/// The result of `base.yaml` as `base.json`.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("base.yaml", &busy("10ms"));
    folder.write("slower.yaml", &busy("20ms"));
    folder.write("claims.yaml", &(busy("10ms") + EXPECT));
    let document = folder.run(&["run", "base.yaml", "--json"]).stdout;
    fs::write(folder.path().join("base.json"), document).unwrap();
    folder
}

#[test]
fn the_same_is_no_regression() {
    let folder = folder();
    let output = folder.run(&["run", "base.yaml", "--baseline", "base.json"]);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    assert!(stdout(&output).contains("\nAgainst base.json  "), "{}", stdout(&output));
    assert!(stdout(&output).contains(" metrics is worse\n"), "{}", stdout(&output));
}

#[test]
fn another_seed_is_no_regression() {
    let folder = folder();
    folder.write("base.yaml", &(busy("10ms") + "expect: [ email.lag.max > 0, email.throughput > 1/s ]\n"));
    for seed in ["8", "9", "10"] {
        let output = folder.run(&["run", "base.yaml", "--baseline", "base.json", "--seed", seed, "--quiet"]);
        assert_eq!((code(&output), stderr(&output)), (0, ""), "seed {seed}");
    }
}

#[test]
fn what_is_worse_is_4_and_told() {
    let folder = folder();
    let output = folder.run(&["run", "slower.yaml", "--baseline", "base.json"]);
    assert_eq!(code(&output), 4);
    let text = stdout(&output);
    assert!(text.contains("email.latency.mean") && text.contains("  was  "), "{text}");
    assert!(!text.contains("shop.publish.latency"), "publishing is what it was: {text}");
    let output = folder.run(&["run", "slower.yaml", "--baseline", "base.json", "--json"]);
    assert_eq!(code(&output), 4);
    assert!(stderr(&output).contains("email.latency.p99"), "{}", stderr(&output));
    serde_json::from_slice::<Value>(&output.stdout).unwrap();
    // The other way round it is better.
    let slow = folder.run(&["run", "slower.yaml", "--json"]).stdout;
    fs::write(folder.path().join("slow.json"), slow).unwrap();
    let output = folder.run(&["run", "base.yaml", "--baseline", "slow.json"]);
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).contains(" are better\n"), "{}", stdout(&output));
}

#[test]
fn what_is_expected_to_be_high_is_worse_when_it_is_low() {
    let folder = folder();
    folder.write("busy.yaml", &(busy("20ms") + "expect: [ email.utilisation > 1% ]\n"));
    folder.write("idle.yaml", &(busy("10ms") + "expect: [ email.utilisation > 1% ]\n"));
    fs::write(folder.path().join("busy.json"), folder.run(&["run", "busy.yaml", "--json"]).stdout).unwrap();
    let output = folder.run(&["run", "idle.yaml", "--baseline", "busy.json"]);
    assert_eq!(code(&output), 4, "{}", stdout(&output));
    assert!(stdout(&output).contains("1 of ") && stdout(&output).contains("email.utilisation"), "{}", stdout(&output));
}

#[test]
fn a_failed_expectation_comes_first() {
    let folder = folder();
    folder.write("both.yaml", &(busy("20ms") + "expect: [ email.latency.p99 < 1ms ]\n"));
    assert_eq!(code(&folder.run(&["run", "both.yaml", "--baseline", "base.json"])), 3);
}

#[test]
fn comparisons_have_baselines_too() {
    let folder = folder();
    let vary = "vary: { as-is: {}, more: { consumers.email.workers: 2 } }\n";
    folder.write("vary.yaml", &(busy("10ms") + vary));
    let document = folder.run(&["compare", "vary.yaml", "--json"]).stdout;
    fs::write(folder.path().join("vary.json"), document).unwrap();
    assert_eq!(code(&folder.run(&["compare", "vary.yaml", "--baseline", "vary.json", "--quiet"])), 0);
    folder.write("vary.yaml", &(busy("10ms") + &vary.replace("workers: 2", "service_time: 20ms")));
    let output = folder.run(&["compare", "vary.yaml", "--baseline", "vary.json"]);
    assert_eq!(code(&output), 4);
    assert!(
        stdout(&output).contains("more: email.latency") && !stdout(&output).contains("as-is: email."),
        "{}",
        stdout(&output)
    );
    // The result of a run is held against the base.
    assert_eq!(code(&folder.run(&["compare", "vary.yaml", "--baseline", "base.json", "--quiet"])), 0);
}

#[test]
fn a_design_that_a_baseline_lacks_is_told() {
    let folder = folder();
    let args = ["compare", "base.yaml", "slower.yaml", "--baseline", "base.json"];
    let output = folder.run(&args);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let says = "  not in it  slower: held against nothing\n";
    assert!(stdout(&output).contains(says), "{}", stdout(&output));
    for quiet in ["--json", "--quiet"] {
        let output = folder.run(&[&args[..], &[quiet]].concat());
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    }
}

#[test]
fn a_baseline_that_does_not_fit_is_2() {
    let folder = folder();
    let base = fs::read_to_string(folder.path().join("base.json")).unwrap();
    folder.write("edited.json", &base.replace("\"p99\": 0.", "\"p99\": 1."));
    folder.write(
        "old.json",
        &base.replace(concat!("\"version\": \"", env!("CARGO_PKG_VERSION")), "\"version\": \"0.0.1"),
    );
    folder.write("other.json", "{ \"schema\": \"something/1\" }");
    folder.write("broken.json", "{");
    folder.write("stranger.yaml", &busy("10ms").replace("name: small", "name: large"));
    let single = folder.run(&["run", "base.yaml", "--replications", "1", "--json"]).stdout;
    fs::write(folder.path().join("single.json"), single).unwrap();
    for (args, says) in [
        (&["run", "base.yaml", "--baseline", "edited.json"][..], "it has been changed"),
        (&["run", "base.yaml", "--baseline", "old.json"], "made by edasim 0.0.1, and this is"),
        (&["run", "base.yaml", "--baseline", "other.json"], "it is no result document"),
        (&["run", "base.yaml", "--baseline", "broken.json"], "it is not JSON"),
        (&["run", "base.yaml", "--baseline", "single.json"], "it is of one run"),
        (&["run", "base.yaml", "--baseline", "base.json", "--replications", "1"], "one run cannot be held against it"),
        (&["run", "base.yaml", "--baseline", "base.json", "--duration", "5s"], "give both the same duration"),
        (&["run", "stranger.yaml", "--baseline", "base.json"], "it is of the scenario `small`, and this is `large`"),
    ] {
        let output = folder.run(args);
        assert_eq!((code(&output), stdout(&output)), (2, ""), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
    }
    assert_eq!(code(&folder.run(&["run", "base.yaml", "--baseline", "nowhere.json"])), 1);
}

#[test]
fn junit_has_a_case_for_each_expectation() {
    let folder = folder();
    let args = ["run", "claims.yaml", "--junit", "out/junit.xml", "--baseline", "base.json", "--quiet"];
    assert_eq!(code(&folder.run(&args)), 3);
    let text = fs::read_to_string(folder.path().join("out/junit.xml")).unwrap();
    let report = Report::deserialize_from_str(&text).unwrap();
    assert_eq!((report.tests, report.failures), (4, 1), "{text}");
    let cases = &report.test_suites[0].test_cases;
    assert_eq!(cases[1].name.as_str(), "email.latency.p99 < 1ms");
    let TestCaseStatus::NonSuccess { message, description, .. } = &cases[1].status else { panic!("{text}") };
    assert!(message.as_ref().unwrap().as_str().starts_with("email.latency.p99 < 1ms fails: "), "{text}");
    assert_eq!(description.as_ref().unwrap().as_str(), "claims.yaml:13:5");
    assert!(report.test_suites[1].name.as_str().contains("base.json"), "{text}");
}

#[test]
fn sarif_points_at_the_line_of_the_expectation() {
    let folder = folder();
    assert_eq!(code(&folder.run(&["run", "claims.yaml", "--sarif", "out.sarif", "--quiet"])), 3);
    let text = fs::read_to_string(folder.path().join("out.sarif")).unwrap();
    let log: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&log["version"], &log["runs"][0]["tool"]["driver"]["name"]), (&"2.1.0".into(), &"edasim".into()));
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 1, "{text}");
    let (result, rules) = (&results[0], &log["runs"][0]["tool"]["driver"]["rules"]);
    assert_eq!(rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()]["id"], result["ruleId"]);
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "claims.yaml");
    let line = usize::try_from(place["region"]["startLine"].as_u64().unwrap()).unwrap();
    let column = usize::try_from(place["region"]["startColumn"].as_u64().unwrap()).unwrap();
    let yaml = busy("10ms") + EXPECT;
    assert!(yaml.lines().nth(line - 1).unwrap()[column - 1..].starts_with("email.latency.p99 < 1ms"), "{text}");
}

#[test]
fn sarif_knows_the_file_that_is_extended() {
    let folder = folder();
    fs::create_dir(folder.path().join("sub")).unwrap();
    folder.write("sub/child.yaml", "extends: ../claims.yaml\nseed: 8\n");
    folder.run(&["run", "sub/child.yaml", "--sarif", "out.sarif", "--quiet"]);
    let log: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("out.sarif")).unwrap()).unwrap();
    let place = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "sub/../claims.yaml");
    // What stands on the command line has no line in a file.
    folder.run(&["run", "base.yaml", "--set", "expect=[ email.latency.p50 < 1us ]", "--sarif", "out.sarif", "--quiet"]);
    let log: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("out.sarif")).unwrap()).unwrap();
    assert_eq!(log["runs"][0]["results"][0]["locations"], serde_json::json!([]));
}

#[test]
fn markdown_says_it_all() {
    let folder = folder();
    folder.run(&[
        "compare",
        "claims.yaml",
        "slower.yaml",
        "--markdown",
        "out.md",
        "--baseline",
        "base.json",
        "--quiet",
    ]);
    let text = fs::read_to_string(folder.path().join("out.md")).unwrap();
    for part in [
        "## edasim: claims, slower\n",
        "**FAILS** claims: 2 of 3 expectations hold, 1 fail, 0 undecided. 5 runs of 10s virtual time, seed 7.",
        "metrics is worse than in base.json",
        "### slower against claims\n",
        "| claims | `email.latency.p99 < 1ms` | **fails** |",
        "### Latency\n",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}
