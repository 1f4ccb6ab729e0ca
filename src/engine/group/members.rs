//! What members of a group live under: whether their process is there and works, how fast, and how often it fails.

/// The outer conditions of one member.
#[derive(Clone, Debug)]
pub(super) struct MemberConditions {
    /// Part of the group's wanted size.
    pub(super) wanted: bool,
    /// Operators have stopped the group, and not started this process again.
    pub(super) stopped: bool,
    /// Crashes that hold it down.
    pub(super) down: u32,
    /// Service takes so many times as long: the product of all slow-downs.
    pub(super) slow: f64,
    pub(super) slows: Vec<(usize, f64)>,
    pub(super) fails: Vec<(usize, f64)>,
    /// Stands still until then, and since when.
    pub(super) paused_until: u64,
    pub(super) paused_since: u64,
    /// So many of the next events that it takes are poisoned.
    pub(super) poison_left: u64,
    /// Times that a handler took the process with it.
    pub(super) crashes: u64,
}

impl MemberConditions {
    /// As a run begins.
    pub(super) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            stopped: false,
            down: 0,
            slow: 1.0,
            slows: Vec::new(),
            fails: Vec::new(),
            paused_until: 0,
            paused_since: 0,
            poison_left: 0,
            crashes: 0,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.wanted && !self.stopped && self.down == 0
    }

    /// The product of all factors, in the order of the faults (the same rounding whatever came first).
    pub(super) fn refresh(&mut self) {
        self.slows.sort_by_key(|(fault, _)| *fault);
        self.slow = self.slows.iter().map(|(_, factor)| factor).product();
    }
}

/// A fault is over.
pub(super) fn remove_one(list: &mut Vec<(usize, f64)>, fault: usize) {
    if let Some(at) = list.iter().position(|(f, _)| *f == fault) {
        list.remove(at);
    }
}
