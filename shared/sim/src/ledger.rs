//! The ledger in memory, with the fences and slots of the table on DynamoDB.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::Slots;
use patchwave::image::ImageId;
use patchwave::plan::Limit;
use patchwave::policy::Limits;
use patchwave::record::Record;
use patchwave::time::{Span, Timestamp};
use patchwave_converge::{Due, NotClaimed, NotSaved};

use crate::requests::{Write, record_bytes};

/// The ledger in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    records: BTreeMap<ImageId, Record>,
    /// The images whose builds hold a slot.
    held_by: BTreeSet<ImageId>,
    /// The number of starts, by day.
    starts: BTreeMap<i64, u32>,
    /// Where the last sweep was cut off.
    pub(crate) swept_to: Option<ImageId>,
    /// Counts the writes that succeeded.
    pub(crate) writes: u64,
    /// The bytes of each record's item, where requests are counted.
    pub(crate) weights: Option<BTreeMap<ImageId, u64>>,
    /// A planted defect: every write succeeds.
    pub(crate) is_fenceless: bool,
}

impl Ledger {
    /// Returns the images that are in the schedule.
    pub(crate) fn scheduled(&self) -> BTreeSet<ImageId> {
        self.records.iter().filter(|(_, record)| record.is_scheduled()).map(|(id, _)| id.clone()).collect()
    }

    /// Returns what is due, the longest due first, and when the next image will be.
    pub(crate) fn due(&self, now: Timestamp, most: usize) -> Due {
        let times = self.records.iter().filter_map(|(id, record)| Some((record.recheck_at?, id)));
        let mut times: Vec<_> = times.collect();
        times.sort();
        let is_due = |(at, _): &&(Timestamp, &ImageId)| *at <= now;
        let images: Vec<ImageId> =
            times.iter().take_while(is_due).take(most).map(|(_, id)| (*id).clone()).collect();
        let next = times.iter().find(|entry| !is_due(entry)).map(|(at, _)| *at);
        Due { images, next }
    }

    /// Returns the first images of a queue.
    pub(crate) fn ready(&self, owner: Option<&str>, most: usize) -> Vec<ImageId> {
        let in_line = |record: &Record| {
            let ready = record.ready.clone().filter(|_| record.recheck_at.is_none())?;
            (ready.owner.as_deref() == owner).then(|| ready.rank())
        };
        let mut line: Vec<_> =
            self.records.iter().filter_map(|(id, record)| Some((in_line(record)?, id))).collect();
        line.sort();
        line.into_iter().take(most).map(|(_, id)| id.clone()).collect()
    }

    /// Returns the records of these images.
    pub(crate) fn records(&self, images: &BTreeSet<ImageId>) -> BTreeMap<ImageId, Record> {
        let record = |id: &ImageId| Some((id.clone(), self.records.get(id)?.clone()));
        images.iter().filter_map(record).collect()
    }

    /// Returns the record of an image.
    pub(crate) fn record(&self, image: &ImageId) -> Option<&Record> {
        self.records.get(image)
    }

    /// Returns the images that hold a slot.
    pub(crate) fn held_by(&self) -> &BTreeSet<ImageId> {
        &self.held_by
    }

    /// Returns how much of the limits is used on the day of `now`.
    pub(crate) fn slots(&self, now: Timestamp) -> Slots {
        let started_today = self.starts.get(&day(now)).copied().unwrap_or(0);
        Slots { held_by: self.held_by.clone(), started_today, swept_to: self.swept_to.clone() }
    }

    /// Returns the number of starts of a day.
    pub(crate) fn starts(&self, day: i64) -> u32 {
        self.starts.get(&day).copied().unwrap_or(0)
    }

    /// Returns the bytes of an image's record, or none where requests are not counted.
    pub(crate) fn weight(&self, image: &ImageId) -> u64 {
        self.weights.as_ref().and_then(|weights| weights.get(image)).copied().unwrap_or(0)
    }

    /// Returns the bytes of all records.
    pub(crate) fn bytes(&self) -> u64 {
        self.weights.iter().flat_map(BTreeMap::values).sum()
    }

    /// Returns the size of a write, where requests are counted.
    pub(crate) fn weigh(&self, image: &ImageId, record: &Record) -> Write {
        if self.weights.is_none() {
            return Write::default();
        }
        let entry = |record: &Record| (record.recheck_at, record.ready.clone());
        let was = self.record(image).map(entry).unwrap_or_default();
        let (before, after) = (self.weight(image), record_bytes(image, record));
        Write { before, after, moves: was != entry(record) }
    }

    /// Writes a record if its fence is the stored one.
    pub(crate) fn save(&mut self, image: &ImageId, record: &Record) -> Result<(), NotSaved> {
        if !self.is_fresh(image, record.fence) {
            return Err(NotSaved::Conflict);
        }
        self.write(image, record);
        Ok(())
    }

    /// Writes a record with its new claim and takes a slot, all or nothing.
    pub(crate) fn claim(
        &mut self,
        image: &ImageId,
        record: &Record,
        limits: Limits,
        now: Timestamp,
    ) -> Result<(), NotClaimed> {
        if !self.is_fresh(image, record.fence) {
            return Err(NotClaimed::Conflict);
        }
        let most = limits.max_concurrent_builds as usize;
        // An image that holds a slot keeps it for its next claim, even if the limit is lower now.
        if most == 0 || (self.held_by.len() >= most && !self.held_by.contains(image)) {
            return Err(NotClaimed::AtLimit(Limit::ConcurrentBuilds));
        }
        let started = self.starts.entry(day(now)).or_default();
        if *started >= limits.max_starts_per_day {
            return Err(NotClaimed::AtLimit(Limit::StartsPerDay));
        }
        *started += 1;
        self.held_by.insert(image.clone());
        self.write(image, record);
        Ok(())
    }

    /// Gives a slot back if the record's fence is the stored one.
    pub(crate) fn free(&mut self, image: &ImageId, fence: u64) -> Result<(), NotSaved> {
        if !self.is_fresh(image, fence) {
            return Err(NotSaved::Conflict);
        }
        self.writes += u64::from(self.held_by.remove(image));
        Ok(())
    }

    /// Writes the record of a claim that was refused, and gives its slot and its share of the day
    /// back.
    pub(crate) fn withdraw(
        &mut self,
        image: &ImageId,
        record: &Record,
        claimed_at: Timestamp,
    ) -> Result<(), NotSaved> {
        if !self.is_fresh(image, record.fence) {
            return Err(NotSaved::Conflict);
        }
        self.held_by.remove(image);
        if let Some(started) = self.starts.get_mut(&day(claimed_at)) {
            *started = started.saturating_sub(1);
        }
        self.write(image, record);
        Ok(())
    }

    fn is_fresh(&self, image: &ImageId, fence: u64) -> bool {
        self.is_fenceless || self.records.get(image).map_or(0, |stored| stored.fence) == fence
    }

    fn write(&mut self, image: &ImageId, record: &Record) {
        self.writes += 1;
        if let Some(weights) = &mut self.weights {
            weights.insert(image.clone(), record_bytes(image, record));
        }
        self.records.insert(image.clone(), Record { fence: record.fence + 1, ..record.clone() });
    }
}

/// Returns the day in UTC, counted from 1970.
pub(crate) fn day(now: Timestamp) -> i64 {
    now.as_second().div_euclid(i64::from(Span::days(1).as_seconds()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ImageId {
        name.parse().unwrap()
    }

    #[test]
    fn a_write_with_an_old_fence_conflicts() {
        let mut ledger = Ledger::default();
        let unread = Record { recheck_at: Some(Timestamp::UNIX_EPOCH), ..Record::default() };
        assert_eq!(ledger.save(&id("a"), &unread), Ok(()));
        assert_eq!(ledger.save(&id("a"), &unread), Err(NotSaved::Conflict));
        let read = ledger.records(&BTreeSet::from([id("a")])).remove(&id("a")).unwrap();
        assert_eq!((read.fence, ledger.save(&id("a"), &read)), (1, Ok(())));
        assert_eq!(ledger.scheduled(), BTreeSet::from([id("a")]));
    }

    #[test]
    fn a_claim_takes_a_slot_and_a_start_or_writes_nothing() {
        let mut ledger = Ledger::default();
        let limits = Limits { max_concurrent_builds: 1, max_starts_per_day: 2 };
        let mut claim =
            |name: &str, now: &str| ledger.claim(&id(name), &Record::default(), limits, now.parse().unwrap());
        assert_eq!(claim("a", "2026-11-20T01:00:00Z"), Ok(()));
        assert_eq!(claim("b", "2026-11-20T02:00:00Z"), Err(NotClaimed::AtLimit(Limit::ConcurrentBuilds)));
        assert!(ledger.records(&BTreeSet::from([id("b")])).is_empty(), "nothing is written without a slot");
        assert_eq!(ledger.free(&id("a"), 0), Err(NotSaved::Conflict));
        assert_eq!(ledger.free(&id("a"), 1), Ok(()));
        let mut claim = |name: &str, now: &str| {
            let claimed = ledger.claim(&id(name), &Record::default(), limits, now.parse().unwrap());
            let _ = ledger.free(&id(name), 1);
            claimed
        };
        assert_eq!(claim("b", "2026-11-20T03:00:00Z"), Ok(()));
        assert_eq!(claim("c", "2026-11-20T04:00:00Z"), Err(NotClaimed::AtLimit(Limit::StartsPerDay)));
        assert_eq!(claim("c", "2026-11-21T00:00:00Z"), Ok(()));
    }
}
