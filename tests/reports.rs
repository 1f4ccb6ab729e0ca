//! Every scenario of the repository: what it expects holds, and its report is what comes out, to the byte.
//!
//! `UPDATE_REPORTS=1 cargo test --release --test reports` writes the reports anew; the commit says which number moved and why.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use edasim::scenario::{self, Overrides};

/// Scenarios whose pictures are kept too.
const PICTURED: [&str; 6] =
    ["autoscale-on-lag", "consumer-crash", "hot-key", "order-placement", "read-your-writes", "taxi-surge"];

/// Searches for the smallest design whose reports are kept, beside those of the scenarios.
const SEARCHES: [(&str, &[&str]); 1] = [(
    "capacity-black-friday",
    &[
        "--minimise",
        "consumers.payments.members=1..24",
        "--minimise",
        "consumers.packing.members=1..24",
        "--cost",
        "consumers.payments.members=2",
    ],
)];

/// Result documents of more bytes than this are not kept.
const LARGEST_DOCUMENT: usize = 250_000;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).expect("there is such a folder").map(|file| file.expect("readable").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Names of all scenarios, in order.
fn scenarios() -> BTreeSet<String> {
    let paths = files(&root().join("scenarios")).into_iter();
    let yaml = paths.filter(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    yaml.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
}

/// `edasim run` or another command, as a user at the root of the repository types it.
fn edasim(command: &str, name: &str, arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_edasim"));
    program.current_dir(root()).env("COLUMNS", "100").env("NO_COLOR", "1");
    program.args([command, &format!("scenarios/{name}.yaml")]).args(arguments);
    program.output().expect("runs")
}

/// What is wrong with a run whose expectations should hold.
fn complaint(what: &str, output: &Output) -> Option<String> {
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    (!output.status.success()).then(|| format!("{what}: {}\n{}", output.status, String::from_utf8_lossy(&said)))
}

/// The files that are kept of a scenario, with what they should hold now.
fn fresh(name: &str, wrong: &mut Vec<String>) -> Vec<(PathBuf, Vec<u8>)> {
    let out = tempfile::tempdir().expect("a folder");
    let result = edasim("run", name, &["--out", &out.path().to_string_lossy()]);
    wrong.extend(complaint(name, &result));
    let reports = root().join("reports");
    let mut kept = vec![(reports.join(format!("{name}.txt")), result.stdout)];
    for path in files(out.path()) {
        let ending = path.extension().unwrap_or_default();
        let bytes = std::fs::read(&path).expect("readable");
        let small = ending == "json" && bytes.len() <= LARGEST_DOCUMENT;
        if small || (ending == "svg" && PICTURED.contains(&name)) {
            kept.push((reports.join(name).join(path.file_name().expect("a name")), bytes));
        }
    }
    for (_, arguments) in SEARCHES.iter().filter(|(searched, _)| *searched == name) {
        let result = edasim("size", name, arguments);
        wrong.extend(complaint(&format!("size of {name}"), &result));
        kept.push((reports.join(format!("{name}-size.txt")), result.stdout));
    }
    kept
}

/// The first line that differs between what is kept and what comes out.
fn difference(path: &Path, fresh: &[u8]) -> Option<String> {
    let name = path.strip_prefix(root()).expect("inside").display().to_string();
    let Ok(kept) = std::fs::read(path) else { return Some(format!("{name} is missing")) };
    if kept == fresh {
        return None;
    }
    let [kept, fresh] = [kept.as_slice(), fresh].map(String::from_utf8_lossy);
    let same = kept.lines().zip(fresh.lines()).take_while(|(kept, fresh)| kept == fresh).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("(the end)").chars().take(160).collect::<String>();
    Some(format!("{name}:{}\n  kept       {}\n  comes out  {}", same + 1, line(&kept), line(&fresh)))
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("in a folder")).expect("can be made");
    std::fs::write(path, bytes).expect("can be written");
}

#[test]
fn reports_are_what_the_scenarios_say() {
    let mut wrong = Vec::new();
    let mut known = BTreeSet::new();
    for name in scenarios() {
        for (path, bytes) in fresh(&name, &mut wrong) {
            if std::env::var_os("UPDATE_REPORTS").is_some() {
                write(&path, &bytes);
            }
            wrong.extend(difference(&path, &bytes));
            known.insert(path);
        }
    }
    let strangers = files(&root().join("reports")).into_iter().filter(|path| !known.contains(path));
    wrong.extend(strangers.map(|path| format!("{} belongs to no scenario", path.display())));
    assert!(wrong.is_empty(), "{}\n(look at the difference, then UPDATE_REPORTS=1)", wrong.join("\n"));
}

#[test]
fn variants_hold_what_they_expect() {
    let mut wrong = Vec::new();
    for name in scenarios() {
        let loaded = scenario::load(&root().join(format!("scenarios/{name}.yaml")), &Overrides::default());
        let variants = loaded.map(|loaded| loaded.variants).unwrap_or_default();
        for variant in variants.iter().skip(1) {
            // The limits of variants are wide: three runs tell.
            let result = edasim("run", &name, &["--quiet", "--variant", variant, "--replications", "3"]);
            wrong.extend(complaint(&format!("{name}, variant {variant}"), &result));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_readme_shows_what_comes_out() {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).expect("readable");
    let readme = read("README.md");
    for (name, arguments) in SEARCHES {
        let report = read(&format!("reports/{name}-size.txt"));
        let block = readme.split("```").find(|block| block.starts_with(&format!("text\n{name}  ")));
        let block = block.expect("the report is shown");
        for line in block.lines().skip(1).filter(|line| *line != "...") {
            assert!(report.lines().any(|kept| kept == line), "not in the report: {line}");
        }
        let scenario = read(&format!("scenarios/{name}.yaml"));
        for text in [&readme, &scenario] {
            let missing = arguments.iter().find(|argument| !text.contains(*argument));
            assert_eq!(missing, None, "the command is not the one that is kept");
        }
    }
}
