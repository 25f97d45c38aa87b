//! One account and region: its places, a few at a time, at its own pace.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use futures::StreamExt;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use patchwave::inventory::{ConsumerKind, Place, PlaceRead, Sighting};
use tracing::warn;

use super::eks::Eks;
use super::marks::Book;
use super::pace::Pace;
use super::reading::Reading;
use super::schedules::Schedules;
use super::{Left, batch, ecs, functions};
use crate::clients::Clients;

/// Places that are read at once. Eight clusters that answer in 100 ms each make 80 calls a second,
/// so the rate is the limit.
const PLACES_AT_ONCE: usize = 8;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) places: Vec<PlaceRead>,
    pub(super) sightings: Vec<Sighting>,
    pub(super) left: Vec<Left>,
}

/// Reports places that could not be read at all.
pub(super) fn unread(left: Vec<Left>, pace: &Pace, reason: &str) -> Read {
    let at = pace.now();
    let places = left.into_iter();
    let places = places.map(|left| PlaceRead {
        place: left.place,
        at,
        unread: Some(reason.to_owned()),
        not_inspected: BTreeSet::new(),
    });
    Read { places: places.collect(), ..Read::default() }
}

/// The clients of one account and region, and the pace at which they may be used.
pub(super) struct Lane {
    ecs: aws_sdk_ecs::Client,
    eks: Eks,
    lambda: aws_sdk_lambda::Client,
    batch: aws_sdk_batch::Client,
    schedules: Schedules,
    pace: Pace,
    book: Book,
}

/// A place that was read, and the places that are in it.
type Done = (Left, Reading, Vec<Place>);

impl Lane {
    pub(super) fn new(clients: &Clients, kube_endpoint: Option<String>, pace: Pace, book: Book) -> Self {
        Self {
            ecs: clients.ecs(),
            eks: Eks { client: clients.eks(), credentials: clients.credentials(), endpoint: kube_endpoint },
            lambda: clients.lambda(),
            batch: clients.batch(),
            schedules: Schedules {
                events: clients.eventbridge(),
                scheduler: clients.scheduler(),
                ecs: clients.ecs(),
            },
            pace,
            book,
        }
    }

    /// Reads places, and the clusters that they list, until none is left or time is up.
    pub(super) async fn read(&self, left: Vec<Left>) -> Read {
        let mut waiting = VecDeque::from(left);
        let mut under_way = FuturesUnordered::new();
        let mut read = Read::default();
        loop {
            while under_way.len() < PLACES_AT_ONCE && !self.pace.is_over() {
                let Some(left) = waiting.pop_front() else { break };
                under_way.push(self.place(left));
            }
            let Some((left, reading, found)) = under_way.next().await else { break };
            let found = found.into_iter().filter(|place| !self.book.is_earlier(place));
            waiting.extend(found.map(|place| Left { interrupted: false, place }));
            self.done(left, reading, &mut read);
        }
        read.left.extend(waiting);
        read
    }

    fn done(&self, left: Left, mut reading: Reading, read: &mut Read) {
        if reading.interrupted && !left.interrupted {
            read.left.push(Left { interrupted: true, ..left });
            return;
        }
        if reading.interrupted {
            reading.unread("it takes longer than one invocation".to_owned());
        }
        let (place, sightings) = reading.finish(self.pace.now());
        read.places.push(place);
        read.sightings.extend(sightings);
    }

    /// Reads one place. Boxed, because the futures of all services' calls are large.
    fn place(&self, left: Left) -> LocalBoxFuture<'_, Done> {
        Box::pin(async move {
            let mut reading = Reading::new(left.place.clone(), Arc::clone(self.pace.budget()));
            let found = self.marked(&left.place, &mut reading).await;
            (left, reading, found)
        })
    }

    /// Reads a place between writing its mark and removing it.
    async fn marked(&self, place: &Place, reading: &mut Reading) -> Vec<Place> {
        if let Some(reason) = self.book.left_alone(place, self.pace.now()) {
            reading.unread(reason);
            return Vec::new();
        }
        if let Err(fault) = self.book.begin(place, self.pace.now()).await {
            reading.miss(fault.into());
            return Vec::new();
        }
        let found = self.dispatch(reading).await;
        if let Err(fault) = self.book.end(place, self.pace.now()).await {
            warn!(target: "patchwave", place = place.id(), because = %fault, "mark stays");
        }
        found
    }

    async fn dispatch(&self, reading: &mut Reading) -> Vec<Place> {
        let pace = &self.pace;
        match (reading.place().kind, reading.place().cluster.is_some()) {
            (ConsumerKind::Ecs, false) => return ecs::clusters(&self.ecs, pace, reading).await,
            (ConsumerKind::Ecs, true) => ecs::cluster(&self.ecs, pace, reading).await,
            (ConsumerKind::Eks, false) => return self.eks.clusters(pace, reading).await,
            (ConsumerKind::Eks, true) => self.eks.cluster(pace, reading).await,
            (ConsumerKind::Lambda, _) => functions::read(&self.lambda, pace, reading).await,
            (ConsumerKind::Batch, _) => batch::read(&self.batch, pace, reading).await,
            (ConsumerKind::Schedules, _) => self.schedules.read(pace, reading).await,
            // No place of another kind is in a survey.
            _ => reading.unread("not inspected".to_owned()),
        }
        Vec::new()
    }
}
