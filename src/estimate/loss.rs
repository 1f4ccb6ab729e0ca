//! Queues that refuse: Erlang's loss formula, and M/M/c with limited room.

use super::formulas::Wait;

/// Share of arrivals that find all servers busy where nobody waits (Erlang 1917): holds for any service time.
#[must_use]
pub fn erlang_b(servers: u32, offered: f64) -> f64 {
    (1..=servers).fold(1.0, |blocked, n| offered * blocked / (f64::from(n) + offered * blocked))
}

/// A queue that refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limited {
    /// Share of arrivals that are refused.
    pub refused: f64,
    /// Mean wait of those that are not.
    pub wait: Wait,
    /// Mean square of that wait, s².
    pub square: f64,
}

/// States that [`mmck`] tells apart; a queue with more room never fills in a run that anybody waits for.
const MOST_WAITING: u32 = 1_000_000;

/// M/M/c/K with room for `room` that wait (K = c + room). Without room it is the Erlang loss system, where the law of the
/// service time does not matter.
#[must_use]
pub fn mmck(servers: u32, room: u32, rate: f64, service: f64) -> Limited {
    let offered = rate * service;
    if offered <= 0.0 || !offered.is_finite() {
        return Limited::default();
    }
    let ratio = offered / f64::from(servers);
    let full = erlang_b(servers, offered);
    // Weights: of all states in which nobody waits together, of the state in which `n` wait, of all in which somebody does.
    let (mut free, mut weight, mut sum, mut waiting) = (1.0, full, 0.0, 0.0);
    // Who comes while n - 1 wait has n services at `servers` times the pace before him: mean square n (n + 1) of them.
    let (mut squares, mut last) = (0.0, full);
    for n in 1..=room.min(MOST_WAITING) {
        squares += f64::from(n) * f64::from(n + 1) * last;
        weight *= ratio;
        last = weight;
        sum += weight;
        waiting += f64::from(n) * weight;
        if weight < 1e-18 * free {
            weight = 0.0;
            break;
        }
        if weight > 1e100 {
            let all = [&mut free, &mut weight, &mut last, &mut sum, &mut waiting, &mut squares];
            all.into_iter().for_each(|part| *part *= 1e-100);
        }
    }
    let total = free + sum;
    let refused = weight / total;
    let taken = 1.0 - refused;
    let share = ((full * free + sum - weight) / total / taken).clamp(0.0, 1.0);
    let pace = service / f64::from(servers);
    let square = squares / total / taken * pace * pace;
    Limited { refused, wait: Wait { mean: waiting / total / (rate * taken), share }, square }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::formulas::mmc;

    fn same(what: &str, found: f64, exact: f64) {
        assert!((found - exact).abs() <= 5e-9 * exact.abs().max(1e-3), "{what}: {found}, exact {exact}");
    }

    /// Erlang's loss formula and M/M/c/K: offered 8 erlangs to 10 circuits loses 12.166 % (table of Erlang B); M/M/1/1 loses
    /// a/(1+a); M/M/1/K has p_K = (1 - a) a^K / (1 - a^(K+1)); and M/M/3/10 with capacity 3, lambda 10, mu 12 is M/M/3/3.
    #[test]
    fn queues_that_refuse() {
        same("Erlang B 10, 8", erlang_b(10, 8.0), 0.121_661_064_3);
        same("M/M/1/1", mmck(1, 0, 3.0, 1.0).refused, 0.75);
        for (a, k) in [(0.5_f64, 4_i32), (2.0, 6), (0.999, 50), (3.0, 500)] {
            let exact = if k > 400 { (a - 1.0) / a } else { (1.0 - a) * a.powi(k) / (1.0 - a.powi(k + 1)) };
            same(&format!("M/M/1/{k} {a}"), mmck(1, (k - 1).cast_unsigned(), a, 1.0).refused, exact);
        }
        // State probabilities 0 to 3 of M/M/3/3 by hand.
        let a: f64 = 10.0 / 12.0;
        let states = [1.0, a, a * a / 2.0, a * a * a / 6.0];
        same("M/M/3/3", mmck(3, 0, 10.0, 1.0 / 12.0).refused, states[3] / states.iter().sum::<f64>());
        // With endless room it is M/M/c.
        let (endless, open) = (mmck(4, 100_000, 3.2, 1.0), mmc(4, 3.2, 1.0).unwrap());
        same("endless room", endless.wait.mean, open.mean);
        same("endless room, share", endless.wait.share, open.share);
        same("endless room, square", endless.square, 2.0 * open.mean * open.mean / open.share);
        assert!(endless.refused < 1e-15);
        // By hand: M/M/1/2, a = 1: three states alike; who comes to the second waits one service.
        let small = mmck(1, 1, 1.0, 1.0);
        same("M/M/1/2 refuses", small.refused, 1.0 / 3.0);
        same("M/M/1/2 wait", small.wait.mean, 0.5);
        same("M/M/1/2 share", small.wait.share, 0.5);
        same("M/M/1/2 square", small.square, 0.5 * 2.0);
        assert_eq!(mmck(1, 5, 0.0, 1.0), Limited::default());
    }
}
