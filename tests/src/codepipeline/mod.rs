//! `CodePipeline` on the wire: pipelines that check the input of a start as AWS does, and that
//! really build.

mod build;
mod recipe;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};

pub use build::{Build, Builder, Order};
pub use recipe::{Base, Recipe, Tagging};

use crate::awsjson::{Answer, Refusal, Service, page, text};
use crate::bus::Bus;
use crate::clock::{Clock, epoch_seconds};
use crate::moto::{ACCOUNT, REGION};

/// The number of executions on every page, small so that every test reads several pages.
const PAGE: usize = 2;

/// The status of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    InProgress,
    Succeeded,
    Failed,
}

impl Status {
    fn in_api(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    fn in_events(self) -> &'static str {
        match self {
            Self::InProgress => "STARTED",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
        }
    }
}

/// One execution of a pipeline.
#[derive(Debug, Clone)]
pub struct Execution {
    pub id: String,
    pub pipeline: String,
    pub image: String,
    /// The variables of the start.
    pub variables: BTreeMap<String, String>,
    /// The commit that its source is pinned to.
    pub commit: Option<String>,
    pub status: Status,
    pub build: Option<Build>,
    token: String,
    started: Timestamp,
    changed: Timestamp,
}

/// The `CodePipeline` of the account.
pub struct Pipelines {
    recipes: BTreeMap<String, Recipe>,
    builder: Builder,
    clock: Arc<Clock>,
    bus: Arc<Bus>,
    executions: Mutex<Vec<Execution>>,
}

impl Pipelines {
    /// Declares one pipeline for each recipe.
    pub fn new(recipes: Vec<Recipe>, builder: Builder, clock: Arc<Clock>, bus: Arc<Bus>) -> Self {
        let recipes = recipes.into_iter().map(|recipe| (recipe.pipeline.clone(), recipe)).collect();
        Self { recipes, builder, clock, bus, executions: Mutex::default() }
    }

    /// Returns the build machine.
    pub fn builder(&self) -> &Builder {
        &self.builder
    }

    /// Returns every execution, oldest first.
    pub fn executions(&self) -> Vec<Execution> {
        self.all().clone()
    }

    /// Returns the executions that are under way, oldest first.
    pub fn running(&self) -> Vec<Execution> {
        self.executions().into_iter().filter(|execution| execution.status == Status::InProgress).collect()
    }

    /// Ends an execution with success: it builds and pushes.
    pub async fn finish(&self, id: &str) {
        let Some(execution) = self.executions().into_iter().find(|execution| execution.id == id) else {
            panic!("no execution {id} was started");
        };
        let order = Order {
            execution: execution.id.clone(),
            variables: execution.variables.clone(),
            commit: execution.commit.clone(),
        };
        match self.builder.build(&self.recipes[&execution.pipeline], &order).await {
            Ok(build) => self.end(id, Status::Succeeded, Some(build)),
            Err(why) => panic!("the build of {} failed: {why}", execution.image),
        }
    }

    /// Ends an execution as failed.
    pub fn fail(&self, id: &str) {
        self.end(id, Status::Failed, None);
    }

    fn end(&self, id: &str, status: Status, build: Option<Build>) {
        let ended = {
            let mut executions = self.all();
            let execution = executions.iter_mut().find(|execution| execution.id == id);
            execution.map(|execution| {
                execution.status = status;
                execution.build = build;
                execution.changed = self.clock.now();
                execution.clone()
            })
        };
        self.emit(&ended.unwrap_or_else(|| panic!("no execution {id} was started")));
    }

    fn all(&self) -> MutexGuard<'_, Vec<Execution>> {
        self.executions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn emit(&self, execution: &Execution) {
        let mut detail = json!({
            "pipeline": execution.pipeline,
            "execution-id": execution.id,
            "start-time": execution.started.to_string(),
            "state": execution.status.in_events(),
            // AWS documents these as floating-point numbers.
            "version": 3.0,
            "pipeline-execution-attempt": 1.0,
        });
        if execution.status == Status::InProgress {
            detail["execution-trigger"] =
                json!({ "trigger-type": "StartPipelineExecution", "trigger-detail": caller() });
        }
        let arn = format!("arn:aws:codepipeline:{REGION}:{ACCOUNT}:{}", execution.pipeline);
        self.bus.emit("aws.codepipeline", "CodePipeline Pipeline Execution State Change", &[arn], detail);
    }

    fn start(&self, input: &Value) -> Answer {
        let recipe = self.recipe(text(input, "name"))?;
        let token = text(input, "clientRequestToken").to_owned();
        check_token(&token)?;
        let variables = declared_variables(recipe, input)?;
        check_sources(recipe, input)?;
        let mut executions = self.all();
        if let Some(known) = executions.iter().find(|e| e.pipeline == recipe.pipeline && e.token == token) {
            return Ok(json!({ "pipelineExecutionId": known.id }));
        }
        let now = self.clock.now();
        let execution = Execution {
            id: format!("{:08x}-0000-4000-8000-000000000000", executions.len() + 1),
            pipeline: recipe.pipeline.clone(),
            image: recipe.image.clone(),
            variables,
            commit: build::pinned_commit(input),
            status: Status::InProgress,
            build: None,
            token,
            started: now,
            changed: now,
        };
        executions.push(execution.clone());
        drop(executions);
        self.emit(&execution);
        Ok(json!({ "pipelineExecutionId": execution.id }))
    }

    fn declaration(&self, input: &Value) -> Answer {
        let recipe = self.recipe(text(input, "name"))?;
        let variables = recipe.variables.iter().map(|name| json!({ "name": name, "defaultValue": "none" }));
        let sources = recipe.sources.iter().map(|name| json!({
            "name": name,
            "actionTypeId": {
                "category": "Source", "owner": "AWS", "provider": "CodeStarSourceConnection", "version": "1",
            },
        }));
        Ok(json!({ "pipeline": {
            "name": recipe.pipeline,
            "roleArn": format!("arn:aws:iam::{ACCOUNT}:role/pipelines"),
            "pipelineType": "V2",
            "executionMode": "QUEUED",
            "stages": [{ "name": "Source", "actions": sources.collect::<Vec<_>>() }],
            "variables": variables.collect::<Vec<_>>(),
            "version": 3,
        } }))
    }

    fn get(&self, input: &Value) -> Answer {
        let recipe = self.recipe(text(input, "pipelineName"))?;
        let id = text(input, "pipelineExecutionId");
        let executions = self.all();
        let execution =
            executions.iter().find(|e| e.pipeline == recipe.pipeline && e.id == id).ok_or_else(|| {
                let message =
                    format!("There is no execution with id '{id}' for pipeline '{}'", recipe.pipeline);
                Refusal::new("PipelineExecutionNotFoundException", message)
            })?;
        let resolved = recipe.variables.iter().map(|name| {
            let value = execution.variables.get(name).map_or("none", String::as_str);
            json!({ "name": name, "resolvedValue": value })
        });
        Ok(json!({ "pipelineExecution": {
            "pipelineName": execution.pipeline,
            "pipelineVersion": 3,
            "pipelineExecutionId": execution.id,
            "status": execution.status.in_api(),
            "variables": resolved.collect::<Vec<_>>(),
            "trigger": trigger(),
            "executionMode": "QUEUED",
            "executionType": "STANDARD",
        } }))
    }

    fn list(&self, input: &Value) -> Answer {
        let recipe = self.recipe(text(input, "pipelineName"))?;
        let executions = self.all();
        let of_pipeline = executions.iter().rev().filter(|e| e.pipeline == recipe.pipeline);
        let newest_first: Vec<Value> =
            of_pipeline.map(|execution| summary(execution, recipe)).chain(first_execution(recipe)).collect();
        let (summaries, next) = page(&newest_first, input["nextToken"].as_str(), PAGE)
            .map_err(|_| Refusal::new("InvalidNextTokenException", "the next token is not valid"))?;
        Ok(json!({ "pipelineExecutionSummaries": summaries, "nextToken": next }))
    }

    /// Answers with one action: the build. A pipeline whose recipe says so reports what it pushed.
    fn actions(&self, input: &Value) -> Answer {
        let recipe = self.recipe(text(input, "pipelineName"))?;
        let id = text(&input["filter"], "pipelineExecutionId");
        let executions = self.all();
        let found = executions.iter().filter(|e| e.pipeline == recipe.pipeline && e.id == id);
        let actions: Vec<Value> = found.map(|execution| action(execution, recipe)).collect();
        Ok(json!({ "actionExecutionDetails": actions }))
    }

    fn recipe(&self, name: &str) -> Result<&Recipe, Refusal> {
        self.recipes.get(name).ok_or_else(|| {
            let message = format!("Account '{ACCOUNT}' does not have a pipeline with name '{name}'");
            Refusal::new("PipelineNotFoundException", message)
        })
    }
}

impl Service for Pipelines {
    async fn call(&self, operation: &str, input: Value) -> Answer {
        match operation {
            "GetPipeline" => self.declaration(&input),
            "ListPipelines" => {
                let names = self.recipes.keys().map(|name| json!({ "name": name }));
                Ok(json!({ "pipelines": names.collect::<Vec<_>>() }))
            }
            "StartPipelineExecution" => self.start(&input),
            "GetPipelineExecution" => self.get(&input),
            "ListPipelineExecutions" => self.list(&input),
            "ListActionExecutions" => self.actions(&input),
            _ => Err(Refusal::new("InvalidAction", format!("the fake has no {operation}"))),
        }
    }
}

/// The build of an execution. It reports what it pushed, and why it failed.
fn action(execution: &Execution, recipe: &Recipe) -> Value {
    let pushed = execution.build.as_ref().filter(|_| recipe.reports_digest).map(|build| &build.pushed);
    let failed = (execution.status == Status::Failed).then_some("a step of the build failed");
    json!({
        "pipelineExecutionId": execution.id,
        "stageName": "Build",
        "actionName": "Image",
        "startTime": epoch_seconds(execution.started),
        "lastUpdateTime": epoch_seconds(execution.changed),
        "status": execution.status.in_api(),
        "output": {
            "outputVariables": pushed.map(|digest| json!({ "PATCHWAVE_DIGEST": digest })),
            "executionResult": failed.map(|why| json!({
                "externalExecutionUrl": format!("https://console.example/builds/{}", execution.id),
                "errorDetails": { "code": "JobFailed", "message": why },
            })),
        },
    })
}

/// The execution of the commit that was there first. The developers' pushes start such executions.
fn first_execution(recipe: &Recipe) -> Option<Value> {
    let action = recipe.sources.first()?;
    Some(json!({
        "pipelineExecutionId": "00000000-0000-4000-8000-000000000000",
        "status": "Succeeded",
        "startTime": 1_600_000_000,
        "lastUpdateTime": 1_600_000_600,
        "sourceRevisions": [{ "actionName": action, "revisionId": recipe.head() }],
        "trigger": { "triggerType": "WebhookV2", "triggerDetail": "a push" },
        "executionMode": "QUEUED",
        "executionType": "STANDARD",
    }))
}

fn summary(execution: &Execution, recipe: &Recipe) -> Value {
    let commit = execution.commit.clone().unwrap_or_else(|| recipe.head());
    let source = |action| json!({ "actionName": action, "revisionId": commit });
    json!({
        "pipelineExecutionId": execution.id,
        "status": execution.status.in_api(),
        "startTime": epoch_seconds(execution.started),
        "lastUpdateTime": epoch_seconds(execution.changed),
        "sourceRevisions": recipe.sources.iter().map(source).collect::<Vec<_>>(),
        "trigger": trigger(),
        "executionMode": "QUEUED",
        "executionType": "STANDARD",
    })
}

fn trigger() -> Value {
    json!({ "triggerType": "StartPipelineExecution", "triggerDetail": caller() })
}

fn caller() -> String {
    format!("arn:aws:sts::{ACCOUNT}:assumed-role/patchwave/rebuild-fanout")
}

fn check_token(token: &str) -> Result<(), Refusal> {
    let allowed = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if allowed && (1..=128).contains(&token.len()) {
        return Ok(());
    }
    Err(invalid(format!(
        "Value '{token}' at 'clientRequestToken' must satisfy ^[a-zA-Z0-9-]+$ and 1 to 128 characters"
    )))
}

/// Reads the variables. Refuses what AWS refuses: undeclared names, and empty or long values.
fn declared_variables(recipe: &Recipe, input: &Value) -> Result<BTreeMap<String, String>, Refusal> {
    let mut variables = BTreeMap::new();
    for variable in input["variables"].as_array().into_iter().flatten() {
        let (name, value) = (text(variable, "name"), text(variable, "value"));
        if !recipe.variables.iter().any(|declared| declared == name) {
            return Err(invalid(format!(
                "Pipeline {} does not declare the variable {name}",
                recipe.pipeline
            )));
        }
        if !(1..=1000).contains(&value.chars().count()) {
            return Err(invalid(format!("The value of variable {name} must have 1 to 1000 characters")));
        }
        variables.insert(name.to_owned(), value.to_owned());
    }
    Ok(variables)
}

fn check_sources(recipe: &Recipe, input: &Value) -> Result<(), Refusal> {
    for revision in input["sourceRevisions"].as_array().into_iter().flatten() {
        let action = text(revision, "actionName");
        if !recipe.sources.iter().any(|source| source == action) {
            return Err(invalid(format!("Pipeline {} has no source action {action}", recipe.pipeline)));
        }
    }
    Ok(())
}

fn invalid(message: String) -> Refusal {
    Refusal::new("ValidationException", message)
}
