//! Taste, kept by a test: format, lints and documentation are without complaint.

use std::path::Path;
use std::process::{Command, Output};

fn output(command: &mut Command) -> Option<Output> {
    command.output().ok().filter(|output| output.status.success())
}

/// Whether the compiler is the one that the package names: others complain of other things.
fn is_our_compiler() -> bool {
    let version = output(Command::new("rustc").arg("--version")).map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&version).starts_with(concat!("rustc ", env!("CARGO_PKG_RUST_VERSION"), "."))
}

/// A cargo command. Its folder is its own: the cargo that runs this test may hold the lock of the usual one.
fn cargo(component: &str) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).arg(component);
    command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("lints"));
    command.env("RUSTDOCFLAGS", "-D warnings").env_remove("RUSTFLAGS");
    command
}

/// Runs a component with warnings as errors; skipped where it is not installed or another version than ours.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn hold(component: &str, arguments: &[&str]) {
    if !is_our_compiler() || output(cargo(component).arg("--version")).is_none() {
        println!("skipped: {component} of Rust {} is not installed", env!("CARGO_PKG_RUST_VERSION"));
        return;
    }
    let output = cargo(component).args(arguments).output().expect("it has told its version");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn format() {
    hold("fmt", &["--check"]);
}

#[test]
fn lints() {
    hold("clippy", &["--locked", "--all-targets", "--quiet", "--", "-D", "warnings"]);
}

#[test]
fn documentation() {
    hold("doc", &["--locked", "--no-deps", "--quiet"]);
}
