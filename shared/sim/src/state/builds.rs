//! Executions of pipelines, and what follows from the versions that they push.

use std::collections::BTreeMap;

use patchwave::facts::{ExecutionState, Version};
use patchwave::hierarchy::{Hierarchy, Image, Parent, Variable};
use patchwave::image::{Digest, ImageId};
use patchwave::plan::Start;
use patchwave::time::{Span, Timestamp};

use super::{Scheduled, State};
use crate::build::BuildInputs;
use crate::draw::digest_of;
use crate::faults::InjectedFault;
use crate::observation::{Build, Observation};
use crate::people::{Moment, PersonAction};
use crate::pipelines::{BuildResult, Execution};
use crate::registry::Pushed;

impl State {
    /// Starts an execution. Returns the earlier one if the same token started it before.
    pub(crate) fn start(
        &mut self,
        hierarchy: &Hierarchy,
        image: &Image,
        start: &Start,
        now: Timestamp,
    ) -> String {
        if let Some(replayed) = self.pipelines.replayed(start) {
            return replayed.id.clone();
        }
        let parents = self.pulled(hierarchy, image, start);
        let result = self.faults.build_result(now);
        let execution = self.pipelines.begin(start, parents, result, self.seed, now).clone();
        self.truth.executions += 1;
        if result != BuildResult::Succeeds {
            self.truth.met(&execution.id);
        }
        let lasts = Span::between(now, execution.pushes_at);
        self.act_within(Moment::BeforePush, &image.id, lasts, now);
        let hidden = self.faults.invisible_for(now);
        self.pipelines.hide(&execution.id, hidden.after(now));
        self.schedule(execution.pushes_at, Scheduled::ExecutionPushes(execution.id.clone()));
        self.schedule(execution.ends_at, Scheduled::ExecutionEnds(execution.id.clone()));
        self.emit_execution(&execution, now);
        execution.id
    }

    /// Returns the parents that the build pulls: those that the variables name, else the current
    /// ones.
    fn pulled(&self, hierarchy: &Hierarchy, image: &Image, start: &Start) -> BTreeMap<ImageId, Digest> {
        let mut parents = self.current_parents(hierarchy, image);
        let variable = |variable: Variable| start.variables.get(variable.name());
        let named: BTreeMap<ImageId, Digest> =
            variable(Variable::Parents).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        parents.extend(named);
        // A parent in another registry is named with its host.
        let base = variable(Variable::BaseImage).or_else(|| variable(Variable::BaseReference));
        let base = base.and_then(|base| base.rsplit_once('@')?.1.parse().ok());
        if let (Parent::Image(from), Some(base)) = (&image.from, base) {
            parents.insert(from.clone(), base);
        }
        parents
    }

    /// The build stage of an execution pushes its version, if it succeeds.
    pub(super) fn push_of_execution(&mut self, hierarchy: &Hierarchy, id: &str, now: Timestamp) {
        let Some(execution) = self.pipelines.execution(id).cloned() else { return };
        let Ok(image) = hierarchy.image(&execution.start.image) else { return };
        if !execution.result.pushes() {
            return;
        }
        let mut pushed = self.build(hierarchy, image, &inputs(&execution, now));
        pushed.execution = Some(execution.id.clone());
        self.requests.built(&execution, &pushed.version);
        let version = pushed.version.digest.clone();
        self.pipelines.report(&execution.id, &version, self.seed);
        self.truth.allow_replacing(&image.id);
        if !self.push(image, pushed, now) {
            self.pipelines.pushed_nothing(id);
        }
        self.act_within(Moment::BeforeSuccessIsSeen, &image.id, Span::seconds(3), now);
        self.act_within(Moment::DuringProof, &image.id, Span::minutes(4), now);
        self.observations.push(Observation::Built(Box::new(finished(execution, version, now))));
    }

    pub(super) fn end_execution(&mut self, hierarchy: &Hierarchy, id: &str, now: Timestamp) {
        let Some(execution) = self.pipelines.end(id).cloned() else { return };
        self.check_hang(hierarchy, &execution, now);
        self.checker.execution_ended(&execution, now);
        if execution.state == ExecutionState::Failed {
            self.truth.failed(&execution.start.image);
        }
        self.emit_execution(&execution, now);
    }

    fn emit_execution(&mut self, execution: &Execution, now: Timestamp) {
        let event = self.event_writer.execution(execution, now);
        self.emit(&event, now);
    }

    /// Pushes a version, if its repository exists. Events, scans and deployments follow. Returns
    /// whether the version is new.
    pub(crate) fn push(&mut self, image: &Image, pushed: Pushed, now: Timestamp) -> bool {
        if self.registry.history(&image.repository).is_none() {
            return false;
        }
        let (version, tags) = (pushed.version.clone(), pushed.tags.clone());
        self.changed(&image.repository, now);
        if !self.registry.push(&image.repository, pushed) {
            return false;
        }
        let is_index = version.platforms.values().all(|manifest| manifest.digest != version.digest);
        self.schedule_scans(image, &version, is_index, now);
        for tag in &tags {
            let event =
                self.event_writer.pushed(&image.repository, &version.digest, Some(tag), is_index, now);
            self.emit(&event, now);
        }
        if image.line.is_of_environment() {
            self.await_promotion(&image.id, now);
        } else {
            self.schedule_deployments(&image.id, now);
        }
        self.push_artefact(image, &version.digest, now);
        true
    }

    /// Beside some versions a signature is pushed. It is no version, so all that Patchwave gets is
    /// an event about a digest that is nothing to it.
    fn push_artefact(&mut self, image: &Image, version: &Digest, now: Timestamp) {
        let is_signed = self.seed.draws("signed", version.as_str()).percent(20);
        if !is_signed || !self.faults.has_faults() {
            return;
        }
        let signature = digest_of(&format!("signature of {version}"));
        let tag = format!("{}.sig", version.as_str().replace(':', "-")).parse().ok();
        let event = self.event_writer.pushed(&image.repository, &signature, tag.as_ref(), false, now);
        self.faults.note(InjectedFault::ArtefactPushed);
        self.emit(&event, now);
    }

    /// People promote three of four versions, minutes or hours after their push.
    fn await_promotion(&mut self, image: &ImageId, now: Timestamp) {
        if self.faults.percent(75) {
            let at = self.faults.span(Span::minutes(5), Span::hours(20)).after(now);
            let action = PersonAction { kind: InjectedFault::Promoted, image: image.clone(), repeats: 0 };
            self.schedule(at, Scheduled::PersonAction(action));
        }
    }

    /// Each platform manifest is scanned; the parts of an index have push events of their own.
    fn schedule_scans(&mut self, image: &Image, version: &Version, is_index: bool, now: Timestamp) {
        for manifest in version.platforms.values() {
            let at = (image.repository.clone(), manifest.digest.clone());
            if is_index {
                let event = self.event_writer.pushed(&at.0, &at.1, None, false, now);
                self.emit(&event, now);
            }
            self.scanner.enqueue(&at, now);
            let usual = self.seed.draws("scan", at.1.as_str()).span(Span::seconds(50), Span::minutes(4));
            let delay = self.faults.scan_delay(usual, now);
            self.schedule(delay.after(now), Scheduled::Scan(at));
        }
    }

    pub(crate) fn schedule_deployments(&mut self, image: &ImageId, now: Timestamp) {
        let of_image = self.workloads.values().filter(|workload| workload.image == *image);
        let follow: Vec<(String, Span)> = of_image.map(|w| (w.name.clone(), w.follows_after)).collect();
        for (name, delay) in follow {
            self.schedule(delay.after(now), Scheduled::Deployment(name));
        }
    }
}

fn inputs(execution: &Execution, now: Timestamp) -> BuildInputs {
    BuildInputs {
        parents: execution.parents.clone(),
        revision: execution.start.sources.first().map(|source| source.revision.clone()),
        cached: execution.variable(Variable::NoCache) != Some("true"),
        stuck: execution.result == BuildResult::FixesNothing,
        number: execution.number,
        now,
    }
}

fn finished(execution: Execution, version: Digest, now: Timestamp) -> Build {
    let Execution { id, start, started_at, parents, .. } = execution;
    Build {
        image: start.image,
        pipeline: start.pipeline,
        execution_id: id,
        build_key: start.key,
        reasons: start.reasons,
        started_at,
        finished_at: now,
        replaces: start.replaces,
        version,
        parents,
    }
}
