//! When a rebuild is due, and why then.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::attribution::Attributions;
use super::context::Context;
use super::decide::Decisions;
use crate::finding::{FindingKey, Severity};
use crate::hierarchy::Image;
use crate::image::ImageId;
use crate::time::{Span, Timestamp};

/// When an image's rebuild is due: its own deadline, or that of an image below that needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Due {
    /// The earliest deadline.
    pub at: Timestamp,
    /// What sets it.
    #[serde(flatten)]
    pub because: Deadline,
    /// The image below whose deadline it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed_by: Option<ImageId>,
}

/// What sets a deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Deadline {
    /// A finding with a known exploit is due when it appears.
    Exploited {
        /// The finding.
        finding: FindingKey,
    },
    /// A finding is due after the deadline of its severity; after half of it where the image runs
    /// in production.
    Severity {
        /// The finding.
        finding: FindingKey,
        /// The highest that any platform's scan gives it.
        severity: Severity,
        /// The deadline of this severity, by policy.
        within: Span,
        /// Whether half of it applies.
        in_production: bool,
    },
    /// A reason without findings is due after the deadline of medium findings.
    Reason {
        /// The reason's code.
        code: String,
        /// The deadline of medium findings, by policy.
        within: Span,
    },
}

/// When each image's rebuild is due: its own findings' or reasons' deadline, or that of any child
/// that needs it.
pub(super) fn due<'a>(
    context: &Context<'a>,
    attributions: &Attributions<'a>,
    decisions: &Decisions<'a>,
) -> BTreeMap<&'a ImageId, Due> {
    let mut due: BTreeMap<&ImageId, Due> = BTreeMap::new();
    for image in context.images().rev() {
        let Some(decision) = decisions.get(&image.id) else { continue };
        let findings = attributions.of.get(&image.id).and_then(|attribution| attribution.due.clone());
        let reasons = decision.reasons.iter().map(|reason| {
            let within = image.policy.deadlines.medium;
            let because = Deadline::Reason { code: reason.code().to_owned(), within };
            Due { at: within.after(reason.since()), because, needed_by: None }
        });
        let below = due.remove(&image.id);
        let Some(mine) = findings.into_iter().chain(reasons).chain(below).min_by_key(|due| due.at) else {
            continue;
        };
        pass_on(context, image, &mine, &mut due);
        due.insert(&image.id, mine);
    }
    due
}

/// What an image needs by then, its parents are needed for.
fn pass_on<'a>(context: &Context<'a>, image: &'a Image, mine: &Due, due: &mut BTreeMap<&'a ImageId, Due>) {
    let needed_by = mine.needed_by.as_ref().unwrap_or(&image.id);
    for parent in context.hierarchy.parents(&image.id) {
        let theirs = due.get(&parent.image.id);
        if theirs.is_none_or(|theirs| mine.at < theirs.at) {
            due.insert(&parent.image.id, Due { needed_by: Some(needed_by.clone()), ..mine.clone() });
        }
    }
}
