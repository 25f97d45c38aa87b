//! Gathers the facts of one page: of the images that it names, of all that these depend on, and of
//! what shows which of them must act.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{Deployments, Execution, ExecutionState, Facts};
use patchwave::hierarchy::{Direction, Hierarchy};
use patchwave::image::ImageId;
use patchwave::record::Claim;
use patchwave::time::Timestamp;

use crate::agenda::Page;
use crate::observe::{add_departed, observe_with};
use crate::scans::Detail;
use crate::scope::with_ancestors;
use crate::world::{Fault, Records, World};

/// Observes what a page names, with a page of the children of each image that is walked over: at
/// most `most` images, besides their ancestors. `deployments` is what the ledger says of all
/// images, if it was read already.
pub(crate) async fn observe_page<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    page: Page,
    most: usize,
    deployments: Option<&BTreeMap<ImageId, Deployments>>,
    detail: Detail,
) -> Result<Facts, Fault> {
    let mut records = Records::default();
    let Page { named, told, scheduled, slots, is_first } = page;
    let mut seeds: BTreeSet<ImageId> = named.union(&scheduled).cloned().collect();
    add(world, &mut records, &seeds).await?;
    let now = world.now();
    let counts = |id: &ImageId| named.contains(id) || is_scheduled(&records, id, now);
    seeds.retain(counts);
    let left = left_to_builds(world, hierarchy, &mut records, &told, now).await?;
    seeds.retain(|id| !left.contains(id));
    let rolled = children(hierarchy, &records, &seeds, most.saturating_sub(seeds.len()));
    seeds.extend(rolled.values().flat_map(|walk| walk.children.iter().cloned()));
    let decided = with_ancestors(hierarchy, &seeds);
    add(world, &mut records, &decided).await?;

    let carriers = decided.iter().filter_map(|id| records.read.get(id)).flat_map(|record| &record.carriers);
    let carriers = with_ancestors(hierarchy, carriers);
    let all: BTreeSet<ImageId> = decided.union(&carriers).cloned().collect();
    add(world, &mut records, &all).await?;
    records.read.retain(|id, _| all.contains(id));
    records.unreadable.retain(|id, _| all.contains(id));
    let mut facts = observe_with(world, hierarchy, &all, records, slots, deployments, detail).await?;
    if is_first {
        add_departed(world, hierarchy, &mut facts).await?;
    }
    let carriers = carriers.difference(&decided).cloned().collect();
    let rolled = rolled.into_iter().map(|(id, walk)| (id, walk.last)).collect();
    Ok(Facts { carriers, rolled, ..facts })
}

/// Reads the records of those images that were not read yet.
async fn add<W: World>(world: &W, records: &mut Records, images: &BTreeSet<ImageId>) -> Result<(), Fault> {
    let is_new = |id: &&ImageId| !records.read.contains_key(*id) && !records.unreadable.contains_key(*id);
    let wanted: BTreeSet<ImageId> = images.iter().filter(is_new).cloned().collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let Records { read, unreadable } = world.records(&wanted).await?;
    records.read.extend(read);
    records.unreadable.extend(unreadable);
    Ok(())
}

/// Returns those images of which an event tells nothing that a pass can act on: their builds run,
/// or they wait for one that does. Nothing starts, and nothing is proved, before such a build ends.
async fn left_to_builds<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    records: &mut Records,
    told: &BTreeSet<ImageId>,
    now: Timestamp,
) -> Result<BTreeSet<ImageId>, Fault> {
    let above = with_ancestors(hierarchy, told.iter().filter(|id| waits(records, id, now)));
    add(world, records, &above).await?;
    let may_run: BTreeSet<ImageId> = told.union(&above).cloned().collect();
    let claims = running(hierarchy, records, &may_run, now);
    if claims.is_empty() {
        return Ok(BTreeSet::new());
    }
    let runs = |execution: &Execution| {
        matches!(execution, Execution::Found { state: ExecutionState::InProgress, .. })
    };
    let executions = world.executions(&claims).await.into_iter();
    let builds: BTreeSet<ImageId> =
        executions.filter(|(_, execution)| runs(execution)).map(|(id, _)| id).collect();
    let is_left = |id: &&ImageId| builds.contains(*id) || waits_for(hierarchy, records, id, &builds, now);
    Ok(told.iter().filter(is_left).cloned().collect())
}

/// Whether an image waits, and not for a slot. The schedule has a time for it.
fn waits(records: &Records, id: &ImageId, now: Timestamp) -> bool {
    records.read.get(id).is_some_and(|record| {
        let is_scheduled = record.recheck_at.is_some_and(|at| at > now);
        let has_begun = record.claim.is_some() || record.ready.is_some() || record.rolling.is_some();
        record.waiting_since.is_some() && is_scheduled && !has_begun
    })
}

/// Whether an image waits for one of these builds: one that began to move no later than the wait.
/// A pass looks at the image when that build ends.
fn waits_for(
    hierarchy: &Hierarchy,
    records: &Records,
    id: &ImageId,
    builds: &BTreeSet<ImageId>,
    now: Timestamp,
) -> bool {
    let Some(since) = records.read.get(id).and_then(|record| record.waiting_since) else { return false };
    let moves = |ancestor: &ImageId| {
        let moving = records.read.get(ancestor).and_then(|record| record.moving_since);
        builds.contains(ancestor) && moving.is_some_and(|moving| moving <= since)
    };
    waits(records, id, now)
        && hierarchy
            .query([id], Direction::Ancestors)
            .is_ok_and(|above| !above.all(|image| !moves(&image.id)))
}

/// Returns the claims of those images whose builds may run and are not overdue. The end of such a
/// build is an event of its own, and the schedule has a time for the case that it is lost.
fn running<'r>(
    hierarchy: &Hierarchy,
    records: &'r Records,
    images: &'r BTreeSet<ImageId>,
    now: Timestamp,
) -> BTreeMap<&'r ImageId, &'r Claim> {
    let runs = |id: &'r ImageId| {
        let (image, record) = (hierarchy.image(id).ok()?, records.read.get(id)?);
        let claim = record.claim.as_ref().filter(|claim| claim.is_confirmed())?;
        let is_in_time = image.policy.max_build_time.after(claim.claimed_at) > now;
        let is_scheduled = record.recheck_at.is_some_and(|at| at > now);
        (is_in_time && is_scheduled && record.rolling.is_none()).then_some((id, claim))
    };
    images.iter().filter_map(runs).collect()
}

/// Whether a record says that its image is due or in a queue. One that cannot be read is looked at,
/// so that the report names it.
fn is_scheduled(records: &Records, id: &ImageId, now: Timestamp) -> bool {
    let is_scheduled = |record: &patchwave::record::Record| record.is_due(now) || record.ready.is_some();
    records.read.get(id).map_or_else(|| records.unreadable.contains_key(id), is_scheduled)
}

/// A page of an image's children.
struct Walk {
    children: Vec<ImageId>,
    /// The last of them; nothing if no more follow.
    last: Option<ImageId>,
}

/// Returns the next children of the images that are walked over, `room` of them together, and at
/// least one of each.
fn children(
    hierarchy: &Hierarchy,
    records: &Records,
    images: &BTreeSet<ImageId>,
    room: usize,
) -> BTreeMap<ImageId, Walk> {
    let rolling = |id: &ImageId| Some((id.clone(), records.read.get(id)?.rolling.clone()?));
    let walked: Vec<_> = images.iter().filter_map(rolling).collect();
    let each = (room / walked.len().max(1)).max(1);
    let walk = |(id, rolling): (ImageId, patchwave::record::Rolling)| {
        let children: BTreeSet<&ImageId> = hierarchy.children(&id).map(|child| &child.image.id).collect();
        let mut left =
            children.into_iter().filter(|child| rolling.after.as_ref().is_none_or(|after| *child > after));
        let children: Vec<ImageId> = left.by_ref().take(each).cloned().collect();
        let last = left.next().and_then(|_| children.last().cloned());
        (id, Walk { children, last })
    };
    walked.into_iter().map(walk).collect()
}

#[cfg(test)]
mod tests {
    use patchwave::record::Record;
    use serde_json::{Value, json};

    use super::*;

    const HIERARCHY: &str = "\
version: 1
registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com
images:
  - { id: os, tier: base, repository: base/os, tags: [\"1\"], from: \"docker.io/a/b:1\", pipeline: os }
  - { id: web, tier: application, repository: apps/web, tags: [\"1\"], from: os, pipeline: web }
";

    fn at(time: &str) -> Timestamp {
        format!("2026-01-01T{time}:00Z").parse().unwrap()
    }

    /// A record with a confirmed claim of noon, changed by `changes`.
    fn claimed(changes: &Value) -> Record {
        let start = json!({
            "image": "os", "pipeline": "os", "key": "0011", "attempt": 1, "variables": {}, "reasons": [],
            "since": at("12:00"), "parents": {}, "toProve": [], "inputs": "", "noCache": true,
            "due": at("12:00"),
        });
        let (claimed, until) = (at("12:00"), at("12:16"));
        let claim = json!({
            "owner": "o", "claimedAt": claimed, "leaseUntil": until, "start": start, "execution": "e",
        });
        let mut record = json!({ "fence": 1, "recheckAt": at("12:30"), "claim": claim });
        for (key, value) in changes.as_object().unwrap() {
            record[key] = value.clone();
        }
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn an_event_tells_nothing_about_a_build_that_runs_and_that_the_schedule_knows() {
        let hierarchy = Hierarchy::parse("h.yaml", HIERARCHY).map_err(|errors| errors.to_string()).unwrap();
        let told = BTreeSet::from(["os".parse().unwrap()]);
        let may_be_left = |record: Record, now: &str| {
            let records = Records::from(BTreeMap::from([("os".parse().unwrap(), record)]));
            !running(&hierarchy, &records, &told, at(now)).is_empty()
        };
        assert!(may_be_left(claimed(&json!({})), "12:10"));
        assert!(!may_be_left(claimed(&json!({})), "12:30"), "it is due");
        assert!(!may_be_left(claimed(&json!({ "recheckAt": null })), "12:10"), "no time is known");
        assert!(!may_be_left(claimed(&json!({ "claim": null })), "12:10"), "nothing runs");
        let late = json!({ "recheckAt": "2026-01-02T12:00:00Z" });
        assert!(!may_be_left(claimed(&late), "23:59"), "the build is overdue");
        let walked = json!({ "rolling": { "since": at("11:00") } });
        assert!(!may_be_left(claimed(&walked), "12:10"), "its children are walked over");
        let mut unconfirmed = claimed(&json!({}));
        unconfirmed.claim.as_mut().unwrap().execution = None;
        assert!(!may_be_left(unconfirmed, "12:10"), "whether it runs is not known");
    }

    #[test]
    fn an_image_that_waits_for_a_build_is_left_until_the_build_ends() {
        let hierarchy = Hierarchy::parse("h.yaml", HIERARCHY).map_err(|errors| errors.to_string()).unwrap();
        let is_left = |moving: &str, builds: &[&str], web: &Value| {
            let os = claimed(&json!({ "movingSince": at(moving) }));
            let web: Record = serde_json::from_value(web.clone()).unwrap();
            let records = [("os", os), ("web", web)].map(|(id, record)| (id.parse().unwrap(), record));
            let builds = builds.iter().map(|id| id.parse().unwrap()).collect();
            waits_for(
                &hierarchy,
                &Records::from(BTreeMap::from(records)),
                &"web".parse().unwrap(),
                &builds,
                at("12:10"),
            )
        };
        let waits = json!({ "fence": 1, "waitingSince": at("12:05"), "recheckAt": at("13:00") });
        assert!(is_left("12:00", &["os"], &waits));
        assert!(!is_left("12:00", &[], &waits), "the build has ended");
        assert!(!is_left("12:06", &["os"], &waits), "it waited before: the build does not hold it");
        let with = |key: &str, value: Value| {
            let mut changed = waits.clone();
            changed[key] = value;
            changed
        };
        assert!(!is_left("12:00", &["os"], &with("waitingSince", Value::Null)), "it does not wait");
        assert!(!is_left("12:00", &["os"], &with("recheckAt", json!(at("12:10")))), "it is due");
        let ready = json!({ "due": at("12:00"), "chain": 1 });
        assert!(!is_left("12:00", &["os"], &with("ready", ready)), "it waits for a slot");
    }
}
