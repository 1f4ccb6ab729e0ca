//! One partition: who leads it when, what is in sync, and what a change of leaders takes away.

use super::node::{Spans, after};
use crate::outcome::LossCause;

/// What of a partition's log a copy has: all of the reigns before this one, and of this one what was copied by a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Has {
    pub(super) reign: usize,
    pub(super) until: u64,
}

/// The time in which one node leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Reign {
    /// The node.
    pub(in crate::engine) leader: u32,
    /// It serves from here on.
    pub(in crate::engine) from: u64,
    /// And before this: then it is gone, stands still for so long that another is chosen, or has handed over.
    pub(in crate::engine) to: u64,
    /// What the next leader has, and what it would have if its power had not failed.
    pub(super) kept: Has,
    pub(super) had: Has,
    /// Whether the next leader had not been in sync.
    pub(super) unclean: bool,
}

/// What comes of a record that a leader has appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Landing {
    /// When all copies in sync have it and readers may see it, unless it is lost before; `u64::MAX`: not in this run.
    pub(in crate::engine) visible: u64,
    /// When a leader without it takes over, and what that is called.
    pub(in crate::engine) lost: Option<(u64, LossCause)>,
}

/// One partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Partition {
    /// In order of time, without overlap.
    pub(super) reigns: Vec<Reign>,
    /// When nothing becomes visible: nobody leads, or a copy that counts as in sync does not follow.
    pub(super) stalls: Spans,
    /// Copies in sync, from when on.
    pub(super) in_sync: Vec<(u64, u32)>,
}

impl Partition {
    /// The reigns, in order.
    pub(in crate::engine) fn reigns(&self) -> &[Reign] {
        &self.reigns
    }

    /// The reign in which a node leads at a time.
    pub(in crate::engine) fn reign_of(&self, node: u32, time: u64) -> Option<usize> {
        let at = self.reigns.partition_point(|reign| reign.from <= time).checked_sub(1)?;
        let reign = &self.reigns[at];
        (reign.leader == node && time < reign.to).then_some(at)
    }

    /// The first reign after `reign` that lasts beyond a time.
    pub(in crate::engine) fn next_reign(&self, reign: usize, time: u64) -> Option<usize> {
        (reign + 1..self.reigns.len()).find(|next| self.reigns[*next].to > time)
    }

    /// Copies in sync at a time.
    pub(in crate::engine) fn in_sync(&self, time: u64) -> u32 {
        let begun = self.in_sync.partition_point(|(from, _)| *from <= time);
        self.in_sync[..begun].last().map_or(0, |(_, copies)| *copies)
    }

    /// What comes of a record of a reign that every copy in sync would have at `copied`.
    pub(in crate::engine) fn land(&self, reign: usize, copied: u64) -> Landing {
        Landing { visible: after(&self.stalls, copied), lost: self.lost(reign, copied) }
    }

    /// When a record is appended and seen that is sent at `time`, and again until it is stored for good: `copying` is how long
    /// the copies in sync take to have it, of which there must be `least`. None: not in this run.
    pub(in crate::engine) fn insist(&self, mut time: u64, copying: u64, least: u32) -> Option<(u64, u64)> {
        loop {
            let reign = self.reigns.partition_point(|reign| reign.to <= time);
            time = time.max(self.reigns.get(reign)?.from);
            let in_sync = self.in_sync(time);
            if in_sync < least {
                let later = self.in_sync.iter().find(|(from, copies)| *from > time && *copies >= least);
                time = later?.0;
                continue;
            }
            // A leader that is alone in sync waits for nobody.
            let landing = self.land(reign, if in_sync > 1 { time.saturating_add(copying) } else { time });
            match landing.lost {
                None => return (landing.visible < u64::MAX).then_some((time, landing.visible)),
                Some((lost, _)) => time = lost.max(time + 1),
            }
        }
    }

    fn lost(&self, reign: usize, copied: u64) -> Option<(u64, LossCause)> {
        self.reigns[reign..].windows(2).find_map(|pair| {
            let [ending, next] = pair else { return None };
            let wanted = Has { reign, until: copied };
            let cause = if wanted <= ending.had {
                LossCause::NotSynced
            } else if ending.unclean {
                LossCause::UncleanElection
            } else {
                LossCause::LostBeforeReplication
            };
            (wanted > ending.kept).then_some((next.from, cause))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reign(leader: u32, from: u64, to: u64, kept: (usize, u64), unclean: bool) -> Reign {
        let kept = Has { reign: kept.0, until: kept.1 };
        Reign { leader, from, to, kept, had: kept, unclean }
    }

    fn partition() -> Partition {
        Partition {
            reigns: vec![
                reign(0, 0, 100, (0, 100), false),
                reign(1, 110, 200, (0, 50), true),
                reign(0, 220, u64::MAX, (0, 0), false),
            ],
            stalls: vec![(100, 110), (150, 160), (200, 220)],
            in_sync: vec![(0, 3), (110, 2), (160, 1)],
        }
    }

    #[test]
    fn a_record_is_lost_with_the_first_leader_that_lacks_it() {
        let p = partition();
        assert_eq!(p.land(0, 40), Landing { visible: 40, lost: None });
        assert_eq!(p.land(0, 100), Landing { visible: 110, lost: Some((220, LossCause::UncleanElection)) });
        assert_eq!(p.land(0, 101), Landing { visible: 110, lost: Some((110, LossCause::LostBeforeReplication)) });
        assert_eq!(p.land(1, 155), Landing { visible: 160, lost: Some((220, LossCause::UncleanElection)) });
        assert_eq!(p.land(2, 300), Landing { visible: 300, lost: None });
    }

    /// Of the table: nobody leads from 100 to 110, and a leader that lacks it takes over at 220.
    #[test]
    fn what_is_sent_until_it_is_stored_is_stored_by_who_leads_then() {
        let p = partition();
        assert_eq!(p.insist(30, 10, 1), Some((30, 40)));
        assert_eq!(p.insist(95, 10, 1), Some((220, 220)), "lost with the first leader, and with the second");
        assert_eq!(p.insist(105, 10, 1), Some((220, 220)), "lost with the second");
        assert_eq!(p.insist(300, 10, 1), Some((300, 300)), "alone in sync");
        assert_eq!(p.insist(300, 10, 2), None, "never enough copies again");
    }

    #[test]
    fn what_was_not_on_disk_is_lost_by_that() {
        let mut p = partition();
        p.reigns[0].had = Has { reign: 0, until: 100 };
        p.reigns[0].kept = Has { reign: 0, until: 60 };
        let lost = |copied| p.land(0, copied).lost;
        assert_eq!(lost(60), Some((220, LossCause::UncleanElection)), "by the one after");
        assert_eq!(lost(61), Some((110, LossCause::NotSynced)));
        assert_eq!(lost(101), Some((110, LossCause::LostBeforeReplication)));
    }

    #[test]
    fn a_reign_is_found_by_node_and_time() {
        let p = partition();
        assert_eq!(
            [(0, 99), (0, 100), (1, 110), (0, 110), (0, 999)].map(|(node, time)| p.reign_of(node, time)),
            [Some(0), None, Some(1), None, Some(2)]
        );
        assert_eq!((p.next_reign(0, 105), p.next_reign(0, 200), p.next_reign(2, 300)), (Some(1), Some(2), None));
        assert_eq!([0, 109, 110, 200].map(|time| p.in_sync(time)), [3, 3, 2, 1]);
    }
}
