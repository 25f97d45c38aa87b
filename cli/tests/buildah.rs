//! `discover` on images that buildah builds and Debian's docker-registry holds.

#![cfg(feature = "aws")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use patchwave_tests::buildah::{HOST, Recipe, Workshop};
use serde_json::Value;

use support::patchwave_with;

/// What is built, in this order, and what `discover` must say: the base, and by which evidence.
/// `HOST` stands for the registry.
const ESTATE: [(Recipe<'static>, &str, &str); 18] = [
    // The first layer of all Debian images.
    (of("docker.io/library/debian:13", "FROM scratch\nCOPY own /own", "debian", "", ""), "", ""),
    (of("base/scratch:1", "FROM scratch\nCOPY own /own", "scratch", "", ""), "unknown", ""),
    (
        of("base/os:1", "FROM docker.io/library/debian:13\nCOPY own /own", "os one", "", ""),
        UPSTREAM,
        "annotation",
    ),
    // It stays on the old base.
    (of("apps/old:1", "FROM HOST/base/os:1\nCOPY own /own", "old", "", ""), "base/os", "annotation"),
    (of("apps/old-docker:1", "FROM HOST/base/os:1\nCOPY own /own", "old", DOCKER, ""), "base/os", "layers"),
    // The base is built again.
    (
        of("base/os:1", "FROM docker.io/library/debian:13\nCOPY own /own", "os two", "", ""),
        UPSTREAM,
        "annotation",
    ),
    (
        of("base/tools:1", "FROM docker.io/library/debian:13\nCOPY own /own", "tools", DOCKER, ""),
        UPSTREAM,
        "history",
    ),
    // Of two stages the last one's base counts.
    (of("platform/node:22", STAGES, "node", "--build-arg BASE=HOST/base/os:1", ""), "base/os", "annotation"),
    (of("platform/py:3", STAGES, "py", DOCKER_STAGES, ""), "base/os", "layers"),
    // A label that its child inherits.
    (of("platform/labelled:1", LABELLED, "labelled", DOCKER, ""), "base/os", "layers"),
    (
        of("apps/inherits:1", "FROM HOST/platform/labelled:1\nCOPY own /own", "inherits", DOCKER, ""),
        "platform/labelled",
        "layers",
    ),
    // One layer is left, and it is nobody's.
    (
        of("apps/squashed:1", "FROM HOST/platform/node:22\nCOPY own /own", "squashed", "--squash", ""),
        "platform/node",
        "annotation",
    ),
    (
        of(
            "apps/squashed-docker:1",
            "FROM HOST/platform/node:22\nCOPY own /own",
            "squashed",
            "--squash --format docker",
            "",
        ),
        "platform/node",
        "history",
    ),
    // Every layer is compressed again, and the annotations go with the conversion.
    (
        of("apps/zstd:1", "FROM HOST/platform/node:22\nCOPY own /own", "zstd", DOCKER, ZSTD),
        "platform/node",
        "layers",
    ),
    // Two bases with the same layers: what a child says chooses.
    (of("base/twin-a:1", "FROM scratch\nCOPY own /own", "twins", DOCKER, ""), "unknown", ""),
    (of("base/twin-b:1", "FROM scratch\nCOPY own /own", "twins", DOCKER, ""), "unknown", ""),
    (
        of("apps/of-a-twin:1", "FROM HOST/base/twin-b:1\nCOPY own /own", "child", DOCKER, ""),
        "base/twin-b",
        "history",
    ),
    // A program alone.
    (
        of(
            "apps/program:1",
            "FROM HOST/base/tools:1 AS build\nFROM scratch\nCOPY --from=build /own /program",
            "",
            "",
            "",
        ),
        "unknown",
        "",
    ),
];

const UPSTREAM: &str = "docker.io/library/debian:13";
const DOCKER: &str = "--format docker";
const DOCKER_STAGES: &str = "--format docker --build-arg BASE=HOST/base/os:1";
const ZSTD: &str = "--format oci --compression-format zstd";
const STAGES: &str =
    "ARG BASE\nFROM HOST/base/tools:1 AS build\nFROM ${BASE}\nCOPY --from=build /own /tool\nCOPY own /own";
const LABELLED: &str =
    "FROM HOST/base/os:1\nLABEL org.opencontainers.image.base.name=HOST/base/os:1\nCOPY own /own";

const fn of<'r>(
    name: &'r str,
    dockerfile: &'r str,
    own: &'r str,
    build: &'r str,
    push: &'r str,
) -> Recipe<'r> {
    Recipe { name, dockerfile, own, build, push }
}

#[tokio::test]
#[ignore = "tests/run runs it as a step of its own, with buildah and docker-registry"]
async fn the_base_of_each_image_that_buildah_builds_is_found() {
    let workshop = Workshop::start(Path::new(env!("CARGO_TARGET_TMPDIR")).join("discover-buildah")).await;
    for (recipe, ..) in &ESTATE {
        let (dockerfile, build) =
            (recipe.dockerfile.replace("HOST", HOST), recipe.build.replace("HOST", HOST));
        workshop.make(&Recipe { dockerfile: &dockerfile, build: &build, ..*recipe }).await;
    }
    let index = Recipe {
        name: "platform/go:1",
        dockerfile: &format!("FROM {HOST}/base/os:1\nCOPY own /own"),
        ..Recipe::default()
    };
    workshop
        .make_index(&index, &[("linux/amd64", "go for amd64"), ("linux/arm64", "go for arm64")], "1")
        .await;
    let zstd = workshop.manifest("apps/zstd:1").await;
    assert!(
        zstd["layers"]
            .as_array()
            .unwrap()
            .iter()
            .all(|layer| layer["mediaType"].as_str().unwrap().ends_with("+zstd")),
        "{zstd}"
    );

    let workshop = Arc::new(workshop);
    let server = workshop.serve_as_ecr().await;
    let url = server.url();
    let ran = tokio::task::spawn_blocking(move || {
        let words = ["discover", "--region", "us-east-1", "--move-pull-times", "--format", "json"];
        let settings =
            [("AWS_ENDPOINT_URL", url.as_str()), ("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")];
        patchwave_with(&words, &settings)
    });
    let ran = ran.await.unwrap();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let drafted = ran.json();
    let found: BTreeMap<&str, &Value> = drafted["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| (image["id"].as_str().unwrap(), image))
        .collect();
    let expected = ESTATE.iter().map(|(recipe, from, by)| (recipe.name, *from, *by));
    let expected =
        expected.filter(|(_, from, _)| !from.is_empty()).chain([("platform/go:1", "base/os", "annotation")]);
    let mut wrong = Vec::new();
    for (name, from, by) in expected {
        let image = found[name.rsplit_once(':').unwrap().0];
        let is = (image["from"].as_str().unwrap(), image["by"].as_str().unwrap_or_default());
        println!("{name}: from {} by {:?}", is.0, is.1);
        if is != (from, by) {
            wrong.push(format!("{name} is not from {from} by {by:?}: {image:#}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(found.len(), 17, "{:?}", found.keys());
}
