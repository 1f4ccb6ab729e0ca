//! Retry topics: where a consumer of a log publishes what has failed, to try it again after a delay.
//!
//! One topic for each delay, as Spring Kafka names and reuses them (`SameIntervalTopicReuseStrategy.SINGLE_TOPIC`) and Uber's
//! reprocessing does. The consumer's own members read them, with the workers that they have: one client subscribes to the
//! topics and their retry topics and pauses partitions whose head is not due (kafkajs-async-retry). Spring instead gives
//! each retry topic a listener with threads of its own.

use super::{Backoff, ClientPlan, Plan, RetryMode, RetryPlan, TopicId};

/// So many waits are told apart; those after them are the last again.
const MOST_WAITS: u32 = 1_000;

/// The retry topics of one consumer.
///
/// A copy that its client has given up (after `delivery_timeout`) is published again 1 s later, and its worker waits: an
/// assumption, for which there is no source. Spring Kafka seeks back at once (`FixedBackOff(0, 0)` of its retry topics), so
/// that the handler runs again, too.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryTopics {
    /// How its members publish to them.
    pub client: ClientPlan,
    /// By subscribed topic: its retry topics, in the order in which an event that fails goes through them.
    pub topics: Vec<Vec<TopicId>>,
}

impl RetryTopics {
    /// With a client, and topics that [`Plan::add_retry_topics`] makes.
    #[must_use]
    pub fn new(client: ClientPlan) -> Self {
        Self { client, topics: Vec::new() }
    }
}

impl RetryPlan {
    /// For each number of failed attempts, from 1 on, which of a topic's retry topics (from 0) the event goes to; the last
    /// one counts for all that follow. Waits of one length share a topic.
    #[must_use]
    pub fn retry_topics(&self) -> Vec<usize> {
        let waits = self.attempts.saturating_sub(1).clamp(1, MOST_WAITS);
        let mut at = 0;
        (1..=waits)
            .map(|failed| {
                at += usize::from(failed > 1 && self.wait(failed) != self.wait(failed - 1));
                at
            })
            .collect()
    }

    /// The wait after so many failed attempts, ns; none: it is drawn.
    fn wait(&self, failed: u32) -> Option<u64> {
        match &self.backoff {
            Backoff::Drawn(_) => None,
            Backoff::Steps(steps) => steps.get(failed as usize - 1).or(steps.last()).map(|span| span.0),
            Backoff::Exponential { base, factor, max } => {
                let grown = crate::math::pow(*factor, f64::from(failed - 1)) * base.0 as f64;
                Some(crate::time::SimSpan::from_nanos_f64(grown).min(*max).0)
            }
        }
    }
}

impl Plan {
    /// Makes the retry topics of all consumers that publish to some: each is like the topic that it belongs to.
    pub fn add_retry_topics(&mut self) {
        for consumer in &mut self.consumers {
            let Some(retries) = consumer.retry_topics.as_mut().filter(|it| it.topics.is_empty()) else { continue };
            debug_assert_eq!(consumer.retry.mode, RetryMode::RetryTopic);
            let count = consumer.retry.retry_topics().last().map_or(0, |last| last + 1);
            for subscribed in &consumer.subscribes {
                let mut own = Vec::new();
                for number in 1..=count {
                    let mut topic = self.topics[subscribed.0 as usize].clone();
                    topic.name = format!("{}.{}.retry-{number}", topic.name, consumer.name);
                    own.push(TopicId(u32::try_from(self.topics.len()).expect("topics fit 32 bits")));
                    self.topics.push(topic);
                }
                retries.topics.push(own);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::Dist;
    use crate::time::SimSpan;

    fn topics(attempts: u32, backoff: Backoff) -> Vec<usize> {
        RetryPlan { attempts, mode: RetryMode::RetryTopic, backoff, jitter: 0.0 }.retry_topics()
    }

    #[test]
    fn waits_of_one_length_share_a_topic() {
        let [a, b] = [5, 30].map(SimSpan::from_seconds);
        assert_eq!(topics(5, Backoff::Steps(vec![a, b])), [0, 1, 1, 1]);
        assert_eq!(topics(4, Backoff::Steps(vec![a, a, b])), [0, 0, 1]);
        assert_eq!(topics(4, Backoff::Drawn(Dist::Constant(1.0))), [0, 0, 0]);
        let growing = Backoff::Exponential { base: a, factor: 2.0, max: SimSpan::from_seconds(20) };
        assert_eq!(topics(6, growing), [0, 1, 2, 2, 2]);
    }
}
