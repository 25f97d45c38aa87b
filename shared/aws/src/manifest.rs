//! Image manifests and indexes, read by their content.
//!
//! The declared media type is not trusted: registries and tools get it wrong, and OCI makes it
//! optional. A document with `manifests` is an index, one with `layers` or `config` is a manifest.
//! <https://github.com/opencontainers/image-spec/blob/main/image-index.md>,
//! <https://github.com/opencontainers/image-spec/blob/main/manifest.md>.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use patchwave::image::{Digest, Platform, is_index};
use serde::Deserialize;

/// The four media types that an image's top document may have.
pub(crate) const MEDIA_TYPES: [&str; 4] = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
];

/// Registries must accept 4 MiB and need not accept more:
/// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>.
const LONGEST: usize = 4 * 1024 * 1024;
/// An index has an entry or two for each platform; Windows adds one for each release.
const MOST_ENTRIES: usize = 1_000;
/// Docker allows at most 127 layers.
const MOST_LAYERS: usize = 1_000;
/// The largest config that is read, in bytes. One with a long history and many labels has a few
/// tens of kilobytes.
pub(crate) const LARGEST_CONFIG: u64 = 1024 * 1024;
/// The platform that `BuildKit` gives its attestations.
const UNKNOWN: &str = "unknown";

/// The platform of a manifest that no index gives one.
///
/// A single manifest names its platform only in its config, a blob that costs two more calls for
/// each version. So all single manifests have this platform, and compare with each other. If only
/// one of a child and its parent is an index, they have no platform in common. Then only their
/// layers can be compared.
pub(crate) const SINGLE: &str = Platform::UNNAMED;

/// The media types of an image's config.
const IMAGE_CONFIGS: [&str; 2] =
    ["application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json"];

/// A manifest document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    /// An image index or manifest list.
    Index {
        /// What a runtime could pull, and attestations, which only their own documents tell apart.
        platforms: BTreeMap<Platform, Digest>,
        /// What is no manifest: nothing that a runtime could pull.
        others: BTreeSet<Digest>,
        notes: Notes,
    },
    /// One platform's manifest.
    Manifest {
        /// From the base up.
        layers: Vec<Digest>,
        /// The config's digest, unless the config is larger than any that is read.
        config: Option<Digest>,
        notes: Notes,
    },
    /// Something that is stored like an image but is none, by its media type.
    Artifact(String),
}

/// The annotations that matter.
/// <https://github.com/opencontainers/image-spec/blob/main/annotations.md>.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// `org.opencontainers.image.revision`.
    pub(crate) revision: Option<String>,
    /// `org.opencontainers.image.created`.
    pub(crate) created: Option<Timestamp>,
    /// `org.opencontainers.image.base.digest`.
    pub(crate) base: Option<Digest>,
    /// `dev.patchwave.build-key`. It counts on the top document only: on a platform's manifest it
    /// would change the digest with every build.
    pub(crate) build_key: Option<String>,
}

impl Notes {
    /// Fills what is missing from `other`.
    pub(crate) fn or(self, other: &Self) -> Self {
        Self {
            revision: self.revision.or_else(|| other.revision.clone()),
            created: self.created.or(other.created),
            base: self.base.or_else(|| other.base.clone()),
            build_key: self.build_key,
        }
    }

    /// Reads annotations. An annotation that cannot be read is ignored, because annotations are
    /// free text.
    fn new(annotations: &BTreeMap<String, String>) -> Self {
        let note = |name: &str| annotations.get(&format!("org.opencontainers.image.{name}"));
        Self {
            // Git writes small letters, and tools that compare commits need not.
            revision: note("revision")
                .filter(|text| (1..=LONGEST_REVISION).contains(&text.len()))
                .map(|text| text.to_ascii_lowercase()),
            // Reproducible builds write 1970 or the like, which is no build time.
            created: note("created")
                .and_then(|text| text.parse().ok())
                .filter(|t: &Timestamp| t.as_second() > YEAR),
            base: note("base.digest").and_then(|text| text.parse().ok()),
            build_key: annotations.get(BUILD_KEY).filter(|text| text.len() <= LONGEST_KEY).cloned(),
        }
    }
}

/// The annotation in which a build names its start.
const BUILD_KEY: &str = "dev.patchwave.build-key";
/// A token has 40 digits, a hyphen and a number.
const LONGEST_KEY: usize = 60;

/// A commit has 40 or 64 digits; other systems of version control write a little more.
const LONGEST_REVISION: usize = 200;

/// Seconds.
const YEAR: i64 = 366 * 86_400;

/// A document that is neither index nor manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidManifest {
    #[error("the manifest has {0} bytes, and at most {LONGEST} are read")]
    TooLong(usize),
    #[error("the manifest's field {field} is wrong: {problem}")]
    Field { field: String, problem: String },
    #[error("the manifest's field {field} has {found} entries; at most {most} are read")]
    TooMany { field: &'static str, found: usize, most: usize },
    #[error("the manifest has none of manifests, layers and config")]
    Neither,
    #[error("the manifest's field manifests[{0}] is an index; an index inside an index is not read")]
    Nested(usize),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    artifact_type: Option<String>,
    config: Option<Blob>,
    layers: Option<Vec<Blob>>,
    /// Of the artifact manifests of earlier drafts of OCI 1.1.
    blobs: Option<Vec<Blob>>,
    manifests: Option<Vec<Entry>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    urls: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    platform: Option<EntryPlatform>,
}

#[derive(Deserialize)]
struct EntryPlatform {
    os: String,
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default, rename = "os.version")]
    os_version: Option<String>,
}

/// A blob that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) digest: Digest,
    /// In bytes.
    pub(crate) size: u64,
}

/// Returns the blobs of a manifest: its config and its layers. An index has none. A layer with
/// URLs, such as one of Windows, lies elsewhere and is in no registry.
/// <https://github.com/opencontainers/image-spec/blob/main/layer.md#non-distributable-layers>
pub(crate) fn contents(text: &str) -> Result<Vec<Content>, InvalidManifest> {
    let wire = wire(text)?;
    let layers = wire.layers.unwrap_or_default();
    bound("layers", layers.len(), MOST_LAYERS)?;
    let blobs = wire.blobs.unwrap_or_default();
    bound("blobs", blobs.len(), MOST_LAYERS)?;
    let here = wire.config.into_iter().chain(layers).chain(blobs).filter(|blob| blob.urls.is_empty());
    Ok(here.map(|blob| Content { digest: blob.digest, size: blob.size }).collect())
}

/// Reads a manifest document.
pub(crate) fn parse(text: &str) -> Result<Document, InvalidManifest> {
    let wire = wire(text)?;
    let notes = Notes::new(&wire.annotations.unwrap_or_default());
    if let Some(entries) = wire.manifests {
        return index(entries, notes);
    }
    if wire.config.is_none() && wire.layers.is_none() {
        return Err(InvalidManifest::Neither);
    }
    let layers = wire.layers.unwrap_or_default();
    bound("layers", layers.len(), MOST_LAYERS)?;
    Ok(match not_an_image(wire.artifact_type, wire.config.as_ref(), &layers) {
        Some(media_type) => Document::Artifact(media_type),
        None => Document::Manifest {
            layers: layers.into_iter().map(|layer| layer.digest).collect(),
            config: wire.config.filter(|config| config.size <= LARGEST_CONFIG).map(|config| config.digest),
            notes,
        },
    })
}

fn wire(text: &str) -> Result<Wire, InvalidManifest> {
    if text.len() > LONGEST {
        return Err(InvalidManifest::TooLong(text.len()));
    }
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text))
        .map_err(|e| field(&e.path().to_string(), e.inner()))
}

/// An image's config, as far as it matters.
/// <https://github.com/opencontainers/image-spec/blob/main/config.md>
#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

/// Reads the digests of the uncompressed layers from an image's config: none if it is no config, or
/// has more than an image may have.
pub(crate) fn diff_ids(config: &[u8]) -> Vec<Digest> {
    let read = serde_json::from_slice(config).map(|config: Config| config.rootfs.diff_ids);
    read.ok().filter(|diff_ids| diff_ids.len() <= MOST_LAYERS).unwrap_or_default()
}

fn field(field: &str, problem: &dyn std::fmt::Display) -> InvalidManifest {
    InvalidManifest::Field { field: field.to_owned(), problem: problem.to_string() }
}

fn bound(field: &'static str, found: usize, most: usize) -> Result<(), InvalidManifest> {
    if found > most { Err(InvalidManifest::TooMany { field, found, most }) } else { Ok(()) }
}

fn index(entries: Vec<Entry>, notes: Notes) -> Result<Document, InvalidManifest> {
    bound("manifests", entries.len(), MOST_ENTRIES)?;
    let alone = entries.len() == 1;
    let (mut platforms, mut others) = (BTreeMap::new(), BTreeSet::new());
    for (at, entry) in entries.into_iter().enumerate() {
        if is_index(&entry.media_type) {
            return Err(InvalidManifest::Nested(at));
        }
        if !entry.is_manifest() {
            others.insert(entry.digest);
            continue;
        }
        let name = match &entry.platform {
            Some(platform) => platform.name(),
            None if alone => SINGLE.to_owned(),
            None => format!("{UNKNOWN}/{UNKNOWN}"),
        };
        let parse = |name: &str| {
            let platform = name.parse::<Platform>();
            platform.map_err(|problem| field(&format!("manifests[{at}].platform"), &problem))
        };
        // A runtime may run any entry of its platform, so each entry counts. The number is that of
        // the first free name: somebody may write a platform that looks like one with a number.
        let (mut platform, mut number) = (parse(&name)?, 1);
        while platforms.contains_key(&platform) {
            number += 1;
            platform = parse(&format!("{name}#{number}"))?;
        }
        platforms.insert(platform, entry.digest);
    }
    Ok(Document::Index { platforms, others, notes })
}

/// Says what a manifest is, if a runtime cannot run it: it lacks an image's config, or a layer that
/// can be unpacked.
///
/// Whoever pushes a manifest writes its `artifactType` and annotations, so they exclude nothing.
fn not_an_image(artifact_type: Option<String>, config: Option<&Blob>, layers: &[Blob]) -> Option<String> {
    let is_config =
        |blob: &Blob| blob.media_type.is_empty() || IMAGE_CONFIGS.contains(&blob.media_type.as_str());
    if config.is_some_and(is_config) && layers.iter().any(is_image_layer) {
        return None;
    }
    let named = artifact_type.filter(|text| !text.is_empty());
    let foreign = config.filter(|blob| !is_config(blob)).or(layers.first());
    Some(
        named
            .or(foreign.map(|blob| blob.media_type.clone()))
            .unwrap_or_else(|| "a manifest without layers".to_owned()),
    )
}

fn is_image_layer(layer: &Blob) -> bool {
    let media_type = &layer.media_type;
    media_type.is_empty() || media_type.contains(".rootfs.") || media_type.contains("oci.image.layer")
}

impl Entry {
    /// Whether the entry is a manifest, as far as its descriptor shows. Some tools leave the type
    /// out.
    fn is_manifest(&self) -> bool {
        self.media_type.is_empty() || MEDIA_TYPES.contains(&self.media_type.as_str())
    }
}

impl EntryPlatform {
    /// Writes the platform in its usual form. Tools differ: `arm64` and `arm64/v8` are one
    /// platform.
    ///
    /// Rules: <https://github.com/containerd/platforms/blob/main/database.go>. One index can hold
    /// Windows images of different releases, so there the release takes the variant's place.
    fn name(&self) -> String {
        let variant = self.variant.as_deref().unwrap_or_default();
        let (architecture, variant) = match (self.architecture.as_str(), variant) {
            ("aarch64" | "arm64", "" | "8" | "v8") => ("arm64", String::new()),
            ("aarch64", other) => ("arm64", other.to_owned()),
            ("x86_64" | "x86-64" | "amd64", "" | "v1") => ("amd64", String::new()),
            ("arm", "" | "7") => ("arm", "v7".to_owned()),
            ("arm", digit @ ("5" | "6" | "8")) => ("arm", format!("v{digit}")),
            (architecture, other) => (architecture, other.to_owned()),
        };
        let variant = if variant.is_empty() { self.release() } else { variant };
        let name = format!("{}/{architecture}", self.os);
        if variant.is_empty() { name } else { format!("{name}/{variant}") }
    }

    /// Returns the first three numbers of Windows' version. The fourth changes with every month's
    /// patches.
    fn release(&self) -> String {
        let version = self.os_version.as_deref().filter(|_| self.os == "windows").unwrap_or_default();
        version.split('.').take(3).collect::<Vec<_>>().join(".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn digest(n: u8) -> String {
        format!("sha256:{}", format!("{n:02x}").repeat(32))
    }

    fn read(document: &Value) -> Result<Document, String> {
        parse(&document.to_string()).map_err(|e| e.to_string())
    }

    fn manifest(media_type: &str, config: &str, layer: &str) -> Value {
        json!({
            "schemaVersion": 2, "mediaType": media_type,
            "config": {"mediaType": config, "digest": digest(9), "size": 1},
            "layers": [{"mediaType": layer, "digest": digest(1), "size": 1},
                       {"mediaType": layer, "digest": digest(2), "size": 1}],
        })
    }

    fn index(media_type: &str) -> Value {
        json!({
            "schemaVersion": 2, "mediaType": media_type,
            "manifests": [
                {"mediaType": MEDIA_TYPES[2], "digest": digest(1), "size": 1,
                 "platform": {"os": "linux", "architecture": "amd64"}},
                {"mediaType": MEDIA_TYPES[2], "digest": digest(2), "size": 1,
                 "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
                {"mediaType": MEDIA_TYPES[2], "digest": digest(3), "size": 1,
                 "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
                 "platform": {"os": "unknown", "architecture": "unknown"}},
            ],
            "annotations": {"org.opencontainers.image.revision": "abc",
                            "org.opencontainers.image.created": "2024-05-06T07:08:09Z",
                            "org.opencontainers.image.base.digest": digest(7)},
        })
    }

    #[test]
    fn all_four_media_types_are_read_and_a_wrong_one_does_not_matter() {
        for media_type in MEDIA_TYPES {
            let Document::Index { platforms, others, notes } = read(&index(media_type)).unwrap() else {
                panic!("{media_type} with manifests is an index")
            };
            let names: Vec<&str> = platforms.keys().map(Platform::as_str).collect();
            assert_eq!(
                names,
                ["linux/amd64", "linux/arm64", "unknown/unknown"],
                "only its own document shows whether the last is an attestation, and v8 is arm64's default"
            );
            assert_eq!(others.len(), 0);
            assert_eq!(notes.revision.as_deref(), Some("abc"));
            assert_eq!(notes.base.unwrap().as_str(), digest(7));
        }
        let docker = manifest(
            MEDIA_TYPES[1],
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        );
        let oci = manifest(
            MEDIA_TYPES[3],
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.oci.image.layer.v1.tar+zstd",
        );
        for document in [docker, oci] {
            let Document::Manifest { layers, .. } = read(&document).unwrap() else {
                panic!("layers make a manifest")
            };
            assert_eq!(layers.len(), 2);
        }
    }

    #[test]
    fn what_is_stored_like_an_image_and_is_none_is_an_artifact() {
        let oci = "application/vnd.oci.image.config.v1+json";
        for (config, layer) in [
            (
                "application/vnd.cncf.helm.config.v1+json",
                "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
            ),
            (oci, "application/vnd.in-toto+json"),
            (oci, "application/vnd.dev.cosign.simplesigning.v1+json"),
        ] {
            assert!(
                matches!(read(&manifest(MEDIA_TYPES[2], config, layer)), Ok(Document::Artifact(_))),
                "{layer}"
            );
        }
        let mut empty = manifest(MEDIA_TYPES[2], oci, "application/vnd.oci.image.layer.v1.tar");
        empty["layers"] = json!([]);
        assert!(matches!(read(&empty), Ok(Document::Artifact(_))), "nothing to unpack");
        empty["config"] = Value::Null;
        assert!(matches!(read(&empty), Ok(Document::Artifact(_))), "nothing to run");
    }

    #[test]
    fn what_a_pusher_may_write_hides_no_image() {
        let oci = "application/vnd.oci.image.config.v1+json";
        let mut typed = manifest(MEDIA_TYPES[2], oci, "application/vnd.oci.image.layer.v1.tar");
        typed["artifactType"] = "application/spdx+json".into();
        assert!(matches!(read(&typed), Ok(Document::Manifest { .. })), "a runtime runs it all the same");

        let mut hiding = index(MEDIA_TYPES[3]);
        hiding["manifests"][0]["artifactType"] = "application/spdx+json".into();
        hiding["manifests"][1]["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
        hiding["manifests"][2]["platform"] = json!({"os": "linux", "architecture": "amd64"});
        let Document::Index { platforms, .. } = read(&hiding).unwrap() else { panic!("an index") };
        let names: Vec<&str> = platforms.keys().map(Platform::as_str).collect();
        assert_eq!(names, ["linux/amd64", "linux/amd64#2", "linux/arm64"], "each of them may run");

        hiding["manifests"][1]["platform"] = json!({"os": "linux", "architecture": "amd64#2"});
        let Document::Index { platforms, .. } = read(&hiding).unwrap() else { panic!("an index") };
        assert_eq!(platforms.len(), 3, "a platform that looks like a second entry hides none: {platforms:?}");
    }

    #[test]
    fn errors_name_the_field() {
        let mut bad = index(MEDIA_TYPES[3]);
        bad["manifests"][1]["digest"] = "md5:0".into();
        assert!(read(&bad).unwrap_err().contains("manifests[1].digest"));
        let mut nested = index(MEDIA_TYPES[3]);
        nested["manifests"][0]["mediaType"] = MEDIA_TYPES[3].into();
        assert!(read(&nested).unwrap_err().contains("manifests[0]"));
        assert_eq!(read(&json!({"schemaVersion": 1})), Err(InvalidManifest::Neither.to_string()));
        assert!(
            read(&json!({"manifests": vec![json!({"digest": digest(1)}); 1_001]}))
                .unwrap_err()
                .contains("1001")
        );
    }

    #[test]
    fn windows_releases_are_platforms_of_their_own_and_1970_is_no_build_time() {
        let entry = |n: u8, version: &str| {
            json!({"digest": digest(n),
                   "platform": {"os": "windows", "architecture": "amd64", "os.version": version}})
        };
        let document = json!({
            "manifests": [entry(1, "10.0.20348.2966"), entry(2, "10.0.17763.6659")],
            "annotations": {"org.opencontainers.image.created": "1970-01-01T00:00:00Z"},
        });
        let Document::Index { platforms, notes, .. } = read(&document).unwrap() else { panic!("an index") };
        assert_eq!(platforms.len(), 2);
        assert_eq!(notes.created, None);
    }

    #[test]
    fn the_digests_of_uncompressed_layers_are_in_the_config() {
        let config = json!({"architecture": "amd64", "os": "linux",
                            "rootfs": {"type": "layers", "diff_ids": [digest(1), digest(2)]}});
        let read = diff_ids(config.to_string().as_bytes());
        assert_eq!(read.iter().map(Digest::as_str).collect::<Vec<_>>(), [digest(1), digest(2)]);
        let many = json!({"rootfs": {"diff_ids": vec![digest(1); 1_001]}});
        for odd in [json!({}), json!({"rootfs": {"diff_ids": ["md5:0"]}}), json!([]), many] {
            assert_eq!(diff_ids(odd.to_string().as_bytes()), [], "{odd:.60}");
        }
        let oci = "application/vnd.oci.image.config.v1+json";
        let mut large = manifest(MEDIA_TYPES[2], oci, "application/vnd.oci.image.layer.v1.tar");
        large["config"]["size"] = (LARGEST_CONFIG + 1).into();
        assert!(read_config(&large).is_none(), "it is not read");
        large["config"]["size"] = LARGEST_CONFIG.into();
        assert_eq!(read_config(&large).unwrap().as_str(), digest(9));
    }

    fn read_config(document: &Value) -> Option<Digest> {
        match read(document).unwrap() {
            Document::Manifest { config, .. } => config,
            other => panic!("{other:?}"),
        }
    }
}
