//! What is known of what runs: what was seen, when, and how it was assessed then.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::resolve::Resolution;
use super::survey::Place;
use crate::facts::DeployedVersion;
use crate::finding::{FindingKey, Fix, Severity};
use crate::image::{Digest, ImageId, Platform};
use crate::notice::OwnersNotified;
use crate::time::{Span, Timestamp};

/// How long stopped exposures are stored and counted: a quarter of a year.
pub const STOPPED_KEPT: Span = Span::days(90);
/// The most stopped exposures stored for one image: the newest.
pub(super) const MOST_STOPPED: usize = 500;
/// The most findings stored for one version: the worst. Ten times what most images have.
pub(super) const MOST_FINDINGS: usize = 1_500;

/// Everything that is known of what runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Every place that a survey has tried to read and that still exists, by its id.
    pub places: BTreeMap<String, PlaceState>,
    /// What runs there, and what is referred to there.
    pub entries: BTreeMap<EntryKey, Entry>,
    pub versions: BTreeMap<(ImageId, Digest), Assessment>,
    /// From when until when running images were vulnerable.
    pub exposures: BTreeMap<ImageId, Exposures>,
    /// The last versions that each environment ran before those that run now.
    pub ran: BTreeMap<ImageId, Ran>,
    /// The notices about what is rebuilt and not deployed.
    pub notified: OwnersNotified,
}

/// The last versions that environments ran and do not run now, by environment, the last one first.
pub type Ran = BTreeMap<String, Vec<DeployedVersion>>;

/// A place, and when Patchwave last read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceState {
    pub place: Place,
    /// When Patchwave last tried to read it.
    pub tried_at: Timestamp,
    /// When it was last read completely; `None` if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
    /// Why the last attempt could not read it completely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// The kinds of objects there that Patchwave does not read, or may not list.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub not_inspected: BTreeSet<String>,
}

/// Identifies an entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryKey {
    /// By its id.
    pub place: String,
    /// Whether it runs, or is only referred to.
    pub runs: bool,
    pub workload: String,
    /// The digest, or the image reference if the digest is not known.
    pub what: String,
}

/// One digest in one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub place: Place,
    pub workload: String,
    /// Whether it runs, or is only referred to.
    pub runs: bool,
    /// The image reference, as the workload asks for it.
    pub asked: String,
    /// The digest that the service named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    pub resolution: Resolution,
    /// By name.
    pub containers: BTreeSet<String>,
    /// Where it runs; empty if the services do not say.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub architectures: BTreeSet<String>,
    /// The operating systems of these machines; empty if the services do not say.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub operating_systems: BTreeSet<String>,
    /// The platform whose manifest the service named; nothing if it named the whole version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// How many tasks or pods run it.
    pub units: u32,
    /// Since when it runs: as the service says, else since it was first seen.
    pub since: Timestamp,
    pub last_seen: Timestamp,
    /// Whether only an enhanced scanner has seen it, because its place could not be read. That is
    /// weaker evidence.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reported: bool,
    /// Whether a container with it has started. A pod whose image cannot be pulled never does.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub started: bool,
}

const fn yes() -> bool {
    true
}

impl Entry {
    /// Returns the key that identifies it.
    pub fn key(&self) -> EntryKey {
        let what = self.digest.as_ref().map_or_else(|| self.asked.clone(), ToString::to_string);
        EntryKey { place: self.place.id(), runs: self.runs, workload: self.workload.clone(), what }
    }

    /// Returns the image and the version, if both are known.
    pub fn known(&self) -> Option<(ImageId, Digest)> {
        Some((self.resolution.image()?.clone(), self.resolution.version()?.clone()))
    }

    /// Returns whether an image for `platform` can run here.
    pub(super) fn runs_on(&self, platform: &Platform) -> bool {
        if let Some(named) = &self.platform {
            return named == platform;
        }
        let is_among = |all: &BTreeSet<String>, one| all.is_empty() || all.contains(one);
        is_among(&self.architectures, platform.architecture())
            && is_among(&self.operating_systems, platform.os())
    }
}

/// Whether a version is the current one of its image's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Standing {
    /// It is the current version, or has the same content.
    Current,
    /// Another version is current: it is built, and not deployed here.
    Behind { current: Digest },
    /// Which version is current is not known.
    Unknown { because: String },
}

/// A finding on a version that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Open {
    pub severity: Severity,
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
    pub image: ImageId,
    pub version: Digest,
    /// When it was assessed.
    pub at: Timestamp,
    /// When it was built, else when it was pushed.
    pub built_at: Timestamp,
    /// The commit that it was built from, if it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    pub standing: Standing,
    pub platforms: BTreeSet<Platform>,
    /// The digests of its platform manifests, by which a scanner knows it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub manifests: BTreeSet<Digest>,
    /// Its findings at any severity, by the last complete scan of each platform. If there are very
    /// many, only the worst.
    pub findings: BTreeMap<FindingKey, Open>,
    /// The platforms without a complete scan now, and why. Their findings are those of an earlier
    /// scan, if there was one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unscanned: BTreeMap<Platform, String>,
}

impl Assessment {
    /// Returns the findings of the platforms that an entry can run.
    pub(super) fn findings_of<'a>(
        &'a self,
        entry: &'a Entry,
    ) -> impl Iterator<Item = (&'a FindingKey, &'a Open)> {
        let any = self.runs_on_none(entry);
        self.findings.iter().filter(move |(_, open)| any || open.platforms.iter().any(|p| entry.runs_on(p)))
    }

    /// Returns why not all findings of the platforms that an entry can run are known.
    pub(super) fn unscanned_of(&self, entry: &Entry) -> Option<String> {
        let any = self.runs_on_none(entry);
        let mut unscanned = self.unscanned.iter().filter(|(platform, _)| any || entry.runs_on(platform));
        unscanned.next().map(|(platform, because)| format!("{platform}: {because}"))
    }

    /// Says what an entry runs on, if the version is known to have nothing for it. Then it is not
    /// known what runs.
    pub(super) fn lacks(&self, entry: &Entry) -> Option<String> {
        let is_named = !self.platforms.is_empty() && !self.platforms.iter().any(Platform::is_unnamed);
        if !is_named || entry.platform.is_some() || !self.runs_on_none(entry) {
            return None;
        }
        let words =
            [&entry.operating_systems, &entry.architectures].into_iter().filter(|all| !all.is_empty());
        let words = words.map(|all| all.iter().cloned().collect::<Vec<_>>().join(" or "));
        let has: Vec<&str> = self.platforms.iter().map(Platform::as_str).collect();
        let on = words.collect::<Vec<_>>().join("/");
        Some(format!("it runs on {on}, and this version is for {}", has.join(", ")))
    }

    /// Returns whether no platform is for where an entry runs. Then any platform may be what
    /// runs.
    fn runs_on_none(&self, entry: &Entry) -> bool {
        !self.platforms.iter().any(|platform| entry.runs_on(platform))
    }
}

/// A finding on the running versions of one image, from the first that had it to the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exposure {
    pub severity: Severity,
    /// When a running version was first known to have it.
    pub since: Timestamp,
    /// When a version that has it was last seen running.
    pub last_seen: Timestamp,
    /// The running versions that have it, or may have it.
    pub versions: BTreeSet<Digest>,
}

/// An exposure that stopped: no version with the finding runs any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    /// When a version with it was last seen running: `patchwave.vulnerable_until`.
    pub vulnerable_until: Timestamp,
    pub finding: FindingKey,
    pub severity: Severity,
    /// When a running version was first known to have it.
    pub since: Timestamp,
}

/// The exposures of one image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Exposures {
    /// The findings that running versions have.
    pub running: BTreeMap<FindingKey, Exposure>,
    /// The findings that no running version has any more, the newest last.
    pub stopped: Vec<Stopped>,
}

impl Inventory {
    /// Returns the mean time to patched of the exposures that stopped within [`STOPPED_KEPT`], of
    /// one severity or of all. Returns `None` if none stopped.
    pub fn mean_time_to_patched(&self, severity: Option<Severity>) -> Option<Span> {
        let stopped = self.exposures.values().flat_map(|exposures| &exposures.stopped);
        let times: Vec<u64> = stopped
            .filter(|stopped| severity.is_none_or(|severity| severity == stopped.severity))
            .map(|stopped| u64::from(Span::between(stopped.since, stopped.vulnerable_until).as_seconds()))
            .collect();
        let mean = times.iter().sum::<u64>().checked_div(times.len() as u64)?;
        Some(Span::seconds(u32::try_from(mean).unwrap_or(u32::MAX)))
    }

    /// Returns why a place is not known as it is now; `None` if it is. If the list of clusters
    /// could not be read since a cluster was last tried, the cluster is unread too.
    pub fn unread_because(&self, place: &str) -> Option<&str> {
        let state = self.places.get(place)?;
        let unlisted = || {
            let list = self.places.get(&state.place.list()?.id())?;
            list.unread.as_deref().filter(|_| list.tried_at > state.tried_at)
        };
        state.unread.as_deref().or_else(unlisted)
    }
}
