//! Finding whose layers images start with.

use patchwave::discover::Lineage;
use patchwave::image::Digest;

use crate::clock::{fastest, ms, timed};
use crate::table::Row;

/// Layers of a base, of a platform and of an application.
const LAYERS: usize = 4;
const BASES: usize = 100;
const PLATFORMS: usize = 5_000;
const ROUNDS: usize = 5;
/// Images of which every other image is compared with.
const SAMPLE: usize = 97;

/// Finds the parents of so many applications of twelve layers, on platforms of eight and bases of
/// four.
pub(crate) fn measure(applications: usize) -> Result<Vec<Row>, String> {
    let chains = chains(applications)?;
    let mut times = Vec::new();
    let mut found = Vec::new();
    for _ in 0..ROUNDS {
        let (answers, time) = timed(|| {
            let lineage = Lineage::new(chains.iter().map(Vec::as_slice).collect());
            let of = |(of, chain): (usize, &Vec<Digest>)| lineage.longest(chain, |other| other != of);
            chains.iter().enumerate().map(of).collect::<Vec<_>>()
        });
        found = answers;
        times.push(time);
    }
    for of in (0..chains.len()).step_by(chains.len().div_ceil(SAMPLE)) {
        if found[of] != naive(&chains, of) {
            return Err(format!("image {of} has other parents than a comparison of every pair finds"));
        }
    }
    let what = format!("parents of {applications} images × {} layers, by their layers", 3 * LAYERS);
    Ok(vec![Row::at_most(&what, ms(fastest(times)), 100.0, "ms")])
}

fn chains(applications: usize) -> Result<Vec<Vec<Digest>>, String> {
    let mut chains: Vec<Vec<Digest>> = Vec::new();
    for number in 0..BASES + PLATFORMS + applications {
        let parent = match number.checked_sub(BASES) {
            None => None,
            Some(platform) if platform < PLATFORMS => Some(platform % BASES),
            Some(application) => Some(BASES + application % PLATFORMS),
        };
        let mut chain = parent.map(|parent| chains[parent].clone()).unwrap_or_default();
        for layer in 0..LAYERS {
            chain.push(digest((number * LAYERS + layer) as u64)?);
        }
        chains.push(chain);
    }
    Ok(chains)
}

fn digest(number: u64) -> Result<Digest, String> {
    let random = [1_u64, 3, 5, 7]
        .map(|odd| (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ (odd << 40)).rotate_left(29));
    let hex = random.iter().fold(String::new(), |hex, part| hex + &format!("{part:016x}"));
    format!("sha256:{hex}").parse().map_err(|error| format!("{error}"))
}

/// Compares every pair.
fn naive(chains: &[Vec<Digest>], of: usize) -> Vec<usize> {
    let begins = |other: &usize| *other != of && chains[of].starts_with(&chains[*other]);
    let longest = (0..chains.len()).filter(begins).map(|other| chains[other].len()).max();
    (0..chains.len()).filter(begins).filter(|other| Some(chains[*other].len()) == longest).collect()
}
