//! From added-up outcomes to the tree of named metrics.
//!
//! One rule tells how a number of several runs is to be read: **an integer leaf is a count summed over the runs**;
//! everything else is a floating-point leaf: quantiles and means over the pooled events, largest values of all runs (see
//! [`crate::metrics::is_of_the_worst_run`]), and levels (`lag.end`, rates, utilisation), which are means over runs. Times are seconds with at most nine decimals
//! (a whole number of ns), `null` is "does not apply".
//!
//! All counts are of measured events, and largest values are of the time since the warm-up. Of the whole run are: series,
//! faults and what they did, and what a topic stores (`records`, `bytes`, `hot_partition.share`).

use serde_json::{Map, Value, json};

use super::pool::{Pooled, rounded_mean};
use super::{event_name, journeys, scaling, services};
use crate::outcome::{
    Again, ConsumerOutcome, Defect, Example, FaultOutcome, LagOutcome, LossCause, PartitionLag, PartitionsHit,
    ProducerOutcome, RolloutOutcome, Seen, StageSums, TopicOutcome, Touched,
};
use crate::plan::{
    Acks, ClientPlan, ConsumerPlan, Dispatch, Effect, FaultTarget, Handler, Plan, Settle, TopicId, WorkerOrder,
};
use crate::stats::Histogram;
use crate::time::{SimSpan, SimTime};

/// Occurrences of a fault that the document lists.
const LISTED_OCCURRENCES: usize = 20;

/// Partitions whose lag the document lists.
const LISTED_PARTITIONS: usize = 32;

/// The metrics of one run, or of several as if they were one: the sections of the result document.
#[must_use]
pub(super) fn measure(plan: &Plan, pooled: &Pooled) -> Value {
    let named = |names: Vec<&String>, metrics: &dyn Fn(usize) -> Value| -> Value {
        names.into_iter().enumerate().map(|(i, name)| (name.clone(), metrics(i))).collect::<Map<_, _>>().into()
    };
    json!({
        "producers": named(plan.producers.iter().map(|p| &p.name).collect(), &|i| producer(plan, pooled, i)),
        "topics": named(plan.topics.iter().map(|t| &t.name).collect(), &|i| topic(plan, pooled, i)),
        "consumers": named(plan.consumers.iter().map(|c| &c.name).collect(), &|i| consumer(plan, pooled, i)),
        "services": named(plan.services.iter().map(|s| &s.name).collect(), &|i| services::service(plan, pooled, i)),
        "resources": named(plan.resources.iter().map(|r| &r.name).collect(), &|i| services::resource(plan, pooled, i)),
        "reads": named(plan.reads.iter().map(|r| &r.name).collect(), &|i| journeys::read(plan, pooled, i)),
        "flows": named(plan.flows.iter().map(|f| &f.name).collect(), &|i| journeys::flow(plan, pooled, i)),
        "faults": (0..pooled.outcome.faults.len()).map(|i| fault(plan, pooled, i)).collect::<Vec<_>>(),
        "events": events(pooled),
    })
}

/// A number rounded to nine decimals: whole ns where it is a time.
#[must_use]
pub(super) fn nine_decimals(value: f64) -> f64 {
    if value.abs() < 1e6 { (value * 1e9).round() / 1e9 + 0.0 } else { value }
}

/// A time in seconds.
pub(super) fn seconds(nanos: u64) -> Value {
    Value::from(nanos as f64 / 1e9)
}

/// A mean time in seconds, whole ns; `null` without events.
fn mean_seconds(sum: u128, count: u64) -> Value {
    if count == 0 { Value::Null } else { seconds(rounded_mean(sum, count)) }
}

/// A number that must not be summed over runs.
pub(super) fn level(value: f64) -> Value {
    Value::from(nine_decimals(value))
}

/// A quotient; `null` where it is undefined.
pub(super) fn ratio(numerator: f64, denominator: f64) -> Value {
    if denominator > 0.0 { level(numerator / denominator) } else { Value::Null }
}

/// Mean, percentiles, maximum and number of the times in a histogram.
pub(super) fn distribution(histogram: &Histogram, sum: u128) -> Map<String, Value> {
    let count = histogram.count();
    let of = |nanos: u64| if count == 0 { Value::Null } else { seconds(nanos) };
    let mut metrics = Map::new();
    metrics.insert("mean".into(), mean_seconds(sum, count));
    for (name, share) in PERCENTILES {
        metrics.insert(name.into(), of(histogram.quantile(share)));
    }
    metrics.insert("max".into(), of(histogram.max()));
    metrics.insert("count".into(), count.into());
    metrics
}

/// The percentiles of every distribution: name and share.
pub(super) const PERCENTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

/// Slower events on which a percentile must rest for its interval to mean anything.
const SLOWER: f64 = 10.0;

/// Whether the figure at a path is a percentile with fewer than ten slower events: runs left out one by one say nothing
/// about the spread of an extreme.
#[must_use]
pub(super) fn rests_on_few(metrics: &Value, path: &[&str]) -> bool {
    let Some((last, before)) = path.split_last() else { return false };
    let Some((_, share)) = PERCENTILES.iter().find(|(name, _)| name == last) else { return false };
    let beside = before.iter().try_fold(metrics, |node, key| node.get(*key));
    let count = beside.and_then(|node| node.get("count")).and_then(Value::as_f64).unwrap_or(0.0);
    count * (1.0 - share) < SLOWER - 1e-6
}

fn producer(plan: &Plan, pooled: &Pooled, index: usize) -> Value {
    let seen = &pooled.outcome.producers[index];
    let mut metrics = Map::new();
    let mut put = |name: &str, value: Value| metrics.insert(name.into(), value);
    put("created", seen.created.into());
    if let Some(handler) = &seen.handler {
        put("failed", seen.failed.into());
        put("open", seen.open.into());
        let handled = services::handled(plan, &plan.producers[index].handler, handler);
        handled.into_iter().for_each(|(name, value)| drop(put(name, value)));
    }
    put("publish", publishing(seen, pooled));
    facts(&plan.producers[index].handler, seen, pooled).into_iter().for_each(|(name, value)| drop(put(name, value)));
    metrics.into()
}

/// What publishing clients saw.
pub(super) fn publishing(seen: &ProducerOutcome, pooled: &Pooled) -> Value {
    json!({
        "latency": distribution(&seen.publish_latency, seen.publish_latency_sum),
        "rate": ratio(seen.publish_latency.count() as f64, pooled.measured_seconds()),
        "rejected": seen.rejected,
        "indeterminate": seen.indeterminate,
        "publishing": seen.publishing,
        "retries": seen.retries,
    })
}

/// What became of business facts and their events, of those that commit facts; and what an outbox saw.
pub(super) fn facts(handler: &Handler, seen: &ProducerOutcome, pooled: &Pooled) -> Vec<(&'static str, Value)> {
    let mut metrics = Vec::new();
    if handler.commits() {
        let (crashed, failed) = (seen.crashed_before_publish, seen.failed_before_publish);
        let by_cause = json!({ "crashed_before_publish": crashed, "failed_before_publish": failed });
        metrics.push(("unpublished", json!({ "total": crashed + failed, "by_cause": by_cause })));
        metrics.push(("phantoms", seen.phantoms.into()));
    }
    if let Some(outbox) = &seen.outbox {
        let rows = json!({ "max": level(outbox.rows_max as f64), "end": mean_of_runs(outbox.rows_end, pooled) });
        metrics.push(("outbox", json!({ "rows": rows, "published_again": outbox.again })));
    }
    metrics
}

fn topic(plan: &Plan, pooled: &Pooled, index: usize) -> Value {
    let seen = &pooled.outcome.topics[index];
    json!({
        "partitions": level(f64::from(plan.topics[index].partitions)),
        "created": seen.created,
        "stored": seen.stored,
        "lost": seen.lost,
        "records": seen.records.iter().sum::<u64>(),
        "bytes": seen.bytes,
        "storage": storage(seen, pooled),
        "hot_partition": hot_partition(plan, pooled, index),
        "converged": distribution(&seen.converged, seen.converged_sum),
        "not_converged": seen.not_converged,
    })
}

/// Bytes that one copy keeps; over time, where anything is ever deleted.
fn storage(seen: &TopicOutcome, pooled: &Pooled) -> Value {
    let Some(storage) = &seen.storage else {
        let kept = mean_of_runs(seen.bytes, pooled);
        return json!({ "end_bytes": kept, "max_bytes": kept });
    };
    json!({
        "end_bytes": mean_of_runs(storage.end, pooled),
        "max_bytes": level(storage.max as f64),
        "interval": seconds(storage.interval.0),
        "bytes_max": levels(&storage.samples),
    })
}

/// The partition with the most records (the first of several), its share of them, and the largest lag that a subscription
/// had there beside that of the median partition.
fn hot_partition(plan: &Plan, pooled: &Pooled, index: usize) -> Value {
    let records = &pooled.outcome.topics[index].records;
    let (total, most) = (records.iter().sum::<u64>(), records.iter().max().copied().unwrap_or(0));
    let Some(hot) = records.iter().position(|r| *r == most).filter(|_| total > 0) else {
        return json!({ "partition": null, "share": null, "lag": { "max": null, "median": null } });
    };
    let mut lags = vec![0; records.len()];
    for (consumer, seen) in plan.consumers.iter().zip(&pooled.outcome.consumers) {
        for (lag, partition) in lags.iter_mut().zip(partitions_of(plan, consumer, seen, index)) {
            *lag = partition.max.max(*lag);
        }
    }
    let hottest = lags[hot];
    lags.sort_unstable();
    json!({
        "partition": level(hot as f64),
        "share": ratio(most as f64, total as f64),
        "lag": { "max": level(hottest as f64), "median": level(lags[(lags.len() - 1) / 2] as f64) },
    })
}

/// The lags of a consumer in the partitions of one of its topics; none where it does not read it.
fn partitions_of<'o>(
    plan: &Plan,
    consumer: &ConsumerPlan,
    seen: &'o ConsumerOutcome,
    topic: usize,
) -> &'o [PartitionLag] {
    let size = |id: &TopicId| plan.topics[id.0 as usize].partitions as usize;
    let Some(at) = consumer.subscribes.iter().position(|id| id.0 as usize == topic) else { return &[] };
    let start = consumer.subscribes[..at].iter().map(size).sum::<usize>();
    seen.lag.partitions.get(start..start + size(&consumer.subscribes[at])).unwrap_or(&[])
}

fn consumer(plan: &Plan, pooled: &Pooled, index: usize) -> Value {
    let (policy, seen) = (&plan.consumers[index], &pooled.outcome.consumers[index]);
    let mut latency = distribution(&seen.latency, seen.stages.total);
    latency.insert("stages".into(), stages(&seen.stages, seen.latency.count()));
    let mut metrics = Map::new();
    let mut put = |name: &str, value: Value| metrics.insert(name.into(), value);
    put("latency", latency.into());
    if let Some(path) = &seen.path {
        put("path_latency", distribution(&path.latency, path.sum).into());
    }
    put("lag", lag(plan, pooled, index));
    let (drain_time, not_drained) = drained(pooled, index);
    put("drain_time", drain_time);
    put("not_drained", not_drained.into());
    match &seen.handler {
        None => drop(put("utilisation", ratio(seen.busy as f64, seen.available as f64))),
        Some(handler) => {
            put("utilisation", ratio(handler.working as f64, seen.available as f64));
            put("held", ratio(seen.busy as f64, seen.available as f64));
            let handled = services::handled(plan, &policy.handler, handler);
            handled.into_iter().for_each(|(name, value)| drop(put(name, value)));
        }
    }
    put("offered_load", offered_load(plan, policy, seen, pooled));
    put("throughput", ratio(seen.done as f64, pooled.measured_seconds()));
    put("ledger", ledger(plan, index, seen));
    put(
        "duplicates",
        json!({
            "log": seen.duplicates_log, "deliveries": seen.duplicates_deliveries,
            "effects": seen.duplicates_effects, "suppressed": seen.duplicates_suppressed,
            "dead_letters": seen.dead_letters.saturating_sub(seen.ledger.dead_lettered),
        }),
    );
    if plan.reads_of_transactions(index) {
        put("aborted_reads", seen.aborted_reads.into());
    }
    put("lost", lost(seen));
    if !seen.defects.is_empty() {
        put("causes", causes(plan, seen));
    }
    put("order_violations", seen.order.violations.into());
    put("reordered", reordered(seen));
    put("overlap", seen.overlap.into());
    put("anomalies", anomalies(plan, policy, seen));
    put("rewinds", seen.rewinds.into());
    put("rebalances", seen.rebalances.into());
    if policy.membership.group().is_some() {
        put("expelled", expelled(seen));
    }
    put("deliveries", seen.deliveries.into());
    put("attempts", seen.attempts.into());
    put("failures", seen.failures.into());
    put("cut_off", seen.cut_off.into());
    if let Some(rollout) = seen.rollout {
        let longest = if rollout.done > 0 { seconds(rollout.longest.0) } else { Value::Null };
        let RolloutOutcome { done, open, killed, .. } = rollout;
        put("rollout", json!({ "done": done, "open": open, "time": { "max": longest }, "killed": killed }));
    }
    if let Some(scaling) = &seen.scaling {
        put("members", scaling::members(scaling, pooled, index));
        put("scaled", scaling::scaled(scaling, pooled));
    }
    metrics.into()
}

/// Stage means that add up to the mean latency to the nanosecond: each is the difference of two rounded running means.
fn stages(sums: &StageSums, count: u64) -> Value {
    let parts = [
        ("buffer", sums.buffer),
        ("publish", sums.publish),
        ("dispatch", sums.dispatch),
        ("wait", sums.wait),
        ("service", sums.service),
        ("retry", sums.retry),
    ];
    let mut so_far = 0;
    let mut metrics = Map::new();
    for (name, sum) in parts {
        let before = rounded_mean(so_far, count);
        so_far += sum;
        let mean = if count == 0 { Value::Null } else { seconds(rounded_mean(so_far, count) - before) };
        metrics.insert(name.into(), json!({ "mean": mean }));
    }
    metrics.into()
}

/// `max` of all runs, `end` and the series as means over runs.
fn lag(plan: &Plan, pooled: &Pooled, index: usize) -> Value {
    let seen = &pooled.outcome.consumers[index].lag;
    let curve = pooled.curves.get(index).cloned().unwrap_or_default();
    let mut metrics = json!({
        "max": level(seen.max as f64),
        "max_at": seconds(seen.max_at.0),
        "end": mean_of_runs(seen.end, pooled),
        "time": { "max": seconds(seen.time_max), "max_at": seconds(seen.time_max_at.0) },
        "series": {
            "interval": seconds(seen.interval.0),
            "records": curve.mean_records().into_iter().map(|v| Value::from((v * 1e3).round() / 1e3)).collect::<Vec<_>>(),
            "records_max": levels(&seen.records),
            "time": curve.mean_time().into_iter().map(seconds).collect::<Vec<_>>(),
        },
        "partitions": partitions(plan, pooled, index),
    });
    if plan.consumers[index].retry_topics.is_some() {
        metrics["retrying"] =
            json!({ "max": level(seen.retrying_max as f64), "end": mean_of_runs(seen.retrying_end, pooled) });
    }
    metrics
}

fn mean_of_runs(sum: u64, pooled: &Pooled) -> Value {
    ratio(sum as f64, f64::from(pooled.runs))
}

fn levels(series: &[u64]) -> Vec<Value> {
    series.iter().map(|v| level(*v as f64)).collect()
}

/// The lag of the partitions in which it was largest, with its largest value of all runs over time.
fn partitions(plan: &Plan, pooled: &Pooled, index: usize) -> Value {
    let seen = &pooled.outcome.consumers[index].lag;
    let topics = plan.consumers[index].subscribes.iter().map(|id| &plan.topics[id.0 as usize]);
    let places = topics.flat_map(|topic| (0..topic.partitions).map(|partition| (topic.name.as_str(), partition)));
    let mut all: Vec<_> = places.zip(&seen.partitions).collect();
    let count = all.len();
    all.sort_by_key(|(_, lag)| std::cmp::Reverse(lag.max));
    all.truncate(LISTED_PARTITIONS);
    all.sort_by_key(|(place, _)| *place);
    let listed = all.iter().map(|((topic, partition), lag)| {
        json!({
            "topic": topic,
            "partition": partition,
            "max": level(lag.max as f64),
            "end": mean_of_runs(lag.end, pooled),
            "time": { "max": seconds(lag.time_max) },
            "series": { "records_max": levels(&lag.records), "time_max": lag.time.iter().copied().map(seconds).collect::<Vec<_>>() },
        })
    });
    let mut what = if count > LISTED_PARTITIONS {
        format!("the {LISTED_PARTITIONS} of {count} with the largest lag")
    } else {
        "all".into()
    };
    if count > PartitionLag::MOST_SERIES {
        what += &format!("; no series, which are kept of up to {} partitions", PartitionLag::MOST_SERIES);
    }
    json!({ "which": what, "interval": seconds(seen.partition_interval.0), "lags": listed.collect::<Vec<_>>() })
}

/// The longest drain time after any fault that touched the consumer, and the occurrences after which it never drained;
/// the time is `null` where no fault touched it, and where it once did not drain.
fn drained(pooled: &Pooled, consumer: usize) -> (Value, u64) {
    let touched = || pooled.outcome.faults.iter().filter_map(|fault| fault.touched.get(&consumer));
    let not_drained = touched().map(|t| t.not_drained).sum();
    let longest = touched().map(|t| t.drain_time).max().filter(|_| not_drained == 0);
    (longest.map_or(Value::Null, |time| seconds(time.0)), not_drained)
}

/// Work that arrives per second, over what the handlers that can be at work at once get done in it: from 1 on they cannot
/// keep up. The work of an event is all that its deliveries take, failed attempts and redeliveries too.
fn offered_load(plan: &Plan, policy: &ConsumerPlan, seen: &ConsumerOutcome, pooled: &Pooled) -> Value {
    let rate = seen.arrived as f64 / pooled.measured_seconds();
    let handled = seen.done + seen.ledger.discarded + seen.ledger.dead_lettered;
    let work = seen.busy as f64 / 1e9 / handled as f64;
    let load = rate * work / servers_over_time(plan, policy, seen, pooled);
    if load.is_finite() { level(load) } else { Value::Null }
}

/// Mean number of handlers of the group that can be at work at once: of those of the members that it shall have at each
/// time, the share that was available.
fn servers_over_time(plan: &Plan, policy: &ConsumerPlan, seen: &ConsumerOutcome, pooled: &Pooled) -> f64 {
    let (mut servers_time, mut wanted, mut all) = (0.0, 0.0, 0.0);
    for (members, time) in scaling::sizes_over_time(plan, policy, seen, pooled) {
        servers_time += time * servers(plan, policy, members) as f64;
        wanted += time * f64::from(members) * f64::from(policy.workers);
        all += time;
    }
    let available = seen.available as f64 / f64::from(pooled.runs);
    servers_time / all * available / wanted
}

/// Handlers of so many members that can be at work at once: a partition has one owner, and where its order is kept
/// one handler; a member of a queue has no more of them at work than it has credit.
fn servers(plan: &Plan, policy: &ConsumerPlan, members: u32) -> u64 {
    let workers = u64::from(policy.workers);
    match &policy.dispatch {
        Dispatch::Log(_) => {
            let partitions = || policy.subscribes.iter().map(|id| plan.topics[id.0 as usize].partitions);
            // Partitions are given out topic by topic, beginning with the first member.
            let owners = u64::from(members.min(partitions().max().unwrap_or(0)));
            let lanes = partitions().map(u64::from).sum::<u64>();
            if policy.order == WorkerOrder::Partition { (owners * workers).min(lanes) } else { owners * workers }
        }
        Dispatch::Queue(queue) => u64::from(members) * workers.min(u64::from(queue.prefetch)),
    }
}

fn ledger(plan: &Plan, index: usize, seen: &ConsumerOutcome) -> Value {
    let books = &seen.ledger;
    let mut ledger = json!({
        "created": books.created, "rejected": books.rejected, "indeterminate": books.indeterminate,
        "publishing": books.publishing, "stored": books.stored, "effected": books.effected, "filtered": books.filtered,
        "acked_lost": books.acked_lost, "expired": books.expired, "skipped": books.skipped,
        "discarded": books.discarded, "dead_lettered": books.dead_lettered,
        "waiting": books.waiting, "in_flight": books.in_flight,
    });
    if let Some(ledger) = ledger.as_object_mut().filter(|_| plan.reads_of_facts(index)) {
        ledger.insert("unpublished".into(), books.unpublished.into());
    }
    if let Some(ledger) = ledger.as_object_mut().filter(|_| plan.reads_of_transactions(index)) {
        ledger.insert("aborted".into(), books.aborted.into());
    }
    ledger
}

fn lost(seen: &ConsumerOutcome) -> Value {
    let by = |cause: LossCause| seen.lost.get(&cause).copied().unwrap_or(0);
    json!({
        "total": seen.lost.values().sum::<u64>(),
        "by_cause": {
            "committed_before_effect": by(LossCause::CommittedBeforeEffect),
            "attempts_exhausted": by(LossCause::AttemptsExhausted),
            "acked_before_effect": by(LossCause::AckedBeforeEffect),
            "lost_before_replication": by(LossCause::LostBeforeReplication),
            "unclean_election": by(LossCause::UncleanElection),
            "not_synced": by(LossCause::NotSynced),
            "expired": by(LossCause::Expired),
            "offset_reset": by(LossCause::OffsetReset),
        },
    })
}

/// How often the group went on without a member, by what that had exceeded.
fn expelled(seen: &ConsumerOutcome) -> Value {
    let count = |why: Again| (why.name().into(), seen.expelled.get(&why).copied().unwrap_or(0).into());
    Value::Object(
        [Again::SessionTimedOut, Again::PolledTooLate, Again::RejoinedTooLate].map(count).into_iter().collect(),
    )
}

/// By what events were lost, done twice or late: how often, and the first of them.
fn causes(plan: &Plan, seen: &ConsumerOutcome) -> Value {
    let cause = |(defect, seen): (&Defect, &Seen)| {
        let (defect, cause) = defect.name();
        json!({ "defect": defect, "cause": cause, "count": seen.count, "first": seen.first.map(|it| example(plan, it)) })
    };
    seen.defects.iter().map(cause).collect::<Vec<_>>().into()
}

fn example(plan: &Plan, example: Example) -> Value {
    json!({
        "event": event_name(plan, example.event),
        "run": example.run + 1,
        "key": plan.key_text(example.key),
        "created": seconds(example.created.0),
        "at": seconds(example.at.0),
    })
}

/// Reordering in the terms of RFC 4737; means are over the reordered events.
fn reordered(seen: &ConsumerOutcome) -> Value {
    let order = &seen.order;
    json!({
        "ratio": ratio(order.violations as f64, order.judged as f64),
        "extent": {
            "max": level(order.extent_max as f64),
            "mean": ratio(order.extent_sum as f64, order.violations as f64),
        },
        "late_time": {
            "max": seconds(order.late_time_max),
            "mean": mean_seconds(order.late_time_sum, order.violations),
        },
    })
}

/// What a checker in the manner of Jepsen would name, and whether this configuration allows it.
fn anomalies(plan: &Plan, policy: &ConsumerPlan, seen: &ConsumerOutcome) -> Value {
    let anomaly = |count: u64, allowed: Result<(), &str>| match allowed {
        Ok(()) => json!({ "count": count, "allowed": false }),
        Err(reason) => json!({ "count": count, "allowed": true, "reason": reason }),
    };
    let once_stored = match (published_idempotently(plan, policy), relayed(plan, policy)) {
        (true, false) => Ok(()),
        (false, _) => Err("a publisher is not idempotent"),
        (true, true) => Err("the relay of an outbox publishes again what it had not noted as sent"),
    };
    let no_skips = match policy.settle {
        Settle::After => Ok(()),
        Settle::Before | Settle::Timer(_) => Err("deliveries may be settled before their effect"),
    };
    json!({
        "nonmonotonic-poll": anomaly(seen.rewinds, Err("a group change may hand out again what was not settled")),
        "duplicate": anomaly(seen.duplicates_log, once_stored),
        "lost-write": anomaly(seen.ledger.acked_lost, kept_by_all(plan, policy)),
        "poll-skip": anomaly(seen.ledger.skipped, no_skips),
        "unseen": anomaly(seen.ledger.waiting, Err("stored, not yet delivered when the run ended")),
        "reordered": anomaly(seen.order.violations, policy.key_order.as_ref().copied().map_err(String::as_str)),
    })
}

/// The clients that publish to what a consumer reads.
fn clients_of<'a>(plan: &'a Plan, policy: &'a ConsumerPlan) -> impl Iterator<Item = &'a ClientPlan> {
    let outside = plan.producers.iter().flat_map(|p| &p.clients).chain(plan.services.iter().flat_map(|s| &s.clients));
    let all = outside.chain(plan.consumers.iter().flat_map(|c| &c.clients));
    all.filter(|(topic, _)| policy.subscribes.contains(topic)).map(|(_, client)| client)
}

/// Whether every client that publishes to what the consumer reads is idempotent.
fn published_idempotently(plan: &Plan, policy: &ConsumerPlan) -> bool {
    clients_of(plan, policy).all(|client| client.idempotent)
}

/// Whether what the consumer reads comes out of an outbox.
fn relayed(plan: &Plan, policy: &ConsumerPlan) -> bool {
    let reads = |clients: &[(TopicId, ClientPlan)]| clients.iter().any(|(topic, _)| policy.subscribes.contains(topic));
    plan.producers.iter().any(|it| it.outbox.is_some() && reads(&it.clients))
        || plan.services.iter().any(|it| it.outbox.is_some() && reads(&it.clients))
}

/// Whether what is acknowledged is kept as long as a copy in sync is there, and no other copy may lead.
fn kept_by_all(plan: &Plan, policy: &ConsumerPlan) -> Result<(), &'static str> {
    if plan.faults.iter().any(|fault| fault.effect == Effect::PowerLoss) {
        return Err("what is acknowledged is not on disk yet when the power fails");
    }
    if policy.subscribes.iter().any(|topic| plan.topics[topic.0 as usize].unclean_election) {
        return Err("a copy that is not in sync may become the leader");
    }
    if clients_of(plan, policy).any(|client| client.acks != Acks::All) {
        return Err("a publisher does not wait for all copies in sync");
    }
    Ok(())
}

fn fault(plan: &Plan, pooled: &Pooled, index: usize) -> Value {
    let seen = &pooled.outcome.faults[index];
    let name = |consumer: usize| plan.consumers[consumer].name.clone();
    let (mut noticed, mut unnoticed, mut out_of_reach) = (Vec::new(), Vec::new(), Vec::new());
    for consumer in 0..plan.consumers.len() {
        if pooled.notices(index, consumer) {
            noticed.push(name(consumer));
        } else {
            unnoticed.push(name(consumer));
        }
        if !seen.touched.contains_key(&consumer) {
            out_of_reach.push(name(consumer));
        }
    }
    let touched = seen.touched.iter().map(|(consumer, touched)| (name(*consumer), damage(touched)));
    let producers = seen.producers.iter().map(|(producer, unpublished)| {
        let counts = json!({ "rejected": unpublished.rejected, "indeterminate": unpublished.indeterminate });
        (plan.producers[*producer].name.clone(), counts)
    });
    let services = seen.crowds.iter().map(|(service, crowd)| {
        (plan.services[*service].name.clone(), services::struck(seen.services.get(service), *crowd))
    });
    let overlaps = (0..plan.consumers.len()).map(|consumer| (name(consumer), overlaps(plan, pooled, index, consumer)));
    let members = seen.members.iter().take(LISTED_OCCURRENCES).map_while(|member| *member);
    let occurrences = seen.occurrences.iter().take(LISTED_OCCURRENCES).map(|(from, to)| span(*from, *to));
    let mut document = json!({
        "name": plan.faults[index].name,
        "occurrences": occurrences.collect::<Vec<_>>(),
        "count": seen.count,
        "members": members.collect::<Vec<_>>(),
        "touched": touched.collect::<Map<_, _>>(),
        "producers": producers.collect::<Map<_, _>>(),
        "services": services.collect::<Map<_, _>>(),
        "overlaps": overlaps.filter(|(_, with)| !with.is_empty()).map(|(who, with)| (who, with.into())).collect::<Map<_, _>>(),
        "noticed": noticed,
        "unnoticed": unnoticed,
        "out_of_reach": out_of_reach,
    });
    if matches!(plan.faults[index].target, FaultTarget::Broker(..) | FaultTarget::Leader(..)) {
        document["brokers"] = document["members"].take();
        document["members"] = json!([]);
        document["downtime"] = partitions_hit(plan, seen, |hit| (hit.unserved, hit.unserved_longest, hit.unserved_sum));
        document["too_few_in_sync"] =
            partitions_hit(plan, seen, |hit| (hit.refused, hit.refused_longest, hit.refused_sum));
    }
    document
}

/// By topic: how often its partitions did not do what they should, and for how long.
fn partitions_hit(plan: &Plan, seen: &FaultOutcome, of: fn(&PartitionsHit) -> (u64, SimSpan, SimSpan)) -> Value {
    let hit = seen.partitions.iter().map(|(topic, hit)| (&plan.topics[*topic].name, of(hit)));
    let hit = hit.filter(|(_, (count, ..))| *count > 0).map(|(topic, (count, longest, sum))| {
        let times = json!({
            "count": count, "longest": seconds(longest.0), "mean": mean_seconds(u128::from(sum.0), count),
        });
        (topic.clone(), times)
    });
    hit.collect::<Map<_, _>>().into()
}

fn span(from: SimTime, to: SimTime) -> Value {
    json!([seconds(from.0), seconds(to.0)])
}

/// The other faults that a consumer noticed while it noticed this one (in the first run): what each of them did cannot be
/// told apart.
fn overlaps(plan: &Plan, pooled: &Pooled, index: usize, consumer: usize) -> Vec<String> {
    let noticed = |fault: &usize| pooled.notices(*fault, consumer);
    let others = (0..plan.faults.len()).filter(|other| *other != index && noticed(&index) && noticed(other));
    others
        .filter(|other| meet(&followed(pooled, index, consumer), &followed(pooled, *other, consumer)))
        .map(|other| plan.faults[other].name.clone())
        .collect()
}

/// From when to when a consumer felt a fault: its occurrences, each until it had drained; those that overlap are one.
fn followed(pooled: &Pooled, fault: usize, consumer: usize) -> Vec<(u64, u64)> {
    let seen = &pooled.outcome.faults[fault];
    let longest = seen.touched.get(&consumer).map_or(0, |touched| touched.drain_time.max(touched.undrained).0);
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for (from, to) in &seen.occurrences {
        let to = to.0.saturating_add(longest);
        match spans.last_mut() {
            Some(last) if from.0 <= last.1 => last.1 = last.1.max(to),
            _ => spans.push((from.0, to)),
        }
    }
    spans
}

/// Whether a span of one list has a moment in common with one of the other.
fn meet(mut some: &[(u64, u64)], mut others: &[(u64, u64)]) -> bool {
    while let ([(from, to), rest @ ..], [(start, end), more @ ..]) = (some, others) {
        if from <= end && start <= to {
            return true;
        }
        if to < end { some = rest } else { others = more }
    }
    false
}

/// What a fault did to one consumer: the worst lag and drain time of all occurrences and runs, counts as sums.
fn damage(touched: &Touched) -> Value {
    json!({
        "lag_before": level(touched.lag_before as f64),
        "lag_peak": level(touched.lag_peak as f64),
        "drain_time": if touched.not_drained == 0 { seconds(touched.drain_time.0) } else { Value::Null },
        "not_drained": touched.not_drained,
        "redeliveries": touched.redeliveries,
        "lost": touched.lost,
        "dead_letters": touched.dead_letters,
        "order_violations": touched.violations,
        "duplicates": {
            "log": touched.copies, "effects": touched.effects, "suppressed": touched.suppressed,
        },
        "not_stored": touched.not_stored,
    })
}

/// How long the system disagrees with itself, over the events of all topics.
fn events(pooled: &Pooled) -> Value {
    let mut all = Histogram::default();
    pooled.outcome.topics.iter().for_each(|topic| all.merge(&topic.converged));
    json!({
        "converged": distribution(&all, pooled.outcome.topics.iter().map(|t| t.converged_sum).sum()),
        "not_converged": pooled.outcome.topics.iter().map(|t| t.not_converged).sum::<u64>(),
    })
}

/// Metrics of the events created, done, or of the lag samples taken, in one interval: of `latency`, `lag.max`, `lag.time.max`
/// and `throughput`, the one at `path`; `null` for anything else.
#[must_use]
pub(super) fn measure_during(
    pooled: &Pooled,
    consumer: usize,
    interval: usize,
    during: (SimTime, SimTime),
    path: &[&str],
) -> Value {
    let seen = &pooled.outcome.consumers[consumer];
    let Some(events) = seen.intervals.get(interval) else { return Value::Null };
    match path {
        ["latency", rest @ ..] => {
            distribution(&events.latency, events.sum).get(&rest.join(".")).cloned().unwrap_or(Value::Null)
        }
        ["lag", "max"] => largest_during(&seen.lag, &seen.lag.records, during).map_or(Value::Null, |v| level(v as f64)),
        ["lag", "time", "max"] => largest_during(&seen.lag, &seen.lag.time, during).map_or(Value::Null, seconds),
        ["throughput"] => ratio(events.done as f64, (during.1 - during.0).seconds() * f64::from(pooled.runs)),
        _ => Value::Null,
    }
}

/// The largest point of a series whose sampling interval lies within `during`; where none does, of those that touch it.
fn largest_during(lag: &LagOutcome, series: &[u64], during: (SimTime, SimTime)) -> Option<u64> {
    let width = lag.interval.0;
    let bounds = |i: usize| (i as u64 * width, (i as u64 + 1) * width);
    let points = || series.iter().enumerate().map(|(i, v)| (bounds(i), *v));
    let within = points().filter(|((from, to), _)| *from >= during.0.0 && *to <= during.1.0).map(|(_, v)| v).max();
    within.or_else(|| points().filter(|((from, to), _)| *to > during.0.0 && *from < during.1.0).map(|(_, v)| v).max())
}
