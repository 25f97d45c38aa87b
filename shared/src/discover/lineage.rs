//! Finds whose layers an image starts with.
//!
//! The identity of a layer in its place is the chain of all layers up to it: the `ChainID` of
//! <https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid>. Only whole
//! images are found: the layers that two siblings share are no image. The digests of uncompressed
//! content serve best, because a push may compress layers again.

use crate::image::Digest;

/// Bits that tell most chains apart which are nobody's: 8 times the images, at least this many.
const FEWEST_BITS: usize = 1 << 16;

/// An index of images by their chains of layers. Its answer for an image is every other image whose
/// chain is the longest that the image starts with: several if they cannot be told apart.
#[derive(Debug)]
pub struct Lineage<'d> {
    chains: Vec<&'d [Digest]>,
    /// The hash of each whole chain with the number of its image, in order.
    whole: Vec<(u64, u32)>,
    /// Which hashes occur, by their last bits.
    marks: Vec<u64>,
}

impl<'d> Lineage<'d> {
    /// Indexes the chains of images. An image without layers has no chain, and is never found.
    #[must_use]
    pub fn new(chains: Vec<&'d [Digest]>) -> Self {
        let hashes = chains.iter().map(|chain| chain.iter().fold(0, extended));
        let numbered = hashes.zip(0..).zip(&chains).filter(|(_, chain)| !chain.is_empty());
        let mut whole: Vec<(u64, u32)> = numbered.map(|(entry, _)| entry).collect();
        whole.sort_unstable();
        let mut marks = vec![0; (chains.len() * 8).next_power_of_two().max(FEWEST_BITS) / 64];
        for (hash, _) in &whole {
            let (word, bit) = place(*hash, marks.len());
            marks[word] |= bit;
        }
        Self { chains, whole, marks }
    }

    /// Finds the images whose chain is the longest that `chain` starts with, itself included, among
    /// those of `accept`.
    pub fn longest(&self, chain: &[Digest], accept: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut prefixes = Vec::with_capacity(chain.len());
        let mut hash = 0;
        for digest in chain {
            hash = extended(hash, digest);
            prefixes.push(hash);
        }
        for (at, hash) in prefixes.iter().enumerate().rev() {
            let (word, bit) = place(*hash, self.marks.len());
            if self.marks[word] & bit == 0 {
                continue;
            }
            let found: Vec<usize> = self.with(*hash, &chain[..=at]).filter(|image| accept(*image)).collect();
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    /// Finds the images with exactly this chain. Others may write what they like into a config, so
    /// a hash alone proves nothing.
    fn with(&self, hash: u64, chain: &[Digest]) -> impl Iterator<Item = usize> {
        let first = self.whole.partition_point(|(other, _)| *other < hash);
        let same = self.whole[first..].iter().take_while(move |(other, _)| *other == hash);
        same.filter_map(|(_, image)| usize::try_from(*image).ok())
            .filter(move |image| self.chains[*image] == chain)
    }
}

/// Adds a layer to the hash of those below it. Digests are random already, so a few of their digits
/// are enough.
fn extended(below: u64, layer: &Digest) -> u64 {
    let digits = layer.as_str().as_bytes();
    let digits = digits.get(7..23).unwrap_or_default();
    let own =
        digits.iter().fold(0, |hash: u64, digit| (hash << 4) ^ u64::from((digit & 0x0f) + (digit >> 6) * 9));
    (below.rotate_left(23) ^ own).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Returns where the mark of a hash is: the word, and the bit in it.
fn place(hash: u64, words: usize) -> (usize, u64) {
    let bit = usize::try_from(hash >> 16).unwrap_or_default() & (words * 64 - 1);
    (bit / 64, 1 << (bit % 64))
}
