//! Faults as timelines: every time at which one strikes and ends is known before the run.

use super::setup::Setup;
use crate::dist::{About, Dist};
use crate::plan::{ConsumerId, Effect, FaultPlan, FaultTarget, Members, Plan};
use crate::random::Stream;
use crate::time::SimTime;

/// Most occurrences of one fault in one run.
const MOST_OCCURRENCES: u64 = 1_000_000;

/// One interval in which a fault acts, on one member or on all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Occurrence {
    /// Start, ns.
    pub(super) from: u64,
    /// End, ns; `u64::MAX`: not before the end of the run.
    pub(super) to: u64,
    /// The member, where it is one; any of those of a group whose size is not known before the run: a share of 2^32.
    pub(super) member: Option<u32>,
}

/// The sizes that a consumer shall have: from when on, and how many members.
pub(super) fn sizes(plan: &Plan, consumer: ConsumerId) -> Vec<(u64, u32)> {
    plan.sizes(consumer.0 as usize)
}

/// All occurrences of one fault before `end`, sorted by start.
pub(super) fn occurrences(plan: &Plan, fault: &FaultPlan, seed: u64) -> Vec<Occurrence> {
    let stream = Stream::named(seed, &fault.stream);
    let end = plan.duration.0;
    let sizes = match fault.target {
        FaultTarget::Consumer(id, _) => sizes(plan, id),
        FaultTarget::Service(id, _) => vec![(0, plan.services[id.0 as usize].instances)],
        FaultTarget::Broker(id, _) => vec![(0, plan.buses[id.0 as usize].brokers)],
        _ => Vec::new(),
    };
    let autoscaled = match fault.target {
        FaultTarget::Consumer(id, _) => plan.consumers[id.0 as usize].autoscale,
        _ => None,
    };
    let planned = |time: u64| sizes[sizes.partition_point(|(from, _)| *from <= time) - 1].1;
    // Of a group that is autoscaled, whoever is there when it strikes.
    let wanted = |time: u64| if autoscaled.is_some() { u32::MAX } else { planned(time) };
    let whom = match fault.target {
        FaultTarget::Consumer(_, whom) | FaultTarget::Service(_, whom) | FaultTarget::Broker(_, whom) => whom,
        _ => Members::All,
    };
    let mut found = match whom {
        Members::Each => {
            let most = sizes.iter().map(|(_, size)| *size).chain(autoscaled.map(|it| it.max)).max().unwrap_or(0);
            let own = |member| series(fault, stream.part(u64::from(member)), end, |_, _| Some(member));
            (0..most).flat_map(|member| own(member).into_iter().filter(move |o| member < wanted(o.from))).collect()
        }
        Members::One(member) => series(fault, stream, end, |_, _| Some(member)),
        Members::Any => series(fault, stream, end, |n, from| {
            let draw = u128::from(stream.part(1 << 40).bits(n)) * u128::from(wanted(from));
            Some(u32::try_from(draw >> 64).expect("below members"))
        }),
        Members::All => series(fault, stream, end, |_, _| None),
    };
    found.sort_by_key(|o| (o.from, o.member));
    found
}

/// When so many times as much arrives at a target that `ours` selects: from, to, factor; sorted.
pub(super) fn bursts(plan: &Plan, seed: u64, ours: impl Fn(FaultTarget) -> bool) -> Vec<(SimTime, SimTime, f64)> {
    let mut bursts = Vec::new();
    for fault in plan.faults.iter().filter(|fault| ours(fault.target)) {
        if let Effect::Burst(factor) = fault.effect {
            bursts.extend(occurrences(plan, fault, seed).iter().map(|o| (SimTime(o.from), SimTime(o.to), factor)));
        }
    }
    bursts.sort_by_key(|burst| (burst.0, burst.1));
    bursts
}

/// What strikes whom: `whom` by number and start.
fn series(fault: &FaultPlan, stream: Stream, end: u64, whom: impl Fn(u64, u64) -> Option<u32>) -> Vec<Occurrence> {
    let draw = |dist: &Dist, purpose: u64, n: u64| dist.whole(&mut stream.part(purpose).at(n), About::default());
    let mut from = draw(&fault.at, 0, 0);
    let mut found = Vec::new();
    for n in 0..MOST_OCCURRENCES {
        if from >= end {
            break;
        }
        let to = fault.lasts.as_ref().map_or(u64::MAX, |lasts| from.saturating_add(draw(lasts, 1, n)));
        found.push(Occurrence { from, to, member: whom(n, from) });
        let Some(every) = &fault.every else { break };
        from = from.saturating_add(draw(every, 2, n).max(1));
    }
    found
}

/// What a request meets on a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// It never arrives.
    pub(super) dropped: bool,
    /// It arrives twice.
    pub(super) duplicated: bool,
    /// It takes effect, but its answer is lost.
    pub(super) response_lost: bool,
    /// It and its answer take so much longer, one way, ns.
    pub(super) delay: u64,
}

/// The faults of one link.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    faults: Vec<LinkFault>,
}

/// One fault of a link.
#[derive(Clone, Debug)]
struct LinkFault {
    /// When it acts, from and to, in order; occurrences that overlap are one.
    spans: Vec<(u64, u64)>,
    effect: Effect,
    /// Number of its draws.
    number: u64,
}

impl LinkFault {
    fn acts(&self, now: u64) -> bool {
        let begun = self.spans.partition_point(|(from, _)| *from <= now);
        begun > 0 && now < self.spans[begun - 1].1
    }
}

/// When the processes of a service, or the relay of an outbox, are ready again that a crash ended: after its n-th occurrence,
/// which is over at `to`.
pub(super) fn restart(plan: &Plan, setup: &Setup, fault: usize, (n, to): (usize, u64)) -> u64 {
    let startup = match plan.faults[fault].target {
        FaultTarget::Service(id, _) => {
            let service = &plan.services[id.0 as usize];
            Some((&service.startup, format!("{}/startup", service.name)))
        }
        FaultTarget::Relay(party) => {
            let name = format!("{}/outbox/startup", plan.party_name(party));
            plan.outbox_of(party).map(|outbox| (&outbox.startup, name))
        }
        _ => None,
    };
    let takes = startup.map_or(0, |(startup, name)| {
        let stream = Stream::named(setup.seed, &name).part(fault as u64);
        startup.whole(&mut stream.at(n as u64), About::default())
    });
    to.saturating_add(setup.rounding.up(takes))
}

/// Intervals sorted by their start, those that overlap made one.
pub(super) fn united(intervals: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for (from, to) in intervals {
        match spans.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => spans.push((from, to)),
        }
    }
    spans
}

impl Link {
    /// The faults of a plan at targets that `of` selects.
    pub(super) fn of(plan: &Plan, seed: u64, of: impl Fn(FaultTarget) -> bool) -> Self {
        // What cannot do anything must change nothing, not even how a group is simulated.
        let faults = plan.faults.iter().filter(|fault| of(fault.target) && fault.effect.may_act());
        let faults = faults.map(|fault| LinkFault {
            spans: united(occurrences(plan, fault, seed).iter().map(|o| (o.from, o.to))),
            effect: fault.effect.clone(),
            number: crate::random::fnv1a(fault.stream.as_bytes()),
        });
        // A fault that never strikes is none.
        Self { faults: faults.filter(|fault| !fault.spans.is_empty()).collect() }
    }

    /// Whether no fault ever touches the link.
    pub(super) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// Whether nothing gets through.
    pub(super) fn is_cut(&self, now: u64) -> bool {
        self.faults.iter().any(|fault| fault.effect == Effect::Partition && fault.acts(now))
    }

    /// What the request `id`, sent at `now`, meets.
    pub(super) fn verdict(&self, stream: Stream, id: u64, now: u64) -> Verdict {
        let mut verdict = Verdict::default();
        for LinkFault { effect, number, .. } in self.faults.iter().filter(|fault| fault.acts(now)) {
            let unit = || stream.part(*number).unit(id);
            match effect {
                Effect::Drop(p) => verdict.dropped |= unit() < *p,
                Effect::Duplicate(p) => verdict.duplicated |= unit() < *p,
                Effect::Partition => verdict.dropped = true,
                Effect::LostResponse(p) => verdict.response_lost |= unit() < *p,
                Effect::Delay(dist) => verdict.delay += dist.whole(&mut stream.part(*number).at(id), About::default()),
                _ => {}
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::{LinkFault, united};
    use crate::plan::Effect;

    #[test]
    fn a_fault_acts_inside_its_occurrences() {
        let occurrences = [(2, 5), (4, 4), (4, 6), (6, 7), (9, 10), (10, 10), (12, u64::MAX)];
        let fault = LinkFault { spans: united(occurrences.into_iter()), effect: Effect::Drop(1.0), number: 0 };
        for now in 0..20 {
            assert_eq!(fault.acts(now), occurrences.iter().any(|(from, to)| (*from..*to).contains(&now)), "{now}");
        }
        assert_eq!(fault.spans, [(2, 7), (9, 10), (12, u64::MAX)]);
    }
}
