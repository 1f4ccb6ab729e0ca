//! The story of one event, a line for each thing that happened to it.

use super::Style;
use super::paint::{Tone, labelled};
use crate::experiment::{Explained, event_name};
use crate::outcome::{Again, Chapter, DeliveryResult, LossCause, Told};
use crate::plan::{Effect, Plan};
use crate::report::show;
use crate::time::{SimSpan, SimTime};

/// So often one fault is told of by a line of its own: a story is a dozen lines.
const MOST_OF_ONE: usize = 2;
/// Lines of a story, and those at its end that are told whatever the number: what goes on and on is told once.
const MOST_LINES: usize = 24;
const LAST_LINES: usize = 5;

/// Tells what happened to an event, and beside it which faults began or ended meanwhile.
#[must_use]
pub fn render(plan: &Plan, explained: &Explained, style: Style) -> String {
    let story = &explained.outcome.story;
    let name = event_name(plan, explained.event);
    let topic = &plan.topics[explained.event.topic as usize].name;
    let key = story.iter().find_map(|chapter| match chapter.told {
        Told::Created(key) => plan.key_text(key),
        _ => None,
    });
    let key = key.map_or_else(String::new, |key| format!(", key {key}"));
    let mut out = format!("{name} of {topic}{key}, in run {}\n\n", explained.run + 1);
    let mut lines: Vec<(SimTime, Tone, String)> = story
        .iter()
        .map(|chapter| (chapter.at, tone(chapter.told), sentence(plan, (explained.event.topic, story), *chapter)))
        .collect();
    lines.extend(faults(plan, explained));
    lines.sort_by_key(|(at, ..)| *at);
    let left_out = if lines.len() > MOST_LINES { lines.len() + 1 - MOST_LINES } else { 0 };
    let until = lines.len().saturating_sub(LAST_LINES);
    for (place, (at, tone, line)) in lines.into_iter().enumerate() {
        if left_out > 0 && place == until - left_out {
            out += &labelled("...", Tone::Quiet, &format!("{left_out} lines of what goes on like that"), style);
        }
        if !(until - left_out..until).contains(&place) {
            out += &labelled(&format!("{:>12}", time(at)), tone, &line, style);
        }
    }
    out
}

/// A point in virtual time with as many digits as tell apart what follows upon each other.
fn time(at: SimTime) -> String {
    format!("{:.6} s", at.seconds())
}

fn tone(told: Told) -> Tone {
    match told {
        Told::Gone(_) | Told::Missed(..) | Told::GivenUp(_) | Told::Decided(false) => Tone::Bad,
        Told::Ended { result: DeliveryResult::DuplicateEffect | DeliveryResult::Discarded, .. } => Tone::Bad,
        Told::Overtaken { .. } | Told::Expelled { .. } => Tone::Care,
        _ => Tone::Plain,
    }
}

fn sentence(plan: &Plan, (topic, story): (u32, &[Chapter]), chapter: Chapter) -> String {
    let consumer = |index: u32| plan.consumers[index as usize].name.as_str();
    let process = |index: u32, member: u32| match plan.most_processes(index as usize) {
        1 => consumer(index).to_owned(),
        _ => format!("{} {member}", consumer(index)),
    };
    match chapter.told {
        Told::Created(_) => "created".into(),
        Told::Sent { broker, attempt: 1 } => format!("sent to broker {broker}"),
        Told::Sent { broker, attempt } => format!("sent to broker {broker} again, attempt {attempt}"),
        Told::Stored { partition, offset, visible, again } => {
            let (once, wait) = (if again { " once more" } else { "" }, visible - chapter.at);
            let gone =
                |later: &Chapter| matches!(later.told, Told::Gone(_)) && (chapter.at..=visible).contains(&later.at);
            let seen = if wait.0 == 0 || story.iter().any(gone) {
                String::new()
            } else {
                format!("; readers may see it {} later", span(wait.0))
            };
            format!("stored{once} in partition {partition} as offset {offset}{seen}")
        }
        Told::Refused => "refused by the broker: to be sent again".into(),
        Told::Unanswered => "no answer, or the connection is closed: to be sent again".into(),
        Told::Acknowledged => "acknowledged: its publisher takes it for stored".into(),
        Told::GivenUp(true) => "given up by its publisher, without an answer".into(),
        Told::GivenUp(false) => "given up by its publisher, and never sent".into(),
        Told::Gone(cause) => format!("gone from the log: {}", loss(cause)),
        Told::Begun { consumer: index, member, retry, from: (partition, offset) } => {
            let topic =
                if retry > 0 { format!(" of {}", retry_topic(plan, index, topic, retry)) } else { String::new() };
            let name = process(index, member);
            format!("{name}: a handler takes it, read from partition {partition}{topic} at offset {offset}")
        }
        Told::Ended { consumer: index, member, result } => format!("{}: {}", process(index, member), end(result)),
        Told::Overtaken { consumer: index, by } => {
            format!("{}: done with {}, a later one of its key", consumer(index), event_name(plan, by))
        }
        Told::Expelled { consumer: index, member, why } => {
            format!("{}: the group goes on without it: {}", process(index, member), expelled(why))
        }
        Told::Given { consumer: index, partition, member } => {
            format!("{}: is given partition {partition}", process(index, member))
        }
        Told::Seen(index) => format!("{}: may see it: the transactions that hid it are over", consumer(index)),
        Told::Settled(index) => format!("{}: settled", consumer(index)),
        Told::Decided(true) => "its transaction is committed: it counts".into(),
        Told::Decided(false) => "its transaction is aborted: it does not count".into(),
        Told::PassedOver(index) => format!("{}: passes over it, for its transaction is aborted", consumer(index)),
        Told::Unwanted(index) => format!("{}: not wanted", consumer(index)),
        Told::Missed(index, cause) => format!("{}: will never take it: {}", consumer(index), loss(cause)),
        Told::Left(index, true) => format!("{}: still in hand when the run ended", consumer(index)),
        Told::Left(index, false) => format!("{}: not taken when the run ended", consumer(index)),
    }
}

/// The name of one of a consumer's retry topics for a topic: the n-th, from 1.
fn retry_topic(plan: &Plan, consumer: u32, topic: u32, number: u32) -> String {
    let policy = &plan.consumers[consumer as usize];
    let slot = policy.subscribes.iter().position(|subscribed| subscribed.0 == topic);
    let own = policy.retry_topics.as_ref().zip(slot).and_then(|(retries, slot)| retries.topics.get(slot));
    let id = own.and_then(|own| own.get(number as usize - 1));
    id.map_or_else(|| format!("retry topic {number}"), |id| plan.topics[id.0 as usize].name.clone())
}

fn expelled(why: Again) -> &'static str {
    match why {
        Again::SessionTimedOut => "its session has timed out",
        Again::PolledTooLate => "it has not polled in time",
        Again::RejoinedTooLate => "it has not rejoined in time",
        Again::Crashed => "its process has ended",
        Again::Rebalanced => "it has left",
        Again::ConnectionLost => "its connection is lost",
    }
}

fn end(result: DeliveryResult) -> &'static str {
    match result {
        DeliveryResult::Effect => "done, its effect is there",
        DeliveryResult::DuplicateEffect => "done again: a second effect",
        DeliveryResult::Suppressed => "done again, but the effect was known and is suppressed",
        DeliveryResult::DeadLettered => "given up after all attempts, to the dead letters",
        DeliveryResult::Discarded => "given up after all attempts",
        DeliveryResult::Requeued => "failed, to be handed out again",
        DeliveryResult::Retried => "failed, and is published to a retry topic",
        DeliveryResult::CutOff => "cut off: the handler's process is gone",
    }
}

fn loss(cause: LossCause) -> &'static str {
    match cause {
        LossCause::CommittedBeforeEffect => "its position was committed before its effect",
        LossCause::AttemptsExhausted => "all attempts failed, and there are no dead letters",
        LossCause::AckedBeforeEffect => "it was acknowledged before its effect",
        LossCause::LostBeforeReplication => "the next leader had no copy of it",
        LossCause::UncleanElection => "a copy leads that had not been in sync",
        LossCause::NotSynced => "the power failed before it was on the next leader's disk",
        LossCause::Expired => "deleted by retention before it was read",
        LossCause::OffsetReset => "passed over: what was to be read next had been deleted",
    }
}

/// Faults that lasted while something happened to the event, the first times of each.
fn faults(plan: &Plan, explained: &Explained) -> Vec<(SimTime, Tone, String)> {
    let happened = explained.outcome.story.iter().filter(|chapter| !matches!(chapter.told, Told::Left(..)));
    let times = happened.map(|chapter| chapter.at);
    let (Some(first), Some(last)) = (times.clone().min(), times.max()) else { return Vec::new() };
    let mut lines = Vec::new();
    for (fault, seen) in plan.faults.iter().zip(&explained.outcome.faults) {
        let whom = seen.members.iter().copied().chain(std::iter::repeat(None));
        let met = seen.occurrences.iter().zip(whom).filter(|((from, to), _)| *to >= first && *from <= last);
        let more = met.clone().count().saturating_sub(MOST_OF_ONE);
        for (place, ((from, to), whom)) in met.take(MOST_OF_ONE).enumerate() {
            let whom = whom.map_or_else(String::new, |number| format!(", number {number}"));
            let more =
                if more > 0 && place + 1 == MOST_OF_ONE { format!(", and {more} times more") } else { String::new() };
            let line = if let Effect::Replay(_) = fault.effect {
                format!("operators stop the group, to set its positions back: {}", fault.name)
            } else {
                format!("fault {}{whom}, for {}{more}", fault.name, span((*to - *from).0))
            };
            lines.push((*from, Tone::Strong, line));
        }
    }
    lines
}

fn span(nanos: u64) -> String {
    show::span(SimSpan(nanos))
}
