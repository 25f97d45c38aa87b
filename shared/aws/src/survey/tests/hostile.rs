//! Answers without measure, and places that end the function.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::future::LocalBoxFuture;
use patchwave::inventory::{ConsumerKind, Place};
use patchwave::time::{Span, Timestamp};
use patchwave_converge::Fault;
use patchwave_tests::accounts::{Kubernetes, Region, Trust};
use serde_json::{Value, json};

use super::{Begun, Book, Fixture, Marks, at, cluster, digest, own, place, reason, seen, task, unread};

const PODS: &str = "/api/v1/pods";

fn pod(n: usize) -> Value {
    json!({
        "metadata": { "name": format!("p{n}"), "namespace": "shop" },
        "spec": { "containers": [{ "name": "app", "image": "r/app:1" }] },
        "status": { "phase": "Running", "containerStatuses": [{ "name": "app", "imageID": digest(n),
            "state": { "running": { "startedAt": "2026-01-01T09:00:00Z" } } }] },
    })
}

async fn shop(pods: usize) -> (Fixture, Kubernetes) {
    let kubernetes = Kubernetes::start().await;
    kubernetes.put("shop", PODS, (0..pods).map(pod).collect());
    let eks = vec![kubernetes.described("shop", Trust::Ours)];
    (Fixture::of(Region { eks, ..Region::default() }).await, kubernetes)
}

fn eks(cluster: &str) -> Place {
    place(ConsumerKind::Eks, Some(cluster))
}

#[tokio::test]
async fn pages_that_are_too_large_are_halved_until_they_fit() {
    let (fixture, kubernetes) = shop(20).await;
    kubernetes.pad(1_200_000);
    let survey = fixture.survey().await;
    assert_eq!(unread(&survey, &eks("shop")), None);
    let pods: Vec<String> = (0..20).map(digest).collect();
    let mut resolved: Vec<&str> = seen(&survey).into_iter().filter_map(|(.., resolved)| resolved).collect();
    resolved.sort_unstable();
    assert_eq!(resolved, pods.iter().map(String::as_str).collect::<Vec<_>>());
    // The nodes. 500, 250 … 7 objects are too many, and 3 are not. Then the groups of the API, and six lists of workloads.
    assert_eq!(kubernetes.calls(), 1 + 7 + 7 + 7);
}

#[tokio::test]
async fn an_object_that_is_too_large_makes_its_cluster_unread() {
    let (fixture, kubernetes) = shop(2).await;
    kubernetes.pad(9_000_000);
    let survey = fixture.survey().await;
    let because = reason(&survey, &eks("shop"));
    assert!(because.contains("one object is larger than 8388608 bytes"), "{because}");
}

#[tokio::test]
async fn a_list_that_is_longer_than_what_was_asked_for_is_unread() {
    let (fixture, kubernetes) = shop(0).await;
    kubernetes.answer("shop", json!({ "items": vec![json!({}); 501] }).to_string());
    let because = reason(&fixture.survey().await, &eks("shop"));
    assert!(because.contains("at most 500 entries"), "{because}");
}

#[tokio::test]
async fn an_answer_of_a_service_that_is_too_large_is_unread() {
    let mut long = task("web", 1, "family:job", &[("app", Some(digest(1)))]);
    long["startedBy"] = "x".repeat(17 * 1024 * 1024).into();
    let region = Region { ecs: vec![cluster("web", vec![long])], ..Region::default() };
    let because = reason(&Fixture::of(region).await.survey().await, &place(ConsumerKind::Ecs, Some("web")));
    assert!(because.contains("describe ECS tasks"), "{because}");
}

/// Marks in memory, and what was written when.
#[derive(Default)]
struct Noted {
    marks: Mutex<BTreeMap<Option<Place>, Begun>>,
    story: Mutex<Vec<String>>,
}

impl Noted {
    fn tell(&self, what: &str, place: Option<&Place>) {
        let cluster = place.and_then(|place| place.cluster.clone()).unwrap_or_default();
        self.story.lock().unwrap().push(format!("{what} {cluster}"));
    }

    fn story(&self) -> Vec<String> {
        self.story.lock().unwrap().iter().filter(|line| !line.ends_with(' ')).cloned().collect()
    }
}

impl Marks for Noted {
    fn write(&self, begun: Begun) -> LocalBoxFuture<'_, Result<(), Fault>> {
        self.tell(&format!("begin {}", begun.times), begun.place.as_ref());
        self.marks.lock().unwrap().insert(begun.place.clone(), begun);
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove(&self, place: Option<Place>, _: Timestamp) -> LocalBoxFuture<'_, Result<(), Fault>> {
        self.tell("end", place.as_ref());
        self.marks.lock().unwrap().remove(&place);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A fixture with three clusters, of which an earlier survey began these so often.
async fn begun(earlier: &[(&str, u32)]) -> (Fixture, Arc<Noted>) {
    let one = |name: &str| cluster(name, vec![task(name, 1, "family:job", &[("app", Some(digest(1)))])]);
    let mut fixture = Fixture::of(Region { ecs: ["a", "b", "c"].map(one).into(), ..Region::default() }).await;
    let marks = Arc::new(Noted::default());
    let earlier: Vec<Begun> = earlier
        .iter()
        .map(|(name, times)| Begun {
            place: Some(place(ConsumerKind::Ecs, Some(name))),
            times: *times,
            at: at("2026-01-01T11:00:00Z"),
        })
        .collect();
    fixture.surveyor.book = Book::new(Arc::clone(&marks) as Arc<dyn Marks>, &earlier);
    (fixture, marks)
}

#[tokio::test]
async fn a_mark_is_written_before_a_place_is_read_and_removed_after() {
    let (fixture, marks) = begun(&[]).await;
    let survey = fixture.survey().await;
    assert_eq!(survey.sightings.len(), 3);
    let story = marks.story();
    for cluster in ["a", "b", "c"] {
        let place_of = |what: &str| story.iter().position(|line| *line == format!("{what} {cluster}"));
        assert!(place_of("begin 1") < place_of("end") && place_of("end").is_some(), "{story:?}");
    }
    assert!(marks.marks.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_was_begun_and_did_not_end_is_read_alone_and_last() {
    let (fixture, marks) = begun(&[("a", 1), ("b", 1)]).await;
    let survey = fixture.survey().await;
    assert_eq!(survey.sightings.len(), 3);
    assert_eq!(marks.story(), ["begin 1 c", "end c", "begin 2 a", "end a", "begin 2 b", "end b"]);
}

#[tokio::test]
async fn what_was_begun_twice_and_did_not_end_is_unread_for_a_week() {
    let (fixture, marks) = begun(&[("a", 2)]).await;
    let (survey, cursor) = fixture.surveyor.survey(&[own()], None, None).await;
    assert_eq!((survey.sightings.len(), cursor), (2, None));
    let because = reason(&survey, &place(ConsumerKind::Ecs, Some("a")));
    assert!(because.starts_with("reading it ended the function 2 times"), "{because}");
    assert!(!marks.story().iter().any(|line| line.ends_with('a')), "it is not begun");

    fixture.surveyor.clock.until(Span::days(8).after(at("2026-01-01T12:00:00Z"))).await;
    let (survey, _) = fixture.surveyor.survey(&[own()], None, None).await;
    assert_eq!(unread(&survey, &place(ConsumerKind::Ecs, Some("a"))), None);
    assert!(marks.story().contains(&"begin 1 a".to_owned()));
}
