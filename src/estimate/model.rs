//! All that an estimate knows of a plan, worked out once and in the order in which one thing needs the other.

use std::collections::BTreeMap;

use super::bus::Publishing;
use super::flows::{Flows, Publisher};
use super::inputs::Requests;
use super::moments::Moments;
use super::rates::Grid;
use super::services::Service;
use super::work::Untimed;
use crate::partition::KeyTexts;
use crate::plan::Plan;

/// A plan with its rates, and what was found out so far.
pub(super) struct Model<'p> {
    pub(super) plan: &'p Plan,
    pub(super) grid: Grid,
    pub(super) flows: Flows<'p>,
    pub(super) texts: KeyTexts,
    publishing: BTreeMap<(Publisher, usize), Publishing>,
    /// Estimates of services that calls need.
    pub(super) services: Vec<Known<Service>>,
    /// How unevenly consumers are done with events.
    pub(super) departures: Vec<Known<f64>>,
    /// How requests come to services.
    pub(super) requests: Vec<Known<Requests>>,
    /// How long resources are waited for.
    pub(super) grants: Vec<Known<Result<Moments, Untimed>>>,
}

/// Something that may need itself.
#[derive(Clone, Debug)]
pub(super) enum Known<T> {
    /// Nobody has asked.
    NotYet,
    /// It is being found out.
    Asked,
    /// This.
    Found(T),
}

impl<'p> Model<'p> {
    /// Of a plan.
    pub(super) fn of(plan: &'p Plan) -> Self {
        let grid = Grid::of(plan);
        let flows = Flows::of(plan, &grid);
        let mut publishing = BTreeMap::new();
        let all = |publisher: Publisher, clients: &[(crate::plan::TopicId, crate::plan::ClientPlan)]| {
            clients.iter().map(|(topic, _)| (publisher, topic.0 as usize)).collect::<Vec<_>>()
        };
        let producers = plan.producers.iter().enumerate().map(|(at, it)| all(Publisher::Producer(at), &it.clients));
        let consumers = plan.consumers.iter().enumerate().map(|(at, it)| all(Publisher::Consumer(at), &it.clients));
        let services = plan.services.iter().enumerate().map(|(at, it)| all(Publisher::Service(at), &it.clients));
        for (publisher, topic) in producers.chain(consumers).chain(services).flatten() {
            publishing.insert((publisher, topic), Publishing::of(plan, &grid, &flows, publisher, topic));
        }
        Self {
            services: vec![Known::NotYet; plan.services.len()],
            departures: vec![Known::NotYet; plan.consumers.len()],
            requests: vec![Known::NotYet; plan.services.len()],
            grants: vec![Known::NotYet; plan.resources.len()],
            texts: KeyTexts::of(plan),
            plan,
            grid,
            flows,
            publishing,
        }
    }

    /// What publishing takes.
    pub(super) fn publishing(&self, publisher: Publisher, topic: usize) -> Option<Publishing> {
        self.publishing.get(&(publisher, topic)).copied()
    }
}
