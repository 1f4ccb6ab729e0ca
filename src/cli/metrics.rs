//! Which metrics a command is about: those named by `--metric`, or others in their place.

use super::args;
use super::exit::Exit;
use super::{tell_diagnostics, terminal};
use crate::experiment::Aim;
use crate::plan::Plan;
use crate::report::text;
use crate::scenario;
use crate::summary::{Precision, Swept};

/// Most replications of `--precision`, unless it is told.
const MOST: u32 = 1_000;

/// The metrics that paths name in a plan, each once.
///
/// # Errors
/// A path names none; it is told why.
pub(super) fn named(plan: &Plan, paths: &[String]) -> Result<Vec<Swept>, Exit> {
    let mut metrics: Vec<Swept> = Vec::new();
    for path in paths {
        let found = scenario::metrics_named(plan, "--metric", path).map_err(|wrong| tell_diagnostics(&wrong))?;
        for (path, unit) in found {
            if !metrics.iter().any(|known| known.path == path) {
                metrics.push(Swept { path, unit });
            }
        }
    }
    Ok(metrics)
}

/// The paths of all that a plan's expectations are about.
pub(super) fn claimed(plan: &Plan) -> Vec<String> {
    let path = |text: &str| text.split(['<', '>', '=', '!']).next().map(|path| path.trim().to_owned());
    plan.expectations.iter().filter_map(|claim| path(&claim.text)).collect()
}

/// Figures of the latency of every consumer, and of what users of every service wait for.
pub(super) fn of_times(plan: &Plan, of_consumers: &[&str], of_services: &[&str]) -> Vec<String> {
    let of = |section: &str, name: &str, metrics: &[&str]| -> Vec<String> {
        metrics.iter().map(|metric| format!("{section}.{name}.{metric}")).collect()
    };
    let consumers = plan.consumers.iter().flat_map(|consumer| of("consumers", &consumer.name, of_consumers));
    let users = plan.services.iter().filter(|service| service.arrivals.is_some());
    consumers.chain(users.flat_map(|service| of("services", &service.name, of_services))).collect()
}

/// How exactly which figures are to be known, where it was asked for: those named, else those of the expectations, else mean
/// and p99 of all latencies.
pub(super) fn aim(args: &args::Precision, plan: &Plan) -> Result<Option<Aim>, Exit> {
    let Some(width) = args.precision else { return Ok(None) };
    let paths = match args.metric.as_slice() {
        [] if plan.expectations.is_empty() => {
            of_times(plan, &["latency.mean", "latency.p99"], &["response.mean", "response.p99"])
        }
        asked => asked.to_vec(),
    };
    Ok(Some(Aim { width, metrics: named(plan, &paths)?, most: args.max_replications.unwrap_or(MOST) }))
}

/// Says that a precision was not reached, where the report has not said so.
pub(super) fn tell(precision: Option<&Precision>, told: bool) {
    if let Some(precision) = precision.filter(|precision| !told && !precision.is_reached()) {
        terminal::tell(text::precision(precision, terminal::error_style()).trim_end());
    }
}
