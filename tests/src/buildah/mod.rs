//! Images that are really built: by buildah, from files that are written here, and pushed to
//! Debian's docker-registry. Neither knows anything of Patchwave.
//!
//! `tests/run` installs both where it can. buildah pulls what a Dockerfile names from the same
//! registry, so that parents have the digests that a registry gave them.

mod ecr;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::http;

/// The host that Dockerfiles name for their own registry.
pub const HOST: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com";
/// Docker Hub's images are pushed to repositories below this one.
const UPSTREAM: &str = "upstream";
/// What a manifest may be: a registry converts or refuses what a client does not accept.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// A builder and a registry. They end, and their files go, when it is dropped.
pub struct Workshop {
    folder: PathBuf,
    address: String,
    _registry: Child,
}

/// An image that is built.
#[derive(Debug, Clone, Copy, Default)]
pub struct Recipe<'r> {
    /// With its tag, and without a host if it is in the registry at [`HOST`].
    pub name: &'r str,
    pub dockerfile: &'r str,
    /// The content of the file `own`, which the Dockerfile copies.
    pub own: &'r str,
    /// Options of `buildah build`, separated by spaces.
    pub build: &'r str,
    /// Options of `buildah push`.
    pub push: &'r str,
}

impl Workshop {
    /// Starts a registry that keeps everything in `folder`, which is emptied first.
    pub async fn start(folder: PathBuf) -> Self {
        // A run that was killed leaves files.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("context")).expect("the folder can be made");
        let configuration = format!(
            "version: 0.1\nlog: {{ level: info }}\nhttp: {{ addr: \"127.0.0.1:0\" }}\nstorage:\n  \
             delete: {{ enabled: true }}\n  filesystem: {{ rootdirectory: \"{}\" }}\n",
            folder.join("registry").display()
        );
        write(&folder.join("registry.yml"), &configuration);
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(folder.join("registry.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("docker-registry is not installed: tests/run says how to get it");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        let address = loop {
            let line = lines.next_line().await.expect("the registry writes text");
            let line = line.expect("the registry listens before it ends");
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split(['"', ' ']).next().unwrap_or_default().to_owned();
            }
        };
        // A full pipe would stop the registry.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let served = [(HOST, address.clone()), ("docker.io", format!("{address}/{UPSTREAM}"))];
        let served = served.map(|(host, at)| {
            format!("[[registry]]\nprefix = \"{host}\"\nlocation = \"{at}\"\ninsecure = true\n")
        });
        write(
            &folder.join("registries.conf"),
            &format!("unqualified-search-registries = []\n{}", served.join("")),
        );
        Self { folder, address, _registry: child }
    }

    /// Returns the registry's `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Builds an image and pushes it.
    pub async fn make(&self, recipe: &Recipe<'_>) {
        let name = self.build(recipe).await;
        self.push("push", recipe.push, recipe.name, &name).await;
    }

    /// Builds an image for several platforms, and pushes one index of them. Each platform has its
    /// own content of the file `own`. The annotation is of the index alone.
    pub async fn make_index(&self, recipe: &Recipe<'_>, platforms: &[(&str, &str)], note: &str) {
        let index = format!("localhost/index-of/{}", recipe.name);
        let _ = self.try_buildah(&["manifest", "rm", &index]).await;
        self.buildah(&["manifest", "create", &index]).await;
        for (platform, own) in platforms {
            let build = format!("{} --platform {platform}", recipe.build);
            let name = self.build(&Recipe { own, build: &build, ..*recipe }).await;
            // Added from where it was pushed, so that its layers have the digests of there.
            self.push("push", recipe.push, recipe.name, &name).await;
            let pushed = self.pushed(recipe.name);
            let from = format!("docker://{}/{}@{pushed}", self.address, repository(recipe.name));
            self.buildah(&[
                "manifest",
                "add",
                "--tls-verify=false",
                "--annotation",
                &format!("note={note}"),
                &index,
                &from,
            ])
            .await;
        }
        self.push("manifest push", "--all --format oci", recipe.name, &index).await;
    }

    /// Returns the digest that a tag names.
    pub fn pushed(&self, name: &str) -> String {
        let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        let link = format!("repositories/{}/_manifests/tags/{tag}/current/link", repository(name));
        let link = self.stored(&link);
        std::fs::read_to_string(&link).unwrap_or_else(|error| panic!("{}: {error}", link.display()))
    }

    /// Deletes the manifest that a tag names, and so the tag.
    pub async fn delete(&self, name: &str) {
        let digest = self.pushed(name);
        let url = format!("http://{}/v2/{}/manifests/{digest}", self.address, repository(name));
        let (status, body) = http::send("DELETE", &url, &[], "").await.expect("the registry answers");
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    }

    /// Returns the manifest that a tag names.
    pub async fn manifest(&self, name: &str) -> Value {
        let url = format!("http://{}/v2/{}/manifests/{}", self.address, repository(name), self.pushed(name));
        let (status, body) =
            http::send("GET", &url, &[("accept", ACCEPT)], "").await.expect("the registry answers");
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("a manifest is JSON")
    }

    /// Returns where the registry keeps something.
    fn stored(&self, path: &str) -> PathBuf {
        self.folder.join("registry/docker/registry/v2").join(path)
    }

    async fn build(&self, recipe: &Recipe<'_>) -> String {
        let name = if repository(recipe.name).starts_with(UPSTREAM) {
            recipe.name.to_owned()
        } else {
            format!("{HOST}/{}", recipe.name)
        };
        let context = self.folder.join("context");
        write(&context.join("own"), recipe.own);
        write(&context.join("Dockerfile"), recipe.dockerfile);
        let context = context.display().to_string();
        let mut words = vec!["build", "--pull-always", "--timestamp", "0", "--tag", &name];
        words.extend(recipe.build.split_whitespace());
        words.push(&context);
        self.buildah(&words).await;
        name
    }

    async fn push(&self, verb: &str, options: &str, name: &str, local: &str) {
        let (repository, tag) = (repository(name), name.rsplit_once(':').map_or("latest", |(_, tag)| tag));
        // Under another name of the registry buildah knows of no layers, and compresses all of
        // them.
        let recompresses = options.contains("--compression-format");
        let host = self.address.replace("127.0.0.1", if recompresses { "localhost" } else { "127.0.0.1" });
        let to = format!("docker://{host}/{repository}:{tag}");
        let words = verb.split(' ').chain(["--tls-verify=false"]).chain(options.split_whitespace());
        self.buildah(&words.chain([local, to.as_str()]).collect::<Vec<_>>()).await;
    }

    async fn buildah(&self, words: &[&str]) {
        if let Err(said) = self.try_buildah(words).await {
            panic!("buildah {}: {said}", words.join(" "));
        }
    }

    async fn try_buildah(&self, words: &[&str]) -> Result<(), String> {
        let output = Command::new("buildah")
            .args(["--storage-driver", "vfs"])
            .arg("--root")
            .arg(self.folder.join("storage"))
            .arg("--runroot")
            .arg(self.folder.join("run"))
            .arg("--registries-conf")
            .arg(self.folder.join("registries.conf"))
            .args(words)
            .env("BUILDAH_ISOLATION", "chroot")
            .stdin(Stdio::null())
            .output()
            .await
            .expect("buildah is not installed: tests/run says how to get it");
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // What is left lies in the build directory.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Returns the repository of the registry that an image is pushed to.
fn repository(name: &str) -> String {
    let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
    match name.strip_prefix("docker.io/") {
        Some(rest) => format!("{UPSTREAM}/{rest}"),
        None => name.to_owned(),
    }
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}
