//! The histogram behind a percentile of the result document.

use std::borrow::Cow;

use super::pool::Pooled;
use crate::plan::Plan;
use crate::stats::Histogram;
use crate::time::SimTime;

/// The times that a figure is taken from, and the figure's own name among theirs (`p99`, `mean`, `stages.wait.mean`); none
/// where the figure at this path is not about times of events. `during`: of those created in that interval only.
#[must_use]
pub(super) fn histogram<'a>(
    plan: &Plan,
    pooled: &'a Pooled,
    path: &[&str],
    during: Option<(SimTime, SimTime)>,
) -> Option<(Cow<'a, Histogram>, String)> {
    let seen = &pooled.outcome;
    // Topics' names may hold dots, and are one key all the same.
    let (times, figure) = match path {
        ["events", "converged", figure @ ..] => {
            let mut all = Histogram::default();
            seen.topics.iter().for_each(|topic| all.merge(&topic.converged));
            return Some((Cow::Owned(all), figure.join(".")));
        }
        ["consumers", name, "latency", figure @ ..] => {
            let at = plan.consumers.iter().position(|it| it.name == *name)?;
            let interval = during.map(|during| plan.intervals_of(at).iter().position(|it| *it == during));
            let times = match interval {
                None => &seen.consumers[at].latency,
                Some(interval) => &seen.consumers[at].intervals.get(interval?)?.latency,
            };
            (times, figure)
        }
        ["consumers", name, "path_latency", figure @ ..] => {
            let at = plan.consumers.iter().position(|it| it.name == *name)?;
            (&seen.consumers[at].path.as_ref()?.latency, figure)
        }
        ["producers", name, "publish", "latency", figure @ ..] => {
            let at = plan.producers.iter().position(|it| it.name == *name)?;
            (&seen.producers[at].publish_latency, figure)
        }
        ["topics", name, "converged", figure @ ..] => {
            let at = plan.topics.iter().position(|it| it.name == *name)?;
            (&seen.topics[at].converged, figure)
        }
        ["services", name, what, rest @ ..] => {
            let service = &seen.services[plan.services.iter().position(|it| it.name == *name)?];
            match (*what, rest) {
                ("response", figure) => match during {
                    None => (&service.response, figure),
                    Some(during) => {
                        let at = plan.intervals_at("services", name).iter().position(|it| *it == during)?;
                        (&service.intervals.get(at)?.response, figure)
                    }
                },
                ("wait", figure) => (&service.wait, figure),
                ("publish", ["latency", figure @ ..]) => (&service.publish.publish_latency, figure),
                _ => return None,
            }
        }
        ["resources", name, "wait", figure @ ..] => {
            let at = plan.resources.iter().position(|it| it.name == *name)?;
            (&seen.resources[at].wait, figure)
        }
        ["flows", name, "latency", figure @ ..] => {
            let at = plan.flows.iter().position(|it| it.name == *name)?;
            (&seen.flows[at].latency, figure)
        }
        ["reads", name, of @ ("visible" | "seen"), figure @ ..] => {
            let read = &seen.reads[plan.reads.iter().position(|it| it.name == *name)?];
            (if *of == "seen" { &read.seen } else { &read.visible }, figure)
        }
        _ => return None,
    };
    Some((Cow::Borrowed(times), figure.join(".")))
}
