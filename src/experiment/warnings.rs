//! What would mislead a reader who skipped it, in plain words, most important first.

use super::expect::Claim;
use super::growth::{Stretch, far_above, growth};
use super::jackknife::Measured;
use super::measure::PERCENTILES;
use super::shares::Shares;
use super::unfinished::{UNFINISHED, open_in};
use super::warm_up;
use crate::metrics::is_of_the_worst_run;
use crate::outcome::{Again, Ended, ProducerOutcome};
use crate::plan::{ClientPlan, ConsumerPlan, OutboxPlan, Plan, TopicId};
use crate::summary::{Batches, Judged, Verdict, Warning, number_at};
use crate::time::{SimSpan, SimTime};
use crate::units::show_seconds;

/// Samples beyond a percentile that make it worth showing.
const TAIL_SAMPLES: f64 = 100.0;
/// The same of independent ones: with fewer, intervals of percentiles hold clearly less often than 95 times in 100.
const TAIL_INDEPENDENT: f64 = 20.0;
/// Fewer runs than this give wide intervals.
const FEW_RUNS: u32 = 5;
/// Ages of the oldest event that are worth telling, ns.
const OLD_EVENTS: u64 = 60_000_000_000;
/// The same of response times of users, who are less patient, ns.
const SLOW_ANSWERS: u64 = 5_000_000_000;
/// Steps of a course of response times that are looked at together: a 240th of the run.
const STEPS_TOGETHER: usize = 4;

/// What warnings are drawn from.
pub(super) struct Findings<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// All runs.
    pub whole: &'a Measured,
    /// What is left of them without each group.
    pub rests: &'a [Measured],
    /// What was claimed, and the judgements, in the same order.
    pub claims: &'a [Claim],
    /// The judgements.
    pub judged: &'a [Judged],
    /// Runs that were asked for.
    pub asked: u32,
}

impl Findings<'_> {
    /// All warnings, most important first.
    #[must_use]
    pub(super) fn warnings(&self, batches: Option<&Batches>) -> Vec<Warning> {
        let per_consumer = |warn: &dyn Fn(usize) -> Option<Warning>| {
            (0..self.plan.consumers.len()).filter_map(warn).collect::<Vec<_>>()
        };
        let per_service = |warn: &dyn Fn(usize) -> Option<Warning>| {
            (0..self.plan.services.len()).filter_map(warn).collect::<Vec<_>>()
        };
        let mut warnings = Vec::new();
        warnings.extend(self.stopped());
        warnings.extend(self.interrupted());
        warnings.extend(per_consumer(&|i| self.thrown_out(i)));
        warnings.extend(per_consumer(&|i| self.overload(i)));
        warnings.extend(per_consumer(&|i| self.behind(i)));
        warnings.extend(per_service(&|i| self.busy_service(i)));
        warnings.extend(per_service(&|i| self.slow_for_a_while(i)));
        warnings.extend((0..self.plan.resources.len()).filter_map(|i| self.busy_resource(i)));
        warnings.extend(per_consumer(&|i| self.unfinished(i)));
        warnings.extend(per_service(&|i| self.unanswered(i)));
        warnings.extend((0..self.plan.producers.len()).filter_map(|i| self.unpublished(i)));
        warnings.extend((0..self.plan.producers.len()).filter_map(|i| self.failed_handlers(i)));
        warnings.extend(self.publishers().filter_map(|(about, outbox, seen)| self.full_outbox(about, outbox?, seen)));
        warnings.extend(self.publishers().filter_map(|(about, outbox, seen)| written_twice(about, outbox, seen)));
        warnings.extend((0..self.plan.topics.len()).filter_map(|i| self.not_passed_on(i)));
        warnings.extend(self.undecided());
        warnings.extend(per_consumer(&|i| self.short_tail(&self.latencies(i))));
        warnings.extend(per_service(&|i| self.short_tail(&self.responses(i)?)));
        let busy: Vec<String> = warnings.iter().filter(|it| it.code == "W001").map(|it| it.about.clone()).collect();
        let transients = warm_up::warnings(self.plan, &self.whole.pooled);
        warnings.extend(transients.into_iter().filter(|it| !busy.contains(&it.about)));
        warnings.extend(self.few_runs(batches));
        warnings
    }

    fn stopped(&self) -> Option<Warning> {
        let Ended::BacklogBound { at, consumer } = self.whole.pooled.outcome.ended else { return None };
        let (bound, stopped, runs) = (self.plan.backlog_bound, self.whole.pooled.stopped, self.whole.pooled.runs);
        let which = if runs == 1 { "The run".into() } else { format!("{stopped} of {runs} runs, the first") };
        let after = show_seconds(at.seconds());
        let text = format!(
            "{which} stopped at {after}, when the backlog reached its bound of {bound} messages. All figures end there."
        );
        Some(self.about(consumer, "W006", text))
    }

    fn interrupted(&self) -> Option<Warning> {
        let (done, asked) = (self.whole.pooled.runs, self.asked);
        let text =
            format!("Interrupted: {done} of {asked} runs were finished and are summarised, the others are dropped.");
        (done < asked).then(|| experiment("W007", text))
    }

    /// Members that did not poll in time: what they do, others do again.
    fn thrown_out(&self, index: usize) -> Option<Warning> {
        let late = *self.whole.pooled.outcome.consumers[index].expelled.get(&Again::PolledTooLate)?;
        let limit = self.plan.consumers[index].membership.group()?.rebalance_timeout;
        let text = format!(
            "Thrown out: {late} times a member had not polled for {} and its group went on without it, because the handlers of \
             one poll took longer. What it had in hand is handed out again, and may be so for ever: let a poll return fewer \
             records, or allow more time between two polls.",
            show_seconds(limit.seconds())
        );
        Some(self.about(index, "W012", text))
    }

    /// More work than can be done, or a lag that grows to the end.
    fn overload(&self, index: usize) -> Option<Warning> {
        let policy = &self.plan.consumers[index];
        let load =
            number_at(&self.whole.metrics, &["consumers", &policy.name, "offered_load"]).filter(|load| *load >= 1.0);
        let growing = self.grows_since(index).map(|since| show_seconds(since.seconds()));
        let text = match (load, growing) {
            (None, None) => return None,
            (Some(load), Some(since)) => format!(
                "Overload: {} of what its workers can do is asked of them, and lag grows from {since} to the end. \
                 The longer the run, the larger its latencies.",
                percent(load)
            ),
            (Some(load), None) => {
                format!("Overload: {} of what its workers can do is asked of them.", percent(load))
            }
            (None, Some(since)) => format!(
                "Overload: lag grows from {since} to the end of the run. The longer the run, the larger its latencies."
            ),
        };
        Some(self.about(index, "W001", text))
    }

    /// More worker time is asked of a service than there is.
    fn busy_service(&self, index: usize) -> Option<Warning> {
        let name = &self.plan.services[index].name;
        let load = number_at(&self.whole.metrics, &["services", name, "offered_load"]).filter(|load| *load >= 1.0)?;
        let text = format!(
            "Overload: {} of the time of its workers is asked for, that in which they wait for others included. \
             What does not fit waits, or is refused.",
            percent(load)
        );
        Some(warning("services", name, "W001", text))
    }

    /// More is asked of a resource than it can grant.
    fn busy_resource(&self, index: usize) -> Option<Warning> {
        let name = &self.plan.resources[index].name;
        let load = number_at(&self.whole.metrics, &["resources", name, "offered_load"]).filter(|load| *load >= 1.0)?;
        let text = format!("Overload: {} of what it can grant is asked of it.", percent(load));
        Some(warning("resources", name, "W001", text))
    }

    /// Since when lag (the mean over runs) grows to the end of the run; `None` where it does not.
    fn grows_since(&self, index: usize) -> Option<SimTime> {
        let interval = self.whole.pooled.outcome.consumers[index].lag.interval;
        let measured_from = self.plan.warm_up.0.checked_div(interval.0)?;
        let curve = self.whole.pooled.curves[index].mean_records();
        let measured = curve.get(usize::try_from(measured_from).ok()?..)?;
        let (last_low, growing) = growth(measured)?;
        if lasts_less_than_two_rounds(&self.plan.consumers[index], interval, growing) {
            return None;
        }
        Some(SimTime(interval.0 * (measured_from + last_low as u64 + 1)))
    }

    /// Times in which its oldest event was far older than usual, and after which it caught up.
    fn behind(&self, index: usize) -> Option<Warning> {
        if self.grows_since(index).is_some() {
            return None;
        }
        let interval = self.whole.pooled.outcome.consumers[index].lag.interval;
        let warm_up = usize::try_from(self.plan.warm_up.0.checked_div(interval.0)?).ok()?;
        let ages = self.whole.pooled.curves[index].mean_time();
        let (limit, spans) = far_above(ages.get(warm_up..)?, OLD_EVENTS)?;
        let at = |point: usize| show_seconds(SimTime(interval.0 * (warm_up + point) as u64).seconds());
        let oldest = spans.iter().map(|span| span.2).max()?;
        let when = when(&spans, at)?;
        let text = format!(
            "Behind for a while: {when} its oldest event was older than {}, at most {}{}, and then it caught up. Percentiles \
             mix that time with the rest: they depend on how long the run is.",
            show_seconds(limit as f64 / 1e9),
            show_seconds(oldest as f64 / 1e9),
            if self.whole.pooled.runs > 1 { " on average over the runs" } else { "" }
        );
        Some(self.about(index, "W009", text))
    }

    /// Times in which a service answered its users far more slowly than usual, and after which it was itself again.
    fn slow_for_a_while(&self, index: usize) -> Option<Warning> {
        let course = &self.whole.pooled.outcome.services[index].course;
        let sums = course.sums(STEPS_TOGETHER);
        // Where nobody came or was answered it is as it was.
        let mut last = 0.0;
        let means = sums.iter().map(|sum| {
            last = sum.mean().unwrap_or(last);
            last
        });
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times in ns")]
        let means: Vec<u64> = means.map(|mean| mean as u64).collect();
        let (limit, spans) = far_above(&means, SLOW_ANSWERS)?;
        let step = course.step() * STEPS_TOGETHER as u64;
        let at = |point: usize| show_seconds(SimTime(course.from() + step * point as u64).seconds());
        let slowest = spans.iter().map(|span| span.2).max()?;
        let when = when(&spans, at)?;
        let text = format!(
            "Slow for a while: users who came {when} waited for longer than {} on average, at most {}, and then it was \
             itself again. Percentiles mix that time with the rest: they depend on how long the run is.",
            show_seconds(limit as f64 / 1e9),
            show_seconds(slowest as f64 / 1e9)
        );
        Some(warning("services", &self.plan.services[index].name, "W009", text))
    }

    /// Measured events that had no end yet.
    fn unfinished(&self, index: usize) -> Option<Warning> {
        let books = &self.whole.pooled.outcome.consumers[index].ledger;
        let open = open_in(books);
        let share = open as f64 / books.created as f64;
        let text = format!(
            "{} of its measured events ({open} of {}) were not done when the run ended. They are missing from the latencies: \
             the percentiles shown are a lower bound.",
            percent(share),
            books.created
        );
        (share > UNFINISHED).then(|| self.about(index, "W002", text))
    }

    /// Measured requests of users that had no end yet.
    fn unanswered(&self, index: usize) -> Option<Warning> {
        let users = &self.whole.pooled.outcome.services[index].users;
        let share = users.open as f64 / users.arrived as f64;
        let text = format!(
            "{} of the requests of its users ({} of {}) had no end when the run ended. They are missing from the response \
             times: the percentiles shown are a lower bound.",
            percent(share),
            users.open,
            users.arrived
        );
        (share > UNFINISHED).then(|| warning("services", &self.plan.services[index].name, "W002", text))
    }

    /// Events of a producer that never reached their topic: no figure of a consumer tells of them.
    fn unpublished(&self, index: usize) -> Option<Warning> {
        let (policy, seen) = (&self.plan.producers[index], &self.whole.pooled.outcome.producers[index]);
        let topics = policy.clients.iter().map(|(topic, _)| &self.whole.pooled.outcome.topics[topic.0 as usize]);
        let never = (seen.rejected + seen.indeterminate).min(topics.map(|topic| topic.not_stored).sum());
        let (rejected, silent) = (seen.rejected, seen.indeterminate);
        let text = format!(
            "{} of its events ({never} of {}) were never stored: {rejected} were rejected, and of {silent} there was no \
             answer. No latency, loss or duplicate counts them.",
            percent(never as f64 / seen.created as f64),
            seen.created
        );
        let about = format!("producers.{}", policy.name);
        (never > 0).then_some(Warning { code: "W008", about, text })
    }

    /// Events of a producer whose handlers failed: what these were still to publish never was.
    fn failed_handlers(&self, index: usize) -> Option<Warning> {
        let (policy, seen) = (&self.plan.producers[index], &self.whole.pooled.outcome.producers[index]);
        let text = format!(
            "{} of its handlers ({} of {}) failed, and what they had not published by then never was. No latency or loss \
             counts it.",
            percent(seen.failed as f64 / seen.created as f64),
            seen.failed,
            seen.created
        );
        let about = format!("producers.{}", policy.name);
        (seen.failed > 0).then_some(Warning { code: "W008", about, text })
    }

    /// All who may commit facts: what a warning about them is about, with their outbox, and what was seen.
    fn publishers(&self) -> impl Iterator<Item = (String, Option<&OutboxPlan>, &ProducerOutcome)> {
        let outcome = &self.whole.pooled.outcome;
        let producers = self.plan.producers.iter().zip(&outcome.producers);
        let producers = producers.map(|(it, seen)| (format!("producers.{}", it.name), it.outbox.as_ref(), seen));
        let services = self.plan.services.iter().zip(&outcome.services);
        let services = services.map(|(it, seen)| (format!("services.{}", it.name), it.outbox.as_ref(), &seen.publish));
        producers.chain(services)
    }

    /// A relay that takes fewer rows than are committed.
    fn full_outbox(&self, about: String, outbox: &OutboxPlan, seen: &ProducerOutcome) -> Option<Warning> {
        let most = outbox.most_per_second()?;
        let rate = seen.created as f64 / self.whole.pooled.measured_seconds();
        let left = seen.outbox.as_ref()?.rows_end as f64 / f64::from(self.whole.pooled.runs);
        let text = format!(
            "The relay of its outbox takes {most:.3} rows a second at most, and {rate:.3} are committed: {left:.0} were left \
             when the run ended. Poll more often, or take more rows at a time (`batch`)."
        );
        (rate > most).then_some(Warning { code: "W001", about, text })
    }

    /// The same of what consumers publish, whose clients tell nobody.
    fn not_passed_on(&self, index: usize) -> Option<Warning> {
        let (topic, seen) = (&self.plan.topics[index], &self.whole.pooled.outcome.topics[index]);
        let here = |clients: &[(TopicId, ClientPlan)]| clients.iter().any(|(id, _)| id.0 as usize == index);
        let consumers: Vec<&str> =
            self.plan.consumers.iter().filter(|c| here(&c.clients)).map(|c| c.name.as_str()).collect();
        let text = format!(
            "{} of its events ({} of {}) were never stored; {} among those who publish them. No latency, loss or \
             duplicate counts them.",
            percent(seen.not_stored as f64 / seen.created as f64),
            seen.not_stored,
            seen.created,
            if let [one] = consumers[..] { format!("{one} is") } else { format!("{} are", consumers.join(", ")) },
        );
        let about = format!("topics.{}", topic.name);
        (seen.not_stored > 0 && !consumers.is_empty()).then_some(Warning { code: "W008", about, text })
    }

    fn undecided(&self) -> Vec<Warning> {
        let undecided = self.claims.iter().zip(self.judged).filter(|(_, judged)| judged.verdict == Verdict::Undecided);
        let one_run = self.whole.pooled.runs == 1;
        let text = |claim: &Claim, judged: &Judged| {
            let worst = claim.path(self.plan).last().is_some_and(|key| is_of_the_worst_run(key));
            let open = judged.interval.is_some_and(|(_, high)| high.is_infinite());
            let includes = "the 95 % interval includes the limit".to_owned();
            let why = judged.reason.as_ref().unwrap_or(&includes);
            let what = match judged.needed {
                _ if judged.unfinished => "More replications would not decide it.".into(),
                _ if worst => "It is about every run, and more of them would hardly decide it.".into(),
                _ if one_run || open => "A longer run would decide it.".into(),
                Some(needed) => format!("About {needed} replications would decide it."),
                None if judged.reason.is_some() => "More replications may decide it.".into(),
                None => "More replications would hardly decide it.".into(),
            };
            format!("Undecided: `{}`: {why}. {what}", judged.text)
        };
        let about = |claim: &Claim| claim.path(self.plan).iter().take(2).cloned().collect::<Vec<_>>().join(".");
        undecided
            .map(|(claim, judged)| Warning { code: "W005", about: about(claim), text: text(claim, judged) })
            .collect()
    }

    /// Too few events beyond p99, or beyond the furthest percentile that an expectation asks for; or enough of them, but in
    /// a few bunches.
    fn short_tail(&self, times: &Times<'_>) -> Option<Warning> {
        let Times { section, name: thing, count, noun, none, .. } = *times;
        if count == 0 {
            return Some(warning(section, thing, "W003", none.into()));
        }
        let asked_for = |name: &str| name == "p99" || self.claims.iter().any(|c| asks(c.path(self.plan), times, name));
        let beyond = |share: f64| count as f64 * (1.0 - share);
        let few = |share: f64| beyond(share) < TAIL_SAMPLES - 1e-6;
        let shares = Shares::of_rests(self.plan, self.whole, self.rests, &[section, thing, times.figure], None);
        let independent = |share: f64| shares.as_ref().and_then(|shares| shares.independent(share));
        let bunched = |share: f64| independent(share).is_some_and(|slow| slow < TAIL_INDEPENDENT);
        let mut short = PERCENTILES.iter().filter(|(name, share)| asked_for(name) && (few(*share) || bunched(*share)));
        let (name, share) = short.next()?;
        let furthest = short.next_back().map_or(String::new(), |(furthest, _)| format!(" to {furthest}"));
        let (what, longer) = match independent(*share).filter(|_| !few(*share)) {
            None => (
                format!("{count} {noun} give about {:.0} beyond {name}, and 100 are wanted", beyond(*share)),
                TAIL_SAMPLES / beyond(*share),
            ),
            Some(slow) => (
                format!(
                    "about {:.0} {noun} are beyond {name}, but in bunches: they say as much as {slow:.0} that are \
                     independent, and {TAIL_INDEPENDENT} are wanted",
                    beyond(*share)
                ),
                TAIL_INDEPENDENT / slow,
            ),
        };
        let text = format!(
            "Too short for the tail: {what}. Read {name}{furthest} as a rough figure; a run {:.0} times as long would do.",
            longer.ceil()
        );
        Some(warning(section, thing, "W003", text))
    }

    fn latencies(&self, index: usize) -> Times<'_> {
        Times {
            section: "consumers",
            name: self.name(index),
            figure: "latency",
            count: self.whole.pooled.outcome.consumers[index].latency.count(),
            noun: "events",
            none: "No measured event took effect: there are no latencies to show.",
        }
    }

    /// None where no users come in.
    fn responses(&self, index: usize) -> Option<Times<'_>> {
        let service = &self.plan.services[index];
        service.arrivals.is_some().then(|| Times {
            section: "services",
            name: &service.name,
            figure: "response",
            count: self.whole.pooled.outcome.services[index].response.count(),
            noun: "requests",
            none: "No measured request was answered well: there are no response times to show.",
        })
    }

    fn few_runs(&self, batches: Option<&Batches>) -> Option<Warning> {
        let correlated = batches.map_or(&[][..], |it| &it.correlated);
        let text = match self.whole.pooled.runs {
            1 if !correlated.is_empty() => format!(
                "One run, and no interval of {}: parts of the run depend on each other, however long they are made. Take a \
                 longer run or several.",
                correlated.join(", ")
            ),
            1 if !self.claims.is_empty() => match batches.and_then(|it| it.none.as_ref()) {
                Some(why) => format!(
                    "One run says nothing about the spread between runs, and its parts cannot stand for runs ({why}): \
                     expectations are judged by its values alone."
                ),
                None => {
                    "One run: expectations about times are judged by intervals from parts of it, all others by its \
                         values alone."
                        .into()
                }
            },
            runs @ 2..FEW_RUNS => format!("With {runs} replications the intervals are wide; take 5 or more."),
            _ => return None,
        };
        Some(experiment("W004", text))
    }

    fn name(&self, index: usize) -> &str {
        &self.plan.consumers[index].name
    }

    fn about(&self, index: usize, code: &'static str, text: String) -> Warning {
        warning("consumers", self.name(index), code, text)
    }
}

/// Facts and events that do not go together: two writes, and something between them.
fn written_twice(about: String, outbox: Option<&OutboxPlan>, seen: &ProducerOutcome) -> Option<Warning> {
    let (crashed, failed, phantoms) = (seen.crashed_before_publish, seen.failed_before_publish, seen.phantoms);
    let text = format!(
        "Dual write: {} facts were committed and their events never published ({crashed} because the process ended, {failed} \
         because the handler failed), and {phantoms} events were published of facts that were never committed. No latency, \
         loss or duplicate counts the former. An `outbox` has neither.",
        crashed + failed
    );
    (outbox.is_none() && crashed + failed + phantoms > 0).then_some(Warning { code: "W008", about, text })
}

/// Times whose percentiles are shown.
#[derive(Clone, Copy, Debug)]
struct Times<'a> {
    section: &'static str,
    name: &'a str,
    /// Their key below the thing.
    figure: &'static str,
    count: u64,
    /// What they are of.
    noun: &'static str,
    /// What to say where there are none.
    none: &'static str,
}

fn warning(section: &str, name: &str, code: &'static str, text: String) -> Warning {
    Warning { code, about: format!("{section}.{name}"), text }
}

fn experiment(code: &'static str, text: String) -> Warning {
    Warning { code, about: "experiment".into(), text }
}

/// Whether a claim is about this percentile of these times.
fn asks(path: &[String], times: &Times<'_>, percentile: &str) -> bool {
    let [section, name, metric @ ..] = path else { return false };
    let asked = || metric.join(".").ends_with(&format!("{}.{percentile}", times.figure));
    section == times.section && name == times.name && asked()
}

/// From when to when, given what the points of a series are called.
fn when(spans: &[Stretch], at: impl Fn(usize) -> String) -> Option<String> {
    let (first, last) = (spans.first()?, spans.last()?);
    Some(match spans.len() {
        1 => format!("from {} to {}", at(first.0), at(first.1)),
        times => format!("{times} times from {} to {}", at(first.0), at(last.1)),
    })
}

/// A share in per cent, to about three digits.
fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.000_1 {
        return "less than 0.01%".into();
    }
    let decimals = if share < 0.1 { 2 } else { 1 };
    format!("{:.decimals$}%", share * 100.0)
}

/// A consumer that wakes on a schedule piles up work between two wakes; growth says something after two of them.
fn lasts_less_than_two_rounds(policy: &ConsumerPlan, interval: SimSpan, points: usize) -> bool {
    policy.schedule.is_some_and(|schedule| (points as u64).saturating_mul(interval.0) < 2 * schedule.every.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_matched_by_consumer() {
        let path = ["consumers", "email", "latency", "p99.9"].map(String::from);
        let email =
            Times { section: "consumers", name: "email", figure: "latency", count: 1, noun: "events", none: "" };
        assert!(asks(&path, &email, "p99.9"));
        assert!(!asks(&path, &email, "p99"));
        assert!(!asks(&path, &Times { name: "fraud", ..email }, "p99.9"));
        assert!(!asks(&path, &Times { section: "services", figure: "response", ..email }, "p99.9"));
    }
}
