//! `plan`: what would start for a snapshot of facts, and what holds everything else.

use std::fmt::{self, Write};

use patchwave::facts::Facts;
use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::plan::{self, Cause, FirstDays, Limit, Reason, Shortfall, TRIES_IN_THIRTY_DAYS};
use patchwave::policy::Mode;
use patchwave::time::Timestamp;
use serde::Serialize;

use crate::args::{Args, Plan};
use crate::holds;
use crate::input::{self, BadInput, Observed};
use crate::output::Answer;
use crate::prediction::{self, Predicted};
use crate::render::{CAREFUL, NAME, STRONG, count, due, paint, reason, some, wrapped, written};

/// How many images of one hold the text names; JSON lists all.
const SHOWN: usize = 6;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Planned {
    mode: Mode,
    observed_at: Timestamp,
    #[serde(flatten)]
    plan: plan::Plan,
    /// The deadlines that the limits cannot keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    shortfall: Option<Shortfall>,
    prediction: Predicted,
    /// What the first enforcement of every image starts, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_enforcement: Option<FirstDays>,
    /// Images of the hierarchy that the facts do not describe: the plan decides nothing about them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_in_facts: Vec<ImageId>,
    /// Images of the facts that the hierarchy does not name: they are of another hierarchy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_in_hierarchy: Vec<ImageId>,
    /// What `unknownFix: retry` costs, if it costs anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<Retries>,
    #[serde(skip)]
    images: usize,
}

/// The images with findings for which the scanner names no fix, so that Patchwave tries rebuilds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Retries {
    images: usize,
    /// The most builds of the next thirty days, if no try helps and no finding is new.
    builds_in_thirty_days: usize,
}

fn retries(plan: &plan::Plan) -> Option<Retries> {
    let is_retried = |reasons: &&Vec<Reason>| reasons.iter().flat_map(Reason::causes).any(Cause::is_retried);
    let images = plan.reasons.values().filter(is_retried).count();
    (images > 0).then(|| Retries { images, builds_in_thirty_days: images * TRIES_IN_THIRTY_DAYS })
}

pub(crate) fn run(args: &Args, options: &Plan) -> Result<Answer, BadInput> {
    let observed = input::observed(args, options.snapshot.facts.as_deref())?;
    let Observed { hierarchy, facts, note, is_partial } = &observed;
    let (mode, now) = (options.snapshot.mode.into(), facts.observed_at);
    let plan = plan::plan(hierarchy, facts, mode, now);
    let shortfall = plan::shortfall(hierarchy, facts, mode, now);
    let planned = Planned {
        mode,
        retries: retries(&plan),
        observed_at: now,
        not_in_facts: not_in_facts(hierarchy, facts),
        not_in_hierarchy: not_in_hierarchy(hierarchy, facts),
        images: hierarchy.len(),
        prediction: prediction::predict(hierarchy, facts, mode, &plan),
        first_enforcement: options.first_enforcement.then(|| plan::first_enforcement(hierarchy, facts, now)),
        shortfall,
        plan,
    };
    let says_nothing = hierarchy.is_empty();
    let is_partial = *is_partial || !planned.not_in_facts.is_empty() || !planned.not_in_hierarchy.is_empty();
    let answer = Answer::render(args.format, &planned, text).with_note(note.clone());
    Ok(answer.with_findings(is_partial || says_nothing))
}

fn not_in_facts(hierarchy: &Hierarchy, facts: &Facts) -> Vec<ImageId> {
    let ids = hierarchy.images().map(|image| &image.id);
    ids.filter(|id| !facts.images.contains_key(*id) && !facts.unreadable.contains_key(*id)).cloned().collect()
}

fn not_in_hierarchy(hierarchy: &Hierarchy, facts: &Facts) -> Vec<ImageId> {
    facts.images.keys().filter(|id| hierarchy.image(id).is_err()).cloned().collect()
}

fn text(planned: &Planned) -> String {
    written(|text| write(planned, text))
}

fn write(planned: &Planned, text: &mut String) -> fmt::Result {
    let plan = &planned.plan;
    let starts = format!("{} to start", count(plan.starts.len(), "build"));
    writeln!(text, "As of {:.0}: {}", planned.observed_at, paint(STRONG, starts))?;
    for start in &plan.starts {
        writeln!(text, "  {} by pipeline {}", paint(NAME, &start.image), start.pipeline)?;
        for why in &start.reasons {
            writeln!(text, "{}", wrapped(4, &reason(why)))?;
        }
        if let Some(of_image) = plan.due.get(&start.image) {
            writeln!(text, "{}", wrapped(4, &due(of_image)))?;
        }
    }
    if let Some(shortfall) = &planned.shortfall {
        writeln!(text, "{}", wrapped(2, &too_low(shortfall)))?;
    }
    prediction::write(&planned.prediction, planned.shortfall.as_ref(), planned.observed_at, text)?;
    text.push_str(&holds::text(plan.holds.iter(), SHOWN));
    if let Some(Retries { images, builds_in_thirty_days }) = &planned.retries {
        let line = format!(
            "unknownFix: retry: the scanner does not name a fix for findings of {}. Its tries cost at most {} in thirty days",
            count(*images, "image"),
            count(*builds_in_thirty_days, "build")
        );
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    for unknown in &plan.unknown {
        let platform =
            unknown.platform.as_ref().map(|platform| format!(" on {platform}")).unwrap_or_default();
        let line = format!("{} {}{platform}: {}", paint(CAREFUL, "unknown"), unknown.image, unknown.because);
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    if let Some(first) = &planned.first_enforcement {
        prediction::write_days(first, text)?;
    }
    write_partial(planned, text)
}

/// Says which deadlines the limits cannot keep, and which limit to raise to what.
fn too_low(shortfall: &Shortfall) -> String {
    let Shortfall { images, first, keep_by, ends, raise } = shortfall;
    let raise: Vec<String> = raise.iter().map(|(limit, to)| format!("{} to {to}", key(*limit))).collect();
    format!(
        "{} the limits let {} miss the deadline, first {first}: it is due {keep_by:.0} and would be built \
         {ends:.0}. Raise {}",
        paint(CAREFUL, "late"),
        count(*images, "image"),
        raise.join(" and ")
    )
}

/// Returns the key of a limit in the hierarchy file.
pub(crate) fn key(limit: Limit) -> &'static str {
    match limit {
        Limit::ConcurrentBuilds | Limit::OwnersBuilds | Limit::Pipeline => "maxConcurrentBuilds",
        Limit::StartsPerDay => "maxStartsPerDay",
    }
}

/// Says what the plan does not cover: images that it does not mention are not clean.
fn write_partial(planned: &Planned, text: &mut String) -> fmt::Result {
    let Planned { not_in_facts, not_in_hierarchy, images, .. } = planned;
    let unknown = paint(CAREFUL, "unknown");
    if *images == 0 {
        let line = format!("{unknown} the hierarchy names no image, so nothing was planned");
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    if !not_in_facts.is_empty() {
        let (missing, names) = (not_in_facts.len(), some(not_in_facts.iter(), SHOWN));
        let line = format!(
            "{unknown} the facts do not describe {missing} of {} of the hierarchy: {names}. Take a snapshot of \
             this hierarchy: patchwave observe",
            count(*images, "image")
        );
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    if !not_in_hierarchy.is_empty() {
        let (number, names) = (count(not_in_hierarchy.len(), "image"), some(not_in_hierarchy.iter(), SHOWN));
        let line = format!("{unknown} the facts describe {number} that the hierarchy does not name: {names}");
        writeln!(text, "{}", wrapped(2, &line))?;
    }
    Ok(())
}
