//! A metric over a sweep: a line with its interval where one value is varied, a heat map where two are.

use super::axis::Axis;
use super::frame::Frame;
use super::page::{Anchor, EDGE, Font, GREY, INK, Page, Pen, WIDTH};
use super::{BLUE, VERMILLION};
use crate::metrics::Unit;
use crate::report::contrast::value;
use crate::report::show;
use crate::summary::{Reading, Sweep};

/// From little to much: one hue from light to dark, which every kind of colour vision sees as such.
pub(super) const SHADES: [&str; 9] =
    ["#f7fbff", "#deebf7", "#c6dbef", "#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08519c", "#08306b"];

/// Largest quotient of two latencies that a linear axis shows well.
const LINEAR: f64 = 50.0;

/// What a picture points at.
pub(super) struct Marks<'a> {
    /// A value of the axis, and what it is.
    pub(super) at: Option<(usize, String)>,
    /// A limit of the metric, and what it is.
    pub(super) limit: Option<(f64, &'a str)>,
    /// What is simulated.
    pub(super) each: &'a str,
}

/// The picture of one metric, where one or two values are varied and it has any value.
pub(super) fn draw(sweep: &Sweep, metric: usize) -> Option<String> {
    let knee = sweep.knees[metric].map(|knee| (knee, format!("knee at {}", sweep.axes[0].values[knee])));
    draw_with(sweep, metric, &Marks { at: knee, limit: None, each: "each point" })
}

/// The same with other marks.
pub(super) fn draw_with(sweep: &Sweep, metric: usize, marks: &Marks<'_>) -> Option<String> {
    let readings: Vec<Option<Reading>> = sweep.points.iter().map(|point| point.readings[metric]).collect();
    readings.iter().flatten().next()?;
    match sweep.axes.as_slice() {
        [_] => Some(line(sweep, metric, &readings, marks)),
        [_, _] => Some(heat(sweep, metric, &readings, marks)),
        _ => None,
    }
}

fn page(sweep: &Sweep, metric: usize, marks: &Marks<'_>, more: &str) -> Page {
    let varied = |path: &str| sweep.varied(path).map(|(first, last)| format!("{first} to {last}"));
    let runs = varied("replications").unwrap_or_else(|| sweep.replications.to_string());
    let runs = if runs == "1" { "1 run".into() } else { format!("{runs} runs") };
    let (duration, each) = (varied("duration").unwrap_or_else(|| show::span(sweep.duration)), marks.each);
    let about = format!("{}: {runs} of {duration} at {each}{more}.", sweep.scenario);
    let name = sweep.metrics[metric].name();
    Page::new(580.0, marks.limit.map_or(name.as_str(), |(_, text)| text), &about)
}

/// The ends of a reading's interval; where that is open, or there is none, the value itself.
fn ends(reading: &Reading) -> (f64, f64) {
    let (low, high) = reading.interval.unwrap_or((reading.value, reading.value));
    (low, if high.is_finite() { high } else { reading.value })
}

/// One value is varied.
fn line(sweep: &Sweep, metric: usize, readings: &[Option<Reading>], marks: &Marks<'_>) -> String {
    let (axis, swept) = (&sweep.axes[0], &sweep.metrics[metric]);
    let more = if sweep.replications > 1 { "; the band is the 95 % interval" } else { "" };
    let mut page = page(sweep, metric, marks, more);
    let frame = Frame { left: 106.0, right: WIDTH - 48.0, top: 84.0, bottom: 490.0 };
    let evenly: Vec<f64> = (0..axis.values.len()).map(|i| i as f64).collect();
    let positions = axis.positions.as_ref().unwrap_or(&evenly);
    let x = Axis::points(positions, &axis.values, frame.across());
    let known = || readings.iter().flatten().map(ends);
    let low = known().map(|ends| ends.0).fold(f64::MAX, f64::min);
    let limit = marks.limit.map(|(limit, _)| limit);
    let high = known().map(|ends| ends.1).chain(limit).fold(0.0, f64::max);
    let least = readings.iter().flatten().map(|reading| reading.value).chain(limit).fold(f64::MAX, f64::min);
    let log = swept.unit == Unit::Seconds && least > 0.0 && high / least > LINEAR;
    let y = if log {
        Axis::latency(low.max(least / 10.0), high, frame.up())
    } else {
        Axis::of(swept.unit, high, frame.up())
    };
    let name = if log { format!("{} (log scale)", swept.name()) } else { swept.name() };
    let font = Font::new(13.0, INK);
    frame.draw(
        &mut page,
        (&x, &font.cut(&axis.path, frame.right - frame.left)),
        (&y, &font.cut(&name, frame.bottom - frame.top)),
    );

    // A point without a value parts the line.
    let known: Vec<Option<(f64, Reading)>> =
        readings.iter().zip(positions).map(|(reading, at)| Some((x.at(*at), (*reading)?))).collect();
    for part in known.split(Option::is_none) {
        let part: Vec<(f64, Reading)> = part.iter().flatten().copied().collect();
        let edge = |end: fn((f64, f64)) -> f64| {
            let at = |(x, reading): &(f64, Reading)| (*x, y.at(end(ends(reading))));
            part.iter().map(at).collect::<Vec<_>>()
        };
        let band: Vec<(f64, f64)> =
            edge(|ends| ends.1).into_iter().chain(edge(|ends| ends.0).into_iter().rev()).collect();
        page.shape(&band, BLUE, 0.2);
        let points: Vec<(f64, f64)> = part.iter().map(|(x, reading)| (*x, y.at(reading.value))).collect();
        page.path(&points, Pen { color: BLUE, width: 2.2, dash: "" });
        for (x, y) in points {
            page.area((x - 2.5, y - 2.5), (x + 2.5, y + 2.5), BLUE, 1.0);
        }
    }
    if let Some(limit) = limit {
        let pen = Pen { color: INK, width: 1.2, dash: "2 3" };
        page.line((frame.left, y.at(limit)), (frame.right, y.at(limit)), pen);
    }
    if let Some((value, text)) = &marks.at {
        let at = x.at(positions[*value]);
        page.line((at, frame.top), (at, frame.bottom), Pen { color: VERMILLION, width: 1.6, dash: "9 4" });
        let font = Font::new(13.0, VERMILLION);
        let text = font.cut(text, 200.0);
        let right = at + 8.0 + font.width(&text) > frame.right;
        let left = if right { at - 8.0 - font.width(&text) } else { at + 8.0 };
        page.text_on_white((left, frame.top + 16.0), &text, font);
    }
    page.finish()
}

/// Two values are varied: the first downwards, the second across.
fn heat(sweep: &Sweep, metric: usize, readings: &[Option<Reading>], marks: &Marks<'_>) -> String {
    let (down, across, swept) = (&sweep.axes[0], &sweep.axes[1], &sweep.metrics[metric]);
    let values = || readings.iter().flatten().map(|reading| reading.value);
    let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    let log = low > 0.0 && high / low > LINEAR;
    let mut page = page(sweep, metric, marks, if log { "; equal steps of colour are equal ratios" } else { "" });
    let frame = Frame { left: 150.0, right: WIDTH - 48.0, top: 84.0, bottom: 480.0 };
    let (rows, columns) = (down.values.len(), across.values.len());
    let (width, height) = ((frame.right - frame.left) / columns as f64, (frame.bottom - frame.top) / rows as f64);
    let font = Font::new(12.0, INK);
    for (index, reading) in readings.iter().enumerate() {
        let (row, column) = (index / columns, index % columns);
        let (left, top) = (frame.left + width * column as f64, frame.top + height * row as f64);
        let Some(reading) = reading else { continue };
        let shade = shade(reading.value, (low, high), log);
        page.area((left, top), (left + width, top + height), SHADES[shade], 1.0);
        let text = value(swept.unit, reading.value);
        if font.width(&text) < width - 4.0 && height > 16.0 {
            let ink = Font { color: if shade > 4 { "#ffffff" } else { INK }, ..font };
            page.text((left + width / 2.0, top + height / 2.0 + 4.0), &text, ink.anchored(Anchor::Middle));
        }
    }
    let tick = Font::new(12.0, GREY);
    let mut free = f64::NEG_INFINITY;
    for (row, label) in down.values.iter().enumerate() {
        let at = frame.top + height * (row as f64 + 0.5) + 4.0;
        if at > free {
            page.text((frame.left - 8.0, at), &tick.cut(label, frame.left - 60.0), tick.anchored(Anchor::End));
            free = at + 13.0;
        }
    }
    free = f64::NEG_INFINITY;
    for (column, label) in across.values.iter().enumerate() {
        let (at, text) = (frame.left + width * (column as f64 + 0.5), tick.cut(label, width.max(60.0)));
        let half = tick.width(&text) / 2.0;
        if at - half > free && at + half < WIDTH {
            page.text((at, frame.bottom + 18.0), &text, tick.anchored(Anchor::Middle));
            free = at + half + 4.0;
        }
    }
    let name = Font::new(13.0, INK);
    let middle = f64::midpoint(frame.left, frame.right);
    let room = frame.right - frame.left;
    page.text((middle, frame.bottom + 40.0), &name.cut(&across.path, room), name.anchored(Anchor::Middle));
    let upward = Font { upward: true, ..name.anchored(Anchor::Middle) };
    let tall = frame.bottom - frame.top;
    page.text((EDGE + 12.0, f64::midpoint(frame.top, frame.bottom)), &name.cut(&down.path, tall), upward);
    scale(&mut page, swept.unit, (low, high));
    page.finish()
}

/// From little to much, with the values at its ends.
fn scale(page: &mut Page, unit: Unit, (low, high): (f64, f64)) {
    let (left, top, width) = (WIDTH / 2.0 - 108.0, 544.0, 24.0);
    for (i, shade) in SHADES.iter().enumerate() {
        let at = left + width * i as f64;
        page.area((at, top), (at + width, top + 12.0), shade, 1.0);
    }
    let font = Font::new(12.0, GREY);
    page.text((left - 8.0, top + 11.0), &value(unit, low), font.anchored(Anchor::End));
    page.text((left + width * SHADES.len() as f64 + 8.0, top + 11.0), &value(unit, high), font);
}

/// The shade of a value between the lowest and the highest.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the shades")]
fn shade(value: f64, (low, high): (f64, f64), log: bool) -> usize {
    let share = if high <= low {
        0.0
    } else if log {
        libm::log(value / low) / libm::log(high / low)
    } else {
        (value - low) / (high - low)
    };
    ((share * SHADES.len() as f64) as usize).min(SHADES.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_go_from_little_to_much() {
        assert_eq!([1.0, 5.0, 9.0].map(|value| shade(value, (1.0, 9.0), false)), [0, 4, 8]);
        assert_eq!([1.0, 10.0, 100.0].map(|value| shade(value, (1.0, 100.0), true)), [0, 4, 8]);
        assert_eq!(shade(3.0, (3.0, 3.0), false), 0);
    }
}
