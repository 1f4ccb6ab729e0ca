//! Which member of a group owns which partition.

use crate::plan::Assignor;

/// The owners of all partitions (of all topics in order, `partitions` of each), by place among `members`; none where there is
/// nobody. `before` are the owners so far, which matter to who keeps as much as possible.
///
/// # Panics
/// If `before` is not as long as there are partitions.
#[must_use]
pub fn owners(assignor: Assignor, partitions: &[u32], before: &[Option<usize>], members: usize) -> Vec<Option<usize>> {
    match assignor {
        Assignor::Range => by_range(partitions, members),
        Assignor::Turn => (0..before.len()).map(|lane| lane.checked_rem(members)).collect(),
        Assignor::Sticky => sticky(before, members),
    }
}

/// Partitions given to members by range, topic by topic: contiguous shares, the first ones one larger. By partition (of all
/// topics in order) the place of its owner among `members`; none where there is nobody.
#[must_use]
pub fn by_range(partitions: &[u32], members: usize) -> Vec<Option<usize>> {
    let mut owners = Vec::new();
    for count in partitions.iter().map(|count| *count as usize) {
        if members == 0 {
            owners.extend((0..count).map(|_| None));
            continue;
        }
        let (share, extra) = (count / members, count % members);
        for member in 0..members {
            let count = share + usize::from(member < extra);
            owners.extend((0..count).map(|_| Some(member)));
        }
    }
    owners
}

/// As evenly as can be, with as few partitions as can be that leave their owner: the larger shares go to those who have as
/// many already. What is free is dealt to those who lack some, in turn.
fn sticky(before: &[Option<usize>], members: usize) -> Vec<Option<usize>> {
    if members == 0 {
        return vec![None; before.len()];
    }
    let (share, mut larger) = (before.len() / members, before.len() % members);
    let mut had = vec![0; members];
    before.iter().flatten().for_each(|owner| had[*owner] += 1);
    let mut may_have = vec![share; members];
    // First who has more than the smaller share, then the others in order.
    for keeps in [true, false] {
        for member in 0..members {
            if larger > 0 && may_have[member] == share && (had[member] > share) == keeps {
                may_have[member] += 1;
                larger -= 1;
            }
        }
    }
    let mut has = vec![0; members];
    let mut owners: Vec<Option<usize>> = before
        .iter()
        .map(|owner| {
            let owner = owner.filter(|owner| has[*owner] < may_have[*owner])?;
            has[owner] += 1;
            Some(owner)
        })
        .collect();
    let mut next = 0;
    for owner in owners.iter_mut().filter(|owner| owner.is_none()) {
        while has[next] == may_have[next] {
            next = (next + 1) % members;
        }
        has[next] += 1;
        *owner = Some(next);
        next = (next + 1) % members;
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(owners: &[Option<usize>], members: usize) -> Vec<usize> {
        (0..members).map(|member| owners.iter().filter(|owner| **owner == Some(member)).count()).collect()
    }

    /// The fewest moves of an even assignment, by trying all of them.
    fn fewest(before: &[Option<usize>], members: usize) -> usize {
        let mut best = usize::MAX;
        let all = members.pow(u32::try_from(before.len()).unwrap());
        for code in 0..all {
            let mut rest = code;
            let owners: Vec<Option<usize>> = before
                .iter()
                .map(|_| {
                    let owner = rest % members;
                    rest /= members;
                    Some(owner)
                })
                .collect();
            let counts = counts(&owners, members);
            if counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1 {
                best = best.min(moves(before, &owners));
            }
        }
        best
    }

    fn moves(before: &[Option<usize>], after: &[Option<usize>]) -> usize {
        before.iter().zip(after).filter(|(before, after)| before.is_some() && before != after).count()
    }

    #[test]
    fn sticky_is_even_and_moves_as_few_as_possible() {
        let mut code: u64 = 1;
        for _ in 0..400 {
            code = code.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut draw = code >> 20;
            let mut pick = |below: u64| {
                let found = draw % below;
                draw /= below;
                usize::try_from(found).unwrap()
            };
            let (members, lanes) = (1 + pick(3), 1 + pick(6));
            let before: Vec<Option<usize>> =
                (0..lanes).map(|_| Some(pick(members as u64 + 1)).filter(|owner| *owner < members)).collect();
            let after = owners(Assignor::Sticky, &[], &before, members);
            let counts = counts(&after, members);
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{before:?} {after:?}");
            assert_eq!(moves(&before, &after), fewest(&before, members), "{before:?} {after:?}");
        }
    }

    #[test]
    fn in_turn_goes_through_all_topics() {
        let after = owners(Assignor::Turn, &[3, 2], &[None; 5], 2);
        assert_eq!(after, [Some(0), Some(1), Some(0), Some(1), Some(0)]);
        assert_eq!(owners(Assignor::Turn, &[3], &[None; 3], 0), [None; 3]);
        assert_eq!(owners(Assignor::Range, &[3, 2], &[None; 5], 2), [Some(0), Some(0), Some(1), Some(0), Some(1)]);
    }
}
