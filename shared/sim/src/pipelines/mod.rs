//! CodePipeline: executions, which are found by token, id or build key.

mod foreign;

use std::collections::BTreeMap;

use patchwave::facts::{
    Declaration, Execution as Seen, ExecutionDetails, ExecutionMode, ExecutionState, PipelineFacts,
};
use patchwave::hierarchy::{Hierarchy, Variable};
use patchwave::image::{Digest, ImageId};
use patchwave::plan::Start;
use patchwave::record::Claim;
use patchwave::time::{Span, Timestamp};

pub(crate) use foreign::Foreign;

use crate::draw::{Seed, hex, uuid};

/// The largest difference between the clocks of CodePipeline and of an invocation.
const SKEW: Span = Span::seconds(30);

/// What the executions of a pipeline do to each other.
/// <https://docs.aws.amazon.com/codepipeline/latest/userguide/concepts-how-it-works.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Queued,
    Superseding,
    Parallel,
}

impl Mode {
    /// Draws the mode of a pipeline. Where nothing else is unusual, all queue.
    pub(crate) fn of(seed: Seed, pipeline: &str, has_faults: bool) -> Self {
        match seed.draws("pipeline mode", pipeline).between(1, 100) {
            1..=25 if has_faults => Self::Superseding,
            26..=40 if has_faults => Self::Parallel,
            _ => Self::Queued,
        }
    }
}

/// Returns the declaration of a start's pipeline. All pipelines of the hierarchy exist and declare
/// what it says, and each has built every commit.
pub(crate) fn declaration(
    hierarchy: &Hierarchy,
    start: &Start,
    mode: Mode,
    executions: &Pipelines,
) -> PipelineFacts {
    let name = &start.pipeline;
    let mut pipelines = hierarchy.images().filter_map(|image| image.pipeline.as_ref());
    let Some(pipeline) = pipelines.find(|pipeline| pipeline.name == *name) else {
        return PipelineFacts::NotFound;
    };
    PipelineFacts::Declared(Declaration {
        mode: match mode {
            Mode::Queued => ExecutionMode::Queued,
            Mode::Superseding => ExecutionMode::Superseded { busy: executions.is_running(name) },
            Mode::Parallel => ExecutionMode::Parallel,
        },
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
    /// When its build stage pushes the version.
    pub(crate) pushes_at: Timestamp,
    pub(crate) ends_at: Timestamp,
    /// From when on it is found.
    pub(crate) visible_from: Timestamp,
    pub(crate) state: ExecutionState,
    /// The versions of the parents that the build pulled.
    pub(crate) parents: BTreeMap<ImageId, Digest>,
    /// Counts the builds of the image.
    pub(crate) number: u32,
    pub(crate) result: BuildResult,
    /// Whether the repository had its version before.
    pub(crate) pushed_nothing: bool,
    /// The version that it reports as pushed. Half of the pipelines report none.
    pub(crate) reported: Option<Digest>,
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
    /// The build succeeds, and a person approves its release after this time.
    AwaitsApproval(Span),
}

impl BuildResult {
    /// Returns whether the build pushes a version.
    pub(crate) fn pushes(self) -> bool {
        matches!(self, Self::Succeeds | Self::FixesNothing | Self::AwaitsApproval(_))
    }

    fn state(self) -> ExecutionState {
        match self {
            Self::Succeeds | Self::FixesNothing | Self::AwaitsApproval(_) => ExecutionState::Succeeded,
            Self::Fails => ExecutionState::Failed,
            Self::Stopped | Self::Hangs(_) => ExecutionState::Stopped,
            Self::Superseded => ExecutionState::Superseded,
        }
    }
}

impl Execution {
    /// What the actions report once it has ended.
    fn details(&self) -> ExecutionDetails {
        let pushed = self.reported.iter().cloned().collect();
        ExecutionDetails { pushed, started_at: Some(self.started_at), ..details(self.state, self.pushes_at) }
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
    foreign: BTreeMap<String, Foreign>,
    /// The edition of the hierarchy by which executions begin now.
    pub(crate) edition: usize,
    /// The edition by which each execution began.
    editions: BTreeMap<String, usize>,
}

impl Pipelines {
    /// Returns the execution that the token of this start began earlier.
    pub(crate) fn replayed(&self, start: &Start) -> Option<&Execution> {
        self.executions.get(self.by_token.get(&start.token())?)
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
            // The source stage fails within seconds.
            BuildResult::Fails if seed.draws("fails early", &token).percent(40) => Span::seconds(8),
            _ => duration(seed, start, number),
        };
        let waits = match result {
            BuildResult::AwaitsApproval(waits) => waits,
            _ => Span::ZERO,
        };
        let id = uuid(&hex(&format!("execution {} {} {token} {number}", seed.0, start.pipeline)));
        let execution = Execution {
            id: id.clone(),
            start: start.clone(),
            started_at: now,
            pushes_at: lasts.after(now),
            ends_at: waits.plus(lasts).after(now),
            visible_from: now,
            state: ExecutionState::InProgress,
            parents,
            number,
            result,
            pushed_nothing: false,
            reported: None,
        };
        self.by_token.insert(token, id.clone());
        self.editions.insert(id.clone(), self.edition);
        self.executions.entry(id).or_insert(execution)
    }

    /// Returns the edition of the hierarchy by which an execution began.
    pub(crate) fn edition_of(&self, id: &str) -> Option<usize> {
        self.editions.get(id).copied()
    }

    /// Returns the last execution that Patchwave started for an image.
    pub(crate) fn last_of(&self, image: &ImageId) -> Option<&Execution> {
        let executions = self.executions.values().filter(|execution| execution.start.image == *image);
        executions.max_by_key(|execution| execution.started_at)
    }

    /// Returns the executions that Patchwave started for an image.
    pub(crate) fn all_of(&self, image: &ImageId) -> impl Iterator<Item = &Execution> {
        self.executions.values().filter(move |execution| execution.start.image == *image)
    }

    /// Notes that the repository had the version of an execution before.
    pub(crate) fn pushed_nothing(&mut self, id: &str) {
        if let Some(execution) = self.executions.get_mut(id) {
            execution.pushed_nothing = true;
        }
    }

    /// Hides an execution that has just begun.
    pub(crate) fn hide(&mut self, id: &str, visible_from: Timestamp) {
        if let Some(execution) = self.executions.get_mut(id) {
            execution.visible_from = visible_from;
        }
    }

    pub(crate) fn execution(&self, id: &str) -> Option<&Execution> {
        self.executions.get(id)
    }

    /// Ends an execution and returns it.
    pub(crate) fn end(&mut self, id: &str) -> Option<&Execution> {
        let execution = self.executions.get_mut(id)?;
        execution.state = execution.result.state();
        Some(execution)
    }

    /// A newer execution supersedes those of a pipeline that have pushed nothing. Returns their
    /// ids.
    pub(crate) fn supersede(&mut self, pipeline: &str, now: Timestamp) -> Vec<String> {
        let older = self.executions.values_mut().filter(|execution| {
            let is_waiting = execution.state == ExecutionState::InProgress && now < execution.pushes_at;
            execution.start.pipeline == pipeline && is_waiting && execution.result.pushes()
        });
        older
            .map(|execution| {
                execution.result = BuildResult::Superseded;
                execution.id.clone()
            })
            .collect()
    }

    /// Returns since when an execution that Patchwave did not start runs in a pipeline.
    pub(crate) fn foreign_since(&self, pipeline: &str) -> Option<Timestamp> {
        let of_pipeline = self.foreign.values().filter(|foreign| foreign.pipeline == pipeline);
        let running = of_pipeline.filter(|foreign| foreign.state == ExecutionState::InProgress);
        running.map(|foreign| foreign.started_at).min()
    }

    /// Makes an execution report what it pushed, if its pipeline does so.
    pub(crate) fn report(&mut self, id: &str, pushed: &Digest, seed: Seed) {
        if let Some(execution) = self.executions.get_mut(id)
            && seed.draws("reports", &execution.start.pipeline).percent(50)
        {
            execution.reported = Some(pushed.clone());
        }
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

    /// Returns whether a pipeline runs, for Patchwave or for anybody else.
    pub(crate) fn is_running(&self, pipeline: &str) -> bool {
        let foreign = self.foreign.values().filter(|foreign| foreign.state == ExecutionState::InProgress);
        self.in_progress().any(|execution| execution.start.pipeline == pipeline)
            || foreign.into_iter().any(|foreign| foreign.pipeline == pipeline)
    }

    /// Returns the executions under way.
    pub(crate) fn in_progress(&self) -> impl Iterator<Item = &Execution> {
        self.executions.values().filter(|execution| execution.state == ExecutionState::InProgress)
    }

    /// Returns the execution of a claim: by its id once it is confirmed, else by its build key.
    ///
    /// A pipeline that does not take the key has only times to compare. Then it is the first start
    /// since the claim, whoever made it.
    pub(crate) fn of(&self, claim: &Claim, now: Timestamp) -> Seen {
        let found = match &claim.execution {
            Some(id) => self.with_id(id, now),
            None if claim.start.variables.contains_key(Variable::BuildKey.name()) => {
                let carries = |execution: &&Execution| {
                    execution.variable(Variable::BuildKey) == Some(claim.start.key.as_str())
                };
                self.since(claim, now).filter(carries).map(seen).min_by_key(order)
            }
            None => {
                let by_hand = self.foreign.values().filter(|foreign| {
                    foreign.by_hand
                        && foreign.pipeline == claim.start.pipeline
                        && foreign.started_at >= SKEW.before(claim.claimed_at)
                        && claim.may_own(&foreign.id)
                });
                self.since(claim, now).map(seen).chain(by_hand.map(seen_foreign)).min_by_key(order)
            }
        };
        found.map_or(Seen::NotFound, |(_, id, state, details)| Seen::Found {
            id: id.to_owned(),
            state,
            details,
        })
    }

    fn with_id(&self, id: &str, now: Timestamp) -> Option<Found<'_>> {
        let visible = self.executions.get(id).filter(|execution| execution.visible_from <= now);
        visible.map(seen).or_else(|| self.foreign.get(id).map(seen_foreign))
    }

    /// Returns the executions that Patchwave started in a claim's pipeline since the claim.
    fn since(&self, claim: &Claim, now: Timestamp) -> impl Iterator<Item = &Execution> {
        let earliest = SKEW.before(claim.claimed_at);
        let is_since = move |execution: &&Execution| {
            execution.start.pipeline == claim.start.pipeline
                && execution.started_at >= earliest
                && execution.visible_from <= now
                && claim.may_own(&execution.id)
        };
        self.executions.values().filter(is_since)
    }
}

/// When an execution started, its id and its state.
type Found<'p> = (Timestamp, &'p str, ExecutionState, ExecutionDetails);

fn order<'p>((started_at, id, ..): &Found<'p>) -> (Timestamp, &'p str) {
    (*started_at, id)
}

fn details(state: ExecutionState, built_at: Timestamp) -> ExecutionDetails {
    let ended = state != ExecutionState::InProgress;
    ExecutionDetails { ended_at: ended.then_some(built_at), ..ExecutionDetails::default() }
}

fn seen(execution: &Execution) -> Found<'_> {
    (execution.started_at, &execution.id, execution.state, execution.details())
}

fn seen_foreign(foreign: &Foreign) -> Found<'_> {
    (foreign.started_at, &foreign.id, foreign.state, details(foreign.state, foreign.ends_at))
}

/// Returns how long an image's builds usually take.
pub(crate) fn usual_duration(seed: Seed, image: &ImageId) -> Span {
    seed.draws("usual build time", image.as_str()).build_time()
}

fn duration(seed: Seed, start: &Start, number: u32) -> Span {
    let percent = seed.draws("build time", &format!("{} {number}", start.image)).between(85, 125);
    Span::seconds(usual_duration(seed, &start.image).as_seconds() * percent / 100)
}
