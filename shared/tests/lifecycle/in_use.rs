//! Whether what a policy deletes is in use.

use std::collections::BTreeSet;

use patchwave::image::Digest;
use patchwave::inventory::Answer;
use patchwave::lifecycle::{How, Listing, Outlook, Safety, outlook};
use patchwave::time::Span;
use serde_json::{Value, json};

use super::fixture::*;

/// A row of an inventory.
fn row(asked: &str, digest: Option<char>, version: Option<char>) -> Value {
    let place = json!({"account": "444455556666", "region": "us-east-1", "kind": "ecs", "cluster": "shop"});
    let resolution = match version.map(self::digest) {
        Some(version) => json!({"is": "known", "image": "apps/checkout", "version": version}),
        None => json!({"is": "notInHierarchy", "repository": "apps/checkout"}),
    };
    let mut row = json!({
        "place": place, "workload": "service/web", "runs": true, "asked": asked, "resolution": resolution,
        "containers": ["main"], "units": 1, "since": days_ago(1), "lastSeen": now(), "stale": false, "findings": [],
    });
    if let Some(name) = digest {
        row["digest"] = json!(self::digest(name));
    }
    row
}

/// An inventory of one place that was read an hour ago.
fn inventory(running: &[Value], referenced: &[Value]) -> Value {
    json!({
        "at": now(), "running": running, "referenced": referenced, "notInspected": [],
        "places": [{
            "id": "444455556666/us-east-1/ecs/shop", "account": "444455556666", "region": "us-east-1", "kind": "ecs",
            "cluster": "shop", "readAt": Span::hours(1).before(now()),
        }],
    })
}

fn foresee(images: &[Value], inventory: &Value) -> Outlook {
    let inventory: Answer = serde_json::from_value(inventory.clone()).unwrap();
    outlook(&policy(&[rule(1, older("any", 5))]), &listing(images), Some(&inventory), 1, now())
}

/// The verdict, and how each image that is deleted is in use.
fn found(outlook: &Outlook) -> (Safety, BTreeSet<(char, How)>) {
    let letter = |digest: &Digest| ('A'..='Z').find(|name| self::digest(*name) == *digest).unwrap();
    let uses =
        outlook.going.iter().flat_map(|goes| goes.in_use.iter().map(|used| (letter(&goes.digest), used.how)));
    (outlook.verdict, uses.collect())
}

fn asked(tag: &str) -> String {
    format!("{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/apps/checkout:{tag}")
}

fn indexed(name: char, tags: &[&str], days: u32) -> Value {
    let mut image = described(name, tags, days);
    image["imageManifestMediaType"] = json!(INDEX);
    image
}

fn outlook_of(listing: &Listing, inventory: &Answer) -> Outlook {
    outlook(&policy(&[rule(1, older("any", 5))]), listing, Some(inventory), 1, now())
}

#[test]
fn what_an_environment_ran_before_is_kept_for_a_roll_back_with_the_manifests_of_its_index() {
    let images = [
        indexed('A', &["1"], 20),
        described('B', &[], 20),
        described('C', &["3"], 9),
        described('D', &["4"], 8),
    ];
    let mut listing = listing(&images);
    listing.note(&digest('A'), &digest('B'));
    let mut seen = inventory(&[row(&asked("4"), Some('D'), Some('D'))], &[]);
    let without: Answer = serde_json::from_value(seen.clone()).unwrap();
    let pushed = [('C', How::RollBack), ('D', How::Runs)];
    assert_eq!(found(&outlook_of(&listing, &without)).1, pushed.into(), "the push before what runs");
    seen["ran"] = json!([{
        "image": "apps/checkout", "environment": "prod", "version": digest('A'), "since": days_ago(12),
        "lastSeen": days_ago(3),
    }]);
    let answer: Answer = serde_json::from_value(seen).unwrap();
    let outlook = outlook_of(&listing, &answer);
    let rolled = [('A', How::RollBack), ('B', How::RollBack)];
    assert_eq!(found(&outlook).1, pushed.into_iter().chain(rolled).collect());
    let by = outlook.going.iter().flat_map(|goes| &goes.in_use).map(|used| used.by.as_str());
    assert!(by.into_iter().any(|by| by == "prod, which ran it until 2026-03-17,"));
}

#[test]
fn running_referenced_and_roll_back_versions_are_in_use() {
    let images = [
        described('A', &["1"], 9),
        described('B', &["2"], 8),
        described('C', &["3"], 7),
        described('D', &["4"], 1),
    ];
    let runs = |rows: &[Value], more: &[Value]| found(&foresee(&images, &inventory(rows, more)));
    assert_eq!(runs(&[], &[]), (Safety::Safe, [].into()));
    let elsewhere = row("nginx:1", Some('Z'), None);
    assert_eq!(runs(&[elsewhere], &[]), (Safety::Safe, [].into()));
    let web = row(&asked("3"), Some('C'), Some('C'));
    assert_eq!(runs(&[web], &[]), (Safety::InUse, [('C', How::Runs), ('B', How::RollBack)].into()));
    let newest = row(&asked("4"), Some('D'), Some('D'));
    assert_eq!(runs(&[newest], &[]), (Safety::InUse, [('C', How::RollBack)].into()));
    let mut nightly = row(&asked("1"), None, None);
    nightly["runs"] = json!(false);
    assert_eq!(
        runs(&[], &[nightly]),
        (Safety::InUse, [('A', How::WouldRun)].into()),
        "the image that its tag names"
    );
}

#[test]
fn a_roll_back_goes_to_an_untagged_version_or_to_one_with_its_own_tag() {
    let images = [
        described('A', &["1"], 9),
        described('B', &["2"], 8),
        described('C', &[], 7),
        described('D', &[], 6),
        described('E', &["3"], 1),
    ];
    let web = row(&asked("3"), Some('E'), Some('E'));
    let outlook = foresee(&images, &inventory(&[web], &[]));
    assert_eq!(found(&outlook), (Safety::InUse, [('B', How::RollBack), ('D', How::RollBack)].into()));
}

#[test]
fn a_reference_matches_by_repository_tag_and_digest() {
    let images = [described('A', &["latest"], 9)];
    let refers = |asked: &str, digest: Option<char>| {
        let mut row = row(asked, digest, None);
        row["runs"] = json!(false);
        let mut listing = listing(&images);
        listing.note(&self::digest('A'), &self::digest('B'));
        let inventory: Answer = serde_json::from_value(inventory(&[], &[row])).unwrap();
        found(&outlook_of(&listing, &inventory)).0
    };
    let repository = asked("latest").replace(":latest", "");
    assert_eq!(refers(&repository, None), Safety::InUse, "without a tag, latest is meant");
    let dual_stack = format!("{ACCOUNT}.dkr-ecr.us-east-1.on.aws/apps/checkout:latest");
    assert_eq!(refers(&dual_stack, None), Safety::InUse, "another host of the same registry");
    assert_eq!(refers(&format!("{repository}@{}", digest('Z')), Some('Z')), Safety::Safe);
    assert_eq!(refers(&format!("{repository}@{}", digest('B')), Some('B')), Safety::InUse, "A lists B");
    assert_eq!(refers(&repository.replace("checkout", "other"), None), Safety::Safe);
    assert_eq!(refers(&repository.replace(ACCOUNT, "999900001111"), None), Safety::Safe);
}

#[test]
fn an_index_is_in_use_with_its_platforms() {
    let platforms = [described('B', &[], 9), described('C', &[], 9)];
    let web = row(&asked("1"), Some('B'), Some('A'));
    let kept = [&[indexed('A', &["1"], 1)][..], &platforms].concat();
    let outlook = foresee(&kept, &inventory(std::slice::from_ref(&web), &[]));
    assert_eq!(found(&outlook), (Safety::Safe, [].into()), "B stays with its index");
    assert_eq!(outlook.going.len(), 1, "C is deleted: no index is known to list it");
    let gone = [&[indexed('A', &["1"], 9)][..], &platforms].concat();
    let outlook = foresee(&gone, &inventory(&[web], &[]));
    assert_eq!(found(&outlook), (Safety::InUse, [('A', How::Runs), ('B', How::Runs)].into()));
    let by_index = row(&asked("1"), Some('A'), Some('A'));
    let mut listing = listing(&gone);
    listing.note(&digest('A'), &digest('C'));
    let inventory: Answer = serde_json::from_value(inventory(&[by_index], &[])).unwrap();
    let all = outlook_of(&listing, &inventory);
    assert_eq!(
        found(&all),
        (Safety::InUse, [('A', How::Runs), ('C', How::Runs)].into()),
        "the index and the manifest that it lists"
    );
}

#[test]
fn an_unknown_use_is_never_safe() {
    let images = [indexed('A', &["1"], 9), described('B', &[], 1)];
    let unknown = |inventory: &Value| {
        let outlook = foresee(&images, inventory);
        assert_eq!((outlook.verdict, outlook.unknown.len()), (Safety::Unknown, 1), "{:?}", outlook.unknown);
        outlook.unknown[0].clone()
    };
    let whole = inventory(&[], &[]);
    let with = |path: &str, value: Value| {
        let mut changed = whole.clone();
        changed["places"][0][path] = value;
        changed
    };
    assert_eq!(foresee(&images, &with("readAt", json!(Span::hours(26).before(now())))).verdict, Safety::Safe);
    assert!(
        unknown(&with("readAt", json!(Span::seconds(26 * 3_600 + 1).before(now()))))
            .ends_with("was last read 26 hours ago")
    );
    assert!(unknown(&with("readAt", Value::Null)).ends_with("was never read"));
    assert!(unknown(&with("unread", json!("nobody answers"))).ends_with("was not read: nobody answers"));
    let mut changed = whole.clone();
    changed["places"] = json!([]);
    assert_eq!(unknown(&changed), "the inventory has no places");
    let mut changed = whole.clone();
    changed["question"] = json!({"environment": "prod"});
    assert!(unknown(&changed).starts_with("the inventory has only a part"));

    let because_of = |row: Value| unknown(&inventory(&[row], &[]));
    let because = "444455556666/us-east-1/ecs/shop service/web uses";
    assert!(
        because_of(row(&asked("9"), None, None)).starts_with(because),
        "it is unknown which version the tag named then"
    );
    assert!(because_of(row("sha256:odd", None, None)).starts_with(because), "it may be any image");
    assert!(
        because_of(row(&asked("9"), Some('B'), None)).starts_with(because),
        "it is unknown which index B belongs to"
    );
    for known in [row(&asked("9"), Some('Z'), None), row("public.ecr.aws/apps/checkout:1", None, None)] {
        assert_eq!(foresee(&images, &inventory(&[known], &[])).verdict, Safety::Safe);
    }
    let nothing = outlook(&policy(&[rule(1, older("any", 5))]), &listing(&images), None, 1, now());
    assert_eq!(nothing.verdict, Safety::Unknown, "it is unknown what runs");
    let nothing = outlook(&policy(&[rule(1, older("any", 50))]), &listing(&images), None, 1, now());
    assert_eq!(nothing.verdict, Safety::Safe, "nothing is deleted");
}

#[test]
fn a_tag_that_is_asked_for_through_a_replica_or_a_copy_is_in_use() {
    let images = [described('A', &["1"], 9), described('B', &["2"], 8)];
    let through = |asked: &str, repository: &str| {
        let mut row = row(asked, None, None);
        row["runs"] = json!(false);
        row["resolution"] = json!({"is": "unresolvable", "repository": repository, "because": "onlyTag"});
        found(&foresee(&images, &inventory(&[], &[row])))
    };
    let replica = "222233334444.dkr.ecr.eu-west-1.amazonaws.com/apps/checkout:1";
    let copy = format!("{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/prod/checkout:1");
    for asked in [replica, &copy] {
        assert_eq!(
            through(asked, "apps/checkout"),
            (Safety::InUse, [('A', How::WouldRun)].into()),
            "{asked}"
        );
    }
    let theirs = "222233334444.dkr.ecr.eu-west-1.amazonaws.com/apps/checkout";
    assert_eq!(through(replica, theirs), (Safety::Safe, [].into()), "another registry's repository");
    assert_eq!(through(replica, "apps/other"), (Safety::Safe, [].into()));
}

#[test]
fn signatures_and_caches_hide_no_roll_back() {
    let with = |mut image: Value, key: &str, value: &str| {
        image[key] = json!(value);
        image
    };
    let signature = format!("{}.sig", digest('A').to_string().replace(':', "-"));
    let cache = "application/vnd.buildkit.cacheconfig.v0";
    let images = [
        described('A', &["1"], 9),
        described('B', &[&signature], 8),
        with(described('C', &["cache"], 7), "artifactMediaType", cache),
        with(described('D', &["odd"], 7), "subjectManifestDigest", digest('A').as_str()),
        described('E', &["2"], 1),
    ];
    let web = row(&asked("2"), Some('E'), Some('E'));
    let (verdict, uses) = found(&foresee(&images, &inventory(&[web], &[])));
    assert_eq!(verdict, Safety::InUse);
    assert!(uses.contains(&('A', How::RollBack)), "{uses:?}");
    assert!(!uses.contains(&('C', How::RollBack)), "nothing can run a cache: {uses:?}");
}

#[test]
fn what_a_pusher_calls_a_signature_may_still_be_the_roll_back() {
    let disguised = format!("{}.sig", digest('Z').to_string().replace(':', "-"));
    let images = [described('A', &["1"], 9), described('B', &[&disguised], 8), described('C', &["2"], 1)];
    let web = row(&asked("2"), Some('C'), Some('C'));
    let (_, uses) = found(&foresee(&images, &inventory(&[web], &[])));
    assert_eq!(uses, [('A', How::RollBack), ('B', How::RollBack)].into());
}

#[test]
fn roll_backs_are_as_deep_as_asked_and_the_answer_says_how_deep() {
    let images: Vec<Value> = ('A'..='E')
        .zip(["1", "2", "3", "4", "5"])
        .zip([9, 8, 7, 6, 1])
        .map(|((name, tag), days)| described(name, &[tag], days))
        .collect();
    let inventory: Answer =
        serde_json::from_value(inventory(&[row(&asked("5"), Some('E'), Some('E'))], &[])).unwrap();
    let policy = policy(&[rule(1, older("any", 5))]);
    let deep = |depth| outlook(&policy, &listing(&images), Some(&inventory), depth, now());
    assert_eq!(found(&deep(1)).1, [('D', How::RollBack)].into());
    assert_eq!(found(&deep(3)).1, [('B', How::RollBack), ('C', How::RollBack), ('D', How::RollBack)].into());
    assert!(deep(1).notes[0].contains("the last push before what runs"), "{:?}", deep(1).notes);
    assert!(deep(3).notes[0].contains("the last 3 pushes"), "{:?}", deep(3).notes);
}

#[test]
fn kinds_that_nobody_surveyed_are_unknown() {
    let images = [described('A', &["1"], 9)];
    let mut whole = inventory(&[], &[]);
    whole["notInspected"] = json!([{"account": "444455556666", "region": "us-east-1", "kind": "sageMaker"}]);
    let outlook = foresee(&images, &whole);
    assert_eq!(outlook.verdict, Safety::Unknown);
    assert_eq!(outlook.unknown, ["444455556666/us-east-1/sageMaker was not surveyed"]);
}

#[test]
fn where_aws_is_silent_the_other_reading_is_said() {
    let mut index = indexed('A', &["1"], 9);
    index["imagePushedAt"] = json!(days_ago(9));
    let images = [index, described('B', &[], 9), indexed('C', &["2"], 1), described('D', &[], 1)];
    let inventory: Answer =
        serde_json::from_value(inventory(&[row(&asked("1"), Some('A'), Some('A'))], &[])).unwrap();
    let keep = json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 2});
    let outlook = outlook(&policy(&[rule(1, keep)]), &listing(&images), Some(&inventory), 1, now());
    assert_eq!((outlook.verdict, outlook.going.len()), (Safety::Safe, 0), "no false alarm");
    assert_eq!(outlook.in_use_if_counted, 1);
    let note = &outlook.notes[0];
    assert!(note.contains("If yours does, 2 more would be deleted, 1 of them in use"), "{note}");
}
