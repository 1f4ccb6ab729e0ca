//! `--vary PATH=VALUES` and `--minimise PATH=VALUES`: lists and ranges of values as they would be written in the scenario.

use crate::summary::Axis;

/// Most values of one axis.
const MOST: usize = 100_000;

/// The axis that the argument of an option describes; `positions` are left open.
///
/// # Errors
/// What is wrong, and what to write.
pub(super) fn axis(option: &str, argument: &str) -> Result<Axis, String> {
    let written = format!("`{option} {argument}`");
    let example = format!("write for example `{option} consumers.email.members=1..16` or `{option} PATH=1,2,4`");
    let (path, list) = argument.split_once('=').ok_or(format!("{written} has no `=`\n{example}"))?;
    let mut values = Vec::new();
    for item in split(list) {
        match item.split_once("..").filter(|_| !item.contains(['{', '[', '"', '\''])) {
            Some((from, rest)) => {
                let (to, step) = rest.split_once("..").map_or((rest, None), |(to, step)| (to, Some(step)));
                values.extend(
                    range(from.trim(), to.trim(), step.map(str::trim)).map_err(|why| format!("{written}: {why}"))?,
                );
            }
            None if item.is_empty() => return Err(format!("{written} has an empty value\n{example}")),
            None => values.push(item),
        }
        if values.len() > MOST {
            return Err(format!("{written} gives more than {MOST} values"));
        }
    }
    if let Some((at, twice)) = values.iter().enumerate().find(|(at, value)| values[..*at].contains(value)) {
        let first = values.iter().position(|value| value == twice).unwrap_or(at);
        return Err(format!("{written} has `{twice}` twice, as value {} and {}", first + 1, at + 1));
    }
    Ok(Axis { path: path.trim().to_owned(), values, positions: None })
}

/// At commas that stand in no bracket and no quotes.
fn split(list: &str) -> Vec<String> {
    let (mut items, mut depth, mut quote) = (vec![String::new()], 0_u32, None);
    for letter in list.chars() {
        match (letter, quote) {
            (mark, Some(open)) if mark == open => quote = None,
            (_, Some(_)) => {}
            ('"' | '\'', None) => quote = Some(letter),
            ('{' | '[', None) => depth += 1,
            ('}' | ']', None) => depth = depth.saturating_sub(1),
            (',', None) if depth == 0 => {
                items.push(String::new());
                continue;
            }
            _ => {}
        }
        items.last_mut().expect("begins with one").push(letter);
    }
    items.into_iter().map(|item| item.trim().to_owned()).collect()
}

/// A decimal number as written, `digits / 10^scale`, and its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quantity<'a> {
    digits: i64,
    scale: u32,
    unit: &'a str,
}

impl<'a> Quantity<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}").parse().ok()?;
        Some(Self { digits, scale: u32::try_from(fraction.len()).ok().filter(|scale| *scale <= 9)?, unit })
    }

    /// The same number with more digits behind the point.
    fn at(self, scale: u32) -> Option<i64> {
        self.digits.checked_mul(10_i64.checked_pow(scale - self.scale)?)
    }
}

fn quantity<'a>(text: &'a str, what: &str) -> Result<Quantity<'a>, String> {
    Quantity::parse(text)
        .ok_or_else(|| format!("`{text}` is no {what}\na range is written `1..16` or `10ms..100ms..10ms`"))
}

/// `1..16`, `10ms..100ms..10ms`: both ends included, the step 1 unless it is given.
fn range(from: &str, to: &str, step: Option<&str>) -> Result<Vec<String>, String> {
    if from.is_empty() || to.is_empty() {
        return Err("a range needs both ends: it is written `1..16` or `10ms..100ms..10ms`".into());
    }
    let last = quantity(to, "number with a unit")?;
    let mut first = quantity(from, "number with a unit")?;
    if first.unit.is_empty() {
        first.unit = last.unit;
    }
    let one = Quantity { digits: 1, scale: 0, unit: last.unit };
    let mut by = step.map_or(Ok(one), |step| quantity(step, "step"))?;
    if by.unit.is_empty() {
        by.unit = last.unit;
    }
    if first.unit != last.unit || by.unit != last.unit {
        return Err(format!(
            "a range needs one unit: `{from}`, `{to}`{}",
            step.map_or_else(String::new, |s| format!(", `{s}`"))
        ));
    }
    let scale = first.scale.max(last.scale).max(by.scale);
    let too_long = || format!("`{from}..{to}` has too many digits");
    let (start, end) = (first.at(scale).ok_or_else(too_long)?, last.at(scale).ok_or_else(too_long)?);
    let by = by.at(scale).ok_or_else(too_long)?;
    if by == 0 {
        return Err("a step of 0 never arrives".into());
    }
    let count = usize::try_from(start.abs_diff(end) / by.unsigned_abs()).unwrap_or(usize::MAX);
    if count >= MOST {
        return Err(format!("`{from}..{to}` gives more than {MOST} values"));
    }
    let sign = if end < start { -1 } else { 1 };
    let values = (0..=count).map(|i| start + sign * by * i64::try_from(i).expect("below the limit"));
    Ok(values.map(|value| written(value, scale) + last.unit).collect())
}

/// A decimal number without idle zeros.
fn written(digits: i64, scale: u32) -> String {
    if scale == 0 {
        return digits.to_string();
    }
    let unit = 10_i64.pow(scale);
    let width = scale as usize;
    let text = format!("{}.{:0width$}", digits / unit, digits % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(argument: &str) -> Vec<String> {
        axis("--vary", argument).unwrap().values
    }

    #[test]
    fn lists_and_ranges() {
        assert_eq!(axis("--vary", "consumers.email.members=1,2,4").unwrap().path, "consumers.email.members");
        assert_eq!(values("a=1, 2,4"), ["1", "2", "4"]);
        assert_eq!(values("a=1..4"), ["1", "2", "3", "4"]);
        assert_eq!(values("a=4..1"), ["4", "3", "2", "1"]);
        assert_eq!(values("a=1..8..3,20"), ["1", "4", "7", "20"]);
        assert_eq!(values("a=10ms..30ms..10ms"), ["10ms", "20ms", "30ms"]);
        assert_eq!(values("a=0.5..1.5..0.25"), ["0.5", "0.75", "1", "1.25", "1.5"]);
        assert_eq!(values("a=100/s..300/s..100"), ["100/s", "200/s", "300/s"]);
        assert_eq!(values("a=5..7%"), ["5%", "6%", "7%"]);
        assert_eq!(
            values("a={ gamma: { mean: 5ms, cv: 1 } },{ exponential: 5ms }"),
            ["{ gamma: { mean: 5ms, cv: 1 } }", "{ exponential: 5ms }"]
        );
        assert_eq!(values("a=key,none"), ["key", "none"]);
    }

    #[test]
    fn what_is_no_axis_says_why() {
        for (argument, says) in [
            ("members", "has no `=`"),
            ("a=", "has an empty value"),
            ("a=1,,2", "has an empty value"),
            ("a=1..x", "`x` is no number"),
            ("a=1..", "needs both ends"),
            ("a=..4", "needs both ends"),
            ("a=1ms..2s", "needs one unit"),
            ("a=1..9..0", "never arrives"),
            ("a=1..999999999", "more than"),
            ("a=1,2,1", "has `1` twice, as value 1 and 3"),
        ] {
            let error = axis("--vary", argument).unwrap_err();
            assert!(error.contains(says), "{argument}: {error}");
        }
    }
}
