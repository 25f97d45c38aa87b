//! A large estate, generated from the hierarchy of Docker's official images: how much of it is found,
//! by each kind of evidence and by three simpler ways.
//!
//! A third of the images has provenance, a third has annotations, and a third has nothing but its
//! layers. Each has several versions, of which only the newest has tags, and stands on a version of
//! its parent that may be an older one.

#![expect(clippy::print_stdout, reason = "precision and recall are what the tests are for")]

use std::collections::{BTreeMap, BTreeSet};

use patchwave::discover::{Document, Draft, Estate, Kind, Registry, Repository, Version, discover};
use patchwave::hierarchy::Hierarchy;
use patchwave::image::{Digest, Reference};
use serde::Deserialize;
use serde_json::{Value, json};

const OFFICIAL: &str = include_str!("../../../tests/fixtures/official-images.json");
const HOST: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com";

#[derive(Deserialize)]
struct Official {
    images: Vec<OfficialImage>,
}

#[derive(Deserialize)]
struct OfficialImage {
    id: String,
    tags: Vec<String>,
    from: Vec<String>,
    copy_from: Vec<String>,
}

/// An image as its builder knows it: the truth.
struct Built {
    repository: String,
    tags: Vec<String>,
    parent: Option<usize>,
    upstream: Option<String>,
    copied: Vec<usize>,
    /// Of each version.
    versions: Vec<BuiltVersion>,
}

#[derive(Clone)]
struct BuiltVersion {
    digest: String,
    layers: Vec<String>,
    history: Vec<Value>,
    labels: BTreeMap<String, String>,
    environment: Vec<String>,
    /// The images that the build used, in the order in which provenance lists them.
    materials: Vec<usize>,
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

struct Generated {
    images: Vec<Built>,
    documents: BTreeMap<String, Value>,
}

/// What an image of this number has beside its layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Third {
    Provenance,
    Annotations,
    Nothing,
}

const fn third(number: usize) -> Third {
    match number % 3 {
        0 => Third::Provenance,
        1 => Third::Annotations,
        _ => Third::Nothing,
    }
}

/// Whether its provenance has the steps of its build: every other one.
const fn has_steps(number: usize) -> bool {
    number.is_multiple_of(6)
}

impl Generated {
    fn new(images: usize, versions: u64) -> Self {
        let mut generated = Self { images: Vec::new(), documents: BTreeMap::new() };
        generated.describe(images);
        let mut random = Random(7);
        for version in 0..versions {
            for number in 0..generated.images.len() {
                generated.build(number, version, &mut random);
            }
        }
        generated
    }

    /// Takes the official images, parents first, and adds applications on them.
    fn describe(&mut self, images: usize) {
        let official: Official = serde_json::from_str(OFFICIAL).unwrap();
        let by_tag: BTreeMap<&str, usize> = official
            .images
            .iter()
            .enumerate()
            .flat_map(|(n, i)| i.tags.iter().map(move |tag| (tag.as_str(), n)))
            .collect();
        let mut placed: BTreeMap<usize, usize> = BTreeMap::new();
        while placed.len() < official.images.len() {
            let before = placed.len();
            for (number, image) in official.images.iter().enumerate() {
                let known = |name: &String| by_tag.get(name.as_str()).copied();
                let needs: Vec<usize> = image.from.iter().chain(&image.copy_from).filter_map(known).collect();
                if placed.contains_key(&number) || !needs.iter().all(|parent| placed.contains_key(parent)) {
                    continue;
                }
                let parent = image.from.first().and_then(known).map(|parent| placed[&parent]);
                let upstream = image.from.first().filter(|_| parent.is_none());
                let upstream = upstream
                    .filter(|name| *name != "scratch")
                    .map(|name| Reference::read(name).unwrap().to_string());
                let copied = image.copy_from.iter().filter_map(known).map(|copied| placed[&copied]);
                let copied: BTreeSet<usize> = copied.filter(|copied| Some(*copied) != parent).collect();
                let repository = image.id.split(':').next().unwrap().to_owned();
                let tags = image
                    .tags
                    .iter()
                    .filter_map(|tag| tag.split_once(':'))
                    .map(|(_, tag)| tag.to_owned())
                    .collect();
                placed.insert(number, self.images.len());
                self.images.push(Built {
                    repository,
                    tags,
                    parent,
                    upstream,
                    copied: copied.into_iter().collect(),
                    versions: Vec::new(),
                });
            }
            assert!(placed.len() > before, "the official images stand in no circle");
        }
        let bases = self.images.len();
        let mut random = Random(3);
        for number in 0..images.saturating_sub(bases) {
            let parent = usize::try_from(random.below(bases as u64)).unwrap();
            let copied = (random.below(8) == 0).then(|| usize::try_from(random.below(bases as u64)).unwrap());
            let copied = copied.filter(|copied| *copied != parent).into_iter().collect();
            let repository = format!("apps/app-{number}");
            self.images.push(Built {
                repository,
                tags: vec!["live".to_owned()],
                parent: Some(parent),
                upstream: None,
                copied,
                versions: Vec::new(),
            });
        }
    }

    fn build(&mut self, number: usize, version: u64, random: &mut Random) {
        let image = &self.images[number];
        let parent = image.parent.map(|parent| {
            let known = &self.images[parent].versions;
            // What it was built on may have been replaced since.
            let age = usize::try_from(random.below(3)).unwrap().min(known.len() - 1);
            (parent, known[known.len() - 1 - age].clone())
        });
        let name = format!("{}:{}", image.repository, image.tags.first().map_or("", String::as_str));
        let mut built = parent.as_ref().map_or_else(BuiltVersion::root, |(_, parent)| parent.clone());
        if parent.is_none() {
            built.layers = vec![digest(&format!("root of {name} {version}"))];
            built.history =
                vec![json!({"created_by": format!("ADD rootfs of {name}"), "created": version.to_string()})];
        }
        // BuildKit squashes nothing.
        let squashed = parent.is_some() && number % 23 == 7 && third(number) != Third::Provenance;
        if squashed {
            built.layers.clear();
            built.history.clear();
        }
        // One in forty changes only the config of its base.
        let own = if parent.is_some() && number % 40 == 11 { 0 } else { 1 + random.below(3) };
        for layer in 0..own {
            built.layers.push(digest(&format!("{name} {version} {layer}")));
            built
                .history
                .push(json!({"created_by": format!("RUN {name} {layer}"), "created": format!("{version}")}));
        }
        let words = ["VERSION", &image.repository.to_ascii_uppercase().replace(['-', '/'], "_")];
        let tag = image.tags.first().map_or("", String::as_str);
        let tag = tag.split('-').next().unwrap_or_default().to_owned();
        built.environment.retain(|pair| !pair.starts_with(words[1]));
        built.environment.push(format!("{}_{}={tag}", words[1], words[0]));
        built.history.push(
            json!({"created_by": format!("ENV {name}"), "created": version.to_string(), "empty_layer": true}),
        );
        // One in ten bases labels itself, and all that is built on it inherits the label.
        if let (0, Some((parent, on))) = (number % 10, &parent) {
            let of = &self.images[*parent];
            built.labels.insert("org.opencontainers.image.base.name".into(), Self::reference(of));
            built.labels.insert("org.opencontainers.image.base.digest".into(), on.digest.clone());
        }
        let copied: Vec<usize> = image.copied.clone();
        built.materials = copied.iter().copied().chain(image.parent).collect();
        let digest = self.documents_of(number, &built, parent.as_ref().map(|(_, on)| on));
        built.digest = digest;
        self.images[number].versions.push(built);
    }

    fn reference(image: &Built) -> String {
        format!("{HOST}/{}:{}", image.repository, image.tags.first().map_or("latest", String::as_str))
    }

    fn add(&mut self, document: Value) -> String {
        let digest = digest(&document.to_string());
        self.documents.insert(digest.clone(), document);
        digest
    }

    fn documents_of(&mut self, number: usize, built: &BuiltVersion, on: Option<&BuiltVersion>) -> String {
        let config = self.add(json!({
            "os": "linux", "architecture": "amd64",
            "config": {"Labels": built.labels, "Env": built.environment},
            "rootfs": {"type": "layers", "diff_ids": built.layers},
            "history": built.history,
        }));
        // One in fifteen pushes compresses all layers again.
        let how = if number % 15 == 4 { "zstd" } else { "gzip" };
        let layers: Vec<Value> = built.layers.iter().map(|layer| {
            json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(&format!("{how} {layer}")), "size": 1})
        }).collect();
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 1}, "layers": layers,
        });
        let image = &self.images[number];
        if third(number) == Third::Annotations {
            let parent = image.parent.map(|parent| Self::reference(&self.images[parent]));
            let name = parent.or_else(|| image.upstream.clone()).unwrap_or_default();
            let base = on.map(|on| on.digest.clone()).unwrap_or_default();
            manifest["annotations"] = json!({"org.opencontainers.image.base.name": name, "org.opencontainers.image.base.digest": base});
        }
        let manifest = self.add(manifest);
        if third(number) != Third::Provenance {
            return manifest;
        }
        let statement = self.provenance(number, on, &manifest);
        let statement = self.add(statement);
        let attestation = self.add(json!({
            "schemaVersion": 2, "config": {"digest": digest("none"), "size": 1},
            "layers": [{"mediaType": "application/vnd.in-toto+json", "digest": statement, "size": 1,
                        "annotations": {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"}}],
        }));
        self.add(json!({"schemaVersion": 2, "manifests": [
            {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": 1, "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": attestation, "size": 1, "platform": {"os": "unknown", "architecture": "unknown"},
             "annotations": {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": manifest}},
        ]}))
    }

    fn provenance(&self, number: usize, on: Option<&BuiltVersion>, manifest: &str) -> Value {
        let image = &self.images[number];
        let newest = |number: usize| self.images[number].versions.last().unwrap().digest.clone();
        let base =
            image.parent.map(|parent| (Self::reference(&self.images[parent]), on.unwrap().digest.clone()));
        let base = base.or_else(|| image.upstream.clone().map(|name| (name.clone(), digest(&name))));
        let copied: Vec<(String, String)> = image
            .copied
            .iter()
            .map(|copied| (Self::reference(&self.images[*copied]), newest(*copied)))
            .collect();
        let material = |(name, digest): &(String, String)| {
            let name = name.replacen(':', "@", 1).replace("docker.io/", "");
            json!({"uri": format!("pkg:docker/{name}?platform=linux%2Famd64"), "digest": {"sha256": &digest[7..]}})
        };
        let mut materials: Vec<Value> = copied.iter().chain(&base).map(material).collect();
        materials
            .push(json!({"uri": "pkg:docker/docker/dockerfile@1", "digest": {"sha256": "ab".repeat(32)}}));
        let mut predicate =
            json!({"buildType": "https://mobyproject.org/buildkit@v1", "materials": materials});
        if has_steps(number) {
            let mut steps = Vec::new();
            for (name, digest) in copied.iter().chain(&base) {
                steps.push(json!({"id": format!("s{}", steps.len()), "op": {"Op": {"source": {"identifier": format!("docker-image://{name}@{digest}")}}}, "inputs": []}));
            }
            let inputs: Vec<String> = (0..steps.len()).map(|step| format!("s{step}:0")).collect();
            let root = if base.is_some() { json!(inputs.len() - 1) } else { json!(-1) };
            let mut actions = vec![
                json!({"input": root, "secondaryInput": -1, "Action": {"mkdir": {"path": "/srv"}}, "output": -1}),
            ];
            for (copy, _) in copied.iter().enumerate() {
                actions.push(json!({"input": inputs.len() + copy, "secondaryInput": copy, "Action": {"copy": {}}, "output": -1}));
            }
            actions.last_mut().unwrap()["output"] = json!(0);
            steps.push(json!({"id": "file", "op": {"Op": {"file": {"actions": actions}}}, "inputs": inputs}));
            steps.push(json!({"id": "last", "op": {"Op": null}, "inputs": ["file:0"]}));
            predicate["buildConfig"] = json!({"llbDefinition": steps});
        }
        json!({"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://slsa.dev/provenance/v0.2",
               "subject": [{"name": "_", "digest": {"sha256": &manifest[7..]}}], "predicate": predicate})
    }

    fn estate(&self) -> Estate {
        let mut repositories: BTreeMap<&str, Vec<Version>> = BTreeMap::new();
        for image in &self.images {
            let newest = image.versions.len() - 1;
            for (number, version) in image.versions.iter().enumerate() {
                let tags: Vec<&String> =
                    if number == newest { image.tags.iter().collect() } else { Vec::new() };
                let day = format!("2026-11-{:02}T00:00:00Z", number + 1);
                repositories.entry(image.repository.as_str()).or_default().push(Version {
                    digest: version.digest.parse().unwrap(),
                    tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
                    pushed_at: day.parse().unwrap(),
                });
            }
        }
        let repositories = repositories.into_iter().map(|(name, versions)| Repository {
            name: name.parse().unwrap(),
            tags: BTreeMap::new(),
            versions,
            unread: None,
        });
        let registry = Registry {
            host: HOST.parse().unwrap(),
            caches: BTreeMap::new(),
            repositories: repositories.collect(),
        };
        let documents = self
            .documents
            .iter()
            .map(|(digest, value)| (digest.parse().unwrap(), Document::from(value.clone())));
        Estate { registries: vec![registry], documents: documents.collect(), ..Estate::default() }
    }
}

impl BuiltVersion {
    fn root() -> Self {
        Self {
            digest: String::new(),
            layers: Vec::new(),
            history: Vec::new(),
            labels: BTreeMap::new(),
            environment: Vec::new(),
            materials: Vec::new(),
        }
    }
}

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
