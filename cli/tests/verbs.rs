//! The verbs as a person or a script meets them: through the binary.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;
use support::{Scratch, fixture, patchwave};

#[test]
fn a_valid_file_is_summed_up_in_one_line() {
    let file = fixture("hierarchy/valid/contract.yaml");
    let ran = patchwave(&["validate", &file]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.starts_with(&format!("{file}: OK, ")), "{}", ran.stdout);
    assert_eq!(ran.stdout.lines().count(), 1);
    let json = patchwave(&["validate", &file, "--format", "json"]).json();
    assert_eq!((&json["valid"], &json["errors"]), (&Value::Bool(true), &Value::Array(Vec::new())));
}

#[test]
fn every_error_of_a_file_is_told_with_its_place() {
    let file = fixture("hierarchy/invalid/many_at_once.yaml");
    let expected = std::fs::read_to_string(file.replace(".yaml", ".txt")).unwrap();
    let ran = patchwave(&["validate", &file]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert_eq!(ran.stderr.trim_end().replace(&file, "many_at_once.yaml"), expected.trim_end());

    let json = patchwave(&["validate", &file, "--format", "json"]);
    assert_eq!(json.code, 2);
    let errors = json.json()["errors"].as_array().unwrap().clone();
    assert_eq!(errors.len(), expected.trim_end().lines().count());
    for (error, line) in errors.iter().zip(expected.lines()) {
        let place = format!("many_at_once.yaml:{}:{}: ", error["line"], error["column"]);
        assert_eq!(format!("{place}{}", error["message"].as_str().unwrap()), line);
    }
}

#[test]
fn the_schema_is_a_json_schema() {
    let schema = patchwave(&["validate", "--schema"]).json();
    assert!(schema["$schema"].as_str().unwrap().contains("json-schema.org"));
    assert!(schema["properties"]["images"].is_object());
}

#[test]
fn bad_input_is_told_apart_from_findings() {
    let missing = patchwave(&["--hierarchy", "no/such/file.yaml", "graph"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (2, ""));
    assert!(missing.stderr.starts_with("cannot read no/such/file.yaml: "), "{}", missing.stderr);

    assert_eq!(patchwave(&["demo", "--sed", "1"]).code, 2);
    assert_eq!(patchwave(&["demo", "--seed", "many"]).code, 2);
    assert_eq!(patchwave(&["nonsense"]).code, 2);
    assert_eq!(patchwave(&["graph"]).code, 2, "without a hierarchy there is nothing to draw");

    let file = fixture("hierarchy/valid/contract.yaml");
    let unknown = patchwave(&["--hierarchy", &file, "impact", "base/al2032"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("did you mean base/al2023?"), "{}", unknown.stderr);
}

#[test]
fn the_hierarchy_comes_from_the_environment_too() {
    let file = fixture("hierarchy/valid/contract.yaml");
    let named = patchwave(&["graph", "--hierarchy", &file]);
    let from_environment = support::patchwave_with(&["graph"], &[("PATCHWAVE_HIERARCHY", &file)]);
    assert_eq!(named, from_environment);
}

#[test]
fn the_graph_has_its_nodes_edges_and_waves() {
    let file = fixture("hierarchy/valid/contract.yaml");
    let graph = patchwave(&["--hierarchy", &file, "graph", "--format", "json"]).json();
    let ids: BTreeSet<&str> =
        graph["nodes"].as_array().unwrap().iter().map(|n| n["id"].as_str().unwrap()).collect();
    for edge in graph["edges"].as_array().unwrap() {
        assert!(
            ids.contains(edge["parent"].as_str().unwrap()) && ids.contains(edge["child"].as_str().unwrap())
        );
        assert!(["from", "copyFrom"].contains(&edge["kind"].as_str().unwrap()));
    }
    let waves: usize =
        graph["waves"].as_array().unwrap().iter().map(|wave| wave.as_array().unwrap().len()).sum();
    assert_eq!(waves, ids.len());
    let text = patchwave(&["--hierarchy", &file, "graph"]).stdout;
    assert!(ids.iter().all(|id| text.contains(id)), "{text}");
    assert!(!text.contains('\u{1b}'), "no colour where nobody sees it");
}

#[test]
fn impact_answers_at_once_on_thousands_of_images() {
    let scratch = Scratch::new("thousands");
    let file = scratch.write("hierarchy.yaml", &thousands());
    let impact = patchwave(&["--hierarchy", &file, "impact", "base/i0", "--format", "json"]).json();
    let rebuilt: Vec<&str> =
        impact["rebuilt"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(rebuilt, expected_below_base_0(), "every second image, in build order");
    let text = patchwave(&["--hierarchy", &file, "impact", "base/i0"]).stdout;
    assert!(text.contains("rebuilds 2499 images below it, in 3 waves"), "{text}");
}

/// Two bases, ten platforms on each, and 5,000 images in all: an even one stands on even ones only.
fn thousands() -> String {
    let mut yaml =
        String::from("version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\nimages:\n");
    for n in 0..5_000 {
        let (tier, from) = match n {
            0..2 => ("base", format!("public.ecr.aws/x/y:{n}")),
            2..22 => ("platform", format!("base/i{}", n % 2)),
            _ => ("application", format!("platform/i{:02}", 2 + n % 20)),
        };
        let name = name(n);
        writeln!(
            yaml,
            "  - {{ id: {name}, tier: {tier}, repository: {name}, tags: [\"1\"], from: \"{from}\" }}"
        )
        .unwrap();
    }
    yaml
}

fn name(n: usize) -> String {
    match n {
        0..2 => format!("base/i{n}"),
        2..22 => format!("platform/i{n:02}"),
        _ => format!("apps/i{n:04}"),
    }
}

fn expected_below_base_0() -> Vec<String> {
    (0..5_000).step_by(2).map(name).collect()
}

#[test]
fn plan_and_why_explain_a_snapshot() {
    let scratch = Scratch::new("snapshot");
    let (hierarchy, facts) = (scratch.path("hierarchy.yaml"), scratch.path("facts.json"));
    assert_eq!(patchwave(&["demo", "--save-hierarchy", &hierarchy, "--save-facts", &facts]).code, 0);

    let plan = patchwave(&["--hierarchy", &hierarchy, "plan", "--facts", &facts, "--format", "json"]).json();
    assert_eq!(plan["starts"].as_array().unwrap().len(), 1, "the base, and nothing else yet");
    assert_eq!(plan["starts"][0]["image"], "base/al2023");
    let observed = patchwave(&[
        "--hierarchy",
        &hierarchy,
        "plan",
        "--facts",
        &facts,
        "--mode",
        "observe",
        "--format",
        "json",
    ]);
    assert_eq!(observed.json()["starts"], Value::Array(Vec::new()));

    let why = |image: &str| {
        patchwave(&["--hierarchy", &hierarchy, "why", image, "--facts", &facts, "--format", "json"]).json()
    };
    let base = why("base/al2023");
    assert_eq!(base["reasons"][0]["code"], "Vulnerable");
    assert_eq!(base["start"]["pipeline"], "base-al2023");
    let fresh = why("apps/mailer");
    assert!(fresh["start"].is_null());
    assert!(fresh["hold"]["why"].is_string() && fresh["hold"]["liftedBy"].is_string(), "{fresh}");

    let text = patchwave(&["--hierarchy", &hierarchy, "why", "base/al2023:2023.9", "--facts", &facts]).stdout;
    assert!(text.contains("CVE-2026-31337 in openssl") && text.contains("base-al2023"), "{text}");
}

#[test]
fn a_broken_snapshot_is_told_with_its_place() {
    let scratch = Scratch::new("broken");
    let facts = scratch.write("facts.json", "{\n  \"images\": 7\n}\n");
    let ran =
        patchwave(&["--hierarchy", &fixture("hierarchy/valid/contract.yaml"), "plan", "--facts", &facts]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.starts_with(&format!("{facts}:2:")), "{}", ran.stderr);
}

#[test]
fn the_table_is_what_the_adapter_uses() {
    let printed = patchwave(&["table", "--name", "mine"]).json();
    assert_eq!(printed, patchwave::table::create_table("mine"));
}

#[test]
fn simulate_counts_what_went_wrong_and_what_held() {
    let ran = patchwave(&["simulate", "--seeds", "20", "--format", "json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let totals = ran.json();
    assert_eq!(
        (&totals["seeds"], &totals["violations"], &totals["lost"]),
        (&20.into(), &0.into(), &0.into())
    );
    assert!(totals["faults"]["eventDropped"].as_u64().unwrap() > 0);
    assert_eq!(
        ran,
        patchwave(&["simulate", "--seeds", "20", "--format", "json"]),
        "the same seeds, the same history"
    );
}

/// Asks `inventory` about the survey and the facts of `tests/fixtures/inventory`.
fn inventory(more: &[&str]) -> support::Ran {
    let [hierarchy, survey, facts] =
        ["hierarchy/valid/contract.yaml", "inventory/survey.json", "inventory/facts.json"].map(fixture);
    let known = ["--hierarchy", &hierarchy, "inventory", "--survey", &survey, "--facts", &facts];
    patchwave(&[known.as_slice(), more].concat())
}

#[test]
fn the_inventory_says_what_runs_and_what_nobody_knows() {
    let ran = inventory(&["--format", "json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""), "something is vulnerable");
    let answer = ran.json();
    let totals = &answer["totals"];
    let expected = [
        ("running", 9),
        ("vulnerable", 2),
        ("stale", 1),
        ("behind", 2),
        ("strangers", 2),
        ("unknown", 2),
        ("unreadPlaces", 2),
    ];
    for (name, number) in expected {
        assert_eq!(totals[name], number, "{name} in {totals}");
    }
    let row = |workload: &str, container: &str| {
        let rows = answer["running"].as_array().unwrap();
        let named = |row: &&Value| row["workload"] == workload && row["containers"][0] == container;
        rows.iter().find(named).unwrap_or_else(|| panic!("{workload} in {answer:#}"))
    };
    let web = row("service/web", "main");
    assert_eq!((&web["units"], &web["severity"]), (&2.into(), &"critical".into()));
    assert_eq!(web["findings"].as_array().unwrap().len(), 1, "a low one does not count");
    assert_eq!(web["standing"]["is"], "behind");
    let private =
        answer["running"].as_array().unwrap().iter().find(|row| row["place"]["cluster"] == "private");
    assert_eq!(private.map(|row| &row["reported"]), Some(&true.into()), "on Inspector's word");
    assert_eq!(row("service/web", "aws-guardduty-agent-x1")["resolution"]["because"], "sidecar");
    assert_eq!(row("service/proxy", "proxy")["resolution"]["registry"], "docker.io");
    let cache = row("shop/Deployment/cache", "node");
    assert_eq!((&cache["resolution"]["image"], &cache["stale"]), (&"platform/node:22".into(), &true.into()));
    assert_eq!(row("shop/Deployment/odd", "odd")["resolution"]["because"], "onlyConfiguration");
    assert_eq!(
        answer["referenced"][0]["resolution"]["because"], "onlyTag",
        "a tag may name another version by now"
    );
    let skipped = answer["notInspected"].as_array().unwrap();
    assert!(skipped.iter().any(|not| not["kind"] == "sageMaker"), "{skipped:?}");
}

#[test]
fn the_inventory_is_filtered_and_its_exit_code_is_about_what_was_asked() {
    let asked = |more: &[&str]| {
        let ran = inventory(&[more, &["--format", "json"]].concat());
        let rows = ran.json()["running"].as_array().unwrap().len();
        (ran.code, rows)
    };
    assert_eq!(asked(&["--env", "prod"]), (1, 8));
    assert_eq!(asked(&["--env", "test"]), (0, 1), "the test environment runs the rebuilt one");
    assert_eq!(asked(&["--image", "platform/node:22.9"]), (0, 1));
    assert_eq!(asked(&["--image", "apps/checkout", "--env", "prod"]), (1, 4));
    assert_eq!(
        asked(&["--cve", "CVE-2026-5", "--env", "test"]),
        (1, 1),
        "asked for by name it counts at any severity"
    );
    let ran = inventory(&["--image", "apps/chekout"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("did you mean apps/checkout?"), "{}", ran.stderr);
}

#[test]
fn the_inventory_reads_well_and_fits_a_spreadsheet() {
    let text = inventory(&[]).stdout;
    for part in [
        "9 running",
        "2 vulnerable",
        "444455556666/us-east-1/ecs/shop prod",
        "service/web ×2",
        "vulnerable since 2026-03-19: CVE-2026-31337 in openssl (critical), rebuilt and not deployed",
        "not from an approved registry",
        "seen by Inspector alone, vulnerable since",
        "unknown its place was not read, so it is as of 2026-03-19T20:00:00Z: cannot list pods: nobody answers",
        "unread 444455556666/us-east-1/lambda: never read: list functions: AccessDeniedException",
        "Referred to, and not running",
        "not looked at 777788889999/us-east-1: eks, lambda, batch, sageMaker, schedules",
    ] {
        assert!(text.contains(part), "{part:?} in:\n{text}");
    }
    let csv = inventory(&["--format", "csv"]).stdout;
    let lines: Vec<&str> = csv.trim_end().split("\r\n").collect();
    assert_eq!(lines.len(), 1 + 9 + 1);
    assert!(lines.iter().any(|line| line.contains("shop/Deployment/web,3,reported,apps/checkout")), "{csv}");
    assert!(lines[0].starts_with("environment,account,region,service,cluster,workload"));
    assert!(
        lines.iter().any(|line| line.contains("service/web,2,running,apps/checkout,sha256:1010")),
        "{csv}"
    );
    let hierarchy = fixture("hierarchy/valid/contract.yaml");
    assert_eq!(patchwave(&["--hierarchy", &hierarchy, "graph", "--format", "csv"]).code, 2);
    let without = patchwave(&["--hierarchy", &hierarchy, "inventory"]);
    assert_eq!(without.code, 2);
}

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
        "apps/checkout: 2 of 6 images would go, as of 2026-03-20T04:00:00Z",
        "  expire  0a0a0a0a0a0a main-0a0a                      by rule 10",
        "  expire  101010101010 main-4f2a                      by rule 10",
        "not looked at 444455556666/us-east-1: sageMaker",
        "nothing in use would go",
    ] {
        assert!(safe.stdout.contains(part), "{part:?} in:\n{}", safe.stdout);
    }
    let stale = ran("2026-03-21T06:00:00Z");
    assert_eq!(stale.code, 1);
    assert!(stale.stdout.contains("unknown 444455556666/us-east-1/ecs/shop was last read 27 hours ago"));
    let nobody_said = at("2026-03-20T04:00:00Z", &["--format", "json"]);
    assert_eq!((nobody_said.code, &nobody_said.json()["verdict"]), (1, &"unknown".into()));

    // What `inventory` prints is what is read: two versions run, and some places were not read.
    let scratch = Scratch::new("lifecycle-running");
    let surveyed = scratch.write("running.json", &inventory(&["--format", "json"]).stdout);
    let ran = at("2026-03-20T04:00:00Z", &["--running", &surveyed]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("by rule 10 runs as 444455556666/us-east-1/"), "{}", ran.stdout);
    assert!(ran.stdout.contains("something in use would go"), "{}", ran.stdout);
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
    let part = scratch.write("part.json", &inventory(&["--env", "test", "--format", "json"]).stdout);
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
fn requests_are_counted_and_the_same_each_time() {
    let asked = ["requests", "--days", "2", "--commits-a-day", "5", "--vulnerabilities-a-month", "30"];
    let ran = patchwave(&asked);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.starts_with("39 images, 2 days\n"), "{}", ran.stdout);
    let json = patchwave(&[&asked[..], &["--format", "json"]].concat()).json();
    assert_eq!((&json["images"], &json["requests"]["ticks"]), (&39.into(), &192.into()));
    assert_eq!(patchwave(&[&asked[..], &["--format", "json"]].concat()).json(), json);
    assert!(json["requests"]["claims"].as_u64().unwrap() > 0);
    let observing = fixture("hierarchy/valid/contract.yaml");
    assert_eq!(patchwave(&["--hierarchy", &observing, "requests", "--days", "1"]).code, 0);
    assert_eq!(patchwave(&["requests", "--days", "0"]).code, 2);
}
