//! The policy on repositories, as Kubernetes takes it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::allowed::Allowed;

/// Namespaces without which a cluster does not start.
const SYSTEM: [&str; 3] = ["kube-node-lease", "kube-public", "kube-system"];
/// The name of the first policy, its binding and its list.
const NAME: &str = "patchwave-repositories";
/// A reference with a digest, as runtimes take it. Without a flag `$` is the end of the text in
/// RE2, and no class here has white space, so no second line passes.
pub(super) const REFERENCE: &str =
    "^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+(:[A-Za-z0-9_][A-Za-z0-9._-]*)?@sha256:[a-f0-9]{64}$";

/// What a violation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The API server warns whoever asked, and writes it into the audit log.
    Warn,
    /// The API server refuses the pod.
    Deny,
}

/// Where the policies apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The namespaces that they leave out, besides those of the system.
    pub exempt: BTreeSet<String>,
    /// The namespace of the list of repositories.
    pub home: String,
}

impl Scope {
    /// Returns every namespace that the policies leave out.
    pub fn exempted(&self) -> BTreeSet<&str> {
        SYSTEM.into_iter().chain(self.exempt.iter().map(String::as_str)).collect()
    }

    pub(super) fn is_exempt(&self, namespace: &str) -> bool {
        self.exempted().contains(namespace)
    }

    pub(super) fn selector(&self) -> Value {
        json!({"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": self.exempted()}
        ]})
    }
}

/// Returns the CEL that lists the images of a pod: of all kinds of containers, and of volumes.
fn images(pod: &str) -> String {
    let spec = format!("{pod}.spec");
    let of = |field: &str| format!("(has({spec}.{field}) ? {spec}.{field}.map(c, c.image) : [])");
    format!(
        "{} + {} + {} + (has({spec}.volumes) ? {spec}.volumes.filter(v, has(v.image)).map(v, v.image.reference) : [])",
        of("containers"),
        of("initContainers"),
        of("ephemeralContainers")
    )
}

/// A policy about every image of a pod.
pub(super) struct Rule {
    pub(super) name: &'static str,
    /// Each with what the API server says.
    pub(super) validations: Vec<(String, &'static str)>,
}

impl Rule {
    pub(super) fn policy(&self) -> Value {
        // A change of a label or of a finalizer starts no image, so it is not judged.
        let changes =
            format!("request.operation == 'CREATE' || ({}) != ({})", images("object"), images("oldObject"));
        let validations: Vec<Value> = self
            .validations
            .iter()
            .map(|(expression, message)| json!({"expression": expression, "message": message}))
            .collect();
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": self.name},
            "spec": {
                "failurePolicy": "Fail",
                "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": ["pods", "pods/ephemeralcontainers"],
                }]},
                "matchConditions": [{"name": "images-change", "expression": changes}],
                "variables": [{"name": "images", "expression": images("object")}],
                "validations": validations,
            },
        })
    }

    /// Binds the policy to its list. Without `namespace` the list is that of the pod's namespace.
    pub(super) fn binding(&self, action: Action, scope: &Scope, namespace: Option<&str>) -> Value {
        let actions = match action {
            Action::Warn => json!(["Warn", "Audit"]),
            Action::Deny => json!(["Deny"]),
        };
        let mut list = json!({"name": self.name, "parameterNotFoundAction": "Deny"});
        if let Some(namespace) = namespace {
            list["namespace"] = namespace.into();
        }
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": self.name},
            "spec": {
                "policyName": self.name,
                "validationActions": actions,
                "paramRef": list,
                "matchResources": {"namespaceSelector": scope.selector()},
            },
        })
    }
}

/// Returns the policy on repositories, its binding and its list.
pub fn repository_manifests(allowed: &BTreeSet<Allowed>, scope: &Scope, action: Action) -> Vec<Value> {
    let rule = Rule {
        name: NAME,
        validations: vec![
            (
                format!("variables.images.all(i, i.matches('{REFERENCE}'))"),
                "an image is not named by its digest: write host/repository@sha256:...",
            ),
            (
                "variables.images.all(i, params.data.exists(k, k.startsWith('pattern.') ? \
                 i.matches(params.data[k]) : \
                 (i.startsWith(params.data[k] + '@') || i.startsWith(params.data[k] + ':'))))"
                    .to_owned(),
                "the repository of an image is not in Patchwave's hierarchy file: add it to `images` or `approved`",
            ),
        ],
    };
    let list = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": scope.home},
        "data": data(allowed),
    });
    vec![rule.policy(), rule.binding(action, scope, Some(&scope.home)), list]
}

/// Numbers the repositories and patterns, because keys of a `ConfigMap` take no slash.
pub(super) fn data(allowed: &BTreeSet<Allowed>) -> BTreeMap<String, String> {
    let mut data = BTreeMap::new();
    let (mut repositories, mut patterns) = (0, 0);
    for one in allowed {
        let (key, value) = match one.pattern() {
            Ok(repository) => {
                repositories += 1;
                (format!("repository.{repositories:05}"), repository.to_owned())
            }
            Err(pattern) => {
                patterns += 1;
                (format!("pattern.{patterns:05}"), pattern)
            }
        };
        data.insert(key, value);
    }
    data
}
