//! Answers what runs where, whether it is patched, since when, and what is not known.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::named::NoDigest;
use super::resolve::Resolution;
use super::state::{Assessment, Entry, Inventory, Open, PlaceState, Standing};
use super::survey::{ConsumerKind, Place};
use crate::facts::DeployedVersion;
use crate::finding::{FindingKey, Severity};
use crate::hierarchy::Hierarchy;
use crate::image::ImageId;
use crate::time::{Span, Timestamp};

/// Limits an answer. An empty question asks for everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// Rows about which something is not known pass too, because they may have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vulnerability: Option<String>,
}

/// A finding as a row shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    pub finding: FindingKey,
    #[serde(flatten)]
    pub open: Open,
}

/// One digest in one workload, with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    #[serde(flatten)]
    pub entry: Entry,
    /// Whether its version is its line's current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// How old its version is, since the build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<Span>,
    /// Whether the age is more than `maxAge`.
    pub stale: bool,
    /// The vulnerability that was asked for, at any severity; else the findings that policy counts.
    pub findings: Vec<Found>,
    /// The worst severity of the findings that policy counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Since when it has run with a finding that policy counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vulnerable_since: Option<Timestamp>,
    /// What is not known about it, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// A place, and when Patchwave last read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceRow {
    pub id: String,
    #[serde(flatten)]
    pub place: Place,
    /// When it was last read completely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
    /// How long ago that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<Span>,
    /// Why the last attempt could not read it completely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// Whether it is unread by design, as the hierarchy says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
}

/// A version that an environment ran, and does not run now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RanRow {
    pub image: ImageId,
    /// An account without an environment is one of its own.
    pub environment: String,
    #[serde(flatten)]
    pub ran: DeployedVersion,
}

/// A service that no survey read, in an account and region where surveys read others; or a kind of
/// objects in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotInspected {
    pub account: String,
    pub region: String,
    pub kind: ConsumerKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The kind of objects in the cluster: the group of a custom resource, or a resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<String>,
}

/// What the inventory answers to a question, in the order of places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// What was asked for; everything, if nothing is named.
    #[serde(default, skip_serializing_if = "Question::is_everything")]
    pub question: Question,
    pub at: Timestamp,
    pub running: Vec<Row>,
    /// What does not run now, but would be started: by a schedule, or a service scaled to zero.
    pub referenced: Vec<Row>,
    /// The places that surveys tried to read.
    pub places: Vec<PlaceRow>,
    pub not_inspected: BTreeSet<NotInspected>,
    /// What environments ran before: a roll-back starts one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ran: Vec<RanRow>,
    /// The average time until no container ran with a finding any more, over the last quarter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_time_to_patched: Option<Span>,
}

impl Row {
    /// Returns whether it has the vulnerability that was asked for. If none was, any finding that
    /// policy counts is enough.
    pub fn is_vulnerable(&self) -> bool {
        !self.findings.is_empty()
    }

    /// Returns whether another version is current on its line.
    pub fn is_behind(&self) -> bool {
        matches!(self.standing, Some(Standing::Behind { .. }))
    }

    /// Returns whether it comes from a registry that the hierarchy does not name, or from the
    /// hierarchy's registry without being declared.
    pub fn is_stranger(&self) -> bool {
        matches!(self.entry.resolution, Resolution::Unapproved { .. } | Resolution::NotInHierarchy { .. })
    }
}

impl Answer {
    /// Returns whether any [row that runs](Row::is_vulnerable) is vulnerable.
    pub fn is_vulnerable(&self) -> bool {
        self.running.iter().any(Row::is_vulnerable)
    }
}

impl Inventory {
    /// Selects what a question asks for, and says what is not known about it.
    pub fn answer(&self, hierarchy: &Hierarchy, question: &Question, now: Timestamp) -> Answer {
        let rows = self.entries.iter().filter_map(|(key, entry)| {
            let row = self.row(hierarchy, &key.place, entry, question, now);
            question.asks_for(&row).then_some(row)
        });
        let (running, referenced) = rows.partition(|row| row.entry.runs);
        let place = |(id, state): (&String, &PlaceState)| PlaceRow {
            id: id.clone(),
            place: state.place.clone(),
            read_at: state.read_at,
            age: state.read_at.map(|read| Span::between(read, now)),
            unread: state.unread.clone(),
            accepted: state.unread.is_some() && is_accepted(hierarchy, &state.place),
        };
        let asked_for = |state: &PlaceState| question.asks_in(&state.place);
        Answer {
            question: question.clone(),
            at: now,
            running,
            referenced,
            places: self.places.iter().filter(|(_, state)| asked_for(state)).map(place).collect(),
            not_inspected: self.not_inspected(hierarchy, question),
            ran: self.ran(question),
            mean_time_to_patched: self.mean_time_to_patched(None),
        }
    }

    /// Returns what ran before. What had a vulnerability then is another question.
    fn ran(&self, question: &Question) -> Vec<RanRow> {
        let rows = self.ran.iter().flat_map(|(image, environments)| {
            let of = |(environment, ran): (&String, &Vec<DeployedVersion>)| {
                let (image, environment) = (image.clone(), environment.clone());
                let row = move |ran: DeployedVersion| RanRow {
                    image: image.clone(),
                    environment: environment.clone(),
                    ran,
                };
                ran.clone().into_iter().map(row)
            };
            environments.iter().flat_map(of)
        });
        let asked_for = |row: &RanRow| {
            question.vulnerability.is_none()
                && question.image.as_ref().is_none_or(|image| *image == row.image)
                && question.environment.as_ref().is_none_or(|environment| *environment == row.environment)
        };
        rows.filter(asked_for).collect()
    }

    fn row(
        &self,
        hierarchy: &Hierarchy,
        place: &str,
        entry: &Entry,
        question: &Question,
        now: Timestamp,
    ) -> Row {
        let assessment = entry.known().and_then(|key| self.versions.get(&key));
        let counting: Vec<&Open> =
            findings(assessment, entry).map(|(_, open)| open).filter(|o| o.counts).collect();
        let age = assessment.map(|assessment| Span::between(assessment.built_at, now));
        let image = entry.resolution.image().and_then(|id| hierarchy.image(id).ok());
        // Asked for a vulnerability, Patchwave cannot say no of what no scanner of it scans.
        let asked = question.vulnerability.as_ref();
        let unscanned = asked.and_then(|_| unscanned(&entry.resolution));
        let stale = age.zip(image).is_some_and(|(age, image)| age > image.policy.max_age);
        Row {
            standing: assessment.map(|assessment| assessment.standing.clone()),
            age,
            stale,
            findings: findings(assessment, entry)
                .filter(|(key, open)| question.asks_about(key, open))
                .map(|(finding, open)| Found { finding: finding.clone(), open: open.clone() })
                .collect(),
            severity: counting.iter().map(|open| open.severity).max(),
            vulnerable_since: counting.iter().map(|open| open.since.max(entry.since)).min(),
            unknown: self.unknown(place, entry, assessment).chain(unscanned).collect(),
            entry: entry.clone(),
        }
    }

    /// Returns what is not known about an entry, and why.
    fn unknown(
        &self,
        place: &str,
        entry: &Entry,
        assessment: Option<&Assessment>,
    ) -> impl Iterator<Item = String> + use<> {
        let mut unknown = Vec::new();
        if let Some(because) = self.unread_because(place) {
            unknown.push(format!("its place was not read, so it is as of {:.0}: {because}", entry.last_seen));
        }
        unknown.extend(because(&entry.resolution));
        unknown.extend(assessment.and_then(|assessment| assessment.unscanned_of(entry)));
        unknown.extend(assessment.and_then(|assessment| assessment.lacks(entry)));
        match assessment.map(|assessment| &assessment.standing) {
            Some(Standing::Unknown { because }) => unknown.push(format!("its line: {because}")),
            None if matches!(entry.resolution, Resolution::Known { .. }) => {
                unknown.push("the registry did not describe its version".to_owned());
            }
            _ => {}
        }
        unknown.into_iter()
    }

    /// Returns the services that no survey read, in accounts and regions where surveys read others,
    /// and the kinds of objects that none read in clusters. Without those that the file accepts.
    fn not_inspected(&self, hierarchy: &Hierarchy, question: &Question) -> BTreeSet<NotInspected> {
        let accepts = |what: &str| hierarchy.inspected().accept.contains(what);
        let places = self.places.values().filter(|state| question.asks_in(&state.place));
        let objects = places.flat_map(|state| {
            let Place { account, region, kind, cluster, .. } = &state.place;
            state.not_inspected.iter().filter(|objects| !accepts(objects)).map(|objects| NotInspected {
                account: account.clone(),
                region: region.clone(),
                kind: *kind,
                cluster: cluster.clone(),
                objects: Some(objects.clone()),
            })
        });

        let mut surveyed: BTreeMap<(&str, &str), BTreeSet<ConsumerKind>> = BTreeMap::new();
        for state in self.places.values().filter(|state| question.asks_in(&state.place)) {
            let Place { account, region, kind, .. } = &state.place;
            surveyed.entry((account, region)).or_default().insert(*kind);
        }
        let missing = |((account, region), kinds): ((&str, &str), BTreeSet<ConsumerKind>)| {
            let (account, region) = (account.to_owned(), region.to_owned());
            let rest = ConsumerKind::ALL.into_iter();
            let rest = rest.filter(move |kind| !kinds.contains(kind) && !accepts(kind.name()));
            rest.map(move |kind| NotInspected {
                account: account.clone(),
                region: region.clone(),
                kind,
                cluster: None,
                objects: None,
            })
        };
        surveyed.into_iter().flat_map(missing).chain(objects).collect()
    }
}

/// Returns whether a place is a cluster that by design cannot be read.
fn is_accepted(hierarchy: &Hierarchy, place: &Place) -> bool {
    place.cluster.as_ref().is_some_and(|name| hierarchy.inspected().accepts_unread(&place.account, name))
}

fn findings<'a>(
    assessment: Option<&'a Assessment>,
    entry: &'a Entry,
) -> impl Iterator<Item = (&'a FindingKey, &'a Open)> {
    assessment.into_iter().flat_map(|assessment| assessment.findings_of(entry))
}

/// Returns why it is not known what runs, or whether it is patched.
fn because(resolution: &Resolution) -> Option<String> {
    match resolution {
        Resolution::Gone { repository, .. } => {
            Some(format!("it is no longer in {repository}, so no scanner can check it"))
        }
        Resolution::Unread { repository, because } => {
            Some(format!("{repository} could not be read: {because}"))
        }
        Resolution::Unresolvable { because, .. } => no_digest(because),
        _ => None,
    }
}

/// Returns why no scan of the hierarchy's registries says what an image has.
fn unscanned(resolution: &Resolution) -> Option<String> {
    let whose = match resolution {
        Resolution::Upstream { repository } => format!("{repository} is upstream's"),
        Resolution::Approved { repository } => format!("{repository} is approved, and others scan it"),
        Resolution::Unapproved { registry } => format!("the hierarchy does not name {registry}"),
        Resolution::NotInHierarchy { repository } => format!("the hierarchy does not declare {repository}"),
        _ => return None,
    };
    Some(format!("no scan that Patchwave reads covers it: {whose}"))
}

fn no_digest(because: &NoDigest) -> Option<String> {
    Some(match because {
        NoDigest::NotReported => "the service does not name a digest".to_owned(),
        NoDigest::OnlyConfiguration => {
            "the service names the image's configuration instead of its manifest".to_owned()
        }
        NoDigest::OnlyTag => "only the tag is known, and it may name another version by now".to_owned(),
        NoDigest::Malformed(what) => format!("{what:?} is not a digest"),
        // AWS updates it with the task, so there is nothing to patch.
        NoDigest::Sidecar => return None,
    })
}

impl Question {
    /// Returns whether it limits nothing.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    fn asks_in(&self, place: &Place) -> bool {
        self.environment.is_none() || self.environment == place.environment
    }

    fn asks_about(&self, key: &FindingKey, open: &Open) -> bool {
        self.vulnerability.as_ref().map_or(open.counts, |asked| **asked == *key.vulnerability)
    }

    fn asks_for(&self, row: &Row) -> bool {
        self.asks_in(&row.entry.place)
            && self.image.as_ref().is_none_or(|image| row.entry.resolution.image() == Some(image))
            && (self.vulnerability.is_none() || row.is_vulnerable() || !row.unknown.is_empty())
    }
}

/// How many digests run, and in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Digests that run, counted once in each workload.
    pub running: usize,
    /// Those with the vulnerability that was asked for, or else with a finding that policy counts.
    pub vulnerable: usize,
    /// Those older than `maxAge`.
    pub stale: usize,
    /// Those that are not their line's current version.
    pub behind: usize,
    /// Those from a registry that the hierarchy does not name, and those that it does not declare.
    pub strangers: usize,
    /// Those about which something is not known.
    pub unknown: usize,
    /// Places that the last attempt could not read completely.
    pub unread_places: usize,
}

impl Answer {
    /// Counts what is not known, without the places that are unread by design, and what runs there
    /// of which nothing else is unknown.
    pub(super) fn unexpected(&self) -> usize {
        let accepted: BTreeSet<&str> =
            self.places.iter().filter(|place| place.accepted).map(|place| place.id.as_str()).collect();
        let places = self.places.iter().filter(|place| place.unread.is_some() && !place.accepted);
        let rows = self.running.iter().filter(|row| {
            let expected = usize::from(accepted.contains(row.entry.place.id().as_str()));
            row.unknown.len() > expected
        });
        places.count() + rows.count()
    }

    /// Counts the rows that run and the places that could not be read.
    pub fn totals(&self) -> Totals {
        let count = |is: fn(&Row) -> bool| self.running.iter().filter(|row| is(row)).count();
        Totals {
            running: self.running.len(),
            vulnerable: count(Row::is_vulnerable),
            stale: count(|row| row.stale),
            behind: count(Row::is_behind),
            strangers: count(Row::is_stranger),
            unknown: count(|row| !row.unknown.is_empty()),
            unread_places: self.places.iter().filter(|place| place.unread.is_some()).count(),
        }
    }
}
