//! Lifecycle policies: what is wrong with one, what one does in the cases that AWS's pages describe, and what is in use.

#![expect(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "tests may fail loudly, and values read better"
)]

use std::collections::BTreeSet;

use patchwave::image::Digest;
use patchwave::inventory::Answer;
use patchwave::lifecycle::{How, LifecyclePolicy, Listing, Outlook, Safety, judge, outlook};
use patchwave::time::{Span, Timestamp};
use serde_json::{Value, json};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const ACCOUNT: &str = "111122223333";

fn now() -> Timestamp {
    "2026-03-20T04:00:00Z".parse().unwrap()
}

/// The digest of the image that a test calls by a letter.
fn digest(name: char) -> Digest {
    format!("sha256:{}", format!("{:02x}", u32::from(name)).repeat(32)).parse().unwrap()
}

fn days_ago(days: u32) -> Timestamp {
    Span::days(days).before(now())
}

fn rule(priority: u32, selection: Value) -> Value {
    json!({"rulePriority": priority, "description": "the rule of a test", "selection": selection, "action": {"type": "expire"}})
}

fn tagged(prefixes: &[&str], more: u32) -> Value {
    json!({"tagStatus": "tagged", "tagPrefixList": prefixes, "countType": "imageCountMoreThan", "countNumber": more})
}

fn older(status: &str, days: u32) -> Value {
    json!({"tagStatus": status, "countType": "sinceImagePushed", "countUnit": "days", "countNumber": days})
}

fn policy(rules: &[Value]) -> LifecyclePolicy {
    LifecyclePolicy::parse(&json!({ "rules": rules }).to_string()).unwrap()
}

fn described(name: char, tags: &[&str], days: u32) -> Value {
    json!({
        "registryId": ACCOUNT, "repositoryName": "apps/checkout", "imageDigest": digest(name), "imageTags": tags,
        "imagePushedAt": days_ago(days), "imageStatus": "ACTIVE",
    })
}

fn listing(images: &[Value]) -> Listing {
    Listing::parse(&json!({ "imageDetails": images }).to_string()).unwrap()
}

/// Which images go, by their letters.
fn going(rules: &[Value], images: &[Value]) -> String {
    let gone = judge(&policy(rules), &listing(images).images, now());
    ('A'..='Z').filter(|name| gone.contains_key(&digest(*name))).collect()
}

#[test]
fn many_rules_about_the_same_images_act_as_aws_describes() {
    let images = [
        described('A', &["beta-1", "prod-1"], 10),
        described('B', &["beta-2", "prod-2"], 9),
        described('C', &["beta-3"], 8),
    ];
    let (prod, beta) = (tagged(&["prod"], 1), tagged(&["beta"], 1));
    assert_eq!(
        going(&[rule(1, prod.clone()), rule(2, beta.clone())], &images),
        "A",
        "B is the first rule's, which keeps it"
    );
    assert_eq!(going(&[rule(2, prod), rule(1, beta)], &images), "AB", "whatever the order of the text");
}

#[test]
fn a_list_of_tags_takes_images_with_all_of_them() {
    let images = [
        described('A', &["alpha-1"], 12),
        described('B', &["beta-1"], 11),
        described('C', &["alpha-2", "beta-2"], 10),
        described('D', &["alpha-3"], 4),
        described('E', &["beta-3"], 3),
        described('F', &["alpha-4", "beta-4"], 2),
    ];
    let mut both = older("tagged", 5);
    both["tagPrefixList"] = json!(["alpha", "beta"]);
    assert_eq!(going(&[rule(1, both)], &images), "C");
    let mut patterns = older("tagged", 1);
    patterns["tagPatternList"] = json!(["*-2", "al*a*"]);
    assert_eq!(going(&[rule(1, patterns)], &images), "C");
}

#[test]
fn the_last_rule_takes_what_no_other_sees() {
    let images = [
        described('A', &["alpha-1"], 12),
        described('B', &["beta-1"], 11),
        described('C', &[], 10),
        described('D', &["alpha-2"], 9),
        described('E', &[], 2),
        described('F', &["beta-2"], 1),
    ];
    let any = json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1});
    let rules = [rule(1, tagged(&["alpha"], 1)), rule(2, older("untagged", 5)), rule(3, any)];
    assert_eq!(going(&rules, &images), "ABC", "D and E are the first rules'");
}

#[test]
fn days_are_days_and_equals_are_not_told_apart() {
    let images = [described('A', &["a"], 5), described('B', &["b"], 4), described('C', &["c"], 4)];
    assert_eq!(going(&[rule(1, older("any", 5))], &images), "A");
    let any = json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1});
    assert_eq!(going(&[rule(1, any)], &images), "ABC", "one of B and C stays, and nobody knows which one");
}

#[test]
fn the_archive_has_clocks_of_its_own() {
    let with = |mut image: Value, more: Value| {
        image.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        image
    };
    let images = [
        with(described('A', &["a"], 300), json!({"lastRecordedPullTime": days_ago(10)})),
        described('B', &["b"], 40),
        with(
            described('C', &["c"], 300),
            json!({"lastRecordedPullTime": days_ago(200), "lastActivatedAt": days_ago(9)}),
        ),
        with(described('D', &[], 300), json!({"imageStatus": "ARCHIVED", "lastArchivedAt": days_ago(91)})),
        with(described('E', &[], 300), json!({"imageStatus": "ARCHIVED", "lastArchivedAt": days_ago(89)})),
    ];
    let mut unused = rule(
        2,
        json!({"tagStatus": "any", "countType": "sinceImagePulled", "countUnit": "days", "countNumber": 30}),
    );
    unused["action"] = json!({"type": "transition", "targetStorageClass": "archive"});
    let mut forgotten = older("any", 90);
    forgotten["storageClass"] = json!("archive");
    forgotten["countType"] = json!("sinceImageTransitioned");
    let rules = [rule(1, forgotten), unused];
    assert_eq!(going(&rules, &images), "BD", "never pulled counts from the push, restored from then");
}

#[test]
fn what_an_index_lists_stays_as_long_as_the_index() {
    let mut index = described('A', &["main-1"], 20);
    index["imageManifestMediaType"] = json!(INDEX);
    let images = [index, described('B', &[], 20), described('C', &[], 20)];
    let mut listing = listing(&images);
    listing.note(&digest('A'), &digest('B'));
    let untagged = policy(&[rule(1, older("untagged", 5))]);
    assert_eq!(judge(&untagged, &listing.images, now()).into_keys().collect::<Vec<_>>(), [digest('C')]);
    let all = policy(&[rule(1, older("any", 5))]);
    assert_eq!(judge(&all, &listing.images, now()).len(), 3, "the index goes, and its children with it");
}

/// Each line of a wrong policy's errors.
fn errors(text: &str) -> Vec<String> {
    LifecyclePolicy::read(text).unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn every_violation_of_every_rule_is_told_at_once() {
    let days = |more: Value| {
        let mut selection = json!({"tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1});
        selection.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        selection
    };
    let archive = json!({"type": "transition", "targetStorageClass": "archive"});
    let one = |selection: Value| rule(7, selection);
    let acting = |selection: Value, action: Value| json!({"rulePriority": 7, "selection": selection, "action": action});
    let cases = [
        (
            vec![json!({})],
            "1 needs a `rulePriority`|1 needs a `tagStatus`|1 needs a `countType`|1 needs a `countNumber`|1 needs an `action`",
        ),
        (vec![rule(0, days(json!({})))], "1 needs a `rulePriority`"),
        (vec![one(days(json!({}))), one(tagged(&["a"], 1))], "2 has the `rulePriority` of an earlier"),
        (vec![rule(1, days(json!({}))), rule(2, tagged(&["a"], 1))], "1 sees every image"),
        (vec![rule(1, older("untagged", 1)), rule(2, older("untagged", 2))], "2 is for untagged images"),
        (
            vec![rule(1, tagged(&["b", "a"], 1)), rule(2, tagged(&["a", "b"], 2))],
            "2 has the `tagPrefixList` of an earlier",
        ),
        (vec![one(days(json!({"tagStatus": "tagged"})))], "1 needs a `tagPatternList` or `tagPrefixList`"),
        (
            vec![one(days(json!({"tagStatus": "tagged", "tagPrefixList": ["a"], "tagPatternList": ["a"]})))],
            "1 has `tagPatternList` and",
        ),
        (vec![one(days(json!({"tagPrefixList": ["a"]})))], "1 lists tags"),
        (vec![one(days(json!({"tagStatus": "untagged", "tagPatternList": ["a"]})))], "1 lists tags"),
        (vec![one(tagged(&[], 1))], "1 has an empty list"),
        (vec![one(tagged(&["a", ""], 1))], "1 has an empty list"),
        (
            vec![one(days(json!({"tagStatus": "tagged", "tagPatternList": ["*a*b*c*", "*a*b*c*d*"]})))],
            "1 has a pattern with more than four",
        ),
        (vec![one(days(json!({"countNumber": 0})))], "1 needs a `countNumber`"),
        (vec![one(days(json!({"countUnit": null})))], "1 needs `\"countUnit\""),
        (vec![one(days(json!({"countType": "imageCountMoreThan"})))], "1 counts images, which"),
        (
            vec![one(days(json!({"countType": "sinceImageTransitioned", "countNumber": 90})))],
            "1 counts days in the archive",
        ),
        (vec![one(days(json!({"storageClass": "archive"})))], "1 is for the archive, where"),
        (
            vec![one(days(
                json!({"countType": "sinceImageTransitioned", "countNumber": 89, "storageClass": "archive"}),
            ))],
            "1 expires what must stay",
        ),
        (vec![acting(days(json!({})), json!({"type": "transition"}))], "1 needs `\"targetStorageClass\""),
        (
            vec![acting(days(json!({})), json!({"type": "expire", "targetStorageClass": "archive"}))],
            "1 expires, which has no",
        ),
        (vec![one(days(json!({"countType": "sinceImagePulled"})))], "1 expires what was not pulled"),
        (
            vec![acting(
                days(
                    json!({"countType": "sinceImageTransitioned", "countNumber": 90, "storageClass": "archive"}),
                ),
                archive,
            )],
            "1 moves to the archive what",
        ),
        (
            vec![one(days(json!({"countNumber": 0}))), rule(3, json!({"tagStatus": "any"}))],
            "1 needs a `countNumber`|2 sees every image|2 needs a `countType`|2 needs a `countNumber`",
        ),
    ];
    for (rules, expected) in cases {
        let text = json!({ "rules": rules, }).to_string() + &" ".repeat(100);
        let errors = LifecyclePolicy::parse(&text).expect_err(expected).0;
        let expected: Vec<&str> = expected.split('|').collect();
        assert_eq!(errors.len(), expected.len(), "{errors:?}");
        for (error, expected) in errors.iter().zip(expected) {
            let said = format!("{} {}", error.rule.unwrap(), error.message);
            assert!(said.starts_with(expected), "{said} is not {expected}");
        }
    }
}

#[test]
fn rules_of_the_two_storage_classes_do_not_meet() {
    let mut forgotten = older("any", 90);
    forgotten["storageClass"] = json!("archive");
    forgotten["countType"] = json!("sinceImageTransitioned");
    let rules = [rule(1, older("any", 10)), rule(2, forgotten)];
    assert_eq!(policy(&rules).rules().len(), 2);
}

#[test]
fn errors_have_their_place_and_the_text_its_bounds() {
    let said = errors(&json!({"rules": [rule(4, json!({"tagStatus": "untagged"}))]}).to_string());
    assert_eq!(
        said[0],
        "rule 1 (priority 4): needs a `countType`, such as imageCountMoreThan or sinceImagePushed"
    );
    let padding = " ".repeat(100);
    let said = errors(&format!("{{\"rules\": [\n  {{\"rulePriorty\": 1}}\n]}}{padding}"));
    assert!(
        said.len() == 1 && said[0].starts_with("2:16: unknown field `rulePriorty`, expected"),
        "{said:?}"
    );
    let said = errors(&format!("{{\"rules\": [{padding}\n  }}"));
    assert!(said.len() == 1 && said[0].starts_with("2:3: expected value"), "{said:?}");
    assert_eq!(errors("{\"rules\": []}").len(), 2, "too short, and without a rule");

    let text = |rules: usize, filler: usize| {
        let rules: Vec<Value> =
            (1..=rules).map(|n| rule(u32::try_from(n).unwrap(), tagged(&[&n.to_string()], 1))).collect();
        let text = json!({ "rules": rules }).to_string();
        let filler = filler.saturating_sub(text.chars().count());
        text + &" ".repeat(filler)
    };
    assert!(LifecyclePolicy::parse(&text(50, 30_720)).is_ok());
    assert!(errors(&text(1, 30_721))[0].starts_with("the text has 30721 characters"));
    assert_eq!(errors(&text(51, 0)), ["the policy has 51 rules, and ECR takes 1 to 50; merge some"]);
    let shortest = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}"#;
    assert!(LifecyclePolicy::parse(shortest).is_ok());
    let stored = json!({"registryId": ACCOUNT, "repositoryName": "a", "lifecyclePolicyText": shortest});
    assert_eq!(LifecyclePolicy::read(&stored.to_string()), LifecyclePolicy::parse(shortest));
}

#[test]
fn listings_are_read_as_either_command_line_prints_them() {
    let mut seconds = described('A', &[], 0);
    seconds["imagePushedAt"] = json!(1_773_979_200.5);
    let mut offset = described('A', &[], 0);
    offset["imagePushedAt"] = json!("2026-03-20T05:00:00.500000+01:00");
    assert_eq!(listing(&[seconds.clone()]), listing(&[offset]));
    let refused = |value: &Value| Listing::parse(&value.to_string()).unwrap_err();
    assert!(refused(&json!({"imageDetails": [], "NextToken": "x"})).starts_with("not the whole repository"));
    let mut other = described('B', &[], 0);
    other["repositoryName"] = json!("apps/other");
    assert!(refused(&json!({"imageDetails": [seconds, other]})).starts_with("apps/other is in it too"));
    for bad in [json!("yesterday"), json!(1e300), Value::Null] {
        let mut image = described('A', &[], 0);
        image["imagePushedAt"] = bad;
        assert!(
            refused(&json!({ "imageDetails": [image] }))
                .starts_with("not what `aws ecr describe-images` prints")
        );
    }
}

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
    outlook(&policy(&[rule(1, older("any", 5))]), &listing(images), Some(&inventory), now())
}

/// The verdict, and how which image that goes is in use.
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

#[test]
fn what_runs_what_would_run_and_what_it_rolls_back_to_are_in_use() {
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
        "by what its tag names"
    );
}

#[test]
fn a_roll_back_is_to_what_lost_its_tag_or_to_what_has_one_of_its_own() {
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
fn a_reference_is_to_its_repository_its_tag_and_its_digest() {
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
    assert_eq!(refers(&repository, None), Safety::InUse, "without a tag it is the latest");
    assert_eq!(refers(&format!("{repository}@{}", digest('Z')), Some('Z')), Safety::Safe);
    assert_eq!(refers(&format!("{repository}@{}", digest('B')), Some('B')), Safety::InUse, "A lists it");
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
    assert_eq!(outlook.going.len(), 1, "C, which nothing is known to list");
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
        "and what it lists"
    );
}

fn outlook_of(listing: &Listing, inventory: &Answer) -> Outlook {
    outlook(&policy(&[rule(1, older("any", 5))]), listing, Some(inventory), now())
}

#[test]
fn what_is_not_known_is_never_safe() {
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

    let told = |row: Value| unknown(&inventory(&[row], &[]));
    let because = "444455556666/us-east-1/ecs/shop service/web uses";
    assert!(told(row(&asked("9"), None, None)).starts_with(because), "which version the tag named then");
    assert!(told(row("sha256:odd", None, None)).starts_with(because), "it may be any image");
    assert!(told(row(&asked("9"), Some('B'), None)).starts_with(because), "which index B belongs to");
    for known in [row(&asked("9"), Some('Z'), None), row("public.ecr.aws/apps/checkout:1", None, None)] {
        assert_eq!(foresee(&images, &inventory(&[known], &[])).verdict, Safety::Safe);
    }
    let nothing = outlook(&policy(&[rule(1, older("any", 5))]), &listing(&images), None, now());
    assert_eq!(nothing.verdict, Safety::Unknown, "nobody said what runs");
    let nothing = outlook(&policy(&[rule(1, older("any", 50))]), &listing(&images), None, now());
    assert_eq!(nothing.verdict, Safety::Safe, "nothing goes");
}
