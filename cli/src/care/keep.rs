//! `tags keep`: sets and removes keep tags.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use patchwave::image::Repository;
use patchwave::lifecycle::keeps_tags;
use patchwave::tags::{KeepInput, KeepPlan, keep_plan};
use serde::Serialize;

use super::with_aws::Opened;
use crate::args::{Args, TagsKeep};
use crate::confirm::agrees;
use crate::input::BadInput;
use crate::output::Answer;
use crate::progress;
use crate::render::{BAD, CAREFUL, FAINT, NAME, count, paint, value, written};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    done: bool,
    repositories: BTreeMap<Repository, KeepPlan>,
    /// What failed, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    failed: BTreeMap<Repository, String>,
}

/// Sets a keep tag on what runs, would run or ran last, and removes those that ended.
pub(crate) fn keep(args: &Args, options: &TagsKeep) -> Result<Answer, BadInput> {
    let opened = Opened::open(args)?;
    let inventory = opened.read(opened.care.inventory())?;
    let keeps = |repository: &Repository| keeps_tags(opened.care.hierarchy(), repository);
    let mut kept = Kept { done: false, repositories: BTreeMap::new(), failed: BTreeMap::new() };
    for repository in opened.repositories().into_iter().filter(keeps) {
        progress::show(&format!("reading {repository}"));
        let read = async {
            let listing = opened.care.listing(&repository).await?;
            Ok::<_, patchwave_converge::Fault>((listing, opened.care.keep_memory(&repository).await?))
        };
        match opened.wait(read) {
            Ok((listing, memory)) => {
                let deployments = options.deployments;
                let (listing, memory, now) = (&listing, &memory, opened.care.now());
                let input = KeepInput { listing, inventory: &inventory, memory, deployments, now };
                kept.repositories.insert(repository, keep_plan(input));
            }
            Err(fault) => drop(kept.failed.insert(repository, fault.to_string())),
        }
    }
    progress::show("");
    if kept.repositories.is_empty() && kept.failed.is_empty() {
        return Err(BadInput::new("no registry of the hierarchy file says `keepTags: true`"));
    }
    let set: usize = kept.repositories.values().map(|plan| plan.set.len()).sum();
    let removed: usize = kept.repositories.values().map(|plan| plan.remove.len()).sum();
    let question = format!("Set {} and remove {}?", count(set, "keep tag"), count(removed, "keep tag"));
    kept.done = agrees(options.yes, &question)?;
    if kept.done {
        for (repository, plan) in &kept.repositories {
            progress::show(&format!("tagging {repository}"));
            if let Err(fault) = opened.wait(opened.care.keep(repository, plan)) {
                kept.failed.insert(repository.clone(), fault.to_string());
            }
        }
        progress::show("");
    }
    let found = !kept.failed.is_empty() || kept.repositories.values().any(|plan| !plan.stays.is_empty());
    Ok(Answer::render(args.format, &kept, |kept| written(|text| write(kept, text))).with_findings(found))
}

fn write(kept: &Kept, text: &mut String) -> fmt::Result {
    for (repository, plan) in &kept.repositories {
        let name = paint(NAME, value(repository.as_str()));
        writeln!(text, "{name}: {} set, {} removed", plan.set.len(), plan.remove.len())?;
        for because in &plan.stays {
            writeln!(text, "  {} {}", paint(CAREFUL, "stays"), value(because))?;
        }
    }
    for (repository, because) in &kept.failed {
        writeln!(text, "{}: {} {}", value(repository.as_str()), paint(BAD, "failed"), value(because))?;
    }
    if kept.done { Ok(()) } else { writeln!(text, "{}", paint(FAINT, "Nothing was written.")) }
}
