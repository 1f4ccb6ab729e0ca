//! Times by percentile, all consumers or all services in one picture.

use super::axis::Axis;
use super::frame::Frame;
use super::page::{EDGE, Font, GREY, INK, Page, Pen, WIDTH};
use super::{Line, Words, pen, runs, warn};
use crate::report::show;
use crate::stats::Histogram;
use crate::summary::Summary;

/// Lines in one picture; more cannot be told apart.
const LINES: usize = 10;
/// Where the lines begin: the fastest hundredth would only draw a wall at the left edge.
const FIRST: f64 = 0.01;
/// Points of a line.
const POINTS: usize = 240;

/// The picture, where there are any times.
pub(super) fn draw(summary: &Summary, lines: &[Line<'_>], words: &Words) -> Option<String> {
    let mut curves: Vec<(usize, Line<'_>)> =
        lines.iter().copied().enumerate().filter(|(_, (_, latency))| latency.count() > 0).collect();
    let left_out = curves.len().saturating_sub(LINES);
    curves.sort_by_key(|(_, (_, latency))| std::cmp::Reverse(latency.quantile(0.99)));
    curves.truncate(LINES);
    let latencies = || curves.iter().map(|(_, (_, latency))| latency);
    let most = latencies().map(|latency| latency.count()).max()?;
    let fastest = latencies().map(|latency| latency.quantile(FIRST)).min()?;
    let slowest = latencies().map(|latency| latency.quantile(last(most))).max()?;

    let more = if left_out > 0 { format!("; {left_out} faster {} left out", words.things) } else { String::new() };
    let about = format!("{}. A line ends where fewer than ten {} are slower{more}.", runs(summary), words.events);
    let mut page = Page::new(580.0, words.question, &about);
    let frame = Frame { left: 106.0, right: WIDTH - 236.0, top: 84.0, bottom: 490.0 };
    let x = Axis::percentiles(last(most), frame.across());
    let y = Axis::latency(fastest as f64 / 1e9, slowest as f64 / 1e9, frame.up());
    let across = format!("share of the {} that are at least as fast", words.events);
    frame.draw(&mut page, (&x, &across), (&y, &format!("{} (log scale)", words.time)));

    let mut labels = Vec::new();
    for (index, (name, latency)) in curves {
        let points = line(latency, &x, &y);
        labels.push((points.last().map_or(frame.bottom, |point| point.1), name, pen(index), latency));
        page.path(&points, pen(index));
    }
    legend(&mut page, &frame, labels);
    warn(&mut page, summary, None, 552.0);
    Some(page.finish())
}

/// The last percentile that rests on ten events or more; at least the 90th.
fn last(count: u64) -> f64 {
    (1.0 - 10.0 / count as f64).clamp(0.9, 0.999_999_9)
}

fn line(latency: &Histogram, x: &Axis, y: &Axis) -> Vec<(f64, f64)> {
    let end = last(latency.count());
    let shares = (0..=POINTS).map(|i| x.value(i as f64 / POINTS as f64)).filter(|share| (FIRST..end).contains(share));
    shares.chain([end]).map(|share| (x.at(share), y.at(latency.quantile(share) as f64 / 1e9))).collect()
}

/// Names at the right, in the order of the ends of the lines, each with a piece of its line.
fn legend(page: &mut Page, frame: &Frame, mut labels: Vec<(f64, &str, Pen, &Histogram)>) {
    labels.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
    let height = 38.0;
    let lowest = frame.bottom - 8.0 - height * labels.len().saturating_sub(1) as f64;
    let mut free = frame.top + 6.0;
    let left = frame.right + 20.0;
    for (i, (end, name, pen, latency)) in labels.into_iter().enumerate() {
        let at = end.max(free).min(lowest + height * i as f64);
        free = at + height;
        page.line((left, at), (left + 34.0, at), pen);
        let font = Font::new(13.0, INK);
        page.text((left + 42.0, at + 2.0), &font.cut(name, WIDTH - EDGE - left - 42.0), font);
        let p99 = show::seconds_of(latency.quantile(0.99) as f64 / 1e9);
        page.text((left + 42.0, at + 18.0), &format!("p99 {p99}"), Font::new(12.0, GREY));
    }
}
