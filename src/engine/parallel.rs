//! The windowed schedule on several threads: a pipeline by depth.
//!
//! In one tick the sources produce window k + 1 while the groups that read from them run window k, those behind these run
//! window k - 1, and so on. Within a tick no station hears from another, so any thread may take any of them. Between
//! ticks one thread moves what was published into the logs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use super::group::Group;
use super::schedule::{Station, Windows};
use super::setup::{Publisher, Setup};
use super::topic::Topic;
use super::{World, with_logs};
use crate::time::SimTime;

/// How many groups an event has passed before it reaches each topic and group.
struct Depths {
    topics: Vec<usize>,
    groups: Vec<usize>,
}

impl Depths {
    fn new(world: &World) -> Self {
        let setup = &world.setup;
        let mut depths = Self { topics: vec![0; setup.topics.len()], groups: vec![0; world.groups.len()] };
        for station in world.order.components.iter().flatten() {
            match *station {
                Station::Source(_) | Station::Mesh => {}
                Station::Topic(index) => depths.topics[index] = depths.of_topic(setup, index),
                Station::Group(index) => {
                    let reads = world.groups[index].topics().iter();
                    depths.groups[index] = reads.map(|topic| depths.topics[*topic]).max().unwrap_or(0);
                }
            }
        }
        depths
    }

    fn of_topic(&self, setup: &Setup, index: usize) -> usize {
        let publishers = setup.topics[index].who.iter().map(|who| match *who {
            Publisher::Producer(_) | Publisher::Service(_) => 0,
            Publisher::Consumer(group) | Publisher::Retry(group) => self.groups[group] + 1,
        });
        publishers.max().unwrap_or(0)
    }
}

/// What the threads share.
struct Shared {
    /// Taken out between ticks.
    groups: Vec<Mutex<Option<Group>>>,
    topics: RwLock<Vec<Topic>>,
    /// Next group that nobody has taken in this tick.
    next: AtomicUsize,
    ends: RwLock<Vec<u64>>,
    meeting: Meeting,
    done: AtomicBool,
}

/// Where threads wait for each other. A tick is so short that to be woken by the system costs a good part of it: they look
/// again and again, and leave the processor to others if it takes longer.
struct Meeting {
    threads: usize,
    arrived: AtomicUsize,
    round: AtomicUsize,
}

/// How often a thread looks before it lets others run: some 20 us.
const LOOKS: u32 = 1 << 12;

impl Meeting {
    fn new(threads: usize) -> Self {
        Self { threads, arrived: AtomicUsize::new(0), round: AtomicUsize::new(0) }
    }

    /// Waits until all threads are here.
    fn wait(&self) {
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            self.arrived.store(0, Ordering::Relaxed);
            self.round.store(round.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut looks = 0;
        while self.round.load(Ordering::Acquire) == round {
            if looks < LOOKS {
                looks += 1;
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }
}

/// Runs a world without cycles. False: stopped.
pub(super) fn run(world: &mut World, target: u64, threads: usize, keep_going: &dyn Fn(SimTime) -> bool) -> bool {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { available } else { threads };
    let depths = Depths::new(world);
    let deepest = depths.groups.iter().copied().max().unwrap_or(0);
    let shared = Shared {
        groups: std::mem::take(&mut world.groups).into_iter().map(|group| Mutex::new(Some(group))).collect(),
        topics: RwLock::new(std::mem::take(&mut world.topics)),
        next: AtomicUsize::new(0),
        ends: RwLock::new(vec![0; deepest + 2]),
        meeting: Meeting::new(threads),
        done: AtomicBool::new(false),
    };
    let mut windows = Windows::new(target, world.end);
    let finished = std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| {
                loop {
                    shared.meeting.wait();
                    if shared.done.load(Ordering::Acquire) {
                        return;
                    }
                    take_groups(&shared, &depths);
                    shared.meeting.wait();
                }
            });
        }
        let finished = loop {
            // `ends[0]` is where the sources get to; groups of depth d get to `ends[d + 1]`.
            {
                let mut ends = lock(shared.ends.write());
                if ends.last() == Some(&world.end) {
                    break true;
                }
                ends.rotate_right(1);
                ends[0] = windows.next().unwrap_or(world.end);
            }
            shared.next.store(0, Ordering::Release);
            shared.meeting.wait();
            let until = lock(shared.ends.read())[0];
            for source in &mut world.sources {
                source.advance(until, &mut world.inboxes);
            }
            world.mesh.advance(until, &[], &mut world.inboxes);
            take_groups(&shared, &depths);
            shared.meeting.wait();
            exchange(world, &shared, &depths);
            windows.adapt(world.appended());
            let stop = !keep_going(SimTime(until));
            let exceeded = world.exceeded().is_some();
            hand_back(world, &shared);
            if stop || exceeded {
                break !stop;
            }
        };
        shared.done.store(true, Ordering::Release);
        shared.meeting.wait();
        finished
    });
    world.topics = lock(shared.topics.into_inner());
    world.groups = shared.groups.into_iter().filter_map(|group| lock(group.into_inner())).collect();
    finished
}

fn lock<T>(result: Result<T, PoisonError<T>>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

/// Advances groups that nobody has taken yet.
fn take_groups(shared: &Shared, depths: &Depths) {
    let topics = lock(shared.topics.read());
    let ends = lock(shared.ends.read());
    loop {
        let index = shared.next.fetch_add(1, Ordering::AcqRel);
        let Some(group) = shared.groups.get(index) else { return };
        let mut group = lock(group.lock());
        let Some(group) = group.as_mut() else { continue };
        let until = ends[depths.groups[index] + 1];
        with_logs(&topics, group, |group, logs| group.advance(logs, until));
    }
}

/// Between two ticks: moves what was published into the logs, as far as all publishers have come.
fn exchange(world: &mut World, shared: &Shared, depths: &Depths) {
    let ends = lock(shared.ends.read());
    world.topics = std::mem::take(&mut *lock(shared.topics.write()));
    world.groups = shared.groups.iter().filter_map(|group| lock(group.lock()).take()).collect();
    for group in &mut world.groups {
        group.deliver(&mut world.inboxes);
    }
    for ((topic, inbox), depth) in world.topics.iter_mut().zip(&mut world.inboxes).zip(&depths.topics) {
        topic.release(inbox, ends[*depth]);
    }
    world.settle(ends.last().copied().unwrap_or(0));
}

fn hand_back(world: &mut World, shared: &Shared) {
    *lock(shared.topics.write()) = std::mem::take(&mut world.topics);
    for (slot, group) in shared.groups.iter().zip(world.groups.drain(..)) {
        *lock(slot.lock()) = Some(group);
    }
}
