//! What a build pushes: OCI manifests and indexes with their real digests.

use std::collections::BTreeMap;

use patchwave::image::Digest;
use serde_json::{Value, json};

/// The platforms of every image.
pub const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Annotations of a manifest or an index.
pub type Annotations = BTreeMap<String, String>;

/// A manifest or an index, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The bytes, which are JSON.
    pub text: String,
    pub digest: String,
    pub media_type: &'static str,
}

impl Document {
    fn new(content: &Value, media_type: &'static str) -> Self {
        let text = content.to_string();
        Self { digest: digest(&text), text, media_type }
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.text.len() })
    }
}

/// Returns the digest of a text.
pub fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

/// Makes the manifest of a platform. Its config depends on `build`, as on the time of a real build,
/// so that each build differs.
pub fn manifest(build: &str, layers: &[String], annotations: &Annotations) -> Document {
    let layers: Vec<Value> = layers
        .iter()
        .map(|layer| json!({ "mediaType": LAYER, "digest": layer, "size": 1_048_576 }))
        .collect();
    let content = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": digest(build), "size": 7_023 },
        "layers": layers,
        "annotations": annotations,
    });
    Document::new(&content, MANIFEST)
}

/// Makes the attestation that buildx pushes beside the manifest of a platform. It is a manifest
/// that is neither run nor scanned.
///
/// <https://docs.docker.com/build/metadata/attestations/attestation-storage/>
pub fn attestation(subject: &Document) -> Document {
    let layer = json!({
        "mediaType": "application/vnd.in-toto+json",
        "digest": digest(&format!("provenance of {}", subject.digest)),
        "size": 1_024,
        "annotations": { "in-toto.io/predicate-type": "https://slsa.dev/provenance/v1" },
    });
    let content = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": digest("an empty config"), "size": 167 },
        "layers": [layer],
    });
    Document::new(&content, MANIFEST)
}

/// Makes the index of the manifests of all platforms and their attestations.
pub fn index(platforms: &BTreeMap<&str, Document>, annotations: &Annotations) -> Document {
    let images = platforms.iter().map(|(platform, document)| {
        let (os, architecture) = platform.split_once('/').unwrap_or((platform, ""));
        with(document.descriptor(), "platform", json!({ "os": os, "architecture": architecture }))
    });
    let attestations = platforms.values().map(|subject| {
        let descriptor = attestation(subject).descriptor();
        let descriptor = with(descriptor, "platform", json!({ "os": "unknown", "architecture": "unknown" }));
        let about = json!({
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": subject.digest,
        });
        with(descriptor, "annotations", about)
    });
    index_of(&images.chain(attestations).collect::<Vec<_>>(), annotations)
}

/// Makes an index with these entries.
pub fn index_of(entries: &[Value], annotations: &Annotations) -> Document {
    let content =
        json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries, "annotations": annotations });
    Document::new(&content, INDEX)
}

fn with(mut object: Value, field: &str, value: Value) -> Value {
    object[field] = value;
    object
}

/// Returns the layers of a manifest. An index and an attestation have none.
pub fn layers(document: &Value) -> Vec<String> {
    let layers = document["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
    layers
        .iter()
        .filter(|layer| layer["mediaType"] == LAYER)
        .filter_map(|l| l["digest"].as_str())
        .map(str::to_owned)
        .collect()
}

/// Returns the platform manifests that an index lists, without attestations.
pub fn platforms(document: &Value) -> BTreeMap<String, String> {
    let manifests = document["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
    manifests
        .iter()
        .filter(|entry| entry["platform"]["os"] != "unknown")
        .filter_map(|entry| {
            let os = entry["platform"]["os"].as_str()?;
            let architecture = entry["platform"]["architecture"].as_str()?;
            Some((format!("{os}/{architecture}"), entry["digest"].as_str()?.to_owned()))
        })
        .collect()
}
