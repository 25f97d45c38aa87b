//! Well-formed input whose writers mean harm: what pods say, what scanners find, and of which parts
//! a hierarchy file is. The bytes of a fuzzer choose.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use patchwave::facts::{Current, Facts, ImageFacts, Manifest, Version};
use patchwave::finding::{Coverage, Finding, FindingKey, Fix, PackageKind, Scan, Severity};
use patchwave::hierarchy::Hierarchy;
use patchwave::image::Digest;
use patchwave::inventory::{
    self, Catalog, ConsumerKind, FoldInput, Inventory, Place, PlaceRead, Question, Sighting, Survey, Use,
};
use patchwave::plan::plan;
use patchwave::policy::Mode;
use patchwave::record::Record;
use patchwave::time::Timestamp;
use serde_json::{Value, json};

/// The most that an item of DynamoDB holds, in bytes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
const LARGEST_ITEM: usize = 400_000;

/// The longest text of errors.
const LONGEST_ERROR: usize = 1024 * 1024;

static SAMPLE: LazyLock<Hierarchy> = LazyLock::new(|| {
    let lines =
        "lines: [{ environment: prod, current: deployed }, { tagPattern: \"main-*\", current: newest }]";
    let yaml = include_str!("../fixtures/sample.yaml").replace("tagPattern: \"main-*\"", lines);
    let inspected =
        "inventory: { regions: [us-east-1], accounts: [{ id: '123456789012', environment: prod }] }";
    Hierarchy::parse("sample.yaml", &format!("{yaml}{inspected}\n"))
        .unwrap_or_else(|errors| panic!("{errors}"))
});

/// The bytes, as choices.
struct Choices<'b>(std::slice::Iter<'b, u8>);

impl Choices<'_> {
    fn next(&mut self, of: u8) -> u8 {
        self.0.next().copied().unwrap_or_default() % of
    }

    fn digest(&mut self) -> Digest {
        let byte = self.next(4);
        format!("sha256:{}", format!("{byte:02x}").repeat(32)).parse().expect("it is a digest")
    }

    /// A text that somebody else chose.
    fn text(&mut self) -> String {
        let digest = self.digest();
        match self.next(12) {
            0 => String::new(),
            1 => "\u{1b}]52;c;eA==\u{7}\u{202e}\r\n".to_owned(),
            2 => "x".repeat(1_024),
            3 => "shop/Deployment/checkout".to_owned(),
            4 => format!("shop/Job/{}", self.next(255)),
            5 => "service:checkout".to_owned(),
            6 => format!("123456789012.dkr.ecr.us-east-1.amazonaws.com/apps/checkout@{digest}"),
            7 => "123456789012.dkr.ecr.us-east-1.amazonaws.com/apps/checkout:main-1".to_owned(),
            8 => digest.to_string(),
            9 => format!("docker-pullable://{digest}"),
            10 => "=cmd|' /C calc'!A0".to_owned(),
            _ => format!("{}/{}/{}", self.next(255), self.next(255), self.next(255)),
        }
    }
}

fn at(seconds: u8) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + i64::from(seconds)).expect("it is in the calendar")
}

fn version(n: u8, findings: Vec<Finding>) -> Version {
    let digest: Digest = format!("sha256:{}", format!("{n:02x}").repeat(32)).parse().expect("it is a digest");
    let scan = Scan::complete(at(1), Coverage::Os, findings);
    let manifest = Manifest { scan, ..Manifest::new(digest.clone(), Arc::default()) };
    Version {
        digest,
        pushed_at: at(0),
        built_at: None,
        revision: None,
        base: None,
        build_key: None,
        tags: BTreeSet::new(),
        platforms: BTreeMap::from([("linux/amd64".parse().expect("it is a platform"), manifest)]),
    }
}

/// Facts in which every image has version 1, with these findings, and was at version 0.
fn facts(findings: &[Finding]) -> Facts {
    let image = |image: &patchwave::hierarchy::Image| {
        let versions = [version(0, Vec::new()), version(1, findings.to_vec())];
        let current = Current::Version(versions[1].digest.clone());
        let versions = versions.map(|version| (version.digest.clone(), version)).into();
        (image.id.clone(), ImageFacts::new(current, versions, None, Record::default()))
    };
    Facts { observed_at: at(2), images: SAMPLE.images().map(image).collect(), ..Facts::default() }
}

/// What pods and tasks say. The inventory answers, and each of its items fits into the table.
pub fn survey(bytes: &[u8]) {
    let mut choices = Choices(bytes.iter());
    let kinds = [ConsumerKind::Ecs, ConsumerKind::Eks, ConsumerKind::Lambda, ConsumerKind::Batch];
    let place = |kind: ConsumerKind| Place {
        account: "123456789012".to_owned(),
        region: "us-east-1".to_owned(),
        kind,
        cluster: Some("shop".to_owned()),
        environment: Some("prod".to_owned()),
    };
    let mut sightings = Vec::new();
    while choices.0.len() > 0 {
        let used = match choices.next(4) {
            0 => Use::Referenced,
            1 => Use::Running { since: None },
            2 => Use::Reported { at: at(1), units: u32::MAX },
            _ => Use::Running { since: Some(at(choices.next(255))) },
        };
        sightings.push(Sighting {
            place: place(kinds[usize::from(choices.next(4))]),
            workload: choices.text(),
            unit: choices.text(),
            container: choices.text(),
            image: choices.text(),
            resolved: Some(choices.text()).filter(|text| !text.is_empty()),
            architecture: Some(choices.text()).filter(|_| used == Use::Referenced),
            os: Some(choices.text()).filter(|_| used == Use::Referenced),
            used,
        });
    }
    let read = |kind| PlaceRead {
        place: place(kind),
        at: at(2),
        unread: None,
        not_inspected: std::collections::BTreeSet::new(),
    };
    let survey = Survey { places: kinds.map(read).into(), sightings };
    let facts = facts(&[]);
    let catalog = Catalog::new(&SAMPLE, &facts);
    let input = FoldInput {
        survey: &survey,
        began: at(2),
        ended: true,
        hierarchy: &SAMPLE,
        catalog: &catalog,
        now: at(2),
    };
    let before = Inventory::default();
    let folded = inventory::fold(&before, &input);
    for deployments in folded.inventory.deployments().values() {
        for globs in [Vec::new(), vec!["shop/*/Deployment/*".to_owned()]] {
            if let Err(because) = deployments.deployed("prod", &globs) {
                assert!(!because.is_empty());
            }
        }
    }
    let answer = folded.inventory.answer(&SAMPLE, &Question::default(), at(2));
    assert!(answer.totals().running <= survey.sightings.len());
    for item in inventory::items(&before, &folded, at(2)).expect("it can be written") {
        assert!(item.state.len() < LARGEST_ITEM, "{:?} has {} bytes", item.key, item.state.len());
    }
}

/// What a scanner finds. The planner answers, and each record fits into the table.
pub fn findings(bytes: &[u8]) {
    let mut choices = Choices(bytes.iter());
    let mut findings = Vec::new();
    while choices.0.len() > 0 {
        let fix = match choices.next(3) {
            0 => Fix::Unknown,
            1 => Fix::Version(choices.text()),
            _ => Fix::NotPublished,
        };
        findings.push(Finding {
            key: FindingKey { vulnerability: choices.text().into(), package: choices.text().into() },
            severity: [Severity::Critical, Severity::High, Severity::Unrated][usize::from(choices.next(3))],
            installed: None,
            kind: if choices.next(2) == 0 { PackageKind::Os } else { PackageKind::Language },
            fix,
            layer: None,
            first_observed: None,
            exploited: choices.next(2) == 0,
        });
    }
    let mut facts = facts(&findings);
    facts.has_listener = true;
    let plan = plan(&SAMPLE, &facts, Mode::Enforce, at(3));
    assert_eq!(plan.starts.len() + plan.holds.len(), SAMPLE.len());
    for (image, record) in &plan.records {
        let size = serde_json::to_string(record).expect("it can be written").len();
        assert!(size < LARGEST_ITEM, "the record of {image} has {size} bytes");
    }
}

/// The most images of a hierarchy that the bytes choose.
const MOST_IMAGES: usize = 300;

/// A hierarchy file of well-formed parts. It loads without circles and with a plan for each image,
/// or it gives errors of limited length.
pub fn parts(bytes: &[u8]) {
    let mut choices = Choices(bytes.iter());
    let mut images = Vec::new();
    while choices.0.len() > 0 && images.len() < MOST_IMAGES {
        images.push(part(&mut choices));
    }
    let file = json!({
        "version": 1,
        "registry": "123456789012.dkr.ecr.us-east-1.amazonaws.com",
        "policy": policy(&mut choices),
        "owners": { "shop": { "maxConcurrentBuilds": choices.next(3) }, "pay": {} },
        "images": images,
    });
    match Hierarchy::parse("parts.yaml", &file.to_string()) {
        Ok(hierarchy) => {
            for image in hierarchy.images() {
                assert!(hierarchy.parents(&image.id).all(|parent| parent.image.id != image.id));
            }
            let ids = hierarchy.images().map(|image| image.id.clone());
            let absent = ImageFacts::new(Current::Absent, BTreeMap::new(), None, Record::default());
            let images = ids.map(|id| (id, absent.clone())).collect();
            let facts = Facts { observed_at: at(2), images, ..Facts::default() };
            let plan = plan(&hierarchy, &facts, Mode::Enforce, at(3));
            assert_eq!(plan.starts.len() + plan.holds.len(), hierarchy.len());
        }
        Err(errors) => {
            let text = errors.to_string();
            assert!(!text.is_empty() && text.len() < LONGEST_ERROR, "{} bytes of errors", text.len());
        }
    }
}

/// A text that mostly is what belongs there.
fn mostly(choices: &mut Choices<'_>, usual: impl FnOnce(u8) -> String) -> String {
    if choices.next(40) == 0 { choices.text() } else { usual(choices.next(24)) }
}

fn part(choices: &mut Choices<'_>) -> Value {
    let tier = ["base", "platform", "application"][usize::from(choices.next(3))];
    let repository = mostly(choices, |n| format!("apps/a{n}"));
    let mut image = json!({ "tier": tier, "repository": repository });
    match choices.next(8) {
        0 => image["tagPattern"] = mostly(choices, |n| format!("v{n}-*")).into(),
        1 => {
            image["lines"] = json!([{ "environment": "prod", "current": "deployed" },
                                    { "tagPattern": mostly(choices, |n| format!("v{n}-*")), "current": "newest" }]);
        }
        _ => image["tags"] = json!([mostly(choices, |n| format!("{n}")), choices.next(9).to_string()]),
    }
    image["from"] = match choices.next(4) {
        0 => "scratch".into(),
        1 => "public.ecr.aws/os/os:1".into(),
        _ => mostly(choices, |n| format!("apps/a{n}")).into(),
    };
    if choices.next(3) == 0 {
        image["copyFrom"] = json!([mostly(choices, |n| format!("apps/a{n}:{n}"))]);
    }
    if choices.next(3) != 0 {
        image["pipeline"] = mostly(choices, |n| format!("p{n}")).into();
    }
    if choices.next(4) == 0 {
        image["owner"] = mostly(choices, |n| if n % 2 == 0 { "shop".into() } else { "pay".into() }).into();
    }
    if choices.next(8) == 0 {
        image["policy"] = policy(choices);
    }
    image
}

fn policy(choices: &mut Choices<'_>) -> Value {
    let span = |choices: &mut Choices<'_>| mostly(choices, |n| format!("{n}h"));
    let mode = if choices.next(2) == 0 { "observe" } else { "enforce" };
    json!({
        "mode": mode,
        "maxAge": span(choices),
        "quietPeriod": span(choices),
        "suppress": [{ "vulnerability": choices.text(), "images": [mostly(choices, |n| format!("apps/a{n}*"))],
                       "until": "2027-01-01", "reason": choices.text() }],
    })
}
