//! Who serves what: the queues into which a consumer's partitions fall, and the servers of each.

use crate::partition::owners;
use crate::plan::{Assignor, ConsumerPlan, Dispatch, Plan, WorkerOrder};

/// One queue with its servers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Station {
    /// Its partitions, of all topics in order, and the share of the events of each that comes here.
    pub(super) lanes: Vec<(usize, f64)>,
    /// Handlers that take from it side by side.
    pub(super) servers: u32,
    /// Whose handlers they are, by place among those that are there; none: everybody's.
    pub(super) member: Option<usize>,
    /// What its handlers must not hold twice at a time.
    pub(super) exclusive: Exclusive,
    /// Whether events come to it in turn with others, one here, one there.
    pub(super) in_turn: bool,
}

/// What at most one handler of a queue may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exclusive {
    /// Nothing: any handler takes any event.
    Nothing,
    /// A partition, and there are more of them than handlers.
    Partition,
    /// A key.
    Key,
}

/// Partitions of all topics that a consumer reads.
pub(super) fn partitions(plan: &Plan, consumer: &ConsumerPlan) -> Vec<u32> {
    consumer.subscribes.iter().map(|id| plan.topics[id.0 as usize].partitions).collect()
}

/// The queues of a consumer with so many members.
pub(super) fn stations(plan: &Plan, consumer: &ConsumerPlan, members: usize) -> Vec<Station> {
    let partitions = partitions(plan, consumer);
    let count = partitions.iter().map(|count| *count as usize).sum();
    match &consumer.dispatch {
        Dispatch::Log(_) => {
            let assignor = consumer.membership.group().map_or(Assignor::Range, |group| group.assignor);
            by_owner(consumer, &owners(assignor, &partitions, &vec![None; count], members), members)
        }
        Dispatch::Queue(queue) => {
            let whole = |share: f64| (0..count).map(|lane| (lane, share)).collect();
            let plain = Station {
                lanes: whole(1.0),
                servers: consumer.workers,
                member: None,
                exclusive: Exclusive::Nothing,
                in_turn: false,
            };
            if members == 0 {
                return Vec::new();
            }
            if queue.prefetch <= consumer.workers {
                let servers = queue.prefetch.saturating_mul(u32::try_from(members).unwrap_or(u32::MAX));
                return vec![Station { servers, ..plain }];
            }
            // What is pushed to a member waits there, however idle the others are.
            let share = 1.0 / members as f64;
            let own = |member| Station { lanes: whole(share), member: Some(member), in_turn: true, ..plain.clone() };
            (0..members).map(own).collect()
        }
    }
}

/// Each member serves the partitions that it owns.
fn by_owner(consumer: &ConsumerPlan, owners: &[Option<usize>], members: usize) -> Vec<Station> {
    let mut found = Vec::new();
    for member in 0..members {
        let mine = owners.iter().enumerate().filter(|(_, owner)| **owner == Some(member));
        let lanes: Vec<(usize, f64)> = mine.map(|(lane, _)| (lane, 1.0)).collect();
        if lanes.is_empty() {
            continue;
        }
        let ordered = consumer.order != WorkerOrder::None;
        let plain =
            |lanes, servers, exclusive| Station { lanes, servers, member: Some(member), exclusive, in_turn: false };
        match (consumer.order, consumer.workers) {
            // A batch holds many keys: ordered ones run one after the other.
            _ if consumer.batch.is_some() && ordered => found.push(plain(lanes, 1, Exclusive::Nothing)),
            (WorkerOrder::None, workers) => found.push(plain(lanes, workers, Exclusive::Nothing)),
            (_, 1) => found.push(plain(lanes, 1, Exclusive::Nothing)),
            (WorkerOrder::Key, workers) => found.push(plain(lanes, workers, Exclusive::Key)),
            (WorkerOrder::Partition, workers) if workers as usize >= lanes.len() => {
                found.extend(lanes.into_iter().map(|lane| plain(vec![lane], 1, Exclusive::Nothing)));
            }
            (WorkerOrder::Partition, workers) => found.push(plain(lanes, workers, Exclusive::Partition)),
        }
    }
    found
}

/// Handlers that can be at work at once.
pub(super) fn servers(stations: &[Station]) -> f64 {
    stations.iter().map(|station| f64::from(station.servers)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::tests::plan_of;

    fn layout(consumer: &str, members: usize) -> Vec<Station> {
        on("ideal", consumer, members)
    }

    fn on(profile: &str, consumer: &str, members: usize) -> Vec<Station> {
        let partitions = if profile == "ideal" { "{ partitions: 5 }" } else { "" };
        let plan = plan_of(&format!(
            "name: layout\nduration: 1m\n\
             buses: {{ main: {{ profile: {profile}, topics: {{ t: {partitions} }}, queues: {{ q: }} }} }}\n\
             producers: {{ p: {{ handler: [ {{ publish: t }}, {{ publish: q }} ], arrivals: {{ poisson: 1/s }}, key: {{ uniform: 9 }} }} }}\n\
             consumers: {{ c: {{ {consumer} }} }}\n"
        ));
        stations(&plan, &plan.consumers[0], members)
    }

    fn shape(stations: &[Station]) -> Vec<(usize, u32, Option<usize>)> {
        stations.iter().map(|station| (station.lanes.len(), station.servers, station.member)).collect()
    }

    #[test]
    fn partitions_go_to_members_by_range() {
        let found = layout("subscribes: t, service_time: 1s", 2);
        assert_eq!(shape(&found), [(3, 1, Some(0)), (2, 1, Some(1))]);
        assert_eq!(shape(&layout("subscribes: t, service_time: 1s", 7)).len(), 5, "two members have nothing to do");
        let found = layout("subscribes: t, workers: 4, order: key, service_time: 1s", 2);
        assert_eq!((shape(&found)[0], found[0].exclusive), ((3, 4, Some(0)), Exclusive::Key));
    }

    #[test]
    fn order_within_partitions_makes_each_a_queue_where_there_are_workers_enough() {
        let found = layout("subscribes: t, workers: 3, order: partition, service_time: 1s", 2);
        assert_eq!(shape(&found), [(1, 1, Some(0)); 3].into_iter().chain([(1, 1, Some(1)); 2]).collect::<Vec<_>>());
        let found = layout("subscribes: t, workers: 2, order: partition, service_time: 1s", 2);
        assert_eq!((shape(&found)[0], found[0].exclusive), ((3, 2, Some(0)), Exclusive::Partition));
    }

    #[test]
    fn a_queue_is_shared_unless_its_members_hoard() {
        let found = layout("subscribes: q, workers: 2, service_time: 1s", 3);
        assert_eq!(shape(&found), [(1, 6, None)]);
        let found = on("rabbitmq-classic", "subscribes: q, service_time: 1s, settings: { prefetch: 50 }", 3);
        assert_eq!(shape(&found), [(1, 1, Some(0)), (1, 1, Some(1)), (1, 1, Some(2))]);
        assert!(found.iter().all(|station| station.in_turn && (station.lanes[0].1 - 1.0 / 3.0).abs() < 1e-12));
    }
}
