//! `lifecycle preview`, `apply` and `undo`.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use patchwave::image::{Digest, Repository};
use patchwave::lifecycle::{
    Going, Intent, KnownRepository, LifecyclePolicy, PLAN_FORMAT, PlanInput, PlannedPolicy, PolicyChange,
    PolicyPlan, Step, Stop, Undo, compare, may_write, undo as decide_undo,
};
use serde::Serialize;
use serde_json::json;

use super::with_aws::Opened;
use crate::args::{Args, LifecycleApply, LifecyclePreview, LifecycleUndo};
use crate::confirm::agrees;
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::progress;
use crate::render::{BAD, FAINT, GOOD, NAME, count, paint, value, written};

fn read(file: &std::path::Path) -> Result<PolicyPlan, BadInput> {
    let plan: PolicyPlan = input::json(file, "what `patchwave lifecycle plan --format json` prints")?;
    if plan.format != PLAN_FORMAT {
        let name = input::name(file);
        return Err(BadInput::new(format!("{name}: another Patchwave made this plan; plan again")));
    }
    Ok(plan)
}

/// Lets ECR preview every policy of a plan, and compares.
pub(crate) fn preview(args: &Args, options: &LifecyclePreview) -> Result<Answer, BadInput> {
    [&options.save, &options.report].into_iter().flatten().try_for_each(|file| input::check_is_new(file))?;
    let mut plan = read(&options.plan)?;
    let opened = Opened::open(args)?;
    let mut reports = Vec::new();
    for planned in plan.policies.iter_mut().filter(|planned| planned.refused.is_empty()) {
        progress::show(&format!("preview of {}", planned.repository));
        match preview_one(&opened, planned) {
            Ok(Some(report)) => reports.push(report),
            Ok(None) => {}
            Err(because) => planned.refused.push(because),
        }
    }
    progress::show("");
    if let Some(file) = &options.save {
        input::save(file, &serde_json::to_string_pretty(&plan).map_err(|error| BadInput::because(&error))?)?;
    }
    if let (Some(file), false) = (&options.report, reports.is_empty()) {
        let report = json!({ "patchwave": env!("CARGO_PKG_VERSION"), "disagreements": reports });
        input::save(file, &format!("{report:#}"))?;
    }
    let disagree =
        |planned: &PlannedPolicy| planned.preview.as_ref().is_none_or(|p| !p.differences.is_empty());
    let found = plan.policies.iter().any(disagree);
    Ok(Answer::render(args.format, &plan, |plan| written(|text| write_previews(plan, text)))
        .with_findings(found))
}

/// Previews one policy. Returns what a bug report needs if ECR and Patchwave do not agree.
fn preview_one(opened: &Opened, planned: &mut PlannedPolicy) -> Result<Option<serde_json::Value>, String> {
    let Some(text) = &planned.text else { return Ok(None) };
    let policy = LifecyclePolicy::parse(text).map_err(|errors| errors.to_string())?;
    let repository = &planned.repository;
    let going: BTreeMap<Digest, Going> =
        opened.wait(opened.care.preview(repository, text)).map_err(|fault| fault.to_string())?;
    let listing = opened.wait(opened.care.listing(repository)).map_err(|fault| fault.to_string())?;
    let now = opened.care.now();
    let previewed = compare(text, &policy, &listing, &going, now);
    let report = (!previewed.differences.is_empty()).then(|| {
        json!({
            "repository": repository, "at": now, "policy": text, "images": listing.images, "ecr": going,
            "differences": previewed.differences, "onlyIfPartsAreCounted": previewed.counts_parts,
        })
    });
    planned.preview = Some(previewed);
    Ok(report)
}

fn write_previews(plan: &PolicyPlan, text: &mut String) -> fmt::Result {
    for planned in &plan.policies {
        let name = paint(NAME, value(planned.repository.as_str()));
        match &planned.preview {
            None => {
                let because = planned.refused.first().map_or("it has no policy", String::as_str);
                writeln!(text, "{name}: {} {}", paint(BAD, "not previewed"), value(because))?;
            }
            Some(preview) if preview.differences.is_empty() => {
                let going = count(preview.going.len(), "image");
                writeln!(text, "{name}: {} that {going} would be deleted", paint(GOOD, "ECR agrees"))?;
            }
            Some(preview) => {
                let images = count(preview.differences.len(), "image");
                writeln!(text, "{name}: {} about {images}", paint(BAD, "ECR does not agree"))?;
                for difference in preview.differences.iter().take(5) {
                    let says = |going: Option<Going>| {
                        going.map_or("stays".to_owned(), |g| format!("goes by rule {}", g.rule))
                    };
                    let (ecr, ours) = (says(difference.ecr), says(difference.ours));
                    writeln!(text, "  {} {ecr} for ECR, {ours} for Patchwave", difference.digest.short())?;
                }
                if preview.counts_parts {
                    writeln!(text, "  ECR counts the manifests that an index lists; Patchwave does not")?;
                }
            }
        }
    }
    writeln!(text, "{}", paint(FAINT, "Nothing was written."))
}

/// What `apply` did.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Applied {
    written: Vec<Repository>,
    already: Vec<Repository>,
    /// What the plan refuses.
    refused: Vec<Repository>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<Stopped>,
    not_reached: Vec<Repository>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stopped {
    repository: Repository,
    because: String,
}

/// Writes the policies of a previewed plan, one repository after the other.
pub(crate) fn apply(args: &Args, options: &LifecycleApply) -> Result<Answer, BadInput> {
    let plan = read(&options.plan)?;
    let (ready, refused): (Vec<_>, Vec<_>) =
        plan.policies.into_iter().partition(|planned| planned.refused.is_empty());
    let going: usize = ready.iter().map(|planned| planned.going.len()).sum();
    let (policies, images) = (ready.len(), count(going, "image"));
    let question = format!("Write the lifecycle policies of {policies} repositories, which delete {images}?");
    if !agrees(options.yes, &question)? {
        return Ok(Answer::new("Nothing was written.\n".to_owned()));
    }
    let opened = Opened::open(args)?;
    let inventory = opened.read(opened.care.inventory())?;
    let mut applied = Applied {
        refused: refused.into_iter().map(|planned| planned.repository).collect(),
        ..Applied::default()
    };
    for planned in ready {
        if applied.stopped.is_some() {
            applied.not_reached.push(planned.repository);
            continue;
        }
        match apply_one(&opened, &planned, &inventory, options) {
            Ok(Step::Already) => applied.already.push(planned.repository),
            Ok(Step::Write(_)) => applied.written.push(planned.repository),
            Err(stop) => {
                let because = stop.to_string();
                applied.stopped = Some(Stopped { repository: planned.repository, because });
            }
        }
    }
    let found = applied.stopped.is_some();
    Ok(Answer::render(args.format, &applied, |applied| written(|text| write_applied(applied, text)))
        .with_findings(found))
}

fn apply_one(
    opened: &Opened,
    planned: &PlannedPolicy,
    inventory: &patchwave::inventory::Answer,
    options: &LifecycleApply,
) -> Result<Step, Stop> {
    let failed = |fault: patchwave_converge::Fault| Stop::Failed(fault.to_string());
    let known: KnownRepository = opened.wait(opened.care.known_one(&planned.repository)).map_err(failed)?;
    let now = opened.care.now();
    let input = PlanInput {
        hierarchy: opened.care.hierarchy(),
        intent: &Intent::default(),
        inventory: Some(inventory),
        roll_backs: options.roll_backs,
        now,
    };
    let step = may_write(planned, &known, input)?;
    if let Step::Write(text) = &step {
        let change = PolicyChange {
            repository: planned.repository.clone(),
            at: now,
            by: options.by.clone(),
            old: known.stored,
            new: Some(text.clone()),
        };
        opened.wait(opened.care.change_policy(&change)).map_err(failed)?;
    }
    Ok(step)
}

fn write_applied(applied: &Applied, text: &mut String) -> fmt::Result {
    let lists = [
        (&applied.written, "written"),
        (&applied.already, "already so"),
        (&applied.refused, "refused by the plan"),
    ];
    for (repositories, what) in lists {
        for repository in repositories {
            writeln!(text, "{}: {what}", value(repository.as_str()))?;
        }
    }
    if let Some(Stopped { repository, because }) = &applied.stopped {
        writeln!(text, "{}: {} {}", value(repository.as_str()), paint(BAD, "stopped:"), value(because))?;
    }
    for repository in &applied.not_reached {
        writeln!(text, "{}: not reached", value(repository.as_str()))?;
    }
    if !applied.written.is_empty() {
        writeln!(
            text,
            "ECR acts on a policy within 24 hours. To put one back: `patchwave lifecycle undo REPOSITORY`"
        )?;
    }
    Ok(())
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Undone {
    repository: Repository,
    #[serde(rename = "undone")]
    is_done: bool,
    by: String,
}

/// Puts the policy back that was replaced last.
pub(crate) fn undo(args: &Args, options: &LifecycleUndo) -> Result<Answer, BadInput> {
    let opened = Opened::open(args)?;
    let repository = &options.repository;
    let last = opened.read(opened.care.last_change(repository))?;
    let last = last.ok_or_else(|| BadInput::new(format!("Patchwave wrote no policy of {repository}")))?;
    let known = opened.read(opened.care.known_one(repository))?;
    let undo = decide_undo(&last, known.stored.as_deref()).map_err(|_| {
        BadInput::new(format!(
            "the policy of {repository} is not the one that Patchwave wrote; put the old one back by hand"
        ))
    })?;
    let new = match undo {
        Undo::Already => None,
        Undo::Write(text) => Some(Some(text)),
        Undo::Delete => Some(None),
    };
    let mut undone = Undone { repository: repository.clone(), is_done: false, by: options.by.clone() };
    if let Some(new) = new {
        let question =
            format!("Put the policy of {repository} back that {} replaced at {:.0}?", last.by, last.at);
        if agrees(options.yes, &question)? {
            let at = opened.care.now();
            let by = options.by.clone();
            let change = PolicyChange { repository: repository.clone(), at, by, old: known.stored, new };
            opened.read(opened.care.change_policy(&change))?;
            undone.is_done = true;
        }
    }
    Ok(Answer::render(args.format, &undone, |undone| {
        let what = if undone.is_done { "the old policy is back" } else { "its policy stays as it is" };
        format!("{}: {what}\n", undone.repository)
    }))
}
