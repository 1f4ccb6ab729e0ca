//! Quantities with units, written and read: durations, sizes, rates, shares, factors and counts.
//!
//! Reading is exact: decimal text becomes integer nanoseconds and bytes without passing through binary fractions.
//! Showing rounds to three significant digits, for people.

use std::fmt;

use crate::time::SimSpan;

/// Longest duration and largest size that can be written: 2^62 (ns: 146 years).
const LARGEST: u128 = 1 << 62;

/// Units of durations with their length in ns, smallest first.
const DURATIONS: [(&str, u128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Units of sizes in bytes.
const SIZES: [(&str, u128); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
];

/// Suffixes of counts.
const COUNTS: [(&str, u128); 4] = [("", 1), ("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)];

/// What rates are per, in seconds.
const PER: [(&str, f64); 4] = [("s", 1.0), ("min", 60.0), ("h", 3_600.0), ("d", 86_400.0)];

/// Why a text is not the quantity that was expected, and what would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitError {
    /// What is wrong: `` `20` has no unit ``.
    pub message: String,
    /// What fits: ``a duration is written like `20ms`, with one of ns, us, ms, s, m, h, d``.
    pub help: String,
}

impl UnitError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.message, self.help)
    }
}

/// A decimal number as written: `digits / 10^scale`.
#[derive(Clone, Copy)]
struct Decimal {
    digits: u128,
    scale: u32,
}

impl Decimal {
    /// Times `unit`, rounded to the nearest whole number; and whether that was exact.
    fn times(self, unit: u128) -> (u128, bool) {
        let product = self.digits.saturating_mul(unit);
        let divisor = 10_u128.pow(self.scale);
        ((product + divisor / 2) / divisor, product.is_multiple_of(divisor))
    }

    fn value(self) -> f64 {
        // One rounding: both are exact in binary as long as the digits fit 53 bits.
        self.digits as f64 / 10_u128.pow(self.scale) as f64
    }
}

/// A duration: `250us`, `20ms`, `1.5s`, `1h30m`, `7d`.
///
/// # Errors
/// Says which units fit.
pub fn parse_duration(text: &str) -> Result<SimSpan, UnitError> {
    let help = || "a duration is written like `20ms` or `1h30m`; units are ns, us, ms, s, m, h, d";
    let mut rest = text;
    let mut total = 0_u128;
    let mut smaller_than = u128::MAX;
    while !rest.is_empty() || total == 0 && smaller_than == u128::MAX {
        let (number, after) = split_number(text, rest, "a duration", help())?;
        let end = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let Some((_, length)) = DURATIONS.iter().find(|(name, _)| *name == unit) else {
            return Err(wrong_unit(text, unit, help()));
        };
        if *length >= smaller_than {
            return Err(UnitError::new(
                format!("`{text}`: `{unit}` cannot follow a smaller unit"),
                "write the larger unit first: `1h30m`",
            ));
        }
        smaller_than = *length;
        total = total.saturating_add(number.times(*length).0);
        rest = next;
    }
    match u64::try_from(total) {
        Ok(nanos) if total <= LARGEST => Ok(SimSpan(nanos)),
        _ => Err(UnitError::new(format!("`{text}` is too long"), "the longest duration is 146 years")),
    }
}

/// A size in bytes: `480B`, `2KiB`, `1MB`.
///
/// # Errors
/// Says which units fit.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let help = "a size is written like `480B` or `2KiB`; units are B, kB, KiB, MB, MiB, GB, GiB, TB";
    let (number, unit) = split_number(text, text, "a size", help)?;
    let Some((_, bytes)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        return Err(wrong_unit(text, unit, help));
    };
    let (bytes, exact) = number.times(*bytes);
    if !exact {
        return Err(UnitError::new(format!("`{text}` is not a whole number of bytes"), help));
    }
    match u64::try_from(bytes) {
        Ok(whole) if bytes <= LARGEST => Ok(whole),
        _ => Err(UnitError::new(format!("`{text}` is too large"), "the largest size is 4,000,000 TB")),
    }
}

/// A count: `12`, `200k`, `1.5M`.
///
/// # Errors
/// Says how counts are written.
pub fn parse_count(text: &str) -> Result<u64, UnitError> {
    let help = "a count is a whole number like `12`, `200k` or `1.5M`";
    let (number, unit) = split_number(text, text, "a count", help)?;
    let Some((_, factor)) = COUNTS.iter().find(|(name, _)| *name == unit) else {
        return Err(UnitError::new(format!("`{text}` is not a count"), help));
    };
    let (count, exact) = number.times(*factor);
    if !exact {
        return Err(UnitError::new(format!("`{text}` is not a whole number"), help));
    }
    match u64::try_from(count) {
        Ok(whole) if count <= LARGEST => Ok(whole),
        _ => Err(UnitError::new(format!("`{text}` is too large"), "the largest count is about 4,600,000,000G")),
    }
}

/// A rate per second: `500/s`, `2k/s`, `12/min`, `3/h`.
///
/// # Errors
/// Says which units fit.
pub fn parse_rate(text: &str) -> Result<f64, UnitError> {
    let help = "a rate is written like `500/s`, `2k/s` or `12/min`; units are /s, /min, /h, /d";
    let (number, unit) = split_number(text, text, "a rate", help)?;
    let Some((factor, per)) = unit.split_once('/') else {
        return Err(wrong_unit(text, unit, help));
    };
    let factor = COUNTS.iter().find(|(name, _)| *name == factor);
    let per = PER.iter().find(|(name, _)| *name == per);
    let (Some((_, factor)), Some((_, seconds))) = (factor, per) else {
        return Err(wrong_unit(text, unit, help));
    };
    Ok(number.value() * *factor as f64 / seconds)
}

/// A share or probability, 0 to 1: `0.2%` is 0.002. Nothing is nothing, with its unit or without.
///
/// # Errors
/// Says how shares are written.
pub fn parse_share(text: &str) -> Result<f64, UnitError> {
    let help = "a share is written like `0.2%`, from `0%` to `100%`";
    let (number, unit) = split_number(text, text, "a share", help)?;
    if unit != "%" && !(unit.is_empty() && number.digits == 0) {
        return Err(wrong_unit(text, unit, help));
    }
    let share = Decimal { digits: number.digits, scale: number.scale + 2 }.value();
    if share > 1.0 {
        return Err(UnitError::new(format!("`{text}` is more than everything"), help));
    }
    Ok(share)
}

/// A factor: `10x`.
///
/// # Errors
/// Says how factors are written.
pub fn parse_factor(text: &str) -> Result<f64, UnitError> {
    let help = "a factor is written like `10x` or `0.5x`";
    let (number, unit) = split_number(text, text, "a factor", help)?;
    if unit == "x" { Ok(number.value()) } else { Err(wrong_unit(text, unit, help)) }
}

/// A bare number, for shape parameters: `0.6`, `2`.
///
/// # Errors
/// Says how numbers are written.
pub fn parse_number(text: &str) -> Result<f64, UnitError> {
    let help = "this is a bare number like `0.6` or `2`";
    let (number, unit) = split_number(text, text, "a number", help)?;
    if unit.is_empty() { Ok(number.value()) } else { Err(UnitError::new(format!("`{text}` has a unit"), help)) }
}

fn wrong_unit(text: &str, unit: &str, help: &str) -> UnitError {
    if unit.is_empty() {
        UnitError::new(format!("`{text}` has no unit"), help)
    } else {
        UnitError::new(format!("`{text}`: the unit `{unit}` does not fit"), help)
    }
}

/// The number at the start of `rest`, which is a part of `whole`, and what follows it.
fn split_number<'a>(whole: &str, rest: &'a str, what: &str, help: &str) -> Result<(Decimal, &'a str), UnitError> {
    if rest.starts_with('-') {
        return Err(UnitError::new(format!("`{whole}` is negative"), help));
    }
    let integer_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (integer, mut after) = rest.split_at(integer_end);
    let mut fraction = "";
    if let Some(tail) = after.strip_prefix('.') {
        let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        (fraction, after) = tail.split_at(end);
        if fraction.is_empty() {
            return Err(UnitError::new(format!("`{whole}` is not {what}"), help));
        }
    }
    if integer.is_empty() {
        return Err(UnitError::new(format!("`{whole}` is not {what}"), help));
    }
    if integer.len() > 1 && integer.starts_with('0') {
        let plain = integer.trim_start_matches('0');
        let plain = if plain.is_empty() { "0" } else { plain };
        let fraction = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
        return Err(UnitError::new(
            format!("`{whole}` begins with a zero"),
            format!("some readers take it for an octal number: write `{plain}{fraction}{after}`"),
        ));
    }
    if let Some(error) = exponent(whole, integer, fraction, after) {
        return Err(error);
    }
    let fraction = fraction.trim_end_matches('0');
    if integer.len() + fraction.len() > 18 {
        return Err(UnitError::new(format!("`{whole}` has too many digits"), "up to 18 digits can be told apart"));
    }
    let digits = format!("{integer}{fraction}").parse().expect("up to 18 digits");
    let scale = u32::try_from(fraction.len()).expect("up to 18 digits");
    Ok((Decimal { digits, scale }, after))
}

/// The error for `1e3` and its like, with the same number in plain writing.
fn exponent(whole: &str, integer: &str, fraction: &str, after: &str) -> Option<UnitError> {
    let tail = after.strip_prefix(['e', 'E'])?;
    let digits = tail.trim_start_matches(['+', '-']);
    if tail.len() - digits.len() > 1 || !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (power, unit) = digits.split_at(end);
    let number = format!("{integer}.{fraction}0e{}{power}", if tail.starts_with('-') { "-" } else { "" });
    let plain = number.parse::<f64>().ok().filter(|value| *value < 1e15);
    let help = plain.map_or_else(
        || "write the number in full".to_owned(),
        |value| format!("write `{}{unit}`", plain_number(value, unit.is_empty() || unit.starts_with('/'))),
    );
    Some(UnitError::new(format!("`{whole}` has an exponent"), help))
}

/// `1k` for 1000 where suffixes are allowed, else all digits.
fn plain_number(value: f64, suffix: bool) -> String {
    for (name, factor) in COUNTS.iter().rev() {
        let scaled = value / *factor as f64;
        if suffix && scaled >= 1.0 && (scaled * 10.0).fract() == 0.0 {
            return format!("{scaled}{name}");
        }
    }
    format!("{value}")
}

/// A number of seconds as a person would write it, to three significant digits: `850ns`, `12.5us`, `4.61s`, `2m 03s`.
#[must_use]
pub fn show_seconds(seconds: f64) -> String {
    if !seconds.is_finite() {
        return if seconds.is_nan() { "-".into() } else { "for ever".into() };
    }
    if seconds < 0.0 {
        return format!("-{}", show_seconds(-seconds));
    }
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

/// A count to three significant digits from 10,000 on: `9999`, `12.3k`, `5.40M`.
#[must_use]
pub fn show_count(count: f64) -> String {
    if !count.is_finite() {
        return "-".into();
    }
    if count < 0.0 {
        return format!("-{}", show_count(-count));
    }
    if count < 9_999.5 {
        let whole = count.round();
        return if (count - whole).abs() < 1e-9 { format!("{whole}") } else { significant(count) };
    }
    scaled(count, &[("", 1e3), ("k", 1e3), ("M", 1e3), ("G", 1e3), ("T", f64::INFINITY)])
}

/// A number of bytes to three significant digits: `480B`, `2.05kB`, `1.50GB` (powers of 1000).
#[must_use]
pub fn show_bytes(bytes: f64) -> String {
    if !bytes.is_finite() {
        return "-".into();
    }
    if bytes < 999.5 {
        return format!("{}B", show_count(bytes));
    }
    scaled(bytes, &[("B", 1e3), ("kB", 1e3), ("MB", 1e3), ("GB", 1e3), ("TB", f64::INFINITY)])
}

/// A share (0 to 1) in per cent to three significant digits: `0.2%`, `91.9%`, `100%`.
#[must_use]
pub fn show_share(share: f64) -> String {
    if !share.is_finite() {
        return "-".into();
    }
    let text = significant(share * 100.0);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}%")
}

/// A number without unit to three significant digits.
#[must_use]
pub fn show_number(value: f64) -> String {
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

/// A rate per second to three significant digits: `500/s`, `2.50k/s`.
#[must_use]
pub fn show_rate(per_second: f64) -> String {
    format!("{}/s", show_count(per_second))
}

/// A duration exactly as it would be written in a scenario: `1h30m`, `1.5s`, `250us`.
#[must_use]
pub fn write_duration(span: SimSpan) -> String {
    if span.0 == 0 {
        return "0s".into();
    }
    let mut rest = u128::from(span.0);
    let mut text = String::new();
    for (unit, length) in DURATIONS.iter().rev().filter(|(_, length)| *length >= 60_000_000_000) {
        if rest >= *length {
            text.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    if rest > 0 {
        let (unit, length) = DURATIONS[..4].iter().rev().find(|(_, length)| rest >= *length).expect("1 ns fits");
        let decimals = usize::try_from(length.ilog10()).expect("at most 9");
        let fraction = format!("{:0decimals$}", rest % length);
        let fraction = fraction.trim_end_matches('0');
        let point = if decimals == 0 || fraction.is_empty() { String::new() } else { format!(".{fraction}") };
        text.push_str(&format!("{}{point}{unit}", rest / length));
    }
    text
}

/// Three significant digits of a number that is not negative.
fn significant(value: f64) -> String {
    let decimals = match value {
        v if v <= 0.0 => 0,
        v if v < 0.000_999_5 => return format!("{v:.2e}"),
        v if v < 0.009_995 => 5,
        v if v < 0.099_95 => 4,
        v if v < 0.999_5 => 3,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// Three significant digits with the unit in which the number is below the unit's limit.
fn scaled(mut value: f64, units: &[(&str, f64)]) -> String {
    for (unit, limit) in units {
        // Not 1000 but 999.5: what would round up to the next unit belongs there.
        if value < limit * 0.9995 {
            return format!("{}{unit}", significant(value));
        }
        value /= limit;
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact() {
        for (text, nanos) in [
            ("250us", 250_000),
            ("20ms", 20_000_000),
            ("1.5s", 1_500_000_000),
            ("5m", 300_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("12h30m", 45_000_000_000_000),
            ("7d", 604_800_000_000_000),
            ("0s", 0),
            ("0.1ms", 100_000),
            ("0.000000001s", 1),
            ("1m0.5s", 60_500_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(SimSpan(nanos)), "{text}");
        }
        for span in [1, 999, 1_500, 250_000, 1_500_000_000, 5_400_000_000_000, 60_500_000_000, 0] {
            assert_eq!(parse_duration(&write_duration(SimSpan(span))), Ok(SimSpan(span)));
        }
    }

    #[test]
    fn wrong_quantities_say_what_fits() {
        let mut lines = String::new();
        for text in [
            "20",
            "20sec",
            "",
            "s",
            "-5s",
            "010s",
            "1e3",
            "1e3s",
            "12:30",
            "1m1h",
            ".5s",
            "1.s",
            "999999999999d",
            "NaN",
            "inf",
            "1_000s",
            "5 s",
        ] {
            lines.push_str(&format!("duration {:?}: {}\n", text, parse_duration(text).expect_err(text)));
        }
        for text in ["480", "2kib", "1.5B", "99999999999TB"] {
            lines.push_str(&format!("size {:?}: {}\n", text, parse_size(text).expect_err(text)));
        }
        for text in ["1.5", "1e3", "2.5e6", "010", "-1", "12x", "1e30", "99999999999999999999"] {
            lines.push_str(&format!("count {:?}: {}\n", text, parse_count(text).expect_err(text)));
        }
        for text in ["500", "500/sec", "5/m", "1e3/s", "-1/s"] {
            lines.push_str(&format!("rate {:?}: {}\n", text, parse_rate(text).expect_err(text)));
        }
        for text in ["0.2", "101%", "-1%", "2"] {
            lines.push_str(&format!("share {:?}: {}\n", text, parse_share(text).expect_err(text)));
        }
        for text in ["10", "x", "10%"] {
            lines.push_str(&format!("factor {:?}: {}\n", text, parse_factor(text).expect_err(text)));
        }
        insta::assert_snapshot!(lines);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "decimal text has one nearest binary number")]
    fn other_quantities() {
        assert_eq!(parse_size("2KiB"), Ok(2048));
        assert_eq!(parse_size("1.5kB"), Ok(1500));
        assert_eq!(parse_count("1.5M"), Ok(1_500_000));
        assert_eq!(parse_rate("12/min").unwrap(), 0.2);
        assert_eq!(parse_rate("2k/s").unwrap(), 2000.0);
        assert_eq!(parse_share("0.2%").unwrap(), 0.002);
        assert_eq!(parse_share("100%").unwrap(), 1.0);
        assert_eq!((parse_share("0").unwrap(), parse_share("0.0").unwrap()), (0.0, 0.0));
        assert!(parse_share("1").is_err());
        assert_eq!(parse_factor("2.5x").unwrap(), 2.5);
        assert_eq!(parse_number("0.6").unwrap(), 0.6);
    }

    #[test]
    fn shown_to_three_digits() {
        for (seconds, text) in [
            (850e-9, "850ns"),
            (12.5e-6, "12.5us"),
            (4.613, "4.61s"),
            (123.0, "2m 03s"),
            (5400.0, "1h 30m"),
            (0.0, "0s"),
            (0.9996, "1.00s"),
            (59.96, "1m 00s"),
            (3_599.6, "1h 00m"),
            (86_400.0 * 7.0, "7d 00h"),
            (0.005, "5.00ms"),
            (-0.005, "-5.00ms"),
        ] {
            assert_eq!(show_seconds(seconds), text);
        }
        assert_eq!(show_count(5_400_123.0), "5.40M");
        assert_eq!(show_count(9_999.0), "9999");
        assert_eq!(show_count(12_345.0), "12.3k");
        assert_eq!(show_count(0.25), "0.250");
        assert_eq!(show_bytes(480.0), "480B");
        assert_eq!(show_bytes(2_048.0), "2.05kB");
        assert_eq!(show_share(0.002), "0.2%");
        assert_eq!(show_share(0.919), "91.9%");
        assert_eq!(show_share(1.0), "100%");
        assert_eq!(show_share(0.0), "0%");
        assert_eq!(show_rate(500.0), "500/s");
    }
}
