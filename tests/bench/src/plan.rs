//! Planning: what one plan costs in a small and in a large hierarchy, and with few and many
//! findings.

use std::collections::BTreeMap;
use std::sync::Arc;

use patchwave::facts::{Current, Facts, ImageFacts, Manifest, Version};
use patchwave::finding::{Coverage, Finding, FindingKey, Fix, PackageKind, Scan, Severity};
use patchwave::hierarchy::{Hierarchy, Image, Parent};
use patchwave::image::{Digest, ImageId};
use patchwave::plan::{Plan, plan};
use patchwave::policy::Mode;
use patchwave::record::Record;
use patchwave::time::Timestamp;

use crate::clock::{fastest, ms, timed};
use crate::fleet::teams;
use crate::graph::whole;
use crate::table::Row;

/// A team's base, its platforms and most of its applications.
const NEIGHBOURS: usize = 79;

const ROUNDS: usize = 101;

/// Which findings each image has of its own, and which of them count.
#[derive(Clone, Copy)]
struct Found {
    counting: u32,
    others: u32,
}

/// Measures both.
pub(crate) fn measure() -> Result<Vec<Row>, String> {
    let mut rows = by_hierarchy()?;
    rows.extend(by_findings()?);
    Ok(rows)
}

/// One neighbourhood in three hierarchies: the plan is the same, and so is its time.
fn by_hierarchy() -> Result<Vec<Row>, String> {
    let mut costs = Vec::new();
    let mut plans: Vec<Plan> = Vec::new();
    for images in [10_000, 100_000, 500_000] {
        let hierarchy = load(images)?;
        let facts = facts(&hierarchy, Found { counting: 20, others: 0 });
        let (made, time) = cost(&hierarchy, &facts);
        costs.push(time);
        plans.push(made);
    }
    if plans.iter().any(|plan| *plan != plans[0] || plan.starts.is_empty()) {
        return Err("the plan of a neighbourhood depends on what lies around it".to_owned());
    }
    Ok(vec![
        Row::at_most(
            "79 images planned in a hierarchy of 100,000 ÷ in one of 10,000",
            costs[1] / costs[0],
            1.5,
            "×",
        ),
        Row::at_most("… in one of 500,000 ÷ in one of 10,000", costs[2] / costs[0], 1.5, "×"),
    ])
}

/// What another finding costs, if it counts and if it does not.
fn by_findings() -> Result<Vec<Row>, String> {
    let hierarchy = load(1_000)?;
    let an_image = |counting, others| {
        let facts = facts(&hierarchy, Found { counting, others });
        cost(&hierarchy, &facts).1 * 1e3 / whole(NEIGHBOURS)
    };
    let (few, some, many) = (an_image(25, 0), an_image(100, 0), an_image(400, 0));
    let beside = an_image(25, 375);
    Ok(vec![
        Row::at_most("an image planned with 25 findings of its own that count", few, 57.0, "µs"),
        Row::at_most("… with 100 ÷ with 25", some / few, 5.0, "×"),
        Row::at_most("… with 400 ÷ with 25", many / few, 20.0, "×"),
        Row::at_most("… with 375 more that do not count ÷ with none", beside / few, 1.5, "×"),
    ])
}

fn load(images: usize) -> Result<Hierarchy, String> {
    Hierarchy::parse("teams.yaml", &teams(images)).map_err(|errors| errors.to_string())
}

fn cost(hierarchy: &Hierarchy, facts: &Facts) -> (Plan, f64) {
    let make = || plan(hierarchy, facts, Mode::Enforce, facts.observed_at);
    let times = (0..ROUNDS).map(|_| timed(make).1).collect();
    (make(), ms(fastest(times)))
}

/// Facts about one team. Each image has the findings of its parents too.
fn facts(hierarchy: &Hierarchy, found: Found) -> Facts {
    let names =
        (1..20).map(|place| format!("p7-{place}")).chain((20..).map(|place| format!("apps/7-{place}")));
    let names = std::iter::once("b7".to_owned()).chain(names).take(NEIGHBOURS);
    let ids: Vec<ImageId> = names.map(|name| name.parse().expect("it is an id")).collect();
    let mut layers: BTreeMap<ImageId, (Vec<Digest>, Vec<Finding>)> = BTreeMap::new();
    let mut facts = Facts { observed_at: at(86_400), ..Facts::default() };
    for (number, image) in (1_u32..).zip(hierarchy.select(&ids).iter()) {
        let (mut stack, mut list) = match &image.from {
            Parent::Image(parent) => layers.get(parent).cloned().unwrap_or_default(),
            Parent::Upstream(_) | Parent::Scratch | Parent::Unknown => (Vec::new(), Vec::new()),
        };
        stack.push(digest(number));
        list.extend(findings(number, found));
        facts.images.insert(image.id.clone(), observed(image, number, &stack, &list));
        layers.insert(image.id.clone(), (stack, list));
    }
    facts
}

fn observed(_: &Image, number: u32, layers: &[Digest], findings: &[Finding]) -> ImageFacts {
    let platform = |of: u32, name: &str| {
        let scan = Scan::complete(at(7_200), Coverage::OsAndLanguages, findings);
        let manifest = Manifest {
            digest: digest(number + of),
            layers: Arc::from(layers),
            diff_ids: Arc::default(),
            scan,
        };
        (name.parse().expect("it is a platform"), manifest)
    };
    let version = Version {
        digest: digest(number + 3_000),
        pushed_at: at(i64::from(number)),
        built_at: None,
        revision: None,
        base: None,
        build_key: None,
        tags: std::collections::BTreeSet::new(),
        platforms: [platform(1_000, "linux/amd64"), platform(2_000, "linux/arm64")].into(),
    };
    let record = Record { enforced_since: Some(at(0)), ..Record::default() };
    let current = Current::Version(version.digest.clone());
    ImageFacts::new(current, [(version.digest.clone(), version)].into(), None, record)
}

fn findings(image: u32, found: Found) -> impl Iterator<Item = Finding> {
    let finding = move |number: u32, severity| Finding {
        key: FindingKey {
            vulnerability: format!("CVE-{}-{number:05}", 2_000 + image).into(),
            package: format!("package-{number}").into(),
        },
        severity,
        installed: None,
        kind: PackageKind::Os,
        fix: Fix::Version("2".into()),
        layer: Some(digest(image)),
        first_observed: Some(at(3_600)),
        exploited: false,
    };
    let counting = (0..found.counting).map(move |number| finding(number, Severity::High));
    counting.chain((0..found.others).map(move |number| finding(found.counting + number, Severity::Low)))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).expect("it is in the calendar")
}

fn digest(number: u32) -> Digest {
    format!("sha256:{number:064x}").parse().expect("it is a digest")
}
