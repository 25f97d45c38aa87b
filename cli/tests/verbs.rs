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
fn warnings_are_no_errors_and_have_their_place() {
    let file = fixture("hierarchy/warned/pinned.yaml");
    let expected = std::fs::read_to_string(file.replace(".yaml", ".txt")).unwrap();
    let ran = patchwave(&["validate", &file]);
    assert_eq!(ran.code, 0);
    assert_eq!(ran.stderr.replace(&file, "pinned.yaml"), expected);
    assert!(ran.stdout.ends_with("; 3 warnings)\n"), "{}", ran.stdout);

    let json = patchwave(&["validate", &file, "--format", "json"]);
    assert_eq!((json.code, json.stderr.as_str()), (0, ""));
    let warnings = json.json()["warnings"].as_array().unwrap().clone();
    for (warning, line) in warnings.iter().zip(expected.lines()) {
        let place = format!("pinned.yaml:{}:{}: warning: ", warning["line"], warning["column"]);
        assert_eq!(format!("{place}{}", warning["message"].as_str().unwrap()), line);
    }
    assert_eq!(warnings.len(), 3);
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
fn the_graph_is_drawn_for_graphviz_and_for_mermaid() {
    let file = fixture("hierarchy/valid/contract.yaml");
    let dot = patchwave(&["graph", "--hierarchy", &file, "--format", "dot"]);
    assert_eq!((dot.code, dot.stderr.as_str()), (0, ""));
    for line in [
        "digraph patchwave {",
        "  \"public.ecr.aws/amazonlinux/amazonlinux:2023\" -> \"base/al2023\";",
        "  \"platform/go:1.23\" -> \"platform/node:22\" [style=dashed, label=\"copyFrom\"];",
        "  \"platform/node:22\" -> \"apps/checkout\";",
        "}",
    ] {
        assert!(dot.stdout.lines().any(|drawn| drawn == line), "{line} in {}", dot.stdout);
    }
    let mermaid = patchwave(&["graph", "--hierarchy", &file, "--format", "mermaid"]).stdout;
    assert_eq!(
        mermaid,
        "flowchart LR
  n0[\"base/al2023\"]
  n1[\"platform/go:1.23\"]
  n2[\"platform/node:22\"]
  n3[\"apps/checkout\"]
  n4([\"public.ecr.aws/amazonlinux/amazonlinux:2023\"])
  n4 --> n0
  n0 --> n2
  n1 -.->|copyFrom| n2
  n2 --> n3
"
    );
}

#[test]
fn impact_of_an_upstream_image_is_what_is_built_on_it_in_any_spelling() {
    let scratch = Scratch::new("upstream");
    let file = scratch.write(
        "hierarchy.yaml",
        r#"{ version: 1, registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com, images: [
          { id: os, tier: base, repository: os, tags: ["1"], from: "docker.io/library/debian:13" },
          { id: py, tier: platform, repository: py, tags: ["3"], from: os, copyFrom: ["ghcr.io/astral-sh/uv:0.9"] },
          { id: old, tier: base, repository: old, tags: ["1"], from: "docker.io/debian:12" }] }"#,
    );
    let rebuilt = |name: &str| {
        let impact = patchwave(&["--hierarchy", &file, "impact", name, "--format", "json"]).json();
        (impact["image"].clone(), impact["rebuilt"].clone())
    };
    assert_eq!(rebuilt("docker.io/library/debian:13").1, serde_json::json!(["os", "py"]));
    assert_eq!(rebuilt("debian:13"), ("debian:13".into(), serde_json::json!(["os", "py"])));
    assert_eq!(rebuilt("index.docker.io/debian").1, serde_json::json!(["old", "os", "py"]), "any tag");
    assert_eq!(rebuilt("ghcr.io/astral-sh/uv:0.9").1, serde_json::json!(["py"]));
    let text = patchwave(&["--hierarchy", &file, "impact", "debian:13"]).stdout;
    assert!(text.starts_with("On debian:13 are built 2 images, rebuilt in 2 waves:"), "{text}");
    assert_eq!(patchwave(&["--hierarchy", &file, "impact", "debian:11"]).code, 2);
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
    assert_eq!(fresh["hold"]["image"], "apps/mailer", "a hold has one form in every answer");

    let text = patchwave(&["--hierarchy", &hierarchy, "why", "base/al2023:2023.9", "--facts", &facts]).stdout;
    assert!(text.contains("CVE-2026-31337 in openssl") && text.contains("base-al2023"), "{text}");
}

#[test]
fn why_names_the_inherited_findings_and_plan_what_tries_cost() {
    let (_scratch, hierarchy, facts) = changed("inherited", |facts| {
        for image in facts["images"].as_object_mut().unwrap().values_mut() {
            for version in image["versions"].as_object_mut().unwrap().values_mut() {
                for manifest in version["platforms"].as_object_mut().unwrap().values_mut() {
                    let complete = &mut manifest["scan"]["complete"];
                    complete["coverage"] = "os".into();
                    for finding in complete["findings"].as_array_mut().into_iter().flatten() {
                        finding["fix"] = "unknown".into();
                    }
                }
            }
        }
    });
    let of = |verb: &[&str], format: &str| {
        let more = ["--hierarchy", &hierarchy, "--facts", &facts, "--format", format];
        patchwave(&[verb, &more].concat())
    };
    let retries = of(&["plan"], "json").json()["retries"].clone();
    let (images, builds) =
        (retries["images"].as_u64().unwrap(), retries["buildsInThirtyDays"].as_u64().unwrap());
    assert!(images > 0 && builds == 6 * images, "{retries}");
    let text = of(&["plan"], "text").stdout;
    assert!(
        text.contains("unknownFix: retry") && text.contains(&format!("at most {builds} builds")),
        "{text}"
    );
    let why = of(&["why", "apps/mailer"], "json").json();
    assert_eq!(why["inherited"]["CVE-2026-22430 in gdbm"], "platform/ruby:3.3", "{why}");
    let text = of(&["why", "apps/mailer"], "text").stdout;
    assert!(text.contains("from platform/ruby:3.3: CVE-2026-22430 in gdbm"), "{text}");
}

/// The demo's hierarchy and facts, changed by `change`.
fn changed(name: &str, change: impl FnOnce(&mut Value)) -> (Scratch, String, String) {
    let scratch = Scratch::new(name);
    let (hierarchy, facts) = (scratch.path("hierarchy.yaml"), scratch.path("facts.json"));
    assert_eq!(patchwave(&["demo", "--save-hierarchy", &hierarchy, "--save-facts", &facts]).code, 0);
    let mut json: Value = serde_json::from_str(&std::fs::read_to_string(&facts).unwrap()).unwrap();
    change(&mut json);
    let facts = scratch.write("changed.json", &json.to_string());
    (scratch, hierarchy, facts)
}

#[test]
fn a_deadline_is_shown_with_its_reason() {
    fn not_exploited(facts: &mut Value) {
        for version in facts["images"]["base/al2023"]["versions"].as_object_mut().unwrap().values_mut() {
            for manifest in version["platforms"].as_object_mut().unwrap().values_mut() {
                for finding in manifest["scan"]["complete"]["findings"].as_array_mut().into_iter().flatten() {
                    finding["exploited"] = false.into();
                }
            }
        }
    }
    let in_production = |facts: &mut Value| {
        not_exploited(facts);
        let version = facts["images"]["base/al2023"]["current"]["version"].clone();
        let at = "2026-11-20T00:00:00Z";
        facts["deployments"]["base/al2023"] =
            serde_json::json!({"environments": {"prod": {"version": version, "since": at, "lastSeen": at}}});
    };
    let shown = |name: &str, change: &dyn Fn(&mut Value)| {
        let (_scratch, hierarchy, facts) = changed(name, change);
        let asked = ["--hierarchy", &hierarchy, "--facts", &facts];
        let [plan, why] = [&["plan"][..], &["why", "base/al2023"]].map(|verb| {
            let text = patchwave(&[verb, &asked[..]].concat()).stdout;
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        });
        let line = why[why.find("due ").unwrap()..].to_owned();
        assert!(plan.contains(&line), "{line} in {plan}");
        line
    };
    assert_eq!(
        shown("due-exploited", &|_| {}),
        "due 2026-11-20T09:04:00Z: at once, because an exploit of CVE-2026-31337 in openssl is known"
    );
    assert_eq!(
        shown("due-critical", &not_exploited),
        "due 2026-11-21T09:04:00Z: 1d after CVE-2026-31337 in openssl appeared (critical)"
    );
    assert_eq!(
        shown("due-production", &in_production),
        "due 2026-11-20T21:04:00Z: half of 1d after CVE-2026-31337 in openssl appeared (critical), because it \
         runs in production"
    );
}

#[test]
fn a_limit_that_keeps_no_deadline_is_named_with_what_would() {
    let scratch = Scratch::new("shortfall");
    let (hierarchy, facts) = (scratch.path("hierarchy.yaml"), scratch.path("facts.json"));
    assert_eq!(patchwave(&["demo", "--save-hierarchy", &hierarchy, "--save-facts", &facts]).code, 0);
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let facts = read(&facts).replace("\"exploited\": true", "\"exploited\": false");
    let facts = scratch.write("later.json", &facts.replace("\"exploited\":true", "\"exploited\":false"));
    let yaml = read(&hierarchy);
    let asked = |slots: u32, form: &str| {
        let limit = format!("maxConcurrentBuilds: {slots}");
        let hierarchy = scratch.write("limited.yaml", &yaml.replace("maxConcurrentBuilds: 12", &limit));
        patchwave(&["plan", "--hierarchy", &hierarchy, "--facts", &facts, "--format", form])
    };
    let short = asked(1, "json").json()["shortfall"].clone();
    let enough = u32::try_from(short["raise"]["concurrentBuilds"].as_u64().unwrap()).unwrap();
    let text = asked(1, "text").stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(&format!("Raise maxConcurrentBuilds to {enough}")), "{text}");
    assert!(text.contains("miss the deadline"), "{text}");
    assert!(asked(enough - 1, "json").json()["shortfall"].is_object());
    assert!(asked(enough, "json").json()["shortfall"].is_null());
}

#[test]
fn facts_that_do_not_describe_the_hierarchy_say_so() {
    let (scratch, hierarchy, facts) = changed("other-facts", |_| {});
    let empty = scratch.write("empty.json", r#"{"images": {}}"#);
    let plan =
        |hierarchy: &str, facts: &str| patchwave(&["plan", "--hierarchy", hierarchy, "--facts", facts]);
    assert_eq!(plan(&hierarchy, &facts).code, 0);
    let nothing = plan(&hierarchy, &empty);
    assert_eq!(nothing.code, 1);
    assert!(nothing.stdout.contains("the facts do not describe 39 of 39 images"), "{}", nothing.stdout);
    let other = plan(&fixture("hierarchy/valid/contract.yaml"), &facts);
    assert_eq!(other.code, 1);
    assert!(other.stdout.contains("35 images that the hierarchy does not name"), "{}", other.stdout);
    let json = patchwave(&["plan", "--hierarchy", &hierarchy, "--facts", &empty, "--format", "json"]).json();
    assert_eq!(json["notInFacts"].as_array().unwrap().len(), 39);
    let no_images = scratch.write(
        "empty.yaml",
        "version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\nimages: []\n",
    );
    assert_eq!(plan(&no_images, &empty).code, 1);
    assert_eq!(patchwave(&["requests", "--hierarchy", &no_images]).code, 2);
    let unasked = patchwave(&["why", "base/al2023", "--hierarchy", &hierarchy, "--facts", &empty]);
    assert_eq!(unasked.code, 1);
    assert!(unasked.stdout.contains("unknown the facts do not describe base/al2023"), "{}", unasked.stdout);
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

#[test]
fn a_simulation_says_in_its_last_line_whether_it_passed() {
    let last = |arguments: &[&str]| {
        let ran = patchwave(&[&["simulate", "--alone"], arguments].concat());
        (ran.code, ran.stdout.lines().last().unwrap().to_owned())
    };
    assert_eq!(last(&["--seeds", "5"]), (0, "Passed: no violation.".to_owned()));
    // In fleets with few faults some kinds are rare: a run that does not see them fails, and says so.
    let rare = ["--seeds", "200", "--first", "200", "--faults", "some"];
    let ran = patchwave(&[&["simulate", "--alone"], &rare[..]].concat());
    assert_eq!(ran.code, 1);
    let (_, verdict) = ran.stdout.rsplit_once("\n\n").unwrap();
    assert!(verdict.starts_with("Failed: simulate more seeds, because these kinds of fault never struck:"));
    assert!(!ran.stdout.contains("Some("), "{}", ran.stdout);
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

/// What the demo saves: an organisation with a critical finding in its base.
fn demo(name: &str) -> (Scratch, String, String) {
    let scratch = Scratch::new(name);
    let (hierarchy, facts) = (scratch.path("hierarchy.yaml"), scratch.path("facts.json"));
    assert_eq!(patchwave(&["demo", "--save-hierarchy", &hierarchy, "--save-facts", &facts]).code, 0);
    (scratch, hierarchy, facts)
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn plan_says_in_numbers_what_it_leads_to() {
    let (_scratch, hierarchy, facts) = demo("prediction");
    let asked = ["plan", "--hierarchy", &hierarchy, "--facts", &facts];
    let json = patchwave(&[&asked[..], &["--format", "json"]].concat()).json();
    let predicted = &json["prediction"];
    let children = predicted["children"].as_array().unwrap().len();
    assert_eq!(
        (&predicted["first"], children),
        (&serde_json::json!(["base/al2023"]), 29),
        "as the demo builds"
    );
    let text = words(&patchwave(&asked).stdout);
    let cleared = predicted["cleared"].as_u64().unwrap();
    let sentence = format!("predicted rebuild 1 image and the 29 built on it: clears {cleared} findings in");
    assert!(text.contains(&sentence), "{text}");
    assert!(text.contains("at 12 at a time"), "{text}");
    assert_eq!(predicted["stay"]["Frozen"], serde_json::json!(["apps/crm"]), "{predicted}");
    assert!(cleared >= 25, "those that inherit the layer have it too: {predicted}");
    let observing = patchwave(&[&asked[..], &["--mode", "observe"]].concat()).stdout;
    assert!(words(&observing).contains("if enforced rebuild 1 image and "), "{observing}");
}

#[test]
fn plan_shows_the_days_of_the_first_enforcement() {
    let (_scratch, hierarchy, facts) = demo("first-enforcement");
    let asked = ["plan", "--hierarchy", &hierarchy, "--facts", &facts];
    assert!(!patchwave(&asked).stdout.contains("from now on"));
    let asked = [&asked[..], &["--first-enforcement"]].concat();
    let text = patchwave(&asked).stdout;
    assert!(text.contains("If every image is enforced from now on: "), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let json = patchwave(&[&asked[..], &["--format", "json"]].concat()).json();
    let days = json["firstEnforcement"]["days"].as_array().unwrap();
    let builds: usize = days.iter().map(|day| day["images"].as_array().unwrap().len()).sum();
    assert_eq!(json["firstEnforcement"]["builds"], builds);
    assert!(builds >= 30, "{builds}");
}

#[test]
fn impact_of_a_vulnerability_names_who_introduced_it_and_who_inherits_it() {
    let (_scratch, hierarchy, facts) = demo("impact-cve");
    let asked = ["impact", "cve-2026-31337", "--hierarchy", &hierarchy, "--facts", &facts];
    let ran = patchwave(&[&asked[..], &["--format", "json"]].concat());
    assert_eq!(ran.code, 1, "it was found");
    let json = ran.json();
    let own: Vec<&Value> =
        json["carriers"].as_array().unwrap().iter().filter(|c| c["source"]["is"] == "own").collect();
    assert_eq!(own.iter().map(|c| &c["image"]).collect::<Vec<_>>(), ["base/al2023"], "{json}");
    assert!(json["expected"].as_object().unwrap().len() >= 29, "no child was scanned since: {json}");
    let text = words(&patchwave(&asked).stdout);
    assert!(text.contains("in the layers of base/al2023, and not scanned since it appeared"), "{text}");
    let none = patchwave(&["impact", "CVE-1999-1", "--hierarchy", &hierarchy, "--facts", &facts]);
    assert!(none.stdout.contains("no current version is known to have it"), "{}", none.stdout);
}

#[test]
fn why_explains_a_vulnerability_a_digest_and_a_reference() {
    let (_scratch, hierarchy, facts) = demo("why-what");
    let ask = |what: &str| patchwave(&["why", what, "--hierarchy", &hierarchy, "--facts", &facts]);
    let cve = ask("CVE-2026-31337");
    assert!(
        words(&cve.stdout).contains("it counts: rebuildAt is high; introduced by the image itself"),
        "{cve:?}"
    );
    assert!(words(&cve.stdout).contains("nothing: the build of base/al2023 starts now"), "{cve:?}");

    let known: Value = serde_json::from_str(&std::fs::read_to_string(&facts).unwrap()).unwrap();
    let digest = known["images"]["base/al2023"]["current"]["version"].as_str().unwrap();
    let whole = ask(digest);
    assert_eq!(whole.code, 0);
    assert!(words(&whole.stdout).contains("is a version of base/al2023"), "{whole:?}");
    assert!(whole.stdout.contains("it is the current version"), "{whole:?}");
    assert_eq!(ask(&digest[7..19]), whole, "as short as it is printed");

    let host = "111122223333.dkr.ecr.us-east-1.amazonaws.com";
    let named = ask(&format!("{host}/base/al2023:2023"));
    assert_eq!(named.stdout, ask("base/al2023").stdout);
    let upstream = ask("public.ecr.aws/amazonlinux/amazonlinux:2023");
    assert!(upstream.stdout.contains("is a parent that others build"), "{upstream:?}");
    let stranger = ask("quay.io/someone/tool:1");
    assert_eq!(stranger.code, 1);
    assert!(words(&stranger.stdout).contains("name quay.io/someone/tool under `approved`"), "{stranger:?}");
    let mine = ask(&format!("{host}/nobodys/image:1"));
    assert!(mine.stdout.contains("on no line of it"), "{mine:?}");
    assert_eq!(ask("base/al2032").code, 2, "a spelling mistake stays bad input");
}

#[test]
fn why_shows_what_ran_before_and_what_was_predicted() {
    let (scratch, hierarchy, facts) = demo("why-ran");
    let mut snapshot: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&facts).unwrap()).unwrap();
    let version = |n: &str, day: u32| {
        serde_json::json!({ "version": format!("sha256:{}", n.repeat(32)), "since": format!("2026-02-{day:02}T08:00:00Z"),
            "lastSeen": format!("2026-02-{:02}T03:00:00Z", day + 3) })
    };
    let ran = [version("aa", 20), version("bb", 17), version("cc", 14)];
    snapshot["deployments"]["base/al2023"] =
        serde_json::json!({ "environments": {}, "ran": { "444455556666": [ran[2]], "prod": ran } });
    snapshot["images"]["base/al2023"]["record"]["predicted"] = serde_json::json!({
        "since": "2026-02-20T08:00:00Z", "images": 30, "takes": "95m", "findings": 12,
        "happened": { "images": 29, "took": "2h" } });
    let facts = scratch.write("ran.json", &snapshot.to_string());
    let ask = |format: &str| {
        patchwave(&["why", "base/al2023", "--hierarchy", &hierarchy, "--facts", &facts, "--format", format])
    };
    let text = ask("text").stdout;
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    for line in [
        "  prod ran before, and a roll-back may start:\n    aaaaaaaaaaaa from 2026-02-20T08:00:00Z until 2026-02-23T03:00:00Z\n",
        "    cccccccccccc from 2026-02-14T08:00:00Z until 2026-02-17T03:00:00Z\n",
        "  predicted 2026-02-20T08:00:00Z: 30 images rebuilt in 1h 35m for 12 findings;\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    assert!(text.replace("\n ", "").contains("it was 29 images in 2h 00m"), "{text}");
    let json = ask("json").json();
    assert_eq!(json["ran"]["prod"].as_array().unwrap().len(), 3);
    assert_eq!(json["predicted"]["happened"]["images"], 29);
}
