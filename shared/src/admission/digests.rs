//! The policy on digests, and its lists: one for each namespace.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::admitted::{Admitted, Standing};
use super::allowed::Allowed;
use super::manifests::{Action, Rule, Scope, data};
use super::refused::namespace;
use crate::image::{Digest, ImageId};
use crate::inventory::{ConsumerKind, Inventory};
use crate::time::Timestamp;

/// The name of the policy, its binding and its lists.
pub(super) const NAME: &str = "patchwave-digests";
/// Most digests of one list. The API server spends at most 1,000,000 units of cost on one
/// expression, and a comparison with one digest is some 15: a pod of eight images still passes.
/// A `ConfigMap` holds 1 MiB, which is more.
pub const MOST_DIGESTS: usize = 8_000;

/// The digests that one namespace may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceList {
    pub namespace: String,
    /// By digest, with the image that each is of.
    pub digests: BTreeMap<Digest, ImageId>,
    /// Changes with the digests and with nothing else.
    pub revision: String,
}

impl NamespaceList {
    /// The digests without their algorithm, because keys of a `ConfigMap` take no colon.
    pub(super) fn data(&self) -> BTreeMap<String, String> {
        let hex = |digest: &Digest| digest.hex().to_owned();
        self.digests.iter().map(|(digest, image)| (hex(digest), image.to_string())).collect()
    }

    pub(super) fn annotations(&self, observed_at: Timestamp) -> Value {
        json!({
            "patchwave.dev/revision": self.revision,
            "patchwave.dev/observed-at": observed_at.to_string(),
        })
    }

    /// Returns whether the API server could evaluate the list for a pod of eight images.
    pub fn is_too_large(&self) -> bool {
        self.digests.len() > MOST_DIGESTS
    }
}

/// Returns the list of each namespace: the admitted digests of the images that run or are referred
/// to there. A namespace of `more` gets those of every image.
pub fn lists(
    inventory: &Inventory,
    admitted: &Admitted,
    more: &BTreeSet<String>,
    scope: &Scope,
) -> Vec<NamespaceList> {
    let mut images: BTreeMap<&str, BTreeSet<&ImageId>> = BTreeMap::new();
    for entry in inventory.entries.values().filter(|entry| entry.place.kind == ConsumerKind::Eks) {
        let Some(namespace) = namespace(entry).filter(|name| !scope.is_exempt(name)) else { continue };
        let of_namespace = images.entry(namespace).or_default();
        of_namespace.extend(entry.resolution.image());
    }
    for namespace in more {
        images.entry(namespace).or_default().extend(admitted.images.keys());
    }
    images.into_iter().map(|(namespace, images)| list(admitted, namespace, &images)).collect()
}

fn list(admitted: &Admitted, namespace: &str, images: &BTreeSet<&ImageId>) -> NamespaceList {
    let mut digests = BTreeMap::new();
    for image in images {
        for (digest, standing) in admitted.images.get(*image).into_iter().flatten() {
            if *standing == Standing::Admitted {
                digests.insert(digest.clone(), (*image).clone());
            }
        }
    }
    let all: String = digests.keys().map(Digest::as_str).collect();
    let revision = Digest::of(all.as_bytes()).short().to_owned();
    NamespaceList { namespace: namespace.to_owned(), digests, revision }
}

/// Returns the policy on digests, its binding, and the list of each namespace.
pub fn digest_manifests(
    lists: &[NamespaceList],
    allowed: &BTreeSet<Allowed>,
    scope: &Scope,
    action: Action,
    observed_at: Timestamp,
) -> Vec<Value> {
    let rule = Rule {
        name: NAME,
        validations: vec![(
            "variables.images.all(i, params.data.exists(k, k.startsWith('pattern.') ? \
             i.matches(params.data[k]) : i.endsWith('@sha256:' + k)))"
                .to_owned(),
            "the digest of an image is not admitted: it has findings, was not scanned, or is too old",
        )],
    };
    let others = data(&others(allowed));
    let mut manifests = vec![rule.policy(), rule.binding(action, scope, None)];
    manifests.extend(lists.iter().map(|list| {
        let data: BTreeMap<String, String> = list.data().into_iter().chain(others.clone()).collect();
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": NAME,
                "namespace": list.namespace,
                "annotations": list.annotations(observed_at),
            },
            "data": data,
        })
    }));
    manifests
}

/// What others build has no scan here, so its repositories pass.
pub(super) fn others(allowed: &BTreeSet<Allowed>) -> BTreeSet<Allowed> {
    allowed.iter().filter(|one| !matches!(one, Allowed::Repository(_))).cloned().collect()
}
