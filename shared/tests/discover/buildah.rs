//! A config that buildah wrote in Docker's format.

use patchwave::discover::{Estate, Kind, discover};
use patchwave::image::Digest;
use serde_json::{Value, json};

const HOST: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com";

/// As buildah 1.28 writes it, but for fields that say nothing.
fn config(layer: &str, comment: Option<&str>, version: Option<&str>) -> Value {
    let mut step = json!({"created": "1970-01-01T00:00:00Z", "created_by": format!("/bin/sh -c #(nop) COPY file:{layer} in /own ")});
    if let Some(comment) = comment {
        step["comment"] = comment.into();
    }
    let mut config = json!({
        "created": "1970-01-01T00:00:00Z", "architecture": "amd64", "os": "linux",
        "container_config": {"Cmd": [], "Labels": {"io.buildah.version": "1.28.2"}},
        "config": {"Cmd": [], "Labels": {"io.buildah.version": "1.28.2"}},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(layer.as_bytes())]},
        "history": [step],
    });
    if let Some(version) = version {
        config["docker_version"] = version.into();
    }
    config
}

fn from_of_a_squashed_child(version: Option<&str>) -> (String, Option<Kind>) {
    let mut documents = serde_json::Map::new();
    let mut add = |document: Value| {
        let digest = Digest::of(document.to_string().as_bytes()).to_string();
        documents.insert(digest.clone(), document);
        digest
    };
    let parent = format!("FROM {HOST}/base/os:1");
    let mut image = |layer: &str, comment: Option<&str>| {
        let config = add(config(layer, comment, version));
        add(json!({"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": config},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "digest": Digest::of(layer.as_bytes())}]}))
    };
    let (base, child) = (image("os", None), image("all", Some(&parent)));
    let pushed = |name: &str, digest: &str| json!({"name": name, "versions": [{"digest": digest, "tags": ["1"], "pushedAt": "2026-11-01T00:00:00Z"}]});
    let repositories = [pushed("base/os", &base), pushed("apps/web", &child)];
    let estate =
        json!({"registries": [{"host": HOST, "repositories": repositories}], "documents": documents});
    let estate: Estate = serde_json::from_value(estate).unwrap();
    let drafted = discover(&estate);
    let web = drafted.images.iter().find(|draft| draft.id == "apps/web:1").unwrap();
    (web.from.clone(), web.by)
}

#[test]
fn buildahs_comment_counts_in_dockers_format_and_not_where_docker_built() {
    assert_eq!(from_of_a_squashed_child(None), ("base/os:1".to_owned(), Some(Kind::History)));
    assert_eq!(
        from_of_a_squashed_child(Some("20.10.24")).0,
        "unknown",
        "Docker inherits the comment of its base"
    );
}
