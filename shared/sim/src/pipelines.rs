//! CodePipeline: executions, which are found by token, id or build key.

use std::collections::BTreeMap;

use patchwave::facts::{
    Declaration, Execution as Seen, ExecutionDetails, ExecutionMode, ExecutionState, PipelineFacts,
};
use patchwave::hierarchy::{Hierarchy, Variable};
use patchwave::image::{Digest, ImageId};
use patchwave::plan::Start;
use patchwave::record::Claim;
use patchwave::time::{Span, Timestamp};

use crate::draw::{Seed, hex, uuid};

/// The largest difference between the clocks of CodePipeline and of an invocation.
const SKEW: Span = Span::seconds(30);

/// Returns the declaration of a start's pipeline. All pipelines of the hierarchy exist and declare
/// what it says, and each has built every commit.
pub(crate) fn declaration(hierarchy: &Hierarchy, start: &Start) -> PipelineFacts {
    let name = &start.pipeline;
    let mut pipelines = hierarchy.images().filter_map(|image| image.pipeline.as_ref());
    let Some(pipeline) = pipelines.find(|pipeline| pipeline.name == *name) else {
        return PipelineFacts::NotFound;
    };
    PipelineFacts::Declared(Declaration {
        mode: ExecutionMode::Queued,
        variables: pipeline.variables.iter().map(|variable| (variable.name().to_owned(), true)).collect(),
        sources: pipeline.sources.iter().map(|source| source.action.clone()).collect(),
        revisions: start.sources.iter().map(|source| source.revision.clone()).collect(),
    })
}

/// One execution of a pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Execution {
    pub(crate) id: String,
    pub(crate) start: Start,
    pub(crate) started_at: Timestamp,
    pub(crate) ends_at: Timestamp,
    pub(crate) state: ExecutionState,
    /// The versions of the parents that the build pulled.
    pub(crate) parents: BTreeMap<ImageId, Digest>,
    /// Counts the builds of the image.
    pub(crate) number: u32,
    pub(crate) result: BuildResult,
}

/// How an execution will end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BuildResult {
    Succeeds,
    /// The build succeeds and installs the packages that the image had.
    FixesNothing,
    Fails,
    Stopped,
    Superseded,
    /// A person stops it after this time.
    Hangs(Span),
}

impl BuildResult {
    fn state(self) -> ExecutionState {
        match self {
            Self::Succeeds | Self::FixesNothing => ExecutionState::Succeeded,
            Self::Fails => ExecutionState::Failed,
            Self::Stopped | Self::Hangs(_) => ExecutionState::Stopped,
            Self::Superseded => ExecutionState::Superseded,
        }
    }
}

impl Execution {
    /// What the actions report once it has ended.
    fn details(&self) -> ExecutionDetails {
        let ended = self.state != ExecutionState::InProgress;
        ExecutionDetails { ended_at: ended.then_some(self.ends_at), ..ExecutionDetails::default() }
    }

    /// Returns the value of a variable, if Patchwave sent it.
    pub(crate) fn variable(&self, variable: Variable) -> Option<&str> {
        self.start.variables.get(variable.name()).map(String::as_str)
    }
}

/// All executions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pipelines {
    executions: BTreeMap<String, Execution>,
    by_token: BTreeMap<String, String>,
    builds: BTreeMap<ImageId, u32>,
}

impl Pipelines {
    /// Returns the execution that the token of this start began earlier.
    pub(crate) fn replayed(&self, start: &Start) -> Option<String> {
        self.by_token.get(&start.token()).cloned()
    }

    /// Begins an execution.
    pub(crate) fn begin(
        &mut self,
        start: &Start,
        parents: BTreeMap<ImageId, Digest>,
        result: BuildResult,
        seed: Seed,
        now: Timestamp,
    ) -> &Execution {
        let token = start.token();
        let number = self.next_number(&start.image);
        let lasts = match result {
            BuildResult::Hangs(lasts) => lasts,
            _ => duration(seed, start, number),
        };
        let id = uuid(&hex(&format!("execution {} {} {token}", seed.0, start.pipeline)));
        let execution = Execution {
            id: id.clone(),
            start: start.clone(),
            started_at: now,
            ends_at: lasts.after(now),
            state: ExecutionState::InProgress,
            parents,
            number,
            result,
        };
        self.by_token.insert(token, id.clone());
        self.executions.entry(id).or_insert(execution)
    }

    /// Ends an execution and returns it.
    pub(crate) fn end(&mut self, id: &str) -> Option<&Execution> {
        let execution = self.executions.get_mut(id)?;
        execution.state = execution.result.state();
        Some(execution)
    }

    /// Counts one more build of an image, by Patchwave or by a person.
    pub(crate) fn next_number(&mut self, image: &ImageId) -> u32 {
        let number = self.builds.entry(image.clone()).or_default();
        *number += 1;
        *number
    }

    /// Returns how many executions there ever were.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.executions.len()).unwrap_or(u32::MAX)
    }

    /// Returns the executions under way.
    pub(crate) fn in_progress(&self) -> impl Iterator<Item = &Execution> {
        self.executions.values().filter(|execution| execution.state == ExecutionState::InProgress)
    }

    /// Returns the execution of a claim.
    pub(crate) fn of(&self, claim: &Claim) -> Seen {
        let found = match &claim.execution {
            Some(id) => self.executions.get(id),
            // The first one since the claim: while a claim is unresolved, Patchwave starts no
            // other.
            None => self
                .executions
                .values()
                .filter(|execution| is_of(execution, claim))
                .min_by_key(|execution| execution.started_at),
        };
        found.map_or(Seen::NotFound, |execution| Seen::Found {
            id: execution.id.clone(),
            state: execution.state,
            details: execution.details(),
        })
    }
}

/// Returns how long an image's builds usually take.
pub(crate) fn usual_duration(seed: Seed, image: &ImageId) -> Span {
    seed.draws("usual build time", image.as_str()).build_time()
}

fn duration(seed: Seed, start: &Start, number: u32) -> Span {
    let percent = seed.draws("build time", &format!("{} {number}", start.image)).between(85, 125);
    Span::seconds(usual_duration(seed, &start.image).as_seconds() * percent / 100)
}

/// Returns whether an execution belongs to a claim: by its build key if the pipeline takes one,
/// else by pipeline and time.
fn is_of(execution: &Execution, claim: &Claim) -> bool {
    let same_pipeline = execution.start.pipeline == claim.start.pipeline
        && execution.started_at >= SKEW.before(claim.claimed_at);
    let key = execution.variable(Variable::BuildKey);
    same_pipeline && key.is_none_or(|key| key == claim.start.key.as_str())
}
