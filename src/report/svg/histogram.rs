//! How the times of one consumer or service are distributed.

use super::axis::Axis;
use super::frame::Frame;
use super::page::{Font, INK, Page, Pen, WIDTH, rows};
use super::{BLUE, Line, Words, runs, warn};
use crate::report::show;
use crate::stats::Histogram;
use crate::summary::Summary;

/// Bars from the fastest to the slowest event.
const BARS: usize = 72;
/// Labels of percentiles.
const LABEL: Font = Font::new(12.0, INK);

/// The picture, where there are any times.
pub(super) fn draw(summary: &Summary, (name, latency): Line<'_>, words: &Words) -> Option<String> {
    if latency.count() == 0 {
        return None;
    }
    let about = format!("{}, {} {}.", runs(summary), show::count_of(latency.count() as f64), words.events);
    let title = format!("How is the {} of {name} spread?", words.time);
    let mut page = Page::new(500.0, &title, &about);
    // Room at the right for the label of the slowest.
    let across = (106.0, WIDTH - 120.0);
    let x = Axis::latency(latency.min() as f64 / 1e9, latency.max() as f64 / 1e9, across);
    let marks = marks(&x, latency);
    let top = 100.0 + 16.0 * marks.iter().map(|mark| mark.3).max().unwrap_or(0) as f64;
    let frame = Frame { left: across.0, right: across.1, top, bottom: 410.0 };
    let shares = shares(latency, &x, frame.across());
    let y = Axis::share(shares.iter().copied().fold(0.0, f64::max), frame.up());
    let (across, up) = (format!("{} (log scale)", words.time), format!("share of the {} in a bar", words.events));
    frame.draw(&mut page, (&x, &across), (&y, &up));
    let width = (frame.right - frame.left) / BARS as f64;
    for (i, share) in shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
        let left = frame.left + i as f64 * width;
        // A bar that holds anything can be seen.
        let top = y.at(*share).min(frame.bottom - 1.0);
        page.area((left + 0.5, frame.bottom), (left + width - 0.5, top), BLUE, 0.85);
    }
    draw_marks(&mut page, &frame, &marks);
    warn(&mut page, summary, Some(name), 472.0);
    Some(page.finish())
}

/// The share of the events in each bar.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the bars")]
fn shares(latency: &Histogram, x: &Axis, (left, right): (f64, f64)) -> Vec<f64> {
    let mut counts = vec![0_u64; BARS];
    for (low, high, count) in latency.iter() {
        let at = (x.at((low as f64 + high as f64) / 2e9) - left) / (right - left);
        counts[((at * BARS as f64) as usize).min(BARS - 1)] += count;
    }
    counts.into_iter().map(|count| count as f64 / latency.count() as f64).collect()
}

/// A percentile: where, what it is called, and the left end and row of its label.
type Mark = (f64, String, f64, usize);

/// Percentiles with places for their labels.
fn marks(x: &Axis, latency: &Histogram) -> Vec<Mark> {
    let quantile = |q: f64| latency.quantile(q) as f64 / 1e9;
    let marks = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)]
        .map(|(name, q)| (x.at(quantile(q)), format!("{name} {}", show::seconds_of(quantile(q)))));
    let places = marks.each_ref().map(|(at, text)| (at + 3.0, LABEL.width(text)));
    marks
        .into_iter()
        .zip(rows(&places))
        .zip(places)
        .map(|(((at, text), row), place)| (at, text, place.0, row))
        .collect()
}

/// Percentiles as lines through the bars, with their labels above.
fn draw_marks(page: &mut Page, frame: &Frame, marks: &[Mark]) {
    let base = |row: usize| frame.top - 9.0 - 16.0 * row as f64;
    for (at, _, _, row) in marks {
        page.line((*at, base(*row)), (*at, frame.bottom), Pen { color: INK, width: 1.0, dash: "3 3" });
    }
    for (_, text, start, row) in marks {
        page.text_on_white((*start, base(*row)), text, LABEL);
    }
}
