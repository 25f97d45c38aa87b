//! The example of the contract.

use std::path::Path;

use patchwave::finding::Severity;
use patchwave::hierarchy::{Direction, Hierarchy, Line, Parent, ParentKind, Variable, json_schema};
use patchwave::policy::{Deadlines, Mode, Patience, Rebuild};
use patchwave::time::Span;

use super::id;

fn contract() -> Hierarchy {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/hierarchy/valid/contract.yaml");
    let yaml = std::fs::read_to_string(path).unwrap();
    Hierarchy::parse("contract.yaml", &yaml).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn images_are_read_in_build_order() {
    let hierarchy = contract();
    let ids: Vec<&str> = hierarchy.images().map(|image| image.id.as_str()).collect();
    assert_eq!(ids, ["base/al2023", "platform/go:1.23", "platform/node:22", "apps/checkout"]);
    assert_eq!(hierarchy.registry().account(), "111122223333");
    assert_eq!(hierarchy.registry().region(), "us-east-1");
    assert_eq!(hierarchy.limits().max_concurrent_builds, 20);

    let node = hierarchy.image(&id("platform/node:22")).unwrap();
    assert_eq!(node.from, Parent::Image(id("base/al2023")));
    assert_eq!(node.copy_from, [Parent::Image(id("platform/go:1.23"))]);
    let pipeline = node.pipeline.as_ref().unwrap();
    assert_eq!(pipeline.name, "platform-node");
    assert_eq!(pipeline.variables, [Variable::BaseImage, Variable::BuildKey, Variable::NoCache]);
    assert_eq!(pipeline.sources[0].action, "Source");
}

#[test]
fn the_policy_nearest_to_an_image_counts() {
    let hierarchy = contract();
    let checkout = hierarchy.image(&id("apps/checkout")).unwrap();
    assert!(matches!(&checkout.line, Line::Newest(pattern) if pattern.as_str() == "main-*"));
    assert_eq!(checkout.pipeline.as_ref().unwrap().variables, Variable::ALL);
    let policy = &checkout.policy;
    assert_eq!(
        (policy.mode, policy.rebuild, policy.rebuild_at),
        (Mode::Enforce, Rebuild::Approval, Severity::Critical)
    );
    assert_eq!(policy.quiet_period, Patience { critical: Span::ZERO, default: Span::minutes(10) });
    assert_eq!(
        policy.deadlines,
        Deadlines { critical: Span::hours(24), high: Span::days(3), medium: Span::days(30) }
    );
    assert!(policy.suppress.is_empty());
}

#[test]
fn a_suppression_ends_with_its_last_day() {
    let hierarchy = contract();
    let base = hierarchy.image(&id("base/al2023")).unwrap();
    assert_eq!(base.policy.suppress.len(), 1);
    assert_eq!(base.policy.suppress[0].until, "2027-01-01T00:00:00Z".parse().unwrap());
}

#[test]
fn the_inventory_names_its_accounts_and_regions() {
    let hierarchy = contract();
    let inspected = hierarchy.inspected();
    assert_eq!(inspected.regions, ["us-east-1"]);
    let account = &inspected.accounts[0];
    assert_eq!((account.id.as_str(), account.environment.as_deref()), ("444455556666", Some("prod")));
    let role = account.role.as_ref().unwrap();
    assert_eq!((role.name.as_str(), &role.external_id), ("patchwave-inventory", &None));
    let organization = inspected.organization.as_ref().unwrap();
    assert_eq!(organization.units, ["ou-ab12-cdefgh34", "r-ab12"]);
    assert_eq!(organization.environment_tag.as_deref(), Some("environment"));
    assert_eq!(organization.role.as_ref().unwrap().name, "patchwave-inventory");
    assert!(inspected.accepts_unread("444455556666", "vault"));
    assert!(!inspected.accepts_unread("444455556666", "shop"));
    assert!(!inspected.accepts_unread("111122223333", "vault"), "another account's cluster of that name");
}

#[test]
fn each_line_of_an_image_is_an_image_of_its_own() {
    let hierarchy = Hierarchy::parse(
        "lines.yaml",
        r#"
version: 1
registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com
inventory: { regions: [us-east-1], accounts: [{ id: "444455556666", environment: prod }] }
images:
  - { id: base/os, tier: base, repository: base/os, tags: ["1"], from: scratch }
  - tier: application
    repository: apps/ledger
    lines: [{ environment: prod, current: deployed }, { tagPattern: "main-*", current: newest }]
    from: base/os
    pipeline: { name: apps-ledger, sources: [{ action: Source, type: COMMIT_ID }] }
  - { tier: application, repository: apps/report, tags: ["1"], from: apps/ledger }
"#,
    )
    .unwrap_or_else(|errors| panic!("{errors}"));
    let children: Vec<&str> =
        hierarchy.children(&id("base/os")).map(|child| child.image.id.as_str()).collect();
    assert_eq!(children, ["apps/ledger", "apps/ledger@prod"]);
    let deployed = hierarchy.image(&id("apps/ledger@prod")).unwrap();
    assert_eq!(deployed.line, Line::Deployed { environment: "prod".to_owned(), workloads: Vec::new() });
    assert_eq!(
        deployed.pipeline.as_ref().unwrap().name,
        "apps-ledger",
        "the commit tells the two lines apart"
    );
    let report = hierarchy.image(&id("apps/report:1")).unwrap();
    assert_eq!(report.from, Parent::Image(id("apps/ledger")), "the name without a line means the newest");
}

#[test]
fn parents_and_children_are_those_of_the_file() {
    let hierarchy = contract();
    let parents: Vec<_> =
        hierarchy.parents(&id("platform/node:22")).map(|edge| (edge.kind, edge.image.id.as_str())).collect();
    assert_eq!(parents, [(ParentKind::From, "base/al2023"), (ParentKind::CopyFrom, "platform/go:1.23")]);
    assert_eq!(hierarchy.children(&id("apps/checkout")).count(), 0);
    assert_eq!(hierarchy.parents(&id("nobody")).count(), 0);
    assert_eq!(hierarchy.root_of(&id("apps/checkout")).unwrap().id, id("base/al2023"));
    assert_eq!(hierarchy.in_repository(&"platform/node".parse().unwrap()).count(), 1);

    let below = hierarchy.query([&id("platform/go:1.23")], Direction::Descendants).unwrap().resolve();
    let waves: Vec<Vec<&str>> =
        below.waves().iter().map(|wave| wave.iter().map(|image| image.id.as_str()).collect()).collect();
    assert_eq!(waves, [["platform/go:1.23"], ["platform/node:22"], ["apps/checkout"]]);
}

#[test]
fn an_image_is_found_by_each_of_its_names() {
    let hierarchy = contract();
    assert_eq!(hierarchy.resolve("platform/node:22.9").unwrap().id, id("platform/node:22"));
    assert_eq!(hierarchy.resolve("base/al2023:2023").unwrap().id, id("base/al2023"));
    assert_eq!(
        hierarchy.resolve("platform/nod").unwrap_err().to_string(),
        "no image \"platform/nod\" in the hierarchy; did you mean platform/node:22?"
    );
    assert!(hierarchy.query([&id("nobody")], Direction::Ancestors).is_err());
}

#[test]
fn the_schema_has_the_keys_of_the_file_and_no_others() {
    let schema = json_schema();
    assert_eq!(schema["additionalProperties"], false);
    let keys = |pointer: &str| -> Vec<String> {
        let properties = schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer} in {schema:#}"));
        properties.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(
        keys("/properties"),
        [
            "approved",
            "builders",
            "images",
            "inventory",
            "owners",
            "parts",
            "policy",
            "registries",
            "registry",
            "tiers",
            "upstreams",
            "version"
        ]
    );
    for definition in schema["$defs"].as_object().unwrap().values().filter(|d| d["type"] == "object") {
        assert_eq!(definition["additionalProperties"], false, "{definition:#}");
    }
    let policy = [
        "deadlines",
        "maxAge",
        "maxBuildTime",
        "maxWait",
        "mode",
        "promotion",
        "proofWait",
        "quietPeriod",
        "rebuild",
        "rebuildAt",
        "scanMaxAge",
        "unknownFix",
        "upstreamSilence",
    ];
    let with = |own: &[&'static str]| {
        let mut all = [policy.as_slice(), own].concat();
        all.sort_unstable();
        all
    };
    assert_eq!(keys("/$defs/TierKeys/properties"), with(&["owner", "pipeline", "tagPattern"]));
    assert_eq!(
        keys("/$defs/FleetKeys/properties"),
        with(&["maxConcurrentBuilds", "maxStartsPerDay", "suppress"])
    );
    assert_eq!(
        keys("/$defs/ImageKeys/properties"),
        with(&[
            "copyFrom",
            "from",
            "id",
            "lines",
            "owner",
            "pinned",
            "pipeline",
            "registry",
            "repository",
            "tagPattern",
            "tags",
            "tier"
        ])
    );
    assert_eq!(
        schema.pointer("/$defs/ImageKeys/required").unwrap(),
        &serde_json::json!(["tier", "repository", "from"])
    );
}
