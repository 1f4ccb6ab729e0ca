//! Which partition a key belongs to, which share of the keys, and which member owns a partition: the same in every run.
//! Hashes are those that log clients compute.

mod owners;

pub use owners::{by_range, owners};

use crate::plan::{KeyHash, Plan};
use crate::random::to_unit;

/// Texts of keys, for hashing.
#[derive(Clone, Debug)]
pub struct KeyTexts {
    numeric: u32,
    labels: Vec<String>,
}

impl KeyTexts {
    /// Keys below `numeric` are decimal numbers; those from there on have labels.
    #[must_use]
    pub fn new(numeric: u32, labels: Vec<String>) -> Self {
        Self { numeric, labels }
    }

    /// The texts of a plan's keys.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        Self::new(plan.numeric_keys, plan.key_labels.clone())
    }

    /// The partition of a key.
    #[must_use]
    pub fn lane(&self, hash: KeyHash, key: u32, partitions: u32) -> u32 {
        let label = key.checked_sub(self.numeric).and_then(|at| self.labels.get(at as usize));
        match label {
            _ if hash == KeyHash::Number => key % partitions,
            Some(label) => hashed(hash, label.as_bytes()) % partitions,
            None => hashed(hash, decimal(key, &mut [0; 10])) % partitions,
        }
    }
}

/// Whether a key belongs to a share of the keys, given as an interval of 0 to 1.
#[must_use]
pub fn has_share((from, to): (f64, f64), key: u32) -> bool {
    let salt = crate::random::fnv1a(b"share of keys");
    let position = to_unit(crate::random::fnv1a(&(salt ^ u64::from(key)).to_le_bytes()));
    position >= from && position < to
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

/// The hash of a key's text.
#[must_use]
pub fn hashed(hash: KeyHash, text: &[u8]) -> u32 {
    match hash {
        KeyHash::Number => 0,
        KeyHash::Murmur2 => murmur2(text) & 0x7FFF_FFFF,
        KeyHash::Crc32 => crc32fast::hash(text),
        KeyHash::Fnv1a => fnv1a(text).cast_signed().unsigned_abs(),
    }
}

/// murmur2, 32 bits, seed 0x9747b28c: Kafka 4.x `Utils.murmur2`, which its Java client hashes keys with.
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

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Values of the test of librdkafka's `rdfnv1a.c`, which has them from Sarama; the check value of CRC-32/ISO-HDLC.
    #[test]
    fn other_hashes_are_those_of_their_clients() {
        for (text, hash) in
            [("kafka", 0x0D33_C4E1), ("giberish123456789", 0x77A5_8295), ("1234", 0x023B_DD03), ("", 0x7EE3_623B)]
        {
            assert_eq!(hashed(KeyHash::Fnv1a, text.as_bytes()), hash, "{text}");
        }
        assert_eq!(hashed(KeyHash::Crc32, b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn labels_and_numbers_are_hashed_as_text() {
        let texts = KeyTexts::new(100, vec!["kafka".into()]);
        assert_eq!(texts.lane(KeyHash::Fnv1a, 100, 1_000), 0x0D33_C4E1 % 1_000);
        assert_eq!(texts.lane(KeyHash::Murmur2, 21, 1_000), ((-973_932_308_i32).cast_unsigned() & 0x7FFF_FFFF) % 1_000);
        assert_eq!(texts.lane(KeyHash::Number, 21, 10), 1);
    }
}
