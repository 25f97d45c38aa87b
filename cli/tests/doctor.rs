//! `doctor`: what was seen of the accounts, and what is wrong with it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use serde_json::Value;
use support::{Ran, Scratch, fixture, patchwave};

fn judged(seen: &str, more: &[&str]) -> Ran {
    let hierarchy = fixture("doctor/hierarchy.yaml");
    let asked = ["doctor", "--hierarchy", &hierarchy, "--seen", seen, "--at", "2026-11-20T12:00:00Z"];
    patchwave(&[asked.as_slice(), more].concat())
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_right_is_not_mentioned_and_what_needs_a_write_is_not_checked() {
    let ran = judged(&fixture("doctor/good.json"), &["--format", "json"]);
    let json = ran.json();
    assert_eq!((&json["broken"], &json["warnings"]), (&0.into(), &0.into()), "{json}");
    let levels: Vec<&Value> = json["findings"].as_array().unwrap().iter().map(|f| &f["level"]).collect();
    assert!(levels.iter().all(|level| **level == "notChecked"), "{json}");
    assert_eq!(ran.code, 1, "what was not checked is not right");
    assert_eq!(json["seen"], Value::Null);
    let seen = judged(&fixture("doctor/good.json"), &["--format", "json", "--show-seen"]).json();
    let given: Value =
        serde_json::from_str(&std::fs::read_to_string(fixture("doctor/good.json")).unwrap()).unwrap();
    assert_eq!(seen["seen"]["deployment"], given["deployment"]);
}

#[test]
fn every_finding_says_what_breaks_and_what_mends_it() {
    let text = words(&judged(&fixture("doctor/bad.json"), &[]).stdout);
    for (breaks, mend) in [
        ("3 repositories are never scanned, apps/cart first", "patchwave registry"),
        ("basic scanning does not name fixed versions", "--scan-type ENHANCED"),
        ("an unused image is scanned for 14d and may live 30d", "rescanDuration=LIFETIME"),
        ("a pull counts as use", "pullDateRescanMode=LAST_IN_USE_AT"),
        ("AWSReservedSSO_Read_1f moves last-pull times", "register-pull-time-update-exclusion"),
        ("role/patchwave-scan-complete moves last-pull times", "register-pull-time-update-exclusion"),
        ("a deletion here deletes in the replicas too", "delete replication"),
        ("the stable tag 2023 of base/al2023 is immutable", "put-image-tag-mutability"),
        ("has no repository apps/cart", "create-repository --repository-name apps/cart"),
        ("CodePipeline has no pipeline base-al2023", "create it"),
        ("platform-node is of type V1", "PipelineType: V2"),
        ("platform-node supersedes executions", "ExecutionMode: QUEUED"),
        ("a push to base/al2023 starts the pipeline platform-node by itself", "delete the source action"),
        ("apps-checkout does not declare PATCHWAVE_BASE_IMAGE", "declare each with a default"),
        ("apps-checkout has no source action \"Source\"", "correct `sources`"),
        ("takes no build argument", "stable tag"),
        ("pipeline apps-cart: it was not checked", "allow the call"),
        ("what runs was read last at 2026-11-18", "dead-letter queue"),
        ("444455556666/us-east-1/eks/blue: it could not be surveyed", "infra/cluster.yaml"),
        ("1 of 3 functions name the table patchwave", "sam deploy"),
        ("the hierarchy file enforces, and the deployment observes", "Mode=enforce"),
        ("it has no PATCHWAVE_TICK", "infra/template.yaml"),
        ("it has no PATCHWAVE_EVENT_BUS", "subscribe to its topic"),
        ("CodeBuild may run fewer than 20 builds at once", "service-quotas"),
        ("its rights to write were not tried", "simulate-principal-policy"),
    ] {
        assert!(text.contains(breaks), "{breaks} in {text}");
        assert!(text.contains(mend), "{mend} in {text}");
    }
    assert!(!text.contains("stable tag 22 "), "an exclusion lets it move: {text}");
}

#[test]
fn a_registry_that_could_not_be_read_is_named_and_is_not_right() {
    let scratch = Scratch::new("doctor-unread");
    let good = std::fs::read_to_string(fixture("doctor/good.json")).unwrap();
    let mut seen: Value = serde_json::from_str(&good).unwrap();
    for key in ["scanning", "windows", "exclusions", "deletesReplicas", "repositories"] {
        seen["registries"]["home"][key] = serde_json::json!({"Err": "AccessDeniedException: no"});
    }
    let seen = scratch.write("seen.json", &seen.to_string());
    let json = judged(&seen, &["--format", "json"]).json();
    let findings = json["findings"].as_array().unwrap();
    let denied = findings.iter().filter(|f| f["breaks"].as_str().unwrap().contains("AccessDenied")).count();
    assert_eq!(denied, 5, "{json}");
}

#[test]
fn writes_that_iam_denies_are_broken_and_what_it_cannot_say_is_not_checked() {
    let scratch = Scratch::new("doctor-rights");
    let good = std::fs::read_to_string(fixture("doctor/good.json")).unwrap();
    let denied = |action: &str, resource: &str, decision: &str, missing: &[&str]| serde_json::json!({"action": action, "resource": resource, "decision": decision, "missing": missing});
    let start = "codepipeline:StartPipelineExecution";
    let judge = |rights: [Value; 3], mode: &str| {
        let mut seen: Value = serde_json::from_str(&good).unwrap();
        for (at, rights) in rights.into_iter().enumerate() {
            let function = &mut seen["deployment"]["functions"]["Ok"][at];
            (function["denied"], function["mode"]) = (rights, mode.into());
        }
        words(&judged(&scratch.write("seen.json", &seen.to_string()), &[]).stdout)
    };
    let nothing = serde_json::json!({"Ok": []});
    let none = judge([nothing.clone(), nothing.clone(), nothing.clone()], "enforce");
    assert!(!none.contains("rights"), "{none}");
    let rights = [
        serde_json::json!({"Ok": [denied(start, "a", "implicitDeny", &[]), denied(start, "b", "implicitDeny", &[])]}),
        serde_json::json!({"Ok": [denied("events:PutEvents", "bus", "explicitDeny", &[]),
            denied("scheduler:CreateSchedule", "s", "implicitDeny", &["aws:SourceIp"])]}),
        serde_json::json!({"Err": "AccessDenied: no"}),
    ];
    let text = judge(rights.clone(), "enforce");
    for said in [
        "broken rights of patchwave-scan-complete: its role may not call codepipeline:StartPipelineExecution on a and 1 more: no build starts",
        "Mode=enforce Pipelines=",
        "broken rights of patchwave-rebuild-fanout: its role may not call events:PutEvents on bus: no person is notified",
        "a policy forbids it",
        "not checked rights of patchwave-rebuild-fanout: scheduler:CreateSchedule on s depends on aws:SourceIp",
        "not checked rights of patchwave-inventory: it was not checked: AccessDenied: no",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
    assert!(!judge(rights, "observe").contains("StartPipelineExecution"), "it starts nothing");
}
