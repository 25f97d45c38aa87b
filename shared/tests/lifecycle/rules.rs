//! What a policy deletes, in the cases that the pages of AWS describe.

use patchwave::lifecycle::{Reading, judge};
use serde_json::{Value, json};

use super::fixture::*;

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
        "the first rule sees B and keeps it"
    );
    assert_eq!(
        going(&[rule(2, prod), rule(1, beta)], &images),
        "AB",
        "the priorities count, not the order of the text"
    );
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
fn the_last_rule_takes_the_images_that_no_other_rule_sees() {
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
    assert_eq!(going(&rules, &images), "ABC", "the first two rules see D and E and keep them");
}

#[test]
fn images_of_the_same_day_go_together() {
    let images = [described('A', &["a"], 5), described('B', &["b"], 4), described('C', &["c"], 4)];
    assert_eq!(going(&[rule(1, older("any", 5))], &images), "A");
    let any = json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1});
    assert_eq!(going(&[rule(1, any)], &images), "ABC", "one of B and C stays, but it is not known which");
}

#[test]
fn days_in_the_archive_are_counted_from_archiving_pulling_or_restoring() {
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
    assert_eq!(
        going(&rules, &images),
        "BD",
        "an image that was never pulled counts from its push, a restored one from its restoration"
    );
}

#[test]
fn manifests_that_an_index_lists_stay_as_long_as_the_index() {
    let mut index = described('A', &["main-1"], 20);
    index["imageManifestMediaType"] = json!(INDEX);
    let images = [index, described('B', &[], 20), described('C', &[], 20)];
    let mut listing = listing(&images);
    listing.note(&digest('A'), &digest('B'));
    let untagged = policy(&[rule(1, older("untagged", 5))]);
    assert_eq!(
        judge(&untagged, &listing.images, Reading::WithoutParts, now()).into_keys().collect::<Vec<_>>(),
        [digest('C')]
    );
    let all = policy(&[rule(1, older("any", 5))]);
    assert_eq!(
        judge(&all, &listing.images, Reading::WithoutParts, now()).len(),
        3,
        "the index goes, and its manifests with it"
    );
}

/// Multi-platform versions as clients push them: the manifests a minute before their index.
fn versions(days: std::ops::Range<u32>) -> Vec<Value> {
    let mut images = Vec::new();
    for (name, day) in ('A'..='Y').step_by(3).zip(days.rev()) {
        let mut index = described(name, &[&format!("main-{day}")], day);
        index["imageManifestMediaType"] = json!(INDEX);
        let letter = |step: u32| char::from_u32(u32::from(name) + step).unwrap();
        images.extend([index, described(letter(1), &[], day), described(letter(2), &[], day)]);
    }
    images
}

#[test]
fn what_an_index_lists_is_not_counted_beside_it() {
    let any = json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 3});
    let rules = policy(&[rule(1, any)]);
    let all = listing(&versions(1..4)).images;
    assert_eq!(all.len(), 9, "three indexes and two manifests for each");
    assert_eq!(judge(&rules, &all, Reading::WithoutParts, now()).len(), 0);
    assert_eq!(judge(&rules, &all, Reading::WithParts, now()).len(), 6, "if ECR counts each of the nine");
    let more = listing(&versions(1..5)).images;
    let going = judge(&rules, &more, Reading::WithoutParts, now());
    assert_eq!(going.len(), 3, "the oldest index goes with its manifests");
}

#[test]
fn a_manifest_with_a_tag_of_its_own_is_counted_and_one_pushed_alone_is_too() {
    let mut images = versions(1..2);
    images.push(described('X', &[], 9));
    images[1]["imageTags"] = json!(["main-1-arm64"]);
    let listing = listing(&images);
    let parts: Vec<bool> = listing.images.values().map(|image| image.is_part).collect();
    assert_eq!(parts, [false, false, true, false], "the index, one with a tag, one without, and one alone");
}
