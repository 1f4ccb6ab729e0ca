//! The designs that may still be the answer, and which of them tells most.
//!
//! Designs are ranked by cost; of equal cost, the one with less of the first knob (then of the second, ...) is the smaller.
//! A design that holds rules out all behind it. One that does not hold rules out those with no more of any knob, as far as
//! the knobs are *ordered*; of the others, those with the same value. The next design to try is the one that rules out
//! most whatever becomes of it: for one knob that is bisection, for several it walks along the border between what holds
//! and what does not, and without any order it tries one design after the other, the cheapest first.

use std::collections::BTreeMap;

use crate::experiment::measure::nine_decimals;
use crate::summary::{Knob, Order};

/// All designs, and what is known of them.
#[derive(Clone, Debug)]
pub(super) struct Lattice {
    axes: Vec<Axis>,
    /// The designs by rank.
    ranked: Vec<u32>,
    /// Whether each design may still be the answer.
    open: Vec<bool>,
    /// Whether those that were tried hold.
    tried: BTreeMap<usize, bool>,
}

/// A knob as a direction in which designs are numbered; the last one varies fastest.
#[derive(Clone, Debug)]
struct Axis {
    /// What each value costs.
    costs: Vec<f64>,
    /// Distance of two designs that differ by one step.
    stride: usize,
    /// Whether more is no worse.
    ordered: bool,
}

impl Axis {
    /// The index of a design's value.
    fn at(&self, design: usize) -> usize {
        design / self.stride % self.costs.len()
    }
}

impl Lattice {
    /// All designs of some knobs.
    pub(super) fn new(knobs: &[Knob]) -> Self {
        let lengths = || knobs.iter().map(|knob| knob.values.len());
        let axis = |(index, knob): (usize, &Knob)| Axis {
            costs: knob.numbers.iter().map(|number| knob.cost * number).collect(),
            stride: lengths().skip(index + 1).product(),
            ordered: knob.order == Order::Assumed,
        };
        let axes: Vec<Axis> = knobs.iter().enumerate().map(axis).collect();
        let count: usize = lengths().product();
        let mut lattice = Self { axes, ranked: Vec::new(), open: vec![true; count], tried: BTreeMap::new() };
        let costs: Vec<f64> = (0..count).map(|design| lattice.cost(design)).collect();
        let mut ranked: Vec<u32> = (0..u32::try_from(count).expect("designs are limited")).collect();
        // Of equal cost, the order of their numbers is that of the first knob: a stable sort keeps it.
        ranked.sort_by(|a, b| costs[*a as usize].total_cmp(&costs[*b as usize]));
        lattice.ranked = ranked;
        lattice
    }

    /// What a design costs, without the last digits of a sum of decimals.
    pub(super) fn cost(&self, design: usize) -> f64 {
        nine_decimals(self.axes.iter().map(|axis| axis.costs[axis.at(design)]).sum())
    }

    /// The index of a design's value of each knob.
    pub(super) fn at(&self, design: usize) -> Vec<usize> {
        self.axes.iter().map(|axis| axis.at(design)).collect()
    }

    /// The design with one step less of a knob.
    pub(super) fn less(&self, design: usize, knob: usize) -> Option<usize> {
        let axis = &self.axes[knob];
        (axis.at(design) > 0).then(|| design - axis.stride)
    }

    /// The least and the most of everything.
    pub(super) fn corners(&self) -> [usize; 2] {
        [0, self.open.len() - 1]
    }

    /// The designs that were tried, by rank.
    pub(super) fn tried(&self) -> Vec<usize> {
        let mut tried: Vec<usize> = self.tried.keys().copied().collect();
        tried.sort_by(|a, b| self.cost(*a).total_cmp(&self.cost(*b)));
        tried
    }

    /// The smallest design that holds, of those tried.
    pub(super) fn best(&self) -> Option<usize> {
        self.tried().into_iter().find(|design| self.tried[design])
    }

    /// Whether more of a knob is taken to be no worse.
    pub(super) fn is_ordered(&self, knob: usize) -> bool {
        self.axes[knob].ordered
    }

    /// Whether one design has no more of any knob, and as much of those without an order.
    pub(super) fn is_below(&self, less: usize, more: usize) -> bool {
        self.axes.iter().all(|axis| {
            let (less, more) = (axis.at(less), axis.at(more));
            less == more || (axis.ordered && less < more)
        })
    }

    /// Notes what became of a design.
    pub(super) fn note(&mut self, design: usize, holds: bool) {
        self.tried.insert(design, holds);
        self.close(design, holds);
    }

    /// From here on nothing is taken for granted about a knob.
    pub(super) fn loosen(&mut self, knob: usize) {
        self.axes[knob].ordered = false;
        self.open.fill(true);
        for (design, holds) in self.tried.clone() {
            self.close(design, holds);
        }
    }

    /// Closes what a design that was tried rules out.
    fn close(&mut self, tried: usize, holds: bool) {
        if holds {
            let behind = self.ranked.iter().skip_while(|design| **design as usize != tried);
            behind.for_each(|design| self.open[*design as usize] = false);
        } else {
            for design in 0..=tried {
                if self.open[design] && self.is_below(design, tried) {
                    self.open[design] = false;
                }
            }
        }
    }

    /// The next design to try; none where the answer is known.
    pub(super) fn next(&self) -> Option<usize> {
        let below = self.below();
        let mut left = self.left();
        let mut best: Option<(usize, usize)> = None;
        for design in self.ranked.iter().map(|design| *design as usize).filter(|design| self.open[*design]) {
            // It and all behind it go if it holds, it and all below it if it does not.
            let rules_out = left.min(below[design] as usize);
            if best.is_none_or(|(_, most)| rules_out > most) {
                best = Some((design, rules_out));
            }
            left -= 1;
        }
        best.map(|(design, _)| design)
    }

    /// Number of designs that may still be the answer.
    pub(super) fn left(&self) -> usize {
        self.open.iter().filter(|open| **open).count()
    }

    /// The most designs that are still to be tried: each chain along the longest ordered knob by bisection.
    pub(super) fn most(&self) -> usize {
        let ordered = self.axes.iter().filter(|axis| axis.ordered);
        let longest = ordered.map(|axis| axis.costs.len()).max().unwrap_or(1);
        let steps = longest.ilog2() as usize + 1;
        self.left().min(self.open.len() / longest * steps)
    }

    /// How many open designs are at or below each design: summed up along one ordered knob after the other.
    fn below(&self) -> Vec<u32> {
        let mut below: Vec<u32> = self.open.iter().map(|open| u32::from(*open)).collect();
        for axis in self.axes.iter().filter(|axis| axis.ordered) {
            for design in axis.stride..below.len() {
                if axis.at(design) > 0 {
                    below[design] += below[design - axis.stride];
                }
            }
        }
        below
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// Knobs with 1, 2, ... of each, and what one of it costs.
    pub(super) fn knobs(lengths: &[usize], costs: &[f64], order: Order) -> Vec<Knob> {
        let knob = |(index, (length, cost)): (usize, (&usize, &f64))| Knob {
            path: format!("knob-{index}"),
            values: (1..=*length).map(|value| value.to_string()).collect(),
            numbers: (1..=*length).map(|value| value as f64).collect(),
            cost: *cost,
            order,
            present: None,
        };
        lengths.iter().zip(costs).enumerate().map(knob).collect()
    }

    /// Searches where a design holds if `holds` says so: the answer, and the number of designs tried.
    fn search(knobs: &[Knob], holds: impl Fn(&[usize]) -> bool) -> (Option<Vec<usize>>, usize) {
        let mut lattice = Lattice::new(knobs);
        while let Some(design) = lattice.next() {
            assert!(!lattice.tried.contains_key(&design), "nothing is tried twice");
            let most = lattice.most();
            assert!(most > 0);
            lattice.note(design, holds(&lattice.at(design)));
        }
        (lattice.best().map(|best| lattice.at(best)), lattice.tried().len())
    }

    /// The answer by looking at all: the cheapest, of equal cost the one with less of the first knob.
    fn exhaustive(knobs: &[Knob], holds: impl Fn(&[usize]) -> bool) -> Option<Vec<usize>> {
        let mut all: Vec<Vec<usize>> = vec![Vec::new()];
        for knob in knobs {
            let more = |at: &Vec<usize>| (0..knob.values.len()).map(|i| [&at[..], &[i]].concat()).collect::<Vec<_>>();
            all = all.iter().flat_map(more).collect();
        }
        let cost = |at: &[usize]| {
            let sum: f64 = knobs.iter().zip(at).map(|(knob, at)| knob.cost * (*at + 1) as f64).sum();
            (sum * 1e6).round()
        };
        all.retain(|at| holds(at));
        all.into_iter().min_by(|a, b| cost(a).total_cmp(&cost(b)).then_with(|| a.cmp(b)))
    }

    #[test]
    fn one_ordered_knob_is_bisected() {
        let knobs = knobs(&[32], &[1.0], Order::Assumed);
        for enough in 0..=32 {
            let (answer, tried) = search(&knobs, |at| at[0] >= enough);
            assert_eq!(answer, (enough < 32).then(|| vec![enough]));
            assert!(tried <= 6, "{enough}: {tried} tried");
        }
    }

    #[test]
    fn without_an_order_the_cheapest_comes_first() {
        let knobs = knobs(&[8], &[1.0], Order::Unknown);
        let (answer, tried) = search(&knobs, |at| at[0] == 2 || at[0] > 5);
        assert_eq!((answer, tried), (Some(vec![2]), 3));
        assert_eq!(search(&knobs, |_| false), (None, 8));
    }

    #[test]
    fn of_equal_cost_the_one_with_less_of_the_first_knob() {
        let holds = |at: &[usize]| at[0] + at[1] >= 3;
        let (answer, _) = search(&knobs(&[5, 5], &[1.0, 1.0], Order::Assumed), holds);
        assert_eq!(answer, Some(vec![0, 3]));
        let (answer, _) = search(&knobs(&[5, 5], &[1.0, 1.01], Order::Assumed), holds);
        assert_eq!(answer, Some(vec![3, 0]));
        // 3 x 0.1 and 0.3 are the same cost.
        let (answer, _) = search(&knobs(&[5, 5], &[0.3, 0.1], Order::Assumed), |at| at[0] >= 1 || at[1] >= 3);
        assert_eq!(answer, Some(vec![0, 3]));
    }

    /// Random sets that hold, closed upwards: whatever is at least one of a few designs.
    #[test]
    fn the_answer_is_that_of_looking_at_all() {
        let stream = Stream::named(7, "lattice");
        let mut spared = 0;
        for case in 0..3_000_u64 {
            let draw = |n: u64, below: u64| usize::try_from(stream.part(case).bits(n) % below).expect("small");
            let lengths: Vec<usize> = (0..1 + draw(0, 4) as u64).map(|knob| 1 + draw(10 + knob, 7)).collect();
            let costs: Vec<f64> = (0..lengths.len() as u64).map(|knob| draw(20 + knob, 5) as f64 / 2.0).collect();
            let corners: Vec<Vec<usize>> = (0..draw(1, 5) as u64)
                .map(|c| lengths.iter().zip(0..).map(|(l, k)| draw(100 + 10 * c + k, *l as u64 + 1)).collect())
                .collect();
            let holds =
                |at: &[usize]| corners.iter().any(|corner| at.iter().zip(corner).all(|(at, least)| at >= least));
            let knobs = knobs(&lengths, &costs, Order::Assumed);
            let (answer, tried) = search(&knobs, holds);
            assert_eq!(answer, exhaustive(&knobs, holds), "case {case}: {lengths:?} {costs:?} {corners:?}");
            let all: usize = lengths.iter().product();
            assert!(tried <= all);
            spared += all - tried;
        }
        assert!(spared > 100_000, "{spared} designs were not tried");
    }

    /// Any set, with some knobs of which nothing is known.
    #[test]
    fn without_order_nothing_is_missed() {
        let stream = Stream::named(8, "lattice");
        for case in 0..1_000_u64 {
            let draw = |n: u64, below: u64| usize::try_from(stream.part(case).bits(n) % below).expect("small");
            let lengths: Vec<usize> = (0..1 + draw(0, 3) as u64).map(|knob| 1 + draw(10 + knob, 5)).collect();
            let costs: Vec<f64> = lengths.iter().zip(20..).map(|(_, n)| draw(n, 4) as f64).collect();
            // The first knob has an order, the others none.
            let least: Vec<usize> = (0..125).map(|n| draw(1_000 + n, lengths[0] as u64 + 3)).collect();
            let holds = |at: &[usize]| at[0] >= least[at[1..].iter().fold(0, |sum, at| 5 * sum + at)];
            let mut knobs = knobs(&lengths, &costs, Order::Unknown);
            knobs[0].order = Order::Assumed;
            assert_eq!(search(&knobs, holds).0, exhaustive(&knobs, holds), "case {case}");
        }
    }

    #[test]
    fn an_order_that_is_lost_opens_what_it_had_closed() {
        let mut lattice = Lattice::new(&knobs(&[8], &[1.0], Order::Assumed));
        lattice.note(4, false);
        lattice.note(6, true);
        assert_eq!((lattice.left(), lattice.next()), (1, Some(5)));
        lattice.loosen(0);
        assert_eq!((lattice.left(), lattice.next(), lattice.most()), (5, Some(0), 5));
    }
}
