//! CodePipeline: starts builds and finds them again.

mod actions;
mod declaration;
mod starters;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::config::interceptors::FinalizerInterceptorContextRef;
use aws_sdk_codepipeline::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_codepipeline::error::BoxError;
use aws_sdk_codepipeline::types::{
    PipelineExecution, PipelineExecutionStatus, PipelineExecutionSummary, PipelineVariable,
    SourceRevisionOverride, SourceRevisionType, TriggerType,
};
use patchwave::facts::{Execution, ExecutionDetails, ExecutionState};
use patchwave::hierarchy::{Builder, RevisionType, Variable};
use patchwave::plan::{SourceRevision, Start};
use patchwave::record::Claim;
use patchwave::time::{Span, Timestamp};
use patchwave::unread::Unread;
use patchwave_converge::{Fault, FaultKind, NotStarted};

use crate::clients::Clients;
use crate::fault::{fault, invalid};
use crate::time::timestamp;
pub(crate) use starters::Starter;
use starters::is_ours;

/// How far CodePipeline's clock and Patchwave's may differ.
///
/// An execution that started more than this before a claim is not the claim's.
const SKEW: Span = Span::seconds(30);
/// The list is in order of start, newest first. Within this span Patchwave does not rely on the
/// order.
const DISORDER: Span = Span::minutes(5);
/// Most executions that one page holds.
/// <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ListPipelineExecutions.html>
const PAGE: i32 = 100;
/// How a builder's audit trail names this session.
const SESSION: &str = "patchwave-build";
/// From when on Patchwave asks what a running execution does: longer than most builds.
const LONG: Span = Span::hours(1);
/// Most pages to read since a claim. More pages mean an endless loop.
const MOST_PAGES: usize = 50;

/// The pipelines of the account, and those of the builders.
#[derive(Debug, Clone)]
pub(crate) struct Pipelines {
    clients: Clients,
    builders: Arc<Mutex<BTreeMap<Builder, Client>>>,
    /// The roles of the functions.
    starters: Vec<Starter>,
}

impl Pipelines {
    pub(crate) fn new(clients: Clients, starters: Vec<Starter>) -> Self {
        Self { clients, builders: Arc::default(), starters }
    }

    /// Returns a client of a pipeline's account and region. A builder's role is assumed once.
    async fn client(&self, builder: Option<&Builder>) -> Result<Client, Fault> {
        let Some(builder) = builder else { return Ok(self.clients.codepipeline()) };
        let known = || self.builders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known().get(builder) {
            return Ok(client.clone());
        }
        let credentials = match &builder.role {
            Some(role) => Some(self.clients.assume(&builder.account, role, SESSION).await?),
            None => None,
        };
        let client = self.clients.elsewhere(&builder.region, credentials).codepipeline();
        known().insert(builder.clone(), client.clone());
        Ok(client)
    }

    /// Starts a build and returns the execution's id. The SDK's retries send the same token.
    pub(crate) async fn start(&self, start: &Start) -> Result<String, NotStarted> {
        let operation = || format!("start the pipeline {} for {}", start.pipeline, start.image);
        let asked = |e: aws_sdk_codepipeline::error::BuildError| {
            NotStarted::Refused(invalid(operation(), format!("the start cannot be written: {e}")))
        };
        let variables: Vec<_> =
            start.variables.iter().map(variable).collect::<Result<_, _>>().map_err(asked)?;
        let sources: Vec<_> = start.sources.iter().map(source).collect::<Result<_, _>>().map_err(asked)?;
        let unanswered = Unanswered::default();
        let client = self.client(start.builder.as_ref()).await.map_err(NotStarted::Refused)?;
        let call =
            client.start_pipeline_execution().name(&start.pipeline).client_request_token(start.token());
        let call = call
            .set_variables(Some(variables).filter(|list| !list.is_empty()))
            .set_source_revisions(Some(sources).filter(|list| !list.is_empty()));
        match call.customize().interceptor(unanswered.clone()).send().await {
            Ok(output) => output.pipeline_execution_id.ok_or_else(|| {
                NotStarted::Unclear(invalid(
                    operation(),
                    "pipelineExecutionId is missing, so the execution is unknown",
                ))
            }),
            Err(error) => {
                let fault = fault(operation(), &error);
                let unclear = fault.kind == FaultKind::Unavailable || unanswered.seen();
                Err(if unclear { NotStarted::Unclear(fault) } else { NotStarted::Refused(fault) })
            }
        }
    }

    /// Reads the state of a claim's execution, or finds the execution first.
    pub(crate) async fn execution(&self, claim: &Claim, now: Timestamp) -> Execution {
        let found = match &claim.execution {
            Some(id) => self.get(&claim.start, id).await.map(|found| found.map(|e| (id.clone(), e.status))),
            None => self.find(claim).await,
        };
        match found {
            Ok(Some((id, status))) => match state(&id, status.as_ref()) {
                Ok(state) => self.with_details(claim, id, state, now).await,
                Err(unread) => Execution::Unread(unread),
            },
            Ok(None) => Execution::NotFound,
            Err(fault) => Execution::Unread(fault.into()),
        }
    }

    /// Reads what the execution's actions report, if a decision needs it. A success stands for
    /// what it pushed, so without the report it counts as unread. A failure may be the account's
    /// limit, so it is read again, unless the report may not be read at all.
    async fn with_details(
        &self,
        claim: &Claim,
        id: String,
        state: ExecutionState,
        now: Timestamp,
    ) -> Execution {
        let is_long = Span::between(claim.claimed_at, now) >= LONG;
        let is_wanted = match state {
            ExecutionState::Succeeded | ExecutionState::Failed => true,
            ExecutionState::InProgress => is_long,
            ExecutionState::Stopped | ExecutionState::Superseded => false,
        };
        if !is_wanted {
            return Execution::found(id, state);
        }
        match self.details(&claim.start, &id).await {
            Ok(details) => Execution::Found { id, state, details },
            Err(fault) if state == ExecutionState::Succeeded => Execution::Unread(fault.into()),
            Err(fault) if state == ExecutionState::Failed && fault.kind != FaultKind::Denied => {
                Execution::Unread(fault.into())
            }
            Err(fault) => {
                let details = ExecutionDetails { failure: Some(fault.to_string()), ..Default::default() };
                Execution::Found { id, state, details }
            }
        }
    }

    /// Finds the execution that the claim started: it carries the claim's build key.
    ///
    /// Summaries hold no variables, so Patchwave reads each execution since the claim. If the
    /// pipeline does not take the key, only the start is left to compare: a call of
    /// `StartPipelineExecution` with a role of Patchwave's that is not before the claim. The first
    /// such start is the claim's, because Patchwave starts no other while the claim is unresolved.
    /// A start of the same pipeline by a person is not Patchwave's.
    async fn find(&self, claim: &Claim) -> Result<Option<(String, Option<PipelineExecutionStatus>)>, Fault> {
        let since = self.started_since(claim).await?;
        let may_own = |summary: &PipelineExecutionSummary| {
            summary.pipeline_execution_id().is_none_or(|id| claim.may_own(id))
        };
        let called = since.into_iter().filter(may_own).filter(|summary| {
            summary
                .trigger()
                .and_then(|trigger| trigger.trigger_type())
                .is_none_or(|by| *by == TriggerType::StartPipelineExecution)
        });
        if !claim.start.variables.contains_key(Variable::BuildKey.name()) {
            let detail = |summary: &PipelineExecutionSummary| {
                summary.trigger().and_then(|trigger| trigger.trigger_detail()).map(str::to_owned)
            };
            let builder = claim.start.builder.as_ref();
            let ours = called.filter(|summary| is_ours(&self.starters, builder, detail(summary).as_deref()));
            let first = ours.min_by_key(|summary| summary.start_time().and_then(timestamp));
            return Ok(first.and_then(|summary| Some((summary.pipeline_execution_id?, summary.status))));
        }
        for summary in called {
            let Some(id) = summary.pipeline_execution_id else { continue };
            let Some(execution) = self.get(&claim.start, &id).await? else { continue };
            if carries(&execution, &claim.start) {
                return Ok(Some((id, execution.status)));
            }
        }
        Ok(None)
    }

    /// Lists the executions that started since the claim, newest first. A pipeline that does not
    /// exist has none.
    async fn started_since(&self, claim: &Claim) -> Result<Vec<PipelineExecutionSummary>, Fault> {
        let operation = || format!("list the executions of the pipeline {}", claim.start.pipeline);
        let client = self.client(claim.start.builder.as_ref()).await?;
        let call = client.list_pipeline_executions().pipeline_name(&claim.start.pipeline);
        let mut pages = call.into_paginator().page_size(PAGE).send();
        let mut since = Vec::new();
        for _ in 0..MOST_PAGES {
            let page = match pages.next().await {
                Some(Ok(page)) => page.pipeline_execution_summaries.unwrap_or_default(),
                Some(Err(error)) => match error.as_service_error() {
                    Some(e) if e.is_pipeline_not_found_exception() => return Ok(Vec::new()),
                    _ => return Err(fault(operation(), &error)),
                },
                None => return Ok(since),
            };
            let past =
                page.last().is_some_and(|last| !started_after(last, DISORDER.before(claim.claimed_at)));
            since.extend(page.into_iter().filter(|e| started_after(e, SKEW.before(claim.claimed_at))));
            if past {
                return Ok(since);
            }
        }
        Err(invalid(
            operation(),
            format!("the executions since the claim do not end after {MOST_PAGES} pages"),
        ))
    }

    async fn get(&self, start: &Start, id: &str) -> Result<Option<PipelineExecution>, Fault> {
        let pipeline = &start.pipeline;
        match self
            .client(start.builder.as_ref())
            .await?
            .get_pipeline_execution()
            .pipeline_name(pipeline)
            .pipeline_execution_id(id)
            .send()
            .await
        {
            Ok(output) => Ok(output.pipeline_execution),
            Err(error) => match error.as_service_error() {
                Some(e) if e.is_pipeline_execution_not_found_exception() => Ok(None),
                Some(e) if e.is_pipeline_not_found_exception() => Ok(None),
                _ => Err(fault(format!("read the execution {id} of the pipeline {pipeline}"), &error)),
            },
        }
    }
}

/// An execution without a start time may have started since, so it counts.
fn started_after(summary: &PipelineExecutionSummary, earliest: Timestamp) -> bool {
    summary.start_time().and_then(timestamp).is_none_or(|start| start >= earliest)
}

fn carries(execution: &PipelineExecution, start: &Start) -> bool {
    execution.variables().iter().any(|variable| {
        variable.name() == Some(Variable::BuildKey.name())
            && variable.resolved_value() == Some(start.key.as_str())
    })
}

/// <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PipelineExecution.html>
fn state(id: &str, status: Option<&PipelineExecutionStatus>) -> Result<ExecutionState, Unread> {
    Ok(match status.map_or("no status", |status| status.as_str()) {
        "InProgress" | "Stopping" => ExecutionState::InProgress,
        "Succeeded" => ExecutionState::Succeeded,
        "Failed" => ExecutionState::Failed,
        "Stopped" | "Cancelled" => ExecutionState::Stopped,
        "Superseded" => ExecutionState::Superseded,
        other => {
            let because = format!("the execution {id} has the unknown status {other:?}");
            return Err(Unread { because, needs_person: true });
        }
    })
}

fn variable(
    (name, value): (&String, &String),
) -> Result<PipelineVariable, aws_sdk_codepipeline::error::BuildError> {
    PipelineVariable::builder().name(name).value(value).build()
}

fn source(
    source: &SourceRevision,
) -> Result<SourceRevisionOverride, aws_sdk_codepipeline::error::BuildError> {
    let revision_type = match source.revision_type {
        RevisionType::CommitId => SourceRevisionType::CommitId,
    };
    let pinned = SourceRevisionOverride::builder().action_name(&source.action).revision_type(revision_type);
    pinned.revision_value(&source.revision).build()
}

/// Remembers whether any attempt of a call ended without an answer that refuses it.
///
/// A retry may be refused (throttled, busy) although an unanswered attempt before it started the
/// build. Only a call whose every attempt was refused has certainly started nothing.
#[derive(Debug, Clone, Default)]
struct Unanswered(Arc<AtomicBool>);

impl Unanswered {
    fn seen(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Intercept for Unanswered {
    fn name(&self) -> &'static str {
        "Unanswered"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let refused = context.response().is_some_and(|answer| (400..500).contains(&answer.status().as_u16()));
        if !refused {
            self.0.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
