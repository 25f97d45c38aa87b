//! What only people ask of a registry: lifecycle policies, previews, tags and configuration.

use patchwave::hierarchy::Hierarchy;
use patchwave_converge::Fault;
use serde_json::{Value, json};

use super::registry::{digest_of, ecr, manifest};
use super::{check, failing, of_call};
use crate::doctor;
use crate::ecr::care::{Expect, Patience};
use crate::fake::digest;

const TEXT: &str = "{}";

/// An image with two tags, so that one of them can be removed.
fn usual(operation: &str) -> Value {
    match operation {
        "DescribeImages" => json!({"imageDetails": [
            {"imageDigest": digest(1), "imageTags": ["1", "2"], "imagePushedAt": 1_700_000_000}]}),
        "BatchGetImage" => {
            json!({"images": [{"imageId": {"imageDigest": digest(1)}, "imageManifest": manifest()}]})
        }
        "GetLifecyclePolicy" => json!({"lifecyclePolicyText": TEXT}),
        "GetLifecyclePolicyPreview" => json!({"status": "COMPLETE", "lifecyclePolicyText": TEXT}),
        "DescribeRepositories" => {
            json!({"repositories": [{"repositoryName": "base/os", "imageTagMutability": "MUTABLE"}]})
        }
        "GetSigningConfiguration" => json!({"signingConfiguration": {"rules": [{"signingProfileArn": "p"}]}}),
        _ => json!({}),
    }
}

/// What a question about something that may be absent means.
fn of_question<T>(answer: Result<Option<T>, Fault>) -> String {
    match answer {
        Ok(None) => "absent".to_owned(),
        answer => of_call(answer, "found"),
    }
}

#[tokio::test]
async fn answers_to_people() {
    let patience = Patience { pause: std::time::Duration::ZERO, times: 2 };
    let hierarchy = Hierarchy::parse("h.yaml", super::registry::YAML).unwrap();
    let repository = &hierarchy.images().next().unwrap().repository;
    let (this, other, tag) = (digest_of(1), digest_of(9), "1".parse().unwrap());
    check("answers_to_people", async |row| {
        let config = failing(row, usual);
        let client = aws_sdk_ecr::Client::new(&config);
        let ecr = ecr(&config);
        match row.operation {
            "GetLifecyclePolicy" => of_question(ecr.stored_policy(repository).await),
            "PutLifecyclePolicy" => of_call(ecr.put_policy(repository, TEXT).await, "written"),
            "DeleteLifecyclePolicy" => of_call(ecr.delete_policy(repository).await, "gone"),
            "StartLifecyclePolicyPreview" | "GetLifecyclePolicyPreview" => {
                of_call(ecr.preview(repository, TEXT, patience).await, "previewed")
            }
            "PutImage" => {
                let moved = ecr.tag(repository, &other, &tag, Expect::This(Some(&this))).await;
                of_call(moved, "tagged")
            }
            "BatchDeleteImage" => of_call(ecr.untag(repository, &this, &tag).await, "untagged"),
            "DescribeRepositories" => of_call(ecr.mutability(repository).await, "found"),
            "DescribeRegistry" => of_call(ecr.replicas(repository).await, "found"),
            "GetSigningConfiguration" | "DescribeImageSigningStatus" => {
                of_question(ecr.signed(repository, &this).await)
            }
            "GetRepositoryPolicy" => of_question(doctor::policy(&client, "base/os").await),
            "DescribeRepositoryCreationTemplates" => of_call(doctor::templates(&client).await, "found"),
            other => panic!("no call of {other}"),
        }
    })
    .await;
}
