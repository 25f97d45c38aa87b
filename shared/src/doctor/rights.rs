//! Whether the functions may write, by IAM's simulation of their roles. A write is never tried.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Finding, Level};
use super::seen::{DeniedSeen, FunctionSeen};
use crate::policy::Mode;

/// What functions write, and what breaks without it. The first is written only by an enforcing
/// deployment.
pub const WRITES: [(&str, &str); 8] = [
    (START, "no build starts"),
    ("dynamodb:BatchGetItem", "nothing is remembered"),
    ("dynamodb:ConditionCheckItem", "nothing is remembered"),
    ("dynamodb:PutItem", "nothing is remembered"),
    ("dynamodb:UpdateItem", "nothing is remembered"),
    ("ecr:StartImageScan", "fixes are not proved before the next scan on push"),
    ("events:PutEvents", "no person is notified"),
    ("scheduler:CreateSchedule", "nothing is checked again before the next tick"),
];
const START: &str = "codepipeline:StartPipelineExecution";

pub(super) fn judge(function: &FunctionSeen) -> Vec<Finding> {
    let FunctionSeen { name, role, mode, denied, .. } = function;
    let denied = match denied {
        None => {
            let actions: Vec<&str> = WRITES.iter().map(|(action, _)| *action).collect();
            return vec![Finding::new(
                Level::NotChecked,
                name,
                "its rights to write were not tried, because a write changes something",
                format!(
                    "aws iam simulate-principal-policy --policy-source-arn {role} --action-names {}",
                    actions.join(" ")
                ),
            )];
        }
        Some(Err(because)) => return vec![Finding::not_checked(format!("rights of {name}"), because)],
        Some(Ok(denied)) => denied,
    };
    let mut actions: BTreeMap<&str, Vec<&DeniedSeen>> = BTreeMap::new();
    for of in denied.iter().filter(|of| *mode == Mode::Enforce || of.action != START) {
        actions.entry(&of.action).or_default().push(of);
    }
    actions.into_iter().map(|(action, denied)| finding(name, action, &denied)).collect()
}

fn finding(name: &str, action: &str, denied: &[&DeniedSeen]) -> Finding {
    let about = format!("rights of {name}");
    let where_ = match denied {
        [one] => one.resource.clone(),
        [first, others @ ..] => format!("{} and {} more", first.resource, others.len()),
        [] => String::new(),
    };
    let missing: BTreeSet<&str> = denied.iter().flat_map(|of| &of.missing).map(String::as_str).collect();
    // IAM takes a condition without a value as not met.
    if !missing.is_empty() && denied.iter().all(|of| !of.missing.is_empty()) {
        let keys: Vec<&str> = missing.into_iter().collect();
        return Finding::new(
            Level::NotChecked,
            about,
            format!("{action} on {where_} depends on {}, which a simulation does not know", keys.join(", ")),
            "compare the conditions of its role with infra/template.yaml",
        );
    }
    let breaks = WRITES.iter().find(|(write, _)| *write == action).map_or("it fails", |(_, breaks)| breaks);
    let forbidden = denied.iter().any(|of| of.decision == "explicitDeny");
    let mend = if forbidden {
        "a policy forbids it: look at the permissions boundary and at the policies of the organisation"
    } else if action == START {
        "deploy with the pipelines' names: sam deploy --parameter-overrides Mode=enforce Pipelines=<pattern>"
    } else {
        "deploy the stack again: cd infra && sam build && sam deploy"
    };
    Finding::new(Level::Broken, about, format!("its role may not call {action} on {where_}: {breaks}"), mend)
}
