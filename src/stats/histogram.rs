//! A dense log-linear histogram of nanoseconds: relative error below 2^-10 (three significant digits).
//!
//! The same class of precision as HdrHistogram with 3 digits, at a third of the cost of a record; it converts to a
//! standard HdrHistogram where a file is wanted.

/// Bits of a value that are kept exactly: values below 2^10 are their own bucket.
const SUB_BITS: u32 = 10;
/// Buckets per power of two.
const HALF: usize = 1 << (SUB_BITS - 1);

/// Counts of values (ns), exact minimum and maximum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// The first bucket that is kept, and the counts from there on: of whole powers of two, as many as there are values in.
    base: usize,
    counts: Vec<u32>,
    spilled: Vec<(u32, u64)>,
    total: u64,
    min: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { base: 0, counts: Vec::new(), spilled: Vec::new(), total: 0, min: u64::MAX, max: 0 }
    }
}

/// The bucket of a value.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "bucket numbers are below 2^15")]
fn bucket(value: u64) -> usize {
    let shift = (64 - SUB_BITS).saturating_sub((value | 1).leading_zeros());
    (shift as usize) * HALF + (value >> shift) as usize
}

/// Smallest and largest value of a bucket.
fn bounds(bucket: usize) -> (u64, u64) {
    if bucket < 2 * HALF {
        return (bucket as u64, bucket as u64);
    }
    let shift = bucket / HALF - 1;
    let low = ((bucket - shift * HALF) as u64) << shift;
    (low, low + ((1u64 << shift) - 1))
}

impl Histogram {
    /// Counts one value.
    #[inline]
    pub fn record(&mut self, value: u64) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.total += 1;
        self.count_in(bucket(value));
    }

    /// Counts one value in its bucket only: [`Histogram::account`] must follow for all values so counted.
    #[inline]
    pub fn tally(&mut self, value: u64) {
        self.count_in(bucket(value));
    }

    #[inline]
    fn count_in(&mut self, at: usize) {
        let Some(count) = self.counts.get_mut(at.wrapping_sub(self.base)) else { return self.count_in_new(at) };
        *count = count.wrapping_add(1);
        if *count == 0 {
            self.spill(at, 1 << 32);
        }
    }

    /// Accounts for values that were tallied: how many, the smallest and the largest.
    pub fn account(&mut self, total: u64, min: u64, max: u64) {
        if total > 0 {
            self.total += total;
            self.min = self.min.min(min);
            self.max = self.max.max(max);
        }
    }

    /// Counts one in a bucket that there is no room for yet.
    #[cold]
    fn count_in_new(&mut self, at: usize) {
        self.make_room(at);
        self.counts[at - self.base] = 1;
    }

    /// Makes room for a bucket.
    fn make_room(&mut self, at: usize) {
        let (from, to) = (at / HALF * HALF, (at / HALF + 1) * HALF);
        if self.counts.is_empty() {
            self.base = from;
        }
        if from < self.base {
            self.counts.splice(0..0, std::iter::repeat_n(0, self.base - from));
            self.base = from;
        }
        let wanted = to - self.base;
        if wanted > self.counts.len() {
            // It grows rarely, and there may be very many.
            self.counts.reserve_exact(wanted - self.counts.len());
            self.counts.resize(wanted, 0);
        }
    }

    /// Counts one value so many times.
    pub fn record_many(&mut self, value: u64, times: u64) {
        if times > 0 {
            self.record(value);
            self.total += times - 1;
            let count = &mut self.counts[bucket(value) - self.base];
            match u32::try_from(times - 1).ok().and_then(|more| count.checked_add(more)) {
                Some(sum) => *count = sum,
                None => self.spill(bucket(value), times - 1),
            }
        }
    }

    #[cold]
    #[expect(clippy::cast_possible_truncation, reason = "bucket numbers are below 2^15")]
    fn spill(&mut self, at: usize, times: u64) {
        self.spilled.push((at as u32, times));
    }

    /// Adds all values of another histogram.
    pub fn merge(&mut self, other: &Self) {
        if let Some(last) = other.counts.len().checked_sub(1) {
            self.make_room(other.base);
            self.make_room(other.base + last);
            let from = other.base - self.base;
            for (place, count) in other.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                match self.counts[from + place].checked_add(*count) {
                    Some(sum) => self.counts[from + place] = sum,
                    None => self.spill(other.base + place, u64::from(*count)),
                }
            }
        }
        self.spilled.extend_from_slice(&other.spilled);
        self.total += other.total;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// Smallest value; 0 without values.
    #[must_use]
    pub fn min(&self) -> u64 {
        if self.total == 0 { 0 } else { self.min }
    }

    /// Largest value; 0 without values.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value that a share `q` of all values does not exceed: the ceil(q n)-th smallest, those of a bucket taken as
    /// evenly spread over it. So a figure moves smoothly with the values, not in steps of a bucket. 0 without values.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank between 1 and the count")]
    pub fn quantile(&self, q: f64) -> u64 {
        if self.total == 0 {
            return 0;
        }
        let rank = ((q * self.total as f64).ceil() as u64).clamp(1, self.total);
        let mut seen = 0;
        for (at, count) in self.buckets(0) {
            if seen + count >= rank {
                let (low, high) = bounds(at);
                let (low, high) = (low.max(self.min), high.min(self.max));
                let within = u128::from(high - low) * u128::from(rank - seen) / u128::from(count);
                return low + u64::try_from(within).expect("no wider than the bucket");
            }
            seen += count;
        }
        self.max
    }

    /// How many values are larger than this one, those of a bucket taken as evenly spread over it.
    #[must_use]
    pub fn count_above(&self, value: u64) -> f64 {
        let above = |(at, count): (usize, u64)| {
            let (low, high) = bounds(at);
            let (low, high) = (low.max(self.min), high.min(self.max));
            let beyond = if value < low { high - low + 1 } else { high.saturating_sub(value) };
            count as f64 * beyond as f64 / (high - low + 1) as f64
        };
        self.buckets(bucket(value)).map(above).fold(0.0, |sum, count| sum + count)
    }

    /// The share of all values that are not above `value`, those of a bucket taken as evenly spread over it. 0 without
    /// values.
    #[must_use]
    pub fn share_to(&self, value: u64) -> f64 {
        if self.total == 0 { 0.0 } else { 1.0 - self.count_above(value) / self.total as f64 }
    }

    /// The buckets that hold something: smallest value, largest value, count; in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.buckets(0).map(|(at, count)| (bounds(at).0, bounds(at).1, count))
    }

    /// The buckets that hold something, and how much, from one on.
    fn buckets(&self, from: usize) -> impl Iterator<Item = (usize, u64)> + '_ {
        let spilled = |at: usize| self.spilled.iter().filter(|s| s.0 as usize == at).map(|s| s.1).sum::<u64>();
        let skipped = from.saturating_sub(self.base).min(self.counts.len());
        (self.base + skipped..)
            .zip(&self.counts[skipped..])
            .map(move |(at, count)| (at, u64::from(*count) + spilled(at)))
            .filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_are_narrow() {
        for value in (0..5000).chain((0..54).map(|s| (1u64 << 10) + (1 << s))).chain([u64::MAX, u64::MAX / 3]) {
            let (low, high) = bounds(bucket(value));
            assert!(low <= value && value <= high, "{value} not in {low}..={high}");
            assert!(high - low <= low / 512, "{value}: {low}..={high} is wider than 1/512");
        }
    }

    #[test]
    fn shares_and_quantiles_are_each_others_inverse() {
        let mut histogram = Histogram::default();
        assert!(histogram.share_to(5).abs() < 1e-12);
        (1..=100_000).for_each(|v| histogram.record(v * 1000));
        for q in [0.01, 0.3, 0.5, 0.99, 0.9999] {
            assert!((histogram.share_to(histogram.quantile(q)) - q).abs() < 1e-5, "{q}");
        }
        assert!(histogram.share_to(999).abs() < 1e-5 && (histogram.share_to(u64::MAX) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn quantiles_of_a_ramp() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|v| histogram.record(v));
        assert_eq!(histogram.quantile(0.5), 500);
        assert_eq!(histogram.quantile(0.999), 999);
        assert_eq!(histogram.quantile(1.0), 1000);
        assert_eq!((histogram.min(), histogram.max(), histogram.count()), (1, 1000, 1000));
    }

    #[test]
    fn what_is_above_a_value_is_counted() {
        let mut histogram = Histogram::default();
        (0..1000).for_each(|v| histogram.record(v));
        let near = |count: f64, expected: f64| assert!((count - expected).abs() < 1e-9, "{count}, expected {expected}");
        for (value, above) in [(0, 999.0), (1, 998.0), (500, 499.0), (998, 1.0), (999, 0.0), (5000, 0.0)] {
            near(histogram.count_above(value), above);
        }
        // A bucket of two values, both of them there.
        let mut wide = Histogram::default();
        (1 << 10..(1 << 10) + 2).for_each(|value| wide.record(value));
        for (value, above) in [((1 << 10) - 1, 2.0), (1 << 10, 1.0), ((1 << 10) + 1, 0.0)] {
            near(wide.count_above(value), above);
        }
    }

    #[test]
    fn quantiles_move_within_a_bucket() {
        let mut histogram = Histogram::default();
        (0..512).for_each(|v| histogram.record((1 << 20) + 2 * v));
        let quantiles = [0.25, 0.5, 0.75, 1.0].map(|q| histogram.quantile(q) - (1 << 20));
        assert_eq!(quantiles, [255, 511, 766, 1022]);
    }

    #[test]
    fn merging_is_recording_in_one() {
        let (mut a, mut b, mut all) = (Histogram::default(), Histogram::default(), Histogram::default());
        for v in 0..10_000u64 {
            let value = v * v * 7919 % 1_000_003;
            if v % 3 == 0 {
                a.record(value)
            } else {
                b.record(value)
            }
            all.record(value);
        }
        a.merge(&b);
        assert_eq!(a, all);
        let few = |values: [u64; 2]| {
            let mut few = Histogram::default();
            values.into_iter().for_each(|value| few.record_many(value, 3));
            few
        };
        // Wherever the two lie: below, above, on both sides, and of nothing.
        let (low, high, wide) = (few([3, 900]), few([1 << 30, 1 << 33]), few([7, 1 << 40]));
        for (one, other) in
            [(&low, &high), (&high, &low), (&wide, &high), (&high, &wide), (&low, &Histogram::default())]
        {
            let mut merged = one.clone();
            merged.merge(other);
            let mut all: Vec<_> = one.iter().chain(other.iter()).collect();
            all.sort_unstable();
            assert_eq!(merged.iter().collect::<Vec<_>>(), all);
            assert_eq!(merged.count(), one.count() + other.count());
        }
    }
}
