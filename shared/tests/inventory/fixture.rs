//! A small hierarchy of four images, a registry that knows some of their versions, and places that
//! run some of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::LazyLock;

use patchwave::facts::{Current, Facts, ImageFacts, Manifest, Version};
use patchwave::finding::{Coverage, Finding, FindingKey, Fix, PackageKind, Scan, Severity};
use patchwave::hierarchy::Hierarchy;
use patchwave::image::{Digest, ImageId};
use patchwave::inventory::{
    Catalog, ConsumerKind, FoldInput, Folded, Inventory, NoDigest, Place, PlaceRead, Resolution, Sighting,
    Survey, Use, fold,
};
use patchwave::record::Record;
use patchwave::time::{Span, Timestamp};

pub(crate) const OWN: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com";

pub(crate) const HIERARCHY: &str = r#"
version: 1
registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com
policy:
  suppress: [{ vulnerability: CVE-2026-7, images: ["apps/*"], until: 2026-03-31, reason: not reachable }]
images:
  - { id: base/os, tier: base, repository: base/os, tags: ["1"], from: "public.ecr.aws/debian/debian:12" }
  - { tier: platform, repository: platform/node, tags: ["20"], from: base/os }
  - { tier: platform, repository: platform/node, tags: ["22", "22.9"], from: base/os }
  - { tier: application, repository: apps/checkout, tagPattern: "main-*", from: "platform/node:22" }
"#;

pub(crate) fn hierarchy() -> Hierarchy {
    static PARSED: LazyLock<Hierarchy> = LazyLock::new(|| Hierarchy::parse("h.yaml", HIERARCHY).unwrap());
    PARSED.clone()
}

pub(crate) fn id(text: &str) -> ImageId {
    text.parse().unwrap()
}

pub(crate) fn digest(n: u8) -> Digest {
    format!("sha256:{}", format!("{n:02x}").repeat(32)).parse().unwrap()
}

/// The platform manifests of [`version`] `n`.
pub(crate) fn amd64(n: u8) -> Digest {
    digest(n + 1)
}

pub(crate) fn arm64(n: u8) -> Digest {
    digest(n + 2)
}

/// This day of March, at this hour.
pub(crate) fn at(day: u32, hour: u32) -> Timestamp {
    Span::hours(24 * (day - 1) + hour).after("2026-03-01T00:00:00Z".parse().unwrap())
}

pub(crate) fn finding(vulnerability: &str, severity: Severity) -> Finding {
    Finding {
        key: key(vulnerability),
        severity,
        installed: None,
        kind: PackageKind::Os,
        fix: Fix::Unknown,
        layer: None,
        first_observed: None,
        exploited: false,
    }
}

pub(crate) fn key(vulnerability: &str) -> FindingKey {
    FindingKey { vulnerability: vulnerability.into(), package: "openssl".into() }
}

pub(crate) fn complete(completed_at: Timestamp, findings: &[Finding]) -> Scan {
    Scan::complete(completed_at, Coverage::Os, findings)
}

/// A scan that lists CVE-2026-1, which is high.
pub(crate) fn vulnerable() -> Scan {
    complete(at(1, 1), &[finding("CVE-2026-1", Severity::High)])
}

/// Version `n`: an index over two platforms, both with this scan.
pub(crate) fn version(n: u8, pushed_at: Timestamp, scan: &Scan) -> Version {
    let manifest = |digest| Manifest { scan: scan.clone(), ..Manifest::new(digest, Arc::default()) };
    let platforms = [("linux/amd64", amd64(n)), ("linux/arm64", arm64(n))];
    Version {
        build_key: None,
        tags: BTreeSet::new(),
        digest: digest(n),
        pushed_at,
        built_at: None,
        revision: None,
        base: None,
        platforms: platforms.map(|(name, digest)| (name.parse().unwrap(), manifest(digest))).into(),
    }
}

/// Facts in which each image has this current version and these others.
pub(crate) fn facts(images: &[(&str, &Version, &[&Version])]) -> Facts {
    let image = |(name, current, others): &(&str, &Version, &[&Version])| {
        let versions: BTreeMap<Digest, Version> = others
            .iter()
            .chain(std::iter::once(current))
            .map(|version| (version.digest.clone(), (*version).clone()))
            .collect();
        let current = Current::Version(current.digest.clone());
        (id(name), ImageFacts::new(current, versions, None, Record::default()))
    };
    Facts { images: images.iter().map(image).collect(), ..Facts::default() }
}

/// A catalogue of such facts. The few facts of a test are never freed.
pub(crate) fn catalog(images: &[(&str, &Version, &[&Version])]) -> Catalog<'static> {
    Catalog::new(&hierarchy(), Box::leak(Box::new(facts(images))))
}

pub(crate) fn cluster(kind: ConsumerKind, name: &str) -> Place {
    Place {
        account: "444455556666".to_owned(),
        region: "us-east-1".to_owned(),
        kind,
        cluster: Some(name.to_owned()),
        environment: Some("prod".to_owned()),
    }
}

pub(crate) fn ecs() -> Place {
    cluster(ConsumerKind::Ecs, "shop")
}

pub(crate) fn eks() -> Place {
    cluster(ConsumerKind::Eks, "shop")
}

pub(crate) fn list() -> Place {
    Place { cluster: None, ..ecs() }
}

pub(crate) fn read(place: &Place, at: Timestamp) -> PlaceRead {
    PlaceRead { place: place.clone(), at, unread: None, not_inspected: BTreeSet::default() }
}

pub(crate) fn unread(place: &Place, at: Timestamp) -> PlaceRead {
    PlaceRead { unread: Some("it timed out".to_owned()), ..read(place, at) }
}

/// A container `main` of `workload`, whose definition names `image` in the hierarchy's registry.
pub(crate) fn sighting(place: &Place, workload: &str, image: &str, resolved: Option<String>) -> Sighting {
    Sighting {
        place: place.clone(),
        workload: workload.to_owned(),
        unit: format!("{workload}-1"),
        container: "main".to_owned(),
        image: format!("{OWN}/{image}"),
        resolved,
        architecture: None,
        os: None,
        used: Use::Running { since: None },
    }
}

/// A task of `apps/checkout` that runs version `n`.
pub(crate) fn checkout(workload: &str, n: u8) -> Sighting {
    sighting(&ecs(), workload, "apps/checkout:main-1", Some(digest(n).to_string()))
}

pub(crate) fn clean() -> Scan {
    complete(at(1, 1), &[])
}

/// `apps/checkout` is at version 20, and was at 10 before.
pub(crate) fn two_versions() -> Catalog<'static> {
    let (old, new) = (version(10, at(1, 0), &clean()), version(20, at(1, 5), &clean()));
    catalog(&[("apps/checkout", &new, &[&old])])
}

/// `apps/checkout`: version 10 has a finding, version 20 has none and is current.
pub(crate) fn patched() -> Catalog<'static> {
    let (old, new) = (version(10, at(1, 0), &vulnerable()), version(20, at(3, 0), &clean()));
    catalog(&[("apps/checkout", &new, &[&old])])
}

/// Adds one survey, which reads everything that it means to read, to what was known.
pub(crate) fn survey(
    before: &Inventory,
    catalog: &Catalog<'_>,
    places: &[PlaceRead],
    sightings: &[Sighting],
    now: Timestamp,
) -> Folded {
    let survey = Survey { places: places.to_vec(), sightings: sightings.to_vec() };
    survey_of(&hierarchy(), before, catalog, &survey, true, now)
}

pub(crate) fn survey_of(
    hierarchy: &Hierarchy,
    before: &Inventory,
    catalog: &Catalog<'_>,
    survey: &Survey,
    ended: bool,
    now: Timestamp,
) -> Folded {
    fold(before, &FoldInput { survey, began: now, ended, hierarchy, catalog, now })
}

/// The first survey: on the second day, of the ECS cluster.
pub(crate) fn first_survey(catalog: &Catalog<'_>, sightings: &[Sighting]) -> Folded {
    survey(&Inventory::default(), catalog, &[read(&ecs(), at(2, 0))], sightings, at(2, 0))
}

/// The hierarchy above, with a line for the version of `apps/checkout` that is deployed in
/// production.
pub(crate) fn with_a_deployed_line() -> Hierarchy {
    let pipeline = "pipeline: { name: c, sources: [{ action: S, type: COMMIT_ID }] }";
    let lines =
        "lines: [{ environment: prod, current: deployed }, { tagPattern: 'main-*', current: newest }]";
    let inventory = "inventory: { regions: [r-1], accounts: [{ id: '444455556666', environment: prod }] }";
    let yaml = HIERARCHY.replace("tagPattern: \"main-*\"", &format!("{lines}, {pipeline}"));
    Hierarchy::parse("h.yaml", &format!("{yaml}{inventory}\n")).unwrap()
}

/// What one sighting resolves to.
pub(crate) fn resolved(catalog: &Catalog<'_>, sighting: &Sighting) -> Resolution {
    resolved_in(&hierarchy(), catalog, sighting)
}

/// What one sighting resolves to in another hierarchy.
pub(crate) fn resolved_in(hierarchy: &Hierarchy, catalog: &Catalog<'_>, sighting: &Sighting) -> Resolution {
    let places = vec![read(&sighting.place, at(2, 0))];
    let survey = Survey { places, sightings: vec![sighting.clone()] };
    let folded = survey_of(hierarchy, &Inventory::default(), catalog, &survey, true, at(2, 0));
    folded.inventory.entries.into_values().next().unwrap().resolution
}

pub(crate) fn known(image: &str, n: u8) -> Resolution {
    Resolution::Known { image: id(image), version: digest(n) }
}

pub(crate) fn unresolvable(because: NoDigest) -> Resolution {
    let repository = Some("apps/checkout".parse().unwrap());
    Resolution::Unresolvable { image: Some(id("apps/checkout")), repository, because }
}
