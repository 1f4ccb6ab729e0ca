//! Fluids against closed forms.

use super::*;
use crate::estimate::bends::{area, at, back, most};
use crate::estimate::layout::Exclusive;

fn station(lanes: &[(usize, f64)], member: Option<usize>, in_turn: bool) -> Station {
    Station { lanes: lanes.to_vec(), servers: 1, member, exclusive: Exclusive::Nothing, in_turn }
}

fn pipes<'a>(
    rates: &'a dyn Fn(usize) -> Vec<f64>,
    stations: &'a dyn Fn(usize) -> Vec<Station>,
    speed: f64,
) -> Pipes<'a> {
    Pipes { rates, stations, speed, handlers: 1.0, credit: f64::INFINITY, sharing: Sharing::AtOnce }
}

fn close(found: f64, exact: f64) {
    assert!((found - exact).abs() < 1e-6 * exact.abs().max(1.0), "{found}, exact {exact}");
}

/// Arrivals at a, capacity k, nothing done for T: peak a T, drained after a T / (k - a), summed delay a T² k / (2 (k - a)).
#[test]
fn an_outage_and_its_recovery() {
    let (a, k, t) = (10.0, 25.0, 60.0);
    let (rates, stations) = (|_| vec![a], |_| vec![station(&[(0, 1.0)], Some(0), false)]);
    let events = vec![(100.0, Event::Stop(0)), (100.0 + t, Event::Go(0))];
    let course = Fluid::run(pipes(&rates, &stations, k), (1, 1), events, 1000.0);
    close(most(&course, 0.0, 1000.0), a * t);
    close(back(&course, 100.0 + t, 0.0).unwrap(), 100.0 + t + a * t / (k - a));
    close(area(&course, 0.0, 1000.0), a * t * t * k / (2.0 * (k - a)));
}

#[test]
fn overload_grows_and_a_burst_is_worked_off() {
    let (rates, stations) = (|w: usize| vec![[4.0, 9.0][w]], |_| vec![station(&[(0, 1.0)], Some(0), false)]);
    let events = vec![(10.0, Event::Window(1)), (20.0, Event::Window(0))];
    let course = Fluid::run(pipes(&rates, &stations, 5.0), (1, 1), events.clone(), 100.0);
    close(most(&course, 0.0, 100.0), 40.0);
    close(back(&course, 20.0, 0.0).unwrap(), 60.0);
    let course = Fluid::run(pipes(&rates, &stations, 3.0), (1, 1), events, 100.0);
    close(at(&course, 100.0), 90.0 + 60.0);
    assert_eq!(back(&course, 20.0, 1.0), None, "never back");
}

/// Four partitions with two members; when one is gone the other has all four, and what waited in them.
#[test]
fn partitions_take_along_what_waits_in_them() {
    let rates = |_| vec![1.0, 1.0, 1.0, 3.0];
    let stations = |members| match members {
        2 => vec![station(&[(0, 1.0), (1, 1.0)], Some(0), false), station(&[(2, 1.0), (3, 1.0)], Some(1), false)],
        _ => vec![station(&[(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0)], Some(0), false)],
    };
    // The second stops for 10 s: 40 wait. Then the first has 6/s to do, 40 before it, and does 8/s.
    let events = vec![(10.0, Event::Stop(1)), (20.0, Event::Leave(1))];
    let course = Fluid::run(pipes(&rates, &stations, 8.0), (2, 2), events, 100.0);
    close(at(&course, 20.0), 40.0);
    close(back(&course, 20.0, 0.0).unwrap(), 40.0);
}

#[test]
fn a_barrier_stops_all_until_the_last_has_heard() {
    let (rates, stations) = (|_| vec![2.0], |_| vec![station(&[(0, 1.0)], Some(0), false)]);
    let sharing = Sharing::Barrier { heartbeat: 4.0, join: 1.0, poll: 100.0 };
    let pipes = Pipes { sharing, ..pipes(&rates, &stations, 10.0) };
    // One member: it hears after 2 s on average, and has its partition back after 2 + 1 s.
    let course = Fluid::run(pipes, (1, 1), vec![(10.0, Event::Regroup)], 100.0);
    close(most(&course, 0.0, 100.0), 2.0);
    close(at(&course, 12.0), 0.0);
}

/// Two of a queue's members, dealt to in turn; one stops and keeps no more than its credit, the rest goes to the other.
#[test]
fn what_a_member_may_hold_is_limited() {
    let rates = |_| vec![4.0];
    let stations = |_| vec![station(&[(0, 0.5)], Some(0), true), station(&[(0, 0.5)], Some(1), true)];
    let events = || vec![(10.0, Event::Stop(1)), (110.0, Event::Go(1))];
    let course = Fluid::run(pipes(&rates, &stations, 5.0), (2, 2), events(), 200.0);
    close(most(&course, 0.0, 200.0), 200.0);
    let limited = Pipes { credit: 30.0, ..pipes(&rates, &stations, 5.0) };
    let course = Fluid::run(limited, (2, 2), events(), 200.0);
    close(most(&course, 0.0, 200.0), 30.0);
}

#[test]
fn members_that_share_a_queue_share_its_work() {
    let (rates, stations) = (
        |_| vec![3.0],
        |members: usize| {
            if members == 0 { Vec::new() } else { vec![station(&[(0, 1.0)], None, false)] }
        },
    );
    let events = vec![(10.0, Event::Leave(0)), (20.0, Event::Leave(1)), (30.0, Event::Join(0)), (30.0, Event::Join(1))];
    let course = Fluid::run(pipes(&rates, &stations, 2.0), (2, 2), events, 200.0);
    close(at(&course, 20.0), 10.0);
    close(at(&course, 30.0), 40.0);
    close(back(&course, 30.0, 0.0).unwrap(), 70.0);
}
