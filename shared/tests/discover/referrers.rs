//! Provenance that lies beside an image: as a referrer, below a referrers tag, or as cosign's tag.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use patchwave::discover::{Draft, Estate, discover};
use patchwave::image::Digest;
use serde_json::{Value, json};

const HOST: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A registry with a base, and with an application of which nothing else says the base.
struct Registry {
    documents: serde_json::Map<String, Value>,
    repositories: Vec<Value>,
    application: String,
}

fn digest(document: &Value) -> String {
    Digest::of(document.to_string().as_bytes()).to_string()
}

fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap()
}

impl Registry {
    fn new() -> Self {
        let mut registry =
            Self { documents: serde_json::Map::new(), repositories: Vec::new(), application: String::new() };
        let base = registry.image("base layer");
        registry.application = registry.image("squashed layer");
        registry.push("base/os", &base, &["1"]);
        let application = registry.application.clone();
        registry.push("apps/web", &application, &["2"]);
        registry
    }

    fn add(&mut self, document: Value) -> String {
        let digest = digest(&document);
        self.documents.insert(digest.clone(), document);
        digest
    }

    fn image(&mut self, layer: &str) -> String {
        let layer = digest(&json!(layer));
        let config = self.add(json!({"os": "linux", "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": [layer]}}));
        self.add(json!({"mediaType": MANIFEST, "config": {"digest": config},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": layer}]}))
    }

    fn push(&mut self, repository: &str, digest: &str, tags: &[&str]) {
        let version = json!({"digest": digest, "tags": tags, "pushedAt": "2026-11-01T00:00:00Z"});
        match self.repositories.iter_mut().find(|of| of["name"] == repository) {
            Some(of) => of["versions"].as_array_mut().unwrap().push(version),
            None => self.repositories.push(json!({"name": repository, "versions": [version]})),
        }
    }

    /// A statement about the application that its build began with the base.
    fn statement(&self) -> Value {
        Self::statement_about(&self.application)
    }

    fn statement_about(subject: &str) -> Value {
        let base = format!("docker-image://{HOST}/base/os:1");
        json!({
            "_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://slsa.dev/provenance/v0.2",
            "subject": [{"name": "x", "digest": {"sha256": hex(subject)}}],
            "predicate": {"builder": {"id": "https://ci.example/builder"}, "buildConfig": {"llbDefinition": [
                {"id": "step0", "op": {"Op": {"source": {"identifier": base}}}},
                {"id": "step1", "op": {"Op": null}, "inputs": ["step0:0"]},
            ]}},
        })
    }

    fn envelope(statement: &Value) -> Value {
        json!({"payloadType": IN_TOTO, "payload": STANDARD.encode(statement.to_string()), "signatures": []})
    }

    /// Adds a manifest with a statement as its layer.
    fn attestation(&mut self, kind: &str, layer: Value, subject: Option<&str>) -> String {
        let layer = self.add(layer);
        let mut manifest = json!({"mediaType": MANIFEST, "config": {"digest": digest(&json!({}))}, "layers": [
            {"mediaType": "application/vnd.in-toto+json", "digest": digest(&json!("an SBOM")),
                "annotations": {"in-toto.io/predicate-type": "https://spdx.dev/Document"}},
            {"mediaType": kind, "digest": layer, "annotations": {"predicateType": "https://slsa.dev/provenance/v0.2"}},
        ]});
        if let Some(subject) = subject {
            manifest["subject"] = json!({"digest": subject});
        }
        self.add(manifest)
    }

    fn application(self) -> Draft {
        let estate = json!({"registries": [{"host": HOST, "repositories": self.repositories}], "documents": self.documents});
        let estate: Estate = serde_json::from_value(estate).unwrap();
        let drafted = discover(&estate);
        let ids: BTreeSet<&str> = drafted.images.iter().map(|draft| draft.id.as_str()).collect();
        assert_eq!(ids, BTreeSet::from(["apps/web:2", "base/os:1"]), "an attestation is no image");
        drafted.images.into_iter().find(|draft| draft.id == "apps/web:2").unwrap()
    }
}

#[test]
fn provenance_is_found_as_a_referrer_below_a_tag_and_in_envelopes() {
    assert_eq!(Registry::new().application().from, "unknown");
    for kind in [IN_TOTO, ENVELOPE, BUNDLE] {
        for place in ["referrer", "tag schema", "cosign"] {
            let mut registry = Registry::new();
            let statement = registry.statement();
            let layer = match kind {
                IN_TOTO => statement,
                ENVELOPE => Registry::envelope(&statement),
                _ => json!({"mediaType": kind, "dsseEnvelope": Registry::envelope(&statement)}),
            };
            let application = registry.application.clone();
            let subject = (place != "cosign").then_some(application.as_str());
            let attestation = registry.attestation(kind, layer, subject);
            let schema = format!("sha256-{}", hex(&application));
            match place {
                "referrer" => registry.push("apps/web", &attestation, &[]),
                "cosign" => registry.push("apps/web", &attestation, &[&format!("{schema}.att")]),
                _ => {
                    let index = json!({"manifests": [{"mediaType": MANIFEST, "digest": attestation}]});
                    let index = registry.add(index);
                    registry.push("apps/web", &index, &[&schema]);
                    registry.push("apps/web", &attestation, &[]);
                }
            }
            let draft = registry.application();
            assert_eq!(draft.from, "base/os:1", "{kind} as {place}: {:?}", draft.evidence);
            assert!(
                draft.evidence.iter().any(|said| said.contains("the builder https://ci.example/builder"))
            );
        }
    }
}

#[test]
fn what_is_about_another_image_says_nothing() {
    let mut registry = Registry::new();
    let statement = Registry::statement_about(&digest(&json!("another")));
    let application = registry.application.clone();
    let attestation = registry.attestation(ENVELOPE, Registry::envelope(&statement), Some(&application));
    registry.push("apps/web", &attestation, &[]);
    assert_eq!(registry.application().from, "unknown", "its statement names another subject");
    let mut registry = Registry::new();
    let statement = registry.statement();
    let attestation = registry.attestation(IN_TOTO, statement, Some(&digest(&json!("another"))));
    registry.push("apps/web", &attestation, &[]);
    assert_eq!(registry.application().from, "unknown", "its manifest names another subject");
}
