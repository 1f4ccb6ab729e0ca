//! The `edasim` program: arguments in, exit code out.

fn main() -> std::process::ExitCode {
    edasim::cli::main()
}
