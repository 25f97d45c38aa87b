//! What a policy deletes, against a model that follows the page of AWS: every rule marks images,
//! then they are applied in turn.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::image::Digest;
use patchwave::lifecycle::{LifecyclePolicy, Reading, RepositoryImage, StorageClass, judge};
use patchwave::time::{Span, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

const TAGS: [&str; 6] = ["a", "ab", "b", "ba-1", "prod-1", "prod-22"];
const TEXTS: [&str; 8] = ["a", "b", "ab", "*", "*a", "prod-*", "b*-*", "*2*2"];

fn now() -> Timestamp {
    "2026-03-20T04:00:00Z".parse().unwrap()
}

fn digest(number: usize) -> Digest {
    format!("sha256:{number:064x}").parse().unwrap()
}

/// Whole and half days, so that some images are exactly as old as a limit.
fn moment() -> impl Strategy<Value = Timestamp> {
    (0..20_u32).prop_map(|halves| Span::hours(12 * halves).before(now()))
}

fn image(others: usize) -> impl Strategy<Value = RepositoryImage> {
    let moments = (moment(), any::<[bool; 3]>(), moment(), moment(), 80..100_u32);
    let tags = proptest::sample::subsequence(TAGS.to_vec(), 0..3);
    let children = proptest::collection::btree_set(0..others, 0..3);
    let flags = (proptest::bool::weighted(0.2), any::<bool>());
    (moments, tags, children, flags).prop_map(|(moments, tags, children, (archived, is_part))| {
        let (pushed_at, has, pulled, restored, archived_for) = moments;
        RepositoryImage {
            tags: tags.into_iter().map(|tag| tag.parse().unwrap()).collect(),
            pushed_at,
            pulled_at: has[0].then_some(pulled),
            restored_at: has[1].then_some(restored),
            archived_at: has[2].then_some(Span::days(archived_for).before(now())),
            storage: if archived { StorageClass::Archive } else { StorageClass::Standard },
            is_index: !children.is_empty(),
            children: children.into_iter().map(digest).collect(),
            is_part,
            artifact_type: None,
            subject: None,
            bytes: 1,
            findings: None,
        }
    })
}

fn images() -> impl Strategy<Value = BTreeMap<Digest, RepositoryImage>> {
    let number = |(number, image)| (digest(number), image);
    (1..9_usize)
        .prop_flat_map(|size| proptest::collection::vec(image(size), size))
        .prop_map(move |images| images.into_iter().enumerate().map(number).collect())
}

fn rule() -> impl Strategy<Value = Value> {
    let texts = proptest::sample::subsequence(TEXTS.to_vec(), 1..3);
    (0..8, texts, 0..5, 1..5_u32).prop_map(|(tags, texts, count, number)| {
        let mut selection = match tags {
            0 => json!({"tagStatus": "any"}),
            1 => json!({"tagStatus": "untagged"}),
            2..5 => json!({"tagStatus": "tagged", "tagPrefixList": texts}),
            _ => json!({"tagStatus": "tagged", "tagPatternList": texts}),
        };
        let (kind, days, action) = match count {
            0 | 1 => ("imageCountMoreThan", number, "expire"),
            2 => ("sinceImagePushed", number, "expire"),
            3 => ("sinceImagePulled", number, "transition"),
            _ => ("sinceImageTransitioned", 89 + number, "expire"),
        };
        selection["countType"] = json!(kind);
        selection["countNumber"] = json!(days);
        if count > 1 {
            selection["countUnit"] = json!("days");
        }
        if count == 4 {
            selection["storageClass"] = json!("archive");
        }
        let action = match action {
            "transition" => json!({"type": action, "targetStorageClass": "archive"}),
            _ => json!({"type": action}),
        };
        json!({"selection": selection, "action": action})
    })
}

/// Rules in order of priority, without those that conflict with others.
fn rules() -> impl Strategy<Value = Vec<Value>> {
    proptest::collection::vec(rule(), 1..7).prop_map(|mut rules| {
        rules.sort_by_key(|rule| rule["selection"]["tagStatus"] == "any");
        let mut seen = BTreeSet::new();
        rules.retain(|rule| {
            let selection = &rule["selection"];
            let patterns = selection["tagPatternList"].to_string();
            let what = [&selection["tagStatus"], &selection["storageClass"], &selection["tagPrefixList"]];
            patterns != "null" || seen.insert(json!(what).to_string())
        });
        for (index, rule) in rules.iter_mut().enumerate() {
            rule["rulePriority"] = json!(3 * index + 1);
        }
        rules
    })
}

/// Tells whether a wildcard pattern matches, letter by letter.
fn wild(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) if wild(rest, text) => true,
        (Some((b'*', _)), Some((_, text))) => wild(pattern, text),
        (Some((letter, pattern)), Some((other, text))) => letter == other && wild(pattern, text),
        _ => false,
    }
}

fn sees(rule: &Value, image: &RepositoryImage) -> bool {
    let selection = &rule["selection"];
    let class =
        if selection["storageClass"] == "archive" { StorageClass::Archive } else { StorageClass::Standard };
    let texts = |key: &str| selection[key].as_array().cloned().unwrap_or_default();
    let has = |fits: &dyn Fn(&str) -> bool| image.tags.iter().any(|tag| fits(tag.as_str()));
    image.storage == class
        && (selection["tagStatus"] == "any"
            || image.tags.is_empty() == (selection["tagStatus"] == "untagged"))
        && texts("tagPrefixList").iter().all(|text| has(&|tag| tag.starts_with(text.as_str().unwrap())))
        && texts("tagPatternList")
            .iter()
            .all(|text| has(&|tag| wild(text.as_str().unwrap().as_bytes(), tag.as_bytes())))
}

/// Tells whether a rule marks an image that it sees, if nothing else is asked.
fn marks(
    rule: &Value,
    image: &RepositoryImage,
    images: &BTreeMap<Digest, RepositoryImage>,
    reading: Reading,
) -> bool {
    let number = rule["selection"]["countNumber"].as_u64().unwrap();
    let days_since =
        |at: Timestamp| now().duration_since(at).as_hours() / 24 >= i64::try_from(number).unwrap();
    let age = |image: &RepositoryImage| image.restored_at.unwrap_or(image.pushed_at);
    match rule["selection"]["countType"].as_str().unwrap() {
        "imageCountMoreThan" => {
            let ranked = |other: &&RepositoryImage| {
                reading == Reading::WithParts || !other.is_part || !other.tags.is_empty()
            };
            let seen: Vec<_> = images.values().filter(|other| sees(rule, other)).filter(ranked).collect();
            // A manifest that is not ranked goes with those that are as old as it.
            let with_it = seen.iter().filter(|other| age(other) >= age(image)).count();
            if ranked(&image) {
                with_it as u64 > number
            } else {
                // The newest that goes is no older.
                let mut ages: Vec<_> = seen.iter().map(|other| age(other)).collect();
                ages.sort_unstable();
                let going = seen.len().saturating_sub(usize::try_from(number).unwrap());
                going > 0 && ages[going - 1] >= age(image)
            }
        }
        "sinceImagePushed" => days_since(image.pushed_at),
        "sinceImageTransitioned" => days_since(image.archived_at.unwrap_or(image.pushed_at)),
        _ => match (image.pulled_at, image.restored_at) {
            (Some(pulled), Some(restored)) => days_since(pulled) && days_since(restored),
            (pulled, restored) => days_since(pulled.or(restored).unwrap_or(image.pushed_at)),
        },
    }
}

/// Which rule acts on which image.
fn model(
    rules: &[Value],
    images: &BTreeMap<Digest, RepositoryImage>,
    reading: Reading,
) -> BTreeMap<Digest, u64> {
    let mut acted = BTreeMap::new();
    let mut shielded = BTreeSet::new();
    for rule in rules {
        for (digest, image) in images.iter().filter(|(_, image)| sees(rule, image)) {
            if shielded.insert(digest.clone()) && marks(rule, image, images, reading) {
                acted.insert(digest.clone(), rule["rulePriority"].as_u64().unwrap());
            }
        }
    }
    loop {
        let stays = |digest: &Digest, image: &RepositoryImage| {
            image.storage == StorageClass::Standard && !acted.contains_key(digest)
        };
        let held: Vec<Digest> = images
            .iter()
            .filter(|(digest, image)| stays(digest, image))
            .flat_map(|(_, image)| &image.children)
            .filter(|child| acted.contains_key(child))
            .cloned()
            .collect();
        if held.is_empty() {
            return acted;
        }
        acted.retain(|digest, _| !held.contains(digest));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..crate::remembering() })]

    #[test]
    fn a_policy_deletes_what_the_page_of_aws_says(rules in rules(), images in images()) {
        let text = json!({ "rules": rules }).to_string() + &" ".repeat(100);
        let policy = LifecyclePolicy::parse(&text).unwrap();
        for reading in [Reading::WithoutParts, Reading::WithParts] {
            let judged = judge(&policy, &images, reading, now());
            let judged: BTreeMap<Digest, u64> = judged.into_iter().map(|(digest, going)| (digest, going.rule.into())).collect();
            prop_assert_eq!(judged, model(&rules, &images, reading));
        }
    }
}
