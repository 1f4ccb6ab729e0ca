//! How a measure goes over the time of a run: sums at equal steps, and the distribution in each of a few parts.

use super::Histogram;

/// Equal steps of the measured time.
pub const STEPS: usize = 960;
/// Parts of the measured time whose distributions are told apart, where that is asked for.
pub const PARTS: usize = 60;

/// Values by the time at which what they are about began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    from: u64,
    /// Length of a step, ns; 0: nothing is followed.
    step: u64,
    points: Vec<Sum>,
    parts: Vec<Histogram>,
}

/// Some values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// What they add up to.
    pub sum: u128,
}

/// A stretch of time, ends included.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    from: u64,
    beyond: u64,
}

impl Span {
    /// Whether a time lies in it.
    #[inline]
    #[must_use]
    pub fn holds(self, at: u64) -> bool {
        at.wrapping_sub(self.from) <= self.beyond
    }
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
    }

    /// Their mean; none without values.
    #[must_use]
    pub fn mean(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }
}

impl Course {
    /// Of the time between two times (ns), with the distributions in its parts or without.
    #[must_use]
    pub fn over(from: u64, to: u64, in_parts: bool) -> Self {
        Self {
            from,
            step: to.saturating_sub(from).div_ceil(STEPS as u64).max(1),
            points: vec![Sum::default(); STEPS],
            parts: vec![Histogram::default(); if in_parts { PARTS } else { 0 }],
        }
    }

    /// The step of a time, if it is followed.
    #[inline]
    #[must_use]
    pub fn step_of(&self, at: u64) -> Option<usize> {
        let step = usize::try_from(at.checked_sub(self.from)?.checked_div(self.step)?).ok()?;
        Some(step.min(STEPS - 1))
    }

    /// The step of a time, if it is followed, and all times that are in it.
    #[inline]
    #[must_use]
    pub fn step_around(&self, at: u64) -> Option<(usize, Span)> {
        let step = self.step_of(at)?;
        let from = self.from + self.step * step as u64;
        Some((step, Span { from, beyond: if step + 1 < STEPS { self.step - 1 } else { u64::MAX - from } }))
    }

    /// The distribution that values of a step belong to, where there are parts: it is the caller who counts in it.
    #[inline]
    pub fn part_of(&mut self, step: usize) -> Option<&mut Histogram> {
        self.parts.get_mut(step / (STEPS / PARTS))
    }

    /// Adds values of a step to its sum.
    #[inline]
    pub fn add(&mut self, step: usize, count: u64, sum: u128) {
        self.points[step].add(Sum { count, sum });
    }

    /// One value of what began at a time; in its part too, where there are parts.
    pub fn note(&mut self, at: u64, value: u64) {
        let Some(step) = self.step_of(at) else { return };
        self.add(step, 1, u128::from(value));
        if let Some(part) = self.part_of(step) {
            part.record(value);
        }
    }

    /// When it begins, ns.
    #[must_use]
    pub fn from(&self) -> u64 {
        self.from
    }

    /// Length of a step, ns; 0: nothing is followed.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The sums of so many steps at a time.
    #[must_use]
    pub fn sums(&self, steps: usize) -> Vec<Sum> {
        let all = |points: &[Sum]| {
            let mut all = Sum::default();
            points.iter().for_each(|point| all.add(*point));
            all
        };
        self.points.chunks(steps).map(all).collect()
    }

    /// The distribution in each part; nothing where they are not told apart.
    #[must_use]
    pub fn parts(&self) -> &[Histogram] {
        &self.parts
    }

    /// The distributions in so many parts at a time; nothing where they are not told apart.
    #[must_use]
    pub fn distributions(&self, parts: usize) -> Vec<Histogram> {
        let all = |parts: &[Histogram]| {
            let mut all = Histogram::default();
            parts.iter().for_each(|part| all.merge(part));
            all
        };
        self.parts.chunks(parts).map(all).collect()
    }

    /// Adds another run. The parts are those of one run only.
    pub fn merge(&mut self, other: &Self) {
        self.parts.clear();
        if self.step == 0 {
            *self = Self { points: other.points.clone(), parts: Vec::new(), ..*other };
        } else {
            self.points.iter_mut().zip(&other.points).for_each(|(mine, other)| mine.add(*other));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_the_step_and_part_of_their_time() {
        let mut course = Course::over(100, 100 + 2 * STEPS as u64, true);
        for (at, value) in [(99, 7), (100, 1), (101, 2), (102, 4), (100 + 2 * STEPS as u64 - 1, 8), (u64::MAX, 16)] {
            course.note(at, value);
            let around = course.step_around(at);
            assert_eq!(around.map(|(step, _)| step), course.step_of(at));
            assert!(around.is_none_or(|(_, span)| span.holds(at)));
        }
        let ends = |step: u64| [step * 2 + 99, step * 2 + 100, step * 2 + 101, step * 2 + 102];
        let (_, span) = course.step_around(107).expect("followed");
        assert_eq!(ends(3).map(|at| span.holds(at)), [false, true, true, false]);
        let sums = course.sums(1);
        assert_eq!((sums[0], sums[1]), (Sum { count: 2, sum: 3 }, Sum { count: 1, sum: 4 }));
        assert_eq!(sums[STEPS - 1], Sum { count: 2, sum: 24 }, "what is beyond the end belongs to the last step");
        assert_eq!((sums[0].mean(), sums[2].mean()), (Some(1.5), None));
        let parts = course.distributions(1);
        assert_eq!((parts.len(), parts[0].count(), parts[0].max(), parts[PARTS - 1].count()), (PARTS, 3, 4, 2));
        let pairs = course.distributions(2);
        assert_eq!((pairs.len(), course.sums(2 * STEPS / PARTS)[0].count), (PARTS / 2, pairs[0].count()));
    }

    #[test]
    fn runs_add_up_and_parts_are_of_one_run() {
        let of = |value| {
            let mut course = Course::over(0, 1_000_000, true);
            course.note(500_000, value);
            course
        };
        let mut all = Course::default();
        all.note(3, 4);
        assert_eq!(all.sums(STEPS).len(), 0, "nothing is followed");
        all.merge(&of(10));
        assert_eq!(all.sums(STEPS)[0], Sum { count: 1, sum: 10 }, "nothing and a run are that run");
        let mut all = of(10);
        all.merge(&of(30));
        assert_eq!(all.sums(STEPS)[0], Sum { count: 2, sum: 40 });
        assert!(all.distributions(1).is_empty());
    }
}
