//! The autoscaler of a group: how many members it shall have, by what there is to do at each look.
//!
//! It decides as the Horizontal Pod Autoscaler of Kubernetes does, to which KEDA hands the lag of a group
//! (`kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale`, `keda.sh/docs/latest/reference/scaledobject-spec`,
//! `pkg/controller/podautoscaler` of Kubernetes):
//!
//! 1. *Recommend* as many as give each member its target, or as many as there are while what each has is close to that.
//! 2. *Stabilise*: up at once, down to the most that was recommended within the cooldown.
//! 3. *Limit*: up by four or to twice as many within 15 s, whichever is more; never out of `min` and `max`.
//!
//! What it changes is what operators change (`roster.rs`): a step costs what a planned one costs.

use std::collections::VecDeque;

use super::lag::MERGED;
use crate::outcome::{ScaleStep, ScalingOutcome};
use crate::plan::{AutoscalePlan, ScaleTarget};
use crate::time::SimTime;

/// The period of the limit upwards, ns (`behavior.scaleUp.policies` as they are by default: `periodSeconds: 15`).
const PERIOD: u64 = 15_000_000_000;
/// Up by so many within it, or to twice as many (`Pods: 4`, `Percent: 100`).
const PODS: u32 = 4;
/// A quotient that is this little above a whole number is that number.
const ROUNDING: f64 = 1e-9;
/// Steps that are kept.
const MOST_STEPS: usize = 1000;

/// What an autoscaler sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Seen {
    /// Records that are not settled.
    Lag(u64),
    /// Worker time spent, and worker time there was, both since the warm-up or before it since the start, ns; and members that
    /// are up.
    Work(u128, u128, u32),
}

/// Decides how many members a group shall have, and keeps account of how many it had.
#[derive(Clone, Debug)]
pub(super) struct Scaler {
    plan: AutoscalePlan,
    next: u64,
    end: u64,
    /// What was recommended within the cooldown, and when: of those, each that no later one exceeds.
    recommended: VecDeque<(u64, u32)>,
    /// Its steps within the period of the limit: when, and from how many to how many.
    recent: VecDeque<(u64, u32, u32)>,
    /// Worker time spent, and there, at the last look, ns; what of it was before the warm-up is in both.
    work: (u128, u128),
    warm: (u128, u128),
    /// The size, and since when it has not been accounted for.
    size: (u32, u64),
    samples: u64,
    out: ScalingOutcome,
}

impl Scaler {
    /// Of a group with so many members at the start.
    pub(super) fn new(plan: AutoscalePlan, members: u32, end: u64) -> Self {
        Self {
            next: plan.every.0.max(1),
            end,
            recommended: VecDeque::from([(0, members)]),
            recent: VecDeque::new(),
            work: (0, 0),
            warm: (0, 0),
            size: (members, 0),
            samples: 0,
            out: ScalingOutcome::default(),
            plan,
        }
    }

    /// When it looks next.
    pub(super) fn next(&self) -> u64 {
        if self.next >= self.end { u64::MAX } else { self.next }
    }

    /// What it is to look at.
    pub(super) fn target(&self) -> ScaleTarget {
        self.plan.target
    }

    /// How many members the group shall have.
    pub(super) fn size(&self) -> u32 {
        self.size.0
    }

    /// Looks: how many members the group shall have from now on.
    pub(super) fn look(&mut self, now: u64, seen: Seen) -> u32 {
        self.next = now.saturating_add(self.plan.every.0.max(1));
        let current = self.size.0;
        let wanted = self.decide(now, current, seen);
        if wanted != current {
            self.recent.push_back((now, current, wanted));
            *(if wanted > current { &mut self.out.up } else { &mut self.out.down }) += 1;
        }
        wanted
    }

    fn decide(&mut self, now: u64, current: u32, seen: Seen) -> u32 {
        let AutoscalePlan { min, max, .. } = self.plan;
        let recommended = self.recommend(current, seen);
        if current < min || current > max {
            // What operators have made of it is put right at once.
            return current.clamp(min, max);
        }
        let Some(recommended) = recommended else { return current };
        let wanted = self.stabilise(now, current, recommended.clamp(min, max));
        if wanted <= current { wanted } else { wanted.min(self.limit(now, current)).max(current) }
    }

    /// As many as give each member its target; none where there is nothing to go by.
    fn recommend(&mut self, current: u32, seen: Seen) -> Option<u32> {
        match (seen, self.plan.target) {
            // KEDA wakes a group of nobody with one member, and leaves the rest to the autoscaler.
            (Seen::Lag(lag), ScaleTarget::Lag(_)) if current == 0 => Some(u32::from(lag > 0)),
            (Seen::Lag(lag), ScaleTarget::Lag(each)) => {
                let ratio = lag as f64 / (each as f64 * f64::from(current));
                Some(if self.is_close(ratio) { current } else { saturated(lag.div_ceil(each)) })
            }
            (Seen::Work(busy, there, up), ScaleTarget::Utilisation(share)) => {
                let work = (busy + self.warm.0, there + self.warm.1);
                let before = std::mem::replace(&mut self.work, work);
                let (busy, there) = (work.0 - before.0, work.1 - before.1);
                let ratio = busy as f64 / there as f64 / share;
                (there > 0 && up > 0).then(|| self.by_utilisation(current, ratio, up.min(current)))
            }
            (Seen::Lag(_), ScaleTarget::Utilisation(_)) | (Seen::Work(..), ScaleTarget::Lag(_)) => None,
        }
    }

    /// Members that are not up are taken to do nothing where that makes for fewer new ones, and are left out otherwise.
    fn by_utilisation(&self, current: u32, ratio: f64, up: u32) -> u32 {
        let needed = ratio * f64::from(up);
        let ratio = if up < current && ratio > 1.0 { needed / f64::from(current) } else { ratio };
        if self.is_close(ratio) || (needed > f64::from(up)) != (ratio > 1.0) {
            return current;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and saturates")]
        let members = (needed - ROUNDING).ceil().max(0.0) as u32;
        members
    }

    fn is_close(&self, ratio: f64) -> bool {
        (1.0 - self.plan.tolerance..=1.0 + self.plan.tolerance).contains(&ratio)
    }

    /// Up to what is recommended now; down to the most that was recommended within the cooldown.
    fn stabilise(&mut self, now: u64, current: u32, recommended: u32) -> u32 {
        while self.recommended.back().is_some_and(|(_, earlier)| *earlier <= recommended) {
            self.recommended.pop_back();
        }
        self.recommended.push_back((now, recommended));
        while self.recommended.front().is_some_and(|(at, _)| now - at >= self.plan.cooldown.0 && *at < now) {
            self.recommended.pop_front();
        }
        let most = self.recommended.front().map_or(recommended, |(_, most)| *most);
        current.clamp(recommended, most)
    }

    /// The most that there may be, for what there was a period ago.
    fn limit(&mut self, now: u64, current: u32) -> u32 {
        if current == 0 {
            return 1;
        }
        while self.recent.front().is_some_and(|(at, ..)| now - at >= PERIOD) {
            self.recent.pop_front();
        }
        let added: i64 = self.recent.iter().map(|(_, from, to)| i64::from(*to) - i64::from(*from)).sum();
        let before = u32::try_from((i64::from(current) - added).max(0)).unwrap_or(u32::MAX);
        before.saturating_mul(2).max(before.saturating_add(PODS))
    }

    /// The group has another size from now on.
    pub(super) fn resized(&mut self, now: u64, size: u32) {
        if size == self.size.0 {
            return;
        }
        self.account(now);
        self.size.0 = size;
        if self.out.steps.len() < MOST_STEPS {
            self.out.steps.push(ScaleStep { at: SimTime(now), members: size });
        }
    }

    fn account(&mut self, now: u64) {
        let (size, since) = (self.size.0, std::mem::replace(&mut self.size.1, now));
        if now > since {
            *self.out.time_at.entry(size).or_default() += u128::from(now - since);
        }
    }

    /// Measurement begins, with so much work so far: what was before does not count.
    pub(super) fn warm(&mut self, now: u64, work: (u128, u128)) {
        self.warm = work;
        self.account(now);
        self.out.time_at.clear();
        (self.out.up, self.out.down) = (0, 0);
    }

    /// The lag is sampled, and the size with it.
    pub(super) fn sample(&mut self) {
        let size = u64::from(self.size.0);
        match self.out.members.last_mut() {
            Some(last) if !self.samples.is_multiple_of(MERGED) => *last = (*last).max(size),
            _ => self.out.members.push(size),
        }
        self.samples += 1;
    }

    /// What came of it by the end.
    pub(super) fn finish(&mut self, end: u64) -> ScalingOutcome {
        self.account(end);
        std::mem::take(&mut self.out)
    }
}

/// As many members, or the most that there can be.
fn saturated(members: u64) -> u32 {
    u32::try_from(members).unwrap_or(u32::MAX)
}
