//! Tests of arrival processes: rates, bursts, ends, and answers that must never change.

use crate::dist::block::to_whole;
use crate::dist::fit::{fingerprint, kolmogorov};
use crate::dist::times::{ArrivalTimes, Process};
use crate::dist::{Arrivals, CHUNK, Dist, Impossible, Replay};
use crate::math::exp;
use crate::random::Stream;
use crate::time::{SimSpan, SimTime};

const SECOND: u64 = 1_000_000_000;

fn at(seconds: f64) -> SimTime {
    SimTime(to_whole(seconds * 1e9))
}

fn span(seconds: f64) -> SimSpan {
    SimSpan(at(seconds).0)
}

fn stream(run: u64) -> Stream {
    Stream::named(run, "shop/arrivals")
}

/// All arrivals before `end`, in blocks.
fn until(mut times: ArrivalTimes, end: SimTime, block: usize) -> Vec<u64> {
    let mut out = Vec::new();
    loop {
        let before = out.len();
        times.next_block(block, &mut out);
        assert!(out.len() <= before + block, "a block is at most so long");
        if out.len() == before || out.last().is_some_and(|last| *last >= end.0) {
            out.truncate(out.partition_point(|time| *time < end.0));
            assert!(out.is_sorted());
            return out;
        }
    }
}

fn arrivals(process: &Arrivals, run: u64, seconds: f64) -> Vec<u64> {
    until(process.start(stream(run), &[]), at(seconds), 512)
}

/// Processes of every kind.
fn zoo() -> Vec<(&'static str, Arrivals)> {
    let points = vec![(at(1.0), 2000.0), (at(4.0), 0.0), (at(5.0), 9000.0)];
    let replay = Replay { speed: 1.5, scale: 2.3, repeat: Some(span(6.0)) };
    let times = (1..5000).map(|n| n * n * 200).collect();
    vec![
        ("poisson", Arrivals::poisson(1000.0).unwrap()),
        ("constant", Arrivals::constant(700.0).unwrap()),
        ("renewal", Arrivals::renewal(Dist::gamma(1e6, 2.0).unwrap()).unwrap()),
        ("mmpp", Arrivals::mmpp(vec![3000.0, 100.0, 0.0], vec![1e8, 3e8, 5e6]).unwrap()),
        ("bursts", Arrivals::bursts(4000.0, Dist::Exponential(2e7), Dist::uniform(1e6, 9e7).unwrap()).unwrap()),
        ("curve", Arrivals::curve(points.clone(), None).unwrap()),
        ("daily", Arrivals::curve(points, Some(span(5.5))).unwrap()),
        ("times", Arrivals::times(times, replay).unwrap()),
        ("counts", Arrivals::counts(vec![900.0, 0.0, 20.0, 3.0], span(1.5), replay).unwrap()),
    ]
}

fn some_bursts() -> [(SimTime, SimTime, f64); 3] {
    [(at(0.5), at(2.0), 3.0), (at(1.75), at(2.25), 0.0), (at(6.0), at(6.001), 2.5)]
}

#[test]
fn the_size_of_blocks_does_not_matter() {
    for (name, process) in zoo() {
        for bursts in [&some_bursts()[..], &[]] {
            let all = until(process.start(stream(1), bursts), at(12.0), 1000);
            assert!(all.len() > 500, "{name}: {}", all.len());
            for block in [1, 7, 256, 100_000] {
                assert_eq!(until(process.start(stream(1), bursts), at(12.0), block), all, "{name} by {block}");
            }
        }
    }
}

#[test]
fn the_fast_path_has_the_bits_of_single_steps() {
    for (name, process) in zoo() {
        let (Process::Gaps(mut fast), Process::Gaps(mut slow)) =
            (process.start(stream(2), &some_bursts()).process, process.start(stream(2), &some_bursts()).process)
        else {
            continue;
        };
        let (mut one, mut other) = (Vec::new(), Vec::new());
        fast.next_block(5000, &mut one);
        for _ in 0..one.len() {
            if slow.used == CHUNK {
                slow.draw();
            }
            slow.step(&mut other);
        }
        assert_eq!(one, other, "{name}");
    }
}

#[test]
fn a_burst_by_one_changes_nothing_and_another_nothing_before_it() {
    for (name, process) in zoo() {
        let plain = until(process.start(stream(1), &[]), at(8.0), 512);
        assert_eq!(until(process.start(stream(1), &[(at(1.0), at(2.0), 1.0)]), at(8.0), 512), plain, "{name}");
        let late = until(process.start(stream(1), &[(at(3.0), at(4.0), 5.0)]), at(8.0), 512);
        let before = plain.partition_point(|time| *time < at(3.0).0);
        assert_eq!(late[..before], plain[..before], "{name}");
    }
}

#[test]
fn poisson_gaps_are_exponential_and_counts_are_right() {
    let times = arrivals(&Arrivals::Poisson(1000.0), 1, 100.0);
    assert!((times.len() as f64 - 1e5).abs() < 3.3 * 1e5_f64.sqrt(), "{}", times.len());
    let gaps = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
    assert!(kolmogorov(gaps, |x| 1.0 - exp(-x / 1e6)) < 1.949);
}

#[test]
fn rare_and_dense_arrivals_keep_their_rate() {
    for rate in [1e-6, 1e-3, 20e6] {
        let mut times = Arrivals::Poisson(rate).start(stream(4), &[]);
        let mut out = Vec::new();
        while out.len() < 3000 {
            times.next_block(512, &mut out);
        }
        let mean = out[2999] as f64 / 3000.0 * rate / 1e9;
        assert!((mean - 1.0).abs() < 3.3 / 3000.0_f64.sqrt(), "{rate}: {mean}");
    }
}

/// Given their number, the arrivals of a Poisson process are independent, with the integrated rate for a distribution.
fn assert_follows(process: &Arrivals, bursts: &[(SimTime, SimTime, f64)], end: f64, integral: impl Fn(f64) -> f64) {
    let mut seconds = Vec::new();
    for run in 0..40 {
        seconds.extend(until(process.start(stream(run), bursts), at(end), 512).iter().map(|time| *time as f64 / 1e9));
    }
    let expected = 40.0 * integral(end);
    assert!((seconds.len() as f64 - expected).abs() < 3.3 * expected.sqrt(), "{} for {expected}", seconds.len());
    let distance = kolmogorov(seconds, |t| integral(t) / integral(end));
    assert!(distance < 1.949, "{distance}");
}

#[test]
fn a_burst_multiplies_a_poisson_rate_exactly() {
    let bursts = [(at(2.0), at(3.0), 10.0)];
    assert_follows(&Arrivals::Poisson(300.0), &bursts, 5.0, |t| 300.0 * (t + 9.0 * (t - 2.0).clamp(0.0, 1.0)));
}

#[test]
fn a_curve_is_followed_exactly() {
    let curve = Arrivals::curve(vec![(at(0.0), 0.0), (at(2.0), 800.0), (at(3.0), 0.0)], Some(span(4.0))).unwrap();
    let round = |t: f64| {
        let (up, down) = (t.min(2.0), (t - 2.0).clamp(0.0, 1.0));
        200.0 * up * up + 800.0 * (down - down * down / 2.0)
    };
    assert_follows(&curve, &[], 7.0, |t| (t / 4.0).floor() * 1200.0 + round(t % 4.0));
    let short = Arrivals::curve(vec![(at(0.0), 0.0), (SimTime(500), 800.0)], Some(SimSpan(1_000))).unwrap();
    assert!(
        (short.mean_rate(SimSpan::from_seconds(604_800)) - 400.0).abs() < 1e-6,
        "at once, a period is integrated once"
    );
    assert!((curve.mean_rate(span(8.0)) - 300.0).abs() < 1e-9 && (curve.mean_rate(span(2.0)) - 400.0).abs() < 1e-9);
}

#[test]
fn a_burst_does_not_shift_a_curve() {
    let curve = Arrivals::curve(vec![(at(0.0), 0.0), (at(4.0), 800.0)], None).unwrap();
    let until_burst = |t: f64| 100.0 * t * t;
    let bursts = [(at(1.0), at(2.0), 3.0)];
    assert_follows(&curve, &bursts, 4.0, |t| until_burst(t) + 2.0 * (until_burst(t.clamp(1.0, 2.0)) - 100.0));
}

#[test]
fn counts_are_met_on_average_and_play_faster() {
    let replay = Replay { speed: 2.0, scale: 3.0, repeat: None };
    let counts = Arrivals::counts(vec![100.0, 0.0, 500.0], span(2.0), replay).unwrap();
    let integral = |t: f64| 300.0 * t.min(1.0) + 1500.0 * (t - 2.0).clamp(0.0, 1.0);
    assert_follows(&counts, &[], 3.5, integral);
    assert!((counts.mean_rate(span(6.0)) - 300.0).abs() < 1e-9);
    assert_eq!(arrivals(&counts, 1, 100.0).len(), arrivals(&counts, 1, 3.0).len(), "it ends");
}

#[test]
fn paced_arrivals_do_not_drift() {
    let times = arrivals(&Arrivals::Constant(3.0), 1, 1e6);
    assert_eq!(times[..3], [333_333_333, 666_666_667, SECOND]);
    assert!((1..).zip(&times).all(|(k, time): (u64, _)| *time == (2 * k * SECOND + 3) / 6));
    let burst = [(at(2.0), at(4.0), 10.0)];
    let times = until(Arrivals::Constant(1.0).start(stream(1), &burst), at(7.1), 64);
    assert_eq!(times.len(), 2 + 20 + 3);
    assert_eq!((times[1], times[2], times[22]), (2 * SECOND, 2 * SECOND + SECOND / 10, 5 * SECOND));
    let fractional = until(Arrivals::Constant(1.0).start(stream(1), &[(at(0.5), at(0.6), 2.0)]), at(2.0), 64);
    assert_eq!(fractional, [900_000_000, 1_900_000_000]);
}

#[test]
fn renewal_gaps_shrink_in_a_burst() {
    let times = until(
        Arrivals::Renewal(Dist::Constant(1e9)).start(stream(1), &[(at(2.5), at(3.5), 4.0), (at(5.25), at(6.25), 0.0)]),
        at(8.0),
        64,
    );
    let seconds: Vec<f64> = times.iter().map(|time| *time as f64 / 1e9).collect();
    assert_eq!(seconds, [1.0, 2.0, 2.625, 2.875, 3.125, 3.375, 4.0, 5.0, 7.0]);
}

#[test]
fn modulated_processes_have_their_mean_and_their_turns() {
    let mmpp = Arrivals::mmpp(vec![500.0, 20.0], vec![2e8, 6e8]).unwrap();
    let bursts = Arrivals::bursts(1000.0, Dist::Constant(1e8), Dist::Constant(3e8)).unwrap();
    assert!((mmpp.mean_rate(span(1.0)) - 140.0).abs() < 1e-9 && (bursts.mean_rate(span(1.0)) - 250.0).abs() < 1e-9);
    for seconds in [0.1, 3.0] {
        let counts: Vec<f64> = (0..2000).map(|run| arrivals(&mmpp, run, seconds).len() as f64).collect();
        let mean = counts.iter().sum::<f64>() / 2000.0;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 2000.0;
        assert!((mean - 140.0 * seconds).abs() < 3.3 * (variance / 2000.0).sqrt(), "{mean} in {seconds} s");
        assert!(variance > 3.0 * mean, "not Poisson: {variance} for {mean}");
    }
    let times = arrivals(&bursts, 3, 40.0);
    assert!(times.iter().all(|time| time % 400_000_000 < 100_000_000));
    assert!((times.len() as f64 - 1e4).abs() < 330.0, "{}", times.len());
}

#[test]
fn recorded_times_come_as_they_were() {
    let times = vec![30, 10, 20];
    let play = |replay| arrivals(&Arrivals::times(times.clone(), replay).unwrap(), 1, 1e-7);
    assert_eq!(play(Replay::default()), [10, 20, 30]);
    assert_eq!(play(Replay { speed: 2.0, ..Replay::default() }), [5, 10, 15]);
    assert_eq!(play(Replay { scale: 2.0, ..Replay::default() }), [10, 10, 20, 20, 30, 30]);
    assert_eq!(play(Replay { repeat: Some(SimSpan(40)), ..Replay::default() }), [10, 20, 30, 50, 60, 70, 90]);
}

#[test]
fn fractions_of_recorded_entries_come_by_chance() {
    let replay = Replay { scale: 2.3, ..Replay::default() };
    let process = Arrivals::times((0..20_000).collect(), replay).unwrap();
    let total = arrivals(&process, 1, 1.0).len() as f64;
    assert!((total - 46_000.0).abs() < 3.3 * (20_000.0_f64 * 0.3 * 0.7).sqrt(), "{total}");
    assert!((process.mean_rate(SimSpan(10_000)) - 2.3e9).abs() < 1.0);
    let doubled = until(process.start(stream(1), &[(SimTime(0), SimTime(1000), 0.0)]), at(1.0), 64);
    assert!(doubled[0] >= 1000);
}

#[test]
fn what_never_arrives_ends_at_once() {
    let silence = [
        Arrivals::Poisson(0.0),
        Arrivals::Constant(0.0),
        Arrivals::mmpp(vec![0.0, 0.0], vec![1.0, 1.0]).unwrap(),
        Arrivals::counts(vec![0.0; 3], span(1.0), Replay { repeat: Some(span(3.0)), ..Replay::default() }).unwrap(),
    ];
    for process in silence {
        assert!(arrivals(&process, 1, 1e9).is_empty(), "{process:?}");
    }
    let stopped = [(at(1.0), SimTime::NEVER, 0.0)];
    for (name, process) in zoo() {
        assert!(until(process.start(stream(1), &stopped), at(1e9), 64).iter().all(|time| *time < SECOND), "{name}");
    }
}

#[test]
fn impossible_parameters_are_refused_in_words() {
    let said = |process: Result<Arrivals, Impossible>| process.map_err(|error| error.to_string()).unwrap_err();
    assert_eq!(said(Arrivals::poisson(-1.0)), "`rate` must not be negative");
    assert_eq!(said(Arrivals::curve(vec![(at(2.0), 1.0), (at(1.0), 1.0)], None)), "`points` must be in order of time");
    assert_eq!(said(Arrivals::curve(vec![(at(2.0), 1.0)], Some(span(1.0)))), "a point lies after `repeat`");
    assert_eq!(said(Arrivals::times(vec![], Replay::default())), "`times` must not be empty");
    let short = Replay { repeat: Some(SimSpan(5)), ..Replay::default() };
    assert_eq!(said(Arrivals::times(vec![9], short)), "`repeat` is shorter than the trace");
    assert!(said(Arrivals::mmpp(vec![1.0], vec![])).contains("equally long"));
    assert_eq!(said(Arrivals::renewal(Dist::Constant(0.0))), "`renewal` must be greater than 0");
}

#[test]
fn known_answers() {
    let answers: Vec<(&str, [u64; 2])> = vec![
        ("poisson", [338_099, 3_471_569_309_310_783_302]),
        ("constant", [1_428_571, 3_338_073_599_304_202_327]),
        ("renewal", [864_214, 2_035_050_423_642_486_000]),
        ("mmpp", [3_380_990, 4_492_065_205_831_683_806]),
        ("bursts", [84_524, 4_713_591_895_361_050_443]),
        ("curve", [169_049, 10_412_113_028_596_624_086]),
        ("daily", [50_715, 8_679_490_801_108_639_264]),
        ("times", [133, 949_191_592_673_013_043]),
        ("counts", [163_332, 2_023_519_706_159_782_044]),
    ];
    let found: Vec<(&str, [u64; 2])> = zoo()
        .into_iter()
        .map(|(name, process)| {
            let times = until(process.start(Stream::named(42, "shop/arrivals"), &some_bursts()), at(8.0), 512);
            (name, [times[0], fingerprint(&times)])
        })
        .collect();
    assert_eq!(found, answers);
}

#[test]
#[ignore = "prints what an arrival costs: run it by hand, optimised"]
#[expect(clippy::disallowed_methods, reason = "measures the machine, not the model")]
fn cost_of_an_arrival() {
    for (name, process) in zoo() {
        let mut out = Vec::with_capacity(4096);
        let best = (0..100).map(|_| {
            let mut times = process.start(stream(1), &[]);
            let start = std::time::Instant::now();
            for _ in 0..4 {
                out.clear();
                times.next_block(512, &mut out);
            }
            start.elapsed().as_nanos()
        });
        println!("{name:16} {:6.2} ns", best.min().unwrap_or(0) as f64 / 2048.0);
    }
}
