//! Whether a configuration promises that the events of a key take effect in publish order, and if not, why not.

use super::producers;
use crate::dist::Dist;
use crate::plan::{
    ClientPlan, ConsumerPlan, Dispatch, Handler, KeyHash, KeyPlan, Plan, RetryMode, Step, TopicId, TopicPlan,
    WorkerOrder,
};

/// The promise of one consumer of a plan.
pub(super) fn promise(plan: &Plan, consumer: &ConsumerPlan) -> Result<(), String> {
    for topic in &consumer.subscribes {
        published_in_order(plan, *topic)?;
    }
    handled_in_order(plan, consumer)
}

/// Whether the log or queue of a topic has the events of a key in publish order.
fn published_in_order(plan: &Plan, topic: TopicId) -> Result<(), String> {
    let of = &plan.topics[topic.0 as usize];
    let mut keyed: Option<(&str, KeyHash)> = None;
    for producer in &plan.producers {
        let Some(client) = client(&producer.clients, topic) else { continue };
        if !keys(&producer.handler, topic, &producer.key) {
            continue;
        }
        same_partition(&mut keyed, of, client, &producer.name)?;
        in_order(client, of, &producer.name)?;
        if !producers::steady(&producer.handler) {
            return Err(format!("{} works on several events of a key at once before it publishes them", producer.name));
        }
    }
    for consumer in &plan.consumers {
        let Some(client) = client(&consumer.clients, topic) else { continue };
        same_partition(&mut keyed, of, client, &consumer.name)?;
        in_order(client, of, &consumer.name)?;
        let several = match &consumer.dispatch {
            Dispatch::Log(_) => consumer.workers > 1 && consumer.order == WorkerOrder::None,
            Dispatch::Queue(_) => {
                plan.most_members(index(plan, consumer)) > 1
                    || consumer.workers > 1 && consumer.order == WorkerOrder::None
            }
        };
        if several {
            return Err(format!("{} publishes events of one key from several workers", consumer.name));
        }
    }
    for service in &plan.services {
        let Some(client) = client(&service.clients, topic) else { continue };
        // Callers have keys of their own.
        let own = if service.arrivals.is_some() { &service.key } else { &KeyPlan::Unique };
        if !keys(&service.handler, topic, own) {
            continue;
        }
        same_partition(&mut keyed, of, client, &service.name)?;
        in_order(client, of, &service.name)?;
        if service.instances > 1 || service.workers > 1 {
            return Err(format!("{} works on several requests of a key at once", service.name));
        }
    }
    if keyed.is_some() { Ok(()) } else { Err(format!("the events of {} have no key", of.name)) }
}

/// Whether a client puts the events of a key where the publishers before it do.
fn same_partition<'a>(
    before: &mut Option<(&'a str, KeyHash)>,
    topic: &TopicPlan,
    client: &ClientPlan,
    who: &'a str,
) -> Result<(), String> {
    let hash = if topic.partitions == 1 { Some(KeyHash::Number) } else { client.partitioning.hash };
    let Some(hash) = hash else {
        return Err(format!("{who} chooses partitions without looking at the key"));
    };
    match before.replace((who, hash)) {
        Some((other, hashed)) if hashed != hash => {
            Err(format!("{other} and {who} hash keys in different ways: one key has two partitions"))
        }
        _ => Ok(()),
    }
}

fn client(clients: &[(TopicId, ClientPlan)], topic: TopicId) -> Option<&ClientPlan> {
    clients.iter().find(|(to, _)| *to == topic).map(|(_, client)| client)
}

/// Whether any publish to the topic has keys that come again.
fn keys(handler: &Handler, topic: TopicId, own: &KeyPlan) -> bool {
    fn any(steps: &[Step], topic: TopicId, own: &KeyPlan) -> bool {
        steps.iter().any(|step| match step {
            Step::Publish(publish) => publish.to == topic && *publish.key.as_ref().unwrap_or(own) != KeyPlan::None,
            other => other.nested().into_iter().any(|steps| any(steps, topic, own)),
        })
    }
    any(&handler.steps, topic, own)
}

/// Whether one client's requests are stored in the order sent.
fn in_order(client: &ClientPlan, topic: &TopicPlan, who: &str) -> Result<(), String> {
    let steady = |dist: &Dist| dist.constant().is_some();
    let overtaking = !steady(&topic.store.network) || !steady(&topic.store.append);
    if !client.fifo_connection && overtaking {
        return Err(format!("requests of {who} may overtake each other on their way to {}", topic.name));
    }
    if client.retry.retries > 0 && !client.idempotent && client.max_in_flight != Some(1) {
        return Err(format!(
            "a retry of {who} may be stored after what was sent later: several requests are in flight without idempotence"
        ));
    }
    Ok(())
}

fn index(plan: &Plan, consumer: &ConsumerPlan) -> usize {
    plan.consumers.iter().position(|other| other.name == consumer.name).expect("one of the plan's")
}

/// Whether events take effect in the order of the log or queue.
fn handled_in_order(plan: &Plan, consumer: &ConsumerPlan) -> Result<(), String> {
    let (name, workers) = (&consumer.name, consumer.workers);
    if let Dispatch::Queue(_) = consumer.dispatch {
        let members = plan.most_members(index(plan, consumer));
        if members > 1 {
            return Err(format!("{members} members of {name} compete for the events of one key"));
        }
    }
    if workers > 1 && consumer.order == WorkerOrder::None {
        return Err(format!(
            "`order: none` lets the {workers} workers of a member of {name} handle events of one key at once"
        ));
    }
    if consumer.retry.mode == RetryMode::Requeue {
        return Err(format!("what fails at {name} goes back to its queue, and what follows it is handled first"));
    }
    if consumer.retry.mode == RetryMode::RetryTopic {
        return Err(format!("what fails at {name} waits in a retry topic, and what follows it is handled first"));
    }
    Ok(())
}
