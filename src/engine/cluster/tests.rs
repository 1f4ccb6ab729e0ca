//! What holds of timelines whatever the faults.

use super::Clusters;
use crate::dist::Dist;
use crate::engine::setup::Rounding;
use crate::engine::tests::{Dice, fail_brokers, plan, topic};
use crate::plan::{Effect, Plan};

fn random_cluster(case: u64) -> Plan {
    let dice = &mut Dice(case.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 7);
    let mut p = plan(2);
    p.topics.push(topic("orders", 1 + u32::try_from(dice.below(5)).unwrap(), Dist::Constant(0.0)));
    fail_brokers(dice, &mut p);
    // Power takes what all copies had.
    p.faults.iter_mut().filter(|it| it.effect == Effect::PowerLoss).for_each(|it| it.effect = Effect::Crash);
    p
}

/// Nobody leads who is not there, nobody else at the same time; somebody is in sync; and where only copies in sync may lead,
/// nothing is lost that all of them had before their leader was gone.
#[test]
fn a_leader_is_there_and_what_all_have_is_kept() {
    let (mut changes, mut lost) = (0, 0);
    for case in 0..400 {
        let p = random_cluster(case);
        let clusters = Clusters::new(&p, case, Rounding(1));
        let Some(cluster) = clusters.topics.get(&0) else { continue };
        let dice = &mut Dice(case);
        for partition in &cluster.partitions {
            let reigns = partition.reigns();
            changes += reigns.len() - 1;
            assert!(reigns.windows(2).all(|pair| pair[0].to <= pair[1].from), "case {case}: {reigns:#?}");
            for (number, reign) in reigns.iter().enumerate() {
                assert!(reign.from <= reign.to, "case {case}");
                let node = &cluster.nodes[reign.leader as usize];
                let closed = node.closed(reign.from, reign.to.saturating_sub(1)).filter(|at| *at < reign.to);
                assert_eq!(closed, None, "case {case}: {reign:?} of {node:?}");
                for _ in 0..20 {
                    let span = (reign.to.min(p.duration.0) - reign.from).max(1);
                    let copied = reign.from + dice.below(span + 30_000_000);
                    let landing = partition.land(number, copied);
                    lost += u32::from(landing.lost.is_some());
                    let acknowledged = landing.visible <= reign.to && copied < reign.to;
                    assert!(
                        landing.lost.is_none() || !acknowledged || p.topics[0].unclean_election,
                        "case {case}: {copied} of {reign:?} is lost at {landing:?}: {partition:#?}"
                    );
                }
            }
            assert!(partition.in_sync.iter().all(|(_, copies)| (1..=p.topics[0].copies).contains(copies)), "{case}");
            let apart = |spans: &[(u64, u64)]| spans.windows(2).all(|pair| pair[0].1 < pair[1].0);
            assert!(apart(&partition.stalls), "case {case}: {:?}", partition.stalls);
        }
    }
    assert!(changes > 500 && lost > 500, "{changes} changes of leaders, {lost} losses");
}

/// Once all faults are over, everybody is in sync again and led by its first copy, where leadership is given back.
#[test]
fn all_is_well_in_the_end() {
    let mut seen = 0;
    for case in 0..200 {
        let mut p = random_cluster(case);
        p.duration = crate::time::SimSpan::from_seconds(20);
        for fault in &mut p.faults {
            fault.every = None;
            fault.lasts.get_or_insert(Dist::Constant(5e7));
        }
        let clusters = Clusters::new(&p, case, Rounding(1));
        let Some(cluster) = clusters.topics.get(&0) else { continue };
        let given_back = p.buses[0].failover.as_ref().unwrap().rebalance.is_some();
        for (number, partition) in (0..).zip(&cluster.partitions) {
            assert_eq!(partition.in_sync(p.duration.0), p.topics[0].copies, "case {case}: {partition:#?}");
            let last = partition.reigns().last().unwrap();
            assert_eq!(last.to, u64::MAX, "case {case}: {partition:#?}");
            assert!(!given_back || last.leader == number % p.topics[0].brokers, "case {case}: {partition:#?}");
            assert!(partition.stalls.iter().all(|(_, to)| *to < u64::MAX), "case {case}: {partition:#?}");
            seen += 1;
        }
    }
    assert!(seen > 300, "{seen}");
}
