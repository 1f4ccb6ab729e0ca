//! How far one consumer falls behind over virtual time, with the faults and changes of the run.

use super::axis::Axis;
use super::frame::Frame;
use super::page::{Font, GREY, INK, Page, Pen, WIDTH, rows};
use super::{BLUE, VERMILLION, pen, runs, warn};
use crate::summary::{ConsumerCurves, Summary, Window};

/// Rows of labels above the curves.
const ROWS: usize = 3;
/// Labels of faults and changes.
const LABEL: Font = Font::new(12.0, INK);

/// The picture, where there are samples.
pub(super) fn draw(summary: &Summary, curves: &ConsumerCurves) -> Option<String> {
    if curves.lag.is_empty() {
        return None;
    }
    let many = summary.replications > 1;
    let lines = if many { " Solid: mean of the runs; dashed: the largest of them." } else { "" };
    let title = format!("How far behind does {} fall, and when has it caught up?", curves.name);
    // Those that are autoscaled have a third frame.
    let scaled = !curves.members.is_empty();
    let below = if scaled { 176.0 } else { 0.0 };
    let mut page = Page::new(680.0 + below, &title, &format!("{}.{lines}", runs(summary)));
    let across = (106.0, WIDTH - 32.0);
    let x = Axis::time(summary.duration.seconds(), across);
    let marks = marks(summary, curves, &x, across);
    let top = 100.0 + 16.0 * marks.iter().map(|mark| mark.4).max().unwrap_or(0) as f64;
    let upper = Frame { left: across.0, right: across.1, top, bottom: 352.0 };
    let lower = Frame { top: 378.0, bottom: 594.0, ..upper };
    let peak = |series: &[f64]| series.iter().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
    let records = Axis::count(peak(&curves.lag).max(peak(&curves.lag_max)), upper.up());
    let age = Axis::span(peak(&curves.lag_time), lower.up());
    let third = Frame { top: 620.0, bottom: 770.0, ..upper };
    let members = Axis::count(peak(&curves.members), third.up());
    let frames = [&upper, &lower, &third];
    shade(&mut page, summary, curves, &x, if scaled { &frames } else { &frames[..2] });
    upper.draw(&mut page, (&x, ""), (&records, "lag (records)"));
    lower.draw(&mut page, (&x, if scaled { "" } else { "virtual time" }), (&age, "age of the oldest"));
    let series = |values: &[f64], y: &Axis| -> Vec<(f64, f64)> {
        let at = |i: usize| x.at(curves.interval.seconds() * (i + 1) as f64);
        let known = values.iter().enumerate().filter(|(_, value)| value.is_finite());
        known.map(|(i, value)| (at(i), y.at(*value))).collect()
    };
    if many {
        page.path(&series(&curves.lag_max, &records), Pen { width: 1.2, ..pen(1) });
    }
    page.path(&series(&curves.lag, &records), pen(0));
    page.path(&series(&curves.lag_time, &age), pen(0));
    if scaled {
        third.draw(&mut page, (&x, "virtual time"), (&members, "members"));
        page.path(&series(&curves.members, &members), pen(0));
    }
    draw_marks(&mut page, &upper, &marks);
    warn(&mut page, summary, Some(&curves.name), 654.0 + below);
    Some(page.finish())
}

/// Whether a window is one of those that touch the consumer.
fn touches(window: &Window, curves: &ConsumerCurves) -> bool {
    window.touches.contains(&curves.name)
}

/// Faults as areas behind the curves, changes as lines; grey where the consumer is not touched.
fn shade(page: &mut Page, summary: &Summary, curves: &ConsumerCurves, x: &Axis, frames: &[&Frame]) {
    for window in &summary.windows {
        let hit = touches(window, curves);
        let (from, to) = (x.at(window.from.seconds()), x.at(window.to.seconds()));
        for frame in frames {
            if window.fault {
                let (fill, opacity) = if hit { (VERMILLION, 0.16) } else { (GREY, 0.1) };
                page.area((from, frame.top), (to.max(from + 1.0), frame.bottom), fill, opacity);
            } else {
                let color = if hit { BLUE } else { GREY };
                page.line((from, frame.top), (from, frame.bottom), Pen { color, width: 1.5, dash: "6 3" });
            }
        }
    }
}

/// A label: where its window begins, its text, whether the window touches the consumer, left end and row.
type Mark = (f64, String, bool, f64, usize);

/// What each window is, with a place above its beginning; a name that recurs is written once.
fn marks(summary: &Summary, curves: &ConsumerCurves, x: &Axis, (left, right): (f64, f64)) -> Vec<Mark> {
    let mut named: Vec<(f64, String, bool)> = Vec::new();
    for (i, window) in summary.windows.iter().enumerate() {
        if summary.windows[..i].iter().any(|earlier| earlier.name == window.name) {
            continue;
        }
        let times = summary.windows.iter().filter(|other| other.name == window.name).count();
        let more = if times > 1 { format!(" ({times} times)") } else { String::new() };
        let kind = if window.fault { "fault" } else { "change" };
        let text = LABEL.cut(&format!("{kind}: {}{more}", window.name), right - left);
        named.push((x.at(window.from.seconds()), text, touches(window, curves)));
    }
    named.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let start = |at: f64, text: &str| (at + 3.0).min(right - LABEL.width(text)).max(left);
    let place = |(at, text, _): &(f64, String, bool)| (start(*at, text), LABEL.width(text));
    // Where there is no room for all, those that touch the consumer come first.
    let mut shown: Vec<usize> = Vec::new();
    for hit in [true, false] {
        for index in (0..named.len()).filter(|index| named[*index].2 == hit) {
            let at = shown.partition_point(|other| *other < index);
            shown.insert(at, index);
            let places: Vec<_> = shown.iter().map(|index| place(&named[*index])).collect();
            if rows(&places).into_iter().any(|row| row >= ROWS) {
                shown.remove(at);
            }
        }
    }
    let places: Vec<_> = shown.iter().map(|index| place(&named[*index])).collect();
    let placed = shown.into_iter().zip(rows(&places).into_iter().zip(places));
    placed
        .map(|(index, (row, (start, _)))| (named[index].0, named[index].1.clone(), named[index].2, start, row))
        .collect()
}

fn draw_marks(page: &mut Page, frame: &Frame, marks: &[Mark]) {
    let base = |row: usize| frame.top - 9.0 - 16.0 * row as f64;
    for (at, _, _, _, row) in marks {
        page.line((*at, base(*row)), (*at, frame.top), Pen::thin(GREY));
    }
    for (_, text, hit, start, row) in marks {
        let color = if *hit { INK } else { GREY };
        page.text_on_white((*start, base(*row)), text, Font { color, ..LABEL });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_own_fault_keeps_its_label() {
        let mut summary = sample::summary();
        let curves = summary.curves[1].clone();
        let own = summary.windows[0].clone();
        for n in 0..6 {
            let name = format!("a fault of another consumer, number {n}");
            summary.windows.insert(0, Window { name, touches: Vec::new(), ..own.clone() });
        }
        let svg = draw(&summary, &curves).expect("a picture");
        assert!(svg.contains(&format!("fault: {}", own.name)), "{svg}");
        assert!(svg.contains("number 0") && !svg.contains("number 5"), "{svg}");
    }
}
