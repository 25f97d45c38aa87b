//! `lifecycle plan`: which policy each repository is to have, and what would go by it.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use patchwave::hierarchy::Hierarchy;
use patchwave::image::Repository;
use patchwave::inventory;
use patchwave::lifecycle::{
    Amount, Intent, KnownRepository, Listing, PlanInput, PlannedPolicy, PolicyPlan, plan_policies,
};
use patchwave::time::Timestamp;
use serde::Deserialize;

use crate::args::{Args, LifecyclePlan};
use crate::care;
use crate::input::{self, BadInput};
use crate::output::Answer;
use crate::render::{BAD, CAREFUL, FAINT, GOOD, NAME, column, count, paint, some, value, written};

/// How many of the images that go, and of the reasons, the text names; JSON lists all.
const SHOWN: usize = 5;

/// What a plan is made from.
pub(crate) struct Known {
    pub(crate) hierarchy: Hierarchy,
    pub(crate) repositories: BTreeMap<Repository, Result<KnownRepository, String>>,
    pub(crate) running: Option<inventory::Answer>,
    pub(crate) now: Timestamp,
}

pub(crate) fn run(args: &Args, options: &LifecyclePlan) -> Result<Answer, BadInput> {
    let known = if options.images.is_empty() { care::known(args)? } else { from_files(args, options)? };
    let intent = Intent { untagged: options.untagged, keep: options.keep, catch_all: options.catch_all };
    let input = PlanInput {
        hierarchy: &known.hierarchy,
        intent: &intent,
        inventory: known.running.as_ref(),
        roll_backs: options.roll_backs,
        now: options.at.unwrap_or(known.now),
    };
    let plan = plan_policies(input, &known.repositories);
    let found = plan.policies.iter().any(|planned| !planned.refused.is_empty());
    Ok(Answer::render(args.format, &plan, text).with_findings(found))
}

/// What `aws ecr get-lifecycle-policy` prints.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    registry_id: String,
    repository_name: Repository,
    lifecycle_policy_text: String,
}

fn from_files(args: &Args, options: &LifecyclePlan) -> Result<Known, BadInput> {
    let hierarchy = input::hierarchy(args)?;
    let mut stored = BTreeMap::new();
    for file in &options.stored {
        let policy: Stored = input::json(file, "what `aws ecr get-lifecycle-policy` prints")?;
        stored.insert((policy.registry_id, policy.repository_name), policy.lifecycle_policy_text);
    }
    let mut repositories = BTreeMap::new();
    for file in &options.images {
        let name = input::name(file);
        let wrong = |problem: &str| BadInput::new(format!("{name}: {problem}"));
        let listing = Listing::parse(&input::text(file)?).map_err(|problem| wrong(&problem))?;
        let of = listing.of.clone().ok_or_else(|| wrong("it lists no image"))?;
        let stored = stored.remove(&of);
        let repository = own(&hierarchy, &of);
        let known = KnownRepository { listing, stored, replicas: [].into() };
        repositories.insert(repository, Ok(known));
    }
    let running = options
        .running
        .as_deref()
        .map(|file| input::json(file, "what `patchwave inventory --format json` prints"))
        .transpose()?;
    Ok(Known { hierarchy, repositories, running, now: super::now() })
}

/// Returns a repository of an account as images have it.
pub(crate) fn own(hierarchy: &Hierarchy, (account, name): &(String, Repository)) -> Repository {
    let registries = hierarchy.registries();
    let home = registries.home();
    let other = registries.iter().find(|registry| registry.host.account() == account.as_str());
    match other.filter(|registry| registry.host != *home) {
        Some(registry) => format!("{}/{name}", registry.host).parse().unwrap_or_else(|_| name.clone()),
        None => name.clone(),
    }
}

fn text(plan: &PolicyPlan) -> String {
    written(|text| write(plan, text))
}

fn write(plan: &PolicyPlan, text: &mut String) -> fmt::Result {
    let (mut before, mut after) = (Amount::default(), Amount::default());
    for planned in &plan.policies {
        write_policy(planned, text)?;
        let kept = if planned.refused.is_empty() { planned.after } else { planned.before };
        (before, after) = (before.plus(planned.before), after.plus(kept));
    }
    writeln!(text, "now    {}", amount(before))?;
    writeln!(text, "after  {}", amount(after))?;
    writeln!(text, "{}", paint(FAINT, "Nothing was written. Next: `patchwave lifecycle preview`"))
}

fn write_policy(planned: &PlannedPolicy, text: &mut String) -> fmt::Result {
    let going = planned.going.len();
    let name = paint(NAME, value(planned.repository.as_str()));
    writeln!(text, "{name}: {going} of {} would be deleted", count(images(planned), "image"))?;
    for leaving in planned.going.iter().take(SHOWN) {
        let tags = if leaving.tags.is_empty() { "untagged".to_owned() } else { some(leaving.tags.iter(), 3) };
        let rule = paint(FAINT, format!("by rule {}", leaving.rule));
        writeln!(text, "  {} {} {rule}", leaving.digest.short(), column(&tags, 30))?;
    }
    if going > SHOWN {
        writeln!(text, "  … and {} more", going - SHOWN)?;
    }
    for note in &planned.notes {
        writeln!(text, "  {} {}", paint(FAINT, "note"), value(note))?;
    }
    for because in planned.refused.iter().take(SHOWN) {
        writeln!(text, "  {} {}", paint(BAD, "refused"), value(because))?;
    }
    if planned.refused.len() > SHOWN {
        writeln!(text, "  … and {} more reasons", planned.refused.len() - SHOWN)?;
    }
    if planned.refused.is_empty() && planned.stored.is_none() {
        writeln!(text, "  {}", paint(CAREFUL, "it has no policy now"))?;
    } else if planned.refused.is_empty() {
        writeln!(text, "  {}", paint(GOOD, "its policy would be replaced, if it differs"))?;
    }
    Ok(())
}

fn images(planned: &PlannedPolicy) -> usize {
    usize::try_from(planned.before.images).unwrap_or(usize::MAX)
}

/// Writes an amount as people say it.
fn amount(of: Amount) -> String {
    let gigabytes = of.bytes / 1_000_000_000;
    let (usd, cents) = (of.price / 10_000, of.price / 100 % 100);
    format!(
        "{}, {gigabytes} GB at most, {}, {usd}.{cents:02} USD a month at most",
        count(usize::try_from(of.images).unwrap_or(usize::MAX), "image"),
        count(usize::try_from(of.findings).unwrap_or(usize::MAX), "finding")
    )
}
