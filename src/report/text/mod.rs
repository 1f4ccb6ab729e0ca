//! A summary as text: first the answer and what would mislead, then the details.

mod books;
mod claims;
mod compare;
mod estimates;
mod faults;
mod flow;
mod gate;
mod head;
mod journeys;
mod latency;
mod paint;
mod precision;
mod services;
mod sizing;
mod story;
mod sweep;
mod table;

use serde_json::{Map, Value};

pub(super) use claims::{unit_of, value_in_words};
pub use compare::render as comparison;
pub use estimates::{overloads, render as estimates};
pub use gate::render as gate;
pub(super) use head::subject;
pub use precision::render as precision;
pub use sizing::{against, render as sizing};
pub use story::render as story;
pub use sweep::render as sweep;

use paint::Tone;
use table::Cell;

use super::show;
use crate::summary::{Summary, number_at};

/// How the text is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether terminal colours may be used. Nothing is said by colour alone.
    pub color: bool,
    /// Characters in a line.
    pub width: usize,
}

/// The report of an experiment; no line is longer than the width, but for the digest and the command at the end.
#[must_use]
pub fn render(summary: &Summary, style: Style) -> String {
    let sections = [
        head::render(summary, style),
        services::services(summary, style),
        journeys::flows(summary, style),
        journeys::outcomes(summary, style),
        journeys::reads(summary, style),
        journeys::stale(summary, style),
        services::calls(summary, style),
        services::resources(summary, style),
        services::sagas(summary, style),
        services::awaits(summary, style),
        services::transactions(summary, style),
        latency::latency(summary, style),
        latency::stages(summary, style),
        flow::lag(summary, style),
        flow::members(summary, style),
        flow::load(summary, style),
        flow::publishing(summary, style),
        flow::topics(summary, style),
        services::ledgers(summary, style),
        books::ledger(summary, style),
        books::defects(summary, style),
        faults::render(summary, style),
        estimates::render(&summary.estimates, style),
        claims::render(summary, style),
        foot(summary, style),
    ];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

/// A scenario's question above its report: the first paragraph of its leading comment.
#[must_use]
pub fn question(text: &str, style: Style) -> String {
    let paragraph: Vec<&str> = text.trim().lines().take_while(|line| !line.trim().is_empty()).collect();
    if paragraph.is_empty() {
        return String::new();
    }
    let lines = paint::wrap(&paragraph.join(" "), style.width);
    lines.iter().map(|line| paint::Tone::Quiet.paint(line, style) + "\n").chain(["\n".into()]).collect()
}

/// What identifies the result, and how to get it again.
fn foot(summary: &Summary, style: Style) -> String {
    let rest = match summary.replications_asked {
        asked if asked > summary.replications => {
            copied("finish", &format!("the same with --replications {asked}"), style)
        }
        _ => String::new(),
    };
    identity(&super::json::document(summary), &summary.command, style) + &rest
}

/// The digest of a document, and the command that makes it.
fn identity(document: &str, command: &str, style: Style) -> String {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let digest = document.get("digest").and_then(Value::as_str).unwrap_or("none");
    copied("digest", digest, style) + &copied("repeat", command, style)
}

/// A line that is there to be copied: never broken, however long.
fn copied(label: &str, text: &str, style: Style) -> String {
    format!("{}  {text}\n", paint::Tone::Quiet.paint(label, style))
}

/// A section: its heading, what the numbers are, and its content; nothing without content.
fn section(title: &str, about: &str, content: &str, style: Style) -> String {
    if content.is_empty() {
        return String::new();
    }
    let title_width = title.chars().count();
    let about = if title_width + 2 + about.chars().count() <= style.width { about } else { "" };
    let gap = if about.is_empty() { "" } else { "  " };
    format!(
        "{}{gap}{}\n{content}",
        paint::Tone::Strong.paint(title, style),
        if about.is_empty() { String::new() } else { paint::Tone::Quiet.paint(about, style) }
    )
}

/// A level of confidence: `97.5 %`.
fn percent(level: f64) -> String {
    show::share_of(level).replace('%', " %")
}

/// One named thing of a section of the tree of metrics.
#[derive(Clone, Copy, Debug)]
struct Thing<'a> {
    section: &'a str,
    name: &'a str,
    metrics: &'a Value,
}

impl Thing<'_> {
    /// The number at a path below the thing.
    fn number(&self, path: &[&str]) -> Option<f64> {
        number_at(self.metrics, path)
    }

    /// The 95 % interval of the figure at a path, in short.
    fn spread(&self, summary: &Summary, path: &[&str], show: impl Fn(f64) -> String) -> Cell {
        let whole: Vec<&str> = [self.section, self.name].into_iter().chain(path.iter().copied()).collect();
        let spread = summary.interval(&whole).map(|ends| show::spread(ends, show));
        Cell::toned(spread.unwrap_or_default(), Tone::Quiet)
    }

    /// The map at a path below the thing.
    fn map(&self, path: &[&str]) -> Option<&Map<String, Value>> {
        path.iter().try_fold(self.metrics, |node, key| node.get(key))?.as_object()
    }
}

/// The things of a section of the tree, in order of name.
fn things<'a>(summary: &'a Summary, section: &'a str) -> Vec<Thing<'a>> {
    let map = summary.metrics.get(section).and_then(Value::as_object);
    map.into_iter().flatten().map(|(name, metrics)| Thing { section, name, metrics }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    /// Checks every line, and takes the digest out, which changes with the document.
    fn check(width: usize) -> String {
        let text = render(&sample::summary(), Style { color: false, width });
        for line in text.lines().filter(|line| !["digest", "repeat", "  explain"].iter().any(|it| line.starts_with(it)))
        {
            assert!(line.chars().count() <= width, "wider than {width}: {line}");
            assert_eq!(line.trim_end(), line, "blank at the end of a line");
        }
        assert!(text.contains("digest  sha256:"));
        text.lines().filter(|line| !line.starts_with("digest")).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn report_at_100_columns() {
        insta::assert_snapshot!(check(100));
    }

    #[test]
    fn report_at_80_columns() {
        insta::assert_snapshot!(check(80));
    }

    #[test]
    fn narrow_terminals_lose_no_line() {
        for width in [40, 50, 60, 70] {
            check(width);
        }
    }

    #[test]
    fn colour_adds_escapes_and_nothing_else() {
        let style = Style { color: true, width: 100 };
        let colored = render(&sample::summary(), style);
        assert!(colored.contains("\u{1b}["));
        let plain: Vec<String> =
            anstream::adapter::strip_str(&colored).to_string().lines().map(|line| line.trim_end().to_owned()).collect();
        let plain: Vec<String> = plain.into_iter().filter(|line| !line.starts_with("digest")).collect();
        assert_eq!(plain, check(100).lines().collect::<Vec<_>>());
    }

    #[test]
    fn the_question_is_the_first_paragraph() {
        let style = Style { color: false, width: 20 };
        assert_eq!(
            question("Does anyone\nnotice the fault?\n\nRun it: so", style),
            "Does anyone notice\nthe fault?\n\n"
        );
        assert_eq!(question("", style), "");
    }

    #[test]
    fn an_empty_summary_renders() {
        let mut summary = sample::summary();
        summary.metrics = serde_json::json!({});
        summary.ci95 = serde_json::json!({});
        summary.curves.clear();
        summary.warnings.clear();
        summary.expectations.clear();
        assert!(render(&summary, Style { color: false, width: 80 }).starts_with("order-placement"));
    }
}
