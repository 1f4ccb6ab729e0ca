//! Files that a scenario names, read within limits.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::diagnostics::Diagnostic;
use super::reader::Reader;
use super::tree::{MAX_BYTES, Place};

/// The text of a file that the scenario names, or an error at the place where it is named.
pub(super) fn text(reader: &mut Reader, name: &str, place: Place) -> Option<String> {
    match read(&reader.file(name, place)) {
        Ok(text) => Some(text),
        Err(why) => {
            reader.error(Diagnostic::at(place, format!("cannot read `{name}`: {why}")).label("named here"));
            None
        }
    }
}

/// The text of a file of limited size.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| plain(&error))?;
    if file.metadata().map_err(|error| plain(&error))?.is_dir() {
        return Err("it is a folder".into());
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_BYTES).expect("16 MiB");
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| plain(&error))?;
    if bytes.len() > MAX_BYTES {
        return Err("it is larger than 16 MiB, which no scenario needs".into());
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8 text")
    })
}

/// What the operating system says, without its number.
pub(super) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
