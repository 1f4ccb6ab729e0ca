//! What overloads a run ends it, at the same instant whatever the schedule, with books that close.

use edasim::engine::{RunOptions, Schedule};
use edasim::experiment::seed_of;
use edasim::outcome::Ended;
use edasim::time::SimSpan;

use crate::support::{plan, run};

/// Two overloaded groups, the one that fills up first behind another.
const OVERLOAD: &str = r#"{
  "name": "overload",
  "seed": 3,
  "duration": "10m",
  "buses": { "main": { "profile": "ideal", "topics": { "orders": { "partitions": 2 }, "later": { "partitions": 2 } } } },
  "producers": { "shop": { "publishes": "orders", "arrivals": { "poisson": "1000/s" }, "key": { "uniform": 100 } } },
  "consumers": {
    "splitter": { "subscribes": "orders", "members": 2, "service_time": "1us", "publishes": { "to": "later", "count": 3 } },
    "archive": { "subscribes": "later", "members": 2, "service_time": { "exponential": "4ms" } },
    "email": { "subscribes": "orders", "members": 2, "service_time": { "exponential": "4ms" } }
  }
}"#;

#[test]
fn a_backlog_ends_a_run_at_its_bound() {
    let mut plan = plan(OVERLOAD);
    plan.backlog_bound = 20_000;
    let outcome = |schedule, window| {
        let options = RunOptions { seed: seed_of(&plan, 0), schedule, window, threads: 2, ..RunOptions::default() };
        run(&plan, &options)
    };
    let reference = outcome(Schedule::Stepwise, 0);
    // 3,000 a second come in and 500 go: the bound is reached after eight seconds, email's (+500 a second) after forty.
    let archive = plan.consumers.iter().position(|consumer| consumer.name == "archive").expect("it is there");
    let Ended::BacklogBound { at, consumer } = reference.ended else { panic!("ended as {:?}", reference.ended) };
    assert_eq!(consumer, archive);
    assert!((7.5..8.5).contains(&(at.0 as f64 / 1e9)), "at {at:?}");
    let waiting = reference.consumers[archive].ledger.waiting;
    assert!((20_000..20_600).contains(&waiting), "{waiting} waiting, sampled twelve times a second");
    for schedule in [Schedule::Windowed, Schedule::Parallel] {
        for window in [0, 7, 500, 30_000] {
            assert!(outcome(schedule, window) == reference, "{schedule:?} with windows of {window} differs");
        }
    }
}

#[test]
fn a_bound_that_is_not_reached_changes_nothing() {
    let mut plan = plan(OVERLOAD);
    plan.duration = SimSpan(5_000_000_000);
    let free = run(&plan, &RunOptions { seed: 9, ..RunOptions::default() });
    plan.backlog_bound = 15_000;
    assert!(run(&plan, &RunOptions { seed: 9, ..RunOptions::default() }) == free);
    assert_eq!(free.ended, Ended::AtDuration);
}
