//! Decides the notices about what is rebuilt and not deployed: one for each owner.
//!
//! Every release leaves older versions running for a while, and that alone is no notice. A notice
//! opens if Patchwave built the newer version, or if that lacks a finding of the running one. It
//! closes when no container runs a replaced version any more. What could not be read closes none.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::Catalog;
use super::deploying::{Step, step};
use super::resolve::Resolution;
use super::state::{Assessment, Entry, EntryKey, Inventory, Open, Standing};
use crate::facts::Version;
use crate::finding::FindingKey;
use crate::hierarchy::{Hierarchy, Image};
use crate::image::ImageId;
use crate::notice::{Asked, MOST_WORKLOADS, Notice, Notified, Now, OwnersNotified, RootCause, Undeployed};
use crate::time::{Span, Timestamp};

/// How long after its push a version may be on its way: nobody is notified of it.
const ROLLS_OUT: Span = Span::hours(1);
/// How many bytes the workloads of a notice have at most. An item of the table has room for 400 kB,
/// and an event for 256 kB.
const MOST_BYTES: usize = 120_000;

/// What an inventory is compared with.
#[derive(Debug, Clone, Copy)]
pub struct NewVersions<'l> {
    pub hierarchy: &'l Hierarchy,
    pub catalog: &'l Catalog<'l>,
    pub now: Timestamp,
}

struct Row<'i> {
    asks: Undeployed,
    since: Timestamp,
    findings: Vec<&'i Open>,
}

impl NewVersions<'_> {
    /// Returns the notices that are recorded from now on, given those that were recorded before.
    pub fn notified(&self, before: &OwnersNotified, inventory: &Inventory) -> OwnersNotified {
        let owned = self.owned(before, inventory);
        let owners: BTreeSet<&Option<String>> = before.keys().chain(owned.keys()).collect();
        let next = |owner: &Option<String>| {
            let now = decide(owned.get(owner).map(Vec::as_slice).unwrap_or_default());
            Some((owner.clone(), Notified::after(before.get(owner), now)?))
        };
        owners.into_iter().filter_map(next).collect()
    }

    /// Returns the workloads of each owner that are known to run a replaced version, and those of
    /// an open notice of which nothing is known now: they keep their places in it.
    fn owned<'i>(
        &self,
        before: &OwnersNotified,
        inventory: &'i Inventory,
    ) -> BTreeMap<Option<String>, Vec<Row<'i>>> {
        let mut all: BTreeMap<Option<String>, Vec<Row<'_>>> = BTreeMap::new();
        for (key, entry) in inventory.entries.iter().filter(|(_, entry)| entry.runs) {
            let told = told(before, key, entry);
            let asks = told.first().map(|(_, asks)| *asks);
            let image = entry.known().and_then(|(id, _)| self.hierarchy.image(&id).ok());
            let row = image.ok_or(Unclear).and_then(|image| {
                let owner = image.owner.as_ref().map(|owner| owner.name.clone());
                Ok((owner, self.row(inventory, key, entry, image, asks)?))
            });
            match row {
                Ok((owner, row)) => all.entry(owner).or_default().extend(row),
                Err(Unclear) if self.is_unknown(entry) => {
                    for (owner, asks) in told {
                        let row = self.kept(inventory, entry, asks);
                        all.entry(owner.clone()).or_default().push(row);
                    }
                }
                Err(Unclear) => {}
            }
        }
        all
    }

    /// Returns whether an entry may run what an open notice names: its registry did not answer, or
    /// the part of the file that has its image does not load, or its line is not known.
    fn is_unknown(&self, entry: &Entry) -> bool {
        match entry.known() {
            Some((id, _)) => self.hierarchy.image(&id).is_ok() || !self.hierarchy.unread_parts().is_empty(),
            None => matches!(entry.resolution, Resolution::Unread { .. }),
        }
    }

    fn kept<'i>(&self, inventory: &'i Inventory, entry: &'i Entry, asks: &Undeployed) -> Row<'i> {
        let findings = counting(inventory, entry).map(|(_, open)| open).collect();
        Row { asks: asks.clone(), since: self.now, findings }
    }

    /// Returns what a workload is asked to deploy; nothing if no notice is about it. `told` is what
    /// an open notice asks already.
    fn row<'i>(
        &self,
        inventory: &'i Inventory,
        key: &EntryKey,
        entry: &'i Entry,
        image: &Image,
        told: Option<&Undeployed>,
    ) -> Result<Option<Row<'i>>, Unclear> {
        let assessment = entry.known().and_then(|known| inventory.versions.get(&known)).ok_or(Unclear)?;
        let current = match &assessment.standing {
            Standing::Current => return Ok(None),
            Standing::Unknown { .. } => return Err(Unclear),
            Standing::Behind { current } => current,
        };
        let new = self.catalog.version(&image.repository, current).ok_or(Unclear)?;
        let findings: Vec<_> = counting(inventory, entry).collect();
        let is_fixed = findings.iter().any(|(finding, _)| new.lacks(finding));
        let is_rebuilt = is_fixed || self.catalog.is_built(&image.id, &new.digest);
        let has_time = ROLLS_OUT.after(new.pushed_at) > self.now;
        if told.is_none() && (!is_rebuilt || has_time) {
            return Ok(None);
        }
        let asks = asks(key, entry, image, assessment, new);
        let findings = findings.into_iter().map(|(_, open)| open).collect();
        Ok(Some(Row { asks, since: new.pushed_at.max(entry.since), findings }))
    }
}

fn decide(rows: &[Row<'_>]) -> Now {
    let Some(since) = rows.iter().map(|row| row.since).min() else { return Now::Gone };
    let findings = || rows.iter().flat_map(|row| &row.findings);
    let (workloads, left_out) = listed(rows);
    let mut needs = BTreeSet::from(["deploy what is rebuilt: these workloads run replaced versions".into()]);
    if left_out > 0 {
        needs.insert(format!("{left_out} more workloads run one: `patchwave inventory` lists them"));
    }
    let severity = findings().map(|open| open.severity).max();
    Now::Present(
        Asked { severity, exploited: findings().any(|open| open.exploited), needs, workloads },
        since,
    )
}

/// It is not known whether a newer version replaced what a workload runs.
struct Unclear;

/// Returns the findings that policy counts on what an entry can run.
fn counting<'i>(
    inventory: &'i Inventory,
    entry: &'i Entry,
) -> impl Iterator<Item = (&'i FindingKey, &'i Open)> {
    let assessment = entry.known().and_then(|known| inventory.versions.get(&known)).into_iter();
    assessment.flat_map(|assessment| assessment.findings_of(entry)).filter(|(_, open)| open.counts)
}

/// Returns the rows of open notices that may be about an entry, and whose notices these are. If it
/// is not known what the entry runs, they are all rows about its workload.
fn told<'b>(
    before: &'b OwnersNotified,
    key: &EntryKey,
    entry: &Entry,
) -> Vec<(&'b Option<String>, &'b Undeployed)> {
    let known = entry.known();
    let is_it = |asks: &&Undeployed| {
        let runs = known.as_ref().is_none_or(|(image, version)| asks.image == *image && asks.old == *version);
        asks.place == key.place && asks.workload == entry.workload && runs
    };
    let open = before.iter().filter(|(_, notified)| !notified.closed);
    open.flat_map(|(owner, notified)| {
        notified.asked.workloads.iter().filter(is_it).map(move |asks| (owner, asks))
    })
    .collect()
}

fn asks(key: &EntryKey, entry: &Entry, image: &Image, assessment: &Assessment, new: &Version) -> Undeployed {
    let Step { edit, command, mut notes } = step(entry, image, new);
    if assessment.revision.is_some() && assessment.revision != new.revision {
        notes.push(
            "the new version is built from another commit: it also brings what was changed since".into(),
        );
    }
    Undeployed {
        place: key.place.clone(),
        environment: entry.place.environment.clone(),
        workload: entry.workload.clone(),
        image: image.id.clone(),
        old: assessment.version.clone(),
        new: new.digest.clone(),
        edit,
        command,
        notes,
    }
}

/// Returns the workloads that a notice has room for, the worst findings first, and how many it has
/// none for.
fn listed(rows: &[Row<'_>]) -> (BTreeSet<Undeployed>, usize) {
    let mut rows: Vec<&Row<'_>> = rows.iter().collect();
    let worst = |row: &Row<'_>| row.findings.iter().map(|open| (open.exploited, open.severity)).max();
    rows.sort_by(|a, b| worst(b).cmp(&worst(a)).then_with(|| a.asks.cmp(&b.asks)));
    let mut bytes = 0;
    let fits = |row: &&&Row<'_>| {
        bytes += row.asks.bytes();
        bytes <= MOST_BYTES
    };
    let listed: Vec<&&Row<'_>> = rows.iter().take(MOST_WORKLOADS).take_while(fits).collect();
    let left_out = rows.len() - listed.len();
    (listed.into_iter().map(|row| row.asks.clone()).collect(), left_out)
}

/// Returns the notices that are not sent yet, with whose they are.
pub fn unsent(hierarchy: &Hierarchy, notified: &OwnersNotified) -> Vec<(Option<String>, Notice)> {
    let unsent = notified.iter().filter(|(_, notified)| !notified.sent);
    unsent.map(|(owner, notified)| (owner.clone(), notice(hierarchy, owner.as_deref(), notified))).collect()
}

fn notice(hierarchy: &Hierarchy, owner: Option<&str>, notified: &Notified) -> Notice {
    let owners = hierarchy.images().filter_map(|image| image.owner.as_ref());
    let named = owner.and_then(|name| owners.into_iter().find(|owner| owner.name == name));
    let images: BTreeSet<&ImageId> = notified.asked.workloads.iter().map(|asks| &asks.image).collect();
    Notice {
        id: Notice::id(owner.unwrap_or("no owner"), RootCause::RebuiltNotDeployed, notified.since),
        revision: notified.revision,
        state: notified.state(),
        root_cause: RootCause::RebuiltNotDeployed,
        image: None,
        tier: None,
        owner: owner.map(str::to_owned),
        notify: named.and_then(|owner| owner.notify.clone()),
        since: notified.since,
        asked: notified.asked.clone(),
        findings: Vec::new(),
        finding_count: 0,
        predicted: None,
        affected_images: images.len(),
    }
}
