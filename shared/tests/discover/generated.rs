//! A large estate: how much of it is found, by each kind of evidence and by three simpler ways.

#![expect(clippy::print_stdout, reason = "precision and recall are what the tests are for")]

use std::collections::{BTreeMap, BTreeSet};

use patchwave::discover::{Draft, Estate, Kind, Repository, discover};
use patchwave::hierarchy::Hierarchy;
use serde_json::Value;

use super::official::{Generated, HOST, Third, has_steps, third};

/// How many were found, right and wrong, of how many there are.
#[derive(Debug, Clone, Copy, Default)]
struct Score {
    right: usize,
    wrong: usize,
    all: usize,
}

impl Score {
    fn add(&mut self, found: Option<bool>) {
        self.all += 1;
        self.right += usize::from(found == Some(true));
        self.wrong += usize::from(found == Some(false));
    }

    #[expect(clippy::cast_precision_loss, reason = "a few thousand images")]
    fn precision(self) -> f64 {
        self.right as f64 / (self.right + self.wrong).max(1) as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "a few thousand images")]
    fn recall(self) -> f64 {
        self.right as f64 / self.all.max(1) as f64
    }
}

/// What the draft should say about the base of an image.
struct Truth<'g> {
    generated: &'g Generated,
    /// The image of each repository and tag.
    by_tag: BTreeMap<(&'g str, &'g str), usize>,
    of_draft: BTreeMap<&'g str, usize>,
}

impl<'g> Truth<'g> {
    fn new(generated: &'g Generated, drafts: &'g [Draft]) -> Self {
        let images = generated.images.iter().enumerate();
        let by_tag: BTreeMap<(&str, &str), usize> = images
            .flat_map(|(n, image)| {
                image.tags.iter().map(move |tag| ((image.repository.as_str(), tag.as_str()), n))
            })
            .collect();
        let of = |draft: &'g Draft| {
            let tag = draft.tags.first()?;
            Some((draft.id.as_str(), *by_tag.get(&(draft.repository.as_str(), tag.as_str()))?))
        };
        let of_draft = drafts.iter().filter_map(of).collect();
        Self { generated, by_tag, of_draft }
    }

    fn parent(&self, image: usize) -> Option<String> {
        let image = &self.generated.images[image];
        image.parent.map(|parent| parent.to_string()).or_else(|| image.upstream.clone())
    }

    /// Returns whether it has a parent that its evidence allows to find. Of an upstream image only
    /// the name is known, so layers lead nowhere.
    fn is_allowed(&self, image: usize) -> bool {
        let built = &self.generated.images[image];
        let is_named = has_steps(image) || third(image) == Third::Annotations;
        built.parent.is_some() || (built.upstream.is_some() && is_named)
    }

    /// Names a parent of the draft as the truth does.
    fn named(&self, from: &str) -> String {
        self.of_draft.get(from).map_or_else(|| from.to_owned(), ToString::to_string)
    }

    fn judge(&self, image: usize, from: Option<String>) -> Option<bool> {
        from.map(|from| {
            Some(&from) == self.parent(image).as_ref() || (from == "scratch" && self.parent(image).is_none())
        })
    }
}

/// The first image that provenance lists, as graphs of supply chains take it.
fn first_material(generated: &Generated, image: usize) -> Option<String> {
    (third(image) == Third::Provenance).then_some(())?;
    let version = generated.images[image].versions.last()?;
    version.materials.first().map(ToString::to_string).or_else(|| generated.images[image].upstream.clone())
}

/// The image that shares most of the first layers, whichever it is.
fn most_layers(
    generated: &Generated,
    by_first: &BTreeMap<&str, Vec<(usize, &[String])>>,
    image: usize,
) -> Option<String> {
    let own = &generated.images[image].versions.last()?.layers;
    let shared = |other: &[String]| own.iter().zip(other).take_while(|(a, b)| a == b).count();
    let others = by_first.get(own.first()?.as_str())?.iter().filter(|(other, _)| *other != image);
    let best = others.max_by_key(|(other, layers)| {
        (shared(layers), std::cmp::Reverse(layers.len()), std::cmp::Reverse(*other))
    })?;
    Some(best.0.to_string())
}

fn label(generated: &Generated, truth: &Truth<'_>, image: usize) -> Option<String> {
    let name = generated.images[image].versions.last()?.labels.get("org.opencontainers.image.base.name")?;
    let (repository, tag) = name.strip_prefix(HOST)?.strip_prefix('/')?.split_once(':')?;
    truth.by_tag.get(&(repository, tag)).map(ToString::to_string)
}

/// Counts the calls that reading an estate takes: lists, tags, manifests by the hundred, and two for
/// each config and attestation.
fn calls(generated: &Generated, estate: &Estate) -> usize {
    let repositories = &estate.registries[0].repositories;
    let batches = |digests: usize| digests.div_ceil(100);
    let of = |repository: &Repository| {
        let tops = repository.versions.iter().filter_map(|version| estate.documents.get(&version.digest));
        let parts: usize = tops.filter(|top| !top.names_blobs()).map(|top| top.names(false).len()).sum();
        2 + batches(repository.versions.len()) + batches(parts)
    };
    let is_blob =
        |document: &&Value| document.get("rootfs").or_else(|| document.get("predicateType")).is_some();
    let blobs = generated.documents.values().filter(is_blob).count();
    repositories.len().div_ceil(1_000) + repositories.iter().map(of).sum::<usize>() + 2 * blobs
}

/// Drafts an estate, and prints and checks how right the draft is.
fn check(images: usize, versions: u64) {
    let generated = Generated::new(images, versions);
    let estate = generated.estate();
    let calls = calls(&generated, &estate);
    // Sixteen calls at once of 50 ms each, far below what ECR allows.
    println!("{calls} calls: {} minutes at 320 a second", calls.div_ceil(320 * 60));
    assert!(calls.div_ceil(320 * 60) <= 60);
    let drafted = discover(&estate);
    let text = drafted.text();
    Hierarchy::parse("drafted.yaml", &text).unwrap_or_else(|errors| panic!("{errors}"));
    let truth = Truth::new(&generated, &drafted.images);
    let (mut by_third, mut by_kind) =
        (BTreeMap::<Third, Score>::new(), BTreeMap::<Option<Kind>, Score>::new());
    let mut copies = Score::default();
    let mut judged = BTreeSet::new();
    for draft in &drafted.images {
        let Some(image) = truth.of_draft.get(draft.id.as_str()).copied() else { continue };
        judged.insert(image);
        let from = (draft.from != "unknown").then(|| truth.named(&draft.from));
        let found = truth.judge(image, from.clone());
        by_kind.entry(draft.by).or_default().add(found);
        if truth.is_allowed(image) {
            by_third.entry(third(image)).or_default().add(found);
        }
        let built = &generated.images[image];
        // Only the steps of a build say what it copied from.
        for copied in built.copied.iter().filter(|_| has_steps(image)) {
            let is_named = draft.copy_from.iter().any(|name| truth.named(name) == copied.to_string());
            copies.add(is_named.then_some(true));
        }
        let extra = draft
            .copy_from
            .iter()
            .filter(|name| !built.copied.iter().any(|copied| truth.named(name) == copied.to_string()));
        copies.wrong += extra.count();
    }
    println!(
        "{} images × {versions} versions, {} documents, {} judged",
        generated.images.len(),
        generated.documents.len(),
        judged.len()
    );
    for (third, score) in &by_third {
        println!(
            "{third:?}: precision {:.4}, recall {:.4} of {}",
            score.precision(),
            score.recall(),
            score.all
        );
    }
    for (kind, score) in &by_kind {
        let name = kind.map_or("unknown".to_owned(), |kind| kind.to_string());
        println!("by {name}: {} right, {} wrong, of {}", score.right, score.wrong, score.all);
    }
    println!(
        "copyFrom: precision {:.4}, recall {:.4} of {}",
        copies.precision(),
        copies.recall(),
        copies.all
    );
    let mut by_first: BTreeMap<&str, Vec<(usize, &[String])>> = BTreeMap::new();
    for (number, image) in generated.images.iter().enumerate() {
        for version in &image.versions {
            by_first
                .entry(version.layers.first().map_or("", String::as_str))
                .or_default()
                .push((number, &version.layers));
        }
    }
    let mut rivals = [
        ("first material", Score::default()),
        ("most layers", Score::default()),
        ("label", Score::default()),
    ];
    for image in judged.iter().copied().filter(|image| truth.parent(*image).is_some()) {
        let found = [
            first_material(&generated, image),
            most_layers(&generated, &by_first, image),
            label(&generated, &truth, image),
        ];
        for ((_, score), found) in rivals.iter_mut().zip(found) {
            score.add(truth.judge(image, found));
        }
    }
    for (name, score) in &rivals {
        println!(
            "rival {name}: precision {:.4}, recall {:.4} of {}",
            score.precision(),
            score.recall(),
            score.all
        );
    }
    let wrong: usize = by_kind.values().map(|score| score.wrong).sum();
    assert_eq!(wrong, 0, "what is written is right");
    assert!(copies.wrong == 0 && copies.recall() >= 0.95, "{copies:?}");
    assert!(
        judged.len() * 100 >= generated.images.len() * 98,
        "{} of {}",
        judged.len(),
        generated.images.len()
    );
    for third in [Third::Provenance, Third::Annotations] {
        assert!(by_third[&third].recall() >= 0.98, "{third:?}");
    }
}

#[test]
fn nothing_that_is_written_without_a_mark_is_wrong() {
    check(2_200, 3);
}

#[test]
#[ignore = "minutes: cargo nextest run -p patchwave --run-ignored only --no-capture ten_versions_each"]
fn three_thousand_images_of_ten_versions_each() {
    check(3_000, 10);
}
