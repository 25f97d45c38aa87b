//! The policy on repositories in Rego, on the pods on which the one in CEL is tested.

use patchwave::admission::{Action, Scope, allowed, gatekeeper_manifests};
use patchwave::hierarchy::Hierarchy;
use serde_json::{Value, json};

const PODS: &str = include_str!("../../tests/fixtures/admission/pods.json");
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
