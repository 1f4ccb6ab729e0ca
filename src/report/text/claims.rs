//! Expectations: their verdict at the top, each with its value below.

use super::paint::{Tone, labelled, shortened};
use super::{Style, percent, section};
use crate::report::show;
use crate::summary::{Judged, Summary, Verdict};

/// Expectations that do not hold, shown at the top; the rest is counted.
const SHOWN: usize = 5;

/// The verdict in one line, and under it what does not hold.
pub(super) fn verdict(summary: &Summary, style: Style) -> String {
    verdict_of(&summary.expectations, "", style)
}

/// The same of some expectations, with a label before it.
pub(super) fn verdict_of(all: &[Judged], label: &str, style: Style) -> String {
    let blank = " ".repeat(label.chars().count() + 9);
    let count = |verdict| all.iter().filter(|judged| judged.verdict == verdict).count();
    let (fail, open) = (count(Verdict::Fails), count(Verdict::Undecided));
    let (word, tone) = match (fail, open) {
        _ if all.is_empty() => {
            return labelled(&format!("{label}no claims"), Tone::Quiet, "the scenario expects nothing", style);
        }
        (0, 0) => ("HOLDS    ", Tone::Good),
        (0, _) => ("UNDECIDED", Tone::Care),
        _ => ("FAILS    ", Tone::Bad),
    };
    let total = all.len();
    let text = match (fail, open) {
        (0, 0) if total == 1 => "the expectation holds".into(),
        (0, 0) => format!("all {total} expectations hold"),
        (0, open) => format!("{open} of {total} expectations {} undecided", are(open)),
        (fail, 0) => format!("{fail} of {total} expectations {}", if fail == 1 { "fails" } else { "fail" }),
        (fail, open) => {
            let verb = if fail == 1 { "fails" } else { "fail" };
            format!("{fail} of {total} expectations {verb}, {open} {} undecided", are(open))
        }
    };
    let mut out = labelled(&format!("{label}{word}"), tone, &text, style);
    let bad: Vec<&Judged> = all.iter().filter(|judged| judged.verdict != Verdict::Holds).collect();
    for judged in bad.iter().take(SHOWN) {
        out.push_str(&labelled(&blank, Tone::Plain, &in_words(judged), style));
    }
    if bad.len() > SHOWN {
        out.push_str(&labelled(&blank, Tone::Plain, &format!("and {} more, see below", bad.len() - SHOWN), style));
    }
    out
}

fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// `email.lag.end == 0: is 12 [10, 14]`.
fn in_words(judged: &Judged) -> String {
    let shown = value(judged);
    match judged.verdict {
        Verdict::Undecided => format!("{} is undecided at {shown}{}", judged.text, why(judged)),
        _ if judged.value.is_none() && judged.reason.is_none() => format!("{} has no value", judged.text),
        _ => format!("{} does not hold: {shown}{}", judged.text, why(judged)),
    }
}

/// Every expectation with verdict, value and interval.
pub(super) fn render(summary: &Summary, style: Style) -> String {
    render_of(&summary.expectations, "Expectations", 0.95, style)
}

/// The same of some expectations, judged at this level of confidence.
pub(super) fn render_of(all: &[Judged], title: &str, level: f64, style: Style) -> String {
    let values: Vec<String> = all.iter().map(|judged| value(judged) + &why(judged)).collect();
    let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
    let text_width = widest(&mut all.iter().map(|judged| judged.text.chars().count()));
    let value_width = widest(&mut values.iter().map(|value| value.chars().count()));
    let one_line = 13 + text_width + 2 + value_width <= style.width;
    let mut out = String::new();
    for (judged, value) in all.iter().zip(&values) {
        let (word, tone) = (judged.verdict.word(), Tone::from(judged.verdict));
        if one_line {
            let text = format!("{:<text_width$}", judged.text);
            out.push_str(&format!("  {}  {text}  {value}\n", tone.paint(&format!("{word:<9}"), style)));
        } else {
            out.push_str(&labelled(&format!("  {word:<9}"), tone, &judged.text, style));
            out.push_str(&format!("{:13}{}\n", "", shortened(value, style.width.saturating_sub(13))));
        }
    }
    let about = format!("value [{} interval across runs]; maxima: the worst run's", percent(level));
    section(title, &about, &out, style)
}

/// The value with its interval, in the unit of the limit.
fn value(judged: &Judged) -> String {
    let show = unit_of(&judged.text);
    let value = judged.value.map_or_else(|| show::NOTHING.into(), |value| apart(value, judged.limit, show));
    value + &judged.interval.map_or_else(String::new, |interval| show::ends(interval, show))
}

/// The value with its interval, and why it is so.
pub(in crate::report) fn value_in_words(judged: &Judged) -> String {
    value(judged) + &why(judged)
}

/// A value as shown, with all its digits where it is rounded to a limit that it does not have.
#[expect(clippy::float_cmp, reason = "a value that differs from its limit in the last digit is on one side of it")]
fn apart(value: f64, limit: f64, show: fn(f64) -> String) -> String {
    let shown = show(value);
    if value == limit || shown != show(limit) {
        return shown;
    }
    let digits = |value: f64| format!("{value:.9}").trim_end_matches('0').trim_end_matches('.').to_owned();
    let unit = shown.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | ' '));
    match unit {
        "%" => format!("{}%", digits(value * 100.0)),
        _ if unit.ends_with("/s") => format!("{}/s", digits(value)),
        _ if unit.ends_with('B') => format!("{}B", digits(value)),
        "" | "k" | "M" | "G" | "T" => digits(value),
        _ => format!("{}s", digits(value)),
    }
}

fn why(judged: &Judged) -> String {
    let needed = judged.needed.map(|runs| format!("about {runs} runs would decide"));
    judged.reason.iter().chain(&needed).map(|why| format!(", {why}")).collect()
}

/// How values are written that are compared with the limit of this expectation.
pub(in crate::report) fn unit_of(text: &str) -> fn(f64) -> String {
    let claim = text.split(" during ").next().unwrap_or(text);
    let limit = claim.split_whitespace().last().unwrap_or("");
    let unit = limit.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+'));
    match unit {
        "%" => show::share_of,
        "" | "k" | "M" | "G" => show::count_of,
        unit if unit.contains('/') => show::rate_of,
        unit if unit.ends_with('B') => show::bytes_of,
        _ => show::seconds_of,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_beside_its_limit_shows_its_digits() {
        for (value, limit, text, shown) in [
            (60.000_002_5, 60.0, "c.drain_time <= 60s", "60.0000025s"),
            (60.0, 60.0, "c.drain_time <= 60s", "1m 00s"),
            (0.499_999, 0.5, "c.latency.p99 < 500ms", "0.499999s"),
            (10_000_001.0, 1e7, "c.lag.max <= 10M", "10000001"),
            (0.920_01, 0.92, "c.utilisation < 92%", "92.001%"),
            (2.0, 1.0, "c.lag.max <= 1", "2"),
        ] {
            assert_eq!(apart(value, limit, unit_of(text)), shown, "{text}");
        }
    }

    #[test]
    fn values_have_the_unit_of_the_limit() {
        for (text, shown) in [
            ("email.latency.p99 < 2s during 30m..40m", "1.50s"),
            ("email.drain_time < 1h30m", "1.50s"),
            ("email.utilisation < 92%", "150%"),
            ("email.lost == 0", "1.50"),
            ("email.throughput > 2k/s", "1.50/s"),
            ("topics.orders.bytes < 2KiB", "1.50B"),
        ] {
            assert_eq!(unit_of(text)(1.5), shown, "{text}");
        }
    }
}
