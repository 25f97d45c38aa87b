//! What the actions of an execution report.

use aws_sdk_codepipeline::types::{
    ActionCategory, ActionExecutionDetail, ActionExecutionFilter, ActionExecutionOutput,
    ActionExecutionResult, ActionExecutionStatus, ActionTypeId,
};
use patchwave::facts::ExecutionDetails;
use patchwave::image::Digest;
use patchwave::plan::Start;
use patchwave::time::Timestamp;
use patchwave_converge::Fault;

use super::Pipelines;
use crate::pages;
use crate::time::timestamp;

/// Most actions that one page holds.
/// <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ListActionExecutions.html>
const PAGE: i32 = 100;
/// Most pages of one execution. A pipeline has at most 1,000 actions, and a person may retry some.
const MOST_PAGES: usize = 20;
/// Most digests to take from one execution.
const MOST_DIGESTS: usize = 100;
/// Longest reason to keep, in characters.
const LONGEST: usize = 400;
/// The variables in which an action reports the digest that it pushed: the one of the action
/// `ECRBuildAndPublish`, and the one that a build of the samples exports.
/// <https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-ECRBuildAndPublish.html>
const DIGESTS: [&str; 2] = ["ECRImageDigestId", "PATCHWAVE_DIGEST"];
/// How `CodeBuild` refuses a build because the account runs as many as it may. `CodePipeline` shows
/// it as the message of the failed action.
/// <https://docs.aws.amazon.com/codebuild/latest/APIReference/API_StartBuild.html>
const AT_LIMIT: [&str; 2] = ["AccountLimitExceededException", "builds in queue for the account"];

impl Pipelines {
    /// Reads what the actions of an execution report.
    pub(super) async fn details(&self, start: &Start, id: &str) -> Result<ExecutionDetails, Fault> {
        let operation =
            || format!("list the actions of the execution {id} of the pipeline {}", start.pipeline);
        let client = self.client(start.builder.as_ref()).await?;
        let filter = ActionExecutionFilter::builder().pipeline_execution_id(id).build();
        let call = client.list_action_executions().pipeline_name(&start.pipeline).filter(filter);
        let actions = call.into_paginator().page_size(PAGE).send();
        let actions = pages::at_most(MOST_PAGES, operation(), actions, |page| {
            page.action_execution_details.unwrap_or_default()
        });
        Ok(details(&actions.await?))
    }
}

fn details(actions: &[ActionExecutionDetail]) -> ExecutionDetails {
    let latest = |status: &ActionExecutionStatus| {
        let of_status = actions.iter().filter(|action| action.status() == Some(status));
        of_status.max_by_key(|action| action.last_update_time().and_then(timestamp))
    };
    let failed = latest(&ActionExecutionStatus::Failed);
    ExecutionDetails {
        started_at: actions.iter().filter_map(|action| action.start_time().and_then(timestamp)).min(),
        ended_at: pushed_until(actions),
        pushed: actions.iter().flat_map(digests).take(MOST_DIGESTS).collect(),
        failure: failed.map(failure),
        at_limit: failed.is_some_and(|action| {
            messages(action).any(|text| AT_LIMIT.iter().any(|limit| text.contains(limit)))
        }),
        runs: latest(&ActionExecutionStatus::InProgress).map(runs),
    }
}

/// When the last action that may push ended. Sources, approvals and deployments push nothing, and a
/// deployment may follow hours later.
fn pushed_until(actions: &[ActionExecutionDetail]) -> Option<Timestamp> {
    let pushes = |action: &&ActionExecutionDetail| {
        !matches!(
            category(action),
            Some(ActionCategory::Source | ActionCategory::Approval | ActionCategory::Deploy)
        )
    };
    let ended = |action: &ActionExecutionDetail| action.last_update_time().and_then(timestamp);
    actions.iter().filter(pushes).filter_map(ended).max()
}

fn category(action: &ActionExecutionDetail) -> Option<&ActionCategory> {
    action.input()?.action_type_id().map(ActionTypeId::category)
}

fn digests(action: &ActionExecutionDetail) -> impl Iterator<Item = Digest> {
    let variables = action.output().and_then(ActionExecutionOutput::output_variables);
    let value = move |name: &str| variables.and_then(|variables| variables.get(name)?.parse().ok());
    DIGESTS.into_iter().filter_map(value)
}

fn result(action: &ActionExecutionDetail) -> Option<&ActionExecutionResult> {
    action.output()?.execution_result()
}

/// What is said about the result: the service's summary, and the error's message.
fn messages(action: &ActionExecutionDetail) -> impl Iterator<Item = &str> {
    let error = result(action).and_then(|result| result.error_details()?.message());
    let summary = result(action).and_then(ActionExecutionResult::external_execution_summary);
    error.into_iter().chain(summary).filter(|text| !text.is_empty())
}

fn failure(action: &ActionExecutionDetail) -> String {
    let why: String = messages(action).next().unwrap_or("no reason given").chars().take(LONGEST).collect();
    let log = result(action).and_then(ActionExecutionResult::external_execution_url);
    let log = log.filter(|url| !url.is_empty() && url.len() <= LONGEST);
    let log = log.map(|url| format!(" ({url})")).unwrap_or_default();
    format!("the action {} failed: {why}{log}", name(action))
}

fn runs(action: &ActionExecutionDetail) -> String {
    let verb = if category(action) == Some(&ActionCategory::Approval) { "waits for" } else { "runs" };
    format!("{verb} the action {}", name(action))
}

fn name(action: &ActionExecutionDetail) -> String {
    let stage = action.stage_name().unwrap_or_default();
    let name = action.action_name().unwrap_or_default();
    format!("{stage}/{name}")
}
