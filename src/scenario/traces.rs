//! Columns of CSV files, plain or gzip: times, counts, values and texts, one for each row.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::diagnostics::{Diagnostic, listed, nearest};
use super::files::plain;
use super::reader::Reader;
use super::tree::{Layer, Node, Place};

/// Largest trace, unpacked.
const MAX_BYTES: u64 = 512 << 20;
/// Most rows.
const MAX_ROWS: usize = 20_000_000;

/// One column of a file.
pub(super) struct Column {
    file: String,
    text: String,
    /// Line and text of each cell.
    cells: Vec<(u64, String)>,
    named: Place,
}

impl Column {
    /// Reads a column by name, or by index from 0; a file with one column needs neither.
    pub(super) fn read(reader: &mut Reader, file: &Node, column: Option<&Node>) -> Option<Self> {
        let Some(name) = file.text() else {
            reader.wrong_kind(file, "the name of a CSV file");
            return None;
        };
        let text = match unpacked(&reader.file(name, file.place)) {
            Ok(text) => text,
            Err(why) => {
                reader.error(Diagnostic::at(file.place, format!("cannot read `{name}`: {why}")).label("named here"));
                return None;
            }
        };
        let mut found = Self { file: name.to_owned(), text, cells: Vec::new(), named: file.place };
        found.fill(reader, column).then_some(found)
    }

    /// Takes the cells out of the text; false if an error was recorded.
    fn fill(&mut self, reader: &mut Reader, column: Option<&Node>) -> bool {
        let text = std::mem::take(&mut self.text);
        let mut rows = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let mut index = None;
        let mut failed = None;
        for (row, record) in rows.records().enumerate() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    failed = Some((error.position().map_or(1, csv::Position::line), error.to_string()));
                    break;
                }
            };
            let line = record.position().map_or(1, csv::Position::line);
            if row == 0 {
                match self.choose(reader, &record, column) {
                    Some((chosen, header)) => {
                        index = Some(chosen);
                        if header {
                            continue;
                        }
                    }
                    None => return false,
                }
            }
            let Some(cell) = index.and_then(|index| record.get(index)) else {
                failed = Some((line, "this row has too few columns".into()));
                break;
            };
            if self.cells.len() >= MAX_ROWS {
                failed = Some((line, format!("this trace has more than {MAX_ROWS} rows")));
                break;
            }
            self.cells.push((line, cell.to_owned()));
        }
        self.text = text;
        if let Some((line, why)) = failed {
            self.bad(reader, line, &why);
            return false;
        }
        if self.cells.is_empty() {
            reader.error(Diagnostic::at(self.named, format!("`{}` has no rows", self.file)));
            return false;
        }
        true
    }

    /// Index of the column asked for, and whether the first row is a header.
    fn choose(&self, reader: &mut Reader, first: &csv::StringRecord, column: Option<&Node>) -> Option<(usize, bool)> {
        let is_value = |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
        let header = |index: usize| !first.get(index).is_some_and(is_value);
        let Some(node) = column else {
            if first.len() == 1 {
                return Some((0, header(0)));
            }
            let message = format!("`{}` has {} columns: say which", self.file, first.len());
            reader.error(Diagnostic::at(self.named, message).help(format!("there are {}", listed(first.iter()))));
            return None;
        };
        let wanted = node.text().unwrap_or_default();
        if let Some(index) = first.iter().position(|name| name == wanted) {
            return Some((index, true));
        }
        if let Some(index) = wanted.parse::<usize>().ok().filter(|index| *index < first.len()) {
            return Some((index, header(index)));
        }
        let near = nearest(wanted, first.iter()).map(|name| format!("did you mean `{name}`?"));
        let help = near
            .unwrap_or_else(|| format!("there are {}; a column also goes by its index, from 0", listed(first.iter())));
        reader.error(Diagnostic::at(node.place, format!("`{}` has no column `{wanted}`", self.file)).help(help));
        None
    }

    /// All cells as values; an error names file and line of the first that is none.
    pub(super) fn values<T>(&self, reader: &mut Reader, parse: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        let mut values = Vec::with_capacity(self.cells.len());
        for (line, cell) in &self.cells {
            match parse(cell) {
                Ok(value) => values.push(value),
                Err(why) => {
                    self.bad(reader, *line, &why);
                    return None;
                }
            }
        }
        Some(values)
    }

    /// All cells as they are.
    pub(super) fn texts(self) -> Vec<String> {
        self.cells.into_iter().map(|(_, text)| text).collect()
    }

    /// Records an error in a line of the file.
    pub(super) fn bad(&self, reader: &mut Reader, line: u64, why: &str) {
        let number = usize::try_from(line).unwrap_or(usize::MAX);
        let text: String =
            self.text.lines().nth(number.saturating_sub(1)).unwrap_or_default().chars().take(200).collect();
        let end = u32::try_from(text.len()).expect("at most 200 characters");
        let source = reader.add_line(&self.file, number, text);
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        let place = Place { source, layer: Layer::File, line, column: 1, start: 0, end };
        let message = format!("cannot read the trace `{}`: {why}", self.file);
        reader.error(Diagnostic::at(place, message).context(self.named, "named here"));
    }
}

/// The text of a file, unpacked if it is gzip.
fn unpacked(path: &Path) -> Result<String, String> {
    let mut file = File::open(path).map_err(|error| plain(&error))?;
    if file.metadata().map_err(|error| plain(&error))?.is_dir() {
        return Err("it is a folder".into());
    }
    let mut magic = Vec::new();
    (&mut file).take(2).read_to_end(&mut magic).map_err(|error| plain(&error))?;
    let whole = magic.as_slice().chain(file);
    let mut bytes = Vec::new();
    if magic == [0x1f, 0x8b] {
        MultiGzDecoder::new(whole).take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| plain(&error))?;
    } else {
        whole.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| plain(&error))?;
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err("it is larger than 512 MiB".into());
    }
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8 text")
    })
}

/// A number of a trace, not negative: `94.0`.
pub(super) fn number(cell: &str) -> Result<f64, String> {
    match cell.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        Ok(_) => Err(format!("`{cell}` is negative or has no value")),
        Err(_) => Err(format!("`{cell}` is not a number")),
    }
}

/// A time of a trace in ns since some epoch: a number of `unit` ns, `2014-07-01 00:00:00`, or RFC 3339.
pub(super) fn time(cell: &str, unit: Option<u64>) -> Result<i128, String> {
    if let Some(nanos) = timestamp(cell) {
        return Ok(nanos);
    }
    let value =
        number(cell).map_err(|_| format!("`{cell}` is neither a time like `2014-07-01 00:00:00` nor a number"))?;
    let unit = unit.ok_or_else(|| format!("`{cell}` is a bare number: say its `unit`, like `unit: s`"))?;
    // Whole units exactly, fractions to the nearest ns.
    #[expect(clippy::cast_possible_truncation, reason = "float-to-int casts saturate, and traces are shorter")]
    let (whole, fraction) = (value.trunc() as i128, ((value.fract() * unit as f64) + 0.5) as i128);
    Ok(whole.saturating_mul(i128::from(unit)).saturating_add(fraction))
}

/// `2014-07-01 00:00:00`, with `T` for the blank, fractions of a second, `Z` or `+01:00`.
fn timestamp(text: &str) -> Option<i128> {
    let (date, rest) = text.split_once([' ', 'T'])?;
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let zone_at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.trim().splitn(3, ':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let second = parts.next().map_or(Some(0), |second| digits(second, 2))?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let fraction = fraction.trim();
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: i128 = format!("{fraction:0<9}").parse().ok()?;
    let offset = match zone.split_at_checked(1) {
        None | Some(("Z", "")) => 0,
        Some((sign, clock)) => {
            let (hours, minutes) = clock.split_once(':')?;
            let seconds = digits(hours, 2)? * 3_600 + digits(minutes, 2)? * 60;
            if sign == "-" { -seconds } else { seconds }
        }
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    Some(i128::from(seconds) * 1_000_000_000 + nanos)
}

fn digits(text: &str, length: usize) -> Option<i64> {
    if text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_traces() {
        let second = 1_000_000_000;
        assert_eq!(time("1970-01-01 00:00:01", None), Ok(second));
        assert_eq!(
            time("2014-07-01 00:30:00", None).unwrap() - time("2014-07-01 00:00:00", None).unwrap(),
            1_800 * second
        );
        assert_eq!(time("2014-07-01T02:00:00+02:00", None), time("2014-07-01T00:00:00Z", None));
        assert_eq!(time("2014-06-30T22:00:00-02:00", None), time("2014-07-01T00:00:00Z", None));
        assert_eq!(
            time("2000-03-01 00:00:00", None).unwrap() - time("2000-02-28 00:00:00", None).unwrap(),
            2 * 86_400 * second
        );
        assert_eq!(time("1404172800", Some(1_000_000_000)), time("2014-07-01T00:00:00Z", None));
        assert_eq!(time("1.5", Some(1_000_000)), Ok(1_500_000));
        assert_eq!(time("2023-11-16 18:15:46.680590", None).unwrap() % second, 680_590_000);
        for wrong in ["yesterday", "2014-13-01 00:00:00", "2014-07-01", "2014-07-01 25:00:00", "-5", "NaN", "7"] {
            assert!(time(wrong, None).is_err(), "{wrong}");
        }
    }
}
