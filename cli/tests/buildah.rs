//! `discover` on images that buildah builds and Debian's docker-registry holds.

#![cfg(feature = "aws")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use patchwave_tests::buildah::{HOST, Recipe, Workshop};
use serde_json::Value;

use support::patchwave_with;

/// What is built, in this order: the image, its Dockerfile with `;` for a new line, the content of
/// the file that it copies, and options of `build` and of `push`. Then what `discover` must say: the
/// base, and by which evidence. `HOST` is the registry.
const ESTATE: &str = "
docker.io/library/debian:13 | FROM scratch | debian | | | |
base/scratch:1 | FROM scratch | scratch | | | unknown |
base/os:1 | FROM docker.io/library/debian:13 | one | | | docker.io/library/debian:13 | annotation
# These stay on the old base.
apps/old:1 | FROM HOST/base/os:1 | old | | | base/os:1 | annotation
apps/old-docker:1 | FROM HOST/base/os:1 | old | --format docker | | base/os:1 | layers
# The base is built again.
base/os:1 | FROM docker.io/library/debian:13 | two | | | docker.io/library/debian:13 | annotation
base/tools:1 | FROM docker.io/library/debian:13 | t | --format docker | | docker.io/library/debian:13 | history
# Of two stages the base of the last one counts.
platform/node:22 | STAGES | node | --build-arg BASE=HOST/base/os:1 | | base/os:1 | annotation
platform/py:3 | STAGES | py | --build-arg BASE=HOST/base/os:1 --format docker | | base/os:1 | layers
# A label that its child inherits.
platform/labelled:1 | FROM HOST/base/os:1; LABELLED | labelled | --format docker | | base/os:1 | layers
apps/inherits:1 | FROM HOST/platform/labelled:1 | child | --format docker | | platform/labelled:1 | layers
# One layer is left, which no other image has.
apps/squashed:1 | FROM HOST/platform/node:22 | squashed | --squash | | platform/node:22 | annotation
apps/squashed-docker:1 | FROM HOST/platform/node:22 | s | --squash --format docker | | platform/node:22 | history
# Every layer is compressed again, and the conversion drops the annotations.
apps/zstd:1 | FROM HOST/platform/node:22 | z | --format docker | ZSTD | platform/node:22 | layers
# Of two bases with the same layers, what the child says chooses.
base/twin-a:1 | FROM scratch | twins | --format docker | | unknown |
base/twin-b:1 | FROM scratch | twins | --format docker | | unknown |
apps/of-a-twin:1 | FROM HOST/base/twin-b:1 | child | --format docker | | base/twin-b:1 | history
# A program alone.
apps/program:1 | FROM HOST/base/tools:1 AS build; FROM scratch; COPY --from=build /own /program | | | | unknown |
";
const WORDS: [(&str, &str); 5] = [
    ("STAGES", "ARG BASE; FROM HOST/base/tools:1 AS build; FROM ${BASE}; COPY --from=build /own /tool"),
    ("LABELLED", "LABEL org.opencontainers.image.base.name=HOST/base/os:1"),
    ("ZSTD", "--format oci --compression-format zstd"),
    ("HOST", HOST),
    ("; ", "\n"),
];

/// Returns the cells of each row.
fn rows() -> Vec<[String; 7]> {
    let row = |line: &str| {
        let line = WORDS.iter().fold(line.to_owned(), |line, (word, means)| line.replace(word, means));
        let cells: Vec<String> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
        <[String; 7]>::try_from(cells).unwrap()
    };
    ESTATE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(row).collect()
}

#[tokio::test]
#[ignore = "tests/run runs it as a step of its own, with buildah and docker-registry"]
async fn the_base_of_each_image_that_buildah_builds_is_found() {
    let workshop = Workshop::start(Path::new(env!("CARGO_TARGET_TMPDIR")).join("discover-buildah")).await;
    let rows = rows();
    for [name, dockerfile, own, build, push, ..] in &rows {
        let dockerfile = &format!("{dockerfile}\nCOPY own /own");
        workshop.make(&Recipe { name, dockerfile, own, build, push }).await;
    }
    let dockerfile = &format!("FROM {HOST}/base/os:1\nCOPY own /own");
    let index = Recipe { name: "platform/go:1", dockerfile, ..Recipe::default() };
    workshop.make_index(&index, &[("linux/amd64", "for amd64"), ("linux/arm64", "for arm64")], "1").await;
    let zstd = workshop.manifest("apps/zstd:1").await;
    let mut layers = zstd["layers"].as_array().unwrap().iter();
    assert!(layers.all(|layer| layer["mediaType"].as_str().unwrap().ends_with("+zstd")), "{zstd}");

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
    let images = drafted["images"].as_array().unwrap().iter();
    let found: BTreeMap<&str, &Value> = images.map(|image| (image["id"].as_str().unwrap(), image)).collect();
    let expected =
        rows.iter().map(|[name, _, _, _, _, from, by]| (name.as_str(), from.as_str(), by.as_str()));
    let expected = expected.chain([("platform/go:1", "base/os:1", "annotation")]);
    let mut wrong = Vec::new();
    for (name, from, by) in expected.filter(|(_, from, _)| !from.is_empty()) {
        let image = found[name];
        let is = (image["from"].as_str().unwrap(), image["by"].as_str().unwrap_or_default());
        if is != (from, by) {
            wrong.push(format!("{name} is not from {from} by {by:?}: {image:#}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(found.len(), 17, "{:?}", found.keys());
}
