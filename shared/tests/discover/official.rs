//! A large estate, generated from the hierarchy of Docker's official images.
//!
//! A third of the images has provenance, a third has annotations, and a third has nothing but its
//! layers. Each has several versions, of which only the newest has tags, and stands on a version of
//! its parent that may be an older one.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::discover::{Document, Estate, Registry, Repository, Version};
use patchwave::image::{Digest, Reference};
use serde::Deserialize;
use serde_json::{Value, json};

const OFFICIAL: &str = include_str!("../../../tests/fixtures/official-images.json");
pub(crate) const HOST: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com";

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
pub(crate) struct Built {
    pub(crate) repository: String,
    pub(crate) tags: Vec<String>,
    pub(crate) parent: Option<usize>,
    pub(crate) upstream: Option<String>,
    pub(crate) copied: Vec<usize>,
    /// Of each version.
    pub(crate) versions: Vec<BuiltVersion>,
}

#[derive(Clone)]
pub(crate) struct BuiltVersion {
    digest: String,
    pub(crate) layers: Vec<String>,
    history: Vec<Value>,
    pub(crate) labels: BTreeMap<String, String>,
    environment: Vec<String>,
    /// The images that the build used, in the order in which provenance lists them.
    pub(crate) materials: Vec<usize>,
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

pub(crate) struct Generated {
    pub(crate) images: Vec<Built>,
    pub(crate) documents: BTreeMap<String, Value>,
}

/// What an image of this number has beside its layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Third {
    Provenance,
    Annotations,
    Nothing,
}

pub(crate) const fn third(number: usize) -> Third {
    match number % 3 {
        0 => Third::Provenance,
        1 => Third::Annotations,
        _ => Third::Nothing,
    }
}

/// Whether its provenance has the steps of its build: every other one.
pub(crate) const fn has_steps(number: usize) -> bool {
    number.is_multiple_of(6)
}

impl Generated {
    pub(crate) fn new(images: usize, versions: u64) -> Self {
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

    pub(crate) fn estate(&self) -> Estate {
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
