//! Tests of fit: samples against exact distribution functions, and answers that must never change.

use crate::dist::{About, Dist};
use crate::math::{exp, ln, ln_gamma, normal_cdf, pow};
use crate::random::{Stream, fnv1a};

/// One distribution of each family.
pub(super) fn zoo() -> Vec<(&'static str, Dist)> {
    fitted().into_iter().map(|(name, dist, _)| (name, dist)).chain(others()).collect()
}

fn others() -> Vec<(&'static str, Dist)> {
    vec![
        ("constant", Dist::Constant(2.5e6)),
        ("empirical", Dist::empirical(vec![5e6, 1e6, 2e6, 2e6, 9e6]).unwrap()),
        ("trace", Dist::trace(vec![5e6, 1e6, 2e6, 9e6]).unwrap()),
        ("by-type", Dist::by_type(vec![(1, Dist::Constant(2e6))], Dist::Exponential(1e6))),
    ]
}

type Cdf = Box<dyn Fn(f64) -> f64>;

/// Distributions with their exact distribution functions.
fn fitted() -> Vec<(&'static str, Dist, Cdf)> {
    let figures = [(0.0, 1e6), (0.5, 12e6), (0.9, 40e6), (0.99, 250e6), (0.999, 900e6), (1.0, 4e9)];
    let percentiles = Dist::percentiles(&figures).unwrap();
    let Dist::Percentiles(through) = percentiles.clone() else { panic!("{percentiles:?}") };
    let triangle = |x: f64| if x < 2e6 { (x - 1e6) * (x - 1e6) / 5e12 } else { 1.0 - (6e6 - x) * (6e6 - x) / 20e12 };
    let shape = |cv: f64| 1.0 / (cv * cv);
    let weibull = |x: f64, shape: f64, scale: f64| 1.0 - exp(-pow(x / scale, shape));
    vec![
        ("exponential", Dist::Exponential(1e6), cdf(|x| 1.0 - exp(-x / 1e6))),
        ("uniform", Dist::uniform(1e6, 3e6).unwrap(), cdf(|x| (x - 1e6) / 2e6)),
        ("triangular", Dist::triangular(1e6, 2e6, 6e6).unwrap(), cdf(triangle)),
        ("normal", Dist::normal(2e6, 2e6).unwrap(), cdf(|x| 1.0 - normal_cdf(1.0 - x / 2e6) / normal_cdf(1.0))),
        (
            "lognormal",
            Dist::lognormal_through((0.99, 900e6), (0.5, 200e6)).unwrap(),
            cdf(|x| normal_cdf(ln(x / 200e6) * 2.326_347_874_040_841 / ln(4.5))),
        ),
        ("gamma", Dist::gamma(1e6, 0.6).unwrap(), cdf(move |x| gamma_cdf(shape(0.6), shape(0.6) * x / 1e6))),
        ("gamma-skewed", Dist::gamma(1e6, 2.0).unwrap(), cdf(move |x| gamma_cdf(shape(2.0), shape(2.0) * x / 1e6))),
        ("erlang", Dist::erlang(3, 3e6).unwrap(), cdf(|x| gamma_cdf(3.0, x / 1e6))),
        ("erlang-long", Dist::erlang(40, 4e6).unwrap(), cdf(|x| gamma_cdf(40.0, x / 1e5))),
        ("erlang-longer", Dist::erlang(100, 1e7).unwrap(), cdf(|x| gamma_cdf(100.0, x / 1e5))),
        (
            "hyperexponential",
            Dist::hyperexponential(&[(3.0, 1e6), (1.0, 9e6)]).unwrap(),
            cdf(|x| 1.0 - 0.75 * exp(-x / 1e6) - 0.25 * exp(-x / 9e6)),
        ),
        ("weibull", Dist::weibull(0.7, 1e6).unwrap(), cdf(move |x| weibull(x, 0.7, 1e6))),
        (
            "pareto",
            Dist::pareto(1e6, 1.5, Some(1e8)).unwrap(),
            cdf(|x| (1.0 - pow(1e6 / x, 1.5)) / (1.0 - pow(0.01, 1.5))),
        ),
        ("pareto-uncut", Dist::pareto(1e6, 9.0, None).unwrap(), cdf(|x| 1.0 - pow(1e6 / x, 9.0))),
        ("percentiles", percentiles, cdf(move |x| through.cdf(x))),
        (
            "mixture",
            Dist::mixture(vec![(1.0, Dist::uniform(0.0, 1e6).unwrap()), (4.0, Dist::Exponential(1e6))]).unwrap(),
            cdf(|x| 0.2 * (x / 1e6).min(1.0) + 0.8 * (1.0 - exp(-x / 1e6))),
        ),
        ("shifted", Dist::shifted(1e6, Dist::Exponential(2e6)).unwrap(), cdf(|x| 1.0 - exp((1e6 - x) / 2e6))),
    ]
}

fn cdf(function: impl Fn(f64) -> f64 + 'static) -> Cdf {
    Box::new(function)
}

/// The regularised lower incomplete gamma function, by its series.
fn gamma_cdf(shape: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let (mut term, mut sum, mut n) = (1.0 / shape, 1.0 / shape, shape);
    while term > 1e-16 * sum {
        n += 1.0;
        term *= x / n;
        sum += term;
    }
    (sum * exp(shape * ln(x) - x - ln_gamma(shape))).min(1.0)
}

/// Kolmogorov's distance between samples and a distribution function, times the root of their number; 1.949 is exceeded
/// by chance once in a thousand times.
pub(super) fn kolmogorov(mut samples: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let count = samples.len() as f64;
    let distance = |(at, x): (usize, &f64)| {
        let p = cdf(*x);
        ((at as f64 + 1.0) / count - p).max(p - at as f64 / count)
    };
    samples.iter().enumerate().map(distance).fold(0.0, f64::max) * count.sqrt()
}

/// A number that changes with every bit of every one of these.
pub(super) fn fingerprint(numbers: &[u64]) -> u64 {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    fnv1a(&bytes)
}

#[test]
fn samples_follow_their_distribution_functions() {
    for (name, dist, cdf) in fitted() {
        let stream = Stream::named(1, name);
        let samples = (0..100_000).map(|n| dist.sample(&mut stream.at(n), About::default())).collect();
        let distance = kolmogorov(samples, cdf);
        assert!(distance < 1.949, "{name}: {distance}");
    }
}

#[test]
fn the_test_of_fit_notices_a_slight_misfit() {
    let stream = Stream::named(1, "misfit");
    let samples: Vec<f64> =
        (0..100_000).map(|n| Dist::Exponential(1e6).sample(&mut stream.at(n), About::default())).collect();
    assert!(kolmogorov(samples, |x| 1.0 - exp(-x / 1.02e6)) > 1.949);
}

#[test]
fn known_answers() {
    let answers: Vec<(&str, [u64; 3])> = vec![
        ("exponential", [1_887_046, 134_778, 10_585_857_535_992_954_202]),
        ("uniform", [1_303_037, 2_747_819, 8_786_227_141_807_641_609]),
        ("triangular", [1_870_399, 4_411_980, 5_352_226_642_249_288_868]),
        ("normal", [4_276_774, 742_404, 13_612_575_106_018_380_636]),
        ("lognormal", [102_762_327, 419_326_742, 5_382_621_400_968_405_067]),
        ("gamma", [418_274, 1_694_648, 1_149_232_917_257_188_609]),
        ("gamma-skewed", [5205, 1_178_468, 3_941_787_884_386_033_002]),
        ("erlang", [2_640_472, 1_838_710, 17_573_410_876_329_819_168]),
        ("erlang-long", [4_549_926, 3_329_755, 611_393_255_450_785_995]),
        ("erlang-longer", [8_973_397, 11_154_089, 434_233_111_586_809_691]),
        ("hyperexponential", [139_844, 10_763_763, 4_651_743_960_968_529_214]),
        ("weibull", [2_477_279, 57_095, 15_213_837_573_807_876_009]),
        ("pareto", [3_505_411, 1_093_907, 10_851_362_920_368_138_894]),
        ("pareto-uncut", [1_233_273, 1_015_088, 13_013_862_845_600_079_966]),
        ("percentiles", [7_004_081, 35_186_369, 9_487_397_971_526_712_414]),
        ("mixture", [869_494, 1_195_974, 13_856_150_591_707_220_844]),
        ("shifted", [4_774_092, 1_269_556, 10_860_650_235_199_888_548]),
        ("constant", [2_500_000, 2_500_000, 7_820_429_504_134_513_749]),
        ("empirical", [1_000_000, 9_000_000, 13_869_333_507_926_735_033]),
        ("trace", [5_000_000, 1_000_000, 4_277_969_787_260_390_317]),
        ("by-type", [1_887_046, 134_778, 10_585_857_535_992_954_202]),
    ];
    let stream = Stream::named(42, "email/service");
    let found: Vec<(&str, [u64; 3])> = zoo()
        .into_iter()
        .map(|(name, dist)| {
            let whole = |n: u64| dist.whole(&mut stream.at(n), About { index: n, ..About::default() });
            let wholes: Vec<u64> = (0..1000).map(whole).collect();
            (name, [wholes[0], wholes[1], fingerprint(&wholes)])
        })
        .collect();
    assert_eq!(found, answers);
}
