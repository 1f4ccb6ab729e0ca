//! `edasim sweep`: a grid of values, every point simulated, finished ones kept and taken up again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::args::Sweep as Args;
use super::exit::{Exit, remember};
use super::files::{Place, Prepared};
use super::points::Kept;
use super::run::{PAGE, tell};
use super::watch::{self, Watch};
use super::{load_file, metrics, quoted, terminal, vary};
use crate::experiment::{self, Failure, Grid, Lost, Request, knee, positions};
use crate::plan::Plan;
use crate::report::{csv, json, svg, text};
use crate::scenario::Overrides;
use crate::summary::{Axis, Point, Sweep, Swept, place};

/// Above so many points the time is told before, and `--yes` is needed.
pub(super) const MANY: usize = 10_000;

/// Sweeps a grid.
pub(super) fn sweep(args: &Args) -> Result<Exit, Exit> {
    let whole = load_file(&args.scenario.file, &args.scenario.overrides(), args.output.quiet)?;
    let mut axes =
        args.vary.iter().map(|argument| vary::axis("--vary", argument)).collect::<Result<Vec<Axis>, _>>().map_err(
            |why| {
                terminal::error(&why);
                Exit::Input
            },
        )?;
    axes.iter_mut().for_each(|axis| axis.positions = positions(&axis.values));
    if let Some((at, axis)) =
        axes.iter().enumerate().find(|(at, axis)| axes[..*at].iter().any(|other| other.path == axis.path))
    {
        terminal::error(&format!("`--vary {}` is given twice (the second is axis {})", axis.path, at + 1));
        return Err(Exit::Input);
    }
    let count = axes.iter().try_fold(1_usize, |count, axis| count.checked_mul(axis.values.len())).unwrap_or(usize::MAX);
    let variant = args.scenario.variant.clone().or_else(|| whole.variants.first().cloned());
    let overrides = Overrides { variant, ..args.scenario.changes.overrides() };
    let out = args.output.out.as_ref().map(|directory| Place::inside(directory, "sweep.json")).transpose()?;
    let command = command(args, &whole.plan);
    remember(&command);

    let first = load_point(args, &overrides, &axes, 0)?;
    let metrics = measured(&args.metric, &first)?;
    let kept = Kept::inside(args.output.out.as_ref());
    let grid = Points { args, overrides: &overrides, axes: &axes, metrics: &metrics, kept, open: Mutex::default() };
    let request = Request { jobs: args.jobs.unwrap_or(0), ..Request::default() };
    if count > MANY && !args.yes {
        return Err(ask(&grid, count, &request));
    }
    let found = simulate(&grid, count, &request, &whole.plan)?;
    let knees = (0..metrics.len()).map(|metric| match axes.as_slice() {
        [axis] => knee(axis.positions.as_ref()?, &found.iter().map(|point| point.readings[metric]).collect::<Vec<_>>()),
        _ => None,
    });
    let sweep = Sweep {
        scenario: first.name.clone(),
        seed: first.seed,
        replications: first.replications,
        duration: first.duration,
        knees: knees.collect(),
        axes: axes.clone(),
        metrics: metrics.clone(),
        points: found,
        command,
    };
    if let Some(place) = out {
        let named = [
            ("sweep.json".to_owned(), json::sweep(&sweep)),
            ("sweep.csv".to_owned(), csv::sweep(&sweep)),
            ("report.txt".to_owned(), text::sweep(&sweep, PAGE)),
        ];
        let write =
            |(name, content): (String, String)| place.beside(&name).prepare(|to| to.write_all(content.as_bytes()));
        let files = named.into_iter().chain(svg::sweep(&sweep)).map(write).collect::<Result<Vec<_>, Exit>>()?;
        files.into_iter().try_for_each(Prepared::publish)?;
    }
    match (args.output.json, args.csv, args.output.quiet) {
        (true, ..) => terminal::print(&json::sweep(&sweep))?,
        (_, true, _) => terminal::print(&csv::sweep(&sweep))?,
        (.., true) => {}
        _ => terminal::print(&text::sweep(&sweep, terminal::style()))?,
    }
    Ok(Exit::Done)
}

/// The plan of a point; what is wrong with it is told.
fn load_point(args: &Args, overrides: &Overrides, axes: &[Axis], point: usize) -> Result<Plan, Exit> {
    let at = place(axes.iter().map(|axis| axis.values.len()), point);
    let vary = axes.iter().zip(at).map(|(axis, value)| format!("{}={}", axis.path, axis.values[value])).collect();
    super::load_point(&args.scenario.file, &Overrides { vary, ..overrides.clone() })
}

/// The metrics asked for; else those of the expectations; else latency and lag of each consumer, and what users of each
/// service wait for and are denied.
fn measured(asked: &[String], plan: &Plan) -> Result<Vec<Swept>, Exit> {
    let mut paths: Vec<String> = asked.to_vec();
    if paths.is_empty() {
        paths = metrics::claimed(plan);
    }
    if paths.is_empty() {
        paths = metrics::of_times(plan, &["latency.p99", "lag.max"], &["response.p99", "availability"]);
    }
    metrics::named(plan, &paths)
}

/// The command that repeats the sweep.
fn command(args: &Args, plan: &Plan) -> String {
    let mut words = vec!["edasim".to_owned(), "sweep".to_owned(), quoted(&args.scenario.file.display().to_string())];
    let mut option = |name: &str, value: &String| words.extend([name.to_owned(), quoted(value)]);
    args.vary.iter().for_each(|vary| option("--vary", vary));
    args.metric.iter().for_each(|metric| option("--metric", metric));
    args.scenario.variant.iter().for_each(|variant| option("--variant", variant));
    words.extend(args.scenario.changes.words(plan, plan.replications));
    words.join(" ")
}

/// The points of a grid, as the pool of threads asks for them.
struct Points<'a> {
    args: &'a Args,
    overrides: &'a Overrides,
    axes: &'a [Axis],
    metrics: &'a [Swept],
    /// Those that are finished.
    kept: Kept,
    /// The digests of open points, and whether a file could not be written (which has been told).
    open: Mutex<(BTreeMap<usize, String>, bool)>,
}

impl Points<'_> {
    fn digest(&self, plan: &Plan) -> String {
        Kept::digest(plan, &format!("{:?}", self.metrics))
    }

    /// A point that an earlier sweep finished.
    fn known(&self, digest: &str) -> Option<Point> {
        json::read_point(&self.kept.known(digest)?).filter(|point| point.readings.len() == self.metrics.len())
    }
}

impl Grid for Points<'_> {
    fn plan(&self, point: usize) -> Plan {
        load_point(self.args, self.overrides, self.axes, point).expect("it was loaded before")
    }

    fn finished(&self, point: usize, found: &Point) -> bool {
        let digest = self.open.lock().ok().and_then(|mut open| open.0.remove(&point));
        let written = digest.is_none_or(|digest| self.kept.keep(&digest, &json::point(found)).is_ok());
        if let (false, Ok(mut open)) = (written, self.open.lock()) {
            open.1 = true;
        }
        written
    }
}

/// Simulates all points that are not known, with progress and Ctrl-C.
fn simulate(grid: &Points<'_>, count: usize, request: &Request, plan: &Plan) -> Result<Vec<Point>, Exit> {
    let mut known = BTreeMap::new();
    let mut open = Vec::new();
    watch::listen();
    for point in 0..count {
        let plan = load_point(grid.args, grid.overrides, grid.axes, point)?;
        let digest = grid.digest(&plan);
        match grid.known(&digest) {
            Some(found) => drop(known.insert(point, found)),
            None => {
                open.push(point);
                grid.open.lock().expect("nobody has it yet").0.insert(point, digest);
            }
        }
        if watch::interrupted() {
            break;
        }
    }
    if !known.is_empty() && !grid.args.output.quiet {
        let more = if open.is_empty() { "" } else { "; the others are simulated now" };
        terminal::note(&format!("{} of {count} points were finished before{more}", known.len()));
    }
    let runs = plan.replications.saturating_mul(u32::try_from(open.len()).unwrap_or(u32::MAX));
    let watch = Watch::new(runs, grid.args.output.quiet);
    let result = experiment::sweep(grid, &open, grid.metrics, request, &watch);
    watch.finish();
    if grid.open.lock().is_ok_and(|open| open.1) {
        return Err(Exit::System);
    }
    match result {
        Ok(found) if known.len() + found.len() == count => {
            known.extend(open.into_iter().zip(found));
            Ok(known.into_values().collect())
        }
        Ok(_) | Err(Lost { failure: Failure::Interrupted, .. }) => {
            Err(interrupted(grid, known.len() + open.len(), count))
        }
        Err(Lost { point, failure }) => {
            let at = place(grid.axes.iter().map(|axis| axis.values.len()), point);
            let values = grid.axes.iter().zip(at).map(|(axis, value)| format!("{}={}", axis.path, axis.values[value]));
            terminal::tell(&format!("at {}:", values.collect::<Vec<_>>().join(", ")));
            Err(tell(&failure, plan.replications))
        }
    }
}

/// Says what is left of an interrupted sweep, and how to go on. So many of its points have been looked at.
fn interrupted(grid: &Points<'_>, seen: usize, count: usize) -> Exit {
    let open = grid.open.lock().map_or(0, |open| open.0.len());
    grid.kept.interrupted(&format!("{} of {count} points are", seen.saturating_sub(open)))
}

/// Measures one point, and says how long all of them would take.
#[expect(clippy::disallowed_methods, reason = "people ask how long it takes, who live in wall-clock time")]
fn ask(grid: &Points<'_>, count: usize, request: &Request) -> Exit {
    let started = Instant::now();
    watch::listen();
    let watch = Watch::new(0, true);
    let one = Request { jobs: 1, ..request.clone() };
    match experiment::sweep(grid, &[0], grid.metrics, &one, &watch) {
        Err(Lost { failure: Failure::Interrupted, .. }) => return Exit::Interrupted,
        Err(Lost { failure, .. }) => return tell(&failure, 1),
        Ok(_) => {}
    }
    let jobs = if request.jobs == 0 { rayon::current_num_threads() } else { request.jobs };
    let all = started.elapsed().as_secs_f64() * count as f64 / jobs as f64;
    let time = crate::units::show_seconds(Duration::from_secs_f64(all.min(1e9)).as_secs_f64());
    terminal::error(&format!(
        "{count} points would take about {time} with {jobs} at a time, as the first one went\nadd `--yes` to simulate them all"
    ));
    Exit::Input
}
