//! The story of the event that a run watches, put together from what stations tell of it.

use crate::outcome::{Chapter, Story, Told, TraceRecord};
use crate::time::SimTime;

/// All that was `told`, and the event's deliveries, in order of time until the `end` of the run.
pub(super) fn put_together(told: Story, deliveries: &[TraceRecord], end: u64) -> Story {
    let mut story = told;
    let seen: Vec<SimTime> = story.iter().filter_map(visible).collect();
    for delivery in deliveries {
        // Who reads what is committed sees it when all that began before it has ended.
        if !seen.is_empty() && delivery.retry == 0 && !seen.contains(&delivery.visible) {
            story.push(Chapter { at: delivery.visible, told: Told::Seen(delivery.consumer) });
        }
        let TraceRecord { consumer, member, retry, .. } = *delivery;
        let from = (delivery.partition, delivery.offset);
        let told = [
            (delivery.start, Told::Begun { consumer, member, retry, from }),
            (delivery.done, Told::Ended { consumer, member, result: delivery.result }),
            (delivery.settled, Told::Settled(consumer)),
        ];
        story.extend(told.map(|(at, told)| Chapter { at, told }));
    }
    // What has not happened by the end is not told.
    story.retain(|chapter| chapter.at.0 <= end);
    story.sort_by_key(|chapter| (chapter.at, chapter.told));
    story.dedup();
    leave_out_others(&mut story);
    story
}

/// Groups tell of all their members and partitions: what happens while a consumer has yet to be done with the event, to its
/// partition and to the member that has it, is of its story.
fn leave_out_others(story: &mut Story) {
    let stored: Vec<(SimTime, u32)> = story.iter().filter_map(stored).collect();
    let last = |of: u32| story.iter().filter(|chapter| is_of(chapter.told, of)).map(|chapter| chapter.at).max();
    let lasts: Vec<Option<SimTime>> = (0..).take(consumers(story)).map(last).collect();
    let mut owners = vec![None; lasts.len()];
    story.retain(|chapter| {
        let is_due = |consumer: u32| lasts[consumer as usize].is_none_or(|last| chapter.at <= last);
        match chapter.told {
            Told::Begun { consumer, member, .. } => {
                owners.iter_mut().skip(consumer as usize).take(1).for_each(|owner| *owner = Some(member));
                true
            }
            Told::Expelled { consumer, member, .. } => owners[consumer as usize] == Some(member) && is_due(consumer),
            Told::Given { consumer, partition, member } => {
                let its_own = stored.iter().any(|(at, other)| *at <= chapter.at && *other == partition);
                its_own && is_due(consumer) && owners[consumer as usize].replace(member) != Some(member)
            }
            _ => true,
        }
    });
}

fn visible(chapter: &Chapter) -> Option<SimTime> {
    match chapter.told {
        Told::Stored { visible, .. } => Some(visible),
        _ => None,
    }
}

fn stored(chapter: &Chapter) -> Option<(SimTime, u32)> {
    match chapter.told {
        Told::Stored { partition, .. } => Some((chapter.at, partition)),
        _ => None,
    }
}

/// Whether a consumer does something with the event.
fn is_of(told: Told, of: u32) -> bool {
    match told {
        Told::Begun { consumer, .. } | Told::Ended { consumer, .. } => consumer == of,
        Told::Settled(consumer) | Told::Missed(consumer, _) | Told::Unwanted(consumer) | Told::PassedOver(consumer) => {
            consumer == of
        }
        _ => false,
    }
}

/// One more than the highest index of a consumer whose group is told of.
fn consumers(story: &Story) -> usize {
    let group = |chapter: &Chapter| match chapter.told {
        Told::Expelled { consumer, .. } | Told::Given { consumer, .. } => consumer as usize + 1,
        _ => 0,
    };
    story.iter().map(group).max().unwrap_or(0)
}
