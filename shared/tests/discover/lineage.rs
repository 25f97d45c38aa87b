//! Whose layers an image starts with.

use patchwave::discover::Lineage;
use patchwave::image::Digest;
use proptest::prelude::*;
use serde_json::Value;

const REAL: &str = include_str!("../../../tests/fixtures/discover/real-layers.json");

fn layer(n: u64) -> Digest {
    // Digests are random in all of their digits.
    let random =
        (0..4_u64).map(|part| (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 + part * 2).rotate_left(31));
    let hex = random.fold(String::new(), |hex, part| hex + &format!("{part:016x}"));
    format!("sha256:{hex}").parse().unwrap()
}

/// Compares every pair.
fn naive(chains: &[Vec<Digest>], of: usize) -> Vec<usize> {
    let begins =
        |other: &usize| *other != of && !chains[*other].is_empty() && chains[of].starts_with(&chains[*other]);
    let longest = (0..chains.len()).filter(begins).map(|other| chains[other].len()).max();
    (0..chains.len()).filter(begins).filter(|other| Some(chains[*other].len()) == longest).collect()
}

proptest! {
    #![proptest_config(crate::remembering())]

    #[test]
    fn the_index_finds_what_a_comparison_of_every_pair_finds(
        chains in prop::collection::vec(prop::collection::vec(0_u64..3, 0..6), 0..24)
    ) {
        let chains: Vec<Vec<Digest>> =
            chains.into_iter().map(|chain| chain.into_iter().map(layer).collect()).collect();
        let lineage = Lineage::new(chains.iter().map(Vec::as_slice).collect());
        for (of, chain) in chains.iter().enumerate() {
            prop_assert_eq!(lineage.longest(chain, |other| other != of), naive(&chains, of));
        }
    }
}

#[test]
fn real_images_stand_on_the_images_whose_layers_they_start_with() {
    let real: Value = serde_json::from_str(REAL).unwrap();
    let images = real["images"].as_array().unwrap();
    let chain = |image: &Value| -> Vec<Digest> {
        image["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|l| l["digest"].as_str().unwrap().parse().unwrap())
            .collect()
    };
    let chains: Vec<Vec<Digest>> = images.iter().map(chain).collect();
    let lineage = Lineage::new(chains.iter().map(Vec::as_slice).collect());
    for (of, image) in images.iter().enumerate() {
        // Two tags may name one image, which is no parent of itself.
        let is_other = |other: usize| images[other]["manifest_digest"] != image["manifest_digest"];
        let found = lineage.longest(&chains[of], is_other);
        let names: Vec<&str> = found.iter().map(|other| images[*other]["key"].as_str().unwrap()).collect();
        let expected: Vec<&str> = image["expected_parent"].as_str().into_iter().collect();
        assert_eq!(names, expected, "{}", image["key"]);
    }
}
