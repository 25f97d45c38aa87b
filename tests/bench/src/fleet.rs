//! Hierarchies to measure on: the same number gives the same file.

use std::fmt::Write as _;

const HEAD: &str = "version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\n\
                    policy: { mode: enforce, maxStartsPerDay: 100000, maxConcurrentBuilds: 1000 }\nimages:\n";

/// How many of a thousand images are in each wave after the roots.
const PER_MILLE: [usize; 10] = [1, 4, 20, 40, 60, 100, 150, 200, 200, 225];

/// How many images are built on no other.
const ROOTS: usize = 40;

/// One in so many images has a second parent.
const SECOND_PARENT: u32 = 5;

/// Names have no `u`, so that none is `null` or `true`.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstvwxyzABCDEFG";

/// Random numbers that are the same in every run.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(limit)).unwrap_or(0)
    }
}

/// Images in eleven waves, numbered in no order that means anything.
pub(crate) struct Tangle {
    pub(crate) images: usize,
    /// The images without a parent.
    pub(crate) roots: Vec<u32>,
    /// From parent to child.
    pub(crate) edges: Vec<(u32, u32)>,
    parents: Vec<Vec<u32>>,
}

impl Tangle {
    /// Draws about so many images.
    pub(crate) fn new(images: usize) -> Self {
        let mut draw = Draw::new(1);
        let mut numbers: Vec<u32> = (0..).take(images).collect();
        for at in (1..images).rev() {
            numbers.swap(at, draw.below(u32::try_from(at + 1).unwrap_or(u32::MAX)) as usize);
        }
        let mut tangle = Self {
            images,
            roots: numbers[..ROOTS].to_vec(),
            edges: Vec::new(),
            parents: vec![Vec::new(); images],
        };
        let (mut above, mut done) = (0..ROOTS, ROOTS);
        for (wave, per_mille) in PER_MILLE.iter().enumerate() {
            let last = if wave + 1 == PER_MILLE.len() { images } else { done + images * per_mille / 1_000 };
            for at in done..last {
                let pick = |draw: &mut Draw, from: std::ops::Range<usize>| {
                    numbers[from.start + draw.below(u32::try_from(from.len()).unwrap_or(u32::MAX)) as usize]
                };
                let mut parents = vec![pick(&mut draw, above.clone())];
                if draw.below(SECOND_PARENT) == 0 {
                    parents.push(pick(&mut draw, 0..above.end));
                    parents.dedup();
                }
                tangle.edges.extend(parents.iter().map(|parent| (*parent, numbers[at])));
                tangle.parents[numbers[at] as usize] = parents;
            }
            (above, done) = (done..last, last);
        }
        tangle
    }

    /// Writes the hierarchy file.
    pub(crate) fn yaml(&self) -> String {
        let mut yaml = HEAD.to_owned();
        for (number, parents) in (0_u32..).zip(&self.parents) {
            let (name, mut parents) = (name(number), parents.iter().map(|parent| self::name(*parent)));
            let from = parents.next().unwrap_or_else(|| "scratch".to_owned());
            let copied = parents.next().map(|parent| format!(",copyFrom: [{parent}]")).unwrap_or_default();
            let _ = writeln!(
                yaml,
                "- {{id: {name},tier: base,repository: r,tags: [{name}],from: {from}{copied}}}"
            );
        }
        yaml
    }
}

/// Returns the name of an image.
pub(crate) fn name(number: u32) -> String {
    let letter = |place: u32| char::from(LETTERS[(number >> (5 * place)) as usize % LETTERS.len()]);
    (0..4).map(letter).collect()
}

/// Returns the number of a name.
pub(crate) fn number(name: &str) -> u32 {
    let place = |letter: u8| LETTERS.iter().position(|other| *other == letter).unwrap_or(0);
    name.bytes().rev().fold(0, |number, letter| (number << 5) + u32::try_from(place(letter)).unwrap_or(0))
}

/// Writes an ordinary fleet: a hundred images a team, on a base and a platform of its own, each
/// with a pipeline.
pub(crate) fn teams(images: usize) -> String {
    let mut yaml = HEAD.to_owned();
    for number in 0..images {
        let (team, place) = (number / 100, number % 100);
        let _ = match place {
            0 => writeln!(
                yaml,
                "- {{id: b{team},tier: base,repository: base/{team},tags: ['1'],from: scratch,pipeline: base-{team}}}"
            ),
            1..20 => writeln!(
                yaml,
                "- {{id: p{team}-{place},tier: platform,repository: platform/{team}-{place},tags: ['1'],from: b{team},pipeline: platform-{team}-{place}}}"
            ),
            _ => writeln!(
                yaml,
                "- {{tier: application,repository: apps/{team}-{place},tagPattern: main-*,from: p{team}-{},pipeline: apps-{team}-{place}}}",
                1 + place % 19
            ),
        };
    }
    yaml
}
