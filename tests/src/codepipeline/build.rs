//! The builds: each pushes new manifests on top of the parent in its variables.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::recipe::{Base, Recipe};
use crate::clock::Clock;
use crate::content::{self, Annotations, Document, PLATFORMS};
use crate::ecr::Registry;
use crate::moto::{ACCOUNT, REGION};
use crate::scanner::Package;

/// The input and the output of one build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    pub image: String,
    /// The digest in `PATCHWAVE_BASE_IMAGE`.
    pub sent_base: Option<String>,
    /// The digests in `PATCHWAVE_PARENTS`, by image.
    pub sent_parents: BTreeMap<String, String>,
    /// The index that the build pushed.
    pub pushed: String,
}

/// The input of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    pub execution: String,
    /// The variables of the start.
    pub variables: BTreeMap<String, String>,
    /// The commit that the source is pinned to.
    pub commit: Option<String>,
}

impl Order {
    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

/// The build machine, with its layer cache and the package archives that it installs from.
pub struct Builder {
    registry: Arc<Registry>,
    clock: Arc<Clock>,
    archives: Mutex<BTreeMap<String, String>>,
    cache: Mutex<BTreeMap<String, String>>,
}

impl Builder {
    /// Makes a builder that pushes to `registry`.
    pub fn new(registry: Arc<Registry>, clock: Arc<Clock>) -> Self {
        Self { registry, clock, archives: Mutex::default(), cache: Mutex::default() }
    }

    /// Publishes a version of a package, which later builds install.
    pub fn publish(&self, package: &str, version: &str) {
        let mut archives = self.archives.lock().unwrap_or_else(PoisonError::into_inner);
        archives.insert(package.to_owned(), version.to_owned());
    }

    /// Builds and pushes. `Err` says why the build failed.
    pub async fn build(&self, recipe: &Recipe, order: &Order) -> Result<Build, String> {
        let sent = order.variable("PATCHWAVE_BASE_IMAGE").and_then(|image| image.split_once('@'));
        let base = self.base(recipe, sent).await?;
        let annotations = self.annotations(recipe, order, &base);
        let mut platforms = BTreeMap::new();
        for platform in PLATFORMS {
            let mut layers = base.layers.get(platform).cloned().ok_or("the base lacks a platform")?;
            layers.push(self.own_layer(recipe, order, platform, &layers));
            let build = format!("{} {} {platform}", recipe.image, order.execution);
            platforms.insert(platform, content::manifest(&build, &layers, &annotations));
        }
        let pushed = self.push(recipe, order, &platforms, &annotations).await?;
        let parents = order.variable("PATCHWAVE_PARENTS").map(serde_json::from_str).transpose();
        Ok(Build {
            image: recipe.image.clone(),
            sent_base: sent.map(|(_, digest)| digest.to_owned()),
            sent_parents: parents.map_err(|error| error.to_string())?.unwrap_or_default(),
            pushed,
        })
    }

    async fn base(&self, recipe: &Recipe, sent: Option<(&str, &str)>) -> Result<Resolved, String> {
        let (repository, line) = match &recipe.base {
            Base::Upstream(name) => return Ok(Resolved::upstream(name)),
            Base::Image(repository, line) => (repository, line),
        };
        let digest = match sent {
            Some((named, digest)) if without_host(named) == repository => digest.to_owned(),
            Some((named, _)) => {
                return Err(format!("PATCHWAVE_BASE_IMAGE is {named}, which the Dockerfile does not name"));
            }
            None => self
                .newest(repository, line)
                .await
                .ok_or_else(|| format!("{repository}:{line} does not exist"))?,
        };
        let index = self
            .registry
            .document(repository, &digest)
            .ok_or_else(|| format!("{repository}@{digest}: not found"))?;
        let layers = content::platforms(&index)
            .into_iter()
            .map(|(platform, manifest)| {
                let manifest = self.registry.document(repository, &manifest).unwrap_or_default();
                (platform, content::layers(&manifest))
            })
            .collect();
        Ok(Resolved { name: format!("{}/{repository}:{line}", host()), digest, layers })
    }

    async fn newest(&self, repository: &str, line: &str) -> Option<String> {
        match self.registry.tagged(repository, line).await {
            Some(digest) => Some(digest),
            None => self.registry.tagged_with_prefix(repository, line).await.pop(),
        }
    }

    /// Installs the packages of an image, unless the same step on the same layers is in the cache.
    fn own_layer(&self, recipe: &Recipe, order: &Order, platform: &str, below: &[String]) -> String {
        let parents = order.variable("PATCHWAVE_PARENTS").unwrap_or_default();
        let step = format!("{} {platform} {} {parents}", recipe.image, below.join(" "));
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if order.variable("PATCHWAVE_NO_CACHE") != Some("true")
            && let Some(cached) = cache.get(&step)
        {
            return cached.clone();
        }
        let layer = content::digest(&format!("{step} {}", order.execution));
        self.registry.layer_holds(&layer, &self.install(recipe));
        cache.insert(step, layer.clone());
        layer
    }

    fn install(&self, recipe: &Recipe) -> Vec<Package> {
        let archives = self.archives.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = |name: &String| archives.get(name).cloned().unwrap_or_else(|| "1.0.0".to_owned());
        let install = |(name, manager): &(String, String)| Package {
            name: name.clone(),
            version: newest(name),
            manager: manager.clone(),
        };
        recipe.packages.iter().map(install).collect()
    }

    async fn push(
        &self,
        recipe: &Recipe,
        order: &Order,
        platforms: &BTreeMap<&str, Document>,
        annotations: &Annotations,
    ) -> Result<String, String> {
        let repository = &recipe.repository;
        let refused = |refusal| format!("push to {repository}: {refusal:?}");
        for manifest in platforms.values() {
            self.registry.push(repository, manifest, None).await.map_err(refused)?;
            self.registry.push(repository, &content::attestation(manifest), None).await.map_err(refused)?;
        }
        let index = content::index(platforms, annotations);
        for tag in recipe.tags(&commit(recipe, order), &order.execution) {
            self.registry.push(repository, &index, Some(&tag)).await.map_err(refused)?;
        }
        Ok(index.digest)
    }

    fn annotations(&self, recipe: &Recipe, order: &Order, base: &Resolved) -> Annotations {
        let annotation = |name: &str, value: String| (format!("org.opencontainers.image.{name}"), value);
        [
            annotation("created", self.clock.now().to_string()),
            annotation("revision", commit(recipe, order)),
            annotation("base.name", base.name.clone()),
            annotation("base.digest", base.digest.clone()),
        ]
        .into()
    }
}

/// The base of a build.
struct Resolved {
    name: String,
    digest: String,
    layers: BTreeMap<String, Vec<String>>,
}

impl Resolved {
    fn upstream(name: &str) -> Self {
        let layers =
            |platform: &&str| ((*platform).to_owned(), vec![content::digest(&format!("{name} {platform}"))]);
        Self {
            name: name.to_owned(),
            digest: content::digest(name),
            layers: PLATFORMS.iter().map(layers).collect(),
        }
    }
}

fn commit(recipe: &Recipe, order: &Order) -> String {
    order.commit.clone().unwrap_or_else(|| recipe.head())
}

/// Returns the registry's host.
pub(crate) fn host() -> String {
    format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com")
}

fn without_host(name: &str) -> &str {
    name.strip_prefix(&host()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name)
}

/// Reads the commit that `sourceRevisions` pins.
pub(super) fn pinned_commit(input: &Value) -> Option<String> {
    input["sourceRevisions"][0]["revisionValue"].as_str().map(str::to_owned)
}
