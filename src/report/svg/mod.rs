//! Pictures for a design review: latency by percentile, its spread, and lag over time.
//!
//! Colours are those of Okabe and Ito, which differ for every kind of colour vision; lines differ by their dashes too.

mod axis;
mod frame;
mod histogram;
mod lag;
mod page;
mod percentiles;

use std::collections::BTreeSet;

use page::{EDGE, Font, Page, Pen, WIDTH};

use crate::report::show;
use crate::summary::Summary;

const BLUE: &str = "#0072b2";
const VERMILLION: &str = "#d55e00";

/// Okabe-Ito, without the yellow that cannot be seen on white.
const COLORS: [&str; 7] = [BLUE, VERMILLION, "#009e73", "#cc79a7", "#e69f00", "#000000", "#56b4e9"];

/// Dash patterns; 7 and 5 share no divisor, so 35 lines differ in colour or dashes, neighbours in both.
const DASHES: [&str; 5] = ["", "9 4", "2 3", "12 3 2 3", "5 2"];

/// The pictures of a summary: file name and content.
#[must_use]
pub fn plots(summary: &Summary) -> Vec<(String, String)> {
    let mut plots = Vec::new();
    plots.extend(percentiles::draw(summary).map(|svg| ("latency-percentiles.svg".to_owned(), svg)));
    let mut taken = BTreeSet::new();
    for curves in &summary.curves {
        let name = file_part(&curves.name, &mut taken);
        plots.extend(histogram::draw(summary, curves).map(|svg| (format!("latency-spread-{name}.svg"), svg)));
        plots.extend(lag::draw(summary, curves).map(|svg| (format!("lag-{name}.svg"), svg)));
    }
    plots
}

/// A name as part of a file name, different from those taken already.
fn file_part(name: &str, taken: &mut BTreeSet<String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let base: String = name.chars().map(plain).take(80).collect();
    let mut part = base.clone();
    let mut n = 2;
    // Some file systems do not tell upper from lower case.
    while !taken.insert(part.to_lowercase()) {
        part = format!("{base}-{n}");
        n += 1;
    }
    part
}

/// How the n-th line is drawn.
fn pen(n: usize) -> Pen {
    Pen { color: COLORS[n % COLORS.len()], width: 2.2, dash: DASHES[n % DASHES.len()] }
}

/// `order-placement: 10 runs of 2h`.
fn runs(summary: &Summary) -> String {
    let runs = if summary.replications == 1 { "1 run".into() } else { format!("{} runs", summary.replications) };
    format!("{}: {runs} of {}", summary.scenario, show::span(summary.duration))
}

/// The first warning about a consumer (about anything, without one), so that no picture travels without it.
fn warn(page: &mut Page, summary: &Summary, consumer: Option<&str>, at: f64) {
    let concerns = |about: &str| {
        about == "experiment" || consumer.is_none_or(|name| about.strip_prefix("consumers.") == Some(name))
    };
    let mut warnings = summary.warnings.iter().filter(|warning| concerns(&warning.about));
    let Some(first) = warnings.next() else { return };
    let about = match first.about.strip_prefix("consumers.") {
        Some(_) if consumer.is_some() => String::new(),
        _ => crate::report::text::subject(first),
    };
    let font = Font::new(12.0, VERMILLION);
    let room = 126;
    let more = warnings.count();
    let more = if more > 0 { format!(" ({more} more in the report)") } else { String::new() };
    let mut text = format!("{} {about}{}{more}", first.code, first.text);
    for line in 0..2 {
        let split = if text.chars().count() <= room { text.len() } else { break_at(&text, room) };
        let rest = text.split_off(split);
        let last = line == 1 && !rest.trim().is_empty();
        let shown = if last { format!("{}\u{2026}", text.trim_end()) } else { text };
        page.text((EDGE, at + 16.0 * f64::from(line)), &font.cut(&shown, WIDTH - 2.0 * EDGE), font);
        text = rest.trim_start().to_owned();
        if text.is_empty() {
            break;
        }
    }
}

/// The byte after the last space that leaves a line of at most `room` characters.
fn break_at(text: &str, room: usize) -> usize {
    let end = text.char_indices().nth(room).map_or(text.len(), |(at, _)| at);
    text[..end].rfind(' ').map_or(end, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    /// The value of an attribute in a tag.
    fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
        let from = tag.find(&format!(" {name}=\""))? + name.len() + 3;
        tag[from..].split('"').next()
    }

    fn number(tag: &str, name: &str) -> f64 {
        attribute(tag, name).unwrap().parse().unwrap()
    }

    #[test]
    fn all_text_lies_inside_the_page() {
        let mut summary = sample::summary();
        summary.scenario = "a scenario with an uncommonly long name, as people sometimes give them ".repeat(3);
        summary.curves[0].name = "a-consumer-with-an-uncommonly-long-name-as-people-sometimes-give-them".repeat(2);
        summary.windows[1].name = "a change with an uncommonly long name ".repeat(5);
        for (name, svg) in plots(&summary).into_iter().chain(plots(&sample::summary())) {
            let height: f64 = svg.split('"').nth(3).unwrap().split(' ').nth(3).unwrap().parse().unwrap();
            for tag in svg.lines().filter(|line| line.starts_with("<text")) {
                let text = tag.split('>').nth(1).unwrap().split('<').next().unwrap();
                let font = Font::new(number(tag, "font-size"), "");
                let long = Font { bold: tag.contains("bold"), ..font }.width(text);
                let (x, y) = (number(tag, "x"), number(tag, "y"));
                let before = match attribute(tag, "text-anchor") {
                    Some("middle") => long / 2.0,
                    Some("end") => long,
                    _ => 0.0,
                };
                let (low, high, end) = if tag.contains("rotate") {
                    (y - (long - before), y + before, height)
                } else {
                    (x - before, x - before + long, WIDTH)
                };
                assert!(low >= 0.0 && high <= end, "{name}: {low:.0}..{high:.0} of {end}: {tag}");
                assert!(y > font.size * 0.8 && y < height - 2.0, "{name}: {tag}");
            }
        }
    }

    #[test]
    fn lines_differ_without_colour_vision() {
        let pens: BTreeSet<String> = (0..35).map(|n| format!("{:?}", pen(n))).collect();
        assert_eq!(pens.len(), 35);
        for n in 0..34 {
            assert!(pen(n).color != pen(n + 1).color && pen(n).dash != pen(n + 1).dash, "lines {n} and {}", n + 1);
        }
        let svg = percentiles::draw(&sample::summary()).unwrap();
        let drawn: BTreeSet<_> = svg
            .lines()
            .filter(|line| line.contains("stroke-width=\"2.2\""))
            .map(|line| (attribute(line, "stroke"), attribute(line, "stroke-dasharray")))
            .collect();
        assert_eq!(drawn.len(), sample::summary().curves.len());
    }

    #[test]
    fn the_same_numbers_give_the_same_bytes() {
        assert_eq!(plots(&sample::summary()), plots(&sample::summary()));
    }

    #[test]
    fn file_names_are_plain_and_differ() {
        let mut taken = BTreeSet::new();
        let names =
            ["orders/email", "orders email", "Orders-Email", "ok.name_1"].map(|name| file_part(name, &mut taken));
        assert_eq!(names, ["orders-email", "orders-email-2", "Orders-Email-3", "ok.name_1"]);
    }

    #[test]
    fn nothing_measured_gives_no_picture() {
        let mut summary = sample::summary();
        summary.curves.iter_mut().for_each(|curves| {
            curves.latency = crate::stats::Histogram::default();
            curves.lag.clear();
        });
        assert_eq!(plots(&summary), []);
    }

    #[test]
    #[ignore = "writes the sample's pictures to the directory in PLOTS, for looking at them"]
    fn write_the_samples() {
        let directory = std::path::PathBuf::from(std::env::var_os("PLOTS").unwrap());
        for (name, svg) in plots(&sample::summary()) {
            std::fs::write(directory.join(name), svg).unwrap();
        }
    }
}
