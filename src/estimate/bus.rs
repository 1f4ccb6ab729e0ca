//! The way of an event through the publishing client and the bus: how long each stage takes.

use super::flows::{Flows, Publisher, client, processes};
use super::moments::Moments;
use super::rates::Grid;
use super::spread::events_of_a_batch;
use crate::dist::KeyPlan;
use crate::plan::{Acks, Keyless, OutboxPlan, Plan, Relay};

/// What publishing to a topic takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Publishing {
    /// In the client, until its batch is sent.
    pub(super) buffer: Moments,
    /// From then until it can be seen.
    pub(super) store: Moments,
    /// From being sent until it is acknowledged.
    pub(super) ack: Moments,
    /// Mean square over mean of the events of one batch.
    pub(super) clump: f64,
    /// Whether each event goes its own way, untouched by others.
    pub(super) alone: bool,
}

impl Publishing {
    /// Nothing takes any time.
    pub(super) fn none() -> Self {
        Self { buffer: Moments::ZERO, store: Moments::ZERO, ack: Moments::ZERO, clump: 1.0, alone: true }
    }

    /// By a publisher to a topic, without what a window of requests in flight adds. Who has an outbox waits for nothing.
    pub(super) fn of(plan: &Plan, grid: &Grid, flows: &Flows<'_>, publisher: Publisher, topic: usize) -> Self {
        let by_client = Self::by_client(plan, grid, flows, publisher, topic);
        if outbox_of(plan, publisher).is_none() {
            return by_client;
        }
        let store = by_client.buffer.plus(by_client.store);
        Self { buffer: Moments::ZERO, store, ack: Moments::ZERO, ..by_client }
    }

    fn by_client(plan: &Plan, grid: &Grid, flows: &Flows<'_>, publisher: Publisher, topic: usize) -> Self {
        let Some(client) = client(plan, publisher, topic) else { return Self::none() };
        let store = &plan.topics[topic].store;
        let stage = |dist| Moments::of(dist, &[]);
        let (network, append) = (stage(&store.network), stage(&store.append));
        let (replicate, fsync) = (stage(&store.replicate), stage(&store.fsync));
        let stored = network.plus(append);
        let visible = if store.visible_when_replicated { stored.plus(replicate) } else { stored };
        let ack = match client.acks {
            Acks::None => Moments::ZERO,
            Acks::Leader => stored.plus(network),
            Acks::All => stored.plus(replicate).plus(fsync).plus(network),
        };
        let (held, together) = relay(plan, grid, flows, publisher, topic);
        let alone = client.batching.is_none() && client.max_in_flight.is_none() && !client.fifo_connection;
        let published = Self { buffer: held, store: visible, ack, clump: together, alone: alone && together <= 1.0 };
        let Some(batching) = &client.batching else { return published };
        let Some(first) = flows.between(publisher, topic).next() else { return published };
        let keyless = matches!(first.keys, KeyPlan::None) || client.partitioning.hash.is_none();
        let in_rows = !matches!(client.partitioning.keyless, Keyless::Turn | Keyless::Random);
        let rate: f64 = flows.between(publisher, topic).map(|flow| grid.mean(&flow.rates)).sum();
        // In rows one partition after the other takes all that a process publishes.
        let lanes = if keyless && in_rows { 1.0 } else { f64::from(plan.topics[topic].partitions) };
        let each = rate / f64::from(processes(plan, publisher).max(1)) / lanes;
        let (buffer, clump) = batch(each, batching.linger.seconds(), events_of_a_batch(plan, first, batching));
        Self { buffer: held.plus(buffer), clump: clump.max(together), ..published }
    }
}

fn outbox_of(plan: &Plan, publisher: Publisher) -> Option<&OutboxPlan> {
    match publisher {
        Publisher::Producer(index) => plan.producers[index].outbox.as_ref(),
        Publisher::Service(index) => plan.services[index].outbox.as_ref(),
        Publisher::Consumer(_) => None,
    }
}

/// How long an event waits for the relay of its outbox, and mean square over mean of those of one partition that it takes
/// together.
fn relay(plan: &Plan, grid: &Grid, flows: &Flows<'_>, publisher: Publisher, topic: usize) -> (Moments, f64) {
    match outbox_of(plan, publisher).map(|outbox| &outbox.relay) {
        None => (Moments::ZERO, 1.0),
        Some(Relay::Tail { delay, .. }) => (Moments::of(delay, &[]), 1.0),
        Some(Relay::Poll { every, .. }) => {
            let every = every.seconds();
            let rate: f64 = flows.between(publisher, topic).map(|flow| grid.mean(&flow.rates)).sum();
            let together = 1.0 + rate * every / f64::from(plan.topics[topic].partitions);
            (Moments { mean: every / 2.0, variance: every * every / 12.0 }, together)
        }
    }
}

/// The time in a batch that is open for `linger` seconds or until it holds `most`, with a Poisson process of `rate`; and mean
/// square over mean of its size.
pub(super) fn batch(rate: f64, linger: f64, most: f64) -> (Moments, f64) {
    let more = rate * linger;
    if 1.0 + more > most {
        // Full before its time: the k-th last waits for k more.
        let mean = (most - 1.0) / (2.0 * rate);
        let variance = (most * most - 1.0) / (12.0 * rate * rate) + mean / rate;
        return (Moments { mean, variance }, most);
    }
    // The first waits all the time, those that join it any part of it.
    let size = 1.0 + more;
    let mean = (linger + more * linger / 2.0) / size;
    let square = (linger * linger + more * linger * linger / 3.0) / size;
    (Moments { mean, variance: (square - mean * mean).max(0.0) }, (size * size + more) / size)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "values that are exact")]

    use super::*;

    #[test]
    fn a_batch_waits_for_company() {
        let (alone, clump) = batch(0.0, 0.005, 16.0);
        assert_eq!((alone, clump), (Moments::constant(0.005), 1.0));
        // On average one joins: two wait 5 ms and 2.5 ms.
        let (two, clump) = batch(200.0, 0.005, 16.0);
        assert!((two.mean - 0.00375).abs() < 1e-12 && (clump - 2.5).abs() < 1e-12);
        assert_eq!(batch(100.0, 0.0, 16.0).0, Moments::ZERO);
    }

    #[test]
    fn a_full_batch_does_not_wait_any_longer() {
        let (full, clump) = batch(1000.0, 1.0, 11.0);
        assert!((full.mean - 0.005).abs() < 1e-12 && clump == 11.0, "{full:?}");
    }
}
