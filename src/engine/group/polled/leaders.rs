//! Members of a group on a bus whose nodes fail: whom each fetches from, and what it makes of a broker that is gone.

use std::sync::Arc;

use super::Polled;
use super::member::{Fetch, Member, Session};
use crate::engine::cluster::{Cluster, Refresher, Route};
use crate::engine::group::Core;
use crate::engine::log::Log;
use crate::plan::LogDispatch;
use crate::random::Stream;

/// Brokers of different topics are kept apart: these may lie on different buses.
pub(super) const BROKERS: usize = 10_000;

/// What comes of a fetch that waits at a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stir {
    /// It is answered.
    Answered(u64),
    /// The connection is closed, or there is no answer in time.
    Failed(u64),
}

impl Stir {
    /// When.
    pub(super) fn at(self) -> u64 {
        let (Self::Answered(at) | Self::Failed(at)) = self;
        at
    }
}

/// Who leads the partitions of a group, as far as their owners know.
#[derive(Clone, Debug)]
pub(super) struct Leaders {
    /// By topic: where nodes fail.
    clusters: Vec<Option<Arc<Cluster>>>,
    /// By partition of the group: topic, partition, and what its owner knows.
    routes: Vec<(usize, usize, Route)>,
    /// By member.
    refreshers: Vec<Refresher>,
    request_timeout: u64,
}

impl Leaders {
    /// None where no node ever fails.
    pub(super) fn new(core: &Core, dispatch: &LogDispatch) -> Option<Self> {
        core.clusters.iter().flatten().next()?;
        let stream = Stream::named(core.seed, &format!("{}/metadata", core.name));
        let refresher = |member: usize| Refresher::new(dispatch.refresh, stream.part(member as u64), core.rounding);
        Some(Self {
            clusters: core.clusters.clone(),
            routes: core.lanes.iter().map(|id| (id.slot, id.partition as usize, Route::default())).collect(),
            refreshers: (0..core.members.len()).map(refresher).collect(),
            request_timeout: dispatch.request_timeout.0.max(1),
        })
    }

    /// A new owner of a partition asks who leads it.
    pub(super) fn ask(&mut self, member: usize, lane: usize, now: u64) {
        let (slot, partition, route) = &mut self.routes[lane];
        if let Some(cluster) = &self.clusters[*slot] {
            *route = Route::fresh(cluster, &self.refreshers[member], *partition, now);
        }
    }

    /// The broker from which a member fetches a partition; else when it looks again. None: its nodes do not fail.
    fn leader(&mut self, member: usize, lane: usize, now: u64) -> Option<Result<usize, u64>> {
        let (slot, partition, route) = &mut self.routes[lane];
        let cluster = self.clusters[*slot].as_ref()?;
        let leader = route.leader(cluster, &self.refreshers[member], *partition, now);
        let known = route.known_at().unwrap_or(u64::MAX);
        Some(leader.map(|node| *slot * BROKERS + node as usize).ok_or(known))
    }

    /// Something makes a member ask at `now` whether a partition is led by whom it thinks.
    fn notice(&mut self, member: usize, lane: usize, now: u64) {
        let (slot, partition, route) = &mut self.routes[lane];
        if let Some(cluster) = &self.clusters[*slot] {
            route.notice(&cluster.partitions[*partition], &self.refreshers[member], now);
        }
    }

    /// When the reign in which a partition's owner believes ends.
    fn ends(&self, lane: usize) -> u64 {
        let (slot, partition, route) = &self.routes[lane];
        let cluster = self.clusters[*slot].as_ref();
        cluster.map_or(u64::MAX, |cluster| cluster.partitions[*partition].reigns()[route.reign()].to)
    }

    /// What comes of a fetch that is at its broker from `from` on and would be answered at `answer`, and when.
    pub(super) fn stirs(&self, session: &Session, from: u64, answer: u64) -> Stir {
        let Some(cluster) = &self.clusters[session.broker / BROKERS] else { return Stir::Answered(answer) };
        let node = &cluster.nodes[session.broker % BROKERS];
        // Where another leads by now, the broker says so.
        let told = session.asked.iter().map(|(lane, _)| self.ends(*lane).max(from)).min().unwrap_or(u64::MAX);
        let answer = answer.min(told);
        let closed = |until: u64| node.closed(from, until).map(|at| at.max(from));
        if let Some(at) = closed(answer) {
            return Stir::Failed(at);
        }
        if answer == u64::MAX {
            return Stir::Answered(answer);
        }
        // One that stands still when it is to answer is waited for so long.
        let stands = node.pause(answer).filter(|(since, _)| *since <= answer);
        let late = stands.map_or(u64::MAX, |(since, _)| since.max(from).saturating_add(self.request_timeout));
        match node.serves(answer) {
            Some(served) if served <= late => Stir::Answered(served),
            Some(_) => Stir::Failed(late),
            None => Stir::Failed(closed(u64::MAX).unwrap_or(u64::MAX).min(late)),
        }
    }
}

impl Polled {
    /// A member fetches a partition from the broker that it takes for its leader, once it knows one.
    pub(super) fn place(&mut self, member: usize, lane: usize, now: u64) {
        let leader = self.leaders.as_mut().and_then(|leaders| leaders.leader(member, lane, now));
        let state = &mut self.members[member];
        match leader.unwrap_or(Ok(self.lanes[lane].broker)) {
            Ok(broker) => state.session(broker).lanes.push(lane),
            Err(known) => state.homeless.push((known, lane)),
        }
    }

    /// Before it fetches, a member finds out who leads what.
    pub(super) fn find_leaders(&mut self, core: &Core, logs: &[&Log], member: usize, now: u64) {
        let Some(leaders) = &mut self.leaders else { return };
        let Member { sessions, homeless, .. } = &mut self.members[member];
        let mut moved: Vec<usize> = homeless.extract_if(.., |(at, _)| *at <= now).map(|(_, lane)| lane).collect();
        for session in sessions.iter_mut().filter(|session| session.fetch == Fetch::Idle) {
            let broker = session.broker;
            let mut stays = |lane: usize| leaders.leader(member, lane, now).is_none_or(|leader| leader == Ok(broker));
            moved.extend(session.lanes.extract_if(.., |lane| !stays(*lane)));
        }
        if moved.is_empty() {
            return;
        }
        moved.iter().for_each(|lane| self.place(member, *lane, now));
        self.ask_too(core, logs, member, &moved, now);
    }

    /// A fetch that waits for others is sent anew before long, and asks for these partitions too.
    pub(super) fn ask_too(&mut self, core: &Core, logs: &[&Log], member: usize, moved: &[usize], now: u64) {
        for Session { lanes, fetch, asked, .. } in &mut self.members[member].sessions {
            let Fetch::Parked { from } = fetch else { continue };
            for lane in moved.iter().filter(|lane| lanes.contains(lane) && self.lanes[**lane].wants_more()) {
                asked.push((*lane, self.lanes[*lane].fetched));
                *from = now.max(*from);
            }
        }
        self.look_at_fetches(core, logs, member);
    }

    /// The connection to a broker is gone, or taken for gone: the member looks for the leaders of what it fetched there.
    pub(super) fn lose_connection(&mut self, member: usize, session: usize, now: u64) {
        let Some(leaders) = &mut self.leaders else { return };
        let Member { sessions, homeless, .. } = &mut self.members[member];
        let session = &mut sessions[session];
        (session.fetch, session.due) = (Fetch::Idle, u64::MAX);
        session.asked.clear();
        for lane in session.lanes.drain(..) {
            leaders.notice(member, lane, now);
            homeless.push((now, lane));
        }
    }

    /// A broker answers at `now` that it does not lead some of the partitions that it was asked for; the member hears it
    /// at `arrives`.
    pub(super) fn turn_away(&mut self, member: usize, session: usize, now: u64, arrives: u64) {
        let Some(leaders) = &mut self.leaders else { return };
        let Member { sessions, homeless, .. } = &mut self.members[member];
        let session = &mut sessions[session];
        let over = |lane: usize| leaders.ends(lane) <= now;
        let lost: Vec<usize> = session.asked.extract_if(.., |(lane, _)| over(*lane)).map(|(lane, _)| lane).collect();
        session.lanes.retain(|lane| !lost.contains(lane));
        for lane in lost {
            leaders.notice(member, lane, arrives);
            homeless.push((arrives, lane));
        }
    }
}
