//! Waits in queues by formula. Each says who found it; `servers` work side by side on one queue in order of arrival.
//!
//! Times are seconds, rates per second. The *offered load* of a queue is rate times mean service time (erlangs); over the
//! number of servers it is the *load*, from 1 on there is no steady state and no formula.

use crate::estimate::loss::erlang_b;
use crate::estimate::moments::Moments;
use crate::math::{exp, sqrt};

/// The wait before service in a steady state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wait {
    /// Mean, of those that do not wait too.
    pub mean: f64,
    /// Share that waits.
    pub share: f64,
}

impl Wait {
    /// Mean and variance, as if the wait of those that wait were exponential: exact for exponential service, and the limit
    /// of all others at high load (Kingman 1962).
    #[must_use]
    pub fn moments(&self) -> Moments {
        if self.share <= 0.0 {
            return Moments::ZERO;
        }
        Moments { mean: self.mean, variance: self.mean * self.mean * (2.0 / self.share - 1.0) }
    }

    /// Mean square, with that variance.
    #[must_use]
    pub fn square(&self) -> f64 {
        if self.share > 0.0 { 2.0 * self.mean * self.mean / self.share } else { 0.0 }
    }
}

/// GI/M/1 where the gaps are Erlang with so many stages, load below 1: who comes finds the server busy with the root of
/// `s = A(mu (1 - s))`, A the transform of the gap (Kendall 1953). Each of `stages` queues that take turns at Poisson arrivals
/// is one.
#[must_use]
pub fn erlang_gaps(stages: f64, rate: f64, service: f64) -> Wait {
    let load = rate * service;
    // By bisection of what is positive below the root and negative above: 1 is another root.
    let off = |s: f64| crate::math::pow(stages * load / (stages * load + 1.0 - s), stages) - s;
    let (mut low, mut high) = (0.0, 1.0 - 1e-12);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if off(middle) > 0.0 { low = middle } else { high = middle }
    }
    let share = 0.5 * (low + high);
    Wait { mean: share * service / (1.0 - share), share }
}

/// Share of arrivals that wait in M/M/c (Erlang 1917); all, from load 1 on.
#[must_use]
pub fn erlang_c(servers: u32, offered: f64) -> f64 {
    let load = offered / f64::from(servers);
    if load >= 1.0 {
        return 1.0;
    }
    let blocked = erlang_b(servers, offered);
    blocked / (1.0 - load * (1.0 - blocked))
}

/// M/M/c; none from load 1 on.
#[must_use]
pub fn mmc(servers: u32, rate: f64, service: f64) -> Option<Wait> {
    let offered = rate * service;
    let spare = f64::from(servers) - offered;
    if spare <= 0.0 || !offered.is_finite() {
        return None;
    }
    let share = erlang_c(servers, offered);
    Some(Wait { mean: share * service / spare, share })
}

/// Arrivals in the steady state of a queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arriving {
    /// Per second.
    pub rate: f64,
    /// Index of dispersion: variance over mean of the number that arrive in a long time; 1 for a Poisson process, the squared
    /// coefficient of variation of the gaps where these are independent.
    pub dispersion: f64,
    /// Mean square over mean of the number that arrive at one moment; 1 where they come one by one.
    pub clump: f64,
}

impl Arriving {
    /// One by one, without memory.
    #[must_use]
    pub fn poisson(rate: f64) -> Self {
        Self { rate, dispersion: 1.0, clump: 1.0 }
    }

    /// Whether they are a Poisson process.
    #[must_use]
    pub fn is_poisson(&self) -> bool {
        (self.dispersion - 1.0).abs() < 1e-9 && (self.clump - 1.0).abs() < 1e-9
    }
}

/// GI/G/c; none from load 1 on, and none where the service time has no variance to speak of.
///
/// Poisson arrivals at one server: exact (Pollaczek 1930, Khinchine 1932). At several: Cosmetatos (1976), which joins M/M/c and
/// M/D/c (Cosmetatos 1975), up to a variation of 1; beyond, and for other arrivals, Allen and Cunneen (Allen 1978), which
/// scales M/M/c by the mean of the two variations, with the correction of Krämer and Langenbach-Belz
/// (1976) for even ones. Those that
/// come together wait for each other on top (exact at one server: Gaver 1959).
#[must_use]
pub fn gigc(servers: u32, arriving: Arriving, service: Moments) -> Option<Wait> {
    let Arriving { rate, dispersion, clump } = arriving;
    let base = mmc(servers, rate, service.mean)?;
    let (load, scv) = (rate * service.mean / f64::from(servers), service.scv());
    if !scv.is_finite() {
        return None;
    }
    let poisson = (dispersion - 1.0).abs() < 1e-9;
    let factor = if poisson && scv <= 1.0 {
        scv + (1.0 - scv) * deterministic(servers, load)
    } else {
        0.5 * (dispersion + scv) * correction(load, dispersion, scv)
    };
    let each = f64::from(servers);
    let together = 0.5 * (clump / each - 1.0).max(0.0) * service.mean;
    let share = if together > 0.0 { base.share.max(1.0 - each / clump) } else { base.share };
    Some(Wait { mean: factor * base.mean + together, share })
}

/// Wait of M/D/c over that of M/M/c: exactly a half at one server; Cosmetatos (1975), Operational Research Quarterly 26.
fn deterministic(servers: u32, load: f64) -> f64 {
    let c = f64::from(servers);
    if load <= 0.0 {
        return 0.5;
    }
    let more = (1.0 - load) * (c - 1.0) * (sqrt(4.0 + 5.0 * c) - 2.0) / (16.0 * load * c);
    // For many servers at low load, where hardly anybody waits, it has no bound.
    0.5 * (1.0 + more.min(1.0))
}

/// Krämer and Langenbach-Belz (1976): arrivals more even than by chance wait less than their variation says at low load.
/// For uneven ones there is none, as in the Queueing Network Analyzer (Whitt 1983).
fn correction(load: f64, arrivals: f64, service: f64) -> f64 {
    if arrivals >= 1.0 || arrivals + service <= 0.0 || load <= 0.0 {
        return 1.0;
    }
    let off = 1.0 - arrivals;
    exp(-2.0 * (1.0 - load) * off * off / (3.0 * load * (arrivals + service)))
}

/// The mean wait that a queue that was empty can have reached `time` later at most, on average over that time, however high
/// its load below 1: that at load 1, where the work that waits moves like a reflected Brownian motion (Kingman 1962).
#[must_use]
pub fn reached_within(time: f64, servers: u32, dispersion: f64, service: Moments) -> f64 {
    let spread = service.mean * (dispersion + service.scv()) / f64::from(servers);
    // The mean of sqrt(2 t / pi) over 0..time.
    sqrt(2.0 * time * spread / std::f64::consts::PI) * 2.0 / 3.0
}

/// How long a queue needs to forget that it was empty: the relaxation time of M/M/1, 1 / (mu (1 - sqrt rho)²) (Morse 1955),
/// with the variations of both sides in place of the two ones (Newell 1971), and `servers` times as fast.
#[must_use]
pub fn relaxation(servers: u32, load: f64, dispersion: f64, service: Moments) -> f64 {
    let root = 1.0 - sqrt(load);
    0.5 * (dispersion + service.scv()) * service.mean / f64::from(servers) / (root * root)
}

/// Standard deviation, over the mean, of the mean wait of so many in a row: that of M/M/1 in a long run (Daley 1968), with
/// the variations of both sides in place of the two ones (Whitt 1989).
#[must_use]
pub fn spread_of_mean(count: f64, load: f64, dispersion: f64, service: Moments) -> f64 {
    if load <= 0.0 || load >= 1.0 {
        return f64::INFINITY;
    }
    let left = 1.0 - load;
    let variance = load * (2.0 + 5.0 * load - 4.0 * load * load + load * load * load) / (left * left * left * left);
    let mean = load / left;
    sqrt(0.5 * (dispersion + service.scv()) * variance / count) / mean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exponential(mean: f64) -> Moments {
        Moments { mean, variance: mean * mean }
    }

    fn same(what: &str, found: f64, exact: f64) {
        assert!((found - exact).abs() <= 5e-9 * exact.abs().max(1e-3), "{what}: {found}, table {exact}");
    }

    fn close(what: &str, found: f64, exact: f64, within: f64) {
        assert!((found / exact - 1.0).abs() <= within, "{what}: {found}, exact {exact}");
    }

    /// M/M/c: servers, load, share that waits, mean wait (computed with 40 digits; two cases published).
    const MMC: [(u32, f64, f64, f64); 12] = [
        (1, 0.5, 0.5, 1.0),
        (1, 0.9, 0.9, 9.0),
        (2, 0.5, 0.333_333_333, 0.333_333_333),
        (2, 0.95, 0.925_641_026, 9.256_410_26),
        (3, 0.7, 0.492_344_498, 0.547_049_442),
        (4, 0.8, 0.596_432_472, 0.745_540_59),
        (4, 0.95, 0.891_418_995, 4.457_094_98),
        (8, 0.9, 0.701_532_99, 0.876_916_238),
        (16, 0.7, 0.129_675_792, 0.027_015_79),
        (16, 0.95, 0.780_192_462, 0.975_240_578),
        (32, 0.5, 0.000_291_057_992, 1.819_112_45e-5),
        (32, 0.95, 0.695_710_114, 0.434_818_821),
    ];

    #[test]
    fn several_servers_with_exponential_service() {
        for (servers, load, share, mean) in MMC {
            let name = format!("M/M/{servers} {load}");
            let rate = load * f64::from(servers);
            let wait = mmc(servers, rate, 1.0).unwrap();
            same(&name, wait.share, share);
            same(&name, wait.mean, mean);
            let general = gigc(servers, Arriving::poisson(rate), exponential(1.0)).unwrap();
            same(&name, general.mean, mean);
        }
        // Published to three digits: lambda 9, mu 5, two servers.
        assert!((9.0 * mmc(2, 9.0, 0.2).unwrap().mean + 9.0 * 0.2 - 9.474).abs() < 0.001);
        assert_eq!(mmc(2, 2.0, 1.0), None, "load 1 has no steady state");
        same("all wait at load 1", erlang_c(3, 3.0), 1.0);
    }

    /// Mean waits of M/G/1 with service 1: squared variation, then at load 0.5, 0.8 and 0.9.
    #[test]
    fn one_server_with_any_service() {
        for (scv, means) in [
            (0.0, [0.5, 2.0, 4.5]),
            (0.25, [0.625, 2.5, 5.625]),
            (1.0 / 3.0, [0.666_666_667, 2.666_666_67, 6.0]),
            (1.0, [1.0, 4.0, 9.0]),
            (std::f64::consts::E - 1.0, [1.359_140_91, 5.436_563_66, 12.232_268_2]),
            (4.0, [2.5, 10.0, 22.5]),
            (10.0, [5.5, 22.0, 49.5]),
        ] {
            for (load, mean) in [0.5, 0.8, 0.9].into_iter().zip(means) {
                let service = Moments { mean: 1.0, variance: scv };
                let wait = gigc(1, Arriving::poisson(load), service).unwrap();
                same(&format!("M/G/1 {scv} {load}"), wait.mean, mean);
                same("the share that waits is the load", wait.share, load);
            }
        }
    }

    /// M/D/c: servers, load, mean wait; and how close the approximation is.
    #[test]
    fn several_servers_with_constant_service() {
        for (servers, load, mean, within) in [
            (2, 0.5, 0.176_741_057, 0.01),
            (2, 0.7, 0.493_610_463, 0.005),
            (2, 0.9, 2.146_923_215, 0.002),
            (4, 0.5, 0.049_651_739, 0.03),
            (4, 0.8, 0.386_094_931, 0.005),
            (4, 0.9, 0.999_965_886, 0.002),
            (8, 0.7, 0.062_680_039, 0.03),
            (8, 0.9, 0.449_973_259, 0.005),
        ] {
            let wait = gigc(servers, Arriving::poisson(load * f64::from(servers)), Moments::constant(1.0)).unwrap();
            close(&format!("M/D/{servers} {load}"), wait.mean, mean, within);
        }
    }

    /// D/M/c: servers, load, mean wait. Even arrivals are the hard case of a two-moment approximation.
    #[test]
    fn several_servers_with_even_arrivals() {
        for (servers, load, mean, within) in [
            (2, 0.8, 0.711_114_831, 0.1),
            (2, 0.9, 1.932_988_941, 0.05),
            (4, 0.8, 0.272_503_913, 0.2),
            (4, 0.9, 0.861_178_268, 0.1),
        ] {
            let arriving = Arriving { rate: load * f64::from(servers), dispersion: 0.0, clump: 1.0 };
            let wait = gigc(servers, arriving, exponential(1.0)).unwrap();
            close(&format!("D/M/{servers} {load}"), wait.mean, mean, within);
        }
    }

    /// Messages that come n at a time to M/M/1: the wait is that of a Poisson process with as many, and on top of it
    /// (n - 1) / (2 (1 - rho)) services (Gaver 1959).
    #[test]
    fn arrivals_in_groups() {
        for (n, load) in [(2.0, 0.5), (10.0, 0.8)] {
            let arriving = Arriving { rate: load, dispersion: n, clump: n };
            let wait = gigc(1, arriving, exponential(1.0)).unwrap();
            same(&format!("groups of {n}"), wait.mean, (load + (n - 1.0) / 2.0) / (1.0 - load));
        }
    }

    /// One stage is M/M/1, endlessly many are D/M/1 (load 0.8: s = 0.628_632).
    #[test]
    fn turns_of_poisson_arrivals() {
        same("one", erlang_gaps(1.0, 0.8, 1.0).mean, 4.0);
        close("many", erlang_gaps(1e6, 0.8, 1.0).share, 0.628_632, 1e-4);
        // Two at load 0.7, s (2.4 - s)^2 = 1.96: 26 ms from arrival to answer where the service is 10 ms.
        let wait = erlang_gaps(2.0, 70.0, 0.01);
        let s = wait.share;
        close("two", s * (2.4 - s) * (2.4 - s), 1.96, 1e-9);
    }

    /// M/M/1 at load 0.9: a million jobs have a standard error of about 2 %.
    #[test]
    fn how_well_a_run_knows_its_mean() {
        let error = spread_of_mean(1e6, 0.9, 1.0, exponential(1.0));
        assert!((0.015..0.025).contains(&error), "{error}");
        same("relaxation at load 0.25", relaxation(1, 0.25, 1.0, exponential(1.0)), 4.0);
    }
}
