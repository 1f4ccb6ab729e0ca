//! Distributions from files: samples, percentile tables, HdrHistogram logs, and values in the order of the messages.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use super::diagnostics::Diagnostic;
use super::distributions::{Of, possible};
use super::files;
use super::reader::{Fields, Reader};
use super::traces::{self, Column};
use super::tree::{Entry, Node};
use crate::dist::Dist;

/// Samples that stand for a histogram.
const SAMPLES: u64 = 20_000;

/// What a file of values is said to hold.
struct Source<'a> {
    file: &'a Node,
    column: Option<&'a Node>,
    /// Value of a bare number, in ns, bytes or things; none: not said.
    unit: Option<f64>,
}

impl<'a> Source<'a> {
    fn read(reader: &mut Reader, entry: &'a Entry, of: Of) -> Option<Self> {
        let mut fields = Fields::open(reader, &entry.value, entry.place, "", format!("`{}`", entry.key))?;
        let file = fields.required(reader, "file", "file: latencies.csv");
        let column = fields.get("column");
        let unit = fields.get("unit");
        fields.finish(reader);
        let unit = match (unit, of) {
            (None, Of::Time) => None,
            (None, Of::Size | Of::Count) => Some(1.0),
            (Some(node), Of::Time) => {
                Some(reader.quantity(node, |unit| Of::Time.parse(&format!("1{unit}")), "a unit like `ms`")?)
            }
            (Some(node), Of::Size) => {
                Some(reader.quantity(node, |unit| Of::Size.parse(&format!("1{unit}")), "a unit like `B`")?)
            }
            (Some(node), Of::Count) => {
                reader.error(Diagnostic::at(node.place, "counts have no unit").help("leave `unit` out"));
                return None;
            }
        };
        Some(Self { file: file?, column, unit })
    }

    /// One value as the file has it: a bare number of `unit`, or a quantity.
    fn value(&self, cell: &str, of: Of) -> Result<f64, String> {
        match (traces::number(cell), self.unit) {
            (Ok(number), Some(unit)) => Ok(number * unit),
            (Ok(_), None) => Err(format!("`{cell}` is a bare number: say its `unit`, like `unit: ms`")),
            (Err(why), _) => of.parse(cell).map_err(|_| why),
        }
    }
}

/// `{ trace: { file, column, unit } }`: the n-th value belongs to the n-th message.
pub(super) fn trace(reader: &mut Reader, entry: &Entry, of: Of) -> Option<Dist> {
    let source = Source::read(reader, entry, of)?;
    let values = Column::read(reader, source.file, source.column)?.values(reader, |cell| source.value(cell, of))?;
    possible(reader, Dist::trace(values), entry.place, "trace")
}

/// `{ empirical: { file } }`: samples, a percentile table, or an HdrHistogram log.
pub(super) fn empirical(reader: &mut Reader, entry: &Entry, of: Of) -> Option<Dist> {
    let source = Source::read(reader, entry, of)?;
    let name = source.file.text().unwrap_or_default();
    if name.ends_with(".hlog") {
        return histogram_log(reader, entry, &source);
    }
    if name.ends_with(".hgrm") {
        return percentile_output(reader, entry, &source);
    }
    if source.column.is_none()
        && let Some(points) = percentile_table(reader, &source, of)
    {
        return possible(reader, Dist::percentiles(&points?), entry.place, "percentile table");
    }
    let samples = Column::read(reader, source.file, source.column)?.values(reader, |cell| source.value(cell, of))?;
    possible(reader, Dist::empirical(samples), entry.place, "empirical")
}

/// A CSV file with the columns `percentile` (`50`, `99.9`, `p99`) and `value`; none: it is something else.
fn percentile_table(reader: &mut Reader, source: &Source<'_>, of: Of) -> Option<Option<Vec<(f64, f64)>>> {
    let name = source.file.text()?;
    let text = files::read(&reader.file(name, source.file.place)).ok()?;
    let header: Vec<&str> = text.lines().next()?.split(',').map(str::trim).collect();
    if !(header.contains(&"percentile") && header.contains(&"value")) {
        return None;
    }
    let column = |name: &str| Node { place: source.file.place, value: super::tree::Value::Text(name.to_owned()) };
    let probabilities = Column::read(reader, source.file, Some(&column("percentile")))?.values(reader, |cell| {
        let number = traces::number(cell.trim_start_matches('p').trim_end_matches('%'))?;
        if number <= 100.0 { Ok(number / 100.0) } else { Err(format!("`{cell}` is no percentile")) }
    });
    let values =
        Column::read(reader, source.file, Some(&column("value")))?.values(reader, |cell| source.value(cell, of));
    Some(probabilities.zip(values).map(|(probabilities, values)| probabilities.into_iter().zip(values).collect()))
}

/// The percentile output of HdrHistogram: `Value Percentile TotalCount 1/(1-Percentile)`.
fn percentile_output(reader: &mut Reader, entry: &Entry, source: &Source<'_>) -> Option<Dist> {
    let text = files::text(reader, source.file.text()?, source.file.place)?;
    let unit = histogram_unit(reader, entry, source)?;
    let mut points: Vec<(f64, f64)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut cells = line.split_whitespace().map(str::parse::<f64>);
        if let (Some(Ok(value)), Some(Ok(probability))) = (cells.next(), cells.next())
            && (0.0..=1.0).contains(&probability)
            && value > 0.0
            && points.last().is_none_or(|last| probability > last.0)
        {
            points.push((probability, value * unit));
        }
    }
    possible(reader, Dist::percentiles(&points), entry.place, "percentile table")
}

/// All intervals of an HdrHistogram log together.
fn histogram_log(reader: &mut Reader, entry: &Entry, source: &Source<'_>) -> Option<Dist> {
    let text = files::text(reader, source.file.text()?, source.file.place)?;
    let unit = histogram_unit(reader, entry, source)?;
    match sum_of_log(&text) {
        Ok(sum) if !sum.is_empty() => {
            let count = sum.len().min(SAMPLES);
            let sample = |i: u64| sum.value_at_quantile((i as f64 + 0.5) / count as f64) as f64 * unit;
            possible(reader, Dist::empirical((0..count).map(sample).collect()), entry.place, "histogram log")
        }
        other => {
            let why = other.err().unwrap_or_else(|| "it holds no values".into());
            let message = format!("cannot read the histogram log `{}`: {why}", source.file.to_text());
            reader.error(Diagnostic::at(source.file.place, message));
            None
        }
    }
}

fn histogram_unit(reader: &mut Reader, entry: &Entry, source: &Source<'_>) -> Option<f64> {
    if source.unit.is_none() {
        let error = Diagnostic::at(entry.place, "a histogram holds bare numbers: it lacks their `unit`");
        reader.error(error.help("add `unit: us` (or `ns`, as it was recorded)"));
    }
    source.unit
}

fn sum_of_log(text: &str) -> Result<Histogram<u64>, String> {
    let mut sum = Histogram::<u64>::new(3).map_err(|error| error.to_string())?;
    sum.auto(true);
    let mut deserializer = Deserializer::new();
    for entry in IntervalLogIterator::new(text.as_bytes()) {
        let entry = entry.map_err(|_| "it is not an HdrHistogram log, version 1.3".to_owned())?;
        if let LogEntry::Interval(interval) = entry {
            let bytes = base64(interval.encoded_histogram()).ok_or("a histogram is not base64")?;
            let one: Histogram<u64> =
                deserializer.deserialize(&mut bytes.as_slice()).map_err(|error| format!("{error:?}"))?;
            sum.add(&one).map_err(|error| format!("{error:?}"))?;
        }
    }
    Ok(sum)
}

/// Standard base64, padded or not (RFC 4648, section 4).
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let six = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0x00FF_FFFF;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xFF).expect("masked to eight bits"));
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_rfc_4648() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")] {
            assert_eq!(base64(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(base64("Zg!="), None);
    }
}
