//! How numbers are shown to people: three significant digits, with units.

use crate::time::SimSpan;
pub(super) use crate::units::{
    show_bytes as bytes_of, show_count as count_of, show_number as number_of, show_rate as rate_of,
    show_seconds as seconds_of, show_share as share_of,
};

/// Shown where there is no number.
pub(super) const NOTHING: &str = "-";

/// Seconds, or [`NOTHING`].
pub(super) fn seconds(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.into(), seconds_of)
}

/// A count, or [`NOTHING`].
pub(super) fn count(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.into(), count_of)
}

/// A share, or [`NOTHING`].
pub(super) fn share(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.into(), share_of)
}

/// A rate per second, or [`NOTHING`].
pub(super) fn rate(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.into(), rate_of)
}

/// Bytes, or [`NOTHING`].
pub(super) fn bytes(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.into(), bytes_of)
}

/// A number without unit to three significant digits, or [`NOTHING`].
pub(super) fn number(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.into(), number_of)
}

/// A span as it would be written in a scenario: `2h`, `1m30s`.
pub(super) fn span(span: SimSpan) -> String {
    crate::units::write_duration(span)
}

/// An interval in short, to stand beside its value: `±9.3ms`, or `≥21ms` where it has no upper end; nothing where it has no
/// width.
pub(super) fn spread((low, high): (f64, f64), show: impl Fn(f64) -> String) -> String {
    match (high - low) / 2.0 {
        half if half.is_infinite() => format!("\u{2265}{}", show(low)),
        half if half > 0.0 => format!("\u{b1}{}", show(half)),
        _ => String::new(),
    }
}

/// The ends of an interval, to stand after its value: ` [20ms, 22ms]`, or ` [20ms or more]` where it has no upper end;
/// nothing where it has no width.
pub(super) fn ends((low, high): (f64, f64), show: impl Fn(f64) -> String) -> String {
    match high {
        _ if high.is_infinite() => format!(" [{} or more]", show(low)),
        _ if low < high => format!(" [{}, {}]", show(low), show(high)),
        _ => String::new(),
    }
}

/// A round number of seconds for an axis, without digits that say nothing: `5ms`, `1m`, `2h`, `1h30m`.
pub(super) fn axis_seconds(seconds: f64) -> String {
    if seconds < 59.95 {
        return plain(&seconds_of(seconds));
    }
    let whole = SimSpan::from_nanos_f64(seconds).0;
    let parts = [(whole / 86_400, "d"), (whole / 3_600 % 24, "h"), (whole / 60 % 60, "m"), (whole % 60, "s")];
    parts.iter().filter(|(number, _)| *number > 0).map(|(number, unit)| format!("{number}{unit}")).collect()
}

/// A round count for an axis: `0`, `500`, `20k`.
pub(super) fn axis_count(count: f64) -> String {
    plain(&count_of(count))
}

/// Takes zeros behind the decimal point away: `1.00ms` becomes `1ms`.
fn plain(text: &str) -> String {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axis_labels_have_no_idle_digits() {
        let labels = [0.0, 1e-6, 0.005, 0.25, 1.0, 50.0, 60.0, 90.0, 3_600.0, 5_400.0, 172_800.0].map(axis_seconds);
        assert_eq!(labels, ["0s", "1us", "5ms", "250ms", "1s", "50s", "1m", "1m30s", "1h", "1h30m", "2d"]);
        assert_eq!([0.0, 500.0, 20_000.0, 1.5e6].map(axis_count), ["0", "500", "20k", "1.5M"]);
    }

    #[test]
    fn what_is_not_there_is_a_dash() {
        assert_eq!(seconds(None), "-");
        assert_eq!(number(Some(0.712)), "0.712");
    }
}
