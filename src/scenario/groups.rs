//! Groups of consumers: how their members are known and share out partitions.

use super::buses::Bus;
use super::diagnostics::Diagnostic;
use super::reader::Reader;
use super::settings::{Overrides, Values};
use crate::plan::{Assignor, ConsumerPlan, Dispatch, GroupPlan, Membership, Protocol, RetryMode, Step};
use crate::profile::Scope;
use crate::time::SimSpan;
use crate::units;

/// Values of a bus that concern the groups on it.
const OF_THE_BUS: [&str; 4] = ["assignment_interval", "bus_heartbeat", "bus_session_timeout", "initial_delay"];

/// What the settings of a consumer change, with what those of its bus say about groups.
pub(super) fn with_bus(over: Overrides, bus: &Bus) -> Overrides {
    with(over, bus, &OF_THE_BUS)
}

/// As they are, with these values of the bus itself.
pub(super) fn with(mut over: Overrides, bus: &Bus, names: &[&'static str]) -> Overrides {
    for name in names.iter().copied() {
        if let Some(given) = bus.given(name) {
            over.insert(name, given.clone());
        }
    }
    over
}

/// How members are known, lost and replaced with these values.
pub(super) fn membership(values: &Values<'_>) -> Membership {
    let (protocol, assignor) = match values.word("membership") {
        "barrier" => barrier(values.words("assignors")),
        "incremental" if values.word("bus_assignor") == "range" => (Protocol::Incremental, Assignor::Range),
        "incremental" => (Protocol::Incremental, Assignor::Sticky),
        _ => return Membership::Immediate,
    };
    let [session_timeout, heartbeat] = match protocol {
        Protocol::Incremental => ["bus_session_timeout", "bus_heartbeat"],
        Protocol::Eager | Protocol::Cooperative => ["session_timeout", "heartbeat"],
    };
    Membership::Group(GroupPlan {
        protocol,
        assignor,
        fixed: values.flag("fixed_members"),
        session_timeout: values.span(session_timeout),
        heartbeat: values.span(heartbeat),
        rebalance_timeout: values.span("progress_timeout"),
        join: values.dist("join"),
        initial_delay: values.span("initial_delay"),
        initial_delay_grows: values.flag("initial_delay_grows"),
        assignment_interval: values.span("assignment_interval"),
    })
}

/// A group runs the first assignor of its members' list, and works on during a rebalance only if all of them can.
fn barrier(assignors: &[&str]) -> (Protocol, Assignor) {
    let cooperative = !assignors.is_empty() && assignors.iter().all(|assignor| *assignor == "cooperative");
    let protocol = if cooperative { Protocol::Cooperative } else { Protocol::Eager };
    let assignor = match assignors.first() {
        Some(&("sticky" | "cooperative")) => Assignor::Sticky,
        Some(&"turn") => Assignor::Turn,
        _ => Assignor::Range,
    };
    (protocol, assignor)
}

/// What a client refuses beside the protocol that it is told to use.
fn of_the_other_protocol(reader: &mut Reader, values: &Values<'_>) {
    let incremental = values.word("membership") == "incremental";
    let refused: &[&str] = if incremental { &["heartbeat", "session_timeout", "assignors"] } else { &["bus_assignor"] };
    let official = |scope, neutral| values.profile.official(scope, neutral).to_owned();
    for name in refused {
        let Some(place) = values.place(name) else { continue };
        let protocol = official(Scope::Consumer, "membership");
        let help = match *name {
            "heartbeat" => format!("set `{}` of the bus", official(Scope::Bus, "bus_heartbeat")),
            "session_timeout" => format!("set `{}` of the bus", official(Scope::Bus, "bus_session_timeout")),
            "assignors" => format!("set `{}`", official(Scope::Consumer, "bus_assignor")),
            _ => format!("set `{}`", official(Scope::Consumer, "assignors")),
        };
        let message = format!("`{}` is for the other `{protocol}`", official(Scope::Consumer, name));
        reader.error(Diagnostic::at(place, message).label("the client refuses this").help(help));
    }
}

/// Notes what keeps a member from polling for longer than it may: it is thrown out of its group, and what it has in hand is
/// handed out again.
pub(super) fn note_slow_polls(reader: &mut Reader, plan: &ConsumerPlan, values: &Values<'_>) {
    let (Dispatch::Log(dispatch), Some(group)) = (&plan.dispatch, plan.membership.group()) else { return };
    let limit = group.rebalance_timeout;
    let official = |neutral| values.profile.official(Scope::Consumer, neutral).to_owned();
    let (most, allowed) = (official("max_poll_records"), official("progress_timeout"));
    let work = plan.handler.steps.iter().map(|step| match step {
        Step::Work(time) | Step::Wait(time) => time.mean() / 1e9,
        _ => 0.0,
    });
    let per_poll = f64::from(dispatch.max_poll_records) / f64::from(plan.workers);
    let full = work.sum::<f64>() * per_poll;
    let thrown_out = "its member is thrown out of the group, and all of it is handed out again";
    if plan.batch.is_none() && full > limit.seconds() {
        reader.notes.push(format!(
            "consumers.{}: a full poll of {} records ({most}) takes {} on average, longer than {} ({allowed}): whenever so many wait, \
             {thrown_out}; lower {most}",
            plan.name,
            dispatch.max_poll_records,
            units::show_seconds(full),
            units::write_duration(limit),
        ));
    }
    let longest = plan.retry.longest_wait().filter(|wait| *wait > limit && plan.retry.mode == RetryMode::Blocking);
    if let Some(longest) = longest {
        reader.notes.push(format!(
            "consumers.{}: an event that fails holds its member for {} between two attempts, longer than {} ({allowed}): {thrown_out}; \
             use `mode: retry_topic`, or shorter waits",
            plan.name,
            units::write_duration(longest),
            units::write_duration(limit),
        ));
    }
}

/// Settings of a group that its own client or coordinator would refuse.
pub(super) fn check(reader: &mut Reader, values: &Values<'_>) {
    let official = |neutral| values.profile.official(Scope::Consumer, neutral).to_owned();
    for (heartbeat, session, scope, who) in [
        ("heartbeat", "session_timeout", Scope::Consumer, "the client refuses this"),
        ("bus_heartbeat", "bus_session_timeout", Scope::Bus, "the broker refuses this"),
    ] {
        let given = [heartbeat, session].iter().find_map(|name| values.place(name));
        if let Some(place) = given.filter(|_| values.span(heartbeat) >= values.span(session)) {
            let [heartbeat, session] = [heartbeat, session].map(|name| values.profile.official(scope, name));
            let message = format!("`{heartbeat}` must be less than `{session}`");
            reader.error(Diagnostic::at(place, message).label(who).help("a third of it is usual"));
        }
    }
    of_the_other_protocol(reader, values);
    for name in [
        "max_poll_records",
        "max_fetch_bytes",
        "session_timeout",
        "heartbeat",
        "progress_timeout",
        "auto_settle_every",
        "request_timeout",
        "connection_timeout",
        "reconnect",
    ] {
        let zero = values.has(name) && values.count(name) == 0 && values.span(name) == SimSpan::ZERO;
        if let Some(place) = values.place(name).filter(|_| zero) {
            reader.error(Diagnostic::at(place, format!("`{}` must be above zero", official(name))));
        }
    }
}
