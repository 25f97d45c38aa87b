//! The documents of a registry, of which only what is evidence is kept.
//!
//! The declared media type is not trusted. A document with `manifests` is an index, one with
//! `rootfs` a config, one with `predicateType` an attestation's statement.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::Deserialize;
use serde_json::Value;

use super::named::Named;
use super::provenance::{self, Provenance};
use crate::image::{Digest, Platform, is_index};

/// The longest chain of layers that is compared; Docker allows at most 127.
const MOST_LAYERS: usize = 1_000;
/// An index has an entry or two for each platform.
const MOST_ENTRIES: usize = 1_000;
/// <https://github.com/in-toto/attestation/tree/main/spec/predicates>
const IN_TOTO: &str = "application/vnd.in-toto+json";
/// How builders, and cosign, name the kind of a statement: on its layer.
const PREDICATES: [&str; 2] = ["in-toto.io/predicate-type", "predicateType"];
/// How a bundle of sigstore does: on its manifest.
/// <https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md>
const BUNDLED: &str = "dev.sigstore.bundle.predicateType";
/// A signed statement, as cosign pushes it, and a bundle of sigstore around one.
/// <https://github.com/secure-systems-lab/dsse/blob/master/envelope.md>
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// The largest statement in an envelope that is read, in bytes of its base64.
const LARGEST: usize = 8 * 1024 * 1024;
/// <https://docs.docker.com/build/metadata/attestations/attestation-storage/>
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// A document, by what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub enum Document {
    Index(Index),
    Manifest(Manifest),
    Attestation(Attestation),
    Config(Box<Config>),
    Provenance(Box<Provenance>),
    /// Something that is none of these: a signature, a chart, an SBOM.
    Other,
}

/// An image index or manifest list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    pub(super) entries: Vec<Entry>,
    pub(super) base: Option<Named>,
}

/// A manifest whose layers are in-toto statements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attestation {
    /// Those that are provenance.
    pub(super) statements: Vec<Digest>,
    /// The manifest that it refers to.
    pub(super) subject: Option<Digest>,
}

/// One platform of an index, or an attestation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) digest: Digest,
    pub(super) platform: Option<Platform>,
    /// The platform manifest that it attests, if it is an attestation.
    pub(super) attests: Option<Digest>,
    pub(super) base: Option<Named>,
}

/// The manifest of one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub(super) config: Digest,
    pub(super) layers: Vec<Digest>,
    pub(super) base: Option<Named>,
}

/// The config of one platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    pub(super) platform: Option<Platform>,
    pub(super) diff_ids: Vec<Digest>,
    pub(super) history: Vec<Step>,
    pub(super) base: Option<Named>,
    /// Labels and environment variables that say a version.
    pub(super) versions: BTreeMap<String, String>,
    /// The repository of its source code.
    pub(super) source: Option<String>,
    /// Whether Docker's own builder made it. Its history has no comments to go by.
    pub(super) by_docker: bool,
}

/// An entry of a config's history.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Step {
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    created: String,
    #[serde(default)]
    pub(super) comment: String,
}

impl Document {
    /// Reads a document. What makes no sense is evidence of nothing.
    #[must_use]
    pub fn read(text: &[u8]) -> Self {
        serde_json::from_slice::<Value>(text).map_or(Self::Other, Self::from)
    }

    /// Returns the documents that this one names and that are evidence too. Without `blobs`, only
    /// those that are stored as images.
    pub fn names(&self, blobs: bool) -> Vec<&Digest> {
        match self {
            Self::Index(index) => index.entries.iter().map(|entry| &entry.digest).collect(),
            Self::Manifest(manifest) if blobs => vec![&manifest.config],
            Self::Attestation(attestation) if blobs => attestation.statements.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Returns whether the documents that it names are blobs, and not stored as images.
    pub const fn names_blobs(&self) -> bool {
        matches!(self, Self::Manifest(_) | Self::Attestation(_))
    }
}

impl From<Value> for Document {
    fn from(value: Value) -> Self {
        let read = if value.get("manifests").is_some() {
            index(&value).map(Self::Index)
        } else if value.get("rootfs").is_some() && value.get("layers").is_none() {
            Some(Self::Config(Box::new(config(&value))))
        } else if value.get("predicateType").is_some() {
            provenance::read(&value).map(|provenance| Self::Provenance(Box::new(provenance)))
        } else if value.get("layers").is_some() {
            manifest(&value)
        } else {
            enveloped(&value).map(|provenance| Self::Provenance(Box::new(provenance)))
        };
        read.unwrap_or(Self::Other)
    }
}

/// Reads the statement in an envelope, or in the bundle around one. Signatures are not verified:
/// who may push an image may push any other evidence too.
fn enveloped(value: &Value) -> Option<Provenance> {
    let envelope = value.get("dsseEnvelope").unwrap_or(value);
    let payload = text(envelope, "payload");
    if text(envelope, "payloadType") != IN_TOTO || payload.len() > LARGEST {
        return None;
    }
    let bytes = STANDARD.decode(payload).or_else(|_| URL_SAFE.decode(payload)).ok()?;
    provenance::read(&serde_json::from_slice(&bytes).ok()?)
}

fn digest(value: &Value) -> Option<Digest> {
    value.get("digest")?.as_str()?.parse().ok()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Reads `base.name` and `base.digest`. buildah writes both for an image that is built from
/// scratch, and leaves them empty: then they say nothing.
fn base(notes: Option<&Value>) -> Option<Named> {
    let notes = notes?;
    let note = |name: &str| text(notes, &format!("org.opencontainers.image.base.{name}"));
    Named::of_annotation(note("name"), note("digest"))
}

fn index(value: &Value) -> Option<Index> {
    let entries = value.get("manifests")?.as_array()?;
    if entries.len() > MOST_ENTRIES {
        return None;
    }
    let entries = entries.iter().filter(|entry| !is_index(text(entry, "mediaType"))).filter_map(entry);
    Some(Index { entries: entries.collect(), base: base(value.get("annotations")) })
}

fn entry(value: &Value) -> Option<Entry> {
    let notes = value.get("annotations");
    let note = |name: &str| notes.map(|notes| text(notes, name)).unwrap_or_default();
    let attests = (note(REFERENCE_TYPE) == "attestation-manifest")
        .then(|| note(REFERENCE_DIGEST).parse().ok())
        .flatten();
    let platform = value.get("platform").and_then(platform);
    Some(Entry { digest: digest(value)?, platform, attests, base: base(notes) })
}

/// Names a platform as containerd does: `v8` is what every arm64 machine has.
fn platform(value: &Value) -> Option<Platform> {
    let (os, architecture, variant) =
        (text(value, "os"), text(value, "architecture"), text(value, "variant"));
    let variant = if architecture == "arm64" && variant == "v8" { "" } else { variant };
    let name = [os, architecture, variant].into_iter().filter(|part| !part.is_empty());
    name.collect::<Vec<_>>().join("/").parse().ok()
}

fn manifest(value: &Value) -> Option<Document> {
    let layers = value.get("layers")?.as_array()?;
    if layers.len() > MOST_LAYERS {
        return None;
    }
    let says_something = |layer: &Value| {
        let kind = text(layer, "mediaType");
        kind == IN_TOTO || kind == ENVELOPE || kind.starts_with(BUNDLE)
    };
    if layers.iter().any(says_something) {
        let bundled = value.get("annotations").map(|notes| text(notes, BUNDLED)).unwrap_or_default();
        let statements = layers.iter().filter_map(|layer| statement(layer, bundled)).collect();
        let subject = value.get("subject").and_then(digest);
        return Some(Document::Attestation(Attestation { statements, subject }));
    }
    let is_layer = |layer: &&Value| {
        let kind = text(layer, "mediaType");
        kind.is_empty() || kind.contains(".rootfs.") || kind.contains("oci.image.layer")
    };
    let own: Vec<Digest> = layers.iter().filter(is_layer).filter_map(digest).collect();
    let is_image = !own.is_empty() && own.len() == layers.len();
    let config = digest(value.get("config")?)?;
    is_image
        .then(|| Document::Manifest(Manifest { config, layers: own, base: base(value.get("annotations")) }))
}

/// Chooses a statement by its predicate type: SBOMs are stored beside provenance, often first.
fn statement(layer: &Value, bundled: &str) -> Option<Digest> {
    let notes = layer.get("annotations");
    let named = PREDICATES.iter().find_map(|key| notes?.get(key)?.as_str());
    provenance::is_provenance(named.unwrap_or(bundled)).then(|| digest(layer)).flatten()
}

fn config(value: &Value) -> Config {
    let diff_ids = value.pointer("/rootfs/diff_ids").and_then(Value::as_array);
    let diff_ids = diff_ids.map(Vec::as_slice).unwrap_or_default().iter();
    let read: Option<Vec<Digest>> = diff_ids.map(|id| id.as_str()?.parse().ok()).collect();
    let labels = value.pointer("/config/Labels").or_else(|| value.pointer("/config/labels"));
    let history = value.get("history").and_then(Value::as_array);
    let history = history.map(Vec::as_slice).unwrap_or_default().iter().take(MOST_LAYERS);
    Config {
        platform: platform(value),
        diff_ids: read.filter(|ids| ids.len() <= MOST_LAYERS).unwrap_or_default(),
        history: history.filter_map(|step| Step::deserialize(step).ok()).collect(),
        base: base(labels),
        source: labels
            .map(|labels| text(labels, "org.opencontainers.image.source"))
            .filter(|source| !source.is_empty())
            .map(str::to_owned),
        versions: versions(labels, value.pointer("/config/Env")),
        // buildah's configs in Docker's format have `container_config` too, and no version of
        // Docker.
        by_docker: !text(value, "docker_version").is_empty(),
    }
}

/// Collects what may say the version of the program: `NODE_VERSION=22.9.0`.
fn versions(labels: Option<&Value>, environment: Option<&Value>) -> BTreeMap<String, String> {
    let labels = labels.and_then(Value::as_object).into_iter().flatten();
    let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    let variables = environment.and_then(Value::as_array).into_iter().flatten();
    let variables = variables.filter_map(|pair| pair.as_str()?.split_once('='));
    let variables = variables.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let says_version = |(key, _): &(String, String)| key.to_ascii_lowercase().ends_with("version");
    labels.chain(variables).filter(says_version).collect()
}
