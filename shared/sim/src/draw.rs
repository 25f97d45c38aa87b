//! Random numbers that depend only on the seed and on what they are for.
//!
//! A world in which one event comes earlier still has the same build times, and two runs of one
//! seed are equal byte for byte. The purpose of a draw is part of the seed: renaming one changes
//! the worlds of all seeds.

use patchwave::image::Digest;
use patchwave::time::Span;
use sha2::{Digest as _, Sha256};

/// Everything random in a world comes from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seed(pub(crate) u64);

/// A sequence of random numbers for one purpose.
#[derive(Debug, Clone)]
pub(crate) struct Draws(u64);

impl Seed {
    /// Returns the draws for `purpose` about `subject`.
    pub(crate) fn draws(self, purpose: &str, subject: &str) -> Draws {
        let words = [purpose.as_bytes(), b"\n", subject.as_bytes()];
        let hash =
            words.into_iter().fold(Sha256::new_with_prefix(self.0.to_le_bytes()), Sha256::chain_update);
        Draws(hash.finalize().iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte)))
    }
}

impl Draws {
    /// Draws 64 bits: `SplitMix64`, <https://prng.di.unimi.it/splitmix64.c>.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Draws a number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        let width = u64::from(high.saturating_sub(low)) + 1;
        // Below the width, which is at most 2^32.
        low.saturating_add(u32::try_from(self.bits() % width).unwrap_or(0))
    }

    /// Draws `true` in this many of a hundred cases.
    pub(crate) fn percent(&mut self, chance: u32) -> bool {
        self.between(1, 100) <= chance
    }

    /// Draws a span from `low` to `high`.
    pub(crate) fn span(&mut self, low: Span, high: Span) -> Span {
        Span::seconds(self.between(low.as_seconds(), high.as_seconds()))
    }

    /// Draws a build time: often near eight minutes and rarely near forty. Build times are products
    /// of many small factors.
    pub(crate) fn build_time(&mut self) -> Span {
        let steps = (0..3).map(|_| self.between(0, 11)).sum::<u32>();
        Span::seconds((0..steps).fold(130, |seconds, _| seconds * 109 / 100))
    }

    /// Draws one of `things`, or nothing if there are none.
    pub(crate) fn pick<'t, T>(&mut self, things: &'t [T]) -> Option<&'t T> {
        let last = u32::try_from(things.len()).ok()?.checked_sub(1)?;
        things.get(self.between(0, last) as usize)
    }
}

/// Returns the digest of `content`.
pub(crate) fn digest_of(content: &str) -> Digest {
    Digest::of(content.as_bytes())
}

/// Returns the SHA-256 of `content` in hexadecimal digits.
pub(crate) fn hex(content: &str) -> String {
    digest_of(content).hex().to_owned()
}

/// Writes the first 32 of these hexadecimal digits as a UUID.
pub(crate) fn uuid(hex: &str) -> String {
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_seed_purpose_and_subject_only() {
        let draw = |seed, purpose, subject| Seed(seed).draws(purpose, subject).between(0, u32::MAX);
        assert_eq!(draw(1, "build", "a"), draw(1, "build", "a"));
        assert_ne!(draw(1, "build", "a"), draw(2, "build", "a"));
        assert_ne!(draw(1, "build", "a"), draw(1, "scan", "a"));
        assert_ne!(draw(1, "build", "a"), draw(1, "build", "b"));
    }

    #[test]
    fn build_times_are_between_two_and_forty_minutes() {
        let times: Vec<Span> = (0..1000).map(|n| Seed(n).draws("build", "").build_time()).collect();
        assert!(times.iter().all(|time| (Span::minutes(2)..Span::minutes(40)).contains(time)));
        let short = times.iter().filter(|time| **time < Span::minutes(12)).count();
        assert!((600..950).contains(&short), "{short} of 1000 take less than twelve minutes");
    }
}
