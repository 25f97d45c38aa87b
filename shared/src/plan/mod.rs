//! The planner: from hierarchy, facts, mode and time to a [`Plan`].

mod attribution;
mod build_time;
mod built_on;
mod claims;
mod context;
mod deadline;
mod decide;
mod due;
mod first_days;
mod forecast;
mod happened;
mod hold;
mod judge;
mod limits;
mod make_start;
mod notice;
mod order;
mod origin;
mod pipeline;
mod predicted;
mod prediction;
mod proof;
mod pushed;
mod reason;
mod reasons;
mod recheck;
mod record;
mod retry;
mod shares;
mod slots;
mod start;
mod timetable;
mod to_come;
mod tried;
mod unknown;
mod unknowns;
mod unread;
mod upstream;
mod urgency;
mod vulnerability;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use context::TICK;
pub use due::{Deadline, Due};
pub use first_days::{FirstDay, FirstDays, first_enforcement};
pub use forecast::{Shortfall, shortfall};
pub use happened::happened;
pub use hold::{Awaited, Hold, Limit};
pub use prediction::{Prediction, predict};
pub use proof::{Proof, ToProve, Verdict};
pub use pushed::needs_history;
pub use reason::{Cause, Evidence, Goal, Reason};
pub use retry::TRIES_IN_THIRTY_DAYS;
pub use shares::first_of_each_share;
pub use start::{BuildKey, SourceRevision, Start};
pub use unknown::{AwaitedScan, Unknown};
pub use upstream::upstream_scans;
pub use vulnerability::{Carrier, Rule, Running, Source, Traced, traced};

use crate::facts::Facts;
use crate::finding::{FindingKey, Scan};
use crate::hierarchy::{Hierarchy, Image};
use crate::image::ImageId;
use crate::notice::Notice;
use crate::policy::Mode;
use crate::record::Record;
use crate::time::Timestamp;
use context::Context;

/// What to start, and why nothing else starts. The executor applies it and decides nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[must_use = "a plan that nobody applies or reads does nothing"]
pub struct Plan {
    /// The builds to start, most urgent first.
    pub starts: Vec<Start>,
    /// Every other image in scope, with its one hold.
    pub holds: BTreeMap<ImageId, Hold>,
    /// The reasons of every image that has any, started or not.
    pub reasons: BTreeMap<ImageId, Vec<Reason>>,
    /// When the rebuild of every image that is not fresh is due, where a deadline is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub due: BTreeMap<ImageId, Due>,
    /// Verdicts that this plan reached.
    pub proofs: Vec<Proof>,
    pub unknown: BTreeSet<Unknown>,
    /// Scans that decisions wait for.
    pub scans: BTreeSet<AwaitedScan>,
    /// The records that change; they are written before anything starts. Those that enter the index
    /// of unsettled images are written before those that leave it. So a wave is not lost if a pass
    /// stops between the writes.
    pub records: BTreeMap<ImageId, Record>,
    /// Images that give their slot back.
    pub freed: BTreeSet<ImageId>,
    /// Images whose build the account's limit ended. The write of their record gives their slot
    /// back, and their share of the day.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub returned: BTreeSet<ImageId>,
    /// The notices to send to people. Each is in its image's record as unsent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
    /// When to recheck, if a wait may end before the next tick and no event reports its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recheck_at: Option<Timestamp>,
}

/// Decides what to start and what holds everything else, for every image that the facts contain.
///
/// `ceiling` is the deployment's mode: policy can stay below it, never above. The answer depends
/// only on the arguments, and not on any order in them.
pub fn plan(hierarchy: &Hierarchy, facts: &Facts, ceiling: Mode, now: Timestamp) -> Plan {
    let (context, proofs) = Context::resolved(hierarchy, facts, ceiling, now);
    let mut plan = Plan { proofs, ..Plan::default() };

    let (attributions, mut decisions) = decided(&context);
    plan.freed = slots::freed(&context);
    plan.returned = slots::returned(&context);
    let is_running = |id: &&ImageId| !plan.freed.contains(*id) && !plan.returned.contains(*id);
    let running: Vec<&ImageId> = facts.slots.held_by.iter().filter(is_running).collect();
    let mut due = urgency::due(&context, &attributions, &decisions);
    let keep_by = urgency::keep_by(&context, &attributions, &decisions);
    let starting = order::order(&context, (&due, &keep_by), &mut decisions, &running);

    for order::Starting { image, due, keeps_deadline } in starting {
        let reasons =
            decisions.get(&image.id).map(|decision| decision.reasons.as_slice()).unwrap_or_default();
        let start = make_start::start(&context, image, reasons, due);
        plan.starts.extend(start.map(|start| Start { keeps_deadline, ..start }));
    }
    plan.records = record::changed(&context, &attributions, &decisions);
    plan.notices = notice::unsent(&context, &attributions, &decisions, &plan.records);
    plan.recheck_at = recheck::first(&context, decisions.keys(), &plan.records);
    plan.unknown = unknowns::unknowns(&context, &attributions, &plan.records);
    plan.scans = attributions.scans;
    plan.scans.extend(unscanned_proofs(&context));
    for (id, decision) in decisions {
        if let Some(due) = due.remove(id).filter(|_| decision.hold != Some(Hold::Fresh)) {
            plan.due.insert(id.clone(), due);
        }
        if let Some(hold) = decision.hold {
            plan.holds.insert(id.clone(), hold);
        }
        if !decision.reasons.is_empty() {
            plan.reasons.insert(id.clone(), decision.reasons);
        }
    }
    plan
}

/// Decides about every image, as if no limit existed.
fn decided<'a>(context: &Context<'a>) -> (attribution::Attributions<'a>, decide::Decisions<'a>) {
    let attributions = attribution::attribution(context);
    let reasons =
        context.decided().map(|image| (&image.id, reasons_of(context, image, &attributions))).collect();
    let decisions = decide::decide(context, &attributions, reasons);
    (attributions, decisions)
}

/// Returns the findings that count on an image and that an ancestor introduced, may have, or has
/// already fixed, each with that ancestor. For people: a plan names only the ancestor.
pub fn inherited(
    hierarchy: &Hierarchy,
    facts: &Facts,
    image: &Image,
    now: Timestamp,
) -> BTreeMap<FindingKey, ImageId> {
    let (context, _) = Context::resolved(hierarchy, facts, Mode::Enforce, now);
    attribution::inherited(&context, image)
}

fn reasons_of<'a>(
    context: &Context<'a>,
    image: &'a Image,
    attributions: &attribution::Attributions<'a>,
) -> reasons::Reasons {
    let nothing = attribution::Attribution::default();
    reasons::reasons(context, image, attributions.of.get(&image.id).unwrap_or(&nothing))
}

/// Returns the platform manifests that a proof waits for and that were never scanned: not every
/// repository scans on push.
fn unscanned_proofs(context: &Context<'_>) -> BTreeSet<AwaitedScan> {
    let awaited = context.decided().filter(|image| context.record(&image.id).proof.is_some());
    awaited
        .flat_map(|image| {
            let version = context.current(&image.id);
            let missing =
                version.into_iter().flat_map(|v| &v.platforms).filter(|(_, m)| m.scan == Scan::Missing);
            missing.map(|(platform, manifest)| AwaitedScan {
                image: image.id.clone(),
                repository: image.repository.clone(),
                platform: platform.clone(),
                digest: manifest.digest.clone(),
            })
        })
        .collect()
}
