//! Shapes of a lag over time: what grows to its end, and what was far behind and caught up.

/// Points of a series, from the first to the one after the last, and the largest value among them.
pub(super) type Stretch = (usize, usize, u64);

/// Stretches of a series of ages (ns) that are far above the usual ones, each from its first point to the one after its last,
/// with its largest; not one that lasts to the end. Far above is ten times the lower quartile, and `clearly` at least.
#[must_use]
pub(super) fn far_above(ages: &[u64], clearly: u64) -> Option<(u64, Vec<Stretch>)> {
    let mut sorted = ages.to_vec();
    sorted.sort_unstable();
    let limit = sorted.get(sorted.len() / 4)?.saturating_mul(10).max(clearly);
    let mut spans: Vec<Stretch> = Vec::new();
    for (point, age) in ages.iter().enumerate().filter(|(_, age)| **age > limit) {
        match spans.last_mut() {
            Some(last) if last.1 == point => (last.1, last.2) = (point + 1, last.2.max(*age)),
            _ => spans.push((point, point + 1, *age)),
        }
    }
    spans.retain(|span| span.1 < ages.len());
    (!spans.is_empty()).then_some((limit, spans))
}

/// If a series grows to its end: the last point at which it was still low, and the number of points since.
///
/// It grows when it ends near its largest value, does so by a steady rise and not by one jump to a plateau, and holds at
/// least so many records that chance is no explanation. Low is up to a fiftieth of the way from the least to the last value.
#[must_use]
pub(super) fn growth(series: &[f64]) -> Option<(usize, usize)> {
    const SOME_RECORDS: f64 = 20.0;
    const SOME_POINTS: usize = 8;
    let max = series.iter().copied().fold(0.0, f64::max);
    let end = series.get(series.len().checked_sub(3)?..)?.iter().copied().fold(f64::INFINITY, f64::min);
    // The first points fill an empty system: they would make any level look low.
    let settled = series.get(series.len() / 50..)?;
    let least = settled.iter().copied().fold(f64::INFINITY, f64::min);
    let low = least + (end - least) / 50.0;
    let last_low = series.iter().rposition(|v| *v <= low)?;
    let rise = &series[last_low + 1..];
    let (first, second) = rise.split_at(rise.len() / 2);
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let steady = rise.len() >= SOME_POINTS && mean(second) > 1.2 * mean(first);
    (end >= SOME_RECORDS && end >= 0.9 * max && steady).then_some((last_low, rise.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(value: impl Fn(u32) -> f64) -> Vec<f64> {
        (0..200).map(value).collect()
    }

    /// A repeatable noise between 0 and 1.
    fn noise(i: u32) -> f64 {
        crate::random::Stream::named(7, "noise").unit(u64::from(i))
    }

    #[test]
    fn a_ramp_grows_from_its_start() {
        let (since, points) = growth(&series(|i| f64::from(i) * 50.0 + noise(i) * 20.0)).expect("grows");
        assert!(since <= 12 && points >= 187, "{since}");
    }

    #[test]
    fn a_late_overload_grows_from_its_knee() {
        let late = |i: u32| 100.0 + 40.0 * noise(i) + f64::from(i.saturating_sub(120)) * 50.0;
        let (since, _) = growth(&series(late)).expect("grows");
        assert!((118..=126).contains(&since), "{since}");
    }

    #[test]
    fn what_stays_comes_back_or_jumps_does_not_grow() {
        assert_eq!(growth(&series(|i| 5.0 + 40.0 * noise(i))), None, "steady");
        assert_eq!(growth(&series(|_| 500.0)), None, "constant");
        assert_eq!(growth(&series(|i| if i == 0 { 0.0 } else { 500.0 })), None, "full after the first point");
        assert_eq!(
            growth(&series(|i| if i < 90 { 3.0 } else { 800.0 + 10.0 * noise(i) })),
            None,
            "a jump to a plateau"
        );
        assert_eq!(growth(&series(|i| if i < 100 { f64::from(i) } else { f64::from(200 - i) } * 30.0)), None, "drains");
        assert_eq!(growth(&series(|i| f64::from(i) * 0.05)), None, "a handful of records");
        assert_eq!(growth(&[]), None);
    }

    #[test]
    fn a_while_far_behind_is_told_from_the_usual_ups_and_downs() {
        const SECOND: u64 = 1_000_000_000;
        let ages = |at: &dyn Fn(u64) -> u64| (0..200).map(|i| at(i) * SECOND).collect::<Vec<_>>();
        let surge = ages(&|i| if (50..80).contains(&i) { 100 + i } else { 1 });
        assert_eq!(far_above(&surge, 60 * SECOND), Some((60 * SECOND, vec![(50, 80, 179 * SECOND)])));
        assert_eq!(far_above(&ages(&|i| if i >= 50 { 100 } else { 1 }), 60 * SECOND), None, "to the end");
        assert_eq!(far_above(&ages(&|i| 600 + 3_600 * (i % 7) / 7), 60 * SECOND), None, "a schedule");
        assert_eq!(far_above(&ages(&|i| i % 50), 60 * SECOND), None, "less than a minute");
        assert_eq!(far_above(&[], 60 * SECOND), None);
    }
}
