//! The policy on repositories, as OPA Gatekeeper takes it. It says the same as the one in CEL.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::allowed::Allowed;
use super::manifests::{Action, REFERENCE, Scope, data};

/// The kind of the constraint. The template's name must be its lower case:
/// <https://open-policy-agent.github.io/gatekeeper/website/docs/constrainttemplates>.
const KIND: &str = "PatchwaveRepositories";

/// The policy, in the syntax that every release of Gatekeeper takes. What has no image in it is
/// refused, as the API server refuses what CEL cannot evaluate.
const REGO: &str = r#"package patchwaverepositories

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

allowed(image) {
  startswith(image, concat("", [input.parameters.repositories[_], "@"]))
}

allowed(image) {
  startswith(image, concat("", [input.parameters.repositories[_], ":"]))
}

allowed(image) {
  regex.match(input.parameters.patterns[_], image)
}
"#;

/// Returns the template with the policy, and the constraint with the list. Gatekeeper makes the
/// constraint's kind from the template, so the template is applied first.
pub fn gatekeeper_manifests(allowed: &BTreeSet<Allowed>, scope: &Scope, action: Action) -> Vec<Value> {
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let template = json!({
        "apiVersion": "templates.gatekeeper.sh/v1",
        "kind": "ConstraintTemplate",
        "metadata": {"name": KIND.to_ascii_lowercase()},
        "spec": {
            "crd": {"spec": {
                "names": {"kind": KIND},
                "validation": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {"repositories": texts, "patterns": texts},
                }},
            }},
            "targets": [{
                "target": "admission.k8s.gatekeeper.sh",
                "rego": REGO.replace("REFERENCE", REFERENCE),
            }],
        },
    });
    let (mut repositories, mut patterns) = (Vec::new(), Vec::new());
    for (key, value) in data(allowed) {
        if key.starts_with("pattern.") { patterns.push(value) } else { repositories.push(value) }
    }
    let constraint = json!({
        "apiVersion": "constraints.gatekeeper.sh/v1beta1",
        "kind": KIND,
        "metadata": {"name": "patchwave-repositories"},
        "spec": {
            "enforcementAction": match action {
                Action::Warn => "warn",
                Action::Deny => "deny",
            },
            "match": {
                "kinds": [{"apiGroups": [""], "kinds": ["Pod"]}],
                "excludedNamespaces": scope.exempted(),
            },
            "parameters": {"repositories": repositories, "patterns": patterns},
        },
    });
    vec![template, constraint]
}
