//! Events of CodePipeline about executions.
//!
//! <https://docs.aws.amazon.com/codepipeline/latest/userguide/detect-state-changes-cloudwatch-events.html>

use patchwave::facts::ExecutionState;
use patchwave::time::Timestamp;
use patchwave::trigger::Trigger;
use serde_json::json;

use super::{Delivery, EventWriter};
use crate::pipelines::Execution;

impl EventWriter {
    /// An execution that Patchwave started changed its state.
    pub(crate) fn execution(&mut self, execution: &Execution, now: Timestamp) -> Delivery {
        let Execution { id, start, started_at, state, .. } = execution;
        self.execution_of(&start.pipeline, id, (*started_at, *state), now)
    }

    /// An execution changed its state, by Patchwave or a person.
    pub(crate) fn execution_of(
        &mut self,
        pipeline: &str,
        id: &str,
        (started_at, state): (Timestamp, ExecutionState),
        now: Timestamp,
    ) -> Delivery {
        let state = match state {
            ExecutionState::InProgress => "STARTED",
            ExecutionState::Succeeded => "SUCCEEDED",
            ExecutionState::Failed => "FAILED",
            ExecutionState::Stopped => "STOPPED",
            ExecutionState::Superseded => "SUPERSEDED",
        };
        let trigger = Trigger::Execution {
            at: self.account_region(),
            pipeline: pipeline.to_owned(),
            execution: id.to_owned(),
            state: state.to_owned().into(),
        };
        self.delivery(trigger, |writer| {
            let detail = json!({
                "pipeline": pipeline,
                "execution-id": id,
                "start-time": started_at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
                "state": state,
                // CodePipeline writes whole numbers with a fraction.
                "version": 1.0,
                "pipeline-execution-attempt": 1.0,
            });
            let arn = writer.arn("codepipeline", pipeline);
            let kind = "CodePipeline Pipeline Execution State Change";
            writer.write("aws.codepipeline", kind, now, Some(arn), &detail)
        })
    }
}
