//! Fetches of a polled group: one at a time for each member and broker, parked there until something is visible.

use super::lane::Lane;
use super::leaders::{Leaders, Stir};
use super::member::{Chunk, Fetch, Member, Session};
use super::{Config, Core, Log, Polled};
use crate::plan::Reset;

/// So many records are worth a look at their keys.
pub(super) const MANY: u64 = 64;

impl Polled {
    /// Members whose parked fetches may now be answered are due at another time.
    pub(super) fn notice(&mut self, core: &mut Core, logs: &[&Log]) {
        let appended = logs.iter().map(|log| log.appended).sum();
        if appended == self.seen {
            return;
        }
        // Who sleeps while records come recalls their keys when it takes them.
        if appended - self.seen >= MANY && self.config.every.is_none() {
            self.recall(core, logs);
        }
        self.seen = appended;
        if core.transactional {
            self.decide_all(core, logs);
        }
        for member in 0..self.members.len() {
            if self.look_at_fetches(core, logs, member) {
                self.due[member] = self.due_of(core, member);
            }
        }
    }

    /// Has at hand what is known of the keys of new records.
    fn recall(&mut self, core: &Core, logs: &[&Log]) {
        for (lane, state) in self.lanes.iter_mut().enumerate() {
            let log_lane = core.log_lane(logs, lane);
            core.meter.recall(core.lanes[lane].slot, log_lane.from(state.recalled.max(log_lane.base())));
            state.recalled = log_lane.end();
        }
    }

    /// Finds out anew when the fetches of a member that wait at a broker are answered. Whether there are any.
    pub(super) fn look_at_fetches(&mut self, core: &Core, logs: &[&Log], member: usize) -> bool {
        let mut parked = false;
        for session in &mut self.members[member].sessions {
            if let Fetch::Parked { from } = session.fetch {
                parked = true;
                session.due = stirs_at(&self.lanes, self.leaders.as_deref(), core, logs, session, from).at();
            }
        }
        parked
    }

    /// When a fetch request that is sent at `now` reaches its broker: one that is lost is sent again.
    fn requested(&self, core: &mut Core, member: usize, mut now: u64) -> u64 {
        while now < core.end {
            let (delay, verdict) = core.wire.send(member, now);
            if !verdict.dropped {
                return now.saturating_add(delay);
            }
            now = now.saturating_add(self.config.request_timeout);
        }
        u64::MAX
    }

    /// Sends fetch requests for partitions of which nothing is buffered.
    pub(super) fn fetch(&mut self, core: &mut Core, logs: &[&Log], member: usize, now: u64) {
        if self.leaders.is_some() {
            self.find_leaders(core, logs, member, now);
        }
        for at in 0..self.members[member].sessions.len() {
            let session = &mut self.members[member].sessions[at];
            if let Fetch::Parked { from } = session.fetch {
                self.wait_no_longer(core, logs, (member, at), from, now);
            }
            let session = &mut self.members[member].sessions[at];
            if session.fetch != Fetch::Idle {
                continue;
            }
            session.asked.extend(session.lanes.iter().filter_map(|lane| {
                let state = &self.lanes[*lane];
                state.wants_more().then_some((*lane, state.fetched))
            }));
            if !session.asked.is_empty() {
                let from = self.requested(core, member, now);
                self.park(core, logs, member, at, from);
            }
        }
    }

    /// A fetch that waits for some partitions while another is to be asked for is answered when its wait is over, the first
    /// or, since it asks for nothing else until then, a later one: they follow each other from `from` on.
    fn wait_no_longer(&mut self, core: &Core, logs: &[&Log], (member, session): (usize, usize), from: u64, now: u64) {
        let session = &mut self.members[member].sessions[session];
        if session.ends < u64::MAX || session.asked.len() == session.lanes.len() {
            return;
        }
        let wanting = session.lanes.iter().filter(|lane| self.lanes[**lane].wants_more()).count();
        if wanting > session.asked.len() {
            let waits = now.saturating_sub(from).div_ceil(self.config.fetch_max_wait).max(1);
            session.ends = from.saturating_add(waits.saturating_mul(self.config.fetch_max_wait));
            session.due = stirs_at(&self.lanes, self.leaders.as_deref(), core, logs, session, from).at();
        }
    }

    /// A fetch request waits at its broker from `from` on.
    fn park(&mut self, core: &Core, logs: &[&Log], member: usize, session: usize, from: u64) {
        let session = &mut self.members[member].sessions[session];
        (session.fetch, session.ends) = (Fetch::Parked { from }, u64::MAX);
        session.due = stirs_at(&self.lanes, self.leaders.as_deref(), core, logs, session, from).at();
    }

    pub(super) fn step_fetch(&mut self, core: &mut Core, logs: &[&Log], member: usize, session: usize, now: u64) {
        match self.members[member].sessions[session].fetch {
            Fetch::Idle => {}
            Fetch::Parked { from } => {
                let parked = &self.members[member].sessions[session];
                if let Stir::Failed(_) = stirs_at(&self.lanes, self.leaders.as_deref(), core, logs, parked, from) {
                    return self.lose_connection(member, session, now);
                }
                let (delay, verdict) = core.wire.send(member, now);
                if verdict.response_lost {
                    let again = now.saturating_add(self.config.request_timeout);
                    let from = self.requested(core, member, again);
                    return self.park(core, logs, member, session, from);
                }
                if self.leaders.is_some() {
                    self.turn_away(member, session, now, now.saturating_add(delay));
                }
                let session = &mut self.members[member].sessions[session];
                session.asked.retain_mut(|(lane, end)| {
                    let state = &self.lanes[*lane];
                    let log_lane = core.log_lane(logs, *lane);
                    let seen_end = log_lane.seen_end(state.fetched, now + 1, core.committed_only);
                    *end = seen_end.min(self.config.most(state, log_lane, now));
                    *end > state.fetched
                });
                (session.fetch, session.due) = (Fetch::Arriving { answered: now }, now.saturating_add(delay));
            }
            Fetch::Arriving { answered } => {
                let Member { sessions, buffer, .. } = &mut self.members[member];
                let session = &mut sessions[session];
                let arrived = std::mem::replace(&mut session.due, u64::MAX);
                session.fetch = Fetch::Idle;
                for (lane, to) in session.asked.drain(..) {
                    let from = std::mem::replace(&mut self.lanes[lane].fetched, to);
                    let reset = self.config.reset == Reset::Latest && from < core.log_lane(logs, lane).start(answered);
                    let (due, reset) = (core.due(logs, lane, from), if reset { to } else { 0 });
                    buffer.push_back(Chunk { lane, from, to, reset, due, answered, arrived });
                }
            }
        }
    }
}

impl Config {
    /// The end of what a fetch may bring of a partition: so many records of those that are not deleted; where the reader goes
    /// on with what comes next, it passes over all that is there.
    fn most(&self, lane: &Lane, log: &crate::engine::log::Lane, now: u64) -> u64 {
        let start = log.start(now);
        if start > lane.fetched && self.reset == Reset::Latest {
            return lane.awake;
        }
        lane.awake.min(lane.fetched.max(start).saturating_add(self.max_fetch))
    }
}

/// When something comes of a fetch that is at its broker from `from` on: an answer, or its end.
fn stirs_at(
    lanes: &[Lane],
    leaders: Option<&Leaders>,
    core: &Core,
    logs: &[&Log],
    session: &Session,
    from: u64,
) -> Stir {
    let answer = answered_at(lanes, core, logs, &session.asked, from).min(session.ends);
    leaders.map_or(Stir::Answered(answer), |leaders| leaders.stirs(session, from, answer))
}

/// When a fetch that is at its broker from `from` on is answered: as soon as one of the partitions has something.
fn answered_at(lanes: &[Lane], core: &Core, logs: &[&Log], asked: &[(usize, u64)], from: u64) -> u64 {
    let heads = asked.iter().filter_map(|(lane, fetched)| {
        let seen = core.log_lane(logs, *lane).seen_at(*fetched, core.committed_only)?;
        (*fetched < lanes[*lane].awake).then_some(seen)
    });
    heads.min().map_or(u64::MAX, |visible| visible.max(from))
}
