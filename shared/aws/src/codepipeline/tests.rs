use patchwave::facts::{
    Declaration, Execution, ExecutionDetails, ExecutionMode, ExecutionState, PipelineFacts,
};
use patchwave::record::Claim;
use patchwave_converge::NotStarted;
use serde_json::{Value, json};

use super::Pipelines;
use crate::clients::Clients;
use crate::fake::{self, Answer, Asked, count, error};

const KEY: &str = "00112233445566778899aabbccddeeff00112233";
/// 2026-01-01T12:00:00Z.
const CLAIMED: i64 = 1_767_268_800;

fn pipelines(
    attempts: u32,
    answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static,
) -> (Pipelines, Asked) {
    let (config, asked) = fake::config(attempts, answer);
    (Pipelines::new(Clients::of(config), Vec::new()), asked)
}

fn claim(variables: &Value, execution: Option<&str>) -> Claim {
    let start = json!({
        "image": "apps/shop", "pipeline": "apps-shop", "key": KEY, "attempt": 2, "variables": variables,
        "sources": [{"action": "Source", "revisionType": "COMMIT_ID", "revision": "abc"}],
        "reasons": [], "since": "2026-01-01T11:00:00Z", "parents": {}, "toProve": [], "inputs": "", "noCache": true,
        "due": "2026-01-02T00:00:00Z",
    });
    let claim = json!({
        "owner": "rebuild-fanout/1", "claimedAt": "2026-01-01T12:00:00Z", "leaseUntil": "2026-01-01T12:15:00Z",
        "start": start, "execution": execution,
    });
    serde_json::from_value(claim).unwrap()
}

/// Ten minutes after the claim.
fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_second(CLAIMED + 600).unwrap()
}

fn with_key() -> Value {
    json!({"PATCHWAVE_BUILD_KEY": KEY})
}

/// A pipeline's executions on the wire, newest first, a hundred a page: id, seconds after the claim, trigger, key.
fn history(executions: Vec<(String, i64, &'static str, &'static str)>) -> impl Fn(&str, &Value) -> Answer {
    move |operation, input| match operation {
        "ListPipelineExecutions" => {
            let from: usize = input["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
            let summary = |(id, after, trigger, _): &(String, i64, &str, &str)| {
                let (trigger, role) = trigger.split_once(" by ").unwrap_or((*trigger, "patchwave"));
                let detail = format!("arn:aws:sts::111122223333:assumed-role/{role}/session");
                json!({"pipelineExecutionId": id, "status": "InProgress", "startTime": CLAIMED + after,
                       "trigger": {"triggerType": trigger, "triggerDetail": detail}})
            };
            let page: Vec<Value> = executions.iter().skip(from).take(100).map(summary).collect();
            let next = (from + 100 < executions.len()).then(|| (from + 100).to_string());
            (200, json!({"pipelineExecutionSummaries": page, "nextToken": next}))
        }
        "GetPipelineExecution" => {
            let key = executions.iter().find(|(id, ..)| input["pipelineExecutionId"] == **id).map(|e| e.3);
            let variables = json!([{"name": "PATCHWAVE_BUILD_KEY", "resolvedValue": key}]);
            (200, json!({"pipelineExecution": {"status": "Failed", "variables": variables}}))
        }
        "ListActionExecutions" => (200, json!({"actionExecutionDetails": []})),
        other => panic!("unexpected operation {other}"),
    }
}

fn pushes(count: i64) -> Vec<(String, i64, &'static str, &'static str)> {
    (0..count).map(|n| (format!("push-{n}"), 10_000 - n, "Webhook", "none")).collect()
}

#[tokio::test]
async fn a_start_sends_its_token_variables_and_pinned_sources() {
    let (pipelines, asked) = pipelines(1, |_, _| (200, json!({"pipelineExecutionId": "e-1"})));
    assert_eq!(pipelines.start(&claim(&with_key(), None).start).await, Ok("e-1".to_owned()));
    let input = asked.lock().unwrap()[0].1.clone();
    assert_eq!(
        input,
        json!({"name": "apps-shop", "clientRequestToken": format!("{KEY}-2"),
               "variables": [{"name": "PATCHWAVE_BUILD_KEY", "value": KEY}],
               "sourceRevisions": [{"actionName": "Source", "revisionType": "COMMIT_ID", "revisionValue": "abc"}]})
    );
}

#[tokio::test]
async fn a_start_is_refused_only_if_every_attempt_was() {
    let start = claim(&with_key(), None).start;
    let (refusing, _) = pipelines(1, |_, _| error("PipelineNotFoundException"));
    assert!(matches!(refusing.start(&start).await, Err(NotStarted::Refused(_))));
    let (throttling, asked) = pipelines(3, |_, _| error("ThrottlingException"));
    assert!(matches!(throttling.start(&start).await, Err(NotStarted::Refused(_))));
    assert_eq!(count(&asked, "StartPipelineExecution"), 3);
    let (broken, _) = pipelines(1, |_, _| (503, Value::Null));
    assert!(matches!(broken.start(&start).await, Err(NotStarted::Unclear(_))));
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let (first_broken, _) =
        pipelines(2, move |_, _| match calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => (503, Value::Null),
            _ => error("ConflictException"),
        });
    assert!(
        matches!(first_broken.start(&start).await, Err(NotStarted::Unclear(_))),
        "the first attempt may have started it"
    );
}

#[tokio::test]
async fn an_execution_is_found_by_its_key_on_the_second_page() {
    let mut executions = pushes(120);
    executions.push(("other".into(), 60, "StartPipelineExecution", "another key"));
    executions.push(("ours".into(), 5, "StartPipelineExecution", KEY));
    executions.push(("earlier-attempt".into(), -120, "StartPipelineExecution", KEY));
    let (pipelines, asked) = pipelines(1, history(executions));
    let found = pipelines.execution(&claim(&with_key(), None), now()).await;
    assert_eq!(found, Execution::found("ours", ExecutionState::Failed));
    assert_eq!(count(&asked, "ListPipelineExecutions"), 2);
    assert_eq!(count(&asked, "GetPipelineExecution"), 2, "pushes are not asked for");
}

#[tokio::test]
async fn an_earlier_attempts_execution_is_not_adopted_and_reading_ends_with_the_claim() {
    let mut executions = vec![("earlier".to_owned(), -120, "StartPipelineExecution", KEY)];
    executions.extend((0..500).map(|n| (format!("old-{n}"), -1_000 - n, "StartPipelineExecution", KEY)));
    let (pipelines, asked) = pipelines(1, history(executions));
    assert_eq!(pipelines.execution(&claim(&with_key(), None), now()).await, Execution::NotFound);
    assert_eq!(count(&asked, "ListPipelineExecutions"), 1);
}

/// The source stage of the attempt before failed within seconds, and the retry was claimed at once.
#[tokio::test]
async fn an_attempt_that_failed_within_the_clocks_difference_is_not_the_retrys() {
    let earlier = || ("earlier".to_owned(), -10, "StartPipelineExecution", KEY);
    let ours = || ("ours".to_owned(), 1, "StartPipelineExecution", KEY);
    for variables in [with_key(), json!({})] {
        let claim = Claim { previous: Some("earlier".into()), ..claim(&variables, None) };
        let (not_started, _) = pipelines(1, history(vec![earlier()]));
        assert_eq!(not_started.execution(&claim, now()).await, Execution::NotFound, "{variables}");
        let (started, _) = pipelines(1, history(vec![ours(), earlier()]));
        let found = started.execution(&claim, now()).await;
        assert!(matches!(&found, Execution::Found { id, .. } if id == "ours"), "{variables}: {found:?}");
    }
}

/// A developer releases a change by hand between a lost claim and its resolution.
#[tokio::test]
async fn a_persons_start_of_a_pipeline_without_variables_is_not_adopted() {
    let own = || vec!["arn:aws:iam::111122223333:role/patchwave".parse().unwrap()];
    let by_hand = ("by-hand".to_owned(), 1, "StartPipelineExecution by Developer", "none");
    let (config, _) = fake::config(1, history(vec![by_hand.clone()]));
    let pipelines = Pipelines::new(Clients::of(config), own());
    assert_eq!(pipelines.execution(&claim(&json!({}), None), now()).await, Execution::NotFound);

    let ours = ("ours".to_owned(), 5, "StartPipelineExecution", "none");
    let (config, _) = fake::config(1, history(vec![ours, by_hand]));
    let pipelines = Pipelines::new(Clients::of(config), own());
    let found = pipelines.execution(&claim(&json!({}), None), now()).await;
    assert_eq!(found, Execution::found("ours", ExecutionState::InProgress));
}

#[tokio::test]
async fn without_variables_the_first_call_since_the_claim_is_ours() {
    let mut executions = pushes(3);
    executions.push(("later".into(), 900, "StartPipelineExecution", "none"));
    executions.push(("ours".into(), 1, "StartPipelineExecution", "none"));
    let (pipelines, _) = pipelines(1, history(executions));
    let found = pipelines.execution(&claim(&json!({}), None), now()).await;
    assert_eq!(found, Execution::found("ours", ExecutionState::InProgress));
}

#[tokio::test]
async fn a_confirmed_execution_is_asked_for_and_nothing_else_is_guessed() {
    let status = |word: &'static str| {
        pipelines(1, move |_, _| (200, json!({"pipelineExecution": {"status": word}}))).0
    };
    let claim = claim(&with_key(), Some("e-1"));
    for (word, state) in [("Stopping", ExecutionState::InProgress), ("Cancelled", ExecutionState::Stopped)] {
        assert_eq!(status(word).execution(&claim, now()).await, Execution::found("e-1", state));
    }
    assert!(matches!(status("Pausing").execution(&claim, now()).await, Execution::Unread(_)));
    let (gone, _) = pipelines(1, |_, _| error("PipelineExecutionNotFoundException"));
    assert_eq!(gone.execution(&claim, now()).await, Execution::NotFound);
    let (denied, _) = pipelines(1, |_, _| error("AccessDeniedException"));
    assert!(matches!(denied.execution(&claim, now()).await, Execution::Unread(_)));
}

/// A pipeline as `GetPipeline` has it; its state as `GetPipelineState` has it.
fn declared(pipeline: Value, stages: Value) -> (Pipelines, Asked) {
    pipelines(1, move |operation, _| match operation {
        "GetPipeline" => (200, json!({"pipeline": pipeline})),
        "GetPipelineState" => (200, json!({"stageStates": stages})),
        "ListPipelineExecutions" => (200, json!({"pipelineExecutionSummaries": []})),
        other => panic!("unexpected operation {other}"),
    })
}

async fn asked_about(pipelines: &Pipelines) -> PipelineFacts {
    pipelines.declarations(&[&claim(&with_key(), None).start]).await.into_values().next().unwrap()
}

fn of_mode(mode: Option<&str>) -> Value {
    let action = |name: &str, category: &str| {
        json!({"name": name, "actionTypeId":
               {"category": category, "owner": "AWS", "provider": "p", "version": "1"}})
    };
    json!({
        "name": "apps-shop", "roleArn": "arn:aws:iam::111122223333:role/pipelines", "executionMode": mode,
        "variables": [{"name": "PATCHWAVE_REASON", "defaultValue": ""}, {"name": "BRANCH"}],
        "stages": [{"name": "Source", "actions": [action("Code", "Source")]},
                   {"name": "Build", "actions": [action("Docker", "Build")]}],
    })
}

#[tokio::test]
async fn a_declaration_says_what_a_start_may_send() {
    let (pipelines, asked) = declared(of_mode(Some("QUEUED")), json!([]));
    let expected = Declaration {
        mode: ExecutionMode::Queued,
        variables: [("PATCHWAVE_REASON".to_owned(), true), ("BRANCH".to_owned(), false)].into(),
        sources: ["Code".to_owned()].into(),
        revisions: [].into(),
    };
    assert_eq!(asked_about(&pipelines).await, PipelineFacts::Declared(expected));
    assert_eq!(count(&asked, "GetPipelineState"), 0, "a queued pipeline supersedes nothing");
}

#[tokio::test]
async fn a_pipeline_that_supersedes_is_busy_while_any_stage_is() {
    let stage = |latest: Value, inbound: Value| json!({"stageName": "Release", "latestExecution": latest, "inboundExecutions": inbound});
    let execution = |status: &str| json!({"pipelineExecutionId": "e-1", "status": status});
    for (stage, busy) in [
        (stage(execution("Succeeded"), json!([])), false),
        (stage(Value::Null, json!([])), false),
        (stage(execution("InProgress"), json!([])), true),
        (stage(execution("Succeeded"), json!([execution("InProgress")])), true),
    ] {
        // Without a mode it is the default: SUPERSEDED.
        for mode in [Some("SUPERSEDED"), None] {
            let (pipelines, _) = declared(of_mode(mode), json!([stage]));
            match asked_about(&pipelines).await {
                PipelineFacts::Declared(declared) => {
                    assert_eq!(declared.mode, ExecutionMode::Superseded { busy }, "{stage}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn only_a_positive_answer_says_that_a_pipeline_does_not_exist() {
    let (missing, _) = pipelines(1, |_, _| error("PipelineNotFoundException"));
    assert_eq!(asked_about(&missing).await, PipelineFacts::NotFound);
    let (denied, _) = pipelines(1, |_, _| error("AccessDeniedException"));
    assert!(matches!(asked_about(&denied).await, PipelineFacts::Unread(_)));
    let (strange, _) = declared(of_mode(Some("BACKWARDS")), json!([]));
    assert!(matches!(asked_about(&strange).await, PipelineFacts::Unread(_)));
}

/// A builder in another region, and with a role in another account too.
fn built_at(role: Option<&str>) -> Claim {
    let role = role.map(|name| json!({"name": name, "externalId": "example"}));
    let builder = json!({"account": "222233334444", "region": "eu-west-1", "role": role});
    let mut claim = claim(&with_key(), Some("e-1"));
    claim.start.builder = Some(serde_json::from_value(builder).unwrap());
    claim
}

const ASSUMED: &str = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
    <Credentials><AccessKeyId>ASSUMED</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
    <SessionToken>token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
    </AssumeRoleResult></AssumeRoleResponse>";

#[tokio::test]
async fn a_builders_pipeline_is_asked_where_it_is_and_with_its_role() {
    let calls = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&calls);
    let config = fake::raw(move |request| {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let header =
            |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let signed_as = header("authorization").contains("Credential=ASSUMED/");
        let is_sts = host.starts_with("sts.");
        seen.lock().unwrap().push((host, signed_as, body));
        let answer = json!({"pipelineExecution": {"status": "Succeeded"}}).to_string();
        http::Response::builder().status(200).body(if is_sts { ASSUMED.to_owned() } else { answer }).unwrap()
    });
    let pipelines = Pipelines::new(Clients::of(config), Vec::new());
    let ended = Execution::found("e-1", ExecutionState::Succeeded);
    assert_eq!(pipelines.execution(&built_at(None), now()).await, ended);
    let claim = built_at(Some("patchwave-start"));
    assert_eq!(pipelines.execution(&claim, now()).await, ended);
    assert_eq!(pipelines.execution(&claim, now()).await, ended);
    let calls = calls.lock().unwrap();
    let of = |service: &str| calls.iter().filter(|(host, ..)| host.starts_with(service)).collect::<Vec<_>>();
    let assumed = of("sts.");
    assert_eq!(assumed.len(), 1, "the role is assumed once: {calls:?}");
    assert!(assumed[0].2.contains("222233334444%3Arole%2Fpatchwave-start"), "{assumed:?}");
    assert!(assumed[0].2.contains("ExternalId=example"), "{assumed:?}");
    let asked: Vec<_> =
        of("codepipeline.").iter().map(|(host, assumed, _)| (host.as_str(), *assumed)).collect();
    let there = "codepipeline.eu-west-1.amazonaws.com";
    assert_eq!(
        asked,
        [(there, false), (there, false), (there, true), (there, true), (there, true), (there, true)]
    );
}

#[tokio::test]
async fn a_role_that_may_not_be_assumed_starts_nothing_and_says_so() {
    let denied =
        "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>";
    let config = fake::raw(move |_| http::Response::builder().status(403).body(denied.to_owned()).unwrap());
    let pipelines = Pipelines::new(Clients::of(config), Vec::new());
    let start = built_at(Some("patchwave-start")).start;
    assert!(matches!(pipelines.start(&start).await, Err(NotStarted::Refused(_))));
    let answers = pipelines.declarations(&[&start]).await;
    assert!(
        matches!(&answers[&start.image], PipelineFacts::Unread(why) if why.because.contains("patchwave-start"))
    );
}

/// An execution with this status, and actions as `ListActionExecutions` has them, two a page.
fn with_actions(status: &'static str, actions: Vec<Value>) -> (Pipelines, Asked) {
    pipelines(1, move |operation, input| match operation {
        "GetPipelineExecution" => (200, json!({"pipelineExecution": {"status": status}})),
        "ListActionExecutions" => {
            assert_eq!(input["filter"]["pipelineExecutionId"], "e-1");
            let from: usize = input["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
            let next = (from + 2 < actions.len()).then(|| (from + 2).to_string());
            let page: Vec<&Value> = actions.iter().skip(from).take(2).collect();
            (200, json!({"actionExecutionDetails": page, "nextToken": next}))
        }
        other => panic!("unexpected operation {other}"),
    })
}

async fn details(status: &'static str, actions: Vec<Value>, now: jiff::Timestamp) -> ExecutionDetails {
    let (pipelines, _) = with_actions(status, actions);
    match pipelines.execution(&claim(&with_key(), Some("e-1")), now).await {
        Execution::Found { details, .. } => details,
        other => panic!("{other:?}"),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "callers write the output in place")]
fn action(stage: &str, name: &str, status: &str, minutes: i64, output: Value) -> Value {
    json!({"stageName": stage, "actionName": name, "status": status,
           "lastUpdateTime": CLAIMED + minutes * 60, "output": output})
}

fn of_category(category: &str, mut action: Value) -> Value {
    action["input"]["actionTypeId"] =
        json!({"category": category, "owner": "AWS", "provider": "p", "version": "1"});
    action
}

#[tokio::test]
async fn a_success_stands_for_the_digests_that_its_actions_report() {
    let digest = |n: u8| fake::digest(n.into());
    let built = json!({"outputVariables": {"ECRImageDigestId": digest(1), "ECRRepositoryName": "apps/shop"}});
    let exported = json!({"outputVariables": {"PATCHWAVE_DIGEST": digest(2), "OTHER": digest(3)}});
    let wrong = json!({"outputVariables": {"PATCHWAVE_DIGEST": "latest"}});
    let actions = vec![
        action("Source", "Code", "Succeeded", 1, json!({})),
        action("Build", "Image", "Succeeded", 4, built),
        action("Build", "Other", "Succeeded", 5, exported),
        action("Build", "Strange", "Succeeded", 3, wrong),
        of_category("Approval", action("Release", "Approve", "Succeeded", 90, json!({}))),
    ];
    let actions =
        [actions, vec![of_category("Build", action("Build", "Last", "Succeeded", 5, json!({})))]].concat();
    let details = details("Succeeded", actions, now()).await;
    assert_eq!(details.pushed, [digest(1).parse().unwrap(), digest(2).parse().unwrap()].into());
    assert_eq!(details.ended_at, jiff::Timestamp::from_second(CLAIMED + 300).ok());
    assert_eq!((details.failure, details.runs, details.at_limit), (None, None, false));
}

#[tokio::test]
async fn why_a_build_failed_is_read_from_its_action_and_the_accounts_limit_is_no_failure_of_the_image() {
    let failed = |message: &str| {
        json!({"executionResult": {
        "externalExecutionUrl": "https://console.example/builds/7",
        "errorDetails": {"code": "JobFailed", "message": message}}})
    };
    let build = |message: &str| {
        vec![
            action("Source", "Code", "Succeeded", 1, json!({})),
            action("Build", "Image", "Failed", 4, failed(message)),
        ]
    };
    let ordinary = details("Failed", build("Build terminated with state: FAILED"), now()).await;
    assert_eq!(
        ordinary.failure.as_deref(),
        Some(
            "the action Build/Image failed: Build terminated with state: FAILED (https://console.example/builds/7)"
        )
    );
    assert!(!ordinary.at_limit);
    for message in [
        "Error calling startBuild: Cannot have more than 60 builds in queue for the account (Service: AWSCodeBuild)",
        "Error Code: AccountLimitExceededException; Request ID: 1",
    ] {
        assert!(details("Failed", build(message), now()).await.at_limit, "{message}");
    }
    let long = details("Failed", build(&"x".repeat(5_000)), now()).await;
    assert!(long.failure.unwrap().len() < 600);
}

#[tokio::test]
async fn what_a_long_execution_waits_for_is_read_and_a_short_one_costs_no_call() {
    let approval = of_category("Approval", action("Release", "Approve", "InProgress", 30, json!({})));
    let later = jiff::Timestamp::from_second(CLAIMED + 3_600).unwrap();
    let details = details("InProgress", vec![approval.clone()], later).await;
    assert_eq!(details.runs.as_deref(), Some("waits for the action Release/Approve"));
    let (pipelines, asked) = with_actions("InProgress", vec![approval]);
    let claim = claim(&with_key(), Some("e-1"));
    assert_eq!(pipelines.execution(&claim, now()).await, Execution::found("e-1", ExecutionState::InProgress));
    assert_eq!(count(&asked, "ListActionExecutions"), 0);
}

#[tokio::test]
async fn a_success_whose_report_may_not_be_read_is_unread_and_a_failure_is_one_all_the_same() {
    for (status, is_unread) in [("Succeeded", true), ("Failed", false)] {
        let (pipelines, _) = pipelines(1, move |operation, _| match operation {
            "GetPipelineExecution" => (200, json!({"pipelineExecution": {"status": status}})),
            _ => error("AccessDeniedException"),
        });
        let execution = pipelines.execution(&claim(&with_key(), Some("e-1")), now()).await;
        assert_eq!(matches!(execution, Execution::Unread(_)), is_unread, "{execution:?}");
        if let Execution::Found { details, .. } = execution {
            assert!(details.failure.unwrap().contains("AccessDenied"));
        }
    }
}

/// Whoever pushes an image names its commit, so only an execution of the pipeline vouches for it.
#[tokio::test]
async fn a_commit_is_reported_only_if_an_execution_of_the_pipeline_had_it_as_its_source() {
    let reported = |pages: usize, revision: &'static str| {
        pipelines(1, move |operation, input| match operation {
            "GetPipeline" => (200, json!({"pipeline": of_mode(Some("QUEUED"))})),
            "ListPipelineExecutions" => {
                let page: usize = input["nextToken"].as_str().map_or(1, |token| token.parse().unwrap());
                let source = if page == pages { revision } else { "def" };
                let summary = json!({"pipelineExecutionId": "e", "status": "Succeeded",
                                     "sourceRevisions": [{"actionName": "Source", "revisionId": source}]});
                (200, json!({"pipelineExecutionSummaries": [summary], "nextToken": (page + 1).to_string()}))
            }
            other => panic!("unexpected operation {other}"),
        })
    };
    for (pages, revision, is_reported, calls) in
        [(1, "abc", true, 1), (2, "ABC", true, 2), (1, "abcd", false, 10), (11, "abc", false, 10)]
    {
        let (pipelines, asked) = reported(pages, revision);
        let PipelineFacts::Declared(declared) = asked_about(&pipelines).await else {
            panic!("it is declared")
        };
        assert_eq!(declared.revisions.contains("abc"), is_reported, "{revision} on page {pages}");
        assert_eq!(count(&asked, "ListPipelineExecutions"), calls);
    }
}
