//! The policies in Rego, on the pods on which those in CEL are tested.

use std::collections::BTreeSet;

use patchwave::admission::{
    Action, Scope, admitted, allowed, gatekeeper_digest_manifests, gatekeeper_manifests, lists,
};
use patchwave::facts::Facts;
use patchwave::hierarchy::Hierarchy;
use patchwave::inventory::{Catalog, FoldInput, Inventory, Survey, fold};
use serde_json::{Value, json};

const PODS: &str = include_str!("../../tests/fixtures/admission/pods.json");
const SURVEY: &str = include_str!("../../tests/fixtures/admission/survey.json");
const FACTS: &str = include_str!("../../tests/fixtures/admission/facts.json");
const HIERARCHY: &str = include_str!("../../tests/fixtures/admission/hierarchy.yaml");

fn manifests(action: Action) -> [Value; 2] {
    let hierarchy = Hierarchy::parse("hierarchy.yaml", HIERARCHY).unwrap();
    let scope = Scope { exempt: ["tools".to_owned()].into(), home: "patchwave".to_owned() };
    gatekeeper_manifests(&allowed(&hierarchy), &scope, action).try_into().unwrap()
}

/// Returns what the policy says against a review, with the parameters of a constraint.
fn violations(template: &Value, parameters: &Value, review: &Value) -> Vec<String> {
    let rego = template["spec"]["targets"][0]["rego"].as_str().unwrap();
    let mut engine = regorus::Engine::new();
    engine.set_rego_v0(true);
    let package = engine.add_policy("policy.rego".to_owned(), rego.to_owned()).unwrap();
    engine.set_input_json(&json!({"review": review, "parameters": parameters}).to_string()).unwrap();
    let found = engine.eval_rule(format!("{package}.violation")).unwrap().to_json_str().unwrap();
    let found: Vec<Value> = serde_json::from_str(&found).unwrap();
    found.iter().map(|one| one["msg"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn gatekeeper_admits_the_pods_that_the_policy_in_cel_admits() {
    let [template, constraint] = manifests(Action::Warn);
    let cases: Vec<Value> = serde_json::from_str(PODS).unwrap();
    assert!(cases.len() > 25);
    for case in &cases {
        let old = case.get("oldObject");
        let operation = if old.is_some() { "UPDATE" } else { "CREATE" };
        let review = json!({"object": case["object"], "oldObject": old, "operation": operation});
        let against = violations(&template, &constraint["spec"]["parameters"], &review);
        assert_eq!(case["admitted"], against.is_empty(), "{}: {against:?}", case["name"]);
        // The audit names no operation.
        if old.is_none() {
            let audit = json!({"object": case["object"]});
            let again = violations(&template, &constraint["spec"]["parameters"], &audit);
            assert_eq!(again, against, "{}", case["name"]);
        }
    }
    let good = cases.iter().find(|case| case["admitted"] == true).unwrap();
    let review = json!({"object": good["object"], "operation": "CREATE"});
    for parameters in [json!(null), json!({}), json!({"repositories": []})] {
        assert!(!violations(&template, &parameters, &review).is_empty(), "a list that is missing refuses");
    }
}

/// The template, the constraint of namespaces without a list, and that of `shop`, which runs images.
fn digest_manifests() -> [Value; 3] {
    let hierarchy = Hierarchy::parse("hierarchy.yaml", HIERARCHY).unwrap();
    let (facts, survey): (Facts, Survey) =
        (serde_json::from_str(FACTS).unwrap(), serde_json::from_str(SURVEY).unwrap());
    let catalog = Catalog::new(&hierarchy, &facts);
    let now = survey.places.iter().map(|read| read.at).max().unwrap();
    let input =
        FoldInput { survey: &survey, began: now, ended: true, hierarchy: &hierarchy, catalog: &catalog, now };
    let inventory = fold(&Inventory::default(), &input).inventory;
    let scope = Scope { exempt: BTreeSet::new(), home: "patchwave".to_owned() };
    let admitted = admitted(&hierarchy, &facts, &inventory, now);
    let lists = lists(&inventory, &admitted, &BTreeSet::new(), &scope);
    let at = facts.observed_at;
    let manifests = gatekeeper_digest_manifests(&lists, &allowed(&hierarchy), &scope, Action::Warn, at);
    manifests.try_into().unwrap()
}

#[test]
fn gatekeeper_admits_the_digests_that_the_policy_in_cel_admits() {
    let [first, repositories] = manifests(Action::Warn);
    let [template, elsewhere, shop] = digest_manifests();
    assert_eq!(shop["spec"]["match"]["namespaces"], json!(["shop"]));
    let cases: Vec<Value> = serde_json::from_str(PODS).unwrap();
    for case in &cases {
        let old = case.get("oldObject");
        let operation = if old.is_some() { "UPDATE" } else { "CREATE" };
        let review = json!({"object": case["object"], "oldObject": old, "operation": operation});
        let against = violations(&template, &shop["spec"]["parameters"], &review);
        let alone = against.is_empty();
        assert_eq!(case["admittedByDigestAlone"], alone, "{}: {against:?}", case["name"]);
        let both = alone && violations(&first, &repositories["spec"]["parameters"], &review).is_empty();
        assert_eq!(case["admittedByDigest"], both, "{}", case["name"]);
        // A namespace without a list refuses what starts an image, as a missing parameter does.
        let without = violations(&template, &elsewhere["spec"]["parameters"], &review);
        let changes = old.is_none_or(|old| old["spec"] != case["object"]["spec"]);
        assert_eq!(without.is_empty(), !changes, "{}: {without:?}", case["name"]);
    }
    let admitted = |key: &str| cases.iter().filter(|case| case[key] == true).count();
    assert!(
        admitted("admittedByDigestAlone") > admitted("admittedByDigest"),
        "each refuses what the other admits"
    );
}

#[test]
fn a_namespace_has_its_own_digests_and_another_has_none() {
    let [_, elsewhere, shop] = digest_manifests();
    assert_eq!(elsewhere["spec"].get("parameters"), None);
    let left_out = json!(["kube-node-lease", "kube-public", "kube-system", "shop"]);
    assert_eq!(elsewhere["spec"]["match"]["excludedNamespaces"], left_out);
    assert!(shop["metadata"]["annotations"]["patchwave.dev/revision"].is_string());
    assert_eq!(shop["spec"]["enforcementAction"], "warn");
    assert_eq!(
        shop["spec"]["parameters"]["patterns"].as_array().unwrap().len(),
        2,
        "what others build passes"
    );
}

#[test]
fn the_constraint_warns_first_and_leaves_the_system_out() {
    let [template, constraint] = manifests(Action::Warn);
    assert_eq!(template["metadata"]["name"], "patchwaverepositories");
    assert_eq!(template["spec"]["crd"]["spec"]["names"]["kind"], constraint["kind"]);
    assert_eq!(constraint["spec"]["enforcementAction"], "warn");
    let left_out = json!(["kube-node-lease", "kube-public", "kube-system", "tools"]);
    assert_eq!(constraint["spec"]["match"]["excludedNamespaces"], left_out);
    assert_eq!(manifests(Action::Deny)[1]["spec"]["enforcementAction"], "deny");
}
