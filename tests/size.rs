//! Searches for the smallest design through the program: the answer, its files, interruption and going on, gates.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folder;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use folder::{Folder, SMALL, code, stderr, stdout};
use serde_json::{Value, json};

/// Four members are 75 % busy, three are full.
fn folder() -> Folder {
    let folder = Folder::new();
    let yaml = SMALL.replace("replications: 1", "replications: 3").replace("poisson: 10/s", "poisson: 100/s");
    let yaml = yaml.replace("partitions: 2", "partitions: 12").replace("service_time: 5ms", "service_time: 30ms");
    folder.write("busy.yaml", &yaml);
    folder
}

const MEMBERS: &str = "--minimise=consumers.email.members=1..12";
const QUICK: &str = "--objective=email.latency.p90 < 90ms";

fn document(folder: &Folder, args: &[&str]) -> (i32, Value) {
    let output = folder.run(&[&["size", "busy.yaml"], args, &["--json"]].concat());
    (code(&output), serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output))))
}

/// All files of a folder but the kept points, with their content.
fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let all = fs::read_dir(path).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
    let mut all: Vec<_> = all.map(|path| (path.file_name().unwrap().into(), fs::read(&path).unwrap())).collect();
    all.sort();
    all
}

#[test]
fn the_answer_is_what_a_run_gives_and_one_less_fails() {
    let folder = folder();
    let (code, size) = document(&folder, &[QUICK, MEMBERS]);
    assert_eq!((code, &size["result"]), (0, &json!("found")));
    let members: usize = size["design"]["at"][0].as_str().unwrap().parse().unwrap();
    assert_eq!(size["design"]["cost"], json!(members));
    let less = (members - 1).to_string();
    assert_eq!(size["smaller"][0], json!([less]));
    let verdict = |at: &str| {
        let designs = size["designs"].as_array().unwrap();
        designs.iter().find(|design| design["at"] == json!([at])).map(|design| design["verdict"].clone())
    };
    assert_eq!((verdict(&less), verdict(&members.to_string())), (Some(json!("fails")), Some(json!("holds"))));
    // The command under the report runs the design.
    let output = folder.run(&["size", "busy.yaml", QUICK, MEMBERS]);
    let run = stdout(&output).lines().find_map(|line| line.strip_prefix("design  edasim ")).unwrap().to_owned();
    let run = folder.run(&[&run.split(' ').collect::<Vec<_>>()[..], &["--json"]].concat());
    let run: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(run["consumers"]["email"]["latency"]["p90"], size["design"]["expect"][0]["value"]);
}

#[test]
fn the_report_fits_and_says_the_answer_first() {
    let folder = folder();
    for width in [60, 80, 100] {
        let args = ["size", "busy.yaml", QUICK, MEMBERS, "--minimise=consumers.email.workers=1..3"];
        let output = folder.command(&args).env("COLUMNS", width.to_string()).output().unwrap();
        assert_eq!((code(&output), stderr(&output)), (0, ""));
        let text = stdout(&output);
        let answer = text.lines().nth(2).unwrap();
        assert!(answer.starts_with("FOUND      ") && answer.contains("of email"), "{text}");
        let lines =
            text.lines().filter(|line| !["digest", "repeat", "design"].iter().any(|word| line.starts_with(word)));
        assert!(lines.clone().all(|line| line.chars().count() <= width && line.trim_end() == line), "{text}");
    }
}

#[test]
fn threads_change_nothing() {
    let folder = folder();
    let with = |jobs: &str| folder.run(&["size", "busy.yaml", QUICK, MEMBERS, "--json", "--jobs", jobs]).stdout;
    let one = with("1");
    assert!(one.len() > 1_000);
    assert_eq!(one, with("3"));
}

#[test]
fn costs_decide() {
    let folder = folder();
    let workers = "--minimise=consumers.email.workers=1..6";
    let at = |costs: &[&str]| {
        let (_, size) = document(&folder, &[&[QUICK, MEMBERS, workers], costs].concat());
        let at: Vec<u32> =
            size["design"]["at"].as_array().unwrap().iter().map(|v| v.as_str().unwrap().parse().unwrap()).collect();
        (at[0], at[1])
    };
    let (members, workers) = at(&["--cost", "consumers.email.members=10"]);
    assert!(members < workers, "{members} members with {workers} workers");
    let (members, workers) = at(&["--cost", "consumers.email.workers=10"]);
    assert!(members > workers, "{members} members with {workers} workers");
}

#[test]
fn the_objectives_are_those_of_the_file_unless_others_are_given() {
    let folder = folder();
    let yaml = fs::read_to_string(folder.path().join("busy.yaml")).unwrap();
    folder.write("busy.yaml", &(yaml + "expect: [ email.utilisation < 55%, consumers.*.lost == 0 ]\n"));
    let (_, size) = document(&folder, &[MEMBERS]);
    assert_eq!(size["objectives"], json!(["email.utilisation < 55%", "consumers.email.lost == 0"]));
    assert_eq!(size["design"]["at"], json!(["6"]), "100/s of 30 ms are 3 workers");
    let (_, size) = document(&folder, &[MEMBERS, "--objective", "email.utilisation < 80%"]);
    assert_eq!((&size["objectives"], &size["design"]["at"]), (&json!(["email.utilisation < 80%"]), &json!(["4"])));
}

#[test]
fn what_no_design_meets_is_3_and_tells_the_closest() {
    let folder = folder();
    let args = ["size", "busy.yaml", "--objective", "email.latency.p99 < 20ms", MEMBERS];
    let output = folder.run(&args);
    assert_eq!((code(&output), stderr(&output)), (3, ""));
    let text = stdout(&output);
    assert!(text.contains("\nNOT FOUND  none of 12 designs meets every objective\n"), "{text}");
    assert!(text.contains("12 members of email come closest: email.latency.p99 < 20ms fails: "), "{text}");
    assert!(text.contains("12 members of email is the most that was allowed"), "{text}");
    let output = folder.run(&[&args[..], &["--quiet"]].concat());
    assert_eq!((code(&output), stdout(&output)), (3, ""));
    assert_eq!(stderr(&output), "consumers.email.members=12: email.latency.p99 < 20ms fails\n");
}

#[test]
fn more_runs_are_for_what_is_close() {
    let folder = folder();
    let (_, size) = document(&folder, &[QUICK, MEMBERS]);
    // The limit is what one of the designs has: it is as close as can be.
    let value = size["design"]["expect"][0]["value"].as_f64().unwrap();
    let close = format!("--objective=email.latency.p90 < {value}s");
    let (code, size) = document(&folder, &[&close, MEMBERS, "--max-replications", "6"]);
    assert_eq!((code, &size["max_replications"]), (0, &json!(6)));
    let designs = size["designs"].as_array().unwrap();
    let close = |design: &&Value| design["replications"] == 6;
    let undecided: Vec<&Value> = designs.iter().filter(close).collect();
    assert!(!undecided.is_empty() && undecided.len() < designs.len(), "{designs:?}");
    assert!(designs.iter().all(|design| design["verdict"] != "undecided" || design["replications"] == 6));
}

#[test]
fn finished_designs_are_taken_up_again() {
    let folder = folder();
    let args = ["size", "busy.yaml", QUICK, MEMBERS, "--out", "results"];
    let results = folder.path().join("results");
    let first = folder.run(&args);
    assert_eq!((code(&first), stderr(&first)), (0, ""));
    let whole = files(&results);
    let names: Vec<&str> = whole.iter().map(|(name, _)| name.to_str().unwrap()).collect();
    assert_eq!(names, ["report.txt", "size-email.latency.p90.svg", "size.json"]);
    let kept: Vec<PathBuf> = fs::read_dir(results.join("points")).unwrap().map(|file| file.unwrap().path()).collect();
    // One is missing, one is broken.
    fs::remove_file(&kept[0]).unwrap();
    fs::write(&kept[1], "{ \"digest\":").unwrap();
    let again = folder.run(&args);
    let says = format!("{} of {} designs were finished before", kept.len() - 2, kept.len());
    assert!(stderr(&again).contains(&says), "{}", stderr(&again));
    assert!(files(&results) == whole && again.stdout == first.stdout, "other bytes");
    // With another limit of runs there are other looks, and each has wider or narrower intervals: nothing is taken up.
    let other = folder.run(&[&args[..], &["--max-replications", "3", "--json"]].concat());
    let fresh = folder.run(&["size", "busy.yaml", QUICK, MEMBERS, "--max-replications", "3", "--json"]);
    assert_eq!(other.stdout, fresh.stdout);
}

#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_is_130_and_the_same_command_goes_on() {
    let folder = folder();
    let long = |out: &'static str| {
        let knob = "--minimise=consumers.email.service_time=20ms..139ms";
        ["size", "busy.yaml", "--objective=email.latency.p90 < 1ms", knob, "--jobs", "1", "--out", out]
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
    assert!(!folder.path().join("a/size.json").exists());
    let again = folder.run(&long("a"));
    assert!(stderr(&again).contains(" of 120 designs were finished before"), "{}", stderr(&again));
    let fresh = folder.run(&long("b"));
    assert_eq!((code(&again), code(&fresh)), (3, 3));
    let [again, fresh] = ["a", "b"].map(|out| files(&folder.path().join(out)));
    assert!(again == fresh, "going on gives other bytes");
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_interrupted_before_anything_is_finished_names_no_folder() {
    let folder = folder();
    let args = ["size", "busy.yaml", QUICK, MEMBERS, "--duration", "5000h", "--yes", "--out", "a"];
    let child = folder.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stdout(&output)), (130, ""), "{}", stderr(&output));
    assert!(stderr(&output).contains("nothing is finished yet, so nothing is kept"), "{}", stderr(&output));
    assert!(!folder.path().join("a").exists());
}

#[test]
fn a_verdict_has_the_same_confidence_however_often_a_design_is_looked_at() {
    let folder = folder();
    let level = |most: &str| {
        let (_, size) = document(&folder, &[QUICK, MEMBERS, "--max-replications", most]);
        assert_eq!(size["confidence"], json!(0.95));
        size["confidence_of_a_look"].clone()
    };
    assert_eq!([level("3"), level("6"), level("24")], [json!(0.95), json!(0.975), json!(0.9875)]);
}

#[test]
fn nothing_is_written_without_a_unit() {
    let folder = folder();
    let output = folder.run(&["size", "busy.yaml", "--objective=email.utilisation > 0", MEMBERS]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn gates() {
    let folder = folder();
    let args = ["size", "busy.yaml", QUICK, MEMBERS];
    fs::write(folder.path().join("base.json"), folder.run(&[&args[..], &["--json"]].concat()).stdout).unwrap();
    let base = ["--baseline", "base.json"];
    let same =
        folder.run(&[&args[..], &base, &["--junit", "a.xml", "--sarif", "a.sarif", "--markdown", "a.md"]].concat());
    assert_eq!(code(&same), 0, "{}", stderr(&same));
    assert!(stdout(&same).contains("as before  the smallest design costs "), "{}", stdout(&same));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(read("a.xml").contains("failures=\"0\"") && !read("a.xml").contains("<failure"), "{}", read("a.xml"));
    assert!(read("a.md").starts_with("## edasim: small\n\n**FOUND**"), "{}", read("a.md"));
    assert_eq!(serde_json::from_str::<Value>(&read("a.sarif")).unwrap()["runs"][0]["results"], json!([]));
    // Slower work needs more members.
    let slower = ["--set", "consumers.email.service_time=40ms"];
    let worse = folder.run(&[&args[..], &base, &slower, &["--sarif", "b.sarif"]].concat());
    assert_eq!(code(&worse), 4, "{}", stderr(&worse));
    assert!(stdout(&worse).contains("WORSE      the smallest design costs "), "{}", stdout(&worse));
    let sarif: Value = serde_json::from_str(&read("b.sarif")).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "regression");
    let quiet = folder.run(&[&args[..], &base, &slower, &["--quiet"]].concat());
    assert_eq!((code(&quiet), stdout(&quiet)), (4, ""));
    assert!(stderr(&quiet).contains("WORSE"), "{}", stderr(&quiet));
    let better = folder.run(&[&args[..], &base, &["--set", "consumers.email.service_time=20ms"]].concat());
    assert_eq!(code(&better), 0);
    assert!(stdout(&better).contains("BETTER     the smallest design costs "), "{}", stdout(&better));
}

#[test]
fn what_is_not_met_is_a_failure_for_other_tools() {
    let folder = folder();
    let args = ["size", "busy.yaml", "--objective=email.latency.p99 < 20ms", MEMBERS, "--quiet"];
    let output = folder.run(&[&args[..], &["--junit", "a.xml", "--markdown", "a.md"]].concat());
    assert_eq!(code(&output), 3);
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(read("a.xml").contains("failures=\"1\"") && read("a.xml").contains("--objective"), "{}", read("a.xml"));
    assert!(read("a.md").contains("**NOT FOUND**"), "{}", read("a.md"));
}

#[test]
fn a_baseline_that_does_not_fit_is_2() {
    let folder = folder();
    let args = ["size", "busy.yaml", QUICK, MEMBERS];
    fs::write(folder.path().join("base.json"), folder.run(&[&args[..], &["--json"]].concat()).stdout).unwrap();
    let run = folder.run(&["run", "busy.yaml", "--json"]).stdout;
    fs::write(folder.path().join("run.json"), run).unwrap();
    let other = "--objective=email.latency.p90 < 80ms";
    for (args, says) in [
        (vec![QUICK, MEMBERS, "--baseline", "run.json"], "it is no document of a search"),
        (vec![other, MEMBERS, "--baseline", "base.json"], "it has other objectives"),
        (vec![QUICK, "--minimise=consumers.email.workers=1..3", "--baseline", "base.json"], "minimised something else"),
        (vec![QUICK, "--minimise=consumers.email.members=8..12", "--baseline", "base.json"], "is not among these"),
        (vec![QUICK, MEMBERS, "--baseline", "base.json", "--duration", "20s"], "same duration"),
    ] {
        let output = folder.run(&[&["size", "busy.yaml"], &args[..]].concat());
        assert_eq!((code(&output), stdout(&output)), (2, ""), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn what_cannot_be_searched_is_2() {
    let folder = folder();
    for (args, says) in [
        (&[MEMBERS][..], "there is nothing to meet: the scenario expects nothing"),
        (&[QUICK, "--minimise=consumers.email.members"], "has no bounds"),
        (&[QUICK, "--minimise=consumers.nobody.members=1..4"], "there is no `consumers.nobody`"),
        (&[QUICK, "--minimise=consumers.email.members=0..4"], "--minimise:1:25"),
        (&["--objective=email.latency.p98 < 2s", MEMBERS], "--objective:1:1"),
        (&["--objective=email.latency.p90", MEMBERS], "an expectation compares"),
        (&[QUICK, MEMBERS, "--max-replications", "2"], "is less than the 3 runs"),
        (&[QUICK], "--minimise <PATH=VALUES>"),
    ] {
        let output = folder.run(&[&["size", "busy.yaml"], args].concat());
        assert_eq!((code(&output), stdout(&output)), (2, ""), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn a_knob_that_changes_nothing_is_told() {
    let folder = folder();
    let yaml = fs::read_to_string(folder.path().join("busy.yaml")).unwrap();
    folder.write("busy.yaml", &yaml.replace("profile: ideal", "profile: kafka"));
    // What is ignored makes no other plan.
    let knob = "--minimise=consumers.email.settings.send.buffer.bytes=1000..3000..1000";
    let output = folder.run(&["size", "busy.yaml", QUICK, knob]);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains("all designs are the same"), "{}", stderr(&output));
}

#[test]
fn many_designs_ask_first() {
    let folder = folder();
    let knob = "--minimise=consumers.email.service_time=1us..20000us";
    let output = folder.run(&["size", "busy.yaml", "--objective=email.latency.p90 < 1us", knob]);
    assert_eq!((code(&output), stdout(&output)), (2, ""));
    assert!(stderr(&output).contains("as many as 19999 designs may have to be simulated"), "{}", stderr(&output));
    assert!(stderr(&output).contains("`--yes`"), "{}", stderr(&output));
}
