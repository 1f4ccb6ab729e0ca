//! What a figure may still become: a run ends with events on their way, and one that stops early says little.
//!
//! An unfinished event may turn out to be as late as one likes. So a **percentile** may be as large as that of all events
//! with the unfinished ones last, and has no bound where its rank lies among them. A **mean** and a **maximum** have none as
//! soon as a single event is missing; so that an ordinary run, which ends with a few under way, says something about them,
//! these count from a share of [`UNFINISHED`] on, where the reader is warned too. A **drain time** that was not seen to its
//! end is at least as long as it was followed. Where a run **stopped early**, counts and largest values can only grow, and
//! nothing is known about anything else.

use std::borrow::Cow;

use super::histograms::histogram;
use super::jackknife::Measured;
use super::measure::PERCENTILES;
use super::pool::Pooled;
use crate::metrics::only_grows;
use crate::outcome::Ledger;
use crate::plan::{ClientPlan, Plan};
use crate::stats::Histogram;
use crate::time::SimTime;
use crate::units::{show_seconds, show_share};

/// Unfinished events above this share are worth a warning.
pub(super) const UNFINISHED: f64 = 0.001;

/// A figure with what it may still become.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    /// The least that it can be.
    pub(super) low: f64,
    /// As measured.
    pub(super) value: f64,
    /// The most that it can be.
    pub(super) high: f64,
    /// Why these differ.
    pub(super) why: Option<String>,
}

impl Span {
    /// A figure that is known.
    #[must_use]
    pub(super) fn known(value: f64) -> Self {
        Self { low: value, value, high: value, why: None }
    }
}

/// The figure at a path of some runs, a count or not, with what it may still become.
#[must_use]
pub(super) fn span(
    plan: &Plan,
    part: &Measured,
    path: &[String],
    during: Option<(SimTime, SimTime)>,
    (value, count): (f64, bool),
) -> Span {
    let (pooled, runs) = (&part.pooled, part.pooled.runs);
    if pooled.stopped > 0 {
        let why = match runs {
            1 => "the run stopped early".into(),
            _ => format!("{} of {runs} runs stopped early", pooled.stopped),
        };
        let grows = during.is_none() && (count || path.last().is_some_and(|key| only_grows(key)));
        let low = if grows && value.is_finite() { value } else { f64::NEG_INFINITY };
        return Span { low, value, high: f64::INFINITY, why: Some(why) };
    }
    if value.is_infinite() {
        let low = longest_followed(plan, pooled, path);
        return Span { low, value, high: value, why: Some(format!("followed for {}", show_seconds(low))) };
    }
    let Some(late) = times(plan, pooled, path, during) else { return Span::known(value) };
    let high = late.most(value);
    let why = (high > value).then(|| format!("{} of the events were not done", show_share(late.share())));
    Span { low: value, value, high, why }
}

/// How long lag was followed after a fault without draining, at most.
fn longest_followed(plan: &Plan, pooled: &Pooled, path: &[String]) -> f64 {
    let index = path.get(1).and_then(|name| plan.consumers.iter().position(|consumer| consumer.name == *name));
    let touched = pooled.outcome.faults.iter().filter_map(|fault| fault.touched.get(&index?));
    touched.map(|touched| touched.drain_time.max(touched.undrained).seconds()).fold(0.0, f64::max)
}

/// Times that were measured, and events whose time is yet to come.
struct Times<'a> {
    figure: String,
    measured: Cow<'a, Histogram>,
    open: u64,
}

impl Times<'_> {
    fn share(&self) -> f64 {
        self.open as f64 / (self.open + self.measured.count()) as f64
    }

    /// The most that a figure of this value may become.
    fn most(&self, value: f64) -> f64 {
        let count = self.measured.count();
        if self.open == 0 || self.figure == "count" {
            return value;
        }
        let Some((_, share)) = PERCENTILES.iter().find(|(name, _)| *name == self.figure) else {
            return if self.share() > UNFINISHED { f64::INFINITY } else { value };
        };
        let rank = (share * (count + self.open) as f64).ceil();
        if rank > count as f64 {
            return f64::INFINITY;
        }
        // Half a rank less: the quantile rounds up.
        value.max(self.measured.quantile((rank - 0.5) / count as f64) as f64 / 1e9)
    }
}

/// What the figure at a path is taken from, where that is times of events that may be yet to come.
fn times<'a>(
    plan: &Plan,
    pooled: &'a Pooled,
    path: &[String],
    during: Option<(SimTime, SimTime)>,
) -> Option<Times<'a>> {
    let keys: Vec<&str> = path.iter().map(String::as_str).collect();
    let (measured, figure) = histogram(plan, pooled, &keys, during)?;
    let seen = &pooled.outcome;
    let consumer = |name: &str| plan.consumers.iter().position(|consumer| consumer.name == name);
    let open = match keys[..] {
        ["consumers", name, "latency", ..] => match during {
            None => open_in(&seen.consumers[consumer(name)?].ledger),
            Some(during) => open_during(plan, pooled, consumer(name)?, during.1),
        },
        ["consumers", name, ..] => open_in(&seen.consumers[consumer(name)?].ledger),
        ["producers", name, ..] => {
            seen.producers[plan.producers.iter().position(|producer| producer.name == name)?].publishing
        }
        ["services", name, "response", ..] => {
            let at = plan.intervals_at("services", name).iter().position(|interval| Some(*interval) == during)?;
            seen.services[plan.services.iter().position(|it| it.name == name)?].intervals.get(at)?.users.open
        }
        ["topics", name, ..] => seen.topics[plan.topics.iter().position(|topic| topic.name == name)?].not_converged,
        ["flows", name, ..] => seen.flows[plan.flows.iter().position(|flow| flow.name == name)?].open,
        ["reads", name, ..] => seen.reads[plan.reads.iter().position(|read| read.name == name)?].open.count(),
        ["events", ..] => seen.topics.iter().map(|topic| topic.not_converged).sum(),
        _ => return None,
    };
    Some(Times { figure, measured, open })
}

/// Events that had no end yet.
#[must_use]
pub(super) fn open_in(books: &Ledger) -> u64 {
    books.waiting + books.in_flight + books.publishing
}

/// Most events created before a time that had no end yet: none where all of them had, when the runs ended.
fn open_during(plan: &Plan, pooled: &Pooled, consumer: usize, to: SimTime) -> u64 {
    let seen = &pooled.outcome.consumers[consumer];
    let since = |age: u64| SimTime(plan.duration.0.saturating_sub(age));
    let stored = if to > since(seen.lag.time_end) { seen.ledger.waiting + seen.ledger.in_flight } else { 0 };
    let under_way = if to > since(longest_under_way(plan, consumer)) { seen.ledger.publishing } else { 0 };
    stored + under_way
}

/// The longest that an event can be on its way to what a consumer reads, ns.
fn longest_under_way(plan: &Plan, consumer: usize) -> u64 {
    let read = &plan.consumers[consumer].subscribes;
    let clients = plan.producers.iter().flat_map(|producer| &producer.clients);
    let clients = clients.chain(plan.consumers.iter().flat_map(|consumer| &consumer.clients));
    let longest = |client: &ClientPlan| {
        let block = client.buffer.map_or(0, |buffer| buffer.max_block.0);
        client.retry.delivery_timeout.0.saturating_add(block)
    };
    clients.filter(|(topic, _)| read.contains(topic)).map(|(_, client)| longest(client)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times of 1 s, 2 s, ... with some to come.
    fn most(figure: &str, count: u64, open: u64) -> f64 {
        let mut measured = Histogram::default();
        (1..=count).for_each(|second| measured.record(second * 1_000_000_000));
        let value = measured.quantile(0.99) as f64 / 1e9;
        Times { figure: figure.into(), measured: Cow::Borrowed(&measured), open }.most(value)
    }

    #[test]
    fn a_percentile_is_taken_with_the_unfinished_last() {
        let near = |value: f64, expected: f64| (value / expected - 1.0).abs() < 1.0 / 512.0;
        assert!(near(most("p99", 1_000, 0), 990.0));
        assert!(near(most("p99", 1_000, 3), 993.0));
        assert!(near(most("p99", 1_000, 10), 1_000.0));
        assert!(most("p99", 1_000, 11).is_infinite());
        assert!(near(most("count", 1_000, 11), 990.0));
    }

    #[test]
    fn a_mean_and_a_maximum_need_a_share_of_them() {
        assert!(most("max", 10_000, 10).is_finite());
        assert!(most("max", 10_000, 11).is_infinite());
        assert!(most("stages.wait.mean", 10_000, 11).is_infinite());
    }
}
