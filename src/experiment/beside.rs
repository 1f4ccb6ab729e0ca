//! What formulas say beside what was simulated, figure by figure.

use serde_json::Value;

use super::measure::nine_decimals;
use super::pool::Pooled;
use super::remarks;
use crate::estimate::{At, Consumer, Outage, Service, estimate};
use crate::metrics::Unit;
use crate::plan::Plan;
use crate::summary::{Beside, Figure, interval_in, number_at};

/// What was simulated.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    /// All runs.
    pub(super) pooled: &'a Pooled,
    /// Their metrics.
    pub(super) metrics: &'a Value,
    /// And intervals.
    pub(super) ci95: &'a Value,
}

/// The estimates of a plan, before any run.
#[must_use]
pub fn estimates(plan: &Plan) -> Vec<Beside> {
    beside(plan, None)
}

/// The estimates of a plan, beside what was simulated.
#[must_use]
pub(super) fn beside(plan: &Plan, found: Option<Found<'_>>) -> Vec<Beside> {
    let estimates = estimate(plan);
    let setting = Setting { plan, found };
    let consumers = estimates.consumers.iter().map(|it| setting.consumer(it));
    let services = estimates.services.iter().map(|it| setting.service(it));
    let outages = estimates.outages.iter().map(|it| setting.outage(it));
    consumers.chain(services).chain(outages).collect()
}

/// All that a figure and a remark may need.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) plan: &'a Plan,
    pub(super) found: Option<Found<'a>>,
}

impl Setting<'_> {
    /// The simulated number at a path, and its interval.
    fn simulated(&self, path: &[&str]) -> (Option<f64>, Option<(f64, f64)>) {
        let Some(found) = self.found else { return (None, None) };
        let interval = path.iter().try_fold(found.ci95, |node, key| node.get(key));
        (number_at(found.metrics, path), interval.and_then(interval_in))
    }

    /// A figure that is the metric at a path of a thing.
    fn figure(&self, key: &'static str, unit: Unit, estimate: Option<f64>, path: &[&str]) -> Figure {
        let (simulated, interval) = self.simulated(path);
        Figure { key, unit, estimate: estimate.map(nine_decimals), simulated, interval }
    }

    fn consumer(&self, it: &Consumer) -> Beside {
        let path = |rest: &[&'static str]| [&["consumers", it.name.as_str()], rest].concat();
        let (dispatch, wait) = (&["latency", "stages", "dispatch", "mean"], &["latency", "stages", "wait", "mean"]);
        let mut figures = vec![
            Figure { simulated: self.arrived(&it.name), ..figure("rate", Unit::Rate, Some(it.rate)) },
            figure("peak_rate", Unit::Rate, Some(it.peak)),
            figure("service", Unit::Seconds, it.service.map(|service| service.mean)),
            figure("service_cv", Unit::Number, it.service.map(|service| crate::math::sqrt(service.scv()))),
            figure("servers", Unit::Number, Some(it.servers)),
            figure("erlangs", Unit::Number, it.service.map(|service| it.rate * service.mean)),
            self.figure("offered_load", Unit::Number, it.load, &path(&["offered_load"])),
            figure("busiest", Unit::Number, it.busiest),
            figure("peak_load", Unit::Number, it.peak_load),
            sum(self.figure("wait", Unit::Seconds, it.wait, &path(dispatch)), self.simulated(&path(wait))),
            self.figure("latency.mean", Unit::Seconds, it.latency, &path(&["latency", "mean"])),
            self.figure("latency.p50", Unit::Seconds, it.p50, &path(&["latency", "p50"])),
            self.figure("latency.p99", Unit::Seconds, it.p99, &path(&["latency", "p99"])),
        ];
        if let Some(backlog) = it.backlog.filter(|backlog| backlog.overload) {
            figures.push(self.figure("lag.max", Unit::Count, Some(backlog.most), &path(&["lag", "max"])));
            figures.push(self.figure("lag.end", Unit::Count, Some(backlog.end), &path(&["lag", "end"])));
        }
        let mut beside = Beside {
            section: "consumers",
            name: it.name.clone(),
            at: None,
            formula: it.formula.clone(),
            accuracy: it.accuracy.word(),
            figures,
            remark: None,
        };
        beside.remark = self.found.and_then(|found| remarks::of_consumer(self, found, it, &beside));
        beside
    }

    /// Events that a consumer wanted and that came, per second.
    fn arrived(&self, name: &str) -> Option<f64> {
        let at = self.plan.consumers.iter().position(|consumer| consumer.name == name)?;
        let pooled = self.found?.pooled;
        Some(nine_decimals(pooled.outcome.consumers[at].arrived as f64 / pooled.measured_seconds()))
    }

    fn service(&self, it: &Service) -> Beside {
        let path = |rest: &[&'static str]| [&["services", it.name.as_str()], rest].concat();
        let visits = self.simulated(&path(&["visits", "arrived"])).0;
        let rate = visits.zip(self.found).map(|(visits, found)| visits / found.pooled.measured_seconds());
        let refused = self.simulated(&path(&["visits", "refused"])).0;
        let users = self.plan.services.iter().any(|service| service.name == it.name && service.arrivals.is_some());
        let mut figures = vec![
            Figure { simulated: rate.map(nine_decimals), ..figure("rate", Unit::Rate, Some(it.rate)) },
            figure("peak_rate", Unit::Rate, Some(it.peak)),
            figure("held", Unit::Seconds, it.held.map(|held| held.mean)),
            figure("held_cv", Unit::Number, it.held.map(|held| crate::math::sqrt(held.scv()))),
            figure("servers", Unit::Number, Some(it.servers)),
            figure("erlangs", Unit::Number, it.held.map(|held| it.rate * held.mean)),
            self.figure("offered_load", Unit::Number, it.load, &path(&["offered_load"])),
            figure("busiest", Unit::Number, it.busiest),
            figure("peak_load", Unit::Number, it.peak_load),
            self.figure("wait", Unit::Seconds, it.wait, &path(&["wait", "mean"])),
            Figure {
                simulated: refused
                    .zip(visits)
                    .filter(|(_, visits)| *visits > 0.0)
                    .map(|(some, all)| nine_decimals(some / all)),
                ..figure("refused", Unit::Share, it.refused)
            },
        ];
        if users {
            let mean = it.response.map(|response| response.mean);
            figures.push(self.figure("response.mean", Unit::Seconds, mean, &path(&["response", "mean"])));
            figures.push(self.figure("response.p50", Unit::Seconds, it.p50, &path(&["response", "p50"])));
            figures.push(self.figure("response.p99", Unit::Seconds, it.p99, &path(&["response", "p99"])));
        }
        let mut beside = Beside {
            section: "services",
            name: it.name.clone(),
            at: None,
            formula: it.formula.clone(),
            accuracy: it.accuracy.word(),
            figures,
            remark: None,
        };
        beside.remark = self.found.and_then(|found| remarks::of_service(self, found, it, &beside));
        beside
    }

    fn outage(&self, it: &Outage) -> Beside {
        let at = name_of(self.plan, it.at);
        let fault = self.found.and_then(|found| found.metrics.get("faults")?.get(it.fault));
        let (hit, peak) = match it.at {
            At::Consumer(_) => (fault.and_then(|fault| fault.get("touched")?.get(at)), "lag_peak"),
            At::Service(_) => (fault.and_then(|fault| fault.get("services")?.get(at)?.get("waiting")), "peak"),
        };
        let number = |key: &str| hit.and_then(|hit| hit.get(key)?.as_f64());
        let mut figures = vec![
            Figure { simulated: number(peak), ..figure("backlog", Unit::Count, Some(it.backlog.round())) },
            Figure { simulated: number("drain_time"), ..figure("drain_time", Unit::Seconds, it.drained) },
        ];
        if let At::Service(_) = it.at {
            figures.push(Figure { simulated: number("refused"), ..figure("refused", Unit::Share, it.refused) });
        }
        let mut beside = Beside {
            section: "faults",
            name: self.plan.faults[it.fault].name.clone(),
            at: Some(at.into()),
            formula: "fluid".into(),
            accuracy: "rough",
            figures,
            remark: None,
        };
        beside.remark = self.found.and_then(|found| remarks::of_outage(self, found, it, &beside));
        beside
    }
}

/// Name of who a fault leaves something behind at.
pub(super) fn name_of(plan: &Plan, at: At) -> &str {
    match at {
        At::Consumer(index) => &plan.consumers[index].name,
        At::Service(index) => &plan.services[index].name,
    }
}

/// A figure that nothing is measured of.
fn figure(key: &'static str, unit: Unit, estimate: Option<f64>) -> Figure {
    Figure { key, unit, estimate: estimate.map(nine_decimals), simulated: None, interval: None }
}

/// A figure that is simulated in two parts.
fn sum(first: Figure, (second, interval): (Option<f64>, Option<(f64, f64)>)) -> Figure {
    // As wide as if both erred together.
    let interval = first.interval.zip(interval).map(|(a, b)| (nine_decimals(a.0 + b.0), nine_decimals(a.1 + b.1)));
    Figure { simulated: first.simulated.zip(second).map(|(a, b)| nine_decimals(a + b)), interval, ..first }
}
