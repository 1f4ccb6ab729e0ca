//! The smallest design that meets its objectives: which designs are tried, and what the answer rests on.
//!
//! More of a thing that does work (members, workers, ...) is taken to be no worse, so that a design which fails rules out all
//! smaller ones. What was simulated may speak against that: then the order of that knob is given up, and what it had ruled
//! out is tried after all. Every design has the same seeds, so that neighbours differ by what they are and not by chance.

mod decide;
mod lattice;
mod reversal;

use std::collections::BTreeMap;

pub use decide::{decide, is_close, level, looks};

use self::lattice::Lattice;
use self::reversal::reversal;
use crate::summary::{Finding, Knob, Order, Probe, Reversal, Step, Verdict};

/// Last parts of the paths of what does work: more of it is taken to be no worse. Partitions are not among them: what does
/// not divide evenly by the members leaves some of them with more than others.
const WORKERS: [&str; 4] = ["members", "workers", "instances", "brokers"];

/// Most designs of a search: more would not fit into memory.
pub const MOST_DESIGNS: usize = 10_000_000;

/// Whether more of what stands at a path is taken to be no worse.
#[must_use]
pub fn order_of(path: &str) -> Order {
    let last = path.rsplit('.').next().unwrap_or(path);
    if WORKERS.contains(&last) { Order::Assumed } else { Order::Unknown }
}

/// Who simulates designs.
pub trait Judge {
    /// Why there is no finding.
    type Error;

    /// Simulates the design with these values of the knobs.
    ///
    /// # Errors
    /// There is no finding: the search ends.
    fn judge(&mut self, at: &[usize]) -> Result<Finding, Self::Error>;

    /// Whether to go on, with so many designs at most.
    ///
    /// # Errors
    /// No: the search ends.
    fn go_on(&mut self, most: usize) -> Result<(), Self::Error>;
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The designs that were simulated, by rank.
    pub probes: Vec<Probe>,
    /// The smallest design that meets every objective.
    pub answer: Option<usize>,
    /// Where there is none: the design that came closest.
    pub closest: Option<usize>,
    /// Designs with less of one knob than the answer.
    pub smaller: Vec<Step>,
    /// The designs that rule out all that are smaller than the answer.
    pub rests_on: Vec<usize>,
    /// Where more of a knob was worse.
    pub reversals: Vec<Reversal>,
    /// What is known of each knob now.
    pub orders: Vec<Order>,
}

/// Searches for the smallest design.
///
/// # Errors
/// Those of the judge.
pub fn smallest<J: Judge>(knobs: &[Knob], judge: &mut J) -> Result<Found, J::Error> {
    let lattice = Lattice::new(knobs);
    let mut search = Search { knobs, lattice, probes: BTreeMap::new(), reversals: Vec::new() };
    while let Some(design) = search.lattice.next().or_else(|| search.unseen()) {
        let at = search.lattice.at(design);
        let found = judge.judge(&at)?;
        search.note(design, at, found);
        judge.go_on(search.lattice.most())?;
    }
    Ok(search.finish())
}

/// A search under way.
struct Search<'k> {
    knobs: &'k [Knob],
    lattice: Lattice,
    /// The designs that were simulated.
    probes: BTreeMap<usize, Probe>,
    /// Smaller design, larger design, objective.
    reversals: Vec<(usize, usize, usize)>,
}

impl Search<'_> {
    /// Notes a finding, and gives up the order of knobs that it speaks against.
    fn note(&mut self, design: usize, at: Vec<usize>, found: Finding) {
        let cost = self.lattice.cost(design);
        self.lattice.note(design, found.holds());
        self.probes.insert(design, Probe { at, cost, found });
        let designs: Vec<usize> = self.probes.keys().copied().filter(|other| *other != design).collect();
        for other in designs {
            for (less, more) in [(design, other), (other, design)] {
                // Each pair again: an order may have been given up meanwhile.
                if self.lattice.is_below(less, more)
                    && let Some(objective) = reversal(&self.probes[&less].found, &self.probes[&more].found)
                {
                    self.give_up(less, more, objective);
                }
            }
        }
    }

    /// Gives up the order of the knobs in which two designs differ.
    fn give_up(&mut self, less: usize, more: usize, objective: usize) {
        self.reversals.push((less, more, objective));
        let differs = |knob: &usize| self.probes[&less].at[*knob] != self.probes[&more].at[*knob];
        for knob in (0..self.knobs.len()).filter(differs).collect::<Vec<_>>() {
            self.lattice.loosen(knob);
        }
    }

    /// Where the answer is known, a design that shows what it rests on, and is not known yet.
    ///
    /// With one step less of each knob, further down as long as that is undecided; where nothing holds, the least and the
    /// most of everything, for with more everything might get worse.
    fn unseen(&self) -> Option<usize> {
        match self.lattice.best() {
            Some(answer) => (0..self.knobs.len()).find_map(|knob| self.way_down(answer, knob).1),
            None => self.lattice.corners().into_iter().find(|corner| !self.probes.contains_key(corner)),
        }
    }

    /// Designs with less and less of a knob, down to one that fails; and the next one where it is not known yet.
    fn way_down(&self, answer: usize, knob: usize) -> (Vec<usize>, Option<usize>) {
        let mut way = Vec::new();
        let mut design = answer;
        while let Some(less) = self.lattice.less(design, knob) {
            let Some(probe) = self.probes.get(&less) else { return (way, Some(less)) };
            way.push(less);
            if probe.found.verdict() != Verdict::Undecided {
                break;
            }
            design = less;
        }
        (way, None)
    }

    /// All designs with less of one knob than the answer that were looked at for its sake.
    fn smaller(&self, answer: usize) -> Vec<(usize, usize)> {
        let steps = |knob: usize| self.way_down(answer, knob).0.into_iter().map(move |design| (knob, design));
        (0..self.knobs.len()).flat_map(steps).collect()
    }

    /// Of some designs that do not hold, those that are not ruled out by another one.
    fn frontier(&self, designs: &[usize]) -> Vec<usize> {
        let above = |design: usize| designs.iter().any(|o| *o != design && self.lattice.is_below(design, *o));
        designs.iter().copied().filter(|design| !above(*design)).collect()
    }

    fn order(&self, knob: usize) -> Order {
        match self.knobs[knob].order {
            Order::Assumed if !self.lattice.is_ordered(knob) => Order::Refuted,
            order => order,
        }
    }

    fn finish(self) -> Found {
        let ranked = self.lattice.tried();
        let index = |design: usize| ranked.iter().position(|tried| *tried == design).expect("it was tried");
        let answer = self.lattice.best().map(index);
        let smaller = answer.map_or_else(Vec::new, |answer| self.smaller(ranked[answer]));
        let cheaper = &ranked[..answer.unwrap_or(ranked.len())];
        let probes: Vec<Probe> = ranked.iter().map(|design| self.probes[design].clone()).collect();
        let reversals = self.reversals.iter();
        Found {
            answer,
            closest: if answer.is_none() { closest(&probes) } else { None },
            smaller: smaller.into_iter().map(|(knob, design)| Step { knob, probe: index(design) }).collect(),
            rests_on: self.frontier(cheaper).into_iter().map(index).collect(),
            reversals: reversals
                .map(|(less, more, objective)| Reversal {
                    less: index(*less),
                    more: index(*more),
                    objective: *objective,
                })
                .collect(),
            orders: (0..self.knobs.len()).map(|knob| self.order(knob)).collect(),
            probes,
        }
    }
}

/// The design that misses least: one that may yet hold rather than failing, then by the objective that it misses most, then by
/// cost.
fn closest(probes: &[Probe]) -> Option<usize> {
    let beyond = |judged: &crate::summary::Judged| {
        let outside = |(low, high): (f64, f64)| judged.limit < low || high < judged.limit;
        match judged.verdict {
            Verdict::Holds => false,
            Verdict::Fails => true,
            // What the end of a run left open, while all that is known of it lies on the wrong side.
            Verdict::Undecided => {
                judged.excess().is_some_and(|over| over > 0.0) && judged.interval.is_some_and(outside)
            }
        }
    };
    let missed = |probe: &Probe| {
        let open = probe.found.judged.iter().filter(|judged| judged.verdict != Verdict::Holds);
        open.map(|judged| judged.excess().unwrap_or(f64::INFINITY).max(0.0)).fold(0.0, f64::max)
    };
    let rank = |probe: &Probe| (probe.found.judged.iter().any(beyond), missed(probe));
    let ranked = probes.iter().map(rank).enumerate();
    ranked.min_by(|(_, a), (_, b)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))).map(|(index, _)| index)
}

#[cfg(test)]
pub(in crate::experiment) mod tests {
    use super::*;
    use crate::plan::Comparison;
    use crate::random::Stream;
    use crate::summary::Judged;

    /// A claim of `x < 2` with this verdict.
    pub(in crate::experiment) fn judged(verdict: Verdict) -> Judged {
        Judged {
            text: "x < 2s".into(),
            limit: 2.0,
            verdict,
            value: None,
            interval: None,
            needed: None,
            reason: None,
            unfinished: false,
            place: (1, 1),
            file: String::new(),
            path: vec!["x".into()],
            op: Comparison::Less,
            during: false,
        }
    }

    /// The finding that `x` lies between two values.
    fn between(low: f64, high: f64) -> Finding {
        let verdict = match (low < 2.0, high < 2.0) {
            (true, true) => Verdict::Holds,
            (false, false) => Verdict::Fails,
            _ => Verdict::Undecided,
        };
        let judged = Judged { value: Some((low + high) / 2.0), interval: Some((low, high)), ..judged(verdict) };
        Finding { replications: 5, judged: vec![judged], warnings: Vec::new() }
    }

    fn knob(path: &str, most: usize, cost: f64) -> Knob {
        let values = 1..=most;
        Knob {
            path: path.into(),
            values: values.clone().map(|value| value.to_string()).collect(),
            numbers: values.map(|value| value as f64).collect(),
            cost,
            order: order_of(path),
            present: None,
        }
    }

    /// Finds what a function says.
    struct Says<F> {
        says: F,
        seen: Vec<Vec<usize>>,
    }

    impl<F: FnMut(&[usize]) -> Finding> Judge for Says<F> {
        type Error = ();

        fn judge(&mut self, at: &[usize]) -> Result<Finding, ()> {
            assert!(!self.seen.contains(&at.to_vec()), "nothing is simulated twice");
            self.seen.push(at.to_vec());
            Ok((self.says)(at))
        }

        fn go_on(&mut self, _: usize) -> Result<(), ()> {
            Ok(())
        }
    }

    fn search(knobs: &[Knob], says: impl FnMut(&[usize]) -> Finding) -> Found {
        smallest(knobs, &mut Says { says, seen: Vec::new() }).expect("never fails")
    }

    fn answer(found: &Found) -> Option<&[usize]> {
        found.answer.map(|index| found.probes[index].at.as_slice())
    }

    #[test]
    fn what_the_answer_rests_on_is_simulated() {
        let knobs = [knob("a.members", 16, 3.0), knob("b.workers", 16, 1.0)];
        let found = search(&knobs, |at| {
            let x = 40.0 / ((at[0] + 1) * (at[1] + 1)) as f64;
            between(x * 0.99, x * 1.01)
        });
        // 21 of 40 and more: 3 a + b is least for 3 and 7.
        let of = |index: usize| found.probes[index].at.clone();
        assert_eq!(answer(&found), Some(&[2, 6][..]));
        assert_eq!(
            found.smaller.iter().map(|step| (step.knob, of(step.probe))).collect::<Vec<_>>(),
            [(0, vec![1, 6]), (1, vec![2, 5])]
        );
        assert!(found.rests_on.iter().all(|probe| found.probes[*probe].cost <= 16.0));
        assert_eq!((found.orders, found.reversals), (vec![Order::Assumed; 2], Vec::new()));
        assert!(found.probes.len() < 40, "{}", found.probes.len());
    }

    #[test]
    fn below_what_is_undecided_something_fails() {
        let found = search(&[knob("a.members", 32, 1.0)], |at| {
            let x = [9.0, 7.0, 5.0, 2.2, 2.0, 1.9, 1.0].get(at[0]).copied().unwrap_or(0.9);
            between(x - 0.15, x + 0.15)
        });
        assert_eq!(answer(&found), Some(&[6][..]));
        let way: Vec<_> = found.smaller.iter().map(|step| found.probes[step.probe].at[0]).collect();
        assert_eq!(way, [5, 4, 3]);
        assert_eq!(found.rests_on.iter().map(|p| found.probes[*p].at[0]).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn an_order_that_does_not_hold_is_given_up() {
        // Only 3 to 5 hold: more is worse again, and the first design that bisection tries is on the far side.
        let found = search(&[knob("a.members", 32, 1.0)], |at| {
            let x = (at[0] as f64 - 3.0).powi(2) + 0.5;
            between(x * 0.99, x * 1.01)
        });
        assert_eq!(answer(&found), Some(&[2][..]));
        assert_eq!(found.orders, [Order::Refuted]);
        let reversal = found.reversals[0];
        assert!(found.probes[reversal.less].at < found.probes[reversal.more].at);
        assert_eq!(found.smaller.len(), 1, "one step less");
    }

    #[test]
    fn what_nobody_meets_with_the_most_is_tried_with_the_least() {
        let violations = |at: &[usize]| {
            let mut found = between(3.0, 3.1);
            found.judged[0].interval = None;
            if at[0] == 0 {
                found.judged[0].verdict = Verdict::Holds;
            }
            found
        };
        let found = search(&[knob("a.members", 32, 1.0)], violations);
        assert_eq!((answer(&found), found.orders.as_slice()), (Some(&[0][..]), &[Order::Refuted][..]));
    }

    #[test]
    fn where_nothing_holds_the_closest_is_told() {
        let found = search(&[knob("a.members", 8, 1.0)], |at| {
            let x = 3.0 + 1.0 / (at[0] + 1) as f64;
            between(x - 0.01, x + 0.01)
        });
        assert_eq!((found.answer, found.closest), (None, Some(found.probes.len() - 1)));
        assert_eq!(found.orders, [Order::Assumed]);
        // Undecided is closer than failing.
        let found = search(&[knob("a.settings.prefetch", 8, 1.0)], |at| {
            if at[0] == 3 { between(1.0, 90.0) } else { between(2.0, 2.1) }
        });
        assert_eq!(found.closest.map(|index| found.probes[index].at[0]), Some(3));
        assert_eq!(found.orders, [Order::Unknown]);
        // But not where all that is known of it lies beyond the limit.
        let found = search(&[knob("a.settings.prefetch", 8, 1.0)], |at| {
            let mut found = if at[0] == 3 { between(7.0, 9.0) } else { between(2.0, 2.1) };
            if at[0] == 3 {
                found.judged[0].verdict = Verdict::Undecided;
            }
            found
        });
        assert_eq!(found.closest.map(|index| found.probes[index].at[0]), Some(0));
    }

    /// Figures that fall with more of anything, as wide as chance makes them: the answer is that of looking at all.
    #[test]
    fn with_chance_the_answer_is_that_of_looking_at_all() {
        let stream = Stream::named(3, "size");
        let mut undecided = 0;
        for case in 0..2_000_u64 {
            let draw = |n: u64, below: u64| usize::try_from(stream.part(case).bits(n) % below).expect("small");
            let knobs: Vec<Knob> = (0..1 + draw(0, 3) as u64)
                .map(|k| knob("a.members", 1 + draw(10 + k, 6), draw(20 + k, 4) as f64))
                .collect();
            let weight: Vec<f64> = (0..knobs.len() as u64).map(|k| 0.2 + draw(30 + k, 10) as f64 / 10.0).collect();
            let wide = draw(1, 5) as f64 / 20.0;
            let says = |at: &[usize]| {
                let done: f64 = at.iter().zip(&weight).map(|(at, weight)| weight * (*at + 1) as f64).sum();
                let x = 1.0 + 4.0 / done;
                between(x * (1.0 - wide), x * (1.0 + wide))
            };
            let found = search(&knobs, says);
            let lattice = Lattice::new(&knobs);
            let count: usize = knobs.iter().map(|knob| knob.values.len()).product();
            let holds = |design: &usize| says(&lattice.at(*design)).judged[0].verdict == Verdict::Holds;
            let all = (0..count).filter(holds).min_by(|a, b| lattice.cost(*a).total_cmp(&lattice.cost(*b)));
            assert_eq!(answer(&found).map(<[usize]>::to_vec), all.map(|design| lattice.at(design)), "case {case}");
            assert_eq!(found.orders, vec![Order::Assumed; knobs.len()]);
            undecided += found.probes.iter().filter(|probe| probe.found.verdict() == Verdict::Undecided).count();
        }
        assert!(undecided > 500, "{undecided}");
    }
}
