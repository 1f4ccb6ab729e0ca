//! What one run of a handler does on average: how often each of its publishes, calls and holds is come to.

use crate::plan::{CallRetry, CallStep, PublishStep, ResourceId, ServiceId, Step};

/// Something that a handler does to others.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed<'p> {
    /// Publishes; the number of times is that of copies.
    Publish(&'p PublishStep),
    /// Sends a request, retries of failed ones included.
    Call(&'p CallStep),
    /// Asks for a resource, and does this while it holds it.
    Hold(ResourceId, &'p [Step]),
}

/// Walks through handlers.
pub(super) struct Course<'a, 'p> {
    /// The chance that a request to a service fails, for whatever reason.
    pub(super) fails: &'a dyn Fn(ServiceId) -> f64,
    /// Sees each deed with the mean number of times that it is done.
    pub(super) see: &'a mut dyn FnMut(Deed<'p>, f64),
}

impl<'p> Course<'_, 'p> {
    /// Follows steps that are come to `reach` times on average; how often their end is reached.
    pub(super) fn follow(&mut self, steps: &'p [Step], reach: f64) -> f64 {
        steps.iter().fold(reach, |reach, step| if reach > 0.0 { self.step(step, reach) } else { 0.0 })
    }

    fn step(&mut self, step: &'p Step, reach: f64) -> f64 {
        match step {
            Step::Publish(publish) => {
                (self.see)(Deed::Publish(publish), reach * publish.probability * publish.count.mean());
                reach
            }
            Step::Choose(branches) => branches.iter().map(|(share, steps)| self.follow(steps, reach * share)).sum(),
            Step::Call(call) => {
                let (sent, lost) = attempts(&call.retry, (self.fails)(call.to));
                (self.see)(Deed::Call(call), reach * sent);
                reach * (1.0 - lost) + self.instead(call.otherwise.as_ref(), reach * lost)
            }
            Step::Parallel { branches, quorum, otherwise } => {
                let done: Vec<f64> = branches.iter().map(|steps| self.follow(steps, reach) / reach).collect();
                let well = reach * at_least(*quorum as usize, &done);
                well + self.instead(otherwise.as_ref(), reach - well)
            }
            Step::Hold { of, steps, otherwise } => {
                (self.see)(Deed::Hold(*of, steps), reach);
                let well = self.follow(steps, reach);
                well + self.instead(otherwise.as_ref(), reach - well)
            }
            Step::Transaction(steps) => self.follow(steps, reach),
            Step::Saga(saga) => {
                let mut at = reach;
                for (part, (act, _)) in saga.parts.iter().enumerate() {
                    let well = self.follow(act, at);
                    if saga.pivot.is_some_and(|pivot| part >= pivot) {
                        // Tried again until it succeeds.
                        continue;
                    }
                    let failed = at - well;
                    for (_, undo) in saga.parts[..part].iter().rev() {
                        self.follow(undo, failed);
                    }
                    at = well;
                }
                at + self.instead(saga.otherwise.as_ref(), reach - at)
            }
            // The others touch nobody.
            _ => reach,
        }
    }

    /// What is done in place of a step that has failed.
    fn instead(&mut self, otherwise: Option<&'p Vec<Step>>, reach: f64) -> f64 {
        otherwise.map_or(0.0, |steps| self.follow(steps, reach))
    }
}

/// Mean number of attempts of a call of which each fails with this chance, and the chance that all do.
pub(super) fn attempts(retry: &CallRetry, fails: f64) -> (f64, f64) {
    if fails <= 0.0 {
        return (1.0, 0.0);
    }
    if !retry.when.failed {
        return (1.0, fails.min(1.0));
    }
    // Beyond this many there is nothing left to add.
    let most = retry.attempts.clamp(1, 100_000);
    let (mut left, mut sent) = (1.0, 0.0);
    for _ in 0..most {
        sent += left;
        left *= fails;
        if left < 1e-15 {
            break;
        }
    }
    (sent, left)
}

/// The chance that at least so many of these come about.
fn at_least(quorum: usize, chances: &[f64]) -> f64 {
    let mut done = vec![0.0; chances.len() + 1];
    done[0] = 1.0;
    for (number, chance) in chances.iter().enumerate() {
        for count in (0..=number).rev() {
            done[count + 1] += done[count] * chance;
            done[count] *= 1.0 - chance;
        }
    }
    done[quorum.min(chances.len())..].iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::Dist;
    use crate::plan::{Backoff, RetryWhen, SagaStep};
    use crate::time::SimSpan;

    fn call(to: u32, attempts: u32) -> CallStep {
        CallStep {
            to: ServiceId(to),
            timeout: None,
            retry: CallRetry {
                attempts,
                backoff: Backoff::Steps(vec![SimSpan(0)]),
                jitter: 0.0,
                when: RetryWhen { timeout: true, refused: true, failed: true },
                budget: None,
            },
            breaker: None,
            hedge: None,
            pool: None,
            otherwise: None,
        }
    }

    /// How often each service is called, and how often the end is reached, where service n fails n times in ten.
    fn calls(steps: &[Step]) -> (Vec<f64>, f64) {
        let mut found = vec![0.0; 10];
        let mut see = |deed: Deed<'_>, times: f64| {
            if let Deed::Call(call) = deed {
                found[call.to.0 as usize] += times;
            }
        };
        let end = Course { fails: &|id| f64::from(id.0) / 10.0, see: &mut see }.follow(steps, 1.0);
        (found, end)
    }

    fn close(found: &(Vec<f64>, f64), expected: &[(usize, f64)], end: f64) {
        for (service, times) in expected {
            assert!((found.0[*service] - times).abs() < 1e-12, "{service}: {found:?}");
        }
        assert!((found.1 - end).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn calls_in_a_row_and_by_choice() {
        let step = |to, attempts| Step::Call(call(to, attempts));
        close(&calls(&[step(2, 1), step(0, 1)]), &[(2, 1.0), (0, 0.8)], 0.8);
        close(&calls(&[step(5, 3)]), &[(5, 1.75)], 0.875);
        let choice = Step::Choose(vec![(0.25, vec![step(1, 1)]), (0.75, vec![])]);
        close(&calls(&[choice, step(0, 1)]), &[(1, 0.25), (0, 0.975)], 0.975);
        let instead = Step::Call(CallStep { otherwise: Some(vec![step(0, 1)]), ..call(4, 1) });
        close(&calls(&[instead]), &[(4, 1.0), (0, 0.4)], 1.0);
    }

    #[test]
    fn quorums_and_sagas() {
        let step = |to| Step::Call(call(to, 1));
        let branches = vec![vec![step(5)], vec![step(5)]];
        let parallel = Step::Parallel { branches, quorum: 1, otherwise: None };
        close(&calls(&[parallel]), &[(5, 2.0)], 0.75);
        // The third part fails for 3 in 10 of those that the second (1 in 10) has let pass: both before it are undone.
        let parts = vec![(vec![step(0)], vec![step(6)]), (vec![step(1)], vec![step(7)]), (vec![step(3)], vec![])];
        let saga = Step::Saga(SagaStep { parts, pivot: None, otherwise: None });
        close(&calls(&[saga]), &[(0, 1.0), (1, 1.0), (3, 0.9), (6, 0.1 + 0.27), (7, 0.27)], 0.63);
    }

    #[test]
    fn copies_are_counted() {
        let publish = PublishStep {
            to: crate::plan::TopicId(0),
            event_type: None,
            key: None,
            size: None,
            count: Dist::Constant(3.0),
            probability: 0.5,
            wait_for_ack: false,
            otherwise: None,
        };
        let mut copies = 0.0;
        let mut see = |_: Deed<'_>, times: f64| copies += times;
        Course { fails: &|_| 0.0, see: &mut see }.follow(&[Step::Publish(publish)], 2.0);
        assert!((copies - 3.0).abs() < 1e-12);
    }
}
