//! Why an inventory may not have everything that runs.

use crate::inventory::{Answer, NotInspected, PlaceRow};
use crate::time::{Span, Timestamp};

/// The age above which data on a place is too old. A sweep starts every day and ends within two
/// hours. The stack's alarm waits as long.
pub const OUTDATED: Span = Span::hours(26);

/// Returns why an inventory may not have everything that runs.
pub(crate) fn doubts(answer: &Answer, now: Timestamp) -> Vec<String> {
    let mut doubts = Vec::new();
    if !answer.question.is_everything() {
        doubts.push("the inventory has only a part; run it without --env, --image and --cve".to_owned());
    }
    if answer.places.is_empty() {
        doubts.push("the inventory has no places".to_owned());
    }
    doubts.extend(answer.places.iter().filter_map(|place| doubt(place, now)));
    doubts.extend(answer.not_inspected.iter().map(|missing| {
        let NotInspected { account, region, kind, cluster, objects } = missing;
        match objects {
            Some(objects) => {
                let cluster = cluster.as_deref().unwrap_or_default();
                let place = format!("{account}/{region}/{kind}/{cluster}");
                format!("{objects} of {place} may use images, and Patchwave does not read it")
            }
            None => format!("{account}/{region}/{kind} was not surveyed"),
        }
    }));
    doubts
}

fn doubt(place: &PlaceRow, now: Timestamp) -> Option<String> {
    let age = place.read_at.map(|read| Span::between(read, now));
    match (&place.unread, age) {
        (Some(because), _) => Some(format!("{} was not read: {because}", place.id)),
        (None, None) => Some(format!("{} was never read", place.id)),
        (None, Some(age)) if age > OUTDATED => {
            Some(format!("{} was last read {} ago", place.id, age.in_words()))
        }
        (None, Some(_)) => None,
    }
}
