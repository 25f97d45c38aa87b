use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use patchwave::image::{Digest, Repository, Tag};
use patchwave::lifecycle::{Action, Going, LifecyclePolicy, Reading, judge};
use patchwave_converge::FaultKind;
use serde_json::{Value, json};

use super::super::{Cache, Ecr};
use super::{Expect, Patience};
use crate::fake::{self, Answer, Asked, count, digest, error};

const AT_ONCE: Patience = Patience { pause: Duration::ZERO, times: 3 };
const TEXT: &str = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}"#;

fn ecr(answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static) -> (Ecr, Asked) {
    let (config, asked) = fake::config(1, answer);
    let registry = "111122223333.dkr.ecr.us-east-1.amazonaws.com".parse().unwrap();
    (Ecr::new(aws_sdk_ecr::Client::new(&config), &registry, &Cache::default()), asked)
}

fn shop() -> Repository {
    "apps/shop".parse().unwrap()
}

fn of(n: usize) -> Digest {
    digest(n).parse().unwrap()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn asked_in_order(asked: &Asked) -> Vec<String> {
    asked.lock().unwrap().iter().map(|(operation, _)| operation.clone()).collect()
}

#[tokio::test]
async fn a_listing_has_every_page_and_what_each_index_lists() {
    let pages = |input: &Value| {
        let detail = |n: usize, kind: &str| {
            json!({"imageDigest": digest(n), "imagePushedAt": 1_700_000_000 + n, "imageSizeInBytes": 10, "imageStatus": "ACTIVE",
                "imageManifestMediaType": format!("application/vnd.oci.image.{kind}.v1+json"),
                "imageScanFindingsSummary": {"findingSeverityCounts": {"HIGH": 2, "LOW": 1}}})
        };
        match input["nextToken"].as_str() {
            None => (
                200,
                json!({"imageDetails": [detail(1, "index"), detail(2, "manifest")], "nextToken": "more"}),
            ),
            Some(_) => (200, json!({"imageDetails": [detail(3, "manifest")]})),
        }
    };
    let index =
        json!({"manifests": [{"digest": digest(2), "platform": {"os": "linux", "architecture": "amd64"}}]});
    let (ecr, asked) = ecr(move |operation, input| match operation {
        "DescribeImages" => pages(input),
        _ => (
            200,
            json!({"images": [{"imageId": {"imageDigest": digest(1)}, "imageManifest": index.to_string()}]}),
        ),
    });
    let listing = ecr.listing(&shop()).await.unwrap();
    assert_eq!(asked.lock().unwrap()[0].1["filter"], json!({"imageStatus": "ANY"}));
    let parts: Vec<bool> = listing.images.values().map(|image| image.is_part).collect();
    assert_eq!(parts, [false, true, false], "only the second is listed");
    assert!(listing.images[&of(1)].children.contains(&of(2)));
    assert_eq!((listing.images[&of(3)].bytes, listing.images[&of(3)].findings), (10, Some(3)));
}

#[tokio::test]
async fn an_index_that_cannot_be_read_leaves_the_listing_unread() {
    let (ecr, _) = ecr(|operation, _| match operation {
        "DescribeImages" => (
            200,
            json!({"imageDetails": [{"imageDigest": digest(1), "imagePushedAt": 1, "imageManifestMediaType": "application/vnd.oci.image.index.v1+json"}]}),
        ),
        _ => error("AccessDeniedException"),
    });
    assert_eq!(ecr.listing(&shop()).await.unwrap_err().kind, FaultKind::Denied);
}

#[tokio::test]
async fn a_preview_is_waited_for_and_read_to_its_last_page() {
    let times = AtomicUsize::new(0);
    let (ecr, asked) = ecr(move |operation, input| {
        let result = |n: usize, kind: &str| json!({"imageDigest": digest(n), "appliedRulePriority": n, "action": {"type": kind}, "imagePushedAt": 1});
        match operation {
            "StartLifecyclePolicyPreview" if times.load(Ordering::SeqCst) == 0 => {
                times.fetch_add(1, Ordering::SeqCst);
                error("LifecyclePolicyPreviewInProgressException")
            }
            "StartLifecyclePolicyPreview" => (200, json!({"status": "IN_PROGRESS"})),
            _ if times.fetch_add(1, Ordering::SeqCst) == 1 => (200, json!({"status": "IN_PROGRESS"})),
            _ if input["nextToken"].is_null() => (
                200,
                json!({"status": "COMPLETE", "lifecyclePolicyText": TEXT, "previewResults": [result(1, "EXPIRE")], "nextToken": "more"}),
            ),
            _ => (
                200,
                json!({"status": "COMPLETE", "lifecyclePolicyText": format!(" {TEXT}"), "previewResults": [result(2, "TRANSITION")]}),
            ),
        }
    });
    let going = ecr.preview(&shop(), TEXT, AT_ONCE).await.unwrap();
    assert_eq!(going[&of(1)], Going { rule: 1, action: Action::Expire });
    assert_eq!(going[&of(2)], Going { rule: 2, action: Action::Transition });
    assert_eq!(count(&asked, "StartLifecyclePolicyPreview"), 2);
    assert_eq!(asked.lock().unwrap()[0].1["lifecyclePolicyText"], TEXT);
}

#[tokio::test]
async fn a_preview_of_another_text_or_one_that_does_not_end_is_no_answer() {
    let with = |status: &'static str, text: &'static str| {
        let (ecr, _) = ecr(move |operation, _| match operation {
            "StartLifecyclePolicyPreview" => (200, json!({})),
            _ => (200, json!({"status": status, "lifecyclePolicyText": text, "previewResults": []})),
        });
        ecr
    };
    let said = with("COMPLETE", "{}").preview(&shop(), TEXT, AT_ONCE).await.unwrap_err();
    assert!(said.to_string().contains("was previewed meanwhile"), "{said}");
    let said = with("IN_PROGRESS", TEXT).preview(&shop(), TEXT, AT_ONCE).await.unwrap_err();
    assert_eq!(said.kind, FaultKind::Unavailable);
    for status in ["FAILED", "EXPIRED"] {
        let said = with(status, TEXT).preview(&shop(), TEXT, AT_ONCE).await.unwrap_err();
        assert_eq!(said.kind, FaultKind::Invalid, "{status}");
    }
}

#[tokio::test]
async fn a_repository_without_a_policy_is_no_fault_and_an_unread_one_is() {
    let stored = async |code: &'static str| ecr(move |_, _| error(code)).0.stored_policy(&shop()).await;
    assert_eq!(stored("LifecyclePolicyNotFoundException").await.unwrap(), None);
    assert!(stored("AccessDeniedException").await.is_err());
    assert!(stored("RepositoryNotFoundException").await.is_err());
}

/// A repository whose image 1 has these tags; `other` is what image 2 has.
fn tagged(tags: &'static [&str], other: &'static str) -> (Ecr, Asked) {
    ecr(move |operation, input| match operation {
        "DescribeImages" => {
            let id = &input["imageIds"][0];
            let detail = |n: usize, tags: &[&str]| {
                (
                    200,
                    json!({"imageDetails": [{"imageDigest": digest(n), "imageTags": tags, "imagePushedAt": 1}]}),
                )
            };
            match id["imageTag"].as_str() {
                None => detail(1, tags),
                Some(tag) if tags.contains(&tag) => detail(1, tags),
                Some(tag) if tag == other => detail(2, &[other]),
                Some(_) => error("ImageNotFoundException"),
            }
        }
        "BatchGetImage" => (
            200,
            json!({"images": [{"imageId": {"imageDigest": digest(1)}, "imageManifest": "{ \"bytes\":1 }",
                "imageManifestMediaType": "application/vnd.oci.image.manifest.v1+json"}]}),
        ),
        _ => (200, json!({})),
    })
}

#[tokio::test]
async fn a_tag_is_set_with_the_same_bytes_and_only_if_it_is_nobodys() {
    let (ecr, asked) = tagged(&["main-1"], "patchwave.keep.prod.b");
    ecr.tag(&shop(), &of(1), &tag("patchwave.keep.prod.a"), Expect::Nobody).await.unwrap();
    let put = asked.lock().unwrap().iter().find(|(name, _)| name == "PutImage").unwrap().1.clone();
    assert_eq!(put["imageManifest"], "{ \"bytes\":1 }", "not a byte differs");
    assert_eq!((&put["imageTag"], &put["imageDigest"]), (&json!("patchwave.keep.prod.a"), &json!(digest(1))));
    let taken = ecr.tag(&shop(), &of(1), &tag("patchwave.keep.prod.b"), Expect::Nobody).await.unwrap_err();
    assert!(taken.to_string().contains("has the tag now"), "{taken}");
    ecr.tag(&shop(), &of(1), &tag("main-1"), Expect::Nobody).await.unwrap();
    assert_eq!(count(&asked, "PutImage"), 1, "it has that tag");
    ecr.tag(&shop(), &of(1), &tag("patchwave.keep.prod.b"), Expect::This(Some(&of(2)))).await.unwrap();
    assert_eq!(count(&asked, "PutImage"), 2, "a promotion moves the tag from where it was");
}

#[tokio::test]
async fn the_last_tag_of_an_image_is_never_removed() {
    let (ecr, asked) = tagged(&["patchwave.keep.prod.a"], "x");
    let refused = ecr.untag(&shop(), &of(1), &tag("patchwave.keep.prod.a")).await.unwrap_err();
    assert!(refused.to_string().contains("last tag"), "{refused}");
    assert_eq!(asked_in_order(&asked), ["DescribeImages"]);
    let (ecr, asked) = tagged(&["patchwave.keep.prod.a", "main-1"], "x");
    ecr.untag(&shop(), &of(1), &tag("patchwave.keep.prod.a")).await.unwrap();
    let ids = asked.lock().unwrap().last().unwrap().1["imageIds"].clone();
    assert_eq!(ids, json!([{"imageTag": "patchwave.keep.prod.a"}]), "by tag: by digest deletes the image");
}

#[tokio::test]
async fn what_was_read_can_be_judged() {
    let policy = LifecyclePolicy::parse(TEXT).unwrap();
    let (ecr, _) = ecr(|_, _| {
        let detail =
            |n: usize| json!({"imageDigest": digest(n), "imagePushedAt": n, "imageManifestMediaType": "m"});
        (200, json!({"imageDetails": [detail(1), detail(2)]}))
    });
    let listing = ecr.listing(&shop()).await.unwrap();
    let now = "2026-03-20T04:00:00Z".parse().unwrap();
    let going = judge(&policy, &listing.images, Reading::WithoutParts, now);
    assert_eq!(going.into_keys().collect::<Vec<_>>(), [of(1)]);
}

/// One answer of each call that only people make. Botocore's models judge them.
#[tokio::test]
async fn the_calls_and_answers_of_care_are_those_that_are_compared_with_the_models() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&calls);
    let (ecr, _) = ecr(move |operation, input| {
        let (status, output) = of_care(operation, input);
        log.lock()
            .unwrap()
            .push(json!({"operation": operation, "input": input, "status": status, "output": output}));
        (status, output)
    });
    ecr.preview(&shop(), TEXT, AT_ONCE).await.unwrap();
    ecr.put_policy(&shop(), TEXT).await.unwrap();
    assert_eq!(ecr.stored_policy(&shop()).await.unwrap().as_deref(), Some(TEXT));
    ecr.delete_policy(&shop()).await.unwrap();
    assert!(!ecr.mutability(&shop()).await.unwrap().moves);
    let replicas = ecr.replication().await.unwrap().replicas(&shop());
    assert_eq!(replicas, [("111122223333".to_owned(), "us-west-2".to_owned())].into());
    assert_eq!(ecr.signed(&shop(), &of(1)).await.unwrap(), Some(true));
    ecr.tag(&shop(), &of(1), &tag("patchwave.keep.prod.a"), Expect::Nobody).await.unwrap();
    ecr.untag(&shop(), &of(1), &tag("main-1")).await.unwrap();
    fake::is_on_file("care", &calls.lock().unwrap());
}

fn of_care(operation: &str, input: &Value) -> Answer {
    let name = json!({"registryId": "111122223333", "repositoryName": "apps/shop"});
    let with = |more: Value| {
        let mut all = name.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (200, all)
    };
    let result = json!({"imageDigest": digest(1), "imageTags": ["main-1"], "imagePushedAt": 1, "action": {"type": "EXPIRE"},
        "appliedRulePriority": 1, "storageClass": "STANDARD"});
    match operation {
        "StartLifecyclePolicyPreview" => with(json!({"lifecyclePolicyText": TEXT, "status": "IN_PROGRESS"})),
        "GetLifecyclePolicyPreview" => with(json!({"lifecyclePolicyText": TEXT, "status": "COMPLETE",
            "previewResults": [result], "summary": {"expiringImageTotalCount": 1}})),
        "PutLifecyclePolicy" | "GetLifecyclePolicy" | "DeleteLifecyclePolicy" => {
            with(json!({"lifecyclePolicyText": TEXT}))
        }
        "DescribeRepositories" => (
            200,
            json!({"repositories": [{"repositoryName": "apps/shop", "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
                "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "patchwave.keep.*"}]}]}),
        ),
        "DescribeRegistry" => (
            200,
            json!({"registryId": "111122223333", "replicationConfiguration": {"rules": [
                {"destinations": [{"region": "us-west-2", "registryId": "111122223333"}],
                    "repositoryFilters": [{"filter": "apps/", "filterType": "PREFIX_MATCH"}]}]}}),
        ),
        "GetSigningConfiguration" => (
            200,
            json!({"registryId": "111122223333", "signingConfiguration": {"rules": [{
                "signingProfileArn": "arn:aws:signer:us-east-1:111122223333:/signing-profiles/shop",
                "repositoryFilters": [{"filter": "apps/*", "filterType": "WILDCARD_MATCH"}]}]}}),
        ),
        "DescribeImageSigningStatus" => with(json!({"imageId": {"imageDigest": digest(1)},
            "signingStatuses": [{"signingProfileArn": "arn:aws:signer:us-east-1:111122223333:/signing-profiles/shop",
                "status": "COMPLETE"}]})),
        "DescribeImages" if input["imageIds"][0]["imageTag"].is_string() => error("ImageNotFoundException"),
        "DescribeImages" => (
            200,
            json!({"imageDetails": [{"imageDigest": digest(1), "imageTags": ["main-1", "x"], "imagePushedAt": 1}]}),
        ),
        "BatchGetImage" => (
            200,
            json!({"images": [{"imageId": {"imageDigest": digest(1)}, "imageManifest": "{}",
                "imageManifestMediaType": "application/vnd.oci.image.manifest.v1+json"}], "failures": []}),
        ),
        "PutImage" => (200, json!({"image": {"imageId": {"imageDigest": digest(1)}}})),
        "BatchDeleteImage" => (200, json!({"imageIds": input["imageIds"], "failures": []})),
        other => panic!("{other}"),
    }
}
