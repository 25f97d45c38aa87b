//! What `discover` reads: whole registries, and what builds.

use std::time::Duration;

use aws_sdk_lambda::types::FunctionConfiguration;
use patchwave::hierarchy::Hierarchy;
use patchwave::image::Digest;
use serde_json::{Value, json};

use super::{again, check, failing, kind, of_call};
use crate::clients::Clients;
use crate::discover::{Discovery, NotDiscovered, read};
use crate::doctor::rights;

const CALLER: &str = "arn:aws:iam::111122223333:role/reader";

fn usual(operation: &str) -> Value {
    match operation {
        "GetCallerIdentity" => json!(format!(
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>111122223333</Account><Arn>{CALLER}</Arn>\
             </GetCallerIdentityResult></GetCallerIdentityResponse>"
        )),
        "ListPullTimeUpdateExclusions" => json!({"pullTimeUpdateExclusions": [CALLER]}),
        "DescribeRepositories" => json!({"repositories": [
            {"repositoryName": "base/os", "repositoryArn": "arn:aws:ecr:us-east-1:111122223333:repository/base/os"}]}),
        "ListPipelines" => json!({"pipelines": [{"name": "base-os"}]}),
        "GetPipeline" => {
            json!({"pipeline": {"name": "base-os", "roleArn": "r", "stages": [{"name": "Build", "actions": [
            {"name": "Build", "configuration": {"ProjectName": "base-os"},
             "actionTypeId": {"category": "Build", "owner": "AWS", "provider": "CodeBuild", "version": "1"}}]}]}})
        }
        _ => json!({}),
    }
}

#[tokio::test]
async fn answers_about_an_estate() {
    check("answers_about_an_estate", async |row| {
        let clients = Clients::of(failing(row, usual));
        let discovery = Discovery { regions: vec!["us-east-1".into()], ..Discovery::default() };
        match Box::pin(read(&clients, &discovery, Duration::ZERO, &mut |_| {})).await {
            Ok(discovered) => discovered.estate.unread.first().map_or("read".to_owned(), again),
            // An endpoint that does not list exclusions excludes none.
            Err(NotDiscovered::MovesPullTimes { .. }) => "excludesNone".to_owned(),
            Err(NotDiscovered::Fault(fault)) => kind(fault.kind).to_owned(),
            Err(other) => panic!("{other}"),
        }
    })
    .await;
}

/// The same estate with an image, so that its builder is looked for.
fn with_an_image(operation: &str) -> Value {
    let layer =
        json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": Digest::of(b"layer")});
    let manifest = json!({"layers": [layer], "config": {"digest": Digest::of(b"config")}}).to_string();
    let digest = Digest::of(manifest.as_bytes());
    let xml = |result: &str| {
        json!(format!(
            "<{operation}Response><{operation}Result>{result}</{operation}Result></{operation}Response>"
        ))
    };
    match operation {
        "DescribeImages" => json!({"imageDetails": [
            {"imageDigest": digest, "imageTags": ["1"], "imagePushedAt": 1_700_000_000}]}),
        "BatchGetImage" => {
            json!({"images": [{"imageId": {"imageDigest": digest}, "imageManifest": manifest}]})
        }
        "BatchGetProjects" => json!({"projects": [
            {"name": "base-os", "serviceRole": "arn:aws:iam::111122223333:role/base-os"}]}),
        "ListRolePolicies" => xml("<PolicyNames><member>push</member></PolicyNames>"),
        "GetRolePolicy" => {
            xml("<RoleName>r</RoleName><PolicyName>p</PolicyName><PolicyDocument>{}</PolicyDocument>")
        }
        "ListAttachedRolePolicies" => xml(
            "<AttachedPolicies><member><PolicyArn>arn:aws:iam::aws:policy/Read</PolicyArn></member></AttachedPolicies>",
        ),
        "GetPolicy" => xml("<Policy><DefaultVersionId>v1</DefaultVersionId></Policy>"),
        "GetPolicyVersion" => xml("<PolicyVersion><Document>{}</Document></PolicyVersion>"),
        other => usual(other),
    }
}

#[tokio::test]
async fn answers_about_builders() {
    check("answers_about_builders", async |row| {
        let clients = Clients::of(failing(row, with_an_image));
        let (regions, metadata_only) = (vec!["us-east-1".into()], true);
        let discovery = Discovery { regions, metadata_only, ..Discovery::default() };
        let read = Box::pin(read(&clients, &discovery, Duration::ZERO, &mut |_| {})).await.unwrap();
        read.estate.unread.first().map_or("read".to_owned(), again)
    })
    .await;
}

#[tokio::test]
async fn answers_about_rights() {
    let hierarchy = "\
version: 1
registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com
images:
  - { tier: base, repository: base/os, tags: [\"1\"], from: scratch }
";
    let hierarchy = Hierarchy::parse("h.yaml", hierarchy).unwrap();
    let function = FunctionConfiguration::builder()
        .function_arn("arn:aws:lambda:us-east-1:111122223333:function:fanout")
        .role("arn:aws:iam::111122223333:role/fanout")
        .build();
    check("answers_about_rights", async |row| {
        let clients = Clients::of(failing(row, |_| json!("")));
        of_call(rights::denied(&clients, &hierarchy, &function, "patchwave").await, "read")
    })
    .await;
}
