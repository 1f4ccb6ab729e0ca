//! `--precision`, through the program: runs are added until intervals are narrow, and what is told when they are not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folder;

use folder::{Folder, SMALL, code, stderr, stdout};
use serde_json::Value;

/// A queue that matters: about 300 events a run.
fn folder() -> Folder {
    let folder = Folder::new();
    let yaml = SMALL.replace("replications: 1", "replications: 3").replace("poisson: 10/s", "poisson: 30/s");
    let yaml = yaml.replace("service_time: 5ms", "service_time: { exponential: 20ms }, members: 2");
    folder.write("queue.yaml", &yaml);
    folder.write("claim.yaml", &(yaml.clone() + "expect: [ email.latency.mean < 1s, email.lag.max < 1k ]\n"));
    folder.write(
        "vary.yaml",
        &(yaml + "vary: { as-is: {}, slower: { consumers.email.service_time: { exponential: 21ms } } }\n"),
    );
    folder
}

/// Half the width of an interval over its figure.
fn relative(document: &Value, path: [&str; 4]) -> f64 {
    let [figure, low, high] = {
        let at = |node: &Value| path.iter().fold(node.clone(), |node, key| node[*key].clone());
        let ends = at(&document["ci95"]);
        [at(document), ends[0].clone(), ends[1].clone()].map(|value| value.as_f64().unwrap())
    };
    (high - low) / 2.0 / figure
}

#[test]
fn runs_are_added_until_the_interval_is_narrow_and_the_command_repeats_them() {
    let folder = folder();
    let mean = ["consumers", "email", "latency", "mean"];
    let mut counts = Vec::new();
    for (precision, width) in [("20%", 0.2), ("4%", 0.04), ("2%", 0.02)] {
        let args = ["run", "queue.yaml", "--precision", precision, "--metric", "email.latency.mean"];
        let output = folder.run(&[&args[..], &["--json"]].concat());
        assert_eq!((code(&output), stderr(&output)), (0, ""));
        let document: Value = serde_json::from_str(stdout(&output)).unwrap();
        assert!(relative(&document, mean) <= width, "{precision}: {}", relative(&document, mean));
        counts.push(document["replications"].as_u64().unwrap());

        let report = folder.run(&args);
        let text = stdout(&report);
        let said = format!("\u{b1}{precision} reached with {} runs", counts.last().unwrap());
        assert!(text.contains(&said), "{text}");
        let repeat = text.lines().find_map(|line| line.strip_prefix("repeat  edasim ")).unwrap();
        assert!(!repeat.contains("precision"), "{repeat}");
        let again = folder.run(&[&repeat.split(' ').collect::<Vec<_>>()[..], &["--json"]].concat());
        assert!(again.stdout == output.stdout, "{repeat} gives other bytes");
    }
    assert!(counts[0] == 10 && counts[1] > 10 && counts[2] > 2 * counts[1], "{counts:?}");
}

#[test]
fn where_the_limit_does_not_do_it_is_told_how_many_would() {
    let folder = folder();
    let args = ["run", "queue.yaml", "--precision", "0.5%", "--max-replications", "12", "--quiet"];
    let output = folder.run(&args);
    assert_eq!((code(&output), stdout(&output)), (0, ""));
    assert!(stderr(&output).contains("\u{b1}0.5% not reached with 10 runs: email.latency.mean"), "{}", stderr(&output));
    assert!(stderr(&output).contains("runs would do, and"), "{}", stderr(&output));
    // What expectations name, where there are some; a largest value has no interval.
    let output = folder.run(&["run", "claim.yaml", "--precision", "50%"]);
    let text = stdout(&output);
    assert!(text.contains("the widest is email.latency.mean < 1s"), "{text}");
    assert!(text.contains("without an interval, however many runs: email.lag.max < 1k"), "{text}");
    for wrong in [["--precision", "2"], ["--precision", "0%"], ["--max-replications", "5"], ["--metric", "email.lost"]]
    {
        assert_eq!(code(&folder.run(&[&["run", "queue.yaml"], &wrong[..]].concat())), 2, "{wrong:?}");
    }
}

#[test]
fn differences_are_held_against_the_figures() {
    let folder = folder();
    let args = ["compare", "vary.yaml", "--precision", "1%", "--metric", "email.latency.mean"];
    let output = folder.run(&args);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    let text = stdout(&output);
    assert!(text.contains("\u{b1}1% reached with "), "{text}");
    let repeat = text.lines().find_map(|line| line.strip_prefix("repeat  edasim ")).unwrap();
    let again = folder.run(&[&repeat.split(' ').collect::<Vec<_>>()[..], &["--json"]].concat());
    let document: Value = serde_json::from_str(stdout(&again)).unwrap();
    let leaf = &document["differences"]["slower"]["consumers"]["email"]["latency"]["mean"];
    let half = (leaf["interval"][1].as_f64().unwrap() - leaf["interval"][0].as_f64().unwrap()) / 2.0;
    let larger = leaf["value"].as_f64().unwrap().max(leaf["base"].as_f64().unwrap());
    assert!(half <= 0.01 * larger, "{leaf}");
}
