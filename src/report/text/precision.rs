//! How exactly figures are known, in a few lines.

use super::Style;
use super::paint::{Tone, labelled};
use crate::report::show;
use crate::summary::{Precise, Precision, Width};

/// Figures that are named; the rest is counted.
const NAMED: usize = 5;

/// Whether the precision that was asked for was reached, and what it would take.
#[must_use]
pub fn render(precision: &Precision, style: Style) -> String {
    let aim = format!("\u{b1}{}", show::share_of(precision.aim));
    let runs = if precision.runs == 1 { "1 run".into() } else { format!("{} runs", precision.runs) };
    let never: Vec<&Precise> = precision.figures.iter().filter(|figure| figure.width == Width::Never).collect();
    let mut out = if never.len() == precision.figures.len() {
        labelled("PRECISION", Tone::Care, &format!("{aim}: none of the figures asked for has an interval"), style)
    } else if precision.is_reached() {
        let widest =
            widest(precision).map_or_else(String::new, |widest| format!("; the widest is {}", in_words(widest)));
        labelled("PRECISION", Tone::Good, &format!("{aim} reached with {runs}{widest}"), style)
    } else {
        let wide = precision.figures.iter().filter(|figure| !figure.is_within(precision.aim)).collect::<Vec<_>>();
        let text = format!("{aim} not reached with {runs}: {}; {}", list(&wide, in_words), advice(precision));
        labelled("PRECISION", Tone::Care, &text, style)
    };
    if !never.is_empty() {
        let names = list(&never, |figure| figure.name.clone());
        let text = format!("without an interval, however many runs: {names}");
        out.push_str(&labelled(&" ".repeat(9), Tone::Plain, &text, style));
    }
    out
}

fn widest(precision: &Precision) -> Option<&Precise> {
    let share = |figure: &&Precise| if let Width::Share(share) = figure.width { share } else { 0.0 };
    precision.figures.iter().max_by(|a, b| share(a).total_cmp(&share(b)))
}

/// `email.latency.p99 (±1.9%)`.
fn in_words(figure: &Precise) -> String {
    match figure.width {
        Width::Share(share) => format!("{} (\u{b1}{})", figure.name, show::share_of(share)),
        Width::Open => format!("{} (too few slower events to tell)", figure.name),
        Width::Never => figure.name.clone(),
    }
}

fn advice(precision: &Precision) -> String {
    match precision.needed {
        Some(needed) if needed > u64::from(precision.most) => {
            format!("about {needed} runs would do, and --max-replications is {}", precision.most)
        }
        Some(needed) => format!("about {needed} runs would do"),
        None => "nobody can tell yet how many runs would do".into(),
    }
}

fn list(figures: &[&Precise], show: impl Fn(&Precise) -> String) -> String {
    let names: Vec<String> = figures.iter().take(NAMED).map(|figure| show(figure)).collect();
    let more = figures.len().saturating_sub(NAMED);
    names.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(widths: &[(&str, Width)], needed: Option<u64>) -> String {
        let figures = widths.iter().map(|(name, width)| Precise { name: (*name).into(), width: *width }).collect();
        let precision = Precision { aim: 0.02, figures, runs: 40, most: 1_000, needed };
        render(&precision, Style { color: false, width: 100 })
    }

    #[test]
    fn what_was_reached_and_what_it_would_take() {
        let (p99, mean, max) = ("email.latency.p99", "email.latency.mean", "email.lag.max");
        let reached = text(&[(mean, Width::Share(0.004)), (p99, Width::Share(0.0192)), (max, Width::Never)], None);
        let wide = text(&[(p99, Width::Share(0.031)), (mean, Width::Share(0.01))], Some(96));
        let far = text(&[(p99, Width::Share(0.31))], Some(9_600));
        let open = text(&[(p99, Width::Open)], None);
        let never = text(&[(max, Width::Never)], None);
        insta::assert_snapshot!([reached, wide, far, open, never].join("\n"));
    }
}
