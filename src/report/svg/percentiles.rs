//! Times by percentile: all consumers or all services of a run in one picture, or one of them in all designs of a
//! comparison.

use super::axis::Axis;
use super::frame::Frame;
use super::page::{EDGE, Font, GREY, INK, Page, Pen, WIDTH};
use super::{Line as Times, Words, concerned, pen, runs, warn, warn_of};
use crate::report::show;
use crate::stats::Histogram;
use crate::summary::{Comparison, Design, Summary};

/// Lines in one picture; more cannot be told apart.
const LINES: usize = 10;
/// Where the lines begin: the fastest hundredth would only draw a wall at the left edge.
const FIRST: f64 = 0.01;
/// Points of a line.
const POINTS: usize = 240;

/// The picture, where there are any times.
pub(super) fn draw(summary: &Summary, times: &[Times<'_>], words: &Words) -> Option<String> {
    let lines = times.iter().enumerate();
    let all: Vec<Line<'_>> = lines.map(|(index, (name, latency))| Line { name, latency, pen: pen(index) }).collect();
    let left_out = all.iter().filter(|line| line.latency.count() > 0).count().saturating_sub(LINES);
    let more = if left_out > 0 { format!("; {left_out} faster {} left out", words.things) } else { String::new() };
    let about = format!("{}. A line ends where fewer than ten {} are slower{more}.", runs(summary), words.events);
    let mut page = sheet((words.question, &about), words, all)?;
    warn(&mut page, summary, None, 552.0);
    Some(page.finish())
}

/// One consumer or service in the designs that have it, laid over each other; none where nothing was done in any.
pub(super) fn overlay(comparison: &Comparison, name: &str, words: &Words) -> Option<String> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (index, design) in comparison.designs.iter().enumerate() {
        let times = words.times_of(&design.summary).into_iter().find(|times| times.0 == name);
        lines.extend(times.map(|(_, latency)| Line { name: &design.name, latency, pen: pen(index) }));
    }
    let left_out = lines.iter().filter(|line| line.latency.count() > 0).count().saturating_sub(LINES);
    let more = if left_out > 0 { format!("; {left_out} faster designs left out") } else { String::new() };
    let first = &comparison.designs.first()?.summary;
    let of = if first.replications == 1 { "1 run".into() } else { format!("{} runs", first.replications) };
    let about = format!("{of} of each design. A line ends where fewer than ten {} are slower{more}.", words.events);
    let title = words.question_of.replace("{}", name);
    let mut page = sheet((&title, &about), words, lines)?;
    let warned =
        |design: &&Design| design.summary.warnings.iter().any(|warning| concerned(&warning.about) == Some(name));
    if let Some(design) = comparison.designs.iter().find(warned) {
        warn_of(&mut page, &design.name, &design.summary, Some(name), 552.0);
    }
    Some(page.finish())
}

/// One line of a picture.
#[derive(Clone, Copy)]
struct Line<'a> {
    name: &'a str,
    latency: &'a Histogram,
    pen: Pen,
}

/// The page with the slowest lines, where there are any times.
fn sheet((title, about): (&str, &str), words: &Words, mut lines: Vec<Line<'_>>) -> Option<Page> {
    lines.retain(|line| line.latency.count() > 0);
    lines.sort_by_key(|line| std::cmp::Reverse(line.latency.quantile(0.99)));
    lines.truncate(LINES);
    let most = lines.iter().map(|line| line.latency.count()).max()?;
    let fastest = lines.iter().map(|line| line.latency.quantile(FIRST)).min()?;
    let slowest = lines.iter().map(|line| line.latency.quantile(last(most))).max()?;
    let mut page = Page::new(580.0, title, about);
    let frame = Frame { left: 106.0, right: WIDTH - 236.0, top: 84.0, bottom: 490.0 };
    let x = Axis::percentiles(last(most), frame.across());
    let y = Axis::latency(fastest as f64 / 1e9, slowest as f64 / 1e9, frame.up());
    let across = format!("share of the {} that are at least as fast", words.events);
    frame.draw(&mut page, (&x, &across), (&y, &format!("{} (log scale)", words.time)));
    let mut labels = Vec::new();
    for line in lines {
        let points = points(&line, &x, &y);
        labels.push((points.last().map_or(frame.bottom, |point| point.1), line));
        page.path(&points, line.pen);
    }
    legend(&mut page, &frame, labels);
    Some(page)
}

/// The last percentile that rests on ten events or more; at least the 90th.
fn last(count: u64) -> f64 {
    (1.0 - 10.0 / count as f64).clamp(0.9, 0.999_999_9)
}

fn points(line: &Line<'_>, x: &Axis, y: &Axis) -> Vec<(f64, f64)> {
    let end = last(line.latency.count());
    let shares = (0..=POINTS).map(|i| x.value(i as f64 / POINTS as f64)).filter(|share| (FIRST..end).contains(share));
    shares.chain([end]).map(|share| (x.at(share), y.at(line.latency.quantile(share) as f64 / 1e9))).collect()
}

/// Names at the right, in the order of the ends of the lines, each with a piece of its line.
fn legend(page: &mut Page, frame: &Frame, mut labels: Vec<(f64, Line<'_>)>) {
    labels.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.name.cmp(b.1.name)));
    let height = 38.0;
    let lowest = frame.bottom - 8.0 - height * labels.len().saturating_sub(1) as f64;
    let mut free = frame.top + 6.0;
    let left = frame.right + 20.0;
    for (i, (end, line)) in labels.into_iter().enumerate() {
        let at = end.max(free).min(lowest + height * i as f64);
        free = at + height;
        page.line((left, at), (left + 34.0, at), line.pen);
        let font = Font::new(13.0, INK);
        page.text((left + 42.0, at + 2.0), &font.cut(line.name, WIDTH - EDGE - left - 42.0), font);
        let p99 = show::seconds_of(line.latency.quantile(0.99) as f64 / 1e9);
        page.text((left + 42.0, at + 18.0), &format!("p99 {p99}"), Font::new(12.0, GREY));
    }
}
