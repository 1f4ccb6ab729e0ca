//! Which partition an event belongs to: hashes of keys as log clients compute them, and what they do without a key.

use crate::plan::{KeyHash, Keyless, Partitioning};
use crate::random::Stream;

/// Texts of keys, for hashing.
#[derive(Clone, Debug)]
pub(super) struct KeyTexts {
    numeric: u32,
    labels: Vec<String>,
}

impl KeyTexts {
    /// Keys below `numeric` are decimal numbers; those from there on have labels.
    pub(super) fn new(numeric: u32, labels: Vec<String>) -> Self {
        Self { numeric, labels }
    }

    /// The partition of a key.
    pub(super) fn lane(&self, hash: KeyHash, key: u32, partitions: u32) -> u32 {
        let label = key.checked_sub(self.numeric).and_then(|at| self.labels.get(at as usize));
        match label {
            _ if hash == KeyHash::Number => key % partitions,
            Some(label) => hashed(hash, label.as_bytes()) % partitions,
            None => hashed(hash, decimal(key, &mut [0; 10])) % partitions,
        }
    }
}

fn decimal(mut number: u32, buffer: &mut [u8; 10]) -> &[u8] {
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
        if number == 0 {
            return &buffer[at..];
        }
    }
}

fn hashed(hash: KeyHash, text: &[u8]) -> u32 {
    match hash {
        KeyHash::Number => 0,
        KeyHash::Murmur2 => murmur2(text) & 0x7FFF_FFFF,
        KeyHash::Crc32 => crc32fast::hash(text),
        KeyHash::Fnv1a => fnv1a(text).cast_signed().unsigned_abs(),
    }
}

/// murmur2, 32 bits, seed 0x9747b28c: the hash of the reference client of partitioned logs.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5BD1_E995;
    let length = u32::try_from(data.len()).expect("keys are short");
    let mut hash = 0x9747_B28C ^ length;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes(chunk.try_into().expect("four bytes")).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// FNV-1a, 32 bits (Fowler, Noll and Vo): the offset basis and the prime of the FNV reference.
fn fnv1a(data: &[u8]) -> u32 {
    data.iter().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

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
    use crate::time::SimSpan;

    /// Values of the reference client's `Utils.murmur2` test.
    #[test]
    fn murmur2_is_the_reference_hash() {
        let cases: [(&str, i32); 7] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
            ("", 275_646_681),
        ];
        for (text, hash) in cases {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), hash, "{text}");
        }
    }

    /// Values of FNV-1a as C and Go clients of such logs test them; the check value of CRC-32/ISO-HDLC.
    #[test]
    fn other_hashes_are_those_of_their_clients() {
        for (text, hash) in [("giberish123456789", 0x77A5_8295), ("1234", 0x023B_DD03), ("", 0x7EE3_623B)] {
            assert_eq!(hashed(KeyHash::Fnv1a, text.as_bytes()), hash, "{text}");
        }
        assert_eq!(hashed(KeyHash::Crc32, b"123456789"), 0xCBF4_3926);
    }

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

    #[test]
    fn labels_and_numbers_are_hashed_as_text() {
        let texts = KeyTexts::new(100, vec!["1234".into()]);
        assert_eq!(texts.lane(KeyHash::Fnv1a, 100, 1_000), 0x023B_DD03 % 1_000);
        assert_eq!(texts.lane(KeyHash::Murmur2, 21, 1_000), ((-973_932_308_i32).cast_unsigned() & 0x7FFF_FFFF) % 1_000);
        assert_eq!(texts.lane(KeyHash::Number, 21, 10), 1);
    }
}
