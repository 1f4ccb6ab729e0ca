//! Latency by consumer, its shape in a line, and where its mean goes.

use super::paint::Tone;
use super::table::{Cell, Table, always, if_any, if_room, text_if_room};
use super::{Style, Thing, section, things};
use crate::report::show;
use crate::stats::Histogram;
use crate::summary::Summary;

/// Heights of the sparkline; the first means a few, not none.
const BLOCKS: [char; 8] =
    ['\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}'];

/// The stages in the order in which an event passes them.
const STAGES: [&str; 6] = ["buffer", "publish", "dispatch", "wait", "service", "retry"];

/// Percentiles per consumer, with the shape of the distribution on a common logarithmic axis.
pub(super) fn latency(summary: &Summary, style: Style) -> String {
    let consumers = things(summary, "consumers");
    let axis = LogAxis::over(summary, if style.width < 96 { 12 } else { 16 });
    let title = axis.as_ref().map_or_else(String::new, LogAxis::title);
    let mut table = Table::new([
        always("mean"),
        always("p50"),
        if_room("p90"),
        always("p99"),
        if_any("95 %"),
        always("p99.9"),
        always("max"),
        text_if_room(&title),
    ]);
    for consumer in &consumers {
        let histogram = summary.curves.iter().find(|curves| curves.name == consumer.name).map(|curves| &curves.latency);
        let shape =
            axis.as_ref().zip(histogram).map_or_else(String::new, |(axis, histogram)| axis.sparkline(histogram));
        table.row(consumer.name, row(consumer, summary, "latency", shape));
        if consumer.number(&["path_latency", "mean"]).is_some() {
            table.row(&format!("{} (path)", consumer.name), row(consumer, summary, "path_latency", String::new()));
        }
    }
    let content = if consumers.is_empty() { String::new() } else { table.render(style) };
    section("Latency", "from the intended creation of an event to its first effect", &content, style)
}

fn row(consumer: &Thing<'_>, summary: &Summary, of: &str, shape: String) -> Vec<Cell> {
    let time = |name: &str| show::seconds(consumer.number(&[of, name]));
    vec![
        time("mean").into(),
        time("p50").into(),
        time("p90").into(),
        Cell::toned(time("p99"), Tone::Strong),
        consumer.spread(summary, &[of, "p99"], show::seconds_of),
        time("p99.9").into(),
        time("max").into(),
        shape.into(),
    ]
}

/// Where the mean goes, stage by stage; the largest stands out.
pub(super) fn stages(summary: &Summary, style: Style) -> String {
    let mut table = Table::new([if_room("mean")].into_iter().chain(STAGES.map(if_any)));
    for consumer in things(summary, "consumers") {
        let Some(mean) = consumer.number(&["latency", "mean"]) else { continue };
        let parts = STAGES.map(|stage| consumer.number(&["latency", "stages", stage, "mean"]).unwrap_or(0.0));
        let largest = parts.iter().copied().fold(0.0, f64::max);
        let cells = parts.map(|part| match show::seconds_of(part) {
            text if part >= largest && part > 0.0 => Cell::toned(text, Tone::Strong),
            text if part < 0.01 * mean => Cell::toned(text, Tone::Quiet),
            text => text.into(),
        });
        table.row(consumer.name, [show::seconds_of(mean).into()].into_iter().chain(cells));
    }
    let content = if table.speaks() { table.render(style) } else { String::new() };
    section("Where the mean goes", "the stages add up to it", &content, style)
}

/// A logarithmic axis of latencies, in cells of equal ratio.
#[derive(Clone, Copy, Debug)]
struct LogAxis {
    /// Seconds at the left and right edge.
    from: f64,
    to: f64,
    cells: usize,
}

impl LogAxis {
    /// From the fastest thousandth to the slowest event of all consumers, widened to round numbers.
    fn over(summary: &Summary, cells: usize) -> Option<Self> {
        let full = summary.curves.iter().map(|curves| &curves.latency).filter(|latency| latency.count() > 0);
        let low = full.clone().map(|latency| latency.quantile(0.001)).min()?.max(1);
        let high = full.map(Histogram::max).max()?.max(low + 1);
        let (low, high) = (low as f64 / 1e9, high as f64 / 1e9);
        let from = ROUND.iter().rev().copied().find(|round| *round <= low).unwrap_or(ROUND[0]);
        let to = ROUND.iter().copied().find(|round| *round >= high).unwrap_or(high);
        Some(Self { from, to, cells })
    }

    /// Its ends, as the title of the column.
    fn title(&self) -> String {
        let (from, to) = (show::axis_seconds(self.from), show::axis_seconds(self.to));
        let gap = self.cells.saturating_sub(from.chars().count() + to.chars().count());
        format!("{from}{}{to}", " ".repeat(gap.max(1)))
    }

    /// The cell of a latency.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..cells")]
    fn cell(&self, seconds: f64) -> usize {
        let share = libm::log(seconds.max(self.from) / self.from) / libm::log(self.to / self.from);
        ((share * self.cells as f64) as usize).min(self.cells - 1)
    }

    /// Height by share of the events in each cell; cells with a few events have the lowest block, empty ones none.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the largest: 0 to 1")]
    fn sparkline(&self, histogram: &Histogram) -> String {
        let mut counts = vec![0_u64; self.cells];
        for (low, high, count) in histogram.iter() {
            counts[self.cell((low as f64 + high as f64) / 2e9)] += count;
        }
        let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
        let block = |count: u64| match count {
            0 => ' ',
            count => BLOCKS[((count as f64 / most * BLOCKS.len() as f64) as usize).min(BLOCKS.len() - 1)],
        };
        counts.into_iter().map(block).collect()
    }
}

/// Round numbers of seconds.
const ROUND: [f64; 44] = [
    1e-9,
    1e-8,
    1e-7,
    1e-6,
    2e-6,
    5e-6,
    1e-5,
    2e-5,
    5e-5,
    1e-4,
    2e-4,
    5e-4,
    1e-3,
    2e-3,
    5e-3,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    20.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    1_200.0,
    1_800.0,
    3_600.0,
    7_200.0,
    18_000.0,
    36_000.0,
    86_400.0,
    172_800.0,
    432_000.0,
    864_000.0,
    2_592_000.0,
    8_640_000.0,
    31_536_000.0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_numbers_rise() {
        assert!(ROUND.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_sparkline_shows_where_the_events_are() {
        let mut histogram = Histogram::default();
        (0..90).for_each(|_| histogram.record(2_000_000));
        (0..10).for_each(|_| histogram.record(500_000_000));
        let axis = LogAxis { from: 1e-3, to: 1.0, cells: 6 };
        assert_eq!(axis.sparkline(&histogram), "\u{2588}    \u{2581}");
        assert_eq!(axis.title(), "1ms 1s");
    }
}
