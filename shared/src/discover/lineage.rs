//! Finds whose layers an image starts with.
//!
//! The identity of a layer in its place is the chain of all layers up to it: the `ChainID` of
//! <https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid>. Only whole
//! images are found: the layers that two siblings share are no image. The digests of uncompressed
//! content serve best, because a push may compress layers again.

use crate::image::Digest;

/// Bits that tell most chains apart which are no image's: 16 for each image, at least this many.
const FEWEST_BITS: usize = 1 << 16;

/// An index of images by their chains of layers. Its answer for an image is every other image whose
/// chain is the longest that the image starts with: several if they cannot be told apart.
#[derive(Debug)]
pub struct Lineage<'d> {
    chains: Vec<&'d [Digest]>,
    /// The hash of each whole chain with the number of its image, in order.
    whole: Vec<(u64, u32)>,
    /// Where the hashes with the same first bits begin in `whole`.
    starts: Vec<u32>,
    /// How far a hash is shifted to get those first bits.
    shift: u32,
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
        let mut marks = vec![0; (chains.len() * 16).next_power_of_two().max(FEWEST_BITS) / 64];
        for (hash, _) in &whole {
            let (word, bit) = place(*hash, marks.len());
            marks[word] |= bit;
        }
        let bits = whole.len().next_power_of_two().trailing_zeros().max(1);
        let (mut starts, shift) = (Vec::with_capacity((1 << bits) + 1), 64 - bits);
        for (at, (hash, _)) in (0..).zip(&whole) {
            starts.resize(first_bits(*hash, shift).max(starts.len().saturating_sub(1)) + 1, at);
        }
        Self { chains, whole, starts, shift, marks }
    }

    /// Finds the images whose chain is the longest that `chain` starts with, itself included, among
    /// those of `accept`.
    pub fn longest(&self, chain: &[Digest], accept: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut marked = Vec::new();
        let mut hash = 0;
        for (at, digest) in chain.iter().enumerate() {
            hash = extended(hash, digest);
            let (word, bit) = place(hash, self.marks.len());
            if self.marks[word] & bit != 0 {
                marked.push((at, hash));
            }
        }
        let with = |(at, hash): (usize, u64)| self.with(hash, &chain[..=at], &accept).collect();
        let mut found = marked.into_iter().rev().map(with);
        found.find(|found: &Vec<usize>| !found.is_empty()).unwrap_or_default()
    }

    /// Finds the images with exactly this chain. Others may write what they like into a config, so
    /// a hash alone proves nothing.
    fn with(
        &self,
        hash: u64,
        chain: &[Digest],
        accept: impl Fn(usize) -> bool,
    ) -> impl Iterator<Item = usize> {
        let first = self.starts.get(first_bits(hash, self.shift)).copied().unwrap_or(u32::MAX);
        let here = usize::try_from(first).ok().and_then(|first| self.whole.get(first..)).unwrap_or_default();
        let lower = here.iter().take_while(|(other, _)| *other < hash).count();
        let same = here[lower..].iter().take_while(move |(other, _)| *other == hash);
        let images = same.filter_map(|(_, image)| usize::try_from(*image).ok());
        images.filter(move |image| accept(*image) && is_same(self.chains[*image], chain))
    }
}

/// Compares chains. Copies of a digest share their text.
fn is_same(one: &[Digest], other: &[Digest]) -> bool {
    let same = |(one, other): (&Digest, &Digest)| std::ptr::eq(one.as_str(), other.as_str()) || one == other;
    one.len() == other.len() && one.iter().zip(other).all(same)
}

/// Adds a layer to the hash of those below it. Digests are random already, so a few of their digits
/// are enough.
fn extended(below: u64, layer: &Digest) -> u64 {
    let digits = layer.as_str().as_bytes().get(7..).unwrap_or_default();
    let word = |digits: Option<&[u8; 8]>| digits.map_or(0, |digits| u64::from_le_bytes(*digits));
    let (first, second) = (word(digits.first_chunk()), word(digits.get(8..).and_then(<[u8]>::first_chunk)));
    let mixed = (below.rotate_left(23) ^ first).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29) ^ second.rotate_left(32)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 32)
}

/// Returns where the mark of a hash is: the word, and the bit in it.
fn place(hash: u64, words: usize) -> (usize, u64) {
    let bit = usize::try_from(hash & 0xffff_ffff).unwrap_or_default() & (words * 64 - 1);
    (bit / 64, 1 << (bit % 64))
}

fn first_bits(hash: u64, shift: u32) -> usize {
    usize::try_from(hash >> shift).unwrap_or_default()
}
