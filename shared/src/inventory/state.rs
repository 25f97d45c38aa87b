//! What is known of what runs: what was seen, when, and what it meant then.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::resolve::Resolution;
use super::survey::Place;
use crate::finding::{FindingKey, Fix, Severity};
use crate::image::{Digest, ImageId, Platform};
use crate::time::{Span, Timestamp};

/// How long exposures that stopped are kept and counted: a quarter.
pub const STOPPED_KEPT: Span = Span::days(90);
/// Most stopped exposures of one image that are kept, the newest.
pub(super) const MOST_STOPPED: usize = 500;
/// Most findings of one version that are kept, the worst. Ten times what most images have.
pub(super) const MOST_FINDINGS: usize = 1_500;

/// Everything that is known of what runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Every place that was ever looked at and still exists, by its id.
    pub places: BTreeMap<String, PlaceState>,
    /// What runs there, and what is referred to.
    pub entries: BTreeMap<EntryKey, Entry>,
    /// What is known of the versions that run.
    pub versions: BTreeMap<(ImageId, Digest), Assessment>,
    /// Since when and until when images that run were vulnerable.
    pub exposures: BTreeMap<ImageId, Exposures>,
}

/// A place, and how well it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceState {
    /// The place.
    pub place: Place,
    /// When it was last looked at.
    pub tried_at: Timestamp,
    /// When it was last read to its end; nothing if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
    /// Why it could not be read when it was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

/// What tells one entry from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryKey {
    /// The place's id.
    pub place: String,
    /// Whether it runs, or is only referred to.
    pub runs: bool,
    /// The workload.
    pub workload: String,
    /// The digest, or the image as it was asked for where there is none.
    pub what: String,
}

/// One digest in one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Where.
    pub place: Place,
    /// What it belongs to.
    pub workload: String,
    /// Whether it runs, or is only referred to.
    pub runs: bool,
    /// The image as it was asked for.
    pub asked: String,
    /// The digest that the service named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What that is.
    pub resolution: Resolution,
    /// The containers' names.
    pub containers: BTreeSet<String>,
    /// The architectures it runs on; empty if nobody says.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub architectures: BTreeSet<String>,
    /// How many tasks or pods.
    pub units: u32,
    /// Since when it runs: as the service says, else when it was first seen.
    pub since: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// Whether only an enhanced scanner has seen it: its place could not be read. That is weaker evidence.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reported: bool,
}

impl Entry {
    /// Returns what tells it from every other entry.
    pub fn key(&self) -> EntryKey {
        let what = self.digest.as_ref().map_or_else(|| self.asked.clone(), ToString::to_string);
        EntryKey { place: self.place.id(), runs: self.runs, workload: self.workload.clone(), what }
    }

    /// Returns the image and the version, if both are known.
    pub fn known(&self) -> Option<(ImageId, Digest)> {
        Some((self.resolution.image()?.clone(), self.resolution.version()?.clone()))
    }

    /// Tells whether what is on `platform` can run here.
    pub(super) fn runs_on(&self, platform: &Platform) -> bool {
        let architecture = platform.as_str().split('/').nth(1).unwrap_or_default();
        self.architectures.is_empty() || self.architectures.contains(architecture)
    }
}

/// How a version stands to its image's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Standing {
    /// It is the current version, or has the same content.
    Current,
    /// Another one is current: built, and not deployed.
    Behind {
        /// That one.
        current: Digest,
    },
    /// Which version is current is not known.
    Unknown {
        /// Why.
        because: String,
    },
}

/// A finding on a version that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Open {
    /// How bad.
    pub severity: Severity,
    /// What is known of the fix.
    pub fix: Fix,
    /// Whether an exploit is known.
    #[serde(default)]
    pub exploited: bool,
    /// Whether policy counts it.
    pub counts: bool,
    /// When it appeared on this version.
    pub since: Timestamp,
    /// The platforms that have it.
    pub platforms: BTreeSet<Platform>,
}

/// What is known of one version that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assessment {
    /// The image.
    pub image: ImageId,
    /// The version.
    pub version: Digest,
    /// When this was found out.
    pub at: Timestamp,
    /// When it was built, else when it was pushed.
    pub built_at: Timestamp,
    /// Its commit, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// How it stands to its line.
    pub standing: Standing,
    /// All its platforms.
    pub platforms: BTreeSet<Platform>,
    /// Their manifests: what a scanner knows it by.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub manifests: BTreeSet<Digest>,
    /// Its findings at any severity, as of the last complete scan of each platform; the worst, if there are very many.
    pub findings: BTreeMap<FindingKey, Open>,
    /// Platforms whose scan says nothing now, and why: their findings are those of an earlier scan, if there was one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unscanned: BTreeMap<Platform, String>,
}

impl Assessment {
    /// Returns the findings that can be where an entry runs.
    pub(super) fn findings_of<'a>(
        &'a self,
        entry: &'a Entry,
    ) -> impl Iterator<Item = (&'a FindingKey, &'a Open)> {
        let any = self.fits_none(entry);
        self.findings.iter().filter(move |(_, open)| any || open.platforms.iter().any(|p| entry.runs_on(p)))
    }

    /// Returns why nobody knows all findings where an entry runs.
    pub(super) fn unscanned_of(&self, entry: &Entry) -> Option<String> {
        let any = self.fits_none(entry);
        let mut unscanned = self.unscanned.iter().filter(|(platform, _)| any || entry.runs_on(platform));
        unscanned.next().map(|(platform, because)| format!("{platform}: {because}"))
    }

    /// Whether an entry runs on an architecture that no platform is for: then every platform may be what runs.
    fn fits_none(&self, entry: &Entry) -> bool {
        !self.platforms.iter().any(|platform| entry.runs_on(platform))
    }
}

/// A finding on what runs of one image, from the first version that had it to the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exposure {
    /// How bad.
    pub severity: Severity,
    /// When a version that ran was first known to have it.
    pub since: Timestamp,
    /// When a version that has it was last seen running.
    pub last_seen: Timestamp,
    /// The versions that have it and run, or may.
    pub versions: BTreeSet<Digest>,
}

/// An exposure that stopped: no version with the finding runs any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    /// When a version with it was last seen running: `patchwave.vulnerable_until`.
    pub vulnerable_until: Timestamp,
    /// What it was.
    pub finding: FindingKey,
    /// How bad.
    pub severity: Severity,
    /// When a version that ran was first known to have it.
    pub since: Timestamp,
}

/// The exposures of one image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Exposures {
    /// Findings that something that runs has.
    pub running: BTreeMap<FindingKey, Exposure>,
    /// Those that nothing has any more, the newest last.
    pub stopped: Vec<Stopped>,
}

impl Inventory {
    /// Returns the mean time to patched, over all exposures that stopped within [`STOPPED_KEPT`] and, if one is named, have this
    /// severity; nothing if none did.
    pub fn mean_time_to_patched(&self, severity: Option<Severity>) -> Option<Span> {
        let stopped = self.exposures.values().flat_map(|exposures| &exposures.stopped);
        let times: Vec<u64> = stopped
            .filter(|stopped| severity.is_none_or(|severity| severity == stopped.severity))
            .map(|stopped| u64::from(Span::between(stopped.since, stopped.vulnerable_until).as_seconds()))
            .collect();
        let mean = times.iter().sum::<u64>().checked_div(times.len() as u64)?;
        Some(Span::seconds(u32::try_from(mean).unwrap_or(u32::MAX)))
    }

    /// Returns why the place of an entry is not known as it is now; nothing if it is. A cluster may be on a list that was not
    /// read since: then nobody looked at it.
    pub fn unread_because(&self, place: &str) -> Option<&str> {
        let state = self.places.get(place)?;
        let unlisted = || {
            let list = self.places.get(&state.place.list()?.id())?;
            list.unread.as_deref().filter(|_| list.tried_at > state.tried_at)
        };
        state.unread.as_deref().or_else(unlisted)
    }
}
