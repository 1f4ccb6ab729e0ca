//! How the program is built must not matter: a build with every check on gives the bytes of the optimised one.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Scenarios, and how much of them a build without optimisation runs in a few seconds.
const CASES: [(&str, &str); 6] = [
    ("consumer-crash", "8m"),
    ("hot-key", "3m"),
    ("mm1", "5m"),
    ("order-placement", "80s"),
    ("slow-consumer", "3m"),
    ("w2", "5s"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program without optimisation, with overflow checks and debug assertions.
fn checked_build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("checked");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["build", "--locked", "--quiet", "--bin", "edasim", "--target-dir"]).arg(&target);
    assert!(cargo.status().expect("cargo runs").success(), "the program does not build");
    target.join("debug/edasim")
}

fn document(program: &Path, (name, duration): (&str, &str), schedule: &str) -> String {
    let mut command = Command::new(program);
    command.current_dir(root()).args(["run", &format!("scenarios/{name}.yaml"), "--json", "--replications", "2"]);
    let output = command.args(["--duration", duration, "--schedule", schedule]).output().expect("runs");
    let code = output.status.code();
    // What the scenario expects of its whole length may fail.
    assert!(code == Some(0) || code == Some(3), "{name}: {code:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("JSON")
}

#[test]
fn checked_and_optimised_builds_give_the_same_bytes() {
    let checked = checked_build();
    for case in CASES {
        let optimised = document(Path::new(env!("CARGO_BIN_EXE_edasim")), case, "windowed");
        for schedule in ["windowed", "stepwise"] {
            let same = document(&checked, case, schedule) == optimised;
            assert!(same, "{} {schedule}: a build without optimisation gives other bytes", case.0);
        }
    }
}
