//! The stored records of one topic, by partition, shared by all groups that read it.

use super::lineage::Lineage;
use super::stable::Stable;
use crate::outcome::LossCause;

/// No key.
pub(super) use crate::dist::NO_KEY;

/// Marks an event of which the log holds, or will hold, more than one copy.
const COPIED: u32 = 1 << 31;

/// One stored record: what every reader needs, in 24 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// When subscriptions may see it, ns. Never decreases within a partition.
    pub(super) visible: u64,
    /// Intended creation, ns.
    pub(super) created: u64,
    /// Key id, or [`NO_KEY`].
    pub(super) key: u32,
    /// Which event it is; see [`EventCode`].
    pub(super) event: u32,
}

impl Record {
    /// Whether the log holds, or will hold, another copy of this event.
    pub(super) fn is_copied(&self) -> bool {
        self.event & COPIED != 0
    }
}

/// What only some topics need to know of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extra {
    /// First handed to the network, ns.
    pub(super) sent: u64,
    /// The journey that it belongs to.
    pub(super) lineage: Lineage,
    /// Event type.
    pub(super) event_type: u16,
}

/// How an event number holds publisher and sequence: `[copied: 1][publisher: bits][sequence: 31 - bits]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EventCode {
    sequence_bits: u32,
}

impl EventCode {
    /// For a topic with so many publishers.
    pub(super) fn new(publishers: usize) -> Self {
        Self { sequence_bits: crate::plan::sequence_bits(publishers) }
    }

    /// Most events that one publisher can number.
    pub(super) fn capacity(self) -> u64 {
        1 << self.sequence_bits
    }

    /// The number of a publisher's n-th event.
    #[inline]
    pub(super) fn event(self, publisher: u32, sequence: u32) -> u32 {
        (publisher << self.sequence_bits) | sequence
    }

    /// The event number, marked as copied.
    #[inline]
    pub(super) fn copied(event: u32) -> u32 {
        event | COPIED
    }

    /// The event number without the mark.
    #[inline]
    pub(super) fn plain(event: u32) -> u32 {
        event & !COPIED
    }

    /// The publisher's position among the topic's publishers.
    #[inline]
    pub(super) fn publisher(self, event: u32) -> usize {
        (Self::plain(event) >> self.sequence_bits) as usize
    }

    /// The event's number among those of its publisher.
    #[inline]
    pub(super) fn sequence(self, event: u32) -> u32 {
        event & ((1 << self.sequence_bits) - 1)
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its records count.
    Committed,
    /// They do not.
    Aborted,
    /// Nor does what of it may still come: whoever had begun it does not know.
    Fenced,
}

/// Records that are not there any more for who reads from a time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    from: u64,
    to: u64,
    at: u64,
    /// What took them.
    pub(super) cause: LossCause,
}

/// One ordered partition. Offsets are absolute; what all readers have passed is trimmed.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    base: u64,
    dead: usize,
    records: Vec<Record>,
    extras: Vec<Extra>,
    /// In order of offset, without overlap.
    holes: Vec<Hole>,
    /// What lies before an offset has been deleted, from a time on; both in order.
    starts: Vec<(u64, u64)>,
    /// What transactions hide, where there are any.
    stable: Option<Box<Stable>>,
}

impl Lane {
    /// One in which transactions write.
    pub(super) fn transactional() -> Self {
        Self { stable: Some(Box::default()), ..Self::default() }
    }

    /// When readers see the record at `offset`: of those who wait for transactions to be committed, `u64::MAX` as long as
    /// it is not known. None: it is not there yet.
    #[inline]
    pub(super) fn seen_at(&self, offset: u64, committed_only: bool) -> Option<u64> {
        let visible = self.get(offset)?.visible;
        match &self.stable {
            Some(stable) if committed_only => Some(stable.released(offset)),
            _ => Some(visible),
        }
    }

    /// As [`Lane::visible_end`], for readers who may wait for transactions to be committed.
    pub(super) fn seen_end(&self, from: u64, time: u64, committed_only: bool) -> u64 {
        match &self.stable {
            Some(stable) if committed_only => stable.end(from, time),
            _ => self.visible_end(from, time),
        }
    }

    /// Whether the transaction of the record at `offset` was aborted, as far as is known; none: it is not known.
    pub(super) fn aborted(&self, offset: u64) -> Option<bool> {
        self.stable.as_ref().map_or(Some(false), |stable| stable.aborted(offset))
    }

    /// Markers that have come so far.
    pub(super) fn marks(&self) -> u64 {
        self.stable.as_ref().map_or(0, |stable| stable.marks())
    }

    /// A transaction ends here with a marker that readers may see from `visible` on.
    pub(super) fn mark(&mut self, transaction: u32, end: End, visible: u64) {
        let visible = visible.max(self.last_visible());
        if let Some(stable) = &mut self.stable {
            stable.mark(transaction, end, visible, &self.records);
        }
    }

    /// Offset of the first record that is kept.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// Offset after the last record.
    #[inline]
    pub(super) fn end(&self) -> u64 {
        self.base + self.records.len() as u64
    }

    /// The records from `offset` on.
    #[inline]
    pub(super) fn from(&self, offset: u64) -> &[Record] {
        &self.records[self.index(offset)..]
    }

    /// The record at `offset`, if it is there already.
    #[inline]
    pub(super) fn get(&self, offset: u64) -> Option<&Record> {
        self.records.get(self.index(offset))
    }

    /// The record at `offset`, which must be there.
    #[inline]
    pub(super) fn at(&self, offset: u64) -> &Record {
        &self.records[self.index(offset)]
    }

    /// Offset of the first record at or after `from` that is not visible before `time`.
    pub(super) fn visible_end(&self, from: u64, time: u64) -> u64 {
        // Where the log has not run ahead, all of it is.
        if self.last_visible() < time {
            return self.end();
        }
        from + leading(self.from(from), |record| record.visible < time) as u64
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "offsets above the base are bounded by memory")]
    fn index(&self, offset: u64) -> usize {
        debug_assert!(offset >= self.base, "record {offset} was trimmed, base {}", self.base);
        (offset - self.base) as usize
    }

    /// Appends plain records.
    #[inline]
    pub(super) fn extend(&mut self, records: &[Record]) {
        match records {
            [one] => self.records.push(*one),
            many => self.records.extend_from_slice(many),
        }
    }

    /// Appends one record with its extra, in a transaction (0: in none).
    pub(super) fn push(&mut self, record: Record, extra: Extra, transaction: u32) {
        if let Some(stable) = &mut self.stable {
            stable.push(self.base + self.records.len() as u64, record.visible, transaction);
        }
        self.records.push(record);
        self.extras.push(extra);
    }

    /// The next record is lost from the log at a time.
    pub(super) fn lose(&mut self, at: u64, cause: LossCause) {
        let next = self.end();
        match self.holes.last_mut().filter(|hole| hole.to == next && hole.at == at && hole.cause == cause) {
            Some(hole) => hole.to += 1,
            None => self.holes.push(Hole { from: next, to: next + 1, at, cause }),
        }
    }

    /// All before `start` is deleted at a time.
    pub(super) fn expire(&mut self, at: u64, start: u64) {
        self.starts.push((at, start));
    }

    /// The offset of the first record that is not deleted at a time.
    pub(super) fn start(&self, time: u64) -> u64 {
        let begun = self.starts.partition_point(|(at, _)| *at <= time);
        self.starts[..begun].last().map_or(0, |(_, start)| *start)
    }

    /// What has taken the record at `offset` by a time, if it is gone.
    #[inline]
    pub(super) fn taken(&self, offset: u64, time: u64) -> Option<LossCause> {
        if self.holes.is_empty() && self.starts.is_empty() {
            return None;
        }
        let expired = (offset < self.start(time)).then_some(LossCause::Expired);
        expired.or_else(|| self.hole(offset, time).map(|hole| hole.cause))
    }

    fn hole(&self, offset: u64, time: u64) -> Option<&Hole> {
        let begun = self.holes.partition_point(|hole| hole.from <= offset);
        self.holes[..begun].last().filter(|hole| offset < hole.to && hole.at <= time)
    }

    /// Records of a range that are there at a time, and the offset of the first.
    pub(super) fn there(&self, from: u64, to: u64, time: u64) -> (u64, Option<u64>) {
        let from = from.max(self.start(time)).min(to);
        let gone = self.holes.iter().filter(|hole| hole.at <= time);
        let gone: u64 = gone.map(|hole| hole.to.min(to).saturating_sub(hole.from.max(from))).sum();
        let mut first = from;
        while let Some(hole) = self.hole(first, time) {
            first = hole.to;
        }
        (to - from - gone, (first < to).then_some(first))
    }

    /// The visibility of what was appended last, 0 if there never was anything.
    pub(super) fn last_visible(&self) -> u64 {
        let record = self.records.last().map_or(0, |record| record.visible);
        self.stable.as_ref().map_or(record, |stable| stable.last_mark().max(record))
    }

    /// Gives up what lies before `keep`, when that is more than half of it (else moving would cost more than it frees).
    #[expect(clippy::cast_possible_truncation, reason = "offsets above the base are bounded by memory")]
    pub(super) fn trim(&mut self, keep: u64) {
        // The last record stays: the next append compares with it.
        let keep = keep.min(self.end().saturating_sub(1));
        self.dead = keep.saturating_sub(self.base) as usize;
        if self.dead >= 256 && self.dead * 2 > self.records.len() {
            self.records.drain(..self.dead);
            if !self.extras.is_empty() {
                self.extras.drain(..self.dead);
            }
            self.base += self.dead as u64;
            let base = self.base;
            if let Some(stable) = &mut self.stable {
                stable.trim(base);
            }
            self.holes.retain(|hole| hole.to > base);
            let passed = self.starts.partition_point(|(_, start)| *start <= base);
            self.starts.drain(..passed.saturating_sub(1));
            if self.records.capacity() > 4096 && self.records.capacity() > 8 * self.records.len() {
                self.records.shrink_to(2 * self.records.len() + 1024);
                self.extras.shrink_to(2 * self.extras.len());
            }
        }
    }
}

/// How many items at the start lie before some place. They are few as a rule, and the others many: looks ever farther
/// before it looks between.
#[inline]
pub(super) fn leading<T>(items: &[T], before: impl Fn(&T) -> bool) -> usize {
    let mut reach = 1;
    while items.get(reach - 1).is_some_and(&before) {
        reach *= 2;
    }
    let (from, to) = (reach / 2, (reach - 1).min(items.len()));
    from + items[from..to].partition_point(before)
}

/// Values by which a column grows.
const GROWTH: usize = 256;

/// A value per event number of one publisher, from a base on.
#[derive(Clone, Debug, Default)]
pub(super) struct Column<T> {
    base: u32,
    values: Vec<T>,
}

impl<T: Copy + Default> Column<T> {
    /// First number that is still kept.
    #[inline]
    pub(super) fn base(&self) -> u32 {
        self.base
    }

    /// Appends the values of the next numbers.
    #[inline]
    pub(super) fn extend(&mut self, values: impl Iterator<Item = T>) {
        self.values.extend(values);
    }

    /// The value of a number; the default where it was given up or not reached.
    #[inline]
    pub(super) fn get(&self, number: u32) -> T {
        number.checked_sub(self.base).and_then(|i| self.values.get(i as usize)).copied().unwrap_or_default()
    }

    /// The value of a number that has not been given up: the default at first.
    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let at = number.checked_sub(self.base)? as usize;
        if at >= self.values.len() {
            self.reach(at);
        }
        self.values.get_mut(at)
    }

    /// Makes room for the value at a place, and for some more.
    #[cold]
    fn reach(&mut self, at: usize) {
        self.values.resize((at + 1).next_multiple_of(GROWTH), T::default());
    }

    /// All kept values from `from` (at or above the base) on.
    #[inline]
    pub(super) fn from(&self, from: u32) -> &[T] {
        &self.values[((from - self.base) as usize).min(self.values.len())..]
    }

    /// Gives up the numbers below `keep`, when they are more than half.
    pub(super) fn trim(&mut self, keep: u32) {
        let dead = (keep.saturating_sub(self.base) as usize).min(self.values.len());
        if dead >= 1024 && dead * 2 > self.values.len() {
            self.values.drain(..dead);
            self.base += u32::try_from(dead).expect("event numbers fit 31 bits");
            if self.values.capacity() > 8 * self.values.len() + 8192 {
                self.values.shrink_to(2 * self.values.len() + 1024);
            }
        }
    }
}

/// All that readers see of one topic.
#[derive(Clone, Debug)]
pub(super) struct Log {
    /// By partition.
    pub(super) lanes: Vec<Lane>,
    /// How events are numbered.
    pub(super) code: EventCode,
    /// By publisher: creation of each event, where several groups read.
    pub(super) created: Vec<Column<u64>>,
    /// Events that were given up before they were stored, by event number.
    pub(super) void: std::collections::BTreeSet<u32>,
    /// Records appended so far, and the partition of the last.
    pub(super) appended: u64,
    /// Partition of the last record.
    pub(super) last_lane: u32,
    /// By publisher: the number of its first journey, in a topic without extras.
    pub(super) first_roots: Vec<u64>,
}

impl Log {
    /// The extra of a record; in a topic without extras it follows from the record, for there each event begins a journey.
    #[inline]
    pub(super) fn extra(&self, partition: u32, offset: u64) -> Extra {
        let lane = &self.lanes[partition as usize];
        match lane.extras.get(lane.index(offset)) {
            Some(extra) => *extra,
            None => self.plain_extra(lane.at(offset)),
        }
    }

    /// The extra of a record of a topic without extras.
    pub(super) fn plain_extra(&self, record: &Record) -> Extra {
        let Record { created, event, .. } = *record;
        let root = self.first_roots[self.code.publisher(event)] + u64::from(self.code.sequence(event));
        Extra { sent: created, lineage: Lineage { root, created, asked: 0 }, event_type: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::leading;

    #[test]
    fn those_before_a_place_are_counted_wherever_it_lies() {
        for length in 0..40 {
            let items: Vec<usize> = (0..length).collect();
            for place in 0..42 {
                assert_eq!(leading(&items, |item| *item < place), place.min(length), "{place} of {length}");
            }
        }
    }
}
