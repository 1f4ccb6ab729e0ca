//! Lineage: the journey that an event belongs to, and where it began.

use super::setup::Publisher;

/// What an event descends from: a user's request, or what a producer published it for. Consumers and services pass it on
/// with all that they publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lineage {
    /// Number of the journey, unique in the run.
    pub(super) root: u64,
    /// When it began, ns.
    pub(super) created: u64,
    /// The last of the handlers that may wait for events that it descends from: by actor of the mesh and number; 0: none.
    pub(super) asked: u64,
}

/// The number of a handler that may wait for events: of this actor, the so-manieth of all, from 1.
#[inline]
pub(super) fn asked(actor: usize, number: u64) -> u64 {
    (actor as u64) << NUMBER_BITS | number
}

/// Whether this handler is one of an actor's.
#[inline]
pub(super) fn asked_by(asked: u64, actor: usize) -> bool {
    asked != 0 && asked >> NUMBER_BITS == actor as u64
}

/// The origin in a journey's number: producers first, then services.
#[inline]
pub(super) fn origin(root: u64) -> usize {
    usize::try_from(root >> NUMBER_BITS).expect("24 bits")
}

/// A journey's number among those of its origin.
#[inline]
pub(super) fn number(root: u64) -> u64 {
    root & ((1 << NUMBER_BITS) - 1)
}

/// Bits that number the journeys of one origin.
const NUMBER_BITS: u32 = 40;

/// How journeys are numbered: `[origin: 24][number: 40]`, producers first, then services.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Roots {
    producers: u64,
}

impl Roots {
    /// For so many producers.
    pub(super) fn new(producers: usize) -> Self {
        Self { producers: producers as u64 }
    }

    /// The number of the first journey that begins here; those after it follow. What consumers publish goes on with what
    /// they read: none begins there.
    pub(super) fn first(self, origin: Publisher) -> u64 {
        let origin = match origin {
            Publisher::Producer(index) => index as u64,
            Publisher::Service(index) => self.producers + index as u64,
            Publisher::Consumer(_) | Publisher::Retry(_) => unreachable!("no journey begins at a consumer"),
        };
        origin << NUMBER_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{consumer, direct_client, plan, producer, topic};
    use super::super::{RunOptions, World};
    use super::*;
    use crate::dist::Dist;
    use crate::plan::{FailurePlan, KeyPlan, Step, TopicId};

    #[test]
    fn every_journey_has_a_number_of_its_own() {
        let roots = Roots::new(3);
        let origins = [0, 1, 2].map(Publisher::Producer).into_iter().chain([0, 1].map(Publisher::Service));
        let firsts: Vec<u64> = origins.map(|origin| roots.first(origin)).collect();
        assert!(firsts.iter().enumerate().all(|(at, first)| origin(first + 5) == at && number(first + 5) == 5));
        assert!(firsts.windows(2).all(|pair| pair[0] + (1 << NUMBER_BITS) == pair[1]), "{firsts:?}");
    }

    /// By journey: creation and key of each record of a topic. Runs are short enough for logs to keep all.
    fn journeys(world: &World, topic: usize) -> Vec<(u64, u64, u32)> {
        let log = &world.topics[topic].log;
        let mut found = Vec::new();
        for (lane, partition) in log.lanes.iter().zip(0..) {
            for (record, offset) in lane.from(0).iter().zip(0..) {
                let Lineage { root, created, .. } = log.extra(partition, offset).lineage;
                found.push((root, created, record.key));
            }
        }
        found.sort_unstable();
        found
    }

    /// A consumer passes on twice what it reads, and what it cannot handle as a dead letter: with a key of its own for each
    /// event of the producer, the key tells where a record comes from.
    #[test]
    fn what_consumers_publish_belongs_to_the_journey_of_what_they_read() {
        for direct in [true, false] {
            let mut p = plan(1);
            let names = ["orders", "shipped", "dead"];
            p.topics = names.map(|name| topic(name, 2, Dist::Constant(0.0))).into();
            p.producers = ["other", "shop"].map(|name| producer(name, 60.0, KeyPlan::Unique, 0)).into();
            p.producers[0].clients[0].1.fifo_connection = !direct;
            let mut reader = consumer("reader", 0, 2, Dist::Exponential(1e6));
            let Step::Publish(mut step) = p.producers[0].handler.steps[0].clone() else { unreachable!("it publishes") };
            (step.to, step.count) = (TopicId(1), Dist::Constant(2.0));
            reader.handler.steps.push(Step::Publish(step));
            reader.failure = FailurePlan { permanent: 0.2, ..FailurePlan::default() };
            reader.dead_letter = Some(TopicId(2));
            reader.clients = [1, 2].map(|topic| (TopicId(topic), direct_client())).into();
            p.consumers.push(reader);
            let options = RunOptions { seed: 7, ..RunOptions::default() };
            let mut world = World::new(&p, &options, p.duration.0);
            assert!(world.run(&options, &|_| true));
            let begun = journeys(&world, 0);
            assert!(begun.len() > 60 && begun.windows(2).all(|pair| pair[0].0 < pair[1].0), "{begun:?}");
            let (shipped, dead) = (journeys(&world, 1), journeys(&world, 2));
            assert!(dead.len() > 5 && shipped.len() > 60, "{shipped:?} {dead:?}");
            let mut gone_on: Vec<_> = shipped.chunks(2).map(|pair| pair[0]).chain(dead.iter().copied()).collect();
            assert!(shipped.chunks(2).all(|pair| pair[0] == pair[1]), "{shipped:?}");
            gone_on.sort_unstable();
            assert!(gone_on.iter().all(|it| begun.contains(it)), "{gone_on:?} of {begun:?}");
            assert!(gone_on.windows(2).all(|pair| pair[0] < pair[1]), "{gone_on:?}");
        }
    }
}
