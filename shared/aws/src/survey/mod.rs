//! The survey: reads where containers run, across accounts and regions. It records everything that
//! it sees, and concludes nothing.
//!
//! Each cluster is a [`Place`], and so is each list of clusters and each service without clusters.
//! A place is read completely, or its result says why not. A failed place never hides another one.
//! What an invocation does not reach is in its [`Cursor`].

mod batch;
mod bucket;
mod budget;
mod clock;
mod ecs;
mod eks;
mod functions;
mod kubernetes;
mod lane;
mod marks;
mod pace;
mod reading;
mod schedules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use patchwave::hierarchy::Role;
use patchwave::inventory::{ConsumerKind, Place, Survey};
use patchwave::time::Timestamp;
use patchwave_converge::{Cursor, Left};

pub use clock::{Clock, WallClock};

use crate::clients::Clients;
use budget::Budget;
use clock::before;
use lane::{Lane, Read};
pub use marks::Begun;
pub(crate) use marks::{Book, Marks, Unmarked, left as begun};
use pace::Pace;

/// How another account's audit trail names this session.
const SESSION: &str = "patchwave-inventory";
/// Accounts that are read at once.
const ACCOUNTS_AT_ONCE: usize = 16;
/// Regions of an account that are read at once.
const REGIONS_AT_ONCE: usize = 8;
/// How long before its deadline an invocation begins no more calls, so that calls in progress can
/// end. It is at most a quarter of the time, so that even a short invocation makes progress.
const RESERVE: Duration = Duration::from_mins(1);

/// An account to survey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The account's twelve digits.
    pub account: String,
    /// The environment that the hierarchy gives the account.
    pub environment: Option<String>,
    /// The role to assume; `None` in the account where this runs.
    pub role: Option<Role>,
    pub regions: Vec<String>,
}

/// Reads what runs, place by place.
#[derive(Clone)]
pub struct Surveyor {
    clients: Clients,
    clock: Arc<dyn Clock>,
    kube_endpoint: Option<String>,
    book: Book,
}

impl Surveyor {
    pub(crate) fn new(clients: Clients, kube_endpoint: Option<String>, book: Book) -> Self {
        Self { clients, clock: Arc::new(WallClock), kube_endpoint, book }
    }

    /// Surveys everything in `targets`, or what `resume` says is left of it, until shortly before
    /// `deadline`.
    ///
    /// A deadline in the past does not count, because local emulators of Lambda set a constant one
    /// in 1970. A place is dropped if its account is no longer among the targets.
    pub async fn survey(
        &self,
        targets: &[Target],
        deadline: Option<Timestamp>,
        resume: Option<Cursor>,
    ) -> (Survey, Option<Cursor>) {
        let now = self.clock.now();
        let stop = deadline.filter(|deadline| *deadline > now).map(|deadline| stop(now, deadline));
        let budget = Arc::new(Budget::default());
        let left = resume.map_or_else(|| everything(targets), |cursor| cursor.left);
        let (earlier, left): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|left| self.book.is_earlier(&left.place));
        let mut read: Vec<_> = stream::iter(accounts(targets, left))
            .map(|(target, regions)| self.account(target, regions, stop, &budget))
            .buffer_unordered(ACCOUNTS_AT_ONCE)
            .collect()
            .await;
        // Each alone and after all others, because one of them may end the function again.
        for left in self.earlier(targets, earlier) {
            for (target, regions) in accounts(targets, vec![left]) {
                read.push(self.account(target, regions, stop, &budget).await);
            }
        }
        let mut survey = Survey::default();
        let mut cursor = Cursor::default();
        for read in read.into_iter().flatten() {
            survey.places.extend(read.places);
            survey.sightings.extend(read.sightings);
            cursor.left.extend(read.left);
        }
        survey.places.sort_by(|a, b| a.place.cmp(&b.place));
        survey.sightings.sort();
        // Interrupted places come first, so that each has a whole invocation.
        cursor.left.sort_by(|a, b| (!a.interrupted, &a.place).cmp(&(!b.interrupted, &b.place)));
        (survey, (!cursor.left.is_empty()).then_some(cursor))
    }

    /// Returns the places of the targets that an earlier survey began and did not end. `left` has
    /// those of them that are known without their marks.
    fn earlier(&self, targets: &[Target], left: Vec<Left>) -> Vec<Left> {
        let known: BTreeSet<String> = left.iter().map(|left| left.place.id()).collect();
        let found = self.book.earlier().filter(|place| !known.contains(&place.id()));
        let of = |place: &Place| {
            let target = targets.iter().find(|target| target.account == place.account)?;
            let is_meant = target.regions.contains(&place.region);
            let place = Place { environment: target.environment.clone(), ..place.clone() };
            is_meant.then_some(Left { interrupted: false, place })
        };
        let found: Vec<Left> = found.filter_map(of).collect();
        left.into_iter().chain(found).collect()
    }

    /// Surveys one account, all regions at once.
    async fn account(
        &self,
        target: &Target,
        regions: Regions,
        stop: Option<Timestamp>,
        budget: &Arc<Budget>,
    ) -> Vec<Read> {
        let credentials = match &target.role {
            None => Ok(None),
            Some(role) => self.clients.assume(&target.account, role, SESSION).await.map(Some),
        };
        let lanes = regions.into_iter().map(|(region, left)| {
            let pace = Pace::new(Arc::clone(&self.clock), stop, Arc::clone(budget));
            let book = self.book.clone();
            let clients = credentials.as_ref().map(|c| self.clients.in_region(&region, c.clone()));
            async move {
                match clients {
                    Ok(clients) => {
                        Lane::new(&clients, self.kube_endpoint.clone(), pace, book).read(left).await
                    }
                    Err(fault) => {
                        lane::unread(left, &pace, &format!("cannot {}: {}", fault.operation, fault.message))
                    }
                }
            }
        });
        stream::iter(lanes).buffer_unordered(REGIONS_AT_ONCE).collect().await
    }
}

/// Returns when the survey begins no more calls.
fn stop(now: Timestamp, deadline: Timestamp) -> Timestamp {
    let left = Duration::try_from(deadline.duration_since(now)).unwrap_or_default();
    before(deadline, RESERVE.min(left / 4))
}

/// What is left to read of one account, by region.
type Regions = BTreeMap<String, Vec<Left>>;

/// Returns all places that are known before anything is read.
fn everything(targets: &[Target]) -> Vec<Left> {
    // Patchwave does not survey SageMaker, which is not the same as a survey that failed.
    const KINDS: [ConsumerKind; 5] = [
        ConsumerKind::Ecs,
        ConsumerKind::Eks,
        ConsumerKind::Lambda,
        ConsumerKind::Batch,
        ConsumerKind::Schedules,
    ];
    let mut left = Vec::new();
    for target in targets {
        for region in &target.regions {
            left.extend(KINDS.map(|kind| Left {
                interrupted: false,
                place: Place {
                    account: target.account.clone(),
                    region: region.clone(),
                    kind,
                    cluster: None,
                    environment: target.environment.clone(),
                },
            }));
        }
    }
    left
}

/// Groups what is left by account and region, each place once.
fn accounts(targets: &[Target], left: Vec<Left>) -> Vec<(&Target, Regions)> {
    let mut known = BTreeSet::new();
    let mut accounts: BTreeMap<&str, (&Target, Regions)> = BTreeMap::new();
    for target in targets {
        accounts.entry(&target.account).or_insert_with(|| (target, Regions::new()));
    }
    for left in left {
        if let Some((_, regions)) = accounts.get_mut(left.place.account.as_str())
            && known.insert(left.place.clone())
        {
            regions.entry(left.place.region.clone()).or_default().push(left);
        }
    }
    accounts.into_values().filter(|(_, regions)| !regions.is_empty()).collect()
}

#[cfg(test)]
pub(crate) mod tests;
