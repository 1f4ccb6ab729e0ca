//! A choice by weights in one draw and one look-up (alias method: Walker 1977, table by Vose 1991).

use crate::dist::below;

/// A table of `n` equally likely cells, each shared by at most two choices.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alias {
    /// Which share of the cell (as a part of 2^32) is the cell's own choice, and what the rest of it is.
    cells: Vec<(u32, u32)>,
}

impl Alias {
    /// The table of at most 2^32 weights, of which at least one is positive. Built in one fixed order.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "choices are u32, shares are below 2^32"
    )]
    pub(super) fn new(weights: &[f64]) -> Self {
        let scale = weights.len() as f64 / weights.iter().sum::<f64>();
        let mut heights: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
        // Whatever is left over by rounding at the end is a cell of its own.
        let mut cells: Vec<(u32, u32)> = (0..weights.len()).map(|at| (u32::MAX, at as u32)).collect();
        let (mut short, mut tall): (Vec<u32>, Vec<u32>) =
            (0..weights.len() as u32).partition(|at| heights[*at as usize] < 1.0);
        while let (Some(low), Some(high)) = (short.pop(), tall.pop()) {
            let own = heights[low as usize];
            cells[low as usize] = ((own * 4_294_967_296.0) as u32, high);
            let rest = heights[high as usize] - (1.0 - own);
            heights[high as usize] = rest;
            if rest < 1.0 { short.push(high) } else { tall.push(high) }
        }
        Self { cells }
    }

    /// The choice that 64 random bits make: the place of its weight.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "choices are u32; the low bits of the product are what is wanted"
    )]
    pub(super) fn pick(&self, bits: u64) -> u32 {
        let at = below(self.cells.len(), bits);
        let rest = (bits.wrapping_mul(self.cells.len() as u64) >> 32) as u32;
        let (own, other) = self.cells[at];
        if rest < own { at as u32 } else { other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exact share of each choice, read off the table.
    fn shares(alias: &Alias) -> Vec<f64> {
        let mut shares = vec![0.0; alias.cells.len()];
        for (at, (own, other)) in alias.cells.iter().enumerate() {
            let own = f64::from(*own) / 4_294_967_296.0;
            shares[at] += own / alias.cells.len() as f64;
            shares[*other as usize] += (1.0 - own) / alias.cells.len() as f64;
        }
        shares
    }

    #[test]
    fn the_table_has_the_weights() {
        for weights in [vec![1.0], vec![0.0, 3.0, 1.0], vec![5.0; 7], (1..1000).map(|n| 1.0 / f64::from(n)).collect()] {
            let sum: f64 = weights.iter().sum();
            for (share, weight) in shares(&Alias::new(&weights)).iter().zip(&weights) {
                assert!((share - weight / sum).abs() < 1e-9, "{share} for {weight} of {sum}");
            }
        }
    }

    #[test]
    fn a_weight_of_zero_is_never_chosen() {
        let alias = Alias::new(&[0.0, 1.0, 0.0, 2.0, 0.0]);
        for n in 0..100_000_u64 {
            let pick = alias.pick(n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            assert!(pick == 1 || pick == 3, "{pick}");
        }
    }
}
