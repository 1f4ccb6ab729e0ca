//! Arguments, files, terminal, exit codes; the one place that prints.

/// Runs the program.
#[must_use]
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
