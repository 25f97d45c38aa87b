//! The fakes answer as the services do: the real SDK clients understand them, and they refuse what
//! AWS refuses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_codepipeline::types::{
    PipelineExecutionStatus, PipelineVariable, SourceRevisionOverride, SourceRevisionType,
};
use aws_sdk_ecr::operation::describe_images::DescribeImagesOutput;
use aws_sdk_ecr::types::{ImageIdentifier, ScanStatus};
use patchwave_tests::awsjson;
use patchwave_tests::bus::Bus;
use patchwave_tests::clock::Clock;
use patchwave_tests::codepipeline::{Base, Builder, Order, Pipelines, Recipe, Tagging};
use patchwave_tests::ecr::Registry;
use patchwave_tests::moto::Moto;
use patchwave_tests::scanner::{Scanning, Vulnerability};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

struct Fakes {
    clock: Arc<Clock>,
    bus: Arc<Bus>,
    registry: Arc<Registry>,
    _moto: Moto,
}

impl Fakes {
    async fn start(scanning: Scanning) -> Self {
        let moto = Moto::start().await;
        let clock = Arc::new(Clock::default());
        let bus = Arc::new(Bus::new(Arc::clone(&clock)));
        let registry = Arc::new(Registry::new(moto.url(), scanning, Arc::clone(&clock), Arc::clone(&bus)));
        registry.create_repository("base/os").await.unwrap();
        Self { clock, bus, registry, _moto: moto }
    }

    fn builder(&self) -> Builder {
        Builder::new(Arc::clone(&self.registry), Arc::clone(&self.clock))
    }
}

fn config(endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new("key", "secret", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint)
        .build()
}

fn recipe() -> Recipe {
    Recipe {
        image: "base/os:1".into(),
        pipeline: "base-os".into(),
        repository: "base/os".into(),
        tagging: Tagging::Stable(vec!["1".into(), "1.2".into()]),
        base: Base::Upstream("public.ecr.aws/os/os:1".into()),
        packages: ["openssl", "zlib", "curl"].map(|name| (name.to_owned(), "OS".to_owned())).into(),
        variables: vec!["PATCHWAVE_BUILD_KEY".into(), "PATCHWAVE_NO_CACHE".into()],
        sources: vec!["Source".into()],
        reports_digest: true,
    }
}

async fn build(fakes: &Fakes, execution: &str) -> String {
    let order = Order {
        execution: execution.into(),
        variables: BTreeMap::from([("PATCHWAVE_NO_CACHE".into(), "true".into())]),
        commit: None,
    };
    fakes.builder().build(&recipe(), &order).await.unwrap().pushed
}

fn tag(tag: &str) -> ImageIdentifier {
    ImageIdentifier::builder().image_tag(tag).build()
}

fn digest(digest: &str) -> ImageIdentifier {
    ImageIdentifier::builder().image_digest(digest).build()
}

#[tokio::test]
async fn the_registry_keeps_untagged_images_and_answers_in_pages() {
    let fakes = Fakes::start(Scanning::Enhanced).await;
    let old = build(&fakes, "first").await;
    let new = build(&fakes, "second").await;
    let server = awsjson::serve(Arc::clone(&fakes.registry), Arc::default()).await;
    let ecr = aws_sdk_ecr::Client::new(&config(&server.url()));

    let by_tag = ecr.describe_images().repository_name("base/os").image_ids(tag("1.2")).send().await.unwrap();
    let [current] = by_tag.image_details() else { panic!("one image has the tag") };
    assert_eq!(current.image_digest(), Some(new.as_str()));
    assert_eq!(current.image_tags(), ["1", "1.2"]);
    assert_eq!(current.image_manifest_media_type(), Some(INDEX));

    let pages = ecr.describe_images().repository_name("base/os").into_paginator().send();
    let pages: Vec<_> = pages.try_collect().await.unwrap();
    assert!(pages.len() > 2, "the pages are small");
    let all: Vec<_> = pages.iter().flat_map(DescribeImagesOutput::image_details).collect();
    assert_eq!(all.len(), 10, "two indexes, four manifests, four attestations");
    let former = all.iter().find(|image| image.image_digest() == Some(old.as_str())).unwrap();
    assert!(former.image_tags().is_empty(), "its tags moved to the new version");
    assert!(former.image_pushed_at() < current.image_pushed_at());

    let missing =
        ecr.describe_images().repository_name("base/os").image_ids(tag("9")).send().await.unwrap_err();
    assert!(missing.into_service_error().is_image_not_found_exception());
}

#[tokio::test]
async fn a_batch_answers_for_each_image() {
    let fakes = Fakes::start(Scanning::Enhanced).await;
    let index = build(&fakes, "first").await;
    let server = awsjson::serve(Arc::clone(&fakes.registry), Arc::default()).await;
    let ecr = aws_sdk_ecr::Client::new(&config(&server.url()));
    let batch = ecr.batch_get_image().repository_name("base/os").image_ids(tag("1")).image_ids(tag("9"));
    let answer = batch.accepted_media_types(INDEX).send().await.unwrap();
    let [image] = answer.images() else { panic!("one image exists") };
    assert_eq!(image.image_id().unwrap().image_tag(), Some("1"));
    assert_eq!(image.image_id().unwrap().image_digest(), Some(index.as_str()));
    assert_eq!(patchwave_tests::content::digest(image.image_manifest().unwrap()), index);
    assert_eq!(answer.failures()[0].image_id().unwrap().image_tag(), Some("9"));
}

#[tokio::test]
async fn scans_are_of_platform_manifests_and_have_pages() {
    for scanning in [Scanning::Basic, Scanning::Enhanced] {
        let fakes = Fakes::start(scanning).await;
        for package in ["openssl", "zlib", "curl"] {
            fakes.registry.disclose(Vulnerability {
                id: format!("CVE-2026-{package}"),
                package: package.into(),
                affects: "1.0.0".into(),
                fixed_in: Some("1.0.1".into()),
                severity: "CRITICAL".into(),
                known_since: fakes.clock.now(),
            });
        }
        let index = build(&fakes, "first").await;
        let platforms =
            patchwave_tests::content::platforms(&fakes.registry.document("base/os", &index).unwrap());
        let server = awsjson::serve(Arc::clone(&fakes.registry), Arc::default()).await;
        let ecr = aws_sdk_ecr::Client::new(&config(&server.url()));

        let findings = |manifest: &str| {
            ecr.describe_image_scan_findings().repository_name("base/os").image_id(digest(manifest))
        };
        let pages = findings(&platforms["linux/arm64"]).into_paginator().send();
        let pages: Vec<_> = pages.try_collect().await.unwrap();
        assert_eq!(pages.len(), 2, "three findings, two on a page");
        let found: usize = pages
            .iter()
            .filter_map(|page| page.image_scan_findings())
            .map(|page| page.findings().len() + page.enhanced_findings().len())
            .sum();
        assert_eq!(found, 3);
        let status = pages[0].image_scan_status().unwrap().status().cloned();
        let healthy = if scanning == Scanning::Basic { ScanStatus::Complete } else { ScanStatus::Active };
        assert_eq!(status, Some(healthy));
        assert!(
            findings(&index).send().await.unwrap_err().into_service_error().is_scan_not_found_exception()
        );

        let again =
            ecr.start_image_scan().repository_name("base/os").image_id(digest(&platforms["linux/arm64"]));
        let refused = again.send().await.unwrap_err().into_service_error();
        match scanning {
            Scanning::Basic => assert!(refused.is_limit_exceeded_exception()),
            Scanning::Enhanced => assert!(refused.is_validation_exception()),
        }
    }
}

#[tokio::test]
async fn pipelines_check_their_input_and_answer_a_repeated_token_with_the_same_execution() {
    let fakes = Fakes::start(Scanning::Enhanced).await;
    let (builder, clock, bus) = (fakes.builder(), Arc::clone(&fakes.clock), Arc::clone(&fakes.bus));
    let pipelines = Arc::new(Pipelines::new(vec![recipe()], builder, clock, bus));
    let server = awsjson::serve(Arc::clone(&pipelines), Arc::default()).await;
    let client = aws_sdk_codepipeline::Client::new(&config(&server.url()));
    let variable =
        |name: &str, value: &str| PipelineVariable::builder().name(name).value(value).build().unwrap();
    let start = |token: &str| client.start_pipeline_execution().name("base-os").client_request_token(token);

    let undeclared =
        start("a-1").variables(variable("PATCHWAVE_REASON", "Expired")).send().await.unwrap_err();
    assert!(undeclared.into_service_error().is_validation_exception());
    let empty = start("a-1").variables(variable("PATCHWAVE_BUILD_KEY", "")).send().await.unwrap_err();
    assert!(empty.into_service_error().is_validation_exception());
    let colon = start("sha256:a").send().await.unwrap_err();
    assert!(colon.into_service_error().is_validation_exception());
    let unknown = client.start_pipeline_execution().name("nobody").send().await.unwrap_err();
    assert!(unknown.into_service_error().is_pipeline_not_found_exception());

    let pinned = SourceRevisionOverride::builder()
        .action_name("Source")
        .revision_type(SourceRevisionType::CommitId)
        .revision_value("c0ffee")
        .build()
        .unwrap();
    let first = start("a-1").variables(variable("PATCHWAVE_BUILD_KEY", "a")).source_revisions(pinned);
    let first = first.send().await.unwrap().pipeline_execution_id.unwrap();
    assert_eq!(start("a-1").send().await.unwrap().pipeline_execution_id.unwrap(), first, "the same token");
    for token in ["a-2", "a-3"] {
        assert_ne!(start(token).send().await.unwrap().pipeline_execution_id.unwrap(), first);
    }

    pipelines.finish(&first).await;
    let got = client.get_pipeline_execution().pipeline_name("base-os").pipeline_execution_id(&first);
    let got = got.send().await.unwrap().pipeline_execution.unwrap();
    assert_eq!(got.status(), Some(&PipelineExecutionStatus::Succeeded));
    let key = got.variables().iter().find(|v| v.name() == Some("PATCHWAVE_BUILD_KEY")).unwrap();
    assert_eq!(key.resolved_value(), Some("a"));

    let pages = client.list_pipeline_executions().pipeline_name("base-os").into_paginator().send();
    let pages: Vec<_> = pages.try_collect().await.unwrap();
    assert_eq!(pages.len(), 2);
    let [earliest, developers] = pages[1].pipeline_execution_summaries() else {
        panic!("two on the last page")
    };
    assert_eq!(earliest.pipeline_execution_id(), Some(first.as_str()));
    assert!(earliest.start_time().is_some());
    assert_eq!(developers.source_revisions()[0].revision_id(), Some(recipe().head().as_str()));
}

#[tokio::test]
async fn a_cached_build_installs_nothing_new() {
    let fakes = Fakes::start(Scanning::Enhanced).await;
    let builder = fakes.builder();
    let installed = async |execution: &str, no_cache: &str| {
        let variables = BTreeMap::from([("PATCHWAVE_NO_CACHE".to_owned(), no_cache.to_owned())]);
        let order = Order { execution: execution.into(), variables, commit: None };
        let index = builder.build(&recipe(), &order).await.unwrap().pushed;
        let platforms =
            patchwave_tests::content::platforms(&fakes.registry.document("base/os", &index).unwrap());
        let manifest = fakes.registry.document("base/os", &platforms["linux/amd64"]).unwrap();
        let own = patchwave_tests::content::layers(&manifest).pop().unwrap();
        fakes.registry.packages_in(&own)[0].version.clone()
    };
    assert_eq!(installed("1", "false").await, "1.0.0");
    builder.publish("openssl", "1.0.1");
    assert_eq!(installed("2", "false").await, "1.0.0");
    assert_eq!(installed("3", "true").await, "1.0.1");
}
