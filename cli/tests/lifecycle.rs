//! `lifecycle`: lifecycle policies of ECR, through the binary.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeSet;

use support::{Scratch, fixture, patchwave};

/// Asks about a lifecycle policy of `tests/fixtures/lifecycle`.
fn lifecycle(policy: &str, more: &[&str]) -> support::Ran {
    let file = fixture(&format!("lifecycle/{policy}"));
    patchwave(&[&["lifecycle", &file][..], more].concat())
}

#[test]
fn a_lifecycle_policy_is_checked_and_everything_wrong_with_it_told() {
    let right = lifecycle("policy.json", &[]);
    assert_eq!((right.code, right.stderr.as_str()), (0, ""));
    assert!(right.stdout.ends_with("lifecycle/policy.json: OK, 3 rules\n"), "{}", right.stdout);
    let stored = lifecycle("stored.json", &["--format", "json"]);
    assert_eq!((stored.code, &stored.json()["rules"]), (0, &3.into()), "as get-lifecycle-policy prints it");

    let file = fixture("lifecycle/invalid.json");
    let expected = std::fs::read_to_string(file.replace(".json", ".txt")).unwrap();
    let wrong = lifecycle("invalid.json", &[]);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (2, ""));
    assert_eq!(wrong.stderr.replace(&file, "invalid.json"), expected);
    let json = lifecycle("invalid.json", &["--format", "json"]);
    assert_eq!(json.code, 2);
    let errors = json.json()["errors"].as_array().unwrap().clone();
    assert_eq!(errors.len(), expected.lines().count());
    assert_eq!((&errors[0]["rule"], &errors[0]["priority"]), (&1.into(), &1.into()));

    let scratch = Scratch::new("lifecycle");
    let broken = scratch.write("policy.json", &format!("{{\"rules\": [\n  }}{}", " ".repeat(100)));
    let broken = patchwave(&["lifecycle", &broken]);
    assert_eq!(broken.code, 2);
    assert!(broken.stderr.contains("policy.json:2:3: expected value"), "{}", broken.stderr);
}

#[test]
fn a_lifecycle_policy_is_held_against_what_runs() {
    let [images, running] = ["lifecycle/images.json", "lifecycle/running.json"].map(fixture);
    let at = |at: &str, more: &[&str]| {
        lifecycle("policy.json", &[&["--images", &images, "--at", at][..], more].concat())
    };
    let ran = |at_: &str| at(at_, &["--running", &running]);
    let safe = ran("2026-03-20T04:00:00Z");
    assert_eq!((safe.code, safe.stderr.as_str()), (0, ""), "{}", safe.stdout);
    for part in [
        "apps/checkout: the policy would act on 2 of 6 images, as of 2026-03-20T04:00:00Z",
        "  expire  0a0a0a0a0a0a main-0a0a                      by rule 10",
        "  expire  101010101010 main-4f2a                      by rule 10",
        "note a roll-back is taken to start the last push before what runs",
        "nothing in use would be deleted or archived",
    ] {
        assert!(safe.stdout.contains(part), "{part:?} in:\n{}", safe.stdout);
    }
    let missing = std::fs::read_to_string(&running).unwrap().replace(
        r#""notInspected": []"#,
        r#""notInspected": [{"account": "444455556666", "region": "us-east-1", "kind": "sageMaker"}]"#,
    );
    let without_kind = Scratch::new("lifecycle-missing");
    let missing = without_kind.write("running.json", &missing);
    let ran_without = at("2026-03-20T04:00:00Z", &["--running", &missing]);
    assert_eq!(ran_without.code, 1, "{}", ran_without.stdout);
    assert!(ran_without.stdout.contains("unknown 444455556666/us-east-1/sageMaker was not surveyed"));
    let stale = ran("2026-03-21T06:00:00Z");
    assert_eq!(stale.code, 1);
    assert!(stale.stdout.contains("unknown 444455556666/us-east-1/ecs/shop was last read 27 hours ago"));
    let nobody_said = at("2026-03-20T04:00:00Z", &["--format", "json"]);
    assert_eq!((nobody_said.code, &nobody_said.json()["verdict"]), (1, &"unknown".into()));

    // What `inventory` prints is what is read: two versions run, and some places were not read.
    let scratch = Scratch::new("lifecycle-running");
    let surveyed = scratch.write("running.json", &inventory(&[]));
    let ran = at("2026-03-20T04:00:00Z", &["--running", &surveyed]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("by rule 10 runs as 444455556666/us-east-1/"), "{}", ran.stdout);
    assert!(ran.stdout.contains("something in use would be deleted or archived"), "{}", ran.stdout);
    let json = at("2026-03-20T04:00:00Z", &["--running", &surveyed, "--format", "json"]).json();
    assert_eq!((&json["verdict"], &json["repository"]), (&"inUse".into(), &"apps/checkout".into()));
    let hows: BTreeSet<&str> = json["going"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|goes| goes["inUse"].as_array().unwrap())
        .map(|used| used["how"].as_str().unwrap())
        .collect();
    assert_eq!(hows, BTreeSet::from(["rollBack", "runs", "wouldRun"]));
    let part = scratch.write("part.json", &inventory(&["--env", "test"]));
    let ran = at("2026-03-20T04:00:00Z", &["--running", &part]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("unknown the inventory has only a part"), "{}", ran.stdout);

    let swapped = at("2026-03-20T04:00:00Z", &["--running", &images]);
    assert_eq!(swapped.code, 2);
    assert!(
        swapped.stderr.contains("not what `patchwave inventory --format json` prints"),
        "{}",
        swapped.stderr
    );
    assert_eq!(lifecycle("policy.json", &["--running", &running]).code, 2, "of which repository?");
}

#[test]
fn what_ecr_refuses_is_refused_with_the_number_of_its_rule() {
    let scratch = Scratch::new("lifecycle-refused");
    let says = |text: &str| {
        let ran = patchwave(&["lifecycle", &scratch.write("policy.json", text)]);
        (ran.code, ran.stdout + &ran.stderr)
    };
    let rule = |more: &str, number: &str| {
        format!(
            r#"{{"rules": [{{"rulePriority": 1, "description": "one", "selection": {{"tagStatus": "tagged", {more}
                "countType": "imageCountMoreThan", "countNumber": {number}}}, "action": {{"type": "expire"}}}}]}}"#
        )
    };
    let (code, said) = says(&rule(r#""tagPrefixList": null, "tagPatternList": ["a*"],"#, "10"));
    assert_eq!(code, 2);
    assert!(
        said.contains("rule 1 (priority 1): has `tagPrefixList: null`, which ECR refuses; leave the key out"),
        "{said}"
    );
    let (code, said) = says(&rule(r#""tagPatternList": ["a*"],"#, r#""10""#));
    assert_eq!(code, 2);
    assert!(
        said.contains("rule 1 (priority 1): has `countNumber: \"10\"`; write the number without quotes: 10"),
        "{said}"
    );
    let (code, said) = says(&rule(r#""tagPrefixList": ["dev-", "pr-"],"#, "10"));
    assert_eq!(code, 0);
    assert!(
        said.contains("warning rule 1 (priority 1): takes only images that have a tag for each of"),
        "{said}"
    );
    let wrapped = serde_json::json!({ "LifecyclePolicyText": rule(r#""tagPatternList": ["a*"],"#, "10") });
    assert_eq!(says(&wrapped.to_string()).0, 0, "as CloudFormation has it");
}

#[test]
fn a_plan_is_made_from_files_and_writes_nothing() {
    let [images, running] = ["lifecycle/images.json", "lifecycle/running.json"].map(fixture);
    let hierarchy = fixture("hierarchy/valid/contract.yaml");
    let at = "2026-03-20T04:00:00Z";
    let common = ["lifecycle", "plan", "--hierarchy", &hierarchy, "--images", &images, "--at", at];
    let plan = |more: &[&str]| patchwave(&[&common[..], more].concat());
    let ran = plan(&["--running", &running]);
    assert!(ran.stdout.contains("apps/checkout: "), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("Nothing was written."), "{}", ran.stdout);
    let json = plan(&["--running", &running, "--format", "json"]).json();
    let planned = &json["policies"][0];
    assert_eq!((&planned["repository"], &json["format"]), (&"apps/checkout".into(), &1.into()));
    let text = planned["text"].as_str().unwrap();
    let scratch = Scratch::new("lifecycle-plan");
    let checked = patchwave(&["lifecycle", &scratch.write("policy.json", text)]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    let unknown = plan(&["--catch-all", "1", "--keep", "1"]);
    assert_eq!(unknown.code, 1, "it is not known what runs: {}", unknown.stdout);
    assert!(unknown.stdout.contains("refused what runs is not known"), "{}", unknown.stdout);
    assert_eq!(patchwave(&["lifecycle"]).code, 2);
}

#[test]
fn tags_are_checked_from_files() {
    let images = fixture("lifecycle/images.json");
    let hierarchy = fixture("hierarchy/valid/contract.yaml");
    let scratch = Scratch::new("tags");
    let described = |mutability: &str| {
        let text = format!(
            r#"{{"repositories": [{{"repositoryName": "apps/checkout", "imageTagMutability": "{mutability}"}}]}}"#
        );
        scratch.write(&format!("{mutability}.json"), &text)
    };
    let check = |more: &[&str]| {
        patchwave(&[&["tags", "check", "--hierarchy", &hierarchy, "--images", &images][..], more].concat())
    };
    let loose = check(&["--repositories", &described("MUTABLE")]);
    assert_eq!(loose.code, 1, "{}{}", loose.stdout, loose.stderr);
    assert!(loose.stdout.contains("uniqueTagMayMove"), "{}", loose.stdout);
    let fixed = check(&["--repositories", &described("IMMUTABLE"), "--format", "json"]);
    let kinds: Vec<_> =
        fixed.json()["violations"].as_array().unwrap().iter().map(|v| v["kind"].clone()).collect();
    assert!(!kinds.contains(&"uniqueTagMayMove".into()), "{kinds:?}");
    let without = check(&[]);
    assert!(without.stdout.contains("unread"), "{}", without.stdout);
}

#[test]
fn a_list_without_images_says_nothing_of_a_repository() {
    let scratch = Scratch::new("lifecycle-empty");
    let images = scratch.write("images.json", r#"{"imageDetails": []}"#);
    let ran = lifecycle("policy.json", &["--images", &images]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("lists no image; check its repository and region"), "{}", ran.stdout);
}

#[test]
fn ages_are_in_whole_days_and_times_in_whole_seconds() {
    let [images, running] = ["lifecycle/images.json", "lifecycle/running.json"].map(fixture);
    let at = "2026-11-29T17:12:32.123456789Z";
    let ran = lifecycle("policy.json", &["--images", &images, "--running", &running, "--at", at]);
    assert!(ran.stdout.contains("as of 2026-11-29T17:12:32Z"), "{}", ran.stdout);
    assert!(ran.stdout.contains("was last read 254 days ago"), "{}", ran.stdout);
}

/// Returns what `inventory --format json` prints about the survey of `tests/fixtures/inventory`.
fn inventory(more: &[&str]) -> String {
    let [hierarchy, survey, facts] =
        ["hierarchy/valid/contract.yaml", "inventory/survey.json", "inventory/facts.json"].map(fixture);
    let known = ["inventory", "--hierarchy", &hierarchy, "--survey", &survey, "--facts", &facts];
    patchwave(&[&known[..], more, &["--format", "json"]].concat()).stdout
}
