//! A backlog over time as straight lines from bend to bend: its largest value, its area, and when it is back.

/// The largest backlog between two times.
pub(super) fn most(course: &[(f64, f64)], from: f64, to: f64) -> f64 {
    let inside = course.iter().filter(|(at, _)| *at >= from && *at <= to).map(|(_, waiting)| *waiting);
    inside.chain([at(course, from), at(course, to)]).fold(0.0, f64::max)
}

/// The backlog at a time.
pub(super) fn at(course: &[(f64, f64)], time: f64) -> f64 {
    let after = course.partition_point(|(at, _)| *at < time);
    match (after.checked_sub(1).map(|before| course[before]), course.get(after).copied()) {
        (Some((from, low)), Some((to, high))) if to > from => low + (high - low) * (time - from) / (to - from),
        (_, Some((_, waiting))) | (Some((_, waiting)), None) => waiting,
        (None, None) => 0.0,
    }
}

/// The integral of the backlog between two times.
pub(super) fn area(course: &[(f64, f64)], from: f64, to: f64) -> f64 {
    let mut bends = vec![(from, at(course, from))];
    bends.extend(course.iter().copied().filter(|(time, _)| *time > from && *time < to));
    bends.push((to, at(course, to)));
    bends.windows(2).map(|pair| 0.5 * (pair[0].1 + pair[1].1) * (pair[1].0 - pair[0].0)).sum()
}

/// Since when the backlog has not been above `level`, at the first moment from `late` on at which it is not.
pub(super) fn back(course: &[(f64, f64)], late: f64, level: f64) -> Option<f64> {
    let mut since = None;
    for pair in course.windows(2) {
        let ((from, low), (to, high)) = (pair[0], pair[1]);
        let crossing = from + (to - from) * ((level - low) / (high - low)).clamp(0.0, 1.0);
        match (low <= level, high <= level) {
            (true, true) => since = since.or(Some(from)),
            (false, true) => since = Some(crossing),
            (true, false) => {
                let before = since.or(Some(from));
                if crossing > late {
                    return before;
                }
                since = None;
            }
            (false, false) => since = None,
        }
        if to >= late && since.is_some() && high <= level {
            return since;
        }
    }
    since
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "values that are exact")]

    use super::*;

    /// Up to 6 in 3 s, down to 0 in 2 s, and up again.
    const COURSE: [(f64, f64); 5] = [(0.0, 0.0), (3.0, 6.0), (5.0, 0.0), (7.0, 0.0), (9.0, 4.0)];

    #[test]
    fn values_and_areas() {
        assert_eq!([at(&COURSE, 1.5), at(&COURSE, 4.0), at(&COURSE, 6.0), at(&COURSE, 99.0)], [3.0, 3.0, 0.0, 4.0]);
        assert_eq!([most(&COURSE, 0.0, 9.0), most(&COURSE, 4.0, 8.0), most(&COURSE, 5.5, 6.5)], [6.0, 3.0, 0.0]);
        assert_eq!([area(&COURSE, 0.0, 9.0), area(&COURSE, 1.5, 3.0)], [9.0 + 6.0 + 4.0, 6.75]);
    }

    #[test]
    fn it_is_back_since_it_was_last_above() {
        assert_eq!(back(&COURSE, 3.0, 0.0), Some(5.0));
        assert_eq!(back(&COURSE, 3.0, 3.0), Some(4.0));
        assert_eq!(back(&COURSE, 6.0, 3.0), Some(4.0), "it was back before");
        assert_eq!(back(&COURSE, 8.0, 1.0), None);
    }
}
