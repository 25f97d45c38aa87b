//! `CodePipeline`.

use patchwave::facts::{Execution, ExecutionMode, ExecutionState, PipelineFacts};
use patchwave::record::Claim;
use patchwave_converge::NotStarted;
use serde_json::{Value, json};

use super::{Row, again, check, failing, kind};
use crate::clients::Clients;
use crate::codepipeline::Pipelines;
use crate::fake;

const KEY: &str = "00112233445566778899aabbccddeeff00112233";

fn claim(execution: Option<&str>) -> Claim {
    let start = json!({
        "image": "apps/shop", "pipeline": "apps-shop", "key": KEY, "attempt": 1,
        "variables": {"PATCHWAVE_BUILD_KEY": KEY}, "reasons": [], "since": "2026-01-01T11:00:00Z", "parents": {},
        "toProve": [], "inputs": "", "noCache": true, "due": "2026-01-02T00:00:00Z",
    });
    let claim = json!({
        "owner": "rebuild-fanout/1", "claimedAt": "2026-01-01T12:00:00Z", "leaseUntil": "2026-01-01T12:15:00Z",
        "start": start, "execution": execution,
    });
    serde_json::from_value(claim).unwrap()
}

fn now() -> patchwave::time::Timestamp {
    "2026-01-01T12:10:00Z".parse().unwrap()
}

/// A pipeline with one execution, which carries the key. `value` is the value of an enumeration.
fn pipeline(operation: &str, value: impl Fn(&str, &'static str) -> &'static str) -> Value {
    let stage = |status: &str| json!({"latestExecution": {"pipelineExecutionId": "e-1", "status": status}});
    match operation {
        "StartPipelineExecution" => json!({"pipelineExecutionId": "e-1"}),
        "GetPipeline" => json!({"pipeline": {
            "name": "apps-shop", "roleArn": "r", "executionMode": value("ExecutionMode", "SUPERSEDED")}}),
        "GetPipelineState" => {
            json!({"stageStates": [stage(value("StageExecutionStatus", "Succeeded"))]})
        }
        "ListPipelineExecutions" => json!({"pipelineExecutionSummaries": [{
            "pipelineExecutionId": "e-1", "status": "Succeeded", "startTime": 1_767_268_810,
            "trigger": {"triggerType": value("TriggerType", "StartPipelineExecution")}}]}),
        "GetPipelineExecution" => json!({"pipelineExecution": {
            "status": value("PipelineExecutionStatus", "Succeeded"),
            "variables": [{"name": "PATCHWAVE_BUILD_KEY", "resolvedValue": KEY}]}}),
        _ => json!({"actionExecutionDetails": [{
            "stageName": "Build", "actionName": "Docker",
            "status": value("ActionExecutionStatus", "Succeeded")}]}),
    }
}

fn pipelines(config: aws_config::SdkConfig) -> Pipelines {
    Pipelines::new(Clients::of(config), Vec::new())
}

#[tokio::test]
async fn answers_of_the_pipelines() {
    check("answers_of_the_pipelines", async |row| {
        let usual = |operation: &str| pipeline(operation, |_, usual| usual);
        let pipelines = pipelines(failing(row, usual));
        match row.operation {
            "StartPipelineExecution" => match pipelines.start(&claim(None).start).await {
                Ok(_) => "started".to_owned(),
                Err(NotStarted::Refused(fault)) => format!("refused:{}", kind(fault.kind)),
                Err(NotStarted::Unclear(fault)) => format!("unclear:{}", kind(fault.kind)),
            },
            "GetPipeline" | "GetPipelineState" => declared(&pipelines).await,
            "ListPipelineExecutions" => execution(&pipelines, None).await,
            "GetPipelineExecution" | "ListActionExecutions" => execution(&pipelines, Some("e-1")).await,
            other => panic!("no call of {other}"),
        }
    })
    .await;
}

#[tokio::test]
async fn values_of_the_pipelines() {
    check("values_of_the_pipelines", async |row: Row| {
        let (config, _) = fake::config(1, move |operation, _| {
            let value = |enumeration: &str, usual: &'static str| {
                // What an action reports counts where its execution has failed.
                let failed =
                    row.is_value_of("ActionExecutionStatus") && enumeration == "PipelineExecutionStatus";
                let usual = if failed { "Failed" } else { usual };
                if row.is_value_of(enumeration) { row.answer } else { usual }
            };
            (200, pipeline(operation, value))
        });
        let pipelines = pipelines(config);
        match row.operation {
            "ExecutionMode" | "StageExecutionStatus" => declared(&pipelines).await,
            "PipelineExecutionStatus" => execution(&pipelines, Some("e-1")).await,
            "TriggerType" => execution(&pipelines, None).await,
            "ActionExecutionStatus" => match pipelines.execution(&claim(Some("e-1")), now()).await {
                Execution::Found { details, .. } if details.failure.is_some() => "failure".to_owned(),
                Execution::Found { details, .. } if details.runs.is_some() => "runs".to_owned(),
                _ => "silent".to_owned(),
            },
            other => panic!("no value of {other}"),
        }
    })
    .await;
}

async fn declared(pipelines: &Pipelines) -> String {
    let start = claim(None).start;
    match pipelines.declarations(&[&start]).await.into_values().next().unwrap() {
        PipelineFacts::NotFound => "noPipeline".to_owned(),
        PipelineFacts::Unread(unread) => again(&unread),
        PipelineFacts::Declared(declared) => match declared.mode {
            ExecutionMode::Superseded { busy: true } => "busy",
            ExecutionMode::Superseded { busy: false } => "superseded",
            ExecutionMode::Queued => "queued",
            ExecutionMode::Parallel => "parallel",
        }
        .to_owned(),
    }
}

async fn execution(pipelines: &Pipelines, confirmed: Option<&str>) -> String {
    match pipelines.execution(&claim(confirmed), now()).await {
        Execution::NotFound => "notFound".to_owned(),
        Execution::Unread(unread) => again(&unread),
        Execution::Found { state, .. } => match state {
            ExecutionState::InProgress => "inProgress",
            ExecutionState::Succeeded => "succeeded",
            ExecutionState::Failed => "failed",
            ExecutionState::Stopped => "stopped",
            ExecutionState::Superseded => "superseded",
        }
        .to_owned(),
    }
}
