//! The chance that a reader does not see yet what has been done, by how long after being told of it a look is.

use serde_json::Value;

use super::axis::Axis;
use super::frame::Frame;
use super::page::{EDGE, Font, GREY, INK, Page, WIDTH};
use super::{pen, runs, warn};
use crate::report::show;
use crate::summary::Summary;

/// Lines in one picture; more cannot be told apart.
const LINES: usize = 10;

/// The chance not to see it, by the time since being told, seconds.
struct Line<'a> {
    name: &'a str,
    /// At once.
    first: f64,
    /// Later, from the last time at which the chance is what it was at once.
    points: Vec<(f64, f64)>,
}

/// The picture of all reads, where some see it later than others.
pub(super) fn draw(summary: &Summary) -> Option<String> {
    let reads = summary.metrics.get("reads").and_then(Value::as_object)?;
    let mut lines: Vec<Line<'_>> = reads.iter().filter_map(|(name, read)| line(name, read)).collect();
    lines.sort_by(|a, b| b.first.total_cmp(&a.first));
    let left_out = lines.len().saturating_sub(LINES);
    let more = if left_out > 0 { format!(" {left_out} less stale reads are left out.") } else { String::new() };
    lines.truncate(LINES);
    let times = || lines.iter().flat_map(|line| &line.points).map(|point| point.0);
    let (from, to) = (times().reduce(f64::min)?, times().reduce(f64::max)?);
    let highest = lines.iter().flat_map(|line| &line.points).map(|point| point.1).fold(0.0, f64::max);
    let about = format!("{}. Each look is one of a user who was told of success.{more}", runs(summary));
    let mut page = Page::new(580.0, "How likely does a user not see it yet?", &about);
    let frame = Frame { left: 106.0, right: WIDTH - 236.0, top: 84.0, bottom: 490.0 };
    let x = Axis::latency(from, to, frame.across());
    let y = Axis::share(highest, frame.up());
    let across = "time from being told to looking (log scale)";
    frame.draw(&mut page, (&x, across), (&y, "share of the looks that do not see it"));
    for (index, line) in lines.iter().enumerate() {
        let start = (frame.left, y.at(line.first));
        let points: Vec<(f64, f64)> = line.points.iter().map(|(at, stale)| (x.at(*at), y.at(*stale))).collect();
        page.path(&[&[start], &points[..]].concat(), pen(index));
        for (x, y) in points {
            page.area((x - 2.5, y - 2.5), (x + 2.5, y + 2.5), pen(index).color, 1.0);
        }
    }
    legend(&mut page, &frame, &lines);
    warn(&mut page, summary, None, 552.0);
    Some(page.finish())
}

/// None where all see it at once, and where nobody looks.
fn line<'a>(name: &'a str, read: &Value) -> Option<Line<'a>> {
    let points: Vec<(f64, Option<f64>)> = serde_json::from_value(read.pointer("/stale/curve")?.clone()).ok()?;
    let known = points.into_iter().map(|(at, stale)| Some((at, stale?)));
    let known: Vec<(f64, f64)> = known.collect::<Option<_>>()?;
    let ((_, first), later) = known.split_first()?;
    (!later.is_empty()).then(|| Line { name, first: *first, points: later.to_vec() })
}

/// Names at the right, the stalest first, each with a piece of its line.
fn legend(page: &mut Page, frame: &Frame, lines: &[Line<'_>]) {
    let left = frame.right + 20.0;
    for (index, line) in lines.iter().enumerate() {
        let at = frame.top + 6.0 + 38.0 * index as f64;
        page.line((left, at), (left + 34.0, at), pen(index));
        let font = Font::new(13.0, INK);
        page.text((left + 42.0, at + 2.0), &font.cut(line.name, WIDTH - EDGE - left - 42.0), font);
        let stale = format!("{} at once", show::share_of(line.first));
        page.text((left + 42.0, at + 18.0), &stale, Font::new(12.0, GREY));
    }
}
