//! The observer Journeys: what descends from users' requests and producers' events, until all of it is over.
//!
//! ```text
//! Source, Mesh, Topic, Group --deltas--> Journeys: by flow and by read, what of each journey is under way
//! ```
//!
//! Stations note what happens to a journey that someone follows: an event of it is published, a consumer is done with one,
//! a service has answered. When all have come to the end of a window, the notes are applied in the order of their time and
//! of [`News`]: so it cannot matter in which order stations ran. A journey of which nothing is under way is over, is judged,
//! and is forgotten; what comes of it after that (a redelivery, say, publishes again) belongs to nobody.

mod delta;
mod flow;
mod read;
mod scope;
#[cfg(test)]
pub(super) mod tests;

pub(super) use delta::{Delta, Follow, News, Notes};

use flow::Flow;
use read::Read;
use scope::Scope;

use super::hand::Hand;
use super::lineage::origin;
use super::setup::Setup;
use crate::outcome::{FlowOutcome, ReadOutcome};
use crate::plan::Plan;

/// What is known of one journey.
#[derive(Clone, Copy, Debug)]
struct Journey {
    created: u64,
    /// When its user was told of success; `u64::MAX`: not yet.
    told: u64,
    /// When the last piece of a part was done.
    latest: u64,
    /// Parts of which a piece is done, as bits.
    parts: u64,
    /// Parts of events that are under way.
    events: u32,
    /// Its beginning, and handlers of consumers that may call, each with what goes on in services for it.
    work: u32,
}

/// Who asks.
#[derive(Clone, Debug)]
enum Asks {
    Flow(Flow),
    Read(Box<Read>),
}

/// All journeys that one flow or read follows.
#[derive(Clone, Debug)]
struct Tracker {
    scope: Scope,
    open: Hand<Journey>,
    asks: Asks,
}

/// All flows and reads of a run.
#[derive(Clone, Debug)]
pub(super) struct Journeys {
    trackers: Vec<Tracker>,
    /// What stations have told and is not applied yet.
    pub(super) told: Vec<Delta>,
}

impl Journeys {
    pub(super) fn new(plan: &Plan, setup: &Setup) -> Self {
        let tracker = |scope, asks| Tracker { scope, open: Hand::default(), asks };
        let flows = plan.flows.iter().map(|flow| {
            let asks = Asks::Flow(Flow::new(flow, setup.warm_up));
            tracker(Scope::of_flow(plan, flow), asks)
        });
        let reads = plan.reads.iter().map(|read| {
            let asks = Asks::Read(Box::new(Read::new(plan, read, setup)));
            tracker(Scope::of_read(plan, read), asks)
        });
        Self { trackers: flows.chain(reads).collect(), told: Vec::new() }
    }

    /// Whether nobody asks for anything.
    pub(super) fn is_idle(&self) -> bool {
        self.trackers.is_empty()
    }

    /// Applies all that has happened before `until`: every station has come so far.
    pub(super) fn settle(&mut self, until: u64) {
        let (mut due, later): (Vec<Delta>, Vec<Delta>) = self.told.drain(..).partition(|delta| delta.at < until);
        self.told = later;
        due.sort_unstable_by_key(|delta| (delta.at, delta.what));
        for delta in &due {
            for tracker in &mut self.trackers {
                tracker.apply(delta);
            }
        }
    }

    /// The run is over: what each flow and read has seen.
    ///
    /// # Errors
    /// What does not add up, with numbers.
    pub(super) fn finish(self, end: u64) -> Result<(Vec<FlowOutcome>, Vec<ReadOutcome>), String> {
        let (mut flows, mut reads) = (Vec::new(), Vec::new());
        for tracker in self.trackers {
            let journeys = tracker.open.values();
            match tracker.asks {
                Asks::Flow(mut flow) => {
                    journeys.for_each(|journey| flow.unfinished(journey, end));
                    flows.push(flow.outcome);
                }
                Asks::Read(mut read) => {
                    tracker.open.entries().for_each(|(root, journey)| read.unfinished(root, journey));
                    reads.push(read.outcome);
                }
            }
        }
        check(&flows, &reads)?;
        Ok((flows, reads))
    }
}

/// Checks that the books close.
fn check(flows: &[FlowOutcome], reads: &[ReadOutcome]) -> Result<(), String> {
    if let Some((index, flow)) = flows.iter().enumerate().find(|(_, flow)| !flow.adds_up()) {
        return Err(format!("flow {index} does not add up: {flow:?}"));
    }
    match reads.iter().enumerate().find(|(_, read)| !read.adds_up()) {
        Some((index, read)) => Err(format!("read {index} does not add up: {read:?}")),
        None => Ok(()),
    }
}

impl Tracker {
    fn apply(&mut self, delta: &Delta) {
        let Delta { at, root, what } = *delta;
        if !self.scope.origins[origin(root)] {
            return;
        }
        if let News::Begun | News::BegunBy(_) = what {
            self.begin(at, root, what);
        }
        let Some(journey) = self.open.get_mut(root) else { return };
        let part = self.scope.part(what);
        if part != 0 {
            journey.parts |= part;
            journey.latest = journey.latest.max(at);
        }
        journey.events = step(journey.events, self.scope.events(what));
        match what {
            News::Told(true) => journey.told = at,
            News::Taken(consumer) => journey.work = step(journey.work, self.scope.work(consumer)),
            News::LetGo(consumer) => journey.work = step(journey.work, -self.scope.work(consumer)),
            News::Left => journey.work = step(journey.work, -1),
            _ => {}
        }
        let over = journey.events == 0 && journey.work == 0;
        let journey = *journey;
        match &mut self.asks {
            Asks::Flow(flow) => {
                if let Some(end) = flow.end(what) {
                    flow.ended(&journey, at, end);
                } else if over {
                    flow.over(&journey);
                } else {
                    return;
                }
            }
            Asks::Read(read) => {
                // Who was told of a failure looks for nothing.
                if over {
                    read.over(root, &journey);
                } else if what != News::Told(false) {
                    return;
                }
            }
        }
        self.open.remove(root);
    }

    fn begin(&mut self, at: u64, root: u64, what: News) {
        // What a producer publishes has happened: whoever did it knows.
        let told = if self.scope.is_producer(origin(root)) { at } else { u64::MAX };
        let work = u32::from(what == News::Begun);
        self.open.insert(root, Journey { created: at, told, latest: 0, parts: 0, events: 0, work });
        if let Asks::Flow(flow) = &mut self.asks {
            flow.begun(at);
        }
    }
}

/// So many more, or fewer.
fn step(count: u32, by: i64) -> u32 {
    u32::try_from(i64::from(count) + by).expect("nothing ends that has not begun")
}
