//! How numbers are shown to people: three significant digits, with units.

use crate::time::SimSpan;

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

pub(super) fn seconds_of(seconds: f64) -> String {
    if seconds == 0.0 {
        return "0s".into();
    }
    if seconds < 59.95 {
        return scaled(seconds * 1e9, &[("ns", 1e3), ("us", 1e3), ("ms", 1e3), ("s", f64::INFINITY)]);
    }
    let (parts, high, low) = if seconds < 3_599.5 {
        ((seconds, 60), "m", "s")
    } else if seconds < 86_370.0 {
        ((seconds / 60.0, 60), "h", "m")
    } else {
        ((seconds / 3_600.0, 24), "d", "h")
    };
    let whole = SimSpan::from_nanos_f64(parts.0).0;
    format!("{}{high} {:02}{low}", whole / parts.1, whole % parts.1)
}

pub(super) fn count_of(count: f64) -> String {
    if count < 9_999.5 {
        let whole = count.round();
        return if (count - whole).abs() < 1e-9 { format!("{whole}") } else { number_of(count) };
    }
    scaled(count, &[("", 1e3), ("k", 1e3), ("M", 1e3), ("G", 1e3), ("T", f64::INFINITY)])
}

pub(super) fn bytes_of(bytes: f64) -> String {
    scaled(bytes, &[("B", 1e3), ("kB", 1e3), ("MB", 1e3), ("GB", 1e3), ("TB", f64::INFINITY)])
}

pub(super) fn share_of(share: f64) -> String {
    let text = number_of(share * 100.0);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}%")
}

pub(super) fn rate_of(per_second: f64) -> String {
    format!("{}/s", count_of(per_second))
}

/// A span as it would be written in a scenario: `2h`, `1m30s`.
pub(super) fn span(span: SimSpan) -> String {
    axis_seconds(span.seconds())
}

pub(super) fn number_of(value: f64) -> String {
    let decimals = match value.abs() {
        v if v < 0.000_000_5 => 0,
        v if v < 0.009_995 => 5,
        v if v < 0.099_95 => 4,
        v if v < 0.999_5 => 3,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

fn scaled(mut value: f64, units: &[(&str, f64)]) -> String {
    for (unit, limit) in units {
        if value < limit * 0.9995 {
            return format!("{}{unit}", number_of(value));
        }
        value /= limit;
    }
    String::new()
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
