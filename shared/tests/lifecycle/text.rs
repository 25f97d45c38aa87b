//! What is refused in the text of a policy and in a listing.

use patchwave::lifecycle::{LifecyclePolicy, Listing};
use serde_json::{Value, json};

use super::fixture::*;

/// The errors of an invalid policy.
fn errors(text: &str) -> Vec<String> {
    LifecyclePolicy::read(text).unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn every_violation_of_every_rule_is_reported_at_once() {
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
        (vec![one(days(json!({"countUnit": null})))], "1 has `countUnit: null`, which ECR refuses"),
        (
            vec![
                rule(1, days(json!({}))),
                rule(2, json!({"tagStatus": "tagd", "countNumber": "14", "tagPrefixList": "a"})),
            ],
            "1 sees every|2 has `tagStatus: \"tagd\"`; write tagged, untagged or any|2 has `tagPrefixList: \"a\"`; write a list|\
             2 has `countNumber: \"14\"`; write the number without quotes: 14",
        ),
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
fn rules_of_the_two_storage_classes_do_not_conflict() {
    let mut forgotten = older("any", 90);
    forgotten["storageClass"] = json!("archive");
    forgotten["countType"] = json!("sinceImageTransitioned");
    let rules = [rule(1, older("any", 10)), rule(2, forgotten)];
    assert_eq!(policy(&rules).rules().len(), 2);
}

#[test]
fn errors_name_their_place_and_the_text_has_bounds() {
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
    assert_eq!(errors("{\"rules\": []}").len(), 2, "the text is too short, and it has no rule");

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
fn listings_of_either_aws_command_line_are_read() {
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

#[test]
fn a_list_of_several_tags_is_warned_about() {
    let warned = policy(&[rule(3, tagged(&["dev-", "pr-"], 1)), rule(4, tagged(&["main-"], 1))]);
    let said: Vec<String> = warned.warnings().iter().map(ToString::to_string).collect();
    let expected = "rule 1 (priority 3): takes only images that have a tag for each of `dev-`, `pr-`; \
                    if one is to be enough, make a rule for each";
    assert_eq!(said, [expected]);
}

#[test]
fn policies_are_found_in_what_wraps_them() {
    let text = json!({"rules": [rule(1, older("untagged", 7))]}).to_string();
    let other = json!({"rules": [rule(1, older("untagged", 8))]}).to_string();
    let alone = LifecyclePolicy::parse(&text);
    let resource = |text: &str| json!({"Type": "AWS::ECR::Repository", "Properties": {"LifecyclePolicy": {"LifecyclePolicyText": text}}});
    for wrapped in [
        json!({"LifecyclePolicyText": text}),
        json!({"Resources": {"A": resource(&text), "B": resource(&text)}}),
        json!({"resource": {"aws_ecr_lifecycle_policy": {"a": {"policy": text}}}}),
        json!({"planned_values": {"resources": [{"values": {"policy": text}}, {"values": {"policy": "{\"Version\": \"2012-10-17\"}"}}]}}),
    ] {
        assert_eq!(LifecyclePolicy::read(&wrapped.to_string()), alone, "{wrapped}");
    }
    let two = json!({"Resources": {"A": resource(&text), "B": resource(&other)}});
    assert_eq!(errors(&two.to_string()), ["the file has 2 policies; pass one of them"]);
    let computed = json!({"LifecyclePolicy": {"LifecyclePolicyText": {"Fn::Sub": "…"}}});
    assert_eq!(
        errors(&computed.to_string()),
        ["a template computes `LifecyclePolicyText`; pass the text that it becomes"]
    );
}
