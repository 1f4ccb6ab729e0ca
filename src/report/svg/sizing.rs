//! An objective over a search of one or two values: its figure at each design that was simulated, and its limit.

use super::sweep::{self, Marks};
use crate::metrics::{self, Unit};
use crate::summary::{Axis, Judged, Point, Reading, Sizing, Sweep, Swept};

/// The picture of one objective, where one or two values are searched and it has any figure.
pub(super) fn draw(sizing: &Sizing, objective: usize) -> Option<String> {
    let judged = sizing.probes.first()?.found.judged.get(objective)?;
    let simulated = simulated(sizing, objective);
    let answer = sizing.answer.map(|index| &sizing.probes[index]);
    let at =
        answer.and_then(|probe| simulated.axes[0].values.iter().position(|value| *value == sizing.values(probe)[0]));
    let marks = Marks {
        at: at.map(|at| (at, format!("answer {}", simulated.axes[0].values[at]))),
        limit: Some((judged.limit, judged.text.as_str())),
        each: "each design that was simulated",
    };
    sweep::draw_with(&simulated, 0, &marks)
}

/// The grid of the values that some simulated design has, with the figure of an objective where there is one.
fn simulated(sizing: &Sizing, objective: usize) -> Sweep {
    let used: Vec<Vec<usize>> = (0..sizing.knobs.len())
        .map(|knob| {
            let mut used: Vec<usize> = sizing.probes.iter().map(|probe| probe.at[knob]).collect();
            used.sort_unstable();
            used.dedup();
            used
        })
        .collect();
    let axes: Vec<Axis> = sizing
        .knobs
        .iter()
        .zip(&used)
        .map(|(knob, used)| Axis {
            path: knob.path.clone(),
            values: used.iter().map(|at| knob.values[*at].clone()).collect(),
            positions: Some(used.iter().map(|at| knob.numbers[*at]).collect()),
        })
        .collect();
    let mut points = vec![empty(); axes.iter().map(|axis| axis.values.len()).product()];
    for probe in &sizing.probes {
        let place = used.iter().zip(&probe.at).fold(0, |place, (used, at)| {
            place * used.len() + used.iter().position(|value| value == at).expect("it is that of a probe")
        });
        points[place].readings = vec![probe.found.judged.get(objective).and_then(reading)];
    }
    let judged = sizing.probes[0].found.judged[objective].clone();
    Sweep {
        scenario: sizing.scenario.clone(),
        seed: sizing.seed,
        replications: sizing.replications,
        duration: sizing.duration,
        axes,
        metrics: vec![Swept { unit: unit(&judged.path), path: judged.path }],
        points,
        knees: vec![None],
        command: String::new(),
    }
}

fn empty() -> Point {
    Point { readings: vec![None], verdict: None, warnings: Vec::new() }
}

fn reading(judged: &Judged) -> Option<Reading> {
    Some(Reading { value: judged.value?, interval: judged.interval })
}

fn unit(path: &[String]) -> Unit {
    let below = |from: usize| path.get(from..).map(|keys| keys.join("."));
    let found = path.first().and_then(|section| {
        let below = below(if section == "events" { 1 } else { 2 })?;
        metrics::find(section, &below)
    });
    found.map_or(Unit::Number, |metric| metric.unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_search_of_one_value_is_a_line_and_of_two_a_map() {
        for knobs in [1, 2] {
            let sizing = sample::sizing(knobs);
            let svg = draw(&sizing, 0).expect("a picture");
            let mut values: Vec<&str> = sizing.probes.iter().map(|probe| sizing.values(probe)[0]).collect();
            values.sort_unstable();
            values.dedup();
            assert_eq!(svg.contains("answer 6"), knobs == 1, "{svg}");
            assert!(svg.contains(&sizing.probes[0].found.judged[0].text.replace('<', "&lt;")), "{svg}");
            for value in values {
                assert!(svg.contains(&format!(">{value}<")), "{value} is not at the axis: {svg}");
            }
        }
    }

    #[test]
    fn only_what_was_simulated_has_a_figure() {
        let sizing = sample::sizing(2);
        let grid = simulated(&sizing, 0);
        let known = grid.points.iter().filter(|point| point.readings[0].is_some()).count();
        let judged = sizing.probes.iter().filter(|probe| probe.found.judged[0].value.is_some()).count();
        assert_eq!(known, judged);
        for probe in &sizing.probes {
            let values = sizing.values(probe);
            let at = (0..grid.points.len()).find(|point| grid.values(*point) == values).expect("in the grid");
            assert_eq!(grid.points[at].readings[0].map(|it| it.value), probe.found.judged[0].value);
        }
    }
}
