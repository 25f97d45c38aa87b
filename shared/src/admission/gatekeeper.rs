//! The policies as OPA Gatekeeper takes them. They say the same as those in CEL.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::allowed::Allowed;
use super::digests::{NAME, NamespaceList, others};
use super::manifests::{Action, REFERENCE, Scope, data};
use crate::time::Timestamp;

/// The kinds of the constraints. A template's name must be the lower case of its kind:
/// <https://open-policy-agent.github.io/gatekeeper/website/docs/constrainttemplates>.
const REPOSITORIES: &str = "PatchwaveRepositories";
const DIGESTS: &str = "PatchwaveDigests";

/// The policies, in the syntax that every release of Gatekeeper takes. What has no image in it is
/// refused, as the API server refuses what CEL cannot evaluate.
const OF_REPOSITORIES: &str = r#"package patchwaverepositories

reference := `REFERENCE`

violation[{"msg": msg}] {
  changed
  image := images(input.review.object)[_]
  not regex.match(reference, image)
  msg := sprintf("%v is not named by its digest: write host/repository@sha256:...", [image])
}

violation[{"msg": msg}] {
  changed
  image := images(input.review.object)[_]
  not allowed(image)
  msg := sprintf("the repository of %v is not in Patchwave's hierarchy file: add it to `images` or `approved`", [image])
}

allowed(image) {
  startswith(image, concat("", [input.parameters.repositories[_], "@"]))
}

allowed(image) {
  startswith(image, concat("", [input.parameters.repositories[_], ":"]))
}
"#;

const OF_DIGESTS: &str = r#"package patchwavedigests

violation[{"msg": msg}] {
  changed
  image := images(input.review.object)[_]
  not allowed(image)
  msg := sprintf("the digest of %v is not admitted: it has findings, was not scanned, or is too old", [image])
}

violation[{"msg": msg}] {
  changed
  not input.parameters.digests
  msg := "the namespace has no list of admitted digests: print one with --namespace"
}

allowed(image) {
  parts := split(image, "@sha256:")
  count(parts) > 1
  input.parameters.digests[parts[count(parts) - 1]]
}
"#;

/// What both ask of a pod.
const OF_PODS: &str = r#"
allowed(image) {
  regex.match(input.parameters.patterns[_], image)
}

is_update {
  input.review.operation == "UPDATE"
}

changed {
  not is_update
}

changed {
  is_update
  images(input.review.object) != images(input.review.oldObject)
}

images(pod) = all {
  containers := [object.get(c, "image", "") | c := pod.spec.containers[_]]
  first := [object.get(c, "image", "") | c := pod.spec.initContainers[_]]
  ephemeral := [object.get(c, "image", "") | c := pod.spec.ephemeralContainers[_]]
  volumes := [object.get(v.image, "reference", "") | v := pod.spec.volumes[_]; v.image]
  all := array.concat(array.concat(containers, first), array.concat(ephemeral, volumes))
}
"#;

/// Returns the template with the policy on repositories, and the constraint with the list.
/// Gatekeeper makes the constraint's kind from the template, so the template is applied first.
pub fn gatekeeper_manifests(allowed: &BTreeSet<Allowed>, scope: &Scope, action: Action) -> Vec<Value> {
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let rego = OF_REPOSITORIES.replace("REFERENCE", REFERENCE) + OF_PODS;
    let template = template(REPOSITORIES, &rego, &json!({"repositories": texts, "patterns": texts}));
    let (mut repositories, mut patterns) = (Vec::new(), Vec::new());
    for (key, value) in data(allowed) {
        if key.starts_with("pattern.") { patterns.push(value) } else { repositories.push(value) }
    }
    let mut constraint = constraint(REPOSITORIES, "patchwave-repositories", (scope, action));
    constraint["spec"]["parameters"] = json!({"repositories": repositories, "patterns": patterns});
    vec![template, constraint]
}

/// Returns the template with the policy on digests, a constraint with the list of each namespace,
/// and one for the namespaces that have no list: it refuses, as the policy in CEL does where its
/// parameter is missing.
///
/// The lists are parameters. Gatekeeper reads a `ConfigMap` only if its cache is set up to hold all
/// of them, and then the policy would be silent until it does.
pub fn gatekeeper_digest_manifests(
    lists: &[NamespaceList],
    allowed: &BTreeSet<Allowed>,
    scope: &Scope,
    action: Action,
    observed_at: Timestamp,
) -> Vec<Value> {
    let parameters = json!({
        "digests": {"type": "object", "additionalProperties": {"type": "string"}},
        "patterns": {"type": "array", "items": {"type": "string"}},
    });
    let mut elsewhere = constraint(DIGESTS, NAME, (scope, action));
    let listed = lists.iter().map(|list| list.namespace.as_str());
    let excluded: BTreeSet<&str> = scope.exempted().into_iter().chain(listed).collect();
    elsewhere["spec"]["match"]["excludedNamespaces"] = json!(excluded);
    let mut manifests = vec![template(DIGESTS, &(OF_DIGESTS.to_owned() + OF_PODS), &parameters), elsewhere];
    let patterns: Vec<String> = data(&others(allowed)).into_values().collect();
    manifests.extend(lists.iter().map(|list| {
        let mut constraint = constraint(DIGESTS, &format!("{NAME}-{}", list.namespace), (scope, action));
        constraint["metadata"]["annotations"] = list.annotations(observed_at);
        constraint["spec"]["match"]["namespaces"] = json!([list.namespace]);
        constraint["spec"]["parameters"] = json!({"digests": list.data(), "patterns": patterns});
        constraint
    }));
    manifests
}

fn template(kind: &str, rego: &str, parameters: &Value) -> Value {
    json!({
        "apiVersion": "templates.gatekeeper.sh/v1",
        "kind": "ConstraintTemplate",
        "metadata": {"name": kind.to_ascii_lowercase()},
        "spec": {
            "crd": {"spec": {
                "names": {"kind": kind},
                "validation": {"openAPIV3Schema": {"type": "object", "properties": parameters}},
            }},
            "targets": [{"target": "admission.k8s.gatekeeper.sh", "rego": rego}],
        },
    })
}

fn constraint(kind: &str, name: &str, (scope, action): (&Scope, Action)) -> Value {
    json!({
        "apiVersion": "constraints.gatekeeper.sh/v1beta1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "enforcementAction": match action {
                Action::Warn => "warn",
                Action::Deny => "deny",
            },
            "match": {
                "kinds": [{"apiGroups": [""], "kinds": ["Pod"]}],
                "excludedNamespaces": scope.exempted(),
            },
        },
    })
}
