//! `inventory`: what runs where, and what is not known, through the binary.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use serde_json::Value;
use support::{Scratch, fixture, patchwave};

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
        "Not running, but something would start it",
        "not surveyed 777788889999/us-east-1: eks, lambda, batch, sageMaker, schedules",
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
    // A build with the AWS SDK surveys then.
    #[cfg(not(feature = "aws"))]
    assert_eq!(patchwave(&["--hierarchy", &hierarchy, "inventory"]).code, 2);
}

#[test]
fn an_unknown_environment_is_bad_input_with_the_known_ones() {
    let refused = |name: &str| {
        let ran = inventory(&["--env", name]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{name}");
        ran.stderr
    };
    assert_eq!(
        refused("prd"),
        "no environment \"prd\". Did you mean prod? The environments are: prod, test\n"
    );
    assert!(refused("production").contains("Did you mean prod?"));
    assert_eq!(refused("staging"), "no environment \"staging\". The environments are: prod, test\n");
    let scratch = Scratch::new("no-environment");
    let hierarchy = std::fs::read_to_string(fixture("hierarchy/valid/contract.yaml")).unwrap();
    let hierarchy = scratch.write("hierarchy.yaml", hierarchy.split("inventory:").next().unwrap());
    let [survey, facts] = [scratch.write("survey.json", EMPTY), fixture("inventory/facts.json")];
    let ran = patchwave(&[
        "inventory",
        "--hierarchy",
        &hierarchy,
        "--survey",
        &survey,
        "--facts",
        &facts,
        "--env",
        "prod",
    ]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("add `environment:` to the accounts"), "{}", ran.stderr);
}

const EMPTY: &str = r#"{"places": [], "sightings": []}"#;

#[test]
fn what_was_never_surveyed_is_unknown_and_not_clean() {
    let scratch = Scratch::new("never-surveyed");
    let contract = fixture("hierarchy/valid/contract.yaml");
    let without = std::fs::read_to_string(&contract).unwrap();
    let without = scratch.write("hierarchy.yaml", without.split("inventory:").next().unwrap());
    let asked = |hierarchy: &str, survey: &str, more: &[&str]| {
        let (survey, facts) = (scratch.write("survey.json", survey), fixture("inventory/facts.json"));
        let known = ["inventory", "--hierarchy", hierarchy, "--survey", &survey, "--facts", &facts];
        patchwave(&[known.as_slice(), more].concat())
    };
    let never = asked(&contract, EMPTY, &[]);
    assert_eq!(never.code, 1);
    let account = "unknown account 444455556666 (prod) was never surveyed";
    assert!(never.stdout.contains(account), "{}", never.stdout);
    let json = asked(&contract, EMPTY, &["--format", "json"]);
    assert!(json.json()["unknown"][0].as_str().unwrap().starts_with("account 444455556666 (prod)"));
    let csv = asked(&contract, EMPTY, &["--format", "csv"]);
    assert_eq!((csv.code, csv.stdout.lines().count()), (1, 1));
    assert!(csv.stderr.contains(account), "a spreadsheet has no row for it: {}", csv.stderr);

    let no_accounts = asked(&without, EMPTY, &[]);
    assert_eq!(no_accounts.code, 1);
    assert!(no_accounts.stdout.contains("nothing was surveyed: name the accounts"), "{}", no_accounts.stdout);
    let unread = r#"{"places": [{"place": {"account": "444455556666", "region": "us-east-1", "kind": "lambda",
        "environment": "prod"}, "at": "2026-03-20T03:00:00Z", "unread": "denied"}], "sightings": []}"#;
    let unread = asked(&contract, unread, &[]);
    assert_eq!(unread.code, 1);
    assert!(unread.stdout.contains("unknown nothing of what runs was ever read"), "{}", unread.stdout);
}

#[test]
fn a_vulnerability_is_found_however_its_id_is_written_and_maybe_is_not_no() {
    let lower = inventory(&["--cve", "cve-2026-5", "--env", "test"]);
    assert_eq!(lower, inventory(&["--cve", "CVE-2026-5", "--env", "test"]));
    assert_eq!(lower.code, 1);
    let unheard_of = inventory(&["--cve", "CVE-1999-1", "--env", "test"]);
    assert_eq!(unheard_of.code, 1, "services that nobody inspects may run it: {}", unheard_of.stdout);
    assert!(unheard_of.stdout.contains("not surveyed 777788889999/us-east-1: eks, lambda"));
    assert!(unheard_of.stdout.contains("nothing that runs is known to have CVE-1999-1"));
    let scratch = Scratch::new("accepted");
    let contract = std::fs::read_to_string(fixture("hierarchy/valid/contract.yaml")).unwrap();
    let accepts = "  accept: [eks, lambda, batch, sageMaker, schedules, appRunner, codeBuild, emr, microVms, pipes, \
                   stateMachines]\n";
    let hierarchy = contract.replace("  accept: [emr]\n", accepts);
    let hierarchy = scratch.write("hierarchy.yaml", &hierarchy);
    let [survey, facts] = ["inventory/survey.json", "inventory/facts.json"].map(fixture);
    let known = ["--hierarchy", &hierarchy, "inventory", "--survey", &survey, "--facts", &facts];
    let accepted = patchwave(&[&known[..], &["--cve", "CVE-1999-1", "--env", "test"]].concat());
    assert_eq!(accepted.code, 0, "the file accepts them: {}", accepted.stdout);
    let maybe = inventory(&["--cve", "CVE-1999-1"]);
    assert_eq!(maybe.code, 1, "what is not known may have it: {}", maybe.stdout);
}
