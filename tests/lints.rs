//! Taste, kept by a test: format, lints and documentation are without complaint.

use std::path::Path;
use std::process::Command;

/// Runs a cargo command with warnings as errors; skipped, with a word, where the component is not installed.
fn cargo(component: &str, arguments: &[&str]) {
    let cargo = || {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        // A folder of its own: the cargo that runs this test may hold the lock of the usual one.
        command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("lints"));
        command.env("RUSTDOCFLAGS", "-D warnings").env_remove("RUSTFLAGS");
        command
    };
    if !cargo().args([component, "--version"]).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: cargo {component} is not installed");
        return;
    }
    let output = cargo().arg(component).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn format() {
    cargo("fmt", &["--check"]);
}

#[test]
fn lints() {
    cargo("clippy", &["--locked", "--all-targets", "--quiet", "--", "-D", "warnings"]);
}

#[test]
fn documentation() {
    cargo("doc", &["--locked", "--no-deps", "--quiet"]);
}
