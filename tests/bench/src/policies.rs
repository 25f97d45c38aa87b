//! Planning the lifecycle policies of few and of many repositories. What runs grows with them.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::hierarchy::Hierarchy;
use patchwave::image::{Digest, Repository};
use patchwave::inventory::Answer;
use patchwave::lifecycle::{
    Intent, KnownRepository, Listing, PlanInput, PolicyPlan, RepositoryImage, StorageClass, plan_policies,
};
use patchwave::time::{Span, Timestamp};
use serde_json::{Value, json};

use crate::clock::{fastest, ms, timed};
use crate::fleet::teams;
use crate::graph::whole;
use crate::table::Row;

const FEW: usize = 300;
const MANY: usize = 3_000;
/// The versions in each repository: an index with two manifests, pushed every fifth day.
const VERSIONS: u32 = 30;
const DAYS: u32 = 5;
const ROUNDS: usize = 5;
const ACCOUNT: &str = "111122223333";

/// Measures the plans of both.
pub(crate) fn measure() -> Result<Vec<Row>, String> {
    let (few, many) = (cost(FEW)?, cost(MANY)?);
    let each = few * 1e3 / whole(FEW);
    Ok(vec![
        Row::at_most(
            "a lifecycle policy planned, of 300, each with 90 images and three workloads",
            each,
            1_000.0,
            "µs",
        ),
        Row::at_most("policies of 3,000 repositories planned ÷ of 300", many / few, 13.0, "×"),
    ])
}

/// Returns the milliseconds of a plan of so many repositories.
fn cost(repositories: usize) -> Result<f64, String> {
    let hierarchy =
        Hierarchy::parse("teams.yaml", &teams(repositories)).map_err(|errors| errors.to_string())?;
    let names: Vec<Repository> = hierarchy.images().map(|image| image.repository.clone()).collect();
    let known: BTreeMap<_, _> =
        (0..).zip(&names).map(|(n, name)| (name.clone(), Ok(known(n, name)))).collect();
    let inventory = inventory(&names)?;
    let intent = Intent::default();
    let input = PlanInput {
        hierarchy: &hierarchy,
        intent: &intent,
        inventory: Some(&inventory),
        roll_backs: 3,
        now: now(),
    };
    let make = || plan_policies(input, &known);
    check(&make(), names.len())?;
    Ok(ms(fastest((0..ROUNDS).map(|_| timed(make).1).collect())))
}

/// A plan counts only if each repository has a policy, deletes something, and keeps what runs.
fn check(plan: &PolicyPlan, repositories: usize) -> Result<(), String> {
    let is_whole = |planned: &&patchwave::lifecycle::PlannedPolicy| {
        planned.text.is_some() && !planned.going.is_empty() && planned.refused.is_empty()
    };
    match plan.policies.iter().filter(is_whole).count() {
        whole if whole == repositories => Ok(()),
        whole => Err(format!("{whole} of {repositories} repositories have a plan")),
    }
}

fn known(repository: u32, name: &Repository) -> KnownRepository {
    let mut images = BTreeMap::new();
    for version in 0..VERSIONS {
        let index = digest(repository, version, 0);
        let children: BTreeSet<Digest> = [1, 2].map(|part| digest(repository, version, part)).into();
        let tag = if version + 1 == VERSIONS { "1".to_owned() } else { format!("main-{version}") };
        for child in &children {
            images.insert(child.clone(), image(version, &[], BTreeSet::new()));
        }
        images.insert(index, image(version, &[tag], children));
    }
    let listing = Listing { of: Some((ACCOUNT.to_owned(), name.clone())), images };
    KnownRepository { listing, stored: None, replicas: BTreeSet::new() }
}

fn image(version: u32, tags: &[String], children: BTreeSet<Digest>) -> RepositoryImage {
    RepositoryImage {
        tags: tags.iter().filter_map(|tag| tag.parse().ok()).collect(),
        pushed_at: Span::days(DAYS * (VERSIONS - version)).before(now()),
        pulled_at: None,
        archived_at: None,
        restored_at: None,
        storage: StorageClass::Standard,
        is_index: !children.is_empty(),
        is_part: children.is_empty(),
        children,
        artifact_type: None,
        subject: None,
        bytes: 100_000_000,
        findings: Some(10),
    }
}

/// Two services of each repository run the newest version, and a schedule would.
fn inventory(names: &[Repository]) -> Result<Answer, String> {
    let (mut running, mut referenced) = (Vec::new(), Vec::new());
    for (number, name) in (0..).zip(names) {
        let newest = digest(number, VERSIONS - 1, 0);
        running.push(row(name, "web", Some((&newest, &digest(number, VERSIONS - 1, 1)))));
        running.push(row(name, "worker", Some((&newest, &digest(number, VERSIONS - 1, 2)))));
        referenced.push(row(name, "nightly", None));
    }
    let mut place = place();
    place["id"] = json!("444455556666/us-east-1/ecs/shop");
    place["readAt"] = json!(now());
    let answer = json!({"at": now(), "running": running, "referenced": referenced, "notInspected": [], "places": [place]});
    serde_json::from_value(answer).map_err(|error| error.to_string())
}

fn place() -> Value {
    json!({"account": "444455556666", "region": "us-east-1", "kind": "ecs", "cluster": "shop", "environment": "prod"})
}

fn row(name: &Repository, workload: &str, runs: Option<(&Digest, &Digest)>) -> Value {
    let resolution = match runs {
        Some((version, _)) => json!({"is": "known", "image": name, "version": version}),
        None => json!({"is": "notInHierarchy", "repository": name}),
    };
    json!({
        "place": place(), "workload": format!("service/{workload}-{name}"), "runs": runs.is_some(), "stale": false,
        "asked": format!("{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/{name}:1"), "resolution": resolution,
        "digest": runs.map(|(_, manifest)| manifest), "containers": ["main"], "units": 1, "since": now(),
        "lastSeen": now(), "findings": [],
    })
}

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).expect("it is in the calendar")
}

fn digest(repository: u32, version: u32, part: u32) -> Digest {
    format!("sha256:{repository:032x}{version:016x}{part:016x}").parse().expect("it is a digest")
}
