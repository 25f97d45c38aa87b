//! The steps that are possible in a state.

use super::{Search, State};
use crate::diamond::IMAGES;
use crate::model::Call;

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// An event is delivered, and the worker begins a pass.
    Begin(usize),
    /// The world answers the worker.
    Answer(usize),
    /// The world performs the call, and the worker crashes.
    Crash(usize),
    /// The world performs the call, and its answer is lost.
    LoseAnswer(usize),
    /// The call is lost.
    LoseCall(usize),
    /// A build ends with a version.
    End(u8),
    /// A build fails.
    Fail(u8),
    /// A person pushes the base with the fix.
    Push,
    /// The scan of the base's last version completes.
    Scan,
    LeasePasses,
}

impl Search {
    /// Returns all steps that are possible.
    pub(super) fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        for (worker, node) in state.workers.iter().enumerate() {
            let Some(call) = node.and_then(|node| self.passes.call(node)) else { continue };
            if state.model.is_settled(&self.diamond, call) {
                return steps_of(state, worker, call);
            }
            steps.extend(steps_of(state, worker, call));
        }
        let runs = (0..).zip(&state.model.runs);
        let ends = runs.filter(|(_, run)| !run.is_over() && self.is_noticed(state, run.image));
        for (run, _) in ends {
            steps.push(Step::End(run));
            steps.extend((state.failures > 0).then_some(Step::Fail(run)));
        }
        steps.extend((state.pushes > 0).then_some(Step::Push));
        steps.extend(state.model.scan_is_late().then_some(Step::Scan));
        // The workers are interchangeable, so the first idle one begins.
        if let Some(worker) = state.workers.iter().position(Option::is_none) {
            steps.extend((state.passes > 0 && state.events > 0).then_some(Step::Begin(worker)));
        }
        // No invocation lasts as long as a lease.
        if state.workers == [None; 2] && state.model.has_unconfirmed_claim(&self.diamond) {
            steps.push(Step::LeasePasses);
        }
        steps
    }

    /// Returns whether a busy worker may notice that a build of `image` ends now. If no pass may
    /// begin and all workers have read what they read, the end commutes with their remaining steps,
    /// so it comes when they are idle. (A start that they make meanwhile is wrong before and after
    /// the end: beside a running build, or on a stale parent for the second time.)
    fn is_noticed(&self, state: &State, image: u8) -> bool {
        let mut calls = state.workers.iter().flatten().filter_map(|node| self.passes.call(*node)).peekable();
        // A pass of several pages, or one that looks again, reads once more.
        self.diamond.setting.reads_again()
            || state.passes > 0
            || calls.peek().is_none()
            || calls.any(|call| !call.is_effect() || matches!(call, Call::Free(freed, _) if freed == image))
    }

    pub(super) fn describe(&self, state: &State, step: Step) -> String {
        // Workers change places, so a step is described by the call that its worker made.
        let of = |worker: usize| match state.workers[worker] {
            Some(node) => format!("in pass {node}: {:?}", self.passes.call(node)),
            None => "an idle worker".to_owned(),
        };
        match step {
            Step::Begin(_) => "a pass begins".into(),
            Step::Answer(worker) => of(worker),
            Step::Crash(worker) => format!("{}, and the worker crashes", of(worker)),
            Step::LoseAnswer(worker) => format!("{}, and the answer is lost", of(worker)),
            Step::LoseCall(worker) => format!("{}, which is lost", of(worker)),
            Step::End(run) | Step::Fail(run) => {
                let image = state.model.runs[usize::from(run)].image;
                let how = if matches!(step, Step::End(_)) { "ends" } else { "fails" };
                format!("the build of {} {how}", IMAGES[usize::from(image)])
            }
            Step::Push => "a person pushes b".into(),
            Step::Scan => "the scan of b completes".into(),
            Step::LeasePasses => "the lease passes".into(),
        }
    }
}

/// Returns what can happen to a call that a worker makes.
fn steps_of(state: &State, worker: usize, call: Call) -> Vec<Step> {
    let mut steps = vec![Step::Answer(worker)];
    if state.crashes > 0 && call.is_effect() {
        steps.push(Step::Crash(worker));
    }
    if state.losses > 0 && call.is_effect() {
        steps.push(Step::LoseAnswer(worker));
    }
    if state.losses > 0 && call.is_survivable() {
        steps.push(Step::LoseCall(worker));
    }
    steps
}
