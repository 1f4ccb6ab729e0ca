//! Which partition an event without a key belongs to.

use crate::partition::hashed;
use crate::plan::{Keyless, Partitioning};
use crate::random::Stream;

/// Where the events without a key of one client go.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeylessLanes {
    partitioning: Partitioning,
    partitions: u32,
    stream: Stream,
    /// The partition that is kept, since it has taken so many bytes, and until when; none yet.
    kept: Option<u32>,
    bytes: u64,
    until: u64,
    turn: u64,
}

impl KeylessLanes {
    /// Draws come from the client's own `stream`.
    pub(super) fn new(partitioning: Partitioning, partitions: u32, stream: Stream) -> Self {
        Self { partitioning, partitions, stream, kept: None, bytes: 0, until: 0, turn: 0 }
    }

    /// The partition of an event of so many bytes, the `number`-th of its publisher; a batch holds `limit` bytes.
    pub(super) fn choose(&mut self, now: u64, number: u32, bytes: u64, limit: u64) -> u32 {
        match self.partitioning.keyless {
            Keyless::Turn => number % self.partitions,
            Keyless::Random => self.draw(),
            Keyless::EmptyKey => self.partitioning.hash.map_or(0, |hash| hashed(hash, b"") % self.partitions),
            Keyless::StickyBatch => {
                if self.bytes + bytes > limit {
                    (self.kept, self.bytes) = (None, 0);
                }
                self.bytes += bytes;
                self.keep()
            }
            Keyless::StickyFor(span) => {
                if now >= self.until {
                    (self.kept, self.until) = (None, now.saturating_add(span.0));
                }
                self.keep()
            }
        }
    }

    fn keep(&mut self) -> u32 {
        let kept = match self.kept {
            Some(kept) => kept,
            None => self.draw(),
        };
        self.kept = Some(kept);
        kept
    }

    fn draw(&mut self) -> u32 {
        let draw = self.stream.bits(self.turn);
        self.turn += 1;
        u32::try_from((u128::from(draw) * u128::from(self.partitions)) >> 64).expect("below partitions")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::KeyHash;
    use crate::time::SimSpan;

    fn lanes(keyless: Keyless) -> KeylessLanes {
        KeylessLanes::new(Partitioning { hash: Some(KeyHash::Crc32), keyless }, 7, Stream::named(1, "keyless"))
    }

    #[test]
    fn a_sticky_partition_is_kept_until_its_batch_is_full() {
        let mut lanes = lanes(Keyless::StickyBatch);
        let chosen: Vec<u32> = (0..4_000).map(|n| lanes.choose(0, n, 100, 1_000)).collect();
        assert!(chosen.chunks(10).all(|batch| batch.iter().all(|lane| *lane == batch[0])));
        assert_eq!((0..7).filter(|lane| chosen.contains(lane)).count(), 7);
    }

    #[test]
    fn a_sticky_partition_is_kept_for_its_time() {
        let mut lanes = lanes(Keyless::StickyFor(SimSpan(50)));
        let chosen: Vec<u32> = (0..4_000).map(|n| lanes.choose(u64::from(n) * 10, n, 100, 1)).collect();
        assert!(chosen.chunks(5).all(|kept| kept.iter().all(|lane| *lane == kept[0])));
        assert_eq!((0..7).filter(|lane| chosen.contains(lane)).count(), 7);
    }

    #[test]
    fn an_empty_key_has_one_partition() {
        let mut lanes = lanes(Keyless::EmptyKey);
        assert!((0..100).all(|n| lanes.choose(0, n, 100, 1) == 0));
    }
}
