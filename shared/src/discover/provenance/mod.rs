//! SLSA provenance, as `BuildKit` writes it: v0.2 and v1, with `mode=min` and `mode=max`.
//!
//! <https://docs.docker.com/build/metadata/attestations/slsa-provenance/> and
//! <https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md>. Older
//! emitters of v1 put some fields elsewhere, so both places are read.

mod llb;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::dockerfile::{self, Stages};
use super::named::Named;
use crate::image::Digest;
use crate::time::Timestamp;

pub(super) use llb::Base;

/// The largest Dockerfile that is read, in bytes.
const LARGEST: usize = 1024 * 1024;
/// Where `BuildKit` keeps what SLSA has no field for.
const EXTENSION: &str = "https://mobyproject.org/buildkit@v1#metadata";
/// Images that a build uses and that are no parents: frontends and scanners.
const TOOLS: [&str; 5] = [
    "docker/dockerfile",
    "docker/dockerfile-upstream",
    "docker/buildkit-syft-scanner",
    "docker/scout-sbom-indexer",
    "tonistiigi/binfmt",
];

/// What a provenance statement says about one platform of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The manifests that it is about. Empty if it does not say.
    pub(super) subjects: BTreeSet<Digest>,
    /// The images that the build used, without frontends and scanners. The base may be among them.
    pub(super) materials: Vec<Named>,
    /// The base of the final stage, and the images of other stages: with `mode=max`.
    pub(super) walked: Option<(Base, BTreeSet<Named>)>,
    /// What the Dockerfile says, which `mode=max` carries.
    pub(super) stages: Option<Stages>,
    /// Who built it, as a URL.
    pub(super) builder: Option<String>,
    /// The repository of the source code, as a URL.
    pub(super) source: Option<String>,
    /// When the build ended.
    pub(super) built_at: Option<Timestamp>,
}

/// Returns whether a predicate is provenance.
pub(super) fn is_provenance(predicate_type: &str) -> bool {
    predicate_type.starts_with("https://slsa.dev/provenance/")
}

/// Reads an in-toto statement; nothing if it is no provenance.
pub(super) fn read(statement: &Value) -> Option<Provenance> {
    is_provenance(statement.get("predicateType")?.as_str()?).then_some(())?;
    let predicate = statement.get("predicate")?;
    let args = arguments(predicate);
    let frontends: Vec<Named> = ["source", "cmdline", "build-arg:BUILDKIT_SYNTAX"]
        .into_iter()
        .filter_map(|key| Named::of_reference(args.get(key)?))
        .collect();
    let is_parent = |named: &Named| !is_tool(named, &frontends);
    let materials = first(predicate, &["/materials", "/buildDefinition/resolvedDependencies"]);
    let materials = materials.and_then(Value::as_array).into_iter().flatten().filter_map(material);
    let steps = first(
        predicate,
        &[
            "/buildConfig/llbDefinition",
            "/buildDefinition/internalParameters/buildConfig/llbDefinition",
            "/buildDefinition/externalParameters/buildConfig/llbDefinition",
        ],
    );
    let subjects = statement.get("subject").and_then(Value::as_array).into_iter().flatten();
    let builder = first(predicate, &["/builder/id", "/runDetails/builder/id"]).and_then(Value::as_str);
    let source = first(
        predicate,
        &[
            "/invocation/configSource/uri",
            "/buildDefinition/externalParameters/configSource/uri",
            "/buildDefinition/externalParameters/workflow/repository",
            "/buildDefinition/externalParameters/source",
        ],
    );
    let source = source.and_then(Value::as_str).filter(|source| source.contains("://"));
    let ended = first(predicate, &["/metadata/buildFinishedOn", "/runDetails/metadata/finishedOn"]);
    Some(Provenance {
        subjects: subjects.filter_map(sha256).collect(),
        materials: materials.filter(is_parent).collect(),
        walked: steps.and_then(|steps| llb::walk(steps, &is_parent)),
        stages: dockerfile_of(predicate).and_then(|text| stages(&text, &args)),
        builder: builder.filter(|id| !id.is_empty()).map(str::to_owned),
        source: source.map(str::to_owned),
        built_at: ended.and_then(|at| at.as_str()?.parse().ok()),
    })
}

fn first<'v>(value: &'v Value, pointers: &[&str]) -> Option<&'v Value> {
    pointers.iter().find_map(|pointer| value.pointer(pointer).filter(|found| !found.is_null()))
}

/// The arguments of the frontend: `build-arg:NAME`, `target`, `source`.
fn arguments(predicate: &Value) -> BTreeMap<String, String> {
    let args = first(
        predicate,
        &[
            "/invocation/parameters/args",
            "/buildDefinition/externalParameters/request/args",
            "/buildDefinition/externalParameters/parameters/args",
        ],
    );
    let args = args.and_then(Value::as_object).into_iter().flatten();
    args.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn sha256(value: &Value) -> Option<Digest> {
    format!("sha256:{}", value.pointer("/digest/sha256")?.as_str()?).parse().ok()
}

fn material(value: &Value) -> Option<Named> {
    let named = Named::of_purl(value.get("uri")?.as_str()?)?;
    Some(Named { digest: sha256(value).or(named.digest), reference: named.reference })
}

/// Tells frontends and scanners, also where a mirror serves them.
fn is_tool(named: &Named, frontends: &[Named]) -> bool {
    let Some(reference) = &named.reference else { return false };
    let path = reference.repository.as_str();
    let is_known = TOOLS.iter().any(|tool| path == *tool || path.ends_with(&format!("/{tool}")));
    let is_named =
        |frontend: &Named| frontend.reference.as_ref().is_some_and(|other| other.name() == reference.name());
    is_known || frontends.iter().any(is_named)
}

/// The Dockerfile that the build used, if there is exactly one.
fn dockerfile_of(predicate: &Value) -> Option<String> {
    let extension = [
        ("/metadata", EXTENSION),
        ("/runDetails/metadata", EXTENSION),
        ("/runDetails/metadata", "buildkit_metadata"),
    ];
    let extension =
        extension.into_iter().find_map(|(at, key)| predicate.pointer(at)?.get(key)?.pointer("/source/infos"));
    let is_dockerfile = |info: &&Value| info.get("language").and_then(Value::as_str) == Some("Dockerfile");
    let mut infos = extension?.as_array()?.iter().filter(is_dockerfile);
    let (Some(info), None) = (infos.next(), infos.next()) else { return None };
    let data = info.get("data")?.as_str().filter(|data| data.len() <= 2 * LARGEST)?;
    let bytes = STANDARD.decode(data).ok()?;
    String::from_utf8(bytes).ok().filter(|text| text.len() <= LARGEST)
}

fn stages(text: &str, args: &BTreeMap<String, String>) -> Option<Stages> {
    dockerfile::read(text, args)
}
