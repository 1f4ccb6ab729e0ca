//! The only door to transcendental functions: the same bits on every machine.
//!
//! There are two families. The plain names ([`ln`], [`exp`], [`pow`], ...) are those of `libm`, which is written in Rust
//! and takes every argument. [`quick_ln`], [`quick_exp`] and [`normal_quantile`] are our own for samplers: no branches,
//! only `+ - * /`, square roots and bit moves, so that a compiler may compute several at once and still get the bits of
//! one at a time.

/// Natural logarithm.
#[must_use]
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// `ln(1 + x)`, exact for small x.
#[must_use]
pub fn ln_1p(x: f64) -> f64 {
    libm::log1p(x)
}

/// Logarithm to base 10.
#[must_use]
pub fn log10(x: f64) -> f64 {
    libm::log10(x)
}

/// Logarithm to base 2.
#[must_use]
pub fn log2(x: f64) -> f64 {
    libm::log2(x)
}

/// e to the power of x.
#[must_use]
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// `exp(x) - 1`, exact for small x.
#[must_use]
pub fn exp_m1(x: f64) -> f64 {
    libm::expm1(x)
}

/// x to the power of y.
#[must_use]
pub fn pow(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}

/// Square root (correctly rounded everywhere).
#[must_use]
pub fn sqrt(x: f64) -> f64 {
    x.sqrt()
}

/// Logarithm of the gamma function, for x above 0.
#[must_use]
pub fn ln_gamma(x: f64) -> f64 {
    libm::lgamma(x)
}

/// Distribution function of the standard normal distribution.
#[must_use]
pub fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// Density of the standard normal distribution.
#[must_use]
pub fn normal_density(z: f64) -> f64 {
    const INVERSE_ROOT_TWO_PI: f64 = 0.398_942_280_401_432_7;
    INVERSE_ROOT_TWO_PI * exp(-0.5 * z * z)
}

/// Natural logarithm of a positive normal number, without branches; relative error below 1e-15.
///
/// The reduction and the polynomial of fdlibm's `e_log.c` (Sun Microsystems, 1993), without its special cases and
/// without the steps that gain its last bit (which cost an eighth of an exponential sample).
#[inline(always)]
#[must_use]
pub fn quick_ln(x: f64) -> f64 {
    const ONE: u64 = 0x3FF0_0000_0000_0000;
    const ROOT_HALF: u64 = 0x3FE6_A09E_667F_3BCD;
    const TWO_52: u64 = 0x4330_0000_0000_0000;
    // x = 2^k * m with m between root(1/2) and root(2). The biased exponent k + 1023 becomes a float by the 2^52 trick.
    let moved = x.to_bits().wrapping_add(ONE - ROOT_HALF);
    let k = f64::from_bits((moved >> 52) | TWO_52) - (4_503_599_627_370_496.0 + 1023.0);
    let m = f64::from_bits((moved & 0x000F_FFFF_FFFF_FFFF).wrapping_add(ROOT_HALF));
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let odd = z
        * (6.666_666_666_666_735e-1
            + w * (2.857_142_874_366_239e-1 + w * (1.818_357_216_161_805e-1 + w * 1.479_819_860_511_658_6e-1)));
    let even = w * (3.999_999_999_940_942e-1 + w * (2.222_219_843_214_978_4e-1 + w * 1.531_383_769_920_937_3e-1));
    k * std::f64::consts::LN_2 + s * (2.0 + (odd + even))
}

/// ln 2 with so few bits that its product with an exponent is exact, and the rest of it.
const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// e to the power of x, without branches; x outside -708 to 709 is taken as that end. Relative error below 2^-52.
///
/// The reduction and the rational form of fdlibm's `e_exp.c` (Sun Microsystems, 1993), its special cases left out.
#[inline(always)]
#[must_use]
pub fn quick_exp(x: f64) -> f64 {
    // Adding 1.5 * 2^52 rounds to an integer and leaves it in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let x = x.clamp(-708.0, 709.0);
    let rounded = x * std::f64::consts::LOG2_E + ROUND;
    let k = rounded - ROUND;
    let high = x - k * LN2_HIGH;
    let low = k * LN2_LOW;
    let r = high - low;
    let square = r * r;
    let c = r - square
        * (1.666_666_666_666_660_2e-1
            + square
                * (-2.777_777_777_701_559_3e-3
                    + square
                        * (6.613_756_321_437_934e-5
                            + square * (-1.653_390_220_546_525_2e-6 + square * 4.138_136_797_057_238_5e-8))));
    let y = 1.0 + (r * c / (2.0 - c) - low + high);
    f64::from_bits(y.to_bits().wrapping_add(rounded.to_bits() << 52))
}

/// The polynomial with these coefficients, constant term first.
#[inline(always)]
fn polynomial<const N: usize>(coefficients: &[f64; N], x: f64) -> f64 {
    coefficients[..N - 1].iter().rev().fold(coefficients[N - 1], |sum, coefficient| sum * x + coefficient)
}

/// Half the width of the central part of [`normal_quantile`]: 85 % of all probabilities.
const CENTRE: f64 = 0.425;
/// Where the far tails of [`normal_quantile`] begin: probabilities below e^-25.
const FAR: f64 = 5.0;

/// The quantile of the standard normal distribution for a probability strictly between 0 and 1.
///
/// Algorithm AS 241, PPND16 (Wichura, Applied Statistics 37, 1988): relative error about 1e-15.
#[inline]
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    if is_central(p) {
        return normal_centre(p);
    }
    let root = tail_root(p);
    let z = if root <= FAR { normal_tail(root) } else { normal_far_tail(root) };
    z.copysign(p - 0.5)
}

/// Replaces probabilities by the quantiles of the standard normal distribution, with the bits of [`normal_quantile`].
///
/// All are computed as if they were central; the 15 % that are not are gathered before and written over them after.
/// No loop has a branch that chance decides, apart from one in 10^11.
#[inline(always)]
pub fn normal_quantiles(probabilities: &mut [f64]) {
    const BLOCK: usize = 64;
    for block in probabilities.chunks_mut(BLOCK) {
        let (mut tails, mut places, mut count) = ([0.5; BLOCK], [0_usize; BLOCK], 0);
        for (at, p) in block.iter().enumerate() {
            tails[count % BLOCK] = *p;
            places[count % BLOCK] = at;
            count += usize::from(!is_central(*p));
        }
        block.iter_mut().for_each(|p| *p = normal_centre(*p));
        let mut roots = [0.0; BLOCK];
        for (root, p) in roots.iter_mut().zip(&tails[..count]) {
            *root = tail_root(*p);
        }
        for (p, root) in tails[..count].iter_mut().zip(&roots) {
            *p = normal_tail(*root).copysign(*p - 0.5);
        }
        for (z, root) in tails[..count].iter_mut().zip(&roots).filter(|(_, root)| **root > FAR) {
            *z = normal_far_tail(*root).copysign(*z);
        }
        for (z, at) in tails[..count].iter().zip(&places) {
            block[*at] = *z;
        }
    }
}

#[inline(always)]
fn is_central(p: f64) -> bool {
    (p - 0.5).abs() <= CENTRE
}

/// AS 241 measures tails by the root of minus the logarithm of their probability.
#[inline(always)]
fn tail_root(p: f64) -> f64 {
    sqrt(-quick_ln(if p < 0.5 { p } else { 1.0 - p }))
}

/// AS 241 for probabilities up to [`CENTRE`] from one half.
#[inline(always)]
fn normal_centre(p: f64) -> f64 {
    const A: [f64; 8] = [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ];
    const B: [f64; 8] = [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_854,
    ];
    let q = p - 0.5;
    let r = CENTRE * CENTRE - q * q;
    q * polynomial(&A, r) / polynomial(&B, r)
}

/// AS 241 for roots up to [`FAR`], without the sign.
#[inline(always)]
fn normal_tail(root: f64) -> f64 {
    const C: [f64; 8] = [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        2.417_807_251_774_506e-1,
        2.272_384_498_926_918_4e-2,
        7.745_450_142_783_414e-4,
    ];
    const D: [f64; 8] = [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        6.897_673_349_851e-1,
        1.481_039_764_274_800_8e-1,
        1.519_866_656_361_645_7e-2,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ];
    polynomial(&C, root - 1.6) / polynomial(&D, root - 1.6)
}

/// AS 241 for roots beyond [`FAR`], without the sign.
#[cold]
fn normal_far_tail(root: f64) -> f64 {
    const E: [f64; 8] = [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        2.965_605_718_285_048_7e-1,
        2.653_218_952_657_612_4e-2,
        1.242_660_947_388_078_4e-3,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ];
    const F: [f64; 8] = [
        1.0,
        5.998_322_065_558_88e-1,
        1.369_298_809_227_358e-1,
        1.487_536_129_085_061_5e-2,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_7e-15,
    ];
    polynomial(&E, root - FAR) / polynomial(&F, root - FAR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn relative(a: f64, b: f64) -> f64 {
        if a.to_bits() == b.to_bits() { 0.0 } else { ((a - b) / b).abs() }
    }

    #[test]
    fn quick_ln_agrees_with_libm_everywhere() {
        let stream = Stream::named(1, "math/ln");
        let mut worst = 0.0_f64;
        for n in 0..300_000 {
            let unit = stream.unit(n);
            let near_one = 1.0 + (unit - 0.5) * quick_exp(-40.0 * stream.unit(n + 1_000_000));
            for x in [unit, near_one, unit * quick_exp(1400.0 * (stream.unit(n + 2_000_000) - 0.5)), 1.0 - unit] {
                worst = worst.max(relative(quick_ln(x), libm::log(x)));
            }
        }
        for x in [f64::MIN_POSITIVE, f64::MAX, 0.5, 1.0, 2.0, 1.0 - f64::EPSILON / 2.0, 1.0 + f64::EPSILON] {
            worst = worst.max(relative(quick_ln(x), libm::log(x)));
        }
        assert!(worst < 6e-16, "{worst:e}");
    }

    #[test]
    fn quick_exp_agrees_with_libm_everywhere() {
        let stream = Stream::named(1, "math/exp");
        let mut worst = 0.0_f64;
        for n in 0..300_000 {
            let unit = stream.unit(n) - 0.5;
            for x in [unit, 40.0 * unit, 1416.0 * unit, unit * 1e-9] {
                worst = worst.max(relative(quick_exp(x), libm::exp(x)));
            }
        }
        assert!(worst < 2.3e-16, "{worst:e}");
        assert!(quick_exp(-1e9) > 0.0 && quick_exp(1e9).is_finite() && quick_exp(0.0).to_bits() == 1.0_f64.to_bits());
    }

    #[test]
    fn normal_quantile_inverts_the_distribution_function() {
        let stream = Stream::named(1, "math/normal");
        for n in 0..200_000 {
            let unit = stream.unit(n);
            for p in [unit, unit * 0.1, unit * 1e-6, unit * 1e-14] {
                // An error dz of the quantile shows as a relative error |z| dz of a small probability.
                let z = normal_quantile(p);
                let error = (normal_cdf(z) - p).abs() / p.min(1.0 - p);
                assert!(error < 2e-15 * (1.0 + z * z), "p {p:e}, z {z}, error {error:e}");
            }
        }
    }

    #[test]
    fn known_answers_of_the_normal_quantile() {
        // From the paper of AS 241.
        for (p, z) in
            [(0.25, -0.674_489_750_196_081_7), (0.001, -3.090_232_306_167_814), (1e-20, -9.262_340_089_798_408)]
        {
            assert!(relative(normal_quantile(p), z) < 1e-15, "{p}: {}", normal_quantile(p));
        }
        assert_eq!(normal_quantile(0.5).to_bits(), 0);
    }

    #[test]
    fn known_answers_of_the_last_bit() {
        let bits = [quick_ln(0.3), quick_exp(-0.7), normal_quantile(0.3), normal_quantile(1e-3)].map(f64::to_bits);
        assert_eq!(
            bits,
            [
                13_831_473_067_500_349_216,
                4_602_617_305_474_356_546,
                13_826_270_636_307_301_884,
                13_837_513_040_186_066_032
            ]
        );
    }

    #[test]
    fn blocks_have_the_bits_of_single_values() {
        let stream = Stream::named(3, "math/block");
        let tiny = |n: u64| if n.is_multiple_of(5) { 1e-12 } else { 1.0 };
        let units: Vec<f64> = (0..1001).map(|n| stream.unit(n) * tiny(n)).collect();
        let mut block = units.clone();
        normal_quantiles(&mut block);
        assert!(block.iter().zip(&units).all(|(z, p)| z.to_bits() == normal_quantile(*p).to_bits()));
        let logs: Vec<f64> = units.iter().map(|u| quick_ln(*u)).collect();
        assert!(logs.iter().zip(&units).all(|(l, u)| l.to_bits() == quick_ln(std::hint::black_box(*u)).to_bits()));
    }
}
