//! Keep tags, what is wrong with tags, and promotion.

use std::collections::BTreeMap;

use patchwave::hierarchy::Hierarchy;
use patchwave::image::{Digest, Repository, Tag, TagFamily, gone_tag, keep_tag};
use patchwave::inventory::Answer;
use patchwave::lifecycle::Listing;
use patchwave::tags::{
    Evidence, KeepInput, KeepMemory, KeepPlan, KnownTags, Mutability, Places, Target, check_tags, fitness,
    keep_plan, promotion,
};
use patchwave::time::{Span, Timestamp};
use serde_json::{Value, json};

const ACCOUNT: &str = "111122223333";

fn at(hours: u32) -> Timestamp {
    Span::hours(hours).after("2026-03-20T00:00:00Z".parse().unwrap())
}

fn digest(name: char) -> Digest {
    format!("sha256:{}", format!("{:02x}", u32::from(name)).repeat(32)).parse().unwrap()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn keep(environment: &str, name: char) -> Tag {
    keep_tag(environment, &digest(name)).unwrap()
}

fn listing(images: &[(char, &[&str])]) -> Listing {
    let detail = |(n, (name, tags)): (u32, &(char, &[&str]))| {
        json!({"registryId": ACCOUNT, "repositoryName": "apps/web", "imageDigest": digest(*name), "imageTags": tags,
            "imagePushedAt": Span::days(100 - n).before(at(0))})
    };
    let details: Vec<Value> = (0..).zip(images).map(detail).collect();
    Listing::parse(&json!({ "imageDetails": details }).to_string()).unwrap()
}

/// An inventory of production, read at an hour.
fn inventory(hour: u32, runs: &[char], unread: bool) -> Answer {
    let place = json!({"account": "444455556666", "region": "us-east-1", "kind": "ecs", "cluster": "shop", "environment": "prod"});
    let row = |name: &char| {
        json!({"place": place, "workload": "service/web", "runs": true, "asked": "x", "digest": digest(*name),
            "resolution": {"is": "known", "image": "apps/web", "version": digest(*name)}, "containers": ["main"], "units": 1,
            "since": at(hour), "lastSeen": at(hour), "stale": false, "findings": []})
    };
    let mut read = place.clone();
    read["id"] = json!("444455556666/us-east-1/ecs/shop");
    read["readAt"] = json!(at(hour));
    if unread {
        read["unread"] = json!("access is denied");
    }
    let rows: Vec<Value> = runs.iter().map(row).collect();
    serde_json::from_value(
        json!({"at": at(hour), "running": rows, "referenced": [], "notInspected": [], "places": [read]}),
    )
    .unwrap()
}

fn plan(
    listing: &Listing,
    inventory: &Answer,
    memory: &KeepMemory,
    hour: u32,
    deployments: usize,
) -> KeepPlan {
    keep_plan(KeepInput { listing, inventory, memory, deployments, now: at(hour) })
}

#[test]
fn what_runs_gets_a_keep_tag_and_no_line_has_it() {
    let images = listing(&[('A', &["main-1"]), ('B', &[])]);
    let planned = plan(&images, &inventory(1, &['B'], false), &KeepMemory::new(), 2, 0);
    assert_eq!(planned.set, [(keep("prod", 'B'), digest('B'))].into(), "its own tag was overwritten");
    let family: TagFamily = "*".parse().unwrap();
    assert!(family.matches(&tag("main-1")) && !family.matches(&keep("prod", 'B')));
    assert!(!family.matches(&gone_tag(&digest('B')).unwrap()));
    let taken = keep("prod", 'B').to_string();
    let images = listing(&[('A', &[&taken]), ('B', &["x"])]);
    let planned = plan(&images, &inventory(1, &['B'], false), &KeepMemory::new(), 2, 0);
    assert!(planned.set.is_empty() && planned.stays.len() == 1, "nobody's tag is moved: {planned:?}");
}

#[test]
fn an_index_is_kept_with_the_manifest_that_runs() {
    let mut images = listing(&[('A', &["main-1"]), ('B', &[])]);
    images.note_all(&BTreeMap::from([(digest('A'), [digest('B')].into())]));
    let mut seen = inventory(1, &['B'], false);
    seen.running[0].entry.resolution =
        serde_json::from_value(json!({"is": "notInHierarchy", "repository": "x"})).unwrap();
    let planned = plan(&images, &seen, &KeepMemory::new(), 2, 0);
    assert_eq!(planned.set.into_values().collect::<Vec<_>>(), [digest('A'), digest('B')]);
}

#[test]
fn a_keep_tag_goes_after_two_complete_inventories_without_a_use() {
    let kept = keep("prod", 'A').to_string();
    let images = listing(&[('A', &["main-1", &kept]), ('B', &["main-2"])]);
    let day = |memory: &KeepMemory, hour: u32, runs: &[char], unread: bool| {
        plan(&images, &inventory(hour, runs, unread), memory, hour + 1, 0)
    };
    let used = day(&KeepMemory::new(), 0, &['A'], false);
    let once = day(&used.memory, 24, &['B'], false);
    assert!(once.remove.is_empty(), "one inventory may miss a container that is being replaced");
    let same = plan(&images, &inventory(24, &['B'], false), &once.memory, 26, 0);
    assert!(same.remove.is_empty(), "the same inventory counts once");
    let unread = day(&once.memory, 48, &[], true);
    assert!(unread.remove.is_empty(), "a place that was not read ends nothing");
    let again = day(&unread.memory, 72, &['A'], false);
    assert_eq!(again.memory[&keep("prod", 'A')].unseen, 0, "it runs again");
    let twice = day(&once.memory, 48, &['B'], false);
    assert_eq!(twice.remove.len(), 1);
    assert_eq!((&twice.remove[0].tag, &twice.remove[0].instead), (&keep("prod", 'A'), &None));
    let unread = day(&twice.memory, 72, &['B'], true);
    assert!(unread.remove.is_empty(), "what is not read now may run it again");
}

#[test]
fn the_last_tag_is_replaced_before_it_is_removed() {
    let kept = keep("prod", 'A').to_string();
    let images = listing(&[('A', &[&kept])]);
    let before = plan(&images, &inventory(24, &[], false), &KeepMemory::new(), 25, 0).memory;
    let mut last = KeepPlan { memory: before, ..KeepPlan::default() };
    for hour in [48, 72] {
        last = plan(&images, &inventory(hour, &[], false), &last.memory, hour + 1, 0);
    }
    assert_eq!(last.remove[0].instead, gone_tag(&digest('A')), "ECR deletes an image with its last tag");
}

#[test]
fn the_last_deployments_of_an_environment_stay() {
    let names = ['A', 'B', 'C', 'D'];
    let tags: Vec<String> = names.iter().map(|name| keep("prod", *name).to_string()).collect();
    let images = [('A', "1"), ('B', "2"), ('C', "3"), ('D', "4")];
    let all: Vec<Vec<&str>> =
        images.iter().zip(&tags).map(|((_, own), kept)| vec![*own, kept.as_str()]).collect();
    let described: Vec<(char, &[&str])> = names.iter().copied().zip(all.iter().map(Vec::as_slice)).collect();
    let images = listing(&described);
    let mut last = KeepPlan::default();
    for (day, name) in (0..).zip(names) {
        assert!(last.remove.is_empty(), "day {day}: {:?}", last.remove);
        last = plan(&images, &inventory(24 * day, &[name], false), &last.memory, 24 * day + 1, 2);
    }
    let removed: Vec<Digest> = last.remove.into_iter().map(|removal| removal.digest).collect();
    assert_eq!(removed, [digest('A')], "the two deployments before D stay for a roll-back");
}

#[test]
fn what_a_schedule_names_takes_no_deployments_place() {
    let tags: Vec<String> = ['A', 'B', 'C'].iter().map(|name| keep("prod", *name).to_string()).collect();
    let images = listing(&[('A', &["1", &tags[0]]), ('B', &["2", &tags[1]]), ('C', &["3", &tags[2]])]);
    let day = |memory: &KeepMemory, day: u32, runs: &[char], would: &[char]| {
        let mut seen = inventory(24 * day, runs, false);
        let named = inventory(24 * day, would, false).running;
        seen.referenced = named
            .into_iter()
            .map(|mut row| {
                row.entry.runs = false;
                row
            })
            .collect();
        plan(&images, &seen, memory, 24 * day + 1, 1)
    };
    let mut last = day(&KeepMemory::new(), 0, &['A'], &['C']);
    for number in 1..5 {
        last = day(&last.memory, number, &['B'], if number == 1 { &['C'] } else { &[] });
        assert!(
            !last.remove.iter().any(|removal| removal.digest == digest('A')),
            "it ran before B: {last:?}"
        );
    }
}

fn hierarchy(lines: &Value) -> Hierarchy {
    let mut image = json!({"id": "web", "tier": "application", "repository": "apps/web", "from": "scratch",
        "pipeline": {"name": "web", "sources": [{"action": "Source", "type": "COMMIT_ID"}]}});
    image.as_object_mut().unwrap().extend(lines.as_object().unwrap().clone());
    let file = json!({
        "version": 1, "registry": format!("{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"), "images": [image],
        "inventory": {"regions": ["us-east-1"], "accounts": [{"id": "444455556666", "role": "r", "environment": "prod"}]},
    });
    Hierarchy::parse("h", &file.to_string()).unwrap()
}

fn violations(
    lines: &Value,
    images: &[(char, &[&str])],
    mutability: &Mutability,
) -> Vec<(&'static str, String)> {
    let known = KnownTags { listing: listing(images), mutability: mutability.clone() };
    let repository: Repository = "apps/web".parse().unwrap();
    let found = check_tags(&hierarchy(lines), &BTreeMap::from([(repository, Ok(known))]));
    found.into_iter().map(|v| (v.kind, format!("{} {}", v.message, v.command.unwrap_or_default()))).collect()
}

#[test]
fn stable_tags_move_together_and_may_move() {
    let (moves, fixed) =
        (Mutability { moves: true, except: vec![] }, Mutability { moves: false, except: vec![] });
    let lines = json!({"tags": ["14", "14.9"]});
    assert_eq!(violations(&lines, &[('A', &["14", "14.9"])], &moves), []);
    let behind = violations(&lines, &[('A', &["14.9"]), ('B', &["14"])], &moves);
    assert_eq!(behind[0].0, "stableTagBehind");
    assert!(behind[0].1.contains(&format!("--image-ids imageDigest={}", digest('B'))), "{}", behind[0].1);
    assert!(behind[0].1.contains(
        "put-image --registry-id 111122223333 --region us-east-1 --repository-name apps/web --image-tag 14.9"
    ));
    assert_eq!(violations(&lines, &[('A', &["x"])], &moves)[0].0, "stableTagMissing");
    let stuck = violations(&lines, &[('A', &["14", "14.9"])], &fixed);
    assert_eq!(stuck[0].0, "stableTagCannotMove");
    assert!(
        stuck[0].1.contains("IMMUTABLE_WITH_EXCLUSION") && stuck[0].1.contains("filter='patchwave.keep.*'")
    );
    let filtered = Mutability { moves: false, except: vec!["14*".to_owned()] };
    assert_eq!(violations(&lines, &[('A', &["14", "14.9"])], &filtered), []);
}

#[test]
fn unique_tags_may_not_move_and_strange_tags_are_named() {
    let lines = json!({"tagPattern": "main-*"});
    let fixed = Mutability { moves: false, except: vec!["prod".to_owned()] };
    assert_eq!(violations(&lines, &[('A', &["main-1", "prod", "prod-3"])], &fixed), []);
    let loose = Mutability { moves: true, except: vec![] };
    assert_eq!(violations(&lines, &[('A', &["main-1"])], &loose)[0].0, "uniqueTagMayMove");
    let excluded = Mutability { moves: true, except: vec!["main-*".to_owned()] };
    assert_eq!(violations(&lines, &[('A', &["main-1"])], &excluded), [], "those tags are the exception");
    let strange = violations(&lines, &[('A', &["main-1", "test"])], &fixed);
    assert_eq!((strange[0].0, strange[0].1.trim()), ("onNoLine", "on no line and of no environment: test"));
}

#[test]
fn a_promotion_gives_the_same_digest_the_tag_of_the_other_environment() {
    let images: &[(char, &[&str])] =
        &[('A', &["main-1", "staging-7"]), ('B', &["main-2", "staging-8"]), ('C', &["prod-7"])];
    let promoted = |lines: &Value, images: &[(char, &[&str])], from: &str, to: &str| {
        let hierarchy = hierarchy(lines);
        let image = hierarchy.images().next().unwrap();
        let (repository, listing) = (&image.repository, listing(images));
        let places = Places { from: (repository, &listing), to: (repository, &listing) };
        promotion(&hierarchy, Target { image, from, to }, places)
            .map(|promote| (promote.digest, promote.tag.to_string(), promote.replaces, promote.already))
    };
    let pattern = json!({"tagPattern": "main-*"});
    assert_eq!(
        promoted(&pattern, images, "staging", "prod"),
        Ok((digest('B'), "prod-8".to_owned(), None, false))
    );
    let done: &[(char, &[&str])] = &[('B', &["staging-8", "prod-8"])];
    assert_eq!(
        promoted(&pattern, done, "staging", "prod"),
        Ok((digest('B'), "prod-8".to_owned(), None, true))
    );
    let pointer: &[(char, &[&str])] = &[('A', &["production"]), ('B', &["staging-8"])];
    let lines = json!({"lines": [{"environment": "production", "tag": "production"}]});
    assert_eq!(
        promoted(&lines, pointer, "staging", "production"),
        Ok((digest('B'), "production".to_owned(), Some(digest('A')), false))
    );
    assert!(promoted(&pattern, images, "uat", "prod").unwrap_err().contains("no image has a tag of uat"));
    assert!(promoted(&pattern, images, "prod", "prod").is_err());
}

#[test]
fn only_a_version_that_nothing_speaks_against_is_promoted() {
    assert_eq!(fitness(&Evidence::default()), []);
    assert_eq!(fitness(&Evidence { signed: Some(true), approved: Some(true), ..Evidence::default() }), []);
    for unfit in [
        Evidence { unscanned: vec!["linux/amd64: never".to_owned()], ..Evidence::default() },
        Evidence { signed: Some(false), ..Evidence::default() },
        Evidence { approved: Some(false), ..Evidence::default() },
    ] {
        assert_eq!(fitness(&unfit).len(), 1, "{unfit:?}");
    }
}

/// A repository with an index of A and B, a signature of A by its subject, one of the index by its
/// tag, and an image beside them.
fn signed() -> Listing {
    let by_tag = format!("sha256-{}.sig", digest('I').hex());
    let mut images = listing(&[
        ('X', &["staging-7"]),
        ('A', &[]),
        ('B', &[]),
        ('I', &["staging-8"]),
        ('S', &[]),
        ('T', &[&by_tag]),
    ]);
    images.note_all(&BTreeMap::from([(digest('I'), [digest('A'), digest('B')].into())]));
    images.images.get_mut(&digest('S')).unwrap().subject = Some(digest('A'));
    images
}

const TWO: &str = "{ version: 1, registries: {\
    home: { host: 111122223333.dkr.ecr.us-east-1.amazonaws.com },\
    live: { host: 222233334444.dkr.ecr.us-east-1.amazonaws.com, role: reader, copies: [\
        { of: home, from: 'apps/*', to: 'live/*', environment: production, role: copier, externalId: ours }] },\
    far: { host: 333344445555.dkr.ecr.us-east-1.amazonaws.com, role: reader, copies: [\
        { of: live, from: 'live/*', to: 'far/*', environment: edge }] } },\
    images: [{ id: web, tier: application, repository: apps/web, tagPattern: 'main-*', from: scratch }] }";

#[test]
fn an_environment_lies_where_the_file_says_that_its_copies_do() {
    let hierarchy = Hierarchy::parse("h.yaml", TWO).unwrap();
    let own = &hierarchy.images().next().unwrap().repository;
    let stage = |environment: &str| hierarchy.stage(own, environment);
    assert_eq!(&stage("staging").repository, own);
    let production = stage("production");
    assert_eq!(production.repository.to_string(), "222233334444.dkr.ecr.us-east-1.amazonaws.com/live/web");
    assert_eq!(production.role.unwrap().name, "copier");
    let edge = stage("edge");
    assert_eq!(edge.repository.to_string(), "333344445555.dkr.ecr.us-east-1.amazonaws.com/far/web");
    assert_eq!(edge.role, None, "a copy of a copy, with the role of its registry");
}

#[test]
fn what_is_listed_and_what_is_about_it_is_copied_and_nothing_comes_before_what_it_needs() {
    let hierarchy = Hierarchy::parse("h.yaml", TWO).unwrap();
    let image = hierarchy.images().next().unwrap();
    let (source, there) = (&image.repository, hierarchy.stage(&image.repository, "production").repository);
    let target = Target { image, from: "staging", to: "production" };
    let promote = |listing: &Listing, held: &Listing| {
        promotion(&hierarchy, target, Places { from: (source, listing), to: (&there, held) })
    };
    let promoted = promote(&signed(), &listing(&[])).unwrap();
    assert_eq!((&promoted.repository, promoted.tag.as_str()), (&there, "production-8"));
    let copy = promoted.copy.unwrap();
    assert_eq!(copy.from, *source);
    assert_eq!(copy.manifests, ['A', 'B', 'I', 'T', 'S'].map(digest), "not X");
    assert_eq!(copy.tags.into_values().collect::<Vec<_>>(), [digest('T')]);
    let held = promote(&signed(), &listing(&[('I', &["production-8"])])).unwrap();
    assert!(held.already && held.copy.is_none());
    let moved = promote(&signed(), &listing(&[('Z', &["production-8"])])).unwrap();
    assert_eq!(moved.replaces, Some(digest('Z')), "what the other repository says counts");
    let mut partial = signed();
    partial.images.remove(&digest('B'));
    assert!(promote(&partial, &listing(&[])).unwrap_err().contains("is listed and is not there"));
}
