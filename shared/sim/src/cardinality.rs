//! Estimates how many distinct things were seen without keeping them: `HyperLogLog`.
//!
//! Flajolet, Fusy, Gandouet, Meunier: `HyperLogLog`: the analysis of a near-optimal cardinality
//! estimation algorithm (2007),
//! <https://algo.inria.fr/flajolet/Publications/FlFuGaMe07.pdf>.

use serde::{Serialize, Serializer};

/// 2¹⁴ registers: the standard error of the estimate is 0.81 %.
const BITS: u32 = 14;
const REGISTERS: usize = 1 << BITS;

/// An estimate of how many distinct hashes were added. Their order does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardinalityEstimate(Vec<u8>);

impl Default for CardinalityEstimate {
    fn default() -> Self {
        Self(vec![0; REGISTERS])
    }
}

impl CardinalityEstimate {
    /// Adds a hash. All of its 64 bits must be as good as random.
    pub(crate) fn add(&mut self, hash: u64) {
        let rank = (hash >> BITS).trailing_zeros().min(64 - BITS) + 1;
        let register = usize::try_from(hash % (1 << BITS)).unwrap_or_default();
        // At most 51.
        let rank = u8::try_from(rank).unwrap_or(u8::MAX);
        self.0[register] = self.0[register].max(rank);
    }

    /// Adds all hashes of another estimate.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// Estimates how many distinct hashes were added.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate, far below 2^52"
    )]
    pub fn estimate(&self) -> u64 {
        let registers = REGISTERS as f64;
        let sum: f64 = self.0.iter().map(|rank| 2_f64.powi(-i32::from(*rank))).sum();
        let raw = 0.7213 / (1.0 + 1.079 / registers) * registers * registers / sum;
        let empty: u32 = self.0.iter().map(|rank| u32::from(*rank == 0)).sum();
        // For small numbers the count of empty registers is more exact.
        let estimate = if raw <= 2.5 * registers && empty > 0 {
            registers * (registers / f64::from(empty)).ln()
        } else {
            raw
        };
        estimate.round() as u64
    }
}

impl Serialize for CardinalityEstimate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.estimate())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Seed;

    fn of(numbers: impl Iterator<Item = u64>) -> CardinalityEstimate {
        let mut estimate = CardinalityEstimate::default();
        numbers.for_each(|n| estimate.add(Seed(n).draws("cardinality", "").bits()));
        estimate
    }

    #[test]
    fn estimates_are_within_two_percent() {
        for count in [0, 10, 1_000, 50_000] {
            let estimate = of((0..count).chain(0..count)).estimate();
            assert!(estimate.abs_diff(count) * 50 <= count, "{estimate} for {count}");
        }
    }

    #[test]
    fn merging_two_estimates_counts_common_hashes_once() {
        let mut first = of(0..700);
        first.merge(&of(500..1_000));
        assert_eq!(first, of(0..1_000));
    }
}
