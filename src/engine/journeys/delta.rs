//! What stations tell of journeys: small, time-stamped changes of what is still under way.

use std::sync::Arc;

use crate::engine::lineage::origin;
use crate::plan::{ConsumerId, ServiceId, TopicId};

/// What has happened to a journey. In the order in which what happens at one time is applied: what begins comes before
/// what is done, and that before what ends, so that a journey is not over while something of it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) enum News {
    /// It begins: a user's request comes in, or a producer's handler.
    Begun,
    /// It begins with an event that is published at once, and nothing else.
    BegunBy(TopicId),
    /// A consumer begins with an event at the station of services.
    Taken(ConsumerId),
    /// An event of it is published.
    Published(TopicId),
    /// Its user has been told of success, or of failure.
    Told(bool),
    /// A service has committed its local transaction.
    Committed(ServiceId),
    /// A service has done a piece of work.
    Done(ServiceId),
    /// An event has taken effect of which the consumer was thought to be done with.
    Late(ConsumerId),
    /// An event is stored, of this type.
    Stored(TopicId, u16),
    /// An event has taken effect, and the consumer is done with it.
    Effected(ConsumerId),
    /// A consumer is done with an event, which took no effect.
    Missed(ConsumerId),
    /// An event will never be stored.
    Void(TopicId),
    /// What a consumer has begun there is over, and what services do for it.
    LetGo(ConsumerId),
    /// What it began with is over, and what services do for it.
    Left,
}

/// A change of one journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Delta {
    pub(in crate::engine) at: u64,
    pub(in crate::engine) root: u64,
    pub(in crate::engine) what: News,
}

/// Which stations have something to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Follow {
    /// By origin (see [`origin`]): whether anyone follows the journeys that begin there.
    pub(in crate::engine) origins: Vec<bool>,
    /// By topic: whether its events are parts of such a journey.
    pub(in crate::engine) topics: Vec<bool>,
    /// By topic: whether it matters when they are stored.
    pub(in crate::engine) stored: Vec<bool>,
    /// By consumer: whether it matters what becomes of events there.
    pub(in crate::engine) consumers: Vec<bool>,
    /// By service: whether it matters what it does.
    pub(in crate::engine) services: Vec<bool>,
}

/// What one station, or one of its ports, has to tell.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Notes {
    follow: Arc<Follow>,
    speaks: bool,
    list: Vec<Delta>,
}

impl Notes {
    /// Of a station that speaks, or does not.
    pub(in crate::engine) fn new(follow: &Arc<Follow>, speaks: bool) -> Self {
        Self { follow: follow.clone(), speaks, list: Vec::new() }
    }

    /// Whether anyone listens.
    #[inline]
    pub(in crate::engine) fn speaks(&self) -> bool {
        self.speaks
    }

    /// Notes what happens to a journey, if anyone follows it.
    #[inline]
    pub(in crate::engine) fn note(&mut self, at: u64, root: u64, what: News) {
        if self.speaks && self.follow.origins[origin(root)] {
            self.list.push(Delta { at, root, what });
        }
    }

    /// What a service does matters only where somebody asks for it.
    pub(in crate::engine) fn note_service(&mut self, at: u64, root: u64, service: usize, what: fn(ServiceId) -> News) {
        if self.follow.services.get(service) == Some(&true) {
            self.note(at, root, what(ServiceId(u32::try_from(service).expect("services fit 32 bits"))));
        }
    }

    /// Hands over all that was noted.
    #[inline]
    pub(in crate::engine) fn tell(&mut self, to: &mut Vec<Delta>) {
        if !self.list.is_empty() {
            to.append(&mut self.list);
        }
    }

    /// Whether nothing was noted.
    #[inline]
    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
