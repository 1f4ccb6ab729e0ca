//! Latency by percentile: all consumers of a run in one picture, or one consumer in all designs of a comparison.

use super::axis::Axis;
use super::frame::Frame;
use super::page::{EDGE, Font, GREY, INK, Page, Pen, WIDTH};
use super::{pen, runs, warn, warn_of};
use crate::report::show;
use crate::stats::Histogram;
use crate::summary::{Comparison, Design, Summary};

/// Lines in one picture; more cannot be told apart.
const LINES: usize = 10;
/// Where the lines begin: the fastest hundredth would only draw a wall at the left edge.
const FIRST: f64 = 0.01;
/// Points of a line.
const POINTS: usize = 240;

/// The picture, where any event was effected.
pub(super) fn draw(summary: &Summary) -> Option<String> {
    let mut all: Vec<Line<'_>> = Vec::new();
    for (index, curves) in summary.curves.iter().enumerate() {
        all.push(Line { name: &curves.name, latency: &curves.latency, pen: pen(index) });
    }
    let left_out = all.iter().filter(|line| line.latency.count() > 0).count().saturating_sub(LINES);
    let more = if left_out > 0 { format!("; {left_out} faster consumers left out") } else { String::new() };
    let about = format!("{}. A line ends where fewer than ten events are slower{more}.", runs(summary));
    let mut page = sheet("How long does an event take until it has its effect?", &about, all)?;
    warn(&mut page, summary, None, 552.0);
    Some(page.finish())
}

/// One consumer in the designs that have it, laid over each other; none where it has no effect in any.
pub(super) fn overlay(comparison: &Comparison, consumer: &str) -> Option<String> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (index, design) in comparison.designs.iter().enumerate() {
        let curves = design.summary.curves.iter().find(|curves| curves.name == consumer);
        lines.extend(curves.map(|curves| Line { name: &design.name, latency: &curves.latency, pen: pen(index) }));
    }
    let left_out = lines.iter().filter(|line| line.latency.count() > 0).count().saturating_sub(LINES);
    let more = if left_out > 0 { format!("; {left_out} faster designs left out") } else { String::new() };
    let first = &comparison.designs.first()?.summary;
    let of = if first.replications == 1 { "1 run".into() } else { format!("{} runs", first.replications) };
    let about = format!("{of} of each design. A line ends where fewer than ten events are slower{more}.");
    let mut page = sheet(&format!("How long does an event take until {consumer} has dealt with it?"), &about, lines)?;
    let concerned = |design: &&Design| {
        design.summary.warnings.iter().any(|warning| warning.about.strip_prefix("consumers.") == Some(consumer))
    };
    if let Some(design) = comparison.designs.iter().find(concerned) {
        warn_of(&mut page, &design.name, &design.summary, Some(consumer), 552.0);
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

/// The page with the slowest lines, where any event was effected.
fn sheet(title: &str, about: &str, mut lines: Vec<Line<'_>>) -> Option<Page> {
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
    frame.draw(&mut page, (&x, "share of the events that are at least as fast"), (&y, "latency (log scale)"));
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
