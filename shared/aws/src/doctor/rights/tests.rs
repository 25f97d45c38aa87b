//! IAM's simulation on the wire.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_sdk_lambda::types::EnvironmentResponse;
use patchwave_converge::FaultKind;

use super::*;

const HIERARCHY: &str = "\
version: 1
registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com
images:
  - { tier: base, repository: base/os, tags: [\"1\"], from: scratch, pipeline: base-os }
  - { tier: application, repository: apps/web, tags: [\"1\"], from: \"base/os:1\", pipeline: apps-web }
";

fn function() -> FunctionConfiguration {
    let environment = EnvironmentResponse::builder()
        .variables("PATCHWAVE_EVENT_BUS", "patchwave")
        .variables("PATCHWAVE_TICK", "stack/tick")
        .build();
    FunctionConfiguration::builder()
        .function_name("fanout")
        .function_arn("arn:aws:lambda:us-east-1:111122223333:function:fanout")
        .role("arn:aws:iam::111122223333:role/stack/fanout")
        .environment(environment)
        .build()
}

/// Asks a fake of IAM that answers each call with `answer`, given its form.
async fn ask(
    answer: impl Fn(&BTreeMap<String, String>) -> (u16, String) + Send + Sync + 'static,
) -> (Result<BTreeSet<DeniedSeen>, Fault>, Vec<BTreeMap<String, String>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let remember = Arc::clone(&asked);
    let clients = Clients::of(crate::fake::raw(move |request| {
        let body = String::from_utf8(request.body().bytes().unwrap_or_default().to_vec()).unwrap();
        let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
        let form = pairs.map(|(key, value)| (key.to_owned(), value.replace("%3A", ":").replace("%2F", "/")));
        let form: BTreeMap<String, String> = form.collect();
        let (status, answer) = answer(&form);
        remember.lock().unwrap().push(form);
        http::Response::builder().status(status).body(answer).unwrap()
    }));
    let hierarchy = Hierarchy::parse("h.yaml", HIERARCHY).unwrap();
    let denied = denied(&clients, &hierarchy, &function(), "patchwave").await;
    let asked = asked.lock().unwrap().drain(..).collect();
    (denied, asked)
}

fn answered(results: &str, marker: Option<&str>) -> (u16, String) {
    let more = marker.map_or("<IsTruncated>false</IsTruncated>".to_owned(), |marker| {
        format!("<IsTruncated>true</IsTruncated><Marker>{marker}</Marker>")
    });
    let answer = format!(
        "<SimulatePrincipalPolicyResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><SimulatePrincipalPolicyResult>\
         <EvaluationResults>{results}</EvaluationResults>{more}</SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
    );
    (200, answer)
}

fn member(resource: &str, decision: &str, missing: &str) -> String {
    format!(
        "<member><EvalActionName>x</EvalActionName><EvalResourceName>{resource}</EvalResourceName>\
         <EvalDecision>{decision}</EvalDecision><MissingContextValues>{missing}</MissingContextValues></member>"
    )
}

#[tokio::test]
async fn each_write_is_simulated_on_what_it_would_write_and_every_page_is_read() {
    let (denied, asked) = ask(|form| {
        let start = form["ActionNames.member.1"] == "codepipeline:StartPipelineExecution";
        match (start, form.get("Marker").map(String::as_str)) {
            (false, _) => answered(&member("*", "allowed", ""), None),
            (true, None) => answered(&member("a", "allowed", ""), Some("more")),
            (true, Some(_)) => {
                let specific = "<member><EvalActionName>x</EvalActionName><EvalResourceName>*</EvalResourceName>\
                    <EvalDecision>implicitDeny</EvalDecision><ResourceSpecificResults>\
                    <member><EvalResourceName>web</EvalResourceName><EvalResourceDecision>explicitDeny</EvalResourceDecision>\
                    <MissingContextValues><member>aws:SourceIp</member></MissingContextValues></member>\
                    <member><EvalResourceName>api</EvalResourceName><EvalResourceDecision>implicitDeny</EvalResourceDecision></member>\
                    <member><EvalResourceName>os</EvalResourceName><EvalResourceDecision>allowed</EvalResourceDecision></member>\
                    </ResourceSpecificResults></member>";
                answered(specific, None)
            }
        }
    })
    .await;
    let denied: Vec<DeniedSeen> = denied.unwrap().into_iter().collect();
    let [api, web] = denied.as_slice() else { panic!("{denied:?}") };
    assert_eq!((api.resource.as_str(), api.decision.as_str(), api.missing.len()), ("api", "implicitDeny", 0));
    assert_eq!((web.action.as_str(), web.resource.as_str()), ("codepipeline:StartPipelineExecution", "web"));
    assert_eq!((web.decision.as_str(), web.missing.len()), ("explicitDeny", 1));
    assert!(
        asked.iter().all(|form| form["PolicySourceArn"] == "arn:aws:iam::111122223333:role/stack/fanout")
    );
    let resources = |action: &str| -> Vec<&str> {
        let forms = asked.iter().filter(|form| form["ActionNames.member.1"] == action);
        forms
            .flat_map(|form| form.iter().filter(|(key, _)| key.starts_with("ResourceArns")))
            .map(|(_, arn)| arn.as_str())
            .collect()
    };
    assert_eq!(resources("dynamodb:UpdateItem"), ["arn:aws:dynamodb:us-east-1:111122223333:table/patchwave"]);
    assert_eq!(resources("events:PutEvents"), ["arn:aws:events:us-east-1:111122223333:event-bus/patchwave"]);
    assert_eq!(
        resources("scheduler:CreateSchedule"),
        ["arn:aws:scheduler:us-east-1:111122223333:schedule/stack/recheck"]
    );
    assert_eq!(
        resources("ecr:StartImageScan"),
        [
            "arn:aws:ecr:us-east-1:111122223333:repository/apps/web",
            "arn:aws:ecr:us-east-1:111122223333:repository/base/os"
        ]
    );
    let sources = asked.iter().filter(|form| form.get("ContextEntries.member.1.ContextKeyName").is_some());
    assert_eq!(sources.count(), 1, "the bus asks for a source");
}

#[tokio::test]
async fn what_iam_does_not_answer_is_not_checked() {
    for (status, code, kind) in [
        (403, "AccessDenied", FaultKind::Denied),
        (400, "InvalidInput", FaultKind::Invalid),
        (404, "NoSuchEntity", FaultKind::Invalid),
        (500, "PolicyEvaluation", FaultKind::Unavailable),
        (400, "Throttling", FaultKind::Throttled),
    ] {
        let (denied, _) = ask(move |_| {
            let error = format!(
                "<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
            );
            (status, error)
        })
        .await;
        assert_eq!(denied.unwrap_err().kind, kind, "{code}");
    }
}
