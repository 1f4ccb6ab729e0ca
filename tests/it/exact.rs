//! Exact laws of the classic queues, computed; the published figures are the constants at the end.
//!
//! One unit of time is one mean service time. `servers` is the number of servers, `rho` the load of each.

use edasim::math::{exp, ln};

/// The wait before service: its mean, the chance that there is one, and its distribution function.
pub(crate) struct Wait {
    /// Mean.
    pub(crate) mean: f64,
    /// Share that waits.
    pub(crate) share: f64,
    quantile: Box<dyn Fn(f64) -> f64>,
}

impl Wait {
    /// The wait that a share `q` does not exceed; 0 where that many do not wait.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        if q <= 1.0 - self.share { 0.0 } else { (self.quantile)(q) }
    }

    /// A wait that, if there is one, is exponential.
    fn exponential(share: f64, mean_if_any: f64) -> Self {
        let quantile = move |q: f64| mean_if_any * ln(share / (1.0 - q));
        Self { mean: share * mean_if_any, share, quantile: Box::new(quantile) }
    }
}

/// The chance to wait in M/M/c, by the recursion of the Erlang loss formula.
pub(crate) fn erlang_c(servers: u32, rho: f64) -> f64 {
    let offered = f64::from(servers) * rho;
    let blocked = (1..=servers).fold(1.0, |b, n| offered * b / (f64::from(n) + offered * b));
    blocked / (1.0 - rho * (1.0 - blocked))
}

/// M/M/c.
pub(crate) fn mmc(servers: u32, rho: f64) -> Wait {
    Wait::exponential(erlang_c(servers, rho), 1.0 / (f64::from(servers) * (1.0 - rho)))
}

/// Mean wait of M/G/1 by Pollaczek and Khinchine; `scv`: variance of the service time over its squared mean.
pub(crate) fn mg1(rho: f64, scv: f64) -> f64 {
    rho * (1.0 + scv) / (2.0 * (1.0 - rho))
}

/// Most customers that the chains below tell apart.
const STATES: usize = 400;

/// The stationary distribution of a chain, by repetition.
fn stationary(step: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let mut now = vec![0.0; STATES];
    now[0] = 1.0;
    for _ in 0..200_000 {
        let mut next = step(&now);
        let total: f64 = next.iter().sum();
        next.iter_mut().for_each(|p| *p /= total);
        let change: f64 = now.iter().zip(&next).map(|(a, b)| (a - b).abs()).sum();
        now = next;
        if change < 1e-14 {
            break;
        }
    }
    now
}

/// The first probabilities of a Poisson variable.
fn poisson(mean: f64, count: usize) -> Vec<f64> {
    let terms = (0..count).scan(exp(-mean), |p, n| {
        let this = *p;
        *p *= mean / (n + 1) as f64;
        Some(this)
    });
    terms.collect()
}

/// M/D/c: the number in the system, seen every service time; all who were in service have left by then. The distribution
/// of the wait follows from that of the queue (Franx 2001), in sums of positive terms only.
pub(crate) fn mdc(servers: u32, rho: f64) -> Wait {
    let (c, rate) = (servers as usize, f64::from(servers) * rho);
    let arrivals = poisson(rate, 120);
    let present = stationary(|now| {
        let mut next = vec![0.0; STATES];
        for (n, p) in now.iter().enumerate().filter(|(_, p)| **p > 1e-18) {
            let left = n.saturating_sub(c);
            for (slot, a) in next[left..].iter_mut().zip(&arrivals) {
                *slot += p * a;
            }
        }
        next
    });
    let queue: f64 = present.iter().enumerate().map(|(n, p)| n.saturating_sub(c) as f64 * p).sum();
    let share = 1.0 - present[..c].iter().sum::<f64>();
    // Chance that at most so many wait in the queue.
    let at_most: Vec<f64> = (0..STATES - c).map(|m| present[..=m + c].iter().sum()).collect();
    let not_longer = move |t: f64| {
        let services = t.floor() + 1.0;
        let missing = rate * (services - t);
        let last = services as usize * c - 1;
        poisson(missing, last + 1).iter().enumerate().map(|(j, p)| p * at_most[(last - j).min(at_most.len() - 1)]).sum()
    };
    Wait { mean: queue / rate, share, quantile: Box::new(move |q| inverse(&not_longer, q)) }
}

/// D/M/c: the number that an arrival finds. Between two arrivals the servers work off what is there, which is followed
/// by uniformisation; if an arrival waits, its wait is exponential.
pub(crate) fn dmc(servers: u32, rho: f64) -> Wait {
    let c = f64::from(servers);
    let events = poisson(1.0 / rho, 60);
    let found = stationary(|now| {
        let mut state: Vec<f64> = std::iter::once(0.0).chain(now[..STATES - 1].iter().copied()).collect();
        let mut next = vec![0.0; STATES];
        for weight in &events {
            next.iter_mut().zip(&state).for_each(|(to, p)| *to += weight * p);
            let leaves = |n: usize| (n as f64).min(c) / c;
            state = (0..STATES)
                .map(|n| {
                    let above = state.get(n + 1).map_or(0.0, |p| p * leaves(n + 1));
                    state[n] * (1.0 - leaves(n)) + above
                })
                .collect();
        }
        next
    });
    let share = 1.0 - found[..servers as usize].iter().sum::<f64>();
    // The root of `sigma = exp(-(1 - sigma) / rho)` below 1.
    let sigma = (0..10_000).fold(0.5, |sigma, _| exp(-(1.0 - sigma) / rho));
    Wait::exponential(share, 1.0 / (c * (1.0 - sigma)))
}

/// Time in two M/M/1 in a row: the sum of two independent exponential times with rates `mu - lambda`.
pub(crate) struct Tandem {
    rates: [f64; 2],
}

impl Tandem {
    pub(crate) fn new(lambda: f64, mu: [f64; 2]) -> Self {
        Self { rates: mu.map(|mu| mu - lambda) }
    }

    pub(crate) fn mean(&self) -> f64 {
        self.rates.iter().map(|rate| 1.0 / rate).sum()
    }

    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let [a, b] = self.rates;
        inverse(&|t| 1.0 - (b * exp(-a * t) - a * exp(-b * t)) / (b - a), q)
    }
}

/// Mean time in the system where partition i of servers at rate 1 gets a share of all arrivals.
pub(crate) fn skewed(lambda: f64, shares: &[f64]) -> f64 {
    shares.iter().map(|share| share / (1.0 - lambda * share)).sum()
}

/// The argument at which a growing function reaches `q`.
fn inverse(function: &dyn Fn(f64) -> f64, q: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while function(high) < q {
        (low, high) = (high, 2.0 * high);
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if function(middle) < q { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// M/M/c: servers, rho, share that waits, mean wait, its p50, p90, p99 (40 digits, two cases published).
#[rustfmt::skip]
const MMC: [(u32, f64, f64, f64, [f64; 3]); 18] = [
    (1, 0.5, 0.5, 1.0, [0.0, 3.218_875_82, 7.824_046_01]),
    (1, 0.8, 0.8, 4.0, [2.350_018_15, 10.397_207_7, 21.910_133_2]),
    (1, 0.9, 0.9, 9.0, [5.877_866_65, 21.972_245_8, 44.998_096_7]),
    (2, 0.5, 0.333_333_333, 0.333_333_333, [0.0, 1.203_972_8, 3.506_557_9]),
    (2, 0.8, 0.711_111_111, 1.777_777_78, [0.880_551_484, 4.904_146_27, 10.660_609]),
    (2, 0.9, 0.852_631_579, 4.263_157_89, [2.668_597_22, 10.715_786_8, 22.228_712_2]),
    (4, 0.5, 0.173_913_043, 0.086_956_521_7, [0.0, 0.276_692_619, 1.427_985_17]),
    (4, 0.8, 0.596_432_472, 0.745_540_59, [0.220_447_412, 2.232_244_8, 5.110_476_17]),
    (4, 0.9, 0.787_753_264, 1.969_383_16, [1.136_442_07, 5.160_036_85, 10.916_499_6]),
    (8, 0.5, 0.059_043_994_7, 0.014_760_998_7, [0.0, 0.0, 0.443_924_436]),
    (8, 0.8, 0.457_644_925, 0.286_028_078, [0.0, 0.950_577_141, 2.389_692_82]),
    (8, 0.9, 0.701_532_99, 0.876_916_238, [0.423_324_785, 2.435_122_18, 5.313_353_54]),
    (16, 0.5, 0.009_018_809_74, 0.001_127_351_22, [0.0, 0.0, 0.0]),
    (16, 0.8, 0.304_883_913, 0.095_276_222_8, [0.0, 0.348_362_783, 1.067_920_62]),
    (16, 0.9, 0.591_343_394, 0.369_589_621, [0.104_867_993, 1.110_766_69, 2.549_882_37]),
    (32, 0.5, 0.000_291_057_992, 1.819_112_45e-5, [0.0, 0.0, 0.0]),
    (32, 0.8, 0.160_623_214, 0.025_097_377_1, [0.0, 0.074_045_491_9, 0.433_824_413]),
    (32, 0.9, 0.458_196_622, 0.143_186_444, [0.0, 0.475_665_066, 1.195_222_91]),
];

/// M/D/c: servers, rho, mean wait.
const MDC: [(u32, f64, f64); 12] = [
    (1, 0.5, 0.5),
    (1, 0.8, 2.0),
    (1, 0.9, 4.5),
    (2, 0.5, 0.176_741_057),
    (2, 0.8, 0.903_283_879),
    (2, 0.9, 2.146_923_215),
    (4, 0.5, 0.049_651_739),
    (4, 0.8, 0.386_094_931),
    (4, 0.9, 0.999_965_886),
    (8, 0.5, 0.009_321_013),
    (8, 0.8, 0.151_953_803),
    (8, 0.9, 0.449_973_259),
];

/// M/D/1: rho, p50, p90, p99 of the wait (Erlang's series with 40 digits).
const MD1: [(f64, [f64; 3]); 3] = [
    (0.5, [0.0, 1.515_744_84, 3.336_255_96]),
    (0.8, [1.275_939_87, 5.011_511_5, 10.355_886_8]),
    (0.9, [3.013_047_52, 10.782_505, 21.898_237_3]),
];

/// D/M/c: servers, rho, mean wait, share that waits.
const DMC: [(u32, f64, f64, f64); 6] = [
    (2, 0.5, 0.064_914_222, 0.103_448_88),
    (2, 0.8, 0.711_114_831, 0.528_173_719),
    (2, 0.9, 1.932_988_941, 0.746_520_975),
    (4, 0.5, 0.010_290_139, 0.032_797_231),
    (4, 0.8, 0.272_503_913, 0.404_799_335),
    (4, 0.9, 0.861_178_268, 0.665_174_67),
];

/// M/G/1: squared coefficient of variation, mean wait at rho 0.5, 0.8 and 0.9.
#[rustfmt::skip]
const MG1: [(f64, [f64; 3]); 9] = [
    (0.0, [0.5, 2.0, 4.5]),
    (0.25, [0.625, 2.5, 5.625]),
    (0.5, [0.75, 3.0, 6.75]),
    (1.0, [1.0, 4.0, 9.0]),
    (2.0, [1.5, 6.0, 13.5]),
    (4.0, [2.5, 10.0, 22.5]),
    (10.0, [5.5, 22.0, 49.5]),
    (std::f64::consts::E - 1.0, [1.359_140_91, 5.436_563_66, 12.232_268_2]),
    (1.0 / 3.0, [0.666_666_667, 2.666_666_67, 6.0]),
];

/// Quantiles that are tabulated.
pub(crate) const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

fn same(what: &str, computed: f64, tabulated: f64) {
    assert!((computed - tabulated).abs() <= 5e-9 * tabulated.max(1.0), "{what}: {computed}, table {tabulated}");
}

#[test]
fn formulas_agree_with_the_tables() {
    for (c, rho, share, mean, quantiles) in MMC {
        let wait = mmc(c, rho);
        same(&format!("M/M/{c} {rho} share"), wait.share, share);
        same(&format!("M/M/{c} {rho}"), wait.mean, mean);
        for (q, tabulated) in QUANTILES.into_iter().zip(quantiles) {
            // The table has nine digits.
            assert!((wait.quantile(q) - tabulated).abs() <= 1e-8 * tabulated.max(1.0), "M/M/{c} {rho} {q}");
        }
    }
    for (c, rho, mean) in MDC {
        same(&format!("M/D/{c} {rho}"), mdc(c, rho).mean, mean);
    }
    for (rho, quantiles) in MD1 {
        let wait = mdc(1, rho);
        for (q, tabulated) in QUANTILES.into_iter().zip(quantiles) {
            assert!((wait.quantile(q) - tabulated).abs() <= 1e-8 * tabulated.max(1.0), "M/D/1 {rho} {q}: {}", wait.quantile(q));
        }
    }
    for (c, rho, mean, share) in DMC {
        same(&format!("D/M/{c} {rho}"), dmc(c, rho).mean, mean);
        same(&format!("D/M/{c} {rho} share"), dmc(c, rho).share, share);
    }
    for (scv, means) in MG1 {
        for (rho, mean) in [0.5, 0.8, 0.9].into_iter().zip(means) {
            same(&format!("M/G/1 {rho} {scv}"), mg1(rho, scv), mean);
        }
    }
}

#[test]
fn networks_agree_with_the_table() {
    let tandem = Tandem::new(0.5, [1.0, 0.8]);
    same("tandem", tandem.mean(), 5.333_333_33);
    for (q, tabulated) in QUANTILES.into_iter().zip([4.413_947_43, 10.473_821_5, 18.353_560_2]) {
        assert!((tandem.quantile(q) - tabulated).abs() < 1e-7, "tandem {q}: {}", tandem.quantile(q));
    }
    same("skew by halves", skewed(1.6, &[0.5, 0.25, 0.125, 0.125]), 3.229_166_67);
    same("skew by tenths", skewed(1.6, &[0.4, 0.3, 0.2, 0.1]), 2.101_199_45);
    same("no skew", skewed(1.6, &[0.25; 4]), 1.666_666_67);
}
