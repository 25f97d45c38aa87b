//! What runs where, is it patched, since when, and what is not known?

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::named::NoDigest;
use super::resolve::Resolution;
use super::state::{Assessment, Entry, Inventory, Open, PlaceState, Standing};
use super::survey::{ConsumerKind, Place};
use crate::finding::{FindingKey, Severity};
use crate::hierarchy::Hierarchy;
use crate::image::ImageId;
use crate::time::{Span, Timestamp};

/// What is asked for; everything, if nothing is named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// Only this environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Only this image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// Only what has this vulnerability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vulnerability: Option<String>,
}

/// A finding, as a row tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// What.
    pub finding: FindingKey,
    /// How bad, what is known of the fix, since when.
    #[serde(flatten)]
    pub open: Open,
}

/// One digest in one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// What runs, where, since when, and when it was last seen.
    #[serde(flatten)]
    pub entry: Entry,
    /// How its version stands to its line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// How old its version is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<Span>,
    /// Whether that is more than `maxAge`.
    pub stale: bool,
    /// Its findings, at any severity where one was asked for, else those that count.
    pub findings: Vec<Found>,
    /// The worst of those that count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Since when it has run with one that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vulnerable_since: Option<Timestamp>,
    /// What is not known about it, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// A place, and how well it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceRow {
    /// Its id.
    pub id: String,
    /// The place.
    #[serde(flatten)]
    pub place: Place,
    /// When it was last read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
    /// How old what is known of it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<Span>,
    /// Why it could not be read when it was last looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

/// A service that nobody looked at in an account and region where others were looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotInspected {
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// The service.
    pub kind: ConsumerKind,
}

/// The answer, in the order of its places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// What was asked for; everything, if nothing is named.
    #[serde(default, skip_serializing_if = "Question::is_everything")]
    pub question: Question,
    /// As of when.
    pub at: Timestamp,
    /// What runs.
    pub running: Vec<Row>,
    /// What does not run, and would be run.
    pub referenced: Vec<Row>,
    /// Where it was looked.
    pub places: Vec<PlaceRow>,
    /// Where it was not.
    pub not_inspected: BTreeSet<NotInspected>,
    /// How long it took until nothing ran any more with a finding, on average over the last quarter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_time_to_patched: Option<Span>,
}

impl Row {
    /// Tells whether it has a finding of the kind asked about: one that counts, or the one that was named.
    pub fn is_vulnerable(&self) -> bool {
        !self.findings.is_empty()
    }

    /// Tells whether its line has a newer version.
    pub fn is_behind(&self) -> bool {
        matches!(self.standing, Some(Standing::Behind { .. }))
    }

    /// Tells whether it comes from a registry that nobody approved, or from ours without standing in the hierarchy.
    pub fn is_stranger(&self) -> bool {
        matches!(self.entry.resolution, Resolution::Unapproved { .. } | Resolution::NotInHierarchy { .. })
    }
}

impl Answer {
    /// Tells whether anything that runs has a finding of the kind asked about.
    pub fn is_vulnerable(&self) -> bool {
        self.running.iter().any(Row::is_vulnerable)
    }
}

impl Inventory {
    /// Answers a question.
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
        };
        let asked_for = |state: &PlaceState| question.asks_in(&state.place);
        Answer {
            question: question.clone(),
            at: now,
            running,
            referenced,
            places: self.places.iter().filter(|(_, state)| asked_for(state)).map(place).collect(),
            not_inspected: self.not_inspected(question),
            mean_time_to_patched: self.mean_time_to_patched(None),
        }
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
            unknown: self.unknown(place, entry, assessment),
            entry: entry.clone(),
        }
    }

    /// Everything about an entry that is not known.
    fn unknown(&self, place: &str, entry: &Entry, assessment: Option<&Assessment>) -> Vec<String> {
        let mut unknown = Vec::new();
        if let Some(because) = self.unread_because(place) {
            unknown.push(format!("its place was not read, so it is as of {:.0}: {because}", entry.last_seen));
        }
        unknown.extend(because(&entry.resolution));
        unknown.extend(assessment.and_then(|assessment| assessment.unscanned_of(entry)));
        match assessment.map(|assessment| &assessment.standing) {
            Some(Standing::Unknown { because }) => unknown.push(format!("its line: {because}")),
            None if matches!(entry.resolution, Resolution::Known { .. }) => {
                unknown.push("its version was not described".to_owned());
            }
            _ => {}
        }
        unknown
    }

    /// The services that were not looked at where others were.
    fn not_inspected(&self, question: &Question) -> BTreeSet<NotInspected> {
        let mut looked: BTreeMap<(&str, &str), BTreeSet<ConsumerKind>> = BTreeMap::new();
        for state in self.places.values().filter(|state| question.asks_in(&state.place)) {
            let Place { account, region, kind, .. } = &state.place;
            looked.entry((account, region)).or_default().insert(*kind);
        }
        let missing = |((account, region), kinds): ((&str, &str), BTreeSet<ConsumerKind>)| {
            let (account, region) = (account.to_owned(), region.to_owned());
            let rest = ConsumerKind::ALL.into_iter().filter(move |kind| !kinds.contains(kind));
            rest.map(move |kind| NotInspected { account: account.clone(), region: region.clone(), kind })
        };
        looked.into_iter().flat_map(missing).collect()
    }
}

fn findings<'a>(
    assessment: Option<&'a Assessment>,
    entry: &'a Entry,
) -> impl Iterator<Item = (&'a FindingKey, &'a Open)> {
    assessment.into_iter().flat_map(|assessment| assessment.findings_of(entry))
}

/// Says why it is not known what runs, or whether it is patched.
fn because(resolution: &Resolution) -> Option<String> {
    match resolution {
        Resolution::Gone { repository, .. } => {
            Some(format!("it is no longer in {repository}, so nobody can scan it"))
        }
        Resolution::Unread { repository, because } => {
            Some(format!("{repository} could not be read: {because}"))
        }
        Resolution::Unresolvable { because, .. } => no_digest(because),
        _ => None,
    }
}

fn no_digest(because: &NoDigest) -> Option<String> {
    Some(match because {
        NoDigest::NotReported => "the service names no digest".to_owned(),
        NoDigest::OnlyConfiguration => "the service names a configuration, and no manifest".to_owned(),
        NoDigest::OnlyTag => "only a tag is named, which may name another version by now".to_owned(),
        NoDigest::Malformed(what) => format!("{what:?} is no digest"),
        // AWS renews it with the task.
        NoDigest::Sidecar => return None,
    })
}

impl Question {
    /// Tells whether everything is asked for.
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

/// How much there is of what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Digests that run, each once in each workload.
    pub running: usize,
    /// Those with a finding of the kind asked about.
    pub vulnerable: usize,
    /// Those older than `maxAge`.
    pub stale: usize,
    /// Those that are not their line's current version.
    pub behind: usize,
    /// Those that nobody approved or declared.
    pub strangers: usize,
    /// Those about which something is not known.
    pub unknown: usize,
    /// Places that could not be read when they were last looked at.
    pub unread_places: usize,
}

impl Answer {
    /// Counts.
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
