//! The committed reports are what the scenarios say today, to the byte, and every expectation of theirs holds.
//!
//! `UPDATE_REPORTS=1 cargo test --release --test reports` writes them anew.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Scenarios whose pictures are committed too.
const PICTURED: [&str; 3] = ["consumer-crash", "hot-key", "taxi-surge"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn scenarios() -> Vec<String> {
    let files = std::fs::read_dir(root().join("scenarios")).expect("there are scenarios");
    let mut names: Vec<String> = files
        .filter_map(|file| {
            let path = file.expect("readable").path();
            (path.extension()? == "yaml").then(|| path.file_stem().expect("a name").to_string_lossy().into_owned())
        })
        .collect();
    names.sort();
    names
}

/// Compares with the committed file, or writes it.
fn hold(path: &Path, fresh: &[u8], wrong: &mut Vec<String>) {
    if std::env::var_os("UPDATE_REPORTS").is_some() {
        std::fs::create_dir_all(path.parent().expect("in a folder")).expect("can be made");
        std::fs::write(path, fresh).expect("can be written");
    } else if std::fs::read(path).ok().as_deref() != Some(fresh) {
        wrong.push(path.strip_prefix(root()).expect("inside").display().to_string());
    }
}

#[test]
fn reports_are_what_the_scenarios_say() {
    let mut wrong = Vec::new();
    for name in scenarios() {
        let out = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_edasim"));
        command.current_dir(root()).env("COLUMNS", "100").env("NO_COLOR", "1");
        command.args(["run", &format!("scenarios/{name}.yaml")]);
        if PICTURED.contains(&name.as_str()) {
            command.arg("--out").arg(out.path());
        }
        let result = command.output().expect("runs");
        let stderr = String::from_utf8_lossy(&result.stderr);
        assert_eq!(result.status.code(), Some(0), "{name}: {}\n{stderr}", String::from_utf8_lossy(&result.stdout));
        hold(&root().join("reports").join(format!("{name}.txt")), &result.stdout, &mut wrong);
        for file in std::fs::read_dir(out.path()).expect("readable") {
            let path = file.expect("readable").path();
            if path.extension().is_some_and(|ending| ending == "svg") {
                let fresh = std::fs::read(&path).expect("readable");
                let kept = root().join("reports").join(&name).join(path.file_name().expect("a name"));
                hold(&kept, &fresh, &mut wrong);
            }
        }
    }
    assert!(wrong.is_empty(), "not what is committed (look at the difference, then UPDATE_REPORTS=1): {wrong:#?}");
}
