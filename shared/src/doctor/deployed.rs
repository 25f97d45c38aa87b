//! The deployed stack: its functions, its settings and its last survey.

use super::finding::{Finding, Level};
use super::rights;
use super::seen::{DeploymentSeen, FunctionSeen, Seen};
use crate::hierarchy::Hierarchy;
use crate::policy::Mode;
use crate::time::{Span, Timestamp};

/// After this time a survey is missing: it is made every day.
const OLD: Span = Span::hours(26);
/// The functions of one deployment.
const FUNCTIONS: usize = 3;
pub(super) fn judge(hierarchy: &Hierarchy, seen: &Seen, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(Err(because)) = &seen.caller {
        findings.push(Finding::not_checked("who runs this", because));
    }
    if hierarchy.inspected().accounts.is_empty() {
        findings.push(Finding::new(
            Level::Warning,
            "inventory",
            "the hierarchy file does not name any account: it is not known what runs, and no lifecycle policy can be judged",
            "name the accounts and Regions under `inventory:` in the hierarchy file",
        ));
    }
    if hierarchy.images().all(|image| image.policy.mode == Mode::Observe) {
        findings.push(Finding::new(
            Level::Warning,
            "mode",
            "every image only observes: nothing is rebuilt",
            "set `mode: enforce` for a tier in the hierarchy file when the plan is what you want",
        ));
    }
    if hierarchy.images().any(|image| image.pipeline.is_some()) {
        let most = hierarchy.limits().max_concurrent_builds;
        findings.push(Finding::new(
            Level::NotChecked,
            "maxConcurrentBuilds",
            format!("CodeBuild may run fewer than {most} builds at once: then pipelines fail"),
            "aws service-quotas list-service-quotas --service-code codebuild; then lower maxConcurrentBuilds",
        ));
    }
    let Some(deployment) = &seen.deployment else {
        findings.push(Finding::not_checked("deployment", "PATCHWAVE_TABLE does not name a table"));
        return findings;
    };
    findings.extend(survey(deployment, now));
    match &deployment.functions {
        Err(because) => findings.push(Finding::not_checked("functions", because)),
        Ok(functions) => findings.extend(of_functions(hierarchy, &deployment.table, functions)),
    }
    findings
}

fn survey(deployment: &DeploymentSeen, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &deployment.surveyed_at {
        Err(because) => findings.push(Finding::not_checked("last survey", because)),
        Ok(Some(at)) if OLD.after(*at) >= now => {}
        Ok(at) => {
            let last = at.map_or("never".to_owned(), |at| format!("last at {at:.0}"));
            findings.push(Finding::new(
                Level::Broken,
                "last survey",
                format!("what runs was read {last}: the function `inventory` does not end its sweeps"),
                "read its log, and its dead-letter queue: infra/README.md says how",
            ));
        }
    }
    findings.extend(deployment.unread.iter().map(|(place, because)| {
        Finding::new(
            Level::Broken,
            place,
            format!("it could not be surveyed: {because}"),
            "deploy infra/member.yaml in its account, and infra/cluster.yaml for its clusters",
        )
    }));
    findings
}

fn of_functions(hierarchy: &Hierarchy, table: &str, functions: &[FunctionSeen]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if functions.len() < FUNCTIONS {
        findings.push(Finding::new(
            Level::Broken,
            "functions",
            format!("{} of {FUNCTIONS} functions name the table {table}", functions.len()),
            "deploy the stack again: cd infra && sam build && sam deploy",
        ));
    }
    let enforced = hierarchy.images().any(|image| image.policy.mode == Mode::Enforce);
    for function in functions {
        let FunctionSeen { name, mode, has_tick, has_listener, .. } = function;
        findings.extend(rights::judge(function));
        if enforced && *mode == Mode::Observe {
            findings.push(Finding::new(
                Level::Warning,
                name,
                "the hierarchy file enforces, and the deployment observes: nothing is rebuilt",
                "sam deploy --parameter-overrides Mode=enforce",
            ));
        }
        if !has_tick {
            findings.push(Finding::new(
                Level::Warning,
                name,
                "it has no PATCHWAVE_TICK: nothing is checked again before the next tick",
                "set it as infra/template.yaml does",
            ));
        }
        if !has_listener {
            findings.push(Finding::new(
                Level::Warning,
                name,
                "it has no PATCHWAVE_EVENT_BUS: no person is notified of what waits for one",
                "set it as infra/template.yaml does, and subscribe to its topic",
            ));
        }
    }
    findings
}
