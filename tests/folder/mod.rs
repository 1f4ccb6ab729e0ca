//! A folder in which the program is run as its users run it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use assert_cmd::cargo::CommandCargoExt as _;

/// A scenario that takes no time: 100 events.
pub(crate) const SMALL: &str = "\
# Question: does it work?
#
# Not shown.
name: small
seed: 7
duration: 10s
replications: 1
buses: { main: { profile: ideal, topics: { orders: { partitions: 2 } } } }
producers: { shop: { publishes: orders, arrivals: { poisson: 10/s } } }
consumers: { email: { subscribes: orders, service_time: 5ms } }
";

/// A folder of its own for a test, with that scenario in it.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("small.yaml", SMALL);
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("edasim").unwrap();
        command.args(args).current_dir(self.path()).env_remove("COLUMNS").env("NO_COLOR", "1");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}
