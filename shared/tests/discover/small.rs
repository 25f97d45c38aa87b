//! The small estate: every kind of evidence, and every trap, once.

use std::collections::BTreeMap;

use patchwave::discover::{Draft, Drafted, Estate, discover, merge};
use patchwave::hierarchy::{Hierarchy, PartTexts};
use serde_json::Value;

const ESTATE: &str = include_str!("../../../tests/fixtures/discover/small.json");
const EXPECTED: &str = include_str!("../../../tests/fixtures/discover/small.expected.json");

pub(super) fn estate() -> Estate {
    serde_json::from_str(ESTATE).unwrap()
}

fn drafted() -> Drafted {
    discover(&estate())
}

/// The answer, reduced to what the expected file says of an image.
fn reduced(draft: &Draft, expected: &Value) -> Value {
    let mut found = serde_json::to_value(draft).unwrap();
    found["pipeline"] = draft.pipeline.as_ref().map_or(Value::Null, |builds| builds.name.clone().into());
    found["tagPattern"] =
        draft.tag_pattern.as_ref().map_or(Value::Null, |pattern| pattern.pattern.clone().into());
    let keys = ["tags", "tagPattern", "tier", "from", "copyFrom", "by", "pipeline", "owner", "candidates"];
    let pairs = keys.map(|key| (key.to_owned(), found.get(key).cloned().unwrap_or_default()));
    let mut pairs: BTreeMap<String, Value> =
        pairs.into_iter().filter(|(_, value)| !value.is_null()).collect();
    if let Some(why) = expected.get("why") {
        pairs.insert("why".to_owned(), why.clone());
    }
    serde_json::to_value(pairs).unwrap()
}

#[test]
fn a_person_and_discover_read_the_same_out_of_an_estate() {
    let expected: Value = serde_json::from_str(EXPECTED).unwrap();
    let expected = expected["images"].as_object().unwrap();
    let drafted = drafted();
    let ids: Vec<&str> = drafted.images.iter().map(|draft| draft.id.as_str()).collect();
    for (id, expected) in expected {
        let Some(draft) = drafted.images.iter().find(|draft| draft.id == *id) else {
            panic!("{id} is not among {ids:?}")
        };
        assert_eq!(reduced(draft, expected), *expected, "{id}: {:#?}", draft.evidence);
    }
    assert_eq!(ids.len(), expected.len(), "{ids:?}");
}

#[test]
fn a_drafted_file_validates_and_is_the_same_every_time() {
    let text = drafted().text();
    let hierarchy =
        Hierarchy::parse("drafted.yaml", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    assert_eq!(hierarchy.len(), 16);
    assert_eq!(text, drafted().text());
    assert!(text.contains("copies: [{ from: apps/web, to: prod/web }]"), "{text}");
    assert!(text.contains("caches: { docker-hub: docker.io }"), "{text}");
    assert!(text.contains("no builder: the pipeline runtimes pushes 2 repositories"), "{text}");
    assert!(text.contains("no builder: ledger and ledger-nightly push it alike"), "{text}");
    assert!(text.contains("ECRBuildAndPublish passes no build argument"), "{text}");
}

#[test]
fn what_people_wrote_stays_to_the_byte_and_drift_is_a_diff() {
    let drafted = drafted();
    let written = "\
version: 1
registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com   # ours
owners: { payments: {} }
images:
    # the base of everything
    - { id: os, tier: base, repository: base/debian, tags: [\"13\"],
        from: docker.io/library/debian:13 }  # keep
    - id: py
      tier: platform
      repository: platform/python
      tags: [\"3.13\"]
      from: \"docker.io/library/python:3.13\"   # really?

# what runs
inventory: { regions: [us-east-1], accounts: [{ id: \"111122223333\" }] }
";
    let merged = merge("h.yaml", written, &PartTexts::new(), &drafted).unwrap();
    let drift: Vec<(&str, &str)> = merged.drift.iter().map(|d| (d.image.as_str(), d.is.as_str())).collect();
    assert_eq!(drift, [("py", "os")]);
    assert_eq!(merged.added.len(), 14);
    assert!(
        merged.diff(written).contains(
            "-      from: \"docker.io/library/python:3.13\"   # really?\n+      from: os   # really?"
        )
    );
    let kept =
        merged.text.replace("from: os   # really?", "from: \"docker.io/library/python:3.13\"   # really?");
    let (before, after) = written.split_once("\n# what runs").unwrap();
    assert!(kept.starts_with(before), "{kept}");
    assert!(kept.ends_with(&format!("\n# what runs{after}")), "{kept}");
    let again = merge("h.yaml", &merged.text, &PartTexts::new(), &drafted).unwrap();
    assert!(again.is_same() && again.text == merged.text, "{}", again.diff(&merged.text));
    let hierarchy = Hierarchy::parse("h.yaml", &merged.text).unwrap();
    assert_eq!(
        hierarchy.image(&"apps/web".parse().unwrap()).unwrap().owner.as_ref().unwrap().name,
        "payments"
    );
}

#[test]
fn what_others_wrote_forges_no_line_of_the_draft() {
    let mut estate = estate();
    for repository in &mut estate.registries[0].repositories {
        repository.tags.insert("owner".to_owned(), "a\"b: c\nmode: enforce # x".to_owned());
    }
    let text = discover(&estate).text();
    let hierarchy =
        Hierarchy::parse("drafted.yaml", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let owner = &hierarchy.image(&"apps/report".parse().unwrap()).unwrap().owner;
    assert_eq!(owner.as_ref().unwrap().name, "a\"b: c\nmode: enforce # x");
}

#[test]
fn each_owner_gets_a_part_and_the_whole_says_the_same() {
    let mut estate = estate();
    for repository in &mut estate.registries[0].repositories {
        // Two names that would be one file, and one that is no name of a file.
        let owner = match repository.name.name() {
            "apps/batch" => "Team A",
            "apps/ledger" => "team-a",
            "apps/legacy" => "../../etc",
            _ => continue,
        };
        repository.tags.insert("owner".to_owned(), owner.to_owned());
    }
    let drafted = discover(&estate);
    let (main, parts) = drafted.by_owner();
    let files: Vec<(&str, &str)> =
        parts.iter().map(|part| (part.owner.as_str(), part.file.as_str())).collect();
    for part in
        [("../../etc", "teams/etc.yaml"), ("Team A", "teams/team-a.yaml"), ("team-a", "teams/team-a-2.yaml")]
    {
        assert!(files.contains(&part), "{files:?}");
    }
    let texts: PartTexts = parts.iter().map(|part| (part.file.clone(), Ok(part.text.clone()))).collect();
    let whole = Hierarchy::parse_with_parts("h.yaml", &main, &texts)
        .unwrap_or_else(|errors| panic!("{errors}\n{main}\n{parts:#?}"));
    let one = Hierarchy::parse("h.yaml", &drafted.text()).unwrap();
    assert_eq!(whole.len(), one.len());
    for image in one.images() {
        let other = whole.image(&image.id).unwrap();
        let owner =
            |image: &patchwave::hierarchy::Image| image.owner.as_ref().map(|owner| owner.name.clone());
        assert_eq!(
            (&image.from, &image.pipeline, owner(image)),
            (&other.from, &other.pipeline, owner(other))
        );
    }
    // Run again, everything is known.
    let again = merge("h.yaml", &main, &texts, &drafted).unwrap();
    assert!(again.is_same() && again.text == main, "{}", again.diff(&main));
}
