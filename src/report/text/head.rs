//! The first lines: what was run, whether it holds, and what would mislead.

use super::paint::{Tone, labelled, shortened};
use super::{Style, claims};
use crate::report::show;
use crate::summary::{Summary, Warning};

/// Warnings shown in full; the rest is counted.
const WARNINGS: usize = 12;

/// Heading, verdict and warnings.
pub(super) fn render(summary: &Summary, style: Style) -> String {
    let name = shortened(&summary.scenario, style.width / 2);
    let name_width = name.chars().count();
    let about = shortened(&about(summary), style.width.saturating_sub(name_width + 2));
    let mut out = format!("{}  {}\n\n", Tone::Strong.paint(&name, style), Tone::Quiet.paint(&about, style));
    out.push_str(&claims::verdict(summary, style));
    out.push_str(&warnings(summary, style));
    out
}

/// Whom a warning is about, before its text; nothing where it is about all, or about a claim, which names whom it is about.
pub(in crate::report) fn subject(warning: &Warning) -> String {
    match warning.about.split_once('.') {
        _ if warning.code == "W005" => String::new(),
        Some(("consumers" | "producers" | "services" | "resources", name)) => format!("{name}: "),
        Some(_) => format!("{}: ", warning.about),
        None => String::new(),
    }
}

/// Runs, virtual time, seed.
fn about(summary: &Summary) -> String {
    let runs = match (summary.replications, summary.replications_asked) {
        (done, asked) if done < asked => format!("{done} of {asked} runs"),
        (1, _) => "1 run".into(),
        (done, _) => format!("{done} runs"),
    };
    let warm_up = match summary.warm_up.0 {
        0 => String::new(),
        _ => format!(", the first {} not measured{}", show::span(summary.warm_up), found(summary)),
    };
    let duration = show::span(summary.duration);
    format!("{runs} of {duration} virtual time{warm_up}, seed {}{}", summary.seed, batches(summary))
}

/// Where the warm-up comes from, if it was not stated.
fn found(summary: &Summary) -> String {
    summary.found_warm_up.as_ref().map_or_else(String::new, |found| format!(" (found by {} other runs)", found.pilots))
}

/// Where the intervals of a single run come from.
fn batches(summary: &Summary) -> &'static str {
    match &summary.batches {
        Some(batches) if batches.none.is_none() => ", intervals from its batches",
        _ => "",
    }
}

fn warnings(summary: &Summary, style: Style) -> String {
    let mut out = String::new();
    for warning in summary.warnings.iter().take(WARNINGS) {
        let text = format!("{}{}", subject(warning), warning.text);
        out.push_str(&labelled(&format!("{:<9}", warning.code), Tone::Care, &text, style));
    }
    if summary.warnings.len() > WARNINGS {
        let more = format!("{} more warnings: see the result document", summary.warnings.len() - WARNINGS);
        out.push_str(&labelled(&format!("{:<9}", "..."), Tone::Care, &more, style));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_name_whom_they_are_about() {
        let about = |code, about: &str| subject(&Warning { code, about: about.into(), text: "not done".into() });
        assert_eq!(about("W002", "consumers.done"), "done: ");
        assert_eq!(about("W008", "producers.a.b"), "a.b: ");
        assert_eq!(about("W008", "topics.done"), "topics.done: ");
        assert_eq!(about("W005", "consumers.email"), "");
        assert_eq!(about("W004", "experiment"), "");
    }
}
