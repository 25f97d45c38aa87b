//! The hierarchy file against what images say of themselves.

use std::collections::BTreeMap;

use patchwave::audit::{Finding, Kind, audit};
use patchwave::facts::{Current, Facts, ImageFacts, Manifest, Version};
use patchwave::hierarchy::Hierarchy;
use patchwave::image::Digest;
use patchwave::record::Record;

const FILE: &str = "
version: 1
registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com
owners: { core: {} }
tiers: { base: { pipeline: '{repository}', owner: core }, platform: { pipeline: '{repository}', owner: core } }
images:
  - { id: os, tier: base, repository: base/os, tags: ['1', '1.2'], from: scratch }
  - { id: py, tier: platform, repository: platform/py, tags: ['3'], from: os }
  - { id: web, tier: application, repository: apps/web, tags: [live], from: os, pipeline: web, owner: core }
  - { id: up, tier: application, repository: apps/up, tags: [live], from: 'docker.io/library/debian:13', pipeline: up, owner: core }
  - { id: flat, tier: application, repository: apps/flat, tags: [live], from: py, pinned: true }
  - { id: gone, tier: application, repository: apps/gone, tags: [live], from: py, pipeline: gone, owner: core }
";

fn digest(name: &str) -> Digest {
    let hex = name.bytes().cycle().take(32).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!("sha256:{hex}").parse().unwrap()
}

fn version(name: &str, layers: &str, base: Option<&str>) -> Version {
    let layers: Vec<Digest> = layers.split(' ').map(digest).collect();
    Version {
        digest: digest(name),
        pushed_at: "2026-11-01T00:00:00Z".parse().unwrap(),
        built_at: None,
        revision: None,
        base: base.map(digest),
        build_key: None,
        tags: ["1", "3", "live"].map(|tag| tag.parse().unwrap()).into(),
        platforms: BTreeMap::from([(
            "linux/amd64".parse().unwrap(),
            Manifest::new(digest(&format!("m{name}")), layers.into()),
        )]),
    }
}

fn findings(all: &[(&str, Version)]) -> Vec<(Kind, String, String)> {
    let image = |version: &Version| {
        let versions = BTreeMap::from([(version.digest.clone(), version.clone())]);
        ImageFacts::new(Current::Version(version.digest.clone()), versions, None, Record::default())
    };
    let images = all.iter().map(|(id, version)| (id.parse().unwrap(), image(version))).collect();
    let facts = Facts { images, ..Facts::default() };
    let hierarchy = Hierarchy::parse("h.yaml", FILE).unwrap_or_else(|errors| panic!("{errors}"));
    let of = |finding: Finding| (finding.kind, finding.image.to_string(), finding.edit);
    audit(&hierarchy, &facts).into_iter().map(of).collect()
}

fn ids(found: &[(Kind, String, String)], kind: Kind) -> Vec<&str> {
    found.iter().filter(|(own, ..)| *own == kind).map(|(_, image, _)| image.as_str()).collect()
}

#[test]
fn each_finding_has_its_evidence_and_its_edit() {
    let found = findings(&[
        ("os", version("os", "a", None)),
        ("py", version("py", "a b", None)),
        ("web", version("web", "a b c", Some("os"))),
        ("up", version("up", "a d", None)),
        ("flat", version("flat", "z", None)),
    ]);
    // The annotation of web names os, and its layers confirm that: what stands longer beside it is no parent.
    assert_eq!(ids(&found, Kind::WrongParent), [""; 0]);
    assert_eq!(ids(&found, Kind::MissingParent), ["up"]);
    assert_eq!(ids(&found, Kind::BuiltOnUnknown), ["flat"]);
    assert_eq!(ids(&found, Kind::DivergingTags), ["os"]);
    assert_eq!(ids(&found, Kind::Pinned), ["flat"]);
    assert_eq!(ids(&found, Kind::SomebodyElses), ["up"]);
    assert_eq!(ids(&found, Kind::TierSkipped), ["web"]);
    assert_eq!(ids(&found, Kind::NoBuilder), ["flat"]);
    assert_eq!(ids(&found, Kind::NoOwner), ["flat"]);
    assert_eq!(ids(&found, Kind::NotRead), ["gone"]);
    assert!(found.iter().any(|(kind, _, edit)| *kind == Kind::MissingParent && edit == "write from: os"));
}

#[test]
fn layers_lead_to_the_parent_that_the_file_does_not_name() {
    let found = findings(&[
        ("os", version("os", "a", None)),
        ("py", version("py", "a b", None)),
        ("web", version("web", "a b c", None)),
    ]);
    assert_eq!(ids(&found, Kind::WrongParent), ["web"]);
    let circle = findings(&[("os", version("os", "a b", None)), ("py", version("py", "a", None))]);
    assert_eq!(ids(&circle, Kind::Circle), ["os"]);
}

#[test]
fn two_images_with_the_same_layers_are_no_evidence() {
    let found = findings(&[
        ("os", version("os", "a b", None)),
        ("py", version("py", "a b", None)),
        ("web", version("web", "a b c", None)),
    ]);
    assert_eq!(ids(&found, Kind::WrongParent), [""; 0]);
    assert_eq!(ids(&found, Kind::BuiltOnUnknown), ["py", "web"]);
}
