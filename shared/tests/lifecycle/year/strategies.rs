//! How a repository is cleaned up: by Patchwave, by a public policy, and by a public tool's rule.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::image::Digest;
use patchwave::inventory::Answer;
use patchwave::lifecycle::{
    Intent, LifecyclePolicy, PlanInput, Step, compare, judge, may_write, plan_policies,
};
use patchwave::tags::{KeepInput, KeepMemory, keep_plan};
use patchwave::time::Span;
use serde_json::json;

use super::world::{ENVIRONMENTS, ROLL_BACKS, World, repository};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    Patchwave,
    /// Keeps five of each environment's prefix, and expires the rest after 90 days.
    PublicPolicy,
    /// Deletes what is older than 90 days and not among the newest five, unless the last scan of
    /// each cluster names it by its tag. What could not be scanned is believed as it was.
    UnusedAndOld,
}

/// What a strategy remembers.
#[derive(Default)]
pub(super) struct State {
    memory: KeepMemory,
}

impl Strategy {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Patchwave => "Patchwave",
            Self::PublicPolicy => "public policy",
            Self::UnusedAndOld => "unused and old",
        }
    }

    pub(super) fn act(self, world: &mut World, state: &mut State, inventory: &Answer) {
        match self {
            Self::Patchwave => {
                keep(world, state, inventory);
                if world.day.is_multiple_of(7) {
                    write(world, inventory);
                }
            }
            Self::PublicPolicy => {
                world.stored.get_or_insert_with(public_policy);
            }
            Self::UnusedAndOld => delete_unused(world, inventory),
        }
    }
}

/// Sets and removes keep tags, as `patchwave tags keep` does.
fn keep(world: &mut World, state: &mut State, inventory: &Answer) {
    let plan = keep_plan(KeepInput {
        listing: &world.listing,
        inventory,
        memory: &state.memory,
        deployments: ROLL_BACKS,
        now: world.now,
    });
    for (tag, digest) in &plan.set {
        world.set_tag(digest, tag);
    }
    for removal in &plan.remove {
        if let Some(instead) = &removal.instead {
            world.set_tag(&removal.digest, instead);
        }
        world.untag(&removal.digest, &removal.tag);
    }
    state.memory = plan.memory;
}

/// Plans, previews and writes the policy, as the three verbs do.
fn write(world: &mut World, inventory: &Answer) {
    let intent = Intent::default();
    let hierarchy = world.hierarchy.clone();
    let input = PlanInput {
        hierarchy: &hierarchy,
        intent: &intent,
        inventory: Some(inventory),
        roll_backs: 1,
        now: world.now,
    };
    let known = world.known();
    let repositories = BTreeMap::from([(repository(), Ok(known.clone()))]);
    let mut plan = plan_policies(input, &repositories);
    let planned = plan.policies.first_mut().unwrap();
    let Some(text) = planned.text.clone() else { return };
    let policy = LifecyclePolicy::parse(&text).unwrap();
    let ecr = judge(&policy, &world.listing.images, world.reading, world.now);
    planned.preview = Some(compare(&text, &policy, &world.listing, &ecr, world.now));
    if let Ok(Step::Write(text)) = may_write(planned, &known, input) {
        world.stored = Some(text);
    }
}

/// What ECR does by the stored policy, once a day.
pub(super) fn expire(world: &mut World) {
    let Some(text) = &world.stored else { return };
    let policy = LifecyclePolicy::parse(text).unwrap();
    let going = judge(&policy, &world.listing.images, world.reading, world.now);
    let going: BTreeSet<Digest> = going.into_keys().collect();
    world.delete(&going, "its policy");
}

fn public_policy() -> String {
    let keep = |(priority, name): (usize, &str)| {
        json!({"rulePriority": priority, "description": "keep five", "action": {"type": "expire"},
            "selection": {"tagStatus": "tagged", "tagPrefixList": [format!("{name}-")], "countType": "imageCountMoreThan", "countNumber": 5}})
    };
    let mut rules: Vec<_> = (1..).zip(ENVIRONMENTS).map(keep).collect();
    rules.push(json!({"rulePriority": 9, "description": "expire the rest", "action": {"type": "expire"},
        "selection": {"tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 90}}));
    json!({ "rules": rules }).to_string()
}

fn delete_unused(world: &mut World, inventory: &Answer) {
    let old = Span::days(90).before(world.now);
    let named: BTreeSet<&str> = inventory
        .running
        .iter()
        .chain(&inventory.referenced)
        .filter_map(|row| row.entry.asked.rsplit(':').next())
        .collect();
    let mut newest: Vec<_> = world.listing.images.iter().filter(|(_, image)| !image.is_part).collect();
    newest.sort_by_key(|(_, image)| std::cmp::Reverse(image.pushed_at));
    let spared: BTreeSet<Digest> = newest
        .iter()
        .enumerate()
        .filter(|(rank, (_, image))| *rank < 5 || image.tags.iter().any(|tag| named.contains(tag.as_str())))
        .flat_map(|(_, (digest, image))| image.children.iter().chain([*digest]))
        .cloned()
        .collect();
    let is_old = |(digest, image): &(&Digest, &patchwave::lifecycle::RepositoryImage)| {
        image.pushed_at < old && !spared.contains(*digest)
    };
    let going = world.listing.images.iter().filter(is_old).map(|(digest, _)| digest.clone()).collect();
    world.delete(&going, "the tool");
}
