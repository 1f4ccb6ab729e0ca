//! A sweep as text: a row for each point, a column for each metric.

use super::paint::{Tone, labelled, shortened, wrap};
use super::table::{Cell, Table, always, if_any};
use super::{Style, identity, section};
use crate::report::contrast::value;
use crate::report::json::sweep as document;
use crate::report::show;
use crate::summary::Sweep;

/// Points that are shown; files have all.
const SHOWN: usize = 200;

/// The report of a sweep; no line is longer than the width, but for the digest and the command at the end.
#[must_use]
pub fn render(sweep: &Sweep, style: Style) -> String {
    let sections = [head(sweep, style), table(sweep, style), identity(&document(sweep), &sweep.command, style)];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

fn head(sweep: &Sweep, style: Style) -> String {
    let name = shortened(&sweep.scenario, style.width / 2);
    let points = sweep.points.len();
    let varied = |path: &str, same: String| match sweep.varied(path) {
        Some((first, last)) => format!("{first} to {last}"),
        None => same,
    };
    let runs = varied("replications", sweep.replications.to_string());
    let about = format!(
        "{points} {} of {runs} {} each, {} virtual time, {} {}",
        if points == 1 { "point" } else { "points" },
        if runs == "1" { "run" } else { "runs" },
        varied("duration", show::span(sweep.duration)),
        if sweep.varied("seed").is_some() { "seeds" } else { "seed" },
        varied("seed", sweep.seed.to_string()),
    );
    let room = style.width.saturating_sub(name.chars().count() + 2);
    let mut out =
        format!("{}  {}\n\n", Tone::Strong.paint(&name, style), Tone::Quiet.paint(&shortened(&about, room), style));
    for axis in &sweep.axes {
        let values = match axis.values.as_slice() {
            [first, .., last] if axis.values.len() > 12 => format!("{first} to {last}, {} values", axis.values.len()),
            values => values.join(", "),
        };
        out.push_str(&labelled("vary", Tone::Quiet, &format!("{} = {values}", axis.path), style));
    }
    for (metric, knee) in sweep.metrics.iter().zip(&sweep.knees) {
        if let Some(knee) = knee {
            let text = format!("{} bends at {} = {}", metric.name(), sweep.axes[0].path, sweep.values(*knee)[0]);
            out.push_str(&labelled("knee", Tone::Care, &text, style));
        }
    }
    out.push_str(&no_knees(sweep, style));
    let everywhere = everywhere(sweep);
    if !everywhere.is_empty() {
        let text = format!("{} at every point: see `edasim run` of one", everywhere.join(" "));
        out.push_str(&labelled("note", Tone::Care, &text, style));
    }
    out
}

/// The metrics that bend nowhere, where knees were looked for.
fn no_knees(sweep: &Sweep, style: Style) -> String {
    let [axis] = &sweep.axes[..] else { return String::new() };
    let none = sweep.metrics.iter().zip(&sweep.knees).filter(|(_, knee)| knee.is_none());
    let names: Vec<String> = none.map(|(metric, _)| metric.name()).collect();
    if axis.positions.is_none() || axis.values.len() < 3 || names.is_empty() {
        return String::new();
    }
    labelled("knee", Tone::Quiet, &format!("none in {}", names.join(", ")), style)
}

/// Codes of warnings that every point has. (That an expectation is undecided is in its verdict.)
fn everywhere(sweep: &Sweep) -> Vec<&str> {
    let Some((first, others)) = sweep.points.split_first() else { return Vec::new() };
    let common = first.warnings.iter().filter(|code| others.iter().all(|point| point.warnings.contains(code)));
    common.map(String::as_str).filter(|code| *code != "W005").collect()
}

fn table(sweep: &Sweep, style: Style) -> String {
    let names: Vec<String> = sweep.metrics.iter().map(|metric| shortened(&metric.name(), 30)).collect();
    let everywhere = everywhere(sweep);
    let titles = names.iter().flat_map(|name| [always(name), if_any("95 %")]);
    let mut table = Table::new(titles.chain([if_any("expect"), if_any("warnings")]));
    for (index, point) in sweep.points.iter().take(SHOWN).enumerate() {
        let mut cells: Vec<Cell> = Vec::new();
        for (metric, (reading, knee)) in sweep.metrics.iter().zip(point.readings.iter().zip(&sweep.knees)) {
            let shown = reading.map_or_else(|| show::NOTHING.into(), |reading| value(metric.unit, reading.value));
            let is_knee = *knee == Some(index);
            let text = if is_knee { format!("knee {shown}") } else { shown };
            cells.push(Cell::toned(text, if is_knee { Tone::Care } else { Tone::Plain }));
            let interval = reading.and_then(|reading| reading.interval);
            let spread = interval.map(|interval| show::spread(interval, |end| value(metric.unit, end)));
            cells.push(Cell::toned(spread.unwrap_or_default(), Tone::Quiet));
        }
        cells.push(
            point.verdict.map_or_else(Cell::default, |verdict| Cell::toned(verdict.word().into(), verdict.into())),
        );
        let own =
            point.warnings.iter().map(String::as_str).filter(|code| *code != "W005" && !everywhere.contains(code));
        cells.push(Cell::toned(own.collect::<Vec<_>>().join(" "), Tone::Care));
        table.row(&sweep.values(index).join(", "), cells);
    }
    let mut out = table.render(style);
    let more = sweep.points.len().saturating_sub(SHOWN);
    let mut notes = Vec::new();
    if more > 0 {
        notes.push(format!("and {more} more points: see --out, --csv or --json"));
    }
    notes.push("maxima and drain times are means over the runs, counts are per run".to_owned());
    for note in notes {
        out.extend(wrap(&note, style.width - 2).iter().map(|line| format!("  {}\n", Tone::Quiet.paint(line, style))));
    }
    let paths: Vec<&str> = sweep.axes.iter().map(|axis| axis.path.rsplit('.').next().unwrap_or(&axis.path)).collect();
    section("Points", &format!("by {}", paths.join(", ")), &out, style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    /// Checks every line, and takes the digest out, which changes with the document.
    fn check(axes: usize, width: usize) -> String {
        let text = render(&sample::sweep(axes), Style { color: false, width });
        for line in text.lines().filter(|line| !line.starts_with("digest") && !line.starts_with("repeat")) {
            assert!(line.chars().count() <= width, "wider than {width}: {line}");
            assert_eq!(line.trim_end(), line, "blank at the end of a line");
        }
        text.lines().filter(|line| !line.starts_with("digest")).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn sweep_at_80_columns() {
        insta::assert_snapshot!(check(1, 80) + "\n" + &check(2, 80));
    }

    #[test]
    fn what_points_differ_in_is_not_told_of_all() {
        let mut sweep = sample::sweep(1);
        let head = |sweep: &Sweep| render(sweep, Style { color: false, width: 120 }).lines().next().map(str::to_owned);
        assert!(head(&sweep).is_some_and(|line| line.ends_with("4 points of 10 runs each, 2h virtual time, seed 42")));
        for (path, values, says) in [
            ("replications", ["2", "4", "8", "16"], "of 2 to 16 runs each, 2h virtual time, seed 42"),
            ("seed", ["1", "2", "3", "4"], "of 10 runs each, 2h virtual time, seeds 1 to 4"),
            ("duration", ["1h", "2h", "3h", "4h"], "of 10 runs each, 1h to 4h virtual time, seed 42"),
        ] {
            sweep.axes[0].path = path.into();
            sweep.axes[0].values = values.map(String::from).into();
            assert!(head(&sweep).is_some_and(|line| line.ends_with(says)), "{:?}", head(&sweep));
        }
    }

    #[test]
    fn sweep_at_other_widths() {
        for width in [40, 60, 100, 120] {
            check(1, width);
            check(2, width);
        }
    }
}
