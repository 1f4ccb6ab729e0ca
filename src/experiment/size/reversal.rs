//! Whether more of something was worse: then a design that fails says nothing about smaller ones.

use crate::plan::Comparison;
use crate::summary::{Finding, Judged, Verdict};

/// Values that differ by less than this part are as good as the same.
const SAME: f64 = 0.01;

/// The objective that the larger of two designs does not meet and is further from than the smaller one, if there is one.
///
/// Only what is not met counts: that a latency which is low enough is a little higher with more members rules out nothing. And
/// a loss in one run of the larger design and in none of the smaller may be chance: counts have to differ as other figures do.
#[must_use]
pub(super) fn reversal(less: &Finding, more: &Finding) -> Option<usize> {
    less.judged.iter().zip(&more.judged).position(|(less, more)| is_worse(less, more))
}

fn is_worse(less: &Judged, more: &Judged) -> bool {
    match (less.verdict, more.verdict) {
        (_, Verdict::Holds) => false,
        (Verdict::Holds, Verdict::Fails) if !matches!(more.op, Comparison::Equal | Comparison::NotEqual) => true,
        _ => is_further(less, more),
    }
}

/// Whether a value is worse by more than both intervals, and by more than nothing.
fn is_further(less: &Judged, more: &Judged) -> bool {
    let (Some(a), Some(b)) = (less.interval, more.interval) else { return false };
    let apart = |low: f64, high: f64| low > high && low - high > SAME * low.abs().max(high.abs());
    match more.op {
        Comparison::Less | Comparison::AtMost => apart(b.0, a.1),
        Comparison::Greater | Comparison::AtLeast => apart(a.0, b.1),
        // As a rule that of a count with 0, from which one is further with more.
        Comparison::Equal => apart(b.0, a.1),
        Comparison::NotEqual => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::judged;
    use super::*;
    use Comparison::{Greater, Less};
    use Verdict::{Fails, Holds, Undecided};

    #[test]
    fn one_loss_more_may_be_chance() {
        let of = |verdict, low, high| Judged {
            op: Comparison::Equal,
            limit: 0.0,
            interval: Some((low, high)),
            ..judged(verdict)
        };
        assert!(!is_worse(&of(Holds, 0.0, 0.0), &of(Fails, -0.3, 0.7)));
        assert!(is_worse(&of(Holds, 0.0, 0.0), &of(Fails, 2.0, 3.0)));
    }

    #[test]
    fn worse_is_what_is_further_from_its_limit_by_more_than_chance() {
        let of = |verdict, low, high| Judged { interval: Some((low, high)), ..judged(verdict) };
        for (less, more, low_is_good, high_is_good) in [
            (of(Holds, 1.0, 1.1), of(Fails, 3.0, 3.1), true, true),
            (of(Fails, 3.0, 3.1), of(Holds, 9.0, 9.1), false, false),
            (of(Fails, 3.0, 3.1), of(Fails, 4.0, 4.1), true, false),
            (of(Fails, 3.0, 3.1), of(Fails, 2.0, 2.1), false, true),
            (of(Fails, 3.0, 3.1), of(Fails, 3.05, 3.2), false, false),
            (of(Fails, 3.000, 3.001), of(Fails, 3.002, 3.003), false, false),
            (of(Undecided, 1.9, 2.1), of(Undecided, 2.2, 2.3), true, false),
            (judged(Fails), judged(Fails), false, false),
            (judged(Undecided), judged(Fails), false, false),
        ] {
            for (op, expected) in [(Less, low_is_good), (Greater, high_is_good)] {
                let with = |judged: &Judged| Judged { op, ..judged.clone() };
                assert_eq!(is_worse(&with(&less), &with(&more)), expected, "{less:?} {more:?} {op:?}");
            }
        }
    }
}
