//! Exit codes, and the bug report that a broken invariant prints.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::OnceLock;

use super::terminal;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// All is well; also when the reader of the output has gone away (`| head`).
    Done = 0,
    /// A file or the system.
    System = 1,
    /// The scenario or the usage.
    Input = 2,
    /// An expectation fails or is undecided.
    Expectation = 3,
    /// Worse than the baseline.
    Regression = 4,
    /// A bug in the simulator.
    Bug = 5,
    /// Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What a bug report needs to say about the run at hand.
static RUN: OnceLock<String> = OnceLock::new();

/// Remembers the command that repeats the run, for bug reports.
pub(super) fn remember(command: &str) {
    let _ = RUN.set(command.to_owned());
}

/// Tells of a bug in the simulator, with all that is needed to see it again.
pub(super) fn bug(what: &str, seed: Option<u64>) -> Exit {
    let seed = seed.map_or_else(String::new, |seed| format!("  seed     {seed}\n"));
    let repeat = RUN
        .get()
        .cloned()
        .unwrap_or_else(|| std::env::args().map(|argument| super::quoted(&argument)).collect::<Vec<_>>().join(" "));
    terminal::error(&format!(
        "{what}\nThis is a bug in edasim, not in the scenario: no result is given. Please report these lines.\n  \
         version  {}\n{seed}  repeat   {repeat}",
        env!("CARGO_PKG_VERSION")
    ));
    Exit::Bug
}

/// Makes a panic anywhere a bug report and exit code 5.
pub(super) fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, |place| format!(" ({}:{})", place.file(), place.line()));
        let what = panic.payload_as_str().unwrap_or("panic");
        let exit = bug(&format!("an assertion failed: {what}{place}"), None);
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            let _ = writeln!(std::io::stderr(), "{}", std::backtrace::Backtrace::force_capture());
        }
        std::process::exit(exit as i32);
    }));
}
