//! Adds up the outcomes of runs: counts and sums add, histograms merge, extremes stay extremes.

use std::collections::BTreeMap;

use crate::outcome::{
    AwaitLedger, CallLedger, ConsumerOutcome, Crowd, Ended, FaultOutcome, FlowOutcome, HandlerOutcome, LagOutcome,
    Ledger, OrderOutcome, Outcome, PartitionLag, PartitionsHit, ProducerOutcome, ReadOutcome, ResourceOutcome,
    SagaLedger, ServiceInterval, ServiceOutcome, StageSums, StorageOutcome, TopicOutcome, Touched, TransactionLedger,
    UserLedger, VisitLedger,
};
use crate::plan::Plan;
use crate::stats::Course;
use crate::time::{SimSpan, SimTime};

/// Several runs of one plan as if they were one, with what is needed to turn sums over runs into means.
#[derive(Clone, Debug, PartialEq)]
pub struct Pooled {
    /// The outcomes, added up.
    pub outcome: Outcome,
    /// Number of runs.
    pub runs: u32,
    /// Virtual time that was measured, of all runs together, ns.
    pub measured: u128,
    /// Runs that stopped at the backlog bound.
    pub stopped: u32,
    /// By fault and consumer: runs in which lag rose clearly. Within a run, because the extremes of several do not tell.
    pub rises: BTreeMap<(usize, usize), u32>,
    /// Lag series by consumer, added up point by point.
    pub curves: Vec<CurveSums>,
}

/// The lag series of several runs, added up point by point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CurveSums {
    /// Runs that reached each point.
    pub runs: Vec<u32>,
    /// Sums of lag in records.
    pub records: Vec<u128>,
    /// Sums of the age of the oldest unsettled record, ns.
    pub time: Vec<u128>,
}

impl Pooled {
    /// One run.
    #[must_use]
    pub fn of(plan: &Plan, outcome: Outcome) -> Self {
        let (end, stopped) = match outcome.ended {
            Ended::AtDuration => (SimTime(plan.duration.0), 0),
            Ended::BacklogBound { at, .. } => (at, 1),
        };
        let measured = u128::from((end - SimTime(plan.warm_up.0)).0);
        let curves = outcome.consumers.iter().map(|consumer| CurveSums::of(&consumer.lag)).collect();
        let touched =
            outcome.faults.iter().enumerate().flat_map(|(i, f)| f.touched.iter().map(move |(c, t)| ((i, *c), t)));
        let rises = touched.filter(|(_, touched)| lag_rose(touched)).map(|(at, _)| (at, 1)).collect();
        Self { outcome, runs: 1, measured, stopped, rises, curves }
    }

    /// Adds further runs of the same plan.
    pub fn merge(&mut self, mut other: Self) {
        for consumer in &mut other.outcome.consumers {
            let firsts = consumer.defects.values_mut().filter_map(|seen| seen.first.as_mut());
            let slowest = consumer.slowest.iter_mut().map(|slowest| &mut slowest.example);
            firsts.chain(slowest).for_each(|example| example.run += self.runs);
        }
        self.outcome.merge(other.outcome);
        self.runs += other.runs;
        self.measured += other.measured;
        self.stopped += other.stopped;
        for (at, runs) in other.rises {
            *self.rises.entry(at).or_default() += runs;
        }
        for (mine, other) in self.curves.iter_mut().zip(other.curves) {
            mine.merge(&other);
        }
    }

    /// The same without the series over time, which no interval is about.
    #[must_use]
    pub(super) fn without_series(&self) -> Self {
        let mut slim = self.clone();
        slim.curves.clear();
        slim.outcome.consumers.iter_mut().for_each(|consumer| consumer.course = Course::default());
        slim.outcome.services.iter_mut().for_each(|service| service.course = Course::default());
        for lag in slim.outcome.consumers.iter_mut().map(|consumer| &mut consumer.lag) {
            *lag = LagOutcome { records: Vec::new(), time: Vec::new(), partitions: Vec::new(), ..*lag };
        }
        for scaling in slim.outcome.consumers.iter_mut().filter_map(|consumer| consumer.scaling.as_mut()) {
            (scaling.members, scaling.steps) = (Vec::new(), Vec::new());
        }
        slim
    }

    /// Whether a consumer noticed a fault: something was redelivered, lost, overtaken, stored or done twice, or never stored
    /// in some run, or its lag rose clearly in at least half of them.
    #[must_use]
    pub fn notices(&self, fault: usize, consumer: usize) -> bool {
        let touched = self.outcome.faults[fault].touched.get(&consumer);
        let defects = touched
            .map_or(0, |t| t.redeliveries + t.lost + t.violations + t.effects + t.suppressed + t.copies + t.not_stored);
        defects > 0 || 2 * self.rises.get(&(fault, consumer)).copied().unwrap_or(0) >= self.runs
    }

    /// Measured virtual time of all runs together, seconds.
    #[must_use]
    pub fn measured_seconds(&self) -> f64 {
        self.measured as f64 / 1e9
    }
}

/// Whether lag rose clearly above what it was before a fault. A queue's length spreads about as widely as its mean, so
/// "clearly" is twice the level before, and a few.
fn lag_rose(touched: &Touched) -> bool {
    touched.lag_peak > touched.lag_before.saturating_mul(2).saturating_add(3)
}

impl CurveSums {
    fn of(lag: &LagOutcome) -> Self {
        let widen = |series: &[u64]| series.iter().map(|v| u128::from(*v)).collect();
        Self { runs: vec![1; lag.records.len()], records: widen(&lag.records), time: widen(&lag.time) }
    }

    fn merge(&mut self, other: &Self) {
        pointwise(&mut self.runs, &other.runs, |a, b| a + b);
        pointwise(&mut self.records, &other.records, |a, b| a + b);
        pointwise(&mut self.time, &other.time, |a, b| a + b);
    }

    /// Mean lag in records at each point, over the runs that reached it.
    #[must_use]
    pub fn mean_records(&self) -> Vec<f64> {
        self.records.iter().zip(&self.runs).map(|(sum, runs)| *sum as f64 / f64::from(*runs)).collect()
    }

    /// The same of a series that is a sum over runs.
    #[must_use]
    pub(super) fn mean_of(&self, sums: &[u64]) -> Vec<f64> {
        sums.iter().zip(&self.runs).map(|(sum, runs)| *sum as f64 / f64::from(*runs)).collect()
    }

    /// Mean age of the oldest unsettled record at each point, whole ns.
    #[must_use]
    pub fn mean_time(&self) -> Vec<u64> {
        self.time.iter().zip(&self.runs).map(|(sum, runs)| rounded_mean(*sum, u64::from(*runs))).collect()
    }
}

/// A mean rounded to the nearest whole number; 0 without values.
#[must_use]
pub(super) fn rounded_mean(sum: u128, count: u64) -> u64 {
    let count = u128::from(count);
    (sum + count / 2).checked_div(count).map_or(0, |mean| u64::try_from(mean).unwrap_or(u64::MAX))
}

/// Combines two series point by point; where one is longer its own points stay.
fn pointwise<T: Copy>(mine: &mut Vec<T>, other: &[T], combine: impl Fn(T, T) -> T) {
    for (a, b) in mine.iter_mut().zip(other) {
        *a = combine(*a, *b);
    }
    if let Some(rest) = other.get(mine.len()..) {
        mine.extend_from_slice(rest);
    }
}

/// Adds lists of parts element by element.
fn merge_each<T: Default>(mine: &mut Vec<T>, other: Vec<T>, merge: impl Fn(&mut T, T)) {
    if mine.len() < other.len() {
        mine.resize_with(other.len(), T::default);
    }
    for (mine, other) in mine.iter_mut().zip(other) {
        merge(mine, other);
    }
}

impl Outcome {
    /// Adds another run of the same plan, or the sum of several.
    ///
    /// Counts and sums add up (the lag at the end is a sum too, to be divided by the number of runs), histograms merge,
    /// series and largest values keep the larger, with the earlier time where they are equal. Two things belong to one
    /// run only and stay those of `self`, which is the run with the lower number: the trace, and when and whom
    /// faults struck. All else is the same in whatever order runs are added.
    pub fn merge(&mut self, other: Self) {
        self.ended = match (&self.ended, other.ended) {
            (Ended::AtDuration, ended) => ended,
            (ended, Ended::AtDuration) => ended.clone(),
            (Ended::BacklogBound { at, consumer }, Ended::BacklogBound { at: other_at, consumer: other }) => {
                let (at, consumer) = (*at, *consumer).min((other_at, other));
                Ended::BacklogBound { at, consumer }
            }
        };
        merge_each(&mut self.producers, other.producers, ProducerOutcome::merge);
        merge_each(&mut self.topics, other.topics, TopicOutcome::merge);
        merge_each(&mut self.consumers, other.consumers, ConsumerOutcome::merge);
        merge_each(&mut self.services, other.services, ServiceOutcome::merge);
        merge_each(&mut self.resources, other.resources, ResourceOutcome::merge);
        merge_each(&mut self.flows, other.flows, FlowOutcome::merge);
        merge_each(&mut self.reads, other.reads, ReadOutcome::merge);
        merge_each(&mut self.faults, other.faults, FaultOutcome::merge);
    }
}

impl ProducerOutcome {
    fn merge(&mut self, other: Self) {
        self.created += other.created;
        self.publish_latency.merge(&other.publish_latency);
        self.publish_latency_sum += other.publish_latency_sum;
        self.rejected += other.rejected;
        self.indeterminate += other.indeterminate;
        self.publishing += other.publishing;
        self.retries += other.retries;
        self.failed += other.failed;
        self.open += other.open;
        self.crashed_before_publish += other.crashed_before_publish;
        self.failed_before_publish += other.failed_before_publish;
        self.phantoms += other.phantoms;
        if let Some(outbox) = other.outbox {
            let mine = self.outbox.get_or_insert_default();
            mine.rows_max = mine.rows_max.max(outbox.rows_max);
            mine.rows_end += outbox.rows_end;
            mine.again += outbox.again;
        }
        merge_handlers(&mut self.handler, other.handler);
    }
}

impl TopicOutcome {
    fn merge(&mut self, other: Self) {
        self.created += other.created;
        if let Some(storage) = other.storage {
            self.storage.get_or_insert_default().merge(&storage);
        }
        self.lost += other.lost;
        self.stored += other.stored;
        pointwise(&mut self.records, &other.records, |a, b| a + b);
        self.not_stored += other.not_stored;
        self.copies += other.copies;
        self.bytes += other.bytes;
        self.converged.merge(&other.converged);
        self.converged_sum += other.converged_sum;
        self.not_converged += other.not_converged;
    }
}

impl StorageOutcome {
    fn merge(&mut self, other: &Self) {
        self.interval = self.interval.max(other.interval);
        pointwise(&mut self.samples, &other.samples, u64::max);
        self.end += other.end;
        self.max = self.max.max(other.max);
    }
}

impl ConsumerOutcome {
    fn merge(&mut self, other: Self) {
        self.latency.merge(&other.latency);
        self.course.merge(&other.course);
        for (defect, seen) in &other.defects {
            self.defects.entry(*defect).or_default().merge(seen);
        }
        self.slowest = match (self.slowest, other.slowest) {
            (Some(mine), Some(other)) => Some(mine.or(other)),
            (mine, other) => mine.or(other),
        };
        self.stages.merge(other.stages);
        if let Some(path) = other.path {
            let mine = self.path.get_or_insert_default();
            mine.latency.merge(&path.latency);
            mine.sum += path.sum;
        }
        merge_each(&mut self.intervals, other.intervals, |mine, other| {
            mine.latency.merge(&other.latency);
            mine.sum += other.sum;
            mine.done += other.done;
        });
        self.ledger.merge(other.ledger);
        for (cause, count) in other.lost {
            *self.lost.entry(cause).or_default() += count;
        }
        self.duplicates_log += other.duplicates_log;
        self.duplicates_deliveries += other.duplicates_deliveries;
        self.duplicates_effects += other.duplicates_effects;
        self.duplicates_suppressed += other.duplicates_suppressed;
        self.aborted_reads += other.aborted_reads;
        self.deliveries += other.deliveries;
        self.attempts += other.attempts;
        self.failures += other.failures;
        self.retried += other.retried;
        self.dead_letters += other.dead_letters;
        self.order.merge(other.order);
        self.overlap += other.overlap;
        self.rewinds += other.rewinds;
        self.rebalances += other.rebalances;
        for (why, count) in other.expelled {
            *self.expelled.entry(why).or_default() += count;
        }
        self.busy += other.busy;
        self.available += other.available;
        self.done += other.done;
        self.arrived += other.arrived;
        self.lag.merge(other.lag);
        self.cut_off += other.cut_off;
        merge_handlers(&mut self.handler, other.handler);
        if let Some(rollout) = other.rollout {
            self.rollout.get_or_insert_default().merge(rollout);
        }
        if let Some(scaling) = other.scaling {
            match &mut self.scaling {
                Some(mine) => mine.merge(scaling),
                mine => *mine = Some(scaling),
            }
        }
    }
}

impl ServiceOutcome {
    fn merge(&mut self, other: Self) {
        self.users.merge(other.users);
        if self.intervals.is_empty() {
            self.intervals = other.intervals;
        } else {
            self.intervals.iter_mut().zip(other.intervals).for_each(|(interval, other)| interval.merge(other));
        }
        self.response.merge(&other.response);
        self.response_sum += other.response_sum;
        self.course.merge(&other.course);
        self.visits.merge(other.visits);
        self.wait.merge(&other.wait);
        self.wait_sum += other.wait_sum;
        self.busy += other.busy;
        self.available += other.available;
        self.queue_max = self.queue_max.max(other.queue_max);
        self.handler.merge(other.handler);
        self.publish.merge(other.publish);
    }
}

fn merge_handlers(into: &mut Option<HandlerOutcome>, other: Option<HandlerOutcome>) {
    if let Some(other) = other {
        into.get_or_insert_default().merge(other);
    }
}

impl HandlerOutcome {
    fn merge(&mut self, other: Self) {
        self.working += other.working;
        for (callee, calls) in other.calls {
            self.calls.entry(callee).or_default().merge(calls);
        }
        self.sagas.merge(other.sagas);
        self.awaits.merge(&other.awaits);
        self.transactions.merge(other.transactions);
    }
}

impl TransactionLedger {
    fn merge(&mut self, other: Self) {
        self.begun += other.begun;
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.refused += other.refused;
        self.timed_out += other.timed_out;
        self.fenced += other.fenced;
        self.open += other.open;
    }
}

impl AwaitLedger {
    fn merge(&mut self, other: &Self) {
        self.begun += other.begun;
        self.arrived += other.arrived;
        self.refused += other.refused;
        self.timeouts += other.timeouts;
        self.left += other.left;
        self.open += other.open;
        self.wait.merge(&other.wait);
        self.wait_sum += other.wait_sum;
    }
}

impl UserLedger {
    fn merge(&mut self, other: Self) {
        self.arrived += other.arrived;
        self.answered += other.answered;
        self.failed += other.failed;
        self.refused += other.refused;
        self.open += other.open;
    }
}

impl ServiceInterval {
    fn merge(&mut self, other: Self) {
        self.users.merge(other.users);
        self.response.merge(&other.response);
        self.response_sum += other.response_sum;
        self.done += other.done;
        self.wasted += other.wasted;
    }
}

impl Crowd {
    fn merge(&mut self, other: Self) {
        self.before = self.before.max(other.before);
        self.usual_peak = self.usual_peak.max(other.usual_peak);
        self.peak = self.peak.max(other.peak);
        self.drain_time = self.drain_time.max(other.drain_time);
        self.not_drained += other.not_drained;
        self.arrived += other.arrived;
        self.refused += other.refused;
    }
}

impl VisitLedger {
    fn merge(&mut self, other: Self) {
        self.arrived += other.arrived;
        self.done += other.done;
        self.failed += other.failed;
        self.refused += other.refused;
        self.cut_off += other.cut_off;
        self.cancelled += other.cancelled;
        self.open += other.open;
        self.wasted += other.wasted;
        self.swallowed += other.swallowed;
    }
}

impl CallLedger {
    fn merge(&mut self, other: Self) {
        self.calls += other.calls;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.open += other.open;
        self.attempts += other.attempts;
        self.timeouts += other.timeouts;
        self.refused += other.refused;
        self.errors += other.errors;
        self.broken += other.broken;
        self.openings += other.openings;
        self.withheld += other.withheld;
        self.waited += other.waited;
        self.pool_wait += other.pool_wait;
        self.hedges += other.hedges;
    }
}

impl SagaLedger {
    fn merge(&mut self, other: Self) {
        self.begun += other.begun;
        self.completed += other.completed;
        self.compensated += other.compensated;
        self.stuck += other.stuck;
        self.open += other.open;
        self.late_success += other.late_success;
    }
}

impl ResourceOutcome {
    fn merge(&mut self, other: Self) {
        self.asked += other.asked;
        self.granted += other.granted;
        self.refused += other.refused;
        self.timeouts += other.timeouts;
        self.left += other.left;
        self.open += other.open;
        self.wait.merge(&other.wait);
        self.wait_sum += other.wait_sum;
        self.held += other.held;
        self.time += other.time;
    }
}

impl FlowOutcome {
    fn merge(&mut self, other: Self) {
        self.begun += other.begun;
        self.done += other.done;
        self.late += other.late;
        self.stuck += other.stuck;
        self.open += other.open;
        self.latency.merge(&other.latency);
        self.latency_sum += other.latency_sum;
        merge_each(&mut self.outcomes, other.outcomes, |sum, more| *sum += more);
    }
}

impl ReadOutcome {
    fn merge(&mut self, other: Self) {
        self.told += other.told;
        self.visible.merge(&other.visible);
        self.visible_sum += other.visible_sum;
        self.never += other.never;
        self.open.merge(&other.open);
        self.looked += other.looked;
        self.stale += other.stale;
        self.seen.merge(&other.seen);
        self.seen_sum += other.seen_sum;
        self.looks += other.looks;
    }
}

impl StageSums {
    fn merge(&mut self, other: Self) {
        self.total += other.total;
        self.buffer += other.buffer;
        self.publish += other.publish;
        self.dispatch += other.dispatch;
        self.wait += other.wait;
        self.service += other.service;
        self.retry += other.retry;
    }
}

impl Ledger {
    fn merge(&mut self, other: Self) {
        self.created += other.created;
        self.rejected += other.rejected;
        self.indeterminate += other.indeterminate;
        self.unpublished += other.unpublished;
        self.publishing += other.publishing;
        self.stored += other.stored;
        self.effected += other.effected;
        self.filtered += other.filtered;
        self.aborted += other.aborted;
        self.acked_lost += other.acked_lost;
        self.expired += other.expired;
        self.skipped += other.skipped;
        self.discarded += other.discarded;
        self.dead_lettered += other.dead_lettered;
        self.waiting += other.waiting;
        self.in_flight += other.in_flight;
    }
}

impl OrderOutcome {
    fn merge(&mut self, other: Self) {
        self.judged += other.judged;
        self.violations += other.violations;
        self.extent_sum += other.extent_sum;
        self.extent_max = self.extent_max.max(other.extent_max);
        self.late_time_sum += other.late_time_sum;
        self.late_time_max = self.late_time_max.max(other.late_time_max);
    }
}

impl LagOutcome {
    fn merge(&mut self, other: Self) {
        debug_assert!(
            self.interval == other.interval || self.interval == SimSpan::ZERO || other.interval == SimSpan::ZERO,
            "runs of one plan sample lag at the same times"
        );
        self.interval = self.interval.max(other.interval);
        pointwise(&mut self.records, &other.records, u64::max);
        pointwise(&mut self.time, &other.time, u64::max);
        (self.max, self.max_at) = larger((self.max, self.max_at), (other.max, other.max_at));
        (self.time_max, self.time_max_at) =
            larger((self.time_max, self.time_max_at), (other.time_max, other.time_max_at));
        self.end += other.end;
        self.time_end = self.time_end.max(other.time_end);
        self.retrying_max = self.retrying_max.max(other.retrying_max);
        self.retrying_end += other.retrying_end;
        merge_each(&mut self.partitions, other.partitions, PartitionLag::merge);
        self.partition_interval = self.partition_interval.max(other.partition_interval);
    }
}

/// The larger value with its time; the earlier time where the values are equal.
fn larger(a: (u64, SimTime), b: (u64, SimTime)) -> (u64, SimTime) {
    if (b.0, a.1) > (a.0, b.1) { b } else { a }
}

impl PartitionLag {
    fn merge(&mut self, other: Self) {
        pointwise(&mut self.records, &other.records, u64::max);
        pointwise(&mut self.time, &other.time, u64::max);
        self.max = self.max.max(other.max);
        self.time_max = self.time_max.max(other.time_max);
        self.end += other.end;
    }
}

impl FaultOutcome {
    fn merge(&mut self, other: Self) {
        self.count += other.count;
        for (producer, unpublished) in other.producers {
            let mine = self.producers.entry(producer).or_default();
            mine.rejected += unpublished.rejected;
            mine.indeterminate += unpublished.indeterminate;
        }
        for (topic, hit) in other.partitions {
            self.partitions.entry(topic).or_default().merge(hit);
        }
        for (consumer, touched) in other.touched {
            self.touched.entry(consumer).or_default().merge(touched);
        }
        for (service, users) in other.services {
            self.services.entry(service).or_default().merge(users);
        }
        for (service, crowd) in other.crowds {
            self.crowds.entry(service).or_default().merge(crowd);
        }
    }
}

impl PartitionsHit {
    fn merge(&mut self, other: Self) {
        self.unserved += other.unserved;
        self.unserved_longest = self.unserved_longest.max(other.unserved_longest);
        self.unserved_sum = self.unserved_sum + other.unserved_sum;
        self.refused += other.refused;
        self.refused_longest = self.refused_longest.max(other.refused_longest);
        self.refused_sum = self.refused_sum + other.refused_sum;
    }
}

impl Touched {
    fn merge(&mut self, other: Self) {
        self.lag_peak = self.lag_peak.max(other.lag_peak);
        self.lag_before = self.lag_before.max(other.lag_before);
        self.drain_time = self.drain_time.max(other.drain_time);
        self.not_drained += other.not_drained;
        self.undrained = self.undrained.max(other.undrained);
        self.redeliveries += other.redeliveries;
        self.lost += other.lost;
        self.violations += other.violations;
        self.effects += other.effects;
        self.suppressed += other.suppressed;
        self.dead_letters += other.dead_letters;
        self.copies += other.copies;
        self.not_stored += other.not_stored;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::example;

    /// Without what belongs to one run only.
    fn shared(mut pooled: Pooled) -> Pooled {
        pooled.outcome.trace.clear();
        pooled.outcome.faults.iter_mut().for_each(|fault| fault.occurrences.clear());
        pooled
    }

    fn sum(parts: impl IntoIterator<Item = Pooled>) -> Pooled {
        parts
            .into_iter()
            .reduce(|mut a, b| {
                a.merge(b);
                a
            })
            .expect("at least one")
    }

    #[test]
    fn merging_is_associative() {
        let plan = example::plan();
        let [a, b, c] = [3, 11, 25].map(|seed| Pooled::of(&plan, example::outcome(&plan, seed)));
        let left = sum([sum([a.clone(), b.clone()]), c.clone()]);
        let right = sum([a, sum([b, c])]);
        assert_eq!(left, right);
    }

    #[test]
    fn merging_is_commutative_but_for_what_belongs_to_one_run() {
        let plan = example::plan();
        for seed in 0..20 {
            let [a, b] = [seed, seed + 100].map(|seed| Pooled::of(&plan, example::outcome(&plan, seed)));
            assert_eq!(shared(sum([a.clone(), b.clone()])), shared(sum([b, a])));
        }
    }

    #[test]
    fn a_fault_is_noticed_where_lag_rose_in_half_of_the_runs_or_something_went_wrong() {
        let plan = example::plan();
        let run = |before, peak, lost| {
            let mut outcome = example::outcome(&plan, 0);
            let touched = Touched { lag_before: before, lag_peak: peak, lost, ..Touched::default() };
            outcome.faults[0].touched = [(0, touched)].into();
            Pooled::of(&plan, outcome)
        };
        assert!(sum([run(2, 30, 0), run(40, 60, 0)]).notices(0, 0), "by half");
        assert!(!sum([run(2, 30, 0), run(40, 60, 0), run(0, 3, 0)]).notices(0, 0), "by a third");
        assert!(sum([run(2, 3, 0), run(1, 1, 1)]).notices(0, 0), "a loss");
        assert!(!run(2, 30, 1).notices(0, 1), "out of reach");
    }

    #[test]
    fn longer_series_keep_their_tail_and_means_count_who_got_there() {
        let lag =
            |records: &[u64]| LagOutcome { records: records.to_vec(), time: records.to_vec(), ..LagOutcome::default() };
        let mut sums = CurveSums::of(&lag(&[2, 4]));
        sums.merge(&CurveSums::of(&lag(&[4, 5, 9])));
        assert_eq!(sums.mean_records(), [3.0, 4.5, 9.0]);
        assert_eq!(sums.mean_time(), [3, 5, 9]);
    }

    #[test]
    fn the_first_of_equal_maxima_is_the_earlier() {
        assert_eq!(larger((5, SimTime(9)), (5, SimTime(3))), (5, SimTime(3)));
        assert_eq!(larger((5, SimTime(3)), (5, SimTime(9))), (5, SimTime(3)));
        assert_eq!(larger((6, SimTime(9)), (5, SimTime(3))), (6, SimTime(9)));
    }
}
