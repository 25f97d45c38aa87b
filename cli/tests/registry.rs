//! `registry`: what to change in a registry's configuration, and that nothing of others is lost.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use serde_json::{Value, json};
use support::{Ran, Scratch, fixture, patchwave};

const MORE: [&str; 7] = [
    "--organization",
    "o-exampleorg",
    "--lambda",
    "--push",
    "arn:aws:iam::111122223333:role/build",
    "--exclude",
    "arn:aws:iam::111122223333:role/patchwave-scan-complete",
];

fn registry(configured: &str, more: &[&str]) -> Ran {
    let hierarchy = fixture("registry/hierarchy.yaml");
    let asked = ["registry", "--hierarchy", &hierarchy, "--configured", configured];
    patchwave(&[asked.as_slice(), more].concat())
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_changes_keep_what_is_there_and_what_could_not_be_read_is_named() {
    let ran = registry(&fixture("registry/configured.json"), &[&MORE[..], &["--format", "json"]].concat());
    assert_eq!(ran.code, 1, "there is something to change");
    let json = ran.json();
    let of = |setting: &str| {
        let all = json["changes"].as_array().unwrap().iter().filter(|change| change["setting"] == setting);
        all.cloned().collect::<Vec<Value>>()
    };
    let scanning = &of("scanning")[0]["scanning"]["rules"];
    assert_eq!(scanning[0]["filters"], json!(["base/*", "apps/checkout", "platform/node"]));
    assert_eq!(scanning[1]["filters"], json!(["sandbox/*"]), "what others scan stays");
    let replicas = of("replication")[0]["replicas"].as_array().unwrap().len();
    assert_eq!(replicas, 2, "the replica of others stays");
    assert_eq!(of("cache").iter().map(|change| &change["prefix"]).collect::<Vec<_>>(), ["docker-hub"]);
    assert_eq!(of("template").len(), 1);
    assert_eq!(of("exclusion").len(), 1);
    let mutability = of("mutability");
    assert_eq!(mutability.len(), 1, "an exclusion lets the tag of platform/node move: {json}");
    assert_eq!(mutability[0]["excludedTags"], json!(["2023", "2023.9"]));
    let node = of("policy").into_iter().find(|change| change["repository"] == "platform/node").unwrap();
    let sids: Vec<&Value> =
        node["policy"]["Statement"].as_array().unwrap().iter().map(|s| &s["Sid"]).collect();
    assert_eq!(
        sids,
        ["Theirs", "PatchwavePull", "PatchwavePullOrganization", "PatchwavePullLambda", "PatchwavePush"]
    );
    let pulls = &node["policy"]["Statement"][1]["Principal"]["AWS"];
    assert_eq!(*pulls, json!(["arn:aws:iam::444455556666:root"]), "an old statement of ours is replaced");
    assert_eq!(json["unread"].as_array().unwrap().len(), 1, "{json}");
    let text = words(&registry(&fixture("registry/configured.json"), &MORE).stdout);
    assert!(text.contains("unread policy of apps/checkout: failed to read the policy"), "{text}");
}

#[test]
fn what_is_as_it_should_be_is_not_changed() {
    let scratch = Scratch::new("registry-done");
    let file = fixture("registry/configured.json");
    let mut now: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    now["policies"]["apps/checkout"] = json!({"Ok": null});
    let first = scratch.write("first.json", &now.to_string());
    let changes = registry(&first, &["--format", "json"]).json();
    for change in changes["changes"].as_array().unwrap() {
        let repository = change["repository"].as_str().unwrap_or_default();
        match change["setting"].as_str().unwrap() {
            "scanning" => now["scanning"]["Ok"] = change["scanning"].clone(),
            "replication" => now["replicas"]["Ok"] = change["replicas"].clone(),
            "cache" => {
                now["caches"]["Ok"][change["prefix"].as_str().unwrap()] = change["upstream"].clone();
            }
            "template" => now["templates"]["Ok"].as_array_mut().unwrap().push(change["prefix"].clone()),
            "mutability" => {
                let is =
                    json!({"mutability": "IMMUTABLE_WITH_EXCLUSION", "excludedTags": change["excludedTags"]});
                now["repositories"]["Ok"][repository] = is;
            }
            "policy" => now["policies"][repository] = json!({"Ok": change["policy"].to_string()}),
            other => panic!("{other}"),
        }
    }
    let done = scratch.write("done.json", &now.to_string());
    let ran = registry(&done, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stdout.contains("it is as the hierarchy file asks"), "{}", ran.stdout);
    assert_eq!(registry(&done, &["--format", "terraform"]).stdout, "");
}

/// Python lints these files, and parses them.
#[test]
fn the_printed_forms_are_those_that_are_linted_and_parsed() {
    for (format, name) in [("cloudformation", "registry.json"), ("terraform", "registry.tf")] {
        let ran =
            registry(&fixture("registry/configured.json"), &[&MORE[..], &["--format", format]].concat());
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.starts_with("unread policy of apps/checkout"), "{}", ran.stderr);
        let golden = std::fs::read_to_string(fixture(&format!("registry/{name}"))).unwrap();
        assert_eq!(ran.stdout, golden, "{name}: write it again with patchwave registry --format {format}");
    }
    assert_eq!(registry(&fixture("registry/configured.json"), &["--registry", "north"]).code, 2);
}
