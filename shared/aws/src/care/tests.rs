//! Promotions to the registry of an environment, killed between any two calls.

mod mount;
mod wire;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use aws_config::SdkConfig;
use patchwave::hierarchy::{Hierarchy, Stage};
use patchwave::image::keep_tag;
use patchwave::inventory::Answer;
use patchwave::policy::Mode;
use patchwave::tags::{Places, Promote, Target, promotion};
use patchwave::time::Span;
use patchwave_converge::{Fault, FaultKind};
use serde_json::{Value, json};
use wire::{HOME, LIVE, Shared, State};

use super::{Amount, Care};
use crate::clients::Clients;
use crate::ecr::Cache;
use crate::fake;
use crate::keep;
use crate::registries::Registries;
use crate::settings::{Settings, Source};
use crate::world::AwsWorld;

const FILE: &str = "{ version: 1, registries: {\
    home: { host: 111122223333.dkr.ecr.us-east-1.amazonaws.com },\
    live: { host: 222233334444.dkr.ecr.us-east-1.amazonaws.com, role: reader, keepTags: true, copies: [\
        { of: home, from: 'apps/*', to: 'live/*', environment: production, role: copier }] } },\
    images: [{ id: web, tier: application, repository: apps/web, tagPattern: 'main-*', from: scratch }] }";
/// A layer of two parts.
const LARGE: &str = "a layer of both platforms, which is so large that it has more than one part";
const TAG: &str = "production-8";

fn care(state: &Shared) -> Care {
    care_on(FILE, wire::connect(state))
}

fn care_on(file: &str, config: SdkConfig) -> Care {
    let hierarchy = Arc::new(Hierarchy::parse("h.yaml", file).unwrap());
    let clients = Clients::of(config);
    let settings = Settings {
        hierarchy: Source::File("h.yaml".into()),
        table: "patchwave".to_owned(),
        mode: Mode::Observe,
        event_bus: None,
        tick: None,
        queue: None,
        sweep: None,
        starters: Vec::new(),
        keep_tags: false,
        own_s3: false,
    };
    let world = AwsWorld::new(&clients, &hierarchy, &settings, (None, None), &Cache::default());
    let registries = Registries::new(&clients, &hierarchy, &Cache::default());
    Care { hierarchy, registries, world }
}

/// An index of two platforms that share a layer, with a signature of one of them and one of the
/// index. The other registry has an empty repository.
fn begin() -> Shared {
    let mut state = State::default();
    let apps = state.repository(HOME, "apps/web");
    let (amd64, arm64) = (apps.push(&[LARGE, "amd64"], None), apps.push(&[LARGE, "arm64"], None));
    let index = apps.index(&[("amd64", &amd64), ("arm64", &arm64)]);
    apps.push(&["the signature of amd64"], Some(&amd64));
    let signature = apps.push(&["the signature of all"], None);
    apps.push(&["not promoted"], None);
    apps.tags.insert("staging-8".to_owned(), index.clone());
    apps.tags.insert(format!("sha256-{}.sig", &index[7..]), signature);
    state.repository(LIVE, "live/web");
    Arc::new(state.into())
}

async fn find(care: &Care) -> Result<(Promote, Stage), Fault> {
    let image = care.hierarchy().resolve("web").unwrap();
    let stage = care.hierarchy().stage(&image.repository, "production");
    let (listing, there) = (care.listing(&image.repository).await?, care.listing_at(&stage).await?);
    let places = Places { from: (&image.repository, &listing), to: (&stage.repository, &there) };
    let target = Target { image, from: "staging", to: "production" };
    Ok((promotion(care.hierarchy(), target, places).unwrap(), stage))
}

async fn promote(registries: &Shared) -> Result<Option<Amount>, Fault> {
    promote_by(care(registries)).await
}

async fn promote_by(care: Care) -> Result<Option<Amount>, Fault> {
    let (planned, stage) = Box::pin(find(&care)).await?;
    if planned.already {
        return Ok(None);
    }
    let keep = keep_tag("production", &planned.digest);
    Box::pin(care.promote(&planned, &stage, keep.as_ref(), "ada")).await.map(Some)
}

/// What must hold at any moment: nothing that is there lacks a part, and the tag names what is
/// whole, with its signatures.
fn check(state: &Shared, at: &dyn std::fmt::Debug) -> bool {
    let state = state.lock().unwrap();
    let of = |account: &str, name: &str| &state.repositories[&(account.to_owned(), name.to_owned())];
    let account = if state.repositories.keys().any(|(account, _)| account == LIVE) { LIVE } else { HOME };
    let (apps, live) = (of(HOME, "apps/web"), of(account, "live/web"));
    for text in live.manifests.values() {
        assert_eq!(live.lacks(text), Default::default(), "{at:?}");
    }
    let Some(promoted) = live.tags.get(TAG) else { return false };
    assert_eq!(*promoted, apps.tags["staging-8"], "{at:?}");
    assert_eq!(live.manifests.len(), 5, "{at:?}: the index, its manifests and their signatures");
    assert!(live.manifests.iter().all(|(digest, text)| apps.manifests[digest] == *text), "{at:?}");
    assert_eq!(live.tags.len(), 3, "{at:?}: with the keep tag and the tag of the signature");
    assert_eq!(apps.tags.len(), 2, "{at:?}: nothing changes at home");
    true
}

#[tokio::test]
async fn a_copy_that_is_killed_between_any_two_calls_goes_on_and_loses_nothing() {
    let whole = begin();
    let amount = promote(&whole).await.unwrap().unwrap();
    assert_eq!((amount.manifests, amount.blobs), (5, 9), "a layer of both is copied once");
    assert!(check(&whole, &"once"));
    let calls = {
        let state = whole.lock().unwrap();
        assert_eq!(state.largest, wire::PART, "no call carries more than a part");
        state.calls
    };
    assert_eq!(promote(&whole).await.unwrap(), None, "it is there already");
    assert!(calls > 60, "{calls}");
    kill_and_go_on(0..calls, begin, promote).await;
}

/// Ends a promotion at each of these calls, and then makes it again.
async fn kill_and_go_on(
    calls: impl Iterator<Item = usize>,
    begin: impl Fn() -> Shared,
    promote: impl AsyncFn(&Shared) -> Result<Option<Amount>, Fault>,
) {
    for kill in calls {
        let state = begin();
        state.lock().unwrap().kill = Some(kill);
        let killed = promote(&state).await;
        assert!(killed.is_err(), "{kill}");
        check(&state, &kill);
        state.lock().unwrap().kill = None;
        promote(&state).await.unwrap();
        assert!(check(&state, &kill), "{kill}");
    }
}

#[tokio::test]
async fn the_audit_trail_says_what_is_copied_before_anything_is() {
    let state = begin();
    promote(&state).await.unwrap();
    let state = state.lock().unwrap();
    let [item] = &state.items[..] else { panic!("{:?}", state.items) };
    let promoted: Value = serde_json::from_str(item["state"]["S"].as_str().unwrap()).unwrap();
    assert_eq!((&promoted["by"], &promoted["copiedFrom"]), (&json!("ada"), &json!("apps/web")));
    let partition = item["pk"]["S"].as_str().unwrap();
    assert_eq!(partition, format!("care#{LIVE}.dkr.ecr.us-east-1.amazonaws.com/live/web"));
    let asked: Vec<&str> = state.transcript.iter().map(|call| call["operation"].as_str().unwrap()).collect();
    let first = asked.iter().position(|call| ["InitiateLayerUpload", "PutImage"].contains(call));
    assert!(first > asked.iter().position(|call| *call == "DescribeImages"));
}

#[tokio::test]
async fn what_is_not_what_its_digest_says_is_not_copied() {
    let state = begin();
    {
        let mut state = state.lock().unwrap();
        let apps = state.repository(HOME, "apps/web");
        let arm64 = wire::digest("arm64");
        *apps.blobs.get_mut(&arm64).unwrap() = "evil!".to_owned();
    }
    let refused = promote(&state).await.unwrap_err();
    assert!(refused.to_string().contains("bytes of another digest"), "{refused}");
    assert!(!check(&state, &"evil"));
    let state = begin();
    state.lock().unwrap().repositories.remove(&(LIVE.to_owned(), "live/web".to_owned()));
    let refused = promote(&state).await.unwrap_err();
    assert!(refused.to_string().contains("RepositoryNotFound"), "{refused}");
}

#[tokio::test]
async fn the_calls_and_answers_of_a_copy_are_those_that_are_compared_with_the_models() {
    let state = begin();
    promote(&state).await.unwrap();
    fake::is_on_file("copy", &state.lock().unwrap().transcript);
}

#[tokio::test]
async fn a_plan_of_many_repositories_asks_each_three_times_and_its_registry_once() {
    let (config, asked) = fake::config(1, |operation, input| match operation {
        "DescribeImages" => {
            let image = |n: usize| {
                let kind = if n == 1 { "index" } else { "manifest" };
                json!({"imageDigest": fake::digest(n), "imagePushedAt": n,
                    "imageManifestMediaType": format!("application/vnd.oci.image.{kind}.v1+json")})
            };
            (200, json!({"imageDetails": (1..20).map(image).collect::<Vec<_>>()}))
        }
        "BatchGetImage" => {
            let index = json!({"manifests": []}).to_string();
            let of = |id: &Value| json!({"imageId": id, "imageManifest": index});
            (200, json!({"images": input["imageIds"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()}))
        }
        "DescribeRegistry" => (200, json!({"replicationConfiguration": {"rules": []}})),
        "GetLifecyclePolicy" => fake::error("LifecyclePolicyNotFoundException"),
        other => panic!("{other}"),
    });
    let care = care_on(FILE, config);
    let many = (0..300).map(|n| format!("apps/{n:04}").parse().unwrap()).collect();
    let known = care.known(&many).await;
    assert!(known.len() == 300 && known.values().all(Result::is_ok));
    for (operation, times) in [
        ("DescribeImages", 300),
        ("BatchGetImage", 300),
        ("GetLifecyclePolicy", 300),
        ("DescribeRegistry", 1),
    ] {
        assert_eq!(fake::count(&asked, operation), times, "{operation}");
    }
}

const KEPT: &str = "{ version: 1, registries: {\
    home: { host: 111122223333.dkr.ecr.us-east-1.amazonaws.com, keepTags: true } },\
    inventory: { regions: [us-east-1], accounts: [{ id: '444455556666', role: r, environment: prod }] },\
    images: [{ id: web, tier: application, repository: apps/web, tagPattern: 'main-*', from: scratch }] }";

/// An inventory of production, read at an hour.
fn inventory(hour: u32, runs: &[&str], unread: bool) -> Answer {
    let at = Span::hours(hour).after("2026-03-20T00:00:00Z".parse().unwrap());
    let place = json!({"account": "444455556666", "region": "us-east-1", "kind": "ecs", "cluster": "shop", "environment": "prod"});
    let row = |digest: &&str| {
        json!({"place": place, "workload": "service/web", "runs": true, "asked": "x", "digest": digest,
            "resolution": {"is": "known", "image": "web", "version": digest}, "containers": ["main"], "units": 1,
            "since": at, "lastSeen": at, "stale": false, "findings": []})
    };
    let mut read = place.clone();
    (read["id"], read["readAt"]) = (json!("444455556666/us-east-1/ecs/shop"), json!(at));
    if unread {
        read["unread"] = json!("access is denied");
    }
    let rows: Vec<Value> = runs.iter().map(row).collect();
    serde_json::from_value(
        json!({"at": at, "running": rows, "referenced": [], "notInspected": [], "places": [read]}),
    )
    .unwrap()
}

/// Sets and removes keep tags as after a sweep at an hour, and returns what was refused.
async fn sweep(state: &Shared, hour: u32, runs: &[&str], unread: bool) -> Vec<Fault> {
    let care = care_on(KEPT, wire::connect(state));
    let inventory = inventory(hour, runs, unread);
    let now = Span::hours(1).after(inventory.at);
    let keeper = care.keeper().at_once();
    Box::pin(keep::after_sweep(keeper, care.hierarchy(), &inventory, (now, None), || now)).await
}

fn keeps(state: &Shared) -> BTreeSet<String> {
    let mut state = state.lock().unwrap();
    let tags = state.repository(HOME, "apps/web").tags.clone();
    tags.into_iter().filter(|(tag, _)| tag.starts_with("patchwave.keep.prod.")).map(|(_, of)| of).collect()
}

#[tokio::test]
async fn a_sweep_keeps_what_runs_and_removes_nothing_that_it_is_not_sure_of() {
    let (state, versions) = {
        let mut state = State::default();
        let apps = state.repository(HOME, "apps/web");
        let versions: Vec<String> = (0..6).map(|n| apps.push(&[&format!("version {n}")], None)).collect();
        for (n, version) in versions.iter().enumerate() {
            apps.tags.insert(format!("main-{n}"), version.clone());
        }
        (Arc::new(Mutex::new(state)), versions)
    };
    for (day, version) in (0..).zip(&versions) {
        assert_eq!(sweep(&state, 24 * day, &[version], false).await, []);
    }
    let sorted = |versions: &[String]| versions.iter().cloned().collect::<BTreeSet<String>>();
    assert_eq!(keeps(&state), sorted(&versions[2..]), "what runs, and the three deployments before it");
    for day in 6..9 {
        sweep(&state, 24 * day, &[], true).await;
    }
    assert_eq!(keeps(&state).len(), 4, "a place that is not read ends nothing");
    for day in 9..12 {
        assert_eq!(sweep(&state, 24 * day, &[], false).await, []);
    }
    assert_eq!(keeps(&state), sorted(&versions[3..]), "nothing runs any more: the last three stay");
    assert_eq!(state.lock().unwrap().repository(HOME, "apps/web").manifests.len(), 6, "no image is deleted");
}

#[tokio::test]
async fn a_sweep_that_is_refused_says_so() {
    let mut state = State::default();
    let apps = state.repository(HOME, "apps/web");
    let version = apps.push(&["version"], None);
    apps.tags.insert("main-1".to_owned(), version.clone());
    let state: Shared = Arc::new(state.into());
    state.lock().unwrap().refused = Some("PutImage");
    let faults = sweep(&state, 0, &[&version], false).await;
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].kind, FaultKind::Denied, "{faults:?}");
    assert!(state.lock().unwrap().items.is_empty(), "what was not set is not remembered");
}
