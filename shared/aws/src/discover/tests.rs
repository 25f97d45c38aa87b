//! The small estate, read on the wire.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use patchwave::discover::{Estate, discover as draft};
use serde_json::{Value, json};

use super::*;

const ESTATE: &str = include_str!("../../../../tests/fixtures/discover/small.json");

/// A fake of STS, ECR, CodePipeline and CodeBuild that has the small estate.
struct Fake {
    estate: Value,
    asked: Mutex<Vec<String>>,
    excluded: Vec<&'static str>,
    /// A repository whose images may not be listed.
    denied: Option<&'static str>,
    /// An operation that is refused, with the status and the code.
    refused: Option<(&'static str, u16, &'static str)>,
    /// What `CloudTrail` says: the repository, the role and an error, each on a page of its own.
    pushes: Vec<(&'static str, &'static str, Option<&'static str>)>,
}

impl Fake {
    fn new() -> Self {
        let estate = serde_json::from_str(ESTATE).unwrap();
        let excluded = vec!["arn:aws:iam::111122223333:role/team/reader"];
        Self { estate, asked: Mutex::default(), excluded, denied: None, refused: None, pushes: Vec::new() }
    }

    fn repositories(&self) -> &Vec<Value> {
        self.estate["registries"][0]["repositories"].as_array().unwrap()
    }

    fn repository(&self, input: &Value) -> &Value {
        self.repositories().iter().find(|r| r["name"] == input["repositoryName"]).unwrap()
    }

    fn answer(&self, operation: &str, input: &Value) -> Value {
        match operation {
            "ListPullTimeUpdateExclusions" => json!({"pullTimeUpdateExclusions": self.excluded}),
            "DescribePullThroughCacheRules" => json!({"pullThroughCacheRules": [
                {"ecrRepositoryPrefix": "docker-hub", "upstreamRegistryUrl": "docker.io"}]}),
            // Two pages.
            "DescribeRepositories" => {
                let all: Vec<Value> = self.repositories().iter().map(|r| json!({
                    "repositoryName": r["name"],
                    "repositoryArn": format!("arn:aws:ecr:us-east-1:111122223333:repository/{}", r["name"].as_str().unwrap()),
                })).collect();
                match input["nextToken"].as_str() {
                    None => json!({"repositories": all[..5], "nextToken": "more"}),
                    Some(_) => json!({"repositories": all[5..]}),
                }
            }
            "ListTagsForResource" => {
                let arn = input["resourceArn"].as_str().unwrap();
                let of = self
                    .repositories()
                    .iter()
                    .find(|r| arn.ends_with(&format!(":repository/{}", r["name"].as_str().unwrap())));
                let tags = of.unwrap()["tags"].as_object().unwrap();
                json!({"tags": tags.iter().map(|(k, v)| json!({"Key": k, "Value": v})).collect::<Vec<_>>()})
            }
            "DescribeImages" => {
                let versions = self.repository(input)["versions"].as_array().unwrap();
                let details: Vec<Value> = versions.iter().map(|v| {
                    let at: patchwave::time::Timestamp = v["pushedAt"].as_str().unwrap().parse().unwrap();
                    json!({"imageDigest": v["digest"], "imageTags": v["tags"], "imagePushedAt": at.as_second()})
                }).collect();
                json!({"imageDetails": details})
            }
            "BatchGetImage" => {
                let ids = input["imageIds"].as_array().unwrap();
                let images: Vec<Value> = ids
                    .iter()
                    .map(|id| {
                        let text = self.estate["documents"][id["imageDigest"].as_str().unwrap()].to_string();
                        json!({"imageId": id, "imageManifest": text})
                    })
                    .collect();
                json!({"images": images})
            }
            "GetDownloadUrlForLayer" => json!({
                "downloadUrl": format!("https://bucket.example/blobs/{}", input["layerDigest"].as_str().unwrap())}),
            "ListPipelines" => json!({"pipelines": self.estate["pipelines"].as_array().unwrap().iter()
                .map(|p| json!({"name": p["name"]})).collect::<Vec<_>>()}),
            "GetPipeline" => {
                let all = self.estate["pipelines"].as_array().unwrap();
                pipeline(all.iter().find(|p| p["name"] == input["name"]).unwrap())
            }
            "BatchGetProjects" => {
                json!({"projects": self.estate["projects"].as_array().unwrap().iter().map(project).collect::<Vec<_>>()})
            }
            "LookupEvents" => {
                assert_eq!(
                    input["LookupAttributes"],
                    json!([{"AttributeKey": "EventName", "AttributeValue": "PutImage"}])
                );
                let at: usize = input["NextToken"].as_str().map_or(0, |token| token.parse().unwrap());
                let events = self.pushes.get(at).map(|(repository, role, error)| {
                    let event = json!({
                        "awsRegion": "us-east-1", "recipientAccountId": "111122223333", "errorCode": error,
                        "userIdentity": {"type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/x/y",
                            "sessionContext": {"sessionIssuer": {"arn": format!("arn:aws:iam::111122223333:role/{role}")}}},
                        "requestParameters": {"repositoryName": repository, "registryId": "111122223333"},
                    });
                    json!({"EventName": "PutImage", "CloudTrailEvent": event.to_string()})
                });
                let next = (at + 1 < self.pushes.len()).then(|| (at + 1).to_string());
                json!({"Events": events.into_iter().collect::<Vec<_>>(), "NextToken": next})
            }
            "ListPipelineExecutions" => json!({"pipelineExecutionSummaries": [
                {"status": "Failed", "startTime": 1, "lastUpdateTime": 2},
                {"status": "Succeeded", "startTime": 1, "lastUpdateTime": 2,
                    "sourceRevisions": [{"actionName": "Source", "revisionId": "abc"}]}]}),
            other => panic!("{other} is not expected"),
        }
    }

    /// Answers IAM's query protocol. Every role has one managed policy, and what it may push in an
    /// inline one on a second page.
    fn iam(&self, operation: &str, input: &BTreeMap<String, String>) -> String {
        let said = |key: &str| input.get(key).map(String::as_str).unwrap_or_default();
        let puts = || {
            let projects = self.estate["projects"].as_array().unwrap().iter();
            let role = format!("arn:aws:iam::111122223333:role/{}", said("RoleName"));
            projects
                .filter(|project| project["role"] == role)
                .find_map(|project| project["puts"].as_array())
                .cloned()
        };
        let policy = |action: &str, resources: &Value| {
            let policy = json!({"Statement": [{"Effect": "Allow", "Action": action, "Resource": resources}]});
            policy.to_string().replace('{', "%7B").replace('}', "%7D").replace('"', "%22")
        };
        let result = match operation {
            "ListRolePolicies" if said("Marker").is_empty() => {
                "<PolicyNames/><IsTruncated>true</IsTruncated><Marker>more</Marker>".to_owned()
            }
            "ListRolePolicies" => {
                let names = puts().map_or("", |_| "<member>push</member>");
                format!("<PolicyNames>{names}</PolicyNames><IsTruncated>false</IsTruncated>")
            }
            "GetRolePolicy" => format!(
                "<RoleName>{}</RoleName><PolicyName>push</PolicyName><PolicyDocument>{}</PolicyDocument>",
                said("RoleName"),
                policy("ecr:PutImage", &json!(puts()))
            ),
            "ListAttachedRolePolicies" => "<AttachedPolicies><member><PolicyName>Read</PolicyName><PolicyArn>arn:aws:iam::aws:policy/Read\
                </PolicyArn></member></AttachedPolicies><IsTruncated>false</IsTruncated>".to_owned(),
            "GetPolicy" => "<Policy><DefaultVersionId>v3</DefaultVersionId></Policy>".to_owned(),
            "GetPolicyVersion" => {
                assert_eq!((said("PolicyArn"), said("VersionId")), ("arn:aws:iam::aws:policy/Read", "v3"));
                format!("<PolicyVersion><Document>{}</Document></PolicyVersion>", policy("ecr:Get*", &json!("*")))
            }
            other => panic!("{other} is not expected"),
        };
        format!(
            "<{operation}Response xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><{operation}Result>{result}</{operation}Result></{operation}Response>"
        )
    }
}

/// Reads the body of a call in the query protocol.
fn query(body: &[u8]) -> BTreeMap<String, String> {
    let pairs = std::str::from_utf8(body).unwrap().split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.replace("%3A", ":").replace("%2F", "/"))).collect()
}

fn pipeline(of: &Value) -> Value {
    let action = |a: &Value| {
        json!({
            "name": a["name"], "configuration": a["configuration"],
            "actionTypeId": {"category": a["category"], "owner": "AWS", "provider": a["provider"], "version": "1"},
        })
    };
    let actions: Vec<Value> = of["actions"].as_array().unwrap().iter().map(action).collect();
    let variables: Vec<Value> =
        of["variables"].as_array().unwrap().iter().map(|v| json!({"name": v})).collect();
    json!({"pipeline": {
        "name": of["name"], "roleArn": "arn:aws:iam::111122223333:role/p", "version": 1, "pipelineType": of["type"],
        "executionMode": of["mode"], "variables": variables, "stages": [{"name": "All", "actions": actions}],
    }})
}

fn project(of: &Value) -> Value {
    let variables: Vec<Value> = of["variables"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value, "type": "PLAINTEXT"}))
        .collect();
    json!({
        "name": of["name"], "serviceRole": of["role"], "source": {"type": "CODEPIPELINE", "buildspec": of["buildspec"]},
        "environment": {"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL", "environmentVariables": variables},
    })
}

const CALLER: &str = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
    <Arn>arn:aws:sts::111122223333:assumed-role/reader/ada</Arn><UserId>x</UserId><Account>111122223333</Account>\
    </GetCallerIdentityResult></GetCallerIdentityResponse>";

fn clients(fake: &Arc<Fake>) -> Clients {
    let fake = Arc::clone(fake);
    Clients::of(crate::fake::raw(move |request| {
        let respond =
            |status: u16, body: String| http::Response::builder().status(status).body(body).unwrap();
        let body = request.body().bytes().unwrap_or_default().to_vec();
        if body.starts_with(b"Action=GetCallerIdentity") {
            return respond(200, CALLER.to_owned());
        }
        let path = request.uri().path().to_owned();
        if let Some(digest) = path.strip_prefix("/blobs/") {
            fake.asked.lock().unwrap().push("GetLayer".to_owned());
            return respond(200, fake.estate["documents"][digest].to_string());
        }
        let target = request.headers().get("x-amz-target").map(|target| target.to_str().unwrap().to_owned());
        let query = if target.is_none() { query(&body) } else { BTreeMap::new() };
        let operation =
            target.as_deref().unwrap_or_else(|| &query["Action"]).rsplit('.').next().unwrap().to_owned();
        fake.asked.lock().unwrap().push(operation.clone());
        if let Some((_, status, code)) = fake.refused.filter(|(refused, ..)| *refused == operation) {
            return respond(
                status,
                match target {
                    Some(_) => json!({"__type": code, "message": "no"}).to_string(),
                    None => format!(
                        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
                    ),
                },
            );
        }
        if target.is_none() {
            return respond(200, fake.iam(&operation, &query));
        }
        let input: Value = serde_json::from_slice(&body).unwrap();
        if operation == "DescribeImages" && fake.denied.is_some_and(|name| input["repositoryName"] == name) {
            return respond(400, json!({"__type": "AccessDeniedException", "message": "no"}).to_string());
        }
        respond(200, fake.answer(&operation, &input).to_string())
    }))
}

fn asked(fake: &Fake) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for operation in fake.asked.lock().unwrap().drain(..) {
        *counts.entry(operation).or_default() += 1;
    }
    counts
}

fn here() -> Discovery {
    Discovery { regions: vec!["us-east-1".to_owned()], ..Discovery::default() }
}

#[tokio::test]
async fn what_is_read_on_the_wire_gives_the_same_draft() {
    let fake = Arc::new(Fake::new());
    let mut shown = Vec::new();
    let found = read(&clients(&fake), &here(), Duration::ZERO, &mut |progress| shown.push(progress.clone()))
        .await
        .unwrap();
    assert_eq!(found.estate.unread, []);
    let expected: Estate = serde_json::from_str(ESTATE).unwrap();
    assert_eq!(draft(&found.estate).text(), draft(&expected).text());
    assert!(
        shown
            .iter()
            .any(|progress| progress.done == progress.of && progress.what == "configs and attestations")
    );
}

#[tokio::test]
async fn a_second_run_asks_only_for_lists_and_a_spoilt_file_is_read_again() {
    let folder = std::env::temp_dir().join(format!("patchwave-discover-{}", std::process::id()));
    let discovery = Discovery { cache: Some(folder.clone()), ..here() };
    let fake = Arc::new(Fake::new());
    let first = read(&clients(&fake), &discovery, Duration::ZERO, &mut |_| {}).await.unwrap();
    // A copy lies in a second repository, and is read once.
    assert!(asked(&fake).contains_key("BatchGetImage") && first.saved < 10);
    let second = read(&clients(&fake), &discovery, Duration::ZERO, &mut |_| {}).await.unwrap();
    let again = asked(&fake);
    assert!(!again.contains_key("BatchGetImage") && !again.contains_key("GetLayer"), "{again:?}");
    assert!(second.calls < first.calls && second.saved > first.saved);
    assert_eq!(draft(&second.estate).text(), draft(&first.estate).text());
    let spoilt = std::fs::read_dir(folder.join("sha256")).unwrap().next().unwrap().unwrap().path();
    let spoilt = std::fs::read_dir(spoilt).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&spoilt, "{}").unwrap();
    let third = read(&clients(&fake), &discovery, Duration::ZERO, &mut |_| {}).await.unwrap();
    assert_eq!(draft(&third.estate).text(), draft(&first.estate).text());
    assert_eq!(third.saved + 1, second.saved);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn pull_times_move_only_for_who_says_so() {
    let fake = Arc::new(Fake { excluded: vec!["arn:aws:iam::111122223333:role/other"], ..Fake::new() });
    let refused = read(&clients(&fake), &here(), Duration::ZERO, &mut |_| {}).await.unwrap_err().to_string();
    assert!(
        refused.contains("--principal-arn arn:aws:iam::111122223333:role/reader --region us-east-1"),
        "{refused}"
    );
    assert!(!asked(&fake).contains_key("BatchGetImage"), "nothing was pulled");
    let allowed = Discovery { move_pull_times: true, ..here() };
    assert!(read(&clients(&fake), &allowed, Duration::ZERO, &mut |_| {}).await.is_ok());
}

#[tokio::test]
async fn without_blobs_annotations_and_compressed_layers_are_left() {
    let fake = Arc::new(Fake::new());
    let discovery = Discovery { metadata_only: true, ..here() };
    let found = read(&clients(&fake), &discovery, Duration::ZERO, &mut |_| {}).await.unwrap();
    assert!(!asked(&fake).contains_key("GetDownloadUrlForLayer"));
    let drafted = draft(&found.estate);
    let from = |id: &str| drafted.images.iter().find(|draft| draft.id == id).unwrap().from.clone();
    assert_eq!(from("platform/node:22"), "base/debian:13", "by its annotation");
    assert_eq!(from("apps/batch"), "unknown", "it was compressed again");
}

#[tokio::test]
async fn a_repository_that_may_not_be_read_is_named_and_the_rest_is_drafted() {
    let fake = Arc::new(Fake { denied: Some("apps/legacy"), ..Fake::new() });
    let found = read(&clients(&fake), &here(), Duration::ZERO, &mut |_| {}).await.unwrap();
    let drafted = draft(&found.estate);
    assert!(drafted.unread.iter().any(|unread| unread.starts_with("apps/legacy: ")), "{:?}", drafted.unread);
    assert!(drafted.images.iter().any(|draft| draft.id == "apps/web"));
}

#[test]
fn a_session_is_excluded_by_its_role() {
    assert_eq!(role_of("arn:aws:sts::1:assumed-role/reader/ada"), "arn:aws:iam::1:role/reader");
    assert_eq!(role_of("arn:aws:iam::1:user/ada"), "arn:aws:iam::1:user/ada");
}

#[tokio::test]
async fn who_pushed_is_read_from_every_page_and_a_refused_push_is_none() {
    let pushes = vec![
        ("apps/legacy", "jenkins", None),
        ("apps/legacy", "guest", Some("AccessDenied")),
        ("base/debian", "debian", None),
    ];
    let fake = Arc::new(Fake { pushes, ..Fake::new() });
    let found = read(&clients(&fake), &here(), Duration::ZERO, &mut |_| {}).await.unwrap();
    let roles: Vec<&str> =
        found.estate.pushes.iter().map(|push| push.role.rsplit('/').next().unwrap()).collect();
    assert_eq!(roles, ["jenkins", "debian"]);
    let asked = asked(&fake);
    assert_eq!(asked["LookupEvents"], 3);
    assert_eq!(asked["GetPolicyVersion"], 1, "roles share a policy: {asked:?}");
    let text = draft(&found.estate).text();
    assert!(text.contains("CloudTrail says that arn:aws:iam::111122223333:role/jenkins pushed it"), "{text}");
    assert!(found.estate.pipelines.iter().all(|pipeline| pipeline.executions.len() == 1), "one succeeded");
}

#[tokio::test]
async fn evidence_that_may_not_be_read_is_named_once_and_the_rest_counts() {
    // The documented errors of each call.
    let iam = [(404, "NoSuchEntity"), (500, "ServiceFailure"), (403, "AccessDenied"), (400, "Throttling")];
    let trail = [
        (400, "InvalidLookupAttributesException"),
        (400, "InvalidNextTokenException"),
        (400, "InvalidMaxResultsException"),
        (400, "InvalidTimeRangeException"),
        (400, "InvalidEventCategoryException"),
        (400, "OperationNotPermittedException"),
        (400, "UnsupportedOperationException"),
        (400, "AccessDeniedException"),
        (400, "ThrottlingException"),
    ];
    let executions = [
        (400, "PipelineNotFoundException"),
        (400, "InvalidNextTokenException"),
        (400, "ValidationException"),
    ];
    let operations =
        ["ListRolePolicies", "GetRolePolicy", "ListAttachedRolePolicies", "GetPolicy", "GetPolicyVersion"];
    let iam =
        operations.into_iter().flat_map(|operation| iam.map(|(status, code)| (operation, status, code)));
    let trail = trail.map(|(status, code)| ("LookupEvents", status, code));
    let executions = executions.map(|(status, code)| ("ListPipelineExecutions", status, code));
    for refused in iam.chain(trail).chain(executions) {
        let fake = Arc::new(Fake { refused: Some(refused), ..Fake::new() });
        let found = read(&clients(&fake), &here(), Duration::ZERO, &mut |_| {}).await.unwrap();
        let unread: Vec<String> = found.estate.unread.iter().map(ToString::to_string).collect();
        // A role that was deleted may push nowhere.
        if refused == ("ListRolePolicies", 404, "NoSuchEntity") {
            assert_eq!(unread, [""; 0]);
            continue;
        }
        assert!(unread.len() == 1 && unread[0].contains(refused.2), "{refused:?}: {unread:?}");
        let needs_person = found.estate.unread[0].needs_person;
        assert_eq!(
            needs_person,
            !matches!(refused.2, "ServiceFailure" | "Throttling" | "ThrottlingException"),
            "{refused:?}"
        );
        assert_eq!(draft(&found.estate).images.len(), 16, "{refused:?}");
    }
}
