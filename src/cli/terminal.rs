//! Standard output and standard error: width, colour, and what happens when nobody listens.

use std::io::{self, ErrorKind, Write};

use anstream::{AutoStream, ColorChoice};

use super::exit::Exit;
use crate::report::text::Style;

/// Width where there is no terminal.
const WIDTH: usize = 100;
/// Lines longer than this are hard to read.
const WIDEST: usize = 120;

/// The style of the report: what the terminal can do, `NO_COLOR` and `COLUMNS` honoured.
pub(super) fn style() -> Style {
    Style {
        color: AutoStream::choice(&io::stdout()) != ColorChoice::Never,
        width: width(terminal_size::terminal_size_of(io::stdout())),
    }
}

/// The style of diagnostics.
pub(super) fn error_style() -> Style {
    Style {
        color: AutoStream::choice(&io::stderr()) != ColorChoice::Never,
        width: width(terminal_size::terminal_size_of(io::stderr())),
    }
}

fn width(terminal: Option<(terminal_size::Width, terminal_size::Height)>) -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
    let terminal = terminal.map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0);
    columns.or(terminal).unwrap_or(WIDTH).clamp(40, WIDEST)
}

/// Prints to standard output. A reader that has gone away is no error: the program ends quietly.
pub(super) fn print(text: &str) -> Result<(), Exit> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Exit::Done),
        Err(error) => {
            self::error(&format!("cannot write to standard output: {error}"));
            Err(Exit::System)
        }
    }
}

/// Prints lines to standard error; there is nobody to tell if that fails.
pub(super) fn tell(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Prints an error.
pub(super) fn error(text: &str) {
    let red = anstyle::AnsiColor::Red.on_default().bold();
    tell(&format!("{red}error:{red:#} {text}"));
}

/// Prints what a user should know although nothing is wrong.
pub(super) fn note(text: &str) {
    let bold = anstyle::Style::new().bold();
    tell(&format!("{bold}note:{bold:#} {text}"));
}
