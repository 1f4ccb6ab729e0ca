//! The catalogue of metrics that an expectation may name: path, unit, and whether it can be limited to an interval.

/// What a metric is measured in; expectations write the value so, the result document has the base unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Durations; seconds in the document.
    Seconds,
    /// Bare counts.
    Count,
    /// Bare numbers.
    Number,
    /// Shares; 0 to 1 in the document.
    Share,
    /// Sizes; bytes in the document.
    Bytes,
    /// Rates; per second in the document.
    Rate,
}

impl Unit {
    /// A value of this unit as it is written.
    #[must_use]
    pub fn example(self) -> &'static str {
        match self {
            Self::Seconds => "2s",
            Self::Count => "0",
            Self::Number => "0.8",
            Self::Share => "92%",
            Self::Bytes => "10MB",
            Self::Rate => "500/s",
        }
    }
}

/// One metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Section of the result document: `consumers`, `producers`, `topics`, `services`, `resources`, `flows`, `reads` or
    /// `events`; or [`CALLS`], or [`OUTCOMES`].
    pub section: &'static str,
    /// Keys below the thing's name.
    pub keys: Vec<String>,
    /// Unit.
    pub unit: Unit,
    /// Whether `during` may limit it to an interval.
    pub during: bool,
}

impl Metric {
    /// Its keys joined by dots, as in a path.
    #[must_use]
    pub fn path(&self) -> String {
        self.keys.join(".")
    }
}

/// What the calls of somebody to one service are listed as: their path is `SECTION.NAME.calls.CALLEE.KEY`.
pub const CALLS: &str = "calls";

/// What stands for all whose handlers may have sagas.
const HANDLERS: &str = "handlers";
/// What stands for all who may commit facts and publish their events.
const PUBLISHERS: &str = "publishers";
/// Sections of those who run handlers.
const WITH_HANDLERS: [&str; 3] = ["consumers", "producers", "services"];
/// Sections of those who commit facts.
const WITH_FACTS: [&str; 2] = ["producers", "services"];

/// What the outcomes of a flow are listed as: their path is `flows.NAME.outcomes.OUTCOME.KEY`.
pub const OUTCOMES: &str = "outcomes";

/// Section, keys with alternatives in braces, unit, whether `during` fits.
const PATTERNS: [(&str, &str, Unit, bool); 124] = [
    ("consumers", "latency.{mean,p50,p90,p95,p99,p99.9,p99.99,max}", Unit::Seconds, true),
    ("consumers", "latency.count", Unit::Count, true),
    ("consumers", "latency.stages.{buffer,publish,dispatch,wait,service,retry}.mean", Unit::Seconds, false),
    ("consumers", "path_latency.{mean,p50,p90,p95,p99,p99.9,p99.99,max}", Unit::Seconds, false),
    ("consumers", "path_latency.count", Unit::Count, false),
    ("consumers", "lag.max", Unit::Count, true),
    ("consumers", "lag.max_at", Unit::Seconds, false),
    ("consumers", "lag.end", Unit::Count, false),
    ("consumers", "lag.retrying.{max,end}", Unit::Count, false),
    ("consumers", "lag.time.max", Unit::Seconds, true),
    ("consumers", "lag.time.max_at", Unit::Seconds, false),
    ("consumers", "drain_time", Unit::Seconds, false),
    ("consumers", "utilisation", Unit::Share, false),
    ("consumers", "held", Unit::Share, false),
    ("consumers", "offered_load", Unit::Number, false),
    ("consumers", "throughput", Unit::Rate, true),
    ("consumers", "ledger.{created,rejected,indeterminate,publishing,stored}", Unit::Count, false),
    ("consumers", "ledger.unpublished", Unit::Count, false),
    ("consumers", "ledger.aborted", Unit::Count, false),
    ("consumers", "aborted_reads", Unit::Count, false),
    ("consumers", "ledger.{effected,filtered,acked_lost,expired,skipped,discarded,dead_lettered}", Unit::Count, false),
    ("consumers", "ledger.{waiting,in_flight}", Unit::Count, false),
    ("consumers", "duplicates.{log,deliveries,effects,suppressed,dead_letters}", Unit::Count, false),
    ("consumers", "lost.total", Unit::Count, false),
    ("consumers", "lost.by_cause.committed_before_effect", Unit::Count, false),
    ("consumers", "lost.by_cause.attempts_exhausted", Unit::Count, false),
    ("consumers", "lost.by_cause.acked_before_effect", Unit::Count, false),
    (
        "consumers",
        "lost.by_cause.{lost_before_replication,unclean_election,not_synced,expired,offset_reset}",
        Unit::Count,
        false,
    ),
    ("consumers", "order_violations", Unit::Count, false),
    ("consumers", "reordered.ratio", Unit::Share, false),
    ("consumers", "reordered.extent.max", Unit::Count, false),
    ("consumers", "reordered.extent.mean", Unit::Number, false),
    ("consumers", "reordered.late_time.{max,mean}", Unit::Seconds, false),
    ("consumers", "overlap", Unit::Count, false),
    ("consumers", "rewinds", Unit::Count, false),
    ("consumers", "rebalances", Unit::Count, false),
    ("consumers", "expelled.{session_timed_out,polled_too_late,rejoined_too_late}", Unit::Count, false),
    ("consumers", "attempts", Unit::Count, false),
    ("consumers", "failures", Unit::Count, false),
    ("consumers", "cut_off", Unit::Count, false),
    ("consumers", "rollout.{done,open,killed}", Unit::Count, false),
    ("consumers", "rollout.time.max", Unit::Seconds, false),
    ("consumers", "members.{mean,max}", Unit::Number, false),
    ("consumers", "members.time", Unit::Seconds, false),
    ("consumers", "scaled.{up,down}", Unit::Number, false),
    ("producers", "{created,failed,open}", Unit::Count, false),
    ("producers", "publish.latency.{mean,p50,p90,p95,p99,p99.9,p99.99,max}", Unit::Seconds, false),
    ("producers", "publish.latency.count", Unit::Count, false),
    ("producers", "publish.rate", Unit::Rate, false),
    ("producers", "publish.rejected", Unit::Count, false),
    ("producers", "publish.indeterminate", Unit::Count, false),
    ("producers", "publish.publishing", Unit::Count, false),
    ("producers", "publish.retries", Unit::Count, false),
    (PUBLISHERS, "phantoms", Unit::Count, false),
    (PUBLISHERS, "unpublished.total", Unit::Count, false),
    (PUBLISHERS, "unpublished.by_cause.{crashed_before_publish,failed_before_publish}", Unit::Count, false),
    (PUBLISHERS, "outbox.rows.{max,end}", Unit::Count, false),
    (PUBLISHERS, "outbox.published_again", Unit::Count, false),
    ("topics", "created", Unit::Count, false),
    ("topics", "stored", Unit::Count, false),
    ("topics", "lost", Unit::Count, false),
    ("topics", "records", Unit::Count, false),
    ("topics", "bytes", Unit::Bytes, false),
    ("topics", "storage.{end_bytes,max_bytes}", Unit::Bytes, false),
    ("topics", "hot_partition.share", Unit::Share, false),
    ("topics", "hot_partition.lag.{max,median}", Unit::Count, false),
    ("topics", "converged.{mean,p50,p90,p95,p99,p99.9,p99.99,max}", Unit::Seconds, false),
    ("topics", "converged.count", Unit::Count, false),
    ("topics", "not_converged", Unit::Count, false),
    ("services", "response.{mean,p50,p90,p95,p99,p99.9,p99.99,max}", Unit::Seconds, true),
    ("services", "response.count", Unit::Count, true),
    ("services", "availability", Unit::Share, true),
    ("services", "goodput", Unit::Rate, true),
    ("services", "throughput", Unit::Rate, true),
    ("services", "utilisation", Unit::Share, false),
    ("services", "held", Unit::Share, false),
    ("services", "offered_load", Unit::Number, false),
    ("services", "wait.{mean,p50,p90,p95,p99,p99.9,p99.99,max}", Unit::Seconds, false),
    ("services", "wait.count", Unit::Count, false),
    ("services", "queue.max", Unit::Count, false),
    ("services", "users.{arrived,answered,failed,refused,open}", Unit::Count, false),
    ("services", "visits.{arrived,done,failed,refused,cut_off,swallowed,cancelled,open,wasted}", Unit::Count, false),
    (HANDLERS, "saga.begun", Unit::Count, false),
    (HANDLERS, "saga.{completed,compensated,stuck,open,late_success}.count", Unit::Count, false),
    (HANDLERS, "saga.{completed,compensated,stuck,open,late_success}.share", Unit::Share, false),
    ("services", "created", Unit::Count, false),
    ("services", "publish.latency.{mean,p50,p90,p95,p99,p99.9,p99.99,max}", Unit::Seconds, false),
    ("services", "publish.latency.count", Unit::Count, false),
    ("services", "publish.rate", Unit::Rate, false),
    ("services", "publish.{rejected,indeterminate,publishing,retries}", Unit::Count, false),
    ("consumers", "transactions.{begun,committed,aborted,refused,timed_out,fenced,open}", Unit::Count, false),
    ("producers", "transactions.{begun,committed,aborted,refused,timed_out,fenced,open}", Unit::Count, false),
    (HANDLERS, "awaits.{begun,left,open}", Unit::Count, false),
    (HANDLERS, "awaits.{arrived,refused,timeouts}.count", Unit::Count, false),
    (HANDLERS, "awaits.{arrived,refused,timeouts}.share", Unit::Share, false),
    (HANDLERS, "awaits.wait.{mean,p50,p90,p95,p99,p99.9,p99.99,max}", Unit::Seconds, false),
    (HANDLERS, "awaits.wait.count", Unit::Count, false),
    (CALLS, "{calls,succeeded,failed,open,attempts,retries,hedges}", Unit::Count, false),
    (CALLS, "{timeouts,refused,errors,broken,openings,withheld}", Unit::Count, false),
    (CALLS, "pool.waited", Unit::Count, false),
    (CALLS, "pool.wait", Unit::Seconds, false),
    ("resources", "{asked,granted,refused,timeouts,left,open}", Unit::Count, false),
    ("resources", "wait.{mean,p50,p90,p95,p99,p99.9,p99.99,max}", Unit::Seconds, false),
    ("resources", "wait.count", Unit::Count, false),
    ("resources", "utilisation", Unit::Share, false),
    ("resources", "{holders,offered_load}", Unit::Number, false),
    ("flows", "latency.{mean,p50,p90,p95,p99,p99.9,p99.99,max}", Unit::Seconds, false),
    ("flows", "latency.count", Unit::Count, false),
    ("flows", "{begun,done,open}", Unit::Count, false),
    ("flows", "{late,stuck}.count", Unit::Count, false),
    ("flows", "{late,stuck}.share", Unit::Share, false),
    (OUTCOMES, "count", Unit::Count, false),
    (OUTCOMES, "share", Unit::Share, false),
    ("reads", "{told,looked,never,open}", Unit::Count, false),
    ("reads", "stale.count", Unit::Count, false),
    ("reads", "stale.probability", Unit::Share, false),
    ("reads", "visible.{mean,p50,p90,p95,p99,p99.9,p99.99,max}", Unit::Seconds, false),
    ("reads", "visible.count", Unit::Count, false),
    ("reads", "seen.{mean,p50,p90,p95,p99,p99.9,p99.99,max}", Unit::Seconds, false),
    ("reads", "seen.count", Unit::Count, false),
    ("reads", "looks.mean", Unit::Number, false),
    ("events", "converged.{mean,p50,p90,p95,p99,p99.9,p99.99,max}", Unit::Seconds, false),
    ("events", "converged.count", Unit::Count, false),
    ("events", "not_converged", Unit::Count, false),
];

/// Last keys of figures that are those of the worst run, its time or its place: however many runs there are, they are
/// not pooled. They are judged run by run, and there is no interval about them.
const OF_THE_WORST_RUN: [&str; 6] = ["max", "max_at", "max_bytes", "median", "partition", "drain_time"];

/// Whether the figure with this last key is that of the worst run.
#[must_use]
pub fn is_of_the_worst_run(key: &str) -> bool {
    OF_THE_WORST_RUN.contains(&key)
}

/// Whether the figure with this last key can only grow while a run goes on.
#[must_use]
pub fn only_grows(key: &str) -> bool {
    matches!(key, "max" | "max_bytes" | "drain_time")
}

/// Last keys of shares: from 0 to 1.
const SHARES: [&str; 6] = ["availability", "held", "probability", "ratio", "share", "utilisation"];

/// The most that a figure with this last key can be.
#[must_use]
pub fn most_of(key: &str) -> f64 {
    if SHARES.contains(&key) { 1.0 } else { f64::INFINITY }
}

/// Whether the things of this section run handlers.
#[must_use]
pub fn has_handlers(section: &str) -> bool {
    WITH_HANDLERS.contains(&section)
}

/// Short forms: section, what may be written, what it is short for.
const SHORT: [(&str, &str, &str); 13] = [
    (PUBLISHERS, "unpublished", "unpublished.total"),
    ("consumers", "lost", "lost.total"),
    (HANDLERS, "saga.completed", "saga.completed.count"),
    (HANDLERS, "saga.compensated", "saga.compensated.count"),
    (HANDLERS, "saga.stuck", "saga.stuck.count"),
    (HANDLERS, "saga.open", "saga.open.count"),
    (HANDLERS, "saga.late_success", "saga.late_success.count"),
    (HANDLERS, "awaits.arrived", "awaits.arrived.count"),
    (HANDLERS, "awaits.refused", "awaits.refused.count"),
    (HANDLERS, "awaits.timeouts", "awaits.timeouts.count"),
    ("flows", "late", "late.count"),
    ("flows", "stuck", "stuck.count"),
    ("reads", "stale", "stale.probability"),
];

/// All metrics.
#[must_use]
pub fn catalogue() -> Vec<Metric> {
    let mut metrics = Vec::new();
    for (section, pattern, unit, during) in PATTERNS {
        let sections = match section {
            HANDLERS => WITH_HANDLERS.to_vec(),
            PUBLISHERS => WITH_FACTS.to_vec(),
            section => vec![section],
        };
        for section in sections {
            metrics.extend(expand(pattern).into_iter().map(|keys| Metric { section, keys, unit, during }));
        }
    }
    metrics
}

/// The metrics of one outcome of a flow, as metrics of the flow.
#[must_use]
pub fn of_outcome(name: &str) -> Vec<Metric> {
    let below = |metric: Metric| {
        let keys = [OUTCOMES, name].into_iter().map(str::to_owned).chain(metric.keys).collect();
        Metric { section: "flows", keys, ..metric }
    };
    catalogue().into_iter().filter(|metric| metric.section == OUTCOMES).map(below).collect()
}

/// The metric at a path below a thing of a section.
#[must_use]
pub fn find(section: &str, path: &str) -> Option<Metric> {
    let is = |of: &str| {
        of == section || of == HANDLERS && has_handlers(section) || of == PUBLISHERS && WITH_FACTS.contains(&section)
    };
    let long = SHORT.iter().find(|(of, short, _)| is(of) && *short == path).map_or(path, |(_, _, long)| long);
    catalogue().into_iter().find(|metric| metric.section == section && metric.path() == long)
}

/// Key lists of a pattern: split at dots outside braces, one list for each alternative.
fn expand(pattern: &str) -> Vec<Vec<String>> {
    let (before, alternatives, after) = match pattern.split_once('{') {
        Some((before, rest)) => {
            let (alternatives, after) = rest.split_once('}').expect("patterns close their braces");
            (before, alternatives.split(',').collect(), after)
        }
        None => (pattern, vec![""], ""),
    };
    let keys = |text: &str| text.split('.').filter(|key| !key.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let whole = |alternative: &str| {
        let middle = (!alternative.is_empty()).then(|| alternative.to_owned());
        keys(before).into_iter().chain(middle).chain(keys(after)).collect()
    };
    alternatives.into_iter().map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found() {
        assert_eq!(find("consumers", "latency.p99.9").unwrap().keys, ["latency", "p99.9"]);
        assert_eq!(find("consumers", "latency.stages.wait.mean").unwrap().keys, ["latency", "stages", "wait", "mean"]);
        assert_eq!(find("consumers", "lost").unwrap().keys, ["lost", "total"]);
        assert_eq!(find("services", "saga.stuck").unwrap().keys, ["saga", "stuck", "count"]);
        assert_eq!(find(CALLS, "timeouts").unwrap().unit, Unit::Count);
        assert_eq!(find("flows", "late.share").unwrap().unit, Unit::Share);
        assert_eq!(find("topics", "bytes").unwrap().unit, Unit::Bytes);
        assert!(find("topics", "latency.p99").is_none());
        let only: Vec<String> =
            catalogue().iter().filter(|m| m.during && m.section == "consumers").map(Metric::path).collect();
        let only: Vec<&String> = only.iter().filter(|path| !path.starts_with("latency")).collect();
        assert_eq!(only, ["lag.max", "lag.time.max", "throughput"]);
        let only: Vec<String> =
            catalogue().iter().filter(|m| m.during && m.section == "services").map(Metric::path).collect();
        let only: Vec<&String> = only.iter().filter(|path| !path.starts_with("response")).collect();
        assert_eq!(only, ["availability", "goodput", "throughput"]);
    }

    #[test]
    fn shares_are_told_by_their_last_key() {
        for metric in catalogue() {
            let most = most_of(metric.keys.last().unwrap());
            assert_eq!(most < 2.0, metric.unit == Unit::Share, "{} {}", metric.section, metric.path());
        }
    }

    #[test]
    fn no_path_is_listed_twice() {
        let mut paths: Vec<String> = catalogue().iter().map(|m| format!("{}.{}", m.section, m.path())).collect();
        let count = paths.len();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), count);
    }
}
