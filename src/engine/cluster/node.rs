//! One node of a bus: when it is down, and when it stands still.

/// Intervals in order of time that do not overlap.
pub(super) type Spans = Vec<(u64, u64)>;

/// The interval that holds a time.
pub(super) fn span_of(spans: &Spans, time: u64) -> Option<(u64, u64)> {
    let begun = spans.partition_point(|(from, _)| *from <= time);
    let last = *spans[..begun].last()?;
    (time < last.1).then_some(last)
}

/// The first time from `time` on that lies in none of the intervals.
pub(super) fn after(spans: &Spans, mut time: u64) -> u64 {
    while let Some((_, to)) = span_of(spans, time).filter(|(_, to)| *to > time) {
        if to == u64::MAX {
            return to;
        }
        time = to;
    }
    time
}

/// When one node does not serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Node {
    /// From the end of its process until the next one is ready.
    pub(super) down: Spans,
    /// It stands still.
    pub(super) paused: Spans,
}

impl Node {
    /// When it does what reaches it at `time`; none: there is no process, or it ends before.
    pub(in crate::engine) fn serves(&self, time: u64) -> Option<u64> {
        // A pause ends with the process that stands still.
        let time = after(&self.paused, time);
        (time < u64::MAX && span_of(&self.down, time).is_none()).then_some(time)
    }

    /// When connections that were open at `from` are closed by the end of the process, if they are by `until`.
    pub(in crate::engine) fn closed(&self, from: u64, until: u64) -> Option<u64> {
        if let Some((since, _)) = span_of(&self.down, from) {
            return Some(since);
        }
        let later = self.down.partition_point(|(since, _)| *since <= from);
        self.down.get(later).map(|(since, _)| *since).filter(|since| *since <= until)
    }

    /// When it next stands still, or does at `time`: from and to.
    pub(in crate::engine) fn pause(&self, time: u64) -> Option<(u64, u64)> {
        let begun = self.paused.partition_point(|(_, to)| *to <= time);
        self.paused.get(begun).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_serves_when_it_is_up_and_moves() {
        let node = Node { down: vec![(10, 20), (40, u64::MAX)], paused: vec![(5, 7), (30, 40)] };
        let served: Vec<_> = [0, 5, 6, 7, 10, 19, 20, 30, 39, 40, 99].map(|time| node.serves(time)).into();
        let expected = [Some(0), Some(7), Some(7), Some(7), None, None, Some(20), None, None, None, None];
        assert_eq!(served, expected);
        assert_eq!(node.closed(0, 9), None);
        assert_eq!(node.closed(0, 10), Some(10));
        assert_eq!(node.closed(15, 15), Some(10));
        assert_eq!(node.closed(20, 100), Some(40));
        assert_eq!([0, 6, 7, 40].map(|time| node.pause(time)), [Some((5, 7)), Some((5, 7)), Some((30, 40)), None]);
    }

    #[test]
    fn after_all_that_touch() {
        let spans = vec![(1, 3), (3, 5), (8, u64::MAX)];
        assert_eq!([0, 1, 4, 5, 9].map(|time| after(&spans, time)), [0, 5, 5, 5, u64::MAX]);
    }
}
