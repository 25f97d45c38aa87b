//! Adds what an enhanced scanner saw in clusters that could not be read. That is weaker evidence
//! than a survey, and better than none.
//!
//! A report only adds to what is known. What the scanner did not see may still run.

use std::collections::{BTreeMap, BTreeSet};

use super::doubts::REFRESHED;
use super::scanning::SeenInUse;
use super::survey::{ConsumerKind, Place, PlaceRead, Sighting, Survey, Use};
use crate::hierarchy::Hierarchy;
use crate::image::{Digest, Repository};
use crate::time::Timestamp;

impl Survey {
    /// Returns whether a cluster, or a list of clusters, could not be read.
    pub fn has_unread_clusters(&self) -> bool {
        self.places.iter().any(|read| read.unread.is_some() && has_clusters(read.place.kind))
    }

    /// Adds what an enhanced scanner has recently seen in clusters that could not be read, by
    /// image.
    pub fn add_reports(
        &mut self,
        hierarchy: &Hierarchy,
        seen: &BTreeMap<(Repository, Digest), Vec<SeenInUse>>,
        now: Timestamp,
    ) {
        for ((repository, digest), clusters) in seen {
            let (registry, name) = hierarchy.address(repository);
            for seen in clusters.iter().filter(|seen| REFRESHED.after(seen.at) > now) {
                let Some(place) = self.unread_cluster(seen, now) else { continue };
                self.sightings.push(Sighting {
                    place,
                    workload: seen.workload.clone(),
                    unit: String::new(),
                    container: String::new(),
                    image: format!("{registry}/{name}@{digest}"),
                    resolved: None,
                    architecture: None,
                    os: None,
                    used: Use::Reported { at: seen.at, units: seen.running },
                });
            }
        }
    }

    /// Returns the cluster if it could not be read. A cluster on an unread list becomes a place of
    /// its own.
    fn unread_cluster(&mut self, seen: &SeenInUse, now: Timestamp) -> Option<Place> {
        let is_there = |place: &Place| {
            (&place.account, &place.region, place.kind) == (&seen.account, &seen.region, seen.kind)
        };
        let there = || self.places.iter().filter(|read| is_there(&read.place));
        let named = |name: Option<&str>| there().find(move |read| read.place.cluster.as_deref() == name);
        if let Some(read) = named(Some(&seen.cluster)) {
            return read.unread.as_ref().map(|_| read.place.clone());
        }
        let list = named(None).filter(|list| list.unread.is_some())?;
        let place = Place { cluster: Some(seen.cluster.clone()), ..list.place.clone() };
        let unread = list.unread.clone();
        self.places.push(PlaceRead {
            place: place.clone(),
            at: now,
            unread,
            not_inspected: BTreeSet::default(),
        });
        Some(place)
    }
}

const fn has_clusters(kind: ConsumerKind) -> bool {
    matches!(kind, ConsumerKind::Ecs | ConsumerKind::Eks)
}
