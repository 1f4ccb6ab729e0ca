//! How events spread over the partitions of a topic: by their keys, in turn, or in batches.

use super::flows::{self, Flow};
use crate::dist::{KeyPlan, NO_KEY};
use crate::math::{exp, ln};
use crate::partition::{KeyTexts, has_share, hashed};
use crate::plan::{Batching, ClientPlan, ConsumerPlan, KeyHash, Keyless, Plan};

/// Keys whose partitions are looked up one by one; those beyond, each of them rare, are spread evenly.
const COUNTED: u32 = 1 << 15;
/// Keys that are told apart by how frequent they are.
const TOP: usize = 64;

/// The part of a flow that a consumer wants, by partition and key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spread {
    /// Share of the flow in each partition.
    pub(super) lanes: Vec<f64>,
    /// Shares of the most frequent keys with their partitions, the most frequent first.
    pub(super) top: Vec<(f64, usize)>,
    /// Sum of the squared shares of all other keys.
    pub(super) rest: f64,
    /// How they come to the partitions.
    pub(super) dealing: Dealing,
}

/// How events come to partitions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Dealing {
    /// By chance, each by itself.
    Chance,
    /// One after the other.
    Turn,
    /// So many in a row to one partition, then to another by chance.
    Rows(f64),
}

impl Spread {
    /// Of a flow over a topic's partitions; one process publishes `rate` events of it per second.
    pub(super) fn of(plan: &Plan, texts: &KeyTexts, flow: &Flow<'_>, consumer: &ConsumerPlan, rate: f64) -> Self {
        let partitions = plan.topics[flow.topic].partitions;
        let client = flows::client(plan, flow.publisher, flow.topic);
        let hash = client.map_or(Some(KeyHash::Number), |client| client.partitioning.hash);
        let wanted = flows::wanted(consumer, flow.keys);
        let keyless = || Self::keyless(partitions, client, bytes(plan, flow), rate);
        let Some(hash) = hash else { return keyless().times(wanted) };
        let mut counting = Counting { texts, hash, partitions, share: consumer.keys, spread: Self::empty(partitions) };
        match flow.keys {
            KeyPlan::None => return keyless(),
            KeyPlan::Unique => return Self::unique(partitions, hash, wanted),
            KeyPlan::Uniform(keys) => counting.ranks(*keys, 0.0),
            KeyPlan::Zipf { keys, exponent } => counting.ranks(*keys, exponent.max(0.0)),
            KeyPlan::Weighted(shares) => {
                let sum: f64 = shares.iter().map(|(_, share)| share.max(0.0)).sum();
                shares.iter().for_each(|(key, share)| counting.count(*key, share.max(0.0) / sum));
            }
            KeyPlan::Trace(keys) => counting.recorded(keys),
        }
        counting.spread.finish()
    }

    fn empty(partitions: u32) -> Self {
        Self { lanes: vec![0.0; partitions as usize], top: Vec::new(), rest: 0.0, dealing: Dealing::Chance }
    }

    fn even(partitions: u32, share: f64, dealing: Dealing) -> Self {
        Self { lanes: vec![share / f64::from(partitions); partitions as usize], dealing, ..Self::empty(0) }
    }

    fn keyless(partitions: u32, client: Option<&ClientPlan>, bytes: f64, rate: f64) -> Self {
        let limit = client.and_then(|client| client.batching.as_ref()).map_or(0, |batching| batching.max_bytes);
        let rows = |events: f64| Self::even(partitions, 1.0, Dealing::Rows(events.max(1.0)));
        match client.map_or(Keyless::Turn, |client| client.partitioning.keyless) {
            Keyless::Turn => Self::even(partitions, 1.0, Dealing::Turn),
            Keyless::Random => Self::even(partitions, 1.0, Dealing::Chance),
            Keyless::StickyBatch => rows((limit as f64 / bytes).floor()),
            Keyless::StickyFor(span) => rows(rate * span.seconds()),
            Keyless::EmptyKey => {
                let hash = client.and_then(|client| client.partitioning.hash).map_or(0, |hash| hashed(hash, b""));
                let mut spread = Self::empty(partitions);
                spread.lanes[(hash % partitions) as usize] = 1.0;
                spread
            }
        }
    }

    /// A new key for every event.
    fn unique(partitions: u32, hash: KeyHash, share: f64) -> Self {
        let in_turn = hash == KeyHash::Number && share >= 1.0;
        Self::even(partitions, share, if in_turn { Dealing::Turn } else { Dealing::Chance })
    }

    /// So many times as much.
    fn times(mut self, factor: f64) -> Self {
        self.lanes.iter_mut().for_each(|lane| *lane *= factor);
        self
    }

    fn finish(mut self) -> Self {
        self.top.sort_by(|a, b| b.0.total_cmp(&a.0));
        let rare = self.top.split_off(self.top.len().min(TOP));
        self.rest += rare.iter().map(|(share, _)| share * share).sum::<f64>();
        self
    }

    /// The share of the flow that is wanted.
    pub(super) fn wanted(&self) -> f64 {
        self.lanes.iter().sum()
    }
}

/// Mean size of the events of a flow.
fn bytes(plan: &Plan, flow: &Flow<'_>) -> f64 {
    let size = match flow.publisher {
        flows::Publisher::Producer(index) => plan.producers[index].size.mean(),
        flows::Publisher::Service(index) => plan.services[index].size.mean(),
        flows::Publisher::Consumer(_) => 1024.0,
    };
    if size.is_finite() { size.max(1.0) } else { f64::MAX }
}

/// The same for a client's batches.
pub(super) fn events_of_a_batch(plan: &Plan, flow: &Flow<'_>, batching: &Batching) -> f64 {
    (batching.max_bytes as f64 / bytes(plan, flow)).floor().min(batching.max_messages as f64).max(1.0)
}

/// Counts keys into partitions.
struct Counting<'a> {
    texts: &'a KeyTexts,
    hash: KeyHash,
    partitions: u32,
    /// The keys that are wanted.
    share: (f64, f64),
    spread: Spread,
}

impl Counting<'_> {
    fn count(&mut self, key: u32, weight: f64) {
        if key == NO_KEY {
            return self.evenly(weight);
        }
        let all = self.share.0 <= 0.0 && self.share.1 >= 1.0;
        if weight > 0.0 && (all || has_share(self.share, key)) {
            let lane = self.texts.lane(self.hash, key, self.partitions) as usize;
            self.spread.lanes[lane] += weight;
            self.spread.top.push((weight, lane));
        }
    }

    /// Many rare keys.
    fn evenly(&mut self, weight: f64) {
        let each = weight * (self.share.1 - self.share.0) / f64::from(self.partitions);
        self.spread.lanes.iter_mut().for_each(|lane| *lane += each);
    }

    /// Key `i` has the weight `(i + 1)^-exponent`.
    fn ranks(&mut self, keys: u32, exponent: f64) {
        if keys == 0 {
            return self.evenly(1.0);
        }
        let weight = |rank: f64| if exponent > 0.0 { exp(-exponent * ln(rank)) } else { 1.0 };
        let counted = keys.min(COUNTED);
        let head: f64 = (1..=counted).map(|rank| weight(f64::from(rank))).sum();
        let tail = tail(counted, keys, exponent);
        for key in 0..counted {
            self.count(key, weight(f64::from(key) + 1.0) / (head + tail));
        }
        if keys > counted {
            self.evenly(tail / (head + tail));
            // Squared shares of the rest: a Zipf law with twice the exponent.
            let total = (head + tail) * (head + tail);
            self.spread.rest += self::tail(counted, keys, 2.0 * exponent) / total;
        }
    }

    /// As often as they come in a record.
    fn recorded(&mut self, keys: &[u32]) {
        let mut often = std::collections::BTreeMap::new();
        keys.iter().for_each(|key| *often.entry(*key).or_insert(0_u32) += 1);
        let all = keys.len().max(1) as f64;
        often.into_iter().for_each(|(key, count)| self.count(key, f64::from(count) / all));
    }
}

/// The sum of `rank^-exponent` from the rank after `from` up to `to`, by the integral between the midpoints.
fn tail(from: u32, to: u32, exponent: f64) -> f64 {
    if to <= from {
        return 0.0;
    }
    let (from, to) = (f64::from(from) + 0.5, f64::from(to) + 0.5);
    let power = 1.0 - exponent;
    if power.abs() < 1e-9 {
        return ln(to / from);
    }
    (exp(power * ln(to)) - exp(power * ln(from))) / power
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "values that are exact")]

    use super::*;

    fn counted(keys: &KeyPlan, hash: KeyHash, partitions: u32, share: (f64, f64)) -> Spread {
        let texts = KeyTexts::new(u32::MAX, Vec::new());
        let mut counting = Counting { texts: &texts, hash, partitions, share, spread: Spread::empty(partitions) };
        match keys {
            KeyPlan::Zipf { keys, exponent } => counting.ranks(*keys, *exponent),
            KeyPlan::Uniform(keys) => counting.ranks(*keys, 0.0),
            KeyPlan::Trace(keys) => counting.recorded(keys),
            _ => unreachable!("not counted"),
        }
        counting.spread.finish()
    }

    #[test]
    fn tails_of_zipf_sums() {
        for exponent in [0.0, 0.6, 1.0, 1.4] {
            let exact: f64 = (101..=5000).map(|rank| exp(-exponent * ln(f64::from(rank)))).sum();
            assert!((tail(100, 5000, exponent) / exact - 1.0).abs() < 1e-4, "{exponent}");
        }
        assert_eq!(tail(7, 7, 1.0), 0.0);
    }

    #[test]
    fn shares_add_up_and_follow_the_keys() {
        let zipf = KeyPlan::Zipf { keys: 2000, exponent: 1.1 };
        let spread = counted(&zipf, KeyHash::Murmur2, 12, (0.0, 1.0));
        assert!((spread.wanted() - 1.0).abs() < 1e-9);
        assert!(spread.top.len() == TOP && spread.top[0].0 > 0.15 && spread.top[0].0 > spread.top[1].0);
        // Key number modulo partitions: the most frequent key is number 0.
        let modulo = counted(&zipf, KeyHash::Number, 12, (0.0, 1.0));
        assert!(modulo.lanes[0] > modulo.lanes[1] && modulo.top[0].1 == 0);
        let hottest = spread.lanes[spread.top[0].1];
        assert!(spread.lanes.iter().all(|lane| *lane <= hottest));
    }

    #[test]
    fn rare_keys_beyond_the_counted_are_even() {
        let many = KeyPlan::Uniform(1_000_000);
        let spread = counted(&many, KeyHash::Murmur2, 4, (0.0, 1.0));
        assert!(spread.lanes.iter().all(|lane| (lane - 0.25).abs() < 0.002), "{:?}", spread.lanes);
        assert!((spread.wanted() - 1.0).abs() < 1e-9);
        let squares = spread.rest + spread.top.iter().map(|(share, _)| share * share).sum::<f64>();
        assert!((squares * 1e6 - 1.0).abs() < 1e-6, "{squares}");
    }

    #[test]
    fn a_share_of_the_keys_is_wanted() {
        let keys = KeyPlan::Uniform(5000);
        let (some, others) = [(0.0, 0.3), (0.3, 1.0)].map(|share| counted(&keys, KeyHash::Number, 3, share)).into();
        assert!((some.wanted() - 0.3).abs() < 0.02 && (some.wanted() + others.wanted() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn recorded_keys_count_as_often_as_they_come() {
        let spread = counted(&KeyPlan::Trace(vec![1, 1, 2, 1]), KeyHash::Number, 2, (0.0, 1.0));
        assert_eq!((spread.lanes, spread.top), (vec![0.25, 0.75], vec![(0.75, 1), (0.25, 0)]));
    }

    #[test]
    fn events_without_a_key_go_as_their_client_sends_them() {
        let plan = crate::estimate::tests::plan_of(
            "name: keyless\nduration: 1m\nbuses: { main: { profile: kafka, topics: { t: { partitions: 4 } } } }\n\
             producers: { p: { publishes: t, arrivals: { poisson: 1/s } } }\n",
        );
        let client = |keyless| {
            let mut client = plan.producers[0].clients[0].1.clone();
            client.partitioning.keyless = keyless;
            Spread::keyless(4, Some(&client), 1024.0, 8.0)
        };
        assert_eq!(client(Keyless::Turn).dealing, Dealing::Turn);
        assert_eq!(client(Keyless::Random).dealing, Dealing::Chance);
        // 16 KiB hold 16 events of 1 KiB; 8/s make 40 in 5 s.
        assert_eq!(client(Keyless::StickyBatch).dealing, Dealing::Rows(16.0));
        assert_eq!(client(Keyless::StickyFor(crate::time::SimSpan::from_seconds(5))).dealing, Dealing::Rows(40.0));
        assert_eq!(client(Keyless::EmptyKey).lanes.iter().filter(|lane| **lane > 0.0).count(), 1);
    }
}
