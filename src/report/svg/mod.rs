//! Pictures for a design review: latency by percentile, its spread, lag over time, and how stale what is read is.
//!
//! Colours are those of Okabe and Ito, which differ for every kind of colour vision; lines differ by their dashes too.

mod axis;
mod frame;
mod histogram;
mod lag;
mod page;
mod percentiles;
mod sizing;
mod stale;
mod sweep;

use std::collections::BTreeSet;

use page::{EDGE, Font, Page, Pen, WIDTH};

use crate::report::show;
use crate::stats::Histogram;
use crate::summary::{Comparison, Sizing, Summary, Sweep};

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
    let (latencies, responses) = (LATENCY.times_of(summary), RESPONSE.times_of(summary));
    for (lines, words) in [(&latencies, &LATENCY), (&responses, &RESPONSE)] {
        let file = format!("{}-percentiles.svg", words.file);
        plots.extend(percentiles::draw(summary, lines, words).map(|svg| (file, svg)));
    }
    let mut taken = BTreeSet::new();
    for (curves, line) in summary.curves.iter().zip(latencies) {
        let name = file_part(&curves.name, &mut taken);
        let file = format!("{}-spread-{name}.svg", LATENCY.file);
        plots.extend(histogram::draw(summary, line, &LATENCY).map(|svg| (file, svg)));
        plots.extend(lag::draw(summary, curves).map(|svg| (format!("lag-{name}.svg"), svg)));
    }
    for line in responses {
        let file = format!("{}-spread-{}.svg", RESPONSE.file, file_part(line.0, &mut taken));
        plots.extend(histogram::draw(summary, line, &RESPONSE).map(|svg| (file, svg)));
    }
    plots.extend(stale::draw(summary).map(|svg| ("stale-reads.svg".to_owned(), svg)));
    plots
}

/// Times of one thing: its name, and how they are distributed, ns.
type Line<'a> = (&'a str, &'a Histogram);

/// What pictures call times, and what takes them.
struct Words {
    /// Beginning of file names.
    file: &'static str,
    /// The question of the picture of all.
    question: &'static str,
    /// The same of one thing, named in place of `{}`.
    question_of: &'static str,
    /// One kind of time.
    time: &'static str,
    /// What takes it.
    events: &'static str,
    /// Whose they are.
    things: &'static str,
}

impl Words {
    /// All times of this kind.
    fn times_of<'a>(&self, summary: &'a Summary) -> Vec<Line<'a>> {
        if self.things == LATENCY.things {
            summary.curves.iter().map(|curves| (curves.name.as_str(), &curves.latency)).collect()
        } else {
            summary.responses.iter().map(|response| (response.name.as_str(), &response.time)).collect()
        }
    }
}

/// Of consumers.
const LATENCY: Words = Words {
    file: "latency",
    question: "How long does an event take until it has its effect?",
    question_of: "How long does an event take until {} has dealt with it?",
    time: "latency",
    events: "events",
    things: "consumers",
};

/// Of services.
const RESPONSE: Words = Words {
    file: "response",
    question: "How long does a user wait for the answer?",
    question_of: "How long does a user wait for the answer of {}?",
    time: "response time",
    events: "requests",
    things: "services",
};

/// The pictures of a comparison: each consumer and service that the base shares with another design, in all designs that
/// have it.
#[must_use]
pub fn overlays(comparison: &Comparison) -> Vec<(String, String)> {
    let mut taken = BTreeSet::new();
    let mut plots = Vec::new();
    let Some((base, others)) = comparison.designs.split_first() else { return plots };
    for words in [&LATENCY, &RESPONSE] {
        let has = |summary: &Summary, name: &str| words.times_of(summary).iter().any(|(other, _)| *other == name);
        for (name, _) in words.times_of(&base.summary) {
            if others.iter().any(|other| has(&other.summary, name)) {
                let file = format!("{}-percentiles-{}.svg", words.file, file_part(name, &mut taken));
                plots.extend(percentiles::overlay(comparison, name, words).map(|svg| (file, svg)));
            }
        }
    }
    plots
}

/// The pictures of a sweep of one or two values: one of each metric.
#[must_use]
pub fn sweep(sweep: &Sweep) -> Vec<(String, String)> {
    let mut taken = BTreeSet::new();
    let all = sweep.metrics.iter().enumerate().map(|(index, metric)| {
        let name = file_part(&metric.name(), &mut taken);
        sweep::draw(sweep, index).map(|svg| (format!("sweep-{name}.svg"), svg))
    });
    all.flatten().collect()
}

/// The pictures of a search for the smallest design, of one or two values: one of each objective.
#[must_use]
pub fn sizing(sizing: &Sizing) -> Vec<(String, String)> {
    let mut taken = BTreeSet::new();
    let objectives = sizing.probes.first().map_or(&[][..], |probe| &probe.found.judged);
    let all = objectives.iter().enumerate().map(|(index, judged)| {
        let name = judged.path.iter().skip(1).cloned().collect::<Vec<_>>().join(".");
        let file = format!("size-{}.svg", file_part(&name, &mut taken));
        sizing::draw(sizing, index).map(|svg| (file, svg))
    });
    all.flatten().collect()
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

/// The consumer or service that a warning is about.
fn concerned(about: &str) -> Option<&str> {
    about.strip_prefix("consumers.").or_else(|| about.strip_prefix("services."))
}

/// The first warning about a consumer or service (about anything, without one), so that no picture travels without it.
fn warn(page: &mut Page, summary: &Summary, consumer: Option<&str>, at: f64) {
    warn_of(page, "", summary, consumer, at);
}

/// The same of one of several designs.
fn warn_of(page: &mut Page, design: &str, summary: &Summary, consumer: Option<&str>, at: f64) {
    let concerns = |about: &str| about == "experiment" || consumer.is_none_or(|name| concerned(about) == Some(name));
    let mut warnings = summary.warnings.iter().filter(|warning| concerns(&warning.about));
    let Some(first) = warnings.next() else { return };
    let about = match concerned(&first.about) {
        Some(_) if consumer.is_some() => String::new(),
        _ => crate::report::text::subject(first),
    };
    let font = Font::new(12.0, VERMILLION);
    let room = 126;
    let more = warnings.count();
    let more = if more > 0 { format!(" ({more} more in the report)") } else { String::new() };
    let of = if design.is_empty() { String::new() } else { format!("{design}: ") };
    let mut text = format!("{} {of}{about}{}{more}", first.code, first.text);
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
        let mut sweeps = [sample::sweep(1), sample::sweep(2)];
        for sweep in &mut sweeps {
            let long =
                "producers.a-producer-with-an-uncommonly-long-name-as-people-sometimes-give-them.arrivals.poisson";
            sweep.axes[0].path = long.repeat(2);
            sweep.axes[0].values[1] = "{ lognormal: { median: 200ms, p99: 900ms } }".repeat(2);
        }
        let services = plots(&sample::services());
        let names: Vec<&str> = services.iter().map(|(name, _)| name.as_str()).collect();
        let expected = ["response-percentiles", "response-spread-checkout", "response-spread-search", "stale-reads"];
        assert_eq!(names, expected.map(|name| format!("{name}.svg")));
        let all = plots(&summary)
            .into_iter()
            .chain(services)
            .chain(plots(&sample::summary()))
            .chain(overlays(&sample::comparison()));
        for (name, svg) in all.chain(sweeps.iter().flat_map(sweep)) {
            check_texts(&name, &svg);
        }
    }

    /// Every text of a picture lies inside its page.
    fn check_texts(name: &str, svg: &str) {
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

    #[test]
    fn lines_differ_without_colour_vision() {
        let pens: BTreeSet<String> = (0..35).map(|n| format!("{:?}", pen(n))).collect();
        assert_eq!(pens.len(), 35);
        for n in 0..34 {
            assert!(pen(n).color != pen(n + 1).color && pen(n).dash != pen(n + 1).dash, "lines {n} and {}", n + 1);
        }
        let (_, svg) = plots(&sample::summary()).swap_remove(0);
        let drawn: BTreeSet<_> = svg
            .lines()
            .filter(|line| line.contains("stroke-width=\"2.2\""))
            .map(|line| (attribute(line, "stroke"), attribute(line, "stroke-dasharray")))
            .collect();
        assert_eq!(drawn.len(), sample::summary().curves.len());
    }

    #[test]
    fn designs_are_laid_over_each_other() {
        let comparison = sample::comparison();
        let plots = overlays(&comparison);
        let names: Vec<&str> = plots.iter().map(|(name, _)| name.as_str()).collect();
        let expected = ["analytics", "email", "fraud"].map(|name| format!("latency-percentiles-{name}.svg"));
        assert_eq!(names, expected);
        for (name, svg) in &plots {
            let lines = svg.lines().filter(|line| line.contains("stroke-width=\"2.2\""));
            let drawn: BTreeSet<_> =
                lines.map(|line| (attribute(line, "stroke"), attribute(line, "stroke-dasharray"))).collect();
            assert_eq!(drawn.len(), comparison.designs.len(), "{name}");
            assert!(svg.contains(">as-is<") && svg.contains(">more-members<"), "{name}");
        }
    }

    #[test]
    fn the_same_numbers_give_the_same_bytes() {
        assert_eq!(plots(&sample::summary()), plots(&sample::summary()));
    }

    #[test]
    fn a_sweep_of_one_or_two_values_is_drawn() {
        let line = sweep(&sample::sweep(1));
        let names: Vec<&str> = line.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["sweep-email.latency.p99.svg", "sweep-email.lag.max.svg"]);
        assert!(line[0].1.contains("<polygon") && line[0].1.contains(">knee at 4<"), "{}", line[0].1);
        assert!(!line[1].1.contains("knee"), "{}", line[1].1);
        let heat = sweep(&sample::sweep(2));
        let cells = heat[0].1.lines().filter(|line| line.starts_with("<rect x=")).count();
        assert_eq!(cells, 4 * 2 + sweep::SHADES.len());
    }

    #[test]
    fn stale_reads_fall_with_the_delay() {
        let (_, svg) = plots(&sample::services()).pop().unwrap();
        let lines: Vec<&str> = svg.lines().filter(|line| line.contains("stroke-width=\"2.2\"")).collect();
        // A line and its piece in the legend for each of two reads; the third is never stale.
        assert_eq!(lines.len(), 4, "{svg}");
        for line in &lines[..2] {
            let data = attribute(line, "d").unwrap().replace('M', "");
            let points: Vec<(f64, f64)> = data
                .split('L')
                .map(|point| point.split_once(' ').unwrap())
                .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
                .collect();
            // Downwards on the page is less.
            assert!(points.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1), "{points:?}");
        }
        assert!(svg.contains(">62% at once<") && svg.contains(">feed<") && !svg.contains(">profile<"), "{svg}");
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
            curves.latency = Histogram::default();
            curves.lag.clear();
        });
        summary.responses.clear();
        assert_eq!(plots(&summary), []);
        summary.metrics["reads"] = serde_json::json!({ "feed": { "stale": { "curve": [[0.0, null]] } } });
        assert_eq!(plots(&summary), [], "nobody looks");
    }

    #[test]
    #[ignore = "writes the sample's pictures to the directory in PLOTS, for looking at them"]
    fn write_the_samples() {
        let directory = std::path::PathBuf::from(std::env::var_os("PLOTS").unwrap());
        for (name, svg) in plots(&sample::summary()).into_iter().chain(plots(&sample::services())) {
            std::fs::write(directory.join(name), svg).unwrap();
        }
    }
}
