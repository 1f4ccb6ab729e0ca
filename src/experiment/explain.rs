//! The story of one event: which one, and a run that watches it.

use super::{Failure, Request, Watch, seed_of, warm_up};
use crate::engine::{self, Progress, RunError, RunOptions, publishers};
use crate::outcome::{Defect, EventId, Example, Outcome};
use crate::plan::{Plan, sequence_bits};
use crate::time::SimTime;

/// Which event is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The one with this name, as [`event_name`] writes it.
    Event(String),
    /// The first that never took effect at a consumer and never will.
    Lost,
    /// The first that took effect twice.
    Duplicate,
    /// The first that took effect after a later one of its key.
    Violation,
    /// The one with the longest latency.
    Slowest,
}

/// The story that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// Which event.
    pub event: EventId,
    /// In which run, from 0.
    pub run: u32,
    /// The consumer at which it is what was asked for, by index.
    pub consumer: Option<usize>,
    /// The run in which it was watched.
    pub outcome: Outcome,
}

/// Why there is no story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unexplained {
    /// A run failed, or was stopped.
    Failed(Failure),
    /// No run has such an event.
    None,
    /// There is no publisher of a topic that the event's name names: what to write instead.
    NoSuchEvent(String),
    /// The publisher has not come to that event by the end of the run.
    NotCreated,
}

/// What an event is called: `shop#17`, with `@topic` where its publisher has several.
#[must_use]
pub fn event_name(plan: &Plan, event: EventId) -> String {
    let names = publishers(plan, event.topic as usize);
    let name = names.get(event.publisher as usize).copied().unwrap_or_default();
    let own = |topic: &usize| publishers(plan, *topic).contains(&name);
    let short = format!("{name}#{}", event.number);
    if (0..plan.topics.len()).filter(own).count() > 1 {
        format!("{short}@{}", plan.topics[event.topic as usize].name)
    } else {
        short
    }
}

/// The event with a name; else what a name looks like.
fn event_of(plan: &Plan, name: &str) -> Result<EventId, Unexplained> {
    let (before, topic) = match name.split_once('@') {
        Some((before, topic)) => (before, Some(topic)),
        None => (name, None),
    };
    let like = |number| {
        let all = (0..).zip(&plan.topics).flat_map(|(topic, _)| {
            let count = publishers(plan, topic as usize).len();
            (0..).take(count).map(move |publisher| EventId { topic, publisher, number })
        });
        let names: Vec<String> = all.map(|event| event_name(plan, event)).collect();
        Unexplained::NoSuchEvent(names.join(", "))
    };
    let Some((publisher, number)) = before.rsplit_once('#') else { return Err(like(0)) };
    let Ok(number) = number.parse::<u32>() else { return Err(like(0)) };
    let fits = |index: usize| topic.is_none_or(|topic| plan.topics[index].name == topic);
    let mut found = (0..plan.topics.len()).filter(|index| fits(*index)).filter_map(|index| {
        let at = publishers(plan, index).iter().position(|name| *name == publisher)?;
        Some((u32::try_from(index).ok()?, u32::try_from(at).ok()?))
    });
    match (found.next(), found.next()) {
        // A number too large to tell the publishers apart is of no event.
        (Some((topic, _)), None) if number >> sequence_bits(publishers(plan, topic as usize).len()) > 0 => {
            Err(Unexplained::NotCreated)
        }
        (Some((topic, publisher)), None) => Ok(EventId { topic, publisher, number }),
        _ => Err(like(number)),
    }
}

struct Until<'a>(&'a (dyn Fn() -> bool + Sync));

impl Progress for Until<'_> {
    fn reached(&self, _now: SimTime) -> bool {
        (self.0)()
    }
}

impl Watch for Until<'_> {
    fn reached(&self, _share: f64, _done: u32) -> bool {
        (self.0)()
    }
}

fn simulate(plan: &Plan, run: u32, watch: Option<EventId>, go_on: &Until<'_>) -> Result<Outcome, Unexplained> {
    let seed = seed_of(plan, run);
    let failed = |error: RunError| Unexplained::Failed(Failure::Run { error, seed, replication: run });
    let options = RunOptions { seed, watch, ..RunOptions::default() };
    engine::run(plan, &options, go_on).map_err(failed)?.ok_or(Unexplained::Failed(Failure::Interrupted))
}

/// What a run has of what is wanted, at one consumer or at any.
fn find(outcome: &Outcome, wanted: &Wanted, of: Option<usize>) -> Option<(usize, EventId)> {
    let consumers = outcome.consumers.iter().enumerate().filter(|(index, _)| of.is_none_or(|of| of == *index));
    if *wanted == Wanted::Slowest {
        let slowest = consumers.filter_map(|(index, seen)| Some((index, seen.slowest?)));
        let longest = slowest.max_by_key(|(index, slowest)| (slowest.latency, std::cmp::Reverse(*index)));
        return longest.map(|(index, slowest)| (index, slowest.example.event));
    }
    let is_wanted = |defect: &Defect| {
        matches!(
            (wanted, defect),
            (Wanted::Lost, Defect::Lost(_))
                | (Wanted::Duplicate, Defect::Twice(_))
                | (Wanted::Violation, Defect::Late(_))
        )
    };
    let firsts = consumers.flat_map(|(index, seen)| {
        let wanted = seen.defects.iter().filter(|(defect, _)| is_wanted(defect));
        wanted.filter_map(move |(_, seen)| Some((index, seen.first?)))
    });
    let first = firsts.min_by_key(|(index, Example { at, event, .. })| (*at, *event, *index));
    first.map(|(index, example)| (index, example.event))
}

/// Finds the event that is wanted in the first run that has one, or in the run with a number, and watches it there.
/// `go_on` is asked again and again whether to.
///
/// # Errors
/// [`Unexplained`]: there is no such event, or a run has no outcome.
pub fn explain(
    plan: &Plan,
    wanted: &Wanted,
    of: Option<usize>,
    run: Option<u32>,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<Explained, Unexplained> {
    let go_on = Until(go_on);
    // What is wanted is one of the measured events, as a run measures them.
    let plan = &*warm_up::settle(plan, &Request::default(), &go_on).map_err(Unexplained::Failed)?;
    let (run, consumer, event) = if let Wanted::Event(name) = wanted {
        (run.unwrap_or(0), of, event_of(plan, name)?)
    } else {
        let mut runs = run.map_or(0..plan.replications, |run| run..run + 1);
        loop {
            let run = runs.next().ok_or(Unexplained::None)?;
            if let Some((consumer, event)) = find(&simulate(plan, run, None, &go_on)?, wanted, of) {
                break (run, Some(consumer), event);
            }
        }
    };
    let outcome = simulate(plan, run, Some(event), &go_on)?;
    if outcome.story.is_empty() {
        Err(Unexplained::NotCreated)
    } else {
        Ok(Explained { event, run, consumer, outcome })
    }
}
